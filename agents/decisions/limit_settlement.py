"""What a day of a capacity contract is worth, by the limit and the station's meter. Pure.

D5.1 3.5: "power-based flexibility": what counts is the power that the meter has, and no baseline is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.decisions.money import cents, watts
from protocols.units import as_money

_MINUTES = 60
_WATT_HOURS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What the meter has while a limit holds: the highest kW of any second, and the kWh above the limit."""

    highest_kw: float
    excess_kwh: float


def day_eur(price_eur: Decimal, day: int, days: int) -> Decimal:
    """The part of a contract's price that its day number `day` (from 0, of `days`) is worth, EUR in whole cents.

    All days add up to the price to the cent. Raises ValueError for a day that the contract does not have.
    """
    if not 0 <= day < days:
        raise ValueError(f"day {day} is none of the contract's {days} days")
    return cents(price_eur * (day + 1) / days) - cents(price_eur * day / days)


def above(limit_kw: float, peaks_kw: Sequence[float]) -> tuple[int, ...]:
    """The numbers of the quarters of an hour whose highest second is above the limit, to the watt."""
    return tuple(k for k, kw in enumerate(peaks_kw) if watts(kw) > watts(limit_kw))


def measured(limit_kw: float, peaks_kw: Sequence[float], minutes_kw: Mapping[int, Sequence[float]]) -> Measured:
    """What was drawn above `limit_kw`. `peaks_kw`: the highest kW of each quarter of an hour; `minutes_kw`: the means
    of the minutes of those that are `above`. Raises ValueError without peaks, LookupError without such minutes."""
    if not peaks_kw:
        raise ValueError("no quarter of an hour was measured")
    limit = watts(limit_kw)
    excess = Decimal(0)
    for k in above(limit_kw, peaks_kw):
        excess += sum((max(Decimal(0), watts(kw) - limit) for kw in minutes_kw[k]), Decimal(0)) / _MINUTES
    return Measured(float(max(watts(kw) for kw in peaks_kw)), round(float(excess), _WATT_HOURS))


def penalty_eur(excess_kwh: float, penalty_eur_per_kwh: Decimal) -> Decimal:
    """EUR for what was drawn above a limit."""
    return as_money(penalty_eur_per_kwh * Decimal(repr(excess_kwh)))
