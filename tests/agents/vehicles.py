"""Peers of the flexibility operator and the EMSP that do as the test says: managers, askers, meters, customers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.actor import Actor
from agents.ledger import Ledger
from agents.paying import pay_or_refuse
from behaviours.answering import (
    Agree,
    Failure,
    Incoming,
    Inform,
    Propose,
    Refuse,
    Reply,
    answers,
    cancels,
    failure,
    refusal,
)
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.agents.stage import MINUTE, QUARTER, Stage, at
from tests.swarm import jid

FEEDER, OTHER = "feeder1", "feeder2"
UP, DOWN = 1.0, -1.0


def state(user_id: str, bus: str = "bus1", **changed: Any) -> x.UserState:
    values: dict[str, Any] = {
        "user_id": user_id,
        "location": bus,
        "power_kw": 2.0,
        "energy_kwh": 0.5,
        "soc_percent": 50.0,
        "soc_kwh": 25.0,
        "charging_rate_kw": 11.0,
        "energy_required_kwh": 10.0,
        "baseline_kw": 2.0,
        "increase_kw": 4.0,
        "decrease_kw": 4.0,
    }
    return x.UserState(**values | changed)


class Manager(Actor):
    """A V2X manager of chargers (`user_id: bus`), each of which can do 4 kW more or less than 2 kW."""

    role = Role.V2X_MANAGER

    def __init__(
        self,
        *arguments: Any,
        chargers: Mapping[str, str],
        feeder: str | None = FEEDER,
        offers: Callable[[Any], Reply | None] | None = None,
        confirms: Callable[[Any], Reply | None] = lambda award: None,
    ) -> None:
        super().__init__(*arguments)
        self.location = feeder
        self.chargers = chargers
        self.offers = offers
        self.confirms = confirms
        self.serves = True
        self.calls: list[Any] = []
        self.awards: list[Any] = []
        self.rejected: list[x.Reason] = []
        self.cancelled: list[str] = []
        self.over: dict[str, asyncio.Event] = {}

    def states(self, **changed: Any) -> tuple[x.UserState, ...]:
        return tuple(state(user_id, bus, **changed) for user_id, bus in self.chargers.items())

    @answers(x.MeasurementsSubscription)
    async def on_measurements(self, topic: x.MeasurementsSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=topic.request_id)) if self.serves else refusal("busy", "not now")

    @answers(x.ParticipationSubscription)
    async def on_participation(self, topic: x.ParticipationSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=topic.request_id)) if self.serves else refusal("busy", "not now")

    async def tell(self, stamp: datetime | None = None, end: datetime | None = None, **changed: Any) -> None:
        """2.1 of the quarter of an hour that ended at `end`."""
        end = end or at((self.now() - at(0)) // QUARTER * 15)
        content = x.Measurements(
            request_id="r",
            timestamp=stamp or self.now(),
            source=self.name,
            start=end - QUARTER,
            end=end,
            production_kw=0.0,
            ev_kw=2.0 * len(self.chargers),
            p_kw=1.5,
            q_kvar=0.25,
            forecast_kw=2.0 * len(self.chargers),
            users=self.states(**changed),
        )
        await self.publish(x.MeasurementsSubscription, content)

    @answers(x.CurtailmentCall)
    async def on_curtailment_call(self, call: x.CurtailmentCall, incoming: Incoming) -> Reply:
        return await self._offer(call, x.Availability)

    @answers(x.VoltageCall)
    async def on_voltage_call(self, call: x.VoltageCall, incoming: Incoming) -> Reply:
        return await self._offer(call, x.ParticipationResponse)

    async def _offer(self, call: Any, kind: Any) -> Reply:
        self.calls.append(call)
        if self.offers is not None:
            reply = self.offers(call)
            if reply is None:
                await asyncio.Event().wait()
            assert reply is not None
            return reply
        return Propose(self.offer(call, kind))

    def offer(self, call: Any, kind: Any, **changed: Any) -> Any:
        sign = 1 if call.power_kw > 0 else -1
        users = tuple(
            x.EvOffer(
                user_id=user_id,
                ev_owner=jid(f"ev-{user_id}"),
                location=bus,
                baseline_kw=2.0,
                power_kw=4.0 * sign,
                energy_kwh=2.0 * sign,
            )
            for user_id, bus in self.chargers.items()
        )
        values: dict[str, Any] = {
            "timestamp": self.now(),
            "request_id": call.request_id,
            "user_id": self.name,
            "service": call.service,
            "power_kw": sum(u.power_kw for u in users),
            "energy_kwh": sum(u.energy_kwh for u in users),
            "duration_minutes": call.duration_minutes,
            "users": users,
        }
        return kind(**values | changed)

    @answers(x.CurtailmentAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_curtailment_award(self, award: x.CurtailmentAward, incoming: Incoming) -> Reply:
        return await self._deliver(award, incoming, Inform(x.Done(reference=award.service_id)))

    @answers(x.VoltageAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_voltage_award(self, award: x.VoltageAward, incoming: Incoming) -> Reply:
        info = x.ParticipationInfo(
            request_id=award.request_id,
            timestamp=award.start,
            service=award.service,
            service_id=award.service_id,
            start=award.start,
            end=award.start + QUARTER,
            users=self.states(power_kw=-2.0, service=award.service),
        )
        return await self._deliver(award, incoming, Inform(info))

    async def _deliver(self, award: Any, incoming: Incoming, result: Reply) -> Reply:
        self.awards.append(award)
        if (reply := self.confirms(award)) is not None:
            return reply
        over = self.over[award.service_id] = asyncio.Event()
        self.clock.call_at(award.start + timedelta(minutes=award.duration_minutes), over.set)
        if award.renews in self.over:
            self.clock.call_at(award.start, self.over[award.renews].set)
        await over.wait()
        if award.service_id in self.cancelled:
            await incoming.cancelled.wait()
        return result

    @answers(x.Reason, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: x.Reason, incoming: Incoming) -> None:
        self.rejected.append(reason)

    @cancels(x.CurtailmentCall)
    async def on_cancel_curtailment(self, call: x.CurtailmentCall, incoming: Incoming) -> Reply:
        return self._cancel(call)

    @cancels(x.VoltageCall)
    async def on_cancel_voltage(self, call: x.VoltageCall, incoming: Incoming) -> Reply:
        return self._cancel(call)

    def _cancel(self, call: Any) -> Reply:
        self.cancelled.append(call.service_id)
        self.over.setdefault(call.service_id, asyncio.Event()).set()
        return Inform(x.Done(reference=call.service_id))


class Asker(Actor):
    """A TSO or DSO that hears what it subscribed to, and pays what it owes."""

    def __init__(self, *arguments: Any, ledger: Ledger | None = None) -> None:
        super().__init__(*arguments)
        self.ledger = ledger
        self.heard: list[Any] = []
        self.invoices: list[x.Invoice] = []
        self.pays = True

    async def hear(self, kind: Any, to: str = "fo") -> None:
        topic = kind(request_id=f"{self.name}-{kind.__name__}", timestamp=self.now())
        await self.subscribe(topic, to=jid(to), on_inform=self.heard.append, reply_by=self.now() + MINUTE)

    async def ask(self, signal: x.Content, to: str = "fo", minutes: float = 4.0) -> Any:
        return await self.request(signal, to=jid(to), reply_by=self.now() + timedelta(minutes=minutes), done_by=at(600))

    @answers(x.Invoice)
    async def on_invoice(self, invoice: x.Invoice, incoming: Incoming) -> Reply:
        self.invoices.append(invoice)
        if not self.pays:
            return refusal("no-money", "the account is empty")
        assert self.ledger is not None
        return pay_or_refuse(self.ledger, invoice, customer=self.address, emsp=incoming.sender, at=self.now())


class Tso(Asker):
    role = Role.TSO


class Dso(Asker):
    """Tells of the room behind its feeders whoever asked for it."""

    role = Role.DSO

    @answers(x.HeadroomSubscription)
    async def on_headroom_subscription(self, topic: x.HeadroomSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=topic.request_id))

    async def tell_room(self, start: float, **feeders: float) -> None:
        """`feeders`: kW by feeder, for the quarter from that minute."""
        for topic in self.subscriptions(x.HeadroomSubscription):
            room = tuple(
                x.FeederHeadroom(feeder=name.replace("_", "-"), increase_kw=kw) for name, kw in feeders.items()
            )
            told = x.Headroom(request_id=topic.request_id, timestamp=self.now(), start=at(start), feeders=room)
            await self.publish(x.HeadroomSubscription, told)


class Driver(Asker):
    role = Role.EV_OWNER


class PayingManager(Asker):
    role = Role.V2X_MANAGER


class PayingFo(Asker):
    role = Role.FO


class Billing(Actor):
    """An EMSP that agrees to every notice, or refuses with the reason given."""

    role = Role.EMSP

    def __init__(self, *arguments: Any, refuses: str | None = None) -> None:
        super().__init__(*arguments)
        self.refuses = refuses
        self.notices: list[Any] = []
        self.cancelled: list[str] = []

    @answers(x.CurtailmentNotice)
    async def on_curtailment(self, notice: x.CurtailmentNotice, incoming: Incoming) -> Reply:
        return await self._note(notice, incoming)

    @answers(x.VoltageNotice)
    async def on_voltage(self, notice: x.VoltageNotice, incoming: Incoming) -> Reply:
        return await self._note(notice, incoming)

    async def _note(self, notice: Any, incoming: Incoming) -> Reply:
        self.notices.append(notice)
        if self.refuses is not None:
            return refusal("no", self.refuses)
        await incoming.agree(x.Done(reference=notice.service_id))
        await self.clock.sleep_until(notice.start + timedelta(minutes=notice.duration_minutes))
        return Inform(x.Done(reference=notice.service_id))

    @cancels(x.CurtailmentNotice)
    async def on_cancel(self, notice: x.CurtailmentNotice, incoming: Incoming) -> Reply:
        self.cancelled.append(notice.service_id)
        return Inform(x.Done(reference=notice.service_id))

    @cancels(x.VoltageNotice)
    async def on_cancel_voltage(self, notice: x.VoltageNotice, incoming: Incoming) -> Reply:
        self.cancelled.append(notice.service_id)
        return Inform(x.Done(reference=notice.service_id))


class Meters(Actor):
    """Meters that show 2 kW, or what `shown` says of a charger at a time; `dead` ones are not there."""

    role = Role.ENVIRONMENT

    def __init__(self, *arguments: Any, shown: Callable[[str, datetime], float] = lambda charger, when: 2.0) -> None:
        super().__init__(*arguments)
        self.shown = shown
        self.dead: set[str] = set()
        self.queries: list[x.MeterQuery] = []

    @answers(x.MeterQuery)
    async def on_query(self, query: x.MeterQuery, incoming: Incoming) -> Inform | Refuse | Failure:
        self.queries.append(query)
        if query.end > self.now():
            return failure("no-reading", "that is still to come")
        chargers = [place.removeprefix("charger:") for place in query.locations]
        if gone := self.dead.intersection(chargers):
            return refusal("no-reading", f"there is no meter at {min(gone)}")
        count = int((query.end - query.start) / MINUTE)

        def mean(charger: str, first: int) -> float:
            minutes = [
                self.shown(charger, query.start + k * MINUTE) for k in range(first, first + query.period_minutes)
            ]
            return round(sum(minutes) / len(minutes), 4)

        series = tuple(
            x.MeterSeries(
                location=f"charger:{charger}",
                power_kw=tuple(mean(charger, first) for first in range(0, count, query.period_minutes)),
            )
            for charger in chargers
        )
        return Inform(
            x.MeterReading(start=query.start, end=query.end, period_minutes=query.period_minutes, series=series)
        )


def activation(service_id: str = "s1", power_kw: float = 6.0, start: float = 15, **changed: Any) -> Any:
    """2.3 of the TSO; with `renews` it is a renewal."""
    values: dict[str, Any] = {
        "timestamp": at(0),
        "service_id": service_id,
        "service": x.ServiceType.RES_CURTAILMENT,
        "start": at(start),
        "duration_minutes": 30,
        "charging_cost_eur_per_kwh": Decimal("0.15"),
        "discharging_remuneration_eur_per_kwh": Decimal("0.15"),
        "signal": x.SignalType.RENEWAL if changed.get("renews") else x.SignalType.ACTIVATION,
        "user_id": "fo",
        "power_kw": power_kw,
    }
    return x.CurtailmentActivation(**values | changed)


def voltage(service_id: str = "v1", power_kw: float = -6.0, start: float = 15, **changed: Any) -> Any:
    """4.1.1 of the DSO."""
    values = dict(activation(service_id, abs(power_kw), start)) | {
        "exchange": "4.1.1",
        "service": x.ServiceType.VOLTAGE_CONTROL,
        "signal": x.SignalType.RENEWAL if changed.get("renews") else x.SignalType.ACTIVATION,
        "power_kw": power_kw,
        "request_id": service_id,
        "location": FEEDER,
        "at": (x.BusChange(bus="bus1", power_kw=power_kw),),
        "grid_use_eur_per_kwh": Decimal("0.20"),
        "charging_cost_eur_per_kwh": Decimal("0.36"),
        "discharging_remuneration_eur_per_kwh": Decimal("0.36"),
    }
    return x.VoltageRequest(**values | changed)


def script(stage: Stage, *exchanges: str) -> list[str]:
    """What was said of these exchanges so far."""
    return [
        f"{m.sender.partition('@')[0]} > {m.receiver.partition('@')[0]}: {m.performative} {m.exchange or ''}".strip()
        for _, m in stage.recorder.messages
        if m.exchange in exchanges
    ]
