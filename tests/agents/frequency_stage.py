"""A stage for frequency containment: a manager that answers test steps by a model of its response, meters, a grid.

The portfolio of these tests claims 20 kW of FCR of Continental Europe: its test is the shortest of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from agents.decisions.fcr_products import RULES, FcrRules, change_kw
from agents.decisions.fcr_sequences import frequency_at, length_s
from agents.decisions.fleet import Floats
from agents.frequency_tso import FrequencyTso
from agents.grid_environment import GridEnvironment
from behaviours.answering import Incoming, Inform, Reply, answers, failure, refusal
from behaviours.outcomes import Agreed
from protocols import exchanges as x
from protocols.exchanges.vocabulary import FcrProduct
from protocols.roles import Role
from tests.agents.stage import MINUTE, Requester, Stage, at

CE = RULES[FcrProduct.FCR_CE]
CHARGERS = ("c1", "c2", "c3", "c4")
HOUR = timedelta(hours=1)
BASELINE_KW = 2.0


class FakeManager(Requester):
    """A V2X manager that tells of each step what its chargers did: `capacity_kw` of response, all of it within seconds.

    `spoils` changes a record before it is sent; `silent_at`, `refuses_at` and `fails_at` are numbers of steps from 0.
    `reports` gives the delivery report, None to keep silent.
    """

    role = Role.V2X_MANAGER

    def __init__(self, *arguments: Any, capacity_kw: float = 20.0, rules: FcrRules = CE) -> None:
        super().__init__(*arguments)
        self.rules = rules
        self.capacity_kw = capacity_kw
        self.steps: list[x.TestStep] = []
        self.begun: list[datetime] = []
        self.spoils: Callable[[x.TestRecord], dict[str, Any]] = lambda record: {}
        self.silent_at: int | None = None
        self.refuses_at: int | None = None
        self.fails_at: int | None = None
        self.queries: list[x.DeliveryQuery] = []
        self.reports: Callable[[x.DeliveryQuery], x.DeliveryReport | None] = report

    @answers(x.TestStep)
    async def on_test_step(self, step: x.TestStep, incoming: Incoming) -> Reply:
        self.steps.append(step)
        self.begun.append(self.now())
        number = len(self.steps) - 1
        if number == self.refuses_at:
            return refusal("busy", "the vehicles are needed")
        await incoming.agree(x.Done(reference=step.step_id))
        if number == self.silent_at:
            await asyncio.Event().wait()
        start = self.now()
        await self.clock.sleep_until(start + timedelta(seconds=length_s(step.signal)))
        if number == self.fails_at:
            return failure("meter", "the bench has lost its meter")
        record = self.record(step, start)
        return Inform(record.model_copy(update=self.spoils(record)))

    def record(self, step: x.TestStep, start: datetime) -> x.TestRecord:
        """A first order response with a time constant of a second."""
        count = round((length_s(step.signal) - step.record_from_s) / step.sample_s)
        applied = [frequency_at(step.signal, step.record_from_s + k * step.sample_s) for k in range(count)]
        power, kw = [], change_kw(self.rules, self.capacity_kw, applied[0])
        for hz in applied:
            kw += (change_kw(self.rules, self.capacity_kw, hz) - kw) * (1 - np.exp(-step.sample_s))
            power.append(round(float(step.baseline_kw + kw), 4))
        return x.TestRecord(
            application_id=step.application_id,
            step_id=step.step_id,
            start=start + timedelta(seconds=step.record_from_s),
            sample_s=step.sample_s,
            applied_hz=tuple(applied),
            power_kw=tuple(power),
            baseline_kw=step.baseline_kw,
            soc_start_percent=50.0,
            soc_end_percent=50.0,
        )

    @answers(x.DeliveryQuery)
    async def on_delivery_query(self, query: x.DeliveryQuery, incoming: Incoming) -> Reply:
        self.queries.append(query)
        answer = self.reports(query)
        if answer is None:
            await asyncio.Event().wait()
        assert answer is not None
        return Inform(answer)

    async def agreed(self, content: Any) -> Agreed:
        """The agreement of the TSO; fails where it did not agree."""
        outcome = await self.order(content, "tso")
        assert isinstance(outcome, Agreed), outcome
        return outcome

    async def end(self, agreed: Agreed, reference: str, *, start: datetime | None = None) -> Any:
        """7.3 as a cancel."""
        content = x.ParticipationEnd(reference=reference, start=start or self.now(), reason="the driver leaves early")
        return await agreed.cancel(content, reply_by=self.now() + 5 * MINUTE)


class Meters:
    """The port `PhysicalWorld`: each charger draws a quarter of what the portfolio draws in a minute."""

    def __init__(self, portfolio_kw: Callable[[datetime], float]) -> None:
        self.portfolio_kw = portfolio_kw
        self.lost: set[str] = set()

    def voltage_v(self, location: str) -> float:
        raise LookupError(f"there is no bus {location}")

    def frequency_hz(self) -> float:
        return 50.0

    def metered_kw(self, location: str, start: datetime, end: datetime, period: timedelta) -> tuple[float, ...]:
        if location.removeprefix("charger:") in self.lost:
            raise LookupError(f"{location} does not answer")
        steps = (start + k * period for k in range(int((end - start) / period)))
        return tuple(self.portfolio_kw(t) / len(CHARGERS) for t in steps)


class Grid:
    """The port `FrequencyRecord`: 100 mHz too low in the first half of each hour, too high in the second.

    A capacity of 20 kW gives 10 kW for half an hour, and takes as much for the other.
    """

    def series(self, start: datetime, seconds: int) -> Floats:
        return np.array([49.9 if (start + timedelta(seconds=k)).minute < 30 else 50.1 for k in range(seconds)])


def honest_kw(when: datetime) -> float:
    """What a portfolio of 20 kW draws under `Grid`."""
    return BASELINE_KW + (-10.0 if when.minute < 30 else 10.0)


async def start_tso(stage: Stage, **changed: Any) -> FrequencyTso:
    options: dict[str, Any] = {
        "record": Grid(),
        "prices_eur_per_kw": {FcrProduct.FCR_CE: Decimal("0.0200")},
        "up_regulation_eur_per_kwh": Decimal("0.1000"),
        "down_regulation_eur_per_kwh": Decimal("0.0400"),
        "penalty_factor": Decimal("1.5"),
        "wanted_kw": {FcrProduct.FCR_CE: 40.0},
        "ledger": stage.ledger,
        "zone": UTC,
        "until": at(48 * 60),
    }
    return await stage.start(FrequencyTso, "tso", **options | changed)


async def start_meters(stage: Stage, portfolio_kw: Callable[[datetime], float] = honest_kw) -> Meters:
    meters = Meters(portfolio_kw)
    await stage.start(GridEnvironment, "environment", world=meters, interval=timedelta(days=1))
    return meters


def application(application_id: str = "a1", **changed: Any) -> x.ParticipationApplication:
    values: dict[str, Any] = {
        "application_id": application_id,
        "portfolio_id": "pool",
        "product": FcrProduct.FCR_CE,
        "capacity_kw": 20.0,
        "energy_kwh": 60.0,
        "baseline_kw": BASELINE_KW,
        "control": x.Control.LOCAL,
        "units": tuple(unit(charger) for charger in CHARGERS),
        "test_from": at(30),
        "valid_until": at(24 * 60 * 365),
    }
    return x.ParticipationApplication(**values | changed)


def unit(charger_id: str, **changed: Any) -> x.PortfolioUnit:
    values: dict[str, Any] = {
        "charger_id": charger_id,
        "max_charge_kw": 11.0,
        "max_discharge_kw": 10.0,
        "capacity_kw": 5.0,
    }
    return x.PortfolioUnit(**values | changed)


def offer(offer_id: str = "o1", **changed: Any) -> x.CapacityOffer:
    values: dict[str, Any] = {
        "offer_id": offer_id,
        "portfolio_id": "pool",
        "product": FcrProduct.FCR_CE,
        "capacity_kw": 20.0,
        "start": at(120),
        "end": at(180),
        "price_eur_per_kw": Decimal("0.0100"),
    }
    return x.CapacityOffer(**values | changed)


def report(query: x.DeliveryQuery, **changed: Any) -> x.DeliveryReport:
    """An honest one: by `Grid`, with 20 kW."""
    seconds = int((query.end - query.start).total_seconds())
    low = sum((query.start + timedelta(seconds=k)).minute < 30 for k in range(seconds))
    values: dict[str, Any] = {
        "offer_id": query.offer_id,
        "start": query.start,
        "end": query.end,
        "logged_seconds": seconds,
        "available_seconds": seconds,
        "up_kwh": low * 10 / 3600,
        "down_kwh": (seconds - low) * 10 / 3600,
        "baseline_kw": (BASELINE_KW,) * -(-seconds // 900),
    }
    return x.DeliveryReport(**values | changed)


async def approved(stage: Stage, **options: Any) -> tuple[FrequencyTso, FakeManager]:
    """A TSO and a manager whose portfolio has passed the test, 90 minutes after the start."""
    tso = await start_tso(stage, **options)
    manager = await stage.start(FakeManager, "manager")
    outcome = await (await manager.agreed(application())).result()
    assert isinstance(outcome.content, x.Prequalification), outcome  # type: ignore[union-attr]
    await stage.until(90)
    return tso, manager
