"""What the one-line diagram shows at a moment: each element at its place, in the series of its class, in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np

from environment.network_map import MapBus, NetworkMap
from environment.watched.network import Charging, Loading, Moment, NetworkNow, Voltage, charger_words, volts
from environment.watched.network_figures import Kind

Data: TypeAlias = dict[str, list[dict[str, Any]]]
"""What each series shows, by the series' id (`environment.page.network_chart`)."""

EACH_AT_MOST: Final = 12
"""So many chargers of one bus are drawn one by one; of more, each state once with how many there are."""
_LABELS = 12
"""So many buses beyond their limits are labelled, the worst."""
CELL_PX: Final = 12
"""What a charger takes of the diagram, both ways."""
WIDTH_PX: Final = 900
"""How wide the diagram is taken to be where chargers are set beside each other."""
_FIRST_PX = 17


def data(now: NetworkNow, chosen: tuple[Kind, str] | None = None) -> Data:
    """What every series shows at the moment; `chosen` is ringed. Empty as long as there is nothing to show."""
    if now.map is None or now.moment is None:
        return {}
    network, moment = now.map, now.moment
    found: Data = {"busbar": _busbars(network), "chosen": _ring(network, chosen), "beyond": []}
    _take(found, "line", Loading, moment.lines, _lines(network, moment, found["beyond"]))
    _take(found, "bus", Voltage, moment.voltages, _buses(network, moment))
    _take(found, "trafo", Loading, np.repeat(moment.transformers, 2), _transformers(network, moment))
    for state in Charging:
        found[f"charger-{state}"] = []
    for state, item in _chargers(network, moment):
        found[f"charger-{state}"].append(item)
    return found


def _take(found: Data, what: str, classes: Any, codes: Iterable[int], items: Iterable[dict[str, Any]]) -> None:
    """Puts each item into the series of its class."""
    for each in classes:
        found[f"{what}-{each}"] = []
    for code, item in zip(codes, items, strict=True):
        found[f"{what}-{code}"].append(item)


def _way(network: NetworkMap, one: MapBus, other: MapBus) -> list[list[float]]:
    """How a line is drawn: turning off at the bus that feeds the other one; straight where it closes a ring."""
    near, far = (one, other) if other.towards == one.name else (other, one)
    if far.towards != near.name:
        return [[one.x, one.y], [other.x, other.y]]
    return (
        [[near.x, near.y], [far.x, far.y]] if near.y == far.y else [[near.x, near.y], [near.x, far.y], [far.x, far.y]]
    )


