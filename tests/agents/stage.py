"""A stage for the actors: chargers with real batteries but no Modbus, a grid of one transformer, meters, and peers.

Positive power is drawn from the grid. Nothing here is random, and time is the virtual clock's.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from agents.actor import Actor
from agents.cpo import Cpo
from agents.decisions.bidding import Strategy
from agents.decisions.planning import Costs
from agents.grid_environment import GridEnvironment
from agents.grid_view import Direction, GridState, Hosting, Limits, Relief, Sensitivity, Violation
from agents.ledger import Ledger
from agents.ports import ChargerError, ChargerReading
from agents.vpp import Vpp
from behaviours.answering import (
    AcceptProposal,
    Agree,
    Incoming,
    Inform,
    Refuse,
    RejectProposal,
    Reply,
    answers,
    cancels,
)
from behaviours.outcomes import Informed
from behaviours.swarm import ServerAccess
from environment.vehicles import Fleet, Vehicle
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid

MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
EFFICIENCY = 0.94
PRODUCT = "t1-congestion"
POINT = "t1"
COSTS = Costs(energy_eur_per_kwh=0.15, wear_eur_per_kwh=0.04)


def at(minutes: float) -> datetime:
    """The time so many minutes after the start, which is the beginning of a quarter."""
    return START + timedelta(minutes=minutes)


class Stage(SwarmUnderTest):
    """A swarm with books and with what the agents told their user; charger meters are kept each minute."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.chargers: dict[str, FakeCharger] = {}
        super().__init__()
        self.ledger = Ledger("sqlite://")

    def _set_up(self, access: ServerAccess | None) -> None:
        super()._set_up(access)
        self.swarm = dataclasses.replace(self.swarm, notice=lambda who, text: self.notices.append(f"{who}: {text}"))

    async def _open(self) -> None:
        await super()._open()
        self._ticking = asyncio.get_running_loop().create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            for charger in self.chargers.values():
                charger.keep_history()
            await self.clock.sleep_until(self.clock.now() + MINUTE, priority=0)

    async def _stop(self) -> None:
        self._ticking.cancel()
        await super()._stop()
        self.ledger.close()

    async def until(self, minutes: float) -> None:
        """Lets scenario time pass until so many minutes after the start; what happens then has happened."""
        await self.clock.sleep_until(at(minutes), priority=99)
        await self.settle()

    def said(self, content: type[x.Content], sender: str | None = None, performative: str | None = None) -> list[Any]:
        """The contents of this class that were said so far, in order."""
        found = []
        for _, message in self.recorder.messages:
            if sender is not None and message.sender != jid(sender):
                continue
            if performative is not None and message.performative != performative:
                continue
            names = set(message.content) - {"exchange"}
            if names <= set(content.model_fields) and message.content.get("exchange") == _exchange_of(content):
                try:
                    found.append(content.from_json(message.content))
                except x.ContentError:
                    continue
        return found

    def noticed(self, text: str) -> int:
        """How many notices contain this text."""
        return sum(text in notice for notice in self.notices)

    def balance(self, account: str) -> Decimal:
        """What the account has received less what it gave."""
        return self.ledger.balances().get(account, Decimal(0))


def _exchange_of(content: type[x.Content]) -> str | None:
    return content.model_fields["exchange"].default  # type: ignore[no-any-return]


# ---- chargers ------------------------------------------------------------------------------------------------------


