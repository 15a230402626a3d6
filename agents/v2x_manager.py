"""The V2X manager: houses, buildings or companies whose vehicles serve the system operators, and leave as promised."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import partial
from operator import is_
from typing import ClassVar, TypeAlias

from agents.actor import Actor
from agents.decisions.promises import Book, Change, Hold, PromiseError
from agents.decisions.tariff import Tariff
from agents.decisions.vehicle_offer import LEAST_OFFER_KW, STEP_KWH, Parked, Terms, room, top_up, within, worth
from agents.island_ports import SiteMeter
from agents.ledger import Ledger
from agents.paying import pay_or_refuse
from agents.periods import QUARTER, next_quarter, quarter_at
from agents.ports import Charger
from agents.quarter_cycle import MANAGER_TIME, MEASURED_AFTER
from agents.v2x_desk import V2xDesk
from agents.v2x_reports import measurements, participation, rounded_down
from behaviours.answering import Agree, Failure, Incoming, Inform, Propose, Refuse, answers, cancels, failure, refusal
from behaviours.swarm import Swarm
from protocols.acl import Performative
from protocols.exchanges.activation import SessionAnnouncement
from protocols.exchanges.ev_services import EvOffer, ServiceAward, ServiceCall, ServiceOffer
from protocols.exchanges.plain import Done, Reason
from protocols.exchanges.res_curtailment import (
    Availability,
    CurtailmentAward,
    CurtailmentCall,
    Invoice,
    MeasurementsSubscription,
)
from protocols.exchanges.voltage_services import (
    ParticipationInfo,
    ParticipationResponse,
    ParticipationSubscription,
    VoltageAward,
    VoltageCall,
)
from protocols.roles import Role

OfferKind: TypeAlias = type[Availability] | type[ParticipationResponse]


@dataclass(slots=True)
class Service:
    """A service under way, or about to begin: what was awarded, and until when; `over` is set once its end was metered
    and its chargers were given back."""

    award: ServiceAward
    ends: datetime
    cancelled: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


class V2xManager(Actor):
    """D5.1 section 3.2: "the V2X managers are the management systems that will be implemented in houses, buildings, and
    companies. Each V2X manager will process the information and send information about their availability"; 3.4.1:
    "after an internal validation, each V2X manager will send their availability". Ours offers what each vehicle can
    do without leaving short of what its driver asked for, at a price that pays, and each vehicle to one service."""

    role: ClassVar[Role] = Role.V2X_MANAGER

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        kind: str,
        feeder: str,
        chargers: Sequence[Charger],
        buses: Sequence[str],
        efficiency: Sequence[tuple[float, float]],
        ratings_kw: Sequence[tuple[float, float]],
        tariff: Tariff,
        zone: tzinfo,
        wear_eur_per_kwh: float,
        store_up_to_percent: float,
        minimum_benefit_eur_per_kwh: float,
        drivers: Mapping[str, str],
        ledger: Ledger,
        until: datetime,
        obeys: Callable[[datetime], bool] = lambda now: True,
        site: SiteMeter | None = None,
    ) -> None:
        """`site` measures what 2.1 tells beside the vehicles; without it that is nothing."""
        super().__init__(jid, password, swarm)
        self.services = (f"kind:{kind}",)
        self.location = feeder
        self.desk = V2xDesk(chargers, buses, efficiency, ratings_kw, store_up_to_percent, self.notice)
        self.tariff = tariff
        self.zone = zone
        self.wear_eur_per_kwh = wear_eur_per_kwh
        self.minimum_benefit_eur_per_kwh = minimum_benefit_eur_per_kwh
        self.drivers = dict(drivers)
        self.ledger = ledger
        self.until = until
        self.obeys = obeys
        self.site = site
        self.book = Book()
        self._calls: dict[str, ServiceCall] = {}
        self._under_way: dict[str, Service] = {}
        self._drawn_on: set[str] = set()
        """Chargers whose vehicle gave something up for a service and does not have what was asked for yet."""
        self._prices: dict[datetime, float] = {}

    async def course(self) -> None:
        """Each quarter of an hour: meter and steer at its beginning, then tell what was measured."""
        while True:
            await self._turn()
            if self.now() >= self.until:
                return
            await self.clock.sleep_until(quarter_at(self.now()) + MEASURED_AFTER)
            await self._tell()
            await self.clock.sleep_until(next_quarter(self.now()))

    @answers(SessionAnnouncement)
    async def on_session_announcement(self, session: SessionAnnouncement, incoming: Incoming) -> Inform | Refuse:
        """1.x.8: when the car will leave, with which charge, and when it charges if it is left alone."""
        if session.charger_id not in self.desk.chargers:
            return refusal("unknown-charger", f"{session.charger_id} is not a charger of mine")
        if self.drivers.get(session.charger_id, incoming.sender) != incoming.sender:
            return refusal("not-authorised", f"{session.charger_id} is another driver's")
        if self.desk.note(session, incoming.sender):
            self.book = self.book.leave(session.charger_id, self.now())  # what the last car was promised for
        return Inform(Done(reference=session.vehicle_id))

    @answers(Invoice)
    async def on_invoice(self, invoice: Invoice, incoming: Incoming) -> Inform | Refuse:
        """2.x.1: the EMSP's invoice."""
        return pay_or_refuse(self.ledger, invoice, customer=self.address, emsp=incoming.sender, at=self.now())

    # ---- 2.1 and 4.1.4: what is measured -------------------------------------------------------------------------

    @answers(MeasurementsSubscription)
    async def on_measurements_subscription(self, topic: MeasurementsSubscription, incoming: Incoming) -> Agree:
        """2.1: the FO gets every report from now on."""
        return Agree(Done(reference=topic.request_id))

    @answers(ParticipationSubscription)
    async def on_participation_subscription(self, topic: ParticipationSubscription, incoming: Incoming) -> Agree:
        """4.1.4: the FO hears what the vehicles did in each quarter of a voltage service."""
        return Agree(Done(reference=topic.request_id))

    async def _tell(self) -> None:
        """2.1 over the last quarter of an hour, and 4.1.4 for each voltage service that ran in it."""
        await self._read()
        now = self.now()
        end = quarter_at(now)
        start = end - QUARTER
        if all(self.desk.mean_kw(charger_id, start, end) is None for charger_id in self.desk.chargers):
            return  # the day's first quarter, or nobody answers
        services = {service_id: service.award.service for service_id, service in self._under_way.items()}
        site = None if self.site is None else self.site.measured(start, end)
        for topic in self.subscriptions(MeasurementsSubscription):
            report = measurements(
                self.desk,
                self.book,
                services,
                request_id=topic.request_id,
                source=self.name,
                start=start,
                end=end,
                now=now,
                site=site,
            )
            await self.publish(MeasurementsSubscription, report, partial(is_, topic))
        for service in tuple(self._under_way.values()):
            if isinstance(service.award, VoltageAward):
                await self._tell_participation(service.award, start, end)

    async def _tell_participation(self, award: VoltageAward, start: datetime, end: datetime) -> None:
        """4.1.4: what the vehicles of one service did, where there are any."""
        served = self.book.serving(start)
        vehicles = [c for c, promise in served.items() if promise.service_id == award.service_id]
        if not vehicles:
            return
        for topic in self.subscriptions(ParticipationSubscription):
            info = self._participation(award, topic.request_id, vehicles, start, end)
            await self.publish(ParticipationSubscription, info, partial(is_, topic))

    def _participation(
        self, award: ServiceAward, request_id: str, vehicles: Sequence[str], start: datetime, end: datetime
    ) -> ParticipationInfo:
        return participation(
            self.desk, self.book, award, vehicles, request_id=request_id, start=start, end=end, now=self.now()
        )

    # ---- 2.4, 2.5 and 4.1.1, 4.1.2: what is offered --------------------------------------------------------------

    @answers(CurtailmentCall)
    async def on_curtailment_call(self, call: CurtailmentCall, incoming: Incoming) -> Propose | Refuse:
        """2.4: who can draw more, so that less wind is curtailed?"""
        return await self._offer(call, Availability, incoming)

    @answers(VoltageCall)
    async def on_voltage_call(self, call: VoltageCall, incoming: Incoming) -> Propose | Refuse:
        """4.1.1: who can draw more, or less, so that the feeder's voltages keep their limits?"""
        return await self._offer(call, ParticipationResponse, incoming)

    async def _offer(self, call: ServiceCall, kind: OfferKind, incoming: Incoming) -> Propose | Refuse:
        """Each vehicle that can, that it pays, and that nobody else was promised or is just offered."""
        if fault := self._misfit(call):
            return refusal("not-possible", fault)
        await self._read()
        now = self.now()
        parts, why_not = self._validated(call, now)
        if not parts:
            return refusal(*why_not)
        until = min(call.start, max(now, incoming.reply_by or now) + MANAGER_TIME)
        quarters = timedelta(minutes=call.duration_minutes) // QUARTER
        offer_id = incoming.message.conversation_id
        self.book = self.book.hold(Hold(offer_id, call.start, quarters, parts, until), now)
        self._calls[offer_id] = call
        return Propose(self._as_offer(call, kind, parts), reply_by=until)

    def _misfit(self, call: ServiceCall) -> str | None:
        """Why nobody could serve this call."""
        if call.start <= self.now():
            return "the start has passed"
        if call.start != quarter_at(call.start) or call.duration_minutes % 15:
            return "a service begins and ends with a quarter of an hour"
        if isinstance(call, CurtailmentCall) and call.power_kw < 0:
            return "wind is not saved by drawing less"
        if isinstance(call, VoltageCall) and call.location != self.location:
            return f"these vehicles are on {self.location}, not on {call.location}"
        return None

    def _validated(self, call: ServiceCall, now: datetime) -> tuple[dict[str, Change], tuple[str, str]]:
        """3.4.1's "internal validation": what each vehicle can do and what of it pays; or why there is nothing, as a
        code and in words: the reason of those that came nearest to an offer."""
        sign = 1 if call.power_kw > 0 else -1
        terms = Terms(
            charging_cost=float(call.charging_cost_eur_per_kwh),
            discharging_remuneration=float(call.discharging_remuneration_eur_per_kwh),
            wear=self.wear_eur_per_kwh,
            minimum_benefit=self.minimum_benefit_eur_per_kwh,
        )
        parts: dict[str, Change] = {}
        why_not = ("no-vehicle", "no vehicle is there whose driver told of its departure")
        for vehicle in self._vehicles(now):
            then = self.desk.at(vehicle, call.start, self.book)
            can = room(then)
            if (can.increase_kw if sign > 0 else can.decrease_kw) < LEAST_OFFER_KW:
                if why_not[0] == "no-vehicle":
                    why_not = ("no-room", f"no vehicle can draw {'more' if sign > 0 else 'less'} and leave as promised")
            elif not self.book.free(vehicle.id, call.start, now):
                if why_not[0] != "price":
                    why_not = ("promised", "every vehicle that could is promised or offered to another service")
            elif abs(change := worth(then, can, sign, terms, self._ordinary)) < LEAST_OFFER_KW:
                why_not = ("price", f"it brings less than {self.minimum_benefit_eur_per_kwh:g} EUR/kWh to the drivers")
            else:
                parts[vehicle.id] = Change(round(can.baseline_kw, 3), math.copysign(rounded_down(abs(change)), sign))
        return parts, why_not

    def _vehicles(self, now: datetime) -> list[Parked]:
        return [vehicle for c in self.desk.chargers if (vehicle := self.desk.parked(c, now)) is not None]

    def _ordinary(self, at: datetime) -> float:
        """The ordinary price of charging, EUR/kWh."""
        if at not in self._prices:
            self._prices[at] = float(self.tariff.charging(at.astimezone(self.zone)))
        return self._prices[at]

    def _as_offer(self, call: ServiceCall, kind: OfferKind, parts: Mapping[str, Change]) -> ServiceOffer:
        hours = call.duration_minutes / 60
        users = tuple(
            EvOffer(
                user_id=charger_id,
                ev_owner=self.desk.owner_of(charger_id),
                location=self.desk.bus[charger_id],
                baseline_kw=part.baseline_kw,
                power_kw=part.change_kw,
                energy_kwh=round(part.change_kw * hours, 4),
            )
            for charger_id, part in parts.items()
        )
        return kind(
            timestamp=self.now(),
            request_id=call.request_id,
            user_id=self.name,
            service=call.service,
            power_kw=round(sum(user.power_kw for user in users), 3),
            energy_kwh=round(sum(user.energy_kwh for user in users), 4),
            duration_minutes=call.duration_minutes,
            users=users,
        )

    @answers(Reason, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: Reason, incoming: Incoming) -> None:
        """The FO has chosen others: the vehicles are free again."""
        self._let_go(incoming.message.conversation_id)

    # ---- 2.3, 4.1.3: what is awarded -----------------------------------------------------------------------------

    @answers(CurtailmentAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_curtailment_award(self, award: CurtailmentAward, incoming: Incoming) -> Inform | Failure:
        """2.3: these vehicles take part; the answer comes when it is over."""
        outcome = await self._serve(award, incoming)
        return outcome if isinstance(outcome, Failure) else Inform(Done(reference=award.service_id))

    @answers(VoltageAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_voltage_award(self, award: VoltageAward, incoming: Incoming) -> Inform | Failure:
        """4.1.3: these vehicles take part; the answer comes when it is over, with what was metered (4.1.4)."""
        outcome = await self._serve(award, incoming)
        if isinstance(outcome, Failure):
            return outcome
        vehicles = [order.user_id for order in award.orders]
        return Inform(self._participation(award, award.request_id, vehicles, award.start, outcome.ends))

    async def _serve(self, award: ServiceAward, incoming: Incoming) -> Service | Failure:
        """Enters the award into the book, and waits until the service has ended; `course` does the steering."""
        offer_id = incoming.message.conversation_id
        orders = {order.user_id: Change(order.baseline_kw, order.power_kw) for order in award.orders}
        if fault := self._fault(award, self._calls.get(offer_id)):
            self._let_go(offer_id)
            return failure("not-as-offered", fault)
        try:
            before = self.book if award.renews is None else self.book.end(award.renews, award.start)
            self.book = before.award(offer_id, award.service_id, orders, self.now())
        except PromiseError as error:
            self._let_go(offer_id)
            return failure("not-as-offered", str(error))
        if award.renews in self._under_way:
            renewed = self._under_way[award.renews]
            renewed.ends = min(renewed.ends, award.start)
        ends = award.start + timedelta(minutes=award.duration_minutes)
        service = self._under_way[award.service_id] = Service(award, ends)
        await service.over.wait()
        return failure("cancelled", "the service was called off") if service.cancelled else service

    def _fault(self, award: ServiceAward, call: ServiceCall | None) -> str | None:
        """Why an award is not the one of this call, or comes too late."""
        if call is None:
            return "there was no offer"
        for name in ("service_id", "request_id", "service", "start", "duration_minutes"):
            if (said := getattr(award, name)) != (asked := getattr(call, name)):
                return f"{name} is {said}, the call said {asked}"
        if award.service_id in self._under_way:
            return f"{award.service_id} has been awarded already"
        return "the start has passed" if award.start <= self.now() else None

    def _let_go(self, offer_id: str) -> None:
        self.book = self.book.drop(offer_id)
        self._calls.pop(offer_id, None)

    @cancels(CurtailmentCall)
    async def on_cancel_curtailment(self, call: CurtailmentCall, incoming: Incoming) -> Inform:
        """The deactivation: the chargers go back to their own plans."""
        return await self._call_off(call, incoming)

    @cancels(VoltageCall)
    async def on_cancel_voltage(self, call: VoltageCall, incoming: Incoming) -> Inform:
        """The deactivation: the chargers go back to their own plans."""
        return await self._call_off(call, incoming)

    async def _call_off(self, call: ServiceCall, incoming: Incoming) -> Inform:
        self._let_go(incoming.message.conversation_id)
        service = self._under_way.get(call.service_id)
        if service is not None and not service.over.is_set():
            now = self.now()
            self.book = self.book.end(call.service_id, now)
            if self.obeys(now):
                serving = self.book.serving(quarter_at(now))
                mine = {order.user_id for order in service.award.orders}
                await self.desk.give_back(mine.difference(serving))
            service.cancelled = True
            service.over.set()
        return Inform(Done(reference=call.service_id))

    # ---- the chargers --------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Reads the chargers; of a vehicle that has left nothing is promised any more."""
        await self.desk.read()
        for charger_id in self.desk.gone(self.now()):
            self.book = self.book.leave(charger_id, self.now())
            self._drawn_on.discard(charger_id)

    async def _turn(self) -> None:
        """At the beginning of a quarter of an hour: reads the registers, sets the power of the vehicles that serve now,
        gives the others back to their own plans, and ends the services that are over."""
        now = self.now()
        await self._read()
        self.desk.keep_registers(now)
        if self.obeys(now):
            powers = self._powers(now)
            await self.desk.set(powers)
        for service in self._under_way.values():
            if service.ends <= now:
                service.over.set()
        self._forget(now)

    def _powers(self, now: datetime) -> dict[str, float]:
        """What the chargers are set to in this quarter of an hour: those of the vehicles that serve, and of those that
        would be left a little short by an earlier service."""
        powers = {}
        serving = self.book.serving(quarter_at(now))
        for vehicle in self._vehicles(now):
            if (promise := serving.get(vehicle.id)) is not None:
                powers[vehicle.id] = within(vehicle, promise.part.power_kw)
                if promise.part.change_kw < 0:
                    self._drawn_on.add(vehicle.id)
            elif vehicle.id in self._drawn_on:
                if vehicle.energy_kwh >= vehicle.required_kwh - STEP_KWH:
                    self._drawn_on.discard(vehicle.id)
                elif (kw := top_up(vehicle)) > 0:
                    powers[vehicle.id] = kw
        return powers

    def _forget(self, now: datetime) -> None:
        """What ended long enough ago to be reported is left out of the books."""
        self.book = self.book.forget(now - 2 * QUARTER)
        held = {hold.offer_id for hold in self.book.holds}
        self._calls = {offer_id: call for offer_id, call in self._calls.items() if offer_id in held}
        self._under_way = {
            k: s for k, s in self._under_way.items() if not s.over.is_set() or s.ends > now - 2 * QUARTER
        }
