"""The distribution system operator: knows its grid, buys the flexibility it lacks, checks and pays what it got."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar

import numpy as np

from agents.actor import Actor
from agents.decisions.baseline import meter_before_meter_after
from agents.decisions.clearing import MarketBid, clear
from agents.decisions.settlement import VolumeDisputed, agree_volume, settle
from agents.grid_view import Direction
from agents.grid_watch import GridWatch, Problem, shared
from agents.ids import activation_of
from agents.ledger import Ledger
from agents.periods import QUARTER, next_quarter
from behaviours.answering import AcceptProposal, Agree, Incoming, Inform, Refuse, RejectProposal, answers, refusal
from behaviours.outcomes import Agreed, Informed, Refused
from behaviours.swarm import Swarm
from protocols.exchanges.activation import (
    ActivatedResources,
    ActivatedResourcesSubscription,
    ActivationConfirmation,
    ActivationSignal,
)
from protocols.exchanges.dso_services import PoolActivation, PoolAward, PoolBid, PoolOpening, VppActivationResponse
from protocols.exchanges.plain import Done
from protocols.exchanges.procurement import (
    FlexibilityNeed,
    NeedResult,
    PrequalificationRequest,
    PrequalificationResult,
    ProductRequirements,
)
from protocols.exchanges.services import MeterQuery, MeterReading
from protocols.exchanges.settlement import (
    Bill,
    DeliveredVolume,
    MeasurementsCollection,
    MeasurementsQuery,
    Payment,
    VolumeAnswer,
)
from protocols.exchanges.vocabulary import ActivationStatus, BaselineMethod, ServiceType
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)
ACTIVATION_TIME = timedelta(minutes=8)
"""The VPP asks its CPOs, and these their drivers, before it confirms."""
LOOK_AHEAD_AT = timedelta(minutes=3)
"""So long after a quarter began, the meters are read and the next quarter is looked at."""
FRESH = timedelta(minutes=5)
"""The meters are read as means of so long, the last thing before the look ahead."""
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


@dataclass(slots=True)
class Ordered:
    """An activation: what was bought from whom, and what became of it. `agreed_kw` is the volume both sides hold."""

    activation_id: str
    bid_id: str
    vpp: str
    service: ServiceType
    start: datetime
    end: datetime
    power_kw: float
    price_eur_per_kw: Decimal
    baseline_kw: tuple[float, ...] | None
    pool: bool
    available_kw: float = 0.0
    agreed_kw: tuple[float, ...] | None = None
    paid: bool = False


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
        self.resources: dict[str, PrequalificationRequest] = {}
        self.qualified: dict[str, PrequalificationResult] = {}
        self.orders: dict[str, Ordered] = {}
        self.unserved_kw: dict[str, float] = {}
        self._numbers: defaultdict[str, int] = defaultdict(int)

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
        if question.location not in self.watch.grid.buses:
            return refusal("unknown-bus", f"there is no bus {question.location} in my grid")
        charge, discharge = (
            self.watch.grid.hosting(
                question.location,
                direction,
                self.watch.limits,
                up_to_kw=asked,
                already_kw=self._promised(direction, question),
                between=self.delivery,
            )
            for direction, asked in (
                (Direction.CHARGE, question.max_charge_kw),
                (Direction.DISCHARGE, question.max_discharge_kw),
            )
        )
        reasons = [
            f"{name} {asked:g} kW: {reason}"
            for name, asked, hosting in (
                ("charging", question.max_charge_kw, charge),
                ("discharging", question.max_discharge_kw, discharge),
            )
            if hosting.power_kw < asked
            for reason in hosting.reasons
        ]
        result = PrequalificationResult(
            resource_id=question.resource_id,
            qualified_charge_kw=round(min(charge.power_kw, question.max_charge_kw), 3),
            qualified_discharge_kw=round(min(discharge.power_kw, question.max_discharge_kw), 3),
            reasons=tuple(reasons),
        )
        self.resources[question.resource_id] = question
        self.qualified[question.resource_id] = result
        return Inform(result)

    def _promised(self, direction: Direction, question: PrequalificationRequest) -> dict[str, float]:
        """Discharging that was qualified already, by bus; charging is the consumer's right and is not shared out."""
        promised: defaultdict[str, float] = defaultdict(float)
        if direction is Direction.DISCHARGE:
            for resource_id, result in self.qualified.items():
                if resource_id != question.resource_id:
                    promised[self.resources[resource_id].location] += result.qualified_discharge_kw
        return dict(promised)

    def _flexible(self) -> dict[str, float]:
        """What registered chargers could change at most, by bus."""
        flexible: defaultdict[str, float] = defaultdict(float)
        for resource_id, result in self.qualified.items():
            resource = self.resources[resource_id]
            flexible[resource.location] += resource.max_charge_kw + result.qualified_discharge_kw
        return dict(flexible)

    async def _buy_on_the_market(self, day: Course) -> None:
        """1.x.6 for each window of the evening in which typical charging would break a limit."""
        if not self.qualified:
            self.notice("no resource is prequalified, so nothing can be bought on the market")
            return
        operators = await self.search(role=Role.FMO)
        problems = self.watch.day_ahead(day.first_delivery, day.last_delivery, self.now(), self._flexible())
        for problem in problems:
            need = FlexibilityNeed(
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
            for fmo in operators:
                answer = await self.request(need, to=fmo.jid, reply_by=self.now() + ANSWER_TIME)
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
                baseline_kw=None,
                pool=False,
            )
            self.orders[order.activation_id] = order
            self.spawn(self._activate_market(order))

    # ---- BUC 1.2: activation -------------------------------------------------------------------------------------

    async def _activate_market(self, order: Ordered) -> None:
        """1.2.3 in time for the product's notice; the VPP confirms (1.2.4), the TSO is told (1.x.4)."""
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
        answer = await self.request(
            signal, to=order.vpp, reply_by=self.now() + ACTIVATION_TIME, done_by=order.end + 2 * ANSWER_TIME
        )
        await self._follow(order, answer)

    async def _follow(self, order: Ordered, answer: object) -> None:
        """From the VPP's answer to the end of the service; the TSO hears of each step."""
        if not isinstance(answer, Agreed):
            why = answer.content if isinstance(answer, Refused) else answer
            self.notice(f"activation {order.activation_id} of {order.vpp} does not take place: {why}")
            return
        if isinstance(answer.content, ActivationConfirmation | VppActivationResponse):
            order.available_kw = answer.content.available_power_kw
        await self._tell_tso(order, ActivationStatus.PLANNED)
        await self.clock.sleep_until(order.start)
        await self._tell_tso(order, ActivationStatus.ACTIVE)
        result = await answer.result()
        status = ActivationStatus.ENDED if isinstance(result, Informed) else ActivationStatus.CANCELLED
        await self._tell_tso(order, status)
        if not isinstance(result, Informed):
            self.notice(f"activation {order.activation_id} of {order.vpp} was not completed: {result}")

    @answers(ActivatedResourcesSubscription)
    async def on_subscription(self, topic: ActivatedResourcesSubscription, incoming: Incoming) -> Agree:
        """1.x.4: the TSO wants to know what is activated."""
        return Agree(Done(reference=incoming.message.conversation_id))

    async def _tell_tso(self, order: Ordered, status: ActivationStatus) -> None:
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

    # ---- BUC 6: the pool -----------------------------------------------------------------------------------------

    async def _look_ahead_each_quarter(self) -> None:
        while next_quarter(self.now()) + 2 * QUARTER <= self.until:
            await self.clock.sleep_until(next_quarter(self.now()) + LOOK_AHEAD_AT)
            if self.qualified:
                await self._open_pools()

    async def _open_pools(self) -> None:
        """6.1: looks at the next quarter, and opens a pool for what it would break."""
        start, metered_at = next_quarter(self.now()), self.now() - FRESH
        metered = await self._meter_by_bus(metered_at, self.now())
        if metered is None:
            return
        flexible = self._flexible()
        problems = self.watch.next_quarter(
            start, self.now(), metered, metered_at, self._beginning(start, metered_at), flexible
        )
        for problem in problems:
            await self._pool(problem)

    def _beginning(self, start: datetime, metered_at: datetime) -> dict[str, float]:
        """The change by bus that confirmed activations bring which run at `start` and did not when it was metered."""
        change: defaultdict[str, float] = defaultdict(float)
        for order in self.orders.values():
            if order.start <= start < order.end and order.start > metered_at and order.available_kw > 0:
                weights = {r.location: r.max_charge_kw for r in self.resources.values() if r.vpp == order.vpp}
                for bus, kw in shared(-order.available_kw, weights).items():
                    change[bus] += kw
        return dict(change)

    async def _pool(self, problem: Problem) -> None:
        need = problem.need
        pool = PoolOpening(
            pool_id=self._next_id("pool"),
            service=need.service,
            timestamp=self.now(),
            congestion_point=self.product.congestion_point,
            start=need.start,
            end=need.end,
            max_price_eur_per_kw=problem.max_price_eur_per_kw,
            power_needed_kw=need.power_kw,
        )
        vpps = sorted({r.vpp for r in self.resources.values()})
        tender = await self.call_for_proposals(pool, to=vpps, reply_by=self.now() + ANSWER_TIME)
        bids: dict[str, tuple[str, PoolBid]] = {}
        for proposal in tender.proposals:
            bid = proposal.content
            assert isinstance(bid, PoolBid)
            known = bid.bid_id in bids or activation_of(bid.bid_id) in self.orders
            if bid.pool_id == pool.pool_id and not known:
                bids[bid.bid_id] = (proposal.sender, bid)
        clearing = clear(
            [
                MarketBid(b.bid_id, vpp, b.power_kw, b.price_eur_per_kw, b.timestamp, self._least(b))
                for vpp, b in bids.values()
            ],
            pool.power_needed_kw,
            max_price_eur_per_kw=pool.max_price_eur_per_kw,
            pricing=self.product.pricing,
        )
        awards = {award.bid_id: award for award in clearing.awards}
        accept = {
            award.vpp: PoolAward(
                pool_id=pool.pool_id,
                bid_id=award.bid_id,
                price_eur_per_kw=award.price_eur_per_kw,
                power_kw=award.power_kw,
            )
            for award in awards.values()
        }
        reject = {}
        for proposal in tender.proposals:
            if proposal.sender not in accept:
                bid = proposal.content
                assert isinstance(bid, PoolBid)
                reason = clearing.rejected.get(bid.bid_id, "the bid is not one for this pool")
                reject[proposal.sender] = PoolAward(
                    pool_id=pool.pool_id,
                    bid_id=bid.bid_id,
                    price_eur_per_kw=clearing.clearing_price_eur_per_kw or Decimal(0),
                    power_kw=0.0,
                    reason=reason,
                )
        self.unserved_kw[pool.pool_id] = clearing.unserved_kw
        outcomes = await tender.award(accept, done_by=self.now() + ANSWER_TIME, reject=reject)
        for bid_id, award in awards.items():
            if not isinstance(outcomes[award.vpp], Informed):
                self.notice(f"{award.vpp} does not stand by its bid {bid_id}: {outcomes[award.vpp]}")
                continue
            order = Ordered(
                activation_id=activation_of(bid_id),
                bid_id=bid_id,
                vpp=award.vpp,
                service=pool.service,
                start=pool.start,
                end=pool.end,
                power_kw=award.power_kw,
                price_eur_per_kw=award.price_eur_per_kw,
                baseline_kw=bids[bid_id][1].baseline_kw,
                pool=True,
            )
            self.orders[order.activation_id] = order
            self.spawn(self._activate_pool(order, pool.max_price_eur_per_kw))

    def _least(self, bid: PoolBid) -> float:
        """Less than the product's smallest power is not worth an activation."""
        return min(bid.power_kw, self.product.min_power_kw)

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
        answer = await self.request(
            signal,
            to=order.vpp,
            reply_by=min(order.start, self.now() + ACTIVATION_TIME),
            done_by=order.end + 2 * ANSWER_TIME,
        )
        await self._follow(order, answer)

    # ---- meters, volume and payment ------------------------------------------------------------------------------

    async def _meter(
        self, chargers: Sequence[str], start: datetime, end: datetime, period: timedelta = QUARTER
    ) -> MeterReading | None:
        """Reads the meters at chargers, means of `period`; None where the meters do not answer."""
        query = MeterQuery(
            locations=tuple(f"charger:{c}" for c in chargers),
            start=start,
            end=end,
            period_minutes=period // timedelta(minutes=1),
        )
        for meters in await self.search(role=Role.ENVIRONMENT):
            answer = await self.query_ref(query, to=meters.jid, reply_by=self.now() + ANSWER_TIME)
            if isinstance(answer, Informed) and isinstance(answer.content, MeterReading):
                return answer.content
        self.notice("the meters do not answer; what they would have shown is not known")
        return None

    async def _meter_by_bus(self, start: datetime, end: datetime) -> dict[str, float] | None:
        bus_of = {c: r.location for r in self.resources.values() for c in r.charger_ids}
        reading = await self._meter(sorted(bus_of), start, end, end - start)
        if reading is None:
            return None
        metered: defaultdict[str, float] = defaultdict(float)
        for series in reading.series:
            metered[bus_of[series.location.removeprefix("charger:")]] += float(np.mean(series.power_kw))
        return dict(metered)

    async def _metered(self, order: Ordered, start: datetime, end: datetime) -> tuple[float, ...] | None:
        """What the VPP's registered chargers drew together, quarter by quarter."""
        chargers = sorted({c for r in self.resources.values() if r.vpp == order.vpp for c in r.charger_ids})
        reading = await self._meter(chargers, start, end)
        if reading is None:
            return None
        return tuple(round(float(kw), 3) for kw in np.sum([s.power_kw for s in reading.series], axis=0))

    @answers(MeasurementsQuery)
    async def on_measurements_query(self, query: MeasurementsQuery, incoming: Incoming) -> Inform | Refuse:
        """1.2.6: what the meters measured during an activation; for a metered baseline, what they did before it."""
        order = self.orders.get(query.activation_id)
        if order is None:
            return refusal("unknown-activation", f"{query.activation_id} is not an activation of mine")
        power = await self._metered(order, order.start, order.end)
        if power is None:
            return refusal("no-measurements", "the meters do not answer")
        baseline = None
        if self.product.baseline is BaselineMethod.METER_BEFORE_METER_AFTER:
            baseline = await self._before(order)
        return Inform(
            MeasurementsCollection(
                activation_id=order.activation_id,
                service=order.service,
                start=order.start,
                end=order.end,
                period_minutes=15,
                power_kw=power,
                baseline_kw=baseline,
            )
        )

    async def _before(self, order: Ordered) -> tuple[float, ...] | None:
        before = await self._metered(order, order.start - BEFORE_READINGS * QUARTER, order.start)
        if before is None:
            return None
        return tuple(float(kw) for kw in meter_before_meter_after(before, (order.end - order.start) // QUARTER))

    @answers(DeliveredVolume)
    async def on_delivered_volume(self, volume: DeliveredVolume, incoming: Incoming) -> AcceptProposal | RejectProposal:
        """1.x.5: "the DSO and the VPP validate the delivered volume": the DSO by its own meters."""
        order = self.orders.get(volume.activation_id)
        fault = await self._volume_fault(order, volume, incoming.sender)
        answer = VolumeAnswer(activation_id=volume.activation_id, reason=fault)
        if fault is not None or order is None:
            return RejectProposal(answer)
        order.agreed_kw = volume.delivered_kw
        if order.pool and not order.paid:
            order.paid = True
            self._pay_pool(order, volume)
        return AcceptProposal(answer)

    async def _volume_fault(self, order: Ordered | None, volume: DeliveredVolume, sender: str) -> str | None:
        if order is None or order.vpp != sender:
            return f"{volume.activation_id} is not an activation of yours"
        if order.end > self.now():
            return "the activation is not over"
        own = await self._metered(order, order.start, order.end)
        if own is None:
            return "the meters do not answer"
        baseline = volume.baseline_kw
        if order.baseline_kw is not None and tuple(order.baseline_kw) != tuple(baseline):
            return "the baseline is not the one that was nominated"
        if len(baseline) != len(own):
            return f"the claim has {len(baseline)} periods, the activation {len(own)}"
        delivered = [max(0.0, min(order.power_kw, b - m)) for b, m in zip(baseline, own, strict=True)]
        verdict = agree_volume(volume.delivered_kw, delivered, tolerance_part=self.volume_tolerance)
        return verdict.reason if isinstance(verdict, VolumeDisputed) else None

    def _pay_pool(self, order: Ordered, volume: DeliveredVolume) -> None:
        """BUC 6 has no market operator: the DSO pays by contract on the agreed volume, and sets a penalty off."""
        result = settle(
            list(volume.baseline_kw),
            list(volume.measured_kw),
            order.power_kw,
            order.price_eur_per_kw,
            self.product.penalty_eur_per_kw,
        )
        self._post(f"pay-{order.activation_id}", order.activation_id, order.vpp, result.amount_eur)

    @answers(Bill)
    async def on_bill(self, bill: Bill, incoming: Incoming) -> Inform | Refuse:
        """1.2.7: pays what was delivered as agreed; a bill over more than that is refused."""
        order = self.orders.get(bill.activation_id)
        if order is None or bill.payee != order.vpp:
            return refusal("unknown-activation", f"{bill.activation_id} is not an activation of mine with {bill.payee}")
        if bill.price_eur_per_kw != order.price_eur_per_kw:
            return refusal("wrong-price", f"the bid was awarded at {order.price_eur_per_kw} EUR/kW")
        if order.agreed_kw is None:
            return refusal("no-volume", "the delivered volume was not agreed on")
        agreed_kwh = sum(order.agreed_kw) / 4
        if abs(bill.volume_kwh - agreed_kwh) > max(0.1, self.volume_tolerance * agreed_kwh):
            return refusal("wrong-volume", f"{agreed_kwh:.3f} kWh were agreed, {bill.volume_kwh:.3f} are billed")
        order.paid = True
        if bill.amount_eur > 0:
            self._post(bill.bill_id, order.activation_id, order.vpp, bill.amount_eur)
        return Inform(Payment(bill_id=bill.bill_id, transaction_id=bill.bill_id, amount_eur=bill.amount_eur))

    def _post(self, transaction_id: str, reference: str, vpp: str, amount: Decimal) -> None:
        if amount != 0:
            account = vpp.partition("@")[0]
            self.ledger.post(transaction_id, self.now(), reference, {self.name: -amount, account: amount})

    def _next_id(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{self.name}-{kind}-{self._numbers[kind]}"
