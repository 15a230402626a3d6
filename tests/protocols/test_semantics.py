"""Each semantic rule by its name: broken in one way at a time, after a history in which everything is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from protocols import campus_semantics, public_semantics, semantics, service_semantics
from protocols import exchanges as x
from protocols.acl import Performative as Act
from protocols.market_time import begins_period, day_start, period_index, period_start, periods_in_day
from protocols.references import Register, Said
from protocols.roles import Role
from protocols.semantics import CHECKS, Rule, admit, reason_for, violations
from tests.protocols.samples import END, NOON, START, ZONE, sample

DSO, FMO, VPP, CPO, OWNER, TSO, RIVAL = (
    f"{name}@localhost" for name in ("dso", "fmo", "vpp1", "cpo", "owner1", "tso", "vpp2")
)
ROLES = {
    DSO: Role.DSO,
    FMO: Role.FMO,
    VPP: Role.VPP,
    RIVAL: Role.VPP,
    CPO: Role.CPO,
    OWNER: Role.EV_OWNER,
    TSO: Role.TSO,
}
ORDER_TIME = START - timedelta(hours=2)
AFTER = END + timedelta(hours=1)

Step = tuple[type[x.Content], str, str, Act, datetime, str]

HISTORY: tuple[Step, ...] = (
    (x.ProductRequirements, DSO, FMO, Act.REQUEST, NOON, "products"),
    (x.ResourceRegistration, VPP, FMO, Act.REQUEST, NOON, "register"),
    (x.PrequalificationRequest, FMO, DSO, Act.REQUEST, NOON, "prequalify"),
    (x.PrequalificationResult, DSO, FMO, Act.INFORM, NOON, "prequalify"),
    (x.RegistrationResult, FMO, VPP, Act.INFORM, NOON, "register"),
    (x.FlexibilityNeed, DSO, FMO, Act.REQUEST, NOON, "need"),
    (x.RequestForBids, FMO, VPP, Act.CFP, NOON, "market"),
    (x.DataRequest, VPP, CPO, Act.QUERY_REF, NOON, "data"),
    (x.DataMeasurements, CPO, VPP, Act.INFORM, NOON, "data"),
    (x.Bid, VPP, FMO, Act.PROPOSE, NOON, "market"),
    (x.MarketResult, FMO, VPP, Act.ACCEPT_PROPOSAL, NOON, "market"),
    (x.NeedResult, FMO, DSO, Act.INFORM, NOON, "need"),
    (x.ActivationSignal, DSO, VPP, Act.REQUEST, ORDER_TIME, "activate"),
    (x.ActivationSignal, VPP, CPO, Act.REQUEST, ORDER_TIME, "activate-cpo"),
    (x.ParticipationInformation, CPO, OWNER, Act.PROPOSE, ORDER_TIME, "owner"),
    (x.ParticipationAnswer, OWNER, CPO, Act.ACCEPT_PROPOSAL, ORDER_TIME, "owner"),
    (x.ActivationAnswer, CPO, VPP, Act.AGREE, ORDER_TIME, "activate-cpo"),
    (x.ActivationConfirmation, VPP, DSO, Act.AGREE, ORDER_TIME, "activate"),
    (x.ActivatedResources, DSO, TSO, Act.INFORM, ORDER_TIME, "tso"),
    (x.PoolOpening, DSO, VPP, Act.CFP, ORDER_TIME, "pool"),
    (x.PoolBid, VPP, DSO, Act.PROPOSE, ORDER_TIME, "pool"),
    (x.PoolAward, DSO, VPP, Act.ACCEPT_PROPOSAL, ORDER_TIME, "pool"),
    (x.PoolActivation, DSO, VPP, Act.REQUEST, ORDER_TIME, "order"),
    (x.CpoActivation, VPP, CPO, Act.REQUEST, ORDER_TIME, "order-cpo"),
    (x.ParticipationRequest, CPO, OWNER, Act.PROPOSE, ORDER_TIME, "owner6"),
    (x.ParticipationReply, OWNER, CPO, Act.REJECT_PROPOSAL, ORDER_TIME, "owner6"),
    (x.CpoActivationResponse, CPO, VPP, Act.AGREE, ORDER_TIME, "order-cpo"),
    (x.VppActivationResponse, VPP, DSO, Act.AGREE, ORDER_TIME, "order"),
    (x.MeasurementsQuery, FMO, DSO, Act.QUERY_REF, AFTER, "meters"),
    (x.MeasurementsCollection, DSO, FMO, Act.INFORM, AFTER, "meters"),
    (x.DeliveredVolume, VPP, DSO, Act.PROPOSE, AFTER, "volume"),
    (x.VolumeAnswer, DSO, VPP, Act.ACCEPT_PROPOSAL, AFTER, "volume"),
    (x.Bill, FMO, DSO, Act.REQUEST, AFTER, "bill"),
    (x.Payment, DSO, FMO, Act.INFORM, AFTER, "bill"),
)


def said(step: Step, **changes: Any) -> Said:
    kind, sender, receiver, act, at, conversation = step
    return Said(sample(kind).model_copy(update=changes), act, sender, receiver, conversation, at)


def step_of(kind: type[x.Content], sender: str | None = None) -> int:
    return next(i for i, step in enumerate(HISTORY) if step[0] is kind and sender in (None, step[1]))


def before(index: int, me: str | None = None) -> Register:
    """What was said before a step of the history, as one agent or as everybody knows it."""
    register = Register(ZONE, ROLES, me)
    for step in HISTORY[:index]:
        if me is None or me in step[1:3]:
            register.note(said(step))
    return register


def rules(register: Register, act: Said) -> list[Rule]:
    return [violation.rule for violation in violations(register, act)]


@pytest.mark.parametrize("index", range(len(HISTORY)), ids=[step[0].__name__ for step in HISTORY])
@pytest.mark.parametrize("knows", ["everybody", "sender", "receiver"])
def test_a_sound_history_breaks_no_rule_for_anybody(index: int, knows: str) -> None:
    step = HISTORY[index]
    me = {"everybody": None, "sender": step[1], "receiver": step[2]}[knows]
    assert violations(before(index, me), said(step)) == ()


Change = dict[str, Any]
SHIFT = timedelta(minutes=5)

BROKEN: tuple[tuple[Rule, type[x.Content], Change], ...] = (
    (Rule.PERIOD_BOUNDS, x.FlexibilityNeed, {"start": START + SHIFT}),
    (Rule.PERIOD_BOUNDS, x.FlexibilityNeed, {"end": END + SHIFT}),
    (Rule.PERIOD_BOUNDS, x.FlexibilityNeed, {"end": START + timedelta(hours=3)}),
    (Rule.PERIOD_BOUNDS, x.FlexibilityNeed, {"start": START + timedelta(days=40), "end": END + timedelta(days=40)}),
    (Rule.PERIOD_BOUNDS, x.Bid, {"end": END + timedelta(minutes=15)}),
    (Rule.PERIOD_BOUNDS, x.ActivationSignal, {"start": START - timedelta(minutes=15)}),
    (Rule.PERIOD_BOUNDS, x.PoolOpening, {"start": START + SHIFT}),
    (Rule.PERIOD_BOUNDS, x.PoolOpening, {"end": START + timedelta(minutes=15 * 97)}),
    (Rule.PERIOD_BOUNDS, x.PoolActivation, {"end": END + timedelta(minutes=15)}),
    (Rule.PERIOD_BOUNDS, x.MeasurementsCollection, {"end": END + timedelta(minutes=15)}),
    (Rule.PERIOD_BOUNDS, x.ParticipationRequest, {"end": END + SHIFT}),
    (Rule.SHORT_NOTICE, x.ActivationSignal, {}),
    (Rule.UNKNOWN_REFERENCE, x.RegistrationResult, {"resource_id": "r9"}),
    (Rule.UNKNOWN_REFERENCE, x.PrequalificationResult, {"resource_id": "r9"}),
    (Rule.UNKNOWN_REFERENCE, x.FlexibilityNeed, {"product_id": "p9"}),
    (Rule.UNKNOWN_REFERENCE, x.NeedResult, {"need_id": "n9"}),
    (Rule.UNKNOWN_REFERENCE, x.Bid, {"market_id": "m9"}),
    (Rule.UNKNOWN_REFERENCE, x.MarketResult, {"bid_id": "b9"}),
    (Rule.UNKNOWN_REFERENCE, x.DataMeasurements, {"request_id": "q9"}),
    (Rule.UNKNOWN_REFERENCE, x.ActivationSignal, {"bid_id": "b9"}),
    (Rule.UNKNOWN_REFERENCE, x.ActivationConfirmation, {"activation_id": "a9"}),
    (Rule.UNKNOWN_REFERENCE, x.MeasurementsQuery, {"activation_id": "a9"}),
    (Rule.UNKNOWN_REFERENCE, x.Bill, {"activation_id": "a9"}),
    (Rule.UNKNOWN_REFERENCE, x.Payment, {"bill_id": "bill9"}),
    (Rule.UNKNOWN_REFERENCE, x.PoolBid, {"pool_id": "pool9"}),
    (Rule.UNKNOWN_REFERENCE, x.PoolAward, {"bid_id": "pb9"}),
    (Rule.UNKNOWN_REFERENCE, x.PoolActivation, {"bid_id": "pb9"}),
    (Rule.UNKNOWN_REFERENCE, x.VppActivationResponse, {"activation_id": "a9"}),
    (Rule.UNKNOWN_REFERENCE, x.ParticipationReply, {"activation_id": "a9"}),
    (Rule.WRONG_CONGESTION_POINT, x.FlexibilityNeed, {"congestion_point": "trafo 2"}),
    (Rule.WRONG_CONGESTION_POINT, x.Bid, {"location": "trafo 2"}),
    (Rule.WRONG_CONGESTION_POINT, x.PoolActivation, {"congestion_point": "trafo 2"}),
    (Rule.WRONG_SERVICE, x.PoolActivation, {"service": x.ServiceType.VOLTAGE_CONTROL}),
    (Rule.WRONG_SERVICE, x.RequestForBids, {"service": x.ServiceType.VOLTAGE_CONTROL}),
    (Rule.PRICE_ABOVE_MAXIMUM, x.PoolBid, {"price_eur_per_kw": Decimal("0.500001")}),
    (Rule.PRICE_ABOVE_MAXIMUM, x.Bid, {"price_eur_per_kw": Decimal("0.81")}),
    (Rule.PRICE_ABOVE_MAXIMUM, x.MarketResult, {"market_price_eur_per_kw": Decimal("0.81")}),
    (Rule.PRICE_ABOVE_MAXIMUM, x.PoolActivation, {"max_price_eur_per_kw": Decimal("0.51")}),
    (Rule.PRICE_ABOVE_MAXIMUM, x.FlexibilityNeed, {"max_price_eur_per_kw": Decimal("0.81")}),
    (Rule.PRICE_BELOW_BID, x.MarketResult, {"market_price_eur_per_kw": Decimal("0.34")}),
    (Rule.PRICE_BELOW_BID, x.PoolAward, {"price_eur_per_kw": Decimal("0.44")}),
    (Rule.POWER_BOUNDS, x.MarketResult, {"cleared_power_kw": 26.0}),
    (Rule.POWER_BOUNDS, x.MarketResult, {"cleared_power_kw": 4.0}),
    (Rule.POWER_BOUNDS, x.Bid, {"power_kw": 0.5, "min_power_kw": 0.0}),
    (Rule.POWER_BOUNDS, x.Bid, {"power_kw": 25.2}),
    (Rule.POWER_BOUNDS, x.PoolAward, {"power_kw": 20.5}),
    (Rule.POWER_BOUNDS, x.PoolActivation, {"power_kw": 20.5}),
    (Rule.POWER_BOUNDS, x.RegistrationResult, {"qualified_charge_kw": 23.0}),
    (Rule.BASELINE, x.Bid, {"baseline_kw": ()}),
    (Rule.BASELINE, x.PoolBid, {"baseline_kw": (1.0, 2.0, 3.0)}),
    (Rule.WRONG_AMOUNT, x.Payment, {"amount_eur": Decimal("17.49")}),
)


@pytest.mark.parametrize(("rule", "kind", "change"), BROKEN, ids=[f"{r}-{k.__name__}-{list(c)}" for r, k, c in BROKEN])
def test_each_rule_is_broken_by_what_it_forbids_and_no_other_is(
    rule: Rule, kind: type[x.Content], change: Change
) -> None:
    index = step_of(kind)
    act = said(HISTORY[index], **change)
    if rule is Rule.SHORT_NOTICE:
        act = said((*HISTORY[index][:4], START - timedelta(minutes=59), "activate"))
    register = before(index)
    assert set(rules(register, act)) == {rule}
    # The receiver alone finds it as well, where it can know what it is about.
    assert set(rules(before(index, HISTORY[index][2]), act)) <= {rule}


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_case_that_breaks_it(rule: Rule) -> None:
    elsewhere = {Rule.EXPIRED, Rule.REFERENCE_USED, Rule.SAME_ID_OTHER_CONTENT, Rule.ORDERED_TWICE}
    of_services = {
        Rule.WRONG_DIRECTION,
        Rule.OTHER_THAN_ASKED,
        Rule.NOT_OFFERED,
        Rule.PROMISED_TWICE,
        Rule.WRONG_CANCELLATION,
        Rule.NOT_APPROVED,
    }
    assert rule in elsewhere | of_services | {broken for broken, _, _ in BROKEN}


def test_every_check_is_a_function_of_its_module_and_none_is_forgotten() -> None:
    public: set[Callable[..., Any]] = {
        thing
        for module in (semantics, service_semantics, campus_semantics, public_semantics)
        for name, thing in vars(module).items()
        if callable(thing) and getattr(thing, "__module__", "") == module.__name__ and name[0] != "_"
    }
    functions = {thing for thing in public if not isinstance(thing, type)} - {violations, admit, reason_for}
    assert functions == set(CHECKS)


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        (x.ProductRequirements, NOON + timedelta(days=30)),
        (x.FlexibilityNeed, NOON + timedelta(hours=2, seconds=1)),
        (x.RequestForBids, NOON + timedelta(hours=2, seconds=1)),
        (x.Bid, NOON + timedelta(hours=2, seconds=1)),
        (x.PoolOpening, START + timedelta(seconds=1)),
        (x.PoolBid, START + timedelta(seconds=1)),
        (x.PoolActivation, END),
        (x.CpoActivation, END),
        (x.ParticipationRequest, END),
        (x.ParticipationInformation, END),
        (x.Bill, END + timedelta(days=8, seconds=1)),
        (x.Payment, END + timedelta(days=8, seconds=1)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_expired_is_what_comes_after_its_time_and_not_a_second_before(kind: type[x.Content], at: datetime) -> None:
    index = step_of(kind)
    step = HISTORY[index]
    assert set(rules(before(index), said((*step[:4], at, step[5])))) == {Rule.EXPIRED}
    assert rules(before(index), said((*step[:4], at - timedelta(seconds=1), step[5]))) == []


def test_an_answer_after_the_reply_by_is_expired() -> None:
    act = said(HISTORY[0])
    late = Said(act.content, act.performative, act.sender, act.receiver, "c", NOON, NOON - timedelta(seconds=1))
    assert rules(Register(ZONE, ROLES), late) == [Rule.EXPIRED]


@pytest.mark.parametrize(
    "kind",
    [
        x.RegistrationResult,
        x.Bid,
        x.MarketResult,
        x.DataMeasurements,
        x.PoolBid,
        x.PoolAward,
        x.Payment,
        x.VolumeAnswer,
    ],
)
def test_a_reference_is_used_once_for_each_time_that_it_was_given(kind: type[x.Content]) -> None:
    index = step_of(kind)
    register = before(index)
    register.note(said(HISTORY[index]))
    assert Rule.REFERENCE_USED in rules(register, said(HISTORY[index]))


def test_a_volume_that_was_rejected_may_be_proposed_again_and_an_accepted_one_not() -> None:
    index = step_of(x.DeliveredVolume)
    for answer, expected in ((Act.REJECT_PROPOSAL, []), (Act.ACCEPT_PROPOSAL, [Rule.REFERENCE_USED])):
        register = before(index + 1)
        register.note(said((x.VolumeAnswer, DSO, VPP, answer, AFTER, "volume")))
        assert rules(register, said(HISTORY[index])) == expected


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (x.ProductRequirements, {"notice_minutes": 61}),
        (x.ResourceRegistration, {"energy_kwh": 81.0}),
        (x.FlexibilityNeed, {"power_kw": 31.0}),
        (x.RequestForBids, {"power_needed_kw": 29.0}),
        (x.PoolOpening, {"power_needed_kw": 21.0}),
        (x.Bill, {"volume_kwh": 12.4}),
        (x.PoolActivation, {"power_kw": 19.0}),
    ],
)
def test_an_id_that_has_been_given_to_other_content_is_a_fault(kind: type[x.Content], change: Change) -> None:
    index = step_of(kind)
    register = before(index + 1)
    assert rules(register, said(HISTORY[index], **change)) == [Rule.SAME_ID_OTHER_CONTENT]
    assert rules(register, said(HISTORY[index])) == []


def test_one_pool_may_not_be_another_for_another_bidder_but_an_activation_is_split_among_cpos() -> None:
    register = before(len(HISTORY))
    pool = (x.PoolOpening, DSO, RIVAL, Act.CFP, ORDER_TIME, "pool")
    assert rules(register, said(pool)) == []
    assert rules(register, said(pool, power_needed_kw=21.0)) == [Rule.SAME_ID_OTHER_CONTENT]
    other_cpo = (x.CpoActivation, VPP, "cpo2@localhost", Act.REQUEST, ORDER_TIME, "order-cpo2")
    assert rules(register, said(other_cpo, power_kw=5.0)) == []


@pytest.mark.parametrize("kind", [x.ActivationSignal, x.PoolActivation])
def test_a_bid_is_ordered_once_unless_its_activation_was_declined(kind: type[x.Content]) -> None:
    index = step_of(kind)
    again = said(HISTORY[index], activation_id="another")
    assert rules(before(index + 1), again) == [Rule.ORDERED_TWICE]
    declined = before(index + 1)
    refusal = (x.Reason, VPP, DSO, Act.REFUSE, ORDER_TIME, HISTORY[index][5])
    declined.note(said(refusal))
    assert rules(declined, again) == []


def test_a_bid_that_was_not_awarded_cannot_be_activated() -> None:
    index = step_of(x.PoolAward)
    register = before(index)
    register.note(said((*HISTORY[index][:3], Act.REJECT_PROPOSAL, ORDER_TIME, "pool"), power_kw=0.0))
    assert Rule.UNKNOWN_REFERENCE in rules(register, said(HISTORY[step_of(x.PoolActivation)]))


def test_a_rival_cannot_use_what_was_said_to_another() -> None:
    index = step_of(x.PoolBid)
    assert rules(before(index), said((x.PoolBid, RIVAL, DSO, Act.PROPOSE, ORDER_TIME, "pool"))) == [
        Rule.UNKNOWN_REFERENCE
    ]


def test_judging_changes_nothing_and_the_past_can_be_forgotten() -> None:
    register = before(step_of(x.PoolBid))
    bid = said(HISTORY[step_of(x.PoolBid)])
    assert rules(register, bid) == rules(register, bid) == []
    register.forget(ORDER_TIME)
    assert rules(register, bid) == []
    register.forget(ORDER_TIME + timedelta(seconds=1))
    assert rules(register, bid) == [Rule.UNKNOWN_REFERENCE]


@pytest.mark.parametrize(("day", "count"), [(date(2026, 3, 29), 92), (date(2026, 7, 1), 96), (date(2026, 10, 25), 100)])
def test_a_local_day_has_92_96_or_100_periods_that_follow_each_other(day: date, count: int) -> None:
    assert periods_in_day(day, ZONE) == count
    starts = [period_start(day, index, ZONE) for index in range(count)]
    assert [period_index(at, ZONE) for at in starts] == list(range(count))
    assert all(begins_period(at, ZONE) for at in starts)
    steps = {b.astimezone(UTC) - a.astimezone(UTC) for a, b in pairwise(starts)}
    assert steps == {timedelta(minutes=15)}
    assert not begins_period(starts[5] + timedelta(seconds=1), ZONE)


@pytest.mark.parametrize(("day", "count"), [(date(2026, 3, 29), 92), (date(2026, 10, 25), 100)])
def test_a_whole_day_may_be_needed_on_the_days_when_the_clocks_change(day: date, count: int) -> None:
    start = day_start(day, ZONE)
    for periods, expected in ((count, []), (count + 1, [Rule.PERIOD_BOUNDS])):
        pool = sample(x.PoolOpening).model_copy(update={"start": start, "end": start + periods * timedelta(minutes=15)})
        act = Said(pool, Act.CFP, DSO, VPP, "pool", start)
        assert rules(Register(ZONE, ROLES), act) == expected


def test_an_act_that_is_admitted_is_remembered_and_one_that_is_not_gets_its_reason() -> None:
    register = before(step_of(x.PoolBid))
    bid = HISTORY[step_of(x.PoolBid)]
    dear = admit(register, said(bid, price_eur_per_kw=Decimal("0.60")))
    assert reason_for(dear) == x.Reason(
        code="price-above-maximum",
        reason="price-above-maximum: price_eur_per_kw is 0.60 EUR/kW, more than 0.50",
        faults=("price-above-maximum: price_eur_per_kw is 0.60 EUR/kW, more than 0.50",),
    )
    assert admit(register, said(bid)) == ()
    assert [violation.rule for violation in admit(register, said(bid))] == [Rule.REFERENCE_USED]


def test_a_driver_who_comes_in_the_middle_of_a_period_is_asked_for_what_is_left_of_it() -> None:
    kind, sender, receiver, act, _, conversation = HISTORY[step_of(x.ParticipationRequest)]
    now = START + SHIFT
    newcomer = said((kind, sender, receiver, act, now, conversation), start=now)
    assert rules(before(step_of(x.ParticipationRequest)), newcomer) == []
