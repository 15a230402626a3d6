"""What a portfolio would have drawn without its service, by the method that its product states.

Nomination for V2G (the vehicles' own schedule, said before gate closure), meter-before/meter-after for short
activations, High-X-of-Y with same-day adjustment for plain load. All series are mean kW of 15-minute periods, positive
drawn; the terms are NAESB's (WEQ-015, measurement and verification of demand response).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from agents.decisions.fleet import Floats


def nomination(nominated_kw: ArrayLike, periods: int) -> Floats:
    """The nominated schedule itself, which must cover the window: one value for each of its `periods`."""
    series = _finite(nominated_kw, "the nomination")
    if len(series) != periods:
        raise ValueError(f"the nomination has {len(series)} values for {periods} periods")
    return series


def meter_before_meter_after(before_kw: ArrayLike, periods: int, after_kw: ArrayLike | None = None) -> Floats:
    """The mean of the readings before the activation, held flat; with readings after it, the line between both means.

    The line gives each period the value at its middle. Readings after a V2G activation hold the catching up, which is
    why they are left out unless given.
    """
    before = float(_finite(before_kw, "the readings before").mean())
    if after_kw is None:
        return np.full(periods, before)
    after = float(_finite(after_kw, "the readings after").mean())
    return before + (after - before) * (np.arange(periods) + 0.5) / periods


def high_x_of_y(
    history_kw: ArrayLike,
    today_kw: ArrayLike,
    window: range,
    *,
    x: int = 4,
    y: int = 5,
    adjust_over: range | None = None,
    adjustment_limit: float = 0.2,
) -> Floats:
    """Mean over the `x` of the last `y` days with the highest load in the window, moved to fit today.

    `history_kw` is [day, period of the day], the most recent day last, days like today and without activations only;
    `today_kw` is today's load, needed over `adjust_over`: by default the 3 hours that end 1 hour before the window.
    The adjustment is additive (today less the same days' mean there) and no more than `adjustment_limit` of the
    baseline's mean magnitude either way. High 4 of 5 with an additive same-day adjustment is PJM's method
    (KEMA, "PJM Empirical Analysis of Demand Response Baseline Methods", 2011).
    """
    history = _finite(history_kw, "the history", dimensions=2)
    if not 1 <= x <= y:
        raise ValueError("1 <= x <= y must hold")
    if len(history) < y:
        raise ValueError(f"the history has {len(history)} days and the method needs {y}")
    recent = history[-y:]
    inside = slice(window.start, window.stop)
    # of days with equal load the more recent counts
    order = sorted(range(y), key=lambda day: (-float(recent[day, inside].sum()), -day))
    typical = recent[sorted(order[:x])].mean(axis=0)
    baseline: Floats = typical[inside].copy()
    span = adjust_over if adjust_over is not None else range(max(0, window.start - 16), max(0, window.start - 4))
    if len(span) == 0:
        return baseline
    today = _finite(np.asarray(today_kw, dtype=np.float64)[span.start : span.stop], "today's load")
    if len(today) != len(span):
        raise ValueError("today's load does not cover the periods of the adjustment")
    shift = float((today - typical[span.start : span.stop]).mean())
    bound = adjustment_limit * float(np.abs(baseline).mean())
    return baseline + float(np.clip(shift, -bound, bound))


def _finite(values: ArrayLike | Sequence[float], what: str, dimensions: int = 1) -> Floats:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != dimensions or series.size == 0 or not np.isfinite(series).all():
        raise ValueError(f"{what} must be finite kW, at least one")
    return series
