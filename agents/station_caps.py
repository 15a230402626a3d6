"""The limits under which an operator's stations are (5.2.1): what was activated, and why something cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta, tzinfo

from agents.capacity_bidding import CapacityContract
from agents.periods import QUARTER, quarter_at
from agents.public_ports import StationSite
from protocols.exchanges.capacity_contracts import CapacityLimit

SAME_KW = 1e-3
"""Two limits that are nearer than this are the same limit."""

Cap = Callable[[datetime], float]
"""What a station may draw in the market period that a time lies in, kW."""


class StationCaps:
    """The activated limits, by activation id, and what each station may draw when."""

    def __init__(
        self, stations: Mapping[str, StationSite], contracts: Mapping[str, CapacityContract], zone: tzinfo
    ) -> None:
        self.activated: dict[str, CapacityLimit] = {}
        self.declined: dict[str, CapacityLimit] = {}
        """By activation id too: what the contract allows and could not be done."""
        self._stations, self._contracts, self._zone = stations, contracts, zone
        self._at: dict[str, list[CapacityLimit]] = {station_id: [] for station_id in stations}
        """The activated ones by station, as every offer asks for each of its quarters."""

    def kw(self, station_id: str, at: datetime, *, besides: CapacityLimit | None = None) -> float:
        """The most that a station may draw at any second of the market period that `at` lies in: its connection, or the
        lowest limit that holds there, with `besides` as if it were activated."""
        start = quarter_at(at)
        limits = self._at[station_id]
        if besides is not None and besides.station_id == station_id:
            limits = [*limits, besides]
        holding = [limit.limit_kw for limit in limits if limit.start < start + QUARTER and limit.end > start]
        return min([self._stations[station_id].connection_kw, *holding])

    def of(self, station_id: str, besides: CapacityLimit | None = None) -> Cap:
        """`kw` of one station."""
        return lambda at: self.kw(station_id, at, besides=besides)

    def least_from(self, station_id: str, at: datetime) -> float:
        """The least that the station may draw at any time from `at` on, by what is activated now."""
        ahead = [limit.limit_kw for limit in self._at[station_id] if limit.end > at]
        return min([self._stations[station_id].connection_kw, *ahead])

    def of_day(self, contract_id: str, start: datetime, end: datetime) -> CapacityLimit | None:
        """What was activated of a contract on the day from `start` to `end`."""
        return self._of_day(self.activated, contract_id, start, end)

    def declined_on(self, contract_id: str, start: datetime, end: datetime) -> CapacityLimit | None:
        """What could not be done on the day from `start` to `end`, and was not activated otherwise."""
        if self.of_day(contract_id, start, end) is not None:
            return None
        return self._of_day(self.declined, contract_id, start, end)

    @staticmethod
    def _of_day(
        limits: Mapping[str, CapacityLimit], contract_id: str, start: datetime, end: datetime
    ) -> CapacityLimit | None:
        for limit in limits.values():
            if limit.contract_id == contract_id and start <= limit.start < end:
                return limit
        return None

    def known(self, limit: CapacityLimit) -> bool:
        """Whether this very activation holds already."""
        return self.activated.get(limit.activation_id) == limit

    def fault(self, limit: CapacityLimit, dso: str, now: datetime) -> tuple[str, str] | None:
        """Why an activation is not what was sold, as a code and in one line; None where it is."""
        contract = self._contracts.get(limit.contract_id)
        if contract is None or contract.dso != dso:
            return "unknown-contract", f"there is no contract {limit.contract_id} between us"
        if limit.activation_id in self.activated:
            return "used-reference", f"{limit.activation_id} is another activation"
        if limit.station_id != contract.station_id:
            text = f"the contract {limit.contract_id} is for {contract.station_id}, not for {limit.station_id}"
            return "wrong-station", text
        if limit.limit_kw < contract.limit_kw - SAME_KW:
            return "beyond-contract", f"bought were {contract.limit_kw:g} kW, not {limit.limit_kw:g} kW"
        return self._untimely(limit, contract, now)

    def _untimely(self, limit: CapacityLimit, contract: CapacityContract, now: datetime) -> tuple[str, str] | None:
        call = contract.call
        if not call.period_start <= limit.start < limit.end <= call.period_end:
            return "beyond-contract", "it is outside the contract's period"
        start, end = limit.start.astimezone(self._zone), limit.end.astimezone(self._zone)
        opens, closes = time.fromisoformat(call.window_start), time.fromisoformat(call.window_end)
        if start.date() != end.date() or start.time() < opens or end.time() > closes:
            text = f"{start:%H:%M} to {end:%H:%M} is outside the contract's window, {opens:%H:%M} to {closes:%H:%M}"
            return "beyond-contract", text
        if limit.start - now < timedelta(minutes=call.notice_minutes):
            return "too-late", f"it begins in {limit.start - now}, {call.notice_minutes} minutes' notice were sold"
        days = {
            a.start.astimezone(self._zone).date() for a in self.activated.values() if a.contract_id == limit.contract_id
        }
        if start.date() in days:
            return "activated-twice", f"{limit.contract_id} is activated on {start:%d %B} already"
        if len(days) >= call.most_activations:
            return "used-up", f"{limit.contract_id} was sold for {call.most_activations} days, which are used up"
        return None

    def add(self, limit: CapacityLimit) -> None:
        """From now on the limit holds in its window."""
        self.activated[limit.activation_id] = limit
        self._at[limit.station_id].append(limit)

    def decline(self, limit: CapacityLimit) -> None:
        """The contract allows the limit, and it cannot be held: the day earns nothing."""
        self.declined[limit.activation_id] = limit
