"""What an operator's stations owe for network use, with the hours in which it was cheaper (D5.1 3.4.2). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from agents.decisions.money import watts
from agents.decisions.station_prices import Reduced, reduction_at
from agents.periods import QUARTER
from protocols.units import as_money

_QUARTERS_OF_AN_HOUR = 4
_WATT_HOUR = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class NetworkUse:
    """kWh drawn, kWh of them in reduced hours, EUR without reductions, and EUR that these take off."""

    energy_kwh: float
    reduced_kwh: float
    usual_eur: Decimal
    reduction_eur: Decimal


def network_use(
    metered_kw: Mapping[str, Sequence[float]],
    locations: Mapping[str, str],
    start: datetime,
    price_eur_per_kwh: Decimal,
    reductions: Sequence[Reduced],
) -> NetworkUse:
    """Adds up the stations: `metered_kw` by station has the mean of each quarter of an hour from `start`, `locations`
    the bus of each. No reduction takes off more than `price_eur_per_kwh`. What is fed back (kW below 0) counts as 0."""
    energy = reduced = taken_off = Decimal(0)
    for station in sorted(metered_kw):
        for k, kw in enumerate(metered_kw[station]):
            kwh = max(Decimal(0), watts(kw)) / _QUARTERS_OF_AN_HOUR
            less = min(price_eur_per_kwh, reduction_at(reductions, locations[station], start + k * QUARTER))
            energy += kwh
            taken_off += kwh * less
            reduced += kwh if less > 0 else Decimal(0)
    usual = as_money(energy.quantize(_WATT_HOUR) * price_eur_per_kwh)
    return NetworkUse(
        energy_kwh=float(energy.quantize(_WATT_HOUR)),
        reduced_kwh=float(reduced.quantize(_WATT_HOUR)),
        usual_eur=usual,
        reduction_eur=min(usual, as_money(taken_off)) if reduced.quantize(_WATT_HOUR) > 0 else Decimal("0.00"),
    )
