"""How a portfolio answers the frequency: its chargers' setpoints (CENTRAL), or their droop and the operating point
under it (LOCAL).

kW drawn from the grid; a change below 0 is upward activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from agents.decisions.fcr_dispatch import Band, Distribution
from agents.decisions.fcr_portfolio import Unit
from agents.decisions.fcr_products import FcrRules, beyond_kw, change_kw
from agents.frequency_chargers import Controller, PortfolioChargers
from agents.ports import DroopCurve
from protocols.exchanges.frequency_services import Control
from protocols.units import NOMINAL_HZ

OFFSET_EVERY_S = 10.0
OFFSET_STEP = 0.01
"""LOCAL: the operating point is moved at most so often for energy management, and only by more than this part of the
capacity."""
DROOP_RESPONSE_S = 0.0


class PortfolioResponse(PortfolioChargers):
    """`change_kw` is by how much all together change what they draw, `baseline_kw` what that is counted from.

    What a droop gives beyond full activation is taken back, second by second, by the operating point under it where the
    product has both directions (equation 24: its capacity and the power of energy management at most): for the second
    in which the frequency leaves the band, and where a setpoint would lie beyond the rating, more is given. FCR-D may
    go on linearly (section 3), up to the ratings.
    """

    def __init__(
        self, agent: Controller, rules: FcrRules, control: Control, *, lost_unit: Callable[[str, str], None]
    ) -> None:
        super().__init__(agent, rules, control, lost_unit=lost_unit)
        self.capacity_kw = 0.0
        self.baseline_kw = 0.0
        self.change_kw = 0.0
        self._distribution = Distribution([])
        self._turn_at = 0.0
        self._offset_kw, self._offset_at = 0.0, -math.inf
        self._taken_back_kw = 0.0
        self._p_min_kw, self._p_max_kw = 0.0, 0.0

    def _band(self, unit: Unit) -> Band:
        """What one unit may change, energy management included, and within its charger's limits."""
        return Band(
            unit.charger_id,
            min(unit.capacity_kw * self.rules.power_up, max(0.0, unit.baseline_kw - unit.least_kw)),
            min(unit.capacity_kw * self.rules.power_down, max(0.0, unit.most_kw - unit.baseline_kw)),
        )

    def _curve(self, unit: Unit) -> DroopCurve:
        """The droop that gives the unit's capacity at the product's full activation (model 711 knows no end of it)."""
        rules = self.rules
        rating = max(self.desk.ratings_kw[unit.charger_id])
        hz = rules.band_hz * rating / unit.capacity_kw
        return DroopCurve(
            deadband_over_hz=max(0.0, round(rules.zero_hz - NOMINAL_HZ, 6)),
            deadband_under_hz=max(0.0, round(NOMINAL_HZ - rules.zero_hz, 6)),
            over_hz=hz if rules.down else None,
            under_hz=hz if rules.up else None,
            response_s=DROOP_RESPONSE_S,
        )

    def _distribute(self, at_s: float, wanted_kw: float) -> None:
        if at_s >= self._turn_at:
            self._turn_at = at_s + 900
            self._distribution.turn()
        for charger_id, kw in self._distribution.second(at_s, wanted_kw).items():
            self._order(charger_id, self.units[charger_id].baseline_kw + kw, at_s)
            self._account_one(charger_id, kw, at_s)
        self.change_kw = self._distribution.sum_kw

    def _shift(self, at_s: float, wanted_kw: float, hz: float) -> None:
        """LOCAL: what energy management wants beyond the droop's own response is laid under it; what the droop gives
        too much is taken back at once."""
        own, beyond = change_kw(self.rules, self.capacity_kw, hz), beyond_kw(self.rules, self.capacity_kw, hz)
        taken_back = beyond if self.rules.up and self.rules.down else 0.0
        offset = wanted_kw - own - taken_back
        if abs(offset) < 1e-6:
            offset = 0.0
        apart = abs(offset - self._offset_kw)
        due = at_s - self._offset_at >= OFFSET_EVERY_S or taken_back != self._taken_back_kw
        self._taken_back_kw = taken_back
        if due and (apart > OFFSET_STEP * self.capacity_kw or (offset == 0.0 and self._offset_kw != 0.0)):
            self._write_offset(at_s, offset)
        self.change_kw = self._possible_kw(own + beyond + self._offset_kw)
        for charger_id, unit in self.units.items():
            self._account_one(charger_id, self.change_kw * unit.capacity_kw / self.capacity_kw, at_s)

    def _possible_kw(self, change_kw: float) -> float:
        """A change, as far as the ratings allow it."""
        return min(max(change_kw, self._p_min_kw - self.baseline_kw), self._p_max_kw - self.baseline_kw)

    def _write_offset(self, at_s: float, offset_kw: float) -> None:
        self._offset_kw, self._offset_at = offset_kw, at_s
        total = sum(unit.capacity_kw for unit in self.units.values()) or 1.0
        for charger_id, unit in self.units.items():
            kw = unit.baseline_kw + offset_kw * unit.capacity_kw / total
            self._order(charger_id, min(max(kw, unit.least_kw), unit.most_kw), at_s)
