"""What a conversation tells its owner: frozen, to be taken apart with `match`."""

from __future__ import annotations

from dataclasses import dataclass

from protocols.acl import AclMessage


@dataclass(frozen=True, slots=True)
class Received:
    """A lawful message arrived in time; `state` is the state that it led to. The only event to act upon."""

    message: AclMessage
    state: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same message again: nothing changes; what answered it the first time goes out again."""

    message: AclMessage


@dataclass(frozen=True, slots=True)
class OutOfSequence:
    """The protocol has no such message here: nothing changes, answered with not-understood."""

    message: AclMessage
    state: str
    allowed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Late:
    """Lawful when it was sent, overtaken by a deadline or by another message: nothing changes."""

    message: AclMessage


@dataclass(frozen=True, slots=True)
class Uninvited:
    """From an agent that has no part in this conversation: nothing changes, answered with not-understood."""

    message: AclMessage


@dataclass(frozen=True, slots=True)
class Conflict:
    """A known `reply-with` with other content: nothing changes, refused."""

    message: AclMessage


@dataclass(frozen=True, slots=True)
class Misunderstood:
    """Its content could not be read: nothing changes, answered with not-understood and every fault."""

    message: AclMessage


@dataclass(frozen=True, slots=True)
class Expired:
    """Our deadline with `peer` passed while in `state`. For an opening act that came after its own reply-by this
    takes the place of Received: it is never performed.
    """

    peer: str
    state: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The conversation with `peer` is over, in the terminal `state`."""

    peer: str
    state: str


Event = Received | Duplicate | OutOfSequence | Late | Uninvited | Conflict | Misunderstood | Expired | Ended
