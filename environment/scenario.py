"""A demonstrator as a TOML file, validated as a whole: every error is one line with its place and what to do."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from environment.campus_scenario import CampusScenario
from environment.island_scenario import IslandScenario
from environment.market_scenario import MarketScenario
from environment.public_scenario import PublicScenario
from environment.scenario_parts import Part, Scenario

__all__ = ["SCENARIOS", "Scenario", "ScenarioError", "available", "load", "parse"]

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
KINDS: dict[str, type[Scenario]] = {"island": IslandScenario, "area": CampusScenario, "auction": PublicScenario}
"""The kind of a scenario by the table that only it has; any other is one with a market."""


class ScenarioError(ValueError):
    """A scenario that cannot be run; `faults` has one line for each thing that is wrong."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))
        self.faults = faults


def available() -> list[str]:
    """The names of the scenarios that ship with the project."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def load(source: str | Path, **changes: Any) -> Scenario:
    """The scenario of that name, or at that path; `changes` overrides values of its `[scenario]` table.

    Raises ScenarioError with one line for each fault.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = SCENARIOS / f"{source}.toml"
        if not path.is_file():
            raise ScenarioError(str(source), [f"no such scenario; there are {', '.join(available())}"])
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from error
    return parse(text, path.name, **changes)


def parse(text: str, source: str, **changes: Any) -> Scenario:
    """The scenario in `text`. Raises ScenarioError, naming `source` in each line."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, [f"is not TOML: {error}"]) from error
    if isinstance(tables.get("scenario"), dict):
        given = {key: value for key, value in changes.items() if value is not None}
        tables["scenario"].update(given)
        text = _same(_with_values(text, given), tables)
    kind = next((KINDS[table] for table in KINDS if table in tables), MarketScenario)
    try:
        return kind.model_validate(_tuples(tables)).from_source(source, text)
    except ValidationError as error:
        raise ScenarioError(source, [_line(fault, kind) for fault in _causes(error.errors())]) from error


def _with_values(text: str, given: Mapping[str, Any]) -> str:
    """The same TOML with these values in its `[scenario]` table; everything else stays as it is written. A table that
    is written otherwise (`scenario = {..}`) is left as it is."""
    parts = re.split(r"(?m)^(\s*\[scenario\].*\n?)", text, maxsplit=1)
    if not given or len(parts) == 1:
        return text
    head, table, rest = parts
    own, *others = re.split(r"(?m)^(?=\s*\[)", rest, maxsplit=1)
    for key, value in given.items():
        line = rf"(?m)^(\s*{re.escape(key)}\s*=)[^#\n]*?(\s*(?:#.*)?)$"
        written = _toml(value)
        own, found = re.subn(line, lambda old, new=written: f"{old[1]} {new}{old[2]}", own, count=1)
        own = own if found else f"{key} = {written}\n{own}"
    table = table if table.endswith("\n") else f"{table}\n"
    return head + table + own + "".join(others)


def _same(text: str, tables: Mapping[str, Any]) -> str:
    """The text, if these tables are what it says; else "", as nobody knows their text."""
    try:
        return text if tomllib.loads(text) == tables else ""
    except tomllib.TOMLDecodeError:
        return ""


def _toml(value: Any) -> str:
    """A number, a text, a date or a time as TOML writes it."""
    return json.dumps(value) if isinstance(value, str | bool) else str(value)


def _causes(faults: list[Any]) -> list[Any]:
    """Without the "too short" that pydantic adds to a table array because one of its tables is at fault."""
    at_fault = {fault["loc"][0] for fault in faults if len(fault["loc"]) > 1}
    return [fault for fault in faults if fault["loc"] == () or len(fault["loc"]) > 1 or fault["loc"][0] not in at_fault]


def _tuples(value: Any) -> Any:
    """TOML's arrays as the tuples that strict validation asks for."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _part_of(field: FieldInfo) -> type[Part] | None:
    """The class of the tables under a key: `Part` itself, one of several (`tuple[Part, ...]`), or None."""
    kinds = [field.annotation, *get_args(field.annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Part)), None)


def _unit_of(field: FieldInfo) -> str | None:
    """The description of a field, which for an optional one stands at the type that it has when it is given."""
    if field.description is not None:
        return field.description
    inner = [info for kind in get_args(field.annotation) for info in getattr(kind, "__metadata__", ())]
    return next((info.description for info in inner if isinstance(info, FieldInfo)), None)


def _line(fault: Any, kind: type[Scenario]) -> str:
    """One pydantic error as: place, what is wrong, what would be right."""
    place = ""
    for step in fault["loc"]:
        place += f"[{step + 1}]" if isinstance(step, int) else ("." if place else "") + str(step)
    place = place or "scenario"
    field = kind.model_fields.get(str(fault["loc"][0])) if fault["loc"] else None
    known = _part_of(field) if field else None
    if fault["type"] == "extra_forbidden":
        keys = known.model_fields if known and len(fault["loc"]) > 1 else kind.model_fields
        wrong = str(fault["loc"][-1])
        near = difflib.get_close_matches(wrong, keys, n=1, cutoff=0.5)
        return f"{place}: unknown key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(keys)}")
    if fault["type"] == "missing":
        missing = known.model_fields.get(str(fault["loc"][-1])) if known and len(fault["loc"]) > 1 else None
        choices = get_args(missing.annotation) if missing and get_origin(missing.annotation) is Literal else ()
        return f"{place}: is missing" + (f"; it is {' or '.join(map(repr, choices))}" if choices else "")
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "value_error" and not fault["loc"]:
        return message
    given = f" (given: {fault['input']!r})" if not isinstance(fault["input"], dict) else ""
    unit = None
    if known and len(fault["loc"]) > 1:
        name = next((s for s in reversed(fault["loc"]) if isinstance(s, str) and s in known.model_fields), None)
        unit = _unit_of(known.model_fields[name]) if name else None
    return f"{place}: {message[0].lower()}{message[1:]}{given}" + (f"; the value is in {unit}" if unit else "")
