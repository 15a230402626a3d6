"""Which limits the DSO buys: a stochastic optimal power flow of two stages. Pure. (docs/capacity.md)

D5.1 3.5.1: "the DSO performs an Optimal Power Flow (OPF) based stochastic analysis for the auction period to decide on
the procurement of the service, including volume and location". Now one point of each curve may be bought; then, in
each sampled day of the period, what is still above a line's limit is paid for. A point is one cap, under which a
station draws the smaller of cap and need, so that the second stage is exact for every scenario and the program is a
mixed-integer one over the points (`agents/decisions/capacity_flow.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from agents.decisions.capacity_flow import Cap, CapFlow, cheapest
from agents.grid_view import Floats
from agents.public_ports import NetworkStudy, Scenarios, StationSite

_CONTRACT_EUR: Final = 0.01
"""What a contract must save at least: one that costs and saves nothing is not concluded."""
_NOISE_KWH: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Curve:
    """An approved bid: `points` (limit kW, EUR for the contract), limits rising, the last is the station's capacity."""

    bid_id: str
    station_id: str
    location: str
    points: tuple[tuple[float, Decimal], ...]


@dataclass(frozen=True, slots=True)
class DsoCosts:
    """What overloads cost the DSO: `violation_eur_per_kwh` for a kWh (of apparent power, at nominal voltage) through a
    line above `line_limit_percent` of its rating; `activation_eur`: what one activation of a contract must save at
    least (0: any that saves). Raises ValueError where one is negative."""

    violation_eur_per_kwh: float
    line_limit_percent: float = 100.0
    activation_eur: float = 0.0

    def __post_init__(self) -> None:
        if min(self.violation_eur_per_kwh, self.line_limit_percent, self.activation_eur) < 0:
            raise ValueError("the DSO's costs and limit must not be negative")


@dataclass(frozen=True, slots=True)
class Bought:
    """A point of a curve that the DSO buys."""

    bid_id: str
    station_id: str
    location: str
    limit_kw: float
    price_eur: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """What to buy, and what is expected of it.

    `expected_without_kwh`, `expected_with_kwh`: overload energy of a mean day by AC power flow; `without_kwh`,
    `with_kwh`: of each scenario; `cost_eur`: the price of all purchases; `violation_eur`: what the rest is expected to
    cost over the period; `linear_kwh`: what the linear flow expected of the plan for a mean day; `ac_checked`: linear
    and AC power flow agree on the overloads to a thousandth of what the plan costs, or a cent (False: after the most
    rounds there was still a difference; the energies are AC power flow's all the same); `rounds`: how often the
    program was solved; `highest_percent`, `lowest_vm_pu`: the highest loading of a line and the lowest voltage in any
    scenario with the plan. `activation_eur`: what one activation should save, so that those of a contract last for the
    period's worst days: 0 where they last for every day with an overload.
    """

    purchases: tuple[Bought, ...]
    expected_without_kwh: float
    expected_with_kwh: float
    cost_eur: Decimal
    violation_eur: float
    without_kwh: tuple[float, ...]
    with_kwh: tuple[float, ...]
    ac_checked: bool
    linear_kwh: float
    rounds: int
    highest_percent: float
    lowest_vm_pu: float
    activation_eur: float


def procure(
    study: NetworkStudy,
    scenarios: Scenarios,
    curves: Sequence[Curve],
    stations: Sequence[StationSite],
    costs: DsoCosts,
    *,
    days: int = 28,
    most_activations: int | None = None,
) -> Plan:
    """The cheapest choice of one point of each curve, or none: prices, and `days` times a mean day's overloads.

    `stations` is in the order of the last axis of `scenarios.station_kw`. A limit is taken to hold in every scenario in
    which there would be an overload, with `most_activations` in no more than that part of `days`, where it is worth
    most. Of two curves of one station only one is bought. Raises ValueError where stations, curves and scenarios do not
    match.
    """
    number = {site.station_id: k for k, site in enumerate(stations)}
    if strangers := [curve.bid_id for curve in curves if curve.station_id not in number]:
        raise ValueError(f"{', '.join(strangers)}: of no station that is named")
    if days < 1 or (most_activations is not None and most_activations < 0):
        raise ValueError("days must be above 0, most_activations not negative")
    flow = CapFlow(study, scenarios, stations, costs.line_limit_percent)
    most_kw = flow.usual_kw.max(axis=(0, 1))
    offers = [
        (curve, limit_kw, price_eur)
        for curve in curves
        for limit_kw, price_eur in curve.points[:-1]
        if limit_kw < most_kw[number[curve.station_id]]  # what no scenario reaches limits nothing
    ]
    caps = [Cap(number[curve.station_id], limit, float(price) + _CONTRACT_EUR) for curve, limit, price in offers]
    most = None if most_activations is None else math.floor(most_activations * flow.scenarios / days + 1e-9)
    found = cheapest(flow, caps, costs.violation_eur_per_kwh * days, most)
    bought = tuple(
        Bought(curve.bid_id, curve.station_id, curve.location, limit_kw, price_eur)
        for curve, limit_kw, price_eur in (offers[k] for k in found.chosen)
    )
    without, left = flow.without.by_scenario_kwh, found.loads.by_scenario_kwh
    return Plan(
        purchases=bought,
        expected_without_kwh=float(without.mean()),
        expected_with_kwh=float(left.mean()),
        cost_eur=sum((each.price_eur for each in bought), Decimal(0)),
        violation_eur=float(left.mean()) * days * costs.violation_eur_per_kwh,
        without_kwh=tuple(without.tolist()),
        with_kwh=tuple(left.tolist()),
        ac_checked=found.agrees,
        linear_kwh=found.linear_kwh,
        rounds=found.rounds,
        highest_percent=found.loads.highest_percent,
        lowest_vm_pu=found.loads.lowest_vm_pu,
        activation_eur=_least_saving(without - left, most, len(bought)) * costs.violation_eur_per_kwh,
    )


def _least_saving(saved_kwh: Floats, most: int | None, contracts: int) -> float:
    """What one of `contracts` saves on the least of the `most` best days, kWh; 0 where there are no more of them."""
    saving = np.sort(saved_kwh[saved_kwh > _NOISE_KWH])[::-1]
    if most is None or not contracts or not 0 < most <= len(saving):
        return 0.0
    return float(saving[most - 1]) / contracts
