"""Readers of a trace who are told one message after the other: a report tells them all of it, a page what is new."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol, TypeVar

from environment.run_folder import Trace
from protocols.acl import AclMessage
from protocols.catalogue import parse
from protocols.exchanges.content import Content, ContentError


class Reader(Protocol):
    """Who is told the messages of some exchanges, `None` for the plain acts, in the order in which they were sent."""

    @property
    def exchanges(self) -> tuple[str | None, ...]:
        """Which exchanges it wants to hear of."""
        ...

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        """A well-formed message of one of them that was sent at `at`."""
        ...


R = TypeVar("R", bound=Reader)


def understood(message: AclMessage) -> Content | None:
    """The content of a message, None where it is malformed."""
    try:
        return parse(message)
    except ContentError:
        return None


def well_formed(trace: Trace, *exchanges: str | None) -> Iterator[tuple[AclMessage, Content]]:
    """The messages that carry one of `exchanges`, with their contents; malformed ones are left out."""
    for entry in trace.entries:
        if entry.message.exchange in exchanges and (content := understood(entry.message)) is not None:
            yield entry.message, content


def told(trace: Trace, reader: R) -> R:
    """The reader, told all of the trace that it wants to hear."""
    for entry in trace.entries:
        if entry.message.exchange in reader.exchanges and (content := understood(entry.message)) is not None:
            reader.hear(entry.at, entry.message, content)
    return reader
