"""The DSO's model of its own feeder, and what it expects of load, sun and stations: weeks, a day and hours ahead.

- Weeks ahead nobody knows more than what such days were like: a scenario is a past day of the same kind (a workday or
  one of a weekend) of the last `WEEKS` weeks, with the sum of the load off by a growth that nobody knows (`GROWTH`).
- A day ahead there is a forecast: of the load, the usual day corrected by what was measured last
  (`environment.forecast`); of the sun, what a weather service says. A scenario adds to it by how much the forecast of a
  past day was wrong that was made at the same hour.
- Hours ahead it is the forecast alone.

The weather service is modelled by what it gets wrong: it sees no passing cloud (its sun is a mean, with `CLOUDS`
quarters before and after), and each day it takes the sun for stronger or weaker than it will be by `SUN_ERROR` (the
standard deviation as a share, on the day itself and before it). That it is wrong by so much is an assumption.

What stations draw is that of one of their past days of the same kind (all stations of one day, as they depend on each
other), in the mean for what is usual. Scenarios depend on the run's seed and the day, not on what was asked before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from agents.grid_view import Floats, GridState, Sensitivity
from agents.periods import QUARTER
from agents.public_ports import Scenarios, StationSite
from environment.feeders import sections_of
from environment.forecast import Forecaster
from environment.grid import Grid, GridError
from environment.profiles import Profiles, later
from environment.public_history import PublicHistory, quarter_of_day
from environment.sessions import local

WEEKS: Final = 6
ERROR_DAYS: Final = 28
GROWTH: Final = 0.03
"""Standard deviation of the load's sum weeks ahead, as a share: an assumption."""
CLOUDS: Final = 4
SUN_ERROR: Final = (0.1, 0.2)
_PERIOD, _DAY_AHEAD, _SUN = 1, 2, 3


