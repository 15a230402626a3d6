"""Limits that were sold, activated and kept: every second, with a silent charger, and without the agent (BUC 5.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from behaviours.outcomes import Informed
from environment.charger_device import ChargerFault
from protocols import exchanges as x
from tests.agents.stage import at
from tests.agents.station_stage import CLOSES, HUB, OPENS, StationStage, limit, open_all, sell
from tests.swarm import run_swarm

WATT = 1e-3


def play(
    script: Callable[[StationStage, Mapping[str, Any]], Awaitable[Any]], drivers: int = 6, **terms: Any
) -> StationStage:
    """The station's limit of 60 kW is sold before the script begins, at minute 10."""
    stage = StationStage()

    async def main(_: Any) -> None:
        who = await open_all(stage, drivers)
        await stage.until(10)
        await sell(stage, who["fmo"], **terms)
        await script(stage, who)

    run_swarm(main, stage)
    return stage


async def book(
    stage: StationStage, who: Mapping[str, Any], number: int, arrival: float, departure: float, **asks: Any
) -> tuple[x.ChargingChoice, Any]:
    """The driver of that number takes the first choice, comes when it starts, and stays until the departure."""
    (choice, *_) = await who[f"d{number}"].ask(arrival, departure, **asks)
    starts = (choice.start - at(0)) / timedelta(minutes=1)
    ends = (choice.end - at(0)) / timedelta(minutes=1)
    stage.plug_in(number, choice.charger_id, starts, ends)
    receipt = who[f"d{number}"].pick(choice)
    await stage.settle()
    return choice, receipt


def test_offers_keep_a_limit_from_its_activation_on_and_so_does_the_station() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        assert isinstance(await who["dso"].send(limit()), Informed)
        booked = [await book(stage, who, n, OPENS, CLOSES) for n in (1, 2, 3)]
        assert [choice.start for choice, _ in booked] == [at(OPENS), at(OPENS + 30), at(OPENS + 60)]
        await stage.until(OPENS + 91)
        assert [task.result().content.energy_kwh for _, task in booked] == pytest.approx([30.0] * 3, abs=0.01)
        assert stage.highest_kw("hub1", OPENS, OPENS + 90) == pytest.approx(60.0, abs=0.05)

    play(script)


def test_of_two_picks_that_the_limit_leaves_power_for_one_the_second_hears_that_it_is_taken() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        assert isinstance(await who["dso"].send(limit()), Informed)
        found = [(await who[f"d{n}"].ask(OPENS, OPENS + 60))[0] for n in (1, 2)]
        assert found[0].charger_id != found[1].charger_id
        first, second = who["d1"].pick(found[0]), who["d2"].pick(found[1])
        await stage.settle()
        assert not first.done()
        assert second.result().content.code == "taken"
        assert len(who["cpo"].choices.bookings["hub1"]) == 1

    play(script)


def test_picks_that_fit_under_the_limit_in_another_order_of_power_are_all_kept() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        assert isinstance(await who["dso"].send(limit()), Informed)
        asks = {"energy_kwh": 13.0, "max_charge_kw": 25.0}
        found = [(await who[f"d{n}"].ask(OPENS, OPENS + 60, **asks))[0] for n in (1, 2, 3)]
        receipts = [who[f"d{n}"].pick(choice) for n, choice in enumerate(found, 1)]
        for n, choice in enumerate(found, 1):
            stage.plug_in(n, choice.charger_id, OPENS, OPENS + 45)
        await stage.until(OPENS + 46)
        assert [r.result().content.energy_kwh for r in receipts] == pytest.approx([13.0] * 3, abs=0.01)
        assert stage.highest_kw("hub1", OPENS, OPENS + 45) == pytest.approx(60.0, abs=0.1)

    play(script)


def test_what_was_promised_before_is_planned_anew_and_still_gets_its_energy() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        # two cars of 30 kW for an hour from 9:45 and 10:00 on, in a window that then leaves room for one and a half
        first = await book(stage, who, 1, OPENS - 30, CLOSES, max_charge_kw=40.0, energy_kwh=35.0)
        second = await book(stage, who, 2, OPENS - 30, CLOSES, max_charge_kw=40.0, energy_kwh=35.0)
        assert isinstance(await who["dso"].send(limit()), Informed)
        await stage.until(OPENS - 1)
        assert stage.highest_kw("hub1", OPENS - 30, OPENS - 1) > 60.0 + WATT
        await stage.until(OPENS + 61)
        assert stage.highest_kw("hub1", OPENS, OPENS + 60) <= 60.0 + WATT
        energies = [task.result().content.energy_kwh for _, task in (first, second)]
        assert energies == pytest.approx([35.0, 35.0], abs=0.01)

    play(script)


