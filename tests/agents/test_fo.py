"""The flexibility operator: what it tells, whom it calls and awards, how a service goes on and ends, whom it trusts."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from agents.decisions.selection import Memory, Trust
from behaviours.answering import Propose, failure, refusal
from behaviours.outcomes import Agreed, Failed, Informed
from protocols import exchanges as x
from tests.agents.fo_island import Island, reason, troubles
from tests.agents.stage import MINUTE, QUARTER, Stage, at, informed
from tests.agents.vehicles import FEEDER, OTHER, Manager, activation, script, voltage
from tests.swarm import jid, run_swarm

# ---- what is told --------------------------------------------------------------------------------------------------


def test_the_tso_hears_by_manager_and_the_dso_by_bus_what_the_vehicles_can_do() -> None:
    """2.2 and 4.1.4, three minutes into each quarter of an hour, for the next one."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tso.hear(x.FlexibilitySubscription)
        await island.dso.hear(x.ParticipationSubscription)
        await island.tell(increase_kw=3.0)
        assert island.tso.heard == []
        await stage.until(3)
        (flexible,) = island.tso.heard
        assert (flexible.start, flexible.timestamp) == (at(15), at(3))
        assert [(u.user_id, u.vehicles, u.increase_kw, u.baseline_kw) for u in flexible.users] == [
            ("m1", 2, 6.0, 4.0),
            ("m2", 1, 3.0, 2.0),
        ]
        assert (flexible.users[0].soc_kwh, flexible.users[0].soc_percent) == (50.0, 50.0)
        (info,) = island.dso.heard
        assert (info.start, info.end, info.service_id) == (at(-15), at(0), None)
        assert [(u.user_id, u.location, u.decrease_kw) for u in info.users] == [
            ("bus1", "bus1", 4.0),
            ("bus2", "bus2", 4.0),
            ("bus3", "bus3", 4.0),
        ]

    run_swarm(main, Stage())


def test_who_tells_nothing_for_a_quarter_counts_for_nothing_and_is_named_once() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tso.hear(x.FlexibilitySubscription)
        await island.tell()
        for minutes in (17, 32):
            await stage.until(minutes)
            await island.managers["m1"].tell()
        await stage.until(34)
        assert [[u.user_id for u in told.users] for told in island.tso.heard] == [["m1", "m2"], ["m1"], ["m1"]]
        assert stage.noticed("m2@localhost has told nothing") == 1
        await island.served(activation(start=45))
        assert island.managers["m2"].calls == []

    run_swarm(main, Stage())


def test_news_that_come_twice_or_out_of_order_are_left_out_and_said_once() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        manager = island.managers["m1"]
        await stage.until(5)
        await manager.tell(stamp=at(4), increase_kw=1.0)
        await manager.tell(stamp=at(4), increase_kw=9.0)
        await manager.tell(stamp=at(3), increase_kw=9.0)
        await stage.settle()
        assert [user.increase_kw for user in island.fo.view.states(jid("m1"))] == [1.0, 1.0]
        assert stage.noticed("2.1 from m1") == 1
        assert island.fo.view.measured.dropped[jid("m1")] == 2

    run_swarm(main, Stage())


def test_a_manager_that_comes_later_is_found_within_the_hour() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        late = await stage.start(Manager, "m3", chargers={"c9": "bus9"})
        await stage.until(59)
        assert late.subscriptions(x.MeasurementsSubscription) == ()
        await stage.until(61)
        assert len(late.subscriptions(x.MeasurementsSubscription)) == 1
        assert len(island.managers["m1"].subscriptions(x.MeasurementsSubscription)) == 1

    run_swarm(main, Stage())


