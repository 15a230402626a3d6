"""The application to take part in frequency control, and its test, the manager's side (D5.1 3.7, 7.1 and 7.x.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from agents.decisions.fcr_portfolio import Unit, allocate, must_charge, scaled
from agents.frequency_portfolio import FrequencyPortfolio
from agents.frequency_terms import ANSWER_TIME, HOUR
from agents.frequency_test import FrequencyTest, TestFailedError
from behaviours.answering import Failure, Incoming, Inform, Refuse, answers, failure, refusal
from behaviours.outcomes import Agreed, Failed, Informed
from protocols.exchanges.frequency_services import (
    ParticipationApplication,
    ParticipationEnd,
    PortfolioUnit,
    Prequalification,
    PrequalificationFailed,
    TestStep,
)
from protocols.exchanges.plain import Done

TEST_TAKES = timedelta(hours=12)


class FrequencyApplication(FrequencyPortfolio):
    """D5.1 3.7: "the V2X Manager plays an important role in this process by requesting participation in the frequency
    control services (ID 7.1)"."""

    async def _apply(self) -> bool:
        """7.1: whether the portfolio was approved."""
        terms, now = self._terms, self.now()
        await self.desk.read()
        until = terms.test_from + terms.test_lasts
        units = allocate(
            self._rules,
            self._fcr_vehicles(now),
            terms.test_from,
            max(until, terms.test_from + HOUR),
            terms.capacity_kw,
            ready_margin=terms.ready_margin,
            baseline_kw=0.0,
        )
        if not units:
            self.notice(f"no vehicle can be tested for {self._rules.name} at {terms.test_from:%H:%M} UTC")
            return False
        units = scaled(units, terms.capacity_kw, 0.0)  # what is claimed, whether they can do it or not
        application = ParticipationApplication(
            application_id=f"{self.portfolio_id}-7.1-{now:%Y%m%dT%H%M}",
            portfolio_id=self.portfolio_id,
            product=terms.product,
            capacity_kw=terms.capacity_kw,
            energy_kwh=terms.energy_kwh,
            baseline_kw=0.0,
            control=terms.control,
            nem_disable_minutes=terms.nem_disable_minutes,
            units=self._portfolio(units),
            test_from=terms.test_from,
            valid_until=terms.test_from + terms.approval_lasts,
        )
        assert self.bench is not None
        tso = await self._find_tso()
        if tso is None:
            self.notice("no TSO is known that approves portfolios for frequency containment")
            return False
        test = self.test = FrequencyTest(application, units, self._control, self.bench, self.clock)
        outcome = await self.request(
            application, to=tso, reply_by=now + ANSWER_TIME, done_by=terms.test_from + TEST_TAKES
        )
        if not isinstance(outcome, Agreed):
            self.notice(f"{self.portfolio_id} is not tested: {outcome}")
            self.test = None
            return False
        self._application = outcome
        if terms.cancels_test_at is not None:
            self.spawn(self._cancel_test(terms.cancels_test_at, "the owner has called the test off"), "cancels")
        result = await outcome.result()
        self._application, called_off = None, test.why_over
        await self._end_test()
        match result:
            case Informed(content=Prequalification() as approval):
                self.approved_kw = min(approval.approved_kw, terms.capacity_kw)
                return True
            case Failed(content=PrequalificationFailed() as failed):
                self.notice(f"{self.portfolio_id} is not approved: {failed.reason}")
            case _ if called_off is None:
                self.notice(f"the test of {self.portfolio_id} has no result: {result}")
        return False

    def _portfolio(self, units: Sequence[Unit]) -> tuple[PortfolioUnit, ...]:
        """All chargers behind the connection point's meter: those that are tested with their part, the others with
        what their ratings allow; who serves changes from hour to hour (3.11, flexible operation)."""
        tested = {unit.charger_id: unit.capacity_kw for unit in units}
        inwards, outwards = self.lot.ratings_kw
        by_rating = min(outwards / self._rules.power_up, inwards / self._rules.power_down)
        return tuple(
            PortfolioUnit(
                charger_id=charger_id,
                max_charge_kw=inwards,
                max_discharge_kw=outwards,
                capacity_kw=tested.get(charger_id, by_rating),
            )
            for charger_id in self.desk.chargers
        )

    def _held(self, units: Sequence[Unit]) -> list[Unit]:
        """The other vehicles that can wait: under test nothing else is drawn behind the meter."""
        now, serving = self.now(), {unit.charger_id for unit in units}
        until = now + self._terms.test_lasts
        inwards, outwards = self.lot.ratings_kw
        return [
            Unit(v.id, 0.0, 0.0, -outwards, inwards, 0.0, 0.0, v.efficiency_charge, v.efficiency_discharge)
            for v in self._fcr_vehicles(now)
            if v.id not in serving and not must_charge(v, until, self._terms.ready_margin)
        ]

    @answers(TestStep)
    async def on_test_step(self, step: TestStep, incoming: Incoming) -> Inform | Refuse | Failure | None:
        """7.x.1: one step of the test; the answer is its record."""
        test = self.test
        if test is None or test.application.application_id != step.application_id or incoming.sender != self.tso:
            return refusal("no-application", f"{step.application_id} is not under test")
        if test.why_over is not None or test.busy:
            return refusal("busy", test.why_over or "another step is under way")
        if not self._control.on:
            there = {vehicle.id for vehicle in self._fcr_vehicles(self.now())}
            test.units = tuple(unit for unit in test.units if unit.charger_id in there)
            if not test.units:
                return refusal("no-vehicle", "no vehicle is left that can be tested")
            test.units += tuple(self._held(test.units))
            if not self.claim([unit.charger_id for unit in test.units], self.portfolio_id):
                return refusal("busy", "the vehicles serve the DSO")
        if not await incoming.agree(Done(reference=step.step_id)):
            return None
        first = not self._control.on
        working = asyncio.ensure_future(test.step(step))
        if first:
            self._tell_owners_soon()
        try:
            return Inform(await working)
        except TestFailedError as error:
            return failure("test-broken-off", str(error))

    async def _cancel_test(self, at: datetime, reason: str) -> None:
        """7.3 in the middle of the test."""
        await self.clock.sleep_until(at)
        if self._application is not None and self.test is not None:
            self.notice(f"the test of {self.portfolio_id} is called off: {reason}")
            await self._call_test_off(reason)

    async def _call_test_off(self, reason: str) -> bool:
        """7.3: False where there is no test. The TSO is told before the step under way is broken off, which it would
        take for a portfolio that has failed; the chargers do not wait for its answer."""
        agreed, test = self._application, self.test
        if agreed is None or test is None:
            return False
        self._application = None
        end = ParticipationEnd(reference=test.application.application_id, start=self.now(), reason=reason)
        telling = self.spawn(self._cancel_fcr(agreed, end), "calls the test off")
        test.stop(reason)
        await self._end_test()
        await telling
        return True

    async def _end_test(self) -> None:
        if self.test is None:
            return
        test, self.test = self.test, None
        test.stop(test.why_over or "the test is over")
        test.bench.release()
        await self._end_service()
