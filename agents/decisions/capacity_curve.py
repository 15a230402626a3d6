"""What a cap on a charging station costs its operator: the bid curve of BUC 5.1. Pure. (docs/capacity.md)

D5.1 3.5.1: "The capacity limit marginal cost is in most cases the opportunity cost of an aggregator due to limited
capacity". For the past days of the station a linear program (HiGHS through scipy) finds the cheapest charging plan
under the cap; what it costs more than without the cap, in the mean of the days, is the cost of one activation. As the
value of a linear program in its right-hand side it is convex and piecewise linear in the cap, and does not rise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_array

from agents.decisions.money import CENT
from agents.grid_view import Floats
from agents.public_ports import SessionWish

QUARTERS: Final = 96
_HOURS: Final = 0.25
_FREE_EUR: Final = 1e-9
_NOISE_EUR: Final = 1e-6
"""What a solver's answer may be above a whole cent without being a cent more."""


@dataclass(frozen=True, slots=True)
class OpportunityCosts:
    """What energy that is charged later, or not at all, costs a station's operator.

    `energy_eur_per_kwh`: what it pays for energy in each of the 96 quarters of a local day. `margin_eur_per_kwh`: what
    a kWh sold brings, less network price and the day's mean energy price. `goodwill_eur_per_kwh`: what it is worth to
    the operator that a driver gets a kWh that was asked for, besides. Raises ValueError where margin or goodwill are
    negative or there are not 96 prices.
    """

    margin_eur_per_kwh: float
    energy_eur_per_kwh: tuple[float, ...]
    goodwill_eur_per_kwh: float = 0.0

    def __post_init__(self) -> None:
        if len(self.energy_eur_per_kwh) != QUARTERS:
            raise ValueError(f"energy prices are for {len(self.energy_eur_per_kwh)} quarters, a day has {QUARTERS}")
        if min(self.margin_eur_per_kwh, self.goodwill_eur_per_kwh) < 0:
            raise ValueError("margin and goodwill must not be negative")


@dataclass(frozen=True, slots=True, eq=False)
class CappedCosts:
    """What each limit of `limits_kw` costs on each past day, arrays [limits, days].

    `cost_eur`: the cheapest plan's cost above that of the day without a cap; `slope_eur_per_kw`: its derivative with
    respect to the limit (0 or negative), the sum of the duals of the cap's rows; `unserved_kwh`: what drivers asked
    for and the plan does not charge, which there may be without a cap as well.
    """

    limits_kw: tuple[float, ...]
    cost_eur: Floats
    slope_eur_per_kw: Floats
    unserved_kwh: Floats


def bid_curve(
    days: Sequence[Sequence[SessionWish]],
    limits_kw: Sequence[float],
    window: tuple[int, int],
    costs: OpportunityCosts,
    activations: float,
    chargers: int,
    charger_kw: float,
    *,
    connection_kw: float | None = None,
    most_eur: Decimal | None = None,
    dearest_part: float = 1.0,
) -> tuple[tuple[float, Decimal], ...]:
    """The curve (limit kW, EUR for the whole contract), limits rising, convex, not rising, the last is (capacity, 0).

    `window`: first quarter and the one after the last, of the local day, in which the cap holds. `activations`: on how
    many days the contract is expected to be activated; each costs the mean of the past days, or of their
    `dearest_part` (0 to 1: the DSO activates when the network is loaded, which may be when the station is). The
    capacity is `connection_kw`, by default what all chargers carry together; limits of `limits_kw` at or above it are
    left out, it is added. With `most_eur` dearer points are left out, which leaves (capacity, 0) alone where all are.
    Prices are whole cents, rounded up and then lifted where that is needed to stay convex. Raises ValueError on a
    window, a session or a part that cannot be.
    """
    if not 0 < dearest_part <= 1 or activations < 0:
        raise ValueError("dearest_part must be in (0, 1], activations not negative")
    capacity = float(chargers * charger_kw if connection_kw is None else connection_kw)
    limits = sorted({float(limit) for limit in limits_kw if limit < capacity})
    found = capped_costs(days, limits, window, costs, charger_kw, capacity)
    if days:
        most = math.ceil(dearest_part * len(days))
        price = activations * np.sort(found.cost_eur, axis=1)[:, -most:].mean(axis=1)
    else:
        price = np.zeros(len(limits))
    curve = _in_cents([*limits, capacity], [*price.tolist(), 0.0])
    return tuple(point for point in curve if most_eur is None or point[1] <= most_eur)


def capped_costs(
    days: Sequence[Sequence[SessionWish]],
    limits_kw: Sequence[float],
    window: tuple[int, int],
    costs: OpportunityCosts,
    charger_kw: float,
    capacity_kw: float,
) -> CappedCosts:
    """The cheapest plan of every past day under every limit: one linear program for each limit, all days in it.

    Each session charges between its arrival and its departure with at most `charger_kw` and the car's own power; the
    station draws at most `capacity_kw`, and in the window at most the limit (0 or more). Energy not charged costs
    margin and goodwill, energy charged its price against the day's mean. Raises ValueError.
    """
    if not 0 <= window[0] < window[1] <= QUARTERS:
        raise ValueError(f"the window {window} is not within the {QUARTERS} quarters of a day")
    if any(not 0 <= limit < math.inf for limit in limits_kw) or charger_kw <= 0 or capacity_kw <= 0:
        raise ValueError("limits must not be negative, charger_kw and capacity_kw must be above 0")
    program = _Program(days, window, costs, charger_kw, capacity_kw)
    uncapped = program.solve(capacity_kw)
    without, free_kw = uncapped[0], capacity_kw
    solved = {}
    for limit in sorted(limits_kw):
        # what costs nothing under one limit costs nothing under a higher one
        found = uncapped if limit >= free_kw else program.solve(limit)
        if limit < free_kw and np.all(found[0] <= without + _FREE_EUR):
            free_kw = limit
        solved[limit] = found
    shape = (len(limits_kw), len(days))
    cost, slope, unserved = (np.array([solved[limit][k] for limit in limits_kw]).reshape(shape) for k in range(3))
    # what is below 0 is the solver's tolerance: a cap saves nothing
    return CappedCosts(tuple(limits_kw), np.maximum(cost - without, 0.0), np.minimum(slope, 0.0), unserved)


