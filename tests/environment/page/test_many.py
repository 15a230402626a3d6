"""1,000 chargers and 100,000 messages on the page: every view opens, and what is played back moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver

from environment.page.frame import views
from tests.chromium import DESKTOP, Served, Visitor, serving
from tests.days import Day
from tests.environment.watched.folders import many


@pytest.fixture(scope="module")
def shown(small: Day, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(many(tmp_path_factory.mktemp("many") / "run", small.folder)) as served:
        yield served


@pytest.mark.parametrize("view", views(), ids=lambda view: view.TITLE)
def test_a_view_of_very_much_opens_and_moves(chrome: webdriver.Chrome, shown: Served, view: object) -> None:
    path, title = view.PATH, view.TITLE  # type: ignore[attr-defined]
    visitor = Visitor(chrome, size=DESKTOP)
    visitor.open(shown.address.rstrip("/") + path)
    visitor.wait(lambda: visitor.heading == title and "100,000 messages" in visitor.text(".frame-now"))
    visitor.press(".frame-bar button")
    visitor.wait(lambda: visitor.text(".frame-state").startswith("▶ running"))
    early = visitor.text(".frame-now")
    visitor.wait(lambda: visitor.text(".frame-now") != early)
    visitor.press(".frame-bar button")
    visitor.wait(lambda: visitor.text(".frame-state") == "‖ paused")
    assert visitor.all("[role=alert] *") == []
    assert visitor.complaints() == []
    visitor.chrome.execute_script("document.querySelector('input[type=range]').value = 1e9")
    visitor.chrome.execute_script("document.querySelector('input[type=range]').dispatchEvent(new Event('input'))")
    visitor.wait(lambda: visitor.text(".frame-state") == "■ ended")
