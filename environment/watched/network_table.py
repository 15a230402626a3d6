"""The network as a table: buses, lines and transformers, or chargers; filtered by name, sorted, a page at a time."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from environment.watched.network import Charging, Moment, NetworkNow, charger_words, volts
from environment.watched.network_figures import Kind, loading_words, owner, voltage_words

COLUMNS: Final = {
    Kind.BUS: (
        ("name", "Bus"),
        ("vm_pu", "Voltage, pu"),
        ("volts", "Voltage"),
        ("standing", "Limits"),
        ("distance_m", "From the transformer, m"),
        ("chargers", "Chargers"),
        ("power_kw", "Their power, kW"),
    ),
    Kind.LINE: (
        ("name", "Line or transformer"),
        ("percent", "Loading, %"),
        ("limit", "Limit, %"),
        ("standing", "Limit"),
        ("length_m", "Length, m"),
        ("ends", "Between"),
    ),
    Kind.CHARGER: (
        ("name", "Charger"),
        ("state", "State"),
        ("power_kw", "Power, kW"),
        ("soc", "State of charge, %"),
        ("bus", "Bus"),
        ("owner", "Belongs to"),
    ),
}
"""The columns of each table: the row's key and the heading. Lines and transformers stand in one table."""
_PLACES: Final = {"vm_pu": 3, "power_kw": 1, "percent": 1, "limit": 0, "soc": 0}


def page(
    now: NetworkNow, kind: Kind, *, text: str = "", sort: str = "", descending: bool = False, first: int = 0, count: int
) -> tuple[list[dict[str, Any]], int]:
    """Rows `first` to `first + count` of those whose name, owner or bus has `text` in it, and how many those are.

    `sort` is a key of COLUMNS, "" keeps the network's own order; what is not known comes last both ways.
    """
    rows = _rows(now, kind)
    if wanted := text.strip().casefold():
        rows = [row for row in rows if wanted in row["searched"]]
    if sort:
        known = [row for row in rows if row["by"].get(sort, row[sort]) is not None]
        known.sort(key=lambda row: row["by"].get(sort, row[sort]), reverse=descending)
        rows = known + [row for row in rows if row["by"].get(sort, row[sort]) is None]
    keys = ["key", "kind", *(key for key, _ in COLUMNS[kind])]
    return [{key: _said(key, row[key]) for key in keys} for row in rows[first : first + count]], len(rows)


def best(now: NetworkNow, text: str) -> tuple[Kind, str] | None:
    """The charger, bus or line that a name means: the one of just that name, else the shortest that has it."""
    wanted = text.strip().casefold()
    if not wanted:
        return None
    names = [
        (row["name"], Kind(row["kind"])) for kind in (Kind.CHARGER, Kind.BUS, Kind.LINE) for row in _rows(now, kind)
    ]
    alike = [(name, kind) for name, kind in names if wanted in name.casefold()]
    found = min(alike, key=lambda each: (each[0].casefold() != wanted, len(each[0])), default=None)
    return None if found is None else (found[1], found[0])


def _rows(now: NetworkNow, kind: Kind) -> list[dict[str, Any]]:
    if now.map is None or now.moment is None:
        return []
    rows = {Kind.BUS: _buses, Kind.LINE: _lines, Kind.CHARGER: _chargers}[kind](now, now.moment)
    for row in rows:
        # "Bus 9" comes before "Bus 10"; text and numbers take turns, so that two names can be compared.
        parts = re.split(r"(\d+)", row["name"])
        row.setdefault("by", {})["name"] = [int(part) if part.isdigit() else part for part in parts]
        row["key"] = f"{row['kind']}:{row['name']}"
        row["searched"] = " ".join(str(row.get(key, "")) for key in ("name", "owner", "bus", "ends")).casefold()
    return rows


def _buses(now: NetworkNow, moment: Moment) -> list[dict[str, Any]]:
    assert now.map is not None
    number = {bus.name: index for index, bus in enumerate(now.map.buses)}
    at = np.array([number[charger.bus] for charger in now.map.chargers], dtype=np.int64)
    powers = np.bincount(at, weights=np.nan_to_num(moment.power_kw), minlength=len(number))
    return [
        {
            "kind": Kind.BUS.value,
            "name": bus.name,
            "vm_pu": _number(moment.vm_pu[index], 3),
            "volts": volts(bus, float(moment.vm_pu[index])),
            "standing": voltage_words(moment.voltages[index]),
            "distance_m": round(bus.distance_km * 1000),
            "chargers": len(now.map.chargers_at.get(bus.name, ())),
            "power_kw": _number(powers[index], 1),
            "by": {"volts": _number(moment.vm_pu[index] * bus.nominal_kv, 6)},
        }
        for index, bus in enumerate(now.map.buses)
    ]


def _lines(now: NetworkNow, moment: Moment) -> list[dict[str, Any]]:
    assert now.map is not None
    transformers = [
        {
            "kind": Kind.TRANSFORMER.value,
            "name": network.transformer,
            "percent": _number(moment.transformer_percent[index], 1),
            "limit": _number(moment.transformer_limit[index], 0),
            "standing": loading_words(moment.transformers[index]),
            "length_m": None,
            "ends": f"grid and {network.busbar}",
        }
        for index, network in enumerate(now.map.networks)
    ]
    lines = [
        {
            "kind": Kind.LINE.value,
            "name": line.name,
            "percent": _number(moment.line_percent[index], 1),
            "limit": _number(now.map.limits[now.map.bus[line.from_bus].network].line_percent, 0),
            "standing": loading_words(moment.lines[index]),
            "length_m": round(line.length_km * 1000),
            "ends": f"{line.from_bus} and {line.to_bus}",
        }
        for index, line in enumerate(now.map.lines)
    ]
    return transformers + lines


def _chargers(now: NetworkNow, moment: Moment) -> list[dict[str, Any]]:
    assert now.map is not None
    return [
        {
            "kind": Kind.CHARGER.value,
            "name": charger.id,
            "state": charger_words(Charging(int(moment.chargers[index])), float(moment.power_kw[index]), float("nan")),
            "power_kw": _number(moment.power_kw[index], 1),
            "soc": _number(moment.soc_percent[index], 0),
            "bus": charger.bus,
            "owner": owner(charger),
        }
        for index, charger in enumerate(now.map.chargers)
    ]


def _said(key: str, value: Any) -> Any:
    """A value as the table says it, numbers of a column with the same places; "" where it is not known."""
    if value is None:
        return ""
    return f"{value:.{_PLACES[key]}f}" if key in _PLACES else value


def _number(value: float, digits: int) -> float | None:
    """A value as a table shows it, None where it is not known."""
    return None if np.isnan(value) else round(float(value), digits) + 0.0
