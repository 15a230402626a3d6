"""A page of campuses: its chapters, complete in both widths, computed from the run, patient with what a run lacks."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from environment import report
from environment.report import campus_words, seconds
from environment.report.seconds import Trip
from environment.run_folder import RunFolderError

from .campus import Campus, clock, make_campus_run, record, told
from .test_report_page import Outline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_campus_run(tmp_path_factory.mktemp("campus"))


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return report.build(folder).read_text(encoding="utf-8")


def section(page: str, key: str) -> str:
    """One chapter of the page."""
    start = page.index(f'<section id="{key}">')
    return page[start : page.index("</section>", start)]


def rows(chapter: str) -> list[str]:
    """The text of each row of the tables of a chapter."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", chapter, flags=re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in found]


def test_a_page_of_campuses_has_its_chapters_in_order_and_a_link_to_each(page: str) -> None:
    keys = re.findall(r'<section id="(\w+)">', page)
    assert keys == [
        "congestion", "help", "frequency", "tests", "delivery", "batteries", "fleet", "negotiation", "money",
        "drivers", "messages",
    ]  # fmt: skip
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
    widths = [width for width, _ in pictures]
    assert widths.count("wide") == widths.count("narrow") >= 13
    leftovers = re.findall(r"#(?:0[1-9]|1[0-3]){3}\b", "".join(re.findall(r"<svg class=.*?</svg>", page, re.DOTALL)))
    assert leftovers == []


def test_the_same_files_give_the_same_page(folder: Path, page: str) -> None:
    assert report.build(folder).read_text(encoding="utf-8") == page


def test_the_headline_and_the_tiles_tell_overload_cost_income_and_nadir(folder: Path, page: str) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    with_it = [campus["with"]["minutes_beyond_limit"] for campus in summary["campuses"].values()]
    without = [campus["without"]["minutes_beyond_limit"] for campus in summary["campuses"].values()]
    headline = page[page.index("<h1>") : page.index("</h1>")]
    assert f"from {sum(without):.0f} to {sum(with_it):.0f} minutes for 2.40 EUR" in headline
    nadir = summary["frequency"]["trip"]
    assert f"at {nadir['with']['nadir_hz']:.2f} Hz instead of {nadir['without']['nadir_hz']:.2f}" in headline
    tiles = [" ".join(re.sub(r"<[^>]+>", " ", tile).split()) for tile in re.findall(r"<dt>.*?</div>", page, re.DOTALL)]
    assert [tile.split(" in the trip")[0] for tile in tiles][3] == "Lowest frequency"
    assert f"{nadir['with']['nadir_hz']:.3f} Hz {nadir['without']['nadir_hz']:.3f} Hz without" in tiles[3]
    assert "6.16 EUR 9 periods of 2 portfolios" in tiles[2]
    assert "11 of 12" in tiles[4]


def test_cost_per_avoided_overload_is_what_was_paid_over_what_the_services_avoided(folder: Path, page: str) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    avoided = sum(part["avoided_overload_kwh"] or 0.0 for part in summary["congestion"])
    assert f"2.40 EUR paid: {2.40 / avoided:.2f} EUR per kWh of overload avoided" in section(page, "help")


def test_the_signal_is_told_as_it_changed(page: str) -> None:
    assert "Signal of risoe: 100 %, from 10:15 70 %, from 12:30 100 %." in section(page, "congestion")


def test_services_are_rows_with_what_was_asked_offered_awarded_delivered_and_paid(page: str) -> None:
    found = rows(section(page, "help"))
    taken = next(row for row in found if row.startswith("22:00–22:45 bornholm-pool"))
    assert taken.split()[2:7] == ["12.0", "14.0", "12.0", "12.0", "0.120"]
    assert taken.split()[7] == "1.20"
    assert taken.endswith("cancelled")
    assert any(row.startswith("10:30–11:30 risoe-pool 9.0 5.0 0.0") and row.endswith("not taken") for row in found)
    assert any("refused: no vehicle is there whose driver told of its departure" in row for row in found)


def test_who_was_asked_and_who_said_yes_is_told_by_driver_with_reasons(page: str) -> None:
    chapter = section(page, "help")
    assert "6 times a driver was asked, 3 said yes" in chapter
    assert "ev-bornholm-pool-1 bornholm-pool 1 0 1 0 0 0.00 I leave earlier today" in rows(chapter)
    assert "ev-bornholm-pool-2 bornholm-pool 1 1 0 0 1 1 × shift 0.20" in rows(chapter)


def test_each_sheet_has_its_clauses_bounds_and_verdicts_what_failed_first(page: str) -> None:
    chapter = section(page, "tests")
    assert "risoe-pool, FCR-D up: approved for 27.5 of 30.0 kW" in chapter
    failed = chapter[chapter.index("risoe-staff, FCR-D up") :]
    assert "3 of 4 requirements met" in failed
    assert rows(failed)[1] == "Nordic FCR 3.1.2 requirement 2: power 0.4 at least 0.86 pu no"
    assert "Nordic FCR 3.1.2 requirement 2: made up 1 0.5 to 2 pu yes" in rows(failed)
    assert "86 % at 7.5 s: 25.8 kW" in chapter