def test_the_tso_gets_measurements_while_a_service_lasts_and_of_who_takes_part() -> None:
    """D5.1 3.2: "During the service participation, measurement information should be sent by the V2X manager to the FO
    and by the FO to the TSO (ID 2.1)"."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tso.hear(x.MeasurementsSubscription)
        await island.tell()
        await stage.until(6)
        await island.served(activation(power_kw=8.0))
        for minutes in (17, 32, 47, 62):
            await island.tell(minutes)
        await stage.until(64)
        assert [(news.start, news.end, news.ev_kw) for news in island.tso.heard] == [
            (at(15), at(30), 4.0),
            (at(30), at(45), 4.0),
        ]
        assert (island.tso.heard[0].p_kw, island.tso.heard[0].q_kvar) == (1.5, 0.25)
        assert [user.user_id for user in island.tso.heard[0].users] == ["m1"]

    run_swarm(main, Stage())


def flexible(told: Any) -> dict[str, tuple[float, float, float]]:
    """By user of a 2.2 or 4.1.4: baseline, increase, decrease in kW."""
    return {u.user_id: (u.baseline_kw, u.increase_kw, u.decrease_kw) for u in told.users}


def test_a_paused_manager_draws_what_it_draws_but_nobody_counts_on_it() -> None:
    """Else TSO and DSO would ask each quarter of an hour for what nobody is called for."""

    async def main(stage: Stage) -> None:
        memory = Memory(weight=0.6, bound=0.5, pause=2 * QUARTER)
        island = await Island.open(
            stage, memory=memory, m1={"chargers": {"c1": "bus1"}}, m2={"chargers": {"c2": "bus2"}}
        )
        island.meters.shown = lambda charger, when: 6.0 if charger == "c2" else 2.0
        await island.tso.hear(x.FlexibilitySubscription)
        await island.dso.hear(x.ParticipationSubscription)
        await island.tell()
        await island.served(activation(power_kw=8.0, duration_minutes=15))
        for minutes in (17, 32, 47, 62):
            await island.tell(minutes)
        await stage.until(64)
        able, paused = (2.0, 4.0, 4.0), (2.0, 0.0, 0.0)
        assert not island.fo.desk.of(jid("m1")).may_be_called(at(61))
        assert [flexible(told)["m1"] for told in island.tso.heard] == [able, able, paused, paused, able]
        assert [flexible(told)["bus1"] for told in island.dso.heard] == [able, able, paused, paused, able]
        assert [flexible(told)["m2"] for told in island.tso.heard] == [able] * 5
        assert [flexible(told)["bus2"] for told in island.dso.heard] == [able] * 5

    run_swarm(main, Stage())


def test_after_a_voltage_service_the_tso_hears_what_is_left() -> None:
    """What is promised to the DSO is not there for wind, and will draw otherwise than by its own plan."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tso.hear(x.FlexibilitySubscription)
        await island.dso.hear(x.ParticipationSubscription)
        await island.tell()
        await stage.until(4)
        await island.served(voltage(power_kw=-3.0, at=(x.BusChange(bus="bus1", power_kw=-3.0),)))
        await stage.until(5)
        first, fresh = island.tso.heard
        assert (first.start, fresh.start, fresh.timestamp > first.timestamp) == (at(15), at(15), True)
        assert flexible(first) == {"m1": (4.0, 8.0, 8.0), "m2": (2.0, 4.0, 4.0)}
        assert flexible(fresh) == {"m1": (1.0, 4.0, 4.0), "m2": (2.0, 4.0, 4.0)}
        assert len(island.dso.heard) == 1  # 4.1.4 stays one a quarter
        # the next quarter is only its tail: everybody can do what they told
        await island.tell(17)
        await stage.until(19)
        assert flexible(island.tso.heard[-1]) == flexible(first)
        assert len(island.tso.heard) == 3

    run_swarm(main, Stage())


def test_voltage_services_of_one_moment_make_one_fresh_2_2_and_a_curtailment_service_none() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tso.hear(x.FlexibilitySubscription)
        await island.tell()
        await stage.until(4)
        here = voltage(power_kw=4.0)
        there = voltage("v2", 4.0, location=OTHER, at=(x.BusChange(bus="bus3", power_kw=4.0),))
        await asyncio.gather(island.served(here), island.served(there))
        await stage.until(8)
        assert len(island.tso.heard) == 2
        assert flexible(island.tso.heard[-1]) == {"m1": (8.0, 4.0, 4.0), "m2": (6.0, 0.0, 0.0)}
        await stage.until(9)
        await island.served(activation(power_kw=4.0))
        await stage.until(14)
        assert len(island.tso.heard) == 2

    run_swarm(main, Stage())


