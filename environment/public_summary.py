"""What `summary.json` tells of public stations: flows by line and day, who charged where, caps, prices, money.

A run has the member `public` where its series has the stations' columns; `NOTES` is what the launcher knows besides.
Energies are kWh, money is text with exact cents. `reverse_kwh` is added up over the lines: what flows back through
three of them counts three times, as it makes losses in three. `overload_kwh` is what lines carried above their limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agents.grid_view import Floats
from environment.public_columns import HIGHEST, LOADING, REVERSE, STATION
from environment.report import public_services, public_sessions
from environment.report.public_services import Lowered, PublicServices, holding
from environment.report.public_sessions import ENOUGH, PublicSessions, Wanted
from environment.run_folder import Trace
from environment.series import Case, Series

NOTES: Final = "public"
KWH, KM = 3, 3
"""Decimal places of energies and distances."""
_ANOTHER_TIME = timedelta(hours=1)
"""Who begins so much earlier or later charges at another time."""


def has_stations(series: Series) -> bool:
    """Whether a run's series has the columns of public stations."""
    return any(name.startswith(STATION) for name in series.extra)


def members(trace: Trace, series: Series, given: Mapping[str, Any]) -> dict[str, Any]:
    """The member for public stations, none for another run. `given` may have the note `NOTES`."""
    if not has_stations(series):
        return {}
    noted = given.get(NOTES, {})
    found, sessions = public_services.read(trace), public_sessions.read(trace)
    needs = _needs(sessions, series, noted.get("needs", {}))
    return {
        "public": {
            **{name: noted[name] for name in ("line_limit_percent", "window", "stations") if name in noted},
            "lines": _lines(series, noted),
            "days": _days(series, noted),
            "auction": _auction(found),
            "limits": _limits(found, series),
            "prices": _prices(found, series, noted),
            "drivers": {
                **{case: _welfare(needs, case) for case in series.cases},
                **_moves(needs, lambda need: _lowered(need, found, noted)),
            },
            "paid": _paid(found, sessions),
            "needs": needs,
        }
    }


# ---- the network


def _over_kw(series: Series, case: Case, noted: Mapping[str, Any]) -> dict[str, Floats]:
    """What each line carries above its limit, kVA in each row; nothing where its rating is not known."""
    frame, limit = series.case(case), float(noted.get("line_limit_percent", 100.0))
    return {
        line: np.maximum(frame[LOADING + line].to_numpy(np.float64) - limit, 0.0) / 100 * known["rating_kva"]
        for line, known in noted.get("lines", {}).items()
    }


def _reverse_kw(series: Series, case: Case) -> dict[str, Floats]:
    frame = series.case(case)
    names = [name.removeprefix(REVERSE) for name in series.extra if name.startswith(REVERSE)]
    return {line: frame[REVERSE + line].to_numpy(np.float64) for line in names}


def _kwh(kw: Floats, series: Series, case: Case) -> float:
    return round(float(np.nansum(kw)) * (series.step(case) / timedelta(hours=1)), KWH)


