"""Those who watch a run by chat: what they may ask, what each is shown, what they are told. Watching is reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from difflib import get_close_matches
from functools import cached_property

from behaviours.chat import Chat, Line
from behaviours.post import bare
from protocols import telling
from protocols.acl import AclMessage
from protocols.roles import Role
from protocols.standing import Standing, Standings
from protocols.trace import message_line

MAX_WATCHERS = 100
"""So many clients may watch at once."""
MAX_STRANGERS = 200
"""Of so many who are not admitted the user is told."""
MAX_QUESTION = 500
"""Characters of a message that are read."""
MAX_NAMES = 3
"""So many of the peers of a conversation stand in its heading."""
ALL = "all"
COMMANDS = ("watch", "stop", "status", "help")
OPEN = ("open", "cancelling", "awarded", "agreed")
"""The words of `Standing.state` for a negotiation that goes on."""

HELP = """I show what the agents of this run say to each other, one line a message.
watch buc6: the use case BUC 6 (buc1 to buc7), or watch all
watch vpp: all agents of a role; watch vpp-1: one agent; several at once: watch buc1 buc6 dso
watch buc6 json: each message as a line of JSON, as in the trace; watch buc6 text: in words again
stop buc6, or stop: no more of that, or of anything
status: the scenario's time, what is being negotiated, and what you watch"""

_POLITE = ("", "and", "please", "the")
_BUC = re.compile(r"\bbuc[\s_-]*(\d)\b")


class _Told:
    """A message as the watchers see it, in words or as JSON, each made when the first one wants it."""

    def __init__(self, at: datetime, message: AclMessage, standing: Standing) -> None:
        self._at = at
        self._message = message
        self._standing = standing

    @cached_property
    def line(self) -> Line:
        text = telling.line(self._message, self._at, exchange=self._standing.exchange)
        return Line(self._message.conversation_id, _heading(self._standing, self._at), text)

    @cached_property
    def json(self) -> Line:
        return Line(self._message.conversation_id, "", message_line(self._message, self._at))


@dataclass(frozen=True, slots=True)
class Topic:
    """What can be watched: the conversations of use cases, and what these agents say and hear."""

    name: str
    cases: frozenset[str]
    jids: frozenset[str] = frozenset()

    def has(self, use_case: str, message: AclMessage) -> bool:
        return use_case in self.cases or message.sender in self.jids or message.receiver in self.jids


@dataclass(slots=True)
class _Watcher:
    topics: dict[str, Topic] = field(default_factory=dict)
    json: bool = False


