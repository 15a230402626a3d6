"""The transformer's insulation: rated load ages it by an hour an hour, each 6 K double that."""

from __future__ import annotations

import pytest

from agents.decisions.ageing import Heat, life_used_hours, relative_ageing, steady, warmed


def test_rated_load_at_twenty_degrees_is_normal_ageing() -> None:
    assert steady(1.0, 20.0).hot_spot_c == pytest.approx(98.0)
    assert life_used_hours([1.0] * 96) == pytest.approx(24.0)


@pytest.mark.parametrize(("hot_spot", "rate"), [(80, 0.125), (92, 0.5), (98, 1), (104, 2), (140, 128)])
def test_each_six_kelvin_double_the_ageing(hot_spot: float, rate: float) -> None:
    # IEC 60076-7, table 2 (non-upgraded paper)
    assert relative_ageing(hot_spot) == pytest.approx(rate)


def test_no_load_leaves_the_iron_losses() -> None:
    assert steady(0.0, 20.0).hot_spot_c == pytest.approx(20 + 55 * (1 / 6) ** 0.8)


def test_the_oil_takes_hours_and_the_winding_minutes() -> None:
    cold, end = steady(0.5, 20.0), steady(1.2, 20.0)
    after = warmed(cold, 1.2, 20.0, 180.0)
    assert (after.top_oil_c - cold.top_oil_c) / (end.top_oil_c - cold.top_oil_c) == pytest.approx(0.632, abs=1e-3)
    assert after.gradient_k == pytest.approx(end.gradient_k, abs=1e-6)


def test_warming_in_two_steps_is_warming_in_one() -> None:
    two = warmed(warmed(Heat(40.0, 5.0), 1.1, 10.0, 7.0), 1.1, 10.0, 8.0)
    one = warmed(Heat(40.0, 5.0), 1.1, 10.0, 15.0)
    assert (two.top_oil_c, two.gradient_k) == pytest.approx((one.top_oil_c, one.gradient_k))


def test_a_short_overload_of_a_cool_transformer_costs_less_life_than_a_long_one() -> None:
    cool = steady(0.4, 10.0)
    short = life_used_hours([1.3], ambient_c=10.0, start=cool)
    long = life_used_hours([1.3] * 8, ambient_c=10.0, start=cool)
    assert short < long / 8


def test_no_load_series_uses_no_life() -> None:
    assert life_used_hours([]) == 0.0
