"""What chargers are expected to draw: schedules, orders and meters, each counted once (3.x.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from agents.congestion_schedules import Schedules
from agents.decisions.congestion_gaps import Shown
from protocols import exchanges as x
from tests.agents.stage import Typical, at

BEGINS, ENDS, AWARDED = at(30), at(60), at(6)


@dataclass
class Order:
    """The port `Ordered`: 4 kW less at a1 from 06:30 to 07:00, awarded at 06:06."""

    manager: str = "lot"
    by_bus: Mapping[str, float] = field(default_factory=lambda: {"a1": 4.0})
    start: datetime = BEGINS
    end: datetime = ENDS
    ends: datetime = ENDS
    awarded_at: datetime = AWARDED
    stopped_at: datetime | None = None


class Desk:
    """Schedules with a clock that the test sets, in minutes."""

    def __init__(self, typical: Typical | None = None) -> None:
        self.minutes = 2.0
        self.notices: list[str] = []
        self.schedules = Schedules(("a1", "b1"), typical or Typical(), lambda: at(self.minutes), self.notices.append)

    def tell(self, minutes: float, start: float, manager: str = "lot", made: float | None = None, **kw: Any) -> None:
        self.minutes = minutes
        buses = tuple(x.BusSchedule(bus=bus, power_kw=tuple(values)) for bus, values in kw.items())
        time = at(minutes if made is None else made)
        told = x.ChargingSchedule(request_id="r", timestamp=time, start=at(start), buses=buses)
        self.schedules.take(manager, told)

    def expected(self, minutes: float, start: float, periods: int, *orders: Order) -> dict[str, list[float]]:
        self.minutes = minutes
        found = self.schedules.expected(at(start), periods, list(orders))
        return {bus: [round(float(kw), 6) for kw in series] for bus, series in found.items()}


def test_an_order_counts_from_its_award_and_is_in_the_schedules_made_since() -> None:
    desk = Desk()
    desk.tell(2, 15, a1=[10.0] * 4, b1=[1.0] * 4)
    assert desk.expected(7, 15, 4, Order())["a1"] == [10.0, 6.0, 6.0, 10.0]
    assert desk.schedules.manager_kw("lot", ("a1", "b1"), at(15), 4, [Order()]) == (11.0, 7.0, 7.0, 11.0)
    desk.tell(17, 30, a1=[6.0, 6.0, 10.0], b1=[1.0] * 3)
    assert desk.expected(19, 30, 3, Order())["a1"] == [6.0, 6.0, 10.0]
    # another manager's order is nothing to these schedules
    assert desk.expected(19, 30, 3, Order(manager="other"))["a1"] == [6.0, 6.0, 10.0]


def test_a_service_that_is_called_off_is_out_from_its_end_and_told_no_more_afterwards() -> None:
    desk = Desk()
    desk.tell(17, 30, a1=[6.0, 6.0, 10.0])
    planned = Order(ends=at(45))
    assert desk.expected(34, 30, 3, planned)["a1"] == [6.0, 10.0, 10.0]
    stopped = Order(ends=at(45), stopped_at=at(45))
    desk.tell(47, 45, a1=[10.0, 10.0])
    assert desk.expected(49, 30, 3, stopped)["a1"] == [6.0, 10.0, 10.0]


def test_a_schedule_from_the_next_period_on_leaves_the_present_one_as_it_was_told() -> None:
    desk = Desk()
    desk.tell(2, 15, a1=[5.0, 6.0])
    desk.tell(17, 30, a1=[7.0])
    assert desk.schedules.manager_kw("lot", ("a1",), at(15), 2, []) == (5.0, 7.0)


def test_a_gap_that_two_looks_find_is_carried_for_an_hour_and_one_looks_is_not() -> None:
    desk = Desk()
    desk.tell(2, 0, a1=[10.0] * 12, b1=[2.0] * 12)
    desk.minutes = 4
    desk.schedules.hold_against({"a1": 16.0, "b1": 2.0}, [])
    assert desk.expected(4, 15, 6)["a1"] == [10.0] * 6
    desk.tell(17, 15, a1=[10.0] * 11, b1=[2.0] * 11)
    desk.minutes = 19
    desk.schedules.hold_against({"a1": 14.0, "b1": 0.5}, [])
    assert desk.expected(19, 30, 6) == {"a1": [14.0] * 4 + [10.0] * 2, "b1": [2.0] * 6}
    # a reading that may reach back into another period teaches nothing
    desk.schedules.hold_against({"a1": 99.0, "b1": 99.0}, [], learn=False)
    assert desk.expected(19, 30, 1) == {"a1": [14.0], "b1": [2.0]}
    desk.minutes = 34
    desk.schedules.hold_against({"a1": 8.0, "b1": -9.0}, [])
    # less than told is taken off as far as something is told; a gap to the other side is no lasting one
    assert desk.expected(34, 45, 1) == {"a1": [10.0], "b1": [0.5]}


def test_what_one_manager_overstates_is_held_against_it_alone() -> None:
    desk = Desk()
    order = Order(start=at(15), end=at(45), ends=at(45))
    desk.tell(2, 0, a1=[10.0] * 12, b1=[60.0] * 12)
    desk.tell(2, 0, manager="other", b1=[20.0] * 12)
    for minutes, drawn in ((4, 10.0), (19, 6.0)):  # an order counts as in the forecast
        desk.minutes = minutes
        own = {"lot": {"a1": drawn, "b1": 0.0}, "other": {"b1": 20.0}, "stranger": {"b1": 1.0}}
        desk.schedules.hold_against({"a1": drawn, "b1": 20.0}, [order], of_managers_kw=own)
    assert desk.schedules.shown("lot", ("b1",)) == Shown(-60.0, 60.0)
    assert desk.schedules.shown("lot", ("a1",)).gap_kw == 0.0
    assert desk.schedules.shown("other", ("a1", "b1")) == Shown(0.0, 20.0)


def test_where_nobody_tells_it_is_what_is_metered_moved_as_usual_or_what_is_usual() -> None:
    typical = Typical(lambda when: {"a1": 3.0 if when < at(30) else 8.0, "b1": 1.5})
    desk = Desk(typical)
    assert desk.expected(19, 30, 2) == {"a1": [8.0, 8.0], "b1": [1.5, 1.5]}
    desk.schedules.hold_against({"a1": 20.0}, [])
    assert desk.expected(19, 30, 2) == {"a1": [25.0, 25.0], "b1": [1.5, 1.5]}
    # a service that runs now is in what is metered; when it is over, that is drawn again
    running = Order(manager="mute", start=at(15), end=at(45), ends=at(45))
    assert desk.expected(19, 30, 2, running)["a1"] == [25.0, 29.0]


def test_a_manager_that_falls_silent_is_told_once_and_when_it_tells_again() -> None:
    desk = Desk()
    desk.tell(2, 15, a1=[5.0] * 8)
    for minutes in (19, 27):
        desk.minutes = minutes
        desk.schedules.tell_silent(["lot"])
    assert desk.notices == []
    desk.minutes = 34
    desk.schedules.tell_silent(["lot"])
    desk.schedules.tell_silent(["lot"])
    assert len(desk.notices) == 1
    desk.tell(35, 45, a1=[5.0] * 8)
    desk.schedules.tell_silent(["lot"])
    assert desk.notices[1:] == ["lot tells its schedule again"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"start": 20}, "starts within a market period"),
        ({"start": 30, "made": 40}, "is dated 0:20:00 ahead of the time"),
        ({"start": 30, "made": 1}, "came 0:01:00 out of order"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_left_out_and_told_once(told: dict[str, float], words: str) -> None:
    desk = Desk()
    desk.tell(2, 15, a1=[5.0] * 8)
    for _ in range(2):
        desk.tell(20, **told, a1=[9.0] * 8)
    assert [words in notice for notice in desk.notices] == [True]
    assert desk.expected(20, 30, 1)["a1"] == [5.0]


def test_of_two_schedules_of_one_moment_the_later_to_come_holds_and_strange_buses_are_left_out() -> None:
    desk = Desk()
    desk.tell(2, 15, a1=[5.0])
    desk.tell(2, 15, a1=[6.0], z9=[7.0])
    assert desk.expected(2, 15, 1)["a1"] == [6.0]
    assert desk.schedules.buses_of("lot") == ("a1",)
    assert desk.notices == ["lot tells of z9, where no charger of this network is: left out"]
