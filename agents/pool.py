"""The clearing of a DSO's pool (BUC 6.1): who gets what, said to each bidder. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.decisions.clearing import MarketBid, clear
from behaviours.outcomes import Proposed
from protocols.exchanges.dso_services import PoolAward, PoolBid, PoolOpening
from protocols.exchanges.procurement import ProductRequirements


@dataclass(frozen=True)
class PoolResult:
    """`accept` and `reject` say to each VPP what became of its bid; `bids` are those accepted, by VPP."""

    accept: dict[str, PoolAward]
    reject: dict[str, PoolAward]
    bids: dict[str, PoolBid]
    unserved_kw: float


def clear_pool(
    pool: PoolOpening,
    proposals: Sequence[Proposed],
    product: ProductRequirements,
    used: Callable[[str], bool],
    fault_of: Callable[[str, PoolBid], str | None],
) -> PoolResult:
    """Merit order up to the pool's maximum price, by the product's pricing rule.

    Less than the product's smallest power is not worth an activation. `used` tells of a bid id that was seen before,
    `fault_of` what is wrong with a VPP's bid in the light of what else it sold.
    """
    bids: dict[str, tuple[Proposed, PoolBid]] = {}
    faulty: dict[str, str] = {}
    for proposal in proposals:
        bid = proposal.content
        assert isinstance(bid, PoolBid)
        if proposal.faults:
            faulty[bid.bid_id] = "; ".join(proposal.faults)
        elif bid.pool_id != pool.pool_id:
            faulty[bid.bid_id] = f"the bid is for {bid.pool_id}, the pool is {pool.pool_id}"
        elif bid.bid_id in bids or used(bid.bid_id):
            faulty[bid.bid_id] = f"the bid id {bid.bid_id} is used already"
        elif fault := fault_of(proposal.sender, bid):
            faulty[bid.bid_id] = fault
        else:
            bids[bid.bid_id] = (proposal, bid)
    clearing = clear(
        [
            MarketBid(
                bid.bid_id,
                proposal.sender,
                bid.power_kw,
                bid.price_eur_per_kw,
                proposal.received,
                min(bid.power_kw, product.min_power_kw),
            )
            for proposal, bid in bids.values()
        ],
        pool.power_needed_kw,
        max_price_eur_per_kw=pool.max_price_eur_per_kw,
        pricing=product.pricing,
    )
    accept = {
        award.vpp: PoolAward(
            pool_id=pool.pool_id,
            bid_id=award.bid_id,
            price_eur_per_kw=award.price_eur_per_kw,
            power_kw=award.power_kw,
        )
        for award in clearing.awards
    }
    reject = {}
    for proposal in proposals:
        if proposal.sender in accept:
            continue
        bid = proposal.content
        assert isinstance(bid, PoolBid)
        reject[proposal.sender] = PoolAward(
            pool_id=pool.pool_id,
            bid_id=bid.bid_id,
            price_eur_per_kw=clearing.clearing_price_eur_per_kw or Decimal(0),
            power_kw=0.0,
            reason=faulty.get(bid.bid_id) or clearing.rejected.get(bid.bid_id, "the bid was not selected"),
        )
    return PoolResult(accept, reject, {vpp: bids[a.bid_id][1] for vpp, a in accept.items()}, clearing.unserved_kw)
