"""The aggregator's plan: how much less a fleet can draw over a window, and the cheapest way to do it.

A linear program over all vehicles (HiGHS through scipy). The bid that comes out is one the vehicles can keep: the
solver's plan is walked through vehicle by vehicle, cut to what the batteries allow, and the power is read off that.
D5.1 3.1.1: "a bid strategy based on data, such as consumption, generation, EV's battery state of charge (SoC),
projected usage".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import coo_array

from agents.decisions.fleet import PERIOD_HOURS, Fleet, FlexVehicle, Floats, energies, follow, uncontrolled

__all__ = ["Costs", "FlexVehicle", "PlanningError", "Reduction", "cost_curve", "cost_eur", "reduction", "uncontrolled"]

# Of several plans of equal cost the earliest charging is taken: EUR per kWh, small beside any tariff.
_EARLY_EUR_PER_KWH = 2e-4
# A kW above the cap weighs as much as this many kW of reduction: the cap is broken only where departures force it.
_CAP_WEIGHT = 1e3
_EUR_TO_MILLI = 1e3


class PlanningError(RuntimeError):
    """The solver gave no plan, which a well-formed fleet never causes; the text carries the solver's own words."""


@dataclass(frozen=True)
class Costs:
    """What a plan costs the owners: energy EUR/kWh drawn (one price, or one a period), and battery wear.

    `wear_eur_per_kwh` is for each kWh that goes into or comes out of the battery; 0.04 is 0.08 for a kWh cycled,
    about a pack of 120 EUR/kWh over 1,500 full cycles. Prices may not be negative: a linear plan would then
    burn energy by charging and discharging at once.
    """

    energy_eur_per_kwh: float | Floats = 0.15
    wear_eur_per_kwh: float = 0.04

    def __post_init__(self) -> None:
        if np.any(np.asarray(self.energy_eur_per_kwh) < 0) or self.wear_eur_per_kwh < 0:
            raise ValueError("costs must not be negative")


@dataclass(frozen=True, eq=False)
class Reduction:
    """A constant reduction against the baseline in every period of a window, and the plan that keeps it.

    `power_kw` is exact to the milliwatt (below 0: the fleet cannot even keep its baseline), `plan_kw` [vehicle, period]
    draws positive, `cost_eur` is what the plan costs more than charging uncontrolled, `excess_kw` how far the fleet
    must go above the cap outside the window (0: the cap is kept).
    """

    power_kw: float
    plan_kw: Floats
    cost_eur: float
    window: range
    excess_kw: float = 0.0

    @property
    def cost_eur_per_kw(self) -> float:
        """EUR per kW for each 15-minute period; 0 for no reduction."""
        return self.cost_eur / (self.power_kw * len(self.window)) if self.power_kw > 0 else 0.0


def cost_eur(vehicles: Sequence[FlexVehicle], plan_kw: Floats, costs: Costs) -> float:
    """EUR that `plan_kw` [vehicle, period] costs: energy and wear, less the worth of what is left in the batteries.

    A kWh in the battery is worth what it costs to put there (mean energy price over charging efficiency, and wear), so
    that draining a vehicle that was full is no gain.
    """
    if not vehicles:
        return 0.0
    periods = plan_kw.shape[1]
    price = np.broadcast_to(np.asarray(costs.energy_eur_per_kwh, dtype=np.float64), (periods,))
    stored = energies(vehicles, plan_kw)
    worth = price.mean() / np.array([v.efficiency_charge for v in vehicles]) + costs.wear_eur_per_kwh
    energy = float((plan_kw * price).sum()) * PERIOD_HOURS
    wear = costs.wear_eur_per_kwh * float(np.abs(np.diff(stored, axis=1)).sum())
    return energy + wear - float((worth * (stored[:, -1] - stored[:, 0])).sum())


