"""The feeder as a drawing: the substation at the left, a line to each bus, the stations at their buses."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from environment.report.public_material import PublicMaterial
from environment.report.public_run import named
from environment.report.svg import NARROW, WIDE, Canvas, text
from environment.report.words import number

_ROW = 22.0
_DOT = 5.0


@dataclass(frozen=True, slots=True)
class Branch:
    """A line and the bus that it leads to; `depth` lines are between it and the substation's."""

    line: str
    bus: str
    parent: str | None
    depth: int


def branches(material: PublicMaterial) -> tuple[Branch, ...]:
    """The lines as a tree, from the substation outwards, each after the one that feeds it. Empty where the summary does
    not say what is behind each line."""
    behind = {
        line: frozenset(material.noted.get("lines", {}).get(line, {}).get("buses", ())) for line in material.lines
    }
    fed = {line: buses for line, buses in behind.items() if buses}
    parent: dict[str, str | None] = {}
    for line, buses in fed.items():
        around = [other for other, more in fed.items() if buses < more]
        parent[line] = min(around, key=lambda other: len(fed[other]), default=None)
    found: list[Branch] = []

    def walk(line: str, depth: int) -> None:
        children = [other for other in fed if parent[other] == line]
        own = fed[line] - frozenset[str]().union(*(fed[child] for child in children))
        found.append(Branch(line, ", ".join(sorted(own)), parent[line], depth))
        # The longest path last, so that it goes on downwards from its bus.
        for child in sorted(children, key=lambda other: len(fed[other])):
            walk(child, depth + 1)

    for line in (line for line in fed if parent[line] is None):
        walk(line, 0)
    return tuple(found)


def draw(material: PublicMaterial) -> Markup:
    """The drawing in both widths; empty where the tree is not known."""
    tree = branches(material)
    if not tree:
        return Markup()
    return Markup("\n").join(_drawing(material, tree, canvas) for canvas in (WIDE, NARROW))


def _drawing(material: PublicMaterial, tree: tuple[Branch, ...], canvas: Canvas) -> Markup:
    step = 18.0 if canvas.narrow else 46.0
    row, font = (_ROW + 2, canvas.font) if canvas.narrow else (_ROW + 4, canvas.font)
    contracts = _contracts(material)
    heights: dict[str, float] = {}
    places: dict[str, tuple[float, float]] = {}
    y = 20.0
    parts = [
        f'<rect x="2" y="6" width="{8:g}" height="28" class="node"/>',
        '<text x="16" y="16" class="note">substation</text>',
    ]
    y = 44.0
    for branch in tree:
        stations = [each for each in material.stations if material.bus_of(each) in branch.bus.split(", ")]
        x = 24.0 + branch.depth * step
        px, py = places[branch.parent] if branch.parent is not None else (6.0, 34.0)
        places[branch.line] = (x, y)
        heavy = " worst" if branch.line == material.worst else ""
        parts.append(f'<path d="M{px:g} {py:g}V{y:g}H{x:g}" class="wire{heavy}"/>')
        parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{_DOT:g}" class="bus"/>')
        load = material.loading(material.base, branch.line).max()
        words = branch.bus + ("" if canvas.narrow else f", {named(branch.line)} up to {number(load)} %")
        parts.append(f'<text x="{x + 10:g}" y="{y + 4:g}"><tspan class="act">{text(words)}</tspan></text>')
        heights[branch.line] = y
        for station in stations:
            y += row - 3
            mark = contracts.get(station)
            told = f"{station}: capped at {number(mark[0])} kW" if mark else station
            if mark and not canvas.narrow:
                told += f" for {number(mark[1], 2)} EUR"
            kind = "bought" if mark else "free"
            parts.append(
                f'<rect x="{x + 10:g}" y="{y - 6:g}" width="11" height="11" rx="2" class="{kind}"/>'
                f'<text x="{x + 27:g}" y="{y + 4:g}">{text(told)}</text>'
            )
        y += row
    alt = "The feeder. " + "; ".join(
        f"{station} at {material.bus_of(station)}" + (f", capped at {number(contracts[station][0])} kW"
        if station in contracts else "") for station in material.stations
    )  # fmt: skip
    return Markup(
        f'<svg class="{canvas.name} feeder" viewBox="0 0 {canvas.width:g} {y:.0f}" role="img" '
        f'aria-label="{text(alt)}" font-size="{font:g}">{"".join(parts)}</svg>'
    )


def _contracts(material: PublicMaterial) -> dict[str, tuple[float, float]]:
    """The limit and the price of each station's contract."""
    auction = material.auction
    lots = () if auction is None else auction.lots
    return {
        lot.call.station_id: (lot.limit_kw, lot.price_eur)
        for lot in lots
        if lot.contract_id is not None and lot.limit_kw is not None and lot.price_eur is not None
    }
