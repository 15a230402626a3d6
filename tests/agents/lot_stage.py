"""A stage for a parking lot's manager: chargers with real batteries, drivers who decide as told, and a plain DSO.

Positive power is drawn from the grid. The scenario begins at 6:00; times are minutes after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from agents.actor import Actor
from agents.congestion_help import CongestionHelp
from agents.parking import Lot, Parking
from behaviours.answering import Incoming, Inform, Propose, Reply, answers, cancels, failure, refusal
from behaviours.initiating import Tender
from environment.vehicles import Vehicle
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.agents.stage import EFFICIENCY, MINUTE, QUARTER, Car, FakeCharger, Stage, at
from tests.swarm import jid

CAMPUS = "campus-bornholm"
LOT = Lot(CAMPUS + "-pool", CAMPUS, (EFFICIENCY, EFFICIENCY), (11.0, 7.4), wear_eur_per_kwh=0.04)


class Prices:
    """The port `RetailPrices`: by list and market period, the last price goes on; lists by when they are published."""

    def __init__(self, prices: Sequence[float], changes: dict[float, Sequence[float]] | None = None) -> None:
        self.lists = [(at(-600), prices), *((at(minutes), later) for minutes, later in (changes or {}).items())]

    def price_eur_per_kwh(self, when: datetime, now: datetime) -> float:
        prices = [each for published, each in self.lists if published <= now][-1]
        return prices[min((when - at(0)) // QUARTER, len(prices) - 1)]

    def changes(self, until: datetime) -> list[datetime]:
        return [published for published, _ in self.lists[1:] if published <= until]


class IgnoringCharger(FakeCharger):
    """Takes orders and, from `deaf_from` on, does nothing with them."""

    deaf_from: datetime | None = None
    releases: int = 0
    beats: int = 0

    async def release(self) -> None:
        self.releases += 1
        await super().release()

    async def heartbeat(self) -> None:
        self.beats += 1

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        if self.deaf_from is None or self._now() < self.deaf_from:
            await super().set_power(power_kw, reversion_s)


class LotDriver(Actor):
    """An EV owner who takes the option that `takes` names: its number, None to decline; "silent" says nothing.

    `holds`: "done" confirms an award at once, "on" holds to it until it is called off, "fails" does not hold to it.
    """

    role = Role.EV_OWNER

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.takes: Callable[[x.CustomerRequest], int | str | None] = lambda request: 0
        self.asked: list[tuple[datetime, x.CustomerRequest]] = []
        self.awards: list[x.CustomerAward] = []
        self.not_needed = 0
        self.holds = "done"
        self.ended: list[tuple[datetime, x.Cancellation]] = []
        self.paid: list[x.Remuneration] = []

    async def announce(self, manager: str, car: Car) -> Any:
        announcement = x.SessionAnnouncement(
            charger_id=car.charger_id,
            vehicle_id=f"car-{car.charger_id}-{car.arrives:g}",
            plugged_in=True,
            arrival=at(car.arrives),
            departure=at(car.leaves),
            capacity_kwh=car.capacity_kwh,
            soc_percent=car.soc,
            wanted_soc_percent=car.wanted,
            minimum_soc_percent=car.minimum,
        )
        return await self.request(announcement, to=jid(manager), reply_by=self.now() + MINUTE)

    @answers(x.CustomerRequest)
    async def on_request(self, request: x.CustomerRequest, incoming: Incoming) -> Reply:
        self.asked.append((self.now(), request))
        number = self.takes(request)
        if number == "silent":
            await asyncio.Event().wait()
        if number is None:
            return refusal("declined", "not today")
        assert isinstance(number, int)
        option = request.options[number]
        return Propose(x.CustomerAnswer(request_id=request.request_id, activation_id=option.activation_id))

    @answers(x.CustomerAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, award: x.CustomerAward, incoming: Incoming) -> Reply:
        self.awards.append(award)
        if self.holds == "fails":
            return failure("changed-my-mind", "I must go")
        if self.holds == "on":
            await incoming.cancelled.wait()
        return Inform(x.Done(reference=award.request_id))

    @cancels(x.CustomerRequest)
    async def on_end(self, request: x.CustomerRequest, incoming: Incoming) -> Inform:
        self.ended.append((self.now(), x.Cancellation.from_json(incoming.message.content)))
        return Inform(x.Done(reference=request.request_id))

    @answers(x.Reason, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: x.Reason, incoming: Incoming) -> None:
        self.not_needed += 1

    @answers(x.Remuneration)
    async def on_remuneration(self, paid: x.Remuneration, incoming: Incoming) -> Reply:
        self.paid.append(paid)
        return Inform(x.Done(reference=paid.remuneration_id))


class ParkingLot:
    """A real manager of a lot with chargers that are fakes."""

    def __init__(self, stage: Stage, manager: Any, cars: Sequence[Car]) -> None:
        self.stage, self.manager, self.cars = stage, manager, list(cars)
        self.drivers: dict[str, LotDriver] = {}
        self.left_with: dict[str, float] = {}

    @classmethod
    async def open(
        cls,
        stage: Stage,
        cars: Sequence[Car],
        *,
        prices: Prices,
        kind: type[Parking] = CongestionHelp,
        name: str = "lot1",
        until: float = 900,
        **options: Any,
    ) -> ParkingLot:
        names = {car.charger_id: car.bus for car in cars}
        chargers = [IgnoringCharger(stage, charger_id) for charger_id in names]
        manager = await stage.start(
            partial(kind, **options),
            name,
            lot=LOT,
            chargers=chargers,
            buses=list(names.values()),
            drivers={charger_id: jid(f"ev-{charger_id}") for charger_id in names},
            prices=prices,
            ledger=stage.ledger,
            zone=UTC,
            until=at(until),
        )
        lot = cls(stage, manager, cars)
        for charger_id in names:
            lot.drivers[charger_id] = await stage.start(LotDriver, f"ev-{charger_id}")
        for car in cars:
            stage.clock.call_at(at(car.arrives), lambda car=car: lot.arrive(car), priority=1)  # type: ignore[misc]
            stage.clock.call_at(at(car.leaves), lambda car=car: lot.leave(car), priority=1)  # type: ignore[misc]
        manager.spawn(manager.course(), "course")
        return lot

    def arrive(self, car: Car) -> None:
        vehicle = Vehicle(
            vehicle_id=f"car-{car.charger_id}-{car.arrives:g}",
            capacity_kwh=car.capacity_kwh,
            max_charge_kw=11.0,
            max_discharge_kw=7.4,
            soc=car.soc / 100,
            floor_soc=car.minimum / 100,
            efficiency_charge=EFFICIENCY,
            efficiency_discharge=EFFICIENCY,
        )
        self.charger(car.charger_id).plug_in(vehicle, car.wanted / 100)
        if car.announced:
            driver = self.drivers[car.charger_id]
            driver.spawn(driver.announce(self.manager.name, car), "announces")

    def leave(self, car: Car) -> None:
        self.left_with[car.charger_id] = self.charger(car.charger_id).unplug() * 100

    def charger(self, charger_id: str) -> IgnoringCharger:
        charger = self.stage.chargers[charger_id]
        assert isinstance(charger, IgnoringCharger)
        return charger

    def metered_kw(self, charger_id: str, start: float, end: float) -> float:
        return self.charger(charger_id).metered_kw(at(start), at(end))


class PlainDso(Actor):
    """A DSO that calls, awards, cancels and settles as the test says."""

    role = Role.DSO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.schedules: list[x.ChargingSchedule] = []

    async def listen(self, manager: str = "lot1") -> None:
        topic = x.ScheduleSubscription(request_id="dso-plan", timestamp=self.now())
        await self.subscribe(topic, to=jid(manager), on_inform=self.schedules.append, reply_by=self.now() + MINUTE)

    async def call(self, call: x.CongestionCall, manager: str = "lot1") -> Tender:
        return await self.call_for_proposals(call, to=[jid(manager)], reply_by=self.now() + 2 * MINUTE)

    def accept(self, tender: Tender, power_kw: float, manager: str = "lot1") -> asyncio.Task[Any]:
        """Awards, and gives the task that waits for the result."""
        (proposal,) = tender.proposals
        assert isinstance(proposal.content, x.SolutionOffer)
        word = x.SolutionAward(request_id=proposal.content.request_id, power_kw=power_kw)

        async def wait() -> Any:
            done_by = self.now() + timedelta(hours=5)
            return (await tender.award({jid(manager): word}, done_by=done_by))[jid(manager)]

        return self.spawn(wait(), "award")


def congestion_call(
    request_id: str = "r1",
    *,
    start: float = 30,
    minutes: int = 30,
    power_kw: float = 11.0,
    reduction: str = "0.30",
    discharging: str = "0.50",
    **changed: Any,
) -> x.CongestionCall:
    values: dict[str, Any] = {
        "request_id": request_id,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "timestamp": at(start - 11),
        "start": at(start),
        "duration_minutes": minutes,
        "power_kw": power_kw,
        "location": CAMPUS,
        "buses": ("bus1",),
        "elements": ("transformer 104 %",),
        "reduction_price_eur_per_kwh": Decimal(reduction),
        "discharging_price_eur_per_kwh": Decimal(discharging),
    }
    return x.CongestionCall(**values | changed)
