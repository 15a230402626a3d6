"""Rounds of all use cases out of what the report's readers heard, in one shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from environment.report import congestion_services, frequency_services, market, services
from environment.report.campus_words import PRODUCTS
from environment.report.public_services import Auction, Lot
from environment.report.words import account_name, euro, number
from environment.watched.heard import Readers
from environment.watched.market_round import (
    PER_CAP,
    PER_KW,
    PER_KW_HOUR,
    PER_KWH,
    SAME_KW,
    MarketOffer,
    MarketRound,
)


def rounds_of(readers: Readers) -> tuple[MarketRound, ...]:
    """What the readers have, in one shape, the latest first."""
    found: list[MarketRound] = [_bidding(each) for each in readers.rounds.found()]
    found += [_service(each) for each in readers.services.found()]
    found += _calls(readers.parts.found())
    found += _reserve(readers.hours.found())
    found += [_auction(each) for each in readers.public.found().auctions]
    return tuple(sorted(found, key=lambda each: (each.opened, each.start, each.key), reverse=True))


def _bidding(heard: market.Round) -> MarketRound:
    """A pool or a market."""
    pool = heard.kind == "pool"
    decided = any(bid.awarded_kw > 0 or bid.reason is not None for bid in heard.bids)
    offers = tuple(
        MarketOffer(
            bid.id, account_name(bid.bidder), bid.power_kw, bid.price, bid.awarded_kw, bid.paid_price,
            heard.conversation_id, reason=bid.reason,
        )
        for bid in heard.bids
    )  # fmt: skip
    outcome = _outcome(heard.awarded_kw, heard.needed_kw, decided=decided)
    if not heard.bids:
        outcome = "nobody bids" if heard.declined else "waiting for bids"
    return MarketRound(
        key=heard.conversation_id,
        use_case="BUC 6" if pool else "BUC 1",
        kind="pool" if pool else "market",
        title=f"Pool {heard.id}" if pool else f"Market {heard.id}",
        buyer=account_name(heard.buyer),
        opened=heard.opened,
        start=heard.start,
        end=heard.end,
        needed_kw=heard.needed_kw,
        offers=offers,
        awarded_kw=heard.awarded_kw,
        price=heard.price,
        ceiling=heard.max_price,
        unit=PER_KW,
        outcome=outcome,
        conversation_id=heard.conversation_id,
        declined=tuple((account_name(who), why) for who, why in heard.declined),
    )


def _outcome(awarded: float, needed: float | None, *, decided: bool) -> str:
    if not decided:
        return "open"
    if awarded <= 0:
        return "nothing bought"
    if needed is None or awarded >= needed - SAME_KW:
        return "bought"
    return "bought in part"


def _service(heard: services.Service) -> MarketRound:
    """A service of BUC 2 or 4.1: the managers' offers have no prices of their own, all get that of the service."""
    wind = heard.kind == "res-curtailment"
    offers = tuple(
        MarketOffer(
            id=account_name(part.manager),
            bidder=account_name(part.manager),
            power_kw=abs(part.offered_kw or 0.0),
            price=None,
            awarded_kw=abs(part.ordered_kw),
            paid=None,
            conversation_id=part.conversation_id,
            detail=f"{len(part.orders)} of {part.offered_vehicles} vehicles ordered",
            reason=part.reason,
        )
        for part in heard.parts
        if part.offered_kw is not None
    )
    ordered = round(sum(offer.awarded_kw for offer in offers), 6)
    answered = {"unanswered": "asked", "refused": "refused", "cancelled": "called off"}.get(heard.ended)
    notes = [
        ("asks for", "more consumption" if heard.asked_kw > 0 else "less consumption, or power given back"),
        ("energy charged costs", f"{heard.charging_cost} {PER_KWH}"),
        ("energy given back earns", f"{heard.discharging_remuneration} {PER_KWH}"),
    ]
    if heard.grid_use is not None:
        notes.append(("use of the network costs", f"{heard.grid_use} {PER_KWH}"))
    if heard.renews is not None:
        notes.append(("renews", heard.renews))
    if heard.reason is not None:
        notes.append(("why", heard.reason))
    return MarketRound(
        key=heard.conversation_id,
        use_case="BUC 2" if wind else "BUC 4.1",
        kind="service",
        title=f"{'Wind' if wind else 'Voltage'} service {heard.id}",
        buyer=account_name(heard.asker),
        opened=heard.opened,
        start=heard.start,
        end=heard.until,
        needed_kw=abs(heard.asked_kw),
        offers=tuple(sorted(offers, key=lambda offer: (-offer.awarded_kw, -offer.power_kw, offer.id))),
        awarded_kw=ordered,
        price=heard.charging_cost if heard.asked_kw > 0 else heard.discharging_remuneration,
        ceiling=None,
        unit=PER_KWH,
        outcome=answered or _outcome(abs(heard.available_kw), abs(heard.asked_kw), decided=True),
        conversation_id=heard.conversation_id,
        declined=tuple(
            (account_name(part.manager), part.reason or "")
            for part in heard.parts
            if part.offered_kw is None and part.reason is not None
        ),
        notes=tuple(notes),
    )


