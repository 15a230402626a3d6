"""A lot's portfolio for frequency containment: what it knows of it, and which vehicles bear it (D5.1 3.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from agents.decisions.fcr_portfolio import Earnings, Unit
from agents.decisions.fcr_products import RULES, FcrRules, agreed
from agents.decisions.vehicle_offer import Parked
from agents.fcr_log import FcrLog
from agents.fcr_ports import FrequencyMeter, TestBench
from agents.frequency_control import FrequencyControl
from agents.frequency_terms import ANSWER_TIME, SERVICE, FcrTerms, Sold
from agents.frequency_test import FrequencyTest
from agents.parking import Parking
from behaviours.outcomes import Agreed, has_stopped
from behaviours.swarm import Swarm
from protocols.exchanges.frequency_services import ParticipationEnd
from protocols.roles import Role


class FrequencyPortfolio(Parking):
    """What the application, the hours that are sold and the owners' part share; see `agents.frequency_service`."""

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        fcr: FcrTerms | None = None,
        meters: Sequence[FrequencyMeter] = (),
        bench: TestBench | None = None,
        log: FcrLog | None = None,
        tso: str | None = None,
        act_every_s: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(jid, password, swarm, **options)
        self.fcr = fcr
        self.meters = tuple(meters)
        self.bench = bench
        self.log = log
        self.tso = tso
        self.act_every_s = act_every_s
        self.approved_kw: float | None = None
        self.sold: dict[datetime, Sold] = {}
        self.earnings = Earnings()
        self.left_out: dict[str, str] = {}
        self.portfolio_id = ""
        self.frequency_control: FrequencyControl | None = None
        self.test: FrequencyTest | None = None
        self._application: Agreed | None = None
        self._under_way: Sold | None = None
        self._withdrawn = False
        self._served: set[str] = set()
        self._watchers: dict[str, str] = {}
        self._told_at: datetime | None = None
        self._telling = False
        self._following: list[asyncio.Task[None]] = []
        self._paid: dict[str, tuple[float, Decimal]] = {}
        self._borne_since: datetime | None = None
        self._product_rules: FcrRules | None = None
        if fcr is not None:
            if not self.meters or bench is None:
                raise ValueError(f"{self.name} takes part in frequency control: it needs frequency meters and a bench")
            if SERVICE not in self.services:
                self.services = (*self.services, SERVICE)
            self.portfolio_id = f"{self.name}-{fcr.product}"
            self._product_rules = agreed(RULES[fcr.product], nem_disable_minutes=fcr.nem_disable_minutes)

    def _soon(self, work: Any) -> None:
        self.spawn(work, "frequency containment")

    @property
    def _terms(self) -> FcrTerms:
        assert self.fcr is not None
        return self.fcr

    @property
    def _rules(self) -> FcrRules:
        assert self._product_rules is not None
        return self._product_rules

    @property
    def _control(self) -> FrequencyControl:
        assert self.frequency_control is not None
        return self.frequency_control

    async def _find_tso(self) -> str | None:
        if self.tso is None:
            found = await self.search(role=Role.TSO)
            self.tso = found[0].jid if found else None
        return self.tso

    async def _cancel_fcr(self, agreed: Agreed, end: ParticipationEnd) -> None:
        outcome = await agreed.cancel(end, self.now() + ANSWER_TIME)
        if not has_stopped(outcome):
            self.notice(f"the end of {end.reference} is not confirmed: {outcome}")

    def _fcr_vehicles(self, now: datetime) -> list[Parked]:
        """The vehicles that no other service has and that were not left out."""
        return [
            vehicle
            for vehicle in self.vehicles(now)
            if vehicle.id not in self.left_out and self.claimed.get(vehicle.id, self.portfolio_id) == self.portfolio_id
        ]

    async def _bear(self, units: Sequence[Unit], capacity_kw: float) -> None:
        """These units bear the service from now on."""
        ids = [unit.charger_id for unit in units]
        before = set(self._control.units)
        if not self.claim(ids, self.portfolio_id):
            units = [unit for unit in units if self.claim([unit.charger_id], self.portfolio_id)]
            capacity_kw = min(capacity_kw, sum(unit.capacity_kw for unit in units))
        self._note_borne()
        self._served.update(ids)
        if not units:
            await self._control.end()
        elif self._control.on:
            await self._control.change(units, capacity_kw)
        else:
            await self._control.begin(units, capacity_kw, self._terms.energy_kwh)
        await self._give_up(before.difference(ids))
        if before != set(ids):
            self._tell_owners_soon()

    async def _end_service(self) -> None:
        """The vehicles go back to their plans."""
        self._note_borne()
        self._under_way = None
        if self._control.on:
            ids = list(self._control.units)
            await self._control.end()
            await self._give_up(ids)
            self._tell_owners_soon()
        else:
            await self._give_up([c for c, by in self.claimed.items() if by == self.portfolio_id])

    async def _give_up(self, charger_ids: Iterable[str]) -> None:
        ids = sorted(charger_ids)
        for charger_id in ids:
            self.release_claim(charger_id, self.portfolio_id)
            self.desk.setpoints.pop(charger_id, None)
        if ids:
            await self.desk.read(ids)
            self.replan(ids)
            await self.steer(ids)
            await asyncio.gather(*(self.desk.release(c) for c in ids if c not in self.plans))

    def _note_borne(self) -> None:
        """Counts who bore how much since it was last counted."""
        now = self.now()
        since, self._borne_since = self._borne_since, now
        if since is None or self._under_way is None or self.frequency_control is None:
            return
        seconds = (now - since).total_seconds()
        borne = self._under_way.borne_kws
        for charger_id, unit in self._control.units.items():
            borne[charger_id] = borne.get(charger_id, 0.0) + unit.capacity_kw * seconds

    def _tell_owners_soon(self) -> None:
        """After what happens at this moment; at most one news for each moment."""
        if self.fcr is not None and not self._telling:
            self._telling = True
            self._soon(self._tell_owners())

    async def _tell_owners(self) -> None:
        """What owners hear is `agents.frequency_owners`' part."""
