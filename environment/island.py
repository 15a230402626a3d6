"""One case of an island's day: each minute dispatched by the stated rule, each second with its frequency.

What happens when, as the operator's control would have it:

- Which thermal units run is decided each quarter hour (`agents.decisions.dispatch.commit`) from what was left for them
  on average in the last one, or in the last minute when that was more; a unit that was started runs for an hour. What
  vehicles draw to take up wind can be called off, and no unit is run for it. Demand that could not be served makes
  the decision at once.
- Every minute the plants get new set points from what the minute before was like (secondary control). Within a minute
  consumption and wind go evenly from the one minute to the next, and the set points go evenly to where they should have
  been at its beginning; what lies between is the imbalance that inertia, load and governors must bear. Wind that is
  limited stays at its limit until the next set point.
- A plant that is lost takes away what it gave, in that second.

kW, magnitudes: production and consumption are both >= 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from agents.decisions.dispatch import (
    Dispatch,
    Plant,
    PlantKind,
    commit,
    dispatch,
    fuel_kg,
    largest_infeed_kw,
    residual_kw,
)
from environment.frequency import SECOND
from environment.island_frequency import IslandFrequency, area_of
from environment.island_profiles import MINUTE, DemandSpec, IslandProfiles
from environment.profiles import QUARTER

LEAST_RUN_MINUTES: Final = 60
"""So long a thermal unit runs once it was started: assumption."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A plant that gives nothing from `start` to `end` (aware): a lost wind farm."""

    plant: str
    start: datetime
    end: datetime

    def lasts_at(self, instant: datetime) -> bool:
        """Whether the plant is lost at this instant."""
        return self.start <= instant < self.end


@dataclass(frozen=True)
class IslandSpec:
    """An island, or a slice of one. `plants`, `demand`: in kW of the slice. `load_damping_per_hz`: share of the load.

    `governor_s`: time constant of primary control; `least_thermal`: so many thermal units always run.
    """

    plants: tuple[Plant, ...]
    demand: DemandSpec
    load_damping_per_hz: float = 0.01
    incidents: tuple[Outage, ...] = ()
    governor_s: float = 0.5
    least_thermal: int = 2
    wind_profile: str = "WP4"

    def __post_init__(self) -> None:
        """Raises ValueError for two plants of one name and an outage of none."""
        names = [p.name for p in self.plants]
        if len(set(names)) != len(names):
            raise ValueError(f"island: two plants have the same name among {', '.join(names)}")
        if unknown := sorted({o.plant for o in self.incidents} - set(names)):
            raise ValueError(f"island: there is no plant {', '.join(unknown)} that could be lost")


@dataclass(frozen=True)
class IslandMinute:
    """A minute of the island: `demand_kw` without vehicles, `ev_kw` what they drew (negative: fed back)."""

    start: datetime
    demand_kw: float
    ev_kw: float
    dispatch: Dispatch
    frequency_hz: float
    frequency_min_hz: float
    frequency_max_hz: float
    fuel_kg: float


@dataclass(frozen=True, slots=True)
class PlantMeans:
    """What a plant gave and what it could have given, means over some minutes in kW."""

    production_kw: float
    available_kw: float


