"""The negotiations in a browser: the list and its filters, a diagram that grows, the content of a message."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from tests.chromium import CONTRAST, DESKTOP, LEAST_CONTRAST, PHONE, Visitor, serving
from tests.environment.watched.test_negotiations import folder, many, subscription, to_owners
from tests.protocols.test_check import negotiation

LINE = ".neg-list tbody tr"
STEP = ".seq-msg"
MARKUP = "<script>document.title='taken'</script><b>bold</b>"


def names(visitor: Visitor, css: str = STEP) -> list[str]:
    return [each.accessible_name for each in visitor.all(css)]


def is_readable(visitor: Visitor) -> None:
    """Waits until the colours that the browser has chosen are there, and everything has contrast."""
    visitor.wait(
        lambda: visitor.chrome.execute_script(CONTRAST, LEAST_CONTRAST) == [],
        str(visitor.chrome.execute_script(CONTRAST, LEAST_CONTRAST)),
    )


def wait_for(visitor: Visitor, css: str, count: int) -> None:
    visitor.wait(lambda: len(visitor.all(css)) == count, f"{count} of {css}, not {len(visitor.all(css))}")


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[tuple[str, Callable[[int, int], None]]]:
    """Where a live run is served of whose trace only the header is there, and what adds lines of it."""
    lines = negotiation().lines
    path = folder(tmp_path / "run", lines[:1])

    def add(first: int, last: int) -> None:
        with (path / "trace.jsonl").open("a", encoding="utf-8") as trace:
            trace.writelines(f"{line}\n" for line in lines[first:last])

    with serving(path, live=True) as served:
        yield served.address.rstrip("/"), add


class TestTheList:
    def test_it_grows_and_is_filtered(
        self, chrome: webdriver.Chrome, growing: tuple[str, Callable[[int, int], None]]
    ) -> None:
        address, add = growing
        visitor = Visitor(chrome, size=DESKTOP)
        visitor.open(f"{address}/negotiations")
        visitor.wait(lambda: "No conversation is like that" in visitor.text(".neg-list"))
        add(1, 4)
        wait_for(visitor, LINE, 2)
        add(4, 18)
        wait_for(visitor, LINE, 5)
        assert "20 kW awarded of 20 kW offered" in visitor.text(".neg-list")
        field = visitor.named("Text: exchange, name or id")
        field.send_keys("activation signal")
        wait_for(visitor, LINE, 2)
        assert "text=activation+signal" in chrome.current_url
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(Keys.BACKSPACE)
        wait_for(visitor, LINE, 5)
        state = visitor.named("State")
        state.send_keys(Keys.ENTER)
        option = visitor.wait(lambda: next(each for each in visitor.all("[role=option]") if "subscribed" in each.text))
        option.click()
        wait_for(visitor, LINE, 1)
        assert "state=subscribed" in chrome.current_url
        assert visitor.complaints() == []

    def test_an_address_keeps_the_filters_and_leads_back_to_them(
        self, chrome: webdriver.Chrome, tmp_path: Path
    ) -> None:
        with serving(folder(tmp_path / "run", negotiation().lines)) as served:
            visitor = Visitor(chrome, size=DESKTOP)
            visitor.open(f"{served.address}negotiations?use=buc6&state=done")
            wait_for(visitor, LINE, 3)
            link = next(each for each in visitor.all(f"{LINE} a") if "6.1.1" in each.text)
            link.send_keys(Keys.ENTER)
            wait_for(visitor, STEP, 6)
            assert "6.1.1 Informs the pool: dso with vpp1 and vpp2" in visitor.text("h2")
            next(each for each in visitor.all("a") if "All negotiations" in each.text).click()
            wait_for(visitor, LINE, 3)

    def test_pages(self, chrome: webdriver.Chrome, tmp_path: Path) -> None:
        with serving(folder(tmp_path / "run", many(70))) as served:
            visitor = Visitor(chrome, size=DESKTOP)
            visitor.open(f"{served.address}negotiations")
            wait_for(visitor, LINE, 50)
            visitor.named("The next page").click()
            wait_for(visitor, LINE, 20)
            assert "51 to 70 of 70" in visitor.text(".neg-bar")
            visitor.named("The page before").click()
            wait_for(visitor, LINE, 50)


class TestTheDiagram:
    def test_it_grows_and_opens_by_keyboard(
        self, chrome: webdriver.Chrome, growing: tuple[str, Callable[[int, int], None]]
    ) -> None:
        address, add = growing
        visitor = Visitor(chrome, size=DESKTOP)
        visitor.open(f"{address}/negotiations?id=pool")
        visitor.wait(lambda: "has not begun" in visitor.text(".neg-facts"))
        add(1, 6)
        wait_for(visitor, STEP, 3)
        first = visitor.all(STEP)[0]
        add(6, 18)
        wait_for(visitor, STEP, 6)
        assert visitor.all(STEP)[0] == first, "what is there stays"
        bid = next(name for name in names(visitor) if "propose" in name)
        assert bid.split(" ", 1)[1].startswith("vpp1 to dso: propose 6.1.2 Market bid, ")
        assert "20 kW" in bid
        visitor.tab_to(f"[aria-label={json.dumps(bid)}]").send_keys(Keys.ENTER)
        visitor.wait(lambda: "D5.1 Table 9" in visitor.text(".msg-card"))
        said = visitor.wait(lambda: visitor.text(".msg-card"))
        assert "power_kw" in said
        assert "20 kW" in said
        assert "in-reply-to" in said
        assert '"exchange": "6.1.2"' in said
        is_readable(visitor)
        next(each for each in visitor.all(".msg-card button") if "Copy" in each.text).click()
        visitor.wait(lambda: "Copied" in visitor.text(".q-notifications"))
        ActionChains(chrome).send_keys(Keys.ESCAPE).perform()
        visitor.wait(lambda: not visitor.all(".msg-card"))
        visitor.wait(lambda: chrome.switch_to.active_element.accessible_name == bid, "focus comes back")
        visitor.is_named()
        assert visitor.complaints() == []

    def test_what_belongs_to_it_is_drawn_with_it_and_leads_on(self, chrome: webdriver.Chrome, tmp_path: Path) -> None:
        with serving(folder(tmp_path / "run", negotiation().lines)) as served:
            visitor = Visitor(chrome, size=DESKTOP)
            visitor.open(f"{served.address}negotiations?id=pool")
            wait_for(visitor, STEP, 6)
            visitor.all("[role=switch]")[0].click()
            wait_for(visitor, STEP, 14)
            assert [each.text.split("\n")[0] for each in visitor.all(".seq-head")] == [
                "DSO", "vpp1", "vpp2", "CPO", "owner1",
            ]  # fmt: skip
            next(each for each in visitor.all(".neg-links a") if "6.2.1" in each.text).click()
            wait_for(visitor, STEP, 3)
            assert "6.2.1 Activation signal" in visitor.text("h2")

    @pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
    def test_on_a_phone_it_is_a_list_of_who_said_what_to_whom(
        self, chrome: webdriver.Chrome, tmp_path: Path, dark: bool
    ) -> None:
        lines = negotiation().lines
        odd = json.loads(next(line for line in lines if '"6.1.2"' in line))
        lines.append(json.dumps({**odd, "reply-with": "odd", "at": json.loads(lines[-1])["at"]}))
        with serving(folder(tmp_path / "run", lines)) as served:
            visitor = Visitor(chrome, size=PHONE, dark=dark)
            visitor.open(f"{served.address}negotiations?id=pool&whole=1")
            wait_for(visitor, STEP, 15)
            assert visitor.all(".seq-ends")[0].text == "dso → vpp1"
            assert not visitor.all(".seq-arrow")[0].is_displayed()
            assert visitor.all(".seq-sign")[-1].text == "⚠ out of sequence"
            visitor.fits(touch="button")
            visitor.open(f"{served.address}negotiations")
            wait_for(visitor, LINE, 5)
            visitor.fits(touch="button")
            desk = Visitor(chrome, size=DESKTOP, dark=dark)
            desk.open(f"{served.address}negotiations?id=pool&whole=1")
            wait_for(desk, STEP, 15)
            is_readable(desk)
            desk.all(STEP)[0].click()
            desk.wait(lambda: desk.all(".msg-table"))
            is_readable(desk)
            assert visitor.complaints() == []

    def test_markup_in_a_field_is_shown_as_text(self, chrome: webdriver.Chrome, tmp_path: Path) -> None:
        lines = negotiation().lines
        for index, line in enumerate(lines):
            if '"performative":"refuse"' in line:
                told = json.loads(line)
                told["content"]["reason"] = MARKUP
                lines[index] = json.dumps(told)
        lines = [line.replace("owner1@localhost", "<i>owner</i>@localhost") for line in lines]
        with serving(folder(tmp_path / "run", lines)) as served:
            visitor = Visitor(chrome, size=DESKTOP)
            visitor.open(f"{served.address}negotiations?id=pool&whole=1")
            wait_for(visitor, STEP, 14)
            refusal = next(each for each in visitor.all(STEP) if "refuse" in each.text)
            assert MARKUP in refusal.text
            assert "<i>owner</i>" in visitor.text(".seq-heads")
            refusal.click()
            visitor.wait(lambda: visitor.text(".msg-card h2"))
            assert MARKUP in visitor.text(".msg-card h2")
            assert MARKUP in [each.text for each in visitor.all(".msg-table td")]
            visitor.open(f"{served.address}negotiations")
            wait_for(visitor, LINE, 5)
            assert "<i>owner</i>" in visitor.text(".neg-list")
            assert visitor.all(".neg-list i, .seq i, .seq b, .msg-card b") == []
            assert "taken" not in chrome.title

    def test_a_long_one_is_shown_in_parts(self, chrome: webdriver.Chrome, tmp_path: Path) -> None:
        lines = subscription(250)
        path = folder(tmp_path / "run", lines)
        with serving(path, live=True) as served:
            visitor = Visitor(chrome, size=DESKTOP)
            visitor.open(f"{served.address}negotiations?id=sub")
            visitor.wait(lambda: "152 to 251 of 251" in visitor.text(".neg-bar"), "it follows the end")
            wait_for(visitor, STEP, 100)
            with (path / "trace.jsonl").open("a", encoding="utf-8") as trace:
                trace.writelines(f"{line}\n" for line in subscription(253)[252:])
            visitor.wait(lambda: "155 to 254 of 254" in visitor.text(".neg-bar"))
            wait_for(visitor, STEP, 100)
            press(visitor, "Earlier")
            visitor.wait(lambda: "55 to 154 of 254" in visitor.text(".neg-bar"))
            press(visitor, "Earlier")
            visitor.wait(lambda: "1 to 100 of 254" in visitor.text(".neg-bar"))
            assert "subscribe" in names(visitor)[0]
            press(visitor, "Later")
            visitor.wait(lambda: "101 to 200 of 254" in visitor.text(".neg-bar"))
            wait_for(visitor, STEP, 100)

    def test_a_crowd_is_unfolded_and_folded_again(self, chrome: webdriver.Chrome, tmp_path: Path) -> None:
        with serving(folder(tmp_path / "run", to_owners())) as served:
            visitor = Visitor(chrome, size=DESKTOP)
            visitor.open(f"{served.address}negotiations?id=call")
            wait_for(visitor, STEP, 2)
            visitor.named("Unfold EV owners: a lifeline for each of 5").click()
            wait_for(visitor, STEP, 8)
            assert len(visitor.all(".seq-head")) == 6
            press(visitor, "Fold the crowds again")
            wait_for(visitor, STEP, 2)
            visitor.all(STEP)[0].click()
            visitor.wait(lambda: "message 1 of 5" in visitor.text(".msg-card"))
            visitor.named("The next one").click()
            visitor.wait(lambda: "message 2 of 5" in visitor.text(".msg-card"))
            assert "owner2" in visitor.text(".msg-card h2")


def press(visitor: Visitor, text: str) -> None:
    """Clicks the button with this text."""
    next(each for each in visitor.all(".neg-bar button") if text in each.text).click()
