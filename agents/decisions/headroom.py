"""How much more may be drawn behind each feeder before a limit breaks: what another's service must keep.

The TSO's service (BUC 2) increases consumption all over the island. What that may do to a low voltage only the DSO can
tell, so it tells the flexibility operator each quarter of an hour by how much at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from agents.grid_view import Floats, GridState, Limits

_STEPS: Final = 8
"""Halvings: the room is told to 1/256 of what is flexible, downwards."""


def headroom(
    state: GridState,
    increase_kw: Mapping[str, float],
    limits: Limits,
    *,
    feeder_of: Callable[[str], str],
    solve: Callable[[Floats, Floats], GridState],
) -> dict[str, float]:
    """kW by feeder (>= 0) by which its vehicles together may draw more than in `state`, each bus in proportion to its
    `increase_kw` (magnitudes): all of it where that breaks nothing that holds in `state`.

    First feeder by feeder, with the others as they are; then all together, scaled down alike where their sum breaks a
    limit that no single one breaks. Every answer has been confirmed by the AC power flow `solve`. A feeder with a bus
    below its limit already has no room; it takes none from the others.
    """
    index = {bus: position for position, bus in enumerate(state.buses)}
    by_feeder: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for bus, kw in increase_kw.items():
        if kw > 0:
            by_feeder[feeder_of(bus)][bus] = kw

    def low_in(found: GridState) -> set[str]:
        return {bus for bus, vm in zip(found.buses, found.vm_pu, strict=True) if vm < limits.vm_min_pu}

    low_before = low_in(state)
    broken = {str(violation.element) for violation in state.violations(limits)}

    def keeps(changes: Mapping[str, float]) -> bool:
        power = state.p_kw.copy()
        for bus, kw in changes.items():
            power[index[bus]] += kw
        try:
            after = solve(power, np.asarray(state.q_kvar))
        except ValueError:  # no operating point at all
            return False
        low = low_in(after)
        over = {v.element for v in after.violations(limits) if v.unit != "pu"}
        mine = {feeder_of(bus) for bus in changes}
        return low <= low_before and over <= broken and not any(feeder_of(bus) in mine for bus in low)

    def share(changes: Mapping[str, float]) -> float:
        if keeps(changes):
            return 1.0
        least, most = 0.0, 1.0
        for _ in range(_STEPS):
            middle = (least + most) / 2
            scaled = {bus: kw * middle for bus, kw in changes.items()}
            least, most = (middle, most) if keeps(scaled) else (least, middle)
        return least

    room = {
        feeder: {b: kw * part for b, kw in changes.items()}
        for feeder, changes in sorted(by_feeder.items())
        for part in [share(changes)]
    }
    together = {bus: kw for changes in room.values() for bus, kw in changes.items() if kw > 0}
    part = share(together) if together else 0.0
    return {feeder: part * sum(changes.values()) for feeder, changes in room.items()}
