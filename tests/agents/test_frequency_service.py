"""The V2X manager in BUC 7 with a real TSO: applied for, tested, sold by the hour, changed, ended, paid (D5.1 3.7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents.fcr_log import FcrLog
from agents.frequency_service import FcrTerms, FrequencyService
from agents.frequency_tso import FrequencyTso
from agents.grid_environment import GridEnvironment
from behaviours.outcomes import Informed, Refused, Subscribed
from protocols import exchanges as x
from protocols.exchanges.frequency_services import Control
from protocols.exchanges.vocabulary import FcrProduct
from tests.agents.frequency_stage import start_tso
from tests.agents.lot_stage import ParkingLot
from tests.agents.stage import Car, Stage, at
from tests.agents.test_frequency_control import Area, FakeMeter, lot_of, parked
from tests.swarm import jid, run_swarm

HOUR = timedelta(hours=1)
CAPACITY_KW = 20.0


def terms(**changed: Any) -> FcrTerms:
    """FCR of Continental Europe: its test is the shortest. Hours are sold from 8:00 (minute 120) to 10:00."""
    values: dict[str, Any] = {
        "product": FcrProduct.FCR_CE,
        "control": Control.CENTRAL,
        "capacity_kw": CAPACITY_KW,
        "energy_kwh": 60.0,
        "application_at": at(5),
        "test_from": at(10),
        "first_hour": at(120),
        "last_hour": at(240),
        "price_eur_per_kw": Decimal("0.0100"),
        "minimum_bid_kw": 5.0,
        "test_lasts": HOUR,
    }
    return FcrTerms(**values | changed)


class World:
    """The port `PhysicalWorld`: the chargers' meters."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def voltage_v(self, location: str) -> float:
        raise LookupError(f"there is no bus {location}")

    def frequency_hz(self) -> float:
        return 50.0

    def metered_kw(self, location: str, start: Any, end: Any, period: timedelta) -> tuple[float, ...]:
        charger = self.stage.chargers[location.removeprefix("charger:")]
        steps = (start + k * period for k in range(int((end - start) / period)))
        return tuple(charger.metered_kw(t, t + period) for t in steps)


class Record:
    """The TSO's own record of the frequency."""

    def __init__(self, area: Area) -> None:
        self.area = area

    def series(self, start: Any, seconds: int) -> Any:
        first = (start - at(0)).total_seconds()
        return [self.area.grid_hz(first + k) for k in range(seconds)]


def waves(second: float) -> float:
    """Ten minutes 60 mHz too low, ten minutes as much too high."""
    return 49.94 if second % 1200 < 600 else 50.06


class Scene:
    """A lot of four cars, its manager, a TSO that buys, and the chargers' meters."""

    lot: ParkingLot
    tso: FrequencyTso
    manager: FrequencyService

    def __init__(self, stage: Stage, hz: Callable[[float], float] = waves) -> None:
        self.stage = stage
        self.area = Area(stage, hz)
        self.main, self.backup = FakeMeter("main", self.area), FakeMeter("backup", self.area, 0.004)
        self.told: list[x.FcrStatus] = []

    async def open(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, cars: Sequence[Car] | None = None, **changed: Any
    ) -> Scene:
        await self._grid()
        cars = [parked(f"c{k}") for k in range(1, 5)] if cars is None else cars
        self.lot = await lot_of(
            self.stage,
            self.area,
            cars,
            monkeypatch,
            kind=FrequencyService,
            fcr=terms(**changed),
            meters=(self.main, self.backup),
            bench=self.area,
            log=FcrLog(folder, "lot1", changed.get("product", FcrProduct.FCR_CE)),
        )
        self.manager = self.lot.manager
        await self.listen("c1")
        return self

    async def _grid(self) -> None:
        self.tso = await start_tso(self.stage, record=Record(self.area))
        await self.stage.start(GridEnvironment, "environment", world=World(self.stage), interval=timedelta(days=1))

    async def listen(self, charger_id: str) -> None:
        driver = self.lot.drivers[charger_id]
        topic = x.FcrStatusSubscription(request_id=f"{charger_id}-7.2", timestamp=driver.now())
        outcome = await driver.subscribe(topic, to=jid("lot1"), on_inform=self.told.append, reply_by=at(2))
        assert isinstance(outcome, Subscribed), outcome

    def statuses(self) -> list[str]:
        """Each status that was told, once."""
        found: list[str] = []
        for status in self.told:
            if not found or found[-1] != status.status:
                found.append(status.status)
        return found

    def close(self) -> None:
        self.area.task.cancel()


