"""Sessions as drawn: possible, reproducible, and as the stated fits say."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from environment.scenario import Scenario, load
from environment.sessions import (
    ENERGY_SHAPE,
    WANTED_SOC,
    Sessions,
    generate,
    local,
    soc_after,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "level3-sessions.csv"
LJUBLJANA = ZoneInfo("Europe/Ljubljana")


def drawn(seed: int = 1, **changes: object) -> tuple[Scenario, Sessions]:
    scenario = load("slovenia", **changes)
    return scenario, generate(np.random.default_rng(seed), scenario)


def test_one_seed_gives_one_day_and_another_seed_another() -> None:
    assert drawn(1) == drawn(1)
    assert drawn(1)[1] != drawn(2)[1]


@pytest.mark.parametrize("seed", range(5))
def test_every_session_is_possible(seed: int) -> None:
    scenario, result = drawn(seed, days=7)
    chargers = {c: site for site in scenario.site for c in site.charger_ids()}
    vehicles = {vehicle.vehicle_id: vehicle for vehicle in result.vehicles}
    assert set(chargers) == {session.charger_id for session in result.sessions}
    for session in result.sessions:
        site, vehicle = chargers[session.charger_id], vehicles[session.vehicle_id]
        assert scenario.begins <= session.arrival < session.departure
        assert session.arrival < scenario.ends
        assert site.capacity_kwh[0] - 0.05 <= session.capacity_kwh <= site.capacity_kwh[1] + 0.05
        assert 10 <= session.soc_arrival_percent <= session.soc_wanted_percent + 0.05
        hours = (session.departure - session.arrival).total_seconds() / 3600
        assert session.soc_wanted_percent <= soc_after(vehicle, session.soc_arrival_percent / 100, hours) * 100 + 0.1


@pytest.mark.parametrize("start", [date(2026, 3, 18), date(2026, 3, 26), date(2026, 10, 22)])
def test_no_charger_has_two_vehicles_at_a_time(start: date) -> None:
    _, result = drawn(3, start=start, days=7)
    for vehicle in result.vehicles:
        stays = [s for s in result.sessions if s.vehicle_id == vehicle.vehicle_id]
        assert all(a.departure <= b.arrival for a, b in pairwise(stays))


def test_another_charger_at_the_end_does_not_change_the_others() -> None:
    scenario = load("slovenia")
    more = scenario.model_copy(
        update={
            "site": (*scenario.site[:-1], scenario.site[-1].model_copy(update={"chargers": 15, "buses": "households"}))
        }
    )
    few, many = (generate(np.random.default_rng(1), s) for s in (scenario, more))
    assert set(few.sessions) <= set(many.sessions)
    assert len(many.vehicles) == len(few.vehicles) + 1


def test_offices_are_empty_at_the_weekend_and_homes_are_full_at_night() -> None:
    _, result = drawn(1, start=date(2026, 3, 20), days=3)  # Friday noon to Monday noon
    for session in result.sessions:
        arrival = session.arrival.astimezone(LJUBLJANA)
        if session.charger_id.startswith("office"):
            assert arrival.weekday() < 5
    night = datetime(2026, 3, 21, 2, tzinfo=UTC)
    home = [s for s in result.sessions if s.arrival <= night < s.departure]
    assert len(home) > 20


def test_a_vehicle_that_was_there_before_the_run_has_charged_until_then() -> None:
    scenario, result = drawn(1)
    first = [s for s in result.sessions if s.arrival == scenario.begins]
    assert first
    assert all(s.charger_id.startswith("office") for s in first)


def test_local_times_are_real_instants_when_the_clocks_change() -> None:
    assert local(date(2026, 3, 29), timedelta(hours=7), LJUBLJANA) == datetime(2026, 3, 29, 5, tzinfo=UTC)
    assert local(date(2026, 10, 25), timedelta(hours=7), LJUBLJANA) == datetime(2026, 10, 25, 6, tzinfo=UTC)
    night = local(date(2026, 10, 25), timedelta(hours=7), LJUBLJANA) - local(
        date(2026, 10, 24), timedelta(hours=18), LJUBLJANA
    )
    assert night == timedelta(hours=14)


def test_energies_and_wanted_charges_follow_their_distributions() -> None:
    scenario = load("slovenia", days=60)
    result = generate(np.random.default_rng(7), scenario)
    whole = [s for s in result.sessions if s.arrival > scenario.begins and s.charger_id.startswith("ho")]
    energy = np.array([(s.soc_wanted_percent - s.soc_arrival_percent) * s.capacity_kwh / 100 for s in whole])
    assert len(energy) > 1500
    assert energy.mean() == pytest.approx(14.0, rel=0.05)
    assert energy.std() / energy.mean() == pytest.approx(ENERGY_SHAPE**-0.5, rel=0.1)


@pytest.mark.skipif(not DATA.is_file(), reason="the measured sessions are not on this machine")
def test_the_stated_fits_are_the_fits_to_the_measured_sessions() -> None:
    with DATA.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    energy = np.array([float(row["Energy (Wh)"]) / 1000 for row in rows])
    shape, _, scale = stats.gamma.fit(energy, floc=0)
    assert shape == pytest.approx(ENERGY_SHAPE, abs=0.001)
    assert shape * scale == pytest.approx(32.2, abs=0.1)
    assert stats.kstest(energy, stats.gamma(shape, scale=scale).cdf).statistic < 0.06
    ended = np.array([float(row["SOC departure"]) / 100 for row in rows])
    a, b, _, _ = stats.beta.fit(ended[(ended > 0) & (ended < 1)], floc=0, fscale=1)
    assert (a, b) == pytest.approx(WANTED_SOC, abs=0.001)