class FakeCharger:
    """The port `Charger` with a real battery behind it. `orders` has every setpoint that was written."""

    def __init__(self, stage: Stage, charger_id: str, max_charge_kw: float = 11.0, max_discharge_kw: float = 7.4):
        self.charger_id = charger_id
        self.max_charge_kw, self.max_discharge_kw = max_charge_kw, max_discharge_kw
        self.fault: ChargerError | None = None
        self.reads = 0
        self.orders: list[tuple[datetime, float, int]] = []
        self.meter_kwh = 0.0
        self._now = stage.clock.now
        self._at = stage.clock.now()
        self._fleet: Fleet | None = None
        self._target_kwh = 0.0
        self._setpoint_kw: float | None = None
        self._reverts_at: datetime | None = None
        self._history: dict[datetime, float] = {self._at: 0.0}
        stage.chargers[charger_id] = self

    def plug_in(self, vehicle: Vehicle, wanted_soc: float) -> None:
        self._advance()
        self._fleet = Fleet([vehicle])
        self._fleet.connected[:] = True
        self._target_kwh = wanted_soc * vehicle.capacity_kwh
        self._setpoint_kw = self._reverts_at = None

    def unplug(self) -> float:
        """The state of charge with which the vehicle leaves."""
        self._advance()
        assert self._fleet is not None
        soc = float(self._fleet.soc[0])
        self._fleet = self._setpoint_kw = self._reverts_at = None
        return soc

    @property
    def soc_percent(self) -> float:
        self._advance()
        assert self._fleet is not None
        return float(self._fleet.soc[0]) * 100

    @property
    def power_kw(self) -> float:
        self._advance()
        if self._fleet is None:
            return 0.0
        return float(self._fleet.power_kw(*self._wish())[0])

    def setpoints(self) -> list[float]:
        return [kw for _, kw, _ in self.orders]

    def metered_kw(self, start: datetime, end: datetime) -> float:
        """Mean kW between two whole minutes that are past."""
        return (self._history[end] - self._history[start]) / ((end - start) / timedelta(hours=1))

    def keep_history(self) -> None:
        self._advance()
        self._history[self._now()] = self.meter_kwh

    def _wish(self) -> tuple[Any, Any]:
        """The setpoint in kW and the energy at which charging ends; by its own plan it charges up to what is wanted."""
        own = self._setpoint_kw is None
        setpoint = self.max_charge_kw if self._setpoint_kw is None else self._setpoint_kw
        setpoint = min(max(setpoint, -self.max_discharge_kw), self.max_charge_kw)
        return np.array([setpoint]), np.array([self._target_kwh if own else np.inf])

    def _advance(self) -> None:
        now = self._now()
        while self._at < now:
            until = now if self._reverts_at is None else min(now, self._reverts_at)
            if self._fleet is not None and until > self._at:
                hours = (until - self._at) / timedelta(hours=1)
                setpoint, stop = self._wish()
                self.meter_kwh += float(self._fleet.step(setpoint, hours * 3600, stop)[0]) * hours
            self._at = max(self._at, until)
            if self._reverts_at is not None and self._reverts_at <= self._at:
                self._setpoint_kw = self._reverts_at = None

    async def read(self) -> ChargerReading:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        power = self.power_kw
        fleet = self._fleet
        there = fleet is not None
        state = x.ChargerState.UNPLUGGED if not there else x.ChargerState.IDLE
        if there and power:
            state = x.ChargerState.CHARGING if power > 0 else x.ChargerState.DISCHARGING
        return ChargerReading(
            power_kw=round(power, 3),
            voltage_v=231.0,
            frequency_hz=50.01,
            connected=there,
            soc_percent=None if fleet is None else float(fleet.soc[0]) * 100,
            energy_kwh=None if fleet is None else float(fleet.energy_kwh[0]),
            capacity_kwh=None if fleet is None else float(fleet.capacity_kwh[0]),
            max_charge_kw=0.0 if fleet is None else min(self.max_charge_kw, float(fleet.max_charge_kw[0])),
            max_discharge_kw=0.0 if fleet is None else min(self.max_discharge_kw, float(fleet.max_discharge_kw[0])),
            state=state,
            meter_kwh=self.meter_kwh,
        )

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        if self.fault is not None:
            raise self.fault
        self._advance()
        self.orders.append((self._now(), power_kw, reversion_s))
        self._setpoint_kw = power_kw
        self._reverts_at = self._now() + timedelta(seconds=reversion_s)

    async def release(self) -> None:
        self._advance()
        self._setpoint_kw = self._reverts_at = None

    async def heartbeat(self) -> None:
        """Nothing supervises it here."""

    async def set_droop(self, *, full_activation_hz: float, deadband_hz: float = 0.0, response_s: float = 0.0) -> None:
        raise NotImplementedError

    async def stop_droop(self) -> None:
        raise NotImplementedError


# ---- drivers and their operator ------------------------------------------------------------------------------------


@dataclass
class Car:
    """A vehicle's stay, in minutes after the start; states of charge in percent."""

    charger_id: str
    soc: float = 30.0
    wanted: float = 80.0
    arrives: float = 1.0
    leaves: float = 600.0
    capacity_kwh: float = 50.0
    minimum: float = 20.0
    bus: str = "bus1"
    announced: bool = True

    @property
    def driver(self) -> str:
        return f"ev-{self.charger_id}"


