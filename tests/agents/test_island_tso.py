"""The island's TSO: the balance of the next quarter of an hour, and what it asks the FO for (BUC 2, 2.1 to 2.3).

The island of these tests: geothermal gives 20 kW, two thermal units run with at least 10 kW each. With 70 kW of demand
and 5 kW of vehicles there is room for 35 kW of wind.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.dispatch import Plant, PlantKind
from agents.decisions.tariff import curtailment_prices
from agents.island_tso import IslandTso
from agents.producer import Producer
from behaviours.answering import Agree, Incoming, Reply, answers
from behaviours.outcomes import Informed, Refused
from protocols import exchanges as x
from protocols.exchanges.vocabulary import ServiceType, SignalType
from protocols.roles import Role
from tests.agents.island_stage import AZORES, TARIFF, Customer, FakeDemand, FakeMeter, PlainFo, user
from tests.agents.stage import QUARTER, Requester, Stage, at
from tests.swarm import jid, run_swarm

GEO = Plant("geo", PlantKind.GEOTHERMAL, 20.0)
UNITS = tuple(Plant(name, PlantKind.THERMAL, 100.0, minimum_kw=10.0, fuel_kg_per_kwh=0.22) for name in ("t1", "t2"))
WIND = Plant("wind", PlantKind.WIND, 100.0)
PLANTS = (GEO, *UNITS, WIND)
ROOM_KW = 35.0


class Island:
    """The TSO with producers and an FO that tells what the vehicles can do each quarter of an hour."""

    def __init__(self, stage: Stage, tso: IslandTso, fo: PlainFo) -> None:
        self.stage, self.tso, self.fo = stage, tso, fo
        self.demand: FakeDemand

    @property
    def asked(self) -> list[x.CurtailmentActivation]:
        return self.fo.asked

    @property
    def last(self) -> Any:
        return self.tso.balances[-1]

    def kw(self) -> list[float]:
        return [signal.power_kw for signal in self.asked]


async def island(
    stage: Stage,
    wind: Callable[[datetime], float] = lambda start: 60.0,
    *,
    more: Callable[[datetime], float | None] = lambda start: 40.0,
    silent: Callable[[datetime], bool] = lambda now: False,
    producers: tuple[str, ...] = ("geo", "t1", "t2", "wind"),
    until: float = 240,
    forecast: Callable[[datetime], float] | None = None,
    fo_does: dict[str, Any] | None = None,
    **options: Any,
) -> Island:
    """`wind`: kW available, `more`: kW that vehicles could draw more (None: no 2.2), by the quarter's beginning."""
    meters = {"geo": FakeMeter(lambda start: 20.0), "wind": FakeMeter(wind, forecast=forecast)} | {
        name: FakeMeter(lambda start: 100.0, taken=0.1) for name in ("t1", "t2")
    }
    for name in producers:
        producer = await stage.start(
            Producer,
            f"p-{name}",
            plant=name,
            meter=meters[name],
            until=at(until),
            silent=silent if name == "wind" else lambda now: False,
        )
        producer.spawn(producer.course(), "course")
    fo = await stage.start(PlainFo, "fo", **(fo_does or {}))
    demand = options.pop("demand", None) or FakeDemand(lambda start: 70.0)
    tso = await stage.start(
        IslandTso,
        "tso",
        plants=options.pop("plants", PLANTS),
        demand=demand,
        tariff=TARIFF,
        fuel_eur_per_kg=Decimal("1.0"),
        zone=AZORES,
        ledger=stage.ledger,
        until=at(until),
        **options,
    )
    tso.spawn(tso.course(), "course")

    async def tell() -> None:
        for quarter in range(1, int(until) // 15 - 1):
            await stage.clock.sleep_until(at(15 * quarter + 3))
            start = at(15 * quarter + 15)
            kw = more(start)
            if kw is not None:
                await fo.tell_flexibility(start, user(baseline=3.0, more=kw / 2), user(baseline=2.0, more=kw / 2))

    fo.spawn(tell(), "tells")
    found = Island(stage, tso, fo)
    found.demand = demand
    return found


class Centre:
    """A dispatch centre that notes what no unit needs to run for."""

    def __init__(self) -> None:
        self.told: list[tuple[datetime, float, float]] = []

    def interruptible(self, start: datetime, power_kw: float, *, beyond_kw: float) -> None:
        self.told.append((start, power_kw, beyond_kw))


def calm_after(minutes: float, kw: float = 60.0) -> Callable[[datetime], float]:
    """Wind that drops to nothing."""
    return lambda start: kw if start < at(minutes) else 0.0


def test_what_would_be_curtailed_is_asked_for_exactly_with_its_price() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage)
        await stage.until(23.9)
        assert here.asked == []
        await stage.until(25)
        (signal,) = here.asked
        # 60 kW of wind in 35 kW of room
        assert signal.power_kw == 25.0
        assert (signal.timestamp, signal.start, signal.duration_minutes) == (at(24), at(30), 30)
        assert (signal.signal, signal.renews, signal.q_kvar) == (SignalType.ACTIVATION, None, 0.0)
        assert (signal.service, signal.service_id, signal.user_id) == (
            ServiceType.RES_CURTAILMENT,
            "tso-service-1",
            jid("fo"),
        )
        # 25 of 40 flexible kW are needed, and a kWh burns 0.22 kg at 1 EUR/kg
        prices = curtailment_prices(TARIFF, at(30).astimezone(AZORES), 25.0, 40.0, Decimal("0.22"))
        assert signal.charging_cost_eur_per_kwh == prices.charging_cost_eur_per_kwh
        assert signal.discharging_remuneration_eur_per_kwh == prices.discharging_remuneration_eur_per_kwh
        assert here.demand.asked == [(at(30), at(24)), (at(15), at(24))], "of the next quarter, and of this one"
        assert here.last.start == at(30)
        assert (here.last.demand_kw, here.last.ev_baseline_kw, here.last.thermal_minimum_kw) == (70.0, 5.0, 20.0)
        assert here.last.available_kw == {"geo": 20.0, "t1": 100.0, "t2": 100.0, "wind": 60.0}
        assert (here.last.curtailment_kw, here.last.need_kw, here.last.flexible_kw) == (25.0, 25.0, 40.0)
        assert (here.last.asked_kw, here.last.agreed_kw, here.last.service_id) == (25.0, 25.0, "tso-service-1")

    run_swarm(main, Stage())


