"""The driver's decision on a manager's request (D5.1 3.3, 3.2): which activation to take, or why none.

"The customers decide whether to take action to assist in solving the networks congestion problem." Ours looks at the
price for each kWh, the state of charge that is left with, and the departure. It never agrees to leave with less than
asked for, unless the driver has said that a part may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.decisions.participation import Preference
from protocols.exchanges.congestion_services import ActivationKind, CustomerOption

_SAME_PERCENT = 0.05
"""Charger and manager round the state of charge."""
_SAME_EUR_PER_KWH = 0.001


@dataclass(frozen=True, slots=True)
class Consent:
    """What a driver agrees to beside the price. `flexible`: may leave with `least_share` of the charge asked for;
    `wear_eur_per_kwh` is what the driver reckons each kWh given back to cost the battery."""

    flexible: bool = False
    least_share: float = 0.8
    wear_eur_per_kwh: float = 0.0


@dataclass(frozen=True, slots=True)
class Wish:
    """The stay: until when, how full to leave, how empty never to be (percent), and how fast the charger is (kW)."""

    departure: datetime
    wanted_soc_percent: float
    minimum_soc_percent: float
    max_charge_kw: float


def choose(
    options: Sequence[CustomerOption], end: datetime, wish: Wish, preference: Preference, consent: Consent
) -> CustomerOption | str:
    """The option that pays best for each kWh after wear (about the same: the one that the manager prefers), or the
    reason against the first of them where none will do. `end` is when the service is over."""
    if not preference.willing:
        return "I take no part in services"
    if end > wish.departure:
        return "I leave before the service ends"
    reasons = [(option, _against(option, end, wish, preference, consent)) for option in options]
    accepted = [option for option, reason in reasons if reason is None]
    if not accepted:
        return reasons[0][1] or ""
    best = max(_net(option, consent) for option in accepted)
    return next(option for option in accepted if _net(option, consent) >= best - _SAME_EUR_PER_KWH)


def _net(option: CustomerOption, consent: Consent) -> float:
    """EUR/kWh that are left after wear."""
    wear = consent.wear_eur_per_kwh if option.kind is ActivationKind.DISCHARGE else 0.0
    return float(option.price_eur_per_kwh) - wear


def _against(option: CustomerOption, end: datetime, wish: Wish, preference: Preference, consent: Consent) -> str | None:
    least = max(wish.minimum_soc_percent, wish.wanted_soc_percent)
    if option.kind is ActivationKind.CURTAIL and consent.flexible:
        least = max(wish.minimum_soc_percent, consent.least_share * wish.wanted_soc_percent)
    if option.departure_soc_percent < least - _SAME_PERCENT:
        return f"I would leave with {option.departure_soc_percent:.1f} %, and want {least:.1f} % at least"
    hours = (wish.departure - end) / timedelta(hours=1)
    if option.kind is not ActivationKind.CURTAIL and option.energy_kwh > hours * wish.max_charge_kw:
        return f"{option.energy_kwh:.1f} kWh cannot be charged between the end and my departure"
    net = _net(option, consent)
    if net < preference.minimum_eur_per_kwh - 1e-9:
        return f"{net:.4f} EUR/kWh are less than the {preference.minimum_eur_per_kwh:.4f} EUR/kWh I take part for"
    pays = float(option.price_eur_per_kwh) * option.energy_kwh
    if pays < preference.minimum_eur - 1e-9:
        return f"{pays:.2f} EUR are less than the {preference.minimum_eur:.2f} EUR I take part for"
    return None
