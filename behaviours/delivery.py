"""Delivery over a link that may break: acknowledged end to end, retried until then, in order, acted on once.

Stream management (XEP-0198) alone loses what a killed server had not passed on; a receipt of the other agent does not.
For each receiver one letter is under way at a time, so that a retry never overtakes a later letter.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from behaviours.ports import Clock, Letter, Timer
from behaviours.post import bare

log = logging.getLogger("gridparley.delivery")

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 8.0
FOREIGN_ATTEMPTS = 8
"""How often a letter to an agent outside is tried (about 40 s): it may have gone for good."""
KNOWN_IDS = 10_000
"""How many letters are remembered to know one again that comes a second time."""


Later = Callable[[float, Callable[[], None]], Timer]


@dataclass(slots=True)
class _Pending:
    letter: Letter
    stanza_id: str
    hold: ExitStack
    attempts: int = 0
    timer: Timer | None = field(default=None, repr=False)


class Outgoing:
    """What one agent has sent and nobody has acknowledged yet.

    `transmit(letter, stanza_id)` puts a letter on the wire and says whether there is one. `is_ours(jid)`: an agent
    of this process, which acknowledges without fail. An agent outside that never acknowledged anything (a person's
    chat program) gets its letters once. Scenario time holds while an acknowledgement is awaited. `later` sets the
    timers of retries, which keep to the wall (default: the running loop's). `gave_up` is told of an agent outside that
    acknowledged once and does so no more.
    """

    def __init__(
        self,
        clock: Clock,
        transmit: Callable[[Letter, str], bool],
        is_ours: Callable[[str], bool],
        later: Later | None = None,
        gave_up: Callable[[str], None] = lambda jid: None,
    ) -> None:
        self._clock = clock
        self._gave_up = gave_up
        self._transmit = transmit
        self._is_ours = is_ours
        self._later = later or (lambda delay, call: asyncio.get_running_loop().call_later(delay, call))
        self._acknowledging: set[str] = set()
        self._queues: dict[str, deque[_Pending]] = {}
        self._prefix = uuid.uuid4().hex[:12]  # another run's letters must not look like ours
        self._numbers = count()
        self.retries = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def send(self, letter: Letter) -> None:
        receiver = bare(letter.receiver)
        hold = ExitStack()
        hold.enter_context(self._clock.outstanding())
        queue = self._queues.setdefault(receiver, deque())
        queue.append(_Pending(letter, f"{self._prefix}-{next(self._numbers)}", hold))
        if len(queue) == 1:
            self._try(receiver)

    def acknowledged(self, sender: str, stanza_id: str) -> None:
        """A receipt has come."""
        receiver = bare(sender)
        self._acknowledging.add(receiver)
        queue = self._queues.get(receiver)
        if queue and queue[0].stanza_id == stanza_id:
            self._done(receiver)

    def link_up(self) -> None:
        """The wire is there again: everything under way is sent anew, at once."""
        for receiver in tuple(self._queues):
            if self._queues.get(receiver):
                self._try(receiver)

    def close(self) -> None:
        """Gives up what is still under way."""
        for queue in self._queues.values():
            for pending in queue:
                _release(pending)
        self._queues.clear()

    def _try(self, receiver: str) -> None:
        while queue := self._queues.get(receiver):
            pending = queue[0]
            if pending.timer is not None:
                pending.timer.cancel()
                pending.timer = None
            if not self._transmit(pending.letter, pending.stanza_id):
                return  # link_up tries again
            pending.attempts += 1
            self.retries += pending.attempts > 1
            ours = self._is_ours(receiver)
            if ours or (receiver in self._acknowledging and pending.attempts < FOREIGN_ATTEMPTS):
                delay = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** (pending.attempts - 1))
                pending.timer = self._later(delay, partial(self._try, receiver))
                return
            if receiver in self._acknowledging:
                log.warning("%s does not acknowledge any more: a letter to it is given up", receiver)
                self._acknowledging.discard(receiver)
                self._gave_up(receiver)
            self._drop(receiver)

    def _done(self, receiver: str) -> None:
        self._drop(receiver)
        self._try(receiver)

    def _drop(self, receiver: str) -> None:
        queue = self._queues[receiver]
        _release(queue.popleft())
        if not queue:
            del self._queues[receiver]


def _release(pending: _Pending) -> None:
    if pending.timer is not None:
        pending.timer.cancel()
    pending.hold.close()


class Incoming:
    """Knows a letter again that has come before."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self.repeated = 0

    def is_new(self, sender: str, stanza_id: str) -> bool:
        key = (bare(sender), stanza_id)
        if key in self._known:
            self.repeated += 1
            return False
        self._known[key] = None
        if len(self._known) > KNOWN_IDS:
            self._known.popitem(last=False)
        return True
