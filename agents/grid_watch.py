"""The DSO's look at its own network: what will be overloaded, how much less would cure it, what that is worth.

Its arithmetic is in `agents.decisions`, its power flow behind `GridModel`; nothing here sends a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import numpy as np

from agents.decisions.congestion import Need, find_needs
from agents.decisions.pricing import MaximumPrice, OperatorCosts, maximum_price
from agents.grid_view import Floats, GridState, Limits, Relief
from agents.periods import MINUTES, QUARTER, quarter_at
from agents.ports import GridModel


class ChargingForecast(Protocol):
    """What vehicles usually draw."""

    def typical_kw(self, start: datetime, periods: int, quantile: float | None = None) -> Mapping[str, Floats]:
        """kW by bus [period] from `start`: the mean of days like this one without any service, or scaled to what all
        together draw on a day that is worse than this part of them."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A need, the states it comes from (one for each period of its window), and the most to pay for it."""

    need: Need
    before: tuple[GridState, ...]
    price: MaximumPrice

    @property
    def max_price_eur_per_kw(self) -> Decimal:
        return self.price.price_eur_per_kw


class GridWatch:
    """Look-aheads by power flow on forecasts. Powers in kW, drawn is positive.

    `not_sold`: what the last look found that only more consumption would cure (a voltage too high, feeding back too
    much). The products here are reductions, so that nobody can be asked for it.
    """

    def __init__(
        self,
        grid: GridModel,
        limits: Limits,
        costs: OperatorCosts,
        charging: ChargingForecast,
        *,
        ambient_c: float,
        margin: float,
        bad_day: float,
        granularity_kw: float,
        max_duration_minutes: int = 60,
    ) -> None:
        self.grid = grid
        self.limits = limits
        self.costs = costs
        self.charging = charging
        self.ambient_c = ambient_c
        self.margin = margin
        self.bad_day = bad_day
        self.granularity_kw = granularity_kw
        self.longest = max(1, min(4, max_duration_minutes // MINUTES))
        self.not_sold: tuple[Need, ...] = ()

    def day_ahead(
        self, start: datetime, end: datetime, now: datetime, flexible_kw: Mapping[str, float]
    ) -> list[Problem]:
        """What charging on a bad day would break between `start` and `end`, in windows of at most an hour,
        and no longer than the product may last."""
        periods = (end - start) // QUARTER
        charging = self.charging.typical_kw(start, periods, self.bad_day)
        return self._problems(charging, start, periods, now, flexible_kw)

    def next_quarter(
        self,
        start: datetime,
        now: datetime,
        metered_kw: Mapping[str, float],
        metered_at: datetime,
        planned_change_kw: Mapping[str, float],
        flexible_kw: Mapping[str, float],
    ) -> list[Problem]:
        """What the quarter from `start` would break: the chargers as metered at `metered_at`, moved as charging usually
        moves from then on, with the margin for what that misses, and by `planned_change_kw` (what begins)."""
        first = quarter_at(metered_at)
        typical = self.charging.typical_kw(first, (start - first) // QUARTER + 1)
        charging = {}
        for bus, kw in metered_kw.items():
            usual = typical.get(bus)
            moved = 0.0 if usual is None else float(usual[-1] - usual[0])
            expected = kw + moved
            charging[bus] = np.array([expected + abs(expected) * self.margin + planned_change_kw.get(bus, 0.0)])
        return self._problems(charging, start, 1, now, flexible_kw)

    def _problems(
        self,
        charging_kw: Mapping[str, Floats],
        start: datetime,
        periods: int,
        now: datetime,
        flexible_kw: Mapping[str, float],
    ) -> list[Problem]:
        states = self.grid.look_ahead({b: list(kw) for b, kw in charging_kw.items()}, start, periods, now=now)
        reliefs: list[Relief | None] = [
            self.grid.relief(state, flexible_kw, self.limits) if state.violations(self.limits) else None
            for state in states
        ]
        needs = find_needs(reliefs, start, margin=0.0, granularity_kw=self.granularity_kw, longest=self.longest)
        self.not_sold = tuple(need for need in needs if need.increase)
        return [
            self._priced(need, states[need.window.start : need.window.stop], reliefs)
            for need in needs
            if not need.increase
        ]

    def _priced(self, need: Need, before: Sequence[GridState], reliefs: Sequence[Relief | None]) -> Problem:
        after = [
            state.trafo_loading_percent if relief is None else relief.after.trafo_loading_percent
            for state, relief in zip(before, reliefs[need.window.start : need.window.stop], strict=True)
        ]
        price = maximum_price(
            self.costs,
            loading_percent=[state.trafo_loading_percent for state in before],
            relieved_percent=after,
            load_kw=[max(0.0, state.trafo_p_kw) for state in before],
            power_kw=need.power_kw,
            ambient_c=self.ambient_c,
            voltage=all("pu" in reason for reason in need.reasons),
        )
        return Problem(need, tuple(before), price)


def shared(total_kw: float, weights: Mapping[str, float]) -> dict[str, float]:
    """`total_kw` shared over the buses in proportion to their weights."""
    whole = sum(weights.values())
    return {bus: total_kw * weight / whole for bus, weight in weights.items()} if whole > 0 else {}
