"""What public stations draw, to the second: mean and highest power of each quarter hour, by charger and station.

Between two events (an order, a car that comes or goes, a power that gives way to the later one) a charging power never
grows, so the highest of such a stretch is the one it begins with. That is as strict as a meter of seconds: what lasts
for any time at all counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from environment.vehicles import Floats

QUARTER_S = 900.0
_A_MOMENT_S = 1e-6


class StationMeters:
    """Meters of stations (`stations`: the ids of each one's chargers, in `chargers`) for so many quarter hours.

    Set `passed` as `environment.charging.Charging.flowed`. kW, drawn is positive. What is beyond the last quarter hour
    is not counted.
    """

    def __init__(self, stations: Mapping[str, Sequence[str]], chargers: Sequence[str], quarters: int) -> None:
        position = {charger: number for number, charger in enumerate(chargers)}
        self.index: dict[str, int] = {station: number for number, station in enumerate(stations)}
        self._member: npt.NDArray[np.float64] = np.zeros((len(chargers), len(stations)))
        for number, members in enumerate(stations.values()):
            for charger in members:
                self._member[position[charger], number] = 1.0
        self.charger_kw: Floats = np.zeros((quarters, len(chargers)))
        """[quarters, chargers]: means; of the quarter hour that is running, what it has until now."""
        self.highest_kw: Floats = np.zeros((quarters, len(stations)))
        """[quarters, stations]."""

    def passed(self, at_s: float, dt_s: float, first_kw: Floats, mean_kw: Floats) -> None:
        """From `at_s` for `dt_s` seconds the chargers drew `mean_kw`, at first `first_kw`, both [chargers]."""
        end_s = at_s + dt_s
        highest_kw = first_kw @ self._member
        row = int((at_s + _A_MOMENT_S) // QUARTER_S)
        while row < len(self.charger_kw) and row * QUARTER_S < end_s - _A_MOMENT_S:
            part_s = min(end_s, (row + 1) * QUARTER_S) - max(at_s, row * QUARTER_S)
            self.charger_kw[row] += mean_kw * part_s / QUARTER_S
            self.highest_kw[row] = np.maximum(self.highest_kw[row], highest_kw)
            row += 1

    def station_kw(self, rows: slice) -> Floats:
        """Means, [quarters, stations]."""
        return self.charger_kw[rows] @ self._member
