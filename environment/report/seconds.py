"""The seconds of a run: the area's frequency in both cases, and the log of each portfolio in frequency control.

Times are seconds since 1970 (UTC). Powers in kW drawn from the grid: an activation upwards is below zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.decisions.fcr_products import RULES, FcrRules
from agents.fcr_log import LOG_FOLDER, FcrLog, log_of
from environment.frequency_series import FREQUENCY
from environment.run_folder import RunFolderError
from environment.series import CASES, Case, Floats
from protocols.exchanges.vocabulary import FcrProduct

FALL_HZ: Final = 0.12
WITHIN_S: Final = 10
"""A trip is where the frequency falls by so much within so long: ordinary noise and load do not."""
NADIR_S: Final = 60
"""The lowest value is looked for within so long after the trip began."""
SETTLED_S: Final = (120, 180)
"""The frequency has settled where its mean is taken, from the trip's beginning: after the primary response, before
what replaces the unit has come far."""
_EVER: Final = (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
_FIRST_HZ: Final = 0.01
"""A trip begins where the frequency is so far below what it was."""


@dataclass(frozen=True, eq=False)
class Frequency:
    """Hz of each second from `start_s` on, by case; `response_kw` is what the run's chargers did for it."""

    start_s: int
    hz: Mapping[Case, Floats]
    response_kw: Floats

    @property
    def times(self) -> Floats:
        return self.start_s + np.arange(len(self.hz["with"]), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Trip:
    """What the loss of a unit did: when it began, what the frequency was before, and by case the lowest and where it
    settled (Hz)."""

    at_s: int
    before_hz: float
    nadir_hz: Mapping[Case, float]
    nadir_after_s: Mapping[Case, int]
    settled_hz: Mapping[Case, float]

    @property
    def at(self) -> datetime:
        return datetime.fromtimestamp(self.at_s, UTC)


@dataclass(frozen=True, eq=False)
class Portfolio:
    """The log of one portfolio, an array for each of its columns ([seconds that were logged]).

    `soc_percent` is NaN where it is not known; `capacity_kw` is what was maintained.
    """

    name: str
    product: FcrProduct
    at_s: Floats
    hz: Floats
    power_kw: Floats
    baseline_kw: Floats
    soc_percent: Floats
    capacity_kw: Floats
    activated_kw: Floats
    nem_kw: Floats
    nem_on: Floats
    aem_on: Floats
    status_on: Floats

    @property
    def rules(self) -> FcrRules:
        return RULES[self.product]

    @property
    def response_kw(self) -> Floats:
        """All that was drawn beyond the baseline and not for energy management. A droop goes on beyond the end of the
        product's band, where `activated_kw` has only what the product is."""
        return self.power_kw - self.baseline_kw - self.nem_kw

    def between(self, from_s: float, to_s: float) -> slice:
        """The seconds from `from_s` to before `to_s`."""
        return slice(*np.searchsorted(self.at_s, (from_s, to_s)))


def frequency(folder: Path) -> Frequency | None:
    """The area's frequency, None for a run without one. Raises RunFolderError for a file that cannot be used."""
    path = folder / FREQUENCY
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, columns=["at", "case", "hz", "response_kw"])
    except (pa.ArrowInvalid, OSError, KeyError, ValueError) as reason:
        raise RunFolderError(f"{path}: {str(reason).splitlines()[0]}") from None
    case = table["case"].to_numpy()
    at_s = table["at"].cast(pa.timestamp("us")).cast(pa.int64()).to_numpy() // 1_000_000
    hz = {name: _floats(table["hz"].to_numpy()[case == name]) for name in CASES if (case == name).any()}
    if "with" not in hz:
        raise RunFolderError(f"{path}: the seconds of the day with flexibility are missing")
    served = case == "with"
    return Frequency(int(at_s[served][0]), hz, np.nan_to_num(_floats(table["response_kw"].to_numpy()[served])))


def trip(seconds: Frequency) -> Trip | None:
    """The deepest fall of the day within seconds, as it would have been without the vehicles; None where there is
    none."""
    reference = seconds.hz.get("without", seconds.hz["with"])
    if len(reference) <= WITHIN_S:
        return None
    fall = reference[:-WITHIN_S] - reference[WITHIN_S:]
    if float(np.nanmax(fall)) < FALL_HZ:
        return None
    deepest = int(np.nanargmax(fall))
    start = max(0, deepest - WITHIN_S)
    before = float(reference[start])
    falling = np.flatnonzero(np.diff(reference[start : deepest + WITHIN_S]) < -_FIRST_HZ)
    first = start + int(falling[0]) if falling.size else deepest
    nadirs: dict[Case, float] = {}
    after: dict[Case, int] = {}
    settled: dict[Case, float] = {}
    for case, hz in seconds.hz.items():
        near = hz[first : first + NADIR_S]
        late = hz[first + SETTLED_S[0] : first + SETTLED_S[1]]
        nadirs[case], after[case] = float(np.nanmin(near)), int(np.nanargmin(near))
        settled[case] = float(np.nanmean(late)) if late.size else float(hz[-1])
        before = float(reference[first])
    return Trip(seconds.start_s + first, before, nadirs, after, settled)


def portfolios(folder: Path) -> tuple[Portfolio, ...]:
    """The logs of the run, by name; none for a run without frequency control. Raises RunFolderError."""
    logs = folder / LOG_FOLDER
    if not logs.is_dir():
        return ()
    try:
        names = sorted({name[:3] for path in logs.iterdir() if (name := log_of(path)) is not None})
        return tuple(found for name in names if (found := _portfolio(FcrLog(logs, *name))) is not None)
    except (OSError, ValueError) as reason:
        raise RunFolderError(f"{logs}: {reason}") from None


def _portfolio(log: FcrLog) -> Portfolio | None:
    rows = [
        (
            s.at.timestamp(), s.hz, s.power_kw, s.baseline_kw, np.nan if s.soc_percent is None else s.soc_percent,
            s.capacity_kw, s.activated_kw, s.nem_kw, s.nem_on, s.aem_on, s.status_on,
        )
        for s in log.read(_EVER[0], _EVER[1])
    ]  # fmt: skip
    if not rows:
        return None
    values = np.array(rows, dtype=np.float64).T
    return Portfolio(log.resource, log.product, *values)


def _floats(values: object) -> Floats:
    return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Throughput:
    """What frequency control moved, in kWh: `up` was given or not drawn, `down` drawn beyond the baseline, `managed`
    moved by energy management either way."""

    up_kwh: float
    down_kwh: float
    managed_kwh: float
    nem_hours: float
    aem_hours: float
    logged_hours: float

    @property
    def total_kwh(self) -> float:
        return self.up_kwh + self.down_kwh + self.managed_kwh


def throughput(portfolio: Portfolio, part: slice = slice(None)) -> Throughput:
    """By the log, tests included; of `part` of its seconds."""
    activated = portfolio.response_kw[part]
    return Throughput(
        up_kwh=float(-activated.clip(max=0).sum() / 3600),
        down_kwh=float(activated.clip(min=0).sum() / 3600),
        managed_kwh=float(np.abs(portfolio.nem_kw[part]).sum() / 3600),
        nem_hours=float(portfolio.nem_on[part].sum() / 3600),
        aem_hours=float(portfolio.aem_on[part].sum() / 3600),
        logged_hours=len(activated) / 3600,
    )
