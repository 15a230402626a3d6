"""The charts of congestion help: each transformer's loading against what the signal allows, lines, prices, the list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.campus_summary import LINES, LOADING
from environment.campus_summary import limits as allowed
from environment.report.axes import LOOKS, DayAxes, Window, days, merged
from environment.report.congestion_services import Part
from environment.report.svg import GRID, INK, LIMIT, MUTED, SURFACE, THIRD, WIND, WINDOW, WITH, WITHOUT, Canvas, draw
from environment.report.words import number
from environment.series import Series
from protocols.exchanges.congestion_services import ActivationKind

KINDS = {ActivationKind.SHIFT: WITH, ActivationKind.CURTAIL: WIND, ActivationKind.DISCHARGE: THIRD}


class CampusCharts(DayAxes):
    """The charts of a run with the columns of campuses. `noted` are the summary's limits; `served` the periods of the
    services at each campus."""

    def __init__(self, series: Series, noted: Mapping[str, Any], served: Mapping[str, Sequence[Window]]) -> None:
        super().__init__(series, ())
        self._noted = noted
        self._served = {campus: merged(windows) for campus, windows in served.items()}

    def transformers(self, alt: str) -> Markup:
        """One panel for each campus: loading in both cases, the limit as it changed, what is above it filled."""
        return self._panels("campuses", alt, LOADING, "%, transformer at", limited=True)

    def lines(self, alt: str) -> Markup:
        """One panel for each campus: the most loaded line of each minute."""
        return self._panels("lines", alt, LINES, "%, most loaded line at", limited=False)

    def _panels(self, key: str, alt: str, column: str, unit: str, *, limited: bool) -> Markup:
        names = tuple(self._served)

        def drawing(canvas: Canvas) -> Figure:
            height = (150 if canvas.narrow else 190) if limited else (90 if canvas.narrow else 105)
            figure, every = canvas.figure(54 + (height + 34) * len(names) - 34, (1.0,) * len(names))
            for axes, campus in zip(every, names, strict=True):
                self._time(axes, canvas, labels=axes is every[-1], shade=False)
                for start, end in self._served[campus]:
                    axes.axvspan(days(start), days(end), color=WINDOW, alpha=0.75, linewidth=0, zorder=0)
                self._loading(axes, campus, column, limited)
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
                if axes is every[0]:
                    self._legend(axes, canvas, first=f"{unit} {campus}")
                else:
                    self._unit(axes, canvas, f"{unit} {campus}")
            return figure

        return draw(key, alt, drawing)

    def _loading(self, axes: Axes, campus: str, column: str, limited: bool) -> None:
        top = 0.0
        for case in self._cases:
            frame = self._series.case(case)
            loading = frame[column + campus].to_numpy(np.float64)
            axes.plot(frame.index, loading, **{**LOOKS[case], "linewidth": 1.4 if case == "without" else 1.9})
            limit = (
                allowed(self._series, case, campus, self._noted)
                if limited
                else np.full(len(loading), float(self._noted.get("line_limit_percent", {}).get(campus, 100.0)))
            )
            axes.fill_between(
                frame.index, limit, loading, where=loading > limit, color=LOOKS[case]["color"], alpha=0.25, linewidth=0
            )
            top = max(top, float(np.nanmax(loading)), float(limit.max()) if limited else 0.0)
            if case == self._cases[-1] and (limited or top > 80):
                axes.plot(frame.index, limit, color=LIMIT, linewidth=1.4, drawstyle="steps-post", label="_limit")
                top = max(top, float(limit.max()))
        axes.set_ylim(0, top * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(5 if limited else 3))

    def prices(self, rows: Sequence[Mapping[str, Any]], published: Sequence[str], alt: str) -> Markup:
        """The retailer's price of each hour: as it was first told (dashed) and as it was when the hour came."""
        edges = [*(datetime.fromisoformat(row["start"]) for row in rows), self._span[1]]
        times = [days(moment) for span in pairwise(edges) for moment in span]

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(170 if canvas.narrow else 190)
            self._time(axes, canvas, shade=False)
            looks: tuple[tuple[str, dict[str, Any]], ...] = (
                ("first", {"color": WITHOUT, "linewidth": 1.5, "linestyle": (0, (4, 2)), "label": "first"}),
                ("last", {"color": INK, "linewidth": 1.9, "label": "finally"}),
            )
            for member, look in looks:
                axes.plot(times, [float(row[member]) for row in rows for _ in range(2)], **look)
            for moment in published:
                at = datetime.fromisoformat(moment)
                axes.axvline(days(at), color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
                axes.annotate(
                    f"told {at:%H:%M}", (days(at), 1), (3, -3), xycoords=("data", "axes fraction"),
                    textcoords="offset points", va="top", color=MUTED, fontsize="small",
                )  # fmt: skip
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y, 2)))
            axes.set_ylim(min(0.0, axes.dataLim.y0 * 1.1), axes.dataLim.y1 * 1.22)  # what was told is above it
            self._legend(axes, canvas, first="EUR/kWh")
            return figure

        return draw("retail", alt, drawing)


def merit_order(part: Part, alt: str) -> Markup:
    """The list as bars side by side: as wide as the kW, as high as the cost of a kWh; solid is what drivers were
    awarded for, pale what was not needed or wanted."""

    def drawing(canvas: Canvas) -> Figure:
        figure, (axes,) = canvas.figure(230 if canvas.narrow else 260)
        left = 0.0
        for activation in part.activations:
            cost, colour = float(activation.cost_eur_per_kwh), KINDS[activation.kind]
            taken = min(activation.power_kw, part.taken_kw(activation.activation_id))
            for wide, alpha, start in ((activation.power_kw, 0.22, left), (taken, 1.0, left)):
                if wide > 0:
                    axes.bar(start, cost, wide, align="edge", color=colour, alpha=alpha, edgecolor=SURFACE, linewidth=1)
            axes.hlines([cost], left, left + activation.power_kw, color=colour, linewidth=2)
            left += activation.power_kw
        axes.axhline(0, color=GRID, linewidth=1)
        prices: list[tuple[str, Any, Any]] = [("reduction", part.call.reduction_price_eur_per_kwh, (0, (5, 2)))]
        if any(activation.kind is ActivationKind.DISCHARGE for activation in part.activations):
            prices.append(("giving back", part.call.discharging_price_eur_per_kwh, (0, (1, 2))))
        for name, price, dash in prices:
            axes.axhline(float(price), color=LIMIT, linewidth=1.2, linestyle=dash)
            axes.annotate(
                f"paid for {name}: {number(float(price), 3)}", (1, float(price)), (-4, 3),
                xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", color=LIMIT,
                fontsize="small",
            )  # fmt: skip
        axes.axvline(part.awarded_kw, color=WITHOUT, linewidth=1.4)
        axes.annotate(
            f"{number(part.awarded_kw, 1)} kW awarded", (part.awarded_kw, 1), (4, -2),
            xycoords=("data", "axes fraction"), textcoords="offset points", va="top", color=WITHOUT, fontsize="small",
        )  # fmt: skip
        axes.set_xlim(0, left * 1.01)
        axes.margins(y=0.18)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y, 2)))
        axes.annotate(
            "EUR/kWh over kW", (0, 1), (-canvas.left + 4, 8), xycoords="axes fraction", textcoords="offset points",
            color=MUTED, fontsize="small",
        )  # fmt: skip
        return figure

    return draw("merit", alt, drawing)
