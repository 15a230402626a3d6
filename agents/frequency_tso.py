"""The transmission system operator of the Danish day: approves portfolios for frequency containment, and buys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.fcr_products import RULES, FcrRules, agreed
from agents.decisions.fcr_settlement import Owed, amount_to_buy, price_of
from agents.fcr_contracts import METERED_AFTER, MINUTE, Contract, FcrTariff, FrequencyRecord, SettlementDesk
from agents.ledger import Ledger, LedgerError
from agents.periods import QUARTER, quarter_at
from agents.prequalification import TestCourse, run_test, too_small, unless
from behaviours.answering import Failure, Incoming, Inform, Refuse, answers, cancels, failure, refusal
from behaviours.swarm import Swarm
from protocols.exchanges.content import ContentError
from protocols.exchanges.frequency_services import (
    CapacityAward,
    CapacityOffer,
    ParticipationApplication,
    ParticipationChange,
    ParticipationEnd,
    Prequalification,
    PrequalificationFailed,
)
from protocols.exchanges.plain import Done
from protocols.exchanges.vocabulary import FcrProduct
from protocols.roles import Role
from protocols.units import MAX_TEXT

GATE_CLOSURE = timedelta(minutes=10)
"""An offer that comes later before its start is refused."""
APPROVED_FOR_DAYS = 5 * 366
"""Technical requirements 2.2: an approval lasts five years at most, leap days included."""
ROUNDED_KW = 1e-6


@dataclass(frozen=True, slots=True)
class Approval:
    """What a portfolio may offer by these rules, `approved_kw` at most (3.7: "a maximum threshold is also
    established")."""

    manager: str
    rules: FcrRules
    application: ParticipationApplication
    approved_kw: float
    valid_until: datetime


class FrequencyTso(Actor):
    """D5.1 section 3.7: "the system must be approved in order to participate in the FCR program in Denmark.
    Prequalification testing is carried out in close coordination with the TSO"; "a maximum threshold is also
    established". There is no activation signal. "If the V2X Manager notifies the TSO, it will always be able to stop
    offering the service or modify its participation (ID 7.3)".

    It buys what `prices_eur_per_kw` names, at most `wanted_kw` of each product for a time. The price of a kW falls with
    what is bought for that time already (`price_of`): the named price for the first, half of it for the last that is
    wanted; each offer is paid the worth of its last kW. What is asked for may cost less, and may be bought in part.
    Energy of FCR-N is settled at the prices of regulation, that of FCR-D is not, and capacity that was not available
    costs `penalty_factor` times its price: our assumptions (agents/decisions/fcr_settlement.py).
    """

    role: ClassVar[Role] = Role.TSO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        record: FrequencyRecord,
        prices_eur_per_kw: Mapping[FcrProduct, Decimal],
        up_regulation_eur_per_kwh: Decimal,
        down_regulation_eur_per_kwh: Decimal,
        penalty_factor: Decimal,
        wanted_kw: Mapping[FcrProduct, float],
        ledger: Ledger,
        zone: tzinfo,
        until: datetime,
        minimum_bid_kw: float = 1.0,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.prices_eur_per_kw = dict(prices_eur_per_kw)
        self.wanted_kw = dict(wanted_kw)
        self.until = until
        self.minimum_bid_kw = minimum_bid_kw
        self.tests: dict[str, TestCourse] = {}
        """By application."""
        self.approvals: dict[str, Approval] = {}
        """By portfolio."""
        self.contracts: dict[str, Contract] = {}
        """By offer."""
        tariff = FcrTariff(up_regulation_eur_per_kwh, down_regulation_eur_per_kwh, penalty_factor)
        self._desk = SettlementDesk(self, record, tariff, ledger, zone)

    # ---- 7.1 and 7.x.1: the application and its test ---------------------------------------------------------------

    @answers(ParticipationApplication)
    async def on_participation_application(
        self, application: ParticipationApplication, incoming: Incoming
    ) -> Inform | Refuse | Failure | None:
        """7.1: refuses what cannot be, else runs the test from `test_from` on and answers with what is approved, or
        with what failed."""
        if (refused := self._unfit(application, incoming.sender)) is not None:
            return refused
        course = TestCourse(application, incoming.sender, began=application.test_from)
        self.tests[application.application_id] = course
        if not await incoming.agree(Done(reference=application.application_id)):
            course.ended, course.reason = self.now(), "nobody waits for it any more"
            return None
        await unless(incoming.cancelled, self.clock.sleep_until(application.test_from))
        rules = agreed(RULES[application.product], nem_disable_minutes=application.nem_disable_minutes)
        await run_test(self, course, rules, incoming.cancelled)
        if course.cancelled:
            return None
        if course.reason is not None:
            self.notice(f"{application.portfolio_id} of {incoming.sender} is not approved: {course.reason}")
            return Failure(
                PrequalificationFailed(
                    application_id=application.application_id, reason=course.reason[:MAX_TEXT], sheet=course.sheet
                )
            )
        self.approvals[application.portfolio_id] = Approval(
            incoming.sender, rules, application, course.approved_kw, application.valid_until
        )
        return Inform(
            Prequalification(
                application_id=application.application_id,
                approved_kw=course.approved_kw,
                valid_until=application.valid_until,
                sheet=course.sheet,
            )
        )

    @cancels(ParticipationApplication)
    async def on_application_cancelled(self, application: ParticipationApplication, incoming: Incoming) -> Inform:
        """7.3 of a test that is waiting or under way: no further step is asked for, and nothing is approved."""
        self.notice(f"{incoming.sender} calls the test of {application.portfolio_id} off{_because(incoming)}")
        return Inform(Done(reference=application.application_id))

    def _unfit(self, application: ParticipationApplication, manager: str) -> Refuse | None:
        """Why there is nothing to test, None where there is."""
        if application.application_id in self.tests:
            return refusal("known", f"application {application.application_id} has been made already")
        rules = self._rules(application.product)
        if rules is None:
            return refusal("unknown-product", f"{application.product} is not bought here")
        if application.test_from < self.now():
            return refusal("past", f"the test would begin at {application.test_from.isoformat()}, which has passed")
        if application.valid_until > self.now() + timedelta(days=APPROVED_FOR_DAYS):
            return refusal("too-long", "an approval lasts five years at most")
        approval = self.approvals.get(application.portfolio_id)
        if approval is not None and approval.manager != manager:
            return refusal("not-authorised", f"portfolio {application.portfolio_id} is another manager's")
        wanted = {unit.charger_id for unit in application.units}
        for other in self._standing():
            both = sorted(wanted & {unit.charger_id for unit in other.units})
            if other.portfolio_id != application.portfolio_id and both:
                return refusal("in-two-portfolios", f"{', '.join(both)} is in portfolio {other.portfolio_id} already")
        if any(not t.ended and t.application.portfolio_id == application.portfolio_id for t in self.tests.values()):
            return refusal("under-test", f"portfolio {application.portfolio_id} is under test already")
        try:
            agreed(rules, nem_disable_minutes=application.nem_disable_minutes)
        except ValueError as error:
            return refusal("not-agreed", str(error))
        if (fault := too_small(rules, application)) is not None:
            return refusal("too-small", fault)
        return None

    def _standing(self) -> list[ParticipationApplication]:
        """The applications that are approved or may still be."""
        approved = [a.application for a in self.approvals.values() if a.valid_until > self.now()]
        return approved + [test.application for test in self.tests.values() if test.ended is None]

    def _rules(self, product: FcrProduct) -> FcrRules | None:
        bought = product in self.prices_eur_per_kw and self.wanted_kw.get(product, 0.0) > 0
        return RULES.get(product) if bought else None

    # ---- 7.x.2: capacity for a time --------------------------------------------------------------------------------

    @answers(CapacityOffer)
    async def on_capacity_offer(self, offer: CapacityOffer, incoming: Incoming) -> Inform | Refuse | Failure | None:
        """7.x.2: buys what it still wants at the price, and at the end settles by report, frequency and meters."""
        approval = self.approvals.get(offer.portfolio_id)
        if approval is None:
            return refusal("not-approved", f"portfolio {offer.portfolio_id} is not approved")
        if (refused := self._unacceptable(offer, approval, incoming.sender)) is not None:
            return refused
        bought = self._bought_kw(offer)
        wanted, ceiling = self.wanted_kw[offer.product], self.prices_eur_per_kw[offer.product]
        kw = amount_to_buy(ceiling, wanted, bought, offer.capacity_kw, offer.price_eur_per_kw)
        if kw + ROUNDED_KW < self.minimum_bid_kw:
            worth = price_of(ceiling, wanted, bought + min(offer.capacity_kw, self.minimum_bid_kw))
            if offer.price_eur_per_kw > worth:
                why = f"{offer.price_eur_per_kw} EUR per kW and 15 min is asked for, and {worth} is paid"
                return refusal("too-dear", why)
            return refusal("not-wanted", f"of {wanted:g} kW that are wanted {bought:g} are bought")
        price = price_of(ceiling, wanted, bought + kw)
        contract = Contract(
            manager=incoming.sender,
            rules=approval.rules,
            offer=offer,
            chargers=tuple(sorted(unit.charger_id for unit in approval.application.units)),
            price_eur_per_kw=price,
            until=offer.end,
            owed=[Owed(offer.start, offer.end, kw)],
        )
        self.contracts[offer.offer_id] = contract  # before the word is out: another offer may come
        award = CapacityAward(offer_id=offer.offer_id, capacity_kw=kw, price_eur_per_kw=price)
        if not await incoming.agree(award):
            del self.contracts[offer.offer_id]
            return None
        return await self._see_through(contract, incoming)

    def _unacceptable(self, offer: CapacityOffer, approval: Approval, manager: str) -> Refuse | None:
        """Why the offer cannot be taken whatever it costs, None where it can."""
        if approval.manager != manager:
            return refusal("not-authorised", f"portfolio {offer.portfolio_id} is another manager's")
        if offer.offer_id in self.contracts:
            return refusal("known", f"offer {offer.offer_id} has been made already")
        if approval.application.product is not offer.product:
            return refusal(
                "not-approved",
                f"{offer.portfolio_id} is approved for {approval.application.product}, not {offer.product}",
            )
        if quarter_at(offer.start) != offer.start or quarter_at(offer.end) != offer.end:
            return refusal("no-period", "capacity is bought for whole quarters of an hour")
        if offer.start < self.now() + GATE_CLOSURE:
            return refusal("too-late", f"an offer must come {GATE_CLOSURE // MINUTE} min before its start")
        if offer.end > self.until:
            return refusal("closed", f"no capacity is bought beyond {self._desk.clock_time(self.until)}")
        if offer.end > approval.valid_until:
            return refusal("not-approved", f"the approval ends at {approval.valid_until.isoformat()}")
        if offer.capacity_kw > approval.approved_kw + ROUNDED_KW:
            why = f"{offer.capacity_kw:g} kW are offered, and {approval.approved_kw:g} are approved"
            return refusal("above-approval", why)
        if offer.capacity_kw + ROUNDED_KW < self.minimum_bid_kw:
            return refusal("too-small", f"the smallest offer is {self.minimum_bid_kw:g} kW")
        for contract in self.contracts.values():
            other = contract.offer
            if other.portfolio_id == offer.portfolio_id and contract.bought_kw(offer.start, offer.end) > 0:
                return refusal("overlapping", f"the portfolio owes {other.offer_id} in that time")
        return None

    def _bought_kw(self, offer: CapacityOffer) -> float:
        """The most that is bought of the product at any time of the offer."""
        others = [c for c in self.contracts.values() if c.offer.product is offer.product]
        quarters = [offer.start + k * QUARTER for k in range((offer.end - offer.start) // QUARTER)]
        return max(sum(c.bought_kw(q, q + QUARTER) for c in others) for q in quarters)

    async def _see_through(self, contract: Contract, incoming: Incoming) -> Inform | Failure | None:
        """Waits for the end of the time and settles it; after a cancel nobody is told: the conversation is over."""
        await unless(incoming.cancelled, self.clock.sleep_until(contract.until + METERED_AFTER))
        if incoming.cancelled.is_set():
            await self.clock.sleep_until(contract.until + METERED_AFTER)
        try:
            settlement = await self._desk.settle(contract)
        except LedgerError as error:
            self.notice(f"offer {contract.offer.offer_id} cannot be settled: {error}")
            return failure("not-booked", str(error))
        return None if incoming.cancelled.is_set() else Inform(settlement)

    # ---- 7.3: less, or the end -------------------------------------------------------------------------------------

    @answers(ParticipationChange)
    async def on_participation_change(self, change: ParticipationChange, incoming: Incoming) -> Inform | Refuse:
        """7.3: always accepted; from then on the smaller capacity is owed and paid."""
        contract = self.contracts.get(change.offer_id)
        if contract is None or contract.manager != incoming.sender:
            return refusal("unknown-offer", f"no capacity is bought under {change.offer_id}")
        contract.reduce(max(change.start, self.now()), change.capacity_kw)
        self.notice(f"{incoming.sender} gives {change.capacity_kw:g} kW for {change.offer_id}: {change.reason}")
        return Inform(Done(reference=change.offer_id))

    @cancels(CapacityOffer)
    async def on_offer_cancelled(self, offer: CapacityOffer, incoming: Incoming) -> Inform:
        """7.3: always accepted; the time that was served is paid in the ledger, which has the amount in its reference:
        there is no conversation any more in which it could be told."""
        contract = self.contracts.get(offer.offer_id)
        if contract is not None:
            ends = max(self.now(), _start_of(incoming) or self.now())
            contract.until = max(offer.start, min(contract.until, ends))
            contract.reduce(contract.until, 0.0)
            self.notice(f"{incoming.sender} stops serving {offer.offer_id}{_because(incoming)}")
        return Inform(Done(reference=offer.offer_id))


def _end_of(incoming: Incoming) -> ParticipationEnd | None:
    """The cancel as 7.3; None for a plain one."""
    try:
        return ParticipationEnd.from_json(incoming.message.content)
    except ContentError:
        return None


def _start_of(incoming: Incoming) -> datetime | None:
    end = _end_of(incoming)
    return None if end is None else end.start


def _because(incoming: Incoming) -> str:
    end = _end_of(incoming)
    return "" if end is None else f": {end.reason}"
