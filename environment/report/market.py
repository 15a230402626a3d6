"""The rounds of bidding that a trace holds: what was needed, what was offered, what was awarded at which price.

A round is one contract-net: the DSO's pool (6.1.1, BUC 6) or the market operator's call (1.x.7, BUC 1). A trace also
holds what was not understood or not invited; here only the well-formed words of the buyer and those it asked count.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from environment.report.hearing import told
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative
from protocols.exchanges.content import Content
from protocols.exchanges.dso_services import PoolAward, PoolBid, PoolOpening
from protocols.exchanges.plain import Reason
from protocols.exchanges.procurement import Bid, MarketResult, RequestForBids


@dataclass(frozen=True, slots=True)
class Offer:
    """One bid: power in kW, prices in EUR/kW for each 15 minutes; `paid_price` is that of the award."""

    id: str
    bidder: str
    power_kw: float
    price: Decimal
    awarded_kw: float = 0.0
    paid_price: Decimal | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One call for bids. `kind` is `pool` (BUC 6) or `market` (BUC 1); `declined` names who refused to bid."""

    id: str
    kind: str
    conversation_id: str
    start: datetime
    end: datetime
    needed_kw: float
    max_price: Decimal
    bids: tuple[Offer, ...]
    declined: tuple[tuple[str, str], ...]
    buyer: str
    opened: datetime

    @property
    def awarded_kw(self) -> float:
        """The sum of what was awarded."""
        return round(sum(bid.awarded_kw for bid in self.bids), 6)

    @property
    def price(self) -> Decimal | None:
        """The highest price that was awarded: the market's price where everyone is paid the same."""
        return max((bid.paid_price for bid in self.bids if bid.paid_price is not None), default=None)


@dataclass(slots=True)
class _Call:
    """A round as it goes on: who called, who was asked, what came."""

    opening: PoolOpening | RequestForBids
    conversation_id: str
    buyer: str
    opened: datetime
    asked: set[str] = field(default_factory=set)
    bids: dict[tuple[str, str], Offer] = field(default_factory=dict)
    declined: dict[str, str] = field(default_factory=dict)


class Rounds:
    """The rounds of a trace, as far as it was heard."""

    exchanges = ("6.1.1", "6.1.2", "6.x.1", "1.x.7", "1.1.1", "1.1.2", None)

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        call = self._calls.get(message.conversation_id)
        if isinstance(content, PoolOpening | RequestForBids):
            if call is None:
                call = _Call(content, message.conversation_id, message.sender, at)
                self._calls[message.conversation_id] = call
            if message.sender == call.buyer:
                call.asked.add(message.receiver)
        elif call is not None:
            _heard(call, message, content)

    def found(self) -> tuple[Round, ...]:
        """Every round, in the order of the periods it is for."""
        return tuple(sorted(map(_closed, self._calls.values()), key=lambda market: (market.start, market.id)))


def rounds(trace: Trace) -> tuple[Round, ...]:
    """Every round of the trace, in the order of the periods it is for."""
    return told(trace, Rounds()).found()


def _heard(call: _Call, message: AclMessage, content: Content) -> None:
    """A bid or a refusal of who was asked, or what the buyer made of a bid."""
    who, whom = message.sender, message.receiver
    match content:
        case PoolBid() | Bid() if who in call.asked:
            offer = Offer(content.bid_id, who, content.power_kw, content.price_eur_per_kw)
            call.bids.setdefault((who, content.bid_id), offer)
        case Reason() if who in call.asked and message.performative is Performative.REFUSE:
            call.declined.setdefault(who, content.reason)
        case PoolAward() | MarketResult() if who == call.buyer and (bid := call.bids.get((whom, content.bid_id))):
            call.bids[whom, content.bid_id] = _answered(bid, message.performative, content)


def _answered(bid: Offer, act: Performative, result: PoolAward | MarketResult) -> Offer:
    if act is Performative.REJECT_PROPOSAL:
        return replace(bid, reason=result.reason)
    if isinstance(result, PoolAward):
        return replace(bid, awarded_kw=result.power_kw, paid_price=result.price_eur_per_kw)
    return replace(bid, awarded_kw=result.cleared_power_kw, paid_price=result.market_price_eur_per_kw)


def _closed(call: _Call) -> Round:
    opening = call.opening
    pool = isinstance(opening, PoolOpening)
    return Round(
        id=opening.pool_id if isinstance(opening, PoolOpening) else opening.market_id,
        kind="pool" if pool else "market",
        conversation_id=call.conversation_id,
        start=opening.start,
        end=opening.end,
        needed_kw=opening.power_needed_kw,
        max_price=opening.max_price_eur_per_kw,
        bids=tuple(sorted(call.bids.values(), key=lambda bid: (bid.price, bid.id, bid.bidder))),
        declined=tuple(call.declined.items()),
        buyer=call.buyer,
        opened=call.opened,
    )
