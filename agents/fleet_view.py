"""What the V2X managers told the flexibility operator last, and the same added up for those who asked for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from agents.news import News
from agents.periods import QUARTER
from protocols.exchanges.ev_services import UserState
from protocols.exchanges.res_curtailment import Measurements
from protocols.exchanges.voltage_services import ParticipationInfo

AsTold = Callable[[str, UserState], UserState]
"""What is told on of a manager's vehicle, by the manager (JID) and what it told."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a manager told of a vehicle, and when."""

    timestamp: datetime
    state: UserState


def as_told(manager: str, state: UserState) -> UserState:
    """What the manager told, unchanged."""
    return state


class FleetView:
    """The newest 2.1 and 4.1.4 of each manager (by JID). What is older than a quarter of an hour counts for nothing,
    and whose it is is named once, until there is news again."""

    def __init__(self, now: Callable[[], datetime], notice: Callable[[str], None]) -> None:
        self.measured: News[Measurements] = News("2.1", now, notice)
        self.participation: News[ParticipationInfo] = News("4.1.4", now, notice)
        self._now, self._notice = now, notice
        self._since: dict[str, datetime] = {}
        self._silent: set[str] = set()
        self._chargers: defaultdict[str, set[str]] = defaultdict(set)

    def hear(self, manager: str, news: object) -> None:
        """Takes a report of that manager; anything else is no news of its vehicles."""
        if isinstance(news, Measurements):
            taken = self.measured.take(manager, news)
        elif isinstance(news, ParticipationInfo):
            taken = self.participation.take(manager, news)
        else:
            return
        if taken:
            self._chargers[manager].update(user.user_id for user in news.users)

    def has_told_of(self, manager: str, charger: str) -> bool:
        """Whether that manager has ever told of the charger."""
        return charger in self._chargers[manager]

    def other_owner(self, manager: str, charger: str) -> str | None:
        """Who told of a charger that `manager` never told of; None where nobody else did, or both have."""
        if self.has_told_of(manager, charger):
            return None
        return min((other for other, chargers in self._chargers.items() if charger in chargers), default=None)

    def expect(self, manager: str) -> None:
        """From now on this manager is expected to tell."""
        self._since.setdefault(manager, self._now())

    def states(self, manager: str) -> tuple[UserState, ...]:
        """Its vehicles as it told them last, nothing where that is old."""
        return tuple(told.state for told in self.told(manager).values())

    def told(self, manager: str) -> dict[str, Told]:
        """The same by charger, with when it was told: of two reports the newer one's word counts."""
        reports = [
            news for news in (self.participation.newest(manager), self.measured.newest(manager)) if news is not None
        ]
        fresh = [news for news in reports if self._now() - news.timestamp <= QUARTER]
        known: dict[str, Told] = {}
        for news in sorted(fresh, key=lambda news: news.timestamp):
            known |= {user.user_id: Told(news.timestamp, user) for user in news.users}
        return {user_id: known[user_id] for user_id in sorted(known)}

    def last_told(self, manager: str) -> datetime:
        """When a manager that is not silent last told anything."""
        told = (self.measured.newest(manager), self.participation.newest(manager))
        return max(news.timestamp for news in told if news is not None)

    def is_silent(self, manager: str) -> bool:
        """Whether there is no news of the last quarter of an hour; said when it begins, not of who has just come."""
        told = (self.measured.newest(manager), self.participation.newest(manager))
        if any(news is not None and self._now() - news.timestamp <= QUARTER for news in told):
            self._silent.discard(manager)
            return False
        expected = self._now() - self._since.get(manager, self._now()) > QUARTER
        if manager not in self._silent and (expected or any(told)):
            self._silent.add(manager)
            self._notice(f"{manager} has told nothing for a quarter of an hour: its vehicles count for nothing")
        return True

    def by_manager(self, managers: Iterable[str], seen: AsTold = as_told) -> tuple[UserState, ...]:
        """One user for each manager that is not silent."""
        return tuple(
            together(manager.partition("@")[0], None, [seen(manager, state) for state in self.states(manager)])
            for manager in sorted(managers)
            if not self.is_silent(manager)
        )

    def by_bus(self, managers: Iterable[str], seen: AsTold = as_told) -> tuple[UserState, ...]:
        """One user for each bus at which a manager that is not silent has vehicles."""
        return by_bus(seen(manager, state) for manager in sorted(managers) for state in self.states(manager))


def by_bus(states: Iterable[UserState]) -> tuple[UserState, ...]:
    """One user for each bus; who says no place cannot be added anywhere."""
    there: defaultdict[str, list[UserState]] = defaultdict(list)
    for state in states:
        if state.location is not None:
            there[state.location].append(state)
    return tuple(together(bus, bus, there[bus]) for bus in sorted(there))


def together(user_id: str, location: str | None, states: Iterable[UserState]) -> UserState:
    """Several users as one: powers and energies added up, the charge in percent of what the batteries hold together.

    `service` is that of those who were in one, None where they were in none or in different ones.
    """
    each = tuple(states)
    services = {state.service for state in each if state.service is not None}
    total = _sums(each)
    stored = [state.soc_kwh for state in each if state.soc_kwh is not None]
    return UserState(
        user_id=user_id,
        location=location,
        vehicles=sum(state.vehicles for state in each),
        service=services.pop() if len(services) == 1 else None,
        soc_percent=_charge_percent(each),
        soc_kwh=round(sum(stored), 3) if stored else None,
        **total,
    )


_SUMMED = (
    "power_kw",
    "energy_kwh",
    "charging_rate_kw",
    "energy_required_kwh",
    "baseline_kw",
    "increase_kw",
    "decrease_kw",
)


def _sums(states: tuple[UserState, ...]) -> Mapping[str, float]:
    total = {name: round(float(sum(getattr(state, name) for state in states)), 3) for name in _SUMMED}
    if any(state.highest_kw is not None for state in states):
        most = (state.baseline_kw if state.highest_kw is None else state.highest_kw for state in states)
        total["highest_kw"] = round(float(sum(most)), 3)
    return total


def _charge_percent(states: tuple[UserState, ...]) -> float | None:
    """Stored energy over capacity, of those that say both; without any the plain mean of the percentages."""
    pairs = [(s.soc_kwh, s.soc_percent) for s in states if s.soc_kwh is not None and s.soc_percent]
    if pairs:
        capacity = sum(kwh / percent for kwh, percent in pairs)
        return min(100.0, round(sum(kwh for kwh, _ in pairs) / capacity, 2)) if capacity else 0.0
    percents = [state.soc_percent for state in states if state.soc_percent is not None]
    return round(sum(percents) / len(percents), 2) if percents else None
