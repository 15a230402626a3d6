"""What the chargers' meters show, bus by bus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence


def by_bus(found: Mapping[str, Sequence[float]], bus_of: Mapping[str, str]) -> dict[str, float]:
    """The first mean of all chargers at each bus; a bus where one of them has no reading is left out."""
    metered: defaultdict[str, float] = defaultdict(float)
    for charger, bus in bus_of.items():
        if charger in found:
            metered[bus] += found[charger][0]
    lost = {bus for charger, bus in bus_of.items() if charger not in found}
    return {bus: kw for bus, kw in metered.items() if bus not in lost}
