"""The network at the moment that is shown: voltages, loadings and chargers, against the limits that the DSO keeps.

Everything is of one row of the run's series: voltages, loadings as the step ends, powers as means of the step. Arrays
follow the order of the map's buses, lines, networks and chargers; what the series does not have is NaN. A voltage in
pu is of the nominal one; in volts it is the one to neutral where the network is low voltage, else between phases.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from environment.network_map import MapBus, NetworkMap

if TYPE_CHECKING:
    from environment.watched.run import WatchedRun

Floats: TypeAlias = npt.NDArray[np.float32]
Codes: TypeAlias = npt.NDArray[np.int8]

IDLE_KW: Final = 0.05
"""Below it a charger gives and draws nothing worth saying."""
FULL_PERCENT: Final = 99.5
LOW_KV: Final = 1.0
"""Low voltage goes so far (EN 50160)."""
_HALF, _MOST = 0.5, 0.8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Voltage(IntEnum):
    """Where a bus' voltage is: outside of its limits, between a limit and half the way to nominal, or in the middle."""

    BELOW = 0
    LOW = 1
    MIDDLE = 2
    HIGH = 3
    ABOVE = 4
    UNKNOWN = 5


class Loading(IntEnum):
    """How much of what is allowed a line or a transformer carries: up to 50, 80, 100 %, or more."""

    LIGHT = 0
    MEDIUM = 1
    HEAVY = 2
    BEYOND = 3
    UNKNOWN = 4


class Charging(IntEnum):
    """What a charger does."""

    FREE = 0
    IDLE = 1
    FULL = 2
    CHARGING = 3
    GIVING = 4
    UNKNOWN = 5


STATES: Final[Mapping[Charging, str]] = {
    Charging.CHARGING: "charging",
    Charging.GIVING: "giving back",
    Charging.IDLE: "plugged in, waiting",
    Charging.FULL: "plugged in, full",
    Charging.FREE: "nobody there",
    Charging.UNKNOWN: "not known",
}

_SHORT: Final[Mapping[Charging, str]] = {
    **STATES,
    Charging.IDLE: "waiting",
    Charging.FULL: "full",
    Charging.FREE: "free",
}


@dataclass(frozen=True, eq=False)
class Moment:
    """The network in one step of the run, which begins at `at`; powers in kW, drawn is positive, loadings in percent of
    the rating, `soc_percent` NaN where no vehicle is. `transformer_limit` is the one in force."""

    at: datetime
    vm_pu: Floats
    line_percent: Floats
    transformer_percent: Floats
    transformer_limit: Floats
    power_kw: Floats
    soc_percent: Floats
    voltages: Codes
    lines: Codes
    transformers: Codes
    chargers: Codes
    totals: Mapping[str, float]


