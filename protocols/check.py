"""Checks a trace: protocol tables, catalogue, authority, deadlines and the meaning of the contents.

Every message is replayed through the conversations of both its ends, the same that run in the agents. Only the
deadlines that stand in the messages count, since an agent's own patience is not in the trace. A message is taken to
arrive when it is sent; the tables allow for those that cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from protocols.acl import AclMessage, Performative
from protocols.catalogue import belongs, dialogue_of, may_send, parse
from protocols.conversation import Conversation, IllegalSendError, Patience, opens
from protocols.dialogues import Dialogue, Say
from protocols.events import Event, Expired, OutOfSequence, Uninvited
from protocols.exchanges import Content, ContentError
from protocols.references import Register, Said
from protocols.semantics import violations
from protocols.tables import EXPIRED, Side
from protocols.trace import Entry, Header, TraceError, read_entry, read_header

_FOR_EVER = timedelta(days=36_500)
_PATIENT = Patience(answer=_FOR_EVER, result=_FOR_EVER, lease=_FOR_EVER)
_DECLINES = {
    Performative.NOT_UNDERSTOOD,
    Performative.REFUSE,
    Performative.REJECT_PROPOSAL,
    Performative.FAILURE,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a trace: its line (from 1), the rule that it breaks, and what is wrong."""

    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.rule}: {self.text}"


def check(lines: Iterable[str], *, zone: tzinfo = UTC) -> list[Fault]:
    """Every fault of the trace, in the order of its lines; none if it is sound.

    `zone` is that of the market's day. Without it the day is UTC's, which changes nothing but the length allowed
    to a period on the two days when the clocks change.
    """
    numbered = enumerate(lines, start=1)
    first = next(numbered, None)
    if first is None:
        return [Fault(1, "trace", "is missing: the file is empty")]
    try:
        header = read_header(first[1])
    except TraceError as error:
        return [Fault(error.line, "trace", error.reason)]
    replay = Replay(header, zone)
    faults: list[Fault] = []
    for line, text in numbered:
        try:
            entry = read_entry(line, text)
        except TraceError as error:
            faults.append(Fault(error.line, "trace", error.reason))
        else:
            faults += replay.take(entry)
    faults += replay.unanswered()
    return sorted(faults, key=lambda fault: fault.line)


