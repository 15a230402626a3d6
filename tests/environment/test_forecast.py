"""Forecasts: nothing of the future in them, better than the simple rules they are made of."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from environment.forecast import Forecaster
from environment.grid import Grid
from environment.profiles import QUARTER, Injections, Profiles, later

ZONE = ZoneInfo("Europe/Ljubljana")
NOW = datetime(2026, 3, 18, 15, 7, tzinfo=ZONE)
START = datetime(2026, 3, 18, 15, 15, tzinfo=ZONE)


@pytest.fixture(scope="module")
def profiles() -> Profiles:
    return Profiles.load(Grid.load("rural2"))


def with_changed_rows(profiles: Profiles, first: int, last: int) -> Profiles:
    """The same year, ten times as much in some rows."""
    values = profiles.year_values.copy()
    values[first:last] *= 10
    return Profiles(profiles.grid, pd.DataFrame(values, columns=profiles.columns))


def test_a_forecast_knows_nothing_that_lies_after_now(profiles: Profiles) -> None:
    """2026-03-18 takes the profile of 2016-03-16; all rows from the quarter hour that is still running are changed."""
    running = (date(2016, 3, 16) - date(2016, 1, 1)).days * 96 + 15 * 4
    for count in (4, 96, 300):
        known = Forecaster(profiles).periods(START, count, now=NOW)
        other = Forecaster(with_changed_rows(profiles, running, running + 1000)).periods(START, count, now=NOW)
        np.testing.assert_array_equal(known.p_kw, other.p_kw)


def test_the_last_whole_quarter_hour_is_measured_and_moves_the_forecast(profiles: Profiles) -> None:
    measured = (date(2016, 3, 16) - date(2016, 1, 1)).days * 96 + 15 * 4 - 1
    known = Forecaster(profiles).periods(START, 8, now=NOW)
    other = Forecaster(with_changed_rows(profiles, measured, measured + 1)).periods(START, 8, now=NOW)
    moved = other.load_kw - known.load_kw
    assert (moved > 0).all()
    assert (np.diff(moved) < 0).all(), "the deviation fades"


def test_what_is_over_comes_back_as_measured(profiles: Profiles) -> None:
    start = later(START, -5)
    forecast = Forecaster(profiles).periods(start, 8, now=NOW)
    measured = profiles.periods(start, 8)
    np.testing.assert_array_equal(forecast.p_kw[:4], measured.p_kw[:4])
    assert not np.array_equal(forecast.p_kw[5:], measured.p_kw[5:])


def test_consumption_and_output_keep_their_signs(profiles: Profiles) -> None:
    for hour in (6, 12, 20):
        now = datetime(2026, 4, 2, hour, tzinfo=ZONE)
        forecast = Forecaster(profiles).periods(now, 96, now=now)
        assert (forecast.load_kw >= 0).all()
        assert (forecast.pv_kw <= 0).all()
    assert not Forecaster(profiles).periods(datetime(2026, 4, 2, 0, tzinfo=ZONE), 8, now=NOW).pv_kw.any()


def test_over_the_year_it_beats_persistence_and_the_typical_day(profiles: Profiles) -> None:
    """Root mean square errors an hour and a day ahead; the figures are in docs/data.md."""

    def rms(errors: list[float]) -> float:
        return float(np.sqrt(np.mean(np.square(errors))))

    forecaster = Forecaster(profiles)
    errors: dict[str, list[float]] = {}
    for day in range(3, 360, 9):
        for hour in (9, 13, 17, 20):
            now = datetime(2026, 1, 1, hour, tzinfo=ZONE) + timedelta(days=day)
            ahead: Injections = forecaster.periods(now, 96, now=now)
            actual = profiles.periods(later(now, -1), 97)
            for name, at in (("hour", 3), ("day", 95)):
                errors.setdefault(f"load {name}", []).append(ahead.load_kw[at] - actual.load_kw[at + 1])
                errors.setdefault(f"pv {name}", []).append(ahead.pv_kw[at] - actual.pv_kw[at + 1])
                errors.setdefault(f"held load {name}", []).append(actual.load_kw[0] - actual.load_kw[at + 1])
                errors.setdefault(f"held pv {name}", []).append(actual.pv_kw[0] - actual.pv_kw[at + 1])
    assert rms(errors["load hour"]) < 0.95 * rms(errors["held load hour"])
    assert rms(errors["pv hour"]) < 0.7 * rms(errors["held pv hour"])
    assert rms(errors["load day"]) < rms(errors["held load day"])
    assert rms(errors["pv hour"]) < 0.6 * rms(errors["pv day"])
    assert abs(float(np.mean(errors["load hour"]))) < 1.0, "no bias that a reserve would have to cover"


def test_a_forecast_across_the_change_of_clocks_has_every_quarter_hour_once(profiles: Profiles) -> None:
    midnight = datetime(2026, 3, 29, tzinfo=ZONE)
    forecast = Forecaster(profiles).periods(midnight, 92, now=midnight)
    assert len(forecast) == 92
    assert forecast.step == QUARTER
    assert forecast.row(datetime(2026, 3, 29, 23, 45, tzinfo=ZONE)) == 91


def test_on_the_island_a_forecast_is_the_one_of_the_same_clock_time(profiles: Profiles) -> None:
    azores = ZoneInfo("Atlantic/Azores")
    island = Profiles.load(profiles.grid, standard_offset=timedelta(hours=-1))
    here = Forecaster(profiles).periods(START, 96, now=NOW)
    there = Forecaster(island).periods(START.replace(tzinfo=azores), 96, now=NOW.replace(tzinfo=azores))
    np.testing.assert_array_equal(here.p_kw, there.p_kw)
