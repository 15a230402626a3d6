"""Which of the limits that were bought are activated for tomorrow. Pure. (docs/capacity.md)

D5.1 3.5.2: "the DSO performs analysis and forecasts for the coming day and projects that activation of some of the
procured capacity limitation is required".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.decisions.capacity_procurement import DsoCosts
from agents.public_ports import NetworkStudy, Scenarios, StationSite


@dataclass(frozen=True, slots=True)
class Held:
    """A contract of the DSO: what it may limit, and on how many days still (`left`)."""

    contract_id: str
    station_id: str
    limit_kw: float
    left: int


@dataclass(frozen=True, slots=True)
class Activation:
    """What to activate for tomorrow, as (contract_id, limit_kw), and the overload energy of tomorrow by AC power flow
    without and with it, in the mean of the scenarios."""

    limits: tuple[tuple[str, float], ...]
    expected_without_kwh: float
    expected_with_kwh: float


def activate(
    study: NetworkStudy,
    scenarios: Scenarios,
    contracts: Sequence[Held],
    stations: Sequence[StationSite],
    costs: DsoCosts,
) -> Activation:
    """The smallest set of `contracts` (those with `left` above 0) that pays for tomorrow's `scenarios`: no other set
    saves more, and none of it could be left out. `stations` is in the order of the last axis of
    `scenarios.station_kw`. Raises ValueError where they do not match or a contract is for no station of them."""
    raise NotImplementedError
