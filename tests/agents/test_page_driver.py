"""A person as a driver: one errand at a time, the same exchanges, and what is to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from agents.page_driver import GONE, GONE_AND_FOUND, PageDriver, Phase, Wish, in_words
from protocols import exchanges as x
from tests.agents.charging_stage import HERE, OFFER_MINUTES, FakeCar, PlainCpo, Slot
from tests.agents.stage import Stage, at
from tests.swarm import run_swarm

NEAR, DEAR = Slot("hub1", 60, 90, "0.50"), Slot("far1", 60, 90, "0.70", north_km=4)


class Scene:
    """Two operators, a person's driver and its car."""

    def __init__(self, stage: Stage, ppc: PlainCpo, second: PlainCpo, driver: PageDriver, car: FakeCar) -> None:
        self.stage, self.ppc, self.second, self.driver, self.car = stage, ppc, second, driver, car

    async def ask(self, departure: float = 240) -> None:
        await self.driver.ask(Wish(*HERE, 30.0, 70.0, at(departure), 8.0))

    def ids(self) -> list[str]:
        return [found.choice.choice_id for found in self.driver.status().choices]

    async def pick(self, choice_id: str) -> None:
        assert await self.driver.pick(choice_id)
        await self.stage.settle()


def play(script: Callable[[Scene], Awaitable[Any]]) -> Stage:
    async def main(stage: Any) -> None:
        ppc, second = await stage.start(PlainCpo, "ppc"), await stage.start(PlainCpo, "second")
        ppc.slots, second.slots = (NEAR,), (DEAR,)
        car = FakeCar(stage)
        driver = await stage.start(PageDriver, "driver-page", car=car, ledger=stage.ledger, until=at(6000))
        driver.spawn(driver.course(), "course")
        await stage.until(5)
        await script(Scene(stage, ppc, second, driver, car))

    stage = Stage()
    run_swarm(main, stage)
    return stage


def test_a_person_asks_picks_charges_and_pays() -> None:
    phases: list[Phase] = []

    async def script(scene: Scene) -> None:
        stage, driver = scene.stage, scene.driver
        phases.append(driver.phase)
        await scene.ask()
        phases.append(driver.phase)
        assert scene.ids() == ["ppc-1", "second-1"]
        await scene.pick("ppc-1")
        phases.append(driver.phase)
        assert (scene.ppc.picked, scene.second.turned_down) == (["ppc-1"], 1)
        await stage.until(75)
        phases.append(driver.phase)
        status = driver.status()
        assert status.reading is not None
        assert (status.reading.charged_kwh, status.reading.soc_percent) == (10.0, 50.0)
        assert status.cost_eur == Decimal("5.00")
        await stage.until(91)
        phases.append(driver.phase)
        status = driver.status()
        assert status.receipt is not None
        assert (status.receipt.amount_eur, status.paid) == (Decimal("10.00"), True)
        assert stage.balance("ppc") == Decimal("10.00")
        await driver.put_away()
        phases.append(driver.phase)

    stage = play(script)
    assert phases == [Phase.IDLE, Phase.CHOOSING, Phase.BOOKED, Phase.CHARGING, Phase.OVER, Phase.IDLE]
    (request,) = {r.request_id: r for r in stage.said(x.ChargingRequest)}.values()
    assert (request.soc_percent, request.energy_kwh, request.within_km) == (30.0, 20.0, 8.0)
    assert (request.stays[0].arrival, request.stays[0].departure) == (at(20), at(240))
    assert not stage.notices


def test_what_is_lost_on_the_way_into_the_battery_is_asked_for_too() -> None:
    async def script(scene: Scene) -> None:
        scene.driver.efficiency = 0.8
        await scene.ask()
        assert scene.ppc.requests[0].energy_kwh == 25.0
        await scene.pick("ppc-1")  # which gives 20
        assert scene.driver.status().goal_percent == 62.0

    play(script)


@pytest.mark.parametrize(("power_kw", "short"), [(40.0, 0.0), (39.6, 0.0), (32.0, 8.0)])
def test_a_car_that_leaves_with_less_than_asked_for_is_told_of(power_kw: float, short: float) -> None:
    async def script(scene: Scene) -> None:
        scene.car.power_kw = power_kw
        await scene.ask()
        await scene.pick("ppc-1")
        assert scene.driver.status().short_percent == 0.0
        await scene.stage.until(91)
        assert scene.driver.status().short_percent == short

    play(script)


