"""A run as it is watched: its folder's files, read on as they grow, as of one moment.

A run that lasts is shown as of its newest message; a finished one as of its end, or of any moment (`show_at`).
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from environment import live_rows, network_map
from environment.live_rows import LiveRows
from environment.network_map import NetworkMap, NetworkMapError
from environment.run_folder import LIVE_ROWS, NETWORK, SERIES, TRACE
from environment.watched.trace_index import BUDGET, TraceIndex
from protocols.roles import Role

STATES = ("starting", "running", "paused", "ended", "failed")
MOST_NOTICES = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Status:
    """What the swarm, or the playback, says of itself.

    `speed`: how many times as fast as wall time, None for as fast as it goes. `deterministic`: whether one seed gives
    one trace.
    """

    state: str = "starting"
    at: datetime | None = None
    speed: float | None = None
    stage: str = ""
    messages: int = 0
    deterministic: bool = True

    def told(self, members: Mapping[str, Any]) -> Status:
        """This status with what a status line says anew; what cannot be so is left out."""
        found: dict[str, Any] = {}
        if members.get("state") in STATES:
            found["state"] = members["state"]
        if isinstance(members.get("at"), str):
            try:
                at = datetime.fromisoformat(members["at"])
            except ValueError:
                at = None
            if at is not None and at.tzinfo is not None:
                found["at"] = at
        speed = members.get("speed", self.speed)
        if speed is None or (isinstance(speed, int | float) and not isinstance(speed, bool) and speed > 0):
            found["speed"] = None if speed is None else float(speed)
        if isinstance(members.get("stage"), str):
            found["stage"] = members["stage"]
        if isinstance(members.get("messages"), int):
            found["messages"] = members["messages"]
        if isinstance(members.get("deterministic"), bool):
            found["deterministic"] = members["deterministic"]
        return replace(self, **found)


class WatchedRun:
    """One run folder. `live`: the run lasts still, and `at` follows its newest message; `title` is what people call it.

    `at`: the moment that all views show, None before anything is there. `messages`: how many were sent until then.
    `version` grows when anything that is shown may have changed. `network_fault`: why there is no map.
    """

    def __init__(self, folder: Path, *, live: bool = False, title: str = "") -> None:
        self.folder, self.live = folder, live
        self._title = title
        self.trace = TraceIndex(folder / TRACE, growing=live)
        self.rows: LiveRows | None = None
        self.rows_fault = ""
        self.network: NetworkMap | None = None
        self.network_fault = ""
        self.at: datetime | None = None
        self.messages = 0
        self.version = 0
        self.status = Status("starting" if live else "ended")
        self.notices: list[str] = []
        self._chosen: datetime | None = None
        self._zone: tzinfo | None = None
        self._whole_rows = False
        self._network_seen: tuple[int, int] | None = None
        self._rows_seen: tuple[int, int] | None = None

    @property
    def title(self) -> str:
        if self._title:
            return self._title
        return self.trace.header.scenario.capitalize() if self.trace.header else self.folder.name

    @property
    def roles(self) -> Mapping[str, Role]:
        """Who plays which role, by JID."""
        return self.trace.header.roles if self.trace.header else {}

    @property
    def zone(self) -> tzinfo:
        """The run's time zone: that of its series, else the offset of the first message."""
        return self._zone or self.trace.zone or UTC

    @property
    def begins(self) -> datetime | None:
        """The first moment there is anything of."""
        rows = self._row_at(0) if self.rows is not None and len(self.rows.at) else None
        return min((at for at in (self.trace.begins, rows) if at is not None), default=None)

    @property
    def ends(self) -> datetime | None:
        """The last moment so far."""
        rows = self._row_at(-1) if self.rows is not None and len(self.rows.at) else None
        return max((at for at in (self.trace.ends, rows) if at is not None), default=None)

    @property
    def rows_missing(self) -> str:
        """Why there is no step of the world to show at this moment, in a line."""
        if self.rows_fault:
            return self.rows_fault
        if self.live or self.rows is not None:
            return "The first step of the run is not over yet."
        return f"This run folder has no {SERIES}: the run was stopped before it was written."

    @property
    def row(self) -> int | None:
        """Index of the newest row of `rows` at or before `at`."""
        if self.rows is None or self.at is None:
            return None
        found = bisect_right(self.rows.at, (self.at - _EPOCH) // _MICROSECOND) - 1
        return found if found >= 0 else None

    def refresh(self, budget: int = BUDGET) -> bool:
        """Reads on, so many lines at most; True where it read something, and more may be there."""
        generation = self.trace.generation
        read = self.trace.read_on(budget)
        rows = self._read_rows()
        self._read_network()
        if read or rows or generation != self.trace.generation:
            self.version += 1
        self._move()
        return read > 0

    def show_at(self, at: datetime | None) -> None:
        """Shows the run as of a moment (aware), None for its newest."""
        self._chosen = at
        self._move()

    def tell(self, status: Status) -> None:
        """Takes what the swarm says of itself. A run that has ended grows no more."""
        if status == self.status:
            return
        if status.state in ("ended", "failed"):
            self.live = self.trace.growing = False
        self.status = status
        self.version += 1

    def notice(self, text: str) -> None:
        """Takes a line for whoever watches."""
        self.notices.append(text)
        del self.notices[:-MOST_NOTICES]
        self.version += 1

    def _move(self) -> None:
        at = self._chosen or self.ends
        # What has begun later than this moment is not there yet, however much of the trace was read.
        messages = 0 if at is None else self.trace.until(at)
        if (at, messages) != (self.at, self.messages):
            self.at, self.messages = at, messages
            self.version += 1

    def _row_at(self, row: int) -> datetime:
        assert self.rows is not None
        return _EPOCH + timedelta(microseconds=int(self.rows.at[row]))

    def _read_rows(self) -> bool:
        """Whether there are new rows."""
        if self._whole_rows:
            return False
        series, growing = self.folder / SERIES, self.folder / LIVE_ROWS
        try:
            if self.rows is None and (seen := _seen(growing)) is not None and seen != self._rows_seen:
                self._rows_seen = seen
                self._take_rows(LiveRows.open(growing))
            elif self.rows is None and (seen := _seen(series)) is not None and seen != self._rows_seen:
                self._rows_seen = seen
                self._take_rows(live_rows.of_series(series))
                self._whole_rows = True
                return True
            return self.rows is not None and self.rows.read_on() > 0
        except (OSError, ValueError) as reason:
            self.rows_fault = str(reason)
            return False

    def _take_rows(self, rows: LiveRows) -> None:
        self.rows, self.rows_fault = rows, ""
        weakref.finalize(self, rows.close)
        try:
            self._zone = ZoneInfo(rows.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            self._zone = None

    def _read_network(self) -> None:
        path = self.folder / NETWORK
        if self.network is not None:
            return
        seen = _seen(path)
        if seen is None:
            self.network_fault = "" if self.live else "This run has no drawing of its network: run it again for one."
        elif seen != self._network_seen:
            self._network_seen = seen
            try:
                self.network, self.network_fault = network_map.read(path), ""
            except NetworkMapError as reason:
                self.network_fault = str(reason)
            self.version += 1


def _seen(path: Path) -> tuple[int, int] | None:
    """What tells a file from a later state of itself, None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
