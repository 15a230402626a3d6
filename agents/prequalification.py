"""The course of a prequalification test: the TSO asks for it step by step, judges each record, and says how it ended.

D5.1 section 3.7: "the TSO must be permitted to be present"; so it is the TSO that runs the test (7.x.1). What is judged
by which number is in agents/decisions/fcr_judgement.py; here is whether a record is that of what was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from agents.actor import Actor
from agents.decisions.fcr_judgement import judge, judge_step
from agents.decisions.fcr_products import FcrRules, is_limited, needs, power_needs_kw
from agents.decisions.fcr_sequences import frequency_at, steps
from agents.quarter_cycle import ANSWER_TIME
from behaviours.outcomes import Agreed, Informed, Outcome
from protocols.exchanges.frequency_services import Finding, ParticipationApplication, TestRecord, TestStep

GRACE = timedelta(minutes=10)
"""What a step may take longer than its signal: to settle at the baseline before, and to read the record after."""
FREQUENCY_HZ = 0.005
"""So far the applied frequency may be from the one asked for, within a sample's time either way."""
BASELINE_PART = 0.05
"""Of the capacity: so far the operating point may be from the one asked for."""
CLOCK = timedelta(seconds=2)
"""By so much the clocks may differ."""
ROUNDED = 1e-6

_T = TypeVar("_T")


@dataclass(slots=True)
class TestCourse:
    """One test: `reason` is None where it was passed (`approved_kw` > 0), else what failed in one line.

    `cancelled`: called off by the manager before its end. `records` are by step, as they are judged.
    """

    __test__ = False  # no test of pytest's

    application: ParticipationApplication
    manager: str
    began: datetime
    ended: datetime | None = None
    approved_kw: float = 0.0
    reason: str | None = None
    cancelled: bool = False
    sheet: tuple[Finding, ...] = ()
    steps: tuple[TestStep, ...] = ()
    records: dict[str, TestRecord] = field(default_factory=dict)


def too_small(rules: FcrRules, application: ParticipationApplication) -> str | None:
    """Why the portfolio cannot keep the capacity that it claims by its own figures (3.5, Table 10), None if it can."""
    claimed = application.capacity_kw
    given = sum(unit.capacity_kw for unit in application.units)
    if claimed > given + ROUNDED:
        return f"{claimed:g} kW are claimed, and the units give {given:g} kW together"
    up_kw, down_kw = power_needs_kw(rules, claimed, application.energy_kwh)
    upwards = application.baseline_kw + sum(unit.max_discharge_kw for unit in application.units)
    downwards = sum(unit.max_charge_kw for unit in application.units) - application.baseline_kw
    for name, there, needed in (("upwards", upwards, up_kw), ("downwards", downwards, down_kw)):
        if needed > there + ROUNDED:
            return f"{needed:.1f} kW {name} are needed for {claimed:g} kW, and the ratings leave {max(0.0, there):.1f}"
    reserve = needs(rules, claimed)
    energy = reserve.up_kwh + reserve.down_kwh
    if energy > application.energy_kwh + ROUNDED:
        return f"{energy:.1f} kWh are needed for {claimed:g} kW, and {application.energy_kwh:g} are kept for it"
    return None


async def run_test(agent: Actor, course: TestCourse, rules: FcrRules, cancelled: asyncio.Event) -> None:
    """Runs the whole test, "step by step and ramp by ramp", and notes its end in `course`.

    It stops at the first step that is refused, fails, is not answered, is not what was asked for, or shows what no
    reduction of the capacity could mend; and at once when `cancelled` is set.
    """
    application = course.application
    capacity = application.capacity_kw
    course.steps = steps(
        rules,
        application.application_id,
        capacity_kw=capacity,
        energy_kwh=application.energy_kwh,
        baseline_kw=application.baseline_kw,
        limited=is_limited(rules, capacity, application.energy_kwh),
    )
    for step in course.steps:
        if cancelled.is_set():
            break
        asked = agent.now()
        answer = await unless(cancelled, _answer(agent, course.manager, step))
        if answer is None:
            break
        if not isinstance(answer, Informed) or not isinstance(answer.content, TestRecord):
            course.reason = f"step {step.step_id}, {step.test}: {answer}"
            break
        record = answer.content
        fault = record_fault(step, record, asked, agent.now(), capacity)
        if fault is not None:
            course.reason = f"step {step.step_id}, {step.test}: {fault}"
            break
        course.records[step.step_id] = record
        found = judge_step(rules, capacity, step, record)
        if any(not finding.passed for finding in found):
            course.reason = f"step {step.step_id}, {step.test}: {_failed(found)}"
            break
    course.cancelled = cancelled.is_set()
    course.ended = agent.now()
    if course.cancelled:
        course.reason = "called off"
    else:
        _conclude(course, rules)


