"""The island's dispatch: balance, limits, the order of the rule, security, fuel."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions.dispatch import (
    Plant,
    PlantKind,
    commit,
    dispatch,
    fuel_kg,
    increase_that_avoids_curtailment,
    largest_infeed_kw,
    residual_kw,
)

GEO = Plant("geo", PlantKind.GEOTHERMAL, 12_000, inertia_s=2.5)
HYDRO = Plant("hydro", PlantKind.HYDRO, 5_000, inertia_s=2.0, droop=0.05)
WIND = Plant("wind", PlantKind.WIND, 9_000)
SMALL = tuple(Plant(f"small-{i}", PlantKind.THERMAL, 7_700, 2_700, 1.5, 0.05, 0.192, 120) for i in range(1, 5))
LARGE = tuple(Plant(f"large-{i}", PlantKind.THERMAL, 16_800, 5_900, 2.0, 0.05, 0.188, 240) for i in range(1, 5))
PLANTS = (GEO, HYDRO, WIND, *SMALL, *LARGE)

kilowatts = st.floats(0, 90_000)
some_units = st.sets(st.sampled_from([p.name for p in (*SMALL, *LARGE)])).map(sorted)


def available(wind: float = 9_000, hydro: float = 3_000) -> dict[str, float]:
    return {"wind": wind, "hydro": hydro}


@given(demand=kilowatts, wind=st.floats(0, 12_000), hydro=st.floats(0, 6_000), units=st.none() | some_units)
def test_the_balance_closes_and_every_limit_holds(
    demand: float, wind: float, hydro: float, units: list[str] | None
) -> None:
    done = dispatch(PLANTS, demand, available(wind, hydro), committed=units)
    total = sum(done.production_kw.values())
    assert total + done.unserved_kw - done.surplus_kw == pytest.approx(demand, abs=1e-6)
    assert done.geothermal_kw + done.hydro_kw + done.wind_kw + done.thermal_kw == pytest.approx(total, abs=1e-6)
    assert done.wind_available_kw == pytest.approx(min(wind, 9_000))
    assert min(done.curtailed_kw, done.unserved_kw, done.surplus_kw) >= 0
    assert done.geothermal_kw == 12_000
    assert done.hydro_kw == min(hydro, 5_000)
    for plant in PLANTS:
        given_kw = done.production_kw[plant.name]
        assert -1e-9 <= given_kw <= min(plant.capacity_kw, done.available_kw[plant.name]) + 1e-6
        if plant.kind is PlantKind.THERMAL:
            assert (given_kw >= plant.minimum_kw - 1e-6) == (plant.name in done.committed)
            assert plant.name in done.committed or given_kw == 0


@given(demand=kilowatts, more=st.floats(0, 5_000), wind=st.floats(0, 9_000), units=some_units)
def test_more_demand_never_means_more_curtailment_with_the_units_that_run(
    demand: float, more: float, wind: float, units: list[str]
) -> None:
    one = dispatch(PLANTS, demand, available(wind), committed=units)
    other = dispatch(PLANTS, demand + more, available(wind), committed=units)
    assert other.curtailed_kw <= one.curtailed_kw + 1e-6
    assert other.surplus_kw <= one.surplus_kw + 1e-6
    assert other.unserved_kw >= one.unserved_kw - 1e-6


def test_more_demand_never_means_more_curtailment_when_the_units_are_chosen_anew() -> None:
    """Not so for any set of units; it is for this island's, whose sets overlap."""
    curtailed = [dispatch(PLANTS, 20_000 + 50 * i, available()).curtailed_kw for i in range(1100)]
    assert curtailed[0] == 9_000
    assert curtailed[-1] == 0
    assert all(later <= before + 1e-6 for before, later in pairwise(curtailed))


@given(demand=kilowatts, wind=st.floats(0, 9_000), units=some_units)
def test_the_increase_that_avoids_curtailment_is_enough_and_not_too_much(
    demand: float, wind: float, units: list[str]
) -> None:
    now = dispatch(PLANTS, demand, available(wind), committed=units)
    increase = increase_that_avoids_curtailment(now)
    then = dispatch(PLANTS, demand + increase, available(wind), committed=units)
    assert then.curtailed_kw == pytest.approx(0, abs=1e-6)
    if increase > 1:
        less = dispatch(PLANTS, demand + increase - 1, available(wind), committed=units)
        assert less.curtailed_kw == pytest.approx(min(1, wind), abs=1e-6)


def test_wind_and_then_even_the_must_run_is_too_much() -> None:
    """Three small units give at least 8.1 MW: with 15 MW of must-run, 24 MW leave 0.9 MW for wind and 20 MW none."""
    units = [p.name for p in SMALL[:3]]
    windy = dispatch(PLANTS, 24_000, available(), committed=units)
    assert (windy.wind_kw, windy.curtailed_kw) == pytest.approx((900, 8_100))
    assert (windy.thermal_kw, windy.thermal_minimum_kw) == (8_100, 8_100)
    empty = dispatch(PLANTS, 20_000, available(), committed=units)
    assert (empty.wind_kw, empty.surplus_kw) == (0, 3_100)
    assert increase_that_avoids_curtailment(empty) == 9_000 + 3_100


