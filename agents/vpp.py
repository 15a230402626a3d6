"""The virtual power plant: aggregates vehicles, bids what they can keep, activates it, proves what was delivered."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.bidding import NoOffer, Offer, Strategy
from agents.decisions.money import cents
from agents.decisions.planning import Costs
from agents.delivery import DeliveryDesk
from agents.ledger import Ledger, LedgerError
from agents.portfolio import Part, Portfolio, Promise, Stage, View
from behaviours.answering import Failure, Incoming, Inform, Propose, Refuse, answers, cancels, failure, refusal
from behaviours.outcomes import Agreed, Informed, Refused
from behaviours.swarm import Swarm
from protocols.acl import Performative
from protocols.exchanges.activation import (
    ActivationConfirmation,
    ActivationSignal,
    DataMeasurements,
    DataRequest,
    DischargeLimit,
)
from protocols.exchanges.content import Content
from protocols.exchanges.dso_services import (
    CpoActivation,
    PoolActivation,
    PoolAward,
    PoolBid,
    PoolOpening,
    VppActivationResponse,
)
from protocols.exchanges.plain import Cancellation, Done
from protocols.exchanges.procurement import (
    Bid,
    MarketResult,
    RegistrationResult,
    RequestForBids,
    ResourceRegistration,
)
from protocols.exchanges.settlement import (
    Bill,
    MeasurementsCollection,
    MeasurementsQuery,
    Payment,
)
from protocols.exchanges.vocabulary import BaselineMethod, DataType
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)
DATA_TIME = timedelta(minutes=1)
"""A CPO has its data at hand; one that does not answer must not keep the others from bidding."""
ACTIVATION_TIME = timedelta(minutes=5)
"""A CPO must ask its drivers, in two rounds of two minutes, before it answers."""
LEAST_SHARE = 0.02
"""An activation of which the CPOs keep a smaller part is refused."""
IN_HAND = timedelta(minutes=1)
"""Who must ask others before it answers has its own answer ready by so much before it is due."""


@dataclass(slots=True)
class UnderWay:
    """The CPOs that agreed to an activation, so that it can be called off or waited for."""

    agreed: list[Agreed] = field(default_factory=list)


class Vpp(Actor):
    """D5.1 section 3.1: GEN-I "will play the role of an aggregator (VPP)"; it registers its resources, creates "a bid
    strategy based on data, such as consumption, generation, EV's battery state of charge (SoC), projected usage",
    checks before an activation "if the status matches the prediction", activates the units and acknowledges."""

    role: ClassVar[Role] = Role.VPP

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        product_id: str,
        strategy: Strategy,
        costs: Costs,
        efficiency: Mapping[str, tuple[float, float]],
        registrations: Sequence[datetime],
        ledger: Ledger,
        min_power_kw: float,
        granularity_kw: float,
        baseline: BaselineMethod = BaselineMethod.NOMINATION,
        feed_in_eur_per_kwh: float = 0.0,
        penalty_eur_per_kw: Decimal | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.product_id = product_id
        self.portfolio = Portfolio(strategy, costs, feed_in_eur_per_kwh)
        self.efficiency = efficiency
        self.registrations = tuple(registrations)
        self.ledger = ledger
        self.delivery = DeliveryDesk(self, self.portfolio, ledger, baseline, self._measurements, penalty_eur_per_kw)
        self.min_power_kw = min_power_kw
        self.granularity_kw = granularity_kw
        self.penalty_eur_per_kw = penalty_eur_per_kw
        self.qualified_kw: dict[str, RegistrationResult] = {}
        self.discharge_limits: dict[str, float] = {}
        self._registered_kw: dict[str, float] = {}
        self._under_way: dict[str, UnderWay] = {}
        self._numbers: defaultdict[str, int] = defaultdict(int)

    def _next_id(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{self.name}-{kind}-{self._numbers[kind]}"

    async def course(self) -> None:
        """Registers the chargers of its CPOs as resources, one for each CPO and bus (1.x.2); those that the register
        has already stay in it from one day to the next."""
        self.spawn(self.delivery.keep_readings())
        for at in self.registrations:
            await self.clock.sleep_until(at)
            await self._register_resources()

    async def _register_resources(self) -> None:
        operators = await self.search(role=Role.FMO)
        for cpo, report in (await self._reports()).items():
            by_bus: defaultdict[str, list[int]] = defaultdict(list)
            for number, charger in enumerate(report.chargers):
                by_bus[charger.location].append(number)
            for bus, numbers in by_bus.items():
                resource_id = f"{self.name}/{cpo.partition('@')[0]}/{bus}"
                if resource_id in self.qualified_kw:
                    continue
                chargers = [report.chargers[n] for n in numbers]
                registration = ResourceRegistration(
                    resource_id=resource_id,
                    product_id=self.product_id,
                    cpo=cpo,
                    location=bus,
                    charger_ids=tuple(c.charger_id for c in chargers),
                    max_charge_kw=sum(c.max_charge_kw for c in chargers),
                    max_discharge_kw=sum(c.max_discharge_kw for c in chargers),
                    energy_kwh=sum(c.capacity_kwh or 0.0 for c in chargers),
                )
                for fmo in operators:
                    answer = await self.request(registration, to=fmo.jid, reply_by=self.now() + ANSWER_TIME)
                    if isinstance(answer, Agreed):
                        answer = await answer.result(self.now() + 2 * ANSWER_TIME)
                    if isinstance(answer, Informed) and isinstance(answer.content, RegistrationResult):
                        self.qualified_kw[registration.resource_id] = answer.content
                        self._registered_kw[registration.resource_id] = registration.max_charge_kw
                        self.portfolio.registered_kw = sum(self._registered_kw.values())
                        if answer.content.qualified_discharge_kw < registration.max_discharge_kw:
                            self.discharge_limits[bus] = answer.content.qualified_discharge_kw
                    else:
                        self.notice(f"resource {registration.resource_id} is not in the register: {answer}")

    def _within(self, patience: timedelta, due: datetime | None) -> datetime:
        """The end of one's patience with others, early enough for one's own answer that is `due`."""
        until = self.now() + patience
        return until if due is None else max(self.now(), min(until, due - IN_HAND))

    async def _reports(
        self, data_type: DataType = DataType.STATUS, due: datetime | None = None
    ) -> dict[str, DataMeasurements]:
        """1.2.1 to every CPO with which it has a contract; what they answer (1.2.2), by JID."""
        reply_by = self._within(DATA_TIME, due)
        cpos = await self.search(role=Role.CPO, service=f"flexibility:{self.name}")
        request_id = self._next_id("request")

        async def ask(cpo: str) -> DataMeasurements | None:
            request = DataRequest(
                request_id=f"{request_id}/{cpo.partition('@')[0]}", data_type=data_type, timestamp=self.now()
            )
            answer = await self.query_ref(request, to=cpo, reply_by=reply_by)
            if isinstance(answer, Informed) and isinstance(answer.content, DataMeasurements):
                return answer.content
            self.notice(f"{cpo} gives no data: {type(answer).__name__.lower()}")
            return None

        replies = await asyncio.gather(*(ask(entry.jid) for entry in cpos))
        reports = {entry.jid: reply for entry, reply in zip(cpos, replies, strict=True) if reply is not None}
        self.delivery.heard(reports.values())
        return reports

    async def _measurements(self) -> dict[str, DataMeasurements]:
        return await self._reports(DataType.MEASUREMENTS)

    async def _view(self, due: datetime | None) -> View:
        return View.of(self.now(), await self._reports(due=due), self.efficiency, self.discharge_limits)

    # ---- BUC 1.1: the market -------------------------------------------------------------------------------------

    @answers(RequestForBids)
    async def on_request_for_bids(self, call: RequestForBids, incoming: Incoming) -> Propose | Refuse:
        """1.x.7: the FMO asks for bids; the answer is 1.1.1, a bid that the vehicles can really keep."""
        if not self.qualified_kw:
            return refusal("not-registered", "none of my resources is in the flexibility register")
        view = await self._view(incoming.reply_by)
        found = self._best_offer(view, call)
        if isinstance(found, NoOffer):
            return refusal(found.code, found.reason)
        promise = self._promise(view, call, found.power_kw, found.price_eur_per_kw, incoming.sender, "bid")
        return Propose(
            Bid(
                bid_id=promise.bid_id,
                market_id=call.market_id,
                timestamp=self.now(),
                price_eur_per_kw=promise.price_eur_per_kw,
                power_kw=promise.power_kw,
                min_power_kw=found.min_power_kw,
                location=call.congestion_point,
                start=call.start,
                end=call.end,
                baseline_kw=promise.baseline_kw,
            ),
            reply_by=call.start,
        )

    def _best_offer(self, view: View, call: RequestForBids | PoolOpening) -> Offer | NoOffer:
        return self.portfolio.best_offer(
            view,
            call.start,
            call.end,
            needed_kw=call.power_needed_kw,
            max_price_eur_per_kw=call.max_price_eur_per_kw,
            min_power_kw=self.min_power_kw,
            granularity_kw=self.granularity_kw,
        )

    def _promise(
        self,
        view: View,
        call: RequestForBids | PoolOpening,
        power_kw: float,
        price: Decimal,
        buyer: str,
        kind: str,
    ) -> Promise:
        window = view.window(call.start, call.end)
        assert window is not None
        promise = Promise(
            bid_id=self._next_id(kind),
            service=call.service,
            congestion_point=call.congestion_point,
            start=call.start,
            end=call.end,
            power_kw=power_kw,
            price_eur_per_kw=price,
            baseline_kw=tuple(round(float(kw), 3) for kw in self.portfolio.baseline(view)[window.start : window.stop]),
            buyer=buyer,
        )
        self.portfolio.promises[promise.bid_id] = promise
        return promise

    @answers(MarketResult, on=Performative.ACCEPT_PROPOSAL)
    async def on_market_result(self, result: MarketResult, incoming: Incoming) -> Inform | Failure:
        """1.1.2: what was cleared is promised from now on."""
        promise = self._offered(incoming.offer, result.bid_id)
        if promise is None:
            return failure("unknown-bid", f"{result.bid_id} is not what I offered here")
        promise.power_kw = result.cleared_power_kw
        promise.price_eur_per_kw = result.market_price_eur_per_kw
        promise.stage = Stage.AWARDED
        return Inform(Done(reference=result.bid_id))

    @answers(MarketResult, on=Performative.REJECT_PROPOSAL)
    async def on_market_rejection(self, result: MarketResult, incoming: Incoming) -> None:
        """1.1.2: nothing cleared; the vehicles are free again."""
        self._withdraw(incoming.offer)

    def _offered(self, offer: Content | None, bid_id: str) -> Promise | None:
        """The promise behind the offer that is awarded, None where the award names another bid."""
        same = isinstance(offer, Bid | PoolBid) and offer.bid_id == bid_id
        return self.portfolio.promises.get(bid_id) if same else None

    def _withdraw(self, offer: Content | None) -> None:
        if isinstance(offer, Bid | PoolBid):
            self.portfolio.promises.pop(offer.bid_id, None)

    # ---- BUC 6.1: the DSO's pool ---------------------------------------------------------------------------------

    @answers(PoolOpening)
    async def on_pool_opening(self, pool: PoolOpening, incoming: Incoming) -> Propose | Refuse:
        """6.1.1: "they will evaluate their flexibility, determine their bidding strategy, and submit bids" (6.1.2)."""
        view = await self._view(incoming.reply_by)
        found = self._best_offer(view, pool)
        if isinstance(found, NoOffer):
            return refusal(found.code, found.reason)
        promise = self._promise(view, pool, found.power_kw, found.price_eur_per_kw, incoming.sender, "pool-bid")
        return Propose(
            PoolBid(
                pool_id=pool.pool_id,
                bid_id=promise.bid_id,
                timestamp=self.now(),
                price_eur_per_kw=promise.price_eur_per_kw,
                power_kw=promise.power_kw,
                baseline_kw=promise.baseline_kw,
            ),
            reply_by=pool.start,
        )

    @answers(PoolAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_pool_award(self, award: PoolAward, incoming: Incoming) -> Inform | Failure:
        """6.x.1: the contract on which an activation of BUC 6.2 rests."""
        promise = self._offered(incoming.offer, award.bid_id)
        if promise is None:
            return failure("unknown-bid", f"{award.bid_id} is not what I offered here")
        promise.power_kw, promise.price_eur_per_kw = award.power_kw, award.price_eur_per_kw
        promise.stage = Stage.AWARDED
        return Inform(Done(reference=award.bid_id))

    @answers(PoolAward, on=Performative.REJECT_PROPOSAL)
    async def on_pool_rejection(self, award: PoolAward, incoming: Incoming) -> None:
        """6.x.1: not chosen."""
        self._withdraw(incoming.offer)

    # ---- BUC 1.2 and 6.2: activation -----------------------------------------------------------------------------

    @answers(ActivationSignal)
    async def on_activation_signal(self, signal: ActivationSignal, incoming: Incoming) -> Inform | Refuse | Failure:
        """1.2.3: activates the flexibility units that meet the bid, and acknowledges to the DSO (1.2.4)."""
        if fault := self._fault(signal, incoming.sender):
            return Refuse(
                ActivationConfirmation(activation_id=signal.activation_id, available_power_kw=0.0, reason=fault)
            )
        available = await self._activate(signal, incoming.reply_by)
        answer = ActivationConfirmation(
            activation_id=signal.activation_id,
            available_power_kw=available,
            reason=self._shortage(signal.power_kw, available),
        )
        if available < LEAST_SHARE * signal.power_kw:
            await self._call_off(signal)
            return Refuse(answer)
        return await self._deliver(signal, answer, incoming)

    @answers(PoolActivation)
    async def on_pool_activation(self, signal: PoolActivation, incoming: Incoming) -> Inform | Refuse | Failure:
        """6.2.1: as contracted; the answer 6.2.5 "will then offer the available amount of flexibility to the DSO"."""
        fault = self._fault(signal, incoming.sender)
        available = 0.0 if fault else await self._activate(signal, incoming.reply_by)
        accepted = not fault and available >= LEAST_SHARE * signal.power_kw
        answer = VppActivationResponse(
            activation_id=signal.activation_id,
            accepted=accepted,
            available_power_kw=available,
            reason=fault or self._shortage(signal.power_kw, available),
        )
        if not accepted:
            if not fault:
                await self._call_off(signal)
            return Refuse(answer)
        return await self._deliver(signal, answer, incoming)

    def _fault(self, signal: ActivationSignal | PoolActivation, sender: str) -> str | None:
        """Why this signal must not be followed: unknown or used bids, another's bid, other terms than awarded."""
        promise = self.portfolio.promises.get(signal.bid_id)
        if promise is None or promise.stage is Stage.OFFERED:
            return f"bid {signal.bid_id} was never awarded"
        if promise.stage is not Stage.AWARDED:
            return f"bid {signal.bid_id} is activated already, by {promise.activation_id}"
        if isinstance(signal, PoolActivation) and sender != promise.buyer:
            return f"bid {signal.bid_id} was not awarded by you"
        if (signal.start, signal.end) != (promise.start, promise.end):
            return f"bid {signal.bid_id} is for another time"
        if (signal.congestion_point, signal.service) != (promise.congestion_point, promise.service):
            return f"bid {signal.bid_id} is for {promise.service} at {promise.congestion_point}"
        if signal.power_kw > promise.power_kw + 1e-6:
            return f"bid {signal.bid_id} was awarded {promise.power_kw:g} kW, not {signal.power_kw:g}"
        if signal.start < self.now():
            return "the start has passed"
        return None

    @staticmethod
    def _shortage(ordered: float, available: float) -> str | None:
        return None if available >= ordered - 0.1 else f"{available:.1f} of {ordered:.1f} kW are available"

    async def _activate(self, signal: ActivationSignal | PoolActivation, due: datetime | None) -> float:
        """Checks the status of its vehicles, asks the CPOs for their parts, and returns the kW that they agreed to."""
        promise = self.portfolio.promises[signal.bid_id]
        promise.stage, promise.activation_id = Stage.ACTIVATED, signal.activation_id
        promise.power_kw = signal.power_kw
        view = await self._view(due)
        parts = self.portfolio.split(view, promise)
        under_way = self._under_way[signal.activation_id] = UnderWay()

        async def ask(cpo: str, part: Part) -> float:
            answer = await self.request(
                self._order(signal, part),
                to=cpo,
                reply_by=min(signal.start, self._within(ACTIVATION_TIME, due)),
                done_by=signal.end + ANSWER_TIME,
            )
            if not isinstance(answer, Agreed):
                if not isinstance(answer, Refused):
                    self.notice(f"{cpo} does not answer to activation {signal.activation_id}")
                return 0.0
            under_way.agreed.append(answer)
            kept = float(getattr(answer.content, "available_power_kw", 0.0))
            promise.parts_kw[cpo] = kept
            return kept

        kept = sum(await asyncio.gather(*(ask(cpo, part) for cpo, part in parts.items())))
        return min(signal.power_kw, round(kept, 1))

    def _order(self, signal: ActivationSignal | PoolActivation, part: Part) -> ActivationSignal | CpoActivation:
        if isinstance(signal, ActivationSignal):
            return ActivationSignal(
                activation_id=signal.activation_id,
                bid_id=signal.bid_id,
                service=signal.service,
                congestion_point=signal.congestion_point,
                start=signal.start,
                end=signal.end,
                power_kw=part.power_kw,
                ceiling_kw=part.ceiling_kw,
                discharge_limits=self._discharge_limits(),
            )
        return CpoActivation(
            activation_id=signal.activation_id,
            bid_id=signal.bid_id,
            service=signal.service,
            congestion_point=signal.congestion_point,
            start=signal.start,
            end=signal.end,
            max_price_eur_per_kw=signal.max_price_eur_per_kw,
            power_kw=part.power_kw,
            ceiling_kw=part.ceiling_kw,
            discharge_limits=self._discharge_limits(),
        )

    def _discharge_limits(self) -> tuple[DischargeLimit, ...]:
        """Where the prequalification left a resource less than its chargers could give."""
        return tuple(
            DischargeLimit(location=bus, max_discharge_kw=kw) for bus, kw in sorted(self.discharge_limits.items())
        )

    async def _deliver(
        self,
        signal: ActivationSignal | PoolActivation,
        answer: ActivationConfirmation | VppActivationResponse,
        incoming: Incoming,
    ) -> Inform | Failure:
        """Agrees, and sees the service through; when it is over, claims the volume (1.x.5)."""
        if not await incoming.agree(answer):  # the DSO has given up waiting: nobody pays for it
            await self._call_off(signal)
            return failure("too-late", "the answer came too late")
        promise = self.portfolio.promises[signal.bid_id]
        await self.delivery.measure(promise)
        promise.stage = Stage.DELIVERED
        for agreed in self._under_way.pop(signal.activation_id, UnderWay()).agreed:
            await agreed.result()
        self.spawn(self.delivery.claim(promise))
        return Inform(Done(reference=signal.activation_id))

    @cancels(ActivationSignal)
    async def on_cancel_activation_signal(self, signal: ActivationSignal, incoming: Incoming) -> Inform:
        """The DSO calls the service off: so does the VPP with its CPOs."""
        return await self._call_off(signal)

    @cancels(PoolActivation)
    async def on_cancel_pool_activation(self, signal: PoolActivation, incoming: Incoming) -> Inform:
        """The DSO calls the service off: so does the VPP with its CPOs."""
        return await self._call_off(signal)

    async def _call_off(self, signal: ActivationSignal | PoolActivation) -> Inform:
        promise = self.portfolio.promises.get(signal.bid_id)
        if promise is not None:
            promise.stage = Stage.DELIVERED
        under_way = self._under_way.get(signal.activation_id, UnderWay())
        called_off, under_way.agreed = under_way.agreed, []  # who agrees only now is called off by the next call
        for agreed in called_off:
            reason = Cancellation(reference=signal.activation_id, reason="the service is no longer needed")
            await agreed.cancel(reason, self.now() + ANSWER_TIME)
        return Inform(Done(reference=signal.activation_id))

    # ---- settlement ----------------------------------------------------------------------------------------------

    @answers(MeasurementsQuery)
    async def on_measurements_query(self, query: MeasurementsQuery, incoming: Incoming) -> Inform | Refuse:
        """1.2.6: what the chargers' registers measured, and the nominated baseline."""
        promise = self.portfolio.by_activation(query.activation_id)
        if promise is None:
            return refusal("unknown-activation", f"{query.activation_id} is not an activation of mine")
        if not promise.measured_kw:  # it was never activated, or called off: there is nothing to show
            return refusal("no-measurements", f"nothing was measured for {query.activation_id}")
        return Inform(
            MeasurementsCollection(
                activation_id=query.activation_id,
                service=promise.service,
                start=promise.start,
                end=promise.end,
                period_minutes=15,
                power_kw=tuple(round(kw, 3) for kw in promise.measured),
                baseline_kw=promise.baseline_kw,
            )
        )

    @answers(Bill)
    async def on_bill(self, bill: Bill, incoming: Incoming) -> Inform | Refuse:
        """1.2.7: a bill over what was earned is acknowledged; a penalty is paid, also for what was never activated."""
        promise = self.portfolio.by_activation(bill.activation_id)
        if promise is None or bill.payee != self.address:
            return refusal("unknown-activation", f"{bill.activation_id} is not an activation of mine")
        if bill.price_eur_per_kw != promise.price_eur_per_kw:
            return refusal("wrong-price", f"the bid was awarded at {promise.price_eur_per_kw} EUR/kW")
        if promise.bill_id not in (None, bill.bill_id):
            return refusal("used-reference", f"{bill.activation_id} was billed already, by {promise.bill_id}")
        most = self._most_penalty(promise)
        if most is not None and bill.penalty_eur > most:
            return refusal("wrong-penalty", f"the penalty for {promise.power_kw:g} kW is {most} EUR at most")
        promise.bill_id = bill.bill_id
        if bill.amount_eur < 0:
            debtor, creditor = bill.payee.partition("@")[0], bill.payer.partition("@")[0]
            entries = {debtor: bill.amount_eur, creditor: -bill.amount_eur}
            try:
                self.ledger.post(bill.bill_id, self.now(), bill.activation_id, entries)
            except LedgerError as error:
                return refusal("not-booked", str(error))
        return Inform(Payment(bill_id=bill.bill_id, transaction_id=bill.bill_id, amount_eur=bill.amount_eur))

    def _most_penalty(self, promise: Promise) -> Decimal | None:
        """What is owed where nothing at all was delivered, EUR; None where the product's penalty is not known."""
        if self.penalty_eur_per_kw is None:
            return None
        return cents(Decimal(repr(promise.power_kw)) * promise.periods * self.penalty_eur_per_kw)
