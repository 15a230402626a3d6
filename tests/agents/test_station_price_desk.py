"""Which prices hold at which station, and how they are told."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from agents.station_price_desk import StationPriceDesk
from protocols.exchanges.network_prices import NetworkPriceReduction
from tests.agents.stage import at
from tests.agents.station_stage import FAR, HUB, TARIFF


def reduction(name: str, eur: str, start: datetime, end: datetime, *places: str) -> NetworkPriceReduction:
    return NetworkPriceReduction(
        reduction_id=name,
        timestamp=at(0),
        locations=places,
        reduction_eur_per_kwh=Decimal(eur),
        start=start,
        end=end,
    )


def desk(*reductions: NetworkPriceReduction) -> StationPriceDesk:
    found = StationPriceDesk((HUB, FAR), TARIFF)
    for each in reductions:
        assert found.fault(each, at(0)) is None
        assert found.add(each)
    return found


def test_a_price_is_reduced_at_its_places_and_times_only() -> None:
    prices = desk(reduction("n1", "0.05", at(60), at(120), "Bus 5"))
    assert [prices.price_at("hub1", at(m)) for m in (59, 60, 119, 120)] == [
        Decimal(each) for each in ("0.50", "0.45", "0.45", "0.50")
    ]
    assert prices.price_at("far1", at(60)) == Decimal("0.50")


def test_news_is_told_in_stretches_of_one_price() -> None:
    later = reduction("n2", "0.02", at(90), at(180), "Bus 5", "Bus 8")
    prices = desk(reduction("n1", "0.05", at(60), at(120), "Bus 5"), later)
    told = [(news.start, news.end, [s.price_eur_per_kwh for s in news.stations]) for news in prices.news(later, at(0))]
    assert told == [
        (at(90), at(120), [Decimal("0.45"), Decimal("0.48")]),
        (at(120), at(180), [Decimal("0.48"), Decimal("0.48")]),
    ]


def test_what_is_elsewhere_is_no_news() -> None:
    elsewhere = reduction("n1", "0.05", at(60), at(120), "Bus 11")
    assert desk(elsewhere).news(elsewhere, at(0)) == []


def test_a_price_that_was_asked_for_before_follows_a_later_reduction() -> None:
    prices = desk()
    assert prices.price_at("hub1", at(60)) == Decimal("0.50")
    assert prices.add(reduction("n1", "0.05", at(60), at(120), "Bus 5"))
    assert not prices.add(reduction("n1", "0.05", at(60), at(120), "Bus 5"))
    assert prices.price_at("hub1", at(60)) == Decimal("0.45")
