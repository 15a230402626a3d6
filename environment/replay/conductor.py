"""The post, and the rest of the swarm, of a replay.

Those who are played run as they are. What the others said and did happens in the record's order: the next of it when
its time has come and everything that stands before it has been said and done. What a played agent says is compared
with the record and goes no further; whoever was told it in the record is told what stands there. So one fault of one
agent stays its own. What stands in the record and has not come, when nothing else can happen at its time any more, is
missing.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from behaviours.acting import acting
from behaviours.ports import Letter, Outlet
from behaviours.post import bare, check_sendable
from environment.acts import Act
from environment.clock import VirtualClock
from environment.replay.difference import Difference, done, of_act, of_message, told
from environment.replay.record import Record
from protocols.acl import AclMessage
from protocols.trace import Entry

BEFORE_AGENTS = 1
"""Priority of what the others do: after the world's own steps, before the timers of those who are played."""
AFTER_ALL = 1_000_000
"""Priority of the look for what is missing."""

_Key = tuple[str, str, str, str]


class Conductor:
    """Implements `behaviours.ports.Post` and `environment.acts.Noting`. `perform` does an act of somebody who is not
    played. `differences` are in the order in which they were found; `same` counts what was as recorded."""

    def __init__(self, record: Record, played: frozenset[str], clock: VirtualClock) -> None:
        self.differences: list[Difference] = []
        self.messages = 0
        self.acts = 0
        self.perform: Callable[[Act], None] = lambda act: None
        self._record = record
        self._played = played
        self._clock = clock
        self._events: Sequence[Entry | Act] = tuple(record.events())
        self._over = [False] * len(self._events)
        self._next = 0
        self._boxes: dict[str, Callable[[Letter], None]] = {}
        self._early: dict[str, list[Letter]] = defaultdict(list)
        self._gone: set[str] = set()
        self._sent: dict[_Key, deque[int]] = defaultdict(deque)
        self._doing: dict[tuple[str, str], deque[int]] = defaultdict(deque)
        self._lines: dict[int, int] = {}
        self._awaited: dict[int, Difference] = {}
        self._armed: set[tuple[datetime, int]] = set()
        acts = 0
        for index, event in enumerate(self._events):
            if isinstance(event, Act):
                acts += 1
                self._lines[index] = acts
                if event.who in played:
                    self._doing[event.who, event.device].append(index)
            elif event.message.sender in played:
                self._sent[_key(event.message)].append(index)

    def begin(self) -> None:
        """The record begins."""
        self._advance()

    def end(self) -> None:
        """What has not come by now, though its time has, is missing."""
        for index in range(self._next, len(self._events)):
            if not self._over[index] and self._events[index].at <= self._clock.now():
                self._missing(index)

    # ---- the post

    def open(self, jid: str, deliver: Callable[[Letter], None], outlet: Outlet | None = None) -> None:
        self._boxes[jid] = deliver
        for letter in self._early.pop(jid, ()):
            self._clock.call_idle(partial(self._deliver, letter))

    def close(self, jid: str) -> None:
        self._boxes.pop(jid, None)
        self._gone.add(jid)

    def is_local(self, jid: str) -> bool:
        """Everybody of the record is taken to be here, as they were."""
        return jid in self._record.header.roles

    def send(self, letter: Letter) -> None:
        check_sendable(letter)
        message = AclMessage.parse(letter.metadata, letter.body, bare(letter.sender), bare(letter.receiver))
        now = self._clock.now()
        if not (waiting := self._sent.get(_key(message))):
            local = now.astimezone(self._record.scenario.zone)
            self._found(Difference("", local, f"{told(message)}: is not in the record"))
            return
        index = waiting.popleft()
        entry = self._events[index]
        assert isinstance(entry, Entry)
        late = self._over[index]
        self._over[index] = True
        if index in self._awaited:  # it comes after all: its time is what differs
            self.differences.remove(self._awaited.pop(index))
        found = list(of_message(entry, now, message, self._record.tolerances))
        self.differences += found
        self.messages += not found
        if not late:
            self._hand_over(entry)
        self._go_on()

    # ---- what is done

    def note(self, device: str, act: str, **members: Any) -> None:
        who = acting()
        if who not in self._played:
            return
        now = self._clock.now()
        came = Act(0, now.astimezone(self._record.scenario.zone), who, device, act, members)
        if not (waiting := self._doing.get((who, device))):
            self._found(Difference("", came.at, f"{done(came)}: is not in the record"))
            return
        index = waiting.popleft()
        recorded = self._events[index]
        assert isinstance(recorded, Act)
        self._over[index] = True
        found = list(of_act(recorded, self._lines[index], now, came, self._record.tolerances))
        self.differences += found
        self.acts += not found
        self._go_on()

    def fails(self, what: str) -> None:
        """An error in an agent, which would have ended a run: here it is a difference, and the others go on."""
        self._found(Difference("", self._clock.now().astimezone(self._record.scenario.zone), what))

    # ---- the record goes on

    def _go_on(self) -> None:
        """After what was said or done just now, when whoever did it has come to rest."""
        if self._next < len(self._events) and self._over[self._next]:
            self._clock.call_idle(self._advance)

    def _advance(self) -> None:
        while self._next < len(self._events):
            index, event = self._next, self._events[self._next]
            if not self._over[index]:
                if event.at > self._clock.now():
                    self._arm(event.at, BEFORE_AGENTS, self._advance)
                    return
                if (event.who if isinstance(event, Act) else event.message.sender) in self._played:
                    patience = timedelta(seconds=self._record.tolerances.time_s)
                    self._arm(max(event.at + patience, self._clock.now()), AFTER_ALL, self._look)
                    return
                self._over[index] = True
                self._happen(event)
            self._next += 1

    def _arm(self, at: datetime, priority: int, callback: Callable[[], None]) -> None:
        """One timer for each instant and purpose."""
        if (at, priority) in self._armed:
            return
        self._armed.add((at, priority))

        def ring() -> None:
            self._armed.discard((at, priority))
            callback()

        self._clock.call_at(at, ring, priority=priority)

    def _happen(self, event: Entry | Act) -> None:
        """Somebody who is not played says or does it."""
        if isinstance(event, Act):
            self.perform(event)
        else:
            self._hand_over(event)

    def _hand_over(self, entry: Entry) -> None:
        message = entry.message
        if message.receiver not in self._played:
            return
        letter = Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)
        if message.receiver in self._boxes:
            self._clock.call_idle(partial(self._deliver, letter))
        elif message.receiver not in self._gone:
            self._early[message.receiver].append(letter)

    def _deliver(self, letter: Letter) -> None:
        if deliver := self._boxes.get(letter.receiver):
            deliver(letter)

    def _look(self) -> None:
        """Nothing else can happen at this instant: what the record waits for does not come."""
        index = self._next
        if index < len(self._events) and not self._over[index]:
            event = self._events[index]
            patience = timedelta(seconds=self._record.tolerances.time_s)
            if event.at + patience <= self._clock.now():
                self._missing(index)
                if isinstance(event, Entry):
                    self._hand_over(event)
        self._advance()

    def _missing(self, index: int) -> None:
        event = self._events[index]
        self._over[index] = True
        if isinstance(event, Act):
            where, what = f"acts line {self._lines[index]}", done(event)
            self._doing[event.who, event.device].remove(index)
        else:
            where, what = f"trace line {event.line}", told(event.message)
        missing = Difference(where, event.at, f"{what}: does not come")
        if isinstance(event, Entry):
            self._awaited[index] = missing
        self._found(missing)

    def _found(self, difference: Difference) -> None:
        self.differences.append(difference)


def _key(message: AclMessage) -> _Key:
    return message.conversation_id, message.sender, message.receiver, message.reply_with


def counted(record: Record, played: frozenset[str]) -> Mapping[str, int]:
    """How many messages, acts and payments of those who are played the record has."""
    acts = [act for act in record.acts if act.who in played]
    payments = sum(act.device == "ledger" for act in acts)
    messages = sum(entry.message.sender in played for entry in record.entries)
    return {"messages": messages, "orders": len(acts) - payments, "payments": payments}
