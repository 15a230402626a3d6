"""The CPO between the VPP's signal, the drivers' decision and the charger's setpoint (D5.1, 3.1.2 and 3.6.2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from agents.ports import ChargerNonsenseError, ChargerSilentError
from behaviours.outcomes import Agreed, Failed, Informed, Refused
from protocols import exchanges as x
from tests.agents.stage import (
    MINUTE,
    Car,
    Driver,
    PlainDso,
    PlainVpp,
    Site,
    Stage,
    at,
    cancel,
    cpo_order,
    cpo_signal,
    informed,
    start_meters,
)
from tests.swarm import jid, run_swarm

REVERSION_S = 20 * 60


async def data(stage: Stage, vpp: PlainVpp, data_type: x.DataType = x.DataType.STATUS) -> x.DataMeasurements:
    request = x.DataRequest(request_id=f"r-{stage.clock.now():%H%M}", data_type=data_type, timestamp=stage.clock.now())
    answer = await vpp.query_ref(request, to=jid("cpo1"), reply_by=stage.clock.now() + 3 * MINUTE)
    content = informed(answer)
    assert isinstance(content, x.DataMeasurements)
    return content


def three_cars(**changed: Any) -> list[Car]:
    return [Car(f"c{n}", soc=30.0 + n, **changed) for n in (1, 2, 3)]


# ---- 1.2.1, 1.2.2 and 1.x.8 ----------------------------------------------------------------------------------------


def test_a_data_request_is_answered_with_production_and_the_state_of_every_charger() -> None:
    """D5.1 3.1.2: production, "the status of the EVs, whether they are connected, if they are charging, the SoC and
    also data about the active (P) power, voltage, and frequency"."""

    async def main(stage: Stage) -> None:
        await start_meters(stage)
        cars = [Car("c1", soc=40.0, wanted=80.0, leaves=240), Car("c2", arrives=200, bus="bus2", announced=False)]
        site = await Site.open(stage, cars, pv_bus="bus1")
        vpp = await stage.start(PlainVpp, "vpp1")
        await site.drivers["c2"].announce("cpo1", cars[1], plugged_in=False)
        await stage.until(2)
        report = await data(stage, vpp)
        assert report.request_id == "r-0602"
        assert report.production_kw == 3.25
        assert report.power_kw == 11.0
        here, expected = report.chargers
        assert (here.connected, here.state, here.power_kw) == (True, x.ChargerState.CHARGING, 11.0)
        assert (here.voltage_v, here.frequency_hz, here.ev_owner) == (231.0, 50.01, jid("ev-c1"))
        gained_kwh = 11.0 * 0.94 / 60  # one minute of charging
        assert here.soc_percent == pytest.approx(40.0 + gained_kwh / 50 * 100, abs=1e-3)
        assert here.energy_required_kwh == pytest.approx(20.0 - gained_kwh, abs=1e-3)
        assert (here.departure, here.minimum_soc_percent) == (at(240), 20.0)
        assert (expected.connected, expected.expected_arrival, expected.location) == (False, at(200), "bus2")
        assert (expected.max_charge_kw, expected.max_discharge_kw) == (11.0, 7.4)

    run_swarm(main, Stage())


