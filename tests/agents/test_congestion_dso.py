"""The DSO of BUC 3: finds what would be overloaded, asks the managers behind it, calls off, settles (D5.1 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import pytest

from agents.decisions.congestion_price import congestion_prices, most_to_pay
from agents.grid_view import Limits
from environment.grid import Grid
from environment.look_ahead import LookAhead
from environment.profiles import Profiles
from protocols import exchanges as x
from protocols.exchanges.vocabulary import ServiceType
from tests.agents.congestion_stage import (
    COSTS,
    ZONE,
    Campus,
    TwoFeeders,
    activation,
    between,
    campus,
    steady,
)
from tests.agents.stage import Stage, Typical, at
from tests.swarm import jid, run_swarm

EXTRA = Decimal("0.08")


def signal(*steps: tuple[float, float]) -> Callable[[datetime], Limits]:
    """The transformer's limit in percent from each of these minutes on; 100 before."""

    def limits(when: datetime) -> Limits:
        percent = [100.0, *(value for minute, value in steps if when >= at(minute))][-1]
        return Limits(transformer_percent=percent)

    return limits


def test_an_overload_is_called_for_with_its_power_place_time_and_prices() -> None:
    async def main(stage: Stage) -> None:
        # 40 kW of households and 80 of chargers at a transformer of 100 kW, from 06:30 to 07:00
        plan = between(30, 60, {"a1": 20.0, "b1": 60.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan}, model=TwoFeeders(lambda when: {"b1": 10.0, "a2": 25.0}))
        await stage.until(3.9)
        assert here.calls("lot") == []
        await stage.until(5)
        (call,) = here.calls("lot")
        assert (call.timestamp, call.start, call.duration_minutes) == (at(4), at(30), 30)
        assert (call.service, call.location, call.buses) == (
            ServiceType.CONGESTION_MANAGEMENT,
            "t1",
            ("a1", "a2", "b1"),
        )
        assert call.elements == ("t1 at 115.0 % (limit 100.0)",)
        assert call.power_kw == pytest.approx(15.0, abs=0.01)
        most = most_to_pay(
            COSTS,
            loading_percent=[115.0] * 2,
            relieved_percent=[100.0] * 2,
            limit_percent=100.0,
            load_kw=[115.0] * 2,
            power_kw=call.power_kw,
            ambient_c=20.0,
            line=False,
        )
        prices = congestion_prices(most, call.power_kw / 80, EXTRA)
        assert float(call.reduction_price_eur_per_kwh) == pytest.approx(float(prices.reduction), rel=0.01)
        assert call.discharging_price_eur_per_kwh - call.reduction_price_eur_per_kwh == EXTRA
        (award,) = stage.said(x.SolutionAward)
        assert award.power_kw == call.power_kw
        await stage.until(120)
        # what is ordered is in the next looks: nothing is asked for twice
        assert len(here.calls("lot")) == 1
        assert stage.notices == []

    run_swarm(main, Stage())


def test_a_need_that_begins_later_is_left_to_a_later_look() -> None:
    async def main(stage: Stage) -> None:
        plan = between(75, 105, {"b1": 120.0}, {"b1": 5.0})
        here = await campus(stage, {"lot": plan}, model=TwoFeeders())
        await stage.until(40)
        assert here.calls("lot") == []
        await stage.until(50)
        assert {call.start for call in here.calls("lot")} == {at(75)}

    run_swarm(main, Stage())


def test_a_line_asks_only_those_behind_it_and_the_transformer_asks_all_for_the_rest() -> None:
    async def main(stage: Stage) -> None:
        plans = {"west": steady(a1=40.0, a2=30.0), "east": steady(b1=55.0)}
        here = await campus(stage, plans)
        await stage.until(10)
        line, transformer = here.calls("west")
        # 70 kW through a line of 50; with 20 less there are 105 at a transformer of 100
        assert (line.location, line.buses) == ("line A", ("a1", "a2"))
        assert line.elements == ("line A at 140.0 % (limit 100.0)",)
        assert line.power_kw == pytest.approx(20.0, abs=0.01)
        assert (transformer.location, transformer.buses) == ("t1", ("a1", "a2", "b1"))
        assert transformer.power_kw == pytest.approx(5.0, abs=0.01)
        assert [call.request_id for call in here.calls("east")] == [transformer.request_id]

    run_swarm(main, Stage())


