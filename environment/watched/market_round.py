"""A round of a market in one shape, whichever use case it is of, and the merit order of its offers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from environment.report.public_services import Auction

PER_KW = "EUR/kW for 15 min"
PER_KWH = "EUR/kWh"
PER_KW_HOUR = "EUR/kW for the hour"
PER_CAP = "EUR for the cap"
SAME_KW = 0.05
"""Powers that differ by less are the same."""


@dataclass(frozen=True, slots=True)
class MarketOffer:
    """One offer. `awarded_kw` of `power_kw` was taken; `paid` is the price that the award names; `detail` says what it
    is of, `reason` why nothing or not all was taken."""

    id: str
    bidder: str
    power_kw: float
    price: Decimal | None
    awarded_kw: float
    paid: Decimal | None
    conversation_id: str
    detail: str = ""
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class MarketRound:
    """One round. `offers` are in merit order, cheapest first; `needed_kw` is None where no message says it, `ceiling`
    the most that the buyer would pay; `price` what was paid at most to anyone. `declined`: who said no, and why."""

    key: str
    use_case: str
    kind: str
    title: str
    buyer: str
    opened: datetime
    start: datetime
    end: datetime
    needed_kw: float | None
    offers: tuple[MarketOffer, ...]
    awarded_kw: float
    price: Decimal | None
    ceiling: Decimal | None
    unit: str
    outcome: str
    conversation_id: str
    declined: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    auction: Auction | None = None

    @property
    def offered_kw(self) -> float:
        """All offers together."""
        return round(sum(offer.power_kw for offer in self.offers), 6)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the merit order: from `start_kw` to `end_kw` of cumulated power, taken up to `taken_kw`."""

    offer: MarketOffer
    start_kw: float
    taken_kw: float
    end_kw: float
    price: Decimal


def merit_order(offers: Iterable[MarketOffer]) -> tuple[Step, ...]:
    """The offers with a price side by side, cheapest first; at one price those that were taken come first."""
    steps, at = [], 0.0
    priced = [(offer.price, offer) for offer in offers if offer.price is not None and offer.power_kw > 0]
    for price, offer in sorted(priced, key=lambda each: (each[0], -each[1].awarded_kw, each[1].id)):
        end = at + offer.power_kw
        steps.append(Step(offer, round(at, 6), round(min(end, at + offer.awarded_kw), 6), round(end, 6), price))
        at = end
    return tuple(steps)
