"""The DSO: requirements, prequalification, needs, pools, activation, volume and payment (D5.1, 3.1 and 3.6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import time
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.pricing import OperatorCosts
from agents.dso import Course, Dso
from agents.grid_view import Direction, Limits
from agents.grid_watch import GridWatch
from agents.tso import Tso
from behaviours.answering import Agree, Incoming, Inform, Propose, Refuse, Reply, answers, failure, refusal
from behaviours.outcomes import Accepted, Informed, Refused, Rejected
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.agents.stage import (
    MINUTE,
    POINT,
    PRODUCT,
    QUARTER,
    Car,
    LinearGrid,
    Requester,
    Site,
    Stage,
    StageMeters,
    Typical,
    at,
    informed,
    product,
    start_meters,
)
from tests.swarm import jid, run_swarm

DELIVERY = (time(16), time(22))


class Operator(Requester):
    """An FMO that passes needs on to whom the test says."""

    role = Role.FMO

    def __init__(self, *arguments: Any, award: Callable[[x.FlexibilityNeed], Any] | None = None) -> None:
        super().__init__(*arguments)
        self.award = award
        self.products: list[x.ProductRequirements] = []
        self.needs: list[x.FlexibilityNeed] = []
        self.waits = 0.0

    @answers(x.ProductRequirements)
    async def on_product(self, content: x.ProductRequirements, incoming: Incoming) -> Reply:
        self.products.append(content)
        return Inform(x.Done(reference=content.product_id))

    @answers(x.FlexibilityNeed)
    async def on_need(self, need: x.FlexibilityNeed, incoming: Incoming) -> Reply:
        self.needs.append(need)
        if self.award is None:
            return refusal("unknown-product", "there is no such product")
        await incoming.agree(x.Done(reference=need.need_id))
        await self.clock.sleep_until(self.now() + self.waits * MINUTE)
        return Inform(self.award(need))


class Seller(Requester):
    """A VPP: bids in pools, confirms what it is told to, and delivers at the end."""

    role = Role.VPP

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.price, self.kw, self.baseline = "0.1000", 10.0, 30.0
        self.bids = True
        self.thinks = 0.0
        self.stamp: Any = None
        self.confirms: str | float = "all"
        self.result = "done"
        self.stands = True
        self.pools: list[x.PoolOpening] = []
        self.won: list[x.PoolAward] = []
        self.lost: list[x.PoolAward] = []
        self.orders: list[Any] = []

    @answers(x.PoolOpening)
    async def on_pool(self, pool: x.PoolOpening, incoming: Incoming) -> Reply:
        self.pools.append(pool)
        if not self.bids:
            await asyncio.Event().wait()
        await self.clock.sleep_until(self.now() + self.thinks * MINUTE)
        return Propose(
            x.PoolBid(
                pool_id=pool.pool_id,
                bid_id=f"{self.name}-{pool.pool_id}",
                timestamp=self.stamp or self.now(),
                price_eur_per_kw=Decimal(self.price),
                power_kw=self.kw,
                baseline_kw=(self.baseline,),
            )
        )

    @answers(x.PoolAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, award: x.PoolAward, incoming: Incoming) -> Reply:
        self.won.append(award)
        return Inform(x.Done(reference=award.bid_id)) if self.stands else failure("no-longer", "they have left")

    @answers(x.PoolAward, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, award: x.PoolAward, incoming: Incoming) -> None:
        self.lost.append(award)

    @answers(x.ActivationSignal)
    async def on_signal(self, signal: x.ActivationSignal, incoming: Incoming) -> Reply:
        return await self._serve(signal, incoming, x.ActivationConfirmation)

    @answers(x.PoolActivation)
    async def on_activation(self, signal: x.PoolActivation, incoming: Incoming) -> Reply:
        return await self._serve(signal, incoming, x.VppActivationResponse)

    async def _serve(self, signal: Any, incoming: Incoming, kind: Any) -> Reply:
        self.orders.append(signal)
        if self.confirms == "silent":
            await asyncio.Event().wait()
        available = signal.power_kw if self.confirms == "all" else 0.0 if self.confirms == "none" else self.confirms
        values = {"activation_id": signal.activation_id, "available_power_kw": float(available)}
        if kind is x.VppActivationResponse:
            values["accepted"] = available > 0
        if not available:
            return Refuse(kind(**values, reason="every driver declines"))
        incoming.send(Agree(kind(**values)))
        if self.result == "fails early":
            return failure("broken", "the chargers do not answer")
        await self.clock.sleep_until(signal.end)
        return Inform(x.Done(reference=signal.activation_id))

    async def claim(self, activation_id: str, measured: tuple[float, ...], **changed: Any) -> Any:
        baseline = changed.pop("baseline_kw", (self.baseline,) * len(measured))
        delivered = tuple(max(0.0, min(self.kw, b - m)) for b, m in zip(baseline, measured, strict=True))
        delivered = changed.pop("delivered_kw", delivered)
        volume = x.DeliveredVolume(
            activation_id=activation_id,
            baseline_kw=baseline,
            measured_kw=measured,
            delivered_kw=delivered,
            delivered_energy_kwh=sum(delivered) / 4,
        )
        return await self.propose(volume, to=jid("dso"), reply_by=self.now() + 5 * MINUTE)


class Network:
    """A real DSO over a grid of one transformer, with real meters at chargers that charge, and scripted VPPs."""

    def __init__(self, stage: Stage, dso: Dso, grid: LinearGrid, meters: StageMeters) -> None:
        self.stage, self.dso, self.grid, self.meters = stage, dso, grid, meters
        self.fmo: Operator
        self.vpps: dict[str, Seller] = {}

    @classmethod
    async def open(
        cls,
        stage: Stage,
        *,
        rating_kw: float = 1000.0,
        typical: Callable[[Any], Mapping[str, float]] = lambda when: {},
        day: bool = False,
        until: float = 600,
        meters: bool = True,
        vpps: tuple[str, ...] = ("vpp1",),
        award: Callable[[x.FlexibilityNeed], Any] | None = None,
        **changed: Any,
    ) -> Network:
        grid = LinearGrid(rating_kw=rating_kw)
        watch = GridWatch(
            grid,
            Limits(),
            OperatorCosts(),
            Typical(typical),
            ambient_c=20.0,
            margin=0.0,
            bad_day=0.9,
            granularity_kw=0.1,
        )
        world = None
        if meters:
            world = (await start_meters(stage)).world
        course = Course(at(10), at(30), at(40), at(90), at(180))
        dso = await stage.start(
            Dso,
            "dso",
            product=product(**changed),
            watch=watch,
            delivery=DELIVERY,
            courses=[course] if day else [],
            until=at(until),
            ledger=stage.ledger,
            volume_tolerance=0.02,
        )
        network = cls(stage, dso, grid, world)  # type: ignore[arg-type]
        network.fmo = await stage.start(Operator, "fmo", award=award)
        for name in vpps:
            network.vpps[name] = await stage.start(Seller, name)
        dso.spawn(dso.course(), "course")
        return network

    async def qualify(self, vpp: str = "vpp1", **changed: Any) -> Any:
        values: dict[str, Any] = {
            "resource_id": f"{vpp}/cpo/bus1",
            "product_id": PRODUCT,
            "vpp": jid(vpp),
            "cpo": jid("cpo1"),
            "location": "bus1",
            "charger_ids": ("c1", "c2", "c3"),
            "max_charge_kw": 33.0,
            "max_discharge_kw": 20.0,
            "energy_kwh": 150.0,
        }
        return await self.fmo.order(x.PrequalificationRequest(**values | changed), "dso")


async def chargers(stage: Stage) -> Site:
    """Three cars that charge with 11 kW each from the first minute on, for hours."""
    return await Site.open(
        stage, [Car(f"c{n}", arrives=0, soc=20.0, wanted=100.0, capacity_kwh=200.0) for n in (1, 2, 3)]
    )


# ---- prequalification ----------------------------------------------------------------------------------------------


def test_a_resource_that_the_grid_can_take_is_qualified_whole() -> None:
    async def main(stage: Stage) -> None:
        network = await Network.open(stage)
        answer = informed(await network.qualify())
        assert (answer.qualified_charge_kw, answer.qualified_discharge_kw) == (33.0, 20.0)
        assert answer.reasons == ()

    run_swarm(main, Stage())


def test_the_answer_says_how_much_breaks_no_limit_and_which_limit_binds() -> None:
    """D5.1 3.1.1: "The resources will be validated by the DSO through a prequalification protocol"."""

    async def main(stage: Stage) -> None:
        network = await Network.open(stage, rating_kw=25.0)
        network.grid.base_kw = lambda when: {"bus1": 5.0}
        answer = informed(await network.qualify())
        assert (answer.qualified_charge_kw, answer.qualified_discharge_kw) == (20.0, 20.0)
        assert answer.reasons == ("charging 33 kW: more would put t1 at 100.1 % (limit 100.0)",)

    run_swarm(main, Stage())


def test_discharging_that_is_promised_at_the_same_bus_counts_and_the_products_hours_are_asked_for() -> None:
    async def main(stage: Stage) -> None:
        network = await Network.open(stage, rating_kw=50.0, vpps=("vpp1", "vpp2"))
        informed(await network.qualify("vpp1", max_discharge_kw=40.0))
        answer = informed(await network.qualify("vpp2", charger_ids=("d1",), max_discharge_kw=20.0))
        assert answer.qualified_discharge_kw == 10.0
        asked = [what for kind, what in network.grid.asked if kind == "hosting"]
        assert asked[-1] == ("bus1", Direction.DISCHARGE, {"bus1": 40.0}, DELIVERY)
        assert asked[-2] == ("bus1", Direction.CHARGE, {}, DELIVERY)  # charging is the consumer's right
        elsewhere = await network.qualify("vpp2", resource_id="r3", charger_ids=("e1",), location="bus2")
        assert informed(elsewhere).qualified_discharge_kw == 20.0

    run_swarm(main, Stage())


def test_a_bus_that_is_not_in_the_grid_is_refused() -> None:
    async def main(stage: Stage) -> None:
        network = await Network.open(stage)
        answer = await network.qualify(location="bus9")
        assert isinstance(answer, Refused)
        assert (answer.content.code, answer.reason) == ("unknown-bus", "there is no bus bus9 in my grid")  # type: ignore[attr-defined]

    run_swarm(main, Stage())


def test_a_charger_that_another_vpp_has_registered_is_refused() -> None:
    async def main(stage: Stage) -> None:
        network = await Network.open(stage, vpps=("vpp1", "vpp2"))
        informed(await network.qualify("vpp1"))
        answer = await network.qualify("vpp2", charger_ids=("d1", "c2"))
        assert isinstance(answer, Refused)
        assert answer.content.code == "charger-taken"  # type: ignore[attr-defined]
        stolen = await network.qualify("vpp2", resource_id="vpp1/cpo/bus1", charger_ids=("d1",))
        assert isinstance(stolen, Refused)
        assert network.dso.book.chargers_of(jid("vpp2")) == []
        informed(await network.qualify("vpp1"))  # its own once more

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("names", "code"), [(("c1", "x9"), "unknown-charger"), (("c1", "c2"), "wrong-bus"), (("c1",), None)]
)
def test_only_chargers_that_the_dso_connected_at_that_bus_are_qualified(names: Any, code: str | None) -> None:
    async def main(stage: Stage) -> None:
        network = await Network.open(stage)
        network.dso.connections = {"c1": "bus1", "c2": "bus2"}
        answer = await network.qualify(charger_ids=names)
        if code is None:
            informed(answer)
        else:
            assert isinstance(answer, Refused)
            assert answer.content.code == code  # type: ignore[attr-defined]
            assert network.dso.book.resources == {}

    run_swarm(main, Stage())


# ---- the market ----------------------------------------------------------------------------------------------------


def congested(when: Any) -> Mapping[str, float]:
    """120 kW at the first bus from 08:00 to 09:00, on a transformer of 100."""
    return {"bus1": 120.0 if at(120) <= when < at(180) else 10.0}


def awards(kw: float, vpp: str = "vpp1", baseline: float = 33.0) -> Callable[[x.FlexibilityNeed], x.NeedResult]:
    def result(need: x.FlexibilityNeed) -> x.NeedResult:
        award = x.Award(
            bid_id=f"bid-{need.need_id}",
            vpp=jid(vpp),
            power_kw=kw,
            price_eur_per_kw=Decimal("0.1"),
            baseline_kw=(baseline,) * ((need.end - need.start) // QUARTER),
        )
        return x.NeedResult(need_id=need.need_id, awards=(award,), unserved_kw=max(0.0, need.power_kw - kw))

    return result


async def market(stage: Stage, **options: Any) -> Network:
    """A need of 20 kW from 08:00 to 09:00, of which the first VPP sold 10."""
    values: dict[str, Any] = {"rating_kw": 100.0, "typical": congested, "day": True, "award": awards(10.0)}
    network = await Network.open(stage, **values | options)
    informed(await network.qualify())
    return network


def test_the_product_and_then_the_need_go_to_the_fmo() -> None:
    """D5.1 3.1.1: "The DSO will define requirements"; 3.1.2: it "will identify the needed flexibility service to the
    FMO", at most for its own price."""

    async def main(stage: Stage) -> None:
        network = await market(stage, max_price_eur_per_kw=Decimal("0.2000"))
        await stage.until(11)
        assert [p.product_id for p in network.fmo.products] == [PRODUCT]
        assert network.fmo.needs == []
        await stage.until(31)
        (need,) = network.fmo.needs
        assert (need.start, need.end, need.gate_closure) == (at(120), at(180), at(40))
        assert need.power_kw == pytest.approx(20.0)
        assert need.max_price_eur_per_kw == Decimal("0.2000")  # the product's maximum is below what it is worth
        assert (need.service, need.congestion_point) == (x.ServiceType.CONGESTION_MANAGEMENT, POINT)

    run_swarm(main, Stage())


