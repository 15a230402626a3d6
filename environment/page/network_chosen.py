"""What was chosen in the diagram or the table: its figures, its last two hours, and where one can go on from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from environment.watched.network import NetworkNow
from environment.watched.network_figures import Details, Kind, details

_HELP = "Choose a bus, a line or a charger: click it in the diagram, find it by name, or take it from the table."
_MOST = 12


class Chosen:
    """A panel beside the diagram. `choose` is told what somebody wants to see next."""

    def __init__(self, now: NetworkNow, choose: Callable[[Kind, str], None]) -> None:
        self._now, self._choose = now, choose
        self._about: tuple[Kind, str] | None = None
        self._labels: list[ui.label] = []
        self._shown: object = None
        self._chart: ui.echart | None = None
        self.box = ui.element("section").classes("chosen").props('aria-label="What is chosen" aria-live="polite"')
        with self.box:
            ui.label(_HELP).classes("view-note")

    def refresh(self, about: tuple[Kind, str] | None) -> None:
        """Shows an element as it is now."""
        found = None if about is None else details(self._now, *about)
        if about is None or found is None:
            return
        if about != self._about or len(found.rows) != len(self._labels):
            self._about = about
            self._build(about[0], found)
        for label, (_, value) in zip(self._labels, found.rows, strict=True):
            label.set_text(value)
        if self._now.moment is not self._shown:
            self._shown = self._now.moment
            if self._chart is not None:
                points = self._points(found)
                self._chart.run_chart_method("setOption", {"series": [{"id": "history", "data": points}]})

    def _build(self, kind: Kind, found: Details) -> None:
        self.box.clear()
        with self.box:
            with ui.element("h3"):
                ui.label(f"{kind.capitalize()} {found.title}")
            with ui.element("dl"):
                self._labels = []
                for name, _ in found.rows:
                    with ui.element("dt"):
                        ui.label(name)
                    with ui.element("dd"):
                        self._labels.append(ui.label())
            drawn = _history(found)
            drawn["series"][0]["data"] = self._points(found)
            self._shown = self._now.moment
            self._chart = ui.echart(drawn, renderer="svg").style("height: 150px; width: 100%")
            self._chart.props(f'role="img" aria-label="The last two hours of {found.title}, in {found.unit}"')
            with ui.row().classes("q-gutter-xs"):
                for other, name in found.leads_to[:_MOST]:
                    ui.button(name, on_click=lambda other=other, name=name: self._choose(other, name)).props(
                        "flat no-caps"
                    )

    def _points(self, found: Details) -> list[list[float | None]]:
        """Local times in milliseconds, and values."""
        if self._now.moment is None:
            return []
        at, values = self._now.history(found.column)
        offset_ms = _offset_ms(self._now)
        return [
            [int(moment) // 1000 + offset_ms, None if value != value else round(float(value), 4)]
            for moment, value in zip(at, values, strict=True)
        ]


def _offset_ms(now: NetworkNow) -> int:
    assert now.moment is not None
    offset = now.moment.at.astimezone(now.run.zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds() * 1000)


def _history(found: Details) -> dict[str, Any]:
    """The little chart: the last two hours, and the limits where they are near."""
    limit = {"lineStyle": {"color": "var(--limit)", "type": "dashed"}, "symbol": "none", "silent": True}
    limit["label"] = {"formatter": "limit", "position": "insideStartTop", "color": "var(--muted)", "fontSize": 10}
    return {
        "animation": False, "useUTC": True, "grid": {"left": 44, "right": 8, "top": 22, "bottom": 22},
        "xAxis": {
            "type": "time", "axisLabel": {"color": "var(--muted)", "hideOverlap": True, "formatter": "{HH}:{mm}"},
            "axisLine": {"lineStyle": {"color": "var(--axis)"}}, "splitNumber": 3,
        },
        "yAxis": {
            "type": "value", "scale": True, "name": found.unit, "splitNumber": 3,
            "nameTextStyle": {"color": "var(--muted)", "align": "right", "padding": [0, 4, 0, 0]},
            "axisLabel": {"color": "var(--muted)"}, "splitLine": {"lineStyle": {"color": "var(--axis)"}},
        },
        "series": [
            {
                "id": "history", "type": "line", "symbol": "none", "data": [], "emphasis": {"disabled": True},
                "lineStyle": {"color": "var(--curve-main)", "width": 2},
                "markLine": {**limit, "data": [{"yAxis": value} for value in found.limits]},
            }
        ],
    }  # fmt: skip