def reduction(
    vehicles: Sequence[FlexVehicle],
    baseline_kw: Floats,
    window: range,
    *,
    power_kw: float | None = None,
    costs: Costs | None = None,
    cap_kw: float | Floats | None = None,
) -> Reduction:
    """The largest constant reduction over `window` (with `power_kw`: no more than that), by its cheapest plan.

    `baseline_kw` is the fleet's, [period], or [vehicle, period] to be summed; its length is the horizon. In each period
    of the window the fleet draws at most baseline - power; every vehicle keeps floor, capacity and departure. With
    `cap_kw` the fleet draws no more than the larger of cap and baseline outside the window: no new peak from catching
    up; a cap for each period [period] is absolute (infinite for none), and holds what other commitments ask. Raises
    ValueError on a window outside the horizon, PlanningError where HiGHS gives up.
    """
    baseline = baseline_kw.sum(axis=0) if baseline_kw.ndim == 2 else baseline_kw
    periods = len(baseline)
    if not window or window.step != 1 or window.start < 0 or window.stop > periods:
        raise ValueError(f"the window {window} must be whole periods within the horizon of {periods}")
    costs = costs or Costs()
    if not vehicles:
        most = float(baseline[window.start : window.stop].min())
        return Reduction(most if power_kw is None else min(most, power_kw), np.zeros((0, periods)), 0.0, window)
    program = Program(vehicles, baseline, window, costs, cap_kw)
    wanted = np.inf if power_kw is None else power_kw
    solution = None
    if power_kw is not None:  # what is asked for can mostly be kept: one solve instead of two
        solution = program.cheapest(power_kw, 0.0)
    if solution is None:
        most, excess = program.largest(wanted)
        solution = program.cheapest(most, excess)
        if solution is None:  # the solver's own tolerance is in the way
            solution = program.cheapest(most - 1e-7, excess + 1e-7)
    if solution is None:
        raise PlanningError("no plan keeps the reduction that was found possible")
    plan = follow(program.fleet, solution)
    total = plan.sum(axis=0)
    kept = float((baseline - total)[window.start : window.stop].min())
    excess_kw = 0.0
    if cap_kw is not None:
        over = np.delete(total - _cap(baseline, cap_kw), list(window))
        excess_kw = max(0.0, round(float(over.max(initial=0.0)), 6))
    extra = cost_eur(vehicles, plan, costs) - cost_eur(vehicles, uncontrolled(vehicles, periods), costs)
    return Reduction(round(min(kept, wanted), 6), plan, round(extra, 9) + 0.0, window, excess_kw)


def cost_curve(
    vehicles: Sequence[FlexVehicle],
    baseline_kw: Floats,
    window: range,
    *,
    up_to_kw: float | None = None,
    steps: int = 4,
    costs: Costs | None = None,
    cap_kw: float | Floats | None = None,
) -> Iterator[Reduction]:
    """The cheapest plans for `steps` equal parts of the largest reduction (or of `up_to_kw`), largest first.

    Each is solved when it is asked for. Costs are convex in the power. Empty where no reduction is possible.
    """
    most = reduction(vehicles, baseline_kw, window, power_kw=up_to_kw, costs=costs, cap_kw=cap_kw)
    if most.power_kw <= 0:
        return
    yield most
    for step in range(steps - 1, 0, -1):
        part = most.power_kw * step / steps
        yield reduction(vehicles, baseline_kw, window, power_kw=part, costs=costs, cap_kw=cap_kw)


def _cap(baseline: Floats, cap_kw: float | Floats) -> Floats:
    """kW [period]: one number is a level below which the fleet's own baseline is no new peak; a series is absolute."""
    return cap_kw if isinstance(cap_kw, np.ndarray) else np.maximum(baseline, cap_kw)


