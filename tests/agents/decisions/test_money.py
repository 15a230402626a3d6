"""Exact money: nothing is lost by rounding."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.money import cents, price_up, running_cents, split, watts

amounts = st.decimals(-1000, 1000, places=6)


@pytest.mark.parametrize(("exact", "rounded"), [("0.005", "0.00"), ("0.015", "0.02"), ("-0.025", "-0.02")])
def test_cents_are_rounded_half_to_even(exact: str, rounded: str) -> None:
    assert cents(Decimal(exact)) == Decimal(rounded)


@pytest.mark.parametrize(("measured", "exact"), [(7.0004, "7.000"), (-0.0005, "0.000"), (0.1 + 0.2, "0.300")])
def test_a_meter_is_read_to_the_watt(measured: float, exact: str) -> None:
    assert watts(measured) == Decimal(exact)


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_power(nonsense: float) -> None:
    with pytest.raises(ValueError, match="is not a power"):
        watts(nonsense)


def test_prices_go_up_to_the_tick_but_not_for_noise() -> None:
    assert price_up(0.03121) == Decimal("0.0313")
    assert price_up(0.1 + 0.2) == Decimal("0.3000")


@given(st.lists(amounts))
def test_running_cents_add_up_to_the_rounded_total(exact: list[Decimal]) -> None:
    shown = running_cents(exact)
    assert sum(shown, Decimal(0)) == cents(sum(exact, Decimal(0)))
    assert all(abs(a - b) <= Decimal("0.01") for a, b in zip(shown, exact, strict=True))


@given(
    st.integers(-(10**7), 10**7).map(lambda n: Decimal(n) / 100),
    st.lists(st.floats(0, 1e6), min_size=1).filter(lambda weights: sum(weights) > 0),
)
def test_a_split_adds_up_and_is_fair_to_the_cent(amount: Decimal, weights: list[float]) -> None:
    shares = split(amount, weights)
    assert sum(shares, Decimal(0)) == amount
    whole = sum(Decimal(repr(w)) for w in weights)
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - amount * Decimal(repr(weight)) / whole) < Decimal("0.01") + Decimal("1e-12")


def test_the_last_cent_goes_to_the_earlier_of_equals() -> None:
    assert split(Decimal("0.10"), [1, 1, 1]) == (Decimal("0.04"), Decimal("0.03"), Decimal("0.03"))


@pytest.mark.parametrize(
    ("amount", "weights"), [("1.001", [1.0]), ("1.00", []), ("1.00", [0.0]), ("1.00", [2.0, -1.0])]
)
def test_what_cannot_be_split_is_refused(amount: str, weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"whole cents|weights"):
        split(Decimal(amount), weights)
