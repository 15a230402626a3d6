"""The cast of an island: who takes part, with which plants, chargers, drivers and prices."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agents.emsp import Emsp
from agents.ev_owner import EvOwner
from agents.island_tso import IslandTso
from agents.ledger import Ledger
from agents.producer import Producer
from agents.v2x_manager import V2xManager
from agents.voltage_dso import VoltageDso
from environment import scenario, world
from environment.cast import Props
from environment.casts import cast_of, roles
from environment.launcher import streams
from environment.profiles import Injections
from protocols.roles import Role
from tests.days import ISLAND, changed
from tests.swarm import SwarmUnderTest, run_swarm

FAULTS = "".join(
    f'[[fault]]\nkind = "{kind}"\ntarget = "{target}"\nstart = "{start}"\nend = "{end}"\n'
    for kind, target, start, end in (
        ("manager-idle", "building", "22:00", "02:00"),
        ("producer-silent", "wind", "12:00", "13:00"),
    )
)


def loaded(*pairs: tuple[str, str], **changes: Any) -> scenario.Scenario:
    return scenario.parse(changed(*pairs, text=ISLAND), "t.toml", **changes)


class Named:
    """A charger that has a name and does nothing."""

    def __init__(self, charger_id: str) -> None:
        self.charger_id = charger_id


class Nowhere:
    """A world that nobody looks at, in which each bus draws as many kW as its place in the network's order."""

    island = None

    def __init__(self, plant: world.Plant) -> None:
        buses = np.arange(15.0 * len(plant.grid.buses)).reshape(len(plant.grid.buses), 15).T // 15
        self.injections = Injections(
            start=plant.scenario.begins,
            step=timedelta(minutes=1),
            p_kw=buses,
            q_kvar=-buses,
            load_kw=np.zeros(15),
            pv_kw=np.zeros(15),
            pv_kw_by_bus=np.zeros_like(buses),
        )

    def now(self) -> datetime:
        return self.injections.start + timedelta(minutes=15)

    def last_quarter(self) -> None: ...


def actors(of: scenario.Scenario) -> dict[str, Any]:
    """The whole cast but the directory by name, made and not started."""
    found: dict[str, Any] = {}

    async def main(swarm: SwarmUnderTest) -> None:
        random = streams(of.scenario.seed)
        plant = world.build(of, random)
        chargers: dict[str, Any] = {c: Named(c) for c in plant.bus_of}
        with Ledger("sqlite://") as ledger:
            props = Props(plant, Nowhere(plant), ledger=ledger, writer=None, chargers=chargers, streams=random)  # type: ignore[arg-type]
            passwords = dict.fromkeys(roles(of, "localhost"), "")
            made = cast_of(of)(swarm.swarm, "localhost", passwords, props).actors()
            found.update({actor.name: actor for actor in made})

    run_swarm(main)
    return found


@pytest.fixture(scope="module")
def cast() -> dict[str, Any]:
    return actors(loaded(("[island]", f"{FAULTS}[island]")))


def at(clock: str, day: int = 28) -> datetime:
    """By the clocks of the Azores, which are at UTC in summer."""
    return datetime.combine(date(2026, 5, day), time.fromisoformat(clock), UTC)


def test_every_role_of_d51_is_there_once_and_the_directory_comes_first() -> None:
    found = roles(loaded(), "x.org")
    assert Counter(found.values()) == {
        **dict.fromkeys((Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER), 1),
        **dict.fromkeys((Role.TSO, Role.DSO, Role.FO, Role.EMSP), 1),
        Role.PRODUCER: 9,
        Role.V2X_MANAGER: 4,
        Role.EV_OWNER: 12,
    }
    assert next(iter(found)) == "directory@x.org"


def test_the_actors_are_those_of_the_roles_in_their_order(cast: dict[str, Any]) -> None:
    assert [(a.address, a.role) for a in cast.values()] == list(roles(loaded(), "localhost").items())[1:]


def test_each_plant_has_a_producer_that_the_tso_finds_by_its_service(cast: dict[str, Any]) -> None:
    producers = [actor for actor in cast.values() if isinstance(actor, Producer)]
    tso = cast["tso"]
    assert isinstance(tso, IslandTso)
    assert [producer.services for producer in producers] == [(f"plant:{plant.name}",) for plant in tso.plants]


