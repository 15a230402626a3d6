"""A swarm of two for the tests of replays: a DSO asks the world for the frequency, orders a charger by it, and pays.

`record` plays it with the real post and makes a record of it; `replayed` plays one or both against that record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from agents.actor import Actor, start_all
from agents.directory import Directory
from behaviours.acting import acting
from behaviours.answering import Incoming, Inform, answers
from behaviours.outcomes import Informed
from behaviours.ports import Post
from behaviours.post import PostOffice
from behaviours.swarm import Swarm
from environment import scenario
from environment.acts import Act, NotedCharger, NotedLedger, Noting
from environment.clock import VirtualClock, run
from environment.replay.conductor import Conductor
from environment.replay.record import Record, Tolerances
from protocols.exchanges.services import GridQuery, GridReading
from protocols.exchanges.vocabulary import GridQuantity
from protocols.roles import Role
from protocols.trace import Entry, Header
from tests.days import SMALL
from tests.swarm import GUARD_S, ListRecorder, jid

SCENARIO = scenario.parse(SMALL, "small.toml")
START = SCENARIO.begins.astimezone(UTC)
END = START + timedelta(hours=1)
ROLES = {jid("directory"): Role.DIRECTORY, jid("world"): Role.ENVIRONMENT, jid("dso"): Role.DSO}
BOTH = frozenset({jid("world"), jid("dso")})


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


@dataclass
class Hands:
    """What the DSO can do besides talking."""

    charger: Any
    ledger: NotedLedger


class Teller(Actor):
    """Tells the frequency: higher by 0.1 Hz each time."""

    role: ClassVar[Role] = Role.ENVIRONMENT
    told = 0

    def __init__(self, jid: str, swarm: Swarm, hands: Hands) -> None:
        super().__init__(jid, "", swarm)
        self.roles.update(ROLES)

    def value(self) -> float:
        self.told += 1
        return 50.0 + self.told / 10

    @answers(GridQuery)
    async def on_grid_query(self, query: GridQuery, incoming: Incoming) -> Inform:
        return Inform(
            GridReading(quantity=GridQuantity.FREQUENCY, timestamp=self.now(), value=round(self.value(), 3), unit="Hz")
        )


class Asker(Actor):
    """Asks after ten and after twenty minutes, sets a charger to as many kW, and pays a euro each time."""

    role: ClassVar[Role] = Role.DSO

    def __init__(self, jid: str, swarm: Swarm, hands: Hands) -> None:
        super().__init__(jid, "", swarm)
        self.roles.update(ROLES)
        self.hands = hands

    async def course(self) -> None:
        for number in (1, 2):
            await self.clock.sleep_until(START + minutes(10 * number))
            await self.once(number)

    async def once(self, number: int) -> None:
        question = GridQuery(quantity=GridQuantity.FREQUENCY)
        outcome = await self.query_ref(question, to=jid("world"), reply_by=self.now() + minutes(5))
        if isinstance(outcome, Informed):
            await self.hands.charger.set_power(outcome.content.value, 900)
        self.pay(number, Decimal("1.00"))

    def pay(self, number: int, eur: Decimal) -> None:
        self.hands.ledger.post(f"t-{number}", self.now(), "1.2.7", {jid("dso"): -eur, jid("world"): eur})


class Charger:
    """Keeps the power that it was set to."""

    charger_id = "c1"

    def __init__(self) -> None:
        self.power_kw: list[float] = []

    async def set_power(self, power_kw: float, reversion_s: int) -> None:
        self.power_kw.append(power_kw)


@dataclass
class Acts:
    """Keeps what is noted, for the record."""

    clock: VirtualClock
    recorder: ListRecorder
    acts: list[Act] = field(default_factory=list)

    def note(self, device: str, act: str, **members: Any) -> None:
        at = self.clock.now().astimezone(SCENARIO.zone)
        self.acts.append(Act(len(self.recorder.messages), at, acting(), device, act, members))


def record(tolerances: Tolerances | None = None, **kinds: Any) -> Record:
    """What the two say and do when they talk to each other."""
    clock, recorder = VirtualClock(START), ListRecorder()
    noted = Acts(clock, recorder)
    _perform(clock, PostOffice(clock), recorder, noted, frozenset(ROLES), **kinds)
    entries = tuple(
        Entry(line, at.astimezone(SCENARIO.zone), message)
        for line, (at, message) in enumerate(recorder.messages, start=2)
    )
    header = Header(scenario="small", seed=4, roles=ROLES)
    return Record(Path(), SCENARIO, header, entries, tuple(noted.acts), tolerances or Tolerances())


def replayed(recorded: Record, played: frozenset[str] = BOTH, **kinds: Any) -> tuple[Conductor, list[Act]]:
    """The conductor after the replay, and what it did in the place of those who were not played."""
    clock = VirtualClock(START)
    conductor = Conductor(recorded, played, clock)
    performed: list[Act] = []
    conductor.perform = performed.append
    _perform(clock, conductor, ListRecorder(), conductor, played, conductor, **kinds)
    return conductor, performed


def shown(conductor: Conductor) -> list[str]:
    return [str(difference) for difference in conductor.differences]


def without(recorded: Record, keep: Callable[[Entry | Act], bool]) -> Record:
    """The same record without some of its messages and acts."""
    entries = tuple(entry for entry in recorded.entries if keep(entry))
    return replace(recorded, entries=entries, acts=tuple(act for act in recorded.acts if keep(act)))


def _perform(
    clock: VirtualClock,
    post: Post,
    recorder: ListRecorder,
    noting: Noting,
    played: frozenset[str],
    conductor: Conductor | None = None,
    *,
    asker: type[Asker] = Asker,
    teller: type[Teller] = Teller,
) -> None:
    errors: list[BaseException] = []

    async def main() -> None:
        swarm = Swarm(clock, post, recorder, directory=jid("directory"), failed=errors.append, judge=False)
        with NotedLedger("sqlite://", noting) as ledger:
            hands = Hands(NotedCharger(Charger(), noting), ledger)  # type: ignore[arg-type]
            everybody: list[Actor] = [Directory(jid("directory"), "", swarm, ROLES)]
            everybody += [teller(jid("world"), swarm, hands), asker(jid("dso"), swarm, hands)]
            actors = [actor for actor in everybody if actor.address in played]
            if conductor is not None:
                conductor.begin()
            await start_all(actors)
            for actor in actors:
                actor.spawn(actor.course(), "course")
            await clock.sleep_until(END)
            clock.halt()
            if conductor is not None:
                conductor.end()
            for actor in actors:
                await actor.stop()

    async def guarded() -> None:
        async with asyncio.timeout(GUARD_S):
            await main()

    run(guarded, clock)
    assert errors == []


def at(clock: str) -> datetime:
    """A time of the evening by the clocks of Ljubljana."""
    return datetime.fromisoformat(f"2026-03-18T{clock}+01:00")
