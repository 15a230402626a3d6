"""The charging point operator: reads and drives the chargers, asks the drivers, and keeps what it agreed to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

import numpy as np

from agents.actor import Actor
from agents.charging import ChargingDesk
from agents.decisions.planning import Costs
from agents.ledger import Ledger
from agents.periods import QUARTER, index_of, next_quarter, quarter_at, quarters
from agents.ports import Charger
from behaviours.answering import Failure, Incoming, Inform, Refuse, answers, cancels, failure, refusal
from behaviours.outcomes import Accepted, Informed
from behaviours.swarm import Swarm
from protocols.exchanges.activation import (
    ActivationSignal,
    DataMeasurements,
    DataRequest,
    ParticipationInformation,
    SessionAnnouncement,
)
from protocols.exchanges.dso_services import CpoActivation, CpoActivationResponse, ParticipationRequest
from protocols.exchanges.plain import ActivationAnswer, Done
from protocols.exchanges.services import MeterQuery, MeterReading
from protocols.roles import Role

OWNER_TIME = timedelta(minutes=2)
"""How long a driver may think."""
ASKING_ROUNDS = 2
"""After the first round, those who declined are replaced once."""
SMALLEST_PART_KW = 0.1
"""A vehicle that would change by less is not asked."""
REVERSION = timedelta(minutes=20)
"""An order to a charger ends by itself after this time: longer than the quarter until the next one."""


@dataclass(slots=True)
class Activation:
    """A service under way: the ceiling of the fleet's power, and the drivers who take part."""

    order: ActivationSignal | CpoActivation
    benefit_eur_per_kw: Decimal
    ceiling_kw: dict[datetime, float] = field(default_factory=dict)
    benefits: dict[str, Decimal] = field(default_factory=dict)
    declined: set[str] = field(default_factory=set)
    agreed: bool = False


