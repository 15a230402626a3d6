"""The operator's eyes on its low voltages: a few meters, an estimation, a forecast, a power flow.

Implements `agents.voltage_view.VoltageModel`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from agents.grid_view import Floats, GridState, Sensitivity
from agents.voltage_view import Estimate
from environment.estimation import NetworkMeters, StateEstimator
from environment.forecast import Forecaster
from environment.grid import Grid, GridError
from environment.profiles import QUARTER, Injections, later, quarter_of

READ_OUT_AFTER: Final = timedelta(days=1)
"""The customers' meters are read out a day later: what forecasts rest on, beside the few meters that report at once."""


class MeteredNetwork:
    """One network as its operator sees it. kW and kvar, drawn is positive."""

    def __init__(
        self,
        grid: Grid,
        forecaster: Forecaster,
        meters: NetworkMeters,
        estimator: StateEstimator,
        true_state: Callable[[], GridState],
        zone: tzinfo | None = None,
    ) -> None:
        """`true_state`: the means of the last whole quarter hour, for the meters alone. `zone`: the local time of the
        forecast's days; None for the profiles' standard time."""
        self.grid = grid
        self._forecaster, self._meters, self._estimator = forecaster, meters, estimator
        self._true_state = true_state
        self._zone: tzinfo = forecaster.profiles.clock if zone is None else zone
        self._last: tuple[datetime, Estimate, Floats] | None = None

    @property
    def buses(self) -> tuple[str, ...]:
        """Low-voltage buses, in the order of every array."""
        return self.grid.buses

    def feeder_of(self, bus: str) -> str:
        """The feeder that a bus hangs on."""
        return self.grid.feeder_of(bus)

    def estimated(self, now: datetime, charger_kw: Mapping[str, float]) -> Estimate:
        """The quarter hour that ended last before `now`, as every meter saw it on average; `charger_kw`: what the
        managers report of the same time, by bus."""
        measured = later(quarter_of(now), -1)
        forecast = self._forecast(measured, 1, now)
        estimate = self._estimator.estimate(
            self._meters.read(self._true_state()),
            forecast.p_kw[0],
            forecast.q_kvar[0],
            charger_kw=charger_kw,
            pseudo_pv_kw=forecast.pv_kw_by_bus[0],
        )
        estimate = replace(estimate, at=measured)
        self._last = measured, estimate, self.grid.by_bus(charger_kw)
        return estimate

    def expected(self, start: datetime, now: datetime, charger_kw: Mapping[str, float]) -> GridState:
        """The quarter hour from `start`, as expected at `now`, with chargers drawing `charger_kw` by bus.

        What the estimate found beside the forecast is taken to last: its powers, less the chargers' of then, move by
        the forecast's change. Without an estimate of the last quarter hour it is the forecast alone. Where the
        chargers' power has no operating point, as much of it as has one. Raises GridError where `start` is no quarter
        hour from now's on.
        """
        present = quarter_of(now)
        measured = later(present, -1)
        ahead = (start.astimezone(UTC) - present.astimezone(UTC)) / QUARTER
        if ahead < 0 or ahead != int(ahead):
            raise GridError(f"look-ahead: {start.isoformat()} is no quarter hour from {present.isoformat()} on")
        forecast = self._forecast(measured, int(ahead) + 2, now)
        p, q = forecast.p_kw[-1].copy(), forecast.q_kvar[-1].copy()
        if self._last is not None and self._last[0] == measured:
            _, estimate, chargers = self._last
            p += estimate.p_kw - chargers - forecast.p_kw[0]
            q += estimate.q_kvar - forecast.q_kvar[0]
        return self.grid.nearest(p, self.grid.by_bus(charger_kw), q, start)

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Exact derivatives of voltages and loadings at a state, for one kW more drawn at each bus."""
        return self.grid.sensitivity(state)

    def solve(self, p_kw: Floats, q_kvar: Floats) -> GridState:
        """AC power flow for this net power drawn at each bus. Raises PowerFlowError."""
        return self.grid.solve(p_kw, q_kvar)

    def _forecast(self, start: datetime, count: int, now: datetime) -> Injections:
        # a day's profile is that of the local day, whatever zone the caller counts in
        known = (now.astimezone(UTC) - READ_OUT_AFTER).astimezone(self._zone)
        return self._forecaster.periods(start.astimezone(self._zone), count, now=known)
