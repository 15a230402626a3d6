"""SunSpec's models as data: which point is where in the registers, and how a value becomes registers.

The tables are the SunSpec Alliance's model definitions (github.com/sunspec/models, as pysunspec2 carries them; a test
compares every point). An entry is `name:type[:scale factor point]`, and `!` marks a point that may be written.
Registers are 16 bits, high word first. SunSpec counts power positive when it is injected into the grid; the two
functions at the end are the only place where its sign is turned into ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Key: TypeAlias = tuple[int, str]
"""A point: its model and its name."""

MARKER = (0x5375, 0x6E53)  # "SunS", the two registers before the first model
END = (0xFFFF, 0)  # the model that says there is no further one
BASE = 40000

_TABLES = {
    1: "ID:u16 L:u16 Mn:str16 Md:str16 Opt:str8 Vr:str8 SN:str16 DA:u16! Pad:pad",
    122: """
        ID:u16 L:u16 PVConn:b16 StorConn:b16 ECPConn:b16 ActWh:a64 ActVAh:a64 ActVArhQ1:a64 ActVArhQ2:a64
        ActVArhQ3:a64 ActVArhQ4:a64 VArAval:i16:VArAval_SF VArAval_SF:sf WAval:u16:WAval_SF WAval_SF:sf
        StSetLimMsk:b32 StActCtl:b32 TmSrc:str4 Tms:u32 RtSt:b16 Ris:u16:Ris_SF Ris_SF:sf""",
    701: """
        ID:u16 L:u16 ACType:e16 St:e16 InvSt:e16 ConnSt:e16 Alrm:b32 DERMode:b32 W:i16:W_SF VA:i16:VA_SF
        Var:i16:Var_SF PF:i16:PF_SF A:i16:A_SF LLV:u16:V_SF LNV:u16:V_SF Hz:u32:Hz_SF TotWhInj:u64:TotWh_SF
        TotWhAbs:u64:TotWh_SF TotVarhInj:u64:TotVarh_SF TotVarhAbs:u64:TotVarh_SF TmpAmb:i16:Tmp_SF
        TmpCab:i16:Tmp_SF TmpSnk:i16:Tmp_SF TmpTrns:i16:Tmp_SF TmpSw:i16:Tmp_SF TmpOt:i16:Tmp_SF
        WL1:i16:W_SF VAL1:i16:VA_SF VarL1:i16:Var_SF PFL1:i16:PF_SF AL1:i16:A_SF VL1L2:u16:V_SF VL1:u16:V_SF
        TotWhInjL1:u64:TotWh_SF TotWhAbsL1:u64:TotWh_SF TotVarhInjL1:u64:TotVarh_SF
        TotVarhAbsL1:u64:TotVarh_SF WL2:i16:W_SF VAL2:i16:VA_SF VarL2:i16:Var_SF PFL2:i16:PF_SF AL2:i16:A_SF
        VL2L3:u16:V_SF VL2:u16:V_SF TotWhInjL2:u64:TotWh_SF TotWhAbsL2:u64:TotWh_SF
        TotVarhInjL2:u64:TotVarh_SF TotVarhAbsL2:u64:TotVarh_SF WL3:i16:W_SF VAL3:i16:VA_SF VarL3:i16:Var_SF
        PFL3:i16:PF_SF AL3:i16:A_SF VL3L1:u16:V_SF VL3:u16:V_SF TotWhInjL3:u64:TotWh_SF
        TotWhAbsL3:u64:TotWh_SF TotVarhInjL3:u64:TotVarh_SF TotVarhAbsL3:u64:TotVarh_SF ThrotPct:u16
        ThrotSrc:b32 A_SF:sf V_SF:sf Hz_SF:sf W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf TotWh_SF:sf TotVarh_SF:sf
        Tmp_SF:sf MnAlrmInfo:str32""",
    702: """
        ID:u16 L:u16 WMaxRtg:u16:W_SF WOvrExtRtg:u16:W_SF WOvrExtRtgPF:u16:PF_SF WUndExtRtg:u16:W_SF
        WUndExtRtgPF:u16:PF_SF VAMaxRtg:u16:VA_SF VarMaxInjRtg:u16:Var_SF VarMaxAbsRtg:u16:Var_SF
        WChaRteMaxRtg:u16:W_SF WDisChaRteMaxRtg:u16:W_SF VAChaRteMaxRtg:u16:VA_SF
        VADisChaRteMaxRtg:u16:VA_SF VNomRtg:u16:V_SF VMaxRtg:u16:V_SF VMinRtg:u16:V_SF AMaxRtg:u16:A_SF
        PFOvrExtRtg:u16:PF_SF PFUndExtRtg:u16:PF_SF ReactSusceptRtg:u16:S_SF NorOpCatRtg:e16 AbnOpCatRtg:e16
        CtrlModes:b32 IntIslandCatRtg:b16 WMax:u16:W_SF! WMaxOvrExt:u16:W_SF! WOvrExtPF:u16:PF_SF!
        WMaxUndExt:u16:W_SF! WUndExtPF:u16:PF_SF! VAMax:u16:VA_SF! VarMaxInj:u16:Var_SF!
        VarMaxAbs:u16:Var_SF! WChaRteMax:u16:W_SF! WDisChaRteMax:u16:W_SF! VAChaRteMax:u16:VA_SF!
        VADisChaRteMax:u16:VA_SF! VNom:u16:V_SF! VMax:u16:V_SF! VMin:u16:V_SF! AMax:u16:A_SF!
        PFOvrExt:u16:PF_SF! PFUndExt:u16:PF_SF! IntIslandCat:b16! W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf
        V_SF:sf A_SF:sf S_SF:sf""",
    704: """
        ID:u16 L:u16 PFWInjEna:e16! PFWInjEnaRvrt:e16! PFWInjRvrtTms:u32! PFWInjRvrtRem:u32 PFWAbsEna:e16!
        PFWAbsEnaRvrt:e16! PFWAbsRvrtTms:u32! PFWAbsRvrtRem:u32 WMaxLimPctEna:e16!
        WMaxLimPct:u16:WMaxLimPct_SF! WMaxLimPctRvrt:u16:WMaxLimPct_SF! WMaxLimPctEnaRvrt:e16!
        WMaxLimPctRvrtTms:u32! WMaxLimPctRvrtRem:u32 WSetEna:e16! WSetMod:e16! WSet:i32:WSet_SF!
        WSetRvrt:i32:WSet_SF! WSetPct:i16:WSetPct_SF! WSetPctRvrt:i16:WSetPct_SF! WSetEnaRvrt:e16!
        WSetRvrtTms:u32! WSetRvrtRem:u32 VarSetEna:e16! VarSetMod:e16! VarSetPri:e16! VarSet:i32:VarSet_SF!
        VarSetRvrt:i32:VarSet_SF! VarSetPct:i16:VarSetPct_SF! VarSetPctRvrt:i16:VarSetPct_SF!
        VarSetEnaRvrt:e16! VarSetRvrtTms:u32! VarSetRvrtRem:u32 WRmp:u16! WRmpRef:e16! VarRmp:u16!
        AntiIslEna:e16! PF_SF:sf WMaxLimPct_SF:sf WSet_SF:sf WSetPct_SF:sf VarSet_SF:sf VarSetPct_SF:sf
        PFWInj.PF:u16:PF_SF! PFWInj.Ext:e16! PFWInjRvrt.PF:u16:PF_SF! PFWInjRvrt.Ext:e16!
        PFWAbs.PF:u16:PF_SF! PFWAbs.Ext:e16! PFWAbsRvrt.PF:u16:PF_SF! PFWAbsRvrt.Ext:e16!""",
    # Two stored controls: "the first set is read-only and indicates the current settings", the second is
    # written and then adopted by AdptCtlReq = 2.
    711: """
        ID:u16 L:u16 Ena:e16! AdptCtlReq:u16! AdptCtlRslt:e16 NCtl:u16 RvrtTms:u32! RvrtRem:u32 RvrtCtl:u16!
        Db_SF:sf K_SF:sf RspTms_SF:sf
        Ctl[0].DbOf:u32:Db_SF! Ctl[0].DbUf:u32:Db_SF! Ctl[0].KOf:u16:K_SF! Ctl[0].KUf:u16:K_SF!
        Ctl[0].RspTms:u32:RspTms_SF! Ctl[0].PMin:i16! Ctl[0].ReadOnly:e16
        Ctl[1].DbOf:u32:Db_SF! Ctl[1].DbUf:u32:Db_SF! Ctl[1].KOf:u16:K_SF! Ctl[1].KUf:u16:K_SF!
        Ctl[1].RspTms:u32:RspTms_SF! Ctl[1].PMin:i16! Ctl[1].ReadOnly:e16""",
    713: """
        ID:u16 L:u16 WHRtg:u16:WH_SF WHAvail:u16:WH_SF SoC:u16:Pct_SF SoH:u16:Pct_SF Sta:e16 WH_SF:sf
        Pct_SF:sf""",
    715: "ID:u16 L:u16 LocRemCtl:e16 DERHb:u32 ControllerHb:u32! AlarmReset:u16! OpCtl:e16!",
}

# type: (registers, signed, the raw value that says "not implemented")
_KINDS: Mapping[str, tuple[int, bool, int]] = {
    "u16": (1, False, 0xFFFF),
    "i16": (1, True, -0x8000),
    "u32": (2, False, 0xFFFF_FFFF),
    "i32": (2, True, -0x8000_0000),
    "u64": (4, False, 0xFFFF_FFFF_FFFF_FFFF),
    "a64": (4, False, 0),  # an accumulator counts from 0 and is not implemented there
    "e16": (1, False, 0xFFFF),
    "b16": (1, False, 0xFFFF),
    "b32": (2, False, 0xFFFF_FFFF),
    "sf": (1, True, -0x8000),
    "pad": (1, True, -0x8000),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a model; `offset` and `size` are registers from the model's own ID register."""

    name: str
    kind: str
    offset: int
    size: int
    scale: str | None
    writable: bool

    def encode(self, value: int | str | None) -> list[int]:
        """The registers of a raw value; None is "not implemented". OverflowError where it does not fit."""
        if self.kind == "str":
            data = (value or "").encode()[: 2 * self.size].ljust(2 * self.size, b"\0")  # type: ignore[union-attr]
        else:
            _, signed, missing = _KINDS[self.kind]
            data = (missing if value is None else int(value)).to_bytes(2 * self.size, "big", signed=signed)
        return [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]

    def decode(self, registers: Sequence[int]) -> int | None:
        """The raw value of a number point in its registers; None if it says "not implemented"."""
        value = 0
        for register in registers:
            value = value << 16 | register
        _, signed, missing = _KINDS[self.kind]
        if signed and value >> (16 * self.size - 1):
            value -= 1 << 16 * self.size
        return None if value == missing else value


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its points by name, and its size in registers with ID and L."""

    model_id: int
    points: Mapping[str, Point]
    size: int


def _model(model_id: int, table: str) -> Model:
    points: dict[str, Point] = {}
    offset = 0
    for entry in table.split():
        match = re.fullmatch(r"([\w.\[\]]+):([a-z]+\d*)(?::(\w+))?(!?)", entry)
        assert match is not None, entry
        name, kind, scale, writable = match.groups()
        size = int(kind[3:]) if kind.startswith("str") else _KINDS[kind][0]
        points[name] = Point(name, "str" if kind.startswith("str") else kind, offset, size, scale, bool(writable))
        offset += size
    return Model(model_id, points, offset)


MODELS: Mapping[int, Model] = {model_id: _model(model_id, table) for model_id, table in _TABLES.items()}


def to_grid_kw(injected_w: float) -> float:
    """SunSpec's watts (injected is positive) as our kW (drawn is positive)."""
    return -injected_w / 1000.0 + 0.0


def to_sunspec_w(power_kw: float) -> float:
    """Our kW (drawn is positive) as SunSpec's watts (injected is positive)."""
    return -power_kw * 1000.0 + 0.0
