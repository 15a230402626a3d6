"""The markets as of a moment: the same numbers as the report's, nothing from later, and the merit order."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from environment.report import congestion_services, frequency_services, market, public_services, services
from environment.run_folder import TRACE, Trace, read_trace
from environment.watched.heard import Heard
from environment.watched.market import Market
from environment.watched.market_round import MarketOffer, merit_order
from environment.watched.prices import Published, days_of, price_day
from environment.watched.run import WatchedRun
from tests.environment.watched.days import DAYS, day, watched


def caught_up(found: Market) -> Market:
    while not found.refresh():
        pass
    return found


@pytest.fixture(scope="module", params=DAYS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return day(request.param, tmp_path_factory.mktemp(request.param))


def offer(name: str, kw: float, price: str | None, awarded: float = 0.0) -> MarketOffer:
    return MarketOffer(name, name, kw, None if price is None else Decimal(price), awarded, None, "c1")


class TestTheSameAsTheReport:
    def test_every_round_is_there_with_what_was_bought(self, folder: Path) -> None:
        trace, found = read_trace(folder / TRACE), caught_up(Market(watched(folder))).rounds
        assert sorted((each.use_case, round(each.awarded_kw, 3)) for each in found) == sorted(reported(trace))
        assert len({each.key for each in found}) == len(found)
        assert all(offer.conversation_id for each in found for offer in each.offers)

    def test_a_moment_knows_nothing_from_later(self, folder: Path) -> None:
        run, trace = watched(folder), read_trace(folder / TRACE)
        every = [entry.at for entry in trace.entries]
        for at in every[:: max(1, len(every) // 9)]:
            run.show_at(at)
            until = Trace(trace.scenario, trace.seed, trace.roles, tuple(e for e in trace.entries if e.at <= at))
            found = caught_up(Market(run)).rounds
            assert sorted((e.use_case, round(e.awarded_kw, 3)) for e in found) == sorted(reported(until)), at

    def test_going_back_and_small_steps_end_in_the_same(self, folder: Path) -> None:
        run = watched(folder)
        model = caught_up(Market(run))
        whole, middle = model.rounds, every_second(run)
        run.show_at(middle)
        back = caught_up(model).rounds
        assert back == caught_up(Market(watched_at(folder, middle))).rounds
        run.show_at(None)
        heard = Heard.of(run)
        steps = 0
        while not heard.refresh(budget=1):
            steps += 1
        assert steps > 1
        assert model.rounds == whole


def every_second(run: WatchedRun) -> datetime:
    """The moment in the middle of a run's messages."""
    return run.trace[len(run.trace) // 2].at


def watched_at(folder: Path, at: datetime) -> WatchedRun:
    run = watched(folder)
    run.show_at(at)
    return run


def reported(trace: Trace) -> list[tuple[str, float]]:
    """Use case and power of every round, by the report's readers."""
    found = [("BUC 6" if each.kind == "pool" else "BUC 1", each.awarded_kw) for each in market.rounds(trace)]
    for service in services.services(trace):
        ordered = sum(
            abs(order.power_kw) for part in service.parts for order in part.orders if part.offered_kw is not None
        )
        found.append(("BUC 2" if service.kind == "res-curtailment" else "BUC 4.1", ordered))
    calls: dict[tuple[str, str], float] = {}
    for part in congestion_services.parts(trace):
        key = part.dso, part.call.request_id
        calls[key] = calls.get(key, 0.0) + part.awarded_kw
    found += [("BUC 3", kw) for kw in calls.values()]
    hours: dict[tuple[str, datetime], float] = {}
    for hour in frequency_services.hours(trace):
        when = hour.offer.product, hour.offer.start
        hours[when] = hours.get(when, 0.0) + hour.bought_kw
    found += [("BUC 7", kw) for kw in hours.values()]
    found += [("BUC 5", 0.0) for _ in public_services.read(trace).auctions]
    return [(use_case, round(kw, 3)) for use_case, kw in found]


class TestPools:
    def test_a_pool_is_open_then_bought_at_the_price_of_its_award(self, tmp_path: Path) -> None:
        folder = day("slovenia", tmp_path)
        run = watched(folder)
        model = caught_up(Market(run))
        pool = next(each for each in model.rounds if each.title == "Pool pool-1")
        assert (pool.needed_kw, pool.awarded_kw, pool.outcome) == (42.0, 42.0, "bought")
        assert pool.price == Decimal("0.071")
        assert [offer.bidder for offer in pool.offers] == ["vpp-sava", "vpp-drava"]
        run.show_at(pool.opened + timedelta(seconds=30))
        early = caught_up(model).round(pool.key)
        assert early is not None
        assert (early.outcome, early.awarded_kw, early.price) == ("open", 0.0, None)
        run.show_at(pool.opened)
        first = caught_up(model).round(pool.key)
        assert first is not None
        assert (first.outcome, first.offers) == ("waiting for bids", ())
        run.show_at(pool.opened - timedelta(seconds=1))
        assert caught_up(model).round(pool.key) is None


class TestMeritOrder:
    def test_the_cheapest_stand_first_and_what_was_taken_first_at_one_price(self) -> None:
        steps = merit_order(
            [
                offer("dear", 5, "0.2"),
                offer("left", 4, "0.1"),
                offer("taken", 3, "0.1", awarded=2),
                offer("none", 9, None),
            ]
        )
        assert [(step.offer.id, step.start_kw, step.taken_kw, step.end_kw) for step in steps] == [
            ("taken", 0, 2, 3),
            ("left", 3, 3, 7),
            ("dear", 7, 7, 12),
        ]
        assert [step.price for step in steps] == [Decimal("0.1"), Decimal("0.1"), Decimal("0.2")]

    def test_an_award_above_the_offer_does_not_run_over_its_step(self) -> None:
        (step,) = merit_order([offer("one", 5, "0.1", awarded=7)])
        assert (step.taken_kw, step.end_kw) == (5, 5)


class TestPrices:
    def test_a_later_word_stands_over_an_earlier_one(self) -> None:
        start = datetime.fromisoformat("2026-06-08T10:00:00+00:00")
        usual = Decimal("0.58")
        found = {
            "east": (
                Published(start, start + timedelta(hours=1), Decimal("0.50"), usual),
                Published(start + timedelta(minutes=30), start + timedelta(hours=2), Decimal("0.40"), usual),
            )
        }
        zone = start.tzinfo
        assert zone is not None
        (only,) = days_of(found, zone)
        prices = price_day(found, only, zone)
        assert len(prices.quarters) == 96
        spans = [(f"{begin:%H:%M}", f"{end:%H:%M}", price) for begin, end, price, _ in prices.spans("east")]
        assert spans == [("10:00", "10:30", Decimal("0.50")), ("10:30", "12:00", Decimal("0.40"))]

    def test_a_price_until_midnight_ends_there(self) -> None:
        start = datetime.fromisoformat("2026-06-08T23:30:00+00:00")
        zone = start.tzinfo
        assert zone is not None
        told = Published(start, start + timedelta(hours=1), Decimal("0.50"), Decimal("0.58"))
        prices = price_day({"east": (told,)}, start.date(), zone)
        ((begin, end, *_),) = prices.spans("east")
        assert (begin, end) == (start, start + timedelta(minutes=30))
