"""What a DSO of BUC 3 makes of the managers' offers (D5.1 3.3, 3.x.1): which it believes, and which it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agents.actor import Actor
from agents.congestion_watch import Congestion, CongestionWatch, less
from agents.decisions.congestion_award import LEAST_KW, Candidate, by_charger, choose_offers, offer_fault
from agents.decisions.congestion_gaps import Shown
from agents.grid_view import Floats, Limits
from agents.quarter_cycle import ANSWER_TIME
from behaviours.initiating import Tender
from behaviours.outcomes import Proposed, Refused
from protocols.exchanges.congestion_services import CongestionCall, SolutionOffer
from protocols.exchanges.plain import Reason

NOTHING_TO_GIVE = ("no-vehicle", "promised", "no-room", "not-worth-it")
"""Codes of refusals that are no warnings: nobody is there, or is free, or can do it, or it does not pay."""
_TOP_UPS = 2


@dataclass(frozen=True, slots=True)
class CongestionOffers:
    """`connections`: the bus of each charger; `chargers_of`: a manager's chargers at buses. `baseline_tolerance`: kW,
    and part of what was told, by which an offer's baseline may exceed the schedule; `discharge_kw`: the most that one
    charger gives back. `tell` tells the user, about the same not too often."""

    agent: Actor
    watch: CongestionWatch
    chargers_of: Callable[[str, Collection[str]], set[str]]
    connections: Mapping[str, str]
    discharge_kw: float
    baseline_tolerance: tuple[float, float]
    tell: Callable[[str, str], None]

    async def checked(
        self, call: CongestionCall, manager: str, tender: Tender, scheduled_kw: Sequence[float], shown: Shown
    ) -> SolutionOffer | None:
        """The manager's offer, None where there is none that can be believed: told, and it hears why. `scheduled_kw`:
        what it had told before the call, by period; `shown`: what the meters have lately shown beside that."""
        if tender.silent:
            self.tell(f"silent {manager}", f"{manager} does not answer {call.request_id}")
        for refusal in tender.refusals:
            if isinstance(refusal, Refused) and getattr(refusal.content, "code", "") in NOTHING_TO_GIVE:
                continue  # as it may be: the trace has it
            self.tell(f"refuses {manager}", f"{manager} does not help with {call.request_id}: {refusal}")
        for proposed in tender.proposals:
            fault = self._fault(call, manager, proposed, scheduled_kw, shown)
            if fault is None:
                assert isinstance(proposed.content, SolutionOffer)
                return proposed.content
            self.tell(f"offer {manager}", f"the offer of {manager} for {call.request_id} is left out: {fault}")
            why = {manager: Reason(code="not-believed", reason=fault)}
            await tender.award({}, done_by=self.agent.now() + ANSWER_TIME, reject=why)
        return None

    def _fault(
        self, call: CongestionCall, manager: str, proposed: Proposed, told: Sequence[float], shown: Shown
    ) -> str | None:
        offer = proposed.content
        if not isinstance(offer, SolutionOffer):
            return "it is no offer"
        if proposed.faults:
            return "; ".join(proposed.faults)
        chargers = self.chargers_of(manager, call.buses)
        tolerance_kw, tolerance_part = self.baseline_tolerance
        return offer_fault(
            call,
            offer,
            told,
            chargers,
            shown=shown,
            discharge_kw=self.discharge_kw,
            tolerance_kw=tolerance_kw,
            tolerance_part=tolerance_part,
        )

    def choose(
        self,
        congestion: Congestion,
        call: CongestionCall,
        candidates: Sequence[Candidate],
        charging_kw: Mapping[str, Floats],
        first: datetime,
        limits: Limits,
    ) -> tuple[dict[str, float], float]:
        """The power of each award, and what power flow with all that is likely to come of them says is missing yet.
        `charging_kw` is expected by bus from `first` on with all that is ordered by now."""
        offers = {each.manager: each for each in candidates}
        wanted = call.power_kw
        for _ in range(_TOP_UPS + 1):
            chosen = choose_offers(call, candidates, wanted)
            relieved = charging_kw
            for manager, power in chosen.items():
                by_bus = self.by_bus(offers[manager].offer, power * offers[manager].reliability)
                relieved = less(relieved, by_bus, first, (call.start, call.end))
            missing = self.watch.look(relieved, first, self.agent.now(), limits).missing_kw(congestion)
            if missing < LEAST_KW or all(chosen.get(m) == each.offer.power_kw for m, each in offers.items()):
                break
            wanted += missing
        return chosen, missing

    def by_bus(self, offer: SolutionOffer, power_kw: float) -> dict[str, float]:
        """Where so much of an offer is likely to come from."""
        shares: dict[str, float] = {}
        for charger, kw in by_charger(offer, power_kw).items():
            bus = self.connections[charger]
            shares[bus] = shares.get(bus, 0.0) + kw
        return shares