def test_the_plan_in_the_data_is_what_the_chargers_then_draw() -> None:
    """D5.1 3.1.1 calls it "projected usage": each car charges on arrival until it has what is wanted."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars(arrives=0))
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(0)
        report = await data(stage, vpp)
        assert report.plan_start == at(0)
        await stage.until(240)
        metered = [site.metered_kw(k * 15, k * 15 + 15) for k in range(16)]
        assert report.planned_kw[:16] == pytest.approx(metered, abs=0.05)
        assert metered[0] == pytest.approx(33.0)
        assert metered[-1] == 0.0

    run_swarm(main, Stage())


def test_without_a_meter_at_the_pv_the_data_come_all_the_same() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, [Car("c1")], pv_bus="bus1")  # there is no environment agent
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(2)
        report = await data(stage, vpp)
        assert (report.production_kw, report.power_kw) == (0.0, 11.0)

    run_swarm(main, Stage())


def test_a_session_at_a_charger_of_somebody_else_is_refused() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1")])
        answer = await site.drivers["c1"].announce("cpo1", Car("c9"))
        assert isinstance(answer, Refused)
        assert answer.content.code == "unknown-charger"  # type: ignore[attr-defined]

    run_swarm(main, Stage())


# ---- activation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [cpo_order(power_kw=15.0), cpo_signal(power_kw=15.0)], ids=["6.2.2", "1.2.3"])
def test_an_activation_becomes_setpoints_and_the_chargers_draw_that_much_less(order: Any) -> None:
    """D5.1 3.1.2 and 3.6.2: the signal goes to the CPO, the drivers are told, the units are activated."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(order, "cpo1")
        assert isinstance(answer, Agreed)
        assert answer.content.available_power_kw == 15.0  # type: ignore[attr-defined]
        await stage.until(29)
        assert site.orders() == 0
        assert site.power_kw == pytest.approx(33.0)
        await stage.until(30)
        assert site.power_kw == pytest.approx(18.0, abs=0.01)
        for car in site.cars:
            (when, kw, reversion_s) = site.charger(car).orders[0]
            assert (when, reversion_s) == (at(30), REVERSION_S)
            assert site.charger(car).power_kw == pytest.approx(kw)
        await stage.until(60)
        assert site.metered_kw(30, 45) == pytest.approx(18.0, abs=0.05)
        assert site.metered_kw(45, 60) == pytest.approx(18.0, abs=0.05)
        assert isinstance(await answer.result(), Informed)

    run_swarm(main, Stage())


def test_a_driver_is_told_the_service_the_time_the_power_and_the_benefit() -> None:
    """D5.1 3.1.2: "the type of service, the time stamp, the power provided or demanded, and the benefit"."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1")], owner_benefit="0.03")
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_signal(power_kw=6.0), "cpo1")
        (offer,) = site.drivers["c1"].asked
        assert isinstance(offer, x.ParticipationInformation)
        assert (offer.activation_id, offer.service) == ("a1", x.ServiceType.CONGESTION_MANAGEMENT)
        assert (offer.start, offer.end, offer.power_kw) == (at(30), at(60), pytest.approx(6.0, abs=0.01))
        assert offer.benefit_eur == Decimal("0.36")  # 6 kW in two quarters at 0.03 EUR/kW

    run_swarm(main, Stage())


def test_the_ceiling_of_the_order_holds_where_the_plan_has_moved() -> None:
    """`ceiling_kw` is absolute: the most that the chargers may draw together."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(power_kw=10.0, ceiling_kw=(20.0, 25.0)), "cpo1")
        assert isinstance(answer, Agreed)
        await stage.until(60)
        assert site.metered_kw(30, 45) <= 20.05
        assert 20.1 < site.metered_kw(45, 60) <= 25.05

    run_swarm(main, Stage())


def test_drivers_who_decline_are_replaced_by_others() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        first: list[str] = []

        def only_later(name: str) -> Any:
            def decide(offer: Any) -> str | None:
                if not first or name in first:
                    first.append(name)
                    return "not today"
                return None

            return decide

        for name, driver in site.drivers.items():
            driver.decides = only_later(name)
        answer = await vpp.order(cpo_order(power_kw=11.0), "cpo1")
        assert isinstance(answer, Agreed)
        assert answer.content.available_power_kw == 11.0  # type: ignore[attr-defined]
        assert len(set(first)) == 1
        await stage.until(61)
        declined = site.drivers[first[0]]
        assert len(declined.asked) == 1
        assert stage.chargers[first[0]].orders == []
        assert site.metered_kw(30, 60) == pytest.approx(22.0, abs=0.05)

    run_swarm(main, Stage())


