"""A public charging point operator: stations, prices and sessions, and the limits that it has sold to the DSO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from operator import is_
from typing import ClassVar

from agents.actor import Actor
from agents.capacity_bidding import CapacityBidding, registration
from agents.charger_meters import ChargerMeters
from agents.decisions.capacity_curve import OpportunityCosts
from agents.decisions.network_use import network_use
from agents.decisions.station_prices import StationTariff
from agents.ledger import Ledger, LedgerError
from agents.periods import MINUTES, next_quarter
from agents.ports import Charger
from agents.public_ports import StationHistory, StationSite
from agents.station_bills import EXCESS_KWH, bill_fault, excess_kwh, settlement_fault
from agents.station_caps import StationCaps
from agents.station_choices import StationChoices
from agents.station_control import StationControl
from agents.station_log import StationLog
from agents.station_price_desk import StationPriceDesk
from agents.station_replanning import replanned
from agents.station_sessions import StationSessions
from behaviours.answering import (
    AcceptProposal,
    Agree,
    Failure,
    Incoming,
    Inform,
    Propose,
    Refuse,
    RejectProposal,
    answers,
    cancels,
    failure,
    refusal,
)
from behaviours.outcomes import Agreed, Informed
from behaviours.swarm import Swarm
from protocols.acl import Performative
from protocols.exchanges.capacity_contracts import (
    AuctionCall,
    CapacityLimit,
    ChargingRequest,
    ChargingSelection,
    LimitSettlement,
    LimitSettlementAnswer,
    ProcurementResult,
)
from protocols.exchanges.network_prices import NetworkBill, NetworkPriceReduction, PriceSubscription
from protocols.exchanges.plain import Done, Reason
from protocols.roles import Role

REGISTERS_AFTER = timedelta(minutes=5)
ANSWER_TIME = timedelta(minutes=3)
POLL = timedelta(minutes=1)
"""How often a charger is read at which somebody is expected."""
BEFORE_THE_DRIVERS, AFTER_THE_DRIVERS = 2, 20
"""The order within one instant: who leaves has been metered, and who comes is there."""


class PublicCpo(Actor):
    """D5.1 3.4.2 and 3.5: "the CPO, who aggregates EV flexibility from a Charging Station". It passes price reductions
    on to drivers, sells limits for what they cost it, offers sessions that keep them, and holds them in the chargers.
    """

    role: ClassVar[Role] = Role.CPO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        stations: Sequence[StationSite],
        chargers: Mapping[str, Charger],
        tariff: StationTariff,
        costs: OpportunityCosts,
        history: StationHistory,
        network_eur_per_kwh: Decimal,
        ledger: Ledger,
        until: datetime,
        offer_minutes: float = 10,
    ) -> None:
        """`chargers` by id, those of all `stations`; `network_eur_per_kwh` is the DSO's price, by which its bills are
        checked. Raises ValueError where a station's charger is missing."""
        super().__init__(jid, password, swarm)
        if missing := [c for site in stations for c in site.charger_ids if c not in chargers]:
            raise ValueError(f"{self.name}: there is no charger {', '.join(missing)}")
        self.stations = {site.station_id: site for site in stations}
        self.network_eur_per_kwh = network_eur_per_kwh
        self.ledger, self.until = ledger, until
        self.prices = StationPriceDesk(stations, tariff)
        self.bidding = CapacityBidding(self.name, self.stations, history, costs)
        self.caps = StationCaps(self.stations, self.bidding.contracts, swarm.zone)
        self.choices = StationChoices(
            self.name, self.stations, self.caps, self.prices, timedelta(minutes=offer_minutes)
        )
        self.log = StationLog()
        self.meters = ChargerMeters(self)
        self.sessions = StationSessions(
            self.name,
            self.stations,
            self.choices.bookings,
            self.caps,
            StationControl(chargers, self.now, self.notice),
            self.log,
            self.now,
            self.notice,
        )

    async def course(self) -> None:
        """Registers the stations (5.x.1); then, at every quarter of an hour, ends and begins sessions and steers."""
        self.spawn(self._register_stations(), "registers its stations")
        while self.now() < self.until:
            due = next_quarter(self.now())
            while self.sessions.waiting(self.now()) and self.now() + POLL < due:
                await self.clock.sleep_until(self.now() + POLL, priority=AFTER_THE_DRIVERS)
                await self.sessions.turn(self.now(), whole=False)
            await self.clock.sleep_until(due, priority=BEFORE_THE_DRIVERS)
            await self.sessions.end(self.now())
            await self.clock.sleep_until(due, priority=AFTER_THE_DRIVERS)
            await self.sessions.turn(self.now())
            await self.sessions.control.read(sorted(self.sessions.control.silent))
            self.choices.forget(self.now())

    async def _register_stations(self) -> None:
        """5.x.1, at every FMO there is."""
        await self.clock.sleep_until(self.now() + REGISTERS_AFTER)
        markets = await self.search(role=Role.FMO)
        if not markets:
            self.notice("there is no market for capacity limits: nothing can be sold")
        for market in markets:
            content = registration(f"{self.name}-stations", list(self.stations.values()), self.now())
            outcome = await self.request(content, to=market.jid, reply_by=self.now() + ANSWER_TIME)
            if isinstance(outcome, Agreed):
                outcome = await outcome.result(self.now() + ANSWER_TIME)
            if not isinstance(outcome, Informed):
                self.notice(f"the stations are not registered: {outcome}")

    # ---- BUC 4.2: prices -------------------------------------------------------------------------------------------

    @answers(NetworkPriceReduction)
    async def on_price_reduction(self, reduction: NetworkPriceReduction, incoming: Incoming) -> Inform | Refuse:
        """4.2.1: the prices of the stations behind those places fall, and subscribers hear of it (4.2.2)."""
        if fault := self.prices.fault(reduction, self.now()):
            return refusal(*fault)
        if self.prices.add(reduction):
            news = self.prices.news(reduction, self.now())
            for topic in self.subscriptions(PriceSubscription):
                for each in news:
                    own = each.model_copy(update={"request_id": topic.request_id})
                    await self.publish(PriceSubscription, own, partial(is_, topic))
        return Inform(Done(reference=reduction.reduction_id))

    @answers(PriceSubscription)
    async def on_price_subscription(self, topic: PriceSubscription, incoming: Incoming) -> Agree:
        """4.2.2: the driver hears of every change from now on."""
        return Agree(Done(reference=topic.request_id))

    @answers(NetworkBill)
    async def on_network_bill(self, bill: NetworkBill, incoming: Incoming) -> Inform | Refuse:
        """4.x.2: paid at once, where the chargers' own meters have nothing against it."""
        chargers = [c for site in self.stations.values() for c in site.charger_ids]
        own = network_use(
            {s.station_id: self.log.mean_kw(s.charger_ids, bill.start, bill.end) for s in self.stations.values()},
            {s.station_id: s.location for s in self.stations.values()},
            bill.start,
            self.network_eur_per_kwh,
            list(self.prices.reductions.values()),
        )
        metered = self.log.complete(chargers, bill.start, bill.end)
        if fault := bill_fault(bill, own, self.network_eur_per_kwh, metered=metered):
            self.notice(f"the bill {bill.bill_id} is not paid: {fault}")
            return refusal("disputed", fault)
        payee = incoming.sender.partition("@")[0]
        try:
            self.ledger.transfer(
                bill.bill_id, self.now(), bill.bill_id, payer=self.name, payee=payee, amount_eur=bill.amount_eur
            )
        except LedgerError as error:
            return refusal("not-booked", str(error))
        return Inform(Done(reference=bill.bill_id))

    # ---- BUC 5.1: limits are sold ----------------------------------------------------------------------------------

    @answers(AuctionCall)
    async def on_auction_call(self, call: AuctionCall, incoming: Incoming) -> Propose | Refuse:
        """5.1.2, answered by a bid curve (5.1.3)."""
        return self.bidding.bid(call, incoming.message.conversation_id, self.now())

    @answers(ProcurementResult, on=Performative.ACCEPT_PROPOSAL)
    async def on_contract(self, result: ProcurementResult, incoming: Incoming) -> Inform | Failure:
        """5.1.6: a limit is sold."""
        contract = self.bidding.take(result, incoming.message.conversation_id)
        if isinstance(contract, Failure):
            return contract
        return Inform(Done(reference=contract.contract_id))

    @answers(ProcurementResult, on=Performative.REJECT_PROPOSAL)
    async def on_no_contract(self, result: ProcurementResult, incoming: Incoming) -> None:
        """5.1.6: nothing was bought of this curve."""
        self.bidding.drop(incoming.message.conversation_id)

    # ---- BUC 5.2: limits are kept ----------------------------------------------------------------------------------

    @answers(CapacityLimit)
    async def on_capacity_limit(self, limit: CapacityLimit, incoming: Incoming) -> Inform | Refuse:
        """5.2.1: from now on every offer keeps the limit, and every session that is promised was planned anew for it.
        The chargers have their orders before it is agreed."""
        await self.sessions.look(limit.station_id)
        if not self.caps.known(limit):
            if fault := self.caps.fault(limit, incoming.sender, self.now()):
                return self._not_activated(limit, *fault)
            site, bookings = self.stations[limit.station_id], self.choices.bookings[limit.station_id]
            cap = self.caps.of(limit.station_id, besides=limit)
            changed = replanned(
                site, bookings, cap, next_quarter(self.now()), self.sessions.deaf(limit.station_id, self.now())
            )
            if isinstance(changed, str):
                self.caps.decline(limit)
                return self._not_activated(limit, "promised", f"what is promised cannot be moved: {changed}")
            for booking in changed:
                bookings.replace(booking)
            self.caps.add(limit)
            await self.sessions.steer(limit.station_id)
        await incoming.agree(Done(reference=limit.activation_id))
        return Inform(Done(reference=limit.activation_id))

    def _not_activated(self, limit: CapacityLimit, code: str, why: str) -> Refuse:
        self.notice(f"{limit.activation_id} for {limit.station_id} is refused: {why}")
        return refusal(code, why)

    @answers(LimitSettlement)
    async def on_limit_settlement(
        self, settlement: LimitSettlement, incoming: Incoming
    ) -> AcceptProposal | RejectProposal:
        """5.x.2: accepted where contract, limit and the chargers' meters say the same."""
        contract = self.bidding.contracts.get(settlement.contract_id)
        if contract is not None and contract.dso != incoming.sender:
            contract = None
        activated = self.caps.of_day(settlement.contract_id, settlement.start, settlement.end)
        declined = self.caps.declined_on(settlement.contract_id, settlement.start, settlement.end)
        own, minutes = None, MINUTES
        if contract is not None and activated is not None:
            own, minutes = await self._own_kw(activated, settlement.excess_kwh)
        fault = settlement_fault(
            settlement, contract, activated, own, self.swarm.zone, minutes=minutes, declined=declined
        )
        answer = LimitSettlementAnswer(settlement_id=settlement.settlement_id, reason=fault)
        if fault is None:
            return AcceptProposal(answer)
        self.notice(f"the settlement {settlement.settlement_id} is disputed: {fault}")
        return RejectProposal(answer)

    async def _own_kw(self, activated: CapacityLimit, claimed_kwh: float) -> tuple[Sequence[float] | None, int]:
        """What the station drew while the limit held, by its chargers' meters, and the minutes of each mean; None where
        a charger was silent. Where the quarters of an hour do not have what is claimed, the minutes are read."""
        chargers = self.stations[activated.station_id].charger_ids
        if not self.log.complete(chargers, activated.start, activated.end):
            return None, MINUTES
        own = self.log.mean_kw(chargers, activated.start, activated.end)
        if claimed_kwh <= excess_kwh(activated.limit_kw, own, MINUTES) + EXCESS_KWH:
            return own, MINUTES
        found = await self.meters.read(chargers, activated.start, activated.end, 1)
        if set(found) != set(chargers):
            return own, MINUTES
        return [sum(kw) for kw in zip(*found.values(), strict=True)], 1

    # ---- BUC 5.2: sessions -----------------------------------------------------------------------------------------

    @answers(ChargingRequest)
    async def on_charging_request(self, request: ChargingRequest, incoming: Incoming) -> Propose | Refuse:
        """5.2.2, answered by choices (5.2.3)."""
        silent = self.sessions.control.silent
        return self.choices.offer(request, incoming.message.conversation_id, self.now(), silent)

    @answers(ChargingSelection, on=Performative.ACCEPT_PROPOSAL)
    async def on_selection(self, selection: ChargingSelection, incoming: Incoming) -> Inform | Failure:
        """5.2.4: the charger is the driver's; the answer is the receipt when the session is over (5.x.3)."""
        conversation = incoming.message.conversation_id
        booking = self.choices.pick(selection, conversation, self.now(), self.sessions.deaf)
        if isinstance(booking, Failure):
            return booking
        session = self.sessions.add(booking, selection.request_id, conversation)
        await self.sessions.steer(booking.station_id)  # sessions under way may have been planned anew
        await session.over.wait()
        assert session.outcome is not None  # it is set before
        return session.outcome

    @answers(Reason, on=Performative.REJECT_PROPOSAL)
    async def on_rejection(self, reason: Reason, incoming: Incoming) -> None:
        """Another operator was chosen, or a curve was not."""
        self.choices.drop(incoming.message.conversation_id)
        self.bidding.drop(incoming.message.conversation_id)

    @cancels(ChargingRequest)
    async def on_cancel(self, request: ChargingRequest, incoming: Incoming) -> Inform | Failure:
        """The driver does not come, or leaves before the end. Before the car is plugged in nothing is due; afterwards
        the cancel fails: the session ends at once, and its receipt comes."""
        conversation = incoming.message.conversation_id
        self.choices.drop(conversation)
        if self.sessions.is_ending(conversation):
            return failure("over", "the session is over, and its receipt on its way")
        session = self.sessions.of(conversation)
        if session is None:
            return Inform(Done(reference=request.request_id))
        if session.began is None:
            self.sessions.release(session, failure("cancelled", "the driver has called it off"))
            return Inform(Done(reference=request.request_id))
        await self.sessions.stop(session)
        return failure("begun", "the session had begun: it has ended now, and what was drawn is billed")
