"""The scenario of campuses in a synchronous area: congestion and frequency control (BUC 3 and 7; Denmark).

Times of the day are local; what has one (a trip, a change of prices, a congestion signal) comes on each day of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from environment.campus_fcr import CapacityPart, FcrPart, fcr_faults
from environment.market_scenario import DsoCosts
from environment.scenario_parts import (
    ClockTime,
    FaultPart,
    GridPart,
    LimitPercent,
    Name,
    Part,
    Percent,
    Scenario,
    Share,
    SitePart,
    listed,
    repeated,
)

Megawatts = Annotated[float, Field(ge=0, le=100_000, description="MW")]
EurPerKwh = Annotated[float, Field(ge=-5, le=5, description="EUR/kWh")]
Seconds = Annotated[float, Field(ge=0, le=60, description="s")]
DAY_HOURS = 24
_OTHERS = frozenset({"directory", "environment", "observer"})
"""Agents that every run has; their names are taken."""


def site_of_meter(meter: str) -> str:
    """The site that a meter is named after: `<site>-main`, `<site>-backup`."""
    return meter.rpartition("-")[0]


class AreaPart(Part):
    """The synchronous area: whose frequency it is, and what else keeps it. `represents`: how many chargers of the area
    each charger of the run stands for, with all it does for the frequency. `frequency_csv`: a recorded frequency
    (`timestamp,frequency`) instead of the model, which nothing moves."""

    represents: Annotated[int, Field(ge=1, le=10_000_000)] = 1
    tso: Name = "energinet"
    load_mw: Annotated[float, Field(gt=0, le=1_000_000, description="MW")] = 42_000.0
    inertia_gws: Annotated[float, Field(gt=0, le=10_000, description="GWs")] = 190.0
    fcr_n_mw: Megawatts = 600.0
    fcr_d_up_mw: Megawatts = 1_450.0
    fcr_d_down_mw: Megawatts = 1_450.0
    load_damping_percent_per_hz: Annotated[float, Field(ge=0, le=20, description="%/Hz")] = 1.0
    noise_mhz: Annotated[float, Field(ge=0, le=200, description="mHz")] = 42.0
    frequency_csv: str | None = None


class TripPart(Part):
    """A unit, or a cable into the area, that is lost: so much less production."""

    mw: Annotated[float, Field(gt=0, le=100_000, description="MW")]
    at: ClockTime


class LoadStepPart(Part):
    """Load that comes (MW > 0) or goes (MW < 0) in one step."""

    mw: Annotated[float, Field(ge=-100_000, le=100_000, description="MW")]
    at: ClockTime


class CampusPart(GridPart):
    """A campus: its low-voltage network, and the DSO of that network."""

    name: Name
    dso: Name


class CampusDsoPart(DsoCosts):
    """What the DSOs reckon with. A service is called off where the loading without it stays `call_off_percent` of the
    rating below the limit: what was put off comes back at once."""

    call_off_percent: Annotated[float, Field(ge=0, le=50, description="%")] = 12.0


class LotPart(SitePart):
    """A parking lot: one V2X manager. Its chargers answer after `delay_s` and move `ramp_kw_per_s`; for a service's
    sake a vehicle is charged up to `store_up_to_percent` at most, where a kWh brings at least the stated benefit after
    its wear."""

    campus: Name
    kind: Literal["office", "pool"]
    delay_s: Seconds = 0.4
    ramp_kw_per_s: Annotated[float, Field(gt=0, le=1000, description="kW/s")] = 11.0
    store_up_to_percent: Percent = 90.0
    minimum_benefit_eur_per_kwh: Annotated[float, Field(ge=0, le=5, description="EUR/kWh")] = 0.01
    battery_wear_eur_per_kwh: Annotated[float, Field(ge=0, le=5, description="EUR/kWh")] = 0.04

    def answer(self) -> tuple[float, float]:
        return self.delay_s, self.ramp_kw_per_s


class CustomersPart(Part):
    """What the drivers agree to beside the price: how many of them would leave with a part of the charge asked for, and
    what they reckon a kWh given back to cost their battery."""

    flexible_share: Share = 0.4
    least_share: Share = 0.8
    wear_eur_per_kwh: Annotated[float, Field(ge=0, le=5, description="EUR/kWh")] = 0.03


class RetailPart(Part):
    """What a kWh costs a parking lot: the hourly price of the exchange (one list of 24 for each day of the run; the
    last one also for the days after it), the network's tariff by the time of the day, and what is the same always."""

    spot_eur_per_kwh: Annotated[tuple[tuple[EurPerKwh, ...], ...], Field(min_length=1)]
    network_low_eur_per_kwh: EurPerKwh = 0.013
    network_high_eur_per_kwh: EurPerKwh = 0.040
    network_peak_eur_per_kwh: EurPerKwh = 0.119
    high_from: ClockTime = time(6)
    peak_from: ClockTime = time(17)
    peak_until: ClockTime = time(21)
    other_eur_per_kwh: EurPerKwh = 0.02


class PriceChangePart(Part):
    """At `published` the retailer says that the exchange's price is another one from `start` until `until`, when the
    clocks next show these times."""

    published: ClockTime
    start: ClockTime
    until: ClockTime
    spot_eur_per_kwh: EurPerKwh


class SignalPart(Part):
    """The congestion signal of a campus: from `at` until `until` its transformer may be loaded so far, and nobody knows
    before."""

    campus: Name
    at: ClockTime
    until: ClockTime
    limit_percent: LimitPercent


