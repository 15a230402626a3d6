"""Whatever arrives at an agent is answered or left, and never stops it."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.actor import Actor
from behaviours.ports import Letter, UnsendableError
from behaviours.post import check_sendable
from protocols import exchanges as x
from protocols.acl import MAX_BODY_CHARACTERS, AclMessage, Performative, Protocol
from protocols.roles import Role
from tests.swarm import START, SwarmUnderTest, jid, run_swarm

QUERY = x.MeasurementsQuery(activation_id="a", start=START, end=START.replace(hour=7))
PARAMETERS = ["performative", "protocol", "conversation-id", "reply-with", "in-reply-to", "reply-by", "language"]
WORDS = st.one_of(
    st.sampled_from([*Performative, *Protocol, "c-1", "fmo-1", "", "2026-06-01T00:00:00+00:00", "yesterday"]),
    st.text(max_size=20),
)
BODIES = st.one_of(
    st.text(max_size=50),
    st.just(json.dumps(QUERY.to_json())),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    ).map(json.dumps),
    st.dictionaries(st.sampled_from(["exchange", "code", "reason", "start"]), WORDS, max_size=4).map(json.dumps),
)
LETTERS = st.builds(
    Letter,
    sender=st.sampled_from([jid("fmo"), jid("stranger"), jid("dso")]),
    receiver=st.just(jid("dso")),
    body=BODIES,
    metadata=st.dictionaries(st.sampled_from(PARAMETERS), WORDS),
    thread=st.none() | st.text(max_size=9),
)


class Dso(Actor):
    role = Role.DSO


class Fmo(Actor):
    role = Role.FMO


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LETTERS, min_size=1, max_size=8))
def test_no_letter_stops_an_agent(letters: list[Letter]) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        await swarm.start(Fmo, "fmo")
        for letter in letters:
            with suppress(UnsendableError):  # neither the post nor an XML stream brings such letters
                check_sendable(letter)
                dso.deliver(letter)
        await swarm.settle()
        await dso.clock.sleep_until(swarm.at(60 * 24 * 40))

    run_swarm(main)  # raises what the agent could not cope with


def hostile() -> dict[str, Letter]:
    message = AclMessage(
        performative=Performative.QUERY_REF,
        sender=jid("fmo"),
        receiver=jid("dso"),
        protocol=Protocol.QUERY,
        conversation_id="c-1",
        reply_with="r-1",
    )
    parameters = message.metadata()
    many = {"exchange": "1.2.6"} | {f"{'field' * 10}{number}": 1 for number in range(2500)}
    return {
        "long ids": _letter(parameters | {"conversation-id": "c" * 15_000, "reply-with": "r" * 4_000}, "{}"),
        "unread long ids": _letter({"conversation-id": "c" * 150_000}, "{}"),
        "long thread": Letter(jid("fmo"), jid("dso"), "hello", {}, "t" * 150_000),
        "many faults": _letter(parameters, json.dumps(many)),
        "long fault": _letter(parameters, json.dumps({"exchange": "x" * 190_000})),
        "large body": _letter(parameters, "x" * (2 * MAX_BODY_CHARACTERS)),
        "deep body": _letter(parameters, "[" * 100_000),
        "controls": _letter(parameters, json.dumps({"exchange": "\x00\x1b[31m\ufffe"})),
    }


def _letter(metadata: dict[str, str], body: str) -> Letter:
    return Letter(jid("fmo"), jid("dso"), body, metadata)


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_letter_gets_an_answer_that_can_be_sent(name: str) -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        await swarm.start(Fmo, "fmo")
        dso.deliver(hostile()[name])
        await swarm.settle()
        [answer] = [m for _, m in swarm.recorder.messages if (m.sender, m.receiver) == (jid("dso"), jid("fmo"))]
        assert answer.performative is Performative.NOT_UNDERSTOOD
        assert answer.content["faults"]
        assert len(answer.body()) < 20_000
        check_sendable(Letter(answer.sender, answer.receiver, answer.body(), answer.metadata()))

    run_swarm(main)


def test_a_stranger_that_is_not_understood_and_says_so_is_left_alone() -> None:
    async def main(swarm: SwarmUnderTest) -> None:
        dso = await swarm.start(Dso, "dso")
        before = len(swarm.recorder.messages)
        for _ in range(3):
            dso.deliver(Letter(jid("stranger"), jid("dso"), "?", {"performative": "not-understood"}))
        await swarm.settle()
        assert len(swarm.recorder.messages) == before
        assert len(swarm.recorder.malformed) == 3

    run_swarm(main)
