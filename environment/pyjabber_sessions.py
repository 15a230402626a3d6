"""The sessions of the embedded XMPP server, and what each does with its client's stanzas. See `pyjabber_host`."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree as ET

import loguru
from pyjabber import AppConfig
from pyjabber.features.presence.PresenceFeature import Presence
from pyjabber.network.ConnectionManager import ConnectionManager
from pyjabber.stream.handlers.StanzaHandler import StanzaHandler
from pyjabber.stream.JID import JID

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
CLIENT = "{jabber:client}"
ET.register_namespace("", "jabber:client")


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


SESSIONS = Sessions()


class Handler(StanzaHandler):  # type: ignore[misc]  # pyjabber is untyped
    """The stanzas of one session, from its resource binding to the end of its stream."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._peername = transport.get_extra_info("peername")
        self._jid = ConnectionManager().get_jid(self._peername)
        self._presence = Presence()
        self._functions = {"iq": self.iq, "message": self.message, "presence": self.presence}
        self.available = False
        SESSIONS.add(self)

    async def feed(self, element: ET.Element) -> None:
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
        self._transport.write(ET.tostring(element))

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
            sessions = [s for s in SESSIONS.of(bare, resource) if s._jid.resource == resource]
            if sessions:
                sessions[0].write(element)
            else:
                self.bounce(element, "service-unavailable")
        elif kind in ("get", "set"):
            await self.serve(element, element[0].tag if len(element) else "")

    async def serve(self, element: ET.Element, query: str) -> None:
        answer = ET.Element(f"{CLIENT}iq", {"type": "result", "to": str(self._jid), "id": element.get("id") or ""})
        if receiver := element.get("to"):
            answer.set("from", receiver)
        match query:
            case "{jabber:iq:roster}query":
                del element.attrib["from"]
                if reply := await self._presence._roster.feed(self._jid, element):
                    self._transport.write(reply)
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
        if receiver is None:
            self.available = kind != "unavailable"
            await self._presence._handle_global_presence(self._jid, element)
        elif kind in ("subscribe", "subscribed", "unsubscribed"):
            element.set("from", self._jid.bare())
            await self._presence._handlers[kind](self._jid, element)
        elif kind in (None, "unavailable"):
            bare, _, resource = receiver.partition("/")
            for session in SESSIONS.of(bare, resource):
                session.write(element)

    async def gone(self) -> None:
        """The connection has ended: those who watch this client hear it, and nothing is kept of it."""
        SESSIONS.remove(self._jid)
        if self.available:
            leaving = ET.Element(f"{CLIENT}presence", {"type": "unavailable"})
            await self._presence._handle_global_presence(self._jid, leaving)
        seen = self._presence._online_status.get(self._jid.bare(), [])
        seen[:] = [entry for entry in seen if entry[0] != self._jid.resource]
