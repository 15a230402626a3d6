"""One agent's view of one conversation: pure, driven by the tables, a state for each peer.

Nothing here reads a clock, waits or sends. The owner passes `now` (timezone-aware) with everything that happens, posts
what `compose` and `take_outbox` give it, and arms one timer for `next_deadline()`. An answer that arrives exactly at
its deadline is in time; `expire(now)` therefore comes after the messages of that instant.

`receive` never raises: what is not lawful becomes an event, and an answer in the outbox. Sending what the table does
not allow is the owner's own bug and raises IllegalSendError.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from protocols.acl import AclMessage, Performative, Protocol
from protocols.events import (
    Conflict,
    Duplicate,
    Ended,
    Event,
    Expired,
    Late,
    Misunderstood,
    OutOfSequence,
    Received,
    Uninvited,
)
from protocols.tables import CANCELLING, EXPIRED, LATE, OPENING, REFUSAL, START, TABLES, Side, Table

__all__ = [
    "DEFAULT_PATIENCE",
    "Conflict",
    "Conversation",
    "Duplicate",
    "Ended",
    "Event",
    "Expired",
    "IllegalSendError",
    "Late",
    "Misunderstood",
    "OutOfSequence",
    "Patience",
    "Received",
    "Side",
    "Uninvited",
    "not_understood",
    "opens",
]

_T = TypeVar("_T")

REMEMBERED = 4096
"""How many of a peer's messages, newest last, are remembered to know a duplicate again."""


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

_EXPECTING = frozenset({*OPENING.values(), Performative.PROPOSE, Performative.ACCEPT_PROPOSAL, Performative.CANCEL})
"""The acts whose `reply-by` counts: those that a reply is due to."""


class IllegalSendError(Exception):
    """Our own agent tried to send what its state does not allow."""

    def __init__(self, trigger: str, state: str, allowed: Iterable[str]) -> None:
        self.trigger, self.state, self.allowed = trigger, state, frozenset(allowed)
        rows = ", ".join(sorted(self.allowed)) or "nothing: the conversation has ended"
        super().__init__(f"{trigger} may not be sent in state {state!r}; allowed: {rows}")


@dataclass(slots=True)
class _Peer:
    state: str = START
    deadline: datetime | None = None
    resume: datetime | None = None  # the deadline of the state that an unanswered cancel interrupts
    heard: str | None = None  # reply-with of the peer's last lawful message that was no cancel
    cancel: str | None = None  # the peer's cancel that we have not answered
    cancels: dict[str, None] = field(default_factory=dict)  # reply-with of every cancel, ours or the peer's
    received: dict[str, bytes] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, AclMessage] = field(default_factory=dict)

    def copy(self) -> _Peer:
        return replace(
            self,
            cancels=dict(self.cancels),
            received=dict(self.received),
            sent=dict(self.sent),
            answers=dict(self.answers),
        )

    def snapshot(self) -> Hashable:
        return (
            (self.state, self.deadline, self.resume, self.heard, self.cancel),
            frozenset(self.cancels),
            frozenset(self.received.items()),
            frozenset(self.sent.items()),
            frozenset((heard, answer.reply_with) for heard, answer in self.answers.items()),
        )


