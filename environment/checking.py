"""`run.py check`: a trace file against the protocol tables, the catalogue, authority, deadlines and meanings."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path

from environment import scenario
from protocols.check import check
from protocols.trace import TraceError, read_entry, read_header


def check_file(path: Path, say: Callable[[str], None]) -> int:
    """Prints each fault with its line; returns 0 for a trace without faults, else 1."""
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            zone = _zone_of(lines.readline(), lines.readline())
            lines.seek(0)
            faults = check(lines, zone=zone)
    except OSError as error:
        say(f"{path}: cannot be read: {error.strerror}")
        return 1
    except UnicodeDecodeError as error:
        say(f"{path}: is not UTF-8 at byte {error.start}")
        return 1
    except TraceError as error:
        say(f"{path}: {error}")
        return 1
    for fault in faults:
        say(f"{path}: {fault}")
    if not faults:
        say(f"{path}: no faults")
    return 1 if faults else 0


def _zone_of(header: str, first: str) -> tzinfo:
    """The zone of the trace's scenario, whose local days and hours the market's are; for one of the user's own the
    offset of its first message, which the trace has in local time (true but for an hour when the clocks have changed).
    A trace may come from anybody: the name in it is looked up, and never opened as a path."""
    try:
        name = read_header(header).scenario
        if name in scenario.available():
            return scenario.load(name).zone
        return read_entry(2, first).at.tzinfo or UTC
    except (TraceError, scenario.ScenarioError):
        return UTC
