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

    def may_be_called(self, manager: str) -> bool:
        """Whether it is not paused now."""
        return self.of(manager).may_be_called(self._agent.now())

    async def remember(self, services: Sequence[FoService], start: datetime) -> None:
        """Reads the meters of the vehicles that took part in the quarter of an hour from `start`, and remembers by
        manager what came of what was promised. A tail is no promise: it costs no trust, and earns none."""
        held = promised(services, start)
        if not held:
            return
        metered = await self._meters.read(held.keys(), start, start + QUARTER, MINUTES)
        hours = QUARTER / timedelta(hours=1)
        due: defaultdict[str, float] = defaultdict(float)
        came: defaultdict[str, float] = defaultdict(float)
        for charger, promise in held.items():
            if charger in metered:
                order = promise.order
                delivered = delivered_kw(order.baseline_kw, order.power_kw, metered[charger][0]) * hours
                self.served_kwh[charger] = round(self.served_kwh[charger] + delivered, 6)
                if promise.firm:
                    due[promise.manager] += abs(order.power_kw) * hours
                    came[promise.manager] += delivered
        for manager in sorted(due):
            words = f"delivered {came[manager]:.2f} of {due[manager]:.2f} kWh"
            self.learn(manager, due[manager], came[manager], words)

    def learn(self, manager: str, promised: float, kept: float, words: str) -> None:
        """Remembers that it kept so much of what it promised, both in the same unit; `words` say in a notice what it
        did, where it is not called for a while because of that."""
        before = self.of(manager)
        trust = self.memory.after(before, promised, kept, self._agent.now())
        if trust.paused_until is not None and trust != before:
            until = trust.paused_until.astimezone(self._zone)
            self._agent.notice(f"{manager} {words}: it is not called until {until:%H:%M}")
        self.trust[manager] = trust
