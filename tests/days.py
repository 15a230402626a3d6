"""Whole days for tests: a small evening of congestion with twelve chargers, a small island with as many, each played by
the launcher itself.

The small days leave out what other tests look at: the world's power flow is the fast `Grid` (which
`tests/environment/test_physical_grid.py` holds against pandapower), and no report is drawn.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from agents.grid_view import Floats, GridState
from environment import launcher, scenario, world
from environment.grid import Grid
from environment.options import Options

SMALL = """
[scenario]
name = "small"
title = "A small evening"
timezone = "Europe/Ljubljana"
start = 2026-03-18
seed = 4

[grid]
network = "rural2"
congestion_point = "krsko-mv-lv"
load_scale = 2.5

[[vpp]]
name = "vpp1"
[[vpp]]
name = "vpp2"
margin_percent = 25.0

[[cpo]]
name = "cpo1"
vpp = "vpp1"
[[cpo]]
name = "cpo2"
vpp = "vpp2"

[[site]]
name = "office"
cpo = "cpo1"
kind = "office"
chargers = 2
buses = ["office"]
max_charge_kw = 11.0
max_discharge_kw = 10.0
capacity_kwh = [58.0, 77.0]

[[site]]
name = "house"
cpo = "cpo1"
kind = "household"
chargers = 5
buses = "households"
max_charge_kw = 11.0
max_discharge_kw = 7.4
capacity_kwh = [40.0, 77.0]

[[site]]
name = "home"
cpo = "cpo2"
kind = "household"
chargers = 5
buses = "households"
max_charge_kw = 11.0
max_discharge_kw = 7.4
capacity_kwh = [40.0, 77.0]

[product]
pricing = "pay-as-clear"
baseline = "nomination"

# Little is bought beforehand, so that pools open as well; a quarter of the drivers declines.
[dso]
forecast_margin_percent = 0.0
bad_day_percent = 40.0

[drivers]
unwilling_share = 0.25
"""


ISLAND = """
[scenario]
name = "islet"
title = "A small island"
timezone = "Atlantic/Azores"
start = 2026-05-28
start_time = "09:00"
seed = 1

[grid]
network = "rural2"
transformer = "0.4 MVA 20/0.4 kV Dyn5 ASEA"
line = "48-AL1/8-ST1A 0.4"
source_pu = 1.03
pv_scale = 2.2
metered = ["LV2.101 Bus 78", "LV2.101 Bus 21", "LV2.101 Bus 90", "LV2.101 Bus 81"]

[island]
vehicles = 800
demand_peak_mw = 70.0
wind_profile = "WP4"

[[plant]]
name = "geothermal"
kind = "geothermal"
capacity_mw = 21.0
inertia_s = 2.5

[[plant]]
name = "hydro"
kind = "hydro"
capacity_mw = 5.0
inertia_s = 2.0
droop_percent = 5.0

[[plant]]
name = "wind"
kind = "wind"
capacity_mw = 9.0

[[plant]]
name = "small-1"
kind = "thermal"
capacity_mw = 7.7
minimum_mw = 2.7
inertia_s = 1.5
droop_percent = 5.0
fuel_kg_per_kwh = 0.192
fuel_no_load_kg_per_h = 120.0

[[plant]]
name = "small-2"
kind = "thermal"
capacity_mw = 7.7
minimum_mw = 2.7
inertia_s = 1.5
droop_percent = 5.0
fuel_kg_per_kwh = 0.192
fuel_no_load_kg_per_h = 120.0

[[plant]]
name = "small-3"
kind = "thermal"
capacity_mw = 7.7
minimum_mw = 2.7
inertia_s = 1.5
droop_percent = 5.0
fuel_kg_per_kwh = 0.192
fuel_no_load_kg_per_h = 120.0

[[plant]]
name = "large-1"
kind = "thermal"
capacity_mw = 16.8
minimum_mw = 5.9
inertia_s = 2.0
droop_percent = 5.0
fuel_kg_per_kwh = 0.188
fuel_no_load_kg_per_h = 240.0

[[plant]]
name = "large-2"
kind = "thermal"
capacity_mw = 16.8
minimum_mw = 5.9
inertia_s = 2.0
droop_percent = 5.0
fuel_kg_per_kwh = 0.188
fuel_no_load_kg_per_h = 240.0

