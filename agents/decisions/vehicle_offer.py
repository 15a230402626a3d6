"""What one vehicle can do for a service, and what of it pays: a V2X manager's "internal validation" (D5.1 3.4.1).

Power is at the grid's side in kW, positive when drawn; a change is against the vehicle's own plan: charge with all the
charger has from its timer's time on, until it has what was asked for. Energy is in the battery in kWh.

A service is asked for longer than it is firm: it is renewed or cancelled before its first quarter of an hour is over.
A vehicle therefore offers what it can keep in the first quarter and still leave with what was asked for; afterwards
(the tail) it keeps the same power as far as that stays so (`within`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.decisions.fleet import TAPERS_FROM
from agents.periods import QUARTER, quarter_at

LEAST_OFFER_KW = 0.5
"""A change of less than this is not offered: it is within what a charger's meter and a vehicle's own plan are off by.
An assumption."""
DONE_WITHIN = 0.01
"""A charger that has once reached what was asked for takes up charging by its own plan only when more than this share
of the capacity is missing again."""
SLACK = QUARTER
"""The wanted charge is reached so long before the departure."""
DAY = timedelta(days=1)
STEP_KWH = 0.01
"""What a charger tells of its battery comes in such steps (SunSpec 713, as our chargers scale it)."""
_SAME_KWH = 1e-6
_SAME_EUR = 1e-9
_HOUR = timedelta(hours=1)

Price = Callable[[datetime], float]
"""EUR/kWh of charging at a moment (UTC) by the ordinary tariff."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A vehicle at its charger, as it is at `at`.

    `required_kwh` is what it should leave with at `departure`, `floor_kwh` what is never discharged, `up_to_kwh` what
    it may be charged to for a service's sake. `charges_from` is its timer, None where its own plan charges at once.
    Limits >= 0 in kW for charger and vehicle together; 0 < efficiencies <= 1.
    """

    id: str
    at: datetime
    energy_kwh: float
    capacity_kwh: float
    floor_kwh: float
    required_kwh: float
    up_to_kwh: float
    departure: datetime
    charges_from: datetime | None
    max_charge_kw: float
    max_discharge_kw: float
    efficiency_charge: float
    efficiency_discharge: float

    @property
    def knee_kwh(self) -> float:
        """Above this energy it no longer charges with full power."""
        return TAPERS_FROM * self.capacity_kwh

    @property
    def full_kw(self) -> float:
        """What arrives in the battery at full charging power, kW."""
        return self.max_charge_kw * self.efficiency_charge

    def begins(self, at: datetime) -> datetime:
        """When its own plan charges, if it is left to it at `at`."""
        return at if self.charges_from is None else max(at, self.charges_from)


@dataclass(frozen=True, slots=True)
class Room:
    """Over one quarter of an hour: the mean of its own plan, and the largest changes (both >= 0) it can keep."""

    baseline_kw: float
    increase_kw: float = 0.0
    decrease_kw: float = 0.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The prices of a service in EUR/kWh, and what the manager wants: `wear` is that of each kWh taken from a battery,
    `minimum_benefit` what each kWh that is changed must bring."""

    charging_cost: float
    discharging_remuneration: float
    wear: float
    minimum_benefit: float

    def pays(self, benefit: float) -> bool:
        """Whether EUR/kWh are enough; prices are exact decimals that became binary fractions."""
        return benefit >= self.minimum_benefit - _SAME_EUR


def drawn_kwh(vehicle: Parked, power_kw: float, hours: float) -> float:
    """What a constant power adds to (or takes from) the battery."""
    factor = vehicle.efficiency_charge if power_kw > 0 else 1 / vehicle.efficiency_discharge
    return power_kw * factor * hours


def power_for(vehicle: Parked, energy_kwh: float, hours: float) -> float:
    """The constant power that changes the battery by `energy_kwh` in `hours`."""
    factor = 1 / vehicle.efficiency_charge if energy_kwh > 0 else vehicle.efficiency_discharge
    return energy_kwh * factor / hours


