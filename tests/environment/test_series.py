"""Recording a run's series and reading it back."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from environment.series import ISLAND_COLUMNS, Case, Series, SeriesError, SeriesRecorder

ZONE = ZoneInfo("Europe/Ljubljana")
START = datetime(2025, 1, 15, tzinfo=ZONE)


def recorder(rows: int = 4) -> SeriesRecorder:
    return SeriesRecorder("Europe/Ljubljana", ["MV", "LV 1", "LV 2"], ["home-1", "home-2"], rows=rows)


def add(to: SeriesRecorder, minute: int = 0, case: Case = "with", at: datetime | None = None, **changes: Any) -> None:
    values: dict[str, Any] = {
        "trafo_loading_percent": 80.0,
        "trafo_p_kw": 120.0,
        "losses_kw": 2.5,
        "line_loading_percent_max": 40.0,
        "load_kw": 110.0,
        "pv_kw": -3.0,
        "frequency_hz": 49.99,
        "vm_pu": [1.01, 0.99, 0.97],
        "p_kw": [7.0, -2.0],
        "soc_percent": [40.0, 80.0],
        "connected": [True, True],
    }
    to.append(at or START + timedelta(minutes=minute), case, **{**values, **changes})


def test_what_was_recorded_is_read_back_by_case_with_its_local_time(tmp_path: Path) -> None:
    recording = recorder()
    add(recording, 0, "with", trafo_loading_percent=81.5)
    add(recording, 0, "without", trafo_loading_percent=117.25)
    recording.write(tmp_path / "series.parquet")
    series = Series.read(tmp_path / "series.parquet")
    assert series.cases == ("with", "without")
    assert series.buses == ("MV", "LV 1", "LV 2")
    assert series.chargers == ("home-1", "home-2")
    assert series.case("without")["trafo_loading_percent"].tolist() == [117.25]
    assert series.index("with")[0].isoformat() == "2025-01-15T00:00:00+01:00"
    np.testing.assert_allclose(series.voltages("with"), [[1.01, 0.99, 0.97]], rtol=1e-6)
    np.testing.assert_allclose(series.powers("with"), [[7.0, -2.0]])


def test_fleet_columns_are_the_sums_and_means_of_the_chargers(tmp_path: Path) -> None:
    recording = recorder()
    add(recording)
    recording.write(tmp_path / "s.parquet")
    row = Series.read(tmp_path / "s.parquet").case("with").iloc[0]
    assert row["fleet_p_kw"] == 5.0
    assert row["fleet_soc_percent"] == 60.0
    assert row["connected"] == 2
    assert row["vm_pu_min"] == pytest.approx(0.97)
    assert row["vm_pu_max"] == pytest.approx(1.01)


def test_state_of_charge_of_an_absent_vehicle_is_missing_in_the_file_and_not_a_number(tmp_path: Path) -> None:
    recording = recorder()
    add(recording, 0, soc_percent=[40.0, 99.0], connected=[True, False])
    add(recording, 1, soc_percent=[40.0, 99.0], connected=[False, False])
    recording.write(tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    assert table["soc_percent:home-2"].null_count == 2
    assert table["fleet_soc_percent"].to_pylist() == [40.0, None]
    assert table["connected"].to_pylist() == [1, 0]


def test_rows_are_ordered_by_case_and_time_however_they_came(tmp_path: Path) -> None:
    recording = recorder(rows=1)
    for minute in (2, 0, 1):
        add(recording, minute, "without")
        add(recording, minute, "with")
    recording.write(tmp_path / "s.parquet")
    table = pq.read_table(tmp_path / "s.parquet")
    assert table["case"].to_pylist() == ["with"] * 3 + ["without"] * 3
    minutes = [at.minute for at in table["at"].to_pylist()]
    assert minutes == [0, 1, 2, 0, 1, 2]
    assert len(recording) == 6


def test_the_hour_that_comes_twice_in_autumn_is_two_hours(tmp_path: Path) -> None:
    recording = recorder()
    for fold in (0, 1):
        add(recording, at=datetime(2025, 10, 26, 2, 30, tzinfo=ZONE, fold=fold))
    recording.write(tmp_path / "s.parquet")
    series = Series.read(tmp_path / "s.parquet")
    assert series.step("with") == timedelta(hours=1)
    assert [at.isoformat()[-6:] for at in series.index("with")] == ["+02:00", "+01:00"]


def test_a_row_that_is_already_there_is_refused() -> None:
    recording = recorder()
    add(recording, 3)
    with pytest.raises(SeriesError, match=r"2025-01-15T00:03:00.* already there for the case 'with'"):
        add(recording, 3)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(SeriesError, match="no time zone"):
        add(recorder(), at=datetime(2025, 1, 15))  # noqa: DTZ001


def test_an_array_of_another_length_is_refused_and_named() -> None:
    with pytest.raises(SeriesError, match=r"vm_pu has shape \(2,\), expected \(3,\)"):
        add(recorder(), vm_pu=[1.0, 1.0])


def test_a_refused_row_leaves_nothing_behind(tmp_path: Path) -> None:
    recording = recorder()
    with pytest.raises(SeriesError):
        add(recording, p_kw=[1.0])
    add(recording)
    assert len(recording) == 1


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(SeriesError, match="charger is named twice"):
        SeriesRecorder("UTC", ["b"], ["c", "c"])


def test_a_file_that_is_not_there_or_not_a_series_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="no such file"):
        Series.read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(SeriesError, match="not a parquet file"):
        Series.read(tmp_path / "text.parquet")


def test_a_case_that_was_not_run_is_named(tmp_path: Path) -> None:
    recording = recorder()
    add(recording)
    recording.write(tmp_path / "s.parquet")
    with pytest.raises(SeriesError, match="'without' was not recorded"):
        Series.read(tmp_path / "s.parquet").case("without")


def test_further_columns_are_read_back_under_their_names(tmp_path: Path) -> None:
    recording = SeriesRecorder("UTC", ["MV", "LV 1", "LV 2"], ["home-1", "home-2"], extra=ISLAND_COLUMNS)
    add(recording, extra={name: float(index) for index, name in enumerate(ISLAND_COLUMNS)})
    recording.write(tmp_path / "s.parquet")
    series = Series.read(tmp_path / "s.parquet")
    assert series.extra == ISLAND_COLUMNS
    assert series.case("with")[list(ISLAND_COLUMNS)].iloc[0].tolist() == list(range(len(ISLAND_COLUMNS)))
    np.testing.assert_allclose(series.voltages("with"), [[1.01, 0.99, 0.97]], rtol=1e-6)
    np.testing.assert_allclose(series.powers("with"), [[7.0, -2.0]])


def test_a_series_without_further_columns_has_none(tmp_path: Path) -> None:
    recording = recorder()
    add(recording)
    recording.write(tmp_path / "s.parquet")
    assert Series.read(tmp_path / "s.parquet").extra == ()


def test_the_loading_of_each_line_is_read_back(tmp_path: Path) -> None:
    lines = ["Line 1", "Line: 2"]
    recording = SeriesRecorder("UTC", ["MV", "LV 1", "LV 2"], ["home-1", "home-2"], lines=lines)
    add(recording, line_loading_percent=[12.5, 104.0])
    with pytest.raises(SeriesError, match=r"line_loading_percent has shape \(1,\), expected \(2,\)"):
        add(recording, 1, line_loading_percent=[12.5])
    recording.write(tmp_path / "s.parquet")
    series = Series.read(tmp_path / "s.parquet")
    assert series.lines == ("Line 1", "Line: 2")
    np.testing.assert_allclose(series.loadings("with"), [[12.5, 104.0]])
    np.testing.assert_allclose(series.voltages("with"), [[1.01, 0.99, 0.97]], rtol=1e-6)
    np.testing.assert_allclose(series.socs("with"), [[40.0, 80.0]])


def test_a_series_before_lines_were_kept_has_none(tmp_path: Path) -> None:
    recording = recorder()
    add(recording)
    recording.write(tmp_path / "s.parquet")
    series = Series.read(tmp_path / "s.parquet")
    assert (series.lines, series.loadings("with").shape) == ((), (1, 0))


@pytest.mark.parametrize("given", [None, {"wind_kw": 1.0}, {"wind_kw": 1.0, "hydro_kw": 1.0, "sun_kw": 0.0}])
def test_a_row_has_a_value_for_each_further_column_and_for_no_other(given: dict[str, float] | None) -> None:
    recording = SeriesRecorder("UTC", ["MV", "LV 1", "LV 2"], ["home-1", "home-2"], extra=("wind_kw", "hydro_kw"))
    with pytest.raises(SeriesError, match=r"further columns are missing or unknown: (hydro|sun)_kw"):
        add(recording, extra=given)
    assert len(recording) == 0


@pytest.mark.parametrize("name", ["load_kw", "at", "vm_pu:x"])
def test_a_further_column_cannot_take_a_name_that_the_series_uses(name: str) -> None:
    with pytest.raises(SeriesError, match="further column cannot be named"):
        SeriesRecorder("UTC", ["b"], ["c"], extra=(name,))
