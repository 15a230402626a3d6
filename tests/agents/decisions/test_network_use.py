"""What stations owe for network use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from agents.decisions.network_use import NetworkUse, network_use

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PRICE = Decimal("0.08")
PLACES = {"s1": "Bus 5", "s2": "Bus 8"}


@dataclass(frozen=True)
class Less:
    locations: tuple[str, ...]
    start: datetime
    end: datetime
    reduction_eur_per_kwh: Decimal


def test_only_the_reduced_hours_of_the_places_named_are_cheaper() -> None:
    less = [Less(("Bus 5",), NOON + HOUR, NOON + 2 * HOUR, Decimal("0.05"))]
    kw = {"s1": [100.0] * 12, "s2": [40.0] * 12}
    use = network_use(kw, PLACES, NOON, PRICE, less)
    assert use == NetworkUse(420.0, 100.0, Decimal("33.60"), Decimal("5.00"))


def test_of_two_reductions_the_larger_holds_and_none_makes_the_network_pay() -> None:
    less = [Less(("Bus 5",), NOON, NOON + HOUR, Decimal(each)) for each in ("0.05", "0.30")]
    use = network_use({"s1": [100.0] * 4}, PLACES, NOON, PRICE, less)
    assert (use.usual_eur, use.reduction_eur) == (Decimal("8.00"), Decimal("8.00"))


def test_a_reduction_for_nothing_drawn_takes_nothing_off() -> None:
    less = [Less(("Bus 5",), NOON, NOON + HOUR, Decimal("0.05"))]
    use = network_use({"s1": [0.0] * 4 + [10.0] * 4, "s2": [-5.0] * 8}, PLACES, NOON, PRICE, less)
    assert use == NetworkUse(10.0, 0.0, Decimal("0.80"), Decimal("0.00"))
