"""The user's own sessions: a CSV file, validated as a whole, every error with its line and what to do.

Columns: charger_id, vehicle_id, arrival, departure, capacity_kwh, soc_arrival_percent, soc_wanted_percent. Times are
ISO 8601; without an offset they are in the scenario's time zone. Sessions outside the run are left out.
"""

from __future__ import annotations

import csv
import difflib
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from environment.scenario_parts import Scenario, SitePart
from environment.sessions import Session, Sessions, in_order, soc_after, vehicle_for, within
from environment.vehicles import Vehicle

COLUMNS = (
    "charger_id",
    "vehicle_id",
    "arrival",
    "departure",
    "capacity_kwh",
    "soc_arrival_percent",
    "soc_wanted_percent",
)
MOST_KWH = 1000.0


class SessionsError(ValueError):
    """A sessions file that cannot be used; `faults` has one line for each thing that is wrong."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))
        self.faults = faults


class _RowError(ValueError):
    """One row that cannot be used."""


def read_csv(path: Path, scenario: Scenario) -> Sessions:
    """The sessions in a file. Raises SessionsError with one line for each fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SessionsError(str(path), [f"cannot be read: {reason}"]) from error
    return parse_csv(text, path.name, scenario)


def parse_csv(text: str, source: str, scenario: Scenario) -> Sessions:
    """The sessions in `text`, those within the run; a wanted charge that cannot be reached is a warning.

    Raises SessionsError, naming `source` in each line.
    """
    sites = {charger_id: site for site in scenario.sites for charger_id in site.charger_ids()}
    reader = csv.DictReader(text.splitlines(), strict=True)
    faults: list[str] = []
    rows: list[tuple[int, Session]] = []
    try:
        header = list(reader.fieldnames or ())
        if missing := [column for column in COLUMNS if column not in header]:
            raise SessionsError(
                source, [f"line 1: has no column {', '.join(missing)}; the columns are {', '.join(COLUMNS)}"]
            )
        if unknown := [column for column in header if column not in COLUMNS]:
            raise SessionsError(
                source, [f"line 1: unknown column {unknown[0]!r}; the columns are {', '.join(COLUMNS)}"]
            )
        for row in reader:
            try:
                rows.append((reader.line_num, _row(row, sites, scenario.zone)))
            except _RowError as error:
                faults.append(f"line {reader.line_num}: {error}")
    except csv.Error as error:
        raise SessionsError(source, [f"line {reader.line_num}: is not CSV: {error}"]) from error
    faults += _overlaps(rows, scenario.zone)
    if faults:
        raise SessionsError(source, faults)
    vehicles: dict[str, Vehicle] = {}
    sessions: list[Session] = []
    warnings: list[str] = []
    for line, session in rows:
        vehicle = vehicle_for(sites[session.charger_id], session.vehicle_id, session.capacity_kwh)
        vehicles.setdefault(session.vehicle_id, vehicle)
        hours = (session.departure - session.arrival).total_seconds() / 3600
        percent = soc_after(vehicle, session.soc_arrival_percent / 100, hours) * 100
        if session.soc_wanted_percent > percent + 0.05:
            warnings.append(
                f"{source}: line {line}: {session.vehicle_id} wants {session.soc_wanted_percent:g} %, "
                f"but {percent:.1f} % is all that can be charged by its departure"
            )
        if in_run := within(session, vehicle, scenario):
            sessions.append(in_run)
    if rows and not sessions:
        warnings.append(f"{source}: no session lies within the run ({scenario.begins} to {scenario.ends})")
    return Sessions(tuple(vehicles.values()), in_order(sessions), tuple(warnings))


def _row(row: Mapping[str | None, str | list[str] | None], sites: Mapping[str, SitePart], zone: ZoneInfo) -> Session:
    if None in row or None in row.values():
        raise _RowError(f"has not {len(COLUMNS)} values; give one for each column")
    values = {str(name): str(value).strip() for name, value in row.items()}
    if empty := [name for name in COLUMNS if not values[name]]:
        raise _RowError(f"{empty[0]} is empty")
    charger_id = values["charger_id"]
    if charger_id not in sites:
        near = difflib.get_close_matches(charger_id, sites, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the first one is {min(sites)}"
        raise _RowError(f"there is no charger {charger_id!r} in the scenario; {hint}")
    arrival, departure = (_instant(name, values[name], zone) for name in ("arrival", "departure"))
    if departure <= arrival:
        raise _RowError(f"departs at {values['departure']}, not after its arrival at {values['arrival']}")
    return Session(
        charger_id,
        values["vehicle_id"],
        arrival,
        departure,
        _number("capacity_kwh", values, 1.0, MOST_KWH),
        _number("soc_arrival_percent", values, 0.0, 100.0),
        _number("soc_wanted_percent", values, 0.0, 100.0),
    )


def _number(name: str, values: Mapping[str, str], low: float, high: float) -> float:
    try:
        value = float(values[name])
    except ValueError:
        raise _RowError(f"{name} is {values[name]!r}, not a number") from None
    if not low <= value <= high:
        raise _RowError(f"{name} is {value:g}, outside {low:g} to {high:g}")
    return value


def _instant(name: str, text: str, zone: ZoneInfo) -> datetime:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise _RowError(f"{name} is {text!r}, not a time such as 2026-03-18T17:45") from None
    if value.tzinfo is not None:
        return value.astimezone(UTC)
    there = value.replace(tzinfo=zone)
    if there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != value:
        raise _RowError(f"{name}: {text} does not exist in {zone}, the clocks jump over it")
    return there.astimezone(UTC)


def _overlaps(rows: list[tuple[int, Session]], zone: ZoneInfo) -> list[str]:
    """A charger takes one vehicle at a time, a vehicle is in one place at a time and keeps its battery."""
    faults: list[str] = []
    for what in ("charger_id", "vehicle_id"):
        groups: defaultdict[str, list[tuple[int, Session]]] = defaultdict(list)
        for line, session in rows:
            groups[getattr(session, what)].append((line, session))
        for name, group in groups.items():
            group.sort(key=lambda row: (row[1].arrival, row[0]))
            for (earlier, first), (line, second) in pairwise(group):
                if second.arrival < first.departure:
                    kind, until = what.removesuffix("_id"), first.departure.astimezone(zone).isoformat(" ", "minutes")
                    faults.append(f"line {line}: {kind} {name} is taken until {until} (line {earlier})")
                if what == "vehicle_id" and first.capacity_kwh != second.capacity_kwh:
                    faults.append(
                        f"line {line}: vehicle {name} has {second.capacity_kwh:g} kWh, but {first.capacity_kwh:g} kWh "
                        f"in line {earlier}"
                    )
    return faults
