"""The rules of BUC 3 and BUC 7: each with what keeps it and what breaks it, one thing at a time."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from protocols import exchanges as x
from protocols.acl import Performative as Act
from protocols.references import Register, Said
from protocols.roles import Role
from protocols.semantics import Rule, violations
from tests.protocols.samples import NOON, START, ZONE, sample

DSO, TSO, LOT, OTHER, OWNER = (f"{name}@localhost" for name in ("beof", "energinet", "pool", "staff", "owner1"))
ROLES = {DSO: Role.DSO, TSO: Role.TSO, LOT: Role.V2X_MANAGER, OTHER: Role.V2X_MANAGER, OWNER: Role.EV_OWNER}
ASKED = START - timedelta(minutes=11)
HALF = timedelta(minutes=30)
HOUR = timedelta(hours=1)

Step = tuple[type[x.Content], str, str, Act, datetime, str]
Change = dict[str, Any]

HISTORY: tuple[Step, ...] = (
    (x.ScheduleSubscription, DSO, LOT, Act.SUBSCRIBE, NOON, "3.x.5"),
    (x.ChargingSchedule, LOT, DSO, Act.INFORM, NOON, "3.x.5"),
    (x.CongestionCall, DSO, LOT, Act.CFP, ASKED, "call"),
    (x.SolutionOffer, LOT, DSO, Act.PROPOSE, ASKED, "call"),
    (x.SolutionAward, DSO, LOT, Act.ACCEPT_PROPOSAL, ASKED, "call"),
    (x.CustomerRequest, LOT, OWNER, Act.CFP, ASKED, "ask"),
    (x.CustomerAnswer, OWNER, LOT, Act.PROPOSE, ASKED, "ask"),
    (x.CustomerAward, LOT, OWNER, Act.ACCEPT_PROPOSAL, ASKED, "ask"),
    (x.CongestionEnd, DSO, LOT, Act.CANCEL, START + timedelta(minutes=15), "call"),
    (x.CongestionSettlement, DSO, LOT, Act.PROPOSE, START + HOUR, "settle"),
    (x.SettlementAnswer, LOT, DSO, Act.ACCEPT_PROPOSAL, START + HOUR, "settle"),
    (x.Remuneration, LOT, OWNER, Act.REQUEST, START + HOUR, "pay"),
    (x.ParticipationApplication, LOT, TSO, Act.REQUEST, NOON, "apply"),
    (x.TestStep, TSO, LOT, Act.REQUEST, NOON + HOUR, "step"),
    (x.TestRecord, LOT, TSO, Act.INFORM, NOON + HOUR, "step"),
    (x.Prequalification, TSO, LOT, Act.INFORM, NOON + 2 * HOUR, "apply"),
    (x.CapacityOffer, LOT, TSO, Act.REQUEST, ASKED, "offer"),
    (x.CapacityAward, TSO, LOT, Act.AGREE, ASKED, "offer"),
    (x.FcrStatusSubscription, OWNER, LOT, Act.SUBSCRIBE, NOON, "look"),
    (x.FcrStatus, LOT, OWNER, Act.INFORM, START, "look"),
    (x.ParticipationChange, LOT, TSO, Act.REQUEST, START, "change"),
    (x.DeliveryQuery, TSO, LOT, Act.QUERY_REF, START + HOUR, "report"),
    (x.DeliveryReport, LOT, TSO, Act.INFORM, START + HOUR, "report"),
    (x.CapacitySettlement, TSO, LOT, Act.INFORM, START + HOUR, "offer"),
)
"""A congestion that is relieved, called off and paid, and a portfolio that is tested, delivers and is paid."""

LAST: Step = (x.ParticipationEnd, LOT, TSO, Act.CANCEL, START, "offer")


def said(step: Step, **changes: Any) -> Said:
    kind, sender, receiver, act, at, conversation = step
    return Said(sample(kind).model_copy(update=changes), act, sender, receiver, conversation, at)


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


def test_a_delivery_is_called_off_under_the_id_of_its_offer() -> None:
    assert violations(before(x.CapacitySettlement), said(LAST)) == ()
    assert rules(before(x.CapacitySettlement), said(LAST, reference="n-2")) == {Rule.WRONG_CANCELLATION}


_OFFER = sample(x.SolutionOffer)
assert isinstance(_OFFER, x.SolutionOffer)
_FIRST, _SECOND = _OFFER.activations

BROKEN: tuple[tuple[Rule, type[x.Content], Change], ...] = (
    (Rule.UNKNOWN_REFERENCE, x.ChargingSchedule, {"request_id": "s9"}),
    (Rule.PERIOD_BOUNDS, x.CongestionCall, {"start": START + timedelta(minutes=7)}),
    (Rule.EXPIRED, x.CongestionCall, {"start": START - HOUR}),
    (Rule.UNKNOWN_REFERENCE, x.SolutionOffer, {"request_id": "g9"}),
    (Rule.BASELINE, x.SolutionOffer, {"baseline_kw": (22.0,)}),
    (
        Rule.POWER_BOUNDS,
        x.SolutionOffer,
        {"activations": (_FIRST.model_copy(update={"energy_kwh": 11.0}), _SECOND)},
    ),
    (Rule.POWER_BOUNDS, x.SolutionAward, {"power_kw": 10.5}),
    (Rule.OTHER_THAN_ASKED, x.CustomerRequest, {"duration_minutes": 45}),
    (Rule.OTHER_THAN_ASKED, x.CustomerRequest, {"reduction_price_eur_per_kwh": Decimal("0.05")}),
    (Rule.WRONG_SERVICE, x.CustomerRequest, {"service": x.ServiceType.VOLTAGE_CONTROL}),
    (Rule.NOT_OFFERED, x.CustomerAnswer, {"activation_id": "g1/2"}),
    (Rule.NOT_OFFERED, x.CustomerAward, {"activation_id": "g1/2"}),
    (Rule.POWER_BOUNDS, x.CustomerAward, {"power_kw": 11.5}),
    (Rule.WRONG_CANCELLATION, x.CongestionEnd, {"reference": "s1"}),
    (Rule.POWER_BOUNDS, x.CongestionSettlement, {"promised_kw": 9.5}),
    (Rule.WRONG_AMOUNT, x.CongestionSettlement, {"remuneration_eur": Decimal("0.60")}),
    (Rule.PERIOD_BOUNDS, x.CongestionSettlement, {"start": START + timedelta(minutes=15)}),
    (Rule.UNKNOWN_REFERENCE, x.SettlementAnswer, {"settlement_id": "other"}),
    (Rule.UNKNOWN_REFERENCE, x.TestStep, {"application_id": "other"}),
    (Rule.OTHER_THAN_ASKED, x.TestRecord, {"sample_s": 2.0}),
    (Rule.POWER_BOUNDS, x.Prequalification, {"approved_kw": 121.0}),
    (Rule.NOT_APPROVED, x.CapacityOffer, {"product": x.FcrProduct.FCR_D_UP}),
    (Rule.POWER_BOUNDS, x.CapacityOffer, {"capacity_kw": 119.0}),
    (Rule.POWER_BOUNDS, x.CapacityAward, {"capacity_kw": 111.0}),
    (Rule.PRICE_BELOW_BID, x.CapacityAward, {"price_eur_per_kw": Decimal("0.004")}),
    (Rule.POWER_BOUNDS, x.ParticipationChange, {"capacity_kw": 111.0}),
    (Rule.PERIOD_BOUNDS, x.DeliveryQuery, {"end": START + 2 * HOUR}),
    (Rule.OTHER_THAN_ASKED, x.DeliveryReport, {"end": START + HALF}),
    (
        Rule.WRONG_AMOUNT,
        x.CapacitySettlement,
        {"capacity_eur": Decimal("2.80"), "amount_eur": Decimal("2.99")},
    ),
)


@pytest.mark.parametrize(("rule", "kind", "change"), BROKEN, ids=[f"{r}-{k.__name__}" for r, k, _ in BROKEN])
def test_each_rule_is_broken_by_one_changed_field(rule: Rule, kind: type[x.Content], change: Change) -> None:
    assert rules(before(kind), said(step_of(kind), **change)) == {rule}


def test_what_comes_after_the_start_of_a_service_is_too_late() -> None:
    for kind in (x.CongestionCall, x.SolutionOffer, x.SolutionAward):
        assert Rule.EXPIRED in rules(before(kind), said(step_of(kind, START + timedelta(seconds=1))))
    assert Rule.EXPIRED in rules(before(x.CapacityOffer), said(step_of(x.CapacityOffer, START + HALF)))


def test_an_agent_leaves_it_to_its_own_books_whether_a_portfolio_is_approved() -> None:
    """An approval holds for five years (technical requirements 2.4), an agent's register remembers a day."""
    offer = said(step_of(x.CapacityOffer))
    assert violations(Register(ZONE, ROLES, TSO), offer) == ()


SWAPPED = {"activations": (_SECOND, _FIRST)}


def test_an_offer_in_another_order_than_its_cost_is_no_merit_order() -> None:
    with pytest.raises(ValueError, match="not in the order of their cost"):
        x.SolutionOffer(**{name: getattr(_OFFER, name) for name in x.SolutionOffer.model_fields} | SWAPPED)


def test_a_finding_outside_its_bounds_cannot_be_passed() -> None:
    with pytest.raises(ValueError, match="outside its bounds"):
        x.Finding(clause="c", requirement="r", measured=0.3, low=-0.05, high=0.2, unit="p.u.", passed=True)
