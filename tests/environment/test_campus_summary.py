"""The members of `summary.json` for campuses, and the closing table of such a run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from environment import campus_summary
from environment.campus_scenario import CampusScenario
from environment.console import closing
from environment.launcher import Done
from environment.report import congestion_services
from environment.report.congestion_services import Part
from environment.run_folder import read_trace
from environment.scenario import load
from environment.series import Series
from environment.summary import figures

from .report.campus import NOTED, make_campus_run

TIGHT: dict[str, Any] = {"limits": {"bornholm": [{"at": "2026-01-13T15:00:00+01:00", "percent": 88.0}]}}
"""A limit that what the service delivered is needed for."""


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


def at_bornholm(folder: Path) -> Part:
    """The one service of Bornholm: 12 kW for 45 minutes from 22:00 on."""
    trace = read_trace(folder / "trace.jsonl")
    (part,) = (p for p in congestion_services.parts(trace) if p.dso.startswith("beof") and p.took_place)
    return part


def test_what_was_avoided_is_the_overload_with_what_was_delivered_added_back(
    folder: Path, summary: dict[str, Any], series: Series
) -> None:
    frame = series.case("with").iloc[7 * 60 : 7 * 60 + 45]
    power, loading = (frame[f"trafo_{what}.bornholm"].to_numpy() for what in ("p_kw", "loading_percent"))
    limit = power / loading * TIGHT["limits"]["bornholm"][0]["percent"]
    more = np.maximum(power + 12.0 - limit, 0) - np.maximum(power - limit, 0)
    (found,) = campus_summary.avoided_kwh(series, "bornholm", TIGHT, [at_bornholm(folder)]).values()
    assert 1.0 < found < 12.0 * 0.75
    assert found == pytest.approx(more.sum() / 60, abs=2e-3)
    by_call = {(c["manager"], c["start"][11:16]): c["avoided_overload_kwh"] for c in summary["congestion"]}
    (told,) = campus_summary.avoided_kwh(series, "bornholm", NOTED["campuses"], [at_bornholm(folder)]).values()
    assert by_call[at_bornholm(folder).manager, "22:00"] == told


def test_what_frequency_control_changed_is_not_avoided_by_a_service(folder: Path, series: Series) -> None:
    part = at_bornholm(folder)
    table = pq.read_table(folder / "series.parquet").to_pandas()
    table.loc[table["case"] == "without", ["trafo_loading_percent.bornholm", "trafo_p_kw.bornholm"]] *= 1.5
    found = campus_summary.avoided_kwh(Series(table), "bornholm", TIGHT, [part])
    assert found == campus_summary.avoided_kwh(series, "bornholm", TIGHT, [part])


def test_a_service_is_credited_with_no_more_than_it_was_awarded_and_nothing_it_did_not_deliver(
    folder: Path, series: Series
) -> None:
    part = at_bornholm(folder)
    assert part.settlement is not None
    settled = part.settlement.model_copy(
        update={"baseline_kw": (22.0, 22.0, 22.0), "metered_kw": (-30.0, 17.0, 25.0), "promised_kw": 12.0}
    )
    kw = campus_summary.delivered_kw(series, replace(part, settlement=settled))
    assert [set(kw[at : at + 15]) for at in (420, 435, 450)] == [{12.0}, {5.0}, {0.0}]
    assert kw.sum() == 15 * 17.0
    assert campus_summary.avoided_kwh(series, "bornholm", {}, [replace(part, settlement=None)]) == {}


def test_what_several_avoided_at_once_is_split_by_what_each_delivered(folder: Path, series: Series) -> None:
    part = at_bornholm(folder)
    assert part.settlement is not None
    halves = [
        replace(
            part,
            manager=f"{share}@x",
            settlement=part.settlement.model_copy(update={"metered_kw": (22.0 - 12.0 * share,)}),
        )
        for share in (0.25, 0.75)
    ]
    (whole,) = campus_summary.avoided_kwh(series, "bornholm", TIGHT, [part]).values()
    split = campus_summary.avoided_kwh(series, "bornholm", TIGHT, halves)
    assert list(split.values()) == pytest.approx([whole / 4, whole * 3 / 4], abs=2e-3)


def test_the_figures_of_the_whole_run_are_those_of_its_worst_transformer(
    series: Series, summary: dict[str, Any]
) -> None:
    for case in ("with", "without"):
        worst, told = summary[case]["worst_transformer"], summary[case]
        campus = summary["campuses"][worst][case]
        assert told["peak_trafo_loading_percent"] == campus["peak_trafo_loading_percent"]
        assert told["minutes_above_100_percent"] == campus["minutes_above_rating"]
        assert told["overload_kwh"] == campus["overload_kwh"]
        assert told["peak_trafo_kw"] == pytest.approx(series.case(case)[f"trafo_p_kw.{worst}"].max(), abs=0.01)
    minutes = {name: each["without"]["minutes_above_rating"] for name, each in summary["campuses"].items()}
    assert minutes[summary["with"]["worst_transformer"]] == max(minutes.values())


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


def test_more_warnings_than_are_shown_are_counted_and_their_file_is_named(
    folder: Path, summary: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    many = summary | {"warnings": [f"warning {number}" for number in range(11)]}
    closing(Done(folder, many, folder / "report.html"))
    told = capsys.readouterr().out
    assert "warning 7\n" in told
    assert "warning 8" not in told
    assert f"and 3 more, in {folder / 'summary.json'}" in told
