"""The DSO's look at the currents of its network: what will be overloaded, which chargers are behind it, how much less
of their power would cure it, and what that is worth (BUC 3, D5.1 3.3: "monitoring the flow of electricity on the
network and identifying any issues with congestion").

The power flow is behind `GridModel`; nothing here sends a message. kW, positive drawn.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from agents.decisions.congestion import Need, find_needs
from agents.decisions.congestion_price import most_to_pay
from agents.decisions.pricing import OperatorCosts
from agents.grid_view import Floats, GridState, Limits, Relief, Sensitivity, Violation
from agents.periods import QUARTER
from agents.ports import GridModel

BEHIND_PART = 0.5
"""A bus is behind an element where a kW there loads it by more than this part of what it does where it does most."""
_LEAST_PERCENT_PER_KW = 1e-6
_WITHIN_PERCENT = 0.002
"""So far within a limit a step aims, so that the next power flow confirms it."""
_ROUNDS = 6
_NO_BAND = {"vm_min_pu": 0.0, "vm_max_pu": 9.0}


@dataclass(frozen=True, slots=True)
class Congestion:
    """A need at one place. `elements`: what would be overloaded, the most overloaded first; `buses`: those with
    chargers behind all of it; `flexible_kw`: what these draw on average meanwhile; `most`: to pay, EUR/kWh."""

    elements: tuple[str, ...]
    buses: tuple[str, ...]
    need: Need
    flexible_kw: float
    most: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What a look found. `congestions`: of the smallest place first, in the order of time. `backwards`: overloads that
    only more consumption would cure; `voltages`: limits of voltage that would be broken."""

    states: tuple[GridState, ...]
    congestions: tuple[Congestion, ...]
    backwards: tuple[Violation, ...]
    voltages: tuple[Violation, ...]

    def missing_kw(self, like: Congestion) -> float:
        """What is needed here of what `like` asked for: at one of its elements, at some time of its window."""
        return max(
            (
                each.need.power_kw
                for each in self.congestions
                if set(each.elements) & set(like.elements)
                and each.need.start < like.need.end
                and like.need.start < each.need.end
            ),
            default=0.0,
        )


