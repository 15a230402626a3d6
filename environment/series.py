"""`series.parquet`: what the network and the fleet did, one row for each minute and case.

The case `with` is the day as it was negotiated, `without` the same day with chargers that nobody asked anything.
Positive power is drawn from the grid (charging > 0, discharging < 0); `pv_kw` is an injection and so <= 0.

| column | unit | meaning |
|---|---|---|
| `at` | timestamp with zone | start of the minute |
| `case` | text | `with` or `without` |
| `trafo_loading_percent` | % of rating | transformer loading |
| `trafo_p_kw` | kW | drawn from the medium-voltage side |
| `losses_kw` | kW | lines and transformer |
| `line_loading_percent_max` | % of rating | the most loaded line |
| `load_kw`, `pv_kw` | kW | sum of the base load, sum of the PV injection (<= 0) |
| `frequency_hz` | Hz | |
| `vm_pu_min`, `vm_pu_max` | per unit | over all buses |
| `fleet_p_kw` | kW | sum of the chargers |
| `fleet_soc_percent` | % | mean of the connected vehicles, empty when there is none |
| `connected` | count | vehicles plugged in |
| further names | as the name says | what only some demonstrators have, such as `ISLAND_COLUMNS` |
| `vm_pu:<bus>` | per unit | one column for each bus |
| `line_loading_percent:<line>` | % of rating | one column for each line |
| `p_kw:<charger>`, `soc_percent:<charger>` | kW, % | one of each for each charger; no vehicle, no state of charge |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

Case: TypeAlias = Literal["with", "without"]
Floats: TypeAlias = npt.NDArray[np.float64]

CASES: Final[tuple[Case, ...]] = ("with", "without")
SCALARS: Final = (
    "trafo_loading_percent",
    "trafo_p_kw",
    "losses_kw",
    "line_loading_percent_max",
    "load_kw",
    "pv_kw",
    "frequency_hz",
    "vm_pu_min",
    "vm_pu_max",
    "fleet_p_kw",
    "fleet_soc_percent",
    "connected",
)
ISLAND_COLUMNS: Final = (
    "island_demand_kw",
    "island_ev_kw",
    "geothermal_kw",
    "hydro_kw",
    "wind_kw",
    "wind_available_kw",
    "curtailed_kw",
    "thermal_kw",
    "fuel_kg",
    "frequency_min_hz",
)
"""The further columns of an island: demand without the vehicles, the vehicles (charging > 0), the plants' production
by kind and the wind's possible one (magnitudes, means of the minute), the fuel burnt in the minute, and the lowest
frequency within the minute."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
VOLTAGE: Final = "vm_pu:"
LINE: Final = "line_loading_percent:"
POWER: Final = "p_kw:"
SOC: Final = "soc_percent:"
_ALWAYS: Final = ("at", "case", *SCALARS)


class SeriesError(ValueError):
    """A series that cannot be recorded or a file that cannot be read, in one line."""


