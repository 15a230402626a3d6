"""The maximum price: the cheaper of letting the overload happen and of building."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from agents.decisions.ageing import life_used_hours
from agents.decisions.pricing import MaximumPrice, OperatorCosts, maximum_price

COSTS = OperatorCosts()


def price(loading: list[float], costs: OperatorCosts = COSTS, power: float = 40.0, **options: bool) -> MaximumPrice:
    periods = len(loading)
    return maximum_price(
        costs,
        loading_percent=loading,
        relieved_percent=[min(percent, 100.0) for percent in loading],
        load_kw=[200.0] * periods,
        power_kw=power,
        **options,  # type: ignore[arg-type]
    )


def test_the_annuity_pays_the_investment_off() -> None:
    owed = COSTS.reinforcement_eur
    for _ in range(COSTS.lifetime_years):
        owed = owed * (1 + COSTS.interest) - COSTS.annuity_eur()
    assert owed == pytest.approx(0.0, abs=1e-6)
    assert dataclasses.replace(COSTS, interest=0.0).annuity_eur() == 1500.0


def test_a_slight_overload_is_worth_its_ageing_and_its_risk() -> None:
    found = price([110.0] * 4)
    ageing = (life_used_hours([1.1] * 4) - life_used_hours([1.0] * 4)) * 15_000 / 180_000
    # 0.01 an hour that 200 kW are cut off for 1.5 h at 7 EUR/kWh
    assert found.ageing_eur == pytest.approx(ageing)
    assert found.interruption_eur == pytest.approx(0.01 * 200 * 1.5 * 7)
    assert found.basis == "overload"
    worth = (found.ageing_eur + found.interruption_eur) / 160
    assert 0 <= worth - float(found.price_eur_per_kw) < 1e-4


def test_no_overload_is_dearer_than_building() -> None:
    found = price([150.0] * 4)
    assert found.basis == "reinforcement"
    assert found.reinforcement_eur == pytest.approx(COSTS.annuity_eur() / 100)
    assert float(found.price_eur_per_kw) == pytest.approx(found.reinforcement_eur / 160, abs=1e-4)


def test_a_voltage_may_not_be_let_happen() -> None:
    found = price([60.0] * 4, voltage=True)
    assert found.basis == "reinforcement"
    assert found.price_eur_per_kw > 0


def test_without_an_overload_nothing_is_worth_paying() -> None:
    assert price([90.0] * 4).price_eur_per_kw == Decimal(0)


def test_the_price_rises_with_the_overload_up_to_building() -> None:
    prices = [price([percent] * 4).price_eur_per_kw for percent in (100.0, 105.0, 110.0, 120.0, 140.0, 160.0)]
    assert prices == sorted(prices)
    assert prices[-1] == prices[-2]


@pytest.mark.parametrize(("loading", "power"), [([], 40.0), ([110.0], 0.0)])
def test_a_need_of_nothing_has_no_price(loading: list[float], power: float) -> None:
    with pytest.raises(ValueError, match="a power above 0"):
        price(loading, power=power)
