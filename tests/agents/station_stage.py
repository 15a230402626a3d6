"""A stage for an operator of public stations: real chargers over Modbus, and drivers, a DSO and an FMO who do as told.

The scenario begins at 6:00 UTC; times are minutes after it. Powers are kW, drawn is positive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.actor import Actor
from agents.decisions.capacity_curve import OpportunityCosts
from agents.decisions.station_prices import StationTariff
from agents.public_cpo import PublicCpo
from agents.public_ports import SessionWish, StationSite
from behaviours.answering import Incoming, Inform, Reply, answers
from behaviours.initiating import Tender
from environment.charger_client import SunSpecCharger
from environment.charger_device import ChargerSpec
from environment.chargers import ChargerPark
from environment.vehicles import Fleet, Vehicle
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.stage import MINUTE, Stage, at
from tests.swarm import START, jid

HUB = StationSite("hub1", "ppc", "Bus 5", 37.98, 23.87, ("hub1-1", "hub1-2", "hub1-3"), 60.0, 180.0)
FAR = StationSite("far1", "ppc", "Bus 8", 38.06, 23.87, ("far1-1",), 60.0, 60.0)
"""9 km north of the other."""
TARIFF = StationTariff(Decimal("0.50"), Decimal("0.08"))
COSTS = OpportunityCosts(0.2, (0.1,) * 96, 0.5)
OPENS, CLOSES = 4 * 60, 8 * 60
"""The contract's window, 10:00 to 14:00, in minutes."""
UNTIL = 2 * 24 * 60
SAMPLED = timedelta(seconds=15)
CARS = 6


class History:
    """The port `StationHistory`: on each of four past days three cars in the window."""

    def days(self, station_id: str) -> tuple[tuple[SessionWish, ...], ...]:
        if station_id != "hub1":
            raise LookupError(f"nothing is known of {station_id}")
        return (
            (SessionWish(40, 43, 40.0, 60.0), SessionWish(40, 44, 40.0, 60.0), SessionWish(41, 46, 45.0, 60.0)),
        ) * 4


class StationStage(Stage):
    """Two stations of one operator. `drawn` has the power of each station at every `every`, before and after what is
    done in an instant."""

    def __init__(self, every: timedelta = SAMPLED) -> None:
        super().__init__()
        self.every = every
        vehicles = [Vehicle(f"car{n}", 60.0, 60.0, 0.0, efficiency_charge=1.0) for n in range(1, CARS + 1)]
        specs = [ChargerSpec(c, 60.0, 0.0, public=True) for c in (*HUB.charger_ids, *FAR.charger_ids)]
        self.park = ChargerPark(specs, Fleet(vehicles), self.clock.now)
        self.drawn: list[tuple[datetime, dict[str, float]]] = []

    async def _open(self) -> None:
        await super()._open()
        with self.clock.outstanding():
            await self.park.start()
        self.links = {
            charger_id: SunSpecCharger(charger_id, place.host, place.port, self.clock.outstanding)
            for charger_id, place in self.park.endpoints.items()
        }
        self._samples = [asyncio.get_running_loop().create_task(self._sample(priority)) for priority in (0, 99)]

    async def _sample(self, priority: int) -> None:
        while True:
            self.sample()
            await self.clock.sleep_until(self.clock.now() + self.every, priority=priority)

    def sample(self) -> None:
        powers = dict(zip(self.park.ids, self.park.power_kw(), strict=True))
        stations = {s.station_id: float(sum(powers[c] for c in s.charger_ids)) for s in (HUB, FAR)}
        self.drawn.append((self.clock.now(), stations))

    async def _stop(self) -> None:
        for task in self._samples:
            task.cancel()
        for link in self.links.values():
            link.close()
        await super()._stop()
        with self.clock.outstanding():
            await self.park.stop()

    def highest_kw(self, station_id: str, start: float, end: float) -> float:
        """The highest power of a station that was seen from `start` on and before `end`."""
        return max(kw[station_id] for when, kw in self.drawn if at(start) <= when < at(end))

    def kwh(self, charger_id: str) -> float:
        """The charger's meter."""
        self.park.advance()
        return float(self.park.imported_kwh[self.park.index[charger_id]])

    def plug_in(self, number: int, charger_id: str, minutes: float, leaves: float, soc: float = 20.0) -> None:
        """The car of that number stands at the charger from minute to minute; it takes what it can get."""
        self.clock.call_at(
            at(minutes), lambda: self.park.plug_in(charger_id, f"car{number}", soc=soc / 100), priority=4
        )
        self.clock.call_at(at(leaves), lambda: self.park.unplug(charger_id), priority=3)


