"""What `summary.json` tells of campuses: their transformers and lines, congestions (BUC 3), frequency control (BUC 7).

A run has these members where its series has the columns of campuses. Limits, wear and ratings are what only the
launcher knows: `notes` puts them together, and a run without them is read with what they usually are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np

from environment.campus_plant import CongestionSignal, RetailList
from environment.campus_scenario import CampusScenario
from environment.report import congestion_services, frequency_services, seconds
from environment.report.congestion_services import Part
from environment.report.frequency_services import Hour
from environment.report.words import account_name
from environment.run_folder import Posting, Trace
from environment.series import Case, Floats, Series

LOADING: Final = "trafo_loading_percent."
POWER: Final = "trafo_p_kw."
LINES: Final = "line_loading_percent_max."
NOTES: Final = "campuses"
"""The note that holds what `notes` returns."""
ORDINARY_HZ: Final = (49.9, 50.1)
_HOUR: Final = timedelta(hours=1)
_PLAIN_PERCENT: Final = 40.0
"""From this loading on a transformer's current is the active power's but for a few percent."""


@dataclass(frozen=True, slots=True)
class CampusFigures:
    """One campus in one case. Loading in % of rating, energy in kWh.

    The overload is what passed the transformer above its rating, `beyond_limit` above what the congestion signal
    allowed at that minute; both of active power, by what the loading says that the limit is in kW.
    """

    peak_trafo_loading_percent: float
    minutes_above_rating: float
    overload_kwh: float
    minutes_beyond_limit: float
    beyond_limit_kwh: float
    peak_line_loading_percent: float
    minutes_line_above_100: float
    energy_kwh: float


def has_campuses(series: Series) -> bool:
    """Whether a run's series has the columns of campuses."""
    return bool(names(series))


def names(series: Series) -> tuple[str, ...]:
    """The campuses of a series."""
    return tuple(name[len(LOADING) :] for name in series.extra if name.startswith(LOADING))


