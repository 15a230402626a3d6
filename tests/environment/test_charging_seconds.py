"""Chargers second by second: droops, dead time and ramp, and what the grid is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from agents.decisions.fcr_sequences import frequency_at
from environment.bench import Bench
from environment.charger_device import ChargerSpec, Droop
from environment.charging import Charging
from environment.charging_seconds import step_end_s
from environment.frequency_response import Droops
from environment.vehicles import Fleet, Vehicle
from protocols.exchanges.frequency_services import SignalPiece
from tests.environment.park import HandClock

NOTHING = 5.0  # Hz of deadband: a direction without response


def droop(full_hz: float, rating_kw: float = 11.0, response_s: float = 0.0, deadband_hz: float = 0.0) -> Droop:
    """The whole rating within `full_hz` beyond the deadband, in both directions."""
    return Droop(deadband_hz, deadband_hz, full_hz / 50, full_hz / 50, response_s, -1.0)


class Feed:
    """A frequency by a function of the second, and everything that it was told."""

    def __init__(self, hz: Callable[[float], float], step_s: Callable[[float], float] = lambda _: 1.0) -> None:
        self._hz, self._step_s = hz, step_s
        self.told: list[tuple[float, float, float]] = []
        self.until_s = 0.0

    def step_s(self, at_s: float) -> float:
        return self._step_s(at_s)

    def hz(self, at_s: float) -> float:
        assert at_s == pytest.approx(self.until_s), "asked before it was told what came before"
        return self._hz(at_s)

    def took(self, at_s: float, dt_s: float, response_kw: float) -> None:
        assert at_s == pytest.approx(self.until_s)
        self.until_s = at_s + dt_s
        self.told.append((at_s, dt_s, response_kw))


def charging(
    count: int = 1,
    *,
    feed: Feed | None = None,
    soc: float = 0.5,
    target_soc: float = 1.0,
    delay_s: float = 0.0,
    ramp_kw_per_s: float = math.inf,
) -> tuple[HandClock, Charging]:
    """Chargers c0.. of 11 kW and -10 kW with vehicles of 60 kWh plugged in."""
    clock = HandClock()
    fleet = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0, soc=soc) for n in range(count)])
    specs = [ChargerSpec(f"c{n}", 11.0, 10.0, delay_s=delay_s, ramp_kw_per_s=ramp_kw_per_s) for n in range(count)]
    park = Charging(specs, fleet, clock.now, feed=feed)
    for n in range(count):
        park.plug_in(f"c{n}", f"v{n}", target_soc=target_soc)
    return clock, park


def order(park: Charging, charger: int, power_kw: float) -> None:
    """As a controller's write would, without one."""
    park.advance()
    park._registers[charger].settings |= {(704, "WSetEna"): 1, (704, "WSet"): round(-power_kw * 1000)}
    park._obey(charger)


# Droops -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hz", "expected_kw"),
    [
        (50.0, [0.0, 0.0, 0.0, 0.0]),
        (49.95, [-2.75, -1.375, -2.75, 0.0]),
        (50.05, [2.75, 1.375, 0.0, 0.0]),
        (49.8, [-11.0, -9.625, -11.0, 0.0]),
        (51.0, [22.0, 22.0, 0.0, 0.0]),
        (46.0, [-22.0, -22.0, -22.0, 0.0]),
    ],
)
def test_droops_side_by_side_go_to_what_one_reckons_by_hand(hz: float, expected_kw: list[float]) -> None:
    droops = Droops(np.full(4, 11.0))
    droops.put(0, droop(0.2))
    droops.put(1, droop(0.2, deadband_hz=0.025))
    droops.put(2, Droop(NOTHING, 0.0, 0.1, 0.004, 0.0, -1.0))
    assert droops.wanted_kw(hz) == pytest.approx(expected_kw)
    # Each may have a frequency of its own.
    assert droops.wanted_kw(np.array([hz, 50.0, 50.0, hz])) == pytest.approx([expected_kw[0], 0, 0, 0])


def test_a_droop_comes_to_nine_tenths_in_its_response_time_however_one_steps() -> None:
    droops = Droops(np.full(2, 11.0))
    droops.put(0, droop(0.2, response_s=15.0))
    mean_kw = droops.over(49.9, 15.0)
    assert droops.kw == pytest.approx([-5.5 * 0.9, 0.0])
    # The lag's integral: 5.5 (T - tau (1 - exp(-T/tau))) / T with tau = 15 s / ln 10.
    assert mean_kw[0] == pytest.approx(-5.5 * (1 - 0.9 / math.log(10)))
    stepped = Droops(np.full(2, 11.0))
    stepped.put(0, droop(0.2, response_s=15.0))
    assert np.mean([stepped.over(49.9, 0.5)[0] for _ in range(30)]) == pytest.approx(mean_kw[0])
    assert stepped.kw == pytest.approx(droops.kw)


