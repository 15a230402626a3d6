"""The log of frequency control, second by second, that a provider must keep.

Technical Requirements for Frequency Containment Reserve Provision in the Nordic Synchronous Area, version 1.1 of
28 March 2025, 6.2: each provider logs and stores the data of Table 18 "Operation" for at least 14 days, at least each
second, "in any format suitable"; `environment/fcr_export.py` writes the file that the TSO is given.

The format here: a file for each day of UTC, one line for each second, written by one unbuffered system call, so that a
process that is killed loses nothing that it has logged. Each line ends in its own checksum: a line that was torn is
recognised, whatever its numbers look like. (Power that fails may take what the system has not put on the disk yet.)
Signs as everywhere: kW drawn from the grid, an upward activation is below zero.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from math import floor
from pathlib import Path
from typing import Final

from protocols.exchanges.vocabulary import FcrProduct

LOG_FOLDER: Final = "fcr-log"
"""Where in a run folder the logs lie."""
KEPT: Final = timedelta(days=14)
"""Technical requirements 6.2: "for at least 14 days"."""
DAY_S: Final = 86_400
SECOND: Final = timedelta(seconds=1)
_QUARTER_S: Final = 900
_ENOUGH_KW: Final = 1e-6  # a capacity that is less by this much was rounded
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class LoggedSecond:
    """What one entity was and did in one second (Table 18, "Operation").

    `power_kw` and `baseline_kw` as drawn; `activated_kw`, `nem_kw`: the change of what is drawn (up < 0) by frequency
    control, by normal state energy management. `capacity_kw` is the maintained capacity (3.9.1), `status_on` whether
    the control is; `p_min_kw`, `p_max_kw`: the least and the most that can be drawn. What does not apply is None.
    `testing`: the entity was in a test (7.x.1), and `hz` is the frequency that the test applied.
    """

    at: datetime
    power_kw: float
    hz: float
    baseline_kw: float
    soc_percent: float | None
    capacity_kw: float
    activated_kw: float
    nem_kw: float
    nem_on: bool
    aem_on: bool
    endurance_minutes: float | None
    status_on: bool
    regulating_kw_per_hz: float
    p_min_kw: float
    p_max_kw: float
    testing: bool = False


_HEADER: Final = ",".join([*(field.name for field in fields(LoggedSecond)), "crc32"]) + "\n"
_FIELDS: Final = len(fields(LoggedSecond))


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What a report of delivery (7.x.3) takes from the log.

    `available_seconds`: control on, no alert state energy management, the whole capacity maintained. `up_kwh`,
    `down_kwh`: magnitudes. `baseline_kw`: the mean of each 15 minutes from the start; one of which nothing was logged
    repeats the one before (the first: 0).
    """

    logged_seconds: int
    available_seconds: int
    up_kwh: float
    down_kwh: float
    baseline_kw: tuple[float, ...]


