"""Reductions as they are announced: by whole hours, so that a driver can remember them. Pure. (D5.1 3.4.2, ID 4.2.1)

A forecast feeds back in one quarter of an hour and not in the next; a price that followed it would change all the time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agents.decisions.station_prices import Reduced, reduction_at

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class HourlyReduction:
    """Network use costs this much less at these buses (sorted) from `start` until `end`."""

    locations: tuple[str, ...]
    start: datetime
    end: datetime
    reduction_eur_per_kwh: Decimal


def by_the_hour(
    found: Sequence[Reduced], holding: Sequence[Reduced], not_before: datetime
) -> tuple[HourlyReduction, ...]:
    """What has to be announced beside `holding` so that all of `found` holds, in the order of time.

    A reduction holds for every whole hour (of UTC) that it touches, from `not_before` on; the largest one counts. An
    hour in which as much is taken off already is left out. Buses that are alike are together.
    """
    wanted: defaultdict[str, dict[datetime, Decimal]] = defaultdict(dict)
    for each in found:
        hour = each.start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while hour < each.end:
            start = max(hour, not_before.astimezone(UTC))
            for bus in each.locations:
                eur = max(wanted[bus].get(start, Decimal(0)), each.reduction_eur_per_kwh)
                if hour + _HOUR > start and reduction_at(holding, bus, start) < eur:
                    wanted[bus][start] = eur
            hour += _HOUR
    alike: defaultdict[tuple[datetime, datetime, Decimal], list[str]] = defaultdict(list)
    for bus, hours in sorted(wanted.items()):
        for start, end, eur in _runs(hours):
            alike[start, end, eur].append(bus)
    return tuple(HourlyReduction(tuple(buses), *when) for when, buses in sorted(alike.items()))


def _runs(hours: dict[datetime, Decimal]) -> list[tuple[datetime, datetime, Decimal]]:
    """Hours that follow each other with the same reduction, as one."""
    runs: list[tuple[datetime, datetime, Decimal]] = []
    for start, eur in sorted(hours.items()):
        end = start.replace(minute=0) + _HOUR
        if runs and runs[-1][1] == start and runs[-1][2] == eur:
            runs[-1] = (runs[-1][0], end, eur)
        else:
            runs.append((start, end, eur))
    return runs
