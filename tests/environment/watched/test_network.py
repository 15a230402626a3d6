"""The network at a moment: what the series says, against the limits, in words."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from environment.network_map import LimitChange
from environment.watched.network import (
    Charging,
    Loading,
    NetworkNow,
    Voltage,
    charger_words,
    chargers_of,
    loadings_of,
    voltages_of,
    volts,
)
from environment.watched.network_figures import Kind, details, figures
from environment.watched.network_table import best, page
from tests.environment.watched.hand_made import BEGINS, Run, hand_made, run_of

EVENING = {
    "trafo_loading_percent": 112.0,
    "fleet_soc_percent": 60.0,
    "load_kw": 55.5,
    "pv_kw": -2.5,
    "frequency_hz": 49.98,
    "vm_pu__busbar": 1.0,
    "vm_pu__near": 0.96,
    "vm_pu__far": 0.893,
    "vm_pu__side": 0.955,
    "line_loading_percent__line-1": 97.0,
    "line_loading_percent__line-2": 101.0,
    "line_loading_percent__line-3": 12.0,
    "p_kw__office-01": 11.0,
    "soc_percent__office-01": 40.0,
    "p_kw__office-02": 0.0,
    "p_kw__home-01": -7.4,
    "soc_percent__home-01": 80.0,
    "p_kw__home-02": 0.0,
    "soc_percent__home-02": 100.0,
}


@pytest.fixture
def now() -> NetworkNow:
    found = NetworkNow(run_of(**EVENING))  # type: ignore[arg-type]
    assert found.refresh()
    return found


def test_a_bus_has_the_voltage_of_its_column_and_a_line_its_loading(now: NetworkNow):
    assert now.moment is not None
    assert now.moment.vm_pu == pytest.approx([1.0, 0.96, 0.893, 0.955])
    assert now.moment.line_percent == pytest.approx([97, 101, 12])
    assert now.moment.voltages.tolist() == [Voltage.MIDDLE, Voltage.MIDDLE, Voltage.BELOW, Voltage.MIDDLE]
    assert now.moment.lines.tolist() == [Loading.HEAVY, Loading.BEYOND, Loading.LIGHT]
    assert now.moment.at == BEGINS


def test_a_charger_s_state_follows_from_its_power_and_its_vehicle(now: NetworkNow):
    assert now.moment is not None
    assert now.moment.chargers.tolist() == [Charging.CHARGING, Charging.FREE, Charging.GIVING, Charging.FULL]
    assert now.counts() == {Charging.CHARGING: 1, Charging.GIVING: 1, Charging.FULL: 1, Charging.FREE: 1}


def test_the_overview_says_what_is_beyond_its_limit_and_where(now: NetworkNow):
    found = {figure.label: figure for figure in figures(now)}

    assert (found["Transformer"].value, found["Transformer"].beyond) == ("112 %", True)
    assert found["Transformer"].note == "of 160 kVA; limit 100 %"
    assert (found["Most loaded line"].value, found["Most loaded line"].note) == ("101 %", "line-2")
    assert found["Lowest voltage"].value == "0.893 pu"
    assert found["Lowest voltage"].note == "206 V at far; limit 0.90, 1 bus below"
    assert not found["Highest voltage"].beyond
    assert found["Chargers"].value == "3.6 kW"
    assert found["Vehicles"].value == "3 of 4"
    assert found["Vehicles"].note == "plugged in, charged to 60 % on average"
    assert found["Other load"].note == "photovoltaics feed in 2.5 kW"
    assert found["Frequency"].note == "-20 mHz"


def test_a_limit_exactly_reached_is_kept():
    low, high = voltages_of(np.float32([0.9, 1.1]), 0.9, 1.1)

    assert (low, high) == (Voltage.LOW, Voltage.HIGH)
    assert loadings_of([100.0], 100.0)[0] == Loading.HEAVY


def test_what_is_not_known_is_in_no_class():
    assert voltages_of([np.nan], 0.9, 1.1)[0] == Voltage.UNKNOWN
    assert loadings_of([np.nan], 100.0)[0] == Loading.UNKNOWN
    assert chargers_of([np.nan], [50.0])[0] == Charging.UNKNOWN


def test_the_next_row_is_another_moment_and_the_same_row_is_not(now: NetworkNow):
    assert not now.refresh()

    run = run_of(trafo_loading_percent=[50.0, 120.0])
    other = NetworkNow(run)  # type: ignore[arg-type]
    run.row = 0
    other.refresh()
    first = other.moment
    run.row = 1
    assert other.refresh()

    assert first is not None
    assert other.moment is not None
    assert first.transformer_percent.tolist() == [50]
    assert other.moment.transformer_percent.tolist() == [120]


def test_a_congestion_signal_makes_the_same_loading_too_much():
    signal = LimitChange(BEGINS + timedelta(minutes=1), "", 60.0)
    run = run_of(hand_made((signal,)), trafo_loading_percent=[80.0, 80.0])
    now = NetworkNow(run)  # type: ignore[arg-type]
    run.row = 0
    now.refresh()
    before = next(iter(figures(now)))
    run.row = 1
    now.refresh()

    assert not before.beyond
    assert next(iter(figures(now))).beyond


def test_without_a_map_or_a_row_it_says_why():
    run = Run(None, None, network_fault="This run has no drawing of its network: run it again for one.")
    now = NetworkNow(run)  # type: ignore[arg-type]
    now.refresh()

    assert now.missing == "This run has no drawing of its network: run it again for one."
    assert figures(now) == ()

    run.network = hand_made()
    now.refresh()
    assert now.missing == "The first step of the run is not over yet."


def test_an_old_series_without_lines_says_so_of_each(now: NetworkNow):
    columns = {name: value for name, value in EVENING.items() if "line" not in name}
    old = NetworkNow(run_of(**columns))  # type: ignore[arg-type]
    old.refresh()

    line = details(old, Kind.LINE, "line-1")

    assert line is not None
    assert ("Loading", "not in this run's series") in line.rows
    assert "Most loaded line" not in {figure.label for figure in figures(old)}


def test_details_of_a_bus_lead_to_its_chargers(now: NetworkNow):
    bus = details(now, Kind.BUS, "near")

    assert bus is not None
    assert dict(bus.rows)["Chargers"] == "11.0 kW: 1 charging, 1 free"
    assert bus.leads_to == ((Kind.CHARGER, "office-01"), (Kind.CHARGER, "office-02"))
    assert dict(bus.rows)["From the transformer"] == "100 m along the lines"


def test_details_of_a_charger_have_the_last_notice_that_names_it(now: NetworkNow):
    now.run.notices.append("12:01 cpo1: charger home-01 does not answer")
    now.run.notices.append("12:02 cpo1: charger home-011 does not answer")
    now.refresh()

    charger = details(now, Kind.CHARGER, "home-01")

    assert charger is not None
    assert dict(charger.rows) == {
        "Now": "giving back 7.4 kW, 80 %",
        "Rating": "charges with 11 kW, gives back 7.4 kW",
        "Belongs to": "cpo2, home",
        "Bus": "far",
        "Last notice": "12:01 cpo1: charger home-01 does not answer",
    }
    assert charger.limits == (11.0, -7.4)


def test_what_is_not_there_has_no_details(now: NetworkNow):
    assert [details(now, kind, "nowhere") for kind in Kind] == [None] * 4


def test_the_table_is_sorted_filtered_and_cut_and_what_is_not_known_comes_last(now: NetworkNow):
    rows, total = page(now, Kind.CHARGER, sort="soc", descending=True, count=2)
    assert ([row["name"] for row in rows], total) == (["home-02", "home-01"], 4)

    rows, total = page(now, Kind.CHARGER, sort="soc", first=2, count=2)
    assert [row["name"] for row in rows] == ["home-02", "office-02"]

    rows, total = page(now, Kind.CHARGER, text=" CPO2", count=10)
    assert ([row["name"] for row in rows], total) == (["home-01", "home-02"], 2)

    rows, _ = page(now, Kind.LINE, sort="percent", descending=True, count=2)
    assert [(row["name"], row["percent"], row["standing"]) for row in rows] == [
        ("trafo", "112.0", "beyond"),
        ("line-2", "101.0", "beyond"),
    ]

    rows, _ = page(now, Kind.BUS, text="far", count=1)
    assert (rows[0]["volts"], rows[0]["power_kw"], rows[0]["standing"]) == ("206 V", "-7.4", "below")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("far", (Kind.BUS, "far")),
        ("HOME-02", (Kind.CHARGER, "home-02")),
        ("home", (Kind.CHARGER, "home-01")),
        ("traf", (Kind.TRANSFORMER, "trafo")),
        ("", None),
        ("nowhere", None),
    ],
)
def test_a_name_finds_what_it_means(now: NetworkNow, text: str, found: tuple[Kind, str] | None):
    assert best(now, text) == found


def test_history_is_the_time_before_the_moment():
    run = run_of(vm_pu__far=np.linspace(1.0, 0.9, 300))
    run.row = 200
    now = NetworkNow(run)  # type: ignore[arg-type]
    now.refresh()

    at, values = now.history("vm_pu:far")

    assert len(at) == 121
    assert values[-1] == now.moment.vm_pu[2]  # type: ignore[union-attr]
    assert now.history("vm_pu:nowhere")[0].size == 0


def test_voltages_are_told_as_they_would_be_measured():
    bus = hand_made().buses[0]

    assert volts(bus, 1.0) == "231 V"
    assert volts(type(bus)("", "", 0, 0, 0, 20.0, None), 0.98) == "19.60 kV"
    assert volts(bus, float("nan")) == ""


def test_a_charger_in_words():
    assert charger_words(Charging.CHARGING, 7.4, 63.2) == "charging 7.4 kW, 63 %"
    assert charger_words(Charging.FREE, 0.0, float("nan")) == "nobody there"