def test_a_limit_below_what_is_promised_is_refused_and_nothing_changes() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        for n in (1, 2):
            await book(stage, who, n, OPENS, OPENS + 45, energy_kwh=40.0)
        before = list(who["cpo"].choices.bookings["hub1"])
        refused = await who["dso"].send(limit())
        assert refused.content.code == "promised"
        assert "kWh" in refused.content.reason
        assert list(who["cpo"].choices.bookings["hub1"]) == before
        await stage.until(OPENS + 46)
        assert stage.highest_kw("hub1", OPENS, OPENS + 30) == pytest.approx(120.0, abs=0.05)

    play(script)


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"limit_kw": 40.0}, "beyond-contract", "bought were 60 kW, not 40 kW"),
        ({"contract_id": "c9"}, "unknown-contract", "c9"),
        ({"station_id": "far1"}, "wrong-station", "is for hub1, not for far1"),
        ({"start": at(60)}, "beyond-contract", "outside the contract's window, 10:00 to 14:00"),
        ({"start": at(OPENS - 15)}, "beyond-contract", "outside the contract's window"),
        ({"end": at(CLOSES + 15)}, "beyond-contract", "outside the contract's window"),
        (
            {"start": at(OPENS) - timedelta(days=9), "end": at(CLOSES) - timedelta(days=9)},
            "beyond-contract",
            "outside the contract's period",
        ),
    ],
)
def test_an_activation_that_was_not_sold_is_refused_with_the_reason(
    changed: dict[str, Any], code: str, words: str
) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        refused = await who["dso"].send(limit(**changed))
        assert (refused.content.code, words in refused.content.reason) == (code, True)
        assert "\n" not in refused.content.reason
        assert who["cpo"].caps.kw("hub1", at(OPENS)) == HUB.connection_kw

    play(script)


def test_an_activation_with_less_notice_than_sold_is_too_late() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(OPENS - 59)
        refused = await who["dso"].send(limit())
        assert refused.content.code == "too-late"
        later = await who["dso"].send(limit(start=at(OPENS + 15)))
        assert isinstance(later, Informed)

    play(script)


def test_another_dso_cannot_activate_what_was_sold_to_the_first() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        stranger = await stage.start(type(who["dso"]), "stranger")
        refused = await stranger.send(limit())
        assert refused.content.code == "unknown-contract"

    play(script)


def test_the_same_activation_twice_acts_once_and_another_on_the_same_day_is_refused() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        assert isinstance(await who["dso"].send(limit()), Informed)
        assert isinstance(await who["dso"].send(limit()), Informed)
        assert len(who["cpo"].caps.activated) == 1
        assert (await who["dso"].send(limit(limit_kw=80.0))).content.code == "used-reference"
        assert (await who["dso"].send(limit("a2"))).content.code == "activated-twice"

    play(script)


def test_no_more_days_are_capped_than_were_sold() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        day = timedelta(days=1)
        for n in (1, 2):
            sent = limit(f"a{n}", start=at(OPENS) + n * day, end=at(CLOSES) + n * day)
            assert isinstance(await who["dso"].send(sent), Informed)
        refused = await who["dso"].send(limit("a3", start=at(OPENS) + 3 * day, end=at(CLOSES) + 3 * day))
        assert refused.content.code == "used-up"

    play(script, most_activations=2)


async def _three_sessions(stage: StationStage, who: Mapping[str, Any]) -> None:
    """Three cars of 30 kW for an hour from half an hour before the window on: more than the limit together."""
    for n in (1, 2, 3):
        await book(stage, who, n, OPENS - 30, CLOSES, energy_kwh=23.0, max_charge_kw=30.0)


@pytest.mark.parametrize(
    ("dies", "drawing_kw"),
    [
        (OPENS - 29, 90.0),
        (OPENS - 16, 90.0),
        (OPENS - 14, 90.0),
        (OPENS - 1, 90.0),
        (OPENS, 60.0),
        (OPENS + 1, 60.0),
        (OPENS + 16, 36.0),
    ],
)
def test_the_limit_is_kept_when_the_agent_is_stopped_dead(dies: float, drawing_kw: float) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _three_sessions(stage, who)
        assert isinstance(await who["dso"].send(limit()), Informed)
        await stage.until(dies)
        stage.sample()
        assert stage.drawn[-1][1]["hub1"] == pytest.approx(drawing_kw, abs=0.1)
        await who["cpo"].stop()
        await stage.until(CLOSES)
        assert stage.highest_kw("hub1", OPENS, CLOSES) <= 60.0 + WATT
        assert max(stage.kwh(charger_id) for charger_id in HUB.charger_ids) <= 23.0 + 0.01

    play(script)


