"""Voltages judged as EN 50160:2010, 4.2.2.2 does: by 10-minute means, bus by bus.

The norm wants 95 % of the means of a *week* within +-10 % of the nominal voltage, and every mean within +10 % and
-15 %. A run is a day or a few: its shares are those of its own means, no verdict on a week.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np

from agents.grid_view import EN50160_ALWAYS_BAND, EN50160_NORMAL_BAND
from environment.series import Floats

LOW_PU, HIGH_PU = EN50160_NORMAL_BAND
MEAN: Final = timedelta(minutes=10)
NORMAL_SHARE_PERCENT: Final = 95.0
"""So many of a week's means are within the normal band."""


@dataclass(frozen=True, slots=True)
class BusFigures:
    """One bus: minutes in means below and above +-10 %, its extreme means in per unit, and the share within in %."""

    bus: str
    minutes_low: float
    minutes_high: float
    lowest_pu: float
    highest_pu: float
    share_within_percent: float


@dataclass(frozen=True, slots=True)
class VoltageFigures:
    """All buses of one case. Minutes are those of the 10-minute means in which at least one bus lay outside.

    `minutes_outside_always` is outside of 0.85 to 1.10, `buses_below_95_percent` counts the buses with a smaller share
    of means within +-10 % than the norm wants of a week, and `worst` has every bus that was outside, the worst first.
    """

    buses: int
    minutes_outside: float
    minutes_outside_always: float
    bus_minutes_outside: float
    buses_outside: int
    buses_below_95_percent: int
    least_share_within_percent: float
    worst: tuple[BusFigures, ...]


def means(voltages: Floats, step: timedelta) -> tuple[Floats, Floats]:
    """10-minute means [intervals, buses] of `voltages` [steps, buses], and each interval's length in minutes.

    The last interval may be shorter. A mean over a minute without a value is none (NaN).
    """
    each = max(1, round(MEAN / step))
    starts = np.arange(0, len(voltages), each)
    counts = np.diff(np.append(starts, len(voltages)))
    minutes: Floats = counts * (step / timedelta(minutes=1))
    found: Floats = np.add.reduceat(voltages, starts, axis=0) / counts[:, None]
    return found, minutes


def outside(voltages: Floats, step: timedelta, band: tuple[float, float] = EN50160_NORMAL_BAND) -> float:
    """Minutes in which the 10-minute mean of at least one bus lay outside `band`; `voltages` is [steps, buses]."""
    if not voltages.size:
        return 0.0
    mean, minutes = means(voltages, step)
    hit = ((mean < band[0]) | (mean > band[1])).any(axis=1)
    return round(float(minutes[hit].sum()), 2)


def judged(buses: Sequence[str], voltages: Floats, step: timedelta) -> VoltageFigures:
    """The figures of `voltages` [steps, buses] in per unit. A bus without any mean counts as within."""
    mean, minutes = means(voltages, step) if voltages.size else (np.ones((1, len(buses))), np.zeros(1))
    low, high = minutes @ (mean < LOW_PU), minutes @ (mean > HIGH_PU)
    known = minutes @ np.isfinite(mean)
    shares = 100.0 * (1.0 - np.divide(low + high, known, out=np.zeros(len(buses)), where=known > 0))
    each = [
        BusFigures(
            bus,
            minutes_low=round(float(low[index]), 2),
            minutes_high=round(float(high[index]), 2),
            lowest_pu=round(float(np.nanmin(mean[:, index])), 4),
            highest_pu=round(float(np.nanmax(mean[:, index])), 4),
            share_within_percent=round(float(shares[index]), 2),
        )
        for index, bus in enumerate(buses)
        if low[index] + high[index] > 0
    ]
    return VoltageFigures(
        buses=len(buses),
        minutes_outside=outside(voltages, step),
        minutes_outside_always=outside(voltages, step, EN50160_ALWAYS_BAND),
        bus_minutes_outside=round(float((low + high).sum()), 2),
        buses_outside=len(each),
        buses_below_95_percent=int((shares < NORMAL_SHARE_PERCENT - 1e-9).sum()),
        least_share_within_percent=round(float(shares.min()), 2) if len(buses) else 100.0,
        worst=tuple(sorted(each, key=lambda bus: (bus.share_within_percent, bus.lowest_pu, bus.bus))),
    )
