"""The book of a V2X manager: which vehicle is promised to which service in which quarter of an hour.

The rule for two services at once: a vehicle serves one service in a quarter of an hour, and the first promise keeps it.
A promise is firm for the first quarter of its service; its tail lasts only until another service's promise takes the
vehicle. An offer that is out and not yet decided holds the vehicle until its deadline, so that two calls at the same
moment are not offered the same kilowatt.

A promise rests on the state that the vehicle is in when it begins. Therefore a vehicle with an undecided offer is
offered to nobody else, and one with a firm promise is not offered for an earlier quarter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from agents.periods import QUARTER

SAME_KW = 1e-3
"""What is written on the wire is rounded to a watt."""


class PromiseError(ValueError):
    """An award that the offer does not cover; the message is one line: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Change:
    """One vehicle's part: on average `change_kw` beside `baseline_kw`, positive when drawn."""

    baseline_kw: float
    change_kw: float

    @property
    def power_kw(self) -> float:
        return self.baseline_kw + self.change_kw


@dataclass(frozen=True, slots=True)
class Promise:
    """A vehicle's part in a service in the quarter of an hour from `quarter` on."""

    service_id: str
    vehicle: str
    quarter: datetime
    part: Change
    firm: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """An offer that is out, by vehicle, for the quarters from `start` on, and stands until `until`, that included.

    Nobody else is offered these vehicles meanwhile. Those in `left` have driven off since it was made.
    """

    offer_id: str
    start: datetime
    quarters: int
    parts: Mapping[str, Change]
    until: datetime
    left: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Book:
    """Offers that are out, and promises. Nothing changes in place: every method gives the book as it is afterwards."""

    holds: tuple[Hold, ...] = ()
    promises: tuple[Promise, ...] = ()

    def free(self, vehicle: str, start: datetime, now: datetime) -> bool:
        """Whether the vehicle may be offered for a service from `start` on."""
        held = any(vehicle in hold.parts and vehicle not in hold.left for hold in self.live(now))
        return not held and not any(p.firm and p.vehicle == vehicle and p.quarter >= start for p in self.promises)

    def hold(self, hold: Hold, now: datetime) -> Book:
        """The offer goes out. Raises PromiseError where one of its vehicles is not free."""
        if taken := [vehicle for vehicle in hold.parts if not self.free(vehicle, hold.start, now)]:
            raise PromiseError(f"{', '.join(sorted(taken))} cannot be offered twice")
        return replace(self, holds=(*self.live(now), hold))

    def live(self, now: datetime) -> tuple[Hold, ...]:
        """The offers that still stand."""
        return tuple(hold for hold in self.holds if now <= hold.until)

    def drop(self, offer_id: str) -> Book:
        """The offer is rejected, or called off."""
        return replace(self, holds=tuple(hold for hold in self.holds if hold.offer_id != offer_id))

    def award(self, offer_id: str, service_id: str, orders: Mapping[str, Change], now: datetime) -> Book:
        """The offer is accepted for the vehicles in `orders`, whole or in part; its others are free again.

        Firm in the first quarter: tails of other services there end. In the quarters after it the vehicle stays with
        a service that has it already. Nothing is promised of a vehicle that has left. Raises PromiseError, and nothing
        is promised at all, where the offer does not stand any more, does not cover an order, or all have left.
        """
        hold = next((hold for hold in self.live(now) if hold.offer_id == offer_id), None)
        if hold is None:
            raise PromiseError("the offer does not stand any more")
        if any(promise.service_id == service_id for promise in self.promises):
            raise PromiseError(f"{service_id} has been awarded already")
        for vehicle, order in orders.items():
            _check(vehicle, hold.parts.get(vehicle), order)
        here = {vehicle: order for vehicle, order in orders.items() if vehicle not in hold.left}
        if not here:
            raise PromiseError(f"{', '.join(sorted(orders))} left since the offer was made")
        kept = tuple(p for p in self.promises if not (p.vehicle in here and p.quarter == hold.start))
        taken = {(p.vehicle, p.quarter) for p in kept}
        quarters = [hold.start + k * QUARTER for k in range(hold.quarters)]
        new = tuple(
            Promise(service_id, vehicle, quarter, order, firm=quarter == hold.start)
            for vehicle, order in here.items()
            for quarter in quarters
            if (vehicle, quarter) not in taken
        )
        return replace(self.drop(offer_id), promises=(*kept, *new))

    def end(self, service_id: str, at: datetime) -> Book:
        """The service ends at `at`: what it was promised from the quarter of `at` on is free again."""
        return self._without(lambda p: p.service_id == service_id and p.quarter + QUARTER > at)

    def leave(self, vehicle: str, at: datetime) -> Book:
        """The vehicle has left: what was promised of it from the quarter of `at` on, or is on offer, is no more."""
        rest = tuple(replace(h, left=h.left | {vehicle}) if vehicle in h.parts else h for h in self.holds)
        return replace(self._without(lambda p: p.vehicle == vehicle and p.quarter + QUARTER > at), holds=rest)

    def forget(self, before: datetime) -> Book:
        """Without the quarters that ended before then, and without offers that have lapsed."""
        return replace(self._without(lambda p: p.quarter + QUARTER <= before), holds=self.live(before))

    def serving(self, quarter: datetime) -> dict[str, Promise]:
        """Who serves what in that quarter of an hour, by vehicle."""
        return {p.vehicle: p for p in self.promises if p.quarter == quarter}

    def _without(self, gone: Callable[[Promise], bool]) -> Book:
        return replace(self, promises=tuple(promise for promise in self.promises if not gone(promise)))


def _check(vehicle: str, offered: Change | None, order: Change) -> None:
    """Raises PromiseError where the offer of this vehicle does not cover the order."""
    if offered is None:
        raise PromiseError(f"{vehicle} was not offered")
    if abs(order.baseline_kw - offered.baseline_kw) > SAME_KW:
        raise PromiseError(f"the baseline of {vehicle} is {offered.baseline_kw} kW, not {order.baseline_kw}")
    if order.change_kw * offered.change_kw < 0:
        raise PromiseError(f"{vehicle} was offered for {offered.change_kw:+} kW, not for {order.change_kw:+} kW")
    if abs(order.change_kw) > abs(offered.change_kw) + SAME_KW:
        raise PromiseError(f"{vehicle} was offered for {offered.change_kw:+} kW, less than {order.change_kw:+} kW")
