"""The rounds of bidding that a trace holds: what was needed, what was offered, what was awarded at which price.

A round is one contract-net: the DSO's pool (6.1.1, BUC 6) or the market operator's call (1.x.7, BUC 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative

_OPENINGS = {"6.1.1": "pool_id", "1.x.7": "market_id"}


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

    @property
    def awarded_kw(self) -> float:
        """The sum of what was awarded."""
        return round(sum(bid.awarded_kw for bid in self.bids), 6)

    @property
    def price(self) -> Decimal | None:
        """The highest price that was awarded: the market's price where everyone is paid the same."""
        return max((bid.paid_price for bid in self.bids if bid.paid_price is not None), default=None)


def rounds(trace: Trace) -> tuple[Round, ...]:
    """Every round of the trace, in the order of the periods it is for."""
    openings: dict[str, AclMessage] = {}
    replies: dict[str, list[AclMessage]] = {}
    for message in (entry.message for entry in trace.entries):
        if message.performative is Performative.CFP and message.exchange in _OPENINGS:
            openings.setdefault(message.conversation_id, message)
        elif message.conversation_id in openings:
            replies.setdefault(message.conversation_id, []).append(message)
    found = [_round(opening, replies.get(conversation, [])) for conversation, opening in openings.items()]
    return tuple(sorted(found, key=lambda market: (market.start, market.id)))


def _round(opening: AclMessage, replies: list[AclMessage]) -> Round:
    content = opening.content
    bids: dict[str, Offer] = {}
    declined: list[tuple[str, str]] = []
    for reply in replies:
        bid_id = str(reply.content.get("bid_id", ""))
        match reply.performative:
            case Performative.PROPOSE:
                power, price = float(reply.content["power_kw"]), _price(reply.content) or Decimal(0)
                bids[bid_id] = Offer(bid_id, reply.sender, power, price)
            case Performative.ACCEPT_PROPOSAL | Performative.REJECT_PROPOSAL if bid_id in bids:
                bids[bid_id] = _answered(bids[bid_id], reply)
            case Performative.REFUSE:
                declined.append((reply.sender, str(reply.content.get("reason") or "gave no reason")))
    return Round(
        id=str(content.get(_OPENINGS[opening.exchange or ""], "")),
        kind="pool" if opening.exchange == "6.1.1" else "market",
        conversation_id=opening.conversation_id,
        start=datetime.fromisoformat(content["start"]),
        end=datetime.fromisoformat(content["end"]),
        needed_kw=float(content["power_needed_kw"]),
        max_price=Decimal(str(content["max_price_eur_per_kw"])),
        bids=tuple(sorted(bids.values(), key=lambda bid: (bid.price, bid.id))),
        declined=tuple(declined),
    )


def _answered(bid: Offer, answer: AclMessage) -> Offer:
    reason = answer.content.get("reason")
    if answer.performative is Performative.REJECT_PROPOSAL:
        return Offer(bid.id, bid.bidder, bid.power_kw, bid.price, reason=reason)
    awarded = answer.content.get("cleared_power_kw", answer.content.get("power_kw", bid.power_kw))
    return Offer(bid.id, bid.bidder, bid.power_kw, bid.price, float(awarded), _price(answer.content), reason)


def _price(content: Any) -> Decimal | None:
    """The price of a bid, an award or a market result, whichever of D5.1's names it goes by."""
    for name in ("market_price_eur_per_kw", "price_eur_per_kw"):
        if content.get(name) is not None:
            return Decimal(str(content[name]))
    return None
