"""Which world a scenario plays in, and what it would have been without flexibility."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from environment import campus_summary, public_notes
from environment.charging import Charging
from environment.public_without import simulate
from environment.public_world import PublicWorld
from environment.series import SeriesRecorder
from environment.world import Plant, World, without_flexibility


def world_of(plant: Plant, park: Charging, series: SeriesRecorder | None, now: Callable[[], datetime]) -> World:
    """The case `with` of a run."""
    kind = World if plant.public is None else PublicWorld
    return kind(plant, park, "with", series, now)


def left_alone(served: World, series: SeriesRecorder) -> tuple[World, dict[str, Any]]:
    """The case `without` of a run whose case `with` is `served`; and what the report must know and only the scenario
    has."""
    plant = served.plant
    if plant.public is not None:
        alone, sessions = simulate(plant, series)
        return alone, public_notes.notes(plant, sessions)
    world = without_flexibility(plant, series)
    if plant.island is not None:
        return world, plant.island.notes(served.outcomes, world.outcomes)
    return world, {} if plant.campus is None else campus_summary.notes(plant.campus.scenario)
