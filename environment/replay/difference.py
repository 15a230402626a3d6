"""Where a replay is not as the record: which message or act, which field, what was expected and what came.

A number may be off by the tolerance of its unit, which is the end of its name; a price or an amount is exact unless a
tolerance is given for its unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from environment.acts import Act
from environment.replay.record import Tolerances
from protocols.acl import AclMessage
from protocols.trace import Entry

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Difference:
    """One of them. `where` is the file's line, "" for what is not in the record; `at` is scenario time."""

    where: str
    at: datetime
    what: str
    field: str = ""
    expected: str = ""
    got: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        text = f"{place}{self.at:%Y-%m-%d %H:%M:%S} {self.what}"
        return f"{text}: {self.field}: expected {self.expected}, got {self.got}" if self.field else text


def told(message: AclMessage) -> str:
    """Which message it is, in a few words."""
    carries = f" {message.exchange}" if message.exchange else ""
    names = (message.sender.partition("@")[0], message.receiver.partition("@")[0])
    return f"{names[0]} to {names[1]}, {message.performative}{carries} in {message.conversation_id}"


def done(act: Act) -> str:
    """Which act it is, in a few words."""
    return f"{act.who.partition('@')[0]}, {act.act} at {act.device}"


def of_message(entry: Entry, at: datetime, message: AclMessage, tolerances: Tolerances) -> Iterator[Difference]:
    """How a message that was sent at `at` differs from the recorded one with its ids."""
    recorded = entry.message
    where, what = f"trace line {entry.line}", told(recorded)

    def differs(field: str, expected: Any, got: Any) -> Difference:
        return Difference(where, at.astimezone(entry.at.tzinfo), what, field, _shown(expected), _shown(got))

    if abs(at - entry.at) > timedelta(seconds=tolerances.time_s):
        yield differs("time", _clock(entry.at), _clock(at.astimezone(entry.at.tzinfo)))
    if (recorded.performative, recorded.exchange) != (message.performative, message.exchange):
        yield differs("said", _in_short(recorded), _in_short(message))  # of another kind: its fields say nothing
        return
    for field in ("protocol", "in_reply_to", "reply_by", "language", "ontology"):
        expected, got = getattr(recorded, field), getattr(message, field)
        if expected != got:
            yield differs(field.replace("_", "-"), expected, got)
    for path, expected, got in _unlike("", recorded.content, message.content, tolerances):
        yield differs(path, expected, got)


def _in_short(message: AclMessage) -> str:
    """What kind of message it is, with the reason that it gives."""
    carries = f" {message.exchange}" if message.exchange else ""
    why = message.content.get("reason")
    return f"{message.performative}{carries}{f' ({why})' if isinstance(why, str) else ''}"


def of_act(recorded: Act, line: int, at: datetime, got: Act, tolerances: Tolerances) -> Iterator[Difference]:
    """How an act that was done at `at` differs from the recorded one that was next at its device."""
    where, what = f"acts line {line}", done(recorded)

    def differs(field: str, expected: Any, came: Any) -> Difference:
        return Difference(where, at.astimezone(recorded.at.tzinfo), what, field, _shown(expected), _shown(came))

    if abs(at - recorded.at) > timedelta(seconds=tolerances.time_s):
        yield differs("time", _clock(recorded.at), _clock(at.astimezone(recorded.at.tzinfo)))
    if recorded.act != got.act:
        yield differs("act", recorded.act, got.act)
        return
    for path, expected, came in _unlike("", recorded.members, got.members, tolerances):
        yield differs(path, expected, came)


def _unlike(path: str, expected: Any, got: Any, tolerances: Tolerances) -> Iterator[tuple[str, Any, Any]]:
    """The leaves that differ, with their paths."""
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        for name in dict.fromkeys((*expected, *got)):
            inner = f"{path}.{name}" if path else str(name)
            if name not in expected or name not in got:
                yield inner, expected.get(name, "nothing"), got.get(name, "nothing")
            else:
                yield from _unlike(inner, expected[name], got[name], tolerances)
    elif _is_list(expected) and _is_list(got):
        if len(expected) != len(got):
            yield path, f"{len(expected)} of them", f"{len(got)}"
            return
        for number, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _unlike(f"{path}[{number}]", one, other, tolerances)
    elif not _same(path, expected, got, tolerances):
        yield path, expected, got


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _same(path: str, expected: Any, got: Any, tolerances: Tolerances) -> bool:
    if expected == got and isinstance(expected, bool) == isinstance(got, bool):
        return True
    allowed = _allowed(path, tolerances)
    if _is_number(expected) and _is_number(got):
        return math.isclose(expected, got, rel_tol=tolerances.relative, abs_tol=allowed or tolerances.relative)
    if isinstance(expected, str) and isinstance(got, str) and allowed:
        one, other = _decimal(expected), _decimal(got)
        return one is not None and other is not None and abs(one - other) <= Decimal(str(allowed))
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _allowed(path: str, tolerances: Tolerances) -> float:
    """What the unit at the end of the field's name may be off: the longest unit that fits counts."""
    name = path.rpartition(".")[2].partition("[")[0]
    units = [unit for unit in tolerances.units if name == unit or name.endswith(f"_{unit}")]
    return tolerances.units[max(units, key=len)] if units else 0.0


def _clock(at: datetime) -> str:
    return f"{at:%H:%M:%S.%f}".rstrip("0").rstrip(".")


def _shown(value: Any) -> str:
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