class Watchers:
    """Who watches what, by full JID: one person at two clients is two watchers.

    `admitted` are bare JIDs, or domains for everybody there; `roles` those of the run's agents by JID. `notice` is told
    of whoever is not admitted.
    """

    def __init__(
        self,
        chat: Chat,
        *,
        admitted: Sequence[str],
        roles: Mapping[str, Role],
        zone: tzinfo,
        notice: Callable[[str], None],
    ) -> None:
        self._chat = chat
        self._admitted = frozenset(entry.lower() for entry in admitted)
        self._zone = zone
        self._notice = notice
        self._topics = topics(roles)
        # Hundreds of drivers' names are no hint to anybody, and looking through them would hold the swarm up.
        self._hints = [name for name, topic in self._topics.items() if topic.cases or not name[-1:].isdigit()]
        self._watchers: dict[str, _Watcher] = {}
        self._strangers: set[str] = set()
        self._standings = Standings()
        self._open: dict[str, Standing] = {}
        """Those that were open when something was last said in them."""
        self.messages = 0

    def __len__(self) -> int:
        return len(self._watchers)

    # --- what they are shown

    def heard(self, at: datetime, message: AclMessage) -> None:
        """Takes a message that was said at `at` (scenario time) on for those who watch it."""
        self.messages += 1
        standing = self._standings.take(at, message)
        if standing.state(at) in OPEN:
            self._open[standing.conversation_id] = standing
        else:
            self._open.pop(standing.conversation_id, None)
        if not self._watchers:
            return
        told = _Told(at.astimezone(self._zone), message, standing)
        for jid, watcher in self._watchers.items():
            if any(topic.has(standing.use_case, message) for topic in watcher.topics.values()):
                self._chat.put(jid, told.json if watcher.json else told.line)

    def gone(self, jid: str) -> None:
        """This client, or all of a bare JID, cannot be reached any more: it is forgotten, until it asks again."""
        for each in [jid] if "/" in jid else [one for one in self._watchers if bare(one) == jid]:
            self._watchers.pop(each, None)
            self._chat.close(each)

    async def end(self, paid: str) -> None:
        """The last line to everybody: what the run came to; `paid` says it in money, and may be empty."""
        money = f", {paid}" if paid else ""

        def last(jid: str) -> str:
            missing = self._chat.left_out(jid)
            shown = f"; {_many(missing, 'line')} not shown to you" if missing else ""
            return f"{telling.ENDED}: {_many(self.messages, 'message')}{money}{shown}."

        await self._chat.end(last)
        self._watchers.clear()

    # --- what they ask

    def is_admitted(self, jid: str) -> bool:
        """Whether this person may watch."""
        person = bare(jid).lower()
        return person in self._admitted or person.rpartition("@")[2] in self._admitted

    def asked(self, jid: str, text: str, now: datetime) -> None:
        """Answers what somebody wrote from the client `jid`, at `now` (scenario time)."""
        if not self.is_admitted(jid):
            self._turn_away(jid)
        elif text.strip() and self._chat.may_say(jid, noted=True):
            self._chat.say(jid, self._answer(jid, text[:MAX_QUESTION], now.astimezone(self._zone)))

    def _turn_away(self, jid: str) -> None:
        person = bare(jid)
        if person in self._strangers or len(self._strangers) >= MAX_STRANGERS or not self._chat.may_say(jid):
            return
        self._strangers.add(person)
        self._chat.say(jid, f"{telling.NOT_ADMITTED} to watch this run: ask whoever runs it.")
        self._notice(
            f"{telling.visible(person)} asked to watch and is not admitted: name it with --watcher, or in --admit"
        )

    def _answer(self, jid: str, text: str, now: datetime) -> str:
        command, *words = _words(text)
        match command:
            case "watch":
                return self._watch(jid, words)
            case "stop":
                return self._stop(jid, words)
            case "status":
                return self._status(jid, now)
            case "help" | "?":
                return HELP
        nearest = get_close_matches(command, COMMANDS, 1, 0.5)
        meant = f"did you mean {nearest[0]}? " if nearest else ""
        return f"I do not know {_quoted(command)}: {meant}help says what I understand."

    def _watch(self, jid: str, words: Sequence[str]) -> str:
        names = [word for word in words if word not in ("json", "text")]
        known, unknown = self._found(names)
        watcher = self._watchers.get(jid)
        if not known and (names or watcher is None):
            return unknown or "Watch what? A use case (watch buc6), a role (watch vpp), an agent, or watch all."
        if watcher is None:
            if len(self._watchers) >= MAX_WATCHERS:
                return f"{MAX_WATCHERS} clients watch already: wait until one of them stops."
            watcher = self._watchers[jid] = _Watcher()
            self._chat.open(jid)
        watcher.topics.update({topic.name: topic for topic in known})
        if len(names) < len(words):
            watcher.json = "json" in words
        return f"You watch {_listed(watcher.topics)}{', as JSON' if watcher.json else ''}. {unknown}".strip()

    def _stop(self, jid: str, words: Sequence[str]) -> str:
        watcher = self._watchers.get(jid)
        if watcher is None:
            return "You watch nothing."
        known, unknown = self._found(words)
        if not words or ALL in words:
            watcher.topics.clear()
        elif not known:
            return unknown
        for topic in known:
            watcher.topics.pop(topic.name, None)
        if not watcher.topics:
            self.gone(jid)
            return "You watch nothing any more."
        return f"You still watch {_listed(watcher.topics)}. {unknown}".strip()

    def _found(self, names: Iterable[str]) -> tuple[list[Topic], str]:
        """The topics of these names, and a line on those that there are not."""
        known, unknown = [], []
        for name in names:
            topic = self._topics.get(name.partition("@")[0] if "@" in name else name)
            if topic is not None:
                known.append(topic)
            else:
                unknown.append(name)
        if not unknown:
            return known, ""
        told = []
        for name in unknown[:MAX_NAMES]:
            nearest = get_close_matches(name, self._hints, 1, 0.5)
            told.append(_quoted(name) + (f" (did you mean {nearest[0]}?)" if nearest else ""))
        return known, f"There is no use case, role or agent called {', '.join(told)}."

    def _status(self, jid: str, now: datetime) -> str:
        self._open = {name: each for name, each in self._open.items() if each.state(now) in OPEN}
        open_now = Counter(each.use_case for each in self._open.values())
        cases = [f"{number} of {case}" for case, number in sorted(open_now.items()) if case != telling.PLATFORM]
        lines = [
            f"It is {now:%a %d %b %Y %H:%M:%S} in the run; {_many(self.messages, 'message')} so far.",
            f"Open negotiations: {', '.join(cases) or 'none'}.",
        ]
        if (watcher := self._watchers.get(jid)) is None:
            return "\n".join([*lines, "You watch nothing."])
        missing = self._chat.left_out(jid)
        shown = f"{_many(missing, 'line')} left out" if missing else "no line left out"
        return "\n".join(
            [*lines, f"You watch {_listed(watcher.topics)}: {shown}, {self._chat.waiting(jid)} on the way."]
        )


