"""The charts of public stations: reverse flow under lowered prices, bid curves, the worst line, stations and caps."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.report.axes import LOOKS, DayAxes, Window, days
from environment.report.public_material import PublicMaterial
from environment.report.public_run import named
from environment.report.public_services import Activation, Lot
from environment.report.svg import GRID, INK, LIMIT, MUTED, SURFACE, WIND, WITH, WITHOUT, Canvas, draw
from environment.report.words import number

_ROOM = timedelta(minutes=45)
"""So much before and after an activated window is drawn."""
_DATE = 40.0
"""A column that is narrower, in pixels, has room for the day of the week only."""


class PublicCharts(DayAxes):
    """The charts of a run whose series has the columns of public stations."""

    def __init__(self, material: PublicMaterial, windows: Sequence[Window]) -> None:
        super().__init__(material.run.series, windows)
        self._material = material

    def flows(self, lines: Sequence[str], alt: str, span: Window | None = None) -> Markup:
        """Active power through each line, over the run or over `span`; between both cases what was taken up."""
        material = self._material
        rows = material.rows(*span) if span else np.ones(len(material.run.index), bool)
        at = material.run.index[rows]

        def drawing(canvas: Canvas) -> Figure:
            height = (120 if canvas.narrow else 150) + 34
            figure, every = canvas.figure(54 + height * len(lines) - 34, (1.0,) * len(lines))
            for axes, line in zip(every, lines, strict=True):
                self._time(axes, canvas, labels=axes is every[-1], span=span)
                values = {case: material.flow_kw(case, line)[rows] for case in self._cases}
                for case, flow in values.items():
                    axes.plot(at, flow, **{**LOOKS[case], "linewidth": 1.2 if case == "without" else 1.6})
                if len(values) > 1:
                    axes.fill_between(
                        at, values["without"], values["with"], where=values["with"] > values["without"] + 0.5,
                        color=WIND, alpha=0.45, linewidth=0,
                    )  # fmt: skip
                axes.fill_between(at, 0, np.minimum(values["with"], 0), color=WITH, alpha=0.22, linewidth=0)
                axes.axhline(0, color=LIMIT, linewidth=1.2)
                axes.yaxis.set_major_locator(MaxNLocator(4))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
                unit = f"kW through {named(line)}"
                if axes is every[0]:
                    self._legend(axes, canvas, first=unit)
                else:
                    self._unit(axes, canvas, unit)
            return figure

        return draw("flows-day" if span else "flows", alt, drawing)

    def loading(self, line: str, alt: str) -> Markup:
        """The most loaded line in both cases, what is above its limit filled."""
        material, limit = self._material, self._material.limit_percent

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(250 if canvas.narrow else 300)
            self._time(axes, canvas)
            top = limit
            for case in self._cases:
                loading = material.loading(case, line)
                look = {**LOOKS[case], "linewidth": 1.3 if case == "without" else 1.6}
                axes.plot(material.run.index, loading, **look)
                axes.fill_between(
                    material.run.index, limit, loading, where=loading > limit, color=look["color"], alpha=0.35,
                    linewidth=0,
                )  # fmt: skip
                top = max(top, float(loading.max()))
            self._limit(axes, limit, f"limit, {number(limit)} %")
            axes.set_ylim(0, top * 1.1)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
            self._legend(axes, canvas, first=named(line))
            return figure

        return draw("worst-line", alt, drawing)

    def caps(self, rows: Sequence[tuple[str, Sequence[Activation]]], alt: str) -> Markup:
        """Each activated window: a row for each station, a column for each day, the cap as a line."""
        dates = sorted({self._local(each) for _, many in rows for each in many})

        def drawing(canvas: Canvas) -> Figure:
            row, gap, left = (56.0, 26.0, 42.0) if canvas.narrow else (78.0, 30.0, 64.0)
            height = 40 + (row + gap) * len(rows) - gap + 8
            figure = canvas.figure(height)[0]
            figure.clear()
            wide = (canvas.width - left - canvas.right) / len(dates)
            for r, (station, many) in enumerate(rows):
                top = self._material.connection_kw(station) or 1.0
                for each in many:
                    c = dates.index(self._local(each))
                    bottom = height - 40 - (row + gap) * r - row
                    box = ((left + c * wide) / canvas.width, bottom / height, (wide - 6) / canvas.width, row / height)
                    axes = figure.add_axes(box)
                    self._window(axes, each, top)
                    first = c == min(dates.index(self._local(other)) for other in many)
                    axes.tick_params(labelleft=first, labelbottom=False)
                figure.text(
                    4 / canvas.width, (height - 40 - (row + gap) * r + 6) / height, f"{station}, kW", color=INK,
                    fontsize="small",
                )  # fmt: skip
            for c, day in enumerate(dates):
                figure.text(
                    (left + (c + 0.5) * wide - 3) / canvas.width, (height - 16) / height,
                    f"{day.day} {day:%b}" if wide >= _DATE else f"{day:%a}", color=MUTED,
                    ha="center", fontsize="small",
                )  # fmt: skip
            return figure

        return draw("caps", alt, drawing)

    def _window(self, axes: Axes, each: Activation, top: float) -> None:
        start, end, limit = each.limit.start, each.limit.end, each.limit.limit_kw
        rows = self._material.rows(start - _ROOM, end + _ROOM)
        at = self._material.run.index[rows]
        for case in self._cases:
            power = self._material.station_kw(case, each.limit.station_id)[rows]
            if case == "with":
                axes.fill_between(at, 0, power, step="post", color=WITH, alpha=0.25, linewidth=0)
            axes.plot(at, power, drawstyle="steps-post", **{**LOOKS[case], "linewidth": 1.1})
        axes.hlines([limit], days(start), days(end), color=LIMIT, linewidth=1.8)
        axes.set_xlim(days(start - _ROOM), days(end + _ROOM))
        axes.set_ylim(0, top * 1.05)
        axes.set_yticks([0, top])
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
        axes.set_xticks([])
        axes.spines["bottom"].set_color(GRID)

    def _local(self, each: Activation) -> date:
        return each.limit.start.astimezone(self._zone).date()

    def curves(self, lots: Sequence[Lot], alt: str) -> Markup:
        """The bid curve of each station, and the point that was bought."""
        with_curve = [lot for lot in lots if lot.bid is not None and lot.bid.curve]
        top = max((float(point.price_eur) for lot in with_curve for point in lot.bid.curve), default=0.0) or 1.0  # type: ignore[union-attr]

        def drawing(canvas: Canvas) -> Figure:
            columns = 2 if canvas.narrow else 4
            count = -(-len(with_curve) // columns)
            row, gap = (110.0, 44.0) if canvas.narrow else (130.0, 48.0)
            height = 8 + (row + gap) * count
            figure = canvas.figure(height)[0]
            figure.clear()
            wide = (canvas.width - canvas.left - canvas.right) / columns
            for k, lot in enumerate(with_curve):
                bottom = height - 24 - (row + gap) * (k // columns) - row
                left = canvas.left + (k % columns) * wide
                box = (left / canvas.width, bottom / height, (wide - 18) / canvas.width, row / height)
                axes = figure.add_axes(box)
                self._curve(axes, lot, top * 1.1, ", EUR over kW" if k == 0 else "")
                axes.tick_params(labelleft=k % columns == 0)
            return figure

        return draw("curves", alt, drawing)

    def _curve(self, axes: Axes, lot: Lot, top: float, unit: str) -> None:
        assert lot.bid is not None
        limits = [point.limit_kw for point in lot.bid.curve]
        prices = [float(point.price_eur) for point in lot.bid.curve]
        bought = lot.contract_id is not None
        axes.plot(
            limits, prices, "o-", markersize=2.6, linewidth=1.6, color=WITH if bought else MUTED,
            markerfacecolor=SURFACE,
        )  # fmt: skip
        if bought and lot.limit_kw is not None and lot.price_eur is not None:
            axes.plot([lot.limit_kw], [lot.price_eur], "o", markersize=7, color=WITHOUT)
            axes.annotate(
                f"{number(lot.limit_kw)} kW\n{number(lot.price_eur, 2)} EUR", (lot.limit_kw, lot.price_eur), (7, 5),
                textcoords="offset points", va="bottom", color=INK, fontsize="small",
            )  # fmt: skip
        axes.set_title(f"{lot.call.station_id}{unit}", loc="left", fontsize="small", color=INK, pad=4)
        axes.set_ylim(0, top)
        axes.set_xlim(left=0)
        axes.margins(x=0.05)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(3))

    def stations(self, alt: str) -> Markup:
        """What all stations together draw, in both cases."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(210 if canvas.narrow else 240)
            self._time(axes, canvas)
            for case in self._cases:
                look = {**LOOKS[case], "linewidth": 1.1 if case == "without" else 1.5}
                total = sum(
                    (self._material.station_kw(case, each) for each in self._material.stations),
                    np.zeros(len(self._material.run.index)),
                )
                axes.plot(self._material.run.index, total, **look)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
            self._legend(axes, canvas, first="kW, all stations")
            return figure

        return draw("stations", alt, drawing)

    def violations(self, rows: Sequence[tuple[date, float, float]], expected: tuple[float, float], alt: str) -> Markup:
        """Violations of each day (without, with; kWh), and beside them what the DSO expected of a day."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(190 if canvas.narrow else 220)
            places = np.arange(len(rows) + 1, dtype=np.float64)
            places[-1] += 0.5
            before = [row[1] for row in rows] + [expected[0]]
            after = [row[2] for row in rows] + [expected[1]]
            if len(self._cases) > 1:
                axes.bar(places - 0.2, before, 0.38, color=WITHOUT, alpha=0.8, label="without flexibility")
            axes.bar(places + 0.2, after, 0.38, color=WITH, label="with flexibility")
            names = [f"{day:%a}" if canvas.narrow else f"{day:%a} {day.day}" for day, *_ in rows]
            axes.set_xticks(places, [*names, "exp." if canvas.narrow else "expected"])
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y, 0 if float(y).is_integer() else 1)))
            self._legend(axes, canvas, first="kWh above the limit")
            return figure

        return draw("violations", alt, drawing)
