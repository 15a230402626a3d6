"""The estimate must beat the meters it is made from, name the broken ones, and say when it has nothing to say."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest
from pandapower.create import create_measurement
from pandapower.estimation import estimate as pandapowers_estimate

from agents.grid_view import Floats, GridState
from agents.voltage_view import Estimate
from environment.estimation import MeterNoise, MeterReadings, NetworkMeters, StateEstimator, metered_at
from environment.grid import Grid, GridError

NOISE = MeterNoise()


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid.load("rural2")


@pytest.fixture(scope="module")
def metered(grid: Grid) -> tuple[str, ...]:
    return metered_at(grid, 6)


@pytest.fixture(scope="module")
def estimator(grid: Grid) -> StateEstimator:
    return StateEstimator(grid)


class Case:
    """One moment: what is forecast, what truly is (the same for each seed), and what the meters say of it."""

    def __init__(self, grid: Grid, metered: tuple[str, ...], seed: int, *, pv: bool = False, cars: int = 30) -> None:
        rng = np.random.default_rng(seed)
        n = len(grid.buses)
        loaded = np.zeros(n)
        loaded[grid.load_bus] = 1.0
        roofs = np.zeros(n)
        if pv:
            roofs[grid.pv_bus] = -rng.uniform(5, 20)
        load = loaded * rng.uniform(0.2, 1.2)
        self.forecast_p, self.forecast_q, self.pv = load + roofs, 0.3 * load, roofs
        homes = rng.choice(list(grid.places["households"]), size=cars, replace=False).tolist() if cars else []
        self.charger_kw: dict[str, float] = dict.fromkeys(homes, 7.4)
        p = load * rng.lognormal(0, 0.4, n) + loaded * rng.normal(0, 0.4, n) + roofs * rng.normal(1, 0.2, n)
        self.state: GridState = grid.solve(p + grid.by_bus(self.charger_kw), 0.3 * load * rng.lognormal(0, 0.3, n))
        self.meters = NetworkMeters(grid, metered, rng)
        self.readings: MeterReadings = self.meters.read(self.state)

    def estimate(self, estimator: StateEstimator, readings: MeterReadings | None = None) -> Estimate:
        return estimator.estimate(
            readings or self.readings,
            self.forecast_p,
            self.forecast_q,
            charger_kw=self.charger_kw,
            pseudo_pv_kw=self.pv,
        )


def rms(errors: list[Floats]) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate(errors)))))


def test_over_many_states_the_estimate_beats_the_raw_meters_and_the_nearest_meter(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    at = [grid.index(bus) for bus in metered]
    elsewhere = np.setdiff1d(np.arange(len(grid.buses)), at)
    shared = np.array([grid.voltage_drop(row)[0] for row in np.eye(len(grid.buses))])
    nearest = shared[elsewhere][:, at].argmax(axis=1)
    errors: dict[str, list[Floats]] = {}
    for seed in range(40):
        case = Case(grid, metered, seed, pv=seed % 2 == 1, cars=30 * (seed % 4 < 2))
        found, true = case.estimate(estimator), case.state
        assert found.converged
        assert found.dropped == ()
        raw = np.array(list(case.readings.v_pu.values()))
        through = case.meters.drawn_kw(true)
        for name, error in {
            "V raw": raw - true.vm_pu[at],
            "V": found.vm_pu[at] - true.vm_pu[at],
            "V elsewhere": found.vm_pu[elsewhere] - true.vm_pu[elsewhere],
            "V nearest": raw[nearest] - true.vm_pu[elsewhere],
            "P raw": np.append(
                np.array(list(case.readings.p_kw.values())) - true.p_kw[at], case.readings.transformer_p_kw - through
            ),
            "P": np.append(found.p_kw[at] - true.p_kw[at], found.transformer_kw - through),
        }.items():
            errors.setdefault(name, []).append(error)
    assert rms(errors["V"]) < 0.5 * rms(errors["V raw"])
    assert rms(errors["V elsewhere"]) < 0.25 * rms(errors["V nearest"])
    assert rms(errors["V elsewhere"]) < 0.5 * NOISE.voltage_pu
    assert rms(errors["P"]) < rms(errors["P raw"])


def test_the_estimate_is_the_one_of_pandapowers_own_estimate_function(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    """The same measurements, given to pandapower one by one in its table, its vector group left out."""
    case = Case(grid, metered, 5)
    net = copy.deepcopy(grid.net)
    net.trafo["shift_degree"] = 0.0
    net.load.drop(net.load.index, inplace=True)
    net.sgen.drop(net.sgen.index, inplace=True)
    low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
    bus_of = dict(zip(grid.buses, low, strict=True))
    read, noise = case.readings, NOISE
    for kind, forecast, meter, least in (
        ("p", case.forecast_p + grid.by_bus(case.charger_kw), read.p_kw, noise.pseudo_least_kw),
        ("q", case.forecast_q, read.q_kvar, noise.pseudo_least_kvar),
    ):
        charging = grid.by_bus(case.charger_kw) if kind == "p" else np.zeros(len(low))
        for index, name in enumerate(grid.buses):
            base = forecast[index] - charging[index]
            spread = math.hypot(noise.pseudo_part * base, noise.power_part * charging[index], least)
            value = forecast[index]
            if index not in grid.load_bus and index not in grid.pv_bus:
                spread = noise.zero_kw
            if name in meter:
                value = meter[name]
                spread = math.hypot(noise.power_part * math.hypot(read.p_kw[name], read.q_kvar[name]), 0.05)
            create_measurement(net, kind, "bus", value / 1e3, spread / 1e3, bus_of[name])
    for name, value in read.v_pu.items():
        create_measurement(net, "v", "bus", value, noise.voltage_pu, bus_of[name])
    create_measurement(net, "v", "bus", read.transformer_v_pu, noise.voltage_pu, net.trafo.lv_bus.iloc[0])
    create_measurement(net, "v", "bus", read.source_v_pu, noise.source_pu, net.ext_grid.bus.iloc[0])
    spread = math.hypot(0.02 * math.hypot(read.transformer_p_kw, read.transformer_q_kvar), 0.05)
    for kind, value in (("p", read.transformer_p_kw), ("q", read.transformer_q_kvar)):
        create_measurement(net, kind, "trafo", -value / 1e3, spread / 1e3, net.trafo.index[0], side="lv")
    with pytest.warns():  # pandapower's own writing to copies
        assert pandapowers_estimate(net, zero_injection=None)["success"]
    ours = case.estimate(estimator)
    np.testing.assert_allclose(ours.vm_pu, net.res_bus_est.vm_pu[low], atol=1e-6)
    np.testing.assert_allclose(ours.p_kw, net.res_bus_est.p_mw[low] * 1e3, atol=1e-2)
    assert ours.transformer_kw == pytest.approx(-net.res_trafo_est.p_lv_mw.iloc[0] * 1e3, abs=1e-2)


def test_exact_meters_and_an_exact_forecast_give_back_the_state(grid: Grid, estimator: StateEstimator) -> None:
    p = np.zeros(len(grid.buses))
    p[grid.load_bus] = 1.3
    state = grid.solve(p, 0.2 * p)
    silent = MeterNoise(voltage_pu=0, power_part=0, power_least_kw=0, source_pu=0)
    readings = NetworkMeters(grid, grid.buses[5:8], np.random.default_rng(1), silent).read(state)
    found = estimator.estimate(readings, p, 0.2 * p, charger_kw={})
    np.testing.assert_allclose(found.vm_pu, state.vm_pu, atol=1e-6)
    np.testing.assert_allclose(found.p_kw, p, atol=1e-2)
    np.testing.assert_allclose(found.q_kvar, 0.2 * p, atol=1e-2)
    assert found.worst_residual < 0.01


def test_the_transformers_meter_reads_what_pandapower_has_on_its_low_side(grid: Grid, metered: tuple[str, ...]) -> None:
    case = Case(grid, metered, 3)
    net = copy.deepcopy(grid.net)
    net.load.drop(net.load.index, inplace=True)
    net.sgen.drop(net.sgen.index, inplace=True)
    low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
    for bus, p, q in zip(low, case.state.p_kw, case.state.q_kvar, strict=True):
        pp.create_load(net, bus, p / 1e3, q / 1e3)
    pp.runpp(net, numba=False)
    assert case.meters.drawn_kw(case.state) == pytest.approx(-net.res_trafo.p_lv_mw.iloc[0] * 1e3, abs=1e-3)


def test_the_meters_are_as_wrong_as_their_class_and_the_same_seed_reads_the_same(
    grid: Grid, metered: tuple[str, ...]
) -> None:
    case = Case(grid, metered, 1)
    meters = NetworkMeters(grid, metered, np.random.default_rng(9))
    read = [meters.read(case.state) for _ in range(400)]
    at = grid.index(metered[0])
    volts = np.array([each.v_pu[metered[0]] for each in read]) - case.state.vm_pu[at]
    assert np.std(volts) == pytest.approx(0.005, rel=0.15)
    assert abs(np.mean(volts)) < 0.001
    apparent = math.hypot(case.state.p_kw[at], case.state.q_kvar[at])
    power = np.array([each.p_kw[metered[0]] for each in read]) - case.state.p_kw[at]
    assert np.std(power) == pytest.approx(math.hypot(0.02 * apparent, 0.05), rel=0.15)
    again = NetworkMeters(grid, metered, np.random.default_rng(9)).read(case.state)
    assert again == read[0]
    assert again != read[1]


@pytest.mark.parametrize("nonsense", [0.0, 0.82, 1.3, math.nan])
def test_a_voltmeter_that_reads_nonsense_is_dropped_and_named(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator, nonsense: float
) -> None:
    case = Case(grid, metered, 2)
    broken = replace(case.readings, v_pu=dict(case.readings.v_pu) | {metered[1]: nonsense})
    found = case.estimate(estimator, broken)
    assert found.dropped == (f"V at {metered[1]}: {nonsense:.3f} pu",)
    assert np.abs(found.vm_pu - case.state.vm_pu).max() < 0.01
    assert found.worst_residual <= NOISE.residual


def test_a_power_meter_that_reads_nonsense_is_dropped_and_its_forecast_is_taken_again(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    case = Case(grid, metered, 2)
    broken = replace(case.readings, p_kw=dict(case.readings.p_kw) | {metered[0]: 60.0})
    found = case.estimate(estimator, broken)
    assert found.dropped == (f"P at {metered[0]}: 60.000 kW",)
    at = grid.index(metered[0])
    assert abs(found.p_kw[at] - case.state.p_kw[at]) < 3.0


def test_a_transformer_meter_with_its_sign_the_wrong_way_round_is_dropped(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    case = Case(grid, metered, 4)
    turned = replace(case.readings, transformer_p_kw=-case.readings.transformer_p_kw)
    found = case.estimate(estimator, turned)
    assert [each.split(":")[0] for each in found.dropped] == ["P of the transformer"]
    assert abs(found.transformer_kw - case.meters.drawn_kw(case.state)) < 25


def test_cars_that_nobody_reports_are_found_and_no_meter_is_blamed(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    """Six of thirty cars at 7.4 kW are unknown to the operator: 44 kW that no forecast has."""
    case = Case(grid, metered, 6)
    case.charger_kw = dict(list(case.charger_kw.items())[6:])
    found = case.estimate(estimator)
    assert found.dropped == ()
    blind = grid.solve(case.forecast_p + grid.by_bus(case.charger_kw), case.forecast_q)
    true = case.state.vm_pu
    assert rms([found.vm_pu - true]) < 0.5 * rms([blind.vm_pu - true])
    assert abs(found.p_kw.sum() - case.state.p_kw.sum()) < 15 < abs(blind.p_kw.sum() - case.state.p_kw.sum())


def test_meters_that_do_not_answer_leave_the_others(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    case = Case(grid, metered, 7)
    nan = math.nan
    quiet = MeterReadings({}, {}, {}, nan, nan, nan, case.readings.source_v_pu)
    found = case.estimate(estimator, quiet)
    assert found.converged
    assert len(found.dropped) == 3
    forecast = grid.solve(case.forecast_p + grid.by_bus(case.charger_kw), case.forecast_q)
    offset = case.readings.source_v_pu - float(grid.net.ext_grid.vm_pu.iloc[0])
    np.testing.assert_allclose(found.vm_pu, forecast.vm_pu + offset, atol=1e-3)


def test_where_the_estimation_does_not_converge_it_is_the_forecasts_power_flow_and_says_so(
    grid: Grid, metered: tuple[str, ...]
) -> None:
    case = Case(grid, metered, 8)
    found = case.estimate(StateEstimator(grid, max_iterations=1))
    assert not found.converged
    assert math.isinf(found.worst_residual)
    forecast = grid.solve(case.forecast_p + grid.by_bus(case.charger_kw), case.forecast_q)
    np.testing.assert_allclose(found.vm_pu, forecast.vm_pu)
    assert found.transformer_kw == pytest.approx(case.meters.drawn_kw(forecast))


def test_one_estimate_owes_nothing_to_the_one_before(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    first, second = Case(grid, metered, 10), Case(grid, metered, 11, pv=True)
    alone = first.estimate(StateEstimator(grid))
    second.estimate(estimator)
    np.testing.assert_array_equal(first.estimate(estimator).vm_pu, alone.vm_pu)


def test_a_bus_without_load_draws_nothing_and_one_with_a_charger_draws_that(
    grid: Grid, metered: tuple[str, ...], estimator: StateEstimator
) -> None:
    empty = sorted(set(range(len(grid.buses))) - set(grid.load_bus) - set(grid.pv_bus))
    case = Case(grid, (), 12, cars=0)
    bus = grid.buses[empty[-1]]
    case.charger_kw = {bus: 22.0}
    case.state = grid.solve(case.state.p_kw + grid.by_bus(case.charger_kw), case.state.q_kvar)
    found = case.estimate(estimator, NetworkMeters(grid, metered, np.random.default_rng(1)).read(case.state))
    assert found.p_kw[empty[-1]] == pytest.approx(22.0, abs=1.0)
    np.testing.assert_allclose(found.p_kw[empty[:-1]], 0, atol=0.05)


def test_meters_are_placed_apart_and_far_out(grid: Grid) -> None:
    chosen = metered_at(grid, 4)
    assert len({grid.feeder_of(bus) for bus in chosen}) >= 3
    assert metered_at(grid, 2) == chosen[:2]
    with pytest.raises(GridError, match="97 meters for 96 buses"):
        metered_at(grid, 97)


def test_a_meter_at_the_transformers_own_bus_is_the_transformers(grid: Grid) -> None:
    (busbar,) = grid.feeders["busbar"]
    meters = NetworkMeters(grid, [busbar, grid.buses[3], grid.buses[3]], np.random.default_rng(1))
    assert meters.metered == (grid.buses[3],)
    with pytest.raises(GridError, match="no low-voltage bus"):
        NetworkMeters(grid, ["nowhere"], np.random.default_rng(1))
