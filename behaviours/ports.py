"""What the agents need from the world around them: time, the post, and somewhere to record what was said.

Each port is a small `typing.Protocol`; `environment/` and the tests bring what stands behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from protocols.acl import AclMessage


class Timer(Protocol):
    """A call that is due at some scenario time."""

    def cancel(self) -> None:
        """Takes the call off the agenda; nothing happens when it was made already."""


class Clock(Protocol):
    """Scenario time. Every time is UTC, so that comparing and adding is right over a change of the clocks.

    Times given may be of any zone, but must be aware (ValueError otherwise).
    """

    def now(self) -> datetime:
        """The scenario time, in UTC."""

    def call_at(self, at: datetime, callback: Callable[[], object], *, priority: int = 10) -> Timer:
        """Calls `callback` at `at` (at once where that is past), at equal times in order of `priority`
        (lowest first), then in the order of the calls to this method."""

    def call_idle(self, callback: Callable[[], object]) -> None:
        """Calls `callback` when all that was started has been done, in order of the calls, before time passes."""

    async def sleep_until(self, at: datetime, *, priority: int = 10) -> None:
        """Waits until the scenario time is `at`."""

    def outstanding(self) -> AbstractContextManager[None]:
        """While this is entered, something of the real world is awaited (a device's answer, a message on the
        wire, a thread's result): scenario time may not jump and no idle call is made, letters in process
        included. So never await another agent's answer in it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message in transit: nothing but strings, so that no two agents ever hold the same object.

    `sender` and `receiver` are JIDs; an outside client's `sender` carries its resource. `metadata` holds
    SPADE's metadata (the ACL parameters), `thread` the conversation id.
    """

    sender: str
    receiver: str
    body: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    thread: str | None = None


class Outlet(Protocol):
    """An agent's own way out of the process."""

    def send(self, letter: Letter) -> None: ...


class Post(Protocol):
    """Carries letters between agents, each exactly once and in order between any two of them."""

    def open(self, jid: str, deliver: Callable[[Letter], None], outlet: Outlet | None = None) -> None:
        """From now on letters to `jid` (bare) come to `deliver`. Raises ValueError where that JID is taken."""

    def close(self, jid: str) -> None:
        """Letters to `jid` no longer arrive here."""

    def is_local(self, jid: str) -> bool:
        """Whether an agent of this process has that bare JID."""

    def send(self, letter: Letter) -> None:
        """Takes a letter on. Raises UnsendableError where it would break an XMPP stream."""


class Recorder(Protocol):
    """Keeps what was said; the trace is written from it."""

    def record(self, at: datetime, message: AclMessage) -> None:
        """One message, when an agent of this process sends it or receives it from outside."""

    def record_malformed(self, at: datetime, sender: str, receiver: str, faults: Sequence[str]) -> None:
        """Something arrived from `sender` that is no ACL message, or is not what the catalogue lets pass."""


class UnsendableError(ValueError):
    """A letter that would break the XMPP stream: it is refused at the sender."""
