"""The distribution system operator: knows its grid, buys the flexibility it lacks, checks and pays what it got."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.baseline import meter_before_meter_after
from agents.decisions.settlement import Settlement, settle
from agents.grid_view import Direction
from agents.grid_watch import GridWatch, Problem
from agents.ids import activation_of
from agents.ledger import Ledger, LedgerError
from agents.metering import MeterReader
from agents.orders import OrderBook, Ordered, bill_fault, delivered_kw, volume_fault
from agents.periods import QUARTER, next_quarter
from agents.pool import clear_pool
from behaviours.answering import AcceptProposal, Agree, Incoming, Inform, Refuse, RejectProposal, answers, refusal
from behaviours.outcomes import Agreed, Informed, Refused
from behaviours.swarm import Swarm
from protocols.exchanges.activation import (
    ActivatedResources,
    ActivatedResourcesSubscription,
    ActivationConfirmation,
    ActivationSignal,
)
from protocols.exchanges.dso_services import PoolActivation, PoolOpening, VppActivationResponse
from protocols.exchanges.plain import Done
from protocols.exchanges.procurement import (
    FlexibilityNeed,
    NeedResult,
    PrequalificationRequest,
    PrequalificationResult,
    ProductRequirements,
)
from protocols.exchanges.settlement import (
    Bill,
    DeliveredVolume,
    MeasurementsCollection,
    MeasurementsQuery,
    Payment,
    VolumeAnswer,
)
from protocols.exchanges.vocabulary import ActivationStatus, BaselineMethod
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)
CLAIM_TIME = timedelta(minutes=30)
"""So long after a pool's service its volume may be claimed (1.x.5)."""
ACTIVATION_TIME = timedelta(minutes=8)
"""The VPP asks its CPOs, and these their drivers, before it confirms."""
LOOK_AHEAD_AT = timedelta(minutes=3)
"""So long after a quarter began, the meters are read and the next quarter is looked at."""
FRESH = LOOK_AHEAD_AT
"""The meters are read as means of so long: what began or ended with the quarter is then wholly in them."""
BEFORE_READINGS = 4
"""Quarters before an activation that the meter-before baseline takes."""


@dataclass(frozen=True, slots=True)
class Course:
    """The times of one day at which the DSO acts on the market of BUC 1, all aware."""

    requirements: datetime
    need: datetime
    gate_closure: datetime
    first_delivery: datetime
    last_delivery: datetime


