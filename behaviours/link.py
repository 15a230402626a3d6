"""An agent's XMPP connection: logged in with verified TLS, back by itself after it broke."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import zlib
from collections.abc import Callable
from typing import Any

from slixmpp import ClientXMPP
from slixmpp.util.sasl import mechanisms
from slixmpp.util.sasl.client import sasl_mech
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath
from spade.presence import PresenceManager

from behaviours.delivery import Incoming, Outgoing
from behaviours.ports import Letter
from behaviours.post import bare
from behaviours.stanzas import CLIENT, Arrival, Bounce, Receipt, read, receipt_xml, to_xml
from behaviours.swarm import ServerAccess

log = logging.getLogger("gridparley.link")
# SPADE asks a presence for what only contacts have, and slixmpp warns of that on the user's screen.
logging.getLogger().addFilter(lambda record: record.msg != "Unknown stanza interface: ask")

LOGIN_S = 60.0
"""How long (wall time) a login may take; hundreds of agents log in at once."""
FIRST_RECONNECT_S = 0.2
LONGEST_RECONNECT_S = 5.0
GIVE_UP_S = 120.0
"""A server that is gone for so long (wall time) while letters wait for it ends the run."""


class LinkError(RuntimeError):
    """An agent has no XMPP connection; one line says where and what to do."""


class ServerUnreachableError(LinkError):
    """Nothing answers at the server's address, or not as an XMPP server with our certificate."""


class LoginRefusedError(LinkError):
    """The server does not accept this JID with this password."""


class _HashlibScram(mechanisms.SCRAM):  # type: ignore[misc]  # slixmpp is untyped
    """slixmpp's SCRAM with PBKDF2 by OpenSSL: 3 ms in place of 40 to 75 ms for 10,000 iterations."""

    def Hi(self, text: bytes, salt: bytes, iterations: int) -> bytes:
        algorithm = self.hash_name.lower().replace("sha-", "sha").replace("-", "_")
        return hashlib.pbkdf2_hmac(algorithm, bytes(text), salt, iterations)


_HashlibScram.name = "SCRAM"
sasl_mech(60)(_HashlibScram)