class NetworkNow:
    """The network of a run that is watched; `moment` is None while there is nothing to show, `missing` says why."""

    def __init__(self, run: WatchedRun) -> None:
        self.run = run
        self.moment: Moment | None = None
        self._rows: object = None
        self._map: NetworkMap | None = None
        self._row: int | None = None
        self._newest: str | None = None
        self._notices: dict[str, str] = {}

    @property
    def map(self) -> NetworkMap | None:
        """The network as it is drawn, None where the run folder has none."""
        return self._map

    @property
    def missing(self) -> str:
        """Why there is nothing to show, in a line; "" where there is something."""
        if self._map is None:
            return self.run.network_fault or "The network is not drawn yet: the run has only begun."
        return "" if self.moment is not None else self.run.rows_missing

    def refresh(self) -> bool:
        """Looks at the run's moment; True where another one is shown than before."""
        self._read_notices()
        rows, row = self.run.rows, self.run.row
        if rows is self._rows and row == self._row and self.run.network is self._map:
            return False
        if rows is not self._rows or self.run.network is not self._map:
            self._rows, self._map = rows, self.run.network
            self._places()
        self._row = row
        if self._map is None or rows is None or row is None:
            self.moment = None
        else:
            self.moment = self._moment(self._map, _EPOCH + timedelta(microseconds=int(rows.at[row])), rows.values[row])
        return True

    def history(self, column: str, span: timedelta = timedelta(hours=2)) -> tuple[npt.NDArray[np.int64], Floats]:
        """Times (microseconds since 1970) and values of a column in the time before the moment shown; empty where the
        series has no such column."""
        rows, row = self.run.rows, self.run.row
        if rows is None or row is None or column not in rows.columns:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        first = int(np.searchsorted(rows.at[: row + 1], rows.at[row] - span // timedelta(microseconds=1)))
        return rows.at[first : row + 1], rows.values[first : row + 1, list(rows.columns).index(column)]

    def notice_of(self, charger_id: str) -> str:
        """The newest notice that names a charger, such as that it does not answer; "" where none does."""
        return self._notices.get(charger_id, "")

    def counts(self, which: Iterable[int] | None = None) -> dict[Charging, int]:
        """How many chargers are in each state, of those with these numbers, or of all; states without any are left
        out."""
        if self.moment is None:
            return {}
        codes = self.moment.chargers if which is None else self.moment.chargers[list(which)]
        found = Counter(codes.tolist())
        return {state: found[state] for state in STATES if found[state]}

    def _read_notices(self) -> None:
        told = self.run.notices
        if self.run.network is None or not told or told[-1] is self._newest:
            return
        known = {charger.id for charger in self.run.network.chargers}
        for notice in told:
            self._notices.update({word: notice for word in re.findall(r"[\w.-]*\w", notice) if word in known})
        self._newest = told[-1]

    def _places(self) -> None:
        """Where in a row what stands."""
        if self._map is None or self.run.rows is None:
            return
        columns = {name: index for index, name in enumerate(self.run.rows.columns)}
        network = self._map

        def places(names: Iterable[str]) -> npt.NDArray[np.int64]:
            return np.array([columns.get(name, -1) for name in names], dtype=np.int64)

        self._at_bus = places(f"vm_pu:{bus.name}" for bus in network.buses)
        self._at_line = places(f"line_loading_percent:{line.name}" for line in network.lines)
        self._at_line = np.where(
            self._at_line >= 0, self._at_line, places(f"line_loading_percent.{line.name}" for line in network.lines)
        )
        # Of several networks, the first one's transformer is the run's, that of each further one stands with the lines.
        self._at_transformer = places(
            "trafo_loading_percent" if index == 0 else f"line_loading_percent:{each.transformer}"
            for index, each in enumerate(network.networks)
        )
        self._at_transformer = np.where(
            self._at_transformer >= 0,
            self._at_transformer,
            places(f"trafo_loading_percent.{each.name}" for each in network.networks),
        )
        self._at_power = places(f"p_kw:{charger.id}" for charger in network.chargers)
        self._at_soc = places(f"soc_percent:{charger.id}" for charger in network.chargers)
        self._totals = {name: index for name, index in columns.items() if ":" not in name}
        order = {each.name: index for index, each in enumerate(network.networks)}
        self._network_of_bus = np.array([order[bus.network] for bus in network.buses], dtype=np.int64)
        self._network_of_line = np.array(
            [order[network.bus[line.from_bus].network] for line in network.lines], np.int64
        )

    def _moment(self, network: NetworkMap, at: datetime, row: Floats) -> Moment:
        limits = [network.limits_at(each.name, at) for each in network.networks]
        low = np.array([each.vm_min_pu for each in limits])[self._network_of_bus]
        high = np.array([each.vm_max_pu for each in limits])[self._network_of_bus]
        allowed = np.array([each.transformer_percent for each in limits], dtype=np.float32)
        vm_pu, power_kw, soc = _take(row, self._at_bus), _take(row, self._at_power), _take(row, self._at_soc)
        line_percent, loaded = _take(row, self._at_line), _take(row, self._at_transformer)
        line_limit = np.array([each.line_percent for each in limits])[self._network_of_line]
        return Moment(
            at,
            vm_pu,
            line_percent,
            loaded,
            allowed,
            power_kw,
            soc,
            voltages_of(vm_pu, low, high),
            loadings_of(line_percent, line_limit),
            loadings_of(loaded, allowed),
            chargers_of(power_kw, soc),
            {name: float(row[index]) for name, index in self._totals.items()},
        )


def _take(row: Floats, places: npt.NDArray[np.int64]) -> Floats:
    """The values at these places, NaN where there is none (-1)."""
    found: Floats = np.where(places >= 0, row[places], np.nan).astype(np.float32)
    return found


def voltages_of(vm_pu: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Codes:
    """The class of each voltage between its limits, all in pu; exactly at a limit is within."""
    values, least, most = np.asarray(vm_pu), np.asarray(low), np.asarray(high)
    edges = (values >= np.float32(least), values >= (1 + least) / 2, values > (1 + most) / 2, values > np.float32(most))
    found = sum(edge.astype(np.int8) for edge in edges)
    return np.where(np.isnan(values), Voltage.UNKNOWN, found).astype(np.int8)


def loadings_of(percent: npt.ArrayLike, limit: npt.ArrayLike) -> Codes:
    """The class of each loading, in percent of the rating, against what is allowed; exactly at the limit is within."""
    share = np.asarray(percent) / np.asarray(limit)
    found = sum((share > edge).astype(np.int8) for edge in (_HALF, _MOST, 1.0))
    return np.where(np.isnan(share), Loading.UNKNOWN, found).astype(np.int8)


def chargers_of(power_kw: npt.ArrayLike, soc_percent: npt.ArrayLike) -> Codes:
    """What each charger does; without a state of charge no vehicle is there."""
    power, soc = np.asarray(power_kw), np.asarray(soc_percent)
    rest = np.where(np.isnan(soc), Charging.FREE, np.where(soc >= FULL_PERCENT, Charging.FULL, Charging.IDLE))
    busy = np.where(power > 0, Charging.CHARGING, Charging.GIVING)
    found = np.where(np.abs(power) > IDLE_KW, busy, rest)
    return np.where(np.isnan(power), Charging.UNKNOWN, found).astype(np.int8)


def volts(bus: MapBus, vm_pu: float) -> str:
    """A voltage as it would be measured: "224 V" to neutral, "19.6 kV" between phases; "" where it is not known."""
    if np.isnan(vm_pu):
        return ""
    kv = vm_pu * bus.nominal_kv
    return f"{kv * 1000 / np.sqrt(3):.0f} V" if bus.nominal_kv <= LOW_KV else f"{kv:.2f} kV"


def charger_words(state: Charging, power_kw: float, soc_percent: float) -> str:
    """ "charging 7.4 kW, 63 %" or "nobody there"."""
    words = STATES[state]
    if state in (Charging.CHARGING, Charging.GIVING):
        words += f" {abs(power_kw):.1f} kW"
    return words if np.isnan(soc_percent) else f"{words}, {soc_percent:.0f} %"


def together(counts: Mapping[Charging, int]) -> str:
    """ "3 charging, 7 waiting, 2 free"."""
    return ", ".join(f"{count} {_SHORT[state]}" for state, count in counts.items())
