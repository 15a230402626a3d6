"""The hall of an exam: the directory and the environment of the record, the puppets who speak the others' lines, each
logged in over XMPP as itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

from slixmpp import JID

from agents.actor import Actor, start_all
from agents.directory import Directory
from agents.grid_environment import GridEnvironment, PassingTime
from behaviours.link import Link
from behaviours.ports import Clock, Letter
from behaviours.post import PostOffice, bare
from behaviours.swarm import ServerAccess, Swarm
from environment.cast import SENSOR_INTERVAL
from environment.exam import rules
from environment.exam.binding import Binding
from environment.exam.examiner import Examiner
from environment.exam.judge import Judge, Verdict
from environment.exam.meters import RecordedWorld
from environment.exam.points import expected_of, judge_points
from environment.exam.script import Script
from protocols.acl import AclMessage
from protocols.exchanges.services import DirectoryEntry, Registration
from protocols.roles import Role

GONE_S = 15.0
"""So long (wall time) an agent may be away before it counts as gone."""


class Recording:
    """Implements `Recorder` for the platform's agents: what they say goes to the examiner; nobody else keeps a record
    here."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(services)
        self.told: Callable[[AclMessage], None] = lambda message: None

    def record(self, at: datetime, message: AclMessage) -> None:
        if message.sender in self._services:
            self.told(message)

    def record_malformed(self, at: datetime, sender: str, receiver: str, faults: Sequence[str]) -> None:
        """The examiner has read it as well."""


class Puppet:
    """One of the record's agents, of which there is no more than its connection: what `Link` needs of an actor."""

    def __init__(self, jid: str, password: str, swarm: Swarm, heard: Callable[[str, Letter], None]) -> None:
        self.address, self.password, self.swarm = jid, password, swarm
        self.jid = JID(jid)
        self.client: Any = None
        self.presence: Any = None
        self._heard = heard

    def deliver(self, letter: Letter) -> None:
        """A letter has come."""
        self._heard(self.address, letter)


