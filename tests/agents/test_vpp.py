"""The VPP: registers, bids what its vehicles can keep, activates it, proves it, and is paid (D5.1, 3.1 and 3.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.money import cents
from agents.ports import ChargerSilentError
from agents.vpp import Vpp
from behaviours.answering import Incoming, RejectProposal, Reply, answers, refusal
from behaviours.outcomes import Agreed, Informed, Refused
from protocols import exchanges as x
from tests.agents.stage import (
    MINUTE,
    POINT,
    PRODUCT,
    Car,
    PlainCpo,
    PlainDso,
    PlainFmo,
    Site,
    Stage,
    at,
    cancel,
    cpo_signal,
    informed,
    start_vpp,
)
from tests.swarm import jid, run_swarm


def call(market_id: str = "m1", *, start: float = 60, end: float = 120, **changed: Any) -> x.RequestForBids:
    values: dict[str, Any] = {
        "market_id": market_id,
        "need_id": f"need-{market_id}",
        "product_id": PRODUCT,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": at(start),
        "end": at(end),
        "power_needed_kw": 20.0,
        "max_price_eur_per_kw": Decimal("1.0000"),
        "pricing": x.PricingRule.PAY_AS_CLEAR,
    }
    return x.RequestForBids(**values | changed)


def pool(pool_id: str = "p1", *, start: float = 60, end: float = 75, **changed: Any) -> x.PoolOpening:
    values: dict[str, Any] = {
        "pool_id": pool_id,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "timestamp": at(start - 12),
        "congestion_point": POINT,
        "start": at(start),
        "end": at(end),
        "max_price_eur_per_kw": Decimal("1.0000"),
        "power_needed_kw": 20.0,
    }
    return x.PoolOpening(**values | changed)


def result(bid: x.Bid, kw: float | None = None, **changed: Any) -> x.MarketResult:
    values: dict[str, Any] = {
        "bid_id": bid.bid_id,
        "market_id": bid.market_id,
        "timestamp": bid.timestamp,
        "market_price_eur_per_kw": bid.price_eur_per_kw,
        "cleared_power_kw": bid.power_kw if kw is None else kw,
    }
    return x.MarketResult(**values | changed)


def signal_for(bid: x.Bid, **changed: Any) -> x.ActivationSignal:
    values: dict[str, Any] = {
        "activation_id": f"activation-{bid.bid_id}",
        "bid_id": bid.bid_id,
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": bid.start,
        "end": bid.end,
        "power_kw": bid.power_kw,
    }
    return x.ActivationSignal(**values | changed)


def pool_activation(bid: x.PoolBid, opening: x.PoolOpening, **changed: Any) -> x.PoolActivation:
    values: dict[str, Any] = {
        "activation_id": f"activation-{bid.bid_id}",
        "bid_id": bid.bid_id,
        "service": opening.service,
        "congestion_point": POINT,
        "start": opening.start,
        "end": opening.end,
        "max_price_eur_per_kw": opening.max_price_eur_per_kw,
        "power_kw": bid.power_kw,
    }
    return x.PoolActivation(**values | changed)


class Market:
    """A real VPP over real CPOs, and an FMO and a DSO that do what the test says."""

    def __init__(self, stage: Stage, vpp: Vpp, fmo: PlainFmo, dso: PlainDso) -> None:
        self.stage, self.vpp, self.fmo, self.dso = stage, vpp, fmo, dso

    @classmethod
    async def open(cls, stage: Stage, **options: Any) -> Market:
        fmo = await stage.start(PlainFmo, "fmo")
        dso = await stage.start(PlainDso, "dso")
        return cls(stage, await start_vpp(stage, registers_at=3, **options), fmo, dso)

    async def tender(self, content: x.Content, by: Any = None) -> Any:
        asker = by or (self.fmo if isinstance(content, x.RequestForBids) else self.dso)
        return await asker.call_for_proposals(content, to=[jid("vpp1")], reply_by=self.stage.clock.now() + 3 * MINUTE)

    async def bid(self, content: x.RequestForBids) -> tuple[x.Bid, Any]:
        tender = await self.tender(content)
        (proposal,) = tender.proposals
        assert isinstance(proposal.content, x.Bid)
        return proposal.content, tender

    async def sell(self, content: x.RequestForBids, kw: float | None = None, **changed: Any) -> x.Bid:
        """A bid that is awarded, whole or in part."""
        bid, tender = await self.bid(content)
        award = result(bid, kw, **changed)
        outcome = await tender.award({jid("vpp1"): award}, done_by=self.stage.clock.now() + MINUTE)
        assert isinstance(outcome[jid("vpp1")], Informed)
        return bid

    async def sell_pool(self, opening: x.PoolOpening) -> x.PoolBid:
        tender = await self.tender(opening)
        (proposal,) = tender.proposals
        bid = proposal.content
        assert isinstance(bid, x.PoolBid)
        award = x.PoolAward(
            pool_id=opening.pool_id, bid_id=bid.bid_id, price_eur_per_kw=bid.price_eur_per_kw, power_kw=bid.power_kw
        )
        await tender.award({jid("vpp1"): award}, done_by=self.stage.clock.now() + MINUTE)
        return bid

    async def order(self, signal: x.Content, minutes: float = 8.0) -> Any:
        return await self.dso.order(signal, "vpp1", minutes=minutes)


def cars(count: int = 4, **changed: Any) -> list[Car]:
    values: dict[str, Any] = {"soc": 30.0, "wanted": 80.0, "leaves": 480}
    return [Car(f"c{n}", bus=f"bus{1 + n % 2}", **values | changed) for n in range(1, count + 1)]


# ---- registration --------------------------------------------------------------------------------------------------


def test_each_bus_of_each_cpo_is_registered_as_a_resource() -> None:
    """D5.1 3.1.1: "the flexibility resources (in this case V2X CPOs) will be registered"."""

    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(4)
        found = {r.resource_id: r for r in market.fmo.registered}
        assert set(found) == {"vpp1/cpo1/bus1", "vpp1/cpo1/bus2"}
        resource = found["vpp1/cpo1/bus2"]
        assert (resource.cpo, resource.product_id) == (jid("cpo1"), PRODUCT)
        assert resource.charger_ids == ("c1", "c3")
        assert (resource.max_charge_kw, resource.max_discharge_kw) == (22.0, 14.8)
        assert resource.energy_kwh == 100.0

    run_swarm(main, Stage())


class UnwillingFmo(PlainFmo):
    @answers(x.ResourceRegistration)
    async def on_registration(self, resource: x.ResourceRegistration, incoming: Incoming) -> Reply:
        return refusal("unknown-product", "there is no such product")


def test_a_resource_that_the_fmo_refuses_is_noticed_and_nothing_is_bid() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(1))
        fmo = await stage.start(UnwillingFmo, "fmo")
        await start_vpp(stage, registers_at=3)
        await stage.until(5)
        assert stage.noticed("is not in the register") == 1
        tender = await fmo.call_for_proposals(call(), to=[jid("vpp1")], reply_by=at(9))
        assert tender.proposals == ()
        assert tender.refusals[0].content.code == "not-registered"

    run_swarm(main, Stage())


def test_a_cpo_of_another_vpp_is_not_registered() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(1), vpp="vpp2")
        market = await Market.open(stage)
        await stage.until(5)
        assert market.fmo.registered == []

    run_swarm(main, Stage())


# ---- bids ----------------------------------------------------------------------------------------------------------


def test_a_bid_is_one_that_the_vehicles_really_keep() -> None:
    """D5.1 3.1.1: the bid rests on consumption, "EV's battery state of charge (SoC), projected usage"; here the largest
    bid of a fleet with tight departures is activated and driven, quarter by quarter."""

    async def main(stage: Stage) -> None:
        fleet = [Car(f"c{n}", soc=25.0 + 5 * n, wanted=75.0, leaves=200 + 40 * n) for n in range(1, 6)]
        site = await Site.open(stage, fleet)
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=500.0))
        assert bid.power_kw > 25.0
        assert bid.baseline_kw[0] > 50.0
        await stage.until(40)
        answer = await market.order(signal_for(bid))
        assert isinstance(answer, Agreed)
        assert answer.content.available_power_kw == pytest.approx(bid.power_kw, abs=0.05)  # type: ignore[attr-defined]
        await stage.until(121)
        for k, nominated in enumerate(bid.baseline_kw):
            assert site.metered_kw(60 + 15 * k, 75 + 15 * k) <= nominated - bid.power_kw + 0.1
        await stage.until(440)
        assert len(site.left_with) == 5
        assert all(soc >= 75.0 - 0.1 for soc in site.left_with.values()), site.left_with

    run_swarm(main, Stage())


def test_a_bid_names_its_terms_and_offers_no_more_than_is_needed() -> None:
    """Table 1, 1.1.1: "ID of the Bid, Timestamp, Bid Value (EUR/kW), Bid Power (kW), and Bid Location"; the prose adds
    start and end."""

    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(4))
        market = await Market.open(stage)
        await stage.until(30)
        bid, _ = await market.bid(call(power_needed_kw=7.0))
        assert bid.power_kw == 7.0
        assert (bid.timestamp, bid.location, bid.start, bid.end) == (at(30), POINT, at(60), at(120))
        assert bid.market_id == "m1"
        assert len(bid.baseline_kw) == 4
        assert bid.min_power_kw == 1.0
        assert Decimal("0.02") < bid.price_eur_per_kw < 1

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"max_price_eur_per_kw": Decimal("0.0001")}, "above-maximum-price"),
        ({"power_needed_kw": 0.5}, "below-minimum"),
        ({"start": at(60 + 24 * 60), "end": at(120 + 24 * 60)}, "too-late"),
    ],
)
def test_where_nothing_can_be_offered_the_vpp_refuses_and_says_why(changed: Any, code: str) -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(2))
        market = await Market.open(stage)
        await stage.until(30)
        content = call().model_copy(update=changed)
        tender = await market.tender(content)
        assert tender.proposals == ()
        assert tender.refusals[0].content.code == code

    run_swarm(main, Stage())


def test_what_is_sold_once_is_not_sold_again() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(2, wanted=60.0, minimum=30.0))
        market = await Market.open(stage)
        await stage.until(30)
        alone, _ = await market.bid(call("m0", power_needed_kw=500.0))
        # the bid above still stands: it is neither awarded nor rejected
        tender = await market.tender(call("m1", power_needed_kw=500.0))
        offered = sum(p.content.power_kw for p in tender.proposals)
        assert offered < 0.3 * alone.power_kw
        assert site.orders() == 0

    run_swarm(main, Stage())


def test_a_rejected_bid_frees_its_vehicles() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(2))
        market = await Market.open(stage)
        await stage.until(30)
        first, tender = await market.bid(call("m0", power_needed_kw=500.0))
        nothing = result(first, 0.0, reason="not selected")
        await tender.award({}, done_by=stage.clock.now(), reject={jid("vpp1"): nothing})
        await stage.settle()
        second, _ = await market.bid(call("m1", power_needed_kw=500.0))
        assert second.power_kw == pytest.approx(first.power_kw, abs=0.3)
        assert second.bid_id != first.bid_id

    run_swarm(main, Stage())


def test_two_services_sold_for_the_same_hour_are_both_kept() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(4))
        market = await Market.open(stage)
        await stage.until(20)
        bid = await market.sell(call(power_needed_kw=12.0))
        await stage.until(37)
        first = await market.order(signal_for(bid))
        assert isinstance(first, Agreed)
        await stage.until(48)
        opening = pool(power_needed_kw=8.0)
        extra = await market.sell_pool(opening)
        assert extra.baseline_kw[0] == pytest.approx(bid.baseline_kw[0] - bid.power_kw, abs=0.2)
        second = await market.order(pool_activation(extra, opening))
        assert isinstance(second, Agreed)
        await stage.until(121)
        assert site.metered_kw(60, 75) <= bid.baseline_kw[0] - 12.0 - 8.0 + 0.2
        assert site.metered_kw(75, 120) <= 44.0 - 12.0 + 0.2

    run_swarm(main, Stage())


def test_a_cpo_that_gives_no_data_is_left_out_of_the_bid() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(2))
        await stage.start(PlainCpo, "cpo2")  # silent
        market = await Market.open(stage)
        await stage.until(30)
        bid, _ = await market.bid(call(power_needed_kw=500.0))
        assert max(bid.baseline_kw) <= 22.1
        assert stage.clock.now() < at(33)  # in time for the FMO
        assert stage.noticed("cpo2@localhost gives no data") >= 1

    run_swarm(main, Stage())


def test_nobody_gets_a_bid_from_a_vpp_whose_award_names_a_bid_that_it_never_made() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(2))
        market = await Market.open(stage)
        await stage.until(30)
        bid, tender = await market.bid(call())
        forged = result(bid, bid_id="somebody-elses")
        outcome = await tender.award({jid("vpp1"): forged}, done_by=stage.clock.now() + MINUTE)
        assert not isinstance(outcome[jid("vpp1")], Informed)
        assert isinstance(await market.order(signal_for(bid)), Refused)
        assert isinstance(await market.order(signal_for(bid, bid_id="somebody-elses")), Refused)
        assert site.orders() == 0

    run_swarm(main, Stage())


# ---- activation ----------------------------------------------------------------------------------------------------


def test_an_activation_of_a_contract_reaches_the_chargers_and_the_answer_says_what_is_available() -> None:
    """D5.1 3.6.2: 6.2.1 > 6.2.2 > 6.2.3, back by 6.2.4 and 6.2.5."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(4))
        market = await Market.open(stage)
        await stage.until(48)
        opening = pool(power_needed_kw=15.0)
        bid = await market.sell_pool(opening)
        answer = await market.order(pool_activation(bid, opening))
        assert isinstance(answer, Agreed)
        assert isinstance(answer.content, x.VppActivationResponse)
        assert (answer.content.accepted, answer.content.available_power_kw) == (True, 15.0)
        (order,) = stage.said(x.CpoActivation)
        assert (order.power_kw, order.start, order.end) == (pytest.approx(15.0), at(60), at(75))
        assert order.ceiling_kw == pytest.approx((bid.baseline_kw[0] - 15.0,), abs=0.01)
        await stage.until(60)
        assert site.power_kw == pytest.approx(bid.baseline_kw[0] - 15.0, abs=0.05)
        said = [m.exchange for _, m in stage.recorder.messages if (m.exchange or "").startswith("6.2")]
        assert [exchange for k, exchange in enumerate(said) if exchange not in said[:k]] == [
            "6.2.1",
            "6.2.2",
            "6.2.3",
            "6.2.4",
            "6.2.5",
        ]
        await stage.until(80)
        assert isinstance(await answer.result(), Informed)

    run_swarm(main, Stage())


