"""Distribution state estimation: few meters, many forecasts, one most likely state.

Weighted least squares over all bus voltages by pandapower (Abur, Exposito, "Power System State Estimation", 2004,
chapter 2). Measured are the transformer and a few buses; every other load is a pseudo-measurement, the forecast with a
large standard deviation; a bus without load is known to draw nothing. A meter whose normalised residual is too large is
dropped and named (chapter 5).

pandapower reads its measurement table anew at each call, which takes three times as long as the estimation. The table
is read once here; later calls replace values and standard deviations in the arrays that came of it.

Signs: positive power is drawn. Units: kW, kvar, per unit.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from pandapower.create import create_measurement
from pandapower.estimation.algorithm.base import WLSAlgorithm
from pandapower.estimation.ppc_conversion import pp2eppci

from agents.grid_view import Floats
from agents.voltage_view import Estimate
from environment.grid import Grid
from environment.meters import MeterNoise, MeterReadings, NetworkMeters, TransformerSide, metered_at

__all__ = ["MeterNoise", "MeterReadings", "NetworkMeters", "StateEstimator", "metered_at"]

_TOLERANCE_PU: Final = 1e-6
_UNKNOWN: Final = 1e3
"""A standard deviation that leaves a measurement without any say."""
_PLAUSIBLE_PU: Final = (0.5, 1.5)
_MOST_DROPPED: Final = 8
_logger = logging.getLogger(__name__)


class StateEstimator:
    """Weighted least squares on one network."""

    def __init__(self, grid: Grid, noise: MeterNoise | None = None, *, max_iterations: int = 20) -> None:
        self._grid, self.noise, self._iterations = grid, noise or MeterNoise(), max_iterations
        self._transformer = TransformerSide(grid)
        n = len(grid.buses)
        self._no_load = np.ones(n, dtype=np.bool_)
        self._no_load[grid.load_bus] = self._no_load[grid.pv_bus] = False
        net = copy.deepcopy(grid.net)
        # the vector group turns every angle alike, which no voltmeter sees and a flat start does not like
        net.trafo["shift_degree"] = 0.0
        for table in ("load", "sgen"):
            net[table].drop(net[table].index, inplace=True)
        self._source_pu = float(net.ext_grid.vm_pu.iloc[0])
        # order: P of every bus, Q of every bus, V of every bus, V of the source, P and Q of the transformer
        for kind in "pqv":
            for bus in self._transformer.low:
                create_measurement(net, kind, "bus", 1.0, 1.0, bus)
        create_measurement(net, "v", "bus", 1.0, 1.0, net.ext_grid.bus.iloc[0])
        for kind in "pq":
            create_measurement(net, kind, "trafo", 1.0, 1.0, net.trafo.index[0], side="lv")
        with warnings.catch_warnings():
            # pandapower writes to slices of its own table, which pandas warns of
            warnings.simplefilter("ignore")
            _, _, self._eppci = pp2eppci(net, v_start="flat", delta_start="flat", zero_injection=None)
        self._order = np.asarray(net._pd2ppc_lookups["bus"][self._transformer.low], dtype=np.int64)
        self._rows = np.asarray(self._eppci.pp_meas_indices, dtype=np.int64)
        per_unit = 1.0 / self._transformer.base_kva
        # buses count generation as positive inside pandapower; the transformer's lower side takes in what is not drawn
        self._to_pu = np.concatenate([np.full(2 * n, -per_unit), np.ones(n + 1), np.full(2, -per_unit)])
        low_side = self._transformer.low_side
        self._names = [f"{kind} at {bus}" for kind in ("P", "Q", "V") for bus in grid.buses]
        self._names += ["V of the source", "P of the transformer", "Q of the transformer"]
        self._names[2 * n + grid.index(low_side)] = "V of the transformer"
        self._units = ["kW"] * n + ["kvar"] * n + ["pu"] * (n + 1) + ["kW", "kvar"]

    def estimate(
        self,
        readings: MeterReadings,
        pseudo_p_kw: Floats,
        pseudo_q_kvar: Floats,
        *,
        charger_kw: Mapping[str, float],
        pseudo_pv_kw: Floats | None = None,
    ) -> Estimate:
        """The most likely state at the readings' moment.

        `pseudo_p_kw`, `pseudo_q_kvar` [buses]: the forecast of load and PV, net, without chargers; `pseudo_pv_kw`
        [buses] <= 0: the PV in it, so that a bus where both cancel does not count as certain. `charger_kw`: the
        chargers by bus as reported. Raises GridError for an unknown bus, PowerFlowError where not even the forecast
        can be solved.
        """
        chargers = self._grid.by_bus(charger_kw)
        value, spread = self._forecast(pseudo_p_kw, pseudo_q_kvar, chargers, pseudo_pv_kw)
        pseudo = value.copy(), spread.copy()
        meters, dropped = self._take(readings, value, spread)
        trust = 1.0
        for _ in range(2 * _MOST_DROPPED + 1):
            believed = np.isin(np.arange(len(spread)), meters)
            solver = self._solve(value, np.where(believed, spread, spread * trust))
            if not solver.successful:
                return self._fallback(pseudo[0], tuple(dropped), readings.at)
            worst, residual = self._worst(solver, meters)
            if residual <= self.noise.residual:
                break
            if trust == 1.0:
                # a forecast is wrong sooner than a meter: a meter goes only where the forecasts can hardly be blamed
                trust = self.noise.doubt
                continue
            trust = 1.0
            dropped.append(self._told(worst, value[worst]))
            meters.remove(worst)
            value[worst], spread[worst] = pseudo[0][worst], pseudo[1][worst]
        voltage = self._eppci.V
        bus_admittance, _, lower_admittance = self._eppci.get_Y()
        drawn = -(voltage * np.conj(bus_admittance @ voltage))[self._order] * self._transformer.base_kva
        through = self._transformer.through(lower_admittance, voltage)
        return Estimate(
            self._grid.buses,
            np.abs(voltage[self._order]),
            drawn.real.copy(),
            drawn.imag.copy(),
            through.real,
            True,
            residual,
            tuple(dropped),
            readings.at,
        )

    def _forecast(self, p_kw: Floats, q_kvar: Floats, chargers: Floats, pv_kw: Floats | None) -> tuple[Floats, Floats]:
        """Every measurement's value and standard deviation before any meter is read."""
        noise, n = self.noise, len(self._grid.buses)
        pv = np.zeros(n) if pv_kw is None else pv_kw
        least = np.where(self._no_load, noise.zero_kw, noise.pseudo_least_kw)
        least_q = np.where(self._no_load, noise.zero_kw, noise.pseudo_least_kvar)
        part = noise.pseudo_part
        spread_p = np.sqrt((part * (p_kw - pv)) ** 2 + (part * pv) ** 2 + (noise.power_part * chargers) ** 2 + least**2)
        spread_q = np.hypot(part * q_kvar, least_q)
        value = np.concatenate([p_kw + chargers, q_kvar, np.ones(n), [self._source_pu, 0.0, 0.0]])
        spread = np.concatenate([spread_p, spread_q, np.full(n, _UNKNOWN), [noise.regulated_pu]])
        return value, np.concatenate([spread, np.full(2, _UNKNOWN * self._transformer.base_kva)])

    def _take(self, readings: MeterReadings, value: Floats, spread: Floats) -> tuple[list[int], list[str]]:
        """Puts the readings in the forecasts' place. The rows that are metered, and what cannot be, in words."""
        n, index, noise = len(self._grid.buses), self._grid.index, self.noise
        rows = {2 * n + index(bus): v for bus, v in readings.v_pu.items()}
        rows[2 * n + index(self._transformer.low_side)] = readings.transformer_v_pu
        rows |= {index(bus): p for bus, p in readings.p_kw.items()}
        rows |= {n + index(bus): q for bus, q in readings.q_kvar.items()}
        source = 3 * n
        rows |= {source: readings.source_v_pu}
        rows |= {source + 1: readings.transformer_p_kw, source + 2: readings.transformer_q_kvar}
        twin = {row: rows.get(row + n, 0.0) for row in range(n)} | {row + n: rows.get(row, 0.0) for row in range(n)}
        twin |= {source + 1: readings.transformer_q_kvar, source + 2: readings.transformer_p_kw}
        meters, dropped = [], []
        for row, read in rows.items():
            voltage = 2 * n <= row <= source
            if not np.isfinite(read) or (voltage and not _PLAUSIBLE_PU[0] < read < _PLAUSIBLE_PU[1]):
                dropped.append(self._told(row, read))
                continue
            other = twin.get(row, 0.0)
            apparent = float(np.hypot(read, other if np.isfinite(other) else 0.0))
            value[row] = read
            if voltage:
                spread[row] = noise.source_pu if row == source else noise.voltage_pu
            else:
                spread[row] = np.hypot(noise.power_part * apparent, noise.power_least_kw)
            meters.append(row)
        return meters, dropped

    def _solve(self, value: Floats, spread: Floats) -> Any:
        """pandapower's solver after its work; the voltages are in `_eppci`."""
        eppci = self._eppci
        eppci.z = (value * self._to_pu)[self._rows]
        eppci.r_cov = (spread * np.abs(self._to_pu))[self._rows]
        eppci.reset()
        solver = WLSAlgorithm(_TOLERANCE_PU, self._iterations, _logger)
        with warnings.catch_warnings():
            # a singular matrix is answered by `successful`, not by a line on the console
            warnings.simplefilter("ignore")
            solver.estimate(eppci)
        return solver

    def _worst(self, solver: Any, meters: Sequence[int]) -> tuple[int, float]:
        """The meter with the largest normalised residual, and that residual.

        The meters only: a forecast that is far off is no instrument to be taken out of service, and pandapower's own
        test would drop it. Residual covariance R - H G^-1 H' (Abur, Exposito, 5.5).
        """
        if not meters:
            return -1, 0.0
        position = {row: place for place, row in enumerate(self._rows.tolist())}
        places = np.array([position[row] for row in meters])
        jacobian = solver.H[places]
        variance = 1.0 / np.diag(solver.R_inv)[places]
        left = variance - np.einsum("ij,ji->i", jacobian, np.linalg.solve(solver.Gm, jacobian.T))
        # where nothing else speaks of a quantity, its residual is 0 whatever it reads
        checked = left > 1e-6 * variance
        normalised = np.where(checked, np.abs(solver.r[places, 0]) / np.sqrt(np.where(checked, left, 1.0)), 0.0)
        worst = int(normalised.argmax())
        return meters[worst], float(normalised[worst])

    def _fallback(self, value: Floats, dropped: tuple[str, ...], at: datetime | None) -> Estimate:
        """The forecast's own power flow, where the meters lead nowhere."""
        n = len(self._grid.buses)
        state = self._grid.solve(value[:n], value[n : 2 * n], at=at)
        return Estimate(
            state.buses,
            state.vm_pu,
            state.p_kw,
            state.q_kvar,
            self._transformer.drawn(state).real,
            False,
            float("inf"),
            dropped,
            at,
        )

    def _told(self, row: int, read: float) -> str:
        return f"{self._names[row]}: {read:.3f} {self._units[row]}"