def test_who_gives_back_is_awarded_last_and_the_last_offer_in_part() -> None:
    async def main(stage: Stage) -> None:
        plans = {"lot1": steady(a1=20.0), "lot2": steady(a2=20.0), "lot3": steady(b1=75.0)}
        offers = {name: (lambda call: 8.0) for name in plans}

        def prepare(here: Campus) -> None:
            here.lots["lot1"].kind = "discharge"

        here = await campus(stage, plans, offers=offers, prepare=prepare)
        await stage.until(10)
        assert here.calls("lot1")[0].power_kw == pytest.approx(15.0, abs=0.01)
        assert [kw for _, _, kw in here.lots["lot2"].won] == [8.0]
        assert [kw for _, _, kw in here.lots["lot3"].won] == [pytest.approx(7.0, abs=0.01)]
        assert here.lots["lot1"].won == []
        assert [reason.code for reason in here.lots["lot1"].lost] == ["not-chosen"]

    run_swarm(main, Stage())


def test_what_is_missing_is_called_for_once_more_at_a_higher_price() -> None:
    async def main(stage: Stage) -> None:
        here = await campus(stage, {"lot": steady(b1=75.0, a1=45.0)}, offers={"lot": lambda call: 9.0})
        await stage.until(12)
        first, second = here.calls("lot")
        assert first.power_kw == pytest.approx(20.0, abs=0.01)
        assert second.power_kw == pytest.approx(11.0, abs=0.2)
        assert second.reduction_price_eur_per_kwh > first.reduction_price_eur_per_kwh
        assert (second.start, second.end) == (first.start, first.end)
        assert [kw for _, _, kw in here.lots["lot"].won] == [9.0, 9.0]
        assert stage.noticed("kW at t1 from 08:15 are not offered") == 1

    run_swarm(main, Stage())


def test_a_change_of_the_signal_within_the_quarter_leads_to_a_call_and_its_end_to_a_3_3() -> None:
    async def main(stage: Stage) -> None:
        limits = signal((22, 70.0), (67, 100.0))
        here = await campus(stage, {"lot": steady(b1=75.0)}, limits=limits, changes=(at(22), at(67)))
        await stage.until(21.9)
        assert here.calls("lot") == []
        await stage.until(23)
        (call,) = here.calls("lot")
        assert (call.timestamp, call.start, call.duration_minutes) == (at(22), at(30), 60)
        assert call.elements == ("t1 at 75.0 % (limit 70.0)",)
        await stage.until(66)
        assert here.lots["lot"].ends == []
        assert len(here.lots["lot"].won) == 2
        following = here.lots["lot"].won[1][1]
        assert following.start == at(90)
        await stage.until(76)
        # at 07:07 what has not begun is called off at once, what runs with its quarter
        (early, before), (late, after) = here.lots["lot"].ends
        assert (early, before.reference, before.duration_minutes, before.p_kw) == (at(67), following.request_id, 0, 0.0)
        assert (late, after.reference, after.duration_minutes) == (at(75), call.request_id, 45)
        assert after.p_kw == pytest.approx(5.0, abs=0.01)
        assert (after.service, after.q_kvar) == (ServiceType.CONGESTION_MANAGEMENT, 0.0)
        await stage.until(150)
        (settlement,) = here.lots["lot"].settlements
        assert (settlement.start, settlement.end) == (at(30), at(75))
        assert stage.notices == []

    run_swarm(main, Stage())


