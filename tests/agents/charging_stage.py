"""A stage for drivers: operators who say what the test says, and a car without a world."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.actor import Actor
from agents.decisions.choice import ChoiceModel
from agents.public_driver import PublicDriver
from agents.public_ports import CarError, CarReading, Need
from behaviours.answering import Agree, Failure, Incoming, Inform, Propose, Refuse, Reply, answers, cancels, refusal
from behaviours.answering import failure as failing
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from protocols.units import as_money
from tests.agents.stage import Stage, at

HERE = (37.90, 23.90)
OFFER_MINUTES = 10
SAVING = ChoiceModel(cost_per_eur=-1.0, outside=-40.0)
"""A driver who looks at prices more than most do, so that noise decides between equals alone."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Slot:
    """A choice that an operator offers: minutes after the start, EUR/kWh. `north_km`: how far from the driver."""

    station_id: str
    start: float
    end: float
    price: str
    stay: int = 0
    north_km: float = 1.0
    energy_kwh: float = 20.0

    def choice(self, choice_id: str) -> x.ChargingChoice:
        price = Decimal(self.price)
        return x.ChargingChoice(
            choice_id=choice_id,
            stay=self.stay,
            station_id=self.station_id,
            charger_id=f"{self.station_id}-1",
            latitude_deg=HERE[0] + self.north_km / 111.2,
            longitude_deg=HERE[1],
            power_kw=50.0,
            energy_kwh=self.energy_kwh,
            price_eur_per_kwh=price,
            amount_eur=as_money(price * Decimal(repr(self.energy_kwh))),
            start=at(self.start),
            end=at(self.end),
        )


class PlainCpo(Actor):
    """Offers its slots for every request, and holds what is picked. `says` maps the number of a pick (from 1) to a
    failure's code; `receipt` changes fields of the receipts; `silent`: it sends none; `keeps` has the requests whose
    cancel it does not honour."""

    role = Role.CPO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.slots: Sequence[Slot] = ()
        self.says: Mapping[int, str] = {}
        self.receipt: dict[str, Any] = {}
        self.reason = "no charger is free"
        self.silent = False
        self.keeps: set[str] = set()
        self.offer_minutes: float = OFFER_MINUTES
        self.requests: list[x.ChargingRequest] = []
        self.picked: list[str] = []
        self.turned_down = 0
        self.subscribed: list[Incoming] = []
        self._offered: dict[str, x.ChargingChoice] = {}

    @answers(x.PriceSubscription)
    async def on_subscription(self, topic: x.PriceSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=topic.request_id))

    async def lower(self, station_id: str, price: str, usual: str, start: float, end: float) -> int:
        """4.2.2 to who subscribed; to how many."""
        (topic,) = {each.request_id for each in self.subscriptions(x.PriceSubscription)}
        station = x.StationPrice(
            station_id=station_id,
            latitude_deg=HERE[0],
            longitude_deg=HERE[1],
            price_eur_per_kwh=Decimal(price),
            usual_eur_per_kwh=Decimal(usual),
        )
        news = x.ChargingPrices(
            request_id=topic, timestamp=self.now(), start=at(start), end=at(end), stations=(station,)
        )
        return await self.publish(x.PriceSubscription, news)

    @answers(x.ChargingRequest)
    async def on_request(self, request: x.ChargingRequest, incoming: Incoming) -> Propose | Refuse:
        self.requests.append(request)
        found = []
        for slot in self.slots:
            choice = slot.choice(f"{self.name}-{len(self._offered) + 1}")
            if choice.start >= self.now() and slot.stay < len(request.stays):
                self._offered[choice.choice_id] = choice
                found.append(choice)
        if not found:
            return refusal("nothing-free", self.reason)
        until = self.now() + timedelta(minutes=self.offer_minutes)
        choices = x.ChargingChoices(
            request_id=request.request_id, timestamp=self.now(), valid_until=until, choices=tuple(found)
        )
        return Propose(choices, reply_by=until)

    @answers(x.ChargingSelection, on=Performative.ACCEPT_PROPOSAL)
    async def on_selection(self, selection: x.ChargingSelection, incoming: Incoming) -> Inform | Failure:
        choice = self._offered[selection.choice_id]
        self.picked.append(selection.choice_id)
        if code := self.says.get(len(self.picked)):
            return failing(code, "another driver was faster")
        if self.silent:
            await asyncio.Event().wait()
        await self.clock.sleep_until(choice.end)
        receipt = {
            "receipt_id": f"r-{choice.choice_id}",
            "request_id": selection.request_id,
            "choice_id": choice.choice_id,
            "start": choice.start,
            "end": choice.end,
            "energy_kwh": choice.energy_kwh,
            "price_eur_per_kwh": choice.price_eur_per_kwh,
            "amount_eur": choice.amount_eur,
        }
        return Inform(x.SessionReceipt(**receipt | self.receipt))

    @answers(x.Reason, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: x.Reason, incoming: Incoming) -> None:
        self.turned_down += 1

    @cancels(x.ChargingRequest)
    async def on_cancel(self, request: x.ChargingRequest, incoming: Incoming) -> Inform | Failure:
        if request.request_id in self.keeps:
            return failing("too-late", "the session goes on")
        return Inform(x.Done(reference=request.request_id))


