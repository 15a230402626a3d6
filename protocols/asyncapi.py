"""AsyncAPI 3.0 of what an agent in a role says and hears, made from the catalogue: `document(Role.VPP)`.

For those who connect a system of their own. One document is one role's, since AsyncAPI describes an application: `send`
is what it says, `receive` what it is told. A channel is a JID. The contents are the definitions of `schema.export`.

Source: AsyncAPI Specification 3.0.0; the dialogues are those of `protocols.dialogues`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protocols import schema
from protocols.acl import LANGUAGE, MAX_BODY_CHARACTERS, MAX_ID_CHARACTERS, ONTOLOGY, Protocol
from protocols.dialogues import (
    ANSWER_TO_CANCEL,
    DIALOGUES,
    EXCHANGES,
    PLAIN_ANSWERS,
    PLAIN_REPLIES,
    Dialogue,
    Say,
)
from protocols.roles import Role
from protocols.tables import OPENING, REFUSAL

VERSION = "1.0.0"
"""Of the documents. It grows with the wire: the last place for what is added, the first for what breaks old peers."""

_Members = dict[str, Any]
_Key = tuple[str, Protocol, Say]


def outside_roles() -> tuple[Role, ...]:
    """The roles that somebody's own system can play, in the order of `Role`: those with a dialogue of D5.1."""
    found = {role for dialogue in DIALOGUES for role in (dialogue.initiator, dialogue.participant)}
    platform = {Role.DIRECTORY, Role.ENVIRONMENT, Role.OBSERVER}
    return tuple(role for role in Role if role in found - platform)


def document(role: Role) -> dict[str, Any]:
    """The AsyncAPI document of one role."""
    found = _Found(role)
    for dialogue in DIALOGUES:
        if dialogue.initiator in (None, role) and dialogue.participant is not role:
            found.asks(dialogue)
        if dialogue.participant is role:
            found.answers(dialogue)
    definitions = schema.closed(schema.export()["$defs"], (say.content.__name__ for _, _, say in found.messages))
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Gridparley: an agent in the role {role}",
            "version": VERSION,
            "description": (
                "The information exchanges of EV4EU D5.1 that this role takes part in. FIPA ACL messages (SC00061G) "
                "travel as XMPP chat stanzas: the parameters (headers) in a data form with the title "
                "spade:x:metadata, the content as the JSON body; docs/wire.md shows one of each act. Positive power "
                "is drawn from the grid."
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "xmpp": {
                "host": "localhost:5222",
                "protocol": "xmpp",
                "description": "The XMPP server of the run; STARTTLS, then SASL with the account's password.",
            }
        },
        "channels": found.channels(),
        "operations": found.operations,
        "components": {
            "messages": {_name(key): _message(key) for key in found.messages},
            "schemas": {name: _relocated(definition) for name, definition in definitions.items()},
        },
    }


