"""Timers: cars that wait for the cheap hours, in the physics, as they are drawn, as the operator knows them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from environment.history import ChargingHistory
from environment.scenario import load
from environment.scenario_parts import Scenario
from environment.sessions import (
    CHEAP_UNTIL,
    HABITS,
    TIMER_SPREAD_S,
    Session,
    charges_from,
    generate,
    local,
    soc_after,
    within,
)
from environment.vehicles import Vehicle
from tests.environment.park import HandClock, park_of, running

AZORES = ZoneInfo("Atlantic/Azores")
CAR = Vehicle("v", 60.0, 11.0, 7.4)


def timed(timer: time | None = time(22), kind: str = "household", **changes: object) -> Scenario:
    """The Slovenian day in the Azores, its homes with a timer."""
    scenario = load("slovenia", timezone="Atlantic/Azores", start=date(2026, 5, 27), **changes)
    homes = {"charges_from": timer, "kind": kind}
    sites = tuple(site if site.kind == "office" else site.model_copy(update=homes) for site in scenario.sites)
    return scenario.model_copy(update={"site": sites})


def stay(arrival: datetime, departure: datetime, wanted: float = 80.0) -> Session:
    return Session("c", "v", arrival.astimezone(UTC), departure.astimezone(UTC), 60.0, 50.0, wanted)


# ---- the physics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("looks", [1, 7])
def test_the_own_plan_starts_at_its_instant_however_often_one_looks(looks: int) -> None:
    clock = HandClock()
    park = park_of(1, clock)
    park.plug_in("c0", "v0", soc=0.5, starts_at=clock.at + timedelta(seconds=1234))
    assert park.power_kw()[0] == 0.0
    for _ in range(looks):
        clock.passes(2100 / looks)
        park.advance()
    assert park.imported_kwh[0] == pytest.approx(11 * (2100 - 1234) / 3600, abs=1e-9)
    assert park.power_kw()[0] == 11.0


def test_at_the_very_instant_it_charges_and_just_before_it_does_not() -> None:
    clock = HandClock()
    park = park_of(2, clock)
    park.plug_in("c0", "v0", starts_at=clock.at + timedelta(minutes=10))
    park.plug_in("c1", "v1")
    clock.passes(599.999)
    assert park.power_kw().tolist() == [0.0, 11.0]
    clock.passes(0.001)
    assert park.power_kw().tolist() == [11.0, 11.0]


def test_a_time_that_has_come_already_is_no_timer() -> None:
    clock = HandClock()
    park = park_of(1, clock)
    clock.passes(60)
    park.plug_in("c0", "v0", starts_at=clock.at)
    assert park.power_kw()[0] == 11.0


async def test_orders_need_not_wait_and_the_own_plan_waits_again_after_them() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0", soc=0.5, starts_at=clock.at + timedelta(hours=2))
        await charger.set_power(5.0, 600)
        assert park.power_kw()[0] == 5.0
        clock.passes(900)  # the order has reverted
        assert park.power_kw()[0] == 0.0
        await charger.set_power(-3.0, 0)
        clock.passes(600)
        assert park.power_kw()[0] == -3.0
        await charger.release()
        assert park.power_kw()[0] == 0.0
        assert park.imported_kwh[0] == pytest.approx(5 / 6)
        clock.passes(7200 - 1500)
        assert park.power_kw()[0] == 11.0


async def test_an_order_that_holds_over_the_timers_time_goes_on_and_the_own_plan_then_charges() -> None:
    async with running() as (clock, park, (charger,)):
        park.plug_in("c0", "v0", soc=0.5, starts_at=clock.at + timedelta(minutes=5))
        await charger.set_power(0.0, 600)
        clock.passes(400)
        assert park.power_kw()[0] == 0.0
        clock.passes(300)
        park.advance()
        assert park.imported_kwh[0] == pytest.approx(11 * 100 / 3600)


def test_the_next_vehicle_does_not_inherit_the_timer() -> None:
    clock = HandClock()
    park = park_of(2, clock)
    park.plug_in("c0", "v0", starts_at=clock.at + timedelta(hours=1))
    park.unplug("c0")
    park.plug_in("c0", "v1")
    assert park.power_kw()[0] == 11.0


# ---- when it is set to ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrives", "timer", "starts"),
    [
        ("2026-05-27T18:10", time(22), "2026-05-27T22:03"),
        ("2026-05-27T21:59", time(22), "2026-05-27T22:03"),
        ("2026-05-27T22:00", time(22), "2026-05-27T22:00"),  # cheap already
        ("2026-05-28T07:59", time(22), "2026-05-28T07:59"),
        ("2026-05-28T08:00", time(22), "2026-05-28T22:03"),
        ("2026-05-27T18:10", time(1), "2026-05-28T01:03"),
        ("2026-05-28T00:10", time(1), "2026-05-28T01:03"),
        ("2026-05-28T03:10", time(1), "2026-05-28T03:10"),
        ("2026-10-24T18:10", time(1), "2026-10-25T01:03"),  # the hour from midnight comes twice that night
    ],
)
def test_a_timer_waits_for_the_next_cheap_hours(arrives: str, timer: time, starts: str) -> None:
    arrival = datetime.fromisoformat(arrives).replace(tzinfo=AZORES)
    session = stay(arrival, arrival + timedelta(days=2))
    found = charges_from(session, CAR, timer, timedelta(minutes=3), AZORES)
    assert found.tzinfo is UTC
    assert found.astimezone(AZORES).replace(tzinfo=None) == datetime.fromisoformat(starts)
    assert found >= session.arrival


def test_a_car_that_would_not_get_its_charge_does_not_wait() -> None:
    """30 % of 60 kWh at 11 kW and 94 % take 1.74 h."""
    arrival = datetime(2026, 5, 27, 18, tzinfo=AZORES)
    waits, cannot = (stay(arrival, datetime(2026, 5, 27, 23, minute, tzinfo=AZORES)) for minute in (45, 44))
    assert charges_from(waits, CAR, time(22), timedelta(0), AZORES) == datetime(2026, 5, 27, 22, tzinfo=AZORES)
    assert charges_from(cannot, CAR, time(22), timedelta(0), AZORES) == arrival
    gone = stay(arrival, arrival + timedelta(hours=2))
    assert charges_from(gone, CAR, time(22), timedelta(0), AZORES) == arrival


@pytest.mark.parametrize("kind", ["household", "house", "building"])
def test_drawn_cars_start_within_ten_minutes_of_their_timer_or_on_arrival(kind: str) -> None:
    scenario = timed(kind=kind, days=20)
    sessions = generate(np.random.default_rng(1), scenario).sessions
    delays, cheap, short = [], 0, 0
    for session in sessions:
        if session.charger_id.startswith("office"):
            assert session.charges_from is None
            continue
        assert session.charges_from is not None
        assert session.arrival <= session.charges_from < session.departure
        arrives = session.arrival.astimezone(AZORES)
        if arrives.hour >= 22 or arrives.time() < CHEAP_UNTIL:
            assert session.charges_from == session.arrival
            cheap += 1
        elif session.charges_from == session.arrival:
            short += 1
        else:
            delays.append((session.charges_from - local(arrives.date(), timedelta(hours=22), AZORES)).total_seconds())
    assert len(delays) > 400
    assert cheap > 0
    assert short < 40
    assert min(delays) >= 0
    assert max(delays) <= TIMER_SPREAD_S
    assert np.mean(delays) == pytest.approx(TIMER_SPREAD_S / 2, rel=0.1)
    assert len(set(delays)) > 200


def test_a_timer_changes_nobodys_arrival_departure_or_wish() -> None:
    def what(timer: time | None) -> list[tuple[object, ...]]:
        scenario = timed(timer, start_time=time(0))
        return [
            (s.charger_id, s.departure, s.capacity_kwh, s.soc_wanted_percent)
            for s in generate(np.random.default_rng(3), scenario).sessions
        ]

    assert sorted(what(None), key=str) == sorted(what(time(22)), key=str)
    assert all(s.charges_from is None for s in generate(np.random.default_rng(3), timed(None)).sessions)


@pytest.mark.parametrize(("hour", "charged_h", "from_hour"), [(20, 0.0, 22), (23, 1.0, 23)])
def test_a_car_that_was_there_before_the_run_has_charged_since_its_timer(
    hour: int, charged_h: float, from_hour: int
) -> None:
    scenario = timed(start_time=time(hour))
    evening = datetime(2026, 5, 27, 17, tzinfo=AZORES)
    at_ten = datetime(2026, 5, 27, 22, tzinfo=AZORES).astimezone(UTC)
    begun = replace(stay(evening, evening + timedelta(hours=14), wanted=90.0), charges_from=at_ten)
    found = within(begun, CAR, scenario)
    assert found is not None
    assert found.arrival == scenario.begins
    assert found.charges_from == datetime(2026, 5, 27, from_hour, tzinfo=AZORES)
    assert found.soc_arrival_percent == pytest.approx(soc_after(CAR, 0.5, charged_h) * 100, abs=0.06)


def test_companies_park_as_offices_and_houses_and_buildings_as_households() -> None:
    assert HABITS["company"] is HABITS["office"]
    assert HABITS["house"] is HABITS["building"] is HABITS["household"]


# ---- what the operator knows of it ----------------------------------------------------------------------------------


def test_the_operators_history_has_the_peak_when_the_timers_start() -> None:
    def night(timer: time | None) -> np.ndarray:
        scenario = timed(timer)
        bus_of = {c: site.kind for site in scenario.sites for c in site.charger_ids()}
        known = ChargingHistory(scenario, bus_of, np.random.default_rng(1))
        return known.typical_kw(scenario.begins, 96)["household"]

    waits, at_once = night(time(22)), night(None)
    ten = 10 * 4
    assert waits[:ten].sum() < 0.15 * at_once[:ten].sum()
    assert waits.max() > 1.5 * at_once.max()
    assert int(waits.argmax()) in (ten, ten + 1)
    assert waits.sum() == pytest.approx(at_once.sum(), rel=0.05)