def test_when_every_driver_declines_the_cpo_refuses_and_no_charger_moves() -> None:
    """D5.1 3.6.2: the CPO "will inform the VPP of the EV owner's decision to participate" (6.2.4)."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        for driver in site.drivers.values():
            driver.decides = lambda offer: "not today"
        answer = await vpp.order(cpo_order(), "cpo1")
        assert isinstance(answer, Refused)
        assert isinstance(answer.content, x.CpoActivationResponse)
        assert (answer.content.accepted, answer.content.available_power_kw) == (False, 0.0)
        assert answer.content.reason is not None
        await stage.until(61)
        assert site.orders() == 0
        assert site.metered_kw(30, 60) == pytest.approx(33.0, abs=0.01)

    run_swarm(main, Stage())


def test_when_some_decline_the_cpo_agrees_to_what_is_left_and_keeps_that() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car(f"c{n}", minimum=30.0, soc=30.0) for n in (1, 2, 3)])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        for name in ("c1", "c2"):
            site.drivers[name].decides = lambda offer: "not today"
        answer = await vpp.order(cpo_order(power_kw=30.0), "cpo1")
        assert isinstance(answer, Agreed)
        assert isinstance(answer.content, x.CpoActivationResponse)
        available = answer.content.available_power_kw
        assert 10.9 <= available <= 18.4  # one car: 11 kW not charged, and what it may give
        assert "make" in (answer.content.reason or "")
        await stage.until(61)
        assert site.metered_kw(30, 60) == pytest.approx(33.0 - available, abs=0.11)
        assert stage.chargers["c1"].orders == stage.chargers["c2"].orders == []

    run_swarm(main, Stage())


def test_a_driver_who_keeps_silent_counts_as_declining_after_two_minutes() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1"), Car("c2")])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        site.drivers["c1"].decides = None
        answer = await vpp.order(cpo_order(power_kw=8.0), "cpo1")
        assert isinstance(answer, Agreed)
        assert stage.clock.now() <= at(5) + 5 * MINUTE
        assert answer.content.available_power_kw == 8.0  # type: ignore[attr-defined]
        await stage.until(61)
        assert stage.chargers["c1"].orders == []
        assert stage.chargers["c2"].orders

    run_swarm(main, Stage())


def test_a_car_without_an_announcing_driver_is_not_moved() -> None:
    """Nobody said when it leaves, so nothing may be planned with it."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1", announced=False)])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        assert isinstance(await vpp.order(cpo_order(power_kw=5.0), "cpo1"), Refused)
        await stage.until(61)
        assert site.orders() == 0

    run_swarm(main, Stage())


def test_an_order_for_time_that_has_begun_is_refused() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(31)
        assert isinstance(await vpp.order(cpo_order(), "cpo1"), Refused)
        await stage.until(61)
        assert site.orders() == 0
        assert all(driver.asked == [] for driver in site.drivers.values())

    run_swarm(main, Stage())


# ---- during and after a service ------------------------------------------------------------------------------------


def test_a_car_that_comes_while_a_service_runs_is_asked_and_held() -> None:
    async def main(stage: Stage) -> None:
        cars = [Car("c1"), Car("c2", arrives=40)]
        site = await Site.open(stage, cars)
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_order(end=75, power_kw=8.0, ceiling_kw=(3.0, 3.0, 3.0)), "cpo1")
        await stage.until(39)
        assert site.drivers["c2"].asked == []
        await stage.until(44)
        (offer,) = site.drivers["c2"].asked
        assert offer.start == at(40)  # of the quarter only what is left
        assert offer.end == at(75)
        assert site.power_kw <= 3.01
        await stage.until(76)
        assert site.metered_kw(45, 75) <= 3.05

    run_swarm(main, Stage())


def test_a_car_that_comes_between_the_order_and_its_start_is_asked_as_well() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1"), Car("c2", arrives=20)])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_order(start=30, end=60, power_kw=16.0, ceiling_kw=(0.0, 0.0)), "cpo1")
        assert site.drivers["c2"].asked == []
        await stage.until(25)
        (offer,) = site.drivers["c2"].asked
        assert offer.start == at(30)
        await stage.until(61)
        assert site.metered_kw(30, 60) <= 0.05

    run_swarm(main, Stage())