class CampusFaultPart(FaultPart):
    """What can go wrong with chargers, with agents, and with frequency meters (`<lot>-main`, `<lot>-backup`)."""

    kind: Literal[
        "charger-silent",
        "charger-nonsense",
        "charger-ignores",
        "agent-silent",
        "meter-lost",
        "meter-frozen",
        "meter-jump",
        "meter-clock-jump",
    ]


class CampusScenario(Scenario):
    area: AreaPart
    campus: Annotated[tuple[CampusPart, ...], Field(min_length=1)]
    lot: Annotated[tuple[LotPart, ...], Field(min_length=1)]
    retail: RetailPart
    trip: tuple[TripPart, ...] = ()
    load_step: tuple[LoadStepPart, ...] = ()
    fcr: tuple[FcrPart, ...] = ()
    price_change: tuple[PriceChangePart, ...] = ()
    signal: tuple[SignalPart, ...] = ()
    dso: CampusDsoPart = CampusDsoPart()
    capacity: CapacityPart = CapacityPart()
    customers: CustomersPart = CustomersPart()
    fault: tuple[CampusFaultPart, ...] = ()

    @property
    def grids(self) -> Mapping[str, GridPart]:
        return {campus.name: campus for campus in self.campus}

    @property
    def sites(self) -> tuple[SitePart, ...]:
        return self.lot

    @property
    def site_table(self) -> str:
        return "lot"

    @property
    def meters(self) -> tuple[str, ...]:
        """A main and a backup meter for each lot in frequency control."""
        return tuple(f"{fcr.lot}-{which}" for fcr in self.fcr for which in ("main", "backup"))

    @property
    def inputs(self) -> tuple[str, ...]:
        own = () if self.area.frequency_csv is None else (self.area.frequency_csv,)
        return (*super().inputs, *own)

    def place_of(self, site: SitePart, bus: str) -> str:
        assert isinstance(site, LotPart)
        return f"{site.campus} {bus}"

    def fcr_of(self, lot: str) -> FcrPart | None:
        """What a lot does for the frequency, if anything."""
        return next((fcr for fcr in self.fcr if fcr.lot == lot), None)

    def next_at(self, clock: time, after: datetime) -> datetime:
        """The first instant from `after` on at which the clocks show `clock`."""
        local = after.astimezone(self.zone)
        first = datetime.combine(local.date(), clock, self.zone)
        if first >= local:
            return first
        return datetime.combine(local.date() + timedelta(days=1), clock, self.zone)

    @model_validator(mode="after")
    def _whole(self) -> CampusScenario:
        for line in (*self._names(), *self._targets(), *self.site_faults(), *self._values()):
            raise ValueError(line)
        return self

    def _names(self) -> Iterator[str]:
        """Names of agents and campuses that are used twice; those of lots are the site's."""
        campuses, operators = [each.name for each in self.campus], [each.dso for each in self.campus]
        if twice := repeated(campuses):
            yield f"campus: the name {twice!r} is used twice; give each its own"
        if twice := repeated(operators):
            yield f"campus: the dso {twice!r} is used twice; each network has its own"
        drivers = {f"ev-{charger}" for lot in self.lot for charger in lot.charger_ids()}
        taken = _OTHERS | drivers
        for table, names in (
            ("area: tso", [self.area.tso]),
            ("campus: dso", operators),
            ("lot", [lot.name for lot in self.lot]),
        ):
            for name in sorted(set(names) & taken):
                yield f"{table}: the name {name!r} is another agent's; give another"
            taken |= set(names)

    def _targets(self) -> Iterator[str]:
        """What names a campus or a lot that is not there."""
        campuses, lots = {each.name for each in self.campus}, {each.name for each in self.lot}
        for lot in self.lot:
            if lot.campus not in campuses:
                yield f"lot {lot.name!r}: its campus {lot.campus!r} is not among {listed(campuses)}"
        for signal in self.signal:
            if signal.campus not in campuses:
                yield f"signal: there is no campus {signal.campus!r}; there is {listed(campuses)}"
        for fcr in self.fcr:
            if fcr.lot not in lots:
                yield f"fcr: there is no lot {fcr.lot!r}; there is {listed(lots)}"
        if twice := repeated([fcr.lot for fcr in self.fcr]):
            yield f"fcr: the lot {twice!r} is named twice; a lot gives one product"

    def _values(self) -> Iterator[str]:
        """Values that cannot be, or not together."""
        for number, prices in enumerate(self.retail.spot_eur_per_kwh, start=1):
            if len(prices) != DAY_HOURS:
                yield f"retail.spot_eur_per_kwh[{number}]: {len(prices)} prices; a day has {DAY_HOURS}, one each hour"
        clocks = (self.retail.high_from, self.retail.peak_from, self.retail.peak_until)
        if list(clocks) != sorted(set(clocks)):
            yield "retail: high_from, peak_from and peak_until must follow in time"
        for change in self.price_change:
            if change.start == change.until:
                yield "price_change: start and until are the same; give the hours whose price is another"
        for signal in self.signal:
            if signal.at == signal.until:
                yield "signal: at and until are the same; give the time in which the limit holds"
        for fcr in self.fcr:
            if (lot := next((lot for lot in self.lot if lot.name == fcr.lot), None)) is not None:
                yield from fcr_faults(fcr, lot, self.begins, self.next_at)