def test_an_hour_that_was_cancelled_says_why_and_shows_what_the_ledger_paid(tmp_path: Path) -> None:
    campus = told()
    offer = "risoe-pool-fcr-d-up-12"
    campus.pays(offer, "energinet", "risoe-pool", Decimal("0.27"), clock(12.6))
    page = report.build(make_campus_run(tmp_path / "run", campus)).read_text(encoding="utf-8")
    chapter = rows(section(page, "delivery"))
    hour = next(row for row in chapter if row.startswith("03:00–04:00"))
    assert hour.endswith("0.27 cancelled")
    assert "cancelled: the meters are lost" in chapter
    assert "9 offers, 9 served (1 of them called off before its end), 6.43 EUR from the TSO" in page


def test_portfolios_in_service_are_shown_against_the_envelope(page: str) -> None:
    chapter = section(page, "frequency")
    found = rows(chapter)
    assert any(row.startswith("bornholm-pool FCR-N 24.0 +24.0 +24.0") and row.endswith(" 100") for row in found)
    assert any(row.startswith("risoe-pool FCR-D up 27.5") for row in found)
    assert re.search(r"settled at 49\.\d{3} Hz; without the vehicles 49\.\d{3} and 49\.\d{3} Hz", chapter)


def test_batteries_tell_throughput_wear_and_what_each_owner_earned(folder: Path, page: str) -> None:
    moved = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["frequency"]["throughput"]
    total = sum(moved["bornholm-pool"][name] for name in ("up_kwh", "down_kwh", "managed_kwh"))
    row = next(row for row in rows(section(page, "batteries")) if row.startswith("bornholm-pool FCR-N"))
    assert row.split()[5:8] == [f"{total:.1f}", "0.0", f"{total * 0.04:.2f}"]
    assert row.split()[8] == f"{total / 2 / 180:.3f}"  # three vehicles of 60 kWh
    owners = rows(section(page, "batteries"))
    assert "ev-bornholm-pool-3 FCR-N 4 times 8.4 0.85 0.20 1.05" in owners


def test_drivers_that_were_asked_against_congestions_are_counted_in_their_table(page: str) -> None:
    found = rows(section(page, "drivers"))
    row = next(row for row in found if row.startswith("ev-bornholm-pool-2 "))
    assert "1 of 1" in row
    assert "0 of 1" in next(row for row in found if row.startswith("ev-bornholm-pool-1 "))


