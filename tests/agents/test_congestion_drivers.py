"""What the drivers of a parking lot hear of a congestion service beside the request: its end, and who follows (3.2)."""

from __future__ import annotations

import pytest

from behaviours.outcomes import Informed
from protocols import exchanges as x
from tests.agents.lot_stage import congestion_call
from tests.agents.stage import Stage, at
from tests.agents.test_congestion_help import cars, offered, scene
from tests.swarm import jid, run_swarm


def test_drivers_who_serve_hear_of_an_early_end_before_they_are_paid_for_what_was_delivered() -> None:
    """3.3 at the manager's customers."""

    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(4))
        for driver in lot.drivers.values():
            driver.holds = "on"
        tender, _ = await offered(dso, congestion_call(power_kw=11.0, minutes=60))
        dso.accept(tender, 11.0)
        await stage.until(45)
        assert lot.drivers["c1"].ended == []
        end = x.CongestionEnd(
            reference="r1",
            service=x.ServiceType.CONGESTION_MANAGEMENT,
            p_kw=11.0,
            q_kvar=0.0,
            duration_minutes=15,
            reason="the limits hold without it",
        )
        assert isinstance(await tender.cancel(jid("lot1"), end, at(47)), Informed)
        await stage.until(48)
        ((when, told),) = lot.drivers["c1"].ended
        assert (when, told.reference) == (at(45), "r1")
        assert (lot.drivers["c4"].awards, lot.drivers["c4"].ended) == ([], []), "who does not serve hears nothing"
        (award,) = lot.drivers["c1"].awards
        (paid,) = lot.drivers["c1"].paid
        assert paid.energy_kwh == pytest.approx(11.0 / 4, abs=0.01)
        per_kwh = float(award.benefit_eur) / award.power_kw  # of an hour
        assert float(paid.amount_eur) == pytest.approx(per_kwh * paid.energy_kwh, abs=0.006)

    run_swarm(main, Stage())


def test_a_driver_who_does_not_hold_to_the_award_is_followed_by_the_next_and_not_paid() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(3))
        lot.drivers["c1"].holds = "fails"
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        result = dso.accept(tender, 11.0)
        await stage.until(25)
        assert lot.manager.claimed == {"c2": "r1"}
        assert stage.noticed(f"{jid('ev-c1')} does not hold to r1") == 1
        await stage.until(65)
        assert isinstance(result.result(), Informed)
        assert lot.drivers["c1"].paid == []
        assert len(lot.drivers["c2"].paid) == 1

    run_swarm(main, Stage())


def test_if_nobody_holds_to_the_award_the_manager_says_that_it_fails() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        for driver in lot.drivers.values():
            driver.holds = "fails"
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        result = await dso.accept(tender, 11.0)
        assert "none of the drivers takes part" in result.reason
        assert lot.manager.claimed == {}

    run_swarm(main, Stage())


def test_a_driver_whose_charger_does_not_obey_hears_that_the_part_is_over() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        lot.drivers["c1"].holds = "on"
        lot.charger("c1").deaf_from = at(29)
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(40)
        ((_, told),) = lot.drivers["c1"].ended
        assert told.reason == "the charger does not obey"
        assert [a.power_kw for a in lot.drivers["c2"].awards] == [pytest.approx(11.0)]

    run_swarm(main, Stage())


def test_a_second_call_while_drivers_are_asked_is_answered_with_what_they_have_agreed_to_taken_off() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(4))
        tender, first = await offered(dso, congestion_call(power_kw=11.0))
        assert first.baseline_kw == (44.0, 44.0)
        dso.accept(tender, 11.0)
        await stage.until(19.02)
        _, second = await offered(dso, congestion_call("r2", power_kw=11.0))
        assert lot.manager.claimed == {"c1": "r1"}
        assert second.baseline_kw == (33.0, 33.0)
        assert all("c1" not in each.users for each in second.activations)

    run_swarm(main, Stage())


def test_a_second_call_waits_for_those_who_follow_on_the_list_as_well() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(4))
        lot.drivers["c1"].holds = "fails"
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(19.02)
        _, second = await offered(dso, congestion_call("r2", power_kw=11.0))
        assert lot.manager.claimed == {"c2": "r1"}
        assert second.baseline_kw == (33.0, 33.0)

    run_swarm(main, Stage())