def test_a_vehicle_gives_power_back_only_in_the_quarters_its_driver_agreed_to() -> None:
    """The consent of exchange 1.2.5 has a start and an end; what follows it is catching up, and no second service."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1", soc=80.0), Car("c2", soc=80.0), Car("c3")])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_order(start=15, end=30, power_kw=14.0), "cpo1")
        await stage.until(240)
        given = {car.charger_id: [kw for kw in site.charger(car).setpoints() if kw < -0.01] for car in site.cars}
        assert any(given.values()), "the service needs power given back"
        for car in site.cars:
            charger = site.charger(car)
            assert min(charger.metered_kw(at(30 + 5 * k), at(35 + 5 * k)) for k in range(40)) >= -0.01

    run_swarm(main, Stage())


def test_a_driver_cannot_speak_for_another_drivers_charger() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1"), Car("c2")])
        site.cpo.drivers = {"c1": jid("ev-c1"), "c2": jid("ev-c2")}
        await stage.until(5)
        answer = await site.drivers["c2"].announce("cpo1", Car("c1", wanted=25.0))
        assert isinstance(answer, Refused)
        assert answer.content.code == "not-authorised"  # type: ignore[attr-defined]
        assert site.cpo.desk.owner_of("c1") == jid("ev-c1")

    run_swarm(main, Stage())


def test_the_stays_of_several_days_are_all_expected_each_in_its_turn() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1", leaves=300)])
        later = Car("c1", arrives=1440, leaves=2000)
        await site.drivers["c1"].announce("cpo1", later, plugged_in=False)
        await site.drivers["c1"].announce("cpo1", Car("c1", arrives=2880, leaves=3400), plugged_in=False)
        await stage.until(310)
        await site.cpo.desk.read()
        (status,) = site.cpo.desk.statuses()
        assert status.expected_arrival == at(1440)

    run_swarm(main, Stage())


def test_a_newcomer_who_declines_charges_as_it_likes() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1"), Car("c2", arrives=40)])
        site.drivers["c2"].decides = lambda offer: "I am in a hurry"
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_order(end=75, power_kw=8.0, ceiling_kw=(3.0, 3.0, 3.0)), "cpo1")
        await stage.until(76)
        assert len(site.drivers["c2"].asked) == 1
        assert stage.chargers["c2"].orders == []
        assert stage.chargers["c2"].metered_kw(at(45), at(75)) == pytest.approx(11.0, abs=0.01)

    run_swarm(main, Stage())


def test_after_the_service_every_driver_leaves_with_the_charge_asked_for_and_there_is_no_new_peak() -> None:
    """D5.1 3.1.1: departure constraints; the catching up must not overload what the service relieved."""

    async def main(stage: Stage) -> None:
        cars = [Car(f"c{n}", soc=40.0, wanted=80.0, leaves=60 + 150 + 15 * n) for n in range(1, 5)]
        site = await Site.open(stage, cars)
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(end=90, power_kw=30.0), "cpo1")
        assert isinstance(answer, Agreed)
        kept = answer.content.available_power_kw  # type: ignore[attr-defined]
        assert kept > 20
        await stage.until(280)
        assert site.metered_kw(30, 90) <= 44.0 - kept + 0.2
        assert len(site.left_with) == 4
        assert all(soc >= 80.0 - 0.1 for soc in site.left_with.values()), site.left_with
        afterwards = [site.metered_kw(m, m + 15) for m in range(90, 270, 15)]
        assert max(afterwards) <= 44.0 + 0.01
        assert max(afterwards) < 40.0  # spread, where there is time

    run_swarm(main, Stage())


def test_a_driver_in_a_hurry_is_never_left_below_what_was_asked_for() -> None:
    """The deepest reduction that can be ordered takes nothing from a car that must charge all the time."""

    async def main(stage: Stage) -> None:
        # 11 kW for 84 minutes are 29 % of 50 kWh: with 30 to 57 % wanted there is next to no time to spare
        site = await Site.open(stage, [Car("c1", soc=30.0, wanted=57.0, leaves=95)])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_order(power_kw=18.0), "cpo1")
        await stage.until(96)
        assert site.left_with["c1"] >= 57.0 - 0.1

    run_swarm(main, Stage())


def test_cancelling_a_service_that_runs_lets_the_chargers_go_on_at_once() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1", leaves=240), Car("c2", leaves=240)])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(end=90, power_kw=20.0), "cpo1")
        assert isinstance(answer, Agreed)
        await stage.until(50)
        assert site.power_kw < 2.1
        cancelled = await answer.cancel(x.Cancellation(reference="a1", reason="no longer needed"), at(53))
        assert isinstance(cancelled, Informed)
        assert stage.clock.now() < at(51)
        assert site.power_kw > 10.0  # what was held back is made up for until 10:00
        await stage.until(241)
        assert site.left_with == {"c1": pytest.approx(80, abs=0.2), "c2": pytest.approx(80, abs=0.2)}

    run_swarm(main, Stage())


def test_cancelling_while_the_drivers_are_still_asked_leaves_everything_as_it_was() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1")])
        site.drivers["c1"].decides = None  # thinks until the CPO gives up
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        talk = vpp.spawn(vpp.order(cpo_order(power_kw=6.0), "cpo1"))
        await stage.until(6)
        await cancel(stage, "vpp1", "6.2.2")
        await stage.until(20)
        assert talk.done()
        await stage.until(61)
        assert site.orders() == 0
        # and the CPO still takes orders
        site.drivers["c1"].decides = lambda offer: None
        assert isinstance(await vpp.order(cpo_order("a2", start=75, end=90, power_kw=6.0), "cpo1"), Agreed)

    run_swarm(main, Stage())


# ---- orders that must not be followed ------------------------------------------------------------------------------


def test_the_same_activation_ordered_again_is_refused_and_changes_no_charger() -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        assert isinstance(await vpp.order(cpo_order(power_kw=9.0), "cpo1"), Agreed)
        asked = sum(len(driver.asked) for driver in site.drivers.values())
        assert isinstance(await vpp.order(cpo_order(power_kw=9.0), "cpo1"), Refused)
        assert isinstance(await vpp.order(cpo_order(power_kw=20.0), "cpo1"), Refused)
        assert sum(len(driver.asked) for driver in site.drivers.values()) == asked
        await stage.until(61)
        assert site.metered_kw(30, 60) == pytest.approx(24.0, abs=0.05)

    run_swarm(main, Stage())


def test_a_vpp_without_a_contract_can_neither_order_nor_see_the_drivers_data() -> None:
    """D5.1 Table 10 requires a contract for the activation; what a driver tells the CPO is not for a competitor."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars(), vpp="vpp1")
        stranger = await stage.start(PlainVpp, "vpp2")
        await stage.until(5)
        assert isinstance(await stranger.order(cpo_order(), "cpo1"), Refused)
        assert isinstance(await stranger.order(cpo_signal(), "cpo1"), Refused)
        question = x.DataRequest(request_id="r1", data_type=x.DataType.STATUS, timestamp=stage.clock.now())
        assert isinstance(await stranger.query_ref(question, to=jid("cpo1"), reply_by=at(10)), Refused)
        await stage.until(61)
        assert site.orders() == 0
        assert all(driver.asked == [] for driver in site.drivers.values())

    run_swarm(main, Stage())


