"""Two services at once: a vehicle serves one service in a quarter of an hour, and the first promise keeps it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.promises import Book, Change, Hold, PromiseError
from agents.decisions.vehicle_offer import Parked, by_order, by_own_plan, room
from agents.periods import QUARTER, quarter_at

START = datetime(2026, 1, 15, 20, 0, tzinfo=UTC)
NOW = START - timedelta(minutes=11)
MINUTE = timedelta(minutes=1)
UP, DOWN = Change(0.0, 7.0), Change(0.0, -5.0)


def quarter(k: int) -> datetime:
    return START + k * QUARTER


def hold(offer_id: str, parts: dict[str, Change], *, start: int = 0, quarters: int = 2, now: datetime = NOW) -> Hold:
    return Hold(offer_id, quarter(start), quarters, parts, until=now + 4 * MINUTE)


def promised(book: Book, k: int) -> dict[str, tuple[str, bool]]:
    return {vehicle: (p.service_id, p.firm) for vehicle, p in book.serving(quarter(k)).items()}


def awarded(book: Book, service_id: str, parts: dict[str, Change], *, start: int = 0, quarters: int = 2) -> Book:
    now = quarter(start) - 11 * MINUTE
    held = book.hold(hold(service_id, parts, start=start, quarters=quarters, now=now), now)
    return held.award(service_id, service_id, parts, now)


# ---- offers --------------------------------------------------------------------------------------------------------


def test_what_is_on_offer_is_offered_to_nobody_else() -> None:
    book = Book().hold(hold("a", {"c1": UP}), NOW)
    assert not book.free("c1", quarter(0), NOW)
    assert book.free("c2", quarter(0), NOW)
    with pytest.raises(PromiseError, match="c1 cannot be offered twice"):
        book.hold(hold("b", {"c1": DOWN, "c2": DOWN}), NOW)


def test_a_rejection_or_the_deadline_frees_what_was_on_offer() -> None:
    book = Book().hold(hold("a", {"c1": UP}), NOW)
    assert book.drop("a").free("c1", quarter(0), NOW)
    assert not book.free("c1", quarter(0), NOW + 4 * MINUTE)
    assert book.free("c1", quarter(0), NOW + 4 * MINUTE + timedelta(seconds=1))


def test_an_award_after_the_deadline_or_without_an_offer_promises_nothing() -> None:
    book = Book().hold(hold("a", {"c1": UP}), NOW)
    for offer_id, now in (("a", NOW + 5 * MINUTE), ("b", NOW)):
        with pytest.raises(PromiseError, match="does not stand any more"):
            book.award(offer_id, "s", {"c1": UP}, now)


@pytest.mark.parametrize(
    ("order", "fault"),
    [
        ({"c2": UP}, "c2 was not offered"),
        ({"c1": Change(0.0, 7.1)}, r"c1 was offered for \+7.0 kW, less than \+7.1 kW"),
        ({"c1": DOWN}, r"c1 was offered for \+7.0 kW, not for -5.0 kW"),
        ({"c1": Change(1.0, 7.0)}, "the baseline of c1 is 0.0 kW, not 1.0"),
    ],
)
def test_an_award_that_the_offer_does_not_cover_is_told_what_is_wrong(order: dict[str, Change], fault: str) -> None:
    book = Book().hold(hold("a", {"c1": UP}), NOW)
    with pytest.raises(PromiseError, match=fault):
        book.award("a", "s", order, NOW)


def test_what_is_awarded_in_part_leaves_the_others_free() -> None:
    book = Book().hold(hold("a", {"c1": UP, "c2": UP}), NOW).award("a", "s", {"c1": Change(0.0, 3.0)}, NOW)
    assert promised(book, 0) == {"c1": ("s", True)}
    assert promised(book, 1) == {"c1": ("s", False)}
    assert book.serving(quarter(0))["c1"].part.power_kw == 3.0
    assert book.free("c2", quarter(0), NOW)


def test_a_service_is_awarded_once() -> None:
    book = awarded(Book(), "s", {"c1": UP})
    with pytest.raises(PromiseError, match="s has been awarded already"):
        awarded(book, "s", {"c2": UP})


# ---- two services --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("wind", "voltage"), ("voltage", "wind")])
def test_the_first_promise_keeps_the_vehicle_in_both_orders(first: str, second: str) -> None:
    parts = {"wind": UP, "voltage": DOWN}
    book = awarded(Book(), first, {"c1": parts[first]})
    assert not book.free("c1", quarter(0), NOW)
    with pytest.raises(PromiseError):
        awarded(book, second, {"c1": parts[second]})


def test_a_tail_lasts_until_another_services_promise_takes_the_vehicle() -> None:
    book = awarded(Book(), "wind", {"c1": UP, "c2": UP})
    book = awarded(book, "voltage", {"c1": DOWN}, start=1)
    assert promised(book, 0) == {"c1": ("wind", True), "c2": ("wind", True)}
    assert promised(book, 1) == {"c1": ("voltage", True), "c2": ("wind", False)}
    assert promised(book, 2) == {"c1": ("voltage", False)}


def test_an_offer_alone_takes_no_tail() -> None:
    book = awarded(Book(), "wind", {"c1": UP})
    now = quarter(1) - 11 * MINUTE
    book = book.hold(hold("v", {"c1": DOWN}, start=1, now=now), now)
    assert promised(book, 1) == {"c1": ("wind", False)}
    assert promised(book.drop("v"), 1) == {"c1": ("wind", False)}


def test_of_two_tails_the_first_stays() -> None:
    book = awarded(Book(), "wind", {"c1": UP}, quarters=3)
    book = awarded(book, "voltage", {"c1": DOWN}, start=1)
    assert promised(book, 2) == {"c1": ("wind", False)}


def test_a_firm_promise_keeps_the_quarters_before_it_free_of_others() -> None:
    """What is promised for 20:15 rests on the state that the vehicle has then."""
    book = awarded(Book(), "wind", {"c1": UP}, start=1)
    assert not book.free("c1", quarter(0), NOW)
    assert book.free("c1", quarter(2), NOW)


def test_a_renewal_goes_on_with_the_vehicles_that_it_names_and_ends_the_others() -> None:
    book = awarded(Book(), "s1", {"c1": UP, "c2": UP})
    book = awarded(book.end("s1", quarter(1)), "s2", {"c1": UP}, start=1)
    assert promised(book, 0) == {"c1": ("s1", True), "c2": ("s1", True)}
    assert promised(book, 1) == {"c1": ("s2", True)}


def test_a_service_that_ends_within_a_quarter_ends_there() -> None:
    book = awarded(Book(), "s", {"c1": UP}, quarters=3)
    assert promised(book.end("s", quarter(1) + MINUTE), 0) == {"c1": ("s", True)}
    assert promised(book.end("s", quarter(1) + MINUTE), 1) == {}
    assert promised(book.end("s", quarter(1)), 0) == {"c1": ("s", True)}


# ---- vehicles that leave -------------------------------------------------------------------------------------------


def test_a_vehicle_that_leaves_takes_its_promises_along_and_the_others_go_on() -> None:
    book = awarded(Book(), "s", {"c1": UP, "c2": UP}).leave("c1", quarter(0) + MINUTE)
    assert promised(book, 0) == promised(book, 0) | {"c2": ("s", True)}
    assert "c1" not in promised(book, 0)
    assert promised(book, 1) == {"c2": ("s", False)}


def test_of_an_offer_one_of_whose_vehicles_left_the_others_can_be_awarded() -> None:
    book = Book().hold(hold("a", {"c1": UP, "c2": UP}), NOW).leave("c1", NOW)
    assert promised(book.award("a", "s", {"c1": UP, "c2": UP}, NOW), 0) == {"c2": ("s", True)}
    with pytest.raises(PromiseError, match="c1 left since the offer was made"):
        book.award("a", "s", {"c1": UP}, NOW)
    assert book.free("c1", quarter(0), NOW)  # the car that comes next is not bound


def test_what_is_long_over_is_forgotten() -> None:
    book = awarded(Book(), "s", {"c1": UP}).hold(hold("a", {"c2": UP}), NOW)
    assert book.forget(quarter(1)).promises == tuple(p for p in book.promises if p.quarter == quarter(1))
    assert book.forget(quarter(1)).holds == ()


# ---- always --------------------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "accept", "accept", "reject", "cancel", "leave", "wait", "wait"]),
        st.sampled_from([-1, 1]),
        st.integers(0, 3),  # which quarter ahead, or which offer or service
        st.floats(0.05, 1.0),
        st.lists(st.sampled_from(["c1", "c2", "c3"]), unique=True, min_size=1),
    ),
    min_size=4,
    max_size=40,
)


def fleet() -> dict[str, Parked]:
    def car(name: str, energy: float, timer: float | None) -> Parked:
        return Parked(
            id=name,
            at=START,
            energy_kwh=energy,
            capacity_kwh=40.0,
            floor_kwh=8.0,
            required_kwh=32.0,
            up_to_kwh=36.0,
            departure=START + timedelta(hours=9),
            charges_from=None if timer is None else START + timedelta(hours=timer),
            max_charge_kw=11.0,
            max_discharge_kw=7.4,
            efficiency_charge=0.94,
            efficiency_discharge=0.94,
        )

    return {"c1": car("c1", 12.0, 2.0), "c2": car("c2", 20.0, None), "c3": car("c3", 31.0, 1.0)}


def follow(vehicle: Parked, book: Book, until: datetime) -> Parked:
    """The vehicle at `until` if it does in each quarter what the book says."""
    while vehicle.at < until:
        end = min(until, quarter_at(vehicle.at) + QUARTER)
        promise = book.serving(quarter_at(vehicle.at)).get(vehicle.id)
        vehicle = by_own_plan(vehicle, end) if promise is None else by_order(vehicle, promise.part.power_kw, end)
    return vehicle


def keeps_every_firm_promise(book: Book, vehicles: dict[str, Parked]) -> None:
    """In each quarter the sum over the services is what the vehicles can physically do, none counted twice."""
    for name, start in vehicles.items():
        for promise in sorted((p for p in book.promises if p.vehicle == name and p.firm), key=lambda p: p.quarter):
            if promise.quarter < start.at:
                continue
            then = follow(start, book, promise.quarter)
            can = room(then)
            assert promise.part.baseline_kw == pytest.approx(can.baseline_kw, abs=1e-6)
            assert -can.decrease_kw - 1e-6 <= promise.part.change_kw <= can.increase_kw + 1e-6


@settings(max_examples=300, deadline=None)
@given(EVENTS, st.booleans())
def test_whatever_is_called_a_vehicle_is_in_one_service_and_every_firm_promise_can_be_kept(
    events: list[tuple[str, int, int, float, list[str]]], calm: bool
) -> None:
    """Calls of any sign for any quarter ahead, accepted in part, rejected, left to lapse. Where nobody cancels
    or leaves (`calm`) the promises are checked against the physics: each vehicle follows the book from the start on."""
    book, now, vehicles = Book(), START, fleet()
    offers: list[Hold] = []
    for number, (event, sign, which, share, names) in enumerate(events):
        if calm and event in ("cancel", "leave"):
            event = "wait"
        match event:
            case "wait":
                now += 3 * MINUTE
            case "call":
                start = quarter_at(now) + (1 + which % 3) * QUARTER
                parts = {}
                for name in names:
                    can = room(follow(vehicles[name], book, start))
                    most = can.increase_kw if sign > 0 else can.decrease_kw
                    if most > 0.1 and book.free(name, start, now):
                        parts[name] = Change(can.baseline_kw, sign * most)
                if parts:
                    offers.append(Hold(f"o{number}", start, 2, parts, min(start, now + 4 * MINUTE)))
                    book = book.hold(offers[-1], now)
            case "accept" if offers:
                offer = offers[which % len(offers)]
                orders = {n: Change(p.baseline_kw, p.change_kw * share) for n, p in offer.parts.items() if n in names}
                stands = any(h.offer_id == offer.offer_id and orders.keys() - h.left for h in book.live(now))
                try:
                    after = book.award(offer.offer_id, offer.offer_id, orders, now) if orders else book
                    assert stands or not orders
                    book = after
                except PromiseError:
                    assert not stands
            case "reject" if offers:
                book = book.drop(offers[which % len(offers)].offer_id)
            case "cancel" if offers:
                book = book.end(offers[which % len(offers)].offer_id, now)
            case "leave":
                book = book.leave(names[0], now)
                assert not any(p.vehicle == names[0] and p.quarter >= now for p in book.promises)
        keys = [(p.vehicle, p.quarter) for p in book.promises]
        assert len(keys) == len(set(keys))
        on_offer = [name for h in book.live(now) for name in h.parts if name not in h.left]
        assert len(on_offer) == len(set(on_offer))
    if calm:
        keeps_every_firm_promise(book, vehicles)
