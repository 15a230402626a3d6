"""The observer: a trace of what was said, and no part in it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from agents.observer import Observer, TraceWriter
from behaviours.outcomes import Refused
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from tests.agents.stage import PlainDso, Stage, at, product
from tests.swarm import jid, run_swarm

ZONE = ZoneInfo("Europe/Ljubljana")
ROLES = {jid("dso"): Role.DSO, jid("fmo"): Role.FMO}


def written(path: Path) -> TraceWriter:
    return TraceWriter(path, scenario="test", seed=7, roles=ROLES, zone=ZONE)


def message(content: x.Content | None = None) -> AclMessage:
    return AclMessage(
        performative=Performative.REQUEST,
        sender=jid("dso"),
        receiver=jid("fmo"),
        protocol=Protocol.REQUEST,
        conversation_id="dso-1",
        reply_with="dso-1/dso/1",
        content=(content or product()).to_json(),
    )


def test_the_first_line_says_what_run_it_is_and_who_is_who(tmp_path: Path) -> None:
    trace = written(tmp_path / "trace.jsonl")
    trace.close()
    (line,) = (tmp_path / "trace.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "trace": 1,
        "scenario": "test",
        "seed": 7,
        "roles": {jid("dso"): "dso", jid("fmo"): "fmo"},
    }


def test_each_message_is_a_line_in_local_time_with_its_exchange(tmp_path: Path) -> None:
    trace = written(tmp_path / "trace.jsonl")
    trace.record(at(0), message())
    trace.record(at(1), message(x.Done(reference="r")))
    trace.flush()
    first, second = (json.loads(line) for line in (tmp_path / "trace.jsonl").read_text().splitlines()[1:])
    assert first["at"] == "2026-06-01T08:00:00+02:00"
    assert (first["sender"], first["receiver"], first["performative"]) == (jid("dso"), jid("fmo"), "request")
    assert (first["exchange"], second["exchange"]) == ("1.x.1", None)
    assert first["content"]["product_id"] == product().product_id
    trace.close()


def test_messages_and_exchanges_are_counted_and_told(tmp_path: Path) -> None:
    heard: list[AclMessage] = []
    trace = TraceWriter(tmp_path / "t", scenario="t", seed=1, roles=ROLES, zone=ZONE, heard=heard.append)
    for content in (product(), product(), x.Done(reference="r")):
        trace.record(at(0), message(content))
    trace.close()
    assert trace.messages == 3
    assert trace.exchanges == {"1.x.1": 2}
    assert len(heard) == 3


def test_who_follows_hears_each_message_after_it_was_written(tmp_path: Path) -> None:
    heard: list[tuple[datetime, AclMessage, int]] = []
    trace = written(tmp_path / "t")
    trace.record(at(0), message())
    trace.follow(lambda when, said: heard.append((when, said, trace.messages)))
    trace.record(at(1), message())
    trace.close()
    assert heard == [(at(1), message(), 2)]


def test_an_error_of_a_follower_is_told_once_and_reaches_nobody_else(tmp_path: Path) -> None:
    heard: list[AclMessage] = []
    complaints: list[str] = []

    def broken(when: datetime, said: AclMessage) -> None:
        raise RuntimeError("no more paper")

    trace = written(tmp_path / "t")
    trace.complain = complaints.append  # type: ignore[method-assign]
    trace.follow(broken)
    trace.follow(lambda when, said: heard.append(said))
    for _ in range(3):
        trace.record(at(0), message())
    trace.close()
    assert trace.messages == len(heard) == 3
    (complaint,) = complaints
    assert "no more paper" in complaint


def test_what_was_malformed_is_kept_beside_the_trace(tmp_path: Path) -> None:
    trace = written(tmp_path / "trace.jsonl")
    trace.record_malformed(at(0), "stranger@localhost", jid("fmo"), ["performative: is missing", "body: is no JSON"])
    trace.close()
    assert trace.malformed == [f"stranger@localhost to {jid('fmo')}: performative: is missing; body: is no JSON"]
    assert len((tmp_path / "trace.jsonl").read_text().splitlines()) == 1


def test_the_observer_can_be_found_and_serves_nothing(tmp_path: Path) -> None:
    async def main(stage: Stage) -> None:
        writer = written(tmp_path / "trace.jsonl")
        await stage.start(Observer, "observer", writer=writer)
        dso = await stage.start(PlainDso, "dso")
        (entry,) = await dso.search(role=Role.OBSERVER)
        assert (entry.jid, entry.services) == (jid("observer"), ("trace",))
        answer = await dso.order(product(), "observer")
        assert isinstance(answer, Refused)
        writer.close()

    run_swarm(main, Stage())
