"""What one vehicle can do for a service, and what of it pays (D5.1 3.2 and 3.4.1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agents.decisions.vehicle_offer import (
    SLACK,
    Parked,
    Room,
    Terms,
    by_order,
    by_own_plan,
    drawn_kwh,
    highest_kw,
    power_for,
    room,
    top_up,
    within,
    worth,
)
from agents.periods import QUARTER

START = datetime(2026, 1, 15, 20, 0, tzinfo=UTC)
TERMS = Terms(charging_cost=0.05, discharging_remuneration=0.05, wear=0.04, minimum_benefit=0.01)


def hours(count: float) -> timedelta:
    return timedelta(hours=count)


def car(**changed: object) -> Parked:
    """At 20:00 with 20 of 50 kWh, 40 wanted at 8:00, a timer at 22:00; 10 kW both ways, lossless."""
    vehicle = Parked(
        id="c1",
        at=START,
        energy_kwh=20.0,
        capacity_kwh=50.0,
        floor_kwh=10.0,
        required_kwh=40.0,
        up_to_kwh=45.0,
        departure=START + hours(12),
        charges_from=START + hours(2),
        max_charge_kw=10.0,
        max_discharge_kw=10.0,
        efficiency_charge=1.0,
        efficiency_discharge=1.0,
    )
    return replace(vehicle, **changed)  # type: ignore[arg-type]


def ordinary(at: datetime) -> float:
    """0.20 EUR/kWh by day, 0.12 from 22:00 to 8:00."""
    return 0.12 if at.hour >= 22 or at.hour < 8 else 0.20


# ---- the own plan --------------------------------------------------------------------------------------------------


def test_the_own_plan_waits_for_its_timer_and_ends_at_what_was_asked_for() -> None:
    assert by_own_plan(car(), START + hours(2)).energy_kwh == 20.0
    assert by_own_plan(car(), START + hours(3)).energy_kwh == 30.0
    assert by_own_plan(car(), START + hours(9)).energy_kwh == 40.0
    assert by_own_plan(car(charges_from=None), START + hours(1)).energy_kwh == 30.0


def test_a_timer_that_starts_within_the_quarter_gives_the_mean_of_what_is_left_of_it() -> None:
    assert room(car(charges_from=START + timedelta(minutes=6))).baseline_kw == pytest.approx(10.0 * 9 / 15)


def test_above_the_knee_charging_takes_twice_its_time() -> None:
    full = car(energy_kwh=47.5, required_kwh=50.0, charges_from=None)
    assert by_own_plan(full, START + QUARTER).energy_kwh == pytest.approx(47.5 + 1.25)
    before = car(energy_kwh=46.5, required_kwh=50.0, charges_from=None)
    assert by_own_plan(before, START + QUARTER).energy_kwh == pytest.approx(47.5 + 0.75)


# ---- what it can do ------------------------------------------------------------------------------------------------


def test_a_vehicle_that_waits_for_its_timer_can_take_and_give_with_all_its_charger_has() -> None:
    assert room(car()) == Room(0.0, 10.0, 10.0)


def test_a_vehicle_that_charges_can_be_held_back_and_give_but_not_take_more() -> None:
    assert room(car(charges_from=None)) == Room(10.0, 0.0, 20.0)


def test_an_increase_ends_at_what_may_be_stored() -> None:
    assert room(car(energy_kwh=44.0)).increase_kw == pytest.approx(4.0)
    assert room(car(energy_kwh=46.0)).increase_kw == 0.0


def test_an_increase_never_reaches_into_the_taper() -> None:
    assert room(car(energy_kwh=47.0, required_kwh=50.0, up_to_kwh=50.0)).increase_kw == pytest.approx(2.0)


def test_a_discharge_ends_at_the_drivers_floor() -> None:
    assert room(car(energy_kwh=11.0)).decrease_kw == pytest.approx(4.0)
    assert room(car(energy_kwh=10.0)).decrease_kw == 0.0


def test_a_vehicle_below_its_floor_may_take_more_but_is_not_held_back() -> None:
    assert room(car(energy_kwh=8.0)) == Room(0.0, 10.0, 0.0)
    assert room(car(energy_kwh=8.0, charges_from=None)) == Room(10.0)


def test_a_decrease_leaves_the_wanted_charge_within_reach_before_the_departure() -> None:
    """20 kWh are 2 h from 20:15 on; with the slack the departure may be no earlier than 22:30 to hold back all."""
    leaves = START + QUARTER + hours(2) + SLACK
    assert room(car(charges_from=None, departure=leaves)).decrease_kw == pytest.approx(10.0)
    assert room(car(charges_from=None, departure=leaves - timedelta(minutes=6))).decrease_kw == pytest.approx(6.0)
    assert room(car(charges_from=None, departure=leaves - QUARTER)).decrease_kw == 0.0


def test_the_reach_begins_with_the_timer_because_the_charger_goes_back_to_its_own_plan() -> None:
    """Left to itself from 22:00 it has 20 kWh at midnight: with a departure then plus the slack, nothing to give."""
    assert room(car(departure=START + hours(4) + SLACK)).decrease_kw == 0.0
    assert room(car(departure=START + hours(4.1) + SLACK)).decrease_kw == pytest.approx(4.0)


def test_a_full_charge_needs_the_tapers_time_as_well() -> None:
    vehicle = car(charges_from=None, energy_kwh=40.0, required_kwh=50.0)
    # 10 kWh are an hour, the taper's 2.5 kWh a quarter more, and the slack
    assert room(replace(vehicle, departure=START + QUARTER + hours(1.5))).decrease_kw == pytest.approx(10.0)
    assert room(replace(vehicle, departure=START + QUARTER + hours(1.25))).decrease_kw == 0.0


def test_a_vehicle_in_its_taper_or_about_to_leave_offers_nothing() -> None:
    assert room(car(energy_kwh=48.0, required_kwh=50.0, charges_from=None)) == Room(5.0)
    leaves_soon = room(car(departure=START + QUARTER / 2, charges_from=None))
    assert leaves_soon == Room(5.0)


def test_an_order_that_the_vehicle_can_no_longer_keep_is_cut_to_what_it_can() -> None:
    assert within(car(energy_kwh=44.0), 10.0) == pytest.approx(4.0)
    assert within(car(energy_kwh=10.5), -10.0) == pytest.approx(-2.0)
    assert within(car(), 7.0) == 7.0
    in_a_hurry = car(charges_from=None, departure=START + hours(2))
    assert within(in_a_hurry, 0.0) == pytest.approx(10.0)


def test_a_little_that_the_charger_would_not_make_up_for_is_topped_up_once_the_timer_lets_it() -> None:
    short = car(energy_kwh=39.6, charges_from=None)
    assert top_up(short) == pytest.approx(1.6)
    assert top_up(replace(short, charges_from=START + QUARTER)) == 0.0
    assert top_up(replace(short, energy_kwh=39.4)) == 0.0  # the charger does that by itself
    assert top_up(replace(short, energy_kwh=40.0)) == 0.0


# ---- what of it pays -----------------------------------------------------------------------------------------------


def test_cheap_energy_now_pays_against_the_cheapest_hour_of_the_own_plan() -> None:
    vehicle = car()
    assert worth(vehicle, room(vehicle), 1, TERMS, ordinary) == 10.0
    just = replace(TERMS, charging_cost=0.11)
    assert worth(vehicle, room(vehicle), 1, just, ordinary) == 10.0
    assert worth(vehicle, room(vehicle), 1, replace(just, charging_cost=0.1101), ordinary) == 0.0


def test_what_goes_beyond_the_charge_asked_for_is_taken_only_where_it_saves_a_later_charge() -> None:
    """The rest of the own plan would be charged at 0.30, the day has hours at 0.12: 0.15 pays for the first only."""
    vehicle = car(energy_kwh=39.0)
    can = room(vehicle)
    assert can.increase_kw == 10.0

    def dear_tonight(at: datetime) -> float:
        return 0.30 if at < START + hours(3) else 0.12

    assert worth(vehicle, can, 1, replace(TERMS, charging_cost=0.15), dear_tonight) == pytest.approx(4.0)
    assert worth(vehicle, can, 1, replace(TERMS, charging_cost=0.05), dear_tonight) == 10.0


def test_a_car_that_has_what_was_asked_for_takes_more_only_below_the_days_cheapest_price() -> None:
    vehicle = car(energy_kwh=42.0)
    assert worth(vehicle, room(vehicle), 1, TERMS, ordinary) == 10.0
    assert worth(vehicle, room(vehicle), 1, replace(TERMS, charging_cost=0.115), ordinary) == 0.0


def test_charging_is_withheld_where_it_is_cheaper_later() -> None:
    vehicle = car(charges_from=None, required_kwh=60.0 / 2, max_discharge_kw=0.0)
    raised = replace(TERMS, charging_cost=0.22)
    # it ends at 21:00 by itself and at 21:15 when held back, both at 0.20
    assert worth(vehicle, room(vehicle), -1, raised, ordinary) == -10.0
    assert worth(vehicle, room(vehicle), -1, replace(raised, charging_cost=0.205), ordinary) == 0.0


def test_power_is_given_back_only_for_wear_losses_and_the_minimum_benefit() -> None:
    vehicle = car(efficiency_charge=0.9, efficiency_discharge=0.9)
    can = room(vehicle)
    least = 0.01 + 0.04 / 0.9 + 0.12 / 0.81
    assert worth(vehicle, can, -1, replace(TERMS, discharging_remuneration=least + 1e-6), ordinary) == -10.0
    assert worth(vehicle, can, -1, replace(TERMS, discharging_remuneration=least - 1e-3), ordinary) == 0.0


def test_without_a_price_that_pays_for_giving_back_charging_is_still_withheld() -> None:
    vehicle = car(charges_from=None)
    can = room(vehicle)
    assert can.decrease_kw == 20.0
    poor = Terms(charging_cost=0.25, discharging_remuneration=0.10, wear=0.04, minimum_benefit=0.01)
    assert worth(vehicle, can, -1, poor, ordinary) == -10.0


# ---- always --------------------------------------------------------------------------------------------------------


@st.composite
def parked(draw: st.DrawFn) -> Parked:
    fraction = st.floats(0.0, 1.0)
    capacity = draw(st.floats(20.0, 90.0))
    timer = draw(st.none() | st.floats(-1.0, 8.0))
    return Parked(
        id="c1",
        at=START,
        energy_kwh=draw(fraction) * capacity,
        capacity_kwh=capacity,
        floor_kwh=draw(st.floats(0.0, 0.5)) * capacity,
        required_kwh=draw(fraction) * capacity,
        up_to_kwh=draw(fraction) * capacity,
        departure=START + hours(draw(st.floats(0.0, 14.0))),
        charges_from=None if timer is None else START + hours(timer),
        max_charge_kw=draw(st.floats(1.4, 22.0)),
        max_discharge_kw=draw(st.floats(0.0, 22.0)),
        efficiency_charge=draw(st.floats(0.8, 1.0)),
        efficiency_discharge=draw(st.floats(0.8, 1.0)),
    )


@given(parked(), st.floats(0.0, 1.0), st.sampled_from([-1, 1]))
def test_any_part_of_what_is_offered_keeps_limits_floor_store_and_departure(
    vehicle: Parked, share: float, sign: int
) -> None:
    can = room(vehicle)
    change = share * (can.increase_kw if sign > 0 else can.decrease_kw)
    if change < 1e-6:
        return
    power = can.baseline_kw + sign * change
    assert -vehicle.max_discharge_kw - 1e-9 <= power <= vehicle.max_charge_kw + 1e-9
    assert within(vehicle, power) == pytest.approx(power, abs=1e-6)
    end = START + QUARTER
    energy = vehicle.energy_kwh + drawn_kwh(vehicle, power, 0.25)
    assert energy >= min(vehicle.floor_kwh, vehicle.energy_kwh) - 1e-6
    if sign > 0:
        assert energy <= max(vehicle.up_to_kwh, vehicle.required_kwh) + 1e-6
        assert energy <= vehicle.knee_kwh + 1e-6
    left = by_own_plan(by_order(vehicle, power, end), vehicle.departure).energy_kwh
    alone = by_own_plan(vehicle, vehicle.departure).energy_kwh
    assert left >= min(vehicle.required_kwh, alone) - 1e-6


@given(parked(), st.floats(-30.0, 30.0))
def test_whatever_is_ordered_is_cut_to_what_leaves_the_charge_asked_for_in_reach(
    vehicle: Parked, power_kw: float
) -> None:
    assume(vehicle.departure >= START + QUARTER)
    kept = within(vehicle, power_kw)
    after = by_order(vehicle, kept, START + QUARTER)
    assert after.energy_kwh >= min(vehicle.floor_kwh, vehicle.energy_kwh) - 1e-6
    alone = by_own_plan(vehicle, vehicle.departure).energy_kwh
    assert by_own_plan(after, vehicle.departure).energy_kwh >= min(vehicle.required_kwh, alone) - 1e-6


@given(parked(), st.sampled_from([-1, 1]), st.floats(0.0, 0.6), st.floats(0.0, 0.6))
def test_what_pays_is_never_more_than_what_is_possible_and_a_better_price_never_brings_less(
    vehicle: Parked, sign: int, price: float, better: float
) -> None:
    can = room(vehicle)
    low, high = sorted((price, better))
    poor, good = (high, low) if sign > 0 else (low, high)
    found = [
        worth(vehicle, can, sign, Terms(cost, cost, wear=0.04, minimum_benefit=0.01), ordinary) for cost in (poor, good)
    ]
    limit = can.increase_kw if sign > 0 else can.decrease_kw
    assert 0 <= found[0] * sign <= found[1] * sign <= limit + 1e-9


@given(parked(), st.floats(-20.0, 20.0))
def test_the_power_for_an_energy_is_the_power_that_draws_it(vehicle: Parked, energy_kwh: float) -> None:
    assert drawn_kwh(vehicle, power_for(vehicle, energy_kwh, 0.25), 0.25) == pytest.approx(energy_kwh, abs=1e-9)


@pytest.mark.parametrize(
    ("changed", "kw"),
    [
        ({"charges_from": None}, 10.0),
        ({"charges_from": START + QUARTER - timedelta(seconds=1)}, 10.0),
        ({"charges_from": START + QUARTER}, 0.0),
        ({"charges_from": START + QUARTER / 2, "departure": START + QUARTER / 2}, 0.0),
        ({"charges_from": START + QUARTER / 3, "departure": START + QUARTER / 2}, 10.0),
        ({"charges_from": None, "energy_kwh": 39.99}, 10.0),
        ({"charges_from": None, "energy_kwh": 40.0}, 0.0),
        ({"charges_from": None, "energy_kwh": 48.0, "required_kwh": 50.0}, 5.0),
    ],
    ids=["charges", "timer goes off", "timer later", "left before", "leaves after", "nearly done", "done", "tapers"],
)
def test_the_most_that_is_drawn_at_a_moment_is_all_the_charger_has_once_the_timer_has_gone_off(
    changed: dict[str, object], kw: float
) -> None:
    vehicle = car(**changed)
    assert highest_kw(vehicle) == kw
    assert highest_kw(vehicle) >= room(vehicle).baseline_kw - 1e-9
