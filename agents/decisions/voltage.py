"""How much power where brings the voltages back: a linear program on sensitivities, and AC power flow to confirm it.

D5.1 3.4.1: where the DSO finds voltage constraints it "will activate a DR service". The smallest total change of power
is looked for, so the buses that move the broken voltages most are asked first. No limit is made worse to cure another:
what is kept stays kept, at every bus, line and at the transformer, and what is broken gets no worse.

Signs: positive power is drawn; a change above 0 draws more (or gives less back).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from agents.grid_view import Floats, GridState, Limits, Sensitivity, Violation

_ROUNDS: Final = 6
_HALVINGS: Final = 5
_PU_PER_PERCENT: Final = 1e-3
"""One per cent of a rating weighs as much as 0.001 per unit of voltage."""
_BROKEN_KW: Final = 1e5
"""kW that the program would rather move than leave 0.001 pu of a limit broken: all that there are."""
_MARGIN_KW: Final = 1e2
"""kW that it would rather move than go 0.001 pu into the margin; far less, so that no margin guards a broken limit."""
_SAME: Final = 1e-7
"""Per unit, and kW: less is the solvers' noise."""
_INSIDE: Final = 1e-6
"""Per unit that the program stays within a limit, so that the same noise does not break it."""


@dataclass(frozen=True, slots=True)
class Flexibility:
    """How far the power drawn at one bus can go up and down, kW, both >= 0."""

    increase_kw: float
    decrease_kw: float

    def __post_init__(self) -> None:
        if not (0 <= self.increase_kw < np.inf and 0 <= self.decrease_kw < np.inf):
            raise ValueError(f"flexibility is two finite magnitudes, not {self.increase_kw} and {self.decrease_kw}")


@dataclass(frozen=True, slots=True, eq=False)
class VoltageRelief:
    """What to ask for: `change_kw` by bus, above 0 to draw more; `after` is what AC power flow makes of it, and
    `remaining` what that still breaks."""

    change_kw: dict[str, float]
    before: tuple[Violation, ...]
    remaining: tuple[Violation, ...]
    after: GridState

    @property
    def solved(self) -> bool:
        return not self.remaining


@dataclass(frozen=True, slots=True)
class FeederNeed:
    """What one feeder is asked for, all in one direction: kW by bus, above 0 to draw more."""

    feeder: str
    change_kw: dict[str, float]

    @property
    def power_kw(self) -> float:
        """Signed sum: above 0 to draw more."""
        return sum(self.change_kw.values())


def relieve(
    state: GridState,
    flexible: Mapping[str, Flexibility],
    limits: Limits,
    *,
    sensitivity: Callable[[GridState], Sensitivity],
    solve: Callable[[Floats, Floats], GridState],
    margin_pu: float = 0.002,
    least_kw: float = 0.1,
) -> VoltageRelief:
    """The smallest change at the `flexible` buses after which AC power flow keeps every limit, or comes nearest.

    `margin_pu` is aimed for within every limit (in loadings: 0.001 pu is 1 %), as long as flexibility lasts; it is no
    limit itself. Changes below `least_kw` are left out where they are not needed. Where `solve` finds no operating
    point it may raise a ValueError; that step is then shortened. Raises ValueError for a bus that the state does not
    have.
    """
    if unknown := sorted(set(flexible) - set(state.buses)):
        raise ValueError(f"no such bus: {', '.join(unknown)}")
    before = state.violations(limits)
    names = [bus for bus in state.buses if bus in flexible]
    if not before or not names:
        return VoltageRelief({}, before, before, state)
    where = np.array([state.buses.index(bus) for bus in names])
    room = np.array([(flexible[bus].decrease_kw, flexible[bus].increase_kw) for bus in names])
    first = _excess(state, limits)
    best, best_change = state, np.zeros(len(names))

    def at(change: Floats) -> GridState | None:
        p_kw = state.p_kw.copy()
        p_kw[where] += change
        try:
            return solve(p_kw, state.q_kvar)
        except ValueError:
            return None

    for _ in range(_ROUNDS):
        wanted = _program(best, best_change, sensitivity(best), where, room, limits, margin_pu, first)
        if wanted is None:
            break
        found = _confirmed(at, best, best_change, wanted, limits, first, least_kw)
        if found is None:
            break
        best, best_change = found
    best, best_change = _without_crumbs(at, best, best_change, limits, first, least_kw)
    change = {bus: float(kw) for bus, kw in zip(names, best_change, strict=True) if abs(kw) > _SAME}
    return VoltageRelief(change, before, best.violations(limits), best)


def by_feeder(change_kw: Mapping[str, float], feeder_of: Callable[[str], str]) -> tuple[FeederNeed, ...]:
    """One need for each feeder and direction, feeders in the order they first appear, more drawn before less.

    A feeder whose buses need both signs gives two needs. They are not netted: more at its end and less at its start do
    not cancel, for the one moves a voltage that the other does not.
    """
    needs: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for bus, kw in change_kw.items():
        if kw:
            needs.setdefault(feeder_of(bus), ({}, {}))[kw < 0][bus] = kw
    return tuple(FeederNeed(feeder, part) for feeder, both in needs.items() for part in both if part)


