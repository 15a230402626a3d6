"""Bid curves: by hand, against brute force, and by the properties that the market asks for."""

from __future__ import annotations

import itertools
import time
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.capacity_curve import OpportunityCosts, bid_curve, capped_costs
from agents.public_ports import SessionWish

FLAT = (0.10,) * 96
DEAR_EVENING = tuple(0.20 if 68 <= quarter < 88 else 0.10 for quarter in range(96))
WINDOW = (68, 88)
COSTS = OpportunityCosts(margin_eur_per_kwh=0.3, energy_eur_per_kwh=FLAT, goodwill_eur_per_kwh=0.1)


@st.composite
def station_days(draw: st.DrawFn) -> list[list[SessionWish]]:
    days = []
    for _ in range(draw(st.integers(1, 3))):
        wishes = []
        for _ in range(draw(st.integers(0, 6))):
            arrival = draw(st.integers(60, 90))
            stay = draw(st.integers(1, 6))
            wishes.append(
                SessionWish(
                    arrival,
                    min(arrival + stay, 96),
                    draw(st.floats(0.0, 60.0)),
                    draw(st.sampled_from([11.0, 50.0, 150.0])),
                )
            )
        days.append(wishes)
    return days


def test_what_cannot_be_charged_under_the_cap_costs_margin_and_goodwill_on_every_activated_day() -> None:
    # 30 kWh in an hour that lies in the window: under 20 kW ten are not charged, at 0.4 EUR each, on 10 days
    days = [[SessionWish(70, 74, 30.0, 60.0)]]
    assert bid_curve(days, [20.0], WINDOW, COSTS, 10, 5, 60.0) == ((20.0, Decimal("40.00")), (300.0, Decimal("0.00")))


def test_energy_that_can_wait_until_after_the_window_costs_nothing_at_a_flat_price() -> None:
    days = [[SessionWish(80, 92, 30.0, 60.0)]]
    assert bid_curve(days, [0.0], WINDOW, COSTS, 10, 5, 60.0)[0] == (0.0, Decimal("0.00"))


def test_energy_that_is_moved_costs_the_difference_of_the_energy_prices() -> None:
    cheap_in_the_window = tuple(0.10 if 68 <= quarter < 88 else 0.16 for quarter in range(96))
    costs = OpportunityCosts(0.3, cheap_in_the_window)
    # 30 kWh in the last half hour of the window, or at half power: 15 kWh go to the hour after, 0.06 EUR dearer
    days = [[SessionWish(86, 90, 30.0, 60.0)]]
    found = bid_curve(days, [30.0], WINDOW, costs, 1, 5, 60.0)
    assert found[0] == (30.0, Decimal("0.90"))


def test_the_cost_is_the_mean_of_the_days_or_of_the_dearest_of_them() -> None:
    busy, empty = [SessionWish(70, 74, 30.0, 60.0)], list[SessionWish]()
    curve = bid_curve([busy, empty, empty, empty], [20.0], WINDOW, COSTS, 10, 5, 60.0)
    assert curve[0][1] == Decimal("10.00")
    curve = bid_curve([busy, empty, empty, empty], [20.0], WINDOW, COSTS, 10, 5, 60.0, dearest_part=0.5)
    assert curve[0][1] == Decimal("20.00")


def test_the_last_point_is_the_capacity_and_costs_nothing_and_limits_beyond_it_are_left_out() -> None:
    days = [[SessionWish(70, 74, 60.0, 60.0)]]
    curve = bid_curve(days, [240.0, 30.0, 30.0, 500.0], WINDOW, COSTS, 10, 5, 60.0, connection_kw=200.0)
    assert [limit for limit, _ in curve] == [30.0, 200.0]
    assert curve[-1] == (200.0, Decimal("0.00"))
    assert bid_curve([], [60.0], WINDOW, COSTS, 10, 5, 60.0) == ((60.0, Decimal(0)), (300.0, Decimal(0)))


def test_points_dearer_than_the_market_allows_are_left_out() -> None:
    days = [[SessionWish(70, 74, 30.0, 60.0)]]
    curve = bid_curve(days, [0.0, 10.0, 20.0], WINDOW, COSTS, 10, 5, 60.0, most_eur=Decimal("90.00"))
    assert [limit for limit, _ in curve] == [10.0, 20.0, 300.0]


def test_what_is_not_charged_without_a_cap_either_is_not_the_caps_cost() -> None:
    # 100 kWh in a quarter of an hour with 60 kW: 85 are never charged
    days = [[SessionWish(70, 71, 100.0, 60.0)]]
    found = capped_costs(days, [40.0], WINDOW, COSTS, 60.0, 300.0)
    assert found.unserved_kwh[0, 0] == pytest.approx(90.0)
    assert found.cost_eur[0, 0] == pytest.approx(5 * 0.4)


