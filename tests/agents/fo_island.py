"""A real flexibility operator between managers, askers, an EMSP and meters that do as the test says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from agents.decisions.selection import Memory
from agents.fo import FlexibilityOperator
from behaviours.outcomes import Agreed, Refused
from protocols import exchanges as x
from tests.agents.stage import Stage, at
from tests.agents.vehicles import OTHER, Billing, Dso, Manager, Meters, Tso


@dataclass
class Island:
    """A real FO with managers `m1` (two chargers at bus1 and bus2) and `m2` (one at bus1 of the other feeder)."""

    stage: Stage
    fo: FlexibilityOperator
    tso: Tso
    dso: Dso
    emsp: Billing
    meters: Meters
    managers: dict[str, Manager]

    @classmethod
    async def open(
        cls, stage: Stage, *, emsp: str | None = None, memory: Memory | None = None, **managers: Any
    ) -> Island:
        plans = managers or {
            "m1": {"chargers": {"c1": "bus1", "c2": "bus2"}},
            "m2": {"chargers": {"c3": "bus3"}, "feeder": OTHER},
        }
        fleet = {name: await stage.start(Manager, name, **plan) for name, plan in plans.items()}
        fo = await stage.start(
            FlexibilityOperator,
            "fo",
            zone=ZoneInfo("Atlantic/Azores"),
            ledger=stage.ledger,
            until=at(600),
            memory=memory,
        )
        island = cls(
            stage,
            fo,
            await stage.start(Tso, "tso"),
            await stage.start(Dso, "dso"),
            await stage.start(Billing, "emsp", refuses=emsp),
            await stage.start(Meters, "meters"),
            fleet,
        )
        fo.spawn(fo.course(), "course")
        await stage.settle()
        return island

    async def tell(self, minutes: float = 2.0, **changed: Any) -> None:
        """Every manager sends its 2.1 at that minute."""
        await self.stage.until(minutes)
        for manager in self.managers.values():
            await manager.tell(**changed)
        await self.stage.settle()

    async def served(self, signal: Any) -> Agreed:
        """Asks for a service and returns the FO's agreement."""
        asker = self.dso if isinstance(signal, x.VoltageRequest) else self.tso
        answer = await asker.ask(signal)
        assert isinstance(answer, Agreed), answer
        return answer

    def awards(self, name: str) -> list[dict[str, float]]:
        return [{o.user_id: o.power_kw for o in award.orders} for award in self.managers[name].awards]


def reason(answer: Any) -> str:
    assert isinstance(answer, Refused), answer
    return answer.reason


def troubles(stage: Stage) -> list[str]:
    """What the FO told its user, but for managers that this test lets keep silent or deliver nothing."""
    return [text for text in stage.notices if "told nothing" not in text and " delivered " not in text]
