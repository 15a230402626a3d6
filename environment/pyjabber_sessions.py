"""The sessions of the embedded XMPP server, and what each does with its client's stanzas. See `pyjabber_host`."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree as ET

import loguru
from pyjabber import AppConfig
from pyjabber.network.ConnectionManager import ConnectionManager
from pyjabber.stream.handlers.StanzaHandler import StanzaHandler
from pyjabber.stream.JID import JID

from environment.pyjabber_roster import Contacts
from environment.pyjabber_xml import to_bytes

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
CLIENT = "{jabber:client}"
MOST_UNREAD = 1_000_000
"""Bytes that are kept for a client that does not read, beyond what the system keeps; then its session ends."""
FAREWELL_S = 5.0
MOST_DIRECTED = 5000


def host() -> str:
    config = AppConfig.app_config
    assert config is not None
    return str(config.host)


class Sessions:
    """Who is logged in, by bare JID and resource; one lookup for each stanza, however many there are."""

    def __init__(self) -> None:
        self.by_jid: dict[str, dict[str, StanzaHandler]] = {}

    def add(self, handler: Any) -> None:
        self.by_jid.setdefault(handler._jid.bare(), {})[handler._jid.resource] = handler

    def remove(self, jid: JID) -> None:
        resources = self.by_jid.get(jid.bare(), {})
        resources.pop(jid.resource, None)
        if not resources:
            self.by_jid.pop(jid.bare(), None)

    def of(self, bare: str, resource: str | None = None) -> list[Any]:
        """The session of that resource, else those of the JID that are available."""
        resources = self.by_jid.get(bare, {})
        if resource in resources:
            return [resources[resource]]
        return [session for session in resources.values() if session.available]

    def all_of(self, bare: str) -> list[Any]:
        """All sessions of the JID."""
        return list(self.by_jid.get(bare, {}).values())


SESSIONS = Sessions()
CONTACTS = Contacts(SESSIONS)


class Handler(StanzaHandler):  # type: ignore[misc]  # pyjabber is untyped
    """The stanzas of one session, from its resource binding to the end of its stream."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._peername = transport.get_extra_info("peername")
        self._jid = ConnectionManager().get_jid(self._peername)
        self._functions = {"iq": self.iq, "message": self.message, "presence": self.presence}
        self.available = False
        self.shown: ET.Element | None = None
        """The presence that it has said last."""
        self.interested = False
        """Whether it has asked for its contact list, and hears what changes in it."""
        self.directed: set[str] = set()
        """Whom it has told of its presence without being watched by them."""
        self._over = False
        SESSIONS.add(self)

    async def feed(self, element: ET.Element) -> None:
        if self._over:
            return
        tag = element.tag.removeprefix(CLIENT)
        element.set("from", str(self._jid))
        if tag not in self._functions:
            self._transport.close()
            return
        try:
            await self._functions[tag](element)
        except Exception as error:
            loguru.logger.error("{}: {!r} for a {}", self._jid, error, tag)
            self.bounce(element, "internal-server-error")

    def write(self, element: ET.Element) -> None:
        """Sends a stanza. Who does not read what it is sent loses its session; nobody else waits for it."""
        if self._over:
            return
        self._transport.write(to_bytes(element))
        if self._transport.get_write_buffer_size() > MOST_UNREAD:
            loguru.logger.warning("{} does not read: its session ends", self._jid)
            self.end("policy-violation", "too much that was not read")

    def end(self, condition: str, text: str) -> None:
        """Ends the stream with an error (RFC 6120 section 4.9); who does not read that either is cut off."""
        if self._over:
            return
        self._over = True
        self._transport.write(
            f"<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
            f"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{text}</text></stream:error></stream:stream>".encode()
        )
        self._transport.close()
        loop = asyncio.get_running_loop()
        loop.call_later(FAREWELL_S, self._transport.abort)
        loop.call_soon(self.gone)

    def ping(self) -> None:
        """Asks whether anybody is there; any answer will do."""
        ping = ET.Element(f"{CLIENT}iq", {"type": "get", "id": "ping", "from": host(), "to": str(self._jid)})
        ET.SubElement(ping, "{urn:xmpp:ping}ping")
        self.write(ping)

    def bounce(self, element: ET.Element, condition: str) -> None:
        """Answers a stanza with an error, unless it is one or is the answer to something."""
        if element.get("type") in ("error", "result"):
            return
        answer = ET.Element(element.tag, {"type": "error", "from": element.get("to") or host(), "to": str(self._jid)})
        if stanza_id := element.get("id"):
            answer.set("id", stanza_id)
        error = ET.SubElement(answer, f"{CLIENT}error", {"type": "cancel"})
        ET.SubElement(error, f"{{{STANZAS}}}{condition}")
        self.write(answer)

    async def message(self, element: ET.Element) -> None:
        bare, _, resource = (element.get("to") or self._jid.bare()).partition("/")
        if bare.rpartition("@")[2] != host():
            self.bounce(element, "remote-server-not-found")
        elif sessions := SESSIONS.of(bare, resource):
            for session in sessions:
                session.write(element)
        else:
            self.bounce(element, "service-unavailable")

    async def iq(self, element: ET.Element) -> None:
        receiver, kind = element.get("to"), element.get("type")
        if receiver not in (None, host(), self._jid.bare()):
            bare, _, resource = str(receiver).partition("/")
            if bare.rpartition("@")[2] != host():
                self.bounce(element, "remote-server-not-found")
                return
            sessions = [s for s in SESSIONS.of(bare, resource) if s._jid.resource == resource]
            if sessions:
                sessions[0].write(element)
            else:
                self.bounce(element, "service-unavailable")
        elif kind in ("get", "set"):
            await self.serve(element, element[0].tag if len(element) else "")
        elif kind not in ("result", "error"):
            self.bounce(element, "bad-request")

    async def serve(self, element: ET.Element, query: str) -> None:
        answer = ET.Element(f"{CLIENT}iq", {"type": "result", "to": str(self._jid), "id": element.get("id") or ""})
        if receiver := element.get("to"):
            answer.set("from", receiver)
        match query:
            case "{jabber:iq:roster}query" if element.get("type") == "get":
                self.interested = True
                answer.append(CONTACTS.query(self._jid.bare()))
            case "{jabber:iq:roster}query":
                if condition := CONTACTS.change(self._jid.bare(), element[0]):
                    self.bounce(element, condition)
                    return
            case "{urn:xmpp:ping}ping" | "{urn:ietf:params:xml:ns:xmpp-session}session":
                pass
            case "{http://jabber.org/protocol/disco#info}query":
                info = ET.SubElement(answer, query)
                name = query.removesuffix("query")
                ET.SubElement(info, f"{name}identity", {"category": "server", "type": "im", "name": "Gridparley"})
                for feature in ("http://jabber.org/protocol/disco#info", "urn:xmpp:ping", "jabber:iq:roster"):
                    ET.SubElement(info, f"{name}feature", {"var": feature})
            case "{http://jabber.org/protocol/disco#items}query":
                ET.SubElement(answer, query)
            case _:
                self.bounce(element, "service-unavailable")
                return
        self.write(answer)

    async def presence(self, element: ET.Element) -> None:
        receiver, kind = element.get("to"), element.get("type")
        bare, _, resource = (receiver or "").partition("/")
        if receiver is None:
            if kind is None:
                CONTACTS.present(self, element)
            elif kind == "unavailable":
                CONTACTS.absent(self, element)
            else:
                self.bounce(element, "bad-request")
        elif bare.rpartition("@")[2] != host():
            self.bounce(element, "remote-server-not-found")
        elif kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            if not CONTACTS.subscription(self._jid.bare(), bare, kind, element):
                self.bounce(element, "resource-constraint")
        elif kind == "probe":
            CONTACTS.probed(self, bare)
        elif kind in (None, "unavailable"):
            sessions = SESSIONS.of(bare, resource)
            if kind is None and sessions and len(self.directed) < MOST_DIRECTED:
                self.directed.add(receiver)
            elif kind is not None:
                self.directed.discard(receiver)
            for session in sessions:
                session.write(element)

    def gone(self) -> None:
        """The connection has ended: those who watch this client hear it, and nothing is kept of it."""
        self._over = True
        SESSIONS.remove(self._jid)
        CONTACTS.absent(self, ET.Element(f"{CLIENT}presence", {"type": "unavailable"}))
