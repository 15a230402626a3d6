"""Low voltages at the highest draw and high ones in the mean: hand-checked on two feeders of two buses.

Limits are 0.90 and 1.10 pu; a1 falls by 0.001 pu for each kW at a1 or a2, a2 by 0.002 for each at a2, see
`LinearVoltages`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.voltage import Flexibility, relieve
from agents.decisions.voltage_sides import SidesRelief, relieve_sides
from agents.grid_view import Limits
from tests.agents.island_stage import BUSES, LinearVoltages

MODEL = LinearVoltages()
MARGIN_PU = 0.002


def power(kw: Mapping[str, float]) -> np.ndarray:
    return np.array([kw.get(bus, 0.0) for bus in BUSES])


def sides(mean: Mapping[str, float], above: Mapping[str, float], flexible: Mapping[str, Flexibility]) -> SidesRelief:
    """`mean` and `above` are kW by bus."""
    q_kvar = np.zeros(len(BUSES))
    return relieve_sides(
        MODEL.solve(power(mean), q_kvar),
        MODEL.solve(power(mean) + power(above), q_kvar),
        above,
        flexible,
        Limits(),
        sensitivity=MODEL.sensitivity,
        solve=MODEL.solve,
        feeder_of=MODEL.feeder_of,
        margin_pu=MARGIN_PU,
    )


def words(violations: tuple[object, ...]) -> list[str]:
    return [str(violation) for violation in violations]


def test_a_low_voltage_that_only_the_moment_breaks_is_mended_by_what_the_order_takes_off_it() -> None:
    """60 kW at a2 are 0.88 pu, which needs 11 kW less. Of 30 kW that can be taken off the moment 20 are the mean's: the
    orders are two thirds of 11."""
    found = sides({"a2": 50.0}, {"a2": 10.0}, {"a2": Flexibility(0.0, 20.0)})
    assert found.change_kw == {"a2": pytest.approx(-11.0 * 2 / 3, abs=0.01)}
    assert words(found.before) == ["a2 at 0.880 pu (limit 0.900)"]
    assert found.remaining == ()


def test_with_all_that_is_flexible_what_stays_broken_is_that_of_constant_power() -> None:
    """80 kW at the moment; all the orders leave a mean of 70 - 10 kW for the whole quarter: 0.88 pu."""
    found = sides({"a2": 70.0}, {"a2": 10.0}, {"a2": Flexibility(0.0, 10.0)})
    assert found.change_kw == {"a2": pytest.approx(-10.0)}
    assert words(found.remaining) == ["a2 at 0.880 pu (limit 0.900)"]


def test_timers_that_nobody_can_hold_back_are_mended_elsewhere() -> None:
    found = sides({"a2": 45.0}, {"a2": 10.0}, {"a1": Flexibility(50.0, 50.0), "a2": Flexibility(0.0, 0.0)})
    assert found.change_kw == {"a1": pytest.approx(-12.0, abs=0.01)}
    assert found.remaining == ()


def test_a_high_voltage_is_that_of_the_mean_and_needs_as_much_as_without_timers() -> None:
    """a2 feeds 60 kW back on average. At the moment that the vehicles at b1 draw most nothing else changes."""
    flexible = {"a2": Flexibility(20.0, 20.0), "b1": Flexibility(5.0, 5.0)}
    found = sides({"a2": -60.0}, {"b1": 10.0}, flexible)
    assert found.change_kw == {"a2": pytest.approx(11.0, abs=0.01)}
    assert words(found.before) == ["a2 at 1.120 pu (limit 1.100)"]
    assert found.remaining == ()


def test_a_mean_too_high_is_not_excused_by_a_moment_that_is_not() -> None:
    found = sides({"a2": -60.0}, {"a2": 20.0}, {"a2": Flexibility(30.0, 0.0)})
    assert found.change_kw == {"a2": pytest.approx(11.0, abs=0.01)}


def test_one_feeder_too_low_and_the_other_too_high_are_both_mended() -> None:
    flexible = {"a2": Flexibility(0.0, 20.0), "b2": Flexibility(20.0, 0.0)}
    found = sides({"a2": 50.0, "b2": -60.0}, {"a2": 10.0}, flexible)
    assert found.change_kw == {
        "a2": pytest.approx(-11.0 * 2 / 3, abs=0.01),
        "b2": pytest.approx(11.0, abs=0.01),
    }
    assert found.remaining == ()


def test_behind_one_feeder_the_low_voltage_is_mended_and_the_high_one_named() -> None:
    """a1 at 0.895 pu while its timers are on, a2 at 1.109 on average: less at a1 would lift a2 further."""
    mean, above = {"a1": 310.0, "a2": -210.0}, {"a1": 5.0}
    found = sides(mean, above, {"a1": Flexibility(0.0, 40.0), "a2": Flexibility(40.0, 0.0)})
    # what would break a2 further is not asked of a1; what mends a2 in the mean would break a1 further at the moment
    assert found.change_kw == {}
    assert words(found.before) == ["a1 at 0.895 pu (limit 0.900)", "a2 at 1.110 pu (limit 1.100)"]
    assert found.remaining == found.before


@pytest.mark.parametrize("low_kw", [40.0, 50.0], ids=["kept", "low"])
def test_less_at_the_moment_that_would_lift_the_mean_beyond_its_limit_is_not_asked(low_kw: float) -> None:
    """The timers of a2 go off in a quarter of an hour that is sunny until then: on average 1.096 pu, then 0.88."""
    mean, above = {"a2": -48.0}, {"a2": 48.0 + low_kw + 10.0 * (low_kw > 40)}
    found = sides(mean, above, {"a2": Flexibility(0.0, 40.0)})
    if low_kw == 40.0:
        assert (found.change_kw, found.remaining) == ({}, ())
    else:
        # 2/7 of 40 kW would be asked, which lifts the mean by 0.008 pu
        assert found.change_kw == {}
        assert words(found.remaining) == ["a2 at 0.880 pu (limit 0.900)"]


@pytest.mark.parametrize("mean", [{"a2": 60.0}, {"a2": -60.0}, {"a1": 315.0, "a2": -210.0}])
def test_where_no_highest_draw_is_told_it_is_the_relief_of_the_mean(mean: dict[str, float]) -> None:
    flexible = {bus: Flexibility(30.0, 30.0) for bus in BUSES}
    found = sides(mean, {"a1": 0.0}, flexible)
    alone = relieve(
        MODEL.solve(power(mean), np.zeros(4)),
        flexible,
        Limits(),
        sensitivity=MODEL.sensitivity,
        solve=MODEL.solve,
        margin_pu=MARGIN_PU,
    )
    assert found.change_kw == alone.change_kw
    assert found.change_kw
    assert (found.before, found.remaining) == (alone.before, alone.remaining)


KW = st.tuples(*[st.floats(-70, 70)] * 4)
MAGNITUDES = st.tuples(*[st.floats(0, 40)] * 4)


@settings(deadline=None, max_examples=60)
@given(KW, MAGNITUDES, MAGNITUDES, MAGNITUDES)
def test_neither_the_mean_nor_the_moment_is_made_worse_and_what_remains_is_what_power_flow_finds(
    mean: tuple[float, ...], above: tuple[float, ...], more: tuple[float, ...], less: tuple[float, ...]
) -> None:
    flexible = {bus: Flexibility(up, down) for bus, up, down in zip(BUSES, more, less, strict=True)}
    above_kw = dict(zip(BUSES, above, strict=True)) | {"a1": above[0] + 0.1}
    found = sides(dict(zip(BUSES, mean, strict=True)), above_kw, flexible)
    off = {}
    for bus, kw in found.change_kw.items():
        assert -flexible[bus].decrease_kw - 1e-9 <= kw <= flexible[bus].increase_kw + 1e-9
        down = flexible[bus].decrease_kw
        off[bus] = kw * (down + above_kw[bus]) / down if kw < 0 else kw
    high, low = 1.1, 0.9
    base = power(dict(zip(BUSES, mean, strict=True)))
    mean_pu = MODEL.solve(base, np.zeros(4)).vm_pu, MODEL.solve(base + power(found.change_kw), np.zeros(4)).vm_pu
    base = base + power(above_kw)
    busiest_pu = MODEL.solve(base, np.zeros(4)).vm_pu, MODEL.solve(base + power(off), np.zeros(4)).vm_pu
    for before, after in (mean_pu, busiest_pu):
        assert (after <= np.maximum(high, before) + 1e-5).all()
        assert (after >= np.minimum(low, before) - 1e-5).all()
    broken = {BUSES[i] for i in np.flatnonzero((busiest_pu[1] < low - 1e-5) | (mean_pu[1] > high + 1e-5))}
    near = {BUSES[i] for i in np.flatnonzero((busiest_pu[1] < low + 1e-5) | (mean_pu[1] > high - 1e-5))}
    assert broken <= {violation.element for violation in found.remaining} <= near
