"""Keeping a service going: what the one who asks is told when it is refused."""

from __future__ import annotations

from itertools import count
from typing import Any

from agents.service_keeper import ServiceKeeper, Ticket
from behaviours.answering import Agree, Incoming, Reply, answers, refusal
from protocols import exchanges as x
from tests.agents.stage import Stage, at
from tests.agents.vehicles import Asker, PayingFo, Tso, activation
from tests.swarm import jid, run_swarm


class Unwilling(PayingFo):
    """An FO that refuses, until it is `willing`."""

    willing = False

    @answers(x.CurtailmentActivation)
    async def on_activation(self, signal: x.CurtailmentActivation, incoming: Incoming) -> Reply:
        if not self.willing:
            return refusal("none", "no vehicle is available")
        return Agree(x.ServiceAnswer(service_id=signal.service_id, available_power_kw=signal.power_kw))


async def asks(stage: Stage, asker: Asker, keeper: ServiceKeeper, minutes: float) -> Any:
    """Asks at that minute for a service from the next quarter of an hour on."""

    def signal(ticket: Ticket) -> x.CurtailmentActivation:
        values = dict(activation()) | ticket.fields
        return x.CurtailmentActivation(**values)

    await stage.until(minutes)
    return await keeper.ask(jid("fo"), at((minutes // 15 + 1) * 15), signal, sign=1)


def test_a_service_that_is_refused_again_and_again_is_told_at_once_and_then_once_an_hour() -> None:
    async def main(stage: Stage) -> None:
        tso = await stage.start(Tso, "tso")
        fo = await stage.start(Unwilling, "fo")
        numbers = count(1)
        keeper = ServiceKeeper(tso, "saving wind", lambda: f"s{next(numbers)}", at(600))
        assert await asks(stage, tso, keeper, 6) is None
        first = "saving wind of 6.0 kW from 06:15 UTC is not served: refused by fo@localhost: no vehicle is available"
        assert stage.notices == [f"tso@localhost: {first}"]
        for minutes in (21, 36):
            assert await asks(stage, tso, keeper, minutes) is None
        # that it was served once in between makes a refusal no news
        fo.willing = True
        assert await asks(stage, tso, keeper, 51) is not None
        assert len(stage.notices) == 1
        fo.willing = False
        for minutes in (66, 81):
            assert await asks(stage, tso, keeper, minutes) is None
        told = [notice for notice in stage.notices if "is not served" in notice]
        assert len(told) == 2
        assert "from 07:15 UTC is not served" in told[1]
        assert told[1].endswith("(2 more since 06:06 UTC)")

    run_swarm(main, Stage())


def test_another_service_has_an_hour_of_its_own() -> None:
    async def main(stage: Stage) -> None:
        tso = await stage.start(Tso, "tso")
        await stage.start(Unwilling, "fo")
        numbers = count(1)
        for what in ("behind feeder1", "behind feeder2"):
            keeper = ServiceKeeper(tso, what, lambda: f"s{next(numbers)}", at(600))
            await asks(stage, tso, keeper, 6)
        assert (stage.noticed("behind feeder1"), stage.noticed("behind feeder2")) == (1, 1)

    run_swarm(main, Stage())
