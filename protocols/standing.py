"""Where conversations stand, for an onlooker who sees each message once, when it is sent.

Pure, and driven by the initiator's tables (`protocols/tables.py`): what the participants send is what it receives.
Nothing here belongs to an agent. A deadline is one that stands in a message, since nobody sees an agent's own patience.
A message that its sender could not yet know to be overtaken is lawful where the tables allow for it, and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol as Typed

from protocols.acl import AclMessage, Performative
from protocols.peer import digest
from protocols.tables import CANCELLED, CANCELLING, EXPIRED, LATE, OPENING, START, TABLES, Side, Table
from protocols.telling import use_case


class Seen(Typed):
    """What an onlooker needs of a message: an AclMessage, or what a list of a trace keeps of one."""

    @property
    def sender(self) -> str: ...
    @property
    def receiver(self) -> str: ...
    @property
    def performative(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def exchange(self) -> str | None: ...
    @property
    def conversation_id(self) -> str: ...
    @property
    def reply_with(self) -> str: ...
    @property
    def in_reply_to(self) -> str | None: ...
    @property
    def reply_by(self) -> datetime | None: ...


class Reading(StrEnum):
    """How a message fits into its conversation; only the first moves anything."""

    IN_SEQUENCE = "in sequence"
    REPEATED = "said again"
    CROSSED = "crossed on the way"
    LATE = "after the reply-by"
    BROKEN = "out of sequence"


_WORDS: Mapping[str, str] = MappingProxyType(
    {START: "out of sequence", "requested": "open", "called": "open", "proposed": "open"}
)
"""The word of a list for a state, where it is not the state's own name; a cancel under way is "cancelling"."""

_WEIGHT = (
    "open",
    "cancelling",
    "awarded",
    "agreed",
    "subscribed",
    "failed",
    "not-understood",
    "done",
    "accepted",
    EXPIRED,
    CANCELLED,
    "rejected",
    "refused",
    "out of sequence",
)
"""Of several peers' words the first of these is the conversation's: what is still to come, then what went wrong, then
what came of it; who was turned down says least."""

WORDS: tuple[str, ...] = _WEIGHT
"""Every word that `Standing.state` can say."""

_TABLE: Mapping[str, Table] = {str(protocol): TABLES[protocol, Side.INITIATOR] for protocol in OPENING}
_LATE: Mapping[tuple[str, Side], Mapping[str, Mapping[str, str | None]]] = {
    (str(protocol), side): late for (protocol, side), late in LATE.items()
}
_OPENING: Mapping[str, str] = {str(protocol): str(act) for protocol, act in OPENING.items()}
_EXPECTING = frozenset({*OPENING.values(), Performative.PROPOSE, Performative.ACCEPT_PROPOSAL, Performative.CANCEL})
_ANSWERS_TO_CANCEL = frozenset({Performative.INFORM, Performative.FAILURE, Performative.NOT_UNDERSTOOD})
_DECLINES = frozenset(
    {Performative.NOT_UNDERSTOOD, Performative.REFUSE, Performative.REJECT_PROPOSAL, Performative.FAILURE}
)


@dataclass(slots=True)
class _Part:
    """What the next message of one peer and the initiator is held against, besides state and deadline."""

    resume: datetime | None = None  # the deadline of the state that an unanswered cancel interrupts
    moved_by: bool | None = None  # True: the initiator brought the state about; None: nobody, or a deadline
    cancels: frozenset[str] = frozenset()
    owed: frozenset[str] = frozenset()  # messages that moved nothing, and may be answered all the same
    said: dict[tuple[bool, str], object] = field(default_factory=dict)


