"""A real Prosody (Debian's package) on loopback, for tests and for whoever wants one beside the swarm.

It is set up like the embedded server: this run's own authority, accounts made beforehand, nobody else. Besides, it has
rooms (XEP-0045) on `conference.DOMAIN` and nodes (XEP-0060) on `pubsub.DOMAIN`, whose items are in memory: a publish
takes 1 ms and not 5.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from behaviours.swarm import ServerAccess
from environment.certificates import make_certificates
from environment.server import START_S, ServerError, client_tls

ITERATIONS = 4096
"""SCRAM's least (RFC 7677 section 4); the passwords are random ones of one run."""

CONFIGURATION = """
run_as_root = {as_root}
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "ping", "presence", "message", "iq", "c2s" }}
modules_disabled = {{ "s2s", "offline", "http", "posix" }}
allow_registration = false
c2s_require_encryption = true
authentication = "internal_hashed"
default_storage = "internal"
storage = {{ pubsub_data = "memory" }}
limits = {{ }}
log = {{ info = "{folder}/prosody-log.txt" }}
VirtualHost "{domain}"
    ssl = {{ certificate = "{certificate}", key = "{key}" }}
"""

ROOMS = """
Component "conference.{domain}" "muc"
"""

NODES = """
Component "pubsub.{domain}" "pubsub"
    admins = {{ "{publisher}@{domain}" }}
"""
"""Prosody lets nobody but the service's admins make nodes."""


def prosody_program() -> str | None:
    """The program's path, None where Prosody is not installed."""
    return shutil.which("prosody") or shutil.which("prosody", path="/usr/sbin:/usr/bin:/usr/local/bin")


class Prosody:
    """The same uses as EmbeddedServer. `folder` is private to the run; `port` 0 is any free one. Without `rooms` it has
    no XEP-0045, without a `publisher` (the local name of who may make nodes) no XEP-0060."""

    def __init__(
        self,
        folder: Path,
        *,
        domain: str = "localhost",
        port: int = 0,
        rooms: bool = True,
        publisher: str | None = "observer",
    ) -> None:
        self.folder = folder
        self.domain = domain
        self.port = port
        self.rooms = rooms
        self.publisher = publisher
        self._process: asyncio.subprocess.Process | None = None
        self._files: tuple[Path, Path, Path] | None = None

    async def start(self) -> ServerAccess:
        """Starts it, or starts it again after `kill`. Raises ServerError."""
        program = prosody_program()
        if program is None:
            raise ServerError("there is no Prosody on this machine: apt-get install prosody")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._files = self._files or make_certificates(self.folder, self.domain)
        self.port = self.port or _free_port()
        configuration = self.folder / "prosody.cfg.lua"
        wanted = CONFIGURATION + (ROOMS if self.rooms else "") + (NODES if self.publisher else "")
        configuration.write_text(
            wanted.format(
                as_root="true" if os.getuid() == 0 else "false",
                folder=self.folder,
                port=self.port,
                domain=self.domain,
                certificate=self._files[1],
                key=self._files[2],
                publisher=self.publisher,
            ),
            encoding="utf-8",
        )
        with (self.folder / "prosody-output.txt").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                program,
                "--config",
                str(configuration),
                "-F",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C must end the swarm first
            )
        await self._listening(self._process)
        return self.access

    @property
    def access(self) -> ServerAccess:
        """Where clients find the server, with TLS that trusts this run's authority and no other."""
        return ServerAccess("127.0.0.1", self.port, client_tls(self.ca_file))

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, for chat programs and `run.py --ca`."""
        if self._files is None:
            raise ServerError("Prosody has not been started: call start() first")
        return self._files[0]

    async def admit(self, accounts: Mapping[str, str], *, generated: bool = True) -> None:
        """Writes account files (local name or JID -> password); Prosody reads them at login."""
        folder = self.folder / "data" / _encoded(self.domain) / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        for name, password in accounts.items():
            file = folder / f"{_encoded(name.partition('@')[0])}.dat"
            file.write_text(_credentials(password, ITERATIONS), encoding="ascii")

    async def stop(self) -> None:
        """Ends it."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(5):
                    await self._process.wait()
            except TimeoutError:
                await self.kill()
        self._process = None

    async def kill(self) -> None:
        """Ends it at once, as a crash does."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._process = None

    async def __aenter__(self) -> Prosody:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _listening(self, process: asyncio.subprocess.Process) -> None:
        """Waits until it accepts connections."""
        for _ in range(int(START_S / 0.05)):
            if process.returncode is not None:
                break
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        await self.kill()
        raise ServerError(f"Prosody does not listen on 127.0.0.1:{self.port}: see {self.folder}/prosody-log.txt")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _encoded(name: str) -> str:
    """A name as Prosody's storage writes it: everything but letters and digits as %xx."""
    plain = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    return "".join(chr(byte) if byte in plain else f"%{byte:02x}" for byte in name.encode())


def _credentials(password: str, iterations: int) -> str:
    """What mod_auth_internal_hashed stores (RFC 5802 section 3)."""
    salt = secrets.token_hex(8)
    salted = hashlib.pbkdf2_hmac("sha1", password.encode(), salt.encode(), iterations)
    stored = hashlib.sha1(hmac.digest(salted, b"Client Key", "sha1")).hexdigest()
    server = hmac.digest(salted, b"Server Key", "sha1").hex()
    return (
        f'return {{\n\t["iteration_count"] = {iterations};\n\t["salt"] = "{salt}";\n'
        f'\t["stored_key"] = "{stored}";\n\t["server_key"] = "{server}";\n}};\n'
    )