@pytest.mark.parametrize("limit", [7.0, 20.0, 33.0, 47.0])
def test_the_program_finds_the_cheapest_plan_of_a_brute_force_search(limit: float) -> None:
    """Three quarters, two sessions: every pair of plans on a grid of 1 kW, of which the optimum is one."""
    window, price = (1, 3), [0.3, 0.1, 0.2] + [0.2] * 93
    costs = OpportunityCosts(0.25, tuple(price), 0.05)
    a, b = SessionWish(0, 2, 6.0, 20.0), SessionWish(1, 3, 8.0, 30.0)
    mean = sum(price) / 96

    def cost(plan: tuple[int, ...], start: int, wanted: float) -> float:
        energy = sum(plan) / 4
        return sum(kw / 4 * (price[start + k] - mean) for k, kw in enumerate(plan)) + 0.3 * (wanted - energy)

    def best(cap: float) -> float:
        found = np.inf
        for one in itertools.product(range(21), repeat=2):
            if sum(one) / 4 > 6.0:
                continue
            for two in itertools.product(range(31), repeat=2):
                if sum(two) / 4 > 8.0 or one[1] + two[0] > cap or two[1] > cap:
                    continue
                found = min(found, cost(one, 0, 6.0) + cost(two, 1, 8.0))
        return found

    found = capped_costs([[a, b]], [limit], window, costs, 60.0, 60.0)
    assert found.cost_eur[0, 0] == pytest.approx(best(limit) - best(60.0), abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(station_days(), st.lists(st.integers(0, 24), min_size=1, max_size=8, unique=True))
def test_every_curve_is_exactly_convex_and_does_not_rise(days: list[list[SessionWish]], steps: list[int]) -> None:
    limits = sorted(12.5 * step for step in steps)
    costs = OpportunityCosts(0.37, DEAR_EVENING, 0.013)
    curve = bid_curve(days, limits, WINDOW, costs, 7.3, 5, 60.0)
    assert all(left[1] >= right[1] >= 0 for left, right in pairwise(curve))
    falls = [Fraction(left[1] - right[1]) / Fraction(right[0] - left[0]) for left, right in pairwise(curve)]
    assert all(before >= after for before, after in pairwise(falls))
    # and no dearer than the costs by more than the cents that rounding may add up to
    found = capped_costs(days, [limit for limit, _ in curve[:-1]], WINDOW, costs, 60.0, 300.0)
    exact = 7.3 * found.cost_eur.mean(axis=1)
    assert all(-1e-5 < float(price) - cost < 1.0 for (_, price), cost in zip(curve, exact, strict=False))


@settings(max_examples=30, deadline=None)
@given(station_days(), st.floats(3.0, 290.0))
def test_the_dual_is_the_slope_of_the_cost(days: list[list[SessionWish]], limit: float) -> None:
    """A convex function lies above its tangents, and between the slopes on both sides lies the dual."""
    costs = OpportunityCosts(0.37, DEAR_EVENING, 0.013)
    step = 1e-2
    found = capped_costs(days, [limit - step, limit, limit + step], WINDOW, costs, 60.0, 300.0)
    before, here, after = found.cost_eur
    assert np.all((here - before) / step <= found.slope_eur_per_kw[1] + 1e-5)
    assert np.all(found.slope_eur_per_kw[1] <= (after - here) / step + 1e-5)


def test_a_curve_of_eight_limits_over_ten_days_takes_less_than_a_second() -> None:
    rng = np.random.default_rng(1)
    days = []
    for _ in range(10):
        arrivals = rng.integers(24, 88, 40)
        days.append([SessionWish(int(a), int(a) + 6, float(rng.gamma(2.9, 11.0)), 60.0) for a in arrivals])
    begun = time.process_time()
    curve = bid_curve(days, [30.0 * k for k in range(1, 9)], WINDOW, COSTS, 20, 5, 60.0)
    assert time.process_time() - begun < 1.0
    assert curve[0][1] > curve[1][1] > 0


@pytest.mark.parametrize(
    ("wish", "window", "words"),
    [
        (SessionWish(70, 70, 1.0, 11.0), WINDOW, "cannot be"),
        (SessionWish(70, 97, 1.0, 11.0), WINDOW, "cannot be"),
        (SessionWish(70, 72, -1.0, 11.0), WINDOW, "cannot be"),
        (SessionWish(70, 72, 1.0, 11.0), (88, 68), "window"),
        (SessionWish(70, 72, 1.0, 11.0), (0, 97), "window"),
    ],
)
def test_days_and_windows_that_cannot_be_are_refused(wish: SessionWish, window: tuple[int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bid_curve([[wish]], [10.0], window, COSTS, 1, 5, 60.0)


def test_costs_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="95 quarters"):
        OpportunityCosts(0.1, FLAT[1:])
    with pytest.raises(ValueError, match="negative"):
        OpportunityCosts(-0.1, FLAT)
    with pytest.raises(ValueError, match="must not be negative"):
        bid_curve([], [-1.0], WINDOW, COSTS, 1, 5, 60.0)
    with pytest.raises(ValueError, match="dearest_part"):
        bid_curve([], [1.0], WINDOW, COSTS, 1, 5, 60.0, dearest_part=0.0)
