"""What is still to be said to one place outside: bounded, so that whoever listens slowly holds nobody up."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Outbox(Generic[_T]):
    """At most `most` entries wait; the oldest is dropped for a new one, and counted. At most `window` parcels are under
    way; one that is not confirmed within `patience_s` is given up, its entries counted as dropped."""

    def __init__(self, *, most: int, window: int, patience_s: float) -> None:
        self._window = window
        self._patience_s = patience_s
        self._most = most
        self._waiting: deque[_T] = deque()
        self._under_way: dict[str, tuple[Sequence[_T], float]] = {}
        self.dropped = 0
        self.confirmed = 0

    def __len__(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    @property
    def is_done(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and not self._under_way

    def put(self, entry: _T) -> None:
        """Takes an entry on."""
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(entry)

    def take(self, most: int) -> list[_T]:
        """The next entries for a parcel, at most `most`; none while the window is full."""
        if len(self._under_way) >= self._window:
            return []
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def sent(self, parcel: str, entries: Sequence[_T], now_s: float) -> None:
        """The entries are under way as `parcel`; `now_s` is the loop's time."""
        self._under_way[parcel] = (entries, now_s)

    def arrived(self, parcel: str) -> bool:
        """The other side has this parcel. False where it was not under way."""
        entries, _ = self._under_way.pop(parcel, ((), 0.0))
        self.confirmed += len(entries)
        return bool(entries)

    def refused(self, parcel: str) -> bool:
        """The other side does not take this parcel. False where it was not under way."""
        entries, _ = self._under_way.pop(parcel, ((), 0.0))
        self.dropped += len(entries)
        return bool(entries)

    def give_up(self, now_s: float) -> None:
        """Gives up what is under way for longer than the patience."""
        for parcel in [p for p, (_, since_s) in self._under_way.items() if now_s - since_s > self._patience_s]:
            self.refused(parcel)

    def again(self) -> None:
        """The connection broke: what was under way waits again, before all else."""
        for entries, _ in reversed(self._under_way.values()):
            self._waiting.extendleft(reversed(entries))
        self._under_way.clear()
        while len(self._waiting) > self._most:
            self._waiting.popleft()
            self.dropped += 1
