"""Vehicles as a planner sees them: bounds that are tight, charging on arrival, walking a plan."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.fleet import Fleet, FlexVehicle, energies, follow, uncontrolled
from tests.agents.decisions.fleets import PERIODS, faults, fleets

CAR = FlexVehicle("car", 50.0, 20.0, 10.0, 40.0, 2, 20, 10.0, 10.0, 0.8, 0.8)


def test_uncontrolled_charging_starts_on_arrival_and_ends_with_a_partial_period() -> None:
    # 20 kWh into the battery at 80 % are 25 kWh from the grid: ten periods of 10 kW
    car = dataclasses.replace(CAR, required_kwh=41.0)
    power = uncontrolled([car], 24)[0]
    assert power[:2].tolist() == [0.0, 0.0]
    assert power[2:12].tolist() == [10.0] * 10
    assert power[12] == pytest.approx(1.0 / 0.8 * 4)
    assert power[13:].sum() == 0
    assert energies([car], power[None, :])[0, -1] == pytest.approx(41.0)


def test_uncontrolled_charging_stops_at_departure() -> None:
    car = dataclasses.replace(CAR, departure_period=4)
    assert uncontrolled([car], 24)[0].tolist() == [0, 0, 10, 10] + [0] * 20


def test_a_vehicle_that_has_what_it_needs_does_nothing() -> None:
    assert not uncontrolled([dataclasses.replace(CAR, required_kwh=15.0)], 24).any()


def test_nobody_draws_nothing() -> None:
    assert uncontrolled([], 24).shape == (0, 24)


def test_what_leaves_the_battery_is_more_than_what_reaches_the_grid() -> None:
    stored = energies([CAR], np.array([[8.0, -8.0]]))
    assert stored[0].tolist() == pytest.approx([20.0, 21.6, 19.1])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("capacity_kwh", 0.0, "capacity_kwh must be above 0"),
        ("energy_kwh", 60.0, "energy_kwh must lie within"),
        ("floor_kwh", -1.0, "floor_kwh must lie within"),
        ("required_kwh", float("nan"), "required_kwh must lie within"),
        ("departure_period", 2, "depart after it arrives"),
        ("max_charge_kw", float("inf"), "max_charge_kw must be finite"),
        ("max_discharge_kw", -1.0, "max_discharge_kw must be finite"),
        ("efficiency_charge", 0.0, "efficiency_charge must be in"),
        ("efficiency_discharge", 1.1, "efficiency_discharge must be in"),
    ],
)
def test_a_vehicle_that_cannot_be_is_refused_by_name(field: str, value: float, words: str) -> None:
    with pytest.raises(ValueError, match=f"vehicle car: .*{words}"):
        dataclasses.replace(CAR, **{field: value})


@given(fleets())
def test_charging_on_arrival_keeps_everything_that_is_asked(fleet: list[FlexVehicle]) -> None:
    assert faults(fleet, uncontrolled(fleet, PERIODS)) == []


@given(fleets(), st.integers(0, 2**32 - 1))
def test_following_any_wish_keeps_everything_that_is_asked(fleet: list[FlexVehicle], seed: int) -> None:
    wish = np.random.default_rng(seed).uniform(-30, 30, (len(fleet), PERIODS))
    assert faults(fleet, follow(Fleet.of(fleet, PERIODS), wish)) == []


@given(fleets(), st.integers(0, 2**32 - 1))
def test_following_what_can_be_kept_changes_nothing(fleet: list[FlexVehicle], seed: int) -> None:
    table = Fleet.of(fleet, PERIODS)
    kept = follow(table, np.random.default_rng(seed).uniform(-30, 30, (len(fleet), PERIODS)))
    assert np.allclose(follow(table, kept), kept, atol=1e-9)


@pytest.mark.parametrize("energy", [20.0, 45.0])
def test_nobody_leaves_with_more_than_was_wanted_or_brought(energy: float) -> None:
    car = dataclasses.replace(CAR, energy_kwh=energy)
    greedy = follow(Fleet.of([car], 24), np.full((1, 24), 10.0))
    stored = energies([car], greedy)[0]
    assert stored[-1] == pytest.approx(max(energy, 40.0))
    assert stored.max() > 45.0  # more in between, to be given back, is allowed


@given(fleets())
def test_the_bounds_can_be_reached_from_each_other(fleet: list[FlexVehicle]) -> None:
    table = Fleet.of(fleet, PERIODS)
    rise = np.where(table.present, (table.charge * table.efficiency_in)[:, None] / 4, 0)
    fall = np.where(table.present, (table.discharge / table.efficiency_out)[:, None] / 4, 0)
    assert (table.low <= table.high).all()
    # from the lowest energy the next lowest is within reach upwards, from the highest the next highest downwards
    assert (table.low[:, :-1] + rise >= table.low[:, 1:] - 1e-9)[table.present].all()
    assert (table.high[:, :-1] - fall <= table.high[:, 1:] + 1e-9)[table.present].all()
