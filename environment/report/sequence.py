"""One negotiation out of a trace: the richest chain from a call for bids to its chargers, drivers and bill.

A chain is the contract-net of one round, and the conversations of one activation that was awarded in it, nested as
they were: grid operator, aggregator, charging operator, drivers, and back. What many drivers were told and answered at
the same time is one step with a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from environment.report.market import Round
from environment.report.words import actor, number
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative, Protocol
from protocols.trace import Entry

_CROWD = "ev_owner"


@dataclass(frozen=True, slots=True)
class Lifeline:
    """One actor of the diagram, or the crowd of drivers as one (`members` > 1)."""

    key: str
    name: str
    note: str
    members: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow: `count` messages of the same act between the same two lifelines (indices)."""

    at: datetime
    source: int
    target: int
    performative: Performative
    exchange: str | None
    gist: str
    conversation: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Story:
    """What a sequence diagram shows. `others` counts activations of the same round that it leaves out."""

    round: Round
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
    entries = [entry for entry in trace.entries if entry.message.conversation_id in parts]
    lifelines = _lifelines(entries, trace.roles)
    return Story(market, activation, lifelines, _steps(entries, lifelines, trace.roles, zone), others)


def _lifelines(entries: Iterable[Entry], roles: Mapping[str, str]) -> tuple[Lifeline, ...]:
    """Who takes part: the market's side left, the drivers right, in between as the orders go down."""
    order = ("tso", "fmo", "dso", "vpp", "cpo", _CROWD)
    people = list(dict.fromkeys(jid for entry in entries for jid in (entry.message.sender, entry.message.receiver)))
    crowd = [jid for jid in people if roles.get(jid) == _CROWD]
    lines = [
        Lifeline(jid, *actor(jid, roles))
        for jid in sorted(
            (jid for jid in people if jid not in crowd),
            key=lambda jid: order.index(roles[jid]) if roles.get(jid) in order else len(order),
        )
    ]
    if len(crowd) == 1:
        lines.append(Lifeline(_CROWD, *actor(crowd[0], roles)))
    elif crowd:
        lines.append(Lifeline(_CROWD, "EV owners", f"{len(crowd)} of them", len(crowd)))
    return tuple(lines)


def _steps(
    entries: Iterable[Entry], lifelines: tuple[Lifeline, ...], roles: Mapping[str, str], zone: tzinfo | None
) -> tuple[Step, ...]:
    places = {line.key: index for index, line in enumerate(lifelines)}
    steps: list[Step] = []
    burst = 0  # where the present run of messages with the crowd began
    for entry in entries:
        message = entry.message
        source, target = (
            places[_CROWD if roles.get(jid) == _CROWD else jid] for jid in (message.sender, message.receiver)
        )
        act, conversation = message.performative, message.conversation_id
        step = Step(entry.at.astimezone(zone), source, target, act, message.exchange, gist(message), conversation)
        if _CROWD not in (lifelines[source].key, lifelines[target].key):
            steps.append(step)
            burst = len(steps)
            continue
        # The crowd's conversations are one, as its members are.
        step = replace(step, conversation=f"{_CROWD}-{burst}")
        kind = (source, target, step.performative, step.exchange)
        for index in range(burst, len(steps)):
            same = steps[index]
            if (same.source, same.target, same.performative, same.exchange) == kind:
                told = same.gist if same.gist == step.gist else ""
                steps[index] = replace(same, count=same.count + 1, gist=told)
                break
        else:
            steps.append(step)
    return tuple(steps)


def gist(message: AclMessage) -> str:
    """What a message says, in a few words: its power, its price, its reason."""
    content = message.content
    parts: list[str] = []
    for name, words in (
        ("power_needed_kw", "{} kW needed"),
        ("power_kw", "{} kW"),
        ("cleared_power_kw", "{} kW cleared"),
        ("available_power_kw", "{} kW available"),
        ("delivered_energy_kwh", "{} kWh delivered"),
    ):
        value = content.get(name)
        if isinstance(value, int | float):
            parts.append(words.format(number(value, 1)))
    for name, words in (
        ("price_eur_per_kw", "{} EUR/kW"),
        ("market_price_eur_per_kw", "{} EUR/kW"),
        ("benefit_eur", "for {} EUR"),
        ("amount_eur", "{} EUR"),
    ):
        if content.get(name) is not None:
            parts.append(words.format(content[name]))
    if "max_price_eur_per_kw" in content and message.performative is Performative.CFP:
        parts.append(f"at most {content['max_price_eur_per_kw']} EUR/kW")
    if content.get("reason"):
        parts.append(str(content["reason"]))
    return ", ".join(parts)
