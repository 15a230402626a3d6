"""The swarm's side of the page: what its buttons do to the clock, and that no page can hold up or end a run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from environment import page_process
from environment.clock import ScaledClock, VirtualClock, run
from environment.pace import Pace, Paced
from environment.page_process import PageError, PageProcess

START = datetime(2026, 6, 1, tzinfo=UTC)
FAKE = Path(__file__).with_name("fake_page.py")
PATIENCE_S = 60.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Show:
    """A page that behaves in one manner, what it hears, and what the user is told."""

    def __init__(self, folder: Path, manner: str, *words: Any, address: str = "127.0.0.1") -> None:
        self.heard = folder / "heard.txt"
        self.told: list[str] = []
        said = [word if isinstance(word, str) else json.dumps(word) for word in words]
        self.page = PageProcess(
            folder,
            live=True,
            address=address,
            port=4711,
            title="A small evening",
            tell=self.told.append,
            command=(sys.executable, str(FAKE), manner, str(self.heard), json.dumps(said)),
        )

    def lines(self) -> list[dict[str, Any]]:
        """What the page has heard so far, its settings first."""
        return [json.loads(line) for line in self.heard.read_text(encoding="utf-8").splitlines()]

    def statuses(self) -> list[dict[str, Any]]:
        return [line["status"] for line in self.lines() if "status" in line]


@contextmanager
def showing(folder: Path, manner: str, *words: Any, address: str = "127.0.0.1") -> Iterator[Show]:
    show = Show(folder, manner, *words, address=address)
    with show.page:
        yield show


async def until(holds: Callable[[], bool]) -> None:
    """Waits until something holds that the page's process brings about."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 (it is another process: nothing here can be awaited)
            await asyncio.sleep(0.01)


def watched(show: Show, clock: VirtualClock | ScaledClock, course: Callable[[], Any]) -> None:
    """Runs `course()` with the page beside it."""

    async def main() -> None:
        with clock.outstanding():
            await show.page.ready()
        paced: Paced | None = clock if isinstance(clock, ScaledClock) else clock.pace
        assert paced is not None
        show.page.attach(paced, lambda: {"messages": 7, "deterministic": True})
        clock.go()
        show.page.state("running")
        try:
            await course()
        finally:
            show.page.detach()

    run(main, clock)


def test_the_page_is_told_what_to_show_and_says_where_it_is(tmp_path: Path) -> None:
    with showing(tmp_path, "good") as show:
        assert show.page.wait_ready() == "http://127.0.0.1:4711/"
    assert show.lines() == [
        {
            "folder": str(tmp_path),
            "live": True,
            "address": "127.0.0.1",
            "port": 4711,
            "token": None,
            "title": "A small evening",
        }
    ]


def test_who_opens_it_from_elsewhere_needs_a_token_that_is_in_the_address(tmp_path: Path) -> None:
    tokens = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        with showing(tmp_path / str(number), "good", address="0.0.0.0") as show:
            url = show.page.wait_ready()
        tokens.append(show.lines()[0]["token"])
        assert len(tokens[-1]) >= 32
        assert url.endswith(f"token={tokens[-1]}")
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize(
    ("manner", "line"),
    [
        ("cannot", "the page cannot be served: port 1 is for others"),
        ("breaks", "the page cannot be started: no such framework"),
        ("mumbles", "the page cannot be served: hello"),
    ],
)
@pytest.mark.parametrize("inside", [True, False], ids=["in a loop", "without"])
def test_a_page_that_does_not_come_up_says_why(tmp_path: Path, manner: str, line: str, inside: bool) -> None:
    async def ready() -> str:
        return await show.page.ready()

    with showing(tmp_path, manner) as show, pytest.raises(PageError) as error:
        run(ready, VirtualClock(START)) if inside else show.page.wait_ready()
    assert str(error.value) == line


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="the page cannot be started: No such file"):
        PageProcess(
            tmp_path, live=False, address="::1", port=0, title="", tell=print, command=(str(tmp_path / "none"),)
        )