class Dso(Actor):
    """D5.1 sections 3.1 and 3.6: Elektro Celje defines the requirements of the products, validates resources "through a
    prequalification protocol", identifies the needed flexibility, initiates the activation, "informs the TSO", opens a
    pool when it "detects congestions or voltage increase in the grid" up to the price it is willing to pay, validates
    the delivered volume, and "pays the service to the VPP"."""

    role: ClassVar[Role] = Role.DSO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        product: ProductRequirements,
        watch: GridWatch,
        delivery: tuple[time, time],
        courses: Sequence[Course],
        until: datetime,
        ledger: Ledger,
        volume_tolerance: float,
        connections: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.location = product.congestion_point
        self.product = product
        self.watch = watch
        self.delivery = delivery
        self.courses = tuple(courses)
        self.until = until
        self.ledger = ledger
        self.volume_tolerance = volume_tolerance
        self.connections = connections
        self.book = OrderBook()
        self.meters = MeterReader(self)
        self._told: set[str] = set()
        self.unserved_kw: dict[str, float] = {}
        self._numbers: defaultdict[str, int] = defaultdict(int)

    def _next_id(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{self.name}-{kind}-{self._numbers[kind]}"

    async def course(self) -> None:
        """Each day: the product, then the needs of the evening; beside it, each quarter, a look ahead."""
        self.spawn(self._look_ahead_each_quarter())
        for day in self.courses:
            await self.clock.sleep_until(day.requirements)
            await self._publish_requirements()
            await self.clock.sleep_until(day.need)
            await self._buy_on_the_market(day)

    # ---- BUC 1.1: requirements, prequalification, need -----------------------------------------------------------

    async def _publish_requirements(self) -> None:
        """1.x.1: "the DSO will define requirements that each local flexibility product should meet"."""
        for fmo in await self.search(role=Role.FMO):
            answer = await self.request(self.product, to=fmo.jid, reply_by=self.now() + ANSWER_TIME)
            if not isinstance(answer, Informed):
                self.notice(f"{fmo.jid} does not take the product {self.product.product_id}: {answer}")

    @answers(PrequalificationRequest)
    async def on_prequalification_request(
        self, question: PrequalificationRequest, incoming: Incoming
    ) -> Inform | Refuse:
        """1.x.3: what power at this bus breaks no limit of the actual grid model, in the product's hours of the worst
        day of the year, and which limit binds."""
        grid = self.watch.grid
        if question.location not in grid.buses:
            return refusal("unknown-bus", f"there is no bus {question.location} in my grid")
        if fault := self.book.registration_fault(question, self.connections):
            return refusal(*fault)
        qualified: dict[Direction, float] = {}
        reasons: list[str] = []
        for direction, name, asked, already in (
            (Direction.CHARGE, "charging", question.max_charge_kw, {}),
            (
                Direction.DISCHARGE,
                "discharging",
                question.max_discharge_kw,
                self.book.discharging_besides(question.resource_id, question.location),
            ),
        ):
            hosting = grid.hosting(
                question.location,
                direction,
                self.watch.limits,
                up_to_kw=asked,
                already_kw=already,
                between=self.delivery,
            )
            qualified[direction] = round(min(hosting.power_kw, asked), 3)
            if hosting.power_kw < asked:
                reasons += [f"{name} {asked:g} kW: {reason}" for reason in hosting.reasons]
        result = PrequalificationResult(
            resource_id=question.resource_id,
            qualified_charge_kw=qualified[Direction.CHARGE],
            qualified_discharge_kw=qualified[Direction.DISCHARGE],
            reasons=tuple(reasons),
        )
        self.book.resources[question.resource_id] = question
        self.book.qualified[question.resource_id] = result
        return Inform(result)

    async def _buy_on_the_market(self, day: Course) -> None:
        """1.x.6 for each window of the evening in which charging on a bad day would break a limit."""
        if not self.book.qualified:
            self.notice("no resource is prequalified, so nothing can be bought on the market")
            return
        operators = await self.search(role=Role.FMO)
        problems = self.watch.day_ahead(day.first_delivery, day.last_delivery, self.now(), self.book.flexible())
        self._tell_not_sold()
        sold_here = [problem for problem in problems if problem.need.service == self.product.service]
        for other in sorted({problem.need.service for problem in problems} - {self.product.service}):
            self._tell_once(
                f"service {other}", f"{other} is not what {self.product.product_id} is for: left to the pool"
            )
        needs = [
            FlexibilityNeed(
                need_id=self._next_id("need"),
                product_id=self.product.product_id,
                service=problem.need.service,
                congestion_point=self.product.congestion_point,
                start=problem.need.start,
                end=problem.need.end,
                power_kw=problem.need.power_kw,
                max_price_eur_per_kw=min(problem.max_price_eur_per_kw, self.product.max_price_eur_per_kw),
                gate_closure=day.gate_closure,
            )
            for problem in sold_here
        ]
        # together: a VPP that keeps silent until gate closure in one must not hold up the others
        await asyncio.gather(*(self._buy(need, fmo.jid, day) for need in needs for fmo in operators))

    async def _buy(self, need: FlexibilityNeed, fmo: str, day: Course) -> None:
        answer = await self.request(need, to=fmo, reply_by=self.now() + ANSWER_TIME)
        if isinstance(answer, Agreed):
            answer = await answer.result(day.gate_closure + 2 * ANSWER_TIME)
        if isinstance(answer, Informed) and isinstance(answer.content, NeedResult):
            self._bought(need, answer.content)
        else:
            self.notice(f"need {need.need_id} is not served: {answer}")

    def _bought(self, need: FlexibilityNeed, result: NeedResult) -> None:
        self.unserved_kw[need.need_id] = result.unserved_kw
        for award in result.awards:
            order = Ordered(
                activation_id=activation_of(award.bid_id),
                bid_id=award.bid_id,
                vpp=award.vpp,
                service=need.service,
                start=need.start,
                end=need.end,
                power_kw=award.power_kw,
                price_eur_per_kw=award.price_eur_per_kw,
                baseline_kw=self._nominated(award.baseline_kw),
                pool=False,
            )
            self.book.orders[order.activation_id] = order
            self.spawn(self._activate_market(order))

    # ---- BUC 1.2 and 6.2: activation -----------------------------------------------------------------------------

    async def _activate_market(self, order: Ordered) -> None:
        """1.2.3 in time for the product's notice; the VPP confirms (1.2.4)."""
        notice = timedelta(minutes=self.product.notice_minutes)
        await self.clock.sleep_until(order.start - notice - ACTIVATION_TIME)
        signal = ActivationSignal(
            activation_id=order.activation_id,
            bid_id=order.bid_id,
            service=order.service,
            congestion_point=self.product.congestion_point,
            start=order.start,
            end=order.end,
            power_kw=order.power_kw,
        )
        await self._activate(order, signal)

    async def _activate_pool(self, order: Ordered, max_price: Decimal) -> None:
        """6.2.1: the contract is called at once; the answer 6.2.5 says what is available."""
        signal = PoolActivation(
            activation_id=order.activation_id,
            bid_id=order.bid_id,
            service=order.service,
            congestion_point=self.product.congestion_point,
            start=order.start,
            end=order.end,
            max_price_eur_per_kw=max_price,
            power_kw=order.power_kw,
        )
        await self._activate(order, signal)

    async def _activate(self, order: Ordered, signal: ActivationSignal | PoolActivation) -> None:
        """From the signal to the end of the service; the TSO hears of each step (1.x.4)."""
        answer = await self.request(
            signal,
            to=order.vpp,
            reply_by=min(order.start, self.now() + ACTIVATION_TIME),
            done_by=order.end + 2 * ANSWER_TIME,
        )
        if not isinstance(answer, Agreed):
            why = answer.reason if isinstance(answer, Refused) else "no answer"
            self.notice(f"activation {order.activation_id} of {order.vpp} does not take place: {why}")
            if order.pool:
                self._penalise(order)
            return
        if isinstance(answer.content, ActivationConfirmation | VppActivationResponse):
            order.available_kw = answer.content.available_power_kw
        await self._tell_tso(order, ActivationStatus.PLANNED)
        beginning = self.spawn(self._begin(order))
        result = await answer.result()
        beginning.cancel()  # a service that failed before its start was never active
        ended = isinstance(result, Informed)
        await self._tell_tso(order, ActivationStatus.ENDED if ended else ActivationStatus.CANCELLED)
        if not ended:
            self.notice(f"activation {order.activation_id} of {order.vpp} was not completed: {result}")
        if order.pool:
            await self._close(order)

    async def _begin(self, order: Ordered) -> None:
        await self.clock.sleep_until(order.start)
        await self._tell_tso(order, ActivationStatus.ACTIVE)

    @answers(ActivatedResourcesSubscription)
    async def on_subscription(self, topic: ActivatedResourcesSubscription, incoming: Incoming) -> Agree:
        """1.x.4: the TSO wants to know what is activated."""
        return Agree(Done(reference=incoming.message.conversation_id))

    async def _tell_tso(self, order: Ordered, status: ActivationStatus) -> None:
        """1.x.4: "in order to avoid collision and double activation on the balancing market"."""
        news = ActivatedResources(
            activation_id=order.activation_id,
            vpp=order.vpp,
            service=order.service,
            congestion_point=self.product.congestion_point,
            start=order.start,
            end=order.end,
            power_kw=order.available_kw,
            status=status,
        )
        here = (None, self.product.congestion_point)
        await self.publish(ActivatedResourcesSubscription, news, lambda topic: topic.congestion_point in here)

    # ---- BUC 6.1: the pool ---------------------------------------------------------------------------------------

    async def _look_ahead_each_quarter(self) -> None:
        while next_quarter(self.now()) + 2 * QUARTER <= self.until:
            await self.clock.sleep_until(next_quarter(self.now()) + LOOK_AHEAD_AT)
            if self.book.qualified:
                await self._open_pools()

    async def _open_pools(self) -> None:
        """Looks at the next quarter, and opens a pool for what it would break."""
        read_at = self.now().replace(second=0, microsecond=0)
        start, metered_at = next_quarter(read_at), read_at - FRESH
        metered = await self._metered(metered_at, read_at)
        if metered is None:
            return
        problems = self.watch.next_quarter(
            start, self.now(), metered, metered_at, self.book.beginning(start, metered_at), self.book.flexible()
        )
        self._tell_not_sold()
        for problem in problems:
            await self._pool(problem)

    async def _metered(self, start: datetime, end: datetime) -> dict[str, float] | None:
        """What the registered chargers drew at each bus; where the meters do not give all of them, resource by
        resource, so that one that has no meter does not hide the others. None where nothing is known."""
        bus_of = self.book.bus_of()
        metered = await self.meters.by_bus(bus_of, start, end)
        if metered is not None or len(self.book.resources) < 2:
            return metered
        parts = await asyncio.gather(
            *(
                self.meters.by_bus(dict.fromkeys(resource.charger_ids, resource.location), start, end)
                for resource in self.book.resources.values()
            )
        )
        known = [part for part in parts if part is not None]
        together: defaultdict[str, float] = defaultdict(float)
        for bus, kw in (item for part in known for item in part.items()):
            together[bus] += kw
        return dict(together) if known else None

    def _tell_once(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self.notice(text)

    def _tell_not_sold(self) -> None:
        """Once for each limit and run: a problem that no product of this DSO cures is told, not passed over."""
        for need in self.watch.not_sold:
            what = need.reasons[0].partition(" at ")[0] if need.reasons else need.service
            self._tell_once(
                what,
                f"{'; '.join(need.reasons)}: {need.power_kw:g} kW more consumption would cure it, "
                "and the product is a reduction",
            )

    async def _pool(self, problem: Problem) -> None:
        """6.1.1 to the VPPs, their bids 6.1.2, the awards 6.x.1; then the activations."""
        pool = PoolOpening(
            pool_id=self._next_id("pool"),
            service=problem.need.service,
            timestamp=self.now(),
            congestion_point=self.product.congestion_point,
            start=problem.need.start,
            end=problem.need.end,
            max_price_eur_per_kw=problem.max_price_eur_per_kw,
            power_needed_kw=problem.need.power_kw,
        )
        tender = await self.call_for_proposals(pool, to=self.book.vpps(), reply_by=self.now() + ANSWER_TIME)
        result = clear_pool(
            pool,
            tender.proposals,
            self.product,
            used=lambda bid_id: activation_of(bid_id) in self.book.orders,
            fault_of=lambda vpp, bid: self.book.bid_fault(vpp, pool.start, pool.end, self._nominated(bid.baseline_kw)),
        )
        self.unserved_kw[pool.pool_id] = result.unserved_kw
        outcomes = await tender.award(result.accept, done_by=self.now() + ANSWER_TIME, reject=result.reject)
        for vpp, award in result.accept.items():
            if not isinstance(outcomes[vpp], Informed):
                self.notice(f"{vpp} does not stand by its bid {award.bid_id}: {outcomes[vpp]}")
                continue
            order = Ordered(
                activation_id=activation_of(award.bid_id),
                bid_id=award.bid_id,
                vpp=vpp,
                service=pool.service,
                start=pool.start,
                end=pool.end,
                power_kw=award.power_kw,
                price_eur_per_kw=award.price_eur_per_kw,
                baseline_kw=self._nominated(result.bids[vpp].baseline_kw),
                pool=True,
            )
            self.book.orders[order.activation_id] = order
            self.spawn(self._activate_pool(order, pool.max_price_eur_per_kw))

    def _nominated(self, baseline_kw: tuple[float, ...]) -> tuple[float, ...] | None:
        """What counts of a nomination by the product's method: nothing where the baseline is metered."""
        return baseline_kw if self.product.baseline is BaselineMethod.NOMINATION else None

    async def _baseline(self, order: Ordered) -> tuple[float, ...] | None:
        """What the order is measured against: metered, or nominated in the bid; never what is only claimed now."""
        baseline = await self._measured_baseline(order) or order.baseline_kw
        return baseline if baseline and len(baseline) == order.periods else None

    # ---- measurements, volume and payment ------------------------------------------------------------------------

    @answers(MeasurementsQuery)
    async def on_measurements_query(self, query: MeasurementsQuery, incoming: Incoming) -> Inform | Refuse:
        """1.2.6: what the meters measured during an activation; for a metered baseline, what they did before it."""
        order = self.book.orders.get(query.activation_id)
        if order is None:
            return refusal("unknown-activation", f"{query.activation_id} is not an activation of mine")
        chargers = self.book.chargers_of(order.vpp)
        power = await self.meters.together(chargers, order.start, order.end)
        if power is None:
            return refusal("no-measurements", "the meters do not answer")
        return Inform(
            MeasurementsCollection(
                activation_id=order.activation_id,
                service=order.service,
                start=order.start,
                end=order.end,
                period_minutes=15,
                power_kw=power,
                baseline_kw=await self._measured_baseline(order),
            )
        )

    async def _measured_baseline(self, order: Ordered) -> tuple[float, ...] | None:
        """Where the product's baseline is measured: what the DSO's own meters make of it. None for a nomination."""
        if self.product.baseline is not BaselineMethod.METER_BEFORE_METER_AFTER:
            return None
        start = order.start - BEFORE_READINGS * QUARTER
        before = await self.meters.together(self.book.chargers_of(order.vpp), start, order.start)
        if before is None:
            return None
        return tuple(round(float(kw), 3) for kw in meter_before_meter_after(before, order.periods))

    @answers(DeliveredVolume)
    async def on_delivered_volume(self, volume: DeliveredVolume, incoming: Incoming) -> AcceptProposal | RejectProposal:
        """1.x.5: "the DSO and the VPP validate the delivered volume": the DSO by its own meters."""
        order = self.book.orders.get(volume.activation_id)
        if order is None or order.vpp != incoming.sender:
            return _disputed(volume, f"{volume.activation_id} is not an activation of yours")
        if order.end > self.now():
            return _disputed(volume, "the activation is not over")
        own = await self.meters.together(self.book.chargers_of(order.vpp), order.start, order.end)
        if own is None:
            return _disputed(volume, "the meters do not answer")
        baseline = await self._baseline(order)
        if baseline is None:
            return _disputed(volume, "there is no baseline to hold it against")
        if fault := volume_fault(order, volume, baseline, own, self.volume_tolerance):
            order.agreed_kw = delivered_kw(order, baseline, own)  # what is disputed is paid by one's own meters
            return _disputed(volume, fault)
        order.agreed_kw = volume.delivered_kw
        if order.pool and not order.paid:
            order.paid = True
            self._pay_pool(order, baseline, own)
        return AcceptProposal(VolumeAnswer(activation_id=volume.activation_id))

    async def _close(self, order: Ordered) -> None:
        """A VPP that claims nothing owes the penalty for what it did not deliver; one that claimed something else than
        the meters show is settled by the meters."""
        await self.clock.sleep_until(order.end + CLAIM_TIME)
        own = await self.meters.together(self.book.chargers_of(order.vpp), order.start, order.end)
        baseline = await self._baseline(order)
        if order.paid or own is None or not baseline:
            return
        order.paid = True
        if order.agreed_kw is not None:
            self._pay_pool(order, baseline, own)
            return
        penalty = self._settled(order, baseline, own).penalty_eur
        self.notice(f"no volume was agreed for {order.activation_id}: its penalty is {penalty} EUR")
        self._post(f"penalty-{order.activation_id}", order.activation_id, order.vpp, -penalty)

    def _penalise(self, order: Ordered) -> None:
        """A pool's contract that is not kept at all owes the penalty for its whole power, as one of the market does."""
        order.paid = True
        nothing = [order.power_kw] * order.periods
        penalty = self._settled(order, nothing, nothing).penalty_eur
        self._post(f"penalty-{order.activation_id}", order.activation_id, order.vpp, -penalty)

    def _settled(self, order: Ordered, baseline: Sequence[float], measured: Sequence[float]) -> Settlement:
        return settle(
            list(baseline),
            list(measured),
            order.power_kw,
            order.price_eur_per_kw,
            self.product.penalty_eur_per_kw,
            penalty_for_ordered_only=True,
        )

    def _pay_pool(self, order: Ordered, baseline: Sequence[float], measured: Sequence[float]) -> None:
        """BUC 6 has no market operator: the DSO pays by contract on the agreed volume, and sets a penalty off."""
        amount = self._settled(order, baseline, measured).amount_eur
        self._post(f"pay-{order.activation_id}", order.activation_id, order.vpp, amount)

    @answers(Bill)
    async def on_bill(self, bill: Bill, incoming: Incoming) -> Inform | Refuse:
        """1.2.7: pays what was delivered as agreed; a bill over more than that is refused."""
        order = self.book.orders.get(bill.activation_id)
        if order is None or (bill.payer, bill.payee) != (self.address, order.vpp):
            return refusal("unknown-activation", f"{bill.activation_id} is not an activation of mine with {bill.payee}")
        if fault := bill_fault(order, bill, self.volume_tolerance):
            return refusal(*fault)
        order.paid, order.bill_id = True, bill.bill_id
        if bill.amount_eur > 0:
            try:
                self._post(bill.bill_id, order.activation_id, order.vpp, bill.amount_eur)
            except LedgerError as error:
                return refusal("not-booked", str(error))
        return Inform(Payment(bill_id=bill.bill_id, transaction_id=bill.bill_id, amount_eur=bill.amount_eur))

    def _post(self, transaction_id: str, reference: str, vpp: str, amount: Decimal) -> None:
        if amount != 0:
            account = vpp.partition("@")[0]
            self.ledger.post(transaction_id, self.now(), reference, {self.name: -amount, account: amount})


def _disputed(volume: DeliveredVolume, reason: str) -> RejectProposal:
    return RejectProposal(VolumeAnswer(activation_id=volume.activation_id, reason=reason))