def _calls(heard: Iterable[congestion_services.Part]) -> list[MarketRound]:
    """The calls of BUC 3: the activations of all managers that were asked, as one merit order."""
    calls: dict[tuple[str, str], list[congestion_services.Part]] = {}
    for part in heard:
        calls.setdefault((part.dso, part.call.request_id), []).append(part)
    return [_call(parts) for parts in calls.values()]


def _call(parts: Sequence[congestion_services.Part]) -> MarketRound:
    first = parts[0]
    call, offers = first.call, []
    for part in parts:
        manager = account_name(part.manager)
        for each in part.activations:
            taken = min(part.taken_kw(each.activation_id), each.power_kw)
            vehicles = ", ".join(each.users[:3]) + (f" and {len(each.users) - 3} more" if len(each.users) > 3 else "")
            offers.append(
                MarketOffer(
                    each.activation_id, manager, each.power_kw, each.cost_eur_per_kwh, taken, None,
                    part.conversation_id, detail=f"{each.kind} {vehicles}",
                )
            )  # fmt: skip
    awarded = round(sum(part.awarded_kw for part in parts), 6)
    declined = tuple((account_name(part.manager), part.reason or "") for part in parts if part.ending == "refused")
    decided = all(part.ending != "unanswered" for part in parts) and (awarded > 0 or first.ending != "not taken")
    rejected = [part for part in parts if part.ending == "not taken" and part.reason is not None]
    outcome = _outcome(awarded, call.power_kw, decided=decided or bool(rejected) or awarded > 0)
    if len(declined) == len(parts):
        outcome = "nobody helps"
    elif any(part.ending == "cancelled" for part in parts):
        outcome = "called off"
    asked = [each for part in parts for each in part.asked]
    notes = [
        ("where", f"{call.location}, {len(call.buses)} buses"),
        ("offered by managers", f"{number(sum(part.offered_kw for part in parts), 1)} kW"),
    ]
    if asked:
        yes = sum(each.answer == "yes" for each in asked)
        notes.append(("drivers asked", f"{len(asked)}, of whom {yes} said yes"))
    if offers:
        notes.append(("the list", "a vehicle may stand in it with several ways to help, of which it does one"))
    return MarketRound(
        key=first.conversation_id,
        use_case="BUC 3",
        kind="help",
        title=f"Call {call.request_id}",
        buyer=account_name(first.dso),
        opened=min(part.opened for part in parts),
        start=call.start,
        end=call.end,
        needed_kw=call.power_kw,
        offers=tuple(sorted(offers, key=lambda offer: (offer.price or Decimal(0), offer.bidder, offer.id))),
        awarded_kw=awarded,
        price=call.reduction_price_eur_per_kwh if awarded > 0 else None,
        ceiling=call.discharging_price_eur_per_kwh,
        unit=PER_KWH,
        outcome=outcome,
        conversation_id=first.conversation_id,
        declined=declined,
        notes=tuple(notes),
    )


def _reserve(heard: Iterable[frequency_services.Hour]) -> list[MarketRound]:
    """BUC 7: what was offered of one product for one time."""
    hours: dict[tuple[str, datetime, datetime, str], list[frequency_services.Hour]] = {}
    for hour in heard:
        offer = hour.offer
        hours.setdefault((offer.product, offer.start, offer.end, hour.tso), []).append(hour)
    return [_hour(each) for each in hours.values()]


