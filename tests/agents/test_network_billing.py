"""What CPOs owe for network use, and what becomes of it in the books (4.x.2, D5.1 3.4.2)."""

from __future__ import annotations

from decimal import Decimal

from protocols import exchanges as x
from tests.agents.public_dso_stage import DAY, TUESDAY, PublicNetwork, PublicStage, local, network
from tests.swarm import run_swarm

MONDAY = TUESDAY - DAY
BILL = "hedno-network-ppc-2026-06-01"


def cheaper(reduction_id: str = "written", eur: str = "0.05") -> x.NetworkPriceReduction:
    """On Monday from 13 to 15 at b2."""
    return x.NetworkPriceReduction(
        reduction_id=reduction_id,
        timestamp=local(MONDAY, "10:00"),
        locations=("b2",),
        reduction_eur_per_kwh=Decimal(eur),
        start=local(MONDAY, "13:00"),
        end=local(MONDAY, "15:00"),
    )


def test_a_bill_is_by_the_meters_of_all_stations_with_the_reduced_hours_of_those_concerned() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, signals=[cheaper()])
        await here.until(TUESDAY, "00:30")
        # 100 kW at s1 and s2 from 09:00 on, the first bill's beginning; two hours of s2 are reduced
        assert here.ppc.bills == [
            x.NetworkBill(
                bill_id=BILL,
                start=local(MONDAY, "09:00"),
                end=local(TUESDAY, "00:00"),
                energy_kwh=3000.0,
                reduced_kwh=200.0,
                usual_eur=Decimal("270.00"),
                reduction_eur=Decimal("10.00"),
                amount_eur=Decimal("260.00"),
            )
        ]
        assert [each.amount_eur for each in here.second.bills] == [Decimal("125.00")]
        assert stage.balance("hedno") == Decimal("385.00")
        assert here.dso.billing.open == {}
        await here.until(TUESDAY + DAY, "00:30")
        assert [each.start for each in here.ppc.bills] == [local(MONDAY, "09:00"), local(TUESDAY, "00:00")]
        assert here.ppc.bills[1].energy_kwh == 4800.0
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_who_does_not_pass_a_reduction_on_does_not_get_it() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.second.to_reduction = lambda content: "our prices are fixed"

    async def main(stage: PublicStage) -> None:
        here = await network(stage, signals=[cheaper()], prepare=prepare)
        await here.until(TUESDAY, "00:30")
        assert [(each.reduced_kwh, each.reduction_eur) for each in here.second.bills] == [(0.0, Decimal(0))]
        assert [each.reduction_eur for each in here.ppc.bills] == [Decimal("10.00")]

    run_swarm(main, PublicStage())


def test_a_bill_that_is_refused_stays_open_and_is_not_sent_again() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.ppc.to_bill = lambda content: "our meters have less"

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY, "12:00")
        why = "refused by ppc@localhost: our meters have less"
        assert here.notices == [f"ppc@localhost has not paid 270.00 EUR for network use ({BILL}): {why}"]
        assert here.dso.billing.open == {BILL: why}
        assert len(here.ppc.bills) == 1
        assert stage.balance("ppc") == 0

    run_swarm(main, PublicStage())


def test_a_bill_that_is_not_answered_is_sent_again_under_its_id_until_it_is_paid() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.ppc.to_bill = lambda content: "silent" if here.dso.now() < local(TUESDAY, "02:00") else None

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY, "06:00")
        told = f"ppc@localhost has not paid 270.00 EUR for network use ({BILL}): no answer from ppc@localhost"
        assert here.notices == [told]
        assert len(here.ppc.bills) == 3
        assert len({bill.model_dump_json() for bill in here.ppc.bills}) == 1
        assert here.dso.billing.open == {}
        assert stage.balance("ppc") == Decimal("-270.00")

    run_swarm(main, PublicStage())


def test_a_bill_is_paid_when_the_books_say_so() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.ppc.pays = False

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY, "06:00")
        why = "the books have 0 EUR of it"
        assert here.notices == [f"ppc@localhost has not paid 270.00 EUR for network use ({BILL}): {why}"]
        assert here.dso.billing.open == {BILL: why}

    run_swarm(main, PublicStage())


def test_nothing_is_billed_on_a_guess() -> None:
    def prepare(here: PublicNetwork) -> None:
        here.meters.silent.add("station:s1")

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await here.until(TUESDAY, "02:30")
        assert here.ppc.bills == []
        assert len(here.second.bills) == 1
        assert here.notices == ["the meters of s1 do not answer; what they show is not known yet"]
        here.meters.silent.clear()
        await here.until(TUESDAY, "03:30")
        assert [each.energy_kwh for each in here.ppc.bills] == [3000.0]

    run_swarm(main, PublicStage())
