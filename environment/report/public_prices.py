"""The chapter about reverse flow and lowered prices (BUC 4.2): what was taken up, who moved, what it cost the DSO."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from agents.decisions.choice import PUBLIC_CHARGING_ELASTICITY, ChoiceModel, demand_elasticity
from environment.report import words
from environment.report.chapter import Chapter
from environment.report.public_figures import PublicCharts
from environment.report.public_material import LEAST_KWH, PublicMaterial
from environment.report.public_run import named
from environment.report.public_services import Lowered
from environment.report.public_sessions import Served, Wanted
from environment.report.words import euro, number

_AROUND = timedelta(hours=2)
_HYPHEN = "\N{NON-BREAKING HYPHEN}"
MOST_NAMED, MOST_LINES = 3, 3
"""So many stations are named at most, and so many lines are drawn."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What came of one reduction. `came`: who charged under it and would not have without; `left`: who would have.

    `drawn_kwh` is what its stations drew while it held (where another one does not take off more), `usual_kwh` the same
    without flexibility, None where that was not run; `eur` what the reduction took off.
    """

    lowered: Lowered
    stations: tuple[str, ...]
    came: tuple[tuple[Wanted, Served], ...]
    left: int
    drawn_kwh: float
    usual_kwh: float | None
    eur: Decimal

    @property
    def moved_kwh(self) -> float | None:
        """How much more was drawn; below 0 where it was less."""
        return None if self.usual_kwh is None else self.drawn_kwh - self.usual_kwh

    @property
    def eur_per_kwh(self) -> float | None:
        """What each further kWh cost the DSO, None where there was none."""
        moved = self.moved_kwh
        return None if moved is None or moved < LEAST_KWH else float(self.eur) / moved


def effects(material: PublicMaterial) -> tuple[Effect, ...]:
    """What came of each reduction, in the order of their beginning."""
    left = [0] * len(material.reductions)
    for need in material.sessions.needs:
        other, served = material.alone.get(need.need_id), need.served
        number = -1 if other is None else material.reduced(other)
        if other is not None and number >= 0:
            same = served is not None and served.station_id == other.station_id
            left[number] += not (same and served is not None and material.reduced(served) == number)
    found = []
    for number, lowered in enumerate(material.reductions):
        drawn = usual = 0.0
        stations = []
        for station in material.stations:
            rows = material.holding[station] == number
            if rows.any():
                stations.append(station)
                drawn += float(material.station_kw("with", station)[rows].sum()) * material.hours
                usual += float(material.station_kw(material.base, station)[rows].sum()) * material.hours
        came = tuple((need, served) for need, served, _, at in material.moved if at == number)
        less = lowered.reduction.reduction_eur_per_kwh
        eur = (Decimal(repr(round(drawn, 3))) * less).quantize(Decimal("0.01"))
        alone = usual if material.base == "without" else None
        found.append(Effect(lowered, tuple(stations), came, left[number], drawn, alone, eur))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Outcome:
    """All reductions together. `drawn_kwh` was drawn under them; `taken_kwh`: how much less flowed back through `line`,
    the first of those that feed back."""

    reductions: int
    drivers: int
    changed: int
    drawn_kwh: float
    moved_kwh: float | None
    eur: Decimal
    line: str
    taken_kwh: float | None
    reverse_kwh: float

    @property
    def eur_per_kwh(self) -> float | None:
        moved = self.moved_kwh
        return None if moved is None or moved < LEAST_KWH else float(self.eur) / moved


def outcome(material: PublicMaterial, each: tuple[Effect, ...]) -> Outcome:
    """What all reductions came to."""
    line = next(iter(material.feeding_back), "")
    before = material.reverse_kwh(material.base, line) if line else 0.0
    after = material.reverse_kwh("with", line) if line else 0.0
    alone = material.base == "without"
    movers = {need.driver: need for need, *_ in material.moved}
    return Outcome(
        reductions=len(each),
        drivers=len(movers),
        changed=len({need.driver for need, *_ in material.moved if need.changed}),
        drawn_kwh=sum(effect.drawn_kwh for effect in each),
        moved_kwh=sum(effect.moved_kwh or 0.0 for effect in each) if alone else None,
        eur=sum((effect.eur for effect in each), Decimal(0)),
        line=line,
        taken_kwh=before - after if alone else None,
        reverse_kwh=before,
    )


def title(found: Outcome) -> str:
    """What the lower prices came to, in one sentence."""
    if not found.reductions:
        return "No network price was lowered"
    text = f"{number(found.reductions)} reduction{'s' if found.reductions > 1 else ''}"
    if found.moved_kwh is None:
        return f"{text}, {euro(found.eur)} taken off"
    if found.moved_kwh < LEAST_KWH:
        return f"{text} for {euro(found.eur)}, and no more was drawn under them than without"
    cost = f": {number(found.eur_per_kwh, 2)} EUR for each of them" if found.eur_per_kwh is not None else ""
    if not found.drivers:
        return f"{text} for {euro(found.eur)} moved no driver, and {number(found.moved_kwh)} kWh more were drawn{cost}"
    return f"{text} brought {number(found.moved_kwh)} kWh under the sun for {euro(found.eur)}{cost}"


def reverse_title(found: Outcome) -> str:
    """How much flowed back, with and without."""
    if not found.line:
        return "No line fed back"
    text = f"{number(found.reverse_kwh)} kWh flowed back through {named(found.line)} without flexibility"
    if found.taken_kwh is None:
        return text.replace(" without flexibility", "")
    percent = 100 * found.taken_kwh / found.reverse_kwh if found.reverse_kwh else 0.0
    verb = "less" if found.taken_kwh >= 0 else "more"
    return f"{text}, {number(abs(found.taken_kwh))} kWh ({number(abs(percent), 1)} %) {verb} with it"


def chapter(material: PublicMaterial, each: tuple[Effect, ...], found: Outcome) -> Chapter:
    """Reverse flow, lowered prices, and who moved."""
    windows = [(effect.lowered.reduction.start, effect.lowered.reduction.end) for effect in each]
    lines = material.feeding_back[:MOST_LINES]
    charts = PublicCharts(material, windows)
    flows = reverse_title(found)
    askers = {need.driver for need in material.sessions.needs}
    return Chapter(
        "prices",
        "Lower prices",
        "public_prices.html.j2",
        {
            "title": flows,
            "picture": charts.flows(lines, f"Line charts of the power through lines. {flows}. Reductions are shaded.")
            if lines
            else "",
            **_closer(material, charts, each),
            "result": title(found),
            "found": found,
            "unbilled": material.unbilled_eur(found.eur),
            "effects": [_row(material, effect) for effect in each],
            "movers": _movers(material),
            "elasticity": {"value": demand_elasticity(ChoiceModel()), "shenzhen": PUBLIC_CHARGING_ELASTICITY},
            "followers": len(material.sessions.followers & askers),
            "drivers": len(askers),
            "deepest": _deepest(material, each),
        },
    )


def _deepest(material: PublicMaterial, each: tuple[Effect, ...]) -> dict[str, float] | None:
    """The largest reduction as a part of what charging costs, and what demand it moves by the elasticity, in %."""
    prices = [served.price_eur_per_kwh for served in material.alone.values() if served is not None]
    if not each or not prices:
        return None
    less = max(float(effect.lowered.reduction.reduction_eur_per_kwh) for effect in each)
    share = 100 * less / (sum(prices) / len(prices))
    return {"less": less, "percent": share, "demand_percent": abs(PUBLIC_CHARGING_ELASTICITY) * share}


def _closer(material: PublicMaterial, charts: PublicCharts, each: tuple[Effect, ...]) -> dict[str, Any]:
    """The hours of reductions of the day on which most was moved, at the lines concerned."""
    zone = material.run.zone
    by_day: dict[date, list[Effect]] = {}
    for effect in each:
        by_day.setdefault(effect.lowered.reduction.start.astimezone(zone).date(), []).append(effect)
    if not by_day:
        return {"closer": "", "closer_title": ""}
    chosen = max(by_day.values(), key=lambda many: sum(effect.moved_kwh or 0.0 for effect in many))
    span = (
        min(effect.lowered.reduction.start for effect in chosen) - _AROUND,
        max(effect.lowered.reduction.end for effect in chosen) + _AROUND,
    )
    moved: dict[str, float] = {}
    for effect in chosen:
        line = material.concerned(effect.lowered)
        moved[line] = moved.get(line, 0.0) + (effect.moved_kwh or 0.0)
    lines = sorted((line for line in moved if line), key=lambda line: -moved[line])[:MOST_LINES]
    if not lines:
        return {"closer": "", "closer_title": ""}
    total = sum(effect.moved_kwh or 0.0 for effect in chosen)
    name = words.day(chosen[0].lowered.reduction.start.astimezone(zone))
    title = f"{name}: {number(total)} kWh more drawn"
    if len(by_day) > 1:
        title += ", more than on any other day"
    return {"closer": charts.flows(lines, f"Line charts of that day. {title}.", span), "closer_title": title}


def _row(material: PublicMaterial, effect: Effect) -> dict[str, Any]:
    reduction = effect.lowered.reduction
    return {
        "start": reduction.start,
        "end": reduction.end,
        "places": ", ".join(reduction.locations),
        "stations": _where(material, effect),
        "less": reduction.reduction_eur_per_kwh,
        "came": len(effect.came),
        "left": effect.left,
        "drawn_kwh": effect.drawn_kwh,
        "moved_kwh": effect.moved_kwh,
        "eur": effect.eur,
        "cost": effect.eur_per_kwh,
        "refused": not effect.lowered.passed_on,
    }


def _where(material: PublicMaterial, effect: Effect) -> str:
    if not effect.stations:
        return "where a larger one holds"
    if len(effect.stations) <= MOST_NAMED:
        return ", ".join(effect.stations)
    line = material.concerned(effect.lowered)
    return f"{len(effect.stations)} stations" + (f" behind {named(line)}".replace("-", _HYPHEN) if line else "")


def _movers(material: PublicMaterial) -> list[dict[str, Any]]:
    """Each session that would not have been there and then, those that came furthest in time first."""
    rows = []
    for need, served, other, _ in material.moved:
        shift = None if other is None else (served.start - other.start).total_seconds() / 3600
        saved = None if other is None else other.price_eur_per_kwh - served.price_eur_per_kwh
        rows.append(
            {
                "driver": words.account_name(need.driver),
                "start": served.start,
                "station": served.station_id,
                "kwh": served.energy_kwh,
                "price": served.price_eur_per_kwh,
                "other": other,
                "shift_h": shift,
                "saved": saved,
                "changed": need.changed,
            }
        )
    return sorted(rows, key=lambda row: (-abs(row["shift_h"] or 0.0), row["driver"]))
