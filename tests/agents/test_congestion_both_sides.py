"""BUC 3 between the real agents: the DSO and a parking lot's manager with its drivers, from overload to payment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from agents.congestion_dso import CongestionDso
from agents.decisions.congestion_offer import Willingness
from agents.grid_view import Limits
from protocols import exchanges as x
from tests.agents.congestion_stage import COSTS, ZONE, TwoFeeders
from tests.agents.lot_stage import CAMPUS, ParkingLot, Prices
from tests.agents.stage import Car, Stage, Typical, at, start_meters
from tests.swarm import run_swarm

CHEAP_LATER = Prices([0.30] * 4 + [0.10] * 8 + [0.20] * 40)
"""The cheap hours begin at 07:00: all vehicles wait for them."""


async def scene(stage: Stage, limits: Callable[[datetime], Limits], *changes: float) -> ParkingLot:
    """Six vehicles at line A: 66 kW where 50 can be carried."""
    cars = [Car(f"c{k}", soc=40.0, wanted=60.0, leaves=500.0, bus="a1") for k in range(1, 7)]
    lot = await ParkingLot.open(stage, cars, prices=CHEAP_LATER)
    # the drivers have agreed so often that they are counted on
    lot.manager.willingness = Willingness(dict.fromkeys(x.ActivationKind, (10**9, 10**9)))
    await start_meters(stage)
    dso = await stage.start(
        CongestionDso,
        "dso",
        campus=CAMPUS,
        model=TwoFeeders(),
        limits=limits,
        connections={car.charger_id: car.bus for car in cars},
        costs=COSTS,
        typical=Typical(),
        ledger=stage.ledger,
        zone=ZONE,
        until=at(400),
        changes=[at(minutes) for minutes in changes],
    )
    dso.spawn(dso.course(), "course")
    return lot


def test_cars_that_chase_the_same_cheap_hours_overload_a_line_are_asked_settled_and_paid() -> None:
    async def main(stage: Stage) -> None:
        lot = await scene(stage, lambda when: Limits())
        cars = lot.cars
        await stage.until(59)
        (call, *_) = stage.said(x.CongestionCall)
        assert (call.start, call.location, call.buses) == (at(60), "line A", ("a1",))
        # 16 kW and the margin of a tenth
        assert call.power_kw == pytest.approx(17.6)
        assert stage.said(x.SolutionAward)
        drawn = []
        for minutes in range(62, 240, 15):
            await stage.until(minutes)
            drawn.append(sum(lot.charger(car.charger_id).power_kw for car in cars))
        assert max(drawn) <= 50.0
        assert max(drawn) > 40.0
        await stage.until(395)
        settlements = stage.said(x.CongestionSettlement)
        assert len(settlements) == len(stage.said(x.SolutionAward)) >= 1
        assert stage.said(x.SettlementAnswer, performative="reject-proposal") == []
        owed = sum(each.remuneration_eur - each.penalty_eur for each in settlements)
        assert -stage.balance("dso") == owed > 0
        drivers = sum(stage.balance(f"ev-{car.charger_id}") for car in cars)
        assert 0 < drivers < owed
        assert stage.balance("lot1") == owed - drivers
        assert stage.notices == []

    run_swarm(main, Stage())


def test_when_the_signal_allows_it_again_the_manager_stops_and_its_vehicles_charge_on() -> None:
    async def main(stage: Stage) -> None:
        def signal(when: datetime) -> Limits:
            return Limits(line_percent=100.0 if when < at(82) else 150.0)

        lot = await scene(stage, signal, 82)
        await stage.until(89)
        assert sum(lot.charger(car.charger_id).power_kw for car in lot.cars) <= 50.0
        await stage.until(91)
        assert sum(lot.charger(car.charger_id).power_kw for car in lot.cars) == pytest.approx(66.0, abs=0.1)
        (end,) = stage.said(x.CongestionEnd)
        (award,) = stage.said(x.SolutionAward)
        assert (end.reference, end.duration_minutes, end.q_kvar) == (award.request_id, 30, 0.0)
        assert end.p_kw == pytest.approx(award.power_kw, abs=0.05)
        await stage.until(100)
        (settlement,) = stage.said(x.CongestionSettlement)
        assert (settlement.end, settlement.penalty_eur) == (at(90), 0)
        assert settlement.reduced_kwh == pytest.approx(award.power_kw / 2, abs=0.05)
        assert len(stage.said(x.SettlementAnswer, performative="accept-proposal")) == 1
        assert -stage.balance("dso") == settlement.remuneration_eur > 0
        assert stage.notices == []

    run_swarm(main, Stage())
