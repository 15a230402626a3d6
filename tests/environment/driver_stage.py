"""A person's driver, its page, and two operators who do as told, on a clock that passes as the wall's does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

from agents.ledger import Ledger
from agents.page_driver import PageDriver
from environment.clock import ScaledClock
from environment.driver_form import Place
from environment.driver_page import DriverPage
from tests.agents.charging_stage import HERE, FakeCar, PlainCpo, Slot
from tests.agents.stage import Stage, at
from tests.swarm import START, SwarmUnderTest, run_swarm

ATHENS = ZoneInfo("Europe/Athens")
PLACES = (Place("koropi", *HERE), Place("koropi-works", HERE[0] + 0.01, HERE[1]))
NEAR, DEAR = Slot("koropi-east", 30, 60, "0.50"), Slot("markopoulo", 45, 75, "0.62", north_km=4.3)


class PageStage(Stage):
    """The stage, `speed` times as fast as the wall; `held`: no time passes before `go`."""

    def __init__(self, speed: float, *, held: bool = False) -> None:
        self.notices = []
        self.chargers = {}
        SwarmUnderTest.__init__(self, clock=ScaledClock(START, speed, held=held))
        self.ledger = Ledger("sqlite://")
        self.speed = speed

    def go(self) -> None:
        """Time begins to pass. May be called from another thread."""
        self._loop.call_soon_threadsafe(self.clock.go)

    async def set(self, *, until: float = 6000, port: int = 0) -> None:
        """Operators, the driver, and the page, which listens."""
        self._loop = asyncio.get_running_loop()
        self.ppc, self.second = await self.start(PlainCpo, "ppc"), await self.start(PlainCpo, "second")
        self.ppc.slots, self.second.slots = (NEAR,), (DEAR,)
        self.car = FakeCar(self)
        self.driver = await self.start(PageDriver, "driver-page", car=self.car, ledger=self.ledger, until=at(until))
        await self.driver.subscribe_to_prices()
        self.page = DriverPage(self.driver, places=PLACES, zone=ATHENS, port=port, speed=self.speed)
        await self.page.start()


Script = Callable[[PageStage], Awaitable[Any]]


def play(script: Script, *, speed: float = 1.0, held: bool = False, guard_s: float = 60.0) -> PageStage:
    """Sets the stage, runs the script, and takes the page off again."""

    async def main(stage: Any) -> None:
        await stage.set()
        try:
            await script(stage)
        finally:
            await stage.page.stop()

    stage = PageStage(speed, held=held)
    run_swarm(main, stage, guard_s=guard_s)
    return stage
