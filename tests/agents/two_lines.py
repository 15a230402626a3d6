"""A network of two lines without losses, with three public stations, as its DSO sees it.

line 1 feeds b1 and b2, line 2 feeds b2; stations s1 (b1, ppc), s2 (b2, ppc) and s3 (b2, second-cpo) have 200 kW each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta

import numpy as np

from agents.grid_view import Floats, GridState, Sensitivity
from agents.public_ports import Scenarios, StationSite

QUARTER = timedelta(minutes=15)
PERIODS = 20
STATIONS = tuple(
    StationSite(name, cpo, bus, 37.9, 23.9, tuple(f"{name}-{k}" for k in range(4)), 50.0, 200.0)
    for name, cpo, bus in (("s1", "ppc", "b1"), ("s2", "ppc", "b2"), ("s3", "second-cpo", "b2"))
)


class TwoLines:
    """The study: `evening_kw` is what every station draws in the window in each scenario, `sunny_kw` what roofs at b2
    give at a time (>= 0)."""

    buses = ("b1", "b2")
    lines = ("line 1", "line 2")
    sections: Mapping[str, tuple[str, ...]] = {"line 1": ("b1", "b2"), "line 2": ("b2",)}

    def __init__(
        self,
        evening_kw: Sequence[float] = (150.0, 150.0, 90.0, 90.0),
        sunny_kw: Callable[[datetime], float] = lambda when: 0.0,
        ratings_kw: tuple[float, float] = (1000.0, 300.0),
    ) -> None:
        self.evening_kw = tuple(evening_kw)
        self.sunny_kw = sunny_kw
        self.line_rating_kw: Floats = np.array(ratings_kw)
        self.asked: list[tuple[str, date, int]] = []

    def period(self, first: date, days: int, count: int, window: tuple[time, time]) -> Scenarios:
        self.asked.append(("period", first, count))
        return self._scenarios()

    def day_ahead(self, day: date, count: int, window: tuple[time, time]) -> Scenarios:
        self.asked.append(("day-ahead", day, count))
        return self._scenarios()

    def _scenarios(self) -> Scenarios:
        shape = (len(self.evening_kw), PERIODS)
        loads = np.zeros((*shape, 2)) + 40.0
        station = np.zeros((*shape, 3)) + np.array(self.evening_kw)[:, None, None]
        return Scenarios(None, loads, 0.1 * loads, station)

    def look_ahead(
        self, start: datetime, periods: int, station_kw: Mapping[str, Sequence[float]] | None = None
    ) -> list[GridState]:
        times = [start + k * QUARTER for k in range(periods)]
        states = self.solve(np.array([[40.0, 40.0 - self.sunny_kw(when)] for when in times]), np.zeros((periods, 2)))
        return [dataclasses.replace(state, at=when) for state, when in zip(states, times, strict=True)]

    def station_usual_kw(self, start: datetime, periods: int) -> Mapping[str, tuple[float, ...]]:
        return {station.station_id: (60.0,) * periods for station in STATIONS}

    def solve(self, p_kw: Floats, q_kvar: Floats) -> list[GridState]:
        return [self._state(p, q) for p, q in zip(p_kw, q_kvar, strict=True)]

    def _through(self, p: Floats, q: Floats) -> Floats:
        return np.array([np.hypot(p.sum(), q.sum()), np.hypot(p[1], q[1])])

    def _state(self, p: Floats, q: Floats) -> GridState:
        return GridState(
            buses=self.buses,
            lines=self.lines,
            transformer="t1",
            p_kw=p,
            q_kvar=q,
            vm_pu=np.ones(2),
            line_loading_percent=100 * self._through(p, q) / self.line_rating_kw,
            trafo_loading_percent=0.0,
            trafo_p_kw=float(p.sum()),
            trafo_q_kvar=float(q.sum()),
            losses_kw=0.0,
        )

    def sensitivity(self, state: GridState) -> Sensitivity:
        steps = [
            (self._through(state.p_kw + np.eye(2)[k] * 1e-3, state.q_kvar) - self._through(state.p_kw, state.q_kvar))
            for k in range(2)
        ]
        percent = 100 * np.array(steps).T / 1e-3 / self.line_rating_kw[:, None]
        return Sensitivity(np.zeros((2, 2)), percent, percent[0] * 0)
