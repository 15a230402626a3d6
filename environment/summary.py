"""`summary.json`: a run in figures, with and without flexibility.

Everything is computed from the run folder's other files, except what only the launcher knows: how many agents
there were, how long it took on the wall, what each driver got, and what was worth a warning.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np

from agents.decisions.money import CENT
from environment import campus_summary, en50160, island_summary, public_summary
from environment.report.market import rounds
from environment.run_folder import (
    LEDGER,
    SERIES,
    SUMMARY,
    TRACE,
    Posting,
    Trace,
    read_postings,
    read_trace,
)
from environment.series import Case, Series
from protocols.trace import Entry

Contribution: TypeAlias = Callable[[Trace, Series, Mapping[str, Any]], Mapping[str, Any]]
CONTRIBUTIONS: Final[tuple[Contribution, ...]] = (
    island_summary.members,
    campus_summary.members,
    public_summary.members,
)
"""What single demonstrators add: from the trace, the series and the launcher's notes, the members that such a run has,
none for any other run."""
ASKED_TOLERANCE_KWH: Final = 0.1
"""A vehicle this close to the charge asked for got it: less than a kilometre, and the meter's resolution."""


@dataclass(frozen=True, slots=True)
class DriverOutcome:
    """What one driver asked for and left with. Energies in kWh into the battery, from arrival to departure.

    `owner` is the JID, as the trace and the ledger name it. A `departure` after the end of the run is a vehicle
    that is still plugged in: it counts neither as served nor as short.
    """

    owner: str
    charger_id: str
    vehicle_id: str
    arrival: datetime
    departure: datetime
    asked_kwh: float
    got_kwh: float
    departed: bool = True

    @property
    def short(self) -> bool:
        """Whether the vehicle left with less than was asked for."""
        return self.departed and self.got_kwh < self.asked_kwh - ASKED_TOLERANCE_KWH

    @property
    def extra_kwh(self) -> float:
        """What the vehicle took beyond what was asked for, >= 0."""
        return max(0.0, self.got_kwh - self.asked_kwh)


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """One case of a run in figures. Power in kW, energy in kWh, voltage in per unit, loading in % of rating."""

    peak_trafo_loading_percent: float
    peak_trafo_loading_at: str
    minutes_above_100_percent: float
    overload_kwh: float
    peak_trafo_kw: float
    peak_line_loading_percent: float
    min_voltage_pu: float
    max_voltage_pu: float
    minutes_outside_en50160: float
    losses_kwh: float
    pv_kwh: float
    peak_fleet_kw: float
    energy_charged_kwh: float
    energy_discharged_kwh: float


def figures(series: Series, case: Case) -> CaseFigures:
    """The figures of one case.

    `overload_kwh` is the energy that passed the transformer above its rating; the rating in kW is what the loading
    says it is at that minute's power, so it counts active power only. Voltages are judged by the 10-minute means
    of each bus, as EN 50160 does; the extremes are those of the single minutes. A minute without a value (a power
    flow that found no solution) counts nowhere.
    """
    frame, hours = series.case(case), series.step(case) / timedelta(hours=1)
    loading = frame["trafo_loading_percent"].to_numpy(np.float64)
    power = frame["trafo_p_kw"].to_numpy(np.float64)
    chargers = np.nan_to_num(series.powers(case))
    above = loading > 100.0
    excess_kw = np.abs(power[above]) * (1.0 - 100.0 / loading[above])

    def total(column: str) -> float:
        return float(frame[column].sum()) * hours

    return CaseFigures(
        peak_trafo_loading_percent=round(float(np.nanmax(loading)), 2),
        peak_trafo_loading_at=frame.index[int(np.nanargmax(loading))].isoformat(),
        minutes_above_100_percent=round(float(above.sum()) * hours * 60, 2),
        overload_kwh=round(float(excess_kw.sum()) * hours, 3),
        peak_trafo_kw=round(float(np.nanmax(power)), 2),
        peak_line_loading_percent=round(float(frame["line_loading_percent_max"].max()), 2),
        min_voltage_pu=round(float(frame["vm_pu_min"].min()), 4),
        max_voltage_pu=round(float(frame["vm_pu_max"].max()), 4),
        minutes_outside_en50160=en50160.outside(series.voltages(case), series.step(case)),
        losses_kwh=round(total("losses_kw"), 2),
        pv_kwh=round(abs(total("pv_kw")), 2),
        peak_fleet_kw=round(float(frame["fleet_p_kw"].max()), 2),
        energy_charged_kwh=round(float(chargers.clip(min=0).sum()) * hours, 2),
        energy_discharged_kwh=round(float((-chargers).clip(min=0).sum()) * hours, 2),
    )