def _lines(series: Series, noted: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {line: dict(known) for line, known in noted.get("lines", {}).items()}
    for case in series.cases:
        over, back, frame = _over_kw(series, case, noted), _reverse_kw(series, case), series.case(case)
        for line in found:
            found[line][case] = {
                "highest_percent": round(float(np.nanmax(frame[LOADING + line].to_numpy(np.float64))), 2),
                "overload_kwh": _kwh(over[line], series, case),
                "reverse_kwh": _kwh(back[line], series, case),
            }
    return found


def _days(series: Series, noted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The local days of the run, the first and the last of them in part."""
    index = series.index("with")
    dates = np.array([at.date().isoformat() for at in index])
    sums = {
        case: {
            "overload_kwh": sum(_over_kw(series, case, noted).values(), np.zeros(len(index))),
            "reverse_kwh": sum(_reverse_kw(series, case).values(), np.zeros(len(index))),
        }
        for case in series.cases
    }
    return [
        {
            "day": day,
            **{
                case: {name: _kwh(np.where(dates == day, kw, 0.0), series, case) for name, kw in each.items()}
                for case, each in sums.items()
            },
        }
        for day in dict.fromkeys(dates.tolist())
    ]


# ---- capacity


def _auction(found: PublicServices) -> dict[str, Any]:
    told: dict[str, Any] = {"contracts": []}
    if not found.auctions:
        return told
    auction = found.auctions[-1]
    told |= {"bids": auction.approved, "refused": list(auction.refused)}
    if auction.decision is not None:
        decision = auction.decision
        told |= {
            "scenarios": decision.scenarios,
            "expected_without_kwh": decision.expected_without_kwh,
            "expected_with_kwh": decision.expected_with_kwh,
        }
    told["contracts"] = [
        {
            "contract_id": each.contract_id,
            "station": each.station_id,
            "cpo": each.cpo,
            "limit_kw": each.limit_kw,
            "price_eur": str(each.price_eur),
        }
        for each in auction.contracts
    ]
    return told


def _limits(found: PublicServices, series: Series) -> list[dict[str, Any]]:
    """Every activation, and the highest power of any moment that the station's meter has meanwhile."""
    frame, zone = series.case("with"), series.index("with").tz
    told = []
    for each in found.activations:
        limit = each.limit
        rows = frame[(frame.index >= limit.start) & (frame.index < limit.end)]
        column = HIGHEST + limit.station_id
        highest = float(rows[column].max()) if len(rows) and column in rows else None
        told.append(
            {
                "activation_id": limit.activation_id,
                "contract_id": limit.contract_id,
                "station": limit.station_id,
                "start": limit.start.astimezone(zone).isoformat(),
                "end": limit.end.astimezone(zone).isoformat(),
                "limit_kw": limit.limit_kw,
                "agreed": bool(each.agreed),
                "highest_kw": None if highest is None else round(highest, 3),
            }
        )
    return told


# ---- prices


def _prices(found: PublicServices, series: Series, noted: Mapping[str, Any]) -> dict[str, Any]:
    """What the reductions moved: `more_kwh` is what stations drew more, where and while network use was cheaper, than
    without; it costs the DSO what it takes off all that was drawn there (`cost_eur`, `eur_per_more_kwh`). `reduced_kwh`
    and `reduction_eur` are what was billed, which the last hours of a run are not."""
    reductions, bills = found.lowered, [each.bill for each in found.bills if each.agreed]
    told: dict[str, Any] = {
        "reductions": len(reductions),
        "reduced_kwh": round(sum(bill.reduced_kwh for bill in bills), KWH),
        "reduction_eur": str(sum((bill.reduction_eur for bill in bills), Decimal(0))),
    }
    times = [at.to_pydatetime() for at in series.index("with")]
    more, under = 0.0, [0.0] * len(reductions)
    for station, known in noted.get("stations", {}).items():
        held = np.array([holding(reductions, known["location"], found.owners.get(station), at) for at in times])
        drawn = {case: series.case(case)[STATION + station].to_numpy(np.float64) for case in series.cases}
        under = [kwh + _drawn_kwh(drawn["with"], held == number, series) for number, kwh in enumerate(under)]
        if "without" in drawn:
            more += _drawn_kwh(drawn["with"] - drawn["without"], held >= 0, series)
    cost = sum(
        (
            (Decimal(repr(round(kwh, KWH))) * each.reduction.reduction_eur_per_kwh).quantize(Decimal("0.01"))
            for each, kwh in zip(reductions, under, strict=True)
        ),
        Decimal(0),
    )
    told["cost_eur"] = str(cost)
    if "without" not in series.cases:
        return told
    per_kwh = round(float(cost) / more, 4) if more > 0 else None
    return {**told, "more_kwh": round(more, KWH), "eur_per_more_kwh": per_kwh}


def _drawn_kwh(kw: Floats, rows: npt.NDArray[np.bool_], series: Series) -> float:
    return float(np.nansum(np.where(rows, kw, 0.0))) * (series.step("with") / timedelta(hours=1))


# ---- the drivers


def _needs(sessions: PublicSessions, series: Series, noted: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every need: what it got in each case (None: nothing), how often was asked and picked for it, and what is another
    than without."""
    wanted = {need.need_id: need for need in sessions.needs}
    rows = []
    for name, known in noted.items():
        need, alone = wanted.get(name), known["without"]
        served = _served(need, series)
        askings = () if need is None else need.askings
        rows.append(
            {
                "need_id": name,
                **{key: value for key, value in known.items() if key != "without"},
                "asked": len(askings),
                "picked": sum(asking.choice is not None for asking in askings),
                "with": served,
                "without": alone,
                "another_place": bool(served and alone and served["station"] != alone["station"]),
                "another_time": bool(served and alone and _another_time(served["start"], alone["start"])),
            }
        )
    return rows


def _served(need: Wanted | None, series: Series) -> dict[str, Any] | None:
    kept = None if need is None else need.standing
    if need is None or kept is None or kept.receipt is None or (served := need.served) is None:
        return None
    zone = series.index("with").tz
    return {
        "station": served.station_id,
        "start": served.start.astimezone(zone).isoformat(),
        "end": served.end.astimezone(zone).isoformat(),
        "energy_kwh": served.energy_kwh,
        "price_eur_per_kwh": str(kept.receipt.price_eur_per_kwh),
        "amount_eur": str(kept.receipt.amount_eur),
        "distance_km": round(served.distance_km, KM),
    }


def _another_time(one: str, other: str) -> bool:
    return abs(datetime.fromisoformat(one) - datetime.fromisoformat(other)) >= _ANOTHER_TIME


def _welfare(needs: Sequence[Mapping[str, Any]], case: str) -> dict[str, Any]:
    """What all drivers together got and paid in one case; `short` got less than nine tenths of what they asked for."""
    got = [need[case] for need in needs if need[case] is not None]
    energy = sum(each["energy_kwh"] for each in got)
    short = [need for need in needs if need[case] and need[case]["energy_kwh"] < ENOUGH * need["energy_kwh"]]
    paid = sum((Decimal(each["amount_eur"]) for each in got), Decimal(0))
    return {
        "needs": len(needs),
        "served": len(got),
        "short": len(short),
        "asked_kwh": round(sum(need["energy_kwh"] for need in needs), KWH),
        "got_kwh": round(energy, KWH),
        "paid_eur": str(paid),
        "mean_eur_per_kwh": round(float(paid) / energy, 4) if energy else None,
        "mean_distance_km": round(sum(each["distance_km"] for each in got) / len(got), KM) if got else None,
    }


def _lowered(need: Mapping[str, Any], found: PublicServices, noted: Mapping[str, Any]) -> bool:
    """Whether network use was cheaper at its station in some part of the session that it got."""
    got = need["with"]
    known = noted.get("stations", {}).get(got["station"]) if got is not None else None
    if got is None or known is None:
        return False
    start, end = (datetime.fromisoformat(got[name]) for name in ("start", "end"))

    def held(each: Lowered) -> bool:
        here = known["location"] in each.reduction.locations and found.owners.get(got["station"]) in each.passed_on
        return here and each.reduction.start < end and each.reduction.end > start

    return any(map(held, found.lowered))


def _moves(needs: Sequence[Mapping[str, Any]], lowered: Callable[[Mapping[str, Any]], bool]) -> dict[str, int]:
    """Who charged at another place or time than without: for a lower price, or because of a cap or of others."""
    moved = [need for need in needs if need["another_place"] or need["another_time"]]
    return {
        "moved": len(moved),
        "another_place": sum(need["another_place"] for need in needs),
        "another_time": sum(need["another_time"] for need in needs),
        "moved_followers": sum(need["follows_prices"] for need in moved),
        "moved_to_lower_price": sum(lowered(need) for need in moved),
        "changed_their_mind": sum(need["picked"] > 1 for need in needs),
    }


def _paid(found: PublicServices, sessions: PublicSessions) -> dict[str, str]:
    """EUR: for capacity and as penalties by accepted settlements, for network use by paid bills, by drivers."""

    def total(values: Iterable[Decimal]) -> str:
        return str(sum(values, Decimal(0)))

    accepted = [each.settlement for each in found.settled if each.agreed]
    return {
        "capacity_eur": total(each.capacity_eur for each in accepted),
        "penalty_eur": total(each.penalty_eur for each in accepted),
        "network_eur": total(each.bill.amount_eur for each in found.bills if each.agreed),
        "charging_eur": str(public_sessions.paid_eur(sessions.needs)),
    }
