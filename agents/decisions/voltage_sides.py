"""Voltages too low at a quarter of an hour's worst moment, and too high in its mean: what mends both.

Timers go off within a quarter of an hour: its mean may keep a limit that its last minutes break. Where the vehicles'
managers tell the most that they will draw at a moment, drawing less is decided on the state of that moment, and drawing
more on the mean of the quarter. An order is one constant power for the whole quarter. It therefore takes off more at
that moment than it changes the mean by: the vehicle draws its baseline and the change then, and not its highest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agents.decisions.voltage import Flexibility, relieve
from agents.grid_view import Floats, GridState, Limits, Sensitivity, Violation

_SAME = 1e-6
"""Per unit, and per cent: less is the power flow's noise."""


@dataclass(frozen=True, slots=True, eq=False)
class SidesRelief:
    """What to ask for, against the mean of the quarter: `change_kw` by bus, above 0 to draw more. `before`, and by AC
    power flow `remaining`: what the highest draw breaks but for voltages too high, and the mean by those."""

    change_kw: dict[str, float]
    before: tuple[Violation, ...]
    remaining: tuple[Violation, ...]


def relieve_sides(
    mean: GridState,
    busiest: GridState,
    above_kw: Mapping[str, float],
    flexible: Mapping[str, Flexibility],
    limits: Limits,
    *,
    sensitivity: Callable[[GridState], Sensitivity],
    solve: Callable[[Floats, Floats], GridState],
    feeder_of: Callable[[str], str],
    margin_pu: float,
) -> SidesRelief:
    """The changes that keep the limits in both states, or come nearest.

    `above_kw` by bus: by how much the chargers' highest draw in the quarter exceeds their mean, >= 0; `busiest` is the
    state with it, `mean` that without. Where it is 0 everywhere both are the same, and this is `relieve`.

    Less: at a bus that can draw D less, and whose highest is A above the mean, up to D + A can be taken off the highest
    draw, by orders for D in the mean; part of it by the same part of D. That is what happens when all vehicles of the
    bus serve alike, or when as large a part of them serves fully. Where one that has drawn since before is taken first,
    less comes off: by as much as the others' timers rise.

    Low and high hardly ever occur together behind a feeder (the one is the evening, the other noon). Where they do, the
    feeder is asked for less, and its high voltage is named in `remaining`. No change is asked for that breaks a limit
    of the other state, or breaks it further.
    """
    if not any(kw > 0 for kw in above_kw.values()):
        only = relieve(mean, flexible, limits, sensitivity=sensitivity, solve=solve, margin_pu=margin_pu)
        return SidesRelief(only.change_kw, only.before, only.remaining)

    def moved(state: GridState, change_kw: Mapping[str, float]) -> GridState | None:
        p_kw = state.p_kw + np.array([change_kw.get(bus, 0.0) for bus in state.buses])
        try:
            return solve(p_kw, state.q_kvar)
        except ValueError:
            return None

    def found(state: GridState, room: Mapping[str, Flexibility]) -> dict[str, float]:
        relief = relieve(state, room, limits, sensitivity=sensitivity, solve=solve, margin_pu=margin_pu)
        return relief.change_kw

    less: dict[str, float] = {}
    mean_now, busiest_now = mean, busiest
    if _not_high(busiest, limits):
        there = {bus: f.decrease_kw + above_kw.get(bus, 0.0) for bus, f in flexible.items() if f.decrease_kw > 0}
        off = found(busiest, {bus: Flexibility(0.0, kw) for bus, kw in there.items()})
        wanted = {bus: kw * flexible[bus].decrease_kw / there[bus] for bus, kw in off.items()}
        then, highest_then = moved(mean, wanted), moved(busiest, off)
        if then is not None and highest_then is not None and not _worse(mean, then, limits):
            less, mean_now, busiest_now = wanted, then, highest_then
    more: dict[str, float] = {}
    if _high(mean_now, limits):
        asked = {feeder_of(bus) for bus in less}
        room = {bus: Flexibility(f.increase_kw, 0.0) for bus, f in flexible.items() if feeder_of(bus) not in asked}
        wanted = found(mean_now, room)
        # at most: a vehicle that serves draws its mean and the change then, not its highest
        then, highest_then = moved(mean_now, wanted), moved(busiest_now, wanted)
        if then is not None and highest_then is not None and not _worse(busiest_now, highest_then, limits):
            more, mean_now, busiest_now = wanted, then, highest_then
    return SidesRelief(
        less | more,
        (*_not_high(busiest, limits), *_high(mean, limits)),
        (*_not_high(busiest_now, limits), *_high(mean_now, limits)),
    )


def _is_high(violation: Violation) -> bool:
    """Whether it is a voltage above its limit."""
    return violation.unit == "pu" and violation.value > violation.limit


def _high(state: GridState, limits: Limits) -> tuple[Violation, ...]:
    return tuple(violation for violation in state.violations(limits) if _is_high(violation))


def _not_high(state: GridState, limits: Limits) -> tuple[Violation, ...]:
    return tuple(violation for violation in state.violations(limits) if not _is_high(violation))


def _worse(before: GridState, after: GridState, limits: Limits) -> bool:
    """Whether a limit is broken that was kept, or broken further."""
    was = {violation.element: abs(violation.value - violation.limit) for violation in before.violations(limits)}
    return any(abs(v.value - v.limit) > was.get(v.element, 0.0) + _SAME for v in after.violations(limits))
