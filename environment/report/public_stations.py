"""The chapters about the stations' use and the drivers' welfare, with and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from environment.report import words
from environment.report.chapter import Chapter, Row, compared
from environment.report.public_figures import PublicCharts
from environment.report.public_material import PublicMaterial
from environment.report.public_sessions import ENOUGH, Served, Wanted
from environment.report.words import number
from environment.series import Case

_ROWS = (
    Row("Needs that were served", "served", "", 0, False),
    Row("Needs that went without", "unserved", "", 0, True),
    Row("Asked for by those who were served", "asked_kwh", "kWh", 0, None),
    Row("Got", "got_kwh", "kWh", 0, False),
    Row("Got less than nine tenths of it", "short", "", 0, True),
    Row("Paid", "paid_eur", "EUR", 2, None),
    Row("Paid for each kWh", "eur_per_kwh", "EUR", 4, True),
    Row("Detour, on average", "distance_km", "km", 2, True),
    Row("Waiting from arrival to start, on average", "wait_min", "min", 1, True),
)
_FAR_H, _FAR_KM = 0.5, 1.0
"""Who waits so much longer or drives so much further than without is worth a row."""


@dataclass(frozen=True, slots=True)
class Welfare:
    """One driver's need in both cases, over within the run in both."""

    need: Wanted
    served: Served | None
    alone: Served | None


def pairs(material: PublicMaterial) -> tuple[Welfare, ...]:
    """Each need whose session is over, or that got none. A session that is under way when the run ends is left out, and
    so is a need of a person, who is not in the case without."""
    found = []
    for need in material.sessions.needs:
        if material.base == "without" and need.need_id not in material.alone:
            continue
        standing = need.standing
        if standing is not None and standing.receipt is None:
            continue
        found.append(Welfare(need, need.served, material.alone.get(need.need_id)))
    return tuple(found)


def figures(material: PublicMaterial, each: Sequence[Welfare]) -> dict[str, dict[str, float]]:
    """What all drivers asked for, got and paid, by case."""
    found: dict[str, dict[str, float]] = {}
    for case in material.cases:
        both = [(one.need, one.served if case == "with" else one.alone) for one in each]
        got = [(need, served) for need, served in both if served is not None]
        energy = sum(served.energy_kwh for _, served in got)
        waits = [served.wait_h for _, served in got if served.wait_h is not None]
        found[case] = {
            "served": float(len(got)),
            "unserved": float(len(both) - len(got)),
            "asked_kwh": sum(need.energy_kwh for need, _ in got),
            "got_kwh": energy,
            "short": float(sum(served.energy_kwh < ENOUGH * need.energy_kwh for need, served in got)),
            "paid_eur": sum(served.amount_eur for _, served in got),
            "eur_per_kwh": sum(served.amount_eur for _, served in got) / energy if energy else 0.0,
            "distance_km": mean(served.distance_km for _, served in got) if got else 0.0,
            "wait_min": 60 * mean(waits) if waits else 0.0,
        }
    return found


def drivers_title(told: dict[str, dict[str, float]]) -> str:
    """Who was served, and how much longer they waited."""
    after = told["with"]
    text = f"{number(after['served'])} of {number(after['served'] + after['unserved'])} needs were served"
    if "without" not in told:
        return text
    before = told["without"]
    text += f", {number(before['served'])} without flexibility"
    wait, way = after["wait_min"] - before["wait_min"], after["distance_km"] - before["distance_km"]
    return f"{text}; waiting changed by {number(wait, 1, sign=True)} min, the detour by {number(way, 2, sign=True)} km"


def drivers(material: PublicMaterial, each: tuple[Welfare, ...]) -> Chapter:
    """What drivers asked for, got and paid; who went without, and who had to wait or drive."""
    chosen = {need.need_id for need, *_ in material.moved}
    worse = [one for one in each if _worse(one) and one.need.need_id not in chosen]
    told, missed = figures(material, each), [one for one in each if one.served is None]
    return Chapter(
        "drivers",
        "Drivers",
        "public_drivers.html.j2",
        {
            "title": drivers_title(told),
            "rows": compared(told, _ROWS),
            "without_any": [_row(one) for one in sorted(missed, key=lambda one: one.alone is None)],
            "lost": sum(one.alone is not None for one in missed),
            "worse": sorted(map(_row, worse), key=lambda row: (-row["wait_more"], -row["way_more"])),
            "short": [_row(one) for one in each if _short(one)],
        },
    )


def _short(one: Welfare) -> bool:
    return one.served is not None and one.served.energy_kwh < ENOUGH * one.need.energy_kwh


def _worse(one: Welfare) -> bool:
    served, alone = one.served, one.alone
    if served is None or alone is None:
        return False
    wait = (served.wait_h or 0.0) - (alone.wait_h or 0.0)
    return wait >= _FAR_H or served.distance_km - alone.distance_km >= _FAR_KM


def _row(one: Welfare) -> dict[str, Any]:
    served, alone = one.served, one.alone
    both = served is not None and alone is not None
    return {
        "driver": words.account_name(one.need.driver),
        "asked_at": one.need.asked_at,
        "asked_kwh": one.need.energy_kwh,
        "served": served,
        "alone": alone,
        "offered": sum(asking.offered for asking in one.need.askings),
        "why": _why(one.need),
        "wait_more": (served.wait_h or 0.0) - (alone.wait_h or 0.0) if both and served and alone else 0.0,
        "way_more": served.distance_km - alone.distance_km if both and served and alone else 0.0,
    }


def _why(need: Wanted) -> str:
    """Why a need got nothing."""
    last = need.askings[-1]
    if last.failed:
        return last.failed
    if not sum(asking.offered for asking in need.askings):
        return "no operator had a choice"
    return "called off" if last.called_off else "took none of the choices"


def use(material: PublicMaterial, each: tuple[Welfare, ...]) -> Chapter:
    """What each station delivered, to how many, and how long its chargers were taken."""
    rows = [_use(material, station, each) for station in material.stations]
    title = use_title(material)
    charts = PublicCharts(material, material.cap_windows)
    return Chapter(
        "stations",
        "Stations",
        "public_stations.html.j2",
        {
            "title": title,
            "rows": rows,
            "most": max((row[case]["kwh"] for row in rows for case in material.cases), default=1.0) or 1.0,
            "power": charts.stations(f"Line chart of what all stations draw. {title}."),
            "cases": material.cases,
        },
    )


def use_title(material: PublicMaterial) -> str:
    """What all stations delivered."""
    kwh = {case: sum(material.energy_kwh(case, station) for station in material.stations) for case in material.cases}
    text = f"{len(material.stations)} stations delivered {number(kwh['with'])} kWh"
    return text + (f", {number(kwh['without'])} kWh without flexibility" if "without" in kwh else "")


def _use(material: PublicMaterial, station: str, each: Sequence[Welfare]) -> dict[str, Any]:
    def of(case: Case) -> dict[str, float]:
        chosen = [one.served if case == "with" else one.alone for one in each]
        there = [served for served in chosen if served is not None and served.station_id == station]
        return {
            "kwh": material.energy_kwh(case, station),
            "sessions": float(len(there)),
            "hours": sum((served.end - served.start).total_seconds() for served in there) / 3600,
        }

    chargers = material.chargers(station)
    hours = len(material.starts) * material.hours * chargers
    found: dict[str, Any] = {case: of(case) for case in material.cases}
    occupied = found["with"]["hours"] / hours if hours else 0.0
    return {
        "station": station,
        "cpo": material.cpo_of(station),
        "bus": material.bus_of(station),
        "share": 100 * occupied,
        **found,
    }
