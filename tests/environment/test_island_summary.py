"""An island's members of the summary, against a small series whose answers are known by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from environment import summary
from environment.island_summary import fuel_saved, island, members
from environment.run_folder import Trace
from environment.series import ISLAND_COLUMNS, Series, SeriesRecorder

START = datetime.fromisoformat("2025-01-18T03:00:00-01:00")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four quarters of an hour, of which the wind is curtailed by 8 and 4 kW in two; a dip in the third."""
    recorder = SeriesRecorder("Atlantic/Azores", ["LV"], ["ev-1"], extra=ISLAND_COLUMNS)
    for index, (curtailed, lowest) in enumerate([(8.0, 49.98), (4.0, 49.97), (0.0, 49.2), (0.01, float("nan"))]):
        recorder.append(
            START + timedelta(minutes=15 * index), "with", trafo_loading_percent=50.0, trafo_p_kw=60.0, losses_kw=1.0,
            line_loading_percent_max=20.0, load_kw=60.0, pv_kw=0.0, frequency_hz=50.0, vm_pu=[0.88], p_kw=[6.0],
            soc_percent=[50.0], connected=[True],
            extra={
                "island_demand_kw": 600.0, "island_ev_kw": 6.0, "geothermal_kw": 360.0, "hydro_kw": 40.0,
                "wind_kw": 40.0 - curtailed, "wind_available_kw": 40.0, "curtailed_kw": curtailed, "thermal_kw": 200.0,
                "fuel_kg": 0.7, "frequency_min_hz": lowest,
            },
        )  # fmt: skip
    recorder.write(tmp_path / "series.parquet")
    header = {"trace": 1, "scenario": "portugal", "seed": 1, "roles": {}}
    (tmp_path / "trace.jsonl").write_text(json.dumps(header) + "\n")
    return tmp_path


def test_energies_are_power_by_time_fuel_is_added_up_and_the_lowest_frequency_has_its_time(folder: Path) -> None:
    found = island(Series.read(folder / "series.parquet"), "with")
    assert (found.curtailed_kwh, found.wind_available_kwh, found.wind_kwh) == (3.0, 40.0, 37.0)
    assert (found.thermal_kwh, found.geothermal_kwh, found.ev_kwh) == (200.0, 360.0, 6.0)
    assert found.fuel_kg == pytest.approx(2.8)
    assert found.hours_with_curtailment == 0.5
    assert found.lowest_frequency_hz == pytest.approx(49.2, abs=1e-4)
    assert found.lowest_frequency_at == "2025-01-18T03:30:00-01:00"


def test_the_summary_of_an_island_has_its_members_and_the_launchers_notes(folder: Path) -> None:
    tariff = [{"start": START.isoformat(), "grid_use_eur_per_kwh": "0.03", "charging_eur_per_kwh": "0.12"}]
    written = summary.write(folder, agents=1, wall_s=1.0, notes={"share": 0.016, "vehicles": 2000, "tariff": tariff})
    assert written == json.loads((folder / "summary.json").read_text())
    assert written["island"]["slice"] == {"share": 0.016, "vehicles": 2000}
    assert written["island"]["with"]["curtailed_kwh"] == 3.0
    assert written["voltage"]["with"]["minutes_outside"] == 60.0
    assert (written["services"], written["invoices"]) == ([], [])
    assert written["tariffs"] == {"ordinary": tariff, "changed": []}


def test_fuel_saved_counts_what_the_vehicles_took_ahead(folder: Path) -> None:
    """10 kg less burnt, 40 kWh more held: at 0.2 kg/kWh another 8 kg; 40 kWh less held are 8 kg to burn yet."""
    one = island(Series.read(folder / "series.parquet"), "with")
    cases = {"with": replace(one, fuel_kg=90.0), "without": replace(one, fuel_kg=100.0)}
    assert fuel_saved(cases, 40.0, 0.2) == {"charged_ahead_kwh": 40.0, "fuel_saved_kg": 18.0}
    assert fuel_saved(cases, -40.0, 0.2) == {"charged_ahead_kwh": -40.0, "fuel_saved_kg": 2.0}
    assert fuel_saved({"with": one}, 40.0, 0.2) == {}


def test_a_series_without_the_islands_columns_adds_nothing(tmp_path: Path) -> None:
    recorder = SeriesRecorder("UTC", ["LV"], ["ev-1"], extra=ISLAND_COLUMNS[:-1])
    values: dict[str, Any] = dict.fromkeys(ISLAND_COLUMNS[:-1], 0.0)
    recorder.append(
        START, "with", trafo_loading_percent=50.0, trafo_p_kw=60.0, losses_kw=1.0, line_loading_percent_max=20.0,
        load_kw=60.0, pv_kw=0.0, frequency_hz=50.0, vm_pu=[1.0], p_kw=[6.0], soc_percent=[50.0], connected=[True],
        extra=values,
    )  # fmt: skip
    recorder.write(tmp_path / "s.parquet")
    assert members(Trace(), Series.read(tmp_path / "s.parquet"), {"share": 0.016}) == {}


def test_who_only_writes_a_summary_does_not_wait_for_the_drawing_library() -> None:
    check = "import sys, environment.summary; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
