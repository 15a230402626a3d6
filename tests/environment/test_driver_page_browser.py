"""A person goes through the driver's page in a browser: Debian's Chromium, headless, as wide as a phone.

Skipped where Chromium or its driver is not installed, but never in CI.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from protocols import exchanges as x
from tests.agents.charging_stage import Slot
from tests.environment.driver_stage import PageStage, play

PHONE = (360, 740)
TOUCH_PX = 44
SPEED = 240.0
PATIENCE_S = 20
TABS = 40
LEAST_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, level AA; 3 for large text."""

_CONTRAST = """
const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (at) => {
  for (; at; at = at.parentElement) {
    const found = rgb(getComputedStyle(at).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found;
  }
  return [255, 255, 255];
};
const poor = [];
for (const each of document.body.querySelectorAll("*")) {
  const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const style = getComputedStyle(each);
  if (!own || style.clipPath !== "none" || each.closest("noscript, option")) continue;
  const [a, b] = [light(rgb(style.color)), light(behind(each))].sort((p, q) => q - p);
  const ratio = (a + 0.05) / (b + 0.05), large = parseFloat(style.fontSize) >= 24;
  if (ratio < (large ? 3 : arguments[0])) poor.push(each.textContent.trim().slice(0, 30) + " " + ratio.toFixed(2));
}
return poor;
"""


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    service = shutil.which("chromedriver")
    if program is None or service is None:
        assert not os.environ.get("CI"), "CI must have Chromium: apt-get install -y chromium chromium-driver"
        pytest.skip("Chromium or its driver is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    profile = tmp_path_factory.mktemp("chromium")
    # no-sandbox: a container's root may not make one; the only page that is opened is our own
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(service))
    yield browser
    browser.quit()


class Visit:
    """One person at the page."""

    def __init__(
        self, chrome: webdriver.Chrome, stage: PageStage, *, dark: bool = False, width: int = PHONE[0]
    ) -> None:
        self.chrome, self.stage = chrome, stage
        size = {"width": width, "height": PHONE[1], "deviceScaleFactor": 2, "mobile": True}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        chrome.get_log("browser")
        chrome.get(stage.page.address)

    @property
    def heading(self) -> str:
        return self.chrome.find_element(By.TAG_NAME, "h1").text

    def find(self, css: str) -> WebElement:
        return self.chrome.find_element(By.CSS_SELECTOR, css)

    def text(self, css: str) -> str:
        return self.find(css).text

    def wait(self, until: Callable[[], Any]) -> Any:
        return WebDriverWait(self.chrome, PATIENCE_S, poll_frequency=0.05, ignored_exceptions=(Exception,)).until(
            lambda _: until()
        )

    def tab_to(self, css: str) -> WebElement:
        """Presses Tab until the element has the focus."""
        for _ in range(TABS):
            focus = self.chrome.switch_to.active_element
            if focus == self.find(css):
                return focus
            focus.send_keys(Keys.TAB)
        raise AssertionError(f"the keyboard does not reach {css}")

    def write(self, name: str, text: str) -> None:
        field = self.tab_to(f"#{name}")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def press(self, css: str) -> None:
        self.tab_to(css).send_keys(Keys.ENTER)

    def fits(self) -> None:
        """Nothing is wider than the screen, everything can be touched, read, and has a name."""
        wide, screen = self.chrome.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= screen, f"{self.heading}: {wide} px on a screen of {screen}"
        for each in self.chrome.find_elements(By.CSS_SELECTOR, "button, input, select"):
            if each.is_displayed():
                assert each.rect["height"] >= TOUCH_PX, each.get_attribute("outerHTML")
                assert each.accessible_name, each.get_attribute("outerHTML")
        assert self.chrome.execute_script(_CONTRAST, LEAST_CONTRAST) == []

    def complaints(self) -> list[str]:
        """What the browser holds against the page; that a form was wrong (422) is no fault of it."""
        return [
            e["message"] for e in self.chrome.get_log("browser") if e["level"] == "SEVERE" and "422" not in e["message"]
        ]


def go(chrome: webdriver.Chrome, body: Callable[[Visit], None], *, until: float = 180, **look: Any) -> PageStage:
    """A visit on a stage on which no time passes before the person says so."""

    async def script(stage: PageStage) -> None:
        stage.ppc.slots = (Slot("koropi-east", 15, 45, "0.43"), Slot("koropi-north", 30, 60, "0.52", north_km=1.6))
        await stage.ppc.lower("koropi-east", "0.43", "0.52", 0, until)
        await stage.settle()
        await asyncio.to_thread(lambda: body(Visit(chrome, stage, **look)))

    return play(script, speed=SPEED, held=True)


