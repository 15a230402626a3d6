"""Tangents of overloads: right where they are laid, and below the AC power flow everywhere else."""

from __future__ import annotations

import numpy as np
import pytest

from agents.decisions.capacity_flow import Cap, CapFlow, cheapest
from tests.agents.decisions.capacity_study import grid_study, overload_kwh, sampled, sites


def flow(percent: float = 65.0, count: int = 4) -> CapFlow:
    return CapFlow(grid_study(), sampled(grid_study(), 3, count, 3, base_kw=360.0), sites(3), percent)


def test_tangents_touch_the_overloads_where_they_are_laid() -> None:
    found = flow()
    assert found.without.overload_kw.max() > 100
    assert found.linear_kw(found.usual_kw) == pytest.approx(found.without.overload_kw, abs=2e-3)
    assert found.without.by_scenario_kwh.mean() == pytest.approx(
        overload_kwh(grid_study(), sampled(grid_study(), 3, 4, 3, base_kw=360.0), {}, 65.0)
    )


def test_a_tangents_gradient_is_that_of_finite_differences_of_ac_power_flow() -> None:
    found = flow()
    _, gradient, row = found.tangents()
    for station in range(3):
        more, less = found.usual_kw.copy(), found.usual_kw.copy()
        more[:, :, station] += 0.1
        less[:, :, station] -= 0.1
        change = (found.solve(more).overload_kw - found.solve(less).overload_kw) / 0.2
        at = change[row[:, 0], row[:, 1], row[:, 2]]
        firm = found.without.overload_kw[row[:, 0], row[:, 1], row[:, 2]] > 1.0
        assert gradient[firm, station] == pytest.approx(at[firm], abs=2e-4)


def test_tangents_are_near_the_overloads_under_caps_and_not_above_them() -> None:
    found = flow()
    for limit in (200.0, 120.0, 60.0, 0.0):
        drawn = np.minimum(found.usual_kw, limit)
        true, linear = found.solve(drawn).overload_kw, found.linear_kw(drawn)
        assert np.all(linear <= true + 0.05)
        assert linear == pytest.approx(true, abs=0.02 * float((found.usual_kw - drawn).sum(axis=2).max()) + 0.05)


def test_one_more_tangent_makes_the_linear_flow_exact_there() -> None:
    found = flow()
    drawn = np.minimum(found.usual_kw, 30.0)
    true = found.solve(drawn).overload_kw
    assert np.abs(found.linear_kw(drawn) - true).max() > 0.05
    assert found.add_tangents(drawn, true > found.linear_kw(drawn) + 1e-3) > 0
    assert found.linear_kw(drawn) == pytest.approx(true, abs=3e-3)


def test_caps_below_zero_effect_and_no_caps_leave_what_is() -> None:
    found = flow()
    nothing = cheapest(found, [], 1.0)
    assert (nothing.chosen, nothing.agrees, nothing.rounds) == ((), True, 0)
    assert nothing.loads is found.without
    assert cheapest(found, [Cap(0, 500.0, 0.01)], 1.0).chosen == ()
