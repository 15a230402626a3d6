"""One service as the flexibility operator keeps it: who asked, who takes part, until when; and what is said of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agents.periods import QUARTER
from behaviours.initiating import Tender
from behaviours.outcomes import Agreed, Proposed
from protocols.exchanges.ev_services import (
    EvOffer,
    EvOrder,
    ManagerOrders,
    ServiceAward,
    ServiceCall,
    ServiceNotice,
    ServiceOffer,
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
    """A service from the moment it is asked for. `end` only ever comes earlier: renewed, or called off.

    `feeders`: where its managers are, from the moment they are called. `standing`: the tender in which each manager was
    awarded, as long as its award stands; `noticed`: the EMSP's agreement, as long as that stands. `reported` is set
    when no tender's reports are `awaited` any more.
    """

    signal: Asked
    asker: str
    end: datetime
    feeders: frozenset[str] = frozenset()
    orders: Mapping[str, tuple[EvOrder, ...]] = field(default_factory=dict)
    standing: dict[str, Tender] = field(default_factory=dict)
    noticed: Agreed | None = None
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


def offer_fault(call: ServiceCall, proposal: Proposed) -> str | None:
    """Why an offer cannot be taken, None where it can."""
    offer = proposal.content
    if proposal.faults:
        return "; ".join(proposal.faults)
    if not isinstance(offer, ServiceOffer) or offer.request_id != call.request_id:
        return f"the offer is not for {call.request_id}"
    if offer.service is not call.service:
        return f"the offer is for {offer.service}, asked was {call.service}"
    if offer.power_kw * call.power_kw <= 0:
        return "the offer is of the other sign, or nothing"
    return None


def free_offers(
    proposals: Mapping[str, ServiceOffer], taken: frozenset[str]
) -> tuple[dict[str, tuple[EvOffer, ...]], tuple[str, ...]]:
    """The offered vehicles by manager, without those that are `taken` by another service, and the vehicles that two
    managers offer: whose they are cannot be known, so they are nobody's."""
    count: dict[str, int] = {}
    for offer in proposals.values():
        for user in offer.users:
            count[user.user_id] = count.get(user.user_id, 0) + 1
    disputed = tuple(sorted(user_id for user_id, times in count.items() if times > 1))
    left_out = taken.union(disputed)
    return {
        manager: tuple(user for user in proposals[manager].users if user.user_id not in left_out)
        for manager in sorted(proposals)
    }, disputed


def promised(services: Sequence[FoService], start: datetime) -> dict[str, tuple[str, EvOrder]]:
    """By charger, whose promise holds in the whole quarter of an hour from `start`, and what it is.

    A vehicle serves one service at a time: the tail of an older one lasts until a newer one takes the vehicle, and of
    two that start together the first keeps it.
    """
    held: dict[str, tuple[str, EvOrder]] = {}
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
                    held[order.user_id] = manager, order
    return dict(sorted(held.items()))
