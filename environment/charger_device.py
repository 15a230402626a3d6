"""One charger as a SunSpec device: its registers, what may be written to them, and what a write does.

The registers show the live charger at the moment of reading. A write is taken as a whole or not at all: a point that
is not there or may not be written is exception 2 (illegal address), a value that cannot be is exception 3 (illegal
value), a charger switched to local control answers 7 (negative acknowledge). A value "not implemented" inside a block
leaves its point as it is.

Model 704: the setpoint holds until it is written anew, is disabled, or `WSetRvrtTms` seconds have passed since the
last write to it; then `WSetEnaRvrt` and `WSetRvrt` (or `WSetPctRvrt`) take its place. Model 715: the controller's
heartbeat is supervised from its first change on; if it stops, the setpoint is disabled. Without a setpoint the
charger follows its own plan. Model 711: the droop goes on by itself, whatever becomes of the setpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from environment import sunspec
from environment.charger_map import (
    ADDRESS,
    COMPLETED,
    DISABLED,
    DROOP,
    LOCAL,
    NOMINAL_V,
    OFF,
    ORDER,
    POINT_AT,
    RANGES,
    REMOTE,
    RUNNING,
    SCALES,
    SETPOINT,
    SIZE,
    STANDBY,
    START,
    STOP,
    UNIT,
    WATTS,
    WRITABLE,
    WRITE_FUNCTIONS,
)
from environment.sunspec import BASE, END, MARKER, MODELS, Key, Point

Access: TypeAlias = Callable[
    [int, int, int, int, list[int], list[int] | list[bool] | None], Coroutine[None, None, ExcCodes | None]
]


class ChargerFault(StrEnum):
    """What a charger can be made to do wrong: not to answer, to answer with what cannot be, or to take setpoints and
    droops into its registers and charge by its own plan all the same."""

    SILENT = "charger-silent"
    NONSENSE = "charger-nonsense"
    IGNORES = "charger-ignores"


@dataclass(frozen=True, slots=True)
class ChargerSpec:
    """A charger as it is built; ratings are kW at the grid side, both >= 0.

    `delay_s` is the dead time between a change of frequency or setpoint and the power, `ramp_kw_per_s` (> 0) the most
    by which the power then changes. As given the charger does everything at once. A `public` one draws nothing without
    an order of its controller, and never charges a car beyond the state of charge that its driver has set.
    """

    charger_id: str
    max_charge_kw: float
    max_discharge_kw: float
    phases: int = 3
    delay_s: float = 0.0
    ramp_kw_per_s: float = math.inf
    public: bool = False

    @property
    def rating_kw(self) -> float:
        """SunSpec's WMax, the base of percentages and of the droop."""
        return max(self.max_charge_kw, self.max_discharge_kw)


@dataclass(frozen=True, slots=True)
class Live:
    """What the registers show of the physical charger; powers in kW, drawn is positive."""

    power_kw: float
    voltage_v: float
    frequency_hz: float
    connected: bool
    capacity_kwh: float
    energy_kwh: float
    max_charge_kw: float
    max_discharge_kw: float
    imported_kwh: float
    exported_kwh: float
    reversion_left_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Droop:
    """A frequency droop as set: deadbands in Hz, `k` as per-unit frequency for per-unit power, response in s,
    `p_min` as the least injection in per unit of the rating (-1 lets it charge with all it has)."""

    deadband_over_hz: float
    deadband_under_hz: float
    k_over: float
    k_under: float
    response_s: float
    p_min: float


