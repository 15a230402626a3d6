"""Choosing vehicles: enough, never more than offered, fair, the same for everybody; and who is trusted how far."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.selection import (
    LEAST_ORDER_KW,
    Memory,
    Trust,
    beside_what_was_told,
    choose,
    delivered_kw,
    expected_kw,
)
from protocols.exchanges.ev_services import EvOffer, EvOrder, UserState

NOW = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)


def offer(user_id: str, power_kw: float, location: str = "bus1", baseline_kw: float = 2.0) -> EvOffer:
    return EvOffer(
        user_id=user_id,
        ev_owner=f"ev-{user_id}@example.org",
        location=location,
        baseline_kw=baseline_kw,
        power_kw=power_kw,
        energy_kwh=power_kw / 2,
    )


def powers(orders: Mapping[str, Sequence[EvOrder]]) -> dict[str, float]:
    return {order.user_id: order.power_kw for each in orders.values() for order in each}


def test_whole_vehicles_are_taken_and_the_last_one_in_part() -> None:
    orders = choose({"m1": [offer("c1", 4.0), offer("c2", 4.0), offer("c3", 4.0)]}, 6.5)
    assert powers(orders) == {"c1": 4.0, "c2": 2.5}


def test_an_order_repeats_what_the_offer_said_of_the_vehicle() -> None:
    (order,) = choose({"m1": [offer("c1", -4.0, "bus7", 3.5)]}, -9.0)["m1"]
    assert order == EvOrder(user_id="c1", ev_owner="ev-c1@example.org", location="bus7", baseline_kw=3.5, power_kw=-4.0)


def test_who_keeps_promises_comes_first_and_who_half_does_counts_half() -> None:
    offers = {"a": [offer("c1", 4.0)], "b": [offer("c2", 4.0)]}
    assert powers(choose(offers, 3.0, reliability={"a": 0.5, "b": 1.0})) == {"c2": 3.0}
    orders = choose(offers, 5.0, reliability={"a": 0.5, "b": 1.0})
    assert powers(orders) == {"c1": 2.0, "c2": 4.0}
    assert expected_kw(orders, {"a": 0.5}) == 5.0


def test_a_manager_that_delivers_nothing_is_not_called() -> None:
    assert choose({"a": [offer("c1", 4.0)]}, 3.0, reliability={"a": 0.0}) == {}


def test_among_equals_who_served_least_comes_first() -> None:
    offers = {"a": [offer("c1", 4.0)], "b": [offer("c2", 4.0)]}
    assert powers(choose(offers, 4.0)) == {"c1": 4.0}
    assert powers(choose(offers, 4.0, served_kwh={"c1": 0.5})) == {"c2": 4.0}


def test_the_vehicles_at_a_bus_serve_its_need_before_others_help_out() -> None:
    offers = {"a": [offer("c1", -4.0, "bus1"), offer("c2", -4.0, "bus2")], "b": [offer("c3", -4.0, "bus3")]}
    assert powers(choose(offers, -3.0, {"bus2": -3.0})) == {"c2": -3.0}
    # bus2 has too little: the other wanted bus helps out before one that needs nothing
    assert powers(choose(offers, -7.0, {"bus2": -6.0, "bus1": -1.0})) == {"c1": -3.0, "c2": -4.0}
    assert powers(choose(offers, -10.0, {"bus2": -10.0})) == {"c1": -4.0, "c2": -4.0, "c3": -2.0}


def test_nobody_is_ordered_to_change_by_next_to_nothing() -> None:
    offers = {"m1": [offer("c1", 4.0), offer("c2", 4.0)], "m2": [offer("c3", 0.3)]}
    assert powers(choose(offers, 4.1)) == {"c1": 4.0, "c2": 0.5}
    assert powers(choose({"m2": offers["m2"]}, 4.1)) == {"c3": 0.3}


def test_an_offer_of_the_other_sign_is_left_out() -> None:
    assert choose({"a": [offer("c1", -4.0)]}, 3.0) == {}


@pytest.mark.parametrize(("needed", "at"), [(0.0, None), (3.0, {"bus1": -1.0})])
def test_a_need_without_a_direction_is_an_error(needed: float, at: dict[str, float] | None) -> None:
    with pytest.raises(ValueError, match="same sign"):
        choose({}, needed, at)


kilowatts = st.integers(1, 22_000).map(lambda watts: watts / 1000)
fleets = st.lists(st.tuples(st.sampled_from("abcd"), kilowatts, st.sampled_from(["b1", "b2", "b3"])), max_size=12)
parts = st.dictionaries(st.sampled_from("abcd"), st.floats(0.5, 1.0))


def _offers(fleet: Sequence[tuple[str, float, str]], sign: float) -> dict[str, list[EvOffer]]:
    offers: dict[str, list[EvOffer]] = {}
    for number, (manager, kw, bus) in enumerate(fleet):
        offers.setdefault(manager, []).append(offer(f"c{number:02}", sign * kw, bus))
    return offers


@given(
    fleets, kilowatts, st.sampled_from([-1.0, 1.0]), parts, st.dictionaries(st.sampled_from(["b1", "b2"]), kilowatts)
)
def test_never_more_than_offered_and_enough_where_there_is_enough(
    fleet: list[tuple[str, float, str]], need: float, sign: float, known: dict[str, float], at: dict[str, float]
) -> None:
    offers = _offers(fleet, sign)
    orders = choose(offers, sign * need, {bus: sign * kw for bus, kw in at.items()}, known)
    offered = {each.user_id: each.power_kw for of in offers.values() for each in of}
    for user_id, kw in powers(orders).items():
        assert 0 < sign * kw <= abs(offered[user_id])
    total = sum(known.get(manager, 1.0) * abs(each.power_kw) for manager, of in offers.items() for each in of)
    came = sign * expected_kw(orders, known)
    partly = [u for u, kw in powers(orders).items() if abs(kw) < abs(offered[u]) - 1e-9]
    assert len(partly) <= 1 + len(at)
    # each order is to the watt, and each bus may be missed by one; the last order of each may be raised to the least
    assert came >= min(need, total) - 2e-3 * (len(fleet) + 1)
    assert came <= min(need, total) + 2e-3 * (len(fleet) + 1) + LEAST_ORDER_KW * (1 + len(at))
    assert all(abs(kw) >= min(LEAST_ORDER_KW, abs(offered[u])) for u, kw in powers(orders).items())


@given(fleets, kilowatts, parts, st.randoms())
def test_neither_the_order_of_managers_nor_of_offers_matters(
    fleet: list[tuple[str, float, str]], need: float, known: dict[str, float], shuffler: random.Random
) -> None:
    offers = _offers(fleet, 1.0)
    managers = list(offers)
    shuffler.shuffle(managers)
    again = {manager: shuffler.sample(offers[manager], len(offers[manager])) for manager in managers}
    first = choose(offers, need, {"b1": need / 2}, known)
    assert choose(again, need, {"b1": need / 2}, known) == first
    assert list(choose(again, need, {"b1": need / 2}, known)) == sorted(first)


# ---- who is trusted ------------------------------------------------------------------------------------------------


def test_trust_begins_at_one_and_follows_what_the_meters_show() -> None:
    memory = Memory(weight=0.25, bound=0.1)
    trust = memory.after(Trust(), 2.0, 1.0, NOW)
    assert trust == Trust(0.875)
    assert memory.after(trust, 2.0, 2.0, NOW).value == pytest.approx(0.90625)


def test_nothing_promised_teaches_nothing_and_more_than_promised_is_no_merit() -> None:
    assert Memory().after(Trust(0.8), 0.0, 0.0, NOW) == Trust(0.8)
    assert Memory().after(Trust(), 1.0, 5.0, NOW) == Trust(1.0)


def test_who_falls_below_the_bound_is_not_called_for_a_while_and_then_gets_another_chance() -> None:
    memory = Memory(weight=0.5, bound=0.6, pause=timedelta(hours=2))
    trust = memory.after(Trust(), 1.0, 0.0, NOW)
    assert trust == Trust(0.6, NOW + timedelta(hours=2))
    assert not trust.may_be_called(NOW + timedelta(minutes=119))
    assert memory.after(trust, 1.0, 0.0, NOW + timedelta(minutes=15)) == trust
    assert trust.may_be_called(NOW + timedelta(hours=2))
    again = memory.after(trust, 1.0, 1.0, NOW + timedelta(hours=2))
    assert again == Trust(0.8)
    assert memory.after(trust, 1.0, 0.0, NOW + timedelta(hours=3)).paused_until == NOW + timedelta(hours=5)


@pytest.mark.parametrize(
    ("offered", "fault"),
    [
        (offer("c1", 4.0), None),
        (offer("c1", -3.0), None),
        (offer("c1", 4.7, baseline_kw=2.59), None),
        (offer("c1", 4.7, baseline_kw=2.61), "the baseline of c1 is 2.61 kW, told were 2 kW"),
        (offer("c1", 4.0, baseline_kw=-2.0), "the baseline of c1 is -2 kW, told were 2 kW"),
        (offer("c1", 4.71), "c1 can change by +4.71 kW, told were 4 kW"),
        (offer("c1", 500.0), "c1 can change by +500 kW, told were 4 kW"),
        (offer("c1", -4.0), "c1 can change by -4 kW, told were 3 kW"),
        (offer("c1", 4.0, location="bus2"), "c1 is at bus2, told was bus1"),
    ],
)
def test_an_offer_is_held_against_what_was_told_of_the_vehicle(offered: EvOffer, fault: str | None) -> None:
    told = UserState(
        user_id="c1",
        location="bus1",
        power_kw=2.0,
        energy_kwh=0.5,
        charging_rate_kw=11.0,
        energy_required_kwh=9.0,
        baseline_kw=2.0,
        increase_kw=4.0,
        decrease_kw=3.0,
    )
    assert beside_what_was_told(offered, told) == fault


@pytest.mark.parametrize(
    ("promised", "metered", "delivered"),
    [(3.0, 5.0, 3.0), (3.0, 4.0, 2.0), (3.0, 9.0, 3.0), (3.0, 1.0, 0.0), (-3.0, 0.5, 1.5), (-3.0, -7.0, 3.0)],
)
def test_delivered_is_what_the_meter_shows_beside_the_baseline_up_to_the_promise(
    promised: float, metered: float, delivered: float
) -> None:
    assert delivered_kw(2.0, promised, metered) == delivered


@pytest.mark.parametrize("wrong", [{"weight": 0.0}, {"bound": 1.5}])
def test_a_memory_without_measure_is_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Memory(**wrong)  # type: ignore[arg-type]
