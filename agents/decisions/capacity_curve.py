"""What a cap on a charging station costs its operator: the bid curve of BUC 5.1. Pure. (docs/capacity.md)

D5.1 3.5.1: "The capacity limit marginal cost is in most cases the opportunity cost of an aggregator due to limited
capacity". For every past day of the station a linear program finds the cheapest charging plan under the cap; what it
costs more than without the cap, in the mean of the days, is the cost of one activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.public_ports import SessionWish

QUARTERS = 96


@dataclass(frozen=True, slots=True)
class OpportunityCosts:
    """What energy that is charged later, or not at all, costs a station's operator.

    `energy_eur_per_kwh`: what it pays for energy in each of the 96 quarters of a local day. `margin_eur_per_kwh`: what
    a kWh sold brings, less network price and the day's mean energy price. `goodwill_eur_per_kwh`: what it is worth to
    the operator that a driver gets a kWh that was asked for, besides. Raises ValueError where a cost is negative or
    there are not 96.
    """

    margin_eur_per_kwh: float
    energy_eur_per_kwh: tuple[float, ...]
    goodwill_eur_per_kwh: float = 0.0

    def __post_init__(self) -> None:
        if len(self.energy_eur_per_kwh) != QUARTERS:
            raise ValueError(f"energy prices are for {len(self.energy_eur_per_kwh)} quarters, a day has {QUARTERS}")
        if min(self.margin_eur_per_kwh, self.goodwill_eur_per_kwh, *self.energy_eur_per_kwh) < 0:
            raise ValueError("costs must not be negative")


def bid_curve(
    days: Sequence[Sequence[SessionWish]],
    limits_kw: Sequence[float],
    window: tuple[int, int],
    costs: OpportunityCosts,
    activations: float,
    chargers: int,
    charger_kw: float,
    *,
    connection_kw: float | None = None,
    most_eur: Decimal | None = None,
) -> tuple[tuple[float, Decimal], ...]:
    """The curve (limit kW, EUR for the whole contract), limits rising, convex, not rising, the last is (capacity, 0).

    `window`: first quarter and the one after the last, of the local day, in which the cap holds. `activations`: on how
    many days the contract is expected to be activated. The capacity is `connection_kw`, by default what all chargers
    carry together; limits of `limits_kw` at or above it are left out, it is added. With `most_eur` dearer points are
    left out, which leaves (capacity, 0) alone where all are. Raises ValueError on a window or a day that cannot be.
    """
    raise NotImplementedError
