"""The driver's decision on helping against a congestion (D5.1 3.3, 3.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.customer import Consent, Wish, choose
from agents.decisions.participation import Preference
from protocols.exchanges.congestion_services import ActivationKind, CustomerOption

END = datetime(2026, 1, 13, 17, 0, tzinfo=UTC)
WISH = Wish(END + timedelta(hours=2), wanted_soc_percent=80.0, minimum_soc_percent=20.0, max_charge_kw=11.0)
FIVE_CENTS = Preference(minimum_eur_per_kwh=0.05)


def option(number: int = 1, **changed: Any) -> CustomerOption:
    values: dict[str, Any] = {
        "activation_id": f"r1/{number}",
        "kind": ActivationKind.SHIFT,
        "power_kw": 10.0,
        "energy_kwh": 5.0,
        "price_eur_per_kwh": Decimal("0.10"),
        "departure_soc_percent": 80.0,
    }
    return CustomerOption(**values | changed)


def short(soc: float, number: int = 1) -> CustomerOption:
    return option(number, kind=ActivationKind.CURTAIL, departure_soc_percent=soc)


def taken(*options: CustomerOption, consent: Consent | None = None, preference: Preference = FIVE_CENTS) -> str:
    """The number of the option taken, or the reason against all."""
    choice = choose(options, END, WISH, preference, consent or Consent())
    return choice if isinstance(choice, str) else choice.activation_id


def test_what_pays_and_costs_no_charge_is_taken() -> None:
    assert taken(option()) == "r1/1"


def test_what_pays_too_little_for_each_kwh_is_declined() -> None:
    assert (
        taken(option(price_eur_per_kwh=Decimal("0.049")))
        == "0.0490 EUR/kWh are less than the 0.0500 EUR/kWh I take part for"
    )
    assert "0.50 EUR are less than the 0.60 EUR" in taken(option(), preference=Preference(minimum_eur=0.6))


def test_nobody_agrees_to_leave_with_less_than_asked_for() -> None:
    assert taken(option(departure_soc_percent=79.0)) == "I would leave with 79.0 %, and want 80.0 % at least"
    assert taken(option(departure_soc_percent=79.96)) == "r1/1"
    assert taken(short(70.0)).startswith("I would leave with 70.0 %")


def test_a_flexible_driver_leaves_with_four_fifths_but_not_with_less() -> None:
    flexible = Consent(flexible=True)
    assert taken(short(64.0), consent=flexible) == "r1/1"
    assert taken(short(63.0), consent=flexible) == "I would leave with 63.0 %, and want 64.0 % at least"
    assert taken(option(departure_soc_percent=70.0), consent=flexible).startswith("I would leave")


def test_who_takes_no_part_or_leaves_before_the_end_says_so() -> None:
    assert taken(option(), preference=Preference(willing=False)) == "I take no part in services"
    late = Wish(END - timedelta(minutes=1), 80.0, 20.0, 11.0)
    assert choose([option()], END, late, FIVE_CENTS, Consent()) == "I leave before the service ends"


def test_a_promise_that_cannot_be_kept_is_not_believed() -> None:
    # 22 kWh can be charged in two hours
    assert taken(option(energy_kwh=22.0)) == "r1/1"
    assert taken(option(energy_kwh=22.1)) == "22.1 kWh cannot be charged between the end and my departure"


def test_of_several_the_one_that_pays_best_after_wear_is_taken() -> None:
    give = option(2, kind=ActivationKind.DISCHARGE, price_eur_per_kwh=Decimal("0.15"))
    assert taken(option(), give) == "r1/2"
    assert taken(option(), give, consent=Consent(wear_eur_per_kwh=0.06)) == "r1/1"
    assert taken(option(price_eur_per_kwh=Decimal("0.01")), give) == "r1/2"


def test_of_those_that_pay_the_same_the_managers_choice_is_taken() -> None:
    assert taken(option(1), option(2, price_eur_per_kwh=Decimal("0.1005"))) == "r1/1"


@pytest.mark.parametrize("soc", [10.0, 19.9])
def test_the_floor_holds_for_the_flexible_too(soc: float) -> None:
    wish = Wish(END + timedelta(hours=2), wanted_soc_percent=20.0, minimum_soc_percent=20.0, max_charge_kw=11.0)
    choice = choose([short(soc)], END, wish, FIVE_CENTS, Consent(flexible=True))
    assert choice == f"I would leave with {soc:.1f} %, and want 20.0 % at least"
