"""Voltages by 10-minute means, against small arrays whose answers are known by hand."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from environment import en50160

MINUTE = timedelta(minutes=1)


def test_each_bus_has_its_minutes_low_and_high_and_its_share_the_worst_first() -> None:
    volts = np.ones((100, 3))
    volts[0:20, 1] = 0.88
    volts[50:60, 1] = 1.12
    volts[0:10, 2] = 0.84
    found = en50160.judged(("a", "b", "c"), volts, MINUTE)
    assert [(bus.bus, bus.minutes_low, bus.minutes_high) for bus in found.worst] == [
        ("b", 20.0, 10.0),
        ("c", 10.0, 0.0),
    ]
    assert [bus.share_within_percent for bus in found.worst] == [70.0, 90.0]
    assert (found.worst[0].lowest_pu, found.worst[0].highest_pu) == (0.88, 1.12)
    assert (found.buses, found.buses_outside, found.buses_below_95_percent) == (3, 2, 2)
    assert (found.minutes_outside, found.bus_minutes_outside) == (30.0, 40.0)
    assert found.least_share_within_percent == 70.0


def test_the_band_that_always_holds_ends_at_085_below_and_at_110_above() -> None:
    volts = np.ones((30, 1))
    volts[0:10], volts[10:20], volts[20:30] = 0.86, 0.84, 1.101
    found = en50160.judged(("a",), volts, MINUTE)
    assert found.minutes_outside == 30.0
    assert found.minutes_outside_always == 20.0


def test_exactly_95_percent_within_is_enough() -> None:
    volts = np.ones((200, 1))
    volts[:10] = 0.8
    found = en50160.judged(("a",), volts, MINUTE)
    assert found.least_share_within_percent == 95.0
    assert found.buses_below_95_percent == 0


def test_a_mean_over_a_minute_without_a_value_is_neither_within_nor_outside() -> None:
    volts = np.full((30, 1), 0.8)
    volts[5] = np.nan
    volts[20:] = 1.0
    found = en50160.judged(("a",), volts, MINUTE)
    assert found.minutes_outside == 10.0
    assert found.least_share_within_percent == 50.0


@pytest.mark.parametrize("minutes", [5, 2])
def test_means_of_other_steps_are_ten_minutes_as_well(minutes: int) -> None:
    volts = np.ones((60 // minutes, 1))
    volts[: 10 // minutes] = 0.8
    assert en50160.judged(("a",), volts, timedelta(minutes=minutes)).minutes_outside == 10.0


def test_a_run_without_buses_has_nothing_outside() -> None:
    found = en50160.judged((), np.empty((10, 0)), MINUTE)
    assert (found.buses, found.minutes_outside, found.worst) == (0, 0.0, ())
    assert found.least_share_within_percent == 100.0
