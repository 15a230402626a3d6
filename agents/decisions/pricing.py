"""The most that a grid operator pays for flexibility: what its own way out of the congestion would cost.

D5.1 3.6.1: "before opening the pool, the DSO must determine the maximum price they are willing to pay, based on
internal data"; the Slovenian act (ZOEE, article 75) lets it buy where that is cheaper than more grid. The rule here:
the operator can let the overload happen (the transformer ages, and it may trip, and customers are cut off), or
reinforce. It pays up to the cheaper of the two. A voltage outside its band may not be let happen (EN 50160): there the
alternative is reinforcement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Literal

from agents.decisions.ageing import Heat, life_used_hours
from agents.decisions.money import PRICE_TICK

_PERIOD_HOURS = 0.25


@dataclass(frozen=True)
class OperatorCosts:
    """A DSO's own figures. The money amounts are assumptions of ours for a rural 20/0.4 kV station, to be replaced.

    `transformer_eur`: a new one, installed; `life_hours`: normal insulation life at 98 degrees C (180,000 h, IEEE
    C57.91). `reinforcement_eur`: a larger transformer and the cable works, used for `lifetime_years` at `interest` a
    year; `congested_hours` a year that it would spare. `lost_load_eur_per_kwh`: value of lost load to households.
    `trip_per_hour`: the chance that protection trips in an hour at 150 % loading, rising linearly from none at 100 %;
    `outage_hours`: until supply is back.
    """

    transformer_eur: float = 15_000.0
    life_hours: float = 180_000.0
    reinforcement_eur: float = 60_000.0
    lifetime_years: int = 40
    interest: float = 0.05
    congested_hours: float = 100.0
    lost_load_eur_per_kwh: float = 7.0
    trip_per_hour: float = 0.05
    outage_hours: float = 1.5

    def annuity_eur(self) -> float:
        """EUR a year that pays off the reinforcement over its lifetime."""
        if self.interest == 0:
            return self.reinforcement_eur / self.lifetime_years
        return self.reinforcement_eur * self.interest / (1 - (1 + self.interest) ** -self.lifetime_years)


@dataclass(frozen=True)
class MaximumPrice:
    """The price in EUR/kW for each 15 minutes, and the EUR over the window that it comes from.

    `basis` names the alternative that sets it.
    """

    price_eur_per_kw: Decimal
    ageing_eur: float
    interruption_eur: float
    reinforcement_eur: float
    basis: Literal["overload", "reinforcement"]


def maximum_price(
    costs: OperatorCosts,
    *,
    loading_percent: Sequence[float],
    relieved_percent: Sequence[float],
    load_kw: Sequence[float],
    power_kw: float,
    ambient_c: float = 20.0,
    heat: Heat | None = None,
    voltage: bool = False,
) -> MaximumPrice:
    """The most to pay for each kW and 15 minutes of a need of `power_kw`, rounded down to 0.0001.

    One value for each period of the window: the transformer's loading without and with the service, and what its
    customers draw. `voltage`: the need is one of voltage. Raises ValueError where the series differ in length or
    `power_kw` is not above 0.
    """
    periods = len(loading_percent)
    if not periods or not periods == len(relieved_percent) == len(load_kw) or not power_kw > 0:
        raise ValueError("one loading, one relieved loading and one load for each period, and a power above 0")
    without = life_used_hours([percent / 100 for percent in loading_percent], ambient_c=ambient_c, start=heat)
    with_it = life_used_hours([percent / 100 for percent in relieved_percent], ambient_c=ambient_c, start=heat)
    ageing = max(0.0, without - with_it) * costs.transformer_eur / costs.life_hours
    interruption = max(
        0.0,
        sum(
            (_trips(costs, before) - _trips(costs, after))
            * max(0.0, load)
            * costs.outage_hours
            * costs.lost_load_eur_per_kwh
            for before, after, load in zip(loading_percent, relieved_percent, load_kw, strict=True)
        ),
    )
    reinforcement = costs.annuity_eur() / costs.congested_hours * periods * _PERIOD_HOURS
    overload = ageing + interruption
    lets_happen = not voltage and overload < reinforcement
    worth = overload if lets_happen else reinforcement
    price = Decimal(repr(worth / (power_kw * periods))).quantize(PRICE_TICK, ROUND_FLOOR)
    return MaximumPrice(price, ageing, interruption, reinforcement, "overload" if lets_happen else "reinforcement")


def _trips(costs: OperatorCosts, percent: float) -> float:
    """The chance of a trip within one period."""
    return min(1.0, costs.trip_per_hour * max(0.0, percent - 100) / 50) * _PERIOD_HOURS
