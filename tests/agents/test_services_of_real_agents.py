"""FO, V2X managers and EMSP together: real messages, batteries behind the chargers, the books at the end."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.invoicing import Fees
from agents.decisions.selection import Trust
from agents.emsp import Emsp
from agents.fo import FlexibilityOperator
from behaviours.outcomes import Agreed
from protocols import exchanges as x
from tests.agents.portugal_stage import TARIFF, Houses, TimedCar
from tests.agents.stage import MINUTE, Stage, at, informed
from tests.agents.vehicles import Dso, Meters, Tso, activation, voltage
from tests.swarm import jid, run_swarm

FEES = Fees(Decimal("0.01"), Decimal("0.004"), Decimal("0.02"), Decimal("0.30"))
CHEAP = {"charging_cost_eur_per_kwh": Decimal("0.05"), "discharging_remuneration_eur_per_kwh": Decimal("0.05")}
DEAR = {"charging_cost_eur_per_kwh": Decimal("0.50"), "discharging_remuneration_eur_per_kwh": Decimal("0.50")}


async def everybody(stage: Stage, cars: list[TimedCar], **houses: Any) -> tuple[Tso, Dso, FlexibilityOperator, Emsp]:
    home = await Houses.open(stage, cars, **houses)

    def shown(charger: str, when: datetime) -> float:
        return stage.chargers[charger].metered_kw(when, when + MINUTE)

    await stage.start(Meters, "meters", shown=shown)
    tso = await stage.start(Tso, "tso", ledger=stage.ledger)
    dso = await stage.start(Dso, "dso", ledger=stage.ledger)
    fo = await stage.start(FlexibilityOperator, "fo", zone=UTC, ledger=stage.ledger, until=at(900))
    chargers = [car.charger_id for car in home.cars]
    emsp = await stage.start(
        Emsp,
        "emsp",
        tariff=TARIFF,
        zone=UTC,
        drivers={charger: jid(f"ev-{charger}") for charger in chargers},
        manager_of=dict.fromkeys(chargers, jid("houses1")),
        feeder_of=dict.fromkeys(chargers, "feeder1"),
        tso=jid("tso"),
        dso=jid("dso"),
        fees=FEES,
        ledger=stage.ledger,
        invoices_at=[at(90)],
        until=at(900),
    )
    for agent in (fo, emsp):
        agent.spawn(agent.course(), "course")
    return tso, dso, fo, emsp


def waiting(name: str) -> TimedCar:
    return TimedCar(name, soc=40.0, wanted=80.0, leaves=800, charges_from=240.0)


def test_a_curtailment_service_is_kept_renewed_called_off_and_paid() -> None:
    async def main(stage: Stage) -> None:
        tso, _, fo, emsp = await everybody(stage, [waiting("c1"), waiting("c2")])
        await tso.hear(x.FlexibilitySubscription)
        await stage.until(19)
        assert [user.increase_kw > 0 for user in tso.heard[-1].users] == [True]
        first = await tso.ask(activation("s1", 6.0, 30, **CHEAP))
        assert isinstance(first, Agreed), first
        assert first.content == x.ServiceAnswer(service_id="s1", available_power_kw=6.0)
        await stage.until(39)
        second = await tso.ask(activation("s2", 6.0, 45, renews="s1", **CHEAP))
        assert isinstance(second, Agreed), second
        assert informed(await first.result()) == x.Done(reference="s1")
        assert stage.clock.now() == at(45)
        await stage.until(60)
        done = await second.cancel(x.Cancellation(reference="s2", reason="no wind is left"), at(63))
        assert informed(done) == x.Done(reference="s2")
        metered = [stage.chargers[c].metered_kw(at(30), at(60)) for c in ("c1", "c2")]
        assert sum(metered) == pytest.approx(6.0, abs=0.05)
        await stage.until(63)
        assert fo.desk.trust[jid("houses1")].value == pytest.approx(1.0, abs=0.01)
        await stage.until(95)
        # 3 kWh at the service's price, and afterwards nothing: the cars wait for their timers again
        charged = sum(emsp.accounts[jid(f"ev-{c}")].owed_eur for c in ("c1", "c2"))
        assert float(charged) == pytest.approx(3 * 0.05, abs=0.003)
        assert float(emsp.accounts[jid("houses1")].owed_eur) == pytest.approx(-3 * 0.02, abs=0.002)
        assert stage.balance("fo") == Decimal("0.01")
        kept = sum(account.owed_eur for account in emsp.accounts.values())
        assert float(kept) == pytest.approx(3 * 0.01, abs=0.001)
        assert stage.ledger.audit().total_eur == 0
        assert [text for text in stage.notices if "is not paid" not in text] == []

    run_swarm(main, Stage())


def test_a_voltage_service_gives_power_back_and_its_report_comes_by_bus() -> None:
    async def main(stage: Stage) -> None:
        car = TimedCar("c1", soc=70.0, wanted=72.0, leaves=800, charges_from=240.0)
        _, dso, fo, _ = await everybody(stage, [car])
        await dso.hear(x.ParticipationSubscription)
        await stage.until(19)
        agreed = await dso.ask(voltage("v1", -5.0, 30, **DEAR))
        assert isinstance(agreed, Agreed), agreed
        report = informed(await agreed.result())
        assert (report.service_id, report.start, report.end) == ("v1", at(30), at(60))
        assert [(user.location, user.service) for user in report.users] == [("bus1", x.ServiceType.VOLTAGE_CONTROL)]
        assert stage.chargers["c1"].metered_kw(at(30), at(60)) == pytest.approx(-5.0, abs=0.05)
        await stage.until(64)
        # told at minutes 33, 48 and 63, each of the quarter before; that before the service first
        assert [(info.end, info.service_id) for info in dso.heard] == [
            (at(15), None),
            (at(30), None),
            (at(45), "v1"),
            (at(60), "v1"),
        ]
        assert fo.desk.trust[jid("houses1")].value == pytest.approx(1.0, abs=0.01)

    run_swarm(main, Stage())


def test_a_manager_that_promises_and_does_nothing_is_penalised_and_no_longer_called() -> None:
    async def main(stage: Stage) -> None:
        tso, _, fo, emsp = await everybody(stage, [waiting("c1"), waiting("c2")], obeys=lambda now: False)
        await tso.hear(x.FlexibilitySubscription)
        for number, start in enumerate((30, 45, 60), start=1):
            await stage.until(start - 6)
            renews = {} if number == 1 else {"renews": f"s{number - 1}"}
            answer = await tso.ask(activation(f"s{number}", 6.0, start, **CHEAP, **renews))
            if number < 3:
                assert isinstance(answer, Agreed), answer
        await stage.until(95)
        assert stage.noticed("houses1@localhost delivered 0.00 of") == 1
        # from then on nobody counts on it, so nobody asks each quarter of an hour for what it could do
        told = {news.start: sum(user.increase_kw for user in news.users) > 0 for news in tso.heard}
        assert told == {at(start): start < 75 for start in range(30, 120, 15)}
        assert fo.desk.trust[jid("houses1")] == Trust(0.5, at(182))
        owed = emsp.accounts[jid("houses1")].owed_eur
        # 1.5 kWh for each quarter of an hour that was promised, less 5 % that may be missing
        assert owed > Decimal("1.5") * Decimal("0.95") * FEES.penalty_eur_per_kwh
        assert stage.balance("houses1") < 0 < stage.balance("tso")

    run_swarm(main, Stage())
