"""Tables without a browser: what a page of rows is, amounts to the cent, and text that stays text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from environment.page.market_charts import merit_chart
from environment.page.tables import Wanted, conversation, euros, facts, link, page_of, plain_table, span
from environment.watched.market_round import PER_KW, MarketOffer, MarketRound

START = datetime(2026, 3, 18, 17, tzinfo=UTC)
KEYS = {"kw": lambda each: each}


@pytest.mark.parametrize(
    ("amount", "sign", "text"),
    [
        ("0", True, "0.00 EUR"),
        ("12345678901234.56", True, "+12 345 678 901 234.56 EUR"),
        ("-0.07", False, "−0.07 EUR"),
        ("1000", False, "1 000.00 EUR"),
    ],
)
def test_an_amount_is_told_to_the_cent(amount: str, sign: bool, text: str) -> None:
    assert euros(Decimal(amount), sign=sign).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


def test_what_has_no_value_stands_last_in_either_order() -> None:
    rows = [2.0, None, 1.0, 3.0]
    for descending, expected in ((False, [1.0, 2.0, 3.0, None]), (True, [3.0, 2.0, 1.0, None])):
        shown, count = page_of(rows, Wanted("kw", descending, 0, 10), KEYS, lambda each: {"kw": each})
        assert ([row["kw"] for row in shown], count) == (expected, 4)


def test_a_page_is_a_page() -> None:
    shown, count = page_of(list(range(7)), Wanted("kw", False, 4, 2), KEYS, lambda each: {"kw": each})
    assert ([row["kw"] for row in shown], count) == ([4, 5], 7)


def test_text_of_a_stranger_stays_text() -> None:
    bad = "<script>alert(1)</script>"
    for html in (plain_table(bad, (bad,), [(bad,)]), facts([(bad, bad)]), str(link(bad, bad))):
        assert "<script" not in html
        assert "&lt;script&gt;" in html
    assert conversation("a/b&c=1") == "/negotiations?id=a%2Fb%26c%3D1"


def test_a_time_of_several_days_is_told_by_its_days() -> None:
    assert span(START, START + timedelta(minutes=15), UTC) == "18 Mar 17:00–17:15"
    midnight = START.replace(hour=0)
    assert span(midnight, midnight + timedelta(days=28), UTC) == "18 Mar to 14 Apr"


def test_a_merit_order_draws_need_price_and_what_was_taken() -> None:
    offers = (
        MarketOffer("b1", "vpp-a", 20.0, Decimal("0.05"), 20.0, Decimal("0.07"), "c"),
        MarketOffer("b2", "vpp-b", 30.0, Decimal("0.07"), 5.0, Decimal("0.07"), "c"),
    )
    market = MarketRound(
        "c", "BUC 6", "pool", "Pool 1", "dso", START, START, START + timedelta(minutes=15), 25.0, offers, 25.0,
        Decimal("0.07"), Decimal("0.30"), PER_KW, "bought", "c",
    )  # fmt: skip
    taken, left = merit_chart(market)["series"]
    assert taken["data"] == [[0.0, 0.05], [20.0, 0.05], [20.0, None], [20.0, 0.07], [25.0, 0.07], [25.0, None]]
    assert left["data"] == [[25.0, 0.07], [50.0, 0.07], [50.0, None]]
    assert [mark["name"] for mark in taken["markLine"]["data"]] == ["needed 25.0 kW", "clearing price 0.07"]
    assert [point["value"] for point in taken["markPoint"]["data"]] == ["✓ vpp-a", "✓ vpp-b"]
    assert taken["lineStyle"]["type"] != left["lineStyle"]["type"]
