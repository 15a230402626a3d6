"""The DSO's look at its network: which need, of which service, worth how much (D5.1, 3.6.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

import numpy as np
import pytest

from agents.decisions.pricing import OperatorCosts
from agents.grid_view import Limits
from agents.grid_watch import GridWatch, Problem, shared
from protocols.exchanges.vocabulary import ServiceType
from tests.agents.stage import QUARTER, LinearGrid, Typical, at

COSTS = OperatorCosts()
FLEXIBLE = {"bus1": 30.0, "bus2": 30.0}
Rule = Callable[[datetime], Mapping[str, float]]


def watch(grid: LinearGrid, typical: Typical | None = None, *, margin: float = 0.1, bad_day: float = 0.9) -> GridWatch:
    return GridWatch(
        grid,
        Limits(),
        COSTS,
        typical or Typical(),
        ambient_c=20.0,
        margin=margin,
        bad_day=bad_day,
        granularity_kw=0.1,
    )


def evening(first: float, last: float, kw: float) -> Rule:
    """`kw` at the first bus from one minute to another."""
    return lambda when: {"bus1": kw if at(first) <= when < at(last) else 0.0, "bus2": 0.0}


def day_ahead(grid: LinearGrid, typical: Typical, minutes: float = 240) -> list[Problem]:
    return watch(grid, typical).day_ahead(at(0), at(minutes), at(0), FLEXIBLE)


# ---- day ahead -----------------------------------------------------------------------------------------------------


def test_an_evening_without_a_broken_limit_has_no_problem() -> None:
    assert day_ahead(LinearGrid(), Typical(evening(60, 120, 99.0))) == []


def test_a_congestion_becomes_a_need_of_the_power_above_the_limit() -> None:
    (problem,) = day_ahead(LinearGrid(), Typical(evening(60, 105, 120.0)))
    assert problem.need.service is ServiceType.CONGESTION_MANAGEMENT
    assert (problem.need.start, problem.need.end) == (at(60), at(105))
    assert problem.need.power_kw == pytest.approx(20.0)
    assert problem.need.reasons == ("t1 at 120.0 % (limit 100.0)",)
    assert [state.trafo_loading_percent for state in problem.before] == pytest.approx([120.0] * 3)


def test_a_long_congestion_is_bought_in_windows_of_at_most_an_hour() -> None:
    problems = day_ahead(LinearGrid(), Typical(evening(30, 165, 130.0)))
    windows = [(p.need.start, p.need.end) for p in problems]
    assert windows == [(at(30), at(90)), (at(90), at(150)), (at(150), at(165))]
    assert all(end - start <= 4 * QUARTER for start, end in windows)


@pytest.mark.parametrize(
    ("minutes", "ends"), [(30, [60, 90, 120]), (240, [90, 120]), (50, [75, 120]), (10, [45, 60, 75, 90, 105, 120])]
)
def test_no_window_is_longer_than_the_product_may_last(minutes: int, ends: list[int]) -> None:
    grid = LinearGrid()
    looking = GridWatch(
        grid,
        Limits(),
        COSTS,
        Typical(evening(30, 120, 130.0)),
        ambient_c=20.0,
        margin=0.1,
        bad_day=0.9,
        granularity_kw=0.1,
        max_duration_minutes=minutes,
    )
    problems = looking.day_ahead(at(0), at(240), at(0), FLEXIBLE)
    assert [p.need.end for p in problems] == [at(end) for end in ends]


def test_the_day_ahead_looks_at_a_bad_day_and_the_next_quarter_at_a_usual_one() -> None:
    typical = Typical(evening(0, 60, 10.0))
    grid = LinearGrid()
    watch(grid, typical, bad_day=0.9).day_ahead(at(0), at(60), at(0), FLEXIBLE)
    watch(grid, typical).next_quarter(at(15), at(3), {"bus1": 5.0}, at(0), {}, FLEXIBLE)
    assert typical.quantiles == [0.9, None]


def test_each_windows_power_is_that_of_its_worst_quarter() -> None:
    def rising(when: datetime) -> Mapping[str, float]:
        return {"bus1": 100.0 + (when - at(60)) / QUARTER * 5 if at(60) <= when < at(120) else 0.0}

    (problem,) = day_ahead(LinearGrid(), Typical(rising))
    assert problem.need.power_kw == pytest.approx(15.0)
    assert (problem.need.start, problem.need.end) == (at(75), at(120))


# ---- voltage -------------------------------------------------------------------------------------------------------

WEAK = LinearGrid(rating_kw=1000.0, pu_per_kw={"bus1": 0.002})


def test_a_voltage_below_the_band_is_a_need_for_voltage_control_priced_by_reinforcement() -> None:
    """EN 50160:2010, 4.2.2.2: within +-10 %; what the norm forbids may not be let happen, so the alternative is
    reinforcement (D5.1 3.6.1: the maximum price is "based on internal data")."""
    (problem,) = day_ahead(WEAK, Typical(evening(60, 90, 55.0)))
    assert problem.need.service is ServiceType.VOLTAGE_CONTROL
    assert problem.need.reasons == ("bus1 at 0.890 pu (limit 0.900)",)
    # 5 kW too much at the weak bus, and only half of what is flexible is there
    assert problem.need.power_kw == pytest.approx(10.0, abs=0.1)
    assert problem.price.basis == "reinforcement"
    worth = COSTS.annuity_eur() / COSTS.congested_hours * 0.5
    assert float(problem.max_price_eur_per_kw) == pytest.approx(worth / (problem.need.power_kw * 2), abs=1e-4)


def test_a_voltage_above_the_band_is_no_need_for_drawing_less() -> None:
    """Feeding back too much: less consumption would make it worse, and the products here are reductions."""
    looking = watch(WEAK, Typical(evening(60, 90, -60.0)))
    assert looking.day_ahead(at(0), at(240), at(0), FLEXIBLE) == []
    assert [need.increase for need in looking.not_sold] == [True]
    assert "pu (limit" in looking.not_sold[0].reasons[0]


def test_where_current_and_voltage_are_both_beyond_it_is_congestion() -> None:
    grid = LinearGrid(rating_kw=52.0, pu_per_kw={"bus1": 0.002})
    (problem,) = day_ahead(grid, Typical(evening(60, 75, 55.0)))
    assert problem.need.service is ServiceType.CONGESTION_MANAGEMENT
    assert len(problem.need.reasons) == 2


# ---- price ---------------------------------------------------------------------------------------------------------


def test_a_light_congestion_is_worth_the_ageing_and_the_interruption_that_it_would_cost() -> None:
    (problem,) = day_ahead(LinearGrid(), Typical(evening(60, 75, 120.0)))
    price = problem.price
    assert price.basis == "overload"
    # 20 % above the rating: 0.05 / h x 20/50 x 1/4 h, of 120 kW for 1.5 h at 7 EUR/kWh
    assert price.interruption_eur == pytest.approx(0.05 * 0.4 * 0.25 * 120 * 1.5 * 7)
    assert 0 < price.ageing_eur < price.interruption_eur
    expected = (price.ageing_eur + price.interruption_eur) / 20.0
    assert float(price.price_eur_per_kw) == pytest.approx(expected, abs=1e-4)


def test_a_heavy_congestion_is_worth_no_more_than_the_reinforcement() -> None:
    (problem,) = day_ahead(LinearGrid(rating_kw=300.0), Typical(evening(60, 75, 359.0)))
    assert problem.price.basis == "reinforcement"
    assert problem.price.interruption_eur + problem.price.ageing_eur > problem.price.reinforcement_eur
    worth = problem.price.reinforcement_eur / problem.need.power_kw
    assert problem.max_price_eur_per_kw == pytest.approx(Decimal(worth), abs=Decimal("0.0001"))


def test_a_heavier_congestion_is_worth_more_for_each_kw() -> None:
    (light,) = day_ahead(LinearGrid(), Typical(evening(60, 75, 110.0)))
    (heavy,) = day_ahead(LinearGrid(), Typical(evening(60, 75, 125.0)))
    assert heavy.price.interruption_eur > light.price.interruption_eur
    assert heavy.max_price_eur_per_kw > light.max_price_eur_per_kw


# ---- the next quarter ----------------------------------------------------------------------------------------------


def next_quarter(
    grid: LinearGrid, metered: Mapping[str, float], typical: Typical, planned: Mapping[str, float] | None = None
) -> list[Problem]:
    return watch(grid, typical).next_quarter(at(15), at(3), metered, at(0), planned or {}, FLEXIBLE)


def looked_at(grid: LinearGrid) -> dict[str, list[float]]:
    return [what for kind, what in grid.asked if kind == "look-ahead"][-1]  # type: ignore[no-any-return]


def test_the_next_quarter_is_what_is_metered_with_the_margin_for_what_that_misses() -> None:
    grid = LinearGrid()
    (problem,) = next_quarter(grid, {"bus1": 60.0, "bus2": 40.0}, Typical())
    assert looked_at(grid) == {"bus1": [pytest.approx(66.0)], "bus2": [pytest.approx(44.0)]}
    assert (problem.need.start, problem.need.end) == (at(15), at(30))
    assert problem.need.power_kw == pytest.approx(10.0)


def test_the_metered_power_moves_as_charging_usually_moves() -> None:
    grid = LinearGrid()
    typical = Typical(lambda when: {"bus1": 10.0 if when < at(15) else 30.0})
    next_quarter(grid, {"bus1": 50.0}, typical)
    assert looked_at(grid) == {"bus1": [pytest.approx((50.0 + 20.0) * 1.1)]}


def test_the_margin_never_makes_feeding_back_look_larger() -> None:
    grid = LinearGrid()
    next_quarter(grid, {"bus1": -20.0}, Typical())
    assert looked_at(grid) == {"bus1": [pytest.approx(-18.0)]}


def test_what_is_ordered_already_is_not_ordered_again() -> None:
    grid = LinearGrid()
    assert next_quarter(grid, {"bus1": 100.0}, Typical(), {"bus1": -15.0}) == []
    assert looked_at(grid) == {"bus1": [pytest.approx(95.0)]}


def test_a_need_beyond_what_is_flexible_asks_for_all_of_it_and_says_what_stays_broken() -> None:
    (problem,) = next_quarter(LinearGrid(), {"bus1": 200.0}, Typical())
    assert problem.need.power_kw == pytest.approx(60.0)
    assert problem.need.open == ("t1 at 160.0 % (limit 100.0)",)


def test_power_is_shared_by_weight_and_nothing_where_there_is_none() -> None:
    assert shared(-9.0, {"a": 2.0, "b": 1.0}) == {"a": pytest.approx(-6.0), "b": pytest.approx(-3.0)}
    assert shared(5.0, {}) == {}
    assert shared(5.0, {"a": 0.0}) == {}


def test_the_state_before_is_kept_for_every_period_of_the_window() -> None:
    problems = day_ahead(LinearGrid(), Typical(evening(30, 165, 130.0)))
    assert [len(p.before) for p in problems] == [4, 4, 1]
    assert all(np.isclose(s.trafo_p_kw, 130.0) for p in problems for s in p.before)
