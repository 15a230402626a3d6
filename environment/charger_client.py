"""The controller's side of a charger: SunSpec over Modbus TCP, whoever built the charger.

The models are discovered where the device has them; the scale factors and ratings are read once for each connection
(SunSpec calls them static), the live points with as few requests as the device's layout allows (one, for ours). What
comes back is checked before anyone sees it. Every request is wrapped in the clock's `outstanding()`, so that virtual
time stands still while a device is asked; time-outs are of the wall clock, because devices live there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from agents.ports import (
    ChargerNonsenseError,
    ChargerReading,
    ChargerRefusedError,
    ChargerSilentError,
)
from environment import sunspec
from environment.sunspec import BASE, END, MARKER, MODELS
from protocols.exchanges.vocabulary import ChargerState

UNIT = 1
MOST_REGISTERS = 125  # of one read request (Modbus application protocol 1.1b3, 6.3)
NEEDED = (701, 702, 704, 713)
FAULT = 6
NOMINAL_HZ = 50.0

# What cannot be: outside these a reading is nonsense, not an extreme.
PLAUSIBLE_HZ = (45.0, 55.0)
PLAUSIBLE_VOLTAGE = (0.5, 1.5)  # of the nominal voltage
POWER_MARGIN = 1.05
POWER_MARGIN_KW = 0.1

_LIVE = (
    (701, "InvSt"), (701, "ConnSt"), (701, "W"), (701, "LNV"), (701, "Hz"), (701, "TotWhInj"), (701, "TotWhAbs"),
    (702, "WChaRteMax"), (702, "WDisChaRteMax"),
    (713, "WHRtg"), (713, "WHAvail"), (713, "SoC"),
)  # fmt: skip
_DROOP = ("DbOf", "DbUf", "KOf", "KUf", "RspTms", "PMin")

Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Map:
    """What one device was found to be: where its models are, its scale factors, its ratings in kW and V."""

    models: dict[int, int]
    scales: dict[Key, int]
    max_charge_kw: float
    max_discharge_kw: float
    nominal_v: float
    reads: tuple[tuple[int, int], ...]
    percent_setpoints: tuple[list[int], list[int]]

    def address(self, key: Key) -> int:
        return self.models[key[0]] + MODELS[key[0]].points[key[1]].offset

    def scale(self, key: Key) -> float:
        name = MODELS[key[0]].points[key[1]].scale
        return 1.0 if name is None else 10.0 ** self.scales.get((key[0], name), 0)


class SunSpecCharger:
    """A charger as the agents' port `Charger`, reached at `host:port`.

    `outstanding` is the clock port's method of that name. `timeout_s` (wall clock) holds for each of `retries` + 1
    attempts. One connection is kept and made anew when it was lost.
    """

    def __init__(
        self,
        charger_id: str,
        host: str,
        port: int,
        outstanding: Callable[[], AbstractContextManager[None]],
        *,
        unit: int = UNIT,
        timeout_s: float = 1.0,
        retries: int = 1,
    ) -> None:
        self.charger_id = charger_id
        self.address = f"{host}:{port}"
        self._outstanding = outstanding
        self._unit = unit
        self._timeout_s = timeout_s
        self._client = AsyncModbusTcpClient(
            host, port=port, name=charger_id, timeout=timeout_s, retries=retries, reconnect_delay=0
        )
        self._map: _Map | None = None
        self._beats = 0

    # The port -----------------------------------------------------------------------------------------------

    async def read(self) -> ChargerReading:
        """What the charger measures now; see `agents.ports.Charger`."""
        with self._outstanding():
            found = await self._found()
            registers: dict[int, int] = {}
            for address, count in found.reads:
                registers.update(enumerate(await self._registers(address, count), address))
        values: dict[Key, float | None] = {}
        for key in _LIVE:
            point, first = MODELS[key[0]].points[key[1]], found.address(key)
            raw = point.decode([registers[first + i] for i in range(point.size)])
            values[key] = None if raw is None else raw * found.scale(key)
        return self._reading(found, values)

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        """Charge (> 0) or discharge (< 0) with `power_kw` for at most `reversion_s` seconds (0: without end)."""
        with self._outstanding():
            found = await self._found()
            watts = round(sunspec.to_sunspec_w(power_kw) / found.scale((704, "WSet")))
            block: list[int] = []
            for name, value in (
                ("WSetEna", 1), ("WSetMod", 1), ("WSet", watts), ("WSetRvrt", 0),
                ("WSetPct", 0), ("WSetPctRvrt", 1), ("WSetEnaRvrt", 0), ("WSetRvrtTms", reversion_s),
            ):  # fmt: skip
                # The percentages lie in the middle of the block, and go back as they were found.
                if name.startswith("WSetPct"):
                    block += found.percent_setpoints[value]
                else:
                    block += MODELS[704].points[name].encode(value)
            await self._write((704, "WSetEna"), block, f"the setpoint {power_kw:g} kW")

    async def release(self) -> None:
        """Disables the setpoint: the charger follows its own plan."""
        with self._outstanding():
            await self._found()
            await self._write((704, "WSetEna"), [0], "the end of the setpoint")

    async def heartbeat(self) -> None:
        """Counts the controller's heartbeat one further (model 715; nothing where the device has none)."""
        with self._outstanding():
            found = await self._found()
            if 715 in found.models:
                self._beats = self._beats % 0xFFFF_FFFE + 1
                block = MODELS[715].points["ControllerHb"].encode(self._beats)
                await self._write((715, "ControllerHb"), block, "the heartbeat")

    async def set_droop(self, *, full_activation_hz: float, deadband_hz: float = 0.0, response_s: float = 0.0) -> None:
        """Writes the second control set of model 711, adopts it and enables the function.

        KOf and KUf are per-unit frequency for a per-unit change of power, counted from the deadband's edge.
        ValueError where full activation is not beyond the deadband.
        """
        if not 0 <= deadband_hz < full_activation_hz:
            raise ValueError(f"a droop from {deadband_hz} Hz to {full_activation_hz} Hz is none")
        k = (full_activation_hz - deadband_hz) / NOMINAL_HZ
        wanted = dict(zip(_DROOP, (deadband_hz, deadband_hz, k, k, response_s, -100), strict=True))
        with self._outstanding():
            await self._droop_model()
            found = await self._found()
            block: list[int] = []
            for name, value in wanted.items():
                key = (711, f"Ctl[1].{name}")
                block += MODELS[711].points[key[1]].encode(round(value / found.scale(key)))
            await self._write((711, "Ctl[1].DbOf"), block, "the droop")
            await self._write((711, "Ena"), [1, 2], "the adoption of the droop")

    async def stop_droop(self) -> None:
        """Disables model 711."""
        with self._outstanding():
            await self._droop_model()
            await self._write((711, "Ena"), [0], "the end of the droop")

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()
        self._map = None

    # What it says -------------------------------------------------------------------------------------------

    def _reading(self, found: _Map, values: dict[Key, float | None]) -> ChargerReading:
        def number(key: Key, what: str) -> float:
            value = values[key]
            if value is None:
                raise self._nonsense(f"reports no {what} (point {key[1]} of model {key[0]} is not implemented)")
            return value

        power_kw = sunspec.to_grid_kw(number((701, "W"), "power"))
        voltage_v = number((701, "LNV"), "voltage")
        frequency_hz = number((701, "Hz"), "frequency")
        connected = number((701, "ConnSt"), "connection state") == 1
        low, high = (share * found.nominal_v for share in PLAUSIBLE_VOLTAGE)
        if not low <= voltage_v <= high:
            raise self._nonsense(f"reports a voltage of {voltage_v:g} V, outside {low:g} to {high:g} V")
        if not PLAUSIBLE_HZ[0] <= frequency_hz <= PLAUSIBLE_HZ[1]:
            raise self._nonsense(f"reports a frequency of {frequency_hz:g} Hz")
        most_kw = found.max_charge_kw * POWER_MARGIN + POWER_MARGIN_KW
        least_kw = -found.max_discharge_kw * POWER_MARGIN - POWER_MARGIN_KW
        if not least_kw <= power_kw <= most_kw:
            raise self._nonsense(f"reports {power_kw:g} kW, beyond its ratings {least_kw:g} to {most_kw:g} kW")
        soc = energy_kwh = capacity_kwh = None
        if connected:
            soc = number((713, "SoC"), "state of charge")
            energy_kwh = number((713, "WHAvail"), "energy") / 1000
            capacity_kwh = number((713, "WHRtg"), "capacity") / 1000
            if not 0 <= soc <= 100:
                raise self._nonsense(f"reports a state of charge of {soc:g} %")
            if not 0 <= energy_kwh <= capacity_kwh * 1.001 or capacity_kwh <= 0:
                raise self._nonsense(f"reports {energy_kwh:g} kWh in a battery of {capacity_kwh:g} kWh")
        elif abs(power_kw) > POWER_MARGIN_KW:
            raise self._nonsense(f"reports {power_kw:g} kW and no vehicle")
        charge_w, discharge_w = values[702, "WChaRteMax"], values[702, "WDisChaRteMax"]
        state = ChargerState.IDLE
        if values[701, "InvSt"] == FAULT:
            state = ChargerState.FAULT
        elif not connected:
            state = ChargerState.UNPLUGGED
        elif power_kw:
            state = ChargerState.CHARGING if power_kw > 0 else ChargerState.DISCHARGING
        return ChargerReading(
            power_kw=power_kw,
            voltage_v=voltage_v,
            frequency_hz=frequency_hz,
            connected=connected,
            soc_percent=soc,
            energy_kwh=energy_kwh,
            capacity_kwh=capacity_kwh,
            max_charge_kw=found.max_charge_kw if charge_w is None else charge_w / 1000,
            max_discharge_kw=found.max_discharge_kw if discharge_w is None else discharge_w / 1000,
            state=state,
            meter_kwh=((values[701, "TotWhAbs"] or 0.0) - (values[701, "TotWhInj"] or 0.0)) / 1000,
        )

    # What it is ---------------------------------------------------------------------------------------------

    async def _found(self) -> _Map:
        """The device's map; connects and discovers it where there is none."""
        if not self._client.connected:
            self._map = None
            # pymodbus keeps no more than the wish to reconnect, which we have none of.
            if not await self._client.connect():
                raise ChargerSilentError(
                    self.charger_id,
                    self.address,
                    "no connection",
                    "see that it is switched on and that the address is right",
                )
        if self._map is None:
            self._map = await self._discover()
        return self._map

    async def _discover(self) -> _Map:
        if tuple(await self._registers(BASE, len(MARKER))) != MARKER:
            raise self._nonsense(f"is no SunSpec device (no 'SunS' at register {BASE})")
        models: dict[int, int] = {}
        address = BASE + len(MARKER)
        while True:
            model_id, length = await self._registers(address, 2)
            if model_id == END[0]:
                break
            models.setdefault(model_id, address)
            address += length + 2
            if address > 0xFFFF - 2:
                raise self._nonsense("its list of SunSpec models has no end")
        if missing := [str(model_id) for model_id in NEEDED if model_id not in models]:
            raise self._nonsense(f"has no SunSpec model {' and '.join(missing)}")
        scales: dict[Key, int] = {}
        raws: dict[Key, int | None] = {}
        for model_id in (m for m in (701, 702, 704, 711, 713) if m in models):
            registers = await self._model(models[model_id], MODELS[model_id].size)
            for point in MODELS[model_id].points.values():
                if point.kind != "str" and point.offset + point.size <= len(registers):
                    raw = point.decode(registers[point.offset : point.offset + point.size])
                    raws[model_id, point.name] = raw
                    if point.kind == "sf" and raw is not None:
                        scales[model_id, point.name] = raw
        percents = (MODELS[704].points["WSetPct"], MODELS[704].points["WSetPctRvrt"])
        found = _Map(
            models, scales, 0.0, 0.0, 0.0, _reads(models),
            (percents[0].encode(raws[704, "WSetPct"]), percents[1].encode(raws[704, "WSetPctRvrt"])),
        )  # fmt: skip

        def rating(name: str) -> float:
            raw = raws[702, name]
            if raw is None:
                raise self._nonsense(f"reports no rating {name} (model 702)")
            return raw * found.scale((702, name))

        return _Map(
            models, scales, rating("WChaRteMaxRtg") / 1000, rating("WDisChaRteMaxRtg") / 1000,
            rating("VNomRtg"), found.reads, found.percent_setpoints,
        )  # fmt: skip

    async def _droop_model(self) -> None:
        if 711 not in (await self._found()).models:
            raise ChargerRefusedError(
                self.charger_id,
                self.address,
                "has no frequency droop (model 711)",
                "run the droop centrally or leave this charger out",
            )

    # The wire -----------------------------------------------------------------------------------------------

    async def _model(self, address: int, size: int) -> list[int]:
        registers: list[int] = []
        while len(registers) < size:
            count = min(MOST_REGISTERS, size - len(registers))
            registers += await self._registers(address + len(registers), count)
        return registers

    async def _registers(self, address: int, count: int) -> list[int]:
        try:
            answer: ModbusPDU = await self._client.read_holding_registers(address, count=count, device_id=self._unit)
        except (ModbusException, OSError) as error:
            raise self._silent() from error
        if answer.isError() or len(answer.registers) != count:
            raise self._nonsense(f"does not give {count} registers from {address} on ({answer})")
        return list(answer.registers)

    async def _write(self, key: Key, registers: list[int], what: str) -> None:
        found = await self._found()
        try:
            answer: ModbusPDU = await self._client.write_registers(found.address(key), registers, device_id=self._unit)
        except (ModbusException, OSError) as error:
            raise self._silent() from error
        if answer.isError():
            raise ChargerRefusedError(
                self.charger_id,
                self.address,
                f"refused {what} (Modbus exception {answer.exception_code})",
                "compare it with the charger's ratings, and see whether it is switched to local control",
            )

    def _silent(self) -> ChargerSilentError:
        # The next call connects anew: an answer that comes too late must not meet another question.
        self._client.close()
        return ChargerSilentError(
            self.charger_id,
            self.address,
            f"no answer within {self._timeout_s:g} s",
            "see to the charger and its network; it falls back to its own plan by itself",
        )

    def _nonsense(self, fault: str) -> ChargerNonsenseError:
        return ChargerNonsenseError(
            self.charger_id, self.address, fault, "do not rely on it until its measurement is put right"
        )


def _reads(models: dict[int, int]) -> tuple[tuple[int, int], ...]:
    """The fewest requests that cover the live points: (address, count) each."""
    spans: list[tuple[int, int]] = []
    for model_id, name in _LIVE:
        point = MODELS[model_id].points[name]
        spans.append((models[model_id] + point.offset, models[model_id] + point.offset + point.size))
    reads: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if reads and last - reads[-1][0] <= MOST_REGISTERS:
            reads[-1] = (reads[-1][0], max(last - reads[-1][0], reads[-1][1]))
        else:
            reads.append((first, last - first))
    return tuple(reads)
