"""What a station can still promise, and at what price."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from time import perf_counter

import pytest

from agents.decisions.station_bookings import BookingList
from agents.decisions.station_offers import distance_km, offers
from tests.agents.decisions.station import SITE, at, booked, booking, cap, lower, offered, stay, usual


def test_the_earliest_session_gives_all_the_energy_and_nothing_more() -> None:
    (offer,) = offered(energy_kwh=30.001)
    assert (offer.start, offer.end, offer.stay) == (at(0), at(0.75), 1)
    assert offer.powers_kw == (50, 50, 20.004)
    assert offer.energy_kwh == 30.001
    assert (offer.price_eur_per_kwh, offer.amount_eur) == (Decimal("0.60"), Decimal("18.00"))


@pytest.mark.parametrize(("max_charge_kw", "power"), [(11.0, 11.0), (170.0, 60.0)])
def test_car_and_charger_bound_the_power(max_charge_kw: float, power: float) -> None:
    assert max(offered(energy_kwh=20.0, max_charge_kw=max_charge_kw)[0].powers_kw) == power


def test_a_session_begins_and_ends_on_quarters_within_the_stay_and_not_before_now() -> None:
    (offer,) = offered(staying=stay(0.1, 4))
    assert offer.start == at(0.25)
    assert offered(staying=stay(0.1, 4), now=1.3)[0].start == at(1.5)
    assert offered(staying=stay(0.1, 0.7)) == []  # 0.25 to 0.5: 12.5 of 25 kWh
    assert offered(now=4.0) == []


def test_all_chargers_taken_is_waited_for() -> None:
    bookings = booked(*(booking(f"b-{n}", f"k-{n}", 0, *[20.0] * n) for n in (1, 2, 3)))
    assert (offered(bookings)[0].charger_id, offered(bookings)[0].start) == ("k-1", at(0.25))


def test_a_gap_that_is_too_short_is_left() -> None:
    bookings = booked(
        booking("b-1", "k-1", 0.25, 20), booking("b-2", "k-2", 0.25, 20), booking("b-3", "k-3", 0, 20, 20)
    )
    assert offered(bookings)[0].start == at(0.5)
    assert offered(bookings, energy_kwh=12.0)[0].start == at(0)


def test_offers_keep_the_cap_with_what_is_promised_already() -> None:
    bookings = booked(booking("b-1", "k-1", 0, 50, 50, 50, 50))
    (offer,) = offered(bookings, cap_kw=cap(70.0))
    assert offer.powers_kw == (20, 20, 20, 20, 20)
    (offer,) = offered(bookings, cap_kw=cap(70.0, 0.25, 0.75))
    assert offer.powers_kw == (50, 20, 20, 10)
    (offer,) = offered(bookings, cap_kw=cap(50.9, 0, 1))
    assert offer.start == at(1), "0.9 kW is no room to begin with"


def test_a_cap_below_what_is_promised_leaves_no_room() -> None:
    bookings = booked(booking("b-1", "k-1", 0, 50, 50))
    assert offered(bookings, cap_kw=cap(30.0))[0].start == at(0.5)
    assert offered(cap_kw=cap(0.0)) == []


def test_the_connection_is_a_cap() -> None:
    bookings = booked(booking("b-1", "k-1", 0, 60, 60), booking("b-2", "k-2", 0, 60, 60))
    assert offered(bookings)[0].powers_kw == (30, 30, 40)


def test_later_starts_are_offered_where_they_are_cheaper() -> None:
    found = offered(price_at=lower(1, 3))
    assert [offer.start for offer in found] == [at(0), at(0.75), at(1)]
    assert [offer.price_eur_per_kwh for offer in found] == [Decimal("0.60"), Decimal("0.55"), Decimal("0.50")]
    assert found[1].amount_eur == Decimal("13.75")
    assert [offer.start for offer in offered(price_at=lower(1, 3), most=2)] == [at(0), at(1)]
    assert [offer.start for offer in offered(price_at=lower(1, 3), most=1)] == [at(0)]


def test_a_start_that_is_dearer_or_the_same_is_not_offered() -> None:
    assert [offer.start for offer in offered(price_at=lower(-1, 1))] == [at(0)]
    assert [offer.start for offer in offered(price_at=lower(-1, 9))] == [at(0)]


def test_a_mean_price_is_rounded_down_and_the_amount_to_the_cent() -> None:
    (first, *_) = offered(energy_kwh=37.5, price_at=lower(0, 0.25, "0.0001"))
    assert first.price_eur_per_kwh == Decimal("0.5999")
    assert first.amount_eur == Decimal("22.50")


def test_most_of_the_energy_is_offered_where_all_of_it_cannot_be() -> None:
    (offer,) = offered(energy_kwh=60.0, staying=stay(0, 1))
    assert (offer.energy_kwh, offer.end) == (50.0, at(1))
    assert offered(energy_kwh=84.0, staying=stay(0, 1)) == []
    bookings = booked(booking("b-1", "k-1", 0, 30), booking("b-2", "k-2", 0.75, 30), booking("b-3", "k-3", 0.5, 30))
    (offer,) = offered(bookings, energy_kwh=50.0, staying=stay(0, 1))
    assert (offer.charger_id, offer.start, offer.energy_kwh) == ("k-2", at(0), 37.5)
    (offer,) = offered(bookings, energy_kwh=50.0, staying=stay(0, 1), now=0.2)
    assert (offer.charger_id, offer.start, offer.energy_kwh) == ("k-1", at(0.25), 37.5)


def test_an_offer_becomes_a_booking_that_fits() -> None:
    bookings = booked(booking("b-1", "k-1", 0, 50))
    (offer,) = offered(bookings)
    session = offer.booking("b-2", 50.0)
    bookings.add(session)
    assert (session.end, session.energy_kwh, session.max_charge_kw) == (offer.end, 25.0, 50.0)
    assert bookings.power_kw(at(0), 2) == (100, 50)


def test_whatever_is_picked_the_cap_holds_and_no_charger_is_taken_twice() -> None:
    rng = random.Random(5)
    site = replace(SITE, charger_ids=tuple(f"k-{n}" for n in range(5)), connection_kw=250.0)
    bookings, full = BookingList("koropi"), 0
    limit = cap(97.3, 5, 10)
    for number in range(120):
        arrival = rng.uniform(0, 20)
        found = offers(
            site,
            bookings,
            limit,
            rng.uniform(3, 60),
            rng.choice([11.0, 50.0, 120.0]),
            0,
            stay(arrival, arrival + rng.uniform(0.3, 6)),
            lower(8, 12),
            at(0),
        )
        full += not found
        if found:
            bookings.add(rng.choice(found).booking(f"b-{number}", 120.0))
    powers = bookings.power_kw(at(0), 4 * 30)
    assert max(powers[20:40]) <= 97.3
    assert max(powers[20:40]) == pytest.approx(97.3)
    assert max(powers) <= 250.0
    assert 0 < full < 60


def test_an_offer_takes_less_than_a_millisecond() -> None:
    bookings = booked(*(booking(f"b-{n}", f"k-{n % 3 + 1}", n // 3, 50, 50, 50) for n in range(30)))
    best = float("inf")
    for _ in range(20):
        began = perf_counter()
        offers(SITE, bookings, cap(90.0), 40.0, 50.0, 0, stay(0, 10), usual, at(-1))
        best = min(best, perf_counter() - began)
    assert best < 1e-3


def test_the_distance_is_the_great_circles() -> None:
    assert distance_km(37.9, 23.87, 37.9, 23.87) == 0
    # a degree of latitude is 111.2 km; Koropi to Markopoulo is 6 km or so
    assert distance_km(37.0, 23.0, 38.0, 23.0) == pytest.approx(111.2, abs=0.1)
    assert distance_km(37.9004, 23.8717, 37.8833, 23.9333) == pytest.approx(5.73, abs=0.05)
