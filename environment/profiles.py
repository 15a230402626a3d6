"""What households, businesses and roofs draw and feed in: a year of 15-minute profiles, on any day, to the minute.

The profiles are SimBench's (2016, at even steps of absolute time, UTC+1). A day of another year takes the profile of
the day with the same weekday that is nearest to the same date, three days off at most (six around New Year); public
holidays are ordinary weekdays. Everything is addressed by instants, so a local day has 92, 96 or 100 periods as its
clock has. In a zone with another standard time a row is at the same time of that standard time, or else the sun would
rise hours off. What is left is the place within its zone: the profiles' sun is at its highest close to noon by standard
time, that of São Miguel (25.5 W in a zone of 15 W) at about 12:43.

Within a quarter hour the minutes follow the parabola that joins its neighbours and has the quarter's own mean, so that
no energy is gained or lost and nothing changes its sign. It is smooth where a real minute is not: what a household
draws within a quarter hour is not in the source.

Signs: positive power is drawn; PV is an injection and so <= 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from agents.grid_view import Floats
from environment.grid import Grid, GridError

PROFILE_YEAR: Final = 2016
PROFILE_OFFSET: Final = timedelta(hours=1)
"""Standard time where the profiles come from."""
QUARTER: Final = timedelta(minutes=15)
_QUARTERS: Final = 366 * 96


@dataclass(frozen=True, slots=True, eq=False)
class Injections:
    """Power without any charger, one row for each step from `start`.

    `p_kw`, `q_kvar` [steps, buses]: net, as `Grid.solve_many` takes them; `load_kw` [steps] >= 0 and `pv_kw` [steps]
    <= 0: their sums; `pv_kw_by_bus` [steps, buses] <= 0.
    """

    start: datetime
    step: timedelta
    p_kw: Floats
    q_kvar: Floats
    load_kw: Floats
    pv_kw: Floats
    pv_kw_by_bus: Floats

    def __len__(self) -> int:
        return len(self.p_kw)

    def row(self, at: datetime) -> int:
        """The step that `at` lies in; IndexError when it lies outside."""
        row = (at.astimezone(UTC) - self.start.astimezone(UTC)) // self.step
        if not 0 <= row < len(self):
            raise IndexError(f"{at.isoformat()} is not within the profile from {self.start.isoformat()}")
        return row


class Profiles:
    """The base load and the PV of one network, scaled to its elements."""

    def __init__(
        self,
        grid: Grid,
        frame: pd.DataFrame,
        *,
        load_scale: float = 1.0,
        pv_scale: float = 1.0,
        standard_offset: timedelta = PROFILE_OFFSET,
    ) -> None:
        """`frame`: a leap year of quarter hours, columns `<profile>/p` and, for loads, `<profile>/q`, in per unit.

        `standard_offset`: local standard time less UTC, where the profiles are to be used.
        """
        if len(frame) != _QUARTERS:
            raise GridError(f"profiles of {grid.name!r}: {len(frame)} quarter hours, a leap year has {_QUARTERS}")
        self.grid = grid
        self.clock: tzinfo = timezone(standard_offset)
        """Local standard time, by which a row of the year is a time of day."""
        self.year_start = datetime(PROFILE_YEAR, 1, 1, tzinfo=self.clock)
        self.columns: tuple[str, ...] = tuple(frame.columns)
        self.year_values: Floats = frame.to_numpy(dtype=np.float64)
        column = {name: index for index, name in enumerate(self.columns)}
        load, sgen = grid.net.load, grid.net.sgen
        wanted = [*(f"{p}/{x}" for p in load.profile for x in "pq"), *(f"{p}/p" for p in sgen.profile)]
        if missing := sorted(set(wanted) - set(column)):
            raise GridError(f"profiles of {grid.name!r}: no column {', '.join(missing)}")

        def weights(names: list[str], scale: Floats, buses: npt.NDArray[np.int64]) -> Floats:
            """What one unit of each profile is in kW at each bus, [profiles, buses]."""
            matrix = np.zeros((len(column), len(grid.buses)))
            np.add.at(matrix, (np.array([column[name] for name in names]), buses), scale)
            return matrix

        load_kw = (load.p_mw * load.scaling).to_numpy() * 1e3 * load_scale
        load_kvar = (load.q_mvar * load.scaling).to_numpy() * 1e3 * load_scale
        pv_kw = (sgen.p_mw * sgen.scaling).to_numpy() * 1e3 * pv_scale
        self._load_p = weights([f"{p}/p" for p in load.profile], load_kw, grid.load_bus)
        self._load_q = weights([f"{p}/q" for p in load.profile], load_kvar, grid.load_bus)
        self._pv = weights([f"{p}/p" for p in sgen.profile], -pv_kw, grid.pv_bus)
        self.is_pv: npt.NDArray[np.bool_] = (self._pv != 0).any(axis=1)

    @classmethod
    def load(
        cls,
        grid: Grid,
        path: Path | None = None,
        *,
        load_scale: float = 1.0,
        pv_scale: float = 1.0,
        standard_offset: timedelta = PROFILE_OFFSET,
    ) -> Profiles:
        """The profiles shipped with a network, or those of a parquet file of the same shape."""
        source = Path(str(files("environment") / "data" / f"{grid.name}.parquet")) if path is None else path
        try:
            frame = pd.read_parquet(source)
        except (OSError, ValueError) as error:
            raise GridError(f"profiles {source.name}: cannot be read ({error})") from None
        return cls(grid, frame, load_scale=load_scale, pv_scale=pv_scale, standard_offset=standard_offset)

    def minutes(self, start: datetime, count: int) -> Injections:
        """`count` minutes from `start` (aware, on a whole minute)."""
        if start.second or start.microsecond:
            raise GridError(f"profiles: {start.isoformat()} is not on a whole minute")
        first = quarter_of(start)
        skip = (start.astimezone(UTC) - first.astimezone(UTC)) // timedelta(minutes=1)
        quarters = -(-(skip + count) // 15)
        around = self.values(later(first, -1), quarters + 2)
        return self.injections(smooth(around)[skip : skip + count], start, timedelta(minutes=1))

    def periods(self, start: datetime, count: int) -> Injections:
        """`count` quarter hours from `start` (aware, on a quarter hour)."""
        return self.injections(self.values(start, count), start, QUARTER)

    def year(self) -> Injections:
        """The whole profile year in quarter hours at every bus: 27 MB for each quantity."""
        return self.injections(self.year_values, self.year_start, QUARTER)

    def year_sum(self, per_kw: Floats, per_kvar: Floats) -> Floats:
        """`year()` added up over the buses with these weights [buses], one value for each quarter hour, but made from
        the few profiles and not from the many buses."""
        return np.asarray(self.year_values @ ((self._load_p + self._pv) @ per_kw + self._load_q @ per_kvar))

    def year_rows(self, rows: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
        """`p_kw` and `q_kvar` [rows, buses] of these quarter hours of the profile year."""
        values = self.year_values[rows]
        return values @ (self._load_p + self._pv), values @ self._load_q

    def values(self, start: datetime, count: int) -> Floats:
        """The profiles themselves, per unit of each element's size, [quarter hours from `start`, profiles]."""
        if quarter_of(start) != start:
            raise GridError(f"profiles: {start.isoformat()} is not on a quarter hour")
        return self.values_at([later(start, index) for index in range(count)])

    def values_at(self, instants: Sequence[datetime]) -> Floats:
        """The profiles in the quarter hours that these instants lie in, [instants, profiles]."""
        return self.year_values[[_row(instant, self.clock) for instant in instants]]

    def injections(self, values: Floats, start: datetime, step: timedelta) -> Injections:
        """What profile values [steps, profiles] are at the buses."""
        load, pv = values @ self._load_p, values @ self._pv
        return Injections(start, step, load + pv, values @ self._load_q, load.sum(axis=1), pv.sum(axis=1), pv)


