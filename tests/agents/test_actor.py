"""What an agent asks and answers, in all five protocols, as the other agents see it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from spade.message import Message

from agents.actor import Actor, AgentError
from behaviours.acting import acting
from behaviours.answering import (
    AcceptProposal,
    Agree,
    Incoming,
    Inform,
    NotUnderstand,
    Propose,
    RejectProposal,
    Reply,
    answers,
    cancels,
    failure,
    refusal,
)
from behaviours.outcomes import (
    Accepted,
    Agreed,
    Failed,
    Informed,
    NotUnderstood,
    Refused,
    Rejected,
    Silent,
    Subscribed,
)
from behaviours.ports import Letter
from behaviours.post import PostOffice
from behaviours.spade_parts import AgentContainer
from environment.clock import VirtualClock
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative, Protocol
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid, run_swarm

QUARTER = timedelta(minutes=15)


class Vpp(Actor):
    """Answers every exchange of a VPP in the way that a test says; notes what it did."""

    role = Role.VPP

    def __init__(self, *arguments: Any, answer: Any = None) -> None:
        super().__init__(*arguments)
        self.answer = answer
        self.did: list[str] = []
        self.incoming: Incoming | None = None

    @answers(x.PoolActivation)
    async def on_activation(self, activation: x.PoolActivation, incoming: Incoming) -> Reply | None:
        self.did.append(activation.activation_id)
        self.incoming = incoming
        answer: Reply | None = await self.answer(self, activation, incoming)
        return answer

    @cancels(x.PoolActivation)
    async def on_cancel(self, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        self.did.append(f"cancel {activation.activation_id}")
        return Inform(x.Done(reference=activation.activation_id))

    @answers(x.PoolOpening)
    async def on_pool(self, pool: x.PoolOpening, incoming: Incoming) -> Reply:
        if self.answer is None:
            return refusal("no-flexibility", "no vehicle is plugged in")
        return Propose(pool_bid(pool, self.answer))

    @answers(x.PoolAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, award: x.PoolAward, incoming: Incoming) -> Reply:
        assert isinstance(incoming.offer, x.PoolBid)
        self.did.append(f"won {incoming.offer.power_kw}")
        return Inform(x.Done(reference=award.bid_id))

    @answers(x.PoolAward, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, award: x.PoolAward, incoming: Incoming) -> None:
        self.did.append("lost")

    @answers(x.MeasurementsQuery)
    async def on_query(self, query: x.MeasurementsQuery, incoming: Incoming) -> Reply:
        return failure("no-meter", "the meter does not answer")


class Dso(Actor):
    role = Role.DSO

    @answers(x.DeliveredVolume)
    async def on_volume(self, volume: x.DeliveredVolume, incoming: Incoming) -> Reply:
        answer = x.VolumeAnswer(activation_id=volume.activation_id)
        return AcceptProposal(answer) if volume.delivered_energy_kwh > 0 else RejectProposal(answer)

    @answers(x.ActivatedResourcesSubscription)
    async def on_subscription(self, subscription: x.ActivatedResourcesSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference="subscription"))


class Fmo(Actor):
    role = Role.FMO


class Tso(Actor):
    role = Role.TSO


class Cpo(Actor):
    role = Role.CPO


def activation(number: int = 1) -> x.PoolActivation:
    return x.PoolActivation(
        activation_id=f"act-{number}",
        bid_id="bid-1",
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        congestion_point="T1",
        start=START + QUARTER,
        end=START + 2 * QUARTER,
        max_price_eur_per_kw=Decimal("0.50"),
        power_kw=10.0,
    )


def response(activation: x.PoolActivation, power: float = 10.0) -> x.VppActivationResponse:
    return x.VppActivationResponse(activation_id=activation.activation_id, accepted=power > 0, available_power_kw=power)


def pool() -> x.PoolOpening:
    return x.PoolOpening(
        pool_id="pool-1",
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        timestamp=START,
        congestion_point="T1",
        start=START + QUARTER,
        end=START + 2 * QUARTER,
        max_price_eur_per_kw=Decimal("0.50"),
        power_needed_kw=20.0,
    )


def pool_bid(pool: x.PoolOpening, power: float) -> x.PoolBid:
    return x.PoolBid(
        pool_id=pool.pool_id,
        bid_id=f"bid-{power}",
        timestamp=START,
        price_eur_per_kw=Decimal("0.10"),
        power_kw=power,
        baseline_kw=(50.0,),
    )


def award(bid: str, power: float) -> x.PoolAward:
    return x.PoolAward(pool_id="pool-1", bid_id=bid, price_eur_per_kw=Decimal("0.10"), power_kw=power, reason=None)


async def agree_then_inform(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
    await incoming.agree(response(activation))
    await vpp.clock.sleep_until(activation.end)
    return Inform(x.Done(reference=activation.activation_id))


# --- request


def test_a_request_is_agreed_now_and_its_result_comes_later() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        dso = await swarm.start(Dso, "dso")
        agreed = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(agreed, Agreed)
        assert agreed.content == response(activation())
        assert dso.now() == START
        result = await agreed.result(by=swarm.at(40))
        assert result == Informed(jid("vpp"), x.Done(reference="act-1"))
        assert dso.now() == START + 2 * QUARTER

    recorder = run_swarm(main).recorder
    assert recorder.script()[-3:] == ["dso > vpp: request", "vpp > dso: agree", "vpp > dso: inform"]


def test_a_result_that_does_not_come_in_time_is_silence() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        dso = await swarm.start(Dso, "dso")
        agreed = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(agreed, Agreed)
        assert await agreed.result(by=swarm.at(20)) == Silent(jid("vpp"))
        assert dso.now() == swarm.at(20)

    run_swarm(main)


def test_a_refusal_carries_its_reason() -> None:
    async def refuse(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        return refusal("no-power", "the vehicles have left")

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=refuse)
        dso = await swarm.start(Dso, "dso")
        outcome = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(outcome, Refused)
        assert outcome.reason == "the vehicles have left"

    run_swarm(main)


def test_silence_is_noticed_at_the_deadline_and_not_before() -> None:
    async def sleep(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        await vpp.clock.sleep_until(START + timedelta(minutes=6))
        return Agree(response(activation))

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=sleep)
        dso = await swarm.start(Dso, "dso")
        outcome = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert outcome == Silent(jid("vpp"))
        assert dso.now() == swarm.at(5)
        await dso.clock.sleep_until(swarm.at(10))

    # The participant's own deadline has passed as well: its late answer is not even sent.
    assert run_swarm(main).recorder.script() == ["dso > vpp: request"]


def test_an_answer_at_the_very_deadline_is_in_time() -> None:
    async def sleep(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        await vpp.clock.sleep_until(START + timedelta(minutes=5))
        return Agree(response(activation))

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=sleep)
        dso = await swarm.start(Dso, "dso")
        outcome = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(outcome, Agreed)

    run_swarm(main)


class BusyClock(VirtualClock):
    """A clock that may run ahead of its timers, as a scaled one does when the process is busy."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


