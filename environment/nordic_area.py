"""The frequency of a synchronous area like the Nordic one, in tenths of a second, with vehicles in the loop.

    M df/dt = P_N + P_up - P_down - D f + noise - trips - fleet        M = 2 E / f0, D = K_f S_n
    FCR-N    x' = (u - x) / T2,  P_N = C_N / 0.1 Hz (T1/T2 u + (1 - T1/T2) x),    u = -f cut at 0.1 Hz
    FCR-D    P' = (target - P) / T_D,  target from 0 at 0.1 Hz to C_D at 0.5 Hz, for each direction

f is the deviation from 50 Hz; MW, Hz, s. `docs/frequency.md` has the numbers, their sources and what is assumed. A
recorded frequency can stand in the model's place; then nobody's response moves it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from agents.grid_view import Floats
from environment.frequency import FrequencyError, FrequencyFile, Incident
from protocols.units import NOMINAL_HZ

SECOND_S: Final = 1.0
STEP_S: Final = 0.1
FCR_N_BAND_HZ: Final = 0.1
"""FCR-N is fully activated here, and FCR-D begins (technical requirements, Table 1)."""
FCR_D_BAND_HZ: Final = 0.4
"""From there to FCR-D's full activation (same table)."""
_FAST_HZ_PER_S: Final = 0.04  # what the chargers are told tenths of a second for
_BRISK_HZ_PER_S: Final = 0.02  # and fifths
_CALM_AFTER_S: Final = 10.0  # how long the finer steps go on once it is slower
_NOTHING_MW: Final = 1e-3  # a reserve that has less left is at rest
_SAME_S: Final = 1e-6
_BLOCK_S: Final = 3600  # of noise, at a time


@dataclass(frozen=True, slots=True)
class NordicSpec:
    """The numbers of the area. Defaults: Technical Requirements for FCR in the Nordic Synchronous Area v1.1, Table 7,
    the performance level, where nothing else is said; reserves are those of all providers but the run's vehicles.

    `lead_s`, `lag_s`: T1 and T2 of hydro's governors. `noise_s`: how long fast and slow imbalances last;
    `ordinary_deviation_hz`: the standard deviation of a day without trips; `slow_share`: of its variance, by the slow.
    """

    kinetic_energy_mws: float = 190_000.0
    load_mw: float = 42_000.0  # S_n of Table 7
    load_damping_per_hz: float = 0.01  # K_f of Table 7
    fcr_n_mw: float = 600.0
    fcr_d_up_mw: float = 1_450.0
    fcr_d_down_mw: float = 1_450.0
    lead_s: float = 12.0  # K T of a PI governor with K = 0.2, T = 60 s: 5.1.1, Table 17
    lag_s: float = 72.0  # (K + 1) T: same place
    fcr_d_s: float = 3.0  # the slowest first order that gives 86 % in 7.5 s: requirement 2 of 3.1.2
    ordinary_deviation_hz: float = 0.042  # assumption, from 13 090 minutes of 2019 beyond 100 mHz: docs/frequency.md
    noise_s: tuple[float, float] = (70.0, 900.0)  # 70 s: the disturbance profile of requirement 9; 900 s: assumption
    slow_share: float = 0.5  # assumption

    @property
    def inertia_mw_s_per_hz(self) -> float:
        """M: the power that changes the frequency by 1 Hz in a second."""
        return 2 * self.kinetic_energy_mws / NOMINAL_HZ

    @property
    def damping_mw_per_hz(self) -> float:
        """D: what the load gives back for each Hz."""
        return self.load_damping_per_hz * self.load_mw

    def steady_deviation_hz(self, imbalance_mw: float) -> float:
        """Where a lasting imbalance (generation minus load) leaves the frequency once the reserves have settled."""
        size, damping = abs(imbalance_mw), self.damping_mw_per_hz
        fcr_d_mw = self.fcr_d_up_mw if imbalance_mw < 0 else self.fcr_d_down_mw
        at_n = FCR_N_BAND_HZ * damping + self.fcr_n_mw
        full_hz = FCR_N_BAND_HZ + FCR_D_BAND_HZ
        if not size:
            return 0.0
        if size <= at_n:
            deviation = FCR_N_BAND_HZ * size / at_n
        elif size <= full_hz * damping + self.fcr_n_mw + fcr_d_mw:
            deviation = FCR_N_BAND_HZ + (size - at_n) / (damping + fcr_d_mw / FCR_D_BAND_HZ)
        else:
            beyond = size - self.fcr_n_mw - fcr_d_mw
            deviation = beyond / damping if damping else math.inf
        return math.copysign(deviation, imbalance_mw)

    def noise_mw(self) -> tuple[float, float]:
        """Standard deviations of the fast and the slow imbalance that give the ordinary day's frequency, by the linear
        equations (FCR-N within its band)."""
        omega = np.geomspace(1e-6, 1e2, 4001)
        s = 1j * omega
        governor = self.fcr_n_mw / FCR_N_BAND_HZ * (1 + self.lead_s * s) / (1 + self.lag_s * s)
        gain = np.abs(1 / (self.inertia_mw_s_per_hz * s + self.damping_mw_per_hz + governor)) ** 2
        shares = (1 - self.slow_share, self.slow_share)
        sizes: list[float] = []
        for lasts_s, share in zip(self.noise_s, shares, strict=True):
            density = gain * 2 * lasts_s / (1 + (omega * lasts_s) ** 2) / math.pi
            hz2_of_one_mw = float(np.sum((density[1:] + density[:-1]) / 2 * np.diff(omega)))
            sizes.append(self.ordinary_deviation_hz * math.sqrt(share / hz2_of_one_mw))
        return sizes[0], sizes[1]


