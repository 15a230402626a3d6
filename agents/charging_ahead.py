"""What chargers will draw in the next quarter of an hour, from what the vehicles' plans told (4.1.4).

kW by bus, positive is drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from protocols.exchanges.ev_services import UserState


def by_bus(users: Iterable[UserState], field: str) -> dict[str, float]:
    """One field of the users, added up by bus; a user without a place is left out."""
    total: defaultdict[str, float] = defaultdict(float)
    for user in users:
        if user.location is not None:
            total[user.location] += getattr(user, field)
    return dict(total)


def above_the_mean(told: Iterable[UserState]) -> dict[str, float]:
    """By how much those who are there will at most exceed their mean at some moment of the next quarter of an hour, by
    bus, above 0, where it is told: the sum of each one's most, because timers that have gone off stay on."""
    above: defaultdict[str, float] = defaultdict(float)
    for user in told:
        if user.location is not None and user.highest_kw is not None:
            above[user.location] += max(0.0, user.highest_kw - user.baseline_kw)
    return {bus: kw for bus, kw in above.items() if kw > 0}


def expected_charging(
    told: Iterable[UserState], before: Iterable[UserState], usual: Mapping[str, tuple[float, float]]
) -> dict[str, float]:
    """What will be drawn in the next quarter of an hour if no service runs.

    Those who are there draw `baseline_kw`. Who is still to come can only be guessed: at each bus as much as charging
    usually rises from this quarter to the next (`usual`: kW in both), less what the plans of those who are there rise
    by themselves, for timers that switch on are in both. `before`: what was told a quarter of an hour ago.
    """
    told, before = tuple(told), tuple(before)
    expected = dict.fromkeys(usual, 0.0) | by_bus(told, "baseline_kw")
    there, was_there, was = by_bus(told, "vehicles"), by_bus(before, "vehicles"), by_bus(before, "baseline_kw")
    for bus, (this, then) in usual.items():
        stayed = min(1.0, was_there.get(bus, 0.0) / there[bus]) if there.get(bus) else 0.0
        own_rise = max(0.0, expected[bus] * stayed - was.get(bus, 0.0))
        expected[bus] += max(0.0, then - this - own_rise)
    return expected