def test_without_a_resource_nothing_is_asked_for() -> None:
    async def main(stage: Stage) -> None:
        network = await Network.open(stage, rating_kw=100.0, typical=congested, day=True)
        await stage.until(60)
        assert network.fmo.needs == []
        assert stage.noticed("no resource is prequalified") == 1

    run_swarm(main, Stage())


def test_a_need_that_the_fmo_refuses_is_noticed() -> None:
    async def main(stage: Stage) -> None:
        network = await market(stage, award=None)
        await stage.until(200)
        assert stage.noticed("need dso-need-1 is not served") == 1
        assert network.vpps["vpp1"].orders == []

    run_swarm(main, Stage())


def test_the_needs_of_an_evening_are_called_together() -> None:
    """A market that answers only at gate closure must not make the next need miss it."""

    async def main(stage: Stage) -> None:
        def two(when: Any) -> Mapping[str, float]:
            busy = at(90) <= when < at(105) or at(150) <= when < at(165)
            return {"bus1": 120.0 if busy else 10.0}

        network = await market(stage, typical=two, until=20)
        network.fmo.waits = 9.0
        await stage.until(31)
        assert [need.start for need in network.fmo.needs] == [at(90), at(150)]
        await stage.until(200)
        assert sorted(order.start for order in network.vpps["vpp1"].orders) == [at(90), at(150)]

    run_swarm(main, Stage())


