"""The environment agent: the sensors and meters of the physical world, for whoever asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Protocol

from agents.actor import Actor
from behaviours.answering import Agree, Incoming, Inform, Refuse, answers, refusal
from behaviours.swarm import Swarm
from protocols.exchanges.plain import Done
from protocols.exchanges.services import (
    ClockQuery,
    ClockReading,
    GridQuery,
    GridReading,
    MeterQuery,
    MeterReading,
    MeterSeries,
)
from protocols.exchanges.vocabulary import GridQuantity
from protocols.roles import Role


class PhysicalWorld(Protocol):
    """What sensors and meters read. A place that has none raises LookupError, whose text says so."""

    def voltage_v(self, location: str) -> float:
        """Phase to neutral voltage at a bus, V."""

    def frequency_hz(self) -> float:
        """The frequency, Hz."""

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        """Mean kW of each period, positive drawn."""


class PassingTime(Protocol):
    """How scenario time passes, where it keeps to the wall."""

    @property
    def speed(self) -> float | None:
        """Scenario seconds in one of the wall; None is as fast as it goes."""

    @property
    def paused(self) -> bool: ...

    def now(self) -> datetime:
        """How far scenario time is, in UTC, also between two events."""


class GridEnvironment(Actor):
    """D5.1 has measurements of P, U and f without saying whose instruments they are; here they are this agent's. It
    answers queries and serves subscriptions with one reading each `interval`. It also tells the time; without
    `passing` it goes as fast as it can."""

    role: ClassVar[Role] = Role.ENVIRONMENT

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        world: PhysicalWorld,
        interval: timedelta,
        passing: PassingTime | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.world = world
        self.interval = interval
        self.passing = passing

    async def course(self) -> None:
        """Publishes what was subscribed to."""
        while True:
            await self.clock.sleep_until(self.now() + self.interval)
            for topic in sorted(set(self.subscriptions(GridQuery)), key=lambda t: (t.quantity, t.location or "")):
                await self.publish(GridQuery, self._reading(topic), topic.__eq__)

    @answers(GridQuery)
    async def on_grid_query(self, query: GridQuery, incoming: Incoming) -> Inform | Agree | Refuse:
        """env.grid: a reading now, and for a subscription the first of many."""
        try:
            reading = self._reading(query)
        except LookupError as error:
            return refusal("unknown-location", str(error.args[0]))
        if incoming.message.performative == "subscribe":
            return Agree(Done(reference=incoming.message.conversation_id))
        return Inform(reading)

    def _reading(self, query: GridQuery) -> GridReading:
        if query.quantity is GridQuantity.FREQUENCY:
            value, unit = self.world.frequency_hz(), "Hz"
        else:
            assert query.location is not None
            value, unit = self.world.voltage_v(query.location), "V"
        return GridReading.model_validate(
            {
                "quantity": query.quantity,
                "location": query.location,
                "timestamp": self.now(),
                "value": round(value, 4),
                "unit": unit,
            }
        )

    @answers(ClockQuery)
    async def on_clock_query(self, query: ClockQuery, incoming: Incoming) -> Inform:
        """env.clock: the time between two events too, for those who cannot see the run's clock."""
        if self.passing is None:
            return Inform(ClockReading(now=self.now(), speed=None))
        return Inform(ClockReading(now=self.passing.now(), speed=0.0 if self.passing.paused else self.passing.speed))

    @answers(MeterQuery)
    async def on_meter_query(self, query: MeterQuery, incoming: Incoming) -> Inform | Refuse:
        """env.meter: what the meters counted."""
        period = timedelta(minutes=query.period_minutes)
        if (query.end - query.start) % period or query.start.replace(second=0, microsecond=0) != query.start:
            span = f"{query.start.isoformat()} to {query.end.isoformat()}"
            return refusal("no-reading", f"{span} is not whole periods of {query.period_minutes} minutes")
        try:
            series = tuple(
                MeterSeries(location=place, power_kw=self.world.metered_kw(place, query.start, query.end, period))
                for place in query.locations
            )
        except LookupError as error:
            return refusal("no-reading", str(error.args[0]))
        return Inform(
            MeterReading(start=query.start, end=query.end, period_minutes=query.period_minutes, series=series)
        )
