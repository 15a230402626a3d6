"""Watching changes nothing: a pace says when events happen, and never which."""

from __future__ import annotations

import asyncio
import random
import selectors
import socket
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from environment.clock import ScaledClock, VirtualClock, _IdleSelector, run
from environment.pace import Pace, PaceError

START = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class Wall:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def begun(speed: float | None, wall: Wall) -> Pace:
    pace = Pace(speed, wall=wall)
    pace.stand_at(START)
    pace.begin()
    return pace


def test_an_event_waits_until_the_wall_has_come_to_it() -> None:
    wall = Wall()
    pace = begun(60.0, wall)
    assert pace.wait(at(90)) == pytest.approx(1.5)
    wall.s += 1.0
    assert pace.wait(at(90)) == pytest.approx(0.5)
    assert pace.now() == at(60)
    wall.s += 0.5
    assert pace.wait(at(90)) == 0.0
    assert pace.wait(at(150)) == pytest.approx(1.0)


def test_time_between_two_events_is_not_beyond_the_next() -> None:
    wall = Wall()
    pace = begun(60.0, wall)
    pace.wait(at(90))
    wall.s += 100.0
    assert pace.now() == at(90)


def test_time_that_was_told_does_not_run_backwards_when_a_letter_comes_between_two_events() -> None:
    wall = Wall()
    pace = begun(60.0, wall)
    pace.wait(at(90))
    wall.s += 1.0
    assert pace.now() == at(60)
    assert pace.wait(at(0)) == 0.0
    assert pace.now() == at(60)
    assert pace.wait(at(90)) == pytest.approx(0.5)


def test_where_somebody_is_waited_for_nothing_later_happens_before_the_beginning() -> None:
    wall = Wall()
    pace = Pace(60.0, held=True, wall=wall)
    pace.stand_at(START)
    assert pace.wait(START) == 0.0
    assert pace.wait(at(60)) is None
    wall.s += 100.0
    pace.begin()
    assert pace.wait(at(60)) == pytest.approx(1.0)


def test_a_run_that_fell_behind_makes_up_for_a_second_of_the_wall_and_no_more() -> None:
    wall = Wall()
    pace = begun(60.0, wall)
    pace.wait(at(60))
    wall.s += 30.0
    assert pace.wait(at(60)) == 0.0
    assert [pace.wait(at(120)), pace.wait(at(180))] == [0.0, pytest.approx(1.0)]


def test_as_fast_as_it_goes_nothing_waits() -> None:
    pace = begun(None, Wall())
    assert [pace.wait(at(1e6)), pace.wait(at(2e6))] == [0.0, 0.0]
    assert pace.now() == at(2e6)


def test_a_pause_holds_timers_and_letters_and_counts_no_time() -> None:
    wall = Wall()
    pace = begun(60.0, wall)
    pace.wait(at(90))
    wall.s += 1.0
    pace.pause()
    wall.s += 1000.0
    assert (pace.wait(START), pace.wait(at(90)), pace.now()) == (None, None, at(60))
    pace.resume()
    assert pace.wait(at(90)) == pytest.approx(0.5)


def test_another_speed_counts_from_here() -> None:
    wall = Wall()
    pace = begun(1.0, wall)
    pace.wait(at(60))
    wall.s += 30.0
    pace.set_speed(10.0)
    assert pace.wait(at(60)) == pytest.approx(3.0)
    pace.set_speed(None)
    assert pace.wait(at(60)) == 0.0


def test_steps_add_up_also_where_nothing_happens_in_them() -> None:
    pace = begun(60.0, Wall())
    for _ in range(3):
        pace.step(timedelta(seconds=60))
        assert pace.wait(at(200)) is None
    assert (pace.now(), pace.paused) == (at(180), True)
    pace.step(timedelta(seconds=60))
    assert not pace.paused
    assert [pace.wait(at(200)), pace.wait(at(240)), pace.wait(at(240.1))] == [0.0, 0.0, None]
    assert (pace.now(), pace.paused) == (at(240), True)


