"""The island's day: what could be given, who gives it, what the frequency does, what is known in advance."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from agents.decisions.dispatch import PlantKind
from environment.grid import GridError
from environment.island import Island, IslandMinute, IslandSpec, Outage
from environment.island_forecast import IslandForecast
from environment.island_profiles import MINUTE, DemandSpec, IslandProfiles
from environment.profiles import QUARTER, profile_date
from tests.environment.sao_miguel import PLANTS, SHARE, STANDARD, WINDY, ZONE, begins, profiles, run, spec

LOST = datetime(2026, 4, 17, 21, 10, 20, tzinfo=ZONE)
"""A windy evening on which all the wind is taken."""


@pytest.fixture(scope="module")
def day() -> list[IslandMinute]:
    """From noon to noon, no vehicles."""
    return run(Island(spec(), profiles(spec()), begins()), 1440)


def at(hour: int, minute: int = 0) -> int:
    """The minute of a day that began at noon."""
    return ((hour - 12) % 24) * 60 + minute


def shipped(name: str) -> pd.DataFrame:
    return pd.read_parquet(f"environment/data/{name}.parquet")


# ---- what could be given, and what is consumed ----------------------------------------------------------------------


def test_the_wind_extract_is_a_leap_year_per_unit() -> None:
    wind = shipped("wind")
    assert len(wind) == 366 * 96
    assert list(wind.columns) == [f"WP{n}/p" for n in range(1, 13)]
    assert (wind.min() >= 0).all()
    assert (wind.max() <= 1).all()
    assert wind["WP4/p"].mean() == pytest.approx(22_000 / (9 * 8784), abs=0.02), "22 GWh a year from 9 MW"


@pytest.mark.parametrize("start", [begins(), begins(date(2026, 1, 15), 0), begins(date(2026, 10, 24))])
def test_midnight_local_standard_time_takes_the_profiles_midnight(start: datetime) -> None:
    """In summer the Azores are an hour ahead of their standard time: 01:00 on the clock is the profile's 00:00."""
    known = profiles(spec(), start)
    wind = shipped("wind")["WP4/p"].to_numpy()
    means = known.available_kw("graminhais").reshape(-1, 15).mean(axis=1) / (9_000 * SHARE)
    for quarter in range(96):
        instant = (start.astimezone(UTC) + quarter * QUARTER).astimezone(ZONE)
        offset = instant.astimezone(UTC) + STANDARD - datetime(*instant.timetuple()[:3], tzinfo=UTC)
        row = (profile_date(instant.date()) - date(2016, 1, 1)).days * 96 + offset // QUARTER
        assert means[quarter] == pytest.approx(wind[row], abs=1e-6)


def test_gusts_keep_the_quarters_mean_the_limits_and_the_seed() -> None:
    for day_of in (WINDY, date(2026, 2, 3)):
        first, again = profiles(spec(), begins(day_of)), profiles(spec(), begins(day_of))
        other = profiles(spec(), begins(day_of), seed=2)
        wind = first.available_kw("graminhais")
        np.testing.assert_array_equal(wind, again.available_kw("graminhais"))
        assert not np.array_equal(wind, other.available_kw("graminhais"))
        quarters = [w.available_kw("graminhais").reshape(-1, 15).mean(axis=1) for w in (first, other)]
        np.testing.assert_allclose(*quarters, atol=1e-9)
        assert wind.min() >= 0
        assert wind.max() <= 9_000 * SHARE + 1e-9
        assert 0.2 < np.abs(np.diff(wind)).mean() < 5, "kW from minute to minute, of 144"


def test_demand_is_that_of_an_island_with_its_peak_its_nights_and_no_jumps() -> None:
    year = profiles(spec(), begins(date(2026, 1, 4), 0), 360 * 1440).demand_kw / SHARE / 1000
    assert year.max() == pytest.approx(70, abs=1.5)
    assert 32 < year.min() < 36
    assert year.mean() == pytest.approx(48.7, abs=0.5), "34.1 GWh in a month of April are 47 MW"
    assert np.abs(np.diff(year)).max() < 1.0


def test_water_follows_the_season_and_heat_does_not() -> None:
    winter, summer = (profiles(spec(), begins(date(2026, month, 1))) for month in (2, 8))
    assert winter.available_kw("hydro").mean() == pytest.approx(0.75 * 5_000 * SHARE, rel=0.01)
    assert summer.available_kw("hydro").mean() == pytest.approx(0.25 * 5_000 * SHARE, rel=0.01)
    assert (summer.available_kw("pico-vermelho") == 12_000 * SHARE).all()


def test_a_minute_is_the_same_wherever_the_run_starts() -> None:
    late = profiles(spec(), begins(hour=14), 60).demand_kw
    np.testing.assert_allclose(late, profiles(spec()).demand_kw[120:180], atol=1e-9)


