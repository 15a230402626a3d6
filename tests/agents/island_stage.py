"""Peers for the island's operators: a flexibility operator that does as the test says, plants, and a linear network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agents.actor import Actor
from agents.decisions.tariff import Tariff
from agents.grid_view import Floats, GridState, Sensitivity
from agents.island_ports import PlantReading
from agents.voltage_view import Estimate
from behaviours.answering import Agree, Incoming, Inform, Refuse, Reply, answers, cancels, failure
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.stage import MINUTE, QUARTER
from tests.swarm import jid

AZORES = ZoneInfo("Atlantic/Azores")
"""UTC in summer, so that the stage's beginning at 6 UTC is 6 in the morning, off-peak."""
TARIFF = Tariff(Decimal("0.10"), Decimal("0.08"), Decimal("0.02"))


def user(
    bus: str | None = None,
    *,
    baseline: float = 0.0,
    more: float = 0.0,
    less: float = 0.0,
    power: float = 0.0,
    vehicles: int = 1,
    highest: float | None = None,
) -> x.UserState:
    """What the vehicles of one place or manager can do, in kW."""
    return x.UserState(
        user_id=bus or "manager1",
        location=bus,
        vehicles=vehicles,
        power_kw=power,
        energy_kwh=power / 4,
        charging_rate_kw=50.0,
        energy_required_kwh=10.0,
        baseline_kw=baseline,
        highest_kw=highest,
        increase_kw=more,
        decrease_kw=less,
    )


class PlainFo(Actor):
    """An FO that serves every subscription. `available` says to what power it agrees: 0 to refuse, None for silence.

    `fails_after` lets each service fail so many minutes after its start. A service ends when it was asked to, or when
    the one that renews it starts; without `reports` nothing is heard of that. `cancelling`: None does not answer to a
    cancel, False says that it cannot.
    """

    role = Role.FO

    def __init__(
        self,
        *arguments: Any,
        available: Callable[[Any], float | None] = lambda signal: signal.power_kw,
        fails_after: float | None = None,
        reports: bool = True,
        cancelling: bool | None = True,
    ) -> None:
        super().__init__(*arguments)
        self.available = available
        self.fails_after = fails_after
        self.reports = reports
        self.cancelling = cancelling
        self.asked: list[Any] = []
        self.cancelled: list[tuple[datetime, str]] = []
        self._ends: dict[str, asyncio.Event] = {}

    @answers(x.MeasurementsSubscription)
    @answers(x.FlexibilitySubscription)
    @answers(x.ParticipationSubscription)
    async def on_subscription(self, topic: Any, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=topic.request_id))

    @answers(x.CurtailmentActivation)
    async def on_activation(self, signal: x.CurtailmentActivation, incoming: Incoming) -> Reply:
        return await self._serve(signal, incoming, x.Done(reference=signal.service_id))

    @answers(x.VoltageRequest)
    async def on_request(self, signal: x.VoltageRequest, incoming: Incoming) -> Reply:
        report = x.ParticipationInfo(
            request_id=signal.request_id,
            timestamp=self.now(),
            service=signal.service,
            service_id=signal.service_id,
            start=signal.start,
            end=signal.start + QUARTER,
            users=(),
        )
        return await self._serve(signal, incoming, report)

    async def _serve(self, signal: Any, incoming: Incoming, result: x.Content) -> Reply:
        self.asked.append(signal)
        available = self.available(signal)
        if available is None:
            await asyncio.Event().wait()
        assert available is not None
        if available == 0:
            return Refuse(
                x.ServiceAnswer(service_id=signal.service_id, available_power_kw=0.0, reason="nobody takes part")
            )
        await incoming.agree(x.ServiceAnswer(service_id=signal.service_id, available_power_kw=available))
        ended = self._ends[signal.service_id] = asyncio.Event()
        if signal.renews in self._ends:
            self.clock.call_at(signal.start, self._ends[signal.renews].set)
        if not self.reports:
            await asyncio.Event().wait()
        if self.fails_after is not None:
            await self.clock.sleep_until(signal.start + self.fails_after * MINUTE)
            return failure("no-vehicles", "the vehicles have left")
        self.clock.call_at(signal.start + signal.duration_minutes * MINUTE, ended.set)
        await ended.wait()
        return Inform(result)

    @cancels(x.CurtailmentActivation)
    @cancels(x.VoltageRequest)
    async def on_cancel(self, signal: Any, incoming: Incoming) -> Reply:
        self.cancelled.append((self.now(), signal.service_id))
        if self.cancelling is None:
            await asyncio.Event().wait()
        if not self.cancelling:
            return failure("going-on", "the vehicles do not let go")
        return Inform(x.Done(reference=signal.service_id))

    async def tell_flexibility(self, start: datetime, *users: x.UserState, said: datetime | None = None) -> None:
        """2.2 for the quarter of an hour from `start`."""
        information = x.FlexibilityInformation(
            request_id="flexibility",
            timestamp=said or self.now(),
            service=x.ServiceType.RES_CURTAILMENT,
            start=start,
            users=users,
        )
        await self.publish(x.FlexibilitySubscription, information)

    async def tell_participation(self, end: datetime, *users: x.UserState) -> None:
        """4.1.4 on the quarter of an hour that ended then."""
        info = x.ParticipationInfo(
            request_id="participation",
            timestamp=self.now(),
            service=x.ServiceType.VOLTAGE_CONTROL,
            start=end - QUARTER,
            end=end,
            users=users,
        )
        await self.publish(x.ParticipationSubscription, info)


