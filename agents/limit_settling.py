"""What the DSO owes for a day of each cap it has bought, by the station's meter (5.x.2, D5.1 3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from agents.actor import Actor
from agents.capacity_buyer import AuctionPlan
from agents.charger_meters import ChargerMeters
from agents.decisions.limit_settlement import Measured, above, day_eur, measured, penalty_eur
from agents.ledger import Ledger, LedgerError
from agents.limit_activation import LimitActivation
from agents.periods import MINUTES, QUARTER
from behaviours.outcomes import Accepted, Answered
from protocols.exchanges.capacity_contracts import CapacityLimit, Contract, LimitSettlement
from protocols.market_time import day_start

ANSWER_TIME = timedelta(minutes=5)


class LimitSettling:
    """D5.1 3.5: an aggregator or prosumer offers "to cap their available capacity in exchange for incentives or
    compensation".

    Each day of a contract is worth its part of the price. What the station's meter has above an activated limit costs
    the contract's penalty: no baseline is needed. A day on which the CPO did not agree to a limit that the contract
    allows is worth nothing. Nothing is settled without the meter. A settlement is proposed once and booked when the CPO
    accepts it: `proposed` has each by id, `open` those that are not accepted, with the reason.
    """

    def __init__(
        self,
        agent: Actor,
        plan: AuctionPlan,
        contracts: Mapping[str, Contract],
        activation: LimitActivation,
        meters: ChargerMeters,
        peaks: ChargerMeters,
        ledger: Ledger,
    ) -> None:
        self.proposed: dict[str, LimitSettlement] = {}
        self.open: dict[str, str] = {}
        self._agent = agent
        self._plan = plan
        self._contracts = contracts
        self._activation = activation
        self._meters, self._peaks = meters, peaks
        self._ledger = ledger

    def due(self, day: date) -> list[str]:
        """The contracts that have this day and are not settled for it."""
        if self._activation.day_number(day) is None:
            return []
        return [each for each in sorted(self._contracts) if _named(each, day) not in self.proposed]

    async def settle(self, day: date, contract_id: str) -> bool:
        """5.x.2 for a local day that is over; False where it has to be tried again."""
        number = self._activation.day_number(day)
        settlement_id = _named(contract_id, day)
        if number is None or settlement_id in self.proposed:
            return True
        contract = self._contracts[contract_id]
        ordered = self._activation.ordered.get((contract_id, day))
        limit = ordered.limit if ordered is not None and ordered.agreed else None
        found = None
        if limit is not None:
            found = await self._measured(limit)
            if found is None:
                return False
        unkept = ordered is not None and ordered.rightful and not ordered.agreed
        worth = Decimal("0.00") if unkept else day_eur(contract.price_eur, number, self._plan.period_days)
        penalty = penalty_eur(found.excess_kwh, self._plan.penalty_eur_per_kwh) if found else Decimal("0.00")
        zone = self._agent.swarm.zone
        settlement = LimitSettlement(
            settlement_id=settlement_id,
            contract_id=contract_id,
            start=day_start(day, zone),
            end=day_start(day + timedelta(days=1), zone),
            capacity_eur=worth,
            activation_id=limit.activation_id if limit else None,
            limit_kw=limit.limit_kw if limit else None,
            highest_kw=found.highest_kw if found else None,
            excess_kwh=found.excess_kwh if found else 0.0,
            penalty_eur=penalty,
            amount_eur=worth - penalty,
        )
        self.proposed[settlement_id] = settlement
        await self._agree(settlement, contract.cpo)
        return True

    async def _measured(self, limit: CapacityLimit) -> Measured | None:
        """What the station's meter has of the window, None where it does not answer. The highest second of each
        quarter of an hour is enough where it is within the limit; the others are read minute by minute."""
        station = limit.station_id
        peaks = (await self._peaks.read([station], limit.start, limit.end, MINUTES)).get(station)
        if peaks is None:
            return None
        minutes = {}
        for k in above(limit.limit_kw, peaks):
            start = limit.start + k * QUARTER
            means = (await self._meters.read([station], start, start + QUARTER, 1)).get(station)
            if means is None:
                return None
            minutes[k] = means
        return measured(limit.limit_kw, peaks, minutes)

    async def _agree(self, settlement: LimitSettlement, cpo: str) -> None:
        """Proposes it, and books it where it is accepted: what is not agreed to stays open, and is told."""
        agent = self._agent
        answer = await agent.propose(settlement, to=cpo, reply_by=agent.now() + ANSWER_TIME)
        named = settlement.settlement_id
        if not isinstance(answer, Accepted):
            why = answer.reason if isinstance(answer, Answered) and answer.reason else str(answer)
            self.open[named] = why
            agent.notice(f"{cpo} does not agree to {named} over {settlement.amount_eur} EUR, which stays open: {why}")
            return
        try:
            self._ledger.transfer(
                named,
                agent.now(),
                named,
                payer=agent.name,
                payee=cpo.partition("@")[0],
                amount_eur=settlement.amount_eur,
            )
        except LedgerError as error:
            self.open[named] = str(error)
            agent.notice(f"{named} is not booked: {error}")


def _named(contract_id: str, day: date) -> str:
    return f"s-{contract_id}-{day:%Y-%m-%d}"
