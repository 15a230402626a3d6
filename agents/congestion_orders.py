"""The services that a DSO has ordered against congestions, and their settlement by the chargers' meters (3.x.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.decisions.congestion_award import price_of
from agents.decisions.congestion_volume import Volume, VolumeTerms, settle_volume
from agents.decisions.selection import Memory, Trust
from agents.ledger import Ledger, LedgerError
from agents.periods import MINUTES, QUARTER, quarters
from agents.quarter_cycle import ANSWER_TIME
from behaviours.initiating import Tender
from behaviours.outcomes import Accepted, Rejected
from protocols.exchanges.congestion_services import CongestionCall, CongestionSettlement, SolutionOffer

READ_AFTER = timedelta(minutes=1)
"""So long after a service the meters are read."""
READINGS = 5
"""So often, a quarter of an hour apart, before a service is given up as one that no meter shows."""


@dataclass(slots=True, eq=False)
class CongestionOrder:
    """One manager's part in what was called for: `power_kw` less, of it `by_bus`, from `start` to `ends` (UTC).

    `ends` is `end`, or when the service is called off or has failed; `stopped_at` when its manager was told so, or
    said so; a service that `failed` is settled to its end all the same. `calling`: the task that calls it off at
    `ends`, and may still be stopped. `baseline`: kW by period, by which it is settled: the offer's, no more than what
    was told and metered before. It is that of all its manager's chargers at the call's buses, as schedules (3.x.5) are:
    what an offer did not name cannot draw meanwhile what the others leave out.

    A limit: vehicles in frequency control are in it at their operating points, so that what the frequency (in a test
    the TSO's signal) has them draw beside those in a quarter counts for or against the manager. No content tells a DSO
    which chargers those are, and without them what is settled could not be held against schedules, which are by bus. A
    manager whose meters have shown less than its schedule for that reason is not believed for as long.
    """

    call: CongestionCall
    offer: SolutionOffer
    manager: str
    power_kw: float
    baseline: tuple[float, ...]
    by_bus: Mapping[str, float]
    awarded_at: datetime
    ends: datetime
    tender: Tender = field(repr=False)
    stopped_at: datetime | None = None
    failed: bool = False
    calling: asyncio.Task[Any] | None = field(default=None, repr=False)

    @property
    def request_id(self) -> str:
        return self.call.request_id

    @property
    def start(self) -> datetime:
        return self.call.start

    @property
    def end(self) -> datetime:
        return self.call.end

    @property
    def price(self) -> float:
        """EUR/kWh that is paid if all of it comes."""
        return price_of(self.offer, self.power_kw, self.call)

    def baseline_kw(self, at: datetime) -> float:
        """The baseline in the period of that time; the service lasts then."""
        return self.baseline[(at - self.start) // QUARTER]


class OrderedServices:
    """`services`: all that were ordered, oldest first; `trust`: what is known of the managers' promises.

    `penalty_part`, `tolerance`: see VolumeTerms; `memory`: how deliveries are remembered.
    """

    def __init__(
        self,
        agent: Actor,
        ledger: Ledger,
        meters: ChargerMeters,
        *,
        penalty_part: Decimal,
        tolerance: Decimal,
        memory: Memory,
    ) -> None:
        self.services: list[CongestionOrder] = []
        self.trust: dict[str, Trust] = {}
        self._agent = agent
        self._ledger = ledger
        self._meters = meters
        self._penalty_part, self._tolerance = penalty_part, tolerance
        self._memory = memory

    def of(self, manager: str) -> Trust:
        """What is known of the manager's promises."""
        return self.trust.get(manager, Trust())

    def under_way(self, at: datetime) -> list[CongestionOrder]:
        """The services that are not over at that time, those still to come included, and those that ended within the
        last quarter of an hour: the meters' last reading may reach back into them."""
        return [service for service in self.services if service.end > at - QUARTER]

    def learn(self, manager: str, promised_kwh: float, kept_kwh: float) -> None:
        """Remembers what came of a promise; that the manager is not called for a while is told."""
        before = self.of(manager)
        after = self._memory.after(before, promised_kwh, kept_kwh, self._agent.now())
        if after.paused_until is not None and after != before:
            until = f"{after.paused_until:%H:%M} UTC"
            self._agent.notice(f"{manager} keeps too little of its promises: it is not called until {until}")
        self.trust[manager] = after

    async def settle(self, service: CongestionOrder, chargers: Collection[str]) -> None:
        """3.x.3 to the manager, when the meters have been read; then pays by it, or by one's own figures where the
        manager does not agree. `chargers`: the manager's at the call's buses."""
        until = service.end if service.failed else service.ends
        if until <= service.start:
            return
        periods = quarters(service.start, until)
        end = service.start + periods * QUARTER
        metered = await self._read(service, chargers, end)
        if metered is None:
            self._agent.notice(f"{service.request_id} of {service.manager} cannot be settled: its meters do not answer")
            return
        terms = VolumeTerms(
            service.call.reduction_price_eur_per_kwh,
            service.call.discharging_price_eur_per_kwh,
            self._penalty_part,
            self._tolerance,
        )
        baseline = service.baseline[:periods]
        free = (periods - 1,) if until < end else ()
        total = tuple(round(sum(kw), 3) for kw in zip(*metered.values(), strict=True))
        back = [sum(max(0.0, -each) for each in kw) for kw in zip(*metered.values(), strict=True)]
        volume = settle_volume(baseline, total, service.power_kw, terms, given_back_kw=back, free=free)
        promised_kwh = float(volume.delivered_kwh + volume.missing_kwh)
        self.learn(service.manager, promised_kwh, float(volume.delivered_kwh))
        await self._agree(service, end, total, volume)

    async def _read(
        self, service: CongestionOrder, chargers: Collection[str], end: datetime
    ) -> dict[str, tuple[float, ...]] | None:
        for attempt in range(READINGS):
            await self._agent.clock.sleep_until(end + READ_AFTER + attempt * QUARTER)
            found = await self._meters.read(chargers, service.start, end, MINUTES)
            if found.keys() >= set(chargers) and chargers:
                return found
        return None

    async def _agree(self, service: CongestionOrder, end: datetime, metered: tuple[float, ...], volume: Volume) -> None:
        name = service.manager.partition("@")[0]
        settlement = CongestionSettlement(
            settlement_id=f"{service.request_id}-{name}",
            request_id=service.request_id,
            start=service.start,
            end=end,
            baseline_kw=service.baseline[: len(metered)],
            metered_kw=metered,
            promised_kw=service.power_kw,
            reduced_kwh=float(volume.reduced_kwh),
            discharged_kwh=float(volume.discharged_kwh),
            missing_kwh=float(volume.missing_kwh),
            remuneration_eur=volume.remuneration_eur,
            penalty_eur=volume.penalty_eur,
        )
        now = self._agent.now()
        answer = await self._agent.propose(settlement, to=service.manager, reply_by=now + ANSWER_TIME)
        if not isinstance(answer, Accepted):
            why = answer.reason if isinstance(answer, Rejected) else str(answer)
            self._agent.notice(
                f"{service.manager} does not agree to {settlement.settlement_id} ({why}): "
                f"{volume.amount_eur} EUR by the meters are booked"
            )
        try:
            self._ledger.transfer(
                settlement.settlement_id,
                self._agent.now(),
                settlement.settlement_id,
                payer=self._agent.name,
                payee=name,
                amount_eur=volume.amount_eur,
            )
        except LedgerError as error:
            self._agent.notice(f"{settlement.settlement_id} is not booked: {error}")