class CongestionWatch:
    """Looks ahead. `chargers`: how many there are at each bus; each can give back at most `discharge_kw`. `margin`: by
    which part a need is larger than the look says; `longest`: periods of one need."""

    def __init__(
        self,
        model: GridModel,
        chargers: Mapping[str, int],
        costs: OperatorCosts,
        *,
        ambient_c: float,
        margin: float,
        granularity_kw: float,
        discharge_kw: float,
        longest: int = 4,
    ) -> None:
        self.model = model
        self.chargers = dict(chargers)
        self.costs = costs
        self.ambient_c = ambient_c
        self.margin = margin
        self.granularity_kw = granularity_kw
        self.discharge_kw = discharge_kw
        self.longest = longest

    def look(self, charging_kw: Mapping[str, Floats], start: datetime, now: datetime, limits: Limits) -> Outlook:
        """The periods from `start`, as many as there are values by bus; `limits` hold in all of them."""
        before = self.states(charging_kw, start, now)
        relief = _Reliefs(self, charging_kw, before, limits)
        after = before
        for _ in range(_ROUNDS):
            if not relief.step(after):
                break
            after = self.states(relief.charging_kw, start, now)
        voltages = [v for state in before for v in state.violations(limits) if v.unit == "pu"]
        return Outlook(
            states=tuple(before),
            congestions=tuple(self._congestions(relief, before, after, charging_kw, start, limits)),
            backwards=tuple({v.element: v for v in relief.backwards}.values()),
            voltages=tuple(voltages),
        )

    def states(self, charging_kw: Mapping[str, Floats], start: datetime, now: datetime) -> list[GridState]:
        periods = len(next(iter(charging_kw.values())))
        series = {bus: [float(kw) for kw in values] for bus, values in charging_kw.items()}
        return self.model.look_ahead(series, start, periods, now=now)

    def _congestions(
        self,
        relief: _Reliefs,
        before: Sequence[GridState],
        after: Sequence[GridState],
        charging_kw: Mapping[str, Floats],
        start: datetime,
        limits: Limits,
    ) -> list[Congestion]:
        found = []
        for place in sorted(relief.elements, key=lambda buses: (len(buses), buses)):
            elements = relief.elements[place]
            reliefs = [
                Relief(
                    power_kw=round(sum(relief.by_place[place, t].values()), 2),
                    by_bus=dict(relief.by_place[place, t]),
                    before=tuple(v for v in overloads(state, limits) if v.element in elements),
                    remaining=tuple(v for v in overloads(after[t], limits) if v.element in elements),
                    after=after[t],
                )
                if (place, t) in relief.by_place
                else None
                for t, state in enumerate(before)
            ]
            for need in find_needs(
                reliefs, start, margin=self.margin, granularity_kw=self.granularity_kw, longest=self.longest
            ):
                flexible = sum(np.maximum(0.0, charging_kw[bus][need.window.start : need.window.stop]) for bus in place)
                found.append(
                    Congestion(
                        elements=self._worst_first(elements, need, before, limits),
                        buses=place,
                        need=need,
                        flexible_kw=float(np.mean(flexible)),
                        most=self._most(elements, need, before, after, relief, limits),
                    )
                )
        return found

    @staticmethod
    def _worst_first(
        elements: Sequence[str], need: Need, states: Sequence[GridState], limits: Limits
    ) -> tuple[str, ...]:
        excess: defaultdict[str, float] = defaultdict(float)  # 0 where only the whole place's need covers the window
        for t in need.window:
            for violation in overloads(states[t], limits):
                excess[violation.element] = max(excess[violation.element], violation.value / violation.limit)
        return tuple(sorted(elements, key=lambda e: (-excess[e], e)))

    def _most(
        self,
        elements: Sequence[str],
        need: Need,
        before: Sequence[GridState],
        after: Sequence[GridState],
        relief: _Reliefs,
        limits: Limits,
    ) -> Decimal:
        element = self._worst_first(elements, need, before, limits)[0]
        window = slice(need.window.start, need.window.stop)
        transformer = element == before[0].transformer
        return most_to_pay(
            self.costs,
            loading_percent=[loading(state, element) for state in before[window]],
            relieved_percent=[loading(state, element) for state in after[window]],
            limit_percent=limits.transformer_percent if transformer else limits.line_percent,
            load_kw=[
                max(0.0, state.trafo_p_kw if transformer else float(state.p_kw[relief.downstream[element]].sum()))
                for state in before[window]
            ],
            power_kw=need.power_kw,
            ambient_c=self.ambient_c,
            line=not transformer,
        )


