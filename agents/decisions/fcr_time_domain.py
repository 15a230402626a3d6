"""Requirements 1 to 4 and 12 from steps and ramps: the steady state response, the fast activation, its end, endurance.

Nordic technical requirements 3.1; SO GL 154(7) for Continental Europe. Responses are turned into the direction that is
tested, so that every number on the sheet is above 0 for a response the right way. The records' own baselines are taken
off before equations 1 and 2; where the baseline stays the same, that changes nothing.
"""

from __future__ import annotations

import numpy as np

from agents.decisions.fcr_products import FcrRules
from agents.decisions.fcr_responses import Outcome, Response, Trial, line
from agents.decisions.fcr_sequences import RAMP, STEP, length_s
from protocols.exchanges.frequency_services import Finding

EVALUATED_S = 7.5
POWER_SHARE = 0.86
ENERGY_S = 3.2
NADIR_S = 4.4
DEACTIVATION_S = 2.5
DEACTIVATION_FOR_S = 40.0
_FALLEN_SHARE = 0.05
"""How far the response may swing below its value at 7.5 s: the accuracy of power meters below 1.5 MW (table 15)."""


def steady_factor(rules: FcrRules, share: float) -> float:
    """The reduction factor that makes a response of `share` of the capacity large enough (requirement 1)."""
    return min(1.0, share / (1 - rules.under_share))


def steady_lines(trial: Trial, clause: str, shares: dict[str, float]) -> Outcome:
    """Requirement 1 for each direction, by its share of the capacity, with one reduction factor for all of them."""
    rules = trial.rules
    factor = min(steady_factor(rules, share) for share in shares.values())
    # the error is rounded on the sheet, so that what exactly fits is within
    applied = max(factor, rules.least_factor)
    findings = tuple(
        line(
            rules,
            f"{clause}, requirement 1",
            f"requirement 1 {direction}: steady state response, relative error with reduction factor {applied:.3f}",
            share / applied - 1,
            "pu",
            low=-rules.under_share,
            high=rules.over_share,
        )
        for direction, share in shares.items()
    )
    return Outcome(findings, steady=factor)


def steps_n(trial: Trial) -> Outcome:
    """Requirement 1 of FCR-N (equations 1 and 2)."""
    settled, up, down, after = (trial.responses[STEP, number].steady_kw() for number in range(4))
    idle = (settled + after) / 2
    shares = {"upwards": (up - idle) / trial.capacity_kw, "downwards": (idle - down) / trial.capacity_kw}
    return steady_lines(trial, "3.1.1", shares)


def ramps_d(trial: Trial) -> Outcome:
    """Requirement 1 of FCR-D: the difference between ramps 3 and 4."""
    full, idle = (trial.responses[RAMP, number].steady_kw() for number in (13, 14))
    return steady_lines(trial, "3.1.2", {_direction(trial): _sign(trial) * (full - idle) / trial.capacity_kw})


def activation_d(trial: Trial) -> Outcome:
    """Requirements 2 and 3 of FCR-D on ramp 5, and that the response stays until ramp 6."""
    rules, capacity, sign = trial.rules, trial.capacity_kw, _sign(trial)
    response = trial.responses[RAMP, 5]
    start = response.step.signal[0].duration_s
    before = response.before_kw(start)
    power = sign * (response.kw_at(start + EVALUATED_S) - before)
    energy = sign * float(response.running_kws(start, start + EVALUATED_S, before)[-1])
    factor = min(1.0, power / (POWER_SHARE * capacity), energy / (ENERGY_S * capacity))
    applied = max(factor, rules.least_factor)
    later = sign * (response.moving_kw(start + EVALUATED_S, length_s(response.step.signal), 1.0) - before)
    fallen = (power - float(later.min())) / capacity if later.size else 0.0
    # with the factor that just fits, the bound is met but for the last digits of a float
    findings = (
        line(
            rules,
            "3.1.2, requirement 2",
            f"requirement 2: power 7.5 s after ramp 5 begins, of the capacity times {applied:.3f}",
            power / (applied * capacity),
            "pu",
            low=POWER_SHARE,
        ),
        line(
            rules,
            "3.1.2, requirement 3",
            f"requirement 3: energy of the first 7.5 s of ramp 5, of the capacity times {applied:.3f}",
            energy / (applied * capacity),
            "s",
            low=ENERGY_S,
        ),
        line(
            rules,
            "3.1.2, after requirements 2 and 3",
            "the response does not fall below that at 7.5 s until ramp 6, mean of 1 s, by so much of the capacity",
            fallen,
            "pu",
            high=_FALLEN_SHARE,
        ),
    )
    return Outcome(findings, dynamic=factor)


