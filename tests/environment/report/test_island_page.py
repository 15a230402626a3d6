"""An island's page: its own chapters, complete in both widths, and patient with what a run lacks."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from pathlib import Path

import pytest

from environment import report
from environment.report import island_words

from .island import record
from .test_report_page import Outline


@pytest.fixture(scope="module")
def page(island_folder: Path) -> str:
    return report.build(island_folder).read_text(encoding="utf-8")


def section(page: str, key: str) -> str:
    """One chapter of the page."""
    start = page.index(f'<section id="{key}">')
    return page[start : page.index("</section>", start)]


def test_an_islands_page_has_its_chapters_in_order_and_a_link_to_each(page: str) -> None:
    keys = re.findall(r'<section id="(\w+)">', page)
    assert keys == [
        "island", "frequency", "voltages", "fleet", "services", "prices", "negotiation", "money", "drivers", "messages",
    ]  # fmt: skip
    navigation = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall(r'href="#(\w+)"', navigation) == keys


def test_a_congested_days_page_keeps_its_own_chapters(run_folder: Path) -> None:
    keys = re.findall(r'<section id="(\w+)">', report.build(run_folder).read_text(encoding="utf-8"))
    assert keys == ["grid", "fleet", "market", "negotiation", "money", "drivers", "messages"]


def test_the_page_is_well_formed_and_fetches_nothing(page: str) -> None:
    outline = Outline(page)
    assert (outline.faults, outline.open) == ([], [])
    assert len(outline.ids) == len(set(outline.ids))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "<script" not in page
    for svg in re.findall(r"<svg class=.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(svg)


def test_every_picture_is_there_in_both_widths_says_what_it_shows_and_has_the_pages_colours(page: str) -> None:
    pictures = re.findall(
        r'<svg class="(wide|narrow)[^"]*" viewBox="[\d. -]+" role="img" aria-label="([^"]{20,})"', page
    )
    assert len(pictures) == 2 * 11
    assert len({words for _, words in pictures}) == 11
    assert re.findall(r"#(0[1-9]|1[0-3])\1\1\b", page) == []
    assert all(f"var(--{kind})" in section(page, "island") for kind in ("geothermal", "hydro", "thermal", "wind"))


def test_the_headline_tells_wind_fuel_and_voltages_as_the_summary_has_them(island_folder: Path, page: str) -> None:
    summary = json.loads((island_folder / "summary.json").read_text())
    before, after = summary["island"]["without"], summary["island"]["with"]
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert headline == (
        f"The vehicles’ service cut the wind that is thrown away from {before['curtailed_kwh']:.0f} to"
        f" {after['curtailed_kwh']:.0f} kWh, saved"
        f" {summary['island']['fuel_saved_kg']:.0f} kg of fuel, and kept the voltages within EN 50160 for all but"
        f" {summary['voltage']['with']['minutes_outside']:.0f} minutes"
        f" ({summary['voltage']['without']['minutes_outside']:.0f} without)."
    )


def test_energies_are_told_for_the_whole_island_as_well(page: str) -> None:
    assert "slice of 1.6 % of the island with its 2 000 vehicles".replace("2 0", "2\N{NARROW NO-BREAK SPACE}0") in page
    assert re.search(r"×\xa062 for the island: [\d.]+\xa0MWh", page)


def test_the_deepest_dip_of_the_frequency_is_told_with_its_time(page: str) -> None:
    frequency = section(page, "frequency")
    assert re.search(
        r"The frequency fell to 49\.\d\d Hz at 03:4\d; without flexibility the lowest was 49\.\d\d", frequency
    )
    assert len(re.findall(r"49\.\d\d Hz at 03:4\d</text>", frequency)) == 2


def test_every_bus_that_was_outside_in_a_case_is_a_row_the_worst_first(island_folder: Path, page: str) -> None:
    voltage = json.loads((island_folder / "summary.json").read_text())["voltage"]
    names = {bus["bus"] for case in ("with", "without") for bus in voltage[case]["worst"]}
    rows = re.findall(r'<tr><th scope="row">((?:Norte|Centro|Sul) \d+)</th>', section(page, "voltages"))
    assert set(rows) == names
    assert len(rows) == len(names)
    assert rows[0] == "Norte 15"
    assert "judges a week" in section(page, "voltages")


def test_a_service_and_its_renewals_are_one_row_and_each_is_listed(page: str) -> None:
    services = section(page, "services")
    chains, every = services.split("<details>")
    assert "39 services asked for, 38 took place" in chains
    assert chains.count("<tr><td") + chains.count('<tr class="quiet"><td') == 6
    assert every.count("<tr><td") + every.count('<tr class="quiet"><td') == 39
    assert "01:00–05:30" in chains
    assert "no vehicle behind this feeder can change anything" in chains


def test_the_negotiation_goes_from_the_asker_over_the_operator_and_the_managers_to_the_emsp(page: str) -> None:
    negotiation = section(page, "negotiation")
    assert re.findall(r'class="who">([^<]+)<', negotiation[: negotiation.index("</svg>")]) == [
        "DSO", "flexibility operator", "V2X managers", "EMSP",
    ]  # fmt: skip


def test_invoices_of_companies_come_before_those_of_drivers_and_unpaid_ones_say_so(page: str) -> None:
    invoices = section(page, "money").split("36 invoices of the EMSP")[1]
    customers = re.findall(r'<td class="name">([^<]+)</td>', invoices)
    assert customers[:5] == ["TSO", "DSO", "v2x-1", "v2x-2", "owner-ev-01"]
    assert re.findall(r'<td class="name">([^<]+)</td>(?:(?!</tr>).)*<td>no</td>', invoices) == ["owner-ev-06"]
    assert "charging: 14.0 kWh, 1.40 EUR" in invoices


def test_what_drivers_took_beyond_what_they_asked_for_is_told(page: str) -> None:
    drivers = section(page, "drivers")
    assert "31 of 32 drivers left with the charge they asked for, 1 with less; 38 kWh were taken beyond that" in drivers
    assert drivers.index("owner-ev-08") < drivers.index("owner-ev-01")


def test_a_quiet_day_with_one_case_no_service_and_no_notes_has_a_page_that_says_so(
    island_folder: Path, tmp_path: Path
) -> None:
    header = {"trace": 1, "scenario": "portugal", "seed": 1, "roles": {}}
    (tmp_path / "trace.jsonl").write_text(json.dumps(header) + "\n")
    record(tmp_path / "series.parquet", ("with",))
    full = json.loads((island_folder / "summary.json").read_text())
    summary = {name: full[name] for name in ("scenario", "seed", "with")}
    summary |= {name: {"with": full[name]["with"]} for name in ("island", "voltage")}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    page = report.build(tmp_path).read_text()
    for words in (
        "Nobody asked the vehicles for a service", "The ordinary tariff held all day", "No service took place",
        "holds no payment", "kWh of wind were thrown away",
    ):  # fmt: skip
        assert words in page
    assert "without flexibility" not in page
    assert "for the island" not in page
    assert Outline(page).faults == []


def test_text_of_a_message_cannot_become_markup(island_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(island_folder, tmp_path / "run"))
    trace = folder / "trace.jsonl"
    evil = "<script>alert(1)</script>"
    trace.write_text(trace.read_text().replace("the vehicles leave early", evil).replace("no longer needed", evil))
    page = report.build(folder).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_same_folder_gives_the_same_page(island_folder: Path, page: str) -> None:
    assert report.build(island_folder).read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        ("3.50", "10.00 EUR changed hands; the TSO and the DSO paid 3.50 EUR more than they got"),
        ("-7.25", "10.00 EUR changed hands; 7.25 EUR of it came to the TSO and the DSO for energy and grid use, net"),
    ],
)
def test_the_money_is_told_from_the_side_that_it_came_to(spent: str, words: str) -> None:
    assert island_words.money_title(Decimal("10"), Decimal(spent)) == words
