"""The chargers' meters, read all at once; one that does not answer is named and keeps no other from being read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from agents.actor import Actor
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Informed, Refused
from protocols.exchanges.services import MeterQuery, MeterReading
from protocols.roles import Role


class ChargerMeters:
    """Reads `charger:<id>` in the name of an agent. Means in kW, positive drawn."""

    def __init__(self, agent: Actor) -> None:
        self._agent = agent
        self._silent: set[str] = set()

    async def read(
        self, chargers: Collection[str], start: datetime, end: datetime, minutes: int
    ) -> dict[str, tuple[float, ...]]:
        """One mean for each period of `minutes` from `start` to `end`, by charger; who has no reading is left out.

        One query for all. Only where that is refused, because of a single meter, each is asked for by itself.
        """
        known = sorted(set(chargers) - self._silent)
        found = await self._query(known, start, end, minutes) if known else {}
        if found is None:
            found = {}
            for charger in known:
                found |= await self._query([charger], start, end, minutes) or {}
        for charger in sorted(self._silent.intersection(chargers)):
            found |= await self._query([charger], start, end, minutes) or {}
        lost = sorted(set(known) - found.keys())
        if lost:
            self._agent.notice(f"the meters of {', '.join(lost)} do not answer; what they show is not known yet")
        if back := sorted(self._silent.intersection(found)):
            self._agent.notice(f"the meters of {', '.join(back)} answer again")
        self._silent = (self._silent | set(lost)) - found.keys()
        return found

    async def _query(
        self, chargers: Sequence[str], start: datetime, end: datetime, minutes: int
    ) -> dict[str, tuple[float, ...]] | None:
        """What the meters say: None where the question is refused, nothing where nobody answers it."""
        agent = self._agent
        places = tuple(f"charger:{charger}" for charger in chargers)
        query = MeterQuery(locations=places, start=start, end=end, period_minutes=minutes)
        for meters in await agent.search(role=Role.ENVIRONMENT):
            answer = await agent.query_ref(query, to=meters.jid, reply_by=agent.now() + ANSWER_TIME)
            if isinstance(answer, Refused):
                return None
            reading = answer.content if isinstance(answer, Informed) else None
            if isinstance(reading, MeterReading) and _answers(reading, end - start, timedelta(minutes=minutes)):
                return {s.location.removeprefix("charger:"): s.power_kw for s in reading.series if s.location in places}
        return {}


def _answers(reading: MeterReading, span: timedelta, period: timedelta) -> bool:
    return reading.end - reading.start == span and timedelta(minutes=reading.period_minutes) == period
