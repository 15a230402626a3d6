"""The services that a trace holds: what the grid operator asked the vehicles for, what it was told, how it ended.

A service is one request of BUC 2 (2.3, by the TSO) or BUC 4.1 (4.1.1, by the DSO) to the flexibility operator. Only
well-formed words of those whose part it is count: a forged award or a stranger's cancel changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from environment.report.market import well_formed
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative, Protocol
from protocols.exchanges.content import Content
from protocols.exchanges.ev_services import ServiceAnswer, ServiceAward, ServiceCall
from protocols.exchanges.plain import Cancellation, Reason
from protocols.exchanges.res_curtailment import CurtailmentActivation
from protocols.exchanges.vocabulary import ServiceType
from protocols.exchanges.voltage_services import VoltageRequest
from protocols.roles import Role
from protocols.units import MARKET_PERIOD

Ending: TypeAlias = Literal["renewed", "cancelled", "lapsed", "refused", "unanswered"]
_ASKERS = {Role.TSO.value: CurtailmentActivation, Role.DSO.value: VoltageRequest}


@dataclass(frozen=True, slots=True)
class Service:
    """One service. Powers in kW, > 0 is more consumption; prices in EUR/kWh for who takes part.

    `end` is when it was over as things went: renewed (the next one took over), cancelled by the asker, or lapsed at
    the end of what was asked for. One that was refused or never answered ends where it would have begun.
    `called` counts the V2X managers that were asked, `managers` and `vehicles` those that were chosen.
    """

    id: str
    asker: str
    kind: ServiceType
    feeder: str | None
    start: datetime
    end: datetime
    ended: Ending
    renews: str | None
    asked_kw: float
    available_kw: float
    called: int
    managers: int
    vehicles: int
    charging_cost: Decimal
    discharging_remuneration: Decimal
    grid_use: Decimal | None
    reason: str | None

    @property
    def took_place(self) -> bool:
        """Whether the flexibility operator agreed to it, and it was not called off before it began."""
        return self.end > self.start

    @property
    def quarters(self) -> tuple[datetime, ...]:
        """The beginnings of the quarters of an hour in which it ran."""
        count = -(-(self.end - self.start) // MARKET_PERIOD)
        return tuple(self.start + index * MARKET_PERIOD for index in range(count))


def chains(services: Iterable[Service]) -> tuple[tuple[Service, ...], ...]:
    """Services with their renewals, each chain from its first to its last, in the order of the given ones."""
    found: dict[str, list[Service]] = {}
    for service in services:
        chain = found.get(service.renews or "", [])
        chain.append(service)
        found[service.id] = chain
    return tuple({id(chain): tuple(chain) for chain in found.values()}.values())


@dataclass(slots=True)
class _Asked:
    """A service as its messages come in."""

    request: CurtailmentActivation | VoltageRequest
    asker: str
    operator: str
    conversation_id: str
    agreed: bool | None = None
    available_kw: float = 0.0
    reason: str | None = None
    cancelled: datetime | None = None
    called: set[str] = field(default_factory=set)
    chosen: dict[str, int] = field(default_factory=dict)


def services(trace: Trace) -> tuple[Service, ...]:
    """Every service of the trace that was asked for, in the order of its beginning."""
    asked: dict[str, _Asked] = {}
    conversations: dict[str, _Asked] = {}
    times = {id(entry.message): entry.at for entry in trace.entries}
    for message, content in well_formed(trace, "2.3", "2.4", "4.1.1", "4.1.3", None):
        if message.protocol is Protocol.REQUEST and isinstance(content, CurtailmentActivation | VoltageRequest):
            kind = _ASKERS.get(trace.roles.get(message.sender, ""))
            if kind is None or not isinstance(content, kind) or content.service_id in asked:
                continue
            service = _Asked(content, message.sender, message.receiver, message.conversation_id)
            asked[content.service_id] = conversations[message.conversation_id] = service
        elif message.conversation_id in conversations:
            _answered(conversations[message.conversation_id], message, content, times[id(message)])
        elif isinstance(content, ServiceCall | ServiceAward) and content.service_id in asked:
            _called(asked[content.service_id], message, content)
    followed = {
        service.request.renews: service.request.start
        for service in asked.values()
        if service.agreed and service.request.renews is not None
    }
    found = (_told(service, followed.get(key)) for key, service in asked.items())
    return tuple(sorted(found, key=lambda service: (service.start, service.kind, service.feeder or "", service.id)))


def _answered(service: _Asked, message: AclMessage, content: Content, at: datetime) -> None:
    """What the flexibility operator answered, or the asker's cancel."""
    who, act = message.sender, message.performative
    match content:
        case ServiceAnswer() if who == service.operator:
            service.agreed = act is Performative.AGREE
            service.available_kw = content.available_power_kw if service.agreed else 0.0
            service.reason = content.reason
        case Reason() if who == service.operator and act is Performative.REFUSE:
            service.agreed, service.reason = False, content.reason
        case Cancellation() if who == service.asker and service.cancelled is None:
            service.cancelled, service.reason = at, content.reason


def _called(service: _Asked, message: AclMessage, content: ServiceCall | ServiceAward) -> None:
    if message.sender != service.operator:
        return
    if isinstance(content, ServiceCall):
        service.called.add(message.receiver)
    elif message.performative is Performative.ACCEPT_PROPOSAL and message.receiver in service.called:
        service.chosen[message.receiver] = len(content.orders)


def _told(service: _Asked, followed: datetime | None) -> Service:
    request = service.request
    end = request.start + timedelta(minutes=request.duration_minutes)
    ended: Ending = "lapsed"
    if service.agreed is None and service.cancelled is None:
        end, ended = request.start, "unanswered"
    elif service.agreed is False:
        end, ended = request.start, "refused"
    else:
        if followed is not None and followed < end:
            end, ended = max(followed, request.start), "renewed"
        if service.cancelled is not None and service.cancelled < end:
            end, ended = max(service.cancelled, request.start), "cancelled"
    voltage = request if isinstance(request, VoltageRequest) else None
    return Service(
        id=request.service_id,
        asker=service.asker,
        kind=request.service,
        feeder=voltage.location if voltage else None,
        start=request.start,
        end=end,
        ended=ended,
        renews=request.renews,
        asked_kw=request.power_kw,
        available_kw=service.available_kw,
        called=len(service.called),
        managers=len(service.chosen),
        vehicles=sum(service.chosen.values()),
        charging_cost=request.charging_cost_eur_per_kwh,
        discharging_remuneration=request.discharging_remuneration_eur_per_kwh,
        grid_use=voltage.grid_use_eur_per_kwh if voltage else None,
        reason=service.reason,
    )
