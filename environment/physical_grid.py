"""The network as it really is: one AC power flow by pandapower for each minute of scenario time.

The operator's own model (look-aheads, hosting, relief: `environment.look_ahead`) solves thousands of states by the
matrix form in `environment.grid`; what happens in the world is pandapower's answer, so that the one checks the other.
"""

from __future__ import annotations

import copy
from datetime import datetime

import numpy as np
import pandapower as pp

from agents.grid_view import Floats, GridState
from environment.grid import Grid, PowerFlowError


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
        self._low = low
        self._net = net
        # What does not change from minute to minute is prepared once; pandapower's `recycle` keeps the admittances.
        pp.runpp(net, numba=True)
        self._options = {
            "numba": True,
            "init": "results",
            "recycle": {"bus_pq": True, "trafo": False, "gen": False},
        }

    def solve(self, p_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> GridState:
        """The state with this net power at each bus, arrays in the order of the grid's buses. Raises PowerFlowError."""
        net = self._net
        net.load["p_mw"] = p_kw / 1e3
        net.load["q_mvar"] = q_kvar / 1e3
        try:
            pp.runpp(net, **self._options)
        except pp.LoadflowNotConverged:
            raise PowerFlowError(
                f"network {self._grid.name!r} cannot carry {p_kw.sum():.0f} kW: the power flow has no solution"
            ) from None
        vm_pu = net.res_bus.vm_pu.to_numpy()[net.bus.index.get_indexer(self._low)]
        trafo = net.res_trafo.iloc[0]
        return GridState(
            buses=self._grid.buses,
            lines=self._grid.lines,
            transformer=self._grid.transformer,
            p_kw=p_kw,
            q_kvar=q_kvar,
            vm_pu=np.array(vm_pu),
            line_loading_percent=net.res_line.loading_percent.to_numpy().copy(),
            trafo_loading_percent=float(trafo.loading_percent),
            trafo_p_kw=float(trafo.p_hv_mw) * 1e3,
            trafo_q_kvar=float(trafo.q_hv_mvar) * 1e3,
            losses_kw=float(net.res_line.pl_mw.sum() + trafo.pl_mw) * 1e3,
            at=at,
        )
