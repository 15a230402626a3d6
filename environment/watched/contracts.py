"""What binds whom from when to when at which price, as of the moment, and what became of it.

A contract is an awarded bid of BUC 1 or 6 with its activation, a service of BUC 2 or 4.1 and a manager's orders in it,
a manager's help in BUC 3 and its drivers', an hour of frequency reserve, a station's cap and each of its activations,
or a booked charging session. Its `state` says how it stands now; a contract that was refused is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from environment.report.campus_words import PRODUCTS
from environment.report.congestion_services import Asked, Part
from environment.report.public_services import Activation, PublicServices, Settled
from environment.report.public_sessions import ENOUGH, Asking
from environment.report.services import Service
from environment.report.words import account_name, euro, number
from environment.watched.bills import Billed
from environment.watched.heard import Heard, Kept, Readers
from environment.watched.market import PER_KW, PER_KW_HOUR, PER_KWH
from environment.watched.money import Money
from environment.watched.orders import Order
from environment.watched.run import WatchedRun
from protocols.exchanges.congestion_services import Remuneration
from protocols.units import MARKET_PERIOD

State: TypeAlias = Literal[
    "agreed", "active now", "ended", "delivered", "short", "settled", "settled, short", "cancelled", "failed"
]
STATES: tuple[State, ...] = (
    "agreed", "active now", "ended", "delivered", "short", "settled", "settled, short", "cancelled", "failed",
)  # fmt: skip
SHORT_OF = 0.99
"""Who delivered less than this part of what was agreed was short."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Contract:
    """One contract. `buyer` pays `seller` (names), `quantity` is what was agreed in `unit`, `price` in words;
    `delivered` is in `unit` as well, None where no message tells it; `amount_eur` what is owed by the settlement, above
    0 to the seller, None where there is none. `links` are its conversations, each with a word; `reference` is how the
    ledger knows it where no bill does."""

    key: str
    kind: str
    use_case: str
    what: str
    buyer: str
    seller: str
    start: datetime
    end: datetime
    quantity: float
    unit: str
    price: str
    state: State
    links: tuple[tuple[str, str], ...]
    delivered: float | None = None
    amount_eur: Decimal | None = None
    reason: str | None = None
    reference: str | None = None

    @property
    def delivered_percent(self) -> float | None:
        """How much of what was agreed was delivered; None where that is not told."""
        return None if self.delivered is None or not self.quantity else 100 * self.delivered / self.quantity


class Contracts:
    """The contracts of a run up to its moment."""

    def __init__(self, run: WatchedRun) -> None:
        self._run, self._heard, self._money = run, Heard.of(run), Money(run)
        self._found = Kept(self._heard, _Drafts)
        self._at: datetime | None = None
        self._version = -1
        self._rows: tuple[Contract, ...] = ()

    @property
    def version(self) -> int:
        """Grows when anything here may have changed."""
        return self._heard.version

    def refresh(self) -> bool:
        """Hears what is new; whether that was all."""
        return self._heard.refresh()

    @property
    def rows(self) -> tuple[Contract, ...]:
        """Every contract, by its beginning, the latest first."""
        at = self._run.at
        if at is None:
            return ()
        if at != self._at or self._version != self._heard.version:
            self._at, self._version = at, self._heard.version
            found = self._with_payments(tuple(self._found().at(at)))
            self._rows = tuple(sorted(found, key=lambda each: (each.start, each.key), reverse=True))
        return self._rows

    def _with_payments(self, found: tuple[Contract, ...]) -> tuple[Contract, ...]:
        """In BUC 6 the buyer pays without a bill: what the ledger has for an activation settles its contract."""
        open_ones = [each.reference for each in found if each.reference is not None and each.delivered is not None]
        paid = self._money.paid_for(open_ones) if open_ones else {}
        return tuple(_paid(each, paid) for each in found)