def test_an_answer_that_is_late_because_everybody_was_busy_is_dropped_without_an_error() -> None:
    clock = BusyClock(START)

    async def work(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        clock.ahead = timedelta(minutes=6)
        assert not await incoming.agree(response(activation))
        return Agree(response(activation))

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=work)
        dso = await swarm.start(Dso, "dso")
        assert await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5)) == Silent(jid("vpp"))

    assert run_swarm(main, SwarmUnderTest(clock=clock)).recorder.script() == ["dso > vpp: request"]


def test_an_award_that_is_late_because_everybody_was_busy_is_silence() -> None:
    clock = BusyClock(START)

    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp", answer=10.0)
        dso = await swarm.start(Dso, "dso")
        tender = await dso.call_for_proposals(pool(), to=[jid("vpp")], reply_by=swarm.at(5))
        assert len(tender.proposals) == 1
        clock.ahead = timedelta(days=2)
        results = await tender.award({jid("vpp"): award("bid-10.0", 10.0)}, done_by=swarm.at(10))
        assert results == {jid("vpp"): Silent(jid("vpp"))}
        assert vpp.did == []

    run_swarm(main, SwarmUnderTest(clock=clock))


def test_nobody_of_that_name_is_silence() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        outcome = await dso.request(activation(), to=jid("nobody"), reply_by=swarm.at(5))
        assert outcome == Silent(jid("nobody"))

    run_swarm(main)