def test_a_delivery_is_settled_by_the_meters_to_the_cent_and_booked() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 60, {"b1": 120.0}, {"b1": 5.0})
        here = await campus(
            stage, {"lot": plan}, model=TwoFeeders(), prepare=lambda here: setattr(here.lots["lot"], "delivers", 0.9)
        )
        here.lots["lot"].offers = lambda call: call.power_kw
        await stage.until(64)
        calls = here.calls("lot")
        won = here.lots["lot"].won
        settlements = here.lots["lot"].settlements
        assert len(settlements) == len(won) >= 1
        total = Decimal(0)
        for settlement in settlements:
            call = next(c for c in calls if c.request_id == settlement.request_id)
            price = call.reduction_price_eur_per_kwh
            promised = Decimal(repr(settlement.promised_kw))
            reduced = Decimal(repr(settlement.reduced_kwh))
            assert settlement.remuneration_eur == (reduced * price).quantize(Decimal("0.01"))
            hours = Decimal("0.5")
            missing = promised * hours - reduced
            assert Decimal(repr(settlement.missing_kwh)) == missing
            penalised = missing - promised * hours * Decimal("0.05")
            assert settlement.penalty_eur == (penalised * price / 2).quantize(Decimal("0.01"))
            total += settlement.remuneration_eur - settlement.penalty_eur
        assert stage.balance("lot") == total > 0
        assert stage.balance("dso") == -total
        assert {p.transaction_id for p in stage.ledger.statement("lot")} == {s.settlement_id for s in settlements}

    run_swarm(main, Stage())


def test_a_rejected_settlement_is_paid_by_the_dsos_own_figures() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 45, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})

        def prepare(here: Campus) -> None:
            here.lots["lot"].accepts = "it was more"

        here = await campus(stage, {"lot": plan}, prepare=prepare)
        await stage.until(60)
        (settlement,) = here.lots["lot"].settlements
        assert stage.balance("lot") == settlement.remuneration_eur > 0
        assert stage.noticed(f"{jid('lot')} does not agree to {settlement.settlement_id} (it was more)") == 1

    run_swarm(main, Stage())


def test_on_a_real_network_power_flow_confirms_that_the_overload_goes_away() -> None:
    async def main(stage: Stage) -> None:
        grid = Grid.load("rural2")
        model = LookAhead(grid, Profiles.load(grid), ZONE)
        office, home = grid.resolve("office")[0], grid.resolve("households")[3]
        connections = {f"{bus}-{n}": bus for bus in (office, home) for n in (1, 2, 3)}
        plans = {"office": steady(**{office: 70.0}), "homes": steady(**{home: 30.0})}
        limits = Limits(transformer_percent=60.0)
        here = await campus(stage, plans, model=model, connections=connections, limits=lambda when: limits)
        await stage.until(8)
        call = here.calls("office")[0]
        assert set(call.buses) == {office, home}
        assert call.location == grid.transformer
        periods = int((call.end - call.start).total_seconds() // 900)
        loads = {office: 70.0, home: 30.0}
        for lot, bus in (("office", office), ("homes", home)):
            loads[bus] -= sum(kw for _, c, kw in here.lots[lot].won if c.start == call.start)
        charging = {bus: [kw] * periods for bus, kw in loads.items()}
        after = model.look_ahead(charging, call.start, periods, now=at(4))
        assert 59.0 < max(state.trafo_loading_percent for state in after) <= 60.0

    run_swarm(main, Stage())


# ---- what goes wrong -----------------------------------------------------------------------------------------------

OVER = {"lot": steady(a1=45.0, b1=70.0)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline_kw": (127.0,) * 4}, "its baseline from 06:15 UTC is 127.0 kW, its schedule said 115.0 kW"),
        ({"baseline_kw": (115.0,) * 3}, "its baseline has 3 values for 4 periods"),
        ({"activations": (activation("a1", 99.0, "z9"),)}, "it names z9, which is not at the buses"),
        ({"activations": (activation("a1", 99.0, "a1-1", cost="9"),)}, "only 0.0 kW cost no more than the call pays"),
    ],
)
def test_an_offer_that_cannot_be_believed_is_rejected_with_the_reason(changes: dict[str, object], words: str) -> None:
    async def main(stage: Stage) -> None:
        here = await campus(stage, OVER, prepare=lambda here: here.lots["lot"].changes.update(changes))
        await stage.until(60)
        assert stage.noticed(words) == 1
        assert here.lots["lot"].won == []
        assert here.lots["lot"].lost
        assert words in here.lots["lot"].lost[0].reason
        assert {reason.code for reason in here.lots["lot"].lost} == {"not-believed"}

    run_swarm(main, Stage())