def test_no_more_is_asked_than_the_vehicles_can_draw() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, more=lambda start: 12.34)
        await stage.until(25)
        assert here.kw() == [12.3]
        assert here.last.need_kw == 25.0

    run_swarm(main, Stage())


def test_a_margin_asks_for_so_much_more_than_the_need_in_whole_steps() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, lambda start: 60.04, margin=0.1, granularity_kw=0.5)
        await stage.until(25)
        # 25.04 kW and a tenth are 27.544 kW
        assert here.kw() == [28.0]

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("wind", "more"), [(35.0, 40.0), (35.9, 40.0), (60.0, 0.9)], ids=["no need", "too small a need", "nobody can"]
)
def test_nothing_is_asked_where_there_is_no_need_or_nobody_to_ask(wind: float, more: float) -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, lambda start: wind, more=lambda start: more)
        await stage.until(120)
        assert here.asked == []
        assert here.fo.cancelled == []
        assert [b.asked_kw for b in here.tso.balances] == [0.0] * 7
        assert stage.notices == []

    run_swarm(main, Stage())


def test_each_quarter_of_an_hour_renews_the_service_before_it() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, lambda start: 60.0 + (start - at(15)) / QUARTER)
        await stage.until(56)
        assert [(s.service_id, s.signal, s.renews, s.start) for s in here.asked] == [
            ("tso-service-1", SignalType.ACTIVATION, None, at(30)),
            ("tso-service-2", SignalType.RENEWAL, "tso-service-1", at(45)),
            ("tso-service-3", SignalType.RENEWAL, "tso-service-2", at(60)),
        ]
        # the producer forecasts the quarter that is balanced
        assert here.kw() == [26.0, 27.0, 28.0]
        first, second, third = here.tso.keeper.services
        assert (first.over, first.end, first.report) == (True, at(45), x.Done(reference="tso-service-1"))
        assert (second.over, second.end) == (False, at(60))
        assert (third.over, third.end) == (False, at(90))
        assert here.tso.keeper.running(at(50)) is second
        assert here.fo.cancelled == []
        assert stage.notices == []

    run_swarm(main, Stage())


