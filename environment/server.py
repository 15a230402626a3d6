"""The XMPP server of a run: embedded, on loopback, closed to strangers; or the address of a real one.

The embedded server is SPADE's (pyjabber), hardened in `environment.pyjabber_host`, in a process of its own: it uses the
second core, its state is not ours, and a kill takes nothing of the swarm with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import ssl
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from behaviours.swarm import ServerAccess
from environment import pyjabber_litter
from environment.certificates import make_certificates

pyjabber_litter.remove()  # importing SPADE has made it

START_S = 30.0
"""Wall seconds that the server may take to come up on a busy machine."""
IDLE_S = 600.0
"""Wall seconds after which a client that says nothing is asked whether it is there, and after as many given up."""
STRONG_ITERATIONS = 100_000


class ServerError(RuntimeError):
    """There is no XMPP server to use; one line says where, why, and what to do."""


def generated_passwords(names: Iterable[str]) -> dict[str, str]:
    """A random password of 192 bits for each account, for one run."""
    return {name: secrets.token_urlsafe(24) for name in names}


class EmbeddedServer:
    """An XMPP server for the swarm and those the user admits. `folder` is private to the run.

    `async with EmbeddedServer(folder) as server` starts and stops it. `port` 0 is any free one.
    """

    def __init__(self, folder: Path, *, domain: str = "localhost", port: int = 0, address: str = "127.0.0.1") -> None:
        self.folder = folder.absolute()  # its process works in another directory
        self.domain = domain
        self.port = port
        self.address = address
        self._process: asyncio.subprocess.Process | None = None
        self._files: tuple[Path, Path, Path] | None = None

    async def start(self) -> ServerAccess:
        """Starts the server, or starts it again after `kill` with its accounts. Raises ServerError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._files is None:
            self._files = make_certificates(self.folder, self.domain)
        with (self.folder / "server-errors.txt").open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "environment.pyjabber_host",
                cwd=Path(__file__).parents[1],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C must end the swarm first
            )
        answer = await self._ask(
            {
                "domain": self.domain,
                "address": self.address,
                "port": self.port,
                "certificate": str(self._files[1]),
                "key": str(self._files[2]),
                "database": str(self.folder / "accounts.db"),
                "log": str(self.folder / "server-log.txt"),
                "idle_s": IDLE_S,
            }
        )
        if "error" in answer:
            await self.stop()
            raise ServerError(
                f"the XMPP server cannot listen on {self.address}:{self.port} ({answer['error']}):"
                " end the program that has the port, or choose another with --port (0: any free one)"
            )
        self.port = answer["port"]
        return self.access

    @property
    def access(self) -> ServerAccess:
        """Where clients find the server, with TLS that trusts this run's authority and no other."""
        return ServerAccess(self.address, self.port, client_tls(self.ca_file))

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, for chat programs and integrators."""
        if self._files is None:
            raise ServerError("the XMPP server has not been started: call start() first")
        return self._files[0]

    async def admit(self, accounts: Mapping[str, str], *, generated: bool = True) -> None:
        """Lets in these accounts (local name or JID -> password); known ones get the new password.

        `generated`: the passwords are random ones of this run, for which one round of PBKDF2 is enough (a start
        of hundreds of agents would otherwise wait for hashes). For a person's password say False.
        """
        rounds = 1 if generated else STRONG_ITERATIONS
        hashes = await asyncio.to_thread(_hashes, accounts, self.domain, rounds)
        await self._ask({"admit": hashes})

    async def stop(self) -> None:
        """Ends the server and waits until its port is free."""
        if (process := self._process) is None:
            return
        self._process = None
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def kill(self) -> None:
        """Ends the server at once, as a crash does; for tests."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    async def __aenter__(self) -> EmbeddedServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise ServerError("the XMPP server is not running: call start() first")
        line = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            async with asyncio.timeout(START_S):
                await self._process.stdin.drain()
                line = await self._process.stdout.readline()
        if not line:
            await self.kill()
            raise ServerError(f"the embedded XMPP server has died: see {self.folder / 'server-errors.txt'}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def client_tls(ca_file: Path | None = None) -> ssl.SSLContext:
    """The TLS of all clients of a process: it trusts `ca_file`, or the system's authorities.

    Raises ServerError where the file is none.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ServerError(f"{ca_file} holds no certificate authority ({error}): give its PEM file") from None


def _hashes(accounts: Mapping[str, str], domain: str, rounds: int) -> list[list[str]]:
    """Accounts as the server stores them: local name, and `sha256$rounds$salt$hash`."""
    found = []
    for name, password in accounts.items():
        user, _, its_domain = name.partition("@")
        if its_domain not in ("", domain):
            raise ServerError(f"account {name} is not of this server: its domain is {domain}")
        salt = secrets.token_bytes(16)
        digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        found.append([user, f"sha256${rounds}${salt.hex()}${digest.hex()}"])
    return found
