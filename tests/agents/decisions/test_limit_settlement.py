"""What a day of a capacity contract is worth."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.decisions.limit_settlement import Measured, above, day_eur, measured, penalty_eur


@pytest.mark.parametrize("price", ["100.00", "0.01", "0.00", "333.33", "1999.99"])
@pytest.mark.parametrize("days", [1, 7, 28, 31])
def test_the_days_add_up_to_the_contracts_price_and_none_is_a_cent_off(price: str, days: int) -> None:
    parts = [day_eur(Decimal(price), day, days) for day in range(days)]
    assert sum(parts) == Decimal(price)
    assert max(parts) - min(parts) <= Decimal("0.01")
    assert all(part >= 0 and part == part.quantize(Decimal("0.01")) for part in parts)


@pytest.mark.parametrize("day", [-1, 28])
def test_a_day_that_the_contract_does_not_have_is_worth_nothing_at_all(day: int) -> None:
    with pytest.raises(ValueError, match="none of the contract's 28 days"):
        day_eur(Decimal(100), day, 28)


def test_only_the_quarters_whose_highest_second_is_above_the_limit_are_looked_into() -> None:
    assert above(60.0, [59.0, 60.0, 60.0004, 60.001, 90.0]) == (3, 4)


def test_what_was_drawn_above_the_limit_is_counted_minute_by_minute() -> None:
    # 5 minutes at 90 kW and 10 at 30: the quarter's mean is 50 kW, and the limit of 60 was broken all the same
    found = measured(60.0, [90.0, 60.0], {0: [90.0] * 5 + [30.0] * 10})
    assert found == Measured(highest_kw=90.0, excess_kwh=2.5)


def test_a_limit_that_was_kept_has_no_excess_and_needs_no_minutes() -> None:
    assert measured(60.0, [60.0, 12.3456], {}) == Measured(highest_kw=60.0, excess_kwh=0.0)


def test_nothing_is_measured_on_a_guess() -> None:
    with pytest.raises(LookupError):
        measured(60.0, [61.0], {})
    with pytest.raises(ValueError, match="no quarter"):
        measured(60.0, [], {})


def test_a_penalty_is_in_whole_cents() -> None:
    assert penalty_eur(0.333, Decimal("1.5")) == Decimal("0.50")
    assert penalty_eur(0.0, Decimal("1.5")) == Decimal("0.00")
