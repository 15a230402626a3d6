"""The flexibility market operator: keeps the register, clears the market, and turns measurements into money."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.baseline import meter_before_meter_after, nomination
from agents.decisions.clearing import Clearing, MarketBid, clear
from agents.decisions.settlement import Settlement, Sold, VolumeDisputed, agree_volume, baseline_fault, settle
from agents.ids import activation_of
from agents.ledger import Ledger, LedgerError
from agents.periods import MINUTES
from behaviours.answering import Failure, Incoming, Inform, Refuse, answers, failure, refusal
from behaviours.outcomes import Agreed, Informed, Proposed
from behaviours.swarm import Swarm
from protocols.exchanges.plain import Done
from protocols.exchanges.procurement import (
    Award,
    Bid,
    FlexibilityNeed,
    MarketResult,
    NeedResult,
    PrequalificationRequest,
    PrequalificationResult,
    ProductRequirements,
    RegistrationResult,
    RequestForBids,
    ResourceRegistration,
)
from protocols.exchanges.settlement import Bill, MeasurementsCollection, MeasurementsQuery, Payment
from protocols.exchanges.vocabulary import BaselineMethod
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)
COLLECTION = timedelta(minutes=10)
"""After the end of an activation the measurements are collected."""
BILLING = timedelta(minutes=20)
"""After the end of an activation the bills go out, when both sides have had time to agree on the volume."""
PAYMENT_TERM = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class RegisterEntry:
    """A resource in the flexibility register, with the power that the DSO's prequalification left it."""

    resource: ResourceRegistration
    vpp: str
    qualified: PrequalificationResult


@dataclass(frozen=True, slots=True)
class Contract:
    """An awarded bid: who sells what to whom."""

    bid: Bid
    vpp: str
    dso: str
    need: FlexibilityNeed
    power_kw: float
    price_eur_per_kw: Decimal

    @property
    def activation_id(self) -> str:
        return activation_of(self.bid.bid_id)


