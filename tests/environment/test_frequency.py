"""The swing model against its equations, and a frequency from a file."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import simpson, solve_ivp

from environment.frequency import (
    CONTINENTAL_EUROPE,
    FrequencyError,
    FrequencyFile,
    Incident,
    SwingModel,
)

START = datetime(2026, 3, 18, 12, tzinfo=UTC)
FOREVER = timedelta(days=100_000)


def after(lost_mw: float, seconds: int, area: object = CONTINENTAL_EUROPE) -> np.ndarray:
    model = SwingModel(area, START, incidents=[Incident(START, lost_mw, FOREVER)])  # type: ignore[arg-type]
    return model.series(START, seconds)


@pytest.mark.parametrize("lost_mw", [1000.0, 2500.0, -1500.0])
def test_a_lasting_loss_settles_at_minus_dp_over_d_plus_k(lost_mw: float) -> None:
    exact = -lost_mw / (0.01 * 200_000 + 15_000)
    assert after(lost_mw, 1200)[-1] - 50 == pytest.approx(exact, abs=2e-6)
    assert CONTINENTAL_EUROPE.steady_deviation_hz(-lost_mw) == pytest.approx(exact)


def test_the_reference_incident_off_peak_ends_where_the_operators_design_says() -> None:
    """3000 MW at 150 GW and 1 %/Hz: 180 mHz (UCTE Operation Handbook, Appendix 1)."""
    off_peak = replace(CONTINENTAL_EUROPE, load_mw=150_000.0)
    assert off_peak.steady_deviation_hz(-3000) == pytest.approx(-0.180, abs=0.002)
    assert after(3000, 1200, off_peak)[-1] == pytest.approx(50 - 0.1818, abs=1e-4)
    assert after(3000, 60, off_peak).min() > 49.2, "the permissible dynamic deviation is 800 mHz"


def test_beyond_the_reserve_only_the_load_gives_way() -> None:
    exact = -(5000 - 3000) / 2000
    assert CONTINENTAL_EUROPE.steady_deviation_hz(-5000) == pytest.approx(exact)
    assert after(5000, 3600)[-1] - 50 == pytest.approx(exact, abs=1e-4)


def test_the_first_second_falls_by_the_imbalance_over_the_inertia() -> None:
    hz = after(2000, 3)
    assert hz[0] == 50.0
    assert hz[1] - hz[0] == pytest.approx(-2000 / CONTINENTAL_EUROPE.inertia_mw_s_per_hz, rel=0.03)


@pytest.mark.parametrize(("lost_mw", "within_hz"), [(1500.0, 1e-6), (2900.0, 0.01)])
def test_the_seconds_are_those_of_the_differential_equations(lost_mw: float, within_hz: float) -> None:
    """Exactly, below the reserve; above it, the second in which it is reached is taken as it began."""
    area = CONTINENTAL_EUROPE

    def slope(_: float, state: np.ndarray) -> list[float]:
        deviation, primary = state
        primary_target = np.clip(-area.droop_mw_per_hz * deviation, -area.reserve_mw, area.reserve_mw)
        swing = (-lost_mw + primary - area.damping_mw_per_hz * deviation) / area.inertia_mw_s_per_hz
        return [swing, (primary_target - primary) / area.governor_s]

    exact = solve_ivp(slope, (0, 120), [0.0, 0.0], t_eval=np.arange(120), rtol=1e-9, max_step=0.5).y[0]
    np.testing.assert_allclose(after(lost_mw, 120) - 50, exact, atol=within_hz)


def test_the_energy_of_the_imbalance_is_in_the_masses_the_load_and_the_reserve() -> None:
    """M df = integral of (dP + P_primary - D df): with no droop the series must close it."""
    free = replace(CONTINENTAL_EUROPE, droop_mw_per_hz=0.0)
    hz = after(500, 601, free) - 50
    load_gave = free.damping_mw_per_hz * float(simpson(hz))
    assert free.inertia_mw_s_per_hz * hz[-1] == pytest.approx(-500 * 600 - load_gave, rel=1e-5)


def test_an_incident_is_replaced_within_its_time_and_the_frequency_comes_back() -> None:
    model = SwingModel(CONTINENTAL_EUROPE, START, incidents=[Incident(START + timedelta(minutes=5), 1500)])
    hz = model.series(START, 3600)
    assert (hz[:301] == 50.0).all()
    assert hz[300:360].min() < 49.85
    assert hz[-1] == pytest.approx(50.0, abs=1e-3)


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    def day(seed: int) -> np.ndarray:
        return SwingModel(CONTINENTAL_EUROPE, START, rng=np.random.default_rng(seed)).series(START, 86_400)

    first = day(1)
    np.testing.assert_array_equal(first, day(1))
    assert not np.array_equal(first, day(2))
    assert 0.01 < first.std() < 0.03, "an ordinary day's 20 mHz"
    assert abs(first.mean() - 50) < 0.005


def test_looking_back_and_looking_in_any_order_gives_the_same_values() -> None:
    model = SwingModel(CONTINENTAL_EUROPE, START, rng=np.random.default_rng(4))
    late = model.at(START + timedelta(hours=1, milliseconds=400))
    early = model.at(START + timedelta(minutes=1))
    again = SwingModel(CONTINENTAL_EUROPE, START, rng=np.random.default_rng(4))
    assert again.at(START + timedelta(minutes=1)) == early
    assert again.at(START + timedelta(hours=1)) == late
    with pytest.raises(FrequencyError, match="before the start"):
        model.at(START - timedelta(seconds=1))


def test_a_file_holds_each_value_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("timestamp,frequency\n2026-03-18T12:00:00+00:00,49.98\n2026-03-18T13:00:10+01:00,50.01\n")
    source = FrequencyFile(path)
    assert source.at(START + timedelta(seconds=9)) == 49.98
    assert source.at(START + timedelta(seconds=10)) == 50.01
    with pytest.raises(FrequencyError, match="no frequency for 2026-03-18T11:59:59"):
        source.at(START - timedelta(seconds=1))
    with pytest.raises(FrequencyError, match="no frequency"):
        source.at(START + timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("time,hz\n1,2\n", "line 1: the columns timestamp and frequency"),
        ("timestamp,frequency\n", "no line with a frequency"),
        ("timestamp,frequency\n2026-03-18T12:00:00,50\n", "line 2: 2026-03-18T12:00:00 has no offset"),
        ("timestamp,frequency\nyesterday,50\n", "line 2: .*yesterday"),
        ("timestamp,frequency\n2026-03-18T12:00:00Z,fifty\n", "line 2: .*fifty"),
        ("timestamp,frequency\n2026-03-18T12:00:00Z\n", "line 2"),
        ("timestamp,frequency\n2026-03-18T12:00:00Z,49980\n", "line 2: 49980 is not a frequency"),
        ("timestamp,frequency\n2026-03-18T12:00:00Z,nan\n", "line 2: nan is not a frequency"),
        (
            "timestamp,frequency\n2026-03-18T12:00:01Z,50\n2026-03-18T12:00:00Z,50\n",
            "line 3: .* does not come after",
        ),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(FrequencyError, match=says):
        FrequencyFile(path)
    with pytest.raises(FrequencyError, match="cannot be read"):
        FrequencyFile(tmp_path / "none.csv")