def test_the_need_is_that_without_the_running_service() -> None:
    """The vehicles' baseline is by their own plans: a service that runs does not hide its own need."""

    async def main(stage: Stage) -> None:
        here = await island(stage)
        await stage.until(100)
        assert here.kw() == [25.0] * 6
        assert {b.ev_baseline_kw for b in here.tso.balances} == {5.0}

    run_swarm(main, Stage())


def test_the_service_is_called_off_at_the_quarter_from_which_it_is_no_longer_needed() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, calm_after(60))
        await stage.until(59.9)
        assert len(here.asked) == 2
        assert here.fo.cancelled == []
        await stage.until(60)
        assert here.fo.cancelled == [(at(60), "tso-service-2")]
        (cancel,) = [m for _, m in stage.recorder.messages if m.performative == "cancel"]
        assert cancel.content == {
            "exchange": None,
            "reference": "tso-service-2",
            "reason": "no curtailment is expected any more",
        }
        await stage.until(180)
        assert len(here.fo.cancelled) == 1
        service = here.tso.keeper.services[-1]
        assert (service.over, service.end, service.called_off) == (True, at(60), "no curtailment is expected any more")
        assert stage.notices == []

    run_swarm(main, Stage())


def test_after_a_lull_a_new_service_is_activated_and_nothing_renewed() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, lambda start: 0.0 if at(45) <= start < at(60) else 60.0)
        await stage.until(58)
        assert [(s.start, s.renews) for s in here.asked] == [(at(30), None), (at(60), None)]
        assert here.fo.cancelled == [(at(45), "tso-service-1")]

    run_swarm(main, Stage())


@pytest.mark.parametrize("available", [0.0, None], ids=["refuses", "silent"])
def test_an_fo_that_does_not_agree_is_told_and_asked_again_but_never_cancelled(available: float | None) -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, calm_after(60), fo_does={"available": lambda signal: available})
        await stage.until(100)
        assert [(s.start, s.signal) for s in here.asked] == [
            (at(30), SignalType.ACTIVATION),
            (at(45), SignalType.ACTIVATION),
        ]
        assert stage.noticed("more consumption of 25.0 kW from 06:30 UTC is not served") == 1
        assert stage.noticed("is not served") == 1  # the second one is the same within the hour
        assert stage.noticed("nobody takes part" if available == 0.0 else "no answer from fo@localhost") == 1
        assert [b.agreed_kw for b in here.tso.balances] == [None] * len(here.tso.balances)
        assert here.fo.cancelled == []
        assert not any(m.performative == "cancel" for _, m in stage.recorder.messages)

    run_swarm(main, Stage())


@pytest.mark.parametrize("available", [0.0, None], ids=["refused", "unanswered"])
def test_a_service_whose_renewal_is_not_agreed_to_is_called_off_at_the_end_of_its_quarter(
    available: float | None,
) -> None:
    async def main(stage: Stage) -> None:
        def answer(signal: x.CurtailmentActivation) -> float | None:
            return available if signal.start == at(45) else signal.power_kw

        here = await island(stage, fo_does={"available": answer}, until=90)
        await stage.until(61)
        assert here.fo.cancelled == [(at(45), "tso-service-1")]
        assert [(s.start, s.renews) for s in here.asked] == [(at(30), None), (at(45), "tso-service-1"), (at(60), None)]
        assert here.tso.keeper.running(at(50)) is None

    run_swarm(main, Stage())


