"""Finding out what a SunSpec device is: where its models lie, its scale factors, its ratings.

The models are taken where the device has them (1 comes first, the others in any order). SunSpec calls scale factors
and ratings static, so they are read once for each connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from environment.sunspec import BASE, END, MARKER, MODELS, Key, Point

MOST_REGISTERS = 125  # of one read request (Modbus application protocol 1.1b3, 6.3)

Read = Callable[[int, int], Awaitable[Sequence[int]]]
"""(address, count) -> registers."""


class NotSunSpecError(Exception):
    """The device is not what it should be; the message says in which respect."""


Place: TypeAlias = tuple[Key, Point, int, int, float]
"""A point, its first and its last register (exclusive) in an answer, and its scale."""


@dataclass(frozen=True, slots=True)
class Request:
    """A read request, and where the points lie in its answer."""

    address: int
    count: int
    places: tuple[Place, ...]

    def take(self, registers: Sequence[int], values: dict[Key, float | None]) -> None:
        """Puts the points' values, in their units, among `values`: None for one that is not implemented."""
        for key, point, first, last, scale in self.places:
            raw = point.decode(registers[first:last])
            values[key] = None if raw is None else raw * scale


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """What one device was found to be: `models` by their first address, `scales` by point, and every raw value."""

    models: Mapping[int, int]
    scales: Mapping[Key, int]
    raws: Mapping[Key, int | None]

    def address(self, key: Key) -> int:
        """The register at which a point begins."""
        return self.models[key[0]] + MODELS[key[0]].points[key[1]].offset

    def scale(self, key: Key) -> float:
        """What a raw value of the point is to be multiplied by."""
        name = MODELS[key[0]].points[key[1]].scale
        return 1.0 if name is None else 10.0 ** self.scales.get((key[0], name), 0)

    def rating(self, name: str) -> float:
        """A rating of model 702 in its unit (W, V). Raises NotSunSpecError where the device has none."""
        raw = self.raws.get((702, name))
        if raw is None:
            raise NotSunSpecError(f"reports no rating {name} (model 702)")
        return raw * self.scale((702, name))

    def as_found(self, key: Key) -> list[int]:
        """The point's registers as they were found."""
        return MODELS[key[0]].points[key[1]].encode(self.raws.get(key))

    def requests(self, keys: Sequence[Key]) -> tuple[Request, ...]:
        """The fewest requests that cover the points."""
        groups: list[list[Key]] = []
        for key in sorted(keys, key=self.address):
            last = self.address(key) + MODELS[key[0]].points[key[1]].size
            if groups and last - self.address(groups[-1][0]) <= MOST_REGISTERS:
                groups[-1].append(key)
            else:
                groups.append([key])
        return tuple(self._request(group) for group in groups)

    def _request(self, keys: Sequence[Key]) -> Request:
        """One for all these points, which are in the order of their addresses."""
        origin, places = self.address(keys[0]), list[Place]()
        for key in keys:
            point, first = MODELS[key[0]].points[key[1]], self.address(key) - origin
            places.append((key, point, first, first + point.size, self.scale(key)))
        return Request(origin, places[-1][3], tuple(places))


async def discover(read: Read, *, needed: Sequence[int], known: Sequence[int]) -> DeviceMap:
    """Walks the device's models, and reads those of `known` that it has. Raises NotSunSpecError, also where one of
    `needed` is missing.
    """
    if tuple(await read(BASE, len(MARKER))) != MARKER:
        raise NotSunSpecError(f"is no SunSpec device (no 'SunS' at register {BASE})")
    models: dict[int, int] = {}
    lengths: dict[int, int] = {}
    address = BASE + len(MARKER)
    while True:
        model_id, length = await read(address, 2)
        if model_id == END[0]:
            break
        models.setdefault(model_id, address)
        lengths.setdefault(model_id, length)
        address += length + 2
        if address > 0xFFFF - 2:
            raise NotSunSpecError("has a list of SunSpec models without an end")
    if missing := [str(model_id) for model_id in needed if model_id not in models]:
        raise NotSunSpecError(f"has no SunSpec model {', '.join(missing)}")
    scales: dict[Key, int] = {}
    raws: dict[Key, int | None] = {}
    for model_id in (one for one in known if one in models):
        registers: list[int] = []
        # A device may store fewer control sets than our table of model 711 has, or more.
        size = min(MODELS[model_id].size, lengths[model_id] + 2)
        while len(registers) < size:
            count = min(MOST_REGISTERS, size - len(registers))
            registers += await read(models[model_id] + len(registers), count)
        for point in MODELS[model_id].points.values():
            if point.kind != "str" and point.offset + point.size <= size:
                raw = point.decode(registers[point.offset : point.offset + point.size])
                raws[model_id, point.name] = raw
                if point.kind == "sf" and raw is not None:
                    scales[model_id, point.name] = raw
    return DeviceMap(models, scales, raws)
