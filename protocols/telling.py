"""Messages in words for people: one line for each, made from the names of the fields and their units.

No exchange has a table of its own. A field's unit stands at the end of its name (`power_kw`), which also says what kind
of thing it is; who, what, power, price, money, energy, period and reason come first, in this order. Ids that only link
one message to another are told where there is nothing else to tell. Whatever a stranger wrote, a line is one line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from itertools import islice
from typing import Any

from protocols.acl import AclMessage
from protocols.dialogues import EXCHANGES

USE_CASES: Mapping[str, str] = {
    "buc1": "Market participation",
    "buc2": "RES curtailment management",
    "buc3": "DR services for grid congestion management",
    "buc4": "Voltage constraints management and network prices",
    "buc5": "Dynamic V2X capacity contracts",
    "buc6": "DSO flexibility services",
    "buc7": "Frequency control services",
    "platform": "Directory and grid sensors",
}
"""The business use cases by the name under which they are watched, with the titles of D5.1 (3.1 to 3.7)."""
PLATFORM = "platform"

ENDED = "The run has ended"
"""How the last line to every watcher begins."""
NOT_ADMITTED = "You are not admitted"
"""How the only line to anybody else begins."""

MAX_LINE = 300
MAX_CONVERSATIONS = 100_000
_MOST_FIELDS = 60
_MOST_PARTS = 2_000
_MOST_NAME = 60


class _Kind(IntEnum):
    """What a field tells; the lower, the sooner it is said."""

    WHO = 0
    WHAT = 1
    POWER = 2
    PRICE = 3
    MONEY = 4
    ENERGY = 5
    PERIOD = 6
    REASON = 7
    OTHER = 8
    SERIES = 9
    PLACE = 10
    LINK = 11


_UNITS: tuple[tuple[str, str, _Kind], ...] = (
    ("_eur_per_kwh", "EUR/kWh", _Kind.PRICE),
    ("_eur_per_kw", "EUR/kW", _Kind.PRICE),
    ("_eur", "EUR", _Kind.MONEY),
    ("_kwh", "kWh", _Kind.ENERGY),
    ("_kvar", "kvar", _Kind.OTHER),
    ("_kw", "kW", _Kind.POWER),
    ("_percent", "%", _Kind.OTHER),
    ("_minutes", "min", _Kind.OTHER),
    ("_seconds", "s", _Kind.OTHER),
    ("_hz", "Hz", _Kind.OTHER),
    ("_km", "km", _Kind.OTHER),
    ("_deg", "deg", _Kind.PLACE),
    ("_v", "V", _Kind.OTHER),
    ("_s", "s", _Kind.OTHER),
)
"""The endings of names, the longer ones first."""
_SPANS = (("start", "end"), ("from", "until"))
_BARE_WORDS = {"service", "product", "status", "signal", "kind", "state", "test", "item", "quantity"}
"""Fields whose value says by itself what it is."""
_WHAT = _BARE_WORDS | {"baseline", "pricing", "control", "role", "data_type", "accepted"}
_PLACES = {"location", "locations", "bus", "buses", "feeder", "congestion_point", "source"}
_NAMED_THINGS = {"station_id", "charger_id", "vehicle_id", "resource_id", "portfolio_id"}
"""Ids that a person knows a thing by."""
_REASONS = {"reason", "reasons", "faults", "failed", "refused", "elements"}
_LINKS = {"reference", "renews", "code", "clause", "jid"}
_SAID_ELSEWHERE = {"exchange", "timestamp"}
_PARTS = {"at": "buses", "curve": "points", "sheet": "findings", "signal": "pieces", "series": "meters"}
"""What the members of a list are called whose name is no plural."""
_SUMS = {"power_kw", "increase_kw", "capacity_kw", "energy_kwh", "amount_eur"}
"""Fields whose values add up over a list."""
_NO_SUMS = {"choices", "options", "activations", "lines"}
"""Lists of alternatives, or of what counts the same thing twice."""
_WORDS = {"soc": "state of charge", "p": "P", "q": "Q", "u": "U", "f": "f", "ev": "EV", "eur": "price"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DECIMAL = re.compile(r"-?\d{1,12}(\.\d{1,6})?", re.ASCII)


def use_case(exchange: str | None) -> str:
    """The use case of an exchange: "buc1" to "buc7", or "platform" for its services and for what has no exchange."""
    if not isinstance(exchange, str) or exchange not in EXCHANGES or not exchange[0].isdigit():
        return PLATFORM
    return f"buc{exchange[0]}"


class UseCases:
    """The use cases of conversations: a plain act belongs to what its conversation is about, its opening's use case."""

    def __init__(self) -> None:
        self._openings: dict[str, str | None] = {}

    def of(self, message: AclMessage) -> str:
        """The use case of the message's conversation; messages are given in the order of their sending."""
        return use_case(self.exchange_of(message))

    def exchange_of(self, message: AclMessage) -> str | None:
        """The exchange that opened the message's conversation, None where a plain act did."""
        known = self._openings.get(message.conversation_id, "")
        if known != "":
            return known
        if len(self._openings) >= MAX_CONVERSATIONS:
            del self._openings[next(iter(self._openings))]
        exchange = message.exchange if isinstance(message.exchange, str) else None
        self._openings[message.conversation_id] = exchange
        return exchange


