"""Who the drivers are, and when, where and how much they need to charge: drawn from stated fits and assumptions.

- The energy is gamma distributed with the shape (2.853) and the mean (32 kWh) of the 1,878 fast-charging sessions of
  DESL-EPFL's Level-3-EV-charging-dataset (MIT; measured 2022-2023 in south-western Switzerland), no more than takes the
  car from `LEAST_SOC` to the scenario's `most_soc_percent`, where a driver leaves a fast charger to others.
- On a day on which a driver needs to charge, the usual stay is in the evening near home (`EVENING_SHARE`) or at midday
  near work; at weekends both are near home. A car can do the other instead (`OTHER_SHARE`), and the midday of the next
  day (`NEXT_SHARE`) if it needs nothing then. When they come and how long they stay (`EVENING`, `MIDDAY`) are
  assumptions: the data have two plugs beside a motorway, with a broad maximum from 10:00 to 19:00.
- A driver asks some hours before the usual stay (`HOURS_AHEAD`), not before `FIRST_ASKING`: an assumption too.

Every driver draws from a random stream of its own, so that one more at the end does not change the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from math import cos, radians

import numpy as np

from agents.public_ports import Need
from environment.public_scenario import PlacePart, PublicScenario
from environment.sessions import ENERGY_SHAPE, Habit, local
from protocols import exchanges as x

MEAN_ENERGY_KWH = 32.0
LEAST_ENERGY_KWH = 5.0
LEAST_SOC = 10.0
"""%: how empty a car is that could not be emptier."""
EVENING_SHARE = 0.6
OTHER_SHARE = 0.8
NEXT_SHARE = 0.3
FIRST_ASKING = timedelta(hours=6, minutes=30)
LEAST_AHEAD = timedelta(minutes=30)
EVENING, MIDDAY = "evening", "midday"
ARRIVAL = {EVENING: Habit(19.0, 1.25, 16.5, 21.5), MIDDAY: Habit(12.75, 1.25, 10.0, 15.0)}
LENGTH_H = {EVENING: (0.75, 2.5), MIDDAY: (0.75, 1.5)}
"""Evenly distributed; longer where the energy asked for takes longer."""
HOURS_AHEAD = {EVENING: (2.0, 12.0), MIDDAY: (0.75, 5.0)}
ROOM = 1.25
"""How much longer than a charger needs a stay is at least."""
KM_PER_DEGREE = 111.2


@dataclass(frozen=True, slots=True)
class Position:
    """Degrees north and east."""

    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver (the agent's name), the car, and the needs in the order in which they are asked for."""

    name: str
    home: Position
    work: Position
    capacity_kwh: float
    max_charge_kw: float
    within_km: float
    follows_prices: bool
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """All drivers of a run, also those who never need anything."""

    drivers: tuple[Driver, ...]

    def in_time(self) -> list[tuple[Driver, Need]]:
        """Every need with its driver, in the order in which they are asked for."""
        pairs = [(driver, need) for driver in self.drivers for need in driver.needs]
        return sorted(pairs, key=lambda pair: (pair[1].asks_at, pair[1].need_id))


def draw(rng: np.random.Generator, scenario: PublicScenario) -> Needs:
    """The drivers and their needs in a run; `rng` comes from the run's seed. Nobody asks in the first 45 minutes, in
    which the stations and the drivers enter the swarm, and every stay ends half an hour before the run."""
    begins, ends = (at.astimezone(UTC) for at in (scenario.begins, scenario.ends))
    return between(rng, scenario, begins + timedelta(minutes=45), ends - timedelta(minutes=30))


def between(rng: np.random.Generator, scenario: PublicScenario, opens: datetime, closes: datetime) -> Needs:
    """The same people in another time: needs that are asked for from `opens` on, with stays until `closes` (UTC)."""
    names = scenario.people.names()
    return Needs(
        tuple(
            _driver(stream, scenario, name, opens, closes)
            for name, stream in zip(names, rng.spawn(len(names)), strict=True)
        )
    )


def _driver(rng: np.random.Generator, scenario: PublicScenario, name: str, opens: datetime, closes: datetime) -> Driver:
    people = scenario.people
    home, work = (_position(rng, scenario.of_place(kind)) for kind in ("home", "work"))
    capacity, power = (round(float(rng.uniform(*span)), 1) for span in (people.battery_kwh, people.max_charge_kw))
    within = round(float(rng.uniform(*people.within_km)), 1)
    follows = bool(rng.random() < people.follows_prices_share)
    driver = Driver(name, home, work, capacity, power, within, follows, ())
    needs = tuple(_needs(rng, scenario, driver, opens, closes))
    return replace(driver, needs=needs)


