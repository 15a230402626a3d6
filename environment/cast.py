"""The cast of a run: which agents there are, and what each is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from agents.actor import Actor
from agents.cpo import Cpo
from agents.decisions.bidding import Strategy
from agents.decisions.participation import Preference, draw_preferences
from agents.decisions.planning import Costs
from agents.decisions.pricing import OperatorCosts
from agents.dso import Course, Dso
from agents.ev_owner import EvOwner, Visit
from agents.fmo import Fmo
from agents.grid_environment import GridEnvironment, PhysicalWorld
from agents.grid_view import Limits
from agents.grid_watch import GridWatch
from agents.ledger import Ledger
from agents.observer import Observer, TraceWriter
from agents.ports import Charger
from agents.tso import Tso
from agents.vpp import Vpp
from behaviours.swarm import Swarm
from environment.forecast import Forecaster
from environment.history import ChargingHistory
from environment.look_ahead import LookAhead
from environment.scenario import Scenario, SitePart
from environment.sessions import Session
from environment.world import Plant
from protocols.exchanges.procurement import ProductRequirements
from protocols.exchanges.vocabulary import BaselineMethod, PricingRule, ServiceType
from protocols.roles import Role

SENSOR_INTERVAL = timedelta(minutes=15)


def roles(scenario: Scenario, domain: str) -> dict[str, Role]:
    """Who takes part, by JID, in the order in which they enter the swarm after the directory."""
    names = {
        "directory": Role.DIRECTORY,
        "environment": Role.ENVIRONMENT,
        "observer": Role.OBSERVER,
        "fmo": Role.FMO,
        "dso": Role.DSO,
        "tso": Role.TSO,
        **{part.name: Role.CPO for part in scenario.cpo},
        **{part.name: Role.VPP for part in scenario.vpp},
        **{owner_name(charger): Role.EV_OWNER for site in scenario.site for charger in site.charger_ids()},
    }
    return {f"{name}@{domain}": role for name, role in names.items()}


def owner_name(charger_id: str) -> str:
    """The name of the EV owner who parks at that charger."""
    return f"ev-{charger_id}"


@dataclass(frozen=True)
class Props:
    """What the actors are given besides the swarm's ports."""

    plant: Plant
    world: PhysicalWorld
    ledger: Ledger
    writer: TraceWriter
    chargers: Mapping[str, Charger]
    streams: Mapping[str, np.random.Generator]


@dataclass(frozen=True)
class SiteProduction:
    """Implements `agents.ports.ProductionForecast` for the PV at one bus, by the operator's kind of forecast."""

    forecaster: Forecaster
    plant: Plant
    bus: str

    def production_kw(self, start: datetime, periods: int) -> Sequence[float]:
        local = start.astimezone(self.plant.scenario.zone)
        injections = self.forecaster.periods(local, periods, now=local)
        return [-float(kw) for kw in injections.pv_kw_by_bus[:, self.plant.grid.index(self.bus)]]


