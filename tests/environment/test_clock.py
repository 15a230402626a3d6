"""The clocks: what happens when, and that real sockets do not disturb it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from environment.clock import ScaledClock, VirtualClock, run

START = datetime(2026, 6, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_time_jumps_to_the_next_timer_and_stands_there() -> None:
    clock = VirtualClock(START)

    async def main() -> list[datetime]:
        seen = []
        for hour in (1, 20):
            await clock.sleep_until(START + timedelta(hours=hour))
            seen.append(clock.now())
        return seen

    assert run(main, clock) == [START + timedelta(hours=1), START + timedelta(hours=20)]


def test_equal_times_go_by_priority_then_by_order_of_setting() -> None:
    clock = VirtualClock(START)
    order: list[str] = []

    async def main() -> None:
        for name, seconds, priority in [("c", 5, 10), ("d", 5, 10), ("e", 6, 0), ("b", 5, 1), ("a", 4, 99)]:
            clock.call_at(at(seconds), lambda name=name: order.append(name), priority=priority)
        await clock.sleep_until(at(7))

    run(main, clock)
    assert "".join(order) == "abcde"


def test_a_cancelled_timer_is_not_called() -> None:
    clock = VirtualClock(START)
    order: list[str] = []

    async def main() -> None:
        clock.call_at(at(1), lambda: order.append("kept"))
        clock.call_at(at(2), lambda: order.append("cancelled")).cancel()
        await clock.sleep_until(at(3))

    run(main, clock)
    assert order == ["kept"]


def test_a_timer_in_the_past_is_called_now_and_time_never_goes_back() -> None:
    clock = VirtualClock(START)

    async def main() -> datetime:
        await clock.sleep_until(at(10))
        await clock.sleep_until(at(5))
        return clock.now()

    assert run(main, clock) == at(10)


def test_everything_an_event_started_is_done_before_the_next_event() -> None:
    clock = VirtualClock(START)
    order: list[str] = []

    async def chain(name: str) -> None:
        for step in range(3):
            order.append(f"{name}{step}")
            await asyncio.sleep(0)

    async def main() -> None:
        tasks: list[asyncio.Task[None]] = []
        for name in "ab":
            clock.call_at(at(1), lambda name=name: tasks.append(asyncio.ensure_future(chain(name))))
        await clock.sleep_until(at(2))

    run(main, clock)
    assert order == ["a0", "a1", "a2", "b0", "b1", "b2"]


def test_idle_calls_come_before_time_passes_and_in_order() -> None:
    clock = VirtualClock(START)
    order: list[tuple[str, datetime]] = []

    def note(name: str) -> None:
        order.append((name, clock.now()))

    async def main() -> None:
        clock.call_at(at(1), lambda: note("timer"))
        clock.call_idle(lambda: (note("first"), clock.call_idle(lambda: note("third"))))
        clock.call_idle(lambda: note("second"))
        await clock.sleep_until(at(2))

    run(main, clock)
    assert order == [("first", START), ("second", START), ("third", START), ("timer", at(1))]


def test_time_does_not_pass_while_a_socket_is_awaited() -> None:
    clock = VirtualClock(START)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def main() -> list[datetime]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        fired: list[datetime] = []
        clock.call_at(at(1), lambda: fired.append(clock.now()))
        with clock.outstanding():
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            assert await reader.readline() == b"hello\n"
            before = clock.now()
        assert (before, fired) == (START, [])
        writer.close()
        await writer.wait_closed()
        await clock.sleep_until(at(3))
        server.close()
        return fired

    assert run(main, clock) == [at(1)]


def test_time_does_not_pass_while_a_thread_is_awaited_as_outstanding() -> None:
    clock = VirtualClock(START)

    async def main() -> datetime:
        clock.call_at(at(1), lambda: None)
        with clock.outstanding():
            await asyncio.to_thread(sum, range(100_000))
        return clock.now()

    assert run(main, clock) == START


def test_an_error_in_a_timer_does_not_stop_the_clock() -> None:
    clock = VirtualClock(START)
    errors: list[str] = []

    async def main() -> datetime:
        asyncio.get_running_loop().set_exception_handler(lambda _, c: errors.append(repr(c["exception"])))
        clock.call_at(at(1), lambda: 1 / 0)
        await clock.sleep_until(at(2))
        return clock.now()

    assert run(main, clock) == at(2)
    assert errors == ["ZeroDivisionError('division by zero')"]


def test_cancelling_a_sleep_takes_its_timer_off_the_agenda() -> None:
    clock = VirtualClock(START)

    async def main() -> datetime:
        sleeper = asyncio.ensure_future(clock.sleep_until(at(1)))
        await asyncio.sleep(0)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeper
        await clock.sleep_until(at(5))
        return clock.now()

    assert run(main, clock) == at(5)


@pytest.mark.parametrize("clock", [VirtualClock(START), ScaledClock(START, 60)], ids=["virtual", "scaled"])
def test_a_time_without_zone_is_refused(clock: VirtualClock | ScaledClock) -> None:
    with pytest.raises(ValueError, match="has no zone"):
        clock.call_at(datetime(2026, 6, 1), lambda: None)  # noqa: DTZ001


def test_the_hour_that_comes_twice_is_slept_twice() -> None:
    zone = ZoneInfo("Europe/Ljubljana")
    clock = VirtualClock(datetime(2026, 10, 25, 2, 30, tzinfo=zone))

    async def main() -> timedelta:
        before = clock.now()
        await clock.sleep_until(datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zone))
        return clock.now() - before

    assert run(main, clock) == timedelta(hours=1)


def test_scaled_time_follows_the_wall_and_keeps_the_order() -> None:
    clock = ScaledClock(START, 100_000)
    order: list[str] = []

    async def main() -> tuple[datetime, float]:
        wall = asyncio.get_running_loop().time()
        clock.call_at(at(2000), lambda: order.append("c"))
        clock.call_at(at(1000), lambda: order.append("b"), priority=10)
        clock.call_at(at(1000), lambda: order.append("a"), priority=1)
        clock.call_at(at(1500), lambda: order.append("never")).cancel()
        await clock.sleep_until(at(3000))
        return clock.now(), asyncio.get_running_loop().time() - wall

    now, wall = run(main, clock)
    assert "".join(order) == "abc"
    assert now >= at(3000)
    assert wall >= 0.029


def test_a_speed_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        ScaledClock(START, 0)
