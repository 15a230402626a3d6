"""Station meters: means that are exact, and a highest power that nothing short escapes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from environment.charger_device import ChargerSpec
from environment.charging import Charging
from environment.public_meters import StationMeters
from environment.vehicles import Fleet, Vehicle
from tests.environment.park import HandClock

STATIONS = {"north": ("n1", "n2"), "south": ("s1",)}
CHARGERS = ("n1", "n2", "s1")


def kw(*values: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array(values)


def test_a_mean_is_what_flowed_in_the_quarter_and_a_highest_what_lasted_any_time() -> None:
    meters = StationMeters(STATIONS, CHARGERS, 2)
    meters.passed(0.0, 300.0, kw(10.0, 20.0, 5.0), kw(10.0, 20.0, 5.0))
    meters.passed(300.0, 1.0, kw(60.0, 50.0, 5.0), kw(60.0, 50.0, 5.0))
    meters.passed(301.0, 599.0, kw(0.0, 0.0, 0.0), kw(0.0, 0.0, 0.0))
    assert meters.station_kw(slice(0, 1))[0] == pytest.approx([(30.0 * 300 + 110.0) / 900, 5.0 * 301 / 900])
    assert list(meters.highest_kw[0]) == [110.0, 5.0]
    assert not meters.highest_kw[1].any()


def test_a_stretch_over_the_edge_is_shared_by_time_and_the_end_of_the_run_cuts_it() -> None:
    meters = StationMeters(STATIONS, CHARGERS, 2)
    meters.passed(600.0, 1800.0, kw(9.0, 0.0, 0.0), kw(9.0, 0.0, 0.0))
    assert meters.charger_kw[:, 0] == pytest.approx([3.0, 9.0])
    assert list(meters.highest_kw[:, 0]) == [9.0, 9.0]


def test_a_power_that_gives_way_by_itself_is_seen_on_both_sides_of_its_second() -> None:
    """Through the physics: two cars, one order that reverts unseen, one car that leaves."""
    clock = HandClock()
    fleet = Fleet([Vehicle(v, 60.0, 100.0, 0.0, soc=0.1) for v in ("a", "b")])
    park = Charging([ChargerSpec(c, 60.0, 0.0, public=True) for c in CHARGERS], fleet, clock.now)
    meters = StationMeters(STATIONS, CHARGERS, 4)
    park.flowed = meters.passed
    park.plug_in("n1", "a")
    park.plug_in("s1", "b")
    park._write(0, {(704, "WSetEna"): 1, (704, "WSet"): -50_000, (704, "WSetRvrt"): -20_000,
                    (704, "WSetEnaRvrt"): 1, (704, "WSetRvrtTms"): 450})  # fmt: skip
    clock.passes(900)
    park.advance()
    assert (clock.at - datetime(2026, 3, 18, 12, tzinfo=UTC)) == timedelta(minutes=15)
    assert meters.station_kw(slice(0, 1))[0] == pytest.approx([35.0, 0.0])
    assert meters.highest_kw[0] == pytest.approx([50.0, 0.0])
    clock.passes(900)
    park.unplug("n1")
    assert meters.highest_kw[1] == pytest.approx([20.0, 0.0])
    assert meters.charger_kw[:2].sum() / 4 == pytest.approx(park.imported_kwh.sum())
