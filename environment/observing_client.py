"""What `run.py observe` does on aioxmpp: it shows what the observer says to its chat, to rooms (XEP-0045) or to nodes
(XEP-0060), until the run ends."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aioxmpp
import aioxmpp.dispatcher
import aioxmpp.misc
import aioxmpp.muc
import aioxmpp.muc.xso
import aioxmpp.ping
import aioxmpp.pubsub

from behaviours.places import node_name, room_name
from environment.observing import Login, ObserveError, Wish
from environment.observing_login import LOGIN_S, Connection
from protocols import telling, trace

BEGINS_S = 30.0
"""Wall seconds until the run's observer must be there: its server is up before it is."""
AGAIN_S = 0.5
REFUSED_S = 2.0
"""Wall seconds that a refusal must last."""
PING_S = 15.0
Show = Callable[[str], None]


class Ended(Exception):
    """The run has ended; the argument is the closing line."""


async def watch(login: Login, wish: Wish, show: Show, tell: Show) -> str:
    """Shows lines until the run ends and returns the closing line. Raises ObserveError where that is not possible.

    `tell` takes what is not a line of the run where `show` takes only such (JSON).
    """
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    sys.unraisablehook = lambda _: None  # its transports complain when they are collected
    connection = Connection(login)
    try:
        await connection.open()
        kinds: dict[str, type[Chat | Rooms | Nodes]] = {"chat": Chat, "room": Rooms, "pubsub": Nodes}
        watcher = kinds[wish.via](connection, wish, show, tell)
        begun = asyncio.ensure_future(watcher.begin())
        connection.works.append(begun)
        begun.add_done_callback(connection.work_done)
        while True:
            watcher.take(await connection.next())  # each gets what it has put there
    except Ended as ended:
        return str(ended)
    finally:
        await connection.close()


class Chat:
    """Asks the observer, as any person with a chat program does."""

    def __init__(self, connection: Connection, wish: Wish, show: Show, tell: Show) -> None:
        self.connection = connection
        self.wish = wish
        self.show = show
        self.tell = tell
        self.observer = aioxmpp.JID.fromstr(f"observer@{connection.login.domain}")
        self.full = self.observer
        self.answered, self.refused = asyncio.Event(), asyncio.Event()
        dispatcher = connection.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        for kind in (aioxmpp.MessageType.CHAT, aioxmpp.MessageType.NORMAL, aioxmpp.MessageType.ERROR):
            dispatcher.register_callback(kind, None, self._heard)

    def _heard(self, message: Any) -> None:
        if message.from_ is not None and message.from_.bare() == self.observer:
            self.connection.put(message)

    async def begin(self) -> None:
        """Asks until the observer is there: the server is up before it is."""
        async with until_it_begins(f"no observer answers at {self.observer}: is the run over, or still starting?"):
            while not self.answered.is_set():
                self.refused.clear()
                for topic in self.wish.topics:
                    message = aioxmpp.Message(to=self.observer, type_=aioxmpp.MessageType.CHAT)
                    message.body[None] = f"watch {topic}{' json' * self.wish.as_json}"
                    await self.connection.client.send(message)
                await first_of(self.answered.wait(), self.refused.wait())
                if not self.answered.is_set():
                    await asyncio.sleep(AGAIN_S)
        while True:
            await asyncio.sleep(PING_S)
            try:
                await aioxmpp.ping.ping(self.connection.client, self.full)
            except aioxmpp.errors.XMPPError:
                raise ObserveError(f"{self.observer} is gone: the run may have been stopped") from None

    def take(self, message: Any) -> None:
        """Shows what the observer wrote."""
        if message.type_ is aioxmpp.MessageType.ERROR:
            self.refused.set()
            return
        if not (text := message.body.any() if message.body else ""):
            return
        self.answered.set()
        self.full = message.from_
        if text.startswith(telling.NOT_ADMITTED):
            raise ObserveError(f"{self.observer} says: {text}")
        for line in text.split("\n"):
            if self.wish.as_json and not line.startswith("{"):
                if line.startswith(telling.ENDED):
                    raise Ended(line)
                self.tell(line)
            elif line.startswith(telling.ENDED):
                raise Ended(line)
            else:
                self.show(line)