def line(message: AclMessage, at: datetime, *, exchange: str | None = None) -> str:
    """One line: when (in the zone of `at`), who to whom, the act, the exchange, and what it says.

    `exchange` is that of the conversation's opening, which a plain act is about.
    """
    own = isinstance(message.exchange, str)
    about = named(message.exchange if own else exchange)
    head = f"{at:%H:%M:%S} {ends(message)}: {message.performative}"
    if about:
        head += f" {about}" if own else f" ({about})"
    words = says(message, at)
    return _cut(f"{head}: {words}" if words else head)


def named(exchange: str | None) -> str:
    """An exchange's id with its name: "6.1.2 Market bid"; "" for none."""
    if not isinstance(exchange, str):
        return ""
    known = EXCHANGES.get(exchange)
    return f"{known.id} {known.name}" if known else visible(exchange[:_MOST_NAME])


def ends(message: AclMessage) -> str:
    """Who speaks to whom, without the domain where both have the same: "vpp-1 -> dso"."""
    source, _, home = message.sender.partition("@")
    target, _, other = message.receiver.partition("@")
    if home != other:
        source, target = message.sender, message.receiver
    return f"{_cut(visible(source), _MOST_NAME)} -> {_cut(visible(target), _MOST_NAME)}"


def says(message: AclMessage, at: datetime | None = None) -> str:
    """What the content says: "power 12 kW, price 0.30 EUR/kW, 17:00 to 17:15"; "" where it says nothing.

    Times are told in the zone of `at`, where it is given, with the date where that is another day.
    """
    told = sorted(_told(message, at), key=lambda pair: pair[0])
    said = [words for kind, words in told if kind is not _Kind.LINK] or [words for _, words in told[:1]]
    return _cut(", ".join(said))


def label(name: str) -> tuple[str, str]:
    """The words and the unit of a field's name: "price" and "EUR/kW" for `price_eur_per_kw`; "" where it has none."""
    words, unit, _ = _name(name)
    return words, unit


def quantity(value: float | Decimal | str, unit: str) -> str:
    """A number, or an exact decimal's text, with as many places as a person reads, and its unit."""
    return _quantity(value, unit)