def test_help_and_money_stand_at_the_stay_in_which_they_came(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    summary = json.loads((other / "summary.json").read_text(encoding="utf-8"))
    (stay,) = (each for each in summary["drivers"]["each"] if each["charger_id"] == "bornholm-pool-2")
    before = stay | {"arrival": clock(1).isoformat(), "departure": clock(4).isoformat()}
    after = stay | {"arrival": clock(14.5).isoformat(), "departure": clock(18).isoformat()}
    stay |= {"arrival": clock(5).isoformat(), "departure": clock(14).isoformat()}
    summary["drivers"]["each"] += [before, after]
    (other / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    found = rows(section(report.build(other).read_text(encoding="utf-8"), "drivers"))
    (first, night, last) = sorted(
        (row for row in found if row.startswith("ev-bornholm-pool-2 ")),
        key=lambda r: "20:00" in r or 2 * ("05:30" in r),
    )
    assert "1 of 1" in night
    assert "1 of 1" not in first + last
    assert first.endswith("0.00")
    assert night.endswith("0.20"), "the help of 22:00"
    assert last.endswith("0.75"), "frequency control, paid at 06:00"


def test_one_negotiation_goes_from_the_call_to_the_last_payment(page: str) -> None:
    chapter = section(page, "negotiation")
    assert "beof-1: from the DSO\N{RIGHT SINGLE QUOTATION MARK}s call to the last payment" in chapter
    for exchange in ("3.1", "3.x.1", "3.x.2", "3.2", "3.3", "3.x.3", "3.x.4"):
        assert f">{exchange} " in chapter


def test_a_run_without_help_and_without_frequency_control_says_so_in_one_line_each(tmp_path: Path) -> None:
    campus = Campus()
    campus.registers()
    page = report.build(make_campus_run(tmp_path / "run", campus, fcr=False)).read_text(encoding="utf-8")
    for key, sentence in (
        ("help", "No DSO called for help"),
        ("frequency", "were not kept in this run"),
        ("tests", "No V2X manager asked to take part"),
        ("delivery", "No capacity was offered"),
        ("batteries", "No battery served"),
    ):
        assert sentence in section(page, key)
        assert "<table" not in section(page, key)
    assert "no capacity was sold" in page
    assert "<h1>The vehicles cut" in page


def test_a_run_whose_scenario_was_not_noted_is_held_against_the_rating(tmp_path: Path) -> None:
    page = report.build(make_campus_run(tmp_path / "run", noted=False)).read_text(encoding="utf-8")
    assert "Signal of" not in page
    assert "The retailer" not in page
    assert "which wore" not in section(page, "batteries")


def test_a_run_of_one_case_compares_nothing(folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "run"
    shutil.copytree(folder, alone)
    record(alone / "series.parquet", ("with",))
    page = report.build(alone).read_text(encoding="utf-8")
    assert "beyond their limits for" in page[page.index("<h1>") : page.index("</h1>")]
    assert ">without</th>" not in section(page, "congestion")
    assert "min without" not in page


def test_a_run_without_a_ledger_is_paid_by_its_settlements(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    (other / "ledger.sqlite").unlink()
    page = report.build(other).read_text(encoding="utf-8")
    assert "2 services given, 2.40 EUR paid" in page
    assert "6.16 EUR from the TSO" in page


def test_the_ledger_decides_where_it_has_another_amount(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(folder, other)
    with closing(sqlite3.connect(other / "ledger.sqlite")) as database, database:
        database.execute(
            "update posting set amount_eur = '1.00' where transaction_id like 'beof-1-%' and account like 'b%l'"
        )
    assert "2.20 EUR paid" in report.build(other).read_text(encoding="utf-8")


def test_a_frequency_file_that_is_none_is_one_line_that_names_it(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "run"
    shutil.copytree(folder, broken)
    (broken / "frequency.parquet").write_bytes(b"nothing")
    with pytest.raises(RunFolderError, match=r"frequency\.parquet: ") as caught:
        report.build(broken)
    assert "\n" not in str(caught.value)


def test_the_headline_does_not_claim_what_did_not_come() -> None:
    same = [{"with": {"minutes_beyond_limit": 9}, "without": {"minutes_beyond_limit": 9}}]
    trip = Trip(0, 50.0, {"with": 49.6, "without": 49.6}, {"with": 6, "without": 6}, {"with": 49.8, "without": 49.8})
    text = campus_words.headline(same, Decimal(0), trip, Decimal(1), True)
    assert "did not shorten" in text
    assert "did not help in the trip" in text
    calm = [{"with": {"minutes_beyond_limit": 0}, "without": {"minutes_beyond_limit": 0}}]
    assert campus_words.headline(calm, Decimal(0), None, Decimal(0), False) == (
        "No transformer came to its limit, with the vehicles\N{RIGHT SINGLE QUOTATION MARK} help or without"
    )


def test_the_most_loaded_line_is_that_of_its_own_campus_in_each_case() -> None:
    lines = {
        "b": {"with": {"peak_line_loading_percent": 74.2}, "without": {"peak_line_loading_percent": 86.6}},
        "r": {"with": {"peak_line_loading_percent": 65.7}, "without": {"peak_line_loading_percent": 90.7}},
    }
    title = "The most loaded line came to 74 % at b; without flexibility to 91 % at r"
    assert campus_words.lines_title(lines) == title
    assert campus_words.lines_title({"b": lines["b"]}).endswith("without flexibility to 87 %")


def test_what_the_test_cost_is_told_beside_what_the_night_earned(tmp_path: Path) -> None:
    campus = told()
    campus.script.lines = [
        line
        for line in campus.script.lines
        if (line["exchange"], line["performative"], line["receiver"][:8]) != ("7.1", "inform", "bornholm")
    ]  # so that its test has no end, and all that was logged is of it
    folder = make_campus_run(tmp_path / "run", campus)
    money = section(report.build(folder).read_text(encoding="utf-8"), "money")
    (through,) = (seconds.throughput(each) for each in seconds.portfolios(folder) if each.name == "bornholm-pool")
    assert f"moved {through.total_kwh:.1f} kWh" in money
    assert "0.50 EUR of wear, paid to the owners at 0.040 EUR/kWh" in money, "three were paid for 4.2 kWh each"
    assert "A night such as this one earns 3.08 EUR from the TSO" in money
    assert "costs 0.2 times that" in money
    assert "risoe-pool (FCR-D up) moved" not in money, "nothing was logged in its test"


def test_each_manager_has_a_row_of_the_money(page: str) -> None:
    money = section(page, "money")
    assert "V2X managers" not in money
    assert {"bornholm-pool", "risoe-staff"} <= {row.rsplit(" ", 3)[0] for row in rows(money)}


def test_the_page_says_that_without_nobody_is_in_the_place_of_the_vehicles_reserves(page: str) -> None:
    assert "nobody in the place of the vehicles" in section(page, "frequency")
