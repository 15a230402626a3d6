"""What agents do to chargers, benches and books is noted as it is done, with who did it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.ledger import LedgerError
from agents.ports import DroopCurve
from behaviours.acting import as_agent
from environment.acts import ActsWriter, NotedBench, NotedCentre, NotedCharger, NotedLedger, order
from protocols.exchanges.frequency_services import SignalPiece

NOW = datetime(2026, 3, 18, 16, tzinfo=UTC)


class Told:
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, str, dict[str, Any]]] = []

    def note(self, device: str, act: str, **members: Any) -> None:
        self.acts.append((device, act, members))


class Obeying:
    """A charger, or a bench, that keeps each call that it gets."""

    charger_id = "c1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        async def called(*arguments: Any, **named: Any) -> None:
            self.calls.append((name, arguments, named))

        return called


class Broken(Obeying):
    async def release(self) -> None:
        raise ConnectionError("gone")


class Passing:
    """A dispatch centre that keeps each call where the others do."""

    def __init__(self, obeying: Obeying) -> None:
        self._obeying = obeying

    def interruptible(self, start: datetime, power_kw: float, *, beyond_kw: float) -> None:
        self._obeying.calls.append(("interruptible", (start, power_kw), {"beyond_kw": beyond_kw}))


CURVE = DroopCurve(0.02, 0.03, 0.2, None, 2.0)
ORDERS: tuple[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]], ...] = (
    ("set_power", (-3.5, 1200), {}, {"power_kw": -3.5, "reversion_s": 1200}),
    ("hold_power", (11.0,), {"for_s": 900, "then_kw": 4.0}, {"power_kw": 11.0, "for_s": 900, "then_kw": 4.0}),
    ("release", (), {}, {}),
    ("heartbeat", (), {}, {}),
    (
        "set_droop",
        (),
        {"full_activation_hz": 0.5, "deadband_hz": 0.1, "response_s": 2.0},
        {"full_activation_hz": 0.5, "deadband_hz": 0.1, "response_s": 2.0},
    ),
    ("set_droop_curve", (CURVE,), {}, asdict(CURVE)),
    ("stop_droop", (), {}, {}),
)


@pytest.mark.parametrize(("act", "arguments", "named", "members"), ORDERS, ids=[each[0] for each in ORDERS])
async def test_an_order_is_noted_and_given_and_can_be_given_again_from_its_note(
    act: str, arguments: tuple[Any, ...], named: dict[str, Any], members: dict[str, Any]
) -> None:
    told, charger, again = Told(), Obeying(), Obeying()
    await getattr(NotedCharger(charger, told), act)(*arguments, **named)  # type: ignore[arg-type]
    assert told.acts == [("charger:c1", act, members)]
    assert charger.calls == [(act, arguments, named)]
    await order(again, act, json.loads(json.dumps(members)))  # type: ignore[arg-type]
    assert again.calls == charger.calls


async def test_an_order_that_the_charger_does_not_take_is_noted_as_well() -> None:
    told = Told()
    with pytest.raises(ConnectionError):
        await NotedCharger(Broken(), told).release()  # type: ignore[arg-type]
    assert told.acts == [("charger:c1", "release", {})]


async def test_an_act_that_no_charger_knows_cannot_be_given() -> None:
    with pytest.raises(ValueError, match="dance is no order to a charger"):
        await order(Obeying(), "dance", {})  # type: ignore[arg-type]


def test_a_benchs_signal_is_noted() -> None:
    class Bench:
        def apply(self, signal: Any, sample_s: float) -> None: ...

        def release(self) -> None: ...

    told = Told()
    bench = NotedBench("lot", Bench(), told)  # type: ignore[arg-type]
    piece = SignalPiece(duration_s=30.0, start_hz=50.0, end_hz=49.9)
    bench.apply([piece], 0.1)
    bench.release()
    assert told.acts == [
        ("bench:lot", "apply", {"signal": [piece.model_dump(mode="json")], "sample_s": 0.1}),
        ("bench:lot", "release", {}),
    ]


def test_what_the_dispatch_centre_is_told_is_noted() -> None:
    told, centre = Told(), Obeying()
    NotedCentre(Passing(centre), told).interruptible(NOW, 120.0, beyond_kw=30.0)
    assert told.acts == [
        ("centre", "interruptible", {"start": "2026-03-18T16:00:00+00:00", "power_kw": 120.0, "beyond_kw": 30.0})
    ]
    assert centre.calls == [("interruptible", (NOW, 120.0), {"beyond_kw": 30.0})]


def test_a_transaction_is_noted_once_and_one_that_is_not_booked_never() -> None:
    told = Told()
    with NotedLedger("sqlite://", told) as ledger:
        for _ in range(2):
            ledger.transfer("bill-1", NOW, "bill-1", payer="dso", payee="vpp1", amount_eur=Decimal("4.10"))
        with pytest.raises(LedgerError):
            ledger.transfer("bill-1", NOW, "bill-1", payer="dso", payee="vpp1", amount_eur=Decimal("5.00"))
    entries = {"dso": "-4.10", "vpp1": "4.10"}
    assert told.acts == [("ledger", "post", {"transaction_id": "bill-1", "reference": "bill-1", "entries": entries})]


def test_a_line_says_who_did_what_when_and_after_how_many_messages(tmp_path: Path) -> None:
    path = tmp_path / "acts.jsonl"
    with ActsWriter(path, lambda: NOW, ZoneInfo("Europe/Ljubljana"), lambda: 12) as writer:
        with as_agent("cpo1@localhost"):
            writer.note("charger:c1", "release")
        writer.note("car:v1", "unplug", driver="ana")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    common = {"after": 12, "at": "2026-03-18T17:00:00+01:00"}
    assert lines == [
        common | {"who": "cpo1@localhost", "device": "charger:c1", "act": "release", "with": {}},
        common | {"who": "", "device": "car:v1", "act": "unplug", "with": {"driver": "ana"}},
    ]
