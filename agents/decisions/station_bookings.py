"""The sessions that are promised at a charging station: who has which charger, and what they draw together.

Sessions lie on the quarters of UTC and hold one power in each. Powers are counted in whole watts, so that sums under a
cap are exact. Positive power is drawn; times are aware.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil, floor
from typing import Final

from agents.periods import QUARTER
from agents.public_ports import StationSite

WATTS_PER_KW: Final = 1000
QUARTERS_AN_HOUR: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOISE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Booking:
    """A session that is promised: the charger is its own from `start` until `end`, `powers_kw` one for each quarter.

    `energy_kwh` is what they add up to; `max_charge_kw` is the car's, which a re-planned session keeps, too.
    """

    booking_id: str
    station_id: str
    charger_id: str
    start: datetime
    powers_kw: tuple[float, ...]
    energy_kwh: float
    price_eur_per_kwh: Decimal
    max_charge_kw: float

    @property
    def end(self) -> datetime:
        return self.start + len(self.powers_kw) * QUARTER

    def power_at(self, at: datetime) -> float:
        """kW at this time; 0 outside the session."""
        number = (at - self.start) // QUARTER
        return self.powers_kw[number] if 0 <= number < len(self.powers_kw) else 0.0


class BookingList:
    """The sessions promised at one station, in the order in which they were."""

    def __init__(self, station_id: str) -> None:
        self.station_id = station_id
        self._by_id: dict[str, Booking] = {}
        self._watts: Counter[int] = Counter()
        self._taken: dict[str, set[int]] = {}

    def __iter__(self) -> Iterator[Booking]:
        return iter(tuple(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, booking_id: str) -> Booking | None:
        """The session of that id, None where there is none."""
        return self._by_id.get(booking_id)

    def add(self, booking: Booking) -> None:
        """Raises ValueError for another station, an id twice, a start off the quarters, or a charger that is taken."""
        if booking.station_id != self.station_id:
            raise ValueError(f"{booking.booking_id} is a session at {booking.station_id}, not at {self.station_id}")
        if booking.booking_id in self._by_id:
            raise ValueError(f"{booking.booking_id} is booked already")
        if not booking.powers_kw or (booking.start - _EPOCH) % QUARTER:
            raise ValueError(f"{booking.booking_id} must last whole quarters of an hour, at least one")
        span = span_of(booking)
        taken = self._taken.setdefault(booking.charger_id, set())
        if not taken.isdisjoint(span):
            raise ValueError(f"{booking.booking_id}: {booking.charger_id} is taken at {booking.start:%Y-%m-%d %H:%M}")
        taken.update(span)
        for quarter, power in zip(span, booking.powers_kw, strict=True):
            self._watts[quarter] += watts_up(power)
        self._by_id[booking.booking_id] = booking

    def remove(self, booking_id: str) -> Booking:
        """The session that is no longer one. Raises KeyError."""
        booking = self._by_id.pop(booking_id)
        span = span_of(booking)
        self._taken[booking.charger_id].difference_update(span)
        for quarter, power in zip(span, booking.powers_kw, strict=True):
            self._watts[quarter] -= watts_up(power)
        return booking

    def replace(self, booking: Booking) -> None:
        """The same session with another profile. Raises KeyError for one that is not there, ValueError as `add`."""
        before = self.remove(booking.booking_id)
        try:
            self.add(booking)
        except ValueError:
            self.add(before)
            raise

    def power_kw(self, start: datetime, periods: int) -> tuple[float, ...]:
        """What is promised in each quarter from `start`, all sessions together."""
        first = quarter_of(start)
        return tuple(self._watts.get(quarter, 0) / WATTS_PER_KW for quarter in range(first, first + periods))

    def free_charger(self, site: StationSite, start: datetime, end: datetime) -> str | None:
        """The first of the station's chargers without a session in that time; None where all have one."""
        return self.free_in(site, range(quarter_of(start), quarter_up(end)))

    def running(self, at: datetime) -> list[Booking]:
        """The sessions that `at` lies in."""
        return [booking for booking in self._by_id.values() if booking.start <= at < booking.end]

    def free_in(self, site: StationSite, span: range) -> str | None:
        """`free_charger` for quarters counted from 1970."""
        for charger in site.charger_ids:
            if charger not in self._taken or self._taken[charger].isdisjoint(span):
                return charger
        return None

    def free_until(self, charger_id: str, first: int, last: int) -> int:
        """The quarter from `first` on, at most `last`, from which on the charger is taken."""
        taken = self._taken.get(charger_id, set())
        return next((quarter for quarter in range(first, last) if quarter in taken), last)

    def watts_in(self, span: range) -> list[int]:
        """`power_kw` in watts for quarters counted from 1970."""
        return [self._watts.get(quarter, 0) for quarter in span]


def span_of(booking: Booking) -> range:
    """The session's quarters, counted from 1970."""
    first = quarter_of(booking.start)
    return range(first, first + len(booking.powers_kw))


def quarter_of(at: datetime) -> int:
    """The number of the quarter that `at` lies in, from 1970."""
    return (at - _EPOCH) // QUARTER


def quarter_up(at: datetime) -> int:
    """The number of the first quarter that begins at `at` or later."""
    return -((_EPOCH - at) // QUARTER)


def start_of(quarter: int) -> datetime:
    """When the quarter of that number begins."""
    return _EPOCH + quarter * QUARTER


def watts_down(power_kw: float) -> int:
    """Whole watts, downwards; a hair below one is the float's noise."""
    return floor(power_kw * WATTS_PER_KW + _NOISE)


def watts_up(power_kw: float) -> int:
    """Whole watts, upwards; a hair above one is the float's noise."""
    return ceil(power_kw * WATTS_PER_KW - _NOISE)
