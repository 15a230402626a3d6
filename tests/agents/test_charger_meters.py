"""Reading all chargers' meters at once, though one of them, or all, may not answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from agents.charger_meters import ChargerMeters
from behaviours.answering import Incoming, answers
from protocols import exchanges as x
from tests.agents.stage import Stage, at
from tests.agents.vehicles import Meters, PayingFo
from tests.swarm import run_swarm


class SlowMeters(Meters):
    """Meters that take a second to answer, and count how many questions are under way."""

    under_way = most = 0

    @answers(x.MeterQuery)
    async def on_query(self, query: x.MeterQuery, incoming: Incoming) -> Any:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.clock.sleep_until(self.now() + timedelta(seconds=1))
        self.under_way -= 1
        return await super().on_query(query, incoming)


async def reader(stage: Stage, meters: bool = True) -> tuple[ChargerMeters, Meters | None]:
    fo = await stage.start(PayingFo, "fo")

    def shown(charger: str, when: Any) -> float:
        return 4.0 if when < at(15) else 6.0

    return ChargerMeters(fo), await stage.start(Meters, "meters", shown=shown) if meters else None


def test_all_chargers_are_read_in_one_query_period_by_period() -> None:
    async def main(stage: Stage) -> None:
        chargers, meters = await reader(stage)
        await stage.until(30)
        assert await chargers.read(["c2", "c1"], at(0), at(30), 15) == {"c1": (4.0, 6.0), "c2": (4.0, 6.0)}
        assert meters is not None
        assert len(meters.queries) == 1

    run_swarm(main, Stage())


def test_one_meter_that_does_not_answer_is_named_once_and_keeps_no_other_from_being_read() -> None:
    async def main(stage: Stage) -> None:
        chargers, meters = await reader(stage)
        assert meters is not None
        meters.dead = {"c1"}
        await stage.until(30)
        for _ in range(2):
            assert await chargers.read(["c1", "c2"], at(0), at(15), 15) == {"c2": (4.0,)}
        assert stage.noticed("the meters of c1 do not answer") == 1
        # asked apart from then on: the common query is not refused again
        assert [len(query.locations) for query in meters.queries] == [2, 1, 1, 1, 1]
        meters.dead = set()
        assert set(await chargers.read(["c1", "c2"], at(0), at(15), 15)) == {"c1", "c2"}
        assert stage.noticed("the meters of c1 answer again") == 1
        await chargers.read(["c1", "c2"], at(0), at(15), 15)
        assert len(meters.queries[-1].locations) == 2

    run_swarm(main, Stage())


def test_two_readings_at_once_tell_of_a_lost_meter_once() -> None:
    async def main(stage: Stage) -> None:
        chargers, meters = await reader(stage)
        assert meters is not None
        meters.dead = {"c1"}
        await stage.until(30)
        both = (chargers.read(["c1", "c2"], at(start), at(15), 15 - start) for start in (0, 10))
        assert await asyncio.gather(*both) == [{"c2": (4.0,)}, {"c2": (4.0,)}]
        assert stage.noticed("the meters of c1 do not answer") == 1

    run_swarm(main, Stage())


def test_silent_meters_are_asked_side_by_side() -> None:
    async def main(stage: Stage) -> None:
        chargers = ChargerMeters(await stage.start(PayingFo, "fo"))
        meters = await stage.start(SlowMeters, "meters")
        meters.dead = {"c1", "c2"}
        await stage.until(30)
        assert await chargers.read(["c1", "c2", "c3"], at(0), at(15), 15) == {"c3": (2.0,)}
        assert meters.most == 3
        assert stage.noticed("the meters of c1, c2 do not answer") == 1

    run_swarm(main, Stage())


def test_without_anybody_who_reads_meters_nothing_is_known() -> None:
    async def main(stage: Stage) -> None:
        chargers, _ = await reader(stage, meters=False)
        await stage.until(30)
        assert await chargers.read(["c1"], at(0), at(15), 15) == {}
        assert stage.noticed("the meters of c1 do not answer") == 1

    run_swarm(main, Stage())
