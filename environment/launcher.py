"""One run: from a scenario and a seed to a run folder with trace, ledger, series, summary and report."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from agents.actor import Actor, AgentError, start_all
from agents.directory import Directory
from agents.fcr_log import LOG_FOLDER
from agents.ledger import Ledger, LedgerError
from agents.observer import TraceWriter
from behaviours.link import LinkError
from behaviours.post import PostOffice
from behaviours.swarm import ServerAccess, Swarm
from environment import campus_summary, frequency_series, summary
from environment.access import DOMAIN, AccountsError, read_accounts, server_address, swarm_accounts
from environment.cast import Cast, Props
from environment.casts import cast_of, roles
from environment.charger_client import SunSpecCharger
from environment.chargers import ChargerPark, ParkError
from environment.clock import ScaledClock, VirtualClock, run
from environment.frequency import FrequencyError
from environment.frequency_series import FREQUENCY
from environment.grid import GridError
from environment.instruments import Bench, MeterFault, MeterPark, MeterSpec, SunSpecMeter
from environment.options import Options, OptionsError
from environment.out_folder import SERVER, OutFolder, OutFolderError
from environment.report import build as build_report
from environment.run_folder import LEDGER, SERIES, TRACE, RunFolderError
from environment.scenario import Scenario, ScenarioError
from environment.scenario_parts import SitePart
from environment.series import SeriesError, SeriesRecorder
from environment.server import EmbeddedServer, ServerError, client_tls, generated_passwords
from environment.sessions_csv import SessionsError
from environment.world import MINUTE, Plant, World, build, faults_at, meter_faults_at, without_flexibility

EPILOGUE = timedelta(hours=1)
"""After the last minute of physics the books are settled: volumes, bills, owners' shares."""
_SHOWN_UNREAD = 50
HEARTBEAT_S = 1200.0
"""The CPO drives its chargers each quarter of an hour; after 20 minutes without a sign of it they fall back."""
NOMINATIONS = timedelta(seconds=5)
"""How often the area hears from where the response of chargers in frequency control is counted."""
STREAMS = ("sessions", "frequency", "history", "drivers", "meters")


EXPECTED = (
    OutFolderError,
    OptionsError,
    ScenarioError,
    GridError,
    SessionsError,
    FrequencyError,
    ParkError,
    AccountsError,
    ServerError,
    LinkError,
    AgentError,
    LedgerError,
    SeriesError,
    RunFolderError,
)
"""What can go wrong outside this program: each is one clear line for the user."""


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def stage(self, text: str) -> None:
        """A new stage of the run begins."""

    def listening(self, address: str, domain: str, ca_file: Path) -> None:
        """The embedded server listens; XMPP clients that were admitted may log in."""

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None:
        """Scenario time has come to `at`, `share` of the run."""


class _Silent:
    def stage(self, text: str) -> None: ...

    def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None: ...


@dataclass(frozen=True)
class Done:
    """A run that is over: its folder and what stands in its `summary.json`."""

    folder: Path
    summary: dict[str, Any]
    report: Path


def streams(seed: int) -> dict[str, np.random.Generator]:
    """One random stream for each thing that is drawn, all from the run's seed."""
    return dict(zip(STREAMS, np.random.default_rng(seed).spawn(len(STREAMS)), strict=True))


def launch(scenario: Scenario, options: Options, progress: Progress | None = None) -> Done:
    """Runs a scenario. Raises one of EXPECTED for what the user can mend, each with one line for each fault."""
    progress = progress or _Silent()
    options.check()
    _allow_many_sockets()
    started = time.monotonic()
    random = streams(scenario.scenario.seed)
    progress.stage("building the network, the vehicles and the chargers")
    plant = build(scenario, random, options.base)
    accounts = read_accounts(options.accounts) if options.accounts else {}
    admitted = read_accounts(options.admit) if options.admit else {}
    series = SeriesRecorder(
        scenario.scenario.timezone,
        plant.networks.buses,
        [s.charger_id for s in plant.specs],
        rows=2 * plant.minutes,
        extra=plant.columns,
    )
    clock: VirtualClock | ScaledClock = VirtualClock(scenario.begins)
    if options.speed is not None:
        clock = ScaledClock(scenario.begins, options.speed, held=True)
    with OutFolder(options.out) as out:
        stage = Stage(scenario, options, progress, plant, series, random, out, clock, accounts, admitted)
        try:
            run(stage.play, clock)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        progress.stage("the same day without flexibility")
        left_alone = without_flexibility(plant, series)
        progress.stage("writing the report")
        series.write(out.path / SERIES)
        _write_frequency(out.path / FREQUENCY, stage.world, left_alone)
        found = summary.write(
            out.path,
            agents=len(stage.roles),
            wall_s=time.monotonic() - started,
            drivers=[_named(outcome, stage.domain) for outcome in stage.world.outcomes],
            warnings=(*plant.sessions.warnings, *stage.notices, *stage.unread()),
            notes=_notes(stage.world, left_alone),
        )
        return Done(out.path, found, build_report(out.path))


