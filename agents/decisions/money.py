"""Exact money: cents in `Decimal`, rounded half to even, with nothing lost on the way.

Measured kW are floats; they become `Decimal` at the watt, where a meter's resolution ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")
WATT = Decimal("0.001")
PRICE_TICK = Decimal("0.0001")


def cents(amount_eur: Decimal) -> Decimal:
    """EUR to the cent, half to even (IEEE 754's rule: no drift over many roundings)."""
    return amount_eur.quantize(CENT, ROUND_HALF_EVEN)


def watts(power_kw: float) -> Decimal:
    """kW as an exact decimal, to the watt, half to even. Raises ValueError where it is not finite."""
    exact = Decimal(repr(float(power_kw)))
    if not exact.is_finite():
        raise ValueError(f"{power_kw} is not a power")
    return exact.quantize(WATT, ROUND_HALF_EVEN)


def price_up(price_eur_per_kw: float) -> Decimal:
    """EUR/kW to the tick of 0.0001, upwards: what is asked never falls below what it costs."""
    # a hair above a tick is the float's noise, not a cost
    return Decimal(repr(round(float(price_eur_per_kw), 9))).quantize(PRICE_TICK, ROUND_CEILING)


def running_cents(amounts_eur: Iterable[Decimal]) -> tuple[Decimal, ...]:
    """Each amount in cents, so that they add up to the rounded total: every step is the running total's rounding."""
    rounded: list[Decimal] = []
    exact = shown = Decimal(0)
    for amount in amounts_eur:
        exact += amount
        step = cents(exact) - shown
        shown += step
        rounded.append(cents(step))
    return tuple(rounded)


def split(amount_eur: Decimal, weights: Sequence[float]) -> tuple[Decimal, ...]:
    """`amount_eur` (whole cents) shared out by weight, to the last cent (largest remainder, then the earlier one).

    Raises ValueError on a negative weight, on no positive weight, or where the amount is not whole cents.
    """
    if amount_eur != cents(amount_eur):
        raise ValueError(f"{amount_eur} EUR is not whole cents")
    exact = [Decimal(repr(float(weight))) for weight in weights]
    whole = sum(exact, Decimal(0))
    if any(weight < 0 for weight in exact) or not whole > 0:
        raise ValueError("weights must not be negative, and one must be above 0")
    sign = -1 if amount_eur < 0 else 1
    total = int(abs(amount_eur) / CENT)
    shares = [total * weight / whole for weight in exact]
    counts = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return tuple(sign * count * CENT for count in counts)
