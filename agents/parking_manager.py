"""The manager of a parking lot of V2X chargers, with all that it does in the Danish day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agents.congestion_help import CongestionHelp
from agents.decisions.fcr_portfolio import Unit, allocate
from agents.decisions.vehicle_offer import Parked
from agents.frequency_delivery import OFFER_LATEST
from agents.frequency_service import FrequencyService
from agents.frequency_terms import HOUR
from agents.periods import QUARTER, quarter_at


class ParkingManager(CongestionHelp, FrequencyService):
    """D5.1 3.3: "the V2X Manager is requested, by the DSO, to address the congestion problem after it has been
    identified"; it "defines the Merit order list of Flexibility Activations" and "delivers the request to customers";
    once the service is no longer needed the managers "stop providing the service and resume their normal operations".
    3.7: it "plays an important role in this process by requesting participation in the frequency control services",
    whose units "must measure the frequency and automatically activate reserves on their own".

    A vehicle serves one of the two at a time: what one has claimed the other leaves alone. Both follow the same plan
    where they do nothing (`agents.parking`), and the DSO is told of both (3.x.5): a vehicle that bears frequency
    control, or is going to, stands at its operating point until its test is over, and in the hours that are still to be
    sold as well, and charges after them. What test and frequency have it draw besides nobody knows before.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allocated: tuple[datetime, tuple[Parked, ...], dict[str, Unit]] | None = None

    def committed_kw(self, charger_id: str, now: datetime) -> Mapping[datetime, float]:
        """With the rest of the test, and with the hours of frequency control that are not sold yet: capacity is sold
        hour by hour, shortly before."""
        orders = dict(super().committed_kw(charger_id, now))
        stands = self._tested(charger_id, now) or self._for_sale(charger_id, now, orders)
        if stands is None:
            return orders
        quarter, until, kw = stands
        while quarter < until:
            orders.setdefault(quarter, kw)
            quarter += QUARTER
        return orders

    def _tested(self, charger_id: str, now: datetime) -> tuple[datetime, datetime, float] | None:
        """From when until when it stands at which power for its test. Only the TSO knows how long the test lasts: as
        long as it was said to, and then for an hour more each time that is asked."""
        if self.fcr is None or self.test is None or not self._is_free_for_fcr(charger_id):
            return None
        control = self.frequency_control
        units = control.units.values() if control is not None and control.on else self.test.units
        mine = next((unit for unit in units if unit.charger_id == charger_id), None)
        if mine is None:
            return None
        until = max(self.fcr.test_from + self.fcr.test_lasts, now + HOUR)
        return max(quarter_at(now), quarter_at(self.fcr.test_from)), until, mine.baseline_kw

    def _for_sale(
        self, charger_id: str, now: datetime, orders: Mapping[datetime, float]
    ) -> tuple[datetime, datetime, float] | None:
        """The same for the hours of the night, from the first one on that it bears: it has been claimed for that, or
        will be when the hour begins. `orders`: what it is to draw in the hours that are sold."""
        if self.fcr is None or self.test is not None or not self._is_free_for_fcr(charger_id):
            return None
        hours = [
            hour
            for hour, sold in self.sold.items()
            if hour + HOUR > now and not sold.ended and any(unit.charger_id == charger_id for unit in sold.units)
        ]
        if charger_id not in self.claimed and not hours:
            return self._to_be_offered(charger_id, now)
        first, last = next((night for night in self.fcr.nights if night[1] > now), self.fcr.nights[-1])
        begins = max(first, min(hours)) if charger_id not in self.claimed else first
        return max(quarter_at(now), begins), last, orders[max(orders)] if orders else 0.0

    def _to_be_offered(self, charger_id: str, now: datetime) -> tuple[datetime, datetime, float] | None:
        """The same where nothing is sold: what would bear the next hour that can be offered yet. An hour that is not
        bought is charged in as before."""
        if self.fcr is None or self.approved_kw is None or self._withdrawn:
            return None
        if any(hour + HOUR > now and not sold.ended for hour, sold in self.sold.items()):
            return None  # others bear it
        for hour, last in self.fcr.nights:
            while hour < now + OFFER_LATEST:
                hour += HOUR
            if hour < last:
                unit = self._would_bear(hour, now).get(charger_id)
                return None if unit is None else (hour, last, unit.baseline_kw)
        return None

    def _would_bear(self, hour: datetime, now: datetime) -> Mapping[str, Unit]:
        """Those that would be offered for the hour, by charger; reckoned once for all vehicles that are planned."""
        assert self.fcr is not None
        assert self.approved_kw is not None
        vehicles = tuple(self._fcr_vehicles(now))
        if self._allocated is None or self._allocated[:2] != (hour, vehicles):
            margin = self.fcr.ready_margin
            units = allocate(self._rules, vehicles, hour, hour + HOUR, self.approved_kw, ready_margin=margin)
            enough = sum(unit.capacity_kw for unit in units) >= self.fcr.minimum_bid_kw
            self._allocated = hour, vehicles, {unit.charger_id: unit for unit in units if enough}
        return self._allocated[2]

    def _is_free_for_fcr(self, charger_id: str) -> bool:
        """Neither another service's nor left out for what its charger did."""
        others = self.claimed.get(charger_id, self.portfolio_id) != self.portfolio_id
        return not others and charger_id not in self.left_out
