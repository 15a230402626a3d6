"""A small client of somebody else that answers in a chat: for tests of servers and watchers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from slixmpp import ClientXMPP

from behaviours.swarm import ServerAccess

LOGIN_S = 20.0


@asynccontextmanager
async def answering(
    access: ServerAccess, jid: str, password: str, answers: Callable[[str], Iterable[str]], status: str = ""
) -> AsyncIterator[ClientXMPP]:
    """Answers each chat message with what `answers` has for its text; everybody may see whether it is there."""
    client = ClientXMPP(jid, password, ssl_context=access.tls)
    client.enable_direct_tls = False
    client.register_plugin("xep_0199")
    up = asyncio.Event()

    def said(message: Any) -> None:
        if message["type"] == "chat" and message["body"]:
            for text in answers(message["body"]):
                message.reply(text).send()

    client.add_event_handler("message", said)
    client.add_event_handler("session_start", lambda _: up.set())
    client.connect(access.host, access.port)
    async with asyncio.timeout(LOGIN_S):
        await up.wait()
    client.send_presence(pstatus=status or None)
    try:
        yield client
    finally:
        await client.disconnect(wait=0.2)
        client._run_out_filters.cancel()
