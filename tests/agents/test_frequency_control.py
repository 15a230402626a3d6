"""The control of a portfolio second by second: loop and droop, failing meters, chargers that do not follow, the log."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from math import sin
from typing import Any

import numpy as np
import pytest

from agents.decisions.fcr_portfolio import Unit, allocate
from agents.decisions.fcr_products import RULES
from agents.decisions.fcr_sequences import frequency_at
from agents.fcr_log import LoggedSecond
from agents.fcr_ports import MeterError, MeterSample
from agents.frequency_chargers import REVERSION_S
from agents.frequency_control import ACT_HZ, FrequencyControl
from agents.frequency_response import OFFSET_EVERY_S
from agents.ports import DroopCurve
from protocols.exchanges.frequency_services import Control, SignalPiece
from protocols.exchanges.vocabulary import FcrProduct
from tests.agents import lot_stage
from tests.agents.lot_stage import IgnoringCharger, ParkingLot, Prices
from tests.agents.stage import Car, Stage, at
from tests.swarm import run_swarm

SECOND = timedelta(seconds=1)
N, D_UP = RULES[FcrProduct.FCR_N], RULES[FcrProduct.FCR_D_UP]
CHEAP_LATER = Prices([0.30] * 40 + [0.05])


class Area:
    """The grid's frequency as the test says (`hz` of seconds after the stage's start), a bench over it, and a record of
    each second of what the portfolio draws."""

    def __init__(self, stage: Stage, hz: Callable[[float], float] = lambda s: 50.0) -> None:
        self.stage, self.grid_hz = stage, hz
        self.signal: Sequence[SignalPiece] = ()
        self.begun = at(0)
        self.seconds: dict[datetime, tuple[float, float]] = {}
        self.portfolio: list[str] = []
        self.task = asyncio.get_running_loop().create_task(self._tick())

    def hz(self) -> float:
        now = self.stage.clock.now()
        if self.signal:
            return frequency_at(self.signal, (now - self.begun).total_seconds())
        return self.grid_hz((now - at(0)).total_seconds())

    def power_kw(self) -> float:
        return sum(self.stage.chargers[c].power_kw for c in self.portfolio or self.stage.chargers)

    async def _tick(self) -> None:
        clock = self.stage.clock
        while True:
            self.seconds[clock.now()] = (self.hz(), self.power_kw())
            await clock.sleep_until(clock.now() + SECOND, priority=20)

    # the port `TestBench`

    def apply(self, signal: Sequence[SignalPiece], sample_s: float = 1.0) -> None:
        self.signal, self.begun = signal, self.stage.clock.now()

    def release(self) -> None:
        self.signal = ()

    def record(self, start: datetime, end: datetime, sample_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        count = round((end - start).total_seconds() / sample_s)
        times = [start + timedelta(seconds=int(k * sample_s)) for k in range(count)]
        return tuple(self.seconds[t][0] for t in times), tuple(self.seconds[t][1] for t in times)


class FakeMeter:
    """The port `FrequencyMeter`. `fault`: None, "lost", "frozen"; `error_hz` and `skew_s` are what it is off by."""

    def __init__(self, name: str, area: Area, error_hz: float = 0.0) -> None:
        self.name, self.area, self.error_hz = name, area, error_hz
        self.fault: str | None = None
        self.skew_s = 0.0
        self.slow_s = 0.0
        self.reads = 0
        self.held: float | None = None

    async def read(self) -> MeterSample:
        self.reads += 1
        if self.slow_s:
            clock = self.area.stage.clock
            await clock.sleep_until(clock.now() + timedelta(seconds=self.slow_s))
        if self.fault == "lost":
            raise MeterError(self.name, "127.0.0.1:1", "it does not answer", "look at its cable")
        hz = round(self.area.hz() + self.error_hz, 3)
        if self.fault == "frozen":
            self.held = hz = hz if self.held is None else self.held
        now = self.area.stage.clock.now() + timedelta(seconds=self.skew_s)
        return MeterSample(now, hz, self.area.power_kw())


class DroopCharger(IgnoringCharger):
    """A charger with a droop that acts within the second."""

    area: Area | None = None
    curve: DroopCurve | None = None

    async def set_droop_curve(self, curve: DroopCurve) -> None:
        self._advance()
        self.curve = curve

    async def stop_droop(self) -> None:
        self._advance()
        self.curve = None

    def _wish(self) -> tuple[Any, Any]:
        setpoint, stop = super()._wish()
        if self.curve is None or self.area is None:
            return setpoint, stop
        off = self.area.hz() - 50.0
        change = 0.0
        if self.curve.over_hz is not None:
            change += max(0.0, off - self.curve.deadband_over_hz) / self.curve.over_hz
        if self.curve.under_hz is not None:
            change -= max(0.0, -off - self.curve.deadband_under_hz) / self.curve.under_hz
        kw = setpoint + change * max(self.max_charge_kw, self.max_discharge_kw)
        return np.clip(kw, -self.max_discharge_kw, self.max_charge_kw), np.array([np.inf])

    async def read(self) -> Any:
        reading = await super().read()
        return dataclasses.replace(reading, frequency_hz=50.0 if self.area is None else self.area.hz())


class ListLog:
    """What the control asks of the log."""

    def __init__(self) -> None:
        self.seconds: list[LoggedSecond] = []

    def write(self, second: LoggedSecond) -> bool:
        self.seconds.append(second)
        return True


def parked(name: str, **changed: Any) -> Car:
    """A car that is half full, and has what it wants, until long after the test."""
    return Car(name, **{"soc": 50.0, "wanted": 40.0, "leaves": 900.0, "capacity_kwh": 60.0} | changed)


async def lot_of(
    stage: Stage, area: Area, cars: Sequence[Car], monkeypatch: pytest.MonkeyPatch, **options: Any
) -> ParkingLot:
    """A lot whose chargers have a droop."""
    monkeypatch.setattr(lot_stage, "IgnoringCharger", DroopCharger)
    lot = await ParkingLot.open(stage, cars, **{"prices": CHEAP_LATER} | options)
    for charger in stage.chargers.values():
        charger.area = area  # type: ignore[attr-defined]
    return lot


class Rig:
    """A control of three chargers from minute 5 on."""

    def __init__(self, stage: Stage, hz: Callable[[float], float], **meters: float) -> None:
        self.stage = stage
        self.area = Area(stage, hz)
        self.main = FakeMeter("main", self.area)
        self.backup = FakeMeter("backup", self.area, meters.get("backup", 0.0))
        self.log = ListLog()
        self.lost: list[tuple[str, str]] = []
        self.stopped: list[str] = []

    async def begin(
        self,
        monkeypatch: pytest.MonkeyPatch,
        rules: Any,
        control: Control,
        *,
        cars: int = 3,
        energy_kwh: float = 30.0,
        capacity_kw: float = 9.0,
        act_every_s: float = 1.0,
    ) -> FrequencyControl:
        names = [f"c{k + 1}" for k in range(cars)]
        self.lot = await lot_of(self.stage, self.area, [parked(name) for name in names], monkeypatch)
        await self.stage.until(5)
        manager = self.lot.manager
        units = allocate(rules, manager.vehicles(at(5)), at(5), at(65), capacity_kw)
        assert sum(unit.capacity_kw for unit in units) == pytest.approx(capacity_kw)
        assert manager.claim(names, "fcr")
        self.control = FrequencyControl(
            manager,
            rules,
            control,
            [self.main, self.backup],
            self.log,  # type: ignore[arg-type]
            lost_unit=lambda charger, why: self.lost.append((charger, why)),
            lost_meters=self.stopped.append,
            act_every_s=act_every_s,
        )
        await self.control.begin(units, capacity_kw, energy_kwh)
        return self.control

    def drawn(self, minute: float, second: float = 0.0) -> float:
        return self.area.seconds[at(minute) + timedelta(seconds=second)][1]

    async def end(self) -> None:
        await self.control.end()
        self.area.task.cancel()


def noisy(second: float) -> float:
    return 50.0 + 0.02 * sin(second / 40) + 0.004 * sin(second * 1.7)


def unit(charger_id: str, capacity_kw: float = 3.0) -> Unit:
    return Unit(charger_id, 0.0, capacity_kw, -7.4, 11.0, 20.0, 20.0, 0.94, 0.94)


@pytest.mark.parametrize("control", [Control.CENTRAL, Control.LOCAL])
@pytest.mark.parametrize(
    ("rules", "hz", "kw"),
    [(N, 49.95, -4.5), (N, 50.08, 7.2), (D_UP, 49.9, 0.0), (D_UP, 49.7, -4.5), (D_UP, 49.5, -9.0), (D_UP, 50.3, 0.0)],
)
def test_the_portfolio_gives_what_the_product_asks_for_within_a_second(
    monkeypatch: pytest.MonkeyPatch, control: Control, rules: Any, hz: float, kw: float
) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 50.0 if s < 360 else hz)
        await rig.begin(monkeypatch, rules, control)
        await stage.until(7)
        assert rig.drawn(5, 30) == pytest.approx(0.0, abs=0.01)
        assert rig.drawn(6, 1) == pytest.approx(kw, abs=0.06)
        assert rig.drawn(6, 50) == pytest.approx(kw, abs=0.06)
        await rig.end()

    run_swarm(main, Stage())


def test_every_second_is_logged_once_with_power_frequency_baseline_and_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, noisy)
        await rig.begin(monkeypatch, N, Control.CENTRAL)
        await stage.until(25)
        await rig.end()
        seconds = rig.log.seconds
        assert [s.at for s in seconds] == [at(5) + k * SECOND for k in range(20 * 60 + 1)]
        for s in seconds[60:]:
            assert s.hz == pytest.approx(noisy((s.at - at(0)).total_seconds()), abs=0.001)
            assert s.baseline_kw == 0.0
            assert s.soc_percent == pytest.approx(50.0, abs=5)
            assert s.status_on
            assert s.capacity_kw == 9.0
            assert s.regulating_kw_per_hz == pytest.approx(90.0)

    run_swarm(main, Stage())


@pytest.mark.parametrize("fault", ["lost", "frozen"])
@pytest.mark.parametrize("control", [Control.CENTRAL, Control.LOCAL])
def test_the_backup_takes_over_without_a_step_in_power(
    monkeypatch: pytest.MonkeyPatch, fault: str, control: Control
) -> None:
    """The backup is 8 mHz off, which would be 0.72 kW at once."""

    async def main(stage: Any) -> None:

        def slow(s: float) -> float:
            return 50.0 + 0.03 * sin(s / 60)  # at most 0.045 kW a second

        rig = Rig(stage, slow, backup=0.008)
        await rig.begin(monkeypatch, N, control)
        await stage.until(10)
        rig.main.fault = fault
        await stage.until(15)
        assert stage.noticed("backup is used from now on") == 1
        assert stage.noticed("frequency meter main") == 1
        powers = [rig.drawn(9, s) for s in range(360)]
        steps = [abs(b - a) for a, b in pairwise(powers)]
        assert max(steps) < 0.36
        hz = {s.at: s.hz for s in rig.log.seconds}
        assert hz[at(14)] == pytest.approx(slow(840) + 0.008, abs=0.0011)
        assert rig.stopped == []
        await rig.end()

    run_swarm(main, Stage())


def test_a_meter_that_jumps_moves_no_charger_and_a_clock_that_jumps_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, noisy)
        await rig.begin(monkeypatch, N, Control.CENTRAL)
        await stage.until(10)
        rig.main.skew_s = 90.0
        await stage.until(11)
        assert stage.noticed("the clock of main jumped by +90 s") == 1
        assert stage.noticed("is used from now on") == 0
        rig.main.error_hz = 0.15
        await stage.until(12)
        assert stage.noticed("backup is used from now on") == 1
        powers = [rig.drawn(9, s) for s in range(170)]
        assert max(abs(b - a) for a, b in pairwise(powers)) < 1.0  # 13.5 kW by the jump
        assert len({s.at for s in rig.log.seconds}) == len(rig.log.seconds) == 7 * 60 + 1
        await rig.end()

    run_swarm(main, Stage())


def test_a_loop_that_is_late_acts_once_for_all_it_missed_and_never_twice_for_one_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, noisy)
        control = await rig.begin(monkeypatch, N, Control.CENTRAL)
        missed: list[int] = []
        second = control._second

        async def noted(when: datetime, seconds: int) -> None:
            missed.append(seconds)
            await second(when, seconds)

        monkeypatch.setattr(control, "_second", noted)
        await stage.until(10)
        rig.main.slow_s = 3.6
        await stage.until(10.1)
        rig.main.slow_s = 0.0
        await stage.until(12)
        times = [s.at for s in rig.log.seconds]
        assert all(when.microsecond == 0 for when in times)
        assert len(set(times)) == len(times)
        gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
        assert max(gaps) in (3.0, 4.0)
        assert max(missed) == max(gaps)
        assert sum(missed) == (times[-1] - at(5)).total_seconds() + 1
        assert gaps[-60:] == [1.0] * 60
        await rig.end()

    run_swarm(main, Stage())


def test_both_meters_lost_are_told_within_seconds_and_nothing_more_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, noisy)
        await rig.begin(monkeypatch, N, Control.CENTRAL)
        await stage.until(10)
        rig.main.fault = rig.backup.fault = "lost"
        await stage.until(11)
        assert rig.stopped == ["no frequency meter can be believed any more"]
        assert rig.log.seconds[-1].at <= at(10) + 3 * SECOND
        await rig.end()

    run_swarm(main, Stage())


def test_a_charger_that_ignores_its_setpoint_is_found_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 50.0 if s < 600 else 49.5)
        await rig.begin(monkeypatch, D_UP, Control.CENTRAL)
        rig.lot.charger("c2").deaf_from = at(8)
        await stage.until(9.9)
        assert rig.lost == []  # it stands where it should
        await stage.until(11)
        assert rig.lost[0] == ("c2", "draws 0.0 kW where -3.0 kW were ordered")
        await rig.end()

    run_swarm(main, Stage())


def test_others_bear_the_share_of_a_unit_that_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 49.5)
        control = await rig.begin(monkeypatch, D_UP, Control.LOCAL)
        await stage.until(6)
        await control.change([unit("c1", 4.5), unit("c3", 4.5)], 9.0)
        await stage.until(7)
        assert {c: round(rig.lot.charger(c).power_kw, 2) for c in ("c1", "c2", "c3")} == {
            "c1": -4.5,
            "c2": 0.0,
            "c3": -4.5,
        }
        assert rig.lot.charger("c2").curve is None  # type: ignore[attr-defined]
        await rig.end()
        assert all(rig.lot.charger(c).curve is None for c in ("c1", "c3"))  # type: ignore[attr-defined]

    run_swarm(main, Stage())


def test_orders_end_by_themselves_and_are_renewed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 49.5)
        control = await rig.begin(monkeypatch, D_UP, Control.CENTRAL)
        await stage.until(20)
        orders = [order for order in rig.lot.charger("c1").orders if order[0] >= at(5)]
        assert {seconds for _, _, seconds in orders} == {REVERSION_S}
        gaps = [(b[0] - a[0]).total_seconds() for a, b in pairwise(orders)]
        assert max(gaps) <= REVERSION_S / 2
        assert rig.lot.charger("c1").beats > 5
        control._round += 1  # the manager dies
        await stage.until(20 + REVERSION_S / 60 + 0.1)
        assert rig.lot.charger("c1").power_kw >= 0.0
        await rig.end()

    run_swarm(main, Stage())


def test_what_a_droop_gives_beyond_the_band_is_in_the_power_and_not_in_the_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(stage: Any) -> None:
        """FCR-D may go on linearly (section 3)."""
        rig = Rig(stage, lambda s: 49.45)
        fcr = await rig.begin(monkeypatch, D_UP, Control.LOCAL)
        await stage.until(6)
        last = rig.log.seconds[-1]
        assert last.power_kw == pytest.approx(-9.0 * 1.125, abs=0.1)
        assert fcr.change_kw == pytest.approx(-9.0 * 1.125)
        assert last.activated_kw == -9.0
        await rig.end()

    run_swarm(main, Stage())


def test_what_a_droop_gives_too_much_of_in_both_directions_is_taken_back_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equation 24: no more than the capacity and the power of energy management; and nothing is missing after it."""

    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 49.85 if 360 <= s < 400 else 50.2 if 400 <= s < 430 else 49.98 if s >= 430 else 50.0)
        fcr = await rig.begin(monkeypatch, N, Control.LOCAL)
        await stage.until(6)
        assert rig.drawn(5, 59) == pytest.approx(0.0, abs=0.1)
        await stage.until(8)
        assert [rig.drawn(6, s) for s in (2, 20, 39)] == pytest.approx([-9.0] * 3, abs=0.1)
        assert [rig.drawn(6, s) for s in (42, 55, 69)] == pytest.approx([9.0] * 3, abs=0.1)
        assert [rig.drawn(7, s) for s in (12, 30, 50)] == pytest.approx([-1.8] * 3, abs=0.1)
        assert fcr.change_kw == pytest.approx(-1.8, abs=0.01)
        await rig.end()

    run_swarm(main, Stage())


