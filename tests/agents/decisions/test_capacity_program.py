"""The program on the caps: its slopes against finite differences, its choice against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.capacity_program import CapProgram, Overloads

STATIONS = (0, 0, 1, 1, 2, 2)
HOURS = 0.25


def drawn(seed: int, scenarios: int = 4, overloads: int = 7) -> Overloads:
    """Overloads of one to three tangents each; a cap takes off, the second of a station more than the first."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, overloads)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    once = rng.uniform(0.0, 40.0, (int(sizes.sum()), 3)) * (rng.random((int(sizes.sum()), 3)) < 0.7)
    effect = -np.repeat(once, 2, axis=1) * np.tile([1.0, 1.6], 3)
    scenario = np.sort(np.concatenate([np.arange(scenarios), rng.integers(0, scenarios, overloads - scenarios)]))
    return Overloads(rng.uniform(5.0, 90.0, int(sizes.sum())), effect, first, scenario, scenarios)


def energy(overloads: Overloads, held: np.ndarray) -> np.ndarray:
    """Overload by overload, as it is said in words."""
    found = np.zeros(overloads.scenarios)
    ends = [*overloads.first.tolist()[1:], len(overloads.constant_kw)]
    for start, end, scenario in zip(overloads.first.tolist(), ends, overloads.scenario.tolist(), strict=True):
        rows = [overloads.constant_kw[k] + overloads.effect_kw[k] @ held for k in range(start, end)]
        found[scenario] += max(0.0, *rows) * HOURS
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_an_overload_is_the_largest_of_its_rows_and_the_slope_that_of_finite_differences(seed: int) -> None:
    overloads = drawn(seed)
    held = np.random.default_rng(seed + 1).uniform(0.0, 1.0, 6)
    value, slope = overloads.energy_kwh(held, HOURS)
    assert value == pytest.approx(energy(overloads, held))
    for cap in range(6):
        step = np.eye(6)[cap] * 1e-6
        before, after = energy(overloads, held - step), energy(overloads, held + step)
        # convex: the slope lies between those on both sides, which differ at a bend only
        assert np.all((value - before) / 1e-6 <= slope[:, cap] + 1e-5)
        assert np.all(slope[:, cap] <= (after - value) / 1e-6 + 1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 20.0))
def test_the_choice_is_the_cheapest_of_all(seed: int, eur_per_kwh: float) -> None:
    overloads = drawn(seed)
    cost = np.random.default_rng(seed + 2).uniform(1.0, 60.0, 6)
    program = CapProgram(cost.tolist(), STATIONS, energy(overloads, np.zeros(6)), eur_per_kwh)

    def total(chosen: tuple[int, ...]) -> float:
        held = np.zeros(6)
        held[list(chosen)] = 1.0
        return float(cost @ held) + eur_per_kwh * float(energy(overloads, held).sum())

    every = itertools.product((None, 0, 1), (None, 2, 3), (None, 4, 5))
    best = min(total(tuple(cap for cap in caps if cap is not None)) for caps in every)
    chosen = program.solve(overloads, HOURS)
    assert len({STATIONS[cap] for cap in chosen}) == len(chosen)
    assert total(chosen) == pytest.approx(best, rel=1e-4, abs=1e-3)
    # what is asked again, with the cuts of the first time, is answered alike
    assert total(program.solve(overloads, HOURS)) == pytest.approx(best, rel=1e-4, abs=1e-3)
