"""Scenario time: virtual (jumps when nobody is busy) or scaled (wall time times a factor).

The virtual clock sits in the event loop's selector. The loop asks the selector to block only when no callback is
ready; that is the moment when all the consequences of the last event have been worked off. If no socket has
anything to say and nothing of the real world is outstanding, the clock then hands out exactly one event: the next
call of `call_idle` (a letter), else the earliest timer, and time jumps to it. Events are so worked off one by one,
in an order that depends on the run alone: one seed gives one trace, though device calls go over real sockets.

`loop.time()`, `asyncio.sleep` and `asyncio.timeout` keep to the wall, as the libraries that guard sockets expect.
A thread's result is not seen coming: whoever awaits one enters `outstanding()`.

Where somebody watches, a pace (`environment.pace`) says when the virtual clock may hand out its next event, never
which.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol, TypeVar

from environment.pace import Pace, PaceError, checked_speed

_T = TypeVar("_T")
Callback = Callable[[], object]
_LONGEST_WAIT_S = 86_400.0
"""A selector cannot wait for weeks; it is asked again after this."""
_NO_STEPS = "a run with --speed keeps to the wall clock: leave --speed out for a run that can be stepped"


class AgendaTimer:
    """An entry of the agenda, ordered by time, then priority, then the order in which it was made."""

    __slots__ = ("at", "callback", "key")

    def __init__(self, at: datetime, priority: int, number: int, callback: Callback) -> None:
        self.at = at
        self.key = (at, priority, number)
        self.callback: Callback | None = callback

    def __lt__(self, other: AgendaTimer) -> bool:
        return self.key < other.key

    def cancel(self) -> None:
        self.callback = None


class Agenda:
    """The timers that are set, the earliest first. Cancelled ones are dropped when they come to the top."""

    def __init__(self) -> None:
        self._heap: list[AgendaTimer] = []
        self._numbers = count()

    def add(self, at: datetime, priority: int, callback: Callback) -> AgendaTimer:
        timer = AgendaTimer(at, priority, next(self._numbers), callback)
        heapq.heappush(self._heap, timer)
        return timer

    def first(self) -> AgendaTimer | None:
        """The earliest timer that is still set."""
        while self._heap and self._heap[0].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def take(self) -> AgendaTimer:
        """Removes the timer that `first` has shown."""
        return heapq.heappop(self._heap)


class IdleTime:
    """A wall clock, in s, that goes only while a virtual clock has nothing to hand out before a time that is to come.

    A pace by it leaves systems outside their share of the wall, however long the swarm computes, or waits for them to
    acknowledge a letter.
    """

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


class LoopClock(Protocol):
    """A clock that brings its own event loop."""

    def make_loop(self) -> asyncio.AbstractEventLoop: ...


class _BaseClock:
    """What both clocks share: the agenda, the queue of idle calls, and what is outstanding."""

    def __init__(self, start: datetime) -> None:
        self._start = _utc(start)
        self._agenda = Agenda()
        self._idle: deque[Callback] = deque()
        self._outstanding = 0
        self._halted = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> datetime:
        raise NotImplementedError

    def call_at(self, at: datetime, callback: Callback, *, priority: int = 10) -> AgendaTimer:
        return self._agenda.add(max(_utc(at), self.now()), priority, callback)

    async def sleep_until(self, at: datetime, *, priority: int = 10) -> None:
        due = asyncio.Event()
        timer = self.call_at(at, due.set, priority=priority)
        try:
            await due.wait()
        finally:
            timer.cancel()

    def go(self) -> None:
        """Scenario time begins to pass. A virtual clock needs no word: nothing is due before the start."""

    def halt(self) -> None:
        """Scenario time ends here: no timer fires any more and no letter is handed over, while the swarm is stopped."""
        self._halted = True

    @contextmanager
    def outstanding(self) -> Iterator[None]:
        self._outstanding += 1
        try:
            yield
        finally:
            self._outstanding -= 1


class VirtualClock(_BaseClock):
    """Scenario time that jumps from timer to timer, as fast as the agents work, or as `pace` allows. Give it to
    `run`. `idle` is told how long it had nothing to do."""

    def __init__(self, start: datetime, pace: Pace | None = None, idle: IdleTime | None = None) -> None:
        super().__init__(start)
        self._now = self._start
        self.idle = idle or IdleTime()
        self.pace = pace
        if pace is not None:
            pace.stand_at(self._start)

    def now(self) -> datetime:
        return self._now

    def call_idle(self, callback: Callback) -> None:
        self._idle.append(callback)

    def go(self) -> None:
        """Scenario time begins to pass. Only a pace needs the word: nothing is due before the start."""
        if self.pace is not None:
            self.pace.begin()

    def make_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.SelectorEventLoop(_IdleSelector(self._next_event, self.idle))
        return self._loop

    def _next_event(self) -> float | None:
        """Hands the loop the next event: 0.0. Else the wall seconds after which there may be one, or None when there is
        none, or time may not pass."""
        assert self._loop is not None
        if self._outstanding or self._halted:
            return None
        timer = None if self._idle else self._agenda.first()
        if timer is None and not self._idle:
            return None
        at = self._now if timer is None else max(self._now, timer.at)
        if self.pace is not None and (wait := self.pace.wait(at)) != 0.0:
            return wait
        if timer is None:
            self._loop.call_soon(self._idle.popleft())
            return 0.0
        self._agenda.take()
        assert timer.callback is not None
        self._now = at
        self._loop.call_soon(timer.callback)
        return 0.0


class ScaledClock(_BaseClock):
    """Scenario time that passes `speed` times as fast as the wall clock. It can be paused, and does not step.

    Time starts with the loop of `run`, or when `held`, with `go`: while a swarm logs in no scenario time should pass.
    """

    def __init__(self, start: datetime, speed: float, *, held: bool = False) -> None:
        super().__init__(start)
        self._held = held
        self._paused_at: datetime | None = None
        if not speed > 0:
            raise ValueError(f"speed is {speed}: it must be greater than 0 (60 makes a day last 24 minutes)")
        self._speed = speed
        self._origin = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at: datetime | None = None

    def now(self) -> datetime:
        if self._paused_at is not None:
            return self._paused_at
        if self._loop is None or self._held:
            return self._start
        return self._start + timedelta(seconds=(self._loop.time() - self._origin) * self._speed)

    def go(self) -> None:
        assert self._loop is not None
        if self._held:
            self._held = False
            self._origin = self._loop.time()
            self._arm()

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def paused(self) -> bool:
        return self._paused_at is not None

    def pause(self) -> None:
        """No time passes and no letter is handed over from now on; before `go` from then on."""
        if self._paused_at is None:
            self._paused_at = self.now()
            self._disarm()

    def resume(self) -> None:
        """Time goes on where it stood, first with the letters that were held."""
        if self._paused_at is None:
            return
        at, self._paused_at = self._paused_at, None
        self._stand_at(at)
        while self._idle and self._loop is not None:
            self._loop.call_soon(self._idle.popleft())

    def set_speed(self, speed: float | None) -> None:
        """From now on. Raises PaceError."""
        speed = checked_speed(speed)
        if speed is None:
            raise PaceError("a run with --speed keeps to the wall clock: it cannot go as fast as it goes")
        at = self.now()
        self._speed = speed
        self._stand_at(at)

    def step(self, span: timedelta) -> None:
        raise PaceError(_NO_STEPS)

    def step_message(self, count: int = 1) -> None:
        raise PaceError(_NO_STEPS)

    def call_at(self, at: datetime, callback: Callback, *, priority: int = 10) -> AgendaTimer:
        timer = super().call_at(at, callback, priority=priority)
        self._arm()
        return timer

    def call_idle(self, callback: Callback) -> None:
        if self._paused_at is not None and not self._held:
            self._idle.append(callback)
        else:
            asyncio.get_running_loop().call_soon(callback)

    def make_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.SelectorEventLoop()
        self._origin = self._loop.time()
        self._arm()
        return self._loop

    def _stand_at(self, at: datetime) -> None:
        """The time is `at` now, and passes at the speed."""
        if self._loop is not None:
            self._origin = self._loop.time() - (at - self._start).total_seconds() / self._speed
        self._disarm()
        self._arm()

    def _disarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._alarm_at = None

    def _arm(self) -> None:
        """Keeps one alarm of the loop at the earliest timer."""
        first = self._agenda.first()
        if self._loop is None or self._held or self._halted or self._paused_at is not None or first is None:
            return
        if self._alarm_at is not None and self._alarm_at <= first.at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        wall = self._origin + (first.at - self._start).total_seconds() / self._speed
        self._alarm_at, self._alarm = first.at, self._loop.call_at(wall, self._ring)

    def _ring(self) -> None:
        """Makes the calls that are due, in the agenda's order."""
        assert self._loop is not None
        assert self._alarm_at is not None
        due = max(self.now(), self._alarm_at)  # the loop may ring a clock tick early
        self._alarm = self._alarm_at = None
        while not self._halted and (timer := self._agenda.first()) is not None and timer.at <= due:
            self._agenda.take()
            assert timer.callback is not None
            self._loop.call_soon(timer.callback)
        self._arm()


class _IdleSelector(selectors.DefaultSelector):
    """The platform's selector; where the loop would wait and no socket is ready, it first asks for an event, and waits
    no longer than until the next one may be due."""

    def __init__(self, next_event: Callable[[], float | None], idle: IdleTime | None = None) -> None:
        super().__init__()
        self._next_event = next_event
        self._idle = idle or IdleTime()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if ready or (wait := self._next_event()) == 0.0:
            return ready
        if wait is not None:
            timeout = min(wait, _LONGEST_WAIT_S) if timeout is None else min(timeout, wait, _LONGEST_WAIT_S)
        began = time.monotonic()
        ready = super().select(timeout)
        if wait is not None:
            self._idle.s += time.monotonic() - began
        return ready


def run(main: Callable[[], Coroutine[Any, Any, _T]], clock: LoopClock) -> _T:
    """Runs `main()` to its end on the clock's own event loop, and cancels what is still running then."""
    with asyncio.Runner(loop_factory=clock.make_loop) as runner:
        return runner.run(main())


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"time {at.isoformat()} has no zone: give an aware datetime")
    return at.astimezone(UTC)
