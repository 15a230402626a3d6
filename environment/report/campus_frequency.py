"""The chapters about frequency control of a day on campuses: the frequency, the tests, the hours."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import floor, log10
from typing import Any

import numpy as np

from agents.decisions.fcr_sequences import RAMP, kind
from agents.decisions.fcr_time_domain import EVALUATED_S
from environment.report import campus_words as say
from environment.report import common, words
from environment.report.campus_material import CampusMaterial
from environment.report.chapter import Chapter
from environment.report.envelope import Envelope, envelope, within_share
from environment.report.frequency_figures import AFTER_S, FrequencyCharts, ramp
from environment.report.frequency_services import Hour, Test
from environment.report.seconds import Portfolio, Trip
from environment.report.sequence import Episode, Story, about
from environment.series import Floats
from protocols.exchanges.frequency_services import Finding
from protocols.exchanges.vocabulary import FcrProduct

_EVALUATED_RAMP = 5
_ASKED_SHARE = 0.02
"""A portfolio is asked for something from this part of its capacity on."""
_SERVED_OUT = ("settled", "cancelled")


def frequency(material: CampusMaterial) -> Chapter:
    """The day's frequency, the trip, and the portfolios' answers to it."""
    seconds, trip = material.seconds, material.trip
    if seconds is None:
        return nothing("frequency", "Frequency", "The seconds of the area were not kept in this run (BUC 7).")
    charts = FrequencyCharts(material.run.series, ())
    told = material.run.summary.get("frequency", {})
    title = say.frequency_title(told) if told else "The area's frequency, second by second"
    values: dict[str, Any] = {
        "title": title,
        "day": charts.day(seconds, trip, f"Bands of the lowest to highest frequency. {title}."),
        "trip": "",
        "responses": "",
        "answers": [],
        "tested": [],
        "represents": material.noted.get("represents", 1),
    }
    if trip is not None:
        represents = float(material.noted.get("represents", 1))
        values["trip_title"] = say.trip_title(trip)
        values["trip_at"] = trip.at.astimezone(material.run.zone)
        values["trip"] = charts.trip(seconds, trip, represents, f"The seconds around a trip. {say.trip_title(trip)}.")
        serving = [each for each in material.portfolios if _in_service(material, each, trip)]
        values["tested"] = [each.name for each in material.portfolios if _in_test(material, each, trip)]
        values["answers"] = [_answer(each, trip) for each in serving]
        if serving:
            alt = "Each portfolio's answer to the trip within its envelope, in kW upwards."
            values["responses"] = charts.responses(serving, trip, alt)
    return Chapter("frequency", "Frequency", "campus_frequency.html.j2", values)


def nothing(key: str, heading: str, sentence: str) -> Chapter:
    """A chapter that a run has nothing for: one line says so."""
    return Chapter(key, heading, "nothing.html.j2", {"key": key, "heading": heading, "nothing": sentence})


def _in_service(material: CampusMaterial, portfolio: Portfolio, trip: Trip) -> bool:
    """Whether its capacity was sold when the trip came, and its log has these seconds."""
    logged = len(portfolio.at_s[portfolio.between(trip.at_s, trip.at_s + AFTER_S)]) > 1
    return logged and any(
        words.account_name(hour.manager) == portfolio.name
        and hour.bought_kw > 0
        and hour.offer.start <= trip.at < hour.offer.end
        for hour in material.hours
    )


def _in_test(material: CampusMaterial, portfolio: Portfolio, trip: Trip) -> bool:
    """Whether it saw the frequency of its test when the trip came, and not the area's."""
    return any(
        words.account_name(test.manager) == portfolio.name
        and test.application.test_from <= trip.at
        and (test.ended is None or trip.at < test.ended)
        for test in material.tests
    )