def test_a_person_with_a_phone_and_a_keyboard_goes_from_the_wish_to_the_receipt(chrome: webdriver.Chrome) -> None:
    def body(visit: Visit) -> None:
        assert visit.heading == "Where can you leave the car?"
        assert "Koropi east" in visit.text(".cheaper")
        visit.fits()
        visit.write("wanted", "70")
        visit.press("button.main")
        visit.wait(lambda: visit.heading == "3 choices")
        visit.fits()
        cheapest = visit.find(".card")
        assert "lowered" in cheapest.get_attribute("class")
        assert "8.60 €" in cheapest.text
        assert cheapest.find_element(By.TAG_NAME, "s").text.endswith("0.52")
        visit.press(".card button")
        visit.wait(lambda: visit.heading == "Booked")
        visit.fits()
        visit.stage.go()
        visit.wait(lambda: visit.heading == "Charging")
        visit.fits()
        before = visit.wait(lambda: float(visit.text("#kwh")))
        assert visit.text("#kw") == "40.0"
        visit.wait(lambda: float(visit.text("#kwh")) > before)
        visit.wait(lambda: float(visit.text("#cost")) > 0)
        visit.wait(lambda: visit.heading == "Paid")
        assert visit.text("#amount") == "8.60 €"
        visit.fits()
        visit.press("button.main")
        visit.wait(lambda: visit.heading == "Where can you leave the car?")
        assert visit.find("#wanted").get_attribute("value") == "70"
        assert visit.complaints() == []

    stage = go(chrome, body)
    script = [line for line in stage.recorder.script() if "driver-page" in line]
    assert script[script.index("driver-page > ppc: cfp") :] == [
        "driver-page > ppc: cfp",
        "driver-page > second: cfp",
        "ppc > driver-page: propose",
        "second > driver-page: propose",
        "driver-page > ppc: accept-proposal",
        "driver-page > second: reject-proposal",
        "ppc > driver-page: inform",
    ]
    assert stage.said(x.ChargingRequest)[0].energy_kwh == 20.0


def test_a_form_with_faults_says_so_beside_each_field_in_the_dark_too(chrome: webdriver.Chrome) -> None:
    def body(visit: Visit) -> None:
        assert not visit.find("#latitude").is_displayed()
        visit.tab_to("#place").send_keys(Keys.END)
        assert visit.find("#latitude").is_displayed()
        visit.write("latitude", "north")
        visit.write("longitude", "23.9")
        visit.write("wanted", "20")
        visit.press("button.main")
        visit.wait(lambda: visit.find(".fault"))
        faults = {f.get_attribute("id"): f.text for f in visit.chrome.find_elements(By.CSS_SELECTOR, ".fault")}
        assert faults == {"latitude-fault": "Give -90 to 90°.", "wanted-fault": "Give 32 % or more."}
        assert visit.find("#wanted").get_attribute("aria-describedby") == "wanted-fault"
        below = visit.find("#wanted-fault").rect["y"] - visit.find("#wanted").rect["y"]
        assert TOUCH_PX <= below < 2 * TOUCH_PX
        assert visit.find("#longitude").get_attribute("value") == "23.9"
        visit.fits()
        page = visit.find("body").value_of_css_property("background-color")
        assert page == "rgba(14, 18, 22, 1)"
        assert visit.complaints() == []

    stage = go(chrome, body, dark=True)
    assert stage.said(x.ChargingRequest) == []


def test_time_goes_on_while_the_form_is_filled_in_and_what_was_written_stays(chrome: webdriver.Chrome) -> None:
    def body(visit: Visit) -> None:
        leaves = visit.find("#departure").get_attribute("value")
        visit.write("wanted", "66")
        visit.stage.go()
        visit.wait(lambda: visit.text("#clock") > "09:05")
        visit.wait(lambda: (visit.find("#departure").get_attribute("value") or "") > (leaves or ""))
        assert visit.find("#wanted").get_attribute("value") == "66"
        assert "Koropi east" in visit.text(".cheaper")
        field = visit.tab_to("#departure")
        visit.chrome.execute_script("arguments[0].value = '16:30'", field)
        clock = visit.text("#clock")
        visit.wait(lambda: visit.text("#clock") > clock)
        assert visit.find("#departure").get_attribute("value") == "16:30"
        visit.wait(lambda: not visit.chrome.find_elements(By.CSS_SELECTOR, ".cheaper"))
        visit.fits()
        assert visit.complaints() == []

    go(chrome, body, until=60)


def test_a_choice_that_another_driver_takes_meanwhile_is_told_and_another_one_picked(chrome: webdriver.Chrome) -> None:
    def body(visit: Visit) -> None:
        visit.press("button.main")
        visit.wait(lambda: "choices" in visit.heading)
        visit.stage.ppc.says = {1: "taken"}
        visit.stage.ppc.slots = visit.stage.ppc.slots[1:]
        visit.press(".card button")
        visit.wait(lambda: visit.text("[role=alert]") == "That choice was gone meanwhile. These are left.")
        assert visit.heading == "2 choices"
        visit.fits()
        visit.press(".card button")
        visit.wait(lambda: visit.heading == "Booked")
        visit.press("button.plain")
        visit.wait(lambda: visit.text("[role=alert]") == "Called off. Nothing is due.")

    go(chrome, body, width=1280)


def test_the_shipped_picture_is_of_a_phone() -> None:
    picture = Path(__file__).parents[2] / "docs" / "driver-page.png"
    header = picture.read_bytes()[:24]
    assert int.from_bytes(header[16:20], "big") == 2 * PHONE[0]