async def open_cpo(stage: StationStage, **changed: Any) -> PublicCpo:
    options: dict[str, Any] = {
        "stations": (HUB, FAR),
        "chargers": stage.links,
        "tariff": TARIFF,
        "costs": COSTS,
        "history": History(),
        "network_eur_per_kwh": Decimal("0.08"),
        "ledger": stage.ledger,
        "until": at(UNTIL),
    }
    cpo = await stage.start(PublicCpo, "ppc", **options | changed)
    cpo.spawn(cpo.course(), "course")
    return cpo


class StationDriver(Actor):
    """An EV owner who asks and picks when the test says so."""

    role = Role.EV_OWNER

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.prices: list[x.ChargingPrices] = []
        self.tender: Tender | None = None

    async def listen(self) -> None:
        topic = x.PriceSubscription(request_id=f"{self.name}-prices", timestamp=self.now())
        await self.subscribe(topic, to=jid("ppc"), on_inform=self.prices.append, reply_by=self.now() + MINUTE)

    async def ask(
        self,
        arrival: float,
        departure: float,
        *,
        energy_kwh: float = 30.0,
        max_charge_kw: float = 60.0,
        km: float = 1.0,
    ) -> tuple[x.ChargingChoice, ...]:
        """The choices on one stay at the first station; none where the operator refuses."""
        request = x.ChargingRequest(
            request_id=f"{self.name}-{arrival:g}",
            timestamp=self.now(),
            soc_percent=20.0,
            capacity_kwh=60.0,
            energy_kwh=energy_kwh,
            max_charge_kw=max_charge_kw,
            within_km=km,
            stays=(x.Stay(latitude_deg=37.98, longitude_deg=23.87, arrival=at(arrival), departure=at(departure)),),
        )
        self.tender = await self.call_for_proposals(request, to=[jid("ppc")], reply_by=self.now() + MINUTE)
        if not self.tender.proposals:
            return ()
        (proposal,) = self.tender.proposals
        assert not proposal.faults
        assert isinstance(proposal.content, x.ChargingChoices)
        return proposal.content.choices

    def pick(self, choice: x.ChargingChoice) -> asyncio.Task[Any]:
        """Picks, and gives the task that waits for the receipt."""
        tender = self.tender
        assert tender is not None
        (proposal,) = tender.proposals
        assert isinstance(proposal.content, x.ChargingChoices)
        selection = x.ChargingSelection(
            request_id=proposal.content.request_id, choice_id=choice.choice_id, timestamp=self.now()
        )

        async def wait() -> Any:
            return (await tender.award({jid("ppc"): selection}, done_by=choice.end + 10 * MINUTE))[jid("ppc")]

        return self.spawn(wait(), "session")

    async def cancel(self) -> Any:
        assert self.tender is not None
        words = x.Cancellation(reference="choice", reason="plans have changed")
        return await self.tender.cancel(jid("ppc"), words, self.now() + MINUTE)


class StationDso(Actor):
    """A DSO that sends what the test says."""

    role = Role.DSO

    async def send(self, content: x.Content) -> Any:
        outcome = await self.request(content, to=jid("ppc"), reply_by=self.now() + MINUTE)
        return await outcome.result(self.now() + MINUTE) if hasattr(outcome, "result") else outcome

    async def settle(self, content: x.LimitSettlement) -> Any:
        return await self.propose(content, to=jid("ppc"), reply_by=self.now() + MINUTE)


