"""The power flow: against a calculation by hand, against pandapower, against what must hold in any case."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pytest

from environment.grid import Grid, GridError, PowerFlowError, networks

R_OHM, X_OHM, VOLTS = 0.12, 0.04, 400.0


def two_buses() -> Grid:
    """A source, a transformer that hardly counts, a line of 0.12 + j0.04 ohm, a bus."""
    net = pp.create_empty_network(name="two")
    high, low, end = (pp.create_bus(net, kv, name=name) for kv, name in ((20, "mv"), (0.4, "lv"), (0.4, "end")))
    pp.create_ext_grid(net, high, vm_pu=1.0)
    pp.create_transformer_from_parameters(
        net, high, low, 1.0, 20.0, 0.4, vkr_percent=1.0, vk_percent=5.0, pfe_kw=0.0, i0_percent=0.0, name="trafo"
    )
    pp.create_line_from_parameters(net, low, end, 1.0, R_OHM, X_OHM, 0.0, 0.2, name="line")
    return Grid(net)


@pytest.fixture(scope="module")
def rural() -> Grid:
    return Grid.load("rural2")


@pytest.mark.parametrize(("p_kw", "q_kvar"), [(40.0, 0.0), (60.0, 15.0), (-35.0, 0.0), (0.0, -20.0)])
def test_the_voltage_of_two_buses_is_the_one_calculated_by_hand(p_kw: float, q_kvar: float) -> None:
    """|V|^2 is the larger root of V^4 + (2 (R P + X Q) - E^2) V^2 + (R^2 + X^2) (P^2 + Q^2) = 0."""
    base = VOLTS**2 / 1e6
    r = R_OHM + 0.01 * base
    x = X_OHM + math.sqrt(0.05**2 - 0.01**2) * base
    p, q = p_kw * 1e3, q_kvar * 1e3
    half = VOLTS**2 / 2 - (r * p + x * q)
    by_hand = math.sqrt(half + math.sqrt(half**2 - (r**2 + x**2) * (p**2 + q**2))) / VOLTS
    state = two_buses().solve({"end": p_kw}, {"end": q_kvar})
    assert state.vm_pu[state.buses.index("end")] == pytest.approx(by_hand, abs=1e-9)
    amps = math.hypot(p, q) / (math.sqrt(3) * by_hand * VOLTS)
    assert state.line_loading_percent[0] == pytest.approx(100 * amps / 200, abs=1e-6)
    assert state.losses_kw == pytest.approx(3 * amps**2 * r / 1e3, abs=1e-6)


def reference(grid: Grid, p_kw: np.ndarray, q_kvar: np.ndarray) -> Any:
    """pandapower's own answer, one load at each bus."""
    net = pp.from_json_string(pp.to_json(grid.net))
    net.load, net.sgen = net.load.iloc[:0], net.sgen.iloc[:0]
    for bus, p, q in zip(net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]], p_kw, q_kvar, strict=True):
        pp.create_load(net, bus, p / 1e3, q / 1e3)
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    return net


@pytest.mark.parametrize("transformer", [None, "0.25 MVA 20/0.4 kV Dyn5 ASEA", "0.63 MVA 20/0.4 kV Dyn5 ASEA"])
def test_every_result_is_pandapowers_from_feeding_back_to_twice_the_rating(transformer: str | None) -> None:
    grid = Grid.load("rural2", transformer=transformer)
    rng = np.random.default_rng(3)
    for mean_kw in (-1.5, 0.0, 1.0, 3.2):
        p, q = rng.normal(mean_kw, 1.0, len(grid.buses)), rng.normal(0.3, 0.3, len(grid.buses))
        state, net = grid.solve(p, q), reference(grid, p, q)
        low = net.bus.index != net.ext_grid.bus.iloc[0]
        np.testing.assert_allclose(state.vm_pu, net.res_bus.vm_pu[low], atol=1e-8)
        np.testing.assert_allclose(state.line_loading_percent, net.res_line.loading_percent, atol=1e-4)
        assert state.trafo_loading_percent == pytest.approx(net.res_trafo.loading_percent.iloc[0], abs=1e-4)
        assert state.trafo_p_kw == pytest.approx(net.res_trafo.p_hv_mw.iloc[0] * 1e3, abs=1e-4)
        assert state.trafo_q_kvar == pytest.approx(net.res_trafo.q_hv_mvar.iloc[0] * 1e3, abs=1e-4)
        losses = net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()
        assert state.losses_kw == pytest.approx(losses * 1e3, abs=1e-4)


