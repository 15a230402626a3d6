"""The scenario of public stations on a medium-voltage feeder: cheap where the sun feeds back, capped where one is full
(BUC 4.2, 5.1 and 5.2; Greece).

Times of the day are local. The run begins on the eve of the contracts' period: the auction is on its first day, and the
contracts run from the midnight after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from agents.decisions.station_offers import distance_km
from agents.public_ports import StationSite
from environment.scenario_parts import (
    ClockTime,
    FaultPart,
    GridPart,
    Kw,
    Money,
    Name,
    Part,
    Percent,
    Scenario,
    Share,
    SitePart,
    listed,
    repeated,
)

Price = Annotated[Money, Field(le=5, decimal_places=6, description="EUR/kWh")]
"""As fine as the messages carry a price."""
Eur = Annotated[Money, Field(le=10_000_000, decimal_places=6)]
Latitude = Annotated[float, Field(ge=-90, le=90, description="degrees north")]
Longitude = Annotated[float, Field(ge=-180, le=180, description="degrees east")]
Kilometres = Annotated[float, Field(gt=0, le=1000, description="km")]
StationKw = Annotated[float, Field(gt=0, le=100_000, description="kW")]
DAY_HOURS = 24
MOST_POINTS = 64
QUARTER_MINUTES = 15
_CHECK = timedelta(minutes=15)
"""What the DSO and the FMO take from gate closure until contracts are concluded."""
PAGE_DRIVER = "driver-page"
"""The driver whom a person plays."""
_OTHERS = frozenset({"directory", "environment", "observer", PAGE_DRIVER})
"""Agents that every run has, or can have; their names are taken."""


class DsoPart(Part):
    """The grid operator. `signals_json`: a file in the form of EV4EU's platform; what it says is sent as well.
    `violation_eur_per_kwh`: what it reckons a kWh above a line's limit to cost."""

    name: Name = "hedno"
    signals_json: str | None = None
    violation_eur_per_kwh: Price = Decimal("2")


class AuctionPart(Part):
    """The capacity market (BUC 5.1), and the attributes that its curves must have.

    The DSO sends its terms at `opens_at` of the run's first day; bids are in `gate_closure_minutes` later. Contracts
    run `period_days` from the next midnight; on `most_activations` of them at most, told at least `notice_minutes`
    before, they cap the hours from `window_from` until `window_until`. Each day at `activates_at` the DSO decides for
    the next one. `scenarios`: how many forecasts stand behind what it buys.
    """

    operator: Name = "fmo"
    opens_at: ClockTime = time(12, 15)
    gate_closure_minutes: Annotated[int, Field(ge=1, le=600, description="minutes")] = 30
    period_days: Annotated[int, Field(ge=1, le=366, description="days")] = 28
    window_from: ClockTime = time(17)
    window_until: ClockTime = time(22)
    activates_at: ClockTime = time(14)
    most_activations: Annotated[int, Field(ge=1, le=366, description="days")] = 12
    notice_minutes: Annotated[int, Field(ge=0, le=10_080, description="minutes")] = 720
    least_points: Annotated[int, Field(ge=2, le=MOST_POINTS)] = 2
    most_points: Annotated[int, Field(ge=2, le=MOST_POINTS)] = 16
    step_kw: StationKw = 15.0
    lowest_limit_kw: Annotated[float, Field(ge=0, le=100_000, description="kW")] = 60.0
    most_eur: Eur = Decimal("5000")
    penalty_eur_per_kwh: Price = Decimal("1")
    scenarios: Annotated[int, Field(ge=1, le=1000)] = 40


class PricingPart(Part):
    """Prices of network use (BUC 4.2). From `first_hour` until `last_hour` the DSO looks `horizon_hours` ahead each
    hour; where more than `threshold_kw` would flow back it takes up to `most_reduction_eur_per_kwh` off, in steps of
    `step_eur_per_kwh`, and says so `lead_minutes` before."""

    network_eur_per_kwh: Price = Decimal("0.09")
    most_reduction_eur_per_kwh: Price = Decimal("0.09")
    step_eur_per_kwh: Annotated[Money, Field(gt=0, le=5, decimal_places=6, description="EUR/kWh")] = Decimal("0.01")
    first_hour: ClockTime = time(6)
    last_hour: ClockTime = time(16)
    horizon_hours: Annotated[int, Field(ge=1, le=24, description="hours")] = 5
    lead_minutes: Annotated[int, Field(ge=15, le=1440, description="minutes")] = 60
    threshold_kw: Annotated[float, Field(ge=0, le=100_000, description="kW")] = 20.0


