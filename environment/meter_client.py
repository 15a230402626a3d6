"""A frequency meter's reader: SunSpec over Modbus TCP, one request for each reading.

The meter's power and frequency are model 701's `W` and `Hz`; its clock is model 122's `Tms`, whole seconds since the
beginning of 2000, the one point of SunSpec's with the time of day. Requests are wrapped in the clock's
`outstanding()`, so that virtual time stands still while a meter is asked; time-outs are of the wall clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException

from agents.fcr_ports import MeterError, MeterSample
from environment import sunspec
from environment.charger_client import PLAUSIBLE_HZ
from environment.sunspec import BASE, END, MARKER, MODELS, Model, Point
from environment.sunspec_discovery import MOST_REGISTERS

UNIT = 1
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

_STATUS = """ID:u16 L:u16 PVConn:b16 StorConn:b16 ECPConn:b16 ActWh:u64 ActVAh:u64 ActVArhQ1:u64 ActVArhQ2:u64
    ActVArhQ3:u64 ActVArhQ4:u64 VArAval:i16 VArAval_SF:sf WAval:u16 WAval_SF:sf StSetLimMsk:b32 StActCtl:b32
    TmSrc:str Tms:u32 RtSt:b16 Ris:u16 Ris_SF:sf"""
_SIZES = {"u64": 4, "str": 4, "b32": 2, "u32": 2}


def _status() -> Model:
    points: dict[str, Point] = {}
    offset = 0
    for entry in _STATUS.split():
        name, kind = entry.split(":")
        points[name] = Point(name, kind, offset, _SIZES.get(kind, 1), None, writable=False)
        offset += points[name].size
    return Model(122, points, offset)


STATUS = _status()
"""SunSpec's model 122, Measurements_Status (its counters, acc64, are u64 here)."""
CLOCK, WATTS, HERTZ = STATUS.points["Tms"], MODELS[701].points["W"], MODELS[701].points["Hz"]


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a meter's points lie, their scales, and the requests that cover them."""

    at: Mapping[Point, int]
    w_scale: float
    hz_scale: float
    reads: tuple[tuple[int, int], ...]


class SunSpecMeter:
    """A meter as the agents' port `FrequencyMeter`, reached at `host:port`.

    `outstanding` is the clock port's method of that name; `timeout_s` is of the wall clock and holds for connecting
    and for each request, none of which is repeated. A lost connection is made anew by the next reading.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        outstanding: Callable[[], AbstractContextManager[None]],
        *,
        unit: int = UNIT,
        timeout_s: float = 3.0,
    ) -> None:
        self.name = name
        self.address = f"{host}:{port}"
        self._outstanding = outstanding
        self._unit = unit
        self._timeout_s = timeout_s
        self._client = AsyncModbusTcpClient(
            host,
            port=port,
            name=name,
            timeout=timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_connect=self._connection_changed,
        )
        self._one_at_a_time = asyncio.Lock()
        self._awaiting_answer = False
        self._places: _Places | None = None

    async def read(self) -> MeterSample:
        """See `agents.fcr_ports.FrequencyMeter`."""
        with self._outstanding():
            async with self._one_at_a_time:
                try:
                    return await self._sample(await self._connected())
                except (asyncio.CancelledError, MeterError):
                    # An answer that comes after all must not meet another question.
                    self.close()
                    raise

    def close(self) -> None:
        """Ends the connection; the next reading makes a new one."""
        self._client.close()
        self._places = None

    async def _sample(self, places: _Places) -> MeterSample:
        registers: dict[int, int] = {}
        for address, count in places.reads:
            registers.update(enumerate(await self._registers(address, count), address))

        def raw(point: Point, what: str) -> int:
            first = places.at[point]
            value = point.decode([registers[first + i] for i in range(point.size)])
            if value is None:
                raise self._error(f"reports no {what}", "do not rely on it until it is put right")
            return value

        hz = raw(HERTZ, "frequency") * places.hz_scale
        if not PLAUSIBLE_HZ[0] <= hz <= PLAUSIBLE_HZ[1]:
            raise self._error(f"reports a frequency of {hz:g} Hz", "do not rely on it until it is put right")
        power_kw = sunspec.to_grid_kw(raw(WATTS, "power") * places.w_scale)
        return MeterSample(EPOCH + timedelta(seconds=raw(CLOCK, "time")), round(hz, 6), power_kw)

    async def _connected(self) -> _Places:
        if not self._client.connected:
            self._places = None
            if not await self._client.connect():
                raise self._error("no connection", "see that it is switched on and that the address is right")
        if self._places is None:
            self._places = await self._discovered()
        return self._places

    async def _discovered(self) -> _Places:
        if tuple(await self._registers(BASE, len(MARKER))) != MARKER:
            raise self._error(f"is no SunSpec device (no 'SunS' at register {BASE})", "see that the address is right")
        models: dict[int, int] = {}
        address = BASE + len(MARKER)
        while (header := await self._registers(address, 2))[0] != END[0]:
            models.setdefault(header[0], address)
            address += header[1] + 2
            if address > 0xFFFF - 2:
                raise self._error("has a list of SunSpec models without an end", "use another meter")
        if missing := [str(model_id) for model_id in (122, 701) if model_id not in models]:
            raise self._error(f"has no SunSpec model {', '.join(missing)}", "use a meter with frequency and clock")
        scales: dict[str, float] = {}
        for name in ("W_SF", "Hz_SF"):
            point = MODELS[701].points[name]
            exponent = point.decode(await self._registers(models[701] + point.offset, point.size))
            scales[name] = 10.0 ** (exponent or 0)
        at = {CLOCK: models[122] + CLOCK.offset, WATTS: models[701] + WATTS.offset, HERTZ: models[701] + HERTZ.offset}
        reads: list[tuple[int, int]] = []
        for point, first in sorted(at.items(), key=lambda item: item[1]):
            if reads and first + point.size - reads[-1][0] <= MOST_REGISTERS:
                reads[-1] = (reads[-1][0], first + point.size - reads[-1][0])
            else:
                reads.append((first, point.size))
        return _Places(at, scales["W_SF"], scales["Hz_SF"], tuple(reads))

    def _connection_changed(self, connected: bool) -> None:
        """pymodbus waits for an answer even when the connection is gone; the wait ends here."""
        if not connected and self._awaiting_answer and not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(ConnectionException("the connection was lost"))

    async def _registers(self, address: int, count: int) -> list[int]:
        self._awaiting_answer = True
        try:
            answer = await self._client.read_holding_registers(address, count=count, device_id=self._unit)
        except ConnectionException as error:
            raise self._error("it ended the connection instead of answering", "see to the meter") from error
        except (ModbusException, OSError) as error:
            raise self._error(f"no answer within {self._timeout_s:g} s", "see to the meter and its network") from error
        finally:
            self._awaiting_answer = False
        if answer.isError() or len(answer.registers) != count:
            raise self._error(f"does not give {count} registers from {address} on", "see that it is a SunSpec meter")
        return list(answer.registers)

    def _error(self, fault: str, advice: str) -> MeterError:
        return MeterError(self.name, self.address, fault, advice)
