"""The V2X manager between the FO's calls, the drivers' departures and the chargers (D5.1 3.2 and 3.4.1)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from agents.island_ports import SiteReading
from agents.ports import ChargerNonsenseError, ChargerSilentError
from behaviours.outcomes import CalledOff, Failed, Informed, Refused
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.portugal_stage import (
    Houses,
    PlainEmsp,
    PlainFo,
    TimedCar,
    award_of,
    curtailment_call,
    voltage_call,
)
from tests.agents.stage import EFFICIENCY, MINUTE, QUARTER, PlainVpp, Stage, at, informed
from tests.swarm import jid, run_swarm

REVERSION_S = 20 * 60


def waiting(name: str = "c1", **changed: Any) -> TimedCar:
    """A car whose timer starts the charging at 10:00 (minute 240)."""
    return TimedCar(name, **{"soc": 40.0, "wanted": 80.0, "leaves": 800, "charges_from": 240.0} | changed)


def charging(name: str = "c1", **changed: Any) -> TimedCar:
    """A car that charges on arrival."""
    return TimedCar(name, **{"soc": 40.0, "wanted": 80.0, "leaves": 800} | changed)


async def offered(fo: PlainFo, call: Any, manager: str = "houses1") -> tuple[Any, Any]:
    """The tender of one call and the offer in it."""
    tender = await fo.call(call, manager)
    assert tender.refusals == ()
    (proposal,) = tender.proposals
    assert proposal.faults == ()
    return tender, proposal.content


async def refused(fo: PlainFo, call: Any) -> x.Reason:
    tender = await fo.call(call)
    (refusal,) = tender.refusals
    assert isinstance(refusal, Refused), refusal
    assert isinstance(refusal.content, x.Reason)
    return refusal.content


# ---- 1.x.8, 2.1 ----------------------------------------------------------------------------------------------------


def test_each_quarter_the_fo_gets_the_means_of_the_last_and_the_forecast_of_the_next() -> None:
    """D5.1 3.2: measurements "every 15 minutes", and the forecast of the next 15."""

    async def main(stage: Stage) -> None:
        cars = [charging("c1", arrives=5), waiting("c2", charges_from=36.0), TimedCar("c3", arrives=700, leaves=800)]
        await Houses.open(stage, cars)
        fo = await stage.start(PlainFo, "fo")
        await fo.listen()
        await stage.until(16)
        assert fo.measured == []
        await stage.until(18)
        (report,) = fo.measured
        assert (report.request_id, report.source, report.timestamp) == ("fo-2.1", "houses1", at(17))
        assert (report.start, report.end) == (at(0), at(15))
        assert report.ev_kw == pytest.approx(11.0 * 10 / 15, abs=1e-3)
        assert (report.production_kw, report.p_kw, report.u_v, report.f_hz) == (0.0, 0.0, 231.0, 50.01)
        # the next quarter begins at minute 30, the timer of c2 in the middle of it
        assert report.forecast_kw == pytest.approx(11.0 + 11.0 * 9 / 15, abs=1e-3)
        here, later = report.users
        assert (here.user_id, here.location, here.vehicles, here.service) == ("c1", "bus1", 1, None)
        assert here.power_kw == pytest.approx(11.0 * 10 / 15, abs=1e-3)
        assert here.energy_kwh == pytest.approx(11.0 / 6, abs=1e-3)
        assert (here.baseline_kw, here.increase_kw, here.decrease_kw) == (11.0, 0.0, 18.4)
        assert here.energy_required_kwh == pytest.approx(20.0 - 11.0 * 0.94 * 12 / 60, abs=1e-3)
        assert (later.baseline_kw, later.increase_kw, later.decrease_kw) == (6.6, 4.4, 14.0)
        await stage.until(33)
        assert fo.measured[1].ev_kw == pytest.approx(11.0)

    run_swarm(main, Stage())


def test_the_most_that_a_vehicle_will_draw_at_a_moment_of_the_next_quarter_is_told() -> None:
    async def main(stage: Stage) -> None:
        cars = [charging("c1"), waiting("c2", charges_from=36.0), waiting("c3"), charging("c4", announced=False)]
        await Houses.open(stage, cars)
        fo = await stage.start(PlainFo, "fo")
        await fo.listen()
        await stage.until(18)
        told = {user.user_id: (user.baseline_kw, user.highest_kw) for user in fo.measured[0].users}
        assert told == {"c1": (11.0, 11.0), "c2": (6.6, 11.0), "c3": (0.0, 0.0), "c4": (11.0, None)}

    run_swarm(main, Stage())


class HouseMeter:
    """The port `SiteMeter`: as many kW as the quarter's beginning is minutes after the stage's."""

    def measured(self, start: datetime, end: datetime) -> SiteReading:
        assert end - start == QUARTER
        return SiteReading(p_kw=(start - at(0)) / MINUTE - 20.00004, q_kvar=0.12345)


def test_2_1_has_what_the_site_draws_beside_its_vehicles() -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [charging("c1")], site=HouseMeter())
        fo = await stage.start(PlainFo, "fo")
        await fo.listen()
        await stage.until(48)
        assert [(report.p_kw, report.q_kvar) for report in fo.measured] == [
            (-20.0, 0.123),
            (-5.0, 0.123),
            (10.0, 0.123),
        ]
        assert fo.measured[2].ev_kw == pytest.approx(11.0)

    run_swarm(main, Stage())


@pytest.mark.parametrize(("least", "offers"), [(0.52, True), (0.48, False)])
def test_what_is_below_half_a_kilowatt_is_neither_told_nor_offered(least: float, offers: bool) -> None:
    """The battery may take so much in a quarter of an hour until it is as full as it may be, at 90 %."""

    async def main(stage: Stage) -> None:
        soc = 90.0 - least * 0.25 * EFFICIENCY / 50.0 * 100
        await Houses.open(stage, [waiting("c1", soc=soc, wanted=90.0, minimum=20.0)])
        fo = await stage.start(PlainFo, "fo")
        await fo.listen()
        await stage.until(18)
        (user,) = fo.measured[0].users
        if offers:
            _, offer = await offered(fo, curtailment_call(start=30))
            assert user.increase_kw == pytest.approx(least, abs=0.05)
            assert offer.users[0].power_kw == pytest.approx(least, abs=0.05)
        else:
            assert user.increase_kw == 0.0
            assert (await refused(fo, curtailment_call(start=30))).code == "no-room"

    run_swarm(main, Stage())


def test_a_vehicle_that_nobody_announced_is_told_of_but_not_offered() -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [charging("c1", announced=False)])
        fo = await stage.start(PlainFo, "fo")
        await fo.listen()
        await stage.until(18)
        (user,) = fo.measured[0].users
        assert (user.baseline_kw, user.increase_kw, user.decrease_kw) == (11.0, 0.0, 0.0)
        assert (await refused(fo, voltage_call(start=30))).code == "no-vehicle"

    run_swarm(main, Stage())


def test_a_driver_speaks_for_the_own_charger_only() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting("c1"), waiting("c2")])
        await stage.until(2)
        assert isinstance(await houses.drivers["c1"].announce("houses1", waiting("c2", wanted=20.0)), Refused)
        assert isinstance(await houses.drivers["c1"].announce("houses1", waiting("c9")), Refused)
        await stage.until(20)
        vehicle = houses.manager.desk.parked("c2", at(20))
        assert vehicle is not None
        assert vehicle.required_kwh == 40.0

    run_swarm(main, Stage())


def test_the_manager_is_found_by_its_feeder_and_kind() -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        (entry,) = await fo.search(role=Role.V2X_MANAGER, location="feeder1", service="kind:houses")
        assert entry.jid == jid("houses1")

    run_swarm(main, Stage())


# ---- 2.4, 2.5, 2.3: more consumption -------------------------------------------------------------------------------


def test_an_increase_really_charges_and_then_the_own_plan_goes_on() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting("c1"), waiting("c2")])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call()
        tender, offer = await offered(fo, call)
        assert isinstance(offer, x.Availability)
        assert (offer.request_id, offer.user_id, offer.power_kw, offer.energy_kwh) == ("r-s1", "houses1", 22.0, 11.0)
        assert [(u.user_id, u.ev_owner, u.location, u.baseline_kw, u.power_kw) for u in offer.users] == [
            ("c1", jid("ev-c1"), "bus1", 0.0, 11.0),
            ("c2", jid("ev-c2"), "bus1", 0.0, 11.0),
        ]
        result = fo.accept(tender, award_of(call, offer, share=0.5, only=["c1"]))
        await stage.until(14)
        assert houses.charger("c1").orders == []
        await stage.until(15)
        assert houses.charger("c1").orders == [(at(15), 5.5, REVERSION_S)]
        await stage.until(44)
        assert not result.done()
        assert houses.charger("c1").orders[-1] == (at(30), 5.5, REVERSION_S)
        await stage.until(46)
        assert informed(await result) == x.Done(reference="s1")
        assert houses.charger("c1").power_kw == 0.0
        assert houses.charger("c2").orders == []
        await stage.until(801)
        assert houses.metered_kw("c1", 15, 45) == pytest.approx(5.5)
        assert houses.metered_kw("c1", 46, 240) == 0.0
        assert houses.metered_kw("c1", 240, 255) == pytest.approx(11.0)
        assert houses.left_with == {"c1": pytest.approx(80.0), "c2": pytest.approx(80.0)}

    run_swarm(main, Stage())


def test_a_nearly_full_vehicle_keeps_the_first_quarter_and_what_is_possible_of_the_tail() -> None:
    async def main(stage: Stage) -> None:
        # 80 % wanted and there; up to 90 % of 50 kWh may be stored: 5 kWh in, 5.319 at the grid
        houses = await Houses.open(stage, [waiting(soc=80.0)])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call()
        tender, offer = await offered(fo, call)
        assert offer.power_kw == 11.0
        fo.accept(tender, award_of(call, offer))
        await stage.until(60)
        assert houses.metered_kw("c1", 15, 30) == pytest.approx(11.0)
        assert houses.metered_kw("c1", 30, 45) == pytest.approx((5.0 / 0.94 - 2.75) * 4, abs=0.01)
        assert houses.charger("c1").soc_percent == pytest.approx(90.0, abs=0.01)

    run_swarm(main, Stage())


# ---- 4.1.1 to 4.1.4: less consumption ------------------------------------------------------------------------------


def test_a_decrease_postpones_the_charging_and_the_car_still_leaves_with_what_was_asked_for() -> None:
    async def main(stage: Stage) -> None:
        # 20 kWh to charge are 1 h 56 min; without discharging: the price pays for waiting only
        houses = await Houses.open(stage, [charging(leaves=1 + 116 + 60)])
        fo = await stage.start(PlainFo, "fo")
        await fo.listen()
        await stage.until(5)
        call = voltage_call(cost="0.23")
        tender, offer = await offered(fo, call)
        assert isinstance(offer, x.ParticipationResponse)
        assert (offer.users[0].baseline_kw, offer.users[0].power_kw) == (11.0, -11.0)
        result = fo.accept(tender, award_of(call, offer))
        await stage.until(46)
        info = informed(await result)
        assert isinstance(info, x.ParticipationInfo)
        assert (info.request_id, info.service_id, info.start, info.end) == ("r-v1", "v1", at(15), at(45))
        (user,) = info.users
        assert (user.user_id, user.service, user.power_kw) == ("c1", x.ServiceType.VOLTAGE_CONTROL, 0.0)
        await stage.until(180)
        assert houses.metered_kw("c1", 15, 45) == 0.0
        assert houses.metered_kw("c1", 45, 60) == pytest.approx(11.0)
        assert houses.left_with["c1"] == pytest.approx(80.0)
        # 4.1.4 after each quarter of the service, 2.1 always
        assert [(p.request_id, p.service_id, p.start, p.end) for p in fo.took_part] == [
            ("fo-4.1.4", "v1", at(15), at(30)),
            ("fo-4.1.4", "v1", at(30), at(45)),
        ]
        services = [report.users[0].service for report in fo.measured[:4]]
        assert services == [None, x.ServiceType.VOLTAGE_CONTROL, x.ServiceType.VOLTAGE_CONTROL, None]

    run_swarm(main, Stage())


def test_power_is_given_back_down_to_the_drivers_floor_and_no_further() -> None:
    async def main(stage: Stage) -> None:
        # 3 kWh above the floor are 2.82 kWh at the grid: a quarter of 7.4 kW, and a part of the next
        houses = await Houses.open(stage, [waiting(soc=26.0, minimum=20.0)])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = voltage_call()
        tender, offer = await offered(fo, call)
        assert (offer.users[0].baseline_kw, offer.users[0].power_kw) == (0.0, -7.4)
        fo.accept(tender, award_of(call, offer))
        await stage.until(60)
        assert houses.metered_kw("c1", 15, 30) == pytest.approx(-7.4)
        assert houses.metered_kw("c1", 15, 60) * 0.75 == pytest.approx(-2.82, abs=0.01)
        assert houses.charger("c1").soc_percent == pytest.approx(20.0, abs=0.01)
        await stage.until(801)
        assert houses.left_with["c1"] == pytest.approx(80.0)

    run_swarm(main, Stage())


def test_a_car_that_was_done_and_gave_back_a_little_leaves_with_what_was_asked_for() -> None:
    """Its charger would not take up charging for less than 1 % of the capacity."""

    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [charging(soc=79.9, leaves=200)])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(19)
        call = voltage_call(start=30, minutes=15)
        tender, offer = await offered(fo, call)
        fo.accept(tender, award_of(call, offer, share=0.2))
        await stage.until(45)
        assert houses.metered_kw("c1", 30, 45) == pytest.approx(-1.48)
        await stage.until(201)
        assert houses.left_with["c1"] == pytest.approx(80.0)
        assert houses.metered_kw("c1", 60, 200) == pytest.approx(0.0, abs=1e-3)

    run_swarm(main, Stage())


def test_a_car_in_a_hurry_gives_up_only_what_it_can_make_up_for() -> None:
    async def main(stage: Stage) -> None:
        # at minute 15 there are 102 minutes to charge; with the slack one of 15 cannot be spared, and none of the tail
        houses = await Houses.open(stage, [charging(leaves=15 + 15 + 102 + 15 - 1)])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = voltage_call(cost="0.23")
        tender, offer = await offered(fo, call)
        assert offer.power_kw == pytest.approx(-11.0 * 14 / 15, abs=0.1)
        fo.accept(tender, award_of(call, offer))
        await stage.until(150)
        assert houses.metered_kw("c1", 15, 30) == pytest.approx(11.0 + offer.power_kw, abs=0.01)
        assert houses.metered_kw("c1", 30, 45) == pytest.approx(11.0, abs=0.01)
        assert houses.left_with["c1"] == pytest.approx(80.0)

    run_swarm(main, Stage())


def test_the_baseline_that_is_nominated_is_what_the_vehicle_would_have_drawn() -> None:
    """Of two cars alike, which are done soon after the service begins, one takes part and the other does not."""

    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [charging("c1", soc=74.0), charging("c2", soc=74.0)])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = voltage_call()
        tender, offer = await offered(fo, call)
        fo.accept(tender, award_of(call, offer, only=["c1"]))
        await stage.until(31)
        baseline = offer.users[0].baseline_kw
        assert 2.0 < baseline < 3.0
        assert houses.metered_kw("c2", 15, 30) == pytest.approx(baseline, abs=0.01)
        assert houses.metered_kw("c1", 15, 30) == pytest.approx(baseline + offer.users[0].power_kw, abs=0.01)

    run_swarm(main, Stage())


def test_a_vehicle_that_serves_is_offered_anew_from_the_state_in_which_the_service_leaves_it() -> None:
    async def main(stage: Stage) -> None:
        # 4.3 kWh may be stored: 2.585 of them in the first quarter, so 1.715 are left for the next
        houses = await Houses.open(stage, [waiting(soc=81.4)])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call("s1")
        tender, offer = await offered(fo, call)
        fo.accept(tender, award_of(call, offer))
        await stage.until(20)
        call = curtailment_call("s2", start=30)
        tender, offer = await offered(fo, call)
        assert offer.power_kw == pytest.approx(1.715 / 0.94 * 4, abs=0.01)
        fo.accept(tender, award_of(call, offer, renews="s1"))
        await stage.until(46)
        assert houses.metered_kw("c1", 30, 45) == pytest.approx(offer.power_kw, abs=0.01)

    run_swarm(main, Stage())


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cars", "call", "code"),
    [
        ([waiting(arrives=100)], curtailment_call(), "no-vehicle"),
        ([waiting(soc=95.0)], curtailment_call(), "no-room"),
        ([charging()], curtailment_call(), "no-room"),
        ([waiting(soc=20.0)], voltage_call(), "no-room"),
        ([waiting()], curtailment_call(cost="0.115"), "price"),
        ([waiting()], voltage_call(cost="0.12"), "price"),
        ([waiting()], curtailment_call(power_kw=-5.0), "not-possible"),
        ([waiting()], curtailment_call(start=20), "not-possible"),
        ([waiting()], curtailment_call(minutes=20), "not-possible"),
        ([waiting()], voltage_call(location="feeder2"), "not-possible"),
        ([waiting()], curtailment_call(start=0), "not-possible"),
    ],
)
def test_a_manager_that_can_offer_nothing_says_why(cars: list[TimedCar], call: Any, code: str) -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, cars)
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        assert (await refused(fo, call)).code == code
        assert houses.manager.book.holds == ()

    run_swarm(main, Stage())


def test_a_call_of_somebody_who_is_not_the_fo_changes_nothing() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting()])
        stranger = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        tender = await stranger.call_for_proposals(curtailment_call(), to=[jid("houses1")], reply_by=at(8))
        (refusal,) = tender.refusals
        assert refusal.content.code == "not-authorised"  # type: ignore[attr-defined]
        assert houses.manager.book.holds == ()

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"start": at(30)}, "start is"),
        ({"duration_minutes": 45}, "duration_minutes is 45"),
        ({"service_id": "s9"}, "service_id is s9"),
        ({"power_kw": 12.0}, "c1 was offered for +11.0 kW, less than +12.0 kW"),
        ({"user": "c7"}, "c7 was not offered"),
    ],
)
def test_an_award_that_is_not_what_was_offered_is_a_failure_and_moves_no_charger(
    changed: dict[str, Any], fault: str
) -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call()
        tender, offer = await offered(fo, call)
        values = dict(changed)
        kw, user = values.get("power_kw", 11.0), values.pop("user", "c1")
        order = x.EvOrder(user_id=user, location="bus1", baseline_kw=0.0, power_kw=kw)
        result = fo.accept(tender, award_of(call, offer, **{"power_kw": kw, "orders": (order,)} | values))
        await stage.until(60)
        outcome = await result
        assert isinstance(outcome, Failed), outcome
        assert fault in outcome.reason
        assert houses.charger("c1").orders == []
        assert houses.manager.book.free("c1", at(75), at(60))

    run_swarm(main, Stage())


def test_a_late_award_is_a_failure_and_moves_no_charger() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call()
        tender, offer = await offered(fo, call)
        await stage.until(10)  # the offer stood until minute 9
        result = fo.accept(tender, award_of(call, offer))
        await stage.until(60)
        assert not isinstance(await result, Informed)
        assert houses.charger("c1").orders == []

    run_swarm(main, Stage())


# ---- two services at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["wind", "voltage"])
def test_what_is_offered_to_one_service_is_not_offered_to_another_at_the_same_moment(first: str) -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        calls: list[Any] = [curtailment_call(), voltage_call()]
        one, other = calls if first == "wind" else calls[::-1]
        talks = [fo.spawn(fo.call(call)) for call in (one, other)]
        tenders = [await talk for talk in talks]
        assert [len(tender.proposals) for tender in tenders] == [1, 0]
        (refusal,) = tenders[1].refusals
        assert refusal.content.code == "promised"

    run_swarm(main, Stage())


@pytest.mark.parametrize("first", ["wind", "voltage"])
def test_of_two_services_of_opposite_signs_the_first_promise_keeps_the_vehicle(first: str) -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting("c1"), waiting("c2")])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(4)
        calls: list[Any] = [curtailment_call(), voltage_call()]
        one, other = calls if first == "wind" else calls[::-1]
        tender, offer = await offered(fo, one)
        fo.accept(tender, award_of(one, offer, only=["c1"]))
        await stage.until(5)
        tender, second = await offered(fo, other)
        assert [user.user_id for user in second.users] == ["c2"]
        fo.accept(tender, award_of(other, second))
        await stage.until(60)
        expected = {one.service_id: offer.users[0].power_kw, other.service_id: second.users[0].power_kw}
        assert sorted(expected.values()) == [-7.4, 11.0]
        assert houses.metered_kw("c1", 15, 30) == pytest.approx(expected[one.service_id])
        assert houses.metered_kw("c2", 15, 30) == pytest.approx(expected[other.service_id])

    run_swarm(main, Stage())


def test_a_rejected_offer_can_be_made_to_the_other_service() -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(4)
        tender, _ = await offered(fo, curtailment_call())
        assert (await refused(fo, voltage_call())).code == "promised"
        await tender.award({}, done_by=at(60))
        await stage.settle()
        _, offer = await offered(fo, voltage_call("v2"))
        assert offer.power_kw == -7.4

    run_swarm(main, Stage())


def test_an_offer_that_nobody_answers_lapses() -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(4)
        await offered(fo, curtailment_call())
        await stage.until(9)  # at most two minutes to answer, and two to decide
        assert (await offered(fo, voltage_call()))[1].power_kw == -7.4

    run_swarm(main, Stage())


def test_another_service_takes_the_tail_and_the_first_goes_on_without_that_vehicle() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting("c1"), waiting("c2")])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call()
        tender, offer = await offered(fo, call)
        first = fo.accept(tender, award_of(call, offer, share=0.5))
        await stage.until(19)
        other = voltage_call(start=30)
        tender, second = await offered(fo, other)
        fo.accept(tender, award_of(other, second, only=["c2"]))
        await stage.until(61)
        assert houses.metered_kw("c1", 15, 45) == pytest.approx(5.5)
        assert houses.metered_kw("c2", 15, 30) == pytest.approx(5.5)
        assert houses.metered_kw("c2", 30, 60) == pytest.approx(-7.4)
        assert isinstance(await first, Informed)

    run_swarm(main, Stage())


# ---- renewal and deactivation --------------------------------------------------------------------------------------


def test_a_renewed_service_goes_on_without_a_gap_and_the_old_one_is_answered_at_its_start() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting("c1"), waiting("c2")])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = curtailment_call("s1")
        tender, offer = await offered(fo, call)
        old = fo.accept(tender, award_of(call, offer, share=0.5))
        await stage.until(20)
        call = curtailment_call("s2", start=30)
        tender, offer = await offered(fo, call)
        assert [user.baseline_kw for user in offer.users] == [0.0, 0.0]
        new = fo.accept(tender, award_of(call, offer, share=0.5, only=["c1"], renews="s1"))
        await stage.until(29)
        assert not old.done()
        await stage.until(31)
        assert old.done()
        assert informed(await old) == x.Done(reference="s1")
        assert not new.done()
        assert houses.charger("c1").releases == 0
        assert houses.charger("c2").releases == 1
        await stage.until(61)
        for minute in range(15, 60):
            assert houses.metered_kw("c1", minute, minute + 1) == pytest.approx(5.5)
        assert houses.metered_kw("c2", 30, 60) == 0.0
        assert informed(await new) == x.Done(reference="s2")

    run_swarm(main, Stage())


@pytest.mark.parametrize("make", [curtailment_call, voltage_call])
def test_a_cancelled_service_gives_the_chargers_back_at_once(make: Any) -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting()])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = make("s1")
        tender, offer = await offered(fo, call)
        result = fo.accept(tender, award_of(call, offer))
        await stage.until(20)
        assert houses.charger("c1").power_kw != 0.0
        cancelled = await tender.cancel(
            jid("houses1"), x.Cancellation(reference="s1", reason="no need"), reply_by=at(25)
        )
        assert informed(cancelled) == x.Done(reference="s1")
        assert stage.clock.now() < at(21)
        assert houses.charger("c1").power_kw == 0.0
        assert houses.charger("c1").releases == 1
        await stage.until(60)
        assert houses.metered_kw("c1", 20, 60) == 0.0
        assert isinstance(await result, CalledOff)
        assert houses.manager.book.serving(at(30)) == {}

    run_swarm(main, Stage())


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_a_vehicle_that_leaves_early_takes_nobody_along_and_nothing_is_promised_of_the_next_one() -> None:
    async def main(stage: Stage) -> None:
        cars = [waiting("c1", soc=20.0, wanted=50.0), waiting("c2")]
        houses = await Houses.open(stage, cars)
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = voltage_call(power_kw=50.0, cost="0.05", minutes=60)
        tender, offer = await offered(fo, call)
        result = fo.accept(tender, award_of(call, offer, share=0.5))
        await stage.until(20)
        houses.leave(cars[0])
        await stage.until(22)
        houses.arrive(waiting("c1", arrives=22.0, soc=50.0))
        await stage.until(80)
        info = informed(await result)
        assert len(houses.charger("c1").orders) == 1
        assert houses.metered_kw("c1", 23, 75) == 0.0
        assert houses.metered_kw("c2", 15, 75) == pytest.approx(5.5)
        parts = {user.user_id: user.power_kw for user in info.users}
        assert parts == {"c1": pytest.approx(5.5 / 12, abs=1e-3), "c2": pytest.approx(5.5, abs=1e-3)}

    run_swarm(main, Stage())


@pytest.mark.parametrize("kind", [ChargerSilentError, ChargerNonsenseError])
def test_a_charger_that_falls_silent_is_noticed_once_and_commanded_again_when_it_is_back(kind: Any) -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting("c1"), waiting("c2")])
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = voltage_call(power_kw=50.0, cost="0.05", minutes=60)
        tender, offer = await offered(fo, call)
        result = fo.accept(tender, award_of(call, offer, share=0.3))
        await stage.until(20)
        houses.charger("c1").fault = kind("c1", "127.0.0.1:5020", "it does not answer", "look at its cable")
        await stage.until(50)
        assert stage.noticed("charger c1 at") == 1
        assert [when for when, _, _ in houses.charger("c2").orders] == [at(15), at(30), at(45)]
        houses.charger("c1").fault = None
        await stage.until(80)
        assert stage.noticed("charger c1 answers again") == 1
        assert [when for when, _, _ in houses.charger("c1").orders] == [at(15), at(60)]
        assert isinstance(await result, Informed)

    run_swarm(main, Stage())


def test_a_manager_that_does_not_obey_offers_and_accepts_and_moves_nothing() -> None:
    async def main(stage: Stage) -> None:
        houses = await Houses.open(stage, [waiting()], obeys=lambda now: now >= at(100))
        fo = await stage.start(PlainFo, "fo")
        await stage.until(5)
        call = voltage_call()
        tender, offer = await offered(fo, call)
        result = fo.accept(tender, award_of(call, offer))
        await stage.until(46)
        info = informed(await result)
        assert houses.charger("c1").orders == []
        assert [user.power_kw for user in info.users] == [0.0]  # it tells what was metered

    run_swarm(main, Stage())


# ---- money ---------------------------------------------------------------------------------------------------------


def test_an_invoice_is_paid_once() -> None:
    async def main(stage: Stage) -> None:
        await Houses.open(stage, [waiting()])
        emsp = await stage.start(PlainEmsp, "emsp")
        await stage.until(5)
        invoice = x.Invoice(
            invoice_id="i1",
            customer=jid("houses1"),
            start=at(0),
            end=at(5),
            lines=(x.InvoiceLine(item="penalty", amount_eur=Decimal("1.20")),),
            amount_eur=Decimal("1.20"),
            due=at(100),
        )
        for _ in range(2):
            answer = await emsp.request(invoice, to=jid("houses1"), reply_by=stage.clock.now() + MINUTE)
            assert informed(answer).amount_eur == Decimal("1.20")
        assert stage.balance("houses1") == Decimal("-1.20")
        other = invoice.model_copy(update={"invoice_id": "i2", "customer": jid("houses2")})
        assert isinstance(await emsp.request(other, to=jid("houses1"), reply_by=at(10)), Refused)
        assert stage.balance("emsp") == Decimal("1.20")

    run_swarm(main, Stage())
