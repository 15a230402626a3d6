"""Managers that offer what they have not told of: they get nothing for it, and less trust; honest ones keep theirs."""

from __future__ import annotations

from typing import Any

import pytest

from agents.decisions.selection import Memory, Trust
from agents.fo import FlexibilityOperator
from behaviours.answering import Propose, Reply
from protocols import exchanges as x
from tests.agents.fo_island import Island, reason, troubles
from tests.agents.stage import Stage, at
from tests.agents.vehicles import Manager, activation, state, voltage
from tests.swarm import jid, run_swarm

MEMORY = Memory(weight=0.5, bound=0.1)
TWO: dict[str, Any] = {"m1": {"chargers": {"c1": "bus1"}}, "m2": {"chargers": {"c2": "bus1"}}}
CANNOT = "m1@localhost offers what cannot be believed: "


def offering(manager: Manager, *users: x.EvOffer) -> None:
    """From now on it offers these."""

    def reply(call: Any) -> Reply:
        kind = x.Availability if isinstance(call, x.CurtailmentCall) else x.ParticipationResponse
        power, energy = sum(u.power_kw for u in users), sum(u.energy_kwh for u in users)
        return Propose(manager.offer(call, kind, users=users, power_kw=power, energy_kwh=energy))

    manager.offers = reply


def vehicle(user_id: str, power_kw: float = 4.0, baseline_kw: float = 2.0, bus: str = "bus1") -> x.EvOffer:
    return x.EvOffer(
        user_id=user_id,
        ev_owner=jid(f"ev-{user_id}"),
        location=bus,
        baseline_kw=baseline_kw,
        power_kw=power_kw,
        energy_kwh=power_kw / 2,
    )


def trust(fo: FlexibilityOperator, manager: str) -> float:
    return fo.desk.of(jid(manager)).value


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        (vehicle("c1", baseline_kw=-2.0), "the baseline of c1 is -2 kW, told were 2 kW"),
        (vehicle("c1", 500.0), "c1 can change by +500 kW, told were 4 kW"),
        (vehicle("c1", bus="bus2"), "c1 is at bus2, told was bus1"),
    ],
)
def test_an_offer_beside_what_was_told_is_left_out_and_costs_trust(offered: x.EvOffer, why: str) -> None:
    """A false baseline would be paid for a meter that does not move; 500 kW would leave out all others."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        offering(island.managers["m1"], offered)
        await island.tell()
        agreed = await island.served(activation(power_kw=8.0))
        assert agreed.content.available_power_kw == 4.0  # type: ignore[attr-defined]
        assert [island.awards(name) for name in ("m1", "m2")] == [[], [{"c2": 4.0}]]
        assert [reject.code for reject in island.managers["m1"].rejected] == ["not-chosen"]
        assert [m.manager for notice in island.emsp.notices for m in notice.managers] == [jid("m2")]
        assert (trust(island.fo, "m1"), trust(island.fo, "m2")) == (0.5, 1.0)
        assert stage.noticed(CANNOT + why) == 1

    run_swarm(main, Stage())


def test_less_than_was_told_and_a_little_beside_it_is_taken() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        offering(island.managers["m1"], vehicle("c1", 1.5, baseline_kw=2.4))
        await island.tell()
        await island.served(activation(power_kw=8.0))
        assert island.awards("m1") == [{"c1": 1.5}]
        assert (island.fo.desk.trust, troubles(stage)) == ({}, [])

    run_swarm(main, Stage())


def test_the_rest_of_an_offer_stands_and_only_its_false_part_costs_trust() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, m1={"chargers": {"c1": "bus1", "c2": "bus1", "c3": "bus1"}})
        offering(island.managers["m1"], vehicle("c1"), vehicle("c2"), vehicle("c3", 8.0))
        await island.tell()
        await island.served(activation(power_kw=20.0))
        assert island.awards("m1") == [{"c1": 4.0, "c2": 4.0}]
        assert trust(island.fo, "m1") == 0.75  # 8 of 16 kW are false

    run_swarm(main, Stage())


def test_a_charger_that_another_manager_tells_of_is_left_out_for_the_one_that_does_not() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        offering(island.managers["m1"], vehicle("c1"), vehicle("c2"))
        await island.tell()
        await island.served(activation(power_kw=8.0))
        assert [island.awards(name) for name in ("m1", "m2")] == [[{"c1": 4.0}], [{"c2": 4.0}]]
        assert stage.noticed(CANNOT + "c2 is a charger of m2@localhost") == 1
        assert stage.noticed("offered by two managers") == 0
        assert (trust(island.fo, "m1"), trust(island.fo, "m2")) == (0.75, 1.0)
        # nor where its own manager does not offer it
        offering(island.managers["m1"], vehicle("c2"))
        offering(island.managers["m2"])
        await island.tell(17)
        assert reason(await island.tso.ask(activation("s2", start=30))) == "no vehicle is available"

    run_swarm(main, Stage())


def test_a_charger_that_is_never_told_of_is_left_out_and_costs_trust_when_the_next_report_is_without_it() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        offering(island.managers["m1"], vehicle("c1"), vehicle("ghost", 12.0), vehicle("spook", 4.0))
        await island.tell()
        await island.served(activation(power_kw=30.0))
        assert island.awards("m1") == [{"c1": 4.0}]
        assert troubles(stage) == []
        island.meters.shown = lambda charger, when: 6.0
        offering(island.managers["m1"], vehicle("c1"))
        await island.tell(17)
        await stage.until(19)
        assert stage.noticed(CANNOT + "ghost is a charger that it never told of, and 1 more") == 1
        assert trust(island.fo, "m1") == 0.6  # 16 of 20 kW
        await island.tell(32)
        await stage.until(34)
        assert trust(island.fo, "m1") == 0.8  # it is said and counted once; the real vehicle delivered

    run_swarm(main, Stage())


def test_a_vehicle_that_has_just_arrived_is_left_out_without_blame_and_serves_when_it_was_told_of() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        manager = island.managers["m1"]
        await island.tell()
        manager.chargers = {"c1": "bus1", "c9": "bus1"}
        await island.served(activation(power_kw=30.0))
        assert island.awards("m1") == [{"c1": 4.0}]
        island.meters.shown = lambda charger, when: 6.0
        await island.tell(17)
        await stage.until(19)
        await island.served(activation("s2", power_kw=30.0, start=30, renews="s1"))
        assert island.awards("m1")[-1] == {"c1": 4.0, "c9": 4.0}
        # it leaves, and comes again after the next report: no blame either
        manager.chargers = {"c1": "bus1"}
        await island.tell(32)
        manager.chargers = {"c1": "bus1", "c9": "bus1"}
        await stage.until(34)
        await island.served(activation("s3", power_kw=30.0, start=45, renews="s2"))
        assert island.awards("m1")[-1] == {"c1": 4.0}
        await stage.until(49)
        assert (troubles(stage), trust(island.fo, "m1")) == ([], 1.0)

    run_swarm(main, Stage())


def test_a_vehicle_whose_service_was_called_off_meanwhile_is_left_out_without_blame() -> None:
    """It goes back to its own plan, and that is no longer what was told while it served."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        await island.tell()
        agreed = await island.served(voltage(power_kw=4.0))
        await island.tell(17)
        await stage.until(20)
        await agreed.cancel(x.Cancellation(reference="v1", reason="no need"), at(22))
        for name, charger in (("m1", "c1"), ("m2", "c2")):
            offering(island.managers[name], vehicle(charger, baseline_kw=7.0))
        assert reason(await island.tso.ask(activation(power_kw=8.0, start=30))) == "no vehicle is available"
        # c2 was in no service: of it the same is a broken word
        assert stage.noticed("m1@localhost offers") == 0
        assert stage.noticed("m2@localhost offers what cannot be believed: the baseline of c2 is 7 kW") == 1
        assert (trust(island.fo, "m1"), trust(island.fo, "m2")) == (1.0, 0.5)

    run_swarm(main, Stage())


