"""How the DSO activates caps a day ahead (D5.1 3.5.2), and what it makes of CPOs that do not keep them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from behaviours.answering import Incoming, Reply, answers, failure
from protocols import exchanges as x
from tests.agents.public_dso_stage import (
    CONTRACT,
    DAY,
    PLAN,
    TUESDAY,
    PlainCpo,
    PublicNetwork,
    PublicStage,
    local,
    network,
)
from tests.agents.two_lines import TwoLines
from tests.swarm import run_swarm

MONDAY = TUESDAY - DAY


def limit(station: str = "s2", kw: float = 120.0, **changed: Any) -> x.CapacityLimit:
    """A limit on Wednesday, as the file of a signal may have it."""
    values: dict[str, Any] = {
        "activation_id": "written",
        "contract_id": CONTRACT + station,
        "timestamp": local(MONDAY, "15:00"),
        "station_id": station,
        "limit_kw": kw,
        "start": local(TUESDAY + DAY, "17:00"),
        "end": local(TUESDAY + DAY, "22:00"),
    }
    return x.CapacityLimit(**values | changed)


def test_what_tomorrow_needs_is_activated_in_the_afternoon_before_for_the_whole_window() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await here.until(MONDAY, "13:59")
        assert stage.said(x.CapacityLimit) == []
        await here.until(MONDAY, "14:05")
        assert here.study.asked[-1] == ("day-ahead", TUESDAY, 4)
        sent = stage.said(x.CapacityLimit)
        assert [(each.station_id, each.limit_kw) for each in sent] == [("s2", 120.0), ("s3", 120.0)]
        assert {(each.timestamp, each.start, each.end) for each in sent} == {
            (local(MONDAY, "14:00"), local(TUESDAY, "17:00"), local(TUESDAY, "22:00"))
        }
        assert [each.contract_id for each in here.second.limits] == [CONTRACT + "s3"]
        assert {each.agreed for each in here.dso.activation.ordered.values()} == {True}
        assert here.dso.activation.left(CONTRACT + "s2") == PLAN.most_activations - 1
        # the last window that begins within the run is Thursday's
        await here.until(TUESDAY + 3 * DAY, "11:00")
        assert [each.start.date() for each in here.second.limits] == [TUESDAY + k * DAY for k in range(3)]
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_a_quiet_day_needs_no_limit() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await here.until(MONDAY, "12:00")
        here.study.evening_kw = (90.0,) * 4
        await here.until(MONDAY, "14:05")
        assert here.study.asked[-1] == ("day-ahead", TUESDAY, 4)
        assert here.ppc.limits + here.second.limits == []

    run_swarm(main, PublicStage())


def test_no_contract_is_activated_more_often_than_it_was_bought_for() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, plan=dataclasses.replace(PLAN, most_activations=2, scenarios=40))
        here.study.evening_kw = (150.0,) * 40
        await here.until(TUESDAY + 3 * DAY, "11:00")
        assert here.second.limits
        assert len(here.second.limits) <= 2
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_activations_that_do_not_last_for_all_days_are_kept_for_those_on_which_they_save_most() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, plan=dataclasses.replace(PLAN, most_activations=20))
        await here.until(MONDAY, "14:05")
        # 20 activations for 28 days alike: the second cap alone saves less than one of them is worth
        assert [each.station_id for each in stage.said(x.CapacityLimit)] == ["s3"]

    run_swarm(main, PublicStage())


def test_a_notice_that_would_be_too_short_is_not_given() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, plan=dataclasses.replace(PLAN, notice_minutes=28 * 60))
        await here.until(TUESDAY + DAY, "00:00")
        assert here.dso.buyer.contracts
        assert here.ppc.limits == []

    run_swarm(main, PublicStage())


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (lambda content: "two sessions need 150 kW", "refused by second-cpo@localhost: two sessions need 150 kW"),
        (lambda content: "silent", "no answer from second-cpo@localhost"),
    ],
)
def test_a_limit_that_a_cpo_does_not_agree_to_is_told_and_tried_again_only_the_next_day(
    says: Callable[[Any], str | None], told: str
) -> None:
    def prepare(here: PublicNetwork) -> None:
        here.second.to_limit = says

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(MONDAY, "23:00")
        name = f"{CONTRACT}s3-2026-06-02"
        assert here.notices == [f"s3 is not limited to 120 kW on 2026-06-02 ({name}): {told}"]
        assert len(here.second.limits) == 1
        assert {key[0][-2:]: each.agreed for key, each in here.dso.activation.ordered.items()} == {
            "s2": True,
            "s3": False,
        }
        assert here.dso.activation.left(CONTRACT + "s3") == PLAN.most_activations
        await here.until(TUESDAY, "23:00")
        assert len(here.second.limits) == 2

    run_swarm(main, PublicStage())


class FailingCpo(PlainCpo):
    """Agrees to a limit, and gives up an hour later."""

    @answers(x.CapacityLimit)
    async def on_limit(self, limit: x.CapacityLimit, incoming: Incoming) -> Reply:
        await incoming.agree(x.Done(reference=limit.activation_id))
        await self.clock.sleep_until(self.now() + timedelta(hours=1))
        return failure("broken", "a charger does not obey")


def test_a_cpo_that_gives_up_later_is_told_of_and_measured_all_the_same() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, second=FailingCpo)
        await here.until(MONDAY, "15:10")
        assert here.notices == [
            f"{CONTRACT}s3-2026-06-02 was agreed to, then: failed by second-cpo@localhost: a charger does not obey; "
            "the meter tells whether it held"
        ]
        assert here.dso.activation.ordered[CONTRACT + "s3", TUESDAY].agreed

    run_swarm(main, PublicStage())


def test_a_signal_is_sent_at_its_time_and_takes_the_place_of_the_dsos_own_on_that_day() -> None:
    async def main(stage: PublicStage) -> None:
        written = limit(kw=150.0, contract_id="not known to the file")
        here = await network(stage, signals=[written])
        await here.until(MONDAY, "15:05")
        sent = here.ppc.limits[-1]
        assert sent == written.model_copy(update={"contract_id": CONTRACT + "s2"})
        await here.until(TUESDAY, "14:05")
        of_wednesday = [each for each in here.ppc.limits if each.start == written.start]
        assert of_wednesday == [sent]
        assert here.dso.activation.ordered[CONTRACT + "s2", TUESDAY + DAY].limit == sent
        assert here.notices == []

    run_swarm(main, PublicStage())


@pytest.mark.parametrize(
    ("signal", "rightful"),
    [
        (limit(kw=120.0), True),
        (limit(kw=60.0), False),
        (limit(start=local(TUESDAY + DAY, "16:45")), False),
        (limit(start=local(TUESDAY, "17:00"), end=local(TUESDAY, "22:00"), timestamp=local(TUESDAY, "16:00")), False),
    ],
)
def test_what_is_beyond_the_contract_is_sent_as_written_but_not_held_against_the_cpo(
    signal: x.CapacityLimit, rightful: bool
) -> None:
    def prepare(here: PublicNetwork) -> None:
        here.ppc.to_limit = lambda content: "no"

    async def main(stage: PublicStage) -> None:
        here = await network(stage, TwoLines(), signals=[signal], prepare=prepare)
        await here.until(MONDAY, "13:00")
        here.study.evening_kw = (90.0,) * 4
        await stage.until((signal.timestamp - local(MONDAY, "09:00")).total_seconds() / 60 + 15)
        assert signal in stage.said(x.CapacityLimit)
        (notice,) = here.notices
        assert notice.startswith(f"s2 is not limited to {signal.limit_kw:g} kW on ")
        (ordered,) = here.dso.activation.ordered.values()
        assert (ordered.rightful, ordered.agreed) == (rightful, False)

    run_swarm(main, PublicStage())


@pytest.mark.parametrize("station", ["s1", "s9"])
@pytest.mark.parametrize("contract", ["unstated", "another"])
def test_a_signal_for_a_station_without_a_contract_is_not_sent_and_told(station: str, contract: str) -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, signals=[limit(station, contract_id=contract), limit("s3", activation_id="next")])
        await here.until(MONDAY, "16:00")
        assert here.notices == [f"written is not sent: there is no contract for {station}"]
        assert all(each.activation_id != "written" for each in stage.said(x.CapacityLimit))
        assert here.second.limits[-1].activation_id == "next"
        assert {key[0] for key in here.dso.activation.ordered} == {CONTRACT + "s2", CONTRACT + "s3"}

    run_swarm(main, PublicStage())
