"""What an operator of public stations hears of prices, and what it sells of its capacity (BUC 4.2 and BUC 5.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.capacity_checks import curve_faults
from behaviours.outcomes import Failed, Informed
from protocols import exchanges as x
from tests.agents.stage import QUARTER, at
from tests.agents.station_stage import CLOSES, OPENS, StationStage, auction_call, limit, open_all, sell
from tests.swarm import jid, run_swarm


def play(script: Callable[[StationStage, Mapping[str, Any]], Awaitable[Any]], drivers: int = 2) -> StationStage:
    stage = StationStage(every=QUARTER)

    async def main(_: Any) -> None:
        await script(stage, await open_all(stage, drivers))

    run_swarm(main, stage)
    return stage


def reduction(reduction_id: str = "n1", **changed: Any) -> x.NetworkPriceReduction:
    values: dict[str, Any] = {
        "reduction_id": reduction_id,
        "timestamp": at(0),
        "locations": ("Bus 5", "Bus 11"),
        "reduction_eur_per_kwh": Decimal("0.06"),
        "start": at(60),
        "end": at(120),
    }
    return x.NetworkPriceReduction(**values | changed)


def test_a_reduction_lowers_the_stations_there_and_subscribers_hear_of_it() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await who["d1"].listen()
        assert isinstance(await who["dso"].send(reduction()), Informed)
        await stage.until(1)
        (news,) = who["d1"].prices
        assert (news.request_id, news.start, news.end) == ("d1-prices", at(60), at(120))
        (priced,) = news.stations
        assert (priced.station_id, priced.price_eur_per_kwh) == ("hub1", Decimal("0.44"))
        assert priced.usual_eur_per_kwh == Decimal("0.50")
        assert who["d2"].prices == []

    play(script)


def test_a_later_session_is_cheaper_in_the_reduced_hour_and_the_receipt_keeps_the_price() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await who["dso"].send(reduction())
        choices = await who["d1"].ask(30, 120)
        assert {c.start: c.price_eur_per_kwh for c in choices}[at(30)] == Decimal("0.50")
        cheap = min(choices, key=lambda choice: choice.price_eur_per_kwh)
        assert (cheap.start, cheap.price_eur_per_kwh, cheap.amount_eur) == (at(60), Decimal("0.44"), Decimal("13.20"))
        receipt = who["d1"].pick(cheap)
        stage.plug_in(1, cheap.charger_id, 60, 90)
        await stage.until(91)
        assert receipt.result().content.amount_eur == Decimal("13.20")

    play(script)


def test_the_same_reduction_twice_is_told_once_and_another_under_its_id_is_refused() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await who["d1"].listen()
        for _ in range(2):
            assert isinstance(await who["dso"].send(reduction()), Informed)
        await stage.until(1)
        assert len(who["d1"].prices) == 1
        refused = await who["dso"].send(reduction(end=at(180)))
        assert refused.content.code == "used-reference"

    play(script)


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"start": at(-15)}, "too-late"), ({"reduction_eur_per_kwh": Decimal("0.09")}, "too-much")],
)
def test_a_reduction_that_cannot_be_passed_on_is_refused(changed: dict[str, Any], code: str) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        assert (await who["dso"].send(reduction(**changed))).content.code == code
        assert who["cpo"].prices.price_at("hub1", at(60)) == Decimal("0.50")

    play(script)


def test_a_reduction_elsewhere_is_nobodys_news() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await who["d1"].listen()
        assert isinstance(await who["dso"].send(reduction(locations=("Bus 11",))), Informed)
        await stage.until(1)
        assert who["d1"].prices == []

    play(script)


def test_a_curve_is_what_the_market_checks_for() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(10)
        bid = await sell(stage, who["fmo"])
        station = who["fmo"].registered[0].stations[0]
        assert curve_faults(auction_call(), station, bid.curve) == ()
        assert bid.curve[0].price_eur > 0
        contract = who["cpo"].bidding.contracts["c1"]
        assert (contract.station_id, contract.limit_kw, contract.dso) == ("hub1", 60.0, jid("hedno"))

    play(script)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"station_id": "hub9"}, "unknown-station"),
        ({"location": "Bus 8"}, "wrong-location"),
        ({"station_id": "far1", "location": "Bus 8"}, "no-curve"),
        ({"most_eur": Decimal("0.00"), "most_points": 2}, "nothing-to-offer"),
    ],
)
def test_a_call_that_cannot_be_answered_is_refused(changed: dict[str, Any], code: str) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(10)
        tender = await who["fmo"].call(auction_call(**changed))
        assert [refused.content.code for refused in tender.refusals] == [code]

    play(script)


@pytest.mark.parametrize(
    "changed",
    [{"limit_kw": 10.0}, {"price_eur": Decimal("0.01")}, {"call_id": "t1/hub7"}, {"dso": jid("other-dso")}],
)
def test_a_purchase_that_was_not_offered_is_no_contract(changed: dict[str, Any]) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(10)
        tender = await who["fmo"].call(auction_call())
        bid = tender.proposals[0].content
        values: dict[str, Any] = {
            "bid_id": bid.bid_id,
            "call_id": bid.call_id,
            "timestamp": at(10),
            "contract_id": "c1",
            "dso": jid("hedno"),
            "limit_kw": 60.0,
            "price_eur": bid.curve[0].price_eur,
        }
        outcome = await who["fmo"].award(tender, x.ProcurementResult(**values | changed))
        assert isinstance(outcome, Failed)
        assert getattr(outcome.content, "code", None) == "not-as-offered"
        assert who["cpo"].bidding.contracts == {}

    play(script)


def test_a_curve_of_which_nothing_is_bought_is_forgotten() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(10)
        tender = await who["fmo"].call(auction_call())
        bid = tender.proposals[0].content
        words = x.ProcurementResult(bid_id=bid.bid_id, call_id=bid.call_id, timestamp=at(10), reason="too dear")
        await who["fmo"].award(tender, words)
        await stage.until(11)
        assert (await who["dso"].send(limit())).content.code == "unknown-contract"

    play(script)


# ---- what it costs -------------------------------------------------------------------------------------------------


async def _day(stage: StationStage, who: Mapping[str, Any]) -> None:
    """Two sessions of 30 kWh: one in a reduced hour, one in the window of a limit."""
    await stage.until(10)
    await sell(stage, who["fmo"])
    await who["dso"].send(reduction())
    await who["dso"].send(limit())
    for n, start in ((1, 60), (2, OPENS)):
        (choice, *_) = await who[f"d{n}"].ask(start, start + 60)
        who[f"d{n}"].pick(choice)
        stage.plug_in(n, choice.charger_id, start, start + 30)
    await stage.until(18 * 60 + 10)


def bill(**changed: Any) -> x.NetworkBill:
    """What that day's network use costs: 60 kWh at 0.08 EUR, 30 of them 0.06 EUR less."""
    values: dict[str, Any] = {
        "bill_id": "net-1",
        "start": at(-360),
        "end": at(1080),
        "energy_kwh": 60.0,
        "reduced_kwh": 30.0,
        "usual_eur": Decimal("4.80"),
        "reduction_eur": Decimal("1.80"),
        "amount_eur": Decimal("3.00"),
    }
    return x.NetworkBill(**values | changed)