def topics(roles: Mapping[str, Role]) -> dict[str, Topic]:
    """Everything that can be watched in a run with these roles (by JID), by its name in small letters."""
    found = {ALL: Topic(ALL, frozenset(telling.USE_CASES))}
    found |= {case: Topic(case, frozenset({case})) for case in telling.USE_CASES}
    named: dict[str, set[str]] = {}
    for jid, role in roles.items():
        for name in {str(role), str(role).replace("_", "-"), jid.partition("@")[0].lower()}:
            named.setdefault(name, set()).add(jid)
    return {name: Topic(name, frozenset(), frozenset(jids)) for name, jids in named.items()} | found


def _words(text: str) -> list[str]:
    """The words of a command in small letters: "Watch BUC 6, VPP." is watch, buc6, vpp. Only the first line counts."""
    first = text.strip().splitlines()[0].lower()
    words = [word.strip(".!?;:'\"") for word in _BUC.sub(r"buc\1", first).replace(",", " ").split()]
    return [word for word in words if word not in _POLITE] or ["?"]


def _heading(standing: Standing, at: datetime) -> str:
    """What a conversation is about, who began it with whom, and on which day."""
    about = telling.named(standing.exchange) or "conversation"
    peers = [telling.visible(peer.partition("@")[0]) for peer in standing.states]
    more = f" and {len(peers) - MAX_NAMES} more" if len(peers) > MAX_NAMES else ""
    ends = f"{telling.visible(standing.initiator.partition('@')[0])} with {', '.join(peers[:MAX_NAMES])}{more}"
    return f"{standing.use_case} {about}: {ends} ({at:%a %d %b}, {telling.visible(standing.conversation_id)})"


def _listed(names: Iterable[str]) -> str:
    titled = [f"{name} ({telling.USE_CASES[name]})" if name in telling.USE_CASES else name for name in names]
    return titled[0] if len(titled) == 1 else f"{', '.join(titled[:-1])} and {titled[-1]}"


def _quoted(word: str) -> str:
    return f'"{telling.visible(word[:40])}"'


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