def test_a_vpp_shares_an_activation_over_its_cpos() -> None:
    async def main(stage: Stage) -> None:
        one = await Site.open(stage, cars(3))
        two = await Site.open(stage, [Car("d1", leaves=480)], name="cpo2")
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=20.0))
        await stage.until(40)
        assert isinstance(await market.order(signal_for(bid)), Agreed)
        orders = stage.said(x.ActivationSignal, "vpp1")
        assert sum(order.power_kw for order in orders) == pytest.approx(20.0, abs=0.01)
        assert orders[0].power_kw == pytest.approx(3 * orders[1].power_kw, rel=0.05)
        await stage.until(121)
        assert one.metered_kw(60, 75) + two.metered_kw(60, 75) <= bid.baseline_kw[0] - 20.0 + 0.1

    run_swarm(main, Stage())


@pytest.mark.parametrize("kind", ["market", "pool"])
def test_when_every_driver_declines_the_vpp_refuses_the_activation(kind: str) -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        for driver in site.drivers.values():
            driver.decides = lambda offer: "not today"
        market = await Market.open(stage)
        await stage.until(40)
        signal: x.Content
        if kind == "market":
            signal = signal_for(await market.sell(call()))
        else:
            opening = pool(timestamp=at(40))
            signal = pool_activation(await market.sell_pool(opening), opening)
        answer = await market.order(signal)
        assert isinstance(answer, Refused)
        assert answer.content.available_power_kw == 0.0  # type: ignore[attr-defined]
        if kind == "pool":
            assert answer.content.accepted is False  # type: ignore[attr-defined]
        await stage.until(130)
        assert site.orders() == 0
        assert market.dso.volumes == []

    run_swarm(main, Stage())


