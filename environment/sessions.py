"""Who parks where, from when to when, with how much in the battery: drawn from stated fits, or the user's own CSV.

The fits, and where they come from:

- The energy that a session asks for is gamma distributed. Its shape (2.85, a coefficient of variation of 0.59) is the
  maximum-likelihood fit to the 1,878 sessions of DESL-EPFL's Level-3-EV-charging-dataset (MIT; measured 2022-2023 in
  south-western Switzerland); those are fast-charging sessions, so their mean (32 kWh) is replaced by an assumption for
  slow charging, `MEAN_ENERGY_KWH`.
- The state of charge that drivers want is beta distributed (3.75, 1.15), the fit to the state of charge at which the
  same sessions ended, conditioned on `LEAST_WANTED` (below it they were cut short rather than done), in steps of 5 %.
- Arrivals and departures are normal distributed and cut to a plausible span. Their parameters (`HABITS`) are
  assumptions about commuters, not fits: the data have no home or office parking.
- Where a site has a timer (`charges_from`, the start of the cheap hours, which last until `CHEAP_UNTIL`) a vehicle that
  comes in the dear hours waits for it, unless the wanted charge could then not be reached. Real timers do not start in
  the same second: each waits up to `TIMER_SPREAD_S` longer, evenly distributed. That is an assumption; the width is the
  one that the United Kingdom asks of home chargers (SI 2021/1467, regulation 11: a random delay of up to 600 s). The
  cheap hours until 8:00 are those of the two-rate tariff in Portugal's daily cycle (22:00 to 8:00).

Every charger has a vehicle of its own, and draws from a random stream of its own, so one more charger at the end does
not change the others. Local times follow the scenario's time zone, also on the days when clocks change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from environment.scenario_parts import Scenario, SitePart
from environment.vehicles import Fleet, Vehicle

ENERGY_SHAPE = 2.853
MEAN_ENERGY_KWH = 14.0
WANTED_SOC = (3.747, 1.148)
LEAST_WANTED = 0.7
LEAST_ON_ARRIVAL = 0.1
AT_HOME = 0.95
"""Share of the nights that a household's vehicle spends at home; an assumption, like `AT_WORK` and `AT_POOL`."""
AT_WORK = 0.9
AT_POOL = 1.0
"""Of the nights that a vehicle of a pool or of a residence's car park stands there."""
CHEAP_UNTIL = time(8)
TIMER_SPREAD_S = 600.0


@dataclass(frozen=True, slots=True)
class Habit:
    """A time of day: mean and standard deviation in hours, cut to `first` .. `last`."""

    mean_h: float
    deviation_h: float
    first_h: float
    last_h: float

    def draw(self, rng: np.random.Generator) -> timedelta:
        """Hours since midnight by the clock on the wall, to the minute."""
        hours = float(np.clip(rng.normal(self.mean_h, self.deviation_h), self.first_h, self.last_h))
        return timedelta(minutes=round(hours * 60))


WORKDAY, WEEKEND = 0, 1


@dataclass(frozen=True, slots=True)
class Parking:
    """When a kind of vehicle parks: arrival and departure, each for workdays and weekends. `overnight`: it departs on
    the day after; `share` of the days it is there, on weekends too where it stays overnight."""

    arrival: tuple[Habit, Habit]
    departure: tuple[Habit, Habit]
    overnight: bool
    share: float


_HOME = Parking(
    (Habit(17.75, 1.25, 14.5, 22.5), Habit(17.0, 2.5, 13.5, 22.5)),
    (Habit(7.25, 0.75, 5.5, 10.0), Habit(10.0, 1.5, 6.5, 13.0)),
    overnight=True,
    share=AT_HOME,
)
_WORK = Parking(
    (Habit(8.0, 0.6, 6.5, 10.0), Habit(9.0, 1.0, 7.0, 11.0)),
    (Habit(16.25, 0.9, 13.0, 19.0), Habit(15.0, 1.0, 12.0, 18.0)),
    overnight=False,
    share=AT_WORK,
)
_POOL = Parking(
    (Habit(17.0, 1.0, 15.25, 20.0), Habit(17.0, 2.0, 15.25, 21.0)),
    (Habit(7.75, 0.5, 6.5, 9.5), Habit(10.0, 1.0, 8.0, 12.0)),
    overnight=True,
    share=AT_POOL,
)
HABITS: Mapping[str, Parking] = {
    "household": _HOME,
    "house": _HOME,
    "building": _HOME,
    "office": _WORK,
    "company": _WORK,
    "pool": _POOL,
}