def _lines(network: NetworkMap, moment: Moment, beyond: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    for line, percent, code in zip(network.lines, moment.line_percent, moment.lines, strict=True):
        one, other = network.bus[line.from_bus], network.bus[line.to_bus]
        way = _way(network, one, other)
        if code == Loading.BEYOND:
            (ax, ay), (bx, by) = way[-2:]
            beyond.append({"name": f"{percent:.0f} %", "value": [(ax + bx) / 2, (ay + by) / 2]})
        said = f"{line.name}\n" + (
            "loading not known" if np.isnan(percent) else f"{percent:.0f} % of the rated current"
        )
        yield {"name": line.name, "kind": Kind.LINE.value, "coords": way, "said": said}


def _buses(network: NetworkMap, moment: Moment) -> Iterable[dict[str, Any]]:
    away = np.abs(moment.vm_pu - 1.0)
    broken = np.flatnonzero((moment.voltages == Voltage.BELOW) | (moment.voltages == Voltage.ABOVE))
    labelled = set(broken[np.argsort(-away[broken])][:_LABELS].tolist())
    for index, (bus, value) in enumerate(zip(network.buses, moment.vm_pu, strict=True)):
        said = "voltage not known" if np.isnan(value) else f"{value:.3f} pu, {volts(bus, float(value))}"
        item: dict[str, Any] = {
            "name": bus.name,
            "kind": Kind.BUS.value,
            "value": [bus.x, bus.y],
            "said": f"{bus.name}\n{said}",
        }
        if moment.voltages[index] in (Voltage.LOW, Voltage.MIDDLE, Voltage.HIGH):
            limits = network.limits[bus.network]
            item["itemStyle"] = {"color": shade(float(value), limits.vm_min_pu, limits.vm_max_pu)}
        if index in labelled:
            item["label"] = {"show": True, "formatter": f"{value:.3f}"}
        yield item


def shade(vm_pu: float, low: float, high: float) -> str:
    """The colour of a voltage within its limits (pu): grey at the nominal one, the more coloured the nearer a limit."""
    share = (1 - vm_pu) / (1 - low) if vm_pu < 1 else (vm_pu - 1) / (high - 1)
    percent = 5 * round(20 * min(1.0, share) ** 0.7)
    return f"color-mix(in srgb, var({'--volt-low' if vm_pu < 1 else '--volt-high'}) {percent}%, var(--volt-middle))"


def _transformers(network: NetworkMap, moment: Moment) -> Iterable[dict[str, Any]]:
    """Two circles each, to the left of the busbar; the first one has the label."""
    for each, percent in zip(network.networks, moment.transformer_percent, strict=True):
        busbar = network.bus[each.busbar]
        words = "loading not known" if np.isnan(percent) else f"{percent:.0f} %"
        label = f"{each.name}\n{words}" if each.name else words
        for number, offset in enumerate((-17, -29)):
            item: dict[str, Any] = {
                "name": each.transformer, "kind": Kind.TRANSFORMER.value, "value": [busbar.x, busbar.y],
                "symbolOffset": [offset, 0], "said": f"{each.transformer}\n{words} of {each.transformer_kva:g} kVA",
            }  # fmt: skip
            if number == 1:
                item["label"] = {"show": True, "formatter": label}
            yield item


def _busbars(network: NetworkMap) -> list[dict[str, Any]]:
    """The bar at each transformer, as long as the feeders that begin there lie apart."""
    found = []
    for each in network.networks:
        bar = network.bus[each.busbar]
        rows = [bar.y, *(bus.y for bus in network.buses if bus.towards == each.busbar)]
        found.append({"name": each.busbar, "coords": [[bar.x, min(rows) - 0.12], [bar.x, max(rows) + 0.12]]})
    return found


def _chargers(network: NetworkMap, moment: Moment) -> Iterable[tuple[Charging, dict[str, Any]]]:
    number = {charger.id: index for index, charger in enumerate(network.chargers)}
    for name, (columns, below) in _blocks(network).items():
        here = [number[charger.id] for charger in network.chargers_at[name]]
        bus = network.bus[name]
        if len(here) > EACH_AT_MOST:
            yield from _together(moment, bus, here, below)
            continue
        for place, index in enumerate(here):
            state = Charging(int(moment.chargers[index]))
            in_row = min(columns, len(here) - place // columns * columns)
            words = charger_words(state, float(moment.power_kw[index]), float(moment.soc_percent[index]))
            charger = network.chargers[index].id
            yield (
                state,
                {
                    "name": charger,
                    "kind": Kind.CHARGER.value,
                    "value": [bus.x, bus.y],
                    "said": f"{charger}\n{words}",
                    "symbolOffset": [
                        CELL_PX * (place % columns - (in_row - 1) / 2),
                        below + CELL_PX * (place // columns),
                    ],
                },
            )


def _together(moment: Moment, bus: MapBus, here: list[int], below: int) -> Iterable[tuple[Charging, dict[str, Any]]]:
    """Many chargers of one bus: each state once, with how many there are."""
    codes = moment.chargers[here]
    states = [state for state in Charging if (codes == state).any()]
    for place, state in enumerate(states):
        which = np.array(here)[codes == state]
        kw = float(np.nansum(moment.power_kw[which]))
        said = f"{bus.name}\n{len(which)} {charger_words(state, kw, float('nan'))}"
        yield state, {
            "name": bus.name, "kind": Kind.BUS.value, "value": [bus.x, bus.y], "said": said,
            "symbolOffset": [-4, below + 14 * place], "label": {"show": True, "formatter": str(len(which))},
        }  # fmt: skip


def _blocks(network: NetworkMap) -> dict[str, tuple[int, int]]:
    """How many chargers stand side by side below each bus, and how far below it they begin, in pixels: at the least
    depth at which they do not cover those of a neighbour, as far as that is seen before somebody zooms."""
    cell = CELL_PX / WIDTH_PX * (max((bus.x for bus in network.buses), default=0) or 1.0)
    found: dict[str, tuple[int, int]] = {}
    taken: dict[float, list[tuple[float, float, int, int]]] = {}
    for bus in sorted((network.bus[name] for name in network.chargers_at), key=lambda bus: (bus.y, bus.x)):
        count = len(network.chargers_at[bus.name])
        each = count <= EACH_AT_MOST
        columns = min(3, count) if each else 1
        deep = -(-count // columns) if each else 4
        near, far = bus.x - columns * cell / 2, bus.x + columns * cell / 2
        beside = [block for block in taken.get(bus.y, []) if block[0] < far and near < block[1]]
        level = next(
            level
            for level in range(len(beside) * 5 + 1)
            if not any(top < level + deep and level < bottom for _, _, top, bottom in beside)
        )
        taken.setdefault(bus.y, []).append((near, far, level, level + deep))
        found[bus.name] = (columns, _FIRST_PX + CELL_PX * level)
    return found


def _ring(network: NetworkMap, chosen: tuple[Kind, str] | None) -> list[dict[str, Any]]:
    """Where the chosen element is: the bus, that of the charger, or the far end of the line."""
    if chosen is None:
        return []
    kind, name = chosen
    at = {
        Kind.BUS: lambda: network.bus.get(name),
        Kind.CHARGER: lambda: next((network.bus[c.bus] for c in network.chargers if c.id == name), None),
        Kind.LINE: lambda: next((_far(network, line.from_bus, line.to_bus) for line in network.lines
                                 if line.name == name), None),
        Kind.TRANSFORMER: lambda: next((network.bus[each.busbar] for each in network.networks
                                        if each.transformer == name), None),
    }[kind]()  # fmt: skip
    offset = [-23, 0] if kind is Kind.TRANSFORMER else [0, 0]
    return [] if at is None else [{"name": name, "value": [at.x, at.y], "symbolOffset": offset}]


def _far(network: NetworkMap, one: str, other: str) -> MapBus:
    return network.bus[one] if network.bus[one].towards == other else network.bus[other]