def notes(scenario: CampusScenario) -> dict[str, Any]:
    """What only the scenario knows: each campus' limits as they changed, each lot's wear, the retailer's prices."""
    limits = {}
    for campus in scenario.campus:
        signal = CongestionSignal(scenario, campus.name)
        moments = [scenario.begins.astimezone(UTC), *(at for at in signal.changes if at > scenario.begins)]
        limits[campus.name] = [
            {"at": at.astimezone(scenario.zone).isoformat(), "percent": signal(at).transformer_percent}
            for at in moments
        ]
    retail = RetailList(scenario)
    hours = range(-(-(scenario.ends - scenario.begins) // _HOUR))
    return {
        NOTES: {
            "limits": limits,
            "line_limit_percent": {campus.name: campus.line_limit_percent for campus in scenario.campus},
            "wear_eur_per_kwh": {lot.name: lot.battery_wear_eur_per_kwh for lot in scenario.lot},
            "represents": scenario.area.represents,
            "prices": [
                {
                    "start": at.astimezone(scenario.zone).isoformat(),
                    "first": retail.price_eur_per_kwh(at, scenario.begins.astimezone(UTC)),
                    "last": retail.price_eur_per_kwh(at, at),
                }
                for at in (scenario.begins.astimezone(UTC) + number * _HOUR for number in hours)
            ],
            "published": [
                at.astimezone(scenario.zone).isoformat() for at in retail.changes(scenario.ends.astimezone(UTC))
            ],
        }
    }


def limits(series: Series, case: Case, campus: str, noted: Mapping[str, Any]) -> Floats:
    """The limit of each minute in % of the transformer's rating; the rating itself where nothing was noted."""
    index = series.index(case).as_unit("us").asi8
    found = np.full(len(index), 100.0)
    for row in noted.get("limits", {}).get(campus, ()):
        found[index >= datetime.fromisoformat(row["at"]).timestamp() * 1e6] = float(row["percent"])
    return found


def excess_kw(series: Series, case: Case, campus: str, limit_percent: Floats) -> Floats:
    """What passed the transformer above the limit in each minute, kW >= 0; nothing where a value is missing."""
    frame = series.case(case)
    loading, power = frame[LOADING + campus].to_numpy(np.float64), frame[POWER + campus].to_numpy(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.abs(power) * (1.0 - limit_percent / loading)
    return np.where(loading > limit_percent, np.nan_to_num(above), 0.0)


def figures(series: Series, case: Case, campus: str, noted: Mapping[str, Any]) -> CampusFigures:
    """One campus in one case."""
    frame, hours = series.case(case), series.step(case) / _HOUR
    loading = frame[LOADING + campus].to_numpy(np.float64)
    lines = frame[LINES + campus].to_numpy(np.float64)
    allowed = limits(series, case, campus, noted)
    line_limit = float(noted.get("line_limit_percent", {}).get(campus, 100.0))
    return CampusFigures(
        peak_trafo_loading_percent=round(float(np.nanmax(loading)), 2),
        minutes_above_rating=round(float((loading > 100.0).sum()) * hours * 60, 2),
        overload_kwh=round(float(excess_kw(series, case, campus, np.full(len(loading), 100.0)).sum()) * hours, 3),
        minutes_beyond_limit=round(float((loading > allowed).sum()) * hours * 60, 2),
        beyond_limit_kwh=round(float(excess_kw(series, case, campus, allowed).sum()) * hours, 3),
        peak_line_loading_percent=round(float(np.nanmax(lines)), 2),
        minutes_line_above_100=round(float((lines > line_limit).sum()) * hours * 60, 2),
        energy_kwh=round(float(np.nansum(frame[POWER + campus].to_numpy(np.float64))) * hours, 2),
    )


def delivered_kw(series: Series, part: Part) -> Floats:
    """What a part took off its transformer in each minute of the day with flexibility, kW >= 0: baseline less metered
    of its settlement, quarter by quarter, and no more than was awarded: what else its chargers did (frequency control,
    another call, a plan that changed) is not the service's."""
    at = series.index("with").as_unit("us").asi8 / 1e6
    found = np.zeros(len(at))
    if part.settlement is None:
        return found
    settled = part.settlement
    start, end, count = settled.start.timestamp(), settled.end.timestamp(), len(settled.metered_kw)
    less = np.subtract(settled.baseline_kw[:count], settled.metered_kw).clip(0.0, settled.promised_kw)
    during = (at >= start) & (at < end)
    found[during] = less[((at[during] - start) * count / (end - start)).astype(int)]
    return found


def avoided_kwh(
    series: Series, campus: str, noted: Mapping[str, Any], parts: Sequence[Part]
) -> dict[tuple[str, str], float]:
    """How much more would have passed a transformer above its limit without each part, by call and manager, kWh >= 0.

    The day with flexibility is compared with itself and what the services delivered added back, not with the day
    `without`: that one lacks frequency control and its test as well. What several avoided at once is theirs by what
    each delivered. A part that has no settlement has no figure.
    """
    settled = [part for part in parts if part.took_place and part.settlement is not None]
    frame, allowed = series.case("with"), limits(series, "with", campus, noted)
    loading, power = frame[LOADING + campus].to_numpy(np.float64), frame[POWER + campus].to_numpy(np.float64)
    limit_kw = allowed * _kw_per_percent(loading, power)
    given = np.array([delivered_kw(series, part) for part in settled]).reshape(len(settled), len(power))
    total = given.sum(axis=0)
    saved = np.maximum(np.abs(power + total) - limit_kw, 0.0) - np.maximum(np.abs(power) - limit_kw, 0.0)
    # Of each kW delivered so much was overload avoided: nothing where a missing value or no service is.
    part_of = np.nan_to_num(saved / np.maximum(total, 1e-9)) * (total > 0)
    hours = series.step("with") / _HOUR
    return {
        (part.call.request_id, part.manager): round(float((given[row] * part_of).sum()) * hours, 3)
        for row, part in enumerate(settled)
    }


def _kw_per_percent(loading: Floats, power: Floats) -> Floats:
    """What one percent of the rating is in kW, by each minute's loading and active power; of a lightly loaded
    transformer, whose current is mostly reactive, as it is in the middle of the other minutes."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.abs(power) / loading
    plain = loading >= _PLAIN_PERCENT
    usual = float(np.median(each[plain])) if plain.any() else float(np.nanmax(each, initial=0.0))
    return np.where(plain, each, usual)


def top(series: Series, case: Case) -> dict[str, Any]:
    """What stands for the transformer in the figures of a whole run on campuses: those of its worst one.

    The worst is the longest above its rating in the day without flexibility, then the one with the highest peak; the
    same in both cases, and named. The network's own columns are no transformer's: the loading is the first one's and
    the power the sum of all. None of a run without campuses.
    """
    if not has_campuses(series):
        return {}
    reference: Case = "without" if "without" in series.cases else "with"

    def bad(campus: str) -> tuple[int, float]:
        loading = series.case(reference)[LOADING + campus].to_numpy(np.float64)
        return int((loading > 100.0).sum()), float(np.nanmax(loading))

    campus = max(names(series), key=bad)
    frame, told = series.case(case), figures(series, case, campus, {})
    loading = frame[LOADING + campus].to_numpy(np.float64)
    return {
        "worst_transformer": campus,
        "peak_trafo_loading_percent": told.peak_trafo_loading_percent,
        "peak_trafo_loading_at": frame.index[int(np.nanargmax(loading))].isoformat(),
        "minutes_above_100_percent": told.minutes_above_rating,
        "overload_kwh": told.overload_kwh,
        "peak_trafo_kw": round(float(np.nanmax(frame[POWER + campus].to_numpy(np.float64))), 2),
        "peak_line_loading_percent": round(
            max(float(np.nanmax(frame[LINES + each].to_numpy(np.float64))) for each in names(series)), 2
        ),
    }


def campus_of(trace: Trace) -> dict[str, str]:
    """Where each agent said that it serves when it made itself known: the campus of each DSO and V2X manager."""
    found: dict[str, str] = {}
    for entry in trace.entries:
        content = entry.message.content
        if entry.message.exchange == "df.register" and isinstance(content.get("location"), str):
            found.setdefault(str(content.get("jid", entry.message.sender)), content["location"])
    return found


def members(trace: Trace, series: Series, given: Mapping[str, Any]) -> dict[str, Any]:
    """The members for campuses, none for another run. `given` may have the note `NOTES`."""
    if not has_campuses(series):
        return {}
    noted, zone = given.get(NOTES, {}), series.index("with").tz
    parts = congestion_services.parts(trace)
    where = campus_of(trace)
    campuses = {
        campus: {
            "limits": noted.get("limits", {}).get(campus, []),
            **{case: asdict(figures(series, case, campus, noted)) for case in series.cases},
        }
        for campus in names(series)
    }
    saved: dict[tuple[str, str], float] = {}
    for campus in campuses:
        there = [part for part in parts if where.get(part.dso) == campus]
        saved |= avoided_kwh(series, campus, noted, there)
    return {
        "campuses": campuses,
        "area": {name: value for name, value in noted.items() if name != "limits"},
        "congestion": [
            _part(part, where.get(part.dso), saved.get((part.call.request_id, part.manager)), zone) for part in parts
        ],
        "fcr": {
            "tests": [_test(test) for test in frequency_services.applications(trace)],
            "hours": [_hour(hour, zone) for hour in frequency_services.hours(trace)],
        },
    }


def booked(postings: Iterable[Posting]) -> dict[tuple[str, str], Decimal]:
    """What each transaction brought an account, by transaction and the account's name, in EUR."""
    found: dict[tuple[str, str], Decimal] = {}
    for posting in postings:
        key = (posting.transaction_id, account_name(posting.account))
        found[key] = found.get(key, Decimal(0)) + posting.amount_eur
    return found


def help_eur(part: Part, paid: Mapping[tuple[str, str], Decimal]) -> Decimal | None:
    """What the DSO paid for a part by the ledger, by the settlement where the ledger is elsewhere."""
    if part.settlement is None:
        return None
    return paid.get((part.settlement.settlement_id, account_name(part.manager)), part.fee_eur)


def capacity_eur(hour: Hour, paid: Mapping[tuple[str, str], Decimal]) -> Decimal | None:
    """What the TSO paid for an hour, by the ledger: one that was cancelled has no settlement of its own."""
    settled = None if hour.settlement is None else hour.settlement.amount_eur
    return paid.get((hour.offer.offer_id, account_name(hour.manager)), settled)


def area(folder: Path, trace: Trace, series: Series, postings: Iterable[Posting]) -> dict[str, Any]:
    """The members of a run on campuses that need the ledger, or the seconds of its area and its logs in `folder`."""
    if not has_campuses(series):
        return {}
    paid = booked(postings)
    relief = (help_eur(part, paid) for part in congestion_services.parts(trace))
    capacity = (capacity_eur(hour, paid) for hour in frequency_services.hours(trace))
    sums = {
        name: str(sum((eur for eur in each if eur is not None), Decimal(0)))
        for name, each in (("congestion_eur", relief), ("frequency_eur", capacity))
    }
    return {"paid": sums, **_seconds(folder, series)}


def _seconds(folder: Path, series: Series) -> dict[str, Any]:
    """The member `frequency`, none for a run that did not keep the seconds of its area."""
    kept = seconds.frequency(folder)
    if kept is None:
        return {}
    trip = seconds.trip(kept)
    low, high = ORDINARY_HZ
    cases = {
        case: {
            "lowest_hz": round(float(np.nanmin(hz)), 4),
            "highest_hz": round(float(np.nanmax(hz)), 4),
            "minutes_outside_ordinary": round(float(((hz < low) | (hz > high)).sum()) / 60, 2),
        }
        for case, hz in kept.hz.items()
    }
    told: dict[str, Any] = {}
    if trip is not None:
        told["trip"] = {
            "at": trip.at.astimezone(series.index("with").tz).isoformat(),
            "before_hz": round(trip.before_hz, 4),
            **{
                case: {"nadir_hz": round(trip.nadir_hz[case], 4), "settled_hz": round(trip.settled_hz[case], 4)}
                for case in kept.hz
            },
        }
    through = {each.name: asdict(seconds.throughput(each)) for each in seconds.portfolios(folder)}
    rounded = {name: {key: round(value, 3) for key, value in each.items()} for name, each in through.items()}
    return {"frequency": {**cases, **told, "throughput": rounded}}


def _part(part: Part, campus: str | None, saved: float | None, zone: tzinfo | None) -> dict[str, Any]:
    answers = [each.answer for each in part.asked]
    return {
        "request_id": part.call.request_id,
        "campus": campus,
        "location": part.call.location,
        "manager": part.manager,
        "start": part.call.start.astimezone(zone).isoformat(),
        "end": part.end.astimezone(zone).isoformat(),
        "ended": part.ending,
        "asked_kw": part.call.power_kw,
        "offered_kw": part.offered_kw,
        "awarded_kw": part.awarded_kw,
        "delivered_kwh": round(part.delivered_kwh, 4),
        "fee_eur": None if part.fee_eur is None else str(part.fee_eur),
        "avoided_overload_kwh": saved,
        "drivers_asked": len(answers),
        "drivers_yes": answers.count("yes"),
    }


def _test(test: frequency_services.Test) -> dict[str, Any]:
    application = test.application
    return {
        "application_id": application.application_id,
        "portfolio_id": application.portfolio_id,
        "product": application.product.value,
        "claimed_kw": application.capacity_kw,
        "outcome": test.outcome,
        "approved_kw": test.approved_kw,
        "requirements": len(test.sheet),
        "passed": test.passed,
        "reason": test.reason,
    }


def _hour(hour: Hour, zone: tzinfo | None) -> dict[str, Any]:
    settled = hour.settlement
    return {
        "offer_id": hour.offer.offer_id,
        "portfolio_id": hour.offer.portfolio_id,
        "product": hour.offer.product.value,
        "start": hour.offer.start.astimezone(zone).isoformat(),
        "end": hour.offer.end.astimezone(zone).isoformat(),
        "offered_kw": hour.offer.capacity_kw,
        "bought_kw": hour.bought_kw,
        "price_eur_per_kw": None if hour.price_eur_per_kw is None else str(hour.price_eur_per_kw),
        "availability_percent": None if settled is None else settled.availability_percent,
        "amount_eur": None if settled is None else str(settled.amount_eur),
        "ended": hour.ending,
    }
