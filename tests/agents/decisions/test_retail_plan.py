"""When a vehicle charges if only its driver's wish and the retailer's prices count (D5.1 3.3)."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.retail_plan import cheapest_plan, hours_needed
from agents.decisions.vehicle_offer import Parked, by_order
from agents.periods import QUARTER

START = datetime(2026, 1, 13, 15, 0, tzinfo=UTC)


def car(**changed: object) -> Parked:
    """At 15:00 with 20 of 50 kWh, 30 wanted at 17:00; 10 kW in, lossless."""
    vehicle = Parked(
        id="c1",
        at=START,
        energy_kwh=20.0,
        capacity_kwh=50.0,
        floor_kwh=10.0,
        required_kwh=30.0,
        up_to_kwh=45.0,
        departure=START + timedelta(hours=2),
        charges_from=None,
        max_charge_kw=10.0,
        max_discharge_kw=10.0,
        efficiency_charge=1.0,
        efficiency_discharge=1.0,
    )
    return replace(vehicle, **changed)  # type: ignore[arg-type]


PRICES = [0.30, 0.10, 0.30, 0.20, 0.10, 0.10, 0.40, 0.01]


def test_it_charges_in_the_cheapest_quarters_and_is_done_a_quarter_before_it_leaves() -> None:
    # four quarters of full power; the last, cheapest one is the spare one
    assert cheapest_plan(car(), START, PRICES) == (0, 10, 0, 10, 10, 10, 0, 0)


def test_of_two_that_cost_the_same_it_takes_the_earlier_one() -> None:
    assert cheapest_plan(car(required_kwh=25.0), START, [0.2] * 8) == (10, 10, 0, 0, 0, 0, 0, 0)


def test_the_rest_of_the_charge_is_spread_over_the_dearest_quarter_taken() -> None:
    assert cheapest_plan(car(required_kwh=28.5), START, PRICES) == pytest.approx((0, 10, 0, 4, 10, 10, 0, 0))


def test_losses_are_charged_too() -> None:
    plan = cheapest_plan(car(required_kwh=24.0, efficiency_charge=0.8), START, PRICES)
    assert plan == pytest.approx((0, 10, 0, 0, 10, 0, 0, 0))


def test_the_taper_takes_twice_its_time() -> None:
    # 47 to 47.5 kWh fast (3 min), 47.5 to 50 at half power (30 min)
    vehicle = car(energy_kwh=47.0, required_kwh=50.0)
    assert hours_needed(vehicle, 50.0) == pytest.approx(0.55)
    plan = cheapest_plan(vehicle, START, PRICES)
    assert plan == pytest.approx((0, 6, 0, 0, 5, 1, 0, 0))


def test_what_cannot_be_reached_is_charged_for_at_once_with_all_there_is() -> None:
    assert cheapest_plan(car(required_kwh=48.0, departure=START + timedelta(hours=1)), START, PRICES) == (
        *[10.0] * 4,
        *[0.0] * 4,
    )


def test_without_the_spare_quarter_it_charges_at_once_until_it_is_done() -> None:
    # 18 kWh need 108 of 120 minutes; the spare quarter leaves 105
    assert cheapest_plan(car(required_kwh=38.0), START, PRICES) == pytest.approx((*[10.0] * 7, 2.0))


def test_a_quarter_that_has_begun_counts_from_now_on() -> None:
    plan = cheapest_plan(car(at=START + timedelta(minutes=10), required_kwh=22.0), START, [0.1, *[0.3] * 7])
    assert plan[0] == pytest.approx(10.0)  # 5 minutes of it
    assert sum(plan[1:]) / 4 == pytest.approx(2.0 - 10 / 12)


def test_a_quarter_with_an_infinite_price_is_not_used() -> None:
    plan = cheapest_plan(car(required_kwh=40.0), START, [math.inf, math.inf, *PRICES[2:]])
    assert plan == (0, 0, 10, 10, 10, 10, 10, 10)


def test_a_vehicle_that_has_what_it_wants_or_has_left_does_not_charge() -> None:
    assert cheapest_plan(car(energy_kwh=31.0), START, PRICES) == (0.0,) * 8
    assert cheapest_plan(car(departure=START), START, PRICES) == (0.0,) * 8
    assert cheapest_plan(car(max_charge_kw=0.0), START, PRICES) == (0.0,) * 8
    assert cheapest_plan(car(), START, []) == ()


@given(
    st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12),
    st.floats(5.0, 45.0),
    st.floats(5.0, 50.0),
    st.integers(0, 14),
    st.integers(20, 200),
)
def test_whatever_is_possible_before_the_departure_is_there_and_never_more(
    prices: list[float], energy: float, required: float, at: int, leaves: int
) -> None:
    vehicle = car(
        at=START + timedelta(minutes=at),
        energy_kwh=energy,
        required_kwh=required,
        departure=START + timedelta(minutes=leaves),
        efficiency_charge=0.9,
    )
    plan = cheapest_plan(vehicle, START, prices)
    assert all(0.0 <= kw <= 10.0 for kw in plan)
    after = vehicle
    for k, kw in enumerate(plan):
        after = by_order(after, kw, max(after.at, min(START + (k + 1) * QUARTER, vehicle.departure)))
    wanted = max(energy, required)
    assert after.energy_kwh <= wanted + 1e-6
    available = max(0.0, (min(vehicle.departure, START + 12 * QUARTER) - vehicle.at) / timedelta(hours=1))
    if hours_needed(vehicle, required) <= available:
        assert after.energy_kwh == pytest.approx(wanted, abs=1e-6)
