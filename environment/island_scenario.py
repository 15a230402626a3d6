"""The scenario of an island with wind to save and voltages to hold (BUC 2 and 4.1; Portugal, São Miguel)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from environment.scenario_parts import ClockTime, GridPart, Money, Name, OneNetwork, Part, Percent, SitePart, repeated

Megawatts = Annotated[float, Field(ge=0, le=10_000, description="MW")]
Price = Annotated[Money, Field(decimal_places=6)]
"""As fine as the messages carry a price in EUR/kWh."""
_OTHERS = frozenset({"directory", "environment", "observer", "emsp", "fo", "dso", "tso"})
"""Agents that every island has; their names are taken."""


class IslandPart(Part):
    """The power system around the network, as a slice: `vehicles` is how many electric vehicles the island is taken to
    have. The run's chargers are a share of them, and every plant and the demand are taken times that share."""

    vehicles: Annotated[int, Field(ge=1, le=10_000_000)]
    demand_peak_mw: Annotated[float, Field(gt=0, le=10_000, description="MW")]
    least_thermal_units: Annotated[int, Field(ge=0, le=20)] = 2
    constant_demand_percent: Percent = 50.0
    load_damping_percent_per_hz: Annotated[float, Field(ge=0, le=20, description="%/Hz")] = 1.0
    governor_s: Annotated[float, Field(gt=0, le=60, description="s")] = 0.5
    wind_profile: Annotated[str, Field(pattern=r"^WP([1-9]|1[0-2])$", description="WP1 to WP12")] = "WP10"


class PlantPart(Part):
    """One plant, or one unit of a thermal plant, as it is on the real island."""

    name: Name
    kind: Literal["geothermal", "hydro", "wind", "thermal"]
    capacity_mw: Annotated[float, Field(gt=0, le=10_000, description="MW")]
    minimum_mw: Megawatts = 0.0
    inertia_s: Annotated[float, Field(ge=0, le=20, description="s")] = 0.0
    droop_percent: Annotated[float, Field(gt=0, le=100, description="%")] | None = None
    fuel_kg_per_kwh: Annotated[float, Field(ge=0, le=5, description="kg/kWh")] = 0.0
    fuel_no_load_kg_per_h: Annotated[float, Field(ge=0, le=100_000, description="kg/h")] = 0.0


class IncidentPart(Part):
    """A plant that is lost, each day at `start`, and back after `minutes`."""

    plant: Name
    start: ClockTime
    minutes: Annotated[int, Field(ge=1, le=1440, description="minutes")]


class ManagerPart(SitePart):
    """A V2X manager: the management system of a house, a building or a company, and its chargers.

    Its vehicles may be charged beyond what their drivers asked for, up to `store_up_to_percent`, where that pays: each
    kWh must leave its driver at least `minimum_benefit_eur_per_kwh`.
    """

    kind: Literal["house", "building", "company"]
    store_up_to_percent: Percent = 90.0
    minimum_benefit_eur_per_kwh: Annotated[float, Field(ge=0, le=5, description="EUR/kWh")] = 0.005


class TariffPart(Part):
    """The two-period tariff that every driver has, and what a kWh of battery wear costs: assumptions."""

    energy_eur_per_kwh: Price = Decimal("0.09")
    grid_peak_eur_per_kwh: Price = Decimal("0.09")
    grid_off_peak_eur_per_kwh: Price = Decimal("0.02")
    off_peak_from: ClockTime = time(22)
    off_peak_until: ClockTime = time(8)
    battery_wear_eur_per_kwh: Price = Decimal("0.04")


class ServicePart(Part):
    """What the services cost besides the prices, in EUR for each kWh; and when one is asked for: from which need on,
    how much more than the forecast says, how far inside the voltage band (estimates and forecasts are not exact)."""

    fuel_eur_per_kg: Money = Decimal("0.70")
    emsp_margin_eur_per_kwh: Price = Decimal("0.005")
    fo_fee_eur_per_kwh: Price = Decimal("0.004")
    manager_fee_eur_per_kwh: Price = Decimal("0.006")
    penalty_eur_per_kwh: Price = Decimal("0.05")
    least_kw: Annotated[float, Field(gt=0, le=1000, description="kW")] = 1.0
    forecast_margin_percent: Percent = 0.0
    voltage_margin_percent: Annotated[float, Field(ge=0, le=5, description="%")] = 0.5