class Cpo(Actor):
    """D5.1 section 3.1.2: the CPO "operates the charging stations on the premises of both the office building and the
    households"; it answers with the data of the chargers (1.2.2), takes the activation signal (1.2.3, 6.2.2), informs
    the EV owners about participating (1.2.5, 6.2.3) and tells the VPP of their decision (6.2.4)."""

    role: ClassVar[Role] = Role.CPO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        vpp: str,
        chargers: Sequence[Charger],
        buses: Sequence[str],
        efficiency: Sequence[tuple[float, float]],
        ratings_kw: Sequence[tuple[float, float]],
        pv_bus: str | None,
        ledger: Ledger,
        costs: Costs,
        owner_benefit_eur_per_kw: Decimal,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.services = (f"flexibility:{vpp}",)
        self.desk = ChargingDesk(chargers, buses, efficiency, ratings_kw, costs, self.notice)
        self.pv_bus = pv_bus
        self.ledger = ledger
        self.owner_benefit_eur_per_kw = owner_benefit_eur_per_kw
        self.activations: dict[str, Activation] = {}

    async def course(self) -> None:
        """At each quarter of an hour: where a service runs or vehicles catch up, steer the chargers anew."""
        while True:
            await self.clock.sleep_until(next_quarter(self.now()))
            await self._steer()

    @answers(SessionAnnouncement)
    async def on_session_announcement(self, session: SessionAnnouncement, incoming: Incoming) -> Inform | Refuse:
        """1.x.8: when the car will leave, and with which charge. A car that comes while a service runs is asked."""
        if session.charger_id not in self.desk.chargers:
            return refusal("unknown-charger", f"{session.charger_id} is not a charger of mine")
        self.desk.note(session, incoming.sender)
        if session.plugged_in and self._running():
            self.spawn(self._ask_newcomer(session.charger_id))
        return Inform(Done(reference=session.vehicle_id))

    @answers(DataRequest)
    async def on_data_request(self, request: DataRequest, incoming: Incoming) -> Inform:
        """1.2.1: production, and for each charger connection, state of charge, P, U and f (1.2.2)."""
        await self.desk.read()
        start, planned = self.desk.planned(self.now(), self._ceilings())
        return Inform(
            DataMeasurements(
                request_id=request.request_id,
                timestamp=self.now(),
                production_kw=await self._production_kw(),
                power_kw=self.desk.power_kw,
                chargers=self.desk.statuses(),
                plan_start=start,
                planned_kw=tuple(round(float(kw), 3) for kw in planned),
            )
        )

    async def _production_kw(self) -> float:
        """The PV at the CPO's own site, mean of the last minute; 0 where it has none or the meter does not answer."""
        if self.pv_bus is None:
            return 0.0
        minute = self.now().replace(second=0, microsecond=0)
        query = MeterQuery(
            locations=(f"pv:{self.pv_bus}",), start=minute - timedelta(minutes=1), end=minute, period_minutes=1
        )
        for meter in await self.search(role=Role.ENVIRONMENT):
            answer = await self.query_ref(query, to=meter.jid, reply_by=self.now() + OWNER_TIME)
            if isinstance(answer, Informed) and isinstance(answer.content, MeterReading):
                return max(0.0, -answer.content.series[0].power_kw[-1])
        return 0.0

    @answers(ActivationSignal)
    async def on_activation_signal(self, order: ActivationSignal, incoming: Incoming) -> Inform | Refuse | Failure:
        """1.2.3: the VPP activates what it was awarded on the market."""
        available = await self._procure(order)
        answer = ActivationAnswer(
            activation_id=order.activation_id, available_power_kw=available, reason=self._shortage(order, available)
        )
        if available <= 0:
            return Refuse(answer)
        await incoming.agree(answer)
        return await self._serve(order, incoming)

    @answers(CpoActivation)
    async def on_cpo_activation(self, order: CpoActivation, incoming: Incoming) -> Inform | Refuse | Failure:
        """6.2.2: the VPP activates what the DSO ordered; the answer 6.2.4 carries the drivers' decision."""
        available = await self._procure(order)
        answer = CpoActivationResponse(
            activation_id=order.activation_id,
            accepted=available > 0,
            available_power_kw=available,
            reason=self._shortage(order, available),
        )
        if available <= 0:
            return Refuse(answer)
        await incoming.agree(answer)
        return await self._serve(order, incoming)

    @cancels(ActivationSignal)
    async def on_cancel_activation_signal(self, order: ActivationSignal, incoming: Incoming) -> Inform:
        """The VPP calls the service off: the chargers go back to their plan."""
        return await self._call_off(order.activation_id)

    @cancels(CpoActivation)
    async def on_cancel_cpo_activation(self, order: CpoActivation, incoming: Incoming) -> Inform:
        """The VPP calls the service off: the chargers go back to their plan."""
        return await self._call_off(order.activation_id)

    async def _call_off(self, activation_id: str) -> Inform:
        self.activations.pop(activation_id, None)
        await self._steer()
        return Inform(Done(reference=activation_id))

    @staticmethod
    def _shortage(order: ActivationSignal | CpoActivation, available: float) -> str | None:
        if available >= order.power_kw - SMALLEST_PART_KW:
            return None
        return f"the drivers who take part make {available:.1f} of {order.power_kw:.1f} kW available"

    async def _procure(self, order: ActivationSignal | CpoActivation) -> float:
        """Asks the drivers whose vehicles the plan would use, and returns the power in kW that those who accepted keep.

        Drivers who decline are replaced by others in a second round; nobody is asked twice for one activation.
        """
        if order.start < self.now():
            return 0.0
        self.desk.discharge_limits = {limit.location: limit.max_discharge_kw for limit in order.discharge_limits}
        await self.desk.read()
        start, planned = self.desk.planned(self.now(), self._ceilings())
        window = range(index_of(order.start, start), index_of(order.start, start) + quarters(order.start, order.end))
        if window.stop > len(planned):
            return 0.0
        activation = Activation(order, self.owner_benefit_eur_per_kw)
        for k, t in enumerate(window):
            ceiling = order.ceiling_kw[k] if order.ceiling_kw else float(planned[t]) - order.power_kw
            activation.ceiling_kw[start + t * QUARTER] = ceiling
        self.activations[order.activation_id] = activation
        for _ in range(ASKING_ROUNDS):
            proposed = self.desk.contributions(self.now(), self._ceilings(), window, self._fixed(activation))
            asked = {
                charger: kw
                for charger, kw in proposed.items()
                if kw >= SMALLEST_PART_KW and charger not in activation.benefits and charger not in activation.declined
            }
            if not asked:
                break
            # what a vehicle held back from earlier services adds is not sold a second time
            share = min(1.0, order.power_kw / sum(proposed.values()))
            await asyncio.gather(*(self._ask(activation, charger, kw * share) for charger, kw in asked.items()))
        excess = self.desk.excess(self.now(), self._ceilings(), window, self._fixed(activation, all_unasked=True))
        available = math.floor(max(0.0, order.power_kw - excess) * 10 + 1e-6) / 10
        if available <= 0:
            del self.activations[order.activation_id]
            return 0.0
        if available < order.power_kw:
            for at in activation.ceiling_kw:
                activation.ceiling_kw[at] += order.power_kw - available
        activation.agreed = True
        return available

    def _fixed(self, activation: Activation, *, all_unasked: bool = False) -> frozenset[str]:
        """The chargers whose vehicles keep to their plan: drivers who declined, or who were not asked."""
        if all_unasked:
            joined = {c for a in self.activations.values() for c in a.benefits}
            return frozenset(self.desk.chargers) - joined
        return frozenset(activation.declined)

    async def _ask(self, activation: Activation, charger_id: str, power_kw: float) -> None:
        """1.2.5 or 6.2.3 to one driver."""
        owner = self.desk.owner_of(charger_id)
        if owner is None:
            activation.declined.add(charger_id)
            return
        order = activation.order
        periods = quarters(max(order.start, quarter_at(self.now())), order.end)
        benefit = (activation.benefit_eur_per_kw * Decimal(str(round(power_kw, 3))) * periods).quantize(Decimal("0.01"))
        kind = ParticipationInformation if isinstance(order, ActivationSignal) else ParticipationRequest
        proposal = kind(
            activation_id=order.activation_id,
            service=order.service,
            start=max(order.start, self.now()),
            end=order.end,
            power_kw=round(power_kw, 3),
            benefit_eur=benefit,
        )
        answer = await self.propose(proposal, to=owner, reply_by=self.now() + OWNER_TIME)
        if isinstance(answer, Accepted):
            activation.benefits[charger_id] = benefit
        else:
            activation.declined.add(charger_id)

    async def _ask_newcomer(self, charger_id: str) -> None:
        """A car that comes while a service runs would charge at once and break the ceiling: its driver is asked."""
        await self.desk.read((charger_id,))
        for activation in self._running():
            if charger_id in activation.benefits or charger_id in activation.declined:
                continue
            start = quarter_at(self.now())
            window = range(quarters(start, activation.order.end))
            part = self.desk.contributions(
                self.now(), self._ceilings(), window, frozenset(self.desk.chargers) - {charger_id} - self._joined()
            )
            if part.get(charger_id, 0.0) >= SMALLEST_PART_KW:
                await self._ask(activation, charger_id, part[charger_id])
                await self._steer()

    def _running(self) -> list[Activation]:
        now = self.now()
        return [a for a in self.activations.values() if a.agreed and a.order.start <= now < a.order.end]

    def _joined(self) -> frozenset[str]:
        return frozenset(c for a in self.activations.values() for c in a.benefits)

    def _ceilings(self) -> dict[datetime, float]:
        """The lowest ceiling of the fleet's power that an activation sets for each quarter, in kW."""
        lowest: dict[datetime, float] = {}
        for activation in self.activations.values():
            for at, kw in activation.ceiling_kw.items():
                lowest[at] = min(kw, lowest.get(at, np.inf))
        return lowest

    async def _steer(self) -> None:
        """Reads the chargers, plans for those who take part, and writes their setpoints."""
        started = {c for a in self.activations.values() if a.agreed and a.order.start <= self.now() for c in a.benefits}
        self.desk.under_control |= started
        if not self.desk.under_control:
            return
        await self.desk.read()
        await self.desk.steer(self.now(), self._ceilings(), REVERSION)

    async def _serve(self, order: ActivationSignal | CpoActivation, incoming: Incoming) -> Inform | Failure:
        """Holds the service from start to end; the quarters of `course` and the newcomers do the steering."""
        await self.clock.sleep_until(order.end)
        activation = self.activations.get(order.activation_id)
        if activation is None:
            return failure("cancelled", "the service was called off")
        self.spawn(self._share(activation))
        return Inform(Done(reference=order.activation_id))

    async def _share(self, activation: Activation) -> None:
        """Pays the drivers what was promised, as far as the VPP's payment for this activation goes."""
        await self.clock.sleep_until(activation.order.end + timedelta(minutes=45))
        reference = activation.order.activation_id
        received = sum(
            (line.amount_eur for line in self.ledger.statement(self.name) if line.reference == reference), Decimal(0)
        )
        promised = sum(activation.benefits.values(), Decimal(0))
        if received <= 0 or promised <= 0:
            return
        share = min(Decimal(1), received / promised)
        entries: dict[str, Decimal] = {}
        for charger_id, benefit in sorted(activation.benefits.items()):
            owner = self.desk.owner_of(charger_id)
            cents = (benefit * share).quantize(Decimal("0.01"), rounding="ROUND_DOWN")
            if owner is not None and cents > 0:
                account = owner.partition("@")[0]
                entries[account] = entries.get(account, Decimal(0)) + cents
        if entries:
            entries[self.name] = -sum(entries.values(), Decimal(0))
            self.ledger.post(f"{reference}/owners/{self.name}", self.now(), reference, entries)
