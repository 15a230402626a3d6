"""Who takes part, and what each is given: the same for the same scenario and seed, and nobody's luck on another's."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agents.cpo import Cpo
from agents.ev_owner import EvOwner
from agents.ledger import Ledger
from agents.vpp import Vpp
from environment import cast, scenario, world
from environment.cast import Props
from environment.casts import cast_of, roles
from environment.launcher import streams
from environment.market_cast import courses, product
from protocols.exchanges.vocabulary import BaselineMethod, PricingRule
from protocols.roles import Role
from tests.days import SMALL, changed
from tests.swarm import SwarmUnderTest, run_swarm


def loaded(*pairs: tuple[str, str], **changes: Any) -> scenario.Scenario:
    return scenario.parse(changed(*pairs), "small.toml", **changes)


def actors(of: scenario.Scenario) -> list[Any]:
    """The whole cast but the directory, made and not started."""
    found: list[Any] = []

    async def main(swarm: SwarmUnderTest) -> None:
        random = streams(of.scenario.seed)
        plant = world.build(of, random)
        chargers: dict[str, Any] = {c: Named(c) for c in plant.bus_of}
        with Ledger("sqlite://") as ledger:
            props = Props(plant, world=None, ledger=ledger, writer=None, chargers=chargers, streams=random)  # type: ignore[arg-type]
            passwords = dict.fromkeys(roles(of, "localhost"), "")
            found.extend(cast_of(of)(swarm.swarm, "localhost", passwords, props).actors())

    run_swarm(main)
    return found


class Named:
    """A charger that has a name and does nothing."""

    def __init__(self, charger_id: str) -> None:
        self.charger_id = charger_id


@pytest.fixture(scope="module")
def small_cast() -> list[Any]:
    return actors(loaded())


def test_every_role_of_d51_is_there_and_the_directory_comes_first() -> None:
    found = roles(loaded(), "x.org")
    assert Counter(found.values()) == {
        **dict.fromkeys((Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER, Role.FMO, Role.DSO, Role.TSO), 1),
        Role.CPO: 2,
        Role.VPP: 2,
        Role.EV_OWNER: 12,
    }
    assert next(iter(found)) == "directory@x.org"
    assert all(jid.endswith("@x.org") for jid in found)


def test_the_actors_are_those_of_the_roles_in_their_order(small_cast: list[Any]) -> None:
    assert [(actor.address, actor.role) for actor in small_cast] == list(roles(loaded(), "localhost").items())[1:]


def test_each_operator_has_the_chargers_of_its_sites_and_serves_its_vpp(small_cast: list[Any]) -> None:
    operators = {actor.name: actor for actor in small_cast if isinstance(actor, Cpo)}
    assert {name: len(cpo.desk.chargers) for name, cpo in operators.items()} == {"cpo1": 7, "cpo2": 5}
    assert operators["cpo1"].services == ("flexibility:vpp1",)
    assert operators["cpo2"].services == ("flexibility:vpp2",)
    assert operators["cpo1"].pv_bus is not None, "the office has a roof"
    assert operators["cpo2"].pv_bus is None


def test_each_vpp_bids_by_its_own_strategy(small_cast: list[Any]) -> None:
    one, two = (actor for actor in small_cast if isinstance(actor, Vpp))
    assert (one.address, two.address) == ("vpp1@localhost", "vpp2@localhost")
    margins = [round(vpp.portfolio.strategy.margin, 3) for vpp in (one, two)]
    assert margins == [0.15, 0.25]


def test_each_owner_knows_its_own_stays_and_its_operator(small_cast: list[Any]) -> None:
    plant = world.build(loaded(), streams(4))
    owners = [actor for actor in small_cast if isinstance(actor, EvOwner)]
    assert len(owners) == 12
    for owner in owners:
        stays = plant.sessions.of(owner.charger_id)
        assert [(v.arrival, v.departure, v.wanted_soc_percent) for v in owner.visits] == [
            (s.arrival, s.departure, s.soc_wanted_percent) for s in stays
        ]
        assert owner.operator == ("cpo2@localhost" if owner.charger_id.startswith("home") else "cpo1@localhost")


def test_what_was_expected_the_day_before_is_possible_and_not_exact(small_cast: list[Any]) -> None:
    visits = [visit for actor in small_cast if isinstance(actor, EvOwner) for visit in actor.visits]
    assert len(visits) >= 12
    for visit in visits:
        assert visit.expected_arrival <= visit.departure - timedelta(minutes=30)
        assert 5.0 <= visit.expected_soc_percent <= visit.wanted_soc_percent
    errors = np.array([(v.expected_arrival - v.arrival).total_seconds() / 60 for v in visits])
    assert 5.0 < errors.std() < 60.0


def test_the_same_seed_gives_the_same_cast_and_another_another(small_cast: list[Any]) -> None:
    def preferences(of: list[Any]) -> list[Any]:
        return [(a.preference, a.visits) for a in of if isinstance(a, EvOwner)]

    assert preferences(actors(loaded())) == preferences(small_cast)
    assert preferences(actors(loaded(seed=5))) != preferences(small_cast)


def test_one_more_charger_at_the_end_leaves_the_others_their_sessions() -> None:
    """Each charger has a stream of its own."""
    few = world.build(loaded(), streams(4)).sessions
    many = world.build(
        loaded(('name = "home"\ncpo = "cpo2"\nkind = "household"\nchargers = 5', _HOMES)), streams(4)
    ).sessions
    for charger in ("office-01", "house-05", "home-05"):
        assert many.of(charger) == few.of(charger)


_HOMES = 'name = "home"\ncpo = "cpo2"\nkind = "household"\nchargers = 6'


def test_the_product_is_the_scenarios() -> None:
    made = product(
        loaded(
            ('pricing = "pay-as-clear"', 'pricing = "pay-as-bid"\nnotice_minutes = 30\nmax_price_eur_per_kw = 0.7'),
            ('baseline = "nomination"', 'baseline = "meter-before-meter-after"'),
        )
    )
    assert made.pricing is PricingRule.PAY_AS_BID
    assert made.baseline is BaselineMethod.METER_BEFORE_METER_AFTER
    assert made.notice_minutes == 30
    assert made.max_price_eur_per_kw == Decimal("0.7")
    assert made.congestion_point == "krsko-mv-lv"


@pytest.mark.parametrize("days", [1, 2, 3])
def test_the_market_is_held_on_each_day_whose_whole_course_lies_in_the_run(days: int) -> None:
    of = loaded(days=days)
    found = courses(of)
    assert len(found) == days
    for course in found:
        times = [course.requirements, course.need, course.gate_closure, course.first_delivery, course.last_delivery]
        assert times == sorted(times)
        assert of.begins <= times[0] < times[-1] < of.ends


def test_a_run_from_midnight_has_its_market_too() -> None:
    of = loaded(("seed = 4", "seed = 4\nstart_time = 00:00:00"))
    assert [course.need.astimezone(of.zone).hour for course in courses(of)] == [13]


@pytest.mark.parametrize(("days", "markets"), [(1, 0), (3, 2)])
def test_a_run_that_begins_in_the_afternoon_has_no_half_market(days: int, markets: int) -> None:
    """On its first day it would ask for bids without ever having said which product; the next days are whole."""
    of = loaded(("seed = 4", "seed = 4\nstart_time = 13:15:00"), days=days)
    found = courses(of)
    assert len(found) == markets
    for course in found:
        assert course.requirements < course.need < course.gate_closure < course.first_delivery < course.last_delivery
        assert course.last_delivery - course.requirements < timedelta(days=1)


@pytest.mark.parametrize(("start", "hours"), [("2026-03-28", 1), ("2026-10-24", 2)])
def test_the_courses_are_by_the_clock_on_the_wall(start: str, hours: int) -> None:
    """13:00 in Ljubljana is 12:00 UTC in winter and 11:00 in summer."""
    of = loaded(("2026-03-18", start), days=2)
    first, second = courses(of)
    assert first.need.astimezone(UTC).hour == 13 - hours
    assert second.need.astimezone(UTC).hour == 13 - (3 - hours)


def test_owners_have_the_name_of_their_charger() -> None:
    assert cast.owner_name("house-01") == "ev-house-01"
    assert f"{cast.owner_name('house-01')}@localhost" in roles(scenario.parse(SMALL, "small.toml"), "localhost")