class Study:
    """Implements `agents.public_ports.NetworkStudy`. kW and kvar, drawn is positive."""

    def __init__(
        self,
        profiles: Profiles,
        stations: Sequence[StationSite],
        history: PublicHistory,
        zone: ZoneInfo,
        now: Callable[[], datetime],
        seed: int,
    ) -> None:
        """`profiles`: the network with its base load and PV; `history` has the stations in the order of `stations`;
        `now`: the clock. Raises GridError for a station that hangs on no bus, or a network with rings."""
        self.grid: Grid = profiles.grid
        self.profiles = profiles
        self.buses = self.grid.buses
        self.lines = self.grid.lines
        self._history = history
        self._seed = seed
        self._now = now
        self._zone = zone
        self._forecaster = Forecaster(profiles)
        net = self.grid.net
        line = net.line
        self.line_rating_kw: Floats = (
            np.sqrt(3) * net.bus.vn_kv[line.from_bus].to_numpy() * line.max_i_ka * line.df * line.parallel
        ).to_numpy(dtype=np.float64) * 1e3
        name = {index: str(bus) for index, bus in net.bus.name.items()}
        ends = [
            (str(row["name"]), name[row["from_bus"]], name[row["to_bus"]])
            for row in line[["name", "from_bus", "to_bus"]].to_dict("records")
        ]
        try:
            self.sections = sections_of(name[net.trafo.lv_bus.iloc[0]], ends)
        except ValueError as error:
            raise GridError(f"network {self.grid.name!r}: {error}") from None
        self._at_bus = np.zeros((len(stations), len(self.buses)))
        for number, site in enumerate(stations):
            self._at_bus[number, self.grid.index(site.location)] = 1.0
        self._stations = tuple(site.station_id for site in stations)
        if self._stations != history.stations:
            raise GridError(f"network {self.grid.name!r}: the stations' history is of other stations")
        self._wrong = lru_cache(maxsize=1024)(self._wrong_on)

    # Scenarios ----------------------------------------------------------------------------------------------

    def period(self, first: date, days: int, count: int, window: tuple[time, time]) -> Scenarios:
        """See `agents.public_ports.NetworkStudy`: the days are spread evenly over the period."""
        rng = np.random.default_rng([self._seed, _PERIOD, first.toordinal(), days])
        past, starts = self._past(7 * WEEKS), quarters_of(first, window, self._zone)
        drawn = []
        for number in range(count):
            day = first + timedelta(days=number * days // count)
            like = quarters_of(self._like(rng, day, past), window, self._zone)
            growth = np.where(self.profiles.is_pv, 1.0, max(0.5, 1 + GROWTH * float(rng.standard_normal())))
            values = self.profiles.values_at(like) * growth
            base = self.profiles.injections(values, starts[0], QUARTER)
            drawn.append((base.p_kw, base.q_kvar, self._station_kw(rng, day, starts)))
        return _scenarios(starts, drawn)

    def day_ahead(self, day: date, count: int, window: tuple[time, time]) -> Scenarios:
        """See `agents.public_ports.NetworkStudy`: the forecast of now, and by how much past ones were wrong."""
        now = self._now().astimezone(self._zone)
        rng = np.random.default_rng([self._seed, _DAY_AHEAD, day.toordinal()])
        past, starts = self._past(ERROR_DAYS), quarters_of(day, window, self._zone)
        expected_kw, expected_kvar = self._expected(starts, now)
        ahead, clock = (day - now.date()).days, now.time().replace(second=0, microsecond=0)
        drawn = []
        for _ in range(count):
            like = self._like(rng, day, past)
            wrong_kw, wrong_kvar = self._wrong(like, ahead, clock, window)
            power = expected_kw + wrong_kw, expected_kvar + wrong_kvar
            drawn.append((*power, self._station_kw(rng, day, starts)))
        return _scenarios(starts, drawn)

    def _wrong_on(self, day: date, ahead: int, clock: time, window: tuple[time, time]) -> tuple[Floats, Floats]:
        """Measured less expected (kW, kvar) [quarters, buses]; `day` was forecast `ahead` days before, at `clock`."""
        starts = quarters_of(day, window, self._zone)
        made = local(day - timedelta(days=ahead), _since_midnight(clock), self._zone).astimezone(self._zone)
        expected_kw, expected_kvar = self._expected(starts, made)
        measured = self.profiles.injections(self.profiles.values_at(starts), starts[0], QUARTER)
        return measured.p_kw - expected_kw, measured.q_kvar - expected_kvar

    def _expected(self, at: Sequence[datetime], now: datetime) -> tuple[Floats, Floats]:
        """The forecast made at `now` of these quarter hours in a row (kW, kvar) [quarters, buses], without stations."""
        usual = self._forecaster.periods(at[0], len(at), now=now)
        around = [later(at[0], number - CLOUDS) for number in range(len(at) + 2 * CLOUDS)]
        sun = self.profiles.injections(self.profiles.values_at(around), around[0], QUARTER).pv_kw_by_bus
        seen = np.array([sun[row : row + 2 * CLOUDS + 1].mean(axis=0) for row in range(len(at))])
        strength = np.array([self._strength(each.date(), now.date()) for each in at])
        return usual.p_kw - usual.pv_kw_by_bus + seen * strength[:, None], usual.q_kvar

    def _strength(self, day: date, made: date) -> float:
        """How strong the weather service takes a day's sun to be, as a share of what it will be."""
        ahead = int(day > made)
        luck = float(np.random.default_rng([self._seed, _SUN, day.toordinal(), ahead]).standard_normal())
        return float(np.clip(1 + SUN_ERROR[ahead] * luck, 0.5, 1.5))

    def _past(self, days: int) -> list[date]:
        """The local days that are over."""
        today = self._now().astimezone(self._zone).date()
        return [today - timedelta(days=back) for back in range(1, days + 1)]

    def _like(self, rng: np.random.Generator, day: date, past: Sequence[date]) -> date:
        """One of the past days of the same kind."""
        alike = [each for each in past if _is_weekend(each) == _is_weekend(day)]
        return alike[int(rng.integers(len(alike)))]

    def _station_kw(self, rng: np.random.Generator, day: date, starts: Sequence[datetime]) -> Floats:
        """What the stations drew on one of their past days of the same kind, [quarters, stations]."""
        alike = self._alike(day)
        return self._history.station_kw[alike[int(rng.integers(len(alike)))], [quarter_of_day(at) for at in starts]]

    def _alike(self, day: date) -> list[int]:
        """The numbers of the history's days of the same kind; of all days where there is none."""
        dates = self._history.dates
        alike = [number for number, each in enumerate(dates) if _is_weekend(each) == _is_weekend(day)]
        return alike or list(range(len(dates)))

    # Hours ahead --------------------------------------------------------------------------------------------

    def look_ahead(
        self, start: datetime, periods: int, station_kw: Mapping[str, Sequence[float]] | None = None
    ) -> list[GridState]:
        """See `agents.public_ports.NetworkStudy`. GridError for an unknown station or a wrong number of values."""
        start = start.astimezone(self._zone)
        drawn = dict(self.station_usual_kw(start, periods)) | {k: tuple(v) for k, v in (station_kw or {}).items()}
        if unknown := sorted(set(drawn) - set(self._stations)):
            raise GridError(f"look-ahead: there is no station {unknown[0]!r}")
        if wrong := [name for name in self._stations if len(drawn[name]) != periods]:
            raise GridError(
                f"look-ahead: {len(drawn[wrong[0]])} values for station {wrong[0]!r}, {periods} periods are wanted"
            )
        stations = np.array([drawn[name] for name in self._stations]).T @ self._at_bus
        at = [later(start, number) for number in range(periods)]
        expected_kw, expected_kvar = self._expected(at, self._now().astimezone(self._zone))
        return self.grid.solve_many(expected_kw + stations, expected_kvar, at=at)

    def station_usual_kw(self, start: datetime, periods: int) -> Mapping[str, tuple[float, ...]]:
        """See `agents.public_ports.NetworkStudy`: the mean of the past days of the same kind."""
        start = start.astimezone(self._zone)
        at = [later(start, number) for number in range(periods)]
        usual = {day: self._history.station_kw[self._alike(day)].mean(axis=0) for day in {each.date() for each in at}}
        rows = [usual[each.date()][quarter_of_day(each)] for each in at]
        return {name: tuple(float(row[k]) for row in rows) for k, name in enumerate(self._stations)}

    # Power flow ---------------------------------------------------------------------------------------------

    def solve(self, p_kw: Floats, q_kvar: Floats) -> list[GridState]:
        """See `agents.public_ports.NetworkStudy`. Raises PowerFlowError where a state has no solution."""
        return self.grid.solve_many(np.array(p_kw), np.array(q_kvar))

    def sensitivity(self, state: GridState) -> Sensitivity:
        """See `agents.public_ports.NetworkStudy`."""
        return self.grid.sensitivity(state)


def quarters_of(day: date, window: tuple[time, time], zone: ZoneInfo) -> tuple[datetime, ...]:
    """The quarter hours of a local day that start in the window, as local times."""
    first, last = (local(day, _since_midnight(clock), zone) for clock in window)
    return tuple(later(first.astimezone(zone), number) for number in range((last - first) // QUARTER))


def _scenarios(starts: Sequence[datetime], drawn: Sequence[tuple[Floats, Floats, Floats]]) -> Scenarios:
    """Power at the buses, reactive power and the stations' power of each scenario, one array each."""
    p_kw, q_kvar, station_kw = (np.array(each) for each in zip(*drawn, strict=True))
    return Scenarios(tuple(at.astimezone(UTC) for at in starts), p_kw, q_kvar, station_kw)


def _since_midnight(clock: time) -> timedelta:
    return timedelta(hours=clock.hour, minutes=clock.minute)


def _is_weekend(day: date) -> bool:
    return day.weekday() >= 5
