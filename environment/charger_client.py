"""The controller's side of a charger: SunSpec over Modbus TCP, whoever built the charger.

The live points come with as few requests as the device's layout allows (one, for ours), and are checked before anyone
sees them. Every request is wrapped in the clock's `outstanding()`, so that virtual time stands still while a device is
asked; time-outs are of the wall clock, because devices live there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from agents.ports import ChargerNonsenseError, ChargerReading, ChargerRefusedError, ChargerSilentError, DroopCurve
from environment import sunspec
from environment.modbus_link import TIMEOUT_S, UNIT, ModbusFault, ModbusLink, Trouble
from environment.sunspec import MODELS, Key
from environment.sunspec_discovery import DeviceMap, Read, discover
from protocols.exchanges.vocabulary import ChargerState
from protocols.units import NOMINAL_HZ

FAULT = 6  # InvSt

# What cannot be: outside these a reading is nonsense, not an extreme.
PLAUSIBLE_HZ = (45.0, 55.0)
PLAUSIBLE_VOLTAGE = (0.5, 1.5)  # of the nominal voltage
POWER_MARGIN = 1.05
POWER_MARGIN_KW = 0.1
LONGEST_S = 0xFFFF_FFFF  # "not implemented" as a number of seconds
A_WHOLE = 1e-6  # a number that floating point leaves so little below a whole one is that one

NEEDED = (701, 702, 704, 713)
KNOWN = (701, 702, 704, 711, 713)
_LIVE: tuple[Key, ...] = (
    (701, "InvSt"), (701, "ConnSt"), (701, "W"), (701, "LNV"), (701, "Hz"), (701, "TotWhInj"), (701, "TotWhAbs"),
    (702, "WChaRteMax"), (702, "WDisChaRteMax"),
    (713, "WHRtg"), (713, "WHAvail"), (713, "SoC"),
)  # fmt: skip
SETPOINT = ("WSetEna", "WSetMod", "WSet", "WSetRvrt", "WSetPct", "WSetPctRvrt", "WSetEnaRvrt", "WSetRvrtTms")
NO_RESPONSE_HZ = PLAUSIBLE_HZ[1] - NOMINAL_HZ  # a deadband that no frequency leaves
_DROOP = ("DbOf", "DbUf", "KOf", "KUf", "RspTms", "PMin")


class SunSpecCharger:
    """A charger as the agents' port `Charger`, reached at `host:port`.

    `outstanding`, `unit` and `timeout_s` are the link's. One connection is kept, and made anew by the next call when
    it was lost.
    """

    def __init__(
        self,
        charger_id: str,
        host: str,
        port: int,
        outstanding: Callable[[], AbstractContextManager[None]],
        *,
        unit: int = UNIT,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.charger_id = charger_id
        self._link = ModbusLink(
            "charger",
            charger_id,
            host,
            port,
            outstanding,
            discover=_discovered,
            live=_LIVE,
            in_words=self._in_words,
            unit=unit,
            timeout_s=timeout_s,
        )
        self.address = self._link.address
        self._beats = 0

    # The port -----------------------------------------------------------------------------------------------

    async def read(self) -> ChargerReading:
        """What the charger measures now; see `agents.ports.Charger`."""
        async with self._link.asking() as device:
            return self._reading(device, await self._link.measured())

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        """Charge (> 0) or discharge (< 0) with `power_kw` for at most `reversion_s` seconds (0: without end)."""
        if not math.isfinite(power_kw) or not 0 <= reversion_s < LONGEST_S:
            raise ValueError(f"charger {self.charger_id}: {power_kw} kW for {reversion_s} s is no setpoint")
        async with self._link.asking() as device:
            watts = round(sunspec.to_sunspec_w(power_kw) / device.scale((704, "WSet")))
            wanted = {"WSetEna": 1, "WSetMod": 1, "WSet": watts, "WSetRvrt": 0, "WSetEnaRvrt": 0,
                      "WSetRvrtTms": reversion_s}  # fmt: skip
            await self._order(device, wanted, f"the setpoint of {power_kw:g} kW")

    async def hold_power(self, power_kw: float, *, for_s: int, then_kw: float) -> None:
        """Charge with `power_kw`, then with `then_kw`: the reversion values of model 704 are the later setpoint."""
        for value in (power_kw, then_kw):
            if not math.isfinite(value) or value < 0:
                raise ValueError(f"charger {self.charger_id}: {value} kW is no power to hold")
        if not 0 < for_s < LONGEST_S:
            raise ValueError(f"charger {self.charger_id}: {for_s} s is no time to hold a power for")
        async with self._link.asking() as device:
            scale = device.scale((704, "WSet"))
            # Rounded towards nothing, so that many of them stay below a cap.
            now, later = (-math.floor(kw * 1000 / scale + A_WHOLE) for kw in (power_kw, then_kw))
            wanted = {"WSetEna": 1, "WSetMod": 1, "WSet": now, "WSetRvrt": later, "WSetEnaRvrt": 1,
                      "WSetRvrtTms": for_s}  # fmt: skip
            await self._order(device, wanted, f"to hold {power_kw:g} kW and then {then_kw:g} kW")

    async def _order(self, device: DeviceMap, wanted: Mapping[str, int], what: str) -> None:
        """Writes the setpoint of model 704 with its reversion in one request."""
        block: list[int] = []
        # The percentages lie in the middle of the block, and go back as they were found.
        for name in SETPOINT:
            as_found = name not in wanted
            block += device.as_found((704, name)) if as_found else MODELS[704].points[name].encode(wanted[name])
        await self._write(device, (704, "WSetEna"), block, what)

    async def release(self) -> None:
        """Disables the setpoint: the charger follows its own plan."""
        async with self._link.asking() as device:
            await self._write(device, (704, "WSetEna"), [0], "the end of the setpoint")

    async def heartbeat(self) -> None:
        """Counts the controller's heartbeat one further (model 715; nothing where the device has none)."""
        async with self._link.asking() as device:
            if 715 in device.models:
                self._beats = self._beats % 0xFFFF_FFFE + 1
                block = MODELS[715].points["ControllerHb"].encode(self._beats)
                await self._write(device, (715, "ControllerHb"), block, "the heartbeat")

    async def set_droop(self, *, full_activation_hz: float, deadband_hz: float = 0.0, response_s: float = 0.0) -> None:
        """The same droop in both directions, from the deadband's edge to `full_activation_hz` beside 50 Hz.
        ValueError where full activation is not beyond the deadband.
        """
        if not 0 <= deadband_hz < full_activation_hz:
            raise ValueError(f"a droop from {deadband_hz} Hz to {full_activation_hz} Hz is none")
        range_hz = full_activation_hz - deadband_hz
        await self.set_droop_curve(DroopCurve(deadband_hz, deadband_hz, range_hz, range_hz, response_s))

    async def set_droop_curve(self, curve: DroopCurve) -> None:
        """Writes the second control set of model 711, adopts it and enables the function.

        KOf and KUf are per-unit frequency for a per-unit change of power, counted from the deadband's edge; both are
        rounded to the device's scale. A direction without response has a deadband that no frequency leaves.
        """
        wanted: dict[str, float] = {"RspTms": curve.response_s, "PMin": -100}
        for side, deadband_hz, range_hz in (
            ("Of", curve.deadband_over_hz, curve.over_hz),
            ("Uf", curve.deadband_under_hz, curve.under_hz),
        ):
            wanted[f"Db{side}"] = NO_RESPONSE_HZ if range_hz is None else deadband_hz
            wanted[f"K{side}"] = NO_RESPONSE_HZ / NOMINAL_HZ if range_hz is None else range_hz / NOMINAL_HZ
        async with self._link.asking() as device:
            self._see_droop(device)
            block: list[int] = []
            for name in _DROOP:
                key = (711, f"Ctl[1].{name}")
                block += MODELS[711].points[key[1]].encode(round(wanted[name] / device.scale(key)))
            await self._write(device, (711, "Ctl[1].DbOf"), block, "the droop")
            await self._write(device, (711, "Ena"), [1, 2], "the adoption of the droop")

    async def stop_droop(self) -> None:
        """Disables model 711."""
        async with self._link.asking() as device:
            self._see_droop(device)
            await self._write(device, (711, "Ena"), [0], "the end of the droop")

    def close(self) -> None:
        """Ends the connection; the next call makes a new one."""
        self._link.close()

    # What it says -------------------------------------------------------------------------------------------

    def _reading(self, device: DeviceMap, values: Mapping[Key, float | None]) -> ChargerReading:
        """The values of `_LIVE` as a reading. Raises ChargerNonsenseError."""

        def number(key: Key, what: str) -> float:
            value = values[key]
            if value is None:
                raise self._nonsense(f"reports no {what} (point {key[1]} of model {key[0]} is not implemented)")
            return value

        charge_kw, discharge_kw = device.rating("WChaRteMaxRtg") / 1000, device.rating("WDisChaRteMaxRtg") / 1000
        power_kw = sunspec.to_grid_kw(number((701, "W"), "power"))
        voltage_v = number((701, "LNV"), "voltage")
        frequency_hz = number((701, "Hz"), "frequency")
        connected = number((701, "ConnSt"), "connection state") == 1
        low_v, high_v = (share * device.rating("VNomRtg") for share in PLAUSIBLE_VOLTAGE)
        if not low_v <= voltage_v <= high_v:
            raise self._nonsense(f"reports a voltage of {voltage_v:g} V, outside {low_v:g} to {high_v:g} V")
        if not PLAUSIBLE_HZ[0] <= frequency_hz <= PLAUSIBLE_HZ[1]:
            raise self._nonsense(f"reports a frequency of {frequency_hz:g} Hz")
        most_kw, least_kw = (kw * POWER_MARGIN + POWER_MARGIN_KW for kw in (charge_kw, discharge_kw))
        if not -least_kw <= power_kw <= most_kw:
            raise self._nonsense(f"reports {power_kw:g} kW, beyond its ratings -{discharge_kw:g} to {charge_kw:g} kW")
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
        state = ChargerState.IDLE
        if values[701, "InvSt"] == FAULT:
            state = ChargerState.FAULT
        elif not connected:
            state = ChargerState.UNPLUGGED
        elif power_kw:
            state = ChargerState.CHARGING if power_kw > 0 else ChargerState.DISCHARGING
        set_charge_w, set_discharge_w = values[702, "WChaRteMax"], values[702, "WDisChaRteMax"]
        return ChargerReading(
            power_kw=power_kw,
            voltage_v=voltage_v,
            frequency_hz=frequency_hz,
            connected=connected,
            soc_percent=soc,
            energy_kwh=energy_kwh,
            capacity_kwh=capacity_kwh,
            max_charge_kw=charge_kw if set_charge_w is None else min(charge_kw, set_charge_w / 1000),
            max_discharge_kw=discharge_kw if set_discharge_w is None else min(discharge_kw, set_discharge_w / 1000),
            state=state,
            meter_kwh=((values[701, "TotWhAbs"] or 0.0) - (values[701, "TotWhInj"] or 0.0)) / 1000,
        )

    def _see_droop(self, device: DeviceMap) -> None:
        if (711, "Ctl[1].PMin") not in device.raws:
            raise ChargerRefusedError(
                self.charger_id,
                self.address,
                "has no frequency droop that can be set (model 711)",
                "run the droop centrally or leave this charger out",
            )

    async def _write(self, device: DeviceMap, key: Key, registers: list[int], what: str) -> None:
        if refusal := await self._link.write(device.address(key), registers):
            raise ChargerRefusedError(
                self.charger_id,
                self.address,
                f"refused {what} ({refusal})",
                "compare it with the charger's ratings, and see whether it is switched to local control",
            )

    def _in_words(self, trouble: Trouble) -> Exception:
        if isinstance(trouble, ModbusFault):
            return ChargerSilentError(self.charger_id, self.address, trouble.fault, trouble.advice)
        return self._nonsense(str(trouble))

    def _nonsense(self, fault: str) -> ChargerNonsenseError:
        advice = "do not rely on it until its measurement is put right"
        return ChargerNonsenseError(self.charger_id, self.address, fault, advice)


async def _discovered(read: Read) -> DeviceMap:
    device = await discover(read, needed=NEEDED, known=KNOWN)
    for name in ("WChaRteMaxRtg", "WDisChaRteMaxRtg", "VNomRtg"):
        device.rating(name)
    return device
