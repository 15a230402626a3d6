"""The feeders of a low-voltage network: what a fault at the transformer's outlets would part from each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

BUSBAR: Final = "busbar"
"""The feeder of the transformer's own low-voltage bus, which all of them start from."""


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