class IslandGridPart(GridPart):
    """The low-voltage network, and the few buses that have a meter."""

    metered: tuple[str, ...] = ()


class IslandScenario(OneNetwork):
    grid: IslandGridPart
    island: IslandPart
    plant: Annotated[tuple[PlantPart, ...], Field(min_length=1)]
    manager: Annotated[tuple[ManagerPart, ...], Field(min_length=1)]
    incident: tuple[IncidentPart, ...] = ()
    tariff: TariffPart = TariffPart()
    service: ServicePart = ServicePart()

    @property
    def sites(self) -> tuple[SitePart, ...]:
        return self.manager

    @property
    def site_table(self) -> str:
        return "manager"

    @property
    def share(self) -> float:
        """The run's part of the island: its chargers for each of the island's vehicles."""
        return sum(manager.chargers for manager in self.manager) / self.island.vehicles

    @model_validator(mode="after")
    def _whole(self) -> IslandScenario:
        for line in (*self._names(), *self._values(), *self._targets(), *self.site_faults()):
            raise ValueError(line)
        return self

    def _names(self) -> Iterator[str]:
        """What is wrong with the names of agents and meters; a manager's that is used twice is the site's."""
        plants, managers = [plant.name for plant in self.plant], [manager.name for manager in self.manager]
        if twice := repeated(plants):
            yield f"plant: the name {twice!r} is used twice; give each its own"
        for name in sorted(set(plants) & set(managers)):
            yield f"manager: the name {name!r} is a plant's as well; give each its own"
        others = _OTHERS | {f"ev-{charger}" for manager in self.manager for charger in manager.charger_ids()}
        for table, names in (("plant", plants), ("manager", managers)):
            for name in sorted(others & set(names)):
                yield f"{table}: the name {name!r} is another agent's; give another"
        if meter := repeated(self.grid.metered):
            yield f"grid: metered names {meter!r} twice; a bus has one meter"

    def _values(self) -> Iterator[str]:
        """Numbers that cannot be together."""
        for plant in self.plant:
            if plant.minimum_mw > plant.capacity_mw:
                yield f"plant {plant.name!r}: minimum_mw is more than capacity_mw"
            if plant.kind == "thermal" and not plant.inertia_s:
                yield f"plant {plant.name!r}: a thermal unit has inertia; give inertia_s, such as 2.0"
        thermal = sum(plant.kind == "thermal" for plant in self.plant)
        if thermal < self.island.least_thermal_units:
            yield f"island: least_thermal_units is {self.island.least_thermal_units}, there are {thermal}"
        if self.share > 1:
            yield (
                f"island: {self.island.vehicles} vehicles are fewer than the run's chargers; "
                "vehicles is the number that the whole island has"
            )
        if self.tariff.grid_off_peak_eur_per_kwh > self.tariff.grid_peak_eur_per_kwh:
            yield "tariff: grid_off_peak_eur_per_kwh is more than grid_peak_eur_per_kwh"
        if self.service.voltage_margin_percent >= self.grid.voltage_band_percent:
            yield "service: voltage_margin_percent leaves nothing of grid.voltage_band_percent"

    def _targets(self) -> Iterator[str]:
        """Incidents and faults of plants and managers that are not there."""
        plants, managers = [plant.name for plant in self.plant], [manager.name for manager in self.manager]
        for incident in self.incident:
            if incident.plant not in plants:
                yield f"incident: there is no plant {incident.plant!r}; the first one is {plants[0]!r}"
        for fault in self.fault:
            known = {"manager-idle": managers, "producer-silent": plants}.get(fault.kind)
            if known is not None and fault.target not in known:
                what = fault.kind.partition("-")[0]
                yield f"fault: there is no {what} {fault.target!r}; the first one is {known[0]!r}"
