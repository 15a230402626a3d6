"""What the operator sees and expects of a network with few meters, beside what is true and what comes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agents.decisions.voltage import Flexibility, relieve
from agents.grid_view import GridState, Limits
from agents.voltage_view import Estimate, VoltageModel
from environment.estimation import NetworkMeters, StateEstimator, metered_at
from environment.forecast import Forecaster
from environment.grid import Grid, GridError
from environment.profiles import Profiles
from environment.voltage_model import MeteredNetwork

ZONE = ZoneInfo("Atlantic/Azores")
EVENING = datetime(2026, 1, 20, 21, 49, tzinfo=ZONE)
START = datetime(2026, 1, 20, 22, 0, tzinfo=ZONE)
MEASURED = datetime(2026, 1, 20, 21, 30, tzinfo=ZONE)
"""The quarter hour that had ended last."""
KNOWN = EVENING - timedelta(days=1)
"""Until when the customers' meters were read out."""


class Town:
    """A network with thin cables, its truth in `p_kw` and `q_kvar`, and its operator's view of it."""

    def __init__(self, seed: int = 1) -> None:
        self.grid = Grid.load("rural2", line="NAYY 4x50 SE")
        self.profiles = Profiles.load(self.grid)
        now = self.profiles.periods(MEASURED, 1)
        self.p_kw, self.q_kvar = now.p_kw[0], now.q_kvar[0]
        self.forecaster = Forecaster(self.profiles)
        self.model = MeteredNetwork(
            self.grid,
            self.forecaster,
            NetworkMeters(self.grid, metered_at(self.grid, 6), np.random.default_rng(seed)),
            StateEstimator(self.grid),
            self.true_state,
            ZONE,
        )
        self.homes = self.grid.feeders["feeder-1"][10:40]

    def true_state(self) -> GridState:
        return self.grid.solve(self.p_kw, self.q_kvar, at=EVENING)


@pytest.fixture
def town() -> Town:
    return Town()


def test_it_is_the_port_that_the_dso_uses(town: Town) -> None:
    port: VoltageModel = town.model
    assert port.buses == town.grid.buses
    assert port.feeder_of(town.homes[0]) == "feeder-1"


def test_the_estimate_is_near_the_truth_and_has_its_time(town: Town) -> None:
    cars = dict.fromkeys(town.homes[:8], 3.7)
    town.p_kw = town.p_kw + town.grid.by_bus(cars)
    found = town.model.estimated(EVENING, cars)
    assert found.at == MEASURED
    assert np.abs(found.vm_pu - town.true_state().vm_pu).max() < 0.01
    assert found.p_kw.sum() == pytest.approx(town.p_kw.sum(), rel=0.06)


def test_what_is_expected_is_the_estimate_moved_by_the_forecasts_change_with_the_cars_of_then(town: Town) -> None:
    before, then = dict.fromkeys(town.homes[:4], 7.4), dict.fromkeys(town.homes[4:20], 3.7)
    town.p_kw = town.p_kw + town.grid.by_bus(before)
    estimate = town.model.estimated(EVENING, before)
    state = town.model.expected(START, EVENING, then)
    forecast = town.forecaster.periods(MEASURED, 3, now=KNOWN)
    cars = town.grid.by_bus(then) - town.grid.by_bus(before)
    np.testing.assert_allclose(state.p_kw, estimate.p_kw + cars + forecast.p_kw[2] - forecast.p_kw[0])
    np.testing.assert_allclose(state.q_kvar, estimate.q_kvar + forecast.q_kvar[2] - forecast.q_kvar[0])
    assert state.at == START
    np.testing.assert_allclose(state.vm_pu, town.grid.solve(state.p_kw, state.q_kvar).vm_pu)


def test_cars_that_nobody_reports_are_expected_to_stay(town: Town) -> None:
    town.p_kw = town.p_kw + town.grid.by_bus(dict.fromkeys(town.homes[:6], 7.4))
    town.model.estimated(EVENING, {})
    seen = town.model.expected(START, EVENING, {})
    blind = Town().model.expected(START, EVENING, {})
    assert seen.p_kw.sum() - blind.p_kw.sum() == pytest.approx(44.4, abs=8.0)
    assert seen.lowest()[1] < blind.lowest()[1] - 0.01