def visible(text: str) -> str:
    """The text on one line, with a question mark for every character that a screen does not show."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " if c in "\t\n\r\u00a0\u2009\u202f" else "?" for c in text)


# --- a content's fields


def _told(message: AclMessage, at: datetime | None) -> Iterator[tuple[_Kind, str]]:
    members = islice(message.content.items(), _MOST_FIELDS)
    fields = {name: value for name, value in members if name not in _SAID_ELSEWHERE}
    yield from ((_Kind.PERIOD, words) for words in _periods(fields, at))
    if isinstance(fields.get("unit"), str) and _amount(fields.get("value")) is not None:
        yield _Kind.POWER, f"{_number(fields.pop('value'))} {visible(fields.pop('unit')[:_MOST_NAME])}"
    for name, value in fields.items():
        if value is None or value == [] or value in (message.sender, message.receiver):
            continue
        kind, words = _field(name, value, at, fields)
        if words:
            yield kind, words


def _periods(fields: dict[str, Any], at: datetime | None) -> Iterator[str]:
    """Takes beginning and end out of the fields and tells both in one."""
    for name in [name for name in fields if isinstance(name, str)]:
        for first, last in _SPANS:
            prefix = name.removesuffix(first)
            if name.endswith(first) and prefix.endswith("_" if prefix else "") and prefix + last in fields:
                start, end = (_moment(fields.get(each), at) for each in (name, prefix + last))
                if start and end:
                    del fields[name], fields[prefix + last]
                    yield f"{_words(prefix)} {_span(start, end, at)}".strip()
                    break
    if start := _moment(fields.get("start"), at):
        del fields["start"]
        length = fields.pop("duration_minutes", None)
        yield f"from {_clock(start, at)}" + (f" for {_number(length)} min" if isinstance(length, int | float) else "")


def _field(name: str, value: Any, at: datetime | None, beside: Mapping[str, Any]) -> tuple[_Kind, str]:
    words, unit, kind = _name(name)
    match value:
        case bool():
            return _Kind.WHAT, words if value else f"not {words}"
        case int() | float() | Decimal():
            if unit in ("kvar", "s") and not value:
                return kind, ""
            return kind, f"{words} {_quantity(value, unit)}".strip()
        case str():
            return kind, _text(name, words, unit, value, at)
        case list() | tuple():
            return _list(name, words, unit, value, kind, beside)
        case Mapping():
            return _Kind.OTHER, f"{words} with {len(value)} members"
    return _Kind.OTHER, f"{words} {visible(str(value)[:MAX_LINE])}"


def _name(name: str) -> tuple[str, str, _Kind]:
    """The words of a field's name, its unit, and its kind."""
    for ending, unit, kind in _UNITS:
        if name.endswith(ending):
            return _words(name.removesuffix(ending)), unit, kind
    if name in _REASONS:
        return _words(name), "", _Kind.REASON
    if name in _WHAT:
        return _words(name), "", _Kind.WHAT
    if name in _PLACES:
        return _words(name), "", _Kind.PLACE
    if name in _NAMED_THINGS:
        return _words(name.removesuffix("_id")), "", _Kind.WHAT
    if name in _LINKS or name.endswith("_id"):
        return _words(name.removesuffix("_id")), "", _Kind.LINK
    return _words(name), "", _Kind.OTHER


def _words(name: str) -> str:
    return " ".join(_WORDS.get(word, word) for word in visible(name[:_MOST_NAME]).split("_") if word)


def _text(name: str, words: str, unit: str, value: str, at: datetime | None) -> str:
    if name in _REASONS or name in _BARE_WORDS:
        return visible(value[:MAX_LINE])
    if unit:
        return f"{words} {_quantity(value, unit)}".strip()
    if moment := _moment(value, at):
        return f"{words} {_clock(moment, at)}"
    if name in _LINKS or (name.endswith("_id") and name not in _NAMED_THINGS):
        return visible(value[:_MOST_NAME]) if value.startswith(words) else f"{words} {visible(value[:_MOST_NAME])}"
    if name.endswith("_id") or "@" not in value:
        return f"{words} {visible(value[:_MOST_NAME])}"
    return f"{words} {visible(value.partition('@')[0][:_MOST_NAME])}"


# --- lists


def _list(
    name: str, words: str, unit: str, values: Sequence[Any], kind: _Kind, beside: Mapping[str, Any]
) -> tuple[_Kind, str]:
    some = values[:_MOST_PARTS]
    if all(isinstance(each, Mapping) for each in some):
        return _Kind.POWER, ", ".join(_parts(name, values, some, beside))
    if unit and all(isinstance(each, int | float) and not isinstance(each, bool) for each in some):
        many = "" if len(values) == 1 else f" ({len(values)} values)"
        return _Kind.SERIES, _series(words, unit, some) + many
    if all(isinstance(each, str) for each in some):
        if kind is _Kind.REASON:
            more = f" and {len(values) - 3} more" if len(values) > 3 else ""
            return kind, "; ".join(visible(each[:MAX_LINE]) for each in values[:3]) + more
        if len(values) <= 3:
            return kind, f"{words} " + " and ".join(visible(each[:_MOST_NAME]) for each in values)
    return kind, _count(name, len(values))


