"""Traces: what was said in a run, one JSON line for each message as it was sent, after a header.

The header is `{"trace": 1, "scenario": .., "seed": .., "roles": {jid: role}}`. Lines are written in one canonical
form, so that two runs that say the same are the same byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from protocols.acl import AclMessage, Performative, Protocol
from protocols.exchanges.content import Part, faults_of
from protocols.roles import Role
from protocols.units import Identifier, Time

FORMAT: Literal[1] = 1


class TraceError(ValueError):
    """A line that is not what a trace has there; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class Header(Part):
    """The first line: which run this is, and who plays which role in it."""

    trace: Literal[1] = FORMAT
    scenario: str
    seed: int
    roles: dict[str, Role]


@dataclass(frozen=True, slots=True)
class Entry:
    """One message, the scenario time at which it was sent, and the line on which it stands."""

    line: int
    at: datetime
    message: AclMessage


class _Line(Part):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    at: Time
    sender: Identifier
    receiver: Identifier
    performative: Performative
    protocol: Protocol
    conversation_id: str = Field(min_length=1)
    reply_with: str = Field(min_length=1)
    in_reply_to: str | None
    reply_by: Time | None
    ontology: str
    exchange: str | None
    content: dict[str, Any]


def header_line(scenario: str, seed: int, roles: Mapping[str, Role]) -> str:
    """The first line of a trace, without its end of line; roles in the order of the JIDs."""
    return _canonical({"trace": FORMAT, "scenario": scenario, "seed": seed, "roles": dict(sorted(roles.items()))})


def message_line(message: AclMessage, at: datetime) -> str:
    """The line of a message that is sent at `at` (aware, scenario time), without its end of line."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no UTC offset")
    return _canonical(
        {
            "at": at.isoformat(),
            "sender": message.sender,
            "receiver": message.receiver,
            "performative": message.performative,
            "protocol": message.protocol,
            "conversation-id": message.conversation_id,
            "reply-with": message.reply_with,
            "in-reply-to": message.in_reply_to,
            "reply-by": message.reply_by.isoformat() if message.reply_by else None,
            "ontology": message.ontology,
            "exchange": message.exchange,
            "content": dict(message.content),
        }
    )


def read_header(text: str) -> Header:
    """The header that stands in this first line. Raises TraceError."""
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        raise TraceError(1, "not the header of a trace: " + "; ".join(faults_of(error))) from None


def read_entry(line: int, text: str) -> Entry:
    """The message that stands in this line. Raises TraceError with everything that is wrong with it."""
    try:
        found = _Line.model_validate_json(text)
    except ValidationError as error:
        raise TraceError(line, "; ".join(faults_of(error))) from None
    message = AclMessage(
        performative=found.performative,
        sender=found.sender,
        receiver=found.receiver,
        protocol=found.protocol,
        conversation_id=found.conversation_id,
        reply_with=found.reply_with,
        content=found.content,
        in_reply_to=found.in_reply_to,
        reply_by=found.reply_by,
        ontology=found.ontology,
    )
    if message.exchange != found.exchange:
        raise TraceError(line, f"exchange: is {found.exchange!r} but the content has {message.exchange!r}")
    return Entry(line, found.at, message)


def read(lines: Iterable[str]) -> tuple[Header, Iterator[Entry]]:
    """The header and the messages of a trace. Raises TraceError, for the messages while they are taken."""
    numbered = enumerate(lines, start=1)
    first = next(numbered, None)
    if first is None:
        raise TraceError(1, "is missing: the file is empty")
    return read_header(first[1]), (read_entry(line, text) for line, text in numbered)


def _canonical(members: Mapping[str, Any]) -> str:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
