"""The program that chooses caps: a mixed-integer one over the caps, the scenarios' overloads known by cuts. Pure.

Benders' decomposition (L-shaped method; Van Slyke, Wets, SIAM J. Appl. Math. 17, 1969) with one cut for each scenario:
given the caps, a scenario's overload energy is a sum of positive parts, its value and slope are one matrix product, and
its tangent at any choice, fractional ones included, bounds it from below. Tangents are laid at the choices of the
relaxed program first, which is cheap, then at those of the integer one, until they tell the truth about the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from agents.grid_view import Floats

Integers = npt.NDArray[np.int64]

MOST_PROGRAMS: Final = 300
"""Programs that are solved at most; a choice that is then not proven the best is taken all the same."""
_RELAXED_GAP: Final = 1e-3
_GAP: Final = 1e-5
_LEAST_EUR: Final = 1e-4
_NOISE_KWH: Final = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Overloads:
    """Overloads in kW that are linear in the caps: each is the largest of 0 and of its rows.

    `constant_kw` [rows], `effect_kw` [rows, caps]: what each cap changes of the row; rows are sorted, `first`
    [overloads] is the first row of each; `scenario` [overloads] counts from 0 to `scenarios` - 1.
    """

    constant_kw: Floats
    effect_kw: Floats
    first: Integers
    scenario: Integers
    scenarios: int

    def energy_kwh(self, held: Floats, hours: float) -> tuple[Floats, Floats]:
        """Overload energy of each scenario [scenarios], and its slope [scenarios, caps], where the parts `held` [caps]
        of the caps hold; each overload lasts `hours`."""
        sizes = np.diff(np.append(self.first, len(self.constant_kw)))
        power = self.constant_kw + self.effect_kw @ held
        largest = np.maximum.reduceat(power, self.first)
        # the first of the largest rows of each overload above 0 gives the slope
        top = np.flatnonzero(power >= np.repeat(largest, sizes))
        overload = np.repeat(np.arange(len(self.first)), sizes)[top]
        keep = np.append(True, np.diff(overload) > 0) & (largest[overload] > 0)
        picked = csr_array(
            (np.full(int(keep.sum()), hours), (self.scenario[overload[keep]], top[keep])),
            shape=(self.scenarios, len(power)),
        )
        value = np.bincount(self.scenario, np.maximum(largest, 0.0) * hours, self.scenarios)
        return np.asarray(value, dtype=np.float64), np.asarray(picked @ self.effect_kw)


class CapProgram:
    """Which caps, at most one of each station; cuts are kept from one set of overloads to the next, which may only have
    more rows.

    Variables: a binary for each cap, then the overload energy of each scenario as a part of what it is without caps,
    which keeps all coefficients near 1.
    """

    def __init__(
        self, cost_eur: Sequence[float], stations: Sequence[int], without_kwh: Floats, eur_per_kwh: float
    ) -> None:
        """`without_kwh` [scenarios]: overload energy without caps, above 0; `eur_per_kwh`: for each kWh of one
        scenario."""
        n = self._caps = len(cost_eur)
        self._without_kwh, self._eur_per_kwh = without_kwh, eur_per_kwh
        self._cost = np.concatenate([np.array(cost_eur, dtype=np.float64), eur_per_kwh * without_kwh])
        self._upper = np.concatenate([np.ones(n), np.full(len(without_kwh), np.inf)])
        self._integers = np.concatenate([np.ones(n), np.zeros(len(without_kwh))])
        names = np.unique(np.array(stations))
        one_each = (np.array(stations) == names[:, None]).astype(np.float64)
        self._rows = [np.hstack([one_each, np.zeros((len(names), len(without_kwh)))])]
        self._bounds = [np.ones(len(names))]

    def solve(self, overloads: Overloads, hours: float) -> tuple[int, ...]:
        """The numbers of the caps that cost least together with the overloads they leave."""
        best: tuple[float, Floats] | None = None
        relaxed = True
        for _ in range(MOST_PROGRAMS):
            found = self._solve(relaxed)
            held = found[: self._caps]
            energy, slope = overloads.energy_kwh(held, hours)
            missing = (energy - found[self._caps :] * self._without_kwh).clip(0.0)
            total = float(self._cost[: self._caps] @ held) + self._eur_per_kwh * float(energy.sum())
            if not relaxed and (best is None or total < best[0]):
                best = total, held
            if self._eur_per_kwh * float(missing.sum()) <= max(_LEAST_EUR, (_RELAXED_GAP if relaxed else _GAP) * total):
                if not relaxed:
                    break
                relaxed = False
            self._cut(np.flatnonzero(missing > _NOISE_KWH), energy, slope, held)
        chosen = np.zeros(0) if best is None else best[1]
        return tuple(np.flatnonzero(chosen > 0.5).tolist())

    def _cut(self, scenarios: npt.NDArray[np.intp], energy: Floats, slope: Floats, held: Floats) -> None:
        """The energy of each of these scenarios is at least its tangent at what is held now."""
        slopes = slope[scenarios] / self._without_kwh[scenarios, None]
        parts = np.zeros((len(scenarios), len(self._without_kwh)))
        parts[np.arange(len(scenarios)), scenarios] = -1.0
        self._rows.append(np.hstack([slopes, parts]))
        self._bounds.append(slopes @ held - energy[scenarios] / self._without_kwh[scenarios])

    def _solve(self, relaxed: bool) -> Floats:
        result = milp(
            self._cost,
            constraints=LinearConstraint(csr_array(np.vstack(self._rows)), -np.inf, np.concatenate(self._bounds)),
            bounds=Bounds(np.zeros(len(self._upper)), self._upper),
            integrality=np.zeros(len(self._upper)) if relaxed else self._integers,
            options={"mip_rel_gap": _GAP},
        )
        if result.x is None:
            raise RuntimeError(f"HiGHS found no choice of caps: {result.message}")
        found = np.asarray(result.x, dtype=np.float64)
        if not relaxed:
            found[: self._caps] = np.round(found[: self._caps])
        return found
