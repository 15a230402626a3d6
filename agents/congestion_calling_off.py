"""How a DSO of BUC 3 ends what is not needed any more (D5.1 3.3, Table 4, 3.3: "a signal to deactivate service").

Whoever is called off charges again what it has put off. So a service ends early only where the limits hold without it
and with what then comes back: of each vehicle that served, the energy that it has not drawn so far, from the end on at
its charger's rating. The schedules told since the award may have that energy later once more: the look is on the safe
side, and the next one, after the manager's next schedule, knows more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.congestion_orders import CongestionOrder, OrderedServices
from agents.congestion_schedules import Schedules
from agents.congestion_watch import CongestionWatch, overloads
from agents.decisions.congestion_award import by_charger
from agents.grid_view import Floats, Limits
from agents.periods import QUARTER, next_quarter, quarters
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Failed, has_stopped
from protocols.exchanges.congestion_services import CongestionEnd

MINUTE = timedelta(minutes=1)
FRESH = timedelta(minutes=3)
"""The meters are read as means of so long."""
_HOUR = timedelta(hours=1)


@dataclass(slots=True)
class CallingOff:
    """Ends services of `orders`. `connections`: the bus of each charger; `chargers_of`: a manager's chargers at buses;
    `hysteresis_percent`: how far below the limit the loading without a service must stay; `charge_kw`: the rating that
    a charger comes back with."""

    agent: Actor
    schedules: Schedules
    watch: CongestionWatch
    meters: ChargerMeters
    orders: OrderedServices
    chargers_of: Callable[[str, Collection[str]], set[str]]
    connections: Mapping[str, str]
    hysteresis_percent: float
    charge_kw: float

    def resume(self) -> None:
        """What was to be called off at the end of the period, and is not yet, is looked at again."""
        for service in self.orders.services:
            if service.calling is not None and service.stopped_at is None and self.agent.now() < service.ends:
                service.calling.cancel()
                service.calling, service.ends = None, service.end

    def mark(self, services: Sequence[CongestionOrder], limits: Limits, horizon: Callable[[datetime], int]) -> None:
        """Marks the services without which the limits hold, the dearest first, to end with this period: until then they
        are paid. One that has not begun yet ends before it begins. `horizon`: how many periods are looked at."""
        tight = Limits(
            limits.transformer_percent - self.hysteresis_percent, limits.line_percent - self.hysteresis_percent
        )
        now = self.agent.now()
        start = next_quarter(now)
        active = [s for s in services if s.ends > max(start, s.start) and s.stopped_at is None and s.calling is None]
        for service in sorted(active, key=lambda s: (-s.price, -s.power_kw, s.request_id, s.manager)):
            begun = service.start <= now
            first = start if begun else service.start
            window = quarters(first, service.end)
            periods = max(window, horizon(first))
            with_it = self._overloaded(self.schedules.expected(first, periods, services), first, tight)
            service.ends = first
            without = self.schedules.expected(first, periods, services)
            overloaded = self._overloaded(self._with_rebound(without, service, first), first, tight)
            elements = {reason.partition(" at ")[0] for reason in service.call.elements}
            if overloaded - with_it or elements & {element for element, k in overloaded if k < window}:
                service.ends = service.end
                continue
            service.calling = self.agent.spawn(
                self._call_off(service, first if begun else now, "the limits hold without it"),
                f"calls off {service.request_id} of {service.manager}",
            )

    def _with_rebound(
        self, charging_kw: Mapping[str, Floats], service: CongestionOrder, first: datetime
    ) -> dict[str, Floats]:
        """`charging_kw` (by bus, from `first` on) with what the service's vehicles have not drawn until then."""
        found = {bus: np.array(kw, dtype=np.float64) for bus, kw in charging_kw.items()}
        hours = max(0.0, (first - service.start) / _HOUR)
        users = Counter(self.connections[c] for c in by_charger(service.offer, service.power_kw))
        there = Counter(self.connections.values())
        window = quarters(first, service.end)
        for bus, kw in service.by_bus.items():
            left_kwh = kw * hours
            for k, drawn in enumerate(found[bus]):
                again = kw if k < window else 0.0  # what they draw at least without the service
                room = min(users[bus] * self.charge_kw - again, there[bus] * self.charge_kw - drawn)
                back = max(0.0, min(room, left_kwh / (QUARTER / _HOUR)))
                found[bus][k] += back
                left_kwh -= back * (QUARTER / _HOUR)
        return found

    def _overloaded(self, charging_kw: Mapping[str, Floats], first: datetime, limits: Limits) -> set[tuple[str, int]]:
        """What exceeds its limit in which period from `first` on."""
        states = self.watch.states(charging_kw, first, self.agent.now())
        return {(violation.element, k) for k, state in enumerate(states) for violation in overloads(state, limits)}

    async def _call_off(self, service: CongestionOrder, at: datetime, reason: str) -> None:
        """3.3: FIPA's cancel, with what the meters say was provided and for how long."""
        await self.agent.clock.sleep_until(at)
        service.stopped_at = now = self.agent.now()
        lasted = max(timedelta(), now - service.start)
        end = CongestionEnd(
            reference=service.request_id,
            service=service.call.service,
            p_kw=round(await self._provided_kw(service, now), 3) if lasted else 0.0,
            q_kvar=0.0,
            duration_minutes=int(lasted.total_seconds() // 60),
            reason=reason,
        )
        outcome = await service.tender.cancel(service.manager, end, self.agent.now() + ANSWER_TIME)
        if has_stopped(outcome):
            return
        self.agent.notice(f"{service.request_id} of {service.manager} is not called off: {outcome}")
        if isinstance(outcome, Failed):
            service.stopped_at, service.ends = None, service.end

    async def _provided_kw(self, service: CongestionOrder, at: datetime) -> float:
        """What the meters showed below the baseline just now; what was awarded where they are silent."""
        chargers = self.chargers_of(service.manager, service.call.buses)
        start = max(service.start, at - FRESH)
        metered = await self.meters.read(chargers, start, at, (at - start) // MINUTE)
        if metered.keys() < chargers or not chargers:
            return service.power_kw
        drawn = sum(kw for series in metered.values() for kw in series)
        return min(service.power_kw, max(0.0, service.baseline_kw(start) - drawn))
