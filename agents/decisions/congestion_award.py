"""Which offers (3.x.1) a grid operator takes against a congestion, and what is wrong with one. Pure.

The reduction price is the same for all, so that offers differ in how much of them is power given back, which costs
more, and in how reliable who makes them is: what does not come has to be bought again, so an offer is ranked by its
price over the part of it that is expected to come.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

from agents.decisions.congestion_gaps import Shown
from protocols.exchanges.congestion_services import ActivationKind, CongestionCall, SolutionOffer
from protocols.units import MARKET_PERIOD

LEAST_KW = 0.5
"""No manager is awarded less, unless it has offered less: it is not worth the messages."""
ROUNDED_KW = 1e-3
_STEP_KW = 0.1


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer of a manager (its JID) that keeps (0, 1] of what it promises."""

    manager: str
    offer: SolutionOffer
    reliability: float = 1.0


def offer_fault(
    call: CongestionCall,
    offer: SolutionOffer,
    scheduled_kw: Sequence[float],
    chargers: Collection[str],
    *,
    shown: Shown = Shown(),  # noqa: B008 - frozen
    discharge_kw: float,
    tolerance_kw: float,
    tolerance_part: float,
) -> str | None:
    """Why the offer is not believed, in words, None where it is.

    `scheduled_kw`: what its manager has told that its chargers at the call's buses draw in each period; the baseline
    may lie above it by `tolerance_kw` or by `tolerance_part` of it. A baseline below costs only the manager.
    `chargers`: those that the operator knows at these buses; each can give back at most `discharge_kw`. `shown`: what
    the meters have lately shown beside its schedule; who has told more than it draws, beyond the same tolerance, is not
    believed what it would draw either.
    """
    periods = (call.end - call.start) // MARKET_PERIOD
    if len(offer.baseline_kw) != periods:
        return f"its baseline has {len(offer.baseline_kw)} values for {periods} periods"
    if not shown.is_believed(tolerance_kw, tolerance_part):
        return f"at the last looks its chargers drew {-shown.gap_kw:.1f} kW less than its schedule said"
    for period, (claimed, told) in enumerate(zip(offer.baseline_kw, scheduled_kw, strict=True)):
        if claimed > told + max(tolerance_kw, tolerance_part * abs(told)):
            when = f"{call.start + period * MARKET_PERIOD:%H:%M}"
            return f"its baseline from {when} UTC is {claimed:.1f} kW, its schedule said {told:.1f} kW"
    if strangers := sorted({user for each in offer.activations for user in each.users}.difference(chargers)):
        return f"it names {', '.join(strangers[:3])}, which {'are' if len(strangers) > 1 else 'is'} not at the buses"
    most = sum(capped(offer.baseline_kw, scheduled_kw, shown)) / periods + discharge_kw * len(chargers)
    if offer.power_kw > most + ROUNDED_KW:
        return f"it offers {offer.power_kw:.1f} kW, where its chargers can do with {most:.1f} kW less at most"
    paid = sum(each.power_kw for each in offer.activations if each.cost_eur_per_kwh <= _price(call, each.kind))
    if offer.power_kw > paid + ROUNDED_KW:
        return f"it offers {offer.power_kw:.1f} kW, of which only {paid:.1f} kW cost no more than the call pays"
    return None


def capped(baseline_kw: Sequence[float], scheduled_kw: Sequence[float], shown: Shown) -> tuple[float, ...]:
    """The baseline by which an offer is settled: what it says, but no more than was told before the call with what the
    meters have lately shown beside that. kW by period, to the watt."""
    return tuple(
        round(min(claimed, told + shown.gap_kw), 3) for claimed, told in zip(baseline_kw, scheduled_kw, strict=True)
    )


def _price(call: CongestionCall, kind: ActivationKind) -> Decimal:
    return call.discharging_price_eur_per_kwh if kind is ActivationKind.DISCHARGE else call.reduction_price_eur_per_kwh


def given_back_part(offer: SolutionOffer, power_kw: float) -> float:
    """The part of `power_kw` that vehicles give back, by the merit order list, at most: a vehicle that gives back may
    also leave out what it would draw."""
    steps = _walk(offer, power_kw)
    back = sum(kw for _, kw, kind in steps if kind is ActivationKind.DISCHARGE)
    return back / sum(kw for _, kw, _ in steps)


def price_of(offer: SolutionOffer, power_kw: float, call: CongestionCall) -> float:
    """EUR/kWh that the operator pays for `power_kw` of the offer if all of it comes."""
    part = given_back_part(offer, power_kw)
    return (1 - part) * float(call.reduction_price_eur_per_kwh) + part * float(call.discharging_price_eur_per_kwh)


def choose_offers(call: CongestionCall, candidates: Sequence[Candidate], needed_kw: float) -> dict[str, float]:
    """The power in kW that each manager is awarded, in the order in which they are taken.

    Cheapest first (price over reliability), among equals the more reliable, the larger, then by name; until what is
    expected to come of all (power times reliability) is `needed_kw`. The last one is taken in part, up to the next
    0.1 kW, but not less than `LEAST_KW`. What is left of a need below a watt is met.
    """
    ranked = sorted(
        (each for each in candidates if each.reliability > 0),
        key=lambda each: (
            round(price_of(each.offer, min(each.offer.power_kw, needed_kw), call) / each.reliability, 9),
            -each.reliability,
            -each.offer.power_kw,
            each.manager,
        ),
    )
    taken: dict[str, float] = {}
    missing = needed_kw
    for each in ranked:
        if missing < ROUNDED_KW:
            break
        wanted = math.ceil(round(missing / each.reliability / _STEP_KW, 9)) * _STEP_KW
        power = round(min(each.offer.power_kw, max(wanted, LEAST_KW)), 3)
        power = min(power, each.offer.power_kw) or each.offer.power_kw
        taken[each.manager] = power
        missing -= power * each.reliability
    return taken


def by_charger(offer: SolutionOffer, power_kw: float) -> dict[str, float]:
    """Where the awarded power is likely to come from, kW by charger: the merit order list from its top."""
    shares: dict[str, float] = {}
    for user, kw, _ in _walk(offer, power_kw):
        shares[user] = shares.get(user, 0.0) + kw
    whole = sum(shares.values())
    return {user: kw * power_kw / whole for user, kw in shares.items()}


def _walk(offer: SolutionOffer, power_kw: float) -> list[tuple[str, float, ActivationKind]]:
    """(charger, kW, how) down the list until the power is met. An entry is shared evenly over its chargers; one that is
    in the list again, with an alternative that is larger, adds what that is larger by."""
    best: dict[str, float] = {}
    steps: list[tuple[str, float, ActivationKind]] = []
    left = power_kw
    for each in offer.activations:
        for user in each.users:
            more = min(left, each.power_kw / len(each.users) - best.get(user, 0.0))
            if more > 0:
                best[user] = best.get(user, 0.0) + more
                steps.append((user, more, each.kind))
                left -= more
    return steps
