"""A producer: one plant that tells the TSO every 15 minutes what it gives, and what it could give next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from operator import is_
from typing import ClassVar

from agents.actor import Actor
from agents.island_ports import PlantMeter, PlantReading
from agents.periods import QUARTER, next_quarter, quarter_at
from agents.quarter_cycle import MEASURED_AFTER
from behaviours.answering import Agree, Incoming, answers
from behaviours.swarm import Swarm
from protocols.exchanges.plain import Done
from protocols.exchanges.res_curtailment import Measurements, MeasurementsSubscription
from protocols.roles import Role

SERVICE = "plant:"
"""A producer is in the directory with this and the name of its plant."""
MINUTE = timedelta(minutes=1)
_LEAST_KW = 1.0
"""A plant of which less was expected is not watched between its reports."""
_HELD_BACK_KW = 1e-3
"""A plant that gives less than it could by more than this is held back, and is expected to stay where it is."""


def never(now: datetime) -> bool:
    """A producer that always reports."""
    return False


class Producer(Actor):
    """D5.1 section 3.2: "a significant amount of production is supplied by geothermic power plants, hydropower plants
    and wind farms"; each sends its measurements "every 15 minutes and the very-short term forecast for the following
    15 minutes (ID 2.1)", which is the quarter of an hour that the TSO balances next; and, so that a lost plant is known
    at once, when it can give less than half of what it told for the quarter that runs. Demand (P, Q) and vehicles of
    its own are 0 in 2.1: what a plant needs for itself is not modelled, its production is what the network gets."""

    role: ClassVar[Role] = Role.PRODUCER

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        plant: str,
        meter: PlantMeter,
        until: datetime,
        silent: Callable[[datetime], bool] = never,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.services = (f"{SERVICE}{plant}",)
        self.plant = plant
        self.meter = meter
        self.until = until
        self.silent = silent
        self._told: dict[datetime, float] = {}

    async def course(self) -> None:
        """Each quarter of an hour: the means of the one before, unless a fault keeps the plant silent."""
        end = next_quarter(self.now())
        while end + QUARTER <= self.until:
            await self.clock.sleep_until(end + MEASURED_AFTER)
            if not self.silent(self.now()):
                await self._report(end - QUARTER, end)
            end += QUARTER
            await self._watch(end)

    @answers(MeasurementsSubscription)
    async def on_measurements_subscription(self, topic: MeasurementsSubscription, incoming: Incoming) -> Agree:
        """2.1: whoever the catalogue lets ask gets every report from now on."""
        return Agree(Done(reference=topic.request_id))

    async def _watch(self, end: datetime) -> None:
        """Until the next regular report: what falls below half of what was told for the quarter of an hour is told at
        once, with its means so far. A lost plant cannot wait for the clock."""
        start = end - QUARTER
        told = self._told.get(start, 0.0)
        while (at := self.now().replace(second=0, microsecond=0) + MINUTE) < end:
            await self.clock.sleep_until(at)
            if self.silent(at) or told < _LEAST_KW:
                continue
            if self.meter.measured(at - MINUTE, at).available_kw < told / 2:
                await self._report(start, at)
                return

    async def _report(self, start: datetime, end: datetime) -> None:
        coming = quarter_at(end) + QUARTER
        reading = self.meter.measured(start, end)
        available = self.meter.forecast_available_kw(coming)
        self._told = {at: kw for at, kw in self._told.items() if at >= start} | {coming: available}
        for topic in self.subscriptions(MeasurementsSubscription):
            report = Measurements(
                request_id=topic.request_id,
                timestamp=self.now(),
                source=self.plant,
                start=start,
                end=end,
                production_kw=round(reading.production_kw, 3),
                ev_kw=0.0,
                p_kw=0.0,
                q_kvar=0.0,
                f_hz=None if reading.f_hz is None else round(reading.f_hz, 4),
                forecast_kw=round(_expected_kw(reading, available), 3),
                available_kw=round(reading.available_kw, 3),
                forecast_available_kw=round(available, 3),
            )
            await self.publish(MeasurementsSubscription, report, partial(is_, topic))


def _expected_kw(reading: PlantReading, available_kw: float) -> float:
    """What the plant will probably give: what it can, or where it is held back what it gives now."""
    if reading.production_kw < reading.available_kw - _HELD_BACK_KW:
        return min(reading.production_kw, available_kw)
    return available_kw