def by_own_plan(vehicle: Parked, until: datetime) -> Parked:
    """The vehicle at `until`, when it is left to its own plan."""
    hours = max(0.0, (until - vehicle.begins(vehicle.at)) / _HOUR)
    energy = vehicle.energy_kwh
    if hours > 0 and vehicle.full_kw > 0:
        fast = min(max(0.0, min(vehicle.required_kwh, vehicle.knee_kwh) - energy), hours * vehicle.full_kw)
        energy += fast
        slow = min(max(0.0, vehicle.required_kwh - energy), (hours - fast / vehicle.full_kw) * vehicle.full_kw / 2)
        energy += slow if energy >= vehicle.knee_kwh - _SAME_KWH else 0.0
    return replace(vehicle, at=max(vehicle.at, until), energy_kwh=energy)


def by_order(vehicle: Parked, power_kw: float, until: datetime) -> Parked:
    """The vehicle at `until`, when its charger is set to `power_kw` until then."""
    hours = max(0.0, (until - vehicle.at) / _HOUR)
    energy = vehicle.energy_kwh + drawn_kwh(vehicle, power_kw, hours)
    least = min(vehicle.floor_kwh, vehicle.energy_kwh)
    return replace(
        vehicle, at=max(vehicle.at, until), energy_kwh=min(max(energy, least), max(vehicle.capacity_kwh, least))
    )


def room(vehicle: Parked) -> Room:
    """What the vehicle can do in the quarter of an hour from `vehicle.at` on.

    Both changes keep floor and limits; the decrease leaves the wanted charge within reach of its own plan after the
    quarter (full power from its timer on, the taper's time and `SLACK` before the departure), or at least no further
    from it than its own plan would be. A vehicle that does not stay for the whole quarter, or charges in its taper, has
    no room; one below its floor is not held back.
    """
    end = vehicle.at + QUARTER
    after = by_own_plan(vehicle, min(end, vehicle.departure))
    gained = after.energy_kwh - vehicle.energy_kwh
    baseline = power_for(vehicle, gained, QUARTER / _HOUR)
    tapers = gained > 0 and after.energy_kwh > vehicle.knee_kwh + _SAME_KWH
    if vehicle.departure < end or tapers:
        return Room(baseline)
    may_wait = vehicle.energy_kwh >= vehicle.floor_kwh - STEP_KWH
    return Room(
        baseline,
        increase_kw=max(0.0, _most_kw(vehicle) - baseline),
        decrease_kw=max(0.0, baseline - _least_kw(vehicle, after)) if may_wait else 0.0,
    )


def highest_kw(vehicle: Parked) -> float:
    """The most that it draws at any moment of the quarter of an hour from `vehicle.at` on by its own plan: all the
    charger has as soon as its timer goes off, in its taper half of that (as `by_own_plan` counts it)."""
    until = min(vehicle.at + QUARTER, vehicle.departure)
    if vehicle.begins(vehicle.at) >= until or vehicle.energy_kwh >= vehicle.required_kwh - _SAME_KWH:
        return 0.0
    return vehicle.max_charge_kw if vehicle.energy_kwh < vehicle.knee_kwh - _SAME_KWH else vehicle.max_charge_kw / 2


def within(vehicle: Parked, power_kw: float) -> float:
    """The power nearest to `power_kw` that the vehicle can keep from `vehicle.at` to the quarter's end without breaking
    what `room` keeps."""
    end = quarter_at(vehicle.at) + QUARTER
    after = by_own_plan(vehicle, end)
    hours = (end - vehicle.at) / _HOUR
    own_kw = power_for(vehicle, after.energy_kwh - vehicle.energy_kwh, hours)
    least = min(own_kw, _least_kw(vehicle, after, hours))
    return min(max(power_kw, least), max(own_kw, _most_kw(vehicle, hours)))


def top_up(vehicle: Parked) -> float:
    """The power in kW, 0 for none, that makes up in the next quarter of an hour for what a service took and the charger
    would not make up for by itself, because it is so little (`DONE_WITHIN`)."""
    missing = vehicle.required_kwh - vehicle.energy_kwh
    if (
        vehicle.begins(vehicle.at) > vehicle.at
        or not _SAME_KWH < missing <= DONE_WITHIN * vehicle.capacity_kwh + _SAME_KWH
    ):
        return 0.0
    return min(vehicle.max_charge_kw, power_for(vehicle, missing, QUARTER / _HOUR))


