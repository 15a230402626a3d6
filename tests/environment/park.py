"""A charger park with a clock in the hand, and a controller for each charger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerPark, ChargerSpec
from environment.vehicles import Fleet, Vehicle


class HandClock:
    """Scenario time that moves by hand, and the count of what is outstanding."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 18, 12, tzinfo=UTC)
        self.out = 0
        self.most_out = 0

    def now(self) -> datetime:
        return self.at

    def passes(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    @contextmanager
    def outstanding(self) -> Iterator[None]:
        self.out += 1
        self.most_out = max(self.most_out, self.out)
        try:
            yield
        finally:
            self.out -= 1


def park_of(count: int, clock: HandClock, **spec: float) -> ChargerPark:
    """Chargers c0.. of 11 kW and -10 kW, and vehicles v0.. of 60 kWh at 50 %."""
    ratings = {"max_charge_kw": 11.0, "max_discharge_kw": 10.0} | spec
    fleet = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0, soc=0.5) for n in range(count)])
    specs = [ChargerSpec(f"c{n}", **ratings) for n in range(count)]  # type: ignore[arg-type]
    return ChargerPark(specs, fleet, clock.now, heartbeat_timeout_s=300.0)


@asynccontextmanager
async def running(count: int = 1, **spec: float) -> AsyncIterator[tuple[HandClock, ChargerPark, list[SunSpecCharger]]]:
    """A started park, its clock, and the controllers."""
    clock = HandClock()
    park = park_of(count, clock, **spec)
    await park.start()
    controllers = [
        SunSpecCharger(charger_id, place.host, place.port, clock.outstanding)
        for charger_id, place in park.endpoints.items()
    ]
    try:
        yield clock, park, controllers
    finally:
        for controller in controllers:
            controller.close()
        await park.stop()
