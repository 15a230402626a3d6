"""What was said about markets, contracts, the register and bills, up to the moment that a page shows.

The report's readers are told each message once, while the trace grows. Of the many messages that they do not want
nothing is read from the file, and of the prices that every driver is told those to one driver of each operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from environment.report.congestion_services import Parts
from environment.report.frequency_services import Applications, Hours
from environment.report.hearing import Reader, understood
from environment.report.market import Rounds
from environment.report.public_services import Reading
from environment.report.public_sessions import Sessions
from environment.report.services import Services
from environment.watched.bills import Bills
from environment.watched.orders import Orders
from environment.watched.prices import Prices
from environment.watched.registrations import Registrations
from environment.watched.run import WatchedRun
from environment.watched.trace_index import Told
from protocols.trace import TraceError

BUDGET, BUDGET_S = 1500, 0.1
"""So many messages are read from the file in one refresh, and for so long of the wall, so that a page answers."""
_LOOK_EVERY = 50
_TO_EACH_DRIVER = "4.2.2"


class Readers:
    """One of each reader."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self.rounds = Rounds()
        self.services = Services(roles)
        self.parts = Parts(roles)
        self.applications = Applications(roles)
        self.hours = Hours(roles)
        self.public = Reading(roles)
        self.sessions = Sessions()
        self.orders = Orders(roles)
        self.bills = Bills(roles)
        self.prices = Prices(roles)
        self.registrations = Registrations(roles)

    def all(self) -> tuple[Reader, ...]:
        """Each of them."""
        return tuple(vars(self).values())


class Heard:
    """The readers of a run, told everything up to its moment. `version` grows with what they heard."""

    def __init__(self, run: WatchedRun) -> None:
        self._run = run
        self.version = 0
        self._begin()

    @staticmethod
    def of(run: WatchedRun) -> Heard:
        """That of a run: its views share one."""
        found = _KNOWN.get(run)
        if found is None:
            found = _KNOWN[run] = Heard(run)
        return found

    def _begin(self) -> None:
        self._next = 0
        self._generation = self._run.trace.generation
        self._roles = dict(self._run.roles)
        self.readers = Readers(self._roles)
        self._wanted: dict[str | None, list[Reader]] = {}
        for reader in self.readers.all():
            for exchange in reader.exchanges:
                self._wanted.setdefault(exchange, []).append(reader)
        self._plain = self._wanted.pop(None, [])
        self._open: set[str] = set()
        self._listener: dict[str, str] = {}
        self.version += 1

    @property
    def complete(self) -> bool:
        """Whether everything up to the moment was heard."""
        return self._next == self._run.messages

    def refresh(self, budget: int = BUDGET) -> bool:
        """Hears what is new, at most `budget` messages of it; whether it heard all. An earlier moment begins anew."""
        run = self._run
        anew = run.messages < self._next or run.trace.generation != self._generation
        if anew or (self._next == 0 and self._roles != run.roles):
            self._begin()
        trace, until = run.trace, run.messages
        deadline = perf_counter() + BUDGET_S
        while self._next < until and budget > 0:
            told = trace[self._next]
            if self._wants(told):
                budget -= 1
                if budget % _LOOK_EVERY == 0 and perf_counter() > deadline:
                    budget = 0
                self._hear(told)
            self._next += 1
        return self._next == until

    def _wants(self, told: Told) -> bool:
        if told.exchange is None:
            return told.conversation_id in self._open
        if told.exchange == _TO_EACH_DRIVER and told.performative == "inform":
            return self._listener.setdefault(told.sender, told.receiver) == told.receiver
        return told.exchange in self._wanted

    def _hear(self, told: Told) -> None:
        try:
            entry = self._run.trace.entry(told.number)
        except TraceError:  # the file was changed: the index begins anew, and so does this
            return
        if told.exchange is not None:
            self._open.add(told.conversation_id)
        content = understood(entry.message)
        if content is not None:
            for reader in self._plain if told.exchange is None else self._wanted[told.exchange]:
                reader.hear(entry.at, entry.message, content)
            self.version += 1


T = TypeVar("T")


class Kept(Generic[T]):
    """Something that is made from what was heard, and made again only when more was heard."""

    def __init__(self, heard: Heard, make: Callable[[Readers], T]) -> None:
        self._heard, self._make = heard, make
        self._version = -1
        self._value: T | None = None

    def __call__(self) -> T:
        if self._version != self._heard.version or self._value is None:
            self._value, self._version = self._make(self._heard.readers), self._heard.version
        return self._value


_KNOWN: WeakKeyDictionary[WatchedRun, Heard] = WeakKeyDictionary()
