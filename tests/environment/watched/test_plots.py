"""Curves in few points that hide no extreme, and which charts a run has."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from environment.network_map import LimitChange
from environment.series import ISLAND_COLUMNS
from environment.watched.plots import Plots, Span
from environment.watched.thinning import POINTS, Thinned
from tests.environment.watched.hand_made import BEGINS, Run, hand_made, run_of


def plots_of(run: Run) -> Plots:
    found = Plots(run)  # type: ignore[arg-type]
    found.refresh()
    return found


@given(
    st.lists(st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)), min_size=1, max_size=400),
    st.integers(4, 40),
    st.lists(st.integers(1, 400), max_size=6),
)
def test_a_thinned_curve_has_its_extremes_in_the_order_of_time_however_it_grew(
    drawn: list[float], most: int, looks: list[int]
):
    values = np.array(drawn)
    at = np.arange(len(values), dtype=np.int64) * 60
    curve = Thinned(most)
    for look in looks:  # also back, as a playback goes
        curve.points(at[:look], values[:look])

    shown_at, shown = curve.points(at, values)

    assert len(shown) <= most
    assert (np.diff(shown_at) > 0).all()
    known = values[~np.isnan(values)]
    if known.size:
        assert (np.nanmin(shown), np.nanmax(shown)) == (known.min(), known.max())
    else:
        assert np.isnan(shown).all()
    assert all(values[moment // 60] == value or np.isnan(value) for moment, value in zip(shown_at, shown, strict=True))


def test_a_short_curve_is_shown_as_it_is():
    values = np.array([1.0, np.nan, 3.0])

    at, shown = Thinned().points(np.array([0, 60, 120]), values)

    assert at.tolist() == [0, 60, 120]
    assert shown == pytest.approx(values, nan_ok=True)


def test_a_spike_of_one_row_in_a_week_is_seen_when_it_was():
    values = np.zeros(7 * 1440)
    values[5001] = 150.0
    at = np.arange(len(values), dtype=np.int64)

    shown_at, shown = Thinned().points(at, values)

    assert len(shown) <= POINTS
    assert shown_at[shown.argmax()] == 5001


def test_means_keep_the_energy():
    values = np.arange(4096, dtype=float)
    curve = Thinned(means=True)
    for rows in (100, 1000, 4096):
        at, shown = curve.points(np.arange(rows), values[:rows])

    assert len(shown) <= POINTS
    assert shown.mean() == pytest.approx(values.mean())
    assert at[0] == (curve.width - 1) // 2


def test_every_run_has_its_network_and_its_fleet():
    plots = plots_of(run_of(trafo_loading_percent=[80.0, 90.0]))

    assert [chart.key for chart in plots.charts] == [
        "transformer",
        "lines",
        "voltages",
        "power",
        "soc",
        "connected",
        "frequency",
    ]
    chart = plots.charts[0]
    assert chart.limits == (("limit", 100.0),)
    assert plots.points(chart.curves[0], Span.ALL)[1].tolist() == [80, 90]
    assert plots.latest(chart.curves[0]) == 90


def test_an_island_has_generation_and_curtailment():
    plots = plots_of(run_of(**dict.fromkeys(ISLAND_COLUMNS, 5.0)))

    keys = [chart.key for chart in plots.charts]
    assert {"generation", "curtailment"} < set(keys)
    generation = plots.charts[keys.index("generation")]
    assert [curve.name for curve in generation.curves if curve.stacked] == ["geothermal", "hydro", "thermal", "wind"]
    frequency = plots.charts[keys.index("frequency")]
    assert [curve.name for curve in frequency.curves] == ["frequency", "lowest within the minute"]


def test_public_stations_have_their_power_with_the_caps_and_steps_of_a_quarter_hour():
    columns = {"station_kw.east": [10.0, 20.0], "cap_kw.east": [np.nan, 15.0], "flow_kw.line-1": [-5.0, 5.0]}
    plots = plots_of(run_of(step=timedelta(minutes=15), **columns))

    charts = {chart.key: chart for chart in plots.charts}
    assert [(curve.name, curve.dashed) for curve in charts["stations"].curves] == [("east", False), ("cap east", True)]
    assert charts["flows"].curves[0].name == "line-1"
    assert plots.steps


def test_a_span_ends_with_the_moment_shown_and_begins_no_earlier_than_the_run():
    run = run_of(trafo_loading_percent=np.arange(600.0))
    plots = plots_of(run)
    curve = plots.charts[0].curves[0]

    at, values = plots.points(curve, Span.TWO_HOURS)
    assert (len(at), values[-1]) == (120, 599)
    assert plots.window(Span.TWO_HOURS)[1] - plots.window(Span.TWO_HOURS)[0] == 2 * 3600 * 10**6

    run.row = 30
    assert plots.refresh()
    assert len(plots.points(curve, Span.TWO_HOURS)[0]) == 31
    assert plots.points(curve, Span.ALL)[1][-1] == 30


def test_a_limit_that_changes_is_a_curve_of_its_own():
    network = hand_made()
    other = type(network.networks[0])("south", "trafo-2", 100.0, "busbar")
    changed = type(network)(
        (network.networks[0], other),
        network.buses,
        network.lines,
        network.chargers,
        {"": network.limits[""], "south": network.limits[""]},
        (LimitChange(BEGINS + timedelta(minutes=2), "south", 60.0),),
    )
    run = run_of(changed, **{"trafo_loading_percent": [50.0] * 5, "trafo_loading_percent.south": [70.0] * 5})
    plots = plots_of(run)

    limit = next(curve for curve in plots.charts[0].curves if curve.name == "limit south")

    assert plots.points(limit, Span.ALL)[1].tolist() == [100, 60, 60]
    assert plots.latest(limit) == 60


def test_before_the_first_row_it_says_so():
    plots = plots_of(Run())

    assert plots.charts == ()
    assert plots.missing == "The first step of the run is not over yet."


def test_the_axis_is_in_the_run_s_own_time():
    run = run_of(trafo_loading_percent=[1.0])
    run.zone = ZoneInfo("Europe/Ljubljana")

    assert plots_of(run).offset == timedelta(hours=1)
