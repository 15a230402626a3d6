"""The world's power flow is pandapower's own, and the operator's fast one agrees with it."""

from __future__ import annotations

import numpy as np
import pandapower as pp
import pytest

from environment.grid import Grid, PowerFlowError
from environment.physical_grid import PhysicalGrid


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid.load("rural2")


@pytest.fixture(scope="module")
def physical(grid: Grid) -> PhysicalGrid:
    return PhysicalGrid(grid)


def powers(grid: Grid, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Households, some PV, some cars that feed in."""
    rng = np.random.default_rng(seed)
    return rng.uniform(-6.0, 9.0, len(grid.buses)), rng.uniform(-1.0, 2.0, len(grid.buses))


def plain(grid: Grid, p_kw: np.ndarray, q_kvar: np.ndarray) -> pp.pandapowerNet:
    """`pandapower.runpp` as the manual has it, on a net of its own."""
    net = pp.from_json_string(pp.to_json(grid.net))
    net.load, net.sgen = net.load.iloc[:0], net.sgen.iloc[:0]
    low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
    for bus, p, q in zip(low, p_kw, q_kvar, strict=True):
        pp.create_load(net, bus, p / 1e3, q / 1e3)
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    return net


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_plain_pandapower_says(grid: Grid, physical: PhysicalGrid, seed: int) -> None:
    """Voltages, loadings, power and losses; minute after minute on the same net, so that nothing is carried along."""
    p_kw, q_kvar = powers(grid, seed)
    state = physical.solve(p_kw, q_kvar)
    net = plain(grid, p_kw, q_kvar)
    low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
    assert state.vm_pu == pytest.approx(net.res_bus.vm_pu.loc[low].to_numpy(), abs=1e-7)
    assert state.line_loading_percent == pytest.approx(net.res_line.loading_percent.to_numpy(), abs=1e-3)
    assert state.trafo_loading_percent == pytest.approx(net.res_trafo.loading_percent.iloc[0], abs=1e-3)
    assert state.trafo_p_kw == pytest.approx(net.res_trafo.p_hv_mw.iloc[0] * 1e3, abs=1e-3)
    assert state.trafo_q_kvar == pytest.approx(net.res_trafo.q_hv_mvar.iloc[0] * 1e3, abs=1e-3)
    losses_kw = (net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum()) * 1e3
    assert state.losses_kw == pytest.approx(losses_kw, abs=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_operators_fast_power_flow_says_the_same(grid: Grid, physical: PhysicalGrid, seed: int) -> None:
    p_kw, q_kvar = powers(grid, 100 + seed)
    slow, fast = physical.solve(p_kw, q_kvar), grid.solve(p_kw, q_kvar)
    assert slow.vm_pu == pytest.approx(fast.vm_pu, abs=1e-6)
    assert slow.line_loading_percent == pytest.approx(fast.line_loading_percent, abs=1e-2)
    assert slow.trafo_loading_percent == pytest.approx(fast.trafo_loading_percent, abs=1e-2)
    assert slow.losses_kw == pytest.approx(fast.losses_kw, abs=1e-2)


def test_what_goes_in_is_what_is_drawn_and_lost(grid: Grid, physical: PhysicalGrid) -> None:
    p_kw, q_kvar = powers(grid, 7)
    state = physical.solve(p_kw, q_kvar)
    assert state.trafo_p_kw == pytest.approx(p_kw.sum() + state.losses_kw, abs=1e-3)
    assert state.losses_kw > 0


def test_the_same_minute_twice_is_the_same_whatever_was_in_between(grid: Grid, physical: PhysicalGrid) -> None:
    p_kw, q_kvar = powers(grid, 8)
    before = physical.solve(p_kw, q_kvar)
    physical.solve(-3 * p_kw, q_kvar)
    after = physical.solve(p_kw, q_kvar)
    assert after.vm_pu == pytest.approx(before.vm_pu, abs=1e-7)


def test_more_than_the_network_can_carry_is_one_line_and_the_next_minute_is_solved(
    grid: Grid, physical: PhysicalGrid
) -> None:
    p_kw, q_kvar = powers(grid, 9)
    before = physical.solve(p_kw, q_kvar)
    with pytest.raises(PowerFlowError, match=r"network 'rural2' cannot carry \d+ kW: the power flow has no solution"):
        physical.solve(np.full(len(grid.buses), 5_000.0), q_kvar)
    assert physical.solve(p_kw, q_kvar).vm_pu == pytest.approx(before.vm_pu, abs=1e-7)


def test_the_operators_own_model_is_not_touched(grid: Grid) -> None:
    loads = grid.net.load.copy()
    PhysicalGrid(grid).solve(*powers(grid, 10))
    assert grid.net.load.equals(loads)