def _hour(hours: Sequence[frequency_services.Hour]) -> MarketRound:
    first = hours[0]
    offers = tuple(
        MarketOffer(
            hour.offer.offer_id, account_name(hour.manager), hour.offer.capacity_kw, hour.offer.price_eur_per_kw,
            hour.bought_kw, hour.price_eur_per_kw, hour.conversation_id, f"portfolio {hour.offer.portfolio_id}",
            hour.reason,
        )
        for hour in hours
    )  # fmt: skip
    bought = round(sum(hour.bought_kw for hour in hours), 6)
    decided = all(hour.bought_kw > 0 or hour.ending != "open" for hour in hours)
    return MarketRound(
        key=first.conversation_id,
        use_case="BUC 7",
        kind="reserve",
        title=f"{PRODUCTS[first.offer.product]} for an hour",
        buyer=account_name(first.tso),
        opened=min(hour.opened for hour in hours),
        start=first.offer.start,
        end=first.offer.end,
        needed_kw=None,
        offers=tuple(sorted(offers, key=lambda offer: (offer.price or Decimal(0), offer.bidder, offer.id))),
        awarded_kw=bought,
        price=max((hour.price_eur_per_kw for hour in hours if hour.price_eur_per_kw is not None), default=None),
        ceiling=None,
        unit=PER_KW_HOUR,
        outcome=_outcome(bought, sum(hour.offer.capacity_kw for hour in hours), decided=decided),
        conversation_id=first.conversation_id,
    )


def _auction(heard: Auction) -> MarketRound:
    """BUC 5: the point that was bought on each station's curve; what is offered is the curve."""
    terms = heard.terms
    bought = [lot for lot in heard.lots if lot.contract_id is not None]
    outcome = "open"
    if heard.decision is not None:
        outcome = "bought" if bought else "nothing bought"
    notes = [
        ("evenings", f"{terms.window_start} to {terms.window_end}, at most {terms.most_activations} activations"),
        ("notice", f"{terms.notice_minutes} min"),
        ("penalty", f"{terms.penalty_eur_per_kwh} EUR/kWh above the cap"),
        ("most that a point may cost", euro(terms.most_eur)),
        ("curves approved", f"{heard.approved} of {sum(lot.bid is not None for lot in heard.lots)}"),
    ]
    if heard.decision is not None:
        decision = heard.decision
        notes.append(
            (
                f"expected above the limits on a day, by {decision.scenarios} scenarios",
                f"{number(decision.expected_without_kwh, 1)} kWh without the caps, "
                f"{number(decision.expected_with_kwh, 1)} kWh with them",
            )
        )
    return MarketRound(
        key=heard.conversation_id,
        use_case="BUC 5",
        kind="auction",
        title=f"Auction {terms.terms_id}",
        buyer=account_name(heard.dso),
        opened=terms.timestamp,
        start=terms.period_start,
        end=terms.period_end,
        needed_kw=None,
        offers=tuple(_lot(lot) for lot in heard.lots if lot.bid is not None),
        awarded_kw=0.0,
        price=None,
        ceiling=terms.most_eur,
        unit=PER_CAP,
        outcome=outcome,
        conversation_id=heard.conversation_id,
        declined=tuple((lot.call.station_id, lot.reason) for lot in heard.lots if lot.bid is None and lot.reason),
        notes=tuple(notes),
        auction=heard,
    )


def _lot(lot: Lot) -> MarketOffer:
    """A station's curve: its widest cap as power, and the price of the point that was bought, to the cent."""
    points = () if lot.bid is None else lot.bid.curve
    price = None if lot.price_eur is None else Decimal(repr(lot.price_eur)).quantize(Decimal("0.01"))
    return MarketOffer(
        id=lot.call.station_id,
        bidder=account_name(lot.cpo),
        power_kw=max((point.limit_kw for point in points), default=0.0),
        price=max((point.price_eur for point in points), default=None),
        awarded_kw=0.0 if lot.limit_kw is None else lot.limit_kw,
        paid=price,
        conversation_id=lot.conversation_id,
        detail=f"{len(points)} points",
        reason=lot.reason,
    )
