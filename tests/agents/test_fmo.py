"""The FMO: the register, the market, and the money (D5.1, 3.1.1 and 3.1.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from agents.fmo import Fmo
from behaviours.answering import Incoming, Inform, Propose, Reply, answers, failure, refusal
from behaviours.outcomes import Agreed, Failed, Refused
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from tests.agents.stage import MINUTE, POINT, PRODUCT, QUARTER, Requester, Stage, at, informed, product
from tests.swarm import jid, run_swarm

NEED = "need-1"
NOMINATED = (50.0, 50.0, 50.0, 50.0)


@dataclass
class Terms:
    """What a seller bids, and how it behaves."""

    price: str = "0.1000"
    kw: float = 10.0
    least: float = 0.0
    stamp: float = 20.0
    bid_id: str = ""
    answers_at: float | None = None
    award: str = "confirm"
    baseline: tuple[float, ...] = NOMINATED
    location: str = POINT
    shift: float = 0.0


class Seller(Requester):
    role = Role.VPP

    def __init__(self, *arguments: Any, terms: Terms | None = None, measured: tuple[float, ...] | None = None) -> None:
        super().__init__(*arguments)
        self.terms = terms
        self.measured = measured
        self.calls: list[x.RequestForBids] = []
        self.won: list[x.MarketResult] = []
        self.lost: list[x.MarketResult] = []
        self.bills: list[x.Bill] = []
        self.pays = True

    @answers(x.RequestForBids)
    async def on_call(self, call: x.RequestForBids, incoming: Incoming) -> Reply:
        self.calls.append(call)
        if self.terms is None:
            return refusal("no-flexibility", "no vehicle is plugged in")
        terms = self.terms
        if terms.answers_at is not None:
            await self.clock.sleep_until(at(terms.answers_at))
        bid = x.Bid(
            bid_id=terms.bid_id or f"{self.name}-bid-{len(self.calls)}",
            market_id=call.market_id,
            timestamp=at(terms.stamp),
            price_eur_per_kw=Decimal(terms.price),
            power_kw=terms.kw,
            min_power_kw=terms.least,
            location=terms.location,
            start=call.start,
            end=call.end,
            baseline_kw=terms.baseline,
        )
        return Propose(bid)

    @answers(x.MarketResult, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, result: x.MarketResult, incoming: Incoming) -> Reply:
        self.won.append(result)
        assert self.terms is not None
        if self.terms.award == "silent":
            await asyncio.Event().wait()
        if self.terms.award == "fail":
            return failure("no-longer", "the vehicles have left")
        return Inform(x.Done(reference=result.bid_id))

    @answers(x.MarketResult, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, result: x.MarketResult, incoming: Incoming) -> None:
        self.lost.append(result)

    @answers(x.MeasurementsQuery)
    async def on_measurements(self, query: x.MeasurementsQuery, incoming: Incoming) -> Reply:
        return series(query, self.measured, NOMINATED)

    @answers(x.Bill)
    async def on_bill(self, bill: x.Bill, incoming: Incoming) -> Reply:
        self.bills.append(bill)
        return paid(bill) if self.pays else refusal("no-money", "the account is empty")


def paid(bill: x.Bill) -> Reply:
    return Inform(x.Payment(bill_id=bill.bill_id, transaction_id=bill.bill_id, amount_eur=bill.amount_eur))


def series(
    query: x.MeasurementsQuery, power: tuple[float, ...] | None, baseline: tuple[float, ...] | None, **changed: Any
) -> Reply:
    if power is None:
        return refusal("no-measurements", "the meters do not answer")
    values: dict[str, Any] = {
        "activation_id": query.activation_id,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "start": query.start,
        "end": query.end,
        "period_minutes": 15,
        "power_kw": power,
        "baseline_kw": baseline,
    }
    return Inform(x.MeasurementsCollection(**values | changed))


class Buyer(Requester):
    role = Role.DSO

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[x.PrequalificationRequest] = []
        self.answers_with: Callable[[x.PrequalificationRequest], Reply | None] = qualified
        self.measured: tuple[float, ...] | None = (40.0,) * 4
        self.before: tuple[float, ...] | None = None
        self.window: dict[str, Any] = {}
        self.bills: list[x.Bill] = []
        self.pays = True

    @answers(x.PrequalificationRequest)
    async def on_prequalification(self, question: x.PrequalificationRequest, incoming: Incoming) -> Reply:
        self.asked.append(question)
        reply = self.answers_with(question)
        if reply is None:
            await asyncio.Event().wait()
        assert reply is not None
        return reply

    @answers(x.MeasurementsQuery)
    async def on_measurements(self, query: x.MeasurementsQuery, incoming: Incoming) -> Reply:
        return series(query, self.measured, self.before, **self.window)

    @answers(x.Bill)
    async def on_bill(self, bill: x.Bill, incoming: Incoming) -> Reply:
        self.bills.append(bill)
        return paid(bill) if self.pays else refusal("wrong-volume", "less was agreed")


def qualified(question: x.PrequalificationRequest, share: float = 1.0, reasons: tuple[str, ...] = ()) -> Reply:
    return Inform(
        x.PrequalificationResult(
            resource_id=question.resource_id,
            qualified_charge_kw=question.max_charge_kw,
            qualified_discharge_kw=question.max_discharge_kw * share,
            reasons=reasons,
        )
    )


def resource(vpp: str, **changed: Any) -> x.ResourceRegistration:
    values: dict[str, Any] = {
        "resource_id": f"{vpp}/cpo/bus1",
        "product_id": PRODUCT,
        "cpo": jid("cpo1"),
        "location": "bus1",
        "charger_ids": ("c1", "c2"),
        "max_charge_kw": 22.0,
        "max_discharge_kw": 14.8,
        "energy_kwh": 100.0,
    }
    return x.ResourceRegistration(**values | changed)


def need(**changed: Any) -> x.FlexibilityNeed:
    values: dict[str, Any] = {
        "need_id": NEED,
        "product_id": PRODUCT,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": at(120),
        "end": at(180),
        "power_kw": 15.0,
        "max_price_eur_per_kw": Decimal("0.5000"),
        "gate_closure": at(30),
    }
    return x.FlexibilityNeed(**values | changed)


class Exchange:
    """A real FMO with a DSO and sellers that do as told."""

    def __init__(self, stage: Stage, fmo: Fmo, dso: Buyer, sellers: dict[str, Seller]) -> None:
        self.stage, self.fmo, self.dso, self.sellers = stage, fmo, dso, sellers

    @classmethod
    async def open(cls, stage: Stage, *terms: Terms | None, **changed: Any) -> Exchange:
        fmo = await stage.start(Fmo, "fmo")
        dso = await stage.start(Buyer, "dso")
        informed(await dso.order(product(**changed), "fmo"))
        sellers = {}
        for number, offered in enumerate(terms, start=1):
            name = f"vpp{number}"
            sellers[name] = seller = await stage.start(Seller, name, terms=offered)
            informed(await seller.order(resource(name, max_charge_kw=60.0), "fmo"))
        return cls(stage, fmo, dso, sellers)

    async def buy(self, **changed: Any) -> x.NeedResult:
        answer = await self.dso.order(need(**changed), "fmo")
        assert isinstance(answer, Agreed), answer
        content = informed(await answer.result(at(60)))
        assert isinstance(content, x.NeedResult)
        return content

    def sold(self, result: x.NeedResult) -> dict[str, tuple[float, str]]:
        return {a.vpp.partition("@")[0]: (a.power_kw, str(a.price_eur_per_kw)) for a in result.awards}


# ---- register ------------------------------------------------------------------------------------------------------


def test_a_resource_enters_the_register_with_the_power_that_the_dso_leaves_it() -> None:
    """D5.1 3.1.1: "The resources will be validated by the DSO through a prequalification protocol. ... The FMO
    coordinates this procedure."."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage)
        limit = "discharging 14.8 kW: more would put t1 at 100.1 % (limit 100.0)"
        market.dso.answers_with = lambda question: qualified(question, 0.5, (limit,))
        seller = await stage.start(Seller, "vpp1")
        answer = informed(await seller.order(resource("vpp1"), "fmo"))
        assert isinstance(answer, x.RegistrationResult)
        assert (answer.qualified_charge_kw, answer.qualified_discharge_kw) == (22.0, 7.4)
        assert answer.reasons == (limit,)
        (question,) = market.dso.asked
        assert (question.vpp, question.location, question.charger_ids) == (jid("vpp1"), "bus1", ("c1", "c2"))
        assert market.fmo.registered_vpps(PRODUCT) == (jid("vpp1"),)

    run_swarm(main, Stage())