class SeriesRecorder:
    """Rows appended while the day runs, kept in one growing array, written once at the end. `follow` is told each row
    of the case `with` as it comes: its time in microseconds since 1970 UTC, and its values in the order of `names`.

    `buses`, `lines` and `chargers` fix the order of the arrays that `append` takes; `timezone` is the name that the
    timestamps carry in the file. `rows` is the expected number of rows, only to avoid growing. `extra` names further
    columns of one number a row (float), written after the scalars that every run has.
    """

    def __init__(
        self,
        timezone: str,
        buses: Sequence[str],
        chargers: Sequence[str],
        *,
        rows: int = 2 * 1440,
        lines: Sequence[str] = (),
        extra: Sequence[str] = (),
    ) -> None:
        self.follow: Callable[[int, Floats], None] | None = None
        self.timezone = timezone
        self.buses = tuple(buses)
        self.lines = tuple(lines)
        self.chargers = tuple(chargers)
        self.extra = tuple(extra)
        for what, names in (
            ("bus", self.buses),
            ("line", self.lines),
            ("charger", self.chargers),
            ("column", self.extra),
        ):
            if len(set(names)) != len(names):
                raise SeriesError(f"series: a {what} is named twice")
        for name in self.extra:
            # A colon is what tells a bus's or a charger's column from the others when the file is read.
            if name in _ALWAYS or ":" in name:
                raise SeriesError(f"series: a further column cannot be named {name!r}")
        self.names = (
            *SCALARS,
            *self.extra,
            *(VOLTAGE + bus for bus in self.buses),
            *(LINE + line for line in self.lines),
            *(POWER + charger for charger in self.chargers),
            *(SOC + charger for charger in self.chargers),
        )
        self._values = np.empty((max(rows, 1), len(self.names)))
        self._at = np.empty(max(rows, 1), dtype=np.int64)
        self._case = np.empty(max(rows, 1), dtype=np.int8)
        self._seen: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def append(
        self,
        at: datetime,
        case: Case,
        *,
        trafo_loading_percent: float,
        trafo_p_kw: float,
        losses_kw: float,
        line_loading_percent_max: float,
        load_kw: float,
        pv_kw: float,
        frequency_hz: float,
        vm_pu: npt.ArrayLike,
        p_kw: npt.ArrayLike,
        soc_percent: npt.ArrayLike,
        connected: npt.ArrayLike,
        line_loading_percent: npt.ArrayLike = (),
        extra: Mapping[str, float] | None = None,
    ) -> None:
        """One minute of one case.

        `vm_pu` [buses], `line_loading_percent` [lines], `p_kw` [chargers], `soc_percent` [chargers] (ignored where
        nothing is connected) and `connected` [chargers, bool]; `extra` has a value for each further column and for no
        other name. Raises SeriesError for a time without zone, a row that is already there, an array of another length,
        and further columns that are not the recorder's.
        """
        if at.utcoffset() is None:
            raise SeriesError(f"series: {at.isoformat()} has no time zone")
        stamp, code = (at - _EPOCH) // _MICROSECOND, CASES.index(case)
        if (stamp, code) in self._seen:
            raise SeriesError(f"series: {at.isoformat()} is already there for the case {case!r}")
        further = extra or {}
        if further.keys() != set(self.extra):
            wrong = ", ".join(sorted(further.keys() ^ set(self.extra)))
            raise SeriesError(f"series: further columns are missing or unknown: {wrong}")
        voltages = self._row("vm_pu", vm_pu, len(self.buses))
        loadings = self._row("line_loading_percent", line_loading_percent, len(self.lines))
        powers = self._row("p_kw", p_kw, len(self.chargers))
        plugged = self._row("connected", connected, len(self.chargers)) > 0
        socs = np.where(plugged, self._row("soc_percent", soc_percent, len(self.chargers)), np.nan)
        n, count = len(self._seen), int(plugged.sum())
        if n == len(self._at):
            self._grow()
        row = self._values[n]
        row[: len(SCALARS)] = (
            trafo_loading_percent,
            trafo_p_kw,
            losses_kw,
            line_loading_percent_max,
            load_kw,
            pv_kw,
            frequency_hz,
            voltages.min() if voltages.size else np.nan,
            voltages.max() if voltages.size else np.nan,
            powers.sum(),
            socs[plugged].mean() if count else np.nan,
            count,
        )
        edge = len(SCALARS) + len(self.extra)
        row[len(SCALARS) : edge] = [further[name] for name in self.extra]
        row[edge:] = np.concatenate((voltages, loadings, powers, socs))
        self._at[n], self._case[n] = stamp, code
        self._seen.add((stamp, code))
        if self.follow is not None and case == "with":
            self.follow(stamp, row)

    def write(self, path: Path) -> None:
        """The file, rows ordered by case and time. Values are kept as 32-bit floats (seven digits)."""
        n = len(self._seen)
        order = np.lexsort((self._at[:n], self._case[:n]))
        values = self._values[:n][order].astype(np.float32)
        columns: dict[str, Any] = {
            "at": pa.array(self._at[:n][order], type=pa.timestamp("us", tz=self.timezone)),
            "case": pa.DictionaryArray.from_arrays(
                pa.array(self._case[:n][order]), pa.array(CASES)
            ).dictionary_decode(),
        }
        for index, name in enumerate(self.names):
            # A NaN is a missing value to every reader of the file, not a number.
            column = np.ascontiguousarray(values[:, index])
            columns[name] = pa.array(column, from_pandas=True)
        columns["connected"] = columns["connected"].cast(pa.int32())
        pq.write_table(pa.table(columns), path, compression="zstd")

    def _grow(self) -> None:
        self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._at = np.concatenate([self._at, np.empty_like(self._at)])
        self._case = np.concatenate([self._case, np.empty_like(self._case)])

    @staticmethod
    def _row(name: str, values: npt.ArrayLike, length: int) -> Floats:
        row: Floats = np.asarray(values, dtype=np.float64)
        if row.shape != (length,):
            raise SeriesError(f"series: {name} has shape {row.shape}, expected ({length},)")
        return row


