"""Who needs to charge: the same for a seed, possible for the cars, and like the fits that it is drawn from."""

from __future__ import annotations

from datetime import UTC, timedelta
from itertools import pairwise

import numpy as np
import pytest

from environment import scenario
from environment.public_needs import EVENING, FIRST_ASKING, LEAST_SOC, MEAN_ENERGY_KWH, MIDDAY, Needs, between, draw
from environment.public_scenario import PublicScenario
from environment.sessions import local

HOUR = timedelta(hours=1)


def greece(drivers: int = 300, **changes: object) -> PublicScenario:
    loaded = scenario.load("greece")
    assert isinstance(loaded, PublicScenario)
    return loaded.model_copy(update={"people": loaded.people.model_copy(update={"drivers": drivers, **changes})})


@pytest.fixture(scope="module")
def week() -> Needs:
    return draw(np.random.default_rng(1), greece())


def test_a_seed_has_one_week_and_one_more_driver_does_not_change_the_others(week: Needs) -> None:
    assert draw(np.random.default_rng(1), greece()) == week
    assert draw(np.random.default_rng(2), greece()) != week
    assert draw(np.random.default_rng(1), greece(120)).drivers == week.drivers[:120]


def test_what_one_day_has_does_not_shift_the_days_after_it(week: Needs) -> None:
    """Without the alternatives that the end of the run takes away."""
    longer = greece().model_copy(update={"scenario": greece().scenario.model_copy(update={"days": 10})})
    more = draw(np.random.default_rng(1), longer)
    ends = greece().ends.astimezone(UTC) - 2 * 24 * HOUR
    early = [need for driver in week.drivers for need in driver.needs if need.stays[-1].departure < ends]
    assert len(early) > 800
    assert set(early) <= {need for driver in more.drivers for need in driver.needs}


def test_each_driver_needs_to_charge_on_six_days_of_ten(week: Needs) -> None:
    """Seven and a half days lie in the run: a part of the first, and hardly any of the last."""
    assert len(week.drivers) == 300
    assert len(week.in_time()) == pytest.approx(300 * 0.6 * 7.5, rel=0.06)
    twice = draw(np.random.default_rng(1), greece(needs_per_day=0.3))
    assert len(twice.in_time()) == pytest.approx(len(week.in_time()) / 2, rel=0.08)


def test_the_energy_is_that_of_fast_charging_sessions_and_leaves_the_car_at_four_fifths(week: Needs) -> None:
    needs = [need for _, need in week.in_time()]
    assert max(need.soc_percent + 100 * need.energy_kwh / need.capacity_kwh for need in needs) <= 80.0 + 1e-9
    assert min(need.soc_percent for need in needs) >= LEAST_SOC - 0.1
    capped = [need.energy_kwh for need in needs if need.soc_percent > LEAST_SOC + 1]
    assert 20 < np.mean(capped) < MEAN_ENERGY_KWH
    large = draw(np.random.default_rng(1), greece(battery_kwh=(300.0, 300.0), max_charge_kw=(120.0, 120.0)))
    assert np.mean([need.energy_kwh for _, need in large.in_time()]) == pytest.approx(MEAN_ENERGY_KWH, rel=0.04)


def test_stays_follow_the_request_lie_in_the_run_and_are_long_enough(week: Needs) -> None:
    ends = greece().ends.astimezone(UTC)
    for driver, need in week.in_time():
        assert need.stays[0].arrival >= need.asks_at >= greece().begins.astimezone(UTC) + timedelta(minutes=45)
        assert all(stay.arrival >= need.asks_at and stay.departure < ends for stay in need.stays)
        takes = need.energy_kwh / min(60.0, driver.max_charge_kw) * HOUR
        assert all(stay.departure - stay.arrival > takes for stay in need.stays)
        assert need.asks_at >= local(need.asks_at.astimezone(greece().zone).date(), FIRST_ASKING, greece().zone)


def test_no_two_stays_of_a_driver_overlap(week: Needs) -> None:
    for driver in week.drivers:
        stays = sorted(
            ((stay.arrival, stay.departure) for need in driver.needs for stay in need.stays), key=lambda span: span[0]
        )
        assert all(a[1] <= b[0] for a, b in pairwise(stays)), driver.name


def test_workdays_end_near_home_and_have_their_midday_at_work(week: Needs) -> None:
    parts = {EVENING: 0, MIDDAY: 0}
    for driver, need in week.in_time():
        stay = need.stays[0]
        arrival = stay.arrival.astimezone(greece().zone)
        part = EVENING if arrival.hour >= 16 else MIDDAY
        parts[part] += 1
        place = driver.work if part == MIDDAY and arrival.weekday() < 5 else driver.home
        assert (stay.latitude_deg, stay.longitude_deg) == (place.latitude_deg, place.longitude_deg)
    assert parts[EVENING] / sum(parts.values()) == pytest.approx(0.6, abs=0.05)


def test_people_live_and_work_around_the_places_of_the_scenario(week: Needs) -> None:
    """Mesogeia: Koropi, Markopoulo, and between them; the airport is the furthest place of work."""
    homes = np.array([(driver.home.latitude_deg, driver.home.longitude_deg) for driver in week.drivers])
    assert homes.mean(axis=0) == pytest.approx([37.8925, 23.9027], abs=0.006)
    assert homes.std(axis=0).max() < 0.05
    assert np.mean([driver.follows_prices for driver in week.drivers]) == pytest.approx(0.6, abs=0.08)


def test_another_time_of_the_year_has_needs_too() -> None:
    winter = (local(greece().scenario.start - timedelta(days=150 - k), timedelta(), greece().zone) for k in (0, 3))
    opens, closes = winter
    found = between(np.random.default_rng(1), greece(50), opens, closes).in_time()
    assert len(found) == pytest.approx(50 * 0.6 * 3, rel=0.25)
    assert all(opens <= need.asks_at and need.stays[0].departure <= closes for _, need in found)
