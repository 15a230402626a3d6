"""What an activation is paid: delivered power, deficiency, remuneration and penalty for each 15-minute period.

The rule is UFTP's (USEF Flexibility Trading Protocol, phase "settle"): delivered = max(0, min(ordered, baseline -
allocation)), deficiency = max(0, allocation - (baseline - ordered)). Prices are EUR/kW for each period, powers in kW
to the watt, positive drawn; `ordered` is a reduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from agents.decisions.money import cents, running_cents, watts

_PERIOD_HOURS = Decimal("0.25")
_PERIOD = timedelta(minutes=15)
_ROUNDING_KW = 0.01


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
    *,
    penalty_for_ordered_only: bool = False,
) -> Settlement:
    """Settles an activation of which `allocation_kw` was metered.

    UFTP's deficiency grows with what is drawn above the baseline. With `penalty_for_ordered_only` it is never more than
    what was ordered: a product whose penalty is "for power that was not delivered" (1.x.1) has no larger one.

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
    if penalty_for_ordered_only:
        deficient = [min(missing, o) for missing, (o, _, _) in zip(deficient, rows, strict=True)]
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


@dataclass(frozen=True)
class Sold:
    """A reduction that a portfolio owes from start to end: `power_kw` below `baseline_kw` (one value for each period;
    empty where nothing was nominated)."""

    start: datetime
    end: datetime
    power_kw: float
    baseline_kw: Sequence[float]


def baseline_fault(
    start: datetime,
    end: datetime,
    nominated_kw: Sequence[float] | None,
    registered_kw: float,
    earlier: Iterable[Sold],
) -> str | None:
    """Why a reduction from start to end cannot be measured apart from what the same portfolio sold `earlier`, None
    where it can.

    A nomination must not be above `registered_kw`, all that the portfolio's chargers can draw, nor above the power down
    to which its consumption is sold already: the same kW would be paid twice, whether the earlier promise is kept or
    not. `nominated_kw` None is a baseline from the meters: what they show before and after a service holds every other
    service in it, so that two services at one time cannot be told apart, and the second is not bought.
    """
    overlapping = [sold for sold in earlier if sold.start < end and start < sold.end]
    if nominated_kw is None:
        return "it overlaps an earlier service, and a metered baseline cannot tell two apart" if overlapping else None
    periods = (end - start) // _PERIOD
    if len(nominated_kw) != periods:
        return f"the nomination has {len(nominated_kw)} values for {periods} periods"
    if max(nominated_kw) > registered_kw + _ROUNDING_KW:
        return f"{max(nominated_kw):g} kW are nominated, and the registered chargers draw {registered_kw:g} kW at most"
    for sold in overlapping:
        if not sold.baseline_kw:
            return "it overlaps an earlier service of which no baseline is known"
        for k, level in enumerate(sold.baseline_kw):
            number = (sold.start + k * _PERIOD - start) // _PERIOD
            if 0 <= number < periods and nominated_kw[number] > level - sold.power_kw + _ROUNDING_KW:
                return (
                    f"{nominated_kw[number]:g} kW are nominated where the consumption is sold down to "
                    f"{level - sold.power_kw:g} kW already"
                )
    return None
