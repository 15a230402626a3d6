"""All actors together, nothing scripted but the drivers: from a congestion to a paid bill (D5.1, 3.1 and 3.6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import time
from decimal import Decimal
from typing import Any

import pytest

from agents.decisions.pricing import OperatorCosts
from agents.dso import Course, Dso
from agents.fmo import Fmo
from agents.grid_view import Limits
from agents.grid_watch import GridWatch
from agents.tso import Tso
from protocols import exchanges as x
from tests.agents.stage import Car, LinearGrid, Site, Stage, StageMeters, Typical, at, product, start_meters, start_vpp
from tests.swarm import jid, run_swarm


class Town:
    """Two VPPs with a CPO each, 8 cars, a transformer that fits 70 of their 88 kW from 07:30 to 08:30."""

    def __init__(self, stage: Stage, sites: dict[str, Site], meters: StageMeters, tso: Tso) -> None:
        self.stage, self.sites, self.meters, self.tso = stage, sites, meters, tso

    @classmethod
    async def open(
        cls,
        stage: Stage,
        *,
        base_kw: Callable[[Any], Mapping[str, float]] = lambda when: {},
        typical: Callable[[Any], Mapping[str, float]] | None = None,
        day: bool = True,
        until: float = 30,
        **changed: Any,
    ) -> Town:
        meters = (await start_meters(stage)).world
        await stage.start(Fmo, "fmo")
        definition = product(**changed)
        watch = GridWatch(
            LinearGrid(rating_kw=70.0, base_kw=base_kw),
            Limits(),
            OperatorCosts(),
            Typical(typical or (lambda when: {"bus1": 88.0 if at(90) <= when < at(150) else 20.0})),
            ambient_c=20.0,
            margin=0.0,
            bad_day=0.9,
            granularity_kw=0.1,
        )
        dso = await stage.start(
            Dso,
            "dso",
            product=definition,
            watch=watch,
            delivery=(time(8), time(12)),
            courses=[Course(at(2), at(30), at(45), at(75), at(165))] if day else [],
            until=at(until),
            ledger=stage.ledger,
            volume_tolerance=0.02,
        )
        tso = await stage.start(Tso, "tso")
        sites = {}
        for number in (1, 2):
            names = [f"c{number}{k}" for k in range(4)]
            cars = [Car(name, arrives=0, soc=20.0, wanted=90.0, capacity_kwh=60.0, leaves=600) for name in names]
            sites[f"vpp{number}"] = await Site.open(stage, cars, name=f"cpo{number}", vpp=f"vpp{number}")
            margin = {1: 0.15, 2: 0.25}[number]
            await start_vpp(
                stage,
                f"vpp{number}",
                chargers=names,
                margin=margin,
                registers_at=5 + number,
                baseline=definition.baseline,
            )
        for actor in (dso, tso):
            actor.spawn(actor.course(), "course")
        return cls(stage, sites, meters, tso)

    def metered_kw(self, start: float, end: float) -> float:
        return sum(site.metered_kw(start, end) for site in self.sites.values())


def money_adds_up(stage: Stage) -> bool:
    audit = stage.ledger.audit()
    return audit.faults == () and audit.total_eur == 0 and sum(stage.ledger.balances().values()) == 0


def bills(stage: Stage) -> list[x.Bill]:
    return stage.said(x.Bill, "fmo")


@pytest.mark.parametrize("baseline", [x.BaselineMethod.NOMINATION, x.BaselineMethod.METER_BEFORE_METER_AFTER])
def test_a_day_on_the_market_from_the_need_to_the_drivers_money(baseline: x.BaselineMethod) -> None:
    """BUC 1.1 and 1.2: need, bids, awards, activation, setpoints, measurements, volume, bill, payment, shares."""

    async def main(stage: Stage) -> None:
        town = await Town.open(stage, baseline=baseline)
        await stage.until(50)
        (need,) = stage.said(x.FlexibilityNeed, "dso")
        assert need.power_kw == pytest.approx(18.0)
        (result,) = stage.said(x.NeedResult, "fmo")
        assert sum(a.power_kw for a in result.awards) == pytest.approx(18.0)
        assert [a.vpp for a in result.awards] == [jid("vpp1")]  # the smaller margin is cheaper
        await stage.until(89)
        assert town.metered_kw(74, 89) == pytest.approx(88.0, abs=0.1)
        await stage.until(151)
        for start in (90, 105, 120, 135):
            assert town.metered_kw(start, start + 15) <= 70.1
        assert not town.tso.activated or {a.status for a in town.tso.activated.values()} == {x.ActivationStatus.ENDED}
        await stage.until(200)
        (bill,) = {b.bill_id: b for b in bills(stage)}.values()
        assert bill.volume_kwh == pytest.approx(18.0, abs=0.2)
        assert bill.penalty_eur <= Decimal("0.20")
        assert bill.amount_eur > 0
        assert stage.balance("dso") == -bill.amount_eur
        drivers = [account for account in stage.ledger.balances() if account.startswith("ev-")]
        assert drivers
        assert all(name.startswith("ev-c1") for name in drivers)
        assert stage.balance("vpp1") > 0
        assert money_adds_up(stage)
        assert [n for n in stage.notices if "dispute" in n or "not paid" in n] == []
        await stage.until(601)
        assert all(soc >= 90.0 - 0.2 for site in town.sites.values() for soc in site.left_with.values())

    run_swarm(main, Stage())


def test_a_congestion_that_nobody_saw_the_day_before_is_cured_by_a_pool() -> None:
    """BUC 6.1 and 6.2: the look ahead of the next quarter, the pool, the contract, the payment without an FMO."""

    async def main(stage: Stage) -> None:
        town = await Town.open(stage, day=False, until=65, typical=lambda when: {})
        # the FMO needs the product before anyone can register
        dso = next(actor for actor in stage.actors if isinstance(actor, Dso))
        await dso.request(dso.product, to=jid("fmo"), reply_by=at(1))
        await stage.until(33)
        openings = stage.said(x.PoolOpening, "dso")
        assert (openings[0].start, openings[0].end) == (at(30), at(45))
        assert openings[0].power_needed_kw == pytest.approx(18.0, abs=0.2)
        await stage.until(46)
        assert town.metered_kw(15, 30) == pytest.approx(88.0, abs=0.1)
        assert town.metered_kw(30, 45) <= 70.2
        await stage.until(120)
        assert stage.balance("dso") < 0
        assert stage.balance("vpp1") > 0
        assert money_adds_up(stage)
        acts = {m.exchange for _, m in stage.recorder.messages}
        assert {"6.1.1", "6.1.2", "6.x.1", "6.2.1", "6.2.2", "6.2.3", "6.2.4", "6.2.5", "1.x.4", "1.x.5"} <= acts

    run_swarm(main, Stage())


def test_when_every_driver_declines_the_vpp_pays_the_penalty_and_the_tso_may_call_it() -> None:
    async def main(stage: Stage) -> None:
        town = await Town.open(stage)
        for site in town.sites.values():
            for driver in site.drivers.values():
                driver.decides = lambda offer: "not today"
        await stage.until(151)
        assert town.metered_kw(90, 150) == pytest.approx(88.0, abs=0.1)
        assert sum(site.orders() for site in town.sites.values()) == 0
        assert town.tso.free_for_balancing(jid("vpp1"), at(90), at(150))
        await stage.until(200)
        assert stage.noticed("does not take place") == 1
        # 18 kW short in four quarters at 0.50 EUR/kW
        assert stage.balance("vpp1") == pytest.approx(Decimal("-36.00"), abs=Decimal("0.1"))
        assert stage.balance("dso") == -stage.balance("vpp1")
        assert [account for account in stage.ledger.balances() if account.startswith("ev-")] == []
        assert money_adds_up(stage)
        assert [n for n in stage.notices if "not paid" in n] == []

    run_swarm(main, Stage())


def test_a_vpp_whose_registers_are_not_what_the_dso_meters_is_disputed_and_not_paid() -> None:
    """The DSO's meters show 15 % more than the registers that the VPP reads: the volume is not agreed."""

    async def main(stage: Stage) -> None:
        town = await Town.open(stage)
        await stage.until(60)
        town.meters.lie = lambda place, kw: kw * 1.15
        await stage.until(200)
        assert stage.noticed("is disputed") == 1
        assert stage.noticed("measured differently") == 1
        assert stage.balance("dso") >= 0
        assert money_adds_up(stage)

    run_swarm(main, Stage())


def test_two_runs_of_the_same_day_say_the_same() -> None:
    def script() -> list[str]:
        async def main(stage: Stage) -> None:
            await Town.open(stage)
            await stage.until(200)

        stage = run_swarm(main, Stage())
        return [f"{when} {m.sender} {m.receiver} {m.performative} {m.content}" for when, m in stage.recorder.messages]

    assert script() == script()
