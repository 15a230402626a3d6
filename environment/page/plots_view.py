"""Moving plots of a run: loadings, voltages, powers, states of charge, frequency, against their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from nicegui import ui

from environment.page.network_view import STYLE
from environment.page.plot_chart import legend_items, moving, options
from environment.page.tables import plain_table
from environment.watched.plots import Chart, Plots, Span

if TYPE_CHECKING:
    from environment.page.frame import Page

TITLE: Final = "Plots"
PATH: Final = "/plots"
ICON: Final = "show_chart"
_SPANS: Final = {Span.TWO_HOURS.value: "Last 2 h", Span.SIX_HOURS.value: "Last 6 h", Span.ALL.value: "Whole run"}


def build(page: Page) -> None:
    """Makes the view."""
    ui.add_css(STYLE.read_text(encoding="utf-8"))
    PlotsView(page)


class PlotsView:
    """What one browser shows of the plots."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.plots: Plots = page.model(Plots)
        self.plots.refresh()
        self.span = Span.ALL
        self._made: tuple[Chart, ...] = ()
        self._plots: dict[str, _Plot] = {}
        self.missing = ui.label().classes("view-note")
        with ui.element("div").classes("tools"):
            self.choice = ui.toggle(_SPANS, value=self.span.value, on_change=self._choose).props("no-caps")
            self.choice.props('role="group" aria-label="How much of the run is shown"')
            self.note = ui.label().classes("view-note")
        self.place = ui.element("div").classes("plots")
        page.every(1.0, self.refresh)

    def refresh(self) -> None:
        """Brings every plot to the moment that is shown."""
        self.plots.refresh()
        missing = self.plots.missing
        self.missing.set_text(missing)
        self.missing.set_visibility(bool(missing))
        self.choice.set_visibility(not missing)
        if missing:
            return
        if self._made != self.plots.charts:
            self._made = self.plots.charts
            self.place.clear()
            with self.place:
                self._plots = {chart.key: _Plot(self.page, chart, self.plots, self.span) for chart in self._made}
        else:
            for plot in self._plots.values():
                plot.show(self.plots, self.span)
        self._note()

    def _choose(self) -> None:
        self.span = Span(self.choice.value)
        self.refresh()

    def _note(self) -> None:
        means = self.plots.means_of(self.span)
        words = "Times are local. Long spans keep the least and the greatest value of each interval"
        if means is not None:
            words += f"; stacked areas are means of {means.total_seconds() / 60:g} minutes"
        self.note.set_text(f"{words}.")


class _Plot:
    """One chart with its heading, its legend, and a table of the same behind it."""

    def __init__(self, page: Page, chart: Chart, plots: Plots, span: Span) -> None:
        self.chart, self._span = chart, span
        self._sent: dict[str, Any] = moving(plots, chart, span)
        with ui.element("section").classes("plot") as section:
            section.props["aria-label"] = chart.title
            page.heading(f"{chart.title}, {chart.unit}" if chart.unit else chart.title)
            ui.label(chart.about).classes("view-note")
            with ui.element("div").classes("network-legend"):
                for item in legend_items(chart):
                    ui.html(item, sanitize=False)
            drawn = options(chart, steps=plots.steps)
            drawn["xAxis"].update(self._sent["xAxis"])
            for series in drawn["series"]:
                series["data"] = self._sent["series"][series["id"]]
            self._chart = ui.echart(drawn, renderer="svg").style("height: 230px; width: 100%")
            self._chart.props["role"] = "img"
            self._chart.props["aria-label"] = f"{chart.title} over time; the table below says the same"
            with ui.expansion("As a table").props("dense") as self._around:
                self._table = ui.html("", sanitize=False)
            self._around.on_value_change(lambda: self._show_table(plots, self._span))

    def show(self, plots: Plots, span: Span) -> None:
        """Sends the curves that have changed."""
        self._span = span
        found = moving(plots, self.chart, span)
        if found == self._sent:
            return
        old = self._sent["series"]
        changed = [{"id": key, "data": points} for key, points in found["series"].items() if old.get(key) != points]
        self._chart.run_chart_method("setOption", {"xAxis": found["xAxis"], "series": changed})
        self._sent = found
        self._show_table(plots, span)

    def _show_table(self, plots: Plots, span: Span) -> None:
        """Each curve in a row: now, and its least and greatest value in the span."""
        if not self._around.value:
            return
        rows = []
        for curve in self.chart.curves:
            _, values = plots.points(curve, span)
            known = values[~np.isnan(values)]
            least, most = (known.min(), known.max()) if known.size else (np.nan, np.nan)
            rows.append(
                [curve.name, *(_said(value, self.chart.digits) for value in (plots.latest(curve), least, most))]
            )
        rows += [[name, _said(value, self.chart.digits), "", ""] for name, value in self.chart.limits if name]
        caption = f"{self.chart.title}, {self.chart.unit}".removesuffix(", ")
        self._table.set_content(plain_table(caption, ["Curve", "Now", "Least", "Greatest"], rows, numbers=(1, 2, 3)))


def _said(value: float, digits: int) -> str:
    return "" if np.isnan(value) else f"{value:.{digits}f}"