class Fmo(Actor):
    """D5.1 section 3.1: "the flexibility resources will be registered by the flexibility market operator (FMO) and
    included in the flexibility register"; it coordinates the prequalification, collects and selects bids, informs the
    providers and the register, collects measurements from DSO and VPP, calculates the baseline, "monetizes the
    delivered flexibility and sends the bill". In the `ledger` it books what a debtor outside the swarm says it paid."""

    role: ClassVar[Role] = Role.FMO

    def __init__(self, jid: str, password: str, swarm: Swarm, *, ledger: Ledger | None = None) -> None:
        super().__init__(jid, password, swarm)
        self.ledger = ledger
        self.products: dict[str, ProductRequirements] = {}
        self.product_owner: dict[str, str] = {}
        self.resources: dict[str, RegisterEntry] = {}
        self.contracts: dict[str, Contract] = {}
        self.settled: dict[str, Settlement] = {}
        self._needs: dict[str, FlexibilityNeed] = {}

    # ---- BUC 1.1: products, register, market ---------------------------------------------------------------------

    @answers(ProductRequirements)
    async def on_product_requirements(self, product: ProductRequirements, incoming: Incoming) -> Inform | Refuse:
        """1.x.1: "the DSO will define requirements that each local flexibility product should meet"."""
        if self.product_owner.get(product.product_id, incoming.sender) != incoming.sender:
            return refusal("not-authorised", f"product {product.product_id} is another DSO's")
        self.products[product.product_id] = product
        self.product_owner[product.product_id] = incoming.sender
        return Inform(Done(reference=product.product_id))

    @answers(ResourceRegistration)
    async def on_resource_registration(
        self, resource: ResourceRegistration, incoming: Incoming
    ) -> Inform | Refuse | Failure:
        """1.x.2: enters the resource into the register, as far as the DSO's prequalification (1.x.3) lets it."""
        product = self.products.get(resource.product_id)
        if product is None:
            return refusal("unknown-product", f"there is no product {resource.product_id}")
        known = self.resources.get(resource.resource_id)
        if known is not None and known.vpp != incoming.sender:
            return refusal("not-authorised", f"resource {resource.resource_id} is another VPP's")
        question = PrequalificationRequest(**resource.model_dump(exclude={"exchange"}), vpp=incoming.sender)
        answer = await self.request(
            question, to=self.product_owner[resource.product_id], reply_by=self.now() + ANSWER_TIME
        )
        if isinstance(answer, Agreed):
            answer = await answer.result(self.now() + ANSWER_TIME)
        if not isinstance(answer, Informed) or not isinstance(answer.content, PrequalificationResult):
            return failure("not-prequalified", f"the DSO gives no result for {resource.resource_id}")
        qualified = answer.content
        self.resources[resource.resource_id] = RegisterEntry(resource, incoming.sender, qualified)
        return Inform(
            RegistrationResult(
                resource_id=resource.resource_id,
                qualified_charge_kw=qualified.qualified_charge_kw,
                qualified_discharge_kw=qualified.qualified_discharge_kw,
                reasons=qualified.reasons,
            )
        )

    def registered_vpps(self, product_id: str) -> tuple[str, ...]:
        """The VPPs that have a resource for this product in the register, in alphabetical order; one to which the
        prequalification left no power either way has nothing to offer."""
        return tuple(
            sorted(
                {
                    e.vpp
                    for e in self.resources.values()
                    if e.resource.product_id == product_id
                    and e.qualified.qualified_charge_kw + e.qualified.qualified_discharge_kw > 0
                }
            )
        )

    @answers(FlexibilityNeed)
    async def on_flexibility_need(self, need: FlexibilityNeed, incoming: Incoming) -> Inform | Refuse:
        """1.x.6: publishes the request for bids (1.x.7), clears at gate closure, and informs everyone (1.1.2)."""
        product = self.products.get(need.product_id)
        if product is None or self.product_owner[need.product_id] != incoming.sender:
            return refusal("unknown-product", f"there is no product {need.product_id} of yours")
        if need.need_id in self._needs:
            return refusal("used-reference", f"need {need.need_id} was called already")
        if need.congestion_point != product.congestion_point:
            return refusal("wrong-congestion-point", f"product {need.product_id} is for {product.congestion_point}")
        if need.service != product.service:
            return refusal("wrong-service", f"product {need.product_id} is for {product.service}")
        if need.gate_closure <= self.now():
            return refusal("expired", "the gate is closed already")
        self._needs[need.need_id] = need
        await incoming.agree(Done(reference=need.need_id))
        return Inform(await self._market(need, product, incoming.sender))

    async def _market(self, need: FlexibilityNeed, product: ProductRequirements, dso: str) -> NeedResult:
        market_id = f"market-{need.need_id}"
        call = RequestForBids(
            market_id=market_id,
            need_id=need.need_id,
            product_id=need.product_id,
            service=need.service,
            congestion_point=need.congestion_point,
            start=need.start,
            end=need.end,
            power_needed_kw=need.power_kw,
            max_price_eur_per_kw=need.max_price_eur_per_kw,
            pricing=product.pricing,
        )
        tender = await self.call_for_proposals(
            call, to=self.registered_vpps(need.product_id), reply_by=need.gate_closure
        )
        valid: dict[str, Proposed] = {}
        faulty: dict[str, str] = {}
        for proposal in tender.proposals:
            assert isinstance(proposal.content, Bid)
            fault = "; ".join(proposal.faults) or self._fault(proposal, call, product)
            if fault is None and proposal.content.bid_id not in valid:
                valid[proposal.content.bid_id] = proposal
            else:
                faulty[proposal.sender] = fault or "the bid id is used already"
        clearing = clear(
            [_market_bid(p) for p in valid.values()],
            need.power_kw,
            max_price_eur_per_kw=need.max_price_eur_per_kw,
            pricing=product.pricing,
        )
        awards = {award.bid_id: award for award in clearing.awards}
        accept = {
            valid[bid_id].sender: self._result(valid[bid_id], clearing, award.power_kw, award.price_eur_per_kw, None)
            for bid_id, award in awards.items()
        }
        reject = {
            p.sender: self._result(
                p, clearing, 0.0, None, faulty.get(p.sender) or clearing.rejected.get(_bid(p).bid_id, "not selected")
            )
            for p in tender.proposals
            if p.sender not in accept
        }
        outcomes = await tender.award(accept, done_by=self.now() + ANSWER_TIME, reject=reject)
        sold: list[Award] = []
        for bid_id, award in awards.items():
            vpp = valid[bid_id].sender
            if not isinstance(outcomes[vpp], Informed):
                self.notice(f"{vpp} does not stand by its bid {bid_id}: {outcomes[vpp]}")
                continue
            contract = Contract(_bid(valid[bid_id]), vpp, dso, need, award.power_kw, award.price_eur_per_kw)
            self.contracts[contract.activation_id] = contract
            self.spawn(self._settle(contract))
            sold.append(
                Award(
                    bid_id=bid_id,
                    vpp=vpp,
                    power_kw=award.power_kw,
                    price_eur_per_kw=award.price_eur_per_kw,
                    baseline_kw=contract.bid.baseline_kw,
                )
            )
        unserved = max(0.0, round(need.power_kw - sum(a.power_kw for a in sold), 6))
        return NeedResult(need_id=need.need_id, awards=tuple(sold), unserved_kw=unserved)

    def _fault(self, proposal: Proposed, call: RequestForBids, product: ProductRequirements) -> str | None:
        """Why a bid cannot take part in the clearing."""
        bid, vpp = _bid(proposal), proposal.sender
        if bid.market_id != call.market_id:
            return f"the bid is for {bid.market_id}, the market is {call.market_id}"
        if (bid.start, bid.end) != (call.start, call.end):
            return "the bid is for another time than the call"
        if bid.location != call.congestion_point:
            return f"the bid is at {bid.location}, the congestion point is {call.congestion_point}"
        if bid.price_eur_per_kw > call.max_price_eur_per_kw:
            return f"the price is above the maximum of {call.max_price_eur_per_kw} EUR/kW"
        if bid.power_kw < product.min_power_kw:
            return f"the product starts at {product.min_power_kw:g} kW"
        if any(activation_of(bid.bid_id) == known for known in self.contracts):
            return "the bid id is used already"
        if product.baseline is BaselineMethod.NOMINATION and not bid.baseline_kw:
            return "the product needs a nominated baseline"
        return baseline_fault(
            bid.start,
            bid.end,
            bid.baseline_kw if product.baseline is BaselineMethod.NOMINATION else None,
            sum(
                e.resource.max_charge_kw
                for e in self.resources.values()
                if (e.vpp, e.resource.product_id) == (vpp, product.product_id)
            ),
            [
                Sold(c.bid.start, c.bid.end, c.power_kw, c.bid.baseline_kw)
                for c in self.contracts.values()
                if c.vpp == vpp
            ],
        )

    def _result(
        self, proposal: Proposed, clearing: Clearing, power_kw: float, price: Decimal | None, reason: str | None
    ) -> MarketResult:
        bid = _bid(proposal)
        market_price = price if price is not None else (clearing.clearing_price_eur_per_kw or Decimal(0))
        return MarketResult(
            bid_id=bid.bid_id,
            market_id=bid.market_id,
            timestamp=self.now(),
            market_price_eur_per_kw=market_price,
            cleared_power_kw=power_kw,
            reason=reason,
        )

    # ---- BUC 1.2: settlement -------------------------------------------------------------------------------------

    async def _settle(self, contract: Contract) -> None:
        """Collects measurements from both sides (1.2.6), monetises the delivery, and bills it (1.2.7)."""
        end = contract.bid.end
        await self.clock.sleep_until(end + COLLECTION)
        query = MeasurementsQuery(activation_id=contract.activation_id, start=contract.bid.start, end=end)
        grid_side, vpp_side = await asyncio.gather(
            self._measurements(query, contract.dso), self._measurements(query, contract.vpp)
        )
        measured = grid_side or vpp_side
        if grid_side is not None and vpp_side is not None:
            verdict = agree_volume(vpp_side.power_kw, grid_side.power_kw)
            if isinstance(verdict, VolumeDisputed):
                self.notice(
                    f"activation {contract.activation_id}: VPP and DSO measured differently ({verdict.reason}); "
                    "the DSO's meters count"
                )
        if measured is None:
            self.notice(f"activation {contract.activation_id}: nobody measured it, so nothing is paid")
            return
        product = self.products[contract.need.product_id]
        baseline = self._baseline(product.baseline, contract, measured)
        if baseline is None:
            self.notice(f"activation {contract.activation_id}: there is no baseline, so nothing is paid")
            return
        settlement = settle(
            list(baseline),
            list(measured.power_kw),
            contract.power_kw,
            contract.price_eur_per_kw,
            product.penalty_eur_per_kw,
            penalty_for_ordered_only=True,
        )
        self.settled[contract.activation_id] = settlement
        await self.clock.sleep_until(end + BILLING)
        await self._bill(contract, settlement)

    async def _measurements(self, query: MeasurementsQuery, source: str) -> MeasurementsCollection | None:
        answer = await self.query_ref(query, to=source, reply_by=self.now() + ANSWER_TIME)
        if not isinstance(answer, Informed) or not isinstance(answer.content, MeasurementsCollection):
            self.notice(f"activation {query.activation_id}: {source} gives no measurements: {answer}")
            return None
        series = answer.content
        if (series.start, series.end, series.period_minutes) != (query.start, query.end, MINUTES):
            self.notice(f"activation {query.activation_id}: {source} measured another time than was asked for")
            return None
        return series

    @staticmethod
    def _baseline(
        method: BaselineMethod, contract: Contract, measured: MeasurementsCollection
    ) -> Sequence[float] | None:
        """By the product's method; readings before the activation come with the grid operator's, as `baseline_kw`.
        None where there are none, and nothing was nominated."""
        periods = len(measured.power_kw)
        if method is not BaselineMethod.NOMINATION and measured.baseline_kw is not None:
            return [float(kw) for kw in meter_before_meter_after(measured.baseline_kw, periods)]
        if not contract.bid.baseline_kw:
            return None
        return [float(kw) for kw in nomination(contract.bid.baseline_kw, periods)]

    async def _bill(self, contract: Contract, settlement: Settlement) -> None:
        """The debtor is asked first; the other side gets the same bill when the money has moved."""
        bill = Bill(
            bill_id=f"bill-{contract.activation_id}",
            activation_id=contract.activation_id,
            payer=contract.dso,
            payee=contract.vpp,
            volume_kwh=float(settlement.volume_kwh),
            price_eur_per_kw=contract.price_eur_per_kw,
            remuneration_eur=settlement.remuneration_eur,
            penalty_eur=settlement.penalty_eur,
            amount_eur=settlement.amount_eur,
            due=self.now() + PAYMENT_TERM,
        )
        order = (contract.dso, contract.vpp) if settlement.amount_eur >= 0 else (contract.vpp, contract.dso)
        for party in order:
            answer = await self.request(bill, to=party, reply_by=self.now() + ANSWER_TIME)
            if isinstance(answer, Agreed):
                answer = await answer.result(self.now() + ANSWER_TIME)
            if not isinstance(answer, Informed) or not isinstance(answer.content, Payment):
                self.notice(f"{bill.bill_id} over {bill.amount_eur} EUR is not paid: {party} answers {answer}")
                return
            if party == order[0] and party in self.swarm.outside and not self._booked(bill):
                return

    def _booked(self, bill: Bill) -> bool:
        """Whether the books have what a debtor has paid who cannot write them."""
        assert self.ledger is not None, "a market with actors outside has books"
        payer, payee = (jid.partition("@")[0] for jid in (bill.payer, bill.payee))
        try:
            self.ledger.transfer(
                bill.bill_id, self.now(), bill.activation_id, payer=payer, payee=payee, amount_eur=bill.amount_eur
            )
        except LedgerError as error:
            self.notice(str(error))
            return False
        return True


def _bid(proposal: Proposed) -> Bid:
    assert isinstance(proposal.content, Bid)
    return proposal.content


def _market_bid(proposal: Proposed) -> MarketBid:
    bid = _bid(proposal)
    return MarketBid(
        bid_id=bid.bid_id,
        vpp=proposal.sender,
        power_kw=bid.power_kw,
        price_eur_per_kw=bid.price_eur_per_kw,
        received=proposal.received,
        min_power_kw=bid.min_power_kw,
    )
