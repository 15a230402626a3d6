"""A room (XEP-0045) in which a run's messages are told line by line: the observer speaks, members read.

XEP-0045 gives members of a moderated room a voice when they enter; the observer takes it away at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import escape, quoteattr

from behaviours.outbox import Outbox
from behaviours.post import bare
from behaviours.services import ANSWER_S, DATA, ServiceError, ask, form
from behaviours.stanzas import CLIENT
from behaviours.told import Told, paragraphs

MUC = "http://jabber.org/protocol/muc"
USER = "http://jabber.org/protocol/muc#user"
ADMIN = "http://jabber.org/protocol/muc#admin"
OWNER = "http://jabber.org/protocol/muc#owner"
CONFIG = "http://jabber.org/protocol/muc#roomconfig"

NICKS = ("observer", "observer-2", "observer-3")
KEPT_STANZAS = 100
"""How many stanzas, of up to LINES_AT_ONCE lines, the room keeps for those who come later."""
WAITING_LINES = 2000
LINES_AT_ONCE = 30
UNDER_WAY = 2
PATIENCE_S = 60.0
TAKEN = "taken"
OUTSIDE = ("not-acceptable", "item-not-found")
"""What a room answers to a line of somebody who is not in it (XEP-0045 section 7.4)."""


class Room:
    """The room `name` of `service`. `me` is the bare JID of the client."""

    def __init__(self, client: Any, service: str, name: str, subject: str, me: str) -> None:
        self.jid = self.name = f"{name}@{service}"
        self.subject = subject
        self.is_open = False
        self.outbox: Outbox[Told] = Outbox(most=WAITING_LINES, window=UNDER_WAY, patience_s=PATIENCE_S)
        self.why: str | None = None
        self._client = client
        self._me = me
        self._nick = NICKS[0]
        self._said_dropped = 0
        self._parcels = 0
        self._entering: asyncio.Future[str] | None = None
        self._last: asyncio.Future[None] | None = None

    async def open(self, watchers: Collection[str]) -> None:
        """Makes it, or takes over one that is ours. Raises ServiceError."""
        affiliation = await self._enter()
        if affiliation != "owner":
            owners = await self._owners()
            self.leave()
            raise ServiceError(TAKEN, ", ".join(owners))
        await self._configure()
        await self._admit_only(watchers)
        self._client.send_raw(
            f"<message to={quoteattr(self.jid)} type='groupchat'><subject>{escape(self.subject)}</subject></message>"
        )
        self.is_open = True

    async def admit(self, jid: str) -> None:
        """One more bare JID may read along. Raises ServiceError."""
        await self._affiliate(jid, "member")

    def send(self, now_s: float) -> None:
        """Says what waits, as far as the room keeps up, and how much had to be left out."""
        self.outbox.give_up(now_s)
        while self.is_open and (entries := self.outbox.take(LINES_AT_ONCE)):
            left_out = self.outbox.dropped - self._said_dropped
            self._said_dropped = self.outbox.dropped
            head = f"({left_out} messages were left out: the room does not keep up)\n" if left_out else ""
            self.outbox.sent(self._say(head + paragraphs(entries)), entries, now_s)

    def heard(self, message: Element) -> None:
        """A message of this room came: an echo of ours, or an error."""
        parcel = message.get("id") or ""
        if message.get("type") == "error":
            errors = message.iterfind(f"{CLIENT}error/*")
            why = next((child.tag.partition("}")[2] for child in errors), "error")
            if why in OUTSIDE and self.is_open:
                self.lost()
            elif self.outbox.refused(parcel):
                self.why = why
        elif message.get("from") == f"{self.jid}/{self._nick}":
            known = self.outbox.arrived(parcel)
            if not known and parcel == self._parcel() and self._last is not None and not self._last.done():
                self._last.set_result(None)

    def noticed(self, presence: Element) -> None:
        """A presence of this room came: our own entry, its refusal, or somebody else's."""
        nick = (presence.get("from") or "").partition("/")[2]
        kind = presence.get("type")
        if kind == "error":
            error = presence.find(f"{CLIENT}error")
            if error is not None and self._entering is not None and not self._entering.done():
                names = [child.tag.partition("}")[2] for child in error]
                text = next((child.text or "" for child in error if child.tag.endswith("}text")), "")
                self._entering.set_exception(ServiceError(names[0] if names else "error", text))
            return
        item = presence.find(f"{{{USER}}}x/{{{USER}}}item")
        if item is None:
            return
        if nick == self._nick:
            if kind == "unavailable" and self.is_open:
                self.lost()
            elif self._entering is not None and not self._entering.done():
                self._entering.set_result(item.get("affiliation") or "none")
        elif kind is None and item.get("role") == "participant":
            self._silence(nick)

    def lost(self) -> None:
        """We are in it no more: the connection broke, it was closed, or somebody put us out."""
        self.is_open = False
        self.outbox.again()

    async def end(self, text: str) -> None:
        """Says the last line, and goes when it is in the room. Raises ServiceError."""
        if not self.is_open:
            return
        self._last = asyncio.get_running_loop().create_future()
        self._say(text)
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._last
        except TimeoutError:
            raise ServiceError("silent", f"{self.jid} does not answer") from None
        self.leave()

    def leave(self) -> None:
        """Goes out of the room."""
        self.is_open = False
        self._client.send_raw(f"<presence to={quoteattr(f'{self.jid}/{self._nick}')} type='unavailable'/>")

    # --- entering and making it

    async def _enter(self) -> str:
        """Enters under the first nick that is free, and returns our affiliation."""
        for nick in NICKS:
            self._nick = nick
            self._entering = asyncio.get_running_loop().create_future()
            self._client.send_raw(
                f"<presence to={quoteattr(f'{self.jid}/{nick}')}>"
                f"<x xmlns='{MUC}'><history maxstanzas='0'/></x></presence>"
            )
            try:
                async with asyncio.timeout(ANSWER_S):
                    return await self._entering
            except TimeoutError:
                raise ServiceError("silent", f"{self.jid} does not answer") from None
            except ServiceError as error:
                if error.condition != "conflict" or nick == NICKS[-1]:
                    raise
            finally:
                self._entering = None
        raise AssertionError("the last nick returns or raises")

    async def _owners(self) -> list[str]:
        """Who owns the room, as far as it says so."""
        try:
            return sorted(await self._affiliated("owner"))
        except ServiceError:
            return []

    async def _configure(self) -> None:
        """Fills in those fields of the room's own form that we know."""
        asked = await ask(self._client, "get", self.jid, Element(f"{{{OWNER}}}query"))
        offered = {field.get("var") for field in asked.iter(f"{{{DATA}}}field")}
        wanted = {
            "muc#roomconfig_roomname": self.subject,
            "muc#roomconfig_persistentroom": "1",
            "muc#roomconfig_publicroom": "0",
            "muc#roomconfig_membersonly": "1",
            "muc#roomconfig_moderatedroom": "1",
            "muc#roomconfig_changesubject": "0",
            "muc#roomconfig_allowinvites": "0",
            "{http://prosody.im/protocol/muc}roomconfig_allowmemberinvites": "0",
            "muc#roomconfig_whois": "moderators",
            "muc#roomconfig_historylength": str(KEPT_STANZAS),
            "muc#roomconfig_defaulthistorymessages": str(KEPT_STANZAS),
        }
        query = Element(f"{{{OWNER}}}query")
        query.append(form(CONFIG, {name: value for name, value in wanted.items() if name in offered}))
        await ask(self._client, "set", self.jid, query)

    async def _admit_only(self, watchers: Collection[str]) -> None:
        """Nobody stays a member from an earlier run who is not admitted to this one."""
        known = await self._affiliated("member")
        for jid in known - set(watchers):
            await self._affiliate(jid, "none")
        for jid in sorted({bare(jid) for jid in watchers} - known - {self._me}):
            await self._affiliate(jid, "member")

    async def _affiliated(self, affiliation: str) -> set[str]:
        query = Element(f"{{{ADMIN}}}query")
        SubElement(query, f"{{{ADMIN}}}item", affiliation=affiliation)
        answer = await ask(self._client, "get", self.jid, query)
        return {item.get("jid", "") for item in answer.iter(f"{{{ADMIN}}}item") if item.get("jid")}

    async def _affiliate(self, jid: str, affiliation: str) -> None:
        query = Element(f"{{{ADMIN}}}query")
        SubElement(query, f"{{{ADMIN}}}item", jid=jid, affiliation=affiliation)
        await ask(self._client, "set", self.jid, query)

    def _silence(self, nick: str) -> None:
        """Takes an occupant's voice; the answer is of no interest, since who has left needs none."""
        self._client.send_raw(
            f"<iq type='set' to={quoteattr(self.jid)} id={quoteattr(f'voice-{nick}')}><query xmlns='{ADMIN}'>"
            f"<item nick={quoteattr(nick)} role='visitor'/></query></iq>"
        )

    # --- speaking

    def _parcel(self) -> str:
        return f"{self.jid}-{self._parcels}"

    def _say(self, text: str) -> str:
        """Sends a line or several, and returns the stanza's id."""
        self._parcels += 1
        self._client.send_raw(
            f"<message to={quoteattr(self.jid)} type='groupchat' id={quoteattr(self._parcel())}>"
            f"<body>{escape(text)}</body></message>"
        )
        return self._parcel()