@dataclass
class FakeCar:
    """Charges with 40 kW whatever it is told; `events` has (minute, what)."""

    stage: Stage
    vehicle_id: str = "car-1"
    capacity_kwh: float = 50.0
    max_charge_kw: float = 80.0
    power_kw: float = 40.0
    fault: str | None = None
    events: list[tuple[float, str]] = field(default_factory=list)
    _since: datetime | None = None
    _charger: str | None = None
    _soc: float = 0.0

    def plug_in(self, charger_id: str, *, soc_percent: float, target_percent: float) -> None:
        if self.fault is not None:
            raise CarError(self.fault)
        self._since, self._charger, self._soc = self.stage.clock.now(), charger_id, soc_percent
        self._note(f"at {charger_id} from {soc_percent:g} to {target_percent:g} %")

    def unplug(self) -> CarReading:
        reading = self.reading()
        self._note("leaves")
        self._since = self._charger = None
        return reading

    def reading(self) -> CarReading:
        charged = 0.0 if self._since is None else self.power_kw * ((self.stage.clock.now() - self._since) / _HOUR)
        power = self.power_kw if self._since is not None else 0.0
        return CarReading(self._charger, self._soc + 100 * charged / self.capacity_kwh, power, charged)

    def _note(self, what: str) -> None:
        self.events.append(((self.stage.clock.now() - at(0)) / timedelta(minutes=1), what))


def stay(arrival: float, departure: float, north_km: float = 0.0) -> x.Stay:
    """A stay near HERE, in minutes after the start."""
    return x.Stay(
        latitude_deg=HERE[0] + north_km / 111.2, longitude_deg=HERE[1], arrival=at(arrival), departure=at(departure)
    )


def need(*stays: x.Stay, asks_at: float = 5, need_id: str = "ann-1", energy_kwh: float = 20.0) -> Need:
    """20 kWh on one of these stays."""
    return Need(
        need_id=need_id,
        asks_at=at(asks_at),
        soc_percent=30.0,
        energy_kwh=energy_kwh,
        capacity_kwh=50.0,
        max_charge_kw=80.0,
        within_km=10.0,
        stays=stays or (stay(60, 180),),
    )


async def start_driver(
    stage: Stage, *needs: Need, name: str = "ann", follows_prices: bool = False, until: float = 2880
) -> tuple[PublicDriver, FakeCar]:
    """A driver with a car, at work."""
    car = FakeCar(stage)
    driver = await stage.start(
        PublicDriver,
        name,
        needs=needs,
        car=car,
        model=SAVING,
        seed=1,
        follows_prices=follows_prices,
        ledger=stage.ledger,
        until=at(until),
    )
    driver.spawn(driver.course(), "course")
    return driver, car
