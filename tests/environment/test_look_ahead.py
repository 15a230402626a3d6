"""The operator's answers, each checked by solving the network with them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agents.grid_view import Direction, GridState, Limits
from agents.ports import GridModel
from environment.grid import Grid, GridError
from environment.look_ahead import LookAhead, worst_of
from environment.profiles import Profiles

ZONE = ZoneInfo("Europe/Ljubljana")
EVENING = datetime(2026, 3, 18, 18, tzinfo=ZONE)
LIMITS = Limits()


@pytest.fixture(scope="module")
def model() -> LookAhead:
    grid = Grid.load("rural2")
    return LookAhead(grid, Profiles.load(grid))


def chargers(model: LookAhead, kw: float) -> dict[str, float]:
    """Thirty households and the office's five stations, each at `kw`."""
    homes = model.grid.resolve("households")[: 3 * 29 : 3] + model.grid.resolve("households")[1:2]
    assert len(homes) == 30
    return {**dict.fromkeys(homes, kw), model.grid.resolve("office")[0]: 5 * kw}


def evening(model: LookAhead, kw: float) -> GridState:
    power = {bus: [value] * 4 for bus, value in chargers(model, kw).items()}
    return model.look_ahead(power, EVENING, 4)[2]


def test_it_is_the_model_that_the_operator_asks_for(model: LookAhead) -> None:
    port: GridModel = model
    assert port.buses == model.grid.buses


def test_thirty_five_cars_on_an_evening_overload_the_transformer_and_depress_the_voltage(model: LookAhead) -> None:
    """The congestion that the demonstrator is about: 4 to 5 kW a charger, as when 11 kW is drawn by not quite half."""
    without = evening(model, 0.0)
    assert without.trafo_loading_percent < 50
    for kw in (4.0, 5.0):
        state = evening(model, kw)
        assert 105 < state.trafo_loading_percent < 150
        assert state.lowest()[1] < without.lowest()[1] - 0.025
        assert {violation.element for violation in state.violations(LIMITS)} == {state.transformer}


def test_a_look_ahead_is_the_forecast_plus_the_chargers(model: LookAhead) -> None:
    bus = model.grid.resolve("office")[0]
    now = EVENING - timedelta(minutes=15)
    plain = model.look_ahead({}, EVENING, 3, now=now)
    loaded = model.look_ahead({bus: [1.0, 2.0, 3.0]}, EVENING, 3, now=now)
    index = model.grid.index(bus)
    assert [b.p_kw[index] - a.p_kw[index] for a, b in zip(plain, loaded, strict=True)] == pytest.approx([1, 2, 3])
    assert [state.at for state in loaded] == [EVENING + timedelta(minutes=15 * n) for n in range(3)]
    forecast = model.forecaster.periods(EVENING, 3, now=now)
    np.testing.assert_array_equal(plain[1].p_kw, forecast.p_kw[1])


def test_sensitivities_are_the_derivatives_of_the_power_flow(model: LookAhead) -> None:
    state = evening(model, 5.0)
    slope = model.sensitivity(state)
    for index in (0, 17, model.grid.index(model.grid.resolve("office")[0])):
        up, down = state.p_kw.copy(), state.p_kw.copy()
        up[index] += 0.01
        down[index] -= 0.01
        more, less = model.grid.solve(up, state.q_kvar), model.grid.solve(down, state.q_kvar)
        np.testing.assert_allclose(slope.vm_pu_per_kw[:, index], (more.vm_pu - less.vm_pu) / 0.02, atol=1e-9)
        np.testing.assert_allclose(
            slope.line_percent_per_kw[:, index],
            (more.line_loading_percent - less.line_loading_percent) / 0.02,
            atol=1e-5,
        )
        loading = (more.trafo_loading_percent - less.trafo_loading_percent) / 0.02
        assert slope.trafo_percent_per_kw[index] == pytest.approx(loading, abs=1e-6)
    assert (slope.vm_pu_per_kw < 0).all(), "consumption lowers every voltage"


