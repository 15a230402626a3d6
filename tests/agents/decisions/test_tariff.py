"""The service's prices: exact, ordered as the rules say, and never an invitation to cycle for money."""

from __future__ import annotations

from datetime import datetime, time
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.tariff import TICK, ServicePrices, Tariff, curtailment_prices, voltage_prices

AZORES = ZoneInfo("Atlantic/Azores")
DAY = datetime(2026, 5, 12, 13, tzinfo=AZORES)
NIGHT = datetime(2026, 5, 12, 23, tzinfo=AZORES)
TARIFF = Tariff(Decimal("0.09"), Decimal("0.08"), Decimal("0.02"))
FUEL = Decimal("0.11")


@pytest.mark.parametrize(
    ("hour", "minute", "off_peak"),
    [(21, 59, False), (22, 0, True), (0, 0, True), (7, 59, True), (8, 0, False), (13, 0, False)],
)
def test_off_peak_runs_over_midnight_from_its_first_minute_to_just_before_its_last(
    hour: int, minute: int, off_peak: bool
) -> None:
    at = DAY.replace(hour=hour, minute=minute)
    assert TARIFF.off_peak(at) == off_peak
    assert TARIFF.grid_use(at) == Decimal("0.02" if off_peak else "0.08")
    assert TARIFF.charging(at) == Decimal("0.11" if off_peak else "0.17")


def test_an_off_peak_within_one_day_is_possible() -> None:
    tariff = Tariff(Decimal("0.09"), Decimal("0.08"), Decimal("0.02"), time(1), time(6))
    assert [tariff.off_peak(DAY.replace(hour=hour)) for hour in (0, 1, 5, 6, 23)] == [False, True, True, False, False]


def test_the_night_is_what_a_vehicle_that_can_wait_would_pay() -> None:
    assert TARIFF.cheapest_charging() == TARIFF.charging(NIGHT) == Decimal("0.11")


@pytest.mark.parametrize(
    ("need_kw", "grid_use"),
    [
        (5.0, "0.0075"),
        (10.0, "0.005"),
        (20.0, "0"),
        (30.0, "0"),
        (0.0, "0.08"),
        (-10.0, "0.165"),
        (-20.0, "0.24"),
        (-30.0, "0.24"),
    ],
)
def test_grid_use_moves_with_the_part_of_the_flexibility_that_is_needed(need_kw: float, grid_use: str) -> None:
    use = Decimal(grid_use)
    cost = Decimal("0.09") + use
    assert voltage_prices(TARIFF, DAY, need_kw, 20.0) == ServicePrices(use, cost, cost)


def test_by_night_it_rises_from_the_nights_tariff_to_the_same_cap_as_by_day() -> None:
    assert voltage_prices(TARIFF, NIGHT, -10.0, 20.0).grid_use_eur_per_kwh == Decimal("0.135")
    assert voltage_prices(TARIFF, NIGHT, -20.0, 20.0).grid_use_eur_per_kwh == Decimal("0.24")
    assert voltage_prices(TARIFF, NIGHT, -10.0, 20.0, cap_factor=Decimal(2)).grid_use_eur_per_kwh == Decimal("0.095")
    assert voltage_prices(TARIFF, NIGHT, -20.0, 20.0, cap_factor=Decimal(1)).grid_use_eur_per_kwh == Decimal("0.08")


def test_a_large_need_by_night_pays_for_what_discharging_costs() -> None:
    """A share of 0.3 pays 0.192 EUR/kWh: more than a kWh charged at the night's 0.11 and two wears of 0.03."""
    tariff = Tariff(Decimal("0.09"), Decimal("0.09"), Decimal("0.02"))
    assert voltage_prices(tariff, NIGHT, -6.0, 20.0).discharging_remuneration_eur_per_kwh == Decimal("0.192")


@given(st.floats(0.01, 20))
def test_the_smallest_need_brings_a_driver_the_least_gain_already(need_kw: float) -> None:
    assert voltage_prices(TARIFF, DAY, need_kw, 20.0).charging_cost_eur_per_kwh <= Decimal("0.10")
    assert voltage_prices(TARIFF, NIGHT, -need_kw, 20.0).charging_cost_eur_per_kwh >= Decimal("0.12")
    assert curtailment_prices(TARIFF, NIGHT, need_kw, 20.0, FUEL).charging_cost_eur_per_kwh <= Decimal("0.10")


def test_a_need_that_nobody_can_meet_has_the_most_that_there_is() -> None:
    assert voltage_prices(TARIFF, DAY, 5.0, 0.0).grid_use_eur_per_kwh == 0
    assert voltage_prices(TARIFF, DAY, -5.0, 0.0).grid_use_eur_per_kwh == Decimal("0.24")


