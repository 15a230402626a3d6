"""How the DSO makes network use cheaper where the sun feeds back (D5.1 3.4.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest

from agents.decisions.price_reduction import Beliefs
from protocols import exchanges as x
from tests.agents.public_dso_stage import (
    DAY,
    PRICING,
    TUESDAY,
    PublicNetwork,
    PublicStage,
    local,
    network,
)
from tests.agents.two_lines import TwoLines
from tests.swarm import run_swarm

MONDAY = TUESDAY - DAY


def sun(start: str, end: str, kw: float) -> Callable[[datetime], float]:
    """Roofs at b2 that give so much at a local time of Monday; b1 and b2 draw 40 kW each."""
    begin, over = local(MONDAY, start), local(MONDAY, end)
    return lambda when: kw if begin <= when < over else 0.0


def quiet(sunny: Callable[[datetime], float]) -> TwoLines:
    """A network with sun and without any need for caps."""
    return TwoLines(evening_kw=(0.0,), sunny_kw=sunny)


def test_reverse_flow_makes_network_use_cheaper_behind_the_line_an_hour_ahead() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(sun("12:00", "14:00", 60.0)))
        await here.until(MONDAY, "09:04")
        assert stage.said(x.NetworkPriceReduction) == []
        await here.until(MONDAY, "09:06")
        (sent, same) = stage.said(x.NetworkPriceReduction)
        # 20 kW flow back through line 2, 10 more than may; line 1 still draws 20
        assert sent == same
        assert (sent.timestamp, sent.locations) == (local(MONDAY, "09:05"), ("b2",))
        assert (sent.start, sent.end) == (local(MONDAY, "12:00"), local(MONDAY, "14:00"))
        assert Decimal(0) < sent.reduction_eur_per_kwh <= PRICING.most_reduction_eur_per_kwh
        assert sent.reduction_eur_per_kwh % PRICING.step_eur_per_kwh == 0
        (reason,) = here.dso.pricing.reasons[sent.reduction_id]
        assert (reason.line, reason.wanted_kwh) == ("line 2", pytest.approx(20.0))
        assert here.ppc.reductions == here.second.reductions == [sent]
        assert here.dso.pricing.taken(here.ppc.address) == (sent,)

    run_swarm(main, PublicStage())


def test_more_reverse_flow_makes_it_cheaper_and_never_by_more_than_the_most() -> None:
    found: list[Decimal] = []

    async def main(stage: PublicStage) -> None:
        kw = (52.0, 60.0, 900.0)[len(found)]
        here = await network(stage, quiet(sun("12:00", "14:00", kw)))
        await here.until(MONDAY, "09:06")
        found.append(max(each.reduction_eur_per_kwh for each in here.second.reductions))

    for _ in range(3):
        run_swarm(main, PublicStage())
    little, more, most = found
    assert little < more < most == PRICING.most_reduction_eur_per_kwh


def test_what_is_announced_is_not_announced_again_until_more_is_wanted() -> None:
    async def main(stage: PublicStage) -> None:
        study = quiet(sun("12:00", "14:00", 60.0))
        here = await network(stage, study)
        await here.until(MONDAY, "10:30")
        (first,) = here.ppc.reductions
        study.sunny_kw = sun("12:00", "14:00", 68.0)
        await here.until(MONDAY, "11:06")
        first_again, larger = here.ppc.reductions
        assert first_again == first
        assert larger.reduction_eur_per_kwh > first.reduction_eur_per_kwh
        # announced an hour before at least: what begins within it stays as it is
        assert (larger.start, larger.end) == (local(MONDAY, "12:15"), local(MONDAY, "14:00"))
        assert larger.reduction_id != first.reduction_id

    run_swarm(main, PublicStage())


def test_a_look_that_sees_further_announces_only_what_is_new() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(sun("13:00", "15:00", 900.0)))
        await here.until(MONDAY, "11:30")
        # 5 hours ahead: until 14:00 at 09:05, until 15:00 at 10:05
        assert sorted({(each.start, each.end) for each in here.second.reductions}) == [
            (local(MONDAY, "13:00"), local(MONDAY, "14:00")),
            (local(MONDAY, "14:00"), local(MONDAY, "15:00")),
        ]

    run_swarm(main, PublicStage())


def test_it_looks_only_in_the_hours_of_the_plan() -> None:
    async def main(stage: PublicStage) -> None:
        pricing = dataclasses.replace(PRICING, first_hour=PRICING.first_hour.replace(hour=10), horizon_hours=3)
        study = quiet(lambda when: 60.0)
        looks: list[datetime] = []
        ahead = study.look_ahead

        def look_ahead(start: datetime, periods: int, station_kw: object = None) -> object:
            looks.append(stage.clock.now())
            return ahead(start, periods)

        study.look_ahead = look_ahead  # type: ignore[method-assign, assignment]
        here = await network(stage, study, pricing=pricing)
        await here.until(TUESDAY, "10:30")
        assert looks == [local(MONDAY, f"{hour}:05") for hour in range(10, 17)] + [local(TUESDAY, "10:05")]

    run_swarm(main, PublicStage())


def test_a_flow_within_the_threshold_is_left_alone() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(sun("12:00", "14:00", 50.0)))
        await here.until(MONDAY, "16:00")
        assert here.ppc.reductions == []

    run_swarm(main, PublicStage())


def test_where_no_driver_is_believed_to_follow_no_price_is_lowered() -> None:
    async def main(stage: PublicStage) -> None:
        pricing = dataclasses.replace(PRICING, beliefs=Beliefs(following=0.0))
        here = await network(stage, quiet(sun("12:00", "14:00", 60.0)), pricing=pricing)
        await here.until(MONDAY, "16:00")
        assert here.ppc.reductions == []

    run_swarm(main, PublicStage())


def test_a_cpo_that_refuses_is_told_of_and_not_asked_again() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.second.to_reduction = lambda content: "our prices are fixed"

    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(sun("12:00", "14:00", 60.0)), prepare=prepare)
        await here.until(MONDAY, "12:30")
        (sent,) = here.ppc.reductions
        assert here.second.reductions == [sent]
        told = f"second-cpo@localhost does not pass on {sent.reduction_id} at b2: refused by second-cpo@localhost: "
        assert told + "our prices are fixed" in here.notices
        assert here.dso.pricing.taken(here.second.address) == ()
        assert here.dso.pricing.taken(here.ppc.address) == (sent,)

    run_swarm(main, PublicStage())


def test_a_cpo_that_does_not_answer_is_told_again_the_same_until_the_reduction_begins() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.second.to_reduction = lambda content: "silent" if here.dso.now() < local(MONDAY, "11:00") else None

    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(sun("12:00", "14:00", 60.0)), prepare=prepare)
        await here.until(MONDAY, "15:30")
        (sent,) = here.ppc.reductions
        assert here.second.reductions == [sent] * 3
        silent = [each for each in here.notices if "does not pass on" in each]
        assert silent == [
            f"second-cpo@localhost does not pass on {sent.reduction_id} at b2: no answer from second-cpo@localhost"
        ]
        assert here.dso.pricing.taken(here.second.address) == (sent,)

    run_swarm(main, PublicStage())


def test_a_cpo_that_keeps_silent_does_not_keep_the_others_waiting() -> None:
    """Whatever is told, or told again, is told in the five minutes of one answer."""
    runs = [sun(*hours, 900.0) for hours in (("11:00", "12:00"), ("13:00", "14:00"), ("14:30", "15:00"))]

    def sunny(when: datetime) -> float:
        return max(run(when) for run in runs)

    def prepare(here: PublicNetwork) -> None:
        here.second.to_reduction = lambda content: "silent"

    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(sunny), prepare=prepare)
        await here.until(MONDAY, "09:11")
        assert [each.start for each in here.ppc.reductions] == [local(MONDAY, "11:00"), local(MONDAY, "13:00")]
        await here.until(MONDAY, "10:11")
        assert here.second.reductions == [*here.ppc.reductions[:2]] * 2 + [here.ppc.reductions[2]]
        assert (here.ppc.reductions[2].timestamp, here.ppc.reductions[2].start) == (
            local(MONDAY, "10:10"),
            local(MONDAY, "14:00"),
        )

    run_swarm(main, PublicStage())


def test_a_signal_for_places_without_stations_is_told() -> None:
    signal = x.NetworkPriceReduction(
        reduction_id="written",
        timestamp=local(MONDAY, "10:00"),
        locations=("b7",),
        reduction_eur_per_kwh=Decimal("0.05"),
        start=local(MONDAY, "13:00"),
        end=local(MONDAY, "15:00"),
    )

    async def main(stage: PublicStage) -> None:
        here = await network(stage, quiet(lambda when: 0.0), signals=[signal])
        await here.until(MONDAY, "11:00")
        assert "written concerns no station at b7" in here.notices
        assert here.ppc.reductions == []

    run_swarm(main, PublicStage())
