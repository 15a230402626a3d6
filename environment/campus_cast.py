"""The cast of campuses (BUC 3 and 7): the TSO, a DSO for each campus, a V2X manager for each lot, EV owners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time

import numpy as np

from agents.actor import Actor
from agents.congestion_dso import CongestionDso
from agents.decisions.customer import Consent
from agents.decisions.pricing import OperatorCosts
from agents.fcr_log import FcrLog
from agents.frequency_service import FcrTerms
from agents.frequency_tso import FrequencyTso
from agents.parking import Lot
from agents.parking_driver import ParkingDriver
from agents.parking_manager import ParkingManager
from behaviours.swarm import Swarm
from environment.campus_fcr import FcrPart
from environment.campus_plant import CongestionSignal, RetailList
from environment.campus_scenario import CampusPart, CampusScenario, LotPart, site_of_meter
from environment.cast import Cast, Props, owner_name
from environment.history import ChargingHistory
from environment.look_ahead import LookAhead
from environment.price_following import usual_plan
from protocols.exchanges.vocabulary import FcrProduct
from protocols.roles import Role


class Nominations:
    """What the chargers of portfolios that serve would draw without frequency control, as their managers have told it:
    the area's response is counted from there. Energy management belongs to it: it is traded (technical requirements
    3.5), and somebody else makes up for it. A test is no service."""

    def __init__(self, managers: Sequence[ParkingManager]) -> None:
        self._managers = managers

    def __call__(self) -> Mapping[str, float]:
        """kW by charger."""
        found: dict[str, float] = {}
        for manager in self._managers:
            control = manager.frequency_control
            if control is None or manager.test is not None:
                continue
            managed_kw = 0.0 if control.state is None else control.state.nem_kw
            total = sum(unit.capacity_kw for unit in control.units.values())
            for charger_id, unit in control.units.items():
                found[charger_id] = unit.baseline_kw + (managed_kw * unit.capacity_kw / total if total > 0 else 0.0)
        return found


class CampusCast(Cast[CampusScenario]):
    """Makes the actors of one scenario."""

    owner_class = ParkingDriver

    def __init__(self, swarm: Swarm, domain: str, passwords: Mapping[str, str], props: Props) -> None:
        super().__init__(swarm, domain, passwords, props)
        self.lot_of: dict[str, LotPart] = {c: lot for lot in self.scenario.lot for c in lot.charger_ids()}
        self.prices = RetailList(self.scenario)
        self.until = self.scenario.ends.astimezone(UTC)
        self.history = ChargingHistory(
            self.scenario, props.plant.bus_of, props.streams["history"], usual_plan(self.scenario, self.prices)
        )

    @staticmethod
    def organisations(scenario: CampusScenario) -> dict[str, Role]:
        return {
            scenario.area.tso: Role.TSO,
            **{campus.dso: Role.DSO for campus in scenario.campus},
            **{lot.name: Role.V2X_MANAGER for lot in scenario.lot},
        }

    def actors_of_organisations(self) -> list[Actor]:
        return [
            self._tso(),
            *(self._dso(campus) for campus in self.scenario.campus),
            *self._managers(),
        ]

    def operator_of(self, charger_id: str) -> str:
        return self.lot_of[charger_id].name

    def _tso(self) -> FrequencyTso:
        area, capacity = self.props.world.area, self.scenario.capacity
        assert area is not None
        prices = capacity.prices()
        return FrequencyTso(
            *self._at(self.scenario.area.tso),
            record=area,
            prices_eur_per_kw=prices,
            up_regulation_eur_per_kwh=capacity.up_regulation_eur_per_kwh,
            down_regulation_eur_per_kwh=capacity.down_regulation_eur_per_kwh,
            penalty_factor=capacity.penalty_factor,
            wanted_kw=dict.fromkeys(prices, capacity.wanted_kw),
            ledger=self.props.ledger,
            zone=self.scenario.zone,
            until=self.until,
        )

    def _dso(self, campus: CampusPart) -> CongestionDso:
        network, costs = self.props.plant.networks[campus.name], self.scenario.dso
        signal = CongestionSignal(self.scenario, campus.name)
        chargers = [c for c, lot in self.lot_of.items() if lot.campus == campus.name]
        return CongestionDso(
            *self._at(campus.dso),
            campus=campus.name,
            model=LookAhead(network.grid, network.profiles, self.scenario.zone),
            limits=signal,
            changes=signal.changes,
            connections={c: self.props.plant.bus_of[c] for c in chargers},
            operators={c: self._jid(self.lot_of[c].name) for c in chargers},
            costs=OperatorCosts(
                transformer_eur=float(costs.transformer_eur),
                reinforcement_eur=float(costs.reinforcement_eur),
                lifetime_years=costs.reinforcement_years,
                interest=costs.interest_percent / 100,
                congested_hours=costs.congested_hours_per_year,
            ),
            ambient_c=costs.ambient_temperature_c,
            margin=costs.forecast_margin_percent / 100,
            hysteresis_percent=costs.call_off_percent,
            discharge_kw=max((self.lot_of[c].max_discharge_kw for c in chargers), default=0.0),
            typical=self.history,
            ledger=self.props.ledger,
            zone=self.scenario.zone,
            until=self.until,
        )

    def _managers(self) -> list[ParkingManager]:
        managers = [self._manager(lot) for lot in self.scenario.lot]
        self.props.world.nominations = Nominations(managers)
        return managers

    def _manager(self, part: LotPart) -> ParkingManager:
        chargers, fcr = part.charger_ids(), self.scenario.fcr_of(part.name)
        meters = [self.props.meters[name] for name in self.scenario.meters if site_of_meter(name) == part.name]
        return ParkingManager(
            *self._at(part.name),
            lot=Lot(
                name=part.name,
                location=part.campus,
                efficiency=(part.efficiency_charge, part.efficiency_discharge),
                ratings_kw=(part.max_charge_kw, part.max_discharge_kw),
                wear_eur_per_kwh=part.battery_wear_eur_per_kwh,
                store_up_to_percent=part.store_up_to_percent,
                minimum_benefit_eur_per_kwh=part.minimum_benefit_eur_per_kwh,
                services=("congestion",),
            ),
            chargers=[self.props.chargers[c] for c in chargers],
            buses=[self.props.plant.bus_of[c] for c in chargers],
            drivers={c: self._jid(owner_name(c)) for c in chargers},
            prices=self.prices,
            ledger=self.props.ledger,
            zone=self.scenario.zone,
            until=self.until,
            fcr=None if fcr is None else self._terms(fcr),
            bench=None if fcr is None else self.props.benches[part.name],
            meters=meters,
            log=None if fcr is None else self._log(part.name, fcr.product),
            act_every_s=self.props.act_every_s,
        )

    def _terms(self, fcr: FcrPart) -> FcrTerms:
        """The scenario's times as instants: the first of each that comes after the one before."""
        scenario = self.scenario
        applied = scenario.next_at(fcr.application, scenario.begins)
        first = scenario.next_at(fcr.first_hour, applied)
        (_, last), *later = [
            (at.astimezone(UTC), scenario.next_at(fcr.last_hour, at).astimezone(UTC))
            for at in sorted({first.astimezone(UTC), *scenario.on_each_day(fcr.first_hour)})
            if at >= first
        ]
        return FcrTerms(
            product=fcr.product,
            control=fcr.control,
            capacity_kw=fcr.capacity_kw,
            energy_kwh=fcr.energy_kwh,
            application_at=applied.astimezone(UTC),
            test_from=scenario.next_at(fcr.test_from, applied).astimezone(UTC),
            first_hour=first.astimezone(UTC),
            last_hour=last,
            price_eur_per_kw=fcr.price_eur_per_kw,
            nem_disable_minutes=fcr.nem_disable_minutes,
            cancels_test_at=self._optional(fcr.cancel_test, applied),
            withdraw_at=self._optional(fcr.withdraw, applied),
            later_nights=tuple(later),
            # The market's least is 0.1 MW, which is what the run's chargers stand for (`[area] represents`).
            minimum_bid_kw=1.0,
        )

    def _optional(self, clock: time | None, after: datetime) -> datetime | None:
        return None if clock is None else self.scenario.next_at(clock, after).astimezone(UTC)

    def _log(self, lot: str, product: FcrProduct) -> FcrLog | None:
        folder = self.props.fcr_log
        return None if folder is None else FcrLog(folder, lot, product)

    def _consent(self, rng: np.random.Generator) -> Consent:
        customers = self.scenario.customers
        return Consent(
            flexible=bool(rng.random() < customers.flexible_share),
            least_share=customers.least_share,
            wear_eur_per_kwh=customers.wear_eur_per_kwh,
        )
