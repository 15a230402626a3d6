"""The products of frequency containment: their bands, their needs, and their response to a frequency."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.fcr_products import (
    RULES,
    FcrRules,
    Needs,
    activation,
    activations,
    agreed,
    beyond_kw,
    change_kw,
    is_limited,
    needs,
    power_needs_kw,
    saturated,
    total_change_kw,
)
from protocols.exchanges.vocabulary import FcrProduct

N, D_UP, D_DOWN, CE = (RULES[product] for product in FcrProduct)
ANY_HZ = st.floats(47.0, 53.0)


def test_there_are_rules_for_every_product_and_each_says_which_it_is() -> None:
    assert {product: rules.product for product, rules in RULES.items()} == {product: product for product in FcrProduct}
    assert [rules.area for rules in (N, D_UP, D_DOWN, CE)] == ["DK2", "DK2", "DK2", "DK1"]


@pytest.mark.parametrize(
    ("rules", "hz", "share"),
    [
        (N, 50.0, 0.0),
        (N, 49.95, 0.5),
        (N, 49.9, 1.0),
        (N, 49.5, 1.0),
        (N, 50.1, -1.0),
        (N, 51.0, -1.0),
        (D_UP, 50.2, 0.0),
        (D_UP, 49.9, 0.0),
        (D_UP, 49.7, 0.5),
        (D_UP, 49.5, 1.0),
        (D_UP, 49.0, 1.0),
        (D_DOWN, 49.0, 0.0),
        (D_DOWN, 50.1, 0.0),
        (D_DOWN, 50.5, -1.0),
        (D_DOWN, 51.0, -1.0),
        (CE, 50.0, 0.0),
        (CE, 49.8, 1.0),
        (CE, 49.9, 0.5),
        (CE, 50.3, -1.0),
    ],
)
def test_activation_is_linear_between_the_frequencies_of_the_rules(rules: FcrRules, hz: float, share: float) -> None:
    """Nordic table 1; SO GL annex V: 200 mHz."""
    assert activation(rules, hz) == pytest.approx(share)
    assert activations(rules, np.array([hz, 50.0])) == pytest.approx([share, 0.0])


def test_an_upward_activation_draws_less_and_no_activation_is_a_plain_zero() -> None:
    assert change_kw(N, 40.0, 49.95) == pytest.approx(-20.0)
    assert change_kw(D_DOWN, 40.0, 50.3) == pytest.approx(20.0)
    assert str(change_kw(N, 40.0, 50.0)) == "0.0"


@given(hz=ANY_HZ, product=st.sampled_from(list(FcrProduct)))
def test_activation_never_grows_with_the_frequency_and_keeps_to_its_directions(hz: float, product: FcrProduct) -> None:
    rules = RULES[product]
    share = activation(rules, hz)
    assert share >= activation(rules, hz + 0.01)
    assert (-1.0 if rules.down else 0.0) - 1e-9 <= share <= (1.0 if rules.up else 0.0) + 1e-9


def test_the_measured_frequency_is_saturated_as_equations_20_to_22_say() -> None:
    assert [saturated(N, hz) for hz in (49.0, 49.95, 51.0)] == [49.9, 49.95, 50.1]
    assert [saturated(D_UP, hz) for hz in (49.0, 49.95)] == [49.0, 49.9]
    assert [saturated(D_DOWN, hz) for hz in (50.05, 51.0)] == [50.1, 51.0]


def test_with_a_shifted_reference_the_response_is_the_difference_to_it() -> None:
    """Equation 23: with 49.95 Hz as the reference, 49.95 Hz is no activation and 49.9 Hz half of it."""
    assert activation(N, 49.95, 49.95) == 0.0
    assert activation(N, 49.9, 49.95) == pytest.approx(0.5)


def test_a_shifted_reference_uses_no_power_that_is_not_kept_for_the_product() -> None:
    """Equations 24 to 26: FCR-N 1.34 of the capacity both ways, FCR-D 0.2 against its own direction."""
    assert activation(N, 50.1, 49.91) == pytest.approx(-1.34)
    assert activation(D_UP, 50.0, 49.5) == pytest.approx(-0.2)
    assert activation(D_DOWN, 50.0, 50.5) == pytest.approx(0.2)
    assert total_change_kw(N, 100.0, 49.9, None, -34.0) == pytest.approx(-134.0)
    assert total_change_kw(N, 100.0, 49.9, 50.05, -34.0) == pytest.approx(-134.0)
    assert total_change_kw(D_UP, 100.0, 49.95, 49.5, 20.0) == pytest.approx(20.0)
    assert total_change_kw(D_DOWN, 100.0, 50.05, 50.5, -20.0) == pytest.approx(-20.0)


def test_power_and_energy_are_kept_as_table_10_says() -> None:
    assert needs(N, 100.0) == Needs(134.0, 134.0, 100.0, 100.0)
    assert astuple(needs(D_UP, 90.0)) == pytest.approx((90.0, 18.0, 30.0, 0.0))
    assert astuple(needs(D_DOWN, 90.0)) == pytest.approx((18.0, 90.0, 0.0, 30.0))


def test_the_reservoir_of_continental_europe_lasts_15_minutes() -> None:
    """SO GL 156(9) to (11)."""
    assert needs(CE, 100.0) == Needs(100.0, 100.0, 25.0, 25.0)
    assert CE.endurance_minutes == 15.0


def test_the_constants_of_the_rules_stand_where_they_are_used() -> None:
    """Tables 7 and 11, sections 3.1 and 4.1; SO GL annex V."""
    assert (N.least_factor, D_UP.least_factor, D_DOWN.least_factor) == (0.9, 0.75, 0.75)
    assert (N.nem_share, D_UP.nem_share, D_DOWN.nem_share, CE.nem_share) == (0.34, 0.2, 0.2, None)
    assert (N.endurance_minutes, D_UP.endurance_minutes) == (60.0, 20.0)
    assert (CE.half_s, CE.whole_s, CE.insensitivity_hz) == (15.0, 30.0, 0.01)
    assert N.stability is not None
    assert N.performance is not None
    assert N.stability.kinetic_mws / N.stability.rated_mw == pytest.approx(5.2174, abs=1e-4)
    assert N.performance.kinetic_mws / N.performance.rated_mw == pytest.approx(4.5238, abs=1e-4)


@pytest.mark.parametrize(("rules", "enough_kwh"), [(D_UP, 80.0), (D_DOWN, 80.0), (N, 160.0), (CE, 160.0)])
def test_less_than_two_hours_of_full_activation_each_way_is_a_limited_reservoir(
    rules: FcrRules, enough_kwh: float
) -> None:
    """Section 3.5; in both directions from the middle."""
    assert is_limited(rules, 40.0, enough_kwh - 0.1)
    assert not is_limited(rules, 40.0, enough_kwh)


def test_only_a_limited_reservoir_needs_power_for_its_energy_management() -> None:
    assert power_needs_kw(N, 40.0, 80.0) == pytest.approx((53.6, 53.6))
    assert power_needs_kw(N, 40.0, 160.0) == (40.0, 40.0)
    assert power_needs_kw(D_UP, 40.0, 79.9) == pytest.approx((40.0, 8.0))
    assert power_needs_kw(D_UP, 40.0, 80.0) == (40.0, 0.0)


def test_the_tso_may_agree_to_another_end_of_nem_but_not_to_one_before_its_start() -> None:
    """The note to table 11."""
    changed = agreed(N, nem_disable_minutes=35.0).thresholds
    assert changed is not None
    assert (changed.nem_enable, changed.nem_disable) == (30.0, 35.0)
    assert agreed(N, nem_disable_minutes=None) is N
    for minutes in (29.0, 31.9, 57.6):
        with pytest.raises(ValueError, match=r"ends at 32 to 57\.5 minutes"):
            agreed(N, nem_disable_minutes=minutes)
    for rules in (D_UP, CE):
        with pytest.raises(ValueError, match="no energy management whose end can be chosen"):
            agreed(rules, nem_disable_minutes=20.0)


@pytest.mark.parametrize(
    ("rules", "hz", "kw"),
    [
        (N, 49.95, 0.0), (N, 49.9, 0.0), (N, 49.85, -20.0), (N, 50.2, 40.0),
        (D_UP, 49.5, 0.0), (D_UP, 49.1, -40.0), (D_UP, 51.0, 0.0), (D_DOWN, 50.9, 40.0), (D_DOWN, 49.0, 0.0),
    ],
)  # fmt: skip
def test_a_droop_goes_on_beyond_the_band_in_the_directions_of_the_product(
    rules: FcrRules, hz: float, kw: float
) -> None:
    assert beyond_kw(rules, 40.0, hz) == pytest.approx(kw)
