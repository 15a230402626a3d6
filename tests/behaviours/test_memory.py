"""Conversations are woken at their deadlines by one timer, and forgotten some time after their end."""

from __future__ import annotations

from datetime import timedelta

from agents.actor import Actor
from behaviours.answering import Incoming, Inform, Reply, answers
from behaviours.memory import REMEMBERED
from protocols import exchanges as x
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid, run_swarm


class Dso(Actor):
    role = Role.DSO

    @answers(x.MeasurementsQuery)
    async def on_query(self, query: x.MeasurementsQuery, incoming: Incoming) -> Reply:
        return Inform(
            x.MeasurementsCollection(
                activation_id=query.activation_id,
                service=x.ServiceType.CONGESTION_MANAGEMENT,
                start=query.start,
                end=query.end,
                period_minutes=15,
                power_kw=(1.0,),
                baseline_kw=None,
            )
        )


class Fmo(Actor):
    role = Role.FMO


QUERY = x.MeasurementsQuery(activation_id="a", start=START, end=START + timedelta(minutes=15))


def test_ended_conversations_are_forgotten_after_a_while() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, fmo = await swarm.start(Dso, "dso"), await swarm.start(Fmo, "fmo")
        for _ in range(50):
            await fmo.query_ref(QUERY, to=dso.address, reply_by=fmo.now() + timedelta(minutes=1))
        assert len(fmo.dispatcher.memory) > 50
        await fmo.clock.sleep_until(START + REMEMBERED)
        await fmo.query_ref(QUERY, to=dso.address, reply_by=fmo.now() + timedelta(minutes=1))
        assert len(fmo.dispatcher.memory) == 1
        assert len(dso.dispatcher.memory) == 1

    run_swarm(main)


def test_many_deadlines_in_any_order_are_each_kept() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        fmo = await swarm.start(Fmo, "fmo")
        ended: list[float] = []

        async def ask(minutes: int) -> None:
            await fmo.query_ref(QUERY, to=jid("nobody"), reply_by=swarm.at(minutes))
            ended.append((fmo.now() - START) / timedelta(minutes=1))

        order = [7, 3, 9, 1, 3, 8, 2]
        tasks = [fmo.spawn(ask(minutes)) for minutes in order]
        for task in tasks:
            await task
        assert ended == sorted(order)

    run_swarm(main)


def test_an_agent_that_has_stopped_is_woken_no_more() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        fmo = await swarm.start(Fmo, "fmo")
        asking = fmo.spawn(fmo.query_ref(QUERY, to=jid("nobody"), reply_by=swarm.at(5)))
        await swarm.settle()
        await fmo.stop()
        assert asking.cancelled()
        await swarm.clock.sleep_until(swarm.at(10))
        assert not fmo.is_alive()

    run_swarm(main)


def test_no_timer_is_left_when_nothing_is_awaited() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, fmo = await swarm.start(Dso, "dso"), await swarm.start(Fmo, "fmo")
        await fmo.query_ref(QUERY, to=dso.address, reply_by=swarm.at(1))
        await swarm.settle()
        assert swarm.clock._agenda.first() is None

    run_swarm(main)
