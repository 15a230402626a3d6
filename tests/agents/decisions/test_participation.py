"""The owner's decision: never short of charge, never below the own threshold."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.fleet import Fleet, FlexVehicle, energies, follow, uncontrolled
from agents.decisions.participation import Offer, Preference, Stay, decide, draw_preferences

AT = datetime(2026, 1, 15, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANY = Preference()
OFFER = Offer(AT, AT + HOUR, 10.0, 0.50)
STAY = Stay(AT + 3 * HOUR, 18.0, 10.0, 1.0, 1.0)


def test_what_can_be_caught_up_is_accepted() -> None:
    assert decide(OFFER, STAY, ANY) is None


def test_what_cannot_be_caught_up_is_declined_with_what_would_be_missing() -> None:
    late = dataclasses.replace(STAY, departure=AT + 2 * HOUR)
    assert decide(OFFER, late, ANY) == "I would leave 8.0 kWh short of the charge I asked for"


def test_discharging_must_be_caught_up_too_with_its_losses() -> None:
    full = dataclasses.replace(STAY, energy_required_kwh=0.0, departure=AT + 2 * HOUR, efficiency_discharge=0.5)
    assert decide(OFFER, full, ANY) == "I would leave 10.0 kWh short of the charge I asked for"
    assert decide(OFFER, dataclasses.replace(full, departure=AT + 3 * HOUR), ANY) is None


def test_charging_before_the_window_counts_where_the_present_is_known() -> None:
    known = dataclasses.replace(STAY, now=AT - HOUR, departure=AT + 2 * HOUR)
    assert decide(OFFER, known, ANY) is None


def test_the_floor_is_kept_in_the_window() -> None:
    spare = dataclasses.replace(STAY, energy_required_kwh=4.0, spare_kwh=5.0)
    assert decide(OFFER, spare, ANY) == "I would leave 1.0 kWh short of the charge I asked for"
    assert decide(OFFER, dataclasses.replace(spare, spare_kwh=6.0), ANY) is None


def test_leaving_before_the_end_is_declined() -> None:
    assert decide(OFFER, dataclasses.replace(STAY, departure=AT), ANY) == "I leave before the service ends"


@pytest.mark.parametrize(
    ("preference", "accepts"),
    [
        (Preference(minimum_eur=0.5), True),
        (Preference(minimum_eur=0.51), False),
        (Preference(minimum_eur_per_kwh=0.05), True),
        (Preference(minimum_eur_per_kwh=0.06), False),
        (Preference(willing=False), False),
    ],
)
def test_the_benefit_must_reach_the_threshold(preference: Preference, accepts: bool) -> None:
    assert (decide(OFFER, STAY, preference) is None) is accepts


def test_a_benefit_too_small_is_declined_with_both_amounts() -> None:
    assert decide(OFFER, STAY, Preference(minimum_eur=1)) == "0.50 EUR is less than the 1.00 EUR I want for it"


def test_preferences_come_from_the_seed_alone() -> None:
    drawn = draw_preferences(np.random.default_rng(7), 500)
    assert drawn == draw_preferences(np.random.default_rng(7), 500)
    assert drawn != draw_preferences(np.random.default_rng(8), 500)
    assert 5 <= sum(not preference.willing for preference in drawn) <= 50
    assert np.median([p.minimum_eur_per_kwh for p in drawn]) == pytest.approx(0.05, rel=0.1)


@settings(max_examples=200)
@given(
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.integers(1, 8),
    st.integers(0, 16),
    st.sampled_from([0.0, 7.4]),
    st.floats(0.1, 15.0),
    st.sampled_from([0.85, 1.0]),
)
def test_whoever_accepts_leaves_with_the_charge_wanted(
    has: float, wants: float, periods: int, after: int, gives: float, power: float, efficiency: float
) -> None:
    car = FlexVehicle(
        "car", 40.0, has * 40, 0.0, wants * 40, 0, periods + after + 1, 7.4, gives, efficiency, efficiency
    )
    end = AT + timedelta(minutes=15 * periods)
    stay = Stay(
        AT + timedelta(minutes=15 * (periods + after)), max(0.0, (wants - has) * 40), 7.4, efficiency, efficiency
    )
    if decide(Offer(AT, end, power, 0.0), stay, ANY) is not None:
        return
    # drive it: the reduction in the window as far as the charger goes, then flat out
    own = uncontrolled([car], periods + after)
    wish = own.copy()
    wish[0, :periods] = np.clip(own[0, :periods] - power, -gives, 7.4)
    wish[0, periods:] = 7.4
    free = dataclasses.replace(car, required_kwh=0.0, departure_period=periods + after)
    table = Fleet.of([free], periods + after)
    table = dataclasses.replace(table, high=np.full_like(table.high, 40.0))
    reached = energies([free], follow(table, wish))[0, -1]
    assert reached >= min(wants * 40, energies([car], own)[0, -1]) - 2e-3
