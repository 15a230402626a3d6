"""The stage of a run: its server, its devices and its swarm, inside the clock's event loop."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agents.actor import Actor, start_all
from agents.directory import Directory
from agents.fcr_log import LOG_FOLDER
from agents.observer import TraceWriter
from agents.ports import Charger
from behaviours.ports import Post
from behaviours.post import PostOffice
from behaviours.swarm import ServerAccess, Swarm
from environment import outside
from environment.access import DOMAIN, AccountsError, server_address, swarm_accounts
from environment.acts import ActsWriter, NotedBench, NotedCharger, NotedLedger, Noting
from environment.campus_stage import Instruments, nominations
from environment.cast import Cast, Props
from environment.casts import Silences, cast_of, roles
from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerPark
from environment.clock import ScaledClock, VirtualClock
from environment.driver_stage import page_of
from environment.options import Options
from environment.out_folder import ACCESS, SERVER, OutFolder
from environment.pace import Paced
from environment.page_process import PageProcess
from environment.run_folder import ACTS, LEDGER, TRACE
from environment.scenario import Scenario
from environment.series import SeriesRecorder
from environment.server import EmbeddedServer, client_tls, generated_passwords
from environment.world import MINUTE, Plant, faults_at
from environment.worlds import world_of

EPILOGUE = timedelta(hours=1)
"""After the last minute of physics the books are settled: volumes, bills, owners' shares."""
_SHOWN_UNREAD = 50
HEARTBEAT_S = 1200.0
"""The CPO drives its chargers each quarter of an hour; after 20 minutes without a sign of it they fall back."""


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def stage(self, text: str) -> None:
        """A new stage of the run begins."""

    def listening(self, address: str, domain: str, ca_file: Path) -> None:
        """The embedded server listens; XMPP clients that were admitted may log in."""

    def serving(self, address: str) -> None:
        """A browser finds the driver's page there."""

    def watching(self, address: str) -> None:
        """A browser finds the page that shows the run there."""

    def chatting(self, observer: str) -> None:
        """Those who may watch can write to the observer."""

    def say(self, line: str) -> None:
        """A line for the user."""

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        """Scenario time has come to `at`, `share` of the run."""


def act_every_s(speed: float | None) -> float:
    """How often a central loop of frequency control looks at its meter, in s of scenario time: in virtual time (None)
    each second, else ten times in a second of the wall."""
    return 1.0 if speed is None else min(1.0, max(0.1, 0.1 * speed))


