"""The rules of the services of BUC 2 and BUC 4.1: each with what keeps it and what breaks it, one thing at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from protocols import exchanges as x
from protocols.acl import Performative as Act
from protocols.references import Register, Said
from protocols.roles import Role
from protocols.semantics import Rule, admit, violations
from tests.protocols.samples import NOON, START, ZONE, sample

TSO, DSO, FO, HOUSE, OFFICE, WIND, EMSP, OWNER = (
    f"{name}@localhost" for name in ("tso", "dso", "fo", "house", "office", "wind", "emsp", "owner1")
)
ROLES = {
    TSO: Role.TSO,
    DSO: Role.DSO,
    FO: Role.FO,
    HOUSE: Role.V2X_MANAGER,
    OFFICE: Role.V2X_MANAGER,
    WIND: Role.PRODUCER,
    EMSP: Role.EMSP,
    OWNER: Role.EV_OWNER,
}
ASKED = START - timedelta(minutes=11)
QUARTER = timedelta(minutes=15)
LATER = START + QUARTER
SECOND = timedelta(seconds=1)

Step = tuple[type[x.Content], str, str, Act, datetime, str]
Change = dict[str, Any]

HISTORY: tuple[Step, ...] = (
    (x.MeasurementsSubscription, TSO, WIND, Act.SUBSCRIBE, NOON, "2.1"),
    (x.Measurements, WIND, TSO, Act.INFORM, NOON, "2.1"),
    (x.FlexibilitySubscription, TSO, FO, Act.SUBSCRIBE, NOON, "2.2"),
    (x.FlexibilityInformation, FO, TSO, Act.INFORM, NOON, "2.2"),
    (x.ParticipationSubscription, FO, HOUSE, Act.SUBSCRIBE, NOON, "4.1.4"),
    (x.CurtailmentActivation, TSO, FO, Act.REQUEST, ASKED, "wind"),
    (x.CurtailmentCall, FO, HOUSE, Act.CFP, ASKED, "call"),
    (x.Availability, HOUSE, FO, Act.PROPOSE, ASKED, "call"),
    (x.CurtailmentAward, FO, HOUSE, Act.ACCEPT_PROPOSAL, ASKED, "call"),
    (x.CurtailmentNotice, FO, EMSP, Act.REQUEST, ASKED, "notice"),
    (x.ServiceAnswer, FO, TSO, Act.AGREE, ASKED, "wind"),
    (x.VoltageRequest, DSO, FO, Act.REQUEST, ASKED, "volt"),
    (x.VoltageCall, FO, HOUSE, Act.CFP, ASKED, "call2"),
    (x.ParticipationResponse, HOUSE, FO, Act.PROPOSE, ASKED, "call2"),
    (x.ParticipationInfo, HOUSE, FO, Act.INFORM, LATER, "4.1.4"),
    (x.Invoice, EMSP, OWNER, Act.REQUEST, NOON, "invoice"),
    (x.InvoicePayment, OWNER, EMSP, Act.INFORM, NOON, "invoice"),
)
"""Everything is right, but that the vehicle of the first service is not awarded to the second as well."""

VOLTAGE_AWARD: Step = (x.VoltageAward, FO, HOUSE, Act.ACCEPT_PROPOSAL, ASKED, "call2")
VOLTAGE_NOTICE: Step = (x.VoltageNotice, FO, EMSP, Act.REQUEST, ASKED, "notice2")


def said(step: Step, **changes: Any) -> Said:
    kind, sender, receiver, act, at, conversation = step
    return Said(sample(kind).model_copy(update=changes), act, sender, receiver, conversation, at)


def index_of(kind: type[x.Content]) -> int:
    return next(i for i, step in enumerate(HISTORY) if step[0] is kind)


def step_of(kind: type[x.Content], at: datetime | None = None) -> Step:
    step = HISTORY[index_of(kind)]
    return step if at is None else (*step[:4], at, step[5])


def before(kind: type[x.Content] | None, me: str | None = None) -> Register:
    """What was said before a step of the history (None: all of it), as one agent or as everybody knows it."""
    register = Register(ZONE, ROLES, me)
    for step in HISTORY[: None if kind is None else index_of(kind)]:
        if me is None or me in step[1:3]:
            register.note(said(step))
    return register


def rules(register: Register, act: Said) -> list[Rule]:
    return [violation.rule for violation in violations(register, act)]


@pytest.mark.parametrize("step", HISTORY, ids=[step[0].__name__ for step in HISTORY])
@pytest.mark.parametrize("knows", ["everybody", "sender", "receiver"])
def test_a_sound_history_breaks_no_rule_for_anybody(step: Step, knows: str) -> None:
    me = {"everybody": None, "sender": step[1], "receiver": step[2]}[knows]
    assert violations(before(step[0], me), said(step)) == ()


def order(**changes: Any) -> tuple[x.EvOrder, ...]:
    award = sample(x.CurtailmentAward)
    assert isinstance(award, x.CurtailmentAward)
    return (award.orders[0].model_copy(update=changes),)


RENEWAL = {"signal": x.SignalType.RENEWAL}
DEAR = Decimal("0.5")

BROKEN: tuple[tuple[Rule, type[x.Content], Change], ...] = (
    (Rule.UNKNOWN_REFERENCE, x.Measurements, {"request_id": "m9"}),
    (Rule.UNKNOWN_REFERENCE, x.FlexibilityInformation, {"request_id": "f9"}),
    (Rule.UNKNOWN_REFERENCE, x.ParticipationInfo, {"request_id": "p9"}),
    (Rule.UNKNOWN_REFERENCE, x.ParticipationInfo, {"service_id": "volt-9"}),
    (Rule.UNKNOWN_REFERENCE, x.CurtailmentActivation, {**RENEWAL, "renews": "wind-0"}),
    (Rule.UNKNOWN_REFERENCE, x.VoltageRequest, {**RENEWAL, "renews": "wind-1"}),
    (Rule.UNKNOWN_REFERENCE, x.ServiceAnswer, {"service_id": "wind-9"}),
    (Rule.UNKNOWN_REFERENCE, x.CurtailmentCall, {"service_id": "wind-9"}),
    (Rule.UNKNOWN_REFERENCE, x.Availability, {"request_id": "call-9"}),
    (Rule.UNKNOWN_REFERENCE, x.CurtailmentAward, {"request_id": "call-9"}),
    (Rule.UNKNOWN_REFERENCE, x.CurtailmentAward, {**RENEWAL, "renews": "wind-0"}),
    (Rule.UNKNOWN_REFERENCE, x.CurtailmentNotice, {"service_id": "wind-9"}),
    (Rule.UNKNOWN_REFERENCE, x.InvoicePayment, {"invoice_id": "invoice-9"}),
    (Rule.WRONG_AMOUNT, x.InvoicePayment, {"amount_eur": Decimal("0.15")}),
    (Rule.WRONG_SERVICE, x.CurtailmentAward, {"service": x.ServiceType.VOLTAGE_CONTROL}),
    (Rule.WRONG_SERVICE, x.ParticipationInfo, {"service": x.ServiceType.RES_CURTAILMENT}),
    (Rule.PERIOD_BOUNDS, x.CurtailmentActivation, {"start": START + timedelta(minutes=5)}),
    (Rule.PERIOD_BOUNDS, x.CurtailmentActivation, {"duration_minutes": 20}),
    (Rule.PERIOD_BOUNDS, x.FlexibilityInformation, {"start": START + timedelta(minutes=5)}),
    (Rule.PERIOD_BOUNDS, x.Availability, {"duration_minutes": 45}),
    (Rule.WRONG_DIRECTION, x.CurtailmentCall, {"power_kw": -50.0}),
    (Rule.WRONG_DIRECTION, x.Availability, {"power_kw": -3.7}),
    (Rule.WRONG_DIRECTION, x.CurtailmentAward, {"power_kw": -3.5}),
    (Rule.WRONG_DIRECTION, x.CurtailmentNotice, {"power_kw": -3.5}),
    (Rule.WRONG_DIRECTION, x.ServiceAnswer, {"available_power_kw": -1.0}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentCall, {"start": LATER}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentCall, {"charging_cost_eur_per_kwh": DEAR}),
    (Rule.OTHER_THAN_ASKED, x.VoltageCall, {"location": "another street"}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentAward, {"start": LATER}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentAward, {"duration_minutes": 45}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentAward, {"service_id": "wind-9"}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentAward, {"discharging_remuneration_eur_per_kwh": DEAR}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentNotice, {"charging_cost_eur_per_kwh": DEAR}),
    (Rule.OTHER_THAN_ASKED, x.CurtailmentNotice, {"payer": DSO}),
    (Rule.NOT_OFFERED, x.CurtailmentAward, {"orders": order(user_id="c9")}),
    (Rule.POWER_BOUNDS, x.CurtailmentAward, {"orders": order(power_kw=3.8)}),
    (Rule.POWER_BOUNDS, x.CurtailmentAward, {"orders": order(power_kw=-3.0)}),
    (Rule.BASELINE, x.CurtailmentAward, {"orders": order(baseline_kw=3.6)}),
)


@pytest.mark.parametrize(("rule", "kind", "change"), BROKEN, ids=[f"{r}-{k.__name__}-{list(c)}" for r, k, c in BROKEN])
def test_each_rule_is_broken_by_what_it_forbids_and_no_other_is(
    rule: Rule, kind: type[x.Content], change: Change
) -> None:
    act = said(step_of(kind), **change)
    assert set(rules(before(kind), act)) == {rule}
    # The receiver alone finds it as well, where it can know what it is about, and raises no other alarm.
    assert set(rules(before(kind, step_of(kind)[2]), act)) <= {rule}


def test_an_order_may_be_rounded_to_a_watt() -> None:
    act = said(step_of(x.CurtailmentAward), orders=order(power_kw=3.7009, baseline_kw=3.7009))
    assert rules(before(x.CurtailmentAward), act) == []


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        (x.CurtailmentActivation, START),
        (x.VoltageRequest, START),
        (x.CurtailmentCall, START),
        (x.VoltageCall, START),
        (x.Availability, START),
        (x.CurtailmentAward, START),
        (x.CurtailmentNotice, START + 2 * QUARTER - SECOND),
        (x.Invoice, NOON + timedelta(days=8)),
        (x.InvoicePayment, NOON + timedelta(days=8)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_expired_is_what_comes_after_its_time_and_not_at_its_last_moment(kind: type[x.Content], last: datetime) -> None:
    assert rules(before(kind), said(step_of(kind, last))) == []
    assert rules(before(kind), said(step_of(kind, last + SECOND))) == [Rule.EXPIRED]


@pytest.mark.parametrize(
    "kind", [x.ServiceAnswer, x.Availability, x.ParticipationResponse, x.CurtailmentAward, x.InvoicePayment]
)
def test_an_answer_is_given_once(kind: type[x.Content]) -> None:
    register = before(kind)
    assert admit(register, said(step_of(kind))) == ()
    assert rules(register, said(step_of(kind))) == [Rule.REFERENCE_USED]


@pytest.mark.parametrize("kind", [x.Measurements, x.FlexibilityInformation, x.ParticipationInfo])
def test_a_subscriber_is_told_as_often_as_there_is_news(kind: type[x.Content]) -> None:
    register = before(None)
    assert admit(register, said(step_of(kind))) == admit(register, said(step_of(kind))) == ()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (x.CurtailmentActivation, {"power_kw": 49.0}),
        (x.VoltageRequest, {"power_kw": -19.0}),
        (x.CurtailmentCall, {"power_kw": 49.0}),
        (x.Invoice, {"amount_eur": Decimal("0.17")}),
        (x.FlexibilitySubscription, {"timestamp": START}),
    ],
)
def test_an_id_is_not_given_to_another_thing(kind: type[x.Content], change: Change) -> None:
    assert rules(before(None), said(step_of(kind), **change)) == [Rule.SAME_ID_OTHER_CONTENT]
    assert rules(before(None), said(step_of(kind))) == []


def test_each_manager_is_called_under_an_id_of_its_own_or_the_same() -> None:
    to_office: Step = (x.CurtailmentCall, FO, OFFICE, Act.CFP, ASKED, "call")
    assert rules(before(x.Availability), said(to_office, user_id=OFFICE, location="square")) == []


def test_a_service_is_renewed_by_who_asked_for_it_and_not_by_one_that_starts_before_it() -> None:
    register = before(x.ServiceAnswer)
    renewal = {**RENEWAL, "service_id": "wind-2", "renews": "wind-1", "start": LATER}
    assert rules(register, said(step_of(x.CurtailmentActivation), **renewal)) == []
    earlier = said(step_of(x.CurtailmentActivation, NOON), **renewal | {"start": START - QUARTER})
    assert rules(register, earlier) == [Rule.PERIOD_BOUNDS]
    other_operator: Step = (x.CurtailmentActivation, DSO, FO, Act.REQUEST, ASKED, "wind2")
    assert rules(register, said(other_operator, **renewal)) == [Rule.UNKNOWN_REFERENCE]


def test_the_participation_is_the_result_of_a_request_and_of_an_award_as_well() -> None:
    register = before(None)
    to_dso: Step = (x.ParticipationInfo, FO, DSO, Act.INFORM, LATER, "volt")
    assert rules(register, said(to_dso, request_id="volt-request-1")) == []
    assert rules(register, said(to_dso, request_id="call-2")) == [Rule.UNKNOWN_REFERENCE]
    to_fo: Step = (x.ParticipationInfo, HOUSE, FO, Act.INFORM, LATER, "call2")
    assert rules(register, said(to_fo, request_id="call-2")) == []
    assert rules(register, said(to_fo, request_id="call-2", service_id=None)) == []


# --- two services at once


def opposite() -> Register:
    """Everything up to the second service's offer: the same vehicle, the other way."""
    return before(None)


