"""One strand as it is played: how far it is, and what our side of it knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from environment.exam.binding import Pair
from environment.exam.script import DECLINES, Strand, ids_of
from protocols.acl import AclMessage, Performative
from protocols.catalogue import parse
from protocols.conversation import Conversation
from protocols.exchanges import Content, ContentError
from protocols.peer import Patience
from protocols.tables import REFUSAL
from protocols.trace import Entry

_FOR_EVER = timedelta(days=36_500)
PATIENT = Patience(answer=_FOR_EVER, result=_FOR_EVER, lease=_FOR_EVER)
"""Only deadlines that stand in a message count: nobody is judged by another's own patience."""


@dataclass(eq=False)
class Course:
    """A strand under way. `shift` is how much later than in the record it was opened; `suffix` marks the ids of one
    that is played again; `void` says why the rest of it is not played, "" where it is."""

    strand: Strand
    examined: str
    conversation: Conversation | None = None
    conversation_id: str = ""
    next: int = 0
    shift: timedelta = timedelta(0)
    suffix: str = ""
    void: str = ""
    pairs: list[Pair] = field(default_factory=list)
    given: dict[str, str] = field(default_factory=dict)
    """The ids that the live agent gave in this strand, by the recorded ones."""
    ids: dict[str, str] = field(default_factory=dict)
    """The live id of each message of the strand, by its recorded one."""
    heard_at: datetime | None = None
    last_heard: AclMessage | None = None
    answered: bool = False

    @property
    def coming(self) -> Entry | None:
        """The next line, by either side."""
        entries = self.strand.entries
        return entries[self.next] if not self.void and self.next < len(entries) else None

    @property
    def mine(self) -> bool:
        """Whether the examined agent takes part in it."""
        return self.examined in (self.strand.initiator, self.strand.participant)

    def is_theirs(self, entry: Entry) -> bool:
        """Whether the examined agent says this line."""
        return entry.message.sender == self.examined

    def place_of(self, live: AclMessage) -> int | None:
        """Which line of the examined agent this message stands for: the next one with that act and exchange; None where
        the record has none. An agree that the record leaves out, or has and is left out, is not the point."""
        for index in range(self.next, len(self.strand.entries)):
            entry = self.strand.entries[index]
            if self.is_theirs(entry):
                recorded = entry.message
                if (recorded.performative, _kind(recorded)) == (live.performative, _kind(live)):
                    return index
                if recorded.performative is not Performative.AGREE:
                    return None
        return None


def _kind(message: AclMessage) -> type[Content] | None:
    try:
        return type(parse(message))
    except ContentError:
        return None


def likeness(recorded: AclMessage, live: AclMessage, ids: Mapping[str, str]) -> float:
    """How much of a recorded opening act stands in a live one, from 0 to 1. Ids that nobody knows yet, and the time at
    which it is said, do not count; those that are known do, most of all."""
    names = {path for path, _ in ids_of(recorded.content)}
    known = [
        live.content.get(str(path[0])) == ids[value]
        for path, value in ids_of(recorded.content)
        if len(path) == 1 and value in ids
    ]
    same = [
        live.content.get(name) == value
        for name, value in recorded.content.items()
        if (name,) not in names and name not in ("exchange", "timestamp")
    ]
    return (sum(map(int, same)) + 4 * sum(map(int, known)) + 1) / (len(same) + 4 * len(known) + 1)


def closing(conversation: Conversation, message: AclMessage) -> AclMessage | None:
    """The act by which our side turns down, or closes, what the other has said; None where nothing is to be said."""
    peer = message.sender
    if conversation.ended(peer):
        return None
    if message.performative is Performative.CANCEL:
        acts = [("!inform-cancel", plain(reference=str(message.content.get("reference", "called off"))))]
    else:
        reason = plain(code="not-in-the-record", reason="this exam has no other answer to that", faults=[])
        acts = [(f"!{act}", reason) for act in (REFUSAL[message.protocol], "reject-proposal", "failure")]
    for trigger, content in acts:
        if trigger in conversation.allowed(peer):
            act = Performative(trigger[1:].removesuffix("-cancel"))
            return conversation.compose(act, content, peer, in_reply_to=message.reply_with)
    return None


def declines(message: AclMessage) -> bool:
    """Whether it turns something down."""
    return message.performative in DECLINES


def plain(**members: Any) -> dict[str, Any]:
    """The content of a plain act."""
    return {"exchange": None, **members}
