"""The chargers of a run, each behind a Modbus TCP server of its own, in the event loop that runs everything else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer

from environment.charger_device import ChargerFault, ChargerSpec
from environment.charger_map import WRITE_FUNCTIONS
from environment.charging import HEARTBEAT_TIMEOUT_S, Charging, FrequencyFeed, ParkError
from environment.vehicles import Fleet

__all__ = ["ChargerFault", "ChargerPark", "ChargerSpec", "Endpoint", "ParkError"]

READ_HOLDING_REGISTERS = 3
ROUNDS_TO_ACCEPT = 5

# pymodbus logs each fault that it also reports; where nobody listens to the log, it stays silent.
logging.getLogger("pymodbus").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a charger's Modbus TCP server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ChargerPark(Charging):
    """`Charging` with its chargers on the network; `endpoints` says where, once they are started."""

    def __init__(
        self,
        specs: Sequence[ChargerSpec],
        fleet: Fleet,
        now: Callable[[], datetime],
        *,
        heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S,
        feed: FrequencyFeed | None = None,
    ) -> None:
        super().__init__(specs, fleet, now, heartbeat_timeout_s=heartbeat_timeout_s, feed=feed)
        self.endpoints: dict[str, Endpoint] = {}
        self._faults: dict[int, ChargerFault] = {}
        self._servers: list[ModbusTcpServer] = []

    async def start(self, host: str = "127.0.0.1", ports: Sequence[int] | None = None) -> None:
        """Starts a Modbus TCP server for each charger, on ports of the system's choice where none are given.
        Raises ParkError where a port cannot be had."""
        for charger, registers in enumerate(self._registers):
            port = 0 if ports is None else ports[charger]
            server = ModbusTcpServer(
                registers.build(partial(self._access, charger)),
                address=(host, port),
                trace_packet=partial(self._pass, charger),
            )
            if not await server.listen():
                await self.stop()
                raise ParkError(
                    f"charger {self.ids[charger]} cannot listen on {host}:{port}; "
                    "choose a free port, or allow more open files"
                )
            assert isinstance(server.transport, asyncio.Server)
            self._servers.append(server)
            self.endpoints[self.ids[charger]] = Endpoint(host, server.transport.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Closes every server and its connections."""
        # asyncio leaks a connection whose server closes while it is being accepted: those first, then the servers.
        await rounds_of_the_loop()
        for server in self._servers:
            hang_up(server)
            await server.shutdown()  # type: ignore[no-untyped-call]
        # A closed connection lets go of its socket in the loop's next round.
        await rounds_of_the_loop()
        self._servers.clear()
        self.endpoints.clear()

    def set_fault(self, charger_id: str, fault: ChargerFault | None) -> None:
        """Makes a charger silent, talk nonsense or ignore its orders (None: well again); the charging goes on.

        A silent charger hangs up on every request, so that its controller knows at once and scenario time need not
        wait for a time-out of the wall clock.
        """
        charger = self.index[charger_id]
        if fault is None:
            self._faults.pop(charger, None)
        else:
            self._faults[charger] = fault
        self._ignore(charger, fault is ChargerFault.IGNORES)

    def set_local(self, charger_id: str, local: bool) -> None:
        """Switches a charger to local control, as a technician does: it then refuses remote orders."""
        self.advance()
        charger = self.index[charger_id]
        self._registers[charger].local = local
        if local:
            self._disable(charger)

    async def _access(
        self,
        charger: int,
        function: int,
        _start: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """pymodbus calls this before each access to the registers."""
        device = self._registers[charger]
        if values is None:
            # pymodbus reads back what it has written, under the function code of the writing.
            if function not in (READ_HOLDING_REGISTERS, *WRITE_FUNCTIONS):
                return ExcCodes.ILLEGAL_FUNCTION
            self.advance()
            device.show(registers, address, count, self._live(charger), self._faults.get(charger))
            return None
        wanted = device.check(function, address, [int(value) for value in values])
        if isinstance(wanted, ExcCodes):
            return wanted
        self.advance()
        self._write(charger, wanted)
        return None

    def _pass(self, charger: int, sending: bool, data: bytes) -> bytes:
        """Every packet in and out of a charger."""
        if self._faults.get(charger) is not ChargerFault.SILENT:
            return data
        if not sending:
            asyncio.get_running_loop().call_soon(hang_up, self._servers[charger])
        return b""


def hang_up(server: ModbusTcpServer) -> None:
    """Closes every connection of a server."""
    for connection in list(server.active_connections.values()):
        connection.close()


async def rounds_of_the_loop() -> None:
    """Lets the event loop go round until what was closed or opened is so."""
    for _ in range(ROUNDS_TO_ACCEPT):
        await asyncio.sleep(0)
