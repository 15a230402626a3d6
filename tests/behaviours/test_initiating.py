"""A tender whose awards last, and are called off one by one (FIPA cancel) while their results are awaited."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from agents.actor import Actor
from behaviours.answering import Failure, Incoming, Inform, Propose, answers, cancels, failure
from behaviours.initiating import Tender
from behaviours.outcomes import CalledOff, Failed, Informed, Result, Silent
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.protocols.samples import sample
from tests.swarm import START, SwarmUnderTest, jid, run_swarm

ENDS = START + timedelta(minutes=45)
CALL = sample(x.CurtailmentCall)
AWARD = sample(x.CurtailmentAward)
CANCEL = x.Cancellation(reference="wind-1", reason="the wind is needed elsewhere")


class Manager(Actor):
    """Offers, and when it is awarded serves until the end or until it is called off; notes what it was told."""

    role = Role.V2X_MANAGER

    def __init__(self, *arguments: object, stops: bool = True, thinks: timedelta = timedelta(0)) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.stops, self.thinks = stops, thinks
        self.told: list[str] = []
        self.serving: Incoming | None = None

    @answers(x.CurtailmentCall)
    async def on_call(self, call: x.CurtailmentCall, incoming: Incoming) -> Propose:
        return Propose(sample(x.Availability))

    @answers(x.CurtailmentAward, on=Performative.ACCEPT_PROPOSAL)
    async def on_award(self, award: x.CurtailmentAward, incoming: Incoming) -> Inform:
        self.serving = incoming
        ended = asyncio.ensure_future(self.clock.sleep_until(ENDS))
        called_off = asyncio.ensure_future(incoming.cancelled.wait())
        await asyncio.wait((ended, called_off), return_when=asyncio.FIRST_COMPLETED)
        self.told.append("called off" if called_off.done() else "served")
        called_off.cancel()
        ended.cancel()
        return Inform(x.Done(reference=award.service_id))

    @cancels(x.CurtailmentCall)
    async def on_cancel(self, call: x.CurtailmentCall, incoming: Incoming) -> Inform | Failure:
        assert call == CALL
        await self.clock.sleep_until(self.now() + self.thinks)
        self.told.append(f"cancel of {incoming.message.content['reference']}")
        return Inform(x.Done(reference=call.service_id)) if self.stops else failure("no", "the vehicles are leaving")


class Operator(Actor):
    role = Role.FO

    async def tender(self, *names: str) -> Tender:
        return await self.call_for_proposals(
            CALL, to=[jid(name) for name in names], reply_by=self.now() + timedelta(minutes=2)
        )

    def award(self, tender: Tender, *names: str) -> asyncio.Task[dict[str, Result | CalledOff]]:
        done_by = ENDS + timedelta(minutes=5)
        return self.spawn(tender.award({jid(name): AWARD for name in names}, done_by=done_by), "award")


def test_one_of_two_awarded_is_called_off_during_the_service_and_the_other_serves_on() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        house, office = await swarm.start(Manager, "house"), await swarm.start(Manager, "office")
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house", "office")
        award = fo.award(tender, "house", "office")
        await fo.clock.sleep_until(swarm.at(20))
        assert await tender.cancel(jid("house"), CANCEL, swarm.at(22)) == Informed(
            jid("house"), x.Done(reference="wind-1")
        )
        await swarm.settle()
        assert house.serving is not None
        assert house.serving.cancelled.is_set()
        assert house.told == ["cancel of wind-1", "called off"]
        assert not award.done()
        outcomes = await award
        assert fo.now() == ENDS
        assert outcomes == {
            jid("house"): CalledOff(jid("house"), CANCEL),
            jid("office"): Informed(jid("office"), x.Done(reference="wind-1")),
        }
        assert str(outcomes[jid("house")]) == "called off at house@localhost: the wind is needed elsewhere"
        assert office.told == ["served"]

    script = run_swarm(main).recorder.script()
    assert [line for line in script if "house" in line][-2:] == ["fo > house: cancel", "house > fo: inform"]


def test_when_all_are_called_off_nobody_waits_for_the_end() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Manager, "house")
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house")
        award = fo.award(tender, "house")
        await fo.clock.sleep_until(swarm.at(20))
        await tender.cancel(jid("house"), CANCEL, swarm.at(22))
        assert await award == {jid("house"): CalledOff(jid("house"), CANCEL)}
        assert fo.now() == swarm.at(20)

    run_swarm(main)


def test_a_result_that_crosses_the_cancel_counts() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        house = await swarm.start(Manager, "house", thinks=timedelta(minutes=2))
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house")
        award = fo.award(tender, "house")
        await fo.clock.sleep_until(ENDS - timedelta(minutes=1))
        outcome = await tender.cancel(jid("house"), CANCEL, ENDS + timedelta(minutes=4))
        assert isinstance(outcome, Failed)
        assert outcome.reason == "there is nothing left to cancel"
        assert fo.now() == ENDS
        assert await award == {jid("house"): Informed(jid("house"), x.Done(reference="wind-1"))}
        await fo.clock.sleep_until(ENDS + timedelta(minutes=4))
        assert house.told == ["served", "cancel of wind-1"]

    assert run_swarm(main).recorder.script()[-2:] == ["fo > house: cancel", "house > fo: inform"]


def test_a_cancel_that_is_refused_changes_nothing_and_may_be_tried_again() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        house = await swarm.start(Manager, "house", stops=False)
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house")
        award = fo.award(tender, "house")
        await fo.clock.sleep_until(swarm.at(10))
        outcome = await tender.cancel(jid("house"), CANCEL, swarm.at(12))
        assert isinstance(outcome, Failed)
        assert outcome.reason == "the vehicles are leaving"
        assert house.serving is not None
        assert not house.serving.cancelled.is_set()
        assert isinstance(await tender.cancel(jid("house"), CANCEL, swarm.at(12)), Failed)
        assert await award == {jid("house"): Informed(jid("house"), x.Done(reference="wind-1"))}
        assert fo.now() == ENDS

    run_swarm(main)


def test_a_cancel_that_is_not_answered_in_time_is_silence_for_the_award_as_well() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Manager, "house", thinks=timedelta(minutes=20))
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house")
        award = fo.award(tender, "house")
        await fo.clock.sleep_until(swarm.at(10))
        assert await tender.cancel(jid("house"), CANCEL, swarm.at(12)) == Silent(jid("house"))
        assert await award == {jid("house"): Silent(jid("house"))}
        assert fo.now() == swarm.at(12)
        await fo.clock.sleep_until(swarm.at(60))

    run_swarm(main)


def test_who_was_rejected_or_never_asked_or_has_served_cannot_be_called_off() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        bidders = [await swarm.start(Manager, name) for name in ("house", "office")]
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house", "office")
        award = fo.award(tender, "house")
        await swarm.settle()
        for name in ("office", "nobody"):
            outcome = await tender.cancel(jid(name), CANCEL, swarm.at(12))
            assert isinstance(outcome, Failed)
            assert outcome.content == x.Reason(code="over", reason="there is nothing left to cancel")
        await award
        assert isinstance(await tender.cancel(jid("house"), CANCEL, ENDS + timedelta(minutes=1)), Failed)
        assert [bidder.told for bidder in bidders] == [["served"], []]

    assert "fo > office: cancel" not in run_swarm(main).recorder.script()


def test_an_offer_that_is_called_off_before_it_is_accepted_is_not_accepted_any_more() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        house = await swarm.start(Manager, "house", thinks=timedelta(minutes=1))
        fo = await swarm.start(Operator, "fo")
        tender = await fo.tender("house")
        cancel = fo.spawn(tender.cancel(jid("house"), CANCEL, swarm.at(2)), "cancel")
        await swarm.settle()
        assert await fo.award(tender, "house") == {jid("house"): CalledOff(jid("house"), CANCEL)}
        assert isinstance(await cancel, Informed)
        assert house.serving is None

    assert "fo > house: accept-proposal" not in run_swarm(main).recorder.script()