def test_without_a_product_no_resource_is_registered() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage)
        seller = await stage.start(Seller, "vpp1")
        answer = await seller.order(resource("vpp1", product_id="another"), "fmo")
        assert isinstance(answer, Refused)
        assert market.dso.asked == []
        assert market.fmo.registered_vpps("another") == ()

    run_swarm(main, Stage())


@pytest.mark.parametrize("how", ["refuses", "keeps silent"])
def test_a_resource_that_the_dso_does_not_qualify_is_not_registered(how: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage)
        unknown = refusal("unknown-bus", "there is no bus bus1 in my grid")
        market.dso.answers_with = lambda question: unknown if how == "refuses" else None
        seller = await stage.start(Seller, "vpp1")
        answer = await seller.order(resource("vpp1"), "fmo")
        assert isinstance(answer, Failed)
        assert answer.content.code == "not-prequalified"  # type: ignore[attr-defined]
        assert market.fmo.registered_vpps(PRODUCT) == ()

    run_swarm(main, Stage())


def test_a_resource_belongs_to_the_vpp_that_registered_it() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        thief = await stage.start(Seller, "vpp2")
        assert isinstance(await thief.order(resource("vpp1"), "fmo"), Refused)
        assert market.fmo.registered_vpps(PRODUCT) == (jid("vpp1"),)

    run_swarm(main, Stage())