def test_for_a_later_quarter_nothing_was_told_and_nothing_is_blamed() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, **TWO)
        offering(island.managers["m1"], vehicle("c1", 9.0, baseline_kw=0.0))
        await island.tell()
        await island.served(activation(power_kw=9.0, start=30))
        assert island.awards("m1") == [{"c1": 9.0}]
        assert troubles(stage) == []

    run_swarm(main, Stage())


def test_a_report_of_the_quarter_before_does_not_vouch_for_what_is_offered_now() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=MEMORY, m1={"chargers": {"c1": "bus1"}})
        await stage.until(17)
        await island.managers["m1"].tell(stamp=at(14))
        assert reason(await island.tso.ask(activation(start=30))) == "no vehicle is available"
        assert len(island.managers["m1"].calls) == 1
        assert trust(island.fo, "m1") == 1.0

    run_swarm(main, Stage())


def test_who_goes_on_is_named_once_an_hour_and_paused() -> None:
    async def main(stage: Stage) -> None:
        memory = Memory(weight=0.5, bound=0.2)
        island = await Island.open(stage, memory=memory, **TWO)
        offering(island.managers["m1"], vehicle("c1", 500.0))
        island.meters.shown = lambda charger, when: 6.0
        for number in range(4):
            await island.tell(2 + 15 * number)
            await stage.until(6 + 15 * number)
            await island.served(activation(f"s{number}", 8.0, start=15 + 15 * number, duration_minutes=15))
        assert stage.noticed(CANNOT) == 1
        assert stage.noticed("m1@localhost offered what cannot be believed: it is not called until") == 1
        assert island.fo.desk.of(jid("m1")) == Trust(0.2, at(36) + memory.pause)
        assert len(island.managers["m1"].calls) == 3
        assert (island.awards("m1"), len(island.awards("m2"))) == ([], 4)

    run_swarm(main, Stage())


def test_who_goes_on_after_an_hour_is_named_again() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, memory=Memory(weight=0.01, bound=0.1), **TWO)
        offering(island.managers["m1"], vehicle("c1", 500.0))
        for number in range(5):
            await island.tell(2 + 15 * number)
            await stage.until(6 + 15 * number)
            await island.served(activation(f"s{number}", 8.0, start=15 + 15 * number, duration_minutes=15))
        assert stage.noticed(CANNOT) == 2

    run_swarm(main, Stage())


def test_states_of_the_test_are_those_that_its_offers_keep_to() -> None:
    """The peers above tell 2 kW, 4 kW more or less; else no test here could fail."""
    told = state("c1")
    assert (told.baseline_kw, told.increase_kw, told.decrease_kw, told.location) == (2.0, 4.0, 4.0, "bus1")