@dataclass(slots=True)
class Standing:
    """One conversation: who asked whom for what, and how it stands with each peer.

    `exchange` and `use_case` are those of the opening act. `states` are the tables' of `protocol`, by peer; `reply_by`
    has the peers of whom, or by whom, something is awaited until a time. `reading` is that of the last message,
    `broken` counts those that were out of sequence or after their reply-by.
    """

    conversation_id: str
    use_case: str
    protocol: str
    exchange: str | None
    initiator: str
    opened: datetime
    last: datetime
    messages: int = 0
    states: dict[str, str] = field(default_factory=dict)
    reply_by: dict[str, datetime] = field(default_factory=dict)
    reading: Reading = Reading.IN_SEQUENCE
    broken: int = 0
    _parts: dict[str, _Part] = field(default_factory=dict, repr=False)

    def state_of(self, peer: str, now: datetime) -> str:
        """The table's state towards `peer`, `expired` where a reply-by has passed, `start` where nothing was opened."""
        due = self.reply_by.get(peer)
        return EXPIRED if due is not None and due < now else self.states.get(peer, START)

    def state(self, now: datetime) -> str:
        """One word for a list; of several peers that which matters most: an open one before a failed, a done one
        before a rejected.
        """
        if len(self.states) == 1:
            return word(self.state_of(next(iter(self.states)), now))
        return weightiest({word(self.state_of(peer, now)) for peer in self.states})

    def due(self, now: datetime) -> datetime | None:
        """The next reply-by after which `state` may say something else; None where nothing is awaited."""
        return min((due for due in self.reply_by.values() if due >= now), default=None)

    def _take(self, at: datetime, message: Seen) -> Reading:
        peer = message.receiver if message.sender == self.initiator else message.sender
        part = self._parts.get(peer)
        if part is None:
            return self._invite(at, message)
        if self.initiator not in (message.sender, message.receiver) or message.protocol != self.protocol:
            return Reading.BROKEN
        return self._hear(at, message, peer, part)

    def _invite(self, at: datetime, message: Seen) -> Reading:
        """The first word between two. A stranger may say that it understood nothing, and no more."""
        if message.performative != _OPENING.get(message.protocol):
            return Reading.IN_SEQUENCE if message.performative == Performative.NOT_UNDERSTOOD else Reading.BROKEN
        if not self._parts:
            self._opens_with(message)
        if message.sender != self.initiator or message.protocol != self.protocol:
            return Reading.BROKEN
        part = self._parts[message.receiver] = _Part()
        self.states[message.receiver] = START
        return self._hear(at, message, message.receiver, part)

    def _opens_with(self, message: Seen) -> None:
        self.initiator, self.protocol = message.sender, message.protocol
        self.exchange, self.use_case = message.exchange, use_case(message.exchange)

    def _hear(self, at: datetime, message: Seen, peer: str, part: _Part) -> Reading:
        asks, act, answered = message.sender == self.initiator, message.performative, message.in_reply_to
        if self.state_of(peer, at) != self.states[peer]:
            self.states[peer], part.moved_by, part.resume = EXPIRED, None, None
            del self.reply_by[peer]
        mark = _mark(message)
        if (known := part.said.get((asks, message.reply_with))) is not None:
            return Reading.REPEATED if known == mark else Reading.BROKEN
        part.said[asks, message.reply_with] = mark
        state = self.states[peer]
        answers_cancel = answered in part.cancels and act in _ANSWERS_TO_CANCEL
        trigger = f"{act}-cancel" if answers_cancel else str(act)
        to = _TABLE[self.protocol][state].get(("!" if asks else "?") + trigger)
        owed = answered in part.owed and (act in _DECLINES or answers_cancel)
        strange = answered is not None and state != START and (not asks, answered) not in part.said
        if to is None or strange:
            if strange:
                reading = Reading.BROKEN
            else:
                reading = Reading.IN_SEQUENCE if owed else self._overtaken(state, trigger, part, asks=asks)
            if reading is not Reading.IN_SEQUENCE:
                part.owed |= {message.reply_with}
            if act == Performative.CANCEL:
                part.cancels |= {message.reply_with}
            return reading
        self._move(message, peer, part, to, answers_cancel=answers_cancel)
        part.moved_by = asks
        if message.reply_by is not None and message.reply_by < at:
            return Reading.LATE
        return Reading.IN_SEQUENCE

    def _overtaken(self, state: str, trigger: str, part: _Part, *, asks: bool) -> Reading:
        """What a message is that the state does not have: too late, crossed by one of the other's, or simply wrong."""
        side = Side.PARTICIPANT if asks else Side.INITIATOR
        if "?" + trigger not in _LATE[self.protocol, side][state]:
            return Reading.BROKEN
        if state == EXPIRED:
            return Reading.LATE
        # Nobody crosses himself, except with the answer to a cancel that he had not heard.
        himself = part.moved_by == asks and not trigger.endswith("-cancel")
        return Reading.BROKEN if himself and trigger != Performative.NOT_UNDERSTOOD else Reading.CROSSED

    def _move(self, message: Seen, peer: str, part: _Part, to: str, *, answers_cancel: bool) -> None:
        """To the state `to` with its deadline, as `protocols.peer` has it; None is for ever."""
        was, self.states[peer] = self.states[peer], to
        deadline = self.reply_by.pop(peer, None)
        promised = message.reply_by if message.performative in _EXPECTING else None
        if not _TABLE[self.protocol][to]:
            part.resume = None
            return
        if message.performative == Performative.CANCEL:
            part.cancels |= {message.reply_with}
            part.resume, deadline = deadline, promised
        elif answers_cancel:
            deadline, part.resume = part.resume, None
        elif to.startswith(CANCELLING):
            part.resume = _later(part.resume, promised) if was == to else promised
        else:
            deadline = _later(deadline, promised) if was == to else promised
        if deadline is not None:
            self.reply_by[peer] = deadline


class Standings:
    """Every conversation of a run, as far as it was looked at."""

    def __init__(self) -> None:
        self._all: dict[str, Standing] = {}

    @property
    def all(self) -> Mapping[str, Standing]:
        """By conversation id, in the order of their beginning."""
        return self._all

    def take(self, at: datetime, message: Seen) -> Standing:
        """The conversation of a message that is sent at `at` (aware), after it. Never raises for what was said."""
        standing = self._all.get(message.conversation_id)
        if standing is None:
            standing = Standing(
                message.conversation_id,
                use_case(message.exchange),
                message.protocol,
                message.exchange,
                message.sender,
                at,
                at,
            )
            self._all[message.conversation_id] = standing
        standing.reading = standing._take(at, message)
        standing.last = at
        standing.messages += 1
        standing.broken += standing.reading in (Reading.LATE, Reading.BROKEN)
        return standing


def word(state: str) -> str:
    """The word of a list for a state of a table."""
    return "cancelling" if state.startswith(CANCELLING) else _WORDS.get(state, state)


def weightiest(words: Iterable[str]) -> str:
    """Of several words the one that a conversation is known by; "out of sequence" where there is none."""
    return min(words, key=_WEIGHT.index, default=_WORDS[START])


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _mark(message: Seen) -> object:
    """What two messages of one `reply-with` are compared by: all of it where it is there, else its head."""
    if isinstance(message, AclMessage):
        return digest(message)
    return (message.performative, message.exchange, message.in_reply_to, message.reply_by)
