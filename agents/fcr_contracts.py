"""Capacity that a TSO has bought (7.x.2): who owes what until when, and its settlement from the report (7.x.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Protocol

import numpy as np

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.decisions.fcr_products import FcrRules
from agents.decisions.fcr_settlement import FcrPrices, FcrSettled, Owed, nothing_owed, report_fault, settle_fcr
from agents.decisions.fleet import Floats
from agents.ledger import Ledger
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Informed
from protocols.exchanges.frequency_services import CapacityOffer, CapacitySettlement, DeliveryQuery, DeliveryReport

METERED_AFTER = timedelta(minutes=1)
"""So long after the end the last minute's mean and the last second's record are there."""
ASK_AGAIN = timedelta(minutes=5)
"""A manager that does not report is asked a second time after this."""
MINUTE = timedelta(minutes=1)


class FrequencyRecord(Protocol):
    """The operator's own record of the grid's frequency."""

    def series(self, start: datetime, seconds: int) -> Floats:
        """Hz in each second from `start` on, which is past."""
        ...


@dataclass(slots=True)
class Contract:
    """Capacity that was bought, by the `rules` that the portfolio was approved by. `owed` follows the manager's
    changes (7.3); `until` is when it ends by now."""

    manager: str
    rules: FcrRules
    offer: CapacityOffer
    chargers: tuple[str, ...]
    price_eur_per_kw: Decimal
    until: datetime
    owed: list[Owed] = field(default_factory=list)
    settled: FcrSettled | None = None

    def bought_kw(self, start: datetime, end: datetime) -> float:
        """The most that is owed at any time from `start` to `end`."""
        return max((o.capacity_kw for o in self.owed if o.start < end and start < o.end), default=0.0)

    def reduce(self, at: datetime, capacity_kw: float) -> None:
        """From `at` on no more than `capacity_kw` is owed; nothing where that is 0."""
        changed: list[Owed] = []
        for part in self.owed:
            if part.start < at:
                changed.append(Owed(part.start, min(part.end, at), part.capacity_kw))
            if part.end > at and (kw := min(part.capacity_kw, capacity_kw)) > 0:
                changed.append(Owed(max(part.start, at), part.end, kw))
        self.owed = changed


@dataclass(frozen=True, slots=True)
class FcrTariff:
    """The TSO's terms besides the price of capacity; see agents/decisions/fcr_settlement.py."""

    up_regulation_eur_per_kwh: Decimal
    down_regulation_eur_per_kwh: Decimal
    penalty_factor: Decimal


class SettlementDesk:
    """Asks for reports, holds them against the TSO's own record of the frequency and the chargers' meters, and books
    what is due in the name of the TSO; `zone` is that of the times in its notices."""

    def __init__(self, agent: Actor, record: FrequencyRecord, tariff: FcrTariff, ledger: Ledger, zone: tzinfo) -> None:
        self._agent = agent
        self._record = record
        self._tariff = tariff
        self._ledger = ledger
        self._zone = zone
        self._meters = ChargerMeters(agent)

    async def settle(self, contract: Contract) -> CapacitySettlement:
        """What the contract is worth, booked under its offer's id. Raises LedgerError where it cannot be booked."""
        offer, start, end = contract.offer, contract.offer.start, contract.until
        seconds = math.floor((end - start).total_seconds())
        settled = nothing_owed()
        if seconds > 0:
            end = start + timedelta(seconds=seconds)
            report = await self._report(contract, start, end)
            settled = settle_fcr(
                contract.rules,
                contract.owed,
                start,
                end,
                np.asarray(self._record.series(start, seconds), dtype=float),
                report,
                await self._metered_kw(contract.chargers, start, start + (end - start) // MINUTE * MINUTE),
                FcrPrices(
                    contract.price_eur_per_kw,
                    self._tariff.up_regulation_eur_per_kwh,
                    self._tariff.down_regulation_eur_per_kwh,
                    self._tariff.penalty_factor,
                ),
            )
        contract.settled = settled
        if settled.verdict.doubt is not None:
            self._agent.notice(f"the report on {offer.offer_id} is not believed: {settled.verdict.doubt}")
        early = end < offer.end
        reference = f"{offer.offer_id}: {settled.amount_eur} EUR until {end.isoformat()}" if early else offer.offer_id
        self._ledger.transfer(
            offer.offer_id,
            self._agent.now(),
            reference,
            payer=self._agent.name,
            payee=contract.manager.partition("@")[0],
            amount_eur=settled.amount_eur,
        )
        if early:
            self._agent.notice(f"{offer.offer_id} ended at {self.clock_time(end)}: {settled.amount_eur} EUR are booked")
        return CapacitySettlement(
            offer_id=offer.offer_id,
            capacity_eur=settled.capacity_eur,
            availability_percent=round(float(settled.verdict.availability) * 100, 3),
            energy_kwh=float(settled.energy_kwh),
            energy_eur=settled.energy_eur,
            penalty_eur=settled.penalty_eur,
            amount_eur=settled.amount_eur,
        )

    async def _report(self, contract: Contract, start: datetime, end: datetime) -> DeliveryReport | str:
        """7.x.3, asked for twice where nothing comes; else in words why there is none."""
        query = DeliveryQuery(offer_id=contract.offer.offer_id, start=start, end=end)
        for wait in (ASK_AGAIN, None):
            answer = await self._agent.query_ref(query, to=contract.manager, reply_by=self._agent.now() + ANSWER_TIME)
            if isinstance(answer, Informed) and isinstance(report := answer.content, DeliveryReport):
                if report.offer_id != query.offer_id:
                    return f"the report is about {report.offer_id}"
                return report_fault(report, start, end) or report
            if wait is not None:
                await self._agent.clock.sleep_until(self._agent.now() + wait)
        return f"there is no report: {answer}"

    def clock_time(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%d.%m. %H:%M:%S}"

    async def _metered_kw(self, chargers: tuple[str, ...], start: datetime, end: datetime) -> list[float] | None:
        """What all these chargers drew together, means of each minute; None where one of them is not known."""
        if end <= start:
            return None
        found = await self._meters.read(chargers, start, end, 1)
        if set(found) != set(chargers):
            return None
        total = np.sum([found[charger] for charger in chargers], axis=0)
        return [round(float(kw), 6) for kw in total]
