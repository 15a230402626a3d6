"""The directory: the DF of FIPA SC00023. Who is here, in which role, and what they offer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from operator import is_

from agents.actor import Actor
from behaviours.answering import Incoming, Inform, Reply, answers, refusal
from behaviours.swarm import Swarm
from protocols.exchanges.plain import Done
from protocols.exchanges.services import (
    Deregistration,
    DirectoryEntry,
    Registration,
    Search,
    SearchResult,
    SearchSubscription,
)
from protocols.roles import Role


class Directory(Actor):
    """Keeps the list of agents. Its word on an agent's role is what the others' authority rests on.

    `admitted` says in which role each JID may appear. Nobody registers under another role or another's name,
    so that an account on the server does not make a grid operator.
    """

    role = Role.DIRECTORY
    services = ("directory",)

    def __init__(self, jid: str, password: str, swarm: Swarm, admitted: Mapping[str, Role]) -> None:
        super().__init__(jid, password, swarm)
        self.admitted = dict(admitted)
        self.roles.update(self.admitted)
        self.entries: dict[str, DirectoryEntry] = {}
        self._entered = asyncio.Event()

    async def register(self) -> None:
        """The directory is its own first entry."""
        self._enter(Registration(jid=self.address, role=self.role, services=self.services))

    async def role_of(self, jid: str) -> Role | None:
        return self.admitted.get(jid)

    @answers(Registration)
    async def on_registration(self, registration: Registration, incoming: Incoming) -> Reply:
        if registration.jid != incoming.sender:
            return refusal("not-authorised", f"{incoming.sender} cannot register {registration.jid}")
        admitted = self.admitted.get(registration.jid)
        if admitted is not registration.role:
            return refusal(
                "not-authorised", f"{registration.jid} is admitted as {admitted}, not as {registration.role}"
            )
        self._enter(registration)
        await self._tell(self.entries[registration.jid])
        return Inform(Done(reference=registration.jid))

    @answers(Deregistration)
    async def on_deregistration(self, deregistration: Deregistration, incoming: Incoming) -> Reply:
        if deregistration.jid != incoming.sender:
            return refusal("not-authorised", f"{incoming.sender} cannot deregister {deregistration.jid}")
        if (entry := self.entries.pop(deregistration.jid, None)) is None:
            return refusal("not-registered", f"{deregistration.jid} is not registered")
        await self._tell(entry)
        return Inform(Done(reference=deregistration.jid))

    @answers(Search)
    async def on_search(self, search: Search, incoming: Incoming) -> Reply:
        return Inform(self._found(search))

    @answers(SearchSubscription)
    async def on_subscription(self, subscription: SearchSubscription, incoming: Incoming) -> Reply:
        await incoming.agree(Done(reference=incoming.message.conversation_id))
        return Inform(self._found(subscription))

    def _enter(self, registration: Registration) -> None:
        self.entries[registration.jid] = DirectoryEntry(
            jid=registration.jid,
            role=registration.role,
            services=registration.services,
            location=registration.location,
        )
        self._entered.set()

    async def until_registered(self, jids: Collection[str]) -> None:
        """Returns when all of these are on the list."""
        while not self.entries.keys() >= set(jids):
            self._entered.clear()
            await self._entered.wait()

    def _found(self, search: Search | SearchSubscription) -> SearchResult:
        if search.jid is not None:  # by far the most frequent question, and its cost must not grow with the swarm
            candidates = [self.entries[search.jid]] if search.jid in self.entries else []
        else:
            candidates = [self.entries[jid] for jid in sorted(self.entries)]
        return SearchResult(entries=tuple(entry for entry in candidates if _matches(search, entry)))

    async def _tell(self, changed: DirectoryEntry) -> None:
        """Sends each subscriber whose search `changed` matches its new result."""
        for search in self.subscriptions(SearchSubscription):
            if _matches(search, changed):
                await self.publish(SearchSubscription, self._found(search), partial(is_, search))


def _matches(search: Search | SearchSubscription, entry: DirectoryEntry) -> bool:
    return (
        search.jid in (None, entry.jid)
        and search.role in (None, entry.role)
        and search.location in (None, entry.location)
        and (search.service is None or search.service in entry.services)
    )
