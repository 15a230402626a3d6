"""Which vehicles can serve frequency containment for an hour, with how much each, and where their power starts from.

A vehicle serves when it stays for the whole hour and can afterwards still be charged to what its driver asked for, when
its charger can bear the activation and the energy management (technical requirements 3.5, Table 10: FCR-N 1.34 C both
ways; FCR-D C one way and 0.20 C the other), and when its battery can bear full activation for as long as the product's
endurance, between the driver's floor and what it may be charged to. No vehicle is promised beyond its own battery, so
that the sum holds even where one's neighbour is full.

Power is drawn from the grid in kW, energy in the battery in kWh.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agents.decisions.fcr_products import FcrRules
from agents.decisions.retail_plan import hours_needed
from agents.decisions.vehicle_offer import Parked

LEAST_UNIT_KW = 0.5
"""A vehicle that can give less is not worth its wear: a charger's meter and power are off by as much."""
READY_MARGIN = timedelta(minutes=30)
"""What was asked for is reached so long before the departure, after the worst hour."""
_HOUR = timedelta(hours=1)
_SAME_KW = 1e-9


@dataclass(frozen=True, slots=True)
class Unit:
    """A vehicle's part. `baseline_kw` is where its charger stands without activation, `capacity_kw` its change at full
    activation, `least_kw` and `most_kw` what its charger can do; `stored_kwh` and `room_kwh` what its battery can give
    and take."""

    charger_id: str
    baseline_kw: float
    capacity_kw: float
    least_kw: float
    most_kw: float
    stored_kwh: float
    room_kwh: float
    efficiency_charge: float
    efficiency_discharge: float


def allocate(
    rules: FcrRules,
    vehicles: Sequence[Parked],
    start: datetime,
    end: datetime,
    limit_kw: float,
    *,
    ready_margin: timedelta = READY_MARGIN,
    baseline_kw: float | None = None,
) -> tuple[Unit, ...]:
    """The vehicles that can serve from `start` to `end`, as they are now, together at most `limit_kw` (all then give
    the same part of what they can). `baseline_kw`: that of each, None for what its driver needs."""
    found = [unit_of(rules, vehicle, start, end, ready_margin, baseline_kw) for vehicle in vehicles]
    units = [unit for unit in found if unit is not None]
    total = sum(unit.capacity_kw for unit in units)
    part = 1.0 if total <= limit_kw else limit_kw / total
    return tuple(replace(unit, capacity_kw=unit.capacity_kw * part) for unit in units)


def unit_of(
    rules: FcrRules,
    vehicle: Parked,
    start: datetime,
    end: datetime,
    ready_margin: timedelta = READY_MARGIN,
    baseline_kw: float | None = None,
) -> Unit | None:
    """What one vehicle can give, None where it cannot serve."""
    if vehicle.departure - ready_margin < end:
        return None
    hours = (end - start) / _HOUR
    highest = max(vehicle.up_to_kwh, vehicle.required_kwh)
    highest = min(highest, vehicle.knee_kwh)  # above it charges more slowly than it promises
    baseline = _baseline(vehicle, start, ready_margin) if baseline_kw is None else baseline_kw
    gained = baseline * vehicle.efficiency_charge * hours
    stored = max(0.0, vehicle.energy_kwh - vehicle.floor_kwh)
    room = max(0.0, highest - vehicle.energy_kwh - gained)
    bounds = [
        (baseline + vehicle.max_discharge_kw) / rules.power_up,
        (vehicle.max_charge_kw - baseline) / rules.power_down,
    ]
    if rules.energy_down_h:
        bounds.append(room / vehicle.efficiency_charge / rules.energy_down_h)
    if rules.energy_up_h:
        bounds.append(stored * vehicle.efficiency_discharge / rules.energy_up_h)
        bounds.append(_ready_kw(vehicle, end, gained, rules.energy_up_h, ready_margin))
    capacity = _down(min(bounds))
    if capacity < LEAST_UNIT_KW:
        return None
    return Unit(
        charger_id=vehicle.id,
        baseline_kw=baseline,
        capacity_kw=capacity,
        least_kw=-vehicle.max_discharge_kw,
        most_kw=vehicle.max_charge_kw,
        stored_kwh=stored,
        room_kwh=max(0.0, highest - vehicle.energy_kwh),
        efficiency_charge=vehicle.efficiency_charge,
        efficiency_discharge=vehicle.efficiency_discharge,
    )


def must_charge(vehicle: Parked, at: datetime, ready_margin: timedelta = READY_MARGIN) -> bool:
    """Whether the vehicle has no more time to lose: it reaches what was asked for only if it charges from `at` on."""
    if vehicle.energy_kwh >= vehicle.required_kwh - 1e-6:
        return False
    return hours_needed(vehicle, vehicle.required_kwh) >= (vehicle.departure - ready_margin - at) / _HOUR


