"""The TSO: what is activated below it, so that it calls nothing twice (D5.1, 3.1.2)."""

from __future__ import annotations

from typing import Any

import pytest

from agents.actor import Actor
from agents.tso import Tso
from protocols import exchanges as x
from protocols.acl import AclMessage, Performative
from protocols.roles import Role
from tests.agents.stage import POINT, PlainDso, Stage, at, start_meters
from tests.swarm import jid, run_swarm


def news(activation_id: str = "a1", **changed: Any) -> x.ActivatedResources:
    values: dict[str, Any] = {
        "activation_id": activation_id,
        "vpp": jid("vpp1"),
        "service": x.ServiceType.CONGESTION_MANAGEMENT,
        "congestion_point": POINT,
        "start": at(60),
        "end": at(120),
        "power_kw": 10.0,
        "status": x.ActivationStatus.PLANNED,
    }
    return x.ActivatedResources(**values | changed)


async def subscribed(stage: Stage, dso: PlainDso) -> Tso:
    tso = await stage.start(Tso, "tso")
    tso.spawn(tso.course(), "course")
    await stage.settle()
    assert len(dso.subscriptions(x.ActivatedResourcesSubscription)) == 1
    return tso


@pytest.mark.parametrize(
    ("status", "free"),
    [
        (x.ActivationStatus.PLANNED, False),
        (x.ActivationStatus.ACTIVE, False),
        (x.ActivationStatus.ENDED, True),
        (x.ActivationStatus.CANCELLED, True),
    ],
)
def test_a_vpp_is_free_for_balancing_unless_a_dso_has_it_activated(status: x.ActivationStatus, free: bool) -> None:
    """D5.1 3.1.2: "in order to avoid collision and double activation on the balancing market"."""

    async def main(stage: Stage) -> None:
        dso = await stage.start(PlainDso, "dso")
        tso = await subscribed(stage, dso)
        assert tso.free_for_balancing(jid("vpp1"), at(60), at(75))
        await dso.publish(x.ActivatedResourcesSubscription, news())
        await dso.publish(x.ActivatedResourcesSubscription, news(status=status))
        await stage.settle()
        assert tso.free_for_balancing(jid("vpp1"), at(60), at(75)) is free

    run_swarm(main, Stage())


def test_another_vpp_and_another_time_stay_free() -> None:
    async def main(stage: Stage) -> None:
        dso = await stage.start(PlainDso, "dso")
        tso = await subscribed(stage, dso)
        await dso.publish(x.ActivatedResourcesSubscription, news())
        await stage.settle()
        assert tso.free_for_balancing(jid("vpp2"), at(60), at(75))
        assert tso.free_for_balancing(jid("vpp1"), at(30), at(60))
        assert tso.free_for_balancing(jid("vpp1"), at(120), at(135))
        assert not tso.free_for_balancing(jid("vpp1"), at(45), at(61))
        assert not tso.free_for_balancing(jid("vpp1"), at(119), at(135))
        assert not tso.free_for_balancing(jid("vpp1"), at(0), at(600))

    run_swarm(main, Stage())


def test_of_two_activations_the_end_of_one_does_not_free_the_other() -> None:
    async def main(stage: Stage) -> None:
        dso = await stage.start(PlainDso, "dso")
        tso = await subscribed(stage, dso)
        for activation_id in ("a1", "a2"):
            await dso.publish(x.ActivatedResourcesSubscription, news(activation_id))
        await dso.publish(x.ActivatedResourcesSubscription, news("a1", status=x.ActivationStatus.ENDED))
        await stage.settle()
        assert not tso.free_for_balancing(jid("vpp1"), at(60), at(75))

    run_swarm(main, Stage())


class DeafDso(Actor):
    """Serves no subscription."""

    role = Role.DSO


def test_a_dso_that_refuses_the_subscription_is_noticed_and_the_others_are_asked() -> None:
    async def main(stage: Stage) -> None:
        await stage.start(DeafDso, "dso")
        willing = await stage.start(PlainDso, "dso2")
        await subscribed(stage, willing)
        assert stage.noticed("the DSO dso@localhost does not tell of its activations") == 1

    run_swarm(main, Stage())


def test_only_a_dso_that_was_asked_is_believed() -> None:
    """A stranger's inform belongs to no conversation, whatever it says."""

    async def main(stage: Stage) -> None:
        dso = await stage.start(PlainDso, "dso")
        tso = await subscribed(stage, dso)
        stranger = await stage.start(PlainDso, "dso2")
        await stranger.publish(x.ActivatedResourcesSubscription, news())
        (subscription,) = [m for _, m in stage.recorder.messages if m.performative == "subscribe"]
        stage.inject(
            AclMessage(
                performative=Performative.INFORM,
                sender=jid("dso2"),
                receiver=jid("tso"),
                protocol=subscription.protocol,
                conversation_id=subscription.conversation_id,
                reply_with="forged",
                in_reply_to=subscription.reply_with,
                content=news().to_json(),
            )
        )
        await stage.settle()
        assert tso.activated == {}

    run_swarm(main, Stage())


def test_the_tso_reads_the_frequency_of_the_sensor() -> None:
    async def main(stage: Stage) -> None:
        await start_meters(stage)
        dso = await stage.start(PlainDso, "dso")
        tso = await subscribed(stage, dso)
        await stage.until(14)
        assert tso.frequency_hz is None
        await stage.until(16)
        assert tso.frequency_hz == 49.9877

    run_swarm(main, Stage())
