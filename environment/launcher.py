"""One run: from a scenario and a seed to a run folder with trace, ledger, series, summary and report."""

from __future__ import annotations

import contextlib
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from agents.actor import AgentError
from agents.ledger import LedgerError
from behaviours.link import LinkError
from environment import frequency_series, inputs, network_map, summary
from environment.access import AccountsError, read_accounts
from environment.chargers import ParkError
from environment.clock import IdleTime, ScaledClock, VirtualClock, run
from environment.driver_page import DriverPageError
from environment.driver_stage import with_person
from environment.frequency import FrequencyError
from environment.frequency_series import FREQUENCY
from environment.grid import GridError
from environment.live_rows import LiveRowsWriter, Span
from environment.options import OUTSIDE_SPEED, Options, OptionsError
from environment.out_folder import OutFolder, OutFolderError
from environment.outside import OutsideError
from environment.pace import Pace
from environment.page_process import PageError, PageProcess
from environment.report import build as build_report
from environment.run_folder import LIVE_ROWS, SCENARIO, SERIES, RunFolderError
from environment.scenario import Scenario, ScenarioError
from environment.series import SeriesError, SeriesRecorder
from environment.server import ServerError
from environment.sessions_csv import SessionsError
from environment.stage import Progress, Stage
from environment.world import Plant, World, build
from environment.worlds import left_alone

STREAMS = ("sessions", "frequency", "history", "drivers", "meters", "needs")


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
    DriverPageError,
    PageError,
    OutsideError,
)
"""What can go wrong outside this program: each is one clear line for the user."""


class _Silent:
    def stage(self, text: str) -> None: ...

    def listening(self, address: str, domain: str, ca_file: Path) -> None: ...

    def serving(self, address: str) -> None: ...

    def watching(self, address: str) -> None: ...

    def chatting(self, observer: str) -> None: ...

    def say(self, line: str) -> None: ...

    def minute(self, at: datetime, share: float, messages: int, loading_percent: float) -> None: ...


@dataclass(frozen=True)
class Done:
    """A run that is over: its folder, what stands in its `summary.json`, and the page that still shows it."""

    folder: Path
    summary: dict[str, Any]
    report: Path
    page: PageProcess | None = None


def streams(seed: int) -> dict[str, np.random.Generator]:
    """One random stream for each thing that is drawn, all from the run's seed."""
    return dict(zip(STREAMS, np.random.default_rng(seed).spawn(len(STREAMS)), strict=True))


def launch(scenario: Scenario, options: Options, progress: Progress | None = None) -> Done:
    """Runs a scenario. Raises one of EXPECTED for what the user can mend, each with one line for each fault."""
    progress = progress or _Silent()
    options.check()
    if options.driver_page is not None:
        scenario = with_person(scenario)
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
        rows=2 * plant.steps,
        lines=plant.networks.lines,
        extra=plant.columns,
    )
    clock = _clock(scenario, options)
    with OutFolder(options.out) as out, ExitStack() as shown, ExitStack() as files:
        (out.path / SCENARIO).write_text(inputs.copied(scenario, options.base or Path(), out), encoding="utf-8")
        network_map.write(out.path, plant)
        page = None
        if options.web is not None:
            page = shown.enter_context(_page(scenario, options, options.web, out, progress))
            rows = files.enter_context(closing(_rows(plant, series, out)))
            series.follow = rows.append
        stage = Stage(scenario, options, progress, plant, series, random, out, clock, accounts, admitted, page)
        try:
            run(stage.play, clock)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        stage.tell("the same time without flexibility")
        without, notes = left_alone(stage.world, series)
        stage.tell("writing the report")
        series.write(out.path / SERIES)
        (out.path / LIVE_ROWS).unlink(missing_ok=True)
        _write_frequency(out.path / FREQUENCY, stage.world, without)
        found = summary.write(
            out.path,
            agents=len(stage.roles),
            wall_s=time.monotonic() - started,
            drivers=[_named(outcome, stage.domain) for outcome in stage.world.outcomes],
            warnings=(*plant.sessions.warnings, *stage.notices, *stage.unread()),
            notes=notes,
        )
        report = build_report(out.path)
        if page is not None:
            page.state("ended")
        shown.pop_all()  # the page stays
        return Done(out.path, found, report, page)


def _clock(scenario: Scenario, options: Options) -> VirtualClock | ScaledClock:
    """Virtual, at a pace where somebody watches or takes part from outside; scaled where a speed is asked for. Those
    outside get the time that they would have if the swarm computed nothing: they cannot know how long it does."""
    if options.outside:
        idle = IdleTime()
        return VirtualClock(scenario.begins, Pace(options.speed or OUTSIDE_SPEED, held=True, wall=idle), idle)
    if options.speed is not None:
        return ScaledClock(scenario.begins, options.speed, held=True)
    paced = options.web is not None or options.pace is not None
    return VirtualClock(scenario.begins, Pace(options.pace) if paced else None)


def _page(scenario: Scenario, options: Options, port: int, out: OutFolder, progress: Progress) -> PageProcess:
    """The page that shows the run; it listens while the swarm is made ready."""
    return PageProcess(
        out.path,
        live=True,
        address=options.web_host,
        port=port,
        title=scenario.scenario.title,
        tell=progress.say,
    )


def _rows(plant: Plant, series: SeriesRecorder, out: OutFolder) -> LiveRowsWriter:
    """The series of the run as it grows, for the page."""
    scenario = plant.scenario
    span = Span(scenario.scenario.timezone, plant.step, scenario.begins, scenario.ends)
    return LiveRowsWriter(out.path / LIVE_ROWS, span, series.names)


def _write_frequency(path: Path, served: World, without: World) -> None:
    """The seconds of an area that the run's chargers move; in other runs there are none."""
    if served.area is None or served.response is None or without.area is None:
        return
    scenario, seconds = served.plant.scenario, 60 * served.plant.minutes
    hz = [world.area.series(scenario.begins, seconds) for world in (served, without) if world.area is not None]
    frequency_series.write(path, scenario.scenario.timezone, scenario.begins, hz[0], served.response.response_kw, hz[1])


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


def _named(outcome: summary.DriverOutcome, domain: str) -> summary.DriverOutcome:
    return replace(outcome, owner=f"{outcome.owner}@{domain}")
