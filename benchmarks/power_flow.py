"""How fast one minute of the network is, by every way we could have taken, and how far each is from plain pandapower.

    python benchmarks/power_flow.py [--minutes 60]

`numba`, `lightsim2grid` and `power-grid-model` are measured where they are installed (pip install numba lightsim2grid
power-grid-model); the project needs none of them. Results as of the last run are in docs/data.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandapower as pp

from environment.grid import Grid
from environment.physical_grid import PhysicalGrid
from environment.profiles import Profiles

DAY = datetime(2026, 3, 18, 12, tzinfo=ZoneInfo("Europe/Ljubljana"))
CHARGER_KW = 5.0
Solve = Callable[[int], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=60, help="how many minutes each way solves")
    minutes = parser.parse_args().minutes
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    grid = Grid.load("rural2")
    day = Profiles.load(grid).minutes(DAY, 1440)
    p, q = day.p_kw.copy(), day.q_kvar
    for bus in grid.places["households"][:30]:
        p[:, grid.index(bus)] += CHARGER_KW

    net = pp.from_json_string(pp.to_json(grid.net))
    net.load, net.sgen = net.load.iloc[:0], net.sgen.iloc[:0]
    for bus in net.bus.index[1:]:
        pp.create_load(net, bus, 0.0, 0.0)

    def pandapower(**options: Any) -> Solve:
        def solve(row: int) -> np.ndarray:
            net.load["p_mw"], net.load["q_mvar"] = p[row] / 1e3, q[row] / 1e3
            pp.runpp(net, **({"numba": False, "lightsim2grid": False} | options))
            return np.array(net.res_bus.vm_pu.to_numpy()[1:])

        return solve

    recycle = {"recycle": {"bus_pq": True, "trafo": False, "gen": False}}
    physical = PhysicalGrid(grid)
    ways: dict[str, Solve] = {
        "pandapower, plain": pandapower(),
        "pandapower, backward/forward sweep": pandapower(algorithm="bfsw"),
        "pandapower, init=results": pandapower(init="results"),
        "pandapower, recycle, init=results": pandapower(init="results", **recycle),
        "the world's minute (PhysicalGrid)": lambda row: physical.solve(p[row], q[row]).vm_pu,
    }
    if importlib.util.find_spec("numba"):
        ways["pandapower, numba, init=results"] = pandapower(numba=True, init="results")
        # A run that recycles keeps the options of the run before.
        ways["pandapower, numba, recycle, init=results"] = pandapower(numba=True, init="results", **recycle)
    if importlib.util.find_spec("lightsim2grid"):
        ways["pandapower, lightsim2grid, recycle"] = pandapower(lightsim2grid=True, **recycle)
    if importlib.util.find_spec("power_grid_model"):
        ways["power-grid-model, one by one"] = power_grid_model(grid, p, q)
    ways["ours, one by one (Grid.solve)"] = lambda row: grid.solve(p[row], q[row]).vm_pu

    rows = np.linspace(0, 1439, minutes, dtype=int)
    truth = [ways["pandapower, plain"](row) for row in rows]
    print(f"{'':44}{'first':>10}{'median':>10}{'from plain':>14}")
    for name, solve in ways.items():
        times, apart = [], 0.0
        for number, row in enumerate([rows[0], *rows]):
            start = time.perf_counter()
            vm_pu = solve(int(row))
            times.append(time.perf_counter() - start)
            if number:
                apart = max(apart, float(np.abs(vm_pu - truth[number - 1]).max()))
        print(f"{name:44}{times[0] * 1e3:7.1f} ms{statistics.median(times[1:]) * 1e3:7.2f} ms{apart:11.1e} pu")
    start = time.perf_counter()
    grid.solve_many(p, q)
    print(f"{'ours, a day of 1440 minutes at once':44}{'':10}{(time.perf_counter() - start) / 1.44:7.2f} ms")


def power_grid_model(grid: Grid, p_kw: np.ndarray, q_kvar: np.ndarray) -> Solve:
    """The same network for power-grid-model (LF Energy): lines, one transformer, a load at each bus."""
    import power_grid_model as pgm

    net = grid.net

    def table(kind: str, count: int, **columns: Any) -> np.ndarray:
        array = pgm.initialize_array("input", kind, count)
        for name, values in columns.items():
            array[name] = values
        return np.asarray(array)

    line, trafo, low = net.line, net.trafo.iloc[0], net.bus.index[1:]
    ends = {"from_status": 1, "to_status": 1}
    model = pgm.PowerGridModel(
        {
            "node": table("node", len(net.bus), id=net.bus.index, u_rated=net.bus.vn_kv * 1e3),
            "line": table(
                "line",
                len(line),
                id=10_000 + np.arange(len(line)),
                from_node=line.from_bus,
                to_node=line.to_bus,
                r1=line.r_ohm_per_km * line.length_km,
                x1=line.x_ohm_per_km * line.length_km,
                c1=line.c_nf_per_km * line.length_km * 1e-9,
                tan1=0.0,
                i_n=line.max_i_ka * 1e3,
                **ends,
            ),
            "transformer": table(
                "transformer",
                1,
                id=20_000,
                from_node=trafo.hv_bus,
                to_node=trafo.lv_bus,
                u1=trafo.vn_hv_kv * 1e3,
                u2=trafo.vn_lv_kv * 1e3,
                sn=trafo.sn_mva * 1e6,
                uk=trafo.vk_percent / 100,
                pk=trafo.vkr_percent / 100 * trafo.sn_mva * 1e6,
                i0=trafo.i0_percent / 100,
                p0=trafo.pfe_kw * 1e3,
                winding_from=2,
                winding_to=1,
                clock=5,
                tap_side=0,
                tap_pos=0,
                tap_min=-2,
                tap_max=2,
                tap_nom=0,
                tap_size=trafo.tap_step_percent / 100 * trafo.vn_hv_kv * 1e3,
                **ends,
            ),
            "sym_load": table(
                "sym_load", len(low), id=30_000 + low, node=low, status=1, type=0, p_specified=0.0, q_specified=0.0
            ),
            "source": table("source", 1, id=40_000, node=trafo.hv_bus, status=1, u_ref=1.025, sk=1e15),
        }
    )
    update = pgm.initialize_array("update", "sym_load", len(low))
    update["id"] = 30_000 + low

    def solve(row: int) -> np.ndarray:
        update["p_specified"], update["q_specified"] = p_kw[row] * 1e3, q_kvar[row] * 1e3
        model.update(update_data={"sym_load": update})
        return np.asarray(model.calculate_power_flow()["node"]["u_pu"][1:])

    return solve


if __name__ == "__main__":
    main()
