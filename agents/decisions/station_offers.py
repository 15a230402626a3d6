"""What a charging station can still promise (D5.1 3.5.2, ID 5.2.3): offers that keep a cap.

Sessions lie on the quarters of UTC and hold one power in each. Powers are whole watts, so that sums under a cap are
exact. Positive power is drawn; times are aware.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from itertools import accumulate
from math import asin, cos, radians, sin, sqrt
from typing import Final

from agents.decisions.money import PRICE_TICK, cents
from agents.decisions.station_bookings import (
    QUARTERS_AN_HOUR,
    WATTS_PER_KW,
    Booking,
    BookingList,
    quarter_of,
    quarter_up,
    start_of,
    watts_down,
)
from agents.public_ports import StationSite
from protocols.exchanges.capacity_contracts import Stay

LEAST_SHARE: Final = 0.6
"""Of the energy asked for: where no session gives all of it, one that gives this part is still offered."""
_LEAST_KW: Final = 1.0
"""Room for less is no room: nobody begins, or goes on, with a trickle."""
_EARTH_KM: Final = 6371.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A session that could be promised: `stay` is the number of the driver's stay, the price one for the session."""

    station_id: str
    charger_id: str
    stay: int
    start: datetime
    powers_kw: tuple[float, ...]
    energy_kwh: float
    price_eur_per_kwh: Decimal
    amount_eur: Decimal
    end: datetime

    def booking(self, booking_id: str, max_charge_kw: float) -> Booking:
        """The session that it becomes."""
        return Booking(
            booking_id,
            self.station_id,
            self.charger_id,
            self.start,
            self.powers_kw,
            self.energy_kwh,
            self.price_eur_per_kwh,
            max_charge_kw,
        )


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
) -> list[Offer]:
    """The earliest session that gives all the energy within the stay, then later starts that are cheaper.

    Each quarter takes what charger, car, connection, cap and the other sessions leave; the last one only the rest.
    `cap_kw` of a quarter's start holds for the quarter, and may be infinite. `price_at(station_id, quarter)`: the price
    of a session is the mean over its energy, to the tick, downwards. Nothing begins before `now`. Where no session
    gives all, the one that gives most is offered if that is `LEAST_SHARE` at least. At most `most`, by start; none
    where there is nothing.
    """
    first, last = max(quarter_up(stay.arrival), quarter_up(now)), quarter_of(stay.departure)
    wanted = QUARTERS_AN_HOUR * watts_down(energy_kwh)
    if last <= first or wanted <= 0 or most < 1:
        return []
    span = range(first, last)
    times = [start_of(quarter) for quarter in span]
    room = _room(site, bookings, [cap_kw(at) for at in times], max_charge_kw, span)
    summed = list(accumulate(room, initial=0))
    if summed[-1] < LEAST_SHARE * wanted:
        return []
    prices = [price_at(site.station_id, at) for at in times]
    flat = min(prices) == max(prices)
    found: list[Offer] = []
    for begin, power in enumerate(room):
        if not power:
            continue
        end = bisect_left(summed, summed[begin] + wanted, begin)
        if end > len(room):
            break
        charger = bookings.free_in(site, span[begin:end])
        if charger is None:
            continue
        profile = _filled(room[begin:end], wanted)
        price = prices[begin] if flat else _mean(prices[begin:end], profile)
        if not found or price < found[-1].price_eur_per_kwh:
            found.append(_offer(site, charger, stay_index, span[begin], profile, price))
        if flat:
            break
    return _spread(found, most) if found else _partial(site, bookings, stay_index, span, room, summed, prices, wanted)


def distance_km(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """The great circle's length between two places (degrees), by the haversine formula."""
    phi, other_phi = radians(lat), radians(other_lat)
    turn = sin((other_phi - phi) / 2) ** 2 + cos(phi) * cos(other_phi) * sin(radians(other_lon - lon) / 2) ** 2
    return 2 * _EARTH_KM * asin(min(1.0, sqrt(turn)))


def _room(
    site: StationSite, bookings: BookingList, caps_kw: Sequence[float], max_charge_kw: float, span: range
) -> list[int]:
    """What one more session could draw in each quarter, W."""
    own = watts_down(min(site.charger_kw, max_charge_kw))
    least = min(own, watts_down(_LEAST_KW))
    room = []
    for cap_kw, used in zip(caps_kw, bookings.watts_in(span), strict=True):
        left = min(own, watts_down(min(site.connection_kw, cap_kw)) - used)
        room.append(left if left >= least else 0)
    return room


def _filled(room: Sequence[int], wanted: int) -> list[int]:
    """The room, cut in its last quarter so that no more than `wanted` (W times quarters) is drawn."""
    profile = list(room)
    profile[-1] -= max(0, sum(profile) - wanted)
    return profile


def _mean(prices: Sequence[Decimal], profile: Sequence[int]) -> Decimal:
    """EUR/kWh over the energy, down to the tick."""
    paid = sum((price * watts for price, watts in zip(prices, profile, strict=True)), Decimal(0))
    return (paid / sum(profile)).quantize(PRICE_TICK, ROUND_FLOOR)


def _offer(site: StationSite, charger: str, stay: int, first: int, profile: Sequence[int], price: Decimal) -> Offer:
    energy = Decimal(sum(profile)) / (WATTS_PER_KW * QUARTERS_AN_HOUR)
    return Offer(
        site.station_id,
        charger,
        stay,
        start_of(first),
        tuple(watts / WATTS_PER_KW for watts in profile),
        float(energy),
        price,
        cents(price * energy),
        start_of(first + len(profile)),
    )


def _spread(found: Sequence[Offer], most: int) -> list[Offer]:
    """The first, the last, and between them as evenly as can be."""
    if len(found) <= most:
        return list(found)
    if most == 1:
        return [found[0]]
    return [found[round(number * (len(found) - 1) / (most - 1))] for number in range(most)]


def _partial(
    site: StationSite,
    bookings: BookingList,
    stay: int,
    span: range,
    room: Sequence[int],
    summed: Sequence[int],
    prices: Sequence[Decimal],
    wanted: int,
) -> list[Offer]:
    """The session that gives most, the earlier one first, if it gives enough."""
    best: tuple[int, int, int, str] | None = None
    for begin, power in enumerate(room):
        if not power:
            continue
        for charger in site.charger_ids:
            end = bookings.free_until(charger, span[begin], span.stop) - span.start
            given = min(wanted, summed[end] - summed[begin])
            if given >= LEAST_SHARE * wanted and (best is None or given > best[0]):
                best = (given, begin, bisect_left(summed, summed[begin] + given, begin), charger)
    if best is None:
        return []
    given, begin, end, charger = best
    profile = _filled(room[begin:end], given)
    return [_offer(site, charger, stay, span[begin], profile, _mean(prices[begin:end], profile))]
