"""Who has which charger when, and what the sessions draw together."""

from __future__ import annotations

import pytest

from tests.agents.decisions.station import SITE, at, booked, booking

FIRST = booking("b-1", "k-1", 0, 50, 50, 20)


def test_a_session_draws_its_powers_in_its_quarters_and_nothing_outside() -> None:
    assert FIRST.end == at(0.75)
    assert [FIRST.power_at(at(hours)) for hours in (-0.01, 0, 0.3, 0.74, 0.75)] == [0, 50, 50, 20, 0]


def test_the_sessions_of_a_station_add_up() -> None:
    bookings = booked(FIRST, booking("b-2", "k-2", 0.25, 30, 30))
    assert bookings.power_kw(at(-0.25), 5) == (0, 50, 80, 50, 0)
    assert [each.booking_id for each in bookings.running(at(0.3))] == ["b-1", "b-2"]
    assert [each.booking_id for each in bookings.running(at(0.75))] == []
    assert len(bookings) == 2


def test_what_is_removed_leaves_nothing_behind() -> None:
    bookings = booked(FIRST, booking("b-2", "k-2", 0.25, 30.0005, 30))
    assert bookings.remove("b-2").charger_id == "k-2"
    assert bookings.power_kw(at(0), 3) == (50, 50, 20)
    assert bookings.get("b-2") is None
    bookings.add(booking("b-3", "k-2", 0.25, 10))
    with pytest.raises(KeyError):
        bookings.remove("b-2")


def test_a_charger_is_free_between_two_sessions() -> None:
    bookings = booked(FIRST, booking("b-2", "k-1", 2, 50))
    assert bookings.free_charger(SITE, at(0.75), at(2)) == "k-1"
    assert bookings.free_charger(SITE, at(0.7), at(2)) == "k-2"
    assert bookings.free_charger(SITE, at(0.75), at(2.1)) == "k-2"
    bookings.add(booking("b-3", "k-2", 0, 50))
    bookings.add(booking("b-4", "k-3", 0, 50))
    assert bookings.free_charger(SITE, at(0), at(0.25)) is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (booking("b-1", "k-2", 0, 50), "booked already"),
        (booking("b-2", "k-1", 0.5, 50), "k-1 is taken"),
        (booking("b-2", "k-2", 0, 50, station="markopoulo"), "markopoulo, not at koropi"),
        (booking("b-2", "k-2", 0.1, 50), "whole quarters"),
        (booking("b-2", "k-2", 0), "at least one"),
    ],
)
def test_a_session_that_cannot_be_held_is_refused(wrong: object, why: str) -> None:
    bookings = booked(FIRST)
    with pytest.raises(ValueError, match=why):
        bookings.add(wrong)  # type: ignore[arg-type]
    assert bookings.power_kw(at(0), 4) == (50, 50, 20, 0)


def test_a_session_takes_another_profile_or_keeps_its_own() -> None:
    bookings = booked(FIRST, booking("b-2", "k-1", 0.75, 50))
    bookings.replace(booking("b-1", "k-1", 0, 40, 40, 40))
    assert bookings.power_kw(at(0), 4) == (40, 40, 40, 50)
    with pytest.raises(ValueError, match="taken"):
        bookings.replace(booking("b-1", "k-1", 0, 30, 30, 30, 30))
    assert bookings.power_kw(at(0), 4) == (40, 40, 40, 50)
