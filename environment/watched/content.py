"""A message's content in words and units, for a table; its parameters, and where D5.1 has it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from protocols.acl import AclMessage
from protocols.dialogues import EXCHANGES
from protocols.telling import label, quantity, visible

MOST_ROWS = 100
"""So many parts of a list are shown; the JSON has all of them."""
_MOST_VALUES = 24
_MOST_TEXT = 500
_MOST_FIELDS = 100
_SIDES = {"timestamp": "said at"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in words, its value with its unit, and its name in the JSON."""

    words: str
    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Parts:
    """A list of objects as a table: the column titles with units, the rows, and how many there are in all."""

    words: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


def fields(content: Mapping[str, Any], zone: tzinfo) -> tuple[Field, ...]:
    """What a content says, but for its exchange and its lists of objects, in its own order."""
    found = []
    for name, value in list(content.items())[:_MOST_FIELDS]:
        if name != "exchange" and not _is_parts(value):
            words, unit = label(name)
            found.append(Field(_SIDES.get(name, words) or visible(name), _value(value, unit, zone), visible(name)))
    return tuple(found)


def parts(content: Mapping[str, Any], zone: tzinfo) -> tuple[Parts, ...]:
    """The lists of objects of a content, each as a table."""
    found = []
    for name, value in list(content.items())[:_MOST_FIELDS]:
        if _is_parts(value):
            names = list(dict.fromkeys(str(key) for row in value[:MOST_ROWS] for key in row))[:_MOST_FIELDS]
            titles = []
            for each in names:
                words, unit = label(each)
                titles.append(f"{words}, {unit}" if unit else words)
            rows = tuple(tuple(_value(row.get(each), "", zone) for each in names) for row in value[:MOST_ROWS])
            found.append(Parts(label(name)[0], tuple(titles), rows, len(value)))
    return tuple(found)


def parameters(message: AclMessage, at: datetime, zone: tzinfo) -> tuple[Field, ...]:
    """The ACL parameters under FIPA's names, and when it was sent; times in `zone`."""
    told = {"sender": message.sender, "receiver": message.receiver, **message.metadata()}
    if message.reply_by is not None:
        told["reply-by"] = _moment(message.reply_by, zone)
    return (
        Field("sent", _moment(at, zone), "at"),
        *(Field(name, visible(value), name) for name, value in told.items()),
    )


def source(message: AclMessage) -> str:
    """Where an exchange is specified: "6.1.2 Market bid: D5.1 Table 9"; of a plain act that it has none."""
    known = EXCHANGES.get(message.exchange) if isinstance(message.exchange, str) else None
    if known is None:
        return f"A plain {message.performative} of {message.protocol}: it carries no exchange of D5.1."
    return f"{known.id} {known.name}: {known.source}."


def as_json(message: AclMessage) -> str:
    """The content as JSON, to be read and copied."""
    return json.dumps(dict(message.content), ensure_ascii=False, indent=2)


def _is_parts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _value(value: Any, unit: str, zone: tzinfo) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return quantity(value, unit)
        case str():
            if (moment := _read_moment(value)) is not None:
                return _moment(moment, zone)
            return quantity(value, unit) if unit else visible(value[:_MOST_TEXT])
        case Mapping():
            return ", ".join(_named(name, each, zone) for name, each in list(value.items())[:_MOST_VALUES])
        case list():
            return _several(value, unit, zone)
    return visible(str(value)[:_MOST_TEXT])


def _named(name: str, value: Any, zone: tzinfo) -> str:
    words, unit = label(str(name))
    return f"{words} {_value(value, unit, zone)}"


def _several(values: Sequence[Any], unit: str, zone: tzinfo) -> str:
    if not values:
        return "none"
    told = ", ".join(_value(each, "", zone) for each in values[:_MOST_VALUES])
    more = f" and {len(values) - _MOST_VALUES} more" if len(values) > _MOST_VALUES else ""
    return f"{told} {unit}".strip() + more


def _read_moment(text: str) -> datetime | None:
    if len(text) < len("2026-01-01T00:00") or text[10:11] != "T":
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _moment(at: datetime, zone: tzinfo) -> str:
    try:
        local = at.astimezone(zone)
    except OverflowError:
        return at.isoformat()
    seconds = f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"
    return f"{local.day} {local:%b %Y} {seconds}"
