"""The rules of BUC 4.2 and BUC 5: each with what keeps it and what breaks it, one thing at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from protocols import exchanges as x
from protocols.acl import Performative as Act
from protocols.public_semantics import _OF_THE_TERMS
from protocols.references import Register, Said
from protocols.roles import Role
from protocols.semantics import Rule, violations
from tests.protocols.samples import NOON, START, ZONE, sample

DSO, FMO, CPO, DRIVER = (f"{name}@localhost" for name in ("hedno", "fmo", "ppc", "driver-001"))
ROLES = {DSO: Role.DSO, FMO: Role.FMO, CPO: Role.CPO, DRIVER: Role.EV_OWNER}
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PLUGGED_OUT = START + timedelta(minutes=30)

Step = tuple[type[x.Content], str, str, Act, datetime, str]
Change = dict[str, Any]

HISTORY: tuple[Step, ...] = (
    (x.NetworkPriceReduction, DSO, CPO, Act.REQUEST, NOON, "reduce"),
    (x.PriceSubscription, DRIVER, CPO, Act.SUBSCRIBE, NOON, "prices"),
    (x.ChargingPrices, CPO, DRIVER, Act.INFORM, NOON, "prices"),
    (x.StationRegistration, CPO, FMO, Act.REQUEST, NOON, "register"),
    (x.AuctionTerms, DSO, FMO, Act.REQUEST, NOON, "terms"),
    (x.AuctionCall, FMO, CPO, Act.CFP, NOON, "call"),
    (x.CurveBid, CPO, FMO, Act.PROPOSE, NOON + HOUR, "call"),
    (x.CurveBids, FMO, DSO, Act.INFORM, NOON + HOUR, "terms"),
    (x.ProcurementDecision, DSO, FMO, Act.REQUEST, NOON + HOUR, "decide"),
    (x.ProcurementResult, FMO, CPO, Act.ACCEPT_PROPOSAL, NOON + HOUR, "call"),
    (x.ConcludedContracts, FMO, DSO, Act.INFORM, NOON + HOUR, "decide"),
    (x.CapacityLimit, DSO, CPO, Act.REQUEST, START, "limit"),
    (x.ChargingRequest, DRIVER, CPO, Act.CFP, NOON, "need"),
    (x.ChargingChoices, CPO, DRIVER, Act.PROPOSE, NOON, "need"),
    (x.ChargingSelection, DRIVER, CPO, Act.ACCEPT_PROPOSAL, NOON, "need"),
    (x.SessionReceipt, CPO, DRIVER, Act.INFORM, PLUGGED_OUT, "need"),
    (x.NetworkBill, DSO, CPO, Act.REQUEST, START + DAY, "bill"),
    (x.LimitSettlement, DSO, CPO, Act.PROPOSE, START + 2 * DAY, "settle"),
    (x.LimitSettlementAnswer, CPO, DSO, Act.ACCEPT_PROPOSAL, START + 2 * DAY, "settle"),
)
"""A price that is lowered, a cap that is bought, activated and settled, and a session that keeps it."""


def said(step: Step, act: Act | None = None, **changes: Any) -> Said:
    kind, sender, receiver, usual, at, conversation = step
    return Said(sample(kind).model_copy(update=changes), act or usual, sender, receiver, conversation, at)


def step_of(kind: type[x.Content], at: datetime | None = None) -> Step:
    step = next(step for step in HISTORY if step[0] is kind)
    return step if at is None else (*step[:4], at, step[5])


def before(kind: type[x.Content] | None, me: str | None = None) -> Register:
    """What was said before a step of the history (None: all of it), as one agent or as everybody knows it."""
    register = Register(ZONE, ROLES, me)
    for step in HISTORY:
        if step[0] is kind:
            break
        if me is None or me in step[1:3]:
            register.note(said(step))
    return register


def rules(register: Register, act: Said) -> set[Rule]:
    return {violation.rule for violation in violations(register, act)}


@pytest.mark.parametrize("step", HISTORY, ids=[step[0].__name__ for step in HISTORY])
@pytest.mark.parametrize("knows", ["everybody", "sender", "receiver"])
def test_a_sound_history_breaks_no_rule_for_anybody(step: Step, knows: str) -> None:
    me = {"everybody": None, "sender": step[1], "receiver": step[2]}[knows]
    assert violations(before(step[0], me), said(step)) == ()


_DECISION, _OFFERED = sample(x.ProcurementDecision), sample(x.ChargingChoices)
assert isinstance(_DECISION, x.ProcurementDecision)
assert isinstance(_OFFERED, x.ChargingChoices)
_PURCHASE, _CHOICE = _DECISION.purchases[0], _OFFERED.choices[0]

BROKEN: tuple[tuple[Rule, type[x.Content], Change], ...] = (
    (Rule.UNKNOWN_REFERENCE, x.ChargingPrices, {"request_id": "prices-2"}),
    (Rule.PERIOD_BOUNDS, x.NetworkPriceReduction, {"start": START + MINUTE}),
    (Rule.PERIOD_BOUNDS, x.ChargingPrices, {"end": START + HOUR + MINUTE}),
    (Rule.EXPIRED, x.AuctionTerms, {"gate_closure": NOON - SECOND}),
    (Rule.UNKNOWN_REFERENCE, x.AuctionCall, {"terms_id": "t2"}),
    (Rule.OTHER_THAN_ASKED, x.AuctionCall, {"location": "Bus 8"}),
    (Rule.UNKNOWN_REFERENCE, x.CurveBid, {"call_id": "t1/hub2"}),
    (Rule.OTHER_THAN_ASKED, x.CurveBid, {"station_id": "hub2"}),
    (Rule.UNKNOWN_REFERENCE, x.CurveBids, {"terms_id": "t2"}),
    (Rule.UNKNOWN_REFERENCE, x.ProcurementDecision, {"terms_id": "t2"}),
    (Rule.NOT_OFFERED, x.ProcurementDecision, {"purchases": (_PURCHASE.model_copy(update={"bid_id": "bid-2"}),)}),
    (Rule.NOT_OFFERED, x.ProcurementDecision, {"purchases": (_PURCHASE.model_copy(update={"station_id": "hub2"}),)}),
    (Rule.UNKNOWN_REFERENCE, x.ConcludedContracts, {"decision_id": "d2"}),
    (Rule.NOT_OFFERED, x.ProcurementResult, {"limit_kw": 59.0}),
    (Rule.NOT_OFFERED, x.ProcurementResult, {"limit_kw": 241.0}),
    (Rule.PRICE_BELOW_BID, x.ProcurementResult, {"price_eur": Decimal("79.90")}),
    (Rule.PRICE_BELOW_BID, x.ProcurementResult, {"limit_kw": 90.0, "price_eur": Decimal("189.90")}),
    (Rule.NOT_OFFERED, x.ProcurementResult, dict.fromkeys(("contract_id", "dso", "limit_kw", "price_eur"))),
    (Rule.UNKNOWN_REFERENCE, x.CapacityLimit, {"contract_id": "c-hub2"}),
    (Rule.POWER_BOUNDS, x.CapacityLimit, {"limit_kw": 119.9}),
    (Rule.OTHER_THAN_ASKED, x.CapacityLimit, {"station_id": "hub2"}),
    (Rule.PERIOD_BOUNDS, x.CapacityLimit, {"start": START + 40 * DAY, "end": START + 40 * DAY + HOUR}),
    (Rule.UNKNOWN_REFERENCE, x.ChargingChoices, {"request_id": "need-2"}),
    (Rule.EXPIRED, x.ChargingChoices, {"valid_until": NOON}),
    (Rule.OTHER_THAN_ASKED, x.ChargingChoices, {"choices": (_CHOICE.model_copy(update={"stay": 1}),)}),
    (Rule.PERIOD_BOUNDS, x.ChargingChoices, {"choices": (_CHOICE.model_copy(update={"start": START - MINUTE}),)}),
    (Rule.PERIOD_BOUNDS, x.ChargingChoices, {"choices": (_CHOICE.model_copy(update={"end": START + 3 * HOUR}),)}),
    (Rule.POWER_BOUNDS, x.ChargingChoices, {"choices": (_CHOICE.model_copy(update={"energy_kwh": 24.1}),)}),
    (Rule.NOT_OFFERED, x.ChargingSelection, {"choice_id": "cpo1-8"}),
    (Rule.UNKNOWN_REFERENCE, x.SessionReceipt, {"request_id": "need-2"}),
    (Rule.OTHER_THAN_ASKED, x.SessionReceipt, {"choice_id": "cpo1-8"}),
    (
        Rule.PRICE_ABOVE_MAXIMUM,
        x.SessionReceipt,
        {"price_eur_per_kwh": Decimal("0.560000"), "amount_eur": Decimal("13.16")},
    ),
    (Rule.WRONG_AMOUNT, x.SessionReceipt, {"amount_eur": Decimal("12.48")}),
    (Rule.UNKNOWN_REFERENCE, x.LimitSettlement, {"contract_id": "c-hub2"}),
    (Rule.OTHER_THAN_ASKED, x.LimitSettlement, {"limit_kw": 110.0}),
    (Rule.WRONG_AMOUNT, x.LimitSettlement, {"penalty_eur": Decimal("0.45"), "amount_eur": Decimal("2.41")}),
    (Rule.UNKNOWN_REFERENCE, x.LimitSettlementAnswer, {"settlement_id": "s-hub2-1"}),
)


@pytest.mark.parametrize(("rule", "kind", "change"), BROKEN, ids=[f"{r}-{k.__name__}" for r, k, _ in BROKEN])
def test_each_rule_is_broken_by_one_changed_field(rule: Rule, kind: type[x.Content], change: Change) -> None:
    assert rules(before(kind), said(step_of(kind), **change)) == {rule}


_OTHER: Change = {
    "gate_closure": NOON + 2 * HOUR,
    "period_start": START,
    "period_end": START + DAY,
    "window_start": "17:00",
    "window_end": "22:00",
    "most_activations": 21,
    "notice_minutes": 10,
    "least_points": 3,
    "most_points": 11,
    "step_kw": 5.0,
    "lowest_limit_kw": 21.0,
    "most_eur": Decimal("4000.00"),
    "penalty_eur_per_kwh": Decimal("1.400000"),
}


@pytest.mark.parametrize("name", _OF_THE_TERMS)
def test_the_fmo_passes_on_each_attribute_as_the_dso_gave_it(name: str) -> None:
    (found,) = violations(before(x.AuctionCall), said(step_of(x.AuctionCall), **{name: _OTHER[name]}))
    assert (found.rule, found.field) == (Rule.OTHER_THAN_ASKED, name)


def test_every_attribute_that_terms_and_call_share_is_held_to() -> None:
    shared = set(x.AuctionTerms.model_fields) & set(x.AuctionCall.model_fields)
    assert set(_OF_THE_TERMS) == shared - {"exchange", "terms_id", "timestamp"}


@pytest.mark.parametrize("kind", [x.AuctionTerms, x.AuctionCall, x.CurveBid])
def test_nobody_calls_or_bids_after_the_gate_closure(kind: type[x.Content]) -> None:
    closure = NOON + HOUR  # of both samples
    assert violations(before(kind), said(step_of(kind, closure))) == ()
    assert rules(before(kind), said(step_of(kind, closure + SECOND))) == {Rule.EXPIRED}


@pytest.mark.parametrize("kind", [x.NetworkPriceReduction, x.ChargingPrices])
def test_a_price_is_lowered_for_a_time_that_is_not_over(kind: type[x.Content]) -> None:
    end = START + 2 * HOUR  # of both samples
    assert violations(before(kind), said(step_of(kind, end - SECOND))) == ()
    assert rules(before(kind), said(step_of(kind, end))) == {Rule.EXPIRED}


NOTHING_BOUGHT: Change = {**dict.fromkeys(("contract_id", "dso", "limit_kw", "price_eur")), "reason": "too dear"}


def test_a_contract_comes_with_an_acceptance_and_never_with_a_rejection() -> None:
    step, known = step_of(x.ProcurementResult), before(x.ProcurementResult)
    assert violations(known, said(step, Act.REJECT_PROPOSAL, **NOTHING_BOUGHT)) == ()
    assert rules(known, said(step, Act.REJECT_PROPOSAL)) == {Rule.NOT_OFFERED}
    assert rules(known, said(step, **NOTHING_BOUGHT)) == {Rule.NOT_OFFERED}


@pytest.mark.parametrize(("limit_kw", "price"), [(60.0, "300.00"), (90.0, "190.00"), (180.0, "40.00"), (240.0, "0.00")])
def test_between_two_points_a_curve_is_a_straight_line(limit_kw: float, price: str) -> None:
    step, known = step_of(x.ProcurementResult), before(x.ProcurementResult)
    assert violations(known, said(step, limit_kw=limit_kw, price_eur=Decimal(price))) == ()
    cheaper = max(Decimal(0), Decimal(price) - Decimal("0.05"))
    expected = {Rule.PRICE_BELOW_BID} if Decimal(price) else set()
    assert rules(known, said(step, limit_kw=limit_kw, price_eur=cheaper)) == expected


def test_a_buyer_may_pay_more_than_the_curve_asks() -> None:
    act = said(step_of(x.ProcurementResult), price_eur=Decimal("81.00"))
    assert violations(before(x.ProcurementResult), act) == ()


WINDOW = {"window_start": "17:00", "window_end": "22:00"}
EVENING = START.replace(hour=17) + DAY


def with_window(**more: Any) -> Register:
    """What is known before a limit is activated whose contract has a window from 17:00 to 22:00."""
    register = Register(ZONE, ROLES)
    for step in HISTORY:
        if step[0] is x.CapacityLimit:
            break
        both: Change = {**WINDOW, **more} if step[0] in (x.AuctionTerms, x.AuctionCall) else {}
        register.note(said(step, **both))
    return register


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        (0, 5, True),
        (1, 2, True),
        (-1, 5, False),
        (0, 6, False),
        (5, 7, False),
        (4, 24, False),
    ],
)
def test_a_limit_holds_within_the_window_of_its_contract(start: int, end: int, kept: bool) -> None:
    act = said(step_of(x.CapacityLimit), start=EVENING + start * HOUR, end=EVENING + end * HOUR)
    assert rules(with_window(), act) == (set() if kept else {Rule.PERIOD_BOUNDS})


def test_a_window_is_local_time_whatever_the_offset_of_the_signal() -> None:
    utc: Change = {name: (EVENING + hours * HOUR).astimezone(UTC) for name, hours in (("start", 0), ("end", 5))}
    assert violations(with_window(), said(step_of(x.CapacityLimit), **utc)) == ()


def test_notice_is_counted_from_when_a_limit_is_said_and_not_from_its_timestamp() -> None:
    limit: Change = {"start": EVENING, "end": EVENING + HOUR}
    known = with_window(notice_minutes=120)
    for minutes, broken in ((120, False), (119, True)):
        act = said(step_of(x.CapacityLimit, EVENING - minutes * MINUTE), **limit, timestamp=NOON)
        assert rules(known, act) == ({Rule.SHORT_NOTICE} if broken else set())


def test_a_higher_limit_than_was_bought_is_the_dso_s_to_choose() -> None:
    assert violations(before(x.CapacityLimit), said(step_of(x.CapacityLimit), limit_kw=150.0)) == ()


def test_weeks_later_a_limit_is_still_held_against_its_contract() -> None:
    """A register forgets after two days; a contract runs for a month."""
    for me in (None, CPO):
        register = before(x.CapacityLimit, me)
        register.forget(NOON + 20 * DAY)
        later: Change = {"start": START + 21 * DAY, "end": START + 21 * DAY + HOUR}
        step = step_of(x.CapacityLimit, START + 20 * DAY)
        assert violations(register, said(step, **later)) == ()
        assert rules(register, said(step, **later, limit_kw=119.0)) == {Rule.POWER_BOUNDS}
        late = step_of(x.CapacityLimit, START + 21 * DAY)
        assert rules(register, said(late, **later)) == {Rule.SHORT_NOTICE}


def test_a_day_without_an_activation_is_settled_by_its_part_of_the_price_alone() -> None:
    plain: Change = {
        **dict.fromkeys(("activation_id", "limit_kw", "highest_kw")),
        "excess_kwh": 0.0,
        "penalty_eur": Decimal("0.00"),
        "amount_eur": Decimal("2.86"),
    }
    assert violations(before(x.LimitSettlement), said(step_of(x.LimitSettlement), **plain)) == ()


def test_an_activation_is_settled_once() -> None:
    register = before(x.LimitSettlementAnswer)
    again = said(step_of(x.LimitSettlement), settlement_id="s-hub1-2")
    assert rules(register, again) == {Rule.REFERENCE_USED}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (x.CurveBid, {"bid_id": "bid-again"}),
        (x.CurveBids, {}),
        (x.ProcurementDecision, {"decision_id": "d2"}),
        (x.ProcurementResult, {}),
        (x.ConcludedContracts, {}),
        (x.ChargingChoices, {}),
        (x.ChargingSelection, {}),
        (x.SessionReceipt, {"receipt_id": "r-2"}),
    ],
)
def test_what_is_answered_once_is_not_answered_again(kind: type[x.Content], change: Change) -> None:
    register = before(kind)
    register.note(said(step_of(kind)))
    assert rules(register, said(step_of(kind), **change)) == {Rule.REFERENCE_USED}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (x.NetworkPriceReduction, {"reduction_eur_per_kwh": Decimal("0.07")}),
        (x.StationRegistration, {"timestamp": NOON + HOUR}),
        (x.AuctionTerms, {"most_activations": 3}),
        (x.CapacityLimit, {"limit_kw": 130.0}),
        (x.ChargingRequest, {"energy_kwh": 25.0}),
        (x.NetworkBill, {"energy_kwh": 411.0}),
    ],
)
def test_an_id_is_not_given_to_another_thing(kind: type[x.Content], change: Change) -> None:
    register = before(kind)
    register.note(said(step_of(kind)))
    assert rules(register, said(step_of(kind), **change)) == {Rule.SAME_ID_OTHER_CONTENT}


def test_a_session_is_paid_at_its_own_price_and_not_at_that_of_another_choice() -> None:
    dear = _CHOICE.model_copy(update={"choice_id": "cpo1-8", "price_eur_per_kwh": Decimal("0.600000")})
    register = Register(ZONE, ROLES)
    for step in HISTORY:
        if step[0] is x.SessionReceipt:
            break
        both: Change = {"choices": (_CHOICE, dear)} if step[0] is x.ChargingChoices else {}
        register.note(said(step, **both))
    changes: Change = {"price_eur_per_kwh": Decimal("0.600000"), "amount_eur": Decimal("14.10")}
    assert rules(register, said(step_of(x.SessionReceipt), **changes)) == {Rule.PRICE_ABOVE_MAXIMUM}
    cheaper: Change = {"price_eur_per_kwh": Decimal("0.500000"), "amount_eur": Decimal("11.75")}
    assert violations(register, said(step_of(x.SessionReceipt), **cheaper)) == ()