def _answer(portfolio: Portfolio, trip: Trip) -> dict[str, Any]:
    """What a portfolio gave in a trip, by its log. Powers upwards; what is asked for is that of its own frequency."""
    early, part = (portfolio.between(trip.at_s - lead, trip.at_s + AFTER_S) for lead in (60, 0))
    skip, up, every = part.start - early.start, -portfolio.activated_kw[part], -portfolio.response_kw[part]
    band = envelope(portfolio.rules, portfolio.capacity_kw[early], portfolio.hz[early])
    asked, least = band.asked_kw[skip:], band.least_kw[skip:]
    capacity = float(portfolio.capacity_kw[part].max())
    sign = 1.0 if abs(asked.max()) >= abs(asked.min()) else -1.0
    # Counted from where the product itself begins: FCR-N was at work before the trip.
    begins = np.flatnonzero(sign * (asked - asked[0]) > _ASKED_SHARE * capacity)
    first = int(begins[0]) if begins.size else 0
    at = np.arange(len(up)) - first
    later = float(np.interp(EVALUATED_S, at, up))
    tolerance = portfolio.rules.meter_accuracy_share * capacity
    shown = Envelope(asked, least, band.most_kw[skip:])
    return {
        "name": portfolio.name,
        "product": say.PRODUCTS[portfolio.product],
        "capacity": capacity,
        "asked": float(asked[np.argmax(np.abs(asked))]) if asked.size else 0.0,
        "given": float(up[np.argmax(np.abs(up))]) if up.size else 0.0,
        "all": float(every[np.argmax(np.abs(every))]) if every.size else 0.0,
        "asked_first": bool(begins.size),
        "later": later,
        "then": float(np.interp(EVALUATED_S, at, asked)),
        "kws": energy_kws(np.clip(up[first:], 0, None)),
        "within": 100 * within_share(shown, up, tolerance),
    }


def energy_kws(up_kw: Floats, until_s: float = EVALUATED_S) -> float:
    """The energy from 0 to `until_s` of a power that is known at each second and goes straight in between, kWs."""
    at = np.append(np.arange(np.ceil(until_s)), until_s)
    return float(np.trapezoid(np.interp(at, np.arange(len(up_kw)), up_kw), at))


def prequalification(material: CampusMaterial) -> Chapter:
    """One sheet for each application."""
    if not material.tests:
        return nothing("tests", "Prequalification", "No V2X manager asked to take part in frequency control (BUC 7).")
    return Chapter(
        "tests", "Prequalification", "campus_tests.html.j2", {"tests": [_sheet(material, t) for t in material.tests]}
    )


