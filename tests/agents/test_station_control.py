"""The order in which a station's chargers are told, and what those count for that do not answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.ports import ChargerError, ChargerReading, ChargerSilentError
from agents.station_control import StationControl, Told
from protocols.exchanges.vocabulary import ChargerState

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)


class Wire:
    """Chargers that note what they are told, in the order in which they are; `faults` do not answer."""

    def __init__(self, *charger_ids: str) -> None:
        self.now = NOON
        self.orders: list[tuple[str, float, int, float]] = []
        self.faults: set[str] = set()
        self.connected = True
        self.power_kw: dict[str, float] = {}
        self.notices: list[str] = []
        chargers: dict[str, Any] = {each: Socket(self, each) for each in charger_ids}
        self.control = StationControl(chargers, lambda: self.now, self.notices.append)

    def steer(self, cap_kw: float = 100.0, least_kw: float = 100.0, **wanted: tuple[float, float]) -> list[Any]:
        """What is told anew, in order."""
        self.orders.clear()
        asyncio.run(self.control.steer(("a", "b", "c"), wanted, cap_kw, least_kw))
        return [(charger, kw, then) for charger, kw, _, then in self.orders]


class Socket:
    def __init__(self, wire: Wire, charger_id: str) -> None:
        self.wire, self.charger_id = wire, charger_id

    def fault(self) -> ChargerError | None:
        silent = self.charger_id in self.wire.faults
        return ChargerSilentError(self.charger_id, "nowhere", "does not answer", "look after it") if silent else None

    async def hold_power(self, power_kw: float, *, for_s: int, then_kw: float) -> None:
        if fault := self.fault():
            raise fault
        self.wire.orders.append((self.charger_id, power_kw, for_s, then_kw))

    async def read(self) -> ChargerReading:
        if fault := self.fault():
            raise fault
        there = self.wire.connected
        kw = self.wire.power_kw.get(self.charger_id, 0.0)
        return ChargerReading(kw, 230.0, 50.0, there, 50.0, 30.0, 60.0, 60.0, 0.0, ChargerState.IDLE)


def test_an_order_holds_until_the_quarter_of_an_hour_ends() -> None:
    wire = Wire("a", "b", "c")
    wire.now = NOON + timedelta(minutes=7)
    wire.steer(a=(50.0, 20.0))
    assert wire.orders == [("a", 50.0, 480, 20.0)]
    assert wire.control.told["a"] == Told(50.0, NOON + timedelta(minutes=15), 20.0)


def test_within_a_second_who_draws_less_does_so_early_and_who_draws_more_late() -> None:
    wire = Wire("a", "b", "c")
    wire.now = NOON + timedelta(seconds=0.4)
    wire.steer(a=(10.0, 20.0), b=(20.0, 10.0), c=(5.0, 5.0))
    assert {charger: seconds for charger, _, seconds, _ in wire.orders} == {"a": 900, "b": 899, "c": 900}


def test_what_is_to_draw_less_is_told_before_what_may_draw_more() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(60.0, 60.0), b=(20.0, 20.0))
    assert wire.steer(a=(30.0, 30.0), b=(60.0, 60.0)) == [("a", 30.0, 30.0), ("b", 60.0, 60.0)]
    assert wire.steer(b=(30.0, 30.0), a=(60.0, 60.0)) == [("b", 30.0, 30.0), ("a", 60.0, 60.0)]


def test_who_may_draw_more_now_and_less_later_is_lowered_for_later_first() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(20.0, 50.0), b=(50.0, 20.0))
    assert wire.steer(a=(50.0, 20.0), b=(20.0, 50.0)) == [
        ("a", 20.0, 20.0),
        ("b", 20.0, 20.0),
        ("a", 50.0, 20.0),
        ("b", 20.0, 50.0),
    ]


def test_what_a_charger_does_by_itself_is_not_told_again() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(50.0, 30.0))
    assert wire.steer(a=(50.0, 30.0)) == []
    wire.now += timedelta(minutes=15)
    assert wire.steer(a=(30.0, 30.0)) == []


def test_who_is_not_wanted_any_more_is_told_to_stop() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(50.0, 30.0))
    assert wire.steer() == [("a", 0.0, 0.0)]
    assert wire.steer() == []


def test_the_others_make_room_for_one_that_does_not_hear_that_it_must_draw_less() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(60.0, 60.0), b=(40.0, 40.0))
    wire.faults = {"a"}
    assert wire.steer(cap_kw=80.0, least_kw=70.0, a=(40.0, 40.0), b=(40.0, 40.0))[-1] == ("b", 20.0, 10.0)
    assert len(wire.notices) == 1
    wire.faults = set()
    assert wire.steer(cap_kw=80.0, least_kw=80.0, a=(40.0, 40.0), b=(40.0, 40.0)) == [
        ("a", 40.0, 40.0),
        ("b", 40.0, 40.0),
    ]


def test_whose_raise_is_not_confirmed_counts_with_it() -> None:
    wire = Wire("a", "b", "c")
    wire.faults = {"a"}
    wire.steer(a=(60.0, 60.0))
    assert wire.control.promised_kw("a", NOON) == 60.0
    assert wire.steer(cap_kw=80.0, least_kw=80.0, b=(40.0, 40.0)) == [("b", 20.0, 20.0)]


def test_what_is_to_hold_later_fits_under_the_lowest_cap_that_is_known() -> None:
    wire = Wire("a", "b", "c")
    assert wire.steer(cap_kw=120.0, least_kw=60.0, a=(60.0, 60.0), b=(60.0, 60.0)) == [
        ("a", 60.0, 30.0),
        ("b", 60.0, 30.0),
    ]


def test_a_charger_without_a_car_has_forgotten_its_order() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(60.0, 60.0))
    wire.connected = False
    asyncio.run(wire.control.read(["a"]))
    assert wire.control.told == {}


def test_a_charger_that_draws_less_than_it_may_is_told_again() -> None:
    wire = Wire("a", "b", "c")
    wire.steer(a=(60.0, 60.0))
    wire.power_kw["a"] = 60.0
    asyncio.run(wire.control.read(["a"]))
    assert wire.steer(a=(60.0, 60.0)) == []
    wire.power_kw["a"] = 0.0
    asyncio.run(wire.control.read(["a"]))
    assert wire.steer(a=(60.0, 60.0)) == [("a", 60.0, 60.0)]


def test_silence_is_told_once_and_its_end_as_well() -> None:
    wire = Wire("a", "b", "c")
    wire.faults = {"a"}
    for _ in range(3):
        assert asyncio.run(wire.control.read(["a"])) == {}
    wire.faults = set()
    assert list(asyncio.run(wire.control.read(["a"]))) == ["a"]
    assert wire.notices == [
        "charger a at nowhere: does not answer; look after it",
        "charger a answers again",
    ]


def test_an_error_of_ours_is_not_taken_for_a_silent_charger() -> None:
    wire = Wire("a", "b", "c")
    with pytest.raises(KeyError):
        asyncio.run(wire.control.read(["nowhere"]))
