"""Energy management: when it goes on and off (table 11), how it fades (equations 14 to 18), how long it lasts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.fcr_energy import EnergyManager, EnergyState, Reservoir
from agents.decisions.fcr_products import RULES, FcrRules
from protocols.exchanges.vocabulary import FcrProduct

N, D_UP, D_DOWN, CE = (RULES[product] for product in FcrProduct)
TWO_HOURS = Reservoir(80.0, 40.0)


def manager(rules: FcrRules, reservoir: Reservoir = TWO_HOURS) -> EnergyManager:
    return EnergyManager(rules, reservoir)


def run(managed: EnergyManager, hz: float, soc: float, seconds: int) -> EnergyState:
    for _ in range(seconds):
        state = managed.second(hz, soc)
    return state


@pytest.mark.parametrize(
    ("rules", "share_minutes", "side"),
    [(N, 30.0, -1), (N, 30.0, 1), (D_UP, 20.0, -1), (D_DOWN, 20.0, 1)],
)
def test_nem_goes_on_beyond_its_threshold(rules: FcrRules, share_minutes: float, side: int) -> None:
    """Table 11: 30 minutes of full activation for FCR-N are C * 30/60 / E = a quarter of two hours."""
    edge = share_minutes / 120 if side < 0 else 1 - share_minutes / 120
    hz = {N.product: 50.0, D_UP.product: 49.95, D_DOWN.product: 50.05}[rules.product]
    assert not manager(rules).second(hz, edge - side * 0.001).nem_on
    assert manager(rules).second(hz, edge + side * 0.001).nem_on


@pytest.mark.parametrize(("rules", "off"), [(N, 57.5), (D_UP, 20.0)])
def test_nem_stays_on_until_its_other_threshold(rules: FcrRules, off: float) -> None:
    """Table 11: disabled at 57.5 minutes of FCR-N, 20 minutes of FCR-D."""
    managed = manager(rules)
    assert managed.second(49.95, 0.1).nem_on
    assert managed.second(49.95, off / 120 - 0.001).nem_on
    assert not managed.second(49.95, off / 120 + 0.001).nem_on
    assert not managed.second(49.95, 0.26).nem_on


@pytest.mark.parametrize("hz", [49.9, 49.89, 50.1, 50.11])
def test_nem_is_for_the_normal_band_only(hz: float) -> None:
    """Equation 14: strictly between 49.9 and 50.1 Hz."""
    managed = manager(N)
    assert managed.second(50.0, 0.1).nem_on
    assert not managed.second(hz, 0.1).nem_on


def test_leaving_the_normal_band_ends_nem_until_it_is_enabled_anew() -> None:
    """3.5.1: between both thresholds it does not come back with the frequency."""
    managed = manager(N)
    managed.second(50.0, 0.2)
    assert managed.second(50.0, 0.3).nem_on
    managed.second(49.85, 0.3)
    assert not managed.second(50.0, 0.3).nem_on
    assert managed.second(50.0, 0.24).nem_on


@pytest.mark.parametrize(("rules", "soc"), [(N, 0.01), (D_UP, 0.01), (N, 0.99), (D_DOWN, 0.99)])
def test_aem_goes_on_with_5_minutes_left_and_off_with_10(rules: FcrRules, soc: float) -> None:
    """Table 11."""
    full = soc > 0.5
    managed = manager(rules)
    at = [5.1, 4.9, 9.9, 10.1, 9.9]
    on = [managed.second(50.0, 1 - minutes / 120 if full else minutes / 120).aem_on for minutes in at]
    assert on == [False, True, True, False, False]


@pytest.mark.parametrize(("rules", "soc"), [(D_UP, 1.0), (D_DOWN, 0.0), (CE, 0.0), (CE, 1.0)])
def test_what_table_11_does_not_name_has_no_energy_management(rules: FcrRules, soc: float) -> None:
    assert run(manager(rules), 50.0, soc, 400) == EnergyState(0.0, False, False, rules.zero_hz, 0.0)


def test_nem_fades_in_and_out_over_5_minutes_and_charges_when_it_is_low() -> None:
    """Equations 15 and 16: the mean of the 300 values before; 0.34 of 40 kW, drawn, when it is fully on."""
    managed = manager(N)
    assert managed.second(50.0, 0.1).nem == 0.0
    state = run(managed, 50.0, 0.1, 150)
    assert (state.nem, state.nem_kw) == pytest.approx((-0.5, 6.8))
    state = run(managed, 50.0, 0.1, 150)
    assert (state.nem, state.nem_kw) == pytest.approx((-1.0, 13.6))
    state = run(managed, 49.85, 0.1, 76)
    assert not state.nem_on
    assert state.nem == -0.75
    assert run(managed, 49.85, 0.1, 225) == EnergyState(0.0, False, False, 50.0, 0.0)


def test_nem_discharges_when_it_is_high() -> None:
    state = run(manager(D_DOWN), 50.0, 0.99, 301)
    assert (state.nem, state.nem_kw) == pytest.approx((1.0, -8.0))


@pytest.mark.parametrize(
    ("rules", "hz", "soc", "reference"),
    [
        (N, 49.91, 0.01, 49.91),
        (N, 49.0, 0.01, 49.9),
        (N, 50.3, 0.99, 50.1),
        (D_UP, 49.5, 0.01, 49.5),
        (D_UP, 50.0, 0.01, 49.9),
        (D_DOWN, 50.4, 0.99, 50.4),
        (D_DOWN, 49.0, 0.99, 50.1),
    ],
)
def test_in_the_alert_state_the_reference_goes_to_the_saturated_frequency(
    rules: FcrRules, hz: float, soc: float, reference: float
) -> None:
    """Equations 18 to 22."""
    managed = manager(rules)
    half = run(managed, hz, soc, 151)
    whole = run(managed, hz, soc, 150)
    assert half.reference_hz == pytest.approx((rules.zero_hz + reference) / 2)
    assert whole.reference_hz == pytest.approx(reference)


@given(
    parts=st.lists(st.tuples(st.floats(49.0, 51.0), st.floats(0.0, 1.0), st.integers(1, 500)), min_size=1, max_size=12),
    product=st.sampled_from(list(FcrProduct)),
)
def test_seconds_that_are_skipped_count_like_seconds_in_which_nothing_changed(
    parts: list[tuple[float, float, int]], product: FcrProduct
) -> None:
    rules = RULES[product]
    steady, skipping = manager(rules), manager(rules)
    for hz, soc, seconds in parts:
        steady.second(hz, soc)
        skipping.second(hz, soc)
        expected = run(steady, hz, soc, seconds)
        assert skipping.second(hz, soc, seconds) == expected
    steady.second(50.0, 0.5)
    assert run(steady, 50.0, 0.5, 301) == EnergyState(0.0, False, False, rules.zero_hz, 0.0)


def test_endurance_counts_the_baseline_with_what_is_activated() -> None:
    """Equations 27 and 28: 40 kWh are left each way; 40 kW upwards less 10 drawn last 80 min, 50 kW downwards 48."""
    assert manager(D_UP).endurance_minutes(0.5, 10.0) == pytest.approx(80.0)
    assert manager(D_DOWN).endurance_minutes(0.5, 10.0) == pytest.approx(48.0)
    assert manager(N).endurance_minutes(0.5, 10.0) == pytest.approx(48.0)
    assert manager(N).endurance_minutes(0.5) == pytest.approx(60.0)


def test_a_baseline_that_fills_faster_than_activation_empties_lasts_the_day() -> None:
    assert manager(D_UP).endurance_minutes(0.5, 40.0) == 1440.0


def test_in_the_alert_state_nothing_lasts() -> None:
    """3.5.4: zero in the respective direction."""
    managed = manager(N)
    managed.second(49.8, 0.02)
    assert managed.endurance_minutes(0.02) == 0.0


def test_a_percentage_is_not_taken_for_a_share() -> None:
    with pytest.raises(ValueError, match="share"):
        manager(N).second(50.0, 50.0)


def test_a_reservoir_holds_something() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Reservoir(0.0, 40.0)
    with pytest.raises(ValueError, match="above 0"):
        Reservoir(10.0, 0.0)
