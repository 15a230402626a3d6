"""Who bears the response: one after the other in calm, all in a disturbance."""

from __future__ import annotations

import pytest

from agents.decisions.fcr_dispatch import CALM_S, Band, Distribution, fill, share

BANDS = [Band("c1", 5.0, 4.0), Band("c2", 5.0, 4.0), Band("c3", 10.0, 2.0)]


def test_filling_takes_one_after_the_other_as_far_as_each_can() -> None:
    assert fill(-7.0, BANDS) == [-5.0, -2.0, 0.0]
    assert fill(9.0, BANDS) == [4.0, 4.0, 1.0]
    assert fill(-99.0, BANDS) == [-5.0, -5.0, -10.0]


def test_sharing_gives_all_their_part_and_no_more_than_they_can() -> None:
    assert share(-10.0, BANDS) == [-2.5, -2.5, -5.0]
    assert share(5.0, BANDS) == [2.0, 2.0, 1.0]
    assert share(99.0, BANDS) == [4.0, 4.0, 2.0]
    assert share(1.0, [Band("c1", 5.0, 0.0)]) == [0.0]


def test_in_calm_only_the_vehicle_at_the_margin_is_written() -> None:
    distribution = Distribution(BANDS)
    assert distribution.second(0, -3.0) == {"c1": -3.0}
    assert distribution.second(1, -6.0) == {"c1": -5.0, "c2": -1.0}
    assert distribution.second(2, -6.4) == {"c2": pytest.approx(-1.4)}
    assert distribution.sum_kw == pytest.approx(-6.4)


def test_what_is_off_by_less_than_the_resolution_is_not_written_and_does_not_add_up() -> None:
    distribution = Distribution(BANDS)
    wanted, written = 0.0, 0
    for second in range(200):
        wanted -= 0.03
        written += len(distribution.second(second, wanted))
        assert abs(distribution.sum_kw - wanted) <= 0.05 + 1e-9
    assert written < 110


def test_all_bear_their_part_in_a_disturbance_and_until_it_is_calm() -> None:
    distribution = Distribution(BANDS)
    distribution.second(0, -1.0)
    assert distribution.second(1, -12.0) == {"c1": -3.0, "c2": -3.0, "c3": -6.0}
    assert distribution.second(2, -4.0) == {"c1": -1.0, "c2": -1.0, "c3": -2.0}
    assert distribution.second(3 + CALM_S, -3.0) == {"c1": -3.0, "c2": 0.0, "c3": 0.0}


def test_the_turn_moves_the_margin_and_keeps_the_sum() -> None:
    distribution = Distribution(BANDS)
    distribution.second(0, -5.0)
    distribution.turn()
    assert distribution.second(1, -5.1) == {"c2": -5.0, "c3": pytest.approx(-0.1), "c1": 0.0}
    assert distribution.sum_kw == pytest.approx(-5.1)


def test_another_bears_what_a_vehicle_that_is_taken_out_has_borne() -> None:
    distribution = Distribution(BANDS)
    distribution.second(0, -3.0)
    distribution.second(1, -6.0)
    distribution.set_bands(BANDS[1:])
    assert distribution.sum_kw == -1.0
    assert distribution.second(90, -3.0) == {"c2": -3.0}
    assert distribution.second(91, -6.0) == {"c2": -5.0, "c3": -1.0}
