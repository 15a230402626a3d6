"""What a conversation knows of one peer: its state and deadline, and which messages have been said."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from protocols.acl import AclMessage, Performative
from protocols.tables import CANCELLING, OPENING, START, Table

_T = TypeVar("_T")

REMEMBERED = 4096
"""How many of a peer's messages, the newest, are remembered to know a duplicate again."""

_EXPECTING = frozenset({*OPENING.values(), Performative.PROPOSE, Performative.ACCEPT_PROPOSAL, Performative.CANCEL})
"""The acts whose `reply-by` counts: those that a reply is due to (SC00061G 2.13)."""

_ANSWERS_TO_CANCEL = frozenset({Performative.INFORM, Performative.FAILURE, Performative.NOT_UNDERSTOOD})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a state lasts where no `reply-by` says it. `answer`: the next act is due; `result`: the work is under
    way (agreed, awarded); `lease`: a subscription without a word from the publisher.
    """

    answer: timedelta = timedelta(hours=1)
    result: timedelta = timedelta(days=1)
    lease: timedelta = timedelta(days=31)

    def of(self, state: str) -> timedelta:
        """The default length of `state`."""
        return {"agreed": self.result, "awarded": self.result, "subscribed": self.lease}.get(state, self.answer)


DEFAULT_PATIENCE = Patience()


@dataclass(slots=True)
class Peer:
    """One peer's part in a conversation."""

    state: str = START
    deadline: datetime | None = None
    resume: datetime | None = None  # the deadline of the state that an unanswered cancel interrupts
    heard: str | None = None  # reply-with of the peer's last lawful message that was no cancel
    cancel: str | None = None  # the peer's cancel that we have not answered
    cancels: set[str] = field(default_factory=set)  # reply-with of every cancel, ours or the peer's
    received: dict[str, bytes] = field(default_factory=dict)  # reply-with to digest, as is `sent`
    sent: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, AclMessage] = field(default_factory=dict)  # the last answer to each received reply-with

    def trigger(self, mark: str, message: AclMessage) -> str:
        """The table's name of `message`, which is sent (`!`) or received (`?`)."""
        answers_cancel = message.in_reply_to in self.cancels and message.performative in _ANSWERS_TO_CANCEL
        return f"{mark}{message.performative}{'-cancel' if answers_cancel else ''}"

    def overdue(self, now: datetime) -> bool:
        """Whether the deadline has passed. What comes exactly at the deadline is in time."""
        return self.deadline is not None and self.deadline < now

    def move(self, table: Table, trigger: str, message: AclMessage, now: datetime, patience: Patience) -> None:
        """To the state that `trigger` leads to, with its deadline; `message` is what was sent or received."""
        was, self.state = self.state, table[self.state][trigger]
        if message.performative is Performative.CANCEL:
            self.cancels.add(message.reply_with)
        if not table[self.state]:
            self.deadline = self.resume = None
            return
        promised = message.reply_by if message.performative in _EXPECTING else None
        due = promised or now + patience.of(self.state.removeprefix(CANCELLING))
        # A state that leads to itself (a subscription's inform) prolongs its lease and never shortens it.
        stays = was == self.state
        if message.performative is Performative.CANCEL:
            self.resume, self.deadline = self.deadline, promised or now + patience.answer
        elif trigger.endswith("-cancel"):
            self.deadline, self.resume = self.resume, None
        elif self.state.startswith(CANCELLING):
            self.resume = max(self.resume, due) if stays and self.resume else due
        else:
            self.deadline = max(self.deadline, due) if stays and self.deadline else due

    def expire(self, table: Table) -> str:
        """Applies the deadline; returns the state that it ended."""
        was, self.state = self.state, table[self.state]["@expired"]
        self.deadline = self.resume = None
        return was

    def note_received(self, message: AclMessage) -> bytes | None:
        """Remembers a new `reply-with`; for a known one returns the digest of the message that it came with."""
        known = self.received.get(message.reply_with)
        if known is None:
            _remember(self.received, message.reply_with, digest(message))
        return known

    def note_sent(self, message: AclMessage) -> None:
        """Remembers a message of ours, and as the answer to what it answers."""
        _remember(self.sent, message.reply_with, digest(message))
        if message.in_reply_to is not None and message.in_reply_to in self.received:
            _remember(self.answers, message.in_reply_to, message)

    def copy(self) -> Peer:
        """An independent peer in the same state."""
        return Peer(
            self.state,
            self.deadline,
            self.resume,
            self.heard,
            self.cancel,
            set(self.cancels),
            dict(self.received),
            dict(self.sent),
            dict(self.answers),
        )

    def snapshot(self) -> Hashable:
        """A value that is equal for two peers that will behave the same."""
        return (
            (self.state, self.deadline, self.resume, self.heard, self.cancel),
            frozenset(self.cancels),
            frozenset(self.received.items()),
            frozenset(self.sent.items()),
            frozenset((heard, answer.reply_with) for heard, answer in self.answers.items()),
        )


def digest(message: AclMessage) -> bytes:
    """What makes two messages the same: everything that the sender said, whatever the order of members."""
    said = [
        message.performative,
        message.receiver,
        message.protocol,
        message.in_reply_to,
        message.reply_by.isoformat() if message.reply_by else None,
        message.language,
        message.ontology,
        message.content,
    ]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else repr(value)


def _remember(seen: dict[str, _T], key: str, value: _T) -> None:
    seen[key] = value
    if len(seen) > REMEMBERED:
        del seen[next(iter(seen))]
