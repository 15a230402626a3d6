"""What binds whom from when to when at which price, as of the moment, and what became of it.

A contract is an awarded bid of BUC 1 or 6 with its activation, a service of BUC 2 or 4.1 and a manager's orders in it,
a manager's help in BUC 3 and its drivers', an hour of frequency reserve, a station's cap and each of its activations,
or a booked charging session. Its `state` says how it stands now; a contract that was refused is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from environment.report.campus_words import PRODUCTS
from environment.report.words import account_name
from environment.watched.bills import Billed
from environment.watched.contract import HOUR, SHORT_OF, Contract, State, running
from environment.watched.contracts_of_services import of_help, of_service
from environment.watched.contracts_of_stations import caps, session
from environment.watched.heard import Heard, Kept, Readers
from environment.watched.market_round import PER_KW, PER_KW_HOUR
from environment.watched.money import Money
from environment.watched.orders import Order
from environment.watched.run import WatchedRun
from protocols.units import MARKET_PERIOD


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
            yield from of_service(service, self._bills, at)
        for part in self._parts:
            yield from of_help(part, self._remunerated, at)
        yield from self._reserve(at)
        yield from caps(self._public, at)
        for conversation, asking in self._sessions:
            if asking.choice is not None and asking.cpo is not None:
                yield session(conversation, asking, at)

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
            state = running(offer.start, offer.end, at)
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


def _delivered_kw(order: Order | None) -> float | None:
    """The mean over the activation, by the volume that was claimed and not disputed."""
    if order is None or order.volume is None or order.accepted is False:
        return None
    hours = len(order.volume.baseline_kw) * (MARKET_PERIOD / HOUR)
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
    return running(start, end, at)


def _bid_links(award: str, order: Order | None, bill: Billed | None) -> tuple[tuple[str, str], ...]:
    links = [("award", award)]
    if order is not None:
        links.append(("activation", order.conversation_id))
    if bill is not None:
        links.append(("bill", bill.conversation_id))
    return tuple(links)
