"""A person's chat program for tests: it logs in, writes to the observer, and keeps what it is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slixmpp import ClientXMPP
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from behaviours.stanzas import CLIENT
from environment.server import client_tls

OBSERVER = "observer@localhost"
PATIENCE_S = 60.0


class Chatter:
    """One client. `heard` has the bodies of the messages that came, `errors` the conditions of those that bounced."""

    def __init__(self, jid: str, password: str, ca_file: Path) -> None:
        self.client = ClientXMPP(jid, password, ssl_context=client_tls(ca_file))
        self.client.enable_direct_tls = False
        self.client.add_event_handler("session_start", lambda _: self._up.set())
        self.client.register_handler(Callback("all", MatchXPath(f"{CLIENT}message"), self._heard))
        self.heard: list[str] = []
        self.stanzas: list[Any] = []
        self.errors = 0
        self._up = asyncio.Event()
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    async def login(self, host: str, port: int) -> None:
        self.client.connect(host, port)
        async with asyncio.timeout(PATIENCE_S):
            await self._up.wait()
        self.client.send_presence()

    def say(self, text: str) -> None:
        """Writes to the observer, as a person does."""
        self.client.send_message(OBSERVER, text, mtype="chat")

    async def ask(self, text: str, answer: str) -> str:
        """Writes to the observer and waits for what begins with `answer`.

        Asks again where the server bounced it, or the observer had too much to read.
        """
        seen, bounced = len(self.heard), self.errors
        self.say(text)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                news, seen = self.heard[seen:], len(self.heard)
                for heard in news:
                    if heard.startswith(answer):
                        return heard
                if self.errors > bounced or any(heard.endswith("not read: too many at once)") for heard in news):
                    bounced = self.errors
                    self.say(text)
                await self.news()

    async def until(self, fits: Callable[[list[str]], bool]) -> None:
        """Waits until what was heard fits."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.heard or not fits(self.heard):
                await self.news()

    async def news(self) -> None:
        """Waits for the next message or error."""
        async with self._news:
            await self._news.wait()

    def stop_reading(self) -> None:
        """The program hangs: its socket stays open, and nobody reads from it again."""
        transport = self.client.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport.pause_reading()

    async def logout(self) -> None:
        if self.client.transport is not None:
            await self.client.disconnect(wait=0.5)

    async def vanish(self) -> None:
        """The program is killed."""
        self.client.abort()
        await asyncio.sleep(0)  # the transports close themselves on the loop's next turns
        await asyncio.sleep(0)

    def _heard(self, stanza: Any) -> None:
        self.stanzas.append(stanza.xml)
        if stanza["type"] == "error":
            self.errors += 1
        elif body := stanza.xml.findtext(f"{CLIENT}body"):
            self.heard.append(body)
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
