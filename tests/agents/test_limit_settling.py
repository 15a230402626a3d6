"""What a day of a cap is worth by the station's meter, and what becomes of it in the books (5.x.2, D5.1 3.5)."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from decimal import Decimal

import pytest

from agents.decisions.limit_settlement import day_eur
from agents.ledger import LedgerError
from protocols import exchanges as x
from tests.agents.public_dso_stage import (
    CONTRACT,
    DAY,
    MINUTE,
    PLAN,
    TUESDAY,
    PublicNetwork,
    PublicStage,
    local,
    network,
)
from tests.swarm import run_swarm

PRICE = Decimal("56.00")
FIRST = f"s-{CONTRACT}s3-2026-06-02"


def drawn(here: PublicNetwork, start: str, end: str, kw: float) -> None:
    """So much at s3 from one minute to another of Tuesday, 100 kW else."""
    a, b = local(TUESDAY, start), local(TUESDAY, end)
    here.meters.kw = lambda station, minute: kw if station == "s3" and a <= minute < b else 100.0


def test_a_day_on_which_the_limit_was_kept_is_worth_its_part_of_the_price() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await here.until(TUESDAY + DAY, "00:09")
        assert stage.said(x.LimitSettlement) == []
        await here.until(TUESDAY + DAY, "00:11")
        (settled,) = here.second.settlements
        assert settled == x.LimitSettlement(
            settlement_id=FIRST,
            contract_id=CONTRACT + "s3",
            start=local(TUESDAY, "00:00"),
            end=local(TUESDAY + DAY, "00:00"),
            capacity_eur=day_eur(PRICE, 0, 28),
            activation_id=f"{CONTRACT}s3-2026-06-02",
            limit_kw=120.0,
            highest_kw=100.0,
            excess_kwh=0.0,
            penalty_eur=Decimal("0.00"),
            amount_eur=Decimal("2.00"),
        )
        paid = [p for p in stage.ledger.statement("second-cpo") if p.transaction_id == FIRST]
        assert [(p.counter_account, p.amount_eur) for p in paid] == [("hedno", Decimal("2.00"))]
        assert here.dso.settling.open == {}
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_the_days_of_a_period_add_up_to_the_price_of_the_contract() -> None:
    async def main(stage: PublicStage) -> None:
        plan = dataclasses.replace(PLAN, period_days=3, most_activations=3, violation_eur_per_kwh=20.0)
        here = await network(stage, plan=plan, until=local(TUESDAY + 6 * DAY, "12:00"))
        await here.until(TUESDAY + 6 * DAY, "11:00")
        amounts = [each.capacity_eur for each in here.second.settlements]
        assert amounts == [Decimal("18.67"), Decimal("18.66"), Decimal("18.67")]
        assert sum(amounts) == PRICE
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_what_was_drawn_above_the_limit_costs_the_penalty_even_where_the_quarters_mean_is_below() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=lambda here: drawn(here, "18:02", "18:05", 140.0))
        await here.until(TUESDAY + DAY, "00:11")
        (settled,) = here.second.settlements
        # 20 kW too much for three minutes; the mean of the quarter is 108 kW
        assert (settled.highest_kw, settled.excess_kwh) == (140.0, 1.0)
        assert (settled.penalty_eur, settled.amount_eur) == (Decimal("1.50"), Decimal("0.50"))
        minutes = [q for q in stage.said(x.MeterQuery) if q.period_minutes == 1]
        assert [(q.locations, q.start, q.end - q.start) for q in minutes] == [
            (("station:s3",), local(TUESDAY, "18:00"), 15 * MINUTE)
        ]

    run_swarm(main, PublicStage())


def test_a_second_above_the_limit_is_told_as_the_highest_power() -> None:
    def prepare(here: PublicNetwork) -> None:
        at = local(TUESDAY, "19:15")
        here.meters.peaks_kw = lambda station, quarter: 150.0 if quarter == at else 0.0

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY + DAY, "00:11")
        (settled,) = here.second.settlements
        assert (settled.highest_kw, settled.excess_kwh, settled.amount_eur) == (150.0, 0.0, Decimal("2.00"))

    run_swarm(main, PublicStage())


def test_a_penalty_above_the_days_part_is_paid_by_the_cpo() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=lambda here: drawn(here, "18:00", "19:00", 140.0))
        await here.until(TUESDAY + DAY, "00:11")
        (settled,) = here.second.settlements
        assert (settled.penalty_eur, settled.amount_eur) == (Decimal("30.00"), Decimal("-28.00"))
        (posting,) = [p for p in stage.ledger.statement("second-cpo") if p.transaction_id == FIRST]
        assert (posting.counter_account, posting.amount_eur) == ("hedno", Decimal("-28.00"))

    run_swarm(main, PublicStage())


def test_outside_the_window_and_on_a_day_without_a_limit_the_station_is_free() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=lambda here: drawn(here, "12:00", "17:00", 200.0))
        await here.until(TUESDAY, "13:00")
        here.study.evening_kw = (90.0,) * 4
        await here.until(TUESDAY + 2 * DAY, "00:11")
        kept, free = here.second.settlements
        assert (kept.highest_kw, kept.amount_eur) == (100.0, Decimal("2.00"))
        assert (free.activation_id, free.limit_kw, free.highest_kw) == (None, None, None)
        assert free.amount_eur == Decimal("2.00")
        assert free.start == local(TUESDAY + DAY, "00:00")

    run_swarm(main, PublicStage())


@pytest.mark.parametrize("how", ["no", "silent"])
def test_a_day_on_which_the_cpo_did_not_agree_to_a_rightful_limit_is_worth_nothing(how: str) -> None:
    def prepare(here: PublicNetwork) -> None:
        here.second.to_limit = lambda limit: how

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY + DAY, "00:11")
        (settled,) = here.second.settlements
        assert (settled.activation_id, settled.capacity_eur, settled.amount_eur) == (None, Decimal(0), Decimal(0))
        assert [each.amount_eur for each in here.ppc.settlements] == [Decimal("2.00")]
        assert FIRST not in {p.transaction_id for p in stage.ledger.statement("hedno")}

    run_swarm(main, PublicStage())


@pytest.mark.parametrize(
    ("how", "why"),
    [("my meter has less", "my meter has less"), ("silent", "no answer from second-cpo@localhost")],
)
def test_a_settlement_that_is_not_accepted_is_told_and_not_booked_and_the_next_day_is_settled(
    how: str, why: str
) -> None:
    def prepare(here: PublicNetwork) -> None:
        here.second.to_settlement = lambda content: how if content.settlement_id == FIRST else None

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY + 2 * DAY, "00:30")
        assert here.notices == [
            f"second-cpo@localhost does not agree to {FIRST} over 2.00 EUR, which stays open: {why}"
        ]
        assert here.dso.settling.open == {FIRST: why}
        booked = {p.transaction_id for p in stage.ledger.statement("second-cpo")}
        assert FIRST not in booked
        assert f"s-{CONTRACT}s3-2026-06-03" in booked
        assert [each.settlement_id for each in here.second.settlements].count(FIRST) == 1
        assert stage.ledger.audit().faults == ()

    run_swarm(main, PublicStage())


@pytest.mark.parametrize("silent", ["peak:s3", "station:s3"])
def test_what_no_meter_shows_is_not_settled_until_it_does(silent: str) -> None:
    def prepare(here: PublicNetwork) -> None:
        here.meters.silent.add(silent)
        drawn(here, "18:02", "18:05", 140.0)

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY + DAY, "03:00")
        assert here.second.settlements == []
        assert [each.contract_id for each in here.ppc.settlements] == [CONTRACT + "s2"]
        told = "the meters of s3 do not answer; what they show is not known yet"
        assert here.notices == [told]
        here.meters.silent.clear()
        await here.until(TUESDAY + DAY, "03:15")
        (settled,) = here.second.settlements
        assert (settled.excess_kwh, settled.amount_eur) == (1.0, Decimal("0.50"))
        assert here.notices == [told, "the meters of s3 answer again"]
        await here.until(TUESDAY + DAY, "23:00")
        assert len(here.second.settlements) == 1

    run_swarm(main, PublicStage())


def test_what_is_open_when_the_run_ends_is_told() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, until=local(TUESDAY + DAY, "02:00"))
        await here.until(TUESDAY, "23:00")
        here.meters.silent.add("peak:s3")
        await here.until(TUESDAY + DAY, "04:00")
        assert here.notices[-1] == (
            f"{CONTRACT}s3 is not settled for 2026-06-02: the run ends before that can be known"
        )
        assert here.second.settlements == []

    run_swarm(main, PublicStage())


def test_settling_a_day_twice_changes_nothing() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await here.until(TUESDAY + DAY, "00:30")
        before = stage.ledger.balances()
        assert here.dso.settling.due(TUESDAY) == []
        assert await here.dso.settling.settle(TUESDAY, CONTRACT + "s3")
        assert stage.ledger.balances() == before
        assert len(here.second.settlements) == 1

    run_swarm(main, PublicStage())


def test_books_that_do_not_take_a_payment_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await here.until(TUESDAY, "23:30")

        def torn(transaction_id: str, at: datetime, *arguments: object, **options: object) -> bool:
            raise LedgerError("the books are torn")

        monkeypatch.setattr(stage.ledger, "transfer", torn)
        here.ppc.pays = here.second.pays = False
        await here.until(TUESDAY + DAY, "00:30")
        assert f"{FIRST} is not booked: the books are torn" in here.notices
        assert here.dso.settling.open[FIRST] == "the books are torn"

    run_swarm(main, PublicStage())


def test_before_the_period_there_is_nothing_to_settle() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await here.until(TUESDAY, "00:30")
        assert here.dso.buyer.contracts
        assert stage.said(x.LimitSettlement) == []
        assert here.dso.settling.due(TUESDAY - DAY) == []
        assert await here.dso.settling.settle(TUESDAY - DAY, CONTRACT + "s3")

    run_swarm(main, PublicStage())


def test_a_meter_that_is_silent_for_days_is_no_reason_to_settle_never() -> None:
    def silent(here: PublicNetwork) -> None:
        here.meters.silent.add("peak:s3")

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=silent, until=local(TUESDAY + 7 * DAY, "12:00"))
        await here.until(TUESDAY + 5 * DAY, "23:00")
        here.meters.silent.clear()
        await here.until(TUESDAY + 6 * DAY, "00:30")
        assert [each.start for each in here.second.settlements] == [local(TUESDAY + k * DAY, "00:00") for k in range(6)]
        assert here.dso.settling.open == {}

    run_swarm(main, PublicStage())