@pytest.mark.parametrize("day_of", [date(2026, 3, 28), date(2026, 10, 24)])
def test_over_the_change_of_clocks_real_time_goes_on_evenly(day_of: date) -> None:
    known = profiles(spec(), begins(day_of))
    assert len(known.demand_kw) == 1440
    assert np.abs(np.diff(known.demand_kw)).max() < 1.0 * SHARE * 1000


def test_profiles_that_are_no_year_or_lack_a_farm_are_one_line() -> None:
    def made(**changed: object) -> IslandProfiles:
        fixed = {"standard_offset": STANDARD, "rng": np.random.default_rng(1), **changed}
        return IslandProfiles(PLANTS, DemandSpec(1000.0), begins(), 60, **fixed)  # type: ignore[arg-type]

    with pytest.raises(GridError, match=r"wind\.parquet: 2 quarter hours"):
        made(wind=pd.DataFrame({"WP4/p": [0.0, 1.0]}))
    with pytest.raises(GridError, match="no column WP99/p"):
        made(wind_profile="WP99")
    with pytest.raises(GridError, match="not on a quarter hour"):
        profiles(spec(), begins() + timedelta(minutes=7))


# ---- who gives it ---------------------------------------------------------------------------------------------------


def test_every_minute_balances_and_nothing_is_unserved(day: list[IslandMinute]) -> None:
    for minute in day:
        done = minute.dispatch
        assert sum(done.production_kw.values()) == pytest.approx(minute.demand_kw, abs=1e-6)
        assert done.unserved_kw == done.surplus_kw == 0
        assert len(done.committed) >= 2


def test_on_a_windy_day_wind_is_curtailed_at_night_and_hardly_by_day(day: list[IslandMinute]) -> None:
    curtailed = np.array([minute.dispatch.curtailed_kw for minute in day]) / 60
    night = curtailed[at(23) : at(7)].sum()
    assert 300 < night < 380, "kWh in the slice"
    assert curtailed.sum() - night < 5
    assert all(m.dispatch.thermal_kw == pytest.approx(m.dispatch.thermal_minimum_kw) for m in day[at(4) : at(5)])


def test_consumption_at_night_takes_the_wind_in_and_burns_no_more_fuel(day: list[IslandMinute]) -> None:
    cars = 20.0
    served = run(
        Island(spec(), profiles(spec()), begins()), at(5), lambda index: cars if at(3) <= index < at(5) else 0.0
    )
    pairs = [pair for pair in zip(day, served, strict=False) if pair[1].ev_kw and pair[0].dispatch.curtailed_kw > cars]
    assert len(pairs) > 90
    for alone, with_cars in pairs:
        assert with_cars.dispatch.curtailed_kw == pytest.approx(alone.dispatch.curtailed_kw - cars)
        assert with_cars.fuel_kg == pytest.approx(alone.fuel_kg)
        assert with_cars.demand_kw == alone.demand_kw


def test_no_unit_is_run_for_consumption_that_can_be_switched_off() -> None:
    """60 kW of vehicles from two to five: as firm load they would keep units on that curtail the wind again."""

    def night(*, firm: bool) -> list[IslandMinute]:
        island = Island(spec(), profiles(spec()), begins())
        for quarter in range(at(2), at(5), 15):
            if not firm:
                island.interruptible(island.begins + quarter * MINUTE, 60.0, beyond_kw=0.0)
        return run(island, at(5), lambda index: 60.0 if at(2) <= index < at(5) else 0.0)

    alone = run(Island(spec(), profiles(spec()), begins()), at(5))
    served = night(firm=False)
    assert [minute.dispatch.committed for minute in served] == [minute.dispatch.committed for minute in alone]
    taken = {
        name: sum(minute.dispatch.wind_kw for minute in minutes)
        for name, minutes in (("firm", night(firm=True)), ("interruptible", served))
    }
    assert taken["interruptible"] >= taken["firm"]


def test_units_are_decided_by_the_quarter_hour_and_run_for_an_hour(day: list[IslandMinute]) -> None:
    started: dict[str, int] = {}
    changes = 0
    for index, (before, now) in enumerate(pairwise(day), start=1):
        one, other = set(before.dispatch.committed), set(now.dispatch.committed)
        if one != other:
            assert index % 15 == 0
            changes += 1
        started |= dict.fromkeys(other - one, index)
        assert all(index - started.pop(name) >= 60 for name in one - other if name in started)
    assert 2 < changes < 30


def test_running_units_cover_the_largest_infeed(day: list[IslandMinute]) -> None:
    """From the quarter's beginning; within it, demand may have risen by a little."""
    capacity = {p.name: p.capacity_kw for p in PLANTS}
    for minute in day[::15]:
        spare = sum(capacity[name] for name in minute.dispatch.committed) - minute.dispatch.thermal_kw
        assert spare > 0.9 * 12_000 * SHARE