def test_a_bill_that_the_chargers_meters_bear_out_is_paid_once() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _day(stage, who)
        for _ in range(2):
            assert isinstance(await who["dso"].send(bill()), Informed)
        assert stage.balance("hedno") == Decimal("3.00")
        assert stage.balance("ppc") == Decimal("-3.00")

    play(script)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"energy_kwh": 66.0, "usual_eur": "5.28", "amount_eur": "3.48"}, "60.0 kWh were drawn by my chargers' meters"),
        ({"reduced_kwh": 20.0}, "30.0 kWh were drawn in reduced hours"),
        ({"usual_eur": "5.80", "amount_eur": "4.00"}, "cost 4.80 EUR at 0.08 EUR/kWh, not 5.80"),
        ({"reduction_eur": "0.80", "amount_eur": "4.00"}, "take off 1.80 EUR, not 0.80"),
    ],
)
def test_a_bill_that_is_wrong_is_not_paid_and_the_answer_has_the_numbers(changed: dict[str, Any], words: str) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _day(stage, who)
        refused = await who["dso"].send(
            bill(**{k: Decimal(v) if isinstance(v, str) else v for k, v in changed.items()})
        )
        assert refused.content.code == "disputed"
        assert words in refused.content.reason
        assert stage.balance("hedno") == 0

    play(script)


