"""Several responders in one conversation, and who is heard in it."""

from __future__ import annotations

import pytest

from protocols.acl import Performative, Protocol
from protocols.conversation import (
    OutOfSequence,
    Uninvited,
)
from protocols.tables import Side
from tests.protocols.scripts import MINUTE, NOW, OTHER, PEER, STRANGER, incoming, opened, play

Act = Performative
A, P = Side.INITIATOR, Side.PARTICIPANT  # who asks, who answers
REQUEST, CNET = Protocol.REQUEST, Protocol.CONTRACT_NET


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
