"""The page `docs/chargers.md`, written from the register map: `python -m environment.charger_docs`."""

from __future__ import annotations

from pathlib import Path

from environment.charger_device import ChargerRegisters, ChargerSpec, Live
from environment.charger_map import ADDRESS, NOMINAL_V, ORDER, RANGES, SCALES, UNIT, WRITABLE
from environment.sunspec import BASE, MODELS, Key
from protocols.units import NOMINAL_HZ

PAGE = Path(__file__).resolve().parent.parent / "docs" / "chargers.md"

_TEXT = f"""# The chargers' registers

Written by `python -m environment.charger_docs` from the code; do not edit by hand.

Every charger is a Modbus TCP device, unit {UNIT}, that speaks SunSpec from holding register {BASE} on. Any SunSpec
client finds the models by itself; the addresses below are for the others. Registers hold 16 bits, the high word comes
first, and a value is the raw number times ten to the power of its scale factor.

- **Sign.** SunSpec counts power positive when it is fed into the grid: a charger that charges with 7.4 kW says
  `W = -7400`, and `WSet = 5000` makes it discharge. Everywhere else in this project it is the other way round.
- **Setpoint** (model 704). It holds until it is written anew, is disabled, or `WSetRvrtTms` seconds of scenario time
  have passed since the last write to the model; then `WSetEnaRvrt` and `WSetRvrt` take its place. Without a setpoint
  the charger charges with all it has until the vehicle's own target. It ends with the session.
- **Heartbeat** (model 715). From its first change on, `ControllerHb` must change again within the charger's time-out
  (300 s), or the setpoint is disabled.
- **Frequency droop** (model 711). Write the second control set, then `Ena = 1` and `AdptCtlReq = 2`. `KOf` and `KUf`
  are the deviation beyond the deadband, per unit of 50 Hz, that moves the power by the whole rating.
- **Refusals.** A write is taken as a whole or not at all. Exception 2: no such point, half a point, or read-only;
  3: a value that cannot be; 7: the charger is switched to local control. "Not implemented" leaves a point as it is.
- **No vehicle.** `ConnSt` is 0 and model 713 says "not implemented".

`W_SF` is 0 up to 32 kW, 1 up to 320 kW, 2 above.

| Register | Model | Point | Type | Scale | Access | Values |
|---:|---:|---|---|---|---|---|
"""


def page() -> str:
    """The page as it should be."""
    registers = ChargerRegisters(ChargerSpec("charger", 11.0, 10.0))
    live = Live(0.0, NOMINAL_V, NOMINAL_HZ, True, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    implemented = set(registers.constants())
    for model_id in ORDER:
        implemented |= set(registers.live(model_id, live))
    lines = [_line(key) for key in sorted(implemented, key=lambda key: ADDRESS[key])]
    return _TEXT + "\n".join(lines) + "\n"


def _line(key: Key) -> str:
    point = MODELS[key[0]].points[key[1]]
    kind = f"str{point.size}" if point.kind == "str" else point.kind
    exponent = SCALES.get((key[0], point.scale), 0) if point.scale else 0
    scale = point.scale or "" if exponent is None else f"10^{exponent}" if exponent else ""
    values = f"{RANGES[key][0]} to {RANGES[key][1]} (raw)" if key in RANGES else ""
    access = "read, write" if key in WRITABLE else "read"
    return f"| {ADDRESS[key]} | {key[0]} | {point.name} | {kind} | {scale} | {access} | {values} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
