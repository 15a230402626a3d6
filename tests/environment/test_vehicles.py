"""Energy is conserved, limits are kept, and the result does not depend on the length of the steps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environment.vehicles import Fleet, Vehicle

vehicles = st.builds(
    Vehicle,
    vehicle_id=st.just("v"),
    capacity_kwh=st.floats(10, 120),
    max_charge_kw=st.floats(0, 50),
    max_discharge_kw=st.floats(0, 50),
    soc=st.floats(0, 1),
    floor_soc=st.floats(0, 0.5),
    efficiency_charge=st.floats(0.7, 1),
    efficiency_discharge=st.floats(0.7, 1),
    taper_soc=st.floats(0.5, 0.95),
    taper_final=st.floats(0.05, 0.9),
)
setpoints = st.floats(-60, 60)


def one(**changes: float) -> Fleet:
    values = {"capacity_kwh": 60.0, "max_charge_kw": 11.0, "max_discharge_kw": 10.0, "soc": 0.5} | changes
    fleet = Fleet([Vehicle("v", **values)])  # type: ignore[arg-type]
    fleet.connected[:] = True
    return fleet


def kw(value: float) -> np.ndarray:
    return np.array([value])


@given(vehicle=vehicles, setpoint=setpoints, seconds=st.floats(0.1, 20_000))
def test_what_the_grid_gives_less_the_losses_is_in_the_battery(
    vehicle: Vehicle, setpoint: float, seconds: float
) -> None:
    fleet = Fleet([vehicle])
    fleet.connected[:] = True
    before = fleet.energy_kwh.copy()
    mean_kw = fleet.step(kw(setpoint), seconds)
    stored = fleet.imported_kwh * vehicle.efficiency_charge - fleet.exported_kwh / vehicle.efficiency_discharge
    assert fleet.energy_kwh - before == pytest.approx(stored, abs=1e-9)
    assert mean_kw * seconds / 3600 == pytest.approx(fleet.imported_kwh - fleet.exported_kwh, abs=1e-9)
    assert 0 <= fleet.energy_kwh[0] <= vehicle.capacity_kwh
    assert -vehicle.max_discharge_kw - 1e-9 <= mean_kw[0] <= vehicle.max_charge_kw + 1e-9
    if setpoint < 0:
        assert fleet.energy_kwh[0] >= min(before[0], fleet.floor_kwh[0])


@settings(max_examples=60)
@given(vehicle=vehicles, setpoint=setpoints, parts=st.integers(2, 200), stop=st.floats(0, 1))
def test_many_short_steps_end_where_one_long_step_does(
    vehicle: Vehicle, setpoint: float, parts: int, stop: float
) -> None:
    long, short = Fleet([vehicle]), Fleet([vehicle])
    long.connected[:] = short.connected[:] = True
    stop_kwh = kw(stop * vehicle.capacity_kwh)
    long.step(kw(setpoint), 7200.0, stop_kwh)
    for _ in range(parts):
        short.step(kw(setpoint), 7200.0 / parts, stop_kwh)
    assert short.energy_kwh == pytest.approx(long.energy_kwh, abs=1e-7)
    assert short.imported_kwh == pytest.approx(long.imported_kwh, abs=1e-7)


def test_the_taper_is_the_solution_of_its_differential_equation() -> None:
    fleet = one(soc=0.8, taper_soc=0.85, taper_final=0.1)
    energy, knee, full = 48.0, 51.0, 11.0 * 0.94
    for _ in range(20_000):  # two hours, explicit Euler
        limit = full * (1 - 0.9 * max(energy - knee, 0) / 9.0)
        energy += limit * 2 / 20_000
    fleet.step(kw(11.0), 7200.0)
    assert fleet.energy_kwh[0] == pytest.approx(energy, abs=2e-3)


def test_a_setpoint_below_the_curve_is_followed_until_the_curve_is_lower() -> None:
    fleet = one(soc=0.86, taper_soc=0.85, taper_final=0.1)
    assert fleet.power_kw(kw(5.0)) == pytest.approx(5.0)
    assert fleet.step(kw(5.0), 60.0) == pytest.approx(5.0)
    fleet.energy_kwh[:] = 59.9
    assert fleet.power_kw(kw(5.0))[0] == pytest.approx(fleet.charge_limit_kw()[0])
    assert fleet.power_kw(kw(5.0))[0] < 1.3


def test_a_vehicle_gets_full_in_finite_time_and_then_takes_nothing() -> None:
    fleet = one(soc=0.95)
    fleet.step(kw(11.0), 6 * 3600.0)
    assert fleet.soc[0] == 1.0
    assert fleet.power_kw(kw(11.0))[0] == 0.0
    assert fleet.step(kw(11.0), 60.0)[0] == 0.0


def test_charging_ends_exactly_where_it_is_to_stop() -> None:
    fleet = one(soc=0.5)
    mean = fleet.step(kw(11.0), 2 * 3600.0, kw(36.0))
    assert fleet.energy_kwh[0] == 36.0
    assert mean[0] == pytest.approx(6.0 / 0.94 / 2)


def test_discharging_ends_exactly_at_the_floor() -> None:
    fleet = one(soc=0.3, floor_soc=0.2)
    mean = fleet.step(kw(-10.0), 3600.0)
    assert fleet.energy_kwh[0] == fleet.floor_kwh[0]
    assert mean[0] == pytest.approx(-6.0 * 0.94)
    assert fleet.power_kw(kw(-10.0))[0] == 0.0


def test_a_round_trip_loses_both_efficiencies() -> None:
    fleet = one(soc=0.5, floor_soc=0.5)
    fleet.step(kw(5.0), 3600.0)
    fleet.step(kw(-10.0), 3600.0)
    assert fleet.soc[0] == 0.5
    assert fleet.exported_kwh[0] / fleet.imported_kwh[0] == pytest.approx(0.94 * 0.94)


def test_only_a_connected_vehicle_takes_or_gives() -> None:
    fleet = Fleet([Vehicle("a", 60, 11, 10), Vehicle("b", 60, 11, 10)])
    fleet.connected[1] = True
    assert fleet.step(np.array([11.0, -10.0]), 60.0).tolist() == pytest.approx([0.0, -10.0])
    assert fleet.soc[0] == 0.5


def test_no_time_gives_the_power_of_this_moment() -> None:
    fleet = one()
    assert fleet.step(kw(7.0), 0.0)[0] == 7.0
    assert fleet.imported_kwh[0] == 0.0


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_time_does_not_run_backwards(seconds: float) -> None:
    with pytest.raises(ValueError, match="backwards"):
        one().step(kw(1.0), seconds)


def test_a_setpoint_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        one().step(kw(float("nan")), 1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("capacity_kwh", 0.0), ("soc", 1.1), ("efficiency_charge", 0.0), ("taper_soc", 1.0), ("max_charge_kw", -1.0)],
)
def test_a_vehicle_that_cannot_be_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"vehicle v: {name} is {value}"):
        one(**{name: value})


def test_two_vehicles_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="vehicle a is there twice"):
        Fleet([Vehicle("a", 60, 11, 10), Vehicle("a", 60, 11, 10)])
