"""An actor is a SPADE agent: with SPADE's attributes, behaviours, templates and messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import spade.agent
from spade.agent import Agent
from spade.behaviour import CyclicBehaviour, OneShotBehaviour
from spade.fipa_message import FIPAMessageBuilder, FIPAMessageParser
from spade.message import Message
from spade.template import Template

from agents.actor import Actor
from behaviours.answering import Incoming, Inform, Reply, answers
from protocols import exchanges as x
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid, run_swarm


class Dso(Actor):
    role = Role.DSO

    @answers(x.MeasurementsQuery)
    async def on_query(self, query: x.MeasurementsQuery, incoming: Incoming) -> Reply:
        return Inform(x.Done(reference="never"))


class Vpp(Actor):
    role = Role.VPP


def test_it_has_every_attribute_that_a_stock_agent_has(monkeypatch: pytest.MonkeyPatch) -> None:
    class Container:
        loop = None

        def register(self, agent: Any) -> None:
            agent.container = self

    async def main(swarm: SwarmUnderTest) -> None:
        monkeypatch.setattr(spade.agent, "Container", Container)
        monkeypatch.setattr(spade.agent, "WebApp", lambda agent: None)
        monkeypatch.setattr(asyncio, "set_event_loop", lambda loop: None)
        stock = Agent("stock@localhost", "")
        slots = [name for name in Agent.__slots__ if name != "__dict__"]
        wanted = {name for name in slots if hasattr(stock, name)} | set(vars(stock))
        actor = Vpp(jid("vpp"), "", swarm.swarm)
        assert isinstance(actor, Agent)
        assert {name for name in wanted if not hasattr(actor, name)} == set()

    run_swarm(main)


class Listener(CyclicBehaviour):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[str, str, str | None]] = []

    async def run(self) -> None:
        message = await self.receive(timeout=60)
        if message is not None:
            self.heard.append((str(message.sender), message.body, message.get_metadata("topic")))


class Teller(OneShotBehaviour):  # type: ignore[misc]
    def __init__(self, message: Message) -> None:
        super().__init__()
        self.message = message

    async def run(self) -> None:
        await self.send(self.message)


def test_behaviours_with_templates_work_and_their_messages_are_not_answered_as_malformed() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, vpp = await swarm.start(Dso, "dso"), await swarm.start(Vpp, "vpp")
        listener = Listener()
        dso.add_behaviour(listener, Template(metadata={"topic": "weather"}))
        message = Message(to=dso.address, body="sunny", metadata={"topic": "weather"})
        vpp.add_behaviour(Teller(message))
        await swarm.settle()
        assert listener.heard == [(vpp.address, "sunny", "weather")]
        assert swarm.recorder.script() == []
        # Nobody is handed the very object that somebody else holds.
        message.body = "changed"
        assert listener.heard[0][1] == "sunny"

    run_swarm(main)


def test_an_error_in_an_added_behaviour_is_told_by_its_exit_code() -> None:
    class Broken(OneShotBehaviour):  # type: ignore[misc]
        async def run(self) -> None:
            raise RuntimeError("boom")

    async def main(swarm: SwarmUnderTest) -> None:
        vpp = await swarm.start(Vpp, "vpp")
        broken = Broken()
        vpp.add_behaviour(broken)
        await swarm.settle()
        assert isinstance(broken.exit_code, RuntimeError)

    run_swarm(main)


def test_spades_own_parser_accepts_every_message() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        await swarm.start(Dso, "dso")
        vpp = await swarm.start(Vpp, "vpp")
        listener = Listener()
        seen: list[Message] = []
        listener.match = lambda message: bool(seen.append(message))
        vpp.add_behaviour(listener)
        await vpp.search(role=Role.DSO)
        await swarm.settle()
        assert len(seen) == 1
        for message in seen:
            message.metadata = message._metadata  # where SPADE's builder puts it, and its parser looks
            parser = FIPAMessageParser(message)
            assert parser.get_performative() == "inform"
            assert parser.validate_fipa_message()[0]

    run_swarm(main)


def test_a_message_of_spades_own_builder_is_understood() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso, vpp = await swarm.start(Dso, "dso"), await swarm.start(Vpp, "vpp")
        query = x.MeasurementsQuery(activation_id="a", start=START, end=swarm.at(15))
        builder = FIPAMessageBuilder(vpp.address, dso.address).set_performative("query-ref")
        builder.set_protocol("fipa-query").set_body(query.to_json())
        vpp.add_behaviour(Teller(builder.build()))
        await swarm.settle()
        # A VPP may not ask a DSO for this: that the answer is a refusal shows that it was read.
        assert swarm.recorder.script()[:2] == ["vpp > dso: query-ref", "dso > vpp: refuse"]

    run_swarm(main)
