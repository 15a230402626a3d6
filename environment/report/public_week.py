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


def remaining(material: PublicMaterial, one: Violation) -> str:
    """Why a day under caps still has an overload: what the capped stations drew when the line that was most above its
    limit was so, beside what their caps let them draw. Empty where there were no caps, or no overload."""
    if not one.stations or one.kept < LEAST_KWH:
        return ""
    rows = np.flatnonzero(material.window_rows(one.day))
    over = {line: material.overload_kw("with", line)[rows] for line in material.lines}
    line = max(over, key=lambda each: float(over[each].max()))
    row = rows[int(over[line].argmax())]
    behind = material.behind(line)
    caps = {station: float(material.cap_kw(station)[row]) for station in material.stations if station in behind}
    caps = {station: kw for station, kw in caps.items() if not np.isnan(kw)}
    at = material.run.index[row]
    drawn, every = (
        sum(float(material.station_kw("with", station)[row]) for station in some) for some in (caps, behind)
    )
    flow = float(material.flow_kw("with", line)[row])
    others = len(behind) - len(caps)
    stations = f"{len(behind)} station{'' if len(behind) == 1 else 's'}"
    return (
        f"{at:%a} {at.day} {at:%b} is still above: at {at:%H:%M} {named(line)} carried {number(flow)} kW,"
        f" {number(float(over[line].max()))} kVA above its limit. The {len(caps)} capped of {stations}"
        f" behind it drew {number(drawn)} of the {number(sum(caps.values()))} kW that their bought limits leave them"
        + (f", the {others} not capped {number(every - drawn)} kW" if others else "")
        + f"; {number(flow - every)} kW were other load."
    )


def compliance_title(rows: Sequence[dict[str, Any]]) -> str:
    """How often a limit was kept by the meter."""
    if not any(row["state"] == "agreed" for row in rows):
        return "No limit was activated" if not rows else "No operator agreed to an activated limit"
    measured = [row for row in rows if row["highest_kw"] is not None]
    kept = sum(row["excess_kwh"] < 1e-9 for row in measured)
    if not measured:
        return "No activated limit was settled"
    text = f"{kept} of {len(measured)} activated limit{'s were' if len(measured) > 1 else ' was'} kept to the second"
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
            "remaining": [text for one in each if (text := remaining(material, one))],
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
