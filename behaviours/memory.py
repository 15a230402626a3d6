"""The conversations of one agent: found by their id, woken at their deadlines, forgotten some time after their end."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from behaviours.ports import Clock, Timer
from behaviours.talk import Talk

REMEMBERED = timedelta(hours=24)
"""How long (scenario time) an ended conversation still answers a repeated message as it did the first time."""

AFTER_EVERYTHING = 50
"""Priority of deadlines: what happens at the very moment of a deadline is still in time."""


class Memory:
    """Keeps talks; `expired` is called with each talk that has reached a deadline. One timer for all of them."""

    def __init__(self, clock: Clock, expired: Callable[[Talk], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._talks: dict[str, Talk] = {}
        self._deadlines: list[tuple[datetime, int, Talk]] = []
        self._ended: deque[tuple[datetime, str]] = deque()
        self._numbers = count()
        self._timer: Timer | None = None
        self._timer_at: datetime | None = None

    def __len__(self) -> int:
        return len(self._talks)

    def find(self, conversation_id: str) -> Talk | None:
        return self._talks.get(conversation_id)

    def keep(self, talk: Talk) -> None:
        """Remembers a new talk, and forgets those that ended long ago."""
        now = self._clock.now()
        while self._ended and self._ended[0][0] + REMEMBERED <= now:
            self._talks.pop(self._ended.popleft()[1], None)
        self._talks[talk.conversation.conversation_id] = talk

    def changed(self, talk: Talk) -> None:
        """To be called after every step of a talk: its deadline may have moved, or it has ended."""
        if talk.conversation.ended() and not talk.ended:
            talk.ended = True
            self._ended.append((self._clock.now(), talk.conversation.conversation_id))
        deadline = talk.conversation.next_deadline()
        if deadline != talk.deadline:
            talk.deadline = deadline
            if deadline is not None:
                heapq.heappush(self._deadlines, (deadline, next(self._numbers), talk))
        self._arm()

    def close(self) -> None:
        """Wakes no talk any more."""
        self._deadlines.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        while self._deadlines and self._deadlines[0][2].deadline != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)
        if not self._deadlines:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        first = self._deadlines[0][0]
        if self._timer is None or self._timer_at is None or first < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = first
            self._timer = self._clock.call_at(first, self._ring, priority=AFTER_EVERYTHING)

    def _ring(self) -> None:
        self._timer = None
        while self._deadlines and self._deadlines[0][0] <= self._clock.now():
            deadline, _, talk = heapq.heappop(self._deadlines)
            if talk.deadline == deadline:
                talk.deadline = None
                self._expired(talk)
        self._arm()
