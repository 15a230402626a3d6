"""How fast the swarm comes up on the embedded server: `python -m benchmarks.start [46 111 311]`.

Each agent has its own account, TCP connection, TLS handshake, SCRAM login and registration with the directory, as in a
run; 46 are the agents of the Slovenian day. The server is a process of its own, so that two cores share the work.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from agents.actor import Actor, start_all
from agents.directory import Directory
from behaviours.post import PostOffice
from behaviours.swarm import Swarm
from environment.clock import VirtualClock, run
from environment.server import EmbeddedServer, generated_passwords
from protocols.acl import AclMessage
from protocols.roles import Role

DOMAIN = "localhost"


class Owner(Actor):
    """Any agent."""

    role = Role.EV_OWNER


class NoRecorder:
    """Nothing is traced."""

    def record(self, at: datetime, message: AclMessage) -> None: ...

    def record_malformed(self, at: datetime, sender: str, receiver: str, faults: Sequence[str]) -> None: ...


async def measure(count: int, clock: VirtualClock, folder: Path) -> str:
    """One line of the table for `count` agents, the directory among them."""
    names = [f"{name}@{DOMAIN}" for name in ("directory", *(f"ev-{n}" for n in range(1, count)))]
    passwords = generated_passwords(names)
    began = time.perf_counter()
    with clock.outstanding():
        server = EmbeddedServer(folder, domain=DOMAIN)
        access = await server.start()
        await server.admit(passwords)
    served_s = time.perf_counter() - began
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    swarm = Swarm(clock, PostOffice(clock), NoRecorder(), names[0], failure.set_exception, access)
    directory = Directory(names[0], passwords[names[0]], swarm, dict.fromkeys(names[1:], Role.EV_OWNER))
    actors = [directory, *(Owner(name, passwords[name], swarm) for name in names[1:])]
    began = time.perf_counter()
    await start_all(actors)
    up_s = time.perf_counter() - began
    for actor in reversed(actors):
        await actor.stop()
    await server.stop()
    if failure.done():
        failure.result()
    return f"| {count} | {served_s:.2f} s | {up_s:.2f} s | {count / up_s:.0f} |"


def main(counts: Sequence[int]) -> None:
    print("| agents | server up | agents up | agents a second |\n|---|---|---|---|")
    for count in counts:
        clock = VirtualClock(datetime(2026, 3, 18, tzinfo=UTC))
        with tempfile.TemporaryDirectory() as folder:
            print(run(partial(measure, count, clock, Path(folder) / "server"), clock), flush=True)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [46, 111, 311])
