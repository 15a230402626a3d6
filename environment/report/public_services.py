"""BUC 4.2, 5.1 and 5.2 as a trace has them: lowered prices, the auction, limits, what they were worth, network bills.

Only well-formed words of those whose part it is count. Prices and amounts in EUR, powers in kW drawn from the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from environment.report.hearing import told
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative
from protocols.exchanges.capacity_contracts import (
    AuctionCall,
    AuctionTerms,
    CapacityLimit,
    ConcludedContracts,
    Contract,
    CurveBid,
    CurveBids,
    LimitSettlement,
    LimitSettlementAnswer,
    ProcurementDecision,
    ProcurementResult,
    Station,
    StationRegistration,
)
from protocols.exchanges.content import Content
from protocols.exchanges.network_prices import NetworkBill, NetworkPriceReduction
from protocols.exchanges.plain import Done, Reason
from protocols.roles import Role

_NO = (Performative.REFUSE, Performative.FAILURE, Performative.REJECT_PROPOSAL, Performative.NOT_UNDERSTOOD)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A reduction of network prices (4.2.1) that a DSO announced. `passed_on`: the CPOs (JIDs) that said yes."""

    reduction: NetworkPriceReduction
    dso: str
    passed_on: tuple[str, ...] = ()
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Lot:
    """One station in the auction: the call (5.1.2), its CPO (JID), the curve (5.1.3) if there was one, the contract
    (5.1.6) if a point was bought, and `reason` where there is no curve or nothing was bought."""

    call: AuctionCall
    cpo: str
    bid: CurveBid | None = None
    contract_id: str | None = None
    limit_kw: float | None = None
    price_eur: float | None = None
    reason: str | None = None
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Auction:
    """One auction: the DSO's terms, a lot for each station, how many curves the FMO approved and what it
    refused, the decision and its contracts."""

    terms: AuctionTerms
    dso: str
    fmo: str
    lots: tuple[Lot, ...] = ()
    approved: int = 0
    refused: tuple[str, ...] = ()
    decision: ProcurementDecision | None = None
    contracts: tuple[Contract, ...] = ()
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Activation:
    """A limit that a DSO activated (5.2.1). `agreed` is None where the CPO said nothing, `kept` where it
    did not say how it ended; `reason` is why not."""

    limit: CapacityLimit
    dso: str
    cpo: str
    agreed: bool | None = None
    kept: bool | None = None
    reason: str | None = None
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Settled:
    """A day of a contract as the DSO settled it (5.x.2); `agreed` is None where the CPO said nothing."""

    settlement: LimitSettlement
    dso: str
    cpo: str
    agreed: bool | None = None
    reason: str | None = None
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class Billed:
    """A network bill (4.x.2) to a CPO; `agreed` is None where the CPO said nothing."""

    bill: NetworkBill
    dso: str
    cpo: str
    agreed: bool | None = None
    conversation_id: str = ""


@dataclass(frozen=True, slots=True)
class PublicServices:
    """All of a trace but the sessions. `stations` as registered (5.x.1), by id; `owners`: their CPOs."""

    lowered: tuple[Lowered, ...]
    auctions: tuple[Auction, ...]
    activations: tuple[Activation, ...]
    settled: tuple[Settled, ...]
    bills: tuple[Billed, ...]
    stations: Mapping[str, Station]
    owners: Mapping[str, str]


def holding(lowered: Sequence[Lowered], location: str, owner: str | None, at: datetime) -> int:
    """The number of the reduction that holds at the station of `owner` (a CPO's JID) at a bus and at this time, -1 for
    none: of those that the CPO passes on the largest one does, of two that are as large the one announced first."""
    there = [
        number
        for number, each in enumerate(lowered)
        if owner in each.passed_on and location in each.reduction.locations
        if each.reduction.start <= at < each.reduction.end
    ]
    by_size = {n: (-lowered[n].reduction.reduction_eur_per_kwh, lowered[n].reduction.timestamp) for n in there}
    return min(there, key=lambda n: by_size[n], default=-1)


