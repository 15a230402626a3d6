"""What a congestion is worth to the operator, and what of it a call offers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agents.decisions.congestion_price import congestion_prices, most_to_pay, second_prices
from agents.decisions.pricing import OperatorCosts, maximum_price

COSTS = OperatorCosts()
EXTRA = Decimal("0.08")


def worth(loading: float = 120.0, limit: float = 100.0, *, line: bool = False, costs: OperatorCosts = COSTS) -> Decimal:
    return most_to_pay(
        costs,
        loading_percent=[loading] * 2,
        relieved_percent=[limit] * 2,
        limit_percent=limit,
        load_kw=[150.0] * 2,
        power_kw=30.0,
        ambient_c=10.0,
        line=line,
    )


def test_the_most_is_the_operators_price_of_a_kw_for_a_quarter_of_an_hour_by_the_kwh() -> None:
    price = maximum_price(
        COSTS,
        loading_percent=[120.0] * 2,
        relieved_percent=[100.0] * 2,
        load_kw=[150.0] * 2,
        power_kw=30.0,
        ambient_c=10.0,
    )
    assert price.basis == "overload"
    assert worth() == 4 * price.price_eur_per_kw > 0
    # a trip in 20 of 1,000 hours at 120 %, 150 kW cut off for 1.5 h at 7 EUR/kWh: 7.875 EUR a quarter of an hour for
    # 7.5 kWh, and a few cents of ageing
    assert float(worth()) == pytest.approx(0.02 * 0.25 * 150 * 1.5 * 7 / 7.5, abs=0.02)


def test_an_overload_counts_beside_what_the_signal_allows() -> None:
    assert worth(loading=84.0, limit=70.0) == worth(loading=120.0, limit=100.0)


def test_a_cable_does_not_age_as_a_transformer_does() -> None:
    dear = OperatorCosts(transformer_eur=15e6)
    assert worth(costs=dear) > worth()
    assert worth(costs=dear, line=True) == worth(line=True)


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a limit of 0\.0 % is none"):
        worth(limit=0.0)


@pytest.mark.parametrize(
    ("share", "reduction", "discharging"),
    [(0.0, "0.3000", "0.3800"), (0.5, "0.7500", "0.8300"), (0.95, "1.1200", "1.2000"), (3.0, "1.1200", "1.2000")],
)
def test_the_price_rises_with_the_share_that_is_needed_and_never_above_the_most(
    share: float, reduction: str, discharging: str
) -> None:
    prices = congestion_prices(Decimal("1.2"), share, EXTRA)
    assert (prices.reduction, prices.discharging) == (Decimal(reduction), Decimal(discharging))


def test_where_the_most_is_little_at_least_half_of_it_is_paid_for_what_is_not_drawn() -> None:
    prices = congestion_prices(Decimal("0.1"), 1.0, EXTRA)
    assert (prices.reduction, prices.discharging) == (Decimal("0.05"), Decimal("0.1"))


def test_the_second_call_pays_the_middle_between_the_first_and_the_most() -> None:
    first = congestion_prices(Decimal("1.2"), 0.5, EXTRA)
    second = second_prices(first, EXTRA)
    assert (second.reduction, second.discharging) == (Decimal("0.975"), Decimal("1.055"))
    assert second_prices(congestion_prices(Decimal("1.2"), 1.0, EXTRA), EXTRA).reduction == Decimal("1.12")


@pytest.mark.parametrize(("most", "share", "extra"), [("-1", 0.5, "0"), ("1", -0.5, "0"), ("1", 0.5, "-1")])
def test_negative_figures_are_refused(most: str, share: float, extra: str) -> None:
    with pytest.raises(ValueError, match="not negative"):
        congestion_prices(Decimal(most), share, Decimal(extra))
