"""The charts of the report over the day: transformer, voltages, frequency, fleet, state of charge, prices.

All share one time axis in local time and the same margins, so that they can be read as one column. Blue is always the
day with flexibility, orange (and dashed) the same day without; the two differ in colour, dash and width, so that no
reader needs the colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import matplotlib.dates as mdates
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.en50160 import HIGH_PU, LOW_PU
from environment.report.market import Round
from environment.report.svg import GRID, INK, LIMIT, MUTED, SURFACE, THIRD, WINDOW, WITH, WITHOUT, Canvas, draw
from environment.report.words import number
from environment.series import Case, Series

Window = tuple[datetime, datetime]

# Both scales fade into the page, light or dark: nothing happens there, or the battery is empty.
_POWER = LinearSegmentedColormap.from_list(
    "power",
    [(0.88, 0.42, 0.0, 1.0), (0.94, 0.6, 0.2, 0.6), (0.5, 0.5, 0.5, 0.16), (0.2, 0.6, 0.9, 0.6), (0.0, 0.5, 0.8, 1.0)],
)
_SOC = LinearSegmentedColormap.from_list("soc", [(0.5, 0.5, 0.5, 0.12), (0.35, 0.7, 0.75, 0.5), (0.1, 0.5, 0.7, 1.0)])
_LOOKS: dict[Case, dict[str, Any]] = {
    "without": {"color": WITHOUT, "linewidth": 1.5, "linestyle": (0, (5, 2)), "label": "without flexibility"},
    "with": {"color": WITH, "linewidth": 2.2, "label": "with flexibility"},
}


class DayCharts:
    """The charts of one run. `windows` are the periods for which flexibility was bought; they are shaded."""

    def __init__(self, series: Series, windows: Sequence[Window]) -> None:
        self._series = series
        self._windows = _merged(windows)
        index = series.index(series.cases[0])
        self._zone = index.tz
        self._span = (index[0], index[-1] + series.step(series.cases[0]))
        # Without flexibility first: the day as it was lies on top.
        self._cases: tuple[Case, ...] = tuple(case for case in ("without", "with") if case in series.cases)

    def transformer(self, alt: str) -> Markup:
        """Transformer loading in percent of its rating, what is above it filled."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(270 if canvas.narrow else 320)
            self._time(axes, canvas)
            top = 0.0
            for case in self._cases:
                frame = self._series.case(case)
                loading = frame["trafo_loading_percent"].to_numpy()
                axes.plot(frame.index, loading, **_LOOKS[case])
                axes.fill_between(
                    frame.index, 100, loading, where=loading > 100, color=_LOOKS[case]["color"], alpha=0.22, linewidth=0
                )
                top = max(top, float(loading.max()))
            self._limit(axes, 100, "rating" if canvas.narrow else "rating of the transformer")
            axes.set_ylim(0, max(110.0, top * 1.06))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
            self._legend(axes, canvas)
            return figure

        return draw("transformer", alt, drawing)

    def voltages(self, alt: str) -> Markup:
        """The band from the lowest to the highest bus voltage, and the limits of EN 50160."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(250 if canvas.narrow else 280)
            self._time(axes, canvas)
            for case in self._cases:
                frame = self._series.case(case)
                low, high = frame["vm_pu_min"].to_numpy(), frame["vm_pu_max"].to_numpy()
                look = _LOOKS[case]
                # Bands are not simplified as lines are: the extremes of every few minutes say the same in fewer points.
                each = max(1, len(low) // (120 if canvas.narrow else 360))
                at = np.arange(0, len(low), each)
                axes.fill_between(
                    frame.index[at], np.minimum.reduceat(low, at), np.maximum.reduceat(high, at),
                    color=look["color"], alpha=0.16, linewidth=0,
                )  # fmt: skip
                axes.plot(frame.index, low, **look)
                axes.plot(frame.index, high, **{**look, "linewidth": 1, "label": "_"})
            self._limit(axes, LOW_PU, "EN 50160: 0.90", above=True)
            self._limit(axes, HIGH_PU, "EN 50160: 1.10", above=False)
            axes.set_ylim(
                min(0.89, axes.dataLim.y0 - 0.005) if axes.dataLim.y0 > 0 else 0.89, max(1.11, axes.dataLim.y1 + 0.005)
            )
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._legend(axes, canvas, first="p.u.")
            return figure

        return draw("voltages", alt, drawing)

    def frequency(self, alt: str) -> Markup:
        """The frequency that the environment agent answered with, in hertz."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(150 if canvas.narrow else 160)
            self._time(axes, canvas)
            frame = self._series.case(self._cases[-1])
            axes.plot(frame.index, frame["frequency_hz"], color=THIRD, linewidth=1)
            axes.axhline(50, color=LIMIT, linewidth=1)
            span = max(0.05, float((frame["frequency_hz"] - 50).abs().max()) * 1.15)
            axes.set_ylim(50 - span, 50 + span)
            axes.yaxis.set_major_locator(MaxNLocator(3))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._unit(axes, canvas, "Hz")
            return figure

        return draw("frequency", alt, drawing)

    def fleet(self, alt: str) -> Markup:
        """Power of all chargers together (discharging below zero), and each charger's own below it."""

        def drawing(canvas: Canvas) -> Figure:
            rows = self._rows(canvas)
            figure, (axes, each) = canvas.figure(250 + rows, (200, rows))
            self._time(axes, canvas, labels=False)
            for case in self._cases:
                frame = self._series.case(case)
                axes.plot(frame.index, frame["fleet_p_kw"].to_numpy(), **_LOOKS[case])
            axes.axhline(0, color=MUTED, linewidth=0.8)
            self._legend(axes, canvas, first="kW")
            power = self._series.powers(self._cases[-1])
            reach = max(0.1, float(np.nanmax(np.abs(power))))
            socs = self._series.socs(self._cases[-1])
            shown = np.where(np.isnan(socs) & (np.abs(power) < 1e-6), np.nan, power)
            title = f"each charger, from {number(-reach)} kW (orange) to +{number(reach)} kW (blue)"
            self._heatmap(figure, each, canvas, shown, _POWER, title, TwoSlopeNorm(0, -reach, reach))
            return figure

        return draw("fleet", alt, drawing)

    def state_of_charge(self, alt: str) -> Markup:
        """Mean state of charge of the connected vehicles, and each vehicle's own below it."""

        def drawing(canvas: Canvas) -> Figure:
            rows = self._rows(canvas)
            figure, (axes, each) = canvas.figure(230 + rows, (180, rows))
            self._time(axes, canvas, labels=False)
            for case in self._cases:
                frame = self._series.case(case)
                axes.plot(frame.index, frame["fleet_soc_percent"].to_numpy(np.float64), **_LOOKS[case])
            axes.set_ylim(0, 100)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
            self._legend(axes, canvas, first="mean")
            socs = self._series.socs(self._cases[-1])
            title = "each vehicle, 0 to 100 % (stronger is fuller)"
            self._heatmap(figure, each, canvas, socs, _SOC, title, Normalize(0, 100))
            return figure

        return draw("soc", alt, drawing)

    def prices(self, rounds: Sequence[Round], alt: str) -> Markup:
        """Bids and awarded prices of each round (there must be one); below, what was needed and what was awarded."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes, power) = canvas.figure(380 if canvas.narrow else 400, (5, 4))
            # The rounds' own hours, not the whole day's: quarter-hours would be slivers.
            first, last = min(market.start for market in rounds), max(market.end for market in rounds)
            pad = max(timedelta(minutes=15), (last - first) * 0.04)
            self._time(axes, canvas, labels=False, shade=False, span=(first - pad, last + pad))
            self._time(power, canvas, shade=False, span=(first - pad, last + pad))
            starts = np.array([_days(market.start) for market in rounds])
            ends = np.array([_days(market.end) for market in rounds])
            axes.hlines([float(market.max_price) for market in rounds], starts, ends, color=LIMIT, linewidth=2)
            prices = np.array([np.nan if market.price is None else float(market.price) for market in rounds])
            axes.hlines(prices, starts, ends, color=WITH, linewidth=3)
            for won in (False, True):
                bids = [
                    (middle, float(bid.price))
                    for middle, market in zip((starts + ends) / 2, rounds, strict=True)
                    for bid in market.bids
                    if (bid.awarded_kw > 0) is won
                ]
                axes.plot(
                    [x for x, _ in bids], [y for _, y in bids], "o", markersize=self._dot(canvas, starts, ends),
                    markerfacecolor=WITH if won else SURFACE, markeredgecolor=WITH if won else MUTED,
                    markeredgewidth=1.6,
                )  # fmt: skip
            needed, awarded = [market.needed_kw for market in rounds], [market.awarded_kw for market in rounds]
            power.bar(starts, needed, ends - starts, align="edge", facecolor="none", edgecolor=LIMIT, linewidth=1.4)
            power.bar(starts, awarded, ends - starts, align="edge", color=WITH, alpha=0.75)
            axes.set_ylim(bottom=0)
            axes.margins(y=0.12)
            axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._unit(axes, canvas, "EUR/kW for each 15 minutes")
            self._unit(power, canvas, "kW: needed (outline) and awarded (filled)")
            return figure

        return draw("prices", alt, drawing)

    @staticmethod
    def _dot(canvas: Canvas, starts: Any, ends: Any) -> float:
        """As wide as the shortest round, within what can be seen and what would hide its neighbours."""
        plotted = canvas.width - canvas.left - canvas.right
        return float(np.clip((ends - starts).min() / (ends.max() - starts.min()) * plotted * 0.7, 3, 10))

    # -- what the charts share

    def _time(
        self, axes: Axes, canvas: Canvas, *, labels: bool = True, shade: bool = True, span: Window | None = None
    ) -> None:
        span = span or self._span
        axes.set_xlim(*(_days(moment) for moment in span))
        hours = (span[1] - span[0]) / timedelta(hours=1)
        if hours <= 36:
            every = int(np.ceil(hours / (4 if canvas.narrow else 12)))
            every = next(step for step in (1, 2, 3, 6, 12) if step >= every)
            axes.xaxis.set_major_locator(mdates.HourLocator(range(0, 24, every), tz=self._zone))
            axes.xaxis.set_major_formatter(mdates.DateFormatter("%H:%M", tz=self._zone))
        else:
            every = int(np.ceil(hours / 24 / (4 if canvas.narrow else 10)))
            axes.xaxis.set_major_locator(mdates.DayLocator(interval=every, tz=self._zone))
            axes.xaxis.set_major_formatter(FuncFormatter(self._date))
        axes.tick_params(labelbottom=labels)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if shade:
            for start, end in self._windows:
                axes.axvspan(_days(start), _days(end), color=WINDOW, alpha=0.55, linewidth=0, zorder=0)

    def _date(self, x: float, _: object) -> str:
        moment = mdates.num2date(x, tz=self._zone)
        return f"{moment.day} {moment:%b}"

    @staticmethod
    def _limit(axes: Axes, level: float, text: str, *, above: bool = True) -> None:
        axes.axhline(level, color=LIMIT, linewidth=1.2)
        axes.annotate(
            text, (0, level), (4, 4 if above else -4), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="bottom" if above else "top", color=LIMIT, fontsize="small",
        )  # fmt: skip

    def _unit(self, axes: Axes, canvas: Canvas, text: str) -> None:
        axes.annotate(
            text, (0, 1), (-canvas.left + 4, 8), xycoords="axes fraction", textcoords="offset points", color=MUTED,
            fontsize="small",
        )  # fmt: skip

    def _legend(self, axes: Axes, canvas: Canvas, first: str = "") -> None:
        """The unit at the left above the axes, the legend at the right of the same line."""
        if first:
            self._unit(axes, canvas, first)
        handles, labels = axes.get_legend_handles_labels()
        if len(handles) > 1:
            handles, labels = handles[::-1], [label.split()[0] if canvas.narrow else label for label in labels[::-1]]
            axes.legend(
                handles, labels, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1, borderpad=0.2,
                labelcolor=INK, handlelength=2.2, columnspacing=1.4,
            )  # fmt: skip

    def _rows(self, canvas: Canvas) -> float:
        """The height of a heatmap: a few pixels for each charger, within what a screen shows."""
        return float(np.clip(len(self._series.chargers) * (4.5 if canvas.narrow else 6), 60, 420))

    def _heatmap(
        self, figure: Figure, axes: Axes, canvas: Canvas, values: Any, colours: Any, title: str, norm: Normalize
    ) -> None:
        """[minutes, chargers] as an image, charger by charger from the top; nothing where nothing is plugged in."""
        self._time(axes, canvas, shade=False)
        step = max(1, round(timedelta(minutes=5) / self._series.step(self._cases[-1])))
        start, end = (_days(moment) for moment in self._span)
        axes.imshow(
            values[::step].T, aspect="auto", interpolation="nearest", cmap=colours, norm=norm,
            extent=(start, end, values.shape[1], 0),
        )  # fmt: skip
        axes.set_yticks([])
        axes.grid(False)
        for spine in axes.spines.values():
            spine.set(visible=True, color=GRID)
        self._unit(axes, canvas, title)
        # The scale sits in the corner above the picture, as wide as its title leaves room for.
        box = axes.get_position()
        length = 90 / canvas.width
        scale = figure.add_axes((box.x1 - length, box.y1 + 9 / figure.bbox.height, length, 8 / figure.bbox.height))
        scale.imshow(np.linspace(0, 1, 64)[None, :], aspect="auto", cmap=colours)
        scale.set_axis_off()


def _days(moment: datetime) -> float:
    """A moment as matplotlib counts it."""
    return float(mdates.date2num(moment))


def _merged(windows: Sequence[Window]) -> list[Window]:
    """Windows that touch or overlap as one, so that shading does not add up."""
    merged: list[Window] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