@pytest.mark.parametrize("control", [Control.CENTRAL, Control.LOCAL])
def test_a_portfolio_is_approved_serves_its_hours_and_is_paid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Control
) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, control=control)
        await stage.until(80)
        assert stage.notices == []
        assert scene.manager.approved_kw == CAPACITY_KW
        assert scene.manager.claimed == {}
        records = stage.said(x.TestRecord)
        assert len(records) == 3
        assert all(record.baseline_kw == 0.0 for record in records)
        await stage.until(125)
        assert set(scene.manager.claimed.values()) == {"lot1-fcr-ce"}
        await stage.until(128)
        assert scene.area.power_kw() == pytest.approx(-6.0, abs=0.06)  # 60 of 200 mHz
        await stage.until(138)
        assert scene.area.power_kw() == pytest.approx(6.0, abs=0.06)
        await stage.until(300)
        reports = stage.said(x.DeliveryReport)
        assert [(r.logged_seconds, r.available_seconds) for r in reports] == [(3600, 3600)] * 2
        assert reports[0].up_kwh == pytest.approx(3.0, abs=0.05)
        assert reports[0].down_kwh == pytest.approx(3.0, abs=0.05)
        settled = stage.said(x.CapacitySettlement)
        assert [s.availability_percent for s in settled] == [100.0] * 2
        assert stage.notices == []
        paid = scene.lot.drivers["c1"].paid
        assert len(paid) == 1
        assert paid[0].service is x.ServiceType.FREQUENCY_CONTAINMENT
        assert stage.balance("ev-c1") == paid[0].amount_eur > 0
        income = sum(s.capacity_eur for s in settled)
        wear = sum(Decimal(repr(p.energy_kwh)) for d in scene.lot.drivers.values() for p in d.paid) * Decimal("0.04")
        owners = sum(d.paid[0].amount_eur for d in scene.lot.drivers.values())
        assert owners == pytest.approx(income * Decimal("0.7") + wear, abs=Decimal("0.05"))
        logged = FcrLog(tmp_path, "lot1", FcrProduct.FCR_CE).read(at(0), at(400))
        tested = [second.at for second in logged if second.testing]
        assert tested[0] == logged[0].at
        assert records[-1].start < tested[-1] < at(80), "the hours that were sold are no test"
        assert sum(not second.testing for second in logged) >= 7200
        assert scene.statuses() == ["idle", "testing", "idle", "participating", "idle"]
        assert scene.manager.claimed == {}
        assert scene.area.power_kw() >= 0.0
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_owners_hear_each_quarter_of_an_hour_and_never_twice_at_one_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path)
        await stage.until(200)
        times = [status.timestamp for status in scene.told]
        assert times == sorted(set(times))
        assert {at(15 * k) for k in range(1, 13)} <= set(times)
        serving = [status for status in scene.told if status.status == "participating"]
        assert serving[0].capacity_kw == pytest.approx(5.0)
        assert serving[0].product is FcrProduct.FCR_CE
        assert serving[-1].earnings_eur > serving[0].earnings_eur
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_a_charger_that_ignores_its_setpoints_fails_the_test_of_a_portfolio_without_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, capacity_kw=29.0)
        scene.lot.charger("c2").deaf_from = at(6)
        await stage.until(80)
        assert scene.manager.approved_kw is None
        assert stage.noticed("charger c2 draws") == 1
        assert stage.noticed("lot1-fcr-ce is not approved") == 1
        assert stage.said(x.CapacityOffer) == []
        assert scene.manager.claimed == {}
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_what_nobody_can_give_is_refused_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, capacity_kw=40.0)
        await stage.until(12)
        assert stage.noticed("lot1-fcr-ce is not tested") == 1
        assert scene.manager.approved_kw is None
        scene.close()

    run_swarm(main, Stage())


def test_a_test_can_be_called_off_in_its_middle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, cancels_test_at=at(20))
        await stage.until(19)
        assert set(scene.manager.claimed.values()) == {"lot1-fcr-ce"}
        await stage.until(21)
        (end,) = stage.said(x.ParticipationEnd)
        assert end.reference.startswith("lot1-fcr-ce-7.1")
        assert scene.manager.claimed == {}
        assert not scene.area.signal
        await stage.until(250)
        assert stage.said(x.CapacityOffer) == []
        assert len(stage.said(x.TestStep)) == 1
        assert all(c.power_kw >= 0 for c in stage.chargers.values())
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


