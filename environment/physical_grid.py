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
from typing import Final

import numpy as np
import pandapower as pp

from agents.grid_view import Floats, GridState
from environment.grid import Grid, PowerFlowError

_RECYCLE: Final = {"bus_pq": True, "trafo": False, "gen": False}
"""Only loads change from minute to minute: pandapower keeps its admittances and starts from the minute before."""


class PhysicalGrid:
    """The network of a `Grid`, with one net power at each bus. kW and kvar, drawn is positive."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        net = copy.deepcopy(grid.net)
        net.load.drop(net.load.index, inplace=True)
        net.sgen.drop(net.sgen.index, inplace=True)
        low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
        for bus in low:
            pp.create_load(net, bus, p_mw=0.0, q_mvar=0.0)
        self._net = net
        self._from_scratch()
        self._order = np.asarray(net._pd2ppc_lookups["bus"][low], dtype=np.int64)

    def solve(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> GridState:
        """The state with this net power at each bus, arrays in the order of the grid's buses. Raises PowerFlowError."""
        net = self._net
        net.load["p_mw"] = p_kw / 1e3
        net.load["q_mvar"] = q_kvar / 1e3
        if self._solved:
            pp.runpp(net, recycle=_RECYCLE)
        # With voltages alone, pandapower tells a failure by this flag and not by LoadflowNotConverged.
        if not (self._solved and net._ppc["success"]) and not self._from_scratch():
            raise PowerFlowError(
                f"network {self._grid.name!r} cannot carry {p_kw.sum():.0f} kW: the power flow has no solution"
            )
        voltage = net._ppc["internal"]["V"][self._order]
        return self._grid.states(voltage[None], p_kw[None], q_kvar[None], [at])[0]

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
