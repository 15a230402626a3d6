"""The cast of public stations: who takes part, with which stations, chargers, terms, prices and needs."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from agents.capacity_fmo import CapacityFmo
from agents.ledger import Ledger
from agents.public_cpo import PublicCpo
from agents.public_driver import PublicDriver
from agents.public_dso import PublicDso
from environment import scenario, world
from environment.cast import Props
from environment.casts import cast_of, roles
from environment.launcher import streams
from environment.price_following import OrderedCharging
from environment.public_cast import ActivatedCaps
from environment.public_scenario import PublicScenario
from environment.public_world import PublicWorld
from environment.series import SeriesRecorder
from protocols.roles import Role
from tests.swarm import SwarmUnderTest, run_swarm


class Named:
    """A charger that has a name and does nothing."""

    def __init__(self, name: str) -> None:
        self.charger_id = name


@pytest.fixture(scope="module")
def greece() -> PublicScenario:
    loaded = scenario.load("greece")
    assert isinstance(loaded, PublicScenario)
    return loaded


@pytest.fixture(scope="module")
def made(greece: PublicScenario) -> tuple[PublicWorld, dict[str, Any]]:
    """The whole cast but the directory by name, made and not started."""
    found: dict[str, Any] = {}
    worlds: list[PublicWorld] = []

    async def main(swarm: SwarmUnderTest) -> None:
        random = streams(greece.scenario.seed)
        plant = world.build(greece, random)
        begin = greece.begins.astimezone(UTC)
        park = OrderedCharging(plant.specs, plant.fleet(), lambda: begin)
        networks = plant.networks
        series = SeriesRecorder("Europe/Athens", networks.buses, park.ids, lines=networks.lines, extra=plant.columns)
        worlds.append(PublicWorld(plant, park, "with", series, lambda: begin))
        with Ledger("sqlite://") as ledger:
            chargers: dict[str, Any] = {c: Named(c) for c in plant.bus_of}
            props = Props(plant, worlds[0], ledger, None, chargers, random)  # type: ignore[arg-type]
            passwords = dict.fromkeys(roles(greece, "localhost"), "")
            cast = cast_of(greece)(swarm.swarm, "localhost", passwords, props).actors()
            found.update({actor.name: actor for actor in cast})

    run_swarm(main)
    return worlds[0], found


def test_a_dso_a_market_two_operators_and_everybody_who_drives(greece: PublicScenario) -> None:
    found = roles(greece, "x.org")
    assert Counter(found.values()) == {
        **dict.fromkeys((Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER, Role.DSO, Role.FMO), 1),
        Role.CPO: 2,
        Role.EV_OWNER: 300,
    }
    assert found["driver-300@x.org"] is Role.EV_OWNER


def test_all_of_them_are_made_as_what_they_are(
    made: tuple[PublicWorld, dict[str, Any]], greece: PublicScenario
) -> None:
    cast = made[1]
    assert isinstance(cast["hedno"], PublicDso)
    assert isinstance(cast["fmo"], CapacityFmo)
    assert all(isinstance(cast[cpo.name], PublicCpo) for cpo in greece.cpo)
    assert all(isinstance(cast[name], PublicDriver) for name in greece.people.names())
    assert set(cast) | {"directory"} == {jid.partition("@")[0] for jid in roles(greece, "localhost")}


def test_each_operator_has_its_own_stations_and_their_chargers(
    made: tuple[PublicWorld, dict[str, Any]], greece: PublicScenario
) -> None:
    ppc, second = made[1]["ppc"], made[1]["second-cpo"]
    assert set(ppc.stations) == {each.name for each in greece.station if each.cpo == "ppc"}
    assert not set(ppc.stations) & set(second.stations)
    assert ppc.prices.tariff.usual_eur_per_kwh == greece.cpo[0].usual_eur_per_kwh
    assert ppc.network_eur_per_kwh == second.network_eur_per_kwh == greece.pricing.network_eur_per_kwh


def test_the_dso_auctions_what_the_scenario_says(
    made: tuple[PublicWorld, dict[str, Any]], greece: PublicScenario
) -> None:
    plan = made[1]["hedno"].buyer._plan
    assert plan.opens_at == datetime(2026, 6, 7, 9, 15, tzinfo=UTC), "12:15 in Athens"
    assert (plan.window, plan.period_days) == (greece.window, greece.auction.period_days)
    assert plan.violation_eur_per_kwh == float(greece.dso.violation_eur_per_kwh)
    assert [site.station_id for site in made[1]["hedno"].stations] == [each.name for each in greece.station]


def test_a_driver_has_its_own_car_and_needs(made: tuple[PublicWorld, dict[str, Any]]) -> None:
    plant = made[0].plant.public
    assert plant is not None
    drivers = {each.name: each for each in plant.needs.drivers}
    for name in ("driver-001", "driver-222"):
        actor = made[1][name]
        assert (actor.car.vehicle_id, actor.car.capacity_kwh) == (name, drivers[name].capacity_kwh)
        assert sorted(actor.needs, key=lambda need: need.need_id) == sorted(
            drivers[name].needs, key=lambda need: need.need_id
        )
        assert actor.follows_prices is drivers[name].follows_prices


def test_the_series_limit_is_the_lowest_that_holds_there_and_then() -> None:
    at = datetime(2026, 6, 8, 15, tzinfo=UTC)

    def limit(station: str, kw: float, hours: int) -> Any:
        return SimpleNamespace(station_id=station, limit_kw=kw, start=at, end=at + timedelta(hours=hours))

    activated = {"a": limit("hub", 90.0, 2), "b": limit("hub", 60.0, 1), "c": limit("other", 30.0, 2)}
    operator: Any = SimpleNamespace(stations={"hub": None, "other": None}, caps=SimpleNamespace(activated=activated))
    caps = ActivatedCaps([operator])
    assert caps("hub", at) == 60.0
    assert caps("hub", at + timedelta(hours=1)) == 90.0
    assert math.isnan(caps("hub", at + timedelta(hours=2)))
    assert caps("other", at) == 30.0