@pytest.mark.parametrize("line", ["48-AL1/8-ST1A 0.4", "NAYY 4x50 SE", "NAYY 4x150SE 0.6/1kV"])
def test_a_line_type_of_pandapowers_or_the_networks_own_is_put_on_every_line(line: str, rural: Grid) -> None:
    grid = Grid.load("rural2", line=line)
    assert set(grid.net.line.std_type) == {line}
    assert grid.net.line.length_km.tolist() == rural.net.line.length_km.tolist()
    ohm = {"48-AL1/8-ST1A 0.4": 0.5939, "NAYY 4x50 SE": 0.642, "NAYY 4x150SE 0.6/1kV": 0.2067}[line]
    assert set(grid.net.line.r_ohm_per_km) == {ohm}
    p = np.full(len(grid.buses), 0.7)
    net = reference(grid, p, 0.2 * p)
    state = grid.solve(p, 0.2 * p)
    np.testing.assert_allclose(state.vm_pu, net.res_bus.vm_pu[net.bus.index != net.ext_grid.bus.iloc[0]], atol=1e-8)
    np.testing.assert_allclose(state.line_loading_percent, net.res_line.loading_percent, atol=1e-4)


def test_a_higher_source_raises_every_voltage_by_as_much(rural: Grid) -> None:
    raised = Grid.load("rural2", source_pu=1.05)
    zero = np.zeros(len(rural.buses))
    np.testing.assert_allclose(raised.solve(zero).vm_pu - rural.solve(zero).vm_pu, 0.025, atol=1e-3)


def test_every_bus_hangs_on_one_feeder_and_the_first_has_the_first_bus(rural: Grid) -> None:
    assert list(rural.feeders) == ["feeder-1", "feeder-2", "feeder-3", "feeder-4", "busbar"]
    assert sorted(bus for buses in rural.feeders.values() for bus in buses) == sorted(rural.buses)
    firsts = [rural.index(buses[0]) for feeder, buses in rural.feeders.items() if feeder != "busbar"]
    assert firsts == sorted(firsts)
    for feeder, buses in rural.feeders.items():
        assert [rural.index(bus) for bus in buses] == sorted(rural.index(bus) for bus in buses)
        assert {rural.feeder_of(bus) for bus in buses} == {feeder}
    assert len(rural.feeders["busbar"]) == 1


def test_what_a_feeder_draws_lowers_its_own_voltages_more_than_the_others(rural: Grid) -> None:
    """Behind the busbar feeders are independent: all that another one feels is the transformer's drop."""
    empty = rural.solve({})
    for feeder, buses in rural.feeders.items():
        if feeder == "busbar":
            continue
        drop = empty.vm_pu - rural.solve(dict.fromkeys(buses, 1.0)).vm_pu
        [busbar] = (rural.index(bus) for bus in rural.feeders["busbar"])
        own = {rural.index(bus) for bus in buses}
        for bus in range(len(rural.buses)):
            if bus in own:
                assert drop[bus] > drop[busbar] + 1e-6
            else:
                assert drop[bus] == pytest.approx(drop[busbar], abs=1e-5)


