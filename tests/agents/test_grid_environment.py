"""The environment agent: sensors and meters behind messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from agents.actor import Actor
from behaviours.outcomes import Informed, Refused, Subscribed
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.stage import Car, PlainDso, Site, Stage, at, informed, start_meters
from tests.swarm import jid, run_swarm

HERE = jid("environment")


def meter(*places: str, start: float = 0, end: float = 15, minutes: int = 5) -> x.MeterQuery:
    return x.MeterQuery(locations=places, start=at(start), end=at(end), period_minutes=minutes)


async def ask(stage: Stage, asker: Actor, question: x.Content) -> Any:
    return await asker.query_ref(question, to=HERE, reply_by=at(600))


def test_voltage_and_frequency_are_answered_with_their_unit() -> None:
    async def main(stage: Stage) -> None:
        await start_meters(stage)
        dso = await stage.start(PlainDso, "dso")
        voltage = informed(await ask(stage, dso, x.GridQuery(quantity=x.GridQuantity.VOLTAGE, location="bus1")))
        assert (voltage.value, voltage.unit, voltage.location, voltage.timestamp) == (228.5, "V", "bus1", at(0))
        frequency = informed(await ask(stage, dso, x.GridQuery(quantity=x.GridQuantity.FREQUENCY)))
        assert (frequency.value, frequency.unit) == (49.9877, "Hz")

    run_swarm(main, Stage())


def test_a_place_without_a_sensor_is_refused_in_words() -> None:
    async def main(stage: Stage) -> None:
        await start_meters(stage)
        dso = await stage.start(PlainDso, "dso")
        question = x.GridQuery(quantity=x.GridQuantity.VOLTAGE, location="bus9")
        answer = await ask(stage, dso, question)
        assert isinstance(answer, Refused)
        assert (answer.content.code, answer.reason) == ("unknown-location", "there is no bus bus9")  # type: ignore[attr-defined]
        outcome = await dso.subscribe(question, to=HERE, on_inform=lambda reading: None, reply_by=at(1))
        assert isinstance(outcome, Refused)

    run_swarm(main, Stage())


def test_a_subscriber_gets_a_reading_each_quarter_until_it_cancels() -> None:
    async def main(stage: Stage) -> None:
        environment = await start_meters(stage)
        dso = await stage.start(PlainDso, "dso")
        readings: list[x.GridReading] = []
        question = x.GridQuery(quantity=x.GridQuantity.VOLTAGE, location="bus1")
        subscription = await dso.subscribe(question, to=HERE, on_inform=readings.append, reply_by=at(1))
        assert isinstance(subscription, Subscribed)
        await stage.until(46)
        assert [r.timestamp for r in readings] == [at(15), at(30), at(45)]
        assert {r.value for r in readings} == {228.5}
        outcome = await subscription.cancel(x.Cancellation(reference="voltage", reason="enough"), at(50))
        assert isinstance(outcome, Informed)
        await stage.until(91)
        assert len(readings) == 3
        assert environment.subscriptions(x.GridQuery) == ()

    run_swarm(main, Stage())


def test_two_subscribers_of_different_quantities_each_get_their_own() -> None:
    async def main(stage: Stage) -> None:
        await start_meters(stage)
        dso = await stage.start(PlainDso, "dso")
        volts: list[x.GridReading] = []
        hertz: list[x.GridReading] = []
        voltage = x.GridQuery(quantity=x.GridQuantity.VOLTAGE, location="bus1")
        await dso.subscribe(voltage, to=HERE, on_inform=volts.append, reply_by=at(1))
        frequency = x.GridQuery(quantity=x.GridQuantity.FREQUENCY)
        await dso.subscribe(frequency, to=HERE, on_inform=hertz.append, reply_by=at(1))
        await stage.until(16)
        assert ([r.unit for r in volts], [r.unit for r in hertz]) == (["V"], ["Hz"])

    run_swarm(main, Stage())


def test_meters_are_read_as_means_of_each_period() -> None:
    async def main(stage: Stage) -> None:
        await start_meters(stage)
        await Site.open(stage, [Car("c1", arrives=10), Car("c2", arrives=0)])
        dso = await stage.start(PlainDso, "dso")
        await stage.until(20)
        reading = informed(await ask(stage, dso, meter("charger:c1", "charger:c2")))
        assert [s.location for s in reading.series] == ["charger:c1", "charger:c2"]
        assert reading.series[0].power_kw == pytest.approx((0.0, 0.0, 11.0))
        assert reading.series[1].power_kw == pytest.approx((11.0, 11.0, 11.0))

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "question",
    [
        meter("charger:c9"),
        meter("charger:c1", start=15, end=45),
        meter("charger:c1", minutes=7),
        meter("charger:c1", minutes=60),
    ],
    ids=["no such meter", "not yet measured", "not whole periods", "a period longer than the time"],
)
def test_what_cannot_be_read_is_refused_and_the_next_question_is_answered(question: x.MeterQuery) -> None:
    async def main(stage: Stage) -> None:
        await start_meters(stage)
        await Site.open(stage, [Car("c1")])
        dso = await stage.start(PlainDso, "dso")
        await stage.until(20)
        assert isinstance(await ask(stage, dso, question), Refused)
        assert isinstance(await ask(stage, dso, meter("charger:c1")), Informed)

    run_swarm(main, Stage())


class Visitor(Actor):
    role = Role.EV_OWNER


def test_a_driver_may_not_read_the_meters() -> None:
    """Other people's consumption is not theirs: env.meter is the grid operator's and the CPO's."""

    async def main(stage: Stage) -> None:
        await start_meters(stage)
        await Site.open(stage, [Car("c1")])
        visitor = await stage.start(Visitor, "visitor")
        await stage.until(20)
        answer = await ask(stage, visitor, meter("charger:c1"))
        assert isinstance(answer, Refused)
        assert answer.content.code == "not-authorised"  # type: ignore[attr-defined]

    run_swarm(main, Stage())


@dataclass
class Passing:
    speed: float | None = 60.0
    paused: bool = False

    def now(self) -> datetime:
        return at(7.5)


def test_anybody_is_told_the_time_and_how_fast_it_passes() -> None:
    async def main(stage: Stage) -> None:
        environment = await start_meters(stage)
        visitor = await stage.start(Visitor, "visitor")

        async def the_time() -> x.Content:
            return informed(await ask(stage, visitor, x.ClockQuery()))

        await stage.until(20)
        assert await the_time() == x.ClockReading(now=at(20), speed=None)
        environment.passing = Passing()
        assert await the_time() == x.ClockReading(now=at(7.5), speed=60.0)
        environment.passing = Passing(paused=True)
        assert await the_time() == x.ClockReading(now=at(7.5), speed=0.0)

    run_swarm(main, Stage())
