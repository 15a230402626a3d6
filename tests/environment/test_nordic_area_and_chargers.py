"""Chargers with a droop in the area's loop: the real ones of `environment.charging`, without their Modbus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from environment.charger_device import ChargerSpec, Droop
from environment.charging import Charging
from environment.frequency import Incident
from environment.nordic_area import NordicArea, NordicSpec
from environment.vehicles import Fleet, Vehicle

START = datetime(2026, 1, 13, 14, tzinfo=UTC)
FCR_N = Droop(0.0, 0.0, k_over=0.002, k_under=0.002, response_s=0.5, p_min=-1.0)
"""The whole rating at 0.1 Hz."""


class Case:
    """Ten chargers that stand for 2000 each, their own plans done, and a trip of 1100 MW after two minutes."""

    def __init__(self, *, droop: bool, seed: int | None = None) -> None:
        self.now = START
        rng = None if seed is None else np.random.default_rng(seed)
        trip = [Incident(START + timedelta(minutes=2), 1100.0)]
        self.area = NordicArea(NordicSpec(), START, rng, trip, represents=2000.0)
        fleet = Fleet([Vehicle(f"car-{n}", 60.0, 11.0, 10.0, soc=0.6, floor_soc=0.1) for n in range(10)])
        specs = [ChargerSpec(f"charger-{n}", 11.0, 10.0) for n in range(10)]
        self.charging = Charging(specs, fleet, lambda: self.now, feed=self.area)
        self.area.fed_by(self.charging.advance)
        for n in range(10):
            self.charging.plug_in(f"charger-{n}", f"car-{n}", target_soc=0.5)
            if droop:
                self.charging.droops.put(n, FCR_N)
                self.charging.nominate(f"charger-{n}", 0.0)

    def hz_after(self, seconds: int) -> np.ndarray:
        """Each second's frequency, asked for by somebody who looks once a second."""
        seen = []
        for second in range(seconds):
            self.now = START + timedelta(seconds=second)
            seen.append(self.area.at(self.now))
        np.testing.assert_allclose(self.area.series(START, seconds), seen, atol=1e-12)
        return np.array(seen)


def test_chargers_with_a_droop_hold_the_frequency_up_and_pay_for_it_with_energy() -> None:
    alone, with_droop = Case(droop=False), Case(droop=True)
    low, better = alone.hz_after(300), with_droop.hz_after(300)
    assert (low[:121] == 50.0).all()
    assert better[121:].min() > low[121:].min() + 0.04
    given_kwh = float(with_droop.charging.exported_kwh.sum())
    deviation = np.clip(50 - better, 0.0, 10 / 110) / 0.1 * 11.0  # kW of each, 10 at most
    assert given_kwh == pytest.approx(10 * float(deviation.sum()) / 3600, rel=0.02)
    assert float(alone.charging.exported_kwh.sum()) == 0.0


def test_how_often_somebody_looks_does_not_change_the_day() -> None:
    often, once = Case(droop=True, seed=2), Case(droop=True, seed=2)
    seen = often.hz_after(240)
    once.now = START + timedelta(seconds=240)
    np.testing.assert_allclose(once.area.series(START, 240), seen, atol=1e-9)
