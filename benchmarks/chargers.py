"""How fast chargers start, are read and are steered over Modbus TCP on loopback: `python -m benchmarks.chargers`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerPark, ChargerSpec
from environment.vehicles import Fleet, Vehicle

ROUNDS = 20


async def measure(count: int) -> str:
    """One line of figures for `count` chargers."""
    at = [datetime(2026, 3, 18, 12, tzinfo=UTC)]
    fleet = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0) for n in range(count)])
    park = ChargerPark([ChargerSpec(f"c{n}", 11.0, 10.0) for n in range(count)], fleet, lambda: at[0])
    began = time.perf_counter()
    await park.start()
    started_s = time.perf_counter() - began
    for n in range(count):
        park.plug_in(f"c{n}", f"v{n}")
    chargers = [SunSpecCharger(c, p.host, p.port, contextlib.nullcontext) for c, p in park.endpoints.items()]
    began = time.perf_counter()
    for charger in chargers:
        await charger.read()
    found_ms = (time.perf_counter() - began) / count * 1000

    async def each(call: Callable[[SunSpecCharger], Awaitable[object]]) -> float:
        times: list[float] = []
        for _ in range(ROUNDS):
            at[0] += timedelta(minutes=1)
            for charger in chargers:
                began = time.perf_counter()
                await call(charger)
                times.append((time.perf_counter() - began) * 1000)
        return sorted(times)[len(times) // 2]

    read_ms = await each(lambda charger: charger.read())
    set_ms = await each(lambda charger: charger.set_power(-5.0, 900))
    began = time.perf_counter()
    for _ in range(ROUNDS):
        at[0] += timedelta(minutes=1)
        await asyncio.gather(*(charger.read() for charger in chargers))
    gathered_ms = (time.perf_counter() - began) / ROUNDS / count * 1000
    for charger in chargers:
        charger.close()
    await park.stop()
    return (
        f"{count:5d} chargers: started in {started_s:.2f} s; connecting and discovering {found_ms:.1f} ms each; "
        f"read {read_ms:.2f} ms, all at once {gathered_ms:.2f} ms each; setpoint {set_ms:.2f} ms (medians)"
    )


def main(counts: Sequence[int]) -> None:
    for count in counts:
        print(asyncio.run(measure(count)))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [35, 300])