class CpoPart(Part):
    """A charging point operator: what a kWh usually costs at its stations, and what it loses by a cap for each
    kWh that it does not sell: its margin, and what the driver's leaving without it costs besides."""

    name: Name
    usual_eur_per_kwh: Price
    margin_eur_per_kwh: Price
    goodwill_eur_per_kwh: Price = Decimal("0.05")


class EnergyPart(Part):
    """What a kWh costs the operators in each hour of the day."""

    eur_per_kwh: Annotated[tuple[Annotated[float, Field(ge=-5, le=5)], ...], Field(min_length=1)]


class StationPart(Part):
    """A public charging station. All its chargers together draw `connection_kw` at most."""

    name: Name
    cpo: Name
    bus: str
    latitude_deg: Latitude
    longitude_deg: Longitude
    chargers: Annotated[int, Field(ge=1, le=100)]
    charger_kw: Kw
    connection_kw: StationKw

    def charger_ids(self) -> tuple[str, ...]:
        """`koropi-east-01`, `koropi-east-02`, ..."""
        return tuple(f"{self.name}-{number:02d}" for number in range(1, self.chargers + 1))


class PlacePart(Part):
    """Where drivers live or work: `weight` of them, scattered around it (normal distributed, standard deviation
    `spread_km` in each direction)."""

    name: Name
    kind: Literal["home", "work"]
    latitude_deg: Latitude
    longitude_deg: Longitude
    weight: Annotated[float, Field(gt=0, le=1_000_000)] = 1.0
    spread_km: Annotated[float, Field(ge=0, le=100, description="km")] = 1.0

    @property
    def reach_km(self) -> float:
        """Nearly nobody is further away from the middle."""
        return 3 * self.spread_km

    def km_to(self, station: StationPart) -> float:
        """From its middle to a station."""
        there = station.latitude_deg, station.longitude_deg
        return distance_km(self.latitude_deg, self.longitude_deg, *there)


class PeoplePart(Part):
    """The drivers, who have no charger of their own. `needs_per_day`: how often one needs to charge, on average;
    `follows_prices_share`: how many hear of changed prices; `battery_kwh`, `max_charge_kw`: the cars, evenly spread
    between both. `page`: there is one driver more, whom a person plays (`--driver-page` sets it)."""

    drivers: Annotated[int, Field(ge=1, le=9999)] = 300
    needs_per_day: Annotated[float, Field(gt=0, le=2, description="a day")] = 0.6
    follows_prices_share: Share = 0.5
    within_km: tuple[Kilometres, Kilometres] = (3.0, 8.0)
    battery_kwh: tuple[Kw, Kw] = (40.0, 77.0)
    max_charge_kw: tuple[Kw, Kw] = (50.0, 120.0)
    most_soc_percent: Percent = 80.0
    page: bool = False

    def names(self) -> tuple[str, ...]:
        """`driver-001`, `driver-002`, ..."""
        return tuple(f"driver-{number:03d}" for number in range(1, self.drivers + 1))


class PublicFaultPart(FaultPart):
    """What can go wrong with the chargers and with agents."""

    kind: Literal["charger-silent", "charger-nonsense", "charger-ignores", "agent-silent"]


