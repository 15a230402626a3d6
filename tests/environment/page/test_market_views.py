"""Market, register, contracts and money in a browser: what they say, on a phone, in the dark, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests import chromium
from tests.chromium import DESKTOP, PHONE, Visitor, serving
from tests.environment.watched.days import DAYS, day

chrome = chromium.chrome
PATHS = ("/market", "/register", "/contracts", "/money")
FILLED = ".paged-table tbody tr, .frame-content [role=status].muted:not(:empty)"
LEAST_TARGET_PX = 24
"""WCAG 2.2, 2.5.8: what can be pressed is at least so high."""


@pytest.fixture(scope="module", params=DAYS)
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A demonstrator's name and where its finished day is served, at its end."""
    with serving(day(request.param, tmp_path_factory.mktemp(request.param)), begin="end") as served:
        yield request.param, served.address.rstrip("/")


@pytest.fixture(scope="module")
def slovenia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(day("slovenia", tmp_path_factory.mktemp("slovenia")), begin="end") as served:
        yield served.address.rstrip("/")


def opened(visitor: Visitor, address: str) -> None:
    """Waits until the view has been filled."""
    visitor.open(address)
    visitor.wait(lambda: visitor.all(FILLED), address)


def rows(visitor: Visitor, table: str) -> list[list[str]]:
    return [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "td")]
        for row in visitor.named(table).find_elements(By.CSS_SELECTOR, "tbody tr")
    ]


def sort_by(visitor: Visitor, column: str) -> bool:
    """Presses Enter on a column's head."""
    head = next(each for each in visitor.all(".table-sort") if each.text == column)
    head.send_keys(Keys.ENTER)
    return True


@pytest.mark.parametrize("path", PATHS)
class TestEveryView:
    def test_it_holds_on_a_phone_and_can_be_read(
        self, chrome: webdriver.Chrome, page: tuple[str, str], path: str
    ) -> None:
        visitor = Visitor(chrome, size=PHONE)
        opened(visitor, page[1] + path)
        visitor.fits(touch=".frame-content button", touch_px=LEAST_TARGET_PX)
        assert visitor.all("[role=alert] *") == []
        assert visitor.complaints() == []

    def test_it_can_be_read_in_the_dark(self, chrome: webdriver.Chrome, slovenia: str, path: str) -> None:
        visitor = Visitor(chrome, size=DESKTOP, dark=True)
        opened(visitor, slovenia + path)
        visitor.wait(lambda: visitor.all("body.body--dark"))
        visitor.fits(touch=".frame-content button", touch_px=LEAST_TARGET_PX)
        assert {each.rpartition(":")[0] for each in visitor.hosts()} == {"127.0.0.1"}


class TestMarket:
    def test_the_latest_round_is_shown_and_another_one_can_be_chosen_by_keyboard(
        self, chrome: webdriver.Chrome, slovenia: str
    ) -> None:
        visitor = Visitor(chrome, size=DESKTOP)
        opened(visitor, f"{slovenia}/market")
        assert "4 rounds so far" in visitor.text(".frame-content")
        assert visitor.all("[aria-label^='Merit order of Pool pool-3'] svg")
        first = next(each for each in visitor.all(".table-link") if each.text.endswith("Pool pool-1"))
        visitor.chrome.execute_script("arguments[0].focus()", first)
        first.send_keys(Keys.ENTER)
        visitor.wait(lambda: visitor.all("[aria-label^='Merit order of Pool pool-1']"))
        told = visitor.find("[aria-label^='Merit order of Pool pool-1']").get_attribute("aria-label")
        assert "42.0 kW needed, 42.0 kW bought, at 0.071 EUR/kW for 15 min" in (told or "")
        pressed = visitor.find(".table-link[aria-pressed='true']")
        assert pressed.text.endswith("Pool pool-1")

    def test_the_table_behind_the_chart_has_every_offer_with_a_link(
        self, chrome: webdriver.Chrome, slovenia: str
    ) -> None:
        visitor = Visitor(chrome, size=DESKTOP)
        opened(visitor, f"{slovenia}/market")
        next(each for each in visitor.all(".q-expansion-item .q-item") if "as a table" in each.text).click()
        visitor.wait(lambda: "Offers in merit order" in visitor.text(".frame-content"))
        table = visitor.find(".q-expansion-item .plain-table")
        assert [row.text.split()[0] for row in table.find_elements(By.CSS_SELECTOR, "tbody tr")] == [
            "vpp-sava-3",
            "vpp-drava-3",
        ]
        assert "/negotiations?id=" in (table.find_element(By.TAG_NAME, "a").get_attribute("href") or "")

    def test_columns_are_sorted_at_the_server_by_keyboard(self, chrome: webdriver.Chrome, slovenia: str) -> None:
        visitor = Visitor(chrome, size=DESKTOP)
        opened(visitor, f"{slovenia}/market")
        visitor.wait(lambda: len(rows(visitor, "Rounds of the markets")) == 4)
        visitor.wait(lambda: sort_by(visitor, "Needed, kW"))
        visitor.wait(
            lambda: [row[3] for row in rows(visitor, "Rounds of the markets")] == ["14.0", "18.0", "36.0", "42.0"]
        )
        assert "Needed, kW" in visitor.find("th[aria-sort=ascending]").text
        visitor.wait(lambda: visitor.chrome.switch_to.active_element.text == "Needed, kW", "the focus is lost")


class TestMoney:
    def test_the_sum_is_zero_and_the_balances_are_exact(self, chrome: webdriver.Chrome, slovenia: str) -> None:
        visitor = Visitor(chrome, size=DESKTOP)
        opened(visitor, f"{slovenia}/money")
        assert "0.00 EUR, as it must be" in visitor.text("dl.facts")
        assert "What each party (rows) paid to each (columns)" in visitor.text(".frame-content")

    def test_postings_are_filtered_and_paged(self, chrome: webdriver.Chrome, slovenia: str) -> None:
        visitor = Visitor(chrome, size=DESKTOP)
        opened(visitor, f"{slovenia}/money")
        table = visitor.named("Postings of the ledger")
        visitor.wait(lambda: "1-10 of" in table.text)
        table.find_element(By.CSS_SELECTOR, "button[aria-label='Next page']").click()
        visitor.wait(lambda: "11-20 of" in table.text)
        visitor.find("input[aria-label^='Filter by account']").send_keys("act-vpp-sava-1")
        visitor.wait(lambda: "1-10 of" in table.text)
        assert {row[4] for row in rows(visitor, "Postings of the ledger")} == {"act-vpp-sava-1"}


class TestContracts:
    def test_a_filter_leaves_those_that_have_the_word(self, chrome: webdriver.Chrome, slovenia: str) -> None:
        visitor = Visitor(chrome, size=DESKTOP)
        opened(visitor, f"{slovenia}/contracts")
        visitor.find("input[aria-label^='Filter by name']").send_keys("drava")
        visitor.wait(lambda: {row[4] for row in rows(visitor, "Contracts")} == {"vpp-drava"})
        links = visitor.all("[aria-label=Contracts] tbody tr:first-child a")
        assert links[0].text == "award"
        assert all("/negotiations?id=" in (each.get_attribute("href") or "") for each in links)


def test_the_pictures_of_the_readme_are_not_heavy() -> None:
    for name in ("market", "money"):
        assert (Path(chromium.PROJECT) / "docs" / f"page-{name}.png").stat().st_size < 250_000
