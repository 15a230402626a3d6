"""Contracts of public stations (BUC 5): caps, their activations, and charging sessions that were booked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from environment.report.public_services import Activation, PublicServices, Settled
from environment.report.public_sessions import ENOUGH, Asking
from environment.report.words import account_name, euro, number
from environment.watched.contract import Contract, State, running
from environment.watched.market_round import PER_KWH


def caps(public: PublicServices, at: datetime) -> Iterator[Contract]:
    """The caps that were bought, and each activation of one."""
    by_activation = {each.settlement.activation_id: each for each in public.settled}
    paid: dict[str, Decimal] = {}
    for each in public.settled:
        if each.agreed:
            of = each.settlement.contract_id
            paid[of] = paid.get(of, Decimal(0)) + each.settlement.amount_eur
    for auction in public.auctions:
        for lot in auction.lots:
            if lot.contract_id is None or lot.limit_kw is None or lot.price_eur is None:
                continue
            terms = auction.terms
            yield Contract(
                key=f"{lot.conversation_id}/{lot.contract_id}",
                kind="capacity contract",
                use_case="BUC 5",
                what=f"cap of {lot.call.station_id}, {terms.window_start} to {terms.window_end}",
                buyer=account_name(auction.dso),
                seller=account_name(lot.cpo),
                start=terms.period_start,
                end=terms.period_end,
                quantity=lot.limit_kw,
                unit="kW at most",
                price=f"{euro(lot.price_eur)} for the whole period",
                state=running(terms.period_start, terms.period_end, at),
                links=(("auction", lot.conversation_id),),
                amount_eur=paid.get(lot.contract_id),
            )
    for number_, activation in enumerate(public.activations):
        yield _limit(activation, by_activation.get(activation.limit.activation_id), number_, at)


def _limit(activation: Activation, settled: Settled | None, place: int, at: datetime) -> Contract:
    limit = activation.limit
    state: State = running(limit.start, limit.end, at)
    over = settled is not None and (settled.settlement.excess_kwh or 0.0) > 0
    if settled is not None and settled.agreed:
        state = "settled, short" if over else "settled"
    elif activation.agreed is False or activation.kept is False:
        state = "failed"
    elif activation.kept and at >= limit.end:
        state = "delivered"
    links = [("limit", activation.conversation_id)]
    if settled is not None:
        links.append(("settlement", settled.conversation_id))
    highest = None if settled is None else settled.settlement.highest_kw
    note = None if highest is None else f"drew {number(highest, 1)} kW at most"
    return Contract(
        key=f"{activation.conversation_id}/{place}",
        kind="limit activated",
        use_case="BUC 5",
        what=f"{limit.station_id}, contract {limit.contract_id}",
        buyer=account_name(activation.dso),
        seller=account_name(activation.cpo),
        start=limit.start,
        end=limit.end,
        quantity=limit.limit_kw,
        unit="kW at most",
        price="by its contract",
        state=state,
        links=tuple(links),
        amount_eur=None if settled is None else settled.settlement.amount_eur,
        reason=activation.reason or note,
    )


def session(conversation: str, asking: Asking, at: datetime) -> Contract:
    choice, receipt = asking.choice, asking.receipt
    assert choice is not None
    assert asking.cpo is not None
    state: State = running(choice.start, choice.end, at)
    if receipt is not None:
        state = "settled, short" if receipt.energy_kwh < ENOUGH * choice.energy_kwh else "settled"
    elif asking.failed is not None:
        state = "failed"
    elif asking.called_off:
        state = "cancelled"
    return Contract(
        key=conversation,
        kind="charging session",
        use_case="BUC 5",
        what=f"{choice.station_id}, {choice.charger_id}",
        buyer=account_name(asking.driver),
        seller=account_name(asking.cpo),
        start=choice.start,
        end=choice.end,
        quantity=choice.energy_kwh,
        unit="kWh",
        price=f"{choice.price_eur_per_kwh} {PER_KWH}",
        state=state,
        links=(("booking", conversation),),
        delivered=None if receipt is None else receipt.energy_kwh,
        amount_eur=None if receipt is None else receipt.amount_eur,
        reason=asking.failed,
    )
