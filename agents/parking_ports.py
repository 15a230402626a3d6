"""What a parking lot's manager needs of the world outside: the retailer's prices, as they are published."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class RetailPrices(Protocol):
    """The retailer's prices for what is charged, and when a new list of them is published."""

    def price_eur_per_kwh(self, at: datetime, now: datetime) -> float:
        """EUR/kWh of the market period that `at` lies in, by the list that holds at `now`."""
        ...

    def changes(self, until: datetime) -> Sequence[datetime]:
        """When a changed list is published, in order, at `until` at the latest."""
        ...
