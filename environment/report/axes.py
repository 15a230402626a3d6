"""What the charts over the day have in common: the time axis, the looks of both cases, limits, legends, heatmaps.

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
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.report.svg import GRID, INK, LIMIT, MUTED, WINDOW, WITH, WITHOUT, Canvas
from environment.series import Case, Series

Window = tuple[datetime, datetime]

LOOKS: dict[Case, dict[str, Any]] = {
    "without": {"color": WITHOUT, "linewidth": 1.5, "linestyle": (0, (5, 2)), "label": "without flexibility"},
    "with": {"color": WITH, "linewidth": 2.2, "label": "with flexibility"},
}


class DayAxes:
    """What the charts of one run share. `windows` are the periods in which flexibility was in use; they are shaded."""

    def __init__(self, series: Series, windows: Sequence[Window]) -> None:
        self._series = series
        self._windows = merged(windows)
        index = series.index(series.cases[0])
        self._zone = index.tz
        self._span = (index[0], index[-1] + series.step(series.cases[0]))
        # Without flexibility first: the day as it was lies on top.
        self._cases: tuple[Case, ...] = tuple(case for case in ("without", "with") if case in series.cases)

    def _time(
        self, axes: Axes, canvas: Canvas, *, labels: bool = True, shade: bool = True, span: Window | None = None
    ) -> None:
        span = span or self._span
        axes.set_xlim(*(days(moment) for moment in span))
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
                axes.axvspan(days(start), days(end), color=WINDOW, alpha=0.55, linewidth=0, zorder=0)

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
        self,
        figure: Figure,
        axes: Axes,
        canvas: Canvas,
        values: Any,
        colours: Any,
        title: str,
        norm: Normalize,
        *,
        labels: bool = True,
    ) -> None:
        """[minutes, things] as an image, one row for each from the top; nothing where there is no value."""
        self._time(axes, canvas, labels=labels, shade=False)
        step = max(1, round(timedelta(minutes=5) / self._series.step(self._cases[-1])))
        start, end = (days(moment) for moment in self._span)
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


def days(moment: datetime) -> float:
    """A moment as matplotlib counts it."""
    return float(mdates.date2num(moment))


def merged(windows: Sequence[Window]) -> list[Window]:
    """Windows that touch or overlap as one, so that shading does not add up."""
    merged: list[Window] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
