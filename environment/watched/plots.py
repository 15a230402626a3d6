"""What a run's series has to plot: the charts, their curves and limits, and each curve in a bearable number of points.

A chart is there where the series has its columns: every run has the transformer, voltages, powers, state of charge and
frequency, an island its generation, campuses a transformer each, public stations their power and that of the lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from agents.grid_view import EN50160_NORMAL_BAND
from environment.network_map import NetworkMap
from environment.public_columns import CAP, FLOW, STATION
from environment.watched.thinning import POINTS, Floats, Thinned, Times

if TYPE_CHECKING:
    from environment.watched.run import WatchedRun

_LIMIT: Final = "limit:"
_SECOND: Final = 1_000_000
STEPS_FROM: Final = timedelta(minutes=5)
"""Rows that last so long or longer are drawn as steps: a quarter-hour's mean is no point."""


class Span(StrEnum):
    """How much of the run is shown."""

    TWO_HOURS = "2 h"
    SIX_HOURS = "6 h"
    ALL = "all"

    @property
    def length(self) -> timedelta | None:
        """None for the whole run."""
        return {Span.TWO_HOURS: timedelta(hours=2), Span.SIX_HOURS: timedelta(hours=6)}.get(self)


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve: `column` of the series; `colour` names its colour, the same everywhere. `stacked`: its mean is stacked
    on the curves before it; `dashed`: what limits or could be."""

    name: str
    column: str
    colour: str
    stacked: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: `limits` are named horizontal lines; `about` says what is seen; `least` and `most` are what its axis
    shows at least."""

    key: str
    title: str
    unit: str
    about: str
    curves: tuple[Curve, ...]
    limits: tuple[tuple[str, float], ...] = ()
    least: float | None = None
    most: float | None = None
    digits: int = 1


