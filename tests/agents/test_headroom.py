"""4.x.1: the DSO tells the room behind its feeders, and the FO keeps a service of the TSO within it."""

from __future__ import annotations

from typing import Any

from protocols import exchanges as x
from tests.agents.fo_island import Island
from tests.agents.island_stage import BUSES, user
from tests.agents.stage import Stage, at
from tests.agents.test_voltage_dso import LOW, everybody, town
from tests.agents.vehicles import FEEDER, OTHER, Dso, activation
from tests.swarm import run_swarm


def named(feeder: str) -> str:
    return feeder.replace("-", "_")


async def served(stage: Stage, power_kw: float, **room: float) -> tuple[Island, Any]:
    """What becomes of a curtailment service after the DSO has told this room for its first quarter."""
    island = await Island.open(stage)
    await island.tell()
    dso = island.dso
    assert isinstance(dso, Dso)
    await stage.until(2.1)
    await dso.tell_room(15, **{named(feeder): kw for feeder, kw in room.items()})
    return island, await island.served(activation(power_kw=power_kw))


def test_a_feeder_without_room_gives_nothing_and_the_others_what_they_can() -> None:
    async def main(stage: Stage) -> None:
        island, agreed = await served(stage, 10.0, **{FEEDER: 0.0})
        assert island.awards("m1") == []
        assert sum(sum(award.values()) for award in island.awards("m2")) == agreed.content.available_power_kw > 0

    run_swarm(main, Stage())


def test_offers_are_cut_to_the_room_of_their_feeder() -> None:
    async def main(stage: Stage) -> None:
        island, agreed = await served(stage, 6.0, **{FEEDER: 5.0, OTHER: 0.0})
        assert agreed.content.available_power_kw == 5.0
        assert island.awards("m1") == [{"c1": 4.0, "c2": 1.0}]
        assert island.awards("m2") == []

    run_swarm(main, Stage())


def test_a_room_that_is_told_for_another_quarter_or_not_at_all_binds_nobody() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        await stage.until(2.1)
        await island.dso.tell_room(30, **{named(FEEDER): 0.0})
        agreed = await island.served(activation(power_kw=6.0))
        assert agreed.content.available_power_kw == 6.0

    run_swarm(main, Stage())


def test_the_dso_names_the_feeders_that_have_less_room_than_their_vehicles_could_take() -> None:
    """a2 at 0.95 pu falls by 0.001 for each kW at a1 and 0.002 at a2: 20 kW at both would bring it to 0.89; 0.90 is
    kept with 5/6 of it, 33.3 of 40 kW. Feeder b is not named: nothing is drawn there."""

    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: {"a1": 20.0, "a2": 15.0}, told=lambda start: everybody(more=20.0))
        heard: list[x.Headroom] = []
        topic = x.HeadroomSubscription(request_id="room", timestamp=stage.clock.now())
        await here.fo.subscribe(topic, to=here.dso.address, on_inform=heard.append, reply_by=at(1))
        await stage.until(20)
        (told,) = heard
        assert told.start == at(30)
        ((feeder, room),) = [(each.feeder, each.increase_kw) for each in told.feeders]
        assert feeder == here.model.feeder_of("a2")
        assert 33.0 <= room <= 33.3

    run_swarm(main, Stage())


def test_a_feeder_that_is_low_already_has_no_room() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW, told=lambda start: [user(bus, more=5.0, less=0.0) for bus in BUSES])
        heard: list[x.Headroom] = []
        topic = x.HeadroomSubscription(request_id="room", timestamp=stage.clock.now())
        await here.fo.subscribe(topic, to=here.dso.address, on_inform=heard.append, reply_by=at(1))
        await stage.until(20)
        assert [(each.feeder, each.increase_kw) for each in heard[0].feeders] == [(here.model.feeder_of("a2"), 0.0)]

    run_swarm(main, Stage())
