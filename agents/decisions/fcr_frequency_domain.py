"""Requirements 8 (stability), 9 (performance) and 10 (dynamic linearity), from the sines that were recorded.

Nordic technical requirements 3.2 to 3.4. The test signal comes from outside the controller, so equation 9 is not
multiplied by F_FME.
"""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from agents.decisions.fcr_products import FcrRules, PowerSystem
from agents.decisions.fcr_responses import Floats, Outcome, Response, Trial, fit_sine, line
from agents.decisions.fcr_sequences import SINE
from protocols.exchanges.frequency_services import Finding

Complexes = npt.NDArray[np.complex128]

CIRCLE = 0.43
CIRCLE_MARGIN = 0.95
PERFORMANCE_MARGIN = 0.95
"""K_margin of requirement 9."""
DISTURBANCE_S = 70.0
"""Of D(s) = 1 / (70 s + 1)."""
_BETWEEN = 100
"""Points of the Nyquist curve that are interpolated between two that were measured."""


def system_response(system: PowerSystem, omega: Floats) -> Complexes:
    """G(j omega) of equation 11."""
    inertia_s = system.kinetic_mws / system.rated_mw
    scale = system.volume_mw / system.band_hz * system.nominal_hz / system.rated_mw
    return np.asarray(scale / (2 * inertia_s * 1j * omega + system.load_pu_per_hz * system.nominal_hz))


def transfer(rules: FcrRules, capacity_kw: float, response: Response) -> tuple[complex, float]:
    """F at the period of a recorded sine (equations 7 to 9), and the error of requirement 10.

    From the frequency control error (zero less frequency) to the upward response, normalised: 1 is ideal.
    """
    period_s = response.step.signal[-1].period_s
    if period_s is None:
        raise ValueError(f"{response.step.step_id} is no sine")
    applied = fit_sine(response.at_s, np.asarray(response.record.applied_hz, dtype=np.float64), period_s)
    power = fit_sine(response.at_s, response.kw, period_s)
    if abs(applied.phasor) < 1e-6:
        raise ValueError(f"{response.step.step_id}: no sine was applied")
    return power.phasor / -applied.phasor * rules.band_hz / capacity_kw, power.error


def distance_from_circle(omega: Floats, measured: Complexes, system: PowerSystem) -> float:
    """The least distance of the Nyquist curve F G from -1; below 0 where it passes -1 on the wrong side.

    `omega` ascending; F is interpolated between the measured points, along the logarithm of the frequency.
    """
    at = np.log(omega)
    pieces = [np.linspace(a, b, _BETWEEN, endpoint=False) for a, b in itertools.pairwise(at)]
    fine = np.concatenate([*pieces, at[-1:]])
    between = np.interp(fine, at, measured.real) + 1j * np.interp(fine, at, measured.imag)
    curve = between * system_response(system, np.exp(fine))
    distance = float(np.abs(curve + 1).min())
    return -distance if _left(curve) else distance


def _left(curve: Complexes) -> bool:
    """Whether the curve, towards higher frequencies, crosses the negative real axis beyond -1."""
    below, above = curve[:-1], curve[1:]
    crossing = (below.imag < 0) & (above.imag >= 0)
    return bool(np.any(crossing & (np.minimum(below.real, above.real) < -1)))


def performance(omega: Floats, measured: Complexes, system: PowerSystem, factor: float = 1.0) -> float:
    """The largest K_margin |G / (1 + F/K_red G)| |D| (requirement 9): it must stay below 1."""
    g = system_response(system, omega)
    closed = PERFORMANCE_MARGIN * np.abs(g / (1 + measured / factor * g))
    return float((closed / np.abs(DISTURBANCE_S * 1j * omega + 1)).max())


def needed_factor(omega: Floats, measured: Complexes, rules: FcrRules) -> float:
    """The largest reduction factor, in steps of 0.001, that fulfils requirement 9; below the least one if none does."""
    assert rules.performance is not None
    for thousandths in range(1000, round(1000 * rules.least_factor) - 1, -1):
        if performance(omega, measured, rules.performance, thousandths / 1000) < 1:
            return thousandths / 1000
    return rules.least_factor - 0.001


def linearity(trial: Trial, response: Response) -> Finding:
    """Requirement 10 for one sine."""
    _, error = transfer(trial.rules, trial.capacity_kw, response)
    purpose = f"requirement 10: {response.step.test} is answered by a sine, error over the fitted sine"
    return line(trial.rules, "3.4.1, requirement 10", purpose, error, "ratio", high=1.0, strictly=True)


def frequency_domain(trial: Trial) -> Outcome:
    """Requirements 8, 9 and 10 over all the sines of a trial. Raises LookupError where fewer than two were recorded."""
    rules = trial.rules
    assert rules.stability is not None
    assert rules.performance is not None
    sines = [response for (test, _), response in sorted(trial.responses.items()) if test == SINE]
    if len(sines) < 2:
        raise LookupError("sine")
    points = _points(trial, sines)
    omega = np.array([at for at, _ in points])
    measured = np.array([value for _, value in points])
    factor = needed_factor(omega, measured, rules)
    applied = max(factor, rules.least_factor)
    findings = [
        line(
            rules,
            "3.2, requirement 8",
            "requirement 8: distance of the Nyquist curve from -1, on its right",
            distance_from_circle(omega, measured, rules.stability),
            "1",
            low=CIRCLE * CIRCLE_MARGIN,
        ),
        line(
            rules,
            "3.3, requirement 9",
            f"requirement 9: closed loop over the disturbance profile's bound, with reduction factor {applied:.3f}",
            performance(omega, measured, rules.performance, applied),
            "ratio",
            high=1.0,
            strictly=True,
        ),
    ]
    return Outcome((*findings, *(linearity(trial, response) for response in sines)), dynamic=factor)


def _points(trial: Trial, sines: list[Response]) -> list[tuple[float, complex]]:
    """(omega in rad/s, F) with omega ascending."""
    by_omega = {
        2 * np.pi / (response.step.signal[-1].period_s or np.inf): transfer(trial.rules, trial.capacity_kw, response)[0]
        for response in sines
    }
    return sorted(by_omega.items(), key=lambda point: point[0])
