"""The list of a run's conversations: how they stand, found by use case, state, agent and free text, page by page.

It follows the moment that the page shows: it takes on what was sent since, and begins again when that moment moves
back.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import heappop, heappush

from environment.report.words import CROWDS, account_name
from environment.watched.belonging import Belonging
from environment.watched.outcome import outcome
from environment.watched.run import WatchedRun
from protocols.acl import Protocol
from protocols.dialogues import EXCHANGES
from protocols.standing import WORDS, Reading, Standing, Standings
from protocols.telling import PLATFORM, USE_CASES, named

PAGE = 50
"""So many conversations stand on one page of the list."""
EVERYTHING = "all"
"""As a use case: the platform's conversations as well."""
AGAINST = "against the protocol"
"""As a state: those that have a message out of sequence or after a reply-by."""
BUDGET = 2_500
"""So many messages are taken on in one refresh, so that the page answers meanwhile."""
_AGAIN = 10_000
"""So many where the list begins again, which somebody waits for."""
_MOST_READ = 60
"""So many messages of one conversation are read for its line in the list."""
_MOST_KEPT = 2_000
_MOST_NAMES = 3
_MOST_PEERS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """Which conversations are asked for. `use_case` None: every use case of D5.1; `state`: a word of
    `protocols.standing.WORDS`, or AGAINST; `agent`: a JID that opened or was asked; `text`: words that are
    all in names or ids.
    """

    use_case: str | None = None
    state: str | None = None
    agent: str | None = None
    text: str = ""
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One conversation in the list; times in the run's zone, `broken` counts what is against the protocol."""

    conversation_id: str
    opened: datetime
    last: datetime
    use_case: str
    title: str
    who: str
    messages: int
    state: str
    outcome: str
    broken: int


@dataclass(frozen=True, slots=True)
class Found:
    """One page of what was found; `page` counts from 0, `total` conversations were found in all."""

    lines: tuple[Line, ...]
    total: int
    page: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // PAGE))


