"""What a manager's vehicles delivered against a congestion, by the chargers' meters, and what it is paid (3.x.3). Pure.

In each market period: delivered = what was metered below the baseline of the offer, at most what was awarded. Of it,
what chargers' meters counted as given back is paid as such, and at least what lies below a baseline of zero; the rest
is consumption left out. What is missing beyond a tolerance costs a part of the reduction price. Powers in kW to the
watt, positive drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.decisions.money import cents, watts

PERIOD_HOURS = Decimal("0.25")


@dataclass(frozen=True, slots=True)
class VolumeTerms:
    """Prices in EUR/kWh; `penalty_part` of the reduction price for each kWh missing beyond `tolerance` (a part of what
    was awarded in the period)."""

    reduction: Decimal
    discharging: Decimal
    penalty_part: Decimal = Decimal("0.5")
    tolerance: Decimal = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Volume:
    """What a service came to: kWh to a quarter of a watt-hour, EUR in cents.

    `reduced_kwh` was not drawn, `discharged_kwh` was given back; `missing_kwh` is all that was awarded and did not
    come, within the tolerance or not. `amount_eur` is negative where the manager owes.
    """

    reduced_kwh: Decimal
    discharged_kwh: Decimal
    missing_kwh: Decimal
    remuneration_eur: Decimal
    penalty_eur: Decimal

    @property
    def delivered_kwh(self) -> Decimal:
        return self.reduced_kwh + self.discharged_kwh

    @property
    def amount_eur(self) -> Decimal:
        return self.remuneration_eur - self.penalty_eur


def settle_volume(
    baseline_kw: Sequence[float],
    metered_kw: Sequence[float],
    awarded_kw: float,
    terms: VolumeTerms,
    *,
    given_back_kw: Sequence[float] | None = None,
    free: Collection[int] = (),
) -> Volume:
    """One baseline and one metered mean for each period. `given_back_kw`: what single chargers gave back in it, all
    together (>= 0), where others may have drawn at the same time; None where only the sum is known. `free`: the periods
    in which nothing missing is penalised (the service was called off within them). Raises ValueError where the series
    differ in length or nothing is awarded."""
    back = [0.0] * len(metered_kw) if given_back_kw is None else given_back_kw
    if not len(baseline_kw) == len(metered_kw) == len(back):
        raise ValueError(f"{len(baseline_kw)} baselines and {len(metered_kw)} metered values do not match")
    awarded, zero = watts(awarded_kw), Decimal(0)
    if not awarded > 0:
        raise ValueError(f"an award of {awarded_kw} kW is none")
    reduced = discharged = missing = penalised = zero
    rows = zip(map(watts, baseline_kw), map(watts, metered_kw), map(watts, back), strict=True)
    for period, (planned, drawn, given) in enumerate(rows):
        delivered = max(zero, min(awarded, planned - drawn))
        spared = min(max(zero, delivered - given), max(zero, planned))
        reduced += spared
        discharged += delivered - spared
        missing += awarded - delivered
        if period not in free:
            penalised += max(zero, awarded - delivered - awarded * terms.tolerance)
    return Volume(
        reduced_kwh=reduced * PERIOD_HOURS,
        discharged_kwh=discharged * PERIOD_HOURS,
        missing_kwh=missing * PERIOD_HOURS,
        remuneration_eur=cents(PERIOD_HOURS * (reduced * terms.reduction + discharged * terms.discharging)),
        penalty_eur=cents(PERIOD_HOURS * penalised * terms.reduction * terms.penalty_part),
    )
