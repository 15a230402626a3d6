"""The instruments of frequency control on a run's stage: meters, benches, and how the area hears of the baselines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import numpy as np

from environment.campus_scenario import site_of_meter
from environment.chargers import ChargerPark
from environment.clock import ScaledClock, VirtualClock
from environment.instruments import Bench, MeterFault, MeterPark, MeterSpec, SunSpecMeter
from environment.scenario import Scenario
from environment.world import World, meter_faults_at

NOMINATIONS = timedelta(seconds=5)
"""How often the area hears from where the response of chargers in frequency control is counted."""


class Instruments:
    """The frequency meters of a scenario, of which it may have none, with a client of each in `meters` once they are
    started; a test bench for each site that has meters in `benches`; and what goes wrong with the meters."""

    def __init__(
        self, scenario: Scenario, park: ChargerPark, clock: VirtualClock | ScaledClock, rng: np.random.Generator
    ) -> None:
        sites = {site.name: site.charger_ids() for site in scenario.sites}
        measured = {meter: sites[site_of_meter(meter)] for meter in scenario.meters}
        metered = sorted({site_of_meter(meter) for meter in scenario.meters})
        self.benches = {site: Bench(park, sites[site]) for site in metered}
        self.meters: dict[str, SunSpecMeter] = {}
        self._scenario = scenario
        self._clock = clock
        specs = [MeterSpec(name, chargers) for name, chargers in measured.items()]
        self._meter_park = MeterPark(specs, park, clock.now, rng) if specs else None
        self._broken: dict[str, str] = {}

    async def start(self, stack: AsyncExitStack) -> None:
        """Starts the meters, which `stack` will end."""
        if self._meter_park is None:
            return
        await self._meter_park.start()
        stack.push_async_callback(self._meter_park.stop)
        for name, at in self._meter_park.endpoints.items():
            self.meters[name] = SunSpecMeter(name, at.host, at.port, self._clock.outstanding)
            stack.callback(self.meters[name].close)

    def faults(self, at: datetime) -> None:
        """Puts the meters out of order that are so at this moment, and the others in order."""
        if self._meter_park is None:
            return
        broken = meter_faults_at(self._scenario, at)
        for name in self._scenario.meters:
            kind = broken.get(name)
            if kind != self._broken.get(name):
                self._meter_park.set_fault(name, None if kind is None else MeterFault(kind))
        self._broken = broken


def nominations(
    world: World,
    clock: VirtualClock | ScaledClock,
    begins: datetime,
    ends: datetime,
    failed: Callable[[BaseException], None],
) -> None:
    """Lets the area hear of the baselines again and again until `ends`; `failed` hears of an error."""

    def next_one(at: datetime) -> None:
        if at <= ends:
            clock.call_at(at, lambda: nominate(at))

    def nominate(at: datetime) -> None:
        try:
            world.nominate()
        except Exception as error:
            failed(error)
            return
        next_one(at + NOMINATIONS)

    next_one(begins + NOMINATIONS)