def _position(rng: np.random.Generator, places: tuple[PlacePart, ...]) -> Position:
    """Somewhere around one of the places, to about ten metres."""
    weights = np.array([place.weight for place in places])
    place = places[int(rng.choice(len(places), p=weights / weights.sum()))]
    north, east = rng.normal(0.0, place.spread_km, 2) / KM_PER_DEGREE
    return Position(
        round(float(np.clip(place.latitude_deg + north, -90, 90)), 4),
        round(float(place.longitude_deg + east / max(cos(radians(place.latitude_deg)), 0.01)), 4),
    )


def _needs(
    rng: np.random.Generator, scenario: PublicScenario, driver: Driver, opens: datetime, closes: datetime
) -> Iterator[Need]:
    """The needs of one driver, a day after the other."""
    first, last = (at.astimezone(scenario.zone).date() for at in (opens, closes))
    days = [first + timedelta(days=k) for k in range((last - first).days + 2)]
    # Drawn for every day, so that what one day has does not shift the days after it.
    streams = dict(zip(days, rng.spawn(len(days)), strict=True))
    wanted = {day: bool(streams[day].random() < scenario.people.needs_per_day) for day in days}
    number = 0
    for day in days[:-1]:
        if not wanted[day]:
            continue
        need = _need(
            streams[day], scenario, driver, day, f"{driver.name}-{number + 1}", wanted[day + timedelta(days=1)]
        )
        if need.asks_at < opens and need.stays[0].arrival >= opens + LEAST_AHEAD:
            need = replace(need, asks_at=opens + timedelta(minutes=int(streams[day].integers(0, 30))))
        usual, *others = need.stays
        if need.asks_at >= opens and usual.departure <= closes:
            possible = [stay for stay in others if stay.arrival >= need.asks_at and stay.departure <= closes]
            number += 1
            yield replace(need, stays=(usual, *possible))


def _need(
    rng: np.random.Generator, scenario: PublicScenario, driver: Driver, day: date, need_id: str, busy_tomorrow: bool
) -> Need:
    people = scenario.people
    most = (people.most_soc_percent - LEAST_SOC) / 100 * driver.capacity_kwh
    energy = float(np.clip(rng.gamma(ENERGY_SHAPE, MEAN_ENERGY_KWH / ENERGY_SHAPE), LEAST_ENERGY_KWH, most))
    energy = np.floor(energy * 10) / 10
    soc = np.floor((people.most_soc_percent - 100 * energy / driver.capacity_kwh) * 10) / 10
    usual = EVENING if rng.random() < EVENING_SHARE else MIDDAY
    other = MIDDAY if usual == EVENING else EVENING
    takes_h = energy / min(driver.max_charge_kw, max(station.charger_kw for station in scenario.station))
    stays = {part: _stay(rng, scenario, driver, day, part, takes_h) for part in (EVENING, MIDDAY)}
    tomorrow = _stay(rng, scenario, driver, day + timedelta(days=1), MIDDAY, takes_h)
    ahead = timedelta(minutes=round(60 * rng.uniform(*HOURS_AHEAD[usual])))
    asks_at = max(stays[usual].arrival - ahead, local(day, FIRST_ASKING, scenario.zone))
    chosen = [stays[usual]]
    if rng.random() < OTHER_SHARE and stays[other].arrival >= asks_at + LEAST_AHEAD:
        chosen.append(stays[other])
    if rng.random() < NEXT_SHARE and not busy_tomorrow:
        chosen.append(tomorrow)
    return Need(
        need_id,
        asks_at,
        float(soc),
        float(energy),
        driver.capacity_kwh,
        driver.max_charge_kw,
        driver.within_km,
        tuple(chosen),
    )


def _stay(
    rng: np.random.Generator, scenario: PublicScenario, driver: Driver, day: date, part: str, takes_h: float
) -> x.Stay:
    where = driver.work if part == MIDDAY and day.weekday() < 5 else driver.home
    arrival = local(day, ARRIVAL[part].draw(rng), scenario.zone)
    hours = max(float(rng.uniform(*LENGTH_H[part])), ROOM * takes_h + 0.25)
    return x.Stay(
        latitude_deg=where.latitude_deg,
        longitude_deg=where.longitude_deg,
        arrival=arrival,
        departure=arrival + timedelta(minutes=round(60 * hours)),
    )
