"""Which cast plays a scenario."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from environment.campus_cast import CampusCast
from environment.campus_scenario import CampusScenario
from environment.cast import Cast
from environment.island_cast import IslandCast
from environment.island_scenario import IslandScenario
from environment.market_cast import MarketCast
from environment.market_scenario import MarketScenario
from environment.public_cast import PublicCast
from environment.public_scenario import PublicScenario
from environment.scenario import ScenarioError
from environment.scenario_parts import FaultPart, Scenario
from protocols.roles import Role

CASTS: dict[type[Scenario], type[Cast[Any]]] = {
    MarketScenario: MarketCast,
    IslandScenario: IslandCast,
    CampusScenario: CampusCast,
    PublicScenario: PublicCast,
}

_SHOWN = 20


def cast_of(scenario: Scenario) -> type[Cast[Any]]:
    """The cast that plays this kind of scenario."""
    return CASTS[type(scenario)]


def roles(scenario: Scenario, domain: str) -> dict[str, Role]:
    """Who takes part, by JID, in the order in which they enter the swarm after the directory."""
    return cast_of(scenario).roles(scenario, domain)


class Silences:
    """Which agents are silent on purpose, and when. Raises ScenarioError for one that is not there, and for one that
    would be silent when everybody registers."""

    def __init__(self, scenario: Scenario, domain: str) -> None:
        self._zone = scenario.zone
        self._faults: dict[str, list[FaultPart]] = {}
        names = [jid.partition("@")[0] for jid in roles(scenario, domain)]
        for fault in scenario.fault:
            if fault.kind != "agent-silent":
                continue
            if fault.target not in names:
                some = f"{', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
                raise ScenarioError(scenario.source, [f"fault: there is no agent {fault.target!r}; there are {some}"])
            if fault.at(scenario.begins.time()):
                raise ScenarioError(
                    scenario.source,
                    [
                        f"fault: {fault.target!r} is silent at {scenario.begins:%H:%M}, when everybody registers; "
                        "let it begin after that, and end before it"
                    ],
                )
            self._faults.setdefault(f"{fault.target}@{domain}", []).append(fault)

    def at(self, jid: str, now: datetime) -> bool:
        """Whether that agent is silent at a time."""
        faults = self._faults.get(jid)
        return faults is not None and any(fault.at(now.astimezone(self._zone).time()) for fault in faults)
