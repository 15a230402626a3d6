"""The grid operator's model of its network: the power flow on forecasts, and what it takes to keep the limits.

Implements `agents.ports.GridModel`. Linear answers come from exact sensitivities and are never handed out before an AC
power flow has confirmed them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, time, tzinfo
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from agents.grid_view import Direction, Floats, GridState, Hosting, Limits, Relief, Sensitivity, Violation
from environment.forecast import Forecaster
from environment.grid import Grid, GridError, PowerFlowError
from environment.profiles import QUARTER, Profiles, later

RESOLUTION_KW: Final = 0.01
_WORST_QUARTERS: Final = 12
_STEPS: Final = 12


class LookAhead:
    """Look-ahead, sensitivities, hosting and relief for one network."""

    def __init__(self, grid: Grid, profiles: Profiles, zone: tzinfo | None = None) -> None:
        """`zone`: the local time that times of day are meant in; None for the profiles' standard time."""
        self.grid = grid
        self.zone = profiles.clock if zone is None else zone
        self.profiles = profiles
        self.forecaster = Forecaster(profiles)

    @property
    def buses(self) -> tuple[str, ...]:
        """The network's own buses, in the order of every state's arrays."""
        return self.grid.buses

    @cached_property
    def _year_total(self) -> Floats:
        """Net power of all buses in each quarter hour of the year, kW."""
        return self.profiles.year_sum(np.ones(len(self.buses)), np.zeros(len(self.buses)))

    @cached_property
    def _minute_of_day(self) -> npt.NDArray[np.int64]:
        """Local minute of the day at which each quarter hour of the year starts."""
        starts = pd.date_range(self.profiles.year_start, periods=len(self.profiles.year_values), freq=QUARTER)
        local = starts.tz_convert(self.zone)
        return np.asarray(local.hour * 60 + local.minute, dtype=np.int64)

    def look_ahead(
        self,
        charger_kw_by_bus: Mapping[str, Sequence[float]],
        start: datetime,
        periods: int,
        *,
        now: datetime | None = None,
    ) -> list[GridState]:
        """One state for each quarter hour from `start`: forecast load and PV, plus these chargers (mean kW drawn)."""
        # a day's profile is that of the local day, whatever zone the caller counts in
        start = start.astimezone(self.zone)
        forecast = self.forecaster.periods(start, periods, now=start if now is None else now.astimezone(self.zone))
        power = forecast.p_kw.copy()
        for bus, series in charger_kw_by_bus.items():
            if len(series) != periods:
                raise GridError(f"look-ahead: {len(series)} values for bus {bus!r}, {periods} periods are wanted")
            power[:, self.grid.index(bus)] += np.asarray(series, dtype=np.float64)
        at = [later(start, index) for index in range(periods)]
        try:
            return self.grid.solve_many(power, forecast.q_kvar, at=at)
        except PowerFlowError:
            chargers = power - forecast.p_kw
            return [
                self.grid.nearest(forecast.p_kw[row], chargers[row], forecast.q_kvar[row], at[row])
                for row in range(periods)
            ]

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Exact derivatives of voltages and loadings at a state, for one kW more drawn at each bus."""
        return self.grid.sensitivity(state)

    def hosting(
        self,
        bus: str | Mapping[str, float],
        direction: Direction,
        limits: Limits,
        *,
        up_to_kw: float = 1000.0,
        already_kw: Mapping[str, float] | None = None,
        between: tuple[time, time] | None = None,
    ) -> Hosting:
        """The power that breaks no limit in the worst quarter hours of the year of profiles, to 0.01 kW.

        `bus`: one bus, or weights by which the power is shared; `already_kw`: magnitudes promised before, in the same
        direction. Charging is tried where the year's net load is highest (at the transformer, and by its effect on the
        voltages here), discharging where it is lowest. `binding` is the limit that the next 0.1 kW would break.
        `between` (from, to; over midnight where `to` is not later) leaves only the quarter hours that start in it.
        """
        weights = self._weights({bus: 1.0} if isinstance(bus, str) else bus)
        sign = 1.0 if direction is Direction.CHARGE else -1.0
        rows = self._worst(weights, sign, between)
        promised = sign * self.grid.by_bus(already_kw or {})
        base_p, base_q = self.profiles.year_rows(rows)
        base_p += promised

        def broken(power_kw: float) -> Violation | None:
            try:
                states = self.grid.solve_many(base_p + sign * power_kw * weights, base_q)
            except PowerFlowError:
                return Violation("the network's voltage", 0.0, limits.vm_min_pu, "pu")
            return worst_of([violation for state in states for violation in state.violations(limits)])

        if (violation := broken(0.0)) is not None:
            return Hosting(0.0, violation)
        if broken(up_to_kw) is None:
            return Hosting(up_to_kw, None)
        low, high = (
            0,
            math.ceil(up_to_kw / RESOLUTION_KW),
        )  # in hundredths of a kW, so that the answer is a round number
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if broken(middle * RESOLUTION_KW) is None else (low, middle)
        power = round(low * RESOLUTION_KW, 2)
        return Hosting(power, broken(min(power + 0.1, up_to_kw)) or broken(high * RESOLUTION_KW))

    def relief(self, state: GridState, available_kw: Mapping[str, float], limits: Limits) -> Relief:
        """The smallest change at buses, in proportion to `available_kw`, after which AC power flow breaks no limit.

        `available_kw`: how far each bus's consumption can move (kW > 0, either way); their sum is the most asked for.
        Newton steps on the exact sensitivities until a power flow confirms one, then a bisection back to the smallest
        that is confirmed, to 0.01 kW. Where it cannot be solved, `remaining` says what the last step leaves broken.
        """
        weights = self._weights(available_kw)
        most = float(sum(available_kw.values()))

        def at(power_kw: float) -> GridState:
            return self.grid.solve(state.p_kw - power_kw * weights, state.q_kvar, at=state.at)

        before = state.violations(limits)
        too_little, power, after = 0.0, 0.0, state
        for _ in range(_STEPS):
            if not after.violations(limits):
                break
            target = max(-most, min(most, power + 1.001 * self._step(after, weights, limits)))
            if target == power:
                break
            too_little, power = power, target
            after = at(power)
        if before and not after.violations(limits):
            side = math.copysign(RESOLUTION_KW, power)
            low, high = math.floor(abs(too_little) / RESOLUTION_KW), math.ceil(abs(power) / RESOLUTION_KW)
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if at(middle * side).violations(limits) else (low, middle)
            power = min(round(high * RESOLUTION_KW, 2), most) * math.copysign(1, power)
            after = at(power)
        shares = {bus: power * kw / most for bus, kw in available_kw.items()}
        return Relief(power, shares, before, after.violations(limits), after)

    def _step(self, state: GridState, weights: Floats, limits: Limits) -> float:
        """How much less (kW, negative: more) to draw along `weights` until the linearised limits hold.

        Each limit allows an interval of steps. Where no step satisfies all, the one that cures the worst violation.
        """
        sensitivity = self.grid.sensitivity(state)
        slope = -np.concatenate(
            [
                [sensitivity.trafo_percent_per_kw @ weights / limits.transformer_percent],
                sensitivity.line_percent_per_kw @ weights / limits.line_percent,
                sensitivity.vm_pu_per_kw @ weights,
                -sensitivity.vm_pu_per_kw @ weights,
            ]
        )
        room = np.concatenate(
            [
                [1 - state.trafo_loading_percent / limits.transformer_percent],
                1 - state.line_loading_percent / limits.line_percent,
                limits.vm_max_pu - state.vm_pu,
                state.vm_pu - limits.vm_min_pu,
            ]
        )
        effective = np.abs(slope) > 1e-9
        bound = np.divide(room, slope, out=np.zeros_like(room), where=effective)
        up, down = effective & (slope > 0), effective & (slope < 0)
        most, least = bound[up].min(initial=math.inf), bound[down].max(initial=-math.inf)
        if least <= most:
            return float(min(max(0.0, least), most))
        worst = int(np.where(effective, room, math.inf).argmin())
        return float(bound[worst])

    def _weights(self, by_bus: Mapping[str, float]) -> Floats:
        """Shares that add up to one, in the order of the buses."""
        total = float(sum(by_bus.values()))
        if not by_bus or total <= 0 or min(by_bus.values()) < 0:
            raise GridError(f"weights by bus must be >= 0 and not all 0, not {dict(by_bus)}")
        return self.grid.by_bus(by_bus) / total

    def _worst(self, weights: Floats, sign: float, between: tuple[time, time] | None) -> npt.NDArray[np.int64]:
        """The year's quarter hours to try: by the transformer's net power, and by the voltage where the power goes."""
        drop = sign * self.profiles.year_sum(*self.grid.voltage_drop(weights))
        total = sign * self._year_total
        rows = np.arange(len(total))
        if between is not None:
            first, last = (at.hour * 60 + at.minute for at in between)
            since = (self._minute_of_day - first) % 1440
            rows = np.flatnonzero(since < ((last - first) % 1440 or 1440))
        if not len(rows):
            raise GridError(f"hosting: no quarter hour starts between {between}")
        return rows[np.union1d(np.argsort(total[rows])[-_WORST_QUARTERS:], np.argsort(drop[rows])[-_WORST_QUARTERS:])]


def worst_of(violations: Sequence[Violation]) -> Violation | None:
    """The violation that is furthest beyond its limit, relative to it."""
    return max(violations, key=lambda v: abs(v.value - v.limit) / v.limit, default=None)
