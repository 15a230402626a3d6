"""How the DSO buys caps on charging stations for the weeks ahead (BUC 5.1, D5.1 3.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal

import numpy as np

from agents.actor import Actor
from agents.decisions.capacity_procurement import Curve, DsoCosts, Plan, procure
from agents.public_ports import NetworkStudy, Scenarios, StationSite
from behaviours.outcomes import Agreed, Informed
from protocols.exchanges.capacity_contracts import (
    AuctionTerms,
    ConcludedContracts,
    Contract,
    CurveBids,
    ProcurementDecision,
    Purchase,
)
from protocols.exchanges.content import Content
from protocols.market_time import day_start
from protocols.roles import Role
from protocols.units import as_money

ANSWER_TIME = timedelta(minutes=5)
"""How long the FMO may take to agree."""
RESULT_TIME = timedelta(minutes=10)
"""How long it may take over its result, for the bids from the gate closure on."""
NEAR_PART = 0.9
"""A line that is expected to carry this part of its limit in some scenario has an auction for what is behind it: the
preliminary analysis adds up loads without losses."""


@dataclass(frozen=True, slots=True)
class AuctionPlan:
    """What the DSO auctions, and when; see `AuctionTerms` for most of it.

    The period is `period_days` local days from the one after `opens_at`; `window` and `activates_at` are local times.
    `scenarios`: how many sampled days stand behind a purchase, and behind an activation. `violation_eur_per_kwh`: what
    the DSO holds a kWh through a line above `line_limit_percent` of its rating to cost.
    """

    opens_at: datetime
    gate_closure_minutes: int = 30
    period_days: int = 28
    window: tuple[time, time] = (time(17), time(22))
    most_activations: int = 20
    notice_minutes: int = 720
    least_points: int = 3
    most_points: int = 12
    step_kw: float = 10.0
    lowest_limit_kw: float = 60.0
    most_eur: Decimal = Decimal("5000.00")
    penalty_eur_per_kwh: Decimal = Decimal("1.50")
    scenarios: int = 40
    violation_eur_per_kwh: float = 2.0
    line_limit_percent: float = 100.0
    activates_at: time = time(14)

    @property
    def gate_closure(self) -> datetime:
        return self.opens_at + timedelta(minutes=self.gate_closure_minutes)

    def first_day(self, zone: tzinfo) -> date:
        """The first local day of the contracts."""
        return self.opens_at.astimezone(zone).date() + timedelta(days=1)

    @property
    def costs(self) -> DsoCosts:
        return DsoCosts(self.violation_eur_per_kwh, self.line_limit_percent)


def at_local(day: date, clock: time, zone: tzinfo) -> datetime:
    """A local time of a day, in UTC."""
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)


class CapacityBuyer:
    """D5.1 3.5.1: "the DSO performing preliminary analysis and forecasts with regards to the period for which capacity
    limits will be auctioned. The details of the market are sent to the FMO"; "after the CPOs submit their bids, the DSO
    performs an Optimal Power Flow (OPF) based stochastic analysis for the auction period to decide on the procurement
    of the service, including volume and location".

    `stations` is in the order of the last axis of the study's `Scenarios.station_kw`. Afterwards `terms`, `bids`,
    `plan_found` and `contracts` (by id) are what was sent, offered, decided and concluded.
    """

    def __init__(
        self, agent: Actor, study: NetworkStudy, stations: Sequence[StationSite], plan: AuctionPlan, until: datetime
    ) -> None:
        self.terms: AuctionTerms | None = None
        self.bids: CurveBids | None = None
        self.plan_found: Plan | None = None
        self.contracts: dict[str, Contract] = {}
        self._agent = agent
        self._study = study
        self._stations = tuple(stations)
        self._plan = plan
        self._until = until

    def activation_eur(self) -> float:
        """What an activation should save at least, so that those of a contract last for the worst days; 0 before the
        purchase, or where there are enough for all days."""
        return 0.0 if self.plan_found is None else self.plan_found.activation_eur

    async def buy(self) -> None:
        """One auction, from the forecast to the contracts. Whatever goes wrong is told, and nothing is bought then."""
        if self._plan.opens_at >= self._until:
            return
        await self._agent.clock.sleep_until(self._plan.opens_at)
        first = self._plan.first_day(self._agent.swarm.zone)
        scenarios = self._study.period(first, self._plan.period_days, self._plan.scenarios, self._plan.window)
        places = self._places(scenarios)
        if not places:
            self._agent.notice("no line with a station behind it comes near its limit: no caps are auctioned")
            return
        market = await self._market()
        if market is None:
            self._agent.notice("there is no FMO: no caps can be bought")
            return
        self.terms = self._terms(first, places)
        bids = await self._ask(market, self.terms, self._plan.gate_closure + RESULT_TIME)
        if not isinstance(bids, CurveBids):
            return
        self.bids = bids
        await self._decide(market, bids, scenarios)

    def _places(self, scenarios: Scenarios) -> tuple[str, ...]:
        """The preliminary analysis: the buses with stations behind a line that may carry too much."""
        study = self._study
        p_kw, q_kvar = np.array(scenarios.p_kw, dtype=np.float64), scenarios.q_kvar
        for k, station in enumerate(self._stations):
            p_kw[:, :, study.buses.index(station.location)] += scenarios.station_kw[:, :, k]
        places = set()
        for line, rating_kw in zip(study.lines, study.line_rating_kw, strict=True):
            behind = [study.buses.index(bus) for bus in study.sections[line]]
            through = np.hypot(p_kw[:, :, behind].sum(axis=2), q_kvar[:, :, behind].sum(axis=2))
            if through.max(initial=0.0) > NEAR_PART * rating_kw * self._plan.line_limit_percent / 100:
                places |= set(study.sections[line])
        return tuple(sorted(places & {station.location for station in self._stations}))

    def _terms(self, first: date, places: tuple[str, ...]) -> AuctionTerms:
        plan, zone = self._plan, self._agent.swarm.zone
        opens, closes = plan.window
        return AuctionTerms(
            terms_id=f"{self._agent.name}-caps-{first:%Y-%m-%d}",
            timestamp=self._agent.now(),
            gate_closure=plan.gate_closure,
            period_start=day_start(first, zone),
            period_end=day_start(first + timedelta(days=plan.period_days), zone),
            window_start=f"{opens:%H:%M}",
            window_end=f"{closes:%H:%M}",
            most_activations=plan.most_activations,
            notice_minutes=plan.notice_minutes,
            least_points=plan.least_points,
            most_points=plan.most_points,
            step_kw=plan.step_kw,
            lowest_limit_kw=plan.lowest_limit_kw,
            most_eur=plan.most_eur,
            penalty_eur_per_kwh=plan.penalty_eur_per_kwh,
            locations=places,
        )

    async def _market(self) -> str | None:
        entries = await self._agent.search(role=Role.FMO)
        return entries[0].jid if entries else None

    async def _ask(self, market: str, content: AuctionTerms | ProcurementDecision, by: datetime) -> Content | None:
        """What the FMO says in the end; None, told, where it does not."""
        answer = await self._agent.request(content, to=market, reply_by=self._agent.now() + ANSWER_TIME, done_by=by)
        result = await answer.result() if isinstance(answer, Agreed) else answer
        if isinstance(result, Informed):
            return result.content
        what = content.terms_id if isinstance(content, AuctionTerms) else content.decision_id
        self._agent.notice(f"{what} comes to nothing: {result}")
        return None

    async def _decide(self, market: str, bids: CurveBids, scenarios: Scenarios) -> None:
        """5.1.5: the point of each curve that is bought. A decision that buys nothing is sent as well: the bidders are
        told by it."""
        if not bids.bids:
            self._agent.notice("no cap is offered")
            return
        assert self.terms is not None
        plan = self._plan
        self.plan_found = procure(
            self._study,
            scenarios,
            self._curves(bids),
            self._stations,
            plan.costs,
            days=plan.period_days,
            most_activations=plan.most_activations,
        )
        found = self.plan_found
        decision = ProcurementDecision(
            decision_id=f"{self.terms.terms_id}-decision",
            terms_id=self.terms.terms_id,
            timestamp=self._agent.now(),
            purchases=tuple(
                Purchase(
                    bid_id=each.bid_id,
                    station_id=each.station_id,
                    limit_kw=each.limit_kw,
                    price_eur=as_money(each.price_eur),
                )
                for each in found.purchases
            ),
            scenarios=len(scenarios.p_kw),
            expected_without_kwh=round(found.expected_without_kwh, 3),
            expected_with_kwh=round(found.expected_with_kwh, 3),
        )
        concluded = await self._ask(market, decision, self._agent.now() + RESULT_TIME)
        if isinstance(concluded, ConcludedContracts):
            self._take(concluded, decision)

    def _curves(self, bids: CurveBids) -> list[Curve]:
        """The bids of the stations that are connected where they say; others are left out, and told."""
        places = {station.station_id: station.location for station in self._stations}
        curves = []
        for bid in sorted(bids.bids, key=lambda bid: bid.bid_id):
            if places.get(bid.station_id) != bid.location:
                self._agent.notice(f"{bid.bid_id}: no station {bid.station_id} is connected at {bid.location}")
                continue
            points = tuple((point.limit_kw, point.price_eur) for point in bid.curve)
            curves.append(Curve(bid.bid_id, bid.station_id, bid.location, points))
        return curves

    def _take(self, concluded: ConcludedContracts, decision: ProcurementDecision) -> None:
        """The contracts that are what was bought; the rest is told."""
        for fault in concluded.failed:
            self._agent.notice(f"a purchase has not become a contract: {fault}")
        assert self.bids is not None  # a decision answers them
        of = {bid.bid_id: (bid.cpo, bid.station_id, bid.location) for bid in self.bids.bids}
        bought = {each.bid_id: (*of[each.bid_id], each.limit_kw, each.price_eur) for each in decision.purchases}
        for contract in sorted(concluded.contracts, key=lambda contract: contract.contract_id):
            said = contract.cpo, contract.station_id, contract.location, contract.limit_kw, contract.price_eur
            if said != bought.get(contract.bid_id):
                self._agent.notice(f"the contract {contract.contract_id} is not what was bought: it is not used")
                continue
            self.contracts[contract.contract_id] = contract
