"""The TSO of BUC 7: what it buys and at which price, settlement by hand, and 7.3 while capacity is kept.

Under the grid of these tests an honest hour of 20 kW gives 5 kWh and takes 5 kWh; see frequency_stage.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from behaviours.outcomes import Agreed, Failed, Informed, Refused
from protocols import exchanges as x
from protocols.exchanges.vocabulary import FcrProduct
from tests.agents.frequency_stage import (
    BASELINE_KW,
    CHARGERS,
    FakeManager,
    application,
    approved,
    honest_kw,
    offer,
    report,
    start_meters,
    start_tso,
    unit,
)
from tests.agents.stage import Stage, at
from tests.swarm import run_swarm


def change(offer_id: str = "o1", **changed: Any) -> x.ParticipationChange:
    values: dict[str, Any] = {
        "offer_id": offer_id,
        "capacity_kw": 10.0,
        "start": at(150),
        "reason": "two vehicles leave",
    }
    return x.ParticipationChange(**values | changed)


def code(outcome: Any) -> str:
    assert isinstance(outcome, Refused), outcome
    return str(outcome.content.code)  # type: ignore[attr-defined]


# ---- what is bought, and at which price ----------------------------------------------------------------------------


def test_capacity_is_bought_at_the_worth_of_its_last_kw() -> None:
    async def main(stage: Any) -> None:
        tso, manager = await approved(stage)
        agreed = await manager.agreed(offer())
        assert agreed.content == x.CapacityAward(
            offer_id="o1", capacity_kw=20.0, price_eur_per_kw=Decimal("0.0150")
        )  # 0.02 for the first kW, 0.01 for the fortieth
        assert tso.contracts["o1"].chargers == CHARGERS

    run_swarm(main, Stage())


def test_the_price_falls_with_what_is_bought_for_that_time_and_recovers_for_another() -> None:
    async def main(stage: Any) -> None:
        _, manager = await approved(stage)
        other = await stage.start(FakeManager, "other", capacity_kw=10.0)
        units = tuple(unit(c) for c in ("d1", "d2", "d3", "d4"))
        second = application("b1", portfolio_id="staff", capacity_kw=10.0, units=units, test_from=at(91))
        assert isinstance(await (await other.agreed(second)).result(), Informed)
        later: dict[str, Any] = {"start": at(240), "end": at(300)}
        await manager.agreed(offer(**later))
        beside = await other.agreed(offer("p1", portfolio_id="staff", capacity_kw=10.0, **later))
        alone = await other.agreed(offer("p2", portfolio_id="staff", capacity_kw=10.0, start=at(300), end=at(360)))
        assert beside.content.price_eur_per_kw == Decimal("0.0125")
        assert alone.content.price_eur_per_kw == Decimal("0.0175")

    run_swarm(main, Stage())


def test_an_offer_is_bought_in_part_as_far_as_it_is_worth_its_price() -> None:
    async def main(stage: Any) -> None:
        _, manager = await approved(stage)
        agreed = await manager.agreed(offer(price_eur_per_kw=Decimal("0.0180")))
        assert agreed.content == x.CapacityAward(offer_id="o1", capacity_kw=8.0, price_eur_per_kw=Decimal("0.0180"))

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"portfolio_id": "unheard-of"}, "not-approved"),
        ({"product": FcrProduct.FCR_N}, "not-approved"),
        ({"capacity_kw": 20.5}, "above-approval"),
        ({"capacity_kw": 0.5}, "too-small"),
        ({"start": at(120), "end": at(170)}, "no-period"),
        ({"start": at(125), "end": at(180)}, "no-period"),
        ({"start": at(75), "end": at(180)}, "too-late"),
        ({"price_eur_per_kw": Decimal("0.0300")}, "too-dear"),
        ({"end": at(48 * 60 + 15)}, "closed"),
    ],
)
def test_an_offer_that_cannot_be_taken_is_refused(changed: dict[str, Any], expected: str) -> None:
    async def main(stage: Any) -> None:
        tso, manager = await approved(stage)
        assert code(await manager.order(offer(**changed), "tso")) == expected
        assert tso.contracts == {}

    run_swarm(main, Stage())


def test_an_offer_must_come_ten_minutes_before_its_start() -> None:
    async def main(stage: Any) -> None:
        _, manager = await approved(stage)
        await stage.until(95.1)
        assert code(await manager.order(offer(start=at(105)), "tso")) == "too-late"
        assert isinstance(await manager.order(offer(start=at(120)), "tso"), Agreed)

    run_swarm(main, Stage())


def test_an_offer_beyond_the_approval_of_another_manager_or_twice_is_refused() -> None:
    async def main(stage: Any) -> None:
        tso = await start_tso(stage)
        manager = await stage.start(FakeManager, "manager")
        other = await stage.start(FakeManager, "other")
        assert isinstance(await (await manager.agreed(application(valid_until=at(300)))).result(), Informed)
        assert code(await manager.order(offer(start=at(270), end=at(330)), "tso")) == "not-approved"
        assert code(await other.order(offer(), "tso")) == "not-authorised"
        await manager.agreed(offer())
        assert code(await manager.order(offer(start=at(240), end=at(300)), "tso")) == "known"
        assert code(await manager.order(offer("o2", start=at(165), end=at(225)), "tso")) == "overlapping"
        assert list(tso.contracts) == ["o1"]

    run_swarm(main, Stage())


def test_no_more_is_bought_than_is_wanted() -> None:
    async def main(stage: Any) -> None:
        _, manager = await approved(stage, wanted_kw={FcrProduct.FCR_CE: 15.0})
        agreed = await manager.agreed(offer(price_eur_per_kw=Decimal("0.0100")))
        assert agreed.content.capacity_kw == 15.0  # type: ignore[attr-defined]
        other = await stage.start(FakeManager, "other", capacity_kw=10.0)
        units = tuple(unit(c) for c in ("d1", "d2", "d3", "d4"))
        second = application("b1", portfolio_id="staff", capacity_kw=10.0, units=units, test_from=at(91))
        assert isinstance(await (await other.agreed(second)).result(), Informed)
        late = offer("p1", portfolio_id="staff", capacity_kw=10.0, start=at(150), end=at(180))
        assert code(await other.order(late, "tso")) == "not-wanted"

    run_swarm(main, Stage())


# ---- the settlement ------------------------------------------------------------------------------------------------


def test_an_honest_hour_is_settled_to_the_cent_and_booked_under_the_offer() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        outcome = await (await manager.agreed(offer())).result()
        assert isinstance(outcome, Informed)
        assert outcome.content == x.CapacitySettlement(
            offer_id="o1",
            capacity_eur=Decimal("1.20"),  # 20 kW, 4 quarters, 0.015 EUR
            availability_percent=100.0,
            energy_kwh=0.0,
            energy_eur=Decimal("0.30"),  # 5 kWh given at 0.10, 5 taken at 0.04
            penalty_eur=Decimal("0.00"),
            amount_eur=Decimal("1.50"),
        )
        assert manager.queries == [x.DeliveryQuery(offer_id="o1", start=at(120), end=at(180))]
        (posting,) = stage.ledger.statement("manager")
        assert (posting.transaction_id, posting.counter_account, posting.reference) == ("o1", "tso", "o1")
        assert posting.amount_eur == Decimal("1.50")

    run_swarm(main, Stage())


def test_a_report_that_the_meters_give_the_lie_to_costs_the_penalty() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage, lambda when: BASELINE_KW)
        _, manager = await approved(stage)
        outcome = await (await manager.agreed(offer())).result()
        assert isinstance(outcome, Informed)
        assert outcome.content.availability_percent == 0.0  # type: ignore[attr-defined]
        assert stage.balance("manager") == Decimal("-1.80")  # 1.20 times 1.5
        assert stage.noticed("the report on o1 is not believed") == 1

    run_swarm(main, Stage())


def test_half_of_a_report_that_the_frequency_contradicts_is_believed() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        manager.reports = lambda query: report(query, up_kwh=9.0)
        await (await manager.agreed(offer())).result()
        # 0.60 and the energy of 0.30, less half of 1.20 times 1.5
        assert stage.balance("manager") == Decimal("0.00")

    run_swarm(main, Stage())


def test_a_manager_that_does_not_report_is_asked_twice_and_has_proven_nothing() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        manager.reports = lambda query: None
        outcome = await (await manager.agreed(offer())).result()
        assert isinstance(outcome, Informed)
        assert len(manager.queries) == 2
        assert stage.balance("manager") == Decimal("-1.80")

    run_swarm(main, Stage())


@pytest.mark.parametrize("wrong", [{"offer_id": "o9"}, {"baseline_kw": (2.0,)}, {"end": at(165)}])
def test_a_report_about_something_else_has_proven_nothing(wrong: dict[str, Any]) -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        manager.reports = lambda query: report(query, **wrong)
        await (await manager.agreed(offer())).result()
        assert stage.balance("manager") == Decimal("-1.80")

    run_swarm(main, Stage())


def test_a_meter_that_is_lost_leaves_the_report_and_the_frequency() -> None:
    async def main(stage: Any) -> None:
        meters = await start_meters(stage)
        meters.lost.add("c2")
        _, manager = await approved(stage)
        await (await manager.agreed(offer())).result()
        assert stage.balance("manager") == Decimal("1.50")
        assert stage.noticed("the meters of c2 do not answer") == 1

    run_swarm(main, Stage())


def test_a_settlement_that_the_books_do_not_take_is_a_failure() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        stage.ledger.transfer("o1", at(0), "another", payer="x", payee="y", amount_eur=Decimal(1))
        outcome = await (await manager.agreed(offer())).result()
        assert isinstance(outcome, Failed)
        assert "with other content" in outcome.reason

    run_swarm(main, Stage())


# ---- 7.3 -----------------------------------------------------------------------------------------------------------


def test_from_a_change_on_the_smaller_capacity_is_owed_and_paid() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage, lambda when: BASELINE_KW + (-10.0 if when < at(150) else 5.0))
        _, manager = await approved(stage)
        agreed = await manager.agreed(offer())
        manager.reports = lambda query: report(query, down_kwh=2.5)
        await stage.until(130)
        told = await manager.order(change(), "tso")
        assert isinstance(told, Informed)
        assert told.content == x.Done(reference="o1")
        outcome = await agreed.result()
        assert isinstance(outcome, Informed)
        assert outcome.content.capacity_eur == Decimal("0.90")  # type: ignore[attr-defined]
        # 20 kW for two quarters and 10 for two; 5 kWh at 0.10 less 2.5 at 0.04
        assert stage.balance("manager") == Decimal("0.90") + Decimal("0.40")

    run_swarm(main, Stage())


def test_a_change_to_more_changes_nothing_and_one_of_another_offer_is_refused() -> None:
    async def main(stage: Any) -> None:
        tso, manager = await approved(stage)
        other = await stage.start(FakeManager, "other")
        await manager.agreed(offer())
        before = list(tso.contracts["o1"].owed)
        assert isinstance(await manager.order(change(capacity_kw=30.0), "tso"), Informed)
        assert tso.contracts["o1"].bought_kw(at(120), at(180)) == before[0].capacity_kw
        assert code(await manager.order(change("o7"), "tso")) == "unknown-offer"
        assert code(await other.order(change(), "tso")) == "unknown-offer"

    run_swarm(main, Stage())


def test_a_cancel_in_delivery_is_paid_for_the_time_served_with_the_amount_in_the_books() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        agreed = await manager.agreed(offer())
        await stage.until(138)
        ended = await manager.end(agreed, "o1")
        assert isinstance(ended, Informed)
        assert ended.content == x.Done(reference="o1")
        await stage.until(200)
        assert manager.queries == [x.DeliveryQuery(offer_id="o1", start=at(120), end=at(138))]
        (posting,) = stage.ledger.statement("manager")
        # 20 kW for 18 of 60 minutes at 0.06 an hour, and 3 kWh given at 0.10
        assert posting.amount_eur == Decimal("0.36") + Decimal("0.30")
        assert "0.66 EUR" in posting.reference
        assert stage.said(x.CapacitySettlement) == []
        assert stage.noticed("o1 ended at") == 1
        assert isinstance(await manager.order(offer("o2", start=at(225), end=at(240)), "tso"), Agreed)

    run_swarm(main, Stage())


def test_a_cancel_that_is_announced_ends_the_delivery_when_it_says() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        agreed = await manager.agreed(offer())
        await stage.until(125)
        assert isinstance(await manager.end(agreed, "o1", start=at(150)), Informed)
        await stage.until(200)
        assert stage.balance("manager") == Decimal("0.60") + Decimal("0.50")

    run_swarm(main, Stage())


def test_capacity_that_is_called_off_before_it_begins_costs_nothing_and_may_be_offered_again() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage)
        _, manager = await approved(stage)
        agreed = await manager.agreed(offer())
        assert isinstance(await manager.end(agreed, "o1"), Informed)
        assert isinstance(await manager.order(offer("o2"), "tso"), Agreed)
        await stage.until(125)
        assert manager.queries == []
        assert stage.balance("manager") == 0

    run_swarm(main, Stage())


def test_served_time_ends_between_two_seconds_without_harm() -> None:
    async def main(stage: Any) -> None:
        await start_meters(stage, honest_kw)
        _, manager = await approved(stage)
        agreed = await manager.agreed(offer())
        await stage.until(135.0083)
        assert isinstance(await manager.end(agreed, "o1"), Informed)
        await stage.until(200)
        assert manager.queries[0].end == at(135)
        assert stage.balance("manager") == Decimal("0.30") + Decimal("0.25")
        assert manager.queries[0].end - manager.queries[0].start == timedelta(minutes=15)

    run_swarm(main, Stage())
