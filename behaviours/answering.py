"""Answering: a handler per content class, which returns what to answer.

@answers(ActivationSignal)
async def on_activation_signal(self, signal: ActivationSignal, incoming: Incoming) -> Reply:
    await incoming.agree(ActivationConfirmation(...))
    ...
    return Inform(Done(reference=signal.activation_id))
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from protocols.acl import AclMessage, Performative
from protocols.exchanges.content import Content
from protocols.exchanges.plain import Reason
from protocols.roles import Role

_F = TypeVar("_F", bound=Callable[..., Any])
Key = tuple[type[Content], Performative | None]


@dataclass(frozen=True, slots=True)
class Reply:
    """An act that answers a message. `reply_by` says until when the other may answer in turn (a proposal)."""

    performative: ClassVar[Performative]
    content: Content
    reply_by: datetime | None = None


class Agree(Reply):
    performative = Performative.AGREE


class Refuse(Reply):
    performative = Performative.REFUSE


class Inform(Reply):
    performative = Performative.INFORM


class Failure(Reply):
    performative = Performative.FAILURE


class NotUnderstand(Reply):
    performative = Performative.NOT_UNDERSTOOD


class Propose(Reply):
    performative = Performative.PROPOSE


class AcceptProposal(Reply):
    performative = Performative.ACCEPT_PROPOSAL


class RejectProposal(Reply):
    performative = Performative.REJECT_PROPOSAL


def refusal(code: str, reason: str, *faults: str) -> Refuse:
    """A refusal for a plain reason."""
    return Refuse(Reason(code=code, reason=reason, faults=faults))


def failure(code: str, reason: str) -> Failure:
    """A failure for a plain reason."""
    return Failure(Reason(code=code, reason=reason))


@dataclass(slots=True, eq=False)
class Incoming:
    """A message that a handler answers: who sent it, what they may expect, and whether they called it off.

    `offer` is what this agent proposed before, where the message accepts or rejects a proposal.
    `cancelled` is set when the sender cancels while the handler is at work.
    """

    sender: str
    sender_role: Role
    message: AclMessage
    offer: Content | None
    _say: Callable[[Reply], bool] = field(repr=False)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    answered: bool = False

    @property
    def reply_by(self) -> datetime | None:
        """When the sender stops waiting for an answer."""
        return self.message.reply_by

    async def agree(self, content: Content) -> bool:
        """Agrees now; the handler returns the result later. False when the sender no longer waits for it."""
        return self.send(Agree(content))

    async def inform(self, content: Content) -> bool:
        """Informs a subscriber at once. False when the subscription has ended."""
        return self.send(Inform(content))

    def send(self, reply: Reply) -> bool:
        """Sends the reply where the conversation still takes it: it may have expired or been cancelled."""
        self.answered = True
        return self._say(reply)


Handler = Callable[[Any, Incoming], Awaitable[Reply | None]]
"""A handler bound to its agent."""


def answers(content: type[Content], on: Performative | None = None) -> Callable[[_F], _F]:
    """Marks the method that answers this content, in an opening act or in the act `on`."""
    return _mark("__answers__", (content, on))


def cancels(content: type[Content]) -> Callable[[_F], _F]:
    """Marks the method that answers the cancelling of what this content opened, with Inform or Failure.

    It gets the content that opened the conversation and the cancel. Without one a subscription is ended and
    anything else goes on (failure `not-cancellable`).
    """
    return _mark("__cancels__", (content, Performative.CANCEL))


def _mark(attribute: str, key: Key) -> Callable[[_F], _F]:
    def mark(method: _F) -> _F:
        setattr(method, attribute, (*getattr(method, attribute, ()), key))
        return method

    return mark


def handlers_of(owner: type) -> dict[Key, str]:
    """The handlers that a class has, by content and act, as names of methods. Two for one key: TypeError."""
    found: dict[Key, str] = {}
    for name in dir(owner):
        method = getattr(owner, name, None)
        for key in (*getattr(method, "__answers__", ()), *getattr(method, "__cancels__", ())):
            if key in found:
                raise TypeError(f"{owner.__name__}.{name} and .{found[key]} both answer {key[0].__name__}")
            found[key] = name
    return found
