"""The frequency of a small island: the masses and governors of the units that happen to run.

    M df/dt = dP + P_primary - D df         M = 2 sum(H S) / f0,  D = d P_load
    tau dP_primary/dt = sat(-K df) - P_primary        K = sum(S / (droop f0)) of the units with primary control

in kW, Hz, s, with dP = production minus load before primary control. Unlike in a large area the limits are not the same
both ways: upwards it is what the running units have left, downwards what they give (a least stable load binds the
dispatch; for seconds a governor goes below it). Wind farms and chargers behind converters have neither inertia nor
droop. No load is shed: an island that runs out of reserve falls as far as its load's damping lets it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from agents.decisions.dispatch import Dispatch, Plant, PlantKind
from agents.grid_view import Floats
from environment.frequency import SECOND
from protocols.units import NOMINAL_HZ

STEPS: Final = 10
"""Steps in a second: an island swings within one, and its lowest point should not fall between two values."""


@dataclass(frozen=True, slots=True)
class IslandArea:
    """An island's numbers at one time.

    `inertia_kw_s_per_hz`: M, the power that changes the frequency by 1 Hz in a second; `damping_kw_per_hz`: D, what the
    load gives back for each Hz; `droop_kw_per_hz`: K of primary control; `up_kw`, `down_kw`: its limits, both >= 0;
    `governor_s`: tau.
    """

    inertia_kw_s_per_hz: float
    damping_kw_per_hz: float
    droop_kw_per_hz: float
    up_kw: float
    down_kw: float
    governor_s: float

    def primary_kw(self, deviation_hz: float) -> float:
        """What primary control gives once it has settled at a deviation."""
        return min(self.up_kw, max(-self.down_kw, -self.droop_kw_per_hz * deviation_hz))

    def steady_deviation_hz(self, imbalance_kw: float) -> float:
        """Where a lasting imbalance (production minus load) leaves the frequency."""
        both = self.damping_kw_per_hz + self.droop_kw_per_hz
        deviation = imbalance_kw / both if both else float(np.copysign(np.inf, imbalance_kw))
        limited = self.primary_kw(deviation)
        if abs(limited + self.droop_kw_per_hz * deviation) < 1e-9:
            return deviation
        beyond = imbalance_kw + limited
        return beyond / self.damping_kw_per_hz if self.damping_kw_per_hz else float(np.copysign(np.inf, beyond))


def area_of(
    plants: Iterable[Plant],
    dispatched: Dispatch,
    *,
    damping_kw_per_hz: float,
    governor_s: float,
    lost: Iterable[str] = (),
) -> IslandArea:
    """The area that the units running in a dispatch make, without those that were `lost` since."""
    gone = set(lost)
    production: Mapping[str, float] = dispatched.production_kw
    running = [
        p
        for p in plants
        if p.name not in gone
        and (p.name in dispatched.committed or (p.kind is not PlantKind.THERMAL and production[p.name] > 0))
    ]
    governed = [(p, p.droop) for p in running if p.droop is not None]
    return IslandArea(
        inertia_kw_s_per_hz=2 * sum(p.inertia_s * p.capacity_kw for p in running) / NOMINAL_HZ,
        damping_kw_per_hz=damping_kw_per_hz,
        droop_kw_per_hz=sum(p.capacity_kw / (droop * NOMINAL_HZ) for p, droop in governed),
        up_kw=sum(max(0.0, p.capacity_kw - production[p.name]) for p, _ in governed),
        down_kw=sum(production[p.name] for p, _ in governed),
        governor_s=governor_s,
    )


class IslandFrequency:
    """The frequency as far as it has been computed, a minute at a time."""

    def __init__(self, begins: datetime) -> None:
        """`begins`: aware; until then, and at it, the frequency is nominal."""
        self.begins = begins.astimezone(UTC)
        self._hz: list[float] = [NOMINAL_HZ]
        self._deviation_hz = 0.0
        self._primary_kw = 0.0
        self._key: tuple[float, ...] = ()
        self._free: list[list[float]] = []
        self._held: list[list[float]] = []

    def at(self, instant: datetime) -> float:
        """Hz at the second that `instant` lies in: nominal before the beginning, the last value after the end."""
        index = (instant.astimezone(UTC) - self.begins) // SECOND
        return self._hz[min(max(index, 0), len(self._hz) - 1)]

    def run(self, area: IslandArea, imbalance_kw: Sequence[float]) -> tuple[list[float], float, float]:
        """One second for each imbalance, which is held for it: the new values, and the lowest and the highest in Hz.

        Solved exactly in tenths of a second; one in which primary control reaches or leaves its limit is taken as it
        began.
        """
        self._prepare(area)
        (ff, fp, fi, _), (pf, pp, pi, _) = self._free
        (gf, gp, gi, gt), (qf, qp, qi, qt) = self._held
        f, p, k, up, down = self._deviation_hz, self._primary_kw, area.droop_kw_per_hz, area.up_kw, -area.down_kw
        fresh: list[float] = []
        lowest = highest = f
        for imbalance in imbalance_kw:
            for _ in range(STEPS):
                wanted = -k * f
                if down <= wanted <= up:
                    f, p = ff * f + fp * p + fi * imbalance, pf * f + pp * p + pi * imbalance
                else:
                    target = up if wanted > up else down
                    f, p = (
                        gf * f + gp * p + gi * imbalance + gt * target,
                        qf * f + qp * p + qi * imbalance + qt * target,
                    )
                if f < lowest:
                    lowest = f
                elif f > highest:
                    highest = f
            fresh.append(NOMINAL_HZ + f)
        self._deviation_hz, self._primary_kw = f, p
        self._hz += fresh
        return fresh, NOMINAL_HZ + lowest, NOMINAL_HZ + highest

    def _prepare(self, area: IslandArea) -> None:
        """The matrices of one step, for states (deviation, primary control, imbalance, held target)."""
        m, d, k, tau = area.inertia_kw_s_per_hz, area.damping_kw_per_hz, area.droop_kw_per_hz, area.governor_s
        if self._key == (m, d, k, tau):
            return
        # In units in which power is a rate of change of frequency, all rates are of one size.
        swing, still = [-d / m, 1.0, 1.0, 0.0], [0.0] * 4
        free = _exponential(np.array([swing, [-k / (m * tau), -1 / tau, 0.0, 0.0], still, still]) / STEPS)
        held = _exponential(np.array([swing, [0.0, -1 / tau, 0.0, 1 / tau], still, still]) / STEPS)
        per = np.array([[1.0, 1 / m, 1 / m, 1 / m], [m, 1.0, 1.0, 1.0]])
        self._free, self._held = (free[:2] * per).tolist(), (held[:2] * per).tolist()
        self._key = (m, d, k, tau)


def _exponential(rates: Floats) -> Floats:
    """The matrix exponential by halving, Taylor's series and squaring. (scipy's wakes a thread for each core, which
    costs more than the matrix when other work is running.)"""
    size = float(np.abs(rates).sum(axis=1).max())
    halvings = max(0, math.ceil(math.log2(size)) + 1) if size > 0 else 0
    small = rates / 2**halvings
    result = term = np.eye(len(rates))
    for power in range(1, 17):
        term = term @ small / power
        result = result + term
    for _ in range(halvings):
        result = result @ result
    return np.asarray(result)
