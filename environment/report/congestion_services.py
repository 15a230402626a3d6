"""BUC 3 as a trace has it: what the DSO called for, who offered and was awarded, which drivers agreed, what was paid.

A part is one V2X manager's in one call (3.1); a call is put to each manager in a conversation of its own. Only
well-formed words of those whose part it is count. Powers are reductions of consumption in kW (> 0).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from environment.report.hearing import told
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative
from protocols.exchanges.congestion_services import (
    ActivationKind,
    CongestionCall,
    CongestionEnd,
    CongestionSettlement,
    CustomerAnswer,
    CustomerAward,
    CustomerRequest,
    FlexibilityActivation,
    SettlementAnswer,
    SolutionAward,
    SolutionOffer,
)
from protocols.exchanges.content import Content
from protocols.exchanges.plain import Cancellation, Done, Reason
from protocols.roles import Role

Ending: TypeAlias = Literal["served", "cancelled", "failed", "not taken", "refused", "unanswered"]
Answer: TypeAlias = Literal["yes", "no", "silent"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One driver that was asked (3.2): what for, what it said, and what came of a yes.

    `kind` and `price_eur_per_kwh` are those of the option that was taken, of the first one where none was;
    `awarded_kw` is 0 for a driver who agreed and was not needed.
    """

    request_id: str
    manager: str
    driver: str
    charger_id: str
    answer: Answer
    kind: ActivationKind
    price_eur_per_kwh: Decimal
    awarded_kw: float
    benefit_eur: Decimal
    reason: str | None
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Part:
    """One V2X manager's part in a call. `end` is when it was over as things went; one that never began ends at its
    start. `fee_eur` is what the DSO owes by the settlement, None where there was none; `agreed` whether the manager
    held it true, None where it said nothing."""

    call: CongestionCall
    dso: str
    manager: str
    end: datetime
    ending: Ending
    offered_kw: float
    awarded_kw: float
    activations: tuple[FlexibilityActivation, ...]
    settlement: CongestionSettlement | None
    agreed: bool | None
    reason: str | None
    asked: tuple[Asked, ...]
    conversation_id: str
    opened: datetime

    @property
    def took_place(self) -> bool:
        """Whether it was awarded and not over before it began."""
        return self.awarded_kw > 0 and self.end > self.call.start

    @property
    def delivered_kwh(self) -> float:
        """What was not drawn or was given back, by the settlement."""
        return 0.0 if self.settlement is None else self.settlement.reduced_kwh + self.settlement.discharged_kwh

    @property
    def delivered_kw(self) -> float | None:
        """The mean over what was settled, None where nothing was."""
        if self.settlement is None:
            return None
        hours = (self.settlement.end - self.settlement.start).total_seconds() / 3600
        return self.delivered_kwh / hours

    @property
    def fee_eur(self) -> Decimal | None:
        return None if self.settlement is None else self.settlement.remuneration_eur - self.settlement.penalty_eur

    @property
    def taken(self) -> frozenset[str]:
        """The activations of the list that drivers were awarded for."""
        return frozenset(self._awarded())

    def taken_kw(self, activation_id: str) -> float:
        """What drivers were awarded of one activation."""
        return self._awarded().get(activation_id, 0.0)

    def _awarded(self) -> dict[str, float]:
        found: dict[str, float] = {}
        by_user = {(a.kind, user): a.activation_id for a in self.activations for user in a.users}
        for each in self.asked:
            activation = by_user.get((each.kind, each.charger_id))
            if each.awarded_kw > 0 and activation is not None:
                found[activation] = found.get(activation, 0.0) + each.awarded_kw
        return found


@dataclass(slots=True)
class _Driver:
    request: CustomerRequest
    manager: str
    driver: str
    conversation_id: str
    option: str | None = None
    declined: bool = False
    award: CustomerAward | None = None
    confirmed: bool = False
    reason: str | None = None


@dataclass(slots=True)
class _Part:
    call: CongestionCall
    dso: str
    manager: str
    conversation_id: str
    opened: datetime
    offer: SolutionOffer | None = None
    award: SolutionAward | None = None
    refused: bool = False
    failed: datetime | None = None
    ended: datetime | None = None
    settlement: CongestionSettlement | None = None
    agreed: bool | None = None
    reason: str | None = None
    drivers: list[_Driver] = field(default_factory=list)