def test_a_cancel_is_answered_in_its_conversation_and_sets_the_handlers_event() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        dso = await swarm.start(Dso, "dso")
        agreed = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(agreed, Agreed)
        call_off = x.Cancellation(reference="act-1", reason="the congestion is over")
        assert isinstance(await agreed.cancel(call_off, swarm.at(6)), Informed)
        assert vpp.did == ["act-1", "cancel act-1"]
        assert vpp.incoming is not None
        assert vpp.incoming.cancelled.is_set()
        assert await agreed.result() == Silent(jid("vpp"))
        await dso.clock.sleep_until(swarm.at(60))

    script = run_swarm(main).recorder.script()
    assert script[-2:] == ["dso > vpp: cancel", "vpp > dso: inform"]


def test_a_cancel_of_what_cannot_be_cancelled_fails_and_the_result_still_comes() -> None:
    class Stubborn(Actor):
        role = Role.VPP

        @answers(x.PoolActivation)
        async def on_activation(self, activation: x.PoolActivation, incoming: Incoming) -> Reply:
            await incoming.agree(response(activation))
            await self.clock.sleep_until(activation.end)
            return Inform(x.Done(reference=activation.activation_id))

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Stubborn, "vpp")
        dso = await swarm.start(Dso, "dso")
        agreed = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(agreed, Agreed)
        outcome = await agreed.cancel(x.Cancellation(reference="act-1", reason="never mind"), swarm.at(6))
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.content, x.Reason)
        assert outcome.content.code == "not-cancellable"
        assert isinstance(await agreed.result(by=swarm.at(40)), Informed)

    run_swarm(main)


def test_an_answerer_that_must_ask_others_first_is_only_an_await() -> None:
    async def ask_the_cpo(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        question = x.CpoActivation(**{**dict(activation), "exchange": "6.2.2"})
        assert incoming.reply_by is not None
        by = incoming.reply_by - timedelta(minutes=1)
        match await vpp.request(question, to=jid("cpo"), reply_by=by):
            case Agreed(content=x.CpoActivationResponse(available_power_kw=power)):
                return Agree(response(activation, power))
            case other:
                return refusal("cpo", str(other))

    class AgreeingCpo(Cpo):
        @answers(x.CpoActivation)
        async def on_activation(self, activation: x.CpoActivation, incoming: Incoming) -> Reply:
            return Agree(
                x.CpoActivationResponse(activation_id=activation.activation_id, accepted=True, available_power_kw=7.5)
            )

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(AgreeingCpo, "cpo")
        await swarm.start(Vpp, "vpp", answer=ask_the_cpo)
        dso = await swarm.start(Dso, "dso")
        outcome = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(outcome, Agreed)
        assert isinstance(outcome.content, x.VppActivationResponse)
        assert outcome.content.available_power_kw == 7.5

    run_swarm(main)


# --- query


def test_a_query_fails_with_the_reason_of_the_failure() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp")
        fmo = await swarm.start(Fmo, "fmo")
        query = x.MeasurementsQuery(activation_id="act-1", start=START, end=START + QUARTER)
        outcome = await fmo.query_ref(query, to=jid("vpp"), reply_by=swarm.at(1))
        assert isinstance(outcome, Failed)
        assert outcome.reason == "the meter does not answer"

    run_swarm(main)


# --- propose


@pytest.mark.parametrize(("energy", "expected"), [(1.0, Accepted), (0.0, Rejected)])
def test_a_proposal_is_accepted_or_rejected(energy: float, expected: type) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Dso, "dso")
        vpp = await swarm.start(Vpp, "vpp")
        volume = x.DeliveredVolume(
            activation_id="act-1",
            baseline_kw=(4.0 * energy + 1,),
            measured_kw=(1.0,),
            delivered_kw=(4.0 * energy,),
            delivered_energy_kwh=energy,
        )
        assert isinstance(await vpp.propose(volume, to=jid("dso"), reply_by=swarm.at(5)), expected)

    run_swarm(main)


