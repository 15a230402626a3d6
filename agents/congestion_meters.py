"""The chargers' meters of a campus: one question for all; where that is refused because of one, each by itself."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from agents.actor import Actor
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Informed, Refused
from protocols.exchanges.services import MeterQuery, MeterReading
from protocols.roles import Role


class CampusMeters:
    """Means in kW, positive drawn. That a meter falls silent is told once, and that it answers again."""

    def __init__(self, agent: Actor) -> None:
        self._agent = agent
        self._silent: set[str] = set()

    async def read(
        self, chargers: Collection[str], start: datetime, end: datetime, period: timedelta
    ) -> dict[str, tuple[float, ...]]:
        """One mean for each period, by charger; those without a reading are left out."""
        wanted = sorted(chargers)
        if not wanted:
            return {}
        found = await self._query(wanted, start, end, period)
        if found is None:
            parts = await asyncio.gather(*(self._query([charger], start, end, period) for charger in wanted))
            found = {charger: series for part in parts if part for charger, series in part.items()}
        lost = set(wanted) - found.keys()
        if new := sorted(lost - self._silent):
            which = "the meters of all chargers" if len(lost) == len(wanted) else f"the meters of {', '.join(new)}"
            self._agent.notice(f"{which} do not answer; what they show is not known")
        if back := sorted(self._silent & found.keys()):
            self._agent.notice(f"the meters of {len(back)} chargers answer again, {back[0]} among them")
        self._silent = (self._silent | lost) - found.keys()
        return found

    async def _query(
        self, chargers: Sequence[str], start: datetime, end: datetime, period: timedelta
    ) -> dict[str, tuple[float, ...]] | None:
        """None where the question is refused because of one of several, nothing where nobody answers it."""
        agent = self._agent
        places = tuple(f"charger:{charger}" for charger in chargers)
        minutes = period // timedelta(minutes=1)
        query = MeterQuery(locations=places, start=start, end=end, period_minutes=minutes)
        refused = False
        for meters in await agent.search(role=Role.ENVIRONMENT):
            answer = await agent.query_ref(query, to=meters.jid, reply_by=agent.now() + ANSWER_TIME)
            refused |= isinstance(answer, Refused)
            reading = answer.content if isinstance(answer, Informed) else None
            if isinstance(reading, MeterReading) and (reading.start, reading.end) == (start, end):
                return {s.location.removeprefix("charger:"): s.power_kw for s in reading.series if s.location in places}
        return None if refused and len(chargers) > 1 else {}


def by_bus(found: Mapping[str, Sequence[float]], bus_of: Mapping[str, str]) -> dict[str, float]:
    """The first mean of all chargers at each bus; a bus where one of them has no reading is left out."""
    metered: defaultdict[str, float] = defaultdict(float)
    for charger, bus in bus_of.items():
        if charger in found:
            metered[bus] += found[charger][0]
    lost = {bus for charger, bus in bus_of.items() if charger not in found}
    return {bus: kw for bus, kw in metered.items() if bus not in lost}
