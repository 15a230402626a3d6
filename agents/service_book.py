"""The services that the EMSP was told of: which one a vehicle is in at a moment, and what grid use costs there then."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from agents.decisions.invoicing import Served
from agents.periods import QUARTER, quarter_at
from protocols.exchanges.ev_services import EvOrder, ServiceNotice
from protocols.exchanges.voltage_services import VoltageNotice


@dataclass(slots=True, eq=False)
class Noted:
    """A service that the FO told of, with each charger's manager and order; `end` only ever comes earlier."""

    notice: ServiceNotice
    fo: str
    orders: Mapping[str, tuple[str, EvOrder]]
    end: datetime = field(init=False)
    called_off: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.end = self.start + timedelta(minutes=self.notice.duration_minutes)

    @property
    def start(self) -> datetime:
        return self.notice.start

    def finish(self, at: datetime) -> None:
        """Over at that time, if not before. A minute counts if the service lasted for all of it."""
        self.end = min(self.end, at.replace(second=0, microsecond=0))
        self.over.set()

    def served(self, charger: str, at: datetime, extra_grid_use: Decimal) -> Served:
        """The vehicle's part in it. `extra_grid_use`: by how much grid use is dearer there than by the tariff."""
        notice, (manager, order) = self.notice, self.orders[charger]
        return Served(
            service=notice.service,
            payer=notice.payer,
            fo=self.fo,
            manager=manager,
            baseline_kw=order.baseline_kw,
            promised_kw=order.power_kw,
            charging_eur_per_kwh=notice.charging_cost_eur_per_kwh + extra_grid_use,
            discharging_eur_per_kwh=notice.discharging_remuneration_eur_per_kwh,
            firm=at < self.start + QUARTER,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """From `at` to `until` a charger's vehicle is in `service` (None: in none), and grid use is what `tariff` says
    (None: the ordinary tariff)."""

    at: datetime
    until: datetime
    service: Noted | None
    tariff: VoltageNotice | None


class ServiceBook:
    """`noted` by service, the refused ones left out; `feeder_of` each charger.

    A newer service takes a vehicle for good, and of two that start together the first told has it. A voltage service's
    grid use holds for every charger behind its feeder, whoever takes part.
    """

    def __init__(self, feeder_of: Mapping[str, str]) -> None:
        self.feeder_of = feeder_of
        self.noted: dict[str, Noted] = {}
        self._serving: defaultdict[str, list[Noted]] = defaultdict(list)
        self._tariffs: defaultdict[str, list[Noted]] = defaultdict(list)

    def concerns(self, notice: ServiceNotice, orders: Iterable[str]) -> frozenset[str]:
        """The chargers of which something is invoiced differently because of a service."""
        behind = notice.location if isinstance(notice, VoltageNotice) else None
        return frozenset(orders) | {c for c, feeder in self.feeder_of.items() if feeder == behind}

    def begin(self, noted: Noted) -> None:
        """It counts from its start on."""
        for charger in noted.orders:
            self._serving[charger].append(noted)
        if isinstance(noted.notice, VoltageNotice):
            self._tariffs[noted.notice.location].append(noted)

    def is_broken(self, start: datetime, end: datetime) -> bool:
        """Whether a service ended within a quarter of an hour."""
        return any(start < s.end < end and quarter_at(s.end) != s.end for s in self.noted.values())

    def parts(self, charger: str, begins: datetime) -> Iterator[Part]:
        """A quarter of an hour in parts in which nothing changed for the charger."""
        ends = begins + QUARTER
        mine = _within(self._serving[charger], ends)
        tariffs = _within(self._tariffs[self.feeder_of[charger]], ends)
        inside = {t for s in (*mine, *tariffs) for t in (s.start, s.end) if begins < t < ends}
        for at, until in pairwise(sorted({begins, ends} | inside)):
            newest = max((s for s in mine if s.start <= at), key=_start, default=None)
            tariff = max((s for s in tariffs if s.start <= at < s.end), key=_start, default=None)
            yield Part(
                at,
                until,
                None if newest is None or newest.end <= at else newest,
                tariff.notice if tariff is not None and isinstance(tariff.notice, VoltageNotice) else None,
            )


def _within(services: Iterable[Noted], ends: datetime) -> list[Noted]:
    """Those that have begun by then, without the ones that were called off before they began."""
    return [s for s in services if s.start < ends and s.end > s.start]


def _start(noted: Noted) -> datetime:
    return noted.start
