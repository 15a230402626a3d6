"""The cast of an island (BUC 2 and 4.1): EDA as TSO and as DSO, FO, EMSP, producers, V2X managers, EV owners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from agents.actor import Actor
from agents.decisions.invoicing import Fees
from agents.emsp import Emsp
from agents.fo import FlexibilityOperator
from agents.grid_view import Limits
from agents.island_ports import DispatchCentre
from agents.island_tso import IslandTso
from agents.producer import Producer
from agents.v2x_manager import V2xManager
from agents.voltage_dso import VoltageDso
from behaviours.swarm import Swarm
from environment.acts import NotedCentre
from environment.cast import Cast, Props, owner_name
from environment.estimation import StateEstimator
from environment.forecast import Forecaster
from environment.history import ChargingHistory
from environment.island_plant import ConnectionMeter, ProducerMeter, tariff_of
from environment.island_scenario import IslandScenario, ManagerPart
from environment.meters import MeterNoise, NetworkMeters
from environment.voltage_model import MeteredNetwork
from protocols.roles import Role


class IslandCast(Cast[IslandScenario]):
    """Makes the actors of one scenario."""

    def __init__(self, swarm: Swarm, domain: str, passwords: Mapping[str, str], props: Props) -> None:
        super().__init__(swarm, domain, passwords, props)
        island = props.plant.island
        assert island is not None
        self.island = island
        self.tariff = tariff_of(self.scenario)
        self.manager_of: dict[str, ManagerPart] = {c: m for m in self.scenario.manager for c in m.charger_ids()}
        self.until = self.scenario.ends.astimezone(UTC)

    @staticmethod
    def organisations(scenario: IslandScenario) -> dict[str, Role]:
        return {
            "emsp": Role.EMSP,
            "fo": Role.FO,
            "dso": Role.DSO,
            "tso": Role.TSO,
            **{plant.name: Role.PRODUCER for plant in scenario.plant},
            **{manager.name: Role.V2X_MANAGER for manager in scenario.manager},
        }

    def actors_of_organisations(self) -> list[Actor]:
        return [
            self._emsp(),
            FlexibilityOperator(*self._at("fo"), zone=self.scenario.zone, ledger=self.props.ledger, until=self.until),
            self._dso(),
            self._tso(),
            *(self._producer(plant.name) for plant in self.scenario.plant),
            *(self._manager(manager) for manager in self.scenario.manager),
        ]

    def operator_of(self, charger_id: str) -> str:
        return self.manager_of[charger_id].name

    def _emsp(self) -> Emsp:
        plant, service = self.props.plant, self.scenario.service
        return Emsp(
            *self._at("emsp"),
            tariff=self.tariff,
            zone=self.scenario.zone,
            drivers={c: self._jid(owner_name(c)) for c in self.manager_of},
            manager_of={c: self._jid(manager.name) for c, manager in self.manager_of.items()},
            feeder_of={c: plant.grid.feeder_of(plant.bus_of[c]) for c in self.manager_of},
            tso=self._jid("tso"),
            dso=self._jid("dso"),
            fees=Fees(
                margin_eur_per_kwh=service.emsp_margin_eur_per_kwh,
                fo_eur_per_kwh=service.fo_fee_eur_per_kwh,
                manager_eur_per_kwh=service.manager_fee_eur_per_kwh,
                penalty_eur_per_kwh=service.penalty_eur_per_kwh,
            ),
            ledger=self.props.ledger,
            invoices_at=self._invoices_at(),
            until=self.until,
        )

    def _invoices_at(self) -> list[datetime]:
        """Once a day of the run, when its last quarter of an hour has been read."""
        return [
            *self.scenario.on_each_day(self.scenario.scenario.start_time)[1:],
            self.until,
        ]

    def _dso(self) -> VoltageDso:
        plant, scenario = self.props.plant, self.scenario
        band = (scenario.grid.voltage_band_percent - scenario.service.voltage_margin_percent) / 100
        noise = MeterNoise()
        model = MeteredNetwork(
            plant.grid,
            Forecaster(plant.profiles),
            NetworkMeters(plant.grid, scenario.grid.metered, self.props.streams["meters"], noise),
            StateEstimator(plant.grid, noise),
            self.props.world.last_quarter,
            scenario.zone,
        )
        return VoltageDso(
            *self._at("dso"),
            model=model,
            limits=Limits(
                transformer_percent=scenario.grid.transformer_limit_percent,
                line_percent=scenario.grid.line_limit_percent,
                vm_min_pu=1 - band,
                vm_max_pu=1 + band,
            ),
            connections=plant.bus_of,
            tariff=self.tariff,
            zone=scenario.zone,
            ledger=self.props.ledger,
            until=self.until,
            typical=ChargingHistory(scenario, plant.bus_of, self.props.streams["history"]),
            least_kw=scenario.service.least_kw,
        )

    def _tso(self) -> IslandTso:
        service = self.scenario.service
        return IslandTso(
            *self._at("tso"),
            plants=self.island.plants,
            demand=self.island.forecast,
            tariff=self.tariff,
            fuel_eur_per_kg=service.fuel_eur_per_kg,
            zone=self.scenario.zone,
            ledger=self.props.ledger,
            until=self.until,
            least_kw=service.least_kw,
            margin=service.forecast_margin_percent / 100,
            least_thermal=self.scenario.island.least_thermal_units,
            centre=self._centre(),
        )

    def _centre(self) -> DispatchCentre | None:
        """Where the plants are dispatched; what it is told is noted where acts are."""
        world = self.props.world
        return world.island if world.island is None or world.noting is None else NotedCentre(world.island, world.noting)

    def _producer(self, name: str) -> Producer:
        return Producer(
            *self._at(name),
            plant=name,
            meter=ProducerMeter(self.island, self.props.world, name),
            silent=self._fault("producer-silent", name),
            until=self.until,
        )

    def _manager(self, part: ManagerPart) -> V2xManager:
        plant, chargers = self.props.plant, part.charger_ids()
        buses = [plant.bus_of[c] for c in chargers]
        idle = self._fault("manager-idle", part.name)
        return V2xManager(
            *self._at(part.name),
            kind=part.kind,
            feeder=plant.grid.feeder_of(buses[0]),
            chargers=[self.props.chargers[c] for c in chargers],
            buses=buses,
            efficiency=[(part.efficiency_charge, part.efficiency_discharge)] * len(chargers),
            ratings_kw=[(part.max_charge_kw, part.max_discharge_kw)] * len(chargers),
            tariff=self.tariff,
            zone=self.scenario.zone,
            wear_eur_per_kwh=float(self.scenario.tariff.battery_wear_eur_per_kwh),
            store_up_to_percent=part.store_up_to_percent,
            minimum_benefit_eur_per_kwh=part.minimum_benefit_eur_per_kwh,
            drivers={c: self._jid(owner_name(c)) for c in chargers},
            ledger=self.props.ledger,
            until=self.until,
            obeys=lambda now: not idle(now),
            site=ConnectionMeter(self.props.world, [plant.grid.index(bus) for bus in buses]),
        )

    def _fault(self, kind: str, target: str) -> Callable[[datetime], bool]:
        """Whether that goes wrong at a time."""
        faults = [fault for fault in self.scenario.fault if (fault.kind, fault.target) == (kind, target)]
        return lambda now: any(fault.at(now.astimezone(self.scenario.zone).time()) for fault in faults)
