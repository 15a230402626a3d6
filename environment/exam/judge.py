"""The judgement of an exam: what the examined agent says is held against every rule that `run.py check` knows, and
against what an exam expects besides. Equality with the record is not asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from environment.exam.rules import SOURCES, source_of
from environment.replay.difference import told
from protocols.acl import AclMessage
from protocols.check import Replay
from protocols.roles import Role
from protocols.trace import Entry, Header, header_line, message_line


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that was broken: where in the transcript (line from 1, 0 where nothing was said), when, by which message,
    and what is wrong, with what was expected and what came."""

    rule: str
    line: int
    at: datetime
    what: str
    text: str
    exchange: str | None = None

    @property
    def source(self) -> str:
        """Where the rule stands."""
        return source_of(self.rule, self.exchange)

    def __str__(self) -> str:
        place = f"line {self.line}, " if self.line else ""
        said = f"{self.what}: " if self.what else ""
        return f"{place}{self.at:%Y-%m-%d %H:%M:%S}: {said}{self.text}"


@dataclass(frozen=True)
class Verdict:
    """How an exam went. `findings` are the examined agent's; `heard` is how many messages it sent; `why_not` says why
    the exam could not be held, "" where it was; `departures` tell where the course was another than the record's."""

    case: str
    role: Role
    agent: str
    findings: tuple[Finding, ...]
    heard: int
    transcript: tuple[str, ...] = field(repr=False, default=())
    departures: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def passed(self) -> bool:
        """Held, and nothing found."""
        return not self.findings and not self.why_not

    def by_rule(self) -> dict[str, list[Finding]]:
        """The findings of every rule there is, none for those that were kept."""
        found: dict[str, list[Finding]] = {rule: [] for rule in SOURCES}
        for finding in self.findings:
            found.setdefault(finding.rule, []).append(finding)
        return found


class Judge:
    """Writes the transcript and judges it, message by message. `examined` is the live JID."""

    def __init__(self, scenario: str, seed: int, roles: Mapping[str, Role], zone: ZoneInfo, examined: str) -> None:
        self._replay = Replay(Header(scenario=scenario, seed=seed, roles=dict(roles)), zone)
        self._zone = zone
        self.roles = dict(roles)
        self._examined = examined
        self.transcript = [header_line(scenario, seed, roles)]
        self.findings: list[Finding] = []
        self.ours: list[str] = []
        """What is wrong with messages that are not the examined agent's: the examiner's own faults."""
        self.heard = 0
        self.found: Callable[[Finding], None] = lambda finding: None
        """Is told of each finding."""

    def note(self, at: datetime, message: AclMessage) -> list[Finding]:
        """Writes down a message; returns what is wrong with it where it is the examined agent's."""
        local = at.astimezone(self._zone)
        self.transcript.append(message_line(message, local))
        line = len(self.transcript)
        faults = self._replay.take(Entry(line, local, message))
        if message.sender != self._examined:
            self.ours += [f"{fault} ({told(message)})" for fault in faults]
            return []
        self.heard += 1
        found = [Finding(f.rule, f.line, local, told(message), f.text, message.exchange) for f in faults]
        for finding in found:
            self._keep(finding)
        return found

    def find(self, rule: str, at: datetime, text: str, message: AclMessage | None = None) -> None:
        """Something is wrong that is not in a message of the examined agent; `message` is the one concerned."""
        line = len(self.transcript) if message is not None else 0
        what, exchange = ("", None) if message is None else (told(message), message.exchange)
        self._keep(Finding(rule, line, at.astimezone(self._zone), what, text, exchange))

    def _keep(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.found(finding)
