"""FIPA ACL messages (SC00061G) as SPADE carries them: parameters in the metadata, a JSON body.

The wire names are FIPA's own (`conversation-id`, `reply-with`, ...). A message names one receiver;
a call to several agents is several messages of one conversation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

_E = TypeVar("_E", bound=StrEnum)

ONTOLOGY = "ev4eu-d5.1"
LANGUAGE = "json"
MAX_BODY_CHARACTERS = 200_000
"""A larger stanza closes the shared stream of several XMPP servers, so it is refused at the sender."""
MAX_ID_CHARACTERS = 300
"""For conversation-id, reply-with and in-reply-to, which every answer carries back."""
MAX_DEPTH = 32
"""How deep lists and objects of a body may nest; a deeper one could exhaust the stack of whoever walks it."""


class Performative(StrEnum):
    """The communicative acts that our interaction protocols use (FIPA SC00037J)."""

    ACCEPT_PROPOSAL = "accept-proposal"
    AGREE = "agree"
    CANCEL = "cancel"
    CFP = "cfp"
    FAILURE = "failure"
    INFORM = "inform"
    NOT_UNDERSTOOD = "not-understood"
    PROPOSE = "propose"
    QUERY_REF = "query-ref"
    REFUSE = "refuse"
    REJECT_PROPOSAL = "reject-proposal"
    REQUEST = "request"
    SUBSCRIBE = "subscribe"


class Protocol(StrEnum):
    """FIPA interaction protocols, by the value of the `protocol` parameter."""

    REQUEST = "fipa-request"
    QUERY = "fipa-query"
    CONTRACT_NET = "fipa-contract-net"
    SUBSCRIBE = "fipa-subscribe"
    PROPOSE = "fipa-propose"


class MalformedMessageError(ValueError):
    """A message that is not an ACL message; `faults` lists everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class AclMessage:
    """One ACL message to one receiver. `sender` and `receiver` are bare JIDs, `reply_by` is timezone-aware.

    `content` is the parsed JSON body. Its `exchange` member is the id of D5.1 (`"6.1.1"`), or null or absent for
    a plain act.
    """

    performative: Performative
    sender: str
    receiver: str
    protocol: Protocol
    conversation_id: str
    reply_with: str
    content: Mapping[str, Any] = field(default_factory=dict)
    in_reply_to: str | None = None
    reply_by: datetime | None = None
    language: str = LANGUAGE
    ontology: str = ONTOLOGY

    def __post_init__(self) -> None:
        if self.reply_by is not None and self.reply_by.tzinfo is None:
            raise ValueError(f"reply-by {self.reply_by.isoformat()} has no UTC offset")

    @property
    def exchange(self) -> str | None:
        """The exchange id of D5.1 that the content carries, or None for a plain act."""
        exchange: str | None = self.content.get("exchange")
        return exchange

    def metadata(self) -> dict[str, str]:
        """The ACL parameters under their wire names, without those that are not set."""
        values = {
            "performative": str(self.performative),
            "protocol": str(self.protocol),
            "conversation-id": self.conversation_id,
            "reply-with": self.reply_with,
            "in-reply-to": self.in_reply_to,
            "reply-by": self.reply_by.isoformat() if self.reply_by else None,
            "language": self.language,
            "ontology": self.ontology,
        }
        return {name: value for name, value in values.items() if value is not None}

    def body(self) -> str:
        """The content as compact JSON, members in the order in which they were given."""
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def parse(cls, metadata: Mapping[str, str], body: str, sender: str, receiver: str) -> AclMessage:
        """The message that arrived. Raises MalformedMessageError with every fault found."""
        faults: list[str] = []

        def needed(name: str) -> str:
            value = metadata.get(name, "")
            if not value:
                faults.append(f"parameter {name} is missing")
            return value

        performative = _member(Performative, needed("performative"), "performative", faults)
        protocol = _member(Protocol, needed("protocol"), "protocol", faults)
        conversation_id, reply_with = needed("conversation-id"), needed("reply-with")
        for name in ("conversation-id", "reply-with", "in-reply-to"):
            faults += _id_faults(name, metadata.get(name, ""))
        reply_by = None
        if stamp := metadata.get("reply-by"):
            try:
                reply_by = datetime.fromisoformat(stamp)
            except ValueError:
                faults.append(f"reply-by {stamp!r} is not an ISO 8601 time")
            else:
                if reply_by.tzinfo is None:
                    faults.append(f"reply-by {stamp!r} has no UTC offset")
        content, body_faults = _content(body)
        faults += body_faults
        if faults or performative is None or protocol is None:
            raise MalformedMessageError(faults)
        return cls(
            performative=performative,
            sender=sender,
            receiver=receiver,
            protocol=protocol,
            conversation_id=conversation_id,
            reply_with=reply_with,
            content=content,
            in_reply_to=metadata.get("in-reply-to"),
            reply_by=reply_by,
            language=metadata.get("language", LANGUAGE),
            ontology=metadata.get("ontology", ONTOLOGY),
        )


def _member(kind: type[_E], value: str, name: str, faults: list[str]) -> _E | None:
    if not value:
        return None
    try:
        return kind(value)
    except ValueError:
        faults.append(f"{name} {value!r} is not one of {', '.join(kind)}")
        return None


def _id_faults(name: str, value: str) -> list[str]:
    if len(value) > MAX_ID_CHARACTERS:
        return [f"{name} has {len(value)} characters, more than {MAX_ID_CHARACTERS}"]
    return [] if value.isprintable() else [f"{name} has characters that cannot be printed"]


def _content(body: str) -> tuple[dict[str, Any], list[str]]:
    """The JSON object of a body, or what is wrong with it."""
    if len(body) > MAX_BODY_CHARACTERS:
        return {}, [f"body has {len(body)} characters, more than {MAX_BODY_CHARACTERS}"]
    if body.count("[") + body.count("{") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        return {}, [f"body nests deeper than {MAX_DEPTH}"]
    try:
        content = json.loads(body, parse_constant=_not_a_number, parse_float=_finite)
        if "\\u" in body or not body.isascii():
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return {}, ["body has half of a surrogate pair, which is no character"]
    except ValueError as error:
        return {}, [f"body is not JSON: {error}"]
    if not isinstance(content, dict):
        return {}, ["body is not a JSON object"]
    if not isinstance(content.get("exchange"), str | None):
        return {}, ["exchange is neither a string nor null"]
    return content, []


def _depth(body: str) -> int:
    """How deep the brackets outside of strings nest."""
    depth = deepest = 0
    in_string = escaped = False
    for character in body:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is beyond every float")
    return value