[[plant]]
name = "large-3"
kind = "thermal"
capacity_mw = 16.8
minimum_mw = 5.9
inertia_s = 2.0
droop_percent = 5.0
fuel_kg_per_kwh = 0.188
fuel_no_load_kg_per_h = 240.0

[[manager]]
name = "house-1"
kind = "house"
chargers = 1
buses = ["LV2.101 Bus 61"]
max_charge_kw = 11.0
max_discharge_kw = 7.4
capacity_kwh = [80.0, 100.0]
store_up_to_percent = 100.0
charges_from = "22:00"

[[manager]]
name = "house-2"
kind = "house"
chargers = 1
buses = ["LV2.101 Bus 95"]
max_charge_kw = 11.0
max_discharge_kw = 7.4
capacity_kwh = [80.0, 100.0]
store_up_to_percent = 100.0
charges_from = "22:00"

[[manager]]
name = "building"
kind = "building"
chargers = 6
buses = ["LV2.101 Bus 21"]
max_charge_kw = 11.0
max_discharge_kw = 7.4
capacity_kwh = [80.0, 100.0]
store_up_to_percent = 100.0
charges_from = "22:00"

[[manager]]
name = "company"
kind = "company"
chargers = 4
buses = ["LV2.101 Bus 81"]
max_charge_kw = 11.0
max_discharge_kw = 7.4
capacity_kwh = [80.0, 100.0]
store_up_to_percent = 100.0
"""
"""Nine plants and four managers. Voltages are too high at noon and too low after 22:00, and wind is curtailed in the
second half of the night: both services run, are renewed and are called off."""


_SAID = ("at", "sender", "receiver", "performative", "protocol", "content")


class FastPhysics:
    """`environment.physical_grid.PhysicalGrid` by the matrix form."""

    def __init__(self, *grids: Grid) -> None:
        self._grids = grids

    def solve_each(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> list[GridState]:
        states, first = [], 0
        for grid in self._grids:
            rows = slice(first, first := first + len(grid.buses))
            states.append(grid.solve(p_kw[rows].copy(), q_kvar[rows].copy(), at=at))
        return states


@dataclass(frozen=True)
class Day:
    """A run folder, read back."""

    folder: Path

    @cached_property
    def trace(self) -> list[str]:
        """The lines of the trace, the header first."""
        return (self.folder / "trace.jsonl").read_text(encoding="utf-8").splitlines()

    @cached_property
    def header(self) -> dict[str, Any]:
        return dict(json.loads(self.trace[0]))

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.trace[1:]]

    @cached_property
    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "summary.json").read_text(encoding="utf-8")))

    @property
    def warnings(self) -> list[str]:
        return list(self.summary["warnings"])

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of the ledger by plain SQL."""
        with closing(sqlite3.connect(self.folder / "ledger.sqlite")) as database:
            return database.execute(query).fetchall()

    @property
    def postings(self) -> list[tuple[Any, ...]]:
        return self.sql("select transaction_id, account, amount_eur, at, reference from posting order by rowid")

    def said(self, **members: Any) -> list[dict[str, Any]]:
        """The messages with these members, such as `exchange="1.2.5", performative="reject-proposal"`."""
        wanted = {name.replace("_", "-"): value for name, value in members.items()}
        return [m for m in self.messages if all(m[name] == value for name, value in wanted.items())]

    def contents(self) -> Counter[str]:
        """What was said, by whom, to whom and when, without the ids that depend on the order of arrival."""
        return Counter(
            json.dumps(
                [m[k] for k in ("at", "sender", "receiver", "performative", "protocol", "content")], sort_keys=True
            )
            for m in self.messages
        )

    @property
    def outcome(self) -> dict[str, Any]:
        """What the day came to, without how long it took; warnings of one instant have no order on the wire."""
        known = {key: value for key, value in self.summary.items() if key != "wall_s"}
        return known | {"warnings": sorted(self.warnings)}


def play(folder: Path, text: str = SMALL, *, seed: int | None = None, listener: Any = None, **options: Any) -> Day:
    """Plays the scenario in `text` to its end, as `run.py` does."""
    loaded = scenario.parse(text, "small.toml", seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "PhysicalGrid", FastPhysics)
        patch.setattr(launcher, "build_report", lambda out: out / "report.html")
        done = launcher.launch(loaded, Options(out=folder, **options), listener)
    if done.page is not None:
        done.page.stop()
    return Day(done.folder)


def changed(*pairs: tuple[str, str], text: str = SMALL) -> str:
    """A variant of the small scenario; every text to be replaced must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text
