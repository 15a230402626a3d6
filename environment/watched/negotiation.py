"""One chosen negotiation as a sequence diagram that grows: lifelines, steps, and what belongs to it.

It is one conversation, or that with all that belong to it. Drivers and V2X managers are one lifeline, which can be
unfolded; what such a crowd was told and answered at the same time is one step with a count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import fsum

from environment.report.words import CROWDS, account_name, actor, number
from environment.watched.negotiations import Negotiations, crowd
from environment.watched.outcome import power_kw
from protocols.acl import AclMessage, Protocol
from protocols.standing import Reading
from protocols.telling import line, named, says
from protocols.trace import TraceError

MOST_STEPS = 100
"""So many steps are shown at once."""
MOST_LIFELINES = 12
"""With more of them only those are drawn that have part in the steps shown."""
MOST_CHAIN = 100
"""So many conversations are put into one diagram."""
_ORDER = ("tso", "fmo", "dso", "vpp", "cpo", "fo", "v2x_manager", "emsp", "", "ev_owner")
"""From left to right; the empty word is any other role."""
_BURST = timedelta(minutes=5)
"""After so long a silence a crowd's messages are no longer one step with those before."""
_MOST_OF_A_STEP = 40
_MOST_READ = 600
_WORST = (Reading.BROKEN, Reading.LATE, Reading.CROSSED, Reading.REPEATED, Reading.IN_SEQUENCE)


@dataclass(frozen=True, slots=True)
class Lifeline:
    """One actor, or a crowd as one. `key` is its JID or the crowd's role, `note` its role in words where needed."""

    key: str
    name: str
    note: str
    members: tuple[str, ...]

    @property
    def folded(self) -> bool:
        """Whether it stands for several."""
        return len(self.members) > 1


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow between two lifelines (indices): a message, or several of a crowd (`numbers`, those of the trace).

    `at` is in the run's zone, `title` the exchange with its number, `gist` what was said in words. `begins`: the
    protocol and the conversation that it opens, where a diagram has several.
    """

    numbers: tuple[int, ...]
    at: datetime
    source: int
    target: int
    sender: str
    receiver: str
    act: str
    exchange: str | None
    title: str
    gist: str
    conversation_id: str
    reading: Reading
    begins: str = ""

    @property
    def broken(self) -> bool:
        """Whether it is against the protocol."""
        return self.reading in (Reading.BROKEN, Reading.LATE)

    @property
    def words(self) -> str:
        """The whole step in one line: "17:05:12 vpp-1 to dso: propose 6.1.2 Market bid, power 12 kW"."""
        many = f" ({len(self.numbers)} messages)" if len(self.numbers) > 1 else ""
        parts = [f"{self.act}{f' {self.title}' if self.title else ''}{many}", self.gist]
        if self.reading is not Reading.IN_SEQUENCE:
            parts.append(self.reading)
        said = ", ".join(part for part in parts if part)
        return f"{self.at:%H:%M:%S} {self.sender} to {self.receiver}: {said}"


@dataclass(frozen=True, slots=True)
class Opened:
    """One message to be read: `words` say who told whom what, `at` is in the run's zone."""

    message: AclMessage
    at: datetime
    words: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Link:
    """A conversation that belongs to the chosen one, `before` or after it, by the ids that both name."""

    conversation_id: str
    opened: datetime
    title: str
    who: str
    state: str
    ids: tuple[str, ...]
    before: bool