class _Program:
    """The linear program of all days, whose right-hand side alone depends on the limit.

    Variables: kW of each session in each quarter of its stay, then kWh not charged of each session. Rows: each
    session's energy is charged or not; each quarter of each day draws no more than the cap.
    """

    def __init__(
        self,
        days: Sequence[Sequence[SessionWish]],
        window: tuple[int, int],
        costs: OpportunityCosts,
        charger_kw: float,
        capacity_kw: float,
    ) -> None:
        wishes = [(day, wish) for day, wishes in enumerate(days) for wish in wishes]
        for _, wish in wishes:
            if not 0 <= wish.arrival < wish.departure <= QUARTERS or wish.energy_kwh < 0 or wish.max_charge_kw < 0:
                raise ValueError(f"a past session cannot be: {wish}")
        self._days, self._capacity, self._window = len(days), capacity_kw, window
        stays = [wish.departure - wish.arrival for _, wish in wishes]
        of = np.repeat(np.arange(len(wishes)), stays)
        day = np.repeat(np.array([number for number, _ in wishes], dtype=np.int64), stays)
        quarters = [np.arange(wish.arrival, wish.departure) for _, wish in wishes]
        quarter = np.concatenate([*quarters, np.zeros(0, dtype=np.int64)])
        powers, sessions = len(of), len(wishes)
        price = np.array(costs.energy_eur_per_kwh)
        lost = costs.margin_eur_per_kwh + costs.goodwill_eur_per_kwh
        self._cost = np.concatenate([_HOURS * (price - price.mean())[quarter], np.full(sessions, lost)])
        each = np.array([min(charger_kw, wish.max_charge_kw) for _, wish in wishes])
        self._energy = np.array([wish.energy_kwh for _, wish in wishes])
        self._upper = np.concatenate([each[of], self._energy])
        # rows of quarters in which there is nobody bind nothing
        self._rows, row = np.unique(day * QUARTERS + quarter, return_inverse=True)
        columns = np.arange(powers + sessions)
        self._shared = csr_array((np.ones(powers), (row, columns[:powers])), shape=(len(self._rows), powers + sessions))
        self._charged = csr_array(
            (
                np.concatenate([np.full(powers, _HOURS), np.ones(sessions)]),
                (np.concatenate([of, np.arange(sessions)]), columns),
            ),
            shape=(sessions, powers + sessions),
        )
        self._day_of = np.concatenate([day, np.array([number for number, _ in wishes], dtype=np.int64)])
        self._powers = powers

    def solve(self, limit_kw: float) -> tuple[Floats, Floats, Floats]:
        """Cost in EUR, its derivative in EUR/kW, and kWh not charged, for each day."""
        if not len(self._energy):
            return np.zeros(self._days), np.zeros(self._days), np.zeros(self._days)
        capped = (self._rows % QUARTERS >= self._window[0]) & (self._rows % QUARTERS < self._window[1])
        result = linprog(
            self._cost,
            A_ub=self._shared,
            b_ub=np.where(capped, limit_kw, self._capacity),
            A_eq=self._charged,
            b_eq=self._energy,
            bounds=np.column_stack([np.zeros(len(self._upper)), self._upper]),
            method="highs",
        )
        if result.status != 0:
            raise RuntimeError(f"HiGHS found no plan for a station: {result.message}")
        charged = np.asarray(result.x, dtype=np.float64)
        duals = np.where(capped, np.asarray(result.ineqlin.marginals, dtype=np.float64), 0.0)
        return (
            self._by_day(self._day_of, self._cost * charged),
            self._by_day(self._rows // QUARTERS, duals),
            self._by_day(self._day_of[self._powers :], charged[self._powers :]),
        )

    def _by_day(self, day: npt.NDArray[np.int64], values: Floats) -> Floats:
        return np.asarray(np.bincount(day, values, self._days), dtype=np.float64)


def _in_cents(limits_kw: Sequence[float], prices_eur: Sequence[float]) -> list[tuple[float, Decimal]]:
    """Whole cents, not below the prices, and convex: from the last point to the first, each is at least on the line
    through the two after it."""
    limits = [Decimal(repr(limit)) for limit in limits_kw]
    prices: list[Decimal] = []
    for k in range(len(limits) - 1, -1, -1):
        least = max(Decimal(repr(round(prices_eur[k] - _NOISE_EUR, 9))), prices[0] if prices else Decimal(0))
        if len(prices) > 1:
            slope = (prices[0] - prices[1]) / (limits[k + 2] - limits[k + 1])
            least = max(least, prices[0] + slope * (limits[k + 1] - limits[k]))
        prices.insert(0, least.quantize(CENT, ROUND_CEILING))
    return [(limit, price + 0) for limit, price in zip(limits_kw, prices, strict=True)]
