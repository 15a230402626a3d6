"""A sound trace has no fault; each way to spoil it is found, on its line, under its rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from protocols import exchanges as x
from protocols.acl import AclMessage, Protocol
from protocols.acl import Performative as Act
from protocols.check import check
from protocols.roles import Role
from protocols.semantics import Rule
from protocols.trace import message_line, read_entry
from tests.protocols.play import Play, changed, with_content
from tests.protocols.samples import START, ZONE, sample

DSO, VPP, RIVAL, CPO, OWNER, TSO, DF = (
    f"{name}@localhost" for name in ("dso", "vpp1", "vpp2", "cpo", "owner1", "tso", "df")
)
ROLES = {
    DSO: Role.DSO,
    VPP: Role.VPP,
    RIVAL: Role.VPP,
    CPO: Role.CPO,
    OWNER: Role.EV_OWNER,
    TSO: Role.TSO,
    DF: Role.DIRECTORY,
}
T = START - timedelta(hours=1)
BY = T + timedelta(minutes=5)
NESTED_BY = T + timedelta(minutes=3)
DECLINED = x.Reason(code="no-flexibility", reason="no vehicle is connected")


def minutes(count: float) -> datetime:
    return T + timedelta(minutes=count)


def negotiation() -> Play:
    """BUC 6 whole: a subscription, a pool with an award and a refusal, an activation that asks two levels below."""
    play = Play(ROLES)
    play.open(Protocol.SUBSCRIBE, "sub", TSO, DSO, Act.SUBSCRIBE, sample(x.ActivatedResourcesSubscription), T, BY)
    play.say("sub", DSO, TSO, Act.AGREE, x.Done(reference="sub"), T)
    for bidder in (VPP, RIVAL):
        play.open(Protocol.CONTRACT_NET, "pool", DSO, bidder, Act.CFP, sample(x.PoolOpening), T, BY)
    play.say("pool", VPP, DSO, Act.PROPOSE, sample(x.PoolBid), minutes(1))
    play.say("pool", RIVAL, DSO, Act.REFUSE, DECLINED, minutes(1))
    play.say("pool", DSO, VPP, Act.ACCEPT_PROPOSAL, sample(x.PoolAward), minutes(5))
    play.say("pool", VPP, DSO, Act.INFORM, x.Done(reference="pb1"), minutes(5))
    play.open(Protocol.REQUEST, "order", DSO, VPP, Act.REQUEST, sample(x.PoolActivation), minutes(6), minutes(16))
    play.open(Protocol.REQUEST, "cpo", VPP, CPO, Act.REQUEST, sample(x.CpoActivation), minutes(6), minutes(12))
    play.open(
        Protocol.PROPOSE, "owner", CPO, OWNER, Act.PROPOSE, sample(x.ParticipationRequest), minutes(6), minutes(9)
    )
    play.say("owner", OWNER, CPO, Act.ACCEPT_PROPOSAL, sample(x.ParticipationReply), minutes(8))
    play.say("cpo", CPO, VPP, Act.AGREE, sample(x.CpoActivationResponse), minutes(9))
    play.say("order", VPP, DSO, Act.AGREE, sample(x.VppActivationResponse), minutes(9))
    told = sample(x.ActivatedResources).model_copy(update={"activation_id": "a6", "power_kw": 20.0})
    play.say("sub", DSO, TSO, Act.INFORM, told, minutes(9))
    play.say("cpo", CPO, VPP, Act.INFORM, x.Done(reference="a6"), minutes(95))
    play.say("order", VPP, DSO, Act.INFORM, x.Done(reference="a6"), minutes(95))
    return play


SUBSCRIBE, SUB_AGREE, CFP, CFP_RIVAL, PROPOSE, REFUSE, AWARD, AWARD_DONE = range(2, 10)
ORDER, ORDER_CPO, ASK_OWNER, OWNER_YES, CPO_AGREE, VPP_AGREE, TELL_TSO, CPO_DONE, VPP_DONE = range(10, 19)


def faults(lines: list[str]) -> list[tuple[int, str]]:
    return [(fault.line, fault.rule) for fault in check(lines, zone=ZONE)]


def spoilt(line: int, change: Callable[[str], str]) -> list[tuple[int, str]]:
    lines = negotiation().lines
    lines[line - 1] = change(lines[line - 1])
    return faults(lines)


def test_a_sound_trace_has_no_fault() -> None:
    assert check(negotiation().lines) == []


def test_a_trace_that_stops_before_a_deadline_has_no_fault() -> None:
    lines = negotiation().lines
    for length in range(1, len(lines)):
        assert check(lines[:length]) == [], length


@pytest.mark.parametrize("line", range(SUBSCRIBE, VPP_DONE + 1))
def test_the_same_message_twice_is_no_fault(line: int) -> None:
    lines = negotiation().lines
    lines.insert(line, lines[line - 1])
    assert faults(lines) == []


@pytest.mark.parametrize("line", range(SUBSCRIBE, VPP_DONE + 1))
def test_a_content_with_an_unknown_field_is_a_fault_on_its_line(line: int) -> None:
    assert (line, "content") in spoilt(line, lambda text: with_content(text, surprise=1))


def test_every_fault_of_a_content_is_told_with_its_path() -> None:
    lines = negotiation().lines
    lines[CFP - 1] = with_content(lines[CFP - 1], power_needed_kw=-1, start="soon")
    told = [str(fault) for fault in check(lines) if fault.line == CFP and fault.rule == "content"]
    assert told == [
        f"line {CFP}: content: start: not a time as in 2026-07-01T12:00:00+02:00",
        f"line {CFP}: content: power_needed_kw: Input should be greater than 0",
    ]


@pytest.mark.parametrize("line", [CFP, PROPOSE, AWARD, ORDER, ORDER_CPO, ASK_OWNER, OWNER_YES, SUBSCRIBE])
def test_a_message_from_a_role_that_may_not_send_it_is_a_fault_of_authority(line: int) -> None:
    lines = negotiation().lines
    entry = read_entry(line, lines[line - 1])
    wrong = {**ROLES, entry.message.sender: Role.PRODUCER}
    lines[0] = Play(wrong).lines[0]
    assert (line, "authority") in faults(lines)


def test_a_sender_without_a_role_is_a_fault_and_declining_it_is_none() -> None:
    play = negotiation()
    stranger = "stranger@localhost"
    order = sample(x.PoolActivation).model_copy(update={"activation_id": "theft"})
    play.open(Protocol.REQUEST, "theft", stranger, VPP, Act.REQUEST, order, minutes(96), minutes(97))
    play.say("theft", VPP, stranger, Act.REFUSE, x.Reason(code="not-authorised", reason="who?"), minutes(96))
    found = faults(play.lines)
    assert {line for line, _ in found} == {VPP_DONE + 1}
    assert (VPP_DONE + 1, "authority") in found


@pytest.mark.parametrize(
    ("line", "act"),
    [(SUB_AGREE, "propose"), (PROPOSE, "inform"), (AWARD, "cfp"), (CPO_AGREE, "accept-proposal"), (OWNER_YES, "agree")],
)
def test_an_act_that_the_table_does_not_have_is_a_fault_of_the_protocol(line: int, act: str) -> None:
    assert (line, "protocol") in spoilt(line, lambda text: changed(text, performative=act))


def test_a_second_answer_is_a_fault_of_the_protocol() -> None:
    lines = negotiation().lines
    lines.insert(VPP_AGREE, changed(lines[VPP_AGREE - 1], reply_with="order/vpp1/second"))
    assert (VPP_AGREE + 1, "protocol") in faults(lines)


def test_a_message_of_a_conversation_that_nobody_opened_is_a_fault() -> None:
    found = spoilt(VPP_DONE, lambda text: changed(text, conversation_id="nowhere"))
    assert found == [(VPP_DONE, "protocol")]


def test_an_answer_to_a_message_that_was_never_sent_is_a_fault() -> None:
    assert (PROPOSE, "protocol") in spoilt(PROPOSE, lambda text: changed(text, in_reply_to="pool/dso/99"))


def test_an_uninvited_agent_that_knows_the_conversation_id_is_a_fault() -> None:
    lines = negotiation().lines
    bid = changed(lines[PROPOSE - 1], sender=CPO, reply_with="pool/cpo/1")
    lines.insert(PROPOSE, bid)
    assert (PROPOSE + 1, "protocol") in faults(lines)


def test_a_conversation_id_that_another_initiator_uses_is_a_fault() -> None:
    play = negotiation()
    opening = AclMessage(
        Act.REQUEST, CPO, VPP, Protocol.REQUEST, "order", "order/cpo/1", sample(x.CpoActivation).to_json()
    )
    play.write(opening, minutes(96))
    told = [str(fault) for fault in check(play.lines)]
    assert f"line {VPP_DONE + 1}: protocol: {VPP} is in conversation order with others" in told


@pytest.mark.parametrize("line", [PROPOSE, REFUSE, OWNER_YES, CPO_AGREE])
def test_an_answer_after_the_reply_by_is_a_fault_and_at_the_reply_by_is_none(line: int) -> None:
    lines = negotiation().lines
    entry = read_entry(line, lines[line - 1])
    asked = next(
        read_entry(number, text)
        for number, text in enumerate(lines[1:], start=2)
        if read_entry(number, text).message.reply_with == entry.message.in_reply_to
    )
    reply_by = asked.message.reply_by
    assert reply_by is not None
    upto = lines[:line]
    assert faults([*upto[:-1], message_line(entry.message, reply_by)]) == []
    late = faults([*upto[:-1], message_line(entry.message, reply_by + timedelta(seconds=1))])
    assert (line, "deadline") in late


def test_a_late_proposal_is_a_fault_and_its_rejection_is_none() -> None:
    play = Play(ROLES)
    play.open(Protocol.CONTRACT_NET, "pool", DSO, VPP, Act.CFP, sample(x.PoolOpening), T, BY)
    bid = AclMessage(
        Act.PROPOSE, VPP, DSO, Protocol.CONTRACT_NET, "pool", "pool/vpp1/1", sample(x.PoolBid).to_json(), "pool/dso/1"
    )
    play.write(bid, minutes(6))
    late = x.Reason(code="late", reason="the pool is closed")
    rejection = AclMessage(
        Act.REJECT_PROPOSAL, DSO, VPP, Protocol.CONTRACT_NET, "pool", "pool/dso/2", late.to_json(), "pool/vpp1/1"
    )
    play.write(rejection, minutes(6))
    assert faults(play.lines) == [(3, "deadline")]


def test_a_message_whose_own_reply_by_has_passed_is_a_fault() -> None:
    past = (T - timedelta(seconds=1)).isoformat()
    assert (CFP, "deadline") in spoilt(CFP, lambda text: changed(text, reply_by=past))


@pytest.mark.parametrize("line", [SUB_AGREE, PROPOSE, REFUSE])
def test_what_is_never_answered_is_a_fault_on_the_line_that_asked(line: int) -> None:
    lines = negotiation().lines
    entry = read_entry(line, lines.pop(line - 1))
    # What followed in that conversation goes with it.
    peers = {entry.message.sender, entry.message.receiver}
    kept = [
        text
        for number, text in enumerate(lines, start=1)
        if number < line
        or (m := read_entry(number, text).message).conversation_id != entry.message.conversation_id
        or {m.sender, m.receiver} != peers
    ]
    asked = {SUB_AGREE: SUBSCRIBE, PROPOSE: CFP, REFUSE: CFP_RIVAL}[line]
    assert (asked, "unanswered") in faults(kept)


def test_the_same_id_with_other_content_is_a_fault() -> None:
    lines = negotiation().lines
    lines.insert(PROPOSE, with_content(lines[PROPOSE - 1], power_kw=19.0))
    assert faults(lines) == [(PROPOSE + 1, "same-id")]


def test_a_line_that_goes_back_in_time_is_a_fault() -> None:
    assert (VPP_DONE, "trace") in spoilt(VPP_DONE, lambda text: changed(text, at=T.isoformat()))


def test_a_line_that_is_no_message_is_a_fault_and_the_rest_is_still_checked() -> None:
    lines = negotiation().lines
    lines.insert(CFP, "{")
    lines[-1] = changed(lines[-1], conversation_id="nowhere")
    assert faults(lines) == [(CFP + 1, "trace"), (VPP_DONE + 1, "protocol")]


@pytest.mark.parametrize("lines", [[], ["nothing"], ['{"trace":2}']])
def test_a_trace_without_a_header_has_its_fault_on_line_1(lines: list[str]) -> None:
    assert faults(lines) == [(1, "trace")]


def test_an_answer_of_another_dialogue_has_no_place() -> None:
    play = Play(ROLES)
    play.open(Protocol.REQUEST, "order", DSO, VPP, Act.REQUEST, sample(x.PoolActivation), minutes(6))
    play.say("order", VPP, DSO, Act.AGREE, sample(x.ActivationConfirmation), minutes(7))
    told = [str(fault) for fault in check(play.lines) if fault.rule == "catalogue"]
    assert told == ["line 3: catalogue: agree with ActivationConfirmation has no place in a dialogue opened by 6.2.1"]


def test_a_cancel_of_an_activation_under_way_and_its_answer_are_no_fault() -> None:
    lines = negotiation()
    play = Play(ROLES)
    play.lines = lines.lines[: TELL_TSO - 1]
    play._sides = lines._sides
    order = read_entry(ORDER, play.lines[ORDER - 1]).message
    cancel = AclMessage(
        Act.CANCEL,
        DSO,
        VPP,
        Protocol.REQUEST,
        "order",
        "order/dso/cancel",
        sample(x.Cancellation).model_copy(update={"reference": "a6"}).to_json(),
        read_entry(VPP_AGREE, play.lines[VPP_AGREE - 1]).message.reply_with,
        minutes(20),
    )
    play.write(cancel, minutes(10))
    done = AclMessage(
        Act.INFORM,
        VPP,
        DSO,
        Protocol.REQUEST,
        "order",
        "order/vpp1/stopped",
        x.Done(reference="a6").to_json(),
        cancel.reply_with,
    )
    play.write(done, minutes(11))
    assert order.conversation_id == "order"
    assert check(play.lines) == []
    # The same inform as the result of the request would come after the end.
    play.write(
        AclMessage(**{**_members(done), "reply_with": "order/vpp1/x", "in_reply_to": "order/dso/1"}), minutes(12)
    )
    assert faults(play.lines) == [(len(play.lines), "protocol")]


def test_a_cancel_of_something_else_than_the_conversation_is_about_is_a_fault() -> None:
    lines = negotiation()
    play = Play(ROLES)
    play.lines = lines.lines[: TELL_TSO - 1]
    play._sides = lines._sides
    cancel = AclMessage(
        Act.CANCEL,
        DSO,
        VPP,
        Protocol.REQUEST,
        "order",
        "order/dso/cancel",
        sample(x.Cancellation).to_json(),
        read_entry(VPP_AGREE, play.lines[VPP_AGREE - 1]).message.reply_with,
        minutes(20),
    )
    play.write(cancel, minutes(10))
    assert faults(play.lines) == [(len(play.lines), Rule.WRONG_CANCELLATION)]


@pytest.mark.parametrize(
    ("line", "members", "rule"),
    [
        (PROPOSE, {"price_eur_per_kw": "0.51"}, Rule.PRICE_ABOVE_MAXIMUM),
        (PROPOSE, {"pool_id": "another"}, Rule.UNKNOWN_REFERENCE),
        (PROPOSE, {"baseline_kw": [1.0]}, Rule.BASELINE),
        (CFP_RIVAL, {"power_needed_kw": 3.0}, Rule.SAME_ID_OTHER_CONTENT),
        (ORDER, {"congestion_point": "elsewhere"}, Rule.WRONG_CONGESTION_POINT),
        (ORDER, {"power_kw": 21.0}, Rule.POWER_BOUNDS),
        (ORDER, {"start": (START + timedelta(minutes=1)).isoformat()}, Rule.PERIOD_BOUNDS),
        (TELL_TSO, {"activation_id": "unheard"}, Rule.UNKNOWN_REFERENCE),
    ],
)
def test_a_content_without_sense_is_a_fault_under_its_rule(line: int, members: dict[str, object], rule: Rule) -> None:
    assert (line, rule) in spoilt(line, lambda text: with_content(text, **members))


def test_a_bid_that_is_ordered_twice_is_a_fault() -> None:
    play = negotiation()
    again = sample(x.PoolActivation).model_copy(update={"activation_id": "again"})
    play.open(Protocol.REQUEST, "order-2", DSO, VPP, Act.REQUEST, again, minutes(80), minutes(85))
    play.lines = [*play.lines[:-3], play.lines[-1]]
    assert (len(play.lines), "ordered-twice") in faults(play.lines)


def _members(message: AclMessage) -> dict[str, object]:
    return {name: getattr(message, name) for name in AclMessage.__dataclass_fields__}
