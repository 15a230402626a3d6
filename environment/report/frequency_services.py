"""BUC 7 as a trace has it: who applied and what the test found, which hours were offered, bought, kept and paid.

Only well-formed words of those whose part it is count. Capacities are magnitudes in kW.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from environment.report.hearing import told, well_formed
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative
from protocols.exchanges.congestion_services import Remuneration
from protocols.exchanges.content import Content
from protocols.exchanges.frequency_services import (
    CapacityAward,
    CapacityOffer,
    CapacitySettlement,
    DeliveryQuery,
    DeliveryReport,
    FcrStatus,
    Finding,
    ParticipationApplication,
    ParticipationChange,
    ParticipationEnd,
    Prequalification,
    PrequalificationFailed,
    TestRecord,
    TestStep,
)
from protocols.exchanges.plain import Cancellation, Reason
from protocols.exchanges.vocabulary import FcrProduct, ServiceType
from protocols.roles import Role

Outcome: TypeAlias = Literal["approved", "failed", "cancelled", "refused", "open"]
HourEnding: TypeAlias = Literal["settled", "cancelled", "refused", "failed", "open"]


@dataclass(frozen=True, slots=True)
class Test:
    """One application (7.1) and its test. `sheet` has every requirement that was judged; `steps` were asked for, of
    which `records` came back."""

    __test__ = False  # no test of pytest's

    application: ParticipationApplication
    manager: str
    outcome: Outcome
    approved_kw: float
    sheet: tuple[Finding, ...]
    reason: str | None
    steps: tuple[TestStep, ...]
    records: tuple[TestRecord, ...]
    ended: datetime | None
    tso: str
    conversation_id: str
    opened: datetime

    @property
    def passed(self) -> int:
        return sum(finding.passed for finding in self.sheet)


@dataclass(frozen=True, slots=True)
class Hour:
    """Capacity that was offered for a time (7.x.2), and what became of it."""

    offer: CapacityOffer
    manager: str
    bought_kw: float
    price_eur_per_kw: Decimal | None
    ending: HourEnding
    report: DeliveryReport | None
    settlement: CapacitySettlement | None
    changes: tuple[ParticipationChange, ...]
    reason: str | None
    tso: str
    conversation_id: str
    opened: datetime


@dataclass(frozen=True, slots=True)
class OwnerStatus:
    """What one owner last heard of its vehicle (7.2), and how often."""

    owner: str
    charger_id: str
    product: FcrProduct | None
    told: int


@dataclass(slots=True)
class _Test:
    application: ParticipationApplication
    manager: str
    tso: str
    conversation_id: str
    opened: datetime
    outcome: Outcome = "open"
    approved_kw: float = 0.0
    sheet: tuple[Finding, ...] = ()
    reason: str | None = None
    steps: list[TestStep] = field(default_factory=list)
    records: list[TestRecord] = field(default_factory=list)
    ended: datetime | None = None


@dataclass(slots=True)
class _Hour:
    offer: CapacityOffer
    manager: str
    tso: str
    conversation_id: str
    opened: datetime
    award: CapacityAward | None = None
    ending: HourEnding = "open"
    report: DeliveryReport | None = None
    settlement: CapacitySettlement | None = None
    changes: list[ParticipationChange] = field(default_factory=list)
    reason: str | None = None


class Applications:
    """The applications of a trace with their tests, as far as it was heard."""

    exchanges = ("7.1", "7.x.1", "7.3", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._found: dict[str, _Test] = {}  # by conversation
        self._by_id: dict[str, _Test] = {}

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, conversation, by_id = message.sender, message.conversation_id, self._by_id
        match content:
            case ParticipationApplication() if self._roles.get(message.receiver) == Role.TSO.value:
                if content.application_id not in by_id:
                    test = _Test(content, who, message.receiver, conversation, at)
                    self._found[conversation] = by_id[content.application_id] = test
            case TestStep() if (asked := by_id.get(content.application_id)) is not None and who == asked.tso:
                asked.steps.append(content)
            case TestRecord() if (asked := by_id.get(content.application_id)) is not None and who == asked.manager:
                asked.records.append(content)
            case _ if conversation in self._found:
                _test_said(self._found[conversation], message, content, at)

    def found(self) -> tuple[Test, ...]:
        """The applications in the order in which they were made."""
        return tuple(
            Test(
                t.application, t.manager, t.outcome, t.approved_kw, t.sheet, t.reason, tuple(t.steps),
                tuple(t.records), t.ended, t.tso, t.conversation_id, t.opened,
            )
            for t in self._found.values()
        )  # fmt: skip


def applications(trace: Trace) -> tuple[Test, ...]:
    """Every application of the trace with its test, in the order in which they were made."""
    return told(trace, Applications(trace.roles)).found()


def _test_said(test: _Test, message: AclMessage, content: Content, at: datetime) -> None:
    who, act = message.sender, message.performative
    match content:
        case Prequalification() if who == test.tso:
            test.outcome, test.approved_kw, test.sheet, test.ended = "approved", content.approved_kw, content.sheet, at
        case PrequalificationFailed() if who == test.tso:
            test.outcome, test.reason, test.sheet, test.ended = "failed", content.reason, content.sheet, at
        case Reason() if who == test.tso and act is Performative.REFUSE:
            test.outcome, test.reason, test.ended = "refused", content.reason, at
        case Reason() if who == test.tso and act is Performative.FAILURE and test.outcome == "open":
            test.outcome, test.reason, test.ended = "failed", content.reason, at
        case ParticipationEnd() | Cancellation() if who == test.manager and test.outcome == "open":
            test.outcome, test.reason, test.ended = "cancelled", content.reason, at


class Hours:
    """The offers of capacity of a trace, as far as it was heard."""

    exchanges = ("7.x.2", "7.x.3", "7.3", None)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._found: dict[str, _Hour] = {}  # by conversation
        self._by_id: dict[str, _Hour] = {}

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        who, conversation, by_id = message.sender, message.conversation_id, self._by_id
        match content:
            case CapacityOffer() if self._roles.get(message.receiver) == Role.TSO.value:
                if content.offer_id not in by_id:
                    hour = _Hour(content, who, message.receiver, conversation, at)
                    self._found[conversation] = by_id[content.offer_id] = hour
            case DeliveryReport() if (sold := by_id.get(content.offer_id)) is not None and who == sold.manager:
                sold.report = content
            case ParticipationChange() if (sold := by_id.get(content.offer_id)) is not None and who == sold.manager:
                sold.changes.append(content)
            case DeliveryQuery():
                pass
            case _ if conversation in self._found:
                _hour_said(self._found[conversation], message, content)

    def found(self) -> tuple[Hour, ...]:
        """The offers in the order of the times that they are for."""
        found = (
            Hour(
                h.offer,
                h.manager,
                0.0 if h.award is None else h.award.capacity_kw,
                None if h.award is None else h.award.price_eur_per_kw,
                h.ending,
                h.report,
                h.settlement,
                tuple(h.changes),
                h.reason,
                h.tso,
                h.conversation_id,
                h.opened,
            )
            for h in self._found.values()
        )
        return tuple(sorted(found, key=lambda hour: (hour.offer.start, hour.offer.portfolio_id)))


def hours(trace: Trace) -> tuple[Hour, ...]:
    """Every offer of capacity of the trace, in the order of the times that they are for."""
    return told(trace, Hours(trace.roles)).found()


def _hour_said(hour: _Hour, message: AclMessage, content: Content) -> None:
    who, act = message.sender, message.performative
    match content:
        case CapacityAward() if who == hour.tso and act is Performative.AGREE:
            hour.award = content
        case CapacitySettlement() if who == hour.tso:
            hour.settlement, hour.ending = content, "settled"
        case Reason() if who == hour.tso and act in (Performative.REFUSE, Performative.FAILURE):
            hour.ending, hour.reason = "refused" if act is Performative.REFUSE else "failed", content.reason
        case ParticipationEnd() | Cancellation() if who == hour.manager and hour.ending == "open":
            hour.ending, hour.reason = "cancelled", content.reason


def owners(trace: Trace) -> tuple[OwnerStatus, ...]:
    """Each owner that heard of its vehicle (7.2) and kept the frequency or was paid for it (3.x.4), by charger."""
    status: dict[tuple[str, str], list[FcrStatus]] = {}
    paid: set[str] = set()
    for message, content in well_formed(trace, "7.2", "3.x.4"):
        if isinstance(content, FcrStatus):
            status.setdefault((message.receiver, content.charger_id), []).append(content)
        elif isinstance(content, Remuneration) and content.service is ServiceType.FREQUENCY_CONTAINMENT:
            paid.add(content.ev_owner)
    rows = []
    for (owner, charger_id), heard in status.items():
        took_part = any(each.status in ("participating", "charging-before-departure") for each in heard)
        if not took_part and owner not in paid:
            continue
        product = next((each.product for each in reversed(heard) if each.product is not None), None)
        rows.append(OwnerStatus(owner, charger_id, product, len(heard)))
    return tuple(sorted(rows, key=lambda row: row.charger_id))
