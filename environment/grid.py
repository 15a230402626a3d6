"""A distribution network behind its transformer: AC power flow, fast enough for a day of minutes.

The model is pandapower's: its network, its admittance matrices, its ratings. What is solved differently is the
equation. Such a network has one voltage source and constant-power loads, so that with Z the inverse of the
admittance matrix without the source bus, and w the voltages without load,

    V = w + Z conj(S / V)

is a fixed point that contracts as long as the network is not near its collapse (Bolognani, Zampieri, "On the existence
and linear approximation of the power flow solution in power distribution networks", IEEE Trans. Power Syst. 31, 2016).
It is one matrix product for each iteration, for one state or for a thousand at once; `benchmarks/power_flow.py` has the
comparison with pandapower's own options. Every start checks it against `pandapower.runpp`.

Signs: positive power is drawn. Units: kW, kvar, per unit, % of the rated current.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandapower as pp

from agents.grid_view import Floats, GridState, Sensitivity
from environment.feeders import feeders_of

Complexes: TypeAlias = npt.NDArray[np.complex128]

_TOLERANCE_PU: Final = 1e-10
_MAX_ITERATIONS: Final = 100
_AGREEMENT_PU: Final = 1e-7
_LEAST_PART: Final = 0.01
_LOW_KV: Final = 1.0
"""Low voltage goes so far (EN 50160)."""
_SOURCE_PU: Final = (0.9, 1.1)
"""What a source may be set to: beyond it, no network in service is run (EN 50160 allows no more)."""


class GridError(ValueError):
    """A network that cannot be used as asked, in one line."""


class PowerFlowError(GridError):
    """No operating point was found: the network cannot carry this power at any voltage."""


class Grid:
    """A network of low or medium voltage with one transformer, and its power flow. `buses` are the network's own: all
    but the one on the transformer's upper side."""

    def __init__(self, net: Any) -> None:
        """`net`: a pandapower network that this object may keep; loads and sgens in it say where the profiles act."""
        if len(net.ext_grid) != 1 or len(net.trafo) != 1 or len(net.gen) or len(net.shunt) or len(net.switch):
            raise GridError(
                f"network {net.name!r}: one transformer and one source are wanted, no generators, shunts or switches"
            )
        if net.trafo.hv_bus.iloc[0] != net.ext_grid.bus.iloc[0]:
            raise GridError(f"network {net.name!r}: the source must be the transformer's upper side")
        for table in ("bus", "line", "trafo", "load", "sgen"):
            if not net[table].in_service.all():
                raise GridError(f"network {net.name!r}: every {table} must be in service; remove the others")
        self.net = net
        self.name: str = net.name
        pp.runpp(net, numba=False, tolerance_mva=1e-9)
        ppc = net._ppc["internal"]
        lookup = net._pd2ppc_lookups
        source = int(lookup["bus"][net.ext_grid.bus.iloc[0]])
        low = net.bus.index[net.bus.index != net.ext_grid.bus.iloc[0]]
        order = np.asarray(lookup["bus"][low], dtype=np.int64)
        self.buses: tuple[str, ...] = tuple(str(name) for name in net.bus.name.loc[low])
        self.lines: tuple[str, ...] = tuple(str(name) for name in net.line.name)
        self.transformer = str(net.trafo.name.iloc[0])
        self.transformer_kva = float(net.trafo.sn_mva.iloc[0]) * 1e3
        self.bus_index: dict[str, int] = {name: index for index, name in enumerate(self.buses)}
        if len(self.bus_index) != len(self.buses):
            raise GridError(f"network {net.name!r}: bus names are not unique")
        position = {bus: index for index, bus in enumerate(low)}
        self.load_bus = np.array([position[bus] for bus in net.load.bus], dtype=np.int64)
        self.pv_bus = np.array([position[bus] for bus in net.sgen.bus], dtype=np.int64)
        self.places: dict[str, tuple[str, ...]] = {k: tuple(v) for k, v in net.get("places", {}).items()}
        names = dict(zip(low, self.buses, strict=True))
        lines = [(names[a], names[b]) for a, b in zip(net.line.from_bus, net.line.to_bus, strict=True)]
        self.feeders: Mapping[str, tuple[str, ...]] = feeders_of(self.buses, names[net.trafo.lv_bus.iloc[0]], lines)
        self._feeder_of = {bus: feeder for feeder, buses in self.feeders.items() for bus in buses}

        self._base_kva = float(ppc["baseMVA"]) * 1e3
        admittance = ppc["Ybus"].toarray()
        self._source_pu = complex(ppc["V"][source])
        self._z = np.linalg.inv(admittance[np.ix_(order, order)])
        self._no_load = -self._z @ admittance[order, source] * self._source_pu
        # Branch currents are linear in the voltages: rows for the lines, then the transformer.
        first_line, last_line = lookup["branch"]["line"]
        first_trafo, _ = lookup["branch"]["trafo"]
        rows = [*range(first_line, last_line), first_trafo]
        ends = [ppc["Yf"].toarray()[rows], ppc["Yt"].toarray()[rows]]
        self._ends = np.stack([end[:, order] for end in ends])
        self._ends_source = np.stack([end[:, source] * self._source_pu for end in ends])
        self._percent_per_pu = self._ratings()
        self._check()

    @classmethod
    def load(
        cls,
        name: str = "rural2",
        *,
        transformer: str | None = None,
        line: str | None = None,
        source_pu: float | None = None,
    ) -> Grid:
        """A shipped network by name, or a pandapower JSON file by path.

        `transformer`: another of the network's standard types, its tap where it was. `line`: a line type of
        pandapower's or of the network's, for its voltage, on every line at its own length. `source_pu`: the voltage on
        the transformer's upper side, 0.9 to 1.1. None leaves what the network has. Raises GridError.
        """
        shipped = files("environment") / "data" / f"{name}.json"
        if shipped.is_file():
            net = pp.from_json_string(shipped.read_text(encoding="utf-8"))
        elif name.endswith(".json"):
            try:
                net = pp.from_json(name)
            except (OSError, UserWarning, ValueError, AttributeError, KeyError, TypeError) as error:
                # Whatever pandapower stumbles over in a file that is JSON but not a network of its own.
                raise GridError(f"network {name}: cannot be read ({error})") from None
        else:
            raise GridError(f"network {name!r} is not shipped; there is {', '.join(networks())}")
        if transformer is not None:
            known = sorted(net.std_types["trafo"])
            if transformer not in known:
                raise GridError(f"network {name!r}: no transformer type {transformer!r}; there is {', '.join(known)}")
            tap = net.trafo.tap_pos.copy()
            pp.change_std_type(net, net.trafo.index[0], transformer, "trafo")
            net.trafo["tap_pos"] = tap
        if line is not None:
            _string(net, line)
        if source_pu is not None:
            if not _SOURCE_PU[0] <= source_pu <= _SOURCE_PU[1]:
                raise GridError(f"network {name!r}: source_pu is {source_pu:g}, outside 0.9 to 1.1 per unit")
            net.ext_grid["vm_pu"] = float(source_pu)
        return cls(net)

    def solve(
        self,
        p_kw: Floats | Mapping[str, float],
        q_kvar: Floats | Mapping[str, float] | None = None,
        *,
        at: datetime | None = None,
    ) -> GridState:
        """The state with this net power drawn, by bus (an array in the order of `buses`, or a mapping by name)."""
        q = {} if q_kvar is None else q_kvar
        return self.solve_many(self.by_bus(p_kw)[None], self.by_bus(q)[None], at=[at])[0]

    def nearest(self, p_kw: Floats, chargers_kw: Floats, q_kvar: Floats, at: datetime | None = None) -> GridState:
        """The state with as much of the chargers' power as has an operating point: a network that would collapse is
        overloaded before, and that is what its operator must see. Raises PowerFlowError if it collapses without any."""
        part = 1.0
        while True:
            try:
                return self.solve(p_kw + part * chargers_kw, q_kvar, at=at)
            except PowerFlowError:
                if part < _LEAST_PART:
                    raise
                part *= 0.9

    def solve_many(
        self, p_kw: Floats, q_kvar: Floats | None = None, *, at: Sequence[datetime | None] | None = None
    ) -> list[GridState]:
        """One state for each row of `p_kw` and `q_kvar` [times, buses], solved together."""
        p_kw = np.ascontiguousarray(p_kw, dtype=np.float64)
        q_kvar = np.zeros_like(p_kw) if q_kvar is None else np.ascontiguousarray(q_kvar, dtype=np.float64)
        if p_kw.ndim != 2 or p_kw.shape[1] != len(self.buses) or q_kvar.shape != p_kw.shape:
            raise GridError(
                f"power flow: [times, {len(self.buses)} buses] are wanted, not {p_kw.shape} and {q_kvar.shape}"
            )
        if not (np.isfinite(p_kw).all() and np.isfinite(q_kvar).all()):
            raise GridError("power flow: a power is not a finite number")
        return self.states(self.voltages(p_kw + 1j * q_kvar), p_kw, q_kvar, at)

    def states(
        self, voltage: Complexes, p_kw: Floats, q_kvar: Floats, at: Sequence[datetime | None] | None = None
    ) -> list[GridState]:
        """What these complex bus voltages [times, buses] make of the branches, one state for each row."""
        current = voltage @ self._ends.transpose(0, 2, 1) + self._ends_source[:, None, :]
        loading = (np.abs(current) * self._percent_per_pu[:, None, :]).max(axis=0)
        power = self._source_pu * current[0, :, -1].conj() * self._base_kva
        losses = power.real - p_kw.sum(axis=1)
        magnitude = np.abs(voltage)
        for array in (p_kw, q_kvar, magnitude, loading):
            array.flags.writeable = False
        times = [None] * len(p_kw) if at is None else at
        return [
            GridState(
                self.buses,
                self.lines,
                self.transformer,
                p_kw[row],
                q_kvar[row],
                magnitude[row],
                loading[row, :-1],
                float(loading[row, -1]),
                float(power[row].real),
                float(power[row].imag),
                float(losses[row]),
                times[row],
            )
            for row in range(len(p_kw))
        ]

    def voltages(self, s_kva: Complexes) -> Complexes:
        """Complex bus voltages in per unit for the power drawn, both [times, buses]. Raises PowerFlowError."""
        injected = -np.conj(s_kva) / self._base_kva
        voltage = np.broadcast_to(self._no_load, s_kva.shape)
        for _ in range(_MAX_ITERATIONS):
            improved = self._no_load + (injected / voltage.conj()) @ self._z.T
            change = float(np.abs(improved - voltage).max(initial=0.0))
            voltage = improved
            if change < _TOLERANCE_PU:
                return np.asarray(voltage)
            if not np.isfinite(change):
                break
        worst = float(s_kva.real.sum(axis=1).max())
        raise PowerFlowError(f"network {self.name!r} cannot carry {worst:.0f} kW: the power flow has no solution")

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Exact derivatives at `state` for one kW more drawn at each bus, at constant reactive power.

        From the fixed point itself: dV + B conj(dV) = Z d(conj(-S)) / conj(V), B = Z diag(conj(-S) / conj(V)^2), solved
        once in real and imaginary parts.
        """
        n = len(self.buses)
        s_kva = state.p_kw + 1j * state.q_kvar
        voltage = self.voltages(s_kva[None])[0]
        coupling = self._z * (-s_kva.conj() / self._base_kva / voltage.conj() ** 2)
        drive = self._z * (-1.0 / self._base_kva / voltage.conj())
        system = np.block(
            [
                [np.eye(n) + coupling.real, coupling.imag],
                [coupling.imag, np.eye(n) - coupling.real],
            ]
        )
        solution = np.linalg.solve(system, np.vstack([drive.real, drive.imag]))
        dv = solution[:n] + 1j * solution[n:]
        current = self._ends @ voltage + self._ends_source
        # Without current there is no direction in which it grows: the derivative of its magnitude is taken as 0.
        phase = current.conj() / np.maximum(np.abs(current), 1e-12)
        change = (phase[:, :, None] * (self._ends @ dv)).real
        percent = change * self._percent_per_pu[:, :, None]
        higher = (np.abs(current) * self._percent_per_pu).argmax(axis=0)
        loading = percent[higher, np.arange(len(higher))]
        magnitude = (voltage.conj()[:, None] * dv).real / np.abs(voltage)[:, None]
        return Sensitivity(magnitude, loading[:-1], loading[-1])

    def voltage_drop(self, weights: Floats) -> tuple[Floats, Floats]:
        """The linearised drop from the source (per unit) at buses by `weights`, R p + X q without losses: R for one kW
        and X for one kvar at each bus."""
        z = weights @ self._z / self._base_kva
        return z.real, z.imag

    def by_bus(self, power: Floats | Mapping[str, float]) -> Floats:
        """An array in the order of `buses` from a mapping by name; an array passes through."""
        if isinstance(power, Mapping):
            array = np.zeros(len(self.buses))
            for name, value in power.items():
                array[self.index(name)] += value
            return array
        return np.asarray(power, dtype=np.float64)

    def index(self, bus: str) -> int:
        """The position of a bus; GridError names it when it does not exist."""
        try:
            return self.bus_index[bus]
        except KeyError:
            raise GridError(f"network {self.name!r} has no {_level(self.net)} bus {bus!r}") from None

    def resolve(self, name: str) -> tuple[str, ...]:
        """The buses behind a name: a bus itself, or a place of the demonstrator such as `office` or `households`."""
        return self.places[name] if name in self.places else (self.buses[self.index(name)],)

    def feeder_of(self, bus: str) -> str:
        """The feeder that a bus hangs on; `busbar` for the transformer's own. GridError when there is no such bus."""
        self.index(bus)
        return self._feeder_of[bus]

    def _ratings(self) -> Floats:
        """Per cent of the rated current for one per unit of current, [both ends, lines then transformer]."""
        net, base_mva = self.net, self._base_kva / 1e3
        line, trafo = net.line, net.trafo.iloc[0]
        vn_kv = net.bus.vn_kv
        per_line = [
            100 * base_mva / (np.sqrt(3) * vn_kv[bus].to_numpy() * line.max_i_ka * line.df * line.parallel)
            for bus in (line.from_bus, line.to_bus)
        ]
        rated_mva = trafo.sn_mva * trafo.df * trafo.parallel
        per_trafo = [
            100 * base_mva / rated_mva * trafo.vn_hv_kv / vn_kv[trafo.hv_bus],
            100 * base_mva / rated_mva * trafo.vn_lv_kv / vn_kv[trafo.lv_bus],
        ]
        return np.array([[*lines, t] for lines, t in zip(per_line, per_trafo, strict=True)])

    def _check(self) -> None:
        """Compare with pandapower at the network's own installed power; a difference means a model we do not cover."""
        net = self.net
        p, q = np.zeros(len(self.buses)), np.zeros(len(self.buses))
        for table, sign, at in ((net.load, 1e3, self.load_bus), (net.sgen, -1e3, self.pv_bus)):
            np.add.at(p, at, sign * (table.p_mw * table.scaling).to_numpy())
            np.add.at(q, at, sign * (table.q_mvar * table.scaling).to_numpy())
        ours = self.solve(p, q)
        theirs = net.res_bus.vm_pu[net.bus.index != net.ext_grid.bus.iloc[0]].to_numpy()
        gap = float(np.abs(ours.vm_pu - theirs).max())
        loading_gap = abs(ours.trafo_loading_percent - float(net.res_trafo.loading_percent.iloc[0]))
        if gap > _AGREEMENT_PU or loading_gap > 1e-3:
            raise GridError(
                f"network {self.name!r}: our power flow differs from pandapower's by {gap:.1e} pu and "
                f"{loading_gap:.1e} % of transformer loading; it has an element that is not covered"
            )


def _string(net: Any, line: str) -> None:
    """Puts one line type everywhere. Raises GridError for one that is not known, or not for the network's voltage."""
    types = pp.create_empty_network().std_types["line"] | net.std_types["line"]
    rating = "LV" if _level(net) == "low-voltage" else "MV"
    known = sorted(name for name, values in types.items() if (values.get("voltage_rating") or rating) == rating)
    if line not in known:
        raise GridError(f"network {net.name!r}: no {_level(net)} line type {line!r}; there is {', '.join(known)}")
    pp.create_std_type(net, types[line], line, "line")
    for index in net.line.index:
        pp.change_std_type(net, index, line, "line")


def _level(net: Any) -> str:
    """What the network's own buses are."""
    return "low-voltage" if net.bus.vn_kv[net.trafo.lv_bus.iloc[0]] <= _LOW_KV else "medium-voltage"


def networks() -> tuple[str, ...]:
    """The names of the shipped networks."""
    folder = files("environment") / "data"
    return tuple(sorted(path.name[:-5] for path in folder.iterdir() if path.name.endswith(".json")))
