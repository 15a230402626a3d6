"""What the actors need of the physical world, as small protocols; the environment implements them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from agents.grid_view import Direction, GridState, Hosting, Limits, Relief, Sensitivity


class GridModel(Protocol):
    """The operator's model of its own network: power flow on forecasts. kW, positive drawn; buses by name."""

    @property
    def buses(self) -> tuple[str, ...]:
        """Low-voltage buses, in the order of every state's arrays."""
        ...

    def look_ahead(
        self,
        charger_kw_by_bus: Mapping[str, Sequence[float]],
        start: datetime,
        periods: int,
        *,
        now: datetime | None = None,
    ) -> list[GridState]:
        """One state for each 15-minute period from `start`, on the forecast made at `now` (default: `start`)."""
        ...

    def sensitivity(self, state: GridState) -> Sensitivity:
        """Derivatives of voltages and loadings with respect to the power drawn at each bus."""
        ...

    def hosting(
        self,
        bus: str | Mapping[str, float],
        direction: Direction,
        limits: Limits,
        *,
        up_to_kw: float = 1000.0,
        already_kw: Mapping[str, float] | None = None,
    ) -> Hosting:
        """The power at `bus` (or shared over buses by weight) that breaks no limit in the year's worst quarter hour.

        `already_kw`: power at other buses that is promised already, same direction (magnitudes)."""
        ...

    def relief(self, state: GridState, available_kw: Mapping[str, float], limits: Limits) -> Relief:
        """The smallest change at buses, in proportion to `available_kw` (magnitudes), that keeps the limits."""
        ...
