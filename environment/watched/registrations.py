"""Products, resources and agents as they were registered: 1.x.1 to 1.x.3, and the directory's register.

"The flexibility resources will be registered by the FMO and included in the flexibility register. The resources will be
validated by the DSO through a prequalification protocol." (D5.1 section 3.1.1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from protocols.acl import AclMessage, Performative
from protocols.exchanges.capacity_contracts import StationRegistration
from protocols.exchanges.content import Content
from protocols.exchanges.plain import Done, Reason
from protocols.exchanges.procurement import (
    PrequalificationRequest,
    PrequalificationResult,
    ProductRequirements,
    RegistrationResult,
    ResourceRegistration,
)
from protocols.exchanges.services import Deregistration, Registration
from protocols.roles import Role

_NO = (Performative.REFUSE, Performative.FAILURE, Performative.NOT_UNDERSTOOD)


@dataclass(slots=True)
class Registered:
    """A resource (1.x.2) that a VPP asked to register. `checked`: the DSO was asked (1.x.3), `result` what the market
    operator answered, `refusal` why there is none."""

    wish: ResourceRegistration
    vpp: str
    at: datetime
    conversation_id: str
    checked: bool = False
    dso: PrequalificationResult | None = None
    result: RegistrationResult | None = None
    refusal: str | None = None
    decided: datetime | None = None


@dataclass(slots=True)
class Stations:
    """A registration of stations (5.x.1) and its answer; `accepted` is None while there is none."""

    wish: StationRegistration
    cpo: str
    at: datetime
    conversation_id: str
    accepted: bool | None = None
    reason: str | None = None


@dataclass(slots=True)
class Member:
    """An agent that asked the directory for its entry; `state` is asked, registered, refused or gone."""

    wish: Registration
    at: datetime
    conversation_id: str
    state: str = "asked"
    reason: str | None = None


@dataclass(slots=True)
class Product:
    """What a local product must meet (1.x.1); `accepted` is None while the market operator said nothing."""

    wish: ProductRequirements
    dso: str
    at: datetime
    conversation_id: str
    accepted: bool | None = None


class Registrations:
    """What was registered in a trace, as far as it was heard. Who registers anew replaces what was there."""

    exchanges = ("1.x.1", "1.x.2", "1.x.3", "5.x.1", "df.register", "df.deregister", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self.resources: dict[str, Registered] = {}
        self.stations: dict[str, Stations] = {}  # by conversation
        self.members: dict[str, Member] = {}
        self.products: dict[str, Product] = {}
        self._asked: dict[str, Registered | Stations | Member | Product] = {}  # by conversation
        self._leaving: dict[str, str] = {}

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, conversation = message.sender, message.conversation_id
        role = self._roles.get(who)
        match content:
            case ResourceRegistration() if role == Role.VPP.value:
                resource = Registered(content, who, at, conversation)
                self.resources[content.resource_id] = self._asked[conversation] = resource
            case PrequalificationRequest() if role == Role.FMO.value:
                if (known := self.resources.get(content.resource_id)) is not None:
                    known.checked = True
            case PrequalificationResult() if role == Role.DSO.value:
                if (known := self.resources.get(content.resource_id)) is not None:
                    known.dso = content
            case RegistrationResult() if role == Role.FMO.value:
                if isinstance(asked := self._asked.get(conversation), Registered):
                    asked.result, asked.decided = content, at
            case StationRegistration() if role == Role.CPO.value:
                self.stations[conversation] = station = Stations(content, who, at, conversation)
                self._asked[conversation] = station
            case ProductRequirements() if role == Role.DSO.value:
                self.products[content.product_id] = product = Product(content, who, at, conversation)
                self._asked[conversation] = product
            case Registration() if content.jid == who:
                self.members[who] = member = Member(content, at, conversation)
                self._asked[conversation] = member
            case Deregistration() if content.jid == who:
                self._leaving[conversation] = who
            case Done() | Reason() if who != message.receiver:
                self._answered(at, message, content)

    def _answered(self, at: datetime, message: AclMessage, content: Done | Reason) -> None:
        conversation, no = message.conversation_id, message.performative in _NO
        yes = message.performative is Performative.INFORM
        reason = content.reason if isinstance(content, Reason) else None
        if yes and (gone := self._leaving.get(conversation)) is not None and message.receiver == gone:
            if gone in self.members:
                self.members[gone].state = "gone"
            return
        match self._asked.get(conversation):
            case Registered() as resource if no and message.receiver == resource.vpp:
                resource.refusal, resource.decided = reason, at
            case Stations() as stations if (yes or no) and message.receiver == stations.cpo:
                stations.accepted, stations.reason = yes, reason
            case Product() as product if (yes or no) and message.receiver == product.dso:
                product.accepted = yes
            case Member() as member if (yes or no) and message.receiver == member.wish.jid:
                member.state, member.reason = ("registered" if yes else "refused"), reason
