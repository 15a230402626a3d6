"""Which offers are believed, and which of them are taken."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.congestion_award import (
    Candidate,
    by_charger,
    capped,
    choose_offers,
    given_back_part,
    offer_fault,
    price_of,
)
from agents.decisions.congestion_gaps import Shown
from protocols import exchanges as x
from tests.agents.stage import at

CALL = x.CongestionCall(
    request_id="c1",
    service=x.ServiceType.CONGESTION_MANAGEMENT,
    timestamp=at(4),
    start=at(15),
    duration_minutes=30,
    power_kw=30.0,
    location="t1",
    buses=("bus1", "bus2"),
    reduction_price_eur_per_kwh=Decimal("0.40"),
    discharging_price_eur_per_kwh=Decimal("0.50"),
)
CHARGERS = {"c1", "c2", "c3"}


def activation(name: str, kw: float, *users: str, cost: str = "0.10", kind: str = "curtail") -> Any:
    return x.FlexibilityActivation(
        activation_id=name,
        kind=x.ActivationKind(kind),
        users=users or ("c1",),
        power_kw=kw,
        energy_kwh=kw / 2,
        cost_eur_per_kwh=Decimal(cost),
        departure_soc_percent=60.0,
    )


def offer(kw: float = 10.0, baseline: float = 20.0, *activations: Any, values: int = 2) -> x.SolutionOffer:
    return x.SolutionOffer(
        request_id="c1",
        timestamp=at(5),
        power_kw=kw,
        baseline_kw=(baseline,) * values,
        activations=activations or (activation("a1", kw),),
    )


def fault(given: x.SolutionOffer, told: float = 20.0) -> str | None:
    return offer_fault(CALL, given, [told] * 2, CHARGERS, discharge_kw=10.0, tolerance_kw=2.0, tolerance_part=0.1)


@pytest.mark.parametrize(
    ("given", "told", "words"),
    [
        (offer(), 20.0, None),
        (offer(baseline=22.0), 20.0, None),
        (offer(baseline=22.1), 20.0, "its baseline from 06:15 UTC is 22.1 kW, its schedule said 20.0 kW"),
        (offer(baseline=44.0), 40.0, None),
        (offer(baseline=5.0), 20.0, None),
        (offer(values=3), 20.0, "its baseline has 3 values for 2 periods"),
        (offer(10.0, 20.0, activation("a1", 10.0, "c1", "c9")), 20.0, "it names c9, which is not at the buses"),
        (offer(50.1), 20.0, "it offers 50.1 kW, where its chargers can do with 50.0 kW less at most"),
        (
            offer(10.0, 20.0, activation("a1", 6.0), activation("a2", 6.0, cost="0.45")),
            20.0,
            "it offers 10.0 kW, of which only 6.0 kW cost no more than the call pays",
        ),
        (offer(10.0, 20.0, activation("a1", 6.0), activation("a2", 6.0, cost="0.45", kind="discharge")), 20.0, None),
        (offer(6.0, 20.0, activation("a1", 6.0), activation("a2", 6.0, cost="0.45")), 20.0, None),
    ],
)
def test_an_offer_is_held_against_the_schedule_the_chargers_and_the_prices(
    given: x.SolutionOffer, told: float, words: str | None
) -> None:
    assert fault(given, told) == words


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Shown(-2.0, 20.0), None),
        (Shown(-2.1, 20.0), "at the last looks its chargers drew 2.1 kW less than its schedule said"),
        (Shown(-6.0, 60.0), None),
        (Shown(-60.0, 60.0), "at the last looks its chargers drew 60.0 kW less than its schedule said"),
        (Shown(30.0, 20.0), None),
    ],
)
def test_who_has_told_more_than_it_drew_is_not_believed(shown: Shown, words: str | None) -> None:
    given = offer_fault(
        CALL, offer(), [20.0] * 2, CHARGERS, shown=shown, discharge_kw=10.0, tolerance_kw=2.0, tolerance_part=0.1
    )
    assert given == words


def test_an_offer_is_settled_by_no_more_than_what_was_told_and_has_been_metered() -> None:
    assert capped((22.0, 18.0), (20.0, 20.0), Shown()) == (20.0, 18.0)
    assert capped((20.0, 18.0), (20.0, 20.0), Shown(-1.5, 20.0)) == (18.5, 18.0)
    # who draws more than it has told does not get more than it nominates
    assert capped((20.0, 24.0), (20.0, 20.0), Shown(3.0, 20.0)) == (20.0, 23.0)


def gives_back(kw: float, *users: str, besides: float = 0.0) -> x.SolutionOffer:
    """An offer of a discharge, after `besides` kW that are not drawn."""
    first = [activation("a0", besides)] if besides else []
    return offer(kw, 0.0, *first, activation("a1", kw, *users, cost="0.20", kind="discharge"))


def test_what_is_given_back_costs_more_and_is_awarded_after_what_is_not_drawn() -> None:
    mixed = gives_back(10.0, "c2", besides=4.0)
    assert given_back_part(mixed, 10.0) == pytest.approx(0.6)
    assert price_of(mixed, 10.0, CALL) == pytest.approx(0.46)
    # a part of the offer that comes from the top of the list costs what a reduction costs
    assert price_of(mixed, 4.0, CALL) == pytest.approx(0.40)
    # the alternative of a vehicle that is in the list already adds only what it does more
    assert by_charger(gives_back(10.0, "c1", besides=4.0), 10.0) == {"c1": 10.0}
    assert given_back_part(gives_back(10.0, "c1", besides=4.0), 10.0) == pytest.approx(0.6)


def chosen(needed: float, *candidates: Candidate) -> list[tuple[str, float]]:
    return list(choose_offers(CALL, candidates, needed).items())


def test_consumption_left_out_is_taken_before_power_given_back_and_the_last_offer_in_part() -> None:
    back, less = Candidate("a", gives_back(20.0)), Candidate("b", offer(20.0, 20.0))
    assert chosen(30.0, back, less) == [("b", 20.0), ("a", 10.0)]


def test_a_part_goes_up_to_the_next_tenth_but_is_not_too_small_to_be_worth_it() -> None:
    pair = Candidate("a", offer(10.0)), Candidate("b", offer(10.0))
    assert chosen(13.34, *pair) == [("a", 10.0), ("b", 3.4)]
    assert chosen(10.1, *pair) == [("a", 10.0), ("b", 0.5)]
    assert chosen(10.1, pair[0], Candidate("b", offer(0.3, 1.0))) == [("a", 10.0), ("b", 0.3)]
    assert chosen(10.0005, *pair) == [("a", 10.0)]


def test_who_keeps_less_of_its_promises_comes_later_and_is_counted_with_what_comes() -> None:
    candidates = Candidate("a", offer(10.0), 0.5), Candidate("b", offer(12.0), 0.9)
    taken = choose_offers(CALL, candidates, 13.0)
    assert list(taken.items()) == [("b", 12.0), ("a", 4.4)], "12.0 x 0.9 + 4.4 x 0.5 are the 13 kW that are missing"
    assert chosen(5.0, Candidate("a", offer(10.0), 0.0)) == []


def test_power_given_back_by_the_reliable_beats_consumption_left_out_by_who_breaks_promises() -> None:
    # 0.50 EUR/kWh for all that is given back; 0.40 over a half is 0.80 for each kWh that comes
    assert chosen(5.0, Candidate("a", offer(10.0), 0.5), Candidate("b", gives_back(10.0)))[0][0] == "b"


def test_equals_are_taken_by_size_then_by_name() -> None:
    small, large, same = Candidate("a", offer(4.0)), Candidate("c", offer(9.0)), Candidate("b", offer(9.0))
    assert [name for name, _ in chosen(20.0, small, large, same)] == ["b", "c", "a"]


def test_an_awarded_part_comes_from_the_top_of_the_list_and_from_each_charger_once() -> None:
    given = offer(12.0, 20.0, activation("a1", 6.0, "c1", "c2"), activation("a2", 4.0, "c3"), activation("a3", 9.0))
    assert by_charger(given, 8.0) == {"c1": 3.0, "c2": 3.0, "c3": 2.0}
    assert by_charger(given, 12.0) == {"c1": 5.0, "c2": 3.0, "c3": 4.0}