def _notes(served: World, left_alone: World) -> dict[str, Any]:
    """What the report must know and only the scenario has."""
    plant = served.plant
    if plant.island is not None:
        return plant.island.notes(served.outcomes, left_alone.outcomes)
    return {} if plant.campus is None else campus_summary.notes(plant.campus.scenario)


def _write_frequency(path: Path, served: World, left_alone: World) -> None:
    """The seconds of an area that the run's chargers move; in other runs there are none."""
    if served.area is None or served.response is None or left_alone.area is None:
        return
    scenario, seconds = served.plant.scenario, 60 * served.plant.minutes
    hz = [world.area.series(scenario.begins, seconds) for world in (served, left_alone) if world.area is not None]
    frequency_series.write(path, scenario.scenario.timezone, scenario.begins, hz[0], served.response.response_kw, hz[1])


def act_every_s(speed: float | None) -> float:
    """How often a central loop of frequency control looks at its meter, in s of scenario time: in virtual time (None)
    each second, else ten times in a second of the wall."""
    return 1.0 if speed is None else min(1.0, max(0.1, 0.1 * speed))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Agents that fail side by side mostly fail for one reason; the first that says so stands for all."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _allow_many_sockets() -> None:
    """Each charger and each agent has a socket at both ends; some systems let a program have 256 at first."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _site_of(meter: str) -> str:
    """The site that a meter is named after: `<site>-main`, `<site>-backup`."""
    return meter.rpartition("-")[0]


def _named(outcome: summary.DriverOutcome, domain: str) -> summary.DriverOutcome:
    return replace(outcome, owner=f"{outcome.owner}@{domain}")


class Stage:
    """The swarm of one run, its server and its devices, inside the clock's event loop."""

    def __init__(
        self,
        scenario: Scenario,
        options: Options,
        progress: Progress,
        plant: Plant,
        series: SeriesRecorder,
        random: dict[str, np.random.Generator],
        out: OutFolder,
        clock: VirtualClock | ScaledClock,
        accounts: dict[str, str],
        admitted: dict[str, str],
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
        self.domain = swarm_accounts(accounts, roles(scenario, "")) if options.accounts else DOMAIN
        self.roles = roles(scenario, self.domain)
        self.notices: list[str] = []
        self._begins = scenario.begins.astimezone(UTC)
        self._ends = scenario.ends.astimezone(UTC)
        self._faulty: set[str] = set()
        self._broken: dict[str, str] = {}

    async def play(self) -> None:
        """The whole run."""
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            access, passwords = await self._server(stack)
            self.progress.stage(f"starting {len(self.plant.specs)} chargers and {len(self.roles)} agents")
            park = ChargerPark(self.plant.specs, self.plant.fleet(), self.clock.now, heartbeat_timeout_s=HEARTBEAT_S)
            await park.start()
            stack.push_async_callback(park.stop)
            self.park = park
            self.world = World(self.plant, park, "with", self.series, self.clock.now)
            self.world.begin()
            meters = await self._meters(stack)
            chargers = {c: SunSpecCharger(c, e.host, e.port, self.clock.outstanding) for c, e in park.endpoints.items()}
            for charger in chargers.values():
                stack.callback(charger.close)
            self.writer = TraceWriter(
                self.out.path / TRACE,
                scenario=self.scenario.scenario.name,
                seed=self.scenario.scenario.seed,
                roles=self.roles,
                zone=self.scenario.zone,
            )
            stack.callback(self.writer.close)
            ledger = stack.enter_context(Ledger(self.options.ledger_url or f"sqlite:///{self.out.path / LEDGER}"))
            swarm = Swarm(
                clock=self.clock,
                post=PostOffice(self.clock, wire=self.options.wire),
                recorder=self.writer,
                directory=f"directory@{self.domain}",
                failed=self._failed,
                server=access,
                notice=self._notice,
                zone=self.scenario.zone,
            )
            props = Props(
                self.plant,
                self.world,
                ledger,
                self.writer,
                chargers,
                self.random,
                meters=meters,
                benches={site.name: Bench(park, site.charger_ids()) for site in self._metered_sites()},
                fcr_log=self.out.path / LOG_FOLDER,
                act_every_s=act_every_s(self.options.speed),
            )
            cast = cast_of(self.scenario)(swarm, self.domain, passwords, props)
            await self._perform(swarm, cast, passwords, stack)

    def _metered_sites(self) -> list[SitePart]:
        """The sites that have frequency meters."""
        return [site for site in self.scenario.sites if any(site.name == _site_of(m) for m in self.scenario.meters)]

    async def _meters(self, stack: AsyncExitStack) -> dict[str, SunSpecMeter]:
        """The frequency meters of the scenario, started, and a client of each."""
        self.meter_park: MeterPark | None = None
        if not self.scenario.meters:
            return {}
        chargers = {site.name: site.charger_ids() for site in self.scenario.sites}
        specs = [MeterSpec(name, chargers[_site_of(name)]) for name in self.scenario.meters]
        self.meter_park = MeterPark(specs, self.park, self.clock.now, self.random["meters"])
        await self.meter_park.start()
        stack.push_async_callback(self.meter_park.stop)
        found = {
            name: SunSpecMeter(name, at.host, at.port, self.clock.outstanding)
            for name, at in self.meter_park.endpoints.items()
        }
        for meter in found.values():
            stack.callback(meter.close)
        return found

    async def _server(self, stack: AsyncExitStack) -> tuple[ServerAccess, dict[str, str]]:
        """The server that the agents log in to, and their passwords."""
        options = self.options
        if options.server is not None:
            if not self.accounts:
                raise AccountsError(
                    "--server needs --accounts FILE with the agents' passwords; "
                    f"`run.py accounts {self.scenario.scenario.name} --domain DOMAIN` makes one"
                )
            host, port = server_address(options.server)
            return ServerAccess(host, port, client_tls(options.ca)), self.accounts
        server = EmbeddedServer(self.out.path / SERVER, domain=self.domain, port=options.port or 0)
        with self.clock.outstanding():
            access = await server.start()
            stack.push_async_callback(server.stop)
            passwords = self.accounts or generated_passwords(self.roles)
            await server.admit(passwords, generated=not self.accounts)
            await server.admit(self.admitted, generated=False)
        self.progress.listening(f"{access.host}:{access.port}", self.domain, server.ca_file)
        return access, passwords

    async def _perform(self, swarm: Swarm, cast: Cast[Any], passwords: dict[str, str], stack: AsyncExitStack) -> None:
        directory = Directory(swarm.directory, passwords[swarm.directory], swarm, self.roles)
        actors: list[Actor] = [directory, *cast.actors()]
        self._next_minute(self._begins + MINUTE)
        if self.world.nominations is not None:
            self._next_nomination(self._begins + NOMINATIONS)
        for actor in actors:
            stack.push_async_callback(actor.stop)
        await self._unless_failed(start_all(actors))
        self.out.began()
        self.progress.stage("negotiating")
        self.clock.go()
        for actor in actors:
            actor.spawn(actor.course(), "course")
        await self._unless_failed(self.clock.sleep_until(self._ends + EPILOGUE))
        self.clock.halt()
        self.world.finish()

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
        self.notices.append(f"{at:%H:%M} {agent.partition('@')[0]}: {text}")

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
            self.world.minute(at)
        except Exception as error:
            self._failed(error)
            return
        self._next_minute(at + MINUTE)
        share = (at - self._begins) / (self._ends - self._begins)
        state = self.world.state
        self.progress.minute(at, share, self.writer.messages, state.trafo_loading_percent if state else 0.0)

    def _next_nomination(self, at: datetime) -> None:
        if at <= self._ends:
            self.clock.call_at(at, lambda: self._nomination(at))

    def _nomination(self, at: datetime) -> None:
        try:
            self.world.nominate()
        except Exception as error:
            self._failed(error)
            return
        self._next_nomination(at + NOMINATIONS)

    def _faults(self, at: datetime) -> None:
        if not self.scenario.fault:
            return
        now = faults_at(self.scenario, at)
        for charger_id in self._faulty - set(now):
            self.park.set_fault(charger_id, None)
        for charger_id, fault in now.items():
            self.park.set_fault(charger_id, fault)
        self._faulty = set(now)
        if self.meter_park is None:
            return
        broken = meter_faults_at(self.scenario, at)
        for name in self.scenario.meters:
            kind = broken.get(name)
            if kind != self._broken.get(name):
                self.meter_park.set_fault(name, None if kind is None else MeterFault(kind))
        self._broken = broken
