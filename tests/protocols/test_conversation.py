"""Conversations by script: what each protocol allows, and what happens to everything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.acl import AclMessage, Performative, Protocol
from protocols.conversation import (
    Conflict,
    Conversation,
    Duplicate,
    Ended,
    Expired,
    IllegalSendError,
    Late,
    Misunderstood,
    OutOfSequence,
    Patience,
    Received,
    Uninvited,
    not_understood,
    opens,
)
from protocols.tables import OPENING, TABLES, Side
from tests.protocols.scripts import ME, MINUTE, NOW, OTHER, PEER, STRANGER, incoming, opened, play

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


# Ids


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


# Deadlines


def test_an_answer_at_the_deadline_is_in_time_and_one_after_it_is_late() -> None:
    due = NOW + 5 * MINUTE
    in_time, late = opened(REQUEST, reply_by=due), opened(REQUEST, reply_by=due)
    assert in_time.next_deadline() == due
    assert in_time.expire(due - timedelta(microseconds=1)) == ()
    agree = incoming(REQUEST, Act.AGREE)
    assert in_time.receive(agree, due) == (Received(agree, "agreed"),)
    after = due + timedelta(microseconds=1)
    assert late.receive(agree, after) == (Expired(PEER, "requested"), Ended(PEER, "expired"), Late(agree))
    assert late.take_outbox() == []


def test_every_deadline_that_is_due_is_applied_and_told_once() -> None:
    conversation = Conversation.opening(CNET, ME, "c")
    for minutes, peer in ((1, PEER), (2, OTHER), (9, STRANGER)):
        conversation.send(conversation.compose(Act.CFP, {}, peer, reply_by=NOW + minutes * MINUTE), NOW)
    events = conversation.expire(NOW + 2 * MINUTE)
    assert events == (
        Expired(PEER, "called"),
        Ended(PEER, "expired"),
        Expired(OTHER, "called"),
        Ended(OTHER, "expired"),
    )
    assert conversation.expire(NOW + 2 * MINUTE) == ()
    assert conversation.next_deadline() == NOW + 9 * MINUTE
    assert not conversation.ended()


@pytest.mark.parametrize("protocol", Protocol, ids=str)
def test_a_reply_by_already_past_is_never_performed(protocol: Protocol) -> None:
    ask = incoming(protocol, OPENING[protocol], reply_by=NOW - timedelta(seconds=1))
    conversation, events = Conversation.answering(ask, NOW)
    assert [type(event) for event in events] == [Expired, Ended]
    assert conversation.ended()
    with pytest.raises(IllegalSendError, match="has ended"):
        conversation.send(conversation.compose(Act.NOT_UNDERSTOOD, {}, PEER), NOW)


def test_an_award_whose_reply_by_is_past_is_never_performed() -> None:
    conversation, _ = play(CNET, P, "?cfp !propose")
    events = conversation.receive(incoming(CNET, Act.ACCEPT_PROPOSAL, reply_by=NOW - MINUTE), NOW)
    assert events == (Expired(PEER, "awarded"), Ended(PEER, "expired"))


def test_a_responder_that_must_ask_others_keeps_its_state_until_the_reply_by() -> None:
    due = NOW + 10 * MINUTE
    ask = incoming(REQUEST, Act.REQUEST, reply_by=due)
    outer, _ = Conversation.answering(ask, NOW)
    inner = Conversation.opening(REQUEST, ME, "nested")
    inner.send(inner.compose(Act.REQUEST, {}, OTHER, reply_by=NOW + 8 * MINUTE), NOW)
    assert outer.expire(NOW + 8 * MINUTE) == ()
    assert inner.expire(NOW + 8 * MINUTE) == (Expired(OTHER, "requested"), Ended(OTHER, "expired"))
    assert (outer.state(PEER), outer.next_deadline()) == ("requested", due)
    outer.send(outer.compose(Act.REFUSE, {}, PEER), NOW + 9 * MINUTE)
    assert outer.state(PEER) == "refused"


def test_a_responder_that_asked_others_for_too_long_may_not_answer() -> None:
    ask = incoming(REQUEST, Act.REQUEST, reply_by=NOW + MINUTE)
    conversation, _ = Conversation.answering(ask, NOW)
    agree = conversation.compose(Act.AGREE, {}, PEER)
    with pytest.raises(IllegalSendError, match="'expired'"):
        conversation.send(agree, NOW + 2 * MINUTE)
    assert conversation.expire(NOW + 2 * MINUTE) == (Expired(PEER, "requested"), Ended(PEER, "expired"))


def test_without_a_reply_by_a_default_holds_for_each_kind_of_waiting() -> None:
    patience = Patience(answer=MINUTE, result=10 * MINUTE, lease=100 * MINUTE)
    asked = Conversation.opening(REQUEST, ME, "c", patience=patience)
    asked.send(asked.compose(Act.REQUEST, {}, PEER), NOW)
    assert asked.next_deadline() == NOW + MINUTE
    asked.receive(incoming(REQUEST, Act.AGREE), NOW)
    assert asked.next_deadline() == NOW + 10 * MINUTE
    publishing, _ = Conversation.answering(incoming(SUBSCRIBE, Act.SUBSCRIBE), NOW, patience=patience)
    publishing.send(publishing.compose(Act.AGREE, {}, PEER), NOW)
    assert publishing.next_deadline() == NOW + 100 * MINUTE


def test_the_owner_sets_the_deadline_of_the_present_state() -> None:
    conversation, _ = play(REQUEST, A, "!request ?agree")
    done_by = NOW + timedelta(hours=3)
    conversation.await_until(PEER, done_by)
    assert conversation.next_deadline() == done_by
    with pytest.raises(ValueError, match="offset"):
        conversation.await_until(PEER, datetime(2026, 3, 29, tzinfo=UTC).replace(tzinfo=None))
    conversation.expire(done_by)
    for nobody in (PEER, STRANGER):
        with pytest.raises(ValueError, match="nothing is awaited"):
            conversation.await_until(nobody, done_by)


def test_each_word_of_the_publisher_prolongs_a_lease_and_none_shortens_it() -> None:
    conversation, _ = play(SUBSCRIBE, A, "!subscribe ?agree")
    lease = conversation.patience.lease
    conversation.receive(incoming(SUBSCRIBE, Act.INFORM), NOW + MINUTE)
    assert conversation.next_deadline() == NOW + MINUTE + lease
    conversation.await_until(PEER, NOW + 2 * lease)
    conversation.receive(incoming(SUBSCRIBE, Act.INFORM), NOW + 2 * MINUTE)
    assert conversation.next_deadline() == NOW + 2 * lease


def test_only_acts_that_a_reply_is_due_to_set_a_deadline() -> None:
    conversation, _ = play(REQUEST, A, "!request")
    conversation.receive(incoming(REQUEST, Act.AGREE, reply_by=NOW - MINUTE), NOW)
    assert conversation.state(PEER) == "agreed"


def test_a_cancel_that_is_refused_gives_the_work_its_own_deadline_back() -> None:
    conversation, _ = play(REQUEST, A, "!request ?agree")
    done_by = NOW + 60 * MINUTE
    conversation.await_until(PEER, done_by)
    cancel = conversation.compose(Act.CANCEL, {}, PEER, reply_by=NOW + MINUTE)
    conversation.send(cancel, NOW)
    assert conversation.next_deadline() == NOW + MINUTE
    conversation.receive(incoming(REQUEST, Act.FAILURE, in_reply_to=cancel.reply_with), NOW)
    assert (conversation.state(PEER), conversation.next_deadline()) == ("agreed", done_by)


# Late, duplicate, conflicting, out of sequence


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


# Several responders, and who is heard


def test_each_responder_has_its_own_state() -> None:
    conversation = opened(CNET, PEER, OTHER, STRANGER, reply_by=NOW + MINUTE)
    assert conversation.peers == (PEER, OTHER, STRANGER)
    conversation.receive(incoming(CNET, Act.PROPOSE), NOW)
    conversation.receive(incoming(CNET, Act.REFUSE, sender=OTHER), NOW)
    conversation.expire(NOW + MINUTE)
    assert [conversation.state(peer) for peer in conversation.peers] == ["proposed", "refused", "expired"]
    assert (conversation.ended(OTHER), conversation.ended()) == (True, False)
    conversation.send(conversation.compose(Act.REJECT_PROPOSAL, {}, PEER), NOW + MINUTE)
    assert conversation.ended()


@pytest.mark.parametrize("act", ["propose", "refuse", "inform", "cfp", "cancel"])
def test_only_an_invited_agent_counts_whoever_knows_the_conversation_id(act: str) -> None:
    conversation, _ = play(CNET, A, "!cfp")
    before = conversation.state(PEER), conversation.peers, conversation.next_deadline()
    forged = incoming(CNET, act, sender=STRANGER, in_reply_to="c/me/1")
    assert conversation.receive(forged, NOW) == (Uninvited(forged),)
    (answer,) = conversation.take_outbox()
    assert (answer.performative, answer.receiver) == (Act.NOT_UNDERSTOOD, STRANGER)
    assert (conversation.state(PEER), conversation.peers, conversation.next_deadline()) == before


def test_only_the_agent_that_asked_can_cancel() -> None:
    conversation, _ = play(REQUEST, P, "?request !agree")
    cancel = incoming(REQUEST, Act.CANCEL, sender=STRANGER)
    assert conversation.receive(cancel, NOW) == (Uninvited(cancel),)
    assert conversation.state(PEER) == "agreed"


def test_an_invited_agent_cannot_answer_for_another() -> None:
    conversation = opened(CNET, PEER, OTHER)
    forged = incoming(CNET, Act.PROPOSE, sender=OTHER, in_reply_to="c/me/1")
    (event,) = conversation.receive(forged, NOW)
    assert isinstance(event, OutOfSequence)
    assert (conversation.state(PEER), conversation.state(OTHER)) == ("called", "called")


# What replays and outsiders need


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


@settings(max_examples=100, deadline=None)
@given(said=st.lists(st.tuples(messages, times), max_size=10), opening=messages.filter(opens), now=times)
def test_answering_never_raises_either(
    opening: AclMessage, now: datetime, said: list[tuple[AclMessage, datetime]]
) -> None:
    conversation, events = Conversation.answering(opening, now)
    assert isinstance(events[0], Received | Expired)
    for message, at in said:
        conversation.receive(message, at)
    conversation.expire(datetime.max.replace(tzinfo=UTC))
    assert conversation.ended()
