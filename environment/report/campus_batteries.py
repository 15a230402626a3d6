"""The chapter about the batteries of a day on campuses: what frequency control moved, what it wore, what owners got."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from environment.report import campus_words as say
from environment.report import words
from environment.report.campus_frequency import nothing
from environment.report.campus_material import CampusMaterial
from environment.report.chapter import Chapter
from environment.report.frequency_figures import FrequencyCharts
from environment.report.hearing import well_formed
from environment.report.seconds import Portfolio, throughput
from protocols.exchanges.congestion_services import Remuneration
from protocols.exchanges.vocabulary import ServiceType


def batteries(material: CampusMaterial) -> Chapter:
    """What frequency control moved, what it wore, how full the portfolios were, and what owners earned."""
    if not material.portfolios and not material.owners:
        return nothing("batteries", "Batteries", "No battery served the frequency in this run (BUC 7).")
    rows = [_wear(material, each) for each in material.portfolios]
    moved = sum(row["total_kwh"] for row in rows)
    worn = [row["wear_eur"] for row in rows if row["wear_eur"] is not None]
    title = f"{words.number(moved, 1)} kWh were moved for the frequency"
    if worn:
        title += f", which wore the batteries by {words.euro(sum(worn))}"
    charts = FrequencyCharts(material.run.series, ())
    owners = _owners(material)
    return Chapter(
        "batteries",
        "Batteries",
        "campus_batteries.html.j2",
        {
            "title": title,
            "rows": rows,
            "priced": bool(worn),
            "charge": charts.charge(material.portfolios, "Each portfolio's state of charge over its time of service.")
            if material.portfolios
            else "",
            "managed": any(row["nem_hours"] or row["aem_hours"] for row in rows),
            "owners": owners,
            "owners_title": f"{words.euro(sum((row['total'] for row in owners), Decimal(0)))} went to"
            f" {say.plural(len(owners), 'owner')}",
        },
    )


def _wear(material: CampusMaterial, portfolio: Portfolio) -> dict[str, Any]:
    through = throughput(portfolio)
    price = material.noted.get("wear_eur_per_kwh", {}).get(portfolio.name)
    batteries_kwh = material.batteries_kwh(portfolio.name)
    return {
        "name": portfolio.name,
        "product": say.PRODUCTS[portfolio.product],
        "up_kwh": through.up_kwh,
        "down_kwh": through.down_kwh,
        "managed_kwh": through.managed_kwh,
        "total_kwh": through.total_kwh,
        "tested_kwh": _tested_kwh(material, portfolio),
        "wear_eur": None if price is None else through.total_kwh * float(price),
        "price": price,
        "cycles": through.total_kwh / 2 / batteries_kwh if batteries_kwh else None,
        "batteries_kwh": batteries_kwh,
        "nem_hours": through.nem_hours,
        "aem_hours": through.aem_hours,
        "hours": through.logged_hours,
        "lowest": _extreme(portfolio.soc_percent, np.nanmin),
        "highest": _extreme(portfolio.soc_percent, np.nanmax),
    }


def _tested_kwh(material: CampusMaterial, portfolio: Portfolio) -> float:
    """What of it was moved while the TSO tested the portfolio (7.x.1)."""
    moved = 0.0
    for test in material.tests:
        if words.account_name(test.manager) == portfolio.name and test.steps:
            until = portfolio.at_s[-1] + 1 if test.ended is None else test.ended.timestamp()
            part = portfolio.between(test.application.test_from.timestamp(), until)
            moved += throughput(portfolio, part).total_kwh
    return moved


def tests_cost(material: CampusMaterial) -> list[str]:
    """For each portfolio one sentence: what its test cost its manager, who bears the cost of tests (D5.1 3.7), beside
    what the night brought. Owners are paid for the wear of test and night together (3.x.4): the test's part of that is
    its part of what was moved."""
    found = []
    for portfolio in material.portfolios:
        price = material.noted.get("wear_eur_per_kwh", {}).get(portfolio.name)
        tested = _tested_kwh(material, portfolio)
        if price is None or not tested:
            continue
        hours = [hour for hour in material.hours if words.account_name(hour.manager) == portfolio.name]
        earned = sum((eur for hour in hours if (eur := material.earned(hour)) is not None), Decimal(0))
        cost = _worn_kwh(material, portfolio) * tested / throughput(portfolio).total_kwh * float(price)
        text = (
            f"The prequalification test of {portfolio.name} ({say.PRODUCTS[portfolio.product]}) moved"
            f" {words.number(tested, 1)} kWh, and its manager bears the cost: {words.euro(cost)} of wear, paid to the"
            f" owners at {words.number(float(price), 3)} EUR/kWh. A night such as this one earns"
            f" {words.euro(earned)} from the TSO"
        )
        if earned > 0:
            text += f": the test costs {words.number(cost / float(earned), 1)} times that. An approval holds for years"
        found.append(text + ".")
    return found


def _worn_kwh(material: CampusMaterial, portfolio: Portfolio) -> float:
    """What owners were paid wear for, test and night, kWh; all that was moved where nobody was paid."""
    named = {
        test.application.portfolio_id for test in material.tests if words.account_name(test.manager) == portfolio.name
    }
    paid = sum(
        told.energy_kwh
        for told in remunerations(material)
        if told.service is ServiceType.FREQUENCY_CONTAINMENT and told.reference in named
    )
    return paid or throughput(portfolio).total_kwh


def _extreme(values: Any, of: Any) -> float | None:
    return float(of(values)) if np.isfinite(values).any() else None


def _owners(material: CampusMaterial) -> list[dict[str, Any]]:
    """What each owner was paid (3.x.4) by service, and what it was told (7.2), by the most earned first."""
    paid: dict[str, dict[ServiceType, Decimal]] = {}
    energy: dict[str, float] = {}
    for remuneration in remunerations(material):
        of = paid.setdefault(remuneration.ev_owner, {})
        booked = material.booked.get((remuneration.remuneration_id, words.account_name(remuneration.ev_owner)))
        amount = remuneration.amount_eur if booked is None else booked
        of[remuneration.service] = of.get(remuneration.service, Decimal(0)) + amount
        energy[remuneration.ev_owner] = energy.get(remuneration.ev_owner, 0.0) + remuneration.energy_kwh
    status = {owner.owner: owner for owner in material.owners}
    rows = []
    for owner in sorted({*paid, *status}):
        of, known = paid.get(owner, {}), status.get(owner)
        control = of.get(ServiceType.FREQUENCY_CONTAINMENT, Decimal(0))
        relief = of.get(ServiceType.CONGESTION_MANAGEMENT, Decimal(0))
        rows.append(
            {
                "name": words.account_name(owner),
                "charger": known.charger_id if known else "",
                "product": say.PRODUCTS[known.product] if known and known.product else "",
                "told": known.told if known else 0,
                "energy": energy.get(owner, 0.0),
                "fcr": control,
                "help": relief,
                "total": sum(of.values(), Decimal(0)),
            }
        )
    return sorted(rows, key=lambda row: (-row["total"], row["name"]))


def remunerations(material: CampusMaterial) -> list[Remuneration]:
    """What owners were told that they are paid (3.x.4), each once."""
    found: dict[str, Remuneration] = {}
    for _, content in well_formed(material.run.trace, "3.x.4"):
        if isinstance(content, Remuneration):
            found.setdefault(content.remuneration_id, content)
    return list(found.values())
