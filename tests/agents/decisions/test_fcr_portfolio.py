"""Which vehicles serve an hour of frequency containment, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.decisions.fcr_portfolio import allocate, must_charge, unit_of, window
from agents.decisions.fcr_products import RULES
from agents.decisions.vehicle_offer import Parked
from protocols.exchanges.vocabulary import FcrProduct

START = datetime(2026, 1, 13, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
END = START + HOUR
N, D_UP, D_DOWN = (RULES[p] for p in (FcrProduct.FCR_N, FcrProduct.FCR_D_UP, FcrProduct.FCR_D_DOWN))


def car(**changed: Any) -> Parked:
    """60 kWh half full, at a charger of 11 kW in and 10 kW out until 10 in the morning, without losses."""
    values: dict[str, Any] = {
        "id": "c1",
        "at": START,
        "energy_kwh": 30.0,
        "capacity_kwh": 60.0,
        "floor_kwh": 12.0,
        "required_kwh": 30.0,
        "up_to_kwh": 54.0,
        "departure": START + 12 * HOUR,
        "charges_from": None,
        "max_charge_kw": 11.0,
        "max_discharge_kw": 10.0,
        "efficiency_charge": 1.0,
        "efficiency_discharge": 1.0,
    }
    return Parked(**values | changed)


def capacity(rules: Any, **changed: Any) -> float:
    unit = unit_of(rules, car(**changed), START, END)
    return 0.0 if unit is None else unit.capacity_kw


def test_the_energy_management_of_table_10_is_kept_free_in_the_charger() -> None:
    assert capacity(N) == pytest.approx(10 / 1.34, abs=1e-3)
    assert capacity(D_UP) == 10.0
    assert capacity(D_DOWN) == 11.0


def test_the_battery_bears_the_endurance_of_the_product_in_its_directions() -> None:
    assert capacity(N, energy_kwh=17.0, required_kwh=17.0) == 5.0  # one hour down to the floor
    assert capacity(N, energy_kwh=49.0, required_kwh=49.0) == 5.0  # one hour up to 90 %
    assert capacity(D_UP, energy_kwh=14.0, required_kwh=14.0) == 6.0  # 20 minutes
    assert capacity(D_DOWN, energy_kwh=14.0, required_kwh=14.0) == 11.0
    assert capacity(D_DOWN, energy_kwh=53.0, required_kwh=53.0) == 3.0


def test_what_is_given_costs_more_in_the_battery_than_arrives_in_the_grid() -> None:
    assert capacity(N, energy_kwh=17.0, required_kwh=17.0, efficiency_discharge=0.9) == 4.5
    assert capacity(N, energy_kwh=49.0, required_kwh=49.0, efficiency_charge=0.9) == pytest.approx(5.555, abs=1e-3)


def test_a_vehicle_that_leaves_within_the_hour_or_its_margin_does_not_serve() -> None:
    assert unit_of(N, car(departure=END + 29 * HOUR / 60), START, END) is None
    assert unit_of(N, car(departure=END + 30 * HOUR / 60, required_kwh=12.0), START, END) is not None


def test_what_full_activation_would_take_must_be_charged_again_before_the_departure() -> None:
    """In the hour 6 of the missing 12 kWh come in by the baseline, and 11 kWh can come later: 5 may be given."""
    late = {"required_kwh": 42.0, "departure": END + 1.5 * HOUR}
    assert capacity(D_UP, **late) == pytest.approx(5.0 * 3)  # for 20 minutes
    assert capacity(N, **late) == pytest.approx((11.0 - 6.0) / 1.34, abs=1e-3)
    assert capacity(N, **late, max_charge_kw=12.0, efficiency_discharge=0.5) == pytest.approx(3.0)


def test_charging_goes_on_beside_the_service_and_is_the_baseline() -> None:
    unit = unit_of(D_UP, car(required_kwh=42.0, departure=START + 6.5 * HOUR), START, END)
    assert unit is not None
    assert unit.baseline_kw == 2.0
    assert unit.capacity_kw == 12.0  # the 2 kW that are no longer drawn, and 10 kW that are given


def test_all_give_the_same_part_of_what_they_can_where_less_is_approved() -> None:
    cars = [car(id="c1"), car(id="c2", energy_kwh=14.0, required_kwh=14.0), car(id="c3", departure=END)]
    units = allocate(D_UP, cars, START, END, 8.0)
    assert {u.charger_id: u.capacity_kw for u in units} == {"c1": 5.0, "c2": 3.0}


def test_a_vehicle_must_charge_when_it_has_no_more_time_to_lose() -> None:
    waiting = car(required_kwh=41.0, departure=START + 1.5 * HOUR)
    assert must_charge(waiting, START)
    assert not must_charge(waiting, START - timedelta(minutes=1))
    assert not must_charge(car(required_kwh=30.0, departure=START), START)


@pytest.mark.parametrize(
    ("rules", "stored", "room", "held"),
    [(N, 40.0, 40.0, 10.0), (D_UP, 40.0, 40.0, 20.0), (D_DOWN, 40.0, 40.0, 0.0), (N, 4.0, 40.0, 4.0)],
)
def test_the_part_of_the_batteries_begins_where_the_product_wants_it(
    rules: Any, stored: float, room: float, held: float
) -> None:
    assert window(rules, 20.0, stored, room) == (held, 20.0)


def test_the_part_of_the_batteries_is_no_larger_than_they_are() -> None:
    assert window(N, 20.0, 5.0, 7.0) == (5.0, 12.0)