@pytest.mark.parametrize("control", [Control.CENTRAL, Control.LOCAL])
def test_both_meters_lost_stop_the_service_and_the_tso_hears_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, control: Control
) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, control=control)
        await stage.until(130)
        scene.main.fault = scene.backup.fault = "lost"
        await stage.until(131)
        (end,) = stage.said(x.ParticipationEnd)
        assert end.reference == "lot1-fcr-ce-20260601T0800"
        assert end.start <= at(130) + timedelta(seconds=5)
        assert stage.noticed("FCR stops: no frequency meter can be believed any more") == 1
        assert scene.manager.claimed == {}
        assert all(charger.curve is None for charger in stage.chargers.values())
        assert scene.area.power_kw() == pytest.approx(0.0, abs=0.01)
        await stage.until(160)
        assert stage.noticed("nothing is offered for 09:00 UTC: no frequency meter answers") == 1
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_both_meters_lost_in_the_test_end_the_application(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path)
        await stage.until(20)
        scene.main.fault = scene.backup.fault = "lost"
        await stage.until(21)
        (end,) = stage.said(x.ParticipationEnd)
        assert end.reason == "no frequency meter can be believed any more"
        await stage.until(100)
        assert scene.manager.approved_kw is None
        scene.close()

    run_swarm(main, Stage())


def test_others_take_the_share_of_a_charger_that_does_not_follow(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path)
        await stage.until(122)
        scene.lot.charger("c2").deaf_from = stage.clock.now()
        await stage.until(138)
        assert "c2" not in scene.manager.claimed
        assert stage.noticed("charger c2 draws") == 1
        assert stage.said(x.ParticipationChange) == []
        assert sum(scene.lot.charger(c).power_kw for c in ("c1", "c3", "c4")) == pytest.approx(6.0, abs=0.06)
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_what_others_cannot_take_over_is_told_to_the_tso(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, capacity_kw=28.0)
        await stage.until(122)
        scene.lot.charger("c2").unplug()
        await stage.until(130)
        (change,) = stage.said(x.ParticipationChange)
        assert change.offer_id == "lot1-fcr-ce-20260601T0800"
        assert change.capacity_kw == pytest.approx(3 * 7.4, abs=0.01)
        assert change.reason == "charger c2 has no vehicle any more"
        await stage.until(200)
        (first, *_) = stage.said(x.CapacitySettlement)
        assert first.availability_percent > 95
        second = stage.said(x.CapacityOffer)[1]
        assert second.capacity_kw == pytest.approx(3 * 7.4, abs=0.5)
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_the_owner_can_withdraw_at_any_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, withdraw_at=at(165))
        await stage.until(166)
        ends = [end.reference for end in stage.said(x.ParticipationEnd)]
        assert ends == ["lot1-fcr-ce-20260601T0800", "lot1-fcr-ce-20260601T0900"]
        assert scene.manager.claimed == {}
        await stage.until(200)
        assert not scene.manager.frequency_control.on  # type: ignore[union-attr]
        await stage.until(260)
        assert scene.lot.drivers["c1"].paid[0].amount_eur > Decimal("0.1")  # three quarters of an hour of 5 kW
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_an_hour_that_is_too_near_when_the_approval_comes_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The test ends at minute 51: the hour of minute 60 is left out."""

    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path, first_hour=at(60))
        await stage.until(121)
        assert scene.manager.approved_kw == CAPACITY_KW
        assert [offer.start for offer in stage.said(x.CapacityOffer)] == [at(120)]
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_a_vehicle_leaves_with_what_was_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three cars stay; the fourth serves an hour and is then charged for its departure."""

    async def main(stage: Any) -> None:
        cars = [*(parked(f"c{k}") for k in (2, 3, 4)), parked("c1", wanted=60.0, leaves=255.0)]
        scene = await Scene(stage).open(monkeypatch, tmp_path, cars)
        await stage.until(150)
        assert "c1" in scene.manager.claimed
        await stage.until(256)
        assert scene.lot.left_with["c1"] == pytest.approx(60.0, abs=1.0)
        scene.close()

    run_swarm(main, Stage(), guard_s=60)


def test_a_step_of_an_unknown_application_and_a_report_to_a_stranger_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def main(stage: Any) -> None:
        scene = await Scene(stage).open(monkeypatch, tmp_path)
        await stage.until(125)
        step = stage.said(x.TestStep)[0]
        outcome = await scene.tso.request(step, to=jid("lot1"), reply_by=at(130))
        assert isinstance(outcome, Refused)
        query = x.DeliveryQuery(offer_id="o7", start=at(110), end=at(120))
        answer = await scene.tso.query_ref(query, to=jid("lot1"), reply_by=at(130))
        assert isinstance(answer, Refused)
        future = x.DeliveryQuery(offer_id="lot1-fcr-ce-20260601T0800", start=at(120), end=at(180))
        answer = await scene.tso.query_ref(future, to=jid("lot1"), reply_by=at(130))
        assert isinstance(answer, Refused)
        assert not isinstance(answer, Informed)
        scene.close()

    run_swarm(main, Stage(), guard_s=60)
