"""How chargers answer: their frequency droops, and the dead time and ramp between what is wanted and what flows.

Arrays have shape [chargers]; powers are kW at the grid side, positive drawn; frequencies in Hz, a number for all or
one for each charger.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from environment.charger_device import ChargerSpec, Droop
from environment.vehicles import Floats
from protocols.units import NOMINAL_HZ

Bools = npt.NDArray[np.bool_]

NOTHING_KW = 1e-6
A_MOMENT_S = 1e-6  # two instants nearer than this are one
MOST_REMEMBERED = 256
LOWEST_HZ, HIGHEST_HZ = 45.0, 55.0  # where a deadband ends that is none in truth: the function has no such direction


class Droops:
    """The droop functions of chargers side by side; `kw` is where each one is now, 0 where there is none."""

    def __init__(self, rating_kw: Floats) -> None:
        count = len(rating_kw)
        self.on: Bools = np.zeros(count, dtype=np.bool_)
        self.kw = np.zeros(count)
        self._rating_kw = rating_kw
        self._most_kw = 2 * rating_kw
        self._over_hz, self._under_hz = np.full(count, NOMINAL_HZ), np.full(count, NOMINAL_HZ)
        self._k_over, self._k_under = np.full(count, np.inf), np.full(count, np.inf)
        self._lag_s = np.zeros(count)
        self._most_charging_kw = np.full(count, np.inf)
        self._stays: dict[float, tuple[Floats, Floats]] = {}

    def put(self, charger: int, droop: Droop | None) -> None:
        """Sets a charger's droop; None ends it at once."""
        self._stays.clear()
        self.on[charger] = droop is not None
        if droop is None:
            self.kw[charger] = self._lag_s[charger] = 0.0
            self._k_over[charger] = self._k_under[charger] = self._most_charging_kw[charger] = np.inf
            return
        self._over_hz[charger] = NOMINAL_HZ + droop.deadband_over_hz
        self._under_hz[charger] = NOMINAL_HZ - droop.deadband_under_hz
        self._k_over[charger], self._k_under[charger] = droop.k_over, droop.k_under
        # IEEE 1547-2018, 3.1: the open-loop response time is that to 90 % of the change; a first-order lag here.
        self._lag_s[charger] = droop.response_s / np.log(10.0)
        self._most_charging_kw[charger] = -droop.p_min * self._rating_kw[charger]

    def wanted_kw(self, hz: Floats | float) -> Floats:
        """Where each droop goes to at a frequency: less drawn below 50 Hz, more above."""
        over = np.maximum(hz - self._over_hz, 0.0) / self._k_over
        under = np.maximum(self._under_hz - hz, 0.0) / self._k_under
        wanted_kw = self._rating_kw * (over - under) / NOMINAL_HZ
        # No more than from full discharging to full charging: what is beyond would only be made up for later.
        return np.asarray(np.minimum(np.maximum(wanted_kw, -self._most_kw), self._most_kw))

    def see(self, hz: Floats | float) -> None:
        """A frequency from now on: droops without a response time are there at once."""
        if self.on.any():
            np.copyto(self.kw, self.wanted_kw(hz), where=self.on & (self._lag_s == 0))

    def over(self, hz: Floats | float, dt_s: float) -> Floats:
        """Each droop's mean power over the next `dt_s` seconds at a frequency; moves `kw` to where it then is."""
        shares = self._stays.get(dt_s)
        if shares is None:
            shares = self._stays[dt_s] = self._shares(dt_s)
            if len(self._stays) > MOST_REMEMBERED:
                self._stays.clear()
        wanted_kw = self.wanted_kw(hz)
        gap_kw = self.kw - wanted_kw
        self.kw = wanted_kw + gap_kw * shares[0]
        return np.asarray(wanted_kw + gap_kw * shares[1])

    def _shares(self, dt_s: float) -> tuple[Floats, Floats]:
        """What is left of a gap after `dt_s`, and the gap's mean until then, as shares of it."""
        lag_s = np.where(self._lag_s > 0, self._lag_s, 1.0)
        left = np.where(self._lag_s > 0, np.exp(-dt_s / lag_s), 0.0)
        return left, np.where(self._lag_s > 0, lag_s / dt_s * (1 - left), 0.0)

    def most_kw(self, base_kw: Floats) -> Floats:
        """What a droop may charge with at most, by its least injection; never less than without it."""
        return np.asarray(np.maximum(self._most_charging_kw, base_kw))

    def rises(self) -> Bools:
        """Which chargers may draw more by their droop than without it."""
        return (self.kw > 0) | (self.on & (self._over_hz < HIGHEST_HZ))

    def falls(self) -> Bools:
        """Which chargers may draw less by their droop than without it."""
        return (self.kw < 0) | (self.on & (self._under_hz > LOWEST_HZ))


