"""A parking lot's manager without a service: it charges every vehicle when the retailer's prices are lowest."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.retail_plan import cheapest_plan
from agents.decisions.vehicle_offer import Parked, drawn_kwh
from agents.ledger import Ledger
from agents.parking_ports import RetailPrices
from agents.periods import QUARTER, next_quarter, quarter_at, quarters
from agents.ports import Charger, ChargerError
from agents.v2x_desk import V2xDesk
from behaviours.answering import Incoming, Inform, Refuse, answers, refusal
from behaviours.swarm import Swarm
from protocols.exchanges.activation import SessionAnnouncement
from protocols.exchanges.plain import Done
from protocols.roles import Role

STANDS = timedelta(minutes=50)
"""A planned power ends by itself after this time: longer than until the writing after next."""
RENEWED_BEFORE = timedelta(minutes=20)
"""A power that ends sooner than this is written again: longer than the quarter until the next writing."""
SAME_KW = 1e-3
"""What an order is rounded to."""


@dataclass(frozen=True, slots=True)
class Lot:
    """What is true of a whole parking lot. `location` is the campus, as the directory knows it; efficiencies (in, out)
    and ratings in kW (in, out) are those of each of its chargers. `minimum_benefit_eur_per_kwh` is what a service must
    bring, `store_up_to_percent` what a vehicle may be charged to for a service's sake."""

    name: str
    location: str
    efficiency: tuple[float, float]
    ratings_kw: tuple[float, float]
    wear_eur_per_kwh: float
    store_up_to_percent: float = 90.0
    minimum_benefit_eur_per_kwh: float = 0.01
    services: tuple[str, ...] = ()