def test_means_are_measured_and_what_was_not_is_told(day: list[IslandMinute]) -> None:
    island = Island(spec(), profiles(spec()), begins())
    run(island, 30)
    start = begins()
    means = island.measured("graminhais", start + 15 * MINUTE, start + 30 * MINUTE)
    assert means.production_kw == pytest.approx(
        np.mean([m.dispatch.production_kw["graminhais"] for m in day[15:30]]), rel=1e-9
    )
    assert means.available_kw == pytest.approx(island.profiles.available_kw("graminhais")[15:30].mean())
    with pytest.raises(LookupError, match="no plant tidal"):
        island.measured("tidal", start, start + MINUTE)
    for first, last in ((0, 31), (-1, 5), (5, 5)):
        with pytest.raises(LookupError, match="nothing was measured of hydro"):
            island.measured("hydro", start + first * MINUTE, start + last * MINUTE)


def test_minutes_come_in_turn_and_within_the_run() -> None:
    island = Island(spec(), profiles(spec(), minutes=15), begins())
    with pytest.raises(ValueError, match=r"minute 1 .* minute 0 is next"):
        island.minute(begins() + MINUTE, 0.0)
    run(island, 15)
    with pytest.raises(ValueError, match="minute 15"):
        island.minute(begins() + 15 * MINUTE, 0.0)
    with pytest.raises(ValueError, match="profiles begin at"):
        Island(spec(), profiles(spec(), minutes=15), begins() + MINUTE)


def test_an_island_with_two_plants_of_a_name_or_an_outage_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        IslandSpec((*PLANTS, PLANTS[0]), DemandSpec(1000.0))
    with pytest.raises(ValueError, match="no plant tidal"):
        spec(Outage("tidal", LOST, LOST + MINUTE))


# ---- the frequency --------------------------------------------------------------------------------------------------


def test_an_ordinary_day_stays_near_nominal_and_is_the_same_for_a_seed(day: list[IslandMinute]) -> None:
    hz = np.array([minute.frequency_hz for minute in day])
    assert abs(hz.mean() - 50) < 0.002
    assert 0.002 < hz.std() < 0.05
    assert min(minute.frequency_min_hz for minute in day) > 49.9
    again = run(Island(spec(), profiles(spec()), begins()), 300)
    assert [m.frequency_hz for m in again] == hz[:300].tolist()


def test_a_lost_wind_farm_shows_in_its_second_and_is_made_good_by_secondary_control() -> None:
    outage = Outage("graminhais", LOST, LOST + timedelta(minutes=20))
    of = spec(outage)
    island = Island(of, profiles(of, begins(date(2026, 4, 17))), begins(date(2026, 4, 17)))
    minutes = run(island, at(22))
    before, during, then = (minutes[at(21, 10) + step] for step in (-1, 0, 1))
    lost = before.dispatch.wind_kw / SHARE
    assert 8_000 < lost < 9_000
    assert island.at(LOST) == pytest.approx(50, abs=0.03), "the second in which it happens begins as any other"
    assert during.frequency_min_hz < 49.3
    assert during.dispatch.wind_kw == pytest.approx(before.dispatch.wind_kw / 3, rel=0.1), "20 of 60 seconds"
    assert sum(during.dispatch.production_kw.values()) == pytest.approx(during.demand_kw)
    running = [
        p for p in PLANTS if p.droop is not None and (p.kind is PlantKind.HYDRO or p.name in before.dispatch.committed)
    ]
    stiffness = sum(p.capacity_kw for p in running) / 2.5 + 0.01 * before.demand_kw
    settled = island.at(LOST + timedelta(seconds=35)) - 50
    assert settled == pytest.approx(-before.dispatch.wind_kw / stiffness, rel=0.05)
    assert then.dispatch.wind_kw == 0
    assert then.dispatch.unserved_kw == 0
    assert abs(island.at(LOST + timedelta(seconds=105)) - 50) < 0.03
    assert island.measured("graminhais", LOST.replace(second=0) + MINUTE, LOST.replace(second=0) + 5 * MINUTE) == (
        island.measured("graminhais", LOST.replace(second=0) + 2 * MINUTE, LOST.replace(second=0) + 3 * MINUTE)
    )


def test_a_farm_comes_back_without_a_jump() -> None:
    of = spec(Outage("graminhais", LOST, LOST + timedelta(minutes=20)))
    start = begins(date(2026, 4, 17))
    minutes = run(Island(of, profiles(of, start), start), at(22))
    back = minutes[at(21, 29) : at(21, 40)]
    assert back[-1].dispatch.wind_kw > 7_000 * SHARE
    assert min(m.frequency_min_hz for m in back) > 49.9
    assert max(m.frequency_max_hz for m in back) < 50.6, "it comes within a minute, secondary control in the next"