class Conversation:
    """The state of one conversation towards each of its peers. Made by `opening` or `answering`."""

    def __init__(self, protocol: Protocol, side: Side, me: str, conversation_id: str, patience: Patience) -> None:
        self.protocol = protocol
        self.side = side
        self.me = me
        self.conversation_id = conversation_id
        self.patience = patience
        self._table: Table = TABLES[protocol, side]
        self._peers: dict[str, _Peer] = {}
        self._outbox: list[AclMessage] = []
        self._count = 0

    @classmethod
    def opening(
        cls, protocol: Protocol, me: str, conversation_id: str, *, patience: Patience = DEFAULT_PATIENCE
    ) -> Conversation:
        """The initiator's side. Peers are invited by sending them the opening act; nobody else is heard."""
        return cls(protocol, Side.INITIATOR, me, conversation_id, patience)

    @classmethod
    def answering(
        cls, message: AclMessage, now: datetime, *, patience: Patience = DEFAULT_PATIENCE
    ) -> tuple[Conversation, tuple[Event, ...]]:
        """The participant's side of the conversation that `message` opens, and what its arrival means: Received, or
        Expired and Ended where its reply-by is already past. Raises ValueError if `message` opens nothing.
        """
        if not opens(message):
            raise ValueError(f"{message.performative} does not open {message.protocol}")
        conversation = cls(message.protocol, Side.PARTICIPANT, message.receiver, message.conversation_id, patience)
        conversation._peers[message.sender] = _Peer()
        return conversation, conversation.receive(message, now)

    @property
    def peers(self) -> tuple[str, ...]:
        """The invited agents, or the one that invited us, in the order of invitation."""
        return tuple(self._peers)

    def state(self, peer: str) -> str:
        """The table's state towards `peer`; `start` for one that is not invited."""
        return self._peers[peer].state if peer in self._peers else START

    def allowed(self, peer: str) -> frozenset[str]:
        """The triggers that the table has in this state."""
        return frozenset(self._table[self.state(peer)])

    def heard(self, peer: str) -> str | None:
        """The reply-with of the last lawful message of `peer` that was no cancel: what a result answers."""
        return self._peers[peer].heard if peer in self._peers else None

    def trigger_of(self, message: AclMessage) -> str:
        """The table's name of a message of this conversation: `!agree`, `?inform-cancel`, ..."""
        sent = message.sender == self.me
        peer = self._peers.get(message.receiver if sent else message.sender, _Peer())
        return self._trigger("!" if sent else "?", message, peer)

    def ended(self, peer: str | None = None) -> bool:
        """Whether the conversation with `peer`, or with every peer, is over. False before anybody is invited."""
        names = self.peers if peer is None else (peer,)
        return bool(names) and all(not self._table[self.state(name)] for name in names)

    def compose(
        self,
        performative: Performative,
        content: Mapping[str, Any],
        to: str,
        *,
        reply_by: datetime | None = None,
        in_reply_to: str | None = None,
    ) -> AclMessage:
        """A message of this conversation with its ids filled in. `in_reply_to` defaults to the peer's unanswered
        cancel, else to its last lawful message; give it to send a result while a cancel is unanswered.
        """
        if in_reply_to is None and (peer := self._peers.get(to)) is not None:
            in_reply_to = peer.cancel or peer.heard
        self._count += 1
        return AclMessage(
            performative=performative,
            sender=self.me,
            receiver=to,
            protocol=self.protocol,
            conversation_id=self.conversation_id,
            reply_with=f"{self.conversation_id}/{self.me.partition('@')[0]}/{self._count}",
            content=content,
            in_reply_to=in_reply_to,
            reply_by=reply_by,
        )

    def send(self, message: AclMessage, now: datetime) -> None:
        """Moves the state by a message of ours. Raises IllegalSendError, and changes nothing, where the table or a
        deadline that has passed does not allow it. A message of the outbox, or sent before, moves nothing.
        """
        if self._is_owed(message):
            return
        name = message.receiver
        known = self._peers.get(name)
        peer = known or _Peer()
        digest = _digest(message)
        if peer.sent.get(message.reply_with) == digest:
            return
        trigger = self._trigger("!", message, peer)
        state = EXPIRED if peer.deadline is not None and peer.deadline < now else peer.state
        to = self._table[state].get(trigger)
        if to is None or not self._is_of_this(message, message.sender) or message.reply_with in peer.sent:
            raise IllegalSendError(trigger, state, self._table[state])
        self._peers[name] = peer
        self._note_sent(peer, message, digest)
        if message.performative is Performative.CANCEL:
            peer.cancels[message.reply_with] = None
        if trigger.endswith("-cancel"):
            peer.cancel = None
        self._move(peer, trigger, to, message, now)

    def receive(self, message: AclMessage, now: datetime) -> tuple[Event, ...]:
        """What an incoming message means. Never raises; only Received and Expired change the state."""
        name = message.sender
        peer = self._peers.get(name)
        if peer is None:
            self._refuse_to_read(message, "uninvited", "the sender has no part in this conversation")
            return (Uninvited(message),)
        events = self._expire_before(name, peer, now)
        if (seen := self._seen(peer, message)) is not None:
            return (*events, seen)
        trigger = self._trigger("?", message, peer)
        to = self._table[peer.state].get(trigger)
        answers_us = message.in_reply_to is None or message.in_reply_to in peer.sent or peer.state == START
        if not answers_us or not self._is_of_this(message, message.receiver):
            return (*events, self._out_of_sequence(message, peer))
        if to is None:
            return (*events, self._too_late(message, peer, trigger))
        if message.performative is Performative.CANCEL:
            peer.cancels[message.reply_with] = None
            peer.cancel = message.reply_with
        else:
            peer.heard = message.reply_with
        self._move(peer, trigger, to, message, now)
        overdue = self._expire_before(name, peer, now)
        if overdue:
            return (*events, *overdue)
        ended = (Ended(name, to),) if not self._table[to] else ()
        return (*events, Received(message, to), *ended)

    def misunderstand(self, message: AclMessage, faults: Iterable[str], now: datetime) -> tuple[Event, ...]:
        """In place of `receive`, for a message whose content cannot be read: nothing moves, not-understood goes out."""
        peer = self._peers.get(message.sender)
        if peer is None:
            return self.receive(message, now)
        events = self._expire_before(message.sender, peer, now)
        if (seen := self._seen(peer, message)) is not None:
            return (*events, seen)
        self._refuse_to_read(message, "malformed", "the content cannot be read", faults)
        return (*events, Misunderstood(message))

    def expire(self, now: datetime) -> tuple[Event, ...]:
        """Applies every deadline that is due at `now`."""
        events: list[Event] = []
        for name, peer in self._peers.items():
            if peer.deadline is not None and peer.deadline <= now:
                events += self._expire(name, peer)
        return tuple(events)

    def next_deadline(self) -> datetime | None:
        """When `expire` next has something to do; None when everything has ended."""
        return min((peer.deadline for peer in self._peers.values() if peer.deadline is not None), default=None)

    def await_until(self, peer: str, deadline: datetime) -> None:
        """Sets the deadline of the present state (of the cancel, while one is unanswered), in place of the reply-by or
        of the default. Raises ValueError where `peer` is not invited or has ended.
        """
        known = self._peers.get(peer)
        if known is None or not self._table[known.state]:
            raise ValueError(f"nothing is awaited of {peer} in state {self.state(peer)!r}")
        if deadline.tzinfo is None:
            raise ValueError(f"deadline {deadline.isoformat()} has no UTC offset")
        known.deadline = deadline

    def take_outbox(self) -> list[AclMessage]:
        """The automatic answers since the last call. They are recorded as sent; only post them."""
        taken, self._outbox = self._outbox, []
        return taken

    def copy(self) -> Conversation:
        """An independent conversation in the same state."""
        twin = Conversation(self.protocol, self.side, self.me, self.conversation_id, self.patience)
        twin._peers = {name: peer.copy() for name, peer in self._peers.items()}
        twin._outbox = list(self._outbox)
        twin._count = self._count
        return twin

    def snapshot(self) -> Hashable:
        """A hashable value, equal for two conversations that will behave the same from here on."""
        peers = tuple((name, peer.snapshot()) for name, peer in self._peers.items())
        return (self.protocol, self.side, self._count, peers, tuple(m.reply_with for m in self._outbox))

    def _trigger(self, mark: str, message: AclMessage, peer: _Peer) -> str:
        answers_cancel = message.in_reply_to in peer.cancels and message.performative in (
            Performative.INFORM,
            Performative.FAILURE,
            Performative.NOT_UNDERSTOOD,
        )
        return f"{mark}{message.performative}{'-cancel' if answers_cancel else ''}"

    def _is_of_this(self, message: AclMessage, end: str) -> bool:
        return (message.protocol, message.conversation_id, end) == (
            self.protocol,
            self.conversation_id,
            self.me,
        )

    def _move(self, peer: _Peer, trigger: str, to: str, message: AclMessage, now: datetime) -> None:
        was, peer.state = peer.state, to
        if not self._table[to]:
            peer.deadline = peer.resume = None
            return
        promised = message.reply_by if message.performative in _EXPECTING else None
        due = promised or now + self.patience.of(to.removeprefix(CANCELLING))
        if trigger[1:] == Performative.CANCEL:
            peer.resume = peer.deadline
            peer.deadline = promised or now + self.patience.answer
        elif trigger.endswith("-cancel"):
            peer.deadline, peer.resume = peer.resume, None
        elif to.startswith(CANCELLING):
            peer.resume = due if was != to or peer.resume is None else max(peer.resume, due)
        else:
            # A state that leads to itself (a subscription's inform) prolongs its lease and never shortens it.
            peer.deadline = due if was != to or peer.deadline is None else max(peer.deadline, due)

    def _expire(self, name: str, peer: _Peer) -> tuple[Event, ...]:
        was, peer.state = peer.state, self._table[peer.state]["@expired"]
        peer.deadline = peer.resume = None
        return Expired(name, was), Ended(name, peer.state)

    def _expire_before(self, name: str, peer: _Peer, now: datetime) -> tuple[Event, ...]:
        return self._expire(name, peer) if peer.deadline is not None and peer.deadline < now else ()

    def _seen(self, peer: _Peer, message: AclMessage) -> Event | None:
        """Duplicate or Conflict for a `reply-with` that is known; a new one is noted, and None."""
        digest = _digest(message)
        known = peer.received.get(message.reply_with)
        if known is None:
            _note(peer.received, message.reply_with, digest)
            return None
        if known == digest:
            if (answer := peer.answers.get(message.reply_with)) is not None:
                self._outbox.append(answer)
            return Duplicate(message)
        why = f"reply-with {message.reply_with} is known with other content"
        if message.performative is OPENING[self.protocol] and self.side is Side.PARTICIPANT:
            self._answer(message, REFUSAL[self.protocol], "conflict", why)
        else:
            self._refuse_to_read(message, "conflict", why)
        return Conflict(message)

    def _too_late(self, message: AclMessage, peer: _Peer, trigger: str) -> Event:
        late = LATE[self.protocol, self.side][peer.state]
        if trigger not in late:
            return self._out_of_sequence(message, peer)
        if (answer := late[trigger]) is not None:
            act = Performative(answer.removesuffix("-cancel"))
            self._answer(message, act, "late", f"{message.performative} came in state {peer.state}")
        return Late(message)

    def _out_of_sequence(self, message: AclMessage, peer: _Peer) -> Event:
        allowed = frozenset(self._table[peer.state])
        why = f"{message.performative} is out of sequence in state {peer.state}"
        self._refuse_to_read(message, "out-of-sequence", why)
        return OutOfSequence(message, peer.state, allowed)

    def _refuse_to_read(self, message: AclMessage, code: str, why: str, faults: Iterable[str] = ()) -> None:
        # Two agents that do not understand each other would tell each other so for ever.
        if message.performative is not Performative.NOT_UNDERSTOOD:
            self._answer(message, Performative.NOT_UNDERSTOOD, code, why, faults)

    def _answer(
        self,
        message: AclMessage,
        act: Performative,
        code: str,
        why: str,
        faults: Iterable[str] = (),
    ) -> None:
        content: dict[str, Any] = {"code": code, "reason": why, "faults": list(faults)}
        if act is Performative.INFORM:
            content = {"reference": message.reply_with}
        answer = self.compose(act, content, message.sender, in_reply_to=message.reply_with)
        if (peer := self._peers.get(message.sender)) is not None and code != "conflict":
            self._note_sent(peer, answer, _digest(answer))
        self._outbox.append(answer)

    def _note_sent(self, peer: _Peer, message: AclMessage, digest: bytes) -> None:
        _note(peer.sent, message.reply_with, digest)
        if message.in_reply_to is not None and message.in_reply_to in peer.received:
            _note(peer.answers, message.in_reply_to, message)

    def _is_owed(self, message: AclMessage) -> bool:
        for position, owed in enumerate(self._outbox):
            if (owed.performative, owed.receiver, owed.in_reply_to) == (
                message.performative,
                message.receiver,
                message.in_reply_to,
            ):
                del self._outbox[position]
                return True
        return False


def opens(message: AclMessage) -> bool:
    """Whether `message` is the opening act of its protocol."""
    return message.performative is OPENING[message.protocol]


def not_understood(message: AclMessage, reason: str, faults: Iterable[str] = ()) -> AclMessage | None:
    """The answer to a message of a conversation that we do not have; None where it is itself a not-understood."""
    if message.performative is Performative.NOT_UNDERSTOOD:
        return None
    return AclMessage(
        performative=Performative.NOT_UNDERSTOOD,
        sender=message.receiver,
        receiver=message.sender,
        protocol=message.protocol,
        conversation_id=message.conversation_id,
        reply_with=f"{message.reply_with}/not-understood",
        content={"code": "unknown-conversation", "reason": reason, "faults": list(faults)},
        in_reply_to=message.reply_with,
    )


def _note(seen: dict[str, _T], key: str, value: _T) -> None:
    seen[key] = value
    if len(seen) > REMEMBERED:
        del seen[next(iter(seen))]


def _digest(message: AclMessage) -> bytes:
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