def _paid(contract: Contract, paid: Mapping[tuple[str, str], Decimal]) -> Contract:
    amount = paid.get((contract.reference or "", contract.seller))
    if amount is None:
        return contract
    state: State = "settled, short" if contract.state == "short" else "settled"
    return replace(contract, state=state, amount_eur=amount)


def contracts_of(readers: Readers, at: datetime) -> tuple[Contract, ...]:
    """Every contract that the readers heard of, as it stands at `at`."""
    return tuple(_Drafts(readers).at(at))


class _Drafts:
    """What contracts are made from, looked up once for as long as nothing more is heard."""

    def __init__(self, readers: Readers) -> None:
        self._rounds = readers.rounds.found()
        self._orders = readers.orders.found()
        self._services = readers.services.found()
        self._parts = readers.parts.found()
        self._hours = readers.hours.found()
        self._public = readers.public.found()
        self._sessions = tuple(readers.sessions.askings.items())
        self._bills = readers.bills.found()
        self._remunerated = dict(readers.bills.remunerated)

    def at(self, at: datetime) -> Iterator[Contract]:
        """All of them as they stand at this time."""
        yield from self._bids(at)
        for service in self._services:
            yield from _services(service, self._bills, at)
        for part in self._parts:
            yield from _help(part, self._remunerated, at)
        yield from self._reserve(at)
        yield from _caps(self._public, at)
        for conversation, asking in self._sessions:
            if asking.choice is not None and asking.cpo is not None:
                yield _session(conversation, asking, at)

    def _bids(self, at: datetime) -> Iterator[Contract]:
        orders: dict[str, Order] = {}
        for order in self._orders:
            if order.volume is not None or order.signal.bid_id not in orders:
                orders[order.signal.bid_id] = order
        bills = {bill.about: bill for bill in self._bills if bill.kind == "1.2.7"}
        for market in self._rounds:
            pool = market.kind == "pool"
            for bid in market.bids:
                if bid.awarded_kw <= 0:
                    continue
                placed = orders.get(bid.id)
                bill = None if placed is None else bills.get(placed.signal.activation_id)
                yield Contract(
                    key=f"{market.conversation_id}/{bid.id}",
                    kind="awarded bid",
                    use_case="BUC 6" if pool else "BUC 1",
                    what=bid.id,
                    buyer=account_name(market.buyer),
                    seller=account_name(bid.bidder),
                    start=market.start,
                    end=market.end,
                    quantity=bid.awarded_kw,
                    unit="kW",
                    price=f"{bid.paid_price} {PER_KW}",
                    state=_bid_state(market.start, market.end, bid.awarded_kw, placed, bill, at),
                    links=_bid_links(market.conversation_id, placed, bill),
                    delivered=_delivered_kw(placed),
                    amount_eur=None if bill is None else bill.net_eur,
                    reason=None if placed is None else placed.reason,
                    reference=None if placed is None or bill is not None else placed.signal.activation_id,
                )

    def _reserve(self, at: datetime) -> Iterator[Contract]:
        for hour in self._hours:
            if hour.bought_kw <= 0:
                continue
            offer, settled = hour.offer, hour.settlement
            state = _running(offer.start, offer.end, at)
            if settled is not None:
                state = "settled, short" if settled.penalty_eur > 0 else "settled"
            elif hour.ending == "cancelled":
                state = "cancelled"
            elif hour.ending == "failed":
                state = "failed"
            why = hour.reason or "; ".join(change.reason for change in hour.changes) or None
            yield Contract(
                key=f"{hour.conversation_id}/{offer.offer_id}",
                kind="frequency reserve",
                use_case="BUC 7",
                what=f"{PRODUCTS[offer.product]}, {offer.portfolio_id}",
                buyer=account_name(hour.tso),
                seller=account_name(hour.manager),
                start=offer.start,
                end=offer.end,
                quantity=hour.bought_kw,
                unit="kW",
                price=f"{hour.price_eur_per_kw} {PER_KW_HOUR}",
                state=state,
                links=(("offer", hour.conversation_id),),
                delivered=None if settled is None else round(hour.bought_kw * settled.availability_percent / 100, 3),
                amount_eur=None if settled is None else settled.amount_eur,
                reason=why,
            )


