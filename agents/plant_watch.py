"""What the TSO knows of its plants: their newest 2.1, and what it assumes of one that has fallen silent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from agents.decisions.dispatch import Plant, PlantKind
from agents.news import News
from protocols.exchanges.res_curtailment import Measurements

LEAST_RUN = timedelta(hours=1)
"""So long a thermal unit runs once it was started (docs/island.md: assumption)."""


class PlantWatch:
    """By plant: what it can give next, and since when it runs. A silent plant goes by its last forecast; one that never
    reported counts with its capacity, wind with nothing. It is told once when a plant falls silent, and once when it is
    back."""

    def __init__(self, plants: Sequence[Plant], now: Callable[[], datetime], notice: Callable[[str], None]) -> None:
        self.plants = {plant.name: plant for plant in plants}
        self.news: News[Measurements] = News("2.1", now, notice)
        self.silent: set[str] = set()
        self._started: dict[str, datetime] = {}
        self._notice = notice
        self._strange: set[str] = set()

    def take(self, plant: str, report: Measurements) -> None:
        """A report from who has registered for this plant; one in another plant's name is left out."""
        if report.source == plant:
            before = self.news.newest(plant)
            if self.news.take(plant, report) and before and report.production_kw > 0 >= before.production_kw:
                self._started[plant] = report.start
        elif plant not in self._strange:
            self._strange.add(plant)
            self._notice(f"the producer of {plant} reports in the name of {report.source}: left out")

    def young(self, at: datetime) -> set[str]:
        """The thermal units that were started less than `LEAST_RUN` before `at`, so that they will still run then."""
        return {
            name
            for name, since in self._started.items()
            if since > at - LEAST_RUN and self.plants[name].kind is PlantKind.THERMAL
        }

    def available_kw(self, ended: datetime) -> dict[str, float]:
        """kW >= 0 that each plant could give in the next quarter of an hour, where the last one ended at `ended`."""
        return {name: self._available_kw(plant, ended) for name, plant in self.plants.items()}

    def _available_kw(self, plant: Plant, ended: datetime) -> float:
        report = self.news.newest(plant.name)
        if report is not None and report.end >= ended:
            if plant.name in self.silent:
                self.silent.discard(plant.name)
                self._notice(f"{plant.name} reports again")
            return _forecast_kw(report)
        if report is not None:
            assumed, words = _forecast_kw(report), f"its last forecast, made at {report.timestamp:%H:%M} UTC"
        elif plant.kind is PlantKind.WIND:
            assumed, words = 0.0, "nothing, for it has not reported yet"
        else:
            assumed, words = plant.capacity_kw, "its capacity, for it has not reported yet"
        if plant.name not in self.silent:
            self.silent.add(plant.name)
            self._notice(f"{plant.name} is silent: it counts with {assumed:g} kW, {words}")
        return assumed


def _forecast_kw(report: Measurements) -> float:
    """What the plant could give: as it forecasts, else as it could have given, else as it gave."""
    for kw in (report.forecast_available_kw, report.available_kw):
        if kw is not None:
            return kw
    return report.production_kw
