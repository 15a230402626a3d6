"""The chargers' meters, read all at once; one that does not answer is named and keeps no other from being read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from agents.actor import Actor
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Informed, Refused
from protocols.exchanges.services import DirectoryEntry, MeterQuery, MeterReading
from protocols.roles import Role


class ChargerMeters:
    """Reads `charger:<id>`, or meters of another `kind`, in the name of an agent. Means in kW, positive drawn."""

    def __init__(self, agent: Actor, kind: str = "charger") -> None:
        self._agent = agent
        self._kind = f"{kind}:"
        self._silent: set[str] = set()

    async def read(
        self, chargers: Collection[str], start: datetime, end: datetime, minutes: int
    ) -> dict[str, tuple[float, ...]]:
        """One mean for each period of `minutes` from `start` to `end`, by charger; who has no reading is left out.

        One query for all that answered last time. Where that is refused, because of a single meter, each of them is
        asked for by itself, as the silent ones always are.
        """
        asked = set(chargers)
        together, apart = sorted(asked - self._silent), sorted(asked & self._silent)
        meters = await self._agent.search(role=Role.ENVIRONMENT) if asked else ()
        found = await self._query(meters, together, start, end, minutes) if together else {}
        if found is None:
            found, apart = {}, sorted(asked)
        for one in await asyncio.gather(*(self._query(meters, [charger], start, end, minutes) for charger in apart)):
            found |= one or {}
        # Another reading may have been under way, and has told of some of these already.
        lost = asked - found.keys()
        if new := sorted(lost - self._silent):
            self._agent.notice(f"the meters of {', '.join(new)} do not answer; what they show is not known yet")
        if back := sorted(self._silent & found.keys()):
            self._agent.notice(f"the meters of {', '.join(back)} answer again")
        self._silent = (self._silent | lost) - found.keys()
        return found

    async def _query(
        self, meters: Iterable[DirectoryEntry], chargers: Sequence[str], start: datetime, end: datetime, minutes: int
    ) -> dict[str, tuple[float, ...]] | None:
        """What the meters say: None where the question is refused, nothing where nobody answers it."""
        agent = self._agent
        places = tuple(self._kind + charger for charger in chargers)
        query = MeterQuery(locations=places, start=start, end=end, period_minutes=minutes)
        for reader in meters:
            answer = await agent.query_ref(query, to=reader.jid, reply_by=agent.now() + ANSWER_TIME)
            if isinstance(answer, Refused):
                return None
            reading = answer.content if isinstance(answer, Informed) else None
            if isinstance(reading, MeterReading) and (
                (reading.start, reading.end, reading.period_minutes) == (start, end, minutes)
            ):
                return {s.location.removeprefix(self._kind): s.power_kw for s in reading.series if s.location in places}
        return {}
