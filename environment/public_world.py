"""The physical world of public stations: a network by quarter hours, meters to the second, cars that come at any time.

A quarter hour is what the network of many customers is known by; what the stations draw in it is the mean of what their
chargers really drew, and their highest power is that of any moment (`environment.public_meters`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from agents.grid_view import GridState
from agents.public_ports import CarError, CarReading
from environment.charging import Charging, ParkError
from environment.public_columns import CAP, FLOW, HIGHEST, LOADING, REVERSE, STATION
from environment.public_meters import StationMeters
from environment.public_plant import behind, flow_kw
from environment.series import Case, SeriesRecorder
from environment.summary import DriverOutcome
from environment.world import MINUTE, QUARTER, Plant, World

NO_CAP = float("nan")


class PublicCar:
    """Implements `agents.public_ports.Car`: one driver's car, which is plugged in where the driver says."""

    def __init__(self, world: PublicWorld, driver: str, vehicle_id: str) -> None:
        fleet = world.park.fleet
        self.vehicle_id = vehicle_id
        self._world, self._driver, self._number = world, driver, fleet.index[vehicle_id]
        self.capacity_kwh = float(fleet.capacity_kwh[self._number])
        self.max_charge_kw = float(fleet.max_charge_kw[self._number])
        self._efficiency = float(fleet.efficiency_charge[self._number])
        self._charger: str | None = None
        self._before_kwh = 0.0
        self._arrived: datetime | None = None
        self._arrived_soc = self._target_soc = 0.0

    def plug_in(self, charger_id: str, *, soc_percent: float, target_percent: float) -> None:
        """Raises CarError."""
        park = self._world.park
        if charger_id not in park.index:
            raise CarError(f"{self.vehicle_id}: there is no charger {charger_id}")
        try:
            park.plug_in(charger_id, self.vehicle_id, soc=soc_percent / 100, target_soc=target_percent / 100)
        except ParkError as error:
            raise CarError(f"{self.vehicle_id}: {error}") from None
        self._charger, self._arrived = charger_id, self._world.now()
        self._before_kwh = self._imported_kwh()
        self._arrived_soc, self._target_soc = soc_percent / 100, target_percent / 100
        self._world.plugged[self.vehicle_id] = self
        self._note("plug_in", charger_id=charger_id, soc_percent=soc_percent, target_percent=target_percent)

    def unplug(self) -> CarReading:
        last = self.reading()
        if self._charger is not None:
            soc = self._world.park.unplug(self._charger)
            self._world.outcomes.append(self._outcome(soc, departed=True))
            self._charger = None
            del self._world.plugged[self.vehicle_id]
            self._note("unplug")
        return last

    def reading(self) -> CarReading:
        park = self._world.park
        if self._charger is None:
            return CarReading(None, float(park.fleet.soc[self._number]) * 100, 0.0, 0.0)
        power_kw = float(park.power_kw()[park.index[self._charger]])
        soc_percent = float(park.fleet.soc[self._number]) * 100
        return CarReading(self._charger, soc_percent, power_kw, self._imported_kwh() - self._before_kwh)

    def stays_on(self) -> DriverOutcome:
        """The session of a car that is still there when the run ends."""
        return self._outcome(float(self._world.park.fleet.soc[self._number]), departed=False)

    def _note(self, act: str, **members: object) -> None:
        if self._world.noting is not None:
            self._world.noting.note(f"car:{self.vehicle_id}", act, driver=self._driver, **members)

    def _imported_kwh(self) -> float:
        park = self._world.park
        park.advance()
        return float(park.imported_kwh[park.index[self._charger]]) if self._charger is not None else 0.0

    def _outcome(self, soc: float, *, departed: bool) -> DriverOutcome:
        """What is bought here is bought by the meter: what is lost on the way into the battery is not asked for."""
        assert self._charger is not None
        assert self._arrived is not None
        zone = self._world.plant.scenario.zone
        return DriverOutcome(
            owner=self._driver,
            charger_id=self._charger,
            vehicle_id=self.vehicle_id,
            arrival=self._arrived.astimezone(zone),
            departure=self._world.now().astimezone(zone),
            asked_kwh=max(0.0, self._target_soc - self._arrived_soc) * self.capacity_kwh * self._efficiency,
            got_kwh=(soc - self._arrived_soc) * self.capacity_kwh,
            departed=departed,
        )


