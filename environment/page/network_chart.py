"""The one-line diagram as options of ECharts: axes, zoom, and a series for each look; `network_marks` fills them.

Lines and buses are a series for each class, so that a legend can say what a colour, a width and a shape mean, and only
the series that changed are sent. Colours are variables of the page's style sheet, the same in light and dark.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from environment.network_map import NetworkMap
from environment.watched.network import Charging, Loading, Voltage

ARROW_DOWN: Final = "path://M4 0h4v6h4l-6 6-6-6h4z"
ARROW_UP: Final = "path://M6 0l6 6h-4v6h-4v-6h-4z"
RING_THIN: Final = "path://M15 0a15 15 0 1 0 .01 0zM15 2a13 13 0 1 1-.01 0z"
RING: Final = "path://M6 0a6 6 0 1 0 .01 0zM6 2.4a3.6 3.6 0 1 1-.01 0z"
CROSS: Final = "path://M2 0l4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z"

BUS_LOOKS: Final[Mapping[Voltage, tuple[str, str]]] = {
    Voltage.BELOW: ("triangle", "var(--volt-below)"),
    Voltage.LOW: ("rect", "var(--volt-low)"),
    Voltage.MIDDLE: ("rect", "var(--volt-middle)"),
    Voltage.HIGH: ("rect", "var(--volt-high)"),
    Voltage.ABOVE: ("triangle", "var(--volt-above)"),
    Voltage.UNKNOWN: ("rect", "transparent"),
}
"""Symbol and colour; the triangle of a voltage below its limit points down."""
LINE_LOOKS: Final[Mapping[Loading, tuple[float, str]]] = {
    Loading.LIGHT: (2.0, "var(--load-light)"),
    Loading.MEDIUM: (3.0, "var(--load-medium)"),
    Loading.HEAVY: (4.5, "var(--load-heavy)"),
    Loading.BEYOND: (6.0, "var(--load-beyond)"),
    Loading.UNKNOWN: (1.5, "var(--load-light)"),
}
"""Width in pixels and colour."""
CHARGER_LOOKS: Final[Mapping[Charging, tuple[str, str]]] = {
    Charging.CHARGING: (ARROW_DOWN, "var(--curve-main)"),
    Charging.GIVING: (ARROW_UP, "var(--curve-load)"),
    Charging.IDLE: ("rect", "var(--charger-idle)"),
    Charging.FULL: ("circle", "var(--charger-full)"),
    Charging.FREE: (RING, "var(--charger-free)"),
    Charging.UNKNOWN: (CROSS, "var(--charger-idle)"),
}
_MANY = 250
"""From so many buses on symbols are small."""


def height_px(network: NetworkMap) -> int:
    """How high the diagram is drawn."""
    rows = 1 + max((bus.y for bus in network.buses), default=0)
    return int(min(900, max(260, 90 + 66 * rows)))


def options(network: NetworkMap) -> dict[str, Any]:
    """What stays as it is while the run lasts: axes, zoom, and a series without data for each look."""
    reach = max((bus.x for bus in network.buses), default=0) or 1.0
    rows = max((bus.y for bus in network.buses), default=0)
    small = len(network.buses) > _MANY
    return {
        "animation": False,
        "grid": {"left": 52, "right": 16, "top": 8, "bottom": 44},
        "tooltip": {
            "renderMode": "richText", "confine": True, ":formatter": "p => (p.data && p.data.said) || p.name",
            "backgroundColor": "var(--surface)", "borderColor": "var(--axis)", "textStyle": {"color": "var(--ink)"},
        },
        "xAxis": {
            "type": "value", "min": round(-0.015 * reach, 6), "max": round(1.02 * reach, 6),
            "name": "km along the lines", "nameLocation": "middle", "nameGap": 26,
            "nameTextStyle": {"color": "var(--muted)"},
            "axisLabel": {
                "color": "var(--muted)", "hideOverlap": True, "showMinLabel": False, "showMaxLabel": False,
                ":formatter": "v => v < 0 ? '' : +v.toFixed(3)",
            },
            "axisLine": {"show": False}, "axisTick": {"show": False},
            "splitLine": {
                "showMinLine": False, "showMaxLine": False, "lineStyle": {"color": "var(--axis)", "opacity": 0.5},
            },
        },
        "yAxis": {"type": "value", "min": -0.55, "max": rows + 0.95, "inverse": True, "show": False},
        "dataZoom": [
            {"type": "inside", "xAxisIndex": 0, "filterMode": "none", "zoomOnMouseWheel": "ctrl", "minSpan": 2},
            {"type": "inside", "yAxisIndex": 0, "filterMode": "none", "zoomOnMouseWheel": "ctrl", "minSpan": 5},
        ],
        "series": [
            *(_line(f"line-{state}", *LINE_LOOKS[state]) for state in Loading),
            _line("busbar", 7.0, "var(--ink)", silent=True),
            _scatter("chosen", RING_THIN, "var(--ink)", 30, 1, silent=True),
            *(_bus(state, small) for state in Voltage),
            *(_charger(state, small) for state in Charging),
            *(_transformer(state) for state in Loading),
            _labels("beyond"),
        ],
    }  # fmt: skip


def _line(key: str, width: float, colour: str, *, silent: bool = False) -> dict[str, Any]:
    return {
        "id": key, "type": "lines", "coordinateSystem": "cartesian2d", "polyline": True, "silent": silent, "z": 2,
        "lineStyle": {"width": width, "color": colour, "opacity": 1, "cap": "round", "join": "round"},
        "emphasis": {"disabled": True}, "data": [],
    }  # fmt: skip


def _scatter(key: str, symbol: str, colour: str, size: Any, z: int, *, silent: bool = False) -> dict[str, Any]:
    return {
        "id": key, "type": "scatter", "symbol": symbol, "symbolSize": size, "silent": silent, "z": z,
        "itemStyle": {"color": colour, "opacity": 1}, "emphasis": {"disabled": True}, "data": [],
    }  # fmt: skip


def _bus(state: Voltage, small: bool) -> dict[str, Any]:
    symbol, colour = BUS_LOOKS[state]
    beyond = state in (Voltage.BELOW, Voltage.ABOVE)
    size: Any = (10 if small else 14) if beyond else ([3, 10] if small else [5, 18])
    found = _scatter(f"bus-{state}", symbol, colour, size, 5 if beyond else 4)
    found["itemStyle"].update({"borderColor": "var(--surface)", "borderWidth": 0 if small else 1})
    found["symbolRotate"] = 180 if state is Voltage.BELOW else 0
    found["label"] = {"show": False, "position": "top", "color": "var(--ink)", "fontSize": 11, "fontWeight": "bold"}
    found["labelLayout"] = {"hideOverlap": True}
    return found


def _charger(state: Charging, small: bool) -> dict[str, Any]:
    symbol, colour = CHARGER_LOOKS[state]
    size = {Charging.FREE: 9, Charging.IDLE: 8, Charging.FULL: 8}.get(state, 11)
    found = _scatter(f"charger-{state}", symbol, colour, size - 2 if small else size, 3)
    found["label"] = {"show": False, "position": "right", "distance": 2, "color": "var(--ink)", "fontSize": 11}
    return found


def _transformer(state: Loading) -> dict[str, Any]:
    width, colour = LINE_LOOKS[state]
    found = _scatter(f"trafo-{state}", "circle", "transparent", 18, 6)
    found["itemStyle"].update({"borderColor": colour, "borderWidth": max(2.5, width - 1)})
    found["label"] = {
        "show": False, "position": "top", "distance": 6, "color": "var(--ink)", "fontSize": 12, "fontWeight": "bold",
        "lineHeight": 15,
    }  # fmt: skip
    return found


def _labels(key: str) -> dict[str, Any]:
    found = _scatter(key, "circle", "transparent", 1, 7, silent=True)
    found["label"] = {
        "show": True, "formatter": "{b}", "position": "top", "color": "var(--ink)", "fontSize": 11,
        "fontWeight": "bold", "distance": 4,
    }  # fmt: skip
    found["labelLayout"] = {"hideOverlap": True}
    return found
