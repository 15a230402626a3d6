"""What charging costs at public stations as their operators published it (4.2.2): by station and quarter of an hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal

from protocols.acl import AclMessage
from protocols.exchanges.content import Content
from protocols.exchanges.network_prices import ChargingPrices
from protocols.roles import Role
from protocols.units import MARKET_PERIOD


@dataclass(frozen=True, slots=True)
class Published:
    """The price of a station from `start` to `end` in EUR/kWh, and the ordinary one; a later word replaces it."""

    start: datetime
    end: datetime
    price: Decimal
    usual: Decimal


@dataclass(frozen=True, slots=True)
class PriceDay:
    """One day: the beginnings of its quarters of an hour, and by station what was last published for each, or None."""

    quarters: tuple[datetime, ...]
    prices: Mapping[str, tuple[Published | None, ...]]

    def spans(self, station: str) -> Iterator[tuple[datetime, datetime, Decimal, Decimal]]:
        """From when to when charging at a station has another price than usual, that price and the usual one."""
        begin, held = None, None
        for quarter, told in (*zip(self.quarters, self.prices[station], strict=True), (None, None)):
            prices = None if told is None or told.price == told.usual else (told.price, told.usual)
            if prices != held:
                end = quarter if quarter is not None else self.quarters[-1] + MARKET_PERIOD
                if begin is not None and held is not None:
                    yield begin, end, *held
                begin, held = quarter, prices


class Prices:
    """The published prices of a trace, as far as it was heard."""

    exchanges = ("4.2.2",)

    def __init__(self, roles: Mapping[str, str]) -> None:
        self._roles = roles
        self._found: dict[str, list[Published]] = {}

    def hear(self, at: datetime, message: AclMessage, content: Content) -> None:
        if isinstance(content, ChargingPrices) and self._roles.get(message.sender) == Role.CPO.value:
            for each in content.stations:
                told = Published(content.start, content.end, each.price_eur_per_kwh, each.usual_eur_per_kwh)
                rows = self._found.setdefault(each.station_id, [])
                if told not in rows[-8:]:  # each driver who asks is told what holds already
                    rows.append(told)

    def found(self) -> Mapping[str, tuple[Published, ...]]:
        """By station: what was published, in the order in which it was."""
        return {station: tuple(rows) for station, rows in sorted(self._found.items())}


def days_of(found: Mapping[str, tuple[Published, ...]], zone: tzinfo) -> tuple[date, ...]:
    """The local days of which a price below the ordinary one was published; where there is none, all days."""
    every = [told for rows in found.values() for told in rows]
    lowered = [told for told in every if told.price < told.usual]
    return tuple(sorted({told.start.astimezone(zone).date() for told in lowered or every}))


def price_day(found: Mapping[str, tuple[Published, ...]], day: date, zone: tzinfo) -> PriceDay:
    """The prices of a local day. A later word stands over an earlier one for the same quarter."""
    begin = datetime.combine(day, time(), zone)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    quarters, at = [], begin.timestamp()
    while at < end.timestamp():
        quarters.append(datetime.fromtimestamp(at, zone))
        at += MARKET_PERIOD.total_seconds()
    prices = {}
    for station, rows in found.items():
        row: list[Published | None] = [None] * len(quarters)
        for told in rows:
            for number, quarter in enumerate(quarters):
                if told.start <= quarter < told.end:
                    row[number] = told
        prices[station] = tuple(row)
    return PriceDay(tuple(quarters), prices)
