"""The DSO's look at its currents: which place needs how much less, confirmed by power flow (BUC 3)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agents.congestion_watch import CongestionWatch, Outlook, less
from agents.decisions.pricing import OperatorCosts
from agents.grid_view import Limits
from environment.grid import Grid
from environment.look_ahead import LookAhead
from environment.profiles import Profiles
from tests.agents.congestion_stage import TwoFeeders
from tests.agents.stage import at

EVENING = datetime(2026, 1, 13, 17, tzinfo=ZoneInfo("Europe/Copenhagen"))
THREE = {"a1": 3, "a2": 3, "b1": 3}


def watch(model: object, chargers: dict[str, int], **options: float) -> CongestionWatch:
    values = {"ambient_c": 20.0, "margin": 0.0, "granularity_kw": 0.1, "discharge_kw": 10.0} | options
    return CongestionWatch(model, chargers, OperatorCosts(), **values)  # type: ignore[arg-type]


def look(limits: Limits | None = None, model: TwoFeeders | None = None, **kw: list[float]) -> Outlook:
    """What that charging does on the two feeders."""
    charging = {bus: np.array(kw.get(bus, [0.0] * len(next(iter(kw.values()))))) for bus in THREE}
    return watch(model or TwoFeeders(), THREE).look(charging, at(0), at(0), limits or Limits())


def needs(found: Outlook) -> list[tuple[str, tuple[str, ...], float, range]]:
    return [(c.elements[0], c.buses, round(c.need.power_kw, 2), c.need.window) for c in found.congestions]


def test_where_all_limits_hold_there_is_nothing() -> None:
    found = look(a1=[50.0], b1=[50.0])
    assert (found.congestions, found.backwards, found.voltages) == ((), (), ())


def test_what_a_line_gets_counts_for_the_transformer_above_it() -> None:
    found = look(a1=[70.0, 55.0, 10.0], b1=[60.0, 40.0, 10.0])
    assert needs(found) == [("line A", ("a1", "a2"), 20.0, range(2)), ("t1", ("a1", "a2", "b1"), 10.0, range(1))]
    # where the line cures the transformer as well, nothing more is asked for
    assert needs(look(a1=[70.0], b1=[45.0])) == [("line A", ("a1", "a2"), 20.0, range(1))]


def test_more_than_is_drawn_comes_from_power_given_back_as_far_as_the_chargers_can() -> None:
    base = TwoFeeders(lambda when: {"a1": 60.0})
    (given,) = look(a1=[4.0], model=base).congestions
    assert given.need.power_kw == pytest.approx(14.0)
    assert (given.flexible_kw, given.need.open) == (4.0, ())
    (short,) = look(
        a1=[4.0], model=TwoFeeders(lambda when: {"a1": 120.0}), limits=Limits(transformer_percent=200)
    ).congestions
    # 4 kW and what six chargers of 10 kW give back
    assert short.need.power_kw == pytest.approx(64.0)
    assert short.need.open == ("line A at 120.0 % (limit 100.0)",)


def test_what_is_fed_back_and_voltages_are_not_asked_for() -> None:
    found = look(a1=[10.0], b1=[70.0], model=TwoFeeders(lambda when: {"a1": -70.0}, pu_per_kw=0.0018))
    assert [str(v) for v in found.backwards] == ["line A at 120.0 % (limit 100.0)"]
    assert [v.element for v in found.voltages] == ["a1", "b1"]
    assert found.congestions == ()


def test_the_price_is_what_the_overload_costs_and_higher_where_more_customers_are_behind_it() -> None:
    (little,) = look(b1=[90.0]).congestions
    (much,) = look(b1=[60.0], a2=[50.0], limits=Limits(transformer_percent=97.8)).congestions
    assert (little.elements, much.elements) == (("line B",), ("t1",))
    assert Decimal(0) < little.most < much.most


def test_what_is_missing_is_told_for_the_same_element_and_time() -> None:
    before = look(b1=[120.0, 120.0, 10.0])
    line = before.congestions[0]
    assert (line.elements[0], line.need.power_kw) == ("line B", pytest.approx(40.0))
    assert look(b1=[95.0, 85.0, 10.0]).missing_kw(line) == pytest.approx(15.0)
    assert look(b1=[10.0, 10.0, 95.0]).missing_kw(line) == 0.0
    assert look(a1=[60.0, 10.0, 10.0]).missing_kw(line) == 0.0


def test_less_takes_away_within_the_window_only() -> None:
    changed = less({"a1": np.array([5.0, 5.0, 5.0])}, {"a1": 2.0}, at(15), (at(30), at(45)))
    assert list(changed["a1"]) == [5.0, 3.0, 5.0]


# ---- on a network of the environment's -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> LookAhead:
    grid = Grid.load("rural2")
    return LookAhead(grid, Profiles.load(grid))


def test_on_a_real_network_the_reduction_keeps_the_limit_and_a_tenth_less_does_not(model: LookAhead) -> None:
    grid = model.grid
    places = [grid.resolve("office")[0], *grid.resolve("households")[:20:5]]
    charging = {bus: np.array([30.0, 45.0, 38.0]) for bus in places}
    found = watch(model, dict.fromkeys(places, 4)).look(charging, EVENING, EVENING, Limits())
    transformer = next(c for c in found.congestions if grid.transformer in c.elements)
    assert set(transformer.buses) == set(places)
    total = sum(c.need.power_kw for c in found.congestions if c.need.window.start <= 1 < c.need.window.stop)
    for kw, holds in ((total, True), (total - 0.4, False)):
        relieved = {bus: [45.0 - kw / len(places)] for bus in places}
        (state,) = model.look_ahead(relieved, EVENING.replace(minute=15), 1, now=EVENING)
        assert (state.trafo_loading_percent <= 100.0) is holds


def test_on_a_real_network_a_line_asks_only_the_chargers_behind_it(model: LookAhead) -> None:
    grid = model.grid
    office = grid.resolve("office")[0]
    other = next(b for b in grid.resolve("households") if grid.feeder_of(b) != grid.feeder_of(office))
    charging = {office: np.array([95.0]), other: np.array([5.0])}
    limits = Limits(transformer_percent=200.0, line_percent=60.0)
    found = watch(model, {office: 9, other: 2}).look(charging, EVENING, EVENING, limits)
    assert found.congestions
    assert {c.buses for c in found.congestions} == {(office,)}
    kw = sum(c.need.power_kw for c in found.congestions)
    (state,) = model.look_ahead({office: [95.0 - kw], other: [5.0]}, EVENING, 1, now=EVENING)
    assert 59.0 < state.line_loading_percent.max() <= 60.0
