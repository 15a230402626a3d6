"""Several networks in one run: each is by itself what it would be alone, and together they look like one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from environment.grid import Grid, GridError, PowerFlowError
from environment.networks import Network, Networks, merged, named
from environment.physical_grid import PhysicalGrid
from environment.scenario_parts import GridPart

BEGIN = datetime(2026, 1, 13, 15, tzinfo=ZoneInfo("Europe/Copenhagen"))
HOUR = timedelta(hours=1)
ONE = GridPart(network="rural2")
SMALL = GridPart(network="rural2", transformer="0.16 MVA 20/0.4 kV DOTE 160/20  SGB", load_scale=0.5)


def loaded(parts: Mapping[str, GridPart]) -> Networks:
    return Networks.load(parts, HOUR)


@pytest.fixture(scope="module")
def alone() -> Networks:
    return loaded({"": ONE})


@pytest.fixture(scope="module")
def two() -> Networks:
    return loaded({"east": ONE, "west": SMALL})


def test_one_network_is_passed_through_as_it_is(alone: Networks) -> None:
    grid = alone.members[0].grid
    assert alone.buses == grid.buses
    assert alone.resolve("office") == grid.resolve("office")
    state = grid.solve({grid.buses[3]: 5.0})
    assert merged([state]) is state
    ours, theirs = alone.minutes(BEGIN, 30), alone.members[0].profiles.minutes(BEGIN, 30)
    assert np.array_equal(ours.p_kw, theirs.p_kw)


def test_two_in_one_power_flow_are_what_pandapower_says_of_each(two: Networks) -> None:
    ours = two.minutes(BEGIN, 1)
    grids = [member.grid for member in two.members]
    together = PhysicalGrid(*grids).solve_each(ours.p_kw[0], ours.q_kvar[0], BEGIN)
    count = len(grids[0].buses)
    for state, grid, rows in zip(together, grids, (slice(0, count), slice(count, None)), strict=True):
        alone = PhysicalGrid(grid).solve(ours.p_kw[0][rows], ours.q_kvar[0][rows], BEGIN)
        assert state.buses == alone.buses
        assert state.vm_pu == pytest.approx(alone.vm_pu, abs=1e-7)
        assert state.trafo_loading_percent == pytest.approx(alone.trafo_loading_percent, abs=1e-4)


def test_what_is_shipped_once_stands_for_two_places_with_names_of_their_own(two: Networks, alone: Networks) -> None:
    assert two.buses == tuple(f"{name} {bus}" for name in ("east", "west") for bus in alone.buses)
    assert two.resolve("west office") == tuple(f"west {bus}" for bus in alone.resolve("office"))
    assert two.resolve("east LV2.101 Bus 21") == ("east LV2.101 Bus 21",)
    assert two.feeder_of("west LV2.101 Bus 21") == alone.feeder_of("LV2.101 Bus 21")
    assert two.network_of("west LV2.101 Bus 21").name == "west"
    assert two["west"].grid.transformer.startswith("west ")
    with pytest.raises(KeyError):
        two["north"]


def test_each_is_what_it_would_be_alone(two: Networks) -> None:
    kw = {"east LV2.101 Bus 21": 30.0, "west LV2.101 Bus 90": 60.0}
    p = np.zeros(len(two.buses))
    for bus, power in kw.items():
        p[two.index(bus)] = power
    together = two.solve(p, np.zeros_like(p), at=BEGIN)
    east = two["east"].grid.solve({"east LV2.101 Bus 21": 30.0})
    west = two["west"].grid.solve({"west LV2.101 Bus 90": 60.0})
    assert together.buses == two.buses
    assert together.vm_pu == pytest.approx(np.concatenate([east.vm_pu, west.vm_pu]))
    assert together.transformer == east.transformer
    assert together.trafo_loading_percent == pytest.approx(east.trafo_loading_percent)
    loading = dict(zip(together.lines, together.line_loading_percent, strict=True))
    assert loading[west.transformer] == pytest.approx(west.trafo_loading_percent)
    assert loading[west.lines[5]] == pytest.approx(west.line_loading_percent[5])
    assert together.trafo_p_kw == pytest.approx(east.trafo_p_kw + west.trafo_p_kw)
    assert together.trafo_p_kw == pytest.approx(90.0 + together.losses_kw)
    assert together.at == BEGIN


def test_the_profiles_lie_side_by_side_each_at_its_own_scale(two: Networks, alone: Networks) -> None:
    both, one = two.minutes(BEGIN, 20), alone.minutes(BEGIN, 20)
    n = len(alone.buses)
    assert both.p_kw.shape == (20, 2 * n)
    assert np.array_equal(both.p_kw[:, :n], one.p_kw)
    assert both.load_kw == pytest.approx(1.5 * one.load_kw)
    assert both.pv_kw == pytest.approx(both.pv_kw_by_bus.sum(axis=1))
    assert both.q_kvar[:, n:] == pytest.approx(0.5 * one.q_kvar)


def test_an_overloaded_network_is_the_one_that_collapses(two: Networks) -> None:
    p = np.zeros(len(two.buses))
    p[two.index("west LV2.101 Bus 90")] = 5_000.0
    with pytest.raises(PowerFlowError, match="has no solution"):
        two.solve(p, np.zeros_like(p))


@pytest.mark.parametrize("ask", [Networks.index, Networks.resolve, Networks.feeder_of, Networks.network_of])
@pytest.mark.parametrize("name", ["LV2.101 Bus 21", "west nowhere", ""])
def test_a_bus_that_is_not_there_is_told(two: Networks, ask: object, name: str) -> None:
    assert callable(ask)
    with pytest.raises(GridError, match="has no low-voltage bus"):
        ask(two, name)


def test_networks_that_cannot_be_told_apart_are_refused(alone: Networks) -> None:
    with pytest.raises(GridError, match="give each network its own name"):
        Networks([alone.members[0], Network("b", alone.members[0].grid, alone.members[0].profiles)])
    with pytest.raises(GridError, match="a run needs a network"):
        Networks([])


def test_a_name_changes_nothing_but_the_names() -> None:
    grid = Grid.load("rural2")
    state = grid.solve({"LV2.101 Bus 21": 30.0})
    other = named(grid, "here")
    again = other.solve({"here LV2.101 Bus 21": 30.0})
    assert np.array_equal(state.vm_pu, again.vm_pu)
    assert other.lines[0] == f"here {state.lines[0]}"
    assert other.name == grid.name, "its profiles are found by it"
