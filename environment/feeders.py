"""The feeders of a network (what a fault at the transformer's outlets would part) and what each line feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

BUSBAR: Final = "busbar"
"""The feeder of the transformer's own bus, which all of them start from."""


def feeders_of(buses: Sequence[str], busbar: str, lines: Sequence[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """`feeder-1`, `feeder-2`, ... and `busbar`, each with its buses in the order of `buses`.

    A feeder is what still hangs together by `lines` (pairs of buses) without `busbar`; the one with the first of all
    buses is the first.
    """
    neighbours: dict[str, list[str]] = {bus: [] for bus in buses}
    for one, other in lines:
        neighbours[one].append(other)
        neighbours[other].append(one)
    found: dict[str, tuple[str, ...]] = {}
    seen = {busbar}
    for bus in buses:
        if bus in seen:
            continue
        seen.add(bus)
        reached, open_ends = {bus}, [bus]
        while open_ends:
            new = set(neighbours[open_ends.pop()]) - seen
            seen |= new
            reached |= new
            open_ends.extend(sorted(new))
        found[f"feeder-{len(found) + 1}"] = tuple(b for b in buses if b in reached)
    found[BUSBAR] = (busbar,)
    return MappingProxyType(found)


def sections_of(busbar: str, lines: Sequence[tuple[str, str, str]]) -> Mapping[str, tuple[str, ...]]:
    """The buses that are fed through each line, from the near end to the far ones, by the line's name.

    `lines`: name and both buses, in whichever direction; seen from `busbar` they are a tree. Raises ValueError for a
    line that closes a ring, or that nothing feeds.
    """
    ends = {name: (one, other) for name, one, other in lines}
    towards: dict[str, str] = {}
    order, seen = [busbar], {busbar}
    for bus in order:
        for name, pair in ends.items():
            if name in towards or bus not in pair:
                continue
            far = pair[1] if pair[0] == bus else pair[0]
            if far in seen:
                raise ValueError(f"line {name!r} closes a ring: what it feeds depends on the flow")
            towards[name] = far
            seen.add(far)
            order.append(far)
    if unfed := [name for name in ends if name not in towards]:
        raise ValueError(f"line {unfed[0]!r} is fed by nothing")
    found: dict[str, tuple[str, ...]] = {}
    near = {far: ends[name][0] if ends[name][1] == far else ends[name][1] for name, far in towards.items()}
    for name, far in towards.items():
        found[name] = tuple(bus for bus in order if far in _path(bus, near))
    return MappingProxyType({name: found[name] for name in ends})


def _path(bus: str, near: Mapping[str, str]) -> list[str]:
    """The buses from `bus` back to the busbar."""
    path = [bus]
    while path[-1] in near:
        path.append(near[path[-1]])
    return path
