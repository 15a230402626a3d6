"""What a parking lot's manager keeps of each call of BUC 3: what it offered, who serves, and what is still missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agents.decisions.merit_order import HOURS, Activation, Entry, Service, walk
from agents.periods import QUARTER
from behaviours.initiating import Tender
from protocols.exchanges.congestion_services import CongestionCall, CustomerAward

SAME_KW = 1e-3


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer that stands until `until`. `nominated_kw`: by charger at the call's buses, what its plan had in each
    market period of the service; their sum is the baseline. `told_kw`: what the DSO had been told of these chargers
    before, by market period; empty where it had been told nothing."""

    call: CongestionCall
    service: Service
    entries: tuple[Entry, ...]
    power_kw: float
    nominated_kw: Mapping[str, tuple[float, ...]]
    until: datetime
    told_kw: tuple[float, ...] = ()

    @property
    def baseline_kw(self) -> tuple[float, ...]:
        """By market period of the service."""
        return tuple(round(sum(each), 3) for each in zip(*self.nominated_kw.values(), strict=True))

    @property
    def chargers(self) -> set[str]:
        """Whose vehicles are in the list."""
        return {part.charger_id for part in walk(self.entries)}


@dataclass(slots=True)
class Serving:
    """One vehicle's part of a service: `reduction_kw` is what it was awarded, by market period, at most its
    activation's. `tender` is the conversation with the driver. `ended` is set when it serves no more."""

    part: Activation
    reduction_kw: tuple[float, ...]
    owner: str
    award: CustomerAward
    tender: Tender = field(repr=False)
    ended: datetime | None = None

    def set_kw(self, period: int) -> float:
        """What its charger is set to."""
        return self.part.power_kw[period] + self.part.reduction_kw[period] - self.reduction_kw[period]


@dataclass(slots=True)
class Help:
    """A service that was awarded. `asked`: whose drivers have been asked. `ended`: None as long as it is to come or
    under way; `over` is set when its chargers have been given back."""

    offered: Offered
    promised_kw: float
    serving: dict[str, Serving] = field(default_factory=dict)
    dropped: list[Serving] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    ended: datetime | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def id(self) -> str:
        return self.offered.call.request_id

    @property
    def start(self) -> datetime:
        return self.offered.service.start

    @property
    def end(self) -> datetime:
        return self.offered.service.end

    def period(self, at: datetime) -> int | None:
        """The number of the service's market period that `at` lies in, None outside."""
        return (at - self.start) // QUARTER if self.start <= at < self.end else None

    def quarters(self) -> Iterator[tuple[int, datetime]]:
        """Its market periods."""
        return ((k, self.start + k * QUARTER) for k in range(self.offered.service.periods))

    def missing_kw(self, now: datetime) -> list[float]:
        """By market period: what was promised and nobody does yet; nothing in those that are past."""
        return [
            max(0.0, self.promised_kw - sum(each.reduction_kw[k] for each in self.serving.values()))
            if at + QUARTER > now
            else 0.0
            for k, at in self.quarters()
        ]

    def drop(self, charger_id: str, now: datetime) -> None:
        """That vehicle serves no more."""
        serving = self.serving.pop(charger_id)
        serving.ended = now
        self.dropped.append(serving)


def energy_kwh(reduction_kw: tuple[float, ...]) -> float:
    """Of reductions by market period."""
    return sum(reduction_kw) * HOURS