def test_what_the_fo_agrees_to_is_kept_even_where_it_is_less() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, fo_does={"available": lambda signal: 7.5})
        await stage.until(25)
        assert (here.last.asked_kw, here.last.agreed_kw) == (25.0, 7.5)

    run_swarm(main, Stage())


def test_an_agreement_to_the_opposite_counts_as_nothing_and_is_told() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, fo_does={"available": lambda signal: -5.0})
        await stage.until(25)
        assert here.last.agreed_kw == 0.0
        assert stage.noticed("agrees to tso-service-1 with -5.0 kW, where 25.0 kW was asked for") == 1

    run_swarm(main, Stage())


def test_a_service_that_fails_is_told_and_the_next_one_renews_nothing() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, fo_does={"fails_after": 5})
        await stage.until(40)
        assert stage.noticed("tso-service-1 fails: failed by fo@localhost: the vehicles have left") == 1
        assert [s.renews for s in here.asked] == [None, None]
        assert here.fo.cancelled == []

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("cancelling", "words", "report"),
    [
        (False, "failed by fo@localhost: the vehicles do not let go", x.Done(reference="tso-service-1")),
        (None, "no answer from fo@localhost", None),
    ],
    ids=["cannot", "silent"],
)
def test_a_service_that_cannot_be_called_off_is_told_and_runs_out(
    cancelling: bool | None, words: str, report: x.Done | None
) -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, calm_after(45), fo_does={"cancelling": cancelling})
        await stage.until(120)
        assert here.fo.cancelled == [(at(45), "tso-service-1")]
        assert stage.noticed(f"more consumption: tso-service-1 is not called off: {words}") == 1
        (service,) = here.tso.keeper.services
        assert (service.over, service.report) == (True, report)
        assert len(stage.notices) == 1

    run_swarm(main, Stage())


def test_a_service_of_whose_end_nothing_is_heard_is_told() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, until=60, fo_does={"reports": False})
        await stage.until(120)
        assert stage.noticed("tso-service-1 is left without a result: no answer from fo@localhost") == 1
        assert [(s.over, s.end) for s in here.tso.keeper.services] == [(True, at(45)), (True, at(60))]

    run_swarm(main, Stage())


def test_no_service_outlasts_the_run() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, until=60)
        await stage.until(120)
        assert [(s.start, s.duration_minutes) for s in here.asked] == [(at(30), 30), (at(45), 15)]
        assert all(service.over for service in here.tso.keeper.services)

    run_swarm(main, Stage())


# ---- 2.1: producers that fall silent, and measurements that are no news --------------------------------------------


def test_a_silent_producer_counts_with_its_last_forecast_and_is_told_once_and_when_it_is_back() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, lambda start: 60.0 if start < at(60) else 45.0, silent=lambda n: at(40) < n < at(85))
        await stage.until(86)
        # the last report, at 6:32, forecast 60 kW for 6:45
        words = "tso@localhost: wind is silent: it counts with 60 kW, its last forecast, made at 06:32 UTC"
        assert stage.noticed(words) == 1
        assert stage.noticed("reports again") == 0
        assert here.kw() == [25.0] * 5
        await stage.until(115)
        assert stage.noticed("tso@localhost: wind reports again") == 1
        assert here.kw() == [25.0] * 5 + [10.0] * 2
        assert len(stage.notices) == 2

    run_swarm(main, Stage())


def test_wind_that_never_reported_counts_with_nothing_and_another_plant_with_its_capacity() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, producers=("t1", "t2"))
        await stage.until(55)
        assert here.last.available_kw == {"geo": 20.0, "t1": 100.0, "t2": 100.0, "wind": 0.0}
        assert here.asked == []
        assert stage.noticed("wind is silent: it counts with 0 kW, nothing, for it has not reported yet") == 1
        assert stage.noticed("geo is silent: it counts with 20 kW, its capacity") == 1
        assert len(stage.notices) == 2

    run_swarm(main, Stage())