class Program:
    """The linear program in HiGHS's form. Columns: charge, discharge, energy after (for each vehicle and period that it
    is present), then the reduction P and the excess above the cap S."""

    def __init__(
        self,
        vehicles: Sequence[FlexVehicle],
        baseline: Floats,
        window: Sequence[int],
        costs: Costs,
        cap_kw: float | Floats | None,
        may_discharge: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        periods = len(baseline)
        self.fleet = fleet = Fleet.of(vehicles, periods)
        self.shape = (len(vehicles), periods)
        v, t = np.nonzero(fleet.present)
        n = len(v)
        self.charge_at = (v, t)
        gives = fleet.discharge[v] > 0
        m = int(gives.sum())
        self.discharge_at = (v[gives], t[gives])
        charge, discharge, energy = np.arange(n), n + np.arange(m), n + m + np.arange(n)
        self.n, self.m, self.power, self.excess = n, m, n + m + n, n + m + n + 1
        columns = self.excess + 1

        row = np.arange(n)
        first = t == fleet.arrival[v]
        later = row[~first]
        self.a_eq = coo_array(
            (
                np.concatenate(
                    [
                        np.ones(n),
                        -np.ones(len(later)),
                        -fleet.efficiency_in[v] * PERIOD_HOURS,
                        (PERIOD_HOURS / fleet.efficiency_out[v])[gives],
                    ]
                ),
                (
                    np.concatenate([row, later, row, row[gives]]),
                    # cells are in order of vehicle, then period: the one before is the energy the period starts with
                    np.concatenate([energy, energy[later - 1], charge, discharge]),
                ),
            ),
            shape=(n, columns),
        ).tocsr()
        self.b_eq = np.where(first, fleet.start[v], 0.0)

        inside = np.zeros(periods, dtype=bool)
        inside[list(window)] = True
        limit = np.where(inside, baseline, np.inf if cap_kw is None else _cap(baseline, cap_kw))
        bound = np.isfinite(limit)
        place = np.cumsum(bound) - 1
        kept, given = bound[t], bound[self.discharge_at[1]]
        bound_periods = np.flatnonzero(bound)
        self.a_ub = coo_array(
            (
                np.concatenate(
                    [np.ones(kept.sum()), -np.ones(given.sum()), np.where(inside[bound_periods], 1.0, -1.0)]
                ),
                (
                    np.concatenate([place[t[kept]], place[self.discharge_at[1][given]], place[bound_periods]]),
                    np.concatenate(
                        [
                            charge[kept],
                            discharge[given],
                            np.where(inside[bound_periods], self.power, self.excess),
                        ]
                    ),
                ),
            ),
            shape=(len(bound_periods), columns),
        ).tocsr()
        self.b_ub = limit[bound_periods]

        most_given = fleet.discharge[v][gives]
        if may_discharge is not None:
            most_given = np.where(may_discharge[v, t][gives], most_given, 0.0)
        self.lower = np.concatenate([np.zeros(n + m), fleet.low[v, t + 1], [-np.inf, 0.0]])
        self.upper = np.concatenate([fleet.charge[v], most_given, fleet.high[v, t + 1], [np.inf, np.inf]])
        price = np.broadcast_to(np.asarray(costs.energy_eur_per_kwh, dtype=np.float64), (periods,))
        wear, early = costs.wear_eur_per_kwh, _EARLY_EUR_PER_KWH
        last = t == fleet.end[v] - 1
        worth = price.mean() / fleet.efficiency_in[v] + wear + 2 * early / fleet.efficiency_in[v]
        self.cost = _EUR_TO_MILLI * np.concatenate(
            [
                (price[t] + wear * fleet.efficiency_in[v] + early * (t + 1) / periods) * PERIOD_HOURS,
                ((wear / fleet.efficiency_out[v] - price[t] + early) * PERIOD_HOURS)[gives],
                np.where(last, -worth, 0.0),
                [0.0, 0.0],
            ]
        )

    def largest(self, wanted: float, cap_weight: float = _CAP_WEIGHT) -> tuple[float, float]:
        """The most reduction up to `wanted` kW, and the excess above the cap, which weighs more by default."""
        cost = np.zeros(self.excess + 1)
        cost[self.power], cost[self.excess] = -1.0, cap_weight
        upper = self.upper.copy()
        upper[self.power] = wanted
        found = self._solve(cost, self.lower, upper)
        if found is None:
            raise PlanningError("HiGHS found no plan for the fleet")
        return float(found[self.power]), float(found[self.excess])

    def cheapest(self, power: float, excess: float) -> Floats | None:
        """The cheapest plan kW [vehicle, period] with this reduction and at most this excess; None where none is."""
        lower, upper = self.lower.copy(), self.upper.copy()
        lower[self.power] = upper[self.power] = power
        upper[self.excess] = excess
        found = self._solve(self.cost, lower, upper)
        if found is None:
            return None
        plan = np.zeros(self.shape)
        plan[self.charge_at] = found[: self.n]
        plan[self.discharge_at] -= found[self.n : self.n + self.m]
        return plan

    def _solve(self, cost: Floats, lower: Floats, upper: Floats) -> Floats | None:
        result = linprog(
            cost,
            A_ub=self.a_ub,
            b_ub=self.b_ub,
            A_eq=self.a_eq,
            b_eq=self.b_eq,
            bounds=np.column_stack([lower, upper]),
            method="highs",
        )
        if result.status == 0:
            return np.asarray(result.x, dtype=np.float64)
        if result.status == 2:
            return None
        raise PlanningError(f"HiGHS: {result.message}")