def _conclude(course: TestCourse, rules: FcrRules) -> None:
    """The sheet, as far as the test went, and the verdict where it went to its end."""
    if course.reason is not None:
        capacity, records = course.application.capacity_kw, course.records
        tested = [step for step in course.steps if step.step_id in records]
        course.sheet = tuple(f for s in tested for f in judge_step(rules, capacity, s, records[s.step_id]))
        return
    sheet = judge(rules, course.application.capacity_kw, course.records, course.steps)
    course.sheet = sheet.findings
    failed = [finding for finding in sheet.findings if not finding.passed]
    if failed:
        course.reason = _failed(failed)
    elif not sheet.findings or sheet.approved_kw <= 0:
        course.reason = "nothing is left of the capacity after its reduction"
    else:
        course.approved_kw = min(sheet.approved_kw, course.application.capacity_kw)


async def _answer(agent: Actor, manager: str, step: TestStep) -> Outcome:
    length = timedelta(seconds=sum(piece.duration_s for piece in step.signal) + step.most_s)
    done_by = agent.now() + length + GRACE
    answer = await agent.request(step, to=manager, reply_by=agent.now() + ANSWER_TIME, done_by=done_by)
    return await answer.result() if isinstance(answer, Agreed) else answer


async def unless(stopped: asyncio.Event, work: Awaitable[_T]) -> _T | None:
    """What `work` gives, or None as soon as `stopped` is set, which ends it."""
    task, stop = asyncio.ensure_future(work), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() and not stopped.is_set() else None
    finally:
        task.cancel()
        stop.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)


def record_fault(step: TestStep, record: TestRecord, asked: datetime, now: datetime, capacity_kw: float) -> str | None:
    """Why a record is not that of the step that was asked for at `asked`, None where it is."""
    return next(_faults(step, record, asked, now, capacity_kw), None)


def _faults(step: TestStep, record: TestRecord, asked: datetime, now: datetime, capacity_kw: float) -> Iterator[str]:
    if (record.application_id, record.step_id) != (step.application_id, step.step_id):
        yield f"the record is that of {record.step_id}"
    if record.sample_s != step.sample_s:
        yield f"there is a sample each {record.sample_s:g} s instead of {step.sample_s:g}"
    signal_s = sum(piece.duration_s for piece in step.signal)
    least = (signal_s - step.record_from_s) / step.sample_s - 2
    most = (signal_s + step.most_s - step.record_from_s) / step.sample_s + 2
    count = len(record.applied_hz)
    if count < max(1.0, least) or count > most:
        yield f"the record has {count} samples, where {max(1, round(least + 2))} to {round(most - 2)} were asked for"
    end = record.start + timedelta(seconds=count * record.sample_s)
    if record.start < asked - CLOCK or end > now + CLOCK + timedelta(seconds=2 * record.sample_s):
        yield "the record is of another time than the step"
    if any(span.to_s > (count + 1) * record.sample_s for span in (*record.nem, *record.aem)):
        yield "energy management is told of after the record's end"
    if (worst := off_by_hz(step, record.applied_hz)) > FREQUENCY_HZ:
        yield f"the frequency that was applied is {worst * 1000:.0f} mHz from the one asked for"
    managed = record.nem or record.aem  # energy management moves the operating point (3.5.1)
    if not managed and abs(record.baseline_kw - step.baseline_kw) > BASELINE_PART * capacity_kw:
        yield f"the baseline is {record.baseline_kw:g} kW instead of {step.baseline_kw:g}"


def off_by_hz(step: TestStep, applied_hz: Sequence[float]) -> float:
    """The most by which the applied frequency is outside what was asked for within a sample's time either way."""
    signal_s = sum(piece.duration_s for piece in step.signal)
    times = step.record_from_s + np.arange(-1, len(applied_hz) + 1) * step.sample_s
    asked = np.array([frequency_at(step.signal, float(t)) for t in np.clip(times, 0.0, signal_s)])
    around = np.stack([asked[:-2], asked[1:-1], asked[2:]])
    applied = np.asarray(applied_hz, dtype=float)
    off = np.maximum(around.min(axis=0) - applied, applied - around.max(axis=0))
    return float(off.max(initial=0.0))


def _failed(findings: Sequence[Finding]) -> str:
    """The requirements that were not met, in one line."""
    return "; ".join(
        f"{f.clause} {f.requirement}: {f.measured:.4g} {f.unit}{_bounds(f)}" for f in findings if not f.passed
    )


def _bounds(finding: Finding) -> str:
    low = "" if finding.low is None else f"at least {finding.low:g}"
    high = "" if finding.high is None else f"at most {finding.high:g}"
    words = " and ".join(word for word in (low, high) if word)
    return f", {words}" if words else ""
