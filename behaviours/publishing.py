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

from slixmpp import JID
from slixmpp.jid import InvalidJID
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from behaviours.link import Link
from behaviours.nodes import Node
from behaviours.post import bare
from behaviours.rooms import LINES_AT_ONCE, TAKEN, Room
from behaviours.services import ServiceError, Services, discover
from behaviours.stanzas import CLIENT
from behaviours.told import Told
from protocols.acl import AclMessage
from protocols.dialogues import DIALOGUES
from protocols.roles import Role
from protocols.telling import ENDED, PLATFORM, USE_CASES, UseCases, use_case

log = logging.getLogger("gridparley.publishing")

FLUSH_S = 0.25
"""Lines of so long (wall time) go into a room together."""
BEGIN_S = 20.0
END_S = 10.0
"""How long (wall time) the run waits at most for rooms and nodes at its beginning, and for what is left at its end."""
TRIES = 5
RETRY_S = 10.0
"""How often and after how long (wall time) what cannot be opened again after a break is tried once more."""
ALL = "all"


def room_name(name: str) -> str:
    """The local part of the room of a use case, or of all."""
    return f"gridparley-{name}"


def node_name(name: str) -> str:
    """The node of a use case, or of all."""
    return f"gridparley/{name}"


def spoken(roles: Collection[Role]) -> list[str]:
    """The use cases in which these roles have something to say to each other, in order."""
    found = {
        use_case(dialogue.opening.exchange)
        for dialogue in DIALOGUES
        if dialogue.participant in roles and (dialogue.initiator is None or dialogue.initiator in roles)
    }
    return sorted(found - {PLATFORM})


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
        self._names = [*spoken(roles), ALL]
        self._title = title
        admitted = list(dict.fromkeys(_prepared(watcher) for watcher in watchers))
        self._watchers = [watcher for watcher in admitted if "@" in watcher]
        self._domains = [watcher for watcher in admitted if "@" not in watcher]
        self._zone = zone
        self._notice = notice
        self._tell = tell
        self._me = bare(link.agent.address)
        self._use_cases = UseCases()
        self._number = 0
        self.rooms: dict[str, Room] = {}
        self.nodes: dict[str, Node] = {}
        self._said: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None

    async def begin(self, number: int = 0) -> None:
        """Finds the services, makes rooms and nodes, and says what there is; `number` messages were recorded before.

        Scenario time stands still meanwhile. Never raises.
        """
        self._number = number
        if not self._watchers and not self._domains:
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
        self.rooms = {name: room for name, room in self.rooms.items() if room.is_open}
        self.nodes = {name: node for name, node in self.nodes.items() if node.is_open}

    def heard(self, at: datetime, message: AclMessage) -> None:
        """Takes a message that was recorded at `at` (scenario time) on for its rooms and nodes."""
        number, self._number = self._number, self._number + 1
        if not self.rooms and not self.nodes:
            return
        exchange = self._use_cases.exchange_of(message)
        told = Told(number, at.astimezone(self._zone), message, exchange)
        for name in (use_case(exchange), ALL):
            for place in (self.rooms.get(name), self.nodes.get(name)):
                if place is not None:
                    place.outbox.put(told)
        self._wake()

    def admit(self, jid: str) -> None:
        """Lets one more in: somebody of a domain that is admitted, since few servers take a domain as a member."""
        who = _prepared(jid)
        if who not in self._watchers and (self.rooms or self.nodes):
            self._watchers.append(who)
            self._spawn(self._admit(who))

    def is_mine(self, jid: str) -> bool:
        """Whether this JID is one of the rooms, or somebody in it."""
        return any(room.jid == bare(jid) for room in self.rooms.values())

    async def end(self) -> None:
        """Says what is left, for a few seconds at most, and that the run has ended; then what was left out. Never
        raises."""
        places = self._places
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
        for text in left_out:
            self._notice(text)

    @property
    def _places(self) -> list[Room | Node]:
        return [*self.rooms.values(), *self.nodes.values()]

    # --- making rooms and nodes

    async def _begin(self) -> None:
        client = self._link.client
        try:
            services = await discover(client, self._domain)
        except ServiceError as error:
            self._notice(f"{self._domain} does not say whether it has rooms and nodes ({error}): none are made")
            return
        for silent in services.silent:
            self._notice(f"{silent} does not say what it is, and is left out: see whether that component runs")
        self._lacking(services)
        client.register_handler(Callback("gridparley presences", MatchXPath(f"{CLIENT}presence"), self._presence))
        client.register_handler(Callback("gridparley echoes", MatchXPath(f"{CLIENT}message"), self._message))
        client.register_handler(Callback("gridparley items", MatchXPath(f"{CLIENT}iq"), self._iq))
        client.add_event_handler("session_start", self._up)
        client.add_event_handler("disconnected", self._down)
        if services.rooms is not None:
            for name in self._names:
                self.rooms[name] = Room(client, services.rooms, room_name(name), self._titled(name), self._me)
        if services.nodes is not None:
            for name in self._names:
                self.nodes[name] = Node(client, services.nodes, node_name(name), self._titled(name), self._me)
        await self._open(anew=True)
        rooms = [room.jid for room in self.rooms.values() if room.is_open]
        if rooms:
            self._tell(f"rooms: {', '.join(rooms)}")
        nodes = [node.name for node in self.nodes.values() if node.is_open]
        if nodes:
            self._tell(f"PubSub nodes on {services.nodes}: {', '.join(nodes)}")
        if self._domains and (rooms or nodes):
            whoever = " or ".join(self._domains)
            self._tell(f"whoever is of {whoever} writes to {self._me} first: rooms and nodes then let them in")

    def _lacking(self, services: Services) -> None:
        if services.rooms is None:
            self._notice(
                f"{self._domain} has no rooms (XEP-0045): watch by chat with {self._me}, or add that component"
            )
        if services.nodes is None:
            self._notice(
                f"{self._domain} has no PubSub (XEP-0060): watch by chat with {self._me}, or add that component"
            )

    def _titled(self, name: str) -> str:
        return f"{self._title}: {USE_CASES.get(name, 'all messages')}"

    async def _open(self, *, anew: bool) -> None:
        """Makes what is not open; a line for what cannot be, the same line once for all."""
        why: dict[str, list[str]] = {}

        async def try_to(name: str, opening: Coroutine[Any, Any, None]) -> None:
            try:
                await opening
            except ServiceError as error:
                why.setdefault(_reason(error, self._me), []).append(name)

        rooms = (try_to(r.jid, r.open([*self._watchers, *self._domains])) for r in self.rooms.values() if not r.is_open)
        nodes = (try_to(n.name, n.open(self._watchers, anew=anew)) for n in self.nodes.values() if not n.is_open)
        await asyncio.gather(*rooms, *nodes)
        for reason, names in why.items():
            self._say_once(f"{', '.join(names)} cannot be made: {reason}")
        self._wake()

    async def _admit(self, jid: str) -> None:
        for place in self._places:
            if place.is_open:
                try:
                    await place.admit(jid)
                except ServiceError as error:
                    self._say_once(f"{jid} could not be let in everywhere: {error}")

    # --- telling

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time()
        try:
            for place in self._places:
                if self._link.is_up and place.is_open:
                    place.send(now_s)
                    if not place.outbox.is_done:
                        self._wake()
                if place.why is not None:
                    self._say_once(f"{place.name} does not take everything: {place.why}")
        except Exception as error:  # watching must never end the run
            log.exception("publishing")
            self._say_once(f"rooms and nodes are given up: {type(error).__name__}: {error}")
            self._stop()
            self.rooms, self.nodes = {}, {}
        self._idle.set()

    def _presence(self, stanza: Any) -> None:
        if (room := self._room(stanza.xml)) is not None:
            room.noticed(stanza.xml)

    def _message(self, stanza: Any) -> None:
        if (room := self._room(stanza.xml)) is not None:
            room.heard(stanza.xml)
            if len(room.outbox) >= LINES_AT_ONCE and self._link.is_up:
                room.send(asyncio.get_running_loop().time())
            self._idle.set()

    def _iq(self, stanza: Any) -> None:
        iq = stanza.xml
        if iq.get("type") in ("result", "error"):
            node = self.nodes.get((iq.get("id") or "").partition("/")[2].rpartition("-")[0])
            if node is not None and node.answered(iq):
                if len(node.outbox) and self._link.is_up:
                    node.send(asyncio.get_running_loop().time())
                self._idle.set()

    def _room(self, stanza: Any) -> Room | None:
        place = bare(stanza.get("from") or "")
        return next((room for room in self.rooms.values() if room.jid == place), None)

    def _down(self, _: object) -> None:
        for place in self._places:
            place.lost()

    def _up(self, _: object) -> None:
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self._spawn(self._open_again())

    async def _open_again(self) -> None:
        """After the connection was back: enters and makes again what has gone with the server."""
        for _ in range(TRIES):
            await self._open(anew=False)
            if all(place.is_open for place in self._places):
                return
            await asyncio.sleep(RETRY_S)

    # --- ending

    async def _end(self, place: Room | Node) -> None:
        left_out = place.outbox.dropped + len(place.outbox)
        text = f"{ENDED}: {self._number} messages" + (f", {left_out} of them not shown here" if left_out else "")
        try:
            await place.end(text if isinstance(place, Room) else json.dumps({"ended": text}))
        except ServiceError as error:
            self._say_once(f"the last line could not be said: {error}")

    def _left_out(self) -> list[str]:
        counts = {place.name: place.outbox.dropped + len(place.outbox) for place in self._places}
        return [
            f"{name}: {count} messages were not told there, the server did not keep up"
            for name, count in counts.items()
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


def _prepared(jid: str) -> str:
    """The bare JID, or domain, as servers write it."""
    try:
        return str(JID(jid).bare)
    except InvalidJID:
        return bare(jid)


def _reason(error: ServiceError, me: str) -> str:
    """What a service's refusal means, and what to do."""
    match error.condition:
        case condition if condition == TAKEN:
            whose = f"they belong to {error.text}" if error.text else "they are another's, who is not shown"
            return f"{whose}; ask the owner to destroy them, or to make {me} an owner"
        case "registration-required" | "conflict":
            return f"they are another's and closed to {me}; ask the owner or the server's administrator to destroy them"
        case "forbidden" | "not-allowed":
            return f"{me} may not make them ({error}); let the server's administrator allow it (Prosody: admins)"
        case "silent":
            return str(error)
    return f"the server answers {error}"