def test_when_some_drivers_decline_less_is_confirmed() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(2, minimum=30.0))
        market = await Market.open(stage)
        await stage.until(40)
        bid = await market.sell(call(power_needed_kw=20.0, end=75))
        assert bid.power_kw == 20.0
        site.drivers["c1"].decides = lambda offer: "not today"
        answer = await market.order(signal_for(bid))
        assert isinstance(answer, Agreed)
        assert 10.0 < answer.content.available_power_kw < 20.0  # type: ignore[attr-defined]
        assert "of 20.0 kW" in answer.reason
        await stage.until(76)
        kept = bid.baseline_kw[0] - site.metered_kw(60, 75)
        assert kept == pytest.approx(answer.content.available_power_kw, abs=0.15)  # type: ignore[attr-defined]

    run_swarm(main, Stage())


def data_of(names: Sequence[str], kw: float = 11.0) -> Any:
    """1.2.2 of a CPO whose cars charge for the next hours."""

    def report(request: x.DataRequest) -> x.DataMeasurements:
        minutes = (request.timestamp - at(0)) / timedelta(minutes=1)
        status = [
            x.ChargerStatus(
                charger_id=name,
                location="bus1",
                ev_owner=jid(f"ev-{name}"),
                connected=True,
                state=x.ChargerState.CHARGING,
                soc_percent=40.0,
                capacity_kwh=50.0,
                energy_required_kwh=25.0,
                minimum_soc_percent=20.0,
                departure=at(600),
                power_kw=kw,
                voltage_v=230.0,
                frequency_hz=50.0,
                max_charge_kw=kw,
                max_discharge_kw=7.4,
                meter_kwh=kw * minutes / 60,
            )
            for name in names
        ]
        return x.DataMeasurements(
            request_id=request.request_id,
            timestamp=request.timestamp,
            production_kw=0.0,
            power_kw=kw * len(names),
            chargers=tuple(status),
            plan_start=at(minutes - minutes % 15),
            planned_kw=(kw * len(names),) * 10,
        )

    return report