def exchange_counts(entries: Iterable[Entry]) -> dict[str, int]:
    """How many messages carried each exchange id, in the order of the ids. Plain acts are not counted."""
    counts = Counter(entry.message.exchange for entry in entries if entry.message.exchange)
    return dict(sorted(counts.items()))


def balances(postings: Iterable[Posting]) -> dict[str, Decimal]:
    """What each account received less what it paid, in EUR and whole cents; they sum to zero."""
    result: defaultdict[str, Decimal] = defaultdict(Decimal)
    for posting in postings:
        result[posting.account] += posting.amount_eur
    return {account: amount.quantize(CENT) for account, amount in sorted(result.items())}


def summarise(
    trace: Trace,
    series: Series,
    postings: Sequence[Posting],
    *,
    agents: int,
    wall_s: float,
    drivers: Sequence[DriverOutcome] = (),
    warnings: Sequence[str] = (),
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """The members of `summary.json`. Money is text with exact cents, as everywhere in this project's JSON."""
    departed = [driver for driver in drivers if driver.departed]
    return {
        "scenario": trace.scenario,
        "seed": trace.seed,
        "agents": agents,
        "wall_s": round(wall_s, 2),
        "messages": len(trace.entries),
        "exchanges": exchange_counts(trace.entries),
        **{case: asdict(figures(series, case)) | campus_summary.top(series, case) for case in series.cases},
        "market": [
            {
                "id": market.id,
                "kind": market.kind,
                "start": market.start.isoformat(),
                "end": market.end.isoformat(),
                "needed_kw": market.needed_kw,
                "awarded_kw": market.awarded_kw,
                "max_price_eur_per_kw": str(market.max_price),
                "awards": [
                    {
                        "bid_id": bid.id,
                        "vpp": bid.bidder,
                        "power_kw": bid.awarded_kw,
                        "price_eur_per_kw": str(bid.paid_price),
                    }
                    for bid in market.bids
                    if bid.awarded_kw
                ],
            }
            for market in rounds(trace)
        ],
        "money": {account: str(amount) for account, amount in balances(postings).items()},
        "drivers": {
            "departed": len(departed),
            "below_wanted": sum(driver.short for driver in drivers),
            "asked_kwh": round(sum(driver.asked_kwh for driver in departed), 2),
            "got_kwh": round(sum(driver.got_kwh for driver in departed), 2),
            "extra_kwh": round(sum(driver.extra_kwh for driver in departed), 2),
            "each": [
                {
                    **asdict(driver),
                    "arrival": driver.arrival.isoformat(),
                    "departure": driver.departure.isoformat(),
                    "asked_kwh": round(driver.asked_kwh, 3),
                    "got_kwh": round(driver.got_kwh, 3),
                    "extra_kwh": round(driver.extra_kwh, 3),
                    "short": driver.short,
                }
                for driver in drivers
            ],
        },
        **{name: part for add in CONTRIBUTIONS for name, part in add(trace, series, notes).items()},
        "warnings": list(warnings),
    }


def write(
    folder: Path,
    *,
    agents: int,
    wall_s: float,
    drivers: Sequence[DriverOutcome] = (),
    warnings: Sequence[str] = (),
    notes: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write `summary.json` from the trace, the series and the ledger in `folder`, and return it.

    `notes` is what else only the launcher knows, for the demonstrator's own members: see `CONTRIBUTIONS`.
    """
    trace, series, postings = read_trace(folder / TRACE), Series.read(folder / SERIES), read_postings(folder / LEDGER)
    summary = summarise(
        trace,
        series,
        postings,
        agents=agents,
        wall_s=wall_s,
        drivers=drivers,
        warnings=warnings,
        notes=notes,
    )
    summary |= campus_summary.area(folder, trace, series, postings)
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    return summary