def test_a_product_belongs_to_the_dso_that_defined_it() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage)
        other = await stage.start(Buyer, "dso2")
        assert isinstance(await other.order(product(penalty_eur_per_kw=Decimal(9)), "fmo"), Refused)
        assert market.fmo.products[PRODUCT].penalty_eur_per_kw == Decimal("0.5000")
        assert isinstance(await other.order(need(), "fmo"), Refused)

    run_swarm(main, Stage())


def test_a_resource_that_was_left_no_power_is_not_called() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage)
        seller = await stage.start(Seller, "vpp1", terms=Terms())
        informed(await seller.order(resource("vpp1", max_charge_kw=0.0, max_discharge_kw=0.0), "fmo"))
        assert market.fmo.registered_vpps(PRODUCT) == ()
        await stage.until(20)
        assert market.sold(await market.buy()) == {}
        assert seller.calls == []

    run_swarm(main, Stage())


# ---- market --------------------------------------------------------------------------------------------------------


def test_the_dso_hears_what_each_sold_bid_nominated() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        await stage.until(20)
        (award,) = (await market.buy()).awards
        assert award.baseline_kw == NOMINATED

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("method", "second", "why"),
    [
        (x.BaselineMethod.NOMINATION, 50.0, "sold down to 40 kW already"),
        (x.BaselineMethod.NOMINATION, 40.0, None),
        (x.BaselineMethod.METER_BEFORE_METER_AFTER, 40.0, "a metered baseline cannot tell two apart"),
    ],
)
def test_what_is_sold_for_a_quarter_cannot_be_sold_in_it_again(
    method: x.BaselineMethod, second: float, why: str | None
) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(), baseline=method)
        await stage.until(20)
        assert market.sold(await market.buy())
        seller = market.sellers["vpp1"]
        seller.terms = Terms(baseline=(second, second))
        sold = market.sold(await market.buy(need_id="need-2", start=at(150)))
        assert bool(sold) == (why is None)
        await stage.settle()
        assert (why or "") in " ".join(lost.reason or "" for lost in seller.lost)

    run_swarm(main, Stage())


