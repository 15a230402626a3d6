"""What an XMPP server offers besides chat (XEP-0030), and questions to it that end within a time limit."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from slixmpp.exceptions import IqError, IqTimeout

ANSWER_S = 5.0
"""How long (wall time) a service may take to answer a question."""
MOST_SERVICES = 50
"""So many of a server's components are looked at; more are a farm, and no list of services."""

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
DATA = "jabber:x:data"


class ServiceError(RuntimeError):
    """A service cannot do what it was asked for, in a few words; `condition` is that of RFC 6120 section 8.3.3, or
    `silent` where no answer came in time."""

    def __init__(self, condition: str, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition = condition
        self.text = text


@dataclass(frozen=True, slots=True)
class Services:
    """The JIDs of a server's rooms (XEP-0045) and nodes (XEP-0060), None where it has none, and of those of its
    components that did not say in time what they are."""

    rooms: str | None
    nodes: str | None
    silent: tuple[str, ...]


async def ask(client: Any, kind: str, to: str, payload: Element) -> Element:
    """Sends an iq of `kind` (get or set) and returns the answer. Raises ServiceError for an error or no answer."""
    question = client.make_iq(ito=to, itype=kind)
    question.append(payload)
    try:
        answer: Element = (await question.send(timeout=ANSWER_S)).xml
    except IqTimeout:
        raise ServiceError("silent", f"{to} does not answer") from None
    except IqError as error:
        raise ServiceError(str(error.condition), str(error.text or "")) from None
    return answer


async def discover(client: Any, domain: str) -> Services:
    """Looks for rooms and nodes on `domain` and its components. Raises ServiceError where the server says nothing."""
    listed = await ask(client, "get", domain, Element(f"{{{ITEMS}}}query"))
    found = (item.get("jid") for item in listed.iter(f"{{{ITEMS}}}item") if not item.get("node"))
    places = list(dict.fromkeys(jid for jid in found if jid))[:MOST_SERVICES]
    told = await asyncio.gather(*(_identities(client, place) for place in places))
    rooms = (place for place, of_it in zip(places, told, strict=True) if of_it and ("conference", "text") in of_it)
    nodes = (place for place, of_it in zip(places, told, strict=True) if of_it and ("pubsub", "service") in of_it)
    silent = tuple(place for place, of_it in zip(places, told, strict=True) if of_it is None)
    return Services(next(rooms, None), next(nodes, None), silent)


async def _identities(client: Any, place: str) -> set[tuple[str, str]] | None:
    """Categories and types of what answers at `place`: empty where it declines, None where nothing answers."""
    try:
        answer = await ask(client, "get", place, Element(f"{{{INFO}}}query"))
    except ServiceError as error:
        return None if error.condition in ("silent", "remote-server-timeout") else set()
    return {(i.get("category", ""), i.get("type", "")) for i in answer.iter(f"{{{INFO}}}identity")}


def form(kind: str, fields: dict[str, str]) -> Element:
    """A data form (XEP-0004) that is submitted; `kind` is its FORM_TYPE."""
    filled = Element(f"{{{DATA}}}x", type="submit")
    for name, value in {"FORM_TYPE": kind, **fields}.items():
        field = SubElement(filled, f"{{{DATA}}}field", var=name)
        SubElement(field, f"{{{DATA}}}value").text = value
    return filled