class Driver(Actor):
    """An EV owner who decides as the test says. `decides` gives the reason to decline, None to take part; a driver
    without it does not answer."""

    role = Role.EV_OWNER

    def __init__(self, *arguments: Any, decides: Callable[[Any], str | None] | None = lambda offer: None) -> None:
        super().__init__(*arguments)
        self.decides = decides
        self.asked: list[Any] = []

    @answers(x.ParticipationInformation)
    async def on_information(self, offer: x.ParticipationInformation, incoming: Incoming) -> Reply:
        return await self._decide(offer, x.ParticipationAnswer)

    @answers(x.ParticipationRequest)
    async def on_request(self, offer: x.ParticipationRequest, incoming: Incoming) -> Reply:
        return await self._decide(offer, x.ParticipationReply)

    async def _decide(self, offer: Any, kind: Any) -> Reply:
        self.asked.append(offer)
        if self.decides is None:
            await asyncio.Event().wait()
            raise AssertionError("nobody sets this event")
        reason = self.decides(offer)
        answer = kind(activation_id=offer.activation_id, reason=reason)
        return AcceptProposal(answer) if reason is None else RejectProposal(answer)

    async def announce(self, cpo: str, car: Car, *, plugged_in: bool = True) -> Any:
        announcement = x.SessionAnnouncement(
            charger_id=car.charger_id,
            vehicle_id=f"car-{car.charger_id}",
            plugged_in=plugged_in,
            arrival=at(car.arrives),
            departure=at(car.leaves),
            capacity_kwh=car.capacity_kwh,
            soc_percent=car.soc,
            wanted_soc_percent=car.wanted,
            minimum_soc_percent=car.minimum,
        )
        return await self.request(announcement, to=jid(cpo), reply_by=self.now() + MINUTE)


class Site:
    """A real CPO with chargers that are fakes, and drivers who do as told."""

    def __init__(self, stage: Stage, cpo: Cpo, cars: Sequence[Car], drivers: Mapping[str, Driver]) -> None:
        self.stage, self.cpo, self.cars = stage, cpo, cars
        self.drivers = dict(drivers)
        self.left_with: dict[str, float] = {}

    @classmethod
    async def open(
        cls,
        stage: Stage,
        cars: Sequence[Car],
        *,
        name: str = "cpo1",
        vpp: str = "vpp1",
        pv_bus: str | None = None,
        costs: Costs = COSTS,
        owner_benefit: str = "0.02",
    ) -> Site:
        names = {car.charger_id: car.bus for car in cars}
        chargers = [stage.chargers.get(c) or FakeCharger(stage, c) for c in names]
        cpo = await stage.start(
            Cpo,
            name,
            vpp=vpp,
            chargers=chargers,
            buses=list(names.values()),
            efficiency=[(EFFICIENCY, EFFICIENCY)] * len(names),
            ratings_kw=[(c.max_charge_kw, c.max_discharge_kw) for c in chargers],
            pv_bus=pv_bus,
            ledger=stage.ledger,
            costs=costs,
            owner_benefit_eur_per_kw=Decimal(owner_benefit),
        )
        drivers = {car.charger_id: await stage.start(Driver, car.driver) for car in cars}
        site = cls(stage, cpo, cars, drivers)
        for car in cars:
            stage.clock.call_at(at(car.arrives), lambda car=car: site.arrive(car), priority=1)  # type: ignore[misc]
            stage.clock.call_at(at(car.leaves), lambda car=car: site.leave(car), priority=1)  # type: ignore[misc]
        cpo.spawn(cpo.course(), "course")
        return site

    def arrive(self, car: Car) -> None:
        vehicle = Vehicle(
            vehicle_id=f"car-{car.charger_id}",
            capacity_kwh=car.capacity_kwh,
            max_charge_kw=11.0,
            max_discharge_kw=7.4,
            soc=car.soc / 100,
            floor_soc=car.minimum / 100,
            efficiency_charge=EFFICIENCY,
            efficiency_discharge=EFFICIENCY,
        )
        self.charger(car).plug_in(vehicle, car.wanted / 100)
        if car.announced:
            driver = self.drivers[car.charger_id]
            driver.spawn(driver.announce(self.cpo.name, car), "announces")

    def leave(self, car: Car) -> None:
        self.left_with[car.charger_id] = self.charger(car).unplug() * 100

    def charger(self, car: Car) -> FakeCharger:
        return self.stage.chargers[car.charger_id]

    @property
    def power_kw(self) -> float:
        return sum(self.charger(car).power_kw for car in self.cars)

    def orders(self) -> int:
        return sum(len(self.charger(car).orders) for car in self.cars)

    def metered_kw(self, start: float, end: float) -> float:
        return sum(self.charger(car).metered_kw(at(start), at(end)) for car in self.cars)


