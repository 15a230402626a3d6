"""Caps on stations and what they take off a network's overloads: linear flow, checked by AC power flow. Pure.

An overload is the apparent power through a line above its limit, at nominal voltage: rating x (loading - limit). A
loading is, nearly, a convex function of the powers drawn, so a tangent is a lower bound of it; the program knows the
overloads by their tangents. Every choice that it makes is solved by AC power flow in every scenario and quarter, and
where that says more than the tangents did, one more is laid there and the program is solved again. (docs/capacity.md)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.decisions.capacity_program import CapProgram, Overloads
from agents.grid_view import Floats
from agents.public_ports import NetworkStudy, Scenarios, StationSite

HOURS: Final = 0.25
MOST_ROUNDS: Final = 12
_NOISE_KW: Final = 1e-3
_NOISE_EUR: Final = 1e-2
_AGREEMENT: Final = 1e-3
_SAME_EUR: Final = 1e-9
_MOST_SWEEPS: Final = 5


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap that can be chosen: of which station (its number), kW, and what choosing it costs."""

    station: int
    limit_kw: float
    cost_eur: float


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """Overloads kW [S, T, lines] by AC power flow, the highest loading of a line in %, the lowest voltage in pu."""

    overload_kw: Floats
    highest_percent: float
    lowest_vm_pu: float

    @property
    def by_scenario_kwh(self) -> Floats:
        """Overload energy of each scenario [S]: the sum over its lines and quarters."""
        return np.asarray(self.overload_kw.sum(axis=(1, 2)) * HOURS, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The caps that were chosen (their numbers), what AC power flow says of them, and what the tangents did (kWh in the
    mean of the scenarios); `agrees`: they said the same of every overload. `rounds`: how many programs it took."""

    chosen: tuple[int, ...]
    loads: Loads
    linear_kwh: float
    agrees: bool
    rounds: int


class CapFlow:
    """Sampled days on the network of a study, and the tangents of their overloads."""

    def __init__(
        self, study: NetworkStudy, scenarios: Scenarios, stations: Sequence[StationSite], limit_percent: float
    ) -> None:
        """Raises ValueError where the arrays do not belong to each other, or a station is at no bus of the study."""
        count, periods, buses = scenarios.p_kw.shape
        if buses != len(study.buses) or scenarios.q_kvar.shape != scenarios.p_kw.shape or not count or not periods:
            raise ValueError(f"scenarios of {scenarios.p_kw.shape} powers, the study has {len(study.buses)} buses")
        if scenarios.station_kw.shape != (count, periods, len(stations)):
            raise ValueError(
                f"scenarios have {scenarios.station_kw.shape} powers of stations, {len(stations)} stations are named"
            )
        if strangers := [each.station_id for each in stations if each.location not in study.buses]:
            raise ValueError(f"{', '.join(strangers)}: at no bus of the study")
        self.study, self.limit_percent = study, limit_percent
        self.usual_kw = np.asarray(scenarios.station_kw, dtype=np.float64)
        self._p, self._q = scenarios.p_kw, scenarios.q_kvar
        self._at = np.array([study.buses.index(each.location) for each in stations], dtype=np.int64)
        self._rating = np.asarray(study.line_rating_kw, dtype=np.float64)
        self._constant: list[float] = []
        self._gradient: list[Floats] = []
        self._row: list[tuple[int, int, int]] = []
        self.without = self.solve(self.usual_kw)
        self.add_tangents(self.usual_kw, self.without.overload_kw > _NOISE_KW)

    @property
    def scenarios(self) -> int:
        return len(self.usual_kw)

    def solve(self, drawn_kw: Floats) -> Loads:
        """AC power flow of every scenario and quarter, the stations drawing `drawn_kw` [S, T, stations]."""
        p = self._p.copy()
        for number, bus in enumerate(self._at):
            p[:, :, bus] += drawn_kw[:, :, number]
        count, periods, buses = p.shape
        states = self.study.solve(p.reshape(-1, buses), self._q.reshape(-1, buses))
        percent = np.stack([state.line_loading_percent for state in states])
        over = np.maximum(percent - self.limit_percent, 0.0) / 100 * self._rating
        return Loads(
            over.reshape(count, periods, -1), float(percent.max()), float(min(state.vm_pu.min() for state in states))
        )

    def add_tangents(self, drawn_kw: Floats, where: npt.NDArray[np.bool_]) -> int:
        """Lays tangents at `drawn_kw` to the overloads `where` [S, T, lines] is true; how many."""
        rows = np.argwhere(where.any(axis=2))
        if not len(rows):
            return 0
        p, q = self._p[rows[:, 0], rows[:, 1]].copy(), self._q[rows[:, 0], rows[:, 1]]
        here = drawn_kw[rows[:, 0], rows[:, 1]]
        for number, bus in enumerate(self._at):
            p[:, bus] += here[:, number]
        added = 0
        for (s, t), drawn, state in zip(rows.tolist(), here, self.study.solve(p, q), strict=True):
            slopes = self.study.sensitivity(state).line_percent_per_kw[:, self._at]
            for line in np.flatnonzero(where[s, t]).tolist():
                gradient = slopes[line] / 100 * self._rating[line]
                over = (float(state.line_loading_percent[line]) - self.limit_percent) / 100 * self._rating[line]
                self._row.append((s, t, line))
                self._gradient.append(gradient)
                self._constant.append(float(over - gradient @ drawn))
                added += 1
        return added

    def tangents(self) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Constants [M], gradients [M, stations] and (scenario, quarter, line) [M, 3] of all tangents."""
        return (
            np.array(self._constant),
            np.array(self._gradient).reshape(-1, len(self._at)),
            np.array(self._row, dtype=np.int64).reshape(-1, 3),
        )

    def mean_kwh(self, overload_kw: Floats) -> float:
        """Overloads [S, T, lines] as energy in the mean of the scenarios."""
        return float(overload_kw.sum()) * HOURS / self.scenarios

    def linear_kw(self, drawn_kw: Floats) -> Floats:
        """The overloads [S, T, lines] by the tangents alone."""
        constant, gradient, row = self.tangents()
        found = np.zeros(self.without.overload_kw.shape)
        over = constant + (gradient * drawn_kw[row[:, 0], row[:, 1]]).sum(axis=1)
        np.maximum.at(found, (row[:, 0], row[:, 1], row[:, 2]), over)
        return found


def cheapest(flow: CapFlow, caps: Sequence[Cap], eur_per_kwh: float, most_active: int | None = None) -> Choice:
    """The caps, one of each station at most, that make what they cost and `eur_per_kwh` for a kWh of overload (each
    scenario weighs the same) the least.

    A cap holds in every scenario in which there would be an overload. Where these are more than `most_active`, all hold
    in the worst of them first; then each station's in those in which it is worth most beside the others, and the caps
    are chosen again. The choice is the best that AC power flow has seen; the search ends when the tangents tell the
    truth about it.
    """
    hit = np.flatnonzero((flow.without.overload_kw > _NOISE_KW).any(axis=(1, 2)))
    if not caps or not len(hit):
        return Choice((), flow.without, flow.mean_kwh(flow.without.overload_kw), True, 0)
    search = _Search(flow, caps, eur_per_kwh, hit)
    held = np.ones((len(hit), flow.usual_kw.shape[2]), dtype=np.bool_)
    if most_active is None or most_active >= len(hit):
        return search.run(held)
    held[np.argsort(-flow.without.by_scenario_kwh[hit], kind="stable")[most_active:]] = False
    best = search.run(held)
    again = search.run(search.worth_most(best.chosen, held, most_active))
    return min(best, again, key=search.total_eur)


class _Search:
    """Choosing caps for one set of scenarios that are hit by overloads."""

    def __init__(self, flow: CapFlow, caps: Sequence[Cap], eur_per_kwh: float, hit: npt.NDArray[np.intp]) -> None:
        self._flow, self._caps, self._eur_per_kwh, self._hit = flow, caps, eur_per_kwh, hit

    def total_eur(self, choice: Choice) -> float:
        """What the caps cost and the overloads that are left."""
        spent = sum(self._caps[number].cost_eur for number in choice.chosen)
        return spent + self._eur_per_kwh * float(choice.loads.by_scenario_kwh.mean())

    def run(self, held: npt.NDArray[np.bool_]) -> Choice:
        """The cheapest caps where each station's hold in the scenarios `held` [hit scenarios, stations]."""
        flow, caps = self._flow, self._caps
        program = CapProgram(
            [cap.cost_eur for cap in caps],
            [cap.station for cap in caps],
            flow.without.by_scenario_kwh[self._hit],
            self._eur_per_kwh / flow.scenarios,
        )
        best: Choice | None = None
        for rounds in range(1, MOST_ROUNDS + 1):
            chosen = program.solve(_overloads(flow, caps, self._hit, held), HOURS)
            drawn = flow.usual_kw.copy()
            for cap in (caps[number] for number in chosen):
                active = self._hit[held[:, cap.station]]
                drawn[active, :, cap.station] = np.minimum(drawn[active, :, cap.station], cap.limit_kw)
            loads, linear = flow.solve(drawn), flow.linear_kw(drawn)
            missing = loads.overload_kw - linear
            found = Choice(chosen, loads, flow.mean_kwh(linear), True, rounds)
            total = self.total_eur(found)
            wrong_eur = self._eur_per_kwh * flow.mean_kwh(np.abs(missing))
            if wrong_eur > max(_NOISE_EUR, _AGREEMENT * total):
                found = dataclasses.replace(found, agrees=False)
            if best is None or total < self.total_eur(best) + _SAME_EUR:
                best = found
            if found.agrees or not flow.add_tangents(drawn, missing > _NOISE_KW):
                break
        assert best is not None
        return dataclasses.replace(best, rounds=rounds)

    def worth_most(self, chosen: Sequence[int], held: npt.NDArray[np.bool_], most: int) -> npt.NDArray[np.bool_]:
        """In which `most` scenarios the cap of each station takes most overload away, beside those of the others where
        these hold; station by station, until it stays so."""
        caps = [self._caps[number] for number in chosen]
        held = held.copy()
        for _ in range(_MOST_SWEEPS):
            before = held.copy()
            for number, cap in enumerate(caps):
                held[:, cap.station] = True
                overloads = _overloads(self._flow, caps, self._hit, held)
                others = np.ones(len(caps))
                others[number] = 0.0
                relief = overloads.energy_kwh(others, HOURS)[0] - overloads.energy_kwh(np.ones(len(caps)), HOURS)[0]
                held[np.argsort(-relief, kind="stable")[most:], cap.station] = False
            if np.array_equal(before, held):
                break
        return held


def _overloads(flow: CapFlow, caps: Sequence[Cap], hit: npt.NDArray[np.intp], held: npt.NDArray[np.bool_]) -> Overloads:
    """The tangents as functions of the caps, which hold where `held` [hit scenarios, stations] says; scenarios are
    counted among those in `hit`."""
    constant, gradient, row = flow.tangents()
    order = np.lexsort(row.T[::-1])
    constant, gradient, row = constant[order], gradient[order], row[order]
    scenario = np.searchsorted(hit, row[:, 0])
    of = np.array([cap.station for cap in caps], dtype=np.int64)
    usual = flow.usual_kw[row[:, 0], row[:, 1]]
    less = np.minimum(np.array([cap.limit_kw for cap in caps]) - usual[:, of], 0.0)
    first = np.flatnonzero(np.append(True, (np.diff(row, axis=0) != 0).any(axis=1)))
    return Overloads(
        constant + (gradient * usual).sum(axis=1),
        gradient[:, of] * less * held[:, of][scenario],
        first,
        scenario[first],
        len(hit),
    )