class Quick:
    """A frequency that moves between two whole seconds, and what the control did then."""

    def __init__(self, rig: Rig, at_s: float) -> None:
        self.rig, self.at_s = rig, at_s

    def orders(self) -> list[float]:
        """When chargers were ordered after it, in s from it on."""
        begun = at(0) + timedelta(seconds=self.at_s)
        orders = self.rig.lot.charger("c1").orders
        return sorted((when - begun).total_seconds() for when, _, _ in orders if when >= begun)


@pytest.mark.parametrize("step_hz", [-0.04, -0.2, 0.1])
def test_between_two_seconds_a_change_is_acted_on_at_once(monkeypatch: pytest.MonkeyPatch, step_hz: float) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 49.7 if s < 360.25 else 49.7 + step_hz)
        await rig.begin(monkeypatch, D_UP, Control.CENTRAL, act_every_s=0.1)
        await stage.until(6.2)
        assert Quick(rig, 360.25).orders()[0] == pytest.approx(0.05, abs=0.001)
        assert rig.drawn(6, 5) == pytest.approx(-9.0 * (0.2 - step_hz) / 0.4, abs=0.06)
        assert [second.at.microsecond for second in rig.log.seconds] == [0] * len(rig.log.seconds)
        await rig.end()

    run_swarm(main, Stage())


