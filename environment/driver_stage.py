"""A person in the cast: the driver's page of a run on public stations."""

from __future__ import annotations

from collections.abc import Sequence

from agents.actor import Actor
from agents.page_driver import PageDriver
from environment.driver_form import Place
from environment.driver_page import DriverPage
from environment.options import OptionsError
from environment.public_scenario import PublicScenario
from environment.scenario_parts import Scenario
from environment.vehicles import Vehicle


def with_person(scenario: Scenario) -> Scenario:
    """The same scenario with one driver more. OptionsError: there are no public stations."""
    if not isinstance(scenario, PublicScenario):
        name = scenario.scenario.name
        raise OptionsError(f"--driver-page: {name} has no public stations; `run.py greece --driver-page` has")
    return scenario.model_copy(update={"people": scenario.people.model_copy(update={"page": True})})


def page_of(scenario: Scenario, actors: Sequence[Actor], *, port: int, speed: float) -> DriverPage:
    """The page of the one driver whom a person plays, with the scenario's places; it listens when it is started."""
    assert isinstance(scenario, PublicScenario)
    driver = next(actor for actor in actors if isinstance(actor, PageDriver))
    car = driver.car
    # The scenario's cars all take what a vehicle takes unless it is told otherwise.
    driver.efficiency = Vehicle(car.vehicle_id, car.capacity_kwh, car.max_charge_kw, 0.0).efficiency_charge
    places = [Place(part.name, part.latitude_deg, part.longitude_deg) for part in scenario.place]
    return DriverPage(driver, places=places, zone=scenario.zone, port=port, speed=speed)
