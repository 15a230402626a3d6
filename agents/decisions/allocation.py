"""The CPO's share-out: which vehicles carry a reduction, what each gives, what each driver gets.

D5.1 3.6.2: the CPO tells the owners "about their participation in the service", and the power that is available goes
back. Who declines charges as if nothing were asked; the rest carry what they can.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from agents.decisions.fleet import PERIOD_HOURS, FlexVehicle, Floats, uncontrolled
from agents.decisions.money import cents, split
from agents.decisions.planning import Costs, Reduction, cost_eur, reduction


@dataclass(frozen=True)
class Contribution:
    """What one vehicle gives over the window against its own baseline: the mean kW, and the kWh at the grid's side."""

    vehicle_id: str
    power_kw: float
    energy_kwh: float


def allocate(
    vehicles: Sequence[FlexVehicle],
    baseline_kw: Floats,
    window: range,
    power_kw: float,
    *,
    declined: Collection[str] = (),
    costs: Costs | None = None,
    cap_kw: float | Floats | None = None,
) -> Reduction:
    """The cheapest plan for `power_kw`, or for as much as the vehicles that did not decline can carry.

    `baseline_kw` is the whole fleet's, [period] or [vehicle, period]. The result's plan has every vehicle's row, those
    that declined charging uncontrolled; its `power_kw` is what may be promised.
    """
    baseline = baseline_kw.sum(axis=0) if baseline_kw.ndim == 2 else baseline_kw
    own = uncontrolled(vehicles, len(baseline))
    free = [i for i, vehicle in enumerate(vehicles) if vehicle.id not in declined]
    fixed = np.delete(own, free, axis=0).sum(axis=0)
    room: Floats | None = None
    if cap_kw is not None:
        # one number is a level below which the whole fleet's own baseline is no new peak, as in `reduction`
        room = (cap_kw if isinstance(cap_kw, np.ndarray) else np.maximum(baseline, cap_kw)) - fixed
    part = reduction([vehicles[i] for i in free], baseline - fixed, window, power_kw=power_kw, costs=costs, cap_kw=room)
    plan = own.copy()
    plan[free] = part.plan_kw
    extra = cost_eur(vehicles, plan, costs or Costs()) - cost_eur(vehicles, own, costs or Costs())
    return Reduction(part.power_kw, plan, round(extra, 9) + 0.0, window, part.excess_kw)


def contributions(
    vehicles: Sequence[FlexVehicle], plan_kw: Floats, window: range, *, least_kw: float = 0.05
) -> tuple[Contribution, ...]:
    """Whom the plan asks for something: mean reduction over `window` against charging uncontrolled, the largest first.

    Those below `least_kw` are not worth a message. A vehicle that the plan makes draw more in the window, so that
    others can draw less, gives nothing.
    """
    own = uncontrolled(vehicles, plan_kw.shape[1])
    less = (own - plan_kw)[:, window.start : window.stop]
    found = [
        Contribution(vehicle.id, float(row.mean()), float(row.sum()) * PERIOD_HOURS)
        for vehicle, row in zip(vehicles, less, strict=True)
        if row.mean() >= least_kw
    ]
    return tuple(sorted(found, key=lambda c: (-c.energy_kwh, c.vehicle_id)))


def benefits(amount_eur: Decimal, given_kwh: Mapping[str, float]) -> dict[str, Decimal]:
    """`amount_eur` shared among those who gave, by energy, to the last cent; nothing where nobody gave."""
    gave = {who: energy for who, energy in given_kwh.items() if energy > 0}
    if not gave or amount_eur <= 0:
        return {}
    return dict(zip(gave, split(cents(amount_eur), list(gave.values())), strict=True))
