"""Contracts about services: of vehicles for a grid operator (BUC 2 and 4.1), and help in a congestion (BUC 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from environment.report.congestion_services import Asked, Part
from environment.report.services import Service
from environment.report.words import account_name
from environment.watched.bills import Billed
from environment.watched.contract import HOUR, SHORT_OF, Contract, State, running
from environment.watched.market_round import PER_KWH
from protocols.exchanges.congestion_services import Remuneration


def of_service(service: Service, bills: tuple[Billed, ...], at: datetime) -> Iterator[Contract]:
    """A service that the flexibility operator agreed to, and each manager's orders in it."""
    if service.ended in ("unanswered", "refused"):
        return
    bill = _invoice(service, service.asker, bills)
    state = _service_state(service, bill, at)
    wind = service.kind == "res-curtailment"
    use_case, sign = ("BUC 2" if wind else "BUC 4.1"), (1 if service.asked_kw > 0 else -1)
    price = f"charging {service.charging_cost} {PER_KWH}, giving back {service.discharging_remuneration}"
    links = [("service", service.conversation_id)]
    if bill is not None:
        links.append(("invoice", bill.conversation_id))
    yield Contract(
        key=service.conversation_id,
        kind="service",
        use_case=use_case,
        what=f"{service.id}, {'more' if sign > 0 else 'less'} consumption",
        buyer=account_name(service.asker),
        seller=account_name(service.operator),
        start=service.start,
        end=service.end,
        quantity=abs(service.available_kw),
        unit="kW",
        price=price,
        state=state,
        links=tuple(links),
        reason=service.reason,
    )
    for part in service.parts:
        if part.orders:
            invoice = _invoice(service, part.manager, bills)
            yield Contract(
                key=f"{part.conversation_id}/{part.manager}",
                kind="vehicles in a service",
                use_case=use_case,
                what=f"{service.id}, {len(part.orders)} vehicle{'s' if len(part.orders) > 1 else ''}",
                buyer=account_name(service.operator),
                seller=account_name(part.manager),
                start=service.start,
                end=service.end,
                quantity=abs(part.ordered_kw),
                unit="kW",
                price=price,
                state=_service_state(service, invoice, at),
                links=(("order", part.conversation_id),)
                + (() if invoice is None else (("invoice", invoice.conversation_id),)),
                reason=service.reason if service.ended == "cancelled" else None,
            )


def _invoice(service: Service, customer: str, bills: tuple[Billed, ...]) -> Billed | None:
    """The invoice (2.x.1) of a customer over the time of a service."""
    for each in bills:
        if (
            each.kind == "2.x.1"
            and customer in (each.debtor, each.creditor)
            and each.covers(service.start, service.end)
        ):
            return each
    return None


def _service_state(service: Service, bill: Billed | None, at: datetime) -> State:
    if service.ended == "cancelled" and at >= service.end:
        return "cancelled"
    if bill is not None and bill.paid:
        return "settled"
    return running(service.start, service.end, at)


def of_help(
    part: Part, remunerated: Mapping[tuple[str, str], tuple[Remuneration, str]], at: datetime
) -> Iterator[Contract]:
    """A manager's part in a call, and what its drivers agreed to."""
    if part.awarded_kw <= 0:
        return
    call, settled = part.call, part.settlement
    state: State = running(call.start, part.end, at)
    if settled is not None:
        promised_kwh = settled.promised_kw * ((settled.end - settled.start) / HOUR)
        short = settled.missing_kwh > (1 - SHORT_OF) * promised_kwh
        state = ("short" if short else "delivered") if part.agreed is None else "settled"
        if part.agreed and short:
            state = "settled, short"
        elif part.agreed is False:
            state = "failed"
    elif part.ending == "failed":
        state = "failed"
    elif part.ending == "cancelled" and at >= part.end:
        state = "cancelled"
    price = f"not drawn {call.reduction_price_eur_per_kwh} {PER_KWH}, given back {call.discharging_price_eur_per_kwh}"
    yield Contract(
        key=part.conversation_id,
        kind="help",
        use_case="BUC 3",
        what=f"{call.request_id} at {call.location}",
        buyer=account_name(part.dso),
        seller=account_name(part.manager),
        start=call.start,
        end=max(part.end, call.start),
        quantity=part.awarded_kw,
        unit="kW",
        price=price,
        state=state,
        links=(("call", part.conversation_id),),
        delivered=None if part.delivered_kw is None else round(part.delivered_kw, 3),
        amount_eur=part.fee_eur,
        reason=part.reason,
    )
    for each in part.asked:
        if each.awarded_kw > 0:
            yield _driver(part, each, remunerated.get((call.request_id, each.driver)), state, at)


def _driver(part: Part, asked: Asked, paid: tuple[Remuneration, str] | None, of_part: State, at: datetime) -> Contract:
    """What one driver agreed to (3.2), and what he was paid for it (3.x.4)."""
    call = part.call
    state: State = "cancelled" if of_part == "cancelled" else running(call.start, part.end, at)
    links = [("request", asked.conversation_id)]
    delivered = None
    if paid is not None:
        told, conversation = paid
        links.append(("payment", conversation))
        delivered = round(told.energy_kwh / ((told.end - told.start) / HOUR), 3)
        state = "settled, short" if delivered < SHORT_OF * asked.awarded_kw else "settled"
    return Contract(
        key=asked.conversation_id,
        kind="driver's vehicle",
        use_case="BUC 3",
        what=f"{asked.kind} at {asked.charger_id}, {call.request_id}",
        buyer=account_name(part.manager),
        seller=account_name(asked.driver),
        start=call.start,
        end=max(part.end, call.start),
        quantity=asked.awarded_kw,
        unit="kW",
        price=f"{asked.price_eur_per_kwh} {PER_KWH}",
        state=state,
        links=tuple(links),
        delivered=delivered,
        amount_eur=None if paid is None else paid[0].amount_eur,
        reason=asked.reason,
    )