@pytest.mark.parametrize("inside", [True, False], ids=["in a loop", "without"])
def test_a_page_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool) -> None:
    monkeypatch.setattr(page_process, "START_S", 0.1)
    command = (sys.executable, "-c", "import sys; sys.stdin.readlines()")
    with (
        PageProcess(tmp_path, live=True, address="127.0.0.1", port=0, title="", tell=print, command=command) as page,
        pytest.raises(PageError, match="has not come up"),
    ):
        run(page.ready, VirtualClock(START)) if inside else page.wait_ready()


def test_its_buttons_move_the_clock(tmp_path: Path) -> None:
    pace = Pace(0.001)
    clock = VirtualClock(START, pace)
    reached: list[datetime] = []

    async def course() -> None:
        for seconds in (59, 61):
            clock.call_at(at(seconds), lambda: reached.append(clock.now()))
        await until(lambda: bool(reached) and pace.paused)
        assert at(60) <= pace.now() < at(61)
        assert pace.speed == 120.0

    with showing(tmp_path, "good", {"pause": True}, {"speed": 120}, {"step_s": 60}) as show:
        watched(show, clock, course)
    assert reached == [at(59)]
    assert show.told == []


def test_a_step_by_one_message_and_on_as_fast_as_it_goes(tmp_path: Path) -> None:
    moved: list[Any] = []

    class Clock(Pace):
        def step_message(self, count: int = 1) -> None:
            moved.append(count)

        def set_speed(self, speed: float | None) -> None:
            moved.append(speed)

        def resume(self) -> None:
            moved.append("resume")

    async def course() -> None:
        await until(lambda: len(moved) == 4)

    with showing(tmp_path, "good", {"step_messages": 1}, {"speed": None}, {"speed": 1.5}, {"resume": True}) as show:
        watched(show, VirtualClock(START, Clock()), course)
    assert moved == [1, None, 1.5, "resume"]


def test_the_page_hears_the_state_and_every_notice(tmp_path: Path) -> None:
    pace = Pace(60.0)
    clock = VirtualClock(START, pace)

    async def course() -> None:
        show.page.stage("negotiating")
        show.page.notice("00:00 vpp-1: a ä€😀 " + 5000 * "x")
        pace.pause()
        await until(lambda: any(each["state"] == "paused" for each in show.statuses()))
        await until(lambda: any("notice" in line for line in show.lines()))

    with showing(tmp_path, "good") as show:
        show.page.stage("starting")
        watched(show, clock, course)
        show.page.state("ended")
    assert show.statuses()[0] == {"state": "starting", "stage": "starting"}
    paused = next(each for each in show.statuses() if each["state"] == "paused")
    assert paused == {
        "at": pace.now().isoformat(),
        "state": "paused",
        "speed": 60.0,
        "stage": "negotiating",
        "messages": 7,
        "deterministic": True,
    }
    assert show.statuses()[-1]["state"] == "ended"
    assert [line["notice"][:24] for line in show.lines() if "notice" in line] == ["00:00 vpp-1: a ä€😀 xxxxxxx"[:24]]


def test_a_speed_that_the_clock_cannot_keep_is_told_on_the_page(tmp_path: Path) -> None:
    async def course() -> None:
        await until(lambda: any("notice" in line for line in show.lines()))

    with showing(tmp_path, "good", {"speed": None}) as show:
        watched(show, ScaledClock(START, 60.0, held=True), course)
    assert [line for line in show.lines() if "notice" in line] == [
        {"notice": "a run with --speed keeps to the wall clock: it cannot go as fast as it goes"}
    ]
    assert show.told == []


NONSENSE = [
    "{",
    "[1]",
    "\x00\xff",
    '{"speed": "fast"}',
    '{"speed": true}',
    '{"speed": [1]}',
    '{"step_s": -1}',
    '{"step_s": 1e308}',
    '{"step_messages": 0.5}',
    '{"pause": 1.5}',
    "{}",
    "[" * 3000,
]


