"""Reductions: by hand where they can be worked out, by properties where they cannot."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.fleet import FlexVehicle, Floats, energies, uncontrolled
from agents.decisions.planning import Costs, cost_curve, cost_eur, reduction
from tests.agents.decisions.fleets import PERIODS, depot, faults, fleets, windows

LOSSLESS = FlexVehicle("a", 60.0, 20.0, 0.0, 40.0, 0, 24, 10.0, 0.0, 1.0, 1.0)
TWO_WAY = dataclasses.replace(LOSSLESS, max_discharge_kw=10.0)
FREE = Costs(energy_eur_per_kwh=0.2, wear_eur_per_kwh=0.0)


def baseline_of(fleet: list[FlexVehicle], periods: int = PERIODS) -> Floats:
    return uncontrolled(fleet, periods).sum(axis=0)


def test_a_charge_that_can_wait_gives_all_it_draws_and_costs_nothing() -> None:
    found = reduction([LOSSLESS], baseline_of([LOSSLESS]), range(2, 6))
    assert found.power_kw == 10.0
    assert found.plan_kw[0, 2:6].tolist() == [0.0] * 4
    assert found.cost_eur == pytest.approx(0.0)


def test_what_is_shifted_is_caught_up_as_early_as_can_be() -> None:
    found = reduction([LOSSLESS], baseline_of([LOSSLESS]), range(2, 6))
    assert found.plan_kw[0].tolist() == pytest.approx([10, 10, 0, 0, 0, 0] + [10] * 6 + [0] * 12)


def test_a_charge_that_cannot_wait_gives_nothing() -> None:
    hurried = dataclasses.replace(LOSSLESS, departure_period=8)
    found = reduction([hurried], baseline_of([hurried]), range(2, 6))
    assert found.power_kw == 0.0
    assert found.plan_kw[0, :8].tolist() == pytest.approx([10.0] * 8)


def test_the_reduction_is_the_one_that_holds_in_every_period() -> None:
    # 2 of the 10 kWh that the window would draw must be drawn in it: 20 kWh wanted, 18 fit elsewhere
    tight = dataclasses.replace(LOSSLESS, required_kwh=40.0, departure_period=11)
    found = reduction([tight], baseline_of([tight]), range(4))
    assert found.power_kw == pytest.approx(10.0 - 2.5 / 4 * 4, abs=1e-6)


def test_discharging_doubles_it_and_costs_wear_and_losses() -> None:
    lossy = dataclasses.replace(TWO_WAY, efficiency_charge=0.8, efficiency_discharge=0.8, departure_period=40)
    costs = Costs(energy_eur_per_kwh=0.2, wear_eur_per_kwh=0.05)
    base = baseline_of([lossy], 40)
    found = reduction([lossy], base, range(4, 8), costs=costs)
    assert found.power_kw == 20.0
    # 10 kWh to the grid are 12.5 out of the battery, 12.5 in again, 15.625 from the grid: 5.625 kWh are lost
    assert found.cost_eur == pytest.approx(5.625 * 0.2 + 25.0 * 0.05)
    assert found.cost_eur_per_kw == pytest.approx(found.cost_eur / 80)


def test_emptying_a_full_vehicle_is_no_gain() -> None:
    full = dataclasses.replace(TWO_WAY, energy_kwh=60.0, required_kwh=30.0)
    found = reduction([full], baseline_of([full]), range(4, 8), costs=FREE)
    assert found.power_kw == 10.0
    assert found.cost_eur == pytest.approx(0.0)


def test_the_floor_limits_what_is_given() -> None:
    low = dataclasses.replace(TWO_WAY, energy_kwh=30.0, floor_kwh=25.0, required_kwh=30.0)
    found = reduction([low], baseline_of([low]), range(4))
    assert found.power_kw == pytest.approx(5.0)


def test_a_vehicle_below_its_floor_is_charged_first() -> None:
    low = dataclasses.replace(TWO_WAY, floor_kwh=25.0)
    found = reduction([low], baseline_of([low]), range(4))
    assert found.plan_kw[0, :2].tolist() == pytest.approx([10.0, 10.0])
    assert found.power_kw == 0.0


def test_less_than_all_is_given_exactly_when_asked() -> None:
    found = reduction([TWO_WAY], baseline_of([TWO_WAY]), range(2, 6), power_kw=3.25)
    assert found.power_kw == 3.25


def test_more_than_all_gives_all() -> None:
    found = reduction([LOSSLESS], baseline_of([LOSSLESS]), range(2, 6), power_kw=1000.0)
    assert found.power_kw == 10.0


def test_catching_up_keeps_below_the_cap() -> None:
    fleet = [dataclasses.replace(LOSSLESS, id=f"v{i}", arrival_period=i) for i in range(4)]
    window = range(3, 7)
    free = reduction(fleet, baseline_of(fleet), window, power_kw=30.0)
    capped = reduction(fleet, baseline_of(fleet), window, power_kw=30.0, cap_kw=20.0)
    assert capped.excess_kw == 0.0
    after = slice(11, PERIODS)
    assert free.plan_kw.sum(axis=0)[after].max() > 21.0
    assert capped.plan_kw.sum(axis=0)[after].max() <= 20.0 + 1e-6


def test_a_cap_that_departures_break_is_broken_by_as_little_as_can_be_and_said() -> None:
    found = reduction([LOSSLESS], np.zeros(PERIODS), range(2), cap_kw=np.full(PERIODS, 1.0))
    # of the 20 kWh 5 fit into the window (which is given up for it), 15 into the 22 periods outside it
    assert found.power_kw == pytest.approx(-10.0)
    assert found.excess_kw == pytest.approx(60 / 22 - 1, abs=1e-5)
    assert faults([LOSSLESS], found.plan_kw) == []


def test_a_fleet_that_cannot_keep_its_baseline_says_so_with_a_negative_power() -> None:
    hurried = dataclasses.replace(LOSSLESS, departure_period=8)
    found = reduction([hurried], np.zeros(PERIODS), range(8))
    assert found.power_kw == pytest.approx(-10.0)
    assert found.cost_eur_per_kw == 0.0


def test_no_vehicles_give_what_was_nominated_for_them() -> None:
    assert reduction([], np.full(8, 3.0), range(4)).power_kw == 3.0
    assert reduction([], np.zeros(8), range(4), power_kw=5.0).power_kw == 0.0


@pytest.mark.parametrize("window", [range(0), range(-1, 3), range(20, 25), range(0, 8, 2)])
def test_a_window_outside_the_horizon_is_refused(window: range) -> None:
    with pytest.raises(ValueError, match="whole periods within the horizon"):
        reduction([LOSSLESS], baseline_of([LOSSLESS]), window)


def test_negative_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Costs(energy_eur_per_kwh=np.array([0.1, -0.1]))


def test_dear_hours_are_left_for_cheap_ones() -> None:
    price = np.where(np.arange(PERIODS) < 12, 0.4, 0.1)
    found = reduction([LOSSLESS], baseline_of([LOSSLESS]), range(1), costs=Costs(price, 0.0))
    assert found.plan_kw[0, :12].sum() == pytest.approx(0.0)
    assert found.cost_eur == pytest.approx(-20 * 0.3)


@settings(max_examples=60, deadline=None)
@given(fleets(), windows)
def test_a_bid_can_really_be_kept(fleet: list[FlexVehicle], window: range) -> None:
    base = baseline_of(fleet)
    found = reduction(fleet, base, window)
    assert faults(fleet, found.plan_kw) == []
    drawn = found.plan_kw.sum(axis=0)[window.start : window.stop]
    assert (drawn <= base[window.start : window.stop] - found.power_kw + 1e-6).all()
    assert found.power_kw >= 0


@settings(max_examples=40, deadline=None)
@given(fleets(), windows, st.floats(0.05, 0.95))
def test_a_part_of_what_is_possible_is_possible_and_no_dearer(
    fleet: list[FlexVehicle], window: range, part: float
) -> None:
    base = baseline_of(fleet)
    most = reduction(fleet, base, window)
    some = reduction(fleet, base, window, power_kw=most.power_kw * part)
    assert some.power_kw == pytest.approx(most.power_kw * part, abs=2e-6)
    assert faults(fleet, some.plan_kw) == []
    # convex and nothing for nothing: a part costs no more than that part of the whole
    assert some.cost_eur <= part * most.cost_eur + 1e-2


@settings(max_examples=30, deadline=None)
@given(fleets(), windows, st.floats(0, 40))
def test_a_cap_on_catching_up_is_kept_where_the_baseline_is_ones_own(
    fleet: list[FlexVehicle], window: range, cap: float
) -> None:
    base = baseline_of(fleet)
    found = reduction(fleet, base, window, cap_kw=cap)
    assert found.excess_kw <= 1e-5
    assert faults(fleet, found.plan_kw) == []
    outside = [t for t in range(PERIODS) if t not in window]
    assert (found.plan_kw.sum(axis=0)[outside] <= np.maximum(base, cap)[outside] + 1e-5).all()


@settings(max_examples=30, deadline=None)
@given(fleets(), windows)
def test_a_plan_never_charges_and_discharges_for_nothing(fleet: list[FlexVehicle], window: range) -> None:
    found = reduction(fleet, baseline_of(fleet), window, power_kw=0.0, costs=FREE)
    # with nothing asked, the cheapest plan is as cheap as charging on arrival
    assert found.cost_eur == pytest.approx(0.0, abs=1e-3)


def test_a_cost_curve_is_convex() -> None:
    fleet = depot(20, 96)
    curve = list(cost_curve(fleet, baseline_of(fleet, 96), range(40, 44), steps=4))[::-1]
    powers, eur = [0.0, *(c.power_kw for c in curve)], [0.0, *(c.cost_eur for c in curve)]
    assert np.diff(powers) == pytest.approx([curve[-1].power_kw / 4] * 4, abs=1e-5)
    slopes = np.diff(eur) / np.diff(powers)
    assert (np.diff(slopes) >= -1e-4).all()
    assert slopes[-1] > 0


def test_a_cost_curve_of_nothing_is_empty() -> None:
    hurried = dataclasses.replace(LOSSLESS, departure_period=8)
    assert list(cost_curve([hurried], baseline_of([hurried]), range(2, 6))) == []


def test_the_cost_of_a_plan_is_energy_and_wear_less_what_is_stored() -> None:
    plan = np.array([[4.0, -4.0]])
    # 1 kWh in and out of a lossless battery at 0.3 and 0.1 EUR/kWh, 2 kWh of throughput
    costs = Costs(np.array([0.3, 0.1]), 0.05)
    assert cost_eur([TWO_WAY], plan, costs) == pytest.approx(0.3 - 0.1 + 0.1)
    assert energies([TWO_WAY], plan)[0, -1] == 20.0


def test_two_hundred_vehicles_over_a_day_take_less_than_a_second() -> None:
    fleet = depot(200, 96)
    start = time.process_time()
    found = reduction(fleet, baseline_of(fleet, 96), range(40, 48))
    assert found.power_kw > 100
    assert time.process_time() - start < 1.0
