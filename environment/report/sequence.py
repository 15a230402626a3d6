"""One negotiation out of a trace: the richest chain from a call for bids to its bill, or of one service.

A chain is the contract-net of one round, and the conversations of one activation that was awarded in it, nested as
they were: grid operator, aggregator, charging operator, drivers, and back; or all conversations about one service.
What many drivers or V2X managers were told and answered at the same time is one step with a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from environment.report.market import Round
from environment.report.services import Service
from environment.report.words import CROWDS, actor, number
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative, Protocol
from protocols.trace import Entry

_ORDER = ("tso", "fmo", "dso", "vpp", "cpo", "fo", "v2x_manager", "emsp", "", "ev_owner")
"""From left to right; the empty word is any other role."""
_BURST = timedelta(minutes=5)
"""After so long a silence a crowd's messages are no longer one with those before."""
_ABOUT = ("request_id", "settlement_id", "offer_id", "reference", "terms_id", "activation_id")
"""Where a content says what it is about."""
_PARTS = ("v2x_manager",)
"""Crowds whose members each bring a part of one power."""


@dataclass(frozen=True, slots=True)
class Lifeline:
    """One actor of the diagram, or a crowd of the same role as one (`members` > 1)."""

    key: str
    name: str
    note: str
    members: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow: `count` messages of the same act between the same two lifelines (indices).

    `power_kw` is the sum over V2X managers, who each offer their own part; None where a message tells no power.
    """

    at: datetime
    source: int
    target: int
    performative: Performative
    exchange: str | None
    gist: str
    conversation: str
    count: int = 1
    power_kw: float | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """What a diagram may be about besides a round or a service: what several conversations have in common."""

    id: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Story:
    """What a sequence diagram shows: the round or the service that it is about.

    `others` counts activations of the same round that it leaves out.
    """

    subject: Round | Service | Episode
    activation: str | None
    lifelines: tuple[Lifeline, ...]
    steps: tuple[Step, ...]
    others: int

    @property
    def billed(self) -> bool:
        """Whether the chain goes on to its bill."""
        return any(step.exchange == "1.2.7" for step in self.steps)


def richest(trace: Trace, rounds: Iterable[Round], zone: tzinfo | None = None) -> Story | None:
    """The chain with the most different acts (BUC 6 before BUC 1, then the most messages); None without rounds.

    The steps' times are put into `zone`, or that of this machine where it is None.
    """
    conversations: dict[str, list[AclMessage]] = {}
    activations: dict[str, set[str]] = {}  # activation id -> its conversations
    ordered: dict[str, list[str]] = {}  # bid id -> activation ids
    for message in (entry.message for entry in trace.entries):
        # A subscription informs about many activations: it belongs to none of them.
        if message.protocol is Protocol.SUBSCRIBE:
            continue
        conversations.setdefault(message.conversation_id, []).append(message)
        activation = message.content.get("activation_id")
        if isinstance(activation, str):
            activations.setdefault(activation, set()).add(message.conversation_id)
            bid = message.content.get("bid_id")
            if isinstance(bid, str) and activation not in ordered.setdefault(bid, []):
                ordered[bid].append(activation)
    best: tuple[tuple[int, int, int], Round, str | None, set[str], int] | None = None
    for market in rounds:
        chosen = [activation for bid in market.bids for activation in ordered.get(bid.id, [])]
        candidates: list[str | None] = [*chosen] or [None]
        for activation in candidates:
            parts = {market.conversation_id} | (activations[activation] if activation else set())
            said = [message for part in parts for message in conversations[part]]
            acts = {(message.exchange, message.performative) for message in said}
            score = (market.kind == "pool", len(acts), len(said))
            if best is None or score > best[0]:
                best = (score, market, activation, parts, max(0, len(chosen) - 1))
    if best is None:
        return None
    _, market, activation, parts, others = best
    return _told(trace, market, activation, parts, others, zone)


def richest_service(trace: Trace, services: Iterable[Service], zone: tzinfo | None = None) -> Story | None:
    """The service that took place with the most different acts, then the most messages; None where there is none.

    The steps' times are put into `zone`, or that of this machine where it is None.
    """
    conversations: dict[str, list[AclMessage]] = {}
    about: dict[str, set[str]] = {}  # service id -> its conversations
    for message in (entry.message for entry in trace.entries):
        if message.protocol is Protocol.SUBSCRIBE:
            continue
        conversations.setdefault(message.conversation_id, []).append(message)
        service_id = message.content.get("service_id")
        if isinstance(service_id, str):
            about.setdefault(service_id, set()).add(message.conversation_id)
    best: tuple[tuple[int, int], Service, set[str]] | None = None
    for service in services:
        if not service.took_place:
            continue
        parts = about[service.id]
        said = [message for part in parts for message in conversations[part]]
        score = (len({(message.exchange, message.performative) for message in said}), len(said))
        if best is None or score > best[0]:
            best = (score, service, parts)
    if best is None:
        return None
    _, found, parts = best
    return _told(trace, found, None, parts, 0, zone)


def about(trace: Trace, subject: Episode, ids: Iterable[str], zone: tzinfo | None = None) -> Story | None:
    """All conversations, subscriptions aside, in which one of `ids` is what a request, an offer or a payment is about;
    None where there is none."""
    wanted, parts = set(ids), set()
    for message in (entry.message for entry in trace.entries):
        if message.protocol is not Protocol.SUBSCRIBE:
            named = (message.content.get(name) for name in _ABOUT)
            if any(isinstance(name, str) and name in wanted for name in named):
                parts.add(message.conversation_id)
    return _told(trace, subject, None, parts, 0, zone) if parts else None


def _told(
    trace: Trace,
    subject: Round | Service | Episode,
    activation: str | None,
    parts: set[str],
    others: int,
    zone: tzinfo | None,
) -> Story:
    entries = [entry for entry in trace.entries if entry.message.conversation_id in parts]
    people = list(dict.fromkeys(jid for entry in entries for jid in (entry.message.sender, entry.message.receiver)))
    keys = {jid: trace.roles[jid] if trace.roles.get(jid) in CROWDS else jid for jid in people}
    lifelines = _lifelines(keys, trace.roles)
    return Story(subject, activation, lifelines, _steps(entries, lifelines, keys, zone), others)


def _lifelines(keys: Mapping[str, str], roles: Mapping[str, str]) -> tuple[Lifeline, ...]:
    """Who takes part: the market's side left, the drivers right, in between as the orders go down.

    `keys` has for each JID the lifeline that it is part of: its own, or its crowd's.
    """
    members: dict[str, list[str]] = {}
    for jid, key in keys.items():
        members.setdefault(key, []).append(jid)

    def place(key: str) -> int:
        role = roles.get(members[key][0], "")
        return _ORDER.index(role if role in _ORDER else "")

    lines = []
    for key in sorted(members, key=place):
        crowd = members[key]
        if len(crowd) == 1:
            lines.append(Lifeline(key, *actor(crowd[0], roles)))
        else:
            lines.append(Lifeline(key, CROWDS[key], f"{len(crowd)} of them", len(crowd)))
    return tuple(lines)


def _steps(
    entries: Iterable[Entry], lifelines: tuple[Lifeline, ...], keys: Mapping[str, str], zone: tzinfo | None
) -> tuple[Step, ...]:
    places = {line.key: index for index, line in enumerate(lifelines)}
    steps: list[Step] = []
    burst = 0  # where the present run of messages with a crowd began
    said = datetime.min.replace(tzinfo=UTC)  # when the last message was
    for entry in entries:
        message = entry.message
        source, target = places[keys[message.sender]], places[keys[message.receiver]]
        act, conversation = message.performative, message.conversation_id
        step = Step(entry.at.astimezone(zone), source, target, act, message.exchange, gist(message), conversation)
        if steps and entry.at - said > _BURST:
            burst = len(steps)
        said = entry.at
        crowd = next((lifelines[end].key for end in (source, target) if lifelines[end].key in CROWDS), None)
        if crowd is None:
            steps.append(step)
            burst = len(steps)
            continue
        # A crowd's conversations are one, as its members are.
        step = replace(step, conversation=f"{crowd}-{burst}", power_kw=_power(message) if crowd in _PARTS else None)
        kind = (source, target, step.performative, step.exchange)
        for index in range(burst, len(steps)):
            same = steps[index]
            if (same.source, same.target, same.performative, same.exchange) == kind:
                steps[index] = _together(same, step)
                break
        else:
            steps.append(step)
    return tuple(steps)


def _together(same: Step, step: Step) -> Step:
    """One step of two: their words if they said the same, else the power that they come to."""
    known = same.power_kw is not None and step.power_kw is not None
    total = (same.power_kw or 0.0) + (step.power_kw or 0.0) if known else None
    told = same.gist
    if same.gist != step.gist:
        told = "" if total is None else f"{number(total, 1)} kW in all"
    return replace(same, count=same.count + 1, gist=told, power_kw=total)


def _power(message: AclMessage) -> float | None:
    value = message.content.get("power_kw")
    return float(value) if isinstance(value, int | float) else None


def gist(message: AclMessage) -> str:
    """What a message says, in a few words: its power, its price, its reason."""
    content = message.content
    parts: list[str] = []
    for name, words in (
        ("power_needed_kw", "{} kW needed"),
        ("power_kw", "{} kW"),
        ("capacity_kw", "{} kW"),
        ("approved_kw", "{} kW approved"),
        ("cleared_power_kw", "{} kW cleared"),
        ("available_power_kw", "{} kW available"),
        ("delivered_energy_kwh", "{} kWh delivered"),
        ("up_kwh", "{} kWh up"),
        ("down_kwh", "{} kWh down"),
    ):
        value = content.get(name)
        if isinstance(value, int | float):
            parts.append(words.format(number(value, 1)))
    for name, words in (
        ("price_eur_per_kw", "{} EUR/kW"),
        ("market_price_eur_per_kw", "{} EUR/kW"),
        ("benefit_eur", "for {} EUR"),
        ("amount_eur", "{} EUR"),
        ("remuneration_eur", "{} EUR"),
    ):
        if content.get(name) is not None:
            parts.append(words.format(content[name]))
    if "max_price_eur_per_kw" in content and message.performative is Performative.CFP:
        parts.append(f"at most {content['max_price_eur_per_kw']} EUR/kW")
    if isinstance(cost := content.get("charging_cost_eur_per_kwh"), str):
        parts.append(f"charging at {cost.rstrip('0').rstrip('.') if '.' in cost else cost} EUR/kWh")
    if isinstance(cost := content.get("reduction_price_eur_per_kwh"), str):
        parts.append(f"at {cost.rstrip('0').rstrip('.') if '.' in cost else cost} EUR/kWh")
    if (message.exchange or "").startswith(("4.2.", "5.")):
        parts += _public(content)
    if content.get("reason"):
        parts.append(str(content["reason"]))
    return ", ".join(parts)


def _public(content: Mapping[str, Any]) -> list[str]:
    """What is said of public stations: where, at most how much, for how much, how many points, bids or choices."""
    parts = [str(content["station_id"])] if content.get("station_id") else []
    for name, words in (("limit_kw", "at most {} kW"), ("energy_kwh", "{} kWh")):
        if isinstance(value := content.get(name), int | float):
            parts.append(words.format(number(value, 0 if name == "limit_kw" else 1)))
    if content.get("price_eur") is not None:
        parts.append(f"for {content['price_eur']} EUR")
    for name, words in (
        ("curve", "{} points"),
        ("bids", "{} curves"),
        ("purchases", "{} caps bought"),
        ("contracts", "{} contracts"),
        ("choices", "{} choices"),
    ):
        if isinstance(value := content.get(name), list):
            parts.append(words.format(len(value)))
    return parts
