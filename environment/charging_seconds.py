"""Chargers second by second: what flows while a frequency changes all the time, and what it does to the frequency.

A `Stretch` is a time in which nothing is ordered and nobody comes or goes. In it the vehicles that stay away from
every limit of theirs are only added up, and given their energy at its end; those that meet a limit and answer the
frequency are solved step by step, the others in one piece. So a day of seconds is cheap and exact to the watt-hour.
Times are seconds since the start of the run, powers kW, positive drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from environment.frequency_response import A_MOMENT_S, Bools
from environment.vehicles import SECONDS_PER_HOUR, Floats

if TYPE_CHECKING:
    from environment.charging import Charging

SECOND_S = 1.0
LONGEST_S = 60.0  # after which limits are looked at anew
PENDING_S = 5.0  # the same while a dead time or a ramp runs
AWAY_S = 5.0  # who cannot reach a limit in this time is away from it


class FrequencyFeed(Protocol):
    """Where the frequency comes from, and goes on from what the chargers did."""

    def step_s(self, at_s: float) -> float:
        """How far to go from `at_s` with one frequency: 1.0 or finer; steps end at its whole multiples."""
        ...

    def hz(self, at_s: float) -> float:
        """The frequency at `at_s`; everything before has been told to `took`."""
        ...

    def took(self, at_s: float, dt_s: float, response_kw: float) -> None:
        """From `at_s` for `dt_s` seconds (a part of a step, where somebody looked within it) the chargers drew on
        average `response_kw` more than their baselines (below 0: less)."""
        ...


class AppliedFrequency(Protocol):
    """A frequency that some chargers see in the place of the grid's, and the recorder of what they then do."""

    chargers: npt.NDArray[np.int64]

    def step_end_s(self, at_s: float) -> float:
        """Where the sample that `at_s` lies in ends."""
        ...

    def hz(self, at_s: float) -> float:
        """The frequency applied at `at_s`."""
        ...

    def saw(self, at_s: float, dt_s: float, hz: float, power_kw: float) -> None:
        """From `at_s` for `dt_s` seconds the chargers together drew `power_kw` at `hz`."""
        ...


