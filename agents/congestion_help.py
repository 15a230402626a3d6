"""DR services for grid congestion management, the V2X manager's side (D5.1 3.3, BUC 3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import is_
from typing import Any

from agents.congestion_book import SAME_KW, Help, Offered, energy_kwh
from agents.congestion_serving import HEARD_AFTER, CongestionServing
from agents.congestion_settling import against
from agents.decisions.congestion_offer import decide
from agents.decisions.merit_order import Activation, Entry, Service, activations, merit_order
from agents.decisions.vehicle_offer import LEAST_OFFER_KW
from agents.periods import QUARTER, next_quarter, quarter_at, quarters
from agents.quarter_cycle import MANAGER_TIME, MEASURED_AFTER
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


class CongestionHelp(CongestionServing):
    """D5.1 3.3: the V2X manager "defines the merit order list of flexibility activations when it receives the request
    from the DSO", "employs a decision algorithm to decide whether it will take part", "delivers the request to
    customers", and when the service is no longer needed stops "and resume[s] normal operations"."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._offers: dict[str, Offered] = {}
        self._schedule: tuple[datetime, dict[str, list[float]]] | None = None
        """From when on which powers the DSO was told last, by bus."""

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
        self._schedule = start, buses
        told = tuple(BusSchedule(bus=bus, power_kw=tuple(round(kw, 3) for kw in p)) for bus, p in buses.items())
        for topic in self.subscriptions(ScheduleSubscription):
            schedule = ChargingSchedule(request_id=topic.request_id, timestamp=self.now(), start=start, buses=told)
            await self.publish(ScheduleSubscription, schedule, partial(is_, topic))

    def _told_kw(self, call: CongestionCall) -> tuple[float, ...]:
        """What the DSO was told last of the call's buses, by period of the service; nothing where it was not told all
        of it."""
        if self._schedule is None:
            return ()
        start, buses = self._schedule
        first, last = quarters(start, call.start), quarters(start, call.end)
        if call.start < start or last > TOLD_PERIODS:
            return ()
        there = [kw[first:last] for bus, kw in buses.items() if bus in call.buses]
        return tuple(sum(each) for each in zip(*there, strict=True))

    async def on_quarter(self, now: datetime) -> None:
        await super().on_quarter(now)
        self._lapse(now)
        self.spawn(self._tell(quarter_at(now) + MEASURED_AFTER), "tells the plan")

    async def _tell(self, at: datetime) -> None:
        await self.clock.sleep_until(at)
        if self.now() < self.until:
            await self._publish()

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
        if any(help_.asking.locked() for help_ in self._helps.values()):
            await self.clock.sleep_until(
                self.now() + HEARD_AFTER
            )  # what is promised is in no plan before drivers agree
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
        told_kw = self._told_kw(call)
        nominated = {c: self.planned_kw(c, call.start, service.periods) for c in at_buses}
        offered = Offered(call, service, entries, decision.power_kw, nominated, until, told_kw)
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
        held = {c for each in self._offers.values() for c in each.chargers}
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
