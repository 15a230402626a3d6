"""Energy management of limited reservoirs: in the normal state (NEM) and the alert state (AEM), and the endurance.

Nordic technical requirements 3.5: table 11 and equations 14 to 23, 27 and 28. States of charge are shares (0 to 1) of
the part of the batteries that is kept for the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from agents.decisions.fcr_products import FcrRules

_WINDOW = 300
"""Seconds of the rolling means of equations 15 and 18."""
_MICRO = 1e6
_DAY_MINUTES = 1440.0


@dataclass(frozen=True)
class Reservoir:
    """The energy that a product can use, from empty to full, and the capacity that it serves."""

    energy_kwh: float
    capacity_kw: float

    def __post_init__(self) -> None:
        if self.energy_kwh <= 0 or self.capacity_kw <= 0:
            raise ValueError("energy_kwh and capacity_kw must be above 0")

    def minutes(self, soc: float) -> float:
        """How long `soc` lasts at full activation."""
        return 60 * soc * self.energy_kwh / self.capacity_kw

    def soc_of(self, minutes: float) -> float:
        """The share that `minutes` of full activation are, at most 1."""
        return min(1.0, minutes * self.capacity_kw / 60 / self.energy_kwh)


class EnergyState(NamedTuple):
    """What energy management does now.

    `nem` is NEM_current of equation 15 (-1 fully charges, 1 fully discharges); `nem_on` says that NEM_allowed of
    equation 14 is not 0, which leads `nem` by up to 5 minutes; `reference_hz` is that of equation 18; `nem_kw` the
    change of what is drawn (equations 16 and 17).
    """

    nem: float
    nem_on: bool
    aem_on: bool
    reference_hz: float
    nem_kw: float


class EnergyManager:
    """NEM and AEM of one reservoir, stepped once a second."""

    def __init__(self, rules: FcrRules, reservoir: Reservoir) -> None:
        self._rules = rules
        self._reservoir = reservoir
        limits = rules.thresholds
        self._low_on = self._low_off = self._low_aem_on = self._low_aem_off = -inf
        self._high_on = self._high_off = self._high_aem_on = self._high_aem_off = inf
        if limits is not None and rules.up:
            self._low_on, self._low_off = (reservoir.soc_of(m) for m in (limits.nem_enable, limits.nem_disable))
            self._low_aem_on, self._low_aem_off = (reservoir.soc_of(m) for m in (limits.aem_enable, limits.aem_disable))
        if limits is not None and rules.down:
            self._high_on, self._high_off = (1 - reservoir.soc_of(m) for m in (limits.nem_enable, limits.nem_disable))
            self._high_aem_on, self._high_aem_off = (
                1 - reservoir.soc_of(m) for m in (limits.aem_enable, limits.aem_disable)
            )
        self._from_hz, self._to_hz = rules.normal_hz
        self._zero_hz = rules.zero_hz
        self._lowest_hz = rules.zero_hz - (rules.band_hz if rules.down else inf)
        self._highest_hz = rules.zero_hz + (rules.band_hz if rules.up else inf)
        if not rules.down:
            self._highest_hz = rules.zero_hz
        if not rules.up:
            self._lowest_hz = rules.zero_hz
        self._nem_power_kw = (rules.nem_share or 0.0) * reservoir.capacity_kw
        # NEM_allowed and the shift of f_AEM in micro-hertz: whole numbers, so that sums never drift
        self._nems = [0] * _WINDOW
        self._shifts = [0] * _WINDOW
        self._nem_sum = self._shift_sum = self._at = 0
        self._busy = 0
        self._allowed = self._shift = 0
        self._low_aem = self._high_aem = False
        self._idle = EnergyState(0.0, False, False, rules.zero_hz, 0.0)

    def second(self, hz: float, soc: float, seconds: int = 1) -> EnergyState:
        """The state after `seconds` more, in which what held before went on, at `hz` and `soc` of now.

        Raises ValueError for a `soc` that is no share.
        """
        if not -0.01 <= soc <= 1.01:
            raise ValueError(f"a state of charge is a share from 0 to 1: {soc}")
        if self._allowed or self._shift:
            self._busy = _WINDOW + seconds
        if self._busy:
            self._advance(seconds)
        allowed = self._decide_nem(hz, soc)
        aem = self._decide_aem(soc)
        self._allowed = allowed
        self._shift = 0
        if aem:
            seen = min(max(hz, self._lowest_hz), self._highest_hz)
            self._shift = round((seen - self._zero_hz) * _MICRO)
        elif not allowed and not self._busy:
            return self._idle
        nem = self._nem_sum / _WINDOW
        reference = self._zero_hz + self._shift_sum / _WINDOW / _MICRO
        return EnergyState(nem, allowed != 0, aem, reference, 0.0 - self._nem_power_kw * nem)

    def endurance_minutes(self, soc: float, baseline_kw: float = 0.0) -> float:
        """How long full activation can last from `soc` on, with `baseline_kw` drawn besides (equations 27 and 28).

        The least of the product's directions, 0 in alert state energy management there, and a day at most.
        """
        rules, reservoir = self._rules, self._reservoir
        upwards = downwards = _DAY_MINUTES
        if rules.up:
            upwards = 0.0 if self._low_aem else _lasts(soc * reservoir.energy_kwh, reservoir.capacity_kw - baseline_kw)
        if rules.down:
            room = (1 - soc) * reservoir.energy_kwh
            downwards = 0.0 if self._high_aem else _lasts(room, reservoir.capacity_kw + baseline_kw)
        return min(upwards, downwards)

    def _advance(self, seconds: int) -> None:
        nems, shifts, at = self._nems, self._shifts, self._at
        allowed, shift = self._allowed, self._shift
        for _ in range(min(seconds, _WINDOW)):
            self._nem_sum += allowed - nems[at]
            self._shift_sum += shift - shifts[at]
            nems[at] = allowed
            shifts[at] = shift
            at = at + 1 if at + 1 < _WINDOW else 0
        self._at = at
        self._busy = max(self._busy - seconds, 0)

    def _decide_nem(self, hz: float, soc: float) -> int:
        """NEM_allowed of equation 14; leaving the normal band ends it, so that it must be enabled anew."""
        if not self._from_hz < hz < self._to_hz:
            return 0
        if soc < self._low_on or (self._allowed < 0 and soc < self._low_off):
            return -1
        if soc > self._high_on or (self._allowed > 0 and soc > self._high_off):
            return 1
        return 0

    def _decide_aem(self, soc: float) -> bool:
        self._low_aem = soc < (self._low_aem_off if self._low_aem else self._low_aem_on)
        self._high_aem = soc > (self._high_aem_off if self._high_aem else self._high_aem_on)
        return self._low_aem or self._high_aem


def _lasts(energy_kwh: float, power_kw: float) -> float:
    """Minutes; where the baseline refills faster than activation empties, it lasts."""
    if power_kw <= 0:
        return _DAY_MINUTES
    return min(max(energy_kwh, 0.0) / power_kw * 60, _DAY_MINUTES)
