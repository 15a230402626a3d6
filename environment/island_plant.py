"""The island of a scenario: its slice of the power system, both cases of its day, and what is measured and forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import numpy as np

from agents.decisions.dispatch import Plant, PlantKind
from agents.decisions.tariff import Tariff
from agents.island_ports import PlantReading, SiteReading
from agents.periods import QUARTER
from environment.island import Island, IslandSpec, Outage
from environment.island_forecast import IslandForecast
from environment.island_profiles import DemandSpec, IslandProfiles
from environment.island_scenario import IslandScenario
from environment.island_summary import AHEAD, MARGINAL_FUEL, TARIFF
from environment.profiles import Injections
from environment.summary import DriverOutcome

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, eq=False)
class IslandPlant:
    """What both cases of a run share of the island. Everything is in the kW of the run's slice."""

    scenario: IslandScenario
    spec: IslandSpec
    profiles: IslandProfiles
    forecast: IslandForecast

    @property
    def plants(self) -> tuple[Plant, ...]:
        """The plants of the slice."""
        return self.spec.plants

    def case(self) -> Island:
        """The island before the run, for one case of it."""
        return Island(self.spec, self.profiles, self.scenario.begins)

    def notes(self, served: Sequence[DriverOutcome], left_alone: Sequence[DriverOutcome]) -> dict[str, Any]:
        """What the report must know: how large the slice is, what the service left in the batteries (the drivers of
        both cases), what thermal units burn at the margin, the tariff."""
        island = self.scenario.island
        thermal = [plant for plant in self.plants if plant.kind is PlantKind.THERMAL]
        capacity = sum(plant.capacity_kw for plant in thermal)
        burnt = sum(plant.capacity_kw * plant.fuel_kg_per_kwh for plant in thermal)
        return {
            "share": self.scenario.share,
            "vehicles": island.vehicles,
            AHEAD: self._taken_kwh(served) - self._taken_kwh(left_alone),
            MARGINAL_FUEL: burnt / capacity if capacity else 0.0,
            TARIFF: self._tariff(),
        }

    def _taken_kwh(self, drivers: Sequence[DriverOutcome]) -> float:
        """What it takes from the grid to charge what these drivers' batteries gained."""
        efficiency = {c: site.efficiency_charge for site in self.scenario.sites for c in site.charger_ids()}
        return sum(driver.got_kwh / efficiency[driver.charger_id] for driver in drivers)

    def _tariff(self) -> list[dict[str, str]]:
        """A row for each change of the tariff."""
        tariff = tariff_of(self.scenario)
        rows: list[dict[str, str]] = []
        at, ends = self.scenario.begins.astimezone(UTC), self.scenario.ends.astimezone(UTC)
        while at < ends:
            local = at.astimezone(self.scenario.zone)
            row = {
                "grid_use_eur_per_kwh": str(tariff.grid_use(local)),
                "charging_eur_per_kwh": str(tariff.charging(local)),
            }
            if not rows or any(rows[-1][name] != price for name, price in row.items()):
                rows.append({"start": local.isoformat(), **row})
            at += QUARTER
        return rows


def tariff_of(scenario: IslandScenario) -> Tariff:
    """The tariff that every driver has."""
    part = scenario.tariff
    return Tariff(
        energy_eur_per_kwh=part.energy_eur_per_kwh,
        grid_peak_eur_per_kwh=part.grid_peak_eur_per_kwh,
        grid_off_peak_eur_per_kwh=part.grid_off_peak_eur_per_kwh,
        off_peak_from=part.off_peak_from,
        off_peak_until=part.off_peak_until,
    )


