"""The charts of the services over the day: what was asked for and what the vehicles could give, and the prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from environment.report.axes import DayAxes, Window, days, merged
from environment.report.services import Service
from environment.report.svg import GRID, INK, LIMIT, MUTED, THIRD, WIND, WITHOUT, Canvas, draw
from environment.report.words import number, service_kind
from protocols.exchanges.vocabulary import ServiceType

COLOURS = {ServiceType.RES_CURTAILMENT: WIND, ServiceType.VOLTAGE_CONTROL: THIRD}
_LANE, _ROOM = 0.6, 0.08
"""How much of a lane its bars may fill, and what stays free below them; the rest is for the lane's name."""


class ServiceCharts(DayAxes):
    """The charts of a run with services."""

    def timeline(self, services: Sequence[Service], alt: str) -> Markup:
        """One lane for each kind and feeder; a bar up is more consumption, a bar down is less."""
        lanes: dict[tuple[ServiceType, str], list[Service]] = {}
        for service in sorted(services, key=lambda service: (service.kind, service.feeder or "")):
            lanes.setdefault((service.kind, service.feeder or ""), []).append(service)

        def drawing(canvas: Canvas) -> Figure:
            figure, (axes,) = canvas.figure(60 + (58 if canvas.narrow else 64) * len(lanes))
            self._time(axes, canvas, shade=False)
            axes.set_ylim(-len(lanes), 0)
            axes.set_yticks([])
            axes.grid(False)
            for index, ((kind, feeder), members) in enumerate(lanes.items()):
                axes.axhline(-index - 1, color=GRID, linewidth=0.8)
                most = max(abs(service.asked_kw) for service in members)
                name = service_kind(kind) + (f", {feeder}" if feeder else "")
                axes.annotate(
                    f"{name}: at most {number(most, 1)} kW", (0, -index), (4, -4),
                    xycoords=("axes fraction", "data"), textcoords="offset points", va="top", color=INK,
                    fontsize="small",
                )  # fmt: skip
                self._lane(axes, canvas, -index - 1 + _ROOM, members)
            self._unit(axes, canvas, "kW, up: more consumption")
            return figure

        return draw("services", alt, drawing)

    @staticmethod
    def _lane(axes: Axes, canvas: Canvas, floor: float, members: Sequence[Service]) -> None:
        """The bars of one lane, which begins at `floor`; zero is where both directions have their room."""
        up = max(0.0, *(service.asked_kw for service in members))
        down = max(0.0, *(-service.asked_kw for service in members))
        scale = _LANE / (up + down)
        zero = floor + down * scale
        axes.hlines([zero], *axes.get_xlim(), color=MUTED, linewidth=0.6)
        for service in members:
            start, wide = days(service.start), days(service.end) - days(service.start)
            if not service.took_place:
                axes.plot([start], [zero], "x", color=WITHOUT, markersize=5, markeredgewidth=1.6)
                continue
            axes.bar(
                start, service.available_kw * scale, wide, bottom=zero, align="edge", color=COLOURS[service.kind],
                alpha=0.85, linewidth=0,
            )  # fmt: skip
            axes.bar(
                start, service.asked_kw * scale, wide, bottom=zero, align="edge", facecolor="none", edgecolor=LIMIT,
                linewidth=0.4 if canvas.narrow else 0.9,
            )  # fmt: skip

    def prices(self, services: Sequence[Service], ordinary: Sequence[Mapping[str, Any]], alt: str) -> Markup:
        """The charging price and, below, the grid-use tariff: the ordinary ones as lines, those of services over them.

        `ordinary` has rows of `start` (ISO 8601), `grid_use_eur_per_kwh` and `charging_eur_per_kwh`, in order.
        """
        taken = [service for service in services if service.took_place]

        def drawing(canvas: Canvas) -> Figure:
            figure, (charging, grid) = canvas.figure(380 if canvas.narrow else 400, (1, 1))
            for axes, member, of in (
                (charging, "charging_eur_per_kwh", "charging_cost"),
                (grid, "grid_use_eur_per_kwh", "grid_use"),
            ):
                self._time(axes, canvas, labels=axes is grid, shade=False)
                self._ordinary(axes, ordinary, member)
                for (kind, _, price), windows in _held(taken, of).items():
                    for start, end in windows:
                        axes.hlines([price], days(start), days(end), color=COLOURS[kind], linewidth=3.5)
                axes.margins(y=0.12)
                axes.set_ylim(bottom=0)
                axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}"))
            self._unit(charging, canvas, "EUR/kWh, charging price")
            self._unit(grid, canvas, "EUR/kWh, grid-use tariff")
            return figure

        return draw("tariffs", alt, drawing)

    def _ordinary(self, axes: Axes, ordinary: Sequence[Mapping[str, Any]], member: str) -> None:
        if not ordinary:
            return
        edges = [*(datetime.fromisoformat(row["start"]) for row in ordinary), self._span[1]]
        spans = [(days(start), days(end)) for start, end in pairwise(edges)]
        prices = [float(row[member]) for row in ordinary]
        times = [moment for span in spans for moment in span]
        axes.plot(times, [price for price in prices for _ in range(2)], color=INK, linewidth=1.6)


def _held(services: Sequence[Service], of: str) -> dict[tuple[ServiceType, str, float], list[Window]]:
    """For how long each price held, by kind and feeder; `of` is the price's name. Renewals at one price are one."""
    found: dict[tuple[ServiceType, str, float], list[Window]] = {}
    for service in services:
        if (price := getattr(service, of)) is not None:
            key = (service.kind, service.feeder or "", float(price))
            found.setdefault(key, []).append((service.start, service.end))
    return {key: merged(windows) for key, windows in found.items()}
