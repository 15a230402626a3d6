"""The page of public stations: its own chapters, complete in both widths, and patient with what a run lacks."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from environment import report
from environment.report import public_auction, public_day, public_material, public_prices
from environment.report.material import read

from .public import make_public_run
from .test_report_page import Outline


@pytest.fixture(scope="module")
def page(public_folder: Path) -> str:
    return report.build(public_folder).read_text(encoding="utf-8")


def section(page: str, key: str) -> str:
    """One chapter of the page."""
    start = page.index(f'<section id="{key}">')
    return page[start : page.index("</section>", start)]


def cells(row: str) -> list[str]:
    """The words of a row's cells."""
    return [
        re.sub(r"<[^>]*>", "", cell).strip()
        for cell in re.findall(r"<t[dh](?: [^>]*)?>(.*?)</t[dh]>", row, flags=re.DOTALL)
    ]


def rows(text: str) -> list[list[str]]:
    return [cells(row) for row in re.findall(r"<tr.*?</tr>", text, flags=re.DOTALL)]


def test_the_page_has_its_chapters_in_order_and_a_link_to_each(page: str) -> None:
    keys = re.findall(r'<section id="(\w+)">', page)
    assert keys == ["prices", "auction", "week", "stations", "drivers", "negotiation", "money", "messages"]
    navigation = page[page.index("<nav") : page.index("</nav>")]
    assert re.findall(r'href="#(\w+)"', navigation) == keys