def test_a_need_that_the_product_is_not_for_is_left_to_the_pool_and_told_once() -> None:
    async def main(stage: Stage) -> None:
        network = await market(stage, until=20, service=x.ServiceType.VOLTAGE_CONTROL)
        await stage.until(60)
        assert network.fmo.needs == []
        assert stage.noticed("congestion-management is not what t1-congestion is for: left to the pool") == 1

    run_swarm(main, Stage())


def test_a_sold_bid_is_activated_with_the_products_notice_and_the_tso_hears_of_every_step() -> None:
    """D5.1 3.1.2: "activation will be initiated by the DSO"; it "informs the TSO about the activated flexibility
    resources"."""

    async def main(stage: Stage) -> None:
        network = await market(stage)
        tso = await stage.start(Tso, "tso")
        tso.spawn(tso.course(), "course")
        await stage.until(120 - 24)
        assert network.vpps["vpp1"].orders == []
        assert tso.free_for_balancing(jid("vpp1"), at(120), at(180))
        await stage.until(120 - 15)
        (signal,) = network.vpps["vpp1"].orders
        assert (signal.start, signal.end, signal.power_kw) == (at(120), at(180), 10.0)
        assert signal.activation_id == f"activation-{signal.bid_id}"
        assert not tso.free_for_balancing(jid("vpp1"), at(120), at(135))
        await stage.until(185)
        told = [
            (when, n.content["status"])
            for when, n in stage.recorder.messages
            if n.exchange == "1.x.4" and "status" in n.content
        ]
        assert told == [(at(97), "planned"), (at(120), "active"), (at(180), "ended")]
        assert tso.free_for_balancing(jid("vpp1"), at(120), at(135))

    run_swarm(main, Stage())


