"""Which V2X managers keep their promises, by the chargers' meters, and what each vehicle has given so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.decisions.selection import Memory, Trust, delivered_kw
from agents.fo_service import FoService, promised
from agents.periods import MINUTES, QUARTER


class TrustDesk:
    """`trust` by manager (JID): who is not in it has kept every promise so far. `served_kwh` by charger. `zone` is that
    of the times in notices."""

    def __init__(self, agent: Actor, memory: Memory, zone: tzinfo) -> None:
        self.memory = memory
        self.trust: dict[str, Trust] = {}
        self.served_kwh: defaultdict[str, float] = defaultdict(float)
        self._agent = agent
        self._zone = zone
        self._meters = ChargerMeters(agent)

    def of(self, manager: str) -> Trust:
        return self.trust.get(manager, Trust())

    async def remember(self, services: Sequence[FoService], start: datetime) -> None:
        """Reads the meters of the vehicles that took part in the quarter of an hour from `start`, and remembers by
        manager what came of what was promised."""
        held = promised(services, start)
        if not held:
            return
        metered = await self._meters.read(held.keys(), start, start + QUARTER, MINUTES)
        hours = QUARTER / timedelta(hours=1)
        due: defaultdict[str, float] = defaultdict(float)
        came: defaultdict[str, float] = defaultdict(float)
        for charger, (manager, order) in held.items():
            if charger in metered:
                delivered = delivered_kw(order.baseline_kw, order.power_kw, metered[charger][0]) * hours
                self.served_kwh[charger] = round(self.served_kwh[charger] + delivered, 6)
                due[manager] += abs(order.power_kw) * hours
                came[manager] += delivered
        for manager in sorted(due):
            trust = self.memory.after(self.of(manager), due[manager], came[manager], self._agent.now())
            if trust.paused_until is not None and trust != self.of(manager):
                self._agent.notice(
                    f"{manager} delivered {came[manager]:.2f} of {due[manager]:.2f} kWh: "
                    f"it is not called until {trust.paused_until.astimezone(self._zone):%H:%M}"
                )
            self.trust[manager] = trust
