"""The cast of campuses: who takes part, on which network, with which chargers, prices, meters and terms."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.congestion_dso import CongestionDso
from agents.frequency_tso import FrequencyTso
from agents.ledger import Ledger
from agents.parking_driver import ParkingDriver
from agents.parking_manager import ParkingManager
from environment import scenario, world
from environment.campus_plant import CongestionSignal, RetailList, incidents
from environment.campus_scenario import CampusScenario
from environment.cast import Props
from environment.casts import cast_of, roles
from environment.launcher import streams
from protocols.exchanges.frequency_services import Control
from protocols.exchanges.vocabulary import FcrProduct
from protocols.roles import Role
from tests.swarm import SwarmUnderTest, run_swarm


def at(hour: int, minute: int = 0) -> datetime:
    """By Danish clocks in the run, which begins at 15:00."""
    day = datetime(2026, 1, 13 if hour >= 15 else 14, tzinfo=UTC)
    return day + timedelta(hours=hour - 1, minutes=minute)


@pytest.fixture(scope="module")
def denmark() -> CampusScenario:
    loaded = scenario.load("denmark")
    assert isinstance(loaded, CampusScenario)
    return loaded


class Named:
    """A charger or a meter that has a name and does nothing."""

    def __init__(self, name: str) -> None:
        self.charger_id = self.name = name


class Nowhere:
    """A world that nobody looks at."""

    def __init__(self, plant: world.Plant) -> None:
        assert plant.campus is not None
        self.area = plant.campus.case()
        self.nominations: Any = None


@pytest.fixture(scope="module")
def made(denmark: CampusScenario, tmp_path_factory: pytest.TempPathFactory) -> tuple[Nowhere, dict[str, Any]]:
    """The whole cast but the directory by name, made and not started."""
    folder: Path = tmp_path_factory.mktemp("log")
    found: dict[str, Any] = {}
    worlds: list[Nowhere] = []

    async def main(swarm: SwarmUnderTest) -> None:
        random = streams(denmark.scenario.seed)
        plant = world.build(denmark, random)
        worlds.append(Nowhere(plant))
        chargers: dict[str, Any] = {c: Named(c) for c in plant.bus_of}
        with Ledger("sqlite://") as ledger:
            props = Props(
                plant,
                worlds[0],  # type: ignore[arg-type]
                ledger=ledger,
                writer=None,  # type: ignore[arg-type]
                chargers=chargers,
                streams=random,
                meters={name: Named(name) for name in denmark.meters},  # type: ignore[misc]
                benches={fcr.lot: Named(fcr.lot) for fcr in denmark.fcr},  # type: ignore[misc]
                fcr_log=folder,
            )
            passwords = dict.fromkeys(roles(denmark, "localhost"), "")
            cast = cast_of(denmark)(swarm.swarm, "localhost", passwords, props).actors()
            found.update({actor.name: actor for actor in cast})

    run_swarm(main)
    return worlds[0], found


def test_each_campus_has_a_dso_and_each_lot_a_manager(denmark: CampusScenario) -> None:
    found = roles(denmark, "x.org")
    assert Counter(found.values()) == {
        **dict.fromkeys((Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER, Role.TSO), 1),
        Role.DSO: 2,
        Role.V2X_MANAGER: 6,
        Role.EV_OWNER: sum(lot.chargers for lot in denmark.lot),
    }
    assert found["energinet@x.org"] is Role.TSO
    assert found["beof@x.org"] is found["cerius@x.org"] is Role.DSO


def test_all_of_them_are_made_as_what_they_are(made: tuple[Nowhere, dict[str, Any]], denmark: CampusScenario) -> None:
    cast = made[1]
    assert isinstance(cast["energinet"], FrequencyTso)
    assert all(isinstance(cast[campus.dso], CongestionDso) for campus in denmark.campus)
    assert all(isinstance(cast[lot.name], ParkingManager) for lot in denmark.lot)
    assert all(isinstance(cast[f"ev-{c}"], ParkingDriver) for lot in denmark.lot for c in lot.charger_ids())


def test_a_dso_sees_its_own_campus_only(made: tuple[Nowhere, dict[str, Any]]) -> None:
    for name, campus, other in (("beof", "bornholm", "risoe"), ("cerius", "risoe", "bornholm")):
        dso = made[1][name]
        assert dso.campus == dso.location == campus
        assert all(bus.startswith(f"{campus} ") for bus in dso.connections.values())
        assert all(operator.startswith(campus) for operator in dso.operators.values())
        assert not any(charger.startswith(other) for charger in dso.connections)
        states = dso.watch.model.look_ahead({dso.connections[f"{campus}-pool-01"]: [20.0]}, at(16), 1)
        assert states[0].buses[0].startswith(f"{campus} ")


def test_a_lot_in_frequency_control_has_its_meters_its_bench_and_its_times(
    made: tuple[Nowhere, dict[str, Any]],
) -> None:
    pool, staff = made[1]["risoe-pool"], made[1]["risoe-staff"]
    assert [meter.name for meter in pool.meters] == ["risoe-pool-main", "risoe-pool-backup"]
    assert pool.bench.name == "risoe-pool"
    assert pool.log is not None
    terms = pool.fcr
    assert (terms.product, terms.control) == (FcrProduct.FCR_D_UP, Control.CENTRAL)
    assert (terms.application_at, terms.test_from) == (at(17, 30), at(18))
    assert (terms.first_hour, terms.last_hour) == (at(21), at(5))
    assert terms.withdraw_at == at(4, 30)
    assert "fcr" in pool.services
    assert staff.fcr is None
    assert staff.log is None
    assert "fcr" not in staff.services


def test_some_drivers_would_leave_with_less_and_some_would_not(made: tuple[Nowhere, dict[str, Any]]) -> None:
    willing = [owner.consent.flexible for name, owner in made[1].items() if name.startswith("ev-")]
    assert 0 < sum(willing) < len(willing)


def test_nothing_is_nominated_before_anybody_serves(made: tuple[Nowhere, dict[str, Any]]) -> None:
    assert made[0].nominations() == {}


# ---- what the plant says ---------------------------------------------------------------------------------------------


def test_prices_are_those_of_the_hour_with_the_networks_tariff(denmark: CampusScenario) -> None:
    prices, now = RetailList(denmark), at(15)
    spot, retail = denmark.retail.spot_eur_per_kwh, denmark.retail
    assert prices.price_eur_per_kwh(at(18, 59), now) == pytest.approx(
        spot[0][18] + retail.network_peak_eur_per_kwh + retail.other_eur_per_kwh
    )
    assert prices.price_eur_per_kwh(at(3), now) == pytest.approx(
        spot[1][3] + retail.network_low_eur_per_kwh + retail.other_eur_per_kwh
    )
    assert prices.price_eur_per_kwh(at(21), now) == pytest.approx(
        spot[0][21] + retail.network_high_eur_per_kwh + retail.other_eur_per_kwh
    )


def test_a_change_of_prices_is_known_once_it_is_published(denmark: CampusScenario) -> None:
    prices = RetailList(denmark)
    assert prices.changes(at(14)) == [at(18, 40), at(1, 10), at(9, 20)]
    before, after = (prices.price_eur_per_kwh(at(22, 30), now) for now in (at(18, 39), at(18, 40)))
    assert before - after == pytest.approx(denmark.retail.spot_eur_per_kwh[0][22] + 0.010)
    for beside in (at(21, 59), at(23)):
        assert prices.price_eur_per_kwh(beside, at(18, 39)) == prices.price_eur_per_kwh(beside, at(19))


def test_the_congestion_signal_is_what_it_is_now(denmark: CampusScenario) -> None:
    risoe, bornholm = (CongestionSignal(denmark, name) for name in ("risoe", "bornholm"))
    assert risoe.changes == (at(10, 5), at(10, 35))
    assert [risoe(t).transformer_percent for t in (at(10, 4), at(10, 5), at(10, 34), at(10, 35))] == [
        100.0,
        60.0,
        60.0,
        100.0,
    ]
    assert bornholm.changes == (at(6, 20), at(6, 50))
    assert bornholm(at(10, 20)) == risoe.usual


def test_the_large_unit_trips_in_both_cases_and_the_noise_is_the_same(denmark: CampusScenario) -> None:
    assert [(incident.at, incident.lost_mw) for incident in incidents(denmark)] == [
        (at(22, 47), 500.0),
        (at(2, 13), 1100.0),
    ]
    plant = world.build(denmark, streams(3)).campus
    assert plant is not None
    one, other = (plant.case().series(denmark.begins, 600) for _ in range(2))
    assert np.array_equal(one, other)
    assert one.std() > 0.005
