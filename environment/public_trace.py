"""What the trace of a run on public stations says: who charged where, which limits were activated, which prices fell.

Only well-formed words of those whose part it is count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from agents.decisions.station_offers import distance_km
from environment.report.market import well_formed
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative
from protocols.exchanges.capacity_contracts import (
    CapacityLimit,
    ChargingChoice,
    ChargingChoices,
    ChargingRequest,
    ChargingSelection,
    ConcludedContracts,
    CurveBids,
    LimitSettlement,
    LimitSettlementAnswer,
    ProcurementDecision,
    SessionReceipt,
    Stay,
)
from protocols.exchanges.network_prices import NetworkBill, NetworkPriceReduction
from protocols.exchanges.plain import Done

_AGREED = (Performative.AGREE, Performative.INFORM)


@dataclass(frozen=True, slots=True)
class Charged:
    """A session: what was picked at `cpo` (JID) on `stay`, at `picked_at` and how far from it; `receipt` when it took
    place."""

    driver: str
    cpo: str
    request_id: str
    choice: ChargingChoice
    stay: Stay
    receipt: SessionReceipt | None = None

    @property
    def distance_km(self) -> float:
        """From where the car could stay to the station."""
        there = (self.choice.latitude_deg, self.choice.longitude_deg)
        return distance_km(self.stay.latitude_deg, self.stay.longitude_deg, *there)


@dataclass(frozen=True, slots=True)
class Limited:
    """A limit that was activated (5.2.1), and whether its station's operator agreed."""

    limit: CapacityLimit
    cpo: str
    agreed: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """A day of a contract, and whether it was accepted."""

    settlement: LimitSettlement
    cpo: str
    accepted: bool


@dataclass(slots=True)
class Auction:
    """What was offered, bought and concluded."""

    bids: CurveBids | None = None
    decision: ProcurementDecision | None = None
    concluded: ConcludedContracts | None = None


@dataclass(slots=True)
class PublicTrace:
    """Everything in the order in which it was said: sessions by need-like `request_id`, limits, settlements, bills,
    price reductions by id."""

    asked: dict[str, ChargingRequest] = field(default_factory=dict)
    sessions: list[Charged] = field(default_factory=list)
    limits: list[Limited] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)
    bills: list[NetworkBill] = field(default_factory=list)
    reductions: dict[str, NetworkPriceReduction] = field(default_factory=dict)
    auction: Auction = field(default_factory=Auction)


def read_public(trace: Trace) -> PublicTrace:
    """What is found in a trace."""
    found = PublicTrace()
    _sessions(trace, found)
    _limits(trace, found)
    bills: dict[str, NetworkBill] = {}
    for message, content in well_formed(trace, "4.2.1", "4.x.2", "5.1.4", "5.1.5"):
        match content:
            case NetworkPriceReduction():
                found.reductions.setdefault(content.reduction_id, content)
            case NetworkBill() if message.performative is Performative.REQUEST:
                bills.setdefault(content.bill_id, content)  # one that is not answered is sent again
            case CurveBids():
                found.auction.bids = content
            case ProcurementDecision():
                found.auction.decision = content
            case ConcludedContracts():
                found.auction.concluded = content
    found.bills = list(bills.values())
    return found


def _sessions(trace: Trace, found: PublicTrace) -> None:
    offered: dict[str, tuple[str, ChargingChoice]] = {}
    sessions: dict[str, Charged] = {}
    for message, content in well_formed(trace, "5.2.2", "5.2.3", "5.2.4", "5.x.3"):
        match content:
            case ChargingRequest():
                found.asked.setdefault(content.request_id, content)
            case ChargingChoices():
                offered |= {choice.choice_id: (message.sender, choice) for choice in content.choices}
            case ChargingSelection() if content.choice_id in offered and content.request_id in found.asked:
                cpo, choice = offered[content.choice_id]
                stay = found.asked[content.request_id].stays[choice.stay]
                picked = Charged(message.sender, cpo, content.request_id, choice, stay)
                sessions[choice.choice_id] = picked
            case SessionReceipt() if content.choice_id in sessions:
                session = sessions[content.choice_id]
                if message.sender == session.cpo:
                    sessions[content.choice_id] = replace(session, receipt=content)
    found.sessions = list(sessions.values())


def _limits(trace: Trace, found: PublicTrace) -> None:
    limits: dict[str, Limited] = {}
    settled: dict[str, Settled] = {}
    for message, content in _of_exchange(trace, "5.2.1"):
        if isinstance(content, CapacityLimit):
            limits[message.conversation_id] = Limited(content, message.receiver, False)
        elif isinstance(content, Done) and message.performative in _AGREED and message.conversation_id in limits:
            limits[message.conversation_id] = replace(limits[message.conversation_id], agreed=True)
    for message, content in well_formed(trace, "5.x.2"):
        accepts = message.performative is Performative.ACCEPT_PROPOSAL
        if isinstance(content, LimitSettlement):
            settled[content.settlement_id] = Settled(content, message.receiver, False)
        elif isinstance(content, LimitSettlementAnswer) and accepts and content.settlement_id in settled:
            settled[content.settlement_id] = replace(settled[content.settlement_id], accepted=True)
    found.limits, found.settled = list(limits.values()), list(settled.values())


def _of_exchange(trace: Trace, exchange: str) -> Iterable[tuple[AclMessage, object]]:
    """The messages of the conversations that an exchange opens; their plain acts carry no number of their own."""
    conversations = {e.message.conversation_id for e in trace.entries if e.message.exchange == exchange}
    part = replace(trace, entries=tuple(e for e in trace.entries if e.message.conversation_id in conversations))
    return well_formed(part, exchange, None)


def need_of(request_id: str, needs: Mapping[str, object]) -> str | None:
    """The need that a request is for: it has its id, or that with a number where the driver asked again."""
    for name in (request_id, request_id.rpartition("-")[0]):
        if name in needs:
            return name
    return None


def last_of(sessions: Iterable[Charged]) -> Charged | None:
    """What became of a need: the session that took place, else the last one that was picked."""
    all_of_them = list(sessions)
    took_place = [session for session in all_of_them if session.receipt is not None]
    return next(reversed(took_place or all_of_them), None)


def holding(reductions: Sequence[NetworkPriceReduction], location: str, at: datetime) -> int:
    """The number of the reduction that holds at a bus at this time, -1 for none: the largest one does, of two that are
    as large the one announced first."""
    there = [n for n, each in enumerate(reductions) if each.start <= at < each.end and location in each.locations]
    return min(there, key=lambda n: (-reductions[n].reduction_eur_per_kwh, reductions[n].timestamp), default=-1)
