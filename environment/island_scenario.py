"""The scenario of an island with wind to save and voltages to hold (BUC 2 and 4.1; Portugal, São Miguel)."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from environment.scenario_parts import ClockTime, GridPart, Money, Name, Part, Percent, Scenario, SitePart, repeated

Megawatts = Annotated[float, Field(ge=0, le=10_000, description="MW")]


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

    energy_eur_per_kwh: Money = Decimal("0.09")
    grid_peak_eur_per_kwh: Money = Decimal("0.09")
    grid_off_peak_eur_per_kwh: Money = Decimal("0.02")
    off_peak_from: ClockTime = time(22)
    off_peak_until: ClockTime = time(8)
    battery_wear_eur_per_kwh: Money = Decimal("0.04")


class ServicePart(Part):
    """What the services cost besides the prices, in EUR for each kWh; and when one is asked for: from which need on,
    how much more than the forecast says, how far inside the voltage band (estimates and forecasts are not exact)."""

    fuel_eur_per_kg: Money = Decimal("0.70")
    emsp_margin_eur_per_kwh: Money = Decimal("0.005")
    fo_fee_eur_per_kwh: Money = Decimal("0.004")
    manager_fee_eur_per_kwh: Money = Decimal("0.006")
    penalty_eur_per_kwh: Money = Decimal("0.05")
    least_kw: Annotated[float, Field(gt=0, le=1000, description="kW")] = 1.0
    forecast_margin_percent: Percent = 0.0
    voltage_margin_percent: Annotated[float, Field(ge=0, le=5, description="%")] = 0.5


class IslandGridPart(GridPart):
    """The low-voltage network, and the few buses that have a meter."""

    metered: tuple[str, ...] = ()


class IslandScenario(Scenario):
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
        plants = [plant.name for plant in self.plant]
        if twice := repeated(plants):
            raise ValueError(f"plant: the name {twice!r} is used twice; give each its own")
        if overlap := repeated([*plants, *(manager.name for manager in self.manager)]):
            raise ValueError(f"manager: the name {overlap!r} is a plant's as well; give each its own")
        for plant in self.plant:
            if plant.minimum_mw > plant.capacity_mw:
                raise ValueError(f"plant {plant.name!r}: minimum_mw is more than capacity_mw")
        thermal = sum(plant.kind == "thermal" for plant in self.plant)
        if thermal < self.island.least_thermal_units:
            raise ValueError(f"island: least_thermal_units is {self.island.least_thermal_units}, there are {thermal}")
        if self.share > 1:
            raise ValueError(
                f"island: {self.island.vehicles} vehicles are fewer than the run's chargers; "
                "vehicles is the number that the whole island has"
            )
        for incident in self.incident:
            if incident.plant not in plants:
                raise ValueError(f"incident: there is no plant {incident.plant!r}; the first one is {plants[0]!r}")
        managers = [manager.name for manager in self.manager]
        for fault in self.fault:
            known = {"manager-idle": managers, "producer-silent": plants}.get(fault.kind)
            if known is not None and fault.target not in known:
                what = fault.kind.partition("-")[0]
                raise ValueError(f"fault: there is no {what} {fault.target!r}; the first one is {known[0]!r}")
        for line in self.site_faults():
            raise ValueError(line)
        return self
