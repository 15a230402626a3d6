"""One conversation of an agent at work: the pure `Conversation`, and who in the agent waits for what it hears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from behaviours.answering import Incoming
from protocols.acl import AclMessage, Performative
from protocols.conversation import Conversation
from protocols.dialogues import Dialogue
from protocols.exchanges.content import Content


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that the conversation let pass, with its content; `faults`: the rules that it breaks, in words.

    `at`: when it came, by our own clock and not by what the sender says; the talk that passes it on sets it.
    """

    message: AclMessage
    content: Content
    faults: tuple[str, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing more will come: the deadline has passed, or the conversation has ended."""


class Channel:
    """What came for one waiter, in order. Nothing is lost when nobody waits yet."""

    def __init__(self) -> None:
        self._items: deque[Heard | Over] = deque()
        self._waiter: asyncio.Event = asyncio.Event()

    def put(self, item: Heard | Over) -> None:
        self._items.append(item)
        self._waiter.set()

    async def next(self) -> Heard | Over:
        while not self._items:
            self._waiter.clear()
            await self._waiter.wait()
        return self._items.popleft()


class Topic(StrEnum):
    """What a message of the other agent answers: the conversation's own acts, or our cancel."""

    ANSWER = "answer"
    CANCEL = "cancel"


class Talk:
    """A conversation with its waiters (as initiator) or its handler (as participant)."""

    def __init__(
        self,
        conversation: Conversation,
        now: Callable[[], datetime],
        post: Callable[[AclMessage], None],
        changed: Callable[[Talk], None],
        overdue: Callable[[Talk], None],
    ) -> None:
        self.conversation = conversation
        self.deadline: datetime | None = None
        self.ended = False
        self.opening: Content | None = None
        self.first: AclMessage | None = None
        self.dialogue: Dialogue | None = None
        self.offer: Content | None = None
        self.incoming: Incoming | None = None
        self._now, self._post, self._changed, self._overdue = now, post, changed, overdue
        self._channels: dict[tuple[str, Topic], Channel] = {}
        self._cancels: dict[str, str] = {}

    def say(
        self,
        performative: Performative,
        content: Content,
        to: str,
        *,
        reply_by: datetime | None = None,
        in_reply_to: str | None = None,
    ) -> AclMessage:
        """Sends an act. Raises IllegalSendError (our own bug) where the protocol does not allow it now."""
        if to == self.conversation.me:
            raise ValueError(f"{to} cannot converse with itself")
        message = self.conversation.compose(
            performative, content.to_json(), to, reply_by=reply_by, in_reply_to=in_reply_to
        )
        self.conversation.send(message, self._now())
        if performative is Performative.CANCEL:
            self._cancels[to] = message.reply_with
        self.first = self.first or message
        self._post(message)
        self._changed(self)
        return message

    def catch_up(self) -> None:
        """Applies a deadline that has passed before its timer could ring, as on a scaled clock when all are busy."""
        deadline = self.conversation.next_deadline()
        if deadline is not None and deadline < self._now():
            self._overdue(self)

    def may(self, performative: Performative, to: str) -> bool:
        """Whether the protocol lets us send that act now."""
        self.catch_up()
        return f"!{performative}" in self.conversation.allowed(to)

    def await_until(self, peer: str, deadline: datetime) -> None:
        """Replaces the deadline of the state that waits for `peer`."""
        self.conversation.await_until(peer, deadline)
        self._changed(self)

    def channel(self, peer: str, topic: Topic = Topic.ANSWER) -> Channel:
        return self._channels.setdefault((peer, topic), Channel())

    def heard(self, heard: Heard) -> None:
        """Gives a message to the one who waits for it."""
        topic = Topic.CANCEL if self.answers_cancel(heard.message) else Topic.ANSWER
        self.channel(heard.message.sender, topic).put(replace(heard, at=self._now()))

    def answers_cancel(self, message: AclMessage) -> bool:
        """Whether this is the answer to our cancel, and not to what was cancelled."""
        cancel = self._cancels.get(message.sender)
        return cancel is not None and message.in_reply_to == cancel

    def over(self, peer: str) -> None:
        """Tells everyone who waits for `peer` that nothing more comes."""
        for topic in Topic:
            self.channel(peer, topic).put(Over())
