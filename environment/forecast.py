"""What a grid operator expects of load and PV, from what its meters have shown so far.

A typical day corrected by persistence, for each profile by itself:

- load: the mean of the same quarter hour of the same weekday over the last four weeks, by the clock on the wall, plus
  the last measured deviation from it, which fades with the horizon of h quarter hours as 0.73 h^-0.36;
- PV: the mean of the same quarter hour over the last seven days, by the sun, times the last measured ratio to it, which
  fades to one with a time constant of ten hours; at night and at first light, where a ratio means nothing, the mean.

The fading is fitted to the shipped year (docs/data.md has the errors that are left). The error is the data's own: no
noise is added, nothing depends on a seed, and a forecast knows nothing that lies after `now`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from agents.grid_view import Floats
from environment.profiles import QUARTER, Injections, Profiles, later, quarter_of

WEEKS: Final = 4
DAYS: Final = 7
LOAD_CORRELATION: Final = 0.73
LOAD_EXPONENT: Final = -0.36
PV_TIME_CONSTANT_QUARTERS: Final = 40.0
PV_RATIO_LIMIT: Final = 2.5
PV_DAYLIGHT_PU: Final = 0.02
"""Below this typical output the measured ratio is not used."""


class Forecaster:
    """Forecasts of one network's base load and PV, without chargers."""

    def __init__(self, profiles: Profiles) -> None:
        self.profiles = profiles

    def periods(self, start: datetime, count: int, *, now: datetime) -> Injections:
        """`count` quarter hours from `start` (on a quarter hour), expected at `now`; what ended by then is measured.

        Periods that are measured already come back as measured.
        """
        last = later(quarter_of(now), -1)
        measured = self.profiles.values(last, 1)[0]
        pv = self.profiles.is_pv
        instants = [later(start, index) for index in range(count)]
        first = (start.astimezone(UTC) - last.astimezone(UTC)) // QUARTER
        horizon = first + np.arange(count, dtype=np.float64)
        ahead = np.maximum(horizon, 1.0)[:, None]
        usual, usual_now = self._typical(instants, first + count - 1), self._typical([last], 0)[0]
        load = usual + (measured - usual_now) * LOAD_CORRELATION * ahead**LOAD_EXPONENT
        daylight = usual_now > PV_DAYLIGHT_PU
        ratio = np.where(daylight, measured / np.where(daylight, usual_now, 1.0), 1.0).clip(0, PV_RATIO_LIMIT)
        sun = usual * (1 + (ratio - 1) * np.exp(-ahead / PV_TIME_CONSTANT_QUARTERS))
        expected = np.where(pv, sun, load)
        # Consumption and output are never negative; reactive power may be.
        expected = np.where(usual >= 0, expected.clip(min=0), expected)
        known = horizon <= 0
        if known.any():
            expected[known] = self.profiles.values_at(instants)[known]
        return self.profiles.injections(expected, start, QUARTER)

    def _typical(self, instants: list[datetime], ahead: int) -> Floats:
        """The mean of the last measured weeks (load) or days (PV); `ahead`: quarter hours to the last instant."""
        at = self.profiles.values_at
        weeks = [timedelta(weeks=back + max(0, ahead - 1) // 672) for back in range(1, WEEKS + 1)]
        days = [timedelta(days=back + max(0, ahead - 1) // 96) for back in range(1, DAYS + 1)]
        load = np.mean([at([instant - week for instant in instants]) for week in weeks], axis=0)
        pv = np.mean(
            [at([(i.astimezone(UTC) - day).astimezone(i.tzinfo) for i in instants]) for day in days],
            axis=0,
        )
        return np.asarray(np.where(self.profiles.is_pv, pv, load))
