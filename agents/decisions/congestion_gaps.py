"""By how much meters and schedules differ: what a DSO of BUC 3 learns from its looks at both (D5.1 3.3, 3.x.5).

kW, positive where the meters show more than is told. One look's gap may be a vehicle that has just left, so that only
what two looks have found on the same side is a lasting one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

LOOKS = 2
"""So many looks make a gap a lasting one."""


@dataclass(slots=True)
class Gap:
    """By how much the meters exceed the schedules, at the last look and at the one before."""

    last: float = 0.0
    before: float = 0.0

    @property
    def lasting(self) -> float:
        """The smaller of the two where both lie on one side, else 0."""
        if self.last * self.before <= 0:
            return 0.0
        return min(self.last, self.before, key=abs)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the meters have lately shown of a manager: `gap_kw` beside its schedule, of at most `told_kw` (a magnitude)
    that it had told."""

    gap_kw: float = 0.0
    told_kw: float = 0.0

    def is_believed(self, tolerance_kw: float, tolerance_part: float) -> bool:
        """Whether it draws what it tells, but for a tolerance; who draws more overstates nothing."""
        return -self.gap_kw <= max(tolerance_kw, tolerance_part * self.told_kw)


class ManagerGaps:
    """The last looks at each manager: what it had told and what its own meters showed, by bus. A look at which its
    meters were silent, or nothing was told, teaches nothing, and the looks before it go on to count."""

    def __init__(self) -> None:
        self._looks: defaultdict[str, deque[Mapping[str, tuple[float, float]]]] = defaultdict(
            lambda: deque(maxlen=LOOKS)
        )

    def learn(self, manager: str, by_bus: Mapping[str, tuple[float, float]]) -> None:
        """One look: (told, metered) kW by bus."""
        if by_bus:
            self._looks[manager].append(by_bus)

    def shown(self, manager: str, buses: Collection[str]) -> Shown:
        """The lasting gap of its chargers at these buses together."""
        looks = [[each for bus, each in look.items() if bus in buses] for look in self._looks[manager]]
        if len(looks) < LOOKS:
            return Shown()
        gaps = [sum(metered - told for told, metered in look) for look in looks]
        told = [abs(sum(told for told, _ in look)) for look in looks]
        return Shown(Gap(gaps[-1], gaps[-2]).lasting, max(told))
