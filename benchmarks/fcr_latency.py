"""How soon 100 chargers have their new setpoint after the frequency has changed, in real time:
`python -m benchmarks.fcr_latency`.

The central loop of frequency control (FCR-D upwards) on a frequency meter with a backup, 100 chargers, everything over
Modbus TCP on loopback, in one process with the devices. The frequency moves by 50 to 300 mHz at random instants. From
the instant from which on the meter shows it to the one at which a charger's register has the new setpoint.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from agents.decisions.fcr_portfolio import Unit
from agents.decisions.fcr_products import RULES
from agents.frequency_control import FrequencyControl
from agents.v2x_desk import V2xDesk
from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerPark, ChargerSpec
from environment.clock import ScaledClock, run
from environment.instruments import MeterPark, MeterSpec, SunSpecMeter
from environment.sunspec import Key
from environment.vehicles import Fleet, Vehicle
from protocols.exchanges.frequency_services import Control
from protocols.exchanges.vocabulary import FcrProduct

CHARGERS = 100
STEPS = 40
GAP_S = (0.6, 1.4)
STEP_HZ = (0.05, 0.3)
BAND_HZ = (49.5, 49.9)
ACT_EVERY_S = 0.1
CAPACITY_KW = 5.0
"""Of each charger."""
START = datetime(2026, 1, 13, 12, tzinfo=UTC)


class Manager:
    """What the control needs of an agent, and nothing else: a clock, a desk with the chargers, tasks."""

    def __init__(self, clock: ScaledClock, desk: V2xDesk) -> None:
        self.clock, self.desk = clock, desk
        self.now: Callable[[], datetime] = clock.now
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def notice(self, text: str) -> None:
        print(text)


class WatchedPark(ChargerPark):
    """Chargers that note when a setpoint has come into their registers."""

    def __init__(self, specs: Sequence[ChargerSpec], fleet: Fleet, now: Callable[[], datetime]) -> None:
        super().__init__(specs, fleet, now)
        self.written: list[tuple[float, int]] = []

    def _write(self, charger: int, wanted: dict[Key, int]) -> None:
        super()._write(charger, wanted)
        if (704, "WSet") in wanted:
            self.written.append((time.perf_counter(), charger))


async def measure(clock: ScaledClock, count: int, rng: np.random.Generator) -> str:
    """The figures for `count` chargers."""
    names = [f"c{n}" for n in range(count)]
    fleet = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0) for n in range(count)])
    park = WatchedPark([ChargerSpec(name, 11.0, 10.0) for name in names], fleet, clock.now)
    hz = [BAND_HZ[1]]
    meters = MeterPark(
        [MeterSpec(m, tuple(names)) for m in ("main", "backup")], park, clock.now, rng, hz=lambda _: hz[0]
    )
    await park.start()
    await meters.start()
    for n, name in enumerate(names):
        park.plug_in(name, f"v{n}", soc=0.6)
    chargers = [SunSpecCharger(c, p.host, p.port, clock.outstanding) for c, p in park.endpoints.items()]
    readers = [SunSpecMeter(m, p.host, p.port, clock.outstanding) for m, p in meters.endpoints.items()]
    desk = V2xDesk(chargers, names, [(0.94, 0.94)] * count, [(11.0, 10.0)] * count, 90.0, print)
    manager = Manager(clock, desk)
    control = FrequencyControl(
        manager,
        RULES[FcrProduct.FCR_D_UP],
        Control.CENTRAL,
        readers,
        None,
        lost_unit=lambda charger, why: print(f"{charger} {why}"),
        lost_meters=print,
        act_every_s=ACT_EVERY_S,
    )
    units = [Unit(name, 0.0, CAPACITY_KW, -10.0, 11.0, 30.0, 20.0, 0.94, 0.94) for name in names]
    await control.begin(units, count * CAPACITY_KW, count * 10.0)
    await asyncio.sleep(1.5)
    hz[0] = 49.6  # from here on all bear their part at once
    await asyncio.sleep(2.0)
    changed: list[float] = []
    for _ in range(STEPS):
        await asyncio.sleep(float(rng.uniform(*GAP_S)))
        hz[0] = other_hz(hz[0], rng)
        changed.append(time.perf_counter())
    await asyncio.sleep(1.5)
    await control.end()
    for charger in chargers:
        charger.close()
    for reader in readers:
        reader.close()
    await meters.stop()
    await park.stop()
    took_ms = latencies_ms(changed, park.written, count)
    p50, p99 = np.percentile(took_ms, [50, 99])
    missing = len(changed) * count - len(took_ms)
    return (
        f"{count} chargers, {len(changed)} steps, {len(took_ms)} setpoints: median {p50:.0f} ms, "
        f"99th percentile {p99:.0f} ms, maximum {took_ms.max():.0f} ms; {missing} were not there before the next step"
    )


def other_hz(hz: float, rng: np.random.Generator) -> float:
    """Another frequency within the band, by a step of random size."""
    while True:
        step = float(rng.choice([-1.0, 1.0]) * rng.uniform(*STEP_HZ))
        if BAND_HZ[0] <= hz + step <= BAND_HZ[1]:
            return round(hz + step, 3)


def latencies_ms(changed: Sequence[float], written: Sequence[tuple[float, int]], count: int) -> np.ndarray[Any, Any]:
    """From each change to the first setpoint that each charger got after it and before the next one."""
    found: list[float] = []
    for began, ends in zip(changed, (*changed[1:], float("inf")), strict=True):
        first: dict[int, float] = {}
        for at, charger in written:
            if began <= at < ends:
                first.setdefault(charger, at - began)
        found += [1000 * s for s in first.values()]
    return np.array(found)


def main(counts: Sequence[int]) -> None:
    for count in counts:
        began = time.perf_counter()
        clock = ScaledClock(START, 1.0)
        lines: list[str] = []

        async def course(clock: ScaledClock = clock, count: int = count, lines: list[str] = lines) -> None:
            lines.append(await measure(clock, count, np.random.default_rng(1)))

        run(course, clock)
        print(f"{lines[0]}; {time.perf_counter() - began:.0f} s of the wall")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [CHARGERS])