@pytest.mark.parametrize(("confirms", "why"), [("none", "every driver declines"), ("silent", "no answer")])
def test_an_activation_that_is_not_confirmed_is_noticed_and_the_tso_is_told_nothing(confirms: str, why: str) -> None:
    async def main(stage: Stage) -> None:
        network = await market(stage)
        network.vpps["vpp1"].confirms = confirms
        tso = await stage.start(Tso, "tso")
        tso.spawn(tso.course(), "course")
        await stage.until(200)
        assert stage.noticed(f"does not take place: {why}") == 1
        assert tso.activated == {}

    run_swarm(main, Stage())


def test_the_tso_hears_what_is_available_not_what_was_ordered() -> None:
    async def main(stage: Stage) -> None:
        network = await market(stage)
        network.vpps["vpp1"].confirms = 6.5
        tso = await stage.start(Tso, "tso")
        tso.spawn(tso.course(), "course")
        await stage.until(121)
        (news,) = tso.activated.values()
        assert (news.power_kw, news.status) == (6.5, x.ActivationStatus.ACTIVE)

    run_swarm(main, Stage())


def test_an_activation_that_fails_before_it_starts_is_never_reported_as_active() -> None:
    async def main(stage: Stage) -> None:
        network = await market(stage)
        network.vpps["vpp1"].result = "fails early"
        tso = await stage.start(Tso, "tso")
        tso.spawn(tso.course(), "course")
        await stage.until(110)
        assert tso.free_for_balancing(jid("vpp1"), at(120), at(180))
        await stage.until(185)
        told = [
            n.content["status"] for _, n in stage.recorder.messages if n.exchange == "1.x.4" and "status" in n.content
        ]
        assert told == ["planned", "cancelled"]
        assert stage.noticed("was not completed") == 1

    run_swarm(main, Stage())


# ---- the pool ------------------------------------------------------------------------------------------------------


async def pool(stage: Stage, **options: Any) -> Network:
    """33 kW are metered where 20 fit: a pool for 13 kW opens at each look ahead."""
    await chargers(stage)
    network = await Network.open(stage, **{"rating_kw": 20.0, "until": 50, "vpps": ("vpp1", "vpp2")} | options)
    for vpp in network.vpps:
        names = ("c3",) if vpp == "vpp2" else ("c1", "c2") if "vpp2" in network.vpps else ("c1", "c2", "c3")
        informed(await network.qualify(vpp, charger_ids=names, max_discharge_kw=10.0))
    return network


def test_a_congestion_of_the_next_quarter_opens_a_pool_for_every_vpp() -> None:
    """D5.1 3.6.1: "When the DSO detects congestions ... a pool for bids will be open"; "the DSO must determine the
    maximum price"; Table 9, 6.1.1."""

    async def main(stage: Stage) -> None:
        network = await pool(stage)
        await stage.until(17)
        assert network.vpps["vpp1"].pools == []
        await stage.until(19)
        for vpp in network.vpps.values():
            (opening,) = vpp.pools
            assert opening.power_needed_kw == pytest.approx(13.0, abs=0.11)
            assert (opening.start, opening.end, opening.timestamp) == (at(30), at(45), at(18))
            assert (opening.service, opening.congestion_point) == (x.ServiceType.CONGESTION_MANAGEMENT, POINT)
            assert opening.max_price_eur_per_kw > 0

    run_swarm(main, Stage())