def test_an_overstated_baseline_is_held_against_the_schedule_of_before_the_call() -> None:
    async def main(stage: Stage) -> None:
        here = await campus(stage, OVER)
        lot = here.lots["lot"]

        def inflates(call: x.CongestionCall) -> float:
            lot.told_beside = {"a1": 50.0}
            lot.changes = {"baseline_kw": (165.0,) * 4}
            lot.spawn(lot.tell(at(0)), "tells more")
            return 15.0

        lot.offers = inflates
        await stage.until(8)
        assert stage.noticed("its schedule said 115.0 kW") == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("offer", "code", "told"),
    [
        (0.0, "not-worth-it", None),
        (0.0, "no-vehicle", None),
        (0.0, "not-possible", "refused by lot@localhost: it would not pay"),
        (None, "", f"{jid('lot')} does not answer dso-congestion-1"),
    ],
)
def test_a_manager_that_gives_nothing_is_asked_again_and_told_once_unless_it_has_nothing_to_give(
    offer: float | None, code: str, told: str | None
) -> None:
    async def main(stage: Stage) -> None:
        here = await campus(stage, OVER, offers={"lot": lambda call: offer})
        here.lots["lot"].refuses = code
        await stage.until(59)
        assert len(stage.notices) == (1 if told is None else 2)
        assert told is None or stage.noticed(told) == 1
        assert stage.noticed("are not offered") == 1
        assert len({call.start for call in here.calls("lot")}) == 4
        # who refuses is asked once more at a higher price, who keeps silent is not
        assert sum(call.start == at(15) for call in here.calls("lot")) == (1 if offer is None else 2)

    run_swarm(main, Stage())


def test_an_award_that_fails_at_once_is_told_counts_as_broken_and_makes_the_dso_look_again() -> None:
    async def main(stage: Stage) -> None:
        plans = {"lot1": steady(a1=45.0), "lot2": steady(b1=70.0)}

        def prepare(here: Campus) -> None:
            here.lots["lot1"].result = "fails"

        here = await campus(stage, plans, prepare=prepare)
        await stage.until(6)
        assert stage.noticed(f"dso-congestion-1 of {jid('lot1')} fails: failed by {jid('lot1')}: no driver agrees") == 1
        assert here.dso.orders.trust[jid("lot1")].value == pytest.approx(0.7)
        # 15 kW were first looked for at lot1 (by name), then at lot2
        assert sum(kw for _, _, kw in here.lots["lot2"].won) == pytest.approx(15.0, abs=0.2)
        await stage.until(80)
        assert here.lots["lot1"].settlements == []

    run_swarm(main, Stage())


def test_a_service_that_breaks_off_is_settled_to_its_end_with_the_penalty() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 60, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan}, prepare=lambda here: setattr(here.lots["lot"], "result", "breaks"))
        await stage.until(62)
        settlement = here.lots["lot"].settlements[0]
        assert (settlement.start, settlement.end) == (at(30), at(60))
        # 5 of 30 minutes came
        assert settlement.reduced_kwh == pytest.approx(settlement.promised_kw / 12, abs=0.01)
        assert settlement.penalty_eur > settlement.remuneration_eur
        assert stage.noticed("fails: failed by lot@localhost: all have left") == 1

    run_swarm(main, Stage())


def test_a_manager_without_a_result_at_the_end_is_settled_by_the_meters() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 45, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan}, prepare=lambda here: setattr(here.lots["lot"], "result", "silent"))
        await stage.until(60)
        assert stage.noticed(f"has no result: no answer from {jid('lot')}") == 1
        assert stage.balance("lot") == here.lots["lot"].settlements[0].remuneration_eur > 0

    run_swarm(main, Stage())


def test_meters_that_fall_silent_are_told_once_and_what_they_showed_is_settled_later() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 45, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan})
        await stage.until(40)
        here.world.broken = {"b1-2"}
        await stage.until(70)
        assert here.lots["lot"].settlements == []
        assert stage.noticed("the meters of b1-2 do not answer") == 1
        here.world.broken = set()
        await stage.until(80)
        assert len(here.lots["lot"].settlements) == 1
        assert stage.noticed("answer again") == 1

    run_swarm(main, Stage())


def test_without_any_meters_the_schedules_are_believed_and_nothing_can_be_settled() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 45, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan}, meters=False)
        await stage.until(180)
        assert len(here.lots["lot"].won) == 1
        assert stage.noticed("do not answer; what they show is not known yet") == 1
        assert stage.noticed("dso-congestion-1 of lot@localhost cannot be settled: its meters do not answer") == 1

    run_swarm(main, Stage())


