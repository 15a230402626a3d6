"""What a kWh costs at a public charging station (D5.1 3.4.2): the usual price, less what the DSO takes off network use.

"The CPO locates affected charging stations and updates the cost of charging on those stations (ID 4.2.2)." The operator
passes on the whole of a reduction. Where several hold at one place and time the largest does; they do not add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

_NONE = Decimal(0)


class Reduced(Protocol):
    """Less for network use at these buses from `start` until `end`; what 4.2.1 says is one."""

    @property
    def locations(self) -> tuple[str, ...]: ...
    @property
    def start(self) -> datetime: ...
    @property
    def end(self) -> datetime: ...
    @property
    def reduction_eur_per_kwh(self) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class StationTariff:
    """An operator's prices, EUR/kWh: `usual` is what drivers pay, taxes and network use included; `network` is the part
    of it that the DSO gets. Raises ValueError where a price is negative or network use costs more than the whole."""

    usual_eur_per_kwh: Decimal
    network_eur_per_kwh: Decimal

    def __post_init__(self) -> None:
        if not 0 <= self.network_eur_per_kwh <= self.usual_eur_per_kwh:
            raise ValueError(
                f"network use for {self.network_eur_per_kwh} EUR/kWh does not fit into {self.usual_eur_per_kwh} EUR/kWh"
            )


def reduction_at(reductions: Iterable[Reduced], location: str, at: datetime) -> Decimal:
    """The largest reduction at this bus and time, EUR/kWh; 0 without one. The end is outside."""
    return max(
        (r.reduction_eur_per_kwh for r in reductions if r.start <= at < r.end and location in r.locations),
        default=_NONE,
    )


def price_at(tariff: StationTariff, reductions: Iterable[Reduced], location: str, at: datetime) -> Decimal:
    """What a kWh costs drivers at a station on this bus at this time, EUR/kWh. No more than the network's part is taken
    off, so that it is never below 0."""
    return tariff.usual_eur_per_kwh - min(tariff.network_eur_per_kwh, reduction_at(reductions, location, at))