class Parking(Actor):
    """D5.1 3.3: what the V2X managers' "normal operations" are, which they resume when a service is over: every vehicle
    charges in the cheapest periods before its departure, and the plan follows each new list of prices.

    A charger that is claimed for a service is left to whoever claimed it. Subclasses extend the hooks `on_session`,
    `on_left`, `on_prices` and `on_quarter`, and `committed_kw`; all of them call `super()`.
    """

    role: ClassVar[Role] = Role.V2X_MANAGER

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        lot: Lot,
        chargers: Sequence[Charger],
        buses: Sequence[str],
        drivers: Mapping[str, str],
        prices: RetailPrices,
        ledger: Ledger,
        zone: tzinfo,
        until: datetime,
    ) -> None:
        """`drivers`: the JID of each charger's driver; a charger that is not named takes anybody's announcement."""
        super().__init__(jid, password, swarm)
        self.lot = lot
        self.services = lot.services
        self.location = lot.location
        count = len(chargers)
        self.desk = V2xDesk(
            chargers,
            buses,
            [lot.efficiency] * count,
            [lot.ratings_kw] * count,
            lot.store_up_to_percent,
            self.notice,
        )
        self.drivers = dict(drivers)
        self.prices = prices
        self.ledger = ledger
        self.zone = zone
        self.until = until
        self.plans: dict[str, tuple[datetime, tuple[float, ...]]] = {}
        """By charger: the first market period and kW of each from it on."""
        self.claimed: dict[str, str] = {}
        """By charger: the service that has it."""
        self._ends: dict[str, datetime] = {}
        """By charger: when the planned power that was written ends by itself."""

    async def course(self) -> None:
        """Each quarter of an hour, and when a new list of prices is published: read, plan, and steer."""
        changes = [at for at in self.prices.changes(self.until) if at > self.now()]
        turned: datetime | None = None
        while True:
            now = self.now()
            await self.read()
            self.desk.keep_registers(now)
            self.replan()
            await self.steer()
            if changes and changes[0] <= now:
                changes = [at for at in changes if at > now]
                await self.on_prices(now)
            if turned != quarter_at(now):
                turned = quarter_at(now)
                await self.on_quarter(now)
            if now >= self.until:
                return
            await self.clock.sleep_until(min([next_quarter(self.now()), *changes[:1]]))

    # ---- hooks

    async def on_quarter(self, now: datetime) -> None:
        """At the beginning of each quarter of an hour, after the plan's powers were set."""

    async def on_prices(self, now: datetime) -> None:
        """A new list of prices was published, and the vehicles are planned by it."""

    async def on_session(self, session: SessionAnnouncement) -> None:
        """A vehicle has come, and is planned."""

    async def on_left(self, charger_id: str) -> None:
        """The vehicle has left; nothing is claimed there any more."""

    def committed_kw(self, charger_id: str, now: datetime) -> Mapping[datetime, float]:
        """What services have the charger draw, by the beginning of the market period, from the present one on. The
        plan keeps it, and makes up for it."""
        return {}

    # ---- who is there

    @answers(SessionAnnouncement)
    async def on_session_announcement(self, session: SessionAnnouncement, incoming: Incoming) -> Inform | Refuse:
        """1.x.8: when the car will leave, and with which charge."""
        charger_id = session.charger_id
        if charger_id not in self.desk.chargers:
            return refusal("unknown-charger", f"{charger_id} is not a charger of mine")
        if self.drivers.get(charger_id, incoming.sender) != incoming.sender:
            return refusal("not-authorised", f"{charger_id} is another driver's")
        begins = self.desk.note(session, incoming.sender)
        if begins and charger_id in self.claimed:
            await self._left(charger_id)  # the car before has gone unseen
        if session.plugged_in:
            await self.desk.read([charger_id])
            self.replan([charger_id])
            await self.steer([charger_id])
            await self.on_session(session)
        return Inform(Done(reference=session.vehicle_id))

    async def read(self) -> None:
        """Reads the chargers; a vehicle that has left is planned no more, and serves no more."""
        await self.desk.read()
        for charger_id in self.desk.gone(self.now()):
            await self._left(charger_id)

    async def _left(self, charger_id: str) -> None:
        self.plans.pop(charger_id, None)
        self.claimed.pop(charger_id, None)
        self._ends.pop(charger_id, None)
        await self.on_left(charger_id)

    def vehicles(self, now: datetime) -> list[Parked]:
        """All vehicles that are plugged in and announced, as last read."""
        return [vehicle for c in self.desk.chargers if (vehicle := self.desk.parked(c, now)) is not None]

    def claim(self, charger_ids: Iterable[str], service_id: str) -> bool:
        """Takes these chargers for a service: all of them, or none where another service has one of them."""
        wanted = list(charger_ids)
        if any(c not in self.desk.chargers or self.claimed.get(c, service_id) != service_id for c in wanted):
            return False
        self.claimed.update(dict.fromkeys(wanted, service_id))
        return True

    def release_claim(self, charger_id: str, service_id: str) -> None:
        """The service leaves the charger to its plan, which takes it up with the next `steer`; another service's claim
        stays."""
        if self.claimed.get(charger_id) == service_id:
            del self.claimed[charger_id]
            self._ends.pop(charger_id, None)

    # ---- what they are to do

    def price_at(self, at: datetime) -> float:
        """The retailer's price, EUR/kWh, as published now."""
        return self.prices.price_eur_per_kwh(at, self.now())

    def planned_kw(self, charger_id: str, start: datetime, periods: int) -> tuple[float, ...]:
        """What the charger is going to draw in each market period from `start`, what services ordered included."""
        first, powers = self.plans.get(charger_id, (start, ()))
        offset = (start - first) // QUARTER
        return tuple(powers[k] if 0 <= k < len(powers) else 0.0 for k in range(offset, offset + periods))

    def replan(self, charger_ids: Iterable[str] | None = None) -> None:
        """Plans these vehicles (None: all) anew from what was last read, by the prices that are known now. Where a
        charger is silent its plan stays."""
        now = self.now()
        start = quarter_at(now)
        which = self.desk.chargers if charger_ids is None else charger_ids
        there = [vehicle for c in which if (vehicle := self.desk.parked(c, now)) is not None]
        count = quarters(start, max((vehicle.departure for vehicle in there), default=start))
        prices = [self.price_at(start + k * QUARTER) for k in range(count)]
        for vehicle in there:
            self.plans[vehicle.id] = (start, self.plan(vehicle, prices[: quarters(start, vehicle.departure)]))

    def plan(
        self, vehicle: Parked, prices: Sequence[float], committed: Mapping[datetime, float] | None = None
    ) -> tuple[float, ...]:
        """The cheapest plan from the present market period on around what services have it draw (None: as they have
        ordered); what they take is charged in other periods, what they bring need not be charged."""
        start = quarter_at(vehicle.at)
        orders = self.committed_kw(vehicle.id, vehicle.at) if committed is None else committed
        fixed = {k: orders[at] for k in range(len(prices)) if (at := start + k * QUARTER) in orders}
        if not fixed:
            return cheapest_plan(vehicle, start, prices)
        gained = sum(drawn_kwh(vehicle, kw, _hours(vehicle.at, start + k * QUARTER)) for k, kw in fixed.items())
        then = replace(vehicle, energy_kwh=min(vehicle.capacity_kwh, vehicle.energy_kwh + gained))
        free = cheapest_plan(then, start, [math.inf if k in fixed else price for k, price in enumerate(prices)])
        return tuple(fixed.get(k, kw) for k, kw in enumerate(free))

    async def steer(self, charger_ids: Iterable[str] | None = None) -> None:
        """Sets these chargers (None: all) to what their plan has for this market period, where that is not what they
        are set to already, or will not be for long enough. Claimed chargers are left alone."""
        now = self.now()
        writing = []
        for charger_id in list(self.desk.chargers if charger_ids is None else charger_ids):
            if charger_id in self.claimed or charger_id not in self.plans:
                continue
            if self.desk.reading(charger_id) is None:
                self._ends.pop(charger_id, None)  # it may have forgotten its order when it answers again
                continue
            (kw,) = self.planned_kw(charger_id, quarter_at(now), 1)
            standing = self.desk.setpoints.get(charger_id)
            lasts = self._ends.get(charger_id, now) - now >= RENEWED_BEFORE
            if standing is not None and lasts and abs(standing - kw) <= SAME_KW:
                writing.append(self._sign_of_life(charger_id))
            else:
                self.desk.setpoints[charger_id] = kw
                self._ends[charger_id] = now + STANDS
                writing.append(self.desk.order(charger_id, kw, int(STANDS.total_seconds())))
        await asyncio.gather(*writing)

    async def _sign_of_life(self, charger_id: str) -> None:
        try:
            await self.desk.chargers[charger_id].heartbeat()
        except ChargerError:
            self._ends.pop(charger_id, None)  # the next reading tells of it


def _hours(now: datetime, quarter: datetime) -> float:
    """What is left of that market period."""
    return (quarter + QUARTER - max(now, quarter)) / timedelta(hours=1)
