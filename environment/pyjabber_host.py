"""SPADE's XMPP server (pyjabber 0.4) with its holes closed, in a process of its own. See `environment.server`.

Run as `python -m environment.pyjabber_host`; it reads one JSON line of settings, then lines of accounts, from its
standard input, answers each with one line, and ends when that closes: it never outlives the program that started it.

pyjabber's parsing, stream negotiation and TLS are used as they are. Replaced is what was open or missing:
- its `Server` (all addresses, server-to-server port, admin page on 9090, forked hash workers that keep the port,
  signal handlers, a certificate authority whose key is in the wheel): here one listener on one loopback address;
- login and registration: no registration, one comparison in constant time, a close after a wrong password;
- stanza handling: `from` is stamped; a stanza that it cannot handle is answered with an error and not by a stream
  that hangs; no routes to other servers; no offline store (whoever is not there: service-unavailable);
- the index of connections, which matched JIDs as regular expressions and kept dead ones for ever;
- contact lists and presence (`pyjabber_roster`): a client hears who was there before it and who has gone;
- a client that does not read: about 1 MB is kept for it, then its session ends; one that says nothing is asked by a
  ping after ten minutes, where pyjabber closed its stream;
- the stream header has `from` (RFC 6120 section 4.7.1), `<?xml?>` may come at a stream's restart, a document type
  or a stanza without end closes the stream.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import re
import ssl
import sys
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree as ET

import loguru
from pyjabber import AppConfig
from pyjabber.db.database import DB
from pyjabber.db.model import Model
from pyjabber.features.presence.PresenceFeature import Presence
from pyjabber.features.SASL.SASL import SASL
from pyjabber.network.ConnectionManager import ConnectionManager
from pyjabber.network.parsers.XMLParser import XMLParser
from pyjabber.network.protocols.XMLProtocol import XMLProtocol
from pyjabber.stream.JID import JID
from pyjabber.stream.utils.Enums import Stage
from pyjabber.stream.utils.Stream import Stream
from pyjabber.utils.Exceptions import NotAuthorizerStreamNegotiationException
from sqlalchemy import delete, insert, select

from environment import pyjabber_litter
from environment.pyjabber_sessions import Handler, host

LARGEST_STANZA = 512 * 1024
FAREWELL_S = 0.5
"""Wall seconds after which a stream is closed after a wrong password: some clients overlook a reason at the end."""
pyjabber_litter.remove()


class Protocol(XMLProtocol):  # type: ignore[misc]
    """One client's TCP connection."""

    _declaration = re.compile(rb"<\?xml[^>]*\?>\s*")

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        parser = self._xml_parser.getContentHandler()
        parser._stream_negotiator._stanza_handler_class = self.session
        self._handler: Handler | None = None
        self._unfinished = 0
        self._asked = False

    def session(self, transport: asyncio.Transport) -> Handler:
        self._handler = Handler(transport)
        return self._handler

    def data_received(self, data: bytes) -> None:
        if self._xml_parser is None or self._transport is None or self._transport.is_closing():
            return
        self._asked = False
        stack = self._xml_parser.getContentHandler()._stack
        begun = stack[1] if len(stack) > 1 else None
        self._unfinished = self._unfinished + len(data) if begun is not None else len(data)
        if b"<!DOCTYPE" in data or self._unfinished > LARGEST_STANZA:
            self._transport.write(b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
            self._transport.close()
            return
        try:
            super().data_received(self._declaration.sub(b"", data) if data.lstrip().startswith(b"<?xml") else data)
            if len(stack) > 1 and stack[1] is not begun:  # many small stanzas in a row are no large one
                self._unfinished = len(data) - max(0, *map(data.rfind, (b"<message", b"<iq", b"<presence")))
        except Exception as error:  # pyjabber raises bare exceptions for what is not well-formed
            loguru.logger.warning("{}: {!r}", self._peer, error)
            if self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(Exception):  # it looks for a connection that a closed stream has taken away
            super().connection_lost(exc)
        ConnectionManager()._peerList.pop(self._peer, None)
        if self._handler is not None:
            self._handler.gone()

    def connection_timeout(self) -> None:
        """Who has said nothing for long is asked (XEP-0199), and only then given up."""
        if self._handler is None or self._timeout_monitor is None:
            super().connection_timeout()
        elif self._asked:
            self._handler.end("connection-timeout", "no answer to a ping")
        else:
            self._asked = True
            self._handler.ping()
            self._timeout_monitor.reset()


_start_element = XMLParser.startElementNS


def start_element(self: XMLParser, name: tuple[str, str], qname: Any, attributes: Any) -> None:
    """A stream header restarts the stream, at whatever moment it comes.

    pyjabber forgets the old header only when its own coroutine goes on after the TLS handshake; a client that is
    faster than that was never answered.
    """
    if name == ("http://etherx.jabber.org/streams", "stream"):
        self._stack.clear()
    _start_element(self, name, qname, attributes)


def response_stream(attributes: Any, server: bool = False) -> bytes:
    return (
        f"<stream:stream id='{uuid4()}' from='{host()}' version='1.0' xml:lang='en' xmlns='jabber:client'"
        " xmlns:stream='http://etherx.jabber.org/streams'>"
    ).encode()


async def no_registration(self: SASL, element: ET.Element) -> None:
    raise NotAuthorizerStreamNegotiationException


async def log_in(self: SASL, element: ET.Element) -> Stage | None:
    """SASL PLAIN (RFC 4616) against the stored hash; a wrong password ends the stream."""
    user, right = "", False
    with contextlib.suppress(ValueError, UnicodeDecodeError):
        if element.get("mechanism") == "PLAIN":
            identity, user, password = base64.b64decode(element.text or "").decode().split("\0")
            right = identity in ("", f"{user}@{host()}") and await matches(user, password)
    if not right:
        self._transport.write(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
        self._transport.pause_reading()  # no second try on this stream
        asyncio.get_running_loop().call_later(FAREWELL_S, ConnectionManager().close, self._peer)
        return None
    ConnectionManager().set_jid(self._peer, JID(user=user, domain=host()))
    self._transport.write(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
    self._parser.reset_stack()
    return Stage.AUTH


async def matches(user: str, password: str) -> bool:
    async with await DB.connection_async() as connection:
        query = select(Model.Credentials.c.hash_pwd).where(Model.Credentials.c.jid == user)
        row = (await connection.execute(query)).fetchone()
    if row is None:
        return False
    _, iterations, salt, stored = row[0].split("$")
    arguments = "sha256", password.encode(), bytes.fromhex(salt), int(iterations)
    if int(iterations) > 1:  # a thread, not a forked worker
        return hmac.compare_digest((await asyncio.to_thread(hashlib.pbkdf2_hmac, *arguments)).hex(), stored)
    return hmac.compare_digest(hashlib.pbkdf2_hmac(*arguments).hex(), stored)


async def admit(accounts: list[list[str]]) -> None:
    """Stores (user, hash) pairs, each in place of what was stored under that name."""
    async with await DB.connection_async() as connection:
        for start in range(0, len(accounts), 500):
            some = accounts[start : start + 500]
            users = [user for user, _ in some]
            await connection.execute(delete(Model.Credentials).where(Model.Credentials.c.jid.in_(users)))
            await connection.execute(insert(Model.Credentials), [{"jid": user, "hash_pwd": h} for user, h in some])
        await connection.commit()


def harden() -> None:
    """Puts our functions in place of pyjabber's, in this process only."""
    Stream.responseStream = staticmethod(response_stream)
    SASL.handle_iq, SASL.handle_auth = no_registration, log_in
    XMLParser.startElementNS, XMLParser.reset_stack = start_element, lambda self: None
    Presence.put_nowait = lambda self, value: None  # nobody takes anything out of its queue


async def serve(settings: dict[str, Any]) -> None:
    loguru.logger.remove()
    loguru.logger.add(settings["log"], level="INFO")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(settings["certificate"], settings["key"])
    AppConfig.app_config = AppConfig.AppConfig(
        host=settings["domain"],
        ip=[],
        ssl_context=tls,
        ssl_context_s2s=tls,
        connection_timeout=settings["idle_s"],
        family=None,
        server_port=0,
        database_path=settings["database"],  # a file: in memory, a dropped client can wipe it
        database_purge=False,
        database_in_memory=False,
        database_debug=False,
        config_path="",
        cert_path="",
        root_path="",
        message_persistence=False,
        semaphore=asyncio.Semaphore(1),
        process_pool_exe=None,
        verbose=False,
        plugins=[],
        items={},
    )
    harden()
    await DB.setup_database()
    lines = asyncio.StreamReader(limit=64 * 1024 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        listener = await loop.create_server(
            lambda: Protocol("jabber:client", settings["idle_s"]), settings["address"], settings["port"], backlog=1000
        )
    except OSError as error:
        tell({"error": error.strerror or str(error)})
        return
    tell({"port": listener.sockets[0].getsockname()[1]})
    while line := await lines.readline():
        await admit(json.loads(line)["admit"])
        tell({})
    listener.close()


def tell(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
