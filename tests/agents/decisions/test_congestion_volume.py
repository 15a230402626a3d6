"""What a service came to, by hand and to the cent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.congestion_volume import Volume, VolumeTerms, settle_volume

TERMS = VolumeTerms(reduction=Decimal("0.40"), discharging=Decimal("0.52"))


def settled(baseline: list[float], metered: list[float], awarded: float = 20.0, **options: Any) -> Volume:
    return settle_volume(baseline, metered, awarded, TERMS, **options)


def kwh(volume: Volume) -> list[float]:
    """Reduced, given back and missing."""
    return [float(each) for each in (volume.reduced_kwh, volume.discharged_kwh, volume.missing_kwh)]


def test_what_was_promised_and_came_is_paid_at_the_reduction_price() -> None:
    volume = settled([30.0, 28.0], [10.0, 8.0])
    assert kwh(volume) == [10.0, 0.0, 0.0]
    assert (volume.remuneration_eur, volume.penalty_eur) == (Decimal("4.00"), Decimal("0.00"))


def test_more_than_was_awarded_is_not_paid() -> None:
    assert settled([30.0], [0.0]).remuneration_eur == Decimal("2.00")


def test_below_a_plan_of_zero_it_is_power_given_back() -> None:
    volume = settled([12.0], [-8.0])
    # 12 kW are not drawn and 8 given back: 3 kWh at 0.40 and 2 kWh at 0.52
    assert kwh(volume) == [3.0, 2.0, 0.0]
    assert volume.remuneration_eur == Decimal("2.24")


def test_what_one_charger_gives_back_while_another_draws_is_given_back() -> None:
    # one vehicle goes from 10 to -6 kW, another keeps drawing its 10: 4 kWh come, of these 1.5 are given back
    volume = settled([20.0], [4.0], awarded=16.0, given_back_kw=[6.0])
    assert (volume.reduced_kwh, volume.discharged_kwh) == (Decimal("2.5"), Decimal("1.5"))
    assert volume.remuneration_eur == Decimal("1.78")
    # and never more than was delivered
    assert settled([20.0], [18.0], given_back_kw=[6.0]).discharged_kwh == Decimal("0.5")


def test_a_plan_to_give_back_leaves_nothing_to_reduce() -> None:
    volume = settled([-2.0], [-10.0], awarded=8.0)
    assert kwh(volume) == [0.0, 2.0, 0.0]


def test_what_is_missing_beyond_the_tolerance_costs_half_the_reduction_price() -> None:
    volume = settled([30.0, 30.0], [11.0, 15.0])
    # 19 of 20 kW are within the 5 %, of the 5 kW missing then 4 are penalised: 1 kWh at 0.20
    assert (volume.reduced_kwh, volume.missing_kwh) == (Decimal("8.5"), Decimal("1.5"))
    assert (volume.remuneration_eur, volume.penalty_eur, volume.amount_eur) == (
        Decimal("3.40"),
        Decimal("0.20"),
        Decimal("3.20"),
    )


def test_drawing_more_than_planned_costs_no_more_than_giving_nothing() -> None:
    volume = settled([30.0], [45.0])
    assert kwh(volume) == [0.0, 0.0, 5.0]
    assert volume.amount_eur == -Decimal("0.95")


def test_in_the_quarter_in_which_it_was_called_off_nothing_missing_is_penalised() -> None:
    volume = settled([30.0, 30.0], [10.0, 25.0], free=(1,))
    assert (volume.remuneration_eur, volume.penalty_eur) == (Decimal("2.50"), Decimal("0.00"))


@pytest.mark.parametrize(("baseline", "awarded"), [([1.0, 2.0], 1.0), ([1.0], 0.0), ([1.0], -1.0)])
def test_series_that_do_not_match_and_awards_of_nothing_are_refused(baseline: list[float], awarded: float) -> None:
    with pytest.raises(ValueError, match=r"do not match|is none"):
        settled(baseline, [1.0], awarded)
