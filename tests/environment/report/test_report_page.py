"""The page as a whole: complete, self-contained, the same each time, and patient with what a run lacks."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from environment import report
from environment.run_folder import RunFolderError
from environment.series import Series, SeriesRecorder

from .conftest import DAY

VOID = {"meta", "link", "br", "img", "input", "hr"}


@pytest.fixture(scope="module")
def page(run_folder: Path) -> str:
    return report.build(run_folder).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """The tags of a page, and which were left open or closed twice."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.ids: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")


def test_every_tag_is_closed_and_no_id_is_there_twice(page: str) -> None:
    outline = Outline(page)
    assert outline.faults == []
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))


def test_nothing_is_fetched_from_anywhere(page: str) -> None:
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert addresses
    assert [address for address in addresses if not address.startswith(("#", "data:"))] == []
    assert "<script" not in page
    assert "@import" not in page


def test_every_picture_says_in_words_what_it_shows_for_both_widths(page: str) -> None:
    pictures = re.findall(
        r'<svg class="(wide|narrow)[^"]*" viewBox="[\d. -]+" role="img" aria-label="([^"]{20,})"', page
    )
    assert len(pictures) == 2 * 8
    assert {width for width, _ in pictures} == {"wide", "narrow"}


def test_every_picture_is_well_formed(page: str) -> None:
    for svg in re.findall(r"<svg class=.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(svg)


def test_no_stand_in_colour_is_left(page: str) -> None:
    assert re.findall(r"#0[1-9]0[1-9]0[1-9]\b", page) == []
    assert "var(--with)" in page


def test_the_headline_tells_minutes_and_euros(page: str) -> None:
    (headline,) = re.findall(r"<h1>(.*?)</h1>", page)
    assert re.fullmatch(
        r"Flexibility cut the transformer’s overload from \d+ to \d+ minutes, for 23\.79 EUR\.", headline
    )


def test_the_drivers_who_got_less_come_first(page: str) -> None:
    section = page[page.index('<section id="drivers">') :]
    first = re.search(r'<tbody><tr class="short"><td class="name">([^<]+)', section)
    assert first is not None
    assert first[1] == "owner-home-08"
    assert "34 of 35 drivers left with the charge they asked for, 1 with less" in section


def test_the_same_folder_gives_the_same_page(run_folder: Path, page: str) -> None:
    assert report.build(run_folder).read_text(encoding="utf-8") == page


def test_text_of_a_message_cannot_become_markup(run_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run_folder, tmp_path / "run"))
    trace = folder / "trace.jsonl"
    trace.write_text(trace.read_text().replace("I leave earlier today", "<script>alert(1)</script>"))
    summary = json.loads((folder / "summary.json").read_text())
    summary["warnings"] = ["<img src=x>"]
    (folder / "summary.json").write_text(json.dumps(summary))
    page = report.build(folder).read_text()
    assert "<script" not in page
    assert "<img" not in page


def test_a_quiet_run_with_one_case_and_no_ledger_has_a_page_that_says_so(run_folder: Path, tmp_path: Path) -> None:
    header = {"trace": 1, "scenario": "slovenia", "seed": 1, "roles": {}}
    (tmp_path / "trace.jsonl").write_text(json.dumps(header) + "\n")
    recorder = SeriesRecorder("Europe/Ljubljana", ["LV"], ["home-1"])
    for minute in range(3 * 24 * 4):
        recorder.append(
            DAY + timedelta(minutes=15 * minute), "with", trafo_loading_percent=50.0, trafo_p_kw=70.0, losses_kw=1.0,
            line_loading_percent_max=30.0, load_kw=69.0, pv_kw=0.0, frequency_hz=50.0, vm_pu=[0.98], p_kw=[0.0],
            soc_percent=[0.0], connected=[False],
        )  # fmt: skip
    recorder.write(tmp_path / "series.parquet")
    figures = json.loads((run_folder / "summary.json").read_text())["with"]
    (tmp_path / "summary.json").write_text(json.dumps({"scenario": "slovenia", "seed": 1, "with": figures}))
    page = report.build(tmp_path).read_text()
    for words in ("Nobody called for bids", "holds no payment", "No driver&#39;s stay", "3 days"):
        assert words.replace("&#39;", "'") in page.replace("&#39;", "'")
    assert Outline(page).faults == []


def test_a_missing_or_broken_summary_is_one_clear_line(run_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run_folder, tmp_path / "run"))
    (folder / "summary.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"summary\.json: not JSON"):
        report.build(folder)
    (folder / "summary.json").unlink()
    with pytest.raises(RunFolderError, match=r"summary\.json: No such file"):
        report.build(folder)


def test_the_summary_holds_both_cases_and_money_that_sums_to_zero(run_folder: Path) -> None:
    summary = json.loads((run_folder / "summary.json").read_text())
    assert list(summary)[:4] == ["scenario", "seed", "agents", "wall_s"]
    assert summary["exchanges"]["6.1.1"] == 6
    assert summary["with"]["peak_trafo_loading_percent"] < summary["without"]["peak_trafo_loading_percent"]
    assert sum(Decimal(amount) for amount in summary["money"].values()) == 0
    assert summary["drivers"]["below_wanted"] == 1
    series = Series.read(run_folder / "series.parquet")
    assert summary["with"]["min_voltage_pu"] == pytest.approx(series.voltages("with").min(), abs=1e-4)
