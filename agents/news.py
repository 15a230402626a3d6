"""What a subscription brought last, source by source: news that is repeated, overtaken or ahead of time is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Generic, Protocol, TypeVar


class Stamped(Protocol):
    """A content that says when it was made."""

    @property
    def timestamp(self) -> datetime: ...


_C = TypeVar("_C", bound=Stamped)


class News(Generic[_C]):
    """The newest content of each source by its own timestamp; what is no news is dropped, counted and told once.

    `what` names the contents in a notice. `dropped` counts by source. A timestamp in the future is dropped as well:
    it would hide everything that comes after it.
    """

    def __init__(self, what: str, now: Callable[[], datetime], notice: Callable[[str], None]) -> None:
        self.what = what
        self.dropped: Counter[str] = Counter()
        self._now, self._notice = now, notice
        self._newest: dict[str, _C] = {}

    def take(self, source: str, content: _C) -> bool:
        """Keeps the content if it is news of this source, and says whether it is."""
        fault = self._fault(self._newest.get(source), content)
        if fault is None:
            self._newest[source] = content
            return True
        self.dropped[source] += 1
        if self.dropped[source] == 1:
            self._notice(f"{self.what} from {source} {fault}: left out, as all further ones will be")
        return False

    def newest(self, source: str) -> _C | None:
        """The newest content of this source, None where there was none."""
        return self._newest.get(source)

    def _fault(self, last: _C | None, content: _C) -> str | None:
        made, now = content.timestamp, self._now()
        if made > now:
            return f"is dated {made - now} ahead of the time"
        if last is None or made > last.timestamp:
            return None
        return "came twice" if made == last.timestamp else f"came {last.timestamp - made} out of order"
