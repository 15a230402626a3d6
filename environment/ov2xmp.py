"""The DSO's signals (4.2.1, 5.2.1) in the JSON form of EV4EU's own platform, Open V2X MP.

Source: github.com/EV4EU/ov2xmp-django, dso_rest/models.py, serializers.py and classes.py (form), and the command
importer_dso.py (a file holds a list of signals). A signal is about one `transformerID`, by which the platform finds its
stations; one event at several has an object for each, with the same `uuId`. What the platform leaves open is read and
written so here:

- `event_timestamp`, `timeslot_start`, `timeslot_end`: whole seconds since 1970 (its columns are integers of 32 bits);
  `duration`: seconds from the first slot's start to the last one's end, as in OCPP.
- `value`: of `event_DUoSTarrif` the reduction of the network price in EUR/kWh, of `event_CapacityLimit` the limit in
  kW.
- `transformerID`: the bus; `locationName`: of a limit the station, else the bus; `locationCoords`: degrees north and
  east, of the station or of the middle of the bus's stations.

The form has no place for our ids: `uuId` is made of them, and names what was read. Nor has it one for the contract.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Protocol, TypeAlias
from uuid import NAMESPACE_URL, UUID, uuid5

from environment.ov2xmp_form import LARGEST, LIMIT, LONGEST, TARIFF, SignalError, faults, parsed, shown
from protocols.exchanges.capacity_contracts import CapacityLimit
from protocols.exchanges.network_prices import NetworkPriceReduction
from protocols.units import as_price

Signal: TypeAlias = NetworkPriceReduction | CapacityLimit

UNSTATED: Final = "unstated"
"""The contract of a limit that was read."""


class Place(Protocol):
    """What has to be known of a station."""

    @property
    def station_id(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def latitude_deg(self) -> float: ...
    @property
    def longitude_deg(self) -> float: ...


# ---- writing -------------------------------------------------------------------------------------------------------


def signals_of(content: Signal, stations: Sequence[Place]) -> list[dict[str, Any]]:
    """The objects that say this; none for a bus at which no station is. Parts of a second are lost.

    Raises SignalError for a limit of an unknown station, and for a name that the form has no room for.
    """
    if isinstance(content, CapacityLimit):
        station = next((each for each in stations if each.station_id == content.station_id), None)
        if station is None:
            raise SignalError(f"{content.activation_id}: there is no station {content.station_id!r}")
        return [_object(content, content.activation_id, station.location, content.station_id, [station])]
    there = {bus: [each for each in stations if each.location == bus] for bus in content.locations}
    return [_object(content, content.reduction_id, bus, bus, at_bus) for bus, at_bus in there.items() if at_bus]


def _object(content: Signal, name: str, bus: str, place: str, stations: Sequence[Place]) -> dict[str, Any]:
    for member, text in (("locationName", place), ("transformerID", bus)):
        if len(text) > LONGEST[member]:
            raise SignalError(f"{name}: {member} has room for {LONGEST[member]} characters, {text!r} has {len(text)}")
    start, end = int(content.start.timestamp()), int(content.end.timestamp())
    value = content.limit_kw if isinstance(content, CapacityLimit) else float(content.reduction_eur_per_kwh)
    event = uuid_of(content)
    return {
        "id": zlib.crc32(f"{event}/{place}".encode()) & LARGEST,
        "uuId": str(event),
        "uuName": LIMIT if isinstance(content, CapacityLimit) else TARIFF,
        "event_timestamp": int(content.timestamp.timestamp()),
        "locationCoords": [
            f"{fmean(each.latitude_deg for each in stations):.5f}",
            f"{fmean(each.longitude_deg for each in stations):.5f}",
        ],
        "locationName": place,
        "transformerID": bus,
        "duration": end - start,
        "period": [{"timeslot_start": start, "timeslot_end": end, "value": value}],
    }


def uuid_of(content: Signal) -> UUID:
    """The event's UUID: its id where that is one, else made of it, always the same."""
    name = content.activation_id if isinstance(content, CapacityLimit) else content.reduction_id
    try:
        return UUID(name)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"gridparley:{content.exchange}:{name}")


# ---- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Read:
    """One object without a fault; its slots of equal value that touch are one."""

    event: UUID
    said_at: datetime
    station_id: str | None
    bus: str
    slots: tuple[tuple[datetime, datetime, Decimal], ...]


