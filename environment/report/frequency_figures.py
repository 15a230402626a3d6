"""The charts of frequency control: the day's frequency, a trip by the second, each portfolio's answer, its charge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from agents.decisions.fcr_time_domain import EVALUATED_S, POWER_SHARE
from environment.report.axes import LOOKS, DayAxes
from environment.report.envelope import envelope
from environment.report.frequency_services import Test
from environment.report.seconds import Frequency, Portfolio, Trip
from environment.report.svg import INK, LIMIT, MUTED, THIRD, WIND, WINDOW, WITH, Canvas, draw
from environment.report.words import number
from environment.series import Floats

BEFORE_S, AFTER_S = 20, 240
"""What a trip's charts show of the time before and after it."""
_DAY_S = 86_400.0


class FrequencyCharts(DayAxes):
    """The charts of a run that kept the seconds of its area."""

    def day(self, seconds: Frequency, trip: Trip | None, alt: str) -> Markup:
        """From the lowest to the highest second of each few minutes, in both cases."""

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(220 if canvas.narrow else 250)
            self._time(axes, canvas, shade=False)
            each = 600 if canvas.narrow else 180
            low, high = 49.85, 50.1
            for case in self._cases:
                if case not in seconds.hz:
                    continue
                hz, look = seconds.hz[case], LOOKS[case]
                at = np.arange(0, len(hz), each)
                least, most = np.fmin.reduceat(hz, at), np.fmax.reduceat(hz, at)
                times = (seconds.start_s + at) / _DAY_S
                axes.fill_between(times, least, most, color=look["color"], alpha=0.25, linewidth=0)
                axes.plot(times, least, **{**look, "linewidth": 1.1})
                axes.plot(times, most, **{**look, "linewidth": 0.8, "label": "_"})
                low, high = min(low, float(np.nanmin(hz))), max(high, float(np.nanmax(hz)))
            room = (high - low) * 0.1
            axes.set_ylim(low - room, high + room)
            for level, text in ((49.9, "49.90: FCR-D begins"), (50.1, "50.10")):
                self._limit(axes, level, text, above=level > 50)
            if trip is not None:
                hz_low, at_s = trip.nadir_hz["with"], trip.at_s + trip.nadir_after_s["with"]
                axes.plot([at_s / _DAY_S], [hz_low], "o", color=WITH, markersize=5)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._legend(axes, canvas, first="Hz")
            return figure

        return draw("hertz", alt, drawing)

    def trip(self, seconds: Frequency, trip: Trip, represents: float, alt: str) -> Markup:
        """The seconds around a trip in both cases; below, what all chargers of the run did for it (up: less drawn)."""
        span = slice(max(0, trip.at_s - BEFORE_S - seconds.start_s), trip.at_s + AFTER_S - seconds.start_s)
        t = seconds.times[span] - trip.at_s

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes, given) = canvas.figure(330 if canvas.narrow else 400, (3, 1.5))
            for each in (axes, given):
                self._seconds(each, canvas, labels=each is given)
            for case in self._cases:
                if case not in seconds.hz:
                    continue
                look = LOOKS[case]
                axes.plot(t, seconds.hz[case][span], **look)
                at, nadir = trip.nadir_after_s[case], trip.nadir_hz[case]
                axes.plot([at], [nadir], "o", color=look["color"], markersize=5)
                axes.annotate(
                    f"{number(nadir, 3)} Hz after {at} s", (at, nadir), (10, -4), textcoords="offset points",
                    va="top", color=look["color"], fontsize="small",
                )  # fmt: skip
            axes.margins(y=0.16)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._legend(axes, canvas, first="Hz")
            kw = -seconds.response_kw[span]
            given.fill_between(t, 0, kw, color=WITH, alpha=0.3, linewidth=0, step="post")
            given.plot(t, kw, color=WITH, linewidth=1.6, drawstyle="steps-post")
            given.axhline(0, color=MUTED, linewidth=0.8)
            area = f", {number(represents)} times that in the area" if represents > 1 and not canvas.narrow else ""
            self._unit(given, canvas, f"kW that all chargers gave{area}")
            return figure

        return draw("trip", alt, drawing)

    def responses(self, portfolios: Sequence[Portfolio], trip: Trip, alt: str) -> Markup:
        """One panel for each portfolio: its answer in the seconds around the trip within what the rules want."""
        shown = list(portfolios)

        def drawing(canvas: Canvas) -> Figure:
            tall = 170 if canvas.narrow else 210
            figure, every = canvas.figure(54 + (tall + 34) * len(shown) - 34, (1.0,) * len(shown))
            for axes, each in zip(every, shown, strict=True):
                self._seconds(axes, canvas, labels=axes is every[-1])
                part, early = self._around(each, trip), self._around(each, trip, lead=60)
                skip = part.start - early.start
                band = envelope(each.rules, each.capacity_kw[early], each.hz[early])
                t = each.at_s[part] - trip.at_s
                axes.fill_between(t, band.least_kw[skip:], band.most_kw[skip:], color=WIND, alpha=0.22, linewidth=0)
                axes.plot(t, band.asked_kw[skip:], color=WIND, linewidth=1.3, linestyle=(0, (4, 2)))
                axes.plot(t, -each.response_kw[part], color=WITH, linewidth=1.2, linestyle=(0, (1, 1.5)))
                axes.plot(t, -each.activated_kw[part], color=WITH, linewidth=2)
                axes.axhline(0, color=MUTED, linewidth=0.8)
                axes.margins(y=0.12)
                self._unit(axes, canvas, f"kW upwards, {each.name} ({each.rules.name})")
            return figure

        return draw("responses", alt, drawing)

    @staticmethod
    def _around(portfolio: Portfolio, trip: Trip, lead: int = 0) -> slice:
        return portfolio.between(trip.at_s - BEFORE_S - lead, trip.at_s + AFTER_S)

    def charge(self, portfolios: Sequence[Portfolio], alt: str) -> Markup:
        """One panel for each portfolio: the state of charge of what it keeps for frequency control, minute by minute,
        and where energy management was on."""

        def drawing(canvas: Canvas) -> Figure:
            tall = 110 if canvas.narrow else 130
            figure, every = canvas.figure(54 + (tall + 34) * len(portfolios) - 34, (1.0,) * len(portfolios))
            first = min(float(each.at_s[0]) for each in portfolios)
            last = max(float(each.at_s[-1]) for each in portfolios) + 1
            span = (datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC))
            for axes, each in zip(every, portfolios, strict=True):
                self._time(axes, canvas, labels=axes is every[-1], shade=False, span=span)
                for flags, colour, alpha in ((each.nem_on, THIRD, 0.3), (each.aem_on, LIMIT, 0.55)):
                    for start, end in _runs(each.at_s, flags):
                        axes.axvspan(start / _DAY_S, end / _DAY_S, color=colour, alpha=alpha, linewidth=0, zorder=0)
                times, soc = _minutes(each.at_s, each.soc_percent)
                axes.plot(times / _DAY_S, soc, color=INK, linewidth=1.6)
                axes.set_ylim(0, 100)
                axes.yaxis.set_major_locator(MaxNLocator(4))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.0f} %"))
                self._unit(axes, canvas, f"charge, {each.name} ({each.rules.name})")
            return figure

        return draw("charge", alt, drawing)

    @staticmethod
    def _seconds(axes: Axes, canvas: Canvas, *, labels: bool) -> None:
        axes.set_xlim(-BEFORE_S, AFTER_S)
        axes.xaxis.set_major_locator(MaxNLocator(5 if canvas.narrow else 11, steps=[1, 2, 3, 6, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x, 0, sign=x > 0) + " s"))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.tick_params(labelbottom=labels)
        axes.axvline(0, color=LIMIT, linewidth=1)