def test_a_vehicle_is_not_promised_to_two_services_for_the_same_firm_quarter() -> None:
    for me in (None, HOUSE, FO):
        register = before(None, me)
        assert rules(register, said(VOLTAGE_AWARD)) == [Rule.PROMISED_TWICE]
    [violation] = violations(opposite(), said(VOLTAGE_AWARD))
    assert str(violation) == (
        "promised-twice: orders has 'c1', which is promised to 'wind-1' for this quarter of an hour"
    )


def test_another_vehicle_of_the_same_manager_and_the_same_name_at_another_are_free() -> None:
    call2 = sample(x.ParticipationResponse)
    assert isinstance(call2, x.ParticipationResponse)
    other = call2.users[0].model_copy(update={"user_id": "c2"})
    register = before(x.ParticipationResponse)
    register.note(said(step_of(x.ParticipationResponse), users=(other,)))
    free = (x.EvOrder(user_id="c2", location="bus 7", baseline_kw=3.7, power_kw=-3.5),)
    assert rules(register, said(VOLTAGE_AWARD, orders=free)) == []

    elsewhere = Register(ZONE, ROLES, FO)
    elsewhere.note(said(step_of(x.VoltageRequest)))
    for step in (x.VoltageCall, x.ParticipationResponse):
        kind, sender, receiver, *rest = step_of(step)
        here, there = (OFFICE if jid == HOUSE else jid for jid in (sender, receiver))
        elsewhere.note(said((kind, here, there, *rest)))
    elsewhere.note(said(step_of(x.CurtailmentAward)))
    assert rules(elsewhere, said((x.VoltageAward, FO, OFFICE, Act.ACCEPT_PROPOSAL, ASKED, "call2"))) == []