def test_each_manager_has_its_own_chargers_at_its_buses_and_its_drivers(cast: dict[str, Any]) -> None:
    building, house = cast["building"], cast["house-1"]
    assert isinstance(building, V2xManager)
    assert list(building.desk.chargers) == [f"building-0{number}" for number in range(1, 7)]
    assert set(building.desk.bus.values()) == {"LV2.101 Bus 21"}
    assert building.drivers["building-03"] == "ev-building-03@localhost"
    assert building.services == ("kind:building",)
    assert house.location == "feeder-1"
    assert list(house.desk.chargers) == ["house-1-01"]


def test_each_manager_meters_the_demand_at_its_own_buses(cast: dict[str, Any]) -> None:
    of = loaded()
    grid = world.build(of, streams(of.scenario.seed)).grid
    start = of.begins
    for name in ("house-1", "building", "company"):
        manager = cast[name]
        own = sum(grid.index(bus) for bus in set(manager.desk.bus.values()))
        reading = manager.site.measured(start, start + timedelta(minutes=15))
        assert (reading.p_kw, reading.q_kvar) == (own, -own), name


def test_drivers_announce_themselves_to_the_manager_of_their_charger_with_its_timer(cast: dict[str, Any]) -> None:
    owners = [actor for actor in cast.values() if isinstance(actor, EvOwner)]
    assert {owner.operator for owner in owners} == {
        f"{name}@localhost" for name in ("house-1", "house-2", "building", "company")
    }
    for owner in owners:
        assert owner.operator.partition("@")[0] == owner.charger_id.rpartition("-")[0]
        timed = [(visit.charges_from, visit.arrival) for visit in owner.visits if visit.charges_from is not None]
        assert bool(timed) == (not owner.charger_id.startswith("company")), owner.charger_id
        assert all(starts >= arrival for starts, arrival in timed)


def test_faults_happen_to_their_target_alone_and_by_the_local_clock(cast: dict[str, Any]) -> None:
    building, house = cast["building"], cast["house-1"]
    obeys = [building.obeys(at(*when)) for when in (("21:59", 28), ("22:00", 28), ("01:59", 29), ("02:00", 29))]
    assert obeys == [True, False, False, True]
    assert house.obeys(at("23:00"))
    wind, hydro = cast["wind"], cast["hydro"]
    assert [wind.silent(at(clock)) for clock in ("11:59", "12:00", "12:59", "13:00")] == [False, True, True, False]
    assert not hydro.silent(at("12:30"))


def test_the_emsp_knows_whose_each_charger_is_and_the_fees(cast: dict[str, Any]) -> None:
    emsp = cast["emsp"]
    assert isinstance(emsp, Emsp)
    assert len(emsp.drivers) == len(emsp.manager_of) == 12
    assert emsp.manager_of["company-04"] == "company@localhost"
    assert (emsp.tso, emsp.dso) == ("tso@localhost", "dso@localhost")
    assert emsp.fees.penalty_eur_per_kwh == Decimal("0.05")


@pytest.mark.parametrize(
    ("days", "ends"), [(1, ["2026-05-29"]), (3, ["2026-05-29", "2026-05-30", "2026-05-31"])], ids=["one day", "three"]
)
def test_invoices_are_sent_once_a_day_and_at_the_end(days: int, ends: list[str]) -> None:
    emsp = actors(loaded(days=days))["emsp"]
    instants = [f"{day}T09:00:00+00:00" for day in ends]
    assert [instant.astimezone(UTC).isoformat() for instant in emsp.invoices_at] == instants


def test_the_dso_looks_at_the_limits_from_inside_the_band(cast: dict[str, Any]) -> None:
    """10 % less the margin of 0.5 % for what estimates and forecasts leave open."""
    dso = cast["dso"]
    assert isinstance(dso, VoltageDso)
    assert dso.limits.vm_min_pu == pytest.approx(0.905)
    assert dso.limits.vm_max_pu == pytest.approx(1.095)


def test_the_tariff_is_one_for_all(cast: dict[str, Any]) -> None:
    assert len({id(cast[name].tariff) for name in ("tso", "dso", "emsp", "building", "house-1")}) == 1