class ChargerRegisters:
    """The registers of one charger and the settings that were written to them (raw values)."""

    def __init__(self, spec: ChargerSpec) -> None:
        self.spec = spec
        self.local = False  # a technician has switched the charger to local control
        self.watts_exponent = 0 if spec.rating_kw <= 32.0 else 1 if spec.rating_kw <= 320.0 else 2
        # As built: FCR of Continental Europe, all of it at 200 mHz (0.4 % of 50 Hz), 90 % of it within 15 s.
        droop = {"DbOf": 0, "DbUf": 0, "KOf": 400, "KUf": 400, "RspTms": 150, "PMin": -100}
        self.settings: dict[Key, int] = {
            **{(704, name): 0 for name in SETPOINT},
            (704, "WSetMod"): WATTS,
            (711, "Ena"): DISABLED,
            (711, "AdptCtlReq"): 0,
            **{(711, f"Ctl[{n}].{name}"): value for n in (0, 1) for name, value in droop.items()},
            (715, "ControllerHb"): 0,
            (715, "AlarmReset"): 0,
            (715, "OpCtl"): START,
        }

    def build(self, access: Access) -> SimDevice:
        """The device for a Modbus server; `access` is called before every reading and writing of it."""
        registers = [0] * SIZE
        registers[: len(MARKER)] = MARKER
        registers[-len(END) :] = END
        for address, (_, point) in POINT_AT.items():
            self._put(registers, address, point, None)
        for (model_id, name), value in self.constants().items():
            self._put(registers, ADDRESS[model_id, name], MODELS[model_id].points[name], value)
        return SimDevice(id=UNIT, simdata=[SimData(BASE, values=registers, datatype=DataType.REGISTERS)], action=access)

    @staticmethod
    def _put(registers: list[int], address: int, point: Point, value: int | str | None) -> None:
        registers[address - BASE : address - BASE + point.size] = point.encode(value)

    def _watts(self, power_kw: float) -> int:
        """kW (a magnitude) in the unit of the device's W_SF."""
        return round(power_kw * 1000 / 10.0**self.watts_exponent)

    def constants(self) -> dict[Key, int | str]:
        """The points that never change, raw."""
        spec = self.spec
        constants: dict[Key, int | str] = {
            (1, "Mn"): "Gridparley", (1, "Md"): "V2X charger", (1, "Opt"): "simulated", (1, "Vr"): "1",
            (1, "SN"): spec.charger_id, (1, "DA"): UNIT,
            (701, "ACType"): 2 if spec.phases == 3 else 0, (701, "Alrm"): 0, (701, "DERMode"): 1,
            (702, "WMaxRtg"): self._watts(spec.rating_kw), (702, "WMax"): self._watts(spec.rating_kw),
            (702, "WChaRteMaxRtg"): self._watts(spec.max_charge_kw),
            (702, "WDisChaRteMaxRtg"): self._watts(spec.max_discharge_kw),
            (702, "VNomRtg"): round(NOMINAL_V * 10), (702, "VNom"): round(NOMINAL_V * 10),
            (702, "CtrlModes"): 1 << 1 | 1 << 5,  # FIXED_W, FREQ_WATT
            (711, "AdptCtlRslt"): COMPLETED, (711, "NCtl"): 2,
            (711, "Ctl[0].ReadOnly"): 1, (711, "Ctl[1].ReadOnly"): 0,
        }  # fmt: skip
        for model_id in ORDER:
            constants[model_id, "ID"] = model_id
            constants[model_id, "L"] = MODELS[model_id].size - 2
        for key, exponent in SCALES.items():
            constants[key] = self.watts_exponent if exponent is None else exponent
        return constants

    # Reading ------------------------------------------------------------------------------------------------

    def show(self, registers: list[int], address: int, count: int, live: Live, fault: ChargerFault | None) -> None:
        """Brings the live points of `address` to `address + count` up to date in `registers`."""
        values: dict[Key, int | None] = {}
        last = address + count
        for model_id in ORDER:
            first = ADDRESS[model_id, "ID"]
            if first < last and first + MODELS[model_id].size > address:
                values |= self.live(model_id, live)
        if fault is ChargerFault.NONSENSE:
            values |= {
                key: value
                for key, value in {
                    (701, "W"): -0x7FFF, (701, "LNV"): 0, (701, "Hz"): 0, (713, "SoC"): 25_500,
                }.items()
                if key in values
            }  # fmt: skip
        for key, value in values.items():
            self._put(registers, ADDRESS[key], MODELS[key[0]].points[key[1]], value)

    def live(self, model_id: int, live: Live) -> dict[Key, int | None]:
        """The points of one model that change, raw; None is "not implemented"."""
        match model_id:
            case 701:
                return self._measured(live)
            case 702:
                return {
                    (702, "WChaRteMax"): self._watts(live.max_charge_kw),
                    (702, "WDisChaRteMax"): self._watts(live.max_discharge_kw),
                }
            case 713:
                if not live.connected:
                    return {(713, name): None for name in ("WHRtg", "WHAvail", "SoC", "SoH", "Sta")}
                return {
                    (713, "WHRtg"): round(live.capacity_kwh * 100),
                    (713, "WHAvail"): round(live.energy_kwh * 100),
                    (713, "SoC"): round(live.energy_kwh / live.capacity_kwh * 10_000),
                    (713, "SoH"): 10_000,
                    (713, "Sta"): 0,
                }
            case 704:
                shown: dict[Key, int | None] = {(704, n): self.settings[704, n] for n in SETPOINT}
                return shown | {(704, "WSetRvrtRem"): round(live.reversion_left_s)}
            case 711:
                return {key: value for key, value in self.settings.items() if key[0] == 711}
            case 715:
                return {
                    (715, "LocRemCtl"): LOCAL if self.local else REMOTE,
                    (715, "DERHb"): int(live.seconds) % 0xFFFF_FFFF,
                    **{key: value for key, value in self.settings.items() if key[0] == 715},
                }
        return {}

    def _measured(self, live: Live) -> dict[Key, int | None]:
        watts = round(sunspec.to_sunspec_w(live.power_kw) / 10.0**self.watts_exponent)
        stopped = self.settings[715, "OpCtl"] == STOP
        state = OFF if stopped or not live.connected else STANDBY if watts == 0 else RUNNING
        amperes = abs(live.power_kw) * 1000 / (live.voltage_v * self.spec.phases) if live.voltage_v > 0 else 0.0
        return {
            (701, "St"): 0 if state == OFF else 1,
            (701, "InvSt"): state,
            (701, "ConnSt"): int(live.connected),
            (701, "W"): watts,
            (701, "VA"): abs(watts),
            (701, "A"): round(amperes * 10),
            (701, "LNV"): round(live.voltage_v * 10),
            (701, "Hz"): round(live.frequency_hz * 1000),
            (701, "TotWhInj"): round(live.exported_kwh * 10_000),
            (701, "TotWhAbs"): round(live.imported_kwh * 10_000),
        }

    # Writing ------------------------------------------------------------------------------------------------

    def check(self, function: int, address: int, values: list[int]) -> dict[Key, int] | ExcCodes:
        """What a write would set, or the exception that answers it; nothing is changed yet."""
        if function not in WRITE_FUNCTIONS:
            return ExcCodes.ILLEGAL_FUNCTION
        wanted: dict[Key, int] = {}
        offset = 0
        while offset < len(values):
            model_id, point = POINT_AT.get(address + offset, (0, None))
            if point is None or (model_id, point.name) not in WRITABLE or offset + point.size > len(values):
                return ExcCodes.ILLEGAL_ADDRESS
            raw = point.decode(values[offset : offset + point.size])
            if raw is not None:
                wanted[model_id, point.name] = raw
            offset += point.size
        if self.local and any(key != (715, "ControllerHb") for key in wanted):
            return ExcCodes.NEGATIVE_ACKNOWLEDGE
        if not all(self._possible(key, raw) for key, raw in wanted.items()):
            return ExcCodes.ILLEGAL_VALUE
        return wanted

    def _possible(self, key: Key, raw: int) -> bool:
        if key[1] in ("WSet", "WSetRvrt", "WSetPct", "WSetPctRvrt"):
            watts = raw if "Pct" not in key[1] else raw / 1000 * self.spec.rating_kw * 1000
            return -self.spec.max_charge_kw * 1000 - 0.5 <= watts <= self.spec.max_discharge_kw * 1000 + 0.5
        low, high = RANGES.get(key, (0, 0xFFFF_FFFE))
        return low <= raw <= high

    def adopt_droop(self) -> None:
        """AdptCtlReq = 2: the written control set becomes the current one."""
        for name in DROOP:
            self.settings[711, f"Ctl[0].{name}"] = self.settings[711, f"Ctl[1].{name}"]

    def order_kw(self) -> float | None:
        """The setpoint as our kW; None where the charger follows its own plan."""
        if self.settings[704, "WSetEna"] == DISABLED:
            return None
        if self.settings[704, "WSetMod"] == WATTS:
            return sunspec.to_grid_kw(self.settings[704, "WSet"])
        return sunspec.to_grid_kw(self.settings[704, "WSetPct"] / 1000 * self.spec.rating_kw * 1000)

    def droop(self) -> Droop | None:
        """The current frequency droop; None where it is disabled or none is adopted."""
        if self.settings[711, "Ena"] == DISABLED:
            return None
        s = self.settings
        return Droop(
            deadband_over_hz=s[711, "Ctl[0].DbOf"] / 1e3,
            deadband_under_hz=s[711, "Ctl[0].DbUf"] / 1e3,
            k_over=s[711, "Ctl[0].KOf"] / 1e5,
            k_under=s[711, "Ctl[0].KUf"] / 1e5,
            response_s=s[711, "Ctl[0].RspTms"] / 10,
            p_min=s[711, "Ctl[0].PMin"] / 100,
        )

    def revert(self) -> None:
        """The reversion time has passed: the reversion values take the place of the setpoint."""
        s = self.settings
        s[704, "WSetEna"] = s[704, "WSetEnaRvrt"]
        s[704, "WSet"], s[704, "WSetPct"] = s[704, "WSetRvrt"], s[704, "WSetPctRvrt"]

    def disable(self) -> None:
        """Back to the charger's own plan."""
        self.settings[704, "WSetEna"] = DISABLED