class Island:
    """The island with or without the service. Call `minute` for each minute in turn."""

    def __init__(self, spec: IslandSpec, profiles: IslandProfiles, begins: datetime) -> None:
        """`profiles`: shared by both cases; their minutes start at `begins`."""
        if profiles.begins.astimezone(UTC) != begins.astimezone(UTC):
            raise ValueError(f"island: the profiles begin at {profiles.begins.isoformat()}, not {begins.isoformat()}")
        self.spec = spec
        self.profiles = profiles
        self.begins = begins.astimezone(UTC)
        self.state: IslandMinute | None = None
        self._frequency = IslandFrequency(begins)
        self._available = {p.name: profiles.available_kw(p.name).tolist() for p in spec.plants}
        self._demand: list[float] = profiles.demand_kw.tolist()
        self._columns = {p.name: index for index, p in enumerate(spec.plants)}
        self._given = np.zeros((profiles.minutes, len(spec.plants)))
        self._could = np.zeros((profiles.minutes, len(spec.plants)))
        self._done = 0
        self._committed: dict[str, int] = {}
        self._left: deque[float] = deque(maxlen=15)
        self._interruptible: dict[int, tuple[float, float]] = {}
        self._last: Dispatch | None = None
        self._error_kw = 0.0
        self._load_kw = 0.0

    def minute(self, start: datetime, ev_kw: float) -> IslandMinute:
        """The minute that starts at `start`, in which vehicles draw `ev_kw` on average. ValueError out of turn."""
        index = (start.astimezone(UTC) - self.begins) // MINUTE
        if index != self._done or index >= self.profiles.minutes:
            raise ValueError(f"island: minute {index} ({start.isoformat()}) is asked for, minute {self._done} is next")
        lost_at = self._lost_at(start)
        before = self._dispatch(index, ev_kw, [p for p, second in lost_at.items() if second <= 0])
        after = self._dispatch(index, ev_kw, list(lost_at)) if any(s > 0 for s in lost_at.values()) else before
        hz, lowest, highest = self._seconds(before, {p: s for p, s in lost_at.items() if self._falls(p, start)})
        mean = _mixed(before, after, max([s for s in lost_at.values() if s > 0], default=60) / 60)
        self._given[index] = [mean.production_kw[p.name] for p in self.spec.plants]
        self._could[index] = [mean.available_kw[p.name] for p in self.spec.plants]
        self._last = after
        most, beyond = self._interruptible.get(index // 15, (0.0, 0.0))
        firm = after.demand_kw - min(max(0.0, ev_kw - beyond), most)
        self._left.append(residual_kw(self.spec.plants, firm, after.available_kw))
        self._done += 1
        self.state = IslandMinute(
            start=start,
            demand_kw=self._demand[index],
            ev_kw=ev_kw,
            dispatch=mean,
            frequency_hz=sum(hz) / len(hz),
            frequency_min_hz=lowest,
            frequency_max_hz=highest,
            fuel_kg=fuel_kg(self.spec.plants, mean, 1 / 60),
        )
        return self.state

    def interruptible(self, start: datetime, power_kw: float, *, beyond_kw: float) -> None:
        """Implements `agents.island_ports.DispatchCentre`: of what vehicles draw beyond `beyond_kw` in the quarter hour
        from `start`, up to `power_kw` is there to take up wind, and no thermal unit is run for it."""
        self._interruptible[(start.astimezone(UTC) - self.begins) // QUARTER] = power_kw, beyond_kw

    def at(self, instant: datetime) -> float:
        """Hz at an instant; nominal before the beginning, the last value beyond what has been computed."""
        return self._frequency.at(instant)

    def measured(self, plant: str, start: datetime, end: datetime) -> PlantMeans:
        """Means over past whole minutes. LookupError, in words, for a plant or a time that nothing was measured of."""
        first, last = ((t.astimezone(UTC) - self.begins) // MINUTE for t in (start, end))
        if plant not in self._columns:
            raise LookupError(f"there is no plant {plant} on the island")
        if not 0 <= first < last <= self._done:
            raise LookupError(f"nothing was measured of {plant} from {start.isoformat()} to {end.isoformat()}")
        rows, column = slice(first, last), self._columns[plant]
        return PlantMeans(float(self._given[rows, column].mean()), float(self._could[rows, column].mean()))

    # ---- one minute -------------------------------------------------------------------------------------------------

    def _lost_at(self, start: datetime) -> dict[str, int]:
        """The plants that are lost in this minute, and from which of its seconds on (0: before or at its start)."""
        found: dict[str, int] = {}
        for outage in self.spec.incidents:
            if outage.start < start + MINUTE and outage.end > start:
                second = max(0, (outage.start - start) // SECOND)
                found[outage.plant] = min(second, found.get(outage.plant, 60))
        return found

    def _falls(self, plant: str, start: datetime) -> bool:
        """Whether an outage of this plant begins in the minute, and was not there just before."""
        mine = [o for o in self.spec.incidents if o.plant == plant]
        begins = any(start <= o.start < start + MINUTE for o in mine)
        return begins and not any(o.start < start < o.end for o in mine)

    def _dispatch(self, index: int, ev_kw: float, lost: Sequence[str]) -> Dispatch:
        available = {name: 0.0 if name in lost else series[index] for name, series in self._available.items()}
        demand = max(0.0, self._demand[index] + ev_kw)
        at_quarter = (self.begins + index * MINUTE).minute % 15 == 0
        unserved = self._last is not None and self._last.unserved_kw > 0
        if at_quarter or unserved or not self._committed:
            self._commit(index, demand, available)
        return dispatch(self.spec.plants, demand, available, committed=tuple(self._committed))

    def _commit(self, index: int, demand: float, available: Mapping[str, float]) -> None:
        usable = [p for p in self.spec.plants if available[p.name] > 0]
        self._load_kw = demand
        left = list(self._left) or [residual_kw(usable, demand, available)]
        young = [n for n, since in self._committed.items() if 0 < since > index - LEAST_RUN_MINUTES]
        running = commit(
            usable,
            max(sum(left) / len(left), left[-1]),
            largest_infeed_kw(usable, available),
            least_thermal=self.spec.least_thermal,
            keep=young,
        )
        self._committed = {p.name: self._committed.get(p.name, index) for p in running}

    def _seconds(self, before: Dispatch, falls: Mapping[str, int]) -> tuple[list[float], float, float]:
        """The frequency through the minute, its lowest and its highest value."""
        last = before if self._last is None else self._last
        # What the thermal units would have to give at the minute's end if wind stayed where the last set point has it.
        wind = sum(self._held_wind_kw(name, last, before, falls) for name in last.kinds)
        must_run = sum(
            last.production_kw[n] if n in falls else before.production_kw[n]
            for n, kind in last.kinds.items()
            if kind is PlantKind.GEOTHERMAL or kind is PlantKind.HYDRO
        )
        change = before.demand_kw - must_run - wind - (last.thermal_kw + last.unserved_kw - last.surplus_kw)
        rest = last.surplus_kw - last.unserved_kw
        drift = rest - self._error_kw - change
        imbalance = [self._error_kw + drift * (second + 0.5) / 60 for second in range(60)]
        for name, second in falls.items():
            gave = last.production_kw[name]
            imbalance = [kw - gave if k >= second else kw for k, kw in enumerate(imbalance)]
        self._error_kw = rest - change - sum(last.production_kw[name] for name in falls)
        # Units that start or stop now count from the next minute on.
        area = area_of(
            self.spec.plants,
            last,
            damping_kw_per_hz=self.spec.load_damping_per_hz * self._load_kw,
            governor_s=self.spec.governor_s,
            lost=falls,
        )
        return self._frequency.run(area, imbalance)

    def _held_wind_kw(self, name: str, last: Dispatch, now: Dispatch, falls: Mapping[str, int]) -> float:
        if last.kinds[name] is not PlantKind.WIND:
            return 0.0
        if name in falls:
            return last.production_kw[name]
        limited = last.curtailed_kw > 0 and last.available_kw[name] > 0
        return min(now.available_kw[name], last.production_kw[name]) if limited else now.available_kw[name]


def _mixed(before: Dispatch, after: Dispatch, share: float) -> Dispatch:
    """The mean of a minute that was `before` for a share of it and `after` for the rest."""
    if before is after or share >= 1:
        return before
    rest = 1 - share

    def both(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
        return {name: share * kw + rest * other[name] for name, kw in one.items()}

    return replace(
        after,
        production_kw=both(before.production_kw, after.production_kw),
        available_kw=both(before.available_kw, after.available_kw),
        curtailed_kw=share * before.curtailed_kw + rest * after.curtailed_kw,
        thermal_kw=share * before.thermal_kw + rest * after.thermal_kw,
        unserved_kw=share * before.unserved_kw + rest * after.unserved_kw,
        surplus_kw=share * before.surplus_kw + rest * after.surplus_kw,
    )
