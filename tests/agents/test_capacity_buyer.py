"""How the DSO buys caps for the weeks ahead (D5.1 3.5.1), with the real FMO between it and the CPOs."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import Any

import pytest

from agents.actor import Actor
from behaviours.answering import Incoming, Inform, Refuse, answers, refusal
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.public_dso_stage import (
    CONTRACT,
    PLAN,
    TUESDAY,
    PublicNetwork,
    PublicStage,
    local,
    network,
)
from tests.agents.stage import at
from tests.agents.two_lines import TwoLines
from tests.swarm import jid, run_swarm


def test_what_is_auctioned_is_what_lies_behind_a_line_that_comes_near_its_limit() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await stage.until(14.9)
        assert here.study.asked == []
        assert stage.said(x.AuctionTerms) == []
        await stage.until(16)
        assert here.study.asked == [("period", TUESDAY, 4)]
        (terms,) = stage.said(x.AuctionTerms)
        # 40 kW and two stations of 150 kW through a line of 300; the line before it carries half of what it can
        assert terms.locations == ("b2",)
        assert (terms.timestamp, terms.gate_closure) == (at(15), at(45))
        assert terms.period_start == local(TUESDAY, "00:00")
        assert terms.period_end == local(TUESDAY.replace(day=30), "00:00")
        assert (terms.window_start, terms.window_end) == ("17:00", "22:00")
        assert (terms.most_activations, terms.notice_minutes, terms.penalty_eur_per_kwh) == (28, 720, Decimal("1.50"))
        assert {call.station_id for call in stage.said(x.AuctionCall)} == {"s2", "s3"}

    run_swarm(main, PublicStage())


def test_the_caps_are_bought_that_pay_and_become_contracts() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage)
        await stage.until(60)
        (decision,) = stage.said(x.ProcurementDecision)
        # two stations of 150 kW behind 260 kW that are left: 120 kW each cost the least
        assert [(each.bid_id, each.limit_kw, each.price_eur) for each in decision.purchases] == [
            ("bid-s2", 120.0, Decimal("56.00")),
            ("bid-s3", 120.0, Decimal("56.00")),
        ]
        # 40 kW too much (and some kvar) for 5 hours in two of four scenarios
        assert decision.scenarios == 4
        assert decision.expected_without_kwh == pytest.approx(100.0, abs=0.5)
        assert decision.expected_with_kwh == pytest.approx(0.0, abs=1e-6)
        assert here.dso.buyer.plan_found is not None
        assert here.dso.buyer.plan_found.ac_checked
        assert list(here.dso.buyer.contracts) == [CONTRACT + "s2", CONTRACT + "s3"]
        assert here.notices == []

    run_swarm(main, PublicStage())


def test_nothing_is_auctioned_where_no_line_comes_near_its_limit() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, TwoLines(ratings_kw=(1000.0, 400.0)))
        await stage.until(90)
        assert stage.said(x.AuctionTerms) == []
        assert here.notices == ["no line with a station behind it comes near its limit: no caps are auctioned"]

    run_swarm(main, PublicStage())


def test_where_nothing_pays_a_decision_is_sent_all_the_same_and_the_bidders_hear_of_it() -> None:
    async def main(stage: PublicStage) -> None:
        plan = dataclasses.replace(PLAN, violation_eur_per_kwh=0.0001)
        here = await network(stage, plan=plan)
        await stage.until(60)
        (decision,) = stage.said(x.ProcurementDecision)
        assert decision.purchases == ()
        assert decision.expected_with_kwh == decision.expected_without_kwh > 0
        assert [result.contract_id for result in here.ppc.results + here.second.results] == [None, None]
        assert here.dso.buyer.contracts == {}

    run_swarm(main, PublicStage())


def test_without_a_market_nothing_is_bought_and_it_is_told() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, fmo=False)
        await here.until(TUESDAY, "23:00")
        assert here.notices == ["there is no FMO: no caps can be bought"]
        assert here.ppc.limits == []

    run_swarm(main, PublicStage())


def test_terms_that_the_market_refuses_come_to_nothing() -> None:
    async def main(stage: PublicStage) -> None:
        here = await network(stage, plan=dataclasses.replace(PLAN, lowest_limit_kw=200.0))
        await here.until(TUESDAY, "23:00")
        (notice,) = here.notices
        assert notice.startswith("hedno-caps-2026-06-02 comes to nothing: refused by fmo@localhost: ")
        assert "200" in notice
        assert here.dso.buyer.bids is None
        assert here.ppc.limits == []

    run_swarm(main, PublicStage())


def test_without_an_approved_curve_nothing_is_decided() -> None:
    def prepare(here: PublicNetwork) -> None:
        for cpo in (here.ppc, here.second):
            cpo.curve = ((200.0, "0.00"),)

    async def main(stage: PublicStage) -> None:
        here = await network(stage, prepare=prepare)
        await stage.until(90)
        assert stage.said(x.ProcurementDecision) == []
        assert here.notices == ["no cap is offered"]
        assert here.dso.buyer.bids is not None
        assert len(here.dso.buyer.bids.refused) == 2

    run_swarm(main, PublicStage())


class OddMarket(Actor):
    """A market that offers a station which is not there, and concludes what was not bought."""

    role = Role.FMO

    @answers(x.AuctionTerms)
    async def on_terms(self, terms: x.AuctionTerms, incoming: Incoming) -> Inform:
        points = tuple(x.CurvePoint(limit_kw=kw, price_eur=Decimal(eur)) for kw, eur in ((100.0, "1.00"), (200.0, "0")))
        bids = tuple(
            x.ApprovedBid(bid_id=f"bid-{name}", cpo=jid("ppc"), station_id=name, location=place, curve=points)
            for name, place in (("s2", "b2"), ("s1", "b2"), ("s9", "b2"))
        )
        return Inform(x.CurveBids(terms_id=terms.terms_id, timestamp=self.now(), bids=bids))

    @answers(x.ProcurementDecision)
    async def on_decision(self, decision: x.ProcurementDecision, incoming: Incoming) -> Inform:
        (bought,) = decision.purchases
        same: dict[str, Any] = {"location": "b2", "price_eur": bought.price_eur}
        contracts = tuple(
            x.Contract(contract_id=f"c{k}", bid_id=bid, cpo=jid(cpo), station_id=station, limit_kw=kw, **same)
            for k, (bid, cpo, station, kw) in enumerate(
                (
                    ("bid-s2", "ppc", "s2", 90.0),
                    ("bid-s2", "ppc", "s3", 100.0),
                    ("b", "ppc", "s2", 100.0),
                    ("bid-s2", "other", "s2", 100.0),
                )
            )
        )
        return Inform(
            x.ConcludedContracts(decision_id=decision.decision_id, contracts=contracts, failed=("s2: no longer",))
        )


def test_only_a_station_of_the_network_is_bought_of_and_only_what_was_bought_is_a_contract() -> None:
    async def main(stage: PublicStage) -> None:
        await stage.start(OddMarket, "fmo")
        here = await network(stage, fmo=False)
        await here.until(TUESDAY, "12:00")
        assert here.notices == [
            "bid-s1: no station s1 is connected at b2",
            "bid-s9: no station s9 is connected at b2",
            "a purchase has not become a contract: s2: no longer",
            *(f"the contract c{k} is not what was bought: it is not used" for k in range(4)),
        ]
        assert here.dso.buyer.contracts == {}

    run_swarm(main, PublicStage())


class ClosedMarket(Actor):
    """A market that takes terms, and no decision."""

    role = Role.FMO

    @answers(x.AuctionTerms)
    async def on_terms(self, terms: x.AuctionTerms, incoming: Incoming) -> Refuse:
        return refusal("closed", "there is no market today")


def test_a_closed_market_is_told() -> None:
    async def main(stage: PublicStage) -> None:
        await stage.start(ClosedMarket, "fmo")
        here = await network(stage, fmo=False)
        await stage.until(90)
        assert here.notices == [
            "hedno-caps-2026-06-02 comes to nothing: refused by fmo@localhost: there is no market today"
        ]

    run_swarm(main, PublicStage())
