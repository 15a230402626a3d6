"""Connection-point meters: SunSpec devices on Modbus TCP that measure a group of chargers and the frequency.

Each has models 1 (what it is), 122 (Measurements_Status, of which it has the clock: `Tms`, whole seconds since the
beginning of 2000 UTC, and `TmSrc`) and 701 (`W`, `Hz` in millihertz, `TotWhInj`, `TotWhAbs`). The frequency has a
normally distributed error of 1 mHz, one for each instant of scenario time. Nothing in a meter can be written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

import numpy as np
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from environment import sunspec
from environment.bench import Bench
from environment.chargers import READ_HOLDING_REGISTERS, Endpoint, hang_up, rounds_of_the_loop
from environment.charging import Charging, ParkError
from environment.meter_client import EPOCH, SunSpecMeter
from environment.modbus_link import UNIT
from environment.sunspec import BASE, END, MARKER, MODELS, Model

__all__ = ["Bench", "MeterFault", "MeterPark", "MeterSpec", "SunSpecMeter"]

ACCURACY_HZ = 0.001
JUMP_HZ = 0.15
CLOCK_JUMP_S = 90

_MODELS: tuple[Model, ...] = (MODELS[1], MODELS[122], MODELS[701])
_FIRST = {1: len(MARKER), 122: len(MARKER) + MODELS[1].size, 701: len(MARKER) + MODELS[1].size + MODELS[122].size}
_POINTS = {(model.model_id, point.name): point for model in _MODELS for point in model.points.values()}


class MeterFault(StrEnum):
    """What a meter can be made to do wrong."""

    LOST = "meter-lost"
    """It does not answer: it hangs up."""
    FROZEN = "meter-frozen"
    """Power and frequency stay at what they were; the clock goes on."""
    JUMP = "meter-jump"
    """The frequency is 0.15 Hz too high."""
    CLOCK_JUMP = "meter-clock-jump"
    """Its clock is 90 s ahead."""


@dataclass(frozen=True, slots=True)
class MeterSpec:
    """A meter and the chargers behind its connection point, at least one."""

    name: str
    chargers: tuple[str, ...]


class MeterPark:
    """Meters, each behind a Modbus TCP server of its own; `endpoints` says where, once they are started.

    `hz` is the grid's frequency at the meter of that name (without it, that of the chargers' physics); while a bench
    applies a frequency to a meter's chargers, the meter has it too. `rng` is the source of the errors.
    """

    def __init__(
        self,
        meters: Sequence[MeterSpec],
        charging: Charging,
        now: Callable[[], datetime],
        rng: np.random.Generator,
        *,
        hz: Callable[[str], float] | None = None,
    ) -> None:
        if len({meter.name for meter in meters}) < len(meters):
            raise ParkError("two meters have the same name; give each its own")
        streams = rng.spawn(len(meters))
        self._meters = {
            spec.name: _Meter(spec, charging, now, stream, hz) for spec, stream in zip(meters, streams, strict=True)
        }
        self.endpoints: dict[str, Endpoint] = {}
        self._servers: dict[str, ModbusTcpServer] = {}

    async def start(self, host: str = "127.0.0.1") -> None:
        """Starts a server for each meter, on ports of the system's choice. Raises ParkError where none can be had."""
        for name, meter in self._meters.items():
            server = ModbusTcpServer(meter.device(), address=(host, 0), trace_packet=partial(self._through, meter))
            if not await server.listen():
                await self.stop()
                raise ParkError(f"meter {name} cannot listen on {host}; allow more open files")
            assert isinstance(server.transport, asyncio.Server)
            self._servers[name] = server
            self.endpoints[name] = Endpoint(host, server.transport.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Closes every server and its connections."""
        await rounds_of_the_loop()
        for server in self._servers.values():
            hang_up(server)
            await server.shutdown()  # type: ignore[no-untyped-call]
        await rounds_of_the_loop()
        self._servers.clear()
        self.endpoints.clear()

    def set_fault(self, name: str, fault: MeterFault | None) -> None:
        """Puts a meter out of order (None: in order again). KeyError for an unknown one."""
        self._meters[name].set_fault(fault)

    def _through(self, meter: _Meter, sending: bool, data: bytes) -> bytes:
        """Every packet in and out of a meter."""
        if meter.fault is not MeterFault.LOST:
            return data
        if not sending:
            asyncio.get_running_loop().call_soon(hang_up, self._servers[meter.spec.name])
        return b""


class _Meter:
    """One meter: what it measures, and its registers."""

    def __init__(
        self,
        spec: MeterSpec,
        charging: Charging,
        now: Callable[[], datetime],
        rng: np.random.Generator,
        hz: Callable[[str], float] | None,
    ) -> None:
        if not spec.chargers:
            raise ParkError(f"meter {spec.name} has no chargers behind it")
        self.spec = spec
        self.fault: MeterFault | None = None
        self._charging, self._now, self._rng, self._hz = charging, now, rng, hz
        self._which = np.array([charging.index[charger_id] for charger_id in spec.chargers], dtype=np.int64)
        most_kw = float(np.maximum(charging.max_charge_kw, charging.max_discharge_kw)[self._which].sum())
        self._watts_exponent = 0 if most_kw <= 32.0 else 1 if most_kw <= 320.0 else 2
        self._error_at: datetime | None = None
        self._error_hz = 0.0
        self._held: tuple[float, float] | None = None

    def set_fault(self, fault: MeterFault | None) -> None:
        self._held = self._measured() if fault is MeterFault.FROZEN else None
        self.fault = fault

    def _measured(self) -> tuple[float, float]:
        """(kW, Hz) as a meter in order has them."""
        power_kw = float(self._charging.power_kw()[self._which].sum())
        if self._error_at != self._now():
            self._error_at, self._error_hz = self._now(), ACCURACY_HZ * float(self._rng.standard_normal())
        first = int(self._which[0])
        applied = any(first in bench.chargers for bench in self._charging.benches)
        hz = float(self._charging.seen_hz()[first]) if self._hz is None or applied else self._hz(self.spec.name)
        return power_kw, hz + self._error_hz

    # The registers ------------------------------------------------------------------------------------------

    def device(self) -> SimDevice:
        """The device for a Modbus server, with everything in it that does not change."""
        constants: dict[tuple[int, str], int | str] = {
            (1, "Mn"): "Gridparley", (1, "Md"): "Connection point meter", (1, "Opt"): "simulated", (1, "Vr"): "1",
            (1, "SN"): self.spec.name, (1, "DA"): UNIT,
            (122, "TmSrc"): "GPS",
            (701, "ACType"): 2, (701, "St"): 1, (701, "Alrm"): 0,
            (701, "W_SF"): self._watts_exponent, (701, "Hz_SF"): -3, (701, "TotWh_SF"): 0,
        }  # fmt: skip
        registers = [*MARKER]
        for model in _MODELS:
            for point in model.points.values():
                value = constants.get((model.model_id, point.name))
                registers += point.encode({"ID": model.model_id, "L": model.size - 2}.get(point.name, value))
        registers += END
        data = [SimData(BASE, values=registers, datatype=DataType.REGISTERS)]
        return SimDevice(id=UNIT, simdata=data, action=self._access)

    async def _access(
        self,
        function: int,
        _start: int,
        _address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus calls this before each access to the registers."""
        if values is not None or function != READ_HOLDING_REGISTERS:
            return ExcCodes.ILLEGAL_FUNCTION
        power_kw, hz = self._held or self._measured()
        clock_s = (self._now() - EPOCH) // timedelta(seconds=1)
        shown = {
            (122, "Tms"): clock_s + (CLOCK_JUMP_S if self.fault is MeterFault.CLOCK_JUMP else 0),
            (701, "W"): round(sunspec.to_sunspec_w(power_kw) / 10.0**self._watts_exponent),
            (701, "Hz"): round((hz + (JUMP_HZ if self.fault is MeterFault.JUMP else 0.0)) * 1000),
            (701, "TotWhInj"): round(float(self._charging.exported_kwh[self._which].sum()) * 1000),
            (701, "TotWhAbs"): round(float(self._charging.imported_kwh[self._which].sum()) * 1000),
        }
        for (model_id, name), value in shown.items():
            first, point = _FIRST[model_id], _POINTS[model_id, name]
            registers[first + point.offset : first + point.offset + point.size] = point.encode(value)
        return None