# ---- the VPP, and peers for it -------------------------------------------------------------------------------------


async def start_vpp(
    stage: Stage,
    name: str = "vpp1",
    *,
    chargers: Sequence[str] = (),
    margin: float = 0.15,
    owners: float = 0.02,
    reserve: float = 0.1,
    registers_at: float | None = None,
    **options: Any,
) -> Vpp:
    """A real VPP; registers its resources at that minute, if any."""
    vpp = await stage.start(
        Vpp,
        name,
        product_id=PRODUCT,
        strategy=Strategy(margin=margin, owners_eur_per_kw=owners, reserve=reserve),
        costs=COSTS,
        efficiency=dict.fromkeys(chargers or stage.chargers, (EFFICIENCY, EFFICIENCY)),
        registrations=[] if registers_at is None else [at(registers_at)],
        ledger=stage.ledger,
        min_power_kw=1.0,
        granularity_kw=0.1,
        **options,
    )
    vpp.spawn(vpp.course(), "course")
    return vpp


class Requester(Actor):
    """A peer that only asks; its role is that of the subclass."""

    async def order(self, content: x.Content, to: str, *, minutes: float = 10.0) -> Any:
        return await self.request(content, to=jid(to), reply_by=self.now() + timedelta(minutes=minutes))


class PlainVpp(Requester):
    role = Role.VPP


class PlainDso(Requester):
    """A DSO that accepts every volume, and serves the TSO's subscription."""

    role = Role.DSO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.volumes: list[x.DeliveredVolume] = []

    @answers(x.DeliveredVolume)
    async def on_volume(self, volume: x.DeliveredVolume, incoming: Incoming) -> Reply:
        self.volumes.append(volume)
        return AcceptProposal(x.VolumeAnswer(activation_id=volume.activation_id))

    @answers(x.ActivatedResourcesSubscription)
    async def on_subscription(self, topic: x.ActivatedResourcesSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=incoming.message.conversation_id))


class PlainFmo(Requester):
    """An FMO that registers every resource as it is."""

    role = Role.FMO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.registered: list[x.ResourceRegistration] = []

    @answers(x.ResourceRegistration)
    async def on_registration(self, resource: x.ResourceRegistration, incoming: Incoming) -> Reply:
        self.registered.append(resource)
        return Inform(
            x.RegistrationResult(
                resource_id=resource.resource_id,
                qualified_charge_kw=resource.max_charge_kw,
                qualified_discharge_kw=resource.max_discharge_kw,
            )
        )


class PlainCpo(Actor):
    """A CPO that reports and answers as the test says: `available` of an order in kW, 0 to refuse, None for silence."""

    role = Role.CPO

    def __init__(
        self,
        *arguments: Any,
        vpp: str = "vpp1",
        reports: Callable[[x.DataRequest], x.DataMeasurements] | None = None,
        available: Callable[[Any], float | None] = lambda order: order.power_kw,
    ) -> None:
        super().__init__(*arguments)
        self.services = (f"flexibility:{vpp}",)
        self.reports, self.available = reports, available
        self.orders: list[Any] = []
        self.cancelled: list[str] = []

    @answers(x.DataRequest)
    async def on_data(self, request: x.DataRequest, incoming: Incoming) -> Reply:
        if self.reports is None:
            await asyncio.Event().wait()
        assert self.reports is not None
        return Inform(self.reports(request))

    @answers(x.ActivationSignal)
    async def on_signal(self, order: x.ActivationSignal, incoming: Incoming) -> Reply:
        return await self._serve(order, incoming, x.ActivationAnswer)

    @answers(x.CpoActivation)
    async def on_order(self, order: x.CpoActivation, incoming: Incoming) -> Reply:
        return await self._serve(order, incoming, x.CpoActivationResponse)

    async def _serve(self, order: Any, incoming: Incoming, kind: Any) -> Reply:
        self.orders.append(order)
        available = self.available(order)
        if available is None:
            await asyncio.Event().wait()
        values: dict[str, Any] = {"activation_id": order.activation_id, "available_power_kw": available}
        if kind is x.CpoActivationResponse:
            values["accepted"] = available > 0
        if available == 0:
            return Refuse(kind(**values, reason="every driver declines"))
        await incoming.agree(kind(**values))
        await self.clock.sleep_until(order.end)
        return Inform(x.Done(reference=order.activation_id))

    @cancels(x.CpoActivation)
    async def on_cancel_order(self, order: x.CpoActivation, incoming: Incoming) -> Reply:
        self.cancelled.append(order.activation_id)
        return Inform(x.Done(reference=order.activation_id))

    @cancels(x.ActivationSignal)
    async def on_cancel_signal(self, order: x.ActivationSignal, incoming: Incoming) -> Reply:
        self.cancelled.append(order.activation_id)
        return Inform(x.Done(reference=order.activation_id))


