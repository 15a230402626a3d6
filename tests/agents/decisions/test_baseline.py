"""Baselines: the three methods, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from agents.decisions.baseline import high_x_of_y, meter_before_meter_after, nomination


def test_a_nomination_is_taken_as_it_was_said() -> None:
    assert nomination([1.0, -2.0], 2).tolist() == [1.0, -2.0]


@pytest.mark.parametrize("said", [[1.0], [1.0, float("nan")], []])
def test_a_nomination_that_does_not_cover_the_window_is_refused(said: list[float]) -> None:
    with pytest.raises(ValueError, match="the nomination"):
        nomination(said, 2)


def test_the_meter_before_is_held_flat() -> None:
    assert meter_before_meter_after([9.0, 11.0], 3).tolist() == [10.0] * 3


def test_between_the_meter_before_and_after_runs_a_line() -> None:
    assert meter_before_meter_after([10.0], 4, after_kw=[18.0]).tolist() == [11.0, 13.0, 15.0, 17.0]


def days(*levels: float) -> np.ndarray:
    return np.array([[level] * 96 for level in levels])


def test_high_four_of_five_leaves_out_the_lowest_of_the_last_five_days() -> None:
    today = np.full(96, 25.0)
    history = days(100, 10, 20, 30, 40, 5)
    assert high_x_of_y(history, today, range(72, 76)).tolist() == [25.0] * 4


def test_today_moves_the_baseline_by_the_difference_before_the_window() -> None:
    today = np.zeros(96)
    today[56:68] = 27.0
    assert high_x_of_y(days(10, 20, 30, 40, 5), today, range(72, 74)).tolist() == [27.0, 27.0]


@pytest.mark.parametrize(("level", "expected"), [(100.0, 30.0), (0.0, 20.0)])
def test_the_adjustment_is_bounded_to_a_fifth(level: float, expected: float) -> None:
    found = high_x_of_y(days(10, 20, 30, 40, 5), np.full(96, level), range(72, 74))
    assert found.tolist() == [expected] * 2


def test_a_window_at_midnight_has_nothing_to_adjust_by() -> None:
    assert high_x_of_y(days(10, 20), np.zeros(96), range(2), x=1, y=2).tolist() == [20.0, 20.0]


def test_of_equal_days_the_more_recent_counts() -> None:
    history = days(10, 10)
    history[1, :20] = 4.0
    today = np.full(96, 6.0)
    found = high_x_of_y(history, today, range(40, 41), x=1, y=2, adjust_over=range(4))
    assert found.tolist() == [12.0]


@pytest.mark.parametrize(
    ("x", "y", "words"), [(5, 4, "1 <= x <= y"), (1, 3, "the history has 2 days and the method needs 3")]
)
def test_too_short_a_history_is_refused(x: int, y: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        high_x_of_y(days(1, 2), np.zeros(96), range(72, 76), x=x, y=y)
