"""`run.py replay`: a recorded run, or a case, against the agents as they are now."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.actor import AgentError
from environment.frequency import FrequencyError
from environment.grid import GridError
from environment.replay.conductor import Conductor, counted
from environment.replay.record import Record, ReplayError, read_record
from environment.replay.stage import replay
from environment.scenario import ScenarioError
from environment.sessions_csv import SessionsError
from protocols.roles import Role

_SHOWN = 40
EXPECTED = (ReplayError, ScenarioError, GridError, SessionsError, FrequencyError, AgentError)
"""What can be wrong with a record: each is one line for the user."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Tells each agent of a recorded run exactly what it was told, and compares what it says, sets and pays "
        "with the record. Exit code 0: as recorded; 1: with differences; 3: a record that cannot be replayed."
    )
    parser.add_argument("trace", type=Path, metavar="TRACE", help="the folder of a run or of a case, or its trace")
    parser.add_argument(
        "--role", action="append", metavar="ROLE", help="this role alone, or several: vpp, dso, ... (default: all)"
    )


def replay_command(options: argparse.Namespace) -> int:
    """Replays, prints what differs, and returns the exit code."""
    try:
        record = read_record(options.trace)
        played = played_by(record, options.role)
        conductor = replay(record, played)
    except EXPECTED as error:
        for line in str(error).splitlines():
            print(f"run.py: {line}", file=sys.stderr)
        return 3
    for line in verdict(record, played, conductor):
        print(line)
    return 1 if conductor.differences else 0


def played_by(record: Record, roles: Sequence[str] | None) -> frozenset[str]:
    """The JIDs of the agents in these roles (names or words of `Role`); without any, all. Raises ReplayError."""
    if not roles:
        return frozenset(record.header.roles)
    wanted = set()
    for name in roles:
        known = sorted({str(role) for role in record.header.roles.values()})
        if name not in known:
            raise ReplayError(f"--role {name}: nobody plays it in this record; there are {', '.join(known)}")
        wanted.add(Role(name))
    return frozenset(jid for jid, role in record.header.roles.items() if role in wanted)


def verdict(record: Record, played: frozenset[str], conductor: Conductor) -> list[str]:
    """What to tell of a replay: the differences, the first of them in full, and a closing line."""
    found = conductor.differences
    lines = [str(difference) for difference in found[:_SHOWN]]
    if (more := len(found) - _SHOWN) > 0:
        lines.append(f"and {more} more differences")
    count = counted(record, played)
    said = ", ".join(
        f"{number} {noun}{'' if number == 1 else 's'}"
        for number, noun in ((count["messages"], "message"), (count["orders"], "order"), (count["payments"], "payment"))
    )
    agents = f"{len(played)} agent{'' if len(played) == 1 else 's'}"
    if not found:
        return [*lines, f"{agents}, {said}: as recorded"]
    return [*lines, f"{agents}, {said}: {len(found)} difference{'' if len(found) == 1 else 's'}"]
