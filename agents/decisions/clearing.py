"""The market operator's clearing: which bids are taken, how much of each, and at what price.

D5.1 3.1.2: the FMO "collects the bids from flexibility service providers and selects the optimal bids". Optimal is the
largest welfare: the sum of (maximum price - bid price) x awarded kW. Without minimum powers that is the merit order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from protocols.exchanges.vocabulary import PricingRule

_WHOLE = 1e-9


@dataclass(frozen=True)
class MarketBid:
    """One bid: any part of `power_kw` from `min_power_kw` up may be taken, at EUR/kW for each 15 minutes or more.

    `received`: when it reached who clears. What a bidder says of itself must not decide a tie.
    """

    bid_id: str
    vpp: str
    power_kw: float
    price_eur_per_kw: Decimal
    received: datetime
    min_power_kw: float = 0.0


@dataclass(frozen=True)
class Awarded:
    """What a bid gets: kW, and EUR/kW for each 15 minutes."""

    bid_id: str
    vpp: str
    power_kw: float
    price_eur_per_kw: Decimal


@dataclass(frozen=True)
class Clearing:
    """The result: awards in merit order, every other bid's reason, what stays unserved, and the price of the margin.

    `clearing_price_eur_per_kw` is the dearest accepted bid's price, None where none is accepted.
    """

    awards: tuple[Awarded, ...]
    rejected: dict[str, str]
    unserved_kw: float
    clearing_price_eur_per_kw: Decimal | None


def clear(
    bids: Sequence[MarketBid],
    needed_kw: float,
    *,
    max_price_eur_per_kw: Decimal,
    pricing: PricingRule = PricingRule.PAY_AS_CLEAR,
) -> Clearing:
    """Clears the bids for `needed_kw`; never more than that is awarded.

    Merit order: price, then the earlier receipt, then the bid's id. The last bid is taken in part. Where a bid's
    minimum power does not fit what is left, the bids to take are chosen so that welfare is largest (a small integer
    program), and shared out in merit order again. Pay-as-clear pays all the dearest accepted price, pay-as-bid each its
    own. Raises ValueError on a repeated bid id or a power that is not above 0.
    """
    if len({bid.bid_id for bid in bids}) != len(bids):
        raise ValueError("a bid id is used twice")
    for bid in bids:
        if not 0 <= bid.min_power_kw <= bid.power_kw or not 0 < bid.power_kw < np.inf:
            raise ValueError(f"bid {bid.bid_id}: 0 <= min_power_kw <= power_kw and power_kw above 0 must hold")
    rejected = {
        bid.bid_id: f"the price of {bid.price_eur_per_kw} EUR/kW is above the maximum of {max_price_eur_per_kw}"
        for bid in bids
        if bid.price_eur_per_kw > max_price_eur_per_kw
    }
    merit = sorted((bid for bid in bids if bid.bid_id not in rejected), key=merit_order)
    powers = _share(merit, needed_kw)
    if powers is None:
        chosen = _best_choice(merit, needed_kw, max_price_eur_per_kw)
        powers = _with_minimums([bid for bid in merit if bid.bid_id in chosen], needed_kw)
    taken = [bid for bid in merit if powers.get(bid.bid_id, 0.0) > _WHOLE]
    margin = max((bid.price_eur_per_kw for bid in taken), default=None)
    left = max(0.0, round(needed_kw - sum(powers.values()), 9))
    for bid in merit:
        if bid in taken:
            continue
        rejected[bid.bid_id] = (
            "the need is met by the bids before it in merit order"
            if left <= _WHOLE
            else f"its minimum power of {bid.min_power_kw:g} kW does not fit the {left:g} kW that are left"
        )
    awards = tuple(
        Awarded(
            bid.bid_id,
            bid.vpp,
            powers[bid.bid_id],
            margin if pricing is PricingRule.PAY_AS_CLEAR and margin is not None else bid.price_eur_per_kw,
        )
        for bid in taken
    )
    return Clearing(awards, rejected, left, margin)


def merit_order(bid: MarketBid) -> tuple[Decimal, datetime, str]:
    """Cheaper first, then earlier, then by id: a total order, so that a clearing can be repeated by anyone."""
    return bid.price_eur_per_kw, bid.received, bid.bid_id


def _share(merit: Sequence[MarketBid], needed_kw: float) -> dict[str, float] | None:
    """kW for each bid in merit order; None where what is left is below the next bid's minimum."""
    powers: dict[str, float] = {}
    left = needed_kw
    for bid in merit:
        power = min(bid.power_kw, left)
        if power <= _WHOLE:
            break
        if power < bid.min_power_kw - _WHOLE:
            return None
        powers[bid.bid_id] = round(power, 9)
        left -= power
    return powers


def _with_minimums(merit: Sequence[MarketBid], needed_kw: float) -> dict[str, float]:
    """kW when all these bids are taken: each its minimum, the rest in merit order."""
    left = needed_kw - sum(bid.min_power_kw for bid in merit)
    powers = {}
    for bid in merit:
        more = min(bid.power_kw - bid.min_power_kw, max(0.0, left))
        powers[bid.bid_id] = round(bid.min_power_kw + more, 9)
        left -= more
    return powers


def _best_choice(merit: Sequence[MarketBid], needed_kw: float, max_price: Decimal) -> frozenset[str]:
    """The ids of the bids whose taking gives the largest welfare; of equal ones those earlier in merit order."""
    n = len(merit)
    power = np.array([bid.power_kw for bid in merit])
    least = np.array([bid.min_power_kw for bid in merit])
    # serving the need is worth the maximum price; a hair for rank and for serving at all settles ties
    gain = np.array([float(max_price - bid.price_eur_per_kw) for bid in merit]) + 1e-6 * (1 - np.arange(n) / (2 * n))
    eye = np.eye(n)
    result = milp(
        np.concatenate([-gain, np.zeros(n)]),
        constraints=[
            LinearConstraint(np.hstack([np.ones((1, n)), np.zeros((1, n))]), -np.inf, needed_kw),
            LinearConstraint(np.hstack([eye, -np.diag(power)]), -np.inf, 0.0),
            LinearConstraint(np.hstack([eye, -np.diag(least)]), 0.0, np.inf),
        ],
        integrality=np.concatenate([np.zeros(n), np.ones(n)]),
        bounds=Bounds(0.0, np.concatenate([power, np.ones(n)])),
        options={"mip_rel_gap": 0.0},
    )
    if result.x is None:
        raise RuntimeError(f"HiGHS: {result.message}")
    return frozenset(
        bid.bid_id for bid, x, on in zip(merit, result.x[:n], result.x[n:], strict=True) if on > 0.5 and x > 1e-7
    )
