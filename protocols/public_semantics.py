"""The rules of BUC 4.2 and BUC 5: curves, contracts, limits, choices, receipts. One function for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import time
from decimal import Decimal
from itertools import pairwise

from protocols import exchanges as x
from protocols.acl import Performative
from protocols.references import Grounds, Register, Said
from protocols.rules import Check, Rule, Violation
from protocols.units import as_money

ROUNDED_KW = 1e-3
ROUNDED_EUR = Decimal("0.01")

_OF_THE_TERMS = (
    "gate_closure",
    "period_start",
    "period_end",
    "window_start",
    "window_end",
    "most_activations",
    "notice_minutes",
    "least_points",
    "most_points",
    "step_kw",
    "lowest_limit_kw",
    "most_eur",
    "penalty_eur_per_kwh",
)


def reductions(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A price that is lowered is lowered for a time that is not over."""
    content = said.content
    if isinstance(content, x.NetworkPriceReduction | x.ChargingPrices) and said.at >= content.end:
        yield Violation(Rule.EXPIRED, "end", "has passed")


def terms(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """What the FMO passes on is what it approved; nobody bids after the gate closure."""
    content = said.content
    closes = content if isinstance(content, x.AuctionTerms | x.AuctionCall) else None
    if isinstance(content, x.CurveBid):
        closes = grounds.first(x.AuctionCall)
    if closes is not None and said.at > closes.gate_closure:
        yield Violation(Rule.EXPIRED, "gate_closure", "has passed")
    approved = grounds.first(x.AuctionTerms)
    if not isinstance(content, x.AuctionCall) or approved is None:
        return
    for name in _OF_THE_TERMS:
        if (value := getattr(content, name)) != (wanted := getattr(approved, name)):
            yield Violation(Rule.OTHER_THAN_ASKED, name, f"is {value}, not {wanted}")
    if content.location not in approved.locations:
        yield Violation(Rule.OTHER_THAN_ASKED, "location", f"{content.location!r} is none of the terms' locations")


def bids(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Curves are of the station that was called, purchases of a curve that was sent; contracts pay what it asks."""
    content, call = said.content, grounds.first(x.AuctionCall)
    if isinstance(content, x.CurveBid) and call is not None and content.station_id != call.station_id:
        yield Violation(Rule.OTHER_THAN_ASKED, "station_id", f"is {content.station_id!r}, not {call.station_id!r}")
    offered = grounds.first(x.CurveBids)
    if isinstance(content, x.ProcurementDecision) and offered is not None:
        known = {bid.bid_id: bid for bid in offered.bids}
        for number, purchase in enumerate(content.purchases):
            bid = known.get(purchase.bid_id)
            if bid is None or bid.station_id != purchase.station_id:
                text = f"{purchase.bid_id!r} is not among the approved bids of {purchase.station_id!r}"
                yield Violation(Rule.NOT_OFFERED, f"purchases[{number}].bid_id", text)
    if not isinstance(content, x.ProcurementResult):
        return
    if (content.contract_id is not None) is not (said.performative is Performative.ACCEPT_PROPOSAL):
        text = "is in a rejection" if content.contract_id is not None else "is missing in an acceptance"
        yield Violation(Rule.NOT_OFFERED, "contract_id", text)
    sent = grounds.first(x.CurveBid)
    if sent is None or content.limit_kw is None or content.price_eur is None:
        return
    least = _price_on(sent.curve, content.limit_kw)
    if least is None:
        yield Violation(Rule.NOT_OFFERED, "limit_kw", f"{content.limit_kw} kW is outside the curve")
    elif content.price_eur < least - ROUNDED_EUR:
        yield Violation(Rule.PRICE_BELOW_BID, "price_eur", f"is {content.price_eur} EUR, less than {least}")


def _price_on(curve: Sequence[x.CurvePoint], limit_kw: float) -> Decimal | None:
    """What a curve asks for a limit, EUR, between two points on the straight line; None where it has no such limit."""
    for point in curve:
        if abs(point.limit_kw - limit_kw) <= ROUNDED_KW:
            return point.price_eur
    for low, high in pairwise(curve):
        if low.limit_kw < limit_kw < high.limit_kw:
            part = (limit_kw - low.limit_kw) / (high.limit_kw - low.limit_kw)
            return as_money(float(low.price_eur) + part * float(high.price_eur - low.price_eur))
    return None


def limits(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A limit is activated in the window and the period of its contract, in time, and not below what was bought."""
    content, contract = said.content, grounds.first(x.ProcurementResult)
    if not isinstance(content, x.CapacityLimit) or contract is None or contract.limit_kw is None:
        return
    if content.limit_kw < contract.limit_kw - ROUNDED_KW:
        yield Violation(Rule.POWER_BOUNDS, "limit_kw", f"is {content.limit_kw} kW, bought were {contract.limit_kw}")
    call = grounds.first(x.AuctionCall)
    if call is None:
        return
    if content.station_id != call.station_id:
        yield Violation(Rule.OTHER_THAN_ASKED, "station_id", f"is {content.station_id!r}, not {call.station_id!r}")
    start, end = content.start.astimezone(register.zone), content.end.astimezone(register.zone)
    opens, closes = time.fromisoformat(call.window_start), time.fromisoformat(call.window_end)
    if not (opens <= start.time() and end.time() <= closes and start.date() == end.date()):
        yield Violation(Rule.PERIOD_BOUNDS, "start", f"or end is outside {opens:%H:%M} to {closes:%H:%M}")
    if not call.period_start <= content.start < content.end <= call.period_end:
        yield Violation(Rule.PERIOD_BOUNDS, "start", "or end is outside the contract's period")
    if (content.start - said.at).total_seconds() < 60 * call.notice_minutes:
        yield Violation(Rule.SHORT_NOTICE, "start", f"is in less than {call.notice_minutes} min")


def limit_settled(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A limit is settled for its station, by its number; a penalty is for what was drawn above it."""
    content, activated = said.content, grounds.first(x.CapacityLimit)
    if not isinstance(content, x.LimitSettlement) or activated is None:
        return
    if content.limit_kw is not None and content.limit_kw != activated.limit_kw:
        yield Violation(Rule.OTHER_THAN_ASKED, "limit_kw", f"is {content.limit_kw}, not {activated.limit_kw}")
    if (call := grounds.first(x.AuctionCall)) is not None:
        due = as_money(call.penalty_eur_per_kwh * Decimal(repr(content.excess_kwh)))
        if abs(content.penalty_eur - due) > ROUNDED_EUR:
            yield Violation(Rule.WRONG_AMOUNT, "penalty_eur", f"is {content.penalty_eur} EUR, due are {due}")


def choices(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Choices answer what was asked, one of them is picked in time, and is paid for at its own price."""
    content, request, offered = said.content, grounds.first(x.ChargingRequest), grounds.first(x.ChargingChoices)
    if isinstance(content, x.ChargingChoices) and request is not None:
        if content.valid_until <= said.at:
            yield Violation(Rule.EXPIRED, "valid_until", "has passed")
        for number, choice in enumerate(content.choices):
            field = f"choices[{number}]"
            if choice.stay >= len(request.stays):
                yield Violation(Rule.OTHER_THAN_ASKED, f"{field}.stay", f"is {choice.stay}, of {len(request.stays)}")
                continue
            stay = request.stays[choice.stay]
            if not stay.arrival <= choice.start < choice.end <= stay.departure:
                yield Violation(Rule.PERIOD_BOUNDS, f"{field}.start", "or end is outside the stay")
            if choice.energy_kwh > request.energy_kwh + ROUNDED_KW:
                text = f"is {choice.energy_kwh} kWh, asked for were {request.energy_kwh}"
                yield Violation(Rule.POWER_BOUNDS, f"{field}.energy_kwh", text)
    if offered is None:
        return
    by_id = {choice.choice_id: choice for choice in offered.choices}
    if isinstance(content, x.ChargingSelection) and content.choice_id not in by_id:
        yield Violation(Rule.NOT_OFFERED, "choice_id", f"{content.choice_id!r} is none of the choices")
    if not isinstance(content, x.SessionReceipt):
        return
    selected = grounds.first(x.ChargingSelection)
    if selected is not None and content.choice_id != selected.choice_id:
        yield Violation(Rule.OTHER_THAN_ASKED, "choice_id", f"is {content.choice_id!r}, not {selected.choice_id!r}")
    picked = by_id.get(content.choice_id)
    if picked is not None and content.price_eur_per_kwh > picked.price_eur_per_kwh:
        text = f"is {content.price_eur_per_kwh} EUR/kWh, more than {picked.price_eur_per_kwh}"
        yield Violation(Rule.PRICE_ABOVE_MAXIMUM, "price_eur_per_kwh", text)
    due = as_money(content.price_eur_per_kwh * Decimal(repr(content.energy_kwh)))
    if abs(content.amount_eur - due) > ROUNDED_EUR:
        yield Violation(Rule.WRONG_AMOUNT, "amount_eur", f"is {content.amount_eur} EUR, the energy makes {due}")


PUBLIC_CHECKS: tuple[Check, ...] = (reductions, terms, bids, limits, limit_settled, choices)