def build_island(scenario: IslandScenario, rng: np.random.Generator, standard_offset: timedelta) -> IslandPlant:
    """The scenario's share of the island. Raises GridError, in one line, for profiles that cannot be read."""
    share = scenario.share
    plants = tuple(
        Plant(
            name=part.name,
            kind=PlantKind(part.kind),
            capacity_kw=part.capacity_mw * 1e3,
            minimum_kw=part.minimum_mw * 1e3,
            inertia_s=part.inertia_s,
            droop=None if part.droop_percent is None else part.droop_percent / 100,
            fuel_kg_per_kwh=part.fuel_kg_per_kwh,
            fuel_no_load_kg_per_h=part.fuel_no_load_kg_per_h,
        ).scaled(share)
        for part in scenario.plant
    )
    demand = DemandSpec(scenario.island.demand_peak_mw * 1e3 * share, scenario.island.constant_demand_percent / 100)
    spec = IslandSpec(
        plants,
        demand,
        load_damping_per_hz=scenario.island.load_damping_percent_per_hz / 100,
        incidents=tuple(
            Outage(incident.plant, at, at + timedelta(minutes=incident.minutes))
            for incident in scenario.incident
            for at in scenario.on_each_day(incident.start)
        ),
        governor_s=scenario.island.governor_s,
        least_thermal=scenario.island.least_thermal_units,
        wind_profile=scenario.island.wind_profile,
    )
    minutes = (scenario.ends.astimezone(UTC) - scenario.begins.astimezone(UTC)) // MINUTE
    profiles = IslandProfiles(
        plants,
        demand,
        scenario.begins,
        minutes,
        standard_offset=standard_offset,
        rng=rng,
        wind_profile=spec.wind_profile,
    )
    return IslandPlant(scenario, spec, profiles, IslandForecast(spec, profiles))


def island_row(island: Island) -> Mapping[str, float]:
    """The last minute as the series' further columns."""
    state = island.state
    assert state is not None  # a minute has passed
    given = state.dispatch
    return {
        "island_demand_kw": state.demand_kw,
        "island_ev_kw": state.ev_kw,
        "geothermal_kw": given.geothermal_kw,
        "hydro_kw": given.hydro_kw,
        "wind_kw": given.wind_kw,
        "wind_available_kw": given.wind_available_kw,
        "curtailed_kw": given.curtailed_kw,
        "thermal_kw": given.thermal_kw,
        "fuel_kg": state.fuel_kg,
        "frequency_min_hz": state.frequency_min_hz,
    }


class IslandWorld(Protocol):
    """What producers and the TSO's forecast need of a world: its island, and the time."""

    @property
    def island(self) -> Island | None: ...

    def now(self) -> datetime: ...


class ProducerMeter:
    """Implements `agents.island_ports.PlantMeter` for one plant."""

    def __init__(self, plant: IslandPlant, world: IslandWorld, name: str) -> None:
        self._forecast, self._world, self._name = plant.forecast, world, name

    def measured(self, start: datetime, end: datetime) -> PlantReading:
        """Means from `start` to `end`, and the frequency at `end`."""
        island = self._world.island
        assert island is not None
        means = island.measured(self._name, start, end)
        return PlantReading(means.production_kw, means.available_kw, island.at(end))

    def forecast_available_kw(self, start: datetime) -> float:
        """kW that the plant could give on average in the 15 minutes from `start`, as known now."""
        return self._forecast.available_kw(self._name, start, self._world.now())


class MeteredWorld(Protocol):
    """What the meters at the connections need of a world: what is drawn beside the chargers, and the time."""

    @property
    def injections(self) -> Injections: ...

    def now(self) -> datetime: ...


class ConnectionMeter:
    """Implements `agents.island_ports.SiteMeter` for what is at some buses.

    The network's data have no customers, only buses: the load and the roofs of a bus are those of whoever has chargers
    there, and of each of them where there are several.
    """

    def __init__(self, world: MeteredWorld, buses: Sequence[int]) -> None:
        """`buses`: their places in the injections' columns; one that comes twice counts once."""
        self._world, self._buses = world, sorted(set(buses))

    def measured(self, start: datetime, end: datetime) -> SiteReading:
        """Means from `start` to `end`. Raises LookupError for a time that is not over, or not of the run."""
        if end > self._world.now():
            raise LookupError(f"nothing was measured until {end.isoformat()}")
        known = self._world.injections
        first = known.row(start)
        rows = slice(first, first + (end - start) // known.step)
        p_kw, q_kvar = (power[rows][:, self._buses].sum(axis=1).mean() for power in (known.p_kw, known.q_kvar))
        return SiteReading(float(p_kw), float(q_kvar))
