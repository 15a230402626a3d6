"""The driver's page over HTTP: what its forms do, who may see it, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from agents.page_driver import Phase
from environment import casts, scenario
from environment.driver_page import DriverPage, DriverPageError
from environment.driver_stage import page_of, with_person
from environment.launcher import streams
from environment.options import Options, OptionsError
from environment.public_scenario import PublicScenario
from environment.world import build
from tests.agents.charging_stage import Slot
from tests.environment.driver_stage import ATHENS, PLACES, PageStage, play

WISH = {"place": "koropi", "soc": "30", "wanted": "70", "departure": "22:00", "within": "8"}


@asynccontextmanager
async def visitor(stage: PageStage) -> Any:
    """A browser without scripts: `get()` and `post(path, form)` give status and text, redirects followed."""
    async with aiohttp.ClientSession() as session:
        yield Visitor(session, stage.page.address)


class Visitor:
    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session, self._address = session, address

    async def get(self, path: str = "", **headers: str) -> tuple[int, str]:
        async with self._session.get(self._address + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, form: dict[str, str] | bytes, **headers: str) -> tuple[int, str]:
        async with self._session.post(self._address + path, data=form, headers=headers) as answer:
            return answer.status, await answer.text()


def test_the_form_leads_to_choices_a_booking_and_back() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            status, text = await browser.get()
            assert status == 200
            assert "Where can you leave the car?" in text
            status, text = await browser.post("ask", WISH)
            assert status == 200
            assert "2 choices" in text
            assert text.index("Koropi east") < text.index("Markopoulo")
            assert "10.00 €" in text
            status, text = await browser.post("pick", {"choice": "ppc-1"})
            assert "<h1>Booked" in text
            assert stage.ppc.picked == ["ppc-1"]
            status, text = await browser.post("call-off", {})
            assert "Called off. Nothing is due." in text

    play(script)


def test_what_is_wrong_stands_beside_its_field_and_the_rest_is_kept() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            status, text = await browser.post("ask", WISH | {"wanted": "10", "within": "7"})
        assert status == 422
        assert '<p class="fault" id="wanted-fault">Give 32 % or more.</p>' in text
        assert 'aria-describedby="wanted-fault"' in text
        assert text.count('class="fault"') == 1
        assert 'name="within" type="text" value="7"' in text
        assert stage.ppc.requests == []

    play(script)


def test_lowered_prices_are_shown_before_and_in_the_choices() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            assert "Cheaper while the sun shines" not in (await browser.get())[1]
            stage.ppc.slots = (Slot("koropi-east", 30, 60, "0.43"),)
            await stage.ppc.lower("koropi-east", "0.43", "0.52", 0, 300)
            await stage.settle()
            _, text = await browser.get()
            assert "Cheaper while the sun shines" in text
            _, text = await browser.post("ask", WISH)
            assert text.count("card lowered") == 1
            assert "0.52</s> 0.43 €/kWh" in text

    play(script)


def test_the_receipt_says_that_the_car_left_with_less_than_asked_for() -> None:
    async def script(stage: PageStage) -> None:
        stage.car.power_kw = 32.0
        async with visitor(stage) as browser:
            await browser.post("ask", WISH)
            await browser.post("pick", {"choice": "ppc-1"})
            stage.go()
            for _ in range(200):
                _, text = await browser.get()
                if "Paid" in text:
                    break
                await asyncio.sleep(0.05)
        assert "The car left with 6" in text
        assert "less than the 70 % asked for" in text

    play(script, speed=3600, held=True)


def test_the_person_s_car_buys_what_is_lost_on_the_way_into_its_battery() -> None:
    async def script(stage: PageStage) -> None:
        loaded = scenario.load("greece", days=1)
        page_of(loaded, [stage.driver], port=0, speed=1.0)
        assert stage.driver.efficiency == 0.94

    play(script)


def test_a_pick_that_is_gone_shows_what_is_left() -> None:
    async def script(stage: PageStage) -> None:
        stage.ppc.says = {1: "taken"}
        async with visitor(stage) as browser:
            await browser.post("ask", WISH)
            stage.ppc.slots = ()
            _, text = await browser.post("pick", {"choice": "ppc-1"})
        assert "That choice was gone meanwhile. These are left." in text
        assert "1 choice<" in text

    play(script)


def test_what_goes_on_while_a_form_is_filled_in_is_a_fragment() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            status, text = await browser.get("now")
            assert status == 200
            assert '<span id="clock">09:00</span>' in text
            assert 'value="12:00"' in text
            assert "Cheaper" not in text
            assert "<html" not in text
            await stage.ppc.lower("koropi-east", "0.43", "0.52", 0, 300)
            await stage.settle()
            assert "Koropi east" in (await browser.get("now"))[1]
            assert (await browser.get("now", Host="evil.example"))[0] == 403

    play(script, held=True)


def test_a_departure_that_has_passed_is_refused_beside_its_field() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            status, text = await browser.post("ask", WISH | {"departure": "08:30"})
            assert status == 422
            assert '<p class="fault" id="departure-fault">Has passed: it is 09:00 now.</p>' in text
            assert "data-proposed" not in text
            _, text = await browser.post("ask", WISH | {"departure": "08:30", "day": "2026-06-02"})
            assert "to Tue 08:30" in text

    play(script, held=True)


def test_choices_are_held_until_the_first_begins_at_the_latest() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            _, text = await browser.post("ask", WISH)
            assert 'Held until <span id="held">09:10</span>' in text
            assert "from 09:15 (15 min to get there) to 22:00" in text
            stage.ppc.offer_minutes = stage.second.offer_minutes = 200
            _, text = await browser.post("ask", WISH)
            assert 'Held until <span id="held">09:30</span>' in text

    play(script, held=True)


def test_nothing_near_is_told_so_without_addresses() -> None:
    async def script(stage: PageStage) -> None:
        stage.ppc.slots = stage.second.slots = ()
        stage.ppc.reason = stage.second.reason = "none of my stations is within 8 km"
        async with visitor(stage) as browser:
            _, text = await browser.post("ask", WISH)
            assert "<h1>No station within 8 km</h1>" in text
            stage.ppc.reason = "none of my stations has room then"
            _, more = await browser.post("ask", WISH)
        assert "<h1>Nothing is free</h1>" in more
        assert "<li>second: no station within 8 km</li>" in more
        for each in (text, more):
            assert "@" not in each
            assert "refused by" not in each

    play(script)


@pytest.mark.parametrize("form", [{}, {"choice": "ppc-77"}, {"choice": "<script>"}])
def test_a_pick_of_nothing_is_told_in_a_line(form: dict[str, str]) -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            await browser.post("ask", WISH)
            status, text = await browser.post("pick", form)
        assert status == 200
        assert "That is none of the choices" in text
        assert stage.driver.phase is Phase.CHOOSING

    play(script)


def test_asking_in_the_middle_of_a_session_is_told_in_a_line() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            await browser.post("ask", WISH)
            await browser.post("pick", {"choice": "ppc-1"})
            _, text = await browser.post("ask", WISH)
        assert "a session is under way: it has to end, or be called off, first." in text

    play(script)


def test_reasons_of_strangers_are_text_and_no_page() -> None:
    async def script(stage: PageStage) -> None:
        stage.driver.line = "<script>alert(1)</script>"
        async with visitor(stage) as browser:
            _, text = await browser.get()
        assert "<script>alert(1)" not in text
        assert "&lt;script&gt;alert(1)" in text

    play(script)


def test_only_this_machine_s_own_page_is_served() -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            assert (await browser.get("", Host="evil.example"))[0] == 403
            assert (await browser.post("ask", WISH, Origin="http://evil.example"))[0] == 403
            assert (await browser.post("ask", WISH, Origin="null"))[0] == 403
            assert (await browser.post("ask", WISH, Origin=stage.page.address.rstrip("/")))[0] == 200
        assert len(stage.ppc.requests) == 1

    play(script)


def test_nothing_of_the_page_comes_from_elsewhere() -> None:
    async def script(stage: PageStage) -> None:
        async with aiohttp.ClientSession() as session, session.get(stage.page.address) as answer:
            text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "http://" not in text
        assert "https://" not in text
        async with visitor(stage) as browser:
            assert "--page" in (await browser.get("driver.css"))[1]
            assert "fetch" in (await browser.get("driver.js"))[1]
            assert (await browser.get("../driver_page.py"))[0] == 404

    play(script)


@pytest.mark.parametrize("body", [b"\xff\xfe", urlencode({"soc": "1" * 20_000}).encode()])
def test_a_form_that_is_none_does_no_harm(body: bytes) -> None:
    async def script(stage: PageStage) -> None:
        async with visitor(stage) as browser:
            status, _ = await browser.post("ask", body, **{"Content-Type": "application/x-www-form-urlencoded"})
            assert status in (413, 422)
            assert (await browser.get())[0] == 200

    play(script)


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async def script(stage: PageStage) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            page = DriverPage(stage.driver, places=PLACES, zone=ATHENS, port=port)
            with pytest.raises(DriverPageError, match=f"--driver-page {port}: cannot be served there") as caught:
                await page.start()
            assert "\n" not in str(caught.value)

    play(script)


def test_a_port_that_is_taken_is_told_before_anything_is_started(tmp_path: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OptionsError, match=f"--driver-page {port}: cannot be served there") as caught:
            Options(out=tmp_path, driver_page=port, speed=20.0).check()
        assert "\n" not in str(caught.value)
    Options(out=tmp_path, driver_page=port, speed=20.0).check()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"driver_page": 70_000, "speed": 60.0}, "--driver-page 70000: is no port"),
        ({"driver_page": 0}, "--driver-page: needs time that passes"),
    ],
)
def test_options_that_make_no_page_are_refused(options: dict[str, Any], line: str, tmp_path: Any) -> None:
    with pytest.raises(OptionsError, match=line):
        Options(out=tmp_path, **options).check()


def test_a_person_is_one_driver_more_with_a_car_and_without_needs() -> None:
    loaded = scenario.load("greece", days=1)
    assert isinstance(loaded, PublicScenario)
    person = with_person(loaded)
    assert casts.roles(person, "here").keys() - casts.roles(loaded, "here").keys() == {"driver-page@here"}
    assert isinstance(person, PublicScenario)
    plant = build(person, streams(1))
    assert plant.public is not None
    *drawn, car = plant.public.cars()
    assert (car.vehicle_id, car.capacity_kwh) == ("driver-page", 58.5)
    assert len(drawn) == len(plant.public.needs.drivers) == loaded.people.drivers


def test_where_there_are_no_public_stations_nobody_can_be_a_driver() -> None:
    with pytest.raises(OptionsError, match="--driver-page: slovenia has no public stations"):
        with_person(scenario.load("slovenia"))
