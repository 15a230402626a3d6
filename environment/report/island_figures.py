"""The charts of an island over the day: what generated, what was curtailed, the frequency, the voltages by bus."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.en50160 import means
from environment.report.axes import LOOKS, DayAxes, days
from environment.report.svg import (
    GEOTHERMAL,
    HYDRO,
    INK,
    MUTED,
    SURFACE,
    THERMAL,
    WIND,
    WITH,
    Canvas,
    draw,
)
from environment.report.words import number
from environment.series import Case, Floats

FREQUENCY_BAND: tuple[float, float] = (49.0, 51.0)
"""EN 50160:2010, 4.2.1: +-2 % for 95 % of a week where no other system holds the frequency, as on islands."""
_STACK = (
    ("geothermal_kw", GEOTHERMAL),
    ("hydro_kw", HYDRO),
    ("thermal_kw", THERMAL),
    ("wind_kw", WIND),
)
_LOW, _HIGH = (0.78, 0.2, 0.05), (0.55, 0.25, 0.7)
# From 0.85 to 1.15: what is within +-10 % fades into the page, what is outside is solid.
_VOLTS = LinearSegmentedColormap.from_list(
    "volts",
    [
        (0.0, (*_LOW, 1.0)),
        (0.05 / 0.3, (*_LOW, 0.95)),
        (0.05 / 0.3 + 1e-6, (*_LOW, 0.3)),
        (0.5, (0.5, 0.5, 0.5, 0.1)),
        (0.25 / 0.3 - 1e-6, (*_HIGH, 0.3)),
        (0.25 / 0.3, (*_HIGH, 0.95)),
        (1.0, (*_HIGH, 1.0)),
    ],
    N=600,
)


class IslandCharts(DayAxes):
    """The charts of a run whose series has the island's columns."""

    def supply(self, alt: str) -> Markup:
        """Generation by kind, stacked, what was curtailed hatched on top, and the demand; one panel for each case."""

        def drawing(canvas: Canvas) -> Figure:
            panels = (1.0,) * len(self._cases)
            figure, every = canvas.figure((200 if canvas.narrow else 230) * len(panels) + 30, panels, gap=30)
            top = 0.0
            for axes, case in zip(every, self._cases, strict=True):
                self._time(axes, canvas, labels=axes is every[-1])
                top = max(top, self._stack(axes, canvas, case))
                self._unit(axes, canvas, f"kW, {LOOKS[case]['label']}")
            for axes in every:
                axes.set_ylim(0, top * 1.05 or 1.0)
            return figure

        return draw("supply", alt, drawing)

    def _stack(self, axes: Axes, canvas: Canvas, case: Case) -> float:
        """One panel; returns how high it reaches."""
        frame = self._series.case(case)
        each = max(1, len(frame) // (96 if canvas.narrow else 288))
        starts = np.arange(0, len(frame), each)
        counts = np.diff(np.append(starts, len(frame)))
        at = frame.index[starts]

        def mean(column: str) -> Floats:
            values: Floats = np.add.reduceat(frame[column].to_numpy(np.float64), starts) / counts
            return values

        base = np.zeros(len(starts))
        for column, colour in _STACK:
            above = base + mean(column)
            axes.fill_between(at, base, above, facecolor=colour, edgecolor=SURFACE, linewidth=0.6)
            base = above
        lost = base + mean("curtailed_kw")
        axes.fill_between(
            at, base, lost, where=lost > base + 0.05, facecolor="none", edgecolor=WIND, hatch="/////", linewidth=0.8
        )
        demand = mean("island_demand_kw")
        axes.plot(at, demand, color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
        axes.plot(at, demand + mean("island_ev_kw"), color=INK, linewidth=1.9)
        return float(np.nanmax([lost.max(), demand.max()]))

    def curtailed(self, alt: str) -> Markup:
        """The curtailed power of both cases; between them what was saved."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(210 if canvas.narrow else 230)
            self._time(axes, canvas)
            for case in self._cases:
                frame = self._series.case(case)
                axes.plot(frame.index, frame["curtailed_kw"].to_numpy(), **LOOKS[case])
            if len(self._cases) > 1:
                before, after = (self._series.case(case)["curtailed_kw"] for case in self._cases)
                low, high = after.to_numpy(), before.reindex(after.index).to_numpy()
                each = max(1, len(low) // (120 if canvas.narrow else 360))
                at = np.arange(0, len(low), each)
                axes.fill_between(
                    after.index[at], low[at], high[at], where=high[at] > low[at], color=WIND, alpha=0.3, linewidth=0
                )
            axes.set_ylim(bottom=0)
            self._legend(axes, canvas, first="kW")
            return figure

        return draw("curtailed", alt, drawing)

    def frequency(self, alt: str) -> Markup:
        """The lowest frequency within each minute in both cases, the deepest dip told."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(220 if canvas.narrow else 240)
            self._time(axes, canvas, shade=False)
            low, high = 49.9, 50.1
            for case in self._cases:
                frame = self._series.case(case)
                values = frame["frequency_min_hz"].to_numpy(np.float64)
                look = {**LOOKS[case], "linewidth": 1.3}
                axes.plot(frame.index, values, **look)
                low, high = min(low, float(np.nanmin(values))), max(high, float(np.nanmax(values)))
            axes.axhline(50, color=MUTED, linewidth=0.8)
            room = (high - low) * 0.12
            axes.set_ylim(low - 2 * room, high + room)
            for level, above in zip(FREQUENCY_BAND, (True, False), strict=True):
                if low - room < level < high + room:
                    self._limit(axes, level, f"EN 50160, islands: {level:.0f} Hz", above=above)
            self._dip(axes)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._legend(axes, canvas, first="Hz")
            return figure

        return draw("frequency", alt, drawing)

    def _dip(self, axes: Axes) -> None:
        frame = self._series.case("with")
        values = frame["frequency_min_hz"].to_numpy(np.float64)
        where = int(np.nanargmin(values))
        late = where > 0.7 * len(values)
        axes.plot([frame.index[where]], [values[where]], "o", color=WITH, markersize=5)
        axes.annotate(
            f"{number(values[where], 2)} Hz at {frame.index[where]:%H:%M}", (days(frame.index[where]), values[where]),
            (-8 if late else 8, -2), textcoords="offset points", ha="right" if late else "left", va="top", color=INK,
        )  # fmt: skip

    def buses(self, alt: str) -> Markup:
        """The 10-minute mean of every bus over the day, one strip for each case."""

        def drawing(canvas: Canvas) -> Figure:
            rows = float(np.clip(len(self._series.buses) * (2.4 if canvas.narrow else 3.2), 70, 260))
            panels = (rows,) * len(self._cases)
            gap = 34.0
            figure, every = canvas.figure(rows * len(panels) + gap * (len(panels) - 1) + 54, panels, gap=gap)
            for axes, case in zip(every, self._cases, strict=True):
                step = self._series.step(case)
                mean, minutes = means(self._series.voltages(case), step)
                steps = np.rint(minutes / (step / timedelta(minutes=1))).astype(int)
                self._heatmap(
                    figure, axes, canvas, np.repeat(mean, steps, axis=0), _VOLTS, str(LOOKS[case]["label"]),
                    Normalize(0.85, 1.15), labels=axes is every[-1],
                )  # fmt: skip
            return figure

        return draw("buses", alt, drawing)