class Link:
    """The connection of one agent, and the delivery over it. `agent` is an Actor."""

    def __init__(self, agent: Any, access: ServerAccess) -> None:
        self._agent = agent
        self._access = access
        swarm = agent.swarm
        self.outgoing = Outgoing(swarm.clock, self._transmit, swarm.post.is_local, gave_up=swarm.gone)
        self.incoming = Incoming()
        self.reconnects = 0
        self.lost: Callable[[str], None] = lambda jid: None
        """Told of the JID of a client that has gone, or to which something could not be handed over."""
        self._full: dict[str, str] = {}
        self._closing = False
        self._delay = FIRST_RECONNECT_S
        self._retry: asyncio.TimerHandle | None = None
        self._down_since: float | None = None
        self._login: asyncio.Future[None] | None = None
        self._client = self._make_client()

    @property
    def is_up(self) -> bool:
        """Whether the agent is logged in now."""
        return bool(self._client.transport is not None and self._client.sessionstarted)

    @property
    def client(self) -> Any:
        """The slixmpp client, for what an agent does on the server besides sending letters."""
        return self._client

    @property
    def agent(self) -> Any:
        """Whose connection it is."""
        return self._agent

    async def connect(self) -> None:
        """Logs in. Raises ServerUnreachableError or LoginRefusedError."""
        self._login = asyncio.get_running_loop().create_future()
        self._client.connect(self._access.host, self._access.port)
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._login
        except TimeoutError:
            self._closing = True
            self._client.abort()
            raise ServerUnreachableError(
                f"{self._where()} did not let {self._agent.address} in within {LOGIN_S:.0f} s:"
                " check that it is an XMPP server and not overloaded"
            ) from None
        except LinkError:
            self._closing = True
            self._client.cancel_connection_attempt()
            self._client.abort()
            raise
        finally:
            self._login = None

    async def close(self) -> None:
        """Logs out."""
        self._closing = True
        self.outgoing.close()
        if self._retry is not None:
            self._retry.cancel()
        self._client.cancel_connection_attempt()
        if self._client.transport is not None:
            await self._client.disconnect(wait=0.5, ignore_send_queue=True)
        filters = self._client._run_out_filters
        if filters is not None:
            filters.cancel()

    def send(self, letter: Letter) -> None:
        """Takes a letter on for delivery; it is retried until it is acknowledged."""
        self.outgoing.send(letter)

    def write(self, xml: str) -> bool:
        """Writes a stanza once, without receipt and retry; says whether there is a connection."""
        if self.is_up:
            self._client.send_raw(xml)
        return self.is_up

    @property
    def backlog(self) -> int:
        """Bytes that were written and have not left."""
        transport = self._client.transport
        return 0 if transport is None else int(transport.get_write_buffer_size())

    # --- the client

    def _make_client(self) -> ClientXMPP:
        agent = self._agent
        client = ClientXMPP(agent.address, agent.password, ssl_context=self._access.tls)
        client.enable_direct_tls = False
        client.enable_plaintext = False
        client.register_plugin("xep_0199")  # answers pings; its keepalive finds a dead link
        client["xep_0199"].enable_keepalive(interval=55, timeout=20)
        client.register_handler(Callback("gridparley", MatchXPath(f"{CLIENT}message"), self._heard))
        client.add_event_handler("session_start", self._up)
        client.add_event_handler("disconnected", self._down)
        client.add_event_handler("connection_failed", self._unreachable)
        client.add_event_handler("failed_all_auth", self._refused)
        client.add_event_handler("ssl_invalid_chain", self._bad_certificate)
        client.add_event_handler("presence_unavailable", self._gone)
        agent.client = client
        agent.presence = PresenceManager(agent=agent, approve_all=True)
        return client

    def _up(self, _: object) -> None:
        self._delay, self._down_since = FIRST_RECONNECT_S, None
        self._client.send_presence()
        self._client.get_roster()
        if self._login is not None and not self._login.done():
            self._login.set_result(None)
        else:
            self.reconnects += 1
            log.info("%s is logged in again", self._agent.address)
        self.outgoing.link_up()

    def _down(self, reason: object) -> None:
        if isinstance(reason, ssl.SSLCertVerificationError):
            self._bad_certificate(reason)
        elif self._login is not None and not self._login.done():
            self._fail(ServerUnreachableError(f"{self._where()} closed the connection ({reason}): see its log"))
        elif not self._closing:
            log.info("%s lost its connection (%s)", self._agent.address, reason)
            self._full.clear()
            self._reconnect_later()

    def _unreachable(self, reason: object) -> None:
        if self._login is not None and not self._login.done():
            self._fail(
                ServerUnreachableError(
                    f"no XMPP server at {self._where()} ({reason}): start it, or correct --server HOST:PORT"
                )
            )
        elif not self._closing:
            self._client.cancel_connection_attempt()
            self._reconnect_later()

    def _reconnect_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._down_since = self._down_since or loop.time()
        if len(self.outgoing) and loop.time() - self._down_since > GIVE_UP_S:
            self._agent.swarm.failed(
                ServerUnreachableError(f"{self._where()} is gone for {GIVE_UP_S:.0f} s: start it again")
            )
            return
        spread = 0.5 + zlib.crc32(self._agent.address.encode()) / 2**32  # not all agents at the same moment
        if self._retry is not None:
            self._retry.cancel()
        self._retry = loop.call_later(self._delay * spread, self._reconnect)
        self._delay = min(LONGEST_RECONNECT_S, self._delay * 2)

    def _reconnect(self) -> None:
        if not self._closing:
            self._client.connect(self._access.host, self._access.port)

    def _refused(self, _: object) -> None:
        error = LoginRefusedError(
            f"{self._where()} refuses the login of {self._agent.address}: check that the account exists"
            " and that its password is right"
        )
        if self._login is not None:
            self._fail(error)
        elif not self._closing:
            self._agent.swarm.failed(error)

    def _bad_certificate(self, error: ssl.SSLError) -> None:
        self._fail(
            ServerUnreachableError(
                f"{self._where()} shows a certificate that is not trusted ({error}): give the CA that signed it"
            )
        )

    def _fail(self, error: LinkError) -> None:
        if self._login is not None and not self._login.done():
            self._login.set_exception(error)

    def _where(self) -> str:
        return f"{self._access.host}:{self._access.port}"

    # --- what goes over it

    def _transmit(self, letter: Letter, stanza_id: str) -> bool:
        if not self.is_up:
            return False
        self._client.send_raw(to_xml(letter, self._full.get(letter.receiver, letter.receiver), stanza_id))
        return True

    def _heard(self, stanza: Any) -> None:
        match read(stanza.xml, self._agent.address):
            case Receipt(sender=sender, stanza_id=stanza_id):
                self.outgoing.acknowledged(sender, stanza_id)
            case Bounce(why=why):
                log.info("a letter of %s came back: %s", self._agent.address, why)
                self._full.clear()
                self.lost(stanza.xml.get("from") or "")
            case Arrival(letter=letter, stanza_id=stanza_id, wants_receipt=wants_receipt):
                if wants_receipt:
                    self._client.send_raw(receipt_xml(letter.sender, stanza_id))
                    if not self.incoming.is_new(letter.sender, stanza_id):
                        return
                if not self._agent.swarm.post.is_local(bare(letter.sender)):
                    self._full[bare(letter.sender)] = letter.sender  # answers go to the client that asked
                self._agent.deliver(letter)

    def _gone(self, presence: Any) -> None:
        sender = presence["from"]
        if self._full.get(sender.bare) == str(sender):
            del self._full[sender.bare]
        self.lost(str(sender))
