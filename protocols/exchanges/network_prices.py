"""BUC 4.2, test of the Open V2X management platform: cheaper network use where the sun feeds back, and who hears of it.

Source: D5.1 section 3.4.2, Table 6. "To this end, the DSO lowers network prices on the desired locations and notifies
the CPO (ID 4.2.1). In turn, the CPO locates affected charging stations and updates the cost of charging on those
stations (ID 4.2.2). The new prices are shared with the EV owners."
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from protocols.exchanges.content import Content, Part, ordered
from protocols.units import (
    EurPerKwh,
    Identifier,
    Latitude,
    Longitude,
    MagnitudeEur,
    MagnitudeKwh,
    Time,
)


class NetworkPriceReduction(Content):
    """4.2.1: from `start` until `end` a kWh drawn at these locations costs `reduction_eur_per_kwh` less of network use.

    `locations` are buses of the DSO's network.
    """

    exchange: Literal["4.2.1"] = "4.2.1"
    reduction_id: Identifier
    timestamp: Time
    locations: tuple[Identifier, ...]
    reduction_eur_per_kwh: EurPerKwh
    start: Time
    end: Time

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if not self.locations:
            yield "locations", "names no place"
        if len(set(self.locations)) < len(self.locations):
            yield "locations", "names a place twice"
        if self.reduction_eur_per_kwh <= 0:
            yield "reduction_eur_per_kwh", "is no reduction"


class PriceSubscription(Content):
    """4.2.2: a driver wants to know when the prices of the operator's stations change."""

    exchange: Literal["4.2.2"] = "4.2.2"
    request_id: Identifier
    timestamp: Time


class StationPrice(Part):
    """What a kWh costs at a station, taxes and network use included, and what it costs there usually."""

    station_id: Identifier
    latitude_deg: Latitude
    longitude_deg: Longitude
    price_eur_per_kwh: EurPerKwh
    usual_eur_per_kwh: EurPerKwh


class ChargingPrices(Content):
    """4.2.2: the prices of the stations concerned from `start` until `end`, whatever is told of other times."""

    exchange: Literal["4.2.2"] = "4.2.2"
    request_id: Identifier
    timestamp: Time
    start: Time
    end: Time
    stations: tuple[StationPrice, ...]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if not self.stations:
            yield "stations", "names none"
        if len({each.station_id for each in self.stations}) < len(self.stations):
            yield "stations", "names one twice"


class NetworkBill(Content):
    """4.x.2: what the CPO's stations owe the DSO for network use from `start` until `end`, as the meters have it.

    `usual_eur` is what it would be without reductions, `reduction_eur` what they take off, `reduced_kwh` the energy of
    their hours. The transfer is booked under `bill_id`, from the CPO to the DSO.
    """

    exchange: Literal["4.x.2"] = "4.x.2"
    bill_id: Identifier
    start: Time
    end: Time
    energy_kwh: MagnitudeKwh
    reduced_kwh: MagnitudeKwh
    usual_eur: MagnitudeEur
    reduction_eur: MagnitudeEur
    amount_eur: MagnitudeEur

    def contradictions(self) -> Iterator[tuple[str, str]]:
        yield from ordered("start", "end", self)
        if self.amount_eur != self.usual_eur - self.reduction_eur:
            yield "amount_eur", "is not usual_eur less reduction_eur"
        if self.reduced_kwh > self.energy_kwh or (not self.reduced_kwh and self.reduction_eur > Decimal(0)):
            yield "reduced_kwh", "does not fit the energy or the reduction"
