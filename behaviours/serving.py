"""Serving: runs the handler of what a conversation let pass, sends its reply, and keeps the subscribers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol, TypeVar

from behaviours.answering import Handler, Incoming, Inform, Key, Reply
from behaviours.swarm import Swarm
from behaviours.talk import Talk
from protocols.acl import AclMessage, Performative
from protocols.acl import Protocol as Fipa
from protocols.conversation import opens
from protocols.exchanges.content import Content
from protocols.exchanges.plain import Done, Reason
from protocols.roles import Role
from protocols.tables import OPENING, REFUSAL

log = logging.getLogger("gridparley.serving")

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


class Service:
    """The participant's side of an agent's conversations."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.subscribers: dict[type[Content], list[Talk]] = {}

    def serve(self, talk: Talk, message: AclMessage, content: Content, role: Role | None) -> None:
        """Starts the handler of a message, as a task of its own."""
        if message.performative is Performative.CANCEL:
            self._serve_cancel(talk, message, content)
            return
        handler = self._handler(type(content), message.performative)
        if handler is None:
            if opens(message):
                text = f"{self.owner.role} {self.owner.address} does not serve {type(content).__name__}"
                decline(talk, message, "unsupported", text)
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
        talk.catch_up()
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
                self.ended(talk)
        return True

    def ended(self, talk: Talk) -> None:
        listeners = self.subscribers.get(type(talk.opening)) if talk.opening is not None else None
        if listeners and talk in listeners and talk.conversation.ended():
            listeners.remove(talk)

    def publish(self, topic: type[Content], content: Content, where: Callable[[Any], bool]) -> int:
        """Informs the subscribers of `topic` whose subscription `where` accepts; returns how many there were."""
        told = 0
        for talk in tuple(self.subscribers.get(topic, ())):
            if not where(talk.opening):
                continue
            for peer in talk.conversation.peers:
                if talk.may(Performative.INFORM, peer):
                    talk.say(Performative.INFORM, content, peer)
                    told += 1
        return told

    def subscriptions(self, topic: type[_C]) -> tuple[_C, ...]:
        """The openings of the subscriptions to `topic`, in the order in which they were made."""
        talks = self.subscribers.get(topic, ())
        return tuple(talk.opening for talk in talks if isinstance(talk.opening, topic))


def decline(talk: Talk, message: AclMessage, code: str, text: str) -> None:
    """Turns an opening act down, in the word that its protocol has for it."""
    reason = Reason(code=code, reason=text)
    talk.say(REFUSAL[message.protocol], reason, message.sender, in_reply_to=message.reply_with)
