"""A parking lot's manager without a service: charging by the retailer's prices (D5.1 3.3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from agents.parking import STANDS, Parking
from agents.ports import ChargerSilentError
from behaviours.outcomes import Informed, Refused
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.lot_stage import LOT, ParkingLot, Prices
from tests.agents.stage import Car, Stage, at
from tests.swarm import jid, run_swarm

CHEAP_FROM_120 = Prices([0.30] * 8 + [0.10] * 8 + [0.20])
"""0.10 EUR/kWh from minute 120 to 240."""


def car(name: str = "c1", **changed: Any) -> Car:
    """10.34 kWh to charge: an hour of full power."""
    return Car(name, **{"soc": 40.0, "wanted": 60.68, "leaves": 400.0} | changed)


class Watching(Parking):
    """Keeps what its hooks are told."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told: list[tuple[str, Any]] = []

    async def on_quarter(self, now: datetime) -> None:
        self.told.append(("quarter", now))

    async def on_prices(self, now: datetime) -> None:
        self.told.append(("prices", now))

    async def on_session(self, session: x.SessionAnnouncement) -> None:
        self.told.append(("session", session.charger_id))

    async def on_left(self, charger_id: str) -> None:
        self.told.append(("left", charger_id))


async def lot_of(stage: Stage, *cars: Car, prices: Prices = CHEAP_FROM_120, **options: Any) -> ParkingLot:
    return await ParkingLot.open(stage, cars, prices=prices, **{"kind": Watching} | options)


def test_a_vehicle_charges_in_the_cheapest_quarters_and_leaves_with_what_was_asked_for() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car())
        await stage.until(401)
        assert lot.metered_kw("c1", 2, 120) == 0.0
        assert lot.metered_kw("c1", 120, 180) == pytest.approx(11.0)
        assert lot.metered_kw("c1", 180, 400) == pytest.approx(0.0, abs=1e-3)
        assert lot.left_with["c1"] == pytest.approx(60.68, abs=0.05)

    run_swarm(main, Stage())


def test_setpoints_are_written_where_they_change_and_renewed_before_they_end() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car())
        await stage.until(150)
        orders = lot.charger("c1").orders
        assert [(when, kw) for when, kw, _ in orders] == [
            (at(1), 0.0),
            (at(45), 0.0),  # that of minute 1 ends at 51: the next writing would be too late
            (at(90), 0.0),
            (at(120), 11.0),
        ]
        assert {seconds for _, _, seconds in orders} == {STANDS.total_seconds()}
        assert lot.charger("c1").beats >= 10  # a sign of life each quarter
        assert lot.charger("c1").releases == 0

    run_swarm(main, Stage())


def test_new_prices_are_followed_at_once() -> None:
    async def main(stage: Stage) -> None:
        # at minute 50 the quarters from 60 to 120 become the cheapest
        prices = Prices([0.30] * 8 + [0.10] * 8 + [0.20], {50: [0.30] * 4 + [0.05] * 4 + [0.40]})
        lot = await lot_of(stage, car(), prices=prices)
        await stage.until(49)
        assert lot.manager.planned_kw("c1", at(120), 4) == pytest.approx((11.0,) * 4, abs=0.01)
        await stage.until(50)
        assert lot.manager.planned_kw("c1", at(120), 4) == (0.0,) * 4
        assert ("prices", at(50)) in lot.manager.told
        await stage.until(130)
        assert lot.metered_kw("c1", 60, 120) == pytest.approx(11.0)

    run_swarm(main, Stage())


def test_a_vehicle_that_cannot_have_what_was_asked_for_charges_at_once() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car(wanted=90.0, leaves=100.0))
        await stage.until(99)
        assert lot.metered_kw("c1", 2, 99) == pytest.approx(11.0)

    run_swarm(main, Stage())


def test_a_full_charge_is_there_at_the_departure_in_spite_of_the_taper() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car(wanted=100.0, leaves=420.0))
        await stage.until(421)
        assert lot.left_with["c1"] > 98.5

    run_swarm(main, Stage())


def test_a_claimed_charger_is_left_alone_until_it_is_released() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car("c1"), car("c2"))
        await stage.until(100)
        manager = lot.manager
        assert manager.claim(["c1"], "s1")
        assert manager.claim(["c1"], "s1")
        assert not manager.claim(["c2", "c1"], "s2"), "all of them or none"
        assert not manager.claim(["c3"], "s1")
        assert manager.claimed == {"c1": "s1"}
        await manager.desk.order("c1", -3.0, 3600)
        await stage.until(140)
        assert lot.charger("c1").setpoints()[-1] == -3.0
        assert lot.charger("c2").setpoints()[-1] == 11.0
        manager.release_claim("c1", "s2")
        assert manager.claimed == {"c1": "s1"}
        manager.release_claim("c1", "s1")
        await manager.steer()
        assert lot.charger("c1").setpoints()[-1] == 11.0

    run_swarm(main, Stage())


def test_a_vehicle_that_leaves_ends_its_claim_and_the_hooks_hear_of_it() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car("c1", leaves=50.0), Car("c1", soc=50.0, wanted=60.0, arrives=100.0))
        await stage.until(10)
        assert lot.manager.claim(["c1"], "s1")
        await stage.until(61)
        assert (lot.manager.claimed, lot.manager.plans) == ({}, {})
        await stage.until(101)
        events = [event for event in lot.manager.told if event[0] in ("session", "left")]
        assert events == [("session", "c1"), ("left", "c1"), ("session", "c1")]
        assert lot.charger("c1").setpoints()[-1] == 0.0

    run_swarm(main, Stage())


def test_a_car_that_was_exchanged_unseen_ends_the_claim_too() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car("c1", leaves=50.0), Car("c1", soc=50.0, wanted=60.0, arrives=52.0))
        await stage.until(10)
        assert lot.manager.claim(["c1"], "s1")
        await stage.until(53)
        assert lot.manager.claimed == {}
        assert ("left", "c1") in lot.manager.told

    run_swarm(main, Stage())


def test_a_car_that_nobody_announced_charges_by_itself() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car(announced=False))
        await stage.until(60)
        assert lot.charger("c1").orders == []
        assert lot.metered_kw("c1", 1, 50) == pytest.approx(11.0)
        assert lot.manager.vehicles(at(60)) == []

    run_swarm(main, Stage())


def test_a_silent_charger_is_noted_and_set_again_when_it_answers() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car("c1"), car("c2"))
        await stage.until(20)
        lot.charger("c1").fault = ChargerSilentError("c1", "127.0.0.1:1", "does not answer", "check it")
        await stage.until(50)
        assert stage.noticed("charger c1 at 127.0.0.1:1: does not answer") == 1
        lot.charger("c1").fault = None
        await stage.until(61)
        assert lot.charger("c1").orders[-1][:2] == (at(60), 0.0)

    run_swarm(main, Stage())


def test_a_driver_speaks_for_the_own_charger_only() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car("c1"), car("c2"))
        await stage.until(2)
        assert isinstance(await lot.drivers["c1"].announce("lot1", car("c2", wanted=99.0)), Refused)
        assert isinstance(await lot.drivers["c1"].announce("lot1", car("c9")), Refused)
        assert isinstance(await lot.drivers["c1"].announce("lot1", car("c1")), Informed)

    run_swarm(main, Stage())


def test_the_lot_is_found_by_its_campus() -> None:
    async def main(stage: Stage) -> None:
        lot = await lot_of(stage, car())
        (entry,) = await lot.drivers["c1"].search(role=Role.V2X_MANAGER, location=LOT.location)
        assert entry.jid == jid("lot1")

    run_swarm(main, Stage())
