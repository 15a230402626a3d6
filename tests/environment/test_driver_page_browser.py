"""A person goes through the driver's page in a browser: Debian's Chromium, headless, as wide as a phone.

Skipped where Chromium or its driver is not installed, but never in CI.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from protocols import exchanges as x
from tests.agents.charging_stage import Slot
from tests.chromium import PHONE, TOUCH_PX, Visitor
from tests.environment.driver_stage import PageStage, play

SPEED = 240.0


class Visit(Visitor):
    """One person at the driver's page."""

    def __init__(
        self, chrome: webdriver.Chrome, stage: PageStage, *, dark: bool = False, width: int = PHONE[0]
    ) -> None:
        super().__init__(chrome, size=(width, PHONE[1]), dark=dark)
        self.stage = stage
        self.open(stage.page.address)


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
