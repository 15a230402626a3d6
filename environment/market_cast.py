"""The cast of a demonstrator with a market (BUC 1 and 6): FMO, DSO, TSO, CPOs, VPPs, EV owners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from agents.actor import Actor
from agents.cpo import Cpo
from agents.decisions.bidding import Strategy
from agents.decisions.planning import Costs
from agents.decisions.pricing import OperatorCosts
from agents.dso import Course, Dso
from agents.fmo import Fmo
from agents.grid_view import Limits
from agents.grid_watch import GridWatch
from agents.tso import Tso
from agents.vpp import Vpp
from behaviours.swarm import Swarm
from environment.cast import Cast, Props, owner_name
from environment.forecast import Forecaster
from environment.history import ChargingHistory
from environment.look_ahead import LookAhead
from environment.market_scenario import MarketScenario, MarketSitePart
from environment.world import Plant
from protocols.exchanges.procurement import ProductRequirements
from protocols.exchanges.vocabulary import BaselineMethod, PricingRule, ServiceType
from protocols.roles import Role


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


class MarketCast(Cast[MarketScenario]):
    """Makes the actors of one scenario."""

    def __init__(self, swarm: Swarm, domain: str, passwords: Mapping[str, str], props: Props) -> None:
        super().__init__(swarm, domain, passwords, props)
        market = self.scenario.market
        self.site_of: dict[str, MarketSitePart] = {c: s for s in self.scenario.site for c in s.charger_ids()}
        self.costs = Costs(
            energy_eur_per_kwh=float(market.energy_price_eur_per_kwh),
            wear_eur_per_kwh=float(market.battery_wear_eur_per_kwh),
        )
        self.product = product(self.scenario)
        self.forecaster = Forecaster(props.plant.profiles)

    @staticmethod
    def organisations(scenario: MarketScenario) -> dict[str, Role]:
        return {
            "fmo": Role.FMO,
            "dso": Role.DSO,
            "tso": Role.TSO,
            **{part.name: Role.CPO for part in scenario.cpo},
            **{part.name: Role.VPP for part in scenario.vpp},
        }

    def actors_of_organisations(self) -> list[Actor]:
        return [
            Fmo(*self._at("fmo"), ledger=self.props.ledger),
            self._dso(),
            Tso(*self._at("tso")),
            *(self._cpo(part.name, part.vpp) for part in self.scenario.cpo),
            *(self._vpp(number) for number in range(len(self.scenario.vpp))),
        ]

    def operator_of(self, charger_id: str) -> str:
        return self.site_of[charger_id].cpo

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
            vpp=self._jid(vpp).partition("@")[0],
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
            registrations=[
                at + timedelta(seconds=number) for at in self.scenario.on_each_day(self.scenario.market.registration)
            ],
            ledger=self.props.ledger,
            min_power_kw=self.product.min_power_kw,
            granularity_kw=self.product.granularity_kw,
            baseline=self.product.baseline,
            feed_in_eur_per_kwh=float(self.scenario.market.feed_in_eur_per_kwh),
            penalty_eur_per_kw=self.product.penalty_eur_per_kw,
        )


def product(scenario: MarketScenario) -> ProductRequirements:
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


def _on(scenario: MarketScenario, day: date, name: str) -> datetime:
    """The instant (UTC) of one time of the market's course on that day."""
    return datetime.combine(day, getattr(scenario.market, name), scenario.zone).astimezone(UTC)


def courses(scenario: MarketScenario) -> Sequence[Course]:
    """The DSO's market days: those whose whole course lies in the run."""
    names = ("requirements", "need", "gate_closure", "first_delivery", "last_delivery")
    touched = [scenario.scenario.start + timedelta(days=k) for k in range(scenario.scenario.days + 1)]
    all_days = [Course(*(_on(scenario, day, name) for name in names)) for day in touched]
    begins, ends = scenario.begins.astimezone(UTC), scenario.ends.astimezone(UTC)
    return [day for day in all_days if begins <= day.requirements and day.last_delivery < ends]
