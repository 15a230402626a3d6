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

    @property
    def exchange(self) -> str | None:
        """The exchange id of D5.1 that the content carries, or None for a plain act."""
        return self.content.get("exchange")

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
        reply_by = None
        if stamp := metadata.get("reply-by"):
            try:
                reply_by = datetime.fromisoformat(stamp)
            except ValueError:
                faults.append(f"reply-by {stamp!r} is not an ISO 8601 time")
            else:
                if reply_by.tzinfo is None:
                    faults.append(f"reply-by {stamp!r} has no UTC offset")
        content: Any = {}
        if len(body) > MAX_BODY_CHARACTERS:
            faults.append(f"body has {len(body)} characters, more than {MAX_BODY_CHARACTERS}")
        else:
            try:
                content = json.loads(body)
            except ValueError as error:
                faults.append(f"body is not JSON: {error}")
            else:
                if not isinstance(content, dict):
                    faults.append("body is not a JSON object")
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
