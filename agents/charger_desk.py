"""The chargers of one operator or manager: what each last said, who is plugged in where, and orders to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from agents.ports import Charger, ChargerError, ChargerReading
from protocols.exchanges.activation import SessionAnnouncement


class ChargerDesk:
    """Chargers and sessions. Powers in kW, drawn from the grid is positive; `bus` is where each charger stands."""

    def __init__(self, chargers: Sequence[Charger], buses: Sequence[str], notice: Callable[[str], None]) -> None:
        self.chargers = {charger.charger_id: charger for charger in chargers}
        self.bus = dict(zip(self.chargers, buses, strict=True))
        self.notice = notice
        self._sessions: dict[str, SessionAnnouncement] = {}
        self._owners: dict[str, str] = {}
        self._readings: dict[str, ChargerReading] = {}
        self._faulty: set[str] = set()

    def note(self, session: SessionAnnouncement, owner: str) -> bool:
        """A driver's announcement. True: it begins a stay."""
        self._owners[session.charger_id] = owner
        if not session.plugged_in:
            return False
        before = self._sessions.get(session.charger_id)
        self._sessions[session.charger_id] = session
        return before is None or (before.vehicle_id, before.arrival) != (session.vehicle_id, session.arrival)

    def owner_of(self, charger_id: str) -> str | None:
        """The JID of the driver at that charger, None where nobody announced a session."""
        return self._owners.get(charger_id)

    @property
    def power_kw(self) -> float:
        """What the chargers drew together when last read."""
        return sum(reading.power_kw for reading in self._readings.values())

    async def read(self, which: Iterable[str] | None = None) -> None:
        """Reads the chargers over Modbus. One that is silent or talks nonsense is noted once and left out."""
        ids = list(self.chargers) if which is None else list(which)
        results = await asyncio.gather(*(self.chargers[c].read() for c in ids), return_exceptions=True)
        for charger_id, result in zip(ids, results, strict=True):
            if isinstance(result, ChargerReading):
                self._readings[charger_id] = result
                if charger_id in self._faulty:
                    self._faulty.discard(charger_id)
                    self.notice(f"charger {charger_id} answers again")
            elif isinstance(result, ChargerError):
                self._readings.pop(charger_id, None)
                self._failed(charger_id, result)
            else:
                raise result

    async def order(self, charger_id: str, power_kw: float, reversion_s: int) -> None:
        """Sets a charger's power, with a sign of life; one that does not take it is noted once."""
        try:
            await self.chargers[charger_id].set_power(round(power_kw, 3), reversion_s)
            await self.chargers[charger_id].heartbeat()
        except ChargerError as error:
            self._failed(charger_id, error)

    async def release(self, charger_id: str) -> None:
        """Back to its own plan; a charger that does not answer falls back to it by itself when its order ends."""
        try:
            await self.chargers[charger_id].release()
        except ChargerError as error:
            self._failed(charger_id, error)

    def _failed(self, charger_id: str, error: ChargerError) -> None:
        if charger_id not in self._faulty:
            self._faulty.add(charger_id)
            self.notice(str(error))
