"""When the DSO settles: each day after midnight what the day before was worth, and what the meters left open later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from agents.actor import Actor
from protocols.market_time import day_start

AFTER_MIDNIGHT = timedelta(minutes=10)
AGAIN = timedelta(hours=1)
"""What cannot be settled, because a meter or a CPO does not answer, is tried again after so long."""


class Part(Protocol):
    """Something that is settled day by day."""

    def due(self, day: date) -> Sequence[str]:
        """What is to be settled of a local day, by name, in order."""
        ...

    async def settle(self, day: date, named: str) -> bool:
        """Settles one of them; False where it has to be tried again."""
        ...


class DailySettlement:
    """Settles the `parts` in their order. What is open at `until` is told."""

    def __init__(self, agent: Actor, parts: Sequence[Part], until: datetime) -> None:
        self._agent = agent
        self._parts = tuple(parts)
        self._until = until

    async def daily(self) -> None:
        """Each day, ten minutes after midnight."""
        zone = self._agent.swarm.zone
        day = self._agent.now().astimezone(zone).date()
        left: list[tuple[Part, date, str]] = []
        while True:
            over = day_start(day + timedelta(days=1), zone).astimezone(UTC) + AFTER_MIDNIGHT
            at = min(over, self._agent.now() + AGAIN) if left else over
            if at >= self._until:
                break
            await self._agent.clock.sleep_until(at)
            if at == over:
                left += [(part, day, named) for part in self._parts for named in part.due(day)]
                day += timedelta(days=1)
            left = [each for each in left if not await each[0].settle(each[1], each[2])]
        for _, of_day, named in left:
            self._agent.notice(f"{named} is not settled for {of_day:%Y-%m-%d}: the run ends before that can be known")