def test_a_cpo_that_does_not_answer_an_order_costs_its_part_only() -> None:
    async def main(stage: Stage) -> None:
        willing = await stage.start(PlainCpo, "cpo1", reports=data_of(["c1"]))
        await stage.start(PlainCpo, "cpo2", reports=data_of(["d1"]), available=lambda order: None)
        market = await Market.open(stage, chargers=["c1", "d1"])
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=10.0))
        answer = await market.order(signal_for(bid))
        assert isinstance(answer, Agreed)
        assert answer.content.available_power_kw == pytest.approx(5.0, abs=0.06)  # type: ignore[attr-defined]
        assert stage.clock.now() <= at(36)
        assert stage.noticed("cpo2@localhost does not answer to activation") == 1
        assert len(willing.orders) == 1

    run_swarm(main, Stage())


def test_a_refused_activation_leaves_no_cpo_at_work() -> None:
    """What the CPOs keep is next to nothing: the VPP refuses, and calls off the CPO that had agreed to a crumb."""

    async def main(stage: Stage) -> None:
        crumb = await stage.start(PlainCpo, "cpo1", reports=data_of(["c1", "c2"]), available=lambda order: 0.1)
        market = await Market.open(stage, chargers=["c1", "c2"])
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=20.0))
        answer = await market.order(signal_for(bid))
        assert isinstance(answer, Refused)
        await stage.until(40)
        assert crumb.cancelled == [f"activation-{bid.bid_id}"]

    run_swarm(main, Stage())


