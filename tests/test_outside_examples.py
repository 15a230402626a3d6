"""A stranger's power plants take the places of ours in a small evening, over the embedded server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from behaviours import delivery
from environment import launcher
from environment.clock import VirtualClock
from run import main
from tests.days import Day, play
from tests.outsiders import PASSWORD, Outsiders, javascript_vpp, python_vpp

QUICK, SLOW = 3600.0, 600.0
"""Times wall time: where nobody outside has anything to do, and where it has."""
LJUBLJANA = ZoneInfo("Europe/Ljubljana")
ME, MY_CPO = "vpp2@localhost", "cpo2@localhost"


def busy(at: datetime) -> bool:
    """Whether the market or the pools are open, or what was sold is settled."""
    clock = f"{at.astimezone(LJUBLJANA):%H:%M}"
    return "12:00" <= clock < "13:40" or "16:00" <= clock < "22:00"


@dataclass
class Evening:
    day: Day
    listener: Outsiders

    @property
    def acts(self) -> list[dict[str, Any]]:
        """What was done to devices and books."""
        lines = (self.day.folder / "acts.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def evening(folder: Path, command: list[str], also: Callable[[datetime, Outsiders], None] | None = None) -> Evening:
    """The small evening with that command in the place of vpp2."""
    clocks: list[VirtualClock] = []
    made = launcher._clock

    def clock(*arguments: Any) -> Any:
        clocks.append(made(*arguments))  # type: ignore[arg-type]
        return clocks[0]

    def minute(at: datetime) -> None:
        pace = clocks[0].pace
        assert pace is not None
        speed = SLOW if busy(at) and listener.running[ME].poll() is None else QUICK
        if pace.speed != speed:
            pace.set_speed(speed)
        if also is not None:
            also(at, listener)

    guests = folder / "guests.toml"
    guests.write_text(f'"{ME}" = "{PASSWORD}"\n', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, Outsiders(folder / "run", {ME: command}, minute) as listener:
        patch.setattr(launcher, "_clock", clock)
        day = play(folder / "run", listener=listener, admit=guests, outside=("vpp2",), speed=SLOW)
        return Evening(day, listener)


@pytest.fixture(scope="module", params=[python_vpp, javascript_vpp], ids=["python", "javascript"])
def taken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Evening:
    folder = tmp_path_factory.mktemp("outside")
    return evening(folder, request.param(folder))


def test_it_registers_before_time_begins(taken: Evening) -> None:
    (said, *_) = taken.day.said(exchange="df.register", sender=ME)
    (done, *_) = taken.day.said(performative="inform", receiver=ME)
    begin = taken.day.messages[0]["at"]
    assert (said["at"], done["at"], done["in-reply-to"]) == (begin, begin, said["reply-with"])
    waiting = taken.listener.stages.index("waiting for vpp2@localhost as vpp to register")
    assert waiting < taken.listener.stages.index("negotiating")


def test_it_is_told_the_time(taken: Evening) -> None:
    told = taken.day.said(exchange="env.clock", receiver=ME)
    times = [message["content"]["now"] for message in told]
    assert times == sorted(times)
    assert {message["content"]["speed"] for message in told} <= {SLOW, QUICK}


def test_it_bids_and_is_awarded(taken: Evening) -> None:
    bids = taken.day.said(performative="propose", sender=ME)
    offered = {bid["content"]["bid_id"] for bid in bids if bid["exchange"] in ("1.1.1", "6.1.2")}
    awards = taken.day.said(performative="accept-proposal", receiver=ME)
    assert {award["exchange"] for award in awards} >= {"1.1.2", "6.x.1"}, taken.listener.said(ME)
    awarded = {award["content"]["bid_id"] for award in awards if award["exchange"] in ("1.1.2", "6.x.1")}
    assert awarded <= offered


def test_its_activation_changes_chargers(taken: Evening) -> None:
    """Until the order a CPO lets its chargers be."""
    agreed = taken.day.said(performative="agree", sender=MY_CPO, receiver=ME)
    assert agreed, taken.listener.said(ME)
    orders = [act for act in taken.acts if act["who"] == MY_CPO and act["act"] in ("set_power", "hold_power")]
    assert orders
    first, ordered = (min(datetime.fromisoformat(it["at"]) for it in found) for found in (agreed, orders))
    assert first <= ordered
    assert {act["device"].partition("-")[0] for act in orders} == {"charger:home"}


def test_it_claims_what_it_delivered_and_is_paid(taken: Evening) -> None:
    claims = taken.day.said(exchange="1.x.5", performative="propose", sender=ME)
    assert claims, taken.listener.said(ME)
    assert max(claim["content"]["delivered_energy_kwh"] for claim in claims) > 0
    ((earned,),) = taken.day.sql("select sum(amount_eur) from posting where account = 'vpp2' and amount_eur > 0")
    assert earned > 0


def test_the_books_are_zero_and_the_trace_has_no_fault(taken: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    assert sum((Decimal(amount) for amount in taken.day.summary["money"].values()), Decimal(0)) == 0
    assert main(["check", str(taken.day.folder)]) == 0, capsys.readouterr().out


def test_the_summary_says_who_was_played_outside(taken: Evening) -> None:
    assert taken.day.warnings[0].startswith("vpp2 is played from outside, by vpp2@localhost; the books hold")
    assert taken.day.header["roles"][ME] == "vpp"
    assert taken.day.summary["agents"] == 22


def test_the_password_is_nowhere_in_the_run_folder(taken: Evening) -> None:
    for path in taken.day.folder.rglob("*"):
        assert path.is_dir() or PASSWORD.encode() not in path.read_bytes()


def test_when_it_dies_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FOREIGN_ATTEMPTS", 2)

    def die(at: datetime, listener: Outsiders) -> None:
        if f"{at.astimezone(LJUBLJANA):%H:%M}" == "13:45":
            listener.end(ME)

    over = evening(tmp_path, python_vpp(tmp_path), die).day
    gone = [line for line in over.warnings if "vpp2: acknowledges no message any more" in line]
    assert len(gone) == 1
    assert not [m for m in over.said(sender=ME) if m["at"] > "2026-03-18T13:46"]
    assert over.said(sender="vpp1@localhost", exchange="1.x.5", performative="propose")
    assert sum((Decimal(amount) for amount in over.summary["money"].values()), Decimal(0)) == 0