def test_a_dso_cannot_order_the_cpo_behind_the_vpps_back() -> None:
    """Table 2 and Table 10: the signal reaches the CPO from the VPP."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        dso = await stage.start(PlainDso, "dso")
        await stage.until(5)
        answer = await dso.order(cpo_order(), "cpo1")
        assert isinstance(answer, Refused)
        assert answer.content.code == "not-authorised"  # type: ignore[attr-defined]
        await stage.until(61)
        assert site.orders() == 0

    run_swarm(main, Stage())


def test_a_driver_who_took_part_once_and_declines_the_next_time_is_left_alone() -> None:
    """Consent is for one activation: 1.2.5 and 6.2.3 carry its id."""

    async def main(stage: Stage) -> None:
        site = await Site.open(stage, [Car("c1", soc=20.0, wanted=90.0)])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        first = await vpp.order(cpo_order("a1", start=30, end=45, power_kw=5.0), "cpo1")
        assert isinstance(first, Agreed)
        await stage.until(50)
        site.drivers["c1"].decides = lambda offer: "once is enough"
        second = await vpp.order(cpo_order("a2", start=75, end=90, power_kw=5.0), "cpo1")
        assert isinstance(second, Refused)

    run_swarm(main, Stage())


def test_the_next_driver_at_a_charger_is_not_bound_by_what_the_last_one_accepted() -> None:
    async def main(stage: Stage) -> None:
        car = Car("c1", soc=60.0)
        site = await Site.open(stage, [car])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(end=90, power_kw=9.0), "cpo1")
        assert isinstance(answer, Agreed)
        await stage.until(40)
        assert site.power_kw < 11.0 - answer.content.available_power_kw + 0.01  # type: ignore[attr-defined]
        site.leave(car)  # long before it was to leave
        await stage.until(45)
        other = await stage.start(Driver, "ev-other", decides=lambda offer: "no")
        site.arrive(Car("c1", arrives=45, leaves=300, announced=False))
        await other.announce("cpo1", Car("c1", arrives=45, leaves=300))
        before = len(stage.chargers["c1"].orders)
        await stage.until(91)
        assert len(other.asked) == 1
        assert len(stage.chargers["c1"].orders) == before
        assert stage.chargers["c1"].metered_kw(at(46), at(90)) == pytest.approx(11.0, abs=0.01)

    run_swarm(main, Stage())


# ---- chargers that fail --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChargerSilentError, ChargerNonsenseError])
def test_a_charger_that_fails_is_noticed_once_and_the_others_go_on(kind: Any) -> None:
    async def main(stage: Stage) -> None:
        site = await Site.open(stage, three_cars())
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        stage.chargers["c2"].fault = kind("c2", "127.0.0.1:5020", "it does not answer", "look at its cable")
        answer = await vpp.order(cpo_order(power_kw=10.0), "cpo1")
        assert isinstance(answer, Agreed)
        assert site.drivers["c2"].asked == []
        report = await data(stage, vpp)
        assert [c.state for c in report.chargers].count(x.ChargerState.FAULT) == 1
        await stage.until(61)
        assert stage.noticed("charger c2") == 1
        assert stage.notices[0].startswith("cpo1@localhost: charger c2 at 127.0.0.1:5020: it does not answer")
        assert stage.chargers["c1"].metered_kw(at(30), at(60)) + stage.chargers["c3"].metered_kw(
            at(30), at(60)
        ) == pytest.approx(12.0, abs=0.05)
        stage.chargers["c2"].fault = None
        await data(stage, vpp)
        assert stage.noticed("charger c2 answers again") == 1

    run_swarm(main, Stage())


def test_a_charger_that_falls_silent_during_a_service_is_noticed_once_and_commanded_again_when_it_is_back() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, [Car("c1"), Car("c2")])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(end=90, power_kw=12.0), "cpo1")
        assert isinstance(answer, Agreed)
        await stage.until(31)
        stage.chargers["c1"].fault = ChargerSilentError("c1", "127.0.0.1:5020", "silent", "look")
        await stage.until(70)
        assert stage.noticed("charger c1 at") == 1
        stage.chargers["c1"].fault = None
        before = len(stage.chargers["c1"].orders)
        await stage.until(91)
        assert len(stage.chargers["c1"].orders) > before
        assert isinstance(await answer.result(), Informed)

    run_swarm(main, Stage())


# ---- money ---------------------------------------------------------------------------------------------------------


def pay(stage: Stage, reference: str, amount: str) -> None:
    stage.ledger.post(
        f"{reference}/cpo1", stage.clock.now(), reference, {"vpp1": -Decimal(amount), "cpo1": Decimal(amount)}
    )


@pytest.mark.parametrize(("received", "driver_gets"), [("5.00", "4.49"), ("0.12", "0.11")])
def test_drivers_get_what_they_were_promised_as_far_as_the_money_goes(received: str, driver_gets: str) -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, [Car("c1"), Car("c2")])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(power_kw=6.0), "cpo1")
        assert isinstance(answer, Agreed)
        await stage.until(90)
        pay(stage, "a1", received)
        await stage.until(120)
        drivers = stage.balance("ev-c1") + stage.balance("ev-c2")
        # 6 kW in two quarters at 0.02 EUR/kW are 0.24; of a part of it whole cents are paid
        assert drivers == Decimal(driver_gets)
        assert stage.balance("cpo1") == Decimal(received) - drivers
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


def test_drivers_get_nothing_for_a_service_that_nobody_paid() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, [Car("c1")])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        await vpp.order(cpo_order(power_kw=6.0), "cpo1")
        await stage.until(120)
        assert stage.ledger.audit().transactions == 0

    run_swarm(main, Stage())


def test_a_service_that_was_called_off_is_not_reported_as_done() -> None:
    async def main(stage: Stage) -> None:
        await Site.open(stage, [Car("c1")])
        vpp = await stage.start(PlainVpp, "vpp1")
        await stage.until(5)
        answer = await vpp.order(cpo_order(power_kw=6.0), "cpo1")
        assert isinstance(answer, Agreed)
        await answer.cancel(x.Cancellation(reference="a1", reason="no longer needed"), at(8))
        assert not isinstance(await answer.result(at(70)), Informed | Failed)
        await stage.until(70)
        assert stage.chargers["c1"].orders == []

    run_swarm(main, Stage())
