"""The log of frequency control: nothing that was written is lost, and nothing is there twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.fcr_log import KEPT, FcrLog, LoggedSecond, log_name, log_of
from protocols.exchanges.vocabulary import FcrProduct

START = datetime(2026, 1, 13, 22, tzinfo=UTC)
SECOND = timedelta(seconds=1)
USUAL = LoggedSecond(
    at=START,
    power_kw=12.5,
    hz=49.9731,
    baseline_kw=10.0,
    soc_percent=61.25,
    capacity_kw=80.0,
    activated_kw=-21.52,
    nem_kw=0.0,
    nem_on=False,
    aem_on=False,
    endurance_minutes=74.5,
    status_on=True,
    regulating_kw_per_hz=800.0,
    p_min_kw=-100.0,
    p_max_kw=110.0,
)
LOGGER = """
import sys, time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tests.agents.test_fcr_log import START, USUAL, log
mine = log(Path(sys.argv[1]))
for n in range(10**9):
    mine.write(replace(USUAL, at=START + timedelta(seconds=n)))
    if n == 200:
        print("200", flush=True)
    if n > 200:
        time.sleep(0.01)
"""


def log(folder: Path, product: FcrProduct = FcrProduct.FCR_N) -> FcrLog:
    return FcrLog(folder, "BORNHOLM-POOL", product)


def write(mine: FcrLog, *offsets: float, **changes: object) -> None:
    for offset in offsets:
        second = replace(USUAL, at=START + timedelta(seconds=offset), **changes)  # type: ignore[arg-type]
        mine.write(second)


def day_file(folder: Path, day: datetime = START) -> Path:
    return folder / log_name("BORNHOLM-POOL", FcrProduct.FCR_N, "DK2", day.date())


def test_a_second_is_read_as_it_was_written(tmp_path: Path) -> None:
    mine = log(tmp_path / "fcr-log")
    without = replace(USUAL, at=START + SECOND, soc_percent=None, endurance_minutes=None, nem_on=True, aem_on=True)
    assert mine.write(USUAL)
    assert mine.write(without)
    assert mine.read(START, START + 2 * SECOND) == (USUAL, without)
    assert mine.read(START + SECOND, START + 2 * SECOND) == (without,), "the end is not part of it, the start is"
    assert mine.notices == []


def test_a_second_of_a_test_is_marked(tmp_path: Path) -> None:
    mine = log(tmp_path)
    mine.write(replace(USUAL, testing=True))
    mine.write(replace(USUAL, at=START + SECOND))
    again = log(tmp_path)
    assert [s.testing for s in again.read(START, START + 2 * SECOND)] == [True, False]
    assert again.notices == []


def test_each_second_is_in_the_file_before_write_returns(tmp_path: Path) -> None:
    mine, reader = log(tmp_path), log(tmp_path)
    for n in range(5):
        write(mine, n)
        assert len(reader.read(START, START + timedelta(minutes=1))) == n + 1


def test_a_process_that_is_killed_loses_nothing_it_has_logged(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LOGGER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    with process.stdout as said:
        assert said.readline() == b"200\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = log(tmp_path).read(START, START + timedelta(hours=1))
    assert len(found) >= 201
    assert [second.at for second in found] == [START + n * SECOND for n in range(len(found))]


@pytest.mark.parametrize("left", [1, 30, -1])
def test_a_torn_last_line_is_left_out_with_a_notice_and_logging_goes_on(tmp_path: Path, left: int) -> None:
    mine = log(tmp_path)
    write(mine, 0, 1, 2)
    mine.close()
    path = day_file(tmp_path)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[:last] + whole[last:-1][:left])

    again = log(tmp_path)
    write(again, 3, 4)
    found = again.read(START, START + timedelta(minutes=1))
    assert [second.at for second in found] == [START + n * SECOND for n in (0, 1, 3, 4)]
    assert again.notices == [f"{path.name}, line 4: is torn, and left out"]
    write(again, 2)
    assert len(again.read(START, START + timedelta(minutes=1))) == 5, "a second that was torn can be written again"
    assert len(again.notices) == 1, "it is told once"


def test_a_line_that_was_torn_within_its_last_number_is_recognised(tmp_path: Path) -> None:
    """Its numbers are well formed; only the checksum tells."""
    mine = log(tmp_path)
    write(mine, 0)
    path = day_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b",110.0000,", b",11.0000,"))
    assert mine.read(START, START + SECOND) == ()
    assert len(mine.notices) == 1


def test_a_file_without_its_last_newline_has_its_last_second(tmp_path: Path) -> None:
    mine = log(tmp_path)
    write(mine, 0, 1)
    mine.close()
    path = day_file(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    again = log(tmp_path)
    write(again, 2)
    assert len(again.read(START, START + timedelta(minutes=1))) == 3
    assert again.notices == []


def test_a_write_that_the_disk_cuts_short_is_an_error_and_the_next_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = log(tmp_path)
    write(mine, 0)
    true_write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: true_write(file, data[:20]))
    with pytest.raises(OSError, match="20 bytes of"):
        write(mine, 1)
    monkeypatch.undo()
    write(mine, 1, 2)
    assert len(mine.read(START, START + timedelta(minutes=1))) == 3


def test_days_are_those_of_utc(tmp_path: Path) -> None:
    mine = log(tmp_path)
    write(mine, 2 * 3600 - 1, 2 * 3600)
    assert [log_of(path)[3].day for path in sorted(tmp_path.iterdir())] == [13, 14]  # type: ignore[index]
    assert len(mine.read(START, START + timedelta(hours=3))) == 2


def test_a_clock_that_goes_back_writes_no_second_twice(tmp_path: Path) -> None:
    mine = log(tmp_path)
    write(mine, 7199, 7200, 7201)
    assert not mine.write(replace(USUAL, at=START + timedelta(seconds=7199.4), power_kw=99.0)), "the day before"
    assert not mine.write(replace(USUAL, at=START + timedelta(seconds=7201)))
    assert mine.write(replace(USUAL, at=START + timedelta(seconds=7198)))
    found = mine.read(START, START + timedelta(hours=3))
    assert [(second.at - START) / SECOND for second in found] == [7198, 7199, 7200, 7201], "and read in order of time"
    assert {second.power_kw for second in found} == {12.5}


def test_a_second_that_was_logged_before_a_restart_is_not_written_again(tmp_path: Path) -> None:
    write(log(tmp_path), 0)
    assert not log(tmp_path).write(USUAL)


def test_nothing_younger_than_14_days_is_removed_and_what_is_older_is(tmp_path: Path) -> None:
    mine, other = log(tmp_path), log(tmp_path, FcrProduct.FCR_D_UP)
    other.write(USUAL)
    for day in range(16):
        write(mine, day * 86_400)
    first, second = day_file(tmp_path), day_file(tmp_path, START + timedelta(days=1))
    assert not first.exists()
    assert second.exists(), "in the night to day 15 its last second is 13 days old"
    kept = mine.span()
    assert kept is not None
    assert START + timedelta(days=15) - kept[0] >= KEPT
    assert other.read(START, START + SECOND) == (USUAL,), "another's log is not touched"


def test_a_clock_that_jumps_years_ahead_removes_nothing(tmp_path: Path) -> None:
    mine = log(tmp_path)
    write(mine, 0, 86_400, 10 * 365 * 86_400, 86_401)
    assert len(list(tmp_path.iterdir())) == 3
    assert len(mine.read(START, START + timedelta(days=2))) == 3


def test_the_summary_counts_what_was_available_and_activated(tmp_path: Path) -> None:
    mine = log(tmp_path)
    write(mine, *range(600), activated_kw=-36.0)
    write(mine, *range(600, 900), activated_kw=18.0, baseline_kw=40.0)
    write(mine, *range(1000, 1100), activated_kw=0.0, aem_on=True)
    write(mine, *range(1100, 1150), activated_kw=0.0, status_on=False)
    write(mine, *range(1150, 1160), activated_kw=0.0, capacity_kw=79.0)
    found = mine.summary(START, START + timedelta(hours=1), capacity_kw=80.0)
    assert (found.logged_seconds, found.available_seconds) == (1060, 900)
    assert found.up_kwh == pytest.approx(6.0)
    assert found.down_kwh == pytest.approx(1.5)
    assert found.baseline_kw == pytest.approx((20.0, 10.0, 10.0, 10.0))
    assert mine.summary(START, START + timedelta(hours=1)).available_seconds == 910, "no capacity was sold"


def test_a_summary_of_nothing_is_nothing(tmp_path: Path) -> None:
    found = log(tmp_path / "none").summary(START, START + timedelta(minutes=20))
    assert (found.logged_seconds, found.available_seconds, found.up_kwh, found.baseline_kw) == (0, 0, 0.0, (0.0, 0.0))
    assert log(tmp_path / "none").span() is None


@pytest.mark.parametrize("name", ["Risø pool", "a/b", ""])
def test_a_resource_that_is_no_file_name_in_ascii_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        FcrLog(tmp_path, name, FcrProduct.FCR_N)


def test_the_name_of_a_day_file_is_taken_apart_again() -> None:
    day = START.date()
    assert log_of(Path(log_name("A_B-1", FcrProduct.FCR_D_UP, "DK2", day))) == (
        "A_B-1",
        FcrProduct.FCR_D_UP,
        "DK2",
        day,
    )
    for name in ("notes.txt", "a_fcr-n_DK2_2026.csv", "a_fcr-x_DK2_20260113.csv", "a.csv"):
        assert log_of(Path(name)) is None


def test_a_second_costs_little(tmp_path: Path) -> None:
    """Some 4 us on an idle core, less than 10 wanted; the bound leaves room for a busy machine."""
    mine = log(tmp_path)
    seconds = [replace(USUAL, at=START + n * SECOND) for n in range(5_000)]
    began = time.process_time()
    for second in seconds:
        mine.write(second)
    assert (time.process_time() - began) / len(seconds) < 60e-6