def test_the_pool_clears_in_merit_order_awards_activates_and_tells_the_losers() -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage, rating_kw=23.0)
        one, two = network.vpps["vpp1"], network.vpps["vpp2"]
        two.price = "0.0500"
        await stage.until(25)
        (award,) = two.won
        assert (award.power_kw, award.price_eur_per_kw) == (10.0, Decimal("0.0500"))
        (lost,) = one.lost
        assert (lost.power_kw, lost.reason) == (0.0, "the need is met by the bids before it in merit order")
        (order,) = two.orders
        assert isinstance(order, x.PoolActivation)
        assert (order.start, order.end, order.power_kw) == (at(30), at(45), 10.0)
        assert order.max_price_eur_per_kw == two.pools[0].max_price_eur_per_kw
        assert one.orders == []

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("rule", "prices"),
    [
        (x.PricingRule.PAY_AS_CLEAR, {"vpp1": "0.0800", "vpp2": "0.0800"}),
        (x.PricingRule.PAY_AS_BID, {"vpp1": "0.0800", "vpp2": "0.0300"}),
    ],
)
def test_the_pools_price_follows_the_products_rule(rule: x.PricingRule, prices: dict[str, str]) -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage, pricing=rule)
        network.vpps["vpp1"].price, network.vpps["vpp2"].price = "0.0800", "0.0300"
        await stage.until(25)
        won = {name: str(vpp.won[0].price_eur_per_kw) for name, vpp in network.vpps.items()}
        assert won == prices
        assert network.vpps["vpp1"].won[0].power_kw == pytest.approx(3.0, abs=0.11)

    run_swarm(main, Stage())


def test_a_bid_above_the_pools_maximum_is_rejected() -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage)
        network.vpps["vpp1"].price = "99.0000"
        await stage.until(25)
        assert network.vpps["vpp1"].won == []
        (lost,) = network.vpps["vpp1"].lost
        assert "maximum" in (lost.reason or "") or "more than" in (lost.reason or "")
        assert len(network.vpps["vpp2"].won) == 1

    run_swarm(main, Stage())


def test_a_vpp_that_does_not_answer_the_pool_does_not_hold_it_up() -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage)
        network.vpps["vpp1"].bids = False
        await stage.until(22)
        assert len(network.vpps["vpp2"].won) == 1
        assert stage.clock.now() <= at(22)

    run_swarm(main, Stage())


def test_a_vpp_that_does_not_stand_by_its_pool_bid_is_not_activated() -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage)
        network.vpps["vpp2"].stands = False
        await stage.until(30)
        assert network.vpps["vpp2"].orders == []
        assert len(network.vpps["vpp1"].orders) == 1
        assert stage.noticed("vpp2@localhost does not stand by its bid") == 1

    run_swarm(main, Stage())


def test_without_meters_no_pool_is_opened_and_it_is_noticed() -> None:
    async def main(stage: Stage) -> None:
        await chargers(stage)
        network = await Network.open(stage, rating_kw=20.0, until=50, meters=False)
        informed(await network.qualify())
        await stage.until(45)
        assert network.vpps["vpp1"].pools == []
        assert stage.noticed("the meters do not answer") >= 1

    run_swarm(main, Stage())


def test_vehicles_that_come_back_when_a_service_ends_are_expected() -> None:
    """While a service runs the meters show less; the next quarter, in which it is over, is looked at without it."""

    async def main(stage: Stage) -> None:
        site = await chargers(stage)
        network = await Network.open(stage, rating_kw=30.0, until=80)
        informed(await network.qualify())
        vpp = network.vpps["vpp1"]
        vpp.kw = 5.0
        await stage.until(30)
        assert len(vpp.won) == 1
        for charger in ("c1", "c2"):
            await stage.chargers[charger].set_power(9.0, 15 * 60)  # 4 kW less than 33, where 3 were ordered
        await stage.until(35)
        assert site.metered_kw(30, 33) == pytest.approx(29.0)
        assert [(p.start, p.end) for p in vpp.pools] == [(at(30), at(45)), (at(45), at(60))]

    run_swarm(main, Stage())


def test_a_charger_without_a_meter_does_not_stop_the_look_ahead() -> None:
    async def main(stage: Stage) -> None:
        await chargers(stage)
        network = await Network.open(stage, rating_kw=20.0, until=50, vpps=("vpp1", "vpp2"))
        informed(await network.qualify("vpp1"))
        informed(await network.qualify("vpp2", charger_ids=("ghost",)))
        await stage.until(22)
        assert len(network.vpps["vpp1"].pools) == 1

    run_swarm(main, Stage())


def test_what_the_market_bought_already_is_not_bought_again_by_a_pool() -> None:
    """10 of 33 kW are sold on the market for 08:00; a pool bid that nominates 33 again sells nothing new."""

    async def main(stage: Stage) -> None:
        await chargers(stage)
        network = await market(stage, until=150)
        network.grid.rating_kw = 20.0
        vpp = network.vpps["vpp1"]
        vpp.confirms = "none"  # that the contract fails makes its kW no more available
        vpp.baseline = 33.0
        await stage.until(112)
        assert [p.start for p in vpp.pools if p.start >= at(120)] == [at(120)]
        assert "sold down to 23 kW already" in (vpp.lost[-1].reason or "")
        vpp.baseline = 23.0
        await stage.until(127)
        assert vpp.won[-1].pool_id == vpp.pools[-1].pool_id
        assert vpp.pools[-1].start == at(135)

    run_swarm(main, Stage())


