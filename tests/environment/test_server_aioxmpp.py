"""A second implementation of XMPP, which is strict where slixmpp is not, chats on the embedded server."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path

import pytest

from environment.server import EmbeddedServer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    aioxmpp = pytest.importorskip("aioxmpp", reason="no wheel of its lxml for this Python", exc_type=ImportError)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_two_aioxmpp_clients_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import aioxmpp.dispatcher

    async def nowhere_else(*_: object, **__: object) -> list[object]:
        return []

    monkeypatch.setattr(aioxmpp.node, "discover_connectors", nowhere_else)  # it would fall back to port 5222
    async with EmbeddedServer(tmp_path) as server:
        await server.admit({"anna": "secret", "bert": "secret"})

        def client(name: str) -> aioxmpp.PresenceManagedClient:
            return aioxmpp.PresenceManagedClient(
                aioxmpp.JID.fromstr(f"{name}@localhost"),
                aioxmpp.make_security_layer("secret", no_verify=True),
                override_peer=[(server.address, server.port, aioxmpp.connector.STARTTLSConnector())],
            )

        anna, bert = client("anna"), client("bert")
        heard: asyncio.Queue[str] = asyncio.Queue()
        dispatcher = bert.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        dispatcher.register_callback(
            aioxmpp.MessageType.CHAT, None, lambda message: heard.put_nowait(message.body.any())
        )
        async with asyncio.timeout(15), anna.connected() as stream, bert.connected():
            message = aioxmpp.Message(to=bert.local_jid.bare(), type_=aioxmpp.MessageType.CHAT)
            message.body[None] = "Živjo"
            await stream.send(message)
            assert await heard.get() == "Živjo"
