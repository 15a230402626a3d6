"""Which limits the DSO buys: a stochastic optimal power flow of two stages. Pure. (docs/capacity.md)

D5.1 3.5.1: "the DSO performs an Optimal Power Flow (OPF) based stochastic analysis for the auction period to decide on
the procurement of the service, including volume and location".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.public_ports import NetworkStudy, Scenarios, StationSite


@dataclass(frozen=True, slots=True)
class Curve:
    """An approved bid: `points` (limit kW, EUR for the contract), limits rising, the last is the station's capacity."""

    bid_id: str
    station_id: str
    location: str
    points: tuple[tuple[float, Decimal], ...]


@dataclass(frozen=True, slots=True)
class DsoCosts:
    """What overloads cost the DSO: `violation_eur_per_kwh` for a kVAh through a line above `line_limit_percent` of its
    rating; `activation_eur`: what one activation of a contract must save at least (0: any that saves)."""

    violation_eur_per_kwh: float
    line_limit_percent: float = 100.0
    activation_eur: float = 0.0


@dataclass(frozen=True, slots=True)
class Bought:
    """A point of a curve that the DSO buys."""

    bid_id: str
    station_id: str
    location: str
    limit_kw: float
    price_eur: Decimal


@dataclass(frozen=True, slots=True)
class Plan:
    """What to buy, and what is expected of it.

    `expected_without_kwh`, `expected_with_kwh`: overload energy of a mean day by AC power flow; `without_kwh`,
    `with_kwh`: of each scenario; `cost_eur`: the price of all purchases; `violation_eur`: what the rest is expected to
    cost over the period; `ac_checked`: every scenario and quarter has been solved by AC power flow with these caps;
    `rounds`: how often the program was solved; `linear_kwh`: what the linear flow expected of the plan for a mean day.
    """

    purchases: tuple[Bought, ...]
    expected_without_kwh: float
    expected_with_kwh: float
    cost_eur: Decimal
    violation_eur: float
    without_kwh: tuple[float, ...]
    with_kwh: tuple[float, ...]
    ac_checked: bool
    linear_kwh: float
    rounds: int


def procure(
    study: NetworkStudy,
    scenarios: Scenarios,
    curves: Sequence[Curve],
    stations: Sequence[StationSite],
    costs: DsoCosts,
    *,
    days: int = 28,
    most_activations: int | None = None,
) -> Plan:
    """The cheapest choice of one point of each curve, or none: prices, and `days` times a mean day's overloads.

    `stations` is in the order of the last axis of `scenarios.station_kw`. With `most_activations` below `days` a limit
    is taken to hold only in that part of the scenarios in which it is worth most; by default in all. Raises ValueError
    where stations and scenarios do not match.
    """
    raise NotImplementedError
