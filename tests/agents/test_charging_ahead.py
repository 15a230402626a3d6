"""What chargers will draw, from what the vehicles' plans told: hand-checked kW at a bus or two."""

from __future__ import annotations

from agents.charging_ahead import above_the_mean, by_bus, expected_charging
from tests.agents.island_stage import user


def test_users_add_up_by_bus_and_one_without_a_place_is_left_out() -> None:
    users = [user("a1", power=3.0), user("a1", power=4.0), user("a2", power=-1.0), user(None, power=50.0)]
    assert by_bus(users, "power_kw") == {"a1": 7.0, "a2": -1.0}


def test_those_who_are_there_draw_what_they_plan() -> None:
    assert expected_charging([user("a1", baseline=7.0), user("a2")], [], {}) == {"a1": 7.0, "a2": 0.0}


def test_who_is_still_to_come_adds_what_charging_usually_rises_by() -> None:
    told = [user("a1", baseline=7.0)]
    assert expected_charging(told, told, {"a1": (4.0, 9.0), "a2": (0.0, 2.0)}) == {"a1": 12.0, "a2": 2.0}


def test_charging_that_usually_falls_takes_nothing_off_the_plans() -> None:
    told = [user("a1", baseline=7.0)]
    assert expected_charging(told, told, {"a1": (9.0, 4.0)}) == {"a1": 7.0}


def test_a_timer_that_switches_on_is_not_counted_as_an_arrival_as_well() -> None:
    """At 22:00 charging usually rises by 22 kW, and 20 of them are the plans of four vehicles that stood there."""
    before, told = [user("a1", baseline=0.0, vehicles=4)], [user("a1", baseline=20.0, vehicles=4)]
    assert expected_charging(told, before, {"a1": (1.0, 23.0)}) == {"a1": 22.0}


def test_vehicles_that_have_just_arrived_do_not_hide_those_that_still_come() -> None:
    """In the morning half of the vehicles are new: of 20 kW that are planned, 10 are the old ones', as before."""
    before, told = [user("a1", baseline=10.0, vehicles=2)], [user("a1", baseline=20.0, vehicles=4)]
    assert expected_charging(told, before, {"a1": (10.0, 20.0)}) == {"a1": 30.0}


def test_the_most_that_is_drawn_at_a_moment_counts_beyond_the_mean_where_it_is_told() -> None:
    told = [
        user("a1", baseline=4.0, highest=11.0),
        user("a1", baseline=11.0, highest=11.0),
        user("a1", baseline=2.0, highest=11.0),
        user("a2", baseline=5.0),
        user("b1", baseline=5.0, highest=5.0),
        user(None, baseline=0.0, highest=50.0),
    ]
    assert above_the_mean(told) == {"a1": 16.0}
