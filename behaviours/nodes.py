"""A PubSub node (XEP-0060) to which a run's messages are published, one item each, with the whole message as JSON."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from xml.etree.ElementTree import Element, SubElement
from xml.sax.saxutils import escape, quoteattr

from behaviours.outbox import Outbox
from behaviours.post import bare
from behaviours.services import ServiceError, ask, form
from behaviours.told import Told

PUBSUB = "http://jabber.org/protocol/pubsub"
OWNER = "http://jabber.org/protocol/pubsub#owner"
CONFIG = "http://jabber.org/protocol/pubsub#node_config"
JSON = "urn:xmpp:json:0"
"""XEP-0335."""

KEPT_ITEMS = ("20", "10", None)
"""How many items a node keeps for those who come later, else the least that is usual, else what the server says.
Prosody's file storage writes all of them anew for each item: 5 ms an item with 20 kept, 34 ms with 256."""
WAITING_MESSAGES = 2000
UNDER_WAY = 8
PATIENCE_S = 60.0
LARGEST_BYTES = 200_000
"""A larger stanza ends the stream on Prosody (262,144 bytes), and with it the whole connection."""
ENDED = "ended"
"""The id of the last item."""


class Node:
    """The node `name` of `service`. `me` is the bare JID of the client."""

    def __init__(self, client: Any, service: str, name: str, title: str, me: str) -> None:
        self.name = name
        self.title = title
        self.is_open = False
        self.outbox: Outbox[Told] = Outbox(most=WAITING_MESSAGES, window=UNDER_WAY, patience_s=PATIENCE_S)
        self.why: str | None = None
        self._client = client
        self.service = service
        self._me = me
        self._parcels = 0

    async def open(self, watchers: Collection[str], *, anew: bool) -> None:
        """Makes it, or takes over one that is ours; `anew`: without its old items. The watchers alone may read it.

        Raises ServiceError.
        """
        try:
            await self._create()
        except ServiceError as error:
            if error.condition != "conflict":
                raise
            await self._take_over(anew=anew)
        await self._admit_only(watchers)
        self.is_open = True

    async def admit(self, jid: str) -> None:
        """One more bare JID may read it. Raises ServiceError."""
        await self._affiliate({jid: "member"})

    def send(self, now_s: float) -> None:
        """Publishes what waits, as far as the server keeps up."""
        self.outbox.give_up(now_s)
        while self.is_open and (entries := self.outbox.take(1)):
            self._parcels += 1
            parcel = f"{self.name}-{self._parcels}"
            self.outbox.sent(parcel, entries, now_s)
            text = escape(entries[0].json)
            if len(text.encode()) > LARGEST_BYTES:
                self.why = f"message {entries[0].number} is larger than {LARGEST_BYTES // 1000} kB"
                self.outbox.refused(parcel)
                continue
            self._client.send_raw(
                f"<iq type='set' to={quoteattr(self.service)} id={quoteattr(parcel)}><pubsub xmlns='{PUBSUB}'>"
                f"<publish node={quoteattr(self.name)}><item id='{entries[0].number}'>"
                f"<json xmlns='{JSON}'>{text}</json></item></publish></pubsub></iq>"
            )

    def answered(self, iq: Element) -> bool:
        """Takes the server's answer to an item; False where it is none of this node's."""
        parcel = iq.get("id") or ""
        if iq.get("type") == "result":
            return self.outbox.arrived(parcel)
        why = next((child.tag.partition("}")[2] for child in iq.iterfind("{jabber:client}error/*")), "error")
        if why == "item-not-found" and self.is_open:
            self.lost()
            return True
        if not self.outbox.refused(parcel):
            return False
        self.why = why
        return True

    def lost(self) -> None:
        """The connection broke, or somebody has deleted it."""
        self.is_open = False
        self.outbox.again()

    async def end(self, json: str) -> None:
        """Publishes the last item. Raises ServiceError."""
        if self.is_open:
            pubsub = Element(f"{{{PUBSUB}}}pubsub")
            publish = SubElement(pubsub, f"{{{PUBSUB}}}publish", node=self.name)
            item = SubElement(publish, f"{{{PUBSUB}}}item", id=ENDED)
            SubElement(item, f"{{{JSON}}}json").text = json
            await ask(self._client, "set", self.service, pubsub)

    # --- making it

    def _fields(self, kept: str | None) -> dict[str, str]:
        fields = {
            "pubsub#title": self.title,
            "pubsub#type": JSON,
            "pubsub#access_model": "whitelist",
            "pubsub#publish_model": "publishers",
            "pubsub#persist_items": "1",
            "pubsub#deliver_payloads": "1",
            "pubsub#send_last_published_item": "never",
            "pubsub#notify_retract": "0",  # items that are too old leave without a word
        }
        return fields if kept is None else {**fields, "pubsub#max_items": kept}

    async def _create(self) -> None:
        for kept in KEPT_ITEMS:
            pubsub = Element(f"{{{PUBSUB}}}pubsub")
            SubElement(pubsub, f"{{{PUBSUB}}}create", node=self.name)
            SubElement(pubsub, f"{{{PUBSUB}}}configure").append(form(CONFIG, self._fields(kept)))
            if await self._suits(pubsub, kept):
                return

    async def _take_over(self, *, anew: bool) -> None:
        """Configures a node that is there. Raises ServiceError where it is another's."""
        for kept in KEPT_ITEMS:
            owner = Element(f"{{{OWNER}}}pubsub")
            SubElement(owner, f"{{{OWNER}}}configure", node=self.name).append(form(CONFIG, self._fields(kept)))
            if await self._suits(owner, kept):
                break
        if anew:
            owner = Element(f"{{{OWNER}}}pubsub")
            SubElement(owner, f"{{{OWNER}}}purge", node=self.name)
            await ask(self._client, "set", self.service, owner)

    async def _suits(self, payload: Element, kept: str | None) -> bool:
        """Whether the server takes a configuration that keeps so many items."""
        try:
            await ask(self._client, "set", self.service, payload)
        except ServiceError as error:
            if kept is None or error.condition not in ("not-acceptable", "bad-request"):
                raise
            return False
        return True

    async def _admit_only(self, watchers: Collection[str]) -> None:
        """Nobody stays from an earlier run who is not admitted to this one."""
        wanted = {*watchers, self._me}
        for jid in await self._listed("subscriptions", "subscription"):
            if bare(jid) not in wanted:
                owner = Element(f"{{{OWNER}}}pubsub")
                subscriptions = SubElement(owner, f"{{{OWNER}}}subscriptions", node=self.name)
                SubElement(subscriptions, f"{{{OWNER}}}subscription", jid=jid, subscription="none")
                await ask(self._client, "set", self.service, owner)
        known = await self._listed("affiliations", "affiliation")
        changes = {jid: "none" for jid, what in known.items() if jid not in wanted and what != "owner"}
        changes |= {jid: "member" for jid in watchers if known.get(jid) not in ("member", "owner")}
        await self._affiliate(changes)

    async def _listed(self, kind: str, what: str) -> dict[str, str]:
        """The JIDs that the service has listed of this node, with their affiliation or subscription."""
        owner = Element(f"{{{OWNER}}}pubsub")
        SubElement(owner, f"{{{OWNER}}}{kind}", node=self.name)
        answer = await ask(self._client, "get", self.service, owner)
        return {i.get("jid", ""): i.get(what, "") for i in answer.iter(f"{{{OWNER}}}{what}") if i.get("jid")}

    async def _affiliate(self, changes: dict[str, str]) -> None:
        if changes:
            owner = Element(f"{{{OWNER}}}pubsub")
            affiliations = SubElement(owner, f"{{{OWNER}}}affiliations", node=self.name)
            for jid, affiliation in changes.items():
                SubElement(affiliations, f"{{{OWNER}}}affiliation", jid=jid, affiliation=affiliation)
            await ask(self._client, "set", self.service, owner)
