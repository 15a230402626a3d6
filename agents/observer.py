"""The observer: reads along, and writes the trace. It can change nothing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TextIO

from agents.actor import Actor
from agents.watchers import Watchers
from behaviours.chat import Chat
from behaviours.outsiders import turned_down
from behaviours.ports import Letter, UnsendableError
from behaviours.post import bare, check_sendable
from behaviours.publishing import Publisher
from behaviours.stanzas import to_xml
from behaviours.swarm import Swarm
from protocols.acl import AclMessage
from protocols.roles import Role
from protocols.trace import header_line, message_line

log = logging.getLogger("gridparley.observer")

MAX_EARLY = 100
"""So many letters from outside are kept that come while the observer is logging in."""

Follower = Callable[[datetime, AclMessage], None]


class TraceWriter:
    """Implements `behaviours.ports.Recorder`: a line for each message as it was sent, whole lines only.

    Times are written in the demonstrator's own zone. `heard` is told of each message, for whoever shows progress; so
    are those who `follow`, whose errors never reach the swarm.
    """

    def __init__(
        self,
        path: Path,
        *,
        scenario: str,
        seed: int,
        roles: Mapping[str, Role],
        zone: tzinfo,
        heard: Callable[[AclMessage], None] = lambda message: None,
    ) -> None:
        self.roles = dict(roles)
        self.zone = zone
        self._file: TextIO = path.open("w", encoding="utf-8", newline="\n")
        self._heard = heard
        self._followers: list[Follower] = []
        self.messages = 0
        self.exchanges: Counter[str] = Counter()
        self.malformed: list[str] = []
        self._file.write(header_line(scenario, seed, roles) + "\n")

    def record(self, at: datetime, message: AclMessage) -> None:
        self._file.write(message_line(message, at.astimezone(self.zone)) + "\n")
        self.messages += 1
        if message.exchange is not None:
            self.exchanges[message.exchange] += 1
        self._heard(message)
        for follower in tuple(self._followers):
            try:
                follower(at, message)
            except Exception as error:
                self._followers.remove(follower)
                log.debug("a follower of the trace hears no more", exc_info=True)
                self.complain(f"a watcher's part has failed and shows no more of this run: {error!r}")

    def follow(self, heard: Follower) -> None:
        """From now on `heard` is told of each message, with its scenario time in UTC, after it was written.

        One that raises an error is told of nothing more.
        """
        self._followers.append(heard)

    def complain(self, text: str) -> None:
        """Where a line about a follower's error goes. The observer puts its notice in this place."""
        log.error("%s", text)

    def record_malformed(self, at: datetime, sender: str, receiver: str, faults: Sequence[str]) -> None:
        self.malformed.append(f"{sender} to {receiver}: {'; '.join(faults)}")

    def flush(self) -> None:
        """What was written so far is in the file."""
        self._file.flush()

    def close(self) -> None:
        """Ends the trace."""
        self._file.close()


class Observer(Actor):
    """Registers like every agent, so that watchers find it in the directory; what it keeps is the trace.

    `watchers` (bare JIDs, or domains for everybody there) may write to it, and are shown what is said; see `HELP`. Acts
    of agents outside are turned down, and are no part of the trace: nothing that a watcher writes changes anything.
    `paid` tells what came to be paid in the run.
    """

    role: ClassVar[Role] = Role.OBSERVER
    services = ("trace",)

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        writer: TraceWriter,
        watchers: Sequence[str] = (),
        paid: Callable[[], Mapping[Any, Decimal]] | None = None,
        title: str = "",
    ) -> None:
        super().__init__(jid, password, swarm)
        self.writer = writer
        self.admitted = tuple(watchers)
        self.watchers: Watchers | None = None
        self._paid = paid
        self._title = title
        self._publisher: Publisher | None = None
        self._chat: Chat | None = None
        self._numbers = count(1)
        self._early: list[Letter] = []

    # --- life

    async def connect(self) -> None:
        """Logs in; from then on watchers are answered."""
        await super().connect()
        self.writer.complain = self.notice  # type: ignore[method-assign]
        if self.link is None:
            return
        self._chat = Chat(self.link, self.notice)
        self.watchers = Watchers(
            self._chat,
            admitted=self.admitted,
            roles=self.writer.roles,
            zone=self.writer.zone,
            notice=self.notice,
        )
        self.watchers.messages = self.writer.messages
        self.link.lost = self.watchers.gone
        if self.admitted:
            self.writer.follow(self.watchers.heard)
        while self._early:
            self.deliver(self._early.pop(0))

    async def setup(self) -> None:
        """Makes the rooms and nodes, where the run has any."""
        if self.link is None or not self.swarm.publish:
            return
        self._publisher = Publisher(
            self.link,
            self.address.partition("@")[2],
            roles=set(self.writer.roles.values()),
            title=self._title,
            watchers=self.admitted,
            zone=self.writer.zone,
            notice=self.notice,
            tell=log.info,
        )
        await self._publisher.begin(number=self.writer.messages)
        self.writer.follow(self._publisher.heard)

    async def stop(self) -> None:
        """Tells those who watch that the run has ended, and leaves."""
        if self._publisher is not None:
            await self._publisher.end()
        if self.watchers is not None:
            await self.watchers.end(self._money())
        await super().stop()

    def _money(self) -> str:
        if self._paid is None:
            return ""
        try:
            return f"{sum(self._paid().values(), Decimal()):.2f} EUR paid"
        except Exception:  # a word less to watchers; the ledger's own errors are told elsewhere
            log.debug("what was paid cannot be told", exc_info=True)
            return ""

    # --- hearing

    def deliver(self, letter: Letter) -> None:
        """Answers people and agents outside at once; what those of the run say goes its ordinary way."""
        if self.swarm.server is None or self.swarm.post.is_local(bare(letter.sender)):
            super().deliver(letter)
        elif self.watchers is None or self._chat is None:
            self._early += [letter] if len(self._early) < MAX_EARLY else []
        elif self._publisher is not None and self._publisher.is_mine(letter.sender):
            return
        elif "performative" in letter.metadata:
            self._turn_down(letter, self._chat)
        else:
            self._let_into_rooms(letter.sender)
            self.watchers.asked(letter.sender, letter.body, self.now())

    def _let_into_rooms(self, jid: str) -> None:
        if self._publisher is not None and self.watchers is not None and self.watchers.is_admitted(jid):
            self._publisher.admit(bare(jid))

    def _turn_down(self, letter: Letter, chat: Chat) -> None:
        if not chat.may_say(letter.sender):
            return
        answer = turned_down(letter, self.role, next(self._numbers))
        if answer is not None and self.link is not None:
            sent = Letter(self.address, letter.sender, answer.body(), answer.metadata(), answer.conversation_id)
            with suppress(UnsendableError):
                check_sendable(sent)
                self.link.write(to_xml(sent, letter.sender, answer.reply_with[:100]))
