"""The one behaviour that hears everything an agent is told, and routes it by conversation.

A message goes through four gates, each of which answers by itself what it does not let pass: it is an ACL message
(else not-understood), the sender's role is known to the directory, the content is what its exchange says
(else not-understood with every fault), and that role may say it (else refuse). Only then does the conversation see
it, which answers what is out of sequence; and only what the conversation lets pass reaches a handler or a waiter.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from datetime import datetime
from itertools import count
from typing import Any, Protocol, TypeVar

from spade.behaviour import CyclicBehaviour

from behaviours.answering import Handler, Incoming, Inform, Key, Reply
from behaviours.memory import Memory
from behaviours.ports import Letter
from behaviours.post import bare
from behaviours.swarm import Swarm
from behaviours.talk import Heard, Talk
from protocols.acl import AclMessage, MalformedMessageError, Performative
from protocols.acl import Protocol as Fipa
from protocols.catalogue import belongs, dialogue_of, may_send, parse
from protocols.conversation import Conversation, not_understood, opens
from protocols.dialogues import Say
from protocols.events import Duplicate, Ended, Event, Expired, Received
from protocols.exchanges.content import Content, ContentError
from protocols.exchanges.plain import Done, Reason
from protocols.roles import Role
from protocols.tables import OPENING, REFUSAL, Side

log = logging.getLogger("gridparley.dispatcher")

LARGEST_PARAMETERS = 5_000
"""Characters of ACL parameters that a letter may have: an answer quotes some of them more than once."""
MAX_FAULTS = 20
MAX_FAULT = 400
_UNSEEN = re.compile("[^\t\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_C = TypeVar("_C", bound=Content)


class Owner(Protocol):
    """What the dispatcher needs of its agent."""

    address: str
    role: Role
    roles: dict[str, Role]
    swarm: Swarm
    handlers: dict[Key, str]

    def now(self) -> datetime: ...

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]: ...

    async def role_of(self, jid: str) -> Role | None: ...


class Dispatcher(CyclicBehaviour):  # type: ignore[misc]  # SPADE is untyped
    """Routes what arrives, opens conversations, and keeps their deadlines."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self.owner = owner
        self.memory = Memory(owner.swarm.clock, self._deadline)
        self.subscribers: dict[type[Content], list[Talk]] = {}
        self._numbers = count(1)
        self._parked: dict[str, list[AclMessage]] = {}

    # --- what arrives

    async def run(self) -> None:
        letter: Letter = await self.queue.get()
        try:
            self.arrived(letter)
        except Exception as error:
            error.add_note(f"{self.owner.address} was reading a message from {letter.sender}")
            self.owner.swarm.failed(error)

    def arrived(self, letter: Letter) -> None:
        """Reads one letter. A sender whose role is unknown waits, in order, until the directory has answered."""
        length = sum(len(name) + len(value) for name, value in letter.metadata.items())
        if length > LARGEST_PARAMETERS:  # an answer that quotes them could not be sent
            self._malformed(letter, [f"parameters have {length} characters, more than {LARGEST_PARAMETERS}"])
            return
        try:
            message = AclMessage.parse(letter.metadata, letter.body, bare(letter.sender), bare(letter.receiver))
        except MalformedMessageError as error:
            self._malformed(letter, error.faults)
            return
        if not self.owner.swarm.post.is_local(message.sender):
            self.owner.swarm.recorder.record(self.owner.now(), message)
        if message.sender in self._parked:
            self._parked[message.sender].append(message)
        elif (role := self.owner.roles.get(message.sender)) is not None:
            self._admit(message, role)
        else:
            self._parked[message.sender] = [message]
            self.owner.spawn(self._look_up(message.sender), f"role of {message.sender}")

    async def _look_up(self, sender: str) -> None:
        role = await self.owner.role_of(sender)
        for message in self._parked.pop(sender):
            self._admit(message, role)

    def _admit(self, message: AclMessage, role: Role | None) -> None:
        talk = self.memory.find(message.conversation_id)
        try:
            content: Content | None = parse(message)
            faults: list[str] = []
        except ContentError as error:
            content, faults = None, _bounded(error.faults)
        if talk is None:
            self._admit_opening(message, content, faults, role)
            return
        if content is not None and not self._lawful(talk, message, content, role):
            said = f"{message.performative} of {type(content).__name__}"
            content, faults = None, [f"{said} has no place in conversation {message.conversation_id}"]
        now = self.owner.now()
        if content is None:
            events = talk.conversation.misunderstand(message, faults, now)
            self._record_malformed(message.sender, faults)
        else:
            events = talk.conversation.receive(message, now)
        self._react(talk, events, content, role)

    def _admit_opening(
        self, message: AclMessage, content: Content | None, faults: list[str], role: Role | None
    ) -> None:
        if not opens(message):
            if answer := not_understood(message, f"{message.conversation_id} is no conversation of ours", faults):
                self._post(answer)
            return
        conversation, events = Conversation.answering(message, self.owner.now())
        talk = self._talk(conversation)
        talk.first = message
        self.memory.keep(talk)
        if any(isinstance(event, Expired) for event in events):
            self._react(talk, events, content, role)
            return
        self._flush(talk)
        if content is None:
            self._record_malformed(message.sender, faults)
            reason = Reason(code="malformed", reason="the content cannot be read", faults=tuple(faults))
            talk.say(Performative.NOT_UNDERSTOOD, reason, message.sender, in_reply_to=message.reply_with)
        elif not self._may_open(message, content, role):
            self._decline(talk, message, "not-authorised", _unauthorised(message, role, self.owner.role))
        else:
            talk.opening = content
            self._react(talk, events, content, role)

    def _may_open(self, message: AclMessage, content: Content, role: Role | None) -> bool:
        return may_send(content.exchange, message.performative, message.protocol, role, self.owner.role)

    def _lawful(self, talk: Talk, message: AclMessage, content: Content, role: Role | None) -> bool:
        """Whether the content has a place in what the conversation is about."""
        if opens(message):
            return True  # a repeated opening, which the conversation knows how to answer
        if talk.dialogue is None and talk.first is not None:
            asker, asked = self.owner.role, role
            if talk.conversation.side is Side.PARTICIPANT:
                asker, asked = role, self.owner.role  # type: ignore[assignment]
            talk.dialogue = dialogue_of(talk.first, asker, asked)
        if talk.dialogue is None:
            return content.exchange is None
        return belongs(
            talk.dialogue,
            Say(message.performative, type(content)),
            by_initiator=talk.conversation.side is Side.PARTICIPANT,
            answers_cancel=talk.answers_cancel(message),
        )

    # --- what it leads to

    def _react(self, talk: Talk, events: tuple[Event, ...], content: Content | None, role: Role | None) -> None:
        self._flush(talk)
        for event in events:
            match event:
                case Received(message=message) if content is not None:
                    if talk.conversation.side is Side.INITIATOR:
                        talk.heard(Heard(message, content))
                    else:
                        self._serve(talk, message, content, role)
                case Expired(peer=peer) | Ended(peer=peer):
                    talk.over(peer)
                    self._unsubscribe(talk)
                case Duplicate():
                    log.debug("%s has heard this already: %s", self.owner.address, event)
                case _:
                    log.info("%s did not act on %s", self.owner.address, event)
        self.memory.changed(talk)

    def _serve(self, talk: Talk, message: AclMessage, content: Content, role: Role | None) -> None:
        """Starts the handler of a message, as a task of its own."""
        if message.performative is Performative.CANCEL:
            self._serve_cancel(talk, message, content)
            return
        handler = self._handler(type(content), message.performative)
        if handler is None:
            if opens(message):
                text = f"{self.owner.role} {self.owner.address} does not serve {type(content).__name__}"
                self._decline(talk, message, "unsupported", text)
            return
        assert role is not None
        incoming = Incoming(message.sender, role, message, talk.offer, lambda reply: self._answer(talk, message, reply))
        talk.incoming = incoming
        name = f"{self.owner.address} answers {type(content).__name__} of {message.sender}"
        self.owner.spawn(self._run_handler(handler, content, incoming, name), name)

    async def _run_handler(self, handler: Handler, content: Content, incoming: Incoming, name: str) -> None:
        reply = await handler(content, incoming)
        if reply is not None:
            incoming.send(reply)
        elif not incoming.answered and incoming.message.performative is not Performative.REJECT_PROPOSAL:
            raise TypeError(f"{name} with nothing: the handler must return a Reply")

    def _serve_cancel(self, talk: Talk, message: AclMessage, content: Content) -> None:
        opening = talk.opening
        handler = None if opening is None else self._handler(type(opening), Performative.CANCEL)
        if handler is not None and opening is not None:
            self.owner.spawn(self._run_cancel(handler, opening, talk, message), f"cancel of {message.sender}")
        elif talk.conversation.protocol is Fipa.SUBSCRIBE:
            self._answer(talk, message, Inform(Done(reference=getattr(content, "reference", "subscription"))))
        else:
            reason = Reason(code="not-cancellable", reason=f"{type(opening).__name__} goes on once it is begun")
            talk.say(Performative.FAILURE, reason, message.sender, in_reply_to=message.reply_with)

    async def _run_cancel(self, handler: Handler, opening: Content, talk: Talk, message: AclMessage) -> None:
        role = await self.owner.role_of(message.sender)
        assert role is not None
        running = talk.incoming
        cancel = Incoming(message.sender, role, message, None, lambda r: self._answer(talk, message, r))
        reply = await handler(opening, cancel)
        if reply is None:
            raise TypeError(f"{self.owner.address} answers a cancel with nothing: return Inform or Failure")
        if isinstance(reply, Inform) and running is not None:
            running.cancelled.set()
        cancel.send(reply)

    def _handler(self, content: type[Content], act: Performative) -> Handler | None:
        name = self.owner.handlers.get((content, act))
        if name is None and act in OPENING.values():
            name = self.owner.handlers.get((content, None))
        found: Handler | None = getattr(self.owner, name) if name else None
        return found

    def _answer(self, talk: Talk, message: AclMessage, reply: Reply) -> bool:
        """Sends a handler's reply. False when the conversation has meanwhile expired or was called off."""
        act = reply.performative
        suffix = "-cancel" if message.performative is Performative.CANCEL else ""
        if f"!{act}{suffix}" not in talk.conversation.allowed(message.sender):
            if not talk.conversation.ended(message.sender):
                allowed = ", ".join(sorted(talk.conversation.allowed(message.sender)))
                raise TypeError(
                    f"{self.owner.address} answers {message.protocol} {message.performative} with {act};"
                    f" allowed: {allowed}"
                )
            log.info("%s: %s of %s came too late", self.owner.address, act, type(reply.content).__name__)
            return False
        talk.say(act, reply.content, message.sender, reply_by=reply.reply_by, in_reply_to=message.reply_with)
        if act is Performative.PROPOSE:
            talk.offer = reply.content
        if talk.conversation.protocol is Fipa.SUBSCRIBE and talk.opening is not None:
            if act is Performative.AGREE:
                self.subscribers.setdefault(type(talk.opening), []).append(talk)
            elif talk.conversation.ended():
                self._unsubscribe(talk)
        return True

    def _unsubscribe(self, talk: Talk) -> None:
        listeners = self.subscribers.get(type(talk.opening)) if talk.opening is not None else None
        if listeners and talk in listeners and talk.conversation.ended():
            listeners.remove(talk)

    def _decline(self, talk: Talk, message: AclMessage, code: str, text: str) -> None:
        reason = Reason(code=code, reason=text)
        talk.say(REFUSAL[message.protocol], reason, message.sender, in_reply_to=message.reply_with)

    # --- what is said outside any conversation

    def _malformed(self, letter: Letter, faults: list[str]) -> None:
        faults = _bounded(faults)
        self._record_malformed(bare(letter.sender), faults)
        if letter.metadata.get("performative") == Performative.NOT_UNDERSTOOD:
            return  # two agents that do not understand each other would never stop
        number = next(self._numbers)
        reason = Reason(code="malformed", reason="this is not an ACL message", faults=tuple(faults))
        answer = AclMessage(
            performative=Performative.NOT_UNDERSTOOD,
            sender=self.owner.address,
            receiver=bare(letter.sender),
            protocol=_protocol_of(letter),
            conversation_id=(letter.metadata.get("conversation-id") or letter.thread or f"unknown-{number}")[:200],
            reply_with=f"unread/{self.owner.address.partition('@')[0]}/{number}",
            in_reply_to=letter.metadata.get("reply-with", "")[:200] or None,
            content=reason.to_json(),
        )
        self._post(answer)

    def _record_malformed(self, sender: str, faults: list[str]) -> None:
        owner = self.owner
        owner.swarm.recorder.record_malformed(owner.now(), sender, owner.address, faults)

    # --- what this agent begins

    def open(self, protocol: Fipa, opening: Content) -> Talk:
        """A new conversation, with an id that depends on the run only."""
        name = self.owner.address.partition("@")[0]
        prefix = f"{self.owner.swarm.run}-" if self.owner.swarm.run else ""
        conversation_id = f"{prefix}{name}-{next(self._numbers)}"
        while self.memory.find(conversation_id) is not None:  # somebody else has used the name
            conversation_id = f"{prefix}{name}-{next(self._numbers)}"
        talk = self._talk(Conversation.opening(protocol, self.owner.address, conversation_id))
        talk.opening = opening
        self.memory.keep(talk)
        return talk

    def publish(self, topic: type[Content], content: Content, where: Callable[[Any], bool]) -> int:
        """Informs the subscribers of `topic` whose subscription `where` accepts; returns how many there were."""
        told = 0
        for talk in tuple(self.subscribers.get(topic, ())):
            for peer in talk.conversation.peers:
                if talk.may(Performative.INFORM, peer) and where(talk.opening):
                    talk.say(Performative.INFORM, content, peer)
                    told += 1
        return told

    def subscriptions(self, topic: type[_C]) -> tuple[_C, ...]:
        """The openings of the subscriptions to `topic`, in the order in which they were made."""
        talks = self.subscribers.get(topic, ())
        return tuple(talk.opening for talk in talks if isinstance(talk.opening, topic))

    def _talk(self, conversation: Conversation) -> Talk:
        return Talk(conversation, self.owner.now, self._post, self.memory.changed)

    def _deadline(self, talk: Talk) -> None:
        self._react(talk, talk.conversation.expire(self.owner.now()), None, None)

    def _flush(self, talk: Talk) -> None:
        for message in talk.conversation.take_outbox():
            self._post(message)

    def _post(self, message: AclMessage) -> None:
        letter = Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)
        self.owner.swarm.post.send(letter)
        self.owner.swarm.recorder.record(self.owner.now(), message)


def _bounded(faults: list[str]) -> list[str]:
    """The faults as far as an answer can carry them: whoever wrote the message chose their number and length."""
    shown = [_UNSEEN.sub("?", fault[:MAX_FAULT]) for fault in faults[:MAX_FAULTS]]
    return shown if len(faults) <= MAX_FAULTS else [*shown, f"and {len(faults) - MAX_FAULTS} more"]


def _unauthorised(message: AclMessage, role: Role | None, mine: Role) -> str:
    who = f"{message.sender} is {role}" if role else f"{message.sender} is not registered with the directory"
    return f"{who}, and may not send {message.content.get('exchange')} as {message.performative} to {mine}"


def _protocol_of(letter: Letter) -> Fipa:
    try:
        return Fipa(letter.metadata.get("protocol", ""))
    except ValueError:
        return Fipa.REQUEST