def test_a_dso_that_no_longer_waits_for_the_answer_gets_no_service() -> None:
    """The confirmation comes after the DSO's reply-by: nothing was agreed, so nobody may be held to it."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(2))
        for driver in site.drivers.values():
            driver.decides = None  # think for two minutes each round
        site.drivers["c2"].decides = lambda offer: None
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=12.0))
        answer = await market.order(signal_for(bid), minutes=1.0)
        assert not isinstance(answer, Agreed)
        await stage.until(130)
        assert site.orders() == 0
        assert market.dso.volumes == []

    run_swarm(main, Stage())


def wrong_signals(bid: x.Bid) -> dict[str, x.ActivationSignal]:
    return {
        "the same bid under another id": signal_for(bid, activation_id="activation-2"),
        "the same id again": signal_for(bid, power_kw=bid.power_kw - 1.0),
    }


@pytest.mark.parametrize("which", ["the same bid under another id", "the same id again"])
def test_a_bid_is_activated_once(which: str) -> None:
    """D5.1 3.1.2: "for each of the selected bids, activation will be initiated by the DSO": once."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=12.0))
        assert isinstance(await market.order(signal_for(bid)), Agreed)
        assert isinstance(await market.order(wrong_signals(bid)[which]), Refused)
        assert len(stage.said(x.ActivationSignal, "vpp1")) == 1
        await stage.until(121)
        assert site.metered_kw(60, 120) == pytest.approx(33.0 - 12.0, abs=0.1)

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "changed",
    [
        {"start": at(75), "end": at(120)},
        {"end": at(135)},
        {"power_kw": 12.2},
        {"bid_id": "vpp2-bid-1"},
        {"congestion_point": "t2"},
    ],
    ids=["later start", "later end", "more power", "another's bid", "another place"],
)
def test_an_activation_on_other_terms_than_awarded_is_refused_and_moves_nothing(changed: Any) -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=12.0))
        assert isinstance(await market.order(signal_for(bid, **changed)), Refused)
        assert stage.said(x.ActivationSignal, "vpp1") == []
        assert isinstance(await market.order(signal_for(bid)), Agreed)  # the right one is still possible
        await stage.until(121)
        assert site.metered_kw(60, 120) == pytest.approx(33.0 - 12.0, abs=0.1)

    run_swarm(main, Stage())


def test_a_bid_that_was_not_awarded_cannot_be_activated() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(30)
        bid, _ = await market.bid(call(power_needed_kw=12.0))
        assert isinstance(await market.order(signal_for(bid)), Refused)
        await stage.until(121)
        assert site.orders() == 0

    run_swarm(main, Stage())


def test_a_contract_of_one_dso_cannot_be_called_by_another() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        other = await stage.start(PlainDso, "dso2")
        await stage.until(48)
        opening = pool()
        bid = await market.sell_pool(opening)
        assert isinstance(await other.order(pool_activation(bid, opening), "vpp1"), Refused)
        await stage.until(80)
        assert site.orders() == 0

    run_swarm(main, Stage())


def test_an_activation_whose_start_has_passed_is_refused() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=12.0))
        await stage.until(61)
        assert isinstance(await market.order(signal_for(bid)), Refused)
        await stage.until(100)
        assert site.orders() == 0

    run_swarm(main, Stage())


