"""The rules of the services of BUC 2 and BUC 4.1: who is asked, offers, takes part and is called off.

A service is asked for by the TSO or the DSO, called for and awarded by the FO, and told to the EMSP. It is the same
service all the way: its start, length and prices are those that were asked for, and nobody is ordered more than it
offered. A promise is firm for the first quarter of an hour of its service; its tail lasts until another one takes the
vehicle, so that two services may overlap but for their first quarters.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from protocols import exchanges as x
from protocols.acl import Performative
from protocols.market_time import begins_period
from protocols.references import Grounds, Register, Said
from protocols.rules import Check, Rule, Violation
from protocols.units import MARKET_PERIOD

ROUNDED_KW = 1e-3
"""Offers and orders may be rounded to a watt on their way."""

_SAME = ("start", "duration_minutes", "charging_cost_eur_per_kwh", "discharging_remuneration_eur_per_kwh")


def service_period(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A service, and the flexibility told for it, lies on the market's periods; no offer outlasts its call."""
    content = said.content
    if isinstance(content, x.Service | x.FlexibilityInformation) and not begins_period(content.start, register.zone):
        text = f"{content.start.isoformat()} does not begin a market period"
        yield Violation(Rule.PERIOD_BOUNDS, "start", text)
    if not isinstance(content, x.Service | x.ServiceOffer):
        return
    minutes, call = content.duration_minutes, _call(grounds)
    if timedelta(minutes=minutes) % MARKET_PERIOD:
        text = f"is {minutes} min, which are no whole market periods"
        yield Violation(Rule.PERIOD_BOUNDS, "duration_minutes", text)
    if isinstance(content, x.ServiceOffer) and call is not None and minutes > call.duration_minutes:
        text = f"is {minutes} min, more than {call.duration_minutes}"
        yield Violation(Rule.PERIOD_BOUNDS, "duration_minutes", text)