@pytest.mark.parametrize("direction", list(Direction))
@pytest.mark.parametrize(
    "limits",
    [LIMITS, Limits(transformer_percent=1e3), Limits(transformer_percent=1e3, line_percent=1e3)],
    ids=["transformer", "line", "voltage"],
)
def test_hosting_breaks_no_limit_in_the_years_extremes_and_a_little_more_does(
    model: LookAhead, direction: Direction, limits: Limits
) -> None:
    bus = model.grid.resolve("households")[40]
    hosting = model.hosting(bus, direction, limits)
    assert hosting.binding is not None
    sign = 1 if direction is Direction.CHARGE else -1
    year, extra = model.profiles.year(), np.zeros(len(model.buses))
    net = year.p_kw.sum(axis=1)
    low, high = np.quantile(net, [0.05, 0.95])
    rows = np.flatnonzero((net < low) | (net > high) | (np.arange(len(net)) % 20 == 0))

    def violations(kw: float) -> list[str]:
        extra[model.grid.index(bus)] = sign * kw
        states = model.grid.solve_many(year.p_kw[rows] + extra, year.q_kvar[rows])
        return [violation.element for state in states for violation in state.violations(limits)]

    assert violations(hosting.power_kw) == []
    assert hosting.binding.element in violations(hosting.power_kw + 0.1)
    assert hosting.binding.element in hosting.reasons[0]


def test_hosting_stops_at_what_was_asked_and_counts_what_is_promised_already(model: LookAhead) -> None:
    office = model.grid.resolve("office")[0]
    asked = model.hosting(office, Direction.CHARGE, LIMITS, up_to_kw=55.0)
    assert (asked.power_kw, asked.binding, asked.reasons) == (55.0, None, ())
    alone = model.hosting(office, Direction.CHARGE, LIMITS)
    after = model.hosting(office, Direction.CHARGE, LIMITS, already_kw={model.buses[0]: 20.0})
    assert after.power_kw == pytest.approx(alone.power_kw - 20, abs=1.0)
    full = model.hosting(office, Direction.CHARGE, LIMITS, already_kw={model.buses[0]: 120.0})
    assert full.power_kw == 0.0
    assert full.binding is not None
    shared = model.hosting(chargers(model, 11.0), Direction.DISCHARGE, LIMITS)
    assert 30 < shared.power_kw < 100


def test_hosting_for_the_evening_leaves_the_suns_hours_out(model: LookAhead) -> None:
    """At noon the roofs feed back already; in the evening there is load to serve."""
    shares = chargers(model, 11.0)
    local = LookAhead(model.grid, model.profiles, ZONE)
    day, noon, evening, night = (
        local.hosting(shares, Direction.DISCHARGE, LIMITS, between=between).power_kw
        for between in (
            None,
            (time(11), time(15)),
            (time(20, 30), time(22)),
            (time(22), time(5)),
        )
    )
    assert day == noon
    assert evening > 150 > noon
    assert night > 150
    standard_time = model.hosting(shares, Direction.DISCHARGE, LIMITS, between=(time(19, 30), time(22)))
    assert standard_time.power_kw == pytest.approx(evening, abs=10), "20:30 in summer is 19:30 in standard time"
    with pytest.raises(GridError, match="no quarter hour starts"):
        model.hosting(shares, Direction.CHARGE, LIMITS, between=(time(11, 1), time(11, 2)))


def test_hosting_that_no_limit_stops_is_stopped_by_the_network_itself(model: LookAhead) -> None:
    none = Limits(transformer_percent=1e9, line_percent=1e9, vm_min_pu=0.0, vm_max_pu=9.0)
    hosting = model.hosting(model.buses[0], Direction.CHARGE, none, up_to_kw=5000.0)
    assert 200 < hosting.power_kw < 5000
    assert "voltage" in hosting.reasons[0]


def test_relief_is_the_smallest_reduction_that_keeps_the_limits(model: LookAhead) -> None:
    state = evening(model, 5.0)
    available = chargers(model, 8.0)
    relief = model.relief(state, available, LIMITS)
    assert relief.solved
    assert relief.before == state.violations(LIMITS)
    assert relief.after.trafo_loading_percent == pytest.approx(100.0, abs=0.02)
    assert sum(relief.by_bus.values()) == pytest.approx(relief.power_kw)
    shares = model.grid.by_bus(relief.by_bus)
    assert not model.grid.solve(state.p_kw - shares, state.q_kvar).violations(LIMITS)
    scale = (relief.power_kw - 0.01) / relief.power_kw
    assert model.grid.solve(state.p_kw - scale * shares, state.q_kvar).violations(LIMITS)


