"""The DSO that holds voltages: its look at the next quarter of an hour, and what it asks the FO for (BUC 4.1, 4.1.1).

See LinearVoltages for the network. The limits are 0.90 and 1.10 pu, with 0.002 pu aimed for within them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.tariff import ServicePrices, voltage_prices
from agents.grid_view import Limits
from agents.voltage_dso import VoltageDso
from behaviours.outcomes import Informed, Refused
from protocols import exchanges as x
from protocols.exchanges.vocabulary import ServiceType, SignalType
from tests.agents.island_stage import (
    AZORES,
    BUSES,
    TARIFF,
    Customer,
    FakeTypical,
    LinearVoltages,
    PlainFo,
    user,
)
from tests.agents.stage import Stage, at
from tests.swarm import jid, run_swarm

LOW = {"a1": 20.0, "a2": 50.0}
"""a2 is at 0.88 pu: 11 kW less there lift it to 0.902."""
HIGH = {"a2": -60.0}
"""a2 is at 1.12 pu: 11 kW more there lower it to 1.098."""


def everybody(more: float = 20.0, less: float = 20.0) -> list[x.UserState]:
    """Vehicles at every bus that draw nothing by their own plans."""
    return [user(bus, more=more, less=less) for bus in BUSES]


class Town:
    """The DSO with an FO that tells of its vehicles each quarter of an hour."""

    def __init__(self, stage: Stage, dso: VoltageDso, fo: PlainFo, model: LinearVoltages) -> None:
        self.stage, self.dso, self.fo, self.model = stage, dso, fo, model

    @property
    def asked(self) -> list[x.VoltageRequest]:
        return self.fo.asked

    @property
    def last(self) -> Any:
        return self.dso.looks[-1]

    def at(self) -> list[dict[str, float]]:
        """kW by bus of each request, to the 10 W: the power flow's last digits are not this test's."""
        return [{change.bus: round(change.power_kw, 2) for change in request.at} for request in self.asked]


Told = Callable[[datetime], "list[x.UserState] | None"]


async def town(
    stage: Stage,
    base: Callable[[datetime], Mapping[str, float]],
    *,
    told: Told = lambda start: everybody(),
    until: float = 240,
    dropped: tuple[str, ...] = (),
    fo_does: dict[str, Any] | None = None,
    **options: Any,
) -> Town:
    """`told`: 4.1.4 for the quarter from `start` (None: silence)."""
    fo = await stage.start(PlainFo, "fo", **(fo_does or {}))
    model = LinearVoltages(base, dropped)
    dso = await stage.start(
        VoltageDso,
        "dso",
        model=model,
        limits=Limits(),
        connections={f"charger-{bus}": bus for bus in BUSES},
        tariff=TARIFF,
        zone=AZORES,
        ledger=stage.ledger,
        until=at(until),
        margin_pu=0.002,
        **options,
    )
    dso.spawn(dso.course(), "course")

    async def tell() -> None:
        for quarter in range(1, int(until) // 15 - 1):
            await stage.clock.sleep_until(at(15 * quarter + 3))
            users = told(at(15 * quarter + 15))
            if users is not None:
                await fo.tell_participation(at(15 * quarter), *users)

    fo.spawn(tell(), "tells")
    return Town(stage, dso, fo, model)


def prices(request: x.VoltageRequest) -> ServicePrices:
    """The prices of a request."""
    return ServicePrices(
        request.grid_use_eur_per_kwh,
        request.charging_cost_eur_per_kwh,
        request.discharging_remuneration_eur_per_kwh,
    )


def until_then(minutes: float, before: Mapping[str, float], after: Mapping[str, float] | None = None) -> Any:
    """What is drawn changes at that minute."""
    return lambda start: before if start < at(minutes) else (after or {})


def test_a_voltage_that_will_be_too_low_and_one_too_high_are_asked_for_by_feeder_with_their_prices() -> None:
    async def main(stage: Stage) -> None:
        users = [user("a1", less=2.0), user("a2", less=20.0), user("b1", more=24.0), user("b2", more=25.0, less=99.0)]
        here = await town(stage, lambda start: LOW | {"b2": -60.0}, told=lambda start: users)
        await stage.until(18.9)
        assert here.asked == []
        await stage.until(20)
        low, high = here.asked
        assert here.at() == [{"a2": -11.0}, {"b2": 11.0}]
        assert (low.power_kw, low.location) == (sum(change.power_kw for change in low.at), "A")
        assert (high.power_kw, high.location) == (sum(change.power_kw for change in high.at), "B")
        assert (low.timestamp, low.start, low.duration_minutes) == (at(19), at(30), 30)
        assert (low.service, low.signal, low.renews) == (ServiceType.VOLTAGE_CONTROL, SignalType.ACTIVATION, None)
        assert (low.service_id, high.service_id, low.user_id) == ("dso-service-1", "dso-service-2", jid("fo"))
        # 22 kW could be drawn less behind the feeder: of these it needs 11
        assert prices(low) == voltage_prices(TARIFF, at(30).astimezone(AZORES), low.power_kw, 22.0)
        assert low.grid_use_eur_per_kwh > TARIFF.grid_off_peak_eur_per_kwh
        # 49 kW could be drawn more behind the feeder: of these it needs 11
        assert prices(high) == voltage_prices(TARIFF, at(30).astimezone(AZORES), high.power_kw, 49.0)
        assert high.grid_use_eur_per_kwh < TARIFF.grid_off_peak_eur_per_kwh
        assert stage.notices == []

    run_swarm(main, Stage())


def test_each_look_is_kept_with_what_came_of_it() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW, fo_does={"available": lambda signal: -8.0})
        await stage.until(20)
        look = here.last
        assert look.start == at(30)
        assert look.lowest == ("a2", pytest.approx(0.88))
        assert look.highest == ("b1", 1.0)
        assert look.buses == ("a2",)
        assert [str(violation) for violation in look.broken] == ["a2 at 0.880 pu (limit 0.900)"]
        assert (look.remaining, look.agreed_kw) == ((), {"A": -8.0})
        assert look.asked_kw == {"A": here.asked[0].power_kw}
        assert look.charger_kw == dict.fromkeys(BUSES, 0.0)
        assert look.estimate.at == at(19)

    run_swarm(main, Stage())


@pytest.mark.parametrize("least_kw", [1.0, 12.0], ids=["kept", "too little to ask"])
def test_nothing_is_asked_where_voltages_hold_or_too_little_is_needed(least_kw: float) -> None:
    async def main(stage: Stage) -> None:
        kw = {"a2": 49.0} if least_kw == 1.0 else LOW
        here = await town(stage, lambda start: kw, least_kw=least_kw)
        await stage.until(100)
        assert len(here.dso.looks) == 6
        assert here.asked == []
        assert here.fo.cancelled == []

    run_swarm(main, Stage())


def test_chargers_are_in_the_look_by_their_own_plans_and_not_by_what_a_service_makes_of_them() -> None:
    async def main(stage: Stage) -> None:
        # by their own plans the vehicles at a2 would draw 60 kW; held back by the service they draw 48
        users = [user("a2", baseline=60.0, less=60.0, power=48.0)]
        here = await town(stage, lambda start: {}, told=lambda start: users)
        await stage.until(100)
        assert here.at() == [{"a2": -11.0}] * 6
        assert {look.charger_kw["a2"] for look in here.dso.looks} == {60.0}

    run_swarm(main, Stage())


def test_timers_within_the_quarter_are_looked_at_when_all_have_gone_off() -> None:
    """The vehicles at a2 draw 48 kW on average, 0.904 pu, and 60 kW when their timers have gone off: 0.88. Orders keep
    them at a constant power: of 60 kW that can be taken off the 60, 48 are orders."""

    async def main(stage: Stage) -> None:
        users = [user("a2", baseline=48.0, highest=60.0, less=48.0)]
        here = await town(stage, lambda start: {}, told=lambda start: users)
        await stage.until(20)
        look = here.last
        assert here.at() == [{"a2": pytest.approx(-11.0 * 48 / 60, abs=0.01)}]
        assert prices(here.asked[0]) == voltage_prices(TARIFF, at(30).astimezone(AZORES), look.asked_kw["A"], 48.0)
        assert (look.charger_kw["a2"], look.above_kw) == (48.0, {"a2": 12.0})
        assert look.lowest == ("a2", pytest.approx(0.88))
        assert [str(violation) for violation in look.broken] == ["a2 at 0.880 pu (limit 0.900)"]
        assert (look.remaining, stage.notices) == ((), [])

    run_swarm(main, Stage())


def test_a_voltage_is_too_high_by_the_mean_whatever_is_drawn_at_a_moment() -> None:
    """a2 feeds back 60 kW on average, and 40 while a vehicle at a1 charges as much as it can: 1.12 and 1.10 pu."""

    async def main(stage: Stage) -> None:
        users = [user("a1", highest=20.0), user("a2", more=20.0)]
        here = await town(stage, lambda start: HIGH, told=lambda start: users)
        await stage.until(20)
        assert here.at() == [{"a2": 11.0}]
        assert here.last.highest == ("a2", pytest.approx(1.12))
        assert here.last.lowest == ("b1", 1.0)
        assert here.last.remaining == ()

    run_swarm(main, Stage())


def test_each_quarter_of_an_hour_renews_the_feeders_service_and_keeps_its_report() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW)
        await stage.until(51)
        assert [(r.service_id, r.signal, r.renews, r.start) for r in here.asked] == [
            ("dso-service-1", SignalType.ACTIVATION, None, at(30)),
            ("dso-service-2", SignalType.RENEWAL, "dso-service-1", at(45)),
            ("dso-service-3", SignalType.RENEWAL, "dso-service-2", at(60)),
        ]
        first = here.dso.keepers["A"].services[0]
        assert (first.over, first.end) == (True, at(45))
        assert isinstance(first.report, x.ParticipationInfo)
        assert first.report.service_id == "dso-service-1"
        assert list(here.dso.keepers) == ["A"]
        assert here.fo.cancelled == []

    run_swarm(main, Stage())


def test_a_service_is_called_off_when_its_feeder_needs_it_no_longer_and_the_other_goes_on() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, until_then(60, LOW | {"b2": -60.0}, {"b2": -60.0}))
        await stage.until(59.9)
        assert here.fo.cancelled == []
        await stage.until(61)
        # A had services 1 and 3, B has 2, 4 and 5
        assert here.fo.cancelled == [(at(60), "dso-service-3")]
        assert [(r.location, r.renews) for r in here.asked[4:]] == [("B", "dso-service-4")]
        assert here.dso.keepers["A"].running(at(60)) is None
        assert here.dso.keepers["B"].running(at(60)) is not None
        await stage.until(150)
        assert len(here.fo.cancelled) == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize("agrees", [True, False], ids=["agreed", "refused"])
def test_when_the_sign_changes_the_old_service_is_called_off_at_the_start_of_the_new_one(agrees: bool) -> None:
    async def main(stage: Stage) -> None:
        here = await town(
            stage,
            until_then(45, LOW, HIGH),
            fo_does={"available": lambda r: r.power_kw if agrees or r.power_kw < 0 else 0.0},
            until=75,
        )
        await stage.until(44.9)
        assert here.fo.cancelled == []
        await stage.until(47)
        assert here.at()[:2] == [{"a2": -11.0}, {"a2": 11.0}]
        assert [(r.signal, r.renews) for r in here.asked] == [(SignalType.ACTIVATION, None)] * 2
        assert here.fo.cancelled == [(at(45), "dso-service-1")]
        running = here.dso.keepers["A"].running(at(45))
        assert (running is not None) is agrees
        if running is not None:
            assert running.service_id == "dso-service-2"

    run_swarm(main, Stage())


@pytest.mark.parametrize("available", [0.0, None], ids=["refuses", "silent"])
def test_an_fo_that_does_not_agree_is_told_and_asked_again_but_never_cancelled(available: float | None) -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, until_then(60, LOW), fo_does={"available": lambda request: available})
        await stage.until(100)
        assert [(r.start, r.renews) for r in here.asked] == [(at(30), None), (at(45), None)]
        assert stage.noticed("voltage control behind A of -11.0 kW from 06:30 UTC is not served") == 1
        assert [look.agreed_kw for look in here.dso.looks] == [{}] * 6
        assert not any(m.performative == "cancel" for _, m in stage.recorder.messages)

    run_swarm(main, Stage())


def test_a_silent_fo_does_not_keep_one_feeder_waiting_for_the_other() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW | {"b2": -60.0}, fo_does={"available": lambda request: None})
        await stage.until(20)
        assert [r.location for r in here.asked] == ["A", "B"]

    run_swarm(main, Stage())


def test_what_all_flexibility_leaves_broken_is_told_once_an_hour_and_what_there_is_is_asked() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW, told=lambda start: [user("a2", less=4.0), user("a1", less=3.0)])
        await stage.until(78)
        assert here.at()[0] == {"a1": -3.0, "a2": -4.0}
        # 0.88 pu and 4 x 0.002 and 3 x 0.001
        assert [str(violation) for violation in here.last.remaining] == ["a2 at 0.891 pu (limit 0.900)"]
        words = "a2 at 0.891 pu (limit 0.900) from 06:30 UTC: even with all that the vehicles can do"
        assert stage.noticed(words) == 1
        assert len(stage.notices) == 1
        await stage.until(80)
        assert len(stage.notices) == 2

    run_swarm(main, Stage())


def test_of_two_needs_of_opposite_sign_behind_one_feeder_the_larger_is_asked_and_it_is_told() -> None:
    async def main(stage: Stage) -> None:
        # a1 at 0.895 pu and a2 at 1.105: a1 must draw 21 kW less and a2 14 kW more
        here = await town(stage, lambda start: {"a1": 315.0, "a2": -210.0}, told=lambda start: everybody(30.0, 30.0))
        await stage.until(20)
        assert here.at() == [{"a1": -21.0}]
        assert stage.noticed("A needs -21.0 kW and +14.0 kW: only the first is asked") == 1

    run_swarm(main, Stage())


# ---- 4.1.4 ---------------------------------------------------------------------------------------------------------


def test_vehicles_that_still_come_are_expected_as_they_usually_do_and_timers_only_once() -> None:
    async def main(stage: Stage) -> None:
        def plan(start: datetime) -> list[x.UserState]:
            return [user("a1", baseline=0.0 if start < at(45) else 20.0, vehicles=4)]

        usual = FakeTypical(lambda start: {"a1": 1.0 if start < at(45) else 23.0, "zz": 5.0})
        here = await town(stage, lambda start: {}, told=plan, typical=usual)
        await stage.until(50)
        assert here.model.expectations == {at(30): {"a1": 0.0}, at(45): {"a1": 22.0}, at(60): {"a1": 20.0}}

    run_swarm(main, Stage())


def test_the_estimate_is_given_what_the_vehicles_drew_in_the_quarter_that_the_meters_measured() -> None:
    async def main(stage: Stage) -> None:
        users = [user("a1", baseline=5.0, power=2.0), user("a2", baseline=5.0, power=-3.0, less=5.0)]
        here = await town(stage, lambda start: {}, told=lambda start: users if start == at(30) else None)
        await stage.until(35)
        assert here.model.reported == {at(19): {"a1": 2.0, "a2": -3.0}, at(34): {}}

    run_swarm(main, Stage())


def test_without_4_1_4_charging_is_as_usual_nothing_is_asked_and_it_is_told_once() -> None:
    async def main(stage: Stage) -> None:
        usual = FakeTypical(lambda start: {"a2": 55.0})
        here = await town(
            stage,
            lambda start: {},
            told=lambda start: [user("a2", baseline=55.0, less=20.0)] if start in (at(30), at(75)) else None,
            typical=usual,
        )
        await stage.until(66)
        assert [look.charger_kw for look in here.dso.looks] == [{"a2": 55.0}] * 4
        assert [look.buses for look in here.dso.looks] == [("a2",)] * 4
        assert [r.start for r in here.asked] == [at(30), at(75)]
        # what was agreed runs out; nobody knows whether it is still needed
        assert here.fo.cancelled == []
        assert stage.noticed("does not say what the vehicles can do: they are taken to draw what they usually do") == 1
        assert stage.noticed("from 06:45 UTC: nobody says what the vehicles can do") == 1
        assert stage.noticed("fo@localhost says again what the vehicles can do") == 1
        assert len(stage.notices) == 3

    run_swarm(main, Stage())


def test_4_1_4_that_came_twice_or_late_changes_nothing_and_is_told_once() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW, told=lambda start: None)
        await stage.until(18)
        await here.fo.tell_participation(at(15), user("a2", less=20.0))
        await here.fo.tell_participation(at(15), user("a2", less=1.0))
        await here.fo.tell_participation(at(0), user("a2", less=2.0))
        await stage.until(20)
        assert here.at() == [{"a2": -11.0}]
        assert stage.noticed("4.1.4 from fo@localhost came twice") == 1

    run_swarm(main, Stage())


def test_what_is_told_of_a_bus_without_a_charger_is_left_out() -> None:
    async def main(stage: Stage) -> None:
        here = await town(
            stage, lambda start: LOW, told=lambda start: [user("zz", baseline=500.0, less=500.0), *everybody()]
        )
        await stage.until(50)
        assert here.at() == [{"a2": -11.0}] * 3
        assert "zz" not in here.last.charger_kw
        assert stage.noticed("no charger of mine is at zz") == 1

    run_swarm(main, Stage())


def test_a_meter_that_is_not_believed_is_told_once_an_hour() -> None:
    async def main(stage: Stage) -> None:
        await town(stage, lambda start: {}, dropped=("voltage at a2: 0.310 pu",))
        await stage.until(78)
        assert stage.noticed("a meter is not believed: voltage at a2: 0.310 pu") == 1
        await stage.until(80)
        assert stage.noticed("a meter is not believed: voltage at a2: 0.310 pu") == 2

    run_swarm(main, Stage())


def test_a_service_that_fails_is_told_and_the_next_one_renews_nothing() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW, fo_does={"fails_after": 2})
        await stage.until(50)
        assert stage.noticed("voltage control behind A: dso-service-1 fails") == 1
        # at 6:34 the service of 6:30 had failed already, at 6:49 that of 6:45
        assert [r.renews for r in here.asked] == [None] * 3

    run_swarm(main, Stage())


def test_a_town_without_an_fo_is_looked_at_all_the_same() -> None:
    async def main(stage: Stage) -> None:
        dso = await stage.start(
            VoltageDso,
            "dso",
            model=LinearVoltages(lambda start: LOW),
            limits=Limits(),
            connections={"c": "a2"},
            tariff=TARIFF,
            zone=AZORES,
            ledger=stage.ledger,
            until=at(60),
        )
        dso.spawn(dso.course(), "course")
        await stage.until(60)
        assert [look.start for look in dso.looks] == [at(30), at(45)]
        assert [look.buses for look in dso.looks] == [("a2",)] * 2
        assert stage.noticed("there is no flexibility operator") == 1

    run_swarm(main, Stage())


def test_no_service_outlasts_the_run() -> None:
    async def main(stage: Stage) -> None:
        here = await town(stage, lambda start: LOW, until=60)
        await stage.until(120)
        assert [(r.start, r.duration_minutes) for r in here.asked] == [(at(30), 30), (at(45), 15)]
        assert all(service.over for service in here.dso.keepers["A"].services)

    run_swarm(main, Stage())


def test_an_invoice_is_paid_once_and_where_the_emsp_owes_it_pays() -> None:
    async def main(stage: Stage) -> None:
        await town(stage, lambda start: {})
        emsp = await stage.start(Customer, "emsp")
        assert isinstance(await emsp.invoice("dso", "10.00"), Informed)
        assert isinstance(await emsp.invoice("dso", "10.00"), Informed)
        assert isinstance(await emsp.invoice("dso", "11.00"), Refused)
        assert isinstance(await emsp.invoice("dso", "-4.00", "invoice-2"), Informed)
        assert (stage.balance("dso"), stage.balance("emsp")) == (Decimal("-6.00"), Decimal("6.00"))

    run_swarm(main, Stage())