def test_between_two_seconds_neither_a_small_change_nor_a_meter_that_jumps_moves_a_charger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 49.7 if s < 360.25 else 49.7 - 0.8 * ACT_HZ)
        await rig.begin(monkeypatch, D_UP, Control.CENTRAL, act_every_s=0.1)
        await stage.until(6.01)
        assert Quick(rig, 360.25).orders() == []
        await stage.until(7 + 0.25 / 60)
        rig.main.error_hz = 0.15
        await stage.until(7 + 0.9 / 60)
        assert Quick(rig, 420.25).orders() == []
        await rig.end()

    run_swarm(main, Stage())


def test_what_others_draw_is_read_when_they_have_got_there_and_counts_from_when_they_turned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a charger on its way to another power would be taken for the portfolio's response for a minute."""

    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 50.0)
        fcr = await rig.begin(monkeypatch, N, Control.CENTRAL)
        await fcr.change([unit for unit in fcr.units.values() if unit.charger_id != "c3"], 6.0)
        await stage.until(6.5)
        assert fcr.others_kw == 0.0
        fcr.look_soon()
        turned = fcr.agent.now()
        await rig.lot.charger("c3").set_power(2.0, 900)
        fcr._poll_at = 0.0  # by chance it is looked at in the next second
        await stage.until(6.5 + 2 / 60)
        assert fcr.others_kw == 0.0
        await rig.lot.charger("c3").set_power(5.0, 900)
        await stage.until(6.5 + 7 / 60)
        assert (fcr.others_kw, fcr.others_since) == (5.0, turned)
        await rig.end()

    run_swarm(main, Stage())