def test_an_old_estimate_counts_no_more(town: Town) -> None:
    town.p_kw = town.p_kw + 1.0
    town.model.estimated(EVENING - timedelta(minutes=16), {})
    state = town.model.expected(START, EVENING, {})
    forecast = town.forecaster.periods(START, 1, now=KNOWN)
    np.testing.assert_allclose(state.p_kw, forecast.p_kw[0])


def test_the_caller_may_count_in_another_zone(town: Town) -> None:
    """A week or two earlier clocks were in winter time: half past nine was another hour of UTC."""
    now, start = EVENING.replace(month=4, day=10), START.replace(month=4, day=10)
    ours = town.model.expected(start, now, {})
    np.testing.assert_array_equal(town.model.expected(start.astimezone(UTC), now.astimezone(UTC), {}).p_kw, ours.p_kw)


def test_the_estimation_is_told_what_the_roofs_are_expected_to_give(town: Town) -> None:
    told: list[Any] = []

    class Spy(StateEstimator):
        def estimate(self, *args: Any, **options: Any) -> Estimate:
            told.append((args, options))
            return super().estimate(*args, **options)

    meters = NetworkMeters(town.grid, (), np.random.default_rng(1))
    model = MeteredNetwork(town.grid, town.forecaster, meters, Spy(town.grid), town.true_state, ZONE)
    noon = EVENING.replace(month=6, hour=11)
    model.estimated(noon, {town.homes[0]: 3.7})
    ((args, options),) = told
    forecast = town.forecaster.periods(noon.replace(minute=30), 1, now=noon - timedelta(days=1))
    np.testing.assert_array_equal(args[1], forecast.p_kw[0])
    np.testing.assert_array_equal(args[2], forecast.q_kvar[0])
    np.testing.assert_array_equal(options["pseudo_pv_kw"], forecast.pv_kw_by_bus[0])
    assert options["pseudo_pv_kw"].sum() < -1
    assert options["charger_kw"] == {town.homes[0]: 3.7}


@pytest.mark.parametrize("start", [START - timedelta(minutes=30), START + timedelta(minutes=5)])
def test_a_start_that_is_past_or_no_quarter_hour_is_refused(town: Town, start: datetime) -> None:
    with pytest.raises(GridError, match="no quarter hour"):
        town.model.expected(start, EVENING, {})


def test_more_cars_than_the_network_can_carry_are_shown_as_many_as_it_can(town: Town) -> None:
    state = town.model.expected(START, EVENING, dict.fromkeys(town.homes, 50.0))
    forecast = town.forecaster.periods(START, 1, now=KNOWN)
    cars = state.p_kw - forecast.p_kw[0]
    assert 0 < cars.sum() < 50.0 * len(town.homes)
    assert state.lowest()[1] < 0.85
    with pytest.raises(GridError, match="no low-voltage bus"):
        town.model.expected(START, EVENING, {"nowhere": 1.0})


def test_the_evening_at_which_all_timers_go_off_is_foreseen_and_relieved(town: Town) -> None:
    """The whole way: estimate, look ahead, linear program, AC check; then what truly comes keeps the limits too."""
    town.model.estimated(EVENING, {})
    cars = dict.fromkeys(town.homes[:20], 7.4)
    limits = Limits(transformer_percent=200, line_percent=200)
    expected = town.model.expected(START, EVENING, cars)
    assert expected.lowest()[1] < 0.9
    flexible = {bus: Flexibility(0.0, 7.4) for bus in cars}
    relief = relieve(
        expected, flexible, limits, sensitivity=town.model.sensitivity, solve=town.model.solve, margin_pu=0.01
    )
    assert relief.solved
    assert -148 < sum(relief.change_kw.values()) < 0
    truth = town.profiles.periods(START, 1)
    charging = town.grid.by_bus(cars)
    without = town.grid.solve(truth.p_kw[0] + charging, truth.q_kvar[0])
    helped = town.grid.solve(truth.p_kw[0] + charging + town.grid.by_bus(relief.change_kw), truth.q_kvar[0])
    assert without.lowest()[1] < 0.9 <= helped.lowest()[1]
