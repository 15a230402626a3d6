"""The form of a DSO's signal in the JSON of EV4EU's own platform, and everything that can be wrong with one.

See environment/ov2xmp.py for where the form comes from and for what its members mean here.
"""

from __future__ import annotations

import difflib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from protocols.units import PRICE_PLACES

TARIFF: Final = "event_DUoSTarrif"
"""Of `uuName`, as the platform spells it: 4.2.1."""
LIMIT: Final = "event_CapacityLimit"
"""Of `uuName`: 5.2.1."""
LONGEST: Final = {"locationName": 30, "transformerID": 255}
"""Characters."""
LARGEST: Final = 2**31 - 1
"""Of its integers."""
_MEMBERS: Final = (
    "id",
    "uuId",
    "uuName",
    "event_timestamp",
    "locationCoords",
    "locationName",
    "transformerID",
    "duration",
    "period",
)
_OPTIONAL: Final = ("sync",)
_SLOT: Final = ("timeslot_start", "timeslot_end", "value")
_FROM_2000: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_QUARTER_S: Final = 900
_LARGEST_VALUE: Final = 10**9


class SignalError(ValueError):
    """Signals that cannot be read or written: a line for each fault."""


def parsed(text: str) -> list[tuple[str, Any]]:
    """The objects of a text that is one or a list of them, each with what a line about a fault of it begins with.

    Raises SignalError for a text that is no JSON.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, count in Counter(name for name, _ in pairs).items():
            if count > 1:
                raise SignalError(f"the member {name!r} is given {count} times in one object")
        return dict(pairs)

    def no_number(name: str) -> None:
        raise SignalError(f"{name} is no number of JSON")

    try:
        whole = json.loads(text, parse_float=Decimal, parse_constant=no_number, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise SignalError(
            f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        ) from None
    except (RecursionError, ValueError) as error:
        if isinstance(error, SignalError):
            raise
        raise SignalError(f"cannot be read as JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(whole, list):
        return [("", whole)]
    return [(f"signal {number}: ", one) for number, one in enumerate(whole, start=1)]


def faults(one: Any) -> Iterator[str]:
    """What is wrong with an object by itself."""
    if not isinstance(one, dict):
        yield f"is {shown(one)}, not an object"
        return
    yield from _members(one, _MEMBERS, _OPTIONAL)
    checks: dict[str, Callable[[Any], str | None]] = {
        "id": _whole,
        "uuId": _uuid,
        "uuName": lambda value: None if value in (TARIFF, LIMIT) else f"is {shown(value)}, not {TARIFF} or {LIMIT}",
        "event_timestamp": _time,
        "locationCoords": _coordinates,
        "locationName": lambda value: _text(value, LONGEST["locationName"]),
        "transformerID": lambda value: _text(value, LONGEST["transformerID"]),
        "duration": _whole,
        "sync": lambda value: None if isinstance(value, bool) else f"is {shown(value)}, not true or false",
    }
    wrong = {name: fault for name, check in checks.items() if name in one and (fault := check(one[name])) is not None}
    yield from (f"{name}: {fault}" for name, fault in wrong.items())
    slots = list(_slot_faults(one.get("period"), str(one.get("uuName")))) if "period" in one else []
    yield from slots
    if not slots and "period" in one and "duration" in one and "duration" not in wrong:
        first, last = one["period"][0]["timeslot_start"], one["period"][-1]["timeslot_end"]
        if one["duration"] != last - first:
            yield f"duration: is {one['duration']} s, the time slots take {last - first}"


def _members(one: Mapping[str, Any], needed: Sequence[str], optional: Sequence[str] = ()) -> Iterator[str]:
    for name in one:
        if name not in (*needed, *optional):
            near = difflib.get_close_matches(name, needed, 1)
            yield f"{shown(name)}: is no member" + (f"; did you mean {near[0]}?" if near else "")
    yield from (f"{name}: is missing" for name in needed if name not in one)


def _slot_faults(period: Any, name: str) -> Iterator[str]:
    if not isinstance(period, list) or not period:
        yield f"period: is {shown(period)}, not a list of time slots"
        return
    sound = True
    for number, slot in enumerate(period, start=1):
        where = f"period, slot {number}"
        if not isinstance(slot, dict):
            yield f"{where}: is {shown(slot)}, not an object"
            return
        faults = list(_members(slot, _SLOT))
        for member in ("timeslot_start", "timeslot_end"):
            if member in slot and (fault := _time(slot[member]) or _on_quarter(slot[member])):
                faults.append(f"{member}: {fault}")
        if "value" in slot and (fault := _value(slot["value"], name)):
            faults.append(f"value: {fault}")
        if not faults and slot["timeslot_end"] <= slot["timeslot_start"]:
            faults.append("timeslot_end: is not after timeslot_start")
        yield from (f"{where}: {fault}" for fault in faults)
        sound = sound and not faults
    for number, (slot, following) in enumerate(pairwise(period) if sound else (), start=2):
        if following["timeslot_start"] < slot["timeslot_end"]:
            yield f"period, slot {number}: begins before the one before it has ended"


# ---- single values: what is wrong with one, None where nothing is -------------------------------------------------


def _whole(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        return f"is {shown(value)}, not a whole number from 0 to {LARGEST}"
    return None


def _time(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int) or not _FROM_2000 <= value <= LARGEST:
        return f"is {shown(value)}, not whole seconds since 1970, from the year 2000 to 2038"
    return None


def _on_quarter(value: int) -> str | None:
    if value % _QUARTER_S:
        return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC begins no quarter of an hour"
    return None


def _uuid(value: Any) -> str | None:
    try:
        UUID(value if isinstance(value, str) else "")
    except ValueError:
        return f"is {shown(value)}, not a UUID"
    return None


def _text(value: Any, longest: int) -> str | None:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        return f"is {shown(value)}, not a name"
    return f"has {len(value)} characters, more than {longest}" if len(value) > longest else None


def _coordinates(value: Any) -> str | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value):
        try:
            north, east = (float(each) for each in value)
        except ValueError:
            north = math.nan
            east = math.nan
        if abs(north) <= 90 and abs(east) <= 180:
            return None
    return f'is {shown(value)}, not degrees north and east such as ["37.89850", "23.88120"]'


def _value(value: Any, name: str) -> str | None:
    unit = "kW" if name == LIMIT else "EUR/kWh"
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= _LARGEST_VALUE:
        return f"is {shown(value)}, not a number of {unit} from 0"
    if name == TARIFF and Decimal(value) != round(Decimal(value), PRICE_PLACES):
        return f"is {value} EUR/kWh, which has more than {PRICE_PLACES} decimal places"
    return None


def shown(value: Any) -> str:
    """A value in a line: short, and every character visible."""
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
