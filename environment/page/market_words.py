"""What the page says of a round in words, and the table behind its chart."""

from __future__ import annotations

from typing import Any

from environment.page.tables import euros, kilowatts, link, plain_table
from environment.report.campus_words import plural
from environment.watched.market_round import SAME_KW, MarketOffer, MarketRound

MOST_OFFERS = 100
"""So many offers of a round are in the table behind the chart."""
PRICES = {
    "service": "price for who takes part",
    "help": "paid for energy not drawn",
    "market": "clearing price",
    "pool": "clearing price",
}
CEILINGS = {"help": "paid for energy given back", "auction": "most for a point"}
LEGEND = (
    '<ul class="legend"><li><svg width="28" height="12" aria-hidden="true"><rect width="28" height="12" '
    'fill="var(--chart-taken)" opacity=".45"/><rect width="28" height="4" fill="var(--chart-taken)"/></svg>'
    '\N{CHECK MARK} bought: full line</li><li><svg width="28" height="12" aria-hidden="true"><line x1="0" y1="2" '
    'x2="28" y2="2" stroke="var(--chart-muted)" stroke-width="2" stroke-dasharray="5 3"/></svg>'
    "offered and not bought: dashed line</li></ul>"
)


def caps(market: MarketRound) -> str:
    """How many caps an auction bought for how much."""
    bought = [offer.paid for offer in market.offers if offer.paid is not None]
    if not bought:
        return "no cap"
    return f"{plural(len(bought), 'cap')}, {euros(sum(bought[1:], bought[0]))}"


def said(market: MarketRound) -> str:
    """The round in a sentence, for who does not see the chart."""
    if market.auction is not None:
        return f"{len(market.offers)} curves, {caps(market)} bought"
    parts = [f"{plural(len(market.offers), 'offer')} of {kilowatts(market.offered_kw)} kW"]
    if market.needed_kw is not None:
        parts.append(f"{kilowatts(market.needed_kw)} kW needed")
    parts.append(f"{kilowatts(market.awarded_kw)} kW bought")
    if market.price is not None:
        parts.append(f"at {market.price} {market.unit}")
    return ", ".join(parts)


def offers_table(market: MarketRound) -> str:
    """All offers, or all curves, with what became of them."""
    caps_of = market.auction is not None
    caption = "Curves, and the points that were bought" if caps_of else "Offers in merit order"
    power, price = ("Widest cap, kW", "Dearest point, EUR") if caps_of else ("kW", market.unit)
    head = ("Curve" if caps_of else "Offer", "By", power, price, "Bought, kW", "Paid", "Why")
    rows = [_offer_row(offer, market) for offer in market.offers[:MOST_OFFERS]]
    more = len(market.offers) - MOST_OFFERS
    text = f"<p>and {more} more</p>" if more > 0 else ""
    return plain_table(caption, head, rows, numbers=(2, 3, 4, 5)) + text


def _offer_row(offer: MarketOffer, market: MarketRound) -> tuple[Any, ...]:
    name = offer.id if not offer.detail or market.kind == "service" else f"{offer.id} ({offer.detail})"
    why = offer.detail if market.kind == "service" else ""
    if offer.reason:
        why = f"{why}; {offer.reason}" if why else offer.reason
    taken = "\N{EN DASH}"
    if offer.awarded_kw > 0:
        part = "" if offer.awarded_kw >= offer.power_kw - SAME_KW or market.auction is not None else " (part)"
        taken = f"\N{CHECK MARK} {kilowatts(offer.awarded_kw)}{part}"
    return (
        link(name, offer.conversation_id),
        offer.bidder,
        kilowatts(offer.power_kw),
        "\N{EN DASH}" if offer.price is None else str(offer.price),
        taken,
        "\N{EN DASH}" if offer.paid is None else str(offer.paid),
        why,
    )
