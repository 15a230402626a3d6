"""The merit order list of flexibility activations, and the decision to take part (D5.1 3.3)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.decisions.congestion_offer import Willingness, decide, next_wave
from agents.decisions.merit_order import (
    Activation,
    CongestionTerms,
    Entry,
    Service,
    activations,
    least_energy,
    merit_order,
    walk,
)
from agents.decisions.retail_plan import cheapest_plan
from agents.decisions.vehicle_offer import Parked, by_order, drawn_kwh
from agents.periods import QUARTER
from protocols.exchanges.congestion_services import ActivationKind

SHIFT, CURTAIL, DISCHARGE = ActivationKind.SHIFT, ActivationKind.CURTAIL, ActivationKind.DISCHARGE
START = datetime(2026, 1, 13, 16, 0, tzinfo=UTC)
TERMS = CongestionTerms(wear=0.04, minimum_benefit=0.01)
SERVICE = Service(START + QUARTER, 2, reduction_price=0.20, discharging_price=0.40)
"""The second and third quarter."""


def car(**changed: object) -> Parked:
    """At 16:00 with 20 of 50 kWh, 30 wanted at 20:00; 10 kW both ways, lossless."""
    vehicle = Parked(
        id="c1",
        at=START,
        energy_kwh=20.0,
        capacity_kwh=50.0,
        floor_kwh=10.0,
        required_kwh=30.0,
        up_to_kwh=45.0,
        departure=START + timedelta(hours=4),
        charges_from=None,
        max_charge_kw=10.0,
        max_discharge_kw=10.0,
        efficiency_charge=1.0,
        efficiency_discharge=1.0,
    )
    return replace(vehicle, **changed)  # type: ignore[arg-type]


def replan(vehicle: Parked, prices: Sequence[float], fixed: Mapping[datetime, float]) -> tuple[float, ...]:
    """The cheapest plan around what is fixed, as a parking lot makes it."""
    when = [START + k * QUARTER for k in range(len(prices))]
    gained = sum(drawn_kwh(vehicle, fixed[at], 0.25) for at in when if at in fixed)
    then = replace(vehicle, energy_kwh=vehicle.energy_kwh + gained)
    free = cheapest_plan(then, START, [math.inf if at in fixed else p for at, p in zip(when, prices, strict=True)])
    return tuple(fixed.get(at, kw) for at, kw in zip(when, free, strict=True))


def found(
    vehicle: Parked, prices: Sequence[float], service: Service = SERVICE, terms: CongestionTerms = TERMS
) -> dict[ActivationKind, Activation]:
    plan = cheapest_plan(vehicle, START, prices)
    listed = activations(vehicle, "bus1", plan, prices, START, service, terms, replan)
    assert len({each.kind for each in listed}) == len(listed)
    return {each.kind: each for each in listed}


CHEAP_FIRST = [0.10] * 4 + [0.14] * 12


def test_what_can_be_made_up_is_shifted_at_the_difference_of_the_prices() -> None:
    shift = found(car(), CHEAP_FIRST)[SHIFT]
    # 5 kWh move from 0.10 to 0.14; the driver gets half of 0.20
    assert (shift.reduction_kw, shift.power_kw) == ((10.0, 10.0), (0.0, 0.0))
    assert shift.energy_kwh == pytest.approx(5.0)
    assert shift.driver_eur_per_kwh == pytest.approx(0.10)
    assert shift.cost_eur_per_kwh == pytest.approx(0.04 + 0.10)
    assert shift.margin_eur_per_kwh == pytest.approx(0.06)
    assert shift.departure_soc_percent == pytest.approx(60.0)


def test_discharging_costs_wear_and_the_charging_again() -> None:
    give = found(car(), CHEAP_FIRST)[DISCHARGE]
    # by plan 22.5 kWh at the start; 5 kWh out over half an hour, 10 kWh less in all, all made up at 0.14
    assert (give.reduction_kw, give.power_kw) == ((20.0, 20.0), (-10.0, -10.0))
    assert give.revenue_eur_per_kwh == pytest.approx((5 * 0.20 + 5 * 0.40) / 10)
    assert give.driver_eur_per_kwh == pytest.approx(0.15 + 5 * 0.04 / 10)
    more = (10 * 0.14 - 5 * 0.10) / 10
    assert give.cost_eur_per_kwh == pytest.approx(more + 0.17)
    assert give.departure_soc_percent == pytest.approx(60.0)


def test_losses_make_discharging_dearer() -> None:
    vehicle = car(efficiency_charge=0.8, efficiency_discharge=0.8, energy_kwh=30.0)
    give = found(vehicle, CHEAP_FIRST, replace(SERVICE, discharging_price=0.60))[DISCHARGE]
    # nothing was planned; 5 kWh at the grid take 6.25 out of the battery, which 7.8125 kWh at 0.10 or 0.14 put back
    assert give.energy_kwh == pytest.approx(5.0)
    recharged = 2 * 2.5 * 0.10 + (7.8125 - 5.0) * 0.14
    assert give.cost_eur_per_kwh == pytest.approx((recharged + 0.04 * 6.25) / 5 + 0.30)


def test_what_cannot_be_made_up_may_be_withheld_down_to_four_fifths() -> None:
    # 20 to 30 kWh need an hour; leaving at 17:15 + the spare quarter leaves just that, so nothing can be shifted
    vehicle = car(departure=START + timedelta(minutes=75))
    listed = found(vehicle, [0.10] * 5, replace(SERVICE, reduction_price=0.60), replace(TERMS, energy_value=0.30))
    assert list(listed) == [CURTAIL]
    curtail = listed[CURTAIL]
    # 24 kWh must be reached: at the end of the service 21.5, there are 22.5 at its start: all 5 kWh are withheld
    assert curtail.reduction_kw == (10.0, 10.0)
    # the quarter to spare is used in the end: 2.5 kWh are made up, 2.5 are lost
    assert curtail.departure_soc_percent == pytest.approx(55.0)
    assert curtail.driver_eur_per_kwh == pytest.approx(0.30 + 2.5 * 0.30 / 5)
    assert curtail.cost_eur_per_kwh == pytest.approx(0.45 - 2.5 * 0.10 / 5)


def test_a_part_is_shifted_where_not_all_can_be() -> None:
    # 1 h 15 min for an hour's charging: a quarter's worth can move
    vehicle = car(departure=START + timedelta(minutes=90))
    shift = found(vehicle, [0.10] * 6)[SHIFT]
    assert shift.reduction_kw == pytest.approx((5.0, 5.0))
    assert shift.power_kw == pytest.approx((5.0, 5.0))
    assert shift.departure_soc_percent == pytest.approx(60.0)


@pytest.mark.parametrize(
    "vehicle",
    [
        car(departure=SERVICE.end - timedelta(minutes=1)),
        car(energy_kwh=5.0, floor_kwh=10.0),
        car(energy_kwh=47.0, required_kwh=50.0, max_discharge_kw=0.0),
        car(energy_kwh=30.0, max_discharge_kw=0.0),
        car(energy_kwh=30.0, floor_kwh=29.9),
    ],
    ids=["leaves before", "below its floor", "in its taper", "nothing planned", "no energy above the floor"],
)
def test_who_can_do_nothing_is_not_in_the_list(vehicle: Parked) -> None:
    assert found(vehicle, CHEAP_FIRST) == {}


def test_what_does_not_bring_the_minimum_benefit_is_not_in_the_list() -> None:
    # the margin of shifting is 0.06, that of discharging 0.04
    assert set(found(car(), CHEAP_FIRST, terms=replace(TERMS, minimum_benefit=0.05))) == {SHIFT}
    assert found(car(), CHEAP_FIRST, terms=replace(TERMS, minimum_benefit=0.07)) == {}


def test_least_energy_counts_the_taper_twice() -> None:
    vehicle = car()
    # 47.5 to 50 takes half an hour; of 3 h 45 min less the service's end 3 h are left: 2.5 h of 10 kW below the knee
    at = START + timedelta(minutes=45)
    assert least_energy(vehicle, at, 50.0) == pytest.approx(47.5 - 25.0)
    assert least_energy(vehicle, START + timedelta(hours=3, minutes=30), 50.0) == pytest.approx(50.0 - 1.25)
    assert least_energy(car(max_charge_kw=0.0), at, 30.0) == 30.0


@given(
    st.floats(10.0, 45.0),
    st.floats(10.0, 45.0),
    st.integers(50, 300),
    st.lists(st.floats(0.0, 0.5), min_size=20, max_size=20),
    st.integers(1, 4),
)
def test_nobody_leaves_with_less_than_due_or_falls_below_the_floor(
    energy: float, required: float, minutes: int, prices: list[float], periods: int
) -> None:
    vehicle = car(energy_kwh=energy, required_kwh=required, departure=START + timedelta(minutes=minutes))
    generous = replace(SERVICE, periods=periods, reduction_price=2.0, discharging_price=2.0)
    plan = cheapest_plan(vehicle, START, prices)
    for each in found(vehicle, prices, generous).values():
        after = vehicle
        set_to = {generous.start + k * QUARTER: kw for k, kw in enumerate(each.power_kw)}
        for k, kw in enumerate(replan(vehicle, prices, set_to)):
            after = by_order(after, kw, max(after.at, min(START + (k + 1) * QUARTER, vehicle.departure)))
            assert after.energy_kwh >= min(energy, vehicle.floor_kwh) - 1e-6
        own = vehicle
        for k, kw in enumerate(plan):
            own = by_order(own, kw, max(own.at, min(START + (k + 1) * QUARTER, vehicle.departure)))
        due = min(required, own.energy_kwh) * (0.8 if each.kind is CURTAIL else 1.0)
        assert after.energy_kwh >= due - 1e-3
        assert after.energy_kwh / 0.5 == pytest.approx(each.departure_soc_percent, abs=1e-3)
        assert all(kw >= 0 for kw in each.reduction_kw)


# ---- the list ------------------------------------------------------------------------------------------------------


def part(charger: str, cost: float, kw: float = 10.0, kind: ActivationKind = SHIFT, place: str = "bus1") -> Activation:
    return Activation(charger, place, kind, (kw, kw), (0.0, 0.0), cost, cost / 2, 0.20, 60.0)


def test_the_list_is_in_the_order_of_cost_and_groups_what_is_alike() -> None:
    entries = merit_order(
        [
            part("c3", 0.1004),
            part("c1", 0.0996),
            part("c2", 0.1002, place="bus2"),
            part("c1", 0.05, kw=20.0, kind=DISCHARGE),
            part("c4", 0.1001, kind=CURTAIL),
        ],
        "r1",
    )
    assert [(e.activation_id, e.kind, [p.charger_id for p in e.parts], e.cost_eur_per_kwh) for e in entries] == [
        ("r1/1", DISCHARGE, ["c1"], Decimal("0.050")),
        ("r1/2", SHIFT, ["c1", "c3"], Decimal("0.100")),
        ("r1/3", SHIFT, ["c2"], Decimal("0.100")),
        ("r1/4", CURTAIL, ["c4"], Decimal("0.100")),
    ]


def test_a_vehicle_counts_once_with_the_largest_activation_passed() -> None:
    entries = merit_order([part("c1", 0.05), part("c2", 0.06), part("c1", 0.10, kw=20.0, kind=DISCHARGE)], "r1")
    assert [(p.charger_id, p.mean_kw) for p in walk(entries, 2)] == [("c1", 10.0), ("c2", 10.0)]
    assert [(p.charger_id, p.mean_kw) for p in walk(entries)] == [("c1", 20.0), ("c2", 10.0)]


# ---- the decision --------------------------------------------------------------------------------------------------

SURE = Willingness(dict.fromkeys(ActivationKind, (10**9, 10**9)))


def entries_of(*parts: Activation) -> tuple[Entry, ...]:
    return merit_order(parts, "r1")


def test_sure_drivers_are_offered_as_far_as_was_asked_for() -> None:
    decision = decide(entries_of(part("c1", 0.10), part("c2", 0.12)), 15.0, SERVICE, TERMS, SURE)
    # 5 kWh at 0.10 and 2.5 kWh at 0.08 of margin
    assert decision.power_kw == pytest.approx(15.0)
    assert decision.delivered_kwh == pytest.approx(7.5, rel=1e-6)
    assert decision.profit_eur == pytest.approx(5 * 0.10 + 2.5 * 0.08, rel=1e-6)


def test_what_may_not_come_is_weighed_against_its_penalty() -> None:
    even = Willingness({SHIFT: (2, 0)})  # (0 + 3) / (2 + 4) = 1/2
    assert even.expected(SHIFT) == 0.5
    entries = entries_of(part("c1", 0.10))
    # one driver, half: 2.5 kWh expected of 5 promised: 0.25 EUR earned, 0.50 EUR of penalty
    decision = decide(entries, 10.0, SERVICE, TERMS, even)
    assert decision.power_kw == 0.0
    assert decision.benefit_eur_per_kwh < 0
    # without a penalty it is worth a try
    assert decide(entries, 10.0, SERVICE, replace(TERMS, penalty_factor=0.0), even).power_kw == pytest.approx(10.0)


def test_a_reserve_in_the_list_makes_a_promise_safer() -> None:
    three = entries_of(*(part(f"c{k}", 0.10) for k in range(3)))
    two_thirds = Willingness({SHIFT: (2, 1)})
    decision = decide(three, 30.0, SERVICE, replace(TERMS, penalty_factor=0.5), two_thirds)
    # P(>= 1) = 26/27, P(>= 2) = 20/27, P(3) = 8/27: the third 10 kW earn 8/27 * 0.10 - 19/27 * 0.10 < 0
    assert decision.power_kw == pytest.approx(20.0)
    assert decision.delivered_kwh == pytest.approx(5 * (26 / 27 + 20 / 27))


def test_too_little_benefit_is_refused_with_its_number() -> None:
    decision = decide(entries_of(part("c1", 0.18)), 10.0, SERVICE, replace(TERMS, minimum_benefit=0.03), SURE)
    assert decision.power_kw == 0.0
    assert decision.benefit_eur_per_kwh == pytest.approx(0.02, rel=1e-6)


def test_an_uneven_profile_is_only_promised_as_far_as_every_period_pays() -> None:
    uneven = replace(part("c1", 0.10), reduction_kw=(10.0, 0.0))
    decision = decide((Entry("r1/1", (uneven,)),), 10.0, SERVICE, TERMS, SURE)
    # each kW promised brings half of it at 0.10 and costs the other half at 0.20
    assert decision.power_kw == 0.0


def test_answers_teach_how_willing_drivers_are() -> None:
    first = Willingness()
    assert first.expected(SHIFT) == 0.75
    assert first.after(SHIFT, agreed=True).expected(SHIFT) == 0.8
    assert first.after(SHIFT, agreed=False).expected(SHIFT) == 0.6
    assert first.after(SHIFT, agreed=False).expected(CURTAIL) == 0.75


# ---- whom to ask -----------------------------------------------------------------------------------------------------

LIST = merit_order(
    [
        part("c1", 0.05),
        part("c2", 0.06),
        part("c1", 0.10, kw=18.0, kind=DISCHARGE),
        part("c2", 0.11, kw=18.0, kind=DISCHARGE),
    ],
    "r1",
)


def wave(missing_kw: float, free: set[str], willingness: Willingness = SURE) -> dict[str, list[str]]:
    found = next_wave(LIST, free, missing_kw, willingness)
    return {charger: [activation_id for activation_id, _ in options] for charger, options in found.items()}


def test_as_many_are_asked_as_are_expected_to_bring_what_is_missing() -> None:
    assert wave(9.0, {"c1", "c2"}) == {"c1": ["r1/1"]}
    assert wave(15.0, {"c1", "c2"}) == {"c1": ["r1/1"], "c2": ["r1/2"]}
    assert wave(9.0, {"c1", "c2"}, Willingness()) == {"c1": ["r1/1"], "c2": ["r1/2"]}
    assert wave(0.4, {"c1", "c2"}) == {}


def test_nothing_further_down_the_list_is_asked_for_than_is_needed() -> None:
    assert wave(25.0, {"c1", "c2"}) == {"c1": ["r1/1", "r1/3"], "c2": ["r1/2"]}
    assert wave(99.0, {"c1", "c2"}) == {"c1": ["r1/1", "r1/3"], "c2": ["r1/2", "r1/4"]}


def test_only_who_is_free_is_asked() -> None:
    assert wave(15.0, {"c2"}) == {"c2": ["r1/2", "r1/4"]}
    assert wave(15.0, set()) == {}
