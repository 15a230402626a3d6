"""The rows of a run while it is watched: written whole, read as they come, the same as the series at the end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from environment.live_rows import LiveRows, LiveRowsWriter, Span, of_series
from environment.series import SeriesError, SeriesRecorder

ZONE = ZoneInfo("Europe/Ljubljana")
START = datetime(2026, 10, 25, 1, 0, tzinfo=ZONE)
MINUTE = timedelta(minutes=1)
SPAN = Span("Europe/Ljubljana", MINUTE, START, START + timedelta(days=1))


def recorder() -> SeriesRecorder:
    return SeriesRecorder("Europe/Ljubljana", ["MV", "LV"], ["home:1"], lines=["Line 1"], extra=["wind_kw"])


def add(to: SeriesRecorder, minute: int, *, case: str = "with", connected: bool = True) -> None:
    to.append(
        START.astimezone(UTC) + minute * MINUTE,
        case,  # type: ignore[arg-type]
        trafo_loading_percent=80.0 + minute,
        trafo_p_kw=1.0,
        losses_kw=2.0,
        line_loading_percent_max=3.0,
        load_kw=4.0,
        pv_kw=-5.0,
        frequency_hz=50.0,
        vm_pu=[1.0, 0.97],
        line_loading_percent=[33.0 + minute],
        p_kw=[7.5],
        soc_percent=[40.0],
        connected=[connected],
        extra={"wind_kw": 6.0},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live.rows"


@pytest.fixture
def kept(path: Path) -> Iterator[SeriesRecorder]:
    """A recorder whose rows are followed into the file."""
    kept = recorder()
    writer = LiveRowsWriter(path, SPAN, kept.names)
    kept.follow = writer.append
    yield kept
    writer.close()


def test_rows_are_read_as_they_come(path: Path, kept: SeriesRecorder) -> None:
    rows = LiveRows.open(path)
    assert (len(rows), rows.read_on(), rows.span, rows.timezone) == (0, 0, SPAN, "Europe/Ljubljana")
    for minute in range(200):
        add(kept, minute)
        assert rows.read_on() == 1
    assert rows.values.shape == (200, len(rows.columns))
    np.testing.assert_array_equal(np.diff(rows.at), 60_000_000)
    assert rows.at[0] == round(START.timestamp() * 1e6)
    np.testing.assert_array_equal(rows.column("line_loading_percent:Line 1"), 33.0 + np.arange(200))
    np.testing.assert_array_equal(rows.column("vm_pu:LV")[-1], np.float32(0.97))
    rows.close()
    assert rows.read_on() == 0
    assert len(rows) == 200


def test_what_was_there_before_it_was_opened_is_read_as_well(path: Path, kept: SeriesRecorder) -> None:
    for minute in range(3):
        add(kept, minute)
    rows = LiveRows.open(path)
    add(kept, 3)
    rows.read_on()
    assert rows.column("trafo_loading_percent").tolist() == [80.0, 81.0, 82.0, 83.0]
    rows.close()


def test_half_a_row_is_left_until_it_is_whole(path: Path, kept: SeriesRecorder, tmp_path: Path) -> None:
    for minute in range(2):
        add(kept, minute)
    whole = path.read_bytes()
    growing = tmp_path / "growing.rows"
    for cut in (1, 8, 30):
        growing.write_bytes(whole[:-cut])
        rows = LiveRows.open(growing)
        assert len(rows) + rows.read_on() == 1
        with growing.open("ab") as file:
            file.write(whole[-cut:])
        assert rows.read_on() == 1
        assert rows.column("trafo_loading_percent").tolist() == [80.0, 81.0]
        rows.close()


def test_only_the_case_with_flexibility_is_followed(path: Path, kept: SeriesRecorder) -> None:
    add(kept, 0)
    add(kept, 0, case="without")
    rows = LiveRows.open(path)
    assert len(rows) == 1
    rows.close()


def test_the_series_gives_the_same_rows(path: Path, kept: SeriesRecorder, tmp_path: Path) -> None:
    """Over the hour that comes twice, and with a charger that nobody uses."""
    for minute in range(0, 180, 30):
        add(kept, minute, connected=minute % 60 == 0)
        add(kept, minute, case="without")
    kept.write(tmp_path / "series.parquet")
    live, whole = LiveRows.open(path), of_series(tmp_path / "series.parquet")
    assert whole.columns == live.columns
    np.testing.assert_array_equal(whole.at, live.at)
    np.testing.assert_array_equal(whole.values, live.values)
    assert np.isnan(whole.column("soc_percent:home:1")).tolist() == [False, True] * 3
    assert (whole.timezone, whole.read_on()) == ("Europe/Ljubljana", 0)
    assert whole.span is not None
    assert (whole.span.step, whole.span.begins.astimezone(UTC)) == (30 * MINUTE, START.astimezone(UTC))
    assert whole.span.ends - whole.span.begins.astimezone(UTC) == timedelta(hours=3)
    live.close()


def test_a_series_of_one_row_does_not_say_how_long_it_is(kept: SeriesRecorder, tmp_path: Path) -> None:
    add(kept, 0)
    kept.write(tmp_path / "series.parquet")
    rows = of_series(tmp_path / "series.parquet")
    assert (len(rows), rows.span) == (1, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}\n",
        "[]\n",
        '{"version": 1, "columns": []}\n',
        '{"version": 1, "timezone": "UTC", "step_s": "x", "begins": "1", "ends": "2", "columns": []}\n',
        '{"version": 1, "timezone": "UTC", "step_s": 1e300, "begins": "1", "ends": "2", "columns": []}\n',
    ],
)
def test_a_file_that_is_none_is_one_clear_line(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SeriesError, match=r"live.rows: the first line does not say which rows these are$"):
        LiveRows.open(path)


def test_rows_of_another_version_are_refused(path: Path) -> None:
    path.write_text('{"version": 2}\n', encoding="utf-8")
    with pytest.raises(SeriesError, match="rows of version 2; this program reads 1"):
        LiveRows.open(path)


def test_files_that_are_not_there_or_no_series_are_named(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match=r"live.rows: cannot be read: No such file"):
        LiveRows.open(tmp_path / "live.rows")
    with pytest.raises(SeriesError, match=r"series.parquet: cannot be read: no such file"):
        of_series(tmp_path / "series.parquet")
    (tmp_path / "series.parquet").write_text("hello", encoding="utf-8")
    with pytest.raises(SeriesError, match=r"series.parquet: not a series"):
        of_series(tmp_path / "series.parquet")
