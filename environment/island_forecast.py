"""What an island's operator and producers expect of the next quarter hour, from what has been measured so far.

- Wind: persistence. What was available in the last five minutes goes on, and half of its change against the five
  minutes a quarter of an hour before goes on with it. A farm's available power is known when it is limited, too.
- Geothermal and hydro: as scheduled, which for both is what they could give in the last minute.
- Demand without vehicles: what the last five minutes had, plus the usual change from those minutes to the quarter hour
  that is asked for (the mean of the same weekday in the last four weeks).
- A plant that is lost stays lost, one that is back is back: the end of an outage is not known before it comes.

Nothing that lies after `now` is used, not even the rest of the running minute.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from agents.decisions.dispatch import PlantKind
from environment.island import IslandSpec
from environment.island_profiles import MINUTE, IslandProfiles

SEEN_MINUTES: Final = 5
TREND_MINUTES: Final = 15
TREND: Final = 0.5
"""The part of the last quarter hour's change that is expected again: of 0, 0.25, 0.5, 1 the one with least error."""


class IslandForecast:
    """Forecasts for one run; the same for both cases, since vehicles are not in them."""

    def __init__(self, spec: IslandSpec, profiles: IslandProfiles) -> None:
        self.spec = spec
        self.profiles = profiles
        self._plants = {p.name: p for p in spec.plants}

    def available_kw(self, plant: str, start: datetime, now: datetime) -> float:
        """What a plant could give on average in the 15 minutes from `start`, >= 0. LookupError for an unknown one."""
        if plant not in self._plants:
            raise LookupError(f"there is no plant {plant} on the island")
        if any(o.plant == plant and o.lasts_at(now) for o in self.spec.incidents):
            return 0.0
        end = self.profiles.index(now)
        known = self._plants[plant]
        if known.kind is not PlantKind.WIND:
            return float(self.profiles.past_available_kw(plant, end - 1, end)[0])
        seen = float(self.profiles.past_available_kw(plant, end - SEEN_MINUTES, end).mean())
        earlier = end - TREND_MINUTES
        before = float(self.profiles.past_available_kw(plant, earlier - SEEN_MINUTES, earlier).mean())
        return min(known.capacity_kw, max(0.0, seen + TREND * (seen - before)))

    def demand_kw(self, start: datetime, now: datetime) -> float:
        """Mean consumption without vehicles in the 15 minutes from `start`, >= 0."""
        end = self.profiles.index(now)
        seen = float(self.profiles.past_demand_kw(end - SEEN_MINUTES, end).mean())
        measured_from = self.profiles.begins.astimezone(UTC) + (end - SEEN_MINUTES) * MINUTE
        usual = float(self.profiles.usual_demand_kw(start).mean())
        usual_seen = float(self.profiles.usual_demand_kw(measured_from)[:SEEN_MINUTES].mean())
        return max(0.0, seen + usual - usual_seen)