class PublicWorld(World):
    """One case of a run on public stations. `cap_kw(station_id, quarter)` is the activated limit, nan where there is
    none; whoever activates it sets it."""

    def __init__(
        self, plant: Plant, park: Charging, case: Case, series: SeriesRecorder | None, now: Callable[[], datetime]
    ) -> None:
        super().__init__(plant, park, case, series, now)
        assert plant.public is not None
        self.public = plant.public
        self.meters = StationMeters(
            {site.station_id: site.charger_ids for site in plant.public.stations}, park.ids, plant.steps
        )
        park.flowed = self.meters.passed
        self.plugged: dict[str, PublicCar] = {}
        self.cap_kw: Callable[[str, datetime], float] = lambda station_id, at: NO_CAP
        buses = plant.networks.buses
        self._fed = behind({line: plant.public.sections[line] for line in plant.public.lines}, buses)
        self._columns = [self.plant.grid.lines.index(line) for line in plant.public.lines]

    def car(self, driver: str) -> PublicCar:
        """The car of a driver, which has the driver's name."""
        return PublicCar(self, driver, driver)

    def _extra(self, row: int, states: Sequence[GridState]) -> Mapping[str, float]:
        """The further columns of the quarter hour `row`."""
        (state,) = states
        public, start = self.public, self._begins + row * self._step
        loading, flow = state.line_loading_percent[self._columns], flow_kw(state, self._fed)
        stations = [site.station_id for site in public.stations]
        mean_kw, highest_kw = self.meters.station_kw(slice(row, row + 1))[0], self.meters.highest_kw[row]
        return {
            **{LOADING + line: float(value) for line, value in zip(public.lines, loading, strict=True)},
            **{FLOW + line: float(value) for line, value in zip(public.lines, flow, strict=True)},
            **{REVERSE + line: max(0.0, -float(value)) for line, value in zip(public.lines, flow, strict=True)},
            **{STATION + station: float(kw) for station, kw in zip(stations, mean_kw, strict=True)},
            **{HIGHEST + station: float(kw) for station, kw in zip(stations, highest_kw, strict=True)},
            **{CAP + station: self.cap_kw(station, start) for station in stations},
        }

    def finish(self) -> None:
        """After the last quarter hour: the sessions of those who are still there."""
        self.outcomes += [car.stays_on() for _, car in sorted(self.plugged.items())]

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        """As everywhere, and also of `station:<id>`, and at `peak:<id>` the highest power of any second in each period.
        Means of stations and chargers are there by the minute, too, for some days.

        Raises LookupError, in words.
        """
        kind, _, name = location.rpartition(":")
        if period == MINUTE and kind in ("station", "charger"):
            return self._by_minute(kind, name, start, end)
        if kind not in ("station", "peak"):
            return super().metered_kw(location, start, end, period)
        if name not in self.meters.index:
            raise LookupError(f"there is no meter at {location}")
        rows, length = self.readings(start.astimezone(UTC), end.astimezone(UTC), period)
        number = self.meters.index[name]
        if kind == "station":
            values = self.meters.station_kw(rows)[:, number].reshape(-1, length).mean(axis=1)
        else:
            values = self.meters.highest_kw[rows, number].reshape(-1, length).max(axis=1)
        return tuple(round(float(kw), 4) for kw in values)

    def _by_minute(self, kind: str, name: str, start: datetime, end: datetime) -> tuple[float, ...]:
        """The means of the minutes of whole quarter hours that are over."""
        if name not in (self.meters.index if kind == "station" else self.park.index):
            raise LookupError(f"there is no meter at {kind}:{name}")
        if any((at.astimezone(UTC) - self._begins) % QUARTER for at in (start, end)):
            raise LookupError(f"the meters have no readings from {start.isoformat()} to {end.isoformat()}")
        rows, _ = self.readings(start, end, QUARTER)
        if kind == "station":
            values = self.meters.minutes_of(name, rows)
        else:
            values = self.meters.minute_kw(rows)[:, self.park.index[name]]
        return tuple(round(float(kw), 4) for kw in values)