def test_the_limit_is_kept_when_the_agent_dies_as_soon_as_it_has_agreed() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _three_that_can_charge_earlier(stage, who)
        await stage.until(OPENS - 20)
        assert isinstance(await who["dso"].send(limit()), Informed)
        assert {booking.powers_kw for booking in who["cpo"].choices.bookings["hub1"]} == {(30.0, 30.0, 20.0)}
        await who["cpo"].stop()
        await stage.until(CLOSES)
        assert stage.highest_kw("hub1", OPENS - 20, OPENS - 15) == pytest.approx(90.0, abs=0.1)
        assert stage.highest_kw("hub1", OPENS, CLOSES) <= 60.0 + WATT

    play(script, notice_minutes=10)


def test_without_the_agents_death_the_same_sessions_get_what_was_promised() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _three_sessions(stage, who)
        assert isinstance(await who["dso"].send(limit()), Informed)
        await stage.until(OPENS + 31)
        receipts = stage.said(x.SessionReceipt)
        assert [receipt.energy_kwh for receipt in receipts] == pytest.approx([23.0] * 3, abs=0.01)
        assert stage.highest_kw("hub1", OPENS, CLOSES) <= 60.0 + WATT

    play(script)


def test_a_car_that_stays_on_when_the_agent_is_dead_does_not_break_a_later_limit() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        chosen = []
        for n in (1, 2, 3):
            (choice, *_) = await who[f"d{n}"].ask(OPENS - 30, CLOSES, energy_kwh=25.0, max_charge_kw=50.0)
            stage.plug_in(n, choice.charger_id, OPENS - 30, CLOSES, soc=1.0)
            chosen.append(who[f"d{n}"].pick(choice))
        assert isinstance(await who["dso"].send(limit(start=at(OPENS + 15))), Informed)
        await stage.until(OPENS - 20)
        await who["cpo"].stop()
        await stage.until(CLOSES)
        assert stage.highest_kw("hub1", OPENS - 30, OPENS) == pytest.approx(150.0, abs=0.1)
        assert stage.highest_kw("hub1", OPENS + 15, CLOSES) <= 60.0 + WATT

    play(script)


async def _three_that_can_charge_earlier(stage: StationStage, who: Mapping[str, Any]) -> list[Any]:
    """Three cars of 30 kW that draw 25 kW each in the last quarters of an hour before and in the window; receipts."""
    bookings, receipts = who["cpo"].choices.bookings["hub1"], []
    for n in (1, 2, 3):
        choice, receipt = await book(stage, who, n, OPENS - 30, CLOSES, energy_kwh=20.0, max_charge_kw=30.0)
        bookings.replace(replace(bookings.get(choice.choice_id), powers_kw=(30.0, 25.0, 25.0)))
        receipts.append(receipt)
    return receipts


def test_a_charger_that_does_not_answer_goes_on_as_told_and_the_others_make_room() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        receipts = await _three_that_can_charge_earlier(stage, who)
        await stage.until(OPENS - 25)
        stage.park.set_fault("hub1-1", ChargerFault.SILENT)
        await stage.until(OPENS - 20)
        assert isinstance(await who["dso"].send(limit(limit_kw=66.0)), Informed)
        await stage.until(OPENS + 10)
        stage.park.set_fault("hub1-1", None)
        await stage.until(OPENS + 16)
        assert stage.highest_kw("hub1", OPENS, OPENS + 15) == pytest.approx(66.0, abs=0.1)
        energies = [receipt.result().content.energy_kwh for receipt in receipts]
        assert energies == pytest.approx([20.0] * 3, abs=0.01)

    play(script, notice_minutes=10)


def test_a_limit_that_a_silent_charger_leaves_no_room_for_is_refused() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _three_that_can_charge_earlier(stage, who)
        await stage.until(OPENS - 25)
        stage.park.set_fault("hub1-1", ChargerFault.SILENT)
        await stage.until(OPENS - 20)
        refused = await who["dso"].send(limit())
        assert refused.content.code == "promised"
        assert isinstance(await who["dso"].send(limit("a2", 66.0)), Informed)

    play(script, notice_minutes=10)


def test_the_limit_ends_with_its_window_and_the_others_may_draw_again() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        assert isinstance(await who["dso"].send(limit(end=at(OPENS + 60))), Informed)
        for n in (1, 2):
            await book(stage, who, n, OPENS + 45, OPENS + 180, energy_kwh=40.0)
        await stage.until(OPENS + 120)
        assert stage.highest_kw("hub1", OPENS, OPENS + 60) <= 60.0 + WATT
        assert stage.highest_kw("hub1", OPENS + 60, OPENS + 75) == pytest.approx(120.0, abs=0.1)

    play(script)
