"""The pages of network and plots in Chromium: what they say, by mouse and by keyboard, on a desktop and on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, timedelta
from pathlib import Path

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from environment.live_rows import LiveRows, LiveRowsWriter, Span
from environment.run_folder import LIVE_ROWS, NETWORK
from environment.series import SCALARS
from tests.chromium import DESKTOP, PHONE, Served, Visitor, chrome, serving
from tests.environment.watched.folders import BEGINS, ZONE, hand_made_folder
from tests.environment.watched.hand_made import hand_made
from tests.environment.watched.test_network import EVENING

__all__ = ["chrome"]

TARGET_PX = 24
"""The least size of a target by WCAG 2.2, 2.5.8."""
NOON: Mapping[str, float] = {**EVENING, "trafo_loading_percent": 40.0, "line_loading_percent__line-2": 45.0}


class Rows:
    """A run folder's rows, written as a run writes them."""

    def __init__(self, folder: Path) -> None:
        network = hand_made()
        self.columns = [
            *SCALARS,
            *(f"vm_pu:{bus.name}" for bus in network.buses),
            *(f"line_loading_percent:{line.name}" for line in network.lines),
            *(f"p_kw:{charger.id}" for charger in network.chargers),
            *(f"soc_percent:{charger.id}" for charger in network.chargers),
        ]
        begins = BEGINS.astimezone(UTC)
        span = Span(ZONE, timedelta(minutes=1), begins, begins + timedelta(hours=1))
        self._at = int(begins.timestamp() * 1e6)
        self._writer = LiveRowsWriter(folder / LIVE_ROWS, span, self.columns)

    def append(self, given: Mapping[str, float]) -> None:
        row = {name.replace("__", ":"): value for name, value in given.items()}
        self._writer.append(self._at, np.array([row.get(name, np.nan) for name in self.columns]))
        self._at += 60_000_000

    def close(self) -> None:
        self._writer.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three minutes: twice noon, then the evening in which something is beyond its limit."""
    found = hand_made_folder(tmp_path_factory.mktemp("network") / "run", 3)
    rows = Rows(found)
    for given in (NOON, NOON, EVENING):
        rows.append(given)
    rows.close()
    return found


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(folder, begin="end") as found:
        yield found


def visit(chrome: webdriver.Chrome, served: Served, path: str, shows: str, **how: object) -> Visitor:
    """A visitor who sees the page as soon as it shows an element."""
    visitor = Visitor(chrome, **how)  # type: ignore[arg-type]
    visitor.open(served.address.rstrip("/") + path)
    visitor.wait(lambda: visitor.find(shows), shows)
    return visitor


def network(chrome: webdriver.Chrome, served: Served, **how: object) -> Visitor:
    return visit(chrome, served, "/", ".diagram svg text", **how)


def plots(chrome: webdriver.Chrome, served: Served, **how: object) -> Visitor:
    return visit(chrome, served, "/plots", ".plot svg text", **how)


def cards(visitor: Visitor) -> dict[str, str]:
    """What the overview says, by label, in one line each."""
    told = [card.text.splitlines() for card in visitor.all(".figure")]
    return {label: " | ".join(rest) for label, *rest in told}


def written(visitor: Visitor, css: str) -> set[str]:
    """The texts of a chart."""
    return {text.text for text in visitor.all(f"{css} svg text")}


def test_the_overview_says_the_moment_in_figures_and_what_is_beyond(chrome: webdriver.Chrome, served: Served):
    visitor = network(chrome, served, size=DESKTOP)

    told = cards(visitor)
    assert told["Transformer"] == "112 % | beyond its limit | of 160 kVA; limit 100 %"
    assert told["Most loaded line"] == "101 % | beyond its limit | line-2"
    assert told["Lowest voltage"] == "0.893 pu | beyond its limit | 206 V at far; limit 0.90, 1 bus below"
    assert told["Chargers"] == "3.6 kW | 1 charging, 1 giving back, 1 full, 1 free"
    beyond = {card.text.splitlines()[0] for card in visitor.all(".figure.beyond")}
    assert beyond == {"Transformer", "Most loaded line", "Lowest voltage"}
    assert visitor.complaints() == []


def test_the_diagram_shows_what_is_beyond_its_limit_by_number(chrome: webdriver.Chrome, served: Served):
    visitor = network(chrome, served, size=DESKTOP)

    assert {"112 %", "101 %", "0.893"} <= written(visitor, ".diagram")


def test_a_charger_that_is_clicked_says_what_it_does(chrome: webdriver.Chrome, served: Served):
    visitor = network(chrome, served, size=DESKTOP)

    visitor.find(".diagram svg path[fill='var(--curve-load)']").click()

    visitor.wait(lambda: "Charger home-01" in visitor.text(".chosen"), "the charger is chosen")
    assert "giving back 7.4 kW, 80 %" in visitor.text(".chosen")


def test_a_bus_is_found_by_name_and_keyboard_and_has_the_voltage_of_the_series(
    chrome: webdriver.Chrome, served: Served, folder: Path
):
    visitor = network(chrome, served, size=DESKTOP)
    rows = LiveRows.open(folder / LIVE_ROWS)
    rows.read_on()
    volts = rows.column("vm_pu:side")[-1]
    rows.close()

    field = visitor.tab_to("[aria-label='Find a bus, line or charger']")
    field.send_keys("side", Keys.ENTER)

    visitor.wait(lambda: "Bus side" in visitor.text(".chosen"), "the bus is chosen")
    assert f"{volts:.3f} pu" in visitor.text(".chosen")
    assert "150 m along the lines" in visitor.text(".chosen")


def test_a_name_that_is_not_there_is_told(chrome: webdriver.Chrome, served: Served):
    visitor = network(chrome, served, size=DESKTOP)

    visitor.tab_to("[aria-label='Find a bus, line or charger']").send_keys("nowhere", Keys.ENTER)

    visitor.wait(lambda: "with 'nowhere' in its name" in visitor.text("body"), "a line says so")


def test_the_table_behind_the_diagram_is_filtered_and_chosen_from_by_keyboard(chrome: webdriver.Chrome, served: Served):
    visitor = network(chrome, served, size=DESKTOP)
    visitor.tab_to(".q-expansion-item .q-item").send_keys(Keys.ENTER)
    visitor.wait(lambda: visitor.all(".paged-table tbody tr .table-link"), "rows")

    first = visitor.wait(lambda: visitor.text(".paged-table tbody tr"), "the first row is seen")
    assert "busbar" in first
    assert "1.000 231 V within" in first
    visitor.find("[aria-label='Find a bus, line or charger']").send_keys("far")
    visitor.wait(lambda: len(visitor.all(".paged-table tbody tr .table-link")) == 1, "only one is left")
    visitor.press(".paged-table tbody tr .table-link")

    visitor.wait(lambda: "Bus far" in visitor.text(".chosen"), "the bus is chosen")
    assert "206 V" in visitor.text(".paged-table tbody tr")


def test_the_zoom_is_a_button_and_comes_back(chrome: webdriver.Chrome, served: Served):
    visitor = network(chrome, served, size=DESKTOP)
    whole = written(visitor, ".diagram")

    visitor.press("[aria-label='Zoom in']")
    visitor.wait(lambda: written(visitor, ".diagram") != whole, "a part of the network")
    visitor.press("[aria-label='Show the whole network']")

    visitor.wait(lambda: written(visitor, ".diagram") == whole, "the whole network")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_network_can_be_read_and_touched(
    chrome: webdriver.Chrome, served: Served, size: tuple[int, int], dark: bool
):
    visitor = network(chrome, served, size=size, dark=dark)
    visitor.find(".q-expansion-item .q-item").click()
    visitor.wait(lambda: visitor.all(".paged-table tbody tr .table-link"), "rows")

    visitor.fits(touch_px=TARGET_PX)
    assert visitor.complaints() == []


def test_the_page_moves_with_the_run(chrome: webdriver.Chrome, tmp_path: Path):
    found = hand_made_folder(tmp_path / "run", 3)
    with closing(Rows(found)) as rows, serving(found, live=True) as served:
        rows.append(EVENING)
        visitor = network(chrome, served, size=DESKTOP)
        visitor.wait(lambda: cards(visitor)["Transformer"].startswith("112 %"), "the first minute")

        rows.append(NOON)

        visitor.wait(lambda: cards(visitor)["Transformer"].startswith("40 %"), "the next minute")
        visitor.wait(lambda: "101 %" not in written(visitor, ".diagram"), "the line is relieved")
        assert {card.text.splitlines()[0] for card in visitor.all(".figure.beyond")} == {"Lowest voltage"}


def test_a_run_without_a_map_says_so_and_has_its_plots(chrome: webdriver.Chrome, folder: Path, tmp_path: Path):
    found = hand_made_folder(tmp_path / "run", 3)
    (found / NETWORK).unlink()
    with serving(found, begin="end") as served:
        visitor = visit(chrome, served, "/", ".view-note", size=DESKTOP)
        visitor.wait(lambda: "This run has no drawing of its network" in visitor.text("main, .frame-content"), "why")
        assert not visitor.all(".diagram svg")

        assert "limit 100" in written(plots(chrome, served, size=DESKTOP), ".plot")


def test_the_plots_have_units_limits_and_the_values_of_the_series_behind_them(chrome: webdriver.Chrome, served: Served):
    visitor = plots(chrome, served, size=DESKTOP)

    headings = [heading.text for heading in visitor.all(".plot h2")]
    assert headings[:4] == ["Transformer, %", "Most loaded line, %", "Voltages, pu", "Power, kW"]
    assert "limit 100" in written(visitor, ".plot")
    assert "EN 50160, least 0.90" in written(visitor, ".plot")
    visitor.find("section[aria-label='Transformer'] .q-item").click()
    visitor.wait(lambda: visitor.all(".plot table tbody tr"), "the table")
    visitor.wait(lambda: visitor.text(".plot table tbody tr"), "the table is seen")
    rows = [row.text for row in visitor.all(".plot table tbody tr")]
    assert rows == ["transformer 112 40 112", "limit 100"]
    assert visitor.complaints() == []


def test_the_span_is_chosen_by_keyboard_and_the_curves_begin_there(chrome: webdriver.Chrome, tmp_path: Path):
    found = hand_made_folder(tmp_path / "run", 300)
    with serving(found, begin="end") as served:
        visitor = plots(chrome, served, size=DESKTOP)
        visitor.wait(lambda: "12:00" in written(visitor, ".plot"), "the whole run")

        visitor.press("[aria-label='How much of the run is shown'] button:first-child")

        visitor.wait(lambda: "12:00" not in written(visitor, ".plot"), "the last two hours")
        assert {"15:00", "16:00"} <= written(visitor, ".plot")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_plots_can_be_read_and_touched(chrome: webdriver.Chrome, served: Served, size: tuple[int, int], dark: bool):
    visitor = plots(chrome, served, size=size, dark=dark)

    visitor.fits(touch_px=TARGET_PX)
    assert visitor.complaints() == []
