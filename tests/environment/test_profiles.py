"""Profiles: any day of any year, by instants, to the minute, without gaining or losing energy."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from environment.grid import Grid, GridError
from environment.profiles import Profiles, later, profile_date, quarter_of, standard_offset

ZONE = ZoneInfo("Europe/Ljubljana")
AZORES = ZoneInfo("Atlantic/Azores")


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return Profiles.load(Grid.load("rural2"))


def test_every_day_takes_the_profile_of_the_same_weekday_nearest_to_its_date() -> None:
    day = date(2024, 1, 1)
    while day < date(2031, 1, 1):
        stands_for = profile_date(day)
        assert stands_for.year == 2016
        assert stands_for.weekday() == day.weekday()
        new_year = (day.month, day.day) >= (12, 29) or (day.month, day.day) <= (1, 3)
        assert abs((stands_for - date(2016, day.month, day.day)).days) <= (6 if new_year else 3), day
        day += timedelta(days=1)


def test_minutes_have_the_mean_of_their_quarter_hour_and_its_sign(profiles: Profiles) -> None:
    for day in (datetime(2026, 3, 18, 12, tzinfo=ZONE), datetime(2026, 7, 4, tzinfo=ZONE)):
        minutes, quarters = profiles.minutes(day, 1440), profiles.periods(day, 96)
        means = minutes.p_kw.reshape(96, 15, -1).mean(axis=1)
        np.testing.assert_allclose(means, quarters.p_kw, atol=1e-9)
        np.testing.assert_allclose(minutes.q_kvar.reshape(96, 15, -1).mean(axis=1), quarters.q_kvar, atol=1e-9)
        assert (minutes.load_kw >= 0).all()
        assert (minutes.pv_kw <= 0).all()
        assert (minutes.pv_kw_by_bus <= 0).all()
        np.testing.assert_allclose(minutes.p_kw.sum(axis=1), minutes.load_kw + minutes.pv_kw, atol=1e-9)


def test_a_minute_is_the_same_wherever_the_series_starts(profiles: Profiles) -> None:
    noon = datetime(2026, 3, 18, 12, tzinfo=ZONE)
    whole = profiles.minutes(noon, 120)
    part = profiles.minutes(noon + timedelta(minutes=37), 60)
    np.testing.assert_allclose(part.p_kw, whole.p_kw[37:97], atol=1e-12)
    assert whole.row(noon + timedelta(minutes=37, seconds=59)) == 37
    with pytest.raises(IndexError, match="not within the profile"):
        whole.row(noon - timedelta(seconds=1))


def test_a_summer_noon_by_the_clock_is_eleven_by_the_profiles_clock(profiles: Profiles) -> None:
    """2026-07-01 is a Wednesday, as 2016-06-29 is; 12:00 in Ljubljana is 11:00 UTC+1."""
    here = profiles.periods(datetime(2026, 7, 1, 12, tzinfo=ZONE), 1)
    year = profiles.year()
    row = (date(2016, 6, 29) - date(2016, 1, 1)).days * 96 + 11 * 4
    np.testing.assert_array_equal(here.p_kw[0], year.p_kw[row])


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_on_the_days_when_clocks_change_real_time_goes_on_evenly(profiles: Profiles, day: date, hours: int) -> None:
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    end = start + timedelta(days=1)
    assert end.astimezone(UTC) - start.astimezone(UTC) == timedelta(hours=hours)
    whole = profiles.periods(start, hours * 4)
    np.testing.assert_array_equal(profiles.periods(later(end, -1), 1).p_kw[0], whole.p_kw[-1])
    np.testing.assert_allclose(
        profiles.minutes(start, hours * 60).p_kw.reshape(hours * 4, 15, -1).mean(axis=1), whole.p_kw, atol=1e-9
    )
    steps = [later(start, index) for index in range(hours * 4)]
    assert len({step.astimezone(UTC) for step in steps}) == hours * 4


def test_the_repeated_hour_of_autumn_is_two_hours(profiles: Profiles) -> None:
    first = datetime(2026, 10, 25, 2, 30, tzinfo=ZONE)
    second = first.replace(fold=1)
    assert quarter_of(second + timedelta()).astimezone(UTC) == second.astimezone(UTC) - timedelta(hours=1)
    assert quarter_of(second).utcoffset() == timedelta(hours=1)
    assert not np.array_equal(profiles.values_at([first]), profiles.values_at([second]))


def test_load_and_pv_are_scaled_separately() -> None:
    grid = Grid.load("rural2")
    noon = datetime(2026, 6, 10, 12, tzinfo=ZONE)
    plain = Profiles.load(grid).periods(noon, 4)
    scaled = Profiles.load(grid, load_scale=1.5, pv_scale=0.0).periods(noon, 4)
    np.testing.assert_allclose(scaled.load_kw, 1.5 * plain.load_kw)
    assert not scaled.pv_kw.any()
    assert plain.pv_kw.max() < -20


def test_the_year_is_the_one_that_simbench_measured(profiles: Profiles) -> None:
    year = profiles.year()
    assert len(year) == 366 * 96
    assert year.load_kw.max() == pytest.approx(82.8, abs=0.1)
    assert year.pv_kw.min() == pytest.approx(-134.8, abs=0.1)


def test_times_that_cannot_be_meant_are_refused(profiles: Profiles) -> None:
    with pytest.raises(GridError, match="no time zone"):
        profiles.periods(datetime(2026, 3, 18, 12), 1)  # noqa: DTZ001
    with pytest.raises(GridError, match="not on a quarter hour"):
        profiles.periods(datetime(2026, 3, 18, 12, 7, tzinfo=ZONE), 1)
    with pytest.raises(GridError, match="not on a whole minute"):
        profiles.minutes(datetime(2026, 3, 18, 12, 7, 3, tzinfo=ZONE), 1)


def test_profiles_that_are_not_there_or_are_no_parquet_are_one_line(profiles: Profiles, tmp_path: Path) -> None:
    bad = tmp_path / "bad.parquet"
    bad.write_text("no parquet")
    for path in (bad, tmp_path / "none.parquet"):
        with pytest.raises(GridError, match=rf"profiles {path.name}: cannot be read"):
            Profiles.load(profiles.grid, path)


def test_a_frame_that_is_no_year_or_lacks_a_profile_is_refused(profiles: Profiles) -> None:
    with pytest.raises(GridError, match="3 quarter hours"):
        Profiles(profiles.grid, pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
    with pytest.raises(GridError, match="no column G1-B/p"):
        Profiles(profiles.grid, pd.DataFrame({"x/p": np.zeros(366 * 96)}))


@pytest.mark.parametrize(
    ("zone", "hours"),
    [("Europe/Ljubljana", 1), ("Atlantic/Azores", -1), ("Australia/Sydney", 10), ("Asia/Kolkata", 5.5), ("UTC", 0)],
)
def test_standard_time_is_the_time_outside_summer_time(zone: str, hours: float) -> None:
    assert standard_offset(ZoneInfo(zone), 2026) == timedelta(hours=hours)


@pytest.fixture(scope="module")
def island() -> Profiles:
    return Profiles.load(Grid.load("rural2"), standard_offset=standard_offset(AZORES, 2026))


def test_elsewhere_a_time_of_day_has_the_profile_of_the_same_time_of_day(profiles: Profiles, island: Profiles) -> None:
    """Summer and winter: both zones change their clocks on the same days."""
    for day in (date(2026, 1, 14), date(2026, 6, 17)):
        here, there = (datetime(day.year, day.month, day.day, tzinfo=zone) for zone in (ZONE, AZORES))
        np.testing.assert_array_equal(island.periods(there, 96).p_kw, profiles.periods(here, 96).p_kw)


def test_in_the_azores_the_sun_is_highest_within_an_hour_of_its_real_noon(island: Profiles) -> None:
    """At 25.5 W in a zone of 15 W the sun culminates 42 min after twelve by standard time, the equation of time (up to
    a quarter of an hour) aside. The profile's own middle of a clear day is close to noon."""
    middles = []
    for number in range(365):
        midnight = (datetime(2026, 1, 1, tzinfo=island.clock) + timedelta(days=number)).astimezone(AZORES)
        pv = -island.periods(midnight, 96).pv_kw
        if pv.sum() / 4 > 850:  # kWh; of 134.8 kW at most
            middles.append(float((np.arange(96) / 4 + 0.125) @ pv / pv.sum()))
    assert len(middles) > 15
    assert max(abs(middle - 12.7) for middle in middles) < 1.0
    assert np.mean(middles) == pytest.approx(12.0, abs=0.1)


def in_utc(day: date) -> datetime:
    """The first instant of a local day: in the Azores clocks jump at midnight, so that 0:00 need not exist."""
    return datetime(day.year, day.month, day.day, tzinfo=AZORES).astimezone(UTC)


@pytest.mark.parametrize(("day", "quarters"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_the_azores_change_their_clocks_at_midnight_and_lose_or_gain_four_quarters(
    island: Profiles, day: date, quarters: int
) -> None:
    start, after = in_utc(day), in_utc(day + timedelta(days=1))
    assert after - start == quarters * timedelta(minutes=15)
    whole = island.values(start.astimezone(AZORES), quarters)
    first = (profile_date(day) - date(2016, 1, 1)).days * 96 + (0 if quarters == 92 else -4)
    np.testing.assert_array_equal(whole, island.year_values[first : first + quarters])


def test_the_year_starts_with_the_local_year(island: Profiles) -> None:
    assert island.year().start == datetime(2016, 1, 1, 1, tzinfo=UTC)
