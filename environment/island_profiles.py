"""What an island consumes without vehicles, and what its wind, water and heat could give: minute by minute.

Made from two shipped years of SimBench quarter hours (`rural2.parquet`, `wind.parquet`). The profiles' clock is taken
for the place's own standard time, so that people get up and the sun rises when they do there: 00:00 local standard time
takes the profile's 00:00. Which day of the profile year stands for a day is `profiles.profile_date`.

- Demand: the energy shares of `DEMAND_MIX` (households, shops and services, industry), each the mean of the same
  quarter hour of the week in nine neighbouring weeks and of three neighbouring quarter hours, since an island has a
  thousand times as many customers as there are profiles; and a constant share (pumps, cooling, lighting, losses). The
  year's largest quarter hour is the peak that is asked for.
- Wind: one SimBench wind farm's profile on the plant's capacity. Within a quarter hour, turbulence: a first-order
  process that keeps the quarter's mean exactly and the limits 0 and capacity.
- Hydro is run of river and follows the season: a cosine with its maximum at the beginning of February.
- Geothermal plants give their capacity at all hours.

kW, all >= 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from agents.decisions.dispatch import Plant, PlantKind
from agents.grid_view import Floats
from environment.grid import GridError
from environment.profiles import PROFILE_YEAR, QUARTER, later, profile_date, quarter_of, smooth

MINUTE: Final = timedelta(minutes=1)
LEAD_MINUTES: Final = 60
"""How far back before the run its own measurements reach."""
DEMAND_MIX: Final[Mapping[str, float]] = {
    "H0-A/p": 0.07,
    "H0-B/p": 0.07,
    "H0-C/p": 0.07,
    "H0-G/p": 0.07,
    "H0-L/p": 0.06,
    "G2-A/p": 0.12,
    "G4-A/p": 0.20,
    "G6-A/p": 0.13,
    "G3-A/p": 0.21,
}
"""Shares of the energy that is not constant: 34 % households, 45 % commerce and services, 21 % industry and the rest.
After EDA's shares of sales in 2010 (docs/island.md)."""
MIXED_WEEKS: Final = 4
"""So many weeks before and after are averaged."""
TURBULENCE: Final = 0.03
"""Standard deviation of a wind farm's minutes within the quarter hour, per unit, at half its capacity: assumption."""
TURBULENCE_MINUTES: Final = 3.0
"""How long a gust lasts: assumption."""
HYDRO_MEAN: Final = 0.5
HYDRO_SEASON: Final = 0.25
HYDRO_MAXIMUM_DAY: Final = 32
"""Share of the capacity that water is there for: 0.75 in early February, 0.25 in early August. Assumption."""
_QUARTERS: Final = 366 * 96


@dataclass(frozen=True, slots=True)
class DemandSpec:
    """The island's consumption without vehicles: the year's largest quarter hour, and the share that is constant."""

    peak_kw: float
    constant_share: float = 0.5


