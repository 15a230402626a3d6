"""What public stations draw, to the second: mean and highest power of each quarter hour, by charger and station; and
the means of the last days' minutes.

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
MINUTES = 15
KEPT_QUARTERS = 3 * 96
"""How long a meter has its minutes, quarter hours."""
_MINUTE_S = 60.0
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
        self._minutes: dict[int, Floats] = {}
        """By quarter hour in which something was drawn: [minutes, chargers], means."""

    def passed(self, at_s: float, dt_s: float, first_kw: Floats, mean_kw: Floats) -> None:
        """From `at_s` for `dt_s` seconds the chargers drew `mean_kw`, at first `first_kw`, both [chargers]."""
        end_s = at_s + dt_s
        highest_kw = first_kw @ self._member
        row = int((at_s + _A_MOMENT_S) // QUARTER_S)
        while row < len(self.charger_kw) and row * QUARTER_S < end_s - _A_MOMENT_S:
            part_s = min(end_s, (row + 1) * QUARTER_S) - max(at_s, row * QUARTER_S)
            self.charger_kw[row] += mean_kw * part_s / QUARTER_S
            self.highest_kw[row] = np.maximum(self.highest_kw[row], highest_kw)
            if mean_kw.any():
                self._count(row, at_s - row * QUARTER_S, end_s - row * QUARTER_S, mean_kw)
            row += 1

    def _count(self, row: int, from_s: float, to_s: float, mean_kw: Floats) -> None:
        """The minutes of the quarter hour `row`, in which `mean_kw` flows from and to these seconds of it."""
        if row not in self._minutes:
            self._minutes[row] = np.zeros((MINUTES, len(mean_kw)))
            for old in [each for each in self._minutes if each < row - KEPT_QUARTERS]:
                del self._minutes[old]
        begins_s = np.arange(MINUTES) * _MINUTE_S
        parts_s = (np.minimum(to_s, begins_s + _MINUTE_S) - np.maximum(from_s, begins_s)).clip(0.0)
        self._minutes[row] += parts_s[:, None] / _MINUTE_S * mean_kw

    def minute_kw(self, rows: slice) -> Floats:
        """Means of the minutes of these quarter hours, [minutes, chargers]. Raises LookupError for older ones than
        `KEPT_QUARTERS` before the last in which something was drawn."""
        if rows.start < max(self._minutes, default=0) - KEPT_QUARTERS:
            raise LookupError("the meters have no minutes of so long ago")
        nothing = np.zeros((MINUTES, self.charger_kw.shape[1]))
        return np.concatenate([self._minutes.get(row, nothing) for row in range(rows.start, rows.stop)])

    def minutes_of(self, station: str, rows: slice) -> Floats:
        """`minute_kw` of one station together, [minutes]."""
        found: Floats = self.minute_kw(rows) @ self._member[:, self.index[station]]
        return found

    def station_kw(self, rows: slice) -> Floats:
        """Means, [quarters, stations]."""
        return self.charger_kw[rows] @ self._member
