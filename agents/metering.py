"""Reading the grid's meters, which the environment agent keeps, through messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from agents.actor import Actor
from agents.periods import QUARTER
from behaviours.outcomes import Informed
from protocols.exchanges.services import MeterQuery, MeterReading
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)


class MeterReader:
    """Reads meters in the name of an agent. Means in kW, positive drawn; None where no meter answers."""

    def __init__(self, agent: Actor) -> None:
        self._agent = agent

    async def read(
        self, places: Sequence[str], start: datetime, end: datetime, period: timedelta = QUARTER
    ) -> MeterReading | None:
        """The meters at `charger:<id>`, `pv:<bus>` or a bus, one mean for each period."""
        agent = self._agent
        query = MeterQuery(locations=tuple(places), start=start, end=end, period_minutes=period // timedelta(minutes=1))
        for meters in await agent.search(role=Role.ENVIRONMENT):
            answer = await agent.query_ref(query, to=meters.jid, reply_by=agent.now() + ANSWER_TIME)
            if isinstance(answer, Informed) and isinstance(answer.content, MeterReading):
                return answer.content
        agent.notice("the meters do not answer; what they would have shown is not known")
        return None

    async def by_bus(self, bus_of: Mapping[str, str], start: datetime, end: datetime) -> dict[str, float] | None:
        """What the chargers drew at each bus, one mean from `start` to `end`; `bus_of` is the bus of each charger."""
        reading = await self.read([f"charger:{c}" for c in sorted(bus_of)], start, end, end - start)
        if reading is None:
            return None
        metered: defaultdict[str, float] = defaultdict(float)
        for series in reading.series:
            metered[bus_of[series.location.removeprefix("charger:")]] += series.power_kw[0]
        return dict(metered)

    async def together(self, chargers: Sequence[str], start: datetime, end: datetime) -> tuple[float, ...] | None:
        """What these chargers drew together, quarter by quarter."""
        reading = await self.read([f"charger:{c}" for c in chargers], start, end)
        if reading is None:
            return None
        return tuple(round(float(kw), 3) for kw in np.sum([s.power_kw for s in reading.series], axis=0))
