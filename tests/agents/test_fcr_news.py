"""What a driver hears of the vehicle in frequency control (7.2)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from agents.actor import Actor
from agents.fcr_news import FcrNews
from behaviours.answering import Agree, Incoming, Reply, answers, refusal
from protocols import exchanges as x
from protocols.exchanges.vocabulary import FcrProduct
from protocols.roles import Role
from tests.agents.stage import Stage
from tests.swarm import jid, run_swarm


class Owner(Actor):
    role = Role.EV_OWNER


class Lot(Actor):
    """A manager that tells its drivers what the test says."""

    role = Role.V2X_MANAGER
    services: tuple[str, ...] = ("fcr",)
    refuses = False

    @answers(x.FcrStatusSubscription)
    async def on_subscription(self, topic: x.FcrStatusSubscription, incoming: Incoming) -> Reply:
        return refusal("stranger", "no vehicle of yours is here") if self.refuses else Agree(x.Done(reference="7.2"))

    async def tell(self, status: x.FcrParticipation, **changed: Any) -> None:
        values: dict[str, Any] = {
            "request_id": "owner-7.2",
            "timestamp": self.now(),
            "charger_id": "c1",
            "status": status,
            "product": FcrProduct.FCR_N,
            "capacity_kw": 5.0,
            "power_kw": -1.0,
            "soc_percent": 55.0,
            "earnings_eur": "0.10",
        }
        await self.publish(x.FcrStatusSubscription, x.FcrStatus.from_json(_json(values | changed)))


class ChargingOnly(Lot):
    services = ()


def _json(values: dict[str, Any]) -> dict[str, Any]:
    return {"exchange": "7.2", **values, "timestamp": values["timestamp"].isoformat(), "status": str(values["status"])}


def test_the_newest_status_counts_and_each_change_is_kept() -> None:
    async def main(stage: Any) -> None:
        lot, owner = await stage.start(Lot, "lot"), await stage.start(Owner, "owner")
        news = FcrNews(owner, jid("lot"))
        assert await news.begin()
        assert news.newest is None
        for minutes, status in ((1, "testing"), (2, "participating"), (3, "participating")):
            await stage.until(minutes)
            await lot.tell(x.FcrParticipation(status), earnings_eur=f"0.{minutes}0")
        await stage.settle()
        assert news.newest is not None
        assert str(news.newest.earnings_eur) == "0.30"
        assert [change.status for change in news.changes] == ["testing", "participating"]

    run_swarm(main, Stage())


def test_a_status_of_yesterday_is_no_news() -> None:
    async def main(stage: Any) -> None:
        lot, owner = await stage.start(Lot, "lot"), await stage.start(Owner, "owner")
        news = FcrNews(owner, jid("lot"))
        await news.begin()
        await lot.tell(x.FcrParticipation.PARTICIPATING)
        await lot.tell(x.FcrParticipation.IDLE, timestamp=lot.now() - timedelta(days=1))
        await stage.settle()
        assert news.newest is not None
        assert news.newest.status is x.FcrParticipation.PARTICIPATING
        assert len(news.changes) == 1
        assert stage.noticed("out of order") == 1

    run_swarm(main, Stage())


def test_nothing_is_asked_of_an_operator_without_the_service() -> None:
    async def main(stage: Any) -> None:
        await stage.start(ChargingOnly, "lot")
        await stage.start(Lot, "another")
        owner = await stage.start(Owner, "owner")
        assert not await FcrNews(owner, jid("lot")).begin()
        assert stage.said(x.FcrStatusSubscription) == []

    run_swarm(main, Stage())


def test_an_operator_that_refuses_is_told_of() -> None:
    async def main(stage: Any) -> None:
        lot, owner = await stage.start(Lot, "lot"), await stage.start(Owner, "owner")
        lot.refuses = True
        assert not await FcrNews(owner, jid("lot")).begin()
        assert stage.noticed("no vehicle of yours is here") == 1

    run_swarm(main, Stage())