# The feed -----------------------------------------------------------------------------------------------------


def test_the_feed_is_told_each_second_how_the_droop_answered() -> None:
    feed = Feed(lambda at_s: 50.0 if at_s < 10 else 49.9)
    clock, park = charging(2, feed=feed)
    park.droops.put(0, droop(0.2))
    clock.passes(20)
    park.advance()
    assert [at_s for at_s, _, _ in feed.told] == list(range(20))
    assert [kw for _, _, kw in feed.told] == pytest.approx([0.0] * 10 + [-5.5] * 10)
    assert park.frequency_hz == 49.9
    assert park.power_kw() == pytest.approx([5.5, 11.0])
    assert park.imported_kwh == pytest.approx([(110 + 55) / 3600, 220 / 3600])


def test_a_droop_answers_only_within_what_charger_and_vehicle_can() -> None:
    feed = Feed(lambda _: 50.1)
    clock, park = charging(3, feed=feed)
    for n, base_kw in enumerate((11.0, 8.0, 0.0)):
        order(park, n, base_kw)
        park.droops.put(n, droop(0.2))
    clock.passes(5)
    park.advance()
    # 5.5 kW are wanted of each; the first already draws all it can, the second has 3 kW left.
    assert feed.told[-1][2] == pytest.approx(0.0 + 3.0 + 5.5)


def test_looking_within_a_second_cuts_the_step_and_the_next_ends_on_the_whole_second() -> None:
    feed = Feed(lambda _: 50.0)
    clock, park = charging(feed=feed)
    park.droops.put(0, droop(0.2))
    for seconds in (0.4, 2.1, 0.5):
        clock.passes(seconds)
        park.advance()
    assert [(at_s, dt_s) for at_s, dt_s, _ in feed.told] == [
        pytest.approx(step) for step in [(0, 0.4), (0.4, 0.6), (1, 1), (2, 0.5), (2.5, 0.5)]
    ]


def test_a_feed_may_ask_for_finer_steps_when_much_happens() -> None:
    feed = Feed(lambda _: 50.0, lambda at_s: 0.1 if 2 <= at_s < 3 else 1.0)
    clock, park = charging(feed=feed)
    park.droops.put(0, droop(0.2))
    clock.passes(5)
    park.advance()
    assert len(feed.told) == 4 + 10
    assert sum(dt_s for _, dt_s, _ in feed.told) == pytest.approx(5.0)


def test_a_feed_goes_on_by_itself_where_no_charger_answers() -> None:
    feed = Feed(lambda _: 49.5)
    clock, park = charging(feed=feed)
    clock.passes(600)
    assert park.power_kw()[0] == 11.0
    assert [kw for _, _, kw in feed.told] == [0.0] * 600
    assert park.frequency_hz == 49.5
    park.observe(231.0, 50.3)
    assert (park.frequency_hz, park.voltage_v[0]) == (49.5, 231.0)


def test_a_centrally_controlled_charger_answers_beyond_its_nominated_baseline() -> None:
    feed = Feed(lambda _: 49.8)
    clock, park = charging(2, feed=feed)
    park.nominate("c0", 6.0)
    clock.passes(2)
    order(park, 0, 1.5)
    clock.passes(2)
    park.nominate("c0", None)
    clock.passes(2)
    park.advance()
    assert [kw for _, _, kw in feed.told] == pytest.approx([5.0, 5.0, -4.5, -4.5, 0.0, 0.0])


def test_what_the_vehicle_cannot_do_is_not_told_as_an_answer() -> None:
    feed = Feed(lambda _: 49.9)
    clock, park = charging(2, feed=feed, soc=0.2)  # at their floor
    park.unplug("c1")
    order(park, 0, 0.0)
    park.droops.put(0, droop(0.1))
    clock.passes(3)
    park.advance()
    assert [kw for _, _, kw in feed.told] == [0.0, 0.0, 0.0]
    park.plug_in("c1", "v1", soc=0.5)
    order(park, 1, 0.0)
    park.droops.put(1, droop(0.1))
    clock.passes(1)
    park.advance()
    assert feed.told[-1][2] == pytest.approx(-10.0)
    assert park.fleet.energy_kwh[0] == pytest.approx(12.0)


