"""The market's periods of 15 minutes, on the grid of the local day: 96 of them, 92 and 100 when the clocks change.

Times given and returned are aware; differences are taken between instants, never between clock readings.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from protocols.units import MARKET_PERIOD


def day_start(day: date, zone: tzinfo) -> datetime:
    """Local midnight at which the day begins, in UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def periods_in_day(day: date, zone: tzinfo) -> int:
    """How many whole market periods the local day has."""
    return (day_start(day + timedelta(days=1), zone) - day_start(day, zone)) // MARKET_PERIOD


def period_start(day: date, index: int, zone: tzinfo) -> datetime:
    """When the period `index` (from 0) of the local day begins, in the local zone."""
    return (day_start(day, zone) + index * MARKET_PERIOD).astimezone(zone)


def period_index(at: datetime, zone: tzinfo) -> int:
    """The index (from 0) of the period of the local day in which `at` lies."""
    return (at.astimezone(UTC) - day_start(at.astimezone(zone).date(), zone)) // MARKET_PERIOD


def begins_period(at: datetime, zone: tzinfo) -> bool:
    """Whether a market period begins at this instant."""
    since_midnight = at.astimezone(UTC) - day_start(at.astimezone(zone).date(), zone)
    return since_midnight % MARKET_PERIOD == timedelta(0)


def periods_between(start: datetime, end: datetime) -> int:
    """How many whole market periods lie between two instants."""
    return (end.astimezone(UTC) - start.astimezone(UTC)) // MARKET_PERIOD
