"""What vehicles usually draw: the mean over days like those of the run, drawn from the same fits with other luck.

The grid operator has its meters' history; ours is generated, because the demonstrator has no past. It knows the habits
and not the run's own sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np

from agents.grid_view import Floats
from agents.periods import QUARTER, quarters
from environment.scenario_parts import Scenario
from environment.sessions import Session, generate

DAYS = 20
Plan: TypeAlias = tuple[datetime, Sequence[float]]
"""The beginning of the first market period, and the mean kW of each from it on."""


class ChargingHistory:
    """Implements `agents.grid_watch.ChargingForecast`. kW drawn, by bus."""

    def __init__(
        self,
        scenario: Scenario,
        bus_of: Mapping[str, str],
        rng: np.random.Generator,
        plan: Callable[[Session], Plan] | None = None,
    ) -> None:
        """`plan`: what a vehicle draws in each market period, from which one on; without it, it charges with all it has
        from its arrival, or from its timer's time on."""
        self._begins = scenario.begins.astimezone(UTC)
        count = quarters(self._begins, scenario.ends.astimezone(UTC))
        self._kw = {bus: np.zeros(count) for bus in sorted(set(bus_of.values()))}
        self._totals = np.zeros((DAYS, count))
        site = {charger: site for site in scenario.sites for charger in site.charger_ids()}
        for day, stream in enumerate(rng.spawn(DAYS)):
            for session in generate(stream, scenario).sessions:
                if plan is not None:
                    drawn = self._planned(*plan(session), count)
                    self._kw[bus_of[session.charger_id]] += drawn / DAYS
                    self._totals[day] += drawn
                    continue
                power = site[session.charger_id].max_charge_kw
                asked = (session.soc_wanted_percent - session.soc_arrival_percent) / 100 * session.capacity_kwh
                hours = max(0.0, asked) / site[session.charger_id].efficiency_charge / power
                starts = session.arrival if session.charges_from is None else session.charges_from
                first = (starts - self._begins).total_seconds() / 3600
                edges = np.clip(np.arange(count + 1) / 4 - first, 0.0, hours)
                drawn = np.diff(edges) * 4 * power
                self._kw[bus_of[session.charger_id]] += drawn / DAYS
                self._totals[day] += drawn

    def _planned(self, start: datetime, powers: Sequence[float], count: int) -> Floats:
        """The powers of a plan in the run's market periods."""
        drawn = np.zeros(count)
        first = (start.astimezone(UTC) - self._begins) // QUARTER
        for k, kw in enumerate(powers):
            if 0 <= first + k < count:
                drawn[first + k] = kw
        return drawn

    def typical_kw(self, start: datetime, periods: int, quantile: float | None = None) -> Mapping[str, Floats]:
        """kW by bus [period] from `start`, the mean of the days; with `quantile` scaled so that the sum is that
        quantile of the days' sums. Beyond the run's end there is nothing known, and so nothing."""
        scale = np.ones(self._totals.shape[1])
        if quantile is not None:
            mean = self._totals.mean(axis=0)
            scale = np.divide(np.quantile(self._totals, quantile, axis=0), mean, out=scale, where=mean > 0)
        first = (start.astimezone(UTC) - self._begins) // QUARTER
        found = {}
        for bus, series in self._kw.items():
            window = np.zeros(periods)
            low, high = max(first, 0), min(first + periods, len(series))
            if low < high:
                window[low - first : high - first] = (series * scale)[low:high]
            found[bus] = window
        return found