def test_the_market_clears_by_merit_order_and_the_margin_sets_everybodys_price() -> None:
    """D5.1 3.1.2: the FMO "collects the bids from flexibility service providers and selects the optimal bids"."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(price="0.3000"), Terms(price="0.1000"))
        await stage.until(20)
        result = await market.buy(power_kw=15.0)
        assert market.sold(result) == {"vpp2": (10.0, "0.3000"), "vpp1": (5.0, "0.3000")}
        assert result.unserved_kw == 0.0
        (award,) = market.sellers["vpp1"].won
        assert (award.cleared_power_kw, award.market_price_eur_per_kw) == (5.0, Decimal("0.3000"))
        (call,) = market.sellers["vpp1"].calls
        assert (call.need_id, call.power_needed_kw, call.start, call.end) == (NEED, 15.0, at(120), at(180))
        assert call.max_price_eur_per_kw == Decimal("0.5000")

    run_swarm(main, Stage())


def test_pay_as_bid_pays_each_its_own_price() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(
            stage, Terms(price="0.3000"), Terms(price="0.1000"), pricing=x.PricingRule.PAY_AS_BID
        )
        await stage.until(20)
        assert market.sold(await market.buy()) == {"vpp2": (10.0, "0.1000"), "vpp1": (5.0, "0.3000")}

    run_swarm(main, Stage())


def test_a_bid_that_is_not_needed_is_rejected_with_the_reason() -> None:
    """Table 1, 1.1.2: the results go to all who bid."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(price="0.3000"), Terms(price="0.1000", kw=15.0))
        await stage.until(20)
        assert set(market.sold(await market.buy())) == {"vpp2"}
        await stage.settle()
        (lost,) = market.sellers["vpp1"].lost
        assert lost.cleared_power_kw == 0.0
        assert lost.market_price_eur_per_kw == Decimal("0.1000")
        assert lost.reason == "the need is met by the bids before it in merit order"

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("one", "two", "winner"),
    [
        (Terms(stamp=20, answers_at=21), Terms(stamp=21, answers_at=20.5), "vpp2"),
        (Terms(bid_id="b"), Terms(bid_id="a"), "vpp2"),
        (Terms(bid_id="a"), Terms(bid_id="b"), "vpp1"),
    ],
    ids=["earlier", "by id", "by id the other way"],
)
def test_of_equal_prices_the_bid_that_came_first_wins_then_the_lower_id(one: Terms, two: Terms, winner: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, one, two)
        await stage.until(20)
        assert set(market.sold(await market.buy(power_kw=8.0))) == {winner}

    run_swarm(main, Stage())


def test_a_bid_whose_least_power_does_not_fit_is_passed_over() -> None:
    async def main(stage: Stage) -> None:
        # 10 kW at 0.1 leave 5; the second wants 8 or nothing, the third takes 5
        market = await Exchange.open(
            stage, Terms(price="0.1000"), Terms(price="0.2000", least=8.0), Terms(price="0.3000")
        )
        await stage.until(20)
        result = await market.buy(power_kw=15.0)
        assert sum(kw for kw, _ in market.sold(result).values()) == pytest.approx(15.0)
        assert all(
            kw >= market.sellers[name].terms.least  # type: ignore[union-attr]
            for name, (kw, _) in market.sold(result).items()
        )
        assert result.unserved_kw == 0.0

    run_swarm(main, Stage())


def test_what_nobody_offers_is_reported_as_unserved() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(kw=4.0), None)
        await stage.until(20)
        result = await market.buy(power_kw=15.0)
        assert market.sold(result) == {"vpp1": (4.0, "0.1000")}
        assert result.unserved_kw == 11.0

    run_swarm(main, Stage())


def test_without_any_vpp_the_whole_need_is_unserved() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage)
        await stage.until(20)
        result = await market.buy()
        assert (result.awards, result.unserved_kw) == ((), 15.0)

    run_swarm(main, Stage())


