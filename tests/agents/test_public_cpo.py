"""An operator of public stations over messages and real chargers: choices, picks, sessions and receipts (BUC 5.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from behaviours.outcomes import Informed
from environment.charger_device import ChargerFault
from protocols import exchanges as x
from tests.agents.stage import QUARTER, at
from tests.agents.station_stage import StationStage, open_all
from tests.swarm import run_swarm


def play(script: Callable[[StationStage, Mapping[str, Any]], Awaitable[Any]], drivers: int = 1) -> StationStage:
    stage = StationStage(every=QUARTER)

    async def main(_: Any) -> None:
        await script(stage, await open_all(stage, drivers))

    run_swarm(main, stage)
    return stage


def test_the_stations_are_registered_and_the_market_hears_what_they_have() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(6)
        (registration,) = who["fmo"].registered
        assert [(s.station_id, s.location, s.connection_kw, s.chargers) for s in registration.stations] == [
            ("hub1", "Bus 5", 180.0, 3),
            ("far1", "Bus 8", 60.0, 1),
        ]

    play(script)


def test_a_picked_session_charges_what_was_asked_for_and_the_receipt_is_the_meters() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        assert (choice.start, choice.end, choice.power_kw) == (at(30), at(60), 60.0)
        assert (choice.price_eur_per_kwh, choice.amount_eur) == (Decimal("0.50"), Decimal("15.00"))
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 60)
        await stage.until(29)
        assert stage.kwh(choice.charger_id) == 0.0
        await stage.until(61)
        said = receipt.result().content
        assert said.energy_kwh == pytest.approx(30.0, abs=0.01)
        assert said.energy_kwh == pytest.approx(stage.kwh(choice.charger_id), abs=0.001)
        assert said.amount_eur == Decimal("15.00")
        assert (said.start, said.end) == (at(30), at(60))

    play(script)


def test_only_stations_within_reach_are_offered_and_none_is_a_refusal() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        near = await who["d1"].ask(30, 120)
        assert {choice.station_id for choice in near} == {"hub1"}
        both = await who["d1"].ask(31, 120, km=20.0)
        assert {choice.station_id for choice in both} == {"hub1", "far1"}
        assert await who["d1"].ask(32, 40) == ()
        (refused,) = who["d1"].tender.refusals
        assert refused.content.code == "no-choice"

    play(script)


def test_two_drivers_who_ask_at_once_are_offered_different_chargers() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        first, second = (await who["d1"].ask(30, 60))[0], (await who["d2"].ask(30, 60))[0]
        assert first.start == second.start
        assert first.charger_id != second.charger_id

    play(script, 2)


def test_of_two_drivers_who_pick_the_same_charger_the_second_hears_that_it_is_taken() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        choices = [(await who[f"d{n}"].ask(30, 60))[0] for n in range(1, 5)]
        last = choices[3]  # a fourth driver at three chargers is shown one that another is thinking of
        other = next(n for n in range(3) if choices[n].charger_id == last.charger_id)
        held = who[f"d{other + 1}"].pick(choices[other])
        await stage.until(1)
        gone = who["d4"].pick(last)
        await stage.until(2)
        assert not held.done()
        assert gone.result().content.code == "taken"

    play(script, 4)


def test_a_pick_that_comes_too_late_is_told_so() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        await stage.until(10)
        (other, *_) = await who["d2"].ask(30, 120)
        await stage.until(12)
        late = who["d1"].pick(choice)
        in_time = who["d2"].pick(other)
        await stage.until(13)
        assert late.result().content.code == "expired"
        assert not in_time.done()

    play(script, 2)


def test_a_choice_whose_session_would_have_begun_has_expired_as_well() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(25)
        (choice, *_) = await who["d1"].ask(30, 120)
        await stage.until(31)
        gone = who["d1"].pick(choice)
        await stage.until(32)
        assert gone.result().content.code == "expired"

    play(script)


def test_a_cancel_before_the_start_frees_the_charger_and_costs_nothing() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        who["d1"].pick(choice)
        await stage.until(5)
        assert [b.charger_id for b in who["cpo"].choices.bookings["hub1"]] == [choice.charger_id]
        assert isinstance(await who["d1"].cancel(), Informed)
        assert len(who["cpo"].choices.bookings["hub1"]) == 0
        await stage.until(65)

    stage = play(script)
    assert stage.said(x.SessionReceipt) == []


def test_a_cancel_after_the_start_ends_the_session_and_bills_what_was_drawn() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 80)
        await stage.until(40)
        cancelled = await who["d1"].cancel()
        assert cancelled.content.code == "begun"
        await stage.until(41)
        assert receipt.result().content.energy_kwh == pytest.approx(10.0, abs=0.01)
        assert receipt.result().content.amount_eur == Decimal("5.00")
        await stage.until(79)
        assert stage.kwh(choice.charger_id) == pytest.approx(10.0, abs=0.01)  # it draws nothing any more
        assert len(who["cpo"].choices.bookings["hub1"]) == 0

    play(script)


def test_a_cancel_that_crosses_the_end_of_the_session_takes_no_receipt_away() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 80)
        sessions, cancelled = who["cpo"].sessions, []
        steer = sessions.steer

        async def steer_while_the_driver_cancels(station_id: str) -> None:
            if not sessions.open:
                cancelled.append(await who["d1"].cancel())
            await steer(station_id)

        sessions.steer = steer_while_the_driver_cancels
        await stage.until(100)
        assert [each.content.code for each in cancelled] == ["over"]
        assert receipt.result().content.amount_eur > 0

    play(script)


def test_nobody_who_does_not_come_pays_and_the_charger_is_free_after_a_quarter_of_an_hour() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 90, energy_kwh=40.0)
        receipt = who["d1"].pick(choice)
        await stage.until(44)
        assert len(who["cpo"].choices.bookings["hub1"]) == 1
        await stage.until(46)
        assert receipt.result().content.code == "no-show"
        assert len(who["cpo"].choices.bookings["hub1"]) == 0

    play(script)


def test_who_comes_a_little_late_charges_from_then_on() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 36, 60)
        await stage.until(61)
        assert receipt.result().content.start == at(36)
        assert receipt.result().content.energy_kwh == pytest.approx(24.0, abs=0.01)

    play(script)


def test_who_leaves_early_frees_the_charger_and_pays_for_what_was_drawn() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120, energy_kwh=45.0)
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 40)
        await stage.until(46)
        assert receipt.result().content.energy_kwh == pytest.approx(10.0, abs=0.01)
        assert len(who["cpo"].choices.bookings["hub1"]) == 0

    play(script)


def test_a_car_that_does_not_leave_draws_nothing_and_is_not_taken_for_the_next_one() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 60)
        first = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 200)
        await stage.until(55)
        found = {n: (await who[f"d{n}"].ask(60, 90))[0] for n in (2, 3, 4)}
        (number,) = (n for n, each in found.items() if each.charger_id == choice.charger_id)
        second = who[f"d{number}"].pick(found[number])
        await stage.until(91)
        assert isinstance(first.result(), Informed)
        assert second.result().content.code == "occupied"
        assert stage.kwh(choice.charger_id) == pytest.approx(30.0, abs=0.01)

    play(script, 4)


def test_one_car_follows_another_at_the_same_charger_in_the_same_instant() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        chosen = []
        for n in (1, 2, 3):
            (choice, *_) = await who[f"d{n}"].ask(30, 60)
            chosen.append(who[f"d{n}"].pick(choice))
            stage.plug_in(n, choice.charger_id, 30, 60)
        (choice, *_) = await who["d4"].ask(30, 120)
        assert choice.start == at(60)
        after = who["d4"].pick(choice)
        stage.plug_in(4, choice.charger_id, 60, 90)
        await stage.until(91)
        assert [task.result().content.energy_kwh for task in (*chosen, after)] == pytest.approx([30.0] * 4, abs=0.01)

    play(script, 4)


def test_a_charger_that_falls_silent_is_told_and_what_is_known_is_billed() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120, energy_kwh=45.0)
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 75)
        await stage.until(50)
        stage.park.set_fault(choice.charger_id, ChargerFault.SILENT)
        await stage.until(76)
        assert receipt.result().content.energy_kwh == pytest.approx(15.0, abs=0.01)
        assert stage.noticed("its last reading counts") == 1

    play(script)


def test_a_charger_that_is_silent_all_the_time_bills_nothing() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        receipt = who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 60)
        stage.park.set_fault(choice.charger_id, ChargerFault.SILENT)
        await stage.until(61)
        assert receipt.result().content.code == "charger-silent"
        assert stage.kwh(choice.charger_id) == 0.0

    play(script)


def test_a_silent_charger_is_not_offered_until_it_answers_again() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        (choice, *_) = await who["d1"].ask(30, 120)
        who["d1"].pick(choice)
        stage.plug_in(1, choice.charger_id, 30, 60)
        stage.park.set_fault(choice.charger_id, ChargerFault.SILENT)
        await stage.until(61)
        assert choice.charger_id not in {each.charger_id for each in await who["d2"].ask(90, 150)}
        stage.park.set_fault(choice.charger_id, None)
        await stage.until(76)
        assert stage.noticed("answers again") == 1
        await who["d2"].tender.award({}, done_by=at(80))
        assert choice.charger_id in {each.charger_id for each in await who["d3"].ask(90, 150)}

    play(script, 3)


def test_the_choices_of_who_goes_elsewhere_are_forgotten() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        first = (await who["d1"].ask(30, 60))[0]
        await who["d1"].tender.award({}, done_by=at(5))
        await stage.until(1)
        assert (await who["d2"].ask(30, 60))[0].charger_id == first.charger_id

    play(script, 2)
