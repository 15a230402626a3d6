"""DR services for grid congestion management, the V2X manager's side (D5.1 3.3, BUC 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import is_
from typing import Any

from agents.congestion_book import SAME_KW, Help, Offered, energy_kwh
from agents.congestion_customers import WAVE_TIME, Willing, ask, award, pay_all
from agents.congestion_settling import against
from agents.decisions.congestion_offer import Willingness, decide
from agents.decisions.merit_order import Activation, CongestionTerms, Entry, Service, activations, merit_order
from agents.decisions.retail_plan import hours_needed
from agents.decisions.vehicle_offer import LEAST_OFFER_KW, SLACK
from agents.parking import Lot, Parking
from agents.periods import QUARTER, next_quarter, quarter_at, quarters
from agents.quarter_cycle import MANAGER_TIME, MEASURED_AFTER
from agents.v2x_desk import REVERSION
from behaviours.answering import (
    AcceptProposal,
    Agree,
    Failure,
    Incoming,
    Inform,
    Propose,
    Refuse,
    RejectProposal,
    answers,
    cancels,
    failure,
    refusal,
)
from behaviours.swarm import Swarm
from protocols.acl import Performative
from protocols.exchanges.activation import SessionAnnouncement
from protocols.exchanges.congestion_services import (
    BusSchedule,
    ChargingSchedule,
    CongestionCall,
    CongestionSettlement,
    FlexibilityActivation,
    ScheduleSubscription,
    SettlementAnswer,
    SolutionAward,
    SolutionOffer,
)
from protocols.exchanges.plain import Done, Reason
from protocols.exchanges.vocabulary import ServiceType

TOLD_PERIODS = 12
"""So many market periods ahead the DSO is told the schedule (3.x.5)."""
CHECKED_AFTER = timedelta(minutes=1)
"""So long after it was set a charger must do as it was told."""
KEPT = timedelta(days=1)


class CongestionHelp(Parking):
    """D5.1 3.3: the V2X manager "defines the merit order list of flexibility activations when it receives the request
    from the DSO", "employs a decision algorithm to decide whether it will take part", "delivers the request to
    customers", and when the service is no longer needed stops "and resume[s] normal operations"."""

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        lot: Lot,
        congestion: CongestionTerms | None = None,
        **options: Any,
    ) -> None:
        """`congestion`: how it reckons; by default with the lot's wear and minimum benefit."""
        super().__init__(jid, password, swarm, lot=lot, **options)
        self.terms = congestion or CongestionTerms(lot.wear_eur_per_kwh, lot.minimum_benefit_eur_per_kwh)
        self.willingness = Willingness()
        self._offers: dict[str, Offered] = {}
        self._helps: dict[str, Help] = {}
        """Services under way, and for `KEPT` those that are over, by the call's id."""
        self._disobeyed: set[str] = set()
        """Chargers that did not do as they were told; they are offered again when the next vehicle is there."""

    # ---- 3.x.5: the schedule -------------------------------------------------------------------------------------

    @answers(ScheduleSubscription)
    async def on_schedule_subscription(self, topic: ScheduleSubscription, incoming: Incoming) -> Agree:
        """3.x.5: the DSO hears the plan each quarter of an hour, and whenever new prices change it."""
        return Agree(Done(reference=topic.request_id))

    async def _publish(self) -> None:
        start = next_quarter(self.now())
        buses: dict[str, list[float]] = {}
        for charger_id, bus in self.desk.bus.items():
            planned = self.planned_kw(charger_id, start, TOLD_PERIODS)
            known = buses.setdefault(bus, [0.0] * TOLD_PERIODS)
            buses[bus] = [a + b for a, b in zip(known, planned, strict=True)]
        told = tuple(BusSchedule(bus=bus, power_kw=tuple(round(kw, 3) for kw in p)) for bus, p in buses.items())
        for topic in self.subscriptions(ScheduleSubscription):
            schedule = ChargingSchedule(request_id=topic.request_id, timestamp=self.now(), start=start, buses=told)
            await self.publish(ScheduleSubscription, schedule, partial(is_, topic))

    async def on_prices(self, now: datetime) -> None:
        await super().on_prices(now)
        await self._publish()

    async def on_session(self, session: SessionAnnouncement) -> None:
        await super().on_session(session)
        await self._publish()  # an offer's baseline is held against what was told

    # ---- 3.1 and 3.x.1: call and offer ---------------------------------------------------------------------------

    @answers(CongestionCall)
    async def on_congestion_call(self, call: CongestionCall, incoming: Incoming) -> Propose | Refuse:
        """3.1: who can draw less, what does it cost, and is it worth taking part?"""
        if fault := self._misfit(call):
            return refusal("not-possible", fault)
        await self.read()
        self.replan()
        now = self.now()
        service = Service(
            call.start,
            timedelta(minutes=call.duration_minutes) // QUARTER,
            float(call.reduction_price_eur_per_kwh),
            float(call.discharging_price_eur_per_kwh),
        )
        found, why_not = self._available(call, service, now)
        entries = merit_order(found, call.request_id)
        if not entries:
            return refusal(*why_not)
        decision = decide(entries, call.power_kw, service, self.terms, self.willingness)
        if decision.power_kw < LEAST_OFFER_KW:
            return refusal(
                "not-worth-it",
                f"{decision.benefit_eur_per_kwh:.3f} EUR/kWh are expected,"
                f" and {self.terms.minimum_benefit:.3f} EUR/kWh is the least",
            )
        until = min(call.start, max(now, incoming.reply_by or now) + MANAGER_TIME)
        at_buses = [c for c, bus in self.desk.bus.items() if bus in call.buses]
        nominated = {c: self.planned_kw(c, call.start, service.periods) for c in at_buses}
        offered = Offered(call, service, entries, decision.power_kw, nominated, until)
        self._offers[incoming.message.conversation_id] = offered
        return Propose(self._as_offer(offered), reply_by=until)

    def _misfit(self, call: CongestionCall) -> str | None:
        """Why nobody could serve this call."""
        if call.service is not ServiceType.CONGESTION_MANAGEMENT:
            return f"a call of congestion management is not for {call.service}"
        if call.start <= self.now():
            return "the start has passed"
        if call.start != quarter_at(call.start):
            return "a service begins with a quarter of an hour"
        if not set(call.buses) & set(self.desk.bus.values()):
            return f"no charger of mine is at {', '.join(call.buses)}"
        return None

    def _available(
        self, call: CongestionCall, service: Service, now: datetime
    ) -> tuple[list[Activation], tuple[str, str]]:
        """The activations of all vehicles that are free; or why there is none, as a code and in words."""
        first = quarter_at(now)
        found: list[Activation] = []
        why_not = ("no-vehicle", "no vehicle is there whose driver told of its departure")
        self._lapse(now)
        held = {c for each in self._offers.values() for c in each.alternatives()}
        for vehicle in self.vehicles(now):
            if self.desk.bus[vehicle.id] not in call.buses:
                continue
            if vehicle.id in held or not self._free(vehicle.id, service.start):
                if why_not[0] == "no-vehicle":
                    why_not = ("promised", "every vehicle that is there is promised or offered to another service")
                continue
            prices = [self.price_at(first + k * QUARTER) for k in range(quarters(first, vehicle.departure))]
            plan = self.planned_kw(vehicle.id, first, len(prices))
            mine = activations(
                vehicle,
                self.desk.bus[vehicle.id],
                plan,
                prices,
                first,
                service,
                self.terms,
                lambda car, by, set_to: self.plan(car, by, {**self.committed_kw(car.id, car.at), **set_to}),
            )
            found += mine
            why_not = (
                ("no-room", "no vehicle can draw less, leave as promised, and be paid for it") if not mine else why_not
            )
        return found, why_not

    def _free(self, charger_id: str, start: datetime) -> bool:
        """Whether it may be promised from `start` on: nobody has it, or a congestion service that is over by then."""
        if charger_id in self._disobeyed:
            return False
        service_id = self.claimed.get(charger_id)
        serving = [help_ for help_ in self._helps.values() if charger_id in help_.serving and help_.ended is None]
        claimed_else = service_id is not None and service_id not in self._helps
        return not claimed_else and all(help_.end <= start for help_ in serving)

    def _as_offer(self, offered: Offered) -> SolutionOffer:
        return SolutionOffer(
            request_id=offered.call.request_id,
            timestamp=self.now(),
            power_kw=offered.power_kw,
            baseline_kw=offered.baseline_kw,
            activations=tuple(_told(entry) for entry in offered.entries),
        )

    @answers(Reason, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: Reason, incoming: Incoming) -> None:
        """The DSO has chosen others."""
        self._offers.pop(incoming.message.conversation_id, None)

    def _lapse(self, now: datetime) -> None:
        self._offers = {key: each for key, each in self._offers.items() if each.until >= now}

    # ---- 3.x.2 and 3.2: award, and the customers -----------------------------------------------------------------

    @answers(SolutionAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_solution_award(self, award: SolutionAward, incoming: Incoming) -> Inform | Failure:
        """3.x.2: asks the drivers, serves, and answers when it is over."""
        offered = self._offers.pop(incoming.message.conversation_id, None)
        if offered is None or offered.call.request_id != award.request_id:
            return failure("not-as-offered", "that offer does not stand any more")
        if award.power_kw > offered.power_kw + SAME_KW:
            return failure("not-as-offered", f"{award.power_kw:g} kW are more than the {offered.power_kw:g} kW offered")
        if offered.call.start <= self.now():
            return failure("not-as-offered", "the start has passed")
        help_ = self._helps[award.request_id] = Help(offered, award.power_kw)
        await self._fill(help_)
        if not help_.serving and help_.ended is None:
            self._helps.pop(help_.id)
            return failure("no-customer", "none of the drivers takes part")
        if (missing := max(help_.missing_kw(self.now()))) >= LEAST_OFFER_KW:
            self.notice(f"{missing:.1f} kW of the {help_.promised_kw:g} kW promised for {help_.id} found no driver")
        await help_.over.wait()
        return Inform(Done(reference=help_.id))

    async def _fill(self, help_: Help) -> None:
        """Asks drivers in the order of the list, in waves of as many as are expected to be needed, until the promise is
        kept or everybody has been asked."""
        async with help_.asking:
            while help_.ended is None and (wave := self._wave(help_)):
                by = self.now() + WAVE_TIME
                alternatives = help_.offered.alternatives()
                asked = [ask(self, help_.offered, self.desk.owner_of(c) or "", alternatives[c], by) for c in wave]
                answered = await asyncio.gather(*asked)
                for charger_id, willing in zip(wave, answered, strict=True):
                    kind = alternatives[charger_id][0][1].kind if willing is None else willing.part.kind
                    self.willingness = self.willingness.after(kind, willing is not None)
                    if willing is not None and await self._engage(help_, willing):
                        continue
                    self._let_go(charger_id, help_)
                    if willing is not None and max(help_.missing_kw(self.now())) < LEAST_OFFER_KW:
                        help_.asked.discard(charger_id)  # was not needed, and may be when another one fails

    def _wave(self, help_: Help) -> list[str]:
        """Whom to ask next; they are claimed. Nobody where the promise is kept."""
        now = self.now()
        missing = max(help_.missing_kw(now))
        wave: list[str] = []
        for charger_id, alternatives in help_.offered.alternatives().items():
            if missing < LEAST_OFFER_KW or help_.end <= now:
                break
            if charger_id in help_.asked or self.desk.parked(charger_id, now) is None:
                continue
            if not self._free(charger_id, help_.start):
                continue
            if charger_id not in self.claimed:
                self.claim([charger_id], help_.id)
            help_.asked.add(charger_id)
            part = alternatives[0][1]
            missing -= part.mean_kw * self.willingness.expected(part.kind)
            wave.append(charger_id)
        return wave

    async def _engage(self, help_: Help, willing: Willing) -> bool:
        """Awards a driver who agreed what is still missing; False where that is nothing, or it is not confirmed."""
        now = self.now()
        missing = [0.0] * help_.offered.service.periods if help_.ended is not None else help_.missing_kw(now)
        reduction = tuple(min(a, b) for a, b in zip(willing.part.reduction_kw, missing, strict=True))
        serving = await award(help_, willing, reduction, now)
        if serving is None or help_.ended is not None:
            return False
        help_.serving[willing.part.charger_id] = serving
        self.replan([willing.part.charger_id])
        await self._set(help_, [willing.part.charger_id])
        return True

    def _let_go(self, charger_id: str, help_: Help) -> None:
        """Gives up the claim, to the next service where one is waiting for the vehicle."""
        self.release_claim(charger_id, help_.id)
        for other in self._helps.values():
            if other is not help_ and charger_id in other.serving and other.ended is None:
                self.claim([charger_id], other.id)

    # ---- the service -----------------------------------------------------------------------------------------------

    def committed_kw(self, charger_id: str, now: datetime) -> Mapping[datetime, float]:
        """What it was awarded for; and while a service runs, what was nominated as the baseline of those beside it."""
        orders = dict(super().committed_kw(charger_id, now))
        for help_ in self._helps.values():
            if help_.ended is not None:
                continue
            serving = help_.serving.get(charger_id)
            for k, at in help_.quarters():
                if at + QUARTER <= now:
                    continue
                if serving is not None:
                    orders[at] = serving.set_kw(k)
                elif charger_id not in self.claimed and (kw := self._beside(help_, charger_id, k, now)) is not None:
                    orders.setdefault(at, kw)
        return orders

    def _beside(self, help_: Help, charger_id: str, period: int, now: datetime) -> float | None:
        """A vehicle that does not serve keeps the baseline that was nominated for it, whatever the prices do, as long
        as it leaves with what was asked for; None where it may do as it likes."""
        nominated = help_.offered.nominated_kw.get(charger_id)
        vehicle = self.desk.parked(charger_id, now)
        if nominated is None or vehicle is None:
            return None
        time = vehicle.departure - SLACK - max(now, help_.end)
        return nominated[period] if hours_needed(vehicle, vehicle.required_kwh) * timedelta(hours=1) <= time else None

    async def _set(self, help_: Help, charger_ids: Sequence[str]) -> None:
        """Sets chargers of a service: before it begins to their plan."""
        now = self.now()
        period = help_.period(now)
        for charger_id in charger_ids:
            serving = help_.serving.get(charger_id)
            if serving is None or self.claimed.get(charger_id) != help_.id:
                continue
            kw = self.planned_kw(charger_id, quarter_at(now), 1)[0] if period is None else serving.set_kw(period)
            self.desk.setpoints[charger_id] = kw
            await self.desk.order(charger_id, kw, int(REVERSION.total_seconds()))

    async def on_quarter(self, now: datetime) -> None:
        await super().on_quarter(now)
        for help_ in [each for each in self._helps.values() if each.ended is None and each.end <= now]:
            await self._finish(help_, help_.end)
        for help_ in [each for each in self._helps.values() if each.ended is None]:
            await self._set(help_, list(help_.serving))
        self._helps = {k: h for k, h in self._helps.items() if h.ended is None or h.ended > now - KEPT}
        self._lapse(now)
        self.spawn(self._within_quarter(now), "watches the service, tells the plan")

    async def _within_quarter(self, start: datetime) -> None:
        """After the beginning of a quarter of an hour: do the chargers obey? Then the schedule is told."""
        await self.clock.sleep_until(start + CHECKED_AFTER)
        for help_ in [each for each in self._helps.values() if each.ended is None]:
            if (period := help_.period(self.now())) is not None and help_.serving:
                await self._check(help_, period)
        await self.clock.sleep_until(start + MEASURED_AFTER)
        if self.now() < self.until:
            await self._publish()

    async def _check(self, help_: Help, period: int) -> None:
        """A charger that is silent or draws more than it was set to serves no more; the next on the list are asked."""
        await self.read()
        lost = 0
        for charger_id, serving in tuple(help_.serving.items()):
            reading = self.desk.reading(charger_id)
            if charger_id not in help_.serving:
                continue  # it has left meanwhile
            if reading is not None and reading.power_kw <= serving.set_kw(period) + LEAST_OFFER_KW:
                continue
            said = "is silent" if reading is None else f"draws {reading.power_kw:.1f} kW"
            self.notice(f"charger {charger_id} {said} instead of {serving.set_kw(period):.1f} kW for {help_.id}")
            self._disobeyed.add(charger_id)
            await self._drop(help_, charger_id)
            lost += 1
        if lost:
            await self._fill(help_)

    async def _drop(self, help_: Help, charger_id: str) -> None:
        help_.drop(charger_id, self.now())
        self._let_go(charger_id, help_)
        self.replan([charger_id])
        await self.steer([charger_id])

    async def on_left(self, charger_id: str) -> None:
        await super().on_left(charger_id)
        self._disobeyed.discard(charger_id)
        for help_ in tuple(self._helps.values()):
            if charger_id in help_.serving and help_.ended is None:
                self.notice(f"the vehicle at {charger_id} left during {help_.id}")
                help_.drop(charger_id, self.now())
                self.spawn(self._fill(help_), "asks further drivers")

    async def _finish(self, help_: Help, at: datetime) -> None:
        """The end, planned or not: the chargers go back to their plans, and the drivers get what they are due."""
        help_.ended = at
        for charger_id in help_.serving:
            self._let_go(charger_id, help_)
        self.replan()
        await self.steer()
        self.spawn(pay_all(self, self.ledger, self.desk, help_, at), "pays the drivers")
        help_.over.set()  # last: the award's result must not overtake the answer to a cancel

    @cancels(CongestionCall)
    async def on_cancel_congestion(self, call: CongestionCall, incoming: Incoming) -> Inform:
        """3.3: the service is not needed any more, or not at all."""
        self._offers.pop(incoming.message.conversation_id, None)
        help_ = self._helps.get(call.request_id)
        if help_ is not None and help_.ended is None:
            await self.read()
            self.desk.keep_registers(self.now())
            await self._finish(help_, min(help_.end, max(help_.start, self.now())))
        return Inform(Done(reference=call.request_id))

    # ---- 3.x.3: the settlement -------------------------------------------------------------------------------------

    @answers(CongestionSettlement)
    async def on_congestion_settlement(
        self, bill: CongestionSettlement, incoming: Incoming
    ) -> AcceptProposal | RejectProposal:
        """3.x.3: held against the promise and the own meters."""
        help_ = self._helps.get(bill.request_id)
        reason = "I know of no such service" if help_ is None else against(bill, help_, self.desk)
        answer = SettlementAnswer(settlement_id=bill.settlement_id, reason=reason)
        return AcceptProposal(answer) if reason is None else RejectProposal(answer)


def _told(entry: Entry) -> FlexibilityActivation:
    parts = entry.parts
    return FlexibilityActivation(
        activation_id=entry.activation_id,
        kind=entry.kind,
        users=tuple(part.charger_id for part in parts),
        power_kw=round(sum(part.mean_kw for part in parts), 3),
        energy_kwh=round(sum(energy_kwh(part.reduction_kw) for part in parts), 4),
        cost_eur_per_kwh=Decimal(entry.cost_eur_per_kwh),
        departure_soc_percent=round(min(part.departure_soc_percent for part in parts), 2),
    )