# --- contract net


def test_a_tender_collects_offers_refusals_and_silence_and_tells_every_bidder() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        bidders = [
            await swarm.start(Vpp, "vpp-a", answer=10.0),
            await swarm.start(Vpp, "vpp-b", answer=20.0),
            await swarm.start(Vpp, "vpp-c"),
        ]
        dso = await swarm.start(Dso, "dso")
        everybody = [jid(name) for name in ("vpp-a", "vpp-b", "vpp-c", "nobody")]
        tender = await dso.call_for_proposals(pool(), to=everybody, reply_by=swarm.at(5))
        assert [(p.sender, p.content) for p in tender.proposals] == [
            (jid("vpp-a"), pool_bid(pool(), 10.0)),
            (jid("vpp-b"), pool_bid(pool(), 20.0)),
        ]
        assert [(r.sender, r.reason) for r in tender.refusals] == [(jid("vpp-c"), "no vehicle is plugged in")]
        assert tender.silent == (jid("nobody"),)
        results = await tender.award({jid("vpp-b"): award("bid-20.0", 20.0)}, done_by=swarm.at(10))
        assert results == {jid("vpp-b"): Informed(jid("vpp-b"), x.Done(reference="bid-20.0"))}
        await swarm.settle()
        assert [bidder.did for bidder in bidders] == [[], ["won 20.0"], []]

    script = run_swarm(main).recorder.script()
    assert "dso > vpp-a: reject-proposal" in script
    assert "dso > vpp-c: reject-proposal" not in script


def test_a_rejection_with_the_exchanges_own_content_reaches_its_handler() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        loser = await swarm.start(Vpp, "vpp", answer=10.0)
        dso = await swarm.start(Dso, "dso")
        tender = await dso.call_for_proposals(pool(), to=[jid("vpp")], reply_by=swarm.at(5))
        rejection = award("bid-10.0", 0.0).model_copy(update={"reason": "too dear"})
        assert await tender.award({}, reject={jid("vpp"): rejection}, done_by=swarm.at(10)) == {}
        await swarm.settle()
        assert loser.did == ["lost"]

    run_swarm(main)


def test_only_who_has_offered_can_be_awarded() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        tender = await dso.call_for_proposals(pool(), to=[jid("nobody")], reply_by=swarm.at(5))
        with pytest.raises(ValueError, match="no offer came from nobody@localhost"):
            await tender.award({jid("nobody"): award("bid-1", 1.0)}, done_by=swarm.at(10))

    run_swarm(main)


# --- subscribe


def resources(number: int, point: str = "T1") -> x.ActivatedResources:
    return x.ActivatedResources(
        activation_id=f"act-{number}",
        vpp=jid("vpp"),
        service=x.ServiceType.CONGESTION_MANAGEMENT,
        congestion_point=point,
        start=START,
        end=START + QUARTER,
        power_kw=10.0,
        status=x.ActivationStatus.ACTIVE,
    )


def test_subscribers_are_informed_until_they_cancel() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        tso = await swarm.start(Tso, "tso")
        news: list[str] = []

        async def on_inform(content: x.ActivatedResources) -> None:
            await asyncio.sleep(0)
            news.append(content.activation_id)

        subscription = x.ActivatedResourcesSubscription(congestion_point="T1")
        subscribed = await tso.subscribe(subscription, to=jid("dso"), on_inform=on_inform, reply_by=swarm.at(1))
        assert isinstance(subscribed, Subscribed)
        topic = x.ActivatedResourcesSubscription
        for number, point in enumerate(["T1", "T2", "T1"], start=1):
            await dso.publish(topic, resources(number, point), lambda s, point=point: s.congestion_point == point)
        await swarm.settle()
        assert news == ["act-1", "act-3"]
        assert dso.subscriptions(topic) == (subscription,)
        await dso.clock.sleep_until(swarm.at(24 * 60))
        assert await dso.publish(topic, resources(4)) == 1
        call_off = x.Cancellation(reference="subscription", reason="enough")
        assert isinstance(await subscribed.cancel(call_off, swarm.at(24 * 60 + 5)), Informed)
        assert await dso.publish(topic, resources(5)) == 0
        assert news == ["act-1", "act-3", "act-4"]

    run_swarm(main)


