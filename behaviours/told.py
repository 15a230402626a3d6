"""A message that is told to those who watch: its line and its JSON, made when first wanted, once for all places."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cached_property

from behaviours.stanzas import holdable
from protocols import telling
from protocols.acl import AclMessage
from protocols.trace import message_line


class Told:
    """`number` is the message's place in the trace, from 0; `at` the scenario time in the demonstrator's zone;
    `exchange` what opened its conversation."""

    def __init__(self, number: int, at: datetime, message: AclMessage, exchange: str | None) -> None:
        self.number = number
        self.at = at
        self.message = message
        self.exchange = exchange

    @cached_property
    def line(self) -> str:
        """Who said what to whom, for people."""
        return telling.line(self.message, self.at, exchange=self.exchange)

    @cached_property
    def json(self) -> str:
        """The message's line in the trace; what XML cannot hold is escaped as JSON escapes it."""
        return holdable(message_line(self.message, self.at))


def paragraphs(entries: Iterable[Told]) -> str:
    """Lines grouped by conversation, each group under a heading, in the order of their beginnings."""
    groups: dict[str, list[Told]] = {}
    for told in entries:
        groups.setdefault(told.message.conversation_id, []).append(told)
    return "\n".join(text for group in groups.values() for text in (_heading(group[0]), *(told.line for told in group)))


def _heading(told: Told) -> str:
    """What the conversation is about, and its id."""
    about = telling.named(told.exchange)
    return telling.visible(f"[{about + ', ' if about else ''}{told.message.conversation_id}]")
