"""What a grid operator knows of its network: states, limits, sensitivities, and what more or less would do to them.

Positive power is drawn from the grid. Arrays follow the order of `buses` and `lines`; low-voltage buses only, because
the medium-voltage side is not this operator's congestion. Plain data: the power flow behind it is the environment's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

EN50160_NORMAL_BAND: Final = (0.90, 1.10)
"""Per unit of the nominal voltage, for 95 % of the 10-minute means of a week (EN 50160:2010, 4.2.2.2)."""
EN50160_ALWAYS_BAND: Final = (0.85, 1.10)
"""Per unit, for every 10-minute mean (EN 50160:2010, 4.2.2.2)."""


class Direction(StrEnum):
    """What a resource does to the grid."""

    CHARGE = "charge"
    DISCHARGE = "discharge"


@dataclass(frozen=True, slots=True)
class Limits:
    """What the operator keeps: loadings in % of the rated current, voltages in per unit."""

    transformer_percent: float = 100.0
    line_percent: float = 100.0
    vm_min_pu: float = EN50160_NORMAL_BAND[0]
    vm_max_pu: float = EN50160_NORMAL_BAND[1]


@dataclass(frozen=True, slots=True)
class Violation:
    """One limit that a state breaks: `element` is a bus, a line or the transformer; `value` and `limit` in `unit`."""

    element: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        digits = 3 if self.unit == "pu" else 1
        return f"{self.element} at {self.value:.{digits}f} {self.unit} (limit {self.limit:.{digits}f})"


@dataclass(frozen=True, slots=True, eq=False)
class GridState:
    """A solved power flow.

    `p_kw`, `q_kvar`: net power drawn at each bus; `vm_pu`: voltage of each bus; `line_loading_percent` and
    `trafo_loading_percent`: of the rated current (the higher of both ends); `trafo_p_kw`, `trafo_q_kvar`: drawn from
    the medium-voltage side, negative when the network feeds back; `losses_kw`: lines and transformer, iron losses
    included.
    """

    buses: tuple[str, ...]
    lines: tuple[str, ...]
    transformer: str
    p_kw: Floats
    q_kvar: Floats
    vm_pu: Floats
    line_loading_percent: Floats
    trafo_loading_percent: float
    trafo_p_kw: float
    trafo_q_kvar: float
    losses_kw: float
    at: datetime | None = None

    def lowest(self) -> tuple[str, float]:
        """The bus with the lowest voltage, and that voltage in per unit."""
        index = int(self.vm_pu.argmin())
        return self.buses[index], float(self.vm_pu[index])

    def highest(self) -> tuple[str, float]:
        """The bus with the highest voltage, and that voltage in per unit."""
        index = int(self.vm_pu.argmax())
        return self.buses[index], float(self.vm_pu[index])

    def violations(self, limits: Limits) -> tuple[Violation, ...]:
        """Every limit that is broken: the transformer, then lines, then buses."""
        found = []
        if self.trafo_loading_percent > limits.transformer_percent:
            found.append(Violation(self.transformer, self.trafo_loading_percent, limits.transformer_percent, "%"))
        for index in np.flatnonzero(self.line_loading_percent > limits.line_percent):
            found.append(
                Violation(self.lines[index], float(self.line_loading_percent[index]), limits.line_percent, "%")
            )
        for index in np.flatnonzero((self.vm_pu < limits.vm_min_pu) | (self.vm_pu > limits.vm_max_pu)):
            value = float(self.vm_pu[index])
            limit = limits.vm_min_pu if value < limits.vm_min_pu else limits.vm_max_pu
            found.append(Violation(self.buses[index], value, limit, "pu"))
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Sensitivity:
    """What one kW more drawn at each bus changes, at one state.

    `vm_pu_per_kw` [buses affected, buses where], `line_percent_per_kw` [lines, buses], `trafo_percent_per_kw` [buses].
    """

    vm_pu_per_kw: Floats
    line_percent_per_kw: Floats
    trafo_percent_per_kw: Floats


@dataclass(frozen=True, slots=True)
class Hosting:
    """How much power fits: `power_kw` breaks no limit; `binding` names what the next kW would break, if anything."""

    power_kw: float
    binding: Violation | None

    @property
    def reasons(self) -> tuple[str, ...]:
        return () if self.binding is None else (f"more would put {self.binding}",)


@dataclass(frozen=True, slots=True, eq=False)
class Relief:
    """How much less must be drawn so that the limits hold.

    `power_kw` > 0 is a reduction of consumption, < 0 an increase (voltage too high, feeding back too much); `by_bus`
    splits it; `after` is the state that AC power flow gives with it; `remaining` is what that state still breaks.
    """

    power_kw: float
    by_bus: dict[str, float]
    before: tuple[Violation, ...]
    remaining: tuple[Violation, ...]
    after: GridState

    @property
    def solved(self) -> bool:
        return not self.remaining
