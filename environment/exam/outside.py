"""The exam of somebody's live agent, over XMPP, in scaled time."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from behaviours.swarm import ServerAccess
from environment.access import DOMAIN, AccountsError, read_accounts, server_address, swarm_accounts
from environment.clock import ScaledClock
from environment.exam.hall import Hall
from environment.exam.judge import Verdict
from environment.exam.script import Script
from environment.server import EmbeddedServer, client_tls, generated_passwords
from protocols.exchanges.services import DirectoryEntry
from protocols.roles import Role

SPEED = 60.0
WAIT_S = 120.0
STALL_S = 60.0
"""Wall seconds beyond its own length after which an exam is broken off."""


@dataclass(frozen=True)
class Place:
    """Where an exam is held: on a server that has the accounts of everybody of the record, or on an embedded one, which
    lets in the accounts of the file `admit`. `speaking`: the roles that open conversations (None: all)."""

    server: str | None = None
    accounts: Path | None = None
    admit: Path | None = None
    ca: Path | None = None
    port: int = 0
    speed: float = SPEED
    wait_s: float = WAIT_S
    speaking: frozenset[Role] | None = None


class ExamClock(ScaledClock):
    """A scaled clock within a loop that runs already; it stands until `go`."""

    def join(self) -> None:
        """Keeps to the running loop's time from now on."""
        self._loop = asyncio.get_running_loop()


async def examine(
    scripts: Sequence[tuple[str, Script]], jid: str, place: Place, tell: Callable[[str], None]
) -> list[Verdict]:
    """Holds these exams (case and script) one after another; `jid` is the live agent's, which stays logged in. Raises
    AccountsError, ServerError and LinkError where there is no place to hold them in."""
    async with AsyncExitStack() as stack:
        access, passwords, domain = await _server(scripts, jid, place, tell, stack)
        verdicts: list[Verdict] = []
        known: DirectoryEntry | None = None
        for number, (case, script) in enumerate(scripts, start=1):
            tag = f"exam{number}-" if len(scripts) > 1 else ""
            verdict, known = await _hold(case, script, jid, place, access, passwords, domain, tag, known, tell)
            verdicts.append(verdict)
            if known is None:
                break  # whoever does not come to one exam does not come to the next
        return verdicts


async def _server(
    scripts: Sequence[tuple[str, Script]],
    jid: str,
    place: Place,
    tell: Callable[[str], None],
    stack: AsyncExitStack,
) -> tuple[ServerAccess, dict[str, str], str]:
    """The server, the accounts of the puppets, and their domain."""
    if place.server is not None:
        if place.accounts is None:
            raise AccountsError("--server needs --accounts FILE with an account for everybody whom the exam plays")
        accounts = read_accounts(place.accounts)
        host, port = server_address(place.server)
        return ServerAccess(host, port, client_tls(place.ca)), accounts, _domain(accounts, scripts)
    admitted = read_accounts(place.admit) if place.admit is not None else {}
    if jid not in admitted:
        raise AccountsError(
            f'{jid} has no account on the embedded server: give --admit FILE with a line "{jid}" = "password", '
            "or --server HOST with --accounts FILE"
        )
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    server = EmbeddedServer(folder / "server", domain=DOMAIN, port=place.port)
    access = await server.start()
    stack.push_async_callback(server.stop)
    names = {
        f"{peer.partition('@')[0]}@{DOMAIN}" for _, script in scripts for peer in (*script.peers, script.directory)
    }
    passwords = generated_passwords(sorted(names - {jid}))
    await server.admit(passwords)
    await server.admit(admitted, generated=False)
    tell(f"the XMPP server listens on {access.host}:{access.port}, domain {DOMAIN}; its authority: {server.ca_file}")
    return access, passwords, DOMAIN


def _domain(accounts: dict[str, str], scripts: Sequence[tuple[str, Script]]) -> str:
    """The domain whose accounts suffice for every puppet. Raises AccountsError naming those that are missing."""
    needed = {peer.partition("@")[0] for _, script in scripts for peer in (*script.peers, script.directory)}
    return swarm_accounts(accounts, [f"{name}@" for name in sorted(needed)])


async def _hold(
    case: str,
    script: Script,
    jid: str,
    place: Place,
    access: ServerAccess,
    passwords: dict[str, str],
    domain: str,
    tag: str,
    known: DirectoryEntry | None,
    tell: Callable[[str], None],
) -> tuple[Verdict, DirectoryEntry | None]:
    """One exam: waits for the agent to register, unless it has in the one before, and plays the record to its end."""
    clock = ExamClock(script.record.scenario.begins, place.speed, held=True)
    clock.join()
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def failed(error: BaseException) -> None:
        if not failure.done():
            failure.set_exception(error)

    async with AsyncExitStack() as stack:
        hall = Hall(
            script,
            clock,
            clock,
            access,
            passwords,
            domain,
            jid,
            failed=failed,
            tag=tag,
            speaking=place.speaking,
        )
        await hall.open(stack)
        tell(f"{case}: waiting for {jid} to register as {script.role} with {hall.directory_jid}")
        if not await hall.wait_for(place.wait_s, known):
            hall.not_registered(place.wait_s)
            return hall.verdict(case), None
        length = (script.ends - script.record.scenario.begins).total_seconds() / place.speed
        tell(f"{case}: {jid} is there; about {length / 60:.0f} min at {place.speed:g} times wall time")
        hall.examiner.begin()
        clock.go()
        over = asyncio.ensure_future(hall.over.wait())
        waiting: set[asyncio.Future[Any]] = {over, failure}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=length * 1.2 + STALL_S)
        clock.halt()
        if failure.done():
            over.cancel()
            failure.result()
        why_not = "" if over.done() else "the exam did not come to its end in time"
        over.cancel()
        return hall.verdict(case, why_not), hall.directory.entries.get(jid)