def test_a_voltage_service_called_off_before_its_start_is_flexibility_again() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tso.hear(x.FlexibilitySubscription)
        await island.tell()
        await stage.until(4)
        agreed = await island.served(voltage(power_kw=-4.0))
        await stage.until(6)
        await agreed.cancel(x.Cancellation(reference="v1", reason="no need"), at(8))
        await stage.until(8)
        before, during, after = map(flexible, island.tso.heard)
        assert before == after != during

    run_swarm(main, Stage())


# ---- a service -----------------------------------------------------------------------------------------------------


def test_a_curtailment_service_goes_from_the_tso_to_managers_and_emsp_and_ends_done() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        await stage.until(6)
        agreed = await island.served(activation(power_kw=6.0))
        assert agreed.content == x.ServiceAnswer(service_id="s1", available_power_kw=6.0)
        assert island.awards("m1") == [{"c1": 4.0, "c2": 2.0}]
        assert island.awards("m2") == []
        assert [reject.code for reject in island.managers["m2"].rejected] == ["not-chosen"]
        (call,) = island.managers["m1"].calls
        assert (call.location, call.power_kw, call.start, call.duration_minutes) == (FEEDER, 6.0, at(15), 30)
        (notice,) = island.emsp.notices
        assert (notice.payer, notice.power_kw) == (jid("tso"), 6.0)
        assert [each.manager for each in notice.managers] == [jid("m1")]
        assert script(stage, "2.3", "2.4", "2.5") == [
            "tso > fo: request 2.3",
            "fo > m1: cfp 2.4",
            "fo > m2: cfp 2.4",
            "m1 > fo: propose 2.5",
            "m2 > fo: propose 2.5",
            "fo > m1: accept-proposal 2.3",
            "fo > emsp: request 2.3",
        ]
        assert informed(await agreed.result()) == x.Done(reference="s1")
        assert stage.clock.now() == at(45)
        assert troubles(stage) == []

    run_swarm(main, Stage())


