"""The closing table of a run of public stations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from environment.console import closing
from environment.launcher import Done

from .report.public import make_public_run


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    folder = make_public_run(tmp_path / "run")
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


def told(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> str:
    closing(Done(Path(), summary, Path("report.html")))
    return " ".join(capsys.readouterr().out.split())


def test_the_closing_table_counts_as_the_page_does(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    text = told(summary, capsys)
    first = summary["public"]["lines"]["Line 1-2"]
    assert "energy that flowed back through Line 1-2" in text
    assert first["without"]["reverse_kwh"] == 0.0
    assert "3 sessions ended (4 without flexibility), 0 (0) with less than nine tenths of the charge asked for." in text
    assert "The DSO paid 1.00 EUR for capacity and took 8.40 EUR off, drivers paid 41.70 EUR" in text
    assert "1 contract, 1 limit activated, 0 broken." in text


def test_what_is_not_billed_is_told_beside_the_whole(
    summary: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    summary["public"]["prices"]["reduction_eur"] = "5.40"
    assert "took 8.40 EUR off (3.00 EUR of it not billed in this run)" in told(summary, capsys)


def test_one_warning_is_no_plural(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    summary["warnings"] = ["only this one"]
    assert " 1 warning. " in told(summary, capsys)
