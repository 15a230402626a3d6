"""What a grid operator pays for a congestion that vehicles solve (D5.1 3.3, Table 4: the "discharging and reduction
price per kWh" of a request). Pure.

The rule: never more than the congestion costs the operator (`agents.decisions.pricing`); from a quarter of that the
price rises with the part of the flexible power that is needed, up to all of it where all is needed. A kWh given back
costs its manager more than one that is not drawn (losses both ways, wear), and pays that much more. A second call for
what is still missing pays the middle between the first price and the most. A kWh given back relieves the network as one
that is not drawn does, so that the most holds for both; the reduction price stops below it by as much as a kWh given
back costs more, or at half of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from agents.decisions.money import PRICE_TICK
from agents.decisions.pricing import OperatorCosts, maximum_price

START_PART = Decimal("0.25")
"""Part of the most that is paid where hardly any of the flexible power is needed."""
PERIODS_PER_HOUR = 4


@dataclass(frozen=True, slots=True)
class CongestionPrices:
    """EUR/kWh for each kWh that is not drawn, and for each that is given back; neither is above `most`."""

    reduction: Decimal
    discharging: Decimal
    most: Decimal


def most_to_pay(
    costs: OperatorCosts,
    *,
    loading_percent: Sequence[float],
    relieved_percent: Sequence[float],
    limit_percent: float,
    load_kw: Sequence[float],
    power_kw: float,
    ambient_c: float,
    line: bool,
) -> Decimal:
    """What each kWh of a relief of `power_kw` is worth to the operator at most, EUR/kWh down to 0.0001.

    One value for each period: the loading of what is congested without and with the relief, and what is drawn behind
    it. Loadings count beside `limit_percent`: what the operator allows for the time being is the rating for that time.
    `line`: a cable's insulation ages otherwise than a transformer's, and is left out. Raises ValueError as
    `maximum_price` does, and on a limit that is not above 0.
    """
    if not limit_percent > 0:
        raise ValueError(f"a limit of {limit_percent} % is none")
    price = maximum_price(
        dataclasses.replace(costs, transformer_eur=0.0) if line else costs,
        loading_percent=[percent / limit_percent * 100 for percent in loading_percent],
        relieved_percent=[percent / limit_percent * 100 for percent in relieved_percent],
        load_kw=load_kw,
        power_kw=power_kw,
        ambient_c=ambient_c,
    )
    return price.price_eur_per_kw * PERIODS_PER_HOUR


def congestion_prices(most: Decimal, share: float, extra: Decimal) -> CongestionPrices:
    """The first call's prices. `share`: needed power over flexible power (above 1: vehicles must give back as well);
    `extra`: by how much a kWh given back costs more (EUR/kWh). Raises ValueError where one of them is negative."""
    if most < 0 or share < 0 or extra < 0:
        raise ValueError("a price, a share and an extra are not negative")
    part = START_PART + (1 - START_PART) * Decimal(repr(min(1.0, float(share))))
    return _prices((most * part).quantize(PRICE_TICK, ROUND_FLOOR), most, extra)


def second_prices(first: CongestionPrices, extra: Decimal) -> CongestionPrices:
    """The prices for what the first call left open: the middle between its price and the most."""
    return _prices(((first.reduction + first.most) / 2).quantize(PRICE_TICK, ROUND_HALF_EVEN), first.most, extra)


def _prices(reduction: Decimal, most: Decimal, extra: Decimal) -> CongestionPrices:
    reduction = min(reduction, max(most - extra, (most / 2).quantize(PRICE_TICK, ROUND_FLOOR)))
    return CongestionPrices(reduction, min(reduction + extra, most), most)
