"""A chart of the series as ECharts has it: limits, units, local times, gaps."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from environment.page.plot_chart import legend_items, moving, options
from environment.watched.plots import Plots, Span
from tests.environment.watched.hand_made import BEGINS, run_of


def plots(**columns: object) -> Plots:
    step = columns.pop("step", timedelta(minutes=1))
    run = run_of(step=step, **columns)  # type: ignore[arg-type]
    run.zone = ZoneInfo("Europe/Ljubljana")
    found = Plots(run)  # type: ignore[arg-type]
    found.refresh()
    return found


def test_points_are_in_local_time_and_what_is_missing_is_a_gap():
    found = plots(trafo_loading_percent=[80.0, np.nan, 90.126])

    moved = moving(found, found.charts[0], Span.ALL)

    first = int(BEGINS.timestamp() * 1000) + 3_600_000
    assert moved["series"]["trafo_loading_percent"] == [[first, 80.0], [first + 60_000, None], [first + 120_000, 90.13]]
    assert moved["xAxis"] == {"min": first, "max": first + 180_000}


def test_a_limit_is_a_named_line_and_the_nominal_frequency_one_without_a_name():
    charts = {chart.key: chart for chart in plots(trafo_loading_percent=[1.0]).charts}

    limit = options(charts["transformer"], steps=False)["series"][0]["markLine"]["data"][0]
    nominal = options(charts["frequency"], steps=False)["series"][0]["markLine"]["data"][0]

    assert (limit["yAxis"], limit["label"]["formatter"], limit["label"]["show"]) == (100.0, "limit 100", True)
    assert (nominal["yAxis"], nominal["label"]["show"]) == (50.0, False)


def test_quarter_hours_are_steps_and_minutes_are_not():
    quarters = plots(step=timedelta(minutes=15), trafo_loading_percent=[1.0, 2.0])
    minutes = plots(trafo_loading_percent=[1.0, 2.0])

    assert options(quarters.charts[0], steps=quarters.steps)["series"][0]["step"] == "end"
    assert "step" not in options(minutes.charts[0], steps=minutes.steps)["series"][0]


def test_curves_of_generation_are_stacked_and_named():
    kinds = ("geothermal", "hydro", "thermal", "wind", "island_demand", "island_ev", "wind_available", "curtailed")
    found = plots(**{f"{kind}_kw": [1.0] for kind in kinds})
    generation = next(chart for chart in found.charts if chart.key == "generation")

    drawn = options(generation, steps=False)["series"]

    assert [series["name"] for series in drawn if series.get("stack")] == ["geothermal", "hydro", "thermal", "wind"]
    assert len(legend_items(generation)) == len(generation.curves)


def test_a_name_in_the_legend_is_text_and_never_markup():
    found = plots(**{"station_kw.<b>": [1.0], "cap_kw.<b>": [2.0], "station_kw.east": [1.0]})
    stations = next(chart for chart in found.charts if chart.key == "stations")

    items = legend_items(stations)

    assert len(items) == 2
    assert "&lt;b&gt;" in items[0]
