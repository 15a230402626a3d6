"""How fast a distribution transformer's insulation ages under its load: IEC 60076-7's hot-spot and relative ageing.

Constants: IEC 60076-7:2005, table 5, "distribution transformers, ONAN" (exponents, time constants, k11 k21 k22); rated
rises from IEC 60354:1991, table 2, which give 98 degrees C at 20 degrees C ambient, the temperature of normal ageing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

OIL_EXPONENT = 0.8
WINDING_EXPONENT = 1.6
OIL_MINUTES = 180.0
WINDING_MINUTES = 4.0
K11, K21, K22 = 1.0, 1.0, 2.0
LOSS_RATIO = 5.0
TOP_OIL_RISE_K = 55.0
HOT_SPOT_GRADIENT_K = 23.0
NORMAL_HOT_SPOT_C = 98.0
DOUBLING_K = 6.0


@dataclass(frozen=True)
class Heat:
    """Where a transformer stands: top oil in degrees C, and the hot-spot's rise above it in K."""

    top_oil_c: float
    gradient_k: float

    @property
    def hot_spot_c(self) -> float:
        return self.top_oil_c + self.gradient_k


def steady(load: float, ambient_c: float) -> Heat:
    """The temperatures that a constant load (per unit of rated current) ends in."""
    oil = ambient_c + TOP_OIL_RISE_K * ((1 + LOSS_RATIO * load**2) / (1 + LOSS_RATIO)) ** OIL_EXPONENT
    return Heat(oil, K21 * HOT_SPOT_GRADIENT_K * load**WINDING_EXPONENT)


def warmed(heat: Heat, load: float, ambient_c: float, minutes: float) -> Heat:
    """The temperatures after `minutes` of constant load, exactly (two first-order lags; k21 = 1 leaves no third)."""
    end = steady(load, ambient_c)
    oil, winding = math.exp(-minutes / (K11 * OIL_MINUTES)), math.exp(-minutes / (K22 * WINDING_MINUTES))
    return Heat(
        end.top_oil_c + (heat.top_oil_c - end.top_oil_c) * oil,
        end.gradient_k + (heat.gradient_k - end.gradient_k) * winding,
    )


def relative_ageing(hot_spot_c: float) -> float:
    """Hours of life for each hour (non-upgraded paper): 1 at 98 degrees C, doubled by each 6 K more."""
    return float(2.0 ** ((hot_spot_c - NORMAL_HOT_SPOT_C) / DOUBLING_K))


def life_used_hours(
    loads: Sequence[float], *, ambient_c: float = 20.0, start: Heat | None = None, minutes: int = 15
) -> float:
    """Hours of normal life that a series of loads (per unit, mean of `minutes` each) uses, in steps of one minute.

    `start`: the temperatures before it; by default those that the first load has ended in (IEC 60076-7, annex C).
    """
    if not loads:
        return 0.0
    heat = start or steady(loads[0], ambient_c)
    used = 0.0
    for load in loads:
        for _ in range(minutes):
            before = heat.hot_spot_c
            heat = warmed(heat, load, ambient_c, 1.0)
            used += relative_ageing((before + heat.hot_spot_c) / 2) / 60
    return used
