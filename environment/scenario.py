"""A demonstrator as a TOML file, validated as a whole: every error is one line with its place and what to do.

Units are part of the key (`max_charge_kw`), so that a wrong unit is an unknown key or an implausible number.
"""

from __future__ import annotations

import difflib
import tomllib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"


class ScenarioError(ValueError):
    """A scenario that cannot be run; `faults` has one line for each thing that is wrong."""

    def __init__(self, source: str, faults: list[str]) -> None:
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))
        self.faults = faults


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; use a name such as Europe/Ljubljana") from error
    return name


def _money(value: Any) -> Any:
    """TOML has floats only; a price is read as the decimal that was written."""
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _clock_time(value: Any) -> Any:
    return time.fromisoformat(value) if isinstance(value, str) else value


Kw = Annotated[float, Field(gt=0, le=400, description="kW")]
PlantKw = Annotated[float, Field(ge=0, le=100_000, description="kW")]
Kwh = Annotated[float, Field(gt=0, le=1000, description="kWh")]
Percent = Annotated[float, Field(ge=0, le=100, description="%")]
LimitPercent = Annotated[float, Field(gt=0, le=200, description="%")]
Efficiency = Annotated[float, Field(gt=0.5, le=1, description="a fraction, 0.94 for 94 %")]
Share = Annotated[float, Field(ge=0, le=1, description="a fraction")]
Minutes = Annotated[int, Field(ge=0, le=1440, description="minutes")]
Money = Annotated[Decimal, BeforeValidator(_money), Field(ge=0, description="EUR")]
ClockTime = Annotated[time, BeforeValidator(_clock_time), Field(description="local time, HH:MM")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", description="lower case letters, digits, hyphens")]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Heading(Part):
    """When and where. The run lasts `days` times 24 hours from `start`, noon by default, so that the evening's
    flexibility and the morning's departures lie in one run."""

    name: Name
    title: str
    timezone: Annotated[str, AfterValidator(_zone)]
    start: date
    start_time: ClockTime = time(12)
    days: Annotated[int, Field(ge=1, le=366)] = 1
    seed: Annotated[int, Field(ge=0)] = 1


class GridPart(Part):
    """The network, and the limits that the DSO keeps. `transformer`: another of the network's standard types."""

    network: str
    transformer: str | None = None
    congestion_point: Name
    transformer_limit_percent: LimitPercent = 100.0
    line_limit_percent: LimitPercent = 100.0
    voltage_band_percent: Annotated[float, Field(gt=0, le=15)] = 10.0
    load_scale: Annotated[float, Field(gt=0, le=10)] = 1.0
    pv_scale: Annotated[float, Field(ge=0, le=20)] = 1.0


class VppPart(Part):
    """A virtual power plant and how it bids: `margin_percent` of the revenue it keeps, `reserve_percent` of the power
    it holds back against refusals and forecast errors, and what the owners get above their cost, for each kW and 15
    minutes."""

    name: Name
    margin_percent: Annotated[float, Field(ge=0, lt=100, description="%")] = 15.0
    reserve_percent: Annotated[float, Field(ge=0, lt=100, description="%")] = 10.0
    owner_benefit_eur_per_kw: Money = Decimal("0.02")


class CpoPart(Part):
    """A charging point operator and the VPP that aggregates it. The drivers get what they were promised; of what comes
    in beyond, the operator keeps `fee_percent` of all."""

    name: Name
    vpp: Name
    fee_percent: Annotated[Decimal, BeforeValidator(_money), Field(ge=0, le=100, description="%")] = Decimal(10)


class SitePart(Part):
    """Chargers of one kind. `buses` gives one bus for each charger, or one for all of them."""

    name: Name
    cpo: Name
    kind: Literal["office", "household"]
    chargers: Annotated[int, Field(ge=1, le=10_000)]
    buses: tuple[str, ...] | Literal["households"]
    max_charge_kw: Kw
    max_discharge_kw: Annotated[float, Field(ge=0, le=400, description="kW")]
    capacity_kwh: tuple[Kwh, Kwh]
    efficiency_charge: Efficiency = 0.94
    efficiency_discharge: Efficiency = 0.94
    minimum_soc_percent: Percent = 20.0

    def charger_ids(self) -> tuple[str, ...]:
        """`office-01`, `office-02`, ..."""
        return tuple(f"{self.name}-{number:02d}" for number in range(1, self.chargers + 1))


class ProductPart(Part):
    """What every local flexibility product must meet (D5.1, 3.1.1), by its pricing and its baseline: a nomination,
    which suits V2G, or the meters before the activation. (High-X-of-Y is for plain load, with a history of days.)"""

    pricing: Literal["pay-as-clear", "pay-as-bid"] = "pay-as-clear"
    baseline: Literal["nomination", "meter-before-meter-after"] = "nomination"
    min_power_kw: Kw = 1.0
    granularity_kw: Kw = 0.1
    notice_minutes: Minutes = 15
    max_duration_minutes: Minutes = 240
    max_price_eur_per_kw: Money = Decimal("2.00")
    penalty_eur_per_kw: Money = Decimal("0.06")
    volume_tolerance_percent: Percent = 2.0


class MarketPart(Part):
    """The daily course of BUC 1."""

    requirements: ClockTime = time(12, 5)
    registration: ClockTime = time(12, 10)
    need: ClockTime = time(13, 0)
    gate_closure: ClockTime = time(13, 30)
    first_delivery: ClockTime = time(16, 0)
    last_delivery: ClockTime = time(23, 0)
    energy_price_eur_per_kwh: Money = Decimal("0.15")
    feed_in_eur_per_kwh: Money = Decimal("0.06")
    battery_wear_eur_per_kwh: Money = Decimal("0.04")


class DsoCosts(Part):
    """The DSO's own costs, from which it computes the most it will pay (agents/decisions/pricing.py); what it adds to
    the charging it expects, for its forecast's error; and against how bad a day it buys: one that is worse than
    `bad_day_percent` of all."""

    transformer_eur: Money = Decimal(15000)
    reinforcement_eur: Money = Decimal(60000)
    reinforcement_years: Annotated[int, Field(ge=1, le=80)] = 40
    interest_percent: Annotated[float, Field(ge=0, le=30, description="%")] = 5.0
    congested_hours_per_year: Annotated[float, Field(gt=0, le=8784)] = 100.0
    ambient_temperature_c: Annotated[float, Field(ge=-40, le=50)] = 10.0
    forecast_margin_percent: Percent = 10.0
    bad_day_percent: Percent = 80.0


class DriversPart(Part):
    """How the EV owners decide; their sessions come from stated fits, or from the user's CSV."""

    sessions_csv: str | None = None
    median_threshold_eur_per_kwh: Annotated[float, Field(ge=0, le=5, description="EUR/kWh")] = 0.05
    unwilling_share: Share = 0.05
    arrival_error_minutes: Annotated[float, Field(ge=0, le=240, description="minutes")] = 20.0


class FaultPart(Part):
    """Something that goes wrong on purpose. A charger that is silent does not answer; one that talks nonsense
    reports values that cannot be."""

    kind: Literal["charger-silent", "charger-nonsense"]
    target: str
    start: ClockTime
    end: ClockTime


class Scenario(Part):
    scenario: Heading
    grid: GridPart
    vpp: Annotated[tuple[VppPart, ...], Field(min_length=1)]
    cpo: Annotated[tuple[CpoPart, ...], Field(min_length=1)]
    site: Annotated[tuple[SitePart, ...], Field(min_length=1)]
    product: ProductPart = ProductPart()
    market: MarketPart = MarketPart()
    dso: DsoCosts = DsoCosts()
    drivers: DriversPart = DriversPart()
    fault: tuple[FaultPart, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Scenario:
        vpps, cpos = {v.name for v in self.vpp}, {c.name for c in self.cpo}
        for kind, names in (
            ("vpp", [v.name for v in self.vpp]),
            ("cpo", [c.name for c in self.cpo]),
            ("site", [s.name for s in self.site]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{kind}: the name {twice[0]!r} is used twice; give each its own")
        for cpo in self.cpo:
            if cpo.vpp not in vpps:
                raise ValueError(f"cpo {cpo.name!r}: its vpp {cpo.vpp!r} is not among {_listed(vpps)}")
        for site in self.site:
            if site.cpo not in cpos:
                raise ValueError(f"site {site.name!r}: its cpo {site.cpo!r} is not among {_listed(cpos)}")
            if isinstance(site.buses, tuple) and len(site.buses) not in (1, site.chargers):
                raise ValueError(
                    f"site {site.name!r}: {len(site.buses)} buses for {site.chargers} chargers; "
                    "name one bus, or one for each charger"
                )
            if site.capacity_kwh[0] > site.capacity_kwh[1]:
                raise ValueError(f"site {site.name!r}: capacity_kwh is [smallest, largest]")
        chargers = {c for site in self.site for c in site.charger_ids()}
        for fault in self.fault:
            if fault.target not in chargers:
                raise ValueError(f"fault: there is no charger {fault.target!r}; the first one is {min(chargers)!r}")
        order = (
            self.market.requirements,
            self.market.registration,
            self.market.need,
            self.market.gate_closure,
        )
        if list(order) != sorted(order):
            raise ValueError("market: requirements, registration, need and gate_closure must follow in time")
        if self.market.first_delivery <= self.market.gate_closure:
            raise ValueError("market: first_delivery must be after gate_closure")
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.scenario.timezone)

    @property
    def begins(self) -> datetime:
        """The first instant of the run, in the demonstrator's own time zone."""
        return datetime.combine(self.scenario.start, self.scenario.start_time, self.zone)

    @property
    def ends(self) -> datetime:
        """`days` times 24 hours later by the clock on the wall, so a run over a change of clocks is 23 or 25 hours."""
        return datetime.combine(
            self.scenario.start + timedelta(days=self.scenario.days), self.scenario.start_time, self.zone
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def available() -> list[str]:
    """The names of the scenarios that ship with the project."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def load(source: str | Path, **changes: Any) -> Scenario:
    """The scenario of that name, or at that path; `changes` overrides values of its `[scenario]` table.

    Raises ScenarioError with one line for each fault.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = SCENARIOS / f"{source}.toml"
        if not path.is_file():
            raise ScenarioError(str(source), [f"no such scenario; there are {', '.join(available())}"])
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScenarioError(str(path), [f"cannot be read: {error.strerror}"]) from error
    return parse(text, path.name, **changes)


def parse(text: str, source: str, **changes: Any) -> Scenario:
    """The scenario in `text`. Raises ScenarioError, naming `source` in each line."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(source, [f"is not TOML: {error}"]) from error
    if isinstance(tables.get("scenario"), dict):
        tables["scenario"].update({key: value for key, value in changes.items() if value is not None})
    try:
        return Scenario.model_validate(_tuples(tables))
    except ValidationError as error:
        raise ScenarioError(source, [_line(fault) for fault in _causes(error.errors())]) from error


def _causes(faults: list[Any]) -> list[Any]:
    """Without the "too short" that pydantic adds to a table array because one of its tables is at fault."""
    at_fault = {fault["loc"][0] for fault in faults if len(fault["loc"]) > 1}
    return [fault for fault in faults if fault["loc"] == () or len(fault["loc"]) > 1 or fault["loc"][0] not in at_fault]


def _tuples(value: Any) -> Any:
    """TOML's arrays as the tuples that strict validation asks for."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


_PARTS: dict[str, type[Part]] = {
    "scenario": Heading,
    "grid": GridPart,
    "vpp": VppPart,
    "cpo": CpoPart,
    "site": SitePart,
    "product": ProductPart,
    "market": MarketPart,
    "dso": DsoCosts,
    "drivers": DriversPart,
    "fault": FaultPart,
}


def _line(fault: Any) -> str:
    """One pydantic error as: place, what is wrong, what would be right."""
    place = ""
    for step in fault["loc"]:
        place += f"[{step + 1}]" if isinstance(step, int) else ("." if place else "") + str(step)
    place = place or "scenario"
    known = _PARTS.get(str(fault["loc"][0])) if fault["loc"] else None
    if fault["type"] == "extra_forbidden":
        keys = known.model_fields if known and len(fault["loc"]) > 1 else Scenario.model_fields
        wrong = str(fault["loc"][-1])
        near = difflib.get_close_matches(wrong, keys, n=1, cutoff=0.5)
        return f"{place}: unknown key" + (f"; did you mean {near[0]}?" if near else f"; known: {', '.join(keys)}")
    if fault["type"] == "missing":
        return f"{place}: is missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "value_error" and not fault["loc"]:
        return message
    given = f" (given: {fault['input']!r})" if not isinstance(fault["input"], dict) else ""
    unit = None
    if known and len(fault["loc"]) > 1:
        name = next((s for s in reversed(fault["loc"]) if isinstance(s, str) and s in known.model_fields), None)
        unit = known.model_fields[name].description if name else None
    return f"{place}: {message[0].lower()}{message[1:]}{given}" + (f"; the value is in {unit}" if unit else "")
