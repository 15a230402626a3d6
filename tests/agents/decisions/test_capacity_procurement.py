"""What is bought: against enumeration by AC power flow, and what it must never do."""

from __future__ import annotations

import dataclasses
import itertools
import time
from decimal import Decimal

import numpy as np
import pytest

from agents.decisions.capacity_procurement import Curve, DsoCosts, procure
from agents.public_ports import Scenarios
from tests.agents.decisions.capacity_study import curve, grid_study, overload_kwh, sampled, sites

COSTS = DsoCosts(violation_eur_per_kwh=0.5, line_limit_percent=65.0)
CURVES = [
    curve(0, (60.0, "300.00"), (150.0, "40.00")),
    curve(1, (60.0, "420.00"), (120.0, "200.00"), (180.0, "60.00")),
    curve(2, (90.0, "310.00"), (150.0, "110.00")),
]


def test_it_buys_what_an_enumeration_by_ac_power_flow_finds_cheapest() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    found = procure(study, scenarios, CURVES, sites(3), COSTS, days=28)
    totals = {}
    for points in itertools.product(*(each.points for each in CURVES)):
        limits = {number: limit for number, (limit, _) in enumerate(points)}
        price = float(sum(price for _, price in points))
        totals[tuple(limits.values())] = price + 14.0 * overload_kwh(study, scenarios, limits, 65.0)
    bought = {each.station_id: each.limit_kw for each in found.purchases}
    chosen = tuple(bought.get(f"s{number}", 300.0) for number in range(3))
    assert bought
    assert totals[chosen] == pytest.approx(min(totals.values()), rel=1e-6)
    assert float(found.cost_eur) + found.violation_eur == pytest.approx(totals[chosen], rel=1e-6)


def test_the_energies_are_those_of_ac_power_flow_and_the_linear_flow_agrees() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3, seed=2)
    before = study.solved
    found = procure(study, scenarios, CURVES, sites(3), DsoCosts(5.0, 65.0))
    assert study.solved - before >= 2 * 5 * 3
    limits = {int(each.station_id[1:]): each.limit_kw for each in found.purchases}
    assert found.expected_without_kwh == pytest.approx(overload_kwh(study, scenarios, {}, 65.0), rel=1e-9)
    assert found.expected_with_kwh == pytest.approx(overload_kwh(study, scenarios, limits, 65.0), rel=1e-9)
    assert found.expected_with_kwh < found.expected_without_kwh
    assert found.ac_checked
    assert found.linear_kwh == pytest.approx(found.expected_with_kwh, rel=5e-3)
    assert np.mean(found.with_kwh) == pytest.approx(found.expected_with_kwh)
    assert np.mean(found.without_kwh) == pytest.approx(found.expected_without_kwh)


def test_where_the_linear_flow_says_too_little_it_is_laid_again() -> None:
    """A tangent at full power is below a convex loading: one round is not enough where caps go far down."""
    study, scenarios = grid_study(), sampled(grid_study(), 8, 4, 3, base_kw=400.0)
    curves = [curve(number, (1.0, "2.00")) for number in range(8)]
    found = procure(study, scenarios, curves, sites(8), DsoCosts(2.0, 62.0))
    assert found.rounds > 1
    assert found.ac_checked


def test_what_saves_less_than_it_costs_is_not_bought() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    dear = [dataclasses.replace(each, points=tuple((kw, price * 1000) for kw, price in each.points)) for each in CURVES]
    found = procure(study, scenarios, dear, sites(3), COSTS)
    assert found.purchases == ()
    assert found.cost_eur == 0
    assert found.with_kwh == found.without_kwh


def test_nothing_is_bought_of_a_network_without_overloads_or_without_curves() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    free = [curve(0, (60.0, "0.00"))]
    calm = procure(study, scenarios, free, sites(3), DsoCosts(0.5, 150.0))
    assert (calm.purchases, calm.expected_without_kwh, calm.violation_eur) == ((), 0.0, 0.0)
    alone = procure(study, scenarios, [], sites(3), COSTS)
    assert alone.purchases == ()
    assert alone.expected_with_kwh == alone.expected_without_kwh > 0


def test_a_limit_that_no_scenario_reaches_is_not_bought_even_for_nothing() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    assert procure(study, scenarios, [curve(1, (290.0, "0.00"))], sites(3), COSTS).purchases == ()