class PublicScenario(Scenario):
    grid: GridPart
    auction: AuctionPart
    cpo: Annotated[tuple[CpoPart, ...], Field(min_length=1)]
    station: Annotated[tuple[StationPart, ...], Field(min_length=1)]
    place: Annotated[tuple[PlacePart, ...], Field(min_length=2)]
    energy: EnergyPart
    pricing: PricingPart = PricingPart()
    people: PeoplePart = PeoplePart()
    dso: DsoPart = DsoPart()
    fault: tuple[PublicFaultPart, ...] = ()

    @property
    def grids(self) -> Mapping[str, GridPart]:
        return {"": self.grid}

    @property
    def sites(self) -> tuple[SitePart, ...]:
        """None: a site's chargers have a vehicle each, and a station's are whoever's comes."""
        return ()

    @property
    def site_table(self) -> str:
        return "station"

    @property
    def inputs(self) -> tuple[str, ...]:
        own = () if self.dso.signals_json is None else (self.dso.signals_json,)
        return (*super().inputs, *own)

    @property
    def window(self) -> tuple[time, time]:
        """The hours of a day that a contract can cap."""
        return self.auction.window_from, self.auction.window_until

    @property
    def period_start(self) -> date:
        """The first day of the contracts."""
        return self.scenario.start + timedelta(days=1)

    @property
    def period_end(self) -> date:
        """The day after their last."""
        return self.period_start + timedelta(days=self.auction.period_days)

    def stations(self, cpo: str | None = None) -> tuple[StationSite, ...]:
        """All stations in the order of the file, or those of one operator."""
        return tuple(
            StationSite(
                each.name,
                each.cpo,
                each.bus,
                each.latitude_deg,
                each.longitude_deg,
                each.charger_ids(),
                each.charger_kw,
                each.connection_kw,
            )
            for each in self.station
            if cpo in (None, each.cpo)
        )

    def energy_by_quarter(self) -> tuple[float, ...]:
        """EUR/kWh in each quarter hour of a local day of 24 hours, 96 of them."""
        return tuple(price for price in self.energy.eur_per_kwh for _ in range(4))

    def of_place(self, kind: str) -> tuple[PlacePart, ...]:
        """The places of one kind."""
        return tuple(place for place in self.place if place.kind == kind)

    @model_validator(mode="after")
    def _whole(self) -> PublicScenario:
        for line in (*self._names(), *self._stations(), *self._auction(), *self._values()):
            raise ValueError(line)
        return self

    def _names(self) -> Iterator[str]:
        """Names that are used twice, or by another agent."""
        for table, names in (
            ("cpo", [each.name for each in self.cpo]),
            ("station", [each.name for each in self.station]),
            ("place", [each.name for each in self.place]),
        ):
            if twice := repeated(names):
                yield f"{table}: the name {twice!r} is used twice; give each its own"
        taken = _OTHERS | set(self.people.names())
        for table, names in (
            ("dso", [self.dso.name]),
            ("auction: operator", [self.auction.operator]),
            ("cpo", [each.name for each in self.cpo]),
        ):
            for name in sorted(set(names) & taken):
                yield f"{table}: the name {name!r} is another agent's; give another"
            taken |= set(names)

    def _stations(self) -> Iterator[str]:
        cpos = {each.name for each in self.cpo}
        for each in self.station:
            if each.cpo not in cpos:
                yield f"station {each.name!r}: its cpo {each.cpo!r} is not among {listed(cpos)}"
            if each.connection_kw > each.chargers * each.charger_kw:
                yield (
                    f"station {each.name!r}: connection_kw {each.connection_kw:g} is more than its "
                    f"{each.chargers} chargers draw, {each.chargers * each.charger_kw:g} kW"
                )
            if each.connection_kw <= self.auction.lowest_limit_kw:
                yield (
                    f"station {each.name!r}: connection_kw {each.connection_kw:g} is not above the auction's "
                    f"lowest_limit_kw {self.auction.lowest_limit_kw:g}; it could offer nothing"
                )
            apart = {place: place.km_to(each) for place in self.place}
            nearest = min(apart, key=lambda place: apart[place] - place.reach_km)
            if apart[nearest] - nearest.reach_km > self.people.within_km[1]:
                yield (
                    f"station {each.name!r}: is {apart[nearest]:.0f} km from the nearest place, {nearest.name!r}; "
                    f"drivers go {self.people.within_km[1]:g} km at most (are latitude_deg and longitude_deg right?)"
                )
        for idle in sorted(cpos - {each.cpo for each in self.station}):
            yield f"cpo {idle!r}: has no station; leave it out"
        chargers = {charger for each in self.station for charger in each.charger_ids()}
        for fault in self.fault:
            if fault.kind.startswith("charger") and fault.target not in chargers:
                yield f"fault: there is no charger {fault.target!r}; the first one is {min(chargers)!r}"

    def _auction(self) -> Iterator[str]:
        """Terms that cannot be met."""
        terms = self.auction
        if terms.window_until <= terms.window_from:
            yield "auction: window_until is not after window_from; the window lies within one day"
        for name, does in (("window_from", "begin"), ("window_until", "end")):
            clock: time = getattr(terms, name)
            if clock.minute % QUARTER_MINUTES or clock.second or clock.microsecond:
                shown = clock.isoformat("auto" if clock.second or clock.microsecond else "minutes")
                yield f"auction: {name} is {shown}; it must {does} on a quarter of an hour"
        if terms.most_points < terms.least_points:
            yield "auction: most_points is less than least_points"
        if terms.most_activations > terms.period_days:
            yield f"auction: most_activations is {terms.most_activations}, and the period has {terms.period_days} days"
        opens = datetime.combine(self.scenario.start, terms.opens_at)
        if opens < datetime.combine(self.scenario.start, self.scenario.start_time):
            yield f"auction: opens_at is before the run begins at {self.scenario.start_time:%H:%M}"
        closes = opens + timedelta(minutes=terms.gate_closure_minutes)
        midnight = datetime.combine(self.period_start, time())
        if closes + _CHECK >= midnight:
            yield (
                f"auction: opens_at is {terms.opens_at:%H:%M} and gate_closure_minutes {terms.gate_closure_minutes}, "
                f"so the gate closes at {closes:%H:%M}{' of the next day' if closes >= midnight else ''}; "
                f"it must close before {midnight - _CHECK:%H:%M}, as contracts begin at midnight"
            )
        if terms.activates_at <= (closes + _CHECK).time():
            yield f"auction: activates_at is {terms.activates_at:%H:%M}, before the first contracts can be concluded"
        notice = datetime.combine(self.period_start, terms.window_from) - datetime.combine(
            self.scenario.start, terms.activates_at
        )
        if timedelta(minutes=terms.notice_minutes) > notice:
            minutes = notice // timedelta(minutes=1)
            yield (
                f"auction: notice_minutes is {terms.notice_minutes}, and from activates_at until the next day's "
                f"window there are {minutes}"
            )

    def _values(self) -> Iterator[str]:
        """Values that cannot be, or not together."""
        if "drivers" in self.model_fields_set:
            yield "drivers: here they are in the table people"
        for kind in ("home", "work"):
            if not self.of_place(kind):
                yield f"place: there is no {kind}; drivers need one"
        if len(self.energy.eur_per_kwh) != DAY_HOURS:
            yield f"energy.eur_per_kwh: {len(self.energy.eur_per_kwh)} prices; a day has {DAY_HOURS}, one each hour"
        if self.pricing.last_hour <= self.pricing.first_hour:
            yield "pricing: last_hour is not after first_hour"
        if self.pricing.most_reduction_eur_per_kwh > self.pricing.network_eur_per_kwh:
            yield "pricing: most_reduction_eur_per_kwh is more than network_eur_per_kwh; nobody is paid for network use"
        if self.pricing.lead_minutes >= 60 * self.pricing.horizon_hours:
            yield "pricing: lead_minutes is not less than horizon_hours; there would be no hour left to announce"
        for each in self.cpo:
            if each.usual_eur_per_kwh < self.pricing.network_eur_per_kwh:
                yield f"cpo {each.name!r}: usual_eur_per_kwh is less than network use costs"
            if each.margin_eur_per_kwh > each.usual_eur_per_kwh:
                yield (
                    f"cpo {each.name!r}: margin_eur_per_kwh {each.margin_eur_per_kwh} is more than "
                    f"usual_eur_per_kwh {each.usual_eur_per_kwh}"
                )
        for name in ("within_km", "battery_kwh", "max_charge_kw"):
            low, high = getattr(self.people, name)
            if low > high:
                yield f"people: {name} must be [smallest, largest]"
