"""The energy between any two times, by the registers that were read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agents.station_log import StationLog

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def log_of(*readings: tuple[float, float], charger: str = "a") -> StationLog:
    log = StationLog()
    for minutes, kwh in readings:
        log.note(charger, NOON + minutes * MINUTE, kwh)
    return log


def test_energy_is_the_difference_of_the_registers_and_even_between_them() -> None:
    log = log_of((0, 100.0), (15, 115.0), (30, 120.0))
    assert log.kwh("a", NOON, NOON + 30 * MINUTE) == pytest.approx(20.0)
    assert log.kwh("a", NOON + 5 * MINUTE, NOON + 15 * MINUTE) == pytest.approx(10.0)
    assert log.mean_kw(["a"], NOON, NOON + 30 * MINUTE) == pytest.approx((60.0, 20.0))


def test_before_the_first_and_after_the_last_reading_nothing_is_drawn() -> None:
    log = log_of((0, 100.0), (15, 115.0))
    assert log.kwh("a", NOON - timedelta(days=1), NOON + timedelta(days=1)) == 15.0
    assert log.kwh("a", NOON + 15 * MINUTE, NOON + timedelta(days=1)) == 0.0
    assert log.kwh("b", NOON, NOON + timedelta(days=1)) == 0.0


def test_of_two_readings_in_one_instant_the_later_counts() -> None:
    log = log_of((0, 100.0), (0, 101.0))
    assert log.last_kwh("a") == 101.0
    assert log_of().last_kwh("a") is None


def test_a_time_is_complete_unless_a_charger_was_silent_in_it() -> None:
    log = log_of((0, 100.0))
    log.note_silence("a", NOON + 20 * MINUTE)
    assert log.complete(["a"], NOON, NOON + 15 * MINUTE)
    assert log.complete(["b"], NOON, NOON + 30 * MINUTE)
    assert not log.complete(["b", "a"], NOON, NOON + 30 * MINUTE)
