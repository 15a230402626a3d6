"""The services that a trace holds: what the grid operator asked the vehicles for, what it was told, how it ended.

A service is one request of BUC 2 (2.3, by the TSO) or BUC 4.1 (4.1.1, by the DSO) to the flexibility operator. Only
well-formed words of those whose part it is count: a forged award or a stranger's cancel changes nothing here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias

from environment.report.hearing import told
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative, Protocol
from protocols.exchanges.content import Content
from protocols.exchanges.ev_services import EvOrder, ServiceAnswer, ServiceAward, ServiceCall, ServiceOffer
from protocols.exchanges.plain import Cancellation, Reason
from protocols.exchanges.res_curtailment import CurtailmentActivation
from protocols.exchanges.vocabulary import ServiceType
from protocols.exchanges.voltage_services import VoltageRequest
from protocols.roles import Role
from protocols.units import MARKET_PERIOD

Ending: TypeAlias = Literal["renewed", "cancelled", "lapsed", "refused", "unanswered"]
_ASKERS = {Role.TSO.value: CurtailmentActivation, Role.DSO.value: VoltageRequest}


@dataclass(frozen=True, slots=True)
class Managed:
    """One V2X manager's part in a service: what it offered (2.5, 4.1.2; None: nothing) and was ordered (2.3, 4.1.3)."""

    manager: str
    conversation_id: str
    offered_kw: float | None = None
    offered_vehicles: int = 0
    orders: tuple[EvOrder, ...] = ()
    reason: str | None = None

    @property
    def ordered_kw(self) -> float:
        """What its vehicles were ordered together."""
        return round(sum(order.power_kw for order in self.orders), 6)


@dataclass(frozen=True, slots=True)
class Service:
    """One service. Powers in kW, > 0 is more consumption; prices in EUR/kWh for who takes part.

    `end` is when it was over as things went: renewed (the next one took over), cancelled by the asker, or lapsed at
    the end of what was asked for. One that was refused or never answered ends where it would have begun.
    `called` counts the V2X managers that were asked, `managers` and `vehicles` those that were chosen; `until` is the
    end of what was asked for.
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
    operator: str
    conversation_id: str
    opened: datetime
    until: datetime
    parts: tuple[Managed, ...]

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
    opened: datetime
    agreed: bool | None = None
    available_kw: float = 0.0
    reason: str | None = None
    cancelled: datetime | None = None
    parts: dict[str, Managed] = field(default_factory=dict)  # by manager


class Services:
    """The services of a trace, as far as it was heard."""

    exchanges = ("2.3", "2.4", "2.5", "4.1.1", "4.1.2", "4.1.3", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._asked: dict[str, _Asked] = {}
        self._conversations: dict[str, _Asked] = {}
        self._calls: dict[tuple[str, str], _Asked] = {}  # by conversation and manager

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        conversation = message.conversation_id
        if message.protocol is Protocol.REQUEST and isinstance(content, CurtailmentActivation | VoltageRequest):
            kind = _ASKERS.get(self._roles.get(message.sender, ""))
            if kind is None or not isinstance(content, kind) or content.service_id in self._asked:
                return
            service = _Asked(content, message.sender, message.receiver, conversation, at)
            self._asked[content.service_id] = self._conversations[conversation] = service
        elif conversation in self._conversations:
            _answered(self._conversations[conversation], message, content, at)
        elif isinstance(content, ServiceCall | ServiceAward) and content.service_id in self._asked:
            service = self._asked[content.service_id]
            if _called(service, message, content):
                self._calls[conversation, message.receiver] = service
        elif isinstance(content, ServiceOffer | Reason):
            _offered(self._calls.get((conversation, message.sender)), message, content)

    def found(self) -> tuple[Service, ...]:
        """Every service that was asked for, in the order of its beginning."""
        followed = {
            service.request.renews: service.request.start
            for service in self._asked.values()
            if service.agreed and service.request.renews is not None
        }
        found = (_told(service, followed.get(key)) for key, service in self._asked.items())
        return tuple(sorted(found, key=lambda service: (service.start, service.kind, service.feeder or "", service.id)))


def services(trace: Trace) -> tuple[Service, ...]:
    """Every service of the trace that was asked for, in the order of its beginning."""
    return told(trace, Services(trace.roles)).found()


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


def _called(service: _Asked, message: AclMessage, content: ServiceCall | ServiceAward) -> bool:
    """The flexibility operator's call or order to a manager; whether it was a call."""
    manager = message.receiver
    if message.sender != service.operator:
        return False
    if isinstance(content, ServiceCall):
        service.parts.setdefault(manager, Managed(manager, message.conversation_id))
        return True
    if message.performative is Performative.ACCEPT_PROPOSAL and manager in service.parts:
        service.parts[manager] = replace(service.parts[manager], orders=content.orders)
    return False


def _offered(service: _Asked | None, message: AclMessage, content: ServiceOffer | Reason) -> None:
    """What a manager that was called offered, or why it does nothing."""
    if service is None:
        return
    part = service.parts[message.sender]
    if isinstance(content, ServiceOffer):
        part = replace(part, offered_kw=content.power_kw, offered_vehicles=len(content.users))
    else:
        part = replace(part, reason=content.reason)
    service.parts[message.sender] = part


def _told(service: _Asked, followed: datetime | None) -> Service:
    request = service.request
    end = until = request.start + timedelta(minutes=request.duration_minutes)
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
        called=len(service.parts),
        managers=sum(bool(part.orders) for part in service.parts.values()),
        vehicles=sum(len(part.orders) for part in service.parts.values()),
        charging_cost=request.charging_cost_eur_per_kwh,
        discharging_remuneration=request.discharging_remuneration_eur_per_kwh,
        grid_use=voltage.grid_use_eur_per_kwh if voltage else None,
        reason=service.reason,
        operator=service.operator,
        conversation_id=service.conversation_id,
        opened=service.opened,
        until=until,
        parts=tuple(service.parts.values()),
    )
