"""The members of `summary.json` for campuses, and the closing table of such a run."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environment import campus_summary
from environment.campus_scenario import CampusScenario
from environment.console import closing
from environment.launcher import Done
from environment.report import congestion_services
from environment.run_folder import read_trace
from environment.scenario import load
from environment.series import Series
from environment.summary import figures

from .report.campus import NOTED, make_campus_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_campus_run(tmp_path_factory.mktemp("campus"))


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def series(folder: Path) -> Series:
    return Series.read(folder / "series.parquet")


def test_overload_is_what_passes_above_the_rating_and_the_rest_above_what_the_signal_allows(
    series: Series, summary: dict[str, Any]
) -> None:
    loading = series.case("without")["trafo_loading_percent.risoe"].to_numpy()
    power = series.case("without")["trafo_p_kw.risoe"].to_numpy()
    limit = np.full(1440, 100.0)
    limit[19 * 60 + 15 : 21 * 60 + 30] = 70.0
    above = loading > limit
    told = summary["campuses"]["risoe"]["without"]
    assert told["minutes_beyond_limit"] == above.sum() > told["minutes_above_rating"]
    assert told["beyond_limit_kwh"] == pytest.approx(
        (power[above] * (1 - limit[above] / loading[above])).sum() / 60, abs=2e-3
    )


def test_the_campus_of_the_series_first_network_has_the_figures_of_every_run(
    series: Series, summary: dict[str, Any]
) -> None:
    known, told = figures(series, "without"), summary["campuses"]["bornholm"]["without"]
    assert told["overload_kwh"] == pytest.approx(known.overload_kwh, abs=2e-3)


def test_what_was_avoided_is_split_by_what_each_was_awarded(
    folder: Path, summary: dict[str, Any], series: Series
) -> None:
    trace = read_trace(folder / "trace.jsonl")
    parts = [p for p in congestion_services.parts(trace) if p.dso.startswith("beof") and p.took_place]
    noted = NOTED["campuses"]
    alone = campus_summary.avoided_kwh(series, "bornholm", noted, parts)
    (only,) = alone.values()
    shared = campus_summary.avoided_kwh(series, "bornholm", noted, [parts[0], parts[0]])
    assert only == next(c["avoided_overload_kwh"] for c in summary["congestion"] if c["drivers_asked"] == 3)
    assert only > 1.0
    assert sum(shared.values()) == pytest.approx(only / 2, abs=1e-3)  # the same key twice: each has a half


def test_services_tests_and_hours_are_told_in_local_time(summary: dict[str, Any]) -> None:
    first = summary["congestion"][0]
    assert (first["start"], first["campus"], first["ended"]) == ("2026-01-13T22:00:00+01:00", "bornholm", "cancelled")
    assert (first["drivers_asked"], first["drivers_yes"], first["fee_eur"]) == (3, 2, "1.20")
    assert [test["outcome"] for test in summary["fcr"]["tests"]] == ["approved", "approved", "failed"]
    assert summary["fcr"]["hours"][0]["start"] == "2026-01-13T23:00:00+01:00"
    assert summary["paid"] == {"congestion_eur": "2.40", "frequency_eur": "6.16"}


def test_the_frequency_is_told_by_case_with_its_trip(summary: dict[str, Any]) -> None:
    told = summary["frequency"]
    assert told["without"]["lowest_hz"] < told["with"]["lowest_hz"] == told["trip"]["with"]["nadir_hz"]
    assert datetime.fromisoformat(told["trip"]["at"]).strftime("%H:%M:%S") == "02:12:00"
    assert told["throughput"]["bornholm-pool"]["up_kwh"] > 10


def test_a_run_without_seconds_has_no_member_of_them(tmp_path: Path) -> None:
    folder = make_campus_run(tmp_path / "run", fcr=False)
    assert "frequency" not in json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_the_notes_of_the_danish_scenario_have_limits_prices_and_wear() -> None:
    scenario = load("denmark")
    assert isinstance(scenario, CampusScenario)
    noted = campus_summary.notes(scenario)[campus_summary.NOTES]
    json.dumps(noted)
    assert set(noted["limits"]) == {campus.name for campus in scenario.campus}
    for signal in scenario.signal:
        told = noted["limits"][signal.campus]
        assert signal.limit_percent in [row["percent"] for row in told]
        assert [row["at"] for row in told] == sorted(row["at"] for row in told)
    assert len(noted["prices"]) == 24 * scenario.scenario.days
    changed = [row for row in noted["prices"] if row["first"] != row["last"]]
    assert len(changed) == len(scenario.price_change)
    assert set(noted["wear_eur_per_kwh"]) == {lot.name for lot in scenario.lot}


def test_the_closing_table_tells_each_campus_the_trip_the_tests_and_who_paid(
    folder: Path, summary: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    closing(Done(folder, summary, folder / "report.html"))
    told = " ".join(capsys.readouterr().out.split())
    assert "bornholm: minutes beyond the limit" in told
    assert "lowest frequency in the trip" in told
    assert "bornholm-pool-fcr-n: approved for 24.0 of 24.0 kW, 3 of 3 requirements met." in told
    assert "risoe-staff-fcr-d-up: failed" in told
    assert "DSOs paid 2.40 EUR against congestions, the TSO 6.16 EUR for the frequency" in told
