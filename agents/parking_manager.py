"""The manager of a parking lot of V2X chargers, with all that it does in the Danish day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from agents.congestion_help import CongestionHelp
from agents.frequency_service import FrequencyService
from agents.periods import QUARTER, quarter_at


class ParkingManager(CongestionHelp, FrequencyService):
    """D5.1 3.3: "the V2X Manager is requested, by the DSO, to address the congestion problem after it has been
    identified"; it "defines the Merit order list of Flexibility Activations" and "delivers the request to customers";
    once the service is no longer needed the managers "stop providing the service and resume their normal operations".
    3.7: it "plays an important role in this process by requesting participation in the frequency control services",
    whose units "must measure the frequency and automatically activate reserves on their own".

    A vehicle serves one of the two at a time: what one has claimed the other leaves alone. Both follow the same plan
    where they do nothing (`agents.parking`), and the DSO is told of both (3.x.5): a vehicle that bears frequency
    control stands at its operating point in the hours that are still to be sold as well, and charges after them.
    """

    def committed_kw(self, charger_id: str, now: datetime) -> Mapping[datetime, float]:
        """With the hours of frequency control that are not sold yet: capacity is sold hour by hour, shortly before."""
        orders = dict(super().committed_kw(charger_id, now))
        if self.fcr is None or not self.portfolio_id or self.claimed.get(charger_id) != self.portfolio_id:
            return orders
        standing = orders[max(orders)] if orders else 0.0
        first, last = next((night for night in self.fcr.nights if night[1] > now), self.fcr.nights[-1])
        quarter = max(quarter_at(now), first)
        while quarter < last:
            orders.setdefault(quarter, standing)
            quarter += QUARTER
        return orders
