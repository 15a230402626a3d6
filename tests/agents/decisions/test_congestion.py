"""From reliefs to needs: windows, margins, steps, services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.congestion import Need, find_needs
from agents.grid_view import GridState, Relief, Violation
from protocols.exchanges.vocabulary import ServiceType

START = datetime(2026, 1, 15, 17, tzinfo=UTC)
HOT = Violation("trafo", 112.0, 100.0, "%")
LOW = Violation("bus 7", 0.89, 0.9, "pu")
STATE = GridState((), (), "trafo", *(np.zeros(0) for _ in range(4)), 0.0, 0.0, 0.0, 0.0)


def relief(kw: float, *broken: Violation, remaining: tuple[Violation, ...] = ()) -> Relief | None:
    return Relief(kw, {}, broken or (HOT,), remaining, STATE) if kw else None


def needs(*kw: float, **options: float) -> tuple[Need, ...]:
    return find_needs([relief(each) for each in kw], START, **options)  # type: ignore[arg-type]


def test_neighbouring_periods_are_one_window_with_its_largest_relief_and_the_margin() -> None:
    (need,) = needs(0, 8, 12, 9, 0, 0)
    assert (need.start, need.end) == (START + timedelta(minutes=15), START + timedelta(hours=1))
    assert need.window == range(1, 4)
    assert need.power_kw == 14.0  # 12 and a tenth, up to the next whole kW
    assert need.relief_kw == (8, 12, 9)
    assert not need.increase


def test_a_step_met_exactly_is_not_exceeded() -> None:
    (need,) = needs(10)
    assert need.power_kw == 11.0


def test_a_short_gap_is_bridged_and_a_long_one_is_not() -> None:
    assert [need.window for need in needs(5, 0, 5, 0, 0, 5)] == [range(3), range(5, 6)]


def test_a_window_is_cut_at_the_longest_that_the_product_allows() -> None:
    assert [need.window for need in needs(*[5] * 10, longest=4)] == [range(4), range(4, 8), range(8, 10)]


def test_too_much_feeding_back_is_another_window() -> None:
    first, second = needs(5, -6)
    assert (first.increase, second.increase, second.power_kw) == (False, True, 7.0)


def test_noise_is_no_need() -> None:
    assert needs(0.3, -0.4, 0) == ()


def test_voltage_alone_is_voltage_control_and_currents_are_congestion() -> None:
    (voltage,) = find_needs([relief(4, LOW)], START)
    (both,) = find_needs([relief(4, LOW), relief(4, LOW, HOT)], START)
    assert voltage.service is ServiceType.VOLTAGE_CONTROL
    assert both.service is ServiceType.CONGESTION_MANAGEMENT
    assert both.reasons == ("bus 7 at 0.890 pu (limit 0.900)", "trafo at 112.0 % (limit 100.0)")


def test_what_cannot_be_relieved_is_named() -> None:
    (need,) = find_needs([relief(4, HOT, remaining=(LOW,))], START)
    assert need.open == ("bus 7 at 0.890 pu (limit 0.900)",)


@pytest.mark.parametrize("wrong", [{"margin": -0.1}, {"granularity_kw": 0.0}, {"longest": 0}, {"bridge": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        needs(5, **wrong)


@given(st.lists(st.sampled_from([0.0, 0.3, 2.0, 7.7, -3.0]), max_size=40), st.integers(0, 2), st.integers(1, 8))
def test_every_relief_is_covered_once_by_enough_power(kw: list[float], bridge: int, longest: int) -> None:
    found = needs(*kw, bridge=bridge, longest=longest)
    for t, each in enumerate(kw):
        covering = [need for need in found if t in need.window]
        assert len(covering) <= 1
        if abs(each) >= 0.5:
            assert covering[0].power_kw >= abs(each)
            assert covering[0].increase == (each < 0)
    assert all(len(need.window) <= longest for need in found)
