"""Who sees whom on the embedded XMPP server: contact lists and presence (RFC 6121, 2 to 4). See `pyjabber_host`.

All of it is in memory, for a run. pyjabber's own shows nobody who was there before, answers no probe, knows no
`unsubscribe` and asks its database for each presence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

CLIENT = "{jabber:client}"
ROSTER = "{jabber:iq:roster}"
MOST_CONTACTS = 5000
"""Of one account: an agent that serves many drivers has that many."""


@dataclass(slots=True)
class Contact:
    """One line of a contact list. `to`: the owner sees the contact; `of`: the contact sees the owner."""

    name: str | None = None
    groups: tuple[str, ...] = ()
    to: bool = False
    of: bool = False
    asked: bool = False

    def element(self, jid: str) -> ET.Element:
        kind = {(True, True): "both", (True, False): "to", (False, True): "from", (False, False): "none"}
        item = ET.Element(f"{ROSTER}item", {"jid": jid, "subscription": kind[self.to, self.of]})
        if self.name is not None:
            item.set("name", self.name)
        if self.asked:
            item.set("ask", "subscribe")
        for group in self.groups:
            ET.SubElement(item, f"{ROSTER}group").text = group
        return item


class Contacts:
    """The contact lists of all accounts. `sessions` is the server's index of who is logged in."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions
        self._lists: dict[str, dict[str, Contact]] = {}
        self._wishes: dict[str, dict[str, ET.Element]] = {}
        """Subscriptions asked for and not yet answered: by who is asked, then by who asks."""
        self._pushes = 0

    def contact(self, owner: str, jid: str) -> Contact | None:
        return self._lists.get(owner, {}).get(jid)

    def _kept(self, owner: str, jid: str) -> Contact | None:
        """The line of `jid`, made where there is none and room for it."""
        contacts = self._lists.setdefault(owner, {})
        if jid not in contacts and len(contacts) >= MOST_CONTACTS:
            return None
        return contacts.setdefault(jid, Contact())

    # --- the list itself

    def query(self, owner: str) -> ET.Element:
        """The contact list as the answer to a roster get."""
        found = ET.Element(f"{ROSTER}query")
        found.extend(contact.element(jid) for jid, contact in self._lists.get(owner, {}).items())
        return found

    def change(self, owner: str, query: ET.Element) -> str | None:
        """A roster set; the condition of the error, if it is one."""
        items = query.findall(f"{ROSTER}item")
        if len(items) != 1 or not (jid := items[0].get("jid", "").partition("/")[0]):
            return "bad-request"
        if items[0].get("subscription") == "remove":
            if self.contact(owner, jid) is None:
                return "item-not-found"
            for kind in ("unsubscribe", "unsubscribed"):
                self.subscription(owner, jid, kind, ET.Element(f"{CLIENT}presence", {"type": kind}))
            del self._lists[owner][jid]
            gone = ET.Element(f"{ROSTER}item", {"jid": jid, "subscription": "remove"})
            self._push(owner, gone)
            return None
        contact = self._kept(owner, jid)
        if contact is None:
            return "resource-constraint"
        contact.name = items[0].get("name")
        contact.groups = tuple(group.text or "" for group in items[0].findall(f"{ROSTER}group"))
        self._push(owner, contact.element(jid))
        return None

    def _push(self, owner: str, item: ET.Element) -> None:
        for session in self._sessions.all_of(owner):
            if session.interested:
                self._pushes += 1
                attributes = {"type": "set", "id": f"push{self._pushes}", "to": str(session._jid)}
                push = ET.Element(f"{CLIENT}iq", attributes)
                ET.SubElement(push, f"{ROSTER}query").append(item)
                session.write(push)

    # --- subscriptions

    def subscription(self, sender: str, receiver: str, kind: str, element: ET.Element) -> bool:
        """Subscribe, subscribed, unsubscribe or unsubscribed, between bare JIDs (RFC 6121, 3). False: no room."""
        element.set("from", sender)
        element.set("to", receiver)
        match kind:
            case "subscribe":
                return self._subscribe(sender, receiver, element)
            case "subscribed":
                self._subscribed(sender, receiver, element)
            case "unsubscribe":
                self._end(receiver, sender, element, told=receiver)
            case "unsubscribed":
                self._end(sender, receiver, element, told=receiver)
        return True

    def _subscribe(self, sender: str, receiver: str, element: ET.Element) -> bool:
        contact = self._kept(sender, receiver)
        if contact is None:
            return False
        seen = self.contact(receiver, sender)
        contact.asked = not contact.to
        if seen is not None and seen.of:  # was allowed before: the server answers
            self._subscribed(receiver, sender, ET.Element(f"{CLIENT}presence", {"type": "subscribed"}))
            return True
        self._push(sender, contact.element(receiver))
        wishes = self._wishes.setdefault(receiver, {})
        if sender in wishes or len(wishes) < MOST_CONTACTS:
            wishes[sender] = element
        for session in self._sessions.of(receiver):
            session.write(element)
        return True

    def _subscribed(self, sender: str, receiver: str, element: ET.Element) -> None:
        self._wishes.get(sender, {}).pop(receiver, None)
        contact = self.contact(receiver, sender)
        if contact is None or not (contact.asked or contact.to):
            return  # nobody has asked
        mine = self._kept(sender, receiver)
        if mine is None:
            return
        contact.to, contact.asked = True, False
        mine.of = True
        element.set("from", sender)
        element.set("to", receiver)
        for session in self._sessions.of(receiver):
            session.write(element)
        self._push(receiver, contact.element(sender))
        self._push(sender, mine.element(receiver))
        for session in self._sessions.of(sender):
            self._show(session.shown, session, receiver)

    def _end(self, seen: str, seeing: str, element: ET.Element, *, told: str) -> None:
        """`seeing` sees `seen` no more."""
        self._wishes.get(seen, {}).pop(seeing, None)
        mine, theirs = self.contact(seen, seeing), self.contact(seeing, seen)
        if mine is not None and mine.of:
            for session in self._sessions.of(seen):
                self._show(ET.Element(f"{CLIENT}presence", {"type": "unavailable"}), session, seeing)
            mine.of = False
            self._push(seen, mine.element(seeing))
        if theirs is not None and (theirs.to or theirs.asked):
            theirs.to = theirs.asked = False
            self._push(seeing, theirs.element(seen))
        for session in self._sessions.of(told):
            session.write(element)

    # --- presence

    def present(self, session: Any, element: ET.Element) -> None:
        """A client says to all who may know how it is; the first time it hears how they are."""
        owner, first = session._jid.bare(), not session.available
        session.available, session.shown = True, element
        for receiver in (owner, *self._watchers(owner)):
            self._show(element, session, receiver)
        if not first:
            return
        for seen in (owner, *self._seen(owner)):
            for other in self._sessions.of(seen):
                if other is not session:
                    session.write(addressed(other.shown, str(other._jid), str(session._jid)))
        for wish in self._wishes.get(owner, {}).values():
            session.write(wish)

    def absent(self, session: Any, element: ET.Element) -> None:
        """A client is gone, and all who knew of it hear that."""
        if session.available:
            session.available, session.shown = False, None
            owner = session._jid.bare()
            for receiver in (owner, *self._watchers(owner)):
                self._show(element, session, receiver)
        for receiver in session.directed:
            bare, _, resource = receiver.partition("/")
            for other in self._sessions.of(bare, resource):
                other.write(addressed(element, str(session._jid), receiver))
        session.directed.clear()

    def probed(self, session: Any, seen: str) -> None:
        """Answers who asks how somebody is."""
        asker = session._jid.bare()
        contact = self.contact(seen, asker)
        if seen != asker and (contact is None or not contact.of):
            session.write(ET.Element(f"{CLIENT}presence", {"type": "unsubscribed", "from": seen, "to": asker}))
            return
        there = self._sessions.of(seen)
        for other in there:
            session.write(addressed(other.shown, str(other._jid), str(session._jid)))
        if not there:
            session.write(ET.Element(f"{CLIENT}presence", {"type": "unavailable", "from": seen, "to": asker}))

    def _watchers(self, owner: str) -> Iterator[str]:
        return (jid for jid, contact in self._lists.get(owner, {}).items() if contact.of)

    def _seen(self, owner: str) -> Iterator[str]:
        return (jid for jid, contact in self._lists.get(owner, {}).items() if contact.to)

    def _show(self, element: ET.Element | None, session: Any, receiver: str) -> None:
        if element is not None:
            for other in self._sessions.of(receiver):
                other.write(addressed(element, str(session._jid), receiver))


def addressed(element: ET.Element, sender: str, receiver: str) -> ET.Element:
    """The same presence from and to somebody else."""
    found = ET.Element(element.tag, {**element.attrib, "from": sender, "to": receiver})
    found.extend(element)
    return found
