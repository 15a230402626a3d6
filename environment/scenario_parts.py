"""What the TOML files of all demonstrators have in common: when and where, the network, chargers, drivers, faults.

Units are part of the key (`max_charge_kw`), so that a wrong unit is an unknown key or an implausible number.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Ljubljana") from error
    return name


def read_money(value: Any) -> Any:
    """TOML has floats only; a price is read as the decimal that was written."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _clock_time(value: Any) -> Any:
    clock = time.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(clock, time) and clock.tzinfo is not None:
        raise ValueError("a time of the day has no offset; write HH:MM")
    return clock


Kw = Annotated[float, Field(gt=0, le=400, description="kW")]
Kwh = Annotated[float, Field(gt=0, le=1000, description="kWh")]
Percent = Annotated[float, Field(ge=0, le=100, description="%")]
LimitPercent = Annotated[float, Field(gt=0, le=200, description="%")]
Efficiency = Annotated[float, Field(gt=0.5, le=1, description="a fraction, 0.94 for 94 %")]
Share = Annotated[float, Field(ge=0, le=1, description="a fraction")]
Minutes = Annotated[int, Field(ge=0, le=1440, description="minutes")]
Money = Annotated[Decimal, BeforeValidator(read_money), Field(ge=0, description="EUR")]
ClockTime = Annotated[time, BeforeValidator(_clock_time), Field(description="local time, HH:MM")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="lower case letters, digits, hyphens")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Heading(Part):
    """When and where. The run lasts `days` times 24 hours from `start`, noon by default, so that the evening's
    flexibility and the morning's departures lie in one run. With `hours`, which is for a recorded case that shows one
    thing, it ends so many hours after it began."""

    name: Name
    title: str
    timezone: Annotated[str, AfterValidator(_zone)]
    start: date
    start_time: ClockTime = time(12)
    days: Annotated[int, Field(ge=1, le=366)] = 1
    hours: Annotated[int, Field(ge=1, le=24)] | None = None
    seed: Annotated[int, Field(ge=0)] = 1

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.hours is not None and self.days > 1:
            raise ValueError("hours is for a run of one day; leave it out, or days at 1")
        return self


class GridPart(Part):
    """The network, and the limits that the DSO keeps.

    `transformer`: another of the network's standard types; `line`: another standard type for all its lines;
    `source_pu`: another voltage on the transformer's upper side.
    """

    network: str
    transformer: str | None = None
    line: str | None = None
    source_pu: Annotated[float, Field(ge=0.9, le=1.1, description="per unit")] | None = None
    transformer_limit_percent: LimitPercent = 100.0
    line_limit_percent: LimitPercent = 100.0
    voltage_band_percent: Annotated[float, Field(gt=0, le=15)] = 10.0
    load_scale: Annotated[float, Field(gt=0, le=10)] = 1.0
    pv_scale: Annotated[float, Field(ge=0, le=20)] = 1.0


class SitePart(Part):
    """Chargers of one kind. `buses` gives one bus for each charger, or one for all of them. `charges_from`: the timer
    of the vehicles' own plans; without it they charge on arrival."""

    name: Name
    kind: str
    chargers: Annotated[int, Field(ge=1, le=10_000)]
    buses: tuple[str, ...] | Literal["households"]
    max_charge_kw: Kw
    max_discharge_kw: Annotated[float, Field(ge=0, le=400, description="kW")]
    capacity_kwh: tuple[Kwh, Kwh]
    efficiency_charge: Efficiency = 0.94
    efficiency_discharge: Efficiency = 0.94
    minimum_soc_percent: Percent = 20.0
    charges_from: ClockTime | None = None

    def charger_ids(self) -> tuple[str, ...]:
        """`office-01`, `office-02`, ..."""
        return tuple(f"{self.name}-{number:02d}" for number in range(1, self.chargers + 1))

    def answer(self) -> tuple[float, float]:
        """How fast the chargers answer: dead time in s, ramp in kW/s. At once, where nothing is said of it."""
        return 0.0, math.inf


class DriversPart(Part):
    """How the EV owners decide; their sessions come from stated fits, or from the user's CSV."""

    sessions_csv: str | None = None
    median_threshold_eur_per_kwh: Annotated[float, Field(ge=0, le=5, description="EUR/kWh")] = 0.05
    unwilling_share: Share = 0.05
    arrival_error_minutes: Annotated[float, Field(ge=0, le=240, description="minutes")] = 20.0


class FaultPart(Part):
    """Something that goes wrong on purpose, from `start` to `end` (over midnight where that is earlier).

    A charger that is silent does not answer; one that talks nonsense reports values that cannot be; one that ignores
    takes every setpoint and does nothing. An idle V2X manager promises and does nothing; a silent producer sends no
    measurements. A frequency meter is lost, shows its last value for ever, jumps, or has a clock that jumps. An agent
    (by its name) that is silent hears nothing and says nothing, as when a company's system is down; what is said to it
    is lost, and what it does without words goes on.
    """

    kind: Literal[
        "charger-silent",
        "charger-nonsense",
        "manager-idle",
        "producer-silent",
        "charger-ignores",
        "agent-silent",
        "meter-lost",
        "meter-frozen",
        "meter-jump",
        "meter-clock-jump",
    ]
    target: str
    start: ClockTime
    end: ClockTime

    def at(self, clock: time) -> bool:
        """Whether it goes wrong at this time of the day."""
        if self.start <= self.end:
            return self.start <= clock < self.end
        return clock >= self.start or clock < self.end


