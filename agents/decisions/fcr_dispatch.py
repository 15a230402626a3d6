"""One controller for many vehicles: who bears how much of the response in this second.

In ordinary noise vehicle after vehicle is filled, in an order that turns, so that from one second to the next only the
one at the margin gets another setpoint and the others' batteries rest. In a disturbance all bear their part at once,
because the chargers' ramps are then what counts (technical requirements 3.11: the portfolio as a whole must respond).

Changes in kW of what is drawn: below 0 is upward activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

DISTURBED_SHARE = 0.5
"""From this part of what the portfolio can do on, or a change of half of that in a second, all bear their part."""
CALM_S = 60.0
"""So long after the last such second the vehicles are filled one after the other again."""
RESOLUTION_KW = 0.05
"""Nothing is written while the sum is off by no more: the step of what a charger is set to."""
_SAME_KW = 1e-3


@dataclass(frozen=True, slots=True)
class Band:
    """What one vehicle may change: `down_kw` >= 0 more, `up_kw` >= 0 less than its baseline."""

    charger_id: str
    up_kw: float
    down_kw: float


def fill(change_kw: float, bands: Sequence[Band]) -> list[float]:
    """One after the other, each as far as it can; what all together cannot do is left out."""
    changes = []
    left = change_kw
    for band in bands:
        part = min(max(left, -band.up_kw), band.down_kw)
        changes.append(part)
        left -= part
    return changes


def share(change_kw: float, bands: Sequence[Band]) -> list[float]:
    """All in proportion to what they can."""
    if change_kw <= 0:
        total = sum(band.up_kw for band in bands)
        part = 0.0 if total <= 0 else max(-1.0, change_kw / total)
        return [part * band.up_kw for band in bands]
    total = sum(band.down_kw for band in bands)
    part = 0.0 if total <= 0 else min(1.0, change_kw / total)
    return [part * band.down_kw for band in bands]


class Distribution:
    """The changes that were last ordered, and those to be ordered now. `turn` moves the order on by one vehicle."""

    def __init__(self, bands: Sequence[Band]) -> None:
        self.changes_kw: dict[str, float] = {}
        self._sum = 0.0
        self._wanted = 0.0
        self._disturbed_until = float("-inf")
        self.set_bands(bands)

    def set_bands(self, bands: Sequence[Band]) -> None:
        """Other vehicles from now on; one that stays keeps what it was last ordered until the next second."""
        self.bands = tuple(bands)
        self.changes_kw = {band.charger_id: self.changes_kw.get(band.charger_id, 0.0) for band in self.bands}
        self._sum = sum(self.changes_kw.values())
        self._up_kw = sum(band.up_kw for band in self.bands)
        self._down_kw = sum(band.down_kw for band in self.bands)

    def turn(self) -> None:
        """The next vehicle is the first to be filled, so that in the long run all bear alike."""
        self.bands = (*self.bands[1:], *self.bands[:1])

    @property
    def sum_kw(self) -> float:
        """The change that is ordered at present."""
        return self._sum

    def second(self, at_s: float, change_kw: float) -> dict[str, float]:
        """The new changes, of the chargers that must be written; empty while nothing is off by the resolution."""
        change_kw = min(max(change_kw, -self._up_kw), self._down_kw)
        limit = max(self._up_kw if change_kw < 0 else self._down_kw, 1e-9)
        if abs(change_kw) > DISTURBED_SHARE * limit or abs(change_kw - self._wanted) > DISTURBED_SHARE / 2 * limit:
            self._disturbed_until = at_s + CALM_S
        self._wanted = change_kw
        if abs(change_kw - self._sum) <= RESOLUTION_KW:
            return {}
        parts = share(change_kw, self.bands) if at_s < self._disturbed_until else fill(change_kw, self.bands)
        written = {}
        for band, part in zip(self.bands, parts, strict=True):
            if abs(part - self.changes_kw[band.charger_id]) > _SAME_KW:
                written[band.charger_id] = part
        self.changes_kw.update(written)
        self._sum = sum(self.changes_kw.values())
        return written