def test_a_voltage_service_calls_the_feeder_only_and_takes_the_wanted_bus_first() -> None:
    """D5.1 3.4.1: "The FO will identify the V2X managers that are connected to the feeder with voltage constraints"."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        at_bus2 = (x.BusChange(bus="bus2", power_kw=-3.0),)
        agreed = await island.served(voltage(power_kw=-3.0, at=at_bus2))
        assert agreed.content == x.ServiceAnswer(service_id="v1", available_power_kw=-3.0)
        assert island.awards("m1") == [{"c2": -3.0}]
        assert island.managers["m2"].calls == []
        (notice,) = island.emsp.notices
        assert (notice.payer, notice.charging_cost_eur_per_kwh) == (jid("dso"), voltage().charging_cost_eur_per_kwh)
        report = informed(await agreed.result())
        assert isinstance(report, x.ParticipationInfo)
        assert (report.service_id, report.start, report.end) == ("v1", at(15), at(45))
        # what the manager reports at the end counts, of the vehicles that took part
        assert [(u.user_id, u.power_kw, u.service) for u in report.users] == [
            ("bus2", -2.0, x.ServiceType.VOLTAGE_CONTROL)
        ]

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("signal", "why"),
    [
        (activation(start=0), "the start has passed"),
        (activation(start=20), "from one quarter of an hour to another"),
        (activation(renews="never"), "there is no service never of yours"),
        (voltage(location="nowhere"), "no vehicle is available"),
    ],
)
def test_a_service_that_makes_no_sense_is_refused_in_one_line(signal: Any, why: str) -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        asker = island.dso if isinstance(signal, x.VoltageRequest) else island.tso
        answer = await asker.ask(signal)
        assert why in reason(answer)
        assert answer.content.available_power_kw == 0.0
        assert island.managers["m1"].calls == []
        assert island.emsp.notices == []

    run_swarm(main, Stage())


def test_an_id_is_used_once_and_a_service_is_renewed_by_who_asked_for_it() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        await island.served(activation())
        assert "asked for already" in reason(await island.tso.ask(activation(start=30)))
        assert "no service s1 of yours" in reason(await island.dso.ask(voltage(start=30, renews="s1")))

    run_swarm(main, Stage())


def test_managers_that_refuse_or_keep_silent_leave_nothing_to_agree_to() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(
            stage,
            m1={"chargers": {"c1": "bus1"}, "offers": lambda call: refusal("no", "all leave")},
            m2={"chargers": {"c3": "bus1"}, "offers": lambda call: None},
        )
        await island.tell()
        assert reason(await island.tso.ask(activation())) == "no vehicle is available"
        assert stage.noticed("m2@localhost does not answer") == 1
        # the TSO has its answer before it stops waiting
        assert stage.clock.now() <= at(6)

    run_swarm(main, Stage())


def test_less_than_asked_is_agreed_to_with_the_reason() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        agreed = await island.served(activation(power_kw=20.0))
        assert agreed.content == x.ServiceAnswer(
            service_id="s1", available_power_kw=12.0, reason="12 of 20 kW are available"
        )

    run_swarm(main, Stage())


def test_who_has_no_flexibility_in_that_direction_is_not_called() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell(increase_kw=0.0)
        assert reason(await island.tso.ask(activation())) == "no vehicle is available"
        assert island.managers["m1"].calls == []
        await island.served(voltage())
        assert len(island.managers["m1"].calls) == 1

    run_swarm(main, Stage())


def test_an_offer_that_does_not_fit_its_call_or_another_managers_vehicle_is_left_out() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(
            stage,
            m1={"chargers": {"c1": "bus1"}},
            m2={"chargers": {"c1": "bus1", "c2": "bus2"}},
            m3={"chargers": {"c4": "bus1"}},
        )
        wrong = island.managers["m3"]
        wrong.offers = lambda call: Propose(wrong.offer(call, x.Availability, request_id="another"))
        await island.tell()
        await island.served(activation(power_kw=12.0))
        assert [island.awards(name) for name in ("m1", "m2", "m3")] == [[], [{"c2": 4.0}], []]
        assert stage.noticed("c1 offered by two managers") == 1
        assert stage.noticed("m3@localhost is left out of s1: the offer is not for s1/feeder1") == 1

    run_swarm(main, Stage())


def test_a_service_goes_on_where_the_emsp_does_not_take_it_and_the_user_is_told() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage, emsp="the computer is down")
        await island.tell()
        await island.served(activation())
        assert stage.noticed("service s1 is not invoiced: refused by emsp@localhost: the computer is down") == 1

    run_swarm(main, Stage())


def test_a_manager_that_takes_back_its_offer_is_told_of() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(
            stage, m1={"chargers": {"c1": "bus1"}, "confirms": lambda award: failure("gone", "it has left")}
        )
        await island.tell()
        await island.served(activation())
        await stage.settle()
        assert stage.noticed("m1@localhost does not stand by service s1: failed by m1@localhost: it has left") == 1

    run_swarm(main, Stage())


# ---- two services at once ------------------------------------------------------------------------------------------


def test_who_is_awarded_the_opposite_on_that_feeder_is_not_called_for_the_same_quarter() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        await island.served(voltage(power_kw=-2.0))
        agreed = await island.served(activation(power_kw=6.0))
        assert agreed.content.available_power_kw == 4.0  # type: ignore[attr-defined]
        assert [call.service for call in island.managers["m1"].calls] == [x.ServiceType.VOLTAGE_CONTROL]
        assert island.awards("m2") == [{"c3": 4.0}]

    run_swarm(main, Stage())


def test_the_opposite_may_be_called_for_the_quarter_after_that_is_not_firm() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        await island.served(voltage(power_kw=-2.0))
        await island.tell(17)
        await island.served(activation(power_kw=6.0, start=30))
        assert island.awards("m1")[-1] == {"c1": 4.0, "c2": 2.0}

    run_swarm(main, Stage())


def test_two_services_the_same_way_do_not_get_the_same_vehicle_for_a_quarter() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        await island.served(voltage(power_kw=2.0, at=(x.BusChange(bus="bus1", power_kw=2.0),)))
        await island.served(activation(power_kw=8.0))
        assert island.awards("m1") == [{"c1": 2.0}, {"c2": 4.0}]
        assert island.awards("m2") == [{"c3": 4.0}]

    run_swarm(main, Stage())


# ---- renewal and deactivation --------------------------------------------------------------------------------------


def test_a_renewal_supersedes_the_service_at_its_start() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        first = await island.served(activation(power_kw=12.0))
        await island.tell(17)
        second = await island.served(activation("s2", power_kw=8.0, start=30, renews="s1"))
        assert informed(await first.result()) == x.Done(reference="s1")
        assert stage.clock.now() == at(30)
        await stage.until(31)
        renewals = [(a.service_id, a.signal, a.renews) for a in island.managers["m1"].awards]
        assert renewals[-1] == ("s2", x.SignalType.RENEWAL, "s1")
        assert island.emsp.notices[-1].renews == "s1"
        # m2 is not in the renewal: it is told, and m1 is not
        assert (island.managers["m1"].cancelled, island.managers["m2"].cancelled) == ([], ["s1"])
        assert informed(await second.result()) == x.Done(reference="s2")
        assert (stage.clock.now(), troubles(stage)) == (at(60), [])

    run_swarm(main, Stage())


@pytest.mark.parametrize("kind", [activation, voltage])
def test_a_deactivation_travels_to_managers_and_emsp_and_is_answered(kind: Any) -> None:
    """D5.1 3.2: "a deactivation signal should be sent by the TSO to the FO and, consequently, by the FO to the V2X
    managers and by FO to the EMRP"."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        signal = kind()
        agreed = await island.served(signal)
        await stage.until(30)
        done = await agreed.cancel(x.Cancellation(reference=signal.service_id, reason="no need"), at(33))
        assert informed(done) == x.Done(reference=signal.service_id)
        assert stage.clock.now() == at(30)
        assert island.managers["m1"].cancelled == [signal.service_id]
        assert island.emsp.cancelled == [signal.service_id]
        await stage.until(60)
        assert troubles(stage) == []

    run_swarm(main, Stage())


