"""Whole days for tests: a small evening of congestion with twelve chargers, played by the launcher itself.

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


_SAID = ("at", "sender", "receiver", "performative", "protocol", "content")


class FastPhysics:
    """`environment.physical_grid.PhysicalGrid` by the matrix form."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def solve(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> GridState:
        return self._grid.solve(p_kw, q_kvar, at=at)


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
        """What the day came to, without how long it took."""
        return {key: value for key, value in self.summary.items() if key != "wall_s"}


def play(folder: Path, text: str = SMALL, *, seed: int | None = None, listener: Any = None, **options: Any) -> Day:
    """Plays the scenario in `text` to its end, as `run.py` does."""
    loaded = scenario.parse(text, "small.toml", seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "PhysicalGrid", FastPhysics)
        patch.setattr(launcher, "build_report", lambda out: out / "report.html")
        done = launcher.launch(loaded, Options(out=folder, **options), listener)
    return Day(done.folder)


def changed(*pairs: tuple[str, str], text: str = SMALL) -> str:
    """A variant of the small scenario; every text to be replaced must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text
