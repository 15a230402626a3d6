"""A campus for the DSO of BUC 3: a network of two feeders, managers that offer as the test says, chargers' meters.

The network is linear and without losses: a transformer of 100 kW, line A of 50 kW to the buses a1 and a2, line B of
80 kW to b1. Positive power is drawn. Each bus has chargers `<bus>-1` to `<bus>-3`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agents.actor import Actor
from agents.congestion_dso import CongestionDso
from agents.decisions.pricing import OperatorCosts
from agents.grid_environment import GridEnvironment
from agents.grid_view import Direction, GridState, Hosting, Limits, Relief, Sensitivity
from agents.quarter_cycle import MEASURED_AFTER
from behaviours.answering import (
    AcceptProposal,
    Agree,
    Failure,
    Incoming,
    Inform,
    Propose,
    RejectProposal,
    Reply,
    answers,
    cancels,
    failure,
    refusal,
)
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.agents.stage import QUARTER, Stage, Typical, at
from tests.swarm import START

CAMPUS = "campus"
ZONE = ZoneInfo("Europe/Copenhagen")
BUSES = ("a1", "a2", "b1")
LINES = {"line A": ("a1", "a2"), "line B": ("b1",)}
RATINGS_KW = {"t1": 100.0, "line A": 50.0, "line B": 80.0}
CHARGERS = {f"{bus}-{n}": bus for bus in BUSES for n in (1, 2, 3)}
Rule = Callable[[datetime], Mapping[str, float]]
COSTS = OperatorCosts()


@dataclass
class TwoFeeders:
    """The port `GridModel` for that network; `base_kw` is drawn besides the chargers, `pu_per_kw` the voltage drop."""

    base_kw: Rule = field(default=lambda when: {})
    pu_per_kw: float = 0.0
    buses: tuple[str, ...] = BUSES
    asked: list[dict[str, list[float]]] = field(default_factory=list)

    def look_ahead(
        self,
        charger_kw_by_bus: Mapping[str, Sequence[float]],
        start: datetime,
        periods: int,
        *,
        now: datetime | None = None,
    ) -> list[GridState]:
        self.asked.append({bus: list(kw) for bus, kw in charger_kw_by_bus.items()})
        found = []
        for k in range(periods):
            base = self.base_kw(start + k * QUARTER)
            kw = np.array([base.get(bus, 0.0) + float(charger_kw_by_bus.get(bus, [0.0] * periods)[k]) for bus in BUSES])
            flow = {name: sum(kw[BUSES.index(bus)] for bus in behind) for name, behind in LINES.items()}
            found.append(
                GridState(
                    buses=BUSES,
                    lines=tuple(LINES),
                    transformer="t1",
                    p_kw=kw,
                    q_kvar=np.zeros(len(BUSES)),
                    vm_pu=1.0 - self.pu_per_kw * kw,
                    line_loading_percent=np.array([abs(flow[name]) / RATINGS_KW[name] * 100 for name in LINES]),
                    trafo_loading_percent=abs(float(kw.sum())) / RATINGS_KW["t1"] * 100,
                    trafo_p_kw=float(kw.sum()),
                    trafo_q_kvar=0.0,
                    losses_kw=0.0,
                    at=start + k * QUARTER,
                )
            )
        return found

    def sensitivity(self, state: GridState) -> Sensitivity:
        rows = [
            [100 / RATINGS_KW[name] * np.sign(sum(state.p_kw[BUSES.index(b)] for b in behind)) * (bus in behind)
             for bus in BUSES]
            for name, behind in LINES.items()
        ]  # fmt: skip
        trafo = np.full(len(BUSES), 100 / RATINGS_KW["t1"] * np.sign(state.trafo_p_kw))
        return Sensitivity(-self.pu_per_kw * np.eye(len(BUSES)), np.array(rows), trafo)

    def hosting(
        self,
        bus: str | Mapping[str, float],
        direction: Direction,
        limits: Limits,
        *,
        up_to_kw: float = 1000.0,
        already_kw: Mapping[str, float] | None = None,
        between: tuple[time, time] | None = None,
    ) -> Hosting:
        raise NotImplementedError

    def relief(self, state: GridState, available_kw: Mapping[str, float], limits: Limits) -> Relief:
        raise NotImplementedError


def activation(
    name: str, kw: float, *users: str, cost: str = "0.01", kind: str = "shift", hours: float = 1.0
) -> x.FlexibilityActivation:
    return x.FlexibilityActivation(
        activation_id=name,
        kind=x.ActivationKind(kind),
        users=users,
        power_kw=kw,
        energy_kwh=kw * hours,
        cost_eur_per_kwh=Decimal(cost),
        departure_soc_percent=70.0,
    )


class Lot(Actor):
    """A V2X manager whose chargers draw `plan` (kW by bus), and that keeps what it promises unless told otherwise.

    `offers`: kW of an offer to a call, 0 refuses (with the code `refuses`), None keeps silent; `changes`: fields of an
    offer that are not as they should be. `result` of an award: "done", "fails" (at once) or "silent". `delivers`: part
    of what was awarded that the meters show. `tells`: whether schedules are sent.
    """

    role = Role.V2X_MANAGER
    location = CAMPUS

    def __init__(self, *arguments: Any, plan: Rule, offers: Callable[[x.CongestionCall], float | None]) -> None:
        super().__init__(*arguments)
        self.plan, self.offers = plan, offers
        self.tells, self.subscribes = True, True
        self.told_beside: dict[str, float] = {}
        self.changes: dict[str, Any] = {}
        self.kind = "shift"
        self.result, self.delivers = "done", 1.0
        self.accepts: str | None = "yes"
        self.stops = True
        self.refuses = "not-worth-it"
        self.calls: list[x.CongestionCall] = []
        self.won: list[tuple[datetime, x.CongestionCall, float]] = []
        self.lost: list[x.Reason] = []
        self.ends: list[tuple[datetime, x.CongestionEnd]] = []
        self.settlements: list[x.CongestionSettlement] = []
        self._stopped: dict[str, datetime] = {}

    def buses(self) -> list[str]:
        return sorted(self.plan(START))

    def helped_kw(self, bus: str, when: datetime) -> float:
        """What services that run take away at a bus: shared over the call's buses by what is planned there."""
        less = 0.0
        for _, call, kw in self.won:
            until = min(call.end, self._stopped.get(call.request_id, call.end))
            mine = [b for b in self.buses() if b in call.buses]
            if call.start <= when < until and bus in mine:
                less += kw / len(mine)
        return less

    def draws_kw(self, bus: str, when: datetime) -> float:
        return self.plan(when)[bus] - self.delivers * self.helped_kw(bus, when)

    async def course(self) -> None:
        start = START
        while True:
            await self.clock.sleep_until(start + MEASURED_AFTER)
            if self.tells:
                await self.tell(start + QUARTER)
            start += QUARTER

    async def tell(self, start: datetime, periods: int = 12) -> None:
        for topic in self.subscriptions(x.ScheduleSubscription):
            when = [start + k * QUARTER for k in range(periods)]
            buses = tuple(
                x.BusSchedule(
                    bus=bus,
                    power_kw=tuple(
                        round(self.plan(t).get(bus, 0.0) - self.helped_kw(bus, t) + self.told_beside.get(bus, 0.0), 6)
                        for t in when
                    ),
                )
                for bus in [*self.buses(), *(set(self.told_beside) - set(self.buses()))]
            )
            told = x.ChargingSchedule(request_id=topic.request_id, timestamp=self.now(), start=start, buses=buses)
            await self.publish(x.ScheduleSubscription, told, topic.__eq__)

    @answers(x.ScheduleSubscription)
    async def on_subscription(self, topic: x.ScheduleSubscription, incoming: Incoming) -> Reply:
        if not self.subscribes:
            return refusal("no", "it is nobody's business")
        return Agree(x.Done(reference=topic.request_id))

    @answers(x.CongestionCall)
    async def on_call(self, call: x.CongestionCall, incoming: Incoming) -> Reply:
        self.calls.append(call)
        kw = self.offers(call)
        if kw is None:
            await asyncio.Event().wait()
        if not kw:
            return refusal(self.refuses, "it would not pay")
        periods = [call.start + k * QUARTER for k in range((call.end - call.start) // QUARTER)]
        mine = [bus for bus in self.buses() if bus in call.buses]
        values: dict[str, Any] = {
            "request_id": call.request_id,
            "timestamp": self.now(),
            "power_kw": kw,
            "baseline_kw": tuple(sum(self.plan(t)[b] - self.helped_kw(b, t) for b in mine) for t in periods),
            "activations": (
                activation("a1", kw, *(f"{bus}-1" for bus in mine), kind=self.kind, hours=len(periods) / 4),
            ),
        }
        return Propose(x.SolutionOffer(**values | self.changes))

    @answers(x.SolutionAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, award: x.SolutionAward, incoming: Incoming) -> Reply:
        call = next(c for c in self.calls if c.request_id == award.request_id)
        if self.result == "fails":
            return failure("no-drivers", "no driver agrees")
        self.won.append((self.now(), call, award.power_kw))
        if self.result == "breaks":
            await self.clock.sleep_until(call.start + timedelta(minutes=5))
            self._stopped[call.request_id] = self.now()
            return failure("no-drivers", "all have left")
        if self.result == "silent":
            await asyncio.Event().wait()
        await self.clock.sleep_until(call.end)
        return Inform(x.Done(reference=award.request_id))

    @answers(x.SolutionAward, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: x.Reason, incoming: Incoming) -> None:
        self.lost.append(reason)

    @answers(x.Reason, on=Performative.REJECT_PROPOSAL)
    async def on_reason(self, reason: x.Reason, incoming: Incoming) -> None:
        self.lost.append(reason)

    @cancels(x.CongestionCall)
    async def on_cancel(self, call: x.CongestionCall, incoming: Incoming) -> Inform | Failure:
        end = x.CongestionEnd.from_json(incoming.message.content)
        self.ends.append((self.now(), end))
        if not self.stops:
            return failure("no", "it goes on")
        self._stopped[call.request_id] = self.now()
        return Inform(x.Done(reference=call.request_id))

    @answers(x.CongestionSettlement)
    async def on_settlement(self, settlement: x.CongestionSettlement, incoming: Incoming) -> Reply:
        self.settlements.append(settlement)
        if self.accepts is None:
            await asyncio.Event().wait()
        if self.accepts != "yes":
            return RejectProposal(x.SettlementAnswer(settlement_id=settlement.settlement_id, reason=self.accepts))
        return AcceptProposal(x.SettlementAnswer(settlement_id=settlement.settlement_id))


class CampusWorld:
    """The port `PhysicalWorld` of a campus's chargers: what a lot draws at a bus is drawn by its first charger there.
    `broken`: chargers without a reading."""

    def __init__(self, stage: Stage, lots: Sequence[Lot], chargers: Mapping[str, str]) -> None:
        self.stage, self.lots, self.chargers = stage, lots, chargers
        self.broken: set[str] = set()

    def voltage_v(self, location: str) -> float:
        raise LookupError(f"there is no bus {location}")

    def frequency_hz(self) -> float:
        return 50.0

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        charger = location.removeprefix("charger:")
        if charger in self.broken or charger not in self.chargers:
            raise LookupError(f"there is no reading at {location}")
        minute = timedelta(minutes=1)
        means = []
        for k in range((end - start) // period):
            moments = [start + k * period + m * minute for m in range(period // minute)]
            means.append(sum(self._kw(charger, when) for when in moments) / len(moments))
        return tuple(means)

    def _kw(self, charger: str, when: datetime) -> float:
        bus = self.chargers[charger]
        if charger != f"{bus}-1":
            return 0.0
        return sum(lot.draws_kw(bus, when) for lot in self.lots if bus in lot.buses())


@dataclass
class Campus:
    """What a test looks at."""

    stage: Stage
    dso: CongestionDso
    lots: dict[str, Lot]
    world: CampusWorld
    model: Any

    def calls(self, lot: str) -> list[x.CongestionCall]:
        return self.lots[lot].calls


Offers = Callable[[x.CongestionCall], "float | None"]


async def campus(
    stage: Stage,
    plans: Mapping[str, Rule],
    *,
    offers: Mapping[str, Offers] | None = None,
    model: Any = None,
    limits: Callable[[datetime], Limits] = lambda when: Limits(),
    until: float = 240,
    meters: bool = True,
    prepare: Callable[[Campus], None] = lambda here: None,
    **options: Any,
) -> Campus:
    """The DSO with one lot for each of `plans` (kW by bus at a time); without `offers` each offers what is asked for,
    as far as its plan reaches."""

    def plain(name: str) -> Offers:
        def offer(call: x.CongestionCall) -> float:
            periods = [call.start + k * QUARTER for k in range((call.end - call.start) // QUARTER)]
            lot = lots[name]
            planned = [
                sum(lot.plan(t)[b] - lot.helped_kw(b, t) for b in lot.buses() if b in call.buses) for t in periods
            ]
            return min(call.power_kw, *planned)

        return offer

    lots: dict[str, Lot] = {}
    for name, plan in plans.items():
        lots[name] = await stage.start(Lot, name, plan=plan, offers=(offers or {}).get(name) or plain(name))
    world = CampusWorld(stage, list(lots.values()), options.get("connections", CHARGERS))
    if meters:
        await stage.start(GridEnvironment, "environment", world=world, interval=QUARTER)
    network = model or TwoFeeders()
    dso = await stage.start(
        CongestionDso,
        "dso",
        **{
            "campus": CAMPUS,
            "model": network,
            "limits": limits,
            "connections": CHARGERS,
            "costs": COSTS,
            "typical": Typical(),
            "ledger": stage.ledger,
            "zone": ZONE,
            "until": at(until),
            "margin": 0.0,
        }
        | options,
    )
    here = Campus(stage, dso, lots, world, network)
    prepare(here)
    dso.spawn(dso.course(), "course")
    for lot in lots.values():
        lot.spawn(lot.course(), "course")
    return here


def steady(**kw: float) -> Rule:
    """The same at all times."""
    return lambda when: kw


def between(first: float, last: float, inside: Mapping[str, float], outside: Mapping[str, float]) -> Rule:
    """One plan from one minute to another, another one besides."""
    return lambda when: inside if at(first) <= when < at(last) else outside