@pytest.mark.parametrize("code", ["taken", "expired"])
def test_what_is_gone_is_asked_for_again_and_the_same_is_booked_where_it_is_to_be_had(code: str) -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.says = {1: code}
        await scene.ask()
        await scene.pick("ppc-1")
        assert scene.driver.phase is Phase.BOOKED
        assert scene.driver.line == GONE_AND_FOUND
        assert scene.ppc.picked == ["ppc-1", "ppc-2"]
        await scene.stage.until(59)
        assert scene.driver.line == GONE_AND_FOUND
        await scene.stage.until(61)
        assert (scene.driver.phase, scene.driver.line) == (Phase.CHARGING, "")
        await scene.stage.until(91)
        assert (scene.driver.phase, scene.driver.line) == (Phase.OVER, "")

    play(script)


def test_what_was_asked_in_the_middle_of_a_session_is_over_with_it() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.pick("ppc-1")
        await scene.stage.until(75)
        assert not await scene.driver.call_off()
        assert scene.driver.line == "There is nothing to call off."
        await scene.stage.until(91)
        assert scene.driver.line == ""

    play(script)


def test_who_asks_once_more_has_the_way_before_them_still() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.stage.until(40)
        await scene.pick("ppc-1")
        assert [each.stays[0].arrival for each in scene.ppc.requests] == [at(20), at(55)]

    play(script)


def test_what_is_gone_at_a_higher_price_is_left_to_the_person() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.says = {1: "taken"}
        await scene.ask()
        scene.ppc.slots = (Slot("hub1", 60, 90, "0.51"),)
        await scene.pick("ppc-1")
        assert scene.driver.phase is Phase.CHOOSING
        assert scene.driver.line == GONE
        assert scene.ids() == ["ppc-2", "second-2"]
        await scene.pick("second-2")
        assert scene.driver.phase is Phase.BOOKED

    play(script)


def test_a_choice_is_not_taken_again_and_again_for_the_person() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.says = dict.fromkeys(range(1, 9), "taken")
        await scene.ask()
        await scene.pick("ppc-1")
        assert scene.ppc.picked == ["ppc-1", "ppc-2"]
        assert scene.driver.phase is Phase.CHOOSING

    play(script)


def test_a_person_who_took_too_long_gets_the_same_if_it_is_still_there() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.stage.until(5 + OFFER_MINUTES + 1)
        await scene.pick("ppc-1")
        assert scene.driver.phase is Phase.BOOKED
        assert scene.ppc.picked == ["ppc-2"]

    play(script)


def test_what_would_have_begun_is_not_sent_but_asked_for_anew() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.offer_minutes = 200
        await scene.ask()
        await scene.stage.until(60)
        scene.ppc.slots = (Slot("hub1", 75, 105, "0.50"),)
        await scene.pick("ppc-1")
        assert scene.ppc.picked == ["ppc-2"]
        assert scene.driver.line == GONE_AND_FOUND
        await scene.stage.until(120)
        assert [minute for minute, _ in scene.car.events] == [75, 105]

    play(script)


def test_a_booking_is_called_off() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.pick("ppc-1")
        assert await scene.driver.call_off()
        assert scene.driver.phase is Phase.IDLE
        assert scene.driver.line == "Called off. Nothing is due."
        await scene.stage.until(120)
        assert scene.car.events == []

    stage = play(script)
    assert [c.reference for c in stage.said(x.Cancellation)] == ["driver-page-1"]


def test_an_operator_that_does_not_let_go_is_told_of_and_the_booking_stays() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.keeps = {"driver-page-1"}
        await scene.ask()
        await scene.pick("ppc-1")
        assert not await scene.driver.call_off()
        assert "does not let go" in scene.driver.line
        assert scene.driver.phase is Phase.BOOKED
        await scene.stage.until(91)
        assert scene.stage.balance("ppc") == Decimal("10.00")

    play(script)


def test_nothing_is_called_off_where_nothing_is_booked() -> None:
    async def script(scene: Scene) -> None:
        assert not await scene.driver.call_off()
        assert scene.driver.line == "There is nothing to call off."

    play(script)


def test_a_choice_that_was_not_offered_is_not_picked() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        assert not await scene.driver.pick("ppc-99")
        assert scene.driver.line.startswith("That is none of the choices")
        assert scene.driver.phase is Phase.CHOOSING

    play(script)


def test_nobody_asks_while_a_session_is_under_way() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.pick("ppc-1")
        with pytest.raises(ValueError, match="a session is under way"):
            await scene.ask()
        await scene.stage.until(75)
        with pytest.raises(ValueError, match="a session is under way"):
            await scene.ask()

    play(script)


def test_asking_anew_turns_the_choices_before_down() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.ask()
        await scene.stage.settle()
        assert (scene.ppc.turned_down, scene.second.turned_down) == (1, 1)
        assert scene.ids() == ["ppc-2", "second-2"]

    play(script)