@dataclass(frozen=True, slots=True)
class Session:
    """A vehicle at a charger from `arrival` to `departure` (UTC); percentages are of the battery's capacity.

    `charges_from` (UTC): where the charger has a timer, the first instant, not before `arrival`, at which its own plan
    charges; None where it has none.
    """

    charger_id: str
    vehicle_id: str
    arrival: datetime
    departure: datetime
    capacity_kwh: float
    soc_arrival_percent: float
    soc_wanted_percent: float
    charges_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sessions:
    """All vehicles of a run and what they do, in the order of arrival; `warnings` are lines for the user."""

    vehicles: tuple[Vehicle, ...]
    sessions: tuple[Session, ...]
    warnings: tuple[str, ...] = ()

    def of(self, charger_id: str) -> tuple[Session, ...]:
        """The sessions at one charger."""
        return tuple(session for session in self.sessions if session.charger_id == charger_id)


def local(day: date, clock: timedelta, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which the clocks of `zone` show `clock` after midnight.

    UTC, because Python subtracts and compares two times of one zone as if its clocks never changed.
    """
    return (datetime.combine(day, time(), zone) + clock).astimezone(UTC)


def vehicle_for(site: SitePart, vehicle_id: str, capacity_kwh: float) -> Vehicle:
    """A vehicle that can do what the site's chargers can."""
    return Vehicle(
        vehicle_id,
        capacity_kwh,
        site.max_charge_kw,
        site.max_discharge_kw,
        floor_soc=site.minimum_soc_percent / 100,
        efficiency_charge=site.efficiency_charge,
        efficiency_discharge=site.efficiency_discharge,
    )


def soc_after(vehicle: Vehicle, soc: float, hours: float, target_soc: float = 1.0) -> float:
    """The state of charge (a fraction) after `hours` of charging with all the vehicle takes, up to `target_soc`."""
    if soc >= target_soc or hours <= 0:
        return soc
    fleet = Fleet([replace(vehicle, soc=soc)])
    fleet.connected[:] = True
    fleet.step(fleet.max_charge_kw, hours * 3600, target_soc * fleet.capacity_kwh)
    return float(fleet.soc[0])


def generate(rng: np.random.Generator, scenario: Scenario) -> Sessions:
    """The sessions of a run, drawn from the fits above; `rng` comes from the run's seed."""
    chargers = [(site, charger_id) for site in scenario.sites for charger_id in site.charger_ids()]
    vehicles: list[Vehicle] = []
    sessions: list[Session] = []
    for (site, charger_id), stream in zip(chargers, rng.spawn(len(chargers)), strict=True):
        vehicle = vehicle_for(site, f"{charger_id}-ev", round(float(stream.uniform(*site.capacity_kwh)), 1))
        vehicles.append(vehicle)
        # A stream of its own, so that a timer does not change who comes when.
        [delays] = stream.spawn(1)
        for arrival, departure in _stays(stream, HABITS[site.kind], scenario):
            session = _session(stream, charger_id, vehicle, arrival, departure)
            delay = timedelta(seconds=round(delays.uniform(0, TIMER_SPREAD_S)))
            if site.charges_from is not None:
                starts = charges_from(session, vehicle, site.charges_from, delay, scenario.zone)
                session = replace(session, charges_from=starts)
            if in_run := within(session, vehicle, scenario):
                sessions.append(in_run)
    return Sessions(tuple(vehicles), in_order(sessions))


def in_order(sessions: Sequence[Session]) -> tuple[Session, ...]:
    """By arrival, then by charger."""
    return tuple(sorted(sessions, key=lambda s: (s.arrival, s.charger_id)))


def _stays(rng: np.random.Generator, habit: Parking, scenario: Scenario) -> Iterator[tuple[datetime, datetime]]:
    day, last = scenario.begins.date() - timedelta(days=1), scenario.ends.date()
    while day <= last:
        leaves = day + timedelta(days=1) if habit.overnight else day
        arrival = local(day, habit.arrival[_kind_of(day)].draw(rng), scenario.zone)
        departure = local(leaves, habit.departure[_kind_of(leaves)].draw(rng), scenario.zone)
        # Drawn on every day, so that a day's absence does not shift the days after it.
        there = rng.random() < habit.share
        if there and (habit.overnight or _kind_of(day) == WORKDAY):
            yield arrival, departure
        day += timedelta(days=1)


def _kind_of(day: date) -> int:
    return WEEKEND if day.weekday() >= 5 else WORKDAY


def _session(
    rng: np.random.Generator, charger_id: str, vehicle: Vehicle, arrival: datetime, departure: datetime
) -> Session:
    energy_kwh = rng.gamma(ENERGY_SHAPE, MEAN_ENERGY_KWH / ENERGY_SHAPE)
    wanted = 0.0
    while wanted < LEAST_WANTED:
        wanted = round(rng.beta(*WANTED_SOC) * 20) / 20
    arrives = max(round(wanted - energy_kwh / vehicle.capacity_kwh, 3), LEAST_ON_ARRIVAL)
    # Nobody asks for what cannot be: the next 5 % step below what the stay allows.
    possible = soc_after(vehicle, arrives, (departure - arrival).total_seconds() / 3600)
    if wanted > possible:
        wanted = max(np.floor(possible * 20) / 20, arrives)
    return Session(
        charger_id,
        vehicle.vehicle_id,
        arrival,
        departure,
        vehicle.capacity_kwh,
        round(arrives * 100, 1),
        round(float(wanted) * 100, 1),
    )


def charges_from(session: Session, vehicle: Vehicle, timer: time, delay: timedelta, zone: ZoneInfo) -> datetime:
    """When a timer lets the vehicle charge (UTC): at once in the cheap hours, else when they next begin plus `delay`;
    at once too where that is so late that it would not get what is wanted."""
    arrives = session.arrival.astimezone(zone)
    cheap = arrives.time() >= timer, arrives.time() < CHEAP_UNTIL
    if any(cheap) if timer >= CHEAP_UNTIL else all(cheap):
        return session.arrival
    day = arrives.date() + timedelta(days=int(arrives.time() >= timer))
    starts = local(day, timedelta(hours=timer.hour, minutes=timer.minute, seconds=timer.second), zone) + delay
    hours = (session.departure - starts).total_seconds() / 3600
    wanted = session.soc_wanted_percent / 100
    reached = soc_after(vehicle, session.soc_arrival_percent / 100, hours, wanted)
    return starts if reached >= wanted - 1e-9 else session.arrival


def within(session: Session, vehicle: Vehicle, scenario: Scenario) -> Session | None:
    """The part of a session that lies in the run; one that began earlier has charged by its own plan until then."""
    if session.departure <= scenario.begins or session.arrival >= scenario.ends:
        return None
    if session.arrival >= scenario.begins:
        return session
    begins = scenario.begins.astimezone(UTC)
    plan = session.charges_from
    hours = (begins - (session.arrival if plan is None else plan)).total_seconds() / 3600
    soc = soc_after(vehicle, session.soc_arrival_percent / 100, hours, session.soc_wanted_percent / 100)
    return replace(
        session,
        arrival=begins,
        soc_arrival_percent=round(soc * 100, 1),
        charges_from=None if plan is None else max(plan, begins),
    )
