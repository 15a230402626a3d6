"""The decision algorithm of D5.1 3.3: whether a V2X manager takes part in solving a congestion, and with how much.

"The algorithm considers variables like availability of resources, if customer is willing to participate, the cost of
participating, and the potential benefits of participating." Ours, in this order:

1. Availability: the merit order list (`merit_order`), in which is only what leaves every driver with what is due.
2. Willingness: each driver takes part with the probability that the answers so far suggest (`Willingness`).
3. Cost: going down the list, energy comes at the cost of what is passed; what is promised and does not come is taken to
   cost `penalty_factor` times the reduction price.
4. Benefit: of all powers from 0.1 kW up to what was asked for, and all depths of the list, the one with the highest
   expected profit is offered, if that is at least the minimum benefit for each kWh expected.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from agents.decisions.merit_order import HOURS, Activation, CongestionTerms, Entry, Service, walk
from agents.decisions.vehicle_offer import LEAST_OFFER_KW
from protocols.exchanges.congestion_services import ActivationKind

STEP_KW = 0.1
PRIOR_YES, PRIOR_ASKED = 3.0, 4.0
"""Before anybody has answered three drivers of four are taken to agree. An assumption."""


@dataclass(frozen=True, slots=True)
class Willingness:
    """How drivers have answered so far: (asked, agreed) by kind of activation; a count of a Beta distribution."""

    counts: Mapping[ActivationKind, tuple[int, int]] = field(default_factory=dict)

    def expected(self, kind: ActivationKind) -> float:
        """The probability that the next driver agrees."""
        asked, agreed = self.counts.get(kind, (0, 0))
        return (agreed + PRIOR_YES) / (asked + PRIOR_ASKED)

    def after(self, kind: ActivationKind, agreed: bool) -> Willingness:
        """With one more answer."""
        asked, yes = self.counts.get(kind, (0, 0))
        return replace(self, counts={**self.counts, kind: (asked + 1, yes + agreed)})


@dataclass(frozen=True, slots=True)
class Decision:
    """What is offered: `power_kw` (0: nothing) out of the first `depth` entries; `delivered_kwh` and `profit_eur` are
    expected."""

    power_kw: float
    depth: int
    delivered_kwh: float
    profit_eur: float

    @property
    def benefit_eur_per_kwh(self) -> float:
        return self.profit_eur / self.delivered_kwh if self.delivered_kwh > 0 else 0.0


def decide(
    entries: Sequence[Entry], asked_kw: float, service: Service, terms: CongestionTerms, willingness: Willingness
) -> Decision:
    """The offer with the highest expected profit; of equal ones the smallest. With a power of 0 where even that brings
    less than the minimum benefit for each kWh, or less than `LEAST_OFFER_KW` could be offered: then the figures are
    those of the best that was considered."""
    best = Decision(0.0, 0, 0.0, 0.0)
    for depth in range(1, len(entries) + 1):
        chosen = walk(entries, depth)
        odds = [willingness.expected(part.kind) for part in chosen]
        most = min(asked_kw, sum(part.mean_kw for part in chosen))
        powers: NDArray[np.float64] = STEP_KW * np.arange(1, int(most / STEP_KW + 1e-6) + 1, dtype=np.float64)
        powers = powers[powers >= LEAST_OFFER_KW - 1e-9]
        if not len(powers):
            continue
        kwh = np.mean([_delivered(chosen, odds, k, powers) for k in range(service.periods)], axis=0)
        kwh = kwh * service.periods * HOURS
        profit = _margin(chosen, odds, kwh)
        profit -= terms.penalty_factor * service.reduction_price * (powers * service.periods * HOURS - kwh)
        at = int(np.argmax(profit))
        if not best.depth or profit[at] > best.profit_eur + 1e-9:
            best = Decision(round(float(powers[at]), 3), depth, float(kwh[at]), float(profit[at]))
    if best.delivered_kwh <= 0 or best.benefit_eur_per_kwh < terms.minimum_benefit - 1e-9:
        return replace(best, power_kw=0.0)
    return best


def next_wave(
    entries: Sequence[Entry], free: Collection[str], missing_kw: float, willingness: Willingness
) -> dict[str, list[tuple[str, Activation]]]:
    """Whose drivers to ask next, and for which activations (with their ids): as many as are expected to bring what is
    missing, and no activation further down the list than is needed for that. Of the chargers in `free` only."""
    chosen: list[Activation] = []
    depth = 0
    while depth < len(entries) and _expected(chosen, willingness) < missing_kw:
        depth += 1
        chosen = [part for part in walk(entries, depth) if part.charger_id in free]
    wave: dict[str, list[tuple[str, Activation]]] = {}
    for part in chosen:
        if missing_kw < LEAST_OFFER_KW:
            break
        wave[part.charger_id] = [
            (entry.activation_id, each)
            for entry in entries[:depth]
            for each in entry.parts
            if each.charger_id == part.charger_id
        ]
        missing_kw -= _expected([part], willingness)
    return wave


def _expected(parts: Sequence[Activation], willingness: Willingness) -> float:
    return sum(part.mean_kw * willingness.expected(part.kind) for part in parts)


def _delivered(
    chosen: Sequence[Activation], odds: Sequence[float], period: int, powers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean of min(power, what those who agree reduce in that market period), for each power, exact on a grid of
    `STEP_KW` (rounded down)."""
    steps = [int(part.reduction_kw[period] / STEP_KW + 1e-6) for part in chosen]
    chance = np.zeros(sum(steps) + 1)
    chance[0] = 1.0
    for step, probability in zip(steps, odds, strict=True):
        if step:
            moved = np.concatenate([np.zeros(step), chance[:-step]])
            chance = (1 - probability) * chance + probability * moved
    # the mean of min(q, Y) is the sum of P(Y >= j) over the grid up to q
    at_least = np.cumsum(chance[::-1])[::-1]
    means = np.concatenate([[0.0], np.cumsum(at_least[1:])]) * STEP_KW
    return np.asarray(means[np.minimum(np.round(powers / STEP_KW).astype(int), len(means) - 1)])


def _margin(chosen: Sequence[Activation], odds: Sequence[float], kwh: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is earned with so much energy, taken from the activations in their order as far as their drivers are
    expected to agree."""
    energy = [probability * part.energy_kwh for part, probability in zip(chosen, odds, strict=True)]
    earned = [each * part.margin_eur_per_kwh for each, part in zip(energy, chosen, strict=True)]
    return np.asarray(np.interp(kwh, np.cumsum([0.0, *energy]), np.cumsum([0.0, *earned])))
