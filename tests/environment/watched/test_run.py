"""A run folder as it is watched: as of its newest message while it lasts, of any moment afterwards."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from environment.run_folder import LIVE_ROWS, NETWORK, TRACE
from environment.watched.run import Status, WatchedRun
from protocols.roles import Role
from tests.environment.watched.folders import BEGINS, ZONE, hand_made_folder, lines, write_network, write_rows

END = BEGINS + timedelta(minutes=59, seconds=10)


def test_a_finished_run_is_shown_at_its_end(tmp_path: Path) -> None:
    run = WatchedRun(hand_made_folder(tmp_path))
    while run.refresh():
        pass
    assert (run.at, run.messages, run.row) == (END, 120, 59)
    assert (run.begins, run.ends) == (BEGINS, END)
    assert run.zone == ZoneInfo(ZONE)
    assert run.roles["dso@localhost"] is Role.DSO
    assert run.title == "Hand-made"
    assert run.network is not None
    assert (run.network_fault, run.rows_fault) == ("", "")
    (tmp_path / LIVE_ROWS).unlink()
    assert "has no series.parquet" in WatchedRun(tmp_path).rows_missing
    assert "first step" in WatchedRun(tmp_path, live=True).rows_missing


def test_any_moment_can_be_shown_and_the_version_says_that_it_changed(tmp_path: Path) -> None:
    run = WatchedRun(hand_made_folder(tmp_path))
    run.refresh()
    before = run.version
    run.show_at(BEGINS + timedelta(minutes=10, seconds=5))
    assert (run.messages, run.row) == (21, 10)
    assert run.version > before
    before = run.version
    run.refresh()
    run.show_at(BEGINS + timedelta(minutes=10, seconds=5))
    assert run.version == before
    run.show_at(BEGINS - timedelta(seconds=1))
    assert (run.messages, run.row) == (0, None)
    run.show_at(None)
    assert run.at == END


def test_a_run_that_lasts_is_followed_as_its_files_come(tmp_path: Path) -> None:
    run = WatchedRun(tmp_path, live=True, title="An hour")
    run.refresh()
    assert (run.at, run.messages, run.row, run.title) == (None, 0, None, "An hour")
    assert (run.network_fault, run.roles) == ("", {})
    text = lines()
    (tmp_path / TRACE).write_text("\n".join(text[:3]) + "\n" + text[3][:20], encoding="utf-8")
    run.refresh()
    assert (run.at, run.messages) == (BEGINS + timedelta(seconds=10), 2)
    assert run.zone.utcoffset(None) == timedelta(hours=1)
    with (tmp_path / TRACE).open("a", encoding="utf-8") as trace:
        trace.write(text[3][20:] + "\n")
    write_rows(tmp_path, minutes=3)
    write_network(tmp_path)
    run.refresh()
    assert run.messages == 3
    assert (run.at, run.row) == (BEGINS + timedelta(minutes=2), 2)
    assert run.zone == ZoneInfo(ZONE)
    assert run.network is not None
    (tmp_path / LIVE_ROWS).unlink()
    run.refresh()
    assert run.row == 2


def test_a_trace_that_begins_anew_lets_the_count_fall(tmp_path: Path) -> None:
    run = WatchedRun(hand_made_folder(tmp_path), live=True)
    run.refresh()
    before = run.version
    (tmp_path / TRACE).write_text("\n".join(lines(2)) + "\n", encoding="utf-8")
    run.refresh()
    assert run.messages == 4
    assert run.version > before


def test_files_that_are_none_are_said_and_mended_ones_are_read(tmp_path: Path) -> None:
    hand_made_folder(tmp_path)
    (tmp_path / NETWORK).write_text("{", encoding="utf-8")
    (tmp_path / LIVE_ROWS).write_text("rows\n", encoding="utf-8")
    run = WatchedRun(tmp_path, live=True)
    run.refresh()
    run.refresh()
    assert "network.json: not JSON" in run.network_fault
    assert "live.rows: the first line does not say which rows these are" in run.rows_fault
    assert run.messages == 120
    write_network(tmp_path)
    write_rows(tmp_path)
    run.refresh()
    assert (run.network_fault, run.rows_fault) == ("", "")
    assert run.row == 59


def test_a_folder_of_an_earlier_version_says_why_there_is_no_map(tmp_path: Path) -> None:
    hand_made_folder(tmp_path)
    (tmp_path / NETWORK).unlink()
    run = WatchedRun(tmp_path)
    run.refresh()
    assert run.network_fault == "This run has no drawing of its network: run it again for one."


def test_a_status_line_changes_what_it_says_and_nothing_that_cannot_be() -> None:
    status = Status().told({"state": "running", "speed": 300, "at": BEGINS.isoformat(), "messages": 7, "stage": "day"})
    assert status == Status("running", BEGINS, 300.0, "day", 7)
    assert status.told({"speed": None}).speed is None
    nonsense = {"state": "flying", "speed": -1, "at": "soon", "messages": "many", "stage": 3, "deterministic": 1}
    assert status.told(nonsense) == status
    assert status.told({"at": "2026-03-18T12:00:00"}) == status
    assert status.told({"speed": True}) == status


def test_a_run_that_has_ended_grows_no_more_and_notices_are_bounded(tmp_path: Path) -> None:
    run = WatchedRun(hand_made_folder(tmp_path), live=True)
    run.refresh()
    run.tell(Status("ended", BEGINS.astimezone(UTC)))
    assert not run.live
    for number in range(300):
        run.notice(f"notice {number}")
    assert (len(run.notices), run.notices[-1]) == (200, "notice 299")
