"""Market periods: quarters of an hour, on every day of the year."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agents.periods import MINUTES, QUARTER, index_of, next_quarter, quarter_at, quarters

ZONE = ZoneInfo("Europe/Ljubljana")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minute", "second", "start"), [(0, 0, 0), (14, 59, 0), (15, 0, 15), (44, 59, 30), (59, 59, 45)]
)
def test_a_moment_lies_in_the_quarter_that_has_begun(minute: int, second: int, start: int) -> None:
    at = NOON.replace(minute=minute, second=second, microsecond=7)
    assert quarter_at(at) == NOON.replace(minute=start)
    assert next_quarter(at) == NOON.replace(minute=start) + timedelta(minutes=15)


def test_the_next_quarter_is_never_the_present_one() -> None:
    assert next_quarter(NOON) == NOON + QUARTER


@pytest.mark.parametrize(("minutes", "count"), [(-15, 0), (0, 0), (1, 1), (15, 1), (16, 2), (60, 4)])
def test_periods_are_counted_and_a_part_counts_as_one(minutes: int, count: int) -> None:
    assert quarters(NOON, NOON + timedelta(minutes=minutes)) == count


def test_a_moment_has_the_number_of_its_period_before_the_start_as_well() -> None:
    moments = (-1, 0, 14, 15, 60)
    assert [index_of(NOON + timedelta(minutes=m), NOON) for m in moments] == [-1, 0, 0, 1, 4]


@pytest.mark.parametrize(("month", "day", "periods"), [(3, 29, 92), (6, 1, 96), (10, 25, 100)])
def test_local_days_have_92_96_or_100_quarters_of_utc(month: int, day: int, periods: int) -> None:
    """The change of the clocks: periods are counted in UTC, and each local midnight begins one."""
    midnight, next_midnight = (datetime(2026, month, day + k, tzinfo=ZONE).astimezone(UTC) for k in (0, 1))
    assert quarter_at(midnight) == midnight
    assert quarters(midnight, next_midnight) == periods
    assert index_of(next_midnight, midnight) == periods


def test_a_quarter_has_fifteen_minutes() -> None:
    assert timedelta(minutes=MINUTES) == QUARTER
