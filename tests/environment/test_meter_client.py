"""Meters of other makers, and meters that do not behave, over real Modbus TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agents.fcr_ports import MeterError
from environment.meter_client import EPOCH, SunSpecMeter
from environment.sunspec import BASE, END, MARKER, MODELS
from tests.environment.park import HandClock

Values = dict[tuple[int, str], int | None]

# The clock behind the measurement, and so far behind that one request does not cover both.
ORDER = (1, 701, 702, 122)
SHOWN: Values = {
    (701, "W"): -74, (701, "W_SF"): 2, (701, "Hz"): 4_999, (701, "Hz_SF"): -2, (122, "Tms"): 86_400,
}  # fmt: skip


@asynccontextmanager
async def foreign(shown: Values) -> AsyncIterator[tuple[SunSpecMeter, list[int]]]:
    """A reader of a meter that shows these values as they are at each access, and how many registers were asked for."""
    first, address = {}, len(MARKER)
    for model_id in ORDER:
        first[model_id] = address
        address += MODELS[model_id].size
    asked: list[int] = []

    def fill(registers: list[int]) -> None:
        for model_id in ORDER:
            for name, point in MODELS[model_id].points.items():
                value = {"ID": model_id, "L": MODELS[model_id].size - 2}.get(name, shown.get((model_id, name)))
                begin = first[model_id] + point.offset
                registers[begin : begin + point.size] = point.encode(value)

    async def access(
        _function: int, _start: int, _address: int, count: int, registers: list[int], _values: object
    ) -> ExcCodes | None:
        asked.append(count)
        fill(registers)
        return None

    registers = [*MARKER, *[0] * (address - len(MARKER)), *END]
    fill(registers)
    device = SimDevice(id=1, simdata=[SimData(BASE, values=registers, datatype=DataType.REGISTERS)], action=access)
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    meter = SunSpecMeter("theirs", "127.0.0.1", port, HandClock().outstanding)
    try:
        yield meter, asked
    finally:
        meter.close()
        await server.shutdown()  # type: ignore[no-untyped-call]


async def test_a_meter_of_another_maker_is_read_with_the_fewest_requests() -> None:
    async with foreign(SHOWN) as (meter, asked):
        sample = await meter.read()
        assert (sample.at, sample.hz) == (EPOCH + timedelta(days=1), 49.99)
        assert sample.power_kw == pytest.approx(7.4)
        asked.clear()
        await meter.read()
        assert len(asked) == 2


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({(701, "Hz"): None}, "reports no frequency"),
        ({(701, "Hz"): 6_000}, "reports a frequency of 60 Hz"),
        ({(701, "W"): None}, "reports no power"),
        ({(122, "Tms"): None}, "reports no time"),
    ],
)
async def test_every_kind_of_nonsense_has_its_line(changes: Values, fault: str) -> None:
    async with foreign({**SHOWN, **changes}) as (meter, _):
        with pytest.raises(MeterError, match=f"meter theirs at 127.*: {fault}; do not rely on it") as told:
            await meter.read()
        assert told.value.fault == fault


async def test_the_scales_are_read_anew_after_nonsense() -> None:
    shown: Values = {**SHOWN, (701, "Hz_SF"): None}
    async with foreign(shown) as (meter, _):
        with pytest.raises(MeterError, match="a frequency of 4999 Hz"):
            await meter.read()
        shown[701, "Hz_SF"] = -2
        assert (await meter.read()).hz == 49.99


async def test_a_meter_that_is_not_there_or_never_answers_is_told_as_such() -> None:
    over = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        over.set()

    clock = HandClock()
    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    meter = SunSpecMeter("m", "127.0.0.1", port, clock.outstanding, timeout_s=0.05)
    async with server:
        with pytest.raises(MeterError, match=r"no answer within 0\.05 s; see to the meter and its network"):
            await meter.read()
        await over.wait()
    with pytest.raises(MeterError, match="no connection; see that it is switched on"):
        await meter.read()
    assert clock.out == 0


async def test_a_device_that_is_no_sunspec_device_is_no_meter() -> None:
    device = SimDevice(id=1, simdata=[SimData(BASE, count=200, values=0, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    meter = SunSpecMeter("m", "127.0.0.1", port, HandClock().outstanding)
    with pytest.raises(MeterError, match=r"is no SunSpec device .*; see that the address is right"):
        await meter.read()
    meter.close()
    await server.shutdown()  # type: ignore[no-untyped-call]
