"""Vehicles that follow the retailer's prices and nobody else: what a campus without flexibility does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agents.periods import QUARTER
from environment import scenario
from environment.campus_plant import RetailList
from environment.campus_scenario import CampusScenario
from environment.charger_device import ChargerSpec
from environment.price_following import OrderedCharging, PriceFollowing, usual_plan
from environment.sessions import Session
from environment.vehicles import Fleet, Vehicle

BEGIN = datetime(2026, 1, 13, 14, tzinfo=UTC)
CHARGER = "bornholm-pool-01"


@pytest.fixture(scope="module")
def denmark() -> CampusScenario:
    loaded = scenario.load("denmark")
    assert isinstance(loaded, CampusScenario)
    return loaded


def session(asked_percent: float = 20.0) -> Session:
    return Session(CHARGER, "car", BEGIN, BEGIN + timedelta(hours=16), 60.0, 50.0, 50.0 + asked_percent)


def parked(now: list[datetime]) -> OrderedCharging:
    fleet = Fleet([Vehicle("car", 60.0, 11.0, 10.0, efficiency_charge=0.94, efficiency_discharge=0.94, soc=0.5)])
    park = OrderedCharging([ChargerSpec(CHARGER, 11.0, 10.0)], fleet, lambda: now[0])
    park.plug_in(CHARGER, "car", target_soc=0.7)
    return park


def test_an_order_holds_until_it_is_taken_back() -> None:
    now = [BEGIN]
    park = parked(now)
    park.order(CHARGER, 4.2)
    now[0] += timedelta(hours=1)
    assert park.power_kw()[0] == pytest.approx(4.2)
    park.order(CHARGER, 0.0)
    assert park.power_kw()[0] == 0.0
    park.order(CHARGER, None)
    assert park.power_kw()[0] == 11.0, "its own plan"


def test_it_charges_in_the_cheapest_hours_and_goes_where_a_new_list_of_prices_says(denmark: CampusScenario) -> None:
    now = [BEGIN]
    park = parked(now)
    following = PriceFollowing(denmark, park, RetailList(denmark), lambda: now[0])
    charged: list[datetime] = []
    while now[0] < BEGIN + timedelta(hours=16):
        following.minute({CHARGER: session()})
        if park.power_kw()[0] > 1.0:
            charged.append(now[0].astimezone(denmark.zone))
        now[0] += timedelta(minutes=1)
    assert {at.hour for at in charged} == {22, 6}
    assert charged[0].hour == 22, "the list of 18:40 makes 22:00 the cheapest, that of 01:10 the hour from 06:00"
    assert park.fleet.soc[0] == pytest.approx(0.7, abs=0.01)


def test_what_is_usual_knows_the_prices_of_the_arrival_only(denmark: CampusScenario) -> None:
    start, kw = usual_plan(denmark, RetailList(denmark))(session())
    hours = {(start + k * QUARTER).astimezone(denmark.zone).hour for k, each in enumerate(kw) if each > 0.5}
    assert hours <= {2, 3}, "22:00 was not cheap yet"
    assert sum(kw) / 4 * 0.94 == pytest.approx(12.0, abs=0.1)