def service_begun(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """No service is asked for, called for, offered or awarded after its start, nor renews one that starts later."""
    content = said.content
    if isinstance(content, x.Service) and not isinstance(content, x.ServiceNotice) and said.at > content.start:
        yield Violation(Rule.EXPIRED, "start", "has passed")
    if isinstance(content, x.ServiceOffer) and (call := _call(grounds)) is not None and said.at > call.start:
        yield Violation(Rule.EXPIRED, "request_id", f"{call.request_id} has started")
    if isinstance(content, x.ServiceNotice) and said.at >= content.start + timedelta(minutes=content.duration_minutes):
        yield Violation(Rule.EXPIRED, "duration_minutes", "the service is over")
    for renewed in _renewed(register, said):
        if isinstance(content, x.ServiceSignal) and renewed.start > content.start:
            yield Violation(Rule.PERIOD_BOUNDS, "start", f"is before that of {renewed.service_id}, which it renews")
            return


def service_direction(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Who is asked to draw more is not called for, does not offer and is not ordered less, nor the other way round."""
    name, asked = "power_kw", _call(grounds) or _request(grounds)
    given = getattr(said.content, name, None)
    if isinstance(said.content, x.ServiceAnswer):
        name, given = "available_power_kw", said.content.available_power_kw
    elif not isinstance(said.content, x.ServiceCall | x.ServiceOffer | x.ServiceAward | x.ServiceNotice):
        return
    if asked is not None and given is not None and given * asked.power_kw < 0:
        yield Violation(Rule.WRONG_DIRECTION, name, f"is {given} kW, where {asked.power_kw} were asked for")


def as_asked(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Start, length, prices, place and payer of a service are those of the call or the request that it rests on."""
    content, asked = said.content, _call(grounds) or _request(grounds)
    if not isinstance(content, x.ServiceCall | x.ServiceAward | x.ServiceNotice) or asked is None:
        return
    names: tuple[str, ...] = ("service_id", *_SAME)
    if isinstance(content, x.VoltageCall) and isinstance(asked, x.VoltageRequest):
        names = (*names, "location")
    for name in names:
        if (value := getattr(content, name)) != (wanted := getattr(asked, name)):
            yield Violation(Rule.OTHER_THAN_ASKED, name, f"is {value}, not {wanted}")
    if isinstance(content, x.ServiceNotice):
        askers = {asker.sender for asker in register.find(type(asked), "service_id", content.service_id)}
        if content.payer not in askers:
            yield Violation(Rule.OTHER_THAN_ASKED, "payer", f"is {content.payer}, who has not asked for it")


def as_offered(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """Only vehicles that were offered are ordered, none to more than it offered, each beside the baseline it gave."""
    offer = grounds.first(x.Availability) or grounds.first(x.ParticipationResponse)
    if not isinstance(said.content, x.ServiceAward) or offer is None:
        return
    offered = {user.user_id: user for user in offer.users}
    for order in said.content.orders:
        if (user := offered.get(order.user_id)) is None:
            yield Violation(Rule.NOT_OFFERED, "orders", f"names {order.user_id!r}, which was not offered")
            continue
        if abs(order.power_kw) > abs(user.power_kw) + ROUNDED_KW or order.power_kw * user.power_kw < 0:
            text = f"has {order.power_kw} kW of {order.user_id!r}, which offered {user.power_kw}"
            yield Violation(Rule.POWER_BOUNDS, "orders", text)
        if abs(order.baseline_kw - user.baseline_kw) > ROUNDED_KW:
            text = f"has a baseline of {order.baseline_kw} kW for {order.user_id!r}, which gave {user.baseline_kw}"
            yield Violation(Rule.BASELINE, "orders", text)


def promised_once(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A vehicle is not awarded to two services for the first quarter of an hour of both, unless one was called off."""
    content = said.content
    if not isinstance(content, x.ServiceAward):
        return
    taken: dict[str, str] = {}
    for earlier in register.awards_from(content.start):
        award = earlier.content
        assert isinstance(award, x.ServiceAward)
        replaced = award.request_id == content.request_id or content.renews == award.service_id
        if earlier.receiver != said.receiver or replaced or register.declined(earlier) or register.called_off(earlier):
            continue
        taken |= {order.user_id: award.service_id for order in award.orders}
    for order in content.orders:
        if (other := taken.get(order.user_id)) is not None:
            text = f"has {order.user_id!r}, which is promised to {other!r} for this quarter of an hour"
            yield Violation(Rule.PROMISED_TWICE, "orders", text)


def cancellation(register: Register, said: Said, grounds: Grounds) -> Iterator[Violation]:
    """A cancel names what its sender opened the conversation with: a service that never began is not called off."""
    if said.performative is not Performative.CANCEL or not isinstance(said.content, x.Cancellation):
        return
    if (opening := register.opening_of(said)) is None:
        return
    # Where it opened nothing with an id, as a search in the directory, any word will do.
    names = (name for name in type(opening).model_fields if name.endswith("_id") and name != "user_id")
    ids = {getattr(opening, name) for name in names}
    if ids and said.content.reference not in ids:
        text = f"{said.content.reference!r} is not what was asked for in this conversation"
        yield Violation(Rule.WRONG_CANCELLATION, "reference", text)


SERVICE_CHECKS: tuple[Check, ...] = (
    service_period,
    service_begun,
    service_direction,
    as_asked,
    as_offered,
    promised_once,
    cancellation,
)


def _call(grounds: Grounds) -> x.ServiceCall | None:
    return grounds.first(x.CurtailmentCall) or grounds.first(x.VoltageCall)


def _request(grounds: Grounds) -> x.ServiceSignal | None:
    return grounds.first(x.CurtailmentActivation) or grounds.first(x.VoltageRequest)


def _renewed(register: Register, said: Said) -> Iterator[x.ServiceSignal]:
    """The services that a service renews, as far as they are known."""
    for reference in register.references_of(said):
        if reference.field == "renews":
            for earlier in register.resolve(said, reference):
                if isinstance(earlier.content, x.ServiceSignal):
                    yield earlier.content