def test_the_tail_of_a_service_is_free_for_another() -> None:
    register = before(x.VoltageRequest)
    later = {"start": LATER}
    for kind in (x.VoltageRequest, x.VoltageCall, x.ParticipationResponse):
        register.note(said(step_of(kind), **{} if kind is x.ParticipationResponse else later))
    assert rules(register, said(VOLTAGE_AWARD, **later)) == []


def test_what_was_called_off_or_failed_or_is_replaced_is_free_again() -> None:
    called_off = opposite()
    called_off.note(said((x.Cancellation, FO, HOUSE, Act.CANCEL, ASKED, "call")))
    assert rules(called_off, said(VOLTAGE_AWARD)) == []
    failed = opposite()
    failed.note(said((x.Reason, HOUSE, FO, Act.FAILURE, ASKED, "call")))
    assert rules(failed, said(VOLTAGE_AWARD)) == []
    other_call = opposite()
    other_call.note(said((x.Cancellation, FO, HOUSE, Act.CANCEL, ASKED, "another call")))
    assert rules(other_call, said(VOLTAGE_AWARD)) == [Rule.PROMISED_TWICE]


def test_the_notice_of_a_voltage_service_names_who_asked_for_it() -> None:
    assert rules(before(None), said(VOLTAGE_NOTICE)) == []
    assert rules(before(None), said(VOLTAGE_NOTICE, payer=TSO)) == [Rule.OTHER_THAN_ASKED]


