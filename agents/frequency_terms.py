"""What a lot's owner lets it do in frequency control, and what it has sold (D5.1 3.7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from agents.decisions.fcr_portfolio import READY_MARGIN, Unit
from behaviours.outcomes import Agreed
from protocols.exchanges.frequency_services import CapacityOffer, CapacitySettlement, Control
from protocols.exchanges.vocabulary import FcrProduct

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
ANSWER_TIME = timedelta(minutes=5)
SERVICE = "fcr"
"""Under this a V2X manager that takes part in frequency control is found in the directory."""


@dataclass(frozen=True, slots=True)
class FcrTerms:
    """What a lot's owner lets it do in frequency control.

    It claims `capacity_kw` of `product` and keeps `energy_kwh` of the batteries for it; applies at `application_at`
    for a test from `test_from`, for which the vehicles must stay `test_lasts`; and offers each whole hour from
    `first_hour` to `last_hour` (when the last one ends), and again in `later_nights` (the same two of each), for which
    the approval still holds; at `price_eur_per_kw` for each kW and 15 minutes, nothing below `minimum_bid_kw`.
    `owners_share` of what capacity brings is the vehicles' owners'. What was asked for is in a vehicle `ready_margin`
    before it leaves. `nem_disable_minutes`: the endurance at which energy management goes off, where the TSO is asked
    to agree to another one than the rules' own. `cancels_test_at` and `withdraw_at`: when the owner changes his mind
    (7.3), once and for all.
    """

    product: FcrProduct
    control: Control
    capacity_kw: float
    energy_kwh: float
    application_at: datetime
    test_from: datetime
    first_hour: datetime
    last_hour: datetime
    price_eur_per_kw: Decimal
    minimum_bid_kw: float = 100.0
    owners_share: float = 0.7
    ready_margin: timedelta = READY_MARGIN
    test_lasts: timedelta = timedelta(hours=5)
    approval_lasts: timedelta = timedelta(days=365)
    nem_disable_minutes: float | None = None
    cancels_test_at: datetime | None = None
    withdraw_at: datetime | None = None
    later_nights: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def nights(self) -> tuple[tuple[datetime, datetime], ...]:
        """When the first hour that is offered begins and the last one ends, each time."""
        return ((self.first_hour, self.last_hour), *self.later_nights)


@dataclass(slots=True, eq=False)
class Sold:
    """An hour that the TSO has bought: who bears it, and since when. `capacity_kw` is what is owed by now."""

    offer: CapacityOffer
    agreed: Agreed
    capacity_kw: float
    price_eur_per_kw: Decimal
    units: tuple[Unit, ...]
    least_kw: float
    ended: bool = False
    settlement: CapacitySettlement | None = None
    borne_kws: dict[str, float] = field(default_factory=dict)
    """kW times seconds by charger."""