def test_with_a_metered_baseline_no_pool_overlaps_what_the_market_bought() -> None:
    async def main(stage: Stage) -> None:
        await chargers(stage)
        network = await market(stage, until=150, baseline=x.BaselineMethod.METER_BEFORE_METER_AFTER)
        network.grid.rating_kw = 20.0
        vpp = network.vpps["vpp1"]
        await stage.until(112)
        assert "a metered baseline cannot tell two apart" in (vpp.lost[-1].reason or "")

    run_swarm(main, Stage())


def test_a_nomination_above_what_the_registered_chargers_draw_is_a_fault_of_the_bid() -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage)
        network.vpps["vpp1"].baseline = 33.5
        await stage.until(25)
        assert network.vpps["vpp1"].won == []
        (lost,) = network.vpps["vpp1"].lost
        assert lost.reason == "33.5 kW are nominated, and the registered chargers draw 33 kW at most"

    run_swarm(main, Stage())


def test_of_equal_prices_the_bid_that_came_first_wins_whatever_time_it_names() -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage, rating_kw=23.0)
        one, two = network.vpps["vpp1"], network.vpps["vpp2"]
        one.thinks, one.stamp = 1.0, at(0)
        await stage.until(25)
        assert len(two.won) == 1
        assert one.won == []

    run_swarm(main, Stage())


# ---- volume, bill and payment --------------------------------------------------------------------------------------


async def served(
    stage: Stage, *, less_kw: float = 10.0, pooled: bool = False, **options: Any
) -> tuple[Network, Seller, str]:
    """A service that is over: 10 kW were ordered, `less_kw` less were drawn, 30 nominated (33 without a service)."""
    if pooled:
        network = await pool(stage, **{"rating_kw": 23.0, "vpps": ("vpp1",), "until": 50} | options)
        vpp = network.vpps["vpp1"]
        vpp.baseline = 33.0
        await stage.until(30)
    else:
        await chargers(stage)
        network = await market(stage, **{"until": 20} | options)
        vpp = network.vpps["vpp1"]
        vpp.baseline = 33.0
        await stage.until(120)
    for charger in ("c1", "c2"):
        await stage.chargers[charger].set_power(11.0 - less_kw / 2, 60 * 60)
    (signal,) = vpp.orders
    await stage.until((signal.end - at(0)) / MINUTE + 5)
    return network, vpp, signal.activation_id


def bill_for(activation_id: str, kwh: float = 10.0, remuneration: str = "4.00", **changed: Any) -> x.Bill:
    penalty = Decimal(changed.pop("penalty", "0.00"))
    values: dict[str, Any] = {
        "bill_id": f"bill-{activation_id}",
        "activation_id": activation_id,
        "payer": jid("dso"),
        "payee": jid("vpp1"),
        "volume_kwh": kwh,
        "price_eur_per_kw": Decimal("0.1"),
        "remuneration_eur": Decimal(remuneration),
        "penalty_eur": penalty,
        "amount_eur": Decimal(remuneration) - penalty,
        "due": at(60 * 24 * 14),
    }
    return x.Bill(**values | changed)


def test_the_dsos_meters_give_the_fmo_each_quarter_of_the_service() -> None:
    """Table 2, 1.2.6 (DSO and VPP to FMO)."""

    async def main(stage: Stage) -> None:
        network, _, activation_id = await served(stage)
        query = x.MeasurementsQuery(activation_id=activation_id, start=at(120), end=at(180))
        series = informed(await network.fmo.query_ref(query, to=jid("dso"), reply_by=at(190)))
        assert series.power_kw == pytest.approx((23.0,) * 4)
        assert series.baseline_kw is None  # nominated, and that the VPP knows
        assert (series.start, series.end, series.period_minutes) == (at(120), at(180), 15)
        unknown = x.MeasurementsQuery(activation_id="activation-x", start=at(120), end=at(180))
        assert isinstance(await network.fmo.query_ref(unknown, to=jid("dso"), reply_by=at(190)), Refused)

    run_swarm(main, Stage())


def test_for_a_measured_baseline_the_dso_gives_what_was_metered_in_the_hour_before() -> None:
    async def main(stage: Stage) -> None:
        network, _, activation_id = await served(stage, baseline=x.BaselineMethod.METER_BEFORE_METER_AFTER)
        query = x.MeasurementsQuery(activation_id=activation_id, start=at(120), end=at(180))
        series = informed(await network.fmo.query_ref(query, to=jid("dso"), reply_by=at(190)))
        assert series.baseline_kw == pytest.approx((33.0,) * 4)

    run_swarm(main, Stage())


