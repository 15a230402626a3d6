"""What the diagram's colours, widths and shapes mean, as text with the same shapes beside it."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from environment.page.network_chart import BUS_LOOKS, CHARGER_LOOKS, LINE_LOOKS
from environment.watched.network import STATES, Charging, Loading, Voltage

_LINES: Final = {
    Loading.LIGHT: "up to 50 % of what is allowed",
    Loading.MEDIUM: "to 80 %",
    Loading.HEAVY: "to 100 %",
    Loading.BEYOND: "beyond its limit, with its loading",
}
_BUSES: Final = {
    Voltage.BELOW: "below its limit, with its voltage",
    Voltage.LOW: "near its lower limit",
    Voltage.MIDDLE: "nominal",
    Voltage.HIGH: "near its upper limit",
    Voltage.ABOVE: "above its limit",
}


def legend() -> None:
    """The legend, as three groups that wrap."""
    with ui.element("div").classes("network-legend").props('role="group" aria-label="What the diagram shows"'):
        _group("Lines", [(_stroke(state), words) for state, words in _LINES.items()])
        _group("Buses", [(_bus(state), words) for state, words in _BUSES.items()])
        _group("Chargers", [(_charger(state), words) for state, words in STATES.items() if state != Charging.UNKNOWN])


def _group(title: str, items: list[tuple[str, str]]) -> None:
    # The shapes are this module's own and the words constants: nothing in them comes from a run.
    shown = "".join(f'<span class="legend-item">{shape}<span>{words}</span></span>' for shape, words in items)
    ui.html(f"<b>{title}</b>{shown}", sanitize=False).classes("legend-group")


def _svg(width: int, inside: str) -> str:
    return f'<svg width="{width}" height="14" viewBox="0 0 {width} 14" aria-hidden="true">{inside}</svg>'


def _stroke(state: Loading) -> str:
    width, colour = LINE_LOOKS[state]
    return _svg(22, f'<line x1="2" y1="7" x2="20" y2="7" stroke="{colour}" stroke-width="{width}"/>')


def _bus(state: Voltage) -> str:
    symbol, colour = BUS_LOOKS[state]
    if symbol == "triangle":
        points = "1,2 13,2 7,13" if state is Voltage.BELOW else "1,13 13,13 7,2"
        return _svg(14, f'<polygon points="{points}" fill="{colour}"/>')
    return _svg(8, f'<rect x="2" width="5" height="14" fill="{colour}"/>')


def _charger(state: Charging) -> str:
    symbol, colour = CHARGER_LOOKS[state]
    if symbol.startswith("path://"):
        return _svg(14, f'<path transform="translate(1 1)" d="{symbol.removeprefix("path://")}" fill="{colour}"/>')
    if symbol == "rect":
        return _svg(12, f'<rect x="2" y="3" width="8" height="8" fill="{colour}"/>')
    return _svg(12, f'<circle cx="6" cy="7" r="4" fill="{colour}"/>')
