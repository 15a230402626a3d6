"""The transmission system operator of an island: balances every quarter of an hour, saves wind by more consumption."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from functools import partial
from itertools import count
from typing import ClassVar

from agents.actor import Actor
from agents.decisions.dispatch import (
    Dispatch,
    Plant,
    commit,
    dispatch,
    increase_that_avoids_curtailment,
    largest_infeed_kw,
    residual_kw,
)
from agents.decisions.tariff import Tariff, curtailment_prices
from agents.island_ports import DemandForecast, DispatchCentre
from agents.ledger import Ledger
from agents.news import News
from agents.paying import pay_or_refuse
from agents.periods import QUARTER, next_quarter, quarter_at
from agents.plant_watch import PlantWatch
from agents.producer import SERVICE
from agents.quarter_cycle import ANSWER_TIME, BALANCE_AFTER
from agents.service_keeper import ServiceKeeper, Ticket
from behaviours.answering import Incoming, Inform, Refuse, answers
from behaviours.initiating import OnInform
from behaviours.outcomes import Subscribed
from behaviours.swarm import Swarm
from protocols.exchanges.content import Content
from protocols.exchanges.res_curtailment import (
    CurtailmentActivation,
    FlexibilityInformation,
    FlexibilitySubscription,
    Invoice,
    Measurements,
    MeasurementsSubscription,
)
from protocols.exchanges.vocabulary import ServiceType
from protocols.roles import Role


@dataclass(frozen=True, slots=True)
class Balance:
    """What the TSO expected of the quarter of an hour from `start` when it decided, in kW; consumption is positive.

    `demand_kw` without the vehicles, `ev_baseline_kw` theirs by their own plans; `available_kw` what each plant could
    give; `curtailment_kw` the wind that would be left out, `need_kw` the consumption that would let it in.
    `flexible_kw` is what the vehicles could draw more, None where the FO did not say. `asked_kw` is 0 where nothing was
    asked; `agreed_kw` None where nothing was agreed to.
    """

    start: datetime
    demand_kw: float
    ev_baseline_kw: float
    available_kw: Mapping[str, float]
    thermal_minimum_kw: float
    curtailment_kw: float
    need_kw: float
    flexible_kw: float | None
    asked_kw: float = 0.0
    agreed_kw: float | None = None
    service_id: str | None = None


class IslandTso(Actor):
    """D5.1 section 3.2: EDA "will collect the information concerning the power consumption and generation every 15
    minutes and the very-short term forecast for the following 15 minutes"; "based on the operating conditions and
    forecast information, the TSO will determine the need for flexibility activation to avoid/limit wind generation
    curtailment", and sends the FO "the active power consumption that should be increased (ID 2.3)". "The service is
    updated every 15 minutes. When the service is no longer needed, a deactivation signal should be sent".

    `margin` is the part by which more than the need is asked for; nothing below `least_kw` is, and all in steps of
    `granularity_kw`. At least `least_thermal` thermal units always run; the dispatch `centre` is told what of the
    consumption none needs to run for.
    """

    role: ClassVar[Role] = Role.TSO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        plants: Sequence[Plant],
        demand: DemandForecast,
        tariff: Tariff,
        fuel_eur_per_kg: Decimal,
        zone: tzinfo,
        ledger: Ledger,
        until: datetime,
        least_kw: float = 1.0,
        granularity_kw: float = 0.1,
        margin: float = 0.0,
        least_thermal: int = 2,
        centre: DispatchCentre | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.plants = tuple(plants)
        self.demand = demand
        self.tariff = tariff
        self.fuel_eur_per_kg = fuel_eur_per_kg
        self.zone = zone
        self.ledger = ledger
        self.until = until
        self.least_kw = least_kw
        self.granularity_kw = granularity_kw
        self.margin = margin
        self.least_thermal = least_thermal
        self.centre = centre
        self.balances: list[Balance] = []
        self.ev_kw: dict[datetime, float] = {}
        """What the vehicles in a service drew in the quarter that began then, as the FO's 2.1 told."""
        self.watch = PlantWatch(plants, self.now, self.notice)
        numbers = count(1)
        self.keeper = ServiceKeeper(
            self, "more consumption", lambda: f"{self.name}-service-{next(numbers)}", self.until
        )
        self._measured: News[Measurements] = News("2.1", self.now, self.notice)
        self._flexible: News[FlexibilityInformation] = News("2.2", self.now, self.notice)
        self._fo: str | None = None
        self._fo_silent = False
        self._ev_baseline: dict[datetime, float] = {}

    async def course(self) -> None:
        """Subscribes to who produces and to the FO; then balances each quarter of an hour in the one before it."""
        start = next_quarter(self.now()) + QUARTER
        await self._subscribe_all()
        while start + QUARTER <= self.until:
            await self.clock.sleep_until(start - QUARTER + BALANCE_AFTER)
            await self._balance(start)
            start += QUARTER

    @answers(Invoice)
    async def on_invoice(self, invoice: Invoice, incoming: Incoming) -> Inform | Refuse:
        """2.x.1: "allowing the invoicing of the different services by the different actors"."""
        return pay_or_refuse(self.ledger, invoice, customer=self.address, emsp=incoming.sender, at=self.now())

    # ---- 2.1 and 2.2: what is measured, and what the vehicles can do ---------------------------------------------

    async def _subscribe_all(self) -> None:
        """All at once: one that keeps silent must not hold up the others."""
        asked = []
        for producer in await self.search(role=Role.PRODUCER):
            plant = next((s.removeprefix(SERVICE) for s in producer.services if s.startswith(SERVICE)), None)
            if plant in self.watch.plants:
                topic = MeasurementsSubscription(request_id=f"{self.name}-2.1-{plant}", timestamp=self.now())
                asked.append(self._subscribe(topic, producer.jid, partial(self.on_plant, plant)))
            else:
                self.notice(f"{producer.jid} is no producer of a plant that is known here")
        operators = await self.search(role=Role.FO)
        if operators:
            self._fo = fo = operators[0].jid
            measured = MeasurementsSubscription(request_id=f"{self.name}-2.1-vehicles", timestamp=self.now())
            flexible = FlexibilitySubscription(request_id=f"{self.name}-2.2", timestamp=self.now())
            asked.append(self._subscribe(measured, fo, self.on_measurements))
            asked.append(self._subscribe(flexible, fo, self.on_flexibility_information))
        else:
            self.notice("there is no flexibility operator: no wind can be saved")
        await asyncio.gather(*asked)

    async def _subscribe(self, topic: Content, to: str, on_inform: OnInform) -> None:
        outcome = await self.subscribe(topic, to=to, on_inform=on_inform, reply_by=self.now() + ANSWER_TIME)
        if not isinstance(outcome, Subscribed):
            self.notice(f"{to} does not send {topic.exchange}: {outcome}")

    def on_plant(self, plant: str, report: Measurements) -> None:
        """2.1 of a producer. One that does not end with a quarter of an hour says that much less can be given now."""
        self.watch.take(plant, report)
        if report.end != (quarter := quarter_at(report.end)):
            self._review(quarter)

    def on_measurements(self, report: Measurements) -> None:
        """2.1 of the FO: what the vehicles drew "during the service participation"."""
        if self._measured.take(str(self._fo), report):
            self.ev_kw[report.start] = report.ev_kw

    def on_flexibility_information(self, information: FlexibilityInformation) -> None:
        """2.2 of the FO: what the vehicles can do in the quarter of an hour from `start`."""
        if self._flexible.take(str(self._fo), information):
            self._ev_baseline[information.start] = sum((user.baseline_kw for user in information.users), 0.0)
            for old in [start for start in self._ev_baseline if start < information.start - 2 * QUARTER]:
                del self._ev_baseline[old]

    def _vehicles(self, start: datetime) -> tuple[float, float | None]:
        """The vehicles' baseline and by how much they could draw more, in kW, in the quarter from `start`.

        Without a 2.2 for it the baseline of the last one counts, and nothing is known to be flexible.
        """
        fo = str(self._fo)
        information = self._flexible.newest(fo)
        users = () if information is None else information.users
        baseline = sum((user.baseline_kw for user in users), 0.0)
        if information is not None and information.start == start:
            if self._fo_silent:
                self.notice(f"{fo} says again what the vehicles can do")
            self._fo_silent = False
            return baseline, sum((user.increase_kw for user in users), 0.0)
        if not self._fo_silent and self._fo is not None:
            self.notice(f"{fo} does not say what the vehicles can do: they count with {baseline:g} kW, none flexible")
        self._fo_silent = True
        return baseline, None

    # ---- the balance, and 2.3 ------------------------------------------------------------------------------------

    async def _balance(self, start: datetime) -> None:
        """What would be curtailed in the quarter from `start` if no service ran, and the 2.3 that avoids it."""
        demand = self.demand.demand_kw(start, self.now())
        ev_baseline, flexible = self._vehicles(start)
        available = self.watch.available_kw(start - QUARTER)
        running = self._running(start, available)
        expected = dispatch(self.plants, demand + ev_baseline, available, committed=running)
        need = increase_that_avoids_curtailment(expected)
        asked = self._to_ask(need, flexible or 0.0)
        service = None
        if asked > 0 and self._fo is not None:
            signal = partial(self._activation, asked, flexible or 0.0, self._fuel_eur_per_kwh(expected))
            service = await self.keeper.ask(self._fo, start, signal, sign=1)
            if service is not None and self.centre is not None:
                self.centre.interruptible(start, service.agreed_kw, beyond_kw=ev_baseline)
        elif need < self.least_kw:
            self.keeper.stop(start, "no curtailment is expected any more")
        elif flexible is not None:
            self.keeper.stop(start, "the vehicles can take no more")
        self.balances.append(
            Balance(
                start=start,
                demand_kw=demand,
                ev_baseline_kw=ev_baseline,
                available_kw=available,
                thermal_minimum_kw=expected.thermal_minimum_kw,
                curtailment_kw=expected.curtailed_kw,
                need_kw=need,
                flexible_kw=flexible,
                asked_kw=asked,
                agreed_kw=None if service is None else service.agreed_kw,
                service_id=None if service is None else service.service_id,
            )
        )

    def _review(self, quarter: datetime) -> None:
        """Calls the running service off at once where the quarter that has begun would curtail nothing without it, and
        thermal units would burn fuel for it."""
        if self.keeper.running(self.now()) is None:
            return
        firm = self.demand.demand_kw(quarter, self.now()) + self._ev_baseline.get(quarter, 0.0)
        available = self.watch.available_kw(quarter)
        expected = dispatch(self.plants, firm, available, committed=self._running(quarter, available))
        if expected.curtailed_kw == 0 and expected.thermal_kw - expected.thermal_minimum_kw >= self.least_kw:
            for at in (self.now(), quarter + QUARTER):  # what runs, and what has just been agreed to go on
                self.keeper.stop(at, "there is no wind to save any more")

    def _running(self, start: datetime, available_kw: Mapping[str, float]) -> list[str]:
        """The thermal units that will run in the quarter from `start`: by the rule of dispatch they are chosen for what
        the quarter before it leaves to them, vehicles included, but not what these draw more to take up wind."""
        before = start - QUARTER
        firm = self.demand.demand_kw(before, self.now()) + self._ev_baseline.get(before, 0.0)
        left = residual_kw(self.plants, firm, available_kw)
        reserve = largest_infeed_kw(self.plants, available_kw)
        chosen = commit(self.plants, left, reserve, least_thermal=self.least_thermal, keep=self.watch.young(start))
        return [plant.name for plant in chosen]

    def _to_ask(self, need_kw: float, flexible_kw: float) -> float:
        """The need with its margin in steps upwards, but no more than is flexible in steps downwards; 0 for nothing."""
        if need_kw < self.least_kw:
            return 0.0
        step, hair = self.granularity_kw, 1e-9
        wanted = math.ceil(need_kw * (1 + self.margin) / step - hair) * step
        there = math.floor(flexible_kw / step + hair) * step
        asked = round(min(wanted, there), 6)
        return asked if asked >= self.least_kw else 0.0

    def _fuel_eur_per_kwh(self, expected: Dispatch) -> Decimal:
        """What a kWh of the thermal units that run burns at the margin, by their capacity, in EUR."""
        running = [plant for plant in self.plants if plant.name in expected.committed]
        capacity = sum(plant.capacity_kw for plant in running)
        burnt = sum(plant.fuel_kg_per_kwh * plant.capacity_kw for plant in running)
        kg_per_kwh = Decimal(repr(round(burnt / capacity, 9))) if capacity > 0 else Decimal(0)
        return kg_per_kwh * self.fuel_eur_per_kg

    def _activation(
        self, asked_kw: float, flexible_kw: float, fuel_eur_per_kwh: Decimal, ticket: Ticket
    ) -> CurtailmentActivation:
        local = ticket.start.astimezone(self.zone)
        prices = curtailment_prices(self.tariff, local, asked_kw, flexible_kw, fuel_eur_per_kwh)
        return CurtailmentActivation(
            **ticket.fields,
            service=ServiceType.RES_CURTAILMENT,
            power_kw=asked_kw,
            charging_cost_eur_per_kwh=prices.charging_cost_eur_per_kwh,
            discharging_remuneration_eur_per_kwh=prices.discharging_remuneration_eur_per_kwh,
        )
