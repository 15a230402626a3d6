"""The observer: reads along, and writes the trace. It can change nothing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from pathlib import Path
from typing import ClassVar, TextIO

from agents.actor import Actor
from behaviours.swarm import Swarm
from protocols.acl import AclMessage
from protocols.roles import Role
from protocols.trace import header_line, message_line


log = logging.getLogger("gridparley.observer")

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
                log.exception("a follower of the trace hears no more")
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
    """Registers like every agent, so that watchers find it in the directory; what it keeps is the trace."""

    role: ClassVar[Role] = Role.OBSERVER
    services = ("trace",)

    def __init__(self, jid: str, password: str, swarm: Swarm, *, writer: TraceWriter) -> None:
        super().__init__(jid, password, swarm)
        self.writer = writer
