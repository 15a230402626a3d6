"""What a distribution operator knows of its voltages between the few points that are metered.

Positive power is drawn from the grid; arrays follow the order of `buses`. Plain data and one port: meters, estimation
and power flow behind it are the environment's (D5.1 3.4.1: "measures, jointly with state estimation algorithms, can
provide this information").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agents.grid_view import Floats, GridState, Sensitivity


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The most likely state of a quarter of an hour, given the meters, the managers' reports and the forecast.

    `vm_pu`, `p_kw`, `q_kvar` [buses]; `transformer_kw`: drawn through the transformer, at its low-voltage side.
    `converged`: False where the estimation found no answer and this is the power flow of the forecast alone.
    `worst_residual`: the largest normalised residual among the meters that were kept, in standard deviations.
    `dropped`: the meters that were not believed, each in words, with what it read.
    """

    buses: tuple[str, ...]
    vm_pu: Floats
    p_kw: Floats
    q_kvar: Floats
    transformer_kw: float
    converged: bool
    worst_residual: float
    dropped: tuple[str, ...] = ()
    at: datetime | None = None


class VoltageModel(Protocol):
    """The operator's view of a network with few meters. kW, positive drawn; buses by name."""

    @property
    def buses(self) -> tuple[str, ...]:
        """Low-voltage buses, in the order of every array."""
        ...

    def feeder_of(self, bus: str) -> str:
        """The feeder that a bus hangs on."""
        ...

    def estimated(self, now: datetime, charger_kw: Mapping[str, float]) -> Estimate:
        """The quarter of an hour that ended last before `now`, on average: the meters are read once. `charger_kw`: what
        the managers report of it, by bus."""
        ...

    def expected(self, start: datetime, now: datetime, charger_kw: Mapping[str, float]) -> GridState:
        """The 15 minutes from `start` as expected at `now`: the last estimate moved by the forecast's change, with the
        chargers drawing `charger_kw` by bus."""
        ...

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Derivatives of voltages and loadings with respect to the power drawn at each bus."""
        ...

    def solve(self, p_kw: Floats, q_kvar: Floats) -> GridState:
        """AC power flow for this net power drawn at each bus."""
        ...
