"""A stage for the DSO of public stations: the network of two_lines.py, meters as written, and CPOs who do as
told, with the real FMO between them. Local time is that of Athens, three hours ahead of UTC.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from agents.actor import Actor
from agents.capacity_buyer import AuctionPlan
from agents.capacity_fmo import CapacityFmo
from agents.decisions.price_reduction import Beliefs
from agents.grid_environment import GridEnvironment
from agents.network_pricing import PricingPlan
from agents.public_dso import PublicDso, Signal
from behaviours.answering import (
    AcceptProposal,
    Incoming,
    Inform,
    Propose,
    Refuse,
    RejectProposal,
    Reply,
    answers,
    refusal,
)
from behaviours.swarm import ServerAccess
from protocols import exchanges as x
from protocols.acl import Performative
from protocols.roles import Role
from tests.agents.stage import MINUTE, Stage, at
from tests.agents.two_lines import STATIONS, TwoLines
from tests.swarm import jid

ZONE = ZoneInfo("Europe/Athens")
TUESDAY = date(2026, 6, 2)
"""The first day of the contracts; the stage starts on Monday at 09:00."""
DAY = timedelta(days=1)
CURVE = ((60.0, "280.00"), (120.0, "56.00"), (200.0, "0.00"))
CONTRACT = "c-hedno-caps-2026-06-02/"


def local(day: date, clock: str) -> datetime:
    """A local time, in UTC."""
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=ZONE).astimezone(UTC)


UNTIL = local(TUESDAY + 3 * DAY, "12:00")


def minutes_to(day: date, clock: str) -> float:
    """From the stage's start until a local time."""
    return (local(day, clock) - at(0)) / MINUTE


class PublicStage(Stage):
    """A stage in Athens whose agents hold what they hear against what was said before."""

    def _set_up(self, access: ServerAccess | None) -> None:
        super()._set_up(access)
        self.swarm = dataclasses.replace(self.swarm, zone=ZONE, judge=True)


