"""Conversations by script: what each protocol allows, and what happens to everything else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from protocols.acl import Performative, Protocol
from protocols.conversation import (
    Conversation,
    Ended,
    Expired,
    IllegalSendError,
    Received,
    not_understood,
    opens,
)
from protocols.tables import TABLES, Side
from tests.protocols.scripts import ME, MINUTE, NOW, OTHER, PEER, incoming, opened, play

Act = Performative
A, P = Side.INITIATOR, Side.PARTICIPANT  # who asks, who answers
REQUEST, QUERY, CNET = Protocol.REQUEST, Protocol.QUERY, Protocol.CONTRACT_NET
SUBSCRIBE, PROPOSE = Protocol.SUBSCRIBE, Protocol.PROPOSE

SCRIPTS = [
    (REQUEST, A, "!request ?agree ?inform", "done"),
    (REQUEST, A, "!request ?inform", "done"),
    (REQUEST, A, "!request ?agree ?failure", "failed"),
    (REQUEST, A, "!request ?refuse", "refused"),
    (REQUEST, A, "!request ?not-understood", "not-understood"),
    (REQUEST, A, "!request @expired", "expired"),
    (REQUEST, A, "!request ?agree @expired", "expired"),
    (REQUEST, P, "?request !agree !inform", "done"),
    (REQUEST, P, "?request !not-understood", "not-understood"),
    (REQUEST, P, "?request @expired", "expired"),
    (REQUEST, P, "?request !agree ?not-understood", "not-understood"),
    (QUERY, A, "!query-ref ?inform", "done"),
    (QUERY, A, "!query-ref ?agree ?inform", "done"),
    (QUERY, P, "?query-ref !refuse", "refused"),
    (QUERY, P, "?query-ref !agree !failure", "failed"),
    (CNET, A, "!cfp ?propose !accept-proposal ?inform", "done"),
    (CNET, A, "!cfp ?propose !accept-proposal ?failure", "failed"),
    (CNET, A, "!cfp ?propose !reject-proposal", "rejected"),
    (CNET, A, "!cfp ?propose !not-understood", "not-understood"),
    (CNET, A, "!cfp ?refuse", "refused"),
    (CNET, A, "!cfp @expired", "expired"),
    (CNET, A, "!cfp ?propose @expired", "expired"),
    (CNET, A, "!cfp ?propose !accept-proposal @expired", "expired"),
    (CNET, P, "?cfp !propose ?accept-proposal !inform", "done"),
    (CNET, P, "?cfp !propose ?reject-proposal", "rejected"),
    (CNET, P, "?cfp !propose @expired", "expired"),
    (SUBSCRIBE, A, "!subscribe ?agree ?inform ?inform ?inform", "subscribed"),
    (SUBSCRIBE, A, "!subscribe ?inform ?inform ?failure", "failed"),
    (SUBSCRIBE, A, "!subscribe ?agree ?inform !cancel ?inform ?inform-cancel", "cancelled"),
    (SUBSCRIBE, A, "!subscribe ?agree @expired", "expired"),
    (SUBSCRIBE, P, "?subscribe !agree !inform !inform ?cancel !inform-cancel", "cancelled"),
    (SUBSCRIBE, P, "?subscribe !refuse", "refused"),
    (PROPOSE, A, "!propose ?accept-proposal", "accepted"),
    (PROPOSE, A, "!propose ?reject-proposal", "rejected"),
    (PROPOSE, P, "?propose !accept-proposal", "accepted"),
    (PROPOSE, P, "?propose @expired", "expired"),
    # Cancelling what is under way: obeyed, refused, crossed by the result, crossed by the agreement, unanswered.
    (REQUEST, A, "!request ?agree !cancel ?inform-cancel", "cancelled"),
    (REQUEST, A, "!request ?agree !cancel ?failure-cancel", "agreed"),
    (REQUEST, A, "!request ?agree !cancel ?failure-cancel ?inform", "done"),
    (REQUEST, A, "!request ?agree !cancel ?failure-cancel !cancel ?inform-cancel", "cancelled"),
    (REQUEST, A, "!request ?agree !cancel ?inform", "done"),
    (REQUEST, A, "!request !cancel ?agree", "cancelling-agreed"),
    (REQUEST, A, "!request !cancel ?agree ?failure-cancel", "agreed"),
    (REQUEST, A, "!request ?agree !cancel @expired", "expired"),
    (REQUEST, P, "?request !agree ?cancel !inform-cancel", "cancelled"),
    (REQUEST, P, "?request !agree ?cancel !failure-cancel !inform", "done"),
    (REQUEST, P, "?request !agree ?cancel !inform", "done"),
    (REQUEST, P, "?request ?cancel !inform-cancel", "cancelled"),
    (CNET, A, "!cfp !cancel ?propose ?failure-cancel !accept-proposal ?inform", "done"),
    (CNET, A, "!cfp ?propose !accept-proposal !cancel ?inform-cancel", "cancelled"),
    (CNET, P, "?cfp !propose ?cancel ?accept-proposal !failure-cancel !inform", "done"),
    (PROPOSE, A, "!propose !cancel ?accept-proposal", "accepted"),
]


@pytest.mark.parametrize(("protocol", "side", "script", "state"), SCRIPTS, ids=str)
def test_a_script_ends_in_its_state(protocol: Protocol, side: Side, script: str, state: str) -> None:
    conversation, events = play(protocol, side, script)
    assert conversation.state(PEER) == state
    assert conversation.ended(PEER) == (not TABLES[protocol, side][state])
    assert all(isinstance(event, Received | Expired | Ended) for event in events)
    assert conversation.take_outbox() == []
    if conversation.ended():
        assert conversation.next_deadline() is None
        assert not events or script.split()[-1].startswith("!") or events[-1] == Ended(PEER, state)


@pytest.mark.parametrize(
    ("protocol", "side", "script"),
    [
        (REQUEST, A, "!request !request"),
        (REQUEST, A, "!request ?inform !cancel"),
        (REQUEST, P, "?request !refuse !agree"),
        (REQUEST, P, "?request !agree !refuse"),
        (CNET, A, "!cfp !accept-proposal"),
        (CNET, A, "!cfp ?propose @expired !accept-proposal"),
        (CNET, P, "?cfp !inform"),
        (CNET, P, "?cfp !propose !propose"),
        (PROPOSE, P, "?propose !refuse"),
        (REQUEST, P, "?request !cancel"),
    ],
)
def test_sending_what_the_table_does_not_have_is_our_own_bug(protocol: Protocol, side: Side, script: str) -> None:
    *before, last = script.split()
    with pytest.raises(IllegalSendError) as caught:
        play(protocol, side, script)
    reached, _ = play(protocol, side, " ".join(before))
    assert caught.value.trigger == last
    assert caught.value.state == reached.state(PEER)
    assert caught.value.allowed == reached.allowed(PEER)
    assert last in str(caught.value)
    assert all(row in str(caught.value) for row in reached.allowed(PEER))


def test_a_refused_send_changes_nothing() -> None:
    conversation, _ = play(CNET, A, "!cfp")
    early = conversation.compose(Act.ACCEPT_PROPOSAL, {}, PEER)
    before = conversation.snapshot()
    with pytest.raises(IllegalSendError):
        conversation.send(early, NOW)
    assert conversation.snapshot() == before


@pytest.mark.parametrize(
    "change",
    [{"conversation_id": "other"}, {"protocol": QUERY}, {"sender": OTHER}],
    ids=str,
)
def test_only_messages_of_this_conversation_can_be_sent(change: dict[str, object]) -> None:
    conversation = Conversation.opening(REQUEST, ME, "c")
    message = conversation.compose(Act.REQUEST, {}, PEER)
    with pytest.raises(IllegalSendError):
        conversation.send(replace(message, **change), NOW)
    assert conversation.peers == ()


def test_ids_are_counted_and_each_answer_names_what_it_answers() -> None:
    conversation = opened(CNET, PEER, OTHER)
    proposal = incoming(CNET, Act.PROPOSE, in_reply_to="c/me/1")
    conversation.receive(proposal, NOW)
    award = conversation.compose(Act.ACCEPT_PROPOSAL, {"bid_id": "b"}, PEER, reply_by=NOW + MINUTE)
    assert (award.reply_with, award.in_reply_to) == ("c/me/3", proposal.reply_with)
    assert (award.sender, award.receiver, award.conversation_id, award.protocol) == (ME, PEER, "c", CNET)
    assert (award.content, award.reply_by) == ({"bid_id": "b"}, NOW + MINUTE)


def test_the_answer_to_a_cancel_names_the_cancel_and_a_result_what_was_asked() -> None:
    ask = incoming(REQUEST, Act.REQUEST)
    conversation, _ = Conversation.answering(ask, NOW)
    conversation.send(conversation.compose(Act.AGREE, {}, PEER), NOW)
    cancel = incoming(REQUEST, Act.CANCEL)
    conversation.receive(cancel, NOW)
    answer = conversation.compose(Act.FAILURE, {}, PEER)
    assert answer.in_reply_to == cancel.reply_with
    assert conversation.trigger_of(answer) == "!failure-cancel"
    conversation.send(answer, NOW)
    result = conversation.compose(Act.INFORM, {}, PEER)
    assert (result.in_reply_to, conversation.heard(PEER)) == (ask.reply_with, ask.reply_with)
    assert conversation.trigger_of(result) == "!inform"


def test_a_message_that_was_sent_before_moves_nothing_when_it_is_sent_again() -> None:
    conversation, _ = play(REQUEST, P, "?request")
    agree = conversation.compose(Act.AGREE, {}, PEER)
    conversation.send(agree, NOW)
    conversation.send(agree, NOW)
    assert conversation.state(PEER) == "agreed"
    with pytest.raises(IllegalSendError):
        conversation.send(replace(agree, performative=Act.INFORM), NOW)


def test_a_replay_may_send_the_automatic_answers_itself() -> None:
    conversation, _ = play(CNET, A, "!cfp @expired")
    late = incoming(CNET, Act.PROPOSE)
    conversation.receive(late, NOW)
    conversation.send(conversation.compose(Act.REJECT_PROPOSAL, {}, PEER, in_reply_to=late.reply_with), NOW)
    assert conversation.take_outbox() == []
    with pytest.raises(IllegalSendError):
        conversation.send(conversation.compose(Act.REJECT_PROPOSAL, {}, PEER, in_reply_to=late.reply_with), NOW)


def test_a_message_of_a_conversation_that_nobody_has_is_not_understood() -> None:
    stray = incoming(REQUEST, Act.CANCEL)
    answer = not_understood(stray, "no such conversation", ["unknown"])
    assert answer is not None
    assert (answer.performative, answer.sender, answer.receiver) == (Act.NOT_UNDERSTOOD, ME, PEER)
    assert (answer.in_reply_to, answer.conversation_id) == (stray.reply_with, "c")
    assert not opens(stray)
    with pytest.raises(ValueError, match="cancel does not open fipa-request"):
        Conversation.answering(stray, NOW)


def test_a_copy_goes_its_own_way() -> None:
    conversation, _ = play(CNET, A, "!cfp")
    twin = conversation.copy()
    assert twin.snapshot() == conversation.snapshot()
    twin.receive(incoming(CNET, Act.PROPOSE), NOW)
    assert (twin.state(PEER), conversation.state(PEER)) == ("proposed", "called")
    assert twin.snapshot() != conversation.snapshot()
