"""One service as the flexibility operator keeps it: who asked, who takes part, until when; and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agents.periods import QUARTER
from behaviours.initiating import Tender
from behaviours.outcomes import Agreed
from protocols.exchanges.ev_services import (
    EvOrder,
    ManagerOrders,
    ServiceAward,
    ServiceCall,
    ServiceNotice,
)
from protocols.exchanges.res_curtailment import (
    CurtailmentActivation,
    CurtailmentAward,
    CurtailmentCall,
    CurtailmentNotice,
)
from protocols.exchanges.vocabulary import SignalType
from protocols.exchanges.voltage_services import (
    ParticipationInfo,
    VoltageAward,
    VoltageCall,
    VoltageNotice,
    VoltageRequest,
)

Asked = CurtailmentActivation | VoltageRequest
SOMEWHERE = "island"
"""The location of a manager that the directory knows without one."""


@dataclass(slots=True, eq=False)
class FoService:
    """A service from the moment it is asked for. `end` only ever comes earlier: renewed, or called off. What is renewed
    ends where its renewal was to begin, also when that is called off before.

    `feeders`: where its managers are, from the moment they are called. `standing`: the tender in which each manager was
    awarded, as long as its award stands; `noticed`: the EMSP's agreement, as long as that stands; `invoiced`: there was
    one. `reported` is set when no tender's reports are `awaited` any more.
    """

    signal: Asked
    asker: str
    end: datetime
    feeders: frozenset[str] = frozenset()
    orders: Mapping[str, tuple[EvOrder, ...]] = field(default_factory=dict)
    standing: dict[str, Tender] = field(default_factory=dict)
    noticed: Agreed | None = None
    invoiced: bool = False
    reports: dict[str, ParticipationInfo] = field(default_factory=dict)
    awaited: int = 0
    reported: asyncio.Event = field(default_factory=asyncio.Event)
    agreed: bool = False
    called_off: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, signal: Asked, asker: str) -> FoService:
        return cls(signal, asker, signal.start + timedelta(minutes=signal.duration_minutes))

    @property
    def service_id(self) -> str:
        return self.signal.service_id

    @property
    def is_over(self) -> bool:
        return self.over.is_set()

    @property
    def chargers(self) -> frozenset[str]:
        return frozenset(order.user_id for orders in self.orders.values() for order in orders)

    def same_direction(self, other: Asked) -> bool:
        """Whether both want more, or both less."""
        return self.signal.power_kw * other.power_kw > 0

    def covers(self, start: datetime) -> bool:
        """Whether the whole quarter of an hour from `start` was, or will be, served."""
        return self.agreed and self.signal.start <= start and start + QUARTER <= self.end

    def finish(self, at: datetime) -> None:
        """It is over at that time, if not before."""
        self.end = min(self.end, at)
        self.over.set()

    # ---- what is said of it

    def call(self, feeder: str, fo: str, now: datetime) -> ServiceCall:
        """2.4 or 4.1.1 to the managers at one feeder."""
        kind: type[ServiceCall] = VoltageCall if isinstance(self.signal, VoltageRequest) else CurtailmentCall
        return kind(
            **self._common(now),
            request_id=self._request(feeder),
            user_id=fo,
            power_kw=self.signal.power_kw,
            location=feeder,
        )

    def award(
        self, manager: str, orders: Sequence[EvOrder], feeder: str, renews: str | None, now: datetime
    ) -> ServiceAward:
        """2.3 or 4.1.3 to a manager."""
        kind: type[ServiceAward] = VoltageAward if isinstance(self.signal, VoltageRequest) else CurtailmentAward
        return kind(
            **self._common(now),
            **_signal(renews),
            user_id=manager,
            power_kw=_total(orders),
            request_id=self._request(feeder),
            orders=tuple(orders),
        )

    def notice(self, emsp: str, renews: str | None, now: datetime) -> ServiceNotice:
        """2.3 or 4.1.3 to the EMSP: who asked pays."""
        signal = self.signal
        kind: type[ServiceNotice] = CurtailmentNotice
        tariff: dict[str, Any] = {}
        if isinstance(signal, VoltageRequest):
            kind = VoltageNotice
            tariff = {"location": signal.location, "grid_use_eur_per_kwh": signal.grid_use_eur_per_kwh}
        return kind(
            **self._common(now),
            **tariff,
            **_signal(renews),
            user_id=emsp,
            power_kw=_total([order for orders in self.orders.values() for order in orders]),
            payer=self.asker,
            managers=tuple(ManagerOrders(manager=m, orders=tuple(orders)) for m, orders in self.orders.items()),
        )

    def _request(self, feeder: str) -> str:
        return f"{self.service_id}/{feeder}"

    def _common(self, now: datetime) -> dict[str, Any]:
        signal = self.signal
        return {
            "timestamp": now,
            "service_id": signal.service_id,
            "service": signal.service,
            "start": signal.start,
            "duration_minutes": signal.duration_minutes,
            "charging_cost_eur_per_kwh": signal.charging_cost_eur_per_kwh,
            "discharging_remuneration_eur_per_kwh": signal.discharging_remuneration_eur_per_kwh,
        }


def _signal(renews: str | None) -> dict[str, Any]:
    return {"signal": SignalType.ACTIVATION if renews is None else SignalType.RENEWAL, "renews": renews}


def _total(orders: Sequence[EvOrder]) -> float:
    return round(sum(order.power_kw for order in orders), 6)


@dataclass(frozen=True, slots=True)
class Held:
    """A vehicle's promise in one quarter of an hour. `firm`: it is the first one of its service, not its tail."""

    service: FoService
    manager: str
    order: EvOrder
    firm: bool


def promised(services: Iterable[FoService], start: datetime) -> dict[str, Held]:
    """By charger, the promise that holds in the whole quarter of an hour from `start`.

    A vehicle serves one service at a time: the tail of an older one lasts until a newer one takes the vehicle, and of
    two that start together the first keeps it.
    """
    held: dict[str, Held] = {}
    newest: dict[str, datetime] = {}
    for service in services:
        began = service.signal.start
        if not service.agreed or began > start or service.end <= max(began, start):
            continue
        for manager, orders in service.orders.items():
            for order in orders:
                if order.user_id in newest and newest[order.user_id] >= began:
                    continue
                newest[order.user_id] = began
                held.pop(order.user_id, None)
                if service.covers(start):
                    held[order.user_id] = Held(service, manager, order, firm=began == start)
    return dict(sorted(held.items()))
