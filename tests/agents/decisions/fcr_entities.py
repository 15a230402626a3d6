"""Simulated entities for the tests of frequency containment: what a given response makes of a step, as a record."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agents.decisions.fcr_energy import EnergyManager, EnergyState, Reservoir
from agents.decisions.fcr_products import FcrRules, total_change_kw
from agents.decisions.fcr_sequences import frequency_at, length_s
from protocols.exchanges.frequency_services import HoldUntil, Span, TestRecord, TestStep

START = datetime(2026, 1, 13, 17, 0, tzinfo=UTC)


@dataclass
class Entity:
    """A response of `gain` times the capacity behind a first-order lag and a delay, with a ripple of `ripple` times the
    capacity; `soc` (share) of a reservoir that is kept in order by energy management, if it `manages`."""

    rules: FcrRules
    capacity_kw: float = 40.0
    energy_kwh: float = 80.0
    baseline_kw: float = 0.0
    gain: float = 1.0
    lag_s: float = 0.0
    delay_s: float = 0.0
    ripple: float = 0.0
    ripple_s: float = 7.0
    fade_s: float = math.inf
    manages: bool = False
    soc: float = 0.5
    now_s: float = 0.0
    change_kw: float = 0.0
    active_s: float = 0.0
    _seen: deque[float] = field(default_factory=deque)
    _manager: EnergyManager | None = None
    _second: int = 0
    _state: EnergyState = field(default_factory=lambda: EnergyState(0.0, False, False, math.nan, 0.0))

    def perform(self, steps: Sequence[TestStep]) -> dict[str, TestRecord]:
        return {step.step_id: self.do(step) for step in steps}

    def do(self, step: TestStep) -> TestRecord:
        """The record of one step; a hold ends when what it waits for has come, or with `most_s`."""
        dt = 1.0 if step.sample_s > 1 else step.sample_s
        least, most = length_s(step.signal), length_s(step.signal) + step.most_s
        applied: list[float] = []
        power: list[float] = []
        states: list[EnergyState] = []
        soc_start = self.soc
        waited = Wait(step.hold_until, step.hold_s)
        t = 0.0
        every = round(step.sample_s / dt)
        count = 0
        while t < least - 1e-9 or (t < most - 1e-9 and not waited.over):
            hz = frequency_at(step.signal, t)
            self._advance(hz, dt)
            if t >= step.record_from_s - 1e-9 and count % every == 0:
                ripple = self.ripple * self.capacity_kw * math.sin(2 * math.pi * self.now_s / self.ripple_s)
                applied.append(hz)
                power.append(self.baseline_kw + self.change_kw + ripple)
            if len(states) <= t:
                states.append(self._state)
                waited.see(self._state)
            count += 1
            t = count * dt
        return TestRecord(
            application_id=step.application_id,
            step_id=step.step_id,
            start=START,
            sample_s=step.sample_s,
            applied_hz=tuple(applied),
            power_kw=tuple(power),
            baseline_kw=self.baseline_kw,
            soc_start_percent=100 * soc_start,
            soc_end_percent=100 * self.soc,
            nem=spans([state.nem_on for state in states]),
            aem=spans([state.aem_on for state in states]),
        )

    def _advance(self, hz: float, dt: float) -> None:
        """What is true at `now_s`, and then `dt` further."""
        reference, nem_kw = None, 0.0
        if self.manages:
            if round(self.now_s, 6) >= self._second:
                self._manager = self._manager or EnergyManager(self.rules, Reservoir(self.energy_kwh, self.capacity_kw))
                self._state = self._manager.second(hz, self.soc)
                self._second = int(round(self.now_s, 6)) + 1
            reference, nem_kw = self._state.reference_hz, self._state.nem_kw
        self._seen.append(total_change_kw(self.rules, self.capacity_kw, hz, reference, nem_kw))
        while len(self._seen) > round(self.delay_s / dt) + 2:
            self._seen.popleft()
        target, before = self.gain * self._seen[min(1, len(self._seen) - 1)], self.gain * self._seen[0]
        self.active_s = self.active_s + dt if target else 0.0
        if self.active_s > self.fade_s:
            target = before = 0.0
        if self.lag_s:
            # exact but for the input's curve within a step, which is taken for a line
            self.change_kw += ((target + before) / 2 - self.change_kw) * (1 - math.exp(-dt / self.lag_s))
        else:
            self.change_kw = target
        charged_kwh = (self.baseline_kw + self.change_kw) * dt / 3600
        self.soc = min(max(self.soc + charged_kwh / self.energy_kwh, 0.0), 1.0)
        self.now_s += dt


@dataclass
class Wait:
    """When the end of a hold has come."""

    until: HoldUntil | None
    hold_s: float
    over: bool = False
    _was_off: bool = False
    _for_s: float = 0.0

    def see(self, state: EnergyState) -> None:
        off = not state.nem_on and not state.aem_on
        self._was_off = self._was_off or off
        match self.until:
            case HoldUntil.NEM_ON:
                so = state.nem_on
            case HoldUntil.NEM_ON_AGAIN:
                so = self._was_off and state.nem_on
            case HoldUntil.AEM_ON:
                so = state.aem_on
            case HoldUntil.BOTH_OFF:
                so = off
            case None:
                so = True
        self._for_s = self._for_s + 1.0 if so else 0.0
        self.over = so and self._for_s >= self.hold_s


def spans(on: Sequence[bool]) -> tuple[Span, ...]:
    """Where a value of each second is true."""
    found: list[Span] = []
    since: int | None = None
    for second, value in enumerate([*on, False]):
        if value and since is None:
            since = second
        elif not value and since is not None:
            found.append(Span(from_s=since, to_s=second))
            since = None
    return tuple(found)
