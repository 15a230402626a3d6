"""Market time: quarters of an hour. Every market day starts at a local midnight, and every zone of ENTSO-E's area is
a whole number of quarters from UTC, so that the quarters of UTC are the market periods on days of 92, 96 and 100."""

from __future__ import annotations

from datetime import datetime, timedelta

QUARTER = timedelta(minutes=15)
MINUTES = 15


def quarter_at(at: datetime) -> datetime:
    """The start of the market period that `at` lies in."""
    return at - timedelta(minutes=at.minute % MINUTES, seconds=at.second, microseconds=at.microsecond)


def next_quarter(at: datetime) -> datetime:
    """The start of the first market period after `at`."""
    return quarter_at(at) + QUARTER


def quarters(start: datetime, end: datetime) -> int:
    """How many market periods lie from `start` to `end`, rounded up."""
    return max(0, -((start - end) // QUARTER))


def index_of(at: datetime, start: datetime) -> int:
    """The number of the market period that `at` lies in, counted from `start`."""
    return (at - start) // QUARTER
