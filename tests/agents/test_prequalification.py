"""The application (7.1), its test step by step (7.x.1) and its end in the middle (7.3)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.fcr_products import RULES, agreed
from agents.decisions.fcr_sequences import steps
from agents.prequalification import record_fault, too_small
from behaviours.outcomes import Failed, Informed, Refused
from protocols import exchanges as x
from protocols.exchanges.vocabulary import FcrProduct
from tests.agents.frequency_stage import (
    BASELINE_KW,
    CE,
    CHARGERS,
    FakeManager,
    application,
    approved,
    start_tso,
    unit,
)
from tests.agents.stage import MINUTE, Stage, at
from tests.swarm import run_swarm


def test_a_portfolio_that_does_what_it_claims_is_approved_with_the_whole_sheet() -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        outcome = await (await manager.agreed(application())).result()
        assert isinstance(outcome, Informed)
        assert isinstance(outcome.content, x.Prequalification)
        assert outcome.content.approved_kw == 20.0
        assert outcome.content.valid_until == application().valid_until
        assert {f.passed for f in outcome.content.sheet} == {True}
        assert tso.approvals["pool"].approved_kw == 20.0
        asked = steps(CE, "a1", capacity_kw=20.0, energy_kwh=60.0, baseline_kw=BASELINE_KW, limited=False)
        assert tuple(manager.steps) == asked
        assert manager.begun[0] == at(30)
        for before, step, after in zip(manager.begun, manager.steps, manager.begun[1:], strict=False):
            assert after >= before + timedelta(seconds=sum(piece.duration_s for piece in step.signal))
        course = tso.tests["a1"]
        assert (course.reason, course.cancelled) == (None, False)
        assert sorted(course.records) == sorted(step.step_id for step in asked)

    run_swarm(main, Stage())


@pytest.mark.parametrize("product", [FcrProduct.FCR_N, FcrProduct.FCR_D_UP, FcrProduct.FCR_D_DOWN])
def test_the_nordic_tests_are_run_with_their_ramps_and_sines(product: FcrProduct) -> None:
    async def main(stage: Any) -> None:
        bought = {"prices_eur_per_kw": {product: Decimal("0.02")}, "wanted_kw": {product: 40.0}}
        await start_tso(stage, **bought)
        manager = await stage.start(FakeManager, "manager", rules=RULES[product])
        outcome = await (await manager.agreed(application(product=product, energy_kwh=80.0))).result()
        assert isinstance(outcome, Informed), outcome
        assert isinstance(outcome.content, x.Prequalification)
        assert outcome.content.approved_kw == pytest.approx(20.0, abs=2.0)
        asked = steps(RULES[product], "a1", capacity_kw=20.0, energy_kwh=80.0, baseline_kw=BASELINE_KW, limited=False)
        assert tuple(manager.steps) == asked
        assert any(piece.period_s for step in asked for piece in step.signal)

    run_swarm(main, Stage())


def test_a_limited_reservoir_without_energy_management_is_not_approved() -> None:
    async def main(stage: Any) -> None:
        product = FcrProduct.FCR_N
        await start_tso(stage, prices_eur_per_kw={product: Decimal("0.02")}, wanted_kw={product: 40.0})
        manager = await stage.start(FakeManager, "manager", rules=RULES[product], capacity_kw=14.0)
        limited = application(product=product, capacity_kw=14.0, energy_kwh=30.0)
        outcome = await (await manager.agreed(limited)).result()
        assert isinstance(outcome, Failed)
        assert "nergy management" in outcome.reason

    run_swarm(main, Stage())


def test_the_tso_agrees_to_another_end_of_energy_management_and_tests_by_it() -> None:
    """The note to table 11."""

    async def main(stage: Any) -> None:
        product = FcrProduct.FCR_N
        tso = await start_tso(stage, prices_eur_per_kw={product: Decimal("0.02")}, wanted_kw={product: 40.0})
        manager = await stage.start(FakeManager, "manager", rules=RULES[product], capacity_kw=14.0)
        limited = application(product=product, capacity_kw=14.0, energy_kwh=30.0, nem_disable_minutes=35.0)
        await (await manager.agreed(limited)).result()
        values: dict[str, Any] = {"capacity_kw": 14.0, "energy_kwh": 30.0, "baseline_kw": BASELINE_KW, "limited": True}
        agreed_to = steps(agreed(RULES[product], nem_disable_minutes=35.0), "a1", **values)
        assert tso.tests["a1"].steps == agreed_to
        assert tso.tests["a1"].steps != steps(RULES[product], "a1", **values)

    run_swarm(main, Stage())


@pytest.mark.parametrize(("product", "minutes"), [(FcrProduct.FCR_N, 30.0), (FcrProduct.FCR_CE, 20.0)])
def test_an_end_of_energy_management_beyond_the_bounds_is_not_agreed_to(product: FcrProduct, minutes: float) -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage, prices_eur_per_kw={product: Decimal("0.02")}, wanted_kw={product: 40.0})
        manager = await stage.start(FakeManager, "manager")
        outcome = await manager.order(application(product=product, nem_disable_minutes=minutes), "tso")
        assert isinstance(outcome, Refused)
        assert getattr(outcome.content, "code", "") == "not-agreed"
        assert tso.tests == {}

    run_swarm(main, Stage())


def test_a_portfolio_smaller_than_it_claims_fails_at_the_first_step_that_shows_it() -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager", capacity_kw=8.0)
        outcome = await (await manager.agreed(application())).result()
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.content, x.PrequalificationFailed)
        assert any(not finding.passed for finding in outcome.content.sheet)
        assert manager.steps[-1].test in outcome.content.reason
        assert len(manager.steps) == 1
        assert tso.approvals == {}
        assert stage.noticed("is not approved") == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("way", "words"),
    [("silent_at", "no answer"), ("refuses_at", "the vehicles are needed"), ("fails_at", "has lost its meter")],
)
def test_a_manager_that_does_not_do_a_step_is_not_approved(way: str, words: str) -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        setattr(manager, way, 1)
        outcome = await (await manager.agreed(application())).result()
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.content, x.PrequalificationFailed)
        assert words in outcome.content.reason
        assert len(manager.steps) == 2
        assert tso.approvals == {}
        assert outcome.content.sheet  # of the step that was done

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda r: {"applied_hz": r.applied_hz[:-9], "power_kw": r.power_kw[:-9]}, "samples"),
        (lambda r: {"applied_hz": tuple(hz + 0.02 for hz in r.applied_hz)}, "20 mHz from the one asked for"),
        (lambda r: {"applied_hz": (50.0,) * len(r.applied_hz)}, "200 mHz from the one asked for"),
        (lambda r: {"baseline_kw": r.baseline_kw + 1.5}, "the baseline is 3.5 kW instead of 2"),
        (lambda r: {"start": r.start - timedelta(hours=1)}, "of another time"),
        (lambda r: {"start": r.start + timedelta(hours=1)}, "of another time"),
        (lambda r: {"nem": (x.Span(from_s=0.0, to_s=4000.0),)}, "after the record's end"),
        (lambda r: {"sample_s": 2.0}, "each 2 s instead of 1"),
        (lambda r: {"step_id": "a1/other/1"}, "is that of a1/other/1"),
    ],
)
def test_a_record_of_something_else_than_was_asked_for_fails_the_test(changed: Any, words: str) -> None:
    async def main(stage: Any) -> None:
        await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        manager.spoils = changed
        outcome = await (await manager.agreed(application())).result()
        assert isinstance(outcome, Failed)
        assert words in outcome.reason
        assert len(manager.steps) == 1

    run_swarm(main, Stage())


def test_a_cancel_in_the_middle_of_the_test_is_accepted_and_nothing_is_approved() -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        agreed = await manager.agreed(application())
        await stage.until(40)
        assert len(manager.steps) == 1
        ended = await manager.end(agreed, "a1")
        assert isinstance(ended, Informed)
        assert ended.content == x.Done(reference="a1")
        await stage.until(200)
        assert len(manager.steps) == 1
        assert tso.approvals == {}
        assert tso.tests["a1"].cancelled
        assert tso.tests["a1"].reason == "called off"
        assert stage.said(x.PrequalificationFailed) == []
        assert stage.noticed("the driver leaves early") == 1

    run_swarm(main, Stage())


def test_a_cancel_before_the_test_leaves_it_out_and_another_application_is_free() -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        agreed = await manager.agreed(application())
        assert isinstance(await manager.end(agreed, "a1"), Informed)
        await stage.until(100)
        assert manager.steps == []
        assert isinstance((await (await manager.agreed(application("a2", test_from=at(120)))).result()), Informed)
        assert list(tso.approvals) == ["pool"]

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"product": FcrProduct.FCR_N}, "unknown-product"),
        ({"capacity_kw": 20.5}, "too-small"),
        ({"units": tuple(unit(c, max_discharge_kw=4.0) for c in CHARGERS)}, "too-small"),
        ({"units": tuple(unit(c, max_charge_kw=5.0) for c in CHARGERS)}, "too-small"),
        ({"energy_kwh": 9.9}, "too-small"),
        ({"test_from": at(-1)}, "past"),
        ({"valid_until": at(24 * 60 * 1831)}, "too-long"),
    ],
)
def test_an_application_for_what_cannot_be_is_refused(changed: dict[str, Any], code: str) -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        outcome = await manager.order(application(**changed), "tso")
        assert isinstance(outcome, Refused)
        assert outcome.content.code == code  # type: ignore[attr-defined]
        await stage.until(60)
        assert (manager.steps, tso.tests) == ([], {})

    run_swarm(main, Stage())


def test_a_charger_is_in_one_portfolio_only_and_a_portfolio_is_one_managers() -> None:
    async def main(stage: Any) -> None:
        _, manager = await approved(stage)
        other = await stage.start(FakeManager, "other")
        later: dict[str, Any] = {"test_from": at(100)}
        shared = application(
            "b1", portfolio_id="staff", units=tuple(unit(c) for c in ("d1", "d2", "d3", "c4")), **later
        )
        stolen = application("b2", units=tuple(unit(c) for c in ("d1", "d2", "d3", "d4")), **later)
        for content, code in ((shared, "in-two-portfolios"), (stolen, "not-authorised")):
            outcome = await other.order(content, "tso")
            assert isinstance(outcome, Refused)
            assert outcome.content.code == code  # type: ignore[attr-defined]
        again = await manager.order(application(**later), "tso")
        assert isinstance(again, Refused)
        assert again.content.code == "known"  # type: ignore[attr-defined]

    run_swarm(main, Stage())


def test_a_portfolio_is_under_one_test_at_a_time_and_may_be_tested_again() -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        first = await manager.agreed(application())
        refused = await manager.order(application("a2"), "tso")
        assert isinstance(refused, Refused)
        assert refused.content.code == "under-test"  # type: ignore[attr-defined]
        assert isinstance(await first.result(), Informed)
        smaller = application("a3", capacity_kw=10.0, test_from=stage.clock.now() + MINUTE)
        manager.capacity_kw = 10.0
        assert isinstance(await (await manager.agreed(smaller)).result(), Informed)
        assert tso.approvals["pool"].approved_kw == 10.0

    run_swarm(main, Stage())


def test_a_limited_reservoir_needs_power_for_its_energy_management_beside_the_capacity() -> None:
    """Table 10: 1.34 for FCR-N both ways, 1 and 0.2 for FCR-D upwards; two hours of energy each way are no limit."""
    n = application(product=FcrProduct.FCR_N, capacity_kw=20.0, energy_kwh=39.9, baseline_kw=0.0)
    rules = RULES[FcrProduct.FCR_N]
    weak = tuple(unit(c, max_discharge_kw=6.6) for c in CHARGERS)
    assert "26.8 kW upwards" in str(too_small(rules, n.model_copy(update={"units": weak})))
    assert "40.0 kWh are needed" in str(too_small(rules, n))
    assert too_small(rules, n.model_copy(update={"units": weak, "energy_kwh": 80.0})) is None
    d = application(product=FcrProduct.FCR_D_UP, energy_kwh=10.0, baseline_kw=41.0)
    assert "4.0 kW downwards" in str(too_small(RULES[FcrProduct.FCR_D_UP], d))
    assert too_small(RULES[FcrProduct.FCR_D_UP], d.model_copy(update={"baseline_kw": 40.0})) is None


def test_energy_management_may_move_the_operating_point_and_nothing_else_may() -> None:
    step = steps(CE, "a1", capacity_kw=20.0, energy_kwh=60.0, baseline_kw=0.0, limited=False)[2]
    count = 300
    record = x.TestRecord(
        application_id="a1",
        step_id=step.step_id,
        start=at(0),
        sample_s=1.0,
        applied_hz=(50.0,) * count,
        power_kw=(0.0,) * count,
        baseline_kw=6.8,
        soc_start_percent=50.0,
        soc_end_percent=50.0,
    )
    assert "the baseline is 6.8 kW" in str(record_fault(step, record, at(0), at(5), 20.0))
    managed = record.model_copy(update={"nem": (x.Span(from_s=0.0, to_s=300.0),)})
    assert record_fault(step, managed, at(0), at(5), 20.0) is None