def test_a_bid_after_gate_closure_is_rejected_and_gets_nothing() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(price="0.0100", answers_at=31), Terms(price="0.2000"))
        await stage.until(20)
        result = await market.buy()
        assert market.sold(result) == {"vpp2": (10.0, "0.2000")}
        assert stage.clock.now() == at(30)
        await stage.until(40)
        assert market.sellers["vpp1"].won == []

    run_swarm(main, Stage())


def test_an_outsiders_bid_after_gate_closure_is_answered_with_a_rejection() -> None:
    """An outside VPP does not keep the deadline for us: its propose is put into the post by hand."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(answers_at=500))
        await stage.until(20)
        result = await market.buy()
        assert result.awards == ()
        await stage.until(32)
        (cfp,) = [m for _, m in stage.recorder.messages if m.performative == "cfp"]
        bid = x.Bid(
            bid_id="late",
            market_id="market-need-1",
            timestamp=at(25),
            price_eur_per_kw=Decimal("0.0100"),
            power_kw=10.0,
            min_power_kw=0.0,
            location=POINT,
            start=at(120),
            end=at(180),
            baseline_kw=NOMINATED,
        )
        stage.inject(
            AclMessage(
                performative=Performative.PROPOSE,
                sender=jid("vpp1"),
                receiver=jid("fmo"),
                protocol=Protocol.CONTRACT_NET,
                conversation_id=cfp.conversation_id,
                reply_with="late-1",
                in_reply_to=cfp.reply_with,
                content=bid.to_json(),
            )
        )
        await stage.settle()
        assert stage.recorder.script().count("fmo > vpp1: reject-proposal") == 1
        assert market.sellers["vpp1"].won == []
        assert market.fmo.contracts == {}

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        (Terms(price="0.5001"), "above the maximum"),
        (Terms(kw=0.9), "1"),
        (Terms(baseline=()), "baseline"),
        (Terms(location="t2"), "t2"),
        (Terms(baseline=(50.0, 61.0, 50.0, 50.0)), "the registered chargers draw 60 kW at most"),
    ],
    ids=["too dear", "too small", "no nomination", "elsewhere", "nominates too much"],
)
def test_a_bid_outside_the_products_terms_is_rejected_with_the_reason(terms: Terms, why: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, terms, Terms(price="0.4000"))
        await stage.until(20)
        result = await market.buy()
        assert market.sold(result) == {"vpp2": (10.0, "0.4000")}
        await stage.settle()
        (lost,) = market.sellers["vpp1"].lost
        assert why in (lost.reason or "")
        assert market.sellers["vpp1"].won == []

    run_swarm(main, Stage())


def test_two_vpps_cannot_sell_under_one_bid_id() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(bid_id="same"), Terms(bid_id="same"))
        await stage.until(20)
        result = await market.buy(power_kw=20.0)
        assert len(result.awards) == 1
        assert result.unserved_kw == 10.0

    run_swarm(main, Stage())


@pytest.mark.parametrize("how", ["silent", "fail"])
def test_a_vpp_that_does_not_confirm_its_award_has_no_contract(how: str) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(price="0.1000", award=how), Terms(price="0.2000"))
        await stage.until(20)
        result = await market.buy()
        assert market.sold(result) == {"vpp2": (5.0, "0.2000")}
        assert result.unserved_kw == 10.0
        assert stage.noticed("vpp1@localhost does not stand by its bid") == 1
        await stage.until(210)
        assert market.sellers["vpp1"].bills == []

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "changed",
    [
        {"product_id": "another"},
        {"congestion_point": "t2"},
        {"gate_closure": at(10)},
        {"service": x.ServiceType.VOLTAGE_CONTROL},
    ],
    ids=["unknown product", "wrong congestion point", "gate closed", "another service"],
)
def test_a_need_that_cannot_be_called_is_refused(changed: Any) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        await stage.until(20)
        assert isinstance(await market.dso.order(need(**changed), "fmo"), Refused)
        assert market.sellers["vpp1"].calls == []

    run_swarm(main, Stage())


def test_a_need_is_called_once() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        await stage.until(20)
        await market.buy()
        assert isinstance(await market.dso.order(need(), "fmo"), Refused)
        assert isinstance(await market.dso.order(need(power_kw=30.0), "fmo"), Refused)
        assert len(market.sellers["vpp1"].calls) == 1

    run_swarm(main, Stage())


def test_a_vpp_may_not_state_a_need_and_a_malformed_one_changes_nothing() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        answer = await market.sellers["vpp1"].order(need(), "fmo")
        assert isinstance(answer, Refused)
        assert answer.content.code == "not-authorised"  # type: ignore[attr-defined]
        broken = need().to_json() | {"power_kw": -1, "wish": "more"}
        message = AclMessage(
            performative=Performative.REQUEST,
            sender=jid("dso"),
            receiver=jid("fmo"),
            protocol=Protocol.REQUEST,
            conversation_id="broken-1",
            reply_with="broken-1/1",
            content=broken,
        )
        stage.inject(message)
        await stage.settle()
        assert stage.recorder.script()[-1] == "fmo > dso: not-understood"
        faults = stage.recorder.messages[-1][1].content["faults"]
        assert any("power_kw" in fault for fault in faults)
        assert any("wish" in fault for fault in faults)
        assert market.sellers["vpp1"].calls == []
        await stage.until(20)
        assert len((await market.buy()).awards) == 1  # the id was not used up

    run_swarm(main, Stage())


# ---- settlement ----------------------------------------------------------------------------------------------------


async def settled(stage: Stage, market: Exchange, **changed: Any) -> None:
    """10 kW from 08:00 to 09:00 at 0.10 EUR/kW, nominated 50 kW."""
    await stage.until(20)
    await market.buy(power_kw=10.0, **changed)
    await stage.until(205)


def test_the_bill_is_the_price_times_what_the_meters_show_below_the_nomination() -> None:
    """D5.1 3.1.2: "the FMO calculates the base line", "monetizes the delivered flexibility and sends the bill to the
    DSO, which pays the service to the VPP" (1.2.7)."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(), penalty_eur_per_kw=Decimal("0.1500"))
        market.dso.measured = (40.0, 42.0, 38.0, 50.0)  # delivered 10, 8, 10 of at most 10, 0
        market.sellers["vpp1"].measured = (40.0, 42.0, 38.0, 50.0)
        await settled(stage, market)
        (bill,) = market.dso.bills
        assert (bill.payer, bill.payee) == (jid("dso"), jid("vpp1"))
        assert bill.activation_id == "activation-vpp1-bid-1"
        assert bill.volume_kwh == 7.0
        assert bill.price_eur_per_kw == Decimal("0.1000")
        assert bill.remuneration_eur == Decimal("2.80")
        assert bill.penalty_eur == Decimal("1.80")  # 2 and 10 kW short at 0.15
        assert bill.amount_eur == Decimal("1.00")
        assert bill.due == at(200) + 14 * 96 * QUARTER
        assert market.sellers["vpp1"].bills == [bill]
        sent = [at_ for at_, m in stage.recorder.messages if m.exchange == "1.2.7" and m.performative == "request"]
        assert sent == [at(200), at(200)]

    run_swarm(main, Stage())


