"""The driver without a charger at home: asks both operators, picks, arrives, leaves, pays; and changes its mind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.choice import ChoiceModel, gumbel
from agents.ledger import LedgerError
from behaviours.answering import Agree, Incoming, Propose, Refuse, answers
from protocols import exchanges as x
from tests.agents.charging_stage import FakeCar, PlainCpo, Slot, need, start_driver, stay
from tests.agents.stage import Stage, at
from tests.swarm import run_swarm

NEAR = Slot("hub1", 60, 90, "0.50")
DEAR = Slot("far1", 60, 90, "5.00", north_km=9)


class Books(Stage):
    """A stage whose balances can be read when it is over."""

    async def _stop(self) -> None:
        self.balances = self.ledger.balances()
        await super()._stop()

    def balance(self, account: str) -> Decimal:
        return self.balances.get(account, Decimal(0))


def play(script: Callable[[Stage, PlainCpo, PlainCpo], Awaitable[Any]]) -> Stage:
    """A stage on which the operator `ppc` is near and `second` far and dear."""

    async def main(stage: Any) -> None:
        ppc, second = await stage.start(PlainCpo, "ppc"), await stage.start(PlainCpo, "second")
        ppc.slots, second.slots = (NEAR,), (DEAR,)
        await script(stage, ppc, second)

    stage = Books()
    run_swarm(main, stage)
    return stage


def test_both_operators_are_asked_the_same_and_one_is_picked() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        await start_driver(stage, need())
        await stage.until(6)
        assert ppc.requests == second.requests
        assert ppc.requests[0].stays == need().stays
        assert (ppc.picked, second.picked) == (["ppc-1"], [])
        assert (ppc.turned_down, second.turned_down) == (0, 1)

    stage = play(script)
    assert [r for r in stage.recorder.script() if "ann" in r] == [
        "ann > ppc: cfp",
        "ann > second: cfp",
        "ppc > ann: propose",
        "second > ann: propose",
        "ann > ppc: accept-proposal",
        "ann > second: reject-proposal",
    ]


def test_the_car_is_there_from_start_to_end_and_the_receipt_is_paid_to_the_cent() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        driver, car = await start_driver(stage, need())
        await stage.until(120)
        assert car.events == [(60, "at hub1-1 from 30 to 70 %"), (90, "leaves")]
        assert driver.errands[0].paid

    stage = play(script)
    assert stage.balance("ann") == Decimal("-10.00")
    assert stage.balance("ppc") == Decimal("10.00")
    assert not stage.notices


def test_with_and_without_agents_the_same_driver_is_drawn_to_the_same_station() -> None:
    """Alike in everything that is known, so that the noise alone decides; it is drawn by hash."""

    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.slots, second.slots = (NEAR,), (Slot("hub2", 60, 90, "0.50"),)
        needs = [need(need_id=f"ann-{n}") for n in range(20)]
        await start_driver(stage, *needs)
        await stage.until(6)
        likes_first = {
            n.need_id for n in needs if gumbel(1, n.need_id, ("hub1", 0)) > gumbel(1, n.need_id, ("hub2", 0))
        }
        chosen = {s.request_id for s in stage.said(x.ChargingSelection) if s.choice_id.startswith("ppc")}
        assert chosen == likes_first
        assert 0 < len(likes_first) < 20

    play(script)


@pytest.mark.parametrize("code", ["taken", "expired"])
def test_a_pick_that_is_gone_is_asked_for_once_more(code: str) -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.says = {1: code}
        _, car = await start_driver(stage, need())
        await stage.until(120)
        assert [r.request_id for r in ppc.requests] == ["ann-1", "ann-1-2"]
        assert ppc.picked == ["ppc-1", "ppc-2"]
        assert len(car.events) == 2

    assert play(script).balance("ppc") == Decimal("10.00")


def test_nobody_asks_a_third_time() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.says = {1: "taken", 2: "taken", 3: "taken"}
        _, car = await start_driver(stage, need())
        await stage.until(120)
        assert len(ppc.requests) == 2
        assert car.events == []

    stage = play(script)
    assert stage.noticed("found no place to charge for ann-1-2: failed by ppc@localhost: another driver was faster")


def test_whoever_finds_nothing_good_enough_picks_nothing() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.slots = second.slots = (Slot("hub1", 60, 90, "50.00"),)
        _, car = await start_driver(stage, need())
        await stage.until(120)
        assert (ppc.turned_down, second.turned_down) == (1, 1)
        assert car.events == []

    play(script)


def test_without_anything_free_the_driver_stays_away() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.slots = second.slots = ()
        _, car = await start_driver(stage, need())
        await stage.until(120)
        assert car.events == []

    assert play(script).balance("ann") == 0


@pytest.mark.parametrize(
    ("receipt", "why"),
    [
        ({"price_eur_per_kwh": Decimal("0.60"), "amount_eur": Decimal("12.00")}, "says 0.60 EUR/kWh, and 0.50"),
        ({"energy_kwh": 25.0, "amount_eur": Decimal("12.50")}, "says 25.00 kWh, and the car counted 20.00"),
        ({"amount_eur": Decimal("11.00")}, "says 11.00 EUR, and 20 kWh make 10.00"),
        ({"choice_id": "ppc-9"}, "is for ppc-9, and ppc-1 was chosen"),
    ],
)
def test_a_receipt_that_does_not_follow_the_choice_or_the_car_is_not_paid(receipt: dict[str, Any], why: str) -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.receipt = receipt
        driver, _ = await start_driver(stage, need())
        await stage.until(120)
        assert not driver.errands[0].paid

    stage = play(script)
    assert stage.balance("ppc") == 0
    assert stage.noticed("does not pay r-ppc-1: it " + why) == 1


def test_a_receipt_below_the_choice_is_paid_as_it_is() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.receipt = {"energy_kwh": 12.0, "amount_eur": Decimal("6.00")}
        await start_driver(stage, need())
        await stage.until(120)

    assert play(script).balance("ppc") == Decimal("6.00")


def test_books_that_take_nothing_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        def full(*_: object, **__: object) -> bool:
            raise LedgerError("the disk is full")

        monkeypatch.setattr(stage.ledger, "transfer", full)
        driver, _ = await start_driver(stage, need())
        await stage.until(120)
        assert not driver.errands[0].paid

    assert play(script).noticed("the disk is full") == 1


def test_an_operator_that_keeps_silent_does_not_keep_the_driver() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.silent = True
        _, car = await start_driver(stage, need())
        await stage.until(200)
        assert [minute for minute, _ in car.events] == [60, 90]

    stage = play(script)
    assert stage.noticed("no receipt for ann-1: no answer from ppc@localhost") == 1
    assert stage.balance("ppc") == 0


def test_a_charger_that_is_taken_is_told_and_the_booking_called_off() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        _, car = await start_driver(stage, need())
        car.fault = "hub1-1 is taken by car-7"
        await stage.until(120)

    stage = play(script)
    assert stage.noticed("cannot charge for ann-1: hub1-1 is taken by car-7") == 1
    assert [c.reference for c in stage.said(x.Cancellation)] == ["ann-1"]
    assert stage.balance("ppc") == 0


# ---- 4.2.2

LATER = (stay(300, 420), stay(600, 720))
FIRST, SECOND = Slot("hub1", 300, 330, "0.50"), Slot("hub1", 600, 630, "0.50", stay=1)


async def follower(stage: Stage, ppc: PlainCpo, **options: Any) -> FakeCar:
    """A driver who follows prices, has picked the usual stay of two, and hears of a lower price in the other one."""
    ppc.slots = (FIRST,)
    _, car = await start_driver(stage, need(*LATER), follows_prices=True)
    await stage.until(30)
    ppc.slots = (FIRST, Slot("hub1", 600, 630, options.pop("price", "0.01"), stay=1))
    assert await ppc.lower("hub1", "0.30", "0.50", **{"start": 590, "end": 700} | options) == 1
    return car


def test_a_lowered_price_that_makes_another_pick_moves_the_booking_the_new_one_first() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        car = await follower(stage, ppc)
        await stage.until(700)
        assert [minute for minute, _ in car.events] == [600, 630]

    stage = play(script)
    acts = [a for a in stage.recorder.script() if a in ("ann > ppc: accept-proposal", "ann > ppc: cancel")]
    assert acts == ["ann > ppc: accept-proposal", "ann > ppc: accept-proposal", "ann > ppc: cancel"]
    assert [c.reference for c in stage.said(x.Cancellation)] == ["ann-1"]
    assert stage.balance("ppc") == Decimal("0.20")
    assert not stage.notices


def test_a_lowered_price_that_moves_nobody_changes_nothing() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        car = await follower(stage, ppc, price="3.00")
        await stage.until(700)
        assert len(ppc.requests) == 2
        assert [minute for minute, _ in car.events] == [300, 330]

    stage = play(script)
    assert stage.said(x.Cancellation) == []


@pytest.mark.parametrize("when", [{"start": 800, "end": 900}, {"start": 20, "end": 290}])
def test_a_price_outside_of_the_stays_is_no_reason_to_ask(when: dict[str, float]) -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        await follower(stage, ppc, **when)
        await stage.until(60)
        assert len(ppc.requests) == 1

    play(script)


def test_a_price_that_rises_is_no_reason_to_ask() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        await start_driver(stage, need(*LATER), follows_prices=True)
        await stage.until(30)
        await ppc.lower("hub1", "0.60", "0.50", 590, 700)
        await stage.until(60)
        assert len(ppc.requests) == 1

    play(script)


def test_news_of_both_operators_are_looked_at_together() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        await follower(stage, ppc)
        await second.lower("far1", "0.30", "0.50", 590, 700)
        await stage.until(60)
        assert len(ppc.requests) == len(second.requests) == 2

    play(script)


def test_whoever_does_not_follow_prices_hears_of_none() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        await start_driver(stage, need(*LATER))
        await stage.until(30)
        assert ppc.subscriptions(x.PriceSubscription) == ()

    play(script)


class Mute(PlainCpo):
    """An operator that notes no subscriber."""

    @answers(x.PriceSubscription)
    async def on_subscription(self, topic: x.PriceSubscription, incoming: Incoming) -> Agree:
        await asyncio.Event().wait()
        raise AssertionError("is never reached")


def test_an_operator_that_notes_no_subscriber_keeps_nobody_from_the_others() -> None:
    async def main(stage: Any) -> None:
        await stage.start(Mute, "first")
        ppc = await stage.start(PlainCpo, "ppc")
        ppc.slots = (NEAR,)
        await start_driver(stage, need(), follows_prices=True)
        await stage.until(6)
        assert len(ppc.subscriptions(x.PriceSubscription)) == 1
        assert ppc.picked == ["ppc-1"]
        await stage.until(70)

    stage = Stage()
    run_swarm(main, stage)
    assert stage.noticed("first@localhost does not tell its prices: no answer from first@localhost") == 1


def test_a_new_pick_that_is_gone_leaves_the_old_booking() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.says = {2: "taken"}
        car = await follower(stage, ppc)
        await stage.until(700)
        assert [minute for minute, _ in car.events] == [300, 330]

    stage = play(script)
    assert stage.said(x.Cancellation) == []
    assert stage.balance("ppc") == Decimal("10.00")


def test_an_old_booking_that_is_not_let_go_is_kept_and_the_new_one_given_back() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.keeps = {"ann-1"}
        car = await follower(stage, ppc)
        await stage.until(700)
        assert [minute for minute, _ in car.events] == [300, 330]

    stage = play(script)
    assert stage.noticed("ppc-1 cannot be called off: failed by ppc@localhost: the session goes on") == 1
    assert [c.reference for c in stage.said(x.Cancellation)] == ["ann-1", "ann-1-2"]
    assert stage.balance("ppc") == Decimal("10.00")


def test_a_driver_who_found_nothing_looks_again_when_a_price_is_lowered() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.slots = second.slots = ()
        _, car = await start_driver(stage, need(*LATER), follows_prices=True)
        await stage.until(30)
        ppc.slots = (SECOND,)
        await ppc.lower("hub1", "0.30", "0.50", 590, 700)
        await stage.until(700)
        assert [minute for minute, _ in car.events] == [600, 630]

    play(script)


class Asked(PlainCpo):
    """An operator that answers no request."""

    @answers(x.ChargingRequest)
    async def on_request(self, request: x.ChargingRequest, incoming: Incoming) -> Propose | Refuse:
        await asyncio.Event().wait()
        raise AssertionError("is never reached")


def test_a_lowered_price_while_the_driver_still_asks_books_nothing_twice() -> None:
    """It asks from minute 5 to 10 and, what it picked being gone, to 15; it hears of the price at 7."""

    async def main(stage: Any) -> None:
        ppc = await stage.start(PlainCpo, "ppc")
        await stage.start(Asked, "second")
        ppc.slots, ppc.says = (FIRST,), {1: "taken"}
        _, car = await start_driver(stage, need(*LATER), follows_prices=True)
        await stage.until(7)
        assert await ppc.lower("hub1", "0.30", "0.50", start=290, end=420) == 1
        await stage.until(700)
        assert len(ppc.picked) == 2
        assert [minute for minute, _ in car.events] == [300, 330]

    stage = Books()
    run_swarm(main, stage)
    assert stage.balance("ppc") == Decimal("10.00")


def test_a_car_already_at_the_charger_is_not_moved() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.slots = (FIRST,)
        await start_driver(stage, need(*LATER), follows_prices=True)
        await stage.until(310)
        await ppc.lower("hub1", "0.01", "0.50", 590, 700)
        await stage.until(700)
        assert len(ppc.requests) == 1

    play(script)


def test_a_need_is_asked_for_when_it_comes_up_and_only_for_what_ends_within_the_run() -> None:
    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        await start_driver(stage, need(stay(60, 180), stay(600, 720), asks_at=20), until=700)
        await stage.until(19)
        assert ppc.requests == []
        await stage.until(21)
        (request,) = ppc.requests
        assert request.stays == (stay(60, 180),)
        assert request.timestamp == at(20)

    play(script)


def test_what_a_driver_picks_is_the_model_s() -> None:
    """To one to whom money is nothing, the near station is worth its price."""

    async def script(stage: Stage, ppc: PlainCpo, second: PlainCpo) -> None:
        ppc.slots, second.slots = (Slot("hub1", 60, 90, "9.00"),), (Slot("far1", 60, 90, "0.10", north_km=9),)
        driver, _ = await start_driver(stage, need(asks_at=30))
        driver.model = ChoiceModel(cost_per_eur=-1e-6, per_km=-3.0, outside=-100.0)
        await stage.until(31)
        assert ppc.picked

    play(script)


def test_where_the_directory_knows_no_operator_nobody_is_asked() -> None:
    async def main(stage: Any) -> None:
        _, car = await start_driver(stage, need())
        await stage.until(120)
        assert stage.said(x.ChargingRequest) == []
        assert car.events == []

    run_swarm(main, Stage())
