"""From what the look-ahead shows to what is asked for: which windows, how many kW, of which service.

D5.1 3.6.1: "When the DSO detects congestions or voltage increase in the grid, a pool for bids will be open".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.decisions.money import watts
from agents.grid_view import Relief
from protocols.exchanges.vocabulary import ServiceType

_PERIOD = timedelta(minutes=15)


@dataclass(frozen=True)
class Need:
    """`power_kw` (above 0) less drawn, or with `increase` more, in every period of a window of the look-ahead.

    `relief_kw`: what each period needs by itself, margin not included; `reasons`: the limits that would be broken;
    `open`: those that even the whole relief leaves broken.
    """

    start: datetime
    end: datetime
    window: range
    power_kw: float
    increase: bool
    service: ServiceType
    relief_kw: tuple[float, ...]
    reasons: tuple[str, ...]
    open: tuple[str, ...]


def find_needs(
    reliefs: Sequence[Relief | None],
    start: datetime,
    *,
    margin: float = 0.1,
    granularity_kw: float = 1.0,
    least_kw: float = 0.5,
    bridge: int = 1,
    longest: int = 16,
) -> tuple[Need, ...]:
    """The needs that keep every limit, one `Relief` (or None: nothing is broken) for each 15 minutes from `start`.

    Neighbouring periods in the same direction make one window, gaps of up to `bridge` periods included, cut after
    `longest`. The power is the window's largest relief with `margin` for the forecast's error, up to the next whole
    step; what stays below `least_kw` is noise. The service is congestion management where a current is too high, else
    voltage control.
    """
    if margin < 0 or granularity_kw <= 0 or bridge < 0 or longest < 1:
        raise ValueError("margin and bridge must not be negative, granularity_kw and longest must be above 0")
    signed = [0.0 if relief is None else relief.power_kw for relief in reliefs]
    signed = [kw if abs(kw) >= least_kw else 0.0 for kw in signed]
    return tuple(
        _need(reliefs, signed, window, start, margin, granularity_kw) for window in _windows(signed, bridge, longest)
    )


def _windows(signed: Sequence[float], bridge: int, longest: int) -> list[range]:
    windows: list[range] = []
    for t, kw in enumerate(signed):
        if not kw:
            continue
        last = windows[-1] if windows else None
        if (
            last is not None
            and t - last.stop <= bridge
            and signed[last.start] * kw > 0
            and t + 1 - last.start <= longest
        ):
            windows[-1] = range(last.start, t + 1)
        else:
            windows.append(range(t, t + 1))
    return windows


def _need(
    reliefs: Sequence[Relief | None],
    signed: Sequence[float],
    window: range,
    start: datetime,
    margin: float,
    granularity_kw: float,
) -> Need:
    inside = [relief for relief in reliefs[window.start : window.stop] if relief is not None]
    broken = [violation for relief in inside for violation in relief.before]
    largest = max(abs(signed[t]) for t in window)
    # a step exceeded by a float's noise is not a step
    steps = math.ceil(round(largest * (1 + margin) / granularity_kw, 9))
    current = any(violation.unit != "pu" for violation in broken)
    return Need(
        start=start + window.start * _PERIOD,
        end=start + window.stop * _PERIOD,
        window=window,
        power_kw=float(watts(steps * granularity_kw)),
        increase=signed[window.start] < 0,
        service=ServiceType.CONGESTION_MANAGEMENT if current or not broken else ServiceType.VOLTAGE_CONTROL,
        relief_kw=tuple(abs(signed[t]) for t in window),
        reasons=tuple(dict.fromkeys(str(violation) for violation in broken)),
        open=tuple(dict.fromkeys(str(violation) for relief in inside for violation in relief.remaining)),
    )
