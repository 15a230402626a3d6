"""What a kWh costs at each of an operator's stations, and what the DSO's price reductions (4.2.1) change about it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from agents.decisions.station_prices import StationTariff, price_at
from agents.public_ports import StationSite
from protocols.exchanges.network_prices import ChargingPrices, NetworkPriceReduction, StationPrice


class StationPriceDesk:
    """The prices of an operator's stations, EUR/kWh, as the DSO's reductions have them by now."""

    def __init__(self, stations: Sequence[StationSite], tariff: StationTariff) -> None:
        self.stations = {site.station_id: site for site in stations}
        self.tariff = tariff
        self.reductions: dict[str, NetworkPriceReduction] = {}
        """By reduction id."""
        self._known: dict[tuple[str, datetime], Decimal] = {}
        """Prices by station and time, as long as no reduction comes: many drivers ask for the same hours."""

    def fault(self, reduction: NetworkPriceReduction, now: datetime) -> tuple[str, str] | None:
        """Why a reduction cannot be passed on to drivers, as a code and in words; None where it can."""
        known = self.reductions.get(reduction.reduction_id)
        if known is not None and known != reduction:
            return "used-reference", f"{reduction.reduction_id} is another reduction"
        if known is None and reduction.start <= now:
            return "too-late", f"it would begin at {reduction.start:%H:%M} UTC, which has passed"
        network = self.tariff.network_eur_per_kwh
        if reduction.reduction_eur_per_kwh > network:
            return "too-much", f"network use costs {network} EUR/kWh, {reduction.reduction_eur_per_kwh} cannot come off"
        return None

    def add(self, reduction: NetworkPriceReduction) -> bool:
        """Takes a reduction that has no fault; False where it is known already."""
        new = reduction.reduction_id not in self.reductions
        self.reductions[reduction.reduction_id] = reduction
        self._known.clear()
        return new

    def price_at(self, station_id: str, at: datetime) -> Decimal:
        """What drivers pay at a station for a session that begins then. Raises KeyError for another's station."""
        key = station_id, at
        if key not in self._known:
            place = self.stations[station_id].location
            self._known[key] = price_at(self.tariff, self.reductions.values(), place, at)
        return self._known[key]

    def affected(self, reduction: NetworkPriceReduction) -> list[StationSite]:
        """The stations at the places of a reduction."""
        return [site for site in self.stations.values() if site.location in reduction.locations]

    def news(self, reduction: NetworkPriceReduction, now: datetime) -> list[ChargingPrices]:
        """4.2.2: the prices of the stations concerned, one content for each stretch of time in which none of them
        changes; nothing where no station is concerned. Each subscriber gets it under the own request's id."""
        concerned = self.affected(reduction)
        places = {site.location for site in concerned}
        turns = {
            at
            for other in self.reductions.values()
            if places & set(other.locations)
            for at in (other.start, other.end)
            if reduction.start < at < reduction.end
        }
        edges = [reduction.start, *sorted(turns), reduction.end] if concerned else []
        return [
            ChargingPrices(
                request_id=reduction.reduction_id,
                timestamp=now,
                start=start,
                end=end,
                stations=tuple(self._priced(site, start) for site in concerned),
            )
            for start, end in pairwise(edges)
        ]

    def _priced(self, site: StationSite, at: datetime) -> StationPrice:
        return StationPrice(
            station_id=site.station_id,
            latitude_deg=site.latitude_deg,
            longitude_deg=site.longitude_deg,
            price_eur_per_kwh=self.price_at(site.station_id, at),
            usual_eur_per_kwh=self.tariff.usual_eur_per_kwh,
        )
