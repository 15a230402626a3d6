"""What a charging station can still promise (D5.1 3.5.2, ID 5.2.3): bookings, offers under a cap, and re-planning.

Sessions lie on the quarters of UTC and hold one power in each. Powers are whole watts, so that sums under a cap are
exact. Positive power is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from agents.periods import QUARTER
from agents.public_ports import StationSite
from protocols.exchanges.capacity_contracts import Stay


@dataclass(frozen=True, slots=True)
class Booking:
    """A session that is promised: the charger is its own from `start` until `end`, `powers_kw` one for each quarter.

    `max_charge_kw` is the car's; a re-planned session keeps it.
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
        index = (at - self.start) // QUARTER
        return self.powers_kw[index] if 0 <= index < len(self.powers_kw) else 0.0


class BookingList:
    """The sessions promised at one station."""

    def __init__(self, station_id: str) -> None: ...

    def __iter__(self) -> Iterator[Booking]: ...

    def __len__(self) -> int: ...

    def add(self, booking: Booking) -> None:
        """Raises ValueError for another station's, an id twice, or a charger that is not free."""

    def remove(self, booking_id: str) -> Booking:
        """Raises KeyError."""

    def replace(self, booking: Booking) -> None:
        """The same id with another profile."""

    def get(self, booking_id: str) -> Booking | None: ...

    def power_kw(self, start: datetime, periods: int) -> tuple[float, ...]:
        """What is promised in each quarter from `start`."""

    def free_charger(self, site: StationSite, start: datetime, end: datetime) -> str | None:
        """The first charger without a session in that time."""

    def running(self, at: datetime) -> list[Booking]: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """A session that could be promised: `stay` is the number of the driver's stay."""

    station_id: str
    charger_id: str
    stay: int
    start: datetime
    powers_kw: tuple[float, ...]
    energy_kwh: float
    price_eur_per_kwh: Decimal
    amount_eur: Decimal
    end: datetime

    def booking(self, booking_id: str, max_charge_kw: float) -> Booking: ...


def offers(
    site: StationSite,
    bookings: BookingList,
    cap_kw: Callable[[datetime], float],
    energy_kwh: float,
    max_charge_kw: float,
    stay_index: int,
    stay: Stay,
    price_at: Callable[[str, datetime], Decimal],
    now: datetime,
    most: int = 3,
) -> list[Offer]: ...


def replan(
    site: StationSite, bookings: BookingList, cap_kw: Callable[[datetime], float], from_: datetime
) -> list[Booking] | str:
    """The bookings whose profile changes, changed; or why it cannot be."""


def distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float: ...
