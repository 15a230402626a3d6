"""What was said, kept by what it refers to, so that a later message can be held against it.

A `Register` belongs to one agent and knows what that agent sent and received; one that belongs to nobody knows
everything and judges a whole trace. It holds no more than it is told and is emptied by `forget`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import TypeVar

from protocols import exchanges as x
from protocols.acl import AclMessage, Performative
from protocols.reference_tables import DEFINES, LASTING, REFERENCES, SIGNAL_OF_DSO, SIGNAL_OF_VPP, Reference, Where
from protocols.roles import Role
from protocols.tables import OPENING

__all__ = ["Grounds", "Reference", "Register", "Said", "Where"]

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


_DECLINES = {
    Performative.REFUSE,
    Performative.FAILURE,
    Performative.REJECT_PROPOSAL,
    Performative.NOT_UNDERSTOOD,
}


_OPENINGS = frozenset(OPENING.values())
_AWARDS = (x.CurtailmentAward, x.VoltageAward)


class Register:
    """Everything that one agent knows was said (`me`), or everything at all (`me` is None).

    `zone` is that of the market's day; `roles` are those that are known, at least one's own.
    """

    def __init__(self, zone: tzinfo, roles: Mapping[str, Role], me: str | None = None) -> None:
        self.zone = zone
        self.me = me
        self._roles = roles
        self._by_id: dict[tuple[type[x.Content], str, Hashable], list[Said]] = {}
        self._declined: dict[tuple[str, str, str], datetime] = {}
        self._opened: dict[tuple[str, str, str], Said] = {}
        self._called_off: dict[tuple[str, str, str], datetime] = {}

    def note(self, said: Said) -> None:
        """Remember an act that was sent or accepted."""
        kind = type(said.content)
        for name in _names_to_keep(kind):
            if (value := getattr(said.content, name)) is not None:
                self._by_id.setdefault((kind, name, value), []).append(said)
        between = (said.conversation_id, said.sender, said.receiver)
        if said.performative in _DECLINES:
            self._declined[between] = said.at
        elif said.performative in _OPENINGS:
            self._opened.setdefault(between, said)
        elif said.performative is Performative.CANCEL:
            self._called_off[between] = said.at

    def forget(self, before: datetime) -> None:
        """Drop what was said before this time, but for contracts and subscriptions, which last."""
        kept = {
            key: [said for said in found if said.at >= before or _lasts(said)] for key, found in self._by_id.items()
        }
        self._by_id = {key: found for key, found in kept.items() if found}
        self._declined = {key: at for key, at in self._declined.items() if at >= before}
        self._opened = {key: said for key, said in self._opened.items() if said.at >= before}
        self._called_off = {key: at for key, at in self._called_off.items() if at >= before}

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

    def called_off(self, said: Said) -> bool:
        """Whether its sender has since asked to cancel the conversation of this act."""
        return (said.conversation_id, said.sender, said.receiver) in self._called_off

    def opening_of(self, said: Said) -> x.Content | None:
        """What the sender of this act opened its conversation with, None if that was not heard or is forgotten."""
        opened = self._opened.get((said.conversation_id, said.sender, said.receiver))
        return None if opened is None else opened.content

    def awards_from(self, start: datetime) -> Iterator[Said]:
        """The awards of services that begin at this time."""
        for kind in _AWARDS:
            yield from self._by_id.get((kind, "start", start), ())

    def references_of(self, said: Said) -> tuple[Reference, ...]:
        """What the content of this act refers to."""
        if isinstance(said.content, x.ActivationSignal):
            forwarded = self._roles.get(said.sender) is Role.VPP or self._roles.get(said.receiver) is Role.CPO
            return SIGNAL_OF_VPP if forwarded else SIGNAL_OF_DSO
        return REFERENCES.get(type(said.content), ())


class Grounds:
    """What an act rests on: the contents that it refers to, and those that these refer to, nearest first."""

    def __init__(self, register: Register, said: Said) -> None:
        self._found: list[Said] = []
        self._follow(register, said)

    def _follow(self, register: Register, said: Said) -> None:
        for reference in register.references_of(said):
            if not reference.ground:
                continue
            for earlier in register.resolve(said, reference)[-1:]:
                if earlier not in self._found:
                    self._found.append(earlier)
                    self._follow(register, earlier)

    def first(self, kind: type[_C]) -> _C | None:
        """The nearest content of a class, if the register knows one."""
        return next((said.content for said in self._found if isinstance(said.content, kind)), None)

    def __iter__(self) -> Iterator[x.Content]:
        return (said.content for said in self._found)


def _lasts(said: Said) -> bool:
    return said.performative is Performative.SUBSCRIBE or isinstance(said.content, LASTING)


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
    found |= {kind: {"start"} for kind in _AWARDS}
    both_hops = (x.ActivationSignal, SIGNAL_OF_DSO + SIGNAL_OF_VPP)
    every: list[tuple[type[x.Content], tuple[Reference, ...]]] = [*REFERENCES.items(), both_hops]
    for kind, references in every:
        for reference in references:
            if reference.once or reference.where is not Where.REVERSE:
                # Subscribers are told the same thing over and over; nobody counts how often.
                found.setdefault(kind, set()).add(reference.field)
            for target in reference.targets:
                found.setdefault(target, set()).add(reference.names)
    return {kind: frozenset(names) for kind, names in found.items()}


_KEPT = _kept()


def _names_to_keep(kind: type[x.Content]) -> frozenset[str]:
    return _KEPT.get(kind, frozenset())
