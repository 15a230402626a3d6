"""Sessions planned anew around a charger that does not answer."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.decisions.station_bookings import Booking, BookingList
from agents.station_control import Told
from agents.station_replanning import replanned
from tests.agents.stage import at
from tests.agents.station_stage import HUB


def bookings(*powers_kw: tuple[float, ...]) -> BookingList:
    found = BookingList("hub1")
    for n, powers in enumerate(powers_kw, 1):
        found.add(Booking(f"b{n}", "hub1", f"hub1-{n}", at(0), powers, sum(powers) / 4, Decimal("0.50"), 60.0))
    return found


def test_without_silent_chargers_every_session_may_change() -> None:
    changed = replanned(HUB, bookings((20.0, 60.0), (20.0, 20.0)), lambda t: 60.0, at(0), {})
    assert not isinstance(changed, str)
    assert {booking.booking_id: booking.powers_kw for booking in changed} == {"b1": (40.0, 40.0)}


def test_a_silent_charger_keeps_what_it_was_told_and_the_others_share_the_rest() -> None:
    deaf = {"b1": Told(50.0, at(15), 30.0)}
    changed = replanned(HUB, bookings((50.0, 50.0), (40.0, 0.0)), lambda t: 60.0, at(0), deaf)
    assert not isinstance(changed, str)
    assert {booking.booking_id: booking.powers_kw for booking in changed} == {"b2": (10.0, 30.0)}


def test_a_silent_charger_that_draws_more_than_the_limit_is_named() -> None:
    deaf = {"b1": Told(50.0, at(15), 45.0)}
    why = replanned(HUB, bookings((50.0, 50.0)), lambda t: 40.0, at(15), deaf)
    assert why == "hub1-1 does not answer and draws 45 kW at 06:15 UTC, the limit is 40 kW"


@pytest.mark.parametrize("cap_kw", [30.0, 59.0])
def test_what_cannot_be_kept_is_said(cap_kw: float) -> None:
    why = replanned(HUB, bookings((60.0, 60.0)), lambda t: cap_kw, at(0), {})
    assert isinstance(why, str)
    assert "b1" in why
