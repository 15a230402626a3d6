"""Somebody's live agent, in a few lines of slixmpp: what an exam meets that is none of ours."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from behaviours.ports import Letter
from behaviours.stanzas import CLIENT, Arrival, read, receipt_xml, to_xml

ME, PASSWORD = "stranger@localhost", "a stranger's own password"
_WHERE = re.compile(r"listens on (\S+):(\d+), .* authority: (\S+)")


class Outsider:
    """`heard(outsider, letter)` is what it does with each letter. `listen` is told what the exam prints, and finds the
    server in it."""

    def __init__(self, heard: Callable[[Outsider, Letter], None], *, role: str = "vpp", registers: bool = True) -> None:
        self.letters: list[Letter] = []
        self._heard, self._role, self._registers = heard, role, registers
        self._where: asyncio.Future[tuple[str, int, Path]] = asyncio.get_running_loop().create_future()
        self._number = 0
        self.client: Any = None

    def listen(self, line: str) -> None:
        """A line that the exam prints."""
        if found := _WHERE.search(line):
            self._where.set_result((found[1], int(found[2]), Path(found[3])))

    async def live(self) -> None:
        """Logs in, registers, and answers until it is cancelled."""
        host, port, authority = await self._where
        tls = ssl.create_default_context(cafile=str(authority))
        self.client = ClientXMPP(ME, PASSWORD, ssl_context=tls)
        self.client.enable_direct_tls = False
        up = asyncio.Event()
        self.client.add_event_handler("session_start", lambda _: up.set())
        self.client.register_handler(Callback("all", MatchXPath(f"{CLIENT}message"), self._arrived))
        self.client.connect(host, port)
        await up.wait()
        self.client.send_presence()
        if self._registers:
            entry: dict[str, Any] = {
                "exchange": "df.register",
                "jid": ME,
                "role": self._role,
                "services": [],
                "location": None,
            }
            self.say("directory@localhost", "request", "fipa-request", entry, conversation="stranger-1")
        try:
            await asyncio.Event().wait()
        finally:
            await self.client.disconnect(wait=0.5)

    def say(
        self,
        to: str,
        performative: str,
        protocol: str,
        content: dict[str, Any],
        *,
        conversation: str,
        answers: str | None = None,
    ) -> None:
        """An act."""
        self._number += 1
        metadata = {
            "performative": performative,
            "protocol": protocol,
            "conversation-id": conversation,
            "reply-with": f"{conversation}/stranger/{self._number}",
            "ontology": "ev4eu-d5.1",
            "language": "json",
        }
        if answers is not None:
            metadata["in-reply-to"] = answers
        self.write(Letter(ME, to, json.dumps(content), metadata, conversation))

    def answer(self, letter: Letter, performative: str, content: dict[str, Any]) -> None:
        """An act in answer to a letter."""
        given = letter.metadata
        self.say(
            letter.sender,
            performative,
            given["protocol"],
            content,
            conversation=given["conversation-id"],
            answers=given["reply-with"],
        )

    def write(self, letter: Letter) -> None:
        """A letter, whatever it is."""
        self._number += 1
        self.client.send_raw(to_xml(letter, letter.receiver, f"s{self._number}"))

    def _arrived(self, stanza: Any) -> None:
        found = read(stanza.xml, ME)
        if not isinstance(found, Arrival):
            return
        self.client.send_raw(receipt_xml(found.letter.sender, found.stanza_id))
        self.letters.append(found.letter)
        if "directory" not in found.letter.sender:
            self._heard(self, found.letter)
