"""The manager's side of a prequalification test (7.x.1): the portfolio under the TSO's signal, step by step.

D5.1 3.7: "Prequalification testing is carried out in close coordination with the TSO". Each step says the operating
point, the frequency to apply at the inputs of meters and chargers, and how often to record; the test bench applies it,
and the portfolio's control does what it does in delivery. Holds of the energy management test (test program, section 8)
end by what energy management does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta

from agents.decisions.fcr_energy import EnergyState
from agents.decisions.fcr_portfolio import Unit, scaled
from agents.fcr_ports import TestBench
from agents.frequency_control import FrequencyControl
from behaviours.ports import Clock
from protocols.exchanges.frequency_services import (
    MOST_SAMPLES,
    HoldUntil,
    ParticipationApplication,
    Span,
    TestRecord,
    TestStep,
)

_SAME_KW = 1e-9


class TestFailedError(Exception):
    """A step could not be done to its end; the message says why, in words for the TSO."""

    __test__ = False  # no test of pytest's


class Watch:
    """What energy management does in one step: when NEM and AEM were on, and when a hold is over.

    Seconds count from `start`; what was before is not told. `length_s` is that of the signal.
    """

    def __init__(self, step: TestStep, begun: datetime, length_s: float, control: FrequencyControl) -> None:
        self.step = step
        self.start = begun + timedelta(seconds=step.record_from_s)
        self.over = asyncio.Event()
        self._earliest = begun + timedelta(seconds=length_s)
        self._control = control
        self._since: datetime | None = None
        self._was_off = False
        self._spans: tuple[list[list[float]], list[list[float]]] = ([], [])
        self._open = [False, False]
        self.soc_start = control.soc
        self._waits = step.record_from_s > 0
        self._others = [(begun, control.others_kw)]

    def second(self, at: datetime, state: EnergyState) -> None:
        """One second of the control."""
        if self._control.others_kw != self._others[-1][1]:
            self._others.append((self._control.others_since, self._control.others_kw))
        if at >= self.start:
            if self._waits:
                self.soc_start, self._waits = self._control.soc, False
            from_start = (at - self.start).total_seconds()
            for which, on in enumerate((state.nem_on, state.aem_on)):
                if on and self._open[which]:
                    self._spans[which][-1][1] = from_start
                elif on:
                    self._spans[which].append([from_start, from_start])
                self._open[which] = on
        if self.step.hold_until is None:
            return
        if not state.nem_on and not state.aem_on:
            self._was_off = True
        if not self._so(state):
            self._since = None
        elif self._since is None:
            self._since = at
        held = self._since is not None and (at - self._since).total_seconds() >= self.step.hold_s
        if held and at >= self._earliest:
            self.over.set()

    def _so(self, state: EnergyState) -> bool:
        match self.step.hold_until:
            case HoldUntil.NEM_ON:
                return state.nem_on
            case HoldUntil.AEM_ON:
                return state.aem_on
            case HoldUntil.NEM_ON_AGAIN:
                return self._was_off and state.nem_on
            case _:
                return not state.nem_on and not state.aem_on

    def own_kw(self, power_kw: Sequence[float]) -> tuple[float, ...]:
        """What the portfolio drew, of what all chargers behind the connection point did: a vehicle that cannot wait
        charges on beside the test. To the watt."""
        found: list[float] = []
        ends = [*(at for at, _ in self._others[1:]), None]
        for (_, others), end in zip(self._others, ends, strict=True):
            count = (
                len(power_kw) if end is None else max(0, int((end - self.start).total_seconds() / self.step.sample_s))
            )
            found += [round(kw - others, 3) for kw in power_kw[len(found) : count]]
        return tuple(found)

    def spans(self, which: int) -> tuple[Span, ...]:
        """When NEM (0) or AEM (1) was on."""
        return tuple(Span(from_s=first, to_s=last) for first, last in self._spans[which])


class FrequencyTest:
    """The test of one application. `units` are the vehicles in it; whoever makes this has claimed them."""

    def __init__(
        self,
        application: ParticipationApplication,
        units: Sequence[Unit],
        control: FrequencyControl,
        bench: TestBench,
        clock: Clock,
    ) -> None:
        self.application = application
        self.units = tuple(units)
        self.control = control
        self.bench = bench
        self.clock = clock
        self.busy = False
        self.why_over: str | None = None
        self._over = asyncio.Event()

    def stop(self, why: str) -> None:
        """Nothing more is tested; a step that is under way fails with these words."""
        if self.why_over is None:
            self.why_over = why
        self._over.set()

    async def step(self, step: TestStep) -> TestRecord:
        """Does one step. Raises TestFailedError."""
        self.busy = True
        try:
            return await self._step(step)
        finally:
            self.busy = False
            self.control.watch = None

    async def _step(self, step: TestStep) -> TestRecord:
        await self._operate(step.baseline_kw)
        length_s = sum(piece.duration_s for piece in step.signal)
        self.bench.apply(step.signal, step.sample_s)
        begun = self.clock.now()  # after it: on a real clock the bench has no record of what was before
        watch = Watch(step, begun, length_s, self.control)
        self.control.watch = watch.second
        await self._unless_over(self.clock.sleep_until(begun + timedelta(seconds=length_s)))
        if step.hold_until is not None and not watch.over.is_set():
            limit = begun + timedelta(seconds=length_s + step.most_s)
            await self._unless_over(self._held(watch, limit))
        end = self.clock.now()
        try:
            applied_hz, power_kw = self.bench.record(watch.start, end, step.sample_s)
        except LookupError as error:
            raise TestFailedError(f"the bench has no record of the step: {error}") from None
        return TestRecord(
            application_id=step.application_id,
            step_id=step.step_id,
            start=watch.start,
            sample_s=step.sample_s,
            applied_hz=tuple([round(hz, 3) for hz in applied_hz[:MOST_SAMPLES]]),
            power_kw=watch.own_kw(power_kw[:MOST_SAMPLES]),
            baseline_kw=round(self.control.baseline_kw, 3),
            soc_start_percent=round(watch.soc_start * 100, 3),
            soc_end_percent=round(self.control.soc * 100, 3),
            nem=watch.spans(0),
            aem=watch.spans(1),
            endurance_minutes=self.control.endurance_minutes,
        )

    async def _operate(self, baseline_kw: float) -> None:
        """Sets the operating point where it is not set yet, with the control active."""
        if self.why_over is not None:
            raise TestFailedError(self.why_over)
        capacity = self.application.capacity_kw
        if not self.control.on:
            units = scaled(self.units, capacity, baseline_kw)
            await self.control.begin(units, capacity, self.application.energy_kwh)
        elif abs(self.control.baseline_kw - baseline_kw) > _SAME_KW:
            present = tuple(self.control.units.values())
            await self.control.change(scaled(present, capacity, baseline_kw), capacity)

    async def _held(self, watch: Watch, limit: datetime) -> None:
        timer = self.clock.call_at(limit, watch.over.set)
        try:
            await watch.over.wait()
        finally:
            timer.cancel()

    async def _unless_over(self, work: Awaitable[None]) -> None:
        """Waits for `work`, and raises TestFailedError as soon as the test is over."""
        waiting, over = asyncio.ensure_future(work), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({waiting, over}, return_when=asyncio.FIRST_COMPLETED)
            if self.why_over is not None:
                raise TestFailedError(self.why_over)
            await waiting
        finally:
            waiting.cancel()
            over.cancel()
