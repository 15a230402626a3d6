"""An exam has teeth: our own agents, each with one deliberate fault, are caught by the name of the rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from protocols.acl import AclMessage, Performative, Protocol
from tests.exam.wrong import Change, Faulty, Sent, act, broken, examined, given, letter_of, members

EVENING = "buc6/the-ordinary-course"
MARKET = "buc1/the-ordinary-course"
HELP = "buc3/the-ordinary-course"
LATE = timedelta(hours=1)
Content = dict[str, Any]


def said_twice(message: AclMessage) -> Iterable[Sent]:
    return message, replace(message, reply_with=f"{message.reply_with}-twice")


def overdue(message: AclMessage) -> Iterable[Sent]:
    assert message.reply_by is not None
    return (replace(message, reply_by=message.reply_by - LATE),)


def swallowed(message: AclMessage) -> Iterable[Sent]:
    return ()


def late(message: AclMessage) -> Iterable[Sent]:
    return ((LATE, message),)


def under(**changed: Any) -> Callable[[AclMessage], Iterable[Sent]]:
    """The message under other parameters."""
    return lambda message: (replace(message, **changed),)


def elsewhere(faulty: Faulty, message: AclMessage) -> Iterable[Sent]:
    """A bid is put into a conversation with somebody else."""
    if message.exchange == "6.1.2":
        other = next(m for m in faulty.past if m.receiver != message.receiver)
        return (replace(message, conversation_id=other.conversation_id),)
    return (message,)


def same_reply_with(faulty: Faulty, message: AclMessage) -> Iterable[Sent]:
    """Every message to a partner has the same id within its conversation."""
    return (replace(message, reply_with=f"{message.conversation_id}/always-the-same"),)


def first_bid_id(faulty: Faulty, message: AclMessage) -> Iterable[Sent]:
    bids = [m for m in faulty.past if m.exchange == "6.1.2"]
    again = message.exchange == "6.1.2" and bids
    return (given(message, bid_id=bids[0].content["bid_id"]),) if again else (message,)


def confirms_another(faulty: Faulty, message: AclMessage) -> Iterable[Sent]:
    """The second activation is confirmed by the first one's id."""
    before = [m for m in faulty.past if m.exchange == "6.2.5"]
    again = message.exchange == "6.2.5" and before
    return (given(message, activation_id=before[0].content["activation_id"]),) if again else (message,)


def ordered_again(message: AclMessage) -> Iterable[Sent]:
    """The same flexibility is ordered a second time, in a conversation of its own."""
    again = replace(message, conversation_id=f"{message.conversation_id}-b", reply_with=f"{message.reply_with}-b")
    return message, given(again, activation_id=f"{message.content['activation_id']}-b")


def more_power(message: AclMessage) -> Iterable[Sent]:
    return (given(message, power_kw=float(message.content["power_kw"]) * 2 + 1),)


def without(name: str) -> Callable[[AclMessage], Iterable[Sent]]:
    def changed(message: AclMessage) -> Iterable[Sent]:
        return (replace(message, content={k: v for k, v in message.content.items() if k != name}),)

    return changed


def turns_down(faulty: Faulty, message: AclMessage) -> Iterable[Sent]:
    """Everything that it is asked is refused."""
    if message.in_reply_to is None or "directory" in message.receiver:
        return (message,)
    opened = any(m.conversation_id == message.conversation_id and m.in_reply_to is None for m in faulty.past)
    reason: Content = {"exchange": None, "code": "no", "reason": "no", "faults": []}
    refused = replace(message, performative=Performative.REFUSE, content=reason, reply_by=None)
    return (message,) if opened else (refused,)


def misunderstands(message: AclMessage) -> Iterable[Sent]:
    reason: Content = {"exchange": None, "code": "what", "reason": "what?", "faults": []}
    return (replace(message, performative=Performative.NOT_UNDERSTOOD, content=reason, reply_by=None),)


def floods(message: AclMessage) -> Iterable[Sent]:
    return [replace(message, reply_with=f"{message.reply_with}-{number}") for number in range(2000)]


def done_first(message: AclMessage) -> Iterable[Sent]:
    """It says that it is done, and agrees afterwards."""
    done = given(replace(message, performative=Performative.INFORM, reply_with=f"{message.reply_with}-done"))
    return replace(done, content={"exchange": None, "reference": "done"}), message