class Series:
    """A recorded series: one frame for each case, indexed by the local time `at`; `extra` are its further columns."""

    def __init__(self, frame: pd.DataFrame) -> None:
        missing = [name for name in _ALWAYS if name not in frame.columns]
        if missing:
            raise SeriesError(f"series: missing column{'s'[: len(missing) > 1]} {', '.join(missing)}")
        self._frames = {
            str(case): rows.drop(columns="case").set_index("at").sort_index()
            for case, rows in frame.groupby("case", observed=True)
        }
        self.buses = self._named(frame, VOLTAGE)
        self.lines = self._named(frame, LINE)
        self.chargers = self._named(frame, POWER)
        names = (str(name) for name in frame.columns)
        self.extra = tuple(name for name in names if name not in _ALWAYS and ":" not in name)

    @classmethod
    def read(cls, path: Path) -> Series:
        """The series of a run folder. Raises SeriesError when the file is not there or is not one."""
        try:
            table = pq.read_table(path)
        except FileNotFoundError:
            raise SeriesError(f"{path}: no such file") from None
        except pa.ArrowInvalid as reason:
            raise SeriesError(f"{path}: not a parquet file ({str(reason).splitlines()[0]})") from None
        return cls(table.to_pandas())

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases that were recorded, `with` first."""
        return tuple(case for case in CASES if case in self._frames)

    def case(self, case: Case) -> pd.DataFrame:
        """The rows of one case. Raises SeriesError when it was not recorded."""
        try:
            return self._frames[case]
        except KeyError:
            raise SeriesError(f"series: the case {case!r} was not recorded") from None

    def index(self, case: Case) -> pd.DatetimeIndex:
        """The local times of one case's rows."""
        return pd.DatetimeIndex(self.case(case).index)

    def voltages(self, case: Case) -> Floats:
        """Voltage magnitudes in per unit, [minutes, buses]."""
        return self._block(case, VOLTAGE, self.buses)

    def loadings(self, case: Case) -> Floats:
        """Loading of the lines in % of their rating, [minutes, lines]; series before it was kept have no lines."""
        return self._block(case, LINE, self.lines)

    def powers(self, case: Case) -> Floats:
        """Power of the chargers in kW, charging > 0, [minutes, chargers]."""
        return self._block(case, POWER, self.chargers)

    def socs(self, case: Case) -> Floats:
        """State of charge in percent, NaN where nothing is connected, [minutes, chargers]."""
        return self._block(case, SOC, self.chargers)

    def step(self, case: Case) -> timedelta:
        """The time between two rows: the smallest one, as a gap is a gap and not a longer step."""
        index = self.index(case)
        if len(index) < 2:
            return timedelta(minutes=1)
        return timedelta(microseconds=int(np.diff(index.as_unit("us").asi8).min()))

    def _block(self, case: Case, prefix: str, names: Sequence[str]) -> Floats:
        frame = self.case(case)[[prefix + name for name in names]]
        return frame.to_numpy(dtype=np.float64)

    @staticmethod
    def _named(frame: pd.DataFrame, prefix: str) -> tuple[str, ...]:
        return tuple(str(name)[len(prefix) :] for name in frame.columns if str(name).startswith(prefix))