# --- calling off


@pytest.mark.parametrize(
    ("sender", "receiver", "conversation", "reference", "expected"),
    [
        (TSO, FO, "wind", "wind-1", []),
        (TSO, FO, "wind", "volt-1", [Rule.WRONG_CANCELLATION]),
        (TSO, FO, "wind", FO, [Rule.WRONG_CANCELLATION]),
        (FO, HOUSE, "call", "wind-1", []),
        (FO, HOUSE, "call", "call-1", []),
        (FO, HOUSE, "call", "call-2", [Rule.WRONG_CANCELLATION]),
        (FO, EMSP, "notice", "wind-1", []),
        (FO, EMSP, "notice", "wind-9", [Rule.WRONG_CANCELLATION]),
        (DSO, FO, "volt", "volt-1", []),
        (TSO, FO, "2.2", "f1", []),
        (TSO, FO, "never opened", "wind-1", []),  # that is for the protocol to say
    ],
)
def test_a_cancel_names_what_the_conversation_was_opened_with(
    sender: str, receiver: str, conversation: str, reference: str, expected: list[Rule]
) -> None:
    step: Step = (x.Cancellation, sender, receiver, Act.CANCEL, START, conversation)
    for me in (None, receiver):
        assert rules(before(None, me), said(step, reference=reference)) == expected


def test_what_was_opened_with_a_thing_that_has_no_id_is_cancelled_by_any_word() -> None:
    register = Register(ZONE, ROLES)
    register.note(said((x.SearchSubscription, FO, TSO, Act.SUBSCRIBE, NOON, "search")))
    assert rules(register, said((x.Cancellation, FO, TSO, Act.CANCEL, NOON, "search"), reference="search")) == []


def test_a_cancel_of_what_is_forgotten_is_not_judged() -> None:
    step: Step = (x.Cancellation, TSO, FO, Act.CANCEL, START, "wind")
    register = before(None)
    register.forget(START)
    assert rules(register, said(step, reference="anything")) == []
