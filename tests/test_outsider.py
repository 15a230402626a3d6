"""Somebody from outside, admitted to the server and to nothing else, talks to the agents while a day runs."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from behaviours.ports import Letter
from behaviours.stanzas import CLIENT, Arrival, read, to_xml
from environment.server import client_tls
from run import main
from tests.days import Day, play

ME, PASSWORD = "mallory@localhost", "an admitted person's password"
PACE_S = 0.01
"""A minute of the day takes at least so long on the wall until the outsider has finished."""
PATIENCE_S = 30.0


def _act(performative: str, protocol: str, number: int, **more: str) -> dict[str, str]:
    return {
        "performative": performative,
        "protocol": protocol,
        "conversation-id": f"mallory-{number}",
        "reply-with": f"mallory-{number}/1",
        "ontology": "ev4eu-d5.1",
        "language": "json",
        **more,
    }


ORDER = {
    "exchange": "1.2.3",
    "activation_id": "mine",
    "bid_id": "none",
    "service": "congestion-management",
    "congestion_point": "krsko-mv-lv",
    "start": "2026-03-18T18:00:00+01:00",
    "end": "2026-03-18T19:00:00+01:00",
    "power_kw": 20.0,
}
BILL = {
    "exchange": "1.2.7",
    "bill_id": "mine",
    "activation_id": "mine",
    "payer": "dso@localhost",
    "payee": ME,
    "volume_kwh": 1000.0,
    "price_eur_per_kw": "1.00",
    "remuneration_eur": "4000.00",
    "penalty_eur": "0.00",
    "amount_eur": "4000.00",
    "due": "2026-03-20T18:00:00+01:00",
}
REGISTRATION = {"exchange": "df.register", "jid": ME, "role": "dso", "services": [], "location": None}
IMPOSTOR = REGISTRATION | {"jid": "dso@localhost"}

SAYINGS: tuple[tuple[str, str, dict[str, str], str], ...] = (
    ("dso", "hello, who are you?", {}, "not-understood"),
    ("fmo", "{not json", _act("request", "fipa-request", 1), "not-understood"),
    ("cpo1", "{}", _act("demand", "fipa-request", 2), "not-understood"),
    ("cpo1", json.dumps(ORDER | {"power_kw": "a lot"}), _act("request", "fipa-request", 3), "not-understood"),
    ("cpo1", json.dumps(ORDER), _act("request", "fipa-request", 4), "refuse"),
    ("vpp1", json.dumps(ORDER), _act("request", "fipa-request", 5), "refuse"),
    ("dso", json.dumps(BILL), _act("request", "fipa-request", 6), "refuse"),
    ("directory", json.dumps(REGISTRATION), _act("request", "fipa-request", 7), "refuse"),
    ("directory", json.dumps(IMPOSTOR), _act("request", "fipa-request", 8), "refuse"),
    ("fmo", json.dumps({"exchange": None}), _act("agree", "fipa-request", 9), "not-understood"),
    ("vpp2", json.dumps(ORDER | {"exchange": "9.9.9"}), _act("request", "fipa-request", 10), "not-understood"),
    ("tso", "[" * 5000 + "]" * 5000, _act("inform", "fipa-query", 11), "not-understood"),
)
"""To whom, the body, the metadata, and the performative of the answer that is due."""


@dataclass
class Outsider:
    """Listens to the progress of a run as `Progress` does; when the agents are up it logs in and says its piece."""

    answers: dict[int, Letter] = field(default_factory=dict)
    error: BaseException | None = None
    _thread: threading.Thread | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _where: tuple[str, str, Path] | None = None

    def listening(self, address: str, domain: str, ca_file: Path) -> None:
        self._where = (*address.split(":"), ca_file)  # type: ignore[assignment]

    def stage(self, text: str) -> None:
        if text == "negotiating":
            self._thread = threading.Thread(target=self._run, name="mallory")
            self._thread.start()

    def chatting(self, observer: str) -> None: ...

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        """The day waits a little for whoever talks to it from the real world."""
        self._over.wait(PACE_S)

    def join(self) -> None:
        assert self._thread is not None
        self._thread.join(PATIENCE_S)
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            asyncio.run(self._talk())
        except BaseException as error:
            self.error = error
        finally:
            self._over.set()

    async def _talk(self) -> None:
        assert self._where is not None
        host, port, ca_file = self._where
        client = ClientXMPP(ME, PASSWORD, ssl_context=client_tls(ca_file))
        client.enable_direct_tls = False
        up, heard = asyncio.Event(), asyncio.Queue[Any]()
        client.add_event_handler("session_start", lambda _: up.set())
        client.register_handler(Callback("all", MatchXPath(f"{CLIENT}message"), heard.put_nowait))
        client.connect(host, int(port))
        async with asyncio.timeout(PATIENCE_S):
            await up.wait()
            client.send_presence()
            for number, (to, body, metadata, _) in enumerate(SAYINGS):
                letter = Letter(ME, f"{to}@localhost", body, metadata, metadata.get("conversation-id"))
                client.send_raw(to_xml(letter, letter.receiver, f"m{number}"))
                while number not in self.answers:
                    found = read((await heard.get()).xml, ME)
                    if isinstance(found, Arrival) and found.letter.sender.startswith(f"{to}@"):
                        self.answers[number] = found.letter
            await client.disconnect(wait=0.5)


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Outsider]:
    """The small evening with an outsider on the server."""
    folder = tmp_path_factory.mktemp("visited")
    (folder / "guests.toml").write_text(f'"{ME}" = "{PASSWORD}"\n', encoding="utf-8")
    outsider = Outsider()
    day = play(folder / "run", listener=outsider, admit=folder / "guests.toml")
    outsider.join()
    return day, outsider


@pytest.mark.parametrize("number", range(len(SAYINGS)))
def test_each_message_is_answered_with_its_reason(visited: tuple[Day, Outsider], number: int) -> None:
    _, outsider = visited
    to, _, metadata, performative = SAYINGS[number]
    answer = outsider.answers[number]
    assert answer.metadata["performative"] == performative
    assert answer.sender.startswith(f"{to}@localhost")
    content = json.loads(answer.body)
    assert content["reason"]
    if "conversation-id" in metadata:
        assert answer.metadata["conversation-id"] == metadata["conversation-id"]
        assert answer.metadata["in-reply-to"] == metadata["reply-with"]


def test_nothing_of_the_day_has_changed(visited: tuple[Day, Outsider], small: Day) -> None:
    """But for the messages of the outsider itself, and for what was asked about it in the directory."""
    day, _ = visited
    assert day.postings == small.postings
    for key in ("with", "without", "market", "money", "drivers"):
        assert day.summary[key] == small.summary[key]
    assert small.contents() <= day.contents()
    more = day.contents() - small.contents()
    assert any(ME in line for line in more)
    for line in more:
        nobody = '"directory@localhost"' in line and '"entries": []' in line
        assert ME in line or nobody, line


def test_what_could_not_be_read_is_among_the_warnings_once_each(visited: tuple[Day, Outsider], small: Day) -> None:
    day, _ = visited
    new = [line for line in day.warnings if line not in small.warnings]
    assert all(line.startswith("could not be read: mallory@localhost to ") for line in new)
    assert len(new) >= 5


def test_check_finds_the_outsiders_messages_and_no_others(
    visited: tuple[Day, Outsider], capsys: pytest.CaptureFixture[str]
) -> None:
    day, _ = visited
    assert main(["check", str(day.folder / "trace.jsonl")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        number = int(line.partition(": line ")[2].partition(":")[0])
        assert ME in day.trace[number - 1], line


def test_the_password_of_the_guest_is_nowhere_in_the_run_folder(visited: tuple[Day, Outsider]) -> None:
    day, _ = visited
    for path in day.folder.rglob("*"):
        assert PASSWORD.encode() not in path.read_bytes()
