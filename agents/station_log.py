"""What an operator knows of its chargers' energy registers: readings, and the energy between any two times."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from agents.periods import QUARTER, quarters

HOURS = 0.25


class StationLog:
    """Register readings by charger, kWh drawn since it was built, and the times at which one did not answer.

    Between two readings the power is taken to be even: chargers are read at every quarter of an hour of a session, and
    draw nothing between sessions. Before the first and after the last reading nothing is drawn.
    """

    def __init__(self) -> None:
        self._times: dict[str, list[datetime]] = {}
        self._registers: dict[str, list[float]] = {}
        self._silences: dict[str, list[datetime]] = {}

    def note(self, charger_id: str, at: datetime, meter_kwh: float) -> None:
        """A reading; of two at one time the later counts."""
        times, registers = self._times.setdefault(charger_id, []), self._registers.setdefault(charger_id, [])
        if times and times[-1] == at:
            registers[-1] = meter_kwh
        else:
            times.append(at)
            registers.append(meter_kwh)

    def note_silence(self, charger_id: str, at: datetime) -> None:
        """A charger that should have been read did not answer."""
        self._silences.setdefault(charger_id, []).append(at)

    def last_kwh(self, charger_id: str) -> float | None:
        """The register as last read, None where it never was."""
        registers = self._registers.get(charger_id)
        return registers[-1] if registers else None

    def complete(self, chargers: Sequence[str], start: datetime, end: datetime) -> bool:
        """Whether every one of these chargers answered whenever it was read in that time."""
        return not any(start <= at <= end for c in chargers for at in self._silences.get(c, ()))

    def kwh(self, charger_id: str, start: datetime, end: datetime) -> float:
        """What a charger drew from `start` to `end`."""
        return max(0.0, self._register(charger_id, end) - self._register(charger_id, start))

    def mean_kw(self, chargers: Sequence[str], start: datetime, end: datetime) -> tuple[float, ...]:
        """What these chargers drew together, one mean for each quarter of an hour."""
        times = [start + k * QUARTER for k in range(quarters(start, end))]
        return tuple(sum(self.kwh(c, at, at + QUARTER) for c in chargers) / HOURS for at in times)

    def _register(self, charger_id: str, at: datetime) -> float:
        times, registers = self._times.get(charger_id), self._registers.get(charger_id)
        if not times or not registers:
            return 0.0
        after = bisect_right(times, at)
        if after == 0:
            return registers[0]
        if after == len(times):
            return registers[-1]
        part = (at - times[after - 1]) / (times[after] - times[after - 1])
        return registers[after - 1] + part * (registers[after] - registers[after - 1])