class IslandProfiles:
    """What could be given and what is consumed, for the minutes of a run and the hour before it."""

    def __init__(
        self,
        plants: Sequence[Plant],
        demand: DemandSpec,
        begins: datetime,
        minutes: int,
        *,
        standard_offset: timedelta,
        rng: np.random.Generator,
        wind_profile: str = "WP4",
        wind: pd.DataFrame | None = None,
        loads: pd.DataFrame | None = None,
    ) -> None:
        """`begins`: aware, in the place's zone, on a quarter hour; `standard_offset`: its standard time from UTC.

        `rng`: for the turbulence. `wind`, `loads`: frames like the shipped ones. Raises GridError, in one line.
        """
        if quarter_of(begins) != begins:
            raise GridError(f"island: {begins.isoformat()} is not on a quarter hour")
        self.begins = begins
        self.minutes = minutes
        self._standard = timezone(standard_offset)
        farms = _column(_year(wind, "wind.parquet"), f"{wind_profile}/p")
        self._demand_year = _demand(_year(loads, "rural2.parquet"), demand)
        first = begins.astimezone(UTC) - LEAD_MINUTES * MINUTE
        rows = self._rows(first.astimezone(begins.tzinfo), minutes + LEAD_MINUTES)
        self._demand = _minutes(self._demand_year, rows)[: minutes + LEAD_MINUTES]
        smooth = _minutes(farms, rows)
        self._available: dict[str, Floats] = {}
        for plant in plants:
            if plant.kind is PlantKind.WIND:
                gusty = _turbulent(smooth, rng)[: minutes + LEAD_MINUTES]
                self._available[plant.name] = gusty * plant.capacity_kw
            elif plant.kind is PlantKind.HYDRO:
                self._available[plant.name] = self._season(first) * plant.capacity_kw
            else:
                self._available[plant.name] = np.full(minutes + LEAD_MINUTES, plant.capacity_kw)

    @property
    def demand_kw(self) -> Floats:
        """Consumption without vehicles, [minutes of the run]."""
        return self._demand[LEAD_MINUTES:]

    def available_kw(self, plant: str) -> Floats:
        """What a plant could give, [minutes of the run]. KeyError for one that is not there."""
        return self._available[plant][LEAD_MINUTES:]

    def index(self, instant: datetime) -> int:
        """The minute of the run that `instant` lies in; negative before it."""
        return (instant.astimezone(UTC) - self.begins.astimezone(UTC)) // MINUTE

    def past_demand_kw(self, first: int, last: int) -> Floats:
        """The minutes `first` to `last` of the run, from -60 on. IndexError outside."""
        return self._past(self._demand, first, last)

    def past_available_kw(self, plant: str, first: int, last: int) -> Floats:
        """What a plant could give in the minutes `first` to `last`, from -60 on. IndexError outside."""
        return self._past(self._available[plant], first, last)

    def usual_demand_kw(self, start: datetime, weeks: int = 4) -> Floats:
        """The mean of the 15 minutes from `start` (on a minute) over the same weekday of so many past weeks."""
        local = start.astimezone(self.begins.tzinfo)
        past = []
        for back in range(1, weeks + 1):
            day = local - timedelta(weeks=back)
            quarter = quarter_of(day)
            skip = (day.astimezone(UTC) - quarter.astimezone(UTC)) // MINUTE
            past.append(_minutes(self._demand_year, self._rows(quarter, skip + 15))[skip : skip + 15])
        return np.asarray(np.mean(past, axis=0))

    def _past(self, series: Floats, first: int, last: int) -> Floats:
        if not -LEAD_MINUTES <= first <= last <= self.minutes:
            raise IndexError(f"the island's minutes reach from {-LEAD_MINUTES} to {self.minutes}")
        return series[first + LEAD_MINUTES : last + LEAD_MINUTES]

    def _rows(self, start: datetime, minutes: int) -> npt.NDArray[np.int64]:
        """The rows of the profile year for the quarter hours from the one before `start` to the one after the end."""
        count = -(-minutes // 15) + 2
        return np.array([self._row(later(start, index - 1)) for index in range(count)])

    def _row(self, instant: datetime) -> int:
        """The row for an instant: its local day takes that day's profile, which starts at 00:00 standard time."""
        day = instant.date()
        offset = (instant - datetime(day.year, day.month, day.day, tzinfo=self._standard)) // QUARTER
        return ((profile_date(day) - date(PROFILE_YEAR, 1, 1)).days * 96 + offset) % _QUARTERS

    def _season(self, first: datetime) -> Floats:
        days = first.timetuple().tm_yday + np.arange(self.minutes + LEAD_MINUTES) / 1440
        return HYDRO_MEAN + HYDRO_SEASON * np.cos(2 * math.pi * (days - HYDRO_MAXIMUM_DAY) / 365.25)


def _year(frame: pd.DataFrame | None, shipped: str) -> pd.DataFrame:
    if frame is None:
        source = Path(str(files("environment") / "data" / shipped))
        try:
            frame = pd.read_parquet(source)
        except (OSError, ValueError) as error:
            raise GridError(f"profiles {shipped}: cannot be read ({error})") from None
    if len(frame) != _QUARTERS:
        raise GridError(f"profiles {shipped}: {len(frame)} quarter hours, a leap year has {_QUARTERS}")
    return frame


def _column(frame: pd.DataFrame, name: str) -> Floats:
    if name not in frame.columns:
        raise GridError(f"profiles: no column {name}; there are {', '.join(map(str, frame.columns))}")
    return frame[name].to_numpy(dtype=np.float64)


def _demand(loads: pd.DataFrame, spec: DemandSpec) -> Floats:
    """The year's demand in kW, for each quarter hour."""
    each = {name: _column(loads, name) for name in DEMAND_MIX}
    mix = np.sum([share * each[name] / each[name].mean() for name, share in DEMAND_MIX.items()], axis=0)
    weeks = range(-MIXED_WEEKS, MIXED_WEEKS + 1)
    mix = np.mean([np.roll(mix, 672 * week + quarter) for week in weeks for quarter in (-1, 0, 1)], axis=0)
    shape = spec.constant_share + (1 - spec.constant_share) * mix
    return np.asarray(spec.peak_kw * shape / shape.max())


def _minutes(year: Floats, rows: npt.NDArray[np.int64]) -> Floats:
    """Minute means from quarter-hour means; `rows` has one quarter hour more at each end."""
    return np.asarray(smooth(year[rows][:, None])[:, 0])


def _turbulent(smooth: Floats, rng: np.random.Generator) -> Floats:
    """Per-unit minutes with gusts: each quarter hour keeps its mean, each minute stays between 0 and 1."""
    stay = math.exp(-1 / TURBULENCE_MINUTES)
    kicks = rng.standard_normal(len(smooth)) * math.sqrt(1 - stay**2)
    gust = np.empty(len(smooth))
    last = 0.0
    for index, kick in enumerate(kicks.tolist()):
        last = stay * last + kick
        gust[index] = last
    gusts = gust.reshape(-1, 15)
    quarters = smooth.reshape(-1, 15)
    mean = quarters.mean(axis=1, keepdims=True)
    # Turbulence weighs most where the power curve is steep: nothing without wind, nothing at rated power.
    swing = quarters - mean + (gusts - gusts.mean(axis=1, keepdims=True)) * TURBULENCE * 4 * mean * (1 - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(swing > 0, (1 - mean) / swing, np.where(swing < 0, -mean / swing, np.inf))
    fits = np.minimum(1.0, room.min(axis=1, keepdims=True))
    return np.asarray((mean + swing * fits).clip(0.0, 1.0).ravel())