class Hall:
    """`access` and `passwords`: the server and the accounts there. `examined` is the live JID of the agent in whose
    place of the record somebody sits; `domain` is the server's."""

    def __init__(
        self,
        script: Script,
        clock: Clock,
        passing: PassingTime | None,
        access: ServerAccess,
        passwords: Mapping[str, str],
        domain: str,
        examined: str,
        *,
        failed: Callable[[BaseException], None],
        tag: str = "",
        speaking: frozenset[Role] | None = None,
    ) -> None:
        self.script, self.examined, self.clock = script, examined, clock
        jids = {jid: f"{jid.partition('@')[0]}@{domain}" for jid in (*script.roles, script.directory)}
        jids[script.examined] = examined
        self.jids = jids
        self.roles = {jids[jid]: role for jid, role in script.roles.items()}
        self.directory_jid = jids[script.directory]
        self.roles[self.directory_jid] = Role.DIRECTORY
        self.services = [jid for jid, role in self.roles.items() if role in (Role.DIRECTORY, Role.ENVIRONMENT)]
        self.post = PostOffice(clock, wire=True)
        self.recording = Recording(self.services)
        scenario = script.record.scenario
        self.swarm = Swarm(
            clock=clock,
            post=self.post,
            recorder=self.recording,
            directory=self.directory_jid,
            failed=failed,
            server=access,
            zone=scenario.zone,
        )
        self.over = asyncio.Event()
        self.judge = Judge(scenario.scenario.name, scenario.scenario.seed, self.roles, scenario.zone, examined)
        self.examiner = Examiner(
            script,
            Binding(script, jids, tag),
            self.judge,
            clock,
            examined=examined,
            send=self.post.send,
            over=self.over.set,
            speaking=speaking,
        )
        self.recording.told = self.examiner.told
        self._expected = expected_of(script.record.folder, script.role)
        self._passing, self._passwords, self._access = passing, passwords, access
        self._away: asyncio.TimerHandle | None = None

    async def open(self, stack: AsyncExitStack) -> None:
        """Everybody but the examined agent logs in."""
        self.directory = Directory(
            self.directory_jid, self._passwords[self.directory_jid], self.swarm, dict(self.roles)
        )
        for registration in self.script.registrations:
            if registration.jid not in (self.script.examined, self.script.directory):
                services = tuple(map(self._service, registration.services))
                entry = registration.model_copy(update={"jid": self.jids[registration.jid], "services": services})
                self.directory._enter(entry)
        stack.push_async_callback(self.directory.stop)
        self._overhear(self.directory)
        await start_all([self.directory])
        for jid in self.services:
            if self.roles[jid] is Role.ENVIRONMENT:
                world = RecordedWorld(self.script, self.clock.now)
                environment = GridEnvironment(
                    jid,
                    self._passwords[jid],
                    self.swarm,
                    world=world,
                    interval=SENSOR_INTERVAL,
                    passing=self._passing,
                )
                stack.push_async_callback(environment.stop)
                self._overhear(environment)
                await environment.connect()
                environment.spawn(environment.course(), "course")
        puppets = [self.jids[peer] for peer in self.script.peers if self.jids[peer] not in self.services]
        async with asyncio.TaskGroup() as group:
            for jid in puppets:
                group.create_task(self._enter(jid, stack))

    async def _enter(self, jid: str, stack: AsyncExitStack) -> None:
        puppet = Puppet(jid, self._passwords[jid], self.swarm, self._heard)
        link = Link(puppet, self._access)
        with self.clock.outstanding():
            await link.connect()
        link.lost = self._lost
        stack.push_async_callback(link.close)
        self.post.open(jid, puppet.deliver, link)

    def _overhear(self, service: Actor) -> None:
        """What the examined agent says to the platform's agents is judged as well; they answer it themselves."""
        deliver = service.deliver

        def heard(letter: Letter) -> None:
            self.examiner.overheard(service.address, letter)
            deliver(letter)

        service.deliver = heard  # type: ignore[method-assign]

    def _service(self, name: str) -> str:
        """A service that is named after the examined agent is named after the live one."""
        kind, _, whose = name.rpartition(":")
        recorded, live = (jid.partition("@")[0] for jid in (self.script.examined, self.examined))
        return f"{kind}:{live}" if kind and whose == recorded else name

    async def wait_for(self, wait_s: float, known: DirectoryEntry | None = None) -> bool:
        """Waits so long (wall time) for the examined agent to register; `known`: as it has done before."""
        if known is not None:
            self.directory._enter(Registration.model_validate(known.model_dump()))
        registered = asyncio.Event()
        enter = self.directory._enter

        def entered(registration: Registration) -> None:
            enter(registration)
            if registration.jid == self.examined:
                registered.set()

        self.directory._enter = entered  # type: ignore[method-assign]
        if not self.registered:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await registered.wait()
        return self.registered

    @property
    def registered(self) -> bool:
        """Whether the examined agent is known to the directory, in its role."""
        return self.examined in self.directory.entries

    def not_registered(self, waited_s: float) -> None:
        """It has not come in time."""
        text = f"expected {self.examined} to register as {self.script.role} within {waited_s:g} s; it has not"
        self.judge.find(rules.REGISTERED, self.clock.now(), text)

    def verdict(self, case: str, why_not: str = "") -> Verdict:
        """The judgement of the exam as far as it is."""
        if self.examiner.complete:
            judge_points(self.judge, self._expected, self.clock.now())
        return Verdict(
            case,
            self.script.role,
            self.examined,
            tuple(self.judge.findings),
            self.judge.heard,
            tuple(self.judge.transcript),
            tuple(self.examiner.departures),
            why_not,
        )

    # ---- whether it is there

    def _heard(self, puppet: str, letter: Letter) -> None:
        if bare(letter.sender) == self.examined and self._away is not None:
            self._away.cancel()
            self._away = None
        self.examiner.arrived(puppet, letter)

    def _lost(self, jid: str) -> None:
        if bare(jid) == self.examined and self._away is None and not self.over.is_set():
            self._away = asyncio.get_running_loop().call_later(GONE_S, self.examiner.gone)