def test_a_part_of_the_award_may_be_activated() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=12.0), kw=9.0)
        assert isinstance(await market.order(signal_for(bid)), Refused)  # 12 kW were bid, 9 cleared
        assert isinstance(await market.order(signal_for(bid, power_kw=6.0)), Agreed)
        await stage.until(121)
        assert site.metered_kw(60, 120) == pytest.approx(33.0 - 6.0, abs=0.1)

    run_swarm(main, Stage())


@pytest.mark.parametrize("when", [50, 80])
def test_cancelling_travels_to_the_chargers(when: float) -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(2, leaves=300))
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=15.0))
        answer = await market.order(signal_for(bid))
        assert isinstance(answer, Agreed)
        await stage.until(when)
        before = site.power_kw
        cancelled = await answer.cancel(x.Cancellation(reference="x", reason="no longer needed"), at(when + 3))
        assert isinstance(cancelled, Informed)
        script = [line for line in stage.recorder.script() if line.endswith("cancel")]
        assert script == ["dso > vpp1: cancel", "vpp1 > cpo1: cancel"]
        if when > 60:
            assert before < 7.1
        assert site.power_kw > 8.0
        await stage.until(301)
        assert all(soc >= 80.0 - 0.1 for soc in site.left_with.values())

    run_swarm(main, Stage())


def test_cancelling_while_the_drivers_are_still_asked_reaches_the_cpo_that_agrees_later() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(2))
        site.drivers["c1"].decides = None
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=6.0))
        order = market.dso.spawn(market.order(signal_for(bid)))
        await stage.until(30.5)
        await cancel(stage, "dso", "1.2.3")
        await stage.until(130)
        assert order.done()
        assert site.orders() == 0
        assert market.dso.volumes == []

    run_swarm(main, Stage())


# ---- measurements, volume and money --------------------------------------------------------------------------------


async def delivered(stage: Stage, market: Market, **sale: Any) -> x.Bid:
    """A service of an hour from 07:00 that was activated; nothing is over yet."""
    await stage.until(30)
    bid = await market.sell(call(power_needed_kw=12.0, **sale), market_price_eur_per_kw=Decimal("0.5"))
    assert isinstance(await market.order(signal_for(bid)), Agreed)
    return bid


def test_measurements_are_what_the_registers_counted_in_each_quarter() -> None:
    """D5.1 3.1.2: "the FMO collects the measurements from the DSO and the VPP" (1.2.6)."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        bid = await delivered(stage, market)
        await stage.until(130)
        query = x.MeasurementsQuery(activation_id=f"activation-{bid.bid_id}", start=bid.start, end=bid.end)
        series = informed(await market.fmo.query_ref(query, to=jid("vpp1"), reply_by=at(133)))
        assert isinstance(series, x.MeasurementsCollection)
        metered = [site.metered_kw(m, m + 15) for m in range(60, 120, 15)]
        assert series.power_kw == pytest.approx(metered, abs=0.002)
        assert series.baseline_kw == bid.baseline_kw
        assert (series.start, series.end, series.period_minutes) == (at(60), at(120), 15)
        unknown = x.MeasurementsQuery(activation_id="activation-x", start=bid.start, end=bid.end)
        assert isinstance(await market.fmo.query_ref(unknown, to=jid("vpp1"), reply_by=at(133)), Refused)

    run_swarm(main, Stage())


def test_the_delivered_volume_is_the_nomination_less_what_was_measured() -> None:
    """D5.1 3.1.2: "the delivered volume is calculated by the VPP, and the information is sent to the DSO" (1.x.5)."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        bid = await delivered(stage, market)
        await stage.until(126)
        (volume,) = market.dso.volumes
        metered = [site.metered_kw(m, m + 15) for m in range(60, 120, 15)]
        assert volume.baseline_kw == bid.baseline_kw
        assert volume.measured_kw == pytest.approx(metered, abs=0.002)
        expected = [min(12.0, b - m) for b, m in zip(bid.baseline_kw, metered, strict=True)]
        assert volume.delivered_kw == pytest.approx(expected, abs=0.002)
        assert volume.delivered_energy_kwh == pytest.approx(sum(expected) / 4, abs=0.01)

    run_swarm(main, Stage())


def test_with_a_measured_baseline_the_claim_rests_on_the_hour_before() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [*cars(2, arrives=0), Car("c3", arrives=31, leaves=480)])
        market = await Market.open(stage, baseline=x.BaselineMethod.METER_BEFORE_METER_AFTER)
        await stage.until(60)
        bid = await market.sell(call(start=90, end=120, power_needed_kw=12.0))
        assert isinstance(await market.order(signal_for(bid)), Agreed)
        await stage.until(126)
        (volume,) = market.dso.volumes
        before = site.metered_kw(30, 90)
        assert 22.0 < before < 33.0  # the third car came within that hour
        assert volume.baseline_kw == pytest.approx((before, before), abs=0.01)

    run_swarm(main, Stage())