def test_a_deactivation_of_what_is_over_changes_nothing_and_is_answered_so() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        agreed = await island.served(activation())
        await stage.until(50)
        late = await agreed.cancel(x.Cancellation(reference="s1", reason="no need"), at(53))
        assert isinstance(late, Failed)
        assert island.managers["m1"].cancelled == []
        assert island.emsp.cancelled == []

    run_swarm(main, Stage())


def test_a_renewal_called_off_before_its_start_restores_nothing() -> None:
    """What it renews ends where it was to begin, for managers, EMSP and asker alike."""

    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        first = await island.served(activation(power_kw=12.0))
        await island.tell(17)
        second = await island.served(activation("s2", power_kw=8.0, start=30, renews="s1"))
        await stage.until(21)
        await second.cancel(x.Cancellation(reference="s2", reason="no need"), at(23))
        assert island.managers["m1"].cancelled == ["s2"]
        again = await island.tso.ask(activation("s3", start=45, renews="s1"))
        assert reason(again) == "service s1 does not run when this one starts"
        assert informed(await first.result()) == x.Done(reference="s1")
        assert stage.clock.now() == at(30)
        await stage.until(31)
        # m1 was awarded the renewal, and ends the first by itself at its start, as the EMSP does; m2 is told
        assert (island.managers["m1"].cancelled, island.managers["m2"].cancelled) == (["s2"], ["s1"])
        assert island.emsp.cancelled == ["s2"]
        await stage.until(60)
        assert troubles(stage) == []

    run_swarm(main, Stage())


def test_an_asker_that_no_longer_waits_costs_nobody_anything() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(
            stage,
            m1={"chargers": {"c1": "bus1"}},
            m2={"chargers": {"c3": "bus1"}, "offers": lambda call: None},
        )
        await island.tell()
        answer = await island.tso.ask(activation(), minutes=0.0)
        assert not isinstance(answer, Agreed | Informed)
        await stage.until(10)
        assert set(island.managers["m1"].cancelled) == {a.service_id for a in island.managers["m1"].awards}

    run_swarm(main, Stage())


# ---- who keeps promises --------------------------------------------------------------------------------------------