# --- authority, malformed messages, idempotency


def raw(sender: str, receiver: str, content: x.Content | dict[str, Any], **changes: Any) -> AclMessage:
    values: dict[str, Any] = {
        "performative": Performative.REQUEST,
        "sender": jid(sender),
        "receiver": jid(receiver),
        "protocol": Protocol.REQUEST,
        "conversation_id": "c-1",
        "reply_with": "r-1",
        "content": content if isinstance(content, dict) else content.to_json(),
    }
    return AclMessage(**values | changes)


def answers_of(swarm: SwarmUnderTest, sender: str) -> list[AclMessage]:
    return [m for _, m in swarm.recorder.messages if m.sender == jid(sender) and m.receiver != jid("directory")]


@pytest.mark.parametrize("intruder", ["cpo", "stranger"])
def test_a_sender_without_the_right_role_is_refused_and_nothing_changes(intruder: str) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        await swarm.start(Cpo, "cpo")
        swarm.inject(raw(intruder, "vpp", activation()))
        await swarm.settle()
        [answer] = answers_of(swarm, "vpp")
        assert answer.performative is Performative.REFUSE
        assert answer.content["code"] == "not-authorised"
        assert vpp.did == []

    run_swarm(main)


def test_malformed_content_is_not_understood_with_every_fault() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        await swarm.start(Dso, "dso")
        broken = activation().to_json() | {"power_kw": "ten", "surprise": 1}
        swarm.inject(raw("dso", "vpp", broken))
        await swarm.settle()
        [answer] = answers_of(swarm, "vpp")
        assert answer.performative is Performative.NOT_UNDERSTOOD
        assert answer.in_reply_to == "r-1"
        assert len(answer.content["faults"]) == 2
        assert vpp.did == []
        assert swarm.recorder.malformed[0][:2] == (jid("dso"), jid("vpp"))

    run_swarm(main)


def test_what_is_no_acl_message_is_not_understood_but_never_answered_for_ever() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp")
        await swarm.start(Dso, "dso")
        letter = {"sender": jid("dso"), "receiver": jid("vpp"), "body": "hello?"}
        swarm.post.send(Letter(**letter | {"metadata": {}}))
        swarm.post.send(Letter(**letter | {"metadata": {"performative": "not-understood"}}))
        await swarm.settle()
        [answer] = answers_of(swarm, "vpp")
        assert answer.performative is Performative.NOT_UNDERSTOOD
        assert "parameter performative is missing" in answer.content["faults"]
        assert answers_of(swarm, "dso") == []

    run_swarm(main)


def test_an_answer_to_an_unknown_conversation_is_not_understood() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp")
        await swarm.start(Dso, "dso")
        swarm.inject(raw("dso", "vpp", x.Done(reference="?"), performative=Performative.INFORM))
        await swarm.settle()
        [answer] = answers_of(swarm, "vpp")
        assert (answer.performative, answer.conversation_id) == (Performative.NOT_UNDERSTOOD, "c-1")

    run_swarm(main)


