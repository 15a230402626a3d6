"""What a run's series and summary tell of public stations: flows and loadings of lines, powers of stations.

Powers in kW drawn from the network, energies in kWh; quarter hours are the rows of the series.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from environment.public_columns import CAP, FLOW, HIGHEST, LOADING, REVERSE, STATION
from environment.report.material import Material
from environment.report.public_services import PublicServices
from environment.report.words import account_name
from environment.series import Case, Floats


@dataclass(frozen=True)
class PublicRun:
    """One run of public stations. `noted` is what the summary has of them."""

    run: Material
    services: PublicServices
    noted: Mapping[str, Any]

    # ---- the series

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return self._named(LOADING)

    @cached_property
    def stations(self) -> tuple[str, ...]:
        return self._named(STATION)

    @property
    def cases(self) -> tuple[Case, ...]:
        """Those that were recorded, `without` first."""
        return tuple(case for case in ("without", "with") if case in self.run.figures)

    @property
    def base(self) -> Case:
        """The case that is compared with: `without`, where it was recorded."""
        return self.cases[0]

    @property
    def hours(self) -> float:
        """The length of a row."""
        return self.run.series.step("with") / timedelta(hours=1)

    @cached_property
    def starts(self) -> npt.NDArray[np.datetime64]:
        """The starts of the rows, UTC."""
        found: npt.NDArray[np.datetime64] = self.run.index.tz_convert("UTC").tz_localize(None).to_numpy()
        return found

    def column(self, case: Case, kind: str, name: str) -> Floats:
        """One further column of a case, on the rows of `with`; what is missing counts as 0."""
        values = self.run.series.case(case)[kind + name].reindex(self.run.index)
        found: Floats = np.nan_to_num(values.to_numpy(np.float64))
        return found

    def cap_kw(self, station: str) -> Floats:
        """The activated limit of each row, nan where there is none."""
        found: Floats = self.run.series.case("with")[CAP + station].to_numpy(np.float64)
        return found

    def station_kw(self, case: Case, station: str) -> Floats:
        return self.column(case, STATION, station)

    def highest_kw(self, station: str) -> Floats:
        """The highest power of any moment of each row, with flexibility."""
        return self.column("with", HIGHEST, station)

    def reverse_kw(self, case: Case, line: str) -> Floats:
        """What flows back through a line, >= 0."""
        return self.column(case, REVERSE, line)

    def flow_kw(self, case: Case, line: str) -> Floats:
        """Active power through a line, below 0 where it flows back."""
        return self.column(case, FLOW, line) if FLOW + line in self.run.series.extra else -self.reverse_kw(case, line)

    def loading(self, case: Case, line: str) -> Floats:
        return self.column(case, LOADING, line)

    def rows(self, start: datetime, end: datetime) -> npt.NDArray[np.bool_]:
        """The rows of a period."""
        low, high = (np.datetime64(at.astimezone(UTC).replace(tzinfo=None)) for at in (start, end))
        return (self.starts >= low) & (self.starts < high)

    # ---- lines

    @property
    def limit_percent(self) -> float:
        """How much of its rating a line may carry."""
        return float(self.noted.get("line_limit_percent", 100.0))

    def buses(self, line: str) -> tuple[str, ...]:
        """The buses that are fed through a line; empty where the summary does not say."""
        return tuple(self._line(line).get("buses", ()))

    def overload_kw(self, case: Case, line: str) -> Floats:
        """Apparent power above the line's limit in each row, kVA."""
        above = np.clip(self.loading(case, line) - self.limit_percent, 0, None)
        return above / 100 * float(self._line(line).get("rating_kva", 0.0))

    def overload_kwh(self, case: Case, rows: npt.NDArray[np.bool_] | None = None) -> float:
        """What passed all lines above their limits."""
        total = sum((self.overload_kw(case, line) for line in self.lines), np.zeros(len(self.starts)))
        return float(total[rows if rows is not None else slice(None)].sum()) * self.hours

    def reverse_kwh(self, case: Case, line: str, rows: npt.NDArray[np.bool_] | None = None) -> float:
        return float(self.reverse_kw(case, line)[rows if rows is not None else slice(None)].sum()) * self.hours

    @cached_property
    def worst(self) -> str:
        """The line that is loaded most without flexibility, by its limit."""
        return max(self.lines, key=lambda line: self.loading(self.base, line).max() / self.limit_percent)

    # ---- stations

    def bus_of(self, station: str) -> str:
        registered = self.services.stations.get(station)
        if registered is not None:
            return registered.location
        return str(self._stations.get(station, {}).get("location", ""))

    def cpo_of(self, station: str) -> str:
        """The account of the operator."""
        if station in self.services.owners:
            return account_name(self.services.owners[station])
        return str(self._stations.get(station, {}).get("cpo", ""))

    def connection_kw(self, station: str) -> float:
        registered = self.services.stations.get(station)
        return (
            registered.connection_kw if registered else float(self._stations.get(station, {}).get("connection_kw", 0))
        )

    def chargers(self, station: str) -> int:
        registered = self.services.stations.get(station)
        return int(self._stations.get(station, {}).get("chargers", 0)) if registered is None else registered.chargers

    def energy_kwh(self, case: Case, station: str) -> float:
        return float(self.station_kw(case, station).sum()) * self.hours

    # ---- what the summary has

    @property
    def _stations(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.noted.get("stations", {})
        return found

    def _line(self, line: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.noted.get("lines", {}).get(line, {})
        return found

    def _named(self, kind: str) -> tuple[str, ...]:
        return tuple(name[len(kind) :] for name in self.run.series.extra if name.startswith(kind))


def named(line: str) -> str:
    """A line within a sentence: `line 3-8`."""
    return line[0].lower() + line[1:] if line.lower().startswith("line") else f"line {line}"