class Reading:
    """What was opened in which conversation, and what was answered there, as far as the trace was heard."""

    exchanges = (
        "4.2.1", "4.x.2", "5.x.1", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.5", "5.1.6", "5.2.1", "5.x.2", None,
    )  # fmt: skip

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self.lowered: dict[str, Lowered] = {}  # by reduction
        self.auctions: dict[str, Auction] = {}  # by terms
        self.lots: dict[str, Lot] = {}  # by call
        self.activations: dict[str, Activation] = {}  # by conversation
        self.settled: dict[str, Settled] = {}  # by conversation
        self.bills: dict[str, Billed] = {}  # by id: one that is not answered is sent again
        self.stations: dict[str, Station] = {}
        self.owners: dict[str, str] = {}
        self._asked: dict[str, tuple[str, str]] = {}  # conversation of 4.2.1 -> reduction and CPO
        self._called: dict[str, str] = {}  # conversation of 5.1.2 -> call
        self._billed: dict[str, str] = {}  # conversation of 4.x.2 -> bill

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, to, conversation = message.sender, message.receiver, message.conversation_id
        of_dso = self._roles.get(who) == Role.DSO.value
        match content:
            case NetworkPriceReduction() if of_dso:
                self.lowered.setdefault(content.reduction_id, Lowered(content, who, conversation_id=conversation))
                self._asked[conversation] = content.reduction_id, to
            case NetworkBill() if of_dso:
                self.bills.setdefault(content.bill_id, Billed(content, who, to, conversation_id=conversation))
                self._billed[conversation] = content.bill_id
            case CapacityLimit() if of_dso:
                self.activations.setdefault(conversation, Activation(content, who, to, conversation_id=conversation))
            case LimitSettlement() if of_dso:
                self.settled.setdefault(conversation, Settled(content, who, to, conversation_id=conversation))
            case LimitSettlementAnswer():
                self._settled(message, content.reason)
            case StationRegistration() if self._roles.get(who) == Role.CPO.value:
                self.stations |= {each.station_id: each for each in content.stations}
                self.owners |= {each.station_id: who for each in content.stations}
            case Done() | Reason():
                self._plain(message, content)
            case _:
                self._auction(message, content)

    def _auction(self, message: AclMessage, content: Content) -> None:
        who, to = message.sender, message.receiver
        match content:
            case AuctionTerms() if self._roles.get(who) == Role.DSO.value:
                self.auctions.setdefault(
                    content.terms_id, Auction(content, who, to, conversation_id=message.conversation_id)
                )
            case AuctionCall() if self._hosted(content.terms_id, who):
                self.lots.setdefault(content.call_id, Lot(content, to, conversation_id=message.conversation_id))
                self._called[message.conversation_id] = content.call_id
            case CurveBid() if (lot := self.lots.get(content.call_id)) is not None and lot.cpo == who:
                self.lots[content.call_id] = replace(lot, bid=content)
            case CurveBids() if self._hosted(content.terms_id, who):
                approved = len(content.bids)
                self._change(content.terms_id, lambda each: replace(each, approved=approved, refused=content.refused))
            case ProcurementDecision() if (of := self.auctions.get(content.terms_id)) is not None and of.dso == who:
                self._change(content.terms_id, lambda each: replace(each, decision=content))
            case ConcludedContracts():
                for terms_id, each in self.auctions.items():
                    if each.fmo == who and each.decision and each.decision.decision_id == content.decision_id:
                        self.auctions[terms_id] = replace(each, contracts=content.contracts)
            case ProcurementResult() if (lot := self.lots.get(content.call_id)) is not None and lot.cpo == to:
                price = None if content.price_eur is None else float(content.price_eur)
                self.lots[content.call_id] = replace(
                    lot, contract_id=content.contract_id, limit_kw=content.limit_kw, price_eur=price,
                    reason=content.reason,
                )  # fmt: skip

    def _hosted(self, terms_id: str, who: str) -> bool:
        auction = self.auctions.get(terms_id)
        return auction is not None and auction.fmo == who

    def _change(self, terms_id: str, to: Callable[[Auction], Auction]) -> None:
        self.auctions[terms_id] = to(self.auctions[terms_id])

    def _settled(self, message: AclMessage, reason: str | None) -> None:
        found = self.settled.get(message.conversation_id)
        if found is not None and found.cpo == message.sender:
            agreed = message.performative is Performative.ACCEPT_PROPOSAL
            self.settled[message.conversation_id] = replace(found, agreed=agreed, reason=reason)

    def _plain(self, message: AclMessage, content: Done | Reason) -> None:
        """Yes, no, done or failed, to a reduction, a limit, a bill or a call."""
        who, conversation, act = message.sender, message.conversation_id, message.performative
        no = act in _NO
        reason = content.reason if isinstance(content, Reason) and no else None
        if (asked := self._asked.get(conversation)) is not None and asked[1] == who and act is Performative.INFORM:
            found = self.lowered[asked[0]]
            self.lowered[asked[0]] = replace(found, passed_on=(*found.passed_on, who))
        elif (limit := self.activations.get(conversation)) is not None and limit.cpo == who:
            self.activations[conversation] = _answered(limit, act, reason)
        elif (bill := self.bills.get(self._billed.get(conversation, ""))) is not None and bill.cpo == who:
            self.bills[bill.bill.bill_id] = replace(bill, agreed=not no)
        elif (settled := self.settled.get(conversation)) is not None and settled.cpo == who and no:
            self.settled[conversation] = replace(settled, agreed=False, reason=reason)
        elif (lot := self.lots.get(self._called.get(conversation, ""))) is not None and lot.cpo == who and no:
            self.lots[lot.call.call_id] = replace(lot, reason=reason)

    def found(self) -> PublicServices:
        """What there is, each kind in the order of what it is for."""
        lots: dict[str, list[Lot]] = {}
        for lot in self.lots.values():
            lots.setdefault(lot.call.terms_id, []).append(lot)
        return PublicServices(
            lowered=tuple(sorted(self.lowered.values(), key=lambda each: each.reduction.start)),
            auctions=tuple(
                replace(each, lots=tuple(lots.get(terms_id, ()))) for terms_id, each in self.auctions.items()
            ),
            activations=tuple(
                sorted(self.activations.values(), key=lambda each: (each.limit.start, each.limit.station_id))
            ),
            settled=tuple(sorted(self.settled.values(), key=lambda each: each.settlement.start)),
            bills=tuple(sorted(self.bills.values(), key=lambda each: (each.bill.start, each.cpo))),
            stations=self.stations,
            owners=self.owners,
        )


def _answered(limit: Activation, act: Performative, reason: str | None) -> Activation:
    match act:
        case Performative.AGREE:
            return replace(limit, agreed=True)
        case Performative.INFORM:
            return replace(limit, agreed=True, kept=True)
        case Performative.FAILURE if limit.agreed:
            return replace(limit, kept=False, reason=reason)
        case _ if act in _NO:
            return replace(limit, agreed=False, reason=reason)
    return limit


def read(trace: Trace) -> PublicServices:
    """What a trace holds of BUC 4.2, 5.1 and 5.2, each kind in the order of what it is for."""
    return told(trace, Reading(trace.roles)).found()
