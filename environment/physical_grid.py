"""The network as it really is: one AC power flow by pandapower for each minute of scenario time.

The operator's own model (look-aheads, hosting, relief: `environment.look_ahead`) solves thousands of states by the
matrix form in `environment.grid`; what happens in the world is pandapower's answer, so that the one checks the other.

pandapower is asked for the voltages alone: filling its result tables takes longer than its Newton-Raphson. Currents,
loadings and losses follow from the voltages by pandapower's own branch admittances, which `Grid` keeps. It runs without
numba, which would halve the rest but takes 130 MB and seconds of compiling at each start.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandapower as pp
from pandapower.toolbox import merge_nets

from agents.grid_view import Floats, GridState
from environment.grid import Grid, PowerFlowError

_RECYCLE: Final = {"bus_pq": True, "trafo": False, "gen": False}
"""Only loads change from minute to minute: pandapower keeps its admittances and starts from the minute before."""


class PhysicalGrid:
    """The networks of one or several `Grid`s, with one net power at each bus. kW and kvar, drawn is positive.

    Several are one pandapower network of islands, each behind its own source: nearly all of a power flow of this size
    is its preparation, so that two together take little longer than one.
    """

    def __init__(self, *grids: Grid) -> None:
        self._grids = grids
        net, low = _emptied(grids[0])
        for grid in grids[1:]:
            other, others = _emptied(grid)
            net, moved = merge_nets(net, other, validate=False, return_net2_reindex_lookup=True)
            low += [moved["bus"][bus] for bus in others]
        for bus in low:
            pp.create_load(net, bus, p_mw=0.0, q_mvar=0.0)
        self._net = net
        self._from_scratch()
        self._order = np.asarray(net._pd2ppc_lookups["bus"][low], dtype=np.int64)
        ends = np.cumsum([len(grid.buses) for grid in grids]).tolist()
        self._rows = [slice(end - len(grid.buses), end) for end, grid in zip(ends, grids, strict=True)]

    def solve(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> GridState:
        """The state of the first (the only) network. Raises PowerFlowError."""
        return self.solve_each(p_kw, q_kvar, at)[0]

    def solve_each(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> list[GridState]:
        """The state of each network with this net power at each bus, arrays in the order of the networks and of their
        buses. Raises PowerFlowError."""
        net = self._net
        net.load["p_mw"] = p_kw / 1e3
        net.load["q_mvar"] = q_kvar / 1e3
        if self._solved:
            pp.runpp(net, recycle=_RECYCLE)
        # With voltages alone, pandapower tells a failure by this flag and not by LoadflowNotConverged.
        if not (self._solved and net._ppc["success"]) and not self._from_scratch():
            names = " and ".join(repr(grid.name) for grid in self._grids)
            raise PowerFlowError(f"network {names} cannot carry {p_kw.sum():.0f} kW: the power flow has no solution")
        voltage = net._ppc["internal"]["V"][self._order]
        return [
            grid.states(voltage[None, rows], p_kw[None, rows], q_kvar[None, rows], [at])[0]
            for grid, rows in zip(self._grids, self._rows, strict=True)
        ]

    def _from_scratch(self) -> bool:
        """Solves with pandapower's own start, which owes nothing to the minute before. True where it can be solved."""
        try:
            # The options of this run hold for those that recycle it.
            pp.runpp(self._net, numba=False, only_v_results=True)
        except pp.LoadflowNotConverged:
            self._solved = False
        else:
            self._solved = bool(self._net._ppc["success"])
        return self._solved


def _emptied(grid: Grid) -> tuple[Any, list[int]]:
    """A copy of the network without loads and generation, and its own buses."""
    net = copy.deepcopy(grid.net)
    net.load.drop(net.load.index, inplace=True)
    net.sgen.drop(net.sgen.index, inplace=True)
    return net, [int(bus) for bus in net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]]
