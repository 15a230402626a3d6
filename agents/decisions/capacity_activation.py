"""Which of the limits that were bought are activated for tomorrow. Pure. (docs/capacity.md)

D5.1 3.5.2: "the DSO performs analysis and forecasts for the coming day and projects that activation of some of the
procured capacity limitation is required".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agents.decisions.capacity_flow import Cap, CapFlow, cheapest
from agents.decisions.capacity_procurement import DsoCosts
from agents.public_ports import NetworkStudy, Scenarios, StationSite

LEAST_EUR: Final = 0.01
"""What an activation must save at least: nobody is limited for less than a cent."""
_LOOSER_EUR: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Held:
    """A contract of the DSO: the limit that it may set, and on how many days still (`left`)."""

    contract_id: str
    station_id: str
    limit_kw: float
    left: int


@dataclass(frozen=True, slots=True)
class Activation:
    """What to activate for tomorrow, as (contract_id, limit_kw), and the overload energy that is expected of tomorrow
    without and with it: by AC power flow, in the mean of the scenarios."""

    limits: tuple[tuple[str, float], ...]
    expected_without_kwh: float
    expected_with_kwh: float


def activate(
    study: NetworkStudy,
    scenarios: Scenarios,
    contracts: Sequence[Held],
    stations: Sequence[StationSite],
    costs: DsoCosts,
    *,
    step_kw: float | None = None,
) -> Activation:
    """The smallest set of `contracts` (those with `left` above 0) that pays for tomorrow's `scenarios`.

    No other set saves more, and without any one of it the overloads would cost at least `activation_eur` more (a cent,
    where that is 0). The limits are the contracts'; with `step_kw` they may be higher by whole steps, as high as
    saves the same. `stations` is in the order of the last axis of `scenarios.station_kw`. Raises ValueError where they
    do not match, or where a contract is of none of them.
    """
    number = {site.station_id: k for k, site in enumerate(stations)}
    if strangers := [held.contract_id for held in contracts if held.station_id not in number]:
        raise ValueError(f"{', '.join(strangers)}: of no station that is named")
    flow = CapFlow(study, scenarios, stations, costs.line_limit_percent)
    most_kw = flow.usual_kw.max(axis=(0, 1))
    offers: list[tuple[str, float]] = []
    caps: list[Cap] = []
    for held in contracts:
        limits = _limits(held.limit_kw, float(most_kw[number[held.station_id]]), step_kw) if held.left > 0 else []
        for higher, limit_kw in enumerate(limits):
            offers.append((held.contract_id, limit_kw))
            cost = max(costs.activation_eur, LEAST_EUR) + _LOOSER_EUR * (1 - higher / len(limits))
            caps.append(Cap(number[held.station_id], limit_kw, cost))
    found = cheapest(flow, caps, costs.violation_eur_per_kwh)
    return Activation(
        tuple(offers[k] for k in found.chosen),
        float(flow.without.by_scenario_kwh.mean()),
        float(found.loads.by_scenario_kwh.mean()),
    )


def _limits(limit_kw: float, most_kw: float, step_kw: float | None) -> list[float]:
    """The limits that a contract may be activated with: those that would limit something in a scenario."""
    if step_kw is None or limit_kw >= most_kw:
        return [limit_kw] if limit_kw < most_kw else []
    steps = int((most_kw - limit_kw) / step_kw) + 1
    return [each for k in range(steps) if (each := round(limit_kw + k * step_kw, 6)) < most_kw]