class StationFmo(Actor):
    """An FMO that registers every station, and calls and awards as the test says."""

    role = Role.FMO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.registered: list[x.StationRegistration] = []

    @answers(x.StationRegistration)
    async def on_registration(self, registration: x.StationRegistration, incoming: Incoming) -> Reply:
        self.registered.append(registration)
        return Inform(x.Done(reference=registration.registration_id))

    async def call(self, call: x.AuctionCall) -> Tender:
        return await self.call_for_proposals(call, to=[jid("ppc")], reply_by=call.gate_closure)

    async def award(self, tender: Tender, result: x.ProcurementResult) -> Any:
        done_by = self.now() + MINUTE
        if result.contract_id is None:
            return await tender.award({}, done_by=done_by, reject={jid("ppc"): result})
        return (await tender.award({jid("ppc"): result}, done_by=done_by))[jid("ppc")]


def auction_call(**changed: Any) -> x.AuctionCall:
    """For the first station; the period begins with this very day, so that a window of today can be activated."""
    values: dict[str, Any] = {
        "call_id": "t1/hub1",
        "terms_id": "t1",
        "timestamp": at(10),
        "gate_closure": at(40),
        "period_start": START - timedelta(hours=6),
        "period_end": START - timedelta(hours=6) + timedelta(days=28),
        "window_start": "10:00",
        "window_end": "14:00",
        "most_activations": 20,
        "notice_minutes": 60,
        "least_points": 2,
        "most_points": 8,
        "step_kw": 20.0,
        "lowest_limit_kw": 20.0,
        "most_eur": Decimal("5000.00"),
        "penalty_eur_per_kwh": Decimal("1.5"),
        "dso": jid("hedno"),
        "station_id": "hub1",
        "location": "Bus 5",
    }
    return x.AuctionCall(**values | changed)


async def sell(stage: StationStage, fmo: StationFmo, limit_kw: float = 60.0, **changed: Any) -> x.CurveBid:
    """Calls, and buys that limit at the curve's price: the contract is `c1`."""
    call = auction_call(**changed)
    tender = await fmo.call(call)
    (proposal,) = tender.proposals
    bid = proposal.content
    assert isinstance(bid, x.CurveBid)
    price = next(point.price_eur for point in bid.curve if point.limit_kw == limit_kw)
    result = x.ProcurementResult(
        bid_id=bid.bid_id,
        call_id=call.call_id,
        timestamp=stage.clock.now(),
        contract_id="c1",
        dso=jid("hedno"),
        limit_kw=limit_kw,
        price_eur=price,
    )
    await fmo.award(tender, result)
    return bid


def limit(activation_id: str = "a1", limit_kw: float = 60.0, **changed: Any) -> x.CapacityLimit:
    """A limit of the first station in today's window."""
    values: dict[str, Any] = {
        "activation_id": activation_id,
        "contract_id": "c1",
        "timestamp": at(0),
        "station_id": "hub1",
        "limit_kw": limit_kw,
        "start": at(OPENS),
        "end": at(CLOSES),
    }
    return x.CapacityLimit(**values | changed)


async def open_all(stage: StationStage, drivers: int = 0, **changed: Any) -> Mapping[str, Any]:
    """The operator, its peers, and `drivers` drivers `d1`, `d2`.."""
    fmo = await stage.start(StationFmo, "fmo")
    cpo = await open_cpo(stage, **changed)
    dso = await stage.start(StationDso, "hedno")
    found: dict[str, Any] = {"fmo": fmo, "cpo": cpo, "dso": dso}
    for n in range(1, drivers + 1):
        found[f"d{n}"] = await stage.start(StationDriver, f"d{n}")
    return found