def test_an_honest_volume_is_accepted_and_its_bill_is_paid_once() -> None:
    """D5.1 3.1.2: "The DSO and the VPP validate the delivered volume, the FMO monetizes the delivered flexibility and
    sends the bill to the DSO, which pays the service to the VPP"."""

    async def main(stage: Stage) -> None:
        network, vpp, activation_id = await served(stage)
        assert isinstance(await vpp.claim(activation_id, (23.0,) * 4), Accepted)
        payment = informed(await network.fmo.order(bill_for(activation_id), "dso"))
        assert payment.amount_eur == Decimal("4.00")
        assert isinstance(await network.fmo.order(bill_for(activation_id), "dso"), Informed | Refused)
        assert isinstance(await network.fmo.order(bill_for(activation_id, bill_id="bill-2"), "dso"), Refused)
        assert (stage.balance("dso"), stage.balance("vpp1")) == (Decimal("-4.00"), Decimal("4.00"))
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ({"measured": (20.0,) * 4, "delivered_kw": (10.0,) * 4}, "4 of 4 periods differ"),
        ({"measured": (23.0, 23.0), "baseline_kw": (33.0, 33.0)}, "periods"),
        ({"measured": (28.0, 28.0, 23.0, 28.0), "delivered_kw": (5.0, 5.0, 10.0, 5.0)}, "period 2"),
    ],
    ids=["more than was", "too short", "one quarter"],
)
def test_a_volume_that_the_meters_do_not_show_is_disputed_and_what_they_show_is_paid(claim: Any, why: str) -> None:
    async def main(stage: Stage) -> None:
        network, vpp, activation_id = await served(stage, less_kw=5.0)
        outcome = await vpp.claim(activation_id, **claim)
        assert isinstance(outcome, Rejected)
        assert why in outcome.reason
        assert isinstance(await network.fmo.order(bill_for(activation_id), "dso"), Refused)
        assert stage.ledger.audit().transactions == 0
        informed(await network.fmo.order(bill_for(activation_id, 5.0, "2.00", bill_id="right"), "dso"))
        assert stage.balance("vpp1") == Decimal("2.00")

    run_swarm(main, Stage())


def test_a_claim_is_held_against_the_nomination_of_the_bid_and_not_against_its_own() -> None:
    async def main(stage: Stage) -> None:
        network, vpp, activation_id = await served(stage, less_kw=0.0)
        outcome = await vpp.claim(activation_id, (33.0,) * 4, baseline_kw=(43.0,) * 4)
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "the baseline is not the one that was nominated"
        assert isinstance(await network.fmo.order(bill_for(activation_id), "dso"), Refused)

    run_swarm(main, Stage())


def test_without_a_nomination_in_the_award_no_claim_can_be_held_true() -> None:
    async def main(stage: Stage) -> None:
        def unnamed(need: x.FlexibilityNeed) -> x.NeedResult:
            (award,) = awards(10.0)(need).awards
            bare = award.model_copy(update={"baseline_kw": ()})
            return x.NeedResult(need_id=need.need_id, awards=(bare,), unserved_kw=0.0)

        _, vpp, activation_id = await served(stage, award=unnamed)
        outcome = await vpp.claim(activation_id, (23.0,) * 4)
        assert isinstance(outcome, Rejected)
        assert "there is no baseline" in outcome.reason

    run_swarm(main, Stage())


def test_a_volume_of_somebody_elses_activation_or_before_its_end_is_disputed() -> None:
    async def main(stage: Stage) -> None:
        await chargers(stage)
        network = await market(stage, until=20, vpps=("vpp1", "vpp2"))
        await stage.until(130)
        (signal,) = network.vpps["vpp1"].orders
        early = await network.vpps["vpp1"].claim(signal.activation_id, (33.0,) * 4)
        assert isinstance(early, Rejected)
        assert "not over" in early.reason
        await stage.until(185)
        assert isinstance(await network.vpps["vpp2"].claim(signal.activation_id, (33.0,) * 4), Rejected)

    run_swarm(main, Stage())


def test_without_meters_a_volume_cannot_be_accepted() -> None:
    async def main(stage: Stage) -> None:
        network = await market(stage, meters=False)
        await stage.until(185)
        (signal,) = network.vpps["vpp1"].orders
        outcome = await network.vpps["vpp1"].claim(signal.activation_id, (20.0,) * 4)
        assert isinstance(outcome, Rejected)
        assert "meters do not answer" in outcome.reason
        query = x.MeasurementsQuery(activation_id=signal.activation_id, start=at(120), end=at(180))
        assert isinstance(await network.fmo.query_ref(query, to=jid("dso"), reply_by=at(200)), Refused)

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "changed",
    [
        {"price_eur_per_kw": Decimal("0.2"), "remuneration": "8.00"},
        {"kwh": 12.0, "remuneration": "4.80"},
        {"remuneration": "40.00"},
        {"payee": jid("vpp2")},
        {"payer": jid("dso2")},
        {"activation_id": "activation-x"},
    ],
    ids=["price", "volume", "amount", "payee", "payer", "activation"],
)
def test_a_wrong_bill_is_refused_and_moves_no_money(changed: Any) -> None:
    async def main(stage: Stage) -> None:
        network, vpp, activation_id = await served(stage)
        assert isinstance(await vpp.claim(activation_id, (23.0,) * 4), Accepted)
        wrong = bill_for(**{"activation_id": activation_id} | changed)
        assert isinstance(await network.fmo.order(wrong, "dso"), Refused)
        assert stage.ledger.audit().transactions == 0
        informed(await network.fmo.order(bill_for(activation_id, bill_id="right"), "dso"))

    run_swarm(main, Stage())