def settlement(**changed: Any) -> x.LimitSettlement:
    values: dict[str, Any] = {
        "settlement_id": "s1",
        "contract_id": "c1",
        "start": at(-360),
        "end": at(1080),
        "capacity_eur": Decimal("5000.00"),
        "activation_id": "a1",
        "limit_kw": 60.0,
        "highest_kw": 60.0,
        "penalty_eur": Decimal("0.00"),
        "amount_eur": Decimal("5000.00"),
    }
    values |= changed
    return x.LimitSettlement(**values | {"amount_eur": values["capacity_eur"] - values["penalty_eur"]})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"capacity_eur": Decimal("0.01")}, "the day is worth"),
        ({"contract_id": "c9"}, "there is no contract c9"),
        ({"excess_kwh": 5.0, "penalty_eur": Decimal("7.50")}, "0.00 kWh above 60 kW (at most 60.0 kW"),
        ({"excess_kwh": 0.2, "penalty_eur": Decimal("7.50")}, "cost 0.30 EUR, not 7.50 EUR"),
        ({"activation_id": "a7"}, "a7 was not activated on that day"),
        ({"limit_kw": 50.0}, "the limit was 60 kW, not 50 kW"),
        (
            {"start": at(1080), "end": at(1080) + timedelta(days=1)},
            "a1 was not activated on that day",
        ),
    ],
)
def test_a_settlement_is_accepted_where_contract_and_meters_say_the_same(
    changed: dict[str, Any], words: str | None
) -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _day(stage, who)
        outcome = await who["dso"].settle(settlement(**changed))
        assert type(outcome).__name__ == ("Accepted" if words is None else "Rejected")
        assert (outcome.content.reason is None) if words is None else (words in outcome.content.reason)
        assert stage.noticed("is disputed") == (words is not None)

    play(script)


def test_a_day_whose_limit_was_declined_may_be_worth_nothing() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await stage.until(10)
        await sell(stage, who["fmo"])
        for n in (1, 2):
            (choice, *_) = await who[f"d{n}"].ask(OPENS, OPENS + 45, energy_kwh=44.0)
            who[f"d{n}"].pick(choice)
        nothing = settlement(
            capacity_eur=Decimal("0.00"), activation_id=None, limit_kw=None, highest_kw=None, amount_eur=Decimal("0.00")
        )
        assert (await who["dso"].settle(nothing)).content.reason.startswith("the day is worth")
        assert (await who["dso"].send(limit())).content.code == "promised"
        assert type(await who["dso"].settle(nothing)).__name__ == "Accepted"

    play(script)


def test_a_charger_that_was_silent_is_taken_on_trust() -> None:
    async def script(stage: StationStage, who: Mapping[str, Any]) -> None:
        await _day(stage, who)
        who["cpo"].log.note_silence("hub1-1", at(OPENS + 15))
        assert isinstance(
            await who["dso"].send(bill(energy_kwh=66.0, usual_eur=Decimal("5.28"), amount_eur=Decimal("3.48"))),
            Informed,
        )
        outcome = await who["dso"].settle(settlement(excess_kwh=5.0, penalty_eur=Decimal("7.50")))
        assert type(outcome).__name__ == "Accepted"
        assert at(OPENS + 15) < at(CLOSES)

    play(script)
