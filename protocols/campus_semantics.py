"""The rules of BUC 3 and BUC 7: offers answer calls, awards keep to offers, payments to prices, offers to approvals."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from protocols import exchanges as x
from protocols.acl import Performative
from protocols.market_time import begins_period, periods_between
from protocols.references import Grounds, Register, Said
from protocols.rules import Check, Rule, Violation
from protocols.units import MARKET_PERIOD

ROUNDED_KW = 1e-3
"""Powers may be rounded to a watt on their way."""
ROUNDED_KWH = 1e-2
ROUNDED_EUR = Decimal("0.02")
"""Two roundings to a cent."""


def congestion_call(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A call lies on the market's periods; neither it nor an answer to it comes after its start."""
    content = said.content
    call = content if isinstance(content, x.CongestionCall) else grounds.first(x.CongestionCall)
    if call is None:
        return
    if call is content and not begins_period(call.start, register.zone):
        yield Violation(Rule.PERIOD_BOUNDS, "start", f"{call.start.isoformat()} does not begin a market period")
    if isinstance(content, x.CongestionCall | x.SolutionOffer | x.SolutionAward) and said.at > call.start:
        field = "start" if call is content else "request_id"
        yield Violation(Rule.EXPIRED, field, "has passed" if call is content else f"{call.request_id} has started")