def _parts(name: str, values: Sequence[Any], some: Sequence[Any], beside: Mapping[str, Any]) -> Iterator[str]:
    """How many there are, what they come to, and between which bounds their prices and limits lie."""
    yield _count(name, len(values))
    if len(values) > len(some):
        return
    summed = False
    for field in [field for field in some[0] if isinstance(field, str)][:_MOST_FIELDS]:
        column = [value for each in some if (value := _amount(each.get(field))) is not None]
        words, unit, kind = _name(field)
        if len(column) < len(some):
            if all(isinstance(each.get(field), bool) for each in some):
                yield f"{sum(each[field] for each in some)} {words}"
            elif not summed and (inner := _inner(some, field)):
                if all(isinstance(one, Mapping) for one in inner):
                    yield _count(field, len(inner))
                elif unit and all(_amount(one) is not None and not isinstance(one, str) for one in inner):
                    yield _series(words, unit, inner)
        elif field in _SUMS and name not in _NO_SUMS:
            if field not in beside and not summed and any(column):
                summed = True
                yield f"{_number(math.fsum(column))} {unit}" + (" in all" if len(some) > 1 else "")
        elif kind is _Kind.PRICE or words in ("price", "limit") or (field == "power_kw" and name in _NO_SUMS):
            low, high = (_quantity(end(some, key=lambda each: float(each[field]))[field], "") for end in (min, max))
            yield f"{words} {low if low == high else f'{low} to {high}'} {unit}"


def _inner(some: Sequence[Any], field: str) -> list[Any]:
    """The members of the lists that the parts have under this name, where they are not too many."""
    lists = [each[field] for each in some if isinstance(each.get(field), list)]
    return [one for inner in lists for one in inner] if sum(map(len, lists)) <= _MOST_PARTS else []


def _series(words: str, unit: str, values: Sequence[float]) -> str:
    low, high = _number(min(values)), _number(max(values))
    return f"{words} {low if low == high else f'{low} to {high}'} {unit}"


def _count(name: str, many: int) -> str:
    noun = _PARTS.get(name) or _words(name.removesuffix("_ids") + "s" if name.endswith("_ids") else name)
    if many == 1:
        noun = _singular(noun)
    return f"{many} {noun}" if noun.endswith("s") or many == 1 else f"{noun} of {many}"


def _singular(noun: str) -> str:
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith("buses") else noun.removesuffix("s")


# --- numbers and times


def _amount(value: Any) -> float | None:
    """A number, or an exact decimal's text; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    if isinstance(value, int | float) and abs(value) < 1e15:
        return float(value)
    return None


def _quantity(value: Any, unit: str) -> str:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            return f"{visible(value[:_MOST_NAME])} {unit}".strip()
        whole, _, places = value.partition(".")
        value = f"{whole}.{places.rstrip('0'):0<2}" if places else whole
        return f"{value} {unit}".strip()
    return f"{_number(value)} {unit}".strip()


def _number(value: float) -> str:
    """With as many places as a person reads: 1234, 123.4, 12.34, 0.123."""
    if isinstance(value, int) and abs(value) < 10**15:
        return str(value)
    try:
        size = abs(float(value))
    except OverflowError:
        return "a huge number"
    if not math.isfinite(size) or size >= 1e15:
        return f"{float(value):.3g}"
    if 0 < size < 0.0005:
        return f"{value:.2g}"
    text = f"{value:.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 1 else 3}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _moment(value: Any, at: datetime | None) -> datetime | None:
    """The time that a text is, in the zone of `at`; None where it is none."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(at.tzinfo) if at is not None else found
    except (ValueError, OverflowError):
        return None


def _span(start: datetime, end: datetime, at: datetime | None) -> str:
    midnights = not (start.hour or start.minute or end.hour or end.minute) and start.date() != end.date()
    if midnights:
        return f"{start.day} {start:%b} to {end.day} {end:%b}"
    if at is None and start.date() != end.date():
        return f"{start.day} {start:%b} {start:%H:%M} to {end.day} {end:%b} {end:%H:%M}"
    return f"{_clock(start, at)} to {_clock(end, start)}"


def _clock(moment: datetime, at: datetime | None) -> str:
    """The time of day, to the second where it is not a whole minute, with the date on another day than that of `at`."""
    clock = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    return clock if at is None or at.date() == moment.date() else f"{moment.day} {moment:%b} {clock}"


def _cut(text: str, most: int = MAX_LINE) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
