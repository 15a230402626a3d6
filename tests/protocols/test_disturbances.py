"""Late, duplicate, conflicting, unreadable and out of sequence: each becomes an event and changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.acl import AclMessage, Performative, Protocol
from protocols.conversation import (
    Conflict,
    Conversation,
    Duplicate,
    Expired,
    Late,
    Misunderstood,
    OutOfSequence,
    Received,
    Uninvited,
    not_understood,
)
from protocols.tables import OPENING, Side
from tests.protocols.scripts import ME, NOW, OTHER, PEER, STRANGER, incoming, opened, play

Act = Performative
A, P = Side.INITIATOR, Side.PARTICIPANT  # who asks, who answers
REQUEST, QUERY, CNET, PROPOSE = Protocol.REQUEST, Protocol.QUERY, Protocol.CONTRACT_NET, Protocol.PROPOSE


def test_a_late_proposal_is_rejected() -> None:
    conversation, _ = play(CNET, A, "!cfp @expired")
    late = incoming(CNET, Act.PROPOSE, in_reply_to="c/me/1")
    assert conversation.receive(late, NOW) == (Late(late),)
    (answer,) = conversation.take_outbox()
    assert (answer.performative, answer.receiver, answer.in_reply_to) == (Act.REJECT_PROPOSAL, PEER, late.reply_with)
    assert conversation.state(PEER) == "expired"
    assert conversation.take_outbox() == []


def test_an_award_of_a_proposal_that_has_lapsed_fails() -> None:
    conversation, _ = play(CNET, P, "?cfp !propose @expired")
    award = incoming(CNET, Act.ACCEPT_PROPOSAL)
    assert conversation.receive(award, NOW) == (Late(award),)
    assert [m.performative for m in conversation.take_outbox()] == [Act.FAILURE]


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ("?request !inform", Act.FAILURE),
        ("?request !refuse", Act.INFORM),
        ("?request !agree @expired", Act.INFORM),
    ],
)
def test_a_cancel_that_comes_after_the_end_is_told_whether_anything_was_done(script: str, answer: Act) -> None:
    conversation, _ = play(REQUEST, P, script)
    before = conversation.state(PEER)
    cancel = incoming(REQUEST, Act.CANCEL)
    assert conversation.receive(cancel, NOW) == (Late(cancel),)
    (sent,) = conversation.take_outbox()
    assert (sent.performative, sent.in_reply_to) == (answer, cancel.reply_with)
    assert conversation.state(PEER) == before


@pytest.mark.parametrize("act", ["agree", "inform", "refuse", "failure"])
def test_other_late_answers_change_nothing_and_are_not_answered(act: str) -> None:
    conversation, _ = play(REQUEST, A, "!request @expired")
    late = incoming(REQUEST, act)
    assert conversation.receive(late, NOW) == (Late(late),)
    assert conversation.take_outbox() == []
    assert conversation.state(PEER) == "expired"


def test_an_agreement_that_its_result_has_overtaken_is_late_and_no_fault() -> None:
    conversation, _ = play(REQUEST, A, "!request ?inform")
    agree = incoming(REQUEST, Act.AGREE)
    assert conversation.receive(agree, NOW) == (Late(agree),)
    assert conversation.take_outbox() == []


@pytest.mark.parametrize(
    ("protocol", "side", "script", "act"),
    [
        (REQUEST, A, "!request", "propose"),
        (REQUEST, A, "!request ?inform", "inform"),
        (REQUEST, A, "!request ?agree", "refuse"),
        (REQUEST, P, "?request", "request"),
        (REQUEST, P, "?request", "agree"),
        (CNET, A, "!cfp", "inform"),
        (CNET, P, "?cfp", "accept-proposal"),
        (CNET, A, "!cfp ?propose", "propose"),
        (PROPOSE, A, "!propose ?reject-proposal", "accept-proposal"),
    ],
)
def test_what_is_out_of_sequence_is_not_understood_and_changes_nothing(
    protocol: Protocol, side: Side, script: str, act: str
) -> None:
    conversation, _ = play(protocol, side, script)
    state, allowed = conversation.state(PEER), conversation.allowed(PEER)
    wrong = incoming(protocol, act)
    assert conversation.receive(wrong, NOW) == (OutOfSequence(wrong, state, allowed),)
    (answer,) = conversation.take_outbox()
    assert (answer.performative, answer.in_reply_to) == (Act.NOT_UNDERSTOOD, wrong.reply_with)
    assert answer.content["code"] == "out-of-sequence"
    assert state in answer.content["reason"]
    assert conversation.state(PEER) == state


@pytest.mark.parametrize(
    "change",
    [{"in_reply_to": "never-said"}, {"protocol": QUERY}, {"conversation_id": "d"}, {"receiver": OTHER}],
    ids=str,
)
def test_an_answer_to_something_else_is_out_of_sequence(change: dict[str, object]) -> None:
    conversation, _ = play(REQUEST, A, "!request")
    (event,) = conversation.receive(replace(incoming(REQUEST, Act.AGREE), **change), NOW)
    assert isinstance(event, OutOfSequence)
    assert conversation.state(PEER) == "requested"


def test_not_understood_never_answers_a_not_understood() -> None:
    conversation, _ = play(REQUEST, P, "?request")
    complaint = incoming(REQUEST, Act.NOT_UNDERSTOOD)
    conversation.receive(complaint, NOW)
    conversation.receive(replace(complaint, sender=STRANGER), NOW)
    conversation.receive(replace(complaint, content={"other": 1}), NOW)
    conversation.misunderstand(incoming(REQUEST, Act.NOT_UNDERSTOOD), ["no body"], NOW)
    assert conversation.take_outbox() == []
    assert conversation.state(PEER) == "requested"
    assert not_understood(complaint, "no such conversation") is None


def test_the_same_message_twice_acts_once_and_is_answered_the_same() -> None:
    ask = incoming(REQUEST, Act.REQUEST)
    conversation, _ = Conversation.answering(ask, NOW)
    assert conversation.receive(ask, NOW) == (Duplicate(ask),)
    assert conversation.take_outbox() == []
    done = conversation.compose(Act.INFORM, {}, PEER)
    conversation.send(done, NOW)
    assert conversation.receive(replace(ask, content=dict(ask.content)), NOW) == (Duplicate(ask),)
    assert conversation.take_outbox() == [done]
    assert conversation.state(PEER) == "done"


def test_the_order_of_members_does_not_make_another_content() -> None:
    conversation, _ = play(CNET, A, "!cfp")
    proposal = incoming(CNET, Act.PROPOSE, a=1, b=2)
    conversation.receive(proposal, NOW)
    assert conversation.receive(replace(proposal, content={"b": 2, "a": 1}), NOW) == (Duplicate(proposal),)


@pytest.mark.parametrize("protocol", Protocol, ids=str)
def test_an_opening_act_with_a_known_id_and_other_content_is_refused(protocol: Protocol) -> None:
    ask = incoming(protocol, OPENING[protocol], power_kw=5)
    conversation, _ = Conversation.answering(ask, NOW)
    before = conversation.state(PEER)
    other = replace(ask, content={"power_kw": 50})
    assert conversation.receive(other, NOW) == (Conflict(other),)
    (answer,) = conversation.take_outbox()
    assert answer.performative is (Act.REJECT_PROPOSAL if protocol is PROPOSE else Act.REFUSE)
    assert (answer.in_reply_to, answer.content["code"]) == (ask.reply_with, "conflict")
    assert conversation.state(PEER) == before


@pytest.mark.parametrize(
    "change", [{"performative": Act.REFUSE}, {"content": {"price": 2}}, {"reply_by": NOW}], ids=str
)
def test_an_answer_with_a_known_id_that_says_something_else_is_not_understood(change: dict[str, object]) -> None:
    conversation, _ = play(CNET, A, "!cfp")
    proposal = incoming(CNET, Act.PROPOSE, price=1)
    conversation.receive(proposal, NOW)
    other = replace(proposal, **change)
    assert conversation.receive(other, NOW) == (Conflict(other),)
    assert [m.performative for m in conversation.take_outbox()] == [Act.NOT_UNDERSTOOD]
    assert conversation.state(PEER) == "proposed"


def test_unreadable_content_is_not_understood_with_every_fault_and_changes_nothing() -> None:
    conversation, _ = play(CNET, A, "!cfp")
    proposal = incoming(CNET, Act.PROPOSE)
    faults = ["price: missing", "power_kw: not a number"]
    assert conversation.misunderstand(proposal, faults, NOW) == (Misunderstood(proposal),)
    (answer,) = conversation.take_outbox()
    assert (answer.performative, answer.content["faults"]) == (Act.NOT_UNDERSTOOD, faults)
    assert conversation.state(PEER) == "called"
    assert conversation.misunderstand(proposal, faults, NOW) == (Duplicate(proposal),)
    assert conversation.take_outbox() == [answer]
    stranger = replace(proposal, sender=STRANGER)
    assert conversation.misunderstand(stranger, faults, NOW) == (Uninvited(stranger),)


times = st.datetimes(timezones=st.sampled_from([UTC]))
messages = st.builds(
    AclMessage,
    performative=st.sampled_from(Performative),
    sender=st.sampled_from([PEER, OTHER, STRANGER, ME]),
    receiver=st.sampled_from([ME, ME, ME, OTHER]),
    protocol=st.sampled_from(Protocol),
    conversation_id=st.sampled_from(["c", "c", "c", "d"]),
    reply_with=st.sampled_from(["r1", "r2", "r3", "r4", "c/me/1"]),
    content=st.dictionaries(st.text(max_size=2), st.one_of(st.none(), st.floats(), st.text(max_size=2)), max_size=2),
    in_reply_to=st.sampled_from([None, None, "c/me/1", "c/me/2", "c/me/3", "?"]),
    reply_by=st.none() | times,
)


@settings(max_examples=150, deadline=None)
@given(protocol=st.sampled_from(Protocol), said=st.lists(st.tuples(messages, times), max_size=12), cancel=st.booleans())
def test_receiving_never_raises_and_only_an_event_to_act_upon_moves_the_state(
    protocol: Protocol, said: list[tuple[AclMessage, datetime]], cancel: bool
) -> None:
    conversation = opened(protocol, PEER, OTHER)
    if cancel:
        conversation.send(conversation.compose(Act.CANCEL, {}, PEER), NOW)
    for message, now in said:
        before = {peer: conversation.state(peer) for peer in conversation.peers}
        events = conversation.receive(message, now)
        moved = {peer for peer, state in before.items() if conversation.state(peer) != state}
        told = {event.peer for event in events if isinstance(event, Expired)}
        told |= {event.message.sender for event in events if isinstance(event, Received)}
        assert events
        assert moved <= told <= {message.sender}
        for answer in conversation.take_outbox():
            assert answer.sender == ME
            assert answer.receiver == message.sender


def opened_by(message: AclMessage) -> AclMessage:
    return replace(message, performative=OPENING[message.protocol])


@settings(max_examples=100, deadline=None)
@given(said=st.lists(st.tuples(messages, times), max_size=10), opening=messages.map(opened_by), now=times)
def test_answering_never_raises_either(
    opening: AclMessage, now: datetime, said: list[tuple[AclMessage, datetime]]
) -> None:
    conversation, events = Conversation.answering(opening, now)
    assert isinstance(events[0], Received | Expired)
    for message, at in said:
        conversation.receive(message, at)
    conversation.expire(datetime.max.replace(tzinfo=UTC))
    assert conversation.ended()