def test_cars_that_all_start_in_one_minute_pull_the_frequency_down_for_two() -> None:
    of = spec()
    minutes = run(Island(of, profiles(of), begins()), at(22, 10), lambda index: 100.0 if index >= at(22) else 0.0)
    lows = [minute.frequency_min_hz for minute in minutes[at(22) - 1 :]]
    assert lows[0] > 49.9
    assert lows[1] < 49.8
    assert lows[4] > 49.9
    assert minutes[-1].dispatch.demand_kw == pytest.approx(minutes[-1].demand_kw + 100)


def test_before_the_first_minute_it_is_nominal_and_beyond_the_last_it_holds() -> None:
    island = Island(spec(), profiles(spec()), begins())
    assert island.at(begins()) == 50.0
    assert island.state is None
    run(island, 2)
    assert island.at(begins() + 10 * MINUTE) == island.at(begins() + 2 * MINUTE)
    assert island.state is not None
    assert island.state.start == begins() + MINUTE


# ---- what is known in advance ---------------------------------------------------------------------------------------


def test_a_forecast_knows_nothing_that_lies_after_now() -> None:
    """All minutes from `now` on are changed, and the year's rows from the running quarter hour on."""
    of = spec()
    now, start = begins() + 122 * MINUTE, begins() + 135 * MINUTE
    known, changed = profiles(of), profiles(of)
    for series in (changed._demand, *changed._available.values()):
        series[60 + 122 :] *= 3
    running = (profile_date(WINDY) - date(2016, 1, 1)).days * 96 + (14 - 1) * 4
    changed._demand_year[running:] *= 3
    one, other = IslandForecast(of, known), IslandForecast(of, changed)
    for plant in PLANTS:
        assert one.available_kw(plant.name, start, now) == other.available_kw(plant.name, start, now)
    assert one.demand_kw(start, now) == other.demand_kw(start, now)
    later = now + 5 * MINUTE
    assert one.available_kw("graminhais", start, later) != other.available_kw("graminhais", start, later)
    assert one.demand_kw(start, later) != other.demand_kw(start, later)


def test_forecasts_beat_the_last_value_and_have_no_bias() -> None:
    """Thirteen minutes before the quarter begins; the figures are in docs/island.md."""
    of = spec()
    errors: dict[str, list[float]] = {"wind": [], "held wind": [], "demand": [], "held demand": []}
    for number in range(20, 340, 17):
        start = begins(date(2026, 1, 1) + timedelta(days=number))
        known = profiles(of, start)
        forecast = IslandForecast(of, known)
        for first in range(15, 1425, 15):
            begin = start.astimezone(UTC) + first * MINUTE
            now = begin - 13 * MINUTE
            wind, demand = known.available_kw("graminhais")[first : first + 15], known.demand_kw[first : first + 15]
            seen = slice(first - 18, first - 13)
            errors["wind"].append(forecast.available_kw("graminhais", begin, now) - wind.mean())
            errors["demand"].append(forecast.demand_kw(begin, now) - demand.mean())
            held = known.past_available_kw("graminhais", seen.start, seen.stop).mean() - wind.mean()
            errors["held wind"].append(float(held))
            errors["held demand"].append(float(known.past_demand_kw(seen.start, seen.stop).mean() - demand.mean()))
    rms = {name: float(np.sqrt(np.mean(np.square(each)))) / SHARE / 1000 for name, each in errors.items()}
    assert rms["wind"] < 0.97 * rms["held wind"]
    assert rms["demand"] < 0.6 * rms["held demand"]
    assert rms["wind"] < 0.5
    assert abs(float(np.mean(errors["wind"]))) < 1.0
    assert abs(float(np.mean(errors["demand"]))) < 2.0


def test_a_lost_plant_is_expected_to_stay_lost_only_while_it_is() -> None:
    of = spec(Outage("graminhais", LOST, LOST + timedelta(minutes=20)))
    start = begins(date(2026, 4, 17))
    forecast = IslandForecast(of, profiles(of, start))
    ahead = LOST + timedelta(minutes=15)
    assert forecast.available_kw("graminhais", ahead, LOST - timedelta(seconds=1)) > 100
    assert forecast.available_kw("graminhais", ahead, LOST) == 0.0
    assert forecast.available_kw("graminhais", ahead, LOST + timedelta(minutes=20)) > 100
    assert forecast.available_kw("pico-vermelho", ahead, LOST) == 12_000 * SHARE
    with pytest.raises(LookupError, match="no plant tidal"):
        forecast.available_kw("tidal", ahead, LOST)
