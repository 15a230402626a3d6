"""The last gate before a handler: an act that breaks a rule in the light of what was said before changes nothing."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from agents.actor import Actor
from behaviours.answering import Incoming, Inform, Propose, answers, cancels
from behaviours.outcomes import Agreed, Failed, Informed, Refused
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid, run_swarm

QUARTER = timedelta(minutes=15)
WINDOW = {"start": START + 4 * QUARTER, "end": START + 5 * QUARTER}


def pool(name: str = "pool-1", price: str = "0.20") -> x.PoolOpening:
    return x.PoolOpening(
        pool_id=name,
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        timestamp=START,
        congestion_point="feeder",
        max_price_eur_per_kw=Decimal(price),
        power_needed_kw=10.0,
        **WINDOW,
    )


def activation(activation_id: str = "act-1", bid_id: str = "bid-1", power_kw: float = 10.0) -> x.PoolActivation:
    return x.PoolActivation(
        activation_id=activation_id,
        bid_id=bid_id,
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        congestion_point="feeder",
        max_price_eur_per_kw=Decimal("0.20"),
        power_kw=power_kw,
        **WINDOW,
    )


class Vpp(Actor):
    """Bids at `price`, and counts what it was made to do."""

    role = Role.VPP

    def __init__(self, *arguments: object, price: str = "0.10") -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.price = price
        self.activated: list[str] = []

    @answers(x.PoolOpening)
    async def on_pool_opening(self, call: x.PoolOpening, incoming: Incoming) -> Propose:
        bid = x.PoolBid(
            pool_id=call.pool_id,
            bid_id="bid-1",
            timestamp=self.now(),
            price_eur_per_kw=Decimal(self.price),
            power_kw=10.0,
            baseline_kw=(20.0,),
        )
        return Propose(bid)

    @answers(x.PoolAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, award: x.PoolAward, incoming: Incoming) -> Inform:
        return Inform(x.Done(reference=award.bid_id))

    @answers(x.PoolActivation)
    async def on_activation(self, signal: x.PoolActivation, incoming: Incoming) -> Inform:
        self.activated.append(signal.activation_id)
        await incoming.agree(
            x.VppActivationResponse(activation_id=signal.activation_id, accepted=True, available_power_kw=10.0)
        )
        return Inform(x.Done(reference=signal.activation_id))


class Dso(Actor):
    """A buyer without a mind of its own."""

    role = Role.DSO


def award(bid_id: str = "bid-1", pool_id: str = "pool-1") -> x.PoolAward:
    return x.PoolAward(pool_id=pool_id, bid_id=bid_id, price_eur_per_kw=Decimal("0.10"), power_kw=10.0)


async def _bought(swarm: SwarmUnderTest) -> tuple[Dso, Vpp]:
    dso, vpp = await swarm.start(Dso, "dso"), await swarm.start(Vpp, "vpp")
    tender = await dso.call_for_proposals(pool(), to=[jid("vpp")], reply_by=swarm.at(5))
    outcomes = await tender.award({jid("vpp"): award()}, done_by=swarm.at(10))
    assert isinstance(outcomes[jid("vpp")], Informed)
    return dso, vpp


def test_an_awarded_bid_is_activated_once() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, vpp = await _bought(swarm)
        first = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(20))
        again = await dso.request(activation("act-2"), to=jid("vpp"), reply_by=swarm.at(20))
        assert vpp.activated == ["act-1"], first
        assert isinstance(again, Refused)
        assert getattr(again.content, "code", "") == "ordered-twice"

    run_swarm(main, SwarmUnderTest(judge=True))


def test_an_activation_of_a_bid_that_was_never_awarded_is_refused_and_changes_nothing() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, vpp = await swarm.start(Dso, "dso"), await swarm.start(Vpp, "vpp")
        answer = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(20))
        assert isinstance(answer, Refused)
        assert getattr(answer.content, "code", "") == "unknown-reference"
        assert vpp.activated == []

    run_swarm(main, SwarmUnderTest(judge=True))


def test_an_activation_of_more_power_than_was_awarded_is_refused() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, vpp = await _bought(swarm)
        answer = await dso.request(activation(power_kw=11.0), to=jid("vpp"), reply_by=swarm.at(20))
        assert isinstance(answer, Refused)
        assert getattr(answer.content, "code", "") == "power-bounds"
        assert vpp.activated == []

    run_swarm(main, SwarmUnderTest(judge=True))


def test_an_offer_above_the_pools_maximum_price_comes_with_its_fault() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        await swarm.start(Vpp, "vpp", price="0.30")
        tender = await dso.call_for_proposals(pool(), to=[jid("vpp")], reply_by=swarm.at(5))
        assert [fault.partition(":")[0] for fault in tender.proposals[0].faults] == ["price-above-maximum"]

    run_swarm(main, SwarmUnderTest(judge=True))


def test_the_award_of_a_bid_that_was_never_made_is_answered_with_failure() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        await swarm.start(Vpp, "vpp")
        tender = await dso.call_for_proposals(pool(), to=[jid("vpp")], reply_by=swarm.at(5))
        outcomes = await tender.award({jid("vpp"): award(bid_id="bid-9")}, done_by=swarm.at(10))
        assert isinstance(outcomes[jid("vpp")], Failed)
        assert getattr(outcomes[jid("vpp")].content, "code", "") == "unknown-reference"

    run_swarm(main, SwarmUnderTest(judge=True))


class SlowVpp(Vpp):
    """Keeps at it until it is called off."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.cancelled: list[str] = []

    @answers(x.PoolActivation)
    async def on_activation(self, signal: x.PoolActivation, incoming: Incoming) -> Inform:
        await incoming.agree(
            x.VppActivationResponse(activation_id=signal.activation_id, accepted=True, available_power_kw=10.0)
        )
        await self.clock.sleep_until(signal.end)
        return Inform(x.Done(reference=signal.activation_id))

    @cancels(x.PoolActivation)
    async def on_cancel(self, signal: x.PoolActivation, incoming: Incoming) -> Inform:
        self.cancelled.append(signal.activation_id)
        return Inform(x.Done(reference=signal.activation_id))


def test_a_cancel_that_names_another_thing_is_answered_with_failure_and_the_service_goes_on() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, vpp = await swarm.start(Dso, "dso"), await swarm.start(SlowVpp, "vpp")
        tender = await dso.call_for_proposals(pool(), to=[jid("vpp")], reply_by=swarm.at(5))
        await tender.award({jid("vpp"): award()}, done_by=swarm.at(10))
        agreed = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(20), done_by=swarm.at(90))
        assert isinstance(agreed, Agreed)
        wrong = await agreed.cancel(x.Cancellation(reference="act-9", reason="no need"), swarm.at(30))
        assert isinstance(wrong, Failed)
        assert getattr(wrong.content, "code", "") == "wrong-cancellation"
        assert vpp.cancelled == []
        right = await agreed.cancel(x.Cancellation(reference="act-1", reason="no need"), swarm.at(31))
        assert isinstance(right, Informed)
        assert vpp.cancelled == ["act-1"]

    run_swarm(main, SwarmUnderTest(judge=True))