def test_the_same_request_twice_acts_once_and_is_answered_alike() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        async def inform(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
            return Inform(x.Done(reference=activation.activation_id))

        vpp = await swarm.start(Vpp, "vpp", answer=inform)
        await swarm.start(Dso, "dso")
        swarm.inject(raw("dso", "vpp", activation()))
        await swarm.settle()
        await vpp.clock.sleep_until(swarm.at(60))  # the conversation has ended long ago, but is remembered
        swarm.inject(raw("dso", "vpp", activation()))
        await swarm.settle()
        first, second = answers_of(swarm, "vpp")
        assert first == second
        assert vpp.did == ["act-1"]

    run_swarm(main)


def test_the_same_id_with_other_content_is_refused() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        await swarm.start(Dso, "dso")
        swarm.inject(raw("dso", "vpp", activation(1)))
        await swarm.settle()
        swarm.inject(raw("dso", "vpp", activation(2)))
        await swarm.settle()
        assert [m.performative for m in answers_of(swarm, "vpp")] == [Performative.AGREE, Performative.REFUSE]
        assert vpp.did == ["act-1"]

    run_swarm(main)


def test_an_exchange_that_has_no_place_in_the_conversation_is_not_understood() -> None:
    async def sleep(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        await vpp.clock.sleep_until(START + timedelta(minutes=4))
        return Agree(response(activation))

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=sleep)
        dso = await swarm.start(Dso, "dso")
        asking = dso.spawn(dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5)))
        await swarm.settle()
        opening = next(m for _, m in swarm.recorder.messages if m.receiver == jid("vpp") and m.sender == dso.address)
        swarm.inject(
            raw(
                "vpp",
                "dso",
                x.ActivationConfirmation(activation_id="act-1", available_power_kw=1.0, reason=None),
                performative=Performative.AGREE,
                conversation_id=opening.conversation_id,
                in_reply_to=opening.reply_with,
            )
        )
        assert isinstance(await asking, Agreed)
        assert dso.now() == swarm.at(4)

    run_swarm(main)


def test_a_request_that_comes_after_its_own_deadline_is_never_performed() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp", answer=agree_then_inform)
        await swarm.start(Dso, "dso")
        await vpp.clock.sleep_until(swarm.at(10))
        swarm.inject(raw("dso", "vpp", activation(), reply_by=swarm.at(5)))
        await swarm.settle()
        assert vpp.did == []
        assert answers_of(swarm, "vpp") == []

    run_swarm(main)


def test_what_an_agent_does_not_serve_it_refuses() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Cpo, "cpo")
        vpp = await swarm.start(Vpp, "vpp")
        question = x.DataRequest(request_id="q-1", data_type=x.DataType.STATUS, timestamp=START)
        outcome = await vpp.query_ref(question, to=jid("cpo"), reply_by=swarm.at(1))
        assert isinstance(outcome, Refused)
        assert isinstance(outcome.content, x.Reason)
        assert outcome.content.code == "unsupported"

    run_swarm(main)


# --- errors are loud


def test_an_error_in_a_handler_ends_the_run_and_says_where() -> None:
    async def fail(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        raise KeyError("boom")

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=fail)
        dso = await swarm.start(Dso, "dso")
        await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))

    with pytest.raises(KeyError) as caught:
        run_swarm(main)
    assert "vpp@localhost answers PoolActivation of dso@localhost" in "".join(caught.value.__notes__)


def test_a_handler_that_answers_nothing_ends_the_run() -> None:
    async def nothing(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> None:
        return None

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=nothing)
        dso = await swarm.start(Dso, "dso")
        await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))

    with pytest.raises(TypeError, match="must return a Reply"):
        run_swarm(main)


def test_a_reply_that_the_protocol_does_not_have_ends_the_run() -> None:
    async def propose(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
        return Propose(response(activation))

    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Vpp, "vpp", answer=propose)
        dso = await swarm.start(Dso, "dso")
        await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))

    with pytest.raises(TypeError, match="answers fipa-request request with propose; allowed: "):
        run_swarm(main)


def test_an_agent_that_is_not_admitted_cannot_start() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        vpp = Vpp(jid("vpp"), "", swarm.swarm)
        swarm.actors.append(vpp)
        with pytest.raises(AgentError, match="vpp@localhost cannot register as vpp"):
            await vpp.start()

    run_swarm(main)


# --- determinism


