"""Our charger's register map: the order of its models, what may be written, within which limits, at which scale.

Everything here is data; `environment.charger_device` gives it a meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from environment.sunspec import BASE, END, MARKER, MODELS, Key, Point

UNIT = 1
NOMINAL_V = 230.0

# After the common model, the three that a controller polls lie side by side, so that one request reads all of them.
ORDER = (1, 702, 713, 701, 704, 711, 715)

DISABLED, ENABLED = 0, 1
W_MAX_PCT, WATTS = 0, 1
REMOTE, LOCAL = 0, 1
STOP, START = 0, 1
OFF, RUNNING, FAULT, STANDBY = 0, 3, 6, 7
COMPLETED = 1
ADOPT = 2  # AdptCtlReq: the second control set is the one that can be written

WRITE_FUNCTIONS = (6, 16, 23)


def _addresses() -> tuple[Mapping[Key, int], Mapping[int, tuple[int, Point]], int]:
    first: dict[Key, int] = {}
    points: dict[int, tuple[int, Point]] = {}
    address = BASE + len(MARKER)
    for model_id in ORDER:
        for point in MODELS[model_id].points.values():
            first[model_id, point.name] = address + point.offset
            points[address + point.offset] = (model_id, point)
        address += MODELS[model_id].size
    return MappingProxyType(first), MappingProxyType(points), address


ADDRESS, POINT_AT, END_ADDRESS = _addresses()
SIZE = END_ADDRESS + len(END) - BASE

SETPOINT = ("WSetEna", "WSetMod", "WSet", "WSetRvrt", "WSetPct", "WSetPctRvrt", "WSetEnaRvrt", "WSetRvrtTms")
DROOP = ("DbOf", "DbUf", "KOf", "KUf", "RspTms", "PMin")
WRITABLE = frozenset(
    [(704, name) for name in SETPOINT]
    + [(711, "Ena"), (711, "AdptCtlReq"), *((711, f"Ctl[1].{name}") for name in DROOP)]
    + [(715, "ControllerHb"), (715, "AlarmReset"), (715, "OpCtl")]
)
RANGES: Mapping[Key, tuple[int, int]] = {
    (704, "WSetEna"): (DISABLED, ENABLED),
    (704, "WSetMod"): (W_MAX_PCT, WATTS),
    (704, "WSetEnaRvrt"): (DISABLED, ENABLED),
    (711, "Ena"): (DISABLED, ENABLED),
    (711, "AdptCtlReq"): (0, ADOPT),
    (711, "Ctl[1].DbOf"): (0, 5_000),
    (711, "Ctl[1].DbUf"): (0, 5_000),
    (711, "Ctl[1].KOf"): (1, 0xFFFE),
    (711, "Ctl[1].KUf"): (1, 0xFFFE),
    (711, "Ctl[1].RspTms"): (0, 6_000),
    (711, "Ctl[1].PMin"): (-100, 100),
    (715, "AlarmReset"): (0, 1),
    (715, "OpCtl"): (STOP, START),
}
# The scale factors of a device; W_SF depends on its rating, because W is an int16.
SCALES = {
    (701, "A_SF"): -1, (701, "V_SF"): -1, (701, "Hz_SF"): -3, (701, "VA_SF"): None, (701, "W_SF"): None,
    (701, "TotWh_SF"): -1, (702, "W_SF"): None, (702, "V_SF"): -1, (704, "WSet_SF"): 0, (704, "WSetPct_SF"): -1,
    (711, "Db_SF"): -3, (711, "K_SF"): -5, (711, "RspTms_SF"): -1, (713, "WH_SF"): 1, (713, "Pct_SF"): -2,
}  # fmt: skip