# ---- the grid ------------------------------------------------------------------------------------------------------


@dataclass
class LinearGrid:
    """The port `GridModel` for one transformer of `rating_kw` and buses at it, without losses.

    `base_kw` is what is drawn at each bus besides the chargers; `pu_per_kw` is the voltage drop at each bus for each kW
    drawn there.
    """

    rating_kw: float = 100.0
    base_kw: Callable[[datetime], Mapping[str, float]] = field(default=lambda when: {})
    buses: tuple[str, ...] = ("bus1", "bus2")
    pu_per_kw: Mapping[str, float] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def state(self, kw: Mapping[str, float], when: datetime) -> GridState:
        power = np.array([kw.get(bus, 0.0) for bus in self.buses])
        drop = np.array([self.pu_per_kw.get(bus, 0.0) for bus in self.buses])
        total = float(power.sum())
        return GridState(
            buses=self.buses,
            lines=(),
            transformer=POINT,
            p_kw=power,
            q_kvar=np.zeros(len(self.buses)),
            vm_pu=1.0 - drop * power,
            line_loading_percent=np.zeros(0),
            trafo_loading_percent=abs(total) / self.rating_kw * 100,
            trafo_p_kw=total,
            trafo_q_kvar=0.0,
            losses_kw=0.0,
            at=when,
        )

    def look_ahead(
        self,
        charger_kw_by_bus: Mapping[str, Sequence[float]],
        start: datetime,
        periods: int,
        *,
        now: datetime | None = None,
    ) -> list[GridState]:
        self.asked.append(("look-ahead", {bus: list(kw) for bus, kw in charger_kw_by_bus.items()}))
        states = []
        for k in range(periods):
            kw = dict(self.base_kw(start + k * QUARTER))
            for bus, series in charger_kw_by_bus.items():
                kw[bus] = kw.get(bus, 0.0) + float(series[k])
            states.append(self.state(kw, start + k * QUARTER))
        return states

    def sensitivity(self, state: GridState) -> Sensitivity:
        raise NotImplementedError

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
        self.asked.append(("hosting", (bus, direction, dict(already_kw or {}), between)))
        sign = 1.0 if direction is Direction.CHARGE else -1.0
        base = sum(self.base_kw(START).values()) + sign * sum((already_kw or {}).values())
        room = self.rating_kw * limits.transformer_percent / 100 - sign * base
        if up_to_kw <= room:
            return Hosting(up_to_kw, None)
        binding = Violation(POINT, limits.transformer_percent + 0.1, limits.transformer_percent, "%")
        return Hosting(max(0.0, room), binding)

    def relief(self, state: GridState, available_kw: Mapping[str, float], limits: Limits) -> Relief:
        whole = sum(available_kw.values())
        share = {bus: kw / whole for bus, kw in available_kw.items()}
        kw = dict(zip(self.buses, map(float, state.p_kw), strict=True))
        need = max(0.0, state.trafo_p_kw - self.rating_kw * limits.transformer_percent / 100)
        for bus, vm in zip(self.buses, state.vm_pu, strict=True):
            slope = self.pu_per_kw.get(bus, 0.0) * share.get(bus, 0.0)
            if vm < limits.vm_min_pu and slope > 0:
                need = max(need, (limits.vm_min_pu - float(vm)) / slope + 1e-9)
            if vm > limits.vm_max_pu and slope > 0:
                need = -((float(vm) - limits.vm_max_pu) / slope + 1e-9)
        need = min(need, whole)
        after = self.state({bus: p - need * share.get(bus, 0.0) for bus, p in kw.items()}, state.at or START)
        by_bus = {bus: need * part for bus, part in share.items()}
        return Relief(need, by_bus, state.violations(limits), after.violations(limits), after)