class Dynamics:
    """Dead time, then a ramp, between the power that a charger is to have and the one it has.

    Two things pass through it side by side, shape [2, chargers]: the power, and what it would be without droop.
    `now_kw` is what comes out at this moment. A change comes out at the first step after its dead time.
    """

    def __init__(self, specs: Sequence[ChargerSpec]) -> None:
        """ValueError for a dead time below 0 or a ramp that does not rise."""
        for spec in specs:
            if not (0 <= spec.delay_s < np.inf and spec.ramp_kw_per_s > 0):
                raise ValueError(
                    f"charger {spec.charger_id}: a dead time of {spec.delay_s} s and a ramp of "
                    f"{spec.ramp_kw_per_s} kW/s cannot be"
                )
        delays = np.array([spec.delay_s for spec in specs], dtype=np.float64)
        self._ramp = np.array([spec.ramp_kw_per_s for spec in specs], dtype=np.float64)
        self.on: Bools = (delays > 0) | np.isfinite(self._ramp)
        self.any = bool(self.on.any())
        self.least_delay_s = float(delays[delays > 0].min(initial=np.inf))
        self._longest_s = float(delays.max(initial=0.0))
        self._groups = [(float(delay), np.flatnonzero(delays == delay)) for delay in np.unique(delays) if delay > 0]
        self.now_kw = np.zeros((2, len(specs)))
        self._times: list[float] = [-np.inf]
        self._targets: list[Floats] = [np.zeros((2, len(specs)))]

    def follow(self, at_s: float, dt_s: float, target_kw: Floats) -> Floats:
        """The mean of what comes out from `at_s` for `dt_s` seconds while `target_kw` goes in."""
        aim_kw = self._after_dead_time(at_s, target_kw)
        moved_kw = np.clip(aim_kw - self.now_kw, -self._ramp * dt_s, self._ramp * dt_s)
        self.now_kw = self.now_kw + moved_kw
        return np.asarray(self.now_kw - moved_kw * np.abs(moved_kw) / self._ramp / (2 * dt_s))

    def _after_dead_time(self, at_s: float, target_kw: Floats) -> Floats:
        if not self._groups:
            return target_kw
        self._times.append(at_s)
        self._targets.append(target_kw)
        aim_kw = target_kw.copy()
        for delay_s, which in self._groups:
            held = bisect_right(self._times, at_s - delay_s + A_MOMENT_S) - 1
            aim_kw[:, which] = self._targets[held][:, which]
        if len(self._times) > MOST_REMEMBERED:
            done = bisect_right(self._times, at_s - self._longest_s) - 1
            del self._times[:done], self._targets[:done]
        return aim_kw

    def pending(self, at_s: float, target_kw: Floats, possible_kw: Floats) -> Bools:
        """Which chargers are still on their way to `target_kw`, of which the vehicle takes `possible_kw`."""
        waits = np.abs(possible_kw - self.now_kw[0]) > NOTHING_KW
        for delay_s, which in self._groups:
            held = bisect_right(self._times, at_s - delay_s + A_MOMENT_S) - 1
            recent = np.array([kw[0, which] for kw in self._targets[held:]])
            waits[which] |= (np.abs(recent - target_kw[which]) > NOTHING_KW).any(axis=0)
        return np.asarray(waits & self.on)

    def rest(self, target_kw: Floats, kw: Floats) -> None:
        """Everything has come out; of `target_kw` flows `kw` (both shape [chargers])."""
        self.now_kw = np.stack([kw, kw])
        self._times, self._targets = [-np.inf], [np.stack([target_kw, target_kw])]

    def unplugged(self, charger: int) -> None:
        """The contactor opens: nothing flows, and nothing is on its way."""
        self.now_kw[:, charger] = 0.0
        self._targets = [kw.copy() for kw in self._targets]
        for kw in self._targets:
            kw[:, charger] = 0.0

    def cut(self, which: Bools, kw: Floats) -> None:
        """A ramp starts from what really flows."""
        self.now_kw[0, which] = kw[which]