def test_a_ledger_that_does_not_book_is_told_and_the_run_goes_on() -> None:
    async def main(stage: Stage) -> None:
        plan = between(30, 45, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan})
        stage.ledger.post("dso-congestion-1-lot", at(0), "another", {"a": Decimal(1), "b": Decimal(-1)})
        await stage.until(70)
        assert len(here.lots["lot"].settlements) == 1
        assert stage.noticed("dso-congestion-1-lot is not booked") == 1

    run_swarm(main, Stage())


# ---- what the chargers are expected to draw ------------------------------------------------------------------------


def test_a_schedule_that_is_wrong_at_two_looks_is_corrected_by_the_meters() -> None:
    async def main(stage: Stage) -> None:
        def prepare(here: Campus) -> None:
            here.lots["lot"].told_beside = {"b1": -60.0}

        here = await campus(stage, {"lot": steady(b1=78.0, a1=30.0)}, prepare=prepare)
        # the first period that it has told of begins at 06:15: what is metered at 06:19 might be a car that leaves
        await stage.until(33)
        assert here.calls("lot") == []
        await stage.until(35)
        call = here.calls("lot")[0]
        assert call.power_kw == pytest.approx(8.0, abs=0.2)

    run_swarm(main, Stage())


def test_a_manager_that_tells_nothing_is_taken_as_metered_and_not_asked() -> None:
    async def main(stage: Stage) -> None:
        def prepare(here: Campus) -> None:
            here.lots["mute"].tells = False

        plans = {"mute": steady(b1=78.0), "lot": steady(a1=30.0)}
        here = await campus(
            stage, plans, typical=Typical(lambda when: {"b1": 1.0 if when < at(15) else 3.0}), prepare=prepare
        )
        await stage.until(10)
        # 78 metered, 2 more as is usual, and 30 told
        assert here.calls("lot")[0].power_kw == pytest.approx(10.0, abs=0.01)
        assert here.calls("mute") == []
        assert stage.noticed(f"{jid('mute')} tells no schedule") == 1

    run_swarm(main, Stage())


def test_a_manager_that_does_not_let_itself_be_subscribed_to_is_told() -> None:
    async def main(stage: Stage) -> None:
        def prepare(here: Campus) -> None:
            here.lots["lot"].subscribes = False

        here = await campus(stage, OVER, prepare=prepare)
        await stage.until(40)
        assert stage.noticed(f"{jid('lot')} does not tell its schedule: refused by lot@localhost") == 1
        assert stage.noticed("nobody can be asked to relieve t1 by 15.0 kW") == 1
        assert here.calls("lot") == []

    run_swarm(main, Stage())


def test_a_campus_without_managers_is_told_once() -> None:
    async def main(stage: Stage) -> None:
        await campus(stage, {})
        await stage.until(55)
        assert stage.noticed("there is no V2X manager at campus") == 1

    run_swarm(main, Stage())


def test_the_meters_of_a_bus_that_two_managers_share_are_told_apart_by_the_operators() -> None:
    plans = {"lot1": steady(a1=40.0), "lot2": steady(a1=30.0, b1=45.0)}
    operators = {"a1-1": "lot1@localhost", "a1-2": "lot2@localhost", "b1-1": "lot2@localhost"}

    async def main(stage: Stage, known: bool) -> None:
        here = await campus(stage, plans, operators=operators if known else None)
        assert here.dso.schedules.managers == ()
        await stage.until(10)
        mine = here.dso._chargers_of(jid("lot1"), ("a1", "b1"))
        assert mine == ({"a1-1"} if known else {"a1-1", "a1-2", "a1-3"})
        assert stage.noticed("lot1@localhost and lot2@localhost are at one bus") == (0 if known else 1)

    for known in (True, False):
        run_swarm(lambda stage, known=known: main(stage, known), Stage())  # type: ignore[misc]


def test_voltages_and_what_is_fed_back_are_only_told_once() -> None:
    async def main(stage: Stage) -> None:
        here = await campus(stage, {"lot": steady(b1=60.0)}, model=TwoFeeders(lambda w: {"a1": -60.0}, pu_per_kw=0.002))
        await stage.until(50)
        assert stage.noticed("voltages are not asked for here") == 1
        assert stage.noticed("line A at 120.0 % (limit 100.0) from what is fed back") == 1
        assert here.calls("lot") == []

    run_swarm(main, Stage())


