"""What an activation is paid: delivered power, deficiency, remuneration and penalty for each 15-minute period.

The rule is UFTP's (USEF Flexibility Trading Protocol, phase "settle"): delivered = max(0, min(ordered, baseline -
allocation)), deficiency = max(0, allocation - (baseline - ordered)). Prices are EUR/kW for each period, powers in kW
to the watt, positive drawn; `ordered` is a reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.decisions.money import cents, running_cents, watts

_PERIOD_HOURS = Decimal("0.25")


@dataclass(frozen=True)
class SettledPeriod:
    """One period, exact: kW to the watt, EUR in cents that add up to the settlement's totals."""

    ordered_kw: Decimal
    baseline_kw: Decimal
    allocation_kw: Decimal
    delivered_kw: Decimal
    deficiency_kw: Decimal
    remuneration_eur: Decimal
    penalty_eur: Decimal

    @property
    def net_eur(self) -> Decimal:
        """Remuneration less penalty; negative where the deliverer owes."""
        return self.remuneration_eur - self.penalty_eur


@dataclass(frozen=True)
class Settlement:
    """All periods, and their totals: `amount_eur` = remuneration - penalty, negative where the payee owes the payer."""

    periods: tuple[SettledPeriod, ...]
    volume_kwh: Decimal
    remuneration_eur: Decimal
    penalty_eur: Decimal
    amount_eur: Decimal


def settle(
    baseline_kw: Sequence[float],
    allocation_kw: Sequence[float],
    ordered_kw: Sequence[float] | float,
    price_eur_per_kw: Decimal,
    penalty_eur_per_kw: Decimal,
) -> Settlement:
    """Settles an activation of which `allocation_kw` was metered.

    Amounts are exact until the end; totals are rounded to cents half to even, and the periods' cents are the running
    total's, so that they add up to it. Raises ValueError where the series differ in length or an order is negative.
    """
    orders = [ordered_kw] * len(baseline_kw) if isinstance(ordered_kw, int | float) else list(ordered_kw)
    if not len(baseline_kw) == len(allocation_kw) == len(orders):
        raise ValueError(
            f"{len(baseline_kw)} baselines, {len(allocation_kw)} allocations and {len(orders)} orders do not match"
        )
    if any(order < 0 for order in orders):
        raise ValueError("an order is a reduction and must not be negative")
    rows = [(watts(o), watts(b), watts(a)) for o, b, a in zip(orders, baseline_kw, allocation_kw, strict=True)]
    zero = Decimal(0)
    delivered = [max(zero, min(o, b - a)) for o, b, a in rows]
    deficient = [max(zero, a - (b - o)) for o, b, a in rows]
    earned = running_cents(kw * price_eur_per_kw for kw in delivered)
    owed = running_cents(kw * penalty_eur_per_kw for kw in deficient)
    periods = tuple(
        SettledPeriod(*row, *rest)
        for row, rest in zip(rows, zip(delivered, deficient, earned, owed, strict=True), strict=True)
    )
    remuneration, penalty = cents(sum(earned, zero)), cents(sum(owed, zero))
    return Settlement(periods, sum(delivered, zero) * _PERIOD_HOURS, remuneration, penalty, remuneration - penalty)


@dataclass(frozen=True)
class VolumeAgreed:
    """Both sides' figures are the same within the tolerance."""


@dataclass(frozen=True)
class VolumeDisputed:
    """The periods (indices) in which the claim is off, and the reason in words."""

    periods: tuple[int, ...]
    reason: str


def agree_volume(
    claimed_kw: Sequence[float],
    own_kw: Sequence[float],
    *,
    tolerance_kw: float = 0.1,
    tolerance_part: float = 0.02,
) -> VolumeAgreed | VolumeDisputed:
    """Does the claimed delivery, period by period, agree with one's own figures?

    A period agrees within the larger of `tolerance_kw` and `tolerance_part` of one's own value (2 %: two meters of
    class 1 of IEC 62053-21, one on each side).
    """
    if len(claimed_kw) != len(own_kw):
        return VolumeDisputed(
            tuple(range(min(len(claimed_kw), len(own_kw)), max(len(claimed_kw), len(own_kw)))),
            f"the claim has {len(claimed_kw)} periods, the activation {len(own_kw)}",
        )
    gaps = [abs(claimed - own) for claimed, own in zip(claimed_kw, own_kw, strict=True)]
    off = tuple(
        i
        for i, (gap, own) in enumerate(zip(gaps, own_kw, strict=True))
        if not gap <= max(tolerance_kw, tolerance_part * abs(own)) + 1e-9
    )
    if not off:
        return VolumeAgreed()
    worst = max(off, key=lambda i: gaps[i])
    return VolumeDisputed(
        off,
        f"{len(off)} of {len(own_kw)} periods differ; period {worst}: claimed {claimed_kw[worst]:.3f} kW, "
        f"own {own_kw[worst]:.3f} kW",
    )
