"""The exam of one of our own agents: over the wire, in this process, on the virtual clock.

The agent is made as for a run, with the world and the devices that it had; the orders and payments of the others are
done in their time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.actor import Actor, AgentError, start_all
from behaviours.ports import Post
from behaviours.swarm import ServerAccess, Swarm
from environment.campus_stage import nominations
from environment.cast import Cast, Props
from environment.clock import VirtualClock, run
from environment.exam import rules
from environment.exam.hall import Hall
from environment.exam.judge import Finding, Verdict
from environment.exam.script import Script
from environment.out_folder import SERVER, OutFolder
from environment.replay.record import Record
from environment.replay.stage import ReplayStage
from environment.server import EmbeddedServer, generated_passwords
from environment.world import MINUTE

Candidate = Callable[[Actor], None]
"""Is given the agent when it has logged in, before it says a word: a test may change what it says."""


class _NotNoted:
    """Implements `Noting`: nobody compares what is done."""

    def note(self, device: str, act: str, **members: Any) -> None:
        return


class OwnExam(ReplayStage):
    """The stage of the exam."""

    def __init__(
        self,
        record: Record,
        examined: str,
        out: OutFolder,
        clock: VirtualClock,
        change: Candidate,
        enough: Callable[[Finding], bool],
    ) -> None:
        super().__init__(record, frozenset({examined}), out, clock)
        self.script = Script(record, examined)
        self._change = change
        self._enough = enough
        self._access: ServerAccess | None = None

    async def _server(self, stack: AsyncExitStack) -> tuple[ServerAccess | None, dict[str, str]]:
        server = EmbeddedServer(self.out.path / SERVER, domain=self.domain)
        with self.clock.outstanding():
            self._access = await server.start()
            stack.push_async_callback(server.stop)
            passwords = generated_passwords([*self.roles, f"directory@{self.domain}"])
            await server.admit(passwords)
        self._passwords: Mapping[str, str] = passwords
        self.hall = Hall(
            self.script,
            self.clock,
            None,
            self._access,
            passwords,
            self.domain,
            self.script.examined,
            failed=self._failed,
        )
        self.hall.judge.found = lambda finding: self.hall.examiner.end() if self._enough(finding) else None
        return self._access, passwords

    def _post(self) -> Post:
        return self.hall.post

    def _acts(self, stack: AsyncExitStack) -> _NotNoted:
        return _NotNoted()

    async def _perform(self, swarm: Swarm, cast: Cast[Any], passwords: dict[str, str], stack: AsyncExitStack) -> None:
        self._props: Props = cast.props
        [actor] = [each for each in cast.actors() if each.address == self.script.examined]
        # Whoever falls silent on purpose in the scenario does not in its own exam.
        actor.swarm = replace(swarm, recorder=self.hall.recording, down=lambda jid: False)
        self._next_minute(self._begins + MINUTE)
        if self.world.nominations is not None:
            self.world.nominations = lambda: self._nominated
            nominations(self.world, self.clock, self._begins, self._ends, self._failed)
        await self.hall.open(stack)
        stack.push_async_callback(actor.stop)
        connect = actor.connect

        async def connected() -> None:
            await connect()
            self._change(actor)

        actor.connect = connected  # type: ignore[method-assign]
        try:
            await self._unless_failed(start_all([actor]))
        except AgentError as error:
            self.hall.judge.find(rules.REGISTERED, self.clock.now(), str(error))
            return
        for act in self.record.acts:
            if act.who != self.script.examined:
                self.clock.call_at(act.at, lambda act=act: self._do(act), priority=1)  # type: ignore[misc]
        self.hall.examiner.begin()
        self.clock.go()
        actor.spawn(actor.course(), "course")
        await self._unless_failed(self.hall.over.wait())
        self.clock.halt()
        for task in tuple(self._orders):
            task.cancel()


def examine_own(
    record: Record,
    examined: str,
    case: str,
    change: Candidate = lambda actor: None,
    enough: Callable[[Finding], bool] = lambda finding: False,
) -> Verdict:
    """Examines our own agent in the place of that one of the record; with `enough` found, the exam is over."""
    clock = VirtualClock(record.scenario.begins)
    with tempfile.TemporaryDirectory() as folder, OutFolder(Path(folder) / "exam") as out:
        stage = OwnExam(record, examined, out, clock, change, enough)
        run(stage.play, clock)
        return stage.hall.verdict(case)