class DisputingDso(PlainDso):
    @answers(x.DeliveredVolume)
    async def on_volume(self, volume: x.DeliveredVolume, incoming: Incoming) -> Reply:
        return RejectProposal(x.VolumeAnswer(activation_id=volume.activation_id, reason="my meters say less"))


def test_a_disputed_volume_is_noticed() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        fmo, dso = await stage.start(PlainFmo, "fmo"), await stage.start(DisputingDso, "dso")
        market = Market(stage, await start_vpp(stage, registers_at=3), fmo, dso)
        await delivered(stage, market)
        await stage.until(130)
        assert stage.noticed("is disputed") == 1
        assert stage.noticed("my meters say less") == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize("outside", [True, False])
def test_what_a_dso_outside_owes_for_a_pool_is_booked_by_the_vpp_whose_volume_it_accepts(outside: bool) -> None:
    """A DSO of the swarm books it itself."""

    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(4))
        market = await Market.open(stage)
        market.vpp.swarm = replace(market.vpp.swarm, outside=frozenset({jid("dso")} if outside else ()))
        await stage.until(48)
        opening = pool(power_needed_kw=15.0)
        bid = await market.sell_pool(opening)
        assert isinstance(await market.order(pool_activation(bid, opening)), Agreed)
        await stage.until(82)
        (volume,) = market.dso.volumes
        worth = cents(Decimal(repr(volume.delivered_kw[0])) * bid.price_eur_per_kw)
        assert worth > 0
        assert stage.ledger.balances() == ({"dso": -worth, "vpp1": worth} if outside else {})

    run_swarm(main, Stage())


def bill_for(bid: x.Bid, remuneration: str = "4.00", penalty: str = "0.00", **changed: Any) -> x.Bill:
    values: dict[str, Any] = {
        "bill_id": f"bill-{bid.bid_id}",
        "activation_id": f"activation-{bid.bid_id}",
        "payer": jid("dso"),
        "payee": jid("vpp1"),
        "volume_kwh": 8.0,
        "price_eur_per_kw": Decimal("0.5"),
        "remuneration_eur": Decimal(remuneration),
        "penalty_eur": Decimal(penalty),
        "amount_eur": Decimal(remuneration) - Decimal(penalty),
        "due": at(60 * 24 * 14),
    }
    return x.Bill(**values | changed)


def test_a_penalty_is_paid_once() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        market = await Market.open(stage)
        bid = await delivered(stage, market)
        await stage.until(140)
        bill = bill_for(bid, "1.00", "6.00")
        paid = informed(await market.fmo.order(bill, "vpp1"))
        assert isinstance(paid, x.Payment)
        assert paid.amount_eur == Decimal("-5.00")
        await market.fmo.order(bill, "vpp1")
        assert (stage.balance("vpp1"), stage.balance("dso")) == (Decimal("-5.00"), Decimal("5.00"))
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


def test_a_penalty_beyond_what_the_whole_power_would_owe_is_refused() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        market = await Market.open(stage, penalty_eur_per_kw=Decimal("0.5"))
        bid = await delivered(stage, market)
        await stage.until(140)
        answer = await market.fmo.order(bill_for(bid, "1.00", "24.01"), "vpp1")
        assert isinstance(answer, Refused)
        assert answer.content.code == "wrong-penalty"  # type: ignore[attr-defined]
        assert stage.ledger.audit().transactions == 0
        informed(await market.fmo.order(bill_for(bid, "0.00", "24.00", bill_id="right"), "vpp1"))  # 12 kW, 4 quarters
        assert stage.balance("vpp1") == Decimal("-24.00")

    run_swarm(main, Stage())


def test_a_bid_that_was_never_activated_shows_no_measurements_and_pays_its_penalty() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        market = await Market.open(stage)
        await stage.until(30)
        bid = await market.sell(call(power_needed_kw=12.0), market_price_eur_per_kw=Decimal("0.5"))
        await stage.until(140)
        query = x.MeasurementsQuery(activation_id=f"activation-{bid.bid_id}", start=bid.start, end=bid.end)
        answer = await market.fmo.query_ref(query, to=jid("vpp1"), reply_by=at(143))
        assert isinstance(answer, Refused)
        assert answer.content.code == "no-measurements"  # type: ignore[attr-defined]
        informed(await market.fmo.order(bill_for(bid, "0.00", "24.00"), "vpp1"))
        assert stage.balance("vpp1") == Decimal("-24.00")

    run_swarm(main, Stage())