def test_a_tap_and_a_network_from_elsewhere_are_solved_as_well(tmp_path: Path) -> None:
    import pandapower.networks as pn

    net = pn.create_kerber_dorfnetz()
    net.name = "village"
    net.bus["name"] = [f"bus {index}" for index in net.bus.index]
    net.trafo["tap_pos"], net.trafo["tap_changer_type"], net.trafo["tap_side"] = 1, "Ratio", "hv"
    net.trafo["tap_neutral"], net.trafo["tap_step_percent"] = 0, 2.5
    net.trafo["tap_step_degree"] = 0.0
    path = tmp_path / "village.json"
    pp.to_json(net, str(path))
    grid = Grid.load(str(path))
    p = np.full(len(grid.buses), 0.4)
    np.testing.assert_allclose(grid.solve(p).vm_pu, reference(grid, p, 0 * p).res_bus.vm_pu.iloc[1:], atol=1e-8)


def test_what_comes_in_is_what_is_drawn_plus_the_losses(rural: Grid) -> None:
    p = np.random.default_rng(5).normal(1.0, 2.0, (40, len(rural.buses)))
    for state in rural.solve_many(p, 0.2 * p):
        assert state.trafo_p_kw == pytest.approx(state.p_kw.sum() + state.losses_kw, abs=1e-9)
        assert state.losses_kw > 0


def test_charging_lowers_the_voltage_and_discharging_raises_it(rural: Grid) -> None:
    bus = rural.places["office"][0]
    index = rural.index(bus)
    empty, charging, discharging = (rural.solve({bus: kw}) for kw in (0.0, 50.0, -50.0))
    assert charging.vm_pu[index] < empty.vm_pu[index] < discharging.vm_pu[index]
    assert charging.trafo_p_kw > 50 > -40 > discharging.trafo_p_kw > -50


def test_a_state_solved_alone_is_the_state_solved_among_many(rural: Grid) -> None:
    p = np.random.default_rng(8).normal(1.0, 1.0, (3, len(rural.buses)))
    for row, state in enumerate(rural.solve_many(p)):
        np.testing.assert_allclose(rural.solve(p[row]).vm_pu, state.vm_pu, atol=1e-9)


def test_more_than_the_network_can_carry_is_said_so(rural: Grid) -> None:
    with pytest.raises(PowerFlowError, match="cannot carry 5000 kW"):
        rural.solve({rural.buses[0]: 5000.0})


def test_the_shipped_network_has_its_office_its_households_and_where_it_came_from(rural: Grid) -> None:
    assert networks() == ("cigre_mv", "rural2")
    assert len(rural.places["office"]) == 1
    assert len(rural.places["households"]) >= 30
    assert set(rural.places["office"] + rural.places["households"]) <= set(rural.buses)
    office = rural.index(rural.places["office"][0])
    assert office in rural.pv_bus, "the office has the rooftop PV"
    assert rural.net.provenance["licence"] == "ODbL 1.0"
    assert len(rural.net.provenance["changes"]) == 4
    assert rural.resolve("office") == rural.places["office"]
    assert rural.resolve(rural.buses[3]) == (rural.buses[3],)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda grid: grid.solve({"nowhere": 1.0}), "no low-voltage bus 'nowhere'"),
        (lambda grid: grid.resolve("moon"), "no low-voltage bus 'moon'"),
        (lambda grid: grid.solve(np.ones(3)), "96 buses"),
        (lambda grid: grid.solve({grid.buses[0]: math.nan}), "not a finite number"),
        (lambda grid: Grid.load("rural9"), "'rural9' is not shipped; there is cigre_mv, rural2"),
        (lambda grid: Grid.load("/no/such.json"), "cannot be read"),
        (lambda grid: Grid.load("rural2", transformer="1 GVA"), "no transformer type '1 GVA'; there is 0.16 MVA"),
        (lambda grid: Grid.load("rural2", line="rope"), "no low-voltage line type 'rope'; there is 15-AL1/3-ST1A 0.4,"),
        (lambda grid: Grid.load("rural2", line="48-AL1/8-ST1A 20.0"), "no low-voltage line type '48-AL1/8-ST1A 20.0'"),
        (lambda grid: Grid.load("rural2", source_pu=1.2), "source_pu is 1.2, outside 0.9 to 1.1 per unit"),
        (lambda grid: Grid.load("rural2", source_pu=math.nan), "source_pu is nan, outside 0.9 to 1.1 per unit"),
        (lambda grid: grid.feeder_of("nowhere"), "no low-voltage bus 'nowhere'"),
    ],
)
def test_what_does_not_exist_is_named(rural: Grid, ask: Any, says: str) -> None:
    with pytest.raises(GridError, match=says):
        ask(rural)


