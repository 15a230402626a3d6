"""Bids: cost, the owners' share, the margin, the maximum price, and why none is made."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.bidding import NoOffer, Offer, Strategy, offer
from agents.decisions.planning import Reduction

WINDOW = range(4)
PLAIN = Strategy(margin=0.2, owners_eur_per_kw=0.01, reserve=0.0)


def candidate(power_kw: float, cost_eur: float) -> Reduction:
    return Reduction(power_kw, np.zeros((0, 4)), cost_eur, WINDOW)


CURVE = (candidate(30.0, 4.4), candidate(20.0, 1.2), candidate(10.0, 0.0))
# marginal costs: 0.08, 0.03, 0 EUR/kW per 15 minutes; prices (cost + 0.01) / 0.8


def bid(max_price: str, needed: float = 100.0, **options: float) -> Offer | NoOffer:
    strategy = options.pop("strategy", PLAIN)
    return offer(CURVE, strategy, needed_kw=needed, max_price_eur_per_kw=Decimal(max_price), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("max_price", "power", "price"),
    [("0.2", 30.0, "0.1125"), ("0.1125", 30.0, "0.1125"), ("0.1124", 20.0, "0.05"), ("0.02", 10.0, "0.0125")],
)
def test_the_most_power_whose_price_is_allowed_is_offered(max_price: str, power: float, price: str) -> None:
    made = bid(max_price)
    assert isinstance(made, Offer)
    assert (made.power_kw, made.price_eur_per_kw) == (power, Decimal(price))
    assert made.backing.power_kw == power


def test_a_maximum_price_below_every_cost_is_refused_with_both_prices() -> None:
    made = bid("0.01")
    assert made == NoOffer(
        "above-maximum-price", "the least price would be 0.0125 EUR/kW, and the maximum is 0.01 EUR/kW"
    )


def test_no_more_is_offered_than_is_needed_and_at_the_cheapest_price_for_it() -> None:
    made = bid("1", needed=9.5)
    assert isinstance(made, Offer)
    assert (made.power_kw, made.price_eur_per_kw) == (9.5, Decimal("0.0125"))


def test_no_more_plans_are_made_than_the_offer_and_its_price_take() -> None:
    plans = iter(CURVE)
    assert isinstance(offer(plans, PLAIN, needed_kw=100, max_price_eur_per_kw=Decimal(1)), Offer)
    assert list(plans) == [CURVE[2]], "the largest, and the one below it for the marginal cost"


def test_a_part_is_held_back_and_steps_are_whole() -> None:
    made = offer(
        CURVE,
        Strategy(margin=0.2, owners_eur_per_kw=0.01, reserve=0.15),
        needed_kw=100,
        max_price_eur_per_kw=Decimal(1),
        min_power_kw=2.2,
        granularity_kw=1.0,
    )
    assert isinstance(made, Offer)
    assert (made.power_kw, made.min_power_kw) == (25.0, 3.0)


def test_a_fleet_too_small_for_the_product_says_so() -> None:
    assert bid("1", needed=100, min_power_kw=50.0) == NoOffer(
        "below-minimum", "30 kW can be offered, and the product starts at 50 kW"
    )


def test_no_flexibility_is_said() -> None:
    made = offer((), PLAIN, needed_kw=10, max_price_eur_per_kw=Decimal(1))
    assert isinstance(made, NoOffer)
    assert made.code == "no-flexibility"


@pytest.mark.parametrize("wrong", [{"margin": 1.0}, {"reserve": -0.1}, {"owners_eur_per_kw": -1.0}])
def test_a_strategy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        Strategy(**wrong)


@given(
    st.lists(st.tuples(st.floats(0.5, 50), st.floats(0, 1)), min_size=1, max_size=5),
    st.floats(0, 0.5),
    st.floats(0, 0.1),
    st.floats(0.5, 200),
    st.decimals("0.0001", 2, places=4),
)
def test_whoever_is_paid_the_price_asked_covers_his_cost_and_never_above_the_maximum(
    steps: list[tuple[float, float]], margin: float, owners: float, needed: float, max_price: Decimal
) -> None:
    curve, power, cost = [], 0.0, 0.0
    for step, slope in sorted(steps, key=lambda s: s[1]):
        power, cost = power + step, cost + slope * step * len(WINDOW)
        curve.append(candidate(power, cost))
    strategy = Strategy(margin, owners, 0.0)
    made = offer(curve[::-1], strategy, needed_kw=needed, max_price_eur_per_kw=max_price)
    if isinstance(made, NoOffer):
        assert made.code in ("above-maximum-price", "below-minimum")
        return
    assert made.power_kw <= needed
    assert made.power_kw <= made.backing.power_kw + 1e-9
    assert made.price_eur_per_kw <= max_price
    revenue = made.price_eur_per_kw * Decimal(repr(made.backing.power_kw)) * len(WINDOW)
    least = made.backing.cost_eur + owners * made.backing.power_kw * len(WINDOW)
    assert float(strategy.owners_part(revenue)) >= least - 0.0051