class Stretch:
    """The chargers from one change to the next; `ends_s` is when it has to be made anew."""

    def __init__(self, charging: Charging) -> None:
        self._c = charging
        fleet, vehicle = charging.fleet, charging.vehicle
        plugged = vehicle >= 0
        base_kw, self._stop_kwh = charging.base_kw()
        blocked = charging.stopped | ~plugged
        upper_kw = np.minimum(charging.max_charge_kw, fleet.max_charge_kw[vehicle])
        lower_kw = -np.minimum(charging.max_discharge_kw, fleet.max_discharge_kw[vehicle])
        target_kw = np.where(blocked, 0.0, np.minimum(np.maximum(base_kw, lower_kw), upper_kw))
        droops, dynamics = charging.droops, charging.dynamics
        pending = self._pending(target_kw) & ~droops.on
        anywhere = pending | (dynamics.on & droops.on)
        highest_kw = np.where(anywhere | droops.rises(), upper_kw, target_kw)
        lowest_kw = np.where(anywhere | droops.falls(), lower_kw, target_kw)
        self._base_kw = base_kw
        self._upper_kw = np.where(blocked, 0.0, np.minimum(upper_kw, droops.most_kw(base_kw)))
        self._lower_kw = np.where(blocked, 0.0, lower_kw)
        self._target_kw = target_kw

        # Without a feed the frequency stands still, and a droop alone is solved in closed form elsewhere.
        follows = droops.on & (dynamics.on | (charging.feed is not None))
        tested = np.zeros(len(plugged), dtype=np.bool_)
        for bench in charging.benches:
            tested[bench.chargers] = True
        # What answers a bench's frequency is a test of these chargers alone, and no answer to the grid's.
        nominated = ~np.isnan(charging.baseline_kw) & ~tested
        counts = nominated & (charging.feed is not None)
        self.active = bool((plugged & (follows | counts | pending)).any()) or bool(charging.benches)
        answers = plugged & (droops.on | nominated | pending | tested)
        away_s = self._away_s(plugged, highest_kw, lowest_kw)
        self._quick = plugged & (away_s > AWAY_S)
        self._slow = answers & ~self._quick
        self._idle = plugged & ~self._quick & ~answers
        self._some_slow, self._some_idle = bool(self._slow.any()), bool(self._idle.any())
        longest_s = PENDING_S if pending.any() else LONGEST_S
        # On a whole second, so that no step is cut in two.
        self.ends_s: float = math.floor(charging.at_s + min(longest_s, float(away_s[self._quick].min(initial=np.inf))))

        self._by_droop = plugged & droops.on & ~nominated & ~tested
        self._counted = (self._by_droop | plugged & nominated).astype(np.float64)
        self._nominated_kw = float(charging.baseline_kw[plugged & nominated].sum())
        self._by_droop_share = self._by_droop.astype(np.float64)
        self._charged_kws = np.zeros(len(plugged))
        self._net_kws = np.zeros(len(plugged))
        self._passed_s = 0.0

    def _pending(self, target_kw: Floats) -> Bools:
        c = self._c
        if not c.dynamics.any:
            return np.zeros(len(target_kw), dtype=np.bool_)
        possible = c.fleet.power_kw(c.of_vehicles(target_kw), c.of_vehicles(self._stop_kwh, np.inf))
        return c.dynamics.pending(c.at_s, target_kw, c.of_chargers(possible))

    def _away_s(self, plugged: Bools, highest_kw: Floats, lowest_kw: Floats) -> Floats:
        """How many seconds each vehicle stays clear of the taper, its target, its floor and its plan's resumption."""
        c, fleet, vehicle = self._c, self._c.fleet, self._c.vehicle
        energy = fleet.energy_kwh[vehicle]
        in_kw = np.maximum(highest_kw, 0.0) * fleet.efficiency_charge[vehicle]
        out_kw = np.maximum(-lowest_kw, 0.0) / fleet.efficiency_discharge[vehicle]
        ceiling = np.minimum(fleet.knee_kwh[vehicle], self._stop_kwh)
        floor = np.maximum(fleet.floor_kwh[vehicle], np.where(c.satisfied, c.resume_kwh(), -np.inf))
        with np.errstate(divide="ignore", invalid="ignore"):
            room_s = np.where(in_kw > 0, (ceiling - energy) / in_kw, np.inf)
            room_s = np.minimum(room_s, np.where(out_kw > 0, (energy - floor) / out_kw, np.inf))
        return np.where(plugged, room_s * SECONDS_PER_HOUR, np.inf)

    # Passing ------------------------------------------------------------------------------------------------

    def run(self, to_s: float) -> float:
        """Lets time pass to `to_s` or as far as the stretch goes; returns how far."""
        c, feed = self._c, self._c.feed
        at_s, to_s = c.at_s, min(to_s, max(self.ends_s, c.at_s + A_MOMENT_S))
        while at_s < to_s - A_MOMENT_S:
            end_s = min(to_s, step_end_s(at_s, SECOND_S if feed is None else feed.step_s(at_s)))
            hz = c.frequency_hz if feed is None else feed.hz(at_s)
            response_kws, part_s = 0.0, at_s
            while part_s < end_s - A_MOMENT_S:
                until_s = end_s
                for bench in c.benches:
                    until_s = min(until_s, bench.step_end_s(part_s))
                if c.dynamics.any:
                    until_s = min(until_s, part_s + c.dynamics.least_delay_s)
                response_kws += self._step(part_s, until_s - part_s, hz) * (until_s - part_s)
                part_s = until_s
            if feed is not None:
                feed.took(at_s, end_s - at_s, response_kws / (end_s - at_s))
            self._passed_s += end_s - at_s
            at_s = end_s
            if self._some_slow and c.settle():
                return at_s
        return max(at_s, to_s)

    def _step(self, at_s: float, dt_s: float, grid_hz: float) -> float:
        """One step; returns the response in kW."""
        c = self._c
        hz: Floats | float = grid_hz
        if c.benches:
            hz = seen_hz(grid_hz, c.benches, at_s, len(self._base_kw))
        droop_kw = c.droops.over(hz, dt_s)
        power_kw = np.minimum(np.maximum(self._base_kw + droop_kw, self._lower_kw), self._upper_kw)
        without_kw = self._target_kw
        if c.dynamics.any:
            power_kw, without_kw = c.dynamics.follow(at_s, dt_s, np.stack([power_kw, without_kw]))
        self._net_kws += power_kw * dt_s
        self._charged_kws += np.maximum(power_kw, 0.0) * dt_s
        if self._some_slow:
            power_kw, without_kw = self._at_limits(power_kw, without_kw, dt_s)
        for bench in c.benches:
            drawn_kw = np.where(self._quick | self._slow, power_kw, 0.0)[bench.chargers]
            bench.saw(at_s, dt_s, bench.hz(at_s), float(drawn_kw.sum()))
        own_kw = float(without_kw @ self._by_droop_share)
        return float(power_kw @ self._counted) - own_kw - self._nominated_kw

    def _at_limits(self, power_kw: Floats, without_kw: Floats, dt_s: float) -> tuple[Floats, Floats]:
        """What those do whose vehicle may cut them off, and what they would do without droop."""
        c = self._c
        stops = c.of_vehicles(self._stop_kwh, np.inf)
        if self._by_droop[self._slow].any():
            possible = c.fleet.power_kw(c.of_vehicles(np.where(self._slow, without_kw, 0.0)), stops)
            without_kw = np.where(self._slow, c.of_chargers(possible), without_kw)
        wanted = c.of_vehicles(np.where(self._slow, power_kw, 0.0))
        drawn_kw = c.of_chargers(c.fleet.step(wanted, dt_s, stops))
        c.count(drawn_kw, dt_s)
        if c.dynamics.any:
            c.dynamics.cut(self._slow, c.of_chargers(c.fleet.power_kw(wanted, stops)))
        return np.where(self._slow, drawn_kw, power_kw), without_kw

    def flush(self) -> None:
        """Gives batteries and meters what has flowed since the last time."""
        if self._passed_s <= 0:
            return
        c, fleet = self._c, self._c.fleet
        charged_kwh = np.where(self._quick, self._charged_kws, 0.0) / SECONDS_PER_HOUR
        given_kwh = np.where(self._quick, self._charged_kws - self._net_kws, 0.0) / SECONDS_PER_HOUR
        fleet.give(c.of_vehicles(charged_kwh), c.of_vehicles(given_kwh))
        c.imported_kwh += charged_kwh
        c.exported_kwh += given_kwh
        if self._some_idle:
            wanted = c.of_vehicles(np.where(self._idle, self._target_kw, 0.0))
            stops = c.of_vehicles(self._stop_kwh, np.inf)
            c.count(c.of_chargers(c.fleet.step(wanted, self._passed_s, stops)), self._passed_s)
            if c.dynamics.any:
                c.dynamics.cut(self._idle, c.of_chargers(c.fleet.power_kw(wanted, stops)))
        self._charged_kws[:] = self._net_kws[:] = self._passed_s = 0.0


def step_end_s(at_s: float, step_s: float, origin_s: float = 0.0) -> float:
    """The first whole multiple of `step_s` after `at_s`, counted from `origin_s`."""
    return origin_s + (math.floor((at_s - origin_s) / step_s + A_MOMENT_S) + 1) * step_s


def feed_alone(feed: FrequencyFeed, at_s: float, to_s: float) -> None:
    """Lets the grid go from `at_s` to `to_s` while no charger answers."""
    while at_s < to_s - A_MOMENT_S:
        end_s = min(to_s, step_end_s(at_s, feed.step_s(at_s)))
        feed.took(at_s, end_s - at_s, 0.0)
        at_s = end_s


def seen_hz(grid_hz: float, benches: Sequence[AppliedFrequency], at_s: float, count: int) -> Floats:
    """The frequency that each charger sees at `at_s`, shape [chargers]."""
    hz = np.full(count, grid_hz)
    for bench in benches:
        hz[bench.chargers] = bench.hz(at_s)
    return hz
