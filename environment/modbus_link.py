"""One SunSpec device on Modbus TCP, from the asking side: the connection, one thing at a time, what the device is.

What the charger's and the meter's clients have in common. Time-outs are of the wall clock, because devices live there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeAlias

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from environment.sunspec import Key
from environment.sunspec_discovery import DeviceMap, NotSunSpecError, Read, Request

UNIT = 1
TIMEOUT_S = 3.0

# pymodbus logs each fault that it also reports; where nobody listens to the log, it stays silent.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


class ModbusFault(Exception):
    """The device gives no answer: what happened, and what to do."""

    def __init__(self, fault: str, advice: str) -> None:
        super().__init__(f"{fault}; {advice}")
        self.fault = fault
        self.advice = advice


Trouble: TypeAlias = ModbusFault | NotSunSpecError


class ModbusLink:
    """The connection to a device ("charger", "meter") at `host:port`; made where it is needed, and kept.

    `outstanding` is the clock port's method of that name: scenario time stands still while the device is asked.
    `timeout_s` holds for connecting and for each request; a request is not repeated, because TCP does that already.
    `discover` finds out what the device is, once for each connection; `live` are the points that `measured` reads, and
    `in_words` makes of a trouble the error that the user of the link is to see.
    """

    def __init__(
        self,
        device: str,
        name: str,
        host: str,
        port: int,
        outstanding: Callable[[], AbstractContextManager[None]],
        *,
        discover: Callable[[Read], Awaitable[DeviceMap]],
        live: Sequence[Key],
        in_words: Callable[[Trouble], Exception],
        unit: int = UNIT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.address = f"{host}:{port}"
        self._device = device
        self._outstanding = outstanding
        self._discover, self._live, self._in_words = discover, live, in_words
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
        self._map: DeviceMap | None = None
        self._requests: tuple[Request, ...] = ()

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[DeviceMap]:
        """One thing at a time with the device. Raises what `in_words` makes of a trouble."""
        with self._outstanding():
            async with self._one_at_a_time:
                try:
                    yield await self._connected()
                except asyncio.CancelledError:
                    # An answer that comes after all must not meet another question.
                    self.close()
                    raise
                except (ModbusFault, NotSunSpecError) as error:
                    self.close()
                    raise self._in_words(error) from error

    def close(self) -> None:
        """Ends the connection; the next asking makes a new one."""
        self._client.close()
        self._map = None

    # While asking: each raises ModbusFault, or NotSunSpecError, for `asking` to turn into words --------------

    async def measured(self) -> dict[Key, float | None]:
        """The live points in their units, None where one is not implemented."""
        values: dict[Key, float | None] = {}
        for request in self._requests:
            request.take(await self.registers(request.address, request.count), values)
        return values

    async def registers(self, address: int, count: int) -> Sequence[int]:
        """The registers from `address` on."""
        answer = await self._answer(
            lambda: self._client.read_holding_registers(address, count=count, device_id=self._unit)
        )
        if answer.isError() or len(answer.registers) != count:
            raise NotSunSpecError(f"does not give {count} registers from {address} on ({_said(answer)})")
        return answer.registers

    async def write(self, address: int, registers: list[int]) -> str | None:
        """Writes the registers from `address` on: None where the device takes them, otherwise how it refuses."""
        answer = await self._answer(lambda: self._client.write_registers(address, registers, device_id=self._unit))
        return _said(answer) if answer.isError() else None

    async def _connected(self) -> DeviceMap:
        if not self._client.connected:
            self._map = None
            if not await self._client.connect():
                raise ModbusFault("no connection", "see that it is switched on and that the address is right")
        if self._map is None:
            device = await self._discover(self.registers)
            self._map, self._requests = device, device.requests(self._live)
        return self._map

    def _connection_changed(self, connected: bool) -> None:
        """pymodbus waits for an answer even when the connection is gone; the wait ends here."""
        if not connected and self._awaiting_answer and not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(ConnectionException("the connection was lost"))

    async def _answer(self, ask: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU:
        self._awaiting_answer = True
        try:
            return await ask()
        except ConnectionException as error:
            raise ModbusFault("it ended the connection instead of answering", f"see to the {self._device}") from error
        except (ModbusException, OSError) as error:
            advice = f"see to the {self._device} and its network"
            raise ModbusFault(f"no answer within {self._timeout_s:g} s", advice) from error
        finally:
            self._awaiting_answer = False


def _said(answer: ModbusPDU) -> str:
    if answer.isError():
        return f"Modbus exception {answer.exception_code}"
    return f"{len(answer.registers)} registers came"
