"""The stage of a replay: the world and its devices as they were, and of the swarm only those who are played."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agents.actor import Actor, start_all
from agents.directory import Directory
from agents.ledger import LedgerError
from agents.ports import ChargerError
from agents.public_ports import CarError
from behaviours.ports import Post
from behaviours.swarm import ServerAccess, Swarm
from environment.acts import AREA_DEVICE, CENTRE_DEVICE, LEDGER_DEVICE, Act, Noting, order
from environment.campus_stage import nominations
from environment.cast import Cast, Props
from environment.casts import Silences
from environment.clock import VirtualClock, run
from environment.launcher import streams
from environment.options import Options
from environment.out_folder import OutFolder
from environment.public_world import PublicCar, PublicWorld
from environment.replay.conductor import Conductor
from environment.replay.record import Record
from environment.stage import EPILOGUE, Stage
from environment.world import MINUTE, build
from protocols.exchanges.frequency_services import SignalPiece


class _Unseen:
    """Nobody watches how far a replay is."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


class ReplayStage(Stage):
    """Plays those agents against the record. What the others did to chargers, cars, benches and books is done at its
    time in their place, so that the world goes on as it did."""

    def __init__(self, record: Record, played: frozenset[str], out: OutFolder, clock: VirtualClock) -> None:
        random = streams(record.scenario.scenario.seed)
        plant = build(record.scenario, random, record.folder)
        options = Options(out=out.path, base=record.folder)
        super().__init__(record.scenario, options, _Unseen(), plant, None, random, out, clock, {}, {}, None)
        self.record, self.played = record, played
        self.roles = dict(record.header.roles)
        self.domain = next(iter(self.roles)).partition("@")[2]
        self._silences = Silences(record.scenario, self.domain)
        self.conductor = Conductor(record, played, clock)
        self.conductor.perform = self._do
        self._nominated: Mapping[str, float] = {}
        self._cars: dict[str, PublicCar] = {}
        self._orders: set[asyncio.Task[None]] = set()

    async def _server(self, stack: AsyncExitStack) -> tuple[ServerAccess | None, dict[str, str]]:
        return None, dict.fromkeys((*self.roles, f"directory@{self.domain}"), "")

    def _post(self) -> Post:
        return self.conductor

    def _acts(self, stack: AsyncExitStack) -> Noting:
        return self.conductor

    def _books(self) -> str:
        return "sqlite://"

    async def _perform(self, swarm: Swarm, cast: Cast[Any], passwords: dict[str, str], stack: AsyncExitStack) -> None:
        self._props: Props = cast.props
        directory = Directory(swarm.directory, "", swarm, self.roles)
        actors: list[Actor] = [each for each in (directory, *cast.actors()) if each.address in self.played]
        self._next_minute(self._begins + MINUTE)
        if self.world.nominations is not None:
            self.world.nominations = lambda: self._nominated
            nominations(self.world, self.clock, self._begins, self._ends, self._failed)
        for actor in actors:
            stack.push_async_callback(actor.stop)
        self.conductor.begin()
        await self._unless_failed(start_all(actors))
        self.clock.go()
        for actor in actors:
            actor.spawn(actor.course(), "course")
        await self._unless_failed(self.clock.sleep_until(self._ends + EPILOGUE))
        self.clock.halt()
        self.conductor.end()
        for task in tuple(self._orders):
            task.cancel()

    def _failed(self, error: BaseException) -> None:
        notes = getattr(error, "__notes__", ())  # agents leave word of where it happened, the world does not
        if notes:
            self.conductor.fails(f"an error {notes[0]}: {type(error).__name__}: {error}")
        else:
            super()._failed(error)

    def _tell_minute(self, at: datetime) -> None:
        """Nobody follows; the network is solved for those only who read a voltage."""

    def _do(self, act: Act) -> None:
        """Does what somebody who is not played did. What did not succeed then does not now, and is nobody's matter."""
        kind, _, name = act.device.partition(":")
        members = act.members
        match kind:
            case "charger":
                self._orders.add(task := asyncio.ensure_future(self._order(name, act)))
                task.add_done_callback(self._orders.discard)
            case "car":
                self._move(members["driver"], act)
            case "bench" if act.act == "apply":
                signal = [SignalPiece.model_validate(piece) for piece in members["signal"]]
                self._props.benches[name].apply(signal, members["sample_s"])
            case "bench":
                self._props.benches[name].release()
            case _ if act.device == CENTRE_DEVICE:
                assert self.world.island is not None
                start = datetime.fromisoformat(members["start"])
                self.world.island.interruptible(start, members["power_kw"], beyond_kw=members["beyond_kw"])
            case _ if act.device == AREA_DEVICE:
                self._nominated = members["chargers"]
            case _ if act.device == LEDGER_DEVICE:
                self._book(act.at, members)

    async def _order(self, charger_id: str, act: Act) -> None:
        with contextlib.suppress(ChargerError, ValueError):
            await order(self._props.chargers[charger_id], act.act, act.members)

    def _move(self, driver: str, act: Act) -> None:
        assert isinstance(self.world, PublicWorld)
        car = self._cars.setdefault(driver, self.world.car(driver))
        if act.act == "unplug":
            car.unplug()
            return
        with contextlib.suppress(CarError):
            car.plug_in(
                act.members["charger_id"],
                soc_percent=act.members["soc_percent"],
                target_percent=act.members["target_percent"],
            )

    def _book(self, at: datetime, members: Mapping[str, Any]) -> None:
        entries = {account: Decimal(amount) for account, amount in members["entries"].items()}
        with contextlib.suppress(LedgerError):
            self._props.ledger.post(members["transaction_id"], at, members["reference"], entries)


def replay(record: Record, played: frozenset[str]) -> Conductor:
    """Plays these agents through the whole record; the conductor knows then what was as recorded, and what was not."""
    clock = VirtualClock(record.scenario.begins)
    with tempfile.TemporaryDirectory() as folder, OutFolder(Path(folder) / "replay") as out:
        stage = ReplayStage(record, played, out, clock)
        run(stage.play, clock)
        return stage.conductor