@pytest.mark.parametrize("text", ["", "no json", "{}", "[1]", '{"_module": "os", "_class": "x", "_object": 1}'])
def test_a_file_that_is_no_network_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(GridError, match=r"bad\.json: cannot be read"):
        Grid.load(str(path))


def test_a_network_with_an_element_that_is_not_covered_is_refused() -> None:
    """A load of constant impedance passes every check of the tables; only the comparison with pandapower sees it."""
    net = two_buses().net
    pp.create_load(net, 2, p_mw=0.06, const_z_p_percent=100.0)
    with pytest.raises(GridError, match="differs from pandapower's"):
        Grid(net)
    net.load["in_service"] = False
    with pytest.raises(GridError, match="every load must be in service"):
        Grid(net)


def test_what_is_said_of_a_state_is_not_changed_afterwards(rural: Grid) -> None:
    state = rural.solve({rural.buses[0]: 5.0})
    with pytest.raises(ValueError, match="read-only"):
        state.vm_pu[0] = 2.0


def test_the_medium_voltage_feeder_is_solved_as_pandapower_solves_it_with_the_sun_and_in_the_evening() -> None:
    grid = Grid.load("cigre_mv")
    rng = np.random.default_rng(4)
    for mean_kw in (-300.0, 0.0, 350.0):
        p, q = rng.normal(mean_kw, 100.0, len(grid.buses)), rng.normal(40.0, 30.0, len(grid.buses))
        state, net = grid.solve(p, q), reference(grid, p, q)
        own = net.bus.index != net.ext_grid.bus.iloc[0]
        np.testing.assert_allclose(state.vm_pu, net.res_bus.vm_pu[own], atol=1e-8)
        np.testing.assert_allclose(state.line_loading_percent, net.res_line.loading_percent, atol=1e-4)
        assert state.trafo_p_kw == pytest.approx(net.res_trafo.p_hv_mw.iloc[0] * 1e3, abs=1e-4)


def test_the_medium_voltage_feeder_is_cigres_and_says_what_was_changed() -> None:
    """CIGRE TF C6.04.02: the first feeder has 14.34 km of cable and 4.32 MW of load beyond bus 1."""
    grid = Grid.load("cigre_mv")
    net = grid.net
    assert grid.buses == tuple(f"Bus {number}" for number in range(1, 12))
    assert len(grid.feeders) == 2, "one feeder, and the busbar"
    beyond = net.load[net.load.bus > 1]
    assert beyond.p_mw.sum() == pytest.approx(4.3191, abs=1e-3)
    assert net.line.length_km.sum() == pytest.approx(14.34, abs=1e-6)
    assert set(net.load.profile) == {"homes", "trade"}
    rated = dict(zip(net.line.name, net.line.max_i_ka * net.line.df, strict=True))
    assert {name for name, ka in rated.items() if ka != 0.145} == {"Line 3-8"}
    assert any("Line 3-8" in change for change in net["provenance"]["changes"])


def test_what_a_medium_voltage_network_has_not_is_named_by_its_voltage() -> None:
    with pytest.raises(GridError, match="has no medium-voltage bus 'Bus 12'"):
        Grid.load("cigre_mv").index("Bus 12")
    with pytest.raises(GridError, match="no medium-voltage line type 'NAYY 4x150 SE'"):
        Grid.load("cigre_mv", line="NAYY 4x150 SE")