class _Reliefs:
    """Steps towards reductions behind each overload, on the sensitivities of the states as they were at first.

    An overload's place is the buses with chargers behind it; the smallest places come first, and what they give counts
    for the larger ones around them, the transformer's last of all.
    """

    def __init__(
        self, watch: CongestionWatch, charging_kw: Mapping[str, Floats], before: Sequence[GridState], limits: Limits
    ) -> None:
        self.charging_kw = {bus: np.array(kw, dtype=np.float64) for bus, kw in charging_kw.items()}
        self.elements: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.by_place: defaultdict[tuple[tuple[str, ...], int], defaultdict[str, float]] = defaultdict(
            lambda: defaultdict(float)
        )
        self.downstream: dict[str, npt.NDArray[np.bool_]] = {}
        """By line, which of all buses are behind it."""
        self.backwards: list[Violation] = []
        self._watch = watch
        self._limits = limits
        self._before = before
        self._known: dict[int, Sensitivity] = {}
        self._least = {
            bus: np.minimum(kw, -watch.discharge_kw * watch.chargers.get(bus, 0))
            for bus, kw in self.charging_kw.items()
        }

    def step(self, states: Sequence[GridState]) -> bool:
        """One step from these states; False where nothing is overloaded that can be helped."""
        helped = [self._step(t, state) for t, state in enumerate(states) if overloads(state, self._limits)]
        return any(helped)

    def _step(self, t: int, state: GridState) -> bool:
        if t not in self._known:
            self._known[t] = self._watch.model.sensitivity(self._before[t])
        index = {bus: state.buses.index(bus) for bus in self.charging_kw}
        found = []
        for violation in overloads(state, self._limits):
            slope = self._slope(violation.element, state, self._known[t])
            largest = float(slope.max(initial=0.0))
            behind = tuple(sorted(b for b, i in index.items() if slope[i] > BEHIND_PART * largest))
            if largest <= _LEAST_PERCENT_PER_KW or -float(slope.min(initial=0.0)) > largest:
                self.backwards.append(violation)
            elif behind:
                self.downstream.setdefault(violation.element, slope > BEHIND_PART * largest)
                found.append((len(behind), violation.element == state.transformer, behind, violation, slope))
        given: dict[str, float] = defaultdict(float)
        for _, _, behind, violation, slope in sorted(found, key=lambda each: (each[0], each[1], each[3].element)):
            excess = violation.value - violation.limit - sum(kw * slope[index[bus]] for bus, kw in given.items())
            known = self.elements.get(behind, ())
            if excess <= 0 and violation.element not in known and behind not in self.elements:
                continue  # what is nearer to the chargers cures it as well
            if violation.element not in known:
                self.elements[behind] = (*known, violation.element)
            for bus, kw in self._taken(t, behind, index, slope, excess + _WITHIN_PERCENT, given).items():
                given[bus] += kw
                self.by_place[behind, t][bus] += kw
        for bus, kw in given.items():
            self.charging_kw[bus][t] -= kw
        return any(kw > 0 for kw in given.values())

    def _taken(
        self,
        t: int,
        behind: Sequence[str],
        index: Mapping[str, int],
        slope: Floats,
        excess: float,
        given: Mapping[str, float],
    ) -> dict[str, float]:
        """kW less at each bus for `excess` percent: in proportion to what is drawn there, as far as that reaches, then
        to what can be given back."""
        taken: dict[str, float] = dict.fromkeys(behind, 0.0)
        for floor in (dict.fromkeys(behind, 0.0), {bus: float(self._least[bus][t]) for bus in behind}):
            room = {
                bus: max(0.0, float(self.charging_kw[bus][t]) - given.get(bus, 0.0) - taken[bus] - floor[bus])
                for bus in behind
            }
            reach = sum(kw * slope[index[bus]] for bus, kw in room.items())
            if excess <= 0 or reach <= 0:
                continue
            part = min(1.0, excess / reach)
            for bus, kw in room.items():
                taken[bus] += part * kw
            excess -= part * reach
        return taken

    @staticmethod
    def _slope(element: str, state: GridState, sensitivity: Sensitivity) -> Floats:
        if element == state.transformer:
            return sensitivity.trafo_percent_per_kw
        return np.asarray(sensitivity.line_percent_per_kw[state.lines.index(element)], dtype=np.float64)


def overloads(state: GridState, limits: Limits) -> tuple[Violation, ...]:
    """The currents that are too high: the transformer's, then those of lines."""
    return state.violations(dataclasses.replace(limits, **_NO_BAND))


def loading(state: GridState, element: str) -> float:
    """The loading of the transformer or of a line, in % of its rated current."""
    if element == state.transformer:
        return state.trafo_loading_percent
    return float(state.line_loading_percent[state.lines.index(element)])


def less(
    charging_kw: Mapping[str, Floats], by_bus: Mapping[str, float], start: datetime, window: tuple[datetime, datetime]
) -> dict[str, Floats]:
    """`charging_kw` (from `start`) with so much less at each bus in the periods of the window."""
    first, last = max(0, (window[0] - start) // QUARTER), max(0, (window[1] - start) // QUARTER)
    changed = {bus: np.array(kw, dtype=np.float64) for bus, kw in charging_kw.items()}
    for bus, kw in by_bus.items():
        changed[bus][first:last] -= kw
    return changed