class PlainProducer(Requester):
    """A producer that says what the test says; it is in the directory for the plant `wind`."""

    role = Role.PRODUCER
    services = ("plant:wind",)

    @answers(x.MeasurementsSubscription)
    async def on_subscription(self, topic: x.MeasurementsSubscription, incoming: Incoming) -> Reply:
        return Agree(x.Done(reference=topic.request_id))

    async def tell(self, end: datetime, kw: float | None, *, said: float, source: str = "wind", **fields: Any) -> None:
        report = x.Measurements(
            request_id="r",
            timestamp=at(said),
            source=source,
            start=end - QUARTER,
            end=end,
            production_kw=fields.pop("production_kw", 1.0),
            ev_kw=0.0,
            p_kw=0.0,
            q_kvar=0.0,
            forecast_kw=0.0,
            forecast_available_kw=kw,
            **fields,
        )
        await self.publish(x.MeasurementsSubscription, report)


async def blown(stage: Stage) -> tuple[Island, PlainProducer]:
    """An island whose wind reports by hand, at 6:20."""
    wind = await stage.start(PlainProducer, "p-wind")
    here = await island(stage, producers=("geo", "t1", "t2"))
    await stage.until(20)
    return here, wind


def test_measurements_out_of_order_or_twice_change_nothing_and_are_told_once() -> None:
    async def main(stage: Stage) -> None:
        here, wind = await blown(stage)
        await wind.tell(at(15), 60.0, said=17)
        await wind.tell(at(15), 99.0, said=17)
        await wind.tell(at(0), 98.0, said=2)
        await wind.tell(at(0), 97.0, said=3)
        await stage.until(25)
        assert here.last.available_kw["wind"] == 60.0
        assert here.tso.watch.news.dropped == {"wind": 3}
        assert stage.noticed("2.1 from wind came twice") == 1
        assert len(stage.notices) == 1

    run_swarm(main, Stage())


def test_a_report_in_the_name_of_another_plant_is_left_out() -> None:
    async def main(stage: Stage) -> None:
        here, wind = await blown(stage)
        await wind.tell(at(15), 60.0, said=17)
        await wind.tell(at(15), 0.0, said=18, source="geo")
        await wind.tell(at(15), 0.0, said=19, source="geo")
        await stage.until(25)
        assert (here.last.available_kw["geo"], here.last.available_kw["wind"]) == (20.0, 60.0)
        assert stage.noticed("the producer of wind reports in the name of geo: left out") == 1

    run_swarm(main, Stage())


@pytest.mark.parametrize(
    ("report", "kw"),
    [
        ({"kw": 50.0, "available_kw": 60.0, "production_kw": 40.0}, 50.0),
        ({"kw": None, "available_kw": 60.0, "production_kw": 40.0}, 60.0),
        ({"kw": None, "production_kw": 40.0}, 40.0),
    ],
    ids=["forecast", "available", "production"],
)
def test_a_plant_without_a_forecast_goes_by_what_it_could_have_given_else_by_what_it_gave(
    report: dict[str, Any], kw: float
) -> None:
    async def main(stage: Stage) -> None:
        here, wind = await blown(stage)
        await wind.tell(at(15), said=17, **report)
        await stage.until(25)
        assert here.last.available_kw["wind"] == kw

    run_swarm(main, Stage())


def test_a_producer_of_no_plant_of_the_island_is_told_and_not_asked() -> None:
    async def main(stage: Stage) -> None:
        stranger = await stage.start(Producer, "p-x", plant="coal", meter=FakeMeter(lambda s: 1.0), until=at(60))
        await island(stage)
        await stage.until(25)
        assert stage.noticed("p-x@localhost is no producer of a plant that is known here") == 1
        assert stranger.subscriptions(x.MeasurementsSubscription) == ()

    run_swarm(main, Stage())


# ---- 2.1 and 2.2 of the FO -----------------------------------------------------------------------------------------


