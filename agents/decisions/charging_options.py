"""How a driver sees what an operator offers, tells and asks to be paid (D5.1 3.4.2 and 3.5.2, IDs 4.2.2, 5.2.3, 5.x.3).

Distances in km, times in h, amounts in EUR, energy in kWh at the charger's meter.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from decimal import Decimal

from agents.decisions.choice import Option
from agents.decisions.money import CENT
from agents.decisions.station_offers import distance_km
from agents.public_ports import Need
from protocols import exchanges as x
from protocols.units import as_money

COUNT_ERROR = 0.02
"""What a car's own count and a charger's meter may differ by (class A of EN 50470-3: 2 %)."""
COUNT_ERROR_KWH = 0.1
_HOUR = timedelta(hours=1)


def option_of(
    need: Need,
    stay: int,
    *,
    station_id: str,
    latitude_deg: float,
    longitude_deg: float,
    start: datetime,
    end: datetime,
    energy_kwh: float,
    amount_eur: Decimal,
) -> Option:
    """A session on the need's stay of that number, as the driver's choice model sees it."""
    at, usual = need.stays[stay], need.stays[0]
    return Option(
        key=(station_id, stay),
        amount_eur=float(amount_eur),
        energy_kwh=energy_kwh,
        distance_km=distance_km(at.latitude_deg, at.longitude_deg, latitude_deg, longitude_deg),
        wait_h=max(0.0, (start - at.arrival) / _HOUR),
        shift_h=abs(at.arrival - usual.arrival) / _HOUR,
        spare_h=max(0.0, (at.departure - end) / _HOUR),
        missing_kwh=max(0.0, need.energy_kwh - energy_kwh),
    )


def option_of_choice(need: Need, stay: int, choice: x.ChargingChoice) -> Option:
    """An operator's choice (5.2.3) on the need's stay of that number."""
    return option_of(
        need,
        stay,
        station_id=choice.station_id,
        latitude_deg=choice.latitude_deg,
        longitude_deg=choice.longitude_deg,
        start=choice.start,
        end=choice.end,
        energy_kwh=choice.energy_kwh,
        amount_eur=choice.amount_eur,
    )


def concerns(news: x.ChargingPrices, need: Need, stays: Collection[int]) -> bool:
    """Whether a price is lowered near one of these stays of the need, while it lasts."""
    lowered = [each for each in news.stations if each.price_eur_per_kwh < each.usual_eur_per_kwh]
    return any(
        stay.arrival < news.end
        and news.start < stay.departure
        and any(
            distance_km(stay.latitude_deg, stay.longitude_deg, each.latitude_deg, each.longitude_deg) <= need.within_km
            for each in lowered
        )
        for stay in (need.stays[number] for number in sorted(stays))
    )


def receipt_fault(receipt: x.SessionReceipt, choice: x.ChargingChoice, charged_kwh: float) -> str | None:
    """What a driver holds against a receipt: another session, a higher price than chosen, another amount than energy
    and price make, or more energy than the car has counted. None: nothing."""
    if receipt.choice_id != choice.choice_id:
        return f"it is for {receipt.choice_id}, and {choice.choice_id} was chosen"
    if receipt.price_eur_per_kwh > choice.price_eur_per_kwh:
        return f"it says {receipt.price_eur_per_kwh} EUR/kWh, and {choice.price_eur_per_kwh} were chosen"
    due = as_money(receipt.price_eur_per_kwh * Decimal(repr(receipt.energy_kwh)))
    if abs(receipt.amount_eur - due) > CENT:
        return f"it says {receipt.amount_eur} EUR, and {receipt.energy_kwh:g} kWh make {due}"
    if receipt.energy_kwh > charged_kwh * (1 + COUNT_ERROR) + COUNT_ERROR_KWH:
        return f"it says {receipt.energy_kwh:.2f} kWh, and the car counted {charged_kwh:.2f}"
    return None
