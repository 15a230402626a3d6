"""What a kWh costs at a station while network use is cheaper."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from agents.decisions.station_prices import StationTariff, price_at, reduction_at
from protocols import exchanges as x

NOON = datetime(2026, 6, 8, 12, tzinfo=UTC)
TARIFF = StationTariff(Decimal("0.60"), Decimal("0.08"))


@dataclass(frozen=True)
class Cheaper:
    locations: tuple[str, ...]
    start: datetime
    end: datetime
    reduction_eur_per_kwh: Decimal


def cheaper(eur: str, *locations: str, hours: float = 1) -> Cheaper:
    return Cheaper(locations, NOON, NOON + timedelta(hours=hours), Decimal(eur))


def test_a_reduction_holds_at_its_places_from_its_start_until_before_its_end() -> None:
    reductions = [cheaper("0.05", "bus-8", "bus-9")]
    assert price_at(TARIFF, reductions, "bus-8", NOON) == Decimal("0.55")
    assert price_at(TARIFF, reductions, "bus-7", NOON) == Decimal("0.60")
    assert price_at(TARIFF, reductions, "bus-8", NOON - timedelta(seconds=1)) == Decimal("0.60")
    assert price_at(TARIFF, reductions, "bus-8", NOON + timedelta(hours=1)) == Decimal("0.60")


def test_the_largest_of_several_holds() -> None:
    reductions = [cheaper("0.02", "bus-8"), cheaper("0.05", "bus-8"), cheaper("0.03", "bus-8", hours=2)]
    assert reduction_at(reductions, "bus-8", NOON) == Decimal("0.05")
    assert reduction_at(reductions, "bus-8", NOON + timedelta(minutes=90)) == Decimal("0.03")
    assert reduction_at([], "bus-8", NOON) == 0


def test_no_more_than_network_use_is_taken_off() -> None:
    assert price_at(TARIFF, [cheaper("0.90", "bus-8")], "bus-8", NOON) == Decimal("0.52")
    free = StationTariff(Decimal("0.08"), Decimal("0.08"))
    assert price_at(free, [cheaper("0.90", "bus-8")], "bus-8", NOON) == 0


def test_what_the_dso_sends_is_a_reduction() -> None:
    content = x.NetworkPriceReduction(
        reduction_id="r-1",
        timestamp=NOON - timedelta(hours=2),
        locations=("bus-8",),
        reduction_eur_per_kwh=Decimal("0.04"),
        start=NOON,
        end=NOON + timedelta(hours=1),
    )
    assert price_at(TARIFF, [content], "bus-8", NOON) == Decimal("0.56")


@pytest.mark.parametrize(("usual", "network"), [("0.60", "-0.01"), ("0.05", "0.06")])
def test_network_use_is_a_part_of_the_price(usual: str, network: str) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        StationTariff(Decimal(usual), Decimal(network))
