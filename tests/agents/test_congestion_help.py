"""BUC 3 on the V2X manager's side: schedule, offer, drivers, service, its end, and its payment (D5.1 3.3)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.congestion_offer import Willingness
from agents.decisions.merit_order import CongestionTerms
from agents.ports import ChargerSilentError
from behaviours.initiating import Tender
from behaviours.outcomes import Accepted, CalledOff, Failed, Informed, Refused, Rejected
from protocols import exchanges as x
from tests.agents.lot_stage import ParkingLot, PlainDso, Prices, congestion_call
from tests.agents.stage import Car, Stage, at
from tests.swarm import jid, run_swarm

EARLY_CHEAP = Prices([0.10] * 8 + [0.20] * 8 + [0.30])
"""0.10 EUR/kWh until minute 120, 0.20 until 240."""


def cars(count: int = 3, **changed: Any) -> list[Car]:
    """15 kWh to charge each: by plan from the arrival on to about minute 88."""
    return [Car(f"c{k}", **{"soc": 40.0, "wanted": 70.0, "leaves": 400.0} | changed) for k in range(1, count + 1)]


async def scene(stage: Stage, parked: list[Car], *, known: bool = True, **options: Any) -> tuple[ParkingLot, PlainDso]:
    """At minute 19. `known`: the drivers have agreed so often that they are counted on."""
    lot = await ParkingLot.open(stage, parked, **{"prices": EARLY_CHEAP} | options)
    if known:
        lot.manager.willingness = Willingness(dict.fromkeys(x.ActivationKind, (10**9, 10**9)))
    dso = await stage.start(PlainDso, "dso")
    await dso.listen()
    await stage.until(19)
    return lot, dso


async def offered(dso: PlainDso, call: x.CongestionCall) -> tuple[Tender, x.SolutionOffer]:
    tender = await dso.call(call)
    assert tender.refusals == ()
    (proposal,) = tender.proposals
    assert proposal.faults == ()
    assert isinstance(proposal.content, x.SolutionOffer)
    return tender, proposal.content


async def refused(dso: PlainDso, call: x.CongestionCall) -> str:
    tender = await dso.call(call)
    (answer,) = tender.refusals
    assert isinstance(answer, Refused)
    assert isinstance(answer.content, x.Reason)
    return f"{answer.content.code}: {answer.reason}"


# ---- 3.x.5 ---------------------------------------------------------------------------------------------------------


def test_the_dso_hears_the_plan_by_bus_each_quarter_of_an_hour() -> None:
    async def main(stage: Stage) -> None:
        parked = [*cars(2), Car("c3", soc=40.0, wanted=50.0, leaves=400.0, bus="bus2")]
        _, dso = await scene(stage, parked)
        await stage.until(33)
        told = {each.timestamp: each for each in dso.schedules}
        first, second = told[at(17)], told[at(32)]
        assert (first.request_id, first.start, second.start) == ("dso-plan", at(30), at(45))
        (one, two) = first.buses
        assert (one.bus, two.bus) == ("bus1", "bus2")
        assert one.power_kw[:4] == pytest.approx((22.0, 22.0, 22.0, 19.126), abs=0.01)
        assert len(one.power_kw) == 12
        assert sum(one.power_kw) / 4 == pytest.approx(2 * (15.0 / 0.94 - 11.0 * 29 / 60), abs=0.05)
        assert two.power_kw == (pytest.approx(0.0, abs=0.3), *[0.0] * 11)

    run_swarm(main, Stage())


def test_new_prices_and_arrivals_are_told_at_once() -> None:
    async def main(stage: Stage) -> None:
        dear_then_cheap = Prices([0.30] * 8 + [0.10] * 8, {40: [0.05] * 8 + [0.40] * 8})
        parked = [*cars(1), Car("c2", soc=40.0, wanted=50.0, arrives=25.0, leaves=400.0)]
        _, dso = await scene(stage, parked, prices=dear_then_cheap)
        await stage.until(41)
        told = {each.timestamp: each for each in dso.schedules}
        assert sum(told[at(17)].buses[0].power_kw[:4]) == 0.0
        assert sum(told[at(25)].buses[0].power_kw) > sum(told[at(17)].buses[0].power_kw)
        assert sum(told[at(40)].buses[0].power_kw[:4]) > 44.0

    run_swarm(main, Stage())


# ---- 3.1 and 3.x.1 -------------------------------------------------------------------------------------------------


def test_the_offer_is_a_merit_order_list_with_the_plan_as_baseline() -> None:
    async def main(stage: Stage) -> None:
        _, dso = await scene(stage, cars(2))
        _, offer = await offered(dso, congestion_call(power_kw=15.0))
        assert (offer.request_id, offer.power_kw) == ("r1", 15.0)
        assert offer.baseline_kw == (22.0, 22.0)
        assert [(a.activation_id, a.kind, a.users, a.power_kw) for a in offer.activations] == [
            ("r1/1", x.ActivationKind.SHIFT, ("c1", "c2"), 22.0),
            ("r1/2", x.ActivationKind.DISCHARGE, ("c1", "c2"), pytest.approx(36.8)),
        ]
        shift = offer.activations[0]
        assert (shift.cost_eur_per_kwh, shift.energy_kwh) == (Decimal("0.150"), 11.0)
        assert shift.departure_soc_percent == pytest.approx(70.0, abs=0.05)

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"start": 15.0}, "the start has passed"),
        ({"start": 40.0}, "a service begins with a quarter of an hour"),
        ({"buses": ("bus7",)}, "no charger of mine is at bus7"),
        ({"service": x.ServiceType.VOLTAGE_CONTROL}, "a call of congestion management is not for voltage-control"),
        ({"reduction": "0.01", "discharging": "0.01"}, "no-room"),
        ({"start": 360.0}, "no-room"),
    ],
    ids=["past", "within a quarter", "elsewhere", "another service", "too cheap", "nothing is planned then"],
)
def test_a_call_that_cannot_be_served_is_refused_with_the_reason(changed: dict[str, Any], why: str) -> None:
    async def main(stage: Stage) -> None:
        _, dso = await scene(stage, [Car("c1", soc=21.0, wanted=50.0, leaves=400.0)])
        assert why in await refused(dso, congestion_call(**changed))

    run_swarm(main, Stage())


def test_a_lot_without_vehicles_or_with_promised_ones_says_so() -> None:
    async def main(stage: Stage) -> None:
        _, dso = await scene(stage, [Car("c1", arrives=700.0, leaves=800.0)])
        assert (await refused(dso, congestion_call())).startswith("no-vehicle")
        lot2 = await ParkingLot.open(stage, [Car("d1", bus="bus2", arrives=19.5)], prices=EARLY_CHEAP, name="lot2")
        await stage.until(21)
        assert lot2.manager.claim(["d1"], "fcr")
        tender = await dso.call(congestion_call("r2", buses=("bus2",)), "lot2")
        assert "promised" in str(tender.refusals[0])

    run_swarm(main, Stage())


def test_what_is_not_worth_it_is_refused_with_its_number() -> None:
    async def main(stage: Stage) -> None:
        terms = CongestionTerms(wear=0.04, minimum_benefit=0.01, penalty_factor=20.0)
        _, dso = await scene(stage, cars(1), congestion=terms, known=False)
        assert "EUR/kWh are expected, and 0.010 EUR/kWh is the least" in await refused(dso, congestion_call())

    run_swarm(main, Stage())


# ---- 3.x.2, 3.2: award and drivers ---------------------------------------------------------------------------------


def test_drivers_are_asked_in_the_order_of_the_list_until_the_promise_is_kept() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(4))
        tender, _ = await offered(dso, congestion_call(power_kw=15.0))
        dso.accept(tender, 15.0)
        await stage.until(25)
        # the first gives 11 kW, the second the rest
        assert [len(driver.asked) for driver in lot.drivers.values()] == [1, 1, 0, 0]
        (_, request) = lot.drivers["c1"].asked[0]
        assert (request.request_id, request.charger_id, request.start) == ("r1", "c1", at(30))
        assert [option.kind for option in request.options] == [x.ActivationKind.SHIFT], "no more is needed"
        assert request.options[0].price_eur_per_kwh == Decimal("0.15")
        assert [(a.activation_id, a.power_kw) for a in lot.drivers["c1"].awards] == [("r1/1", 11.0)]
        assert [(a.power_kw, a.benefit_eur) for a in lot.drivers["c2"].awards] == [(4.0, Decimal("0.30"))]
        assert lot.manager.claimed == {"c1": "r1", "c2": "r1"}

    run_swarm(main, Stage())


def test_who_declines_or_is_silent_is_followed_by_the_next_on_the_list() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(4))
        lot.drivers["c1"].takes = lambda request: None
        lot.drivers["c2"].takes = lambda request: "silent"
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(25)
        assert [len(driver.awards) for driver in lot.drivers.values()] == [0, 0, 1, 0]
        assert lot.manager.claimed == {"c3": "r1"}
        assert lot.drivers["c3"].asked[0][0] >= at(20), "only after the silent one's time"

    run_swarm(main, Stage())


def test_a_vehicle_whose_driver_is_being_asked_is_not_offered_elsewhere() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(1))
        lot.drivers["c1"].takes = lambda request: "silent"
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(19.5)
        assert "promised" in await refused(dso, congestion_call("r2", start=45))
        await stage.until(21)
        await offered(dso, congestion_call("r3", start=45))

    run_swarm(main, Stage())


def test_a_driver_who_agreed_and_is_not_needed_hears_so() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2), known=False)  # of two one and a half is expected to agree
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(25)
        assert [a.power_kw for a in lot.drivers["c1"].awards] == [11.0]
        assert (lot.drivers["c2"].awards, lot.drivers["c2"].not_needed) == ([], 1)
        assert lot.manager.claimed == {"c1": "r1"}

    run_swarm(main, Stage())


def test_if_nobody_agrees_the_award_fails_and_if_too_few_do_it_is_noted() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        for driver in lot.drivers.values():
            driver.takes = lambda request: None
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        result = await dso.accept(tender, 11.0)
        assert isinstance(result, Failed)
        assert result.reason == "none of the drivers takes part"
        assert lot.manager.claimed == {}
        lot.drivers["c2"].takes = lambda request: 0
        tender, offer = await offered(dso, congestion_call("r2", power_kw=30.0, reduction="0.80"))
        dso.accept(tender, offer.power_kw)
        await stage.until(29)
        assert stage.noticed("promised for r2 found no driver") == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize(("minute", "power", "why"), [(20, 16.0, "more than the 15 kW offered"), (31, 15.0, "")])
def test_an_award_above_or_after_the_offer_fails(minute: float, power: float, why: str) -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        tender, _ = await offered(dso, congestion_call(power_kw=15.0))
        await stage.until(minute)
        task = dso.accept(tender, power)
        await stage.until(minute + 2)
        assert not isinstance(task.result(), Informed)
        assert why in str(task.result())
        assert lot.manager.claimed == {}
        assert [len(driver.asked) for driver in lot.drivers.values()] == [0, 0]

    run_swarm(main, Stage())


# ---- the service ---------------------------------------------------------------------------------------------------


def test_the_service_keeps_the_promise_and_the_charging_is_made_up_for() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(3))
        tender, offer = await offered(dso, congestion_call(power_kw=15.0))
        result = dso.accept(tender, 15.0)
        await stage.until(59)
        assert not result.done()
        told = [each for each in dso.schedules if each.timestamp == at(32)]
        assert told[0].buses[0].power_kw[0] == pytest.approx(33.0 - 15.0)  # an ordered service is in the schedule
        await stage.until(63)
        assert result.result().content == x.Done(reference="r1")
        for start in (30, 45):
            drawn = sum(lot.metered_kw(c, start, start + 15) for c in ("c1", "c2", "c3"))
            assert offer.baseline_kw[0] - drawn == pytest.approx(15.0, abs=0.05)
        assert lot.manager.claimed == {}
        await stage.until(401)
        assert lot.left_with == {c: pytest.approx(70.0, abs=0.05) for c in ("c1", "c2", "c3")}

    run_swarm(main, Stage())


def test_each_driver_is_paid_for_what_was_delivered() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(3))
        tender, _ = await offered(dso, congestion_call(power_kw=15.0))
        dso.accept(tender, 15.0)
        await stage.until(64)
        (paid,) = lot.drivers["c1"].paid
        assert (paid.remuneration_id, paid.reference, paid.amount_eur) == ("lot1-r1-c1", "r1", Decimal("0.82"))
        assert (paid.start, paid.end, paid.energy_kwh) == (at(30), at(60), pytest.approx(5.5, abs=0.01))
        assert stage.balance("ev-c1") == Decimal("0.82")
        assert stage.balance("ev-c2") == Decimal("0.30")
        assert stage.balance("lot1") == Decimal("-1.12")
        assert lot.drivers["c3"].paid == []

    run_swarm(main, Stage())


def test_discharging_gives_back_and_is_charged_again() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(1))
        lot.drivers["c1"].takes = lambda request: 1
        tender, offer = await offered(dso, congestion_call(power_kw=18.0, discharging="0.80"))
        assert offer.power_kw == 18.0
        dso.accept(tender, 18.0)
        await stage.until(61)
        assert lot.metered_kw("c1", 30, 60) == pytest.approx(-7.0)
        await stage.until(401)
        assert lot.left_with["c1"] == pytest.approx(70.0, abs=0.05)

    run_swarm(main, Stage())


def test_the_end_of_the_need_gives_the_chargers_back_at_once() -> None:
    """3.3."""

    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        tender, _ = await offered(dso, congestion_call(power_kw=11.0, minutes=60))
        result = dso.accept(tender, 11.0)
        await stage.until(45)
        assert lot.charger("c1").power_kw == 0.0
        end = x.CongestionEnd(
            reference="r1",
            service=x.ServiceType.CONGESTION_MANAGEMENT,
            p_kw=11.0,
            q_kvar=0.0,
            duration_minutes=15,
            reason="the transformer has room again",
        )
        answer = await tender.cancel(jid("lot1"), end, at(47))
        assert isinstance(answer, Informed)
        await stage.until(48)
        assert isinstance(result.result(), CalledOff)
        assert lot.charger("c1").power_kw == pytest.approx(11.0)
        assert lot.manager.claimed == {}
        (paid,) = lot.drivers["c1"].paid
        assert (paid.end, paid.energy_kwh) == (at(45), pytest.approx(11.0 / 4, abs=0.01))
        again = await tender.cancel(jid("lot1"), end, at(50))
        assert isinstance(again, Failed)

    run_swarm(main, Stage())


def test_a_call_that_is_called_off_before_its_award_is_forgotten() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        end = x.CongestionEnd(
            reference="r1",
            service=x.ServiceType.CONGESTION_MANAGEMENT,
            p_kw=0.0,
            q_kvar=0.0,
            duration_minutes=0,
            reason="not needed",
        )
        assert isinstance(await tender.cancel(jid("lot1"), end, at(21)), Informed)
        await offered(dso, congestion_call("r2", power_kw=11.0))  # the vehicles are free again
        assert lot.manager.claimed == {}

    run_swarm(main, Stage())


@pytest.mark.parametrize("fault", ["ignores", "silent"])
def test_a_charger_that_does_not_obey_is_replaced_by_the_next_on_the_list(fault: str) -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(3))
        tender, _ = await offered(dso, congestion_call(power_kw=11.0, minutes=30))
        dso.accept(tender, 11.0)
        await stage.until(29)
        assert lot.manager.claimed == {"c1": "r1"}
        if fault == "ignores":
            lot.charger("c1").deaf_from = at(0)
        else:
            lot.charger("c1").fault = ChargerSilentError("c1", "127.0.0.1:1", "does not answer", "check it")
        await stage.until(33)
        said = "draws 11.0 kW" if fault == "ignores" else "is silent"
        assert stage.noticed(f"charger c1 {said} instead of 0.0 kW for r1") == 1
        assert lot.manager.claimed == {"c2": "r1"}
        assert lot.charger("c2").power_kw == 0.0
        await stage.until(64)
        assert lot.drivers["c1"].paid == []
        assert lot.drivers["c2"].paid[0].energy_kwh == pytest.approx(5.5 * 29 / 30, abs=0.1)

    run_swarm(main, Stage())


def test_a_vehicle_that_leaves_before_it_said_is_replaced() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(2))
        tender, _ = await offered(dso, congestion_call(power_kw=11.0, minutes=45))
        dso.accept(tender, 11.0)
        await stage.until(40)
        lot.charger("c1").unplug()
        await stage.until(47)
        assert stage.noticed("the vehicle at c1 left during r1") == 1
        assert lot.manager.claimed == {"c2": "r1"}
        lot.cars.clear()

    run_swarm(main, Stage())


def test_the_vehicles_beside_keep_their_baseline_when_the_prices_change() -> None:
    """A price change within the service would otherwise move the others' charging into it."""

    async def main(stage: Stage) -> None:
        before = [0.30, 0.30, 0.10, 0.20, 0.10, 0.10, 0.10, 0.20]
        prices = Prices(before, {35: [0.30, 0.30, 0.10, 0.01, *before[4:]]})
        beside = Car("c3", soc=40.0, wanted=50.0, leaves=600.0)  # would move from minute 60 to minute 45
        lot, dso = await scene(stage, [*cars(2), beside], prices=prices)
        tender, offer = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(61)
        assert offer.baseline_kw == (33.0, 22.0)
        for k, start in enumerate((30, 45)):
            drawn = sum(lot.metered_kw(c, start, start + 15) for c in ("c1", "c2", "c3"))
            assert drawn == pytest.approx(offer.baseline_kw[k] - 11.0, abs=0.1)

    run_swarm(main, Stage())