def deactivation_d(trial: Trial) -> Outcome:
    """Requirement 4 of FCR-D on ramps 1 and 2: the nadir is taken 4.4 s after ramp 1 begins."""
    capacity, sign = trial.capacity_kw, _sign(trial)
    response = trial.responses[RAMP, 1]
    start = response.step.signal[0].duration_s
    nadir = start + NADIR_S
    before = response.before_kw(start)
    least = min(abs(response.kw_at(nadir) - before), 0.5 * capacity)
    running = sign * response.running_kws(nadir, nadir + DEACTIVATION_FOR_S, before + sign * least)
    finding = line(
        trial.rules,
        "3.1.2, requirement 4",
        "requirement 4: energy beyond the nadir's power within 40 s after it, of the capacity",
        float(running.max()) / capacity,
        "s",
        high=DEACTIVATION_S,
    )
    return Outcome((finding,))


def endurance(trial: Trial) -> Outcome:
    """Requirement 12 of a reservoir that is not limited: the response lasts 15 minutes, by means of a minute."""
    if trial.limited:
        return Outcome()
    if trial.rules.up and trial.rules.down:
        clause, tests = "3.1.1, requirement 12", [(STEP, 11, 1.0), (STEP, 12, -1.0)]
    else:
        clause, tests = "3.1.2, requirement 12", [(RAMP, 13, _sign(trial))]
    return Outcome(tuple(_lasting(trial, clause, trial.responses[test, n], sign) for test, n, sign in tests))


def _lasting(trial: Trial, clause: str, response: Response, sign: float) -> Finding:
    kw = sign * response.moving_kw(0.0, length_s(response.step.signal), 60.0)
    # the steady state requirement decides by how much; here only that nothing fades away
    least = (1 - trial.rules.under_share) * trial.rules.least_factor
    return line(
        trial.rules,
        clause,
        f"requirement 12: the response stays, least mean of a minute: {response.step.test}",
        float(kw.min()) / trial.capacity_kw if kw.size else 0.0,
        "pu",
        low=least,
    )


def continental(trial: Trial) -> Outcome:
    """SO GL 154(7): half in 15 s, all in 30 s, at least linear between; 156(9): as long as a limited one must last."""
    rules, capacity = trial.rules, trial.capacity_kw
    assert rules.half_s is not None
    assert rules.whole_s is not None
    shares: dict[str, float] = {}
    findings: list[Finding] = []
    for number, direction, sign in ((1, "upwards", 1.0), (2, "downwards", -1.0)):
        response = trial.responses[STEP, number]
        start = response.step.signal[0].duration_s
        before = response.before_kw(start)
        shares[direction] = sign * (response.steady_kw() - before) / capacity
        # a full response that misses no more than annex V lets the frequency be misread by
        missed = rules.insensitivity_hz / rules.band_hz
        seconds = np.arange(rules.half_s, rules.whole_s + 0.5)
        due = seconds / rules.whole_s
        given = np.array([sign * (response.kw_at(start + at) - before) / capacity for at in seconds])
        for clause, what, short in (
            ("154(7)(b)", f"half within {rules.half_s:g} s", due[0] - given[0]),
            ("154(7)(c)", f"all within {rules.whole_s:g} s", due[-1] - given[-1]),
            ("154(7)(d)", "at least linear between", float((due - given).max())),
        ):
            text = f"{what}, {direction}: what is short of it, of the capacity"
            findings.append(line(rules, clause, text, float(short), "pu", high=missed))
        kw = sign * (response.moving_kw(start + 2 * rules.whole_s, length_s(response.step.signal), 60.0) - before)
        findings.append(
            line(
                rules,
                "156(9)",
                f"full activation {direction} lasts {rules.endurance_minutes:g} min, least mean of a minute",
                float(kw.min()) / capacity if kw.size else 0.0,
                "pu",
                low=1 - rules.under_share,
            )
        )
    return Outcome((*steady_continental(trial, shares).findings, *findings))


def steady_continental(trial: Trial, shares: dict[str, float]) -> Outcome:
    """The steady state response; no reduction, the bounds are the project's own (those of the Nordic requirement 1)."""
    rules = trial.rules
    return Outcome(
        tuple(
            line(
                rules,
                "154(7)(e)",
                f"steady state response {direction}, relative error",
                share - 1,
                "pu",
                low=-rules.under_share,
                high=rules.over_share,
            )
            for direction, share in shares.items()
        )
    )


def _sign(trial: Trial) -> float:
    return 1.0 if trial.rules.up else -1.0


def _direction(trial: Trial) -> str:
    return "upwards" if trial.rules.up else "downwards"