def test_a_full_vehicle_gives_no_answer_by_drawing_less_than_it_would_not_draw() -> None:
    feed = Feed(lambda _: 49.9)
    clock, park = charging(feed=feed, soc=1.0)
    order(park, 0, 11.0)
    park.droops.put(0, droop(0.2))
    clock.passes(2)
    park.advance()
    assert [kw for _, _, kw in feed.told] == [0.0, 0.0]


@pytest.mark.parametrize("feed", [None, Feed(lambda _: 49.9)])
def test_a_droop_begins_with_the_session_whatever_the_frequency_was_before(feed: Feed | None) -> None:
    clock, park = charging(feed=feed)
    park.observe(230.0, 49.9)
    park._registers[0].settings[711, "Ena"] = 1  # as built: 0.2 Hz for the rating, 15 s
    park._obey(0)
    clock.passes(60)
    park.unplug("c0")
    clock.passes(600)
    park.plug_in("c0", "v0")
    assert park.power_kw()[0] == 11.0
    clock.passes(15)
    assert park.power_kw()[0] == pytest.approx(11.0 - 5.5 * 0.9)


@pytest.mark.parametrize("feed", [None, Feed(lambda _: 49.9)])
def test_a_droop_without_a_response_time_is_there_as_soon_as_the_vehicle(feed: Feed | None) -> None:
    clock, park = charging(feed=feed)
    park.observe(230.0, 49.9)
    park.unplug("c0")
    park.droops.put(0, droop(0.2))
    clock.passes(600)
    park.plug_in("c0", "v0")
    assert park.power_kw()[0] == pytest.approx(5.5)