class NordicArea:
    """The frequency as far as it is known. Times `at_s` are seconds since `start`.

    It is a `FrequencySource`, and the `FrequencyFeed` of chargers: they ask `step_s` and `hz`, and tell by `took` what
    they did. From the first of these calls on, or from `fed_by`, time goes on only by them; before, whoever looks
    makes it go on, and no fleet responds. The noise depends on `rng` alone, not on steps or on what the fleet does.
    """

    def __init__(
        self,
        spec: NordicSpec,
        start: datetime,
        rng: np.random.Generator | None = None,
        events: Sequence[Incident] = (),
        recorded: FrequencyFile | None = None,
        *,
        represents: float = 1.0,
    ) -> None:
        """`start`: aware. `rng`: from the run's seed; without it there is no noise. `events`: generation lost > 0 MW,
        load lost < 0 (a load step is a loss of as much generation). `represents`: how many vehicles each of the
        chargers stands for. Raises FrequencyError where events are to happen in a recorded frequency."""
        if recorded is not None and events:
            raise FrequencyError(f"{recorded.name}: a recorded frequency has its own events; leave out the others")
        self.spec, self.start, self.represents = spec, start.astimezone(UTC), represents
        self.events = tuple(sorted(events, key=lambda event: event.at))
        self._recorded = recorded
        self._fed = False
        self._advance: Callable[[], None] | None = None
        self._now_s = 0.0
        self._fleet_mw = 0.0  # what the chargers drew more when they last told
        self._fine_until_s = -1.0
        self._losses = [
            (
                (event.at.astimezone(UTC) - self.start).total_seconds(),
                event.lost_mw,
                event.replaced_after.total_seconds(),
            )
            for event in self.events
        ]
        self._rng = rng
        self._noise: list[float] = []  # MW, of each second
        self._size_mw = (0.0, 0.0) if rng is None else spec.noise_mw()
        self._wander_mw = (0.0, 0.0) if rng is None else self._first_wander(rng)
        # The day begins as if its first imbalance had lasted.
        self._f = f = spec.steady_deviation_hz(sum(self._wander_mw))  # deviation, Hz
        self._x = min(FCR_N_BAND_HZ, max(-FCR_N_BAND_HZ, -f))  # the governors' state, Hz
        beyond = min(1.0, max(0.0, (abs(f) - FCR_N_BAND_HZ) / FCR_D_BAND_HZ))
        self._up = beyond * spec.fcr_d_up_mw if f < 0 else 0.0
        self._down = beyond * spec.fcr_d_down_mw if f > 0 else 0.0
        self._hz = [NOMINAL_HZ + f]  # at the start of each second that has begun
        self._step_for(STEP_S)

    # For whoever looks ------------------------------------------------------------------------------------------

    def at(self, instant: datetime) -> float:
        """Hz at an instant: now what it is now, in the past at the start of its second. Raises FrequencyError before
        the start, and where a fleet feeds this and has not come so far."""
        at_s = (instant.astimezone(UTC) - self.start).total_seconds()
        if at_s < 0:
            raise FrequencyError(f"frequency: {instant.isoformat()} lies before the start of the run")
        if self._recorded is not None:
            return self._recorded.at(instant)
        self._reach(at_s, instant)
        return NOMINAL_HZ + self._f if at_s >= self._now_s - _SAME_S else self._hz[int(at_s + _SAME_S)]

    def series(self, start: datetime, seconds: int) -> Floats:
        """Hz at the start of each second from `start` on, all of them past. Raises FrequencyError as `at` does."""
        first_s = (start.astimezone(UTC) - self.start).total_seconds()
        if first_s < 0:
            raise FrequencyError(f"frequency: {start.isoformat()} lies before the start of the run")
        if self._recorded is not None:
            return np.array([self._recorded.at(start + timedelta(seconds=n)) for n in range(seconds)])
        last_s = int(first_s) + seconds - 1
        self._reach(float(last_s), start + timedelta(seconds=seconds - 1))
        if last_s >= len(self._hz):
            raise FrequencyError(f"frequency: {seconds} s from {start.isoformat()} on are not past yet")
        return np.array(self._hz[int(first_s) : last_s + 1])

    def fed_by(self, advance: Callable[[], None]) -> None:
        """From now on time goes on by the chargers alone; `advance` makes them catch up with the run's clock."""
        self._fed, self._advance = True, advance

    # For the chargers (FrequencyFeed) ---------------------------------------------------------------------------

    def step_s(self, at_s: float) -> float:
        """How finely to go on from `at_s`: 1.0 s, or while the frequency moves fast, and in a second in which a trip
        is to come, tenths or fifths."""
        if self._recorded is not None:
            return SECOND_S
        self._fed = True
        self._go_on(at_s, 0.0)
        moves = abs(self._moves_hz_per_s(at_s))
        if moves > _BRISK_HZ_PER_S:
            self._fine_until_s = at_s + _CALM_AFTER_S
        whole_s = math.floor(at_s + _SAME_S) + SECOND_S
        if moves > _FAST_HZ_PER_S or any(at_s + _SAME_S < begins_s < whole_s for begins_s, _, _ in self._losses):
            return STEP_S
        return 2 * STEP_S if at_s < self._fine_until_s else SECOND_S

    def hz(self, at_s: float) -> float:
        """The frequency at `at_s`; time that nobody told of passes without a response of the chargers."""
        if self._recorded is not None:
            return self._recorded.at(self.start + timedelta(seconds=at_s))
        self._fed = True
        self._go_on(at_s, 0.0)
        return NOMINAL_HZ + self._f if at_s >= self._now_s - _SAME_S else self._hz[int(at_s + _SAME_S)]

    def took(self, at_s: float, dt_s: float, response_kw: float) -> None:
        """The chargers drew `response_kw` more than without frequency control (less: < 0) for `dt_s` from `at_s` on.
        Raises ValueError for time that is past already."""
        if self._recorded is not None:
            return
        if at_s < self._now_s - _SAME_S:
            raise ValueError(f"{at_s} s is past already, the area is at {self._now_s} s")
        self._fed = True
        self._go_on(at_s, 0.0)
        self._fleet_mw = float(response_kw) * self.represents / 1000
        self._go_on(at_s + dt_s, self._fleet_mw)

    # The equations ----------------------------------------------------------------------------------------------

    def _reach(self, at_s: float, instant: datetime) -> None:
        """Makes `at_s` known: by the equations, or where a fleet feeds them by its own catching up."""
        if at_s <= self._now_s + _SAME_S:
            return
        if not self._fed:
            # Whole seconds, so that it does not matter how often somebody looks.
            self._go_on(float(math.ceil(at_s - _SAME_S)), 0.0)
            return
        if self._advance is not None:
            self._advance()
        if at_s >= self._now_s + 1:
            raise FrequencyError(f"frequency: the chargers have not come as far as {instant.isoformat()}")

    def _go_on(self, to_s: float, fleet_mw: float) -> None:
        """From now to `to_s`, in pieces that end with each second and at each trip."""
        while self._now_s < to_s - _SAME_S:
            second = int(self._now_s + _SAME_S)
            end_s = min(to_s, second + 1.0)
            for begins_s, _, _ in self._losses:
                if self._now_s + _SAME_S < begins_s < end_s - _SAME_S:
                    end_s = begins_s
            length_s = end_s - self._now_s
            steps = max(1, math.ceil(length_s / STEP_S - _SAME_S))
            middle_s = self._now_s + length_s / 2
            self._steps(steps, length_s / steps, self._noise_at(second) - self._lost_mw(middle_s) - fleet_mw)
            if second + 1 - end_s < _SAME_S:
                end_s = second + 1.0
                self._hz.append(NOMINAL_HZ + self._f)
            self._now_s = end_s

    def _steps(self, steps: int, step_s: float, balance_mw: float) -> None:
        """Reserves and frequency leapfrog: each is solved exactly over a step in which the other is held."""
        if abs(step_s - self._step) > _SAME_S:
            self._step_for(step_s)
        spec = self.spec
        f, x, up, down = self._f, self._x, self._up, self._down
        stays, per_mw, governor, fcr_d = self._stays, self._per_mw, self._governor, self._fcr_d
        now = spec.fcr_n_mw / FCR_N_BAND_HZ * spec.lead_s / spec.lag_s
        later = spec.fcr_n_mw / FCR_N_BAND_HZ - now
        for _ in range(steps):
            u = -f if -FCR_N_BAND_HZ <= f <= FCR_N_BAND_HZ else math.copysign(FCR_N_BAND_HZ, -f)
            x += governor * (u - x)
            mw = balance_mw + now * u + later * x
            if f < -FCR_N_BAND_HZ or up:
                share = min(1.0, max(0.0, (-f - FCR_N_BAND_HZ) / FCR_D_BAND_HZ))
                up += fcr_d * (share * spec.fcr_d_up_mw - up)
                up = up if up > _NOTHING_MW else 0.0
                mw += up
            if f > FCR_N_BAND_HZ or down:
                share = min(1.0, max(0.0, (f - FCR_N_BAND_HZ) / FCR_D_BAND_HZ))
                down += fcr_d * (share * spec.fcr_d_down_mw - down)
                down = down if down > _NOTHING_MW else 0.0
                mw -= down
            f = stays * f + per_mw * mw
        self._f, self._x, self._up, self._down = f, x, up, down

    def _step_for(self, step_s: float) -> None:
        """The factors of a step of this length."""
        inertia, damping = self.spec.inertia_mw_s_per_hz, self.spec.damping_mw_per_hz
        self._step = step_s
        self._stays = math.exp(-damping * step_s / inertia)
        self._per_mw = (1 - self._stays) / damping if damping else step_s / inertia
        self._governor = -math.expm1(-step_s / self.spec.lag_s)
        self._fcr_d = -math.expm1(-step_s / self.spec.fcr_d_s)

    def _fcr_n_mw(self) -> float:
        u = min(FCR_N_BAND_HZ, max(-FCR_N_BAND_HZ, -self._f))
        lead = self.spec.lead_s / self.spec.lag_s
        return self.spec.fcr_n_mw / FCR_N_BAND_HZ * (lead * u + (1 - lead) * self._x)

    def _moves_hz_per_s(self, at_s: float) -> float:
        """How fast the frequency moves at `at_s` (now), with the chargers' response as they last told it."""
        given = self._fcr_n_mw() + self._up - self._down - self.spec.damping_mw_per_hz * self._f - self._fleet_mw
        return (given + self._noise_at(int(at_s + _SAME_S)) - self._lost_mw(at_s)) / self.spec.inertia_mw_s_per_hz

    def _lost_mw(self, at_s: float) -> float:
        """What the trips take at `at_s`: replaced evenly by manual reserves."""
        return sum(
            lost_mw * (1 - (at_s - begins_s) / replaced_s)
            for begins_s, lost_mw, replaced_s in self._losses
            if -_SAME_S <= at_s - begins_s < replaced_s
        )

    def _first_wander(self, rng: np.random.Generator) -> tuple[float, float]:
        fast, slow = rng.standard_normal(2)
        return self._size_mw[0] * float(fast), self._size_mw[1] * float(slow)

    def _noise_at(self, second: int) -> float:
        """The imbalance (MW, generation minus load) of a second: two that wander around zero, held for the second."""
        if self._rng is None:
            return 0.0
        while second >= len(self._noise):
            fast, slow = self._wander_mw
            stay = [math.exp(-1 / lasts_s) for lasts_s in self.spec.noise_s]
            kick = [size * math.sqrt(1 - keep**2) for size, keep in zip(self._size_mw, stay, strict=True)]
            for first, other in self._rng.standard_normal((_BLOCK_S, 2)).tolist():
                self._noise.append(fast + slow)
                fast, slow = stay[0] * fast + kick[0] * first, stay[1] * slow + kick[1] * other
            self._wander_mw = fast, slow
        return self._noise[second]
