"""When a conversation gives up waiting, and what a reply-by that has passed means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from protocols.acl import Performative, Protocol
from protocols.conversation import (
    Conversation,
    Ended,
    Expired,
    IllegalSendError,
    Late,
    Patience,
    Received,
)
from protocols.tables import OPENING, Side
from tests.protocols.scripts import ME, MINUTE, NOW, OTHER, PEER, STRANGER, incoming, opened, play

Act = Performative
A, P = Side.INITIATOR, Side.PARTICIPANT  # who asks, who answers
REQUEST, CNET, SUBSCRIBE = Protocol.REQUEST, Protocol.CONTRACT_NET, Protocol.SUBSCRIBE


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
