"""Which cast plays a scenario."""

from __future__ import annotations

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
from environment.scenario_parts import Scenario
from protocols.roles import Role

CASTS: dict[type[Scenario], type[Cast[Any]]] = {
    MarketScenario: MarketCast,
    IslandScenario: IslandCast,
    CampusScenario: CampusCast,
    PublicScenario: PublicCast,
}


def cast_of(scenario: Scenario) -> type[Cast[Any]]:
    """The cast that plays this kind of scenario."""
    return CASTS[type(scenario)]


def roles(scenario: Scenario, domain: str) -> dict[str, Role]:
    """Who takes part, by JID, in the order in which they enter the swarm after the directory."""
    return cast_of(scenario).roles(scenario, domain)
