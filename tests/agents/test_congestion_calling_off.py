"""When the DSO of BUC 3 ends a service before its time: 3.3, and what comes back then (D5.1 3.3)."""

from __future__ import annotations

from datetime import datetime

import pytest

from agents.grid_view import Limits
from tests.agents.congestion_stage import Campus, TwoFeeders, between, campus, steady
from tests.agents.stage import Stage, at
from tests.swarm import run_swarm


def test_a_service_that_is_not_needed_any_more_is_called_off_with_the_quarter_and_paid_until_then() -> None:
    async def main(stage: Stage) -> None:
        # planned for 75 kW; at 06:25 the drivers change their minds and the manager's plan from 06:30 on is 40 kW
        def plan(when: datetime) -> dict[str, float]:
            return {"b1": 40.0 if stage.clock.now() >= at(25) and when >= at(30) else 75.0}

        here = await campus(stage, {"lot": plan}, limits=lambda when: Limits(transformer_percent=70.0))
        await stage.until(40)
        (call,) = here.calls("lot")
        assert (call.start, call.end) == (at(15), at(75))
        assert here.lots["lot"].ends == []
        await stage.until(46)
        ((when, end),) = here.lots["lot"].ends
        assert (when, end.reference, end.duration_minutes) == (at(45), call.request_id, 30)
        assert end.p_kw == pytest.approx(5.0, abs=0.1)
        await stage.until(50)
        (settlement,) = here.lots["lot"].settlements
        assert (settlement.start, settlement.end) == (at(15), at(45))
        assert settlement.baseline_kw == (75.0, 75.0)

    run_swarm(main, Stage())


def test_the_dearest_is_called_off_first_and_the_other_kept_where_it_is_needed() -> None:
    async def main(stage: Stage) -> None:
        base = between(0, 40, {"a2": 10.0, "b1": 10.0}, {"a2": 6.0})
        plans = {"lot1": steady(a1=32.0), "lot2": steady(b1=65.0)}

        def prepare(here: Campus) -> None:
            here.lots["lot1"].kind = "discharge"

        here = await campus(
            stage,
            plans,
            offers=dict.fromkeys(plans, lambda call: 10.0),
            model=TwoFeeders(lambda when: base(stage.clock.now())),
            prepare=prepare,
        )
        await stage.until(61)
        (dear,), (cheap, *_) = here.lots["lot1"].won, here.lots["lot2"].won
        assert (dear[2], cheap[2]) == (pytest.approx(7.0, abs=0.01), 10.0)
        # of the 17 kW that were needed 3 still are: without the dearer 7 kW it is 93 %, without both 103
        assert [(when, end.reference) for when, end in here.lots["lot1"].ends] == [(at(60), dear[1].request_id)]
        assert here.lots["lot2"].ends == []

    run_swarm(main, Stage())


def test_a_service_stays_where_the_loading_without_it_is_close_to_the_limit() -> None:
    async def main(stage: Stage) -> None:
        base = between(0, 40, {"a2": 20.0, "b1": 10.0}, {"a2": 12.0})
        here = await campus(
            stage, {"lot": steady(b1=64.0, a1=20.0)}, model=TwoFeeders(lambda when: base(stage.clock.now())), until=120
        )
        await stage.until(74)
        # 96 % without it, the limit is 100 and the hysteresis 5
        assert len(here.lots["lot"].won) == 1
        assert here.lots["lot"].ends == []

    run_swarm(main, Stage())


def test_a_manager_that_does_not_stop_goes_on_and_is_settled_to_the_end() -> None:
    async def main(stage: Stage) -> None:
        def plan(when: datetime) -> dict[str, float]:
            return {"b1": 40.0 if stage.clock.now() >= at(25) and when >= at(30) else 75.0}

        def prepare(here: Campus) -> None:
            here.lots["lot"].stops = False

        here = await campus(stage, {"lot": plan}, limits=lambda when: Limits(transformer_percent=70.0), prepare=prepare)
        await stage.until(47)
        assert stage.noticed("dso-congestion-1 of lot@localhost is not called off: failed by lot@localhost") == 1
        await stage.until(80)
        assert here.lots["lot"].settlements[0].end == at(75)

    run_swarm(main, Stage())


@pytest.mark.parametrize(("charge_kw", "ends"), [(7.0, [60]), (40.0, [])], ids=["little comes back", "too much"])
def test_a_service_stays_where_what_was_put_off_would_come_back_and_overload(
    charge_kw: float, ends: list[float]
) -> None:
    async def main(stage: Stage) -> None:
        base = between(0, 40, {"a2": 20.0, "b1": 10.0}, {"a2": 8.0})
        here = await campus(
            stage,
            {"lot": steady(b1=64.0, a1=20.0)},
            model=TwoFeeders(lambda when: base(stage.clock.now())),
            until=120,
            charge_kw=charge_kw,
        )
        await stage.until(74)
        # 92 % without it; 14 kW were put off for three quarters of an hour
        assert len(here.lots["lot"].won) == 1
        assert [when for when, _ in here.lots["lot"].ends] == [at(minutes) for minutes in ends]

    run_swarm(main, Stage())