def _running(start: datetime, end: datetime, at: datetime) -> State:
    """How a contract stands of which nothing else is known."""
    return "agreed" if at < start else "active now" if at < end else "ended"


def _delivered_kw(order: Order | None) -> float | None:
    """The mean over the activation, by the volume that was claimed and not disputed."""
    if order is None or order.volume is None or order.accepted is False:
        return None
    hours = len(order.volume.baseline_kw) * (MARKET_PERIOD / _HOUR)
    return round(order.volume.delivered_energy_kwh / hours, 3) if hours else None


def _bid_state(
    start: datetime, end: datetime, power_kw: float, order: Order | None, bill: Billed | None, at: datetime
) -> State:
    delivered = _delivered_kw(order)
    short = delivered is not None and delivered < SHORT_OF * power_kw
    if bill is not None and bill.paid:
        return "settled, short" if short else "settled"
    if delivered is not None:
        return "short" if short else "delivered"
    if order is not None and order.cancelled is not None:
        return "cancelled"
    if order is not None and (order.failed or order.agreed is False):
        return "failed"
    return _running(start, end, at)


def _bid_links(award: str, order: Order | None, bill: Billed | None) -> tuple[tuple[str, str], ...]:
    links = [("award", award)]
    if order is not None:
        links.append(("activation", order.conversation_id))
    if bill is not None:
        links.append(("bill", bill.conversation_id))
    return tuple(links)


def _services(service: Service, bills: tuple[Billed, ...], at: datetime) -> Iterator[Contract]:
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
    return _running(service.start, service.end, at)


def _help(
    part: Part, remunerated: Mapping[tuple[str, str], tuple[Remuneration, str]], at: datetime
) -> Iterator[Contract]:
    """A manager's part in a call, and what its drivers agreed to."""
    if part.awarded_kw <= 0:
        return
    call, settled = part.call, part.settlement
    state: State = _running(call.start, part.end, at)
    if settled is not None:
        promised_kwh = settled.promised_kw * ((settled.end - settled.start) / _HOUR)
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
    state: State = "cancelled" if of_part == "cancelled" else _running(call.start, part.end, at)
    links = [("request", asked.conversation_id)]
    delivered = None
    if paid is not None:
        told, conversation = paid
        links.append(("payment", conversation))
        delivered = round(told.energy_kwh / ((told.end - told.start) / _HOUR), 3)
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


def _caps(public: PublicServices, at: datetime) -> Iterator[Contract]:
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
                state=_running(terms.period_start, terms.period_end, at),
                links=(("auction", lot.conversation_id),),
                amount_eur=paid.get(lot.contract_id),
            )
    for number_, activation in enumerate(public.activations):
        yield _limit(activation, by_activation.get(activation.limit.activation_id), number_, at)


def _limit(activation: Activation, settled: Settled | None, place: int, at: datetime) -> Contract:
    limit = activation.limit
    state: State = _running(limit.start, limit.end, at)
    over = settled is not None and (settled.settlement.excess_kwh or 0.0) > 0
    if settled is not None and settled.agreed:
        state = "settled, short" if over else "settled"
    elif activation.agreed is False:
        state = "failed"
    elif activation.kept is not None:
        state = "delivered" if activation.kept else "short"
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


def _session(conversation: str, asking: Asking, at: datetime) -> Contract:
    choice, receipt = asking.choice, asking.receipt
    assert choice is not None
    assert asking.cpo is not None
    state: State = _running(choice.start, choice.end, at)
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


def kinds(rows: tuple[Contract, ...]) -> Mapping[str, int]:
    """How many there are of each kind, the most frequent first."""
    counted: dict[str, int] = {}
    for row in rows:
        counted[row.kind] = counted.get(row.kind, 0) + 1
    return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))