class Cast:
    """Makes the actors of one scenario."""

    def __init__(self, swarm: Swarm, domain: str, passwords: Mapping[str, str], props: Props) -> None:
        self.swarm = swarm
        self.domain = domain
        self.passwords = passwords
        self.props = props
        self.scenario = props.plant.scenario
        self.site_of: dict[str, SitePart] = {c: site for site in self.scenario.site for c in site.charger_ids()}
        market = self.scenario.market
        self.costs = Costs(
            energy_eur_per_kwh=float(market.energy_price_eur_per_kwh),
            wear_eur_per_kwh=float(market.battery_wear_eur_per_kwh),
        )
        self.product = product(self.scenario)
        self.forecaster = Forecaster(props.plant.profiles)

    def _jid(self, name: str) -> str:
        return f"{name}@{self.domain}"

    def _at(self, name: str) -> tuple[str, str, Swarm]:
        return self._jid(name), self.passwords[self._jid(name)], self.swarm

    def actors(self) -> list[Actor]:
        """All but the directory, in the order in which they enter."""
        props = self.props
        return [
            GridEnvironment(*self._at("environment"), world=props.world, interval=SENSOR_INTERVAL),
            Observer(*self._at("observer"), writer=props.writer),
            Fmo(*self._at("fmo")),
            self._dso(),
            Tso(*self._at("tso")),
            *(self._cpo(part.name, part.vpp) for part in self.scenario.cpo),
            *(self._vpp(number) for number in range(len(self.scenario.vpp))),
            *self._owners(),
        ]

    def _dso(self) -> Dso:
        scenario, costs = self.scenario, self.scenario.dso
        band = scenario.grid.voltage_band_percent / 100
        watch = GridWatch(
            LookAhead(self.props.plant.grid, self.props.plant.profiles, scenario.zone),
            Limits(
                transformer_percent=scenario.grid.transformer_limit_percent,
                line_percent=scenario.grid.line_limit_percent,
                vm_min_pu=1 - band,
                vm_max_pu=1 + band,
            ),
            OperatorCosts(
                transformer_eur=float(costs.transformer_eur),
                reinforcement_eur=float(costs.reinforcement_eur),
                lifetime_years=costs.reinforcement_years,
                interest=costs.interest_percent / 100,
                congested_hours=costs.congested_hours_per_year,
            ),
            ChargingHistory(scenario, self.props.plant.bus_of, self.props.streams["history"]),
            ambient_c=costs.ambient_temperature_c,
            margin=costs.forecast_margin_percent / 100,
            bad_day=costs.bad_day_percent / 100,
            granularity_kw=scenario.product.granularity_kw,
            max_duration_minutes=scenario.product.max_duration_minutes,
        )
        return Dso(
            *self._at("dso"),
            product=self.product,
            watch=watch,
            connections=self.props.plant.bus_of,
            delivery=(scenario.market.first_delivery, scenario.market.last_delivery),
            courses=courses(scenario),
            until=scenario.ends.astimezone(UTC),
            ledger=self.props.ledger,
            volume_tolerance=scenario.product.volume_tolerance_percent / 100,
        )

    def _cpo(self, name: str, vpp: str) -> Cpo:
        chargers = [c for c, site in self.site_of.items() if site.cpo == name]
        buses = [self.props.plant.bus_of[c] for c in chargers]
        office = next((b for c, b in zip(chargers, buses, strict=True) if self.site_of[c].kind == "office"), None)
        strategy = next(part for part in self.scenario.vpp if part.name == vpp)
        return Cpo(
            *self._at(name),
            vpp=vpp,
            chargers=[self.props.chargers[c] for c in chargers],
            buses=buses,
            efficiency=[self._efficiency(c) for c in chargers],
            ratings_kw=[(self.site_of[c].max_charge_kw, self.site_of[c].max_discharge_kw) for c in chargers],
            pv_bus=office,
            ledger=self.props.ledger,
            costs=self.costs,
            owner_benefit_eur_per_kw=strategy.owner_benefit_eur_per_kw,
            drivers={c: self._jid(owner_name(c)) for c in chargers},
            production=None if office is None else SiteProduction(self.forecaster, self.props.plant, office),
            fee=next(part.fee_percent for part in self.scenario.cpo if part.name == name) / 100,
        )

    def _efficiency(self, charger_id: str) -> tuple[float, float]:
        site = self.site_of[charger_id]
        return site.efficiency_charge, site.efficiency_discharge

    def _vpp(self, number: int) -> Vpp:
        part = self.scenario.vpp[number]
        cpos = {cpo.name for cpo in self.scenario.cpo if cpo.vpp == part.name}
        return Vpp(
            *self._at(part.name),
            product_id=self.product.product_id,
            strategy=Strategy(
                margin=part.margin_percent / 100,
                owners_eur_per_kw=float(part.owner_benefit_eur_per_kw),
                reserve=part.reserve_percent / 100,
            ),
            costs=self.costs,
            efficiency={c: self._efficiency(c) for c, site in self.site_of.items() if site.cpo in cpos},
            registrations=[at + timedelta(seconds=number) for at in registrations(self.scenario)],
            ledger=self.props.ledger,
            min_power_kw=self.product.min_power_kw,
            granularity_kw=self.product.granularity_kw,
            baseline=self.product.baseline,
            feed_in_eur_per_kwh=float(self.scenario.market.feed_in_eur_per_kwh),
            penalty_eur_per_kw=self.product.penalty_eur_per_kw,
        )

    def _owners(self) -> list[EvOwner]:
        drivers = self.scenario.drivers
        rng = self.props.streams["drivers"]
        preferences = draw_preferences(
            rng,
            len(self.site_of),
            unwilling=drivers.unwilling_share,
            median_eur_per_kwh=drivers.median_threshold_eur_per_kwh,
        )
        return [
            self._owner(charger, preference, stream)
            for charger, preference, stream in zip(self.site_of, preferences, rng.spawn(len(self.site_of)), strict=True)
        ]

    def _owner(self, charger: str, preference: Preference, rng: np.random.Generator) -> EvOwner:
        site = self.site_of[charger]
        return EvOwner(
            *self._at(owner_name(charger)),
            cpo=self._jid(site.cpo),
            charger_id=charger,
            max_charge_kw=site.max_charge_kw,
            efficiency=site.efficiency_charge,
            visits=[self._visit(s, site, rng) for s in self.props.plant.sessions.of(charger)],
            preference=preference,
        )

    def _visit(self, session: Session, site: SitePart, rng: np.random.Generator) -> Visit:
        """The stay, and what its driver thought of it the day before: off by the scenario's arrival error."""
        minutes = round(float(rng.normal(0.0, self.scenario.drivers.arrival_error_minutes)))
        latest = session.departure - timedelta(minutes=30)
        expected = min(session.arrival + timedelta(minutes=minutes), latest)
        soc = float(np.clip(session.soc_arrival_percent + rng.normal(0.0, 5.0), 5.0, session.soc_wanted_percent))
        return Visit(
            vehicle_id=session.vehicle_id,
            expected_arrival=expected,
            expected_soc_percent=round(soc, 1),
            arrival=session.arrival,
            departure=session.departure,
            capacity_kwh=session.capacity_kwh,
            soc_percent=session.soc_arrival_percent,
            wanted_soc_percent=session.soc_wanted_percent,
            minimum_soc_percent=site.minimum_soc_percent,
        )