def test_a_measured_baseline_is_the_mean_before_the_activation() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(baseline=()), baseline=x.BaselineMethod.METER_BEFORE_METER_AFTER)
        market.dso.measured = (40.0,) * 4
        market.dso.before = (48.0,) * 4
        await settled(stage, market)
        (bill,) = market.dso.bills
        assert bill.volume_kwh == 8.0
        assert bill.remuneration_eur == Decimal("3.20")
        assert bill.penalty_eur == Decimal("4.00")

    run_swarm(main, Stage())


def test_when_nothing_was_delivered_the_vpp_is_asked_to_pay_the_penalty_first() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.dso.measured = (50.0,) * 4
        await settled(stage, market)
        order = [
            m.receiver for _, m in stage.recorder.messages if m.exchange == "1.2.7" and m.performative == "request"
        ]
        assert order == [jid("vpp1"), jid("dso")]
        (bill,) = market.sellers["vpp1"].bills
        assert (bill.remuneration_eur, bill.penalty_eur, bill.amount_eur) == (0, Decimal("20.00"), Decimal("-20.00"))

    run_swarm(main, Stage())


@pytest.mark.parametrize("outside", [True, False])
def test_a_penalty_that_a_vpp_outside_says_it_pays_is_booked_by_the_fmo(outside: bool) -> None:
    """One of the swarm books it itself."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.fmo.ledger = stage.ledger
        market.fmo.swarm = replace(market.fmo.swarm, outside=frozenset({jid("vpp1" if outside else "vpp9")}))
        market.dso.measured = (50.0,) * 4
        await settled(stage, market)
        assert len(market.dso.bills) == 1
        expected = {"dso": Decimal("20.00"), "vpp1": Decimal("-20.00")}
        assert stage.ledger.balances() == (expected if outside else {})

    run_swarm(main, Stage())


def test_what_a_vpp_outside_is_paid_is_booked_by_who_pays_it() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.fmo.ledger = stage.ledger
        market.fmo.swarm = replace(market.fmo.swarm, outside=frozenset({jid("vpp1")}))
        await settled(stage, market)
        (bill,) = market.sellers["vpp1"].bills
        assert bill.amount_eur > 0
        assert stage.ledger.balances() == {}

    run_swarm(main, Stage())


def test_a_debtor_that_refuses_is_noticed_and_the_other_side_gets_no_bill() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.dso.pays = False
        await settled(stage, market)
        assert stage.noticed("is not paid: dso@localhost") == 1
        assert market.sellers["vpp1"].bills == []

    run_swarm(main, Stage())


def test_without_the_dsos_meters_the_vpps_registers_count() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.dso.measured = None
        market.sellers["vpp1"].measured = (45.0,) * 4
        await settled(stage, market)
        (bill,) = market.dso.bills
        assert bill.volume_kwh == 5.0
        assert stage.noticed("dso@localhost gives no measurements") == 1

    run_swarm(main, Stage())


def test_where_both_measured_and_differ_the_dsos_meters_count_and_it_is_noticed() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.dso.measured = (46.0,) * 4
        market.sellers["vpp1"].measured = (40.0,) * 4
        await settled(stage, market)
        (bill,) = market.dso.bills
        assert bill.volume_kwh == 4.0
        assert stage.noticed("measured differently") == 1

    run_swarm(main, Stage())


def test_an_activation_that_nobody_measured_is_not_billed() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.dso.measured = None
        await settled(stage, market)
        assert market.dso.bills == []
        assert stage.noticed("nobody measured it") == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "window",
    [
        {"end": at(150), "power_kw": (40.0, 40.0)},
        {"period_minutes": 30, "power_kw": (40.0, 40.0)},
        {"start": at(90), "end": at(150)},
    ],
    ids=["too short", "other periods", "another hour"],
)
def test_measurements_of_another_time_than_asked_for_do_not_count(window: dict[str, Any]) -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms())
        market.dso.window = window
        market.sellers["vpp1"].measured = (44.0,) * 4
        await settled(stage, market)
        (bill,) = market.dso.bills
        assert bill.volume_kwh == 6.0  # the VPP's, which has the hour
        assert stage.noticed("dso@localhost") == 1

    run_swarm(main, Stage())


def test_a_measured_baseline_that_nobody_measured_is_not_billed() -> None:
    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(baseline=()), baseline=x.BaselineMethod.METER_BEFORE_METER_AFTER)
        market.dso.before = None
        await settled(stage, market)
        assert market.dso.bills == []
        assert any("baseline" in notice for notice in stage.notices)

    run_swarm(main, Stage())


def test_bids_are_answered_within_the_needs_own_time() -> None:
    """All have answered: the FMO does not wait for the gate to close."""

    async def main(stage: Stage) -> None:
        market = await Exchange.open(stage, Terms(), None)
        await stage.until(20)
        await market.buy()
        assert stage.clock.now() < at(20) + MINUTE

    run_swarm(main, Stage())