def test_the_same_day_twice_gives_the_same_messages() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        for number in range(5):
            await swarm.start(Vpp, f"vpp-{number}", answer=10.0 + number)
        dso = await swarm.start(Dso, "dso")
        everybody = [jid(f"vpp-{number}") for number in range(5)]
        for hour in (1, 2, 3):
            await dso.clock.sleep_until(swarm.at(60 * hour))
            tender = await dso.call_for_proposals(pool(), to=everybody, reply_by=swarm.at(60 * hour + 5))
            await tender.award({jid("vpp-3"): award("bid-13.0", 13.0)}, done_by=swarm.at(60 * hour + 9))

    first, second = run_swarm(main).recorder.messages, run_swarm(main).recorder.messages
    assert len(first) > 60
    assert first == second


def test_two_agents_of_one_name_are_refused() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        assert isinstance(swarm.post, PostOffice)
        await swarm.start(Vpp, "vpp")
        with pytest.raises(ValueError, match="two agents are called vpp@localhost"):
            await Vpp(jid("vpp"), "", swarm.swarm).start()

    run_swarm(main)


def test_not_understood_is_an_outcome() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        async def confused(vpp: Vpp, activation: x.PoolActivation, incoming: Incoming) -> Reply:
            return NotUnderstand(x.Reason(code="what", reason="which bid?"))

        await swarm.start(Vpp, "vpp", answer=confused)
        dso = await swarm.start(Dso, "dso")
        outcome = await dso.request(activation(), to=jid("vpp"), reply_by=swarm.at(5))
        assert isinstance(outcome, NotUnderstood)
        assert outcome.reason == "which bid?"

    run_swarm(main)


def test_an_agent_that_is_down_neither_hears_nor_says_anything_and_nothing_of_it_is_recorded() -> None:
    down: set[str] = set()
    heard: list[str] = []

    async def answer(vpp: Vpp, opening: x.PoolActivation, incoming: Incoming) -> Reply:
        heard.append(incoming.message.conversation_id)
        return failure("busy", "no time")

    async def main(swarm: SwarmUnderTest) -> None:
        swarm.swarm = replace(swarm.swarm, down=down.__contains__)
        vpp = await swarm.start(Vpp, "vpp", answer=answer)
        dso = await swarm.start(Dso, "dso")

        async def ask() -> object:
            return await dso.request(activation(), to=vpp.address, reply_by=swarm.clock.now() + timedelta(minutes=1))

        assert isinstance(await ask(), Failed)
        down.add(vpp.address)
        assert isinstance(await ask(), Silent)
        recorded = len(swarm.recorder.messages)
        assert isinstance(
            await vpp.query_ref(x.Search(role=Role.DSO), to=jid("directory"), reply_by=swarm.at(30)), Silent
        )
        await AgentContainer(vpp).send(Message(to=dso.address, body="hello"), None)
        assert len(swarm.recorder.messages) == recorded
        down.clear()
        assert isinstance(await ask(), Failed)
        assert len(heard) == 2

    run_swarm(main)


def test_what_an_agent_does_is_known_as_its_own_wherever_it_began() -> None:
    """In its setup, in a task that somebody else began for it, and in the handler of what it is asked."""
    at_work: dict[str, str] = {}

    class Busy(Vpp):
        async def setup(self) -> None:
            at_work["setup"] = acting()

        async def course(self) -> None:
            at_work["course"] = acting()

    async def answer(vpp: Vpp, opening: x.PoolActivation, incoming: Incoming) -> Reply:
        at_work["handler"] = acting()
        return failure("busy", "no time")

    async def main(swarm: SwarmUnderTest) -> None:
        busy = await swarm.start(Busy, "busy", answer=answer)
        dso = await swarm.start(Dso, "dso")
        assert acting() == ""
        await busy.spawn(busy.course())
        assert isinstance(await dso.request(activation(), to=busy.address, reply_by=swarm.at(1)), Failed)

    run_swarm(main)
    assert at_work == dict.fromkeys(("setup", "course", "handler"), jid("busy"))