class Stage:
    """The swarm of one run, its server and its devices, inside the clock's event loop."""

    def __init__(
        self,
        scenario: Scenario,
        options: Options,
        progress: Progress,
        plant: Plant,
        series: SeriesRecorder | None,
        random: dict[str, np.random.Generator],
        out: OutFolder,
        clock: VirtualClock | ScaledClock,
        accounts: dict[str, str],
        admitted: dict[str, str],
        page: PageProcess | None = None,
    ) -> None:
        self.scenario = scenario
        self.options = options
        self.progress = progress
        self.plant = plant
        self.series = series
        self.random = random
        self.out = out
        self.clock = clock
        self.accounts = accounts
        self.admitted = admitted
        self.page = page
        self._watchers = tuple(admitted) if options.server is None else options.watchers
        named = outside.named(options.outside, scenario)
        ours = [jid for jid in roles(scenario, "") if jid.partition("@")[0] not in named]
        self.domain = swarm_accounts(accounts, ours) if options.accounts else DOMAIN
        admits = None if options.server else admitted
        self.outside = outside.jids(named, scenario, self.domain, admits)
        self.roles = outside.placed(roles(scenario, self.domain), self.outside)
        outside.check_guests(admitted, self.roles, self.outside)
        self._silences = Silences(scenario, self.domain)
        self.notices: list[str] = []
        self._gone: set[str] = set()
        self._begins = scenario.begins.astimezone(UTC)
        self._ends = scenario.ends.astimezone(UTC)
        self._faulty: set[str] = set()

    async def play(self) -> None:
        """The whole run."""
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            access, passwords = await self._server(stack)
            self.tell(f"starting {len(self.plant.specs)} chargers and {len(self.roles)} agents")
            park = ChargerPark(self.plant.specs, self.plant.fleet(), self.clock.now, heartbeat_timeout_s=HEARTBEAT_S)
            await park.start()
            stack.push_async_callback(park.stop)
            self.park = park
            self.world = world_of(self.plant, park, self.series, self.clock.now)
            self.world.begin()
            self.instruments = Instruments(self.scenario, park, self.clock, self.random["meters"])
            await self.instruments.start(stack)
            clients = {c: SunSpecCharger(c, e.host, e.port, self.clock.outstanding) for c, e in park.endpoints.items()}
            for client in clients.values():
                stack.callback(client.close)
            self.writer = TraceWriter(
                self.out.path / TRACE,
                scenario=self.scenario.scenario.name,
                seed=self.scenario.scenario.seed,
                roles=self.roles,
                zone=self.scenario.zone,
            )
            stack.callback(self.writer.close)
            acts = self._acts(stack)
            self.world.noting = acts
            chargers: dict[str, Charger] = {c: NotedCharger(client, acts) for c, client in clients.items()}
            ledger = stack.enter_context(NotedLedger(self._books(), acts))
            swarm = Swarm(
                clock=self.clock,
                post=self._post(),
                recorder=self.writer,
                directory=f"directory@{self.domain}",
                failed=self._failed,
                server=access,
                notice=self._notice,
                down=lambda jid: self._silences.at(jid, self.clock.now()),
                zone=self.scenario.zone,
                publish=self.options.server is not None,
                outside=frozenset(self.outside.values()),
                gone=self._outside_gone,
            )
            props = Props(
                self.plant,
                self.world,
                ledger,
                self.writer,
                chargers,
                self.random,
                meters=self.instruments.meters,
                benches={site: NotedBench(site, bench, acts) for site, bench in self.instruments.benches.items()},
                fcr_log=self.out.path / LOG_FOLDER,
                act_every_s=act_every_s(self.options.speed if isinstance(self.clock, ScaledClock) else None),
                watchers=self._watchers,
                outside=self.outside,
                passing=self.clock if isinstance(self.clock, ScaledClock) else self.clock.pace,
            )
            passwords = passwords | dict.fromkeys(self.outside.values(), "")  # theirs are their own business
            cast = cast_of(self.scenario)(swarm, self.domain, passwords, props)
            await self._perform(swarm, cast, passwords, stack)

    def _post(self) -> Post:
        return PostOffice(self.clock, wire=self.options.wire)

    def _acts(self, stack: AsyncExitStack) -> Noting:
        path = self.out.path / ACTS
        writer = ActsWriter(path, self.clock.now, self.scenario.zone, lambda: self.writer.messages)
        return stack.enter_context(writer)

    def _books(self) -> str:
        return self.options.ledger_url or f"sqlite:///{self.out.path / LEDGER}"

    def tell(self, stage: str) -> None:
        """A new stage of the run begins, for whoever follows it."""
        self.progress.stage(stage)
        if self.page is not None:
            self.page.stage(stage)

    async def _server(self, stack: AsyncExitStack) -> tuple[ServerAccess | None, dict[str, str]]:
        """The server that the agents log in to, and their passwords."""
        options = self.options
        if options.server is not None:
            if not self.accounts:
                raise AccountsError(
                    "--server needs --accounts FILE with the agents' passwords; "
                    f"`run.py accounts {self.scenario.scenario.name} --domain DOMAIN` makes one"
                )
            host, port = server_address(options.server)
            self._write_access(host, port, options.ca)
            return ServerAccess(host, port, client_tls(options.ca)), self.accounts
        server = EmbeddedServer(self.out.path / SERVER, domain=self.domain, port=options.port or 0)
        with self.clock.outstanding():
            access = await server.start()
            stack.push_async_callback(server.stop)
            ours = {jid: role for jid, role in self.roles.items() if jid not in self.outside.values()}
            passwords = self.accounts or generated_passwords(ours)
            await server.admit(passwords, generated=not self.accounts)
            await server.admit(self.admitted, generated=False)
        self._write_access(access.host, access.port, server.ca_file)
        self.progress.listening(f"{access.host}:{access.port}", self.domain, server.ca_file)
        return access, passwords

    def _write_access(self, host: str, port: int, ca: Path | None) -> None:
        """Where `run.py observe` finds the server, for as long as the run lasts."""
        found = {"host": host, "port": port, "domain": self.domain, "ca": ca, "admit": self.options.admit}
        found["process"] = os.getpid()
        (self.out.path / SERVER).mkdir(mode=0o700, exist_ok=True)
        path = self.out.path / ACCESS
        path.touch(mode=0o600)
        told = {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in found.items()}
        path.write_text(json.dumps(told), encoding="utf-8")

    async def _perform(self, swarm: Swarm, cast: Cast[Any], passwords: dict[str, str], stack: AsyncExitStack) -> None:
        directory = Directory(swarm.directory, passwords[swarm.directory], swarm, self.roles)
        others = [actor for actor in cast.actors() if actor.address not in self.outside.values()]
        actors: list[Actor] = [directory, *others]
        self._next_minute(self._begins + MINUTE)
        if self.world.nominations is not None:
            nominations(self.world, self.clock, self._begins, self._ends, self._failed)
        for actor in actors:
            stack.push_async_callback(actor.stop)
        await self._unless_failed(start_all(actors))
        if self.outside:
            await self._unless_failed(self._await_outside(directory))
        await self._serve_page(actors, stack)
        await self._show_run(stack)
        if self._watchers:
            self.progress.chatting(f"observer@{self.domain}")
        self.out.began()
        self.tell("negotiating")
        self.clock.go()
        if self.page is not None:
            self.page.state("running")
        for actor in actors:
            actor.spawn(actor.course(), "course")
        await self._unless_failed(self.clock.sleep_until(self._ends + EPILOGUE))
        self.clock.halt()
        self.world.finish()

    async def _await_outside(self, directory: Directory) -> None:
        """Until everybody who is played outside has registered."""
        self.tell(f"waiting for {outside.listed(self.outside, self.roles)} to register")
        server = json.loads((self.out.path / ACCESS).read_text(encoding="utf-8"))
        await outside.registered(directory, self.outside, self.roles, self.options.outside_wait_s, server)
        self.notices += [outside.told(name, jid) for name, jid in self.outside.items()]

    def _outside_gone(self, jid: str) -> None:
        """Said once for each: an actor outside has fallen silent."""
        if jid in self.outside.values() and jid not in self._gone:
            self._gone.add(jid)
            self._notice(jid, "acknowledges no message any more; the others go on by their deadlines")

    async def _serve_page(self, actors: list[Actor], stack: AsyncExitStack) -> None:
        """The page of the driver whom a person plays, where there is to be one."""
        if self.options.driver_page is None:
            return
        page = page_of(self.scenario, actors, port=self.options.driver_page, speed=self.options.speed or 1.0)
        stack.push_async_callback(page.stop)
        self.progress.serving(await page.start())

    async def _show_run(self, stack: AsyncExitStack) -> None:
        """The page that shows the run, where there is to be one."""
        if self.page is None:
            return
        with self.clock.outstanding():
            address = await self.page.ready()
        self.progress.watching(address)
        clock: Paced = self.clock if isinstance(self.clock, ScaledClock) else self._paced(self.clock)
        self.page.attach(clock, self._so_far)
        stack.callback(self.page.detach)

    def _paced(self, clock: VirtualClock) -> Paced:
        assert clock.pace is not None
        clock.pace.messages = lambda: self.writer.messages
        return clock.pace

    def _so_far(self) -> dict[str, Any]:
        """What the page is told besides the clock; what it reads of the trace itself is in the file then."""
        self.writer.flush()
        in_order = isinstance(self.clock, VirtualClock) and not self.options.wire and not self.outside
        return {"messages": self.writer.messages, "deterministic": in_order}

    async def _unless_failed(self, work: Any) -> None:
        """Waits for `work`, but not beyond the first error that an agent would have kept to itself."""
        task = asyncio.ensure_future(work)
        await asyncio.wait({task, self._failure}, return_when=asyncio.FIRST_COMPLETED)
        if self._failure.done():
            task.cancel()
            self._failure.result()
        await task

    def _failed(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)

    def _notice(self, agent: str, text: str) -> None:
        at = self.clock.now().astimezone(self.scenario.zone)
        day = f"{at:%a} " if self.scenario.scenario.days > 1 else ""
        self.notices.append(f"{day}{at:%H:%M} {agent.partition('@')[0]}: {text}")
        if self.page is not None:
            self.page.notice(self.notices[-1])

    def unread(self) -> list[str]:
        """A line for each message that could not be read: it has no place in the trace."""
        lines = [f"could not be read: {line}" for line in self.writer.malformed[:_SHOWN_UNREAD]]
        more = len(self.writer.malformed) - len(lines)
        return [*lines, f"and {more} more that could not be read"] if more else lines

    def _next_minute(self, at: datetime) -> None:
        if at <= self._ends:
            self.clock.call_at(at, lambda: self._minute(at), priority=0)

    def _minute(self, at: datetime) -> None:
        try:
            self._faults(at)
            self.instruments.faults(at)
            if not (at - self._begins) % self.plant.step:
                self.world.pass_to(at)
        except Exception as error:
            self._failed(error)
            return
        self._next_minute(at + MINUTE)
        self._tell_minute(at)

    def _tell_minute(self, at: datetime) -> None:
        """How far the run is, for whoever follows it."""
        share = (at - self._begins) / (self._ends - self._begins)
        state = self.world.state
        self.progress.minute(at, share, self.writer.messages, state.trafo_loading_percent if state else 0.0)

    def _faults(self, at: datetime) -> None:
        if not self.scenario.fault:
            return
        now = faults_at(self.scenario, at)
        for charger_id in self._faulty - set(now):
            self.park.set_fault(charger_id, None)
        for charger_id, fault in now.items():
            self.park.set_fault(charger_id, fault)
        self._faulty = set(now)
