"""The flexibility operator: knows what the vehicles can do, and finds those that serve what TSO and DSO need."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.selection import Memory, choose, expected_kw
from agents.fleet_view import by_bus
from agents.fo_headroom import HeadroomDesk
from agents.fo_news import FleetNews
from agents.fo_offers import OfferDesk, free_offers, offer_fault
from agents.fo_service import SOMEWHERE, Asked, FoService
from agents.fo_trust import TrustDesk
from agents.ledger import Ledger
from agents.paying import pay_or_refuse
from agents.periods import MINUTES, QUARTER, quarter_at
from agents.quarter_cycle import ANSWER_TIME, MANAGER_TIME, MEASURED_AFTER, TOLD_AFTER
from behaviours.answering import Agree, Failure, Incoming, Inform, Refuse, answers, cancels, failure
from behaviours.initiating import Tender
from behaviours.outcomes import Agreed, CalledOff, Informed, has_stopped
from behaviours.swarm import Swarm
from protocols.exchanges.content import Content
from protocols.exchanges.ev_services import EvOffer, ServiceAnswer, ServiceCall, ServiceOffer, UserState
from protocols.exchanges.plain import Cancellation, Done, Reason
from protocols.exchanges.res_curtailment import (
    CurtailmentActivation,
    FlexibilitySubscription,
    Invoice,
    MeasurementsSubscription,
)
from protocols.exchanges.voltage_services import ParticipationInfo, ParticipationSubscription, VoltageRequest
from protocols.roles import Role

SEARCH_AGAIN = timedelta(hours=1)
"""Managers that came later are found so often."""
IN_HAND = timedelta(seconds=30)
"""The answer to the TSO or DSO is ready by so much before it is due."""
REMEMBERED = timedelta(days=1)
"""A service that was over for so long is forgotten."""

Offers = dict[str, tuple[EvOffer, ...]]


class FlexibilityOperator(Actor):
    """D5.1 3.2: "The FO is responsible for the coordination of the participation of EVs in this service. The FO will,
    first, send a request to the V2X manager to participate in the service (ID 2.4). [...] After this procurement, the
    FO should define the EVs that will participate in the service and, at the correct moment, send the service
    activation signal to the V2X managers (ID 2.3). This information should also be sent to the [EMRP]". 3.4.1: "The FO
    will identify the V2X managers that are connected to the feeder with voltage constraints and request their
    participation in service"; "after aggregation of information, the FO will send similar information to the DSO".

    Who does not keep its promises is called later, and below the bound of `memory` not at all for a while. `zone` is
    that of the times in notices.
    """

    role: ClassVar[Role] = Role.FO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        zone: tzinfo,
        ledger: Ledger,
        until: datetime,
        memory: Memory | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.ledger = ledger
        self.until = until
        self.desk = TrustDesk(self, memory or Memory(), zone)
        self.kept: dict[str, FoService] = {}
        self._news = FleetNews(self, lambda: self.kept.values(), self.desk.may_be_called)
        self.view = self._news.view
        self._check = OfferDesk(self, self.view, self.desk)
        self._headroom = HeadroomDesk(self)

    # ---- what the managers tell, and what is told on ---------------------------------------------------------------

    async def course(self) -> None:
        """Subscribes to every manager's 2.1 and 4.1.4; each quarter of an hour tells those who subscribed here."""
        quarter = first = quarter_at(self.now())
        self.spawn(self._news.subscribe(), "subscribes")
        while quarter < self.until:
            if self.now() <= quarter + MEASURED_AFTER:
                await self.clock.sleep_until(quarter + MEASURED_AFTER)
                self.spawn(self._headroom.subscribe(), "subscribes to DSOs")
                await self.desk.remember(tuple(self.kept.values()), quarter - QUARTER)
                await self.clock.sleep_until(quarter + TOLD_AFTER)
                self._check.settle_doubts()
                await self._news.tell(quarter)
            quarter += QUARTER
            if not (quarter - first) % SEARCH_AGAIN:
                await self.clock.sleep_until(quarter)
                self.spawn(self._news.subscribe(), "subscribes")

    @answers(FlexibilitySubscription)
    async def on_flexibility_subscription(self, topic: FlexibilitySubscription, incoming: Incoming) -> Agree:
        """2.2: "a flexibility operator (FO) will send information concerning the available flexibility"."""
        return Agree(Done(reference=topic.request_id))

    @answers(MeasurementsSubscription)
    async def on_measurements_subscription(self, topic: MeasurementsSubscription, incoming: Incoming) -> Agree:
        """2.1: "measurement information should be sent by the V2X manager to the FO and by the FO to the TSO"."""
        return Agree(Done(reference=topic.request_id))

    @answers(ParticipationSubscription)
    async def on_participation_subscription(self, topic: ParticipationSubscription, incoming: Incoming) -> Agree:
        """4.1.4: "after aggregation of information, the FO will send similar information to the DSO"."""
        return Agree(Done(reference=topic.request_id))

    # ---- BUC 2 and BUC 4.1: a service is asked for -----------------------------------------------------------------

    @answers(CurtailmentActivation)
    async def on_curtailment_activation(
        self, signal: CurtailmentActivation, incoming: Incoming
    ) -> Inform | Refuse | Failure:
        """2.3: the TSO needs more consumption, so that less wind is curtailed."""
        return await self._serve(signal, incoming)

    @answers(VoltageRequest)
    async def on_voltage_request(self, signal: VoltageRequest, incoming: Incoming) -> Inform | Refuse | Failure:
        """4.1.1: the DSO needs more or less consumption behind a feeder."""
        return await self._serve(signal, incoming)

    async def _serve(self, signal: Asked, incoming: Incoming) -> Inform | Refuse | Failure:
        """Calls, selects, awards, tells the EMSP, agrees; then sees the service through until it is over."""
        if fault := self._fault(signal, incoming.sender):
            return Refuse(self._answer(signal, 0.0, fault))
        old = self.kept.get(signal.renews or "")
        self._forget()
        service = self.kept[signal.service_id] = FoService.of(signal, incoming.sender)
        calls = await self._calls(service)
        offers, tenders = await self._offers(service, calls, incoming.reply_by)
        if isinstance(signal, CurtailmentActivation):
            offers = self._headroom.within(signal.start, offers, calls, self.desk.served_kwh)
        reliability = {manager: self.desk.of(manager).value for manager in offers}
        at = {change.bus: change.power_kw for change in signal.at} if isinstance(signal, VoltageRequest) else None
        if not service.called_off:
            service.orders = choose(offers, signal.power_kw, at, reliability, self.desk.served_kwh)
        self._award(service, old, tenders)
        await asyncio.sleep(0)  # the awards are said before the EMSP hears of them
        if service.called_off or not service.orders:
            return await self._given_up(service, incoming)
        await self._tell_emsp(service, old, incoming.reply_by)
        available = round(expected_kw(service.orders, reliability), 3)
        most = max(available, signal.power_kw) if signal.power_kw < 0 else min(available, signal.power_kw)
        short = None if abs(most) >= abs(signal.power_kw) - 0.1 else f"{most:g} of {signal.power_kw:g} kW are available"
        if service.called_off or not await incoming.agree(self._answer(signal, most, short)):
            return await self._given_up(service, incoming)
        service.agreed = True
        if old is not None:
            old.end = min(old.end, signal.start)
            self.spawn(self._supersede(old, service), f"renews {old.service_id}")
        if isinstance(signal, VoltageRequest):
            self.spawn(self._news.tell_again(signal.start), "tells the TSO what is left")
        self.clock.call_at(service.end, service.over.set)
        await service.over.wait()
        if service.called_off:
            await incoming.cancelled.wait()
        return Inform(await self._report(service))

    def _fault(self, signal: Asked, sender: str) -> str | None:
        """Why a service must not be begun."""
        if signal.service_id in self.kept:
            return f"service {signal.service_id} was asked for already"
        if signal.start <= self.now():
            return "the start has passed"
        if quarter_at(signal.start) != signal.start or signal.duration_minutes % MINUTES:
            return "a service lasts from one quarter of an hour to another"
        if signal.renews is None:
            return None
        old = self.kept.get(signal.renews)
        if old is None or old.asker != sender or not old.agreed:
            return f"there is no service {signal.renews} of yours to renew"
        if old.is_over or not old.signal.start < signal.start <= old.end:
            return f"service {signal.renews} does not run when this one starts"
        if _place(old.signal) != _place(signal) or not old.same_direction(signal):
            return f"service {signal.renews} is at another place, or in the other direction"
        return None

    async def _calls(self, service: FoService) -> dict[str, list[str]]:
        """Whom to call, by feeder: who has flexibility in that direction, is trusted, and is on no feeder where the
        opposite is promised (or being negotiated) for the same quarter of an hour.

        Only the first quarter of a service is firm: whoever still needs its second one has renewed it by then, and with
        that made it the first of another.
        """
        signal = service.signal
        place = signal.location if isinstance(signal, VoltageRequest) else None
        entries = await self.search(role=Role.V2X_MANAGER, location=place)
        opposed = {
            feeder
            for other in self.kept.values()
            if not other.is_over and other.signal.start == signal.start and not other.same_direction(signal)
            for feeder in other.feeders
        }
        calls: dict[str, list[str]] = {}
        for entry in entries:
            feeder = entry.location or SOMEWHERE
            if feeder in opposed or self.view.is_silent(entry.jid) or not self.desk.may_be_called(entry.jid):
                continue
            if any(_flexible(user, signal.power_kw) for user in self.view.states(entry.jid)):
                calls.setdefault(feeder, []).append(entry.jid)
        service.feeders = frozenset(calls)
        return calls

    async def _offers(
        self, service: FoService, calls: Mapping[str, list[str]], due: datetime | None
    ) -> tuple[Offers, dict[str, Tender]]:
        """2.4 or 4.1.1 to the managers, one call for each feeder; the offers (2.5, 4.1.2), and the tenders."""
        reply_by = self._within(MANAGER_TIME, due)

        async def ask(feeder: str) -> tuple[ServiceCall, Tender]:
            call = service.call(feeder, self.address, self.now())
            return call, await self.call_for_proposals(call, to=calls[feeder], reply_by=reply_by)

        valid: dict[str, tuple[EvOffer, ...]] = {}
        released: dict[str, datetime] = {}
        for over in (s for s in self.kept.values() if s.is_over):
            for charger in over.chargers:
                released[charger] = max(over.end, released.get(charger, over.end))
        tenders: dict[str, Tender] = {}
        for call, tender in await asyncio.gather(*(ask(feeder) for feeder in sorted(calls))):
            tenders[call.location] = tender
            for manager in tender.silent:
                self.notice(f"{manager} does not answer to {call.request_id}")
            for proposal in tender.proposals:
                if fault := offer_fault(call, proposal):
                    self.notice(f"{proposal.sender} is left out of {service.service_id}: {fault}")
                elif isinstance(proposal.content, ServiceOffer):
                    valid[proposal.sender] = self._check.believed(proposal.sender, call, proposal.content, released)
        taken = frozenset[str]().union(
            *(s.chargers for s in self._live() if s is not service and s.signal.start == service.signal.start)
        )
        offers, disputed = free_offers(valid, taken)
        if disputed:
            self.notice(f"{', '.join(disputed)} offered by two managers in {service.service_id}: taken from neither")
        return offers, tenders

    def _live(self) -> list[FoService]:
        return [s for s in self.kept.values() if not s.is_over]

    def _award(self, service: FoService, old: FoService | None, tenders: Mapping[str, Tender]) -> None:
        """2.3 or 4.1.3 to who was chosen, a rejection with the reason to the others."""
        service.awaited = len(tenders)
        service.feeders = frozenset(
            feeder for feeder, each in tenders.items() if any(p.sender in service.orders for p in each.proposals)
        )
        for feeder, tender in tenders.items():
            accept, reject = {}, {}
            for proposal in tender.proposals:
                manager = proposal.sender
                if orders := service.orders.get(manager):
                    renews = old.service_id if old is not None and manager in old.standing else None
                    accept[manager] = service.award(manager, orders, feeder, renews, self.now())
                    service.standing[manager] = tender
                else:
                    reject[manager] = _rejection(service)
            self.spawn(self._see_through(service, tender, accept, reject), f"awards {service.service_id} at {feeder}")

    async def _see_through(
        self,
        service: FoService,
        tender: Tender,
        accept: Mapping[str, Content],
        reject: Mapping[str, Content],
    ) -> None:
        """Awards, and waits for what the chosen managers report at the end."""
        outcomes = await tender.award(accept, done_by=service.end + ANSWER_TIME, reject=reject)
        for manager, outcome in outcomes.items():
            stood = service.standing.pop(manager, None) is not None
            if isinstance(outcome, Informed):
                if isinstance(outcome.content, ParticipationInfo):
                    service.reports[manager] = outcome.content
            elif stood and not isinstance(outcome, CalledOff):
                self.notice(f"{manager} does not stand by service {service.service_id}: {outcome}")
        service.awaited -= 1
        if not service.awaited:
            service.reported.set()

    async def _tell_emsp(self, service: FoService, old: FoService | None, due: datetime | None) -> None:
        """2.3 or 4.1.3 to the EMSP. Without it nobody can be invoiced, but wind and voltage do not wait for that."""
        renews = old.service_id if old is not None and old.noticed is not None else None
        for entry in (await self.search(role=Role.EMSP))[:1]:
            notice = service.notice(entry.jid, renews, self.now())
            answer = await self.request(
                notice, to=entry.jid, reply_by=self._within(ANSWER_TIME, due), done_by=service.end + ANSWER_TIME
            )
            if isinstance(answer, Agreed):
                service.noticed, service.invoiced = answer, True
                return
            self.notice(f"service {service.service_id} is not invoiced: {answer}")
            return
        self.notice(f"there is no EMSP: service {service.service_id} is not invoiced")

    async def _given_up(self, service: FoService, incoming: Incoming) -> Refuse:
        """There is nothing to offer, or nobody waits for it any more: whoever was awarded is set free."""
        offered = bool(service.orders)
        await self._call_off(service, "nobody waits for this service any more")
        if service.called_off:
            await incoming.cancelled.wait()
        reason = "the answer came too late" if offered else "no vehicle is available"
        return Refuse(self._answer(service.signal, 0.0, reason))

    # ---- the end of a service --------------------------------------------------------------------------------------

    async def _supersede(self, old: FoService, new: FoService) -> None:
        """When the new service was to start the old one is over, also where the new one has been called off before.
        Managers that were awarded both end it by themselves, as the EMSP does where it knows both; the others are
        told."""
        await self.clock.sleep_until(new.signal.start)
        if old.is_over:
            return
        left = {manager: tender for manager, tender in old.standing.items() if manager not in new.orders}
        noticed = None if new.invoiced else old.noticed
        old.finish(new.signal.start)
        await self._release(old.service_id, left, noticed, f"renewed as {new.service_id}, without you")

    @cancels(CurtailmentActivation)
    async def on_cancel_curtailment(self, signal: CurtailmentActivation, incoming: Incoming) -> Inform | Failure:
        """2.3: "a deactivation signal should be sent by the TSO to the FO and, consequently, by the FO to the V2X
        managers and by FO to the EMRP"."""
        return await self._cancelled(signal, incoming)

    @cancels(VoltageRequest)
    async def on_cancel_voltage(self, signal: VoltageRequest, incoming: Incoming) -> Inform | Failure:
        """4.1.1: "the FO will "cancel" the service sending this information both to V2X managers and EMRP"."""
        return await self._cancelled(signal, incoming)

    async def _cancelled(self, signal: Asked, incoming: Incoming) -> Inform | Failure:
        service = self.kept.get(signal.service_id)
        if service is None or service.is_over or service.asker != incoming.sender:
            return failure("nothing-to-cancel", f"service {signal.service_id} is not under way")
        service.called_off = True
        reason = str(incoming.message.content.get("reason") or "the service is no longer needed")
        await self._call_off(service, reason, incoming.reply_by)
        if isinstance(signal, VoltageRequest) and signal.start > self.now():
            self.spawn(self._news.tell_again(signal.start), "tells the TSO what is left")
        return Inform(Done(reference=signal.service_id))

    async def _call_off(self, service: FoService, reason: str, due: datetime | None = None) -> None:
        """Sets managers and EMSP free; what agrees only now is set free by the next call."""
        standing, service.standing = service.standing, {}
        noticed, service.noticed = service.noticed, None
        service.finish(self.now())
        await self._release(service.service_id, standing, noticed, reason, due)

    async def _release(
        self,
        service_id: str,
        standing: Mapping[str, Tender],
        noticed: Agreed | None,
        reason: str,
        due: datetime | None = None,
    ) -> None:
        """FIPA's cancel to these managers and to the EMSP."""
        words, reply_by = Cancellation(reference=service_id, reason=reason), self._within(MANAGER_TIME, due)
        cancels = {manager: tender.cancel(manager, words, reply_by) for manager, tender in standing.items()}
        if noticed is not None:
            cancels[noticed.sender] = noticed.cancel(words, reply_by)
        for who, outcome in zip(cancels, await asyncio.gather(*cancels.values()), strict=True):
            if not has_stopped(outcome):
                self.notice(f"{who} does not end service {service_id}: {outcome}")

    async def _report(self, service: FoService) -> Content:
        """What the TSO (done) and the DSO (4.1.4: by bus, of the vehicles that took part) hear at the end."""
        signal = service.signal
        if not isinstance(signal, VoltageRequest):
            return Done(reference=service.service_id)
        if not service.called_off:
            # the managers report at the same time: that is waited for, but not as long as the DSO would wait
            self.clock.call_at(self.now() + MANAGER_TIME, service.reported.set)
            await service.reported.wait()
        states: dict[str, UserState] = {}
        for manager in service.orders:
            report = service.reports.get(manager)
            told = (*self.view.states(manager), *(report.users if report is not None else ()))
            states |= {user.user_id: user for user in told if user.user_id in service.chargers}
        return ParticipationInfo(
            request_id=signal.request_id,
            timestamp=self.now(),
            service=signal.service,
            service_id=signal.service_id,
            start=signal.start,
            end=max(signal.start, service.end),  # it may be called off before it begins
            users=by_bus(states[user_id] for user_id in sorted(states)),
        )

    # ---- money, and small things -----------------------------------------------------------------------------------

    @answers(Invoice)
    async def on_invoice(self, invoice: Invoice, incoming: Incoming) -> Inform | Refuse:
        """2.x.1: what the FO is owed for its services."""
        return pay_or_refuse(self.ledger, invoice, customer=self.address, emsp=incoming.sender, at=self.now())

    @staticmethod
    def _answer(signal: Asked, available_kw: float, reason: str | None) -> ServiceAnswer:
        return ServiceAnswer(service_id=signal.service_id, available_power_kw=available_kw, reason=reason)

    def _within(self, patience: timedelta, due: datetime | None) -> datetime:
        """The end of one's patience with others, early enough for one's own answer that is `due`."""
        until = self.now() + patience
        return until if due is None else max(self.now(), min(until, due - IN_HAND))

    def _forget(self) -> None:
        old = self.now() - REMEMBERED
        self.kept = {name: s for name, s in self.kept.items() if not (s.is_over and s.end < old)}


def _flexible(user: UserState, power_kw: float) -> bool:
    return (user.increase_kw if power_kw > 0 else user.decrease_kw) > 0


def _place(signal: Asked) -> tuple[str, str | None]:
    return signal.service, signal.location if isinstance(signal, VoltageRequest) else None


def _rejection(service: FoService) -> Reason:
    if service.called_off:
        return Reason(code="called-off", reason="the service is no longer needed")
    return Reason(code="not-chosen", reason="the need is met by other vehicles, or the offer could not be taken")
