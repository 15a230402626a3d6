"""A network study over the shipped feeder for tests of capacity decisions, and sampled days that load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache

import numpy as np

from agents.decisions.capacity_procurement import Curve
from agents.grid_view import Floats, GridState, Sensitivity
from agents.public_ports import Scenarios, StationSite
from environment.grid import Grid

PLACES = ("Bus 5", "Bus 8", "Bus 10", "Bus 11", "Bus 6", "Bus 9", "Bus 4", "Bus 7")


class GridStudy:
    """Power flow and sensitivities of a grid; the forecasts are given by the tests themselves."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.buses = grid.buses
        self.lines = grid.lines
        net = grid.net
        volts = net.bus.vn_kv.loc[net.line.from_bus].to_numpy()
        self.line_rating_kw: Floats = np.sqrt(3) * volts * (net.line.max_i_ka * net.line.df).to_numpy() * 1e3
        self.sections: Mapping[str, tuple[str, ...]] = {}
        self.solved = 0

    def period(self, first: date, days: int, count: int, window: tuple[time, time]) -> Scenarios:
        raise NotImplementedError

    def day_ahead(self, day: date, count: int, window: tuple[time, time]) -> Scenarios:
        raise NotImplementedError

    def look_ahead(
        self, start: datetime, periods: int, station_kw: Mapping[str, Sequence[float]] | None = None
    ) -> list[GridState]:
        raise NotImplementedError

    def station_usual_kw(self, start: datetime, periods: int) -> Mapping[str, tuple[float, ...]]:
        raise NotImplementedError

    def solve(self, p_kw: Floats, q_kvar: Floats) -> list[GridState]:
        self.solved += len(p_kw)
        return self.grid.solve_many(p_kw, q_kvar)

    def sensitivity(self, state: GridState) -> Sensitivity:
        return self.grid.sensitivity(state)


@cache
def grid_study() -> GridStudy:
    """The study of the Greek feeder."""
    return GridStudy(Grid.load("cigre_mv"))


def sites(count: int) -> tuple[StationSite, ...]:
    """Stations along the feeder, 300 kW each."""
    return tuple(
        StationSite(f"s{k}", "cpo", PLACES[k], 37.9, 23.9, tuple(f"s{k}-{n}" for n in range(5)), 60.0, 300.0)
        for k in range(count)
    )


def sampled(
    study: GridStudy, stations: int, count: int, periods: int, *, seed: int = 1, base_kw: float = 320.0
) -> Scenarios:
    """Days with up to `base_kw` at every bus, and stations that draw up to 280 kW, some days busier than others."""
    rng = np.random.default_rng(seed)
    p = base_kw * rng.uniform(0.7, 1.0, (count, 1, 1)) * rng.uniform(0.9, 1.0, (count, periods, len(study.buses)))
    busy = rng.uniform(0.1, 1.0, (count, 1, stations))
    return Scenarios(None, p, 0.2 * p, 280 * busy * rng.uniform(0.5, 1.0, (count, periods, stations)))


def curve(number: int, *points: tuple[float, str]) -> Curve:
    """A curve of station `number`; its capacity, which costs nothing, is added."""
    asked = tuple((limit, Decimal(price)) for limit, price in points)
    return Curve(f"b{number}", f"s{number}", PLACES[number], (*asked, (300.0, Decimal("0.00"))))


def overload_kwh(study: GridStudy, scenarios: Scenarios, limits: Mapping[int, float], percent: float) -> float:
    """Overload energy of a mean day under caps of stations by number, straight from the power flow, state by state."""
    total = 0.0
    for p, q, drawn in zip(scenarios.p_kw, scenarios.q_kvar, scenarios.station_kw, strict=True):
        for p_now, q_now, station in zip(p, q, drawn, strict=True):
            power = p_now.copy()
            for number, kw in enumerate(station):
                power[study.buses.index(PLACES[number])] += min(kw, limits.get(number, np.inf))
            state = study.grid.solve(power, q_now)
            for loading, rating in zip(state.line_loading_percent, study.line_rating_kw, strict=True):
                total += max(0.0, loading - percent) / 100 * rating / 4
    return total / len(scenarios.p_kw)