def test_relief_of_a_low_voltage_is_a_reduction_and_of_a_high_one_an_increase(model: LookAhead) -> None:
    limits = Limits(transformer_percent=1e3, vm_min_pu=0.99)
    low = model.relief(evening(model, 5.0), chargers(model, 11.0), limits)
    assert low.solved
    assert low.power_kw > 0
    assert low.after.lowest()[1] == pytest.approx(0.99, abs=1e-4)
    noon = model.grid.solve(dict.fromkeys(model.buses, -1.5))
    high = model.relief(noon, chargers(model, 11.0), Limits(vm_max_pu=1.045))
    assert high.solved
    assert high.power_kw < 0
    assert high.after.highest()[1] == pytest.approx(1.045, abs=1e-4)
    feeding_back = model.grid.solve(dict.fromkeys(model.buses, -2.5))
    assert feeding_back.trafo_loading_percent > 130
    back = model.relief(feeding_back, chargers(model, 11.0), LIMITS)
    assert back.power_kw < 0
    assert back.after.trafo_loading_percent == pytest.approx(100.0, abs=0.02)


def test_relief_that_is_not_available_says_what_stays_broken(model: LookAhead) -> None:
    state = evening(model, 5.0)
    relief = model.relief(state, chargers(model, 0.2), LIMITS)
    assert not relief.solved
    assert relief.power_kw == pytest.approx(7.0)
    assert [violation.element for violation in relief.remaining] == [state.transformer]
    assert relief.after.trafo_loading_percent < state.trafo_loading_percent


def test_limits_that_contradict_each_other_are_not_called_solved(model: LookAhead) -> None:
    state = evening(model, 5.0)
    relief = model.relief(state, chargers(model, 11.0), Limits(vm_max_pu=0.98))
    assert not relief.solved


def test_where_nothing_is_broken_nothing_is_asked(model: LookAhead) -> None:
    state = evening(model, 0.0)
    relief = model.relief(state, chargers(model, 11.0), LIMITS)
    assert (relief.power_kw, relief.solved, relief.after) == (0.0, True, state)
    assert worst_of(state.violations(LIMITS)) is None


def test_the_worst_violation_is_the_one_furthest_beyond_its_limit(model: LookAhead) -> None:
    state = evening(model, 5.0)
    worst = worst_of(state.violations(Limits(vm_min_pu=0.99)))
    assert worst is not None
    assert str(worst).startswith(f"{state.transformer} at 1")


def test_questions_that_cannot_be_meant_are_refused(model: LookAhead) -> None:
    with pytest.raises(GridError, match="3 values for bus"):
        model.look_ahead({model.buses[0]: [1.0, 2.0, 3.0]}, EVENING, 4)
    with pytest.raises(GridError, match="no low-voltage bus 'nowhere'"):
        model.hosting("nowhere", Direction.CHARGE, LIMITS)
    for weights in ({}, {model.buses[0]: 0.0}, {model.buses[0]: -1.0, model.buses[1]: 3.0}):
        with pytest.raises(GridError, match="weights by bus"):
            model.relief(evening(model, 5.0), weights, LIMITS)


def test_a_forecast_beyond_what_the_network_carries_is_shown_as_the_overload_before_its_collapse() -> None:
    grid = Grid.load("rural2")
    ahead = LookAhead(grid, Profiles.load(grid))
    start = datetime(2026, 3, 18, 17, tzinfo=UTC)
    calm, wild = ahead.look_ahead({grid.buses[-1]: [5.0, 5000.0]}, start, 2)
    assert calm.violations(Limits()) == ()
    assert wild.trafo_loading_percent > 100
    assert wild.at == start + timedelta(minutes=15)


def test_times_of_day_are_those_of_the_island_where_the_profiles_are_the_islands(model: LookAhead) -> None:
    """The same profiles by the same clock: what fits between noon and two does so in both zones, and standard time is
    what is meant where no zone is given."""
    island = Profiles.load(model.grid, standard_offset=timedelta(hours=-1))
    azores = LookAhead(model.grid, island, ZoneInfo("Atlantic/Azores"))
    slovenia = LookAhead(model.grid, model.profiles, ZONE)
    other = np.flatnonzero(azores._minute_of_day != slovenia._minute_of_day)
    assert len(other) == 16, "two hours in two nights: all of Europe changes its clocks at the same instant"
    np.testing.assert_array_equal(LookAhead(model.grid, island)._minute_of_day, model._minute_of_day)
    now = datetime(2026, 6, 17, 11, 40)  # noqa: DTZ001
    there, here = (
        ahead.look_ahead({}, now.replace(minute=45, tzinfo=zone), 8, now=now.replace(tzinfo=zone))
        for ahead, zone in ((azores, ZoneInfo("Atlantic/Azores")), (slovenia, ZONE))
    )
    for one, other in zip(there, here, strict=True):
        np.testing.assert_array_equal(one.vm_pu, other.vm_pu)