class Negotiation:
    """What is shown of one conversation (`whole`: with all that belong to it), up to the moment of the list.

    `unfolded` are roles whose members have a lifeline each.
    """

    def __init__(
        self,
        negotiations: Negotiations,
        conversation_id: str,
        *,
        whole: bool = False,
        unfolded: frozenset[str] = frozenset(),
    ) -> None:
        self.conversation_id, self.whole, self.unfolded = conversation_id, whole, unfolded
        self._list = negotiations
        self._run = negotiations.run
        self._seen = -1
        self._gists: dict[tuple[int, int], str] = {}
        self._begin(())

    def _begin(self, conversations: Sequence[str]) -> None:
        self._places = dict.fromkeys(conversations, 0)
        self._steps: list[list[int]] = []
        self._kinds: list[tuple[str, str, str, str | None]] = []
        self._members: dict[str, dict[str, None]] = {}
        self._burst = 0
        self._said: datetime | None = None
        self.messages = 0

    def __len__(self) -> int:
        """How many steps there are."""
        return len(self._steps)

    @property
    def known(self) -> bool:
        """Whether the conversation has begun at the moment shown."""
        return self.conversation_id in self._list.all

    def refresh(self) -> bool:
        """Takes on what the list has meanwhile; whether anything changed."""
        if self._seen == self._list.version:
            return False
        self._seen = self._list.version
        conversations = self._conversations()
        before = self.messages
        counts = {name: self._list.all[name].messages for name in conversations}
        if list(counts) != list(self._places) or any(counts[name] < had for name, had in self._places.items()):
            self._begin(conversations)
            before = -1
        new: list[int] = []
        for name, had in self._places.items():
            new += self._run.trace.conversations[name][had : counts[name]]
            self._places[name] = counts[name]
        for each in sorted(new):
            self._add(each)
        return self.messages != before

    def _conversations(self) -> list[str]:
        """Those of the diagram, in the order of their beginning."""
        if not self.known:
            return []
        found = [self.conversation_id]
        if self.whole:
            known = self._list.all
            chain = (name for name in self._list.belonging.chain(self.conversation_id, MOST_CHAIN) if name in known)
            found = sorted(chain, key=self._begun)
        return found

    def _begun(self, conversation_id: str) -> int:
        """The number of its first message."""
        return self._run.trace.conversations[conversation_id][0]

    def _key(self, jid: str) -> str:
        role = self._run.roles.get(jid)
        return role if role in CROWDS and role not in self.unfolded else jid

    def _add(self, new: int) -> None:
        """The next message, as a step of its own or of its crowd's."""
        told = self._run.trace[new]
        source, target = self._key(told.sender), self._key(told.receiver)
        for key, jid in ((source, told.sender), (target, told.receiver)):
            self._members.setdefault(key, {})[jid] = None
        kind = (source, target, told.performative, told.exchange)
        if self._said is not None and told.at - self._said > _BURST:
            self._burst = len(self._steps)
        self._said = told.at
        self.messages += 1
        if source in CROWDS or target in CROWDS:
            for index in range(self._burst, len(self._steps)):
                if self._kinds[index] == kind:
                    self._steps[index].append(new)
                    return
        else:
            self._burst = len(self._steps) + 1
        self._steps.append([new])
        self._kinds.append(kind)

    def lifelines(self, first: int = 0, most: int = MOST_STEPS) -> tuple[Lifeline, ...]:
        """Who takes part, the market's side left, the drivers right; of a great many those of these steps alone."""
        keys = set(self._members)
        if len(keys) > MOST_LIFELINES:
            keys = {key for kind in self._kinds[first : first + most] for key in kind[:2]}
        roles = self._run.roles

        def place(key: str) -> tuple[int, str]:
            role = str(roles.get(key, key if key in CROWDS else ""))
            return _ORDER.index(role if role in _ORDER else ""), key

        found = []
        for key in sorted(keys, key=place):
            members = tuple(self._members[key])
            if len(members) == 1:
                found.append(Lifeline(key, *actor(members[0], roles), members))
            else:
                found.append(Lifeline(key, CROWDS[key], f"{len(members)} of them", members))
        return tuple(found)

    def steps(self, first: int = 0, most: int = MOST_STEPS) -> tuple[Step, ...]:
        """The steps from `first` on, `most` at most, in the order of their sending."""
        places = {each.key: index for index, each in enumerate(self.lifelines(first, most))}
        left = _MOST_READ
        found = []
        for index in range(first, min(first + most, len(self._steps))):
            numbers = tuple(self._steps[index])
            gist, read = self._gist(numbers, left)
            left -= read
            found.append(self._step(numbers, places, self._kinds[index], gist))
        return tuple(found)

    def _step(
        self, numbers: tuple[int, ...], places: dict[str, int], kind: tuple[str, str, str, str | None], gist: str
    ) -> Step:
        told = self._run.trace[numbers[0]]
        source, target, act, exchange = kind
        sender, receiver = account_name(told.sender), account_name(told.receiver)
        if len(numbers) > 1:
            all_told = [self._run.trace[each] for each in numbers]
            sender = crowd(tuple(dict.fromkeys(each.sender for each in all_told)), self._run.roles)
            receiver = crowd(tuple(dict.fromkeys(each.receiver for each in all_told)), self._run.roles)
        return Step(
            numbers,
            told.at.astimezone(self._run.zone),
            places[source],
            places[target],
            sender,
            receiver,
            act,
            exchange,
            named(exchange),
            gist,
            told.conversation_id,
            min((self.reading(each) for each in numbers), key=_WORST.index),
            self._begins(numbers) if self.whole else "",
        )

    def _begins(self, numbers: tuple[int, ...]) -> str:
        """Which conversations these messages open: "fipa-request dso-40", "3 of fipa-propose"."""
        told = [self._run.trace[each] for each in numbers[:_MOST_READ]]
        opened = [each for each in told if self._begun(each.conversation_id) == each.number]
        if not opened:
            return ""
        protocol = opened[0].protocol
        return f"{protocol} {opened[0].conversation_id}" if len(opened) == 1 else f"{len(opened)} of {protocol}"

    def reading(self, wanted: int) -> Reading:
        """How a message fits into its conversation; one that repeats another's id with other words is broken."""
        reading = self._list.reading(wanted)
        if reading is not Reading.REPEATED:
            return reading
        trace = self._run.trace
        told = trace[wanted]
        numbers = trace.conversations[told.conversation_id]
        for each in numbers[: bisect_left(numbers, wanted)]:
            first = trace[each]
            if (first.reply_with, first.sender, first.receiver) == (told.reply_with, told.sender, told.receiver):
                return reading if self.message(each) == self.message(wanted) else Reading.BROKEN
        return reading

    def message(self, wanted: int) -> AclMessage | None:
        """The message of this number; None where the trace cannot be read any more."""
        try:
            return self._run.trace.entry(wanted).message
        except (TraceError, IndexError):
            return None

    def entry(self, wanted: int) -> Opened | None:
        """The message of this number with its head in words; None where the trace cannot be read any more."""
        message = self.message(wanted)
        if message is None:
            return None
        at = self._run.trace[wanted].at.astimezone(self._run.zone)
        return Opened(message, at, line(message, at), self.reading(wanted))

    def _gist(self, numbers: tuple[int, ...], left: int) -> tuple[str, int]:
        """What a step says, and how many messages had to be read for it: words that all have said, else their power."""
        key = (numbers[0], len(numbers))
        if (known := self._gists.get(key)) is not None:
            return known, 0
        if len(numbers) > min(_MOST_OF_A_STEP, left) and len(numbers) > 1:
            return "", 0
        read = [message for each in numbers if (message := self.message(each)) is not None]
        at = self._run.trace[numbers[0]].at.astimezone(self._run.zone)
        words = list(dict.fromkeys(says(message, at) for message in read))
        told = words[0] if len(words) == 1 else ""
        powers = [power_kw(message) for message in read]
        if len(words) > 1 and None not in powers:
            told = f"{number(fsum(power for power in powers if power is not None), 1)} kW in all"
        self._gists[key] = told
        return told, len(read)

    def links(self) -> list[Link]:
        """The conversations that belong to this one, in the order of their beginning."""
        known = self._list.all
        if not self.known:
            return []
        found = []
        for name, ids in self._list.belonging.related(self.conversation_id).items():
            other = known.get(name)
            if other is not None and other.protocol != Protocol.SUBSCRIBE:
                at = other.opened.astimezone(self._run.zone)
                before = self._begun(name) < self._begun(self.conversation_id)
                title = named(other.exchange) or other.protocol
                found.append(Link(name, at, title, self._list.who(other), self._list.word(name), ids, before))
        return sorted(found, key=lambda link: self._begun(link.conversation_id))
