"""The catalogue of exchanges: what a message carries, and who may send it to whom."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols import schema
from protocols.acl import AclMessage, Performative, Protocol
from protocols.dialogues import ANSWER_TO_CANCEL, DIALOGUES, EXCHANGES, PLAIN_ANSWERS, PLAIN_REPLIES, Dialogue, Say
from protocols.exchanges import Content, ContentError
from protocols.roles import Role


@dataclass(frozen=True, slots=True)
class Leg:
    """One way in which an exchange travels. A `sender` or `receiver` of None is any role."""

    exchange: str
    sender: Role | None
    receiver: Role | None
    protocol: Protocol
    performative: Performative
    content: type[Content]


def _legs() -> tuple[Leg, ...]:
    found: dict[Leg, None] = {}
    for dialogue in DIALOGUES:
        ask, answer = dialogue.initiator, dialogue.participant
        for says, sender, receiver in (
            ((dialogue.opening, *dialogue.replies), ask, answer),
            (dialogue.answers, answer, ask),
        ):
            for say in says:
                if say.exchange is not None:
                    leg = Leg(say.exchange, sender, receiver, dialogue.protocol, say.performative, say.content)
                    found[leg] = None
    order = list(EXCHANGES)
    return tuple(sorted(found, key=lambda leg: order.index(leg.exchange)))


LEGS: tuple[Leg, ...] = _legs()
"""Every leg of every exchange, in the order of the exchanges."""

_Key = tuple[str | None, Protocol, Performative]
_Pair = tuple[Role | None, Role | None]


def _index() -> tuple[dict[_Key, tuple[type[Content], ...]], dict[_Key, frozenset[_Pair]]]:
    contents: dict[_Key, dict[type[Content], None]] = {}
    pairs: dict[_Key, set[_Pair]] = {}
    for dialogue in DIALOGUES:
        ask: Role | None = dialogue.initiator
        answer: Role | None = dialogue.participant
        said: list[tuple[Say, _Pair]]
        said = [(say, (ask, answer)) for say in (dialogue.opening, *dialogue.replies, *PLAIN_REPLIES)]
        said += [(say, (answer, ask)) for say in (*dialogue.answers, ANSWER_TO_CANCEL)]
        # Whoever is asked may decline, even if the asker had no right to ask.
        said += [(say, (None, None)) for say in PLAIN_ANSWERS]
        for say, pair in said:
            key = (say.exchange, dialogue.protocol, say.performative)
            contents.setdefault(key, {})[say.content] = None
            pairs.setdefault(key, set()).add(pair)
    return {key: tuple(found) for key, found in contents.items()}, {
        key: frozenset(found) for key, found in pairs.items()
    }


_CONTENTS, _PAIRS = _index()
_OPENINGS: dict[_Key, tuple[Dialogue, ...]] = {}
for _dialogue in DIALOGUES:
    _key = (_dialogue.opening.exchange, _dialogue.protocol, _dialogue.opening.performative)
    _OPENINGS[_key] = (*_OPENINGS.get(_key, ()), _dialogue)


def may_send(
    exchange: str | None,
    performative: Performative,
    protocol: Protocol,
    sender_role: Role | None,
    receiver_role: Role | None,
) -> bool:
    """Whether the catalogue lets this role say this to that role; None is an agent whose role nobody knows.

    An `exchange` of None is a plain act: declining is open to everybody, the rest to those who may converse at all.
    """
    pairs = _PAIRS.get((exchange, protocol, performative), frozenset())
    if (None, None) in pairs:
        return True
    if sender_role is None or receiver_role is None:
        return False
    return not pairs.isdisjoint({(sender_role, receiver_role), (None, receiver_role), (sender_role, None)})


def dialogue_of(opening: AclMessage, sender_role: Role | None, receiver_role: Role | None) -> Dialogue | None:
    """The dialogue that this message opens between these roles, None if it opens none."""
    if not isinstance(opening.exchange, str):
        return None
    key = (opening.exchange, opening.protocol, opening.performative)
    for dialogue in _OPENINGS.get(key, ()):
        if dialogue.participant is receiver_role and dialogue.initiator in (None, sender_role):
            return dialogue
    return None


def belongs(dialogue: Dialogue, say: Say, *, by_initiator: bool, answers_cancel: bool = False) -> bool:
    """Whether this act with this content has a place in the dialogue after its opening.

    `answers_cancel`: the act answers the initiator's cancel, where an inform means only that it was called off.
    """
    if by_initiator:
        return say in dialogue.replies or say in PLAIN_REPLIES
    if answers_cancel:
        return say == ANSWER_TO_CANCEL or say in PLAIN_ANSWERS
    return say in dialogue.answers or say in PLAIN_ANSWERS


def parse(message: AclMessage) -> Content:
    """The typed content of a message. Raises ContentError with every fault, each with the path of its field."""
    members = message.content
    exchange = _exchange_of(members)
    if exchange is not None and exchange not in EXCHANGES:
        raise ContentError([f"exchange: {exchange!r} is not in the catalogue"])
    classes = _CONTENTS.get((exchange, message.protocol, message.performative), ())
    if not classes:
        raise ContentError([_no_such_leg(exchange, message)])
    kind = min(classes, key=lambda candidate: len(members.keys() ^ candidate.model_fields.keys()))
    content = kind.from_json(members)
    if faults := [f"{name}: {text}" for name, text in content.contradicts(message.performative)]:
        raise ContentError(faults)
    return content


def _exchange_of(members: Mapping[str, Any]) -> str | None:
    exchange = members.get("exchange")
    if exchange is not None and not isinstance(exchange, str):
        raise ContentError([f"exchange: {exchange!r} is not an id"])
    return exchange


def _no_such_leg(exchange: str | None, message: AclMessage) -> str:
    said = f"{message.protocol} {message.performative}"
    if exchange is None:
        return f"exchange: is missing; {said} must say which exchange it carries"
    legs = dict.fromkeys(f"{leg.protocol} {leg.performative}" for leg in LEGS if leg.exchange == exchange)
    return f"exchange: {exchange} is not carried by {said} but by {', '.join(legs)}"


def listing(*, as_json: bool = False) -> str:
    """Every exchange with its legs: as a table to read, or as JSON together with the JSON Schema of the contents."""
    if as_json:
        entries = [
            {
                "id": exchange.id,
                "name": exchange.name,
                "source": exchange.source,
                "legs": [
                    {
                        "from": _name(leg.sender),
                        "to": _name(leg.receiver),
                        "protocol": leg.protocol,
                        "performative": leg.performative,
                        "content": leg.content.__name__,
                    }
                    for leg in LEGS
                    if leg.exchange == exchange.id
                ],
            }
            for exchange in EXCHANGES.values()
        ]
        return json.dumps({"exchanges": entries, "schema": schema.export()}, indent=2, ensure_ascii=False)
    rows = [("id", "name", "from > to", "carried by", "content", "source")]
    for leg in LEGS:
        exchange = EXCHANGES[leg.exchange]
        ends = f"{_name(leg.sender)} > {_name(leg.receiver)}"
        said = f"{leg.protocol.removeprefix('fipa-')}: {leg.performative}"
        rows.append((exchange.id, exchange.name, ends, said, leg.content.__name__, exchange.source))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _name(role: Role | None) -> str:
    return "any" if role is None else role