def test_a_step_by_message_ends_when_one_more_was_recorded() -> None:
    pace = begun(60.0, Wall())
    recorded = [7]
    pace.messages = lambda: recorded[0]
    pace.step_message()
    assert [pace.wait(at(3000)), pace.wait(at(6000))] == [0.0, 0.0]
    recorded[0] = 10
    assert pace.wait(at(6000)) is None
    assert pace.paused
    pace.step_message(2)
    recorded[0] = 11
    assert pace.wait(at(6001)) == 0.0
    recorded[0] = 12
    assert pace.wait(at(6001)) is None


def test_a_step_is_ended_by_pause_and_by_resume() -> None:
    pace = begun(60.0, Wall())
    pace.step(HOUR)
    pace.pause()
    assert pace.wait(START) is None
    pace.step(HOUR)
    pace.resume()
    assert pace.wait(at(60)) == pytest.approx(1.0)


def test_before_the_swarm_is_there_nothing_is_held_and_a_pause_waits_for_the_beginning() -> None:
    pace = Pace(60.0, wall=Wall())
    pace.stand_at(START)
    pace.pause()
    assert pace.wait(at(0)) == 0.0
    pace.begin()
    assert pace.wait(at(0)) is None


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf"), 1e300, 1e-300, 10**400])
@pytest.mark.parametrize("clock", [begun(60.0, Wall()), ScaledClock(START, 60.0)], ids=["virtual", "scaled"])
def test_a_speed_at_which_no_time_passes_is_refused(clock: Any, speed: float) -> None:
    with pytest.raises(PaceError, match="must be above 0"):
        clock.set_speed(speed)
    assert clock.speed == 60.0


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(PaceError, match="a step of 0 s"):
        begun(60.0, Wall()).step(timedelta(0))
    with pytest.raises(PaceError, match="a step of 0 messages"):
        begun(60.0, Wall()).step_message(0)


# ---- the clocks ------------------------------------------------------------------------------------------------------


def chatter(clock: VirtualClock, meddle: Any = None) -> list[str]:
    """What happens in a little world of timers, letters, tasks and real sockets, in its order."""
    told: list[str] = []

    def say(text: str) -> None:
        told.append(f"{clock.now():%H:%M:%S.%f} {text}")

    async def agent(name: str, peer: tuple[str, int], every: float) -> None:
        draw = random.Random(name)
        for number in range(40):
            await clock.sleep_until(clock.now() + timedelta(seconds=every * draw.choice((0, 1, 1, 3))))
            say(f"{name} wakes {number}")
            for _ in range(draw.randrange(4)):
                clock.call_idle(partial(say, f"letter {number} of {name}"))
            if not number % 8:
                with clock.outstanding():
                    reader, writer = await asyncio.open_connection(*peer)
                    writer.write(b"x\n")
                    assert await reader.readline() == b"x\n"
                    writer.close()
                    await writer.wait_closed()
                say(f"{name} was answered")

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        clock.go()
        moves = asyncio.ensure_future(meddle()) if meddle is not None else None
        await asyncio.gather(*(agent(f"a{n}", server.sockets[0].getsockname(), 10.0 + n % 3) for n in range(12)))
        if moves is not None:
            moves.cancel()
        server.close()

    run(main, clock)
    return told


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_events_is_the_same_at_every_pace(seed: int) -> None:
    """Pauses, steps and speeds at any moment of the wall: what happens is the same, byte for byte."""
    draw = random.Random(seed)
    done: list[None] = []
    pace = Pace(draw.choice((None, 1000.0)))
    pace.messages = lambda: len(done)
    moves: list[Any] = [
        pace.pause,
        pace.resume,
        lambda: pace.set_speed(draw.choice((300.0, 3000.0, 100_000.0))),
        lambda: pace.step(timedelta(seconds=draw.uniform(0.1, 60))),
        pace.step_message,
    ]
    count = 0

    async def meddle() -> None:
        nonlocal count
        while True:
            draw.choice(moves)()
            done.append(None)
            count += 1
            await asyncio.sleep(draw.choice((0, 0, 0.001, 0.003)))
            if count > 150:
                pace.set_speed(None)
                pace.resume()
                return

    assert chatter(VirtualClock(START, pace), meddle) == chatter(VirtualClock(START))
    assert count > 5


