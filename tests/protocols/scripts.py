"""Conversations as scripts: `"!cfp ?propose !accept-proposal ?inform"`, one word for each thing that happens."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from protocols.acl import AclMessage, Performative, Protocol
from protocols.conversation import Conversation, Event
from protocols.tables import OPENING, Side

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
ME, PEER, OTHER, STRANGER = "me@test", "peer@test", "other@test", "stranger@test"
MINUTE = timedelta(minutes=1)

_numbers = count(1)


def incoming(
    protocol: Protocol,
    performative: Performative | str,
    *,
    sender: str = PEER,
    in_reply_to: str | None = None,
    reply_by: datetime | None = None,
    **content: Any,
) -> AclMessage:
    """A message from a peer, with a reply-with of its own."""
    return AclMessage(
        performative=Performative(performative),
        sender=sender,
        receiver=ME,
        protocol=protocol,
        conversation_id="c",
        reply_with=f"theirs-{next(_numbers)}",
        content=content,
        in_reply_to=in_reply_to,
        reply_by=reply_by,
    )


def opened(protocol: Protocol, *to: str, reply_by: datetime | None = None) -> Conversation:
    """A conversation of ours whose opening act has gone to `to` (PEER, if nobody is named)."""
    conversation = Conversation.opening(protocol, ME, "c")
    for peer in to or (PEER,):
        conversation.send(conversation.compose(OPENING[protocol], {}, peer, reply_by=reply_by), NOW)
    return conversation


def play(protocol: Protocol, side: Side, script: str) -> tuple[Conversation, list[Event]]:
    """The conversation after every word of `script` has happened to it, and the events that it told.

    `-cancel` answers the last cancel, everything else the opening act. `@expired` lets the deadline pass.
    """
    events: list[Event] = []
    conversation = Conversation.opening(protocol, ME, "c")
    opening = cancel = None
    now = NOW
    for word in script.split():
        if word == "@expired":
            due = conversation.next_deadline()
            assert due is not None, f"{word}: no deadline in {conversation.state(PEER)}"
            now = due
            events += conversation.expire(now)
            continue
        act = Performative(word[1:].removesuffix("-cancel"))
        answers = cancel if word.endswith("-cancel") else opening
        if word.startswith("!"):
            message = replace(conversation.compose(act, {}, PEER), in_reply_to=answers)
            conversation.send(message, now)
        else:
            message = incoming(protocol, act, in_reply_to=answers if side is Side.INITIATOR else None)
            if opening is None and side is Side.PARTICIPANT:
                conversation, told = Conversation.answering(message, now)
            else:
                told = conversation.receive(message, now)
            events += told
        opening = opening or message.reply_with
        if act is Performative.CANCEL:
            cancel = message.reply_with
    return conversation, events
