"""What the island's producers, its V2X managers and its TSO need of the physical world; the environment implements it.

Everything is in the kW of the run, which may be a slice of the island (demand and plants by the same share).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PlantReading:
    """Means of a time: `production_kw` given, `available_kw` that could have been given (both >= 0), and the frequency
    at the plant, None where it is not measured."""

    production_kw: float
    available_kw: float
    f_hz: float | None = None


class PlantMeter(Protocol):
    """One plant's meter and its operator's forecast."""

    def measured(self, start: datetime, end: datetime) -> PlantReading:
        """Means from `start` to `end`, both past."""
        ...

    def forecast_available_kw(self, start: datetime) -> float:
        """kW >= 0 that the plant could give on average in the 15 minutes from `start`, as known now."""
        ...


@dataclass(frozen=True, slots=True)
class SiteReading:
    """Means of a time, positive when drawn: active power in kW, below 0 where roofs give more than is drawn, and
    reactive power in kvar."""

    p_kw: float
    q_kvar: float


class SiteMeter(Protocol):
    """The meter at the connection of a house, a building or a company, less its chargers' meters."""

    def measured(self, start: datetime, end: datetime) -> SiteReading:
        """Means from `start` to `end`, both past. Raises LookupError for what has not been."""
        ...


class DispatchCentre(Protocol):
    """Who decides which thermal units run."""

    def interruptible(self, start: datetime, power_kw: float, *, beyond_kw: float) -> None:
        """In the quarter of an hour from `start`, of what the vehicles draw beyond `beyond_kw` (their own plans) up to
        `power_kw` (both >= 0) is there to take up wind and can be called off: no unit needs to run for it."""
        ...


class DemandForecast(Protocol):
    """The consumption of the island."""

    def demand_kw(self, start: datetime, now: datetime) -> float:
        """kW >= 0, the mean of the 15 minutes from `start` without the electric vehicles, as expected at `now`."""
        ...
