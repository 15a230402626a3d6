"""A station of three chargers for the tests of bookings, offers and re-planning."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agents.decisions.station_bookings import Booking, BookingList
from agents.decisions.station_offers import Offer, offers
from agents.public_ports import StationSite
from protocols.exchanges.capacity_contracts import Stay

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)
SITE = StationSite("koropi", "ppc", "bus-8", 37.9, 23.87, ("k-1", "k-2", "k-3"), 60.0, 150.0)


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def stay(arrival: float = 0.0, departure: float = 4.0) -> Stay:
    return Stay(latitude_deg=37.9, longitude_deg=23.87, arrival=at(arrival), departure=at(departure))


def booking(
    name: str, charger: str, start: float, *powers_kw: float, max_charge_kw: float = 50.0, station: str = "koropi"
) -> Booking:
    return Booking(name, station, charger, at(start), powers_kw, sum(powers_kw) / 4, Decimal("0.60"), max_charge_kw)


def booked(*sessions: Booking) -> BookingList:
    bookings = BookingList("koropi")
    for session in sessions:
        bookings.add(session)
    return bookings


def usual(station_id: str, when: datetime) -> Decimal:
    return Decimal("0.60")


def lower(start: float, end: float, eur: str = "0.10") -> Callable[[str, datetime], Decimal]:
    return lambda _, when: Decimal("0.60") - (Decimal(eur) if at(start) <= when < at(end) else 0)


def cap(kw: float, start: float = -100.0, end: float = 100.0) -> Callable[[datetime], float]:
    return lambda when: kw if at(start) <= when < at(end) else float("inf")


def offered(
    bookings: BookingList | None = None,
    energy_kwh: float = 25.0,
    max_charge_kw: float = 50.0,
    *,
    cap_kw: Callable[[datetime], float] | None = None,
    staying: Stay | None = None,
    price_at: Callable[[str, datetime], Decimal] = usual,
    now: float = -3.0,
    most: int = 3,
) -> list[Offer]:
    return offers(
        SITE,
        booked() if bookings is None else bookings,
        cap_kw or cap(1000.0),
        energy_kwh,
        max_charge_kw,
        1,
        staying or stay(),
        price_at,
        at(now),
        most,
    )
