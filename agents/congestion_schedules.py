"""What the chargers of a campus are expected to draw, by bus: told by their managers (3.x.5), held against the meters.

A manager's schedule is its plan with the services that were ordered when it was made, and without those ordered since.
So an order's effect is counted here from its award until a schedule of a later time tells of it, and a service that is
called off is taken out of the schedules that still tell of it: each is in the sum exactly once. A schedule holds for
its own periods; those before it stay as they were told last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np

from agents.decisions.congestion_gaps import Gap, ManagerGaps, Shown
from agents.grid_view import Floats
from agents.grid_watch import ChargingForecast
from agents.periods import QUARTER, index_of, quarter_at
from protocols.exchanges.congestion_services import ChargingSchedule

FRESH_FOR = timedelta(minutes=25)
"""A schedule comes every 15 minutes; after two that did not come its manager is silent."""
CARRIED_PERIODS = 4
"""For so many periods ahead, what the meters show beside the schedules is taken to last."""
KEPT = timedelta(hours=1)
"""Periods that are over for so long are forgotten."""


class Ordered(Protocol):
    """A service as the schedules see it: `by_bus` kW less from `start` to `ends` (`end`: as it was ordered).

    `awarded_at`: from then on a schedule tells of it; `stopped_at`: from then on none does any more.
    """

    @property
    def manager(self) -> str: ...
    @property
    def by_bus(self) -> Mapping[str, float]: ...
    @property
    def start(self) -> datetime: ...
    @property
    def end(self) -> datetime: ...
    @property
    def ends(self) -> datetime: ...
    @property
    def awarded_at(self) -> datetime: ...
    @property
    def stopped_at(self) -> datetime | None: ...


class Schedules:
    """Keeps the newest schedule of each manager. `connected`: the buses with chargers; `typical`: what vehicles usually
    draw, for where nobody tells."""

    def __init__(
        self,
        connected: Collection[str],
        typical: ChargingForecast,
        now: Callable[[], datetime],
        notice: Callable[[str], None],
    ) -> None:
        self.connected = tuple(sorted(connected))
        self.typical = typical
        self._now, self._notice = now, notice
        self._newest: dict[str, datetime] = {}
        self._managers: dict[str, dict[str, dict[datetime, tuple[float, datetime]]]] = {}
        """By manager, bus and period: the kW, and when they were told."""
        self._gaps: defaultdict[str, Gap] = defaultdict(Gap)
        self._manager_gaps = ManagerGaps()
        self._metered: Mapping[str, float] = {}
        self._silent: set[str] = set()
        self._strange: set[str] = set()

    @property
    def managers(self) -> tuple[str, ...]:
        """Those that have ever told, by JID."""
        return tuple(sorted(self._managers))

    def buses_of(self, manager: str) -> tuple[str, ...]:
        """Where the manager has said that it has chargers."""
        return tuple(sorted(self._managers.get(manager, ())))

    def take(self, manager: str, schedule: ChargingSchedule) -> None:
        """News of a manager. Schedules that make no sense, and buses without a charger of this DSO's, are left out,
        with a notice once; of two of one time the later to come holds."""
        made, now = schedule.timestamp, self._now()
        fault = None
        if schedule.start != quarter_at(schedule.start):
            fault = "starts within a market period"
        elif made > now:
            fault = f"is dated {made - now} ahead of the time"
        elif manager in self._newest and made < self._newest[manager]:
            fault = f"came {self._newest[manager] - made} out of order"
        if fault is not None:
            self._tell_strange(manager, f"a schedule of {manager} {fault}: left out, as all further such ones")
            return
        told = {each.bus: each.power_kw for each in schedule.buses}
        if strangers := sorted(told.keys() - set(self.connected)):
            places = ", ".join(strangers)
            self._tell_strange(manager, f"{manager} tells of {places}, where no charger of this network is: left out")
        self._newest[manager] = made
        known = self._managers.setdefault(manager, {})
        for bus in sorted({*known, *told} & set(self.connected)):
            periods = {at: kept for at, kept in known.get(bus, {}).items() if now - KEPT <= at < schedule.start}
            periods |= {schedule.start + k * QUARTER: (kw, made) for k, kw in enumerate(told.get(bus, ()))}
            known[bus] = periods

    def _tell_strange(self, manager: str, text: str) -> None:
        if manager not in self._strange:
            self._strange.add(manager)
            self._notice(text)

    def is_fresh(self, manager: str) -> bool:
        """Whether the manager has told lately."""
        return manager in self._newest and self._now() - self._newest[manager] <= FRESH_FOR

    def tell_silent(self, expected: Iterable[str]) -> None:
        """That one of these managers has fallen silent is told once, and that it tells again."""
        for manager in expected:
            silent = not self.is_fresh(manager)
            if silent and manager not in self._silent:
                self._notice(f"{manager} tells no schedule: its chargers are taken as metered, moved as is usual")
                self._silent.add(manager)
            elif not silent and manager in self._silent:
                self._notice(f"{manager} tells its schedule again")
                self._silent.discard(manager)

    def manager_kw(
        self, manager: str, buses: Collection[str], start: datetime, periods: int, services: Iterable[Ordered]
    ) -> tuple[float, ...]:
        """What the manager has told that its chargers at these buses draw together, less what was ordered since."""
        mine = [service for service in services if service.manager == manager]
        there = [bus for bus in self.buses_of(manager) if bus in buses]
        when = [start + k * QUARTER for k in range(periods)]
        return tuple(sum(self._told(manager, bus, at, mine) or 0.0 for bus in there) for at in when)

    def _told(self, manager: str, bus: str, at: datetime, services: Sequence[Ordered]) -> float | None:
        """One bus of a manager in the period from `at`: None where no schedule has it."""
        told_then = self._managers[manager][bus].get(at)
        if told_then is None:
            return None
        kw, made = told_then
        for service in services:
            if not service.start <= at < service.end:
                continue
            stopped = service.stopped_at is not None and service.stopped_at <= made
            told = service.awarded_at <= made and not stopped
            kw += (told - (at < service.ends)) * service.by_bus.get(bus, 0.0)
        return kw

    # ---- the meters ------------------------------------------------------------------------------------------------

    def hold_against(
        self,
        metered_kw: Mapping[str, float],
        services: Sequence[Ordered],
        *,
        learn: bool = True,
        of_managers_kw: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        """What the meters show by bus now, in the middle of a period; a bus that is left out is not metered. Without
        `learn` the gaps stay as they are: the reading may reach back into the period before. `of_managers_kw`: what
        each manager's own chargers draw, by bus, where that is known."""
        self._metered = metered_kw
        if not learn:
            return
        at = quarter_at(self._now())
        for bus in self.connected:
            told = self._sum(bus, at, services)
            gap = self._gaps[bus]
            gap.before = gap.last
            gap.last = metered_kw[bus] - told if bus in metered_kw and told is not None else 0.0
        for manager, by_bus in (of_managers_kw or {}).items():
            if manager not in self._managers or not self.is_fresh(manager):
                continue
            mine = [service for service in services if service.manager == manager]
            look = {}
            for bus in self.buses_of(manager):
                own = self._told(manager, bus, at, mine)
                if bus in by_bus and own is not None:
                    look[bus] = own, by_bus[bus]
            self._manager_gaps.learn(manager, look)

    def shown(self, manager: str, buses: Collection[str]) -> Shown:
        """What the meters have lately shown beside the manager's own schedule, its chargers at these buses together."""
        return self._manager_gaps.shown(manager, buses)

    def _sum(self, bus: str, at: datetime, services: Sequence[Ordered]) -> float | None:
        """What all managers tell of a bus; None where one that has chargers there does not say, or none is known."""
        tellers = [manager for manager, buses in self._managers.items() if bus in buses]
        told = [
            self._told(m, bus, at, [s for s in services if s.manager == m]) if self.is_fresh(m) else None
            for m in tellers
        ]
        known = [kw for kw in told if kw is not None]
        return sum(known) if known and len(known) == len(tellers) else None

    def expected(self, start: datetime, periods: int, services: Sequence[Ordered]) -> dict[str, Floats]:
        """kW by bus [period] from `start`: the schedules with what the meters have lately shown beside them; where
        nobody tells, what is metered now moved as charging usually moves, and what is usual where no meter is either.

        The meters' gap is what two looks have found on the same side, for `CARRIED_PERIODS`; it takes away no more than
        is told. A service that is called off counts until then.
        """
        present = quarter_at(self._now())
        ahead = index_of(start, present)
        usual = self.typical.typical_kw(present, ahead + periods)
        found: dict[str, Floats] = {}
        for bus in self.connected:
            normal = usual.get(bus, np.zeros(ahead + periods))
            series = []
            for k in range(periods):
                at = start + k * QUARTER
                told = self._sum(bus, at, services)
                if told is not None:
                    gap = self._gaps[bus].lasting if k < CARRIED_PERIODS else 0.0
                    series.append(told + gap if gap >= 0 else max(told + gap, min(0.0, told)))
                elif bus in self._metered:
                    moved = float(normal[ahead + k] - normal[0])
                    kw = self._metered[bus] + moved + _ended(bus, present, at, services)
                    series.append(max(kw, min(0.0, self._metered[bus])) if moved < 0 else kw)
                else:
                    series.append(float(normal[ahead + k]))
            found[bus] = np.array(series)
        return found


def _ended(bus: str, present: datetime, at: datetime, services: Iterable[Ordered]) -> float:
    """kW that are drawn again at `at` because services of now are over by then, less what begins until then."""
    kw = 0.0
    for service in services:
        now, then = (service.start <= when < service.ends for when in (present, at))
        kw += (now - then) * service.by_bus.get(bus, 0.0)
    return kw
