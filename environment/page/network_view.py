"""The network as it is at the moment shown: an overview, the one-line diagram, what was chosen in it, and a table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nicegui import ui
from nicegui.events import GenericEventArguments

from environment.page import network_chart, network_legend
from environment.page.network_chosen import Chosen
from environment.page.network_marks import Data, data
from environment.page.network_table_view import NetworkTable
from environment.watched.network import NetworkNow
from environment.watched.network_figures import Figure, Kind, figures
from environment.watched.network_table import best

if TYPE_CHECKING:
    from environment.page.frame import Page

TITLE: Final = "Network"
PATH: Final = "/"
ICON: Final = "account_tree"
STYLE: Final = Path(__file__).with_name("network.css")
_ZOOM = 0.6
_OFTEN_S, _SELDOM_S = 0.4, 2.0
_MANY = 1000
"""So many elements are drawn seldom; fewer, whenever the run has moved and the view looks."""


def build(page: Page) -> None:
    """Makes the view."""
    ui.add_css(STYLE.read_text(encoding="utf-8"))
    NetworkView(page)


class NetworkView:
    """What one browser shows of the network."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.now: NetworkNow = page.model(NetworkNow)
        self.now.refresh()
        self.chosen: tuple[Kind, str] | None = None
        self._chart: ui.echart | None = None
        self._sent: Data = {}
        self._drawn: object = None
        self._span = [0.0, 100.0]
        self._figures: dict[str, _Card] = {}
        self._shown: object = None
        self._waits, self._next = False, 0.0
        self.missing = ui.label().classes("view-note")
        self.when = ui.label().classes("view-note")
        self.cards = ui.element("dl").classes("figures").props('aria-label="The moment in figures"')
        page.heading("Diagram")
        network_legend.legend()
        with ui.element("div").classes("tools"):
            self.search = (
                ui.input("Find a bus, line or charger", on_change=self._searched)
                .props("outlined dense clearable")
                .on("keydown.enter", self._find)
            )
            for icon, words, act in (
                ("zoom_in", "Zoom in", lambda: self._zoom(_ZOOM)),
                ("zoom_out", "Zoom out", lambda: self._zoom(1 / _ZOOM)),
                ("fit_screen", "Show the whole network", lambda: self._zoom(0)),
            ):
                ui.button(icon=icon, on_click=act).props(f'flat round dense aria-label="{words}"').tooltip(words)
            ui.label("Drag to move, Ctrl and the wheel to zoom.").classes("view-note gt-sm")
        with ui.element("div").classes("split"):
            self.place = ui.element("div").classes("diagram")
            self.details = Chosen(self.now, self.choose)
        with ui.expansion("The network as a table", icon="table_rows").classes("full-width") as around:
            self.table = NetworkTable(self.now, around, self.choose)
        around.on_value_change(lambda: self.table.refresh())
        page.every(0.5, self.refresh)

    def refresh(self) -> bool:
        """Brings everything to the moment that is shown; True where the diagram waits, so as not to wear a browser out
        that has thousands of elements to draw."""
        self.now.refresh()
        if self.chosen is None and self.now.map is not None:
            self.chosen = (Kind.TRANSFORMER, self.now.map.networks[0].transformer)
        if self.now.moment is not self._shown:
            self._shown = self.now.moment
            self._show_figures()
            self.table.refresh()
            self._waits = True
        if self._waits and time.monotonic() >= self._next:
            self._draw()
        self.missing.set_text(self.now.missing)
        self.missing.set_visibility(bool(self.now.missing))
        self.details.refresh(self.chosen)
        return self._waits

    def choose(self, kind: Kind, name: str) -> None:
        """Shows an element's details, and rings it in the diagram."""
        self.chosen = (kind, name)
        self._draw()
        self.details.refresh(self.chosen)

    def _show_figures(self) -> None:
        at = None if self.now.moment is None else self.now.moment.at
        self.when.set_text("" if at is None else f"As of {self.page.clock(at)}.")
        shown = figures(self.now)
        if [figure.label for figure in shown] != list(self._figures):
            self.cards.clear()
            with self.cards:
                self._figures = {figure.label: _Card(figure.label) for figure in shown}
        for figure in shown:
            self._figures[figure.label].show(figure)

    def _draw(self) -> None:
        """Sends what has changed of the diagram."""
        network = self.now.map
        elements = 0 if network is None else len(network.buses) + len(network.lines) + len(network.chargers)
        self._waits, self._next = False, time.monotonic() + (_SELDOM_S if elements > _MANY else _OFTEN_S)
        self.place.set_visibility(network is not None)
        if network is None:
            return
        found = data(self.now, self.chosen)
        if self._drawn is not network:
            self._drawn, self._sent, self._span = network, found, [0.0, 100.0]
            self.place.clear()
            options = network_chart.options(network)
            for series in options["series"]:
                series["data"] = found.get(series["id"], [])
            with self.place:
                self._chart = ui.echart(options, renderer="svg")
                self._chart.style(f"height: {network_chart.height_px(network)}px; width: 100%")
                self._chart.props(
                    'role="img" aria-label="One-line diagram of the network; the table below says the same"'
                )
                self._chart.on("componentClick", self._clicked, ["data"])
            return
        changed = [{"id": key, "data": items} for key, items in found.items() if self._sent.get(key) != items]
        if changed and self._chart is not None:
            self._chart.run_chart_method("setOption", {"series": changed})
        self._sent = found

    def _clicked(self, event: GenericEventArguments) -> None:
        told: dict[str, Any] = (event.args or {}).get("data") or {}
        if told.get("kind") in {kind.value for kind in Kind}:
            self.choose(Kind(told["kind"]), str(told.get("name")))

    def _searched(self) -> None:
        self.table.filter(self.search.value or "")

    def _find(self) -> None:
        found = best(self.now, self.search.value or "")
        if found is None:
            ui.notify(f"There is no bus, line or charger with {self.search.value!r} in its name.")
        else:
            self.choose(*found)

    def _zoom(self, factor: float) -> None:
        """Shows so much of what is shown now around its middle; 0 shows everything."""
        begin, end = self._span
        half = min(50.0, (end - begin) * factor / 2) if factor else 50.0
        middle = min(max((begin + end) / 2, half), 100 - half)
        self._span = [middle - half, middle + half]
        if self._chart is not None:
            zoom = {"start": self._span[0], "end": self._span[1]}
            self._chart.run_chart_method("setOption", {"dataZoom": [zoom, zoom]})


class _Card:
    """One figure of the overview; what has not changed is not sent again."""

    def __init__(self, label: str) -> None:
        self.box = ui.element("div").classes("figure")
        with self.box:
            with ui.element("dt"):
                ui.label(label)
            with ui.element("dd"):
                self.value = ui.label().classes("value")
                self.flag = ui.label("beyond its limit").classes("flag")
                self.note = ui.label().classes("note")

    def show(self, figure: Figure) -> None:
        self.value.set_text(figure.value)
        self.note.set_text(figure.note.replace(" %", "\u00a0%"))
        self.flag.set_visibility(figure.beyond)
        self.box.classes(add="beyond" if figure.beyond else "", remove="" if figure.beyond else "beyond")
