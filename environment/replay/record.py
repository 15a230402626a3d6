"""A recorded run, or a case that was kept of one: scenario, messages, acts, and how far a replay may be off."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from environment import scenario as scenarios
from environment.acts import Act
from environment.run_folder import ACTS, SCENARIO, TRACE
from environment.scenario import Scenario, ScenarioError
from protocols.dialogues import EXCHANGES
from protocols.exchanges.content import Part, faults_of
from protocols.trace import Entry, Header, TraceError, read
from protocols.units import Time

TOLERANCES = "tolerances.toml"


class ReplayError(ValueError):
    """A record that cannot be replayed; one line says which file, which line, and why."""


class Tolerances(Part):
    """How far a replay may be off, as `tolerances.toml` says it.

    `time_s`: of when something is said or done. `relative`: of every number that is no price and no amount. `units`: of
    numbers by the unit that their names end in (`kw = 0.05`), in that unit, also prices and amounts (`eur = 0.01`).
    """

    time_s: float = Field(0.0, ge=0)
    relative: float = Field(1e-6, ge=0)
    units: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """All of it. `folder` is where relative paths of the scenario start."""

    folder: Path
    scenario: Scenario
    header: Header
    entries: tuple[Entry, ...]
    acts: tuple[Act, ...]
    tolerances: Tolerances = field(default_factory=Tolerances)

    def events(self) -> Iterator[Entry | Act]:
        """Messages and acts in the order in which they were sent and done."""
        waiting = iter(self.acts)
        act = next(waiting, None)
        for number, entry in enumerate(self.entries):
            while act is not None and act.after <= number:
                yield act
                act = next(waiting, None)
            yield entry
        while act is not None:
            yield act
            act = next(waiting, None)


class _Line(Part):
    after: int = Field(ge=0)
    at: Time
    who: str
    device: str
    act: str
    members: dict[str, Any] = Field(alias="with")


def read_record(path: Path) -> Record:
    """The record in this folder, or of which this is the trace. Raises ReplayError."""
    folder = path if path.is_dir() else path.parent
    trace = path / TRACE if path.is_dir() else path
    header, entries = _messages(trace)
    acts = _acts(folder / ACTS)
    return Record(folder, _scenario(folder, header), header, entries, acts, _tolerances(folder / TOLERANCES))


def _messages(path: Path) -> tuple[Header, tuple[Entry, ...]]:
    entries: list[Entry] = []
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            header, messages = read(lines)
            for entry in messages:
                if entries and entry.at < entries[-1].at:
                    raise TraceError(entry.line, f"is sent at {entry.at.isoformat()}, before the line above it")
                if entry.message.exchange is not None and entry.message.exchange not in EXCHANGES:
                    raise TraceError(entry.line, f"exchange {entry.message.exchange!r} is not in the catalogue")
                entries.append(entry)
    except TraceError as fault:
        raise ReplayError(f"{path}:{fault.line}: {fault.reason}") from None
    except UnicodeDecodeError as error:
        raise ReplayError(f"{path}: is not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise ReplayError(f"{path}: cannot be read: {error.strerror}; give the folder of a run or of a case") from None
    return header, tuple(entries)


def _acts(path: Path) -> tuple[Act, ...]:
    found: list[Act] = []
    last: datetime | None = None
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, text in enumerate(lines, start=1):
                try:
                    line = _Line.model_validate_json(text)
                except ValidationError as error:
                    raise ReplayError(f"{path}:{number}: {'; '.join(faults_of(error))}") from None
                if last is not None and line.at < last:
                    raise ReplayError(f"{path}:{number}: is done at {line.at.isoformat()}, before the line above it")
                last = line.at
                found.append(Act(line.after, line.at, line.who, line.device, line.act, line.members))
    except UnicodeDecodeError as error:
        raise ReplayError(f"{path}: is not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise ReplayError(
            f"{path}: cannot be read: {error.strerror}; a replay needs what was done besides what was said"
        ) from None
    return tuple(found)


def _scenario(folder: Path, header: Header) -> Scenario:
    """The scenario beside the trace."""
    path = folder / SCENARIO
    if not path.is_file():
        raise ReplayError(f"{path}: is missing; runs of earlier versions do not have it: run them again")
    try:
        found = scenarios.load(path)
    except ScenarioError as error:
        raise ReplayError("\n".join(f"{path.parent}/{line}" for line in str(error).splitlines())) from None
    told = (header.scenario, header.seed)
    if told != (found.scenario.name, found.scenario.seed):
        raise ReplayError(
            f"{folder / TRACE}:1: is of {told[0]!r} with seed {told[1]}, but {SCENARIO} beside it of "
            f"{found.scenario.name!r} with seed {found.scenario.seed}"
        )
    return found


def _tolerances(path: Path) -> Tolerances:
    try:
        return Tolerances.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Tolerances()
    except tomllib.TOMLDecodeError as error:
        raise ReplayError(f"{path}: is not TOML: {error}") from None
    except ValidationError as error:
        raise ReplayError(f"{path}: {'; '.join(faults_of(error))}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ReplayError(f"{path}: cannot be read: {error}") from None
