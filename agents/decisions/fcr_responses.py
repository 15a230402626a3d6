"""What a record of a test shows: means, what was activated and when, the sine in it, and a line of the sheet from it.

A response is upwards (kW, above 0 is less drawn than the baseline) as the rules have it; records are in kW drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.decisions.fcr_products import FcrRules
from agents.decisions.fcr_sequences import kind, length_s
from protocols.exchanges.frequency_services import Finding, TestRecord, TestStep

Floats = npt.NDArray[np.float64]
Key = tuple[str, int]


@dataclass(frozen=True)
class Response:
    """A record's response. `at_s` [sample] counts from the start of the step's signal, `kw` [sample] is upwards."""

    step: TestStep
    record: TestRecord

    @property
    def kw(self) -> Floats:
        return self.record.baseline_kw - np.asarray(self.record.power_kw, dtype=np.float64)

    @property
    def at_s(self) -> Floats:
        return self.step.record_from_s + self.record.sample_s * np.arange(len(self.record.power_kw), dtype=np.float64)

    @property
    def lasted_s(self) -> float:
        return len(self.record.power_kw) * self.record.sample_s

    def steady_kw(self, last_s: float = 60.0) -> float:
        """The mean of the last `last_s`."""
        return float(self.kw[-_samples(self.record, last_s) :].mean())

    def before_kw(self, until_s: float, last_s: float = 10.0) -> float:
        """The mean of the `last_s` before `until_s`, the moment itself not included."""
        at = self.at_s
        inside = (at < until_s - 1e-6) & (at >= until_s - last_s - 1e-6)
        return float(self.kw[inside].mean())

    def kw_at(self, at_s: float) -> float:
        return float(np.interp(at_s, self.at_s, self.kw))

    def running_kws(self, from_s: float, to_s: float, less_kw: float) -> Floats:
        """The integral of the response less `less_kw` from `from_s` to each later sample and to `to_s`, kWs."""
        at = self.at_s
        inside = (at > from_s + 1e-9) & (at < to_s - 1e-9)
        times = np.concatenate(([from_s], at[inside], [to_s]))
        kw = np.interp(times, at, self.kw) - less_kw
        return np.asarray(np.concatenate(([0.0], np.cumsum(np.diff(times) * (kw[1:] + kw[:-1]) / 2))))

    def moving_kw(self, from_s: float, to_s: float, window_s: float) -> Floats:
        """Moving means over `window_s` of what lies between, in seconds of `at_s`; empty where that is shorter."""
        at = self.at_s
        kw = self.kw[(at >= from_s - 1e-6) & (at < to_s - 1e-6)]
        width = _samples(self.record, window_s)
        if len(kw) < width:
            return np.zeros(0)
        return np.asarray(np.convolve(kw, np.full(width, 1 / width), mode="valid"))


def _samples(record: TestRecord, seconds: float) -> int:
    return max(1, round(seconds / record.sample_s))


def is_whole(step: TestStep, record: TestRecord) -> bool:
    """Whether a record covers the step's signal, but for two samples that its ends may miss."""
    return len(record.power_kw) >= max(1.0, (length_s(step.signal) - step.record_from_s) / record.sample_s - 2)


@dataclass(frozen=True)
class Trial:
    """A test as far as it went: the responses by test and number; `limited`: the reservoir is (LER)."""

    rules: FcrRules
    capacity_kw: float
    responses: Mapping[Key, Response]
    limited: bool

    @staticmethod
    def of(
        rules: FcrRules,
        capacity_kw: float,
        steps: Mapping[str, TestStep],
        records: Mapping[str, TestRecord],
        limited: bool,
    ) -> Trial:
        """Records that are shorter than their steps count as missing."""
        responses = {
            kind(step_id): Response(steps[step_id], record)
            for step_id, record in records.items()
            if step_id in steps and is_whole(steps[step_id], record)
        }
        return Trial(rules, capacity_kw, responses, limited)


@dataclass(frozen=True)
class Outcome:
    """What a requirement says, and the reduction factors that it needs (at most 1), steady state and dynamic."""

    findings: tuple[Finding, ...] = ()
    steady: float = 1.0
    dynamic: float = 1.0


def line(
    rules: FcrRules,
    clause: str,
    requirement: str,
    measured: float,
    unit: str,
    *,
    low: float | None = None,
    high: float | None = None,
    strictly: bool = False,
) -> Finding:
    """A line of the sheet: within its bounds it is passed; `strictly`: the upper bound itself is not."""
    measured = round(min(max(measured, -1e9), 1e9), 6) + 0.0
    low, high = (None if bound is None else round(bound, 6) for bound in (low, high))
    passed = (low is None or measured >= low) and (high is None or measured <= high)
    if strictly and high is not None and measured >= high:
        passed = False
    return Finding(
        clause=f"{rules.document} {clause}",
        requirement=requirement,
        measured=measured,
        low=low,
        high=high,
        unit=unit,
        passed=passed,
    )


@dataclass(frozen=True)
class FittedSine:
    """A sine of the known period by least squares: `phasor` relative to sin(2 pi t / period), `error` of equation 10:
    the root of the summed squared error over that of the fitted sine about its mean."""

    phasor: complex
    error: float


def fit_sine(at_s: Floats, values: Floats, period_s: float) -> FittedSine:
    """The fit of section 3.4.1; the centre is fitted too, being the baseline about which the response swings."""
    angle = 2 * np.pi * at_s / period_s
    columns = np.column_stack((np.sin(angle), np.cos(angle), np.ones_like(angle)))
    (a, b, centre), *_ = np.linalg.lstsq(columns, values, rcond=None)
    fitted = columns[:, :2] @ np.array([a, b])
    swing = float(np.sqrt(((fitted - fitted.mean()) ** 2).sum()))
    error = float(np.sqrt(((values - centre - fitted) ** 2).sum()))
    return FittedSine(complex(a, b), error / max(swing, 1e-9))