def test_the_meters_tell_who_keeps_promises_and_the_next_selection_remembers() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(
            stage,
            memory=Memory(weight=0.5, bound=0.4),
            m1={"chargers": {"c1": "bus1"}},
            m2={"chargers": {"c2": "bus1"}},
        )
        island.meters.shown = lambda charger, when: 6.0 if charger == "c2" and when >= at(15) else 2.0
        await island.tell()
        await island.served(activation(power_kw=8.0))
        await island.tell(32)
        assert island.fo.desk.trust == {jid("m1"): Trust(0.5), jid("m2"): Trust(1.0)}
        assert island.fo.desk.served_kwh == {"c1": 0.0, "c2": 1.0}
        agreed = await island.served(activation("s2", power_kw=5.0, start=45))
        assert (island.awards("m1")[-1], island.awards("m2")[-1]) == ({"c1": 2.0}, {"c2": 4.0})
        assert agreed.content.available_power_kw == 5.0  # type: ignore[attr-defined]

    run_swarm(main, Stage())


def test_who_breaks_its_promises_is_not_called_for_a_while_and_the_user_is_told() -> None:
    async def main(stage: Stage) -> None:
        memory = Memory(weight=0.6, bound=0.5, pause=4 * QUARTER)
        island = await Island.open(stage, memory=memory, m1={"chargers": {"c1": "bus1"}})
        await island.tell()
        await island.served(activation(power_kw=4.0, duration_minutes=15))
        await island.tell(32)
        assert stage.noticed("m1@localhost delivered 0.00 of 1.00 kWh: it is not called until 07:32") == 1
        assert reason(await island.tso.ask(activation("s2", start=45))) == "no vehicle is available"
        await island.tell(92)
        await island.served(activation("s3", start=105))

    run_swarm(main, Stage())


def test_a_tail_without_delivery_costs_no_trust_and_earns_none() -> None:
    """Only the first quarter of an hour of a service is firm."""

    async def main(stage: Stage) -> None:
        island = await Island.open(
            stage,
            memory=Memory(weight=0.5, bound=0.1),
            m1={"chargers": {"c1": "bus1"}},
            m2={"chargers": {"c2": "bus1"}},
        )

        def shown(charger: str, when: datetime) -> float:
            return 6.0 if (charger == "c1") is (at(15) <= when < at(30)) else 2.0

        island.meters.shown = shown  # c1 delivers in the first quarter only, c2 in the tail only
        await island.tell()
        await island.served(activation(power_kw=8.0))
        await stage.until(33)
        firm = dict(island.fo.desk.trust)
        assert firm == {jid("m1"): Trust(1.0), jid("m2"): Trust(0.5)}
        await stage.until(60)
        assert island.fo.desk.trust == firm
        assert island.fo.desk.served_kwh == {"c1": 1.0, "c2": 1.0}  # the tail is read, and counts as service

    run_swarm(main, Stage())


def test_a_quarter_that_was_called_off_in_its_middle_teaches_nothing() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        await island.tell()
        agreed = await island.served(activation())
        await stage.until(22)
        await agreed.cancel(x.Cancellation(reference="s1", reason="no need"), at(24))
        await stage.until(33)
        assert island.fo.desk.trust == {}
        assert island.meters.queries == []

    run_swarm(main, Stage())


def test_a_meter_that_does_not_answer_is_named_and_the_others_are_read() -> None:
    async def main(stage: Stage) -> None:
        island = await Island.open(stage)
        island.meters.dead = {"c1"}

        def shown(charger: str, when: datetime) -> float:
            return 6.0

        island.meters.shown = shown
        await island.tell()
        await island.served(activation(power_kw=8.0))
        await stage.until(50)
        assert island.fo.desk.served_kwh == {"c2": 2.0}
        assert island.fo.desk.trust == {jid("m1"): Trust(1.0)}
        assert stage.noticed("the meters of c1 do not answer") == 1

    run_swarm(main, Stage())


def test_the_fo_is_paid_what_it_is_owed() -> None:
    async def main(stage: Stage) -> None:
        await Island.open(stage)
        invoice = x.Invoice(
            invoice_id="i1",
            customer=jid("fo"),
            start=at(0),
            end=at(15),
            lines=(x.InvoiceLine(item="service", amount_eur=-stage.balance("fo") - 1),),
            amount_eur=-stage.balance("fo") - 1,
            due=at(60),
        )
        emsp = next(actor for actor in stage.actors if actor.name == "emsp")
        payment = informed(await emsp.request(invoice, to=jid("fo"), reply_by=stage.clock.now() + MINUTE))
        assert payment.transaction_id == "i1"
        assert stage.balance("fo") == 1

    run_swarm(main, Stage())
