"""What was said, kept by what it refers to, so that a later message can be held against it.

A `Register` belongs to one agent and knows what that agent sent and received; one that belongs to nobody knows
everything and judges a whole trace. It holds no more than it is told and is emptied by `forget`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum, auto
from typing import TypeVar

from protocols import exchanges as x
from protocols.acl import AclMessage, Performative
from protocols.roles import Role

_C = TypeVar("_C", bound=x.Content)


@dataclass(frozen=True, slots=True)
class Said:
    """One act of one agent to another: the content, who said it to whom, in which conversation, and when."""

    content: x.Content
    performative: Performative
    sender: str
    receiver: str
    conversation_id: str
    at: datetime
    reply_by: datetime | None = None

    @classmethod
    def of(cls, message: AclMessage, content: x.Content, at: datetime) -> Said:
        """The act of a message whose content has been parsed."""
        return cls(
            content,
            message.performative,
            message.sender,
            message.receiver,
            message.conversation_id,
            at,
            message.reply_by,
        )


class Where(Enum):
    """Between whom the thing that is referred to was said, seen from the act that refers to it."""

    REVERSE = auto()
    """Our receiver said it to us."""
    SAME = auto()
    """We said it to the same receiver before."""
    TO_SENDER = auto()
    """Somebody said it to us; our receiver cannot know."""
    AT_RECEIVER = auto()
    """Our receiver said or heard it; we need not have been there."""
    AT_SENDER = auto()
    """We said or heard it; our receiver cannot know."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`field` of a content names the `target_field` of an earlier content, one of the classes `targets`.

    `once`: the thing may be used in this way once for each time that it was said.
    """

    field: str
    targets: tuple[type[x.Content], ...]
    where: Where
    once: bool = False
    target_field: str = ""

    @property
    def names(self) -> str:
        """The field of the target."""
        return self.target_field or self.field


_ACTIVATIONS = (x.ActivationSignal, x.PoolActivation)

REFERENCES: Mapping[type[x.Content], tuple[Reference, ...]] = {
    x.RegistrationResult: (Reference("resource_id", (x.ResourceRegistration,), Where.REVERSE, once=True),),
    x.PrequalificationRequest: (Reference("resource_id", (x.ResourceRegistration,), Where.TO_SENDER),),
    x.PrequalificationResult: (Reference("resource_id", (x.PrequalificationRequest,), Where.REVERSE, once=True),),
    x.ResourceRegistration: (Reference("product_id", (x.ProductRequirements,), Where.AT_RECEIVER),),
    x.FlexibilityNeed: (Reference("product_id", (x.ProductRequirements,), Where.SAME),),
    x.NeedResult: (Reference("need_id", (x.FlexibilityNeed,), Where.REVERSE, once=True),),
    x.RequestForBids: (Reference("need_id", (x.FlexibilityNeed,), Where.TO_SENDER),),
    x.Bid: (Reference("market_id", (x.RequestForBids,), Where.REVERSE, once=True),),
    x.MarketResult: (
        Reference("bid_id", (x.Bid,), Where.REVERSE, once=True),
        Reference("market_id", (x.RequestForBids,), Where.SAME),
    ),
    x.DataMeasurements: (Reference("request_id", (x.DataRequest,), Where.REVERSE, once=True),),
    x.ActivationConfirmation: (Reference("activation_id", (x.ActivationSignal,), Where.REVERSE, once=True),),
    x.ActivationAnswer: (Reference("activation_id", (x.ActivationSignal,), Where.REVERSE, once=True),),
    x.ParticipationInformation: (Reference("activation_id", (x.ActivationSignal,), Where.TO_SENDER),),
    x.ParticipationAnswer: (Reference("activation_id", (x.ParticipationInformation,), Where.REVERSE, once=True),),
    x.ActivatedResources: (Reference("activation_id", _ACTIVATIONS, Where.AT_SENDER),),
    x.MeasurementsQuery: (Reference("activation_id", _ACTIVATIONS, Where.AT_RECEIVER),),
    x.MeasurementsCollection: (Reference("activation_id", (x.MeasurementsQuery,), Where.REVERSE, once=True),),
    x.DeliveredVolume: (Reference("activation_id", _ACTIVATIONS, Where.REVERSE, once=True),),
    x.VolumeAnswer: (Reference("activation_id", (x.DeliveredVolume,), Where.REVERSE, once=True),),
    x.Bill: (Reference("activation_id", _ACTIVATIONS, Where.AT_RECEIVER),),
    x.Payment: (Reference("bill_id", (x.Bill,), Where.REVERSE, once=True),),
    x.PoolBid: (Reference("pool_id", (x.PoolOpening,), Where.REVERSE, once=True),),
    x.PoolAward: (
        Reference("bid_id", (x.PoolBid,), Where.REVERSE, once=True),
        Reference("pool_id", (x.PoolOpening,), Where.SAME),
    ),
    x.PoolActivation: (Reference("bid_id", (x.PoolAward,), Where.SAME),),
    x.VppActivationResponse: (Reference("activation_id", (x.PoolActivation,), Where.REVERSE, once=True),),
    x.CpoActivation: (Reference("activation_id", (x.PoolActivation,), Where.TO_SENDER),),
    x.CpoActivationResponse: (Reference("activation_id", (x.CpoActivation,), Where.REVERSE, once=True),),
    x.ParticipationRequest: (Reference("activation_id", (x.CpoActivation,), Where.TO_SENDER),),
    x.ParticipationReply: (Reference("activation_id", (x.ParticipationRequest,), Where.REVERSE, once=True),),
}
"""What each content refers to. The activation signal, which travels two hops, is in `references_of`."""

_SIGNAL_OF_DSO = (Reference("bid_id", (x.MarketResult,), Where.AT_RECEIVER),)
_SIGNAL_OF_VPP = (Reference("activation_id", (x.ActivationSignal,), Where.TO_SENDER),)

DEFINES: Mapping[type[x.Content], tuple[str, bool]] = {
    x.ProductRequirements: ("product_id", False),
    x.ResourceRegistration: ("resource_id", False),
    x.FlexibilityNeed: ("need_id", False),
    x.RequestForBids: ("market_id", False),
    x.Bid: ("bid_id", False),
    x.DataRequest: ("request_id", True),
    x.ActivationSignal: ("activation_id", True),
    x.PoolOpening: ("pool_id", False),
    x.PoolBid: ("bid_id", False),
    x.PoolActivation: ("activation_id", True),
    x.CpoActivation: ("activation_id", True),
    x.Bill: ("bill_id", False),
}
"""The field by which a content names a new thing, and whether each receiver may be told another thing under it."""

_DECLINES = {
    Performative.REFUSE,
    Performative.FAILURE,
    Performative.REJECT_PROPOSAL,
    Performative.NOT_UNDERSTOOD,
}


class Register:
    """Everything that one agent knows was said (`me`), or everything at all (`me` is None).

    `zone` is that of the market's day; `roles` are those that are known, at least one's own.
    """

    def __init__(self, zone: tzinfo, roles: Mapping[str, Role], me: str | None = None) -> None:
        self.zone = zone
        self.me = me
        self._roles = roles
        self._by_id: dict[tuple[type[x.Content], str, str], list[Said]] = {}
        self._declined: dict[tuple[str, str, str], datetime] = {}

    def note(self, said: Said) -> None:
        """Remember an act that was sent or accepted."""
        kind = type(said.content)
        for name in _names_to_keep(kind):
            self._by_id.setdefault((kind, name, getattr(said.content, name)), []).append(said)
        if said.performative in _DECLINES:
            self._declined[said.conversation_id, said.sender, said.receiver] = said.at

    def forget(self, before: datetime) -> None:
        """Drop what was said before this time."""
        kept = {key: [said for said in found if said.at >= before] for key, found in self._by_id.items()}
        self._by_id = {key: found for key, found in kept.items() if found}
        self._declined = {key: at for key, at in self._declined.items() if at >= before}

    def find(self, kind: type[x.Content], field: str, value: str) -> Iterator[Said]:
        """What was said with this value in this field, oldest first."""
        yield from self._by_id.get((kind, field, value), ())

    def resolve(self, said: Said, reference: Reference) -> list[Said]:
        """What a reference of an act can mean, oldest first."""
        value = getattr(said.content, reference.field)
        return [
            earlier
            for target in reference.targets
            for earlier in self.find(target, reference.names, value)
            if _fits(reference.where, said, earlier)
        ]

    def can_judge(self, said: Said, reference: Reference) -> bool:
        """Whether this register would know the thing referred to if it existed."""
        match reference.where:
            case Where.REVERSE | Where.SAME:
                return True
            case Where.AT_RECEIVER:
                return self.me in (None, said.receiver)
            case Where.TO_SENDER | Where.AT_SENDER:
                return self.me in (None, said.sender)

    def declined(self, said: Said) -> bool:
        """Whether its receiver turned this act down, so that the same may be tried again."""
        return (said.conversation_id, said.receiver, said.sender) in self._declined

    def references_of(self, said: Said) -> tuple[Reference, ...]:
        """What the content of this act refers to."""
        if isinstance(said.content, x.ActivationSignal):
            forwarded = self._roles.get(said.sender) is Role.VPP or self._roles.get(said.receiver) is Role.CPO
            return _SIGNAL_OF_VPP if forwarded else _SIGNAL_OF_DSO
        return REFERENCES.get(type(said.content), ())


class Grounds:
    """What an act rests on: the contents that it refers to, and those that these refer to, nearest first."""

    def __init__(self, register: Register, said: Said) -> None:
        self._found: list[Said] = []
        self._follow(register, said)

    def _follow(self, register: Register, said: Said) -> None:
        for reference in register.references_of(said):
            for earlier in register.resolve(said, reference)[-1:]:
                if earlier not in self._found:
                    self._found.append(earlier)
                    self._follow(register, earlier)

    def first(self, kind: type[_C]) -> _C | None:
        """The nearest content of a class, if the register knows one."""
        return next((said.content for said in self._found if isinstance(said.content, kind)), None)

    def __iter__(self) -> Iterator[x.Content]:
        return (said.content for said in self._found)


def _fits(where: Where, said: Said, earlier: Said) -> bool:
    match where:
        case Where.REVERSE:
            return (earlier.sender, earlier.receiver) == (said.receiver, said.sender)
        case Where.SAME:
            return (earlier.sender, earlier.receiver) == (said.sender, said.receiver)
        case Where.TO_SENDER:
            return earlier.receiver == said.sender
        case Where.AT_RECEIVER:
            return said.receiver in (earlier.sender, earlier.receiver)
        case Where.AT_SENDER:
            return said.sender in (earlier.sender, earlier.receiver)


def _kept() -> dict[type[x.Content], frozenset[str]]:
    found: dict[type[x.Content], set[str]] = {kind: {name} for kind, (name, _) in DEFINES.items()}
    both_hops = (x.ActivationSignal, _SIGNAL_OF_DSO + _SIGNAL_OF_VPP)
    every: list[tuple[type[x.Content], tuple[Reference, ...]]] = [*REFERENCES.items(), both_hops]
    for kind, references in every:
        for reference in references:
            found.setdefault(kind, set()).add(reference.field)
            for target in reference.targets:
                found.setdefault(target, set()).add(reference.names)
    return {kind: frozenset(names) for kind, names in found.items()}


_KEPT = _kept()


def _names_to_keep(kind: type[x.Content]) -> frozenset[str]:
    return _KEPT.get(kind, frozenset())