def _levels(state: GridState, limits: Limits) -> tuple[Floats, Floats]:
    """Every quantity with an upper limit, and the limit, in per unit: voltages, voltages from below (negative), lines,
    the transformer."""
    percent = np.append(state.line_loading_percent, state.trafo_loading_percent) * _PU_PER_PERCENT
    top = np.append(np.full(len(state.lines), limits.line_percent), limits.transformer_percent) * _PU_PER_PERCENT
    n = len(state.buses)
    level = np.concatenate([state.vm_pu, -state.vm_pu, percent])
    return level, np.concatenate([np.full(n, limits.vm_max_pu), np.full(n, -limits.vm_min_pu), top])


def _excess(state: GridState, limits: Limits) -> Floats:
    """How far each of `_levels` is beyond its limit, >= 0."""
    level, limit = _levels(state, limits)
    return np.maximum(0.0, level - limit)


def _no_worse(excess: Floats, first: Floats) -> bool:
    """What was kept is kept, what was broken is no more so, up to the power flow's noise."""
    return bool((excess <= np.where(first > 0, first + _SAME, 0.0)).all())


def _program(
    state: GridState,
    change: Floats,
    sensitivity: Sensitivity,
    where: npt.NDArray[np.intp],
    room: Floats,
    limits: Limits,
    margin_pu: float,
    first: Floats,
) -> Floats | None:
    """The whole change [flexible buses] that is best by the derivatives at `state`, which has `change` in it already.

    Columns: more drawn, less drawn, then for each limit what is used of its margin and what stays broken beyond it (at
    most as much as at first, or now).
    """
    level, limit = _levels(state, limits)
    limit = limit - _INSIDE
    loads = np.vstack([sensitivity.line_percent_per_kw, sensitivity.trafo_percent_per_kw[None]]) * _PU_PER_PERCENT
    slope = np.vstack([sensitivity.vm_pu_per_kw, -sensitivity.vm_pu_per_kw, loads])[:, where]
    worst = np.maximum(first, level - limit)
    # a limit that no allowed change can reach need not be asked about
    reach = np.abs(slope) @ (room[:, 0] + room[:, 1])
    near = level + reach > limit - margin_pu
    level, limit, slope, worst = level[near], limit[near], slope[near], worst[near]
    k, m = len(where), len(level)
    # limits in thousandths, which is what the solver's tolerances are made for
    answer = linprog(
        np.concatenate([np.ones(2 * k), np.full(m, _MARGIN_KW), np.full(m, _BROKEN_KW)]),
        A_ub=np.hstack([1e3 * slope, -1e3 * slope, -np.eye(m), -np.eye(m)]),
        b_ub=1e3 * (limit - margin_pu - level + slope @ change),
        bounds=np.column_stack(
            [
                np.zeros(2 * k + 2 * m),
                np.concatenate([room[:, 1], room[:, 0], np.full(m, 1e3 * margin_pu), 1e3 * worst]),
            ]
        ),
        method="highs",
    )
    return None if answer.x is None else np.asarray(answer.x[:k] - answer.x[k : 2 * k])


def _confirmed(
    at: Callable[[Floats], GridState | None],
    best: GridState,
    best_change: Floats,
    wanted: Floats,
    limits: Limits,
    first: Floats,
    least_kw: float,
) -> tuple[GridState, Floats] | None:
    """The longest step towards `wanted` (the whole, a half, ...) that AC power flow finds better; None without one.

    Better is less broken, and nothing worse than it was at first; where nothing is broken any more, it is less moved.
    """
    broken, moved = float(_excess(best, limits).sum()), float(np.abs(best_change).sum())
    part = 1.0
    for _ in range(_HALVINGS):
        change = best_change + part * (wanted - best_change)
        state = at(change)
        if state is not None:
            excess = _excess(state, limits)
            if broken > 0:
                better = float(excess.sum()) < broken - _SAME and _no_worse(excess, first)
            else:
                better = not excess.any() and float(np.abs(change).sum()) < moved - max(least_kw, 0.01 * moved)
            if better:
                return state, change
        part /= 2
    return None


def _without_crumbs(
    at: Callable[[Floats], GridState | None],
    best: GridState,
    change: Floats,
    limits: Limits,
    first: Floats,
    least_kw: float,
) -> tuple[GridState, Floats]:
    """The same without changes below `least_kw`, where power flow finds that it breaks no more without them."""
    kept = np.where(np.abs(change) >= least_kw, change, 0.0)
    if (kept == change).all():
        return best, change
    state = at(kept)
    if state is None:
        return best, change
    excess = _excess(state, limits)
    no_worse = _no_worse(excess, first) and excess.sum() <= _excess(best, limits).sum() + _SAME
    return (state, kept) if no_worse else (best, change)