class _Found:
    """What one role says and hears, as it is found dialogue by dialogue."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.messages: dict[_Key, None] = {}
        self.operations: _Members = {}
        self._heard: dict[Role | None, dict[str, None]] = {}

    def asks(self, dialogue: Dialogue) -> None:
        """The role opens this dialogue: its opening with the answers, and what it says after them."""
        opening, answers = self._sides(dialogue)
        other = dialogue.participant
        self._add(f"ask-{other}", "send", other, dialogue, opening, answers)
        self._add(f"reply-to-{other}", "send", other, dialogue, self._replies(dialogue), ())

    def answers(self, dialogue: Dialogue) -> None:
        """The role is asked in this dialogue: the opening with its answers, and what it may be told after them."""
        opening, answers = self._sides(dialogue)
        other = "anybody" if dialogue.initiator is None else dialogue.initiator
        self._add(f"asked-by-{other}", "receive", self.role, dialogue, opening, answers, dialogue.initiator)
        self._add(f"told-by-{other}", "receive", self.role, dialogue, self._replies(dialogue), ())

    def channels(self) -> _Members:
        """A channel for each role that is written to or hears, with the messages that go there."""
        return {
            _channel(role): {
                "address": "{jid}",
                "description": (
                    f"The bare JID of an agent in the role {role}." if role else "The bare JID of whoever asked."
                ),
                "parameters": {"jid": {"description": "From the directory (df.search), or of the peer that wrote."}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in sorted(names)},
            }
            for role, names in sorted(self._heard.items(), key=lambda pair: _channel(pair[0]))
        }

    def _sides(self, dialogue: Dialogue) -> tuple[list[_Key], list[_Key]]:
        refusals = (REFUSAL[dialogue.protocol], "failure", "not-understood")
        plain = [say for say in PLAIN_ANSWERS if say.performative in refusals]
        says = dict.fromkeys((*dialogue.answers, *plain, ANSWER_TO_CANCEL))
        return [_key(dialogue, dialogue.opening)], [_key(dialogue, say) for say in says]

    def _replies(self, dialogue: Dialogue) -> list[_Key]:
        rejects = dialogue.protocol is Protocol.CONTRACT_NET
        plain = [say for say in PLAIN_REPLIES if rejects or say.performative != "reject-proposal"]
        return [_key(dialogue, say) for say in dict.fromkeys((*dialogue.replies, *plain))]

    def _add(
        self,
        name: str,
        action: str,
        channel: Role,
        dialogue: Dialogue,
        said: Iterable[_Key],
        answers: Iterable[_Key],
        asker: Role | None = None,
    ) -> None:
        """One operation. Answers come to the role itself where it asks, else they go to the `asker`."""
        back = self.role if action == "send" else asker
        exchange = EXCHANGES[str(dialogue.opening.exchange)]
        operation: _Members = {
            "action": action,
            "channel": {"$ref": f"#/channels/{_channel(channel)}"},
            "summary": f"{exchange.id} {exchange.name} ({exchange.source}), {dialogue.protocol}",
            "messages": [self._on(channel, key) for key in said],
        }
        if answers := list(answers):
            operation["reply"] = {
                "address": {"location": "$message.header#/from", "description": "The JID that the opening came from."},
                "channel": {"$ref": f"#/channels/{_channel(back)}"},
                "messages": [self._on(back, key) for key in answers],
            }
        self.operations[f"{name}-{exchange.id.replace('.', '-')}-{dialogue.opening.content.__name__}"] = operation

    def _on(self, channel: Role | None, key: _Key) -> _Members:
        """The reference to a message on a channel, which it is put on."""
        self.messages[key] = None
        self._heard.setdefault(channel, {})[_name(key)] = None
        return {"$ref": f"#/channels/{_channel(channel)}/messages/{_name(key)}"}


def _channel(role: Role | None) -> str:
    return "anybody" if role is None else str(role)


def _key(dialogue: Dialogue, say: Say) -> _Key:
    return str(say.exchange or "plain"), dialogue.protocol, say


def _name(key: _Key) -> str:
    exchange, protocol, say = key
    kind = protocol.removeprefix("fipa-")
    return f"{exchange.replace('.', '-')}-{kind}-{say.performative}-{say.content.__name__}"


def _message(key: _Key) -> _Members:
    exchange, protocol, say = key
    title = f"{exchange} {EXCHANGES[exchange].name}" if exchange in EXCHANGES else "A plain act"
    return {
        "name": _name(key),
        "title": f"{title}: {say.performative}",
        "contentType": "application/json",
        "headers": headers(protocol, say),
        "payload": {"$ref": f"#/components/schemas/{say.content.__name__}"},
    }


def headers(protocol: Protocol, say: Say) -> dict[str, Any]:
    """The JSON Schema of the ACL parameters that carry this act; an opening act answers nothing."""
    text = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS}
    needed = ["performative", "protocol", "conversation-id", "reply-with"]
    if say.performative != OPENING[protocol]:
        needed.append("in-reply-to")
    return {
        "type": "object",
        "required": needed,
        "properties": {
            "performative": {"const": str(say.performative)},
            "protocol": {"const": str(protocol)},
            "conversation-id": text | {"description": "Chosen by the initiator; every message has it."},
            "reply-with": text | {"description": "This message's own id, which no other one of its sender has."},
            "in-reply-to": text | {"description": "The reply-with of the message that this one answers."},
            "reply-by": {
                "type": "string",
                "format": "date-time",
                "description": "Scenario time with an offset; an answer exactly then is in time.",
            },
            "language": {"const": LANGUAGE},
            "ontology": {"const": ONTOLOGY},
        },
        "description": f"The body has at most {MAX_BODY_CHARACTERS} characters.",
    }


def _relocated(node: Any) -> Any:
    """The same schema with its references to where AsyncAPI keeps schemas."""
    if isinstance(node, dict):
        return {
            name: f"#/components/schemas/{member.rpartition('/')[2]}" if name == "$ref" else _relocated(member)
            for name, member in node.items()
        }
    return [_relocated(member) for member in node] if isinstance(node, list) else node
