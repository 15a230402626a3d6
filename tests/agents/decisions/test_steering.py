"""The running plan: ceilings are kept, catching up makes no peak, departures come before both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.decisions.fleet import FlexVehicle, energies, uncontrolled
from agents.decisions.planning import Costs
from agents.decisions.steering import steer
from tests.agents.decisions.fleets import PERIODS, depot, faults, fleets

COSTS = Costs(energy_eur_per_kwh=0.15, wear_eur_per_kwh=0.04)
NONE = np.full(PERIODS, np.inf)


def car(name: str = "v", *, departs: int = 20, discharge: float = 0.0, wanted: float = 20.0) -> FlexVehicle:
    return FlexVehicle(name, 50.0, 10.0, 5.0, 10.0 + wanted, 0, departs, 11.0, discharge, 1.0, 1.0)


def ceiling(**kw: float) -> np.ndarray:
    """`p3=5.0`: 5 kW in the period 3."""
    series = NONE.copy()
    for name, limit in kw.items():
        series[int(name[1:])] = limit
    return series


def test_nobody_under_control_is_an_empty_plan() -> None:
    assert steer([], ceiling(p1=5.0), np.zeros(PERIODS), COSTS).shape == (0, PERIODS)


def test_a_ceiling_holds_for_the_fleet_together_with_the_others() -> None:
    others = np.full(PERIODS, 6.0)
    plan = steer([car("a"), car("b")], ceiling(p2=9.0, p3=9.0), others, COSTS)
    total = plan.sum(axis=0) + others
    assert total[2:4] == pytest.approx([9.0, 9.0], abs=1e-5)


def test_where_the_others_alone_are_above_the_ceiling_the_vehicles_give_power_back() -> None:
    others = np.zeros(PERIODS)
    others[2] = 8.0
    plan = steer([car(discharge=7.0)], ceiling(p2=3.0), others, COSTS)
    assert plan[0, 2] == pytest.approx(-5.0, abs=1e-5)


def test_catching_up_makes_no_peak_of_its_own() -> None:
    """Two cars held for an hour then have sixteen periods: the flattest way is far below charging at once."""
    vehicles = [car("a", departs=20), car("b", departs=20)]
    plan = steer(vehicles, ceiling(p0=0.0, p1=0.0, p2=0.0, p3=0.0), np.zeros(PERIODS), COSTS)
    total = plan.sum(axis=0)
    assert total[:4] == pytest.approx([0.0] * 4, abs=1e-5)
    assert total[4:].max() == pytest.approx(40.0 / 16 * 4, rel=1e-3)  # 40 kWh, evenly over four hours


def test_catching_up_fills_the_valley_that_the_others_leave() -> None:
    others = np.zeros(PERIODS)
    others[:10] = 12.0
    plan = steer([car(departs=20)], NONE, others, COSTS)
    assert (plan.sum(axis=0) + others).max() == pytest.approx(12.0, abs=1e-3)
    assert plan[0, :10].sum() == pytest.approx(0.0, abs=0.02)


def test_within_the_peak_it_charges_as_early_as_it_can() -> None:
    others = np.zeros(PERIODS)
    others[12] = 30.0  # a peak that is there anyway leaves room elsewhere
    plan = steer([car(departs=20, wanted=11.0)], NONE, others, COSTS)
    assert plan[0, :4] == pytest.approx([11.0] * 4, abs=1e-4)
    assert plan[0, 4:].sum() == pytest.approx(0.0, abs=1e-3)


def test_a_departure_comes_before_a_ceiling_which_is_exceeded_by_as_little_as_can_be() -> None:
    """11 kWh in four periods need 11 kW all the time: the ceiling of 4 kW cannot be kept in any of them."""
    vehicle = car(departs=4, wanted=11.0)
    plan = steer([vehicle], ceiling(p1=4.0, p2=4.0), np.zeros(PERIODS), COSTS)
    assert energies([vehicle], plan)[0, 4] == pytest.approx(21.0, abs=1e-4)
    # with half an hour more, the excess is shared evenly: 9 kWh of 11 kW at most outside leaves 2.5 kWh a period inside
    vehicle = car(departs=4, wanted=8.0)
    plan = steer([vehicle], ceiling(p1=4.0, p2=4.0), np.zeros(PERIODS), COSTS)
    assert plan[0, 1] == pytest.approx(plan[0, 2], abs=1e-4)
    assert plan[0, 1] == pytest.approx(5.0, abs=1e-3)
    assert plan[0, [0, 3]] == pytest.approx([11.0, 11.0], abs=1e-3)


def test_no_more_is_taken_out_of_a_battery_than_the_ceiling_needs() -> None:
    plan = steer([car(discharge=7.0, wanted=0.0)], ceiling(p2=-2.0), np.zeros(PERIODS), COSTS)
    assert plan[0, 2] == pytest.approx(-2.0, abs=1e-5)
    assert plan[0].min() == pytest.approx(-2.0, abs=1e-5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fleet=fleets(most=4),
    limits=st.lists(st.none() | st.floats(-30, 60), min_size=PERIODS, max_size=PERIODS),
    others=st.floats(-20, 40),
)
def test_every_plan_can_be_driven(fleet: list[FlexVehicle], limits: list[float | None], others: float) -> None:
    """Whatever is agreed, whoever is there: limits, floors and departures are kept when the plan is walked through."""
    series = np.array([np.inf if limit is None else limit for limit in limits])
    plan = steer(fleet, series, np.full(PERIODS, others), COSTS)
    assert faults(fleet, plan) == []


def test_a_depot_under_a_ceiling_that_can_be_kept_keeps_it() -> None:
    vehicles = depot(30, PERIODS * 2)
    own = uncontrolled(vehicles, PERIODS * 2).sum(axis=0)
    series = np.full(PERIODS * 2, np.inf)
    series[16:24] = own[16:24] * 0.6
    plan = steer(vehicles, series, np.zeros(PERIODS * 2), COSTS)
    assert (plan.sum(axis=0)[16:24] <= series[16:24] + 1e-4).all()
    assert faults(vehicles, plan) == []