def test_the_page_is_well_formed_and_fetches_nothing(page: str) -> None:
    outline = Outline(page)
    assert (outline.faults, outline.open) == ([], [])
    assert len(outline.ids) == len(set(outline.ids))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "<script" not in page
    for svg in re.findall(r"<svg class=.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(svg)


def test_every_picture_is_there_in_both_widths_and_says_what_it_shows(page: str) -> None:
    pictures = re.findall(
        r'<svg class="(wide|narrow)[^"]*" viewBox="[\d. -]+" role="img" aria-label="([^"]{20,})"', page
    )
    assert len(pictures) == len(re.findall(r'<svg class="(?:wide|narrow)', page)) == 2 * 11
    assert [alt for width, alt in pictures if width == "wide"] == [alt for width, alt in pictures if width == "narrow"]
    assert not re.findall(r"#(?:0[1-9]|1[0-3]){3}\b", page)


def test_the_headline_says_what_caps_and_lower_prices_were_worth(page: str) -> None:
    headlines = re.findall(r"<h1>(.*?)</h1>", page)
    assert [headline.replace("\N{NO-BREAK SPACE}", " ") for headline in headlines] == [
        "Caps on charging stations cut the evening overload from 20 to 0 kWh for 1.00 EUR; lower network prices moved"
        " only 40 kWh under the sun for 8.40 EUR."
    ]


def test_the_tiles_compare_with_the_week_without(page: str) -> None:
    tiles = re.findall(r'<dt>(.*?)</dt>\s*<dd class="big">(.*?)</dd>\s*<dd class="quiet">(.*?)</dd>', page)
    told = {label: (re.sub(r"<[^>]*>", "", value), note) for label, value, note in tiles}
    assert told["Above the lines’ limits"] == ("0 kWh", "20 kWh without, on 1 of 1 evening")
    assert told["Paid for caps"] == ("1.00 EUR", "0.05 EUR per kWh avoided")
    assert told["Limits kept"][0] == "1 of 1"
    assert told["Moved under the sun"] == ("40 kWh", "0.21 EUR for each, 40 kWh less fed back")
    assert told["Needs served"] == ("3 of 4", "90 kWh of the 90 kWh they asked for")


def test_a_reduction_says_who_moved_and_what_each_kwh_cost(page: str) -> None:
    text = section(page, "prices")
    (row,) = [row for row in rows(text) if "8.40" in row]
    assert row == ["8 Jun 12:00–13:00", "markopoulo-west", "0.12", "1", "0", "70.0", "+40.0", "8.40", "0.21"]
    assert "1 driver charged at a lowered price" in text
    assert "1 of them gave a place up" in text
    assert "Of the 70 kWh that were drawn under lowered prices, 30 kWh would have been drawn there and then" in text
    (mover,) = [row for row in rows(text) if row[0] == "driver-001"]
    assert mover[1:5] == ["8 Jun 12:00", "markopoulo-west", "40.0", "0.430"]
    assert mover[5] == "8 Jun 18:00, markopoulo-west, 0.550"
    assert not [row for row in rows(text) if row[0] == "driver-002"]  # would have come anyway


def test_what_no_driver_moved_for_is_not_called_moved(public_folder: Path) -> None:
    material = public_material.read(read(public_folder))
    found = public_prices.outcome(material, public_prices.effects(material))
    still = replace(found, drivers=0)
    assert "brought 40 kWh under the sun" in public_prices.title(found)
    assert public_prices.title(still) == (
        "1 reduction for 8.40 EUR moved no driver, and 40 kWh more were drawn: 0.21 EUR for each of them"
    )
    headline = public_day.headline((), Decimal(0), still).replace("\N{NO-BREAK SPACE}", " ")
    assert headline.endswith(
        "lower network prices cost 8.40 EUR and moved no driver, 40 kWh more were drawn under the sun"
    )


def test_the_only_day_with_reductions_is_compared_with_no_other(page: str) -> None:
    text = section(page, "prices")
    assert "Monday 8 June 2026: 40 kWh more drawn<" in text
    assert "than on any other day" not in text


def test_the_elasticity_and_its_source_are_told(page: str) -> None:
    text = section(page, "prices")
    assert "−0.76" in text
    assert "10.1016/j.scs.2024.105836" in text
    assert "0.12 EUR/kWh, is 21.5 % of the price" in text


def test_the_auction_has_the_bought_point_and_why_the_other_was_not_bought(page: str) -> None:
    text = section(page, "auction")
    assert "1 of 2 stations that offered a cap sold one, for 28.00 EUR in all" in text
    told = {row[0]: row for row in rows(text)}
    assert told["markopoulo-west"][1:9] == ["second-cpo", "Bus 8", "3", "40", "80", "28.00", "0.35", "1"]
    assert told["koropi-east"][4] == "the DSO buys nothing of this curve"
    assert "Not called to the auction" not in text
    assert "the DSO expected 24.0 kWh above the lines&#39; limits on a day without caps, 2.0 kWh with" in text


def test_a_station_behind_no_line_near_its_limit_is_said_to_be_none_of_the_auction(public_folder: Path) -> None:
    material = public_material.read(read(public_folder))
    (auction,) = material.services.auctions
    terms = auction.terms.model_copy(update={"locations": ("Bus 8",)})
    lots = tuple(lot for lot in auction.lots if lot.call.location == "Bus 8")
    fewer = replace(material, services=replace(material.services, auctions=(replace(auction, terms=terms, lots=lots),)))
    told = public_auction.chapter(fewer).values
    assert (told["far"], told["unheard"]) == (["koropi-east"], [])


def test_the_feeder_is_drawn_with_its_stations_and_their_caps(page: str) -> None:
    feeder = page[page.index('<svg class="wide feeder"') :]
    feeder = feeder[: feeder.index("</svg>")]
    assert "markopoulo-west: capped at 40 kW for 28.00 EUR" in feeder
    assert "Bus 8, line 2-8 up to 104 %" in feeder
    assert feeder.count('class="bus"') == 2
    assert feeder.count('class="wire worst"') == 1


def test_the_week_compares_each_evening_with_what_was_expected(page: str) -> None:
    text = section(page, "week")
    assert "Line 2-8 peaked at 88 %; without flexibility at 104 %. Caps held on 1 day" in text
    assert "0.0 kWh above the limits on an average day, 20.0 kWh without; expected were 2.0 and 24.0" in text
    assert ["Mon 8 Jun", "1", "20.0", "0.0"] in rows(text)


def test_compliance_is_by_the_highest_second_and_a_refusal_says_why(page: str) -> None:
    text = section(page, "week")
    assert "1 of 1 activated limit was kept to the second" in text
    windows = [row for row in rows(text) if len(row) > 1 and row[1] == "markopoulo-west"]
    assert windows[0] == ["8 Jun 17:00–22:00", "markopoulo-west", "40", "40.0", "80", "0.00", "0.00", "1.00"]
    assert windows[1] == ["9 Jun 17:00–22:00", "markopoulo-west", "40", "refused: two sessions need 55 kW"]


def test_a_limit_that_was_not_kept_is_told(tmp_path: Path) -> None:
    page = report.build(make_public_run(tmp_path / "run", excess_kwh=0.25)).read_text(encoding="utf-8")
    assert "0 of 1 activated limit was kept to the second" in page
    (row,) = [row for row in rows(section(page, "week")) if "41.0" in row]
    assert row[5:] == ["0.25", "0.25", "0.75"]


def test_stations_have_their_use_in_both_cases(page: str) -> None:
    told = {row[0]: row for row in rows(section(page, "stations"))}
    # kWh without and with, sessions without and with, occupied hours without and with, of 2 chargers x 48 h
    assert told["markopoulo-west"][2:] == ["110", "70", "", "3", "2", "2.8", "1.8", "1.8"]
    assert told["koropi-east"][2:] == ["20", "20", "", "1", "1", "1.0", "1.0", "1.0"]


def test_drivers_have_what_they_got_and_who_went_without(page: str) -> None:
    text = section(page, "drivers")
    told = {row[0]: row for row in rows(text)}
    assert told["Needs that were served"][1:4] == ["4", "3", "−1"]
    assert told["Paid"][1:3] == ["72.10", "41.70"]
    assert told["Waiting from arrival to start, on average"][1:3] == ["3.8", "15.0"]
    assert told["driver-003"][3] == "no operator had a choice"
    assert told["driver-003"][4] == "8 Jun 18:00, markopoulo-west, 40.0 kWh"
    assert "1 of them would have been served without flexibility" in text
    assert told["driver-004"][5] == "+30"


def test_two_negotiations_are_drawn(page: str) -> None:
    text = section(page, "negotiation")
    assert "The auction: from the DSO’s terms to the contracts" in text
    assert "One activation: markopoulo-west" in text
    auction = text[: text.index("One activation")]
    for exchange in ("5.1.1 request", "5.1.2 cfp", "5.1.3 propose", "5.1.4 inform", "5.1.5 request", "5.1.6 accept"):
        assert exchange in auction
    assert "5.2.1 request" in text
    assert "5.x.2 accept-proposal" in text


def test_the_ledger_adds_up_to_zero_and_names_what_it_was_for(page: str) -> None:
    text = section(page, "money")
    assert "8 postings in 4 transactions add up to 0.00 EUR." in text
    assert "70 kWh billed, 8.40 EUR at the usual price; reductions took off 8.40 EUR" in text
    assert "28.00 EUR for the contracts’ whole period" in text


def test_what_no_bill_has_is_told_where_the_reductions_are_and_where_the_money_is(tmp_path: Path) -> None:
    folder = make_public_run(tmp_path / "run")
    trace = folder / "trace.jsonl"
    text = trace.read_text(encoding="utf-8")
    for old, new in (('"reduction_eur": "8.40"', '"reduction_eur": "5.40"'), ('eur": "0.00"}', 'eur": "3.00"}')):
        assert old in text
        text = text.replace(old, new)
    trace.write_text(text, encoding="utf-8")
    page = report.build(folder).read_text(encoding="utf-8")
    assert "3.00 of the 8.40 EUR are for what was drawn after the last midnight" in section(page, "prices")
    assert "reductions took off 5.40 EUR" in section(page, "money")
    assert "nor are 3.00 EUR of the 8.40 EUR that reductions take off" in section(page, "money")


def test_a_run_without_the_other_case_has_a_page_that_compares_nothing(tmp_path: Path) -> None:
    page = report.build(make_public_run(tmp_path / "run", cases=("with",))).read_text(encoding="utf-8")
    assert "with caps on charging stations for 1.00\N{NO-BREAK SPACE}EUR" in page
    assert "without flexibility" not in page
    assert re.findall(r'<section id="(\w+)">', page)[0] == "prices"


def test_a_page_is_made_from_the_four_files_alone_and_is_the_same_again(public_folder: Path, tmp_path: Path) -> None:
    for name in ("trace.jsonl", "ledger.sqlite", "series.parquet", "summary.json"):
        shutil.copy(public_folder / name, tmp_path / name)
    first = report.build(tmp_path).read_text(encoding="utf-8")
    assert report.build(tmp_path).read_text(encoding="utf-8") == first
    assert first == report.build(public_folder).read_text(encoding="utf-8")


def test_a_run_in_which_nobody_said_anything_has_a_page(public_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(public_folder, tmp_path / "run")
    trace = tmp_path / "run" / "trace.jsonl"
    trace.write_text(trace.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    page = report.build(tmp_path / "run").read_text(encoding="utf-8")
    assert "No network price was lowered in this run." in page
    assert "No caps were auctioned in this run" in page
    assert "Nothing was auctioned or activated" in page


def test_a_summary_without_the_lines_buses_draws_no_feeder(public_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(public_folder, tmp_path / "run")
    path = tmp_path / "run" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    for line in summary["public"]["lines"].values():
        line.pop("buses")
    path.write_text(json.dumps(summary), encoding="utf-8")
    page = report.build(tmp_path / "run").read_text(encoding="utf-8")
    assert '<svg class="wide feeder"' not in page
    assert "kWh flowed back through line 2-8" in page


def test_other_demonstrators_keep_their_own_page(run_folder: Path) -> None:
    keys = re.findall(r'<section id="(\w+)">', report.build(run_folder).read_text(encoding="utf-8"))
    assert keys == ["grid", "fleet", "market", "negotiation", "money", "drivers", "messages"]


def test_curves_that_cost_nothing_are_drawn_too(tmp_path: Path) -> None:
    folder = make_public_run(tmp_path)
    trace = folder / "trace.jsonl"
    text, count = re.subn(r'"price_eur": ?"[^"]*"', '"price_eur":"0.00"', trace.read_text(encoding="utf-8"))
    assert count
    trace.write_text(text, encoding="utf-8")
    assert "0.00 EUR" in section(report.build(folder).read_text(encoding="utf-8"), "auction").replace(
        "\N{NO-BREAK SPACE}", " "
    )