class Customer(Actor):
    """An EMSP that only sends invoices."""

    role = Role.EMSP

    async def invoice(self, to: str, amount: str, invoice_id: str = "invoice-1") -> Any:
        invoice = x.Invoice(
            invoice_id=invoice_id,
            customer=jid(to),
            start=self.now() - QUARTER,
            end=self.now(),
            lines=(x.InvoiceLine(item="service", amount_eur=Decimal(amount)),),
            amount_eur=Decimal(amount),
            due=self.now() + QUARTER,
        )
        return await self.request(invoice, to=jid(to), reply_by=self.now() + MINUTE)


@dataclass
class FakeMeter:
    """The port `PlantMeter`: what the plant gives and could give, by the beginning of the quarter of an hour."""

    available: Callable[[datetime], float]
    taken: float = 1.0
    forecast: Callable[[datetime], float] | None = None
    asked: list[datetime] = field(default_factory=list)

    def measured(self, start: datetime, end: datetime) -> PlantReading:
        kw = self.available(start)
        return PlantReading(production_kw=kw * self.taken, available_kw=kw, f_hz=49.98764)

    def forecast_available_kw(self, start: datetime) -> float:
        self.asked.append(start)
        return (self.forecast or self.available)(start)


@dataclass
class FakeDemand:
    """The port `DemandForecast`."""

    kw: Callable[[datetime], float]
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def demand_kw(self, start: datetime, now: datetime) -> float:
        self.asked.append((start, now))
        return self.kw(start)


@dataclass
class FakeTypical:
    """The port `ChargingForecast`: kW by bus, by the beginning of the quarter of an hour."""

    kw: Callable[[datetime], Mapping[str, float]]

    def typical_kw(self, start: datetime, periods: int, quantile: float | None = None) -> dict[str, Any]:
        series = [self.kw(start + k * QUARTER) for k in range(periods)]
        return {bus: np.array([kw[bus] for kw in series]) for bus in series[0]}


BUSES = ("a1", "a2", "b1", "b2")
FEEDERS = {"a1": "A", "a2": "A", "b1": "B", "b2": "B"}
_DROP = np.array([[1.0, 1.0], [1.0, 2.0]]) * 1e-3
"""Per unit for each kW: the second bus of a feeder hangs behind the first, by a line as long."""
DROP_PU_PER_KW = np.kron(np.eye(2), _DROP)


@dataclass
class LinearVoltages:
    """The port `VoltageModel` for two feeders of two buses: a1 falls by 0.001 pu for each kW at a1 or a2, a2 by 0.001
    for each at a1 and by 0.002 for each at a2; likewise b1 and b2.

    `base` is what is drawn besides the chargers, by the quarter's beginning. `reported` and `expectations` are what was
    given to `estimated` and `expected`, by that time.
    """

    base: Callable[[datetime], Mapping[str, float]] = field(default=lambda start: {})
    dropped: tuple[str, ...] = ()
    buses: tuple[str, ...] = BUSES
    reported: dict[datetime, dict[str, float]] = field(default_factory=dict)
    expectations: dict[datetime, dict[str, float]] = field(default_factory=dict)

    def feeder_of(self, bus: str) -> str:
        return FEEDERS[bus]

    def estimated(self, now: datetime, charger_kw: Mapping[str, float]) -> Estimate:
        self.reported[now] = dict(charger_kw)
        state = self.solve(self._power(charger_kw), np.zeros(4))
        return Estimate(BUSES, state.vm_pu, state.p_kw, state.q_kvar, state.trafo_p_kw, True, 0.0, self.dropped, now)

    def expected(self, start: datetime, now: datetime, charger_kw: Mapping[str, float]) -> GridState:
        self.expectations[start] = dict(charger_kw)
        return self.solve(self._power(self.base(start)) + self._power(charger_kw), np.zeros(4))

    def sensitivity(self, state: GridState) -> Sensitivity:
        return Sensitivity(-DROP_PU_PER_KW, np.zeros((0, 4)), np.zeros(4))

    def solve(self, p_kw: Floats, q_kvar: Floats) -> GridState:
        return GridState(
            buses=BUSES,
            lines=(),
            transformer="trafo",
            p_kw=p_kw,
            q_kvar=q_kvar,
            vm_pu=1.0 - DROP_PU_PER_KW @ p_kw,
            line_loading_percent=np.zeros(0),
            trafo_loading_percent=0.0,
            trafo_p_kw=float(p_kw.sum()),
            trafo_q_kvar=0.0,
            losses_kw=0.0,
        )

    @staticmethod
    def _power(kw: Mapping[str, float]) -> Floats:
        return np.array([kw.get(bus, 0.0) for bus in BUSES])