def window(rules: FcrRules, energy_kwh: float, stored_kwh: float, room_kwh: float) -> tuple[float, float]:
    """The part of the batteries that is kept for the product, as (what it holds now, its size): `energy_kwh` of them
    where there is so much (`stored_kwh` to give and `room_kwh` to take).

    3.5: for symmetric reserves near half full at the beginning, for the others full where energy is to be given and
    empty where it is to be taken.
    """
    size = min(energy_kwh, stored_kwh + room_kwh)
    wanted = size / 2 if rules.up and rules.down else size if rules.up else 0.0
    held = min(max(wanted, size - room_kwh), stored_kwh)
    return held, size


def _baseline(vehicle: Parked, at: datetime, ready_margin: timedelta) -> float:
    """The mean power with which the missing charge is there in time, 0 where nothing is missing: charging goes on
    beside the service, evenly, and leaves both directions free."""
    missing = vehicle.required_kwh - vehicle.energy_kwh
    if missing <= 1e-6:
        return 0.0
    hours = max((vehicle.departure - ready_margin - at) / _HOUR, 1e-9)
    kw = math.ceil(missing / vehicle.efficiency_charge / hours * 10 - _SAME_KW) / 10
    return min(kw, vehicle.max_charge_kw)


def _ready_kw(vehicle: Parked, end: datetime, gained: float, up_h: float, ready_margin: timedelta) -> float:
    """The capacity with which the vehicle is still ready in time when it was fully activated upwards for as long as the
    product's endurance."""
    time = (vehicle.departure - ready_margin - end) / _HOUR
    slow = max(0.0, vehicle.required_kwh - vehicle.knee_kwh) / max(vehicle.full_kw / 2, 1e-9)
    reach = max(0.0, time - slow) * vehicle.full_kw
    above_knee = max(0.0, vehicle.required_kwh - vehicle.knee_kwh) if time >= slow else 0.0
    spare = vehicle.energy_kwh + gained + reach + above_knee - vehicle.required_kwh
    return max(0.0, spare) * vehicle.efficiency_discharge / up_h


def _down(kw: float) -> float:
    """In whole watts, so that no more is promised than there is."""
    return math.floor(kw * 1000 + 1e-6) / 1000


def make_up(present: Sequence[Unit], could: Sequence[Unit], wanted_kw: float) -> tuple[Unit, ...]:
    """Those who serve with what they give, and what is missing to `wanted_kw` by whoever could give more, each in
    proportion to that; those who serve already first. A unit that is new serves as `could` has it."""
    missing = wanted_kw - sum(unit.capacity_kw for unit in present)
    units = {unit.charger_id: unit for unit in present}
    able = {unit.charger_id: unit for unit in could}
    for ids in ([c for c in units if c in able], [c for c in able if c not in units]):
        spare = {c: able[c].capacity_kw - (units[c].capacity_kw if c in units else 0.0) for c in ids}
        spare = {c: kw for c, kw in spare.items() if kw > 0}
        total = sum(spare.values())
        if missing <= _SAME_KW or total <= 0:
            continue
        part = min(1.0, missing / total)
        missing -= part * total
        for c, kw in spare.items():
            before = units.get(c)
            base = replace(able[c], capacity_kw=0.0) if before is None else before
            units[c] = replace(base, capacity_kw=base.capacity_kw + part * kw)
    return tuple(units.values())


def scaled(units: Sequence[Unit], capacity_kw: float, baseline_kw: float | None = None) -> tuple[Unit, ...]:
    """These units with `capacity_kw` together, each with its part, and where `baseline_kw` is given with that together
    as their operating point: what is claimed, whether they can do it or not."""
    total = sum(unit.capacity_kw for unit in units)
    if total <= 0:
        return tuple(units)
    return tuple(
        replace(
            unit,
            capacity_kw=unit.capacity_kw * capacity_kw / total,
            baseline_kw=unit.baseline_kw if baseline_kw is None else baseline_kw * unit.capacity_kw / total,
        )
        for unit in units
    )


@dataclass(slots=True)
class Earnings:
    """What the owners have earned by their vehicles' capacity, EUR by charger."""

    capacity_eur: dict[str, float] = field(default_factory=dict)

    def share(self, amount_eur: float, borne: Mapping[str, float]) -> None:
        """Shares an amount among those who bore the capacity, by kW and time."""
        total = sum(borne.values())
        if total > 0:
            for charger_id, kws in borne.items():
                before = self.capacity_eur.get(charger_id, 0.0)
                self.capacity_eur[charger_id] = before + amount_eur * kws / total