def ramp(test: Test, at: int, signal_s: float, alt: str) -> Markup:
    """One record of a test of FCR-D as requirements 2 and 3 read it: the power, and where it must be 7.5 s after the
    ramp began (`signal_s` into the record)."""
    record, capacity = test.records[at], test.application.capacity_kw
    t = np.arange(len(record.power_kw)) * record.sample_s - signal_s
    sign = 1.0 if record.applied_hz[-1] < 50 else -1.0
    kw = sign * (record.baseline_kw - np.asarray(record.power_kw))

    def drawing(canvas: Canvas) -> Figure:
        figure, (axes, hertz) = canvas.figure(270 if canvas.narrow else 300, (3, 1))
        inside = (t >= -5) & (t <= 30)
        for each in (axes, hertz):
            each.set_xlim(-5, 30)
            each.xaxis.set_major_locator(MaxNLocator(7))
            each.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x, 0, sign=x > 0) + " s"))
            each.axvline(0, color=LIMIT, linewidth=1)
        axes.tick_params(labelbottom=False)
        axes.axvspan(0, EVALUATED_S, color=WINDOW, alpha=0.75, linewidth=0, zorder=0)
        axes.axhspan(0.95 * capacity, 1.2 * capacity, color=WIND, alpha=0.18, linewidth=0)
        axes.axhline(capacity, color=WIND, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.plot(t[inside], kw[inside], color=WITH, linewidth=2)
        need = POWER_SHARE * capacity
        axes.plot([EVALUATED_S], [need], marker="^", color=LIMIT, markersize=8)
        axes.annotate(
            f"86 % at 7.5 s: {number(need, 1)} kW", (EVALUATED_S, need), (8, -10), textcoords="offset points",
            va="top", color=LIMIT, fontsize="small",
        )  # fmt: skip
        axes.set_ylim(bottom=min(0.0, float(kw[inside].min(initial=0.0)) * 1.1))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        hertz.plot(t[inside], np.asarray(record.applied_hz)[inside], color=INK, linewidth=1.4)
        hertz.margins(y=0.2)
        hertz.yaxis.set_major_locator(MaxNLocator(3))
        for each, text in ((axes, f"kW, {test.application.portfolio_id}"), (hertz, "Hz applied")):
            each.annotate(
                text, (0, 1), (-canvas.left + 4, 8), xycoords="axes fraction", textcoords="offset points",
                color=MUTED, fontsize="small",
            )  # fmt: skip
        return figure

    return draw(f"ramp{abs(hash_of(test.application.application_id))}", alt, drawing)


def hash_of(text: str) -> int:
    """A number of a text that is the same in every process."""
    return sum(ord(letter) * 31**place % 1_000_003 for place, letter in enumerate(text))


def _runs(at_s: Floats, flags: Floats) -> list[tuple[float, float]]:
    """From when to when a flag was on."""
    on = np.flatnonzero(np.diff(np.concatenate([[0.0], (flags > 0).astype(np.float64), [0.0]])))
    return [(float(at_s[a]), float(at_s[b - 1]) + 1) for a, b in zip(on[::2], on[1::2], strict=True)]


def _minutes(at_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """One value for each minute; a gap in the log breaks the line."""
    kept = np.flatnonzero(np.diff(at_s // 60, prepend=-1) > 0)
    times, chosen = at_s[kept], values[kept].copy()
    gaps = np.flatnonzero(np.diff(times) > 300)
    times, chosen = np.insert(times, gaps + 1, times[gaps] + 60), np.insert(chosen, gaps + 1, np.nan)
    return times, chosen
