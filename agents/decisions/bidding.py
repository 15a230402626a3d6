"""The VPP's bid: how much of what the fleet can do is offered, and at what price.

D5.1 3.6.1: "they will evaluate their flexibility, determine their bidding strategy, and submit bids". Prices are
EUR per kW for each 15-minute period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from agents.decisions.money import cents, price_up
from agents.decisions.planning import Reduction


@dataclass(frozen=True)
class Strategy:
    """How a VPP bids.

    `margin` is the part of the revenue it keeps; the rest goes to the owners, who must be paid their marginal cost and
    `owners_eur_per_kw` above it (per 15 minutes). `reserve` is the part of the power held back against refusals and
    forecast errors.
    """

    margin: float = 0.15
    owners_eur_per_kw: float = 0.01
    reserve: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.margin < 1 and 0 <= self.reserve < 1 and self.owners_eur_per_kw >= 0):
            raise ValueError("margin and reserve must be in [0, 1), owners_eur_per_kw not negative")

    def price(self, marginal_eur_per_kw: float) -> Decimal:
        """The least price at which the owners' part covers their cost and their share, to 0.0001 upwards."""
        return price_up((max(0.0, marginal_eur_per_kw) + self.owners_eur_per_kw) / (1 - self.margin))

    def owners_part(self, revenue_eur: Decimal) -> Decimal:
        """What of the revenue goes to the owners, in cents; the VPP keeps the rest."""
        return cents(revenue_eur * (1 - Decimal(repr(self.margin))))


@dataclass(frozen=True, eq=False)
class Offer:
    """A bid: `power_kw` at `price_eur_per_kw`, of which any part from `min_power_kw` up may be taken.

    `backing` is the plan that it stands on, of at least this power.
    """

    power_kw: float
    min_power_kw: float
    price_eur_per_kw: Decimal
    backing: Reduction


@dataclass(frozen=True)
class NoOffer:
    """Why no bid is made; `code` is one of no-flexibility, below-minimum, above-maximum-price."""

    code: str
    reason: str


def offer(
    curve: Iterable[Reduction],
    strategy: Strategy,
    *,
    needed_kw: float,
    max_price_eur_per_kw: Decimal,
    min_power_kw: float = 0.0,
    granularity_kw: float = 0.001,
) -> Offer | NoOffer:
    """The largest power of the curve whose price is not above the maximum, in whole steps of the product's granularity.

    `curve` is `planning.cost_curve`'s, largest power first, and taken no further than it must be. The price is that of
    the last step's marginal cost, so that whatever part of the bid is taken is paid at least what it costs. Never more
    than is needed.
    """
    if not granularity_kw > 0:
        raise ValueError("granularity_kw must be above 0")
    best: Offer | None = None
    cheapest: Decimal | None = None
    largest = 0.0
    candidates = (candidate for candidate in curve if candidate.power_kw > 0)
    candidate = next(candidates, None)
    if candidate is None:
        return NoOffer("no-flexibility", "the fleet can reduce nothing over the whole window")
    while candidate is not None:
        power = _steps(min(candidate.power_kw * (1 - strategy.reserve), needed_kw), granularity_kw)
        largest = max(largest, power)
        if power <= 0 or power < max(min_power_kw, best.power_kw if best else 0.0):
            break  # those that follow are no larger
        below = next(candidates, None)
        step_kw = candidate.power_kw - (below.power_kw if below else 0.0)
        if step_kw > 0:
            marginal = (candidate.cost_eur - (below.cost_eur if below else 0.0)) / (step_kw * len(candidate.window))
            price = strategy.price(max(marginal, candidate.cost_eur_per_kw))
            cheapest = price if cheapest is None else min(cheapest, price)
            if price <= max_price_eur_per_kw:  # of those that come to the same power, the smallest costs least
                best = Offer(power, _steps_up(min_power_kw, granularity_kw), price, candidate)
        candidate = below
    if best is not None:
        return best
    if cheapest is None:
        least = max(min_power_kw, granularity_kw)
        return NoOffer("below-minimum", f"{largest:g} kW can be offered, and the product starts at {least:g} kW")
    return NoOffer(
        "above-maximum-price",
        f"the least price would be {cheapest} EUR/kW, and the maximum is {max_price_eur_per_kw} EUR/kW",
    )


def _steps(power_kw: float, granularity_kw: float) -> float:
    # 0.3 / 0.1 is 2.999...: a step missed by the float's noise is a step
    return round(math.floor(power_kw / granularity_kw + 1e-9) * granularity_kw, 6)


def _steps_up(power_kw: float, granularity_kw: float) -> float:
    return round(max(1, math.ceil(power_kw / granularity_kw - 1e-9)) * granularity_kw, 6)