class Rooms:
    """Sits in the rooms, and says nothing."""

    def __init__(self, connection: Connection, wish: Wish, show: Show, tell: Show) -> None:
        self.connection = connection
        self.wish = wish
        self.show = show
        self.open: set[str] = set()

    async def begin(self) -> None:
        """Enters each room as soon as the run's observer has made it: who enters first would make it."""
        services = await self.connection.services("conference")
        domain = self.connection.login.domain
        if not services:
            raise ObserveError(f"{domain} has no rooms (XEP-0045): watch by chat, which needs none")
        rooms = self.connection.client.summon(aioxmpp.MUCClient)
        disco = self.connection.client.summon(aioxmpp.DiscoClient)
        nick = f"{self.connection.login.jid.partition('@')[0]}-{secrets.token_hex(3)}"
        for topic in self.wish.topics:
            jid = aioxmpp.JID(room_name(topic), services[0].domain, None)
            await patiently(
                partial(self._enter, rooms, disco, jid, nick),
                f"the room {jid}",
                f"there is no room {jid}: does the run have this use case, with --server?",
            )

    async def _enter(self, rooms: Any, disco: Any, jid: Any, nick: str) -> None:
        """Enters a room if it is there."""
        await disco.query_info(jid, require_fresh=True, no_cache=True)
        room, entered = rooms.join(jid, nick, history=aioxmpp.muc.xso.History(maxstanzas=0), autorejoin=False)
        room.on_message.connect(self._listener(str(jid)))
        room.on_leave.connect(self._leaving(str(jid)))
        room.on_exit.connect(self._exit(str(jid)))
        try:
            async with asyncio.timeout(LOGIN_S):
                await entered
        except TimeoutError:
            raise ObserveError(f"the room {jid} does not answer") from None
        self.open.add(str(jid))

    def _exit(self, room: str) -> Callable[..., None]:
        def out(*_: Any, **__: Any) -> None:
            if room in self.open:
                self._gone(f"the room {room} has closed, or put you out")

        return out

    def _listener(self, room: str) -> Callable[..., None]:
        def heard(message: Any, member: Any, source: Any, **_: Any) -> None:
            if message.body and (member is None or not member.is_self):
                self.connection.put((room, message.body.any()))

        return heard

    def _leaving(self, room: str) -> Callable[..., None]:
        def left(member: Any, **_: Any) -> None:
            if member.nick == "observer" and room in self.open:
                self._gone(f"the observer has left the room {room}: the run may have been stopped")

        return left

    def _gone(self, why: str) -> None:
        self.connection.put(ObserveError(why))

    def take(self, heard: Any) -> None:
        """Shows what the observer wrote into the room."""
        room, text = heard
        for line in text.split("\n"):
            if not line.startswith(telling.ENDED):
                self.show(line)
                continue
            self.open.discard(room)
            if not self.open:
                raise Ended(line)


class Nodes:
    """Subscribes to the nodes and takes each message as data."""

    def __init__(self, connection: Connection, wish: Wish, show: Show, tell: Show) -> None:
        self.connection = connection
        self.wish = wish
        self.show = show
        self.open: set[str] = set()
        self.nodes = {node_name(topic): topic for topic in wish.topics}
        self.client = connection.client.summon(aioxmpp.PubSubClient)
        self.client.on_item_published.connect(self._published)
        self.client.on_node_deleted.connect(self._deleted)

    async def begin(self) -> None:
        """Subscribes to each node as soon as the run's observer has made it."""
        services = await self.connection.services("pubsub")
        if not services:
            raise ObserveError(
                f"{self.connection.login.domain} has no nodes (XEP-0060): watch by chat, which needs none"
            )
        self.service = services[0]
        for node in self.nodes:
            self.open.add(node)
            await patiently(
                partial(self.client.subscribe, self.service, node),
                f"the node {node}",
                f"there is no node {node}: does the run have this use case, with --server?",
            )

    def _published(self, jid: Any, node: str, item: Any, *, message: Any = None) -> None:
        data = getattr(item.registered_payload, "json_data", None)
        if node in self.nodes and isinstance(data, dict):
            self.connection.put((node, data))

    def _deleted(self, jid: Any, node: str, **_: Any) -> None:
        if node in self.open:
            self.connection.put((node, {"ended": telling.ENDED}))

    def take(self, heard: Any) -> None:
        """Shows a message, or that there will be no more."""
        node, data = heard
        if "ended" in data:
            self.open.discard(node)
            if not self.open:
                raise Ended(str(data["ended"]))
            return
        line = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        if not self.wish.as_json:
            entry = trace.read_entry(0, line)
            line = telling.line(entry.message, entry.at)
        self.show(line)


def refusal(what: str, error: Any) -> str:
    """Why somebody is not let in."""
    if error.condition in (
        aioxmpp.errors.ErrorCondition.FORBIDDEN,
        aioxmpp.errors.ErrorCondition.REGISTRATION_REQUIRED,
        aioxmpp.errors.ErrorCondition.NOT_AUTHORIZED,
        aioxmpp.errors.ErrorCondition.NOT_ALLOWED,
    ):
        return f"{what} does not admit you: the run must be started with --watcher and your JID"
    return f"{what} refuses ({error.condition.value[1]})"


async def patiently(attempt: Callable[[], Awaitable[Any]], what: str, missing: str) -> None:
    """Tries until it is there; a refusal is one when it lasts, since a place is made before its members are named."""
    loop = asyncio.get_running_loop()
    refused_at: float | None = None
    async with until_it_begins(missing):
        while True:
            try:
                await attempt()
                return
            except aioxmpp.errors.XMPPError as error:
                if error.condition is not aioxmpp.errors.ErrorCondition.ITEM_NOT_FOUND:
                    refused_at = refused_at or loop.time()
                    if loop.time() - refused_at > REFUSED_S:
                        raise ObserveError(refusal(what, error)) from None
            await asyncio.sleep(AGAIN_S)


class until_it_begins:
    """Gives what stands in it the time in which a run comes up. Raises ObserveError with `why` after that."""

    def __init__(self, why: str) -> None:
        self.why = why
        self._limit = asyncio.timeout(BEGINS_S)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._limit.__aexit__(*error)
        except TimeoutError:
            raise ObserveError(self.why) from None


async def first_of(*awaitables: Any) -> None:
    """Waits for one of these, and no longer for the others."""
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