def test_a_form_that_is_sent_twice_leaves_no_choices_unanswered() -> None:
    async def script(scene: Scene) -> None:
        await asyncio.gather(scene.ask(), scene.ask())
        await scene.stage.settle()
        assert (scene.ppc.turned_down, scene.second.turned_down) == (1, 1)
        assert scene.ids() == ["ppc-2", "second-2"]

    play(script)


def test_where_nothing_is_free_the_operators_reasons_are_told() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.slots = scene.second.slots = ()
        await scene.ask()
        status = scene.driver.status()
        assert (status.phase, status.choices) == (Phase.CHOOSING, ())
        assert status.said == tuple(f"{cpo}: no charger is free" for cpo in ("ppc", "second"))

    play(script)


def test_where_every_station_is_too_far_that_is_what_is_told() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.slots = scene.second.slots = ()
        scene.ppc.reason = scene.second.reason = "none of my stations is within 8 km"
        await scene.ask()
        status = scene.driver.status()
        assert status.none_near
        assert status.said == ("ppc: no station within 8 km", "second: no station within 8 km")
        scene.second.reason = "none of my stations has room then"
        await scene.ask()
        assert not scene.driver.status().none_near

    play(script)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("refused by ppc@localhost: no charger is free", "ppc: no charger is free"),
        ("no receipt for x-1: failed by ppc@ev.example.: gone", "no receipt for x-1: ppc.: gone"),
        ("no answer from second@localhost", "no answer from second"),
        ("the gate was closed by Ann", "the gate was closed by Ann"),
    ],
)
def test_a_person_reads_names_and_no_addresses(said: str, words: str) -> None:
    assert in_words(said) == words


def test_a_charger_that_is_taken_is_told_to_the_person() -> None:
    async def script(scene: Scene) -> None:
        scene.car.fault = "hub1-1 is taken by car-7"
        await scene.ask()
        await scene.pick("ppc-1")
        await scene.stage.until(120)
        status = scene.driver.status()
        assert status.phase is Phase.OVER
        assert status.receipt is None
        assert "hub1-1 is taken by car-7" in status.line

    play(script)


def test_a_receipt_that_does_not_follow_the_choice_is_shown_and_not_paid() -> None:
    async def script(scene: Scene) -> None:
        scene.ppc.receipt = {"amount_eur": Decimal("99.00")}
        await scene.ask()
        await scene.pick("ppc-1")
        await scene.stage.until(91)
        status = scene.driver.status()
        assert status.receipt is not None
        assert not status.paid
        assert "does not pay r-ppc-1" in status.line

    play(script)


def test_lowered_prices_are_shown_while_they_last() -> None:
    async def script(scene: Scene) -> None:
        driver = scene.driver
        assert await scene.ppc.lower("hub1", "0.43", "0.52", 60, 120) == 1
        await scene.stage.settle()
        assert [(each.station.station_id, each.start) for each in driver.lowered()] == [("hub1", at(60))]
        await scene.ppc.lower("hub1", "0.43", "0.52", 120, 150)
        await scene.ppc.lower("hub1", "0.40", "0.52", 150, 180)
        await scene.stage.settle()
        assert [(each.start, each.end) for each in driver.lowered()] == [(at(60), at(150)), (at(150), at(180))]
        assert driver.usual_price("hub1", at(45), at(75)) == Decimal("0.52")
        assert driver.usual_price("hub1", at(180), at(210)) is None
        assert driver.usual_price("hub1", at(30), at(60)) is None
        assert driver.usual_price("far1", at(60), at(90)) is None
        await scene.stage.until(180)
        assert driver.lowered() == []

    play(script)


def test_a_lowered_price_does_not_move_a_person() -> None:
    async def script(scene: Scene) -> None:
        await scene.ask()
        await scene.pick("second-1")
        await scene.ppc.lower("hub1", "0.01", "0.52", 60, 120)
        await scene.stage.until(30)
        assert len(scene.ppc.requests) == 1

    play(script)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish(*HERE, 70.0, 70.0, at(240), 8.0), "not above the charge on arrival"),
        (Wish(*HERE, 30.0, 70.0, at(5), 8.0), "departure has passed"),
        (Wish(*HERE, 30.0, 70.0, at(20), 8.0), "departure is too soon"),
    ],
)
def test_a_wish_that_cannot_be_asked_for_is_refused(wish: Wish, why: str) -> None:
    async def script(scene: Scene) -> None:
        with pytest.raises(ValueError, match=why):
            await scene.driver.ask(wish)
        assert scene.driver.phase is Phase.IDLE

    play(script)
