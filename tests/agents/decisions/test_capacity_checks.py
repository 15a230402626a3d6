"""What the market's operator lets pass and what it refuses, each fault with its number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.capacity_checks import (
    curve_faults,
    decision_faults,
    possible_limits,
    price_on,
    purchase_faults,
    terms_faults,
)
from protocols.exchanges.capacity_contracts import (
    ApprovedBid,
    AuctionCall,
    AuctionTerms,
    CurvePoint,
    ProcurementDecision,
    Purchase,
    Station,
)

ATHENS = ZoneInfo("Europe/Athens")
NOW = datetime(2026, 6, 7, 9, 15, tzinfo=UTC)
MIDNIGHT = datetime(2026, 6, 8, tzinfo=ATHENS)
ATTRIBUTES: dict[str, Any] = {
    "terms_id": "t1",
    "timestamp": NOW,
    "gate_closure": NOW + timedelta(minutes=30),
    "period_start": MIDNIGHT,
    "period_end": MIDNIGHT + timedelta(days=28),
    "window_start": "17:00",
    "window_end": "22:00",
    "most_activations": 12,
    "notice_minutes": 720,
    "least_points": 3,
    "most_points": 5,
    "step_kw": 20.0,
    "lowest_limit_kw": 60.0,
    "most_eur": Decimal("500.00"),
    "penalty_eur_per_kwh": Decimal("1.500000"),
}
STATION = Station(
    station_id="hub1", location="Bus 5", latitude_deg=37.9, longitude_deg=23.9, connection_kw=250.0, chargers=5
)
CALL = AuctionCall(**ATTRIBUTES, call_id="t1/hub1", dso="hedno@localhost", station_id="hub1", location="Bus 5")


def terms(**changes: Any) -> AuctionTerms:
    return AuctionTerms(**(ATTRIBUTES | {"locations": ("Bus 5", "Bus 9")} | changes))


def points(*pairs: tuple[float, str]) -> tuple[CurvePoint, ...]:
    return tuple(CurvePoint(limit_kw=limit, price_eur=Decimal(price)) for limit, price in pairs)


GOOD = points((60.0, "300.00"), (100.0, "80.00"), (160.0, "20.00"), (250.0, "0.00"))
BID = ApprovedBid(bid_id="b1", cpo="ppc@localhost", station_id="hub1", location="Bus 5", curve=GOOD)


def decision(*purchases: Purchase, **changes: Any) -> ProcurementDecision:
    said = {"decision_id": "d1", "terms_id": "t1", "timestamp": NOW, "purchases": purchases, "scenarios": 40}
    return ProcurementDecision(**(said | {"expected_without_kwh": 9.0, "expected_with_kwh": 1.0} | changes))


def bought(limit_kw: float, price: str, *, bid: str = "b1", station: str = "hub1") -> Purchase:
    return Purchase(bid_id=bid, station_id=station, limit_kw=limit_kw, price_eur=Decimal(price))


def test_terms_that_can_be_met_are_approved() -> None:
    assert terms_faults(terms(), [STATION], NOW, ATHENS) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gate_closure": NOW}, "the gate closes at 2026-06-07 12:15, it is 2026-06-07 12:15"),
        ({"gate_closure": MIDNIGHT}, "after the period's start at 2026-06-08 00:00"),
        ({"period_start": MIDNIGHT + timedelta(hours=1)}, "period_start is 2026-06-08 01:00, not a local midnight"),
        ({"period_end": MIDNIGHT + timedelta(days=28, minutes=15)}, "period_end is 2026-07-06 00:15"),
        ({"most_activations": 0}, "most_activations is 0"),
        ({"most_activations": 29}, "most_activations is 29, the period has 28 days"),
        ({"notice_minutes": 60 * 24 * 29}, "no day of the period could be activated in time"),
        ({"least_points": 1, "most_points": 1}, "most_points is 1"),
        ({"most_eur": Decimal("0.00")}, "most_eur is 0.00"),
        ({"locations": ("Bus 7", "Bus 9")}, "no registered station is at Bus 7, Bus 9"),
        ({"lowest_limit_kw": 250.0}, "lowest_limit_kw is 250, the connection of 'hub1' carries 250 kW"),
        ({"least_points": 5, "step_kw": 80.0}, "least_points is 5, 'hub1' has 4 limits from 60 to 250 kW by 80 kW"),
    ],
)
def test_terms_that_cannot_be_met_are_refused_with_the_number(changes: dict[str, Any], words: str) -> None:
    [fault] = terms_faults(terms(**changes), [STATION], NOW, ATHENS)
    assert words in fault


def test_a_period_over_a_change_of_clocks_is_of_whole_local_days() -> None:
    start = datetime(2026, 10, 20, tzinfo=ATHENS)
    autumn = {"period_start": start, "period_end": datetime(2026, 10, 30, tzinfo=ATHENS), "most_activations": 10}
    now = datetime(2026, 10, 19, 9, tzinfo=UTC)
    assert terms_faults(terms(**autumn, gate_closure=now + timedelta(hours=1)), [STATION], now, ATHENS) == ()


def test_a_curve_as_called_for_is_approved() -> None:
    assert curve_faults(CALL, STATION, GOOD) == ()


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ((), "no points are no curve"),
        (points((250.0, "0.00")), "one point is no curve"),
        (points((60.0, "300.00"), (250.0, "0.00")), "it has 2 points, asked for were 3 to 5"),
        (points((100.0, "80.00"), (100.0, "80.00"), (250.0, "0.00")), "do not rise: 100 kW, then 100 kW"),
        (points((60.0, "20.00"), (100.0, "80.00"), (250.0, "0.00")), "20.00 EUR for 60 kW, 80.00 EUR for 100 kW"),
        (points((60.0, "80.00"), (100.0, "-1.00"), (250.0, "0.00")), "the price for 100 kW is negative: -1.00 EUR"),
        (points((60.0, "501.00"), (100.0, "80.00"), (250.0, "0.00")), "is 501.00 EUR, more than 500.00"),
        (points((40.0, "400.00"), (100.0, "80.00"), (250.0, "0.00")), "40 kW is below the lowest of 60 kW"),
        (points((60.0, "300.00"), (110.0, "80.00"), (250.0, "0.00")), "110 kW is no multiple of 20 kW"),
        (
            points((60.0, "300.00"), (100.0, "80.00"), (240.0, "0.00")),
            "is 240 kW, the station's connection carries 250",
        ),
        (points((60.0, "300.00"), (100.0, "80.00"), (250.0, "0.01")), "its last limit, 250 kW, costs 0.01 EUR"),
        (points((60.0, "120.00"), (100.0, "80.00"), (160.0, "0.00"), (250.0, "0.00")), "not convex at 100 kW: 1.0000"),
    ],
)
def test_a_curve_that_was_not_called_for_is_refused_with_the_number(curve: tuple[CurvePoint, ...], words: str) -> None:
    assert any(words in fault for fault in curve_faults(CALL, STATION, curve)), curve_faults(CALL, STATION, curve)


def test_a_cent_decides_whether_a_curve_is_convex() -> None:
    straight = points((60.0, "190.00"), (100.0, "150.00"), (250.0, "0.00"))
    assert curve_faults(CALL, STATION, straight) == ()
    bent = points((60.0, "190.00"), (100.0, "150.01"), (250.0, "0.00"))
    [fault] = curve_faults(CALL, STATION, bent)
    assert fault == "it is not convex at 100 kW: 0.9998 EUR/kW before, 1.0001 EUR/kW after it"


def test_between_two_points_the_price_is_on_the_straight_line() -> None:
    assert price_on(GOOD, 60.0) == Decimal("300.00")
    assert price_on(GOOD, 80.0) == Decimal("190.00")
    assert price_on(GOOD, 250.0) == Decimal("0.00")
    assert price_on(GOOD, 59.0) is None
    assert price_on(GOOD, 251.0) is None
    assert price_on((), 60.0) is None


def test_points_of_a_curve_and_limits_between_them_may_be_bought_at_their_price_or_above() -> None:
    for limit, price in [(60.0, "300.00"), (80.0, "190.00"), (100.0, "95.00"), (250.0, "0.00")]:
        assert purchase_faults(bought(limit, price), [BID], terms()) == ()


@pytest.mark.parametrize(
    ("purchase", "words"),
    [
        (bought(100.0, "80.00", bid="b9"), "'b9' is no approved bid"),
        (bought(100.0, "80.00", station="hub2"), "'b1' is a bid of 'hub1', not of 'hub2'"),
        (bought(40.0, "500.00"), "'b1' offers 60 to 250 kW, 40 kW are bought"),
        (bought(110.0, "80.00"), "the limit 110 kW of 'b1' is no multiple of 20 kW"),
        (bought(100.0, "79.99"), "100 kW of 'b1' are bought for 79.99 EUR, the curve asks 80.00 EUR"),
        (bought(80.0, "189.00"), "bought for 189.00 EUR, the curve asks 190.00 EUR"),
    ],
)
def test_what_was_not_offered_cannot_be_bought(purchase: Purchase, words: str) -> None:
    [fault] = decision_faults(decision(purchase), [BID], terms())
    assert words in fault


def test_a_decision_names_its_terms_comes_in_time_and_buys_no_station_twice() -> None:
    other = ApprovedBid(bid_id="b2", cpo="ppc@localhost", station_id="hub1", location="Bus 5", curve=GOOD)
    both = decision(bought(100.0, "80.00"), bought(160.0, "20.00", bid="b2"))
    assert decision_faults(both, [BID, other], terms()) == ("'hub1' is bought 2 times",)
    late = decision(bought(100.0, "80.00"), timestamp=MIDNIGHT)
    assert decision_faults(late, [BID], terms()) == ("it comes at 08 June 00:00, when the period has begun",)
    [fault] = decision_faults(decision(bought(100.0, "80.00"), terms_id="t2"), [BID], terms())
    assert fault == "it is for the terms 't2', not 't1'"
    assert decision_faults(decision(), [BID], terms()) == ()


def test_limits_are_multiples_of_the_step_and_the_connection() -> None:
    assert possible_limits(60.0, 20.0, 130.0) == (60.0, 80.0, 100.0, 120.0, 130.0)
    assert possible_limits(50.0, 20.0, 120.0) == (60.0, 80.0, 100.0, 120.0)
    assert possible_limits(60.0, 20.0, 130.0, 3) == (60.0, 100.0, 130.0)
    assert possible_limits(200.0, 20.0, 130.0) == (130.0,)
    assert possible_limits(60.0, 1e-9, 130.0, 3) == (60.0, 95.0, 130.0)
    assert possible_limits(0.1, 0.1, 0.35) == (0.1, 0.2, 0.3, 0.35)


@given(st.floats(0.0, 400.0), st.sampled_from([0.5, 7.0, 15.0, 20.0]), st.floats(1.0, 400.0), st.integers(1, 20))
def test_limits_rise_from_the_lowest_to_the_connection_and_are_no_more_than_asked(
    lowest: float, step: float, connection: float, most: int
) -> None:
    found = possible_limits(lowest, step, connection, most)
    assert 1 <= len(found) <= most
    assert list(found) == sorted(set(found))
    assert found[-1] == connection
    assert all(limit >= lowest for limit in found[:-1])