def test_without_2_2_the_last_baseline_counts_nothing_is_asked_and_it_is_told_once() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, more=lambda start: 40.0 if start in (at(30), at(90)) else None)
        await stage.until(85)
        assert stage.noticed("fo@localhost does not say what the vehicles can do: they count with 5 kW") == 1
        assert stage.noticed("fo@localhost says again what the vehicles can do") == 1
        assert [(b.flexible_kw, b.ev_baseline_kw, b.asked_kw) for b in here.tso.balances] == [
            (40.0, 5.0, 25.0),
            (None, 5.0, 0.0),
            (None, 5.0, 0.0),
            (None, 5.0, 0.0),
            (40.0, 5.0, 25.0),
        ]
        # what was agreed runs out; it is not called off, for the need is still there
        assert here.fo.cancelled == []

    run_swarm(main, Stage())


def test_2_2_that_came_twice_is_left_out() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, more=lambda start: None)
        await stage.until(20)
        await here.fo.tell_flexibility(at(30), user(baseline=5.0, more=30.0), said=at(18))
        await here.fo.tell_flexibility(at(30), user(baseline=5.0, more=3.0), said=at(18))
        await here.fo.tell_flexibility(at(15), user(baseline=5.0, more=2.0), said=at(3))
        await stage.until(25)
        assert here.kw() == [25.0]
        assert stage.noticed("2.2 from fo@localhost came twice") == 1

    run_swarm(main, Stage())


def test_what_the_vehicles_drew_in_a_service_is_kept_and_no_old_word_changes_it() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage)
        await stage.until(34)
        for ev_kw, said in ((12.5, 33), (99.0, 33), (98.0, 18)):
            report = x.Measurements(
                request_id="r",
                timestamp=at(said),
                source="fo",
                start=at(15),
                end=at(30),
                production_kw=0.0,
                ev_kw=ev_kw,
                p_kw=0.0,
                q_kvar=0.0,
                forecast_kw=10.0,
            )
            await here.fo.publish(x.MeasurementsSubscription, report)
        await stage.until(35)
        assert here.tso.ev_kw == {at(15): 12.5}
        assert stage.noticed("2.1 from fo@localhost came twice") == 1

    run_swarm(main, Stage())


def test_vehicles_that_will_charge_by_themselves_leave_less_to_ask_for() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, more=lambda start: None)
        await stage.until(18)
        await here.fo.tell_flexibility(at(30), user(baseline=15.0, more=50.0))
        await stage.until(25)
        assert here.last.ev_baseline_kw == 15.0
        assert here.kw() == [60.0 - (ROOM_KW + 10.0)]

    run_swarm(main, Stage())


def test_an_island_without_an_fo_is_balanced_all_the_same() -> None:
    async def main(stage: Stage) -> None:
        tso = await stage.start(
            IslandTso,
            "tso",
            plants=PLANTS,
            demand=FakeDemand(lambda start: 70.0),
            tariff=TARIFF,
            fuel_eur_per_kg=Decimal(1),
            zone=AZORES,
            ledger=stage.ledger,
            until=at(60),
        )
        tso.spawn(tso.course(), "course")
        await stage.until(60)
        assert [b.start for b in tso.balances] == [at(30), at(45)]
        assert stage.noticed("there is no flexibility operator") == 1

    run_swarm(main, Stage())


# ---- 2.x.1 ---------------------------------------------------------------------------------------------------------


def test_an_invoice_is_paid_once_and_somebody_elses_not_at_all() -> None:
    async def main(stage: Stage) -> None:
        await island(stage)
        emsp = await stage.start(Customer, "emsp")
        paid = await emsp.invoice("tso", "12.34")
        assert isinstance(paid, Informed)
        assert paid.content == x.InvoicePayment(
            invoice_id="invoice-1", amount_eur=Decimal("12.34"), transaction_id="invoice-1"
        )
        assert isinstance(await emsp.invoice("tso", "12.34"), Informed)
        assert isinstance(await emsp.invoice("tso", "99.00"), Refused)
        assert (stage.balance("tso"), stage.balance("emsp")) == (Decimal("-12.34"), Decimal("12.34"))
        assert stage.ledger.audit().faults == ()

    run_swarm(main, Stage())