def a_period_later(message: AclMessage) -> Iterable[Sent]:
    times = {name: datetime.fromisoformat(message.content[name]) for name in ("start", "end")}
    return (given(message, **{name: (at + timedelta(minutes=15)).isoformat() for name, at in times.items()}),)


def in_other_words(message: AclMessage) -> Iterable[Sent]:
    """A pool's activation is confirmed as the market's would be."""
    activation_id = message.content["activation_id"]
    confirmed = {"exchange": "1.2.4", "activation_id": activation_id, "available_power_kw": 1.0, "reason": None}
    return (replace(message, content=confirmed),)


def bill_of_its_own(message: AclMessage) -> Iterable[Sent]:
    """A VPP bills the DSO, which is for the FMO to do."""
    bill = {
        "exchange": "1.2.7",
        "bill_id": "mine",
        "activation_id": message.content["activation_id"],
        "payer": message.receiver,
        "payee": message.sender,
        "volume_kwh": 1.0,
        "price_eur_per_kw": "1.00",
        "remuneration_eur": "4.00",
        "penalty_eur": "0.00",
        "amount_eur": "4.00",
        "due": "2026-03-30T00:00:00+00:00",
    }
    name = f"{message.sender}-bill"
    billed = replace(message, performative=Performative.REQUEST, protocol=Protocol.REQUEST, content=bill)
    return message, replace(billed, conversation_id=name, reply_with=f"{name}/1", in_reply_to=None, reply_by=None)