def quarter_of(at: datetime) -> datetime:
    """The start of the quarter hour that `at` (aware) lies in."""
    if at.tzinfo is None:
        raise GridError(f"profiles: {at.isoformat()} has no time zone")
    instant = at.astimezone(UTC)
    return (instant - (instant - datetime(2000, 1, 1, tzinfo=UTC)) % QUARTER).astimezone(at.tzinfo)


def later(at: datetime, quarters: int) -> datetime:
    """So many quarter hours later (or earlier) in real time, whatever the local clock does in between."""
    return (at.astimezone(UTC) + quarters * QUARTER).astimezone(at.tzinfo)


def profile_date(day: date) -> date:
    """The day of the profile year that stands for `day`: the same weekday, nearest to the same date.

    At most three days off; near New Year, where the nearest lies in another year, on the other side and at most six.
    """
    same = date(PROFILE_YEAR, day.month, day.day)
    found = same + timedelta(days=(day.weekday() - same.weekday() + 3) % 7 - 3)
    return found + timedelta(weeks=PROFILE_YEAR - found.year)


def standard_offset(zone: tzinfo, year: int) -> timedelta:
    """The zone's time less UTC outside summer time: the smaller of those in January and in July of `year`."""
    offsets = [datetime(year, month, 1, tzinfo=zone).utcoffset() for month in (1, 7)]
    return min(offset for offset in offsets if offset is not None)


def _row(instant: datetime, clock: tzinfo) -> int:
    """The row of the profile year for an instant: its local day takes that day's profile. `clock`: standard time.

    A local day starts at local midnight, which in summer is 23:00 of standard time on the day before.
    """
    day = instant.date()
    offset = (instant - datetime(day.year, day.month, day.day, tzinfo=clock)) // QUARTER
    return ((profile_date(day) - date(PROFILE_YEAR, 1, 1)).days * 96 + offset) % _QUARTERS


def smooth(quarters: Floats) -> Floats:
    """Minute means [15 (n - 2), columns] from quarter-hour means [n, columns]; the first and last lead in and out.

    In each quarter f(x) = e0 + (e1 - e0) x + 6 (m - (e0 + e1) / 2) x (1 - x), 0 <= x <= 1: the parabola with the ends
    e0, e1 and the mean m. An end is the mean of both neighbours, at most three times the smaller: f >= 0.
    """
    before, after = quarters[:-1], quarters[1:]
    ends = (before + after) / 2
    positive = (before >= 0) & (after >= 0)
    ends = np.where(positive, np.minimum(ends, 3 * np.minimum(before, after)), ends)
    e0, e1, mean = ends[:-1], ends[1:], quarters[1:-1]
    edge = np.arange(16) / 15
    linear = 15 * np.diff(edge**2 / 2)[:, None, None]
    bump = 15 * np.diff(edge**2 / 2 - edge**3 / 3)[:, None, None]
    minutes = e0 + (e1 - e0) * linear + 6 * (mean - (e0 + e1) / 2) * bump
    return minutes.transpose(1, 0, 2).reshape(-1, quarters.shape[1])
