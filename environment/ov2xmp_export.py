"""The signals that the DSOs of a run sent (4.2.1, 5.2.1), as files that EV4EU's platform imports: `run.py signals`.

A file for each day of UTC, named and built as the platform's own archive (`dso_signals_DD_MM_YYYY.json`, a list);
`[dso] signals_json` of a scenario reads them as well. Where the stations are is taken from their registration (5.x.1).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, date
from pathlib import Path
from typing import Any, Final

from environment.ov2xmp import Place, Signal, signals_of
from environment.ov2xmp_form import SignalError
from environment.run_folder import TRACE, RunFolderError, Trace, read_trace
from protocols.acl import Performative
from protocols.catalogue import parse
from protocols.exchanges.capacity_contracts import CapacityLimit, StationRegistration
from protocols.exchanges.content import ContentError
from protocols.exchanges.network_prices import NetworkPriceReduction

OUT_FOLDER: Final = "signals"
"""Where in a run folder the files are written unless somebody says otherwise."""


def export(folder: Path, *, out: Path | None = None, notice: Callable[[str], None]) -> list[Path]:
    """Writes the signals of a run; returns the files. `notice` hears of a signal that the form has no room for.

    Raises SignalError, in one line; then no file has been written that is not whole.
    """
    if not folder.is_dir():
        raise SignalError(f"{folder}: there is no such folder; give that of a run")
    try:
        sent, stations = _said(read_trace(folder / TRACE))
    except RunFolderError as error:
        raise SignalError(str(error)) from None
    days: dict[date, list[dict[str, Any]]] = {}
    for content in sent:
        try:
            objects = signals_of(content, stations)
        except SignalError as error:
            notice(f"not written: {error}")
            continue
        if not objects:
            notice(f"not written: {_name(content)}: no registered station is at {', '.join(_places(content))}")
        days.setdefault(content.timestamp.astimezone(UTC).date(), []).extend(objects)
    target = out or folder / OUT_FOLDER
    written = [_write(target / f"dso_signals_{day:%d_%m_%Y}.json", objects) for day, objects in days.items() if objects]
    if not written:
        raise SignalError(f"{folder / TRACE}: no DSO sent a signal (4.2.1 or 5.2.1) that could be written")
    return written


def _said(trace: Trace) -> tuple[list[Signal], list[Place]]:
    """Each signal once, as it was first sent, and the stations as they were last registered."""
    sent: dict[tuple[str | None, str], Signal] = {}
    stations: dict[str, Place] = {}
    for entry in trace.entries:
        if entry.message.performative is not Performative.REQUEST:
            continue
        try:
            content = parse(entry.message)
        except ContentError:
            continue  # somebody's mistake, which was not understood
        if isinstance(content, StationRegistration):
            stations.update({each.station_id: each for each in content.stations})
        elif isinstance(content, NetworkPriceReduction | CapacityLimit):
            sent.setdefault((content.exchange, _name(content)), content)
    return list(sent.values()), list(stations.values())


def _name(content: Signal) -> str:
    return content.activation_id if isinstance(content, CapacityLimit) else content.reduction_id


def _places(content: Signal) -> tuple[str, ...]:
    return (content.station_id,) if isinstance(content, CapacityLimit) else content.locations


def _write(path: Path, objects: list[dict[str, Any]]) -> Path:
    """The whole file or none."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(objects, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise SignalError(f"{path.parent}: cannot be written: {error.strerror}; give another --out") from None
    return path
