"""Which vehicles take part in a service, and whose promises are to be believed. Pure.

D5.1 3.2: "the FO should define the EVs that will participate in the service". The rule: who keeps promises first, each
counted with what it is expected to deliver, so that enough is called; among equals who has served least so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from protocols.exchanges.ev_services import EvOffer, EvOrder, UserState

LEAST_ORDER_KW = 0.5
"""No vehicle is ordered to change by less, unless it has offered less: it is not worth the messages."""
TOLD_KW, TOLD_PART = 0.5, 0.05
"""By so much (kW, and part of what was told) an offer may differ from what was told minutes before it."""
_LEAST_KW = 1e-3
"""A watt: what is left of a need below it is met."""
_STEPS = 3
"""Decimal places of an order in kW."""


@dataclass(frozen=True, slots=True)
class _Vehicle:
    """One offer, with whose it is and which part of it is expected to come."""

    manager: str
    offer: EvOffer
    expected: float


def choose(
    offers: Mapping[str, Sequence[EvOffer]],
    needed_kw: float,
    at: Mapping[str, float] | None = None,
    reliability: Mapping[str, float] | None = None,
    served_kwh: Mapping[str, float] | None = None,
) -> dict[str, tuple[EvOrder, ...]]:
    """The vehicles that take part, by manager; both in alphabetical order, managers without any left out.

    `offers`: by manager; `needed_kw`: the change that is needed, > 0 more drawn. `at`: the part of it that each bus
    needs (kW, same sign): the vehicles there are taken for it first, then for the rest those at such a bus, then all
    others. `reliability`: which part of its promises a manager keeps, (0, 1], 1 where it is not named, and nothing is
    called of one with 0. `served_kwh`: what each vehicle (by its id) has given to services so far.

    Vehicles are taken whole, most reliable manager first, then who served least, then by name, until what is expected
    of them (power times reliability) meets the need; the last one is ordered in part, to the watt, but not less than
    `LEAST_ORDER_KW`. Nobody is ordered more than was offered, and an offer of the other sign is left out. Raises
    ValueError on a need of 0 and on parts of the other sign.
    """
    if not needed_kw or any(kw * needed_kw < 0 for kw in (at or {}).values()):
        raise ValueError("a service needs a change above or below 0, and at each bus one of the same sign")
    sign = 1.0 if needed_kw > 0 else -1.0
    known, served, wanted = reliability or {}, served_kwh or {}, at or {}
    vehicles = [
        _Vehicle(manager, offer, known.get(manager, 1.0))
        for manager, each in offers.items()
        for offer in each
        if offer.power_kw * sign > 0 and known.get(manager, 1.0) > 0
    ]
    vehicles.sort(key=lambda v: (-v.expected, served.get(v.offer.user_id, 0.0), v.manager, v.offer.user_id))
    taken: dict[tuple[str, str], float] = {}
    left = abs(needed_kw)
    for bus in sorted(wanted):
        here = [v for v in vehicles if v.offer.location == bus]
        left -= _take(here, min(left, abs(wanted[bus])), taken)
    near = [v for v in vehicles if v.offer.location in wanted]
    far = [v for v in vehicles if v.offer.location not in wanted]
    _take([*near, *far], left, taken)
    orders: dict[str, tuple[EvOrder, ...]] = {}
    for vehicle in sorted(vehicles, key=lambda v: (v.manager, v.offer.user_id)):
        if power := taken.get((vehicle.manager, vehicle.offer.user_id), 0.0):
            power = max(power, min(LEAST_ORDER_KW, abs(vehicle.offer.power_kw)))
            orders[vehicle.manager] = (*orders.get(vehicle.manager, ()), _order(vehicle.offer, sign * power))
    return orders


def expected_kw(orders: Mapping[str, Sequence[EvOrder]], reliability: Mapping[str, float] | None = None) -> float:
    """What is likely to come of these orders, signed: power times the reliability of each manager (1 if not named)."""
    known = reliability or {}
    return sum(order.power_kw * known.get(manager, 1.0) for manager, each in orders.items() for order in each)


def _take(vehicles: Sequence[_Vehicle], needed: float, taken: dict[tuple[str, str], float]) -> float:
    """Adds to `taken` (kW, magnitudes) until `needed` is expected; returns what is expected of the addition."""
    met = 0.0
    for vehicle in vehicles:
        missing = needed - met
        if missing < _LEAST_KW:
            break
        key = vehicle.manager, vehicle.offer.user_id
        free = abs(vehicle.offer.power_kw) - taken.get(key, 0.0)
        part = min(free, round(missing / vehicle.expected, _STEPS))
        if part > 0:
            taken[key] = taken.get(key, 0.0) + part
            met += part * vehicle.expected
    return met


def _order(offer: EvOffer, power_kw: float) -> EvOrder:
    most = abs(offer.power_kw)
    return EvOrder(
        user_id=offer.user_id,
        ev_owner=offer.ev_owner,
        location=offer.location,
        baseline_kw=offer.baseline_kw,
        power_kw=min(most, max(-most, round(power_kw, _STEPS + 3))),
    )


@dataclass(frozen=True, slots=True)
class Trust:
    """Which part of its promises a manager has kept, the newest counting most; until when it is not called."""

    value: float = 1.0
    paused_until: datetime | None = None

    def may_be_called(self, at: datetime) -> bool:
        """Whether its pause, if any, is over."""
        return self.paused_until is None or at >= self.paused_until


@dataclass(frozen=True, slots=True)
class Memory:
    """How promises are remembered. `weight`: of the newest quarter of an hour, (0, 1]. A manager that falls below
    `bound` is not called for `pause`, and then begins again at the bound."""

    weight: float = 0.3
    bound: float = 0.5
    pause: timedelta = timedelta(hours=2)

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1 or not 0 < self.bound <= 1:
            raise ValueError("weight and bound of a memory lie above 0, up to 1")

    def after(self, trust: Trust, promised_kwh: float, delivered_kwh: float, at: datetime) -> Trust:
        """The trust after a quarter of an hour in which `delivered_kwh` of `promised_kwh` came (both >= 0).

        Nothing promised, nothing learnt. What comes during a pause (the tail of an older promise) changes nothing.
        """
        if promised_kwh <= 0 or not trust.may_be_called(at):
            return trust
        kept = min(1.0, max(0.0, delivered_kwh / promised_kwh))
        value = (1 - self.weight) * trust.value + self.weight * kept
        if value < self.bound:
            return Trust(self.bound, at + self.pause)
        return Trust(value)


def beside_what_was_told(offer: EvOffer, told: UserState) -> str | None:
    """How an offer differs from what its manager told of the same vehicle and quarter of an hour; None where it does
    not: the same place, the baseline within `TOLD_KW` and `TOLD_PART` of the one told, no change larger by more."""
    if told.location not in (None, offer.location):
        return f"{offer.user_id} is at {offer.location}, told was {told.location}"
    if abs(offer.baseline_kw - told.baseline_kw) > TOLD_KW + TOLD_PART * abs(told.baseline_kw):
        return f"the baseline of {offer.user_id} is {offer.baseline_kw:g} kW, told were {told.baseline_kw:g} kW"
    most = told.increase_kw if offer.power_kw > 0 else told.decrease_kw
    if abs(offer.power_kw) > most + TOLD_KW + TOLD_PART * most:
        return f"{offer.user_id} can change by {offer.power_kw:+g} kW, told were {most:g} kW"
    return None


def delivered_kw(baseline_kw: float, promised_kw: float, metered_kw: float) -> float:
    """What of `promised_kw` (signed change beside the baseline) the meter shows, a magnitude in kW."""
    sign = 1.0 if promised_kw > 0 else -1.0
    return min(abs(promised_kw), max(0.0, sign * (metered_kw - baseline_kw)))