class FcrLog:
    """The log of one entity (`resource`) for one product. Times are aware; days are those of UTC.

    `notices`: one line for each line of a file that could not be read. Raises ValueError for a resource whose name is
    no name of a file in ASCII, OSError where the folder or a file cannot be written.
    """

    def __init__(self, folder: Path, resource: str, product: FcrProduct, area: str = "DK2") -> None:
        for name in (resource, area):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r}: a log is named by ASCII letters, digits, points, hyphens and underscores")
        self.folder, self.resource, self.product, self.area = folder, resource, product, area
        self.notices: list[str] = []
        self._told: set[tuple[str, int]] = set()
        self._file = -1
        self._day = -1  # days since 1970
        self._there = bytearray(DAY_S)  # which seconds of that day are in the file
        self._torn = False  # the file ends within a line

    # Writing ------------------------------------------------------------------------------------------------------

    def write(self, second: LoggedSecond) -> bool:
        """Adds a second; False, and nothing is written, where that second is in the log already (a clock that went
        back). Raises OSError where the disk takes no more."""
        s = second
        at = s.at.timestamp()
        day, of_day = divmod(floor(at), DAY_S)
        if day != self._day:
            self._open(day)
        if self._there[of_day]:
            return False
        soc, endurance = s.soc_percent, s.endurance_minutes
        line = (
            f"{at:.3f},{s.power_kw:.4f},{s.hz:.4f},{s.baseline_kw:.4f},{'' if soc is None else f'{soc:.3f}'},"
            f"{s.capacity_kw:.4f},{s.activated_kw:.4f},{s.nem_kw:.4f},{s.nem_on:d},{s.aem_on:d},"
            f"{'' if endurance is None else f'{endurance:.3f}'},{s.status_on:d},{s.regulating_kw_per_hz:.3f},"
            f"{s.p_min_kw:.4f},{s.p_max_kw:.4f},{s.testing:d}"
        ).encode()
        data = b"%b,%08x\n" % (line, zlib.crc32(line))
        if self._torn:
            data = b"\n" + data
        self._torn = True  # until all of it is there
        written = os.write(self._file, data)
        if written < len(data):
            raise OSError(f"{self._path(day)}: {written} bytes of {len(data)} were written")
        self._torn = False
        self._there[of_day] = 1
        return True

    def close(self) -> None:
        """Lets go of the file; a later write opens it again."""
        if self._file >= 0:
            os.close(self._file)
        self._file = self._day = -1

    def _open(self, day: int) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(day)
        there = bytearray(DAY_S)
        for second in self._lines(path, day * DAY_S, (day + 1) * DAY_S):
            there[floor(second.at.timestamp()) % DAY_S] = 1
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        size = os.fstat(self._file).st_size
        if size == 0:
            os.write(self._file, _HEADER.encode())
        self._torn = size > 0 and not _ends_in_newline(path)
        self._day, self._there = day, there
        self._remove_old(day)

    def _remove_old(self, day: int) -> None:
        """Day files that end 14 days before `day` or earlier go; so many of the newest stay in any case, since a clock
        that jumps ahead makes nothing old."""
        days = self._days()
        for old in days[: -(KEPT.days + 1)]:
            if old + 1 + KEPT.days <= day:
                self._path(old).unlink(missing_ok=True)

    # Reading ------------------------------------------------------------------------------------------------------

    def read(self, start: datetime, end: datetime) -> tuple[LoggedSecond, ...]:
        """The seconds from `start` to before `end`, in order of time. Lines that are torn are left out, with a notice.
        Raises OSError."""
        first_s, last_s = start.timestamp(), end.timestamp()
        found: dict[int, LoggedSecond] = {}
        for day in self._days():
            if day * DAY_S < last_s and (day + 1) * DAY_S > first_s:
                for second in self._lines(self._path(day), first_s, last_s):
                    found.setdefault(floor(second.at.timestamp()), second)
        return tuple(found[at] for at in sorted(found))

    def span(self) -> tuple[datetime, datetime] | None:
        """From the first logged second to the end of the last; None where nothing was logged."""
        days = self._days()
        early = next((times for day in days if (times := self._times(day))), None)
        late = next((times for day in reversed(days) if (times := self._times(day))), None)
        return None if early is None or late is None else (min(early), max(late) + SECOND)

    def summary(self, start: datetime, end: datetime, *, capacity_kw: float = 0.0) -> LogSummary:
        """What was kept and activated from `start` to before `end`; `capacity_kw` is what was sold: a second with less
        maintained is not available."""
        available, up_kws, down_kws = 0, 0.0, 0.0
        quarters = max(0, -((start - end) // timedelta(seconds=_QUARTER_S)))
        sums, counts = [0.0] * quarters, [0] * quarters
        seconds = self.read(start, end)
        begin = start.timestamp()
        for second in seconds:
            available += second.status_on and not second.aem_on and second.capacity_kw >= capacity_kw - _ENOUGH_KW
            if second.activated_kw < 0:
                up_kws -= second.activated_kw
            else:
                down_kws += second.activated_kw
            quarter = int((second.at.timestamp() - begin) // _QUARTER_S)
            sums[quarter] += second.baseline_kw
            counts[quarter] += 1
        baseline: list[float] = []
        for total, count in zip(sums, counts, strict=True):
            baseline.append(total / count if count else baseline[-1] if baseline else 0.0)
        return LogSummary(len(seconds), available, up_kws / 3600, down_kws / 3600, tuple(baseline))

    def _lines(self, path: Path, first_s: float, last_s: float) -> Iterator[LoggedSecond]:
        """The whole lines of a day file from `first_s` to before `last_s` (since 1970), as they stand."""
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, 1):
            if not line or (number == 1 and line.startswith(b"at,")):
                continue
            body, _, checksum = line.rpartition(b",")
            try:
                at = float(body.partition(b",")[0])
                if first_s <= at < last_s:
                    if int(checksum, 16) != zlib.crc32(body):
                        raise ValueError
                    yield _parsed(at, body.decode("ascii"))
            except ValueError:
                if (path.name, number) not in self._told:
                    self._told.add((path.name, number))
                    self.notices.append(f"{path.name}, line {number}: is torn, and left out")

    def _times(self, day: int) -> list[datetime]:
        return [second.at for second in self._lines(self._path(day), day * DAY_S, (day + 1) * DAY_S)]

    def _path(self, day: int) -> Path:
        return self.folder / log_name(self.resource, self.product, self.area, date(1970, 1, 1) + timedelta(days=day))

    def _days(self) -> list[int]:
        """The days that there are files of, ascending."""
        if not self.folder.is_dir():
            return []
        mine = (self.resource, self.product, self.area)
        named = [log_of(path) for path in self.folder.iterdir()]
        return sorted((name[3] - date(1970, 1, 1)).days for name in named if name and name[:3] == mine)


def log_name(resource: str, product: FcrProduct, area: str, day: date) -> str:
    """The name of a day file."""
    return f"{resource}_{product}_{area}_{day:%Y%m%d}.csv"


def log_of(path: Path) -> tuple[str, FcrProduct, str, date] | None:
    """Whose day file this is: resource, product, area, day; None for any other file."""
    parts = path.name.removesuffix(".csv").rsplit("_", 3)
    if len(parts) < 4 or path.suffix != ".csv":
        return None
    try:
        day = datetime.strptime(parts[3], "%Y%m%d").replace(tzinfo=UTC).date()
        return parts[0], FcrProduct(parts[1]), parts[2], day
    except ValueError:
        return None


def _parsed(at: float, body: str) -> LoggedSecond:
    """One line of the log. Raises ValueError for one that has not its values."""
    v = body.split(",")
    if len(v) != _FIELDS:
        raise ValueError(f"{len(v)} values")
    return LoggedSecond(
        at=datetime.fromtimestamp(at, UTC),
        power_kw=float(v[1]),
        hz=float(v[2]),
        baseline_kw=float(v[3]),
        soc_percent=float(v[4]) if v[4] else None,
        capacity_kw=float(v[5]),
        activated_kw=float(v[6]),
        nem_kw=float(v[7]),
        nem_on=v[8] == "1",
        aem_on=v[9] == "1",
        endurance_minutes=float(v[10]) if v[10] else None,
        status_on=v[11] == "1",
        regulating_kw_per_hz=float(v[12]),
        p_min_kw=float(v[13]),
        p_max_kw=float(v[14]),
        testing=v[15] == "1",
    )


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
