"""The chapters about congestions of a day on campuses: the networks, the services, who was asked and who said yes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from environment.report import campus_words as say
from environment.report import words
from environment.report.campus_frequency import nothing
from environment.report.campus_material import CampusMaterial
from environment.report.chapter import Chapter, Row, compared
from environment.report.congestion_figures import CampusCharts, merit_order
from environment.report.congestion_services import Asked, Part, richest_list

_ROWS = (
    Row("Peak of the transformer", "peak_trafo_loading_percent", "%", 1, True),
    Row("Minutes above its rating", "minutes_above_rating", "min", 0, True),
    Row("Minutes beyond what the signal allows", "minutes_beyond_limit", "min", 0, True),
    Row("Energy beyond what the signal allows", "beyond_limit_kwh", "kWh", 1, True),
    Row("Most loaded line", "peak_line_loading_percent", "%", 1, True),
    Row("Minutes with a line beyond its limit", "minutes_line_above_100", "min", 0, True),
    Row("Through the transformer", "energy_kwh", "kWh", 0, None),
)
_LEAST_KWH = 0.05
"""Less overload avoided than this is rounding: no price is told for it."""


def networks(material: CampusMaterial) -> Chapter:
    """Transformers, lines and prices, with and without."""
    charts = CampusCharts(material.run.series, material.noted, material.served())
    figures = {campus: material.figures(campus) for campus in material.campuses}
    loading, lines = say.loading_title(figures), say.lines_title(figures)
    prices = material.noted.get("prices", ())
    limits = {campus: rows for campus, rows in material.noted["limits"].items() if rows}
    return Chapter(
        "congestion",
        "Congestion",
        "campus_congestion.html.j2",
        {
            "titles": {"loading": loading, "lines": lines},
            "loading": charts.transformers(
                f"Line charts of each transformer's loading and its limit. {loading}. Services are shaded."
            ),
            "lines": charts.lines(f"Line charts of the most loaded line at each campus. {lines}."),
            "signals": {campus: _signal(rows) for campus, rows in limits.items()},
            "tables": {campus: compared(each, _ROWS) for campus, each in figures.items()},
            "prices": charts.prices(
                prices,
                material.noted.get("published", ()),
                "Steps of the retailer's price in EUR per kWh, as first told and as it was at last.",
            )
            if prices
            else "",
        },
    )


def _signal(rows: Sequence[Any]) -> str:
    """`100 %, from 10:10 70 %, from 12:30 100 %`."""
    first, *others = rows
    told = [f"{words.number(float(first['percent']))} %"]
    told += [f"from {row['at'][11:16]} {words.number(float(row['percent']))} %" for row in others]
    return ", ".join(told)


def help_given(material: CampusMaterial) -> Chapter:
    """The calls and what came of them, the drivers who were asked, and one merit order list."""
    if not material.parts:
        return nothing("help", "Help", "No DSO called for help against a congestion in this run (BUC 3).")
    asked = [each for part in material.parts for each in part.asked]
    answers = [each.answer for each in asked]
    richest = richest_list(material.parts)
    return Chapter(
        "help",
        "Help",
        "campus_help.html.j2",
        {
            "title": say.help_title(material.parts, material.help_eur, material.avoided_kwh),
            "services": [_service(material, part) for part in material.parts],
            "asked_title": say.asked_title(answers),
            "answers": Counter(answers),
            "drivers": _by_driver(material, asked),
            "managers": _by_manager(material),
            "list_title": "" if richest is None else say.list_title(richest),
            "merit": "" if richest is None else merit_order(richest, _list_alt(richest)),
        },
    )


def _service(material: CampusMaterial, part: Part) -> dict[str, Any]:
    paid, avoided = material.paid(part), material.avoided.get((part.call.request_id, part.manager))
    cost = None
    if paid is not None and avoided is not None and avoided >= _LEAST_KWH:
        cost = float(paid) / avoided
    return {
        "start": part.call.start,
        "end": part.end if part.took_place else part.call.end,
        "campus": material.campus_of.get(part.dso, ""),
        "where": part.call.location,
        "why": part.call.elements[0] if part.call.elements else part.call.location,
        "manager": material.run.name(part.manager),
        "asked_kw": part.call.power_kw,
        "offered_kw": part.offered_kw,
        "awarded_kw": part.awarded_kw,
        "delivered_kw": part.delivered_kw,
        "delivered_kwh": part.delivered_kwh,
        "price": float(part.call.reduction_price_eur_per_kwh),
        "paid": paid,
        "avoided": avoided,
        "cost": cost,
        "ended": part.ending,
        "reason": part.reason or "",
        "took_place": part.took_place,
        "disputed": part.agreed is False,
    }


def _by_driver(material: CampusMaterial, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """One row for each driver that was asked, those who were asked most first."""
    rows: dict[str, list[Asked]] = {}
    for each in asked:
        rows.setdefault(each.driver, []).append(each)
    found = []
    for driver, every in sorted(rows.items(), key=lambda row: (-len(row[1]), row[0])):
        reasons = Counter(each.reason for each in every if each.reason)
        kinds = Counter(say.KIND_WORDS[each.kind] for each in every if each.awarded_kw > 0)
        found.append(
            {
                "name": words.account_name(driver),
                "manager": material.run.name(every[0].manager),
                "asked": len(every),
                "yes": sum(each.answer == "yes" for each in every),
                "no": sum(each.answer == "no" for each in every),
                "silent": sum(each.answer == "silent" for each in every),
                "needed": sum(each.awarded_kw > 0 for each in every),
                "kinds": ", ".join(f"{count} \N{MULTIPLICATION SIGN} {kind}" for kind, count in kinds.most_common()),
                "benefit": sum((each.benefit_eur for each in every), Decimal(0)),
                "reason": "; ".join(f"{reason}" for reason, _ in reasons.most_common(2)),
            }
        )
    return found


def _by_manager(material: CampusMaterial) -> list[dict[str, Any]]:
    """How each manager answered the calls, and its drivers the requests."""
    rows: dict[str, list[Part]] = {}
    for part in material.parts:
        rows.setdefault(part.manager, []).append(part)
    return [
        {
            "name": material.run.name(manager),
            "called": len(every),
            "offered": sum(part.offered_kw > 0 for part in every),
            "awarded": sum(part.awarded_kw > 0 for part in every),
            "asked": sum(len(part.asked) for part in every),
            "yes": sum(each.answer == "yes" for part in every for each in part.asked),
            "refusals": "; ".join(
                reason
                for reason, _ in Counter(p.reason for p in every if p.ending == "refused" and p.reason).most_common(2)
            ),
        }
        for manager, every in sorted(rows.items())
    ]


def _list_alt(part: Part) -> str:
    rows = "; ".join(
        f"{activation.kind} {words.number(activation.power_kw, 1)} kW at {activation.cost_eur_per_kwh} EUR/kWh"
        + (", taken" if activation.activation_id in part.taken else "")
        for activation in part.activations[:16]
    )
    return f"Bars of a merit order list. {rows}."