FAULTS: dict[str, tuple[str, str, str, Change]] = {
    "registers as another role": ("vpp", EVENING, "registered", members("df.register", "request", role="dso")),
    "registers another": ("vpp", EVENING, "registered", members("df.register", "request", jid="cpo1@localhost")),
    "answers what was not asked": ("vpp", EVENING, "protocol", act("6.1.2", "propose", under(in_reply_to="nothing"))),
    "speaks in another's conversation": ("vpp", EVENING, "protocol", elsewhere),
    "bids for a pool that there is not": (
        "vpp",
        EVENING,
        "unknown-reference",
        members("6.1.2", "propose", pool_id="x"),
    ),
    "bids above the maximum": (
        "vpp",
        EVENING,
        "price-above-maximum",
        members("6.1.2", "propose", price_eur_per_kw="9.99"),
    ),
    "nominates too many periods": ("vpp", EVENING, "baseline", members("6.1.2", "propose", baseline_kw=[1.0] * 5)),
    "leaves the price out": ("vpp", EVENING, "content", act("6.1.2", "propose", without("price_eur_per_kw"))),
    "says more than the content has": ("vpp", EVENING, "content", members("6.1.2", "propose", colour="green")),
    "offers less than nothing": ("vpp", EVENING, "content", members("6.1.2", "propose", power_kw=-5.0)),
    "names no exchange": ("vpp", EVENING, "content", act("6.1.2", "propose", without("exchange"))),
    "bids too late": ("vpp", EVENING, "deadline", act("6.1.2", "propose", late)),
    "does not bid at all": ("vpp", EVENING, "unanswered", act("6.1.2", "propose", swallowed)),
    "says nothing to an activation": ("vpp", EVENING, "unanswered", act("6.2.5", "agree", swallowed)),
    "does not pay": ("vpp", MARKET, "unanswered", act("1.2.7", "inform", swallowed)),
    "agrees twice": ("vpp", EVENING, "protocol", act("6.2.5", "agree", said_twice)),
    "is done before it has agreed": ("vpp", EVENING, "protocol", act("6.2.5", "agree", done_first)),
    "answers in another protocol": (
        "vpp",
        EVENING,
        "content",
        act("6.2.5", "agree", under(protocol=Protocol.CONTRACT_NET)),
    ),
    "confirms by another's act": (
        "vpp",
        EVENING,
        "content",
        act("6.2.5", "agree", under(performative=Performative.ACCEPT_PROPOSAL)),
    ),
    "gives every message one id": ("vpp", EVENING, "same-id", same_reply_with),
    "gives two bids one id": ("vpp", EVENING, "same-id-other-content", first_bid_id),
    "confirms an activation that there is not": (
        "vpp",
        EVENING,
        "unknown-reference",
        members("6.2.5", "agree", activation_id="x"),
    ),
    "confirms one activation twice": ("vpp", EVENING, "reference-already-used", confirms_another),
    "orders more than was ordered": ("vpp", EVENING, "power-bounds", act("6.2.2", "request", more_power)),
    "orders at another place": (
        "vpp",
        MARKET,
        "wrong-congestion-point",
        members("1.2.3", "request", congestion_point="elsewhere"),
    ),
    "orders beyond the time": (
        "vpp",
        MARKET,
        "period-bounds",
        act("1.2.3", "request", a_period_later),
    ),
    "pays another sum": ("vpp", MARKET, "wrong-amount", members("1.2.7", "inform", amount_eur="0.01")),
    "pays another bill": ("vpp", MARKET, "unknown-reference", members("1.2.7", "inform", bill_id="x")),
    "bills, which is another's": ("vpp", EVENING, "authority", act("1.x.5", "propose", bill_of_its_own)),
    "confirms with another exchange's words": (
        "vpp",
        EVENING,
        "catalogue",
        act("6.2.5", "agree", in_other_words),
    ),
    "asks for an answer in the past": (
        "vpp",
        EVENING,
        "deadline",
        act("1.2.1", "query-ref", overdue),
    ),
    "sends what is not JSON": (
        "vpp",
        EVENING,
        "readable",
        act("6.1.2", "propose", lambda m: (replace(letter_of(m), body="{bid"),)),
    ),
    "names no act": (
        "vpp",
        EVENING,
        "readable",
        act("6.1.2", "propose", lambda m: (broken(letter_of(m), performative=None),)),
    ),
    "understands nothing": ("vpp", EVENING, "understood", act("6.2.5", "agree", misunderstands)),
    "turns everything down": ("vpp", EVENING, "takes-part", turns_down),
    "floods": ("vpp", EVENING, "flood", act("6.1.2", "propose", floods)),
    "awards more than was offered": ("dso", EVENING, "power-bounds", act("6.x.1", "accept-proposal", more_power)),
    "pays less than was asked": (
        "dso",
        EVENING,
        "price-below-bid",
        members("6.x.1", "accept-proposal", price_eur_per_kw="0.0001"),
    ),
    "activates twice": ("dso", EVENING, "ordered-twice", act("6.2.1", "request", ordered_again)),
    "activates what it has not bought": (
        "dso",
        EVENING,
        "unknown-reference",
        members("6.2.1", "request", bid_id="vpp2-pool-bid-1"),
    ),
    "clears above the bids": (
        "fmo",
        MARKET,
        "power-bounds",
        members("1.1.2", "accept-proposal", cleared_power_kw=99.0),
    ),
    "a CPO that answers another activation": (
        "cpo",
        EVENING,
        "unknown-reference",
        members("6.2.4", "agree", activation_id="x"),
    ),
    "a CPO that asks its drivers about nothing": (
        "cpo",
        EVENING,
        "unknown-reference",
        members("6.2.3", "propose", activation_id="x"),
    ),
    "a manager that offers nothing in time": ("v2x_manager", HELP, "unanswered", act("3.x.1", "propose", swallowed)),
    "a manager that offers for another call": (
        "v2x_manager",
        HELP,
        "unknown-reference",
        members("3.x.1", "propose", request_id="x"),
    ),
    "a driver who never answers": ("ev_owner", EVENING, "unanswered", act("6.2.3", "accept-proposal", swallowed)),
    "a driver who answers another's question": (
        "ev_owner",
        EVENING,
        "unknown-reference",
        members("6.2.3", "accept-proposal", activation_id="x"),
    ),
}
"""What the agent does wrong: whose agent, in which case, the rule that it breaks, and the change to what it says."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_name(fault: str) -> None:
    who, case, rule, change = FAULTS[fault]
    verdict = examined(case, who, change, rule)
    assert not verdict.passed
    assert rule in {finding.rule for finding in verdict.findings}, [str(f) for f in verdict.findings]


def test_there_are_thirty_and_more() -> None:
    assert len(FAULTS) >= 30
