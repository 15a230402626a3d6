"""The login of `run.py observe`, on aioxmpp: at one endpoint and nowhere else, the certificate checked."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiosasl
import aioxmpp
import aioxmpp.node
import aioxmpp.ping
import aioxmpp.security_layer
import OpenSSL.SSL
from cryptography import x509

from environment.observing import Login, ObserveError

LOGIN_S = 20.0
"""Wall seconds until a server that says nothing is given up."""


async def _nowhere_else(*_: object, **__: object) -> list[object]:
    return []


aioxmpp.node.discover_connectors = _nowhere_else  # it would go on to the domain's port 5222, another server
for _name in ("aioxmpp", "aioopenssl", "aiosasl"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False


class Verifier(aioxmpp.security_layer.CertificateVerifier):  # type: ignore[misc]  # aioxmpp is untyped
    """Trusts what `ca` has signed (None: the system's authorities) for this domain (RFC 6125), and nothing else.

    aioxmpp's own verifier asks `ssl.match_hostname`, which Python 3.12 has no more.
    """

    def __init__(self, ca: Path | None, domain: str) -> None:
        self.ca = ca
        self.domain = domain.lower()
        self.fault: str | None = None

    def setup_context(self, ctx: Any, transport: Any) -> None:
        super().setup_context(ctx, transport)
        if self.ca is None:
            ctx.set_default_verify_paths()
        else:
            ctx.load_verify_locations(str(self.ca))

    def verify_callback(self, conn: Any, certificate: Any, errno: int, depth: int, right: int) -> bool:
        if not right:
            self.fault = "is not signed by " + (str(self.ca) if self.ca else "an authority of this system")
        elif depth == 0 and not matches(certificate.to_cryptography(), self.domain):
            self.fault = f"is not that of {self.domain}"
        return self.fault is None

    async def post_handshake(self, transport: Any) -> None:
        """There is nothing left to be checked."""


def matches(certificate: x509.Certificate, domain: str) -> bool:
    """Whether a DNS name of the certificate is the domain; a star stands for its whole first label."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    names = {name.lower() for name in alternatives.value.get_values_for_type(x509.DNSName)}
    return domain in names or f"*.{domain.partition('.')[2]}" in names


class Connection:
    """One login; what comes over it waits in a queue, with its end."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.verifier = Verifier(login.ca, login.domain)
        self.works: list[asyncio.Future[Any]] = []
        self._heard: asyncio.Queue[Any] = asyncio.Queue()

    async def open(self) -> None:
        """Raises ObserveError with the reason in one line."""
        login = self.login
        try:
            jid = aioxmpp.JID.fromstr(login.jid)
        except ValueError as error:
            raise ObserveError(f"{login.jid}: is no account ({error}); give yours, such as anna@localhost") from None
        if login.ca is not None:
            try:
                OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD).load_verify_locations(str(login.ca))
            except OpenSSL.SSL.Error:
                raise ObserveError(f"{login.ca}: holds no certificate authority; give its PEM file") from None
        base = aioxmpp.make_security_layer(login.password)
        security = base._replace(certificate_verifier_factory=lambda: self.verifier)
        self.client = aioxmpp.PresenceManagedClient(
            jid,
            security,
            negotiation_timeout=timedelta(seconds=LOGIN_S),
            max_initial_attempts=1,
            override_peer=[(login.host, login.port, aioxmpp.connector.STARTTLSConnector())],
        )
        up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.client.on_stream_established.connect(lambda: None if up.done() else up.set_result(None))
        self.client.on_failure.connect(lambda error: None if up.done() else up.set_exception(error))
        self.client.on_stream_suspended.connect(self._lost)
        self.client.summon(aioxmpp.ping.PingService)
        self.client.presence = aioxmpp.PresenceState(True)
        try:
            async with asyncio.timeout(LOGIN_S):
                await up
        except Exception as error:
            raise ObserveError(self._why(error)) from None

    def _why(self, error: Exception) -> str:
        """What a person can do about this."""
        login = self.login
        if self.verifier.fault is not None:
            return f"the certificate of {login.where} {self.verifier.fault}: give its CA with --ca, or correct --server"
        condition = getattr(error, "condition", None)
        if condition is aioxmpp.errors.StreamErrorCondition.HOST_UNKNOWN:
            return f"{login.where} is no server of {login.domain}: correct the JID, or --server"
        if isinstance(error, aiosasl.SASLError):
            return f"{login.where} refuses the login of {login.jid}: is the account admitted, and the password right?"
        if isinstance(error, TimeoutError):
            return f"{login.where} does not answer as an XMPP server: correct --server HOST:PORT"
        if isinstance(error, OSError) and not isinstance(error, aioxmpp.errors.StreamError):
            causes = getattr(error, "exceptions", None) or [error]
            why = getattr(causes[0], "strerror", None) or causes[0]
            return f"no XMPP server at {login.where} ({why}): start the run, or correct --server HOST:PORT"
        return f"{login.where} does not let {login.jid} in ({' '.join(str(error).split()) or type(error).__name__})"

    def _lost(self, reason: object) -> None:
        self.put(
            ObserveError(f"{self.login.where} has closed the connection, or is gone: the run may have been stopped")
        )

    def put(self, heard: Any) -> None:
        self._heard.put_nowait(heard)

    async def next(self) -> Any:
        """What comes next; an exception is raised."""
        heard = await self._heard.get()
        if isinstance(heard, Exception):
            raise heard
        return heard

    def work_done(self, work: asyncio.Future[Any]) -> None:
        """An error of a task at the side is the end of the watching."""
        if not work.cancelled() and (error := work.exception()) is not None:
            self.put(error)

    async def close(self) -> None:
        """Logs out, if the server still listens."""
        for work in self.works:
            work.cancel()
        client = getattr(self, "client", None)
        if client is None or not client.running:
            return
        stopped = asyncio.Event()
        client.on_stopped.connect(stopped.set)
        client.on_failure.connect(lambda _: stopped.set())
        client.stop()
        try:
            async with asyncio.timeout(2):
                await stopped.wait()
        except TimeoutError:
            return

    async def services(self, category: str) -> list[Any]:
        """The JIDs beside the domain that have this identity (XEP-0030)."""
        disco = self.client.summon(aioxmpp.DiscoClient)
        found = []
        try:
            items = await disco.query_items(aioxmpp.JID.fromstr(self.login.domain))
            for item in items.items:
                try:
                    info = await disco.query_info(item.jid)
                except aioxmpp.errors.XMPPError:
                    continue
                if any(identity.category == category for identity in info.identities):
                    found.append(item.jid)
        except aioxmpp.errors.XMPPError:
            return []
        return found