class Parts:
    """Every manager's part in every call of a trace, as far as it was heard."""

    exchanges = ("3.1", "3.x.1", "3.x.2", "3.2", "3.3", "3.x.3", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._found: dict[str, _Part] = {}  # by conversation of 3.1
        self._by_id: dict[tuple[str, str], _Part] = {}  # by call and manager
        self._drivers: dict[str, _Driver] = {}  # by conversation of 3.2
        self._bills: dict[str, _Part] = {}  # by conversation of 3.x.3

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, to, conversation = message.sender, message.receiver, message.conversation_id
        match content:
            case CongestionCall() if self._roles.get(who) == Role.DSO.value:
                if conversation not in self._found and (content.request_id, to) not in self._by_id:
                    part = _Part(content, who, to, conversation, at)
                    self._found[conversation] = self._by_id[content.request_id, to] = part
            case CustomerRequest():
                asking = self._by_id.get((content.request_id, who))
                if asking is not None and conversation not in self._drivers:
                    self._drivers[conversation] = _Driver(content, who, to, conversation)
                    asking.drivers.append(self._drivers[conversation])
            case CongestionSettlement():
                settled = self._by_id.get((content.request_id, to))
                if settled is not None and settled.dso == who:
                    settled.settlement, self._bills[conversation] = content, settled
            case SettlementAnswer() if conversation in self._bills and self._bills[conversation].manager == who:
                self._bills[conversation].agreed = message.performative is Performative.ACCEPT_PROPOSAL
            case _ if conversation in self._drivers:
                _driver_said(self._drivers[conversation], message, content)
            case _ if conversation in self._found:
                _part_said(self._found[conversation], message, content, at)

    def found(self) -> tuple[Part, ...]:
        """The parts in the order of their beginning."""
        found = (_told(part) for part in self._found.values())
        return tuple(sorted(found, key=lambda part: (part.call.start, part.call.request_id, part.manager)))


def parts(trace: Trace) -> tuple[Part, ...]:
    """Every manager's part in every call of the trace, in the order of their beginning."""
    return told(trace, Parts(trace.roles)).found()


def _part_said(part: _Part, message: AclMessage, content: Content, at: datetime) -> None:
    who, act = message.sender, message.performative
    match content:
        case SolutionOffer() if who == part.manager:
            part.offer = content
        case SolutionAward() if who == part.dso and act is Performative.ACCEPT_PROPOSAL:
            part.award = content
        case CongestionEnd() | Cancellation() if who == part.dso and part.ended is None:
            part.ended, part.reason = at, content.reason
        case Reason() if who == part.manager and act is Performative.REFUSE:
            part.refused, part.reason = True, content.reason
        case Reason() if who == part.manager and act is Performative.FAILURE and part.ended is None:
            part.failed, part.reason = at, content.reason
        case Reason() if who == part.dso and act is Performative.REJECT_PROPOSAL:
            part.reason = content.reason


def _driver_said(driver: _Driver, message: AclMessage, content: Content) -> None:
    who, act = message.sender, message.performative
    match content:
        case CustomerAnswer() if who == driver.driver:
            driver.option = content.activation_id
        case CustomerAward() if who == driver.manager and act is Performative.ACCEPT_PROPOSAL:
            driver.award = content
        case Reason() if who == driver.driver and act in (Performative.REFUSE, Performative.FAILURE):
            driver.declined, driver.reason = True, content.reason
        case Reason() if who == driver.manager:
            driver.reason = content.reason
        case Done() if who == driver.driver and act is Performative.INFORM:
            driver.confirmed = True


def _told(part: _Part) -> Part:
    call, awarded = part.call, 0.0 if part.award is None else part.award.power_kw
    end, ending = call.end, "served"
    if awarded == 0:
        end = call.start
        ending = "refused" if part.refused else "not taken" if part.offer is not None else "unanswered"
    elif part.failed is not None:
        end, ending = max(call.start, min(part.failed, call.end)), "failed"
    elif part.ended is not None and part.ended < call.end:
        end, ending = max(call.start, part.ended), "cancelled"
    return Part(
        call=call,
        dso=part.dso,
        manager=part.manager,
        end=end,
        ending=ending,  # type: ignore[arg-type]
        offered_kw=0.0 if part.offer is None else part.offer.power_kw,
        awarded_kw=awarded,
        activations=() if part.offer is None else part.offer.activations,
        settlement=part.settlement,
        agreed=part.agreed,
        reason=part.reason,
        asked=tuple(_asked(driver) for driver in part.drivers),
        conversation_id=part.conversation_id,
        opened=part.opened,
    )


def _asked(driver: _Driver) -> Asked:
    options = {option.activation_id: option for option in driver.request.options}
    taken = options.get(driver.option or "", driver.request.options[0])
    answer: Answer = "yes" if driver.option is not None and not driver.declined else "silent"
    if driver.declined:
        answer = "no"
    served = answer == "yes" and driver.award is not None
    return Asked(
        request_id=driver.request.request_id,
        manager=driver.manager,
        driver=driver.driver,
        charger_id=driver.request.charger_id,
        answer=answer,
        kind=taken.kind,
        price_eur_per_kwh=taken.price_eur_per_kwh,
        awarded_kw=driver.award.power_kw if served and driver.award is not None else 0.0,
        benefit_eur=driver.award.benefit_eur if served and driver.award is not None else Decimal(0),
        reason=driver.reason,
        conversation_id=driver.conversation_id,
    )


def richest_list(found: Iterable[Part]) -> Part | None:
    """Of the parts that took place, the one with the most kinds of activation in its merit order list, then the longest
    list, then the most drivers asked, then the most power awarded; None where none took place."""
    taken = [part for part in found if part.took_place and part.activations]
    kinds = {id(part): len({activation.kind for activation in part.activations}) for part in taken}
    return max(
        taken, key=lambda part: (kinds[id(part)], len(part.activations), len(part.asked), part.awarded_kw), default=None
    )
