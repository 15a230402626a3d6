"""The frame of the page in Debian's Chromium: phone and desktop, light and dark, keyboard, clock, playback."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from environment.page.frame import LOOK, views
from tests.chromium import DESKTOP, PHONE, Served, Visitor, serving
from tests.environment.watched.folders import BEGINS, hand_made_folder

RUNNING = {"state": "running", "speed": 300.0, "stage": "negotiating", "messages": 7, "deterministic": True}
TITLE = "A hand-made hour"
BAR = ".frame-bar button, .frame-bar input, .frame-bar select, .frame-look, .frame-nav a, summary"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hand_made_folder(tmp_path_factory.mktemp("frame") / "run")


@pytest.fixture(scope="module")
def shown(folder: Path) -> Iterator[Served]:
    with serving(folder, title=TITLE) as served:
        yield served


def visit(chrome: webdriver.Chrome, served: Served, path: str = "money", **look: object) -> Visitor:
    """Opens a view and waits until the browser has its page."""
    visitor = Visitor(chrome, **look)  # type: ignore[arg-type]
    chrome.delete_all_cookies()
    visitor.open(served.address + path)
    visitor.wait(lambda: visitor.heading and visitor.text(".frame-now"))
    return visitor


def now(visitor: Visitor) -> str:
    return visitor.text(".frame-now")


def ground(visitor: Visitor) -> str:
    return visitor.find("body").value_of_css_property("background-color")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_every_view_stands_in_the_frame_and_all_of_it_can_be_read(
    chrome: webdriver.Chrome, shown: Served, size: tuple[int, int], dark: bool
) -> None:
    for view in views():
        visitor = visit(chrome, shown, view.PATH.lstrip("/"), size=size, dark=dark)
        assert visitor.heading == view.TITLE
        assert visitor.chrome.title == f"{view.TITLE} · {TITLE}"
        assert visitor.text(".frame-title") == TITLE
        visitor.wait(lambda visitor=visitor: ground(visitor) == f"rgba({'14, 18, 22' if dark else '255, 255, 255'}, 1)")
        visitor.fits(touch=BAR)
        assert [each.tag_name for each in visitor.all("header, main")] == ["header", "main"]
        current = [each.get_attribute("href") for each in visitor.all("nav a[aria-current=page]")]
        assert current == [shown.address.rstrip("/") + view.PATH] * 2
        assert visitor.all("[role=alert] *") == []
        assert visitor.hosts() == {urlsplit(shown.address).netloc}
        assert visitor.complaints() == []


def test_the_keyboard_reaches_everything_and_can_skip_the_header(chrome: webdriver.Chrome, shown: Served) -> None:
    visitor = visit(chrome, shown, size=DESKTOP)
    visitor.find("body").send_keys(Keys.TAB)
    first = chrome.switch_to.active_element
    visitor.wait(lambda: first.text == "Skip to content")
    assert first.location["y"] >= 0
    first.send_keys(Keys.ENTER)
    assert chrome.switch_to.active_element.get_attribute("class") == "frame-content"
    visitor = visit(chrome, shown, size=DESKTOP)
    for each in [".frame-look", *(f".frame-bar > :nth-child({n})" for n in (1, 2, 3, 4)), "input[type=range]"]:
        focus = visitor.tab_to(each)
        assert focus.value_of_css_property("outline-style") == "solid", each
    visitor.press(".frame-nav.wide a[href='/']")
    visitor.wait(lambda: visitor.heading == "Network")


def test_a_phone_has_the_views_in_a_menu(chrome: webdriver.Chrome, shown: Served) -> None:
    visitor = visit(chrome, shown)
    link = visitor.find(".frame-menu a[href='/']")
    assert not link.is_displayed()
    visitor.press("summary")
    visitor.wait(link.is_displayed)
    visitor.fits(touch=BAR)
    visitor.press(".frame-menu a[href='/']")
    visitor.wait(lambda: visitor.heading == "Network")


def test_light_and_dark_can_be_chosen_and_are_remembered(chrome: webdriver.Chrome, shown: Served) -> None:
    visitor = visit(chrome, shown)
    for expected, colour in (("Dark", "rgba(14, 18, 22, 1)"), ("Light", "rgba(255, 255, 255, 1)")):
        visitor.press(".frame-look")
        visitor.wait(lambda expected=expected: expected.upper() in visitor.text(".frame-look").upper())
        visitor.wait(lambda colour=colour: ground(visitor) == colour)
        visitor.wait(lambda expected=expected: (chrome.get_cookie(LOOK) or {}).get("value") == expected.lower())
        visitor.open(shown.address + "money")
        visitor.wait(lambda expected=expected: expected.upper() in visitor.text(".frame-look").upper())
        visitor.wait(lambda colour=colour: ground(visitor) == colour)


def test_the_clock_of_a_run_that_lasts_sends_what_is_pressed(chrome: webdriver.Chrome, folder: Path) -> None:
    with serving(folder, live=True, title=TITLE) as served:
        visitor = visit(chrome, served)
        assert visitor.text(".frame-state") == "… starting"
        assert not visitor.find(".frame-bar").is_displayed()
        at = BEGINS + timedelta(hours=5, minutes=5)
        served.tell({"status": {**RUNNING, "at": at.isoformat()}})
        visitor.wait(lambda: visitor.text(".frame-state") == "▶ running, 300 times as fast as life")
        visitor.wait(lambda: now(visitor).startswith("Wed 18 Mar 17:05:00"))
        assert not visitor.find("input[type=range]").is_displayed()
        speed = Select(visitor.named("Speed"))
        assert speed.first_selected_option.text == "300 times as fast as life"
        visitor.press(".frame-bar > :nth-child(1)")
        assert served.said() == {"pause": True}
        served.tell({"status": {**RUNNING, "state": "paused", "at": at.isoformat()}})
        visitor.wait(lambda: "Go on".upper() in visitor.text(".frame-bar > :nth-child(1)").upper())
        visitor.press(".frame-bar > :nth-child(1)")
        assert served.said() == {"resume": True}
        for number, line in enumerate(({"step_s": 60}, {"step_s": 900}, {"step_messages": 1}), start=2):
            visitor.press(f".frame-bar > :nth-child({number})")
            assert served.said() == line
        for text, line in (("as fast as it goes", {"speed": None}), ("1 times as fast as life", {"speed": 1.0})):
            speed.select_by_visible_text(text)
            assert served.said() == line
        served.tell({"notice": "17:05 vpp-1: <b>nobody</b> answers"})
        visitor.wait(lambda: "17:05 vpp-1: <b>nobody</b> answers" in visitor.text("[role=log]"))
        visitor.fits(touch=BAR)
        served.tell({"status": {"state": "ended"}})
        visitor.wait(lambda: visitor.text(".frame-state") == "■ ended")
        visitor.wait(lambda: visitor.find("input[type=range]").is_displayed())
        assert visitor.complaints() == []


def test_a_finished_run_is_played_back_from_its_beginning(chrome: webdriver.Chrome, shown: Served) -> None:
    visitor = visit(chrome, shown, size=DESKTOP)
    assert visitor.text(".frame-state") == "■ ended"
    assert now(visitor) == "Wed 18 Mar 12:59:10 · 120 messages"
    Select(visitor.named("Speed of the playback")).select_by_visible_text("1 min a second")
    visitor.press(".frame-bar > :nth-child(1)")
    visitor.wait(lambda: visitor.text(".frame-state") == "▶ running, 1 min a second")
    early = now(visitor)
    assert early < "Wed 18 Mar 12:59"
    visitor.wait(lambda: now(visitor) > early)
    visitor.press(".frame-bar > :nth-child(1)")
    visitor.wait(lambda: visitor.text(".frame-state") == "‖ paused")
    Select(visitor.named("Speed of the playback")).select_by_visible_text("60 min a second")
    visitor.press(".frame-bar > :nth-child(1)")
    visitor.wait(lambda: visitor.text(".frame-state") == "■ ended")
    assert now(visitor) == "Wed 18 Mar 12:59:10 · 120 messages"


def test_the_slider_shows_any_moment_by_keyboard(chrome: webdriver.Chrome, shown: Served) -> None:
    visitor = visit(chrome, shown, size=DESKTOP)
    slider = visitor.tab_to("input[type=range]")
    assert slider.accessible_name == "Moment of the run"
    assert slider.aria_role == "slider"
    slider.send_keys(Keys.HOME)
    visitor.wait(lambda: now(visitor) == "Wed 18 Mar 12:00:00 · 1 messages")
    slider.send_keys(Keys.ARROW_RIGHT)
    visitor.wait(lambda: now(visitor) == "Wed 18 Mar 12:01:00 · 3 messages")
    visitor.wait(lambda: slider.get_attribute("aria-valuetext") == now(visitor))
    visitor.press(".frame-bar > :nth-child(3)")
    visitor.wait(lambda: now(visitor) == "Wed 18 Mar 12:16:00 · 33 messages")
    visitor.press(".frame-bar > :nth-child(4)")
    visitor.wait(lambda: now(visitor) == "Wed 18 Mar 12:16:10 · 34 messages")
    visitor.wait(lambda: slider.get_attribute("value") == "960")


def test_with_its_token_the_page_opens_and_works_and_the_token_is_gone_from_the_address(
    chrome: webdriver.Chrome, folder: Path
) -> None:
    with serving(folder, token="a-token-of-some-length", title=TITLE) as served:
        plain = served.address.partition("?")[0]
        visitor = Visitor(chrome)
        visitor.open(plain + "money")
        assert "needs its whole address" in chrome.find_element(By.TAG_NAME, "body").text
        chrome.get_log("browser")
        visitor.open(served.address)
        visitor.wait(lambda: visitor.heading and visitor.text(".frame-now"))
        assert chrome.current_url == plain
        visitor.press(".frame-bar > :nth-child(2)")
        assert visitor.complaints() == []
        session = f"gridparley-{urlsplit(plain).port}"
        assert session in {cookie["name"] for cookie in chrome.get_cookies()}
        assert session not in chrome.execute_script("return document.cookie")
