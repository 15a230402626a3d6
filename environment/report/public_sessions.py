"""BUC 5.2 as a trace has it, the drivers' side: who asked for what, what they picked, gave up, got and paid.

Only well-formed words of those whose part it is count. Energies in kWh at the charger's meter, amounts in EUR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from agents.decisions.station_offers import distance_km
from environment.report.hearing import told
from environment.report.words import account_name
from environment.run_folder import Trace
from protocols.acl import AclMessage, Performative
from protocols.exchanges.capacity_contracts import (
    ChargingChoice,
    ChargingChoices,
    ChargingRequest,
    ChargingSelection,
    SessionReceipt,
)
from protocols.exchanges.content import Content
from protocols.exchanges.network_prices import PriceSubscription
from protocols.exchanges.plain import Cancellation, Reason

_HOUR = timedelta(hours=1)
ENOUGH: Final = 0.9
"""Who got less than this part of what was asked for got too little."""
BILLS_ROUNDED_EUR: Final = Decimal("0.10")
"""So much may all network bills of a run differ from the meters by their cents."""


@dataclass(slots=True)
class Asking:
    """One request (5.2.2) and what came of it. `choice` is the one picked (5.2.4) of `offered`; `called_off` that the
    driver gave it up again, `failed` why the operator did not serve it."""

    request: ChargingRequest
    driver: str
    offered: int = 0
    choice: ChargingChoice | None = None
    cpo: str | None = None
    called_off: bool = False
    failed: str | None = None
    receipt: SessionReceipt | None = None
    choices: dict[tuple[str, str], ChargingChoice] = field(default_factory=dict)
    """By operator and id."""

    @property
    def stands(self) -> bool:
        """Whether the driver charged, or holds a place."""
        return self.choice is not None and not self.called_off and self.failed is None


@dataclass(frozen=True, slots=True)
class Served:
    """What a need got, in either case: `wait_h` from the arrival to the start (None where the arrival is not known),
    `distance_km` from there."""

    station_id: str
    start: datetime
    end: datetime
    energy_kwh: float
    price_eur_per_kwh: float
    amount_eur: float
    distance_km: float
    wait_h: float | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One need of a driver, with all its askings, the first one first."""

    need_id: str
    driver: str
    askings: tuple[Asking, ...]

    @property
    def energy_kwh(self) -> float:
        return self.askings[0].request.energy_kwh

    @property
    def asked_at(self) -> datetime:
        return self.askings[0].request.timestamp

    @property
    def standing(self) -> Asking | None:
        """The asking whose choice was kept, None where there is none."""
        return next((each for each in reversed(self.askings) if each.stands), None)

    @property
    def changed(self) -> bool:
        """Whether the driver gave a place up for another one."""
        return self.standing is not None and any(each.called_off for each in self.askings)

    @property
    def served(self) -> Served | None:
        """What it got by the receipt; None for who got nothing, or who is still charging when the run ends."""
        kept = self.standing
        if kept is None or kept.choice is None or kept.receipt is None:
            return None
        choice, receipt, stay = kept.choice, kept.receipt, kept.request.stays[kept.choice.stay]
        return Served(
            station_id=choice.station_id,
            start=choice.start,
            end=choice.end,
            energy_kwh=receipt.energy_kwh,
            price_eur_per_kwh=float(receipt.price_eur_per_kwh),
            amount_eur=float(receipt.amount_eur),
            distance_km=distance_km(stay.latitude_deg, stay.longitude_deg, choice.latitude_deg, choice.longitude_deg),
            wait_h=max(0.0, (choice.start - stay.arrival) / _HOUR),
        )


@dataclass(frozen=True, slots=True)
class PublicSessions:
    """The needs in the order in which they were asked for, and the drivers (JIDs) that follow prices (4.2.2)."""

    needs: tuple[Wanted, ...]
    followers: frozenset[str]


class Sessions:
    """The askings of a trace, as far as it was heard."""

    exchanges = ("4.2.2", "5.2.2", "5.2.3", "5.2.4", "5.x.3", None)

    def __init__(self) -> None:
        self.askings: dict[str, Asking] = {}  # by conversation
        self.followers: set[str] = set()

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        match content:
            case PriceSubscription():
                self.followers.add(message.sender)
            case ChargingRequest():
                self.askings.setdefault(message.conversation_id, Asking(content, message.sender))
            case _ if (asking := self.askings.get(message.conversation_id)) is not None:
                _said(asking, message, content)

    def found(self) -> PublicSessions:
        """The needs, in the order in which they were asked for."""
        needs: dict[tuple[str, str], list[Asking]] = {}
        for asking in self.askings.values():
            needs.setdefault((asking.driver, need_of(asking.driver, asking.request.request_id)), []).append(asking)
        return PublicSessions(
            tuple(Wanted(need_id, driver, tuple(each)) for (driver, need_id), each in needs.items()),
            frozenset(self.followers),
        )


def read(trace: Trace) -> PublicSessions:
    """The drivers' side of a trace."""
    return told(trace, Sessions()).found()


def need_of(driver: str, request_id: str) -> str:
    """The need that a request is for: `driver-001-3`, whose second request is `driver-001-3-2`."""
    name = account_name(driver)
    found = re.fullmatch(rf"({re.escape(name)}-\d+)(-\d+)?", request_id)
    return found[1] if found else request_id


def paid_eur(needs: Iterable[Wanted]) -> Decimal:
    """What all receipts come to."""
    receipts = (asking.receipt for need in needs for asking in need.askings)
    return sum((receipt.amount_eur for receipt in receipts if receipt is not None), Decimal(0))


def _said(asking: Asking, message: AclMessage, content: Content) -> None:
    who, to, act = message.sender, message.receiver, message.performative
    match content:
        case ChargingChoices() if who != asking.driver:
            asking.offered += len(content.choices)
            asking.choices |= {(who, each.choice_id): each for each in content.choices}
        case ChargingSelection() if who == asking.driver and act is Performative.ACCEPT_PROPOSAL:
            asking.choice, asking.cpo = asking.choices.get((to, content.choice_id)), to
        case Cancellation() if who == asking.driver and to == asking.cpo:
            asking.called_off = True
        case SessionReceipt() if who == asking.cpo:
            # it took place, even if the driver wanted to call it off
            asking.receipt, asking.called_off, asking.failed = content, False, None
        case Reason() if who == asking.cpo and act is Performative.FAILURE and asking.receipt is None:
            asking.failed = content.reason