def test_a_plan_that_its_droop_takes_back_resumes_at_its_own_instant() -> None:
    energies = []
    for look_s in (1, 1800):
        clock, park = charging(feed=Feed(lambda _: 49.9), soc=0.5, target_soc=0.5)
        park.droops.put(0, droop(0.2))
        for _ in range(1800 // look_s):
            clock.passes(look_s)
            park.advance()
        energies.append((park.fleet.energy_kwh[0], park.imported_kwh[0], park.exported_kwh[0]))
    assert energies[0] == pytest.approx(energies[1], abs=0.02)
    assert energies[0][1] > 0.5


# Energy -------------------------------------------------------------------------------------------------------


def wild(at_s: float) -> float:
    """A frequency that takes vehicles to their limits and back."""
    return 50.0 + 0.08 * math.sin(at_s / 700) + 0.03 * math.sin(at_s / 7)


@pytest.mark.parametrize("look_s", [1, 60, 7200])
@pytest.mark.parametrize("soc", [0.21, 0.5, 0.79, 0.94, 0.99])
def test_two_hours_of_seconds_are_those_of_a_plain_simulation(soc: float, look_s: int) -> None:
    seconds, bases = 7200, (0.0, 9.0, -9.0)
    clock, park = charging(3, feed=Feed(wild), soc=soc)
    plain = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0, soc=soc) for n in range(3)])
    plain.connected[:] = True
    for n, base_kw in enumerate(bases):
        order(park, n, base_kw)
        park.droops.put(n, droop(0.1, response_s=4.0))
    for _ in range(seconds // look_s):
        clock.passes(look_s)
        park.advance()
    reference = Droops(np.full(3, 11.0))
    for n in range(3):
        reference.put(n, droop(0.1, response_s=4.0))
    for second in range(seconds):
        setpoint_kw = np.array(bases) + reference.over(wild(second), 1.0)
        plain.step(np.clip(setpoint_kw, -10.0, 11.0), 1.0)
    assert park.fleet.energy_kwh == pytest.approx(plain.energy_kwh, abs=1e-9)
    assert park.imported_kwh == pytest.approx(plain.imported_kwh, abs=1e-9)
    assert park.exported_kwh == pytest.approx(plain.exported_kwh, abs=1e-9)
    assert park.fleet.imported_kwh == pytest.approx(park.imported_kwh, abs=1e-9)


@pytest.mark.parametrize(("delay_s", "ramp_kw_per_s"), [(0.0, math.inf), (0.5, 4.0), (2.0, 0.5)])
def test_not_a_watt_hour_is_lost_between_meter_and_battery(delay_s: float, ramp_kw_per_s: float) -> None:
    clock, park = charging(3, feed=Feed(wild), soc=0.7, target_soc=0.8, delay_s=delay_s, ramp_kw_per_s=ramp_kw_per_s)
    park.droops.put(0, droop(0.1, response_s=2.0))
    park.nominate("c1", 0.0)
    for step in range(300):
        clock.passes(37.3)
        order(park, 1, 10.0 * math.sin(step))
        park.advance()
    stored = park.fleet.energy_kwh - 42.0
    assert stored == pytest.approx(park.imported_kwh * 0.94 - park.exported_kwh / 0.94, abs=1e-9)
    assert park.imported_kwh[2] == pytest.approx(6.0 / 0.94, abs=1e-3)


def test_a_droop_without_a_feed_is_what_it_was_second_by_second() -> None:
    coarse_clock, coarse = charging()
    feed = Feed(lambda _: 49.95)
    fine_clock, fine = charging(feed=feed)
    for clock, park in ((coarse_clock, coarse), (fine_clock, fine)):
        park.droops.put(0, droop(0.2, response_s=15.0))
        park.observe(230.0, 49.95)
        clock.passes(100)
    assert fine.power_kw() == pytest.approx(coarse.power_kw())
    assert fine.imported_kwh == pytest.approx(coarse.imported_kwh, abs=1e-12)


# Dead time and ramp -------------------------------------------------------------------------------------------


def test_a_setpoint_comes_after_the_dead_time_and_along_the_ramp() -> None:
    clock, park = charging(delay_s=2.0, ramp_kw_per_s=2.0)
    clock.passes(60)
    assert park.power_kw()[0] == 11.0
    order(park, 0, 1.0)
    powers = []
    for _ in range(9):
        powers.append(float(park.power_kw()[0]))
        clock.passes(1)
    assert powers == pytest.approx([11, 11, 11, 9, 7, 5, 3, 1, 1])


def test_the_ramps_energy_is_that_of_its_trapezium() -> None:
    clock, park = charging(ramp_kw_per_s=4.0)
    clock.passes(60)
    park.advance()
    before_kwh = park.imported_kwh[0]
    order(park, 0, 1.0)  # 10 kW in 2.5 s, then 1 kW
    clock.passes(10)
    park.advance()
    assert (park.imported_kwh[0] - before_kwh) * 3600 == pytest.approx(2.5 * 6 + 7.5 * 1)


def test_a_droop_answers_after_the_dead_time_too_and_the_plan_is_no_answer() -> None:
    feed = Feed(lambda at_s: 49.9 if 20 <= at_s < 40 else 50.0)
    clock, park = charging(feed=feed, delay_s=0.5, ramp_kw_per_s=11.0)
    park.droops.put(0, droop(0.2))
    clock.passes(50)
    order(park, 0, 2.0)
    park.droops.put(0, droop(0.2))
    clock.passes(10)
    park.advance()
    told = {at_s: kw for at_s, _, kw in feed.told}
    # Half a second of nothing, then 11 kW/s for half a second: 5.5 kW are reached at its end.
    assert told[20] == pytest.approx(-5.5 / 2 * 0.5)
    assert told[21] == pytest.approx(-5.5)
    # Setting out from 0 at the start, and the new setpoint at 50 s, are the plan's.
    assert [told[s] for s in (0, 1, 2, 19, 50, 51, 59)] == pytest.approx([0.0] * 7)


def test_a_vehicle_that_comes_starts_from_nothing_and_one_that_goes_stops_at_once() -> None:
    clock, park = charging(ramp_kw_per_s=1.0)
    clock.passes(5)
    assert park.power_kw()[0] == pytest.approx(5.0)
    park.unplug("c0")
    assert park.power_kw()[0] == 0.0
    clock.passes(1)
    park.plug_in("c0", "v0")
    clock.passes(3)
    assert park.power_kw()[0] == pytest.approx(3.0)


def test_what_was_on_its_way_when_a_vehicle_left_does_not_reach_the_next() -> None:
    clock, park = charging(delay_s=5.0)
    clock.passes(10)
    assert park.power_kw()[0] == 11.0
    park.unplug("c0")
    park.plug_in("c0", "v0")
    order(park, 0, 4.0)
    clock.passes(4)
    assert park.power_kw()[0] == 0.0
    clock.passes(2)
    assert park.power_kw()[0] == 4.0


def test_a_setpoint_that_is_taken_back_at_once_still_comes_after_the_dead_time() -> None:
    clock, park = charging(delay_s=3.0)
    clock.passes(60)
    order(park, 0, 1.0)
    clock.passes(1)
    order(park, 0, 11.0)
    powers = []
    for _ in range(6):
        powers.append(float(park.power_kw()[0]))
        clock.passes(0.5)
    assert powers == pytest.approx([11, 11, 11, 11, 11, 1])
    clock.passes(1)
    assert park.power_kw()[0] == 11.0
    before_kwh = park.imported_kwh[0]
    order(park, 0, 1.0)
    clock.passes(1)
    order(park, 0, 11.0)
    clock.passes(59)
    park.advance()
    assert (park.imported_kwh[0] - before_kwh) * 3600 == pytest.approx(59 * 11 + 1)


def test_a_ramp_does_not_carry_a_vehicle_beyond_its_target() -> None:
    clock, park = charging(feed=Feed(lambda _: 50.0), soc=0.49, target_soc=0.5, ramp_kw_per_s=1.0)
    park.nominate("c0", 0.0)
    clock.passes(600)
    assert park.power_kw()[0] == 0.0
    assert park.fleet.energy_kwh[0] == 30.0


@pytest.mark.parametrize(("delay_s", "ramp_kw_per_s"), [(-1.0, 1.0), (math.inf, 1.0), (0.0, 0.0), (0.0, math.nan)])
def test_a_response_that_cannot_be_is_refused(delay_s: float, ramp_kw_per_s: float) -> None:
    with pytest.raises(ValueError, match="charger c0: a dead time of"):
        charging(delay_s=delay_s, ramp_kw_per_s=ramp_kw_per_s)


def test_chargers_of_several_dead_times_stand_side_by_side() -> None:
    clock = HandClock()
    fleet = Fleet([Vehicle(f"v{n}", 60.0, 11.0, 10.0) for n in range(3)])
    park = Charging([ChargerSpec(f"c{n}", 11.0, 10.0, delay_s=n) for n in range(3)], fleet, clock.now)
    for n in range(3):
        park.plug_in(f"c{n}", f"v{n}")
    powers = []
    for _ in range(4):
        powers.append(park.power_kw().tolist())
        clock.passes(1)
    assert powers == [[11.0, 0.0, 0.0], [11.0, 0.0, 0.0], [11.0, 11.0, 0.0], [11.0, 11.0, 11.0]]


def test_a_charger_with_a_ramp_that_rests_is_not_stepped() -> None:
    asked = []
    feed = Feed(lambda at_s: asked.append(at_s) or 50.0)  # type: ignore[func-returns-value]
    clock, park = charging(feed=feed, ramp_kw_per_s=1.0)
    clock.passes(30)
    park.advance()
    while_it_ramps = len(asked)
    clock.passes(3600)
    park.advance()
    assert len(asked) - while_it_ramps < 10


@pytest.mark.parametrize(
    ("at_s", "step_s", "origin_s", "end_s"),
    [
        (0.0, 1.0, 0.0, 1.0),
        (0.3, 0.1, 0.0, 0.4),
        (0.7, 0.1, 0.0, 0.8),
        (5.5, 1.0, 0.25, 6.25),
        (86_399.9, 0.2, 0, 86_400),
    ],
)
def test_a_step_ends_at_the_next_whole_multiple(at_s: float, step_s: float, origin_s: float, end_s: float) -> None:
    assert step_end_s(at_s, step_s, origin_s) == pytest.approx(end_s)


def test_a_bench_applies_what_the_judge_of_its_record_expects() -> None:
    signal = (
        SignalPiece(duration_s=5, start_hz=50.0, end_hz=49.8),
        SignalPiece(duration_s=20, start_hz=49.8, end_hz=50.1, amplitude_hz=0.1, period_s=8),
    )
    _, park = charging()
    bench = Bench(park, ["c0"])
    bench.apply(signal)
    times = [0.5 * n for n in range(60)]
    assert [bench.hz(t) for t in times] == pytest.approx([frequency_at(signal, t) for t in times])
    assert bench.hz(7.0) == pytest.approx(49.7)


def test_what_is_tested_on_a_bench_is_no_answer_to_the_grid() -> None:
    """A portfolio's test is of its own chargers: those in the area that ours stand for are not tested with them."""
    feed = Feed(lambda _: 50.0)
    clock, park = charging(2, feed=feed)
    for charger in (0, 1):
        park.droops.put(charger, droop(0.2))
    bench = Bench(park, ["c0"])
    bench.apply([SignalPiece(duration_s=10.0, start_hz=49.9, end_hz=49.9)])
    clock.passes(10)
    assert park.power_kw() == pytest.approx([5.5, 11.0])
    bench.release()
    assert [kw for _, _, kw in feed.told] == pytest.approx([0.0] * 10)
