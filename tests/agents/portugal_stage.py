"""A stage for the agents of the Portuguese demonstrator: chargers with timers, their drivers, a plain FO and EMSP.

Positive power is drawn from the grid. The scenario begins at 6:00; charging is dear until 9:00 and cheap until 17:00.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from agents.actor import Actor
from agents.decisions.tariff import Tariff
from agents.island_ports import SiteMeter
from agents.v2x_manager import V2xManager
from behaviours.initiating import Tender
from environment.vehicles import Vehicle
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.stage import EFFICIENCY, MINUTE, Car, Driver, FakeCharger, Stage, at
from tests.swarm import jid

TARIFF = Tariff(
    energy_eur_per_kwh=Decimal("0.10"),
    grid_peak_eur_per_kwh=Decimal("0.10"),
    grid_off_peak_eur_per_kwh=Decimal("0.02"),
    off_peak_from=time(9),
    off_peak_until=time(17),
)
"""0.20 EUR/kWh until minute 180, 0.12 from then on."""
WEAR = 0.04
UP_TO_PERCENT = 90.0
MINIMUM_BENEFIT = 0.01


@dataclass
class TimedCar(Car):
    """A car whose own plan charges from `charges_from` on, in minutes after the start; at once without it."""

    charges_from: float | None = None


class TimedCharger(FakeCharger):
    """A charger whose own plan waits for a timer, and once it is done takes up charging only below 1 % missing."""

    starts_at: datetime | None = None
    releases: int = 0
    done: bool = False

    async def release(self) -> None:
        self.releases += 1
        await super().release()

    def _wish(self) -> tuple[Any, Any]:
        setpoint, stop = super()._wish()
        if self._fleet is not None:
            missing = self._target_kwh - float(self._fleet.energy_kwh[0])
            self.done = missing <= 1e-9 or (self.done and missing <= 0.01 * float(self._fleet.capacity_kwh[0]))
        waits = self.done or (self.starts_at is not None and self._at < self.starts_at)
        waits = waits and self._setpoint_kw is None
        return (setpoint * 0.0 if waits else setpoint), stop

    def _advance(self) -> None:
        now = self._now
        if self.starts_at is not None and self._at < self.starts_at < now():
            starts_at = self.starts_at
            self._now = lambda: starts_at
            super()._advance()
            self._now = now
        super()._advance()


class HouseDriver(Driver):
    """An EV owner who tells of its timer as well."""

    async def announce(self, cpo: str, car: Car, *, plugged_in: bool = True) -> Any:
        timer = car.charges_from if isinstance(car, TimedCar) else None
        announcement = x.SessionAnnouncement(
            charger_id=car.charger_id,
            vehicle_id=f"car-{car.charger_id}-{car.arrives:g}",
            plugged_in=plugged_in,
            arrival=at(car.arrives),
            departure=at(car.leaves),
            capacity_kwh=car.capacity_kwh,
            soc_percent=car.soc,
            wanted_soc_percent=car.wanted,
            minimum_soc_percent=car.minimum,
            charges_from=None if timer is None else at(timer),
        )
        return await self.request(announcement, to=jid(cpo), reply_by=self.now() + MINUTE)


class Houses:
    """A real V2X manager with chargers that are fakes, and drivers who do as told."""

    def __init__(self, stage: Stage, manager: V2xManager, cars: Sequence[TimedCar]) -> None:
        self.stage, self.manager, self.cars = stage, manager, list(cars)
        self.drivers: dict[str, HouseDriver] = {}
        self.left_with: dict[str, float] = {}

    @classmethod
    async def open(
        cls,
        stage: Stage,
        cars: Sequence[TimedCar],
        *,
        name: str = "houses1",
        obeys: Callable[[datetime], bool] = lambda now: True,
        site: SiteMeter | None = None,
    ) -> Houses:
        names = {car.charger_id: car.bus for car in cars}
        chargers = [TimedCharger(stage, charger_id) for charger_id in names]
        manager = await stage.start(
            partial(V2xManager, kind="houses"),
            name,
            feeder="feeder1",
            chargers=chargers,
            buses=list(names.values()),
            efficiency=[(EFFICIENCY, EFFICIENCY)] * len(names),
            ratings_kw=[(c.max_charge_kw, c.max_discharge_kw) for c in chargers],
            tariff=TARIFF,
            zone=UTC,
            wear_eur_per_kwh=WEAR,
            store_up_to_percent=UP_TO_PERCENT,
            minimum_benefit_eur_per_kwh=MINIMUM_BENEFIT,
            drivers={charger_id: jid(f"ev-{charger_id}") for charger_id in names},
            ledger=stage.ledger,
            until=at(900),
            obeys=obeys,
            site=site,
        )
        houses = cls(stage, manager, cars)
        for charger_id in names:
            houses.drivers[charger_id] = await stage.start(HouseDriver, f"ev-{charger_id}")
        for car in cars:
            stage.clock.call_at(at(car.arrives), lambda car=car: houses.arrive(car), priority=1)  # type: ignore[misc]
            stage.clock.call_at(at(car.leaves), lambda car=car: houses.leave(car), priority=1)  # type: ignore[misc]
        manager.spawn(manager.course(), "course")
        return houses

    def arrive(self, car: TimedCar) -> None:
        charger = self.charger(car.charger_id)
        charger.plug_in(
            Vehicle(
                vehicle_id=f"car-{car.charger_id}-{car.arrives:g}",
                capacity_kwh=car.capacity_kwh,
                max_charge_kw=11.0,
                max_discharge_kw=7.4,
                soc=car.soc / 100,
                floor_soc=car.minimum / 100,
                efficiency_charge=EFFICIENCY,
                efficiency_discharge=EFFICIENCY,
            ),
            car.wanted / 100,
        )
        charger.done = False
        charger.starts_at = None if car.charges_from is None else at(car.charges_from)
        if car.announced:
            driver = self.drivers[car.charger_id]
            driver.spawn(driver.announce(self.manager.name, car), "announces")

    def leave(self, car: TimedCar) -> None:
        if car.charger_id not in self.left_with:
            self.left_with[car.charger_id] = self.charger(car.charger_id).unplug() * 100

    def charger(self, charger_id: str) -> TimedCharger:
        charger = self.stage.chargers[charger_id]
        assert isinstance(charger, TimedCharger)
        return charger

    def metered_kw(self, charger_id: str, start: float, end: float) -> float:
        return self.charger(charger_id).metered_kw(at(start), at(end))


class PlainFo(Actor):
    """An FO that calls and awards as the test says, and keeps what it is told."""

    role = Role.FO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.measured: list[x.Measurements] = []
        self.took_part: list[x.ParticipationInfo] = []

    async def listen(self, manager: str = "houses1") -> None:
        now = self.now()
        measured = x.MeasurementsSubscription(request_id="fo-2.1", timestamp=now)
        await self.subscribe(measured, to=jid(manager), on_inform=self.measured.append, reply_by=now + MINUTE)
        part = x.ParticipationSubscription(request_id="fo-4.1.4", timestamp=now)
        await self.subscribe(part, to=jid(manager), on_inform=self.took_part.append, reply_by=now + MINUTE)

    async def call(self, call: x.CurtailmentCall | x.VoltageCall, *managers: str) -> Tender:
        to = [jid(manager) for manager in managers or ("houses1",)]
        return await self.call_for_proposals(call, to=to, reply_by=self.now() + 2 * MINUTE)

    def accept(self, tender: Tender, award: Any, manager: str = "houses1") -> asyncio.Task[Any]:
        """Awards, and gives the task that waits for the result."""

        async def wait() -> Any:
            return (await tender.award({jid(manager): award}, done_by=award.start + timedelta(hours=2)))[jid(manager)]

        return self.spawn(wait(), "award")


class PlainEmsp(Actor):
    role = Role.EMSP


def curtailment_call(
    service_id: str = "s1", *, start: float = 15, power_kw: float = 50.0, cost: str = "0.05", minutes: int = 30
) -> x.CurtailmentCall:
    return x.CurtailmentCall(**_call(service_id, x.ServiceType.RES_CURTAILMENT, start, power_kw, cost, minutes))


def voltage_call(
    service_id: str = "v1",
    *,
    start: float = 15,
    power_kw: float = -50.0,
    cost: str = "0.50",
    minutes: int = 30,
    location: str = "feeder1",
) -> x.VoltageCall:
    values = _call(service_id, x.ServiceType.VOLTAGE_CONTROL, start, power_kw, cost, minutes)
    return x.VoltageCall(**values | {"location": location})


def _call(
    service_id: str, service: x.ServiceType, start: float, power_kw: float, cost: str, minutes: int
) -> dict[str, Any]:
    return {
        "timestamp": at(start - 10),
        "service_id": service_id,
        "service": service,
        "start": at(start),
        "duration_minutes": minutes,
        "charging_cost_eur_per_kwh": Decimal(cost),
        "discharging_remuneration_eur_per_kwh": Decimal(cost),
        "request_id": f"r-{service_id}",
        "user_id": "houses1",
        "power_kw": power_kw,
        "location": "feeder1",
    }


def award_of(
    call: x.CurtailmentCall | x.VoltageCall,
    offer: x.Availability | x.ParticipationResponse,
    *,
    share: float = 1.0,
    only: Sequence[str] | None = None,
    renews: str | None = None,
    **changed: Any,
) -> Any:
    """The award of an offer: `share` of each vehicle's power, of all of them or `only` of some."""
    orders = tuple(
        x.EvOrder(
            user_id=user.user_id,
            ev_owner=user.ev_owner,
            location=user.location,
            baseline_kw=user.baseline_kw,
            power_kw=round(user.power_kw * share, 3),
        )
        for user in offer.users
        if only is None or user.user_id in only
    )
    values: dict[str, Any] = {
        **{name: getattr(call, name) for name in type(call).model_fields if name not in ("exchange", "location")},
        "signal": x.SignalType.RENEWAL if renews else x.SignalType.ACTIVATION,
        "renews": renews,
        "power_kw": round(sum(order.power_kw for order in orders), 3),
        "orders": orders,
    }
    kind = x.CurtailmentAward if isinstance(call, x.CurtailmentCall) else x.VoltageAward
    return kind(**values | changed)
