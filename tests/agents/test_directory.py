"""The directory (FIPA DF): who is here, who may say so, and who is told."""

from __future__ import annotations

from agents.actor import Actor
from behaviours.outcomes import Failed, Informed, Refused, Subscribed
from protocols import exchanges as x
from protocols.roles import Role
from tests.swarm import SwarmUnderTest, jid, run_swarm


class Cpo(Actor):
    role = Role.CPO
    services = ("charging",)

    def __init__(self, *arguments: object, location: str | None = None) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.location = location


class Dso(Actor):
    role = Role.DSO
    services = ("grid", "meters")


def names(entries: tuple[x.DirectoryEntry, ...]) -> list[str]:
    return [entry.jid.partition("@")[0] for entry in entries]


def test_agents_are_found_by_role_service_location_and_name() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Cpo, "cpo-b", location="B2")
        await swarm.start(Cpo, "cpo-a", location="B1")
        dso = await swarm.start(Dso, "dso")
        assert names(await dso.search()) == ["cpo-a", "cpo-b", "directory", "dso"]
        assert names(await dso.search(role=Role.CPO)) == ["cpo-a", "cpo-b"]
        assert names(await dso.search(service="meters")) == ["dso"]
        assert names(await dso.search(service="charging", location="B2")) == ["cpo-b"]
        assert names(await dso.search(jid=jid("cpo-a"), location="B2")) == []
        assert names(await dso.search(jid=jid("nobody"))) == []

    run_swarm(main)


def test_a_role_is_looked_up_once() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Cpo, "cpo")
        dso = await swarm.start(Dso, "dso")
        before = len(swarm.recorder.messages)
        assert await dso.role_of(jid("cpo")) is Role.CPO
        assert await dso.role_of(jid("cpo")) is Role.CPO
        assert len(swarm.recorder.messages) == before + 2
        assert await dso.role_of(jid("nobody")) is None

    run_swarm(main)


def test_nobody_registers_another_or_under_another_role() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        cpo = await swarm.start(Cpo, "cpo")
        for claim in (
            x.Registration(jid=jid("cpo"), role=Role.DSO, services=()),
            x.Registration(jid=jid("dso"), role=Role.DSO, services=()),
            x.Deregistration(jid=jid("directory")),
        ):
            outcome = await cpo.request(claim, to=swarm.swarm.directory, reply_by=swarm.at(1))
            assert isinstance(outcome, Refused)
            assert isinstance(outcome.content, x.Reason)
            assert outcome.content.code == "not-authorised"
        assert names(await cpo.search()) == ["cpo", "directory"]
        assert swarm.directory.entries[jid("cpo")].role is Role.CPO

    run_swarm(main)


def test_who_deregisters_is_no_longer_found() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        cpo = await swarm.start(Cpo, "cpo")
        dso = await swarm.start(Dso, "dso")
        goodbye = x.Deregistration(jid=jid("cpo"))
        assert isinstance(await cpo.request(goodbye, to=swarm.swarm.directory, reply_by=swarm.at(1)), Informed)
        assert names(await dso.search(role=Role.CPO)) == []
        again = await cpo.request(goodbye, to=swarm.swarm.directory, reply_by=swarm.at(1))
        assert isinstance(again, Refused)

    run_swarm(main)


def test_a_subscriber_hears_the_present_state_and_every_change_that_concerns_it() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        heard: list[list[str]] = []
        subscribed = await dso.subscribe(
            x.SearchSubscription(role=Role.CPO),
            to=swarm.swarm.directory,
            on_inform=lambda result: heard.append(names(result.entries)),
            reply_by=swarm.at(1),
        )
        assert isinstance(subscribed, Subscribed)
        cpo = await swarm.start(Cpo, "cpo-1")
        await swarm.start(Dso, "dso-2")
        await swarm.start(Cpo, "cpo-2")
        await cpo.request(x.Deregistration(jid=cpo.address), to=swarm.swarm.directory, reply_by=swarm.at(1))
        await swarm.settle()
        assert heard == [[], ["cpo-1"], ["cpo-1", "cpo-2"], ["cpo-2"]]
        done = await subscribed.cancel(x.Cancellation(reference="df", reason="enough"), swarm.at(2))
        assert isinstance(done, Informed)
        await swarm.start(Cpo, "cpo-3")
        await swarm.settle()
        assert len(heard) == 4
        assert isinstance(await subscribed.cancel(x.Cancellation(reference="df", reason="again"), swarm.at(3)), Failed)

    run_swarm(main)