def test_nothing_is_written_in_a_second_in_which_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(stage: Any) -> None:
        rig = Rig(stage, noisy)
        await rig.begin(monkeypatch, D_UP, Control.CENTRAL)
        await stage.until(65)
        written = sum(len(rig.lot.charger(c).orders) for c in ("c1", "c2", "c3"))
        assert written < 3 * 70  # once a minute
        await rig.end()

    run_swarm(main, Stage())


@pytest.mark.parametrize("control", [Control.CENTRAL, Control.LOCAL])
def test_energy_management_brings_the_charge_back_in_the_normal_band(
    monkeypatch: pytest.MonkeyPatch, control: Control
) -> None:
    """3.5.1: below 30 minutes NEM goes on, and after 5 minutes draws 0.34 C more; LOCAL moves the operating point."""

    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 50.0)
        fcr = await rig.begin(monkeypatch, N, control, energy_kwh=17.0)
        fcr.held_kwh = 4.0  # of 9 kW: 26.7 minutes
        await stage.until(5 + 5.5)
        assert rig.log.seconds[-1].nem_on
        assert rig.log.seconds[-1].nem_kw == pytest.approx(3.06)
        assert rig.drawn(10, 20) == pytest.approx(3.06, abs=0.1)
        assert fcr.held_kwh > 4.0
        if control is Control.LOCAL:
            times = [when for when, _, _ in rig.lot.charger("c1").orders if when > at(5)]
            gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
            assert len(times) > 10
            assert sorted(gaps)[len(gaps) // 2] >= OFFSET_EVERY_S / 2
        await stage.until(11)
        await rig.end()

    run_swarm(main, Stage())


def test_alert_state_energy_management_fades_the_response_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.5.2: the reference follows the frequency in 5 minutes."""

    async def main(stage: Any) -> None:
        rig = Rig(stage, lambda s: 49.88)
        fcr = await rig.begin(monkeypatch, N, Control.LOCAL, energy_kwh=17.0)
        fcr.held_kwh = 0.4  # less than 5 minutes
        await stage.until(5.2)
        before = rig.drawn(5, 2)
        await stage.until(11)
        assert before == pytest.approx(-9.0, abs=0.5)
        assert rig.log.seconds[-1].aem_on
        assert rig.drawn(10, 50) == pytest.approx(0.0, abs=2.0)
        await rig.end()

    run_swarm(main, Stage())