def worth(vehicle: Parked, can: Room, sign: int, terms: Terms, ordinary: Price) -> float:
    """The change in kW, of the sign asked for, that brings at least the minimum benefit; 0 where none does.

    More: the energy is charged at the service's price now and not at the cheapest ordinary hour in which its own plan
    would charge it; what goes beyond what was asked for saves a later charge at the day's cheapest ordinary price.
    Less: charging withheld is charged later at the ordinary price of then, and not at the service's price now; what is
    given back brings the remuneration, costs wear, and is charged again later with the losses of both ways.
    """
    return _more(vehicle, can, terms, ordinary) if sign > 0 else _less(vehicle, can, terms, ordinary)


def _most_kw(vehicle: Parked, hours: float = 0.25) -> float:
    """The most constant power up to where the taper begins, and up to what it may store."""
    limit = min(max(vehicle.required_kwh, vehicle.up_to_kwh), vehicle.knee_kwh)
    return min(vehicle.max_charge_kw, power_for(vehicle, max(0.0, limit - vehicle.energy_kwh), hours))


def _least_kw(vehicle: Parked, by_itself: Parked, hours: float = 0.25) -> float:
    """The least constant power (below 0: given back) with which floor and departure are kept; `by_itself` is the
    vehicle at the end by its own plan."""
    needed = min(vehicle.required_kwh - _reach_kwh(by_itself), by_itself.energy_kwh)
    least = max(min(vehicle.floor_kwh, vehicle.energy_kwh), needed)
    return max(-vehicle.max_discharge_kw, power_for(vehicle, least - vehicle.energy_kwh, hours))


def _reach_kwh(vehicle: Parked) -> float:
    """What its own plan still can charge from `vehicle.at` until it must be done."""
    slow = max(0.0, vehicle.required_kwh - max(vehicle.energy_kwh, vehicle.knee_kwh))
    quarters = math.ceil(slow / max(vehicle.full_kw, 1e-9) / (QUARTER / _HOUR))
    time = vehicle.departure - SLACK - quarters * QUARTER - vehicle.begins(vehicle.at)
    return max(0.0, time / _HOUR) * vehicle.full_kw


def _more(vehicle: Parked, can: Room, terms: Terms, ordinary: Price) -> float:
    end = vehicle.at + QUARTER
    after = by_own_plan(vehicle, end)
    planned = max(0.0, vehicle.required_kwh - after.energy_kwh)
    ends = min(_own_end(after), vehicle.departure)
    cheapest = _prices(ordinary, after.begins(end), ends)
    if planned > _SAME_KWH and not terms.pays(min(cheapest) - terms.charging_cost):
        return 0.0
    if terms.pays(min(_prices(ordinary, end, end + DAY)) - terms.charging_cost):
        return can.increase_kw
    return min(can.increase_kw, power_for(vehicle, planned, QUARTER / _HOUR))


def _less(vehicle: Parked, can: Room, terms: Terms, ordinary: Price) -> float:
    end = vehicle.at + QUARTER
    after = by_own_plan(vehicle, end)
    changed = by_order(vehicle, can.baseline_kw - can.decrease_kw, end)
    later = max(_prices(ordinary, _own_end(after), _own_end(changed)))
    withheld, given = min(can.decrease_kw, can.baseline_kw), max(0.0, can.decrease_kw - can.baseline_kw)
    if withheld > 0 and not terms.pays(terms.charging_cost - later):
        return 0.0
    both_ways = vehicle.efficiency_charge * vehicle.efficiency_discharge
    benefit = terms.discharging_remuneration - terms.wear / vehicle.efficiency_discharge - later / both_ways
    return -(withheld + (given if terms.pays(benefit) else 0.0))


def _own_end(vehicle: Parked) -> datetime:
    """When its own plan, left to it from `vehicle.at` on, has what is required."""
    fast = max(0.0, min(vehicle.required_kwh, vehicle.knee_kwh) - vehicle.energy_kwh)
    slow = max(0.0, vehicle.required_kwh - max(vehicle.energy_kwh, vehicle.knee_kwh))
    return vehicle.begins(vehicle.at) + (fast + 2 * slow) / max(vehicle.full_kw, 1e-3) * _HOUR


def _prices(ordinary: Price, start: datetime, end: datetime) -> list[float]:
    """The ordinary prices of the quarters that `start` to `end` touches, at least one."""
    first = quarter_at(start)
    return [ordinary(first + k * QUARTER) for k in range(max(1, math.ceil((end - first) / QUARTER)))]
