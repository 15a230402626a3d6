"""The distribution system operator of BUC 4.1: looks a quarter of an hour ahead, holds the voltages with vehicles."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import partial
from itertools import count
from typing import ClassVar

from agents.actor import Actor
from agents.charging_ahead import above_the_mean, by_bus, expected_charging
from agents.decisions.headroom import headroom
from agents.decisions.tariff import Tariff, voltage_prices
from agents.decisions.voltage import FeederNeed, Flexibility, by_feeder
from agents.decisions.voltage_sides import relieve_sides
from agents.grid_view import GridState, Limits, Violation
from agents.grid_watch import ChargingForecast
from agents.ledger import Ledger
from agents.news import News
from agents.paying import pay_or_refuse
from agents.periods import QUARTER, next_quarter
from agents.quarter_cycle import ANSWER_TIME, VOLTAGE_AFTER
from agents.service_keeper import KeptService, ServiceKeeper, Ticket
from agents.voltage_view import Estimate, VoltageModel
from behaviours.answering import Agree, Incoming, Inform, Refuse, answers
from behaviours.outcomes import Subscribed
from behaviours.swarm import Swarm
from protocols.exchanges.ev_services import UserState
from protocols.exchanges.plain import Done
from protocols.exchanges.res_curtailment import Invoice
from protocols.exchanges.vocabulary import ServiceType
from protocols.exchanges.voltage_services import (
    BusChange,
    FeederHeadroom,
    Headroom,
    HeadroomSubscription,
    ParticipationInfo,
    ParticipationSubscription,
    VoltageRequest,
)
from protocols.roles import Role

TELL_AGAIN = timedelta(hours=1)
"""So long a voltage that all flexibility leaves broken is not told again."""
ROUGHLY_KW = 0.1
"""A feeder's room is told where it is smaller than what is flexible by more than this."""
_SHOWN = 3
"""Violations that a notice names."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the DSO expected of the quarter of an hour from `start` if no service ran, and what it did about it.

    `charger_kw`: what chargers will draw on average, by bus; `above_kw` by how much their highest draw within the
    quarter exceeds that, where it was told. `lowest` at the highest draw, `highest` in the mean: bus and voltage in per
    unit. `broken`: every limit that is expected to be broken, `remaining` what all the flexibility would leave broken.
    `asked_kw`: by feeder, above 0 to draw more; `agreed_kw` likewise, where the FO agreed.
    """

    start: datetime
    charger_kw: Mapping[str, float]
    above_kw: Mapping[str, float]
    estimate: Estimate
    lowest: tuple[str, float]
    highest: tuple[str, float]
    broken: tuple[Violation, ...]
    remaining: tuple[Violation, ...]
    asked_kw: Mapping[str, float]
    agreed_kw: Mapping[str, float]

    @property
    def buses(self) -> tuple[str, ...]:
        """The buses whose voltage is beyond its limits."""
        return tuple(violation.element for violation in self.broken if violation.unit == "pu")