def test_who_draws_nothing_is_asked_only_for_what_the_others_leave_open() -> None:
    async def main(stage: Stage) -> None:
        plans = {"busy": between(30, 60, {"a2": 40.0, "b1": 70.0}, {"a2": 5.0, "b1": 5.0}), "idle": steady(a1=0.0)}
        here = await campus(stage, plans, offers={"busy": lambda call: 6.0, "idle": lambda call: 0.0})
        await stage.until(59)
        first, again, *_ = here.calls("busy")
        assert first.power_kw == pytest.approx(10.0, abs=0.01)
        assert [call.request_id for call in here.calls("idle")] == [again.request_id]
        assert here.calls("idle")[0].power_kw == pytest.approx(4.0, abs=0.01)
        assert stage.noticed("does not help") == 0

    run_swarm(main, Stage())


def test_who_draws_nothing_is_left_alone_where_the_others_are_enough() -> None:
    async def main(stage: Stage) -> None:
        plans = {"busy": between(30, 60, {"a2": 40.0, "b1": 70.0}, {"a2": 5.0, "b1": 5.0}), "idle": steady(a1=0.0)}
        here = await campus(stage, plans, offers={"busy": lambda call: call.power_kw, "idle": lambda call: 5.0})
        await stage.until(59)
        assert len(here.calls("busy")) == 1
        assert here.calls("idle") == []

    run_swarm(main, Stage())


# ---- who tells more than it draws ------------------------------------------------------------------------------------


def test_a_manager_that_tells_60_kw_and_meters_none_is_not_paid_for_reducing_them() -> None:
    """The lot tells 60 kW at b1 that nobody draws, and offers to leave them out; another lot overloads line B."""

    async def main(stage: Stage) -> None:
        def prepare(here: Campus) -> None:
            here.lots["liar"].told_beside = {"b1": 60.0}
            here.lots["liar"].changes = {
                "baseline_kw": (60.0,) * 2,
                "activations": (activation("a1", 30.0, "b1-2"),),
            }

        plans = {
            "liar": steady(b1=0.0),
            "honest": between(75, 105, {"b1": 95.0, "a1": 0.0}, {"b1": 10.0, "a1": 0.0}),
        }
        operators = {"b1-2": jid("liar"), "b1-3": jid("liar"), "b1-1": jid("honest"), "a1-1": jid("honest")}
        here = await campus(
            stage,
            plans,
            offers={"liar": lambda call: min(call.power_kw, 30.0) if call.start >= at(75) else 0.0},
            operators=operators,
            prepare=prepare,
        )
        await stage.until(130)
        asked = [call for call in here.calls("liar") if call.start >= at(75)]
        assert asked
        assert here.lots["liar"].won == []
        assert {reason.code for reason in here.lots["liar"].lost} == {"not-believed"}
        assert "drew 60.0 kW less than its schedule said" in here.lots["liar"].lost[0].reason
        assert stage.balance("liar") == 0
        # who does what it tells is asked, believed and paid
        assert stage.balance("honest") > 0

    run_swarm(main, Stage())


def test_a_small_lasting_gap_is_taken_off_the_baseline_that_is_settled() -> None:
    """The lot draws 1.5 kW less than it tells, and nominates what it tells."""

    async def main(stage: Stage) -> None:
        def prepare(here: Campus) -> None:
            here.lots["lot"].told_beside = {"b1": 1.5}
            here.lots["lot"].changes = {"baseline_kw": (116.5,) * 2}

        plan = between(60, 90, {"a1": 45.0, "b1": 70.0}, {"a1": 5.0, "b1": 5.0})
        here = await campus(stage, {"lot": plan}, prepare=prepare)
        await stage.until(110)
        (settlement,) = here.lots["lot"].settlements
        assert settlement.start == at(60)
        assert settlement.baseline_kw == pytest.approx((115.0, 115.0), abs=0.01)
        assert settlement.metered_kw == pytest.approx([115.0 - settlement.promised_kw] * 2, abs=0.01)
        assert settlement.reduced_kwh == pytest.approx(settlement.promised_kw / 2, abs=0.01)

    run_swarm(main, Stage())
