"""The script of an exam: who says what to whom in a record, in strands.

A strand is what two agents say to each other in one conversation; a call to several agents is several strands. Those of
the platform's directory are left out, since a real one takes part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from environment.replay.record import Record, ReplayError
from protocols.acl import Performative
from protocols.catalogue import parse
from protocols.check import check
from protocols.conversation import opens
from protocols.exchanges import ContentError
from protocols.exchanges.services import Registration
from protocols.roles import Role
from protocols.trace import Entry, header_line, message_line

SERVICES = frozenset({Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER})
"""The platform's own roles: these examine, and are not examined."""
_NAMES_OF_THINGS = frozenset({"charger_id", "vehicle_id", "user_id", "site_id", "station_id", "product_id"})
"""What has a name before anything is said."""
DECLINES = frozenset(
    {Performative.REFUSE, Performative.REJECT_PROPOSAL, Performative.FAILURE, Performative.NOT_UNDERSTOOD}
)


@dataclass(frozen=True)
class Strand:
    """What `initiator` and `participant` (recorded JIDs) say to each other in one conversation."""

    conversation_id: str
    initiator: str
    participant: str
    entries: tuple[Entry, ...]

    @property
    def opening(self) -> Entry:
        """The act that opens it."""
        return self.entries[0]

    def peer_of(self, jid: str) -> str:
        """The other one."""
        return self.participant if jid == self.initiator else self.initiator


class Script:
    """A record from the place of one of its agents: `examined` is the recorded JID, `owner` says who was the first to
    use an id. `faulty` are the lines with which the record itself breaks a rule."""

    def __init__(self, record: Record, examined: str) -> None:
        self.record = record
        self.examined = examined
        self.roles: Mapping[str, Role] = record.header.roles
        self.domain = examined.partition("@")[2]
        self.directory = f"directory@{self.domain}"
        self.registrations: list[Registration] = []
        self.owner: dict[str, str] = {}
        found: dict[tuple[str, frozenset[str]], list[Entry]] = {}
        for entry in record.entries:
            message = entry.message
            if self.directory in (message.sender, message.receiver):
                self._note_registration(entry)
                continue
            for name in (message.conversation_id, message.reply_with, *(value for _, value in ids_of(message.content))):
                self.owner.setdefault(name, message.sender)
            ends = frozenset((message.sender, message.receiver))
            found.setdefault((message.conversation_id, ends), []).append(entry)
        self.strands = [
            Strand(name, entries[0].message.sender, entries[0].message.receiver, tuple(entries))
            for (name, _), entries in found.items()
            if opens(entries[0].message)
        ]
        self.needs = _needs(self.strands, examined)
        """For an opening act of another, by its line: the line of the examined agent that it follows from."""
        self.mine = [s for s in self.strands if examined in (s.initiator, s.participant)]
        """The strands in which the examined agent takes part."""

    @property
    def role(self) -> Role:
        """That of the examined agent."""
        return self.roles[self.examined]

    @property
    def ends(self) -> datetime:
        """When the last thing is said to or by the examined agent; the record's beginning where nothing is."""
        last = [strand.entries[-1].at for strand in self.mine]
        return max(last, default=self.record.scenario.begins)

    @property
    def peers(self) -> list[str]:
        """Who speaks with the examined agent, by JID; the environment, which tells the time, always."""
        found = {strand.peer_of(self.examined) for strand in self.mine}
        found |= {jid for jid, role in self.roles.items() if role is Role.ENVIRONMENT}
        return sorted(found)

    @cached_property
    def faulty(self) -> frozenset[int]:
        """The lines that break a rule in the record already."""
        header = self.record.header
        lines = [header_line(header.scenario, header.seed, header.roles)]
        lines += [message_line(entry.message, entry.at) for entry in self.record.entries]
        return frozenset(fault.line for fault in check(lines, zone=self.record.scenario.zone))

    @cached_property
    def takes_part(self) -> bool:
        """Whether the examined agent answers anybody with more than a refusal."""
        return any(
            entry.message.sender == self.examined and entry.message.performative not in DECLINES
            for strand in self.mine
            if strand.participant == self.examined
            for entry in strand.entries
        )

    def _note_registration(self, entry: Entry) -> None:
        try:
            content = parse(entry.message)
        except ContentError:
            return
        if isinstance(content, Registration):
            self.registrations.append(content)


def examined_of(record: Record, wanted: str) -> str:
    """The recorded agent of this role or name whose place is taken; of several in the role, who says most. Raises
    ReplayError."""
    roles = {jid: role for jid, role in record.header.roles.items() if role not in SERVICES}
    named = [jid for jid in roles if jid.partition("@")[0] == wanted]
    candidates = named or [jid for jid, role in roles.items() if role == wanted]
    if not candidates:
        there = ", ".join(sorted({str(role) for role in roles.values()}))
        raise ReplayError(f"{wanted}: nobody of that name or role takes part in {record.folder}; there are {there}")
    said = {jid: sum(entry.message.sender == jid for entry in record.entries) for jid in candidates}
    return max(candidates, key=lambda jid: said[jid])


def _needs(strands: Sequence[Strand], examined: str) -> dict[int, int]:
    """What somebody opens a conversation about, the examined agent may have told him of just before."""
    told: dict[tuple[str, str], int] = {}
    found: dict[int, int] = {}
    openings = {strand.opening.line for strand in strands}
    for entry in sorted((entry for strand in strands for entry in strand.entries), key=lambda entry: entry.line):
        message = entry.message
        ids = [value for _, value in ids_of(message.content)]
        if message.sender == examined:
            told |= {(message.receiver, value): entry.line for value in ids}
        elif entry.line in openings:
            lines = [told[message.sender, value] for value in ids if (message.sender, value) in told]
            if lines:
                found[entry.line] = max(lines)
    return found


def ids_of(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every id in a content, with where it stands: the strings whose names end in `_id`, but for names of things."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            if isinstance(value, str) and name.endswith("_id") and name not in _NAMES_OF_THINGS:
                yield (*path, name), value
            else:
                yield from ids_of(value, (*path, name))
    elif isinstance(content, (list, tuple)):
        for number, value in enumerate(content):
            yield from ids_of(value, (*path, number))