class VoltageDso(Actor):
    """D5.1 section 3.4.1: "start with the detection/prediction of the voltage constraints by the DSO. This process is
    performed every 15 minutes"; "in case of voltage constraints, the DSO will activate a DR service changing the grid
    use tariff and, consequently, the charging/discharging prices"; it sends this to the FO (4.1.1), is told about the
    participation (4.1.4), and "when the voltage constraints are solved, the DSO will send a deactivation service
    signal".

    `connections` is the bus of each charger. `margin_pu` is aimed for within every limit, no feeder is asked for less
    than `least_kw`. `typical` (None: nothing is known) is what vehicles usually draw.
    """

    role: ClassVar[Role] = Role.DSO

    def __init__(
        self,
        jid: str,
        password: str,
        swarm: Swarm,
        *,
        model: VoltageModel,
        limits: Limits,
        connections: Mapping[str, str],
        tariff: Tariff,
        zone: tzinfo,
        ledger: Ledger,
        until: datetime,
        typical: ChargingForecast | None = None,
        margin_pu: float = 0.002,
        least_kw: float = 1.0,
    ) -> None:
        super().__init__(jid, password, swarm)
        self.model = model
        self.limits = limits
        self.connected = frozenset(connections.values())
        self.tariff = tariff
        self.zone = zone
        self.ledger = ledger
        self.until = until
        self.typical = typical
        self.margin_pu = margin_pu
        self.least_kw = least_kw
        self.looks: list[Look] = []
        self.keepers: dict[str, ServiceKeeper] = {}
        """By feeder, of those that were ever asked."""
        self._numbers = count(1)
        self._news: News[ParticipationInfo] = News("4.1.4", self.now, self.notice)
        self._told_for: dict[datetime, tuple[UserState, ...]] = {}
        self._fo: str | None = None
        self._fo_silent = False
        self._noticed: dict[str, datetime] = {}

    async def course(self) -> None:
        """Subscribes to the FO's 4.1.4; then looks, in each quarter of an hour, at the one after it."""
        start = next_quarter(self.now()) + QUARTER
        await self._subscribe()
        while start + QUARTER <= self.until:
            await self.clock.sleep_until(start - QUARTER + VOLTAGE_AFTER)
            await self._look(start)
            start += QUARTER

    @answers(Invoice)
    async def on_invoice(self, invoice: Invoice, incoming: Incoming) -> Inform | Refuse:
        """2.x.1: "allowing the invoicing of the different services by the different actors"."""
        return pay_or_refuse(self.ledger, invoice, customer=self.address, emsp=incoming.sender, at=self.now())

    # ---- 4.1.4: what the vehicles did, and can do ----------------------------------------------------------------

    async def _subscribe(self) -> None:
        operators = await self.search(role=Role.FO)
        if not operators:
            self.notice("there is no flexibility operator: nobody can be asked to hold a voltage")
            return
        self._fo = fo = operators[0].jid
        topic = ParticipationSubscription(request_id=f"{self.name}-4.1.4", timestamp=self.now())
        outcome = await self.subscribe(
            topic, to=fo, on_inform=self.on_participation_info, reply_by=self.now() + ANSWER_TIME
        )
        if not isinstance(outcome, Subscribed):
            self.notice(f"{fo} does not send 4.1.4: {outcome}")

    def on_participation_info(self, info: ParticipationInfo) -> None:
        """4.1.4 of the FO: by bus, what the vehicles drew, and what they will and could draw."""
        if not self._news.take(str(self._fo), info):
            return
        places = {str(user.location) for user in info.users}
        if strangers := sorted(places - self.connected):
            self._tell("strangers", f"no charger of mine is at {', '.join(strangers)}: what is told of it is left out")
        self._told_for[info.end + QUARTER] = tuple(user for user in info.users if user.location in self.connected)
        for old in [start for start in self._told_for if start < info.end]:
            del self._told_for[old]

    def _told(self, start: datetime) -> tuple[UserState, ...] | None:
        """The vehicles as told for the quarter from `start`; that the FO falls silent is told once."""
        told = self._told_for.get(start)
        if (told is None) is not self._fo_silent and self._fo is not None:
            self.notice(
                f"{self._fo} says again what the vehicles can do"
                if told is not None
                else f"{self._fo} does not say what the vehicles can do: they are taken to draw what they usually do"
            )
        self._fo_silent = told is None
        return told

    @answers(HeadroomSubscription)
    async def on_headroom_subscription(self, topic: HeadroomSubscription, incoming: Incoming) -> Agree:
        """4.x.1: the FO hears how much more its vehicles may draw behind each feeder for somebody else's service."""
        return Agree(Done(reference=topic.request_id))

    async def _tell_headroom(self, start: datetime, state: GridState, flexible: Mapping[str, Flexibility]) -> None:
        """4.x.1 for the quarter from `start`: the feeders without room for all that the vehicles could draw more."""
        increase = {bus: each.increase_kw for bus, each in flexible.items() if each.increase_kw > 0}
        room = headroom(state, increase, self.limits, feeder_of=self.model.feeder_of, solve=self.model.solve)
        there: defaultdict[str, float] = defaultdict(float)
        for bus, kw in increase.items():
            there[self.model.feeder_of(bus)] += kw
        tight = tuple(
            FeederHeadroom(feeder=feeder, increase_kw=round(math.floor(kw * 10) / 10, 1))
            for feeder, kw in sorted(room.items())
            if kw < there[feeder] - ROUGHLY_KW
        )
        for topic in dict.fromkeys(self.subscriptions(HeadroomSubscription)):
            told = Headroom(request_id=topic.request_id, timestamp=self.now(), start=start, feeders=tight)
            await self.publish(HeadroomSubscription, told, topic.__eq__)

    # ---- the look ahead, and 4.1.1 -------------------------------------------------------------------------------

    async def _look(self, start: datetime) -> None:
        """The voltages of the quarter from `start` without any service, and a 4.1.1 for each feeder that needs one."""
        now, told = self.now(), self._told(start)
        usual = {} if self.typical is None else self.typical.typical_kw(start - QUARTER, 2)
        steps = {bus: (float(kw[0]), float(kw[1])) for bus, kw in usual.items() if bus in self.connected}
        reported: dict[str, float] = {}
        flexible: dict[str, Flexibility] = {}
        above: dict[str, float] = {}
        if told is None:
            charging = {bus: then for bus, (_, then) in steps.items()}
        else:
            charging = expected_charging(told, self._told_for.get(start - QUARTER, ()), steps)
            above = above_the_mean(told)
            reported = by_bus(told, "power_kw")
            more, less = by_bus(told, "increase_kw"), by_bus(told, "decrease_kw")
            flexible = {bus: Flexibility(more[bus], less[bus]) for bus in more}
        estimate = self.model.estimated(now, reported)
        for meter in estimate.dropped:
            self._tell(f"meter {meter.partition(':')[0]}", f"a meter is not believed: {meter}")
        highest = {bus: charging.get(bus, 0.0) + above.get(bus, 0.0) for bus in charging.keys() | above.keys()}
        busiest = self.model.expected(start, now, highest)
        mean = self.model.expected(start, now, charging) if above else busiest
        relief = relieve_sides(
            mean,
            busiest,
            above,
            flexible,
            self.limits,
            sensitivity=self.model.sensitivity,
            solve=self.model.solve,
            feeder_of=self.model.feeder_of,
            margin_pu=self.margin_pu,
        )
        await self._tell_headroom(start, busiest, flexible)
        if relief.remaining:
            rest = "nobody says what the vehicles can do" if told is None else "even with all that the vehicles can do"
            self._tell("remaining", f"{_words(relief.remaining)} from {start:%H:%M} UTC: {rest}")
        needs = self._needs(relief.change_kw)
        if told is not None:
            for feeder, keeper in self.keepers.items():
                if feeder not in needs:
                    keeper.stop(start, "nothing is needed of it any more")
        services = await asyncio.gather(*(self._ask(start, need, flexible) for need in needs.values()))
        self.looks.append(
            Look(
                start=start,
                charger_kw=charging,
                above_kw=above,
                estimate=estimate,
                lowest=busiest.lowest(),
                highest=mean.highest(),
                broken=relief.before,
                remaining=relief.remaining,
                asked_kw={feeder: round(need.power_kw, 3) for feeder, need in needs.items()},
                agreed_kw={f: s.agreed_kw for f, s in zip(needs, services, strict=True) if s is not None},
            )
        )

    def _needs(self, change_kw: Mapping[str, float]) -> dict[str, FeederNeed]:
        """By feeder, what to ask for: one service each. Where it needs both more and less, the larger is asked for."""
        needs: dict[str, FeederNeed] = {}
        for need in by_feeder(change_kw, self.model.feeder_of):
            other = needs.get(need.feeder)
            if other is not None:
                less, more = sorted((need, other), key=lambda n: abs(n.power_kw))
                self._tell(
                    f"both {need.feeder}",
                    f"{need.feeder} needs {more.power_kw:+.1f} kW and {less.power_kw:+.1f} kW: only the first is asked",
                )
                need = more
            needs[need.feeder] = need
        return {feeder: need for feeder, need in needs.items() if abs(need.power_kw) >= self.least_kw}

    async def _ask(self, start: datetime, need: FeederNeed, flexible: Mapping[str, Flexibility]) -> KeptService | None:
        assert self._fo is not None  # flexibility comes from there
        keeper = self.keepers.get(need.feeder)
        if keeper is None:
            keeper = ServiceKeeper(self, f"voltage control behind {need.feeder}", self._next_id, self.until)
            self.keepers[need.feeder] = keeper
        behind = [flexibility for bus, flexibility in flexible.items() if self.model.feeder_of(bus) == need.feeder]
        there = sum(f.increase_kw if need.power_kw > 0 else f.decrease_kw for f in behind)
        return await keeper.ask(
            self._fo, start, partial(self._request, need, there), sign=1 if need.power_kw > 0 else -1
        )

    def _next_id(self) -> str:
        return f"{self.name}-service-{next(self._numbers)}"

    def _request(self, need: FeederNeed, flexible_kw: float, ticket: Ticket) -> VoltageRequest:
        at = tuple(BusChange(bus=bus, power_kw=round(kw, 3)) for bus, kw in need.change_kw.items())
        power = round(sum(change.power_kw for change in at), 3)
        prices = voltage_prices(self.tariff, ticket.start.astimezone(self.zone), power, flexible_kw)
        return VoltageRequest(
            **ticket.fields,
            request_id=ticket.service_id,
            service=ServiceType.VOLTAGE_CONTROL,
            power_kw=power,
            location=need.feeder,
            at=at,
            grid_use_eur_per_kwh=prices.grid_use_eur_per_kwh,
            charging_cost_eur_per_kwh=prices.charging_cost_eur_per_kwh,
            discharging_remuneration_eur_per_kwh=prices.discharging_remuneration_eur_per_kwh,
        )

    def _tell(self, what: str, text: str) -> None:
        """A notice, but none about the same within TELL_AGAIN."""
        last = self._noticed.get(what)
        if last is None or self.now() - last >= TELL_AGAIN:
            self._noticed[what] = self.now()
            self.notice(text)


def _words(violations: Sequence[Violation]) -> str:
    """The first few violations, and how many more there are."""
    more = len(violations) - _SHOWN
    return "; ".join(map(str, violations[:_SHOWN])) + (f" and {more} more" if more > 0 else "")
