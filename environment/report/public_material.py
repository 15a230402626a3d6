"""What a page of public stations is made of besides the run's own material: services, sessions, flows, moves.

Powers in kW drawn from the network, energies in kWh; quarter hours are the rows of the series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from environment.report import public_services, public_sessions
from environment.report.axes import Window
from environment.report.material import Material
from environment.report.public_run import PublicRun
from environment.report.public_services import Activation, Auction, Lowered, holding
from environment.report.public_sessions import BILLS_ROUNDED_EUR, PublicSessions, Served, Wanted
from protocols.exchanges.capacity_contracts import LimitSettlement

LEAST_KWH: Final = 0.05
"""Less than this is rounding: no price is told for it."""
LEAST_KW: Final = 1.0
"""A line that never feeds back so much has no place in the chapter about reverse flow."""
_NONE: Final = Decimal(0)


@dataclass(frozen=True)
class PublicMaterial(PublicRun):
    """A run with its sessions."""

    sessions: PublicSessions

    # ---- lines that feed back

    @cached_property
    def feeding_back(self) -> tuple[str, ...]:
        """The lines that feed back: the one with the most buses behind it first, then those where network use was made
        cheaper because of them, most often first; where nobody knows what is behind them, the others too."""
        found = [line for line in self.lines if self.reverse_kw(self.base, line).max() >= LEAST_KW]
        most = max((len(self.buses(line)) for line in self.lines), default=0)
        times = Counter(self.concerned(each) for each in self.reductions)
        first = [line for line in found if most and len(self.buses(line)) == most]
        others = sorted(found, key=lambda line: (-times[line], -self.reverse_kwh(self.base, line)))
        told: dict[frozenset[str], str] = {}
        for line in (*first, *(line for line in others if times[line] or not most)):
            told.setdefault(self.behind(line) if most else frozenset({line}), line)
        return tuple(told.values())

    def behind(self, line: str) -> frozenset[str]:
        """The stations behind a line: lines that have the same ones tell the same of them."""
        return frozenset(station for station in self.stations if self.bus_of(station) in self.buses(line))

    def concerned(self, lowered: Lowered) -> str:
        """The line behind which network use was made cheaper: the one with the fewest buses that has all of these."""
        places = set(lowered.reduction.locations)
        around = [line for line in self.lines if places <= set(self.buses(line))]
        return min(around, key=lambda line: len(self.buses(line)), default="")

    # ---- reductions

    @cached_property
    def reductions(self) -> tuple[Lowered, ...]:
        """Those that begin within the run."""
        end = self.run.index[-1] + self.run.series.step("with")
        return tuple(each for each in self.services.lowered if each.reduction.start < end)

    @cached_property
    def holding(self) -> Mapping[str, npt.NDArray[np.int64]]:
        """By station, the number of the reduction that holds in each row, -1 for none."""
        times = [at.to_pydatetime() for at in self.run.index]
        owners = self.services.owners
        return {
            station: np.array(
                [holding(self.reductions, self.bus_of(station), owners.get(station), at) for at in times], np.int64
            )
            for station in self.stations
        }

    def reduced(self, served: Served) -> int:
        """The reduction that holds where and when a session is, -1 for none."""
        rows = self.rows(served.start, served.end)
        numbers = self.holding.get(served.station_id, np.zeros(0, np.int64))[rows]
        return int(max((n for n in numbers if n >= 0), default=-1, key=lambda n: int((numbers == n).sum())))

    # ---- needs

    @cached_property
    def alone(self) -> Mapping[str, Served | None]:
        """By need, what it got without flexibility; None for nothing. Empty where that was not run."""
        if self.base != "without":
            return {}
        asked = {need.need_id: need for need in self.sessions.needs}
        rows = self.noted.get("needs", ())
        return {row["need_id"]: served_of(row["without"], asked.get(row["need_id"])) for row in rows}

    @cached_property
    def moved(self) -> tuple[tuple[Wanted, Served, Served | None, int], ...]:
        """Who charges at a lowered price and would not have charged there and then: the need, its session, the one
        without flexibility, and the reduction."""
        found = []
        for need in self.sessions.needs:
            served = need.served
            if served is None or need.need_id not in self.alone or (number := self.reduced(served)) < 0:
                continue
            other = self.alone[need.need_id]
            if other is None or other.station_id != served.station_id or self.reduced(other) != number:
                found.append((need, served, other, number))
        return tuple(found)

    # ---- money

    @cached_property
    def capacity_eur(self) -> Decimal:
        """What the DSO paid for caps, penalties taken off, by the settlements that were accepted."""
        agreed = (each.settlement.amount_eur for each in self.services.settled if each.agreed)
        return sum(agreed, _NONE)

    @cached_property
    def reduction_eur(self) -> Decimal:
        """What lower prices took off the network bills."""
        return sum((each.bill.reduction_eur for each in self.services.bills), _NONE)

    def unbilled_eur(self, eur: Decimal) -> Decimal:
        """How much of what reductions take off by the meters is not in the run's bills; 0 for mere rounding."""
        open_eur = eur - self.reduction_eur
        return open_eur if open_eur >= BILLS_ROUNDED_EUR else _NONE

    # ---- the auction

    @property
    def auction(self) -> Auction | None:
        """The one with the most lots; there is one in a run."""
        return max(self.services.auctions, key=lambda each: len(each.lots), default=None)

    @cached_property
    def activated(self) -> tuple[Activation, ...]:
        """The limits that CPOs agreed to keep."""
        return tuple(each for each in self.services.activations if each.agreed)

    @property
    def cap_windows(self) -> tuple[Window, ...]:
        return tuple((each.limit.start, each.limit.end) for each in self.activated)

    def settlement_of(self, activation: Activation) -> LimitSettlement | None:
        return next(
            (
                each.settlement
                for each in self.services.settled
                if each.settlement.activation_id == activation.limit.activation_id
            ),
            None,
        )

    @cached_property
    def days(self) -> tuple[date, ...]:
        """The local days of the contracts' period that the run sees whole windows of; all days where there is none."""
        if (auction := self.auction) is None:
            return tuple(dict.fromkeys(self.run.index.date))
        first = auction.terms.period_start.astimezone(self.run.zone).date()
        return tuple(
            day
            for day in dict.fromkeys(self.run.index.date)
            if day >= first and self.window_rows(day).sum() * self.hours >= self._window_hours - 1e-9
        )

    def window_rows(self, day: date) -> npt.NDArray[np.bool_]:
        """The rows of the contracts' window on a local day."""
        index, auction = self.run.index, self.auction
        times = np.array([f"{at:%H:%M}" for at in index])
        rows: npt.NDArray[np.bool_] = np.array([at == day for at in index.date])
        if auction is not None:
            rows &= (times >= auction.terms.window_start) & (times < auction.terms.window_end)
        return rows

    @property
    def _window_hours(self) -> float:
        assert self.auction is not None
        opens, closes = (
            int(text[:2]) + int(text[3:]) / 60
            for text in (self.auction.terms.window_start, self.auction.terms.window_end)
        )
        return closes - opens


def served_of(row: Mapping[str, Any] | None, need: Wanted | None) -> Served | None:
    """A session as the summary has it; how long it waited is known where the need's stays are."""
    if row is None:
        return None
    start = datetime.fromisoformat(row["start"])
    stays = () if need is None else need.askings[0].request.stays
    arrivals = [stay.arrival for stay in stays if stay.arrival <= start < stay.departure]
    return Served(
        station_id=str(row["station"]),
        start=start,
        end=datetime.fromisoformat(row["end"]),
        energy_kwh=float(row["energy_kwh"]),
        price_eur_per_kwh=float(row["price_eur_per_kwh"]),
        amount_eur=float(row["amount_eur"]),
        distance_km=float(row["distance_km"]),
        wait_h=(start - max(arrivals)).total_seconds() / 3600 if arrivals else None,
    )


def read(run: Material) -> PublicMaterial:
    """The material of a run of public stations."""
    return PublicMaterial(
        run, public_services.read(run.trace), run.summary.get("public", {}), public_sessions.read(run.trace)
    )
