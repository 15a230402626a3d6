"""How fast scenario time passes while somebody watches: paused, so many times as fast as life, or step by step.

A pace says when the clock may hand out its next event, and never which: the order of events, and with it the trace, is
the same at every pace.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

_LATE_S = 1.0
"""Wall seconds that a run which fell behind makes up for; what is more (a hard quarter of an hour) is let go."""
_SPEEDS = (1e-3, 1e9)
"""Times wall time: beyond these, sums of time and speed are no times any more."""


class PaceError(ValueError):
    """A pace that the clock cannot keep, in one line."""


class Paced(Protocol):
    """Whose scenario time can be paused: a `Pace`, or the scaled clock. `speed` None is as fast as it goes."""

    @property
    def speed(self) -> float | None: ...

    @property
    def paused(self) -> bool: ...

    def now(self) -> datetime:
        """How far scenario time is, in UTC, also between two events."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def set_speed(self, speed: float | None) -> None:
        """Raises PaceError for a speed that the clock cannot keep."""

    def step(self, span: timedelta) -> None:
        """Runs on for `span` and pauses. Raises PaceError where the clock cannot step."""

    def step_message(self, count: int = 1) -> None:
        """Runs on until `count` more messages were recorded, and pauses. Raises PaceError as `step`."""


def checked_speed(speed: float | None) -> float | None:
    """The speed, one that times can be reckoned with, or None. Raises PaceError."""
    least, most = _SPEEDS
    if speed is None or least <= speed <= most:
        return speed
    said = f"{speed:g}" if isinstance(speed, float) else str(speed)[:20]
    raise PaceError(f"speed {said}: must be above 0, from {least:g} to {most:g}; pause the run to let no time pass")


class Pace:
    """How fast scenario time passes: as fast as it goes (speed None), X times wall time, or not at all.

    A step goes as fast as it can. Before `begin` nothing is held, so that a swarm logs in whatever was asked for; where
    somebody else's system is waited for, which takes as long as it takes, `held` lets no time pass before. The clock
    that keeps the pace calls `stand_at`, `begin` and `wait`. `wall` is the wall clock in s.
    """

    def __init__(
        self, speed: float | None = None, *, held: bool = False, wall: Callable[[], float] = time.monotonic
    ) -> None:
        self._speed = checked_speed(speed)
        self._held = held
        self._paused = False
        self._wall = wall
        self._began = False
        self._reached = datetime.min.replace(tzinfo=UTC)
        self._next = self._told = self._reached
        self._since = 0.0
        self._until: datetime | None = None
        self._count: int | None = None
        self.messages: Callable[[], int] = lambda: 0
        """How many messages were recorded so far; whoever records them sets it."""

    @property
    def speed(self) -> float | None:
        return self._speed

    @property
    def paused(self) -> bool:
        """Whether no time passes. Within a step it does."""
        return self._paused and not self._stepping

    @property
    def _stepping(self) -> bool:
        return self._until is not None or self._count is not None

    def stand_at(self, at: datetime) -> None:
        """The run will begin at `at`."""
        self._anchor(at)

    def begin(self) -> None:
        """Scenario time begins to pass."""
        self._anchor(self._reached)
        self._began = True

    def now(self) -> datetime:
        """How far scenario time is, also between two events. It never runs backwards: what happens at the time
        of the last event, such as a letter that somebody's answer brings about, is told after it."""
        found = self._reached
        if self._began and not self._paused and self._speed is not None:
            passed = timedelta(seconds=(self._wall() - self._since) * self._speed)
            found = max(self._reached, min(self._next, self._reached + passed))
        self._told = max(self._told, found)
        return self._told

    def pause(self) -> None:
        self._stand()
        self._until = self._count = None
        self._paused = True

    def resume(self) -> None:
        self._stand()
        self._until = self._count = None
        self._paused = False

    def set_speed(self, speed: float | None) -> None:
        """From now on; a run that is paused stays so. Raises PaceError."""
        speed = checked_speed(speed)
        self._stand()
        self._speed = speed

    def step(self, span: timedelta) -> None:
        """Runs until now + `span`, then pauses again. Raises PaceError for a span of nothing."""
        if not span > timedelta(0):
            raise PaceError(f"a step of {span.total_seconds():g} s: must be above 0 s")
        self.pause()
        self._until = self._reached + span

    def step_message(self, count: int = 1) -> None:
        """Runs until `count` more messages were recorded, then pauses again. What is said in one breath belongs to one
        step. Raises PaceError for a count below 1."""
        if count < 1:
            raise PaceError(f"a step of {count} messages: must be 1 or more")
        self.pause()
        self._count = self.messages() + count

    def wait(self, due: datetime) -> float | None:
        """Wall seconds until the next event, which is due at `due`, may happen: 0.0 is now, None is not before a word
        is given."""
        if not self._began:
            return None if self._held and due > self._reached else 0.0
        self._next = due
        if self._until is not None and due > self._until:
            self._anchor(self._until)
            self._until = None
        if self._count is not None and self.messages() >= self._count:
            self._count = None
        if self.paused:
            return None
        if self._stepping or self._speed is None:
            self._anchor(max(self._reached, due))
            return 0.0
        wall = self._wall()
        happens = self._since + (due - self._reached).total_seconds() / self._speed
        if happens > wall:
            return happens - wall
        if due > self._reached:
            self._reached, self._since = due, max(happens, wall - _LATE_S)
        return 0.0

    def _stand(self) -> None:
        """What comes is counted from here."""
        self._anchor(self.now())

    def _anchor(self, at: datetime) -> None:
        self._reached, self._since = at, self._wall()
