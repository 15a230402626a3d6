"""A lot's manager with both services: a vehicle serves one at a time (D5.1 3.3 and 3.7)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents.congestion_help import CongestionHelp
from agents.fcr_log import FcrLog
from agents.frequency_service import FrequencyService
from agents.parking_manager import ParkingManager
from protocols import exchanges as x
from protocols.roles import Role
from tests.agents.lot_stage import PlainDso, Prices, congestion_call
from tests.agents.stage import Stage, at
from tests.agents.test_frequency_control import lot_of, parked
from tests.agents.test_frequency_service import Scene, terms
from tests.swarm import run_swarm

LATE = Prices([0.30] * 32 + [0.05])
"""The cheap hours begin at minute 480."""


class BothScene(Scene):
    """A scene whose manager serves the DSO as well."""

    prices = LATE

    async def open(self, monkeypatch: pytest.MonkeyPatch, folder: Path, cars: Any = None, **changed: Any) -> BothScene:
        await super()._grid()
        self.lot = await lot_of(
            self.stage,
            self.area,
            cars,
            monkeypatch,
            kind=ParkingManager,
            prices=self.prices,
            fcr=terms(**changed),
            meters=(self.main, self.backup),
            bench=self.area,
            log=FcrLog(folder, "lot1", terms(**changed).product),
        )
        self.manager = self.lot.manager
        return self


def test_the_manager_serves_both_and_neither_part_hides_what_the_other_has() -> None:
    assert ParkingManager.role is Role.V2X_MANAGER
    handled = {content for content, _ in ParkingManager.handlers}
    assert {x.CongestionCall, x.ScheduleSubscription, x.CongestionSettlement} <= handled
    assert {x.TestStep, x.DeliveryQuery, x.FcrStatusSubscription, x.SessionAnnouncement} <= handled
    own = set(vars(CongestionHelp)) & set(vars(FrequencyService))
    hooks = {"on_quarter", "on_left", "on_prices", "on_session", "committed_kw"}
    assert {name for name in own if not name.startswith("__")} <= hooks | {"handlers"}


def test_a_vehicle_in_frequency_control_is_not_offered_to_the_dso(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Five cars: four serve, the fifth leaves too soon for it, and is charging."""

    async def main(stage: Any) -> None:
        cars = [parked(f"c{k}") for k in (1, 2, 3, 4)]
        cars.append(parked("c5", soc=40.0, wanted=65.0, arrives=80.0, leaves=205.0))
        scene = await BothScene(stage).open(monkeypatch, tmp_path, cars)
        dso = await stage.start(PlainDso, "dso")
        await stage.until(124)
        assert {"c1", "c2", "c3", "c4"} == set(scene.manager.claimed)
        tender = await dso.call(congestion_call(start=135, minutes=15, power_kw=50.0))
        (proposal,) = tender.proposals
        assert {c for activation in proposal.content.activations for c in activation.users} == {"c5"}
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_the_schedule_that_the_dso_hears_has_the_service_s_operating_points(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def main(stage: Any) -> None:
        cars = [parked(f"c{k}", wanted=56.0, leaves=700.0) for k in (1, 2, 3, 4)]
        scene = await BothScene(stage).open(monkeypatch, tmp_path, cars)  # the cheap hours begin at minute 480
        dso = await stage.start(PlainDso, "dso")
        await dso.listen()
        await stage.until(136)
        units = scene.manager.frequency_control.units  # type: ignore[union-attr]
        planned = dso.schedules[-1].buses[0].power_kw
        standing = sum(unit.baseline_kw for unit in units.values())
        assert standing > 0
        # sold until minute 180, and meant to be sold until 240; then the vehicles wait for the cheap hours
        assert dso.schedules[-1].start == at(135)
        assert planned[:7] == pytest.approx([standing] * 7, abs=0.01)
        assert planned[7:] == (0.0,) * 5
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


@pytest.mark.parametrize(("lasts", "heard", "stands"), [(60, 20, 3), (20, 35, 3)], ids=["in time", "overdue"])
def test_the_dso_hears_that_vehicles_under_test_do_not_charge_before_it_is_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lasts: int, heard: int, stands: int
) -> None:
    """Tested from minute 10 on, at 0 kW; by their prices they would charge from minute 30 to 75. A test that lasts
    longer than it was said to is taken to go on for an hour."""

    async def main(stage: Any) -> None:
        cars = [parked(f"c{k}", wanted=62.0, leaves=700.0) for k in (1, 2, 3, 4)]
        scene = BothScene(stage)
        scene.prices = Prices([0.30, 0.30, 0.05, 0.05, 0.05, 0.30])
        await scene.open(monkeypatch, tmp_path, cars, test_lasts=timedelta(minutes=lasts))
        dso = await stage.start(PlainDso, "dso")
        await dso.listen()
        await stage.until(heard)
        assert scene.manager.test is not None
        told = dso.schedules[-1]
        planned = told.buses[0].power_kw
        assert planned[:stands] == (0.0,) * stands
        assert planned[stands] == pytest.approx(44.0)
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


@pytest.mark.parametrize("heard", [80, 110], ids=["approved", "sold"])
def test_the_dso_hears_of_the_whole_night_before_its_first_hour_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heard: int
) -> None:
    """Sold at minute 95 for the hour from 120 on, in which the vehicles are claimed; by their prices they would charge
    in the second hour, from minute 180 on, with 44 kW. What they charge before moves their operating points."""

    async def main(stage: Any) -> None:
        cars = [parked(f"c{k}", wanted=62.0, leaves=700.0) for k in (1, 2, 3, 4)]
        scene = BothScene(stage)
        scene.prices = Prices([0.30] * 12 + [0.05] * 4 + [0.30])
        await scene.open(monkeypatch, tmp_path, cars)
        dso = await stage.start(PlainDso, "dso")
        await dso.listen()
        await stage.until(heard)
        assert scene.manager.test is None
        assert scene.manager.claimed == {}
        assert set(scene.manager.sold) == ({at(120)} if heard > 95 else set())
        told = dso.schedules[-1]
        await stage.until(122)
        units = scene.manager.frequency_control.units  # type: ignore[union-attr]
        standing = sum(unit.baseline_kw for unit in units.values())
        first = int((at(120) - told.start).total_seconds() // 900)
        planned = told.buses[0].power_kw
        assert planned[first : first + 8] == pytest.approx([standing] * len(planned[first : first + 8]), abs=2.0)
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_an_hour_that_is_not_bought_is_charged_in_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(stage: Any) -> None:
        cars = [parked(f"c{k}", wanted=62.0, leaves=300.0) for k in (1, 2, 3, 4)]
        scene = BothScene(stage)
        scene.prices = Prices([0.30] * 8 + [0.05] * 16)
        await scene.open(monkeypatch, tmp_path, cars, price_eur_per_kw=Decimal("9"))  # nobody pays that
        await stage.until(240)
        assert scene.manager.sold == {}
        assert all(charger.soc_percent >= 61.9 for charger in stage.chargers.values())
        scene.close()

    run_swarm(main, Stage(), guard_s=60)