class Scenario(Part):
    """The base of every demonstrator's scenario. A run lasts `days` times 24 hours from its beginning."""

    scenario: Heading
    drivers: DriversPart = DriversPart()
    fault: tuple[FaultPart, ...] = ()
    _source: str = PrivateAttr("")
    _text: str = PrivateAttr("")

    @property
    def source(self) -> str:
        """What a line about a fault begins with: the name of its file."""
        return self._source or f"scenario {self.scenario.name}"

    @property
    def text(self) -> str:
        """The TOML that gives this scenario, command line included; "" where there is none that is known to."""
        return self._text

    def from_source(self, source: str, text: str = "") -> Self:
        """The same, read from there."""
        found = self.model_copy()
        found._source, found._text = source, text
        return found

    @property
    @abstractmethod
    def grids(self) -> Mapping[str, GridPart]:
        """The networks of the run by name, "" for the only one."""

    @property
    @abstractmethod
    def sites(self) -> tuple[SitePart, ...]:
        """Everything that has chargers, in the order of the file."""

    @property
    @abstractmethod
    def site_table(self) -> str:
        """The name of the tables that have the chargers."""

    @property
    def meters(self) -> tuple[str, ...]:
        """The names of the frequency meters."""
        return ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The paths of the files that the scenario names, as they stand in it."""
        return () if self.drivers.sessions_csv is None else (self.drivers.sessions_csv,)

    def place_of(self, site: SitePart, bus: str) -> str:
        """The run's name of a bus or a place that a site names."""
        return bus

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.scenario.timezone)

    @property
    def begins(self) -> datetime:
        """The first instant of the run, in the demonstrator's own time zone."""
        return datetime.combine(self.scenario.start, self.scenario.start_time, self.zone)

    @property
    def ends(self) -> datetime:
        """`days` times 24 hours later by the clock on the wall, so a run over a change of clocks is 23 or 25 hours; or
        `hours` later."""
        if self.scenario.hours is not None:
            return (self.begins.astimezone(UTC) + timedelta(hours=self.scenario.hours)).astimezone(self.zone)
        return datetime.combine(
            self.scenario.start + timedelta(days=self.scenario.days), self.scenario.start_time, self.zone
        )

    def on_each_day(self, clock: time) -> list[datetime]:
        """The instants (UTC) of the run at which its clocks show this time."""
        days = [self.scenario.start + timedelta(days=k) for k in range(self.scenario.days + 1)]
        instants = [datetime.combine(day, clock, self.zone).astimezone(UTC) for day in days]
        return [at for at in instants if self.begins.astimezone(UTC) <= at < self.ends.astimezone(UTC)]

    def site_faults(self) -> Iterator[str]:
        """What is wrong with the sites and with the faults of their chargers, a line each."""
        names = [site.name for site in self.sites]
        if twice := repeated(names):
            yield f"{self.site_table}: the name {twice!r} is used twice; give each its own"
        for site in self.sites:
            if isinstance(site.buses, tuple) and len(site.buses) not in (1, site.chargers):
                yield (
                    f"{self.site_table} {site.name!r}: {len(site.buses)} buses for {site.chargers} chargers; "
                    "name one bus, or one for each charger"
                )
            if site.capacity_kwh[0] > site.capacity_kwh[1]:
                yield f"{self.site_table} {site.name!r}: capacity_kwh is [smallest, largest]"
        chargers = {c for site in self.sites for c in site.charger_ids()}
        for fault in self.fault:
            if fault.kind.startswith("charger") and fault.target not in chargers:
                yield f"fault: there is no charger {fault.target!r}; the first one is {min(chargers)!r}"
            if fault.kind.startswith("meter") and fault.target not in self.meters:
                yield f"fault: there is no meter {fault.target!r}; there is {listed(self.meters) or 'none'}"


class MarketOrIslandFaultPart(FaultPart):
    """What can go wrong where nobody measures the frequency."""

    kind: Literal["charger-silent", "charger-nonsense", "manager-idle", "producer-silent", "agent-silent"]


class OneNetwork(Scenario):
    """The base of those that have one network."""

    grid: GridPart
    fault: tuple[MarketOrIslandFaultPart, ...] = ()

    @property
    def grids(self) -> Mapping[str, GridPart]:
        return {"": self.grid}


def repeated(names: Sequence[str]) -> str | None:
    """The first name, in the alphabet, that is used twice."""
    return min((name for name in names if names.count(name) > 1), default=None)


def listed(names: Iterable[str]) -> str:
    """Names as they stand in an error's line."""
    return ", ".join(sorted(names))