def product(scenario: Scenario) -> ProductRequirements:
    """The DSO's local flexibility product, valid for the run."""
    part = scenario.product
    return ProductRequirements(
        product_id=f"{scenario.grid.congestion_point}-congestion",
        service=ServiceType.CONGESTION_MANAGEMENT,
        congestion_point=scenario.grid.congestion_point,
        min_power_kw=part.min_power_kw,
        granularity_kw=part.granularity_kw,
        notice_minutes=part.notice_minutes,
        max_duration_minutes=part.max_duration_minutes,
        baseline=BaselineMethod(part.baseline),
        pricing=PricingRule(part.pricing),
        max_price_eur_per_kw=part.max_price_eur_per_kw,
        penalty_eur_per_kw=part.penalty_eur_per_kw,
        valid_from=scenario.begins,
        valid_until=scenario.ends + timedelta(days=1),
    )


def _days(scenario: Scenario) -> list[date]:
    """Every calendar day that the run touches."""
    return [scenario.scenario.start + timedelta(days=k) for k in range(scenario.scenario.days + 1)]


def _on(scenario: Scenario, day: date, name: str) -> datetime:
    """The instant (UTC) of one time of the market's course on that day."""
    return datetime.combine(day, getattr(scenario.market, name), scenario.zone).astimezone(UTC)


def registrations(scenario: Scenario) -> list[datetime]:
    """When VPPs register their resources: each day of the run at the market's time."""
    begins, ends = scenario.begins.astimezone(UTC), scenario.ends.astimezone(UTC)
    return [at for day in _days(scenario) if begins <= (at := _on(scenario, day, "registration")) < ends]


def courses(scenario: Scenario) -> Sequence[Course]:
    """The DSO's market days: those whose whole course lies in the run."""
    names = ("requirements", "need", "gate_closure", "first_delivery", "last_delivery")
    all_days = [Course(*(_on(scenario, day, name) for name in names)) for day in _days(scenario)]
    begins, ends = scenario.begins.astimezone(UTC), scenario.ends.astimezone(UTC)
    return [day for day in all_days if begins <= day.requirements and day.last_delivery < ends]
