"""The producer: its plant's measurements and forecast, every quarter of an hour, to whoever subscribed (2.1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from agents.actor import Actor
from agents.producer import Producer
from behaviours.outcomes import Refused, Subscribed
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.island_stage import FakeMeter
from tests.agents.stage import Stage, at
from tests.swarm import jid, run_swarm


class Listener(Actor):
    """Subscribes to the measurements of a producer and keeps them."""

    role = Role.TSO

    async def listen(self, to: str, request_id: str) -> tuple[Any, list[x.Measurements]]:
        heard: list[x.Measurements] = []
        topic = x.MeasurementsSubscription(request_id=request_id, timestamp=self.now())
        outcome = await self.subscribe(
            topic, to=jid(to), on_inform=heard.append, reply_by=self.now() + timedelta(minutes=1)
        )
        return outcome, heard


class Stranger(Listener):
    role = Role.VPP


async def producing(stage: Stage, meter: FakeMeter, *, until: float = 120, **options: Any) -> Producer:
    producer = await stage.start(Producer, "graminhais", plant="wind1", meter=meter, until=at(until), **options)
    producer.spawn(producer.course(), "course")
    return producer


def growing(start: datetime) -> float:
    """kW that are available: 100 in the stage's first quarter of an hour, 10 more in each further one."""
    return 100.0 + 10.0 * ((start - at(0)) / timedelta(minutes=15))


def test_each_quarter_of_an_hour_is_reported_after_its_end_with_a_forecast_of_the_next_whole_one() -> None:
    async def main(stage: Stage) -> None:
        meter = FakeMeter(growing)
        await producing(stage, meter)
        tso = await stage.start(Listener, "tso")
        outcome, heard = await tso.listen("graminhais", "r1")
        assert isinstance(outcome, Subscribed)
        await stage.until(16.9)
        assert heard == []
        await stage.until(33)
        assert [(r.timestamp, r.start, r.end) for r in heard] == [(at(17), at(0), at(15)), (at(32), at(15), at(30))]
        report = heard[0]
        assert (report.source, report.request_id) == ("wind1", "r1")
        assert (report.production_kw, report.available_kw, report.f_hz) == (100.0, 100.0, 49.9876)
        assert (report.ev_kw, report.p_kw, report.q_kvar, report.users) == (0.0, 0.0, 0.0, ())
        # at 6:17 the next whole quarter of an hour is that from 6:30
        assert meter.asked[0] == at(30)
        assert (report.forecast_available_kw, report.forecast_kw) == (120.0, 120.0)

    run_swarm(main, Stage())


def test_a_plant_that_is_held_back_is_expected_to_stay_there_and_says_what_it_could() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing, taken=0.5))
        tso = await stage.start(Listener, "tso")
        _, heard = await tso.listen("graminhais", "r1")
        await stage.until(18)
        assert (heard[0].production_kw, heard[0].available_kw) == (50.0, 100.0)
        assert (heard[0].forecast_kw, heard[0].forecast_available_kw) == (50.0, 120.0)

    run_swarm(main, Stage())


def test_a_plant_that_is_held_back_cannot_give_more_than_there_will_be() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing, taken=0.5, forecast=lambda start: 20.0))
        tso = await stage.start(Listener, "tso")
        _, heard = await tso.listen("graminhais", "r1")
        await stage.until(18)
        assert (heard[0].forecast_kw, heard[0].forecast_available_kw) == (20.0, 20.0)

    run_swarm(main, Stage())


def test_each_subscriber_is_answered_under_its_own_request() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing))
        tso, other = await stage.start(Listener, "tso"), await stage.start(Listener, "tso2")
        (_, first), (_, second) = await tso.listen("graminhais", "r1"), await other.listen("graminhais", "r2")
        await stage.until(18)
        assert ([r.request_id for r in first], [r.request_id for r in second]) == (["r1"], ["r2"])

    run_swarm(main, Stage())


def test_a_silent_producer_says_nothing_and_then_goes_on() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing), silent=lambda now: at(30) <= now < at(60))
        tso = await stage.start(Listener, "tso")
        _, heard = await tso.listen("graminhais", "r1")
        await stage.until(65)
        assert [r.end for r in heard] == [at(15), at(60)]

    run_swarm(main, Stage())


def test_it_ends_with_the_run() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing), until=45)
        tso = await stage.start(Listener, "tso")
        _, heard = await tso.listen("graminhais", "r1")
        await stage.until(120)
        assert [r.end for r in heard] == [at(15), at(30)]

    run_swarm(main, Stage())


def test_a_role_that_may_not_know_is_refused() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing))
        outcome, _ = await (await stage.start(Stranger, "vpp")).listen("graminhais", "r1")
        assert isinstance(outcome, Refused)
        assert outcome.content.code == "not-authorised"  # type: ignore[attr-defined]

    run_swarm(main, Stage())


def test_the_directory_knows_whose_plant_it_is() -> None:
    async def main(stage: Stage) -> None:
        await producing(stage, FakeMeter(growing))
        tso = await stage.start(Listener, "tso")
        (entry,) = await tso.search(role=Role.PRODUCER, service="plant:wind1")
        assert entry.jid == jid("graminhais")

    run_swarm(main, Stage())
