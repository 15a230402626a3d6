"""Those who watch a run on a real Prosody: a client of somebody else with rooms and nodes, for tests."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import pytest
from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from behaviours.services import ask
from behaviours.swarm import ServerAccess
from environment.prosody import prosody_program

PUBSUB = "http://jabber.org/protocol/pubsub"
EVENT = "http://jabber.org/protocol/pubsub#event"
JSON = "urn:xmpp:json:0"
CLIENT = "{jabber:client}"
PATIENCE_S = 20.0
"""Wall seconds after which a test that waits in vain fails."""


def need_prosody() -> None:
    """Skips the test where Prosody is not installed, but never in CI."""
    if prosody_program() is None:
        assert not os.environ.get("CI"), "CI must have Prosody: apt-get install -y prosody"
        pytest.skip("Prosody is not installed: apt-get install prosody")


class Guest:
    """A slixmpp client that keeps what it is sent: `lines` of rooms, `items` of nodes, `presences`."""

    def __init__(self, access: ServerAccess, jid: str, password: str) -> None:
        self.client = ClientXMPP(jid, password, ssl_context=access.tls)
        self.client.enable_direct_tls = False
        self.access = access
        self.jid = jid
        self.lines: list[tuple[str, str]] = []
        self.late: list[tuple[str, str]] = []
        self.subjects: dict[str, str] = {}
        self.items: list[tuple[str, str, str]] = []
        self.presences: list[Element] = []
        self.errors: list[Element] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Guest:
        up = asyncio.Event()
        self.client.add_event_handler("session_start", lambda _: up.set())
        self.client.register_handler(Callback("message", MatchXPath(f"{CLIENT}message"), self._message))
        self.client.register_handler(Callback("presence", MatchXPath(f"{CLIENT}presence"), self._presence))
        self.client.connect(self.access.host, self.access.port)
        async with asyncio.timeout(PATIENCE_S):
            await up.wait()
        self.client.send_presence()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.disconnect(wait=0.2)
        self.client._run_out_filters.cancel()

    def join(self, room: str, nick: str = "guest") -> None:
        self.client.send_raw(f"<presence to='{room}/{nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>")

    def say(self, room: str, text: str) -> None:
        self.client.send_raw(f"<message to='{room}' type='groupchat' id='said'><body>{text}</body></message>")

    async def subscribe(self, node: str, service: str = "pubsub.localhost") -> None:
        pubsub = Element(f"{{{PUBSUB}}}pubsub")
        SubElement(pubsub, f"{{{PUBSUB}}}subscribe", node=node, jid=self.jid)
        await ask(self.client, "set", service, pubsub)

    async def kept(self, node: str, service: str = "pubsub.localhost") -> dict[str, str]:
        """The items that the node keeps: JSON by id."""
        pubsub = Element(f"{{{PUBSUB}}}pubsub")
        SubElement(pubsub, f"{{{PUBSUB}}}items", node=node)
        answer = await ask(self.client, "get", service, pubsub)
        return {i.get("id", ""): i.findtext(f"{{{JSON}}}json", "") for i in answer.iter(f"{{{PUBSUB}}}item")}

    async def until(self, happened: Any) -> None:
        """Waits until `happened()` is true; it is asked whenever something was heard."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():
                self._news.clear()
                await self._news.wait()

    async def role(self, room: str, nick: str = "guest") -> str:
        """The role in the room that was heard last of `nick`."""
        await self.until(lambda: self._role(room, nick))
        return self._role(room, nick)

    def _role(self, room: str, nick: str) -> str:
        found = [p for p in self.presences if p.get("from") == f"{room}/{nick}" and p.get("type") is None]
        item = found[-1].find("{http://jabber.org/protocol/muc#user}x/*") if found else None
        return item.get("role", "") if item is not None else ""

    def refusal(self, room: str) -> str:
        """The condition of the error that a room answered with, "" while there is none."""
        found = [p for p in (*self.presences, *self.errors) if (p.get("from") or "").startswith(room)]
        errors = [child for p in found if p.get("type") == "error" for child in p.iterfind(f"{CLIENT}error/*")]
        return errors[0].tag.partition("}")[2] if errors else ""

    def texts(self, room: str, *, late: bool | None = None) -> str:
        """All that was heard in a room: live, from history, or both."""
        heard = {None: [*self.late, *self.lines], True: self.late, False: self.lines}[late]
        return "\n".join(text for place, text in heard if place == room)

    def _message(self, stanza: Any) -> None:
        xml = stanza.xml
        place, _, nick = (xml.get("from") or "").partition("/")
        body = xml.findtext(f"{CLIENT}body")
        if xml.get("type") == "error":
            self.errors.append(xml)
        elif xml.get("type") == "groupchat":
            if body is not None and nick:
                (self.lines if xml.find("{urn:xmpp:delay}delay") is None else self.late).append((place, body))
            elif (subject := xml.findtext(f"{CLIENT}subject")) is not None:
                self.subjects[place] = subject
        for items in xml.iterfind(f"{{{EVENT}}}event/{{{EVENT}}}items"):
            for item in items:
                if item.tag.endswith("}item"):
                    self.items.append((items.get("node", ""), item.get("id", ""), item.findtext(f"{{{JSON}}}json", "")))
        self._news.set()

    def _presence(self, stanza: Any) -> None:
        self.presences.append(stanza.xml)
        self._news.set()