class WrittenMeters:
    """The stations' meters: `kw` says what a station draws in a minute; in `peaks_kw` a second of a quarter of an hour
    may be higher; `silent` ones (`station:s1`, `peak:s1`) have no readings."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.kw: Callable[[str, datetime], float] = lambda station, minute: 100.0
        self.peaks_kw: Callable[[str, datetime], float] = lambda station, quarter: 0.0
        self.silent: set[str] = set()

    def voltage_v(self, location: str) -> float:
        raise LookupError(f"there is no voltage sensor at {location}")

    def frequency_hz(self) -> float:
        return 50.0

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        kind, _, station = location.partition(":")
        if location in self.silent or kind not in ("station", "peak"):
            raise LookupError(f"there is no meter at {location}")
        if end > self.stage.clock.now():
            raise LookupError(f"there are no readings until {end.isoformat()}")
        found = []
        while start < end:
            minutes = [self.kw(station, start + k * MINUTE) for k in range(int(period / MINUTE))]
            found.append(
                sum(minutes) / len(minutes) if kind == "station" else max(*minutes, self.peaks_kw(station, start))
            )
            start += period
        return tuple(found)


Says = Callable[[Any], str | None]
"""Why something is declined, None where it is not; "silent" is no answer at all."""


class PlainCpo(Actor):
    """A CPO that bids `curve`, pays its bills, and declines what the test says."""

    role = Role.CPO

    def __init__(self, *arguments: Any, stage: Stage) -> None:
        super().__init__(*arguments)
        self.stage = stage
        self.curve: Sequence[tuple[float, str]] = CURVE
        self.reductions: list[x.NetworkPriceReduction] = []
        self.limits: list[x.CapacityLimit] = []
        self.settlements: list[x.LimitSettlement] = []
        self.bills: list[x.NetworkBill] = []
        self.results: list[x.ProcurementResult] = []
        self.to_reduction: Says = lambda content: None
        self.to_limit: Says = lambda content: None
        self.to_settlement: Says = lambda content: None
        self.to_bill: Says = lambda content: None
        self.pays = True

    async def join(self) -> None:
        registration = x.StationRegistration(
            registration_id=f"{self.name}-stations",
            timestamp=self.now(),
            stations=tuple(
                x.Station(
                    station_id=site.station_id,
                    location=site.location,
                    latitude_deg=site.latitude_deg,
                    longitude_deg=site.longitude_deg,
                    connection_kw=site.connection_kw,
                    chargers=len(site.charger_ids),
                )
                for site in STATIONS
                if site.cpo == self.name
            ),
        )
        await self.request(registration, to=jid("fmo"), reply_by=self.now() + MINUTE)

    async def _declined(self, says: Says, content: Any) -> Refuse | None:
        why = says(content)
        if why == "silent":
            await asyncio.Event().wait()
        return None if why is None else refusal("no", why)

    @answers(x.NetworkPriceReduction)
    async def on_reduction(self, content: x.NetworkPriceReduction, incoming: Incoming) -> Reply:
        self.reductions.append(content)
        declined = await self._declined(self.to_reduction, content)
        return declined or Inform(x.Done(reference=content.reduction_id))

    @answers(x.AuctionCall)
    async def on_call(self, call: x.AuctionCall, incoming: Incoming) -> Reply:
        points = tuple(x.CurvePoint(limit_kw=kw, price_eur=Decimal(eur)) for kw, eur in self.curve)
        bid = x.CurveBid(
            bid_id=f"bid-{call.station_id}",
            call_id=call.call_id,
            timestamp=self.now(),
            station_id=call.station_id,
            curve=points,
        )
        return Propose(bid, reply_by=call.gate_closure + timedelta(hours=2))

    @answers(x.ProcurementResult, on=Performative.ACCEPT_PROPOSAL)
    async def on_bought(self, result: x.ProcurementResult, incoming: Incoming) -> Inform:
        self.results.append(result)
        return Inform(x.Done(reference=result.bid_id))

    @answers(x.ProcurementResult, on=Performative.REJECT_PROPOSAL)
    async def on_not_bought(self, result: x.ProcurementResult, incoming: Incoming) -> None:
        self.results.append(result)

    @answers(x.CapacityLimit)
    async def on_limit(self, limit: x.CapacityLimit, incoming: Incoming) -> Reply:
        self.limits.append(limit)
        if (declined := await self._declined(self.to_limit, limit)) is not None:
            return declined
        await incoming.agree(x.Done(reference=limit.activation_id))
        return Inform(x.Done(reference=limit.activation_id))

    @answers(x.LimitSettlement)
    async def on_settlement(self, settlement: x.LimitSettlement, incoming: Incoming) -> Reply:
        self.settlements.append(settlement)
        why = self.to_settlement(settlement)
        if why == "silent":
            await asyncio.Event().wait()
        answer = x.LimitSettlementAnswer(settlement_id=settlement.settlement_id, reason=why)
        return AcceptProposal(answer) if why is None else RejectProposal(answer)

    @answers(x.NetworkBill)
    async def on_bill(self, bill: x.NetworkBill, incoming: Incoming) -> Reply:
        self.bills.append(bill)
        if (declined := await self._declined(self.to_bill, bill)) is not None:
            return declined
        if self.pays:
            self.stage.ledger.transfer(
                bill.bill_id, self.now(), bill.bill_id, payer=self.name, payee="hedno", amount_eur=bill.amount_eur
            )
        return Inform(x.Done(reference=bill.bill_id))


PLAN = AuctionPlan(
    opens_at=at(15),
    period_days=28,
    most_activations=28,
    least_points=2,
    step_kw=10.0,
    lowest_limit_kw=60.0,
    penalty_eur_per_kwh=Decimal("1.50"),
    scenarios=4,
)
PRICING = PricingPlan(
    network_eur_per_kwh=Decimal("0.09"),
    most_reduction_eur_per_kwh=Decimal("0.09"),
    threshold_kw=10.0,
    beliefs=Beliefs(cost_per_eur=-0.15, energy_kwh=30.0, share=0.1, following=0.5),
)


class PublicNetwork:
    """The DSO and everybody around it."""

    def __init__(self, stage: PublicStage) -> None:
        self.stage = stage
        self.meters = WrittenMeters(stage)

    async def open(
        self,
        study: TwoLines | None = None,
        *,
        plan: AuctionPlan = PLAN,
        pricing: PricingPlan = PRICING,
        signals: Sequence[Signal] = (),
        until: datetime = UNTIL,
        fmo: bool = True,
        second: type[PlainCpo] = PlainCpo,
        prepare: Callable[[PublicNetwork], None] = lambda here: None,
    ) -> PublicNetwork:
        stage = self.stage
        await stage.start(GridEnvironment, "environment", world=self.meters, interval=timedelta(hours=1))
        if fmo:
            self.fmo = await stage.start(CapacityFmo, "fmo")
        self.ppc = await stage.start(PlainCpo, "ppc", stage=stage)
        self.second = await stage.start(second, "second-cpo", stage=stage)
        self.study = study or TwoLines()
        self.dso = await stage.start(
            PublicDso,
            "hedno",
            study=self.study,
            stations=STATIONS,
            terms=plan,
            pricing=pricing,
            ledger=stage.ledger,
            until=until,
            signals=signals,
        )
        prepare(self)
        if fmo:
            await self.ppc.join()
            await self.second.join()
        self.dso.spawn(self.dso.course(), "course")
        return self

    @property
    def notices(self) -> list[str]:
        """What the DSO told."""
        return [each.partition(": ")[2] for each in self.stage.notices if each.startswith(jid("hedno"))]

    async def until(self, day: date, clock: str) -> None:
        await self.stage.until(minutes_to(day, clock))


async def network(stage: PublicStage, *arguments: Any, **options: Any) -> PublicNetwork:
    return await PublicNetwork(stage).open(*arguments, **options)