def test_all_running_units_are_equally_far_between_minimum_and_capacity() -> None:
    done = dispatch(PLANTS, 40_000, available(0), committed=["small-1", "large-1"])
    assert done.unserved_kw == pytest.approx(40_000 - 15_000 - 24_500)
    half = dispatch(PLANTS, 15_000 + 5_200 + 11_350, available(0), committed=["small-1", "large-1"])
    assert half.production_kw["small-1"] == pytest.approx(5_200)
    assert half.production_kw["large-1"] == pytest.approx(11_350)


@settings(max_examples=60, deadline=None)
@given(residual=st.floats(-20_000, 60_000), reserve=st.floats(0, 15_000), least=st.integers(0, 4))
def test_the_committed_set_is_the_secure_one_with_least_curtailment_and_then_least_fuel(
    residual: float, reserve: float, least: int
) -> None:
    """Against every subset of the units."""

    def judged(units: tuple[Plant, ...]) -> tuple[float, float] | None:
        minimum, capacity = sum(p.minimum_kw for p in units), sum(p.capacity_kw for p in units)
        load = max(residual, minimum)
        largest = max((p.capacity_kw for p in units), default=0)
        if len(units) < least or capacity - load < max(reserve, largest) - 1e-9:
            return None
        far = (load - minimum) / (capacity - minimum) if units else 0
        each = [p.minimum_kw + far * (p.capacity_kw - p.minimum_kw) for p in units]
        burnt = sum(p.fuel_no_load_kg_per_h + p.fuel_kg_per_kwh * kw for p, kw in zip(units, each, strict=True))
        return round(max(0.0, minimum - residual), 6), round(burnt, 4)

    units = (*SMALL, *LARGE)
    subsets = [subset for n in range(9) for subset in combinations(units, n)]
    best = min((value for subset in subsets if (value := judged(subset)) is not None), default=None)
    chosen = commit(PLANTS, residual, reserve, least_thermal=least)
    if best is None:
        assert chosen == units
    else:
        assert judged(chosen) == pytest.approx(best, abs=1e-3)


def test_a_unit_that_must_go_on_running_is_kept() -> None:
    assert "large-3" not in [p.name for p in commit(PLANTS, 5_000, 12_000)]
    kept = [p.name for p in commit(PLANTS, 5_000, 12_000, keep=["large-3"])]
    assert "large-3" in kept
    assert "large-1" not in kept


def test_the_reserve_is_for_the_largest_infeed_that_is_not_thermal() -> None:
    assert largest_infeed_kw(PLANTS, available()) == 12_000
    assert largest_infeed_kw(PLANTS, {**available(), "geo": 4_000}) == 9_000
    assert residual_kw(PLANTS, 50_000, available()) == 50_000 - 12_000 - 3_000 - 9_000


def test_a_thermal_unit_that_cannot_give_its_minimum_does_not_run() -> None:
    broken = {**available(), "small-1": 1_000.0, "small-2": 0.0}
    done = dispatch(PLANTS, 40_000, broken, committed=["small-1", "small-2", "small-3", "large-1"])
    assert done.committed == ("small-3", "large-1")
    assert not {"small-1", "small-2"} & set(dispatch(PLANTS, 80_000, broken).committed)


def test_fuel_by_hand() -> None:
    """Small at 5200 kW: 120 + 0.192 * 5200 = 1118.4 kg/h; large at 11350 kW: 240 + 0.188 * 11350 = 2373.8 kg/h."""
    half = dispatch(PLANTS, 15_000 + 5_200 + 11_350, available(0), committed=["small-1", "large-1"])
    assert fuel_kg(PLANTS, half, 0.25) == pytest.approx((1118.4 + 2373.8) / 4)


@given(share=st.floats(0.001, 1), demand=st.floats(20_000, 80_000), wind=st.floats(0, 9_000))
def test_a_slice_of_the_island_is_the_island_times_its_share(share: float, demand: float, wind: float) -> None:
    whole = dispatch(PLANTS, demand, available(wind))
    part_plants = [p.scaled(share) for p in PLANTS]
    part = dispatch(
        part_plants,
        demand * share,
        {n: kw * share for n, kw in available(wind).items()},
        committed=whole.committed,
    )
    assert part.curtailed_kw == pytest.approx(whole.curtailed_kw * share, abs=1e-6)
    assert fuel_kg(part_plants, part, 1) == pytest.approx(fuel_kg(PLANTS, whole, 1) * share)


@pytest.mark.parametrize(
    "wrong",
    [{"minimum_kw": -1.0}, {"minimum_kw": 101.0}, {"inertia_s": -1.0}, {"droop": 0.0}, {"fuel_kg_per_kwh": -0.1}],
)
def test_numbers_that_no_plant_has_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="plant x"):
        Plant("x", PlantKind.THERMAL, 100.0, **wrong)
