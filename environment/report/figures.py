"""The charts of the report over the day: transformer, voltages, frequency, fleet, state of charge, prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.en50160 import HIGH_PU, LOW_PU
from environment.report.axes import LOOKS, DayAxes, days
from environment.report.market import Round
from environment.report.svg import LIMIT, MUTED, SURFACE, THIRD, WITH, Canvas, draw
from environment.report.words import number

# Both scales fade into the page, light or dark: nothing happens there, or the battery is empty.
_POWER = LinearSegmentedColormap.from_list(
    "power",
    [(0.88, 0.42, 0.0, 1.0), (0.94, 0.6, 0.2, 0.6), (0.5, 0.5, 0.5, 0.16), (0.2, 0.6, 0.9, 0.6), (0.0, 0.5, 0.8, 1.0)],
)
_SOC = LinearSegmentedColormap.from_list("soc", [(0.5, 0.5, 0.5, 0.12), (0.35, 0.7, 0.75, 0.5), (0.1, 0.5, 0.7, 1.0)])


class DayCharts(DayAxes):
    """The charts that every run has, and those of a market's rounds."""

    def transformer(self, alt: str) -> Markup:
        """Transformer loading in percent of its rating, what is above it filled."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(270 if canvas.narrow else 320)
            self._time(axes, canvas)
            top = 0.0
            for case in self._cases:
                frame = self._series.case(case)
                loading = frame["trafo_loading_percent"].to_numpy()
                axes.plot(frame.index, loading, **LOOKS[case])
                axes.fill_between(
                    frame.index, 100, loading, where=loading > 100, color=LOOKS[case]["color"], alpha=0.22, linewidth=0
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
                look = LOOKS[case]
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
                axes.plot(frame.index, frame["fleet_p_kw"].to_numpy(), **LOOKS[case])
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
                axes.plot(frame.index, frame["fleet_soc_percent"].to_numpy(np.float64), **LOOKS[case])
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
            starts = np.array([days(market.start) for market in rounds])
            ends = np.array([days(market.end) for market in rounds])
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
