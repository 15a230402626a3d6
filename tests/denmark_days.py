"""Nights on a campus in which things go wrong on purpose: who parks where, what frequency was recorded, what breaks.

The vehicles are a file's, not drawn, and the network is solved each quarter of an hour only: what is looked at here is
the second by second of the chargers and their manager.
"""

from __future__ import annotations

import csv
import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.fcr_log import LOG_FOLDER, FcrLog, LoggedSecond
from agents.grid_view import Floats, GridState
from environment.grid import Grid
from environment.sessions_csv import COLUMNS
from protocols.exchanges.vocabulary import FcrProduct
from tests import days
from tests.days import Day, FastPhysics

SECOND, QUARTER = timedelta(seconds=1), timedelta(minutes=15)
BEGINS = datetime(2026, 1, 13, 14, 0, tzinfo=UTC)
"""15:00 in Copenhagen."""
SESSIONS, FREQUENCY = "sessions.csv", "recorded.csv"

HEAD = f"""
[scenario]
name = "night"
title = "A night in which things go wrong"
timezone = "Europe/Copenhagen"
start = 2026-01-13
start_time = "15:00"
seed = 3

[area]
represents = 20000
frequency_csv = "{FREQUENCY}"

[drivers]
sessions_csv = "{SESSIONS}"
arrival_error_minutes = 0.0

[[campus]]
name = "east"
dso = "east-dso"
network = "rural2"

[retail]
spot_eur_per_kwh = [
    [0.05, 0.05, 0.02, 0.02, 0.02, 0.05, 0.08, 0.11, 0.12, 0.11, 0.10, 0.09,
     0.09, 0.09, 0.09, 0.10, 0.12, 0.15, 0.14, 0.13, 0.10, 0.09, 0.08, 0.07],
    [0.01, 0.01, 0.05, 0.05, 0.05, 0.05, 0.08, 0.11, 0.12, 0.11, 0.10, 0.09,
     0.09, 0.09, 0.09, 0.10, 0.12, 0.15, 0.14, 0.13, 0.10, 0.09, 0.08, 0.07],
]
"""


@dataclass(frozen=True)
class Pool:
    """A lot in frequency control, as its tables in the scenario; `vehicles` of its chargers are taken all night."""

    name: str
    chargers: int
    vehicles: int
    fcr: Mapping[str, Any]

    def tables(self) -> str:
        lot = {
            "name": self.name,
            "campus": "east",
            "kind": "pool",
            "chargers": self.chargers,
            "buses": ["LV2.101 Bus 21"],
            "max_charge_kw": 11.0,
            "max_discharge_kw": 10.0,
            "capacity_kwh": [60.0, 77.0],
        }
        terms = {
            "lot": self.name,
            "product": "fcr-d-up",
            "control": "central",
            "application": "15:05",
            "test_from": "15:10",
            "first_hour": "18:00",
            "last_hour": "19:00",
            "price_eur_per_kw": 0.004,
            **self.fcr,
        }
        return table("lot", lot) + table("fcr", terms)


def table(name: str, members: Mapping[str, Any]) -> str:
    """A table of a list in TOML."""
    lines = [f"{key} = {_value(value)}" for key, value in members.items()]
    return "\n".join([f"\n[[{name}]]", *lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return f"[{', '.join(map(_value, value))}]" if isinstance(value, list) else repr(value)


def fault(kind: str, target: str, start: str, end: str) -> str:
    return table("fault", {"kind": kind, "target": target, "start": start, "end": end})


def write_inputs(folder: Path, pools: Sequence[Pool], *, nights: int = 1) -> None:
    """The files that the scenario names: each vehicle stays from before the run until 8:00, each night."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / SESSIONS).open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for pool in pools:
            for number in range(1, pool.vehicles + 1):
                for night in range(nights):
                    came, leaves = f"2026-01-{13 + night}T14:30", f"2026-01-{14 + night}T08:00"
                    charger = f"{pool.name}-{number:02d}"
                    rows.writerow([charger, f"car-{charger}", came, leaves, 70.0, 60.0, 80.0])
    record_frequency(folder / FREQUENCY, 24 * nights + 1)


def hz_at(at: datetime) -> float:
    """What was recorded: near 50 Hz, and from 18:00 to 23:00 about 49.8 Hz, slowly up and down."""
    seconds = (at - BEGINS).total_seconds()
    low = 3 <= seconds / 3600 % 24 < 8
    return round((49.8 if low else 49.98) + 0.02 * math.sin(2 * math.pi * seconds / 240), 4)


def record_frequency(path: Path, hours: int) -> None:
    """A line every other second, from the beginning on."""
    with path.open("w") as file:
        file.write("timestamp,frequency\n")
        for k in range(hours * 1800):
            at = BEGINS + 2 * k * SECOND
            file.write(f"{at.isoformat()},{hz_at(at):.4f}\n")


class SlowPhysics(FastPhysics):
    """The first minute of each quarter of an hour stands for all of it."""

    def __init__(self, *grids: Grid) -> None:
        super().__init__(*grids)
        self._states: list[GridState] = []
        self._until: datetime | None = None

    def solve_each(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> list[GridState]:
        assert at is not None
        if self._until is None or not self._until - QUARTER <= at < self._until:
            self._states, self._until = super().solve_each(p_kw, q_kvar, at), at + QUARTER
        return self._states


def play(folder: Path, text: str, **options: Any) -> Day:
    """Plays a night whose inputs lie in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(days, "FastPhysics", SlowPhysics)
        return days.play(folder / "run", text, base=folder, **options)


class KilledAt:
    """Ends the process that listens to it, as nothing can be caught, when the run has come to a time."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def stage(self, text: str) -> None: ...

    def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        if at >= self.moment:
            os.kill(os.getpid(), signal.SIGKILL)


def log_of(day: Day, pool: str, product: FcrProduct = FcrProduct.FCR_D_UP) -> tuple[LoggedSecond, ...]:
    """What a pool has logged."""
    return FcrLog(day.folder / LOG_FOLDER, pool, product).read(BEGINS, BEGINS + timedelta(days=3))


def at(clock: str, day: int = 13) -> datetime:
    """A time of the night by the clocks of Copenhagen, in UTC."""
    return datetime.fromisoformat(f"2026-01-{day}T{clock}+01:00").astimezone(UTC)


if __name__ == "__main__":
    play(Path(sys.argv[1]), sys.argv[2], listener=KilledAt(at(sys.argv[3])))
