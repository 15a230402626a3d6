"""A frequency meter's reader: SunSpec over Modbus TCP, one request for each reading.

The meter's power and frequency are model 701's `W` and `Hz`; its clock is model 122's `Tms`, whole seconds since the
beginning of 2000, the one point of SunSpec's with the time of day.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import partial

from agents.fcr_ports import MeterError, MeterSample
from environment import sunspec
from environment.charger_client import PLAUSIBLE_HZ
from environment.modbus_link import TIMEOUT_S, UNIT, ModbusFault, ModbusLink, Trouble
from environment.sunspec import Key
from environment.sunspec_discovery import discover

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK, WATTS, HERTZ = (122, "Tms"), (701, "W"), (701, "Hz")
NEEDED = (122, 701)
KNOWN = (701,)  # of model 122 the clock alone is used, and it has no scale


class SunSpecMeter:
    """A meter as the agents' port `FrequencyMeter`, reached at `host:port`.

    `outstanding`, `unit` and `timeout_s` are the link's. A lost connection is made anew by the next reading.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        outstanding: Callable[[], AbstractContextManager[None]],
        *,
        unit: int = UNIT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._link = ModbusLink(
            "meter",
            name,
            host,
            port,
            outstanding,
            discover=partial(discover, needed=NEEDED, known=KNOWN),
            live=(CLOCK, WATTS, HERTZ),
            in_words=self._in_words,
            unit=unit,
            timeout_s=timeout_s,
        )
        self.address = self._link.address

    async def read(self) -> MeterSample:
        """See `agents.fcr_ports.FrequencyMeter`."""
        async with self._link.asking():
            try:
                return self._sample(await self._link.measured())
            except MeterError:
                # What is wrong may be a scale, and scales are read once for each connection.
                self.close()
                raise

    def close(self) -> None:
        """Ends the connection; the next reading makes a new one."""
        self._link.close()

    def _sample(self, values: Mapping[Key, float | None]) -> MeterSample:
        def number(key: Key, what: str) -> float:
            value = values[key]
            if value is None:
                raise self._nonsense(f"reports no {what}")
            return value

        hz = number(HERTZ, "frequency")
        if not PLAUSIBLE_HZ[0] <= hz <= PLAUSIBLE_HZ[1]:
            raise self._nonsense(f"reports a frequency of {hz:g} Hz")
        power_kw = sunspec.to_grid_kw(number(WATTS, "power"))
        return MeterSample(EPOCH + timedelta(seconds=number(CLOCK, "time")), round(hz, 6), power_kw)

    def _in_words(self, trouble: Trouble) -> Exception:
        if isinstance(trouble, ModbusFault):
            return MeterError(self.name, self.address, trouble.fault, trouble.advice)
        advice = "see that the address is right, and that it is a SunSpec meter with frequency and clock"
        return MeterError(self.name, self.address, str(trouble), advice)

    def _nonsense(self, fault: str) -> MeterError:
        return MeterError(self.name, self.address, fault, "do not rely on it until it is put right")
