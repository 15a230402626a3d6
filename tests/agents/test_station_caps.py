"""What a station may draw when, by what was activated."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from agents.capacity_bidding import CapacityContract
from agents.station_caps import StationCaps
from tests.agents.stage import at
from tests.agents.station_stage import CLOSES, FAR, HUB, OPENS, auction_call, limit
from tests.swarm import START, jid

CONTRACT = CapacityContract(auction_call(), "c1", jid("hedno"), 60.0, Decimal("28.00"))


def caps() -> StationCaps:
    return StationCaps({"hub1": HUB, "far1": FAR}, {"c1": CONTRACT}, START.tzinfo)  # type: ignore[arg-type]


def test_a_limit_holds_in_its_window_at_its_station_and_nowhere_else() -> None:
    station = caps()
    station.add(limit())
    assert station.kw("hub1", at(OPENS - 1)) == 180.0
    assert station.kw("hub1", at(OPENS)) == station.kw("hub1", at(CLOSES - 1)) == 60.0
    assert station.kw("hub1", at(CLOSES)) == 180.0
    assert station.kw("far1", at(OPENS)) == 60.0
    assert station.least_from("hub1", at(0)) == 60.0
    assert station.least_from("hub1", at(CLOSES)) == 180.0


def test_a_limit_that_begins_within_a_quarter_of_an_hour_holds_for_all_of_it() -> None:
    station = caps()
    station.add(limit(start=at(OPENS + 5), end=at(OPENS + 35)))
    assert [station.kw("hub1", at(OPENS + m)) for m in (-15, 0, 15, 30, 45)] == [180.0, 60.0, 60.0, 60.0, 180.0]


def test_of_several_limits_the_lowest_holds_and_one_can_be_tried() -> None:
    station = caps()
    station.add(limit("a1", 100.0))
    assert station.kw("hub1", at(OPENS), besides=limit("a2", 80.0)) == 80.0
    assert station.of("hub1")(at(OPENS)) == 100.0


def test_a_contracts_day_is_a_local_day_of_its_period() -> None:
    midnight = START - timedelta(hours=6)
    assert CONTRACT.day(midnight, START.tzinfo) == (0, 28)  # type: ignore[arg-type]
    assert CONTRACT.day(midnight + timedelta(days=27), START.tzinfo) == (27, 28)  # type: ignore[arg-type]


def test_what_was_activated_on_a_day_is_found() -> None:
    station = caps()
    station.add(limit())
    assert station.of_day("c1", at(-360), at(1080)) == limit()
    assert station.of_day("c1", at(1080), at(2520)) is None
    assert station.of_day("c2", at(-360), at(1080)) is None
