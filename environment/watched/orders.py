"""Activations of BUC 1 and 6: who was ordered what (1.2.3, 6.2.1, 6.2.2), what he said to it, and what he delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from protocols.acl import AclMessage, Performative
from protocols.exchanges.activation import ActivationConfirmation, ActivationSignal
from protocols.exchanges.content import Content
from protocols.exchanges.dso_services import (
    CpoActivation,
    CpoActivationResponse,
    PoolActivation,
    VppActivationResponse,
)
from protocols.exchanges.plain import ActivationAnswer, Cancellation, Reason
from protocols.exchanges.settlement import DeliveredVolume, VolumeAnswer
from protocols.roles import Role

_BUYERS = (Role.DSO.value, Role.VPP.value)


@dataclass(slots=True)
class Order:
    """One order to reduce consumption. `agreed` is None while nothing was said; `volume` is what the VPP claims (1.x.5)
    and `accepted` whether the DSO held it true."""

    signal: ActivationSignal | PoolActivation | CpoActivation
    sender: str
    receiver: str
    conversation_id: str
    at: datetime
    agreed: bool | None = None
    available_kw: float | None = None
    cancelled: datetime | None = None
    failed: bool = False
    reason: str | None = None
    volume: DeliveredVolume | None = None
    accepted: bool | None = None


class Orders:
    """The orders of a trace, as far as it was heard."""

    exchanges = ("1.2.3", "1.2.4", "6.2.1", "6.2.2", "6.2.4", "6.2.5", "1.x.5", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._by_conversation: dict[str, Order] = {}
        self._by_id: dict[str, Order] = {}
        self._volumes: dict[str, Order] = {}

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, conversation = message.sender, message.conversation_id
        match content:
            case ActivationSignal() | PoolActivation() | CpoActivation() if self._roles.get(who) in _BUYERS:
                if conversation not in self._by_conversation:
                    order = Order(content, who, message.receiver, conversation, at)
                    self._by_conversation[conversation] = order
                    if self._roles.get(who) == Role.DSO.value:
                        self._by_id.setdefault(content.activation_id, order)
            case DeliveredVolume():
                claimed = self._by_id.get(content.activation_id)
                if claimed is not None and claimed.receiver == who:
                    claimed.volume, self._volumes[conversation] = content, claimed
            case VolumeAnswer() if (asked := self._volumes.get(conversation)) is not None and asked.sender == who:
                asked.accepted = message.performative is Performative.ACCEPT_PROPOSAL
            case _ if (known := self._by_conversation.get(conversation)) is not None:
                _said(known, message, content, at)

    def found(self) -> tuple[Order, ...]:
        """Every order, in the order in which they were given."""
        return tuple(self._by_conversation.values())


def _said(order: Order, message: AclMessage, content: Content, at: datetime) -> None:
    who, act = message.sender, message.performative
    match content:
        case ActivationConfirmation() | VppActivationResponse() | CpoActivationResponse() | ActivationAnswer():
            if who == order.receiver:
                order.agreed = act is Performative.AGREE
                order.available_kw, order.reason = content.available_power_kw, content.reason
        case Cancellation() if who == order.sender and order.cancelled is None:
            order.cancelled, order.reason = at, content.reason
        case Reason() if who == order.receiver and act is Performative.REFUSE:
            order.agreed, order.reason = False, content.reason
        case Reason() if who == order.receiver and act is Performative.FAILURE:
            order.failed, order.reason = True, content.reason
