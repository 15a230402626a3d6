"""Which of the managers' offers the flexibility operator believes: what fits its call, and what was told before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from agents.actor import Actor
from agents.decisions.selection import beside_what_was_told
from agents.fleet_view import FleetView
from agents.fo_trust import TrustDesk
from agents.periods import next_quarter, quarter_at
from behaviours.outcomes import Proposed
from protocols.exchanges.ev_services import EvOffer, ServiceCall, ServiceOffer

SAID_AGAIN = timedelta(hours=1)
"""That a manager's offers are not believed is said so often."""


class _Verdict(Enum):
    """FALSE costs trust, STRANGE does where it stays so; what is UNKNOWN may have changed since it was told."""

    GOOD = auto()
    UNKNOWN = auto()
    STRANGE = auto()
    FALSE = auto()


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Chargers that nobody has told of yet, offered at `since` with `doubtful_kw` of `offered_kw` in all."""

    since: datetime
    chargers: frozenset[str]
    doubtful_kw: float
    offered_kw: float


class OfferDesk:
    """Holds what is offered against what the manager told last (2.1, 4.1.4), by which TSO and DSO have asked.

    Left out, as a promise that is not kept, with a notice: a charger that another manager tells of, and an offer that
    is not as told (`beside_what_was_told`). A vehicle may have arrived since the manager told: it is left out without
    blame, but where even the next report does not tell of its charger, there is none.
    """

    def __init__(self, agent: Actor, view: FleetView, trust: TrustDesk) -> None:
        self._agent = agent
        self._view = view
        self._trust = trust
        self._doubts: dict[str, _Doubt] = {}
        self._said: dict[str, datetime] = {}

    def believed(
        self, manager: str, call: ServiceCall, offer: ServiceOffer, released: Mapping[str, datetime]
    ) -> tuple[EvOffer, ...]:
        """The vehicles of a manager's offer that may be chosen. `released`: when a service last let go of a charger;
        what was told before that of its vehicle holds no longer, and proves nothing against the manager."""
        kw: defaultdict[_Verdict, float] = defaultdict(float)
        good: list[EvOffer] = []
        faults: list[str] = []
        strange: list[str] = []
        for user in offer.users:
            verdict, fault = self._judged(manager, call, user, released.get(user.user_id))
            kw[verdict] += abs(user.power_kw)
            if verdict is _Verdict.GOOD:
                good.append(user)
            elif verdict is _Verdict.FALSE:
                faults.append(fault)
            elif verdict is _Verdict.STRANGE:
                strange.append(user.user_id)
        offered = sum(kw.values())
        if strange:
            self._doubts[manager] = _Doubt(self._agent.now(), frozenset(strange), kw[_Verdict.STRANGE], offered)
        if faults:
            self._blame(manager, faults, kw[_Verdict.FALSE], offered)
        return tuple(good)

    def _judged(
        self, manager: str, call: ServiceCall, user: EvOffer, released: datetime | None
    ) -> tuple[_Verdict, str]:
        """What to think of one offered vehicle, and what is wrong with it, if it is."""
        charger, now = user.user_id, self._agent.now()
        if (owner := self._view.other_owner(manager, charger)) is not None:
            return _Verdict.FALSE, f"{charger} is a charger of {owner}"
        if call.start != next_quarter(now):
            return _Verdict.GOOD, ""  # what was told is for the next quarter of an hour, and says nothing of later ones
        told = self._view.told(manager).get(charger)
        if told is None or quarter_at(told.timestamp) != quarter_at(now):
            return (_Verdict.UNKNOWN if self._view.has_told_of(manager, charger) else _Verdict.STRANGE), ""
        fault = beside_what_was_told(user, told.state)
        if fault is None:
            return _Verdict.GOOD, ""
        if released is not None and released > told.timestamp:
            return _Verdict.UNKNOWN, ""
        return _Verdict.FALSE, fault

    def settle_doubts(self) -> None:
        """Where a manager has told again: who still does not tell of a charger that it offered has none there."""
        doubts, self._doubts = self._doubts, {}
        for manager, doubt in sorted(doubts.items()):
            if self._view.is_silent(manager):
                continue
            if self._view.last_told(manager) <= doubt.since:
                self._doubts[manager] = doubt
                continue
            invented = sorted(c for c in doubt.chargers if not self._view.has_told_of(manager, c))
            if invented:
                faults = [f"{charger} is a charger that it never told of" for charger in invented]
                self._blame(manager, faults, doubt.doubtful_kw, doubt.offered_kw)

    def _blame(self, manager: str, faults: Sequence[str], blamed_kw: float, offered_kw: float) -> None:
        """Left out, said, and remembered as a part of its promise that it does not keep."""
        now = self._agent.now()
        if manager not in self._said or now - self._said[manager] >= SAID_AGAIN:
            self._said[manager] = now
            more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
            self._agent.notice(f"{manager} offers what cannot be believed: {faults[0]}{more}; left out")
        self._trust.learn(manager, offered_kw, offered_kw - blamed_kw, "offered what cannot be believed")


def offer_fault(call: ServiceCall, proposal: Proposed) -> str | None:
    """Why an offer cannot be taken, None where it can."""
    offer = proposal.content
    if proposal.faults:
        return "; ".join(proposal.faults)
    if not isinstance(offer, ServiceOffer) or offer.request_id != call.request_id:
        return f"the offer is not for {call.request_id}"
    if offer.service is not call.service:
        return f"the offer is for {offer.service}, asked was {call.service}"
    if offer.power_kw * call.power_kw <= 0:
        return "the offer is of the other sign, or nothing"
    return None


def free_offers(
    offered: Mapping[str, tuple[EvOffer, ...]], taken: frozenset[str]
) -> tuple[dict[str, tuple[EvOffer, ...]], tuple[str, ...]]:
    """The offered vehicles by manager, without those that are `taken` by another service, and the vehicles that two
    managers offer: whose they are cannot be known, so they are nobody's."""
    count: dict[str, int] = {}
    for users in offered.values():
        for user in users:
            count[user.user_id] = count.get(user.user_id, 0) + 1
    disputed = tuple(sorted(user_id for user_id, times in count.items() if times > 1))
    left_out = taken.union(disputed)
    return {
        manager: tuple(user for user in offered[manager] if user.user_id not in left_out) for manager in sorted(offered)
    }, disputed
