"""The few meters of a low-voltage network: where they are, how exact they are, what they read.

Signs: positive power is drawn. Units: kW, kvar, per unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agents.grid_view import GridState
from environment.grid import Grid, GridError

_UNKNOWN_CAR_KW: Final = 3.7


@dataclass(frozen=True, slots=True)
class MeterNoise:
    """Standard deviations of what goes into the estimation.

    `voltage_pu`: class 0.5 (IEC 61869-3). `power_part`: 2 % of the reading, a class 2 meter (IEC 62053-21; class 1
    with a class 1 current transformer comes to the same), and never less than `power_least_kw`. `pseudo_part`: 40 % of
    a forecast load or PV output (the literature takes 20 to 50 %: Singh, Pal, Jabr, "Choice of estimator for
    distribution system state estimation", IET Gener. Transm. Distrib. 3, 2009), and `pseudo_least_kw`,
    `pseudo_least_kvar` for what a single bus does beside its profile (assumptions). `source_pu`: the
    medium-voltage side, class 0.2 (IEC 61869-3), and `regulated_pu`: how near its set point it is where it is not
    metered, a tap changer's dead band (assumption). `zero_kw`: a bus without load. `residual`: a meter this many
    standard deviations off is dropped; at the usual 3 a few good ones would go every day, with 20 read 96 times. Before
    that, the forecasts' deviations are taken `doubt` times as large: cars that nobody reported are no broken meter.
    """

    voltage_pu: float = 0.005
    power_part: float = 0.02
    power_least_kw: float = 0.05
    pseudo_part: float = 0.4
    pseudo_least_kw: float = 0.5
    pseudo_least_kvar: float = 0.2
    source_pu: float = 0.002
    regulated_pu: float = 0.01
    zero_kw: float = 0.02
    residual: float = 4.0
    doubt: float = 4.0


@dataclass(frozen=True, slots=True)
class MeterReadings:
    """What the few meters say at `at`: voltage and net power drawn by metered bus and at the transformer's low-voltage
    side, and the voltage on its medium-voltage side. A bus's meter that does not answer is missing; any other says
    NaN."""

    v_pu: Mapping[str, float]
    p_kw: Mapping[str, float]
    q_kvar: Mapping[str, float]
    transformer_v_pu: float
    transformer_p_kw: float
    transformer_q_kvar: float
    source_v_pu: float
    at: datetime | None = None


class TransformerSide:
    """What the transformer's low-voltage side sees, which a state does not carry."""

    def __init__(self, grid: Grid) -> None:
        net = grid.net
        self._grid, self._internal = grid, net._ppc["internal"]
        lookup = net._pd2ppc_lookups
        self._branch = int(lookup["branch"]["trafo"][0])
        self._bus = int(lookup["bus"][net.trafo.lv_bus.iloc[0]])
        self.low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
        self._order = np.asarray(lookup["bus"][self.low], dtype=np.int64)
        self.low_side = grid.buses[list(self.low).index(net.trafo.lv_bus.iloc[0])]
        self.base_kva = float(self._internal["baseMVA"]) * 1e3

    def drawn(self, state: GridState) -> complex:
        """kVA drawn from the low-voltage side in a solved state."""
        voltage = np.array(self._internal["V"])
        voltage[self._order] = self._grid.voltages((state.p_kw + 1j * state.q_kvar)[None])[0]
        return self.through(self._internal["Yt"], voltage)

    def through(self, admittance: Any, voltage: npt.NDArray[np.complex128]) -> complex:
        """The same from the voltages of all buses, both in pandapower's own order."""
        current = (admittance[[self._branch]] @ voltage).item()
        return complex(-voltage[self._bus] * np.conj(current) * self.base_kva)


class NetworkMeters:
    """The few meters of a network: what truly is, with noise."""

    def __init__(
        self, grid: Grid, metered: Sequence[str], rng: np.random.Generator, noise: MeterNoise | None = None
    ) -> None:
        """`metered`: buses with a meter of V, P and Q, besides the transformer. Raises GridError for an unknown bus."""
        self._grid, self._rng, self._noise = grid, rng, noise or MeterNoise()
        self._transformer = TransformerSide(grid)
        self.metered: tuple[str, ...] = tuple(
            dict.fromkeys(bus for bus in metered if bus != self._transformer.low_side)
        )
        self._indices = [grid.index(bus) for bus in self.metered]
        self._low_side = grid.index(self._transformer.low_side)

    def read(self, state: GridState) -> MeterReadings:
        """One reading of every meter. The noise is the class's standard deviation, drawn anew at each reading."""
        noise = self._noise
        through = self._transformer.drawn(state)
        p = np.append(state.p_kw[self._indices], through.real)
        q = np.append(state.q_kvar[self._indices], through.imag)
        v = np.append(state.vm_pu[self._indices], state.vm_pu[self._low_side])
        draws = self._rng.standard_normal((3, len(v)))
        v = v + noise.voltage_pu * draws[0]
        source = float(self._grid.net.ext_grid.vm_pu.iloc[0]) + noise.source_pu * self._rng.standard_normal()
        # a meter's error is one of the apparent power: it does not vanish where only the active part does
        spread = np.hypot(noise.power_part * np.hypot(p, q), noise.power_least_kw)
        p, q = p + spread * draws[1], q + spread * draws[2]
        return MeterReadings(
            dict(zip(self.metered, v[:-1].tolist(), strict=True)),
            dict(zip(self.metered, p[:-1].tolist(), strict=True)),
            dict(zip(self.metered, q[:-1].tolist(), strict=True)),
            float(v[-1]),
            float(p[-1]),
            float(q[-1]),
            source,
            state.at,
        )

    def drawn_kw(self, state: GridState) -> float:
        """What the transformer's meter would read without any error."""
        return self._transformer.drawn(state).real


def metered_at(grid: Grid, count: int) -> tuple[str, ...]:
    """The buses where `count` voltmeters tell most about all buses, the first one first.

    Each is the one that takes most off the sum of the voltages' variances, with every bus uncertain by one car that
    nobody reported and the meters before it read. Raises GridError where there are fewer buses.
    """
    n = len(grid.buses)
    if not 0 <= count <= n:
        raise GridError(f"network {grid.name!r}: {count} meters for {n} buses")
    drop = np.array([grid.voltage_drop(row)[0] for row in np.eye(n)])
    covariance = drop @ drop.T
    floor = (MeterNoise().voltage_pu / _UNKNOWN_CAR_KW) ** 2
    chosen: list[int] = []
    for _ in range(count):
        gain = (covariance**2).sum(axis=0) / (np.diag(covariance) + floor)
        gain[chosen] = -np.inf
        best = int(gain.argmax())
        chosen.append(best)
        column = covariance[:, best]
        covariance = covariance - np.outer(column, column) / (column[best] + floor)
    return tuple(grid.buses[index] for index in chosen)