@given(st.floats(0.001, 500), st.floats(0, 500))
def test_more_consumption_in_the_daytime_is_always_cheaper_than_the_ordinary_night(
    need_kw: float, flexible_kw: float
) -> None:
    prices = voltage_prices(TARIFF, DAY, need_kw, flexible_kw)
    assert TARIFF.energy_eur_per_kwh <= prices.charging_cost_eur_per_kwh < TARIFF.cheapest_charging()


@given(st.floats(-500, -0.001), st.floats(0, 500), st.sampled_from([DAY, NIGHT]))
def test_less_consumption_never_makes_charging_cheaper_nor_dearer_than_the_cap(
    need_kw: float, flexible_kw: float, at: datetime
) -> None:
    prices = voltage_prices(TARIFF, at, need_kw, flexible_kw)
    assert TARIFF.charging(at) <= prices.charging_cost_eur_per_kwh
    assert prices.grid_use_eur_per_kwh <= 3 * TARIFF.grid_peak_eur_per_kwh
    assert prices.discharging_remuneration_eur_per_kwh >= TARIFF.cheapest_charging()


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(1, 500))
def test_more_need_of_one_kind_never_moves_the_price_back(one: float, other: float, flexible_kw: float) -> None:
    low, high = sorted((one, other))
    if low * high <= 0:
        return
    prices = [voltage_prices(TARIFF, DAY, need, flexible_kw).grid_use_eur_per_kwh for need in (low, high)]
    assert prices[0] >= prices[1]


@given(st.floats(-500, 500), st.floats(0, 500), st.sampled_from([DAY, NIGHT]))
def test_every_price_is_exact_to_the_sixth_place_and_charging_and_discharging_are_paid_alike(
    need_kw: float, flexible_kw: float, at: datetime
) -> None:
    found = [voltage_prices(TARIFF, at, need_kw, flexible_kw)]
    found.append(curtailment_prices(TARIFF, at, abs(need_kw), flexible_kw, FUEL))
    for prices in found:
        assert prices.charging_cost_eur_per_kwh == prices.discharging_remuneration_eur_per_kwh
        for price in (prices.grid_use_eur_per_kwh, prices.charging_cost_eur_per_kwh):
            assert price >= 0
            assert price == price.quantize(TICK)


@pytest.mark.parametrize(("need_kw", "cost"), [(0.0, "0.11"), (10.0, "0.0775"), (20.0, "0.055"), (40.0, "0.055")])
def test_wind_that_would_be_thrown_away_lowers_the_price_of_energy(need_kw: float, cost: str) -> None:
    """Half of 0.11 EUR/kWh of fuel when all is needed: 0.11 - 0.055; grid use stays at the night's 0.02."""
    prices = curtailment_prices(TARIFF, NIGHT, need_kw, 20.0, FUEL)
    assert prices == ServicePrices(Decimal("0.02"), Decimal(cost), Decimal(cost))


def test_energy_never_costs_less_than_nothing() -> None:
    prices = curtailment_prices(TARIFF, NIGHT, 20.0, 20.0, Decimal("0.50"))
    assert prices.charging_cost_eur_per_kwh == prices.grid_use_eur_per_kwh == Decimal("0.02")


def test_drivers_may_be_left_all_of_the_fuel_or_nothing() -> None:
    all_of_it = curtailment_prices(TARIFF, NIGHT, 20.0, 20.0, Decimal("0.05"), driver_part=Decimal(1))
    nothing = curtailment_prices(TARIFF, NIGHT, 20.0, 20.0, Decimal("0.05"), driver_part=Decimal(0))
    assert all_of_it.charging_cost_eur_per_kwh == Decimal("0.06")
    assert nothing.charging_cost_eur_per_kwh == Decimal("0.11")


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="cap_factor"):
        voltage_prices(TARIFF, DAY, -1.0, 1.0, cap_factor=Decimal("0.9"))
    with pytest.raises(ValueError, match="magnitude"):
        voltage_prices(TARIFF, DAY, 1.0, -1.0)
    with pytest.raises(ValueError, match="not a power"):
        voltage_prices(TARIFF, DAY, float("nan"), 1.0)
    with pytest.raises(ValueError, match="more consumption"):
        curtailment_prices(TARIFF, DAY, -1.0, 1.0, FUEL)
    with pytest.raises(ValueError, match="fuel price"):
        curtailment_prices(TARIFF, DAY, 1.0, 1.0, Decimal("-0.1"))
    with pytest.raises(ValueError, match="drivers' part"):
        curtailment_prices(TARIFF, DAY, 1.0, 1.0, FUEL, driver_part=Decimal("1.1"))
    with pytest.raises(ValueError, match="not negative"):
        Tariff(Decimal("-0.1"), Decimal("0.08"), Decimal("0.02"))
    with pytest.raises(ValueError, match="cheaper half"):
        Tariff(Decimal("0.1"), Decimal("0.02"), Decimal("0.08"))