def test_of_two_curves_of_one_station_one_is_bought() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    twice = [curve(1, (60.0, "5.00")), Curve("other", "s1", "Bus 8", ((60.0, Decimal(4)), (300.0, Decimal(0))))]
    found = procure(study, scenarios, twice, sites(3), COSTS)
    assert [each.bid_id for each in found.purchases] == ["other"]


def test_dearer_overloads_never_make_it_buy_less() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    left = [
        procure(study, scenarios, CURVES, sites(3), DsoCosts(eur, 65.0)).expected_with_kwh
        for eur in (0.0, 0.05, 0.2, 0.5, 5.0)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > left[-1]


def overloaded_every_day() -> Scenarios:
    return sampled(grid_study(), 3, 8, 3, base_kw=360.0)


def test_where_activations_are_scarce_caps_hold_only_on_the_worst_days() -> None:
    study, scenarios = grid_study(), overloaded_every_day()
    always = procure(study, scenarios, CURVES, sites(3), COSTS, days=28)
    scarce = procure(study, scenarios, CURVES, sites(3), COSTS, days=28, most_activations=14)
    assert sum(each > 0 for each in always.without_kwh) == 8
    helped = [before - after > 1e-6 for before, after in zip(scarce.without_kwh, scarce.with_kwh, strict=True)]
    bought = len(scarce.purchases)
    assert bought > 0
    assert 4 <= sum(helped) <= 4 * bought
    assert scarce.violation_eur + float(scarce.cost_eur) > always.violation_eur + float(always.cost_eur)
    # an activation should save what it would on the fourth best of eight days
    saved = sorted(np.subtract(scarce.without_kwh, scarce.with_kwh), reverse=True)
    assert scarce.activation_eur == pytest.approx(0.5 * saved[3] / bought)
    assert always.activation_eur == 0.0


def test_one_scarce_contract_holds_on_the_days_an_enumeration_finds_best() -> None:
    study, scenarios = grid_study(), overloaded_every_day()
    only = [curve(1, (60.0, "1.00"))]
    found = procure(study, scenarios, only, sites(3), COSTS, days=4, most_activations=2)
    parts = [
        Scenarios(None, scenarios.p_kw[s : s + 1], scenarios.q_kvar[s : s + 1], scenarios.station_kw[s : s + 1])
        for s in range(8)
    ]
    without = [overload_kwh(study, part, {}, 65.0) for part in parts]
    capped = [overload_kwh(study, part, {1: 60.0}, 65.0) for part in parts]
    best = sum(without) - sum(sorted((a - b for a, b in zip(without, capped, strict=True)), reverse=True)[:4])
    assert found.expected_with_kwh == pytest.approx(best / 8, rel=1e-6)


def test_forty_scenarios_of_twenty_quarters_and_eight_stations_take_less_than_ten_seconds() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 8, 40, 20, base_kw=280.0)
    curves = [curve(k, *((30.0 * n, f"{(9 - n) ** 2 * (3 + k)}.00") for n in range(1, 9))) for k in range(8)]
    begun = time.process_time()
    found = procure(study, scenarios, curves, sites(8), COSTS, most_activations=12)
    assert time.process_time() - begun < 10.0
    assert found.ac_checked
    assert 0 < len(found.purchases) <= 8


def test_the_same_question_gets_the_same_answer() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    assert procure(study, scenarios, CURVES, sites(3), COSTS) == procure(study, scenarios, CURVES, sites(3), COSTS)


def test_what_does_not_belong_together_is_refused() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 3, 5, 3)
    with pytest.raises(ValueError, match="b7: of no station"):
        procure(study, scenarios, [curve(7, (60.0, "1.00"))], sites(3), COSTS)
    with pytest.raises(ValueError, match="2 stations are named"):
        procure(study, scenarios, [], sites(2), COSTS)
    lost = (*sites(2), dataclasses.replace(sites(3)[2], location="nowhere"))
    with pytest.raises(ValueError, match="s2: at no bus"):
        procure(study, scenarios, [], lost, COSTS)
    with pytest.raises(ValueError, match="the study has 11 buses"):
        procure(study, dataclasses.replace(scenarios, p_kw=scenarios.p_kw[:, :, 1:]), [], sites(3), COSTS)
    with pytest.raises(ValueError, match="days must be above 0"):
        procure(study, scenarios, [], sites(3), COSTS, days=0)
    with pytest.raises(ValueError, match="not be negative"):
        DsoCosts(-1.0)