class Typical:
    """The port `ChargingForecast`: what vehicles usually draw, by a rule of the test's."""

    def __init__(self, kw: Callable[[datetime], Mapping[str, float]] = lambda when: {}) -> None:
        self.kw = kw
        self.quantiles: list[float | None] = []

    def typical_kw(self, start: datetime, periods: int, quantile: float | None = None) -> dict[str, Any]:
        self.quantiles.append(quantile)
        rows = [self.kw(start + k * QUARTER) for k in range(periods)]
        return {bus: np.array([row.get(bus, 0.0) for row in rows]) for row in rows[:1] for bus in row}


class StageMeters:
    """The port `PhysicalWorld` over the stage's chargers; `lie` changes what a meter says."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.lie: Callable[[str, float], float] = lambda place, kw: kw

    def voltage_v(self, location: str) -> float:
        if location != "bus1":
            raise LookupError(f"there is no bus {location}")
        return 228.5

    def frequency_hz(self) -> float:
        return 49.98765432

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        if location == "pv:bus1":
            return (-3.25,) * int((end - start) / period)
        name = location.removeprefix("charger:")
        if name not in self.stage.chargers:
            raise LookupError(f"there is no meter at {location}")
        if start < START or end > self.stage.clock.now():
            raise LookupError(f"the meters have no readings from {start.isoformat()} to {end.isoformat()}")
        steps = (start + k * period for k in range(int((end - start) / period)))
        charger = self.stage.chargers[name]
        return tuple(round(self.lie(location, charger.metered_kw(t, t + period)), 4) for t in steps)


async def start_meters(stage: Stage) -> GridEnvironment:
    """A real environment agent over the stage's chargers."""
    environment = await stage.start(
        GridEnvironment, "environment", world=StageMeters(stage), interval=timedelta(minutes=15)
    )
    environment.spawn(environment.course(), "course")
    return environment


# ---- contents ------------------------------------------------------------------------------------------------------


def product(**changed: Any) -> x.ProductRequirements:
    values: dict[str, Any] = {
        "product_id": PRODUCT,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "min_power_kw": 1.0,
        "granularity_kw": 0.1,
        "notice_minutes": 15,
        "max_duration_minutes": 240,
        "baseline": x.BaselineMethod.NOMINATION,
        "pricing": x.PricingRule.PAY_AS_CLEAR,
        "max_price_eur_per_kw": Decimal("1.0000"),
        "penalty_eur_per_kw": Decimal("0.5000"),
        "valid_from": START,
        "valid_until": START + timedelta(days=2),
    }
    return x.ProductRequirements(**values | changed)


def cpo_order(activation_id: str = "a1", *, start: float = 30, end: float = 60, **changed: Any) -> x.CpoActivation:
    values: dict[str, Any] = {
        "activation_id": activation_id,
        "bid_id": f"bid-{activation_id}",
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": at(start),
        "end": at(end),
        "max_price_eur_per_kw": Decimal("0.5"),
        "power_kw": 10.0,
    }
    return x.CpoActivation(**values | changed)


def cpo_signal(activation_id: str = "a1", *, start: float = 30, end: float = 60, **changed: Any) -> x.ActivationSignal:
    values: dict[str, Any] = {
        "activation_id": activation_id,
        "bid_id": f"bid-{activation_id}",
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": at(start),
        "end": at(end),
        "power_kw": 10.0,
    }
    return x.ActivationSignal(**values | changed)


async def cancel(stage: Stage, sender: str, exchange: str) -> None:
    """An outside agent may cancel its request before anything was agreed (FIPA SC00026, cancel meta-protocol)."""
    (request,) = [m for _, m in stage.recorder.messages if m.exchange == exchange and m.sender == jid(sender)]
    stage.inject(
        AclMessage(
            performative=Performative.CANCEL,
            sender=request.sender,
            receiver=request.receiver,
            protocol=request.protocol,
            conversation_id=request.conversation_id,
            reply_with=f"{request.conversation_id}/cancel",
            reply_by=stage.clock.now() + 2 * MINUTE,
            content=x.Cancellation(reference=request.content["activation_id"], reason="not needed").to_json(),
        )
    )
    await stage.settle()


def informed(outcome: Any) -> Any:
    """The content of an inform; fails on any other outcome."""
    assert isinstance(outcome, Informed), outcome
    return outcome.content
