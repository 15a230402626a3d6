"""The operator's running plan: each quarter anew, what every vehicle under control does next.

Ceilings are what was agreed (the fleet draws no more in those periods); everywhere else the catching up is spread so
that it makes no peak of its own, as early as that allows; then the cheapest such plan is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agents.decisions.fleet import FlexVehicle, Floats, follow
from agents.decisions.planning import Costs, PlanningError, Program

_PEAK_WEIGHT = 1e-3
"""A kW of peak weighs as little against a kW above what was agreed."""


def steer(
    vehicles: Sequence[FlexVehicle],
    ceiling_kw: Floats,
    others_kw: Floats,
    costs: Costs,
    may_discharge: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    """kW [vehicle, period] for `vehicles`, so that with `others_kw` [period] the fleet stays below `ceiling_kw`.

    `ceiling_kw` [period] is infinite where nothing is agreed. `may_discharge` [vehicle, period]: where a vehicle may
    give power back (None: anywhere). Departures come first: where they leave no other way, a ceiling is exceeded by as
    little as can be, evenly.
    """
    periods = len(ceiling_kw)
    if not vehicles:
        return np.zeros((0, periods))
    agreed = np.flatnonzero(np.isfinite(ceiling_kw))
    room = np.where(np.isfinite(ceiling_kw), ceiling_kw, 0.0) - others_kw
    program = Program(vehicles, room, agreed.tolist(), costs, -others_kw, may_discharge)
    power, excess = program.largest(0.0, cap_weight=_PEAK_WEIGHT)
    plan = program.cheapest(power - 1e-7, excess + 1e-7)
    if plan is None:
        raise PlanningError("no plan keeps the departures, which charging on arrival keeps")
    return follow(program.fleet, plan)
