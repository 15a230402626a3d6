"""The room that a DSO leaves another's service: against hand calculation, and what holds whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.headroom import headroom
from agents.grid_view import Limits
from tests.agents.decisions.test_voltage import OPEN, Star


def room(star: Star, p_kw: list[float], increase_kw: dict[str, float], limits: Limits = OPEN) -> dict[str, float]:
    state = star.solve(np.array(p_kw), np.zeros(len(p_kw)))
    return headroom(state, increase_kw, limits, feeder_of=lambda bus: f"feeder-{bus}", solve=star.solve)


def test_where_nothing_breaks_there_is_room_for_all_that_the_vehicles_can_do() -> None:
    assert room(Star((0.001, 0.001)), [10.0, 10.0], {"a": 20.0, "b": 5.0}) == {"feeder-a": 20.0, "feeder-b": 5.0}


def test_the_room_of_a_feeder_ends_where_its_voltage_would() -> None:
    """v = 0.9 at v^2 - v + r p = 0 is p = 0.09 / r = 90 kW: 80 kW more than the 10 that are drawn, of 100 flexible."""
    found = room(Star((0.001, 0.001)), [10.0, 10.0], {"a": 100.0, "b": 5.0})
    assert found["feeder-a"] == pytest.approx(80.0, abs=0.5)
    assert found["feeder-a"] <= 80.0
    assert found["feeder-b"] == 5.0


def test_a_feeder_that_is_low_already_has_no_room_and_others_keep_theirs() -> None:
    found = room(Star((0.001, 0.001)), [95.0, 10.0], {"a": 10.0, "b": 5.0})
    assert found == {"feeder-a": 0.0, "feeder-b": 5.0}


def test_what_all_feeders_do_together_keeps_the_transformer() -> None:
    """60 kW are drawn of 100; 30 kW each would fit alone, both together are scaled to the 40 that are left."""
    found = room(Star((1e-5, 1e-5), trafo_kw=100.0), [30.0, 30.0], {"a": 30.0, "b": 30.0}, Limits(line_percent=1e6))
    assert sum(found.values()) == pytest.approx(40.0, abs=0.5)
    assert found["feeder-a"] == found["feeder-b"]


def test_more_than_has_any_operating_point_is_no_room() -> None:
    found = room(Star((0.01,)), [1.0], {"a": 500.0})
    assert 0 < found["feeder-a"] < 9.0


@given(
    st.lists(st.floats(-20, 80), min_size=3, max_size=3),
    st.lists(st.floats(0, 100), min_size=3, max_size=3),
    st.floats(0, 0.0005),
)
@settings(max_examples=60, deadline=None)
def test_the_room_breaks_no_limit_that_holds(p_kw: list[float], increase: list[float], r0: float) -> None:
    star = Star((0.001, 0.0007, 0.0004), r0=r0)
    found = room(star, p_kw, dict(zip("abc", increase, strict=True)))
    before = star.solve(np.array(p_kw), np.zeros(3))
    after = star.solve(np.array(p_kw) + [found.get(f"feeder-{bus}", 0.0) for bus in "abc"], np.zeros(3))
    if (before.vm_pu >= 0.9).all():
        assert (after.vm_pu >= 0.9 - 1e-9).all()
    for index, bus in enumerate("abc"):
        if before.vm_pu[index] < 0.9:
            assert found.get(f"feeder-{bus}", 0.0) == 0.0
        else:
            assert after.vm_pu[index] >= 0.9 - 1e-9
