"""The DSO of public stations as a whole: what it is told to send, whom it cannot reach, and that it repeats itself."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agents.public_dso import PublicDso
from protocols import exchanges as x
from tests.agents.public_dso_stage import (
    CONTRACT,
    DAY,
    PLAN,
    PRICING,
    TUESDAY,
    PublicStage,
    local,
    network,
)
from tests.agents.two_lines import STATIONS, TwoLines
from tests.swarm import run_swarm

MONDAY = TUESDAY - DAY


def cheaper(said_at: str, **changed: Any) -> x.NetworkPriceReduction:
    values: dict[str, Any] = {
        "reduction_id": "written",
        "timestamp": local(MONDAY, said_at),
        "locations": ("b2",),
        "reduction_eur_per_kwh": Decimal("0.09"),
        "start": local(MONDAY, "13:00"),
        "end": local(MONDAY, "14:00"),
    }
    return x.NetworkPriceReduction(**values | changed)


def sunny() -> TwoLines:
    begin, end = local(MONDAY, "13:00"), local(MONDAY, "14:00")
    return TwoLines(sunny_kw=lambda when: 900.0 if begin <= when < end else 0.0)


def test_signals_are_sent_in_the_order_of_their_times() -> None:
    async def main(stage: PublicStage) -> None:
        later = cheaper("10:30", reduction_id="later")
        sooner = cheaper("10:00", reduction_id="sooner", reduction_eur_per_kwh=Decimal("0.01"))
        here = await network(stage, signals=[later, sooner])
        await here.until(MONDAY, "10:15")
        assert here.ppc.reductions == [sooner]
        await here.until(MONDAY, "10:45")
        assert here.ppc.reductions == here.second.reductions == [sooner, later]

    run_swarm(main, PublicStage())


def test_a_signal_of_before_the_run_is_sent_at_once_and_says_when() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, signals=[cheaper("06:00")])
        await stage.until(1)
        assert here.ppc.reductions == [cheaper("09:00")]
        assert here.notices == ["written is sent when the run begins: its time, 2026-06-01 06:00, is before that"]

    run_swarm(main, PublicStage())


def test_what_would_have_begun_already_is_told_and_not_sent() -> None:
    async def main(stage: PublicStage) -> None:
        late = cheaper("08:00", start=local(MONDAY, "08:30"), end=local(MONDAY, "10:00"))
        here = await network(stage, signals=[late, cheaper("10:00")])
        await here.until(MONDAY, "10:15")
        assert here.notices == ["written is not sent: it would begin at 2026-06-01 08:30, which has passed"]
        assert here.ppc.reductions == [cheaper("10:00")]

    run_swarm(main, PublicStage())


def test_a_signal_for_after_the_run_is_told() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, signals=[cheaper("12:00")], until=local(MONDAY, "12:00"))
        await here.until(MONDAY, "13:00")
        assert here.notices == ["written is not sent: the run is over then"]

    run_swarm(main, PublicStage())


def test_what_a_signal_has_announced_the_dso_does_not_announce_itself_at_the_same_moment() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, sunny(), signals=[cheaper("09:05")])
        await here.until(MONDAY, "12:30")
        assert here.second.reductions == [cheaper("09:05")]

    run_swarm(main, PublicStage())


def test_a_limit_that_a_signal_activates_the_dso_does_not_activate_itself_at_the_same_moment() -> None:
    async def main(stage: PublicStage) -> None:
        written = x.CapacityLimit(
            activation_id="written",
            contract_id="unstated",
            timestamp=local(MONDAY, "14:00"),
            station_id="s3",
            limit_kw=120.0,
            start=local(TUESDAY, "17:00"),
            end=local(TUESDAY, "22:00"),
        )
        here = await network(stage, signals=[written])
        await here.until(MONDAY, "14:30")
        assert here.second.limits == [written.model_copy(update={"contract_id": CONTRACT + "s3"})]
        assert [each.station_id for each in here.ppc.limits] == ["s2"]
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_a_cpo_that_the_directory_does_not_know_is_told_of_once() -> None:
    async def main(stage: PublicStage) -> None:
        dso = await stage.start(
            PublicDso,
            "hedno",
            study=TwoLines(),
            stations=STATIONS,
            terms=PLAN,
            pricing=PRICING,
            ledger=stage.ledger,
            until=local(TUESDAY, "03:00"),
            signals=[cheaper("10:00")],
        )
        dso.spawn(dso.course(), "course")
        await stage.until(20 * 60)
        told = [each for each in stage.notices if "there is no CPO" in each]
        assert told == [
            f"hedno@localhost: there is no CPO {name}: nothing can be told to it" for name in ("ppc", "second-cpo")
        ]
        assert stage.noticed("ppc is not settled for 2026-06-01: the run ends before that can be known") == 1

    run_swarm(main, PublicStage())


def test_the_same_network_gives_the_same_trace() -> None:
    def said() -> list[str]:
        found: list[str] = []

        async def main(stage: PublicStage) -> None:
            here = await network(stage, sunny(), signals=[cheaper("10:00")])
            await here.until(TUESDAY + DAY, "01:00")
            found.extend(
                f"{at} {m.sender} {m.receiver} {m.performative} {m.body()}" for at, m in stage.recorder.messages
            )

        run_swarm(main, PublicStage())
        return found

    first = said()
    assert len(first) > 50
    assert said() == first
