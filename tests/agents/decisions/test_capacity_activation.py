"""What is activated for tomorrow: against the enumeration of all sets, by AC power flow."""

from __future__ import annotations

import itertools

import pytest

from agents.decisions.capacity_activation import Held, activate
from agents.decisions.capacity_procurement import DsoCosts
from tests.agents.decisions.capacity_study import grid_study, overload_kwh, sampled, sites

HELD = [Held(f"c{number}", f"s{number}", 60.0 + 30.0 * number, 5) for number in range(4)]


@pytest.mark.parametrize(("seed", "percent", "activation_eur"), [(1, 65.0, 0.0), (2, 68.0, 0.5), (3, 62.0, 2.0)])
def test_it_is_the_set_that_an_enumeration_finds_cheapest(seed: int, percent: float, activation_eur: float) -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 4, 4, 3, seed=seed)
    costs = DsoCosts(0.5, percent, activation_eur)
    found = activate(study, scenarios, HELD, sites(4), costs)

    def total(chosen: tuple[Held, ...]) -> float:
        limits = {int(each.station_id[1:]): each.limit_kw for each in chosen}
        each_eur = max(activation_eur, 0.01)
        return 0.5 * overload_kwh(study, scenarios, limits, percent) + each_eur * len(chosen)

    sets = [chosen for count in range(5) for chosen in itertools.combinations(HELD, count)]
    chosen = tuple(each for each in HELD if each.contract_id in dict(found.limits))
    assert total(chosen) == pytest.approx(min(map(total, sets)), abs=0.01)
    # none of it could be left out
    for left_out in chosen:
        assert total(tuple(each for each in chosen if each is not left_out)) >= total(chosen) - 1e-3
    assert found.expected_without_kwh == pytest.approx(overload_kwh(study, scenarios, {}, percent))
    limits = {int(each.station_id[1:]): each.limit_kw for each in chosen}
    assert found.expected_with_kwh == pytest.approx(overload_kwh(study, scenarios, limits, percent))


def test_without_an_overload_nobody_is_limited() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 4, 4, 3)
    assert activate(study, scenarios, HELD, sites(4), DsoCosts(0.5, 150.0)).limits == ()


def test_a_contract_that_is_used_up_is_not_activated() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 4, 4, 3)
    used = [Held(each.contract_id, each.station_id, each.limit_kw, 0) for each in HELD]
    assert activate(study, scenarios, HELD, sites(4), DsoCosts(0.5, 65.0)).limits
    assert activate(study, scenarios, used, sites(4), DsoCosts(0.5, 65.0)).limits == ()


def test_the_less_an_activation_need_save_the_more_are_activated() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 4, 4, 3)
    counts = [len(activate(study, scenarios, HELD, sites(4), DsoCosts(0.5, 65.0, eur)).limits) for eur in (0, 1, 4, 99)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1] == 0


def test_with_steps_a_limit_is_as_high_as_saves_the_same() -> None:
    study, scenarios, costs = grid_study(), sampled(grid_study(), 4, 4, 3), DsoCosts(0.5, 88.0)
    held = [Held("c1", "s1", 60.0, 5)]
    low = activate(study, scenarios, held, sites(4), costs)
    high = activate(study, scenarios, held, sites(4), costs, step_kw=20.0)
    assert low.limits == (("c1", 60.0),)
    assert high.limits == (("c1", 100.0),)
    assert high.expected_with_kwh == pytest.approx(low.expected_with_kwh, abs=1e-6)
    assert overload_kwh(study, scenarios, {1: 120.0}, 88.0) > high.expected_with_kwh + 0.5


def test_a_contract_of_no_known_station_is_refused() -> None:
    study, scenarios = grid_study(), sampled(grid_study(), 4, 4, 3)
    with pytest.raises(ValueError, match="lost: of no station"):
        activate(study, scenarios, [Held("lost", "s9", 60.0, 1)], sites(4), DsoCosts(0.5))