def test_a_second_service_may_follow_the_first_with_the_same_vehicle() -> None:
    async def main(stage: Stage) -> None:
        lot, dso = await scene(stage, cars(1))
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(22)
        assert "promised" in await refused(dso, congestion_call("r2", start=45))
        await stage.until(49)
        tender, _ = await offered(dso, congestion_call("r3", start=60, power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(59)
        assert lot.manager.claimed == {"c1": "r1"}
        await stage.until(89)
        assert lot.manager.claimed == {"c1": "r3"}
        assert lot.metered_kw("c1", 30, 88) == pytest.approx(0.0, abs=1e-3)
        await stage.until(401)
        assert [paid.reference for paid in lot.drivers["c1"].paid] == ["r1", "r3"]
        assert lot.left_with["c1"] == pytest.approx(70.0, abs=0.05)

    run_swarm(main, Stage())


# ---- 3.x.3 ---------------------------------------------------------------------------------------------------------


def bill(**changed: Any) -> x.CongestionSettlement:
    values: dict[str, Any] = {
        "settlement_id": "r1-lot1",
        "request_id": "r1",
        "start": at(30),
        "end": at(60),
        "baseline_kw": (22.0, 22.0),
        "metered_kw": (11.0, 11.0),
        "promised_kw": 11.0,
        "reduced_kwh": 5.5,
        "discharged_kwh": 0.0,
        "missing_kwh": 0.0,
        "remuneration_eur": Decimal("1.65"),
        "penalty_eur": Decimal("0.00"),
    }
    return x.CongestionSettlement(**values | changed)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({}, None),
        ({"baseline_kw": (19.0, 22.0)}, "the baseline of period 1 was 22.0 kW, not 19.0 kW"),
        ({"baseline_kw": (23.0, 22.0)}, "the baseline of period 1 was 22.0 kW, not 23.0 kW"),
        # the meters have lately shown two kW less than was told
        ({"baseline_kw": (20.0, 20.0), "reduced_kwh": 4.5, "remuneration_eur": Decimal("1.35")}, None),
        ({"metered_kw": (11.0, 14.0)}, "my meters had 11.0 kW in period 2, not 14.0 kW"),
        ({"promised_kw": 10.0}, "11 kW were promised, not 10 kW"),
        ({"reduced_kwh": 4.0}, "5.50 kWh were delivered, not 4.00 kWh"),
        ({"remuneration_eur": Decimal("1.60")}, "1.65 EUR are due for that, not 1.60 EUR"),
        ({"end": at(75)}, "the service was from 06:30 to 07:00 UTC"),
    ],
    ids=["true", "below", "above", "capped", "meters", "promise", "energy", "amount", "time"],
)
def test_the_settlement_is_held_against_the_own_meters(changed: dict[str, Any], why: str | None) -> None:
    async def main(stage: Stage) -> None:
        _, dso = await scene(stage, cars(2))
        tender, _ = await offered(dso, congestion_call(power_kw=11.0))
        dso.accept(tender, 11.0)
        await stage.until(62)
        answer = await dso.propose(bill(**changed), to=jid("lot1"), reply_by=at(64))
        assert isinstance(answer, Accepted if why is None else Rejected)
        if why is not None:
            assert why in answer.reason

    run_swarm(main, Stage())