def test_the_dispatch_centre_hears_of_the_consumption_that_no_unit_needs_to_run_for() -> None:
    async def main(stage: Stage) -> None:
        centre = Centre()
        here = await island(stage, calm_after(60), centre=centre)
        await stage.until(100)
        assert centre.told == [(at(30), 25.0, 5.0), (at(45), 25.0, 5.0)]
        assert here.kw() == [25.0, 25.0]

    run_swarm(main, Stage())


def test_when_the_vehicles_can_take_no_more_the_service_is_called_off() -> None:
    async def main(stage: Stage) -> None:
        here = await island(stage, more=lambda start: 40.0 if start < at(60) else 0.0)
        await stage.until(100)
        assert here.kw() == [25.0, 25.0]
        (cancelled,) = stage.said(x.Cancellation, "tso")
        assert cancelled.reason == "the vehicles can take no more"

    run_swarm(main, Stage())


def test_a_unit_that_was_started_is_expected_to_run_for_an_hour() -> None:
    """Two units of 10 kW at least would do, but one of 15 kW was started in the second quarter: it runs in the place of
    one of them, and leaves less room for wind until an hour has passed."""

    async def main(stage: Stage) -> None:
        third = Plant("t3", PlantKind.THERMAL, 100.0, minimum_kw=15.0, fuel_kg_per_kwh=0.22)
        meter = FakeMeter(lambda start: 100.0 if start >= at(15) else 0.0, taken=0.1)
        producer = await stage.start(Producer, "p-t3", plant="t3", meter=meter, until=at(240))
        producer.spawn(producer.course(), "course")
        here = await island(stage, plants=(*PLANTS, third))
        await stage.until(150)
        needs = {balance.start: balance.need_kw for balance in here.tso.balances}
        assert needs[at(30)] == 25.0
        assert [needs[at(minutes)] for minutes in (45, 60)] == [30.0, 30.0]
        assert needs[at(90)] == 25.0

    run_swarm(main, Stage())


def test_a_service_is_called_off_at_once_when_the_wind_farm_is_lost() -> None:
    """Lost at minute 40, when 60 kW were expected: its producer says so a minute later, and no fuel is burnt for the
    service until minute 45."""

    async def main(stage: Stage) -> None:
        here = await island(stage, calm_after(40), forecast=lambda _: 60.0 if stage.clock.now() < at(40) else 0.0)
        await stage.until(40.9)
        assert stage.said(x.Cancellation, "tso") == []
        await stage.until(42)
        (cancelled,) = stage.said(x.Cancellation, "tso")
        assert cancelled.reason == "there is no wind to save any more"
        special = [report for report in stage.said(x.Measurements, "p-wind") if report.end == at(41)]
        assert [(report.start, report.forecast_available_kw) for report in special] == [(at(30), 0.0)]
        assert here.tso.keeper.running(at(43)) is None

    run_swarm(main, Stage())


def test_a_renewal_that_was_just_agreed_to_does_not_begin_when_the_wind_farm_is_lost() -> None:
    """Lost at minute 42, after the TSO has renewed for minute 45 at minute 39."""

    async def main(stage: Stage) -> None:
        here = await island(stage, calm_after(42), forecast=lambda _: 60.0 if stage.clock.now() < at(42) else 0.0)
        await stage.until(40)
        assert [signal.start for signal in here.asked] == [at(30), at(45)]
        await stage.until(46)
        reasons = {cancelled.reference: cancelled.reason for cancelled in stage.said(x.Cancellation, "tso")}
        assert reasons == dict.fromkeys(("tso-service-1", "tso-service-2"), "there is no wind to save any more")
        assert here.tso.keeper.running(at(46)) is None

    run_swarm(main, Stage())
