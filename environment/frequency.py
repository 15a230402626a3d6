"""The frequency of a synchronous area, so that a sensor has something true to read.

One machine stands for the whole area (aggregated swing equation), with the load's own damping and primary control:

    M df/dt = dP_gen - dP_load + P_primary - D df        M = T_a P_load / f0,  D = d P_load
    tau dP_primary/dt = sat(-K df) - P_primary           sat at +-FCR

in MW, Hz, s. Held constant, an imbalance dP moves the frequency by dP / (D + K) until the reserve is used up. Secondary
control is not modelled: what it leaves, an imbalance that wanders around zero, is the seeded noise.
"""

from __future__ import annotations

import csv
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from scipy.linalg import expm

from agents.grid_view import Floats
from protocols.units import NOMINAL_HZ

SECOND: Final = timedelta(seconds=1)


class FrequencyError(ValueError):
    """A frequency that cannot be had, in one line (for a file: with the line's number)."""


class FrequencySource(Protocol):
    """The grid's frequency in Hz at an instant."""

    def at(self, instant: datetime) -> float: ...


@dataclass(frozen=True, slots=True)
class SynchronousArea:
    """The numbers of one synchronous area.

    `load_mw`: the load at the time; `starting_time_s`: T_a = 2 H, the time in which the load's power would bring the
    rotating masses to rated speed; `load_damping_per_hz`: share of the load for each Hz; `droop_mw_per_hz`: K of
    primary control; `reserve_mw`: where it saturates; `governor_s`: tau.
    """

    load_mw: float
    starting_time_s: float
    load_damping_per_hz: float
    droop_mw_per_hz: float
    reserve_mw: float
    governor_s: float

    @property
    def damping_mw_per_hz(self) -> float:
        """D: what the load gives back for each Hz."""
        return self.load_damping_per_hz * self.load_mw

    @property
    def inertia_mw_s_per_hz(self) -> float:
        """M: the power that changes the frequency by 1 Hz in a second."""
        return self.starting_time_s * self.load_mw / NOMINAL_HZ

    def steady_deviation_hz(self, imbalance_mw: float) -> float:
        """Where an imbalance (generation minus load) leaves the frequency, once primary control has settled."""
        deviation = imbalance_mw / (self.damping_mw_per_hz + self.droop_mw_per_hz)
        if abs(deviation * self.droop_mw_per_hz) > self.reserve_mw:
            beyond = imbalance_mw - math.copysign(self.reserve_mw, imbalance_mw)
            deviation = beyond / self.damping_mw_per_hz if self.damping_mw_per_hz else math.copysign(math.inf, beyond)
        return deviation


CONTINENTAL_EUROPE: Final = SynchronousArea(
    load_mw=200_000.0,  # between 150 GW off peak and 300 GW at peak: UCTE Operation Handbook, Appendix 1, A (2004)
    starting_time_s=11.0,  # "10 to 12 s": same place
    load_damping_per_hz=0.01,  # self-regulation of the load 1 %/Hz: same place
    droop_mw_per_hz=15_000.0,  # 3000 MW at the full activation deviation of 200 mHz: SO GL 2017/1485, Annex V
    reserve_mw=3_000.0,  # the reference incident: SO GL 2017/1485, Art. 153(2)(b)(i)
    governor_s=10.0,  # 95 % in 30 s, the full activation time: SO GL 2017/1485, Annex V
)
"""Continental Europe by its design rules, contracted reserve only; what is measured is stiffer, 26 to 27 GW/Hz."""

WANDER_S: Final = 300.0
"""How long an imbalance lasts: secondary control's time scale (SO GL: restored within 15 minutes, three of these)."""
ORDINARY_DEVIATION_HZ: Final = 0.02
"""Standard deviation of an ordinary day's frequency in Continental Europe, about 20 mHz; sets the imbalance's size."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Generation lost (MW > 0) or load lost (MW < 0) at an instant; replaced evenly over the 15 minutes that follow."""

    at: datetime
    lost_mw: float
    replaced_after: timedelta = timedelta(minutes=15)

    def imbalance_mw(self, instant: datetime) -> float:
        """Generation minus load that this incident causes at an instant."""
        since = (instant - self.at) / self.replaced_after
        return -self.lost_mw * (1 - since) if 0 <= since < 1 else 0.0


