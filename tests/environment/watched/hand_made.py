"""A small network with its series, made by hand, for tests of what is drawn of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from agents.grid_view import Limits
from environment.network_layout import laid_out
from environment.network_map import LimitChange, MapBus, MapCharger, MapLine, MapNetwork, NetworkMap
from environment.series import SCALARS

BEGINS = datetime(2026, 3, 18, 11, tzinfo=UTC)
LINES = [("line-1", "busbar", "near", 0.1), ("line-2", "near", "far", 0.2), ("line-3", "near", "side", 0.05)]


def hand_made(changes: tuple[LimitChange, ...] = ()) -> NetworkMap:
    """A transformer of 160 kVA, four buses, three lines, and four chargers of two owners, two of them at one bus."""
    buses = ["busbar", "near", "far", "side"]
    spots = laid_out("busbar", buses, [(a, b, km) for _, a, b, km in LINES])
    return NetworkMap(
        (MapNetwork("", "trafo", 160.0, "busbar"),),
        tuple(MapBus(b, "", spots[b].x, spots[b].y, spots[b].distance_km, 0.4, spots[b].towards) for b in buses),
        tuple(MapLine(*line) for line in LINES),
        (
            MapCharger("office-01", "near", 11.0, 0.0, "cpo1", "office"),
            MapCharger("office-02", "near", 11.0, 0.0, "cpo1", "office"),
            MapCharger("home-01", "far", 11.0, 7.4, "cpo2", "home"),
            MapCharger("home-02", "side", 11.0, 7.4, "cpo2", "home"),
        ),
        {"": Limits()},
        changes,
    )


@dataclass
class Rows:
    """What a series' file shows of itself, in memory."""

    columns: tuple[str, ...]
    at: Any
    values: Any
    timezone: str = "Europe/Ljubljana"

    def read_on(self) -> int:
        return 0


@dataclass
class Run:
    """A watched run without a folder: it shows its last row, or the one that it is told."""

    rows: Rows | None = None
    network: NetworkMap | None = field(default_factory=hand_made)
    row: int | None = None
    notices: list[str] = field(default_factory=list)
    network_fault: str = ""
    rows_missing: str = "The first step of the run is not over yet."
    zone: Any = UTC
    version: int = 1


def run_of(network: NetworkMap | None = None, *, step: timedelta = timedelta(minutes=1), **columns: Any) -> Run:
    """A run whose series has these columns (`vm_pu__far` is `vm_pu:far`), and NaN in all others of the network."""
    network = network or hand_made()
    given = {name.replace("__", ":"): values for name, values in columns.items()}
    names = [
        *SCALARS,
        *(name for name in given if ":" not in name and name not in SCALARS),
        *(f"vm_pu:{bus.name}" for bus in network.buses),
        *(f"line_loading_percent:{line.name}" for line in network.lines),
        *(f"p_kw:{charger.id}" for charger in network.chargers),
        *(f"soc_percent:{charger.id}" for charger in network.chargers),
    ]
    count = max((len(np.atleast_1d(values)) for values in given.values()), default=1)
    values = np.full((count, len(names)), np.nan, dtype=np.float32)
    for name, column in given.items():
        values[:, names.index(name)] = column
    first = (BEGINS - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    at = first + np.arange(count, dtype=np.int64) * (step // timedelta(microseconds=1))
    return Run(Rows(tuple(names), at, values), network, count - 1)