def solution(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """An offer has a baseline for each period of its call and energies that are its powers over the service; no more is
    awarded than was offered."""
    content, call = said.content, grounds.first(x.CongestionCall)
    if isinstance(content, x.SolutionOffer) and call is not None:
        periods = periods_between(call.start, call.end)
        if len(content.baseline_kw) != periods:
            text = f"has {len(content.baseline_kw)} values for {periods} periods"
            yield Violation(Rule.BASELINE, "baseline_kw", text)
        for activation in content.activations:
            energy = activation.power_kw * call.duration_minutes / 60
            if abs(activation.energy_kwh - energy) > ROUNDED_KWH:
                text = f"has {activation.energy_kwh} kWh in {activation.activation_id!r}, where it makes {energy:.3f}"
                yield Violation(Rule.POWER_BOUNDS, "activations", text)
    offer = grounds.first(x.SolutionOffer)
    if isinstance(content, x.SolutionAward) and offer is not None and content.power_kw > offer.power_kw + ROUNDED_KW:
        yield Violation(Rule.POWER_BOUNDS, "power_kw", f"is {content.power_kw} kW, more than {offer.power_kw}")


_OF_THE_CALL = (
    "start",
    "duration_minutes",
    "reduction_price_eur_per_kwh",
    "discharging_price_eur_per_kwh",
)


def customers(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A driver is told of the DSO's call as it is, takes one of the options, and is needed for no more than that."""
    content = said.content
    call = grounds.first(x.CongestionCall)
    if isinstance(content, x.CustomerRequest) and call is not None:
        for name in _OF_THE_CALL:
            if (value := getattr(content, name)) != (wanted := getattr(call, name)):
                yield Violation(Rule.OTHER_THAN_ASKED, name, f"is {value}, not {wanted}")
    request = grounds.first(x.CustomerRequest)
    if request is None or not isinstance(content, x.CustomerAnswer | x.CustomerAward):
        return
    options = {option.activation_id: option for option in request.options}
    if (option := options.get(content.activation_id)) is None:
        text = f"{content.activation_id!r} is none of the options"
        yield Violation(Rule.NOT_OFFERED, "activation_id", text)
        return
    answer = grounds.first(x.CustomerAnswer)
    if isinstance(content, x.CustomerAward):
        if answer is not None and answer.activation_id != content.activation_id:
            text = f"{content.activation_id!r} was not what the driver took"
            yield Violation(Rule.NOT_OFFERED, "activation_id", text)
        if content.power_kw > option.power_kw + ROUNDED_KW:
            text = f"is {content.power_kw} kW, more than {option.power_kw}"
            yield Violation(Rule.POWER_BOUNDS, "power_kw", text)


def settled(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A congestion service is settled for its own time, for what was awarded and by the prices of the call."""
    content, call = said.content, grounds.first(x.CongestionCall)
    if not isinstance(content, x.CongestionSettlement) or call is None:
        return
    if content.start != call.start or content.end > call.end:
        yield Violation(Rule.PERIOD_BOUNDS, "start", "or end is not within the service")
    if len(content.metered_kw) != (periods := periods_between(content.start, content.end)):
        yield Violation(Rule.PERIOD_BOUNDS, "metered_kw", f"has {len(content.metered_kw)} values for {periods} periods")
    award = grounds.first(x.SolutionAward)
    if award is not None and content.promised_kw > award.power_kw + ROUNDED_KW:
        text = f"is {content.promised_kw} kW, where {award.power_kw} were awarded"
        yield Violation(Rule.POWER_BOUNDS, "promised_kw", text)
    worth = (
        Decimal(repr(content.reduced_kwh)) * call.reduction_price_eur_per_kwh
        + Decimal(repr(content.discharged_kwh)) * call.discharging_price_eur_per_kwh
    )
    if abs(content.remuneration_eur - worth) > ROUNDED_EUR:
        text = f"is {content.remuneration_eur} EUR, where the energies make {worth:.2f}"
        yield Violation(Rule.WRONG_AMOUNT, "remuneration_eur", text)


def approved(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """No more is approved than was applied for, and none is offered without an approval for portfolio and product."""
    content = said.content
    application = grounds.first(x.ParticipationApplication)
    if isinstance(content, x.Prequalification) and application is not None:
        applied = application.capacity_kw
        if content.approved_kw > applied + ROUNDED_KW:
            yield Violation(Rule.POWER_BOUNDS, "approved_kw", f"is {content.approved_kw} kW, more than {applied}")
    if not isinstance(content, x.CapacityOffer) or register.me is not None:
        return  # An approval lasts for years, longer than an agent's register remembers; the TSO keeps it itself.
    approvals = [
        answer.content
        for asked in register.find(x.ParticipationApplication, "portfolio_id", content.portfolio_id)
        if isinstance(asked.content, x.ParticipationApplication)
        and (asked.sender, asked.receiver) == (said.sender, said.receiver)
        and asked.content.product is content.product
        for answer in register.find(x.Prequalification, "application_id", asked.content.application_id)
    ]
    most = max((a.approved_kw for a in approvals if isinstance(a, x.Prequalification)), default=None)
    if most is None:
        text = f"{content.portfolio_id!r} is not approved for {content.product}"
        yield Violation(Rule.NOT_APPROVED, "portfolio_id", text)
    elif content.capacity_kw > most + ROUNDED_KW:
        yield Violation(Rule.POWER_BOUNDS, "capacity_kw", f"is {content.capacity_kw} kW, approved are {most}")


def tested(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A test is of an application that still stands, and its record is sampled as was asked."""
    content, step = said.content, grounds.first(x.TestStep)
    if isinstance(content, x.TestRecord) and step is not None and content.sample_s != step.sample_s:
        yield Violation(Rule.OTHER_THAN_ASKED, "sample_s", f"is {content.sample_s} s, not {step.sample_s}")


def capacity(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Capacity is bought up to what was offered and not below its price, paid for its time, and asked about then."""
    content, offer, award = said.content, grounds.first(x.CapacityOffer), grounds.first(x.CapacityAward)
    if isinstance(content, x.CapacityOffer) and said.at > content.start:
        yield Violation(Rule.EXPIRED, "start", "has passed")
    if offer is None:
        return
    if isinstance(content, x.CapacityAward):
        if content.capacity_kw > offer.capacity_kw + ROUNDED_KW:
            text = f"is {content.capacity_kw} kW, more than {offer.capacity_kw}"
            yield Violation(Rule.POWER_BOUNDS, "capacity_kw", text)
        if content.price_eur_per_kw < offer.price_eur_per_kw:
            text = f"is {content.price_eur_per_kw} EUR/kW, less than {offer.price_eur_per_kw}"
            yield Violation(Rule.PRICE_BELOW_BID, "price_eur_per_kw", text)
    if isinstance(content, x.CapacitySettlement) and award is not None:
        quarters = (offer.end - offer.start) / MARKET_PERIOD
        most = award.price_eur_per_kw * Decimal(repr(award.capacity_kw * quarters))
        if content.capacity_eur > most + ROUNDED_EUR:
            text = f"is {content.capacity_eur} EUR, where all of it makes {most:.2f}"
            yield Violation(Rule.WRONG_AMOUNT, "capacity_eur", text)
    if isinstance(content, x.DeliveryQuery) and not offer.start <= content.start < content.end <= offer.end:
        yield Violation(Rule.PERIOD_BOUNDS, "start", f"or end is outside {offer.offer_id}")
    if isinstance(content, x.ParticipationChange) and content.capacity_kw > offer.capacity_kw + ROUNDED_KW:
        text = f"is {content.capacity_kw} kW, more than {offer.capacity_kw}"
        yield Violation(Rule.POWER_BOUNDS, "capacity_kw", text)


def reported(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A report is of the time that was asked about."""
    content, query = said.content, grounds.first(x.DeliveryQuery)
    if not isinstance(content, x.DeliveryReport) or query is None:
        return
    if (content.start, content.end) != (query.start, query.end):
        yield Violation(Rule.OTHER_THAN_ASKED, "start", "or end is not what was asked about")


def ended(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """3.3 and 7.3 name what their sender opened the conversation with."""
    content = said.content
    if said.performative is not Performative.CANCEL or not isinstance(content, x.CongestionEnd | x.ParticipationEnd):
        return
    if (opening := register.opening_of(said)) is None:
        return
    names = ("request_id", "application_id", "offer_id")
    if content.reference not in {getattr(opening, name, None) for name in names}:
        text = f"{content.reference!r} is not what was asked for in this conversation"
        yield Violation(Rule.WRONG_CANCELLATION, "reference", text)


CAMPUS_CHECKS: tuple[Check, ...] = (
    congestion_call,
    solution,
    customers,
    settled,
    approved,
    tested,
    capacity,
    reported,
    ended,
)
