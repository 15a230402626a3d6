"""`run.py play` and `run.py exam`: somebody's live agent is examined by recorded cases."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from agents.actor import AgentError
from behaviours.link import LinkError
from environment.access import AccountsError
from environment.exam import report
from environment.exam.judge import Verdict
from environment.exam.outside import SPEED, WAIT_S, Place, examine
from environment.exam.own import examine_own
from environment.exam.script import SERVICES, Script, examined_of
from environment.pace import PaceError, checked_speed
from environment.replay.command import EXPECTED as UNREADABLE
from environment.replay.keeping import CASES
from environment.replay.record import Record, ReplayError, read_record
from environment.run_folder import TRACE
from environment.server import ServerError
from protocols.roles import Role

EXPECTED = (*UNREADABLE, AccountsError, ServerError, LinkError, AgentError, PaceError)
_ROLES = sorted(str(role) for role in Role if role not in SERVICES)


def add_play_options(parser: argparse.ArgumentParser) -> None:
    """The options of `play`."""
    parser.description = (
        "Plays a recorded case against somebody's live agent over XMPP, and judges it by the rules. "
        "Exit code 0: passed; 1: a rule is broken; 3: could not be held."
    )
    parser.add_argument("case", type=Path, metavar="CASE", help="the folder of a case or of a run")
    parser.add_argument(
        "--against", required=True, metavar="ROLE=JID", help="who is examined, in the place of which role, or agent"
    )
    parser.add_argument(
        "--role",
        action="append",
        choices=_ROLES,
        help="this role of ours, or several, opens conversations; the others only answer (default: all open)",
    )
    _add_place(parser)


def add_exam_options(parser: argparse.ArgumentParser) -> None:
    """The options of `exam`."""
    parser.description = (
        "Examines an agent of this role by every case that has the role: somebody's live one with --jid, else our own. "
        "Exit code 0: passed; 1: a rule is broken; 3: could not be held."
    )
    parser.add_argument("role", choices=_ROLES, metavar="ROLE", help=", ".join(_ROLES))
    parser.add_argument("--jid", metavar="JID", help="the live agent; without, our own is examined in this process")
    parser.add_argument("--cases", type=Path, default=CASES, metavar="DIR", help="the folder of all cases")
    parser.add_argument("--only", action="append", metavar="CASE", help="this case alone, or several: buc6/...")
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", metavar="HOST[:PORT]", help="an XMPP server instead of the embedded one")
    parser.add_argument("--accounts", type=Path, metavar="FILE", help="with --server: TOML, jid = password")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="with --server: the CA that signed its certificate")
    parser.add_argument("--admit", type=Path, metavar="FILE", help="embedded server: TOML, the live agent's account")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the embedded server (a free one)")
    parser.add_argument("--speed", type=float, default=SPEED, metavar="X", help=f"times wall time ({SPEED:g})")
    parser.add_argument("--wait", type=float, default=WAIT_S, metavar="S", help=f"for it to register ({WAIT_S:g} s)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="the verdict as JUnit XML as well")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the transcripts, as traces")


def play_command(options: argparse.Namespace) -> int:
    """Plays one case; returns the exit code."""
    wanted, _, jid = options.against.partition("=")
    if not wanted or "@" not in jid:
        return _cannot(f"--against {options.against}: give the role and the live agent: vpp=name@example.org")
    try:
        record = read_record(options.case)
        script = Script(record, examined_of(record, wanted))
        roles = frozenset(map(Role, options.role)) if options.role else None
        verdicts = asyncio.run(examine([(_name(options.case), script)], jid, _place(options, roles), _tell))
    except EXPECTED as error:
        return _cannot(str(error))
    return _told(verdicts, options)


def exam_command(options: argparse.Namespace) -> int:
    """Holds every exam of the role; returns the exit code."""
    try:
        found = list(cases(options.cases, Role(options.role), options.only))
        if not found:
            raise ReplayError(f"{options.cases}: no case has {options.role}; `run.py keep` makes cases of runs")
        if options.jid is None:
            verdicts = [examine_own(record, examined, name) for name, record, examined in found]
        else:
            if "@" not in options.jid:
                raise AccountsError(f"--jid {options.jid}: give name@domain")
            scripts = [(name, Script(record, examined)) for name, record, examined in found]
            verdicts = asyncio.run(examine(scripts, options.jid, _place(options, None), _tell))
    except EXPECTED as error:
        return _cannot(str(error))
    return _told(verdicts, options)


def cases(folder: Path, role: Role, only: list[str] | None = None) -> Iterator[tuple[str, Record, str]]:
    """The name, the record and the examined agent of each case that has the role. Raises ReplayError."""
    paths = {f"{path.parent.parent.name}/{path.parent.name}": path.parent for path in folder.glob(f"*/*/{TRACE}")}
    for name in only or ():
        if name not in paths:
            raise ReplayError(
                f"--only {name}: no such case in {folder}; there are {', '.join(sorted(paths)) or 'none'}"
            )
    for name in sorted(only or paths):
        record = read_record(paths[name])
        if role in record.header.roles.values():
            examined = examined_of(record, role)
            if Script(record, examined).mine:
                yield name, record, examined


def _place(options: argparse.Namespace, speaking: frozenset[Role] | None) -> Place:
    speed = checked_speed(options.speed)
    assert speed is not None
    return Place(
        options.server,
        options.accounts,
        options.admit,
        options.ca,
        options.port,
        speed,
        max(0.0, options.wait),
        speaking,
    )


def _name(path: Path) -> str:
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    return f"{folder.parent.name}/{folder.name}"


def _told(verdicts: list[Verdict], options: argparse.Namespace) -> int:
    """Prints and writes the verdicts; the exit code."""
    for verdict in verdicts:
        for line in report.lines(verdict):
            print(line)
    passed = sum(verdict.passed for verdict in verdicts)
    print(f"{passed} of {len(verdicts)} exam{'' if len(verdicts) == 1 else 's'} passed")
    try:
        if options.out is not None:
            for verdict in verdicts:
                print(report.write_transcript(options.out, verdict))
        if options.junit is not None:
            report.write_junit(options.junit, verdicts)
    except OSError as error:
        return _cannot(f"{error.filename}: cannot be written: {error.strerror}")
    if any(verdict.findings for verdict in verdicts):
        return 1
    return 3 if any(verdict.why_not for verdict in verdicts) else 0


def _cannot(why: str) -> int:
    for line in why.splitlines():
        print(f"run.py: {line}", file=sys.stderr)
    return 3


def _tell(line: str) -> None:
    print(line, flush=True)