def test_a_bill_without_an_agreed_volume_is_refused_but_a_penalty_needs_none() -> None:
    async def main(stage: Stage) -> None:
        network, _, activation_id = await served(stage, less_kw=0.0)
        assert isinstance(await network.fmo.order(bill_for(activation_id, bill_id="b0"), "dso"), Refused)
        penalty = bill_for(activation_id, 0.0, "0.00", penalty="20.00")
        assert informed(await network.fmo.order(penalty, "dso")).amount_eur == Decimal("-20.00")
        assert stage.ledger.audit().transactions == 0  # the VPP is the one that pays it

    run_swarm(main, Stage())


def test_a_pool_service_is_paid_on_the_agreed_volume() -> None:
    """BUC 6 has no market operator: the contract pays, and the DSO's own meters say how much."""

    async def main(stage: Stage) -> None:
        _, vpp, activation_id = await served(stage, pooled=True)
        assert isinstance(await vpp.claim(activation_id, (23.0,)), Accepted)
        assert isinstance(await vpp.claim(activation_id, (23.0,)), Accepted | Rejected)
        assert (stage.balance("dso"), stage.balance("vpp1")) == (Decimal("-1.00"), Decimal("1.00"))

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    "claim",
    [
        {"measured": (23.0,)},
        {"measured": (23.0,), "delivered_kw": (0.0,)},
        {"measured": (33.0,), "baseline_kw": (43.0,)},
    ],
    ids=["other measurements", "honest delivery, other measurements", "other baseline"],
)
def test_a_vpp_that_cheats_in_a_pool_earns_nothing(claim: Any) -> None:
    """Nothing was delivered: whatever is claimed, the DSO pays by its own meters and the nomination."""

    async def main(stage: Stage) -> None:
        _, vpp, activation_id = await served(stage, less_kw=0.0, pooled=True)
        await vpp.claim(activation_id, **claim)
        assert stage.balance("vpp1") <= 0

    run_swarm(main, Stage())


def test_a_pool_service_that_was_not_delivered_costs_the_vpp_the_penalty() -> None:
    async def main(stage: Stage) -> None:
        _, vpp, activation_id = await served(stage, less_kw=4.0, pooled=True)
        assert isinstance(await vpp.claim(activation_id, (29.0,)), Accepted)
        # 4 kW at 0.10 less 6 kW at 0.50
        assert stage.balance("vpp1") == Decimal("0.40") - Decimal("3.00")
        assert stage.balance("dso") == -stage.balance("vpp1")
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


def test_a_disputed_pool_service_is_settled_by_the_dsos_meters() -> None:
    async def main(stage: Stage) -> None:
        _, vpp, activation_id = await served(stage, less_kw=4.0, pooled=True)
        assert isinstance(await vpp.claim(activation_id, (23.0,)), Rejected)
        await stage.until(80)
        # 4 kW at 0.10 less 6 kW at 0.50, as for an honest claim
        assert stage.balance("vpp1") == Decimal("0.40") - Decimal("3.00")

    run_swarm(main, Stage())


@pytest.mark.parametrize("how", ["none", "silent"])
def test_a_pool_contract_that_is_not_activated_owes_the_penalty_for_its_whole_power(how: str) -> None:
    async def main(stage: Stage) -> None:
        network = await pool(stage, rating_kw=23.0, vpps=("vpp1",), until=50)
        network.vpps["vpp1"].confirms = how
        await stage.until(31)
        assert stage.noticed("does not take place") == 1
        assert stage.balance("vpp1") == Decimal("-5.00")  # 10 kW at 0.50
        assert stage.balance("dso") == Decimal("5.00")
        await stage.until(90)
        assert stage.balance("vpp1") == Decimal("-5.00")

    run_swarm(main, Stage())


@pytest.mark.parametrize("claims", [False, True], ids=["silent", "disputed"])
def test_a_vpp_that_delivers_nothing_and_agrees_to_no_volume_pays_the_penalty_all_the_same(claims: bool) -> None:
    async def main(stage: Stage) -> None:
        _, vpp, activation_id = await served(stage, less_kw=0.0, pooled=True)
        if claims:
            assert isinstance(await vpp.claim(activation_id, (23.0,)), Rejected)
        await stage.until(74)
        assert stage.balance("vpp1") == 0
        await stage.until(80)
        assert stage.balance("vpp1") == Decimal("-5.00")  # 10 kW at 0.50
        assert stage.noticed("no volume was agreed for") == (0 if claims else 1)
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


def test_a_pool_service_that_was_paid_is_closed_without_a_word() -> None:
    async def main(stage: Stage) -> None:
        _, vpp, activation_id = await served(stage, pooled=True)
        assert isinstance(await vpp.claim(activation_id, (23.0,)), Accepted)
        await stage.until(80)
        assert stage.balance("vpp1") == Decimal("1.00")
        assert stage.noticed("no volume was agreed") == 0

    run_swarm(main, Stage())


def test_only_the_fmo_may_send_a_bill_and_only_a_vpp_a_volume() -> None:
    async def main(stage: Stage) -> None:
        network, vpp, activation_id = await served(stage)
        assert isinstance(await vpp.claim(activation_id, (23.0,) * 4), Accepted)
        answer = await vpp.order(bill_for(activation_id), "dso")
        assert isinstance(answer, Refused)
        assert answer.content.code == "not-authorised"  # type: ignore[attr-defined]
        assert stage.ledger.audit().transactions == 0
        assert network.fmo.needs

    run_swarm(main, Stage())
