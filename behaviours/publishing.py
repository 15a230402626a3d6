"""A run's messages in rooms (XEP-0045) and PubSub nodes (XEP-0060), one of each for a use case and one for all.

Watching costs the swarm next to nothing: what is heard goes into bounded queues, which timers of the wall work off as
fast as the server confirms. What finds no place is dropped, counted and said.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime, tzinfo
from typing import Any

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from behaviours.link import Link
from behaviours.nodes import Node
from behaviours.places import ALL, Places, spoken
from behaviours.post import bare
from behaviours.rooms import LINES_AT_ONCE, Room
from behaviours.services import ServiceError
from behaviours.stanzas import CLIENT
from behaviours.told import Told
from protocols.acl import AclMessage
from protocols.roles import Role
from protocols.telling import ENDED, UseCases, use_case

log = logging.getLogger("gridparley.publishing")

FLUSH_S = 0.25
"""Lines of so long (wall time) go into a room together."""
BEGIN_S = 20.0
END_S = 10.0
"""How long (wall time) the run waits at most for rooms and nodes at its beginning, and for what is left at its end."""
RETRIES_S = (0.5, 2.0, 10.0, 30.0)
"""After how long (wall time) what cannot be opened again after a break is tried once more."""


class Publisher:
    """Makes rooms and nodes with the observer's client, and tells there what it hears. `watchers` are bare JIDs, or
    domains for everybody there. `notice` is told in a line what was asked for and cannot be, `tell` what there is."""

    def __init__(
        self,
        link: Link,
        domain: str,
        *,
        roles: Collection[Role],
        title: str,
        watchers: Sequence[str],
        zone: tzinfo,
        notice: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._link = link
        self._domain = domain
        self._zone = zone
        self._notice = notice
        self._tell = tell
        me = bare(link.agent.address)
        self.places = Places(link.client, me, domain, spoken(roles), title, watchers, self._say_once, tell)
        self._use_cases = UseCases()
        self._number = 0
        self._said: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._given_up = False

    async def begin(self, number: int = 0) -> None:
        """Finds the services, makes rooms and nodes, and says what there is; `number` messages were recorded before.

        Scenario time stands still meanwhile. Never raises.
        """
        self._number = number
        if not self.places.for_anybody:
            self._tell("no rooms and no nodes: nobody may watch; --watcher JID admits somebody")
            return
        with self._link.agent.clock.outstanding():
            try:
                async with asyncio.timeout(BEGIN_S):
                    await self._begin()
            except TimeoutError:
                self._notice(f"rooms and nodes were not all made within {BEGIN_S:.0f} s: {self._domain} is too slow")
            except Exception as error:
                log.exception("rooms and nodes")
                self._notice(f"rooms and nodes could not be made: {type(error).__name__}: {error}")
        self.places.settle()

    def heard(self, at: datetime, message: AclMessage) -> None:
        """Takes a message that was recorded at `at` (scenario time) on for its rooms and nodes."""
        number, self._number = self._number, self._number + 1
        if not self.places.all:
            return
        exchange = self._use_cases.exchange_of(message)
        told = Told(number, at.astimezone(self._zone), message, exchange)
        for name in (use_case(exchange), ALL):
            for place in (self.places.rooms.get(name), self.places.nodes.get(name)):
                if place is not None:
                    place.outbox.put(told)
        self._wake()

    def admit(self, jid: str) -> None:
        """Lets one more in: somebody of a domain that is admitted, since few servers take a domain as a member."""
        if self.places.all and self.places.is_new(jid):
            self._spawn(self.places.admit(jid))

    def is_mine(self, jid: str) -> bool:
        """Whether this JID is one of the rooms, or somebody in it."""
        return any(room.jid == bare(jid) for room in self.places.rooms.values())

    async def end(self) -> None:
        """Says what is left, for a few seconds at most, and that the run has ended; then what was left out. Never
        raises."""
        places = self.places.all
        if not places:
            return
        with self._link.agent.clock.outstanding():
            try:
                self._flush()
                async with asyncio.timeout(END_S):
                    while not all(place.outbox.is_done for place in places if place.is_open):
                        self._idle.clear()
                        await self._idle.wait()
            except TimeoutError:
                log.info("not all was told at the end")
            self._stop()
            left_out = self._left_out()
            try:
                async with asyncio.timeout(END_S):
                    await asyncio.gather(*(self._end(place) for place in places))
            except TimeoutError:
                self._say_once(f"{self._domain} did not take the last lines in time")
            except Exception as error:
                log.exception("the end of rooms and nodes")
                self._say_once(f"the last lines could not be said: {type(error).__name__}: {error}")
            self.places.rooms, self.places.nodes = {}, {}  # what is still recorded is not told
        for text in left_out:
            self._notice(text)

    async def _begin(self) -> None:
        await self.places.find()
        client = self._link.client
        client.register_handler(Callback("gridparley presences", MatchXPath(f"{CLIENT}presence"), self._presence))
        client.register_handler(Callback("gridparley echoes", MatchXPath(f"{CLIENT}message"), self._message))
        client.register_handler(Callback("gridparley items", MatchXPath(f"{CLIENT}iq"), self._iq))
        client.add_event_handler("session_start", self._up)
        client.add_event_handler("disconnected", self._down)
        await self.places.open(anew=True)

    # --- telling

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        try:
            for place in self.places.all:
                if self._link.is_up and place.is_open:
                    place.send(now_s)
                    if not place.outbox.is_done:
                        self._wake()
                if not place.is_open:
                    self._reopen()
                if place.why is not None:
                    self._say_once(f"{place.name} does not take everything: {place.why}")
        except Exception as error:  # watching must never end the run
            log.exception("publishing")
            self._say_once(f"rooms and nodes are given up: {type(error).__name__}: {error}")
            self._stop()
            self.places.rooms, self.places.nodes = {}, {}
        self._idle.set()

    def _presence(self, stanza: Any) -> None:
        if (room := self.places.room_of(stanza.xml)) is not None:
            room.noticed(stanza.xml)

    def _message(self, stanza: Any) -> None:
        if (room := self.places.room_of(stanza.xml)) is not None:
            room.heard(stanza.xml)
            if len(room.outbox) >= LINES_AT_ONCE and self._link.is_up:
                room.send(asyncio.get_running_loop().time())
            self._idle.set()

    def _iq(self, stanza: Any) -> None:
        iq = stanza.xml
        if iq.get("type") in ("result", "error"):
            node = self.places.nodes.get((iq.get("id") or "").partition("/")[2].rpartition("-")[0])
            if node is not None and iq.get("from") == node.service and node.answered(iq):
                if len(node.outbox) and self._link.is_up:
                    node.send(asyncio.get_running_loop().time())
                self._idle.set()

    def _down(self, _: object) -> None:
        self.places.lost()

    def _up(self, _: object) -> None:
        self._given_up = False
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self._spawn(self._open_again())

    def _reopen(self) -> None:
        """Something was closed while the connection stands."""
        if self._link.is_up and not self._given_up and (self._opening is None or self._opening.done()):
            self._opening = self._spawn(self._open_again())

    async def _open_again(self) -> None:
        """Enters and makes again what has gone with the server, or without it."""
        for wait_s in (*RETRIES_S, 0.0):
            await self.places.open(anew=False)
            self._wake()
            if all(place.is_open for place in self.places.all):
                return
            await asyncio.sleep(wait_s)
        self._given_up = True

    # --- ending

    async def _end(self, place: Room | Node) -> None:
        left_out = place.outbox.dropped + len(place.outbox)
        text = f"{ENDED}: {self._number} messages" + (f", {left_out} of them not shown here" if left_out else "")
        try:
            await place.end(text if isinstance(place, Room) else json.dumps({"ended": text}))
        except ServiceError as error:
            self._say_once(f"the last line could not be said: {error}")

    def _left_out(self) -> list[str]:
        counts = [(place, place.outbox.dropped + len(place.outbox)) for place in self.places.all]
        return [
            f"{place.name}: {count} messages were not told there: {place.why or 'the server did not keep up'}"
            for place, count in counts
            if count
        ]

    def _stop(self) -> None:
        client = self._link.client
        client.del_event_handler("session_start", self._up)
        for task in tuple(self._tasks):
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._say_once(f"rooms and nodes: {type(error).__name__}: {error}")

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._notice(text)