class Plots:
    """The charts of a run that is watched; `charts` is empty as long as there is no series."""

    def __init__(self, run: WatchedRun) -> None:
        self.run = run
        self.charts: tuple[Chart, ...] = ()
        self._rows: object = None
        self._map: NetworkMap | None = None
        self._row: int | None = None
        self._column: Mapping[str, int] = {}
        self._thinned: dict[str, Thinned] = {}

    @property
    def missing(self) -> str:
        """Why there is nothing to plot, in a line; "" where there is something."""
        return "" if self.charts and self._row is not None else self.run.rows_missing

    @property
    def steps(self) -> bool:
        """Whether rows last so long that they are drawn as steps."""
        return self._step_us >= STEPS_FROM // timedelta(microseconds=1)

    @property
    def offset(self) -> timedelta:
        """What local time is ahead of UTC, as the run begins: a change of clocks within it does not bend the axis."""
        rows = self.run.rows
        if rows is None or not len(rows.at):
            return timedelta(0)
        return _moment(int(rows.at[0])).astimezone(self.run.zone).utcoffset() or timedelta(0)

    def refresh(self) -> bool:
        """Looks at the run's moment; True where another one is shown than before."""
        rows, row = self.run.rows, self.run.row
        if rows is self._rows and row == self._row and self.run.network is self._map:
            return False
        if rows is not self._rows or self.run.network is not self._map:
            self._rows, self._map, self._thinned = rows, self.run.network, {}
            self._column = {} if rows is None else {name: index for index, name in enumerate(rows.columns)}
            self.charts = tuple(_charts(tuple(self._column), self._map))
        self._row = row
        return True

    def window(self, span: Span) -> tuple[int, int]:
        """The first and the last time of a span that is shown, in microseconds since 1970: it ends with the last step,
        and begins with the run where that is shorter."""
        rows, row = self.run.rows, self._row
        if rows is None or row is None:
            return 0, 0
        begin, end = int(rows.at[0]), int(rows.at[row]) + self._step_us
        return (
            (begin, end) if span.length is None else (max(begin, end - span.length // timedelta(microseconds=1)), end)
        )

    def points(self, curve: Curve, span: Span) -> tuple[Times, Floats]:
        """The points of a curve within a span, at most 720: times in microseconds since 1970, and values."""
        rows, row = self.run.rows, self._row
        if rows is None or row is None:
            return np.empty(0, np.int64), np.empty(0)
        if curve.column.startswith(_LIMIT):
            return self._limit(curve.column.removeprefix(_LIMIT), span)
        begin, _ = self.window(span)
        values = rows.values[: row + 1, self._column[curve.column]]
        if span is Span.ALL:
            thinned = self._thinned.setdefault(curve.column, Thinned(means=curve.stacked))
            return thinned.points(rows.at[: row + 1], values)
        first = int(np.searchsorted(rows.at[: row + 1], begin))
        return Thinned(means=curve.stacked).points(rows.at[first : row + 1], values[first:])

    def latest(self, curve: Curve) -> float:
        """The value at the moment shown, NaN where there is none."""
        if self.run.rows is None or self._row is None:
            return float("nan")
        if curve.column.startswith(_LIMIT):
            return float(self._limit(curve.column.removeprefix(_LIMIT), Span.ALL)[1][-1])
        return float(self.run.rows.values[self._row, self._column[curve.column]])

    def means_of(self, span: Span) -> timedelta | None:
        """Over how long the means of stacked curves are taken; None where every row is shown."""
        widths = [self._thinned[c.column].width for chart in self.charts for c in chart.curves if c.stacked
                  and c.column in self._thinned]  # fmt: skip
        if span is not Span.ALL or not widths or max(widths) == 1:
            return None
        return timedelta(microseconds=max(widths) * self._step_us)

    @property
    def _step_us(self) -> int:
        rows = self.run.rows
        if rows is None or len(rows.at) < 2:
            return 60 * _SECOND
        return int(rows.at[1] - rows.at[0])

    def _limit(self, network: str, span: Span) -> tuple[Times, Floats]:
        """The transformer's limit of a network over a span, a point at each change."""
        assert self._map is not None  # there is no such curve without a map
        begin, end = self.window(span)
        changes = [_micros(change.at) for change in self._map.changes if change.network == network]
        at = [begin, *(change for change in changes if begin < change < end), end]
        values = [self._map.limits_at(network, _moment(moment)).transformer_percent for moment in at]
        return np.array(at, np.int64)[-POINTS:], np.array(values)[-POINTS:]


def _charts(columns: Sequence[str], network: NetworkMap | None) -> Iterator[Chart]:
    if not columns:
        return
    yield _transformers(columns, network)
    line_limit = min((each.line_percent for each in network.limits.values()), default=100.0) if network else 100.0
    yield Chart(
        "lines", "Most loaded line", "%", "The line that carries the most of its rated current.",
        (Curve("most loaded line", "line_loading_percent_max", "main"),), (("limit", line_limit),), 0.0, 120.0, 0,
    )  # fmt: skip
    low, high = EN50160_NORMAL_BAND
    yield Chart(
        "voltages", "Voltages", "pu", "The lowest and the highest bus voltage, between the limits of EN 50160.",
        (Curve("highest", "vm_pu_max", "third"), Curve("lowest", "vm_pu_min", "main")),
        (("EN 50160, most", high), ("EN 50160, least", low)), low - 0.05, high + 0.05, 3,
    )  # fmt: skip
    yield Chart(
        "power", "Power", "kW", "Drawn is above 0; photovoltaics feed in and are below it.",
        (
            Curve("chargers", "fleet_p_kw", "main"),
            Curve("other load", "load_kw", "load"),
            Curve("photovoltaics", "pv_kw", "pv"),
        ), (), 0.0, None, 1,
    )  # fmt: skip
    yield Chart(
        "soc", "State of charge", "%", "The mean of the vehicles that are plugged in.",
        (Curve("state of charge", "fleet_soc_percent", "main"),), (), 0.0, 100.0, 0,
    )  # fmt: skip
    yield Chart(
        "connected", "Vehicles plugged in", "", "How many chargers have a vehicle.",
        (Curve("plugged in", "connected", "main"),), (), 0.0, None, 0,
    )  # fmt: skip
    yield from _island(columns)
    yield from _stations(columns)
    hertz = [Curve("frequency", "frequency_hz", "third")]
    if "frequency_min_hz" in columns:
        hertz.append(Curve("lowest within the minute", "frequency_min_hz", "load"))
    yield Chart(
        "frequency", "Frequency", "Hz", "The frequency of the area, nominal 50 Hz.",
        tuple(hertz), (("", 50.0),), 49.9, 50.1, 3,
    )  # fmt: skip


def _transformers(columns: Sequence[str], network: NetworkMap | None) -> Chart:
    """Each network's transformer; where a limit changes while the run lasts, it is a curve."""
    about = "Loading of the transformer in percent of its rating."
    if network is None or len(network.networks) < 2:
        limit = 100.0 if network is None else network.limits[network.networks[0].name].transformer_percent
        curve = Curve("transformer", "trafo_loading_percent", "main")
        return Chart("transformer", "Transformer", "%", about, (curve,), (("limit", limit),), 0.0, 120.0, 0)
    curves = []
    for index, each in enumerate(network.networks):
        names = ("trafo_loading_percent",) if index == 0 else ()
        names = (*names, f"line_loading_percent:{each.transformer}", f"trafo_loading_percent.{each.name}")
        column = next((name for name in names if name in columns), None)
        if column is not None:
            colour = ("main", "load", "third", "pv")[index % 4]
            curves.append(Curve(each.name, column, colour))
            curves.append(Curve(f"limit {each.name}", _LIMIT + each.name, colour, dashed=True))
    return Chart("transformer", "Transformers", "%", about, tuple(curves), (), 0.0, 120.0, 0)


def _island(columns: Sequence[str]) -> Iterator[Chart]:
    if "island_demand_kw" not in columns:
        return
    kinds = ("geothermal", "hydro", "thermal", "wind")
    yield Chart(
        "generation", "Generation of the island's slice", "kW",
        "Generation by kind, one on the other; demand and vehicles as lines.",
        (
            *(Curve(kind, f"{kind}_kw", kind, stacked=True) for kind in kinds),
            Curve("demand without vehicles", "island_demand_kw", "ink"),
            Curve("vehicles", "island_ev_kw", "main"),
        ), (), 0.0, None, 0,
    )  # fmt: skip
    yield Chart(
        "curtailment", "Wind: possible, used, thrown away", "kW", "What the wind could give, gives, and is not taken.",
        (
            Curve("possible", "wind_available_kw", "ink", dashed=True),
            Curve("used", "wind_kw", "wind"),
            Curve("thrown away", "curtailed_kw", "load"),
        ), (), 0.0, None, 0,
    )  # fmt: skip


def _stations(columns: Sequence[str]) -> Iterator[Chart]:
    """Public stations with the caps that are in force, and the power through each line."""
    stations = [name.removeprefix(STATION) for name in columns if name.startswith(STATION)]
    if stations:
        curves = []
        for index, station in enumerate(stations):
            curves.append(Curve(station, STATION + station, f"series{index % 8}"))
            curves.append(Curve(f"cap {station}", CAP + station, f"series{index % 8}", dashed=True))
        yield Chart(
            "stations", "Public stations", "kW", "Mean power of each station; dashed the cap that the DSO activated.",
            tuple(curve for curve in curves if curve.column in columns), (), 0.0, None, 0,
        )  # fmt: skip
    flows = [name.removeprefix(FLOW) for name in columns if name.startswith(FLOW)]
    if flows:
        yield Chart(
            "flows", "Power through the lines", "kW", "Seen from the substation; below 0 the sun feeds back.",
            tuple(
                Curve(line, FLOW + line, f"series{index % 8}", dashed=index >= 8) for index, line in enumerate(flows)
            ), (), digits=0,
        )  # fmt: skip


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
