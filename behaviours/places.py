"""The rooms and nodes of a run: one of each for a use case and one for all, made, opened again, and opened to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from slixmpp import JID
from slixmpp.jid import InvalidJID

from behaviours.nodes import Node
from behaviours.post import bare
from behaviours.rooms import TAKEN, Room
from behaviours.services import ServiceError, discover
from protocols.dialogues import DIALOGUES
from protocols.roles import Role
from protocols.telling import PLATFORM, USE_CASES, use_case

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


class Places:
    """`me` is the bare JID of the client that makes them, `names` the use cases; `watchers` are bare JIDs, or domains
    for everybody there. `say` is told in a line what cannot be, `tell` what there is."""

    def __init__(
        self,
        client: Any,
        me: str,
        domain: str,
        names: Sequence[str],
        title: str,
        watchers: Sequence[str],
        say: Callable[[str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._client = client
        self._me = me
        self._domain = domain
        self._names = [*names, ALL]
        self._title = title
        admitted = list(dict.fromkeys(_prepared(watcher) for watcher in watchers))
        self._watchers = [watcher for watcher in admitted if "@" in watcher]
        self._domains = [watcher for watcher in admitted if "@" not in watcher]
        self._say = say
        self._tell = tell
        self.rooms: dict[str, Room] = {}
        self.nodes: dict[str, Node] = {}

    @property
    def all(self) -> list[Room | Node]:
        """The rooms, then the nodes."""
        return [*self.rooms.values(), *self.nodes.values()]

    @property
    def for_anybody(self) -> bool:
        """Whether anybody at all may watch."""
        return bool(self._watchers or self._domains)

    def room_of(self, stanza: Element) -> Room | None:
        """The room from which a stanza came."""
        place = bare(stanza.get("from") or "")
        return next((room for room in self.rooms.values() if room.jid == place), None)

    async def find(self) -> None:
        """Asks the server what it has, and says what it lacks."""
        try:
            services = await discover(self._client, self._domain)
        except ServiceError as error:
            self._say(f"{self._domain} does not say whether it has rooms and nodes ({error}): none are made")
            return
        for silent in services.silent:
            self._say(f"{silent} does not say what it is, and is left out: see whether that component runs")
        for what, service in (("rooms (XEP-0045)", services.rooms), ("PubSub (XEP-0060)", services.nodes)):
            if service is None:
                self._say(f"{self._domain} has no {what}: watch by chat with {self._me}, or add that component")
        for name in self._names:
            title = f"{self._title}: {USE_CASES.get(name, 'all messages')}"
            if services.rooms is not None:
                self.rooms[name] = Room(self._client, services.rooms, room_name(name), title, self._me)
            if services.nodes is not None:
                self.nodes[name] = Node(self._client, services.nodes, node_name(name), title, self._me)

    async def open(self, *, anew: bool) -> None:
        """Makes what is not open, and says what cannot be, one line for each reason. `anew`: without what nodes hold of
        an earlier run."""
        why: dict[str, list[str]] = {}

        async def try_to(name: str, opening: Coroutine[Any, Any, None]) -> None:
            try:
                await opening
            except ServiceError as error:
                why.setdefault(_reason(error, self._me), []).append(name)

        admitted = [*self._watchers, *self._domains]
        rooms = (try_to(r.name, r.open(admitted)) for r in self.rooms.values() if not r.is_open)
        nodes = (try_to(n.name, n.open(self._watchers, anew=anew)) for n in self.nodes.values() if not n.is_open)
        await asyncio.gather(*rooms, *nodes)
        for reason, names in why.items():
            self._say(f"{', '.join(names)} cannot be made: {reason}")

    def settle(self) -> None:
        """Goes on with those that could be made, and tells which they are."""
        self.rooms = {name: room for name, room in self.rooms.items() if room.is_open}
        self.nodes = {name: node for name, node in self.nodes.items() if node.is_open}
        if self.rooms:
            self._tell(f"rooms: {', '.join(room.name for room in self.rooms.values())}")
        if self.nodes:
            service = next(iter(self.nodes.values())).service
            self._tell(f"PubSub nodes on {service}: {', '.join(node.name for node in self.nodes.values())}")
        if self._domains and self.all:
            whoever = " or ".join(self._domains)
            self._tell(f"whoever is of {whoever} writes to {self._me} first: rooms and nodes then let them in")

    def is_new(self, jid: str) -> bool:
        """Whether this JID is not yet among the watchers; it is then, for what is opened from now on."""
        who = _prepared(jid)
        if who in self._watchers:
            return False
        self._watchers.append(who)
        return True

    async def admit(self, jid: str) -> None:
        """One more may read all that is open."""
        for place in self.all:
            if place.is_open:
                try:
                    await place.admit(_prepared(jid))
                except ServiceError as error:
                    self._say(f"{bare(jid)} could not be let in everywhere: {error}")

    def lost(self) -> None:
        """The connection broke."""
        for place in self.all:
            place.lost()


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
            whose = error.text or "another, who is not shown"
            return f"taken by {whose}; ask for it to be destroyed, or for {me} to be made an owner"
        case "registration-required" | "conflict":
            return f"taken by another, and closed to {me}; ask the owner or the server's administrator to destroy it"
        case "forbidden" | "not-allowed":
            return f"{me} may not ({error}); let the server's administrator allow it (Prosody: admins)"
        case "silent":
            return str(error)
    return f"the server answers {error}"
