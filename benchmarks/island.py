"""What `docs/island.md` says of the island without electric vehicles: its year, its windy nights, its forecasts.

    python -m benchmarks.island

The shipped Portuguese scenario from noon to noon on other days: a year made of every sixth day (island, GWh), the
curtailed energy of single days (the run's slice, kWh), and the root mean square errors of the forecasts made 13 minutes
before a quarter hour begins, on every tenth day (island, MW).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, time, timedelta

import numpy as np

from environment import scenario
from environment.island_plant import IslandPlant, build_island
from environment.island_profiles import MINUTE
from environment.island_scenario import IslandScenario
from environment.profiles import standard_offset

DAYS = ((5, 28, "WP4"), (5, 21, "WP4"), (7, 28, "WP4"), (7, 27, "WP4"), (4, 17, "WP4"), (5, 28, "WP3"), (5, 28, "WP10"))
AHEAD = 13
SEEN = 5
DAY = 1440


def plant_on(day: date, wind: str = "WP4") -> IslandPlant:
    """The scenario's island on a day from noon to noon, with seed 1 and without incidents."""
    loaded = scenario.load("portugal")
    assert isinstance(loaded, IslandScenario)
    heading = loaded.scenario.model_copy(update={"start": day, "start_time": time(12)})
    island = loaded.island.model_copy(update={"wind_profile": wind})
    on = loaded.model_copy(update={"scenario": heading, "island": island, "incident": ()})
    return build_island(on, np.random.default_rng(1), standard_offset(on.zone, day.year))


def played(plant: IslandPlant) -> dict[str, np.ndarray]:
    """kW of the slice (fuel: kg) by minute."""
    case, start = plant.case(), plant.scenario.begins.astimezone(UTC)
    minutes = [case.minute(start + index * MINUTE, 0.0) for index in range(DAY)]
    given = [minute.dispatch for minute in minutes]
    return {
        "demand": np.array([minute.demand_kw for minute in minutes]),
        "geothermal": np.array([each.geothermal_kw for each in given]),
        "hydro": np.array([each.hydro_kw for each in given]),
        "wind": np.array([each.wind_kw for each in given]),
        "curtailed": np.array([each.curtailed_kw for each in given]),
        "thermal": np.array([each.thermal_kw for each in given]),
        "fuel": np.array([minute.fuel_kg for minute in minutes]),
    }


def is_night(plant: IslandPlant) -> np.ndarray:
    """Whether a minute lies between 23:00 and 07:00."""
    start = plant.scenario.begins.astimezone(UTC)
    hours = [(start + index * MINUTE).astimezone(plant.scenario.zone).hour for index in range(DAY)]
    return np.array([hour >= 23 or hour < 7 for hour in hours])


def year() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(0, 365, 6)]
    plants = [plant_on(day) for day in days]
    share, each = plants[0].scenario.share, [played(plant) for plant in plants]
    print("| a year of every sixth day | GWh |\n|---|---|")
    for name in ("demand", "geothermal", "hydro", "wind", "curtailed", "thermal"):
        energy = sum(day[name].sum() for day in each) / 60 * 365 / len(days) / share / 1e6
        print(f"| {name} | {energy:.2f} |")
    print(f"\nfuel {sum(day['fuel'].sum() for day in each) * 365 / len(days) / share / 1e6:.1f} thousand t")
    lost = sum(day["curtailed"].sum() for day in each)
    night = sum(day["curtailed"][is_night(plant)].sum() for day, plant in zip(each, plants, strict=True))
    print(f"{100 * night / lost:.1f} % of the curtailment lies between 23:00 and 07:00\n")


def single_days() -> None:
    print("| day | wind_profile | night kWh | other kWh |\n|---|---|---|---|")
    for month, day, wind in DAYS:
        plant = plant_on(date(2026, month, day), wind)
        curtailed, night = played(plant)["curtailed"] / 60, is_night(plant)
        print(f"| {day}.{month}. | {wind} | {curtailed[night].sum():.0f} | {curtailed[~night].sum():.0f} |")


def forecasts() -> None:
    errors: dict[str, list[float]] = {"wind": [], "wind held": [], "demand": [], "demand held": []}
    for number in range(5, 360, 10):
        plant = plant_on(date(2026, 1, 1) + timedelta(days=number))
        available, demand = plant.profiles.available_kw("graminhais"), plant.profiles.demand_kw
        start = plant.scenario.begins.astimezone(UTC)
        for quarter in range(30, DAY - 15, 15):
            now, then = start + (quarter - AHEAD) * MINUTE, start + quarter * MINUTE
            seen, coming = slice(quarter - AHEAD - SEEN, quarter - AHEAD), slice(quarter, quarter + 15)
            for name, known, series in (
                ("wind", plant.forecast.available_kw("graminhais", then, now), available),
                ("demand", plant.forecast.demand_kw(then, now), demand),
            ):
                errors[name].append(known - series[coming].mean())
                errors[f"{name} held"].append(series[seen].mean() - series[coming].mean())
    share = plant.scenario.share
    print("\n| root mean square error | MW |\n|---|---|")
    for name, found in errors.items():
        print(f"| {name} | {_rms(found) / share / 1e3:.2f} |")


def _rms(values: Iterable[float]) -> float:
    return float(np.sqrt(np.mean(np.square(list(values)))))


if __name__ == "__main__":
    year()
    single_days()
    forecasts()
