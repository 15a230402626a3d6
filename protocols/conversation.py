"""One agent's view of one conversation: pure, driven by the tables, a state for each peer.

Nothing here reads a clock, waits or sends. The owner passes `now` (timezone-aware) with everything that happens, posts
what `compose` and `take_outbox` give it, and arms one timer for `next_deadline()`. An answer that arrives exactly at
its deadline is in time; `expire(now)` therefore comes after the messages of that instant.

`receive` never raises: what is not lawful becomes an event, and an answer in the outbox. Sending what the table does
not allow is the owner's own bug and raises IllegalSendError.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from typing import Any

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
from protocols.peer import DEFAULT_PATIENCE, Patience, Peer, digest
from protocols.tables import EXPIRED, LATE, OPENING, REFUSAL, START, TABLES, Side, Table

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


class IllegalSendError(Exception):
    """Our own agent tried to send what its state does not allow."""

    def __init__(self, trigger: str, state: str, allowed: Iterable[str]) -> None:
        self.trigger, self.state, self.allowed = trigger, state, frozenset(allowed)
        rows = ", ".join(sorted(self.allowed)) or "nothing: the conversation has ended"
        super().__init__(f"{trigger} may not be sent in state {state!r}; allowed: {rows}")


class Conversation:
    """The state of one conversation towards each of its peers. Made by `opening` or `answering`."""

    def __init__(self, protocol: Protocol, side: Side, me: str, conversation_id: str, patience: Patience) -> None:
        self.protocol = protocol
        self.side = side
        self.me = me
        self.conversation_id = conversation_id
        self.patience = patience
        self._table: Table = TABLES[protocol, side]
        self._peers: dict[str, Peer] = {}
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
        conversation._peers[message.sender] = Peer()
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
        peer = self._peers.get(message.receiver if sent else message.sender, Peer())
        return peer.trigger("!" if sent else "?", message)

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
        peer = self._peers.get(name) or Peer()
        if peer.sent.get(message.reply_with) == digest(message):
            return
        trigger = peer.trigger("!", message)
        state = EXPIRED if peer.overdue(now) else peer.state
        to = self._table[state].get(trigger)
        if to is None or not self._is_of_this(message, message.sender) or message.reply_with in peer.sent:
            raise IllegalSendError(trigger, state, self._table[state])
        self._peers[name] = peer
        peer.note_sent(message)
        if trigger.endswith("-cancel"):
            peer.cancel = None
        peer.move(self._table, trigger, message, now, self.patience)

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
        trigger = peer.trigger("?", message)
        to = self._table[peer.state].get(trigger)
        answers_us = message.in_reply_to is None or message.in_reply_to in peer.sent or peer.state == START
        if not answers_us or not self._is_of_this(message, message.receiver):
            return (*events, self._out_of_sequence(message, peer))
        if to is None:
            return (*events, self._too_late(message, peer, trigger))
        if message.performative is Performative.CANCEL:
            peer.cancel = message.reply_with
        else:
            peer.heard = message.reply_with
        peer.move(self._table, trigger, message, now, self.patience)
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

    def _is_of_this(self, message: AclMessage, end: str) -> bool:
        return (message.protocol, message.conversation_id, end) == (
            self.protocol,
            self.conversation_id,
            self.me,
        )

    def _expire(self, name: str, peer: Peer) -> tuple[Event, ...]:
        return Expired(name, peer.expire(self._table)), Ended(name, peer.state)

    def _expire_before(self, name: str, peer: Peer, now: datetime) -> tuple[Event, ...]:
        return self._expire(name, peer) if peer.overdue(now) else ()

    def _seen(self, peer: Peer, message: AclMessage) -> Event | None:
        """Duplicate or Conflict for a `reply-with` that is known; a new one is noted, and None."""
        known = peer.note_received(message)
        if known is None:
            return None
        if known == digest(message):
            if (answer := peer.answers.get(message.reply_with)) is not None:
                self._outbox.append(answer)
            return Duplicate(message)
        why = f"reply-with {message.reply_with} is known with other content"
        if message.performative is OPENING[self.protocol] and self.side is Side.PARTICIPANT:
            self._answer(message, REFUSAL[self.protocol], "conflict", why)
        else:
            self._refuse_to_read(message, "conflict", why)
        return Conflict(message)

    def _too_late(self, message: AclMessage, peer: Peer, trigger: str) -> Event:
        late = LATE[self.protocol, self.side][peer.state]
        if trigger not in late:
            return self._out_of_sequence(message, peer)
        if (answer := late[trigger]) is not None:
            act = Performative(answer.removesuffix("-cancel"))
            self._answer(message, act, "late", f"{message.performative} came in state {peer.state}")
        return Late(message)

    def _out_of_sequence(self, message: AclMessage, peer: Peer) -> Event:
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
            peer.note_sent(answer)
        self._outbox.append(answer)

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