class SwingModel:
    """The frequency second by second, computed a minute at a time as far as somebody looks."""

    def __init__(
        self,
        area: SynchronousArea,
        start: datetime,
        *,
        rng: np.random.Generator | None = None,
        incidents: Sequence[Incident] = (),
        ordinary_deviation_hz: float = ORDINARY_DEVIATION_HZ,
    ) -> None:
        """`rng`: from the run's seed; without it there is no noise. `start`: aware; nothing is known before it."""
        self.area = area
        self.start = start.astimezone(UTC)
        self.incidents = tuple(incidents)
        self._rng = rng
        self._noise_mw = ordinary_deviation_hz * (area.damping_mw_per_hz + area.droop_mw_per_hz)
        self._step = _Second(area)
        self._deviation_hz = 0.0
        self._primary_mw = 0.0
        self._wander_mw = 0.0 if rng is None else self._noise_mw * float(rng.standard_normal())
        self._hz: list[float] = [NOMINAL_HZ]

    def at(self, instant: datetime) -> float:
        """Hz at the second that `instant` lies in. Raises FrequencyError before `start`."""
        index = (instant.astimezone(UTC) - self.start) // SECOND
        if index < 0:
            raise FrequencyError(f"frequency: {instant.isoformat()} lies before the start of the run")
        while index >= len(self._hz):
            self._minute()
        return self._hz[index]

    def series(self, start: datetime, seconds: int) -> Floats:
        """Hz for each second from `start`."""
        self.at(start + seconds * SECOND)
        first = (start.astimezone(UTC) - self.start) // SECOND
        return np.array(self._hz[first : first + seconds])

    def _minute(self) -> None:
        """Sixty seconds more: the imbalance held for each second, the rest solved exactly."""
        first = len(self._hz) - 1
        noise = np.zeros(60) if self._rng is None else self._rng.standard_normal(60)
        stay = math.exp(-1 / WANDER_S)
        kick = self._noise_mw * math.sqrt(1 - stay**2)
        for second in range(60):
            instant = self.start + (first + second) * SECOND
            imbalance = self._wander_mw + sum(incident.imbalance_mw(instant) for incident in self.incidents)
            self._deviation_hz, self._primary_mw = self._step(self._deviation_hz, self._primary_mw, imbalance)
            self._wander_mw = stay * self._wander_mw + kick * float(noise[second])
            self._hz.append(NOMINAL_HZ + self._deviation_hz)


class _Second:
    """The equations solved exactly over one second in which the imbalance is held.

    They are linear while the droop asks for less than the reserve, and linear again, with the reserve as a constant,
    while it asks for more; a second in which that changes is taken as it began.
    """

    def __init__(self, area: SynchronousArea) -> None:
        m, tau = area.inertia_mw_s_per_hz, area.governor_s
        self._saturates_at_hz = area.reserve_mw / area.droop_mw_per_hz if area.droop_mw_per_hz else math.inf
        self._reserve_mw = area.reserve_mw
        # States: deviation, primary control, imbalance, the constant target; the last two do not change.
        swing, still = [-area.damping_mw_per_hz / m, 1 / m, 1 / m, 0.0], [0.0] * 4
        droop = expm(np.array([swing, [-area.droop_mw_per_hz / tau, -1 / tau, 0.0, 0.0], still, still]))
        limit = expm(np.array([swing, [0.0, -1 / tau, 0.0, 1 / tau], still, still]))
        self._droop: list[list[float]] = droop[:2].tolist()
        self._limit: list[list[float]] = limit[:2].tolist()

    def __call__(self, deviation_hz: float, primary_mw: float, imbalance_mw: float) -> tuple[float, float]:
        """Deviation (Hz) and primary control (MW) a second later."""
        saturated = abs(deviation_hz) > self._saturates_at_hz
        target = -math.copysign(self._reserve_mw, deviation_hz) if saturated else 0.0
        (ff, fp, fi, ft), (pf, pp, pi, pt) = self._limit if saturated else self._droop
        return (
            ff * deviation_hz + fp * primary_mw + fi * imbalance_mw + ft * target,
            pf * deviation_hz + pp * primary_mw + pi * imbalance_mw + pt * target,
        )


class FrequencyFile:
    """A measured frequency: CSV with the columns `timestamp` (ISO 8601 with offset, ascending) and `frequency` (Hz)."""

    def __init__(self, path: Path) -> None:
        """Reads the whole file; FrequencyError names the file, the line, and what is wrong with it."""
        self._at: list[datetime] = []
        self._hz: list[float] = []
        self.name = path.name
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file)
                if not {"timestamp", "frequency"} <= set(reader.fieldnames or ()):
                    raise FrequencyError(
                        f"{self.name}, line 1: the columns timestamp and frequency are wanted, not {reader.fieldnames}"
                    )
                for row in reader:
                    self._add(reader.line_num, row)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise FrequencyError(f"{self.name}: cannot be read ({error})") from None
        if not self._at:
            raise FrequencyError(f"{self.name}: there is no line with a frequency")

    def at(self, instant: datetime) -> float:
        """Hz of the last line at or before `instant`, at most an hour old; otherwise FrequencyError."""
        index = bisect_right(self._at, instant) - 1
        if index < 0 or instant - self._at[index] > timedelta(hours=1):
            raise FrequencyError(
                f"{self.name}: no frequency for {instant.isoformat()}; the file has {self._at[0].isoformat()} "
                f"to {self._at[-1].isoformat()}"
            )
        return self._hz[index]

    def _add(self, line: int, row: dict[str, str]) -> None:
        def wrong(what: str) -> FrequencyError:
            return FrequencyError(f"{self.name}, line {line}: {what}")

        try:
            at = datetime.fromisoformat(row["timestamp"])
            hz = float(row["frequency"])
        except (TypeError, ValueError) as error:
            raise wrong(str(error)) from None
        if at.tzinfo is None:
            raise wrong(f"{row['timestamp']} has no offset; write it as 2026-03-18T12:00:00+01:00")
        if self._at and at <= self._at[-1]:
            raise wrong(f"{row['timestamp']} does not come after the line before")
        if not 45.0 <= hz <= 55.0:
            raise wrong(f"{row['frequency']} is not a frequency in Hz between 45 and 55")
        self._at.append(at)
        self._hz.append(hz)
