"""Clearing: merit order, both pricing rules, parts and minimums, ties, and welfare against trying everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.clearing import Clearing, MarketBid, clear
from protocols.exchanges.vocabulary import PricingRule

AT = datetime(2026, 1, 15, 12, tzinfo=UTC)
TOP = Decimal("1.00")


def bid(name: str, power: float, price: str, least: float = 0.0, minute: int = 0) -> MarketBid:
    return MarketBid(name, f"vpp-{name}", power, Decimal(price), AT + timedelta(minutes=minute), least)


def cleared(bids: list[MarketBid], needed: float, pricing: PricingRule = PricingRule.PAY_AS_CLEAR) -> Clearing:
    return clear(bids, needed, max_price_eur_per_kw=TOP, pricing=pricing)


def powers(result: Clearing) -> dict[str, float]:
    return {award.bid_id: award.power_kw for award in result.awards}


def test_the_cheapest_come_first_and_the_last_is_taken_in_part() -> None:
    result = cleared([bid("dear", 10, "0.30"), bid("cheap", 10, "0.10"), bid("middle", 10, "0.20")], 15)
    assert powers(result) == {"cheap": 10, "middle": 5}
    assert result.rejected == {"dear": "the need is met by the bids before it in merit order"}
    assert result.unserved_kw == 0


@pytest.mark.parametrize(
    ("pricing", "prices"),
    [(PricingRule.PAY_AS_CLEAR, ["0.20", "0.20"]), (PricingRule.PAY_AS_BID, ["0.10", "0.20"])],
)
def test_all_are_paid_the_margin_or_each_its_own(pricing: PricingRule, prices: list[str]) -> None:
    result = cleared([bid("a", 10, "0.10"), bid("b", 10, "0.20")], 15, pricing)
    assert [award.price_eur_per_kw for award in result.awards] == [Decimal(price) for price in prices]
    assert result.clearing_price_eur_per_kw == Decimal("0.20")


def test_equal_prices_go_to_the_earlier_and_then_to_the_lower_id() -> None:
    bids = [bid("a", 10, "0.1", minute=1), bid("z", 10, "0.1"), bid("y", 10, "0.10")]
    assert powers(cleared(bids, 25)) == {"y": 10, "z": 10, "a": 5}
    assert list(powers(cleared(bids, 15))) == ["y", "z"]


def test_what_nobody_offers_stays_unserved() -> None:
    result = cleared([bid("a", 10, "0.1")], 25)
    assert (powers(result), result.unserved_kw) == ({"a": 10}, 15)


def test_a_bid_above_the_maximum_price_is_rejected_by_name_and_one_at_it_is_taken() -> None:
    result = cleared([bid("a", 10, "1.01"), bid("b", 5, "1.00")], 25)
    assert powers(result) == {"b": 5}
    assert result.rejected == {"a": "the price of 1.01 EUR/kW is above the maximum of 1.00"}


def test_no_bids_leave_no_price() -> None:
    assert cleared([], 10) == Clearing((), {}, 10, None)


def test_a_minimum_that_does_not_fit_is_passed_over() -> None:
    result = cleared([bid("a", 8, "0.1", least=8), bid("b", 5, "0.2", least=5), bid("c", 5, "0.3")], 10)
    assert powers(result) == {"a": 8, "c": 2}
    assert result.rejected == {"b": "the need is met by the bids before it in merit order"}


def test_a_cheaper_bid_gives_way_in_part_so_that_another_fits() -> None:
    result = cleared([bid("a", 8, "0.1"), bid("b", 5, "0.2", least=5)], 10)
    assert powers(result) == {"a": 5, "b": 5}


def test_an_indivisible_bid_larger_than_the_need_is_told_so() -> None:
    result = cleared([bid("a", 20, "0.1", least=20)], 10)
    assert result.awards == ()
    assert result.rejected == {"a": "its minimum power of 20 kW does not fit the 10 kW that are left"}
    assert (result.unserved_kw, result.clearing_price_eur_per_kw) == (10, None)


@pytest.mark.parametrize(
    ("bids", "words"),
    [
        ([bid("a", 1, "0.1"), bid("a", 2, "0.1")], "used twice"),
        ([bid("a", 0, "0.1")], "power_kw above 0"),
        ([bid("a", 1, "0.1", least=2)], "min_power_kw <= power_kw"),
        ([bid("a", float("nan"), "0.1")], "bid a"),
    ],
)
def test_bids_that_cannot_be_are_refused(bids: list[MarketBid], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cleared(bids, 10)


@st.composite
def books(draw: st.DrawFn) -> list[MarketBid]:
    bids = []
    for i in range(draw(st.integers(0, 6))):
        power = draw(st.integers(1, 20))
        least = draw(st.sampled_from([0, 0, power, power // 2]))
        price = Decimal(draw(st.integers(1, 110))) / 100
        bids.append(bid(f"b{i}", power, str(price), least, draw(st.integers(0, 2))))
    return bids


def best_welfare(bids: list[MarketBid], needed: float) -> float:
    """The most welfare of all choices of bids, each taken at its minimum or more."""
    able = sorted((b for b in bids if b.price_eur_per_kw <= TOP), key=lambda b: b.price_eur_per_kw)
    best = 0.0
    for choice in product((False, True), repeat=len(able)):
        taken = [b for b, on in zip(able, choice, strict=True) if on]
        left = needed - sum(b.min_power_kw for b in taken)
        if left < 0:
            continue
        worth = 0.0
        for b in taken:
            more = min(left, b.power_kw - b.min_power_kw)
            left -= more
            worth += float(TOP - b.price_eur_per_kw) * (b.min_power_kw + more)
        best = max(best, worth)
    return best


@settings(max_examples=150, deadline=None)
@given(books(), st.integers(1, 60), st.sampled_from(PricingRule))
def test_every_clearing_has_the_largest_welfare_and_keeps_the_rules(
    bids: list[MarketBid], needed: int, pricing: PricingRule
) -> None:
    result = cleared(bids, needed, pricing)
    by_id = {b.bid_id: b for b in bids}
    awarded = powers(result)
    assert sum(awarded.values()) <= needed + 1e-9
    assert sum(awarded.values()) + result.unserved_kw == pytest.approx(needed)
    assert set(awarded) | set(result.rejected) == set(by_id)
    assert not set(awarded) & set(result.rejected)
    for award in result.awards:
        own = by_id[award.bid_id]
        assert own.min_power_kw - 1e-9 <= award.power_kw <= own.power_kw + 1e-9
        assert own.price_eur_per_kw <= award.price_eur_per_kw <= TOP
    welfare = sum(float(TOP - by_id[name].price_eur_per_kw) * power for name, power in awarded.items())
    assert welfare == pytest.approx(best_welfare(bids, needed), abs=1e-4)
    if awarded:
        assert result.clearing_price_eur_per_kw == max(by_id[name].price_eur_per_kw for name in awarded)
    if not any(b.min_power_kw for b in bids):
        # without minimums nobody cheaper than the margin is left out
        for name in result.rejected:
            if by_id[name].price_eur_per_kw <= TOP:
                assert by_id[name].price_eur_per_kw >= result.clearing_price_eur_per_kw  # type: ignore[operator]
                assert result.unserved_kw == 0


@settings(max_examples=50, deadline=None)
@given(books(), st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_order_in_which_bids_arrive_does_not_matter(bids: list[MarketBid], needed: int, random: object) -> None:
    shuffled = list(bids)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert cleared(shuffled, needed).awards == cleared(bids, needed).awards
