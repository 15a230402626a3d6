"""What the summary of public stations must know and only the launcher has; see `environment.public_summary`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from environment.public_scenario import PublicScenario
from environment.public_summary import KM, KWH, NOTES
from environment.public_without import Served
from environment.world import Plant


def notes(plant: Plant, served: Sequence[Served]) -> dict[str, Any]:
    """What the report must know and only the scenario has: the lines' ratings, the stations, and every need with what
    it would have got without caps and reductions."""
    scenario, public = plant.scenario, plant.public
    assert isinstance(scenario, PublicScenario)
    assert public is not None
    net, alone = plant.grid.net, {each.need_id: each for each in served}
    volts = net.bus.vn_kv[net.line.from_bus].to_numpy()
    kva = np.sqrt(3) * volts * (net.line.max_i_ka * net.line.df * net.line.parallel).to_numpy() * 1e3
    rating = dict(zip(plant.grid.lines, kva, strict=True))
    return {
        NOTES: {
            "line_limit_percent": scenario.grid.line_limit_percent,
            "window": [f"{clock:%H:%M}" for clock in scenario.window],
            "lines": {
                line: {"rating_kva": round(float(rating[line]), 1), "buses": list(public.sections[line])}
                for line in public.lines
            },
            "stations": {
                site.station_id: {
                    "cpo": site.cpo,
                    "location": site.location,
                    "latitude_deg": site.latitude_deg,
                    "longitude_deg": site.longitude_deg,
                    "chargers": len(site.charger_ids),
                    "charger_kw": site.charger_kw,
                    "connection_kw": site.connection_kw,
                }
                for site in public.stations
            },
            "needs": {
                need.need_id: {
                    "driver": driver.name,
                    "follows_prices": driver.follows_prices,
                    "asks_at": need.asks_at.astimezone(scenario.zone).isoformat(),
                    "energy_kwh": need.energy_kwh,
                    "without": _alone(alone.get(need.need_id), scenario),
                }
                for driver, need in public.needs.in_time()
            },
        }
    }


def _alone(served: Served | None, scenario: PublicScenario) -> dict[str, Any] | None:
    if served is None:
        return None
    return {
        "station": served.station_id,
        "start": served.start.astimezone(scenario.zone).isoformat(),
        "end": served.end.astimezone(scenario.zone).isoformat(),
        "energy_kwh": round(served.energy_kwh, KWH),
        "price_eur_per_kwh": str(served.price_eur_per_kwh),
        "amount_eur": str(served.amount_eur),
        "distance_km": round(served.distance_km, KM),
    }
