"""Promised sessions under a cap that comes later."""

from __future__ import annotations

import random

import pytest

from agents.decisions.station_replan import replan
from tests.agents.decisions.station import SITE, at, booked, booking, cap

TWO = (booking("b-1", "k-1", 0, 50, 50, 10, 0), booking("b-2", "k-2", 0, 40, 40, 0, 0, max_charge_kw=40.0))


def test_nothing_changes_under_a_cap_that_holds_already() -> None:
    assert replan(SITE, booked(*TWO), cap(90.0), at(0)) == []


def test_power_moves_within_the_sessions_and_their_energy_stays() -> None:
    bookings = booked(*TWO)
    changed = replan(SITE, bookings, cap(60.0), at(0))
    assert isinstance(changed, list)
    for session in changed:
        before = bookings.get(session.booking_id)
        assert before is not None
        assert sum(session.powers_kw) == pytest.approx(sum(before.powers_kw), abs=1e-9)
        assert (session.end, session.charger_id, session.energy_kwh) == (
            before.end,
            before.charger_id,
            before.energy_kwh,
        )
        assert max(session.powers_kw) <= session.max_charge_kw
        bookings.replace(session)
    powers = bookings.power_kw(at(0), 4)
    assert max(powers) <= 60.0
    assert powers[0] == powers[1] == 60.0, "no more is moved than must be"


def test_only_what_must_change_changes() -> None:
    bookings = booked(*TWO, booking("b-3", "k-3", 6, 50, 50))
    changed = replan(SITE, bookings, cap(89.0, 0, 1), at(0))
    assert isinstance(changed, list)
    assert len(changed) == 1
    before = next(each for each in TWO if each.booking_id == changed[0].booking_id)
    moved = sum(abs(a - b) for a, b in zip(changed[0].powers_kw, before.powers_kw, strict=True))
    assert moved == pytest.approx(4.0), "1 kW in each of two quarters, out and in"


def test_what_has_been_charged_stays_as_it_was() -> None:
    bookings = booked(*TWO)
    changed = replan(SITE, bookings, cap(60.0, 0.25, 2), at(0.2))
    assert isinstance(changed, list)
    for session in changed:
        bookings.replace(session)
    assert bookings.power_kw(at(0), 2) == (90, 60)


def test_where_the_cap_leaves_too_little_it_says_for_whom() -> None:
    bookings = booked(booking("b-1", "k-1", 0, 50, 50))
    told = replan(SITE, bookings, cap(30.0), at(0))
    assert told == "b-1 needs 25.000 kWh until 2026-06-08 12:30 UTC and would get 15.000 kWh"
    told = replan(SITE, bookings, cap(30.0), at(0.25))
    assert told == "b-1 needs 12.500 kWh until 2026-06-08 12:30 UTC and would get 7.500 kWh"
    assert len(bookings) == 1


def test_a_car_is_not_asked_for_more_than_it_can_take() -> None:
    slow = booking("b-1", "k-1", 0, 11, 11, 4, max_charge_kw=11.0)
    assert isinstance(replan(SITE, booked(slow), cap(8.0, 0, 0.25), at(0)), list)
    assert replan(SITE, booked(slow), cap(2.0, 0, 0.25), at(0)) != []
    assert isinstance(replan(SITE, booked(slow), cap(2.0, 0, 0.25), at(0)), str)


def test_no_cap_and_no_session_need_nothing() -> None:
    assert replan(SITE, booked(), cap(0.0), at(0)) == []
    assert replan(SITE, booked(*TWO), cap(0.0), at(1)) == []


def test_a_plan_is_found_where_the_first_to_leave_must_not_be_served_first_alone() -> None:
    # k-1 leaves first but both slow cars need every quarter: serving in the order of departures alone would fail
    bookings = booked(
        booking("b-1", "k-1", 0, 40, 40, 0, max_charge_kw=40.0),
        booking("b-2", "k-2", 0, 20, 20, 20, 20, max_charge_kw=20.0),
        booking("b-3", "k-3", 0, 20, 20, 20, 20, max_charge_kw=20.0),
    )
    changed = replan(SITE, bookings, cap(67.0, 0, 0.75), at(0))
    assert isinstance(changed, list)
    for session in changed:
        bookings.replace(session)
    assert max(bookings.power_kw(at(0), 3)) <= 67.0


def test_any_plan_that_is_found_keeps_every_bound_to_the_watt() -> None:
    rng, plans = random.Random(3), 0
    for _ in range(60):
        sessions = [
            booking(
                f"b-{n}",
                f"k-{n}",
                rng.randrange(8) / 4,
                *(round(rng.choice([0.0, rng.uniform(0, 50)]), 3) for _ in range(rng.randint(2, 8))),
            )
            for n in (1, 2, 3)
        ]
        bookings, limit = booked(*sessions), round(rng.uniform(30, 120), 3)
        changed = replan(SITE, bookings, cap(limit), at(0.5))
        if isinstance(changed, str):
            continue
        plans += bool(changed)
        for session in changed:
            before = bookings.get(session.booking_id)
            assert before is not None
            assert round(4000 * sum(session.powers_kw)) == round(4000 * sum(before.powers_kw))
            assert all(0 <= power <= 50 for power in session.powers_kw)
            assert [session.power_at(at(h)) for h in (0, 0.25)] == [before.power_at(at(h)) for h in (0, 0.25)]
            bookings.replace(session)
        assert max(bookings.power_kw(at(0.5), 20)) <= limit
    assert plans > 10
