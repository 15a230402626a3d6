"""Where the sun feeds back, and how much cheaper network use must be there (D5.1 3.4.2, ID 4.2.1).

"The process is initiated with the detection of reverse power flows in the distribution network by the DSO ... the DSO
desires to limit these reverse flows and increase local consumption. To this end, the DSO lowers network prices on the
desired locations". What a lower price brings is what the DSO believes of drivers: the same logit as theirs, of which it
knows neither who asks nor what they compare.

Positive power is drawn; a flow through a line is what the buses behind it draw together, and reverse below 0 (losses
are left out: they make a reverse flow seen from the substation smaller, by a few percent). Times are aware.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from math import exp
from typing import Final

from agents.decisions.choice import COST_PER_EUR
from agents.decisions.station_prices import Reduced, reduction_at
from agents.grid_view import GridState
from agents.periods import QUARTER
from agents.public_ports import StationSite

_HOURS: Final = QUARTER.total_seconds() / 3600
_ENOUGH_KWH: Final = 1e-6


@dataclass(frozen=True, slots=True)
class ReverseFlow:
    """A line that feeds back in each quarter from `start`: `periods_kw` > 0, beyond what may."""

    line: str
    start: datetime
    periods_kw: tuple[float, ...]

    @property
    def end(self) -> datetime:
        return self.start + len(self.periods_kw) * QUARTER

    @property
    def energy_kwh(self) -> float:
        """How much more is wanted behind the line."""
        return sum(self.periods_kw) * _HOURS


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What the DSO reckons drivers to be like: `cost_per_eur` < 0 (`ChoiceModel`), `energy_kwh` of a session, the
    `share` (0 to 1) of drivers who take one station at one time, and how many of all hear of prices (`following`, 0 to
    1)."""

    cost_per_eur: float = COST_PER_EUR
    energy_kwh: float = 30.0
    share: float = 0.1
    following: float = 0.5

    def __post_init__(self) -> None:
        if not (self.cost_per_eur < 0 < self.energy_kwh and 0 < self.share <= 1 and 0 <= self.following <= 1):
            raise ValueError(f"no beliefs about drivers: {self}")

    def gain(self, reduction_eur_per_kwh: float) -> float:
        """How much more is charged where a kWh costs this much less, as a part of the usual: rising, and bounded
        because not more than all drivers come."""
        pull = exp(self.cost_per_eur * self.energy_kwh * reduction_eur_per_kwh)
        return self.following * (1 / (self.share + (1 - self.share) * pull) - 1)


@dataclass(frozen=True, slots=True)
class Reduction:
    """Network use is to cost this much less at these buses from `start` until `end`, because `wanted_kwh` more should
    be drawn behind `line`; `expected_kwh` is what it should bring, with what holds already."""

    locations: tuple[str, ...]
    start: datetime
    end: datetime
    reduction_eur_per_kwh: Decimal
    wanted_kwh: float
    expected_kwh: float
    line: str


def find(
    states: Sequence[GridState], sections: Mapping[str, tuple[str, ...]], threshold_kw: float
) -> list[ReverseFlow]:
    """Every unbroken run of quarters in which a line feeds back more than `threshold_kw`, in the order of the lines.

    `states`: one for each quarter in turn; `sections`: the buses behind each line. Raises ValueError for a state that
    does not say its time, or a bus that it does not have.
    """
    found = []
    for line, buses in sections.items():
        run: list[float] = []
        for number, state in enumerate(states):
            back = -_flow_kw(state, buses) - threshold_kw
            if back > 0:
                run.append(back)
            if run and (back <= 0 or number == len(states) - 1):
                last = number if back > 0 else number - 1
                found.append(ReverseFlow(line, _time(states[last - len(run) + 1]), tuple(run)))
                run = []
    return found


def decide(
    flows: Sequence[ReverseFlow],
    sections: Mapping[str, tuple[str, ...]],
    stations: Sequence[StationSite],
    usual_kw: Mapping[str, Sequence[float]],
    beliefs: Beliefs,
    most_eur_per_kwh: Decimal,
    step_eur_per_kwh: Decimal,
    *,
    usual_from: datetime,
    announced: Sequence[Reduced] = (),
) -> list[Reduction]:
    """For each flow, the smallest reduction (whole steps, no more than the most) at the stations behind the line that
    should bring what is wanted there; the largest where none does; none where it would bring nothing.

    Lines with fewer buses behind them come first: what is drawn behind them helps those nearer to the substation, which
    ask for the rest. What is announced already counts, and is never lowered (the larger one of two holds). `usual_kw`:
    what each station draws usually in each quarter from `usual_from`; a quarter that it does not reach counts as 0.
    Raises ValueError where the step is not above 0.
    """
    if step_eur_per_kwh <= 0:
        raise ValueError(f"a step of {step_eur_per_kwh} EUR/kWh leads nowhere")
    made: list[Reduction] = []
    steps = int((most_eur_per_kwh / step_eur_per_kwh).to_integral_value(ROUND_FLOOR))
    for flow in sorted(flows, key=lambda each: (len(sections[each.line]), each.start)):
        behind = [station for station in stations if station.location in sections[flow.line]]
        standing: list[Reduced] = [*announced, *made]
        so_far = _expected_kwh(flow, behind, usual_kw, usual_from, beliefs, standing, Decimal(0))
        if so_far >= flow.energy_kwh - _ENOUGH_KWH:
            continue
        expected, reduction = so_far, Decimal(0)
        for number in range(1, steps + 1):
            reduction = number * step_eur_per_kwh
            expected = _expected_kwh(flow, behind, usual_kw, usual_from, beliefs, standing, reduction)
            if expected >= flow.energy_kwh - _ENOUGH_KWH:
                break
        if expected <= so_far + _ENOUGH_KWH:
            continue
        places = tuple(dict.fromkeys(each.location for each in behind if _lowers(flow, each, standing, reduction)))
        made.append(Reduction(places, flow.start, flow.end, reduction, flow.energy_kwh, expected, flow.line))
    return made


def _lowers(flow: ReverseFlow, station: StationSite, standing: Sequence[Reduced], reduction: Decimal) -> bool:
    """In some quarter of the flow the station's price would be lower than it is."""
    return any(
        reduction_at(standing, station.location, flow.start + number * QUARTER) < reduction
        for number in range(len(flow.periods_kw))
    )


def _expected_kwh(
    flow: ReverseFlow,
    behind: Sequence[StationSite],
    usual_kw: Mapping[str, Sequence[float]],
    usual_from: datetime,
    beliefs: Beliefs,
    standing: Sequence[Reduced],
    reduction: Decimal,
) -> float:
    """What is drawn more behind the line while it feeds back, with what stands and this reduction for all of it. No
    station takes more than its connection carries."""
    total = 0.0
    for number in range(len(flow.periods_kw)):
        at = flow.start + number * QUARTER
        column = (at - usual_from) // QUARTER
        for station in behind:
            kw = usual_kw.get(station.station_id, ())
            usual = kw[column] if 0 <= column < len(kw) else 0.0
            lower = max(reduction, reduction_at(standing, station.location, at))
            total += max(0.0, min(usual * beliefs.gain(float(lower)), station.connection_kw - usual)) * _HOURS
    return total


def _flow_kw(state: GridState, buses: Sequence[str]) -> float:
    if unknown := sorted(set(buses) - set(state.buses)):
        raise ValueError(f"no such bus: {', '.join(unknown)}")
    return float(sum(state.p_kw[state.buses.index(bus)] for bus in buses))


def _time(state: GridState) -> datetime:
    if state.at is None:
        raise ValueError("a state does not say its time")
    return state.at
