"""Contents of the platform's own services: the directory (FIPA SC00023) and the environment agent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from protocols.exchanges.content import Content, Part, ordered
from protocols.exchanges.vocabulary import GridQuantity
from protocols.roles import Role
from protocols.units import Identifier, Jid, Kw, PeriodMinutes, Time


class Registration(Content):
    """An agent makes itself known (DF register). `location` is where it serves, None where that says nothing."""

    exchange: Literal["df.register"] = "df.register"
    jid: Jid
    role: Role
    services: tuple[Identifier, ...]
    location: Identifier | None = None


class Deregistration(Content):
    """An agent takes itself off the list (DF deregister)."""

    exchange: Literal["df.deregister"] = "df.deregister"
    jid: Jid


class Search(Content):
    """Which agents there are (DF search). Every member that is not None must match."""

    exchange: Literal["df.search"] = "df.search"
    jid: Jid | None = None
    role: Role | None = None
    service: Identifier | None = None
    location: Identifier | None = None


class SearchSubscription(Content):
    """A search whose result is sent anew whenever it changes (DF subscribe)."""

    exchange: Literal["df.subscribe"] = "df.subscribe"
    jid: Jid | None = None
    role: Role | None = None
    service: Identifier | None = None
    location: Identifier | None = None


class DirectoryEntry(Part):
    """One agent as the directory knows it."""

    jid: Jid
    role: Role
    services: tuple[Identifier, ...]
    location: Identifier | None = None


class SearchResult(Content):
    """The agents that match, in the order of their JIDs; it answers a search and informs a subscriber."""

    exchange: Literal["df.search"] = "df.search"
    entries: tuple[DirectoryEntry, ...]


class GridQuery(Content):
    """What a sensor reads now: voltage at a bus, or the frequency. Voltage needs a location."""

    exchange: Literal["env.grid"] = "env.grid"
    quantity: GridQuantity
    location: Identifier | None = None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.quantity is GridQuantity.VOLTAGE and self.location is None:
            yield "location", "is missing; voltage is that of a bus"


class GridReading(Content):
    """One reading: phase-to-neutral voltage in V, or frequency in Hz; `unit` says which."""

    exchange: Literal["env.grid"] = "env.grid"
    quantity: GridQuantity
    location: Identifier | None = None
    timestamp: Time
    value: Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra={"x-unit": "see unit"})]
    unit: Literal["V", "Hz"]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        expected = {GridQuantity.VOLTAGE: "V", GridQuantity.FREQUENCY: "Hz"}[self.quantity]
        if self.unit != expected:
            yield "unit", f"is not {expected}, the unit of {self.quantity}"


class MeterQuery(Content):
    """The grid operator reads its meters at these buses, as means over periods of `period_minutes`."""

    exchange: Literal["env.meter"] = "env.meter"
    locations: tuple[Identifier, ...]
    start: Time
    end: Time
    period_minutes: PeriodMinutes

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)


class MeterSeries(Part):
    """Mean power of each period at one bus, positive drawn from the grid."""

    location: Identifier
    power_kw: tuple[Kw, ...]


class MeterReading(Content):
    """What the meters say: one series for each bus that was asked for, one value for each period."""

    exchange: Literal["env.meter"] = "env.meter"
    start: Time
    end: Time
    period_minutes: PeriodMinutes
    series: tuple[MeterSeries, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        for index, series in enumerate(self.series):
            if len(series.power_kw) * timedelta(minutes=self.period_minutes) != self.end - self.start:
                yield f"series[{index}].power_kw", "does not have one value for each period from start to end"


class ClockQuery(Content):
    """What time it is in the scenario, and how fast it passes: for systems outside, which have a clock of their own."""

    exchange: Literal["env.clock"] = "env.clock"


class ClockReading(Content):
    """The scenario time, and how many of its seconds pass in one of the wall: 0 while it stands, None where the run
    goes as fast as it can. A run that is busy falls behind that: ask again before what must not come early."""

    exchange: Literal["env.clock"] = "env.clock"
    now: Time
    speed: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
