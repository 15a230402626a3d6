"""The plants of São Miguel as docs/island.md has them, and a slice of the island for tests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from agents.decisions.dispatch import Plant, PlantKind
from environment.island import Island, IslandMinute, IslandSpec, Outage
from environment.island_profiles import MINUTE, DemandSpec, IslandProfiles

ZONE = ZoneInfo("Atlantic/Azores")
STANDARD = timedelta(hours=-1)
SHARE = 32 / 2000
WHOLE = (
    Plant("ribeira-grande", PlantKind.GEOTHERMAL, 9_000, inertia_s=2.5),
    Plant("pico-vermelho", PlantKind.GEOTHERMAL, 12_000, inertia_s=2.5),
    Plant("hydro", PlantKind.HYDRO, 5_000, inertia_s=2.0, droop=0.05),
    Plant("graminhais", PlantKind.WIND, 9_000),
    *(Plant(f"caldeirao-{i}", PlantKind.THERMAL, 7_700, 2_700, 1.5, 0.05, 0.192, 120) for i in range(1, 5)),
    *(Plant(f"caldeirao-{i}", PlantKind.THERMAL, 16_800, 5_900, 2.0, 0.05, 0.188, 240) for i in range(5, 9)),
)
PLANTS = tuple(plant.scaled(SHARE) for plant in WHOLE)
WINDY = date(2026, 7, 28)
"""Wind by night, sun by day: 2016-07-26 of the profiles."""


def spec(*incidents: Outage) -> IslandSpec:
    return IslandSpec(PLANTS, DemandSpec(70_000 * SHARE), incidents=incidents)


def begins(day: date = WINDY, hour: int = 12) -> datetime:
    return datetime.combine(day, time(hour), ZONE)


def profiles(of: IslandSpec, start: datetime | None = None, minutes: int = 1440, seed: int = 1) -> IslandProfiles:
    return IslandProfiles(
        of.plants,
        of.demand,
        start or begins(),
        minutes,
        standard_offset=STANDARD,
        rng=np.random.default_rng(seed),
        wind_profile=of.wind_profile,
    )


def run(island: Island, minutes: int, ev_kw: Callable[[int], float] = lambda _: 0.0) -> list[IslandMinute]:
    start = island.begins.astimezone(UTC)
    return [island.minute(start + index * MINUTE, ev_kw(index)) for index in range(minutes)]
