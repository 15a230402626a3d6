"""The chapter about the contracts' days (BUC 5.2): the worst line, violations, each activated window, compliance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from environment.report.chapter import Chapter
from environment.report.public_auction import expected
from environment.report.public_figures import PublicCharts
from environment.report.public_material import LEAST_KWH, PublicMaterial
from environment.report.public_run import named
from environment.report.public_services import Activation
from environment.report.words import account_name, number


@dataclass(frozen=True, slots=True)
class Violation:
    """What passed lines above their limits in the window of a day, kWh; `without` is None where that was not run."""

    day: date
    without: float | None
    kept: float
    stations: int


def violations(material: PublicMaterial) -> tuple[Violation, ...]:
    """Each day of the contracts that the run sees whole."""
    found = []
    for day in material.days:
        rows = material.window_rows(day)
        stations = {
            each.limit.station_id
            for each in material.activated
            if each.limit.start.astimezone(material.run.zone).date() == day
        }
        alone = material.overload_kwh("without", rows) if material.base == "without" else None
        found.append(Violation(day, alone, material.overload_kwh("with", rows), len(stations)))
    return tuple(found)


def loading_title(material: PublicMaterial) -> str:
    """The finding over the worst line's chart."""
    line = material.worst
    text = f"{named(line).capitalize()} peaked at {number(material.loading('with', line).max())} %"
    if material.base == "without":
        text += f"; without flexibility at {number(material.loading('without', line).max())} %"
    days = len({each.limit.start.astimezone(material.run.zone).date() for each in material.activated})
    return text + f". Caps held on {days} day{'' if days == 1 else 's'}"


def violations_title(each: Sequence[Violation], told: tuple[float, float] | None) -> str:
    """A day's mean, beside what was expected."""
    if not each:
        return "No whole day of the contracts is in the run"
    after = float(np.mean([one.kept for one in each]))
    text = f"{number(after, 1)} kWh above the limits on an average day"
    alone = [one.without for one in each if one.without is not None]
    if alone:
        text += f", {number(float(np.mean(alone)), 1)} kWh without"
    if told is not None:
        text += f"; expected were {number(told[1], 1)} and {number(told[0], 1)}"
    return text


def compliance_title(rows: Sequence[dict[str, Any]]) -> str:
    """How often a limit was kept by the meter."""
    measured = [row for row in rows if row["highest_kw"] is not None]
    kept = sum(row["excess_kwh"] < 1e-9 for row in measured)
    if not measured:
        return "No activated limit was settled"
    text = f"{kept} of {len(measured)} activated limits were kept to the second"
    return f"{text} by the stations\N{RIGHT SINGLE QUOTATION MARK} meters"


def chapter(material: PublicMaterial, each: tuple[Violation, ...]) -> Chapter:
    """The days of the contracts."""
    charts = PublicCharts(material, material.cap_windows)
    line, told = material.worst, expected(material.auction)
    titles = {"loading": loading_title(material), "violations": violations_title(each, told)}
    rows = [_row(material, activation) for activation in material.services.activations]
    by_station = [
        (station, [activation for activation in material.activated if activation.limit.station_id == station])
        for station in material.stations
    ]
    capped = [(station, many) for station, many in by_station if many]
    bars = [(one.day, one.without or 0.0, one.kept) for one in each]
    return Chapter(
        "week",
        "The week",
        "public_week.html.j2",
        {
            "titles": titles | {"compliance": compliance_title(rows)},
            "limit": material.limit_percent,
            "loading": charts.loading(line, f"Line chart of the loading of {named(line)}. {titles['loading']}."),
            "violations": charts.violations(bars, told or (0.0, 0.0), f"Bars by day. {titles['violations']}.")
            if bars
            else "",
            "caps": charts.caps(capped, f"Station power in {len(material.activated)} activated windows.")
            if capped
            else "",
            "days": each,
            "expected": told,
            "rows": rows,
            "idle": _idle(material),
        },
    )


def _row(material: PublicMaterial, activation: Activation) -> dict[str, Any]:
    limit, settled = activation.limit, material.settlement_of(activation)
    state = "silent" if activation.agreed is None else "agreed" if activation.agreed else "refused"
    rows = material.rows(limit.start, limit.end)
    without = None
    if material.base == "without" and rows.any():
        without = float(material.station_kw("without", limit.station_id)[rows].max())
    return {
        "start": limit.start,
        "end": limit.end,
        "station": limit.station_id,
        "cpo": account_name(activation.cpo),
        "limit_kw": limit.limit_kw,
        "state": state,
        "reason": activation.reason or "",
        "highest_kw": None if settled is None else settled.highest_kw,
        "excess_kwh": 0.0 if settled is None else settled.excess_kwh,
        "without_kw": without,
        "capacity_eur": None if settled is None else settled.capacity_eur,
        "penalty_eur": None if settled is None else settled.penalty_eur,
        "paid_eur": None if settled is None else settled.amount_eur,
    }


def _idle(material: PublicMaterial) -> dict[str, Any]:
    """What was paid for days of contracts on which no limit was activated, and what is open."""
    idle = [each for each in material.services.settled if each.agreed and each.settlement.activation_id is None]
    open_ = [each for each in material.services.settled if not each.agreed]
    return {
        "days": len(idle),
        "eur": sum((each.settlement.amount_eur for each in idle), Decimal(0)),
        "open": [{"id": each.settlement.settlement_id, "reason": each.reason or "no answer"} for each in open_],
    }


def avoided_kwh(each: Sequence[Violation]) -> float | None:
    """What caps and lower prices together avoided on all days; None where the case without was not run."""
    alone = [one.without for one in each]
    if not each or any(one is None for one in alone):
        return None
    saved = sum(one for one in alone if one is not None) - sum(one.kept for one in each)
    return saved if saved >= LEAST_KWH else 0.0
