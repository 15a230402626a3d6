"""The desk of a V2X manager: its chargers' energy registers, the vehicles as a service sees them, and their orders."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter

from agents.charger_desk import ChargerDesk
from agents.decisions.promises import Book
from agents.decisions.vehicle_offer import Parked, by_order, by_own_plan, within
from agents.periods import QUARTER, quarter_at
from agents.ports import Charger, ChargerReading
from protocols.exchanges.activation import SessionAnnouncement

REVERSION = timedelta(minutes=20)
"""An order to a charger ends by itself after this time: longer than the quarter until the next one."""
KEPT = timedelta(days=1)
"""So long the registers' readings are kept."""
SETTLED = timedelta(minutes=1)
"""A charger that is empty so long after its session began has lost its vehicle."""


class V2xDesk(ChargerDesk):
    """Chargers, sessions and registers of one manager. Powers in kW, drawn from the grid is positive.

    `setpoints` are the orders that stand, in kW by charger. `store_up_to_percent` of its capacity is what a vehicle may
    be charged to for a service's sake, where less was asked for.
    """

    def __init__(
        self,
        chargers: Sequence[Charger],
        buses: Sequence[str],
        efficiency: Sequence[tuple[float, float]],
        ratings_kw: Sequence[tuple[float, float]],
        store_up_to_percent: float,
        notice: Callable[[str], None],
    ) -> None:
        super().__init__(chargers, buses, notice)
        self.efficiency = dict(zip(self.chargers, efficiency, strict=True))
        self.ratings_kw = dict(zip(self.chargers, ratings_kw, strict=True))
        self.store_up_to_percent = store_up_to_percent
        self.setpoints: dict[str, float] = {}
        self._writing = asyncio.Lock()  # an order and its end must not overtake each other
        self._registers: dict[str, list[tuple[datetime, float]]] = {charger_id: [] for charger_id in self.chargers}

    # ---- what was and what is

    def note(self, session: SessionAnnouncement, owner: str) -> bool:
        """A driver's announcement. True: it begins a stay, at a charger that has no order any more."""
        begins = super().note(session, owner)
        if begins:
            self.setpoints.pop(session.charger_id, None)
        return begins

    def reading(self, charger_id: str) -> ChargerReading | None:
        """What the charger last said, None where it is silent."""
        return self._readings.get(charger_id)

    def readings(self) -> tuple[ChargerReading, ...]:
        """What the chargers that answer last said."""
        return tuple(self._readings.values())

    def keep_registers(self, now: datetime) -> None:
        """Notes the energy registers as just read."""
        for charger_id, reading in self._readings.items():
            samples = self._registers[charger_id]
            samples.append((now, reading.meter_kwh))
            while now - samples[0][0] > KEPT:
                del samples[0]

    def mean_kw(self, charger_id: str, start: datetime, end: datetime) -> float | None:
        """The mean from `start` to `end` by the charger's register, which runs evenly between two readings; None where
        there were no readings before and after."""
        first, last = self._register(charger_id, start), self._register(charger_id, end)
        return None if first is None or last is None else (last - first) / ((end - start) / timedelta(hours=1))

    def _register(self, charger_id: str, at: datetime) -> float | None:
        samples = self._registers[charger_id]
        position = bisect_left(samples, at, key=itemgetter(0))
        if position == len(samples):
            return None
        after = samples[position]
        if after[0] == at:
            return after[1]
        if position == 0:
            return None
        before = samples[position - 1]
        return before[1] + (after[1] - before[1]) * ((at - before[0]) / (after[0] - before[0]))

    def gone(self, now: datetime) -> list[str]:
        """The chargers whose vehicle has left since it was announced; their sessions are over."""
        left = [
            charger_id
            for charger_id, session in self._sessions.items()
            if (reading := self._readings.get(charger_id)) is not None
            and not reading.connected
            and session.arrival + SETTLED <= now
        ]
        for charger_id in left:
            del self._sessions[charger_id]
            self.setpoints.pop(charger_id, None)
        return left

    def parked(self, charger_id: str, now: datetime) -> Parked | None:
        """The vehicle there as last read, with what its driver announced; None where either is missing."""
        reading, session = self._readings.get(charger_id), self._sessions.get(charger_id)
        if reading is None or session is None or not reading.connected or reading.energy_kwh is None:
            return None
        capacity = reading.capacity_kwh or session.capacity_kwh
        charge_kw, discharge_kw = self.ratings_kw[charger_id]
        inwards, outwards = self.efficiency[charger_id]
        return Parked(
            id=charger_id,
            at=now,
            energy_kwh=min(reading.energy_kwh, capacity),
            capacity_kwh=capacity,
            floor_kwh=session.minimum_soc_percent / 100 * capacity,
            required_kwh=session.wanted_soc_percent / 100 * capacity,
            up_to_kwh=self.store_up_to_percent / 100 * capacity,
            departure=session.departure,
            charges_from=session.charges_from,
            max_charge_kw=min(reading.max_charge_kw, charge_kw),
            max_discharge_kw=min(reading.max_discharge_kw, discharge_kw),
            efficiency_charge=inwards,
            efficiency_discharge=outwards,
        )

    def at(self, vehicle: Parked, until: datetime, book: Book) -> Parked:
        """The vehicle as it will be at `until`: quarter by quarter as promised, else by its own plan."""
        while vehicle.at < until:
            quarter = quarter_at(vehicle.at)
            end = min(until, quarter + QUARTER)
            promise = book.serving(quarter).get(vehicle.id)
            if promise is None:
                vehicle = by_own_plan(vehicle, end)
            else:
                vehicle = by_order(vehicle, within(vehicle, promise.part.power_kw), end)
        return vehicle

    # ---- what shall be

    async def set(self, powers_kw: Mapping[str, float]) -> None:
        """Sets these chargers' power until `REVERSION`, and gives all others back to their own plans."""
        async with self._writing:
            self.setpoints, before = dict(powers_kw), set(self.setpoints)
            work = [self.order(c, kw, int(REVERSION.total_seconds())) for c, kw in sorted(powers_kw.items())]
            await asyncio.gather(*work, *(self.release(c) for c in sorted(before.difference(powers_kw))))

    async def give_back(self, charger_ids: Iterable[str]) -> None:
        """Gives these chargers back to their own plans, where an order stands."""
        async with self._writing:
            ordered = sorted(set(charger_ids) & self.setpoints.keys())
            for charger_id in ordered:
                del self.setpoints[charger_id]
            await asyncio.gather(*(self.release(charger_id) for charger_id in ordered))
