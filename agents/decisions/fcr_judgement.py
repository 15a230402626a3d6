"""The prequalification sheet: every requirement of a product against what was recorded, and what may be offered.

Requirements are registered by product; a further product adds its own row to `REQUIREMENTS`. Requirements 5 to 7 are
of static FCR-D, 11 of what is not controlled continuously, 13 of mode shifting: none of them is of chargers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.decisions.fcr_energy_test import energy_management, energy_step
from agents.decisions.fcr_frequency_domain import frequency_domain, linearity
from agents.decisions.fcr_products import FcrRules
from agents.decisions.fcr_responses import Outcome, Response, Trial, is_whole, line
from agents.decisions.fcr_sequences import ENERGY, RAMP, SINE, STEP, kind
from agents.decisions.fcr_time_domain import activation_d, continental, deactivation_d, endurance, ramps_d, steps_n
from protocols.exchanges.frequency_services import Finding, TestRecord, TestStep
from protocols.exchanges.vocabulary import FcrProduct

Requirement = Callable[[Trial], Outcome]

_FCR_D: tuple[Requirement, ...] = (
    ramps_d,
    activation_d,
    deactivation_d,
    frequency_domain,
    endurance,
    energy_management,
)
REQUIREMENTS: Mapping[FcrProduct, tuple[Requirement, ...]] = {
    FcrProduct.FCR_N: (steps_n, frequency_domain, endurance, energy_management),
    FcrProduct.FCR_D_UP: _FCR_D,
    FcrProduct.FCR_D_DOWN: _FCR_D,
    FcrProduct.FCR_CE: (continental,),
}

_STEADY: Mapping[FcrProduct, Mapping[tuple[str, int], float]] = {
    FcrProduct.FCR_N: {(STEP, 1): 1.0, (STEP, 2): -1.0},
    FcrProduct.FCR_D_UP: {(RAMP, 13): 1.0},
    FcrProduct.FCR_D_DOWN: {(RAMP, 13): -1.0},
    FcrProduct.FCR_CE: {(STEP, 1): 1.0, (STEP, 2): -1.0},
}
"""The steps that end in a steady state at full activation, and its direction."""


@dataclass(frozen=True)
class Sheet:
    """All findings, and the capacity that may be offered: 0 where one of them is not passed."""

    findings: tuple[Finding, ...]
    approved_kw: float

    @property
    def passed(self) -> bool:
        """Whether everything was met."""
        return bool(self.findings) and all(finding.passed for finding in self.findings)


def judge(
    rules: FcrRules,
    capacity_kw: float,
    records: Mapping[str, TestRecord],
    steps: Sequence[TestStep],
) -> Sheet:
    """The sheet of a whole test, from the records by step id.

    The capacity is reduced with the smaller of the steady state and the dynamic reduction factor (equations 3 and 5),
    down to 0.1 kW. A step that has no record, or one that ends before it, is a finding that is not passed.
    """
    if capacity_kw <= 0:
        raise ValueError("capacity_kw must be above 0")
    by_id = {step.step_id: step for step in steps}
    limited = any(kind(step_id)[0] == ENERGY for step_id in by_id)
    trial = Trial.of(rules, capacity_kw, by_id, records, limited)
    findings = [_missing(rules, step) for step in steps if kind(step.step_id) not in trial.responses]
    factor = 1.0
    for requirement in REQUIREMENTS[rules.product]:
        try:
            outcome = requirement(trial)
        except LookupError:
            # what is missing for it is on the sheet already
            continue
        findings += outcome.findings
        factor = min(factor, outcome.steady, outcome.dynamic)
    findings.append(
        line(
            rules,
            "3.1.1, equation 3" if rules.up and rules.down else "3.1.2, equation 5",
            "reduction factor of the capacity",
            factor,
            "1",
            low=rules.least_factor,
            high=1.0,
        )
        if rules.least_factor < 1
        else _capacity(rules, capacity_kw)
    )
    sheet = Sheet(tuple(findings), 0.0)
    if not sheet.passed:
        return sheet
    return Sheet(sheet.findings, math.floor(round(capacity_kw * factor * 10, 6)) / 10)


def judge_step(rules: FcrRules, capacity_kw: float, step: TestStep, record: TestRecord) -> tuple[Finding, ...]:
    """What can be said after one step: what no reduction factor and no later step could mend any more.

    The steady state against the record's own baseline, at the least reduction factor; the fast activation and the
    deactivation of FCR-D; the linearity of a sine; energy management.
    """
    if not is_whole(step, record):
        return (_missing(rules, step),)
    response = Response(step, record)
    key = kind(step.step_id)
    trial = Trial(rules, capacity_kw, {key: response}, False)
    findings: list[Finding] = []
    if key in _STEADY[rules.product]:
        findings.append(_steady(trial, response, _STEADY[rules.product][key]))
    if key == (RAMP, 5):
        findings += activation_d(trial).findings
    if key == (RAMP, 1):
        findings += deactivation_d(trial).findings
    if key[0] == SINE:
        findings.append(linearity(trial, response))
    if key[0] == ENERGY:
        findings += energy_step(rules, capacity_kw, response)
    return tuple(findings)


def failed(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that are not passed."""
    return tuple(finding for finding in findings if not finding.passed)


def _steady(trial: Trial, response: Response, sign: float) -> Finding:
    rules = trial.rules
    return line(
        rules,
        f"{'3.1.1' if rules.up and rules.down else '3.1.2'}, requirement 1, at the least reduction factor",
        f"steady state response in {response.step.test}, of the capacity",
        sign * response.steady_kw() / trial.capacity_kw,
        "pu",
        low=(1 - rules.under_share) * rules.least_factor,
        high=1 + rules.over_share,
    )


def _missing(rules: FcrRules, step: TestStep) -> Finding:
    return line(rules, "test program", f"{step.test} is recorded", 0.0, "records", low=1.0)


def _capacity(rules: FcrRules, capacity_kw: float) -> Finding:
    return line(rules, "155", "capacity as applied for, no reduction", capacity_kw, "kW", low=0.0)
