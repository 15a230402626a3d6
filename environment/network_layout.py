"""Where the buses of a network stand in a one-line diagram: to the right as far as the lines are long, in tidy rows.

x is the distance from the transformer along the lines. The way that reaches farthest from a bus goes straight on in its
row; the other ways turn off at the bus, up or down, and go on in the nearest rows that are free. Drawn with a right
angle at the bus where a line turns off, no two lines cross: what turns off farther out was given its row first, so
whatever turns off nearer passes before it. A line that closes a ring is no part of the tree and may cross others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, TypeAlias

_APART: Final = 0.02
"""Of the longest distance: so much is left free between two ways in one row."""
_LEAST_STEP: Final = 0.004
"""Of the longest distance: a line without length is still to be seen."""

Span: TypeAlias = tuple[float, float]
Rows: TypeAlias = dict[int, list[Span]]


@dataclass(frozen=True, slots=True)
class Spot:
    """A bus in the diagram: `x` in km, `y` in rows, the first row is 0; `distance_km` along the lines; `towards`: the
    bus that feeds it, None for the busbar and for a bus that no line reaches."""

    x: float
    y: int
    distance_km: float
    towards: str | None


def laid_out(busbar: str, buses: Sequence[str], lines: Sequence[tuple[str, str, float]]) -> Mapping[str, Spot]:
    """The place of each bus. `lines`: both ends and the length in km. Buses that no line reaches stand below all
    others, each in a row of its own. Raises KeyError for a line to a bus that is not in `buses`."""
    distance, towards = _shortest(busbar, buses, lines)
    longest = max(distance.values(), default=0.0) or 1.0
    x: dict[str, float] = {}
    children: dict[str, list[str]] = {bus: [] for bus in distance}
    for bus in distance:
        near = towards[bus]
        x[bus] = distance[bus] if near is None else max(distance[bus], x[near] + _LEAST_STEP * longest)
        if near is not None:
            children[near].append(bus)
    shifts, taken = _packed(list(distance), children, x, _APART * longest)
    rows = {busbar: 0}
    for bus in list(distance)[1:]:
        near = towards[bus]
        assert near is not None  # only the busbar is fed by nothing
        rows[bus] = rows[near] + shifts[bus]
    top = min(taken)
    spots = {bus: Spot(x[bus], rows[bus] - top, distance[bus], towards[bus]) for bus in distance}
    below = count(max(taken) - top + 1)
    spots.update({bus: Spot(0.0, next(below), 0.0, None) for bus in buses if bus not in spots})
    return spots


def _shortest(
    busbar: str, buses: Iterable[str], lines: Iterable[tuple[str, str, float]]
) -> tuple[dict[str, float], dict[str, str | None]]:
    """Distances from the busbar, nearest first, and the bus before each on the shortest way (Dijkstra)."""
    neighbours: dict[str, list[tuple[str, float]]] = {bus: [] for bus in buses}
    for one, other, km in lines:
        neighbours[one].append((other, km))
        neighbours[other].append((one, km))
    distance: dict[str, float] = {}
    towards: dict[str, str | None] = {}
    number = count()
    ahead: list[tuple[float, int, str, str | None]] = [(0.0, next(number), busbar, None)]
    while ahead:
        km, _, bus, near = heapq.heappop(ahead)
        if bus in distance:
            continue
        distance[bus], towards[bus] = km, near
        for far, length in neighbours[bus]:
            if far not in distance:
                heapq.heappush(ahead, (km + length, next(number), far, bus))
    return distance, towards


def _packed(
    order: Sequence[str], children: Mapping[str, Sequence[str]], x: Mapping[str, float], apart: float
) -> tuple[dict[str, int], Rows]:
    """How many rows below the bus before it each bus stands (above: < 0), and what the first bus' whole tree takes."""
    reach: dict[str, float] = {}
    shifts: dict[str, int] = {}
    taken: dict[str, Rows] = {}
    for bus in reversed(order):
        ways = sorted(children[bus], key=lambda child: -reach[child])
        reach[bus] = reach[ways[0]] if ways else x[bus]
        rows: Rows = taken.pop(ways[0]) if ways else {0: []}
        rows[0].append((x[bus], x[ways[0]] if ways else x[bus]))
        if ways:
            shifts[ways[0]] = 0
        for way in ways[1:]:
            branch = taken.pop(way)
            branch[0].append((x[bus], x[way]))
            shift = shifts[way] = _free(rows, branch, apart)
            for row, spans in branch.items():
                rows.setdefault(row + shift, []).extend(spans)
            for row in range(min(shift, 0), max(shift, 0) + 1):
                rows.setdefault(row, []).append((x[bus], x[bus]))
        taken[bus] = rows
    return shifts, taken[order[0]]


def _free(rows: Rows, branch: Rows, apart: float) -> int:
    """The nearest shift, down or up, at which the branch lies clear of the rows; of two alike the one to a row that is
    there already, then the one to the side on which there is less."""
    down_first = max(rows) <= -min(rows)
    for away in count(1):
        shifts = (away, -away) if down_first else (-away, away)
        for shift in sorted(shifts, key=lambda shift: shift not in rows):
            if not any(_touch(spans, rows.get(row + shift, ()), apart) for row, spans in branch.items()):
                return shift
    raise AssertionError("beyond the last row everything is free")


def _touch(ones: Sequence[Span], others: Sequence[Span], apart: float) -> bool:
    return any(a < d + apart and c < b + apart for a, b in ones for c, d in others)
