"""`live.rows`: the series of a run while it is watched, one row a step, for a page that reads along.

The first line is JSON: the version, `timezone`, `step_s`, `begins` and `ends` (ISO), `columns`. Then rows follow, with
nothing between them: the start of the step in microseconds since 1970 UTC (int64, little-endian), and a float32 for
each column. Columns have the names and units of `series.parquet` (`environment.series`); only the case `with` is here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Final, Self, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from environment.series import SeriesError

VERSION: Final = 1
Stamps: TypeAlias = npt.NDArray[np.int64]
Values: TypeAlias = npt.NDArray[np.float32]

_HEADER = 10_000_000
"""Bytes of a first line: a thousand chargers have two columns each."""
_CHUNK = 16_000_000
"""Bytes that are read at a time."""


@dataclass(frozen=True)
class Span:
    """What a file of rows is about: `begins` and `ends` of the run, aware, and the time between two rows."""

    timezone: str
    step: timedelta
    begins: datetime
    ends: datetime


class LiveRowsWriter:
    """Writes the file, a whole row at a time. Close it; who reads it as long as it is open misses nothing."""

    def __init__(self, path: Path, span: Span, columns: Sequence[str]) -> None:
        self._dtype = _row_of(len(columns))
        self._file = path.open("wb", buffering=0)
        header = {
            "version": VERSION,
            "timezone": span.timezone,
            "step_s": span.step.total_seconds(),
            "begins": span.begins.isoformat(),
            "ends": span.ends.isoformat(),
            "columns": list(columns),
        }
        self._file.write(json.dumps(header).encode() + b"\n")

    def append(self, stamp: int, values: npt.NDArray[np.float64]) -> None:
        """One row: microseconds since 1970 UTC, and the values in the order of the columns."""
        self._file.write(np.array((stamp, values), dtype=self._dtype).tobytes())

    def close(self) -> None:
        self._file.close()


class LiveRows:
    """The rows that there are so far, in order of time; `read_on` takes in what has come since. `span` is None where
    there are too few rows to tell."""

    def __init__(self, columns: Sequence[str], timezone: str, span: Span | None) -> None:
        self.columns = tuple(columns)
        self.index = {name: number for number, name in enumerate(self.columns)}
        self.timezone = timezone
        self.span = span
        self._rows = np.empty(64, dtype=_row_of(len(self.columns)))
        self._count = 0
        self._rest = b""
        self._file: FileIO | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """The rows of a run that is going on, or that was stopped. Raises SeriesError for a file that is none."""
        try:
            file = path.open("rb", buffering=0)
        except OSError as error:
            raise SeriesError(f"{path}: cannot be read: {error.strerror}") from None
        header = b""
        try:
            while b"\n" not in header and len(header) < _HEADER and (more := file.read(_CHUNK)):
                header += more
            line, _, rest = header.partition(b"\n")
            told = json.loads(line)
            if told["version"] != VERSION:
                raise SeriesError(f"{path}: rows of version {told['version']}; this program reads {VERSION}")
            begins, ends = (datetime.fromisoformat(told[name]) for name in ("begins", "ends"))
            span = Span(str(told["timezone"]), timedelta(seconds=told["step_s"]), begins, ends)
            rows = cls([str(name) for name in told["columns"]], span.timezone, span)
        except (ValueError, TypeError, KeyError, OverflowError, OSError) as error:
            file.close()
            if isinstance(error, SeriesError):
                raise
            raise SeriesError(f"{path}: the first line does not say which rows these are") from None
        rows._file = file
        rows._take(rest)
        return rows

    def read_on(self) -> int:
        """Takes in the whole rows that have come, and returns how many."""
        before = self._count
        while self._file is not None and (found := self._file.read(_CHUNK)):
            self._take(found)
        return self._count - before

    @property
    def at(self) -> Stamps:
        """The start of each step, microseconds since 1970 UTC."""
        return self._rows["at"][: self._count]

    @property
    def values(self) -> Values:
        """A row a step, a column for each of `columns`; NaN where there is no value."""
        return self._rows["values"][: self._count]

    def column(self, name: str) -> Values:
        """The values of one column. Raises KeyError for one that the run has not."""
        return self.values[:, self.index[name]]

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """Reads on no more; what was read stays."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _take(self, found: bytes) -> None:
        found = self._rest + found
        whole = len(found) // self._rows.dtype.itemsize
        edge = whole * self._rows.dtype.itemsize
        self._add(np.frombuffer(found[:edge], dtype=self._rows.dtype))
        self._rest = found[edge:]

    def _add(self, rows: npt.NDArray[np.void]) -> None:
        end = self._count + len(rows)
        if end > len(self._rows):
            grown = np.empty(max(end, 2 * len(self._rows)), dtype=self._rows.dtype)
            grown[: self._count] = self._rows[: self._count]
            self._rows = grown
        self._rows[self._count : end] = rows
        self._count = end


def of_series(path: Path) -> LiveRows:
    """The same rows from a `series.parquet`, those of the case `with`. Raises SeriesError for a file that is none."""
    try:
        table = pq.read_table(path, filters=[("case", "=", "with")])
        stamps = table.column("at").cast(pa.int64()).to_numpy()
    except FileNotFoundError:
        raise SeriesError(f"{path}: cannot be read: no such file") from None
    except OSError as error:
        raise SeriesError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (pa.ArrowException, KeyError) as error:
        raise SeriesError(f"{path}: not a series ({str(error).splitlines()[0]})") from None
    names = [name for name in table.column_names if name not in ("at", "case")]
    zone = table.schema.field("at").type.tz or "UTC"
    found = np.empty(len(stamps), dtype=_row_of(len(names)))
    found["at"] = stamps
    for number, name in enumerate(names):
        found["values"][:, number] = table.column(name).to_numpy()
    rows = LiveRows(names, zone, _span(zone, found["at"]))
    rows._add(found)
    return rows


def _span(timezone: str, at: Stamps) -> Span | None:
    """The time that rows are about, as far as they tell it themselves."""
    if len(at) < 2:
        return None
    step = timedelta(microseconds=int(np.diff(at).min()))
    zone = ZoneInfo(timezone)
    begins, last = (datetime.fromtimestamp(int(stamp) / 1e6, zone) for stamp in (at[0], at[-1]))
    return Span(timezone, step, begins, last + step)


def _row_of(columns: int) -> np.dtype[np.void]:
    """A row as it stands in the file."""
    return np.dtype([("at", "<i8"), ("values", "<f4", (columns,))])