def _sheet(material: CampusMaterial, test: Test) -> dict[str, Any]:
    application = test.application
    # What failed first: it is why there is no approval.
    rows = [_finding(finding) for finding in sorted(test.sheet, key=lambda finding: finding.passed)]
    return {
        "portfolio": application.portfolio_id,
        "lot": material.run.name(test.manager),
        "product": say.PRODUCTS[application.product],
        "control": application.control.value,
        "chargers": len(application.units),
        "claimed_kw": application.capacity_kw,
        "approved_kw": test.approved_kw,
        "outcome": test.outcome,
        "reason": test.reason or "",
        "passed": test.passed,
        "steps": len(test.steps),
        "asked": say.plural(len(test.steps), "step"),
        "records": len(test.records),
        "samples": sum(len(record.power_kw) for record in test.records),
        "finest_s": min((record.sample_s for record in test.records), default=0.0),
        "from": application.test_from.astimezone(material.run.zone),
        "until": None if test.ended is None else test.ended.astimezone(material.run.zone),
        "rows": rows,
        "ramp": _ramp(test),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    low, high = (None if bound is None else figure(bound) for bound in (finding.low, finding.high))
    bounds = f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    return {
        "clause": finding.clause,
        "requirement": finding.requirement,
        "measured": figure(finding.measured),
        "bounds": bounds,
        "unit": finding.unit,
        "passed": finding.passed,
    }


def figure(value: float) -> str:
    """With three significant digits at least, and never as 0 what is not: what is small is told as a power of ten."""
    if value == 0:
        return "0"
    power = floor(log10(abs(value)))
    if power < -4:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        return f"{_trimmed(mantissa)}e{int(exponent)}".replace("-", "\N{MINUS SIGN}")
    return _trimmed(words.number(value, max(0, 2 - power, min(3, 3 - power))))


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _ramp(test: Test) -> Any:
    """The picture of the ramp that requirements 2 and 3 are judged by; empty where the product or the record lacks."""
    if test.application.product not in (FcrProduct.FCR_D_UP, FcrProduct.FCR_D_DOWN):
        return ""
    steps = {step.step_id: step for step in test.steps}
    for number, record in enumerate(test.records):
        try:
            found = kind(record.step_id)
        except ValueError:
            continue
        if found == (RAMP, _EVALUATED_RAMP) and record.step_id in steps:
            step = steps[record.step_id]
            alt = "The power in the seconds after ramp 5 of the test began, and what must be there after 7.5 seconds."
            return ramp(test, number, step.signal[0].duration_s - step.record_from_s, alt)
    return ""


def delivery(material: CampusMaterial) -> Chapter:
    """The hours that were offered, what was bought, kept and paid."""
    if not material.hours:
        return nothing("delivery", "Delivery", "No capacity was offered to the TSO in this run (BUC 7).")
    served = [hour for hour in material.hours if hour.ending in _SERVED_OUT]
    called_off = sum(hour.ending == "cancelled" for hour in served)
    ended = f"{len(served)} served" + (f" ({called_off} of them called off before its end)" if called_off else "")
    title = f"{say.plural(len(material.hours), 'offer')}, {ended}, {words.euro(material.fcr_eur)} from the TSO"
    story = _story(material)
    return Chapter(
        "delivery",
        "Delivery",
        "campus_delivery.html.j2",
        {
            "title": title,
            "hours": [_hour(material, hour) for hour in material.hours],
            "totals": _totals(material),
            "story": story,
            "picture": common.picture(story),
        },
    )


def _story(material: CampusMaterial) -> Story | None:
    """One hour from its offer to its payment: one that was settled, if there is one."""
    chosen = min(material.hours, key=lambda hour: hour.ending != "settled")
    offer = chosen.offer
    return about(
        material.run.trace, Episode(offer.offer_id, offer.start, offer.end), {offer.offer_id}, material.run.zone
    )


def _hour(material: CampusMaterial, hour: Hour) -> dict[str, Any]:
    settled, report = hour.settlement, hour.report
    why = hour.reason or "; ".join(change.reason for change in hour.changes)
    return {
        "start": hour.offer.start,
        "end": hour.offer.end,
        "lot": words.account_name(hour.manager),
        "product": say.PRODUCTS[hour.offer.product],
        "offered": hour.offer.capacity_kw,
        "bought": hour.bought_kw,
        "price": None if hour.price_eur_per_kw is None else float(hour.price_eur_per_kw),
        "availability": None if settled is None else settled.availability_percent,
        "up": None if report is None else report.up_kwh,
        "down": None if report is None else report.down_kwh,
        "energy": None if settled is None else settled.energy_kwh,
        "paid": material.earned(hour),
        "penalty": None if settled is None else settled.penalty_eur,
        "ended": hour.ending,
        "reason": why,
    }


def _totals(material: CampusMaterial) -> list[dict[str, Any]]:
    """What each portfolio sold and earned."""
    rows: dict[str, list[Hour]] = {}
    for hour in material.hours:
        rows.setdefault(hour.offer.portfolio_id, []).append(hour)
    return [
        {
            "portfolio": name,
            "product": say.PRODUCTS[every[0].offer.product],
            "hours": sum((h.offer.end - h.offer.start).total_seconds() / 3600 for h in every if h.bought_kw > 0),
            "mean_kw": _mean(h.bought_kw for h in every if h.bought_kw > 0),
            "availability": _mean(h.settlement.availability_percent for h in every if h.settlement is not None),
            "earned": sum((eur for h in every if (eur := material.earned(h)) is not None), Decimal(0)),
        }
        for name, every in sorted(rows.items())
    ]


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None
