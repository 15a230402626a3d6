"""The cast of public stations (BUC 4.2 and 5): a DSO, the capacity market's FMO, the operators, and their drivers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from agents.actor import Actor
from agents.capacity_buyer import AuctionPlan
from agents.capacity_fmo import CapacityFmo
from agents.decisions.capacity_curve import OpportunityCosts
from agents.decisions.price_reduction import Beliefs
from agents.decisions.station_prices import StationTariff
from agents.network_pricing import PricingPlan
from agents.page_driver import PageDriver
from agents.public_cpo import PublicCpo
from agents.public_driver import PublicDriver
from agents.public_dso import PublicDso
from behaviours.swarm import Swarm
from environment.cast import Cast, Props
from environment.public_history import PublicHistory
from environment.public_needs import Driver
from environment.public_scenario import PAGE_DRIVER, CpoPart, PublicScenario
from environment.public_study import Study
from environment.public_without import PEOPLE
from environment.public_world import NO_CAP, PublicWorld
from protocols.roles import Role


class ActivatedCaps:
    """Under which activated limit a station is, for the series: kW, nan where there is none."""

    def __init__(self, operators: Sequence[PublicCpo]) -> None:
        self._of = {station: cpo for cpo in operators for station in cpo.stations}

    def __call__(self, station_id: str, at: datetime) -> float:
        holding = [
            limit.limit_kw
            for limit in self._of[station_id].caps.activated.values()
            if limit.station_id == station_id and limit.start <= at < limit.end
        ]
        return min(holding, default=NO_CAP)


class PublicCast(Cast[PublicScenario]):
    """Makes the actors of one scenario."""

    def __init__(self, swarm: Swarm, domain: str, passwords: Mapping[str, str], props: Props) -> None:
        super().__init__(swarm, domain, passwords, props)
        assert isinstance(props.world, PublicWorld)
        self.world = props.world
        self.until = self.scenario.ends.astimezone(UTC)
        self.history = PublicHistory(self.scenario, PEOPLE, props.streams["history"])

    @staticmethod
    def organisations(scenario: PublicScenario) -> dict[str, Role]:
        return {
            scenario.dso.name: Role.DSO,
            scenario.auction.operator: Role.FMO,
            **{cpo.name: Role.CPO for cpo in scenario.cpo},
        }

    @classmethod
    def roles(cls, scenario: PublicScenario, domain: str) -> dict[str, Role]:
        people = scenario.people
        drivers = dict.fromkeys((*people.names(), *((PAGE_DRIVER,) if people.page else ())), Role.EV_OWNER)
        return super().roles(scenario, domain) | {f"{name}@{domain}": role for name, role in drivers.items()}

    def operator_of(self, charger_id: str) -> str:
        return next(site.cpo for site in self.scenario.stations() if charger_id in site.charger_ids)

    def actors_of_organisations(self) -> list[Actor]:
        operators = [self._cpo(part) for part in self.scenario.cpo]
        self.world.cap_kw = ActivatedCaps(operators)
        return [self._dso(), CapacityFmo(*self._at(self.scenario.auction.operator)), *operators]

    def _dso(self) -> PublicDso:
        scenario, network = self.scenario, self.props.plant.networks.members[0]
        sites, public = scenario.stations(), self.props.plant.public
        study = Study(
            network.profiles, sites, self.history, scenario.zone, self.swarm.clock.now, scenario.scenario.seed
        )
        return PublicDso(
            *self._at(scenario.dso.name),
            study=study,
            stations=sites,
            terms=self._terms(),
            pricing=self._pricing(),
            ledger=self.props.ledger,
            until=self.until,
            signals=() if public is None else public.signals,
        )

    def _terms(self) -> AuctionPlan:
        scenario, auction = self.scenario, self.scenario.auction
        opens_at = datetime.combine(scenario.scenario.start, auction.opens_at, scenario.zone).astimezone(UTC)
        return AuctionPlan(
            opens_at=opens_at,
            gate_closure_minutes=auction.gate_closure_minutes,
            period_days=auction.period_days,
            window=scenario.window,
            most_activations=auction.most_activations,
            notice_minutes=auction.notice_minutes,
            least_points=auction.least_points,
            most_points=auction.most_points,
            step_kw=auction.step_kw,
            lowest_limit_kw=auction.lowest_limit_kw,
            most_eur=auction.most_eur,
            penalty_eur_per_kwh=auction.penalty_eur_per_kwh,
            scenarios=auction.scenarios,
            violation_eur_per_kwh=float(scenario.dso.violation_eur_per_kwh),
            line_limit_percent=scenario.grid.line_limit_percent,
            activates_at=auction.activates_at,
        )

    def _pricing(self) -> PricingPlan:
        pricing = self.scenario.pricing
        return PricingPlan(
            network_eur_per_kwh=pricing.network_eur_per_kwh,
            most_reduction_eur_per_kwh=pricing.most_reduction_eur_per_kwh,
            step_eur_per_kwh=pricing.step_eur_per_kwh,
            first_hour=pricing.first_hour,
            last_hour=pricing.last_hour,
            horizon_hours=pricing.horizon_hours,
            lead_minutes=pricing.lead_minutes,
            threshold_kw=pricing.threshold_kw,
            beliefs=Beliefs(following=self.scenario.people.follows_prices_share),
        )

    def _cpo(self, part: CpoPart) -> PublicCpo:
        scenario = self.scenario
        sites, network = scenario.stations(part.name), scenario.pricing.network_eur_per_kwh
        return PublicCpo(
            *self._at(part.name),
            stations=sites,
            chargers={charger: self.props.chargers[charger] for site in sites for charger in site.charger_ids},
            tariff=StationTariff(part.usual_eur_per_kwh, network),
            costs=OpportunityCosts(
                margin_eur_per_kwh=float(part.margin_eur_per_kwh),
                energy_eur_per_kwh=scenario.energy_by_quarter(),
                goodwill_eur_per_kwh=float(part.goodwill_eur_per_kwh),
            ),
            history=self.history,
            network_eur_per_kwh=network,
            ledger=self.props.ledger,
            until=self.until,
        )

    def _owners(self) -> Sequence[Actor]:
        assert self.props.plant.public is not None
        drawn: list[Actor] = [self._driver(driver) for driver in self.props.plant.public.needs.drivers]
        return [*drawn, self._person()] if self.scenario.people.page else drawn

    def _person(self) -> PageDriver:
        return PageDriver(
            *self._at(PAGE_DRIVER), car=self.world.car(PAGE_DRIVER), ledger=self.props.ledger, until=self.until
        )

    def _driver(self, driver: Driver) -> PublicDriver:
        return PublicDriver(
            *self._at(driver.name),
            needs=driver.needs,
            car=self.world.car(driver.name),
            model=PEOPLE,
            seed=self.scenario.scenario.seed,
            follows_prices=driver.follows_prices,
            ledger=self.props.ledger,
            until=self.until,
        )