def test_a_charger_that_is_silent_for_ten_minutes_does_not_cost_the_quarter() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(3))
        market = await Market.open(stage)
        bid = await delivered(stage, market)
        charger = site.charger(site.cars[0])
        await stage.until(70)
        charger.fault = ChargerSilentError("c1", "127.0.0.1:1", "does not answer", "look at it")
        await stage.until(80)
        charger.fault = None
        await stage.until(126)
        (volume,) = market.dso.volumes
        metered = [site.metered_kw(m, m + 15) for m in range(60, 120, 15)]
        assert volume.measured_kw == pytest.approx(metered, abs=0.5)
        assert volume.delivered_kw[0] > 11.0  # in the second the charger really did as it liked
        assert sum(volume.delivered_kw) == pytest.approx(sum(min(12.0, 33.0 - kw) for kw in metered), abs=0.5)
        assert volume.baseline_kw == bid.baseline_kw

    run_swarm(main, Stage())


def test_a_pool_bid_sells_nothing_that_a_failing_contract_has_sold() -> None:
    """Every driver declines the market's activation: its kW are owed all the same, and only more than these is new."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, cars(4))
        market = await Market.open(stage)
        await stage.until(20)
        bid = await market.sell(call(power_needed_kw=30.0))
        for driver in site.drivers.values():
            driver.decides = lambda offer: "not today"
        await stage.until(37)
        assert isinstance(await market.order(signal_for(bid)), Refused)
        for driver in site.drivers.values():
            driver.decides = lambda offer: None
        await stage.until(48)
        extra = await market.sell_pool(pool(power_needed_kw=500.0))
        assert extra.baseline_kw[0] == pytest.approx(bid.baseline_kw[0] - 30.0, abs=0.01)
        assert extra.power_kw < 44.0 + 4 * 7.4 - 30.0

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "changed",
    [
        {"activation_id": "activation-unknown"},
        {"payee": jid("vpp2")},
        {"penalty": "7.00", "price_eur_per_kw": Decimal("0.7")},
    ],
    ids=["unknown activation", "somebody else's", "another price"],
)
def test_a_bill_that_is_not_the_vpps_is_refused_and_moves_no_money(changed: Any) -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        market = await Market.open(stage)
        bid = await delivered(stage, market)
        await stage.until(140)
        penalty = changed.pop("penalty", "6.00") if "penalty" in changed else "6.00"
        assert isinstance(await market.fmo.order(bill_for(bid, "1.00", penalty, **changed), "vpp1"), Refused)
        assert stage.ledger.audit().transactions == 0

    run_swarm(main, Stage())


def test_another_bill_under_a_known_id_is_refused_and_ends_nothing() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        market = await Market.open(stage)
        bid = await delivered(stage, market)
        await stage.until(140)
        informed(await market.fmo.order(bill_for(bid, "1.00", "6.00"), "vpp1"))
        assert isinstance(await market.fmo.order(bill_for(bid, "1.00", "9.00"), "vpp1"), Refused)
        assert stage.balance("vpp1") == Decimal("-5.00")

    run_swarm(main, Stage())


def test_the_owners_part_goes_to_the_cpos_in_proportion() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(3))
        await Site.open(stage, [Car("d1", leaves=480)], name="cpo2")
        market = await Market.open(stage, margin=0.25)
        bid = await delivered(stage, market)
        await stage.until(140)
        stage.ledger.post(
            "bill-1", stage.clock.now(), f"activation-{bid.bid_id}", {"dso": Decimal(-8), "vpp1": Decimal(8)}
        )
        await stage.until(162)
        to_cpos = {
            line.account: line.amount_eur
            for account in ("cpo1", "cpo2")
            for line in stage.ledger.statement(account)
            if line.counter_account == "vpp1"
        }
        assert sum(to_cpos.values()) == Decimal("6.00")  # three quarters of 8
        assert to_cpos["cpo1"] == pytest.approx(Decimal("4.50"), abs=Decimal("0.1"))
        assert stage.balance("vpp1") == Decimal("2.00")
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


def test_a_cpo_may_not_activate_a_vpp() -> None:
    """The catalogue knows 1.2.3 from the DSO only on this hop."""

    async def main(stage: Stage) -> None:
        await Site.open(stage, cars(1))
        other = await stage.start(PlainCpo, "cpo9", vpp="none")
        await Market.open(stage)
        await stage.until(5)
        answer = await other.request(cpo_signal(), to=jid("vpp1"), reply_by=at(8))
        assert isinstance(answer, Refused)
        assert answer.content.code == "not-authorised"  # type: ignore[attr-defined]

    run_swarm(main, Stage())
