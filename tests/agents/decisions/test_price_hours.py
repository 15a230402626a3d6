"""Reductions as they are announced, by whole hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from agents.decisions.price_hours import HourlyReduction, by_the_hour

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)


def less(start: float, end: float, eur: str = "0.05", *buses: str) -> HourlyReduction:
    """From and until so many hours after noon."""
    hour = timedelta(hours=1)
    return HourlyReduction(buses or ("b1",), NOON + start * hour, NOON + end * hour, Decimal(eur))


def test_quarters_that_come_and_go_are_one_reduction_of_whole_hours() -> None:
    found = [less(0.25, 0.5), less(0.75, 1.25), less(1.75, 2.0)]
    assert by_the_hour(found, [], NOON) == (less(0, 2),)


def test_an_hour_between_without_a_reason_keeps_its_price() -> None:
    assert by_the_hour([less(0, 0.5), less(2, 2.5)], [], NOON) == (less(0, 1), less(2, 3))


def test_nothing_begins_sooner_than_it_can_be_announced() -> None:
    soon = NOON + timedelta(minutes=15)
    assert by_the_hour([less(-2, 1.5)], [], soon) == (less(0.25, 2),)


def test_of_two_reasons_the_larger_reduction_counts_in_its_hours_only() -> None:
    found = [less(0, 3, "0.05"), less(1, 2, "0.08")]
    assert by_the_hour(found, [], NOON) == (less(0, 1), less(1, 2, "0.08"), less(2, 3))


def test_buses_that_are_alike_are_announced_together_and_in_order() -> None:
    found = [less(0, 1, "0.05", "b2"), less(0.25, 1, "0.05", "b1"), less(0, 2, "0.05", "b3")]
    assert by_the_hour(found, [], NOON) == (less(0, 1, "0.05", "b1", "b2"), less(0, 2, "0.05", "b3"))


def test_what_holds_already_is_not_announced_again_and_what_is_more_is() -> None:
    holding = [less(0, 2, "0.05", "b1", "b2")]
    assert by_the_hour([less(0, 2, "0.05", "b1", "b2")], holding, NOON) == ()
    assert by_the_hour([less(0, 3, "0.05", "b1")], holding, NOON) == (less(2, 3),)
    assert by_the_hour([less(0.5, 1, "0.06", "b1", "b2")], holding, NOON) == (less(0, 1, "0.06", "b1", "b2"),)


def test_part_of_an_hour_that_begins_late_joins_the_next() -> None:
    late = NOON + timedelta(minutes=45)
    assert by_the_hour([less(0, 2)], [], late) == (less(0.75, 2),)


def test_what_is_announced_is_in_utc_whatever_the_zone_of_the_reason() -> None:
    zone = timezone(timedelta(hours=3))
    reason = HourlyReduction(
        ("b1",), less(0, 1).start.astimezone(zone), less(0, 1).end.astimezone(zone), Decimal("0.05")
    )
    (told,) = by_the_hour([reason], [], NOON.astimezone(zone))
    assert (told.start.isoformat(), told.end.isoformat()) == ("2026-06-08T12:00:00+00:00", "2026-06-08T13:00:00+00:00")
