"""A whole run with a page beside it: what the page gets to read, and that it changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from environment import page_process
from environment.live_rows import LiveRows, of_series
from environment.out_folder import ACCESS
from environment.page_process import PageError
from environment.run_folder import LIVE_ROWS, SERIES, TRACE
from tests.days import Day, play

FAKE = Path(__file__).parent / "environment" / "fake_page.py"
MOVES: list[dict[str, Any]] = [
    {"pause": True},
    {"resume": True},
    {"speed": 2000.0},
    {"speed": None},
    {"step_s": 1},
    {"step_s": 900},
    {"step_messages": 1},
    {"step_messages": 20},
]


class Listener:
    """What the run tells whoever follows it, and its files while it lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[tuple[str, ...]] = []
        self.access: dict[str, Any] = {}
        self.access_mode = 0

    def stage(self, text: str) -> None:
        self.told.append(("stage", text))
        if text == "writing the report":
            shutil.copy(self.folder / LIVE_ROWS, self.folder.parent / LIVE_ROWS)

    def listening(self, address: str, domain: str, ca_file: Path) -> None:
        self.access = json.loads((self.folder / ACCESS).read_text(encoding="utf-8"))
        self.access_mode = (self.folder / ACCESS).stat().st_mode & 0o777

    def watching(self, address: str) -> None:
        self.told.append(("watching", address))

    def chatting(self, observer: str) -> None:
        self.told.append(("chatting", observer))

    def say(self, line: str) -> None:
        self.told.append(("say", line))

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None: ...


def with_page(folder: Path, manner: str, moves: list[dict[str, Any]] | None = None) -> tuple[Day, Listener]:
    """The small evening beside a page of that manner, whose clock begins as fast as it goes."""
    listener = Listener(folder / "run")
    words = json.dumps([json.dumps(move) for move in moves or []])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_process, "COMMAND", (sys.executable, str(FAKE), manner, str(folder / "heard"), words))
        return play(folder / "run", listener=listener, web=0), listener


def heard(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "heard").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def meddled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Day, Listener, Path]:
    """The small evening, paused, stepped and hurried at random moments of the wall."""
    folder = tmp_path_factory.mktemp("watched")
    return *with_page(folder, "meddles", MOVES), folder


def test_a_run_that_is_watched_paused_and_stepped_says_the_same_byte_for_byte(
    small: Day, meddled: tuple[Day, Listener, Path]
) -> None:
    watched = meddled[0]
    assert (watched.folder / TRACE).read_bytes() == (small.folder / TRACE).read_bytes()
    assert (watched.folder / SERIES).read_bytes() == (small.folder / SERIES).read_bytes()
    assert watched.postings == small.postings
    assert watched.outcome == small.outcome


def test_the_page_is_told_how_the_run_is_until_it_has_ended(small: Day, meddled: tuple[Day, Listener, Path]) -> None:
    lines = heard(meddled[2])
    assert lines[0]["live"]
    assert lines[0]["title"] == "A small evening"
    statuses = [line["status"] for line in lines if "status" in line]
    assert statuses[0]["state"] == "starting"
    assert {each["state"] for each in statuses} == {"starting", "running", "paused", "ended"}
    assert "negotiating" in {each["stage"] for each in statuses}
    times = [datetime.fromisoformat(each["at"]) for each in statuses if "at" in each]
    assert times == sorted(times), "time never goes back"
    messages = [each["messages"] for each in statuses if "messages" in each]
    assert messages == sorted(messages)
    last = statuses[-1]
    assert (last["state"], last["messages"], last["deterministic"]) == ("ended", len(small.messages), True)
    notices = [line["notice"] for line in lines if "notice" in line]
    assert notices == [each for each in small.warnings if each in notices]


def test_the_user_is_told_where_the_page_is_and_of_no_chat_where_nobody_may_watch(
    meddled: tuple[Day, Listener, Path],
) -> None:
    told = [line for line in meddled[1].told if line[0] != "stage"]
    assert told == [("watching", "http://127.0.0.1:0/")]


def test_the_rows_of_the_run_while_it_lasts_are_those_of_its_series(meddled: tuple[Day, Listener, Path]) -> None:
    day, _, folder = meddled
    assert not (day.folder / LIVE_ROWS).exists()
    live, kept = LiveRows.open(folder / LIVE_ROWS), of_series(day.folder / SERIES)
    live.read_on()
    assert live.columns == kept.columns
    assert live.span == kept.span
    np.testing.assert_array_equal(live.at, kept.at)
    np.testing.assert_array_equal(live.values, kept.values)
    live.close()


def test_where_the_server_is_stands_in_the_folder_while_the_run_lasts(meddled: tuple[Day, Listener, Path]) -> None:
    day, listener, _ = meddled
    assert listener.access == {
        "host": "127.0.0.1",
        "port": listener.access["port"],
        "domain": "localhost",
        "ca": str(day.folder / "server" / "ca.pem"),
        "admit": None,
        "process": os.getpid(),
    }
    assert listener.access["port"] > 0
    assert listener.access_mode == 0o600
    assert not (day.folder / ACCESS).exists()


def test_a_page_that_cannot_be_served_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="port 1 is for others"):
        with_page(tmp_path, "cannot")
    assert not (tmp_path / "run").exists()


def test_a_page_that_dies_is_told_and_the_run_goes_on_from_its_pause(small: Day, tmp_path: Path) -> None:
    day, listener = with_page(tmp_path, "dies", [{"pause": True}])
    assert ("say", "the page has ended (out of memory); the run goes on") in listener.told
    assert day.trace == small.trace