class Negotiations:
    """Every conversation of a run up to the moment shown."""

    def __init__(self, run: WatchedRun) -> None:
        self.run = run
        self.version = 0
        self.belonging = Belonging(run.trace.path)
        self._generation = run.trace.generation
        self._outcomes: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._begin()

    def _begin(self) -> None:
        self._standings = Standings()
        self._taken = 0
        self._at: datetime | None = None
        self._words: dict[str, str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._due: list[tuple[datetime, str]] = []
        self._readings: dict[int, Reading] = {}
        self._broken = 0
        self._against: Counter[str] = Counter()
        self._agents: dict[str, None] = {}
        self._texts: dict[str, tuple[int, str]] = {}
        self._last: tuple[int, Choice, list[Standing]] | None = None
        self._budget = BUDGET

    # --- keeping up

    def refresh(self) -> None:
        """Takes on what the run shows by now, a bounded number of messages at once."""
        run = self.run
        if run.trace.generation != self._generation:
            self._generation = run.trace.generation
            self.belonging = Belonging(run.trace.path)
            self._outcomes.clear()
            self._begin()
            self.version += 1
        if run.messages < self._taken or (self._at is not None and run.at is not None and run.at < self._at):
            self._begin()
            self._budget = _AGAIN
            self.version += 1
        until = min(run.messages, self._taken + self._budget)
        if until == self._taken and run.at == self._at:
            return
        new = [run.trace[number] for number in range(self._taken, until)]
        self.belonging.read_on(new)
        for told in new:
            standing = self._standings.take(told.at, told)
            if standing.reading is not Reading.IN_SEQUENCE:
                self._readings[told.number] = standing.reading
                if standing.reading in (Reading.LATE, Reading.BROKEN):
                    self._broken += 1
                    self._against[standing.use_case] += standing.broken == 1
            self._agents[told.sender] = self._agents[told.receiver] = None
            self._tell(standing, told.at)
        self._taken = until
        changed = bool(new)
        if until == run.messages and run.at is not None:
            self._at = run.at
            self._budget = BUDGET
            changed = self._expire(run.at) or changed
        self.version += changed

    def _tell(self, standing: Standing, now: datetime) -> None:
        """Counts the word of a conversation that has just moved, and remembers when time alone will change it."""
        name, word = standing.conversation_id, standing.state(now)
        known = self._words.get(name)
        if known != word:
            if known is not None:
                self._counts[standing.use_case, known] -= 1
            self._counts[standing.use_case, word] += 1
            self._words[name] = word
        if (due := standing.due(now)) is not None:
            heappush(self._due, (due, name))

    def _expire(self, now: datetime) -> bool:
        """Looks again at what time alone has changed; whether there was any."""
        looked = False
        while self._due and self._due[0][0] < now:
            self._tell(self._standings.all[heappop(self._due)[1]], now)
            looked = True
        return looked

    # --- what there is

    @property
    def ready(self) -> bool:
        """Whether everything up to the moment shown was taken on."""
        return self._taken == self.run.messages

    @property
    def share(self) -> float:
        """The part of the messages that was taken on, 0 to 1."""
        return self._taken / self.run.messages if self.run.messages else 1.0

    @property
    def all(self) -> Mapping[str, Standing]:
        """Every conversation by its id, in the order of their beginning."""
        return self._standings.all

    @property
    def broken(self) -> int:
        """How many messages were out of sequence or after a reply-by."""
        return self._broken

    @property
    def agents(self) -> list[str]:
        """The JIDs of all who said or heard anything, the crowds of drivers last."""
        return sorted(self._agents, key=lambda jid: (self.run.roles.get(jid) in CROWDS, jid))

    def reading(self, number: int) -> Reading:
        """How the message of this number fits into its conversation."""
        return self._readings.get(number, Reading.IN_SEQUENCE)

    def word(self, conversation_id: str) -> str:
        """How the conversation stands at the moment shown, in one word."""
        return self._words[conversation_id]

    def use_cases(self) -> dict[str, int]:
        """How many conversations each use case has, in the order of D5.1; none that has none."""
        counts: Counter[str] = Counter()
        for (use_case, _), many in self._counts.items():
            counts[use_case] += many
        return {name: counts[name] for name in USE_CASES if counts[name]}

    def states(self, use_case: str | None = None) -> dict[str, int]:
        """How many conversations of the use case (as in `Choice`) stand at each word, and how many are AGAINST; none
        that has none.
        """
        counts: Counter[str] = Counter()
        for (name, word), many in self._counts.items():
            if _within(name, use_case):
                counts[word] += many
        against = sum(many for name, many in self._against.items() if _within(name, use_case))
        return {word: counts[word] for word in WORDS if counts[word]} | ({AGAINST: against} if against else {})

    def find(self, choice: Choice, page: int = 0) -> Found:
        """One page of the conversations that are asked for; a page beyond the last is the last."""
        found = self._chosen(choice)
        page = max(0, min(page, (len(found) - 1) // PAGE))
        lines = tuple(self.line(each) for each in found[page * PAGE : (page + 1) * PAGE])
        return Found(lines, len(found), page)

    def line(self, standing: Standing) -> Line:
        """What the list says of a conversation."""
        name, zone = standing.conversation_id, self.run.zone
        return Line(
            name,
            standing.opened.astimezone(zone),
            standing.last.astimezone(zone),
            standing.use_case,
            named(standing.exchange) or standing.protocol,
            self.who(standing),
            standing.messages,
            self._words[name],
            self._outcome(standing),
            standing.broken,
        )

    def who(self, standing: Standing) -> str:
        """Who asked whom: "dso with vpp1 and vpp2", "cpo1 with 12 EV owners"."""
        return f"{account_name(standing.initiator)} with {crowd(tuple(standing.states), self.run.roles)}"

    def peers(self, standing: Standing) -> tuple[str, ...]:
        """How it stands with each of several peers, and until when something is awaited; of many nothing."""
        now = self.run.at
        if now is None or len(standing.states) > _MOST_PEERS:
            return ()
        told = []
        for peer in standing.states:
            state, due = standing.state_of(peer, now), standing.reply_by.get(peer)
            waits = f", a reply is due by {due.astimezone(self.run.zone):%H:%M:%S}" if due and due >= now else ""
            if waits or len(standing.states) > 1:
                told.append(f"{account_name(peer)}: {state}{waits}")
        return tuple(told)

    # --- how it is found

    def _chosen(self, choice: Choice) -> list[Standing]:
        if self._last is not None and self._last[:2] == (self.version, choice):
            return self._last[2]
        words = choice.text.lower().split()
        found = [each for each in self._standings.all.values() if self._fits(each, choice, words)]
        if choice.newest_first:
            found.reverse()
        self._last = (self.version, choice, found)
        return found

    def _fits(self, standing: Standing, choice: Choice, words: list[str]) -> bool:
        if not _within(standing.use_case, choice.use_case):
            return False
        if choice.state == AGAINST:
            if not standing.broken:
                return False
        elif choice.state is not None and self._words[standing.conversation_id] != choice.state:
            return False
        if choice.agent is not None and choice.agent != standing.initiator and choice.agent not in standing.states:
            return False
        if not words:
            return True
        text = self._text(standing)
        return all(word in text for word in words)

    def _text(self, standing: Standing) -> str:
        known = self._texts.get(standing.conversation_id)
        if known is not None and known[0] == standing.messages:
            return known[1]
        text = "\n".join(_searched(standing, self.belonging.ids(standing.conversation_id))).lower()
        self._texts[standing.conversation_id] = standing.messages, text
        return text

    def _outcome(self, standing: Standing) -> str:
        key = (standing.conversation_id, standing.messages)
        if (known := self._outcomes.get(key)) is not None:
            self._outcomes.move_to_end(key)
            return known
        trace = self.run.trace
        numbers = trace.conversations[standing.conversation_id][: standing.messages]
        if standing.protocol == Protocol.SUBSCRIBE and len(numbers) > 2:
            numbers = [numbers[0], numbers[-1]]
        elif len(numbers) > _MOST_READ:
            numbers = [*numbers[: _MOST_READ - 1], numbers[-1]]
        told = outcome([trace.entry(number).message for number in numbers], standing.last.astimezone(self.run.zone))
        self._outcomes[key] = told
        if len(self._outcomes) > _MOST_KEPT:
            self._outcomes.popitem(last=False)
        return told


def crowd(jids: tuple[str, ...], roles: Mapping[str, str]) -> str:
    """Several agents in words: their names, or how many they are."""
    if not jids:
        return "nobody"
    if len(jids) <= _MOST_NAMES:
        return " and ".join(account_name(jid) for jid in jids)
    kinds = Counter(CROWDS.get(roles.get(jid, ""), "agents") for jid in jids)
    return " and ".join(f"{many} {kind}" for kind, many in kinds.items())


def _within(use_case: str, asked: str | None) -> bool:
    return asked == EVERYTHING or (use_case != PLATFORM if asked is None else use_case == asked)


def _searched(standing: Standing, ids: tuple[str, ...]) -> Iterator[str]:
    """What free text is looked for in."""
    yield standing.conversation_id
    yield standing.initiator
    yield from standing.states
    yield from ids
    yield standing.protocol
    yield USE_CASES.get(standing.use_case, standing.use_case)
    yield standing.use_case
    if standing.exchange is not None:
        yield standing.exchange
        if standing.exchange in EXCHANGES:
            yield EXCHANGES[standing.exchange].name
