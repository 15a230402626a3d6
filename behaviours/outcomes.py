"""How an exchange that an agent began can come out: small frozen classes, taken apart with `match`.

match await self.request(signal, to=vpp, reply_by=deadline):
    case Agreed() as agreed: outcome = await agreed.result(by=end)
    case Refused(reason=why): ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from protocols.exchanges.content import Content

OVER: Final = "over"
"""The code of a Failed cancel where there is nothing left to cancel."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`sender` is the bare JID of the other agent."""

    sender: str

    def __str__(self) -> str:
        """In words, for whoever reads what became of a run."""
        return f"no answer from {self.sender}"


@dataclass(frozen=True, slots=True)
class Answered(Outcome):
    """The other agent answered with `content`."""

    content: Content

    @property
    def reason(self) -> str:
        """What the content gives as its reason, or an empty text."""
        return getattr(self.content, "reason", None) or ""

    def __str__(self) -> str:
        said = type(self).__name__.lower()
        return f"{said} by {self.sender}" + (f": {self.reason}" if self.reason else "")


class Informed(Answered):
    """It is done, or this is what was asked for (inform)."""


class Refused(Answered):
    """It will not be done (refuse)."""


class Failed(Answered):
    """It was attempted and could not be done (failure)."""


class NotUnderstood(Answered):
    """The other agent could not make sense of the message (not-understood); the content lists the faults."""


class Accepted(Answered):
    """The proposal is accepted (accept-proposal)."""


class Rejected(Answered):
    """The proposal is rejected (reject-proposal)."""


@dataclass(frozen=True, slots=True)
class Proposed(Answered):
    """An offer in a contract-net (propose). `faults`: what is wrong with it in the light of the call, in words;
    `received`: when it came, by one's own clock."""

    faults: tuple[str, ...]
    received: datetime


class Silent(Outcome):
    """No answer came within its time."""


@dataclass(frozen=True, slots=True)
class CalledOff(Outcome):
    """We called it off and the other agent has stopped: there is no result. `content` is our cancel."""

    content: Content

    @property
    def reason(self) -> str:
        """Why we called it off."""
        return getattr(self.content, "reason", None) or ""

    def __str__(self) -> str:
        return f"called off at {self.sender}" + (f": {self.reason}" if self.reason else "")


Result = Informed | Failed | NotUnderstood | Silent


def has_stopped(cancelled: Result) -> bool:
    """Whether a cancel with this outcome leaves nothing that goes on: the other agent has stopped, or there was nothing
    left to cancel (`OVER`)."""
    match cancelled:
        case Failed(content=content):
            return getattr(content, "code", None) == OVER
        case _:
            return isinstance(cancelled, Informed)


@dataclass(frozen=True, slots=True)
class Agreed(Answered):
    """It will be done (agree); the result is still to come."""

    _result: Callable[[datetime | None], Awaitable[Result]] = field(repr=False, compare=False)
    _cancel: Callable[[Content, datetime], Awaitable[Result]] = field(repr=False, compare=False)

    async def result(self, by: datetime | None = None) -> Result:
        """The final inform or failure; Silent when there is none at `by` (None: as agreed when it was asked)."""
        return await self._result(by)

    async def cancel(self, content: Content, reply_by: datetime) -> Result:
        """Calls it off (FIPA cancel). Informed: it is called off. Failed: it is not, the result still comes."""
        return await self._cancel(content, reply_by)


@dataclass(frozen=True, slots=True)
class Subscribed(Answered):
    """The informs come to the callback given, one after the other, until `cancel`."""

    _cancel: Callable[[Content, datetime], Awaitable[Result]] = field(repr=False, compare=False)

    async def cancel(self, content: Content, reply_by: datetime) -> Result:
        """Ends the subscription (FIPA cancel)."""
        return await self._cancel(content, reply_by)