def test_what_is_no_word_to_the_clock_is_left_out_and_said_once(tmp_path: Path) -> None:
    pace = Pace(60.0)

    async def course() -> None:
        await until(lambda: pace.paused)

    with showing(tmp_path, "good", *NONSENSE, {"pause": True}) as show:
        watched(show, VirtualClock(START, pace), course)
    assert pace.speed == 60.0
    assert show.told == ["the page has sent what is no word to the clock; it is left out"]


def test_a_page_that_never_reads_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_process, "STOP_S", 0.1)
    clock = VirtualClock(START, Pace())

    async def course() -> None:
        for number in range(2000):
            show.page.notice(f"{number} {300 * 'x'}")
            show.page.stage(f"stage {number} {300 * 'x'}")
        await clock.sleep_until(at(3600))

    with showing(tmp_path, "deaf") as show:
        watched(show, clock, course)
    assert clock.now() == at(3600)


def test_a_page_that_catches_up_is_told_how_many_notices_it_missed(tmp_path: Path) -> None:
    async def course() -> None:
        for number in range(1000):
            show.page.notice(f"notice {number}")
        await until(lambda: any("800 notices could not be shown" in line.get("notice", "") for line in show.lines()))

    with showing(tmp_path, "good") as show:
        watched(show, VirtualClock(START, Pace()), course)
    assert [line["notice"] for line in show.lines() if "notice" in line][:200] == [f"notice {n}" for n in range(200)]


@pytest.mark.parametrize("word", ["nonsense\n", '{"speed": 1000000}\n', "no end of line "])
def test_a_page_that_talks_without_end_does_not_keep_time_from_passing(tmp_path: Path, word: str) -> None:
    """The clock hands out an event when no socket is ready: it must not see that pipe."""
    clock = VirtualClock(START, Pace(1_000_000.0))

    async def course() -> None:
        await clock.sleep_until(at(500_000))

    with showing(tmp_path, "floods", word) as show:
        watched(show, clock, course)
    assert clock.now() == at(500_000)


def test_the_death_of_the_page_is_one_line_and_a_paused_run_goes_on(tmp_path: Path) -> None:
    pace = Pace(None)
    clock = VirtualClock(START, pace)

    async def course() -> None:
        pace.pause()
        await clock.sleep_until(at(60))
        show.page.notice("nobody hears this")
        show.page.stage("and it harms nobody")

    with showing(tmp_path, "dies") as show:
        watched(show, clock, course)
        show.page.state("ended")
        show.page.stay()
    assert show.told == ["the page has ended (out of memory); the run goes on"]


def test_a_page_that_shuts_its_pipe_and_lives_on_does_not_hold_up_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_process, "STOP_S", PATIENCE_S)

    async def course() -> None:
        began = time.monotonic()
        await until(lambda: bool(show.told))
        assert time.monotonic() - began < PATIENCE_S / 2

    with showing(tmp_path, "hangs up") as show:
        watched(show, VirtualClock(START, Pace(None)), course)
    assert show.told == ["the page has ended (exit code -9); the run goes on"]


def test_after_the_run_the_page_stays_until_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[None] = []

    def ctrl_c(_: float) -> None:
        looks.append(None)
        if len(looks) > 2 and show.statuses():  # it has said its word, and hears
            raise KeyboardInterrupt
        time.sleep(0.01)

    with showing(tmp_path, "good", {"pause": True}) as show:
        show.page.wait_ready()
        show.page.state("ended")
        monkeypatch.setattr(page_process, "time", SimpleNamespace(sleep=ctrl_c))
        show.page.stay()
    assert show.told == []
    assert show.statuses()[-1] == {"state": "ended"}


def test_a_page_that_dies_after_the_run_is_one_line(tmp_path: Path) -> None:
    with showing(tmp_path, "dies") as show:
        show.page.wait_ready()
        show.page.stay()
    assert show.told == ["the page has ended (out of memory)"]


def test_its_process_gives_way_to_the_swarm(tmp_path: Path) -> None:
    with showing(tmp_path, "good") as show:
        show.page.wait_ready()
        assert show.page._process is not None
        nice = os.getpriority(os.PRIO_PROCESS, show.page._process.pid)
    assert nice == max(page_process.NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
