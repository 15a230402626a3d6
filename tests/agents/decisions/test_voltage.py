"""The voltage relief: against what can be calculated by hand, and what must hold whatever the network is like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.voltage import FeederNeed, Flexibility, VoltageRelief, by_feeder, relieve
from agents.grid_view import Floats, GridState, Limits, Sensitivity

OPEN = Limits(transformer_percent=1e6, line_percent=1e6)


@dataclass
class Star:
    """Feeders of one bus each behind one common resistance; everything is resistive, so that it can be solved by hand.

    u^2 - u + r0 P = 0 at the busbar, v^2 - u v + r p = 0 at each end: r in 1/kW, the larger root is the voltage.
    `line_kw`, `trafo_kw`: the power that is 100 % at 1 pu.
    """

    r: tuple[float, ...]
    r0: float = 0.0
    line_kw: float = 1e9
    trafo_kw: float = 1e9
    solved: list[Floats] = field(default_factory=list)

    @property
    def buses(self) -> tuple[str, ...]:
        return tuple("abcdefgh"[: len(self.r)])

    def solve(self, p_kw: Floats, q_kvar: Floats) -> GridState:
        self.solved.append(p_kw.copy())
        total = float(p_kw.sum())
        under = np.append(1 - 4 * self.r0 * total, 1.0)
        if under[0] < 0:
            raise ValueError("no operating point")
        u = (1 + math.sqrt(under[0])) / 2
        inside = u**2 - 4 * np.array(self.r) * p_kw
        if (inside < 0).any():
            raise ValueError("no operating point")
        v = (u + np.sqrt(inside)) / 2
        lines = 100 * np.abs(p_kw / v) / self.line_kw
        names = tuple(f"line {bus}" for bus in self.buses)
        loading = 100 * abs(total / u) / self.trafo_kw
        return GridState(self.buses, names, "trafo", p_kw, q_kvar, v, lines, loading, total, 0.0, 0.0)

    def sensitivity(self, state: GridState) -> Sensitivity:
        p, v, r = state.p_kw, state.vm_pu, np.array(self.r)
        u = (1 + math.sqrt(1 - 4 * self.r0 * float(p.sum()))) / 2
        du = -self.r0 / (2 * u - 1)
        dv = (v * du)[:, None] * np.ones(len(v)) - np.diag(r)
        dv = dv / (2 * v - u)[:, None]
        current = np.sign(p)[:, None] * (np.eye(len(p)) / v[:, None] - (p / v**2)[:, None] * dv)
        total = float(p.sum())
        trafo = np.full(len(p), math.copysign(1.0, total) * (1 / u - total / u**2 * du))
        return Sensitivity(dv, 100 * current / self.line_kw, 100 * trafo / self.trafo_kw)

    def relieve(
        self, p_kw: list[float], flexible: dict[str, Flexibility], limits: Limits = OPEN, **options: float
    ) -> VoltageRelief:
        power = np.array(p_kw)
        state = self.solve(power, np.zeros(len(power)))
        self.solved.clear()
        return relieve(state, flexible, limits, sensitivity=self.sensitivity, solve=self.solve, **options)


def excess(state: GridState, limits: Limits) -> Floats:
    return np.concatenate(
        [
            np.maximum(0, limits.vm_min_pu - state.vm_pu),
            np.maximum(0, state.vm_pu - limits.vm_max_pu),
            np.maximum(0, state.line_loading_percent - limits.line_percent),
            [max(0.0, state.trafo_loading_percent - limits.transformer_percent)],
        ]
    )


def test_the_sensitivities_of_the_test_network_are_its_derivatives() -> None:
    star = Star((1e-3, 4e-4), r0=2e-4, line_kw=80, trafo_kw=100)
    p, q = np.array([60.0, -30.0]), np.zeros(2)
    found, h = star.sensitivity(star.solve(p, q)), 1e-4
    for bus in range(2):
        up, down = (star.solve(p + sign * h * np.eye(2)[bus], q) for sign in (1, -1))
        np.testing.assert_allclose(found.vm_pu_per_kw[:, bus], (up.vm_pu - down.vm_pu) / 2 / h, atol=1e-9)
        lines = (up.line_loading_percent - down.line_loading_percent) / 2 / h
        np.testing.assert_allclose(found.line_percent_per_kw[:, bus], lines, atol=1e-6)
        trafo = (up.trafo_loading_percent - down.trafo_loading_percent) / 2 / h
        assert found.trafo_percent_per_kw[bus] == pytest.approx(trafo, abs=1e-6)


def test_too_low_a_voltage_takes_the_power_that_is_calculated_by_hand() -> None:
    """At 0.9 pu, p = v (1 - v) / r = 0.09 / 0.001 = 90 kW: of 100 kW, 10 must go."""
    relief = Star((1e-3,)).relieve([100.0], {"a": Flexibility(50, 50)}, margin_pu=0.0)
    assert relief.change_kw == {"a": pytest.approx(-10.0, abs=0.02)}
    assert relief.solved
    assert [str(violation) for violation in relief.before] == ["a at 0.887 pu (limit 0.900)"]
    assert relief.after.vm_pu[0] == pytest.approx(0.9, abs=1e-4)


def test_too_high_a_voltage_takes_more_consumption() -> None:
    """At 1.1 pu, p = 1.1 (1 - 1.1) / 0.001 = -110 kW: of 120 kW fed in, 10 must be drawn at the place."""
    relief = Star((1e-3,)).relieve([-120.0], {"a": Flexibility(50, 50)}, margin_pu=0.0)
    assert relief.solved
    assert relief.change_kw["a"] == pytest.approx(10.0, abs=0.3)
    assert relief.change_kw["a"] >= 10.0 - 1e-3


def test_both_ways_at_once_on_two_feeders() -> None:
    flexible = {"a": Flexibility(30, 30), "b": Flexibility(30, 30)}
    relief = Star((1e-3, 1e-3)).relieve([100.0, -120.0], flexible, margin_pu=0.0)
    assert relief.solved
    assert relief.change_kw["a"] == pytest.approx(-10, abs=0.3)
    assert relief.change_kw["b"] == pytest.approx(10, abs=0.3)
    needs = by_feeder(relief.change_kw, {"a": "feeder-1", "b": "feeder-2"}.__getitem__)
    assert [(need.feeder, need.power_kw > 0) for need in needs] == [("feeder-1", False), ("feeder-2", True)]


def test_the_margin_is_aimed_for() -> None:
    """At 0.902 pu, p = 0.902 * 0.098 / 0.001 = 88.396 kW."""
    relief = Star((1e-3,)).relieve([100.0], {"a": Flexibility(50, 50)}, margin_pu=0.002)
    assert relief.change_kw["a"] == pytest.approx(-11.604, abs=0.25)


def test_too_little_flexibility_is_used_up_and_what_stays_broken_is_named() -> None:
    relief = Star((1e-3,)).relieve([100.0], {"a": Flexibility(50, 4)})
    assert relief.change_kw == {"a": pytest.approx(-4.0)}
    assert not relief.solved
    (left,) = relief.remaining
    assert (left.element, left.value) == ("a", pytest.approx((1 + math.sqrt(1 - 0.384)) / 2))


def test_a_linear_answer_that_promises_too_much_is_refused_by_the_power_flow() -> None:
    """At 100 kW the slope is -0.001 / (2 * 0.8873 - 1): by it 9.84 kW are enough, and they are not."""
    star = Star((1e-3,))
    relief = star.relieve([100.0], {"a": Flexibility(50, 50)}, margin_pu=0.0)
    slope = 1e-3 / math.sqrt(0.6)
    linear = 100 - (0.9 - (1 + math.sqrt(0.6)) / 2) / slope
    assert star.solved[0][0] == pytest.approx(linear, abs=1e-2)
    assert star.solve(star.solved[0], np.zeros(1)).violations(OPEN)
    assert relief.solved
    assert -relief.change_kw["a"] > 100 - linear + 0.1


def test_a_linear_answer_that_asks_too_much_is_drawn_back() -> None:
    """Near collapse the voltage rises fast: the first slope at 320 kW fed in sees more to do than there is."""
    relief = Star((1e-3,)).relieve([-320.0], {"a": Flexibility(300, 0)}, margin_pu=0.0)
    assert relief.solved
    assert relief.change_kw["a"] == pytest.approx(210.0, rel=0.02)


def test_the_bus_that_moves_the_voltage_most_goes_first() -> None:
    """Through the common resistance `b` helps a little; by itself `a` does it with less."""
    star = Star((1e-3, 1e-3), r0=2e-4)
    relief = star.relieve([90.0, 0.0], {"a": Flexibility(0, 50), "b": Flexibility(0, 50)})
    assert relief.solved
    assert set(relief.change_kw) == {"a"}
    both = star.relieve([90.0, 0.0], {"a": Flexibility(0, 2), "b": Flexibility(0, 50)})
    assert both.change_kw["a"] == pytest.approx(-2)
    assert both.change_kw["b"] < 0


def test_more_consumption_may_not_overload_the_transformer() -> None:
    """Feeder `a` needs 10 kW more, the transformer has room for 5."""
    star = Star((1e-3, 0.0), trafo_kw=85)
    limits = Limits(line_percent=1e6)
    alone = star.relieve([-120.0, 200.0], {"a": Flexibility(50, 0)}, limits, margin_pu=0.0)
    assert alone.change_kw["a"] == pytest.approx(5.0, abs=1e-3)
    assert [violation.element for violation in alone.remaining] == ["a"]
    helped = star.relieve([-120.0, 200.0], {"a": Flexibility(50, 0), "b": Flexibility(0, 50)}, limits, margin_pu=0.0)
    assert helped.solved
    assert helped.change_kw["a"] == pytest.approx(10, abs=0.3)
    assert helped.change_kw["b"] == pytest.approx(5 - helped.change_kw["a"], abs=1e-3)


def test_more_consumption_may_not_overload_a_line() -> None:
    """`b` could lift what feeder `a` feeds in too much only by overloading its own line."""
    star = Star((1e-3, 1e-5), r0=2e-4, line_kw=100)
    limits = Limits(transformer_percent=1e6, line_percent=130)
    before = star.solve(np.array([-110.0, 120.0]), np.zeros(2))
    assert before.vm_pu[0] < 1.1
    relief = star.relieve([-125.0, 120.0], {"b": Flexibility(100, 0)}, limits, margin_pu=0.0)
    assert relief.after.line_loading_percent[1] <= 130
    assert "a" in {violation.element for violation in relief.remaining}


def test_a_voltage_that_is_kept_is_not_broken_to_mend_a_worse_one() -> None:
    """Less drawn at `b` lifts `b` a lot and, through the common resistance, `a` a little, which has no room left."""
    star = Star((1e-3, 2e-4), r0=4e-4)
    power = np.array([-100.0, 400.0])
    state = star.solve(power, np.zeros(2))
    limits = Limits(1e6, 1e6, vm_min_pu=0.9, vm_max_pu=float(state.vm_pu[0]) + 0.002)
    relief = star.relieve(power.tolist(), {"b": Flexibility(0, 200)}, limits, margin_pu=0.0)
    assert [violation.element for violation in relief.before] == ["b"]
    assert [violation.element for violation in relief.remaining] == ["b"]
    assert limits.vm_max_pu - 1e-5 < relief.after.vm_pu[0] <= limits.vm_max_pu


def test_what_the_derivatives_do_not_see_the_power_flow_does() -> None:
    """The same, by derivatives that know nothing of the common resistance."""
    star = Star((1e-3, 2e-4), r0=4e-4)
    state = star.solve(np.array([-100.0, 400.0]), np.zeros(2))
    limits = Limits(1e6, 1e6, vm_min_pu=0.9, vm_max_pu=float(state.vm_pu[0]) + 0.002)

    def blind(state: GridState) -> Sensitivity:
        found = star.sensitivity(state)
        own = found.vm_pu_per_kw * np.eye(2)
        return Sensitivity(own, found.line_percent_per_kw, found.trafo_percent_per_kw)

    relief = relieve(state, {"b": Flexibility(0, 200)}, limits, sensitivity=blind, solve=star.solve)
    assert any(star.solve(p, np.zeros(2)).vm_pu[0] > limits.vm_max_pu for p in star.solved[:])
    assert [violation.element for violation in relief.remaining] == ["b"]
    assert relief.after.vm_pu[0] <= limits.vm_max_pu


def test_an_overloaded_transformer_is_relieved_as_well() -> None:
    relief = Star((1e-5,), trafo_kw=100).relieve([110.0], {"a": Flexibility(0, 50)}, Limits(line_percent=1e6))
    assert relief.solved
    assert relief.change_kw["a"] == pytest.approx(-12, abs=0.2)  # 10 kW, and the margin of 2 %


def test_where_nothing_is_broken_nothing_is_asked_for() -> None:
    star = Star((1e-3,))
    relief = star.relieve([89.5], {"a": Flexibility(50, 50)}, margin_pu=0.01)
    assert (relief.change_kw, relief.solved, star.solved) == ({}, True, [])


def test_without_any_flexibility_everything_stays_open() -> None:
    relief = Star((1e-3,)).relieve([100.0], {})
    assert relief.change_kw == {}
    assert relief.remaining == relief.before


def test_crumbs_are_left_out_where_the_limits_hold_without_them() -> None:
    star = Star((1e-3, 1e-3), r0=2e-4)
    flexible = {"a": Flexibility(0, 5), "b": Flexibility(0, 0.05)}
    relief = star.relieve([80.0, 0.0], flexible, margin_pu=0.02)
    assert relief.solved
    assert set(relief.change_kw) == {"a"}
    kept = star.relieve([80.0, 0.0], flexible, margin_pu=0.02, least_kw=0.0)
    assert kept.change_kw["b"] == pytest.approx(-0.05)


def test_a_step_beyond_the_last_operating_point_is_shortened() -> None:
    """`a` is too high, and half of what the power flow is asked for first has no answer."""
    star = Star((1e-3,))
    honest = star.sensitivity

    def timid(state: GridState) -> Sensitivity:
        found = honest(state)
        return Sensitivity(found.vm_pu_per_kw / 40, found.line_percent_per_kw, found.trafo_percent_per_kw)

    state = star.solve(np.array([-120.0]), np.zeros(1))
    relief = relieve(state, {"a": Flexibility(900, 0)}, OPEN, sensitivity=timid, solve=star.solve)
    assert any(p[0] > 250 for p in star.solved)
    assert relief.solved
    assert relief.after.vm_pu[0] >= 0.9


def test_a_bus_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ValueError, match="no such bus: z"):
        Star((1e-3,)).relieve([100.0], {"z": Flexibility(1, 1)})


@pytest.mark.parametrize("wrong", [(-1.0, 0.0), (0.0, -1.0), (math.nan, 0.0), (0.0, math.inf)])
def test_flexibility_is_two_finite_magnitudes(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="magnitudes"):
        Flexibility(*wrong)


def test_a_feeder_that_needs_both_signs_gives_two_needs_and_nothing_is_netted() -> None:
    feeder = {"a": "feeder-1", "b": "feeder-1", "c": "feeder-2", "d": "feeder-1"}
    needs = by_feeder({"a": -3.0, "b": 5.0, "c": 2.0, "d": -1.0}, feeder.__getitem__)
    assert needs == (
        FeederNeed("feeder-1", {"b": 5.0}),
        FeederNeed("feeder-1", {"a": -3.0, "d": -1.0}),
        FeederNeed("feeder-2", {"c": 2.0}),
    )
    assert [need.power_kw for need in needs] == [5.0, -4.0, 2.0]


powers = st.floats(-140, 140)
room = st.builds(Flexibility, st.floats(0, 60), st.floats(0, 60))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(powers, room), min_size=1, max_size=4), st.floats(0, 3e-4), st.sampled_from([0.0, 0.002]))
def test_nothing_is_ever_worse_than_before_and_no_more_is_asked_than_there_is(
    loads: list[tuple[float, Flexibility]], r0: float, margin: float
) -> None:
    star = Star((1e-3,) * len(loads), r0=r0, line_kw=110, trafo_kw=120)
    p = np.array([kw for kw, _ in loads])
    flexible = {bus: each for bus, (_, each) in zip(star.buses, loads, strict=True)}
    limits = Limits()
    try:
        state = star.solve(p, 0 * p)
    except ValueError:
        return
    relief = relieve(state, flexible, limits, sensitivity=star.sensitivity, solve=star.solve, margin_pu=margin)
    before, after = excess(state, limits), excess(relief.after, limits)
    assert (after <= np.where(before > 0, before + 2e-4, 0.0)).all()  # noise: 1e-7 per unit, 1e-4 %
    change = np.array([relief.change_kw.get(bus, 0.0) for bus in star.buses])
    np.testing.assert_allclose(star.solve(p + change, 0 * p).vm_pu, relief.after.vm_pu, atol=1e-7)
    assert relief.remaining == relief.after.violations(limits)
    for bus, kw in relief.change_kw.items():
        assert -flexible[bus].decrease_kw - 1e-9 <= kw <= flexible[bus].increase_kw + 1e-9
    if not before.any():
        assert relief.change_kw == {}
