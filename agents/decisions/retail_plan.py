"""When a vehicle charges if only its driver's wish and the retailer's prices count (D5.1 3.3, "retailer electricity
price changes"): the plan of everybody without a service.

Power in kW at the grid's side, positive drawn; prices in EUR/kWh by market period.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agents.decisions.vehicle_offer import SLACK, Parked, by_own_plan, power_for
from agents.periods import QUARTER

_HOUR = timedelta(hours=1)
_SAME_KWH = 1e-6


def hours_needed(vehicle: Parked, energy_kwh: float) -> float:
    """How long full power takes from the vehicle's energy up to `energy_kwh`; the taper takes twice its time."""
    if energy_kwh <= vehicle.energy_kwh + _SAME_KWH:
        return 0.0
    if vehicle.full_kw <= 0:
        return math.inf
    fast = max(0.0, min(energy_kwh, vehicle.knee_kwh) - vehicle.energy_kwh)
    slow = max(0.0, energy_kwh - max(vehicle.energy_kwh, vehicle.knee_kwh))
    return (fast + 2 * slow) / vehicle.full_kw


def cheapest_plan(vehicle: Parked, start: datetime, prices_eur_per_kwh: Sequence[float]) -> tuple[float, ...]:
    """kW in each market period from `start`, one for each price: full power in the cheapest periods before the
    departure until what the driver asked for is there, the earlier one where two cost the same.

    It is done `SLACK` before the departure; where that cannot be, it charges with full power at once and to the end.
    A period with an infinite price is not used. A period that has begun counts from `vehicle.at` on, and its power is
    that from then on. The vehicle's timer is not asked: the manager takes its place.
    """
    count = len(prices_eur_per_kwh)
    free = [k for k in range(count) if math.isfinite(prices_eur_per_kwh[k])]
    present = [_overlap(start + k * QUARTER, vehicle.at, vehicle.departure) for k in range(count)]
    usable = [_overlap(start + k * QUARTER, vehicle.at, vehicle.departure - SLACK) for k in range(count)]
    left = hours_needed(vehicle, vehicle.required_kwh)
    if left > sum(usable[k] for k in free) + 1e-9:
        taken = {k: present[k] for k in free}
    else:
        taken = {}
        for k in sorted(free, key=lambda k: (prices_eur_per_kwh[k], k)):
            taken[k] = min(usable[k], left)
            left -= taken[k]
    powers = []
    at_once = replace(vehicle, charges_from=None)
    for k in range(count):
        if not taken.get(k) or not present[k]:
            powers.append(0.0)
            continue
        after = by_own_plan(at_once, at_once.at + taken[k] * _HOUR)
        powers.append(min(vehicle.max_charge_kw, power_for(vehicle, after.energy_kwh - at_once.energy_kwh, present[k])))
        at_once = after
    return tuple(powers)


def _overlap(quarter: datetime, since: datetime, until: datetime) -> float:
    """Hours of that market period between `since` and `until`."""
    return max(0.0, (min(quarter + QUARTER, until) - max(quarter, since)) / _HOUR)
