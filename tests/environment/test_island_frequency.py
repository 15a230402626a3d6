"""The island's swing against its equations, the hand formulas, and what a lost wind farm does."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from agents.decisions.dispatch import dispatch
from environment.island_frequency import IslandArea, IslandFrequency, _exponential, area_of
from tests.environment.sao_miguel import WHOLE

START = datetime(2026, 7, 28, 12, tzinfo=UTC)
UNITS = ("caldeirao-1", "caldeirao-2", "caldeirao-3")
NIGHT = dispatch(WHOLE, 41_000, {"graminhais": 9_000, "hydro": 2_500}, committed=UNITS)
"""40 MW at night with all of the wind farm's 9 MW taken."""
AREA = area_of(WHOLE, NIGHT, damping_kw_per_hz=410, governor_s=0.5)


def after(lost_kw: float, seconds: int, area: IslandArea = AREA) -> np.ndarray:
    return np.array(IslandFrequency(START).run(area, [-lost_kw] * seconds)[0]) - 50


def test_the_area_is_made_of_the_units_that_run() -> None:
    """By hand: M = 2 (2.5 * 21 + 2 * 5 + 1.5 * 23.1) / 50 MW s/Hz; K = (23.1 + 5) / 2.5 MW/Hz."""
    assert NIGHT.wind_kw == pytest.approx(9_000)
    assert AREA.inertia_kw_s_per_hz == pytest.approx(2 * (2.5 * 21_000 + 2 * 5_000 + 1.5 * 23_100) / 50)
    assert AREA.droop_kw_per_hz == pytest.approx(28_100 / 2.5)
    assert AREA.up_kw == pytest.approx(28_100 - 2_500 - NIGHT.thermal_kw)
    assert AREA.down_kw == pytest.approx(2_500 + NIGHT.thermal_kw)
    without_wind = area_of(WHOLE, NIGHT, damping_kw_per_hz=410, governor_s=0.5, lost=["graminhais"])
    assert without_wind == AREA, "wind behind converters has neither inertia nor droop"
    without_heat = area_of(WHOLE, NIGHT, damping_kw_per_hz=410, governor_s=0.5, lost=["pico-vermelho"])
    assert without_heat.inertia_kw_s_per_hz == pytest.approx(AREA.inertia_kw_s_per_hz - 2 * 2.5 * 12_000 / 50)


def test_a_lost_wind_farm_settles_at_minus_dp_over_d_plus_k() -> None:
    exact = -9_000 / (410 + 28_100 / 2.5)
    assert AREA.steady_deviation_hz(-9_000) == pytest.approx(exact)
    assert after(9_000, 60)[-1] == pytest.approx(exact, abs=1e-6)
    assert 49.0 < 50 + exact < 49.3


def test_a_lost_wind_farms_lowest_point_is_that_of_the_damped_oscillation() -> None:
    """Second order: w^2 = (D + K) / (M tau), 2 z w = D / M + 1 / tau; the governor starts from nothing, so that
    f(t) = f_end (1 - e^(-z w t) (cos w_d t + (z w - f'(0) / f_end) / w_d sin w_d t)) with f'(0) = -dP / M."""
    m, d, k, tau, lost = AREA.inertia_kw_s_per_hz, 410.0, AREA.droop_kw_per_hz, 0.5, 9_000.0
    w = math.sqrt((d + k) / (m * tau))
    zw = (d / m + 1 / tau) / 2
    wd = math.sqrt(w**2 - zw**2)
    end, slope = -lost / (d + k), -lost / m
    t = np.linspace(0, 10, 100_001)
    exact = end * (1 - np.exp(-zw * t) * (np.cos(wd * t) + (zw - slope / end) / wd * np.sin(wd * t)))
    series, lowest, highest = IslandFrequency(START).run(AREA, [-lost] * 30)
    assert lowest == pytest.approx(50 + exact.min(), abs=0.01)
    assert lowest < 48.9
    assert lowest <= min(series)
    assert highest == 50.0
    np.testing.assert_allclose(np.array(series[:9]) - 50, exact[10_000::10_000][:9], atol=1e-6)


@pytest.mark.parametrize("lost_kw", [8_000.0, 14_000.0, -4_000.0, -14_000.0])
def test_the_seconds_are_those_of_the_differential_equations(lost_kw: float) -> None:
    """Exactly below the limits, up and down; beyond them the tenth of a second that meets one is taken as it began."""
    area = replace(AREA, up_kw=12_500.0, down_kw=6_000.0)

    def slope(_: float, state: np.ndarray) -> list[float]:
        deviation, primary = state
        swing = (-lost_kw + primary - area.damping_kw_per_hz * deviation) / area.inertia_kw_s_per_hz
        return [swing, (area.primary_kw(deviation) - primary) / area.governor_s]

    exact = solve_ivp(slope, (0, 60), [0.0, 0.0], t_eval=np.arange(1, 60), rtol=1e-9, max_step=0.02).y[0]
    within = 1e-6 if lost_kw in (8_000, -4_000) else 0.1
    np.testing.assert_allclose(after(lost_kw, 59, area), exact, atol=within)


@pytest.mark.parametrize("rates", [np.zeros((4, 4)), np.diag([-3.0, -0.1, 0.0, -40.0]), None])
def test_the_matrix_exponential_is_the_one_of_scipy(rates: np.ndarray | None) -> None:
    if rates is None:
        rates = np.random.default_rng(1).normal(0, 2, (4, 4))
    np.testing.assert_allclose(_exponential(rates), expm(rates), rtol=1e-9, atol=1e-12)


def test_beyond_the_reserve_only_the_load_gives_way_and_both_ways_have_their_own_limit() -> None:
    area = replace(AREA, up_kw=6_000.0, down_kw=3_000.0)
    assert area.steady_deviation_hz(-7_000) == pytest.approx(-1_000 / 410)
    assert area.steady_deviation_hz(4_000) == pytest.approx(1_000 / 410)
    assert area.steady_deviation_hz(-2_000) == pytest.approx(-2_000 / (410 + 28_100 / 2.5))
    assert after(7_000, 900, area)[-1] == pytest.approx(-1_000 / 410, abs=1e-3)
    assert after(-4_000, 900, area)[-1] == pytest.approx(1_000 / 410, abs=1e-3)


def test_a_slice_swings_as_the_island_does() -> None:
    part = IslandArea(*(0.016 * value for value in (AREA.inertia_kw_s_per_hz, 410, AREA.droop_kw_per_hz)), 1, 1, 0.5)
    part = replace(part, up_kw=0.016 * AREA.up_kw, down_kw=0.016 * AREA.down_kw)
    np.testing.assert_allclose(after(9_000, 60), after(9_000 * 0.016, 60, part), atol=1e-9)


def test_the_frequency_is_nominal_before_and_the_last_one_after() -> None:
    frequency = IslandFrequency(START)
    assert frequency.at(START - timedelta(hours=1)) == 50.0
    assert frequency.at(START + timedelta(hours=1)) == 50.0
    series, _, _ = frequency.run(AREA, [-100.0 * second for second in range(60)])
    assert frequency.at(START) == 50.0
    assert frequency.at(START + timedelta(seconds=1)) == series[0]
    assert frequency.at(START + timedelta(seconds=37, milliseconds=900)) == series[36]
    assert frequency.at(START + timedelta(minutes=9)) == series[-1]
