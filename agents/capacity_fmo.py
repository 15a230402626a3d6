"""The flexibility market operator of BUC 5.1: checks what is asked, offered and bought, and keeps the contracts.

D5.1 section 3.5.1 and Table 7: "the FMO checks, approves and sends" the terms of the DSO to the CPOs, their curves to
the DSO, and its decisions to them. What it checks is in agents/decisions/capacity_checks.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from agents.actor import Actor
from agents.capacity_register import (
    LONGEST_ID,
    Auction,
    Bidder,
    CapacityRegister,
    RegisteredContract,
    RegisteredStation,
)
from agents.decisions.capacity_checks import curve_faults, decision_faults, terms_faults
from behaviours.answering import Incoming, Inform, Refuse, answers, refusal
from behaviours.outcomes import Informed, Proposed
from behaviours.swarm import Swarm
from protocols.exchanges.capacity_contracts import (
    ApprovedBid,
    AuctionCall,
    AuctionTerms,
    ConcludedContracts,
    Contract,
    CurveBid,
    CurveBids,
    ProcurementDecision,
    ProcurementResult,
    Purchase,
    StationRegistration,
)
from protocols.exchanges.content import printable
from protocols.exchanges.plain import Done, Reason
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)
"""How long a CPO may take to confirm what was bought of its curve."""
_PASSED_ON = [name for name in AuctionTerms.model_fields if name in AuctionCall.model_fields and name != "exchange"]


class CapacityFmo(Actor):
    """`book`: who takes part, what is auctioned, and the contracts."""

    role: ClassVar[Role] = Role.FMO

    def __init__(self, jid: str, password: str, swarm: Swarm) -> None:
        super().__init__(jid, password, swarm)
        self.book = CapacityRegister(swarm.zone)

    @answers(StationRegistration)
    async def on_registration(self, registration: StationRegistration, incoming: Incoming) -> Inform | Refuse:
        """5.x.1: enters the stations with which a CPO takes part from now on; those that it leaves out no longer do."""
        fault = self.book.register(incoming.sender, registration, self.now())
        return Refuse(fault) if fault is not None else Inform(Done(reference=registration.registration_id))

    # ---- 5.1.1 to 5.1.4: the terms, and the curves ---------------------------------------------------------------

    @answers(AuctionTerms)
    async def on_terms(self, terms: AuctionTerms, incoming: Incoming) -> Inform | Refuse:
        """Checks the terms, calls the CPO of each station that may bid, checks their curves, and tells the DSO."""
        if terms.terms_id in self.book.auctions:
            return refusal("used-reference", f"an auction {terms.terms_id} was called already")
        if len(terms.terms_id) > LONGEST_ID:
            return refusal("id-too-long", f"the id of terms has at most {LONGEST_ID} characters")
        there = [each for each in self.book.stations.values() if each.station.location in terms.locations]
        free, left_out = [], []
        for each in there:
            station_id = each.station.station_id
            bound = self.book.bound(station_id, terms.period_start, terms.period_end)
            if bound is None:
                free.append(each)
            else:
                left_out.append(f"{station_id}: {bound}")
        faults = terms_faults(terms, [each.station for each in free], self.now(), self.swarm.zone)
        if faults:
            return Refuse(Reason.of("terms-cannot-be-met", faults[0], [*faults, *left_out]))
        auction = self.book.auctions[terms.terms_id] = Auction(terms, incoming.sender, tuple(free))
        await incoming.agree(Done(reference=terms.terms_id))
        auction.bidders = list(await asyncio.gather(*(self._call(auction, each) for each in free)))
        refused = [*left_out, *await self._check_curves(auction)]
        auction.informed = True
        self.spawn(self._give_back(auction), f"{terms.terms_id} until it is decided")
        return Inform(
            CurveBids(
                terms_id=terms.terms_id,
                timestamp=self.now(),
                bids=tuple(auction.approved),
                refused=tuple(printable(refused)),
            )
        )

    async def _call(self, auction: Auction, of: RegisteredStation) -> Bidder:
        """5.1.2, for one station."""
        terms = auction.terms
        call = AuctionCall(
            **{name: getattr(terms, name) for name in _PASSED_ON} | {"timestamp": self.now()},
            call_id=f"{terms.terms_id}/{of.station.station_id}",
            dso=auction.dso,
            station_id=of.station.station_id,
            location=of.station.location,
        )
        return Bidder(of, call, await self.call_for_proposals(call, to=[of.cpo], reply_by=terms.gate_closure))

    async def _check_curves(self, auction: Auction) -> list[str]:
        """Approves the curves that are what was called for; the others hear at once why not. Returns why each of the
        stations without an approved curve has none."""
        refused = []
        for bidder in auction.bidders:
            station_id, tender = bidder.call.station_id, bidder.tender
            for missing in tender.silent:
                refused.append(f"{station_id}: {missing} had sent no curve when the gate closed")
                self.notice(refused[-1])
            refused += [f"{station_id}: {said}" for said in tender.refusals]  # a CPO is free not to bid
            for proposal in tender.proposals:
                assert isinstance(proposal.content, CurveBid)
                bid = proposal.content
                faults = self._curve_faults(bidder, proposal, [each.bid_id for each in auction.approved])
                if faults:
                    text = f"{station_id}: the curve {bid.bid_id} is refused: {'; '.join(faults)}"
                    refused.append(text)
                    self.notice(*printable([text]))
                    await self._reject(bidder, bid.bid_id, "; ".join(faults))
                    continue
                bidder.bid = ApprovedBid(
                    bid_id=bid.bid_id,
                    cpo=bidder.of.cpo,
                    station_id=station_id,
                    location=bidder.call.location,
                    curve=bid.curve,
                )
        return refused

    def _curve_faults(self, bidder: Bidder, proposal: Proposed, used: Sequence[str]) -> tuple[str, ...]:
        bid = proposal.content
        assert isinstance(bid, CurveBid)
        faults = list(proposal.faults) or list(curve_faults(bidder.call, bidder.of.station, bid.curve))
        if bid.call_id != bidder.call.call_id:
            faults.append(f"it is for the call {bid.call_id}, not for {bidder.call.call_id}")
        if bid.station_id != bidder.call.station_id:
            faults.append(f"it is of the station {bid.station_id}, not of {bidder.call.station_id}")
        if bid.bid_id in used:
            faults.append(f"the id {bid.bid_id} is another curve's")
        return tuple(faults)

    # ---- 5.1.5 and 5.1.6: the decision, and the contracts --------------------------------------------------------

    @answers(ProcurementDecision)
    async def on_decision(self, decision: ProcurementDecision, incoming: Incoming) -> Inform | Refuse:
        """Checks what is bought, tells every bidder, and registers what the CPOs confirm."""
        auction = self.book.auctions.get(decision.terms_id)
        if auction is None or auction.dso != incoming.sender:
            return refusal("unknown-terms", f"there is no auction {decision.terms_id} of yours")
        if auction.decided is not None:
            return refusal("used-reference", f"{decision.terms_id} was decided by {auction.decided}")
        if not auction.informed:
            return refusal("too-early", f"the curves of {decision.terms_id} are not in yet")
        if not auction.open:
            return refusal("expired", f"{decision.terms_id} was to be decided by {self.book.at(auction.decide_by)}")
        if faults := decision_faults(decision, auction.approved, auction.terms):
            return Refuse(Reason.of("not-as-offered", faults[0], faults))
        auction.decided, auction.open = decision.decision_id, False
        await incoming.agree(Done(reference=decision.decision_id))
        bought = {purchase.bid_id: purchase for purchase in decision.purchases}
        told = await asyncio.gather(
            *(
                self._tell(auction, bidder, bidder.bid, bought.get(bidder.bid.bid_id))
                for bidder in auction.bidders
                if bidder.bid is not None
            )
        )
        return Inform(
            ConcludedContracts(
                decision_id=decision.decision_id,
                contracts=tuple(each for each in told if isinstance(each, Contract)),
                failed=tuple(printable([each for each in told if isinstance(each, str)])),
            )
        )

    async def _tell(
        self, auction: Auction, bidder: Bidder, bid: ApprovedBid, purchase: Purchase | None
    ) -> Contract | str | None:
        """5.1.6: the contract that the CPO confirms, why there is none, or None where nothing is bought."""
        if purchase is None:
            await self._reject(bidder, bid.bid_id, "the DSO buys nothing of this curve")
            return None
        contract = Contract(
            contract_id=f"c-{bidder.call.call_id}",
            bid_id=bid.bid_id,
            cpo=bid.cpo,
            station_id=bid.station_id,
            location=bid.location,
            limit_kw=purchase.limit_kw,
            price_eur=purchase.price_eur,
        )
        award = ProcurementResult(
            bid_id=bid.bid_id,
            call_id=bidder.call.call_id,
            timestamp=self.now(),
            contract_id=contract.contract_id,
            dso=auction.dso,
            limit_kw=contract.limit_kw,
            price_eur=contract.price_eur,
        )
        outcomes = await bidder.tender.award({bid.cpo: award}, done_by=self.now() + ANSWER_TIME)
        outcome = outcomes[bid.cpo]
        if not isinstance(outcome, Informed):
            text = f"{bid.cpo} does not stand by its curve {bid.bid_id} of {bid.station_id}: {outcome}"
            self.notice(*printable([text]))
            return text
        self.book.contracts[contract.contract_id] = RegisteredContract(contract, auction.dso, auction.terms)
        return contract

    async def _reject(self, bidder: Bidder, bid_id: str, why: str) -> None:
        (reason,) = printable([why])
        result = ProcurementResult(bid_id=bid_id, call_id=bidder.call.call_id, timestamp=self.now(), reason=reason)
        await bidder.tender.award({}, done_by=self.now(), reject={bidder.of.cpo: result})

    async def _give_back(self, auction: Auction) -> None:
        """The curves of which nobody has bought in time are the CPOs' again."""
        await self.clock.sleep_until(auction.decide_by)
        if not auction.open:
            return
        auction.open = False
        self.notice(f"{auction.dso} has not decided {auction.terms.terms_id} by {self.book.at(auction.decide_by)}")
        for bidder in auction.bidders:
            if bidder.bid is not None:
                await self._reject(bidder, bidder.bid.bid_id, "the DSO has not decided in time")
