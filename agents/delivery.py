"""After a VPP's activation: what the chargers' registers prove, the claim on it, and the owners' part of the money."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from agents.actor import Actor
from agents.decisions.baseline import meter_before_meter_after
from agents.decisions.money import cents
from agents.decisions.settlement import settle
from agents.ledger import Ledger
from agents.periods import QUARTER, next_quarter
from agents.portfolio import Portfolio, Promise, Stage, mean_power, powers_of
from behaviours.outcomes import Accepted
from protocols.exchanges.activation import DataMeasurements
from protocols.exchanges.settlement import DeliveredVolume
from protocols.exchanges.vocabulary import BaselineMethod
from protocols.roles import Role

ANSWER_TIME = timedelta(minutes=3)
CLAIM_AFTER = timedelta(minutes=5)
SHARE_AFTER = timedelta(minutes=40)
"""When the bill is due to be paid: the FMO sends it 20 minutes after the end."""
BEFORE_READINGS = 4
"""Quarters before an activation that the meter-before baseline takes."""

Measure = Callable[[], Awaitable[Mapping[str, DataMeasurements]]]


class DeliveryDesk:
    """Measures, claims and shares in the name of a VPP. `measure` asks its CPOs for the registers (1.2.1)."""

    def __init__(
        self,
        agent: Actor,
        portfolio: Portfolio,
        ledger: Ledger,
        baseline: BaselineMethod,
        measure: Measure,
        penalty_eur_per_kw: Decimal | None = None,
    ) -> None:
        self._penalty_eur_per_kw = penalty_eur_per_kw or Decimal(0)
        self._agent = agent
        self._portfolio = portfolio
        self._ledger = ledger
        self._baseline = baseline
        self._measure = measure
        self._readings_kw: dict[datetime, float] = {}
        self._last_kw: dict[str, float] = {}

    def heard(self, reports: Iterable[DataMeasurements]) -> None:
        """Keeps each charger's last known power, which bridges a register that is missing."""
        self._last_kw |= powers_of(reports)

    def _mean_power(
        self, before: Mapping[str, DataMeasurements], after: Mapping[str, DataMeasurements]
    ) -> float | None:
        hours = QUARTER.total_seconds() / 3600
        return mean_power(list(before.values()), list(after.values()), hours, self._last_kw)

    async def keep_readings(self) -> None:
        """Where the product's baseline is measured, every quarter of the day has to be."""
        if self._baseline is not BaselineMethod.METER_BEFORE_METER_AFTER:
            return
        clock = self._agent.clock
        await clock.sleep_until(next_quarter(self._agent.now()))
        before = await self._measure()
        while True:
            at = self._agent.now()
            await clock.sleep_until(next_quarter(at))
            after = await self._measure()
            power = self._mean_power(before, after)
            if power is not None:
                self._readings_kw[at] = power
            before = after

    async def measure(self, promise: Promise) -> None:
        """Reads the chargers' registers at each quarter of the service, until it is over or called off."""
        clock = self._agent.clock
        await clock.sleep_until(promise.start)
        before = await self._measure()
        at = promise.start
        while at < promise.end and promise.stage is Stage.ACTIVATED:
            await clock.sleep_until(at + QUARTER)
            after = await self._measure()
            power = self._mean_power(before, after)
            if power is not None:
                promise.measured_kw[at] = power
            before, at = after, at + QUARTER

    def baseline_of(self, promise: Promise) -> tuple[float, ...]:
        """What the portfolio would have drawn, by the product's method; without the readings, as nominated."""
        if self._baseline is BaselineMethod.METER_BEFORE_METER_AFTER:
            times = [promise.start - k * QUARTER for k in range(BEFORE_READINGS, 0, -1)]
            before = [self._readings_kw[at] for at in times if at in self._readings_kw]
            if len(before) == BEFORE_READINGS:
                return tuple(round(float(kw), 3) for kw in meter_before_meter_after(before, promise.periods))
        return promise.baseline_kw

    async def claim(self, promise: Promise) -> None:
        """1.x.5: "the delivered volume is calculated by the VPP, and the information is sent to the DSO"."""
        agent = self._agent
        await agent.clock.sleep_until(promise.end + CLAIM_AFTER)
        assert promise.activation_id is not None
        baseline = self.baseline_of(promise)
        measured = tuple(round(kw, 3) for kw in promise.measured)
        delivered = tuple(
            round(max(0.0, min(promise.power_kw, b - m)), 3) for b, m in zip(baseline, measured, strict=True)
        )
        volume = DeliveredVolume(
            activation_id=promise.activation_id,
            baseline_kw=baseline,
            measured_kw=measured,
            delivered_kw=delivered,
            delivered_energy_kwh=round(sum(delivered) * QUARTER.total_seconds() / 3600, 6),
        )
        for dso in await agent.search(role=Role.DSO):
            answer = await agent.propose(volume, to=dso.jid, reply_by=agent.now() + ANSWER_TIME)
            if not isinstance(answer, Accepted):
                agent.notice(f"the volume of {promise.activation_id} is disputed: {answer}")
            elif dso.jid == promise.buyer and dso.jid in agent.swarm.outside:
                self._book(promise, baseline, measured)
        await self._share(promise)

    def _book(self, promise: Promise, baseline: tuple[float, ...], measured: tuple[float, ...]) -> None:
        """What a DSO owes for a pool's service whose volume it has accepted, and which cannot write the books."""
        reference, agent = str(promise.activation_id), self._agent
        settled = settle(
            baseline,
            measured,
            promise.power_kw,
            promise.price_eur_per_kw,
            self._penalty_eur_per_kw,
            penalty_for_ordered_only=True,
        )
        payer = promise.buyer.partition("@")[0]
        self._ledger.transfer(
            f"pay-{reference}", agent.now(), reference, payer=payer, payee=agent.name, amount_eur=settled.amount_eur
        )

    async def _share(self, promise: Promise) -> None:
        """Hands the owners' part of what was earned to the CPOs, in proportion to the power of each."""
        agent = self._agent
        await agent.clock.sleep_until(promise.end + SHARE_AFTER)
        reference = str(promise.activation_id)
        earned = sum(
            (line.amount_eur for line in self._ledger.statement(agent.name) if line.reference == reference), Decimal(0)
        )
        parts = {cpo: Decimal(repr(kw)) for cpo, kw in promise.parts_kw.items() if kw > 0}
        if earned <= 0 or not parts:
            return
        owners = self._portfolio.strategy.owners_part(earned)
        for cpo, kw in sorted(parts.items()):
            account = cpo.partition("@")[0]
            amount = cents(owners * kw / sum(parts.values()))
            if amount > 0:
                entries = {agent.name: -amount, account: amount}
                self._ledger.post(f"{reference}/{account}", agent.now(), reference, entries)
