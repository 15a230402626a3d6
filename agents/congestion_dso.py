"""The distribution system operator of BUC 3: looks two hours ahead, and has vehicles solve what would be overloaded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import partial
from itertools import count
from typing import ClassVar

from agents.actor import Actor
from agents.charger_meters import ChargerMeters
from agents.congestion_calling_off import FRESH, MINUTE, CallingOff
from agents.congestion_meters import by_bus
from agents.congestion_offers import CongestionOffers
from agents.congestion_orders import CongestionOrder, OrderedServices
from agents.congestion_schedules import Schedules
from agents.congestion_watch import Congestion, CongestionWatch
from agents.decisions.congestion_award import LEAST_KW, Candidate, capped
from agents.decisions.congestion_price import CongestionPrices, congestion_prices, second_prices
from agents.decisions.pricing import OperatorCosts
from agents.decisions.selection import Memory
from agents.grid_view import Floats, Limits, Violation
from agents.grid_watch import ChargingForecast
from agents.ledger import Ledger
from agents.periods import QUARTER, next_quarter, quarter_at, quarters
from agents.ports import GridModel
from agents.quarter_cycle import ANSWER_TIME, MANAGER_TIME, VOLTAGE_AFTER
from behaviours.initiating import Tender
from behaviours.outcomes import CalledOff, Informed, Silent, Subscribed
from behaviours.swarm import Swarm
from protocols.exchanges.congestion_services import (
    CongestionCall,
    ScheduleSubscription,
    SolutionAward,
    SolutionOffer,
)
from protocols.roles import Role

NOTICE = timedelta(minutes=5)
"""No service starts sooner after a look: two calls, and the managers ask their drivers."""
LEAD = QUARTER
"""A need that begins later than this after the first period is left to the next look, which knows more of it."""
TELL_AGAIN = timedelta(hours=1)
"""What lasts is told again after so long."""


class CongestionDso(Actor):
    """D5.1 section 3.3: "the DSO is in charge of monitoring the flow of electricity on the network and identifying any
    issues with congestion. The V2X Manager is requested, by the DSO, to address the congestion problem after it has
    been identified (ID 3.1)"; it "will receive a service signal from the DSO when the service is no longer required
    (ID 3.3)".

    `limits` gives what is allowed at a time: the congestion signal, which is taken to stay as it is, because its
    changes (`changes`: when to look at once) are not known before. `connections` is the bus of each charger,
    `operators`, where known, the V2X manager (JID) of each; without it a manager's chargers are those at the buses it
    tells of. `zone` is that of the times in notices. `horizon`: periods of a look. `margin`: by which part more is
    asked for than the look says. `hysteresis_percent`: a service is called off where the loading without it stays that
    far below the limit. `discharging_extra_eur_per_kwh`: what a kWh given back costs more than one not drawn.
    `baseline_tolerance`: kW, and part of what was told, by which an offer's baseline may exceed the schedule, and the
    schedule what the manager's meters show.
    `penalty_part` of the reduction price for each kWh missing beyond `tolerance`. `charge_kw`, `discharge_kw`: the most
    that one charger takes and gives back.
    """

    role: ClassVar[Role] = Role.DSO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        campus: str,
        model: GridModel,
        limits: Callable[[datetime], Limits],
        connections: Mapping[str, str],
        costs: OperatorCosts,
        typical: ChargingForecast,
        ledger: Ledger,
        zone: tzinfo,
        until: datetime,
        changes: Sequence[datetime] = (),
        operators: Mapping[str, str] | None = None,
        horizon: int = 8,
        ambient_c: float = 20.0,
        margin: float = 0.1,
        granularity_kw: float = 0.1,
        hysteresis_percent: float = 5.0,
        discharging_extra_eur_per_kwh: Decimal = Decimal("0.08"),
        baseline_tolerance: tuple[float, float] = (2.0, 0.1),
        penalty_part: Decimal = Decimal("0.5"),
        tolerance: Decimal = Decimal("0.05"),
        charge_kw: float = 11.0,
        discharge_kw: float = 10.0,
        memory: Memory | None = None,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.location = campus
        self.campus = campus
        self.limits = limits
        self.connections = dict(connections)
        self.operators = operators
        self.zone = zone
        self.until = until
        self.changes = tuple(sorted(changes))
        self.horizon = horizon
        self.extra = discharging_extra_eur_per_kwh
        self.watch = CongestionWatch(
            model,
            Counter(connections.values()),
            costs,
            ambient_c=ambient_c,
            margin=margin,
            granularity_kw=granularity_kw,
            discharge_kw=discharge_kw,
        )
        self.schedules = Schedules(frozenset(connections.values()), typical, self.now, self.notice)
        self.meters = ChargerMeters(self)
        self.orders = OrderedServices(
            self, ledger, self.meters, penalty_part=penalty_part, tolerance=tolerance, memory=memory or Memory()
        )
        self.calling_off = CallingOff(
            self,
            self.schedules,
            self.watch,
            self.meters,
            self.orders,
            self._chargers_of,
            self.connections,
            hysteresis_percent,
            charge_kw,
        )
        self.offers = CongestionOffers(
            self,
            self.watch,
            self._chargers_of,
            self.connections,
            discharge_kw=discharge_kw,
            baseline_tolerance=baseline_tolerance,
            tell=self._tell,
        )
        self._numbers = count(1)
        self._subscribed: dict[str, bool] = {}
        self._told: dict[str, datetime] = {}
        self._looking = asyncio.Lock()

    async def course(self) -> None:
        """Subscribes to the managers' schedules; looks each quarter of an hour, and whenever the signal changes."""
        await self._subscribe()
        self.spawn(self._watch_signal(), "watches the signal")
        start = quarter_at(self.now())
        if start + VOLTAGE_AFTER <= self.now():
            start += QUARTER
        while start + QUARTER < self.until:
            await self.clock.sleep_until(start + VOLTAGE_AFTER)
            await self._subscribe()
            await self._look(learn=True)
            start += QUARTER

    async def _watch_signal(self) -> None:
        for change in self.changes:
            if self.now() < change < self.until:
                await self.clock.sleep_until(change)
                await self._look()

    # ---- 3.x.5: what the chargers are going to draw ----------------------------------------------------------------

    async def _subscribe(self) -> None:
        """3.x.5 of every manager of the campus that is not subscribed to yet."""
        entries = await self.search(role=Role.V2X_MANAGER, location=self.campus)
        if not entries:
            self._tell("nobody", f"there is no V2X manager at {self.campus}: nobody can be asked to solve a congestion")
        for manager in (entry.jid for entry in entries if entry.jid not in self._subscribed):
            topic = ScheduleSubscription(request_id=f"{self.name}-3.x.5-{manager}", timestamp=self.now())
            told = partial(self.schedules.take, manager)
            outcome = await self.subscribe(topic, to=manager, on_inform=told, reply_by=self.now() + ANSWER_TIME)
            self._subscribed[manager] = isinstance(outcome, Subscribed)
            if not isinstance(outcome, Subscribed):
                self.notice(f"{manager} does not tell its schedule: {outcome}")

    def _chargers_of(self, manager: str, buses: Collection[str]) -> set[str]:
        """The manager's chargers at these buses."""
        if self.operators is not None:
            return {c for c, bus in self.connections.items() if bus in buses and self.operators.get(c) == manager}
        there = set(self.schedules.buses_of(manager)) & set(buses)
        for other in self.schedules.managers:
            if other != manager and there & set(self.schedules.buses_of(other)):
                self._tell(
                    "shared",
                    f"{manager} and {other} are at one bus, and nothing says whose charger is whose: the meters of "
                    "both are taken for each",
                )
        return {charger for charger, bus in self.connections.items() if bus in there}

    def _own(self, manager: str) -> dict[str, str]:
        """The bus of each charger that is known to be the manager's alone."""
        if self.operators is not None:
            return {c: bus for c, bus in self.connections.items() if self.operators.get(c) == manager}
        others = {bus for m in self.schedules.managers if m != manager for bus in self.schedules.buses_of(m)}
        mine = set(self.schedules.buses_of(manager)) - others
        return {charger: bus for charger, bus in self.connections.items() if bus in mine}

    # ---- the look ahead --------------------------------------------------------------------------------------------

    async def _look(self, *, learn: bool = False) -> None:
        """Calls off what is not needed any more, then asks for what is. `learn`: once in each period, what
        the meters show is held against the schedules."""
        async with self._looking:
            self.calling_off.resume()
            read_at = self.now().replace(second=0, microsecond=0)
            metered = await self.meters.read(self.connections, read_at - FRESH, read_at, FRESH // MINUTE)
            now = self.now()
            services = self.orders.under_way(now)
            self.schedules.tell_silent(m for m, tells in self._subscribed.items() if tells)
            within = quarter_at(read_at - FRESH) == quarter_at(now)
            self.schedules.hold_against(
                by_bus(metered, self.connections),
                services,
                learn=learn and within,
                of_managers_kw={m: by_bus(metered, self._own(m)) for m in self.schedules.managers},
            )
            first = next_quarter(now + NOTICE)
            periods = min(self.horizon, self._periods_from(first))
            limits = self.limits(now)
            self.calling_off.mark(services, limits, lambda begin: min(self.horizon, self._periods_from(begin)))
            if periods < 1:
                return
            charging = self.schedules.expected(first, periods, services)
            outlook = self.watch.look(charging, first, now, limits)
            if outlook.backwards:
                what = outlook.backwards[0]
                self._tell("backwards", f"{what} from what is fed back: less consumption does not cure it")
            if outlook.voltages:
                self._tell_once("voltage", f"{_worst(outlook.voltages)}: voltages are not asked for here")
            for congestion in outlook.congestions:
                if congestion.need.start <= first + LEAD:
                    await self._solve(congestion, limits)

    def _periods_from(self, first: datetime) -> int:
        """Until a quarter of an hour before the end of the run, so that the last service is settled within it."""
        return quarters(first, self.until - QUARTER)

    def _charging(self, first: datetime) -> dict[str, Floats]:
        """What is expected with all that is ordered by now."""
        periods = max(1, min(self.horizon, self._periods_from(first)))
        return self.schedules.expected(first, periods, self.orders.under_way(self.now()))

    # ---- 3.1, 3.x.1 and 3.x.2: who helps ---------------------------------------------------------------------------

    async def _solve(self, congestion: Congestion, limits: Limits) -> None:
        """One call, and a second one at a higher price for what it leaves open."""
        need = congestion.need
        if need.start < self.now() + NOTICE:
            return  # earlier calls have taken too long; the next look finds it again
        managers = self._behind(congestion.buses)
        where = ", ".join(congestion.elements[:3])
        if need.open:
            self._tell(f"open {where}", f"{'; '.join(need.open[:3])}: more than all vehicles behind it can cure")
        if not managers:
            self._tell(f"nobody {where}", f"nobody can be asked to relieve {where} by {need.power_kw:.1f} kW")
            return
        share = need.power_kw / congestion.flexible_kw if congestion.flexible_kw > 0 else 1.0
        prices = congestion_prices(congestion.most, share, self.extra)
        asked = [manager for manager in managers if self._draws(manager, congestion)] or managers
        missing, again = await self._tender(congestion, need.power_kw, prices, asked, limits)
        if missing < LEAST_KW:
            return
        again = [manager for manager in managers if manager in again or manager not in asked]
        dearer = second_prices(prices, self.extra)
        if again and (dearer != prices or len(asked) < len(managers)) and need.start >= self.now() + ANSWER_TIME:
            missing, _ = await self._tender(congestion, missing, dearer, again, limits)
        if missing >= LEAST_KW:
            begins = f"{need.start.astimezone(self.zone):%H:%M}"
            self._tell(
                f"missing {where}",
                f"{missing:.1f} of {need.power_kw:.1f} kW at {where} from {begins} are not offered",
            )

    def _draws(self, manager: str, congestion: Congestion) -> bool:
        """Whether its schedule draws anything there meanwhile. Who draws nothing can at most give back, which no
        schedule shows: it is asked where the others leave something missing."""
        need = congestion.need
        periods = (need.end - need.start) // QUARTER
        services = self.orders.under_way(self.now())
        told = self.schedules.manager_kw(manager, congestion.buses, need.start, periods, services)
        return max(told, default=0.0) >= LEAST_KW

    def _behind(self, buses: Sequence[str]) -> list[str]:
        """The managers that tell what they do, have chargers there, and keep enough of what they promise."""
        return [
            manager
            for manager in self.schedules.managers
            if self.schedules.is_fresh(manager)
            and set(self.schedules.buses_of(manager)) & set(buses)
            and self.orders.of(manager).may_be_called(self.now())
        ]

    async def _tender(
        self,
        congestion: Congestion,
        needed_kw: float,
        prices: CongestionPrices,
        managers: Sequence[str],
        limits: Limits,
    ) -> tuple[float, list[str]]:
        """3.1 to the managers, 3.x.2 to those whose offers are taken; returns the kW that are still missing, and the
        managers that have answered."""
        need, now = congestion.need, self.now()
        call = CongestionCall(
            request_id=f"{self.name}-congestion-{next(self._numbers)}",
            service=need.service,
            timestamp=now,
            start=need.start,
            duration_minutes=int((need.end - need.start).total_seconds() // 60),
            power_kw=round(needed_kw, 3),
            location=congestion.elements[0],
            buses=congestion.buses,
            elements=need.reasons,
            reduction_price_eur_per_kwh=prices.reduction,
            discharging_price_eur_per_kwh=prices.discharging,
        )
        periods = (need.end - need.start) // QUARTER
        services = self.orders.under_way(now)
        scheduled = {
            manager: self.schedules.manager_kw(manager, call.buses, need.start, periods, services)
            for manager in managers
        }
        shown = {manager: self.schedules.shown(manager, call.buses) for manager in managers}
        # each in a conversation of its own, so that one who gives up early is heard while the others still serve
        tenders = await asyncio.gather(
            *(self.call_for_proposals(call, to=[manager], reply_by=now + MANAGER_TIME) for manager in managers)
        )
        offers: dict[str, tuple[Tender, SolutionOffer]] = {}
        for manager, tender in zip(managers, tenders, strict=True):
            offer = await self.offers.checked(call, manager, tender, scheduled[manager], shown[manager])
            if offer is not None:
                offers[manager] = tender, offer
        candidates = [Candidate(m, offer, self.orders.of(m).value) for m, (_, offer) in offers.items()]
        first = min(next_quarter(self.now() + NOTICE), call.start)
        charging = self._charging(first)
        chosen, missing = self.offers.choose(congestion, call, candidates, charging, first, limits)
        for manager, (tender, offer) in offers.items():
            if manager in chosen:
                baseline = capped(offer.baseline_kw, scheduled[manager], shown[manager])
                self._order(call, manager, tender, offer, chosen[manager], baseline)
            else:
                await tender.award({}, done_by=self.now() + ANSWER_TIME)
        return missing, [manager for manager, tender in zip(managers, tenders, strict=True) if not tender.silent]

    # ---- the services ----------------------------------------------------------------------------------------

    def _order(
        self,
        call: CongestionCall,
        manager: str,
        tender: Tender,
        offer: SolutionOffer,
        power: float,
        baseline: tuple[float, ...],
    ) -> None:
        service = CongestionOrder(
            call=call,
            offer=offer,
            manager=manager,
            power_kw=power,
            baseline=baseline,
            by_bus=self.offers.by_bus(offer, power),
            awarded_at=self.now(),
            ends=call.end,
            tender=tender,
        )
        self.orders.services.append(service)
        self.spawn(self._follow(service), f"follows {call.request_id} of {manager}")

    async def _follow(self, service: CongestionOrder) -> None:
        """From the award to the payment."""
        award = SolutionAward(request_id=service.request_id, power_kw=service.power_kw)
        results = await service.tender.award({service.manager: award}, done_by=service.end + ANSWER_TIME)
        outcome, now = results[service.manager], self.now()
        before_it_began = now < service.start
        if not isinstance(outcome, Informed | CalledOff) and service.stopped_at is None:
            silent = isinstance(outcome, Silent)
            self.notice(
                f"{service.request_id} of {service.manager} {'has no result' if silent else 'fails'}: {outcome}"
            )
            if now < service.end:
                service.failed, service.ends, service.stopped_at = True, now, now
        if service.failed and before_it_began:
            hours = (service.end - service.start) / timedelta(hours=1)
            self.orders.learn(service.manager, service.power_kw * hours, 0.0)
            self.spawn(self._look(), "looks again")
            return
        chargers = self._chargers_of(service.manager, service.call.buses)
        await self.orders.settle(service, chargers)

    # ---- notices ---------------------------------------------------------------------------------------------------

    def _tell(self, what: str, text: str) -> None:
        """A notice, but none about the same within TELL_AGAIN."""
        last = self._told.get(what)
        if last is None or self.now() - last >= TELL_AGAIN:
            self._told[what] = self.now()
            self.notice(text)

    def _tell_once(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told[what] = self.now()
            self.notice(text)


def _worst(violations: Sequence[Violation]) -> Violation:
    return max(violations, key=lambda violation: abs(violation.value - violation.limit))