class Replay:
    """The state of everybody's conversations while a trace is read."""

    def __init__(self, header: Header, zone: tzinfo) -> None:
        self._roles = header.roles
        self._register = Register(zone, header.roles)
        self._conversations: dict[tuple[str, str], Conversation] = {}
        self._dialogues: dict[tuple[str, str, str], Dialogue] = {}
        self._said: dict[tuple[str, str, str, str], AclMessage] = {}
        self._faulty: set[tuple[str, str, str | None]] = set()
        self._last_line: dict[tuple[str, str, str], int] = {}
        self._now: datetime | None = None

    def take(self, entry: Entry) -> list[Fault]:
        """The faults of the next message."""
        found = [Fault(entry.line, rule, text) for rule, text in self._faults(entry)]
        if found:
            message = entry.message
            self._faulty.add((message.conversation_id, message.sender, message.reply_with))
        return found

    def unanswered(self) -> Iterator[Fault]:
        """What was to be answered by a time that the trace has passed, and was not."""
        if self._now is None:
            return
        for (name, me), conversation in self._conversations.items():
            if conversation.side is not Side.INITIATOR:
                continue
            # An answer at the last instant of the trace would have been in time.
            for event in conversation.expire(self._now - timedelta(microseconds=1)):
                if isinstance(event, Expired):
                    text = f"the reply-by passes in state {event.state!r} of {me} with {event.peer}"
                    yield Fault(self._last_line[name, me, event.peer], "unanswered", text)

    def _faults(self, entry: Entry) -> Iterator[tuple[str, str]]:
        message, at = entry.message, entry.at
        if self._now is not None and at < self._now:
            yield "trace", f"is sent at {at.isoformat()}, before the line above it"
        self._now = at if self._now is None else max(self._now, at)
        key = (message.conversation_id, message.sender, message.receiver, message.reply_with)
        known = self._said.setdefault(key, message)
        if known is not message:
            self._hear(message, at, readable=True)
            if known != message:
                yield "same-id", f"reply-with {message.reply_with} was given to another message"
            return
        if message.reply_by is not None and message.reply_by < at:
            yield "deadline", f"its own reply-by {message.reply_by.isoformat()} has passed"
        try:
            content = parse(message)
        except ContentError as error:
            yield from (("content", fault) for fault in error.faults)
            yield from self._sequence(entry, None)
            return
        faults = [*self._authority(message), *self._sequence(entry, content)]
        yield from faults
        # The reply-by has been looked at above, once for all acts.
        said = replace(Said.of(message, content, at), reply_by=None)
        yield from ((found.rule, f"{found.field} {found.text}") for found in violations(self._register, said))
        if not faults:
            self._register.note(said)

    def _authority(self, message: AclMessage) -> Iterator[tuple[str, str]]:
        sender, receiver = self._roles.get(message.sender), self._roles.get(message.receiver)
        if sender is None:
            yield "authority", f"{message.sender} has no role in this run"
        elif receiver is None:
            # Whoever was asked by a stranger may well decline.
            if message.performative not in _DECLINES:
                yield "authority", f"{message.receiver} has no role in this run"
        elif not may_send(message.exchange, message.performative, message.protocol, sender, receiver):
            said = message.exchange or "a plain act"
            yield "authority", f"{sender} may not send {said} as {message.performative} to {receiver}"

    def _sequence(self, entry: Entry, content: Content | None) -> Iterator[tuple[str, str]]:
        """The tables at both ends, and the dialogue that the opening act began."""
        message, at = entry.message, entry.at
        name, sender, receiver = message.conversation_id, message.sender, message.receiver
        mine = self._conversations.get((name, sender))
        if mine is None and opens(message):
            mine = Conversation.opening(message.protocol, sender, name, patience=_PATIENT)
            self._conversations[name, sender] = mine
        if mine is None:
            self._hear(message, at, readable=content is not None)
            # Whoever has no part in a conversation may still say so.
            if message.performative is not Performative.NOT_UNDERSTOOD and not self._declines_a_fault(message):
                yield "protocol", f"{sender} has no part in conversation {name}"
            return
        trigger = mine.trigger_of(message)
        try:
            mine.send(message, at)
        except IllegalSendError as error:
            self._hear(message, at, readable=content is not None)
            if _overdue(mine, receiver, at):
                yield "deadline", f"{error.trigger} after the reply-by of what it answers"
            else:
                yield "protocol", str(error)
            return
        self._last_line[name, sender, receiver] = self._last_line[name, receiver, sender] = entry.line
        if content is not None:
            yield from self._dialogue(message, content, answers_cancel=trigger.endswith("-cancel"))
        events = self._hear(message, at, readable=content is not None)
        if self._declines_a_fault(message):
            return
        for event in events:
            match event:
                case Uninvited():
                    yield "protocol", f"{receiver} is in conversation {name} with others"
                case OutOfSequence(state=state):
                    answered = message.in_reply_to or "nothing"
                    yield "protocol", f"{trigger[1:]} to {answered} is out of sequence for {receiver} in {state!r}"

    def _dialogue(self, message: AclMessage, content: Content, *, answers_cancel: bool) -> Iterator[tuple[str, str]]:
        name, sender, receiver = message.conversation_id, message.sender, message.receiver
        if opens(message):
            begun = dialogue_of(message, self._roles.get(sender), self._roles.get(receiver))
            if begun is not None:
                self._dialogues[name, sender, receiver] = begun
            return
        by_initiator = (name, sender, receiver) in self._dialogues
        dialogue = self._dialogues.get((name, sender, receiver) if by_initiator else (name, receiver, sender))
        if dialogue is None:
            return
        say = Say(message.performative, type(content))
        if not belongs(dialogue, say, by_initiator=by_initiator, answers_cancel=answers_cancel):
            said = f"{message.performative} with {type(content).__name__}"
            yield "catalogue", f"{said} has no place in a dialogue opened by {dialogue.opening.exchange}"

    def _hear(self, message: AclMessage, at: datetime, *, readable: bool) -> tuple[Event, ...]:
        """What arrives at the receiver; its automatic answers are then owed, and lawful when they come."""
        key = (message.conversation_id, message.receiver)
        theirs = self._conversations.get(key)
        if theirs is None:
            if not opens(message):
                return ()
            theirs, events = Conversation.answering(message, at, patience=_PATIENT)
            self._conversations[key] = theirs
            return events
        return theirs.receive(message, at) if readable else theirs.misunderstand(message, (), at)

    def _declines_a_fault(self, message: AclMessage) -> bool:
        declined = (message.conversation_id, message.receiver, message.in_reply_to)
        return message.performative in _DECLINES and declined in self._faulty


def _overdue(conversation: Conversation, peer: str, at: datetime) -> bool:
    if conversation.state(peer) == EXPIRED:
        return True
    passed = conversation.copy().expire(at - timedelta(microseconds=1))
    return any(isinstance(event, Expired) and event.peer == peer for event in passed)
