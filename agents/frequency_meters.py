"""The frequency meters of one portfolio: the main one, and its backup where there is a doubt (3.12)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.decisions.fcr_meters import MeterRules, MeterSelection, Reading, Selected
from agents.fcr_ports import FrequencyMeter, MeterError, MeterSample


class FrequencyMeters:
    """Reads as few meters as the selection allows, second by second, from `begin` on."""

    def __init__(self, meters: Sequence[FrequencyMeter], rules: MeterRules | None = None) -> None:
        self.meters = list(meters)
        self.rules = rules
        self.begin()

    def begin(self) -> None:
        """Forgets what was before."""
        self.selection = MeterSelection([meter.name for meter in self.meters], self.rules)

    async def second(self, at_s: float) -> tuple[MeterSample | None, Selected]:
        """The meter in use, and the other one where there is a doubt."""
        used = self.selection.in_use or 0
        samples = {used: await self._read(used)}
        readings = {used: _reading(samples[used])}
        if self.selection.doubts(at_s, readings[used]):
            other = 1 - used
            samples[other] = await self._read(other)
            readings[other] = _reading(samples[other])
        selected = self.selection.second(at_s, readings)
        return (None if selected.meter is None else samples.get(selected.meter)), selected

    async def between(self, at_s: float, last_hz: float) -> float | None:
        """The frequency to act on between two seconds, None where the next second must decide."""
        used = self.selection.in_use
        if used is None or (sample := await self._read(used)) is None:
            return None
        other_hz = None
        if self.selection.needs_other(sample.hz, last_hz) and len(self.meters) > 1:
            other = await self._read(1 - used)
            other_hz = None if other is None else other.hz
        return self.selection.between(at_s, sample.hz, last_hz, other_hz)

    async def _read(self, which: int) -> MeterSample | None:
        try:
            return await self.meters[which].read()
        except MeterError:
            return None


def _reading(sample: MeterSample | None) -> Reading | None:
    return None if sample is None else Reading(sample.hz, sample.at.timestamp())