def read_file(path: Path, stations: Sequence[Place], begins: datetime | None = None) -> list[Signal]:
    """`read_signals` of a file. Raises SignalError, each line of which names the file."""
    try:
        return read_signals(path.read_text(encoding="utf-8"), stations, begins)
    except OSError as error:
        raise SignalError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SignalError(f"{path}: is not UTF-8 at byte {error.start}") from None
    except SignalError as error:
        raise SignalError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def read_signals(text: str, stations: Sequence[Place], begins: datetime | None = None) -> list[Signal]:
    """What the DSO would say, by the time of the event: `text` is one object or a list of them.

    Objects of one event that lower the price alike are one 4.2.1. An id is that of the event, with a number where there
    is more than one. A tariff of which nothing is taken off (value 0) says nothing. What is over when the
    run `begins` is a fault. Raises SignalError with every fault.
    """
    objects = parsed(text)
    wrong: list[str] = []
    found: list[_Read] = []
    for where, one in objects:
        of_one = list(faults(one)) or [*_place_faults(one, stations), *_time_faults(one, begins)]
        wrong += [f"{where}{fault}" for fault in of_one]
        if not of_one:
            found.append(_read(one))
    ids = Counter(one["id"] for _, one in objects if isinstance(one, dict) and isinstance(one.get("id"), int))
    wrong += [f"id: {number} is given to {count} signals" for number, count in ids.items() if count > 1]
    if wrong:
        raise SignalError("\n".join(wrong))
    return sorted(_contents(found), key=lambda each: each.timestamp)


def _place_faults(one: Mapping[str, Any], stations: Sequence[Place]) -> Iterator[str]:
    bus, name = one["transformerID"], one["locationName"]
    buses = {each.station_id: each.location for each in stations}
    of_limit = one["uuName"] == LIMIT
    if of_limit and name not in buses:
        yield f"locationName: {shown(name)} is no station; there are {', '.join(sorted(buses))}"
    if bus not in buses.values():
        yield f"transformerID: no station is at {shown(bus)}; they are at {', '.join(sorted(set(buses.values())))}"
    elif of_limit and buses.get(name, bus) != bus:
        yield f"transformerID: is {shown(bus)}, and {name} is at {buses[name]}"


def _time_faults(one: Mapping[str, Any], begins: datetime | None) -> Iterator[str]:
    end = datetime.fromtimestamp(one["period"][-1]["timeslot_end"], UTC)
    if begins is not None and end <= begins:
        run = begins.astimezone(UTC)
        yield f"period: is over at {end:%Y-%m-%d %H:%M} UTC, and the run begins at {run:%Y-%m-%d %H:%M} UTC"


def _read(one: Mapping[str, Any]) -> _Read:
    slots: list[tuple[datetime, datetime, Decimal]] = []
    for slot in one["period"]:
        start, end = (datetime.fromtimestamp(slot[name], UTC) for name in ("timeslot_start", "timeslot_end"))
        value = Decimal(slot["value"])
        if slots and slots[-1][1:] == (start, value):
            slots[-1] = (slots[-1][0], end, value)
        else:
            slots.append((start, end, value))
    station_id = one["locationName"] if one["uuName"] == LIMIT else None
    said_at = datetime.fromtimestamp(one["event_timestamp"], UTC)
    return _Read(UUID(one["uuId"]), said_at, station_id, one["transformerID"], tuple(slots))


def _contents(found: Sequence[_Read]) -> Iterator[Signal]:
    """The contents of each event, in the order of the first object of each."""
    for event in dict.fromkeys(each.event for each in found):
        of_event = [each for each in found if each.event == event]
        cheaper: dict[tuple[datetime, datetime, datetime, Decimal], list[str]] = {}
        limits: list[tuple[_Read, datetime, datetime, Decimal]] = []
        for each in of_event:
            for start, end, value in each.slots:
                if each.station_id is not None:
                    limits.append((each, start, end, value))
                elif value:
                    cheaper.setdefault((each.said_at, start, end, value), []).append(each.bus)
        several = len(cheaper) + len(limits) > 1
        names = (f"{event}/{number}" if several else str(event) for number in range(1, len(cheaper) + len(limits) + 1))
        for (said_at, start, end, value), buses in cheaper.items():
            yield NetworkPriceReduction(
                reduction_id=next(names),
                timestamp=said_at,
                locations=tuple(dict.fromkeys(buses)),
                reduction_eur_per_kwh=as_price(value),
                start=start,
                end=end,
            )
        for each, start, end, value in limits:
            assert each.station_id is not None
            yield CapacityLimit(
                activation_id=next(names),
                contract_id=UNSTATED,
                timestamp=each.said_at,
                station_id=each.station_id,
                limit_kw=float(value),
                start=start,
                end=end,
            )
