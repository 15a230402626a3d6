"""The EV owner's decision: take part in a service or not.

D5.1 3.1.2 and 3.6.2: owners are told "the type of service, the time stamp, the power provided or demanded, and the
benefit for participating in the services", and decide. Ours never agrees to what would cost the charge asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

_HOUR_SECONDS = 3600.0
# a reduction planned to the edge of what is possible must not fail by a float's last digits: 1 Wh
_TOLERANCE_KWH = 1e-3


@dataclass(frozen=True, slots=True)
class Offer:
    """What is asked: on average `power_kw` less drawn (or more given) from `start` to `end`, for `benefit_eur`."""

    start: datetime
    end: datetime
    power_kw: float
    benefit_eur: float

    @property
    def energy_kwh(self) -> float:
        """What is not drawn, or given, at the grid's side."""
        return self.power_kw * (self.end - self.start).total_seconds() / _HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class Stay:
    """The owner's own stay: what is still to be charged at `now` (battery side) until `departure`.

    `spare_kwh` is what the battery holds above the driver's floor (None: nothing is known, the floor is the charger's
    concern). `now` defaults to the offer's start: the more careful reading, nothing is charged before it.
    """

    departure: datetime
    energy_required_kwh: float
    max_charge_kw: float
    efficiency_charge: float = 0.95
    efficiency_discharge: float = 0.95
    spare_kwh: float | None = None
    now: datetime | None = None


@dataclass(frozen=True, slots=True)
class Preference:
    """What the owner takes part for: at least `minimum_eur` for the activation and `minimum_eur_per_kwh` of energy.

    `willing` False: never (does not read the messages, or does not want it).
    """

    minimum_eur: float = 0.0
    minimum_eur_per_kwh: float = 0.0
    willing: bool = True


def decide(offer: Offer, stay: Stay, preference: Preference) -> str | None:
    """None to take part, else the reason against it.

    Taking part must leave the charge wanted within reach: what is withheld, and what is given with its losses, must fit
    between the window's end and the departure at full charging power, besides what was still to be charged anyway.
    """
    if not preference.willing:
        return "I take no part in services"
    if offer.end > stay.departure:
        return "I leave before the service ends"
    shortfall = _missing_kwh(offer, stay)
    if shortfall > _TOLERANCE_KWH:
        return f"I would leave {shortfall:.1f} kWh short of the charge I asked for"
    least = max(preference.minimum_eur, preference.minimum_eur_per_kwh * max(0.0, offer.energy_kwh))
    # half a cent: benefits come in whole cents
    if offer.benefit_eur < least - 0.005:
        return f"{offer.benefit_eur:.2f} EUR is less than the {least:.2f} EUR I want for it"
    return None


def draw_preferences(
    rng: np.random.Generator,
    count: int,
    *,
    unwilling: float = 0.05,
    median_eur_per_kwh: float = 0.05,
    spread: float = 0.5,
) -> tuple[Preference, ...]:
    """Seeded preferences: thresholds lognormal about the median (EUR/kWh), a part that never takes part.

    The figures are this simulation's assumption, not a measurement; a scenario may set its own.
    """
    thresholds = median_eur_per_kwh * np.exp(spread * rng.standard_normal(count))
    refuses = rng.random(count) < unwilling
    return tuple(
        Preference(minimum_eur_per_kwh=round(float(threshold), 4), willing=not bool(no))
        for threshold, no in zip(thresholds, refuses, strict=True)
    )


def _missing_kwh(offer: Offer, stay: Stay) -> float:
    """kWh short of the wanted charge at departure, or of the floor in the window, if the owner takes part."""

    def chargeable(start: datetime, end: datetime) -> float:
        return max(0.0, (end - start).total_seconds() / _HOUR_SECONDS) * stay.max_charge_kw * stay.efficiency_charge

    before = chargeable(min(stay.now, offer.start), offer.start) if stay.now is not None else 0.0
    still = max(0.0, stay.energy_required_kwh - before)
    gained_before = min(max(0.0, stay.energy_required_kwh), before)
    would_charge = min(still, chargeable(offer.start, offer.end))
    # the first part of the reduction is charging withheld, the rest comes out of the battery with its losses
    withheld = min(max(0.0, offer.energy_kwh) * stay.efficiency_charge, would_charge)
    given = max(0.0, offer.energy_kwh - withheld / stay.efficiency_charge) / stay.efficiency_discharge
    after_window = still - (would_charge - withheld) + given
    missing = after_window - chargeable(offer.end, stay.departure)
    if stay.spare_kwh is not None:
        missing = max(missing, given - (stay.spare_kwh + gained_before))
    return missing
