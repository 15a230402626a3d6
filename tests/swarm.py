"""A small swarm for tests: virtual time, the post of one process, no server. See tests/agents/test_actor.py.

def test_x() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(MyVpp, "vpp", Role.VPP)
        ...
    run_swarm(main)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from agents.actor import Actor
from agents.directory import Directory
from behaviours.ports import Letter
from behaviours.post import PostOffice
from behaviours.swarm import ServerAccess, Swarm
from environment.clock import ScaledClock, VirtualClock, run
from environment.prosody import Prosody
from environment.server import EmbeddedServer, generated_passwords
from protocols.acl import AclMessage
from protocols.roles import Role

START = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)
GUARD_S = 30.0
"""Wall seconds after which a test that hangs fails."""

_A = TypeVar("_A", bound=Actor)


@dataclass
class ListRecorder:
    """Keeps what was said in lists."""

    messages: list[tuple[datetime, AclMessage]] = field(default_factory=list)
    malformed: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)

    def record(self, at: datetime, message: AclMessage) -> None:
        self.messages.append((at, message))

    def record_malformed(self, at: datetime, sender: str, receiver: str, faults: Sequence[str]) -> None:
        self.malformed.append((sender, receiver, tuple(faults)))

    def script(self, *, services: bool = False) -> list[str]:
        """`sender > receiver: performative` of each message, without the directory's unless `services`."""
        return [
            f"{_name(m.sender)} > {_name(m.receiver)}: {m.performative}"
            for _, m in self.messages
            if services or "directory" not in (_name(m.sender), _name(m.receiver))
        ]


class SwarmUnderTest:
    """Actors in process; with `server` they log in there as well, and `wire` puts every letter on it."""

    def __init__(
        self,
        server: EmbeddedServer | Prosody | None = None,
        *,
        wire: bool = False,
        clock: VirtualClock | ScaledClock | None = None,
        judge: bool = False,
    ) -> None:
        self.judge = judge
        self.clock = clock or VirtualClock(START)
        self.post = PostOffice(self.clock, wire=wire)
        self.recorder = ListRecorder()
        self.errors: list[BaseException] = []
        self.admitted: dict[str, Role] = {}
        self.actors: list[Actor] = []
        self.server = server
        self.main: asyncio.Task[Any] | None = None
        self._set_up(None)

    def _set_up(self, access: ServerAccess | None) -> None:
        self.swarm = Swarm(
            clock=self.clock,
            post=self.post,
            recorder=self.recorder,
            directory=jid("directory"),
            failed=self._failed,
            server=access,
            judge=self.judge,
        )

    async def _open(self) -> None:
        if self.server is not None:
            with self.clock.outstanding():
                self._set_up(await self.server.start())
        await self.start_directory()

    async def _account(self, name: str) -> str:
        """The password of a new account on the server."""
        if self.server is None:
            return ""
        accounts = generated_passwords([name])
        with self.clock.outstanding():
            await self.server.admit(accounts)
        return accounts[name]

    async def start_directory(self) -> Directory:
        password = await self._account("directory")
        directory = Directory(jid("directory"), password, self.swarm, self.admitted)
        self.actors.insert(0, directory)
        await directory.start()
        self.directory = directory
        return directory

    async def start(self, kind: Callable[..., _A], name: str, *arguments: Any, **options: Any) -> _A:
        """Admits and starts an actor of class `kind`, whose role is the class's."""
        actor = kind(jid(name), await self._account(name), self.swarm, *arguments, **options)
        self.admit(name, actor.role)
        self.actors.append(actor)
        await actor.start()
        return actor

    def admit(self, name: str, role: Role) -> None:
        self.directory.admitted[jid(name)] = role
        self.directory.roles[jid(name)] = role

    def at(self, minutes: float) -> datetime:
        """The time so many minutes after the start."""
        return START + timedelta(minutes=minutes)

    def inject(self, message: AclMessage) -> None:
        """Puts a message into the post as if its sender had sent it."""
        self.post.send(
            Letter(message.sender, message.receiver, message.body(), message.metadata(), message.conversation_id)
        )

    async def settle(self) -> None:
        """Waits until everything that is under way has been worked off; no scenario time passes."""
        idle = asyncio.Event()
        for _ in range(50):
            idle.clear()
            self.clock.call_idle(idle.set)
            await idle.wait()

    def _failed(self, error: BaseException) -> None:
        self.errors.append(error)
        if self.main is not None:
            self.main.cancel()

    async def _stop(self) -> None:
        await asyncio.gather(*(actor.stop() for actor in self.actors))
        if self.server is not None:
            await self.server.stop()


Main = Callable[[SwarmUnderTest], Coroutine[Any, Any, Any]]


def run_swarm(main: Main, swarm: SwarmUnderTest | None = None, *, guard_s: float = GUARD_S) -> SwarmUnderTest:
    """Starts a directory, runs `main(swarm)` to its end, stops everybody. An agent's error is raised here."""
    under_test = swarm or SwarmUnderTest()

    async def body() -> SwarmUnderTest:
        under_test.main = asyncio.current_task()
        try:
            async with asyncio.timeout(guard_s):
                await under_test._open()
                await main(under_test)
        except asyncio.CancelledError:
            if not under_test.errors:
                raise
        finally:
            under_test.main = None
            await under_test._stop()
        if under_test.errors:
            raise under_test.errors[0]
        return under_test

    return run(body, under_test.clock)


def jid(name: str) -> str:
    """The JID of the agent called `name`."""
    return f"{name}@localhost"


def _name(address: str) -> str:
    return address.partition("@")[0]