def test_a_paused_run_with_open_sockets_waits_without_work() -> None:
    pace = Pace(None)
    clock = VirtualClock(START, pace)
    order: list[str] = []

    async def main() -> None:
        here, there = socket.socketpair()
        here.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.add_reader(here, lambda: order.append("never"))
        clock.go()
        clock.call_at(at(1), lambda: order.append("timer"))
        clock.call_idle(lambda: order.append("letter"))
        pace.pause()
        loop.call_later(0.3, pace.resume)
        await clock.sleep_until(at(2))
        loop.remove_reader(here)
        here.close()
        there.close()

    asked = 0
    wait = pace.wait

    def counting(due: datetime) -> float | None:
        nonlocal asked
        asked += 1
        return wait(due)

    pace.wait = counting  # type: ignore[method-assign]
    run(main, clock)
    assert order == ["letter", "timer"]
    assert asked < 20, "the loop asks when something has happened, not all the time"


def test_an_event_that_is_weeks_away_asks_no_more_of_the_selector_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float | None] = []

    def select(self: object, timeout: float | None = None) -> list[object]:
        waited.append(timeout)
        return []

    monkeypatch.setattr(selectors.DefaultSelector, "select", select)
    _IdleSelector(lambda: 1e12).select(None)
    assert waited == [0, 86_400.0]


def test_a_run_at_a_speed_is_asked_once_for_each_event() -> None:
    pace = Pace(1000.0)
    clock = VirtualClock(START, pace)
    asked: list[datetime] = []
    wait = pace.wait

    def counting(due: datetime) -> float | None:
        asked.append(due)
        return wait(due)

    pace.wait = counting  # type: ignore[method-assign]

    async def main() -> datetime:
        clock.go()
        before = time.monotonic()
        await clock.sleep_until(at(50))
        assert time.monotonic() - before >= 0.05
        return clock.now()

    assert run(main, clock) == at(50)
    assert len(asked) < 10


def test_scaled_time_stands_while_paused_and_letters_are_held_in_order() -> None:
    clock = ScaledClock(START, 1000.0)
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock.call_at(at(10), lambda: order.append("timer"))
        clock.pause()
        stood = clock.now()
        for name in "ab":
            clock.call_idle(partial(order.append, name))
        rung = asyncio.Event()
        loop.call_later(0.05, rung.set)  # 50 s of the scenario, were it not paused
        await rung.wait()
        assert clock.paused
        assert (clock.now(), order) == (stood, [])
        clock.resume()
        assert clock.now() - stood < timedelta(seconds=10)
        await clock.sleep_until(at(20))

    run(main, clock)
    assert order == ["a", "b", "timer"]


def test_scaled_time_goes_on_from_where_it_is_at_another_speed() -> None:
    clock = ScaledClock(START, 0.001)

    async def main() -> None:
        due = asyncio.ensure_future(clock.sleep_until(at(3600)))
        await asyncio.sleep(0)
        before = clock.now()
        clock.set_speed(1_000_000.0)
        assert clock.now() >= before
        await due
        assert clock.now() >= at(3600)

    run(main, clock)


def test_scaled_time_that_is_held_begins_paused_where_that_was_asked_for() -> None:
    clock = ScaledClock(START, 1000.0, held=True)

    async def main() -> None:
        handed = asyncio.Event()
        clock.pause()
        clock.call_idle(handed.set)
        await handed.wait()
        clock.go()
        assert (clock.now(), clock.paused) == (START, True)
        clock.resume()
        await clock.sleep_until(at(1))

    run(main, clock)


def test_scaled_time_neither_steps_nor_goes_as_fast_as_it_goes() -> None:
    clock = ScaledClock(START, 60.0)
    with pytest.raises(PaceError, match="leave --speed out"):
        clock.step(HOUR)
    with pytest.raises(PaceError, match="leave --speed out"):
        clock.step_message()
    with pytest.raises(PaceError, match="cannot go as fast as it goes"):
        clock.set_speed(None)
