"""The charging point operator: reads and drives the chargers, asks the drivers, and keeps what it agreed to."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from agents.actor import Actor
from agents.charging import ChargingDesk, Commitment
from agents.decisions.planning import Costs
from agents.ledger import Ledger
from agents.periods import QUARTER, index_of, next_quarter, quarter_at, quarters
from agents.ports import Charger, ProductionForecast
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

MINUTE = timedelta(minutes=1)
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
    """A service under way: the ceiling of the chargers' power, and the drivers who take part.

    `joined` and `declined` are chargers, as long as the same car is there; `benefits` is what each driver who accepted
    was promised, by charger and driver.
    """

    order: ActivationSignal | CpoActivation
    benefit_eur_per_kw: Decimal
    ceiling_kw: dict[datetime, float] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)
    declined: set[str] = field(default_factory=set)
    benefits: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    agreed: bool = False
    short_kw: float = 0.0

    def fill(self, power_kw: float) -> None:
        """Lowers the ceiling by `power_kw` more that is there now, no further than was ordered; below 0: raises it by
        what is missing."""
        change = min(power_kw, self.short_kw)
        self.short_kw -= change
        for at in self.ceiling_kw:
            self.ceiling_kw[at] -= change

    def commitment(self, members: Iterable[str] | None = None) -> Commitment:
        """With those who joined, or with other `members`."""
        return Commitment(frozenset(self.joined if members is None else members), self.ceiling_kw)


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
        drivers: Mapping[str, str] | None = None,
        fee: Decimal = Decimal("0.1"),
        production: ProductionForecast | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.services = (f"flexibility:{vpp}",)
        self.vpp = vpp
        self.desk = ChargingDesk(chargers, buses, efficiency, ratings_kw, costs, self.notice)
        self.pv_bus = pv_bus
        self.ledger = ledger
        self.owner_benefit_eur_per_kw = owner_benefit_eur_per_kw
        self.drivers = dict(drivers or {})
        self.fee = fee
        self.production = production
        self.activations: dict[str, Activation] = {}
        self._used: set[str] = set()

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
        if self.drivers.get(session.charger_id, incoming.sender) != incoming.sender:
            return refusal("not-authorised", f"{session.charger_id} is another driver's")
        if self.desk.note(session, incoming.sender):
            for activation in self.activations.values():  # what another driver decided is not this one's word
                activation.joined.discard(session.charger_id)
                activation.declined.discard(session.charger_id)
        if session.plugged_in and self._open():
            self.spawn(self._ask_newcomer(session.charger_id))
        return Inform(Done(reference=session.vehicle_id))

    @answers(DataRequest)
    async def on_data_request(self, request: DataRequest, incoming: Incoming) -> Inform | Refuse:
        """1.2.1: production, and for each charger connection, state of charge, P, U and f (1.2.2)."""
        if fault := self._stranger(incoming.sender):
            return refusal("no-contract", fault)
        await self.desk.read()
        start, planned = self.desk.planned(self.now(), self._commitments())
        return Inform(
            DataMeasurements(
                request_id=request.request_id,
                timestamp=self.now(),
                production_kw=await self._production_kw(),
                power_kw=self.desk.power_kw,
                chargers=self.desk.statuses(),
                plan_start=start,
                planned_kw=tuple(round(float(kw), 3) for kw in planned),
                production_forecast_kw=self._production_forecast(start, len(planned)),
            )
        )

    async def _production_kw(self) -> float:
        """The PV at the CPO's own site, mean of the last minute that is surely counted; 0 where there is none, or no
        answer."""
        if self.pv_bus is None:
            return 0.0
        end = self.now().replace(second=0, microsecond=0) - MINUTE
        query = MeterQuery(locations=(f"pv:{self.pv_bus}",), start=end - MINUTE, end=end, period_minutes=1)
        for meter in await self.search(role=Role.ENVIRONMENT):
            answer = await self.query_ref(query, to=meter.jid, reply_by=self.now() + OWNER_TIME)
            if isinstance(answer, Informed) and isinstance(answer.content, MeterReading):
                return max(0.0, -answer.content.series[0].power_kw[-1])
        return 0.0

    def _production_forecast(self, start: datetime, periods: int) -> tuple[float, ...]:
        """What the site's PV is expected to give, kW >= 0; nothing where it has none."""
        if self.production is None:
            return ()
        return tuple(round(max(0.0, float(kw)), 3) for kw in self.production.production_kw(start, periods))

    @answers(ActivationSignal)
    async def on_activation_signal(self, order: ActivationSignal, incoming: Incoming) -> Inform | Refuse | Failure:
        """1.2.3: the VPP activates what it was awarded on the market."""
        fault = self._fault(order, incoming.sender)
        available = 0.0 if fault else await self._procure(order)
        answer = ActivationAnswer(
            activation_id=order.activation_id,
            available_power_kw=available,
            reason=fault or self._shortage(order, available),
        )
        if available <= 0:
            return Refuse(answer)
        return await self._serve(order, answer, incoming)

    @answers(CpoActivation)
    async def on_cpo_activation(self, order: CpoActivation, incoming: Incoming) -> Inform | Refuse | Failure:
        """6.2.2: the VPP activates what the DSO ordered; the answer 6.2.4 carries the drivers' decision."""
        fault = self._fault(order, incoming.sender)
        available = 0.0 if fault else await self._procure(order)
        answer = CpoActivationResponse(
            activation_id=order.activation_id,
            accepted=available > 0,
            available_power_kw=available,
            reason=fault or self._shortage(order, available),
        )
        if available <= 0:
            return Refuse(answer)
        return await self._serve(order, answer, incoming)

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

    def _stranger(self, vpp: str) -> str | None:
        """Why this VPP has no say here, None for the one with which there is a contract."""
        return None if vpp.partition("@")[0] == self.vpp else f"{self.name} has no contract with {vpp}"

    def _fault(self, order: ActivationSignal | CpoActivation, sender: str) -> str | None:
        """Why an order must not be followed, whatever the drivers say."""
        if fault := self._stranger(sender):
            return fault
        if order.activation_id in self.activations or order.activation_id in self._used:
            return f"{order.activation_id} has been ordered already"
        if order.start < self.now():
            return "the start has passed"
        return None

    @staticmethod
    def _shortage(order: ActivationSignal | CpoActivation, available: float) -> str | None:
        if available >= order.power_kw - SMALLEST_PART_KW:
            return None
        return f"the drivers who take part make {available:.1f} of {order.power_kw:.1f} kW available"

    async def _procure(self, order: ActivationSignal | CpoActivation) -> float:
        """Asks the drivers whose vehicles the plan would use, and returns the power in kW that those who accepted keep.

        Drivers who decline are replaced by others in a second round; nobody is asked twice for one activation.
        """
        self.desk.discharge_limits = {limit.location: limit.max_discharge_kw for limit in order.discharge_limits}
        activation = self.activations[order.activation_id] = Activation(order, self.owner_benefit_eur_per_kw)
        await self.desk.read()
        before = self._commitments(besides=activation)
        start, planned = self.desk.planned(self.now(), before)
        window = range(index_of(order.start, start), index_of(order.start, start) + quarters(order.start, order.end))
        available = 0.0
        if window.stop <= len(planned):
            for k, t in enumerate(window):
                ceiling = order.ceiling_kw[k] if order.ceiling_kw else float(planned[t]) - order.power_kw
                activation.ceiling_kw[start + t * QUARTER] = ceiling
            available = await self._ask_drivers(activation)
        if self.activations.get(order.activation_id) is not activation:  # called off while the drivers were asked
            return 0.0
        if available <= 0:
            del self.activations[order.activation_id]
            return 0.0
        if available < order.power_kw:
            activation.fill(available - order.power_kw)
        activation.agreed = True
        return available

    async def _ask_drivers(self, activation: Activation) -> float:
        """The power in kW, in tenths, that those keep who accept."""
        order = activation.order
        for _ in range(ASKING_ROUNDS):
            candidates = activation.commitment(frozenset(self.desk.chargers) - activation.declined)
            proposed = self.desk.contributions(self.now(), self._commitments(besides=activation), candidates)
            asked = {c: kw for c, kw in proposed.items() if kw >= SMALLEST_PART_KW and c not in activation.joined}
            if not asked:
                break
            # what a vehicle held back from earlier services adds is not sold a second time
            share = min(1.0, order.power_kw / sum(kw for kw in proposed.values() if kw > 0))
            await asyncio.gather(*(self._ask(activation, charger, kw * share) for charger, kw in asked.items()))
        excess = self.desk.excess(self.now(), self._commitments(besides=activation), activation.commitment())
        # a tenth of a watt is the solver's, not the drivers'
        return math.floor(max(0.0, order.power_kw - excess) * 10 + 1e-3) / 10

    def _commitments(self, besides: Activation | None = None) -> list[Commitment]:
        """What was agreed before and is not over, in that order."""
        return [
            a.commitment()
            for a in self.activations.values()
            if a is not besides and a.ceiling_kw and a.order.end > self.now()
        ]

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
            activation.joined.add(charger_id)
            activation.benefits[charger_id, owner] = benefit
        else:
            activation.declined.add(charger_id)

    async def _ask_newcomer(self, charger_id: str) -> None:
        """A car that comes while a service runs would charge at once and break the ceiling: its driver is asked."""
        await self.desk.read((charger_id,))
        for activation in self._open():
            if charger_id in activation.joined | activation.declined:
                continue
            part = self.desk.contributions(
                self.now(),
                self._commitments(besides=activation),
                activation.commitment(activation.joined | {charger_id}),
            )
            if part.get(charger_id, 0.0) >= SMALLEST_PART_KW:
                await self._ask(activation, charger_id, part[charger_id])
                if charger_id in activation.joined:
                    activation.fill(part[charger_id])
        await self._steer()  # also those who take part already make room for it

    def _open(self) -> list[Activation]:
        """What was agreed and is not over; a car may come between the order and its start."""
        return [a for a in self.activations.values() if a.agreed and self.now() < a.order.end]

    async def _steer(self) -> None:
        """Reads the chargers, plans for those who take part, and writes their setpoints."""
        started = {c for a in self.activations.values() if a.agreed and a.order.start <= self.now() for c in a.joined}
        self.desk.under_control |= started
        if not self.desk.under_control:
            return
        await self.desk.read()
        await self.desk.steer(self.now(), self._commitments(), REVERSION)

    async def _serve(
        self,
        order: ActivationSignal | CpoActivation,
        answer: ActivationAnswer | CpoActivationResponse,
        incoming: Incoming,
    ) -> Inform | Failure:
        """Agrees, and holds the service from start to end; `course` and the newcomers do the steering."""
        if not await incoming.agree(answer):  # the VPP has given up waiting: nobody pays for it
            self.activations.pop(order.activation_id, None)
            return failure("too-late", "the answer came too late")
        self._used.add(order.activation_id)
        await self.clock.sleep_until(order.end)
        activation = self.activations.get(order.activation_id)
        if activation is None:
            return failure("cancelled", "the service was called off")
        self.spawn(self._share(activation))
        return Inform(Done(reference=order.activation_id))

    async def _share(self, activation: Activation) -> None:
        """Pays the drivers what was promised, as far as the VPP's payment for this activation goes; of what goes
        beyond, all but the CPO's fee."""
        await self.clock.sleep_until(activation.order.end + timedelta(minutes=45))
        reference = activation.order.activation_id
        received = sum(
            (line.amount_eur for line in self.ledger.statement(self.name) if line.reference == reference), Decimal(0)
        )
        promised = sum(activation.benefits.values(), Decimal(0))
        if received <= 0 or promised <= 0:
            return
        share = max(min(Decimal(1), received / promised), received * (1 - self.fee) / promised)
        entries: dict[str, Decimal] = {}
        for (_, owner), benefit in sorted(activation.benefits.items()):
            cents = (benefit * share).quantize(Decimal("0.01"), rounding="ROUND_DOWN")
            if cents > 0:
                account = owner.partition("@")[0]
                entries[account] = entries.get(account, Decimal(0)) + cents
        if entries:
            entries[self.name] = -sum(entries.values(), Decimal(0))
            self.ledger.post(f"{reference}/owners/{self.name}", self.now(), reference, entries)
